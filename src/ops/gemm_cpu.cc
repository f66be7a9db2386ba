// gemm_cpu on oneDNN: sgemm for f32 (any shape, nothing to prepare), matmul primitives for bf16 and for weights.
#include "ops/gemm_cpu.h"

#include <algorithm>

#include "base/check.h"
#include "device/cpu/bf16.h"
#include "ops/element.h"
#include "ops/panel_product.h"
#include "ops/widened_rows.h"

#ifndef BATCHSCOPE_WITHOUT_OPENMP
#include <omp.h>

#include <array>
#include <map>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
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

void multiply_weight(const CpuContext& context, const Tensor& a, const Tensor& weight, const Tensor& bias,
                     const Tensor& out) {
  const bool biased = bias.elements() > 0;
  if (biased) {
    for_dtype(out.dtype, [&]<class T>(T) {
      for (std::int64_t row = 0; row < out.rows; ++row) std::copy_n(bias.row<T>(0), out.columns, out.row<T>(row));
    });
  }
  multiply(context, a, weight, Transpose::yes, 1.0f, out, biased);
}

std::int64_t panel_that_is_read(DType, std::int64_t, std::int64_t) { return 0; }

std::int64_t workspace(const CpuContext&, const Tensor&, const Tensor&, Transpose, float, const Tensor&, bool) {
  return 0;
}
std::int64_t weight_workspace(const CpuContext&, const Tensor&, const Tensor&, const Tensor&, const Tensor&) { return 0; }

#else

using dnnl::memory;

// What a product is made for; everything but the addresses.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  DType dtype = DType::f32;
  std::int64_t a_stride = 0, b_stride = 0, out_stride = 0;
  Transpose transpose_b = Transpose::yes;
  std::int64_t panel = 0;  // of b
  bool biased = false;
  float scale = 1;
  bool accumulate = false;
  auto operator<=>(const Product&) const = default;
};

const dnnl::engine& cpu_engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

memory::data_type type_of(DType dtype) { return dtype == DType::f32 ? memory::data_type::f32 : memory::data_type::bf16; }

// oneDNN's names of the panels: of [k, n], blocks of 16 k (32 in bf16, in pairs) by `panel` n.
struct PanelFormat {
  std::int64_t panel;
  memory::format_tag f32, bf16;
};
using tag = memory::format_tag;
constexpr std::array panel_formats{PanelFormat{64, tag::BA16a64b, tag::BA16a64b2a},
                                   PanelFormat{48, tag::BA16a48b, tag::BA16a48b2a},
                                   PanelFormat{32, tag::BA16a32b, tag::BA16a32b2a},
                                   PanelFormat{16, tag::BA16a16b, tag::BA16a16b2a}};
constexpr std::int64_t panel_columns(DType dtype) { return dtype == DType::f32 ? 16 : 32; }

memory::desc b_desc(const Product& p) {
  const memory::dims dims{p.k, p.n};
  for (const PanelFormat& format : panel_formats)
    if (p.panel == format.panel) return {dims, type_of(p.dtype), p.dtype == DType::f32 ? format.f32 : format.bf16};
  return {dims, type_of(p.dtype),
          p.transpose_b == Transpose::yes ? memory::dims{1, p.b_stride} : memory::dims{p.b_stride, 1}};
}

// oneDNN 3 has other constructors than oneDNN 2.
dnnl::matmul::primitive_desc describe(const Product& p) {
  const auto type = type_of(p.dtype);
  const auto linear = dnnl::algorithm::eltwise_linear;
  const memory::desc a({p.m, p.k}, type, memory::dims{p.a_stride, 1}), b = b_desc(p);
  const memory::desc out({p.m, p.n}, type, memory::dims{p.out_stride, 1});
  const memory::desc bias = p.biased ? memory::desc({1, p.n}, type, memory::dims{p.n, 1}) : memory::desc();
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops after;
#if DNNL_VERSION_MAJOR >= 3
  if (p.scale != 1.0f) after.append_eltwise(linear, p.scale, 0.0f);
  if (p.accumulate) after.append_sum();
  attributes.set_post_ops(after);
  return {cpu_engine(), a, b, bias, out, attributes};
#else
  if (p.scale != 1.0f) after.append_eltwise(1.0f, linear, p.scale, 0.0f);
  if (p.accumulate) after.append_sum();
  attributes.set_post_ops(after);
  return {{a, b, bias, out}, attributes, cpu_engine()};
#endif
}

// A primitive with its memory objects, whose addresses change from call to call.
struct Ready {
  explicit Ready(const dnnl::matmul::primitive_desc& desc)
      : matmul(desc),
        a(desc.src_desc(), cpu_engine(), nullptr),
        b(desc.weights_desc(), cpu_engine(), nullptr),
        bias(desc.bias_desc(), cpu_engine(), nullptr),
        out(desc.dst_desc(), cpu_engine(), nullptr),
        scratchpad(desc.scratchpad_desc(), cpu_engine(), nullptr),
        arguments{{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, out}, {DNNL_ARG_SCRATCHPAD, scratchpad}} {
    if (bias.get_desc().get_size() > 0) arguments.emplace(DNNL_ARG_BIAS, bias);
  }
  dnnl::matmul matmul;
  memory a, b, bias, out, scratchpad;
  std::unordered_map<int, memory> arguments;  // the same memory objects
};

