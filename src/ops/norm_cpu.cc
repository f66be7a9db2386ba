// RMSNorm on the CPU: one pass for the mean square, one to scale.
#include <cmath>

#include "device/cpu/parallel_for.h"
#include "ops/element.h"
#include "ops/kernels_cpu.h"
#include "ops/norm.h"

namespace batchscope {
namespace {

// Adds y (if any) to x, then normalises the row into out.
template <class T>
void norm_row(T* x, const T* y, const T* weight, float epsilon, T* out, std::int64_t width) {
  float squares = 0;
  for (std::int64_t i = 0; i < width; ++i) {
    if (y != nullptr) store(x[i], load(x[i]) + load(y[i]));
    squares += load(x[i]) * load(x[i]);
  }
  const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + epsilon);
  for (std::int64_t i = 0; i < width; ++i) {
    T normed;
    store(normed, load(x[i]) * scale);
    store(out[i], load(normed) * load(weight[i]));
  }
}

}  // namespace

void rms_norm_cpu(const CpuContext& context, const RmsNorm& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      norm_row<T>(op.x.row<T>(row), nullptr, op.weight.row<T>(0), op.epsilon, op.out.row<T>(row), op.x.columns);
    });
  });
}

void add_rms_norm_cpu(const CpuContext& context, const AddRmsNorm& op) {
  for_dtype(op.x.dtype, [&]<class T>(T) {
    parallel_for(context, op.x.rows, [&](std::int64_t row) {
      norm_row<T>(op.x.row<T>(row), op.y.row<T>(row), op.weight.row<T>(0), op.epsilon, op.out.row<T>(row),
                  op.x.columns);
    });
  });
}

}  // namespace batchscope
