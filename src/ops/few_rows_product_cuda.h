// Products of few rows on a GPU, as decoding has them: bound by reading the weight, not by arithmetic.
#pragma once

#include "device/cuda/context.h"
#include "ops/linear.h"

namespace batchscope {

// x and out of bf16 or f16, the weight of the same or FP8 with a scale a row; at most 16 rows, rows of the weight
// in whole pieces of 256 bytes, all rows starting at 16 bytes.
bool few_rows_product_fits(const Linear& op);
// out = x weight^T (+ bias). x is not rounded to FP8. Sums in f32, whose order depends on k and on the weight's dtype alone.
void few_rows_product(const CudaContext& context, const Linear& op);

}  // namespace batchscope
