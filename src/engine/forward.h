// The forward pass of one rank: the same code for one rank and for N, on devices that compute and devices that plan.
#pragma once

#include <span>
#include <vector>

#include "comm/communicator.h"
#include "engine/batch.h"
#include "engine/rank_weights.h"
#include "engine/settings.h"
#include "engine/step_inputs.h"
#include "ops/attention.h"

namespace batchscope {

// Keys and values of earlier tokens, a pair of tensors a layer of this stage: [rows, kv_heads * head_dim].
struct KvCache {
  struct Layer {
    Tensor k, v;
  };
  std::vector<Layer> layers;
};

// What goes through the model at once; nothing of it is kept.
struct ForwardStep {
  const Batch& batch;
  std::span<const BatchTurn> turns;  // that go through a layer one behind the other
  const StepTensors& inputs;
  const Fusion& fusion;
  const KvCache* cache = nullptr;  // null: keys and values are the batch's own
};

// What follows each sequence, and where log-probabilities are wanted those of all logit rows: of the sequences' next tokens
// and then of the targets of the other rows, and of the most probable tokens.
struct NextTokens {
  Tensor tokens;             // [1, sequences] i32; -1 where a logit is NaN
  Tensor log_probabilities;  // [1, logits] f32, or no elements
  Tensor top_tokens;         // [1, logits] i32
  Tensor top_log_probabilities;
};

// Enqueues work and returns; nothing here waits for the device.
class Forward {
 public:
  // `shards`: the tensor-parallel group of this rank; `stages`: its pipeline, in order.
  Forward(const ModelConfig& config, const Layout& layout, std::int64_t rank, const Precision& precision,
          Device& device, Communicator& shards, Communicator& stages);

  void load(const WeightSource& source) { weights_.load(source); }

  // On the last stage `out` [1, logits] f32 gets the log-probability of each target; elsewhere nothing happens to it.
  void score(const ForwardStep& step, const Tensor& out);

  // On the last stage `out` gets the next tokens; the first logit rows are the sequences' last ones. Where all are the most
  // probable ones, shards exchange their candidates; where any is drawn, these rows' logits, so that each shard draws the
  // same.
  void next_tokens(const ForwardStep& step, const NextTokens& out);

  // A cache with room for `rows` tokens, in the arena's current scope.
  KvCache allocate_cache(std::int64_t rows);

 private:
  struct Activations;  // of one step on its way through the layers

  bool first_stage() const { return place_.stage == 0; }
  bool last_stage() const { return place_.stage == layout_.stages() - 1; }
  Tensor allocate(std::string_view what, DType dtype, std::int64_t rows, std::int64_t columns);

  Activations run_layers(const ForwardStep& step);
  void make_rope_table(const ForwardStep& step, const Activations& at);
  struct Turn;  // what a layer works on: all rows of a step, or some
  std::vector<Turn> turns_of(const ForwardStep& step, const Activations& at) const;
  AttentionShape shape_of(const Turn& turn, std::size_t layer) const;
  void attention(const ForwardStep& step, const Turn& turn, std::size_t layer);
  void plain_attention(const ForwardStep& step, const Turn& turn, std::size_t layer, const Tensor& q, const Tensor& k,
                       const Tensor& v, const Tensor& out);
  void mlp(const ForwardStep& step, const Turn& turn, const LayerWeights& weights);
  void reduce_and_norm(const ForwardStep& step, const Turn& turn, const Tensor* next_norm, std::string_view phase);
  Tensor logits(const ForwardStep& step, const Activations& at, std::int64_t begin, std::int64_t rows);
  void project(const ForwardStep& step, const Activations& at, std::int64_t begin, const Tensor& out);
  void log_probabilities_of(const Tensor& targets, const Tensor& logits, const Tensor& out);
  void most_probable_tokens(const Tensor& logits, const Tensor& out);
  Tensor draw_tokens(const ForwardStep& step, const Activations& at, const Tensor& out);
  void write_log_probabilities(const Tensor& logits, const Tensor& targets, std::int64_t begin, const NextTokens& out);

  const ModelConfig config_;
  const Layout layout_;
  const Layout::Place place_;
  const DType dtype_, kv_dtype_;
  const LayerShare share_;
  const Range layers_;  // of this stage
  const HeadMap heads_;
  Device& device_;
  Communicator& shards_;
  Communicator& stages_;
  RankWeights weights_;
};

}  // namespace batchscope