// The calling thread's primitives: asking oneDNN for one costs as much as a small product. Batches come in many lengths,
// so the oldest are not kept for ever.
constexpr std::size_t most_products = 512;
Ready& ready(const Product& product) {
  thread_local std::map<Product, Ready> known;
  if (const auto found = known.find(product); found != known.end()) return found->second;
  if (known.size() >= most_products) known.clear();
  return known.emplace(product, Ready(describe(product))).first->second;
}

// What the product's primitive wants, known without making it: a plan asks, too. Of bf16 on a CPU that does not compute in it
// nothing is known; such a plan is another machine's.
std::int64_t scratchpad_bytes(const Product& product) {
  if (product.dtype == DType::bf16 && !cpu_computes_bf16()) return 0;
  thread_local std::map<Product, std::int64_t> known;
  if (const auto found = known.find(product); found != known.end()) return found->second;
  if (known.size() >= most_products) known.clear();
  const auto bytes = static_cast<std::int64_t>(describe(product).scratchpad_desc().get_size());
  return known.emplace(product, bytes).first->second;
}

void execute(const Product& product, const Tensor& a, const Tensor& b, const Tensor& bias, const Tensor& out,
             std::byte* workspace) {
  thread_local dnnl::stream stream(cpu_engine());
  Ready& r = ready(product);
  r.a.set_data_handle(a.data);
  r.b.set_data_handle(b.data);
  r.out.set_data_handle(out.data);
  r.scratchpad.set_data_handle(workspace);
  if (product.biased) r.bias.set_data_handle(bias.data);
  r.matmul.execute(stream, r.arguments);
  stream.wait();
}

Product product_of(const Tensor& a, const Tensor& b, Transpose transpose_b, float scale, const Tensor& out,
                   bool accumulate) {
  return {.m = out.rows, .n = out.columns, .k = a.columns, .dtype = a.dtype, .a_stride = a.stride,
          .b_stride = b.stride, .out_stride = out.stride, .transpose_b = transpose_b, .scale = scale,
          .accumulate = accumulate};
}

Product product_of(const Tensor& a, const Tensor& weight, const Tensor& bias, const Tensor& out) {
  return {.m = out.rows, .n = out.columns, .k = a.columns, .dtype = a.dtype, .a_stride = a.stride,
          .b_stride = weight.stride, .out_stride = out.stride, .panel = weight.panel, .biased = bias.elements() > 0};
}

// The setting is the calling thread's, and scratchpads depend on it.
void use_threads_of(const CpuContext& context) { omp_set_num_threads(context.threads); }

std::int64_t workspace(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
                       const Tensor& out, bool accumulate) {
  if (a.dtype != DType::bf16) return 0;
  use_threads_of(context);
  return scratchpad_bytes(product_of(a, b, transpose_b, scale, out, accumulate));
}

std::int64_t weight_workspace(const CpuContext& context, const Tensor& a, const Tensor& weight, const Tensor& bias,
                              const Tensor& out) {
  use_threads_of(context);
  return scratchpad_bytes(product_of(a, weight, bias, out));
}

void multiply(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate) {
  use_threads_of(context);
  if (a.dtype == DType::bf16)
    return execute(product_of(a, b, transpose_b, scale, out, accumulate), a, b, {}, out, context.workspace);
  const auto status = dnnl_sgemm('N', transpose_b == Transpose::yes ? 'T' : 'N', out.rows, out.columns, a.columns,
                                 scale, a.row<float>(0), a.stride, b.row<float>(0), b.stride, accumulate ? 1.0f : 0.0f,
                                 out.row<float>(0), out.stride);
  CHECK_THAT(status == dnnl_success, "oneDNN multiplies [{}, {}] by {} columns", a.rows, a.columns, out.columns);
}

void multiply_weight(const CpuContext& context, const Tensor& a, const Tensor& weight, const Tensor& bias,
                     const Tensor& out) {
  use_threads_of(context);
  execute(product_of(a, weight, bias, out), a, weight, bias, out, context.workspace);
}

// Panels are of use only to the kernels that oneDNN has for newer CPUs; others would read them element by element.
std::int64_t panel_that_is_read(DType dtype, std::int64_t rows, std::int64_t columns) {
  if (columns % panel_columns(dtype) != 0) return 0;
  for (const PanelFormat& format : panel_formats) {
    if (rows % format.panel != 0) continue;
    const Product product{.m = 16, .n = rows, .k = columns, .dtype = dtype, .a_stride = columns, .b_stride = columns,
                          .out_stride = rows, .panel = format.panel};
    try {
      return std::string_view(describe(product).impl_info_str()).starts_with("brg") ? format.panel : 0;
    } catch (const dnnl::error&) {
      return 0;
    }
  }
  return 0;
}

