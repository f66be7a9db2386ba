// All that a step reads from the host, packed into one block, so that it is one copy to the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/batch.h"
#include "model/config.h"
#include "ops/sample_tokens.h"

namespace batchscope {

// The block on the device, part by part; what a step does not need has no elements.
struct StepTensors {
  Tensor tokens;       // [1, tokens] i32
  Tensor positions;    // [1, tokens] i32, of each in its sequence
  Tensor segments;     // [segments, segment_words] i32, of each turn in its own rows
  Tensor key_rows;     // [1, tokens] i32, rows of the KV cache that new keys and values go to
  Tensor logit_rows;   // [1, logits] i32, the tokens that logits are computed of; none: all, in order
  Tensor targets;      // [1, logits] i32, the token whose probability is wanted; -1: none
  Tensor draws;        // [logits, draw_words] i32
  Tensor frequencies;  // [segments, head_dim / 2] f32, under dynamic RoPE scaling: each sequence's own
};

class StepInputs {
 public:
  // Of a batch that is scored. InputError where sequences that share keys would need frequencies of their own.
  StepInputs(const ModelConfig& config, const Batch& batch, std::span<const BatchTurn> turns)
      : StepInputs(config, batch, turns, {}, {}) {}
  // Of a step of a generation: one key row a token, one draw a logit row. All five outlive it.
  StepInputs(const ModelConfig& config, const Batch& batch, std::span<const BatchTurn> turns,
             std::span<const std::int32_t> key_rows, std::span<const TokenDraw> draws);

  std::int64_t bytes() const { return bytes_; }
  void pack(std::byte* to) const;  // bytes() of them
  // `block`: [1, bytes() / 4] i32
  StepTensors on(const Tensor& block) const;

 private:
  struct Part {
    std::int64_t offset = 0;  // bytes
    std::int64_t rows = 0, columns = 0;
  };
  Part add(std::int64_t rows, std::int64_t columns);

  const Batch& batch_;
  std::span<const BatchTurn> turns_;
  std::span<const std::int32_t> key_rows_values_;
  std::span<const TokenDraw> draws_values_;
  std::vector<float> frequencies_values_;
  std::int64_t bytes_ = 0;
  Part tokens_, positions_, segments_, key_rows_, logit_rows_, targets_, draws_, frequencies_;
};

}  // namespace batchscope
