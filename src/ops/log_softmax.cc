// log softmax over a cut vocabulary: shapes, cost, dispatch.
#include "ops/log_softmax.h"

namespace batchscope {

void row_max(Device& device, const Tensor& logits, const Tensor& out) {
  CHECK_EQUAL(logits.rows, out.columns, "one maximum a row");
  device.launch({"row_max", 1.0 * static_cast<double>(logits.elements()), logits.bytes(), logits.dtype, out.elements()}, RowMax{logits, out});
}

void sum_exp_and_target(Device& device, const Tensor& logits, const Tensor& largest, const Tensor& targets,
                        std::int64_t vocabulary_begin, const Tensor& out) {
  CHECK_EQUAL(logits.rows, out.columns, "one sum a row");
  CHECK_EQUAL(logits.rows, targets.columns, "one target a row");
  device.launch({"sum_exp_and_target", 3.0 * static_cast<double>(logits.elements()), logits.bytes(), logits.dtype, out.elements()},
                SumExpAndTarget{logits, largest, targets, vocabulary_begin, out});
}

void target_log_probability(Device& device, const Tensor& largest, const Tensor& sum_and_target, const Tensor& out) {
  CHECK_EQUAL(largest.columns, out.columns, "one probability a row");
  device.launch({"target_log_probability", 3.0 * static_cast<double>(out.columns), 4 * out.bytes(), DType::f32, out.elements()},
                TargetLogProbability{largest, sum_and_target, out});
}

void row_argmax(Device& device, const Tensor& logits, std::int64_t vocabulary_begin, const Tensor& out) {
  CHECK_EQUAL(logits.rows, out.rows, "one answer a row");
  device.launch({"row_argmax", 1.0 * static_cast<double>(logits.elements()), logits.bytes(), logits.dtype, out.elements()},
                RowArgMax{logits, vocabulary_begin, out});
}

void best_token(Device& device, const Tensor& candidates, const Tensor& out) {
  CHECK_EQUAL(candidates.rows % out.columns, 0, "every part has all rows");
  device.launch({"best_token", 1.0 * static_cast<double>(candidates.rows), candidates.bytes() + out.bytes(),
                 DType::f32, out.elements()},
                BestToken{candidates, out});
}

}  // namespace batchscope