#endif

std::int64_t widest_panel_dividing(std::int64_t rows) {
  for (const std::int64_t panel : {64, 48, 32, 16})
    if (rows % panel == 0) return panel;
  return 0;
}

void check_dtypes(const Tensor& a, const Tensor& b, const Tensor& out) {
  CHECK_THAT(a.dtype == out.dtype && (b.dtype == a.dtype || is_widened(b.dtype, a.dtype)),
             "a product is of one dtype, not {} by {} to {}", name_of(a.dtype), name_of(b.dtype), name_of(out.dtype));
}

// How many rows of a weight are widened at a time: what stays in a core's cache, in whole panels.
std::int64_t widened_rows(const Tensor& weight) {
  constexpr std::int64_t elements = 1 << 19;  // 2 MiB of f32
  const std::int64_t unit = std::max<std::int64_t>(weight.panel, 1);
  return std::min(std::max<std::int64_t>(elements / weight.columns / unit, 1) * unit, weight.rows);
}

// Where a product's own workspace begins, behind the widened rows.
std::int64_t widened_bytes(std::int64_t rows, const Weight& weight, DType compute) {
  constexpr std::int64_t line = 64;
  return (rows * weight.columns() * size_of(compute) + line - 1) / line * line;
}

std::int64_t widened_workspace(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                               const Tensor& out) {
  const std::int64_t step = widened_rows(weight.values);
  std::int64_t products = 0;
  for (const std::int64_t count : {step, weight.rows() % step}) {
    if (count == 0) continue;
    const Tensor wide{nullptr, a.dtype, count, weight.columns(), weight.columns()};
    products = std::max(products, workspace(context, a, wide, Transpose::yes, 1.0f, out.column_range(0, count),
                                            bias.elements() > 0));
  }
  return widened_bytes(step, weight, a.dtype) + products;
}

// A few rows of the weight after the other: those are the columns of `out`.
void multiply_widened(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                      const Tensor& out) {
  const std::int64_t step = widened_rows(weight.values);
  const bool biased = bias.elements() > 0;
  CpuContext product = context;
  product.workspace += widened_bytes(step, weight, a.dtype);
  for (std::int64_t begin = 0; begin < weight.rows(); begin += step) {
    const std::int64_t count = std::min(step, weight.rows() - begin);
    const Tensor wide = widen_rows(context, weight, begin, count, a.dtype, context.workspace);
    const Tensor to = out.column_range(begin, count);
    for_dtype(a.dtype, [&]<class T>(T) {
      for (std::int64_t row = 0; biased && row < to.rows; ++row)
        std::copy_n(bias.row<T>(0) + begin, count, to.row<T>(row));
    });
    multiply(product, a, wide, Transpose::yes, 1.0f, to, biased);
  }
}

}  // namespace

void gemm_cpu(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b, float scale,
              const Tensor& out, bool accumulate) {
  check_dtypes(a, b, out);
  CHECK_EQUAL(b.panel, 0, "panels are weights'");
  if (out.elements() == 0) return;
  const bool widened = is_widened(b.dtype, a.dtype);
  multiply(context, a, widened ? widen_rows(context, b, 0, b.rows, a.dtype, context.workspace) : b, transpose_b, scale, out,
           accumulate);
}

void gemm_weight_cpu(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                     const Tensor& out) {
  check_dtypes(a, weight.values, out);
  if (out.elements() == 0) return;
  if (weight.values.panel > 0 && a.rows <= most_panel_product_rows) return panel_product(context, a, weight, bias, out);
  if (is_widened(weight.values.dtype, a.dtype)) return multiply_widened(context, a, weight, bias, out);
  multiply_weight(context, a, weight.values, bias, out);
}

std::int64_t gemm_workspace(const CpuContext& context, const Tensor& a, const Tensor& b, Transpose transpose_b,
                            float scale, const Tensor& out, bool accumulate) {
  if (out.elements() == 0) return 0;
  if (is_widened(b.dtype, a.dtype)) return b.elements() * size_of(a.dtype);
  return workspace(context, a, b, transpose_b, scale, out, accumulate);
}

std::int64_t gemm_weight_workspace(const CpuContext& context, const Tensor& a, const Weight& weight, const Tensor& bias,
                                   const Tensor& out) {
  if (out.elements() == 0 || (weight.values.panel > 0 && a.rows <= most_panel_product_rows)) return 0;
  if (is_widened(weight.values.dtype, a.dtype)) return widened_workspace(context, a, weight, bias, out);
  return weight_workspace(context, a, weight.values, bias, out);
}

std::int64_t gemm_panel(DType dtype, std::int64_t rows, std::int64_t columns) {
  if (rows == 0 || columns == 0) return 0;
  if (dtype == DType::fp8) return columns % 4 == 0 ? widest_panel_dividing(rows) : 0;
  if (dtype != DType::f32 && dtype != DType::bf16) return 0;
  return panel_that_is_read(dtype, rows, columns);
}

}  // namespace batchscope
