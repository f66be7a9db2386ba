// log softmax(logits)[target] with the vocabulary cut over ranks, in three steps with an all-reduce after each:
// largest logit, sum of exp(logit - largest), logit of the target. All in f32.
#pragma once

#include "device/device.h"

namespace batchscope {

struct RowMax {
  Tensor logits;  // [rows, vocabulary here]
  Tensor out;     // [1, rows] f32
};
void row_max(Device& device, const Tensor& logits, const Tensor& out);

// out[0, row] = sum of exp(logit - largest); out[1, row] = the target's logit if it is in this part, else 0.
struct SumExpAndTarget {
  Tensor logits;                  // [rows, vocabulary here]
  Tensor largest;                 // [1, rows] f32, over the whole vocabulary
  Tensor targets;                 // [1, rows] i32, in the whole vocabulary; negative: none
  std::int64_t vocabulary_begin;  // of this part
  Tensor out;                     // [2, rows] f32
};
void sum_exp_and_target(Device& device, const Tensor& logits, const Tensor& largest, const Tensor& targets,
                        std::int64_t vocabulary_begin, const Tensor& out);

// out = target - largest - log(sum)
struct TargetLogProbability {
  Tensor largest;         // [1, rows] f32
  Tensor sum_and_target;  // [2, rows] f32
  Tensor out;             // [1, rows] f32
};
void target_log_probability(Device& device, const Tensor& largest, const Tensor& sum_and_target, const Tensor& out);

// The largest logit of each row and where it stands in the whole vocabulary; ties: the lowest. NaN where any is NaN.
struct RowArgMax {
  Tensor logits;  // [rows, vocabulary here]
  std::int64_t vocabulary_begin;
  Tensor out;  // [rows, 2] f32: value, index (exact below 2^24)
};
void row_argmax(Device& device, const Tensor& logits, std::int64_t vocabulary_begin, const Tensor& out);

// Of what row_argmax gave for each part of a cut vocabulary, the largest: the first of equal ones.
struct BestToken {
  Tensor candidates;  // [parts * rows, 2] f32: each part has all rows
  Tensor out;         // [1, rows] i32; -1 where a candidate is NaN
};
void best_token(Device& device, const Tensor& candidates, const Tensor& out);

}  // namespace batchscope
