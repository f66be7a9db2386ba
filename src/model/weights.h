// Where weights come from: a checkpoint, or numbers drawn from a seed. Tensors carry Hugging Face's names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/tensor.h"

namespace batchscope {

// The part of a [rows, columns] matrix that one rank holds; a vector is one row.
struct Slice {
  std::int64_t row_begin = 0;
  std::int64_t row_count = 0;
  std::int64_t column_begin = 0;
  std::int64_t column_count = 0;
};

struct WeightShape {
  std::string name;       // "model.layers.3.mlp.down_proj.weight"
  std::int64_t rows = 0;  // 1 for a vector
  std::int64_t columns = 0;
};

// All weights of a model, from its configuration alone, in the order of the forward pass.
std::vector<WeightShape> weight_shapes(const ModelConfig& config);

class WeightSource {
 public:
  virtual ~WeightSource() = default;
  // Of a tensor whose values are drawn (tensor/drawn_values.h): what from, so that a device may draw them itself.
  struct Drawn {
    std::uint64_t key = 0;
    float mean = 0;
  };
  virtual std::optional<Drawn> drawn(const WeightShape& /*tensor*/) const { return std::nullopt; }
  // A slice of a tensor that the checkpoint keeps in FP8, as it is there.
  struct Fp8Slice {
    HostMatrix values;
    std::vector<float> scales;  // [rows, groups]
  };
  // Nothing where it is not kept so; read() gives it with its scales applied. `scale_columns` columns of the slice, from its
  // first one on, are a group; none lies across the border of two of the checkpoint's blocks.
  virtual std::optional<Fp8Slice> read_fp8(const WeightShape& /*tensor*/, const Slice& /*slice*/,
                                           std::int64_t /*scale_columns*/) const {
    return std::nullopt;
  }
  // The slice of a tensor: a view of mapped memory where possible, else of `scratch`, which it fills. Only the slice
  // is touched. InputError names the file and the tensor when the values there are not finite. Safe to call from
  // several threads, each with a scratch of its own.
  virtual HostMatrix read(const WeightShape& tensor, const Slice& slice, std::vector<std::byte>& scratch) const = 0;
};

// A folder's model.safetensors, or its shards by model.safetensors.index.json. Checks, before anything is read, that
// every tensor of `config` is there with its shape and a dtype of F32, F16, BF16, or F8_E4M3 with scales ("NAME_scale" or
// "NAME_scale_inv": of the tensor, of its rows, or of the blocks that config.json states), and that no offset leaves a file.
std::unique_ptr<WeightSource> open_safetensors(const std::filesystem::path& folder, const ModelConfig& config);

// A GGUF file (model/gguf_checkpoint.h), with the same checks. What the file has quantised comes in f32.
std::unique_ptr<WeightSource> open_gguf(const std::filesystem::path& path, const ModelConfig& config);

// Values drawn from a normal distribution (sigma 0.02; norm weights are near 1) by tensor name, index and seed alone,
// so that every way to cut a tensor gives the same numbers.
std::unique_ptr<WeightSource> random_weights(const ModelConfig& config, std::uint64_t seed);

}  // namespace batchscope
