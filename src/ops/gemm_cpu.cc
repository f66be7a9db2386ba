// gemm_cpu on oneDNN: sgemm for f32 (any shape, nothing to prepare), a matmul primitive for bf16 (oneDNN caches it).
#include "ops/gemm_cpu.h"

#include "base/check.h"
#include "ops/element.h"

#ifndef BATCHSCOPE_WITHOUT_OPENMP
#include <omp.h>

#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace batchscope {
namespace {

#ifdef BATCHSCOPE_WITHOUT_OPENMP

template <class T>
void multiply(const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out,
              bool accumulate) {
  for (std::int64_t i = 0; i < out.rows; ++i) {
    for (std::int64_t j = 0; j < out.columns; ++j) {
      float sum = 0;
      for (std::int64_t k = 0; k < a.columns; ++k)
        sum += load(a.row<T>(i)[k]) * load(transpose_b == Transpose::yes ? b.row<T>(j)[k] : b.row<T>(k)[j]);
      store(out.row<T>(i)[j], scale * sum + (accumulate ? load(out.row<T>(i)[j]) : 0.0f));
    }
  }
}

void multiply(const CpuContext&, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate) {
  for_dtype(a.dtype, [&]<class T>(T) { multiply<T>(a, b, transpose_b, scale, out, accumulate); });
}

#else

void multiply_f32(const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out,
                  bool accumulate) {
  const auto status = dnnl_sgemm('N', transpose_b == Transpose::yes ? 'T' : 'N', out.rows, out.columns, a.columns,
                                 scale, a.row<float>(0), a.stride, b.row<float>(0), b.stride, accumulate ? 1.0f : 0.0f,
                                 out.row<float>(0), out.stride);
  CHECK_THAT(status == dnnl_success, "oneDNN multiplies [{}, {}] by {} columns", a.rows, a.columns, out.columns);
}

// oneDNN 3 has other constructors than oneDNN 2.
dnnl::matmul::primitive_desc matmul_of(const dnnl::memory::desc& a, const dnnl::memory::desc& b,
                                       const dnnl::memory::desc& out, float scale, bool accumulate,
                                       const dnnl::engine& engine) {
  const auto linear = dnnl::algorithm::eltwise_linear;
  dnnl::primitive_attr attributes;
  dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
  if (scale != 1.0f) after.append_eltwise(linear, scale, 0.0f);
  if (accumulate) after.append_sum();
  attributes.set_post_ops(after);
  return {engine, a, b, out, attributes};
#else
  if (scale != 1.0f) after.append_eltwise(1.0f, linear, scale, 0.0f);
  if (accumulate) after.append_sum();
  attributes.set_post_ops(after);
  return {{a, b, out}, attributes, engine};
#endif
}

void multiply_bf16(const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out,
                   bool accumulate) {
  using dnnl::memory;
  thread_local const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  thread_local dnnl::stream stream(engine);
  const auto bf16 = memory::data_type::bf16;
  const memory::desc a_desc({a.rows, a.columns}, bf16, memory::dims{a.stride, 1});
  const memory::desc b_desc({a.columns, out.columns}, bf16,
                            transpose_b == Transpose::yes ? memory::dims{1, b.stride} : memory::dims{b.stride, 1});
  const memory::desc out_desc({out.rows, out.columns}, bf16, memory::dims{out.stride, 1});
  const dnnl::matmul product(matmul_of(a_desc, b_desc, out_desc, scale, accumulate, engine));
  product.execute(stream, {{DNNL_ARG_SRC, memory(a_desc, engine, a.data)},
                           {DNNL_ARG_WEIGHTS, memory(b_desc, engine, b.data)},
                           {DNNL_ARG_DST, memory(out_desc, engine, out.data)}});
  stream.wait();
}

void multiply(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate) {
  omp_set_num_threads(context.threads);  // of this worker alone: the setting is the calling thread's
  if (a.dtype == DType::f32)
    multiply_f32(a, b, transpose_b, scale, out, accumulate);
  else
    multiply_bf16(a, b, transpose_b, scale, out, accumulate);
}

#endif

}  // namespace

void gemm_cpu(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate) {
  CHECK_THAT(a.dtype == b.dtype && a.dtype == out.dtype, "a product is of one dtype");
  if (out.elements() > 0) multiply(context, a, b, transpose_b, scale, out, accumulate);
}

}  // namespace batchscope
