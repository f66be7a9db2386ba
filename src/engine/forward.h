// The forward pass of one rank: the same code for one rank and for N, on devices that compute and devices that plan.
#pragma once

#include <vector>

#include "comm/communicator.h"
#include "engine/batch.h"
#include "engine/rank_weights.h"
#include "engine/settings.h"
#include "ops/attention.h"
#include "ops/sample_tokens.h"

namespace batchscope {

// Keys and values of earlier tokens, a pair of tensors a layer of this stage: [rows, kv_heads * head_dim].
struct KvCache {
  struct Layer {
    Tensor k, v;
  };
  std::vector<Layer> layers;
};

// New tokens of a batch go to these rows of the cache; the batch's segments name keys by cache rows.
struct CacheWrite {
  const KvCache* cache = nullptr;
  std::vector<std::int32_t> rows;  // [tokens]
};

class Forward {
 public:
  // `shards`: the tensor-parallel group of this rank; `stages`: its pipeline, in order.
  Forward(const ModelConfig& config, const Layout& layout, std::int64_t rank, DType dtype, Device& device,
          Communicator& shards, Communicator& stages);

  void load(const WeightSource& source) { weights_.load(source); }

  // Log-probability of each target, on the last stage; elsewhere empty.
  std::vector<float> score(const Batch& batch, const Fusion& fusion);

  // The next token of each logit row, on the last stage; elsewhere empty. Where all are the most probable ones, shards
  // exchange their candidates; where any is drawn, all rows' logits, so that each shard draws the same.
  std::vector<std::int32_t> next_tokens(const Batch& batch, const CacheWrite& cache,
                                        const std::vector<TokenDraw>& draws, const Fusion& fusion);

  // A cache with room for `rows` tokens, in the arena's current scope.
  KvCache allocate_cache(std::int64_t rows);

 private:
  struct Step;  // one batch on its way through the layers

  bool first_stage() const { return place_.stage == 0; }
  bool last_stage() const { return place_.stage == layout_.stages() - 1; }
  Tensor allocate(std::string_view what, DType dtype, std::int64_t rows, std::int64_t columns);
  Tensor upload(std::string_view what, const std::vector<std::int32_t>& values);

  void run_layers(Step& step);
  void make_rope_table(Step& step);
  AttentionShape shape_of(const Step& step, std::size_t layer) const;
  void attention(const Step& step, std::size_t layer);
  void mlp(const Step& step, const LayerWeights& weights);
  void reduce_and_norm(const Step& step, const Tensor* next_norm, std::string_view phase);
  Tensor logits(const Step& step);
  void project(const Step& step, const Tensor& out);
  std::vector<std::int32_t> most_probable_tokens(const Step& step);
  std::vector<std::int32_t> drawn_tokens(const Step& step, const std::vector<TokenDraw>& draws);

  const ModelConfig config_;
  const Layout layout_;
  const Layout::Place place_;
  const DType dtype_;
  const LayerShare share_;
  const Range layers_;  // of this stage
  const HeadMap heads_;
  Device& device_;
  Communicator& shards_;
  Communicator& stages_;
  RankWeights weights_;
};

}  // namespace batchscope
