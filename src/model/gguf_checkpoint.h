// A model in GGUF: one file, or the parts of a split one; its configuration and its weights in Hugging Face's terms.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/config.h"
#include "model/gguf.h"
#include "model/weights.h"

namespace batchscope {

class GgufCheckpoint {
 public:
  struct Place {
    const Gguf* file;
    const GgufTensor* tensor;
  };

  // Of a split file (model-00001-of-00003.gguf) the first part, which has the metadata; the others lie beside it.
  explicit GgufCheckpoint(const std::filesystem::path& path);
  GgufCheckpoint(std::span<const std::byte> file, std::string_view origin);  // one that is whole

  const Gguf& metadata() const { return *files_.front(); }
  const std::map<std::string_view, Place>& tensors() const { return tensors_; }  // of all parts
  bool has(std::string_view tensor) const { return tensors_.contains(tensor); }
  bool is_quantised() const;  // a tensor is, in blocks of few bits

 private:
  void open_parts(const std::filesystem::path& first, std::int64_t count);
  void add_tensors(const Gguf& file);

  std::vector<std::unique_ptr<Gguf>> files_;
  std::map<std::string_view, Place> tensors_;
};

// Architectures llama (LLaMA, Mistral), qwen2 and qwen3. InputError names file, key, value and what is supported.
ModelConfig gguf_config(const GgufCheckpoint& checkpoint);

// Checks, before any value is read, that every tensor of `config` is there with its shape and a supported type, and
// that there is no other.
std::unique_ptr<WeightSource> gguf_weights(std::unique_ptr<const GgufCheckpoint> checkpoint, const ModelConfig& config);

}  // namespace batchscope
