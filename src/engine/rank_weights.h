// The weights one rank holds: allocated from the configuration alone, filled from a checkpoint slice by slice.
#pragma once

#include <initializer_list>
#include <vector>

#include "device/device.h"
#include "model/weights.h"
#include "parallel/layout.h"
#include "tensor/precision.h"
#include "tensor/weight.h"

namespace batchscope {

// One decoder layer's part. Projections that can be fused lie next to each other.
struct LayerWeights {
  Tensor input_norm;      // [1, hidden]
  Weight qkv;             // [(heads + 2 kv_heads) * head_dim, hidden]
  Weight q, k, v;         // rows of qkv
  Tensor q_norm, k_norm;  // [1, head_dim]
  Weight attention_out;   // [hidden, heads * head_dim]
  Tensor post_norm;       // [1, hidden]
  Weight gate_up;         // [2 intermediate, hidden]
  Weight gate, up;        // rows of gate_up
  Weight down;            // [hidden, intermediate]
  // Biases [1, rows of the weight], without elements where the model has none. What is summed over the shards is
  // biased by the first of them alone.
  Tensor qkv_bias, q_bias, k_bias, v_bias, attention_out_bias;
  Tensor gate_up_bias, gate_bias, up_bias, down_bias;
};

class RankWeights {
 public:
  // Takes the memory from the device's arena, for as long as the arena's scope lasts.
  RankWeights(const ModelConfig& config, const Layout& layout, std::int64_t rank, const Precision& precision,
              Device& device);

  // Reads only this rank's slices.
  void load(const WeightSource& source);

  Tensor embedding;                  // [vocabulary, hidden]; first stage only
  std::vector<LayerWeights> layers;  // of this stage
  Tensor final_norm;                 // [1, hidden]; last stage only
  Weight projection;           // [vocabulary here, hidden]; last stage only; rows of `embedding` where tied and at hand
  Tensor inverse_frequencies;  // [1, head_dim / 2] f32

 private:
  struct Part {  // a tensor of the checkpoint, the slice of it, and where it goes
    WeightShape source;
    Slice slice;
    Weight to;
  };
  Tensor allocate_vector(std::string_view what, std::int64_t columns);
  Tensor allocate_matrix(std::string_view what, DType dtype, std::initializer_list<std::int64_t> parts,
                         std::int64_t columns);
  Weight allocate_projection(std::string_view what, std::initializer_list<std::int64_t> parts, Range columns);
  void add_part(std::string name, std::int64_t rows, std::int64_t columns, Range row_share, Range column_share,
                const Weight& to);
  void add_vector(std::string name, std::int64_t columns, Range share, const Tensor& to);
  void add_layer(std::int64_t layer);
  void add_attention(std::int64_t layer, LayerWeights& w);
  void add_mlp(std::int64_t layer, LayerWeights& w);
  void add_embedding_and_projection();
  void load_part(const WeightSource& source, const Part& part, std::vector<std::byte>& scratch);
  void load_fp8(const WeightSource& source, const WeightShape& tensor, const Slice& slice, const Weight& to,
                std::vector<std::byte>& scratch);

  const ModelConfig config_;
  const Layout::Place place_;
  const Layout layout_;
  const Precision precision_;
  Device& device_;
  std::vector<Part> parts_;
};

}  // namespace batchscope
