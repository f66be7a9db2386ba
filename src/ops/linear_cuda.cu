// Products on a GPU (ops/linear_cuda.h). cuBLASLt's matrices are column by column: what we call out [m, n] is its [n, m],
// the product of weight^T, an [n, k] that lies as [k, n], and x, a [k, m].
#include "ops/linear_cuda.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

#include "base/check.h"
#include "base/error.h"
#include "device/cuda/element.cuh"
#include "ops/few_rows_product_cuda.h"

namespace batchscope {
namespace {

constexpr std::string_view few_rows_name = "few_rows";  // on disk
constexpr int most_proposals = 48;
constexpr int repeats = 8;
constexpr std::size_t finalists = 4;
constexpr std::size_t most_known = 4096;  // products that algorithms have been seen to run for

void check_cublas(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) throw Failure("cuBLASLt, {}: {}", what, cublasLtGetStatusString(status));
}

cudaDataType_t type_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return CUDA_R_32F;
    case DType::bf16:
      return CUDA_R_16BF;
    case DType::f16:
      return CUDA_R_16F;
    case DType::fp8:
      return CUDA_R_8F_E4M3;
    case DType::i32:
      break;
  }
  throw Failure("products are of f32, bf16, f16 or fp8, not of {}", name_of(dtype));
}

// A layout of `rows` rows that lie as `stride` says, in cuBLASLt's words.
class Layout {
 public:
  Layout(DType dtype, std::int64_t columns, std::int64_t rows, std::int64_t stride) {
    check_cublas(cublasLtMatrixLayoutCreate(&layout_, type_of(dtype), static_cast<std::uint64_t>(columns),
                                            static_cast<std::uint64_t>(rows), stride),
                 "describing a matrix");
  }
  ~Layout() { cublasLtMatrixLayoutDestroy(layout_); }
  Layout(const Layout&) = delete;
  Layout& operator=(const Layout&) = delete;
  operator cublasLtMatrixLayout_t() const { return layout_; }

 private:
  cublasLtMatrixLayout_t layout_ = nullptr;
};

// Where products' workspace begins: the op's, at a multiple of what cuBLASLt wants.
std::byte* aligned_workspace(const CudaContext& context) {
  constexpr std::uintptr_t alignment = cuda_gemm_workspace_alignment;
  return reinterpret_cast<std::byte*>((reinterpret_cast<std::uintptr_t>(context.workspace) + alignment - 1) / alignment *
                                      alignment);
}

// A row's stride where there is only one is free; cuBLASLt wants at least the columns.
std::int64_t stride_of(const Tensor& x) { return x.rows > 1 ? x.stride : std::max(x.stride, x.columns); }

std::filesystem::path cache_folder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder != nullptr && *folder == '/') return folder;
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::filesystem::path(home) / ".cache";
  return {};
}

// One file a GPU, driver and version of cuBLASLt: algorithms are opaque and mean nothing to others.
std::filesystem::path file_for(int device) {
  const std::filesystem::path folder = cache_folder();
  if (folder.empty()) return {};
  cudaDeviceProp properties{};
  int driver = 0;
  check_cuda(cudaGetDeviceProperties(&properties, device), "asking the GPU");
  check_cuda(cudaDriverGetVersion(&driver), "asking the driver");
  std::string name = properties.name;
  std::replace_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return folder / "batchscope" / fmt::format("products-{}-{}-{}.txt", name, driver, cublasLtGetVersion());
}

}  // namespace

namespace {

// FP8's sums of products reach 448 * 448 * k, beyond f16; where scales come after, they are rounded to 16 bits so much
// smaller.
constexpr float unscaled_share = 0x1p-18f;

// Of one row, or nothing: 1.
struct RowScales {
  const float* x = nullptr;
  const float* weight = nullptr;
  __device__ float of(std::int64_t row, std::int64_t column) const {
    return x == nullptr ? 1.0f : x[row] * weight[column];
  }
};

// For what cuBLASLt does not take, such as some rows of odd strides: a thread an element.
template <class T, class Operand>
__global__ void plain_product_kernel(const Operand* x, std::int64_t x_stride, const Operand* weight,
                                     std::int64_t weight_stride, RowScales scales, const T* bias, T* out,
                                     std::int64_t out_stride, std::int64_t rows, std::int64_t n, std::int64_t k) {
  begin_kernel();
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element >= rows * n) return;
  const std::int64_t row = element / n, column = element % n;
  float sum = 0;
  for (std::int64_t i = 0; i < k; ++i)
    sum += widen(x[row * x_stride + i]) * widen(weight[column * weight_stride + i]);
  sum *= scales.of(row, column);
  out[row * out_stride + column] = narrow<T>(bias != nullptr ? sum + widen(bias[column]) : sum);
}

constexpr int element_threads = 256;
unsigned element_blocks(const Tensor& out) { return grid_size(ceil_div(out.elements(), element_threads)); }

template <class T>
const T* bias_of(const Linear& op) {
  return op.bias.elements() > 0 ? op.bias.row<T>(0) : nullptr;
}

template <class Operand, class T>
void multiply_plainly(const CudaContext& context, const Linear& op, const RowScales& scales) {
  const Tensor& weight = op.weight.values;
  launch_cuda("linear", context.stream, element_blocks(op.out), element_threads, plain_product_kernel<T, Operand>,
              op.x.row<Operand>(0), op.x.stride, weight.row<Operand>(0), weight.stride, scales, bias_of<T>(op),
              op.out.row<T>(0), op.out.stride, op.out.rows, op.out.columns, op.x.columns);
}

constexpr int quantised_at_once = 16;  // columns of a thread: what it writes is 16 bytes

// A block a row: its largest magnitude becomes 448, as tensor/host_rows.h has it.
template <class T, bool aligned>
__global__ void quantise_rows_kernel(const T* x, std::int64_t x_stride, std::int64_t columns, std::byte* values,
                                     std::int64_t values_stride, float* scales) {
  begin_kernel();
  const T* row = x + static_cast<std::int64_t>(blockIdx.x) * x_stride;
  std::byte* to = values + static_cast<std::int64_t>(blockIdx.x) * values_stride;
  const std::int64_t first = static_cast<std::int64_t>(threadIdx.x) * quantised_at_once;
  const std::int64_t step = static_cast<std::int64_t>(blockDim.x) * quantised_at_once;
  float largest = 0;
  for (std::int64_t at = first; at < columns; at += step) {
    float floats[quantised_at_once];
    load_floats<aligned>(row + at, columns - at, floats);
#pragma unroll
    for (int i = 0; i < quantised_at_once; ++i) largest = fmaxf(largest, fabsf(floats[i]));
  }
  largest = reduce_block(largest, 0.0f, LargerOf());
  const float scale = fmaxf(largest / Float8::largest, 0x1p-126f);
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
  for (std::int64_t at = first; at < columns; at += step) {
    float floats[quantised_at_once];
    load_floats<aligned>(row + at, columns - at, floats);
    alignas(16) __nv_fp8_storage_t codes[quantised_at_once];
#pragma unroll
    for (int i = 0; i < quantised_at_once; ++i)
      codes[i] = __nv_cvt_float_to_fp8(floats[i] / scale, __NV_SATFINITE, __NV_E4M3);
    *reinterpret_cast<uint4*>(to + at) = *reinterpret_cast<const uint4*>(codes);
  }
}

// x in FP8 behind cuBLASLt's workspace.
struct QuantisedRows {
  Tensor values;
  float* scales;
};
QuantisedRows quantise_rows(const CudaContext& context, const Tensor& x) {
  constexpr int threads = 256;
  const Fp8Places places = fp8_places(x.rows, x.columns);
  std::byte* const begin = aligned_workspace(context) + cuda_gemm_workspace_used;
  QuantisedRows out{{begin, DType::fp8, x.rows, x.columns, places.stride},
                    reinterpret_cast<float*>(begin + places.values_bytes)};
  for_cuda_dtype(x.dtype, [&]<class T>(T) {
    const auto launch = [&](auto* kernel) {
      launch_cuda("rounding activations to fp8", context.stream, grid_size(x.rows), threads, kernel, x.row<T>(0), x.stride,
                  x.columns, begin, places.stride, out.scales);
    };
    if (has_aligned_rows(x))
      launch(quantise_rows_kernel<T, true>);
    else
      launch(quantise_rows_kernel<T, false>);
  });
  return out;
}

// out = out * scales (+ bias): of sums that were made unscaled_share of what they are.
template <class T>
__global__ void scale_product_kernel(RowScales scales, const T* bias, T* out, std::int64_t out_stride, std::int64_t rows,
                                     std::int64_t n) {
  begin_kernel();
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element >= rows * n) return;
  const std::int64_t row = element / n, column = element % n;
  T& at = out[row * out_stride + column];
  const float sum = widen(at) * (scales.of(row, column) / unscaled_share);
  at = narrow<T>(bias != nullptr ? sum + widen(bias[column]) : sum);
}

// A weight in FP8 as `to`, in the dtype of the rest.
template <class T>
__global__ void widen_weight_kernel(const __nv_fp8_e4m3* values, std::int64_t stride, const float* scales,
                                    std::int64_t groups, std::int64_t scale_columns, T* to, std::int64_t rows,
                                    std::int64_t columns) {
  begin_kernel();
  const std::int64_t element = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (element >= rows * columns) return;
  const std::int64_t row = element / columns, column = element % columns;
  to[element] = narrow<T>(widen(values[row * stride + column]) * scales[row * groups + column / scale_columns]);
}

}  // namespace

namespace {

// Memory larger than the L2 cache, for as long as products of few rows are timed: what they take is reading their weight, which
// a model never finds in the cache. Null where there is none to be had: they are timed all the same.
constexpr std::int64_t swept_bytes = 128 << 20;
constexpr std::int64_t most_swept_rows = 64;
class SweptMemory {
 public:
  // In the stream's order: nothing waits for what other ranks' streams do on the same GPU.
  SweptMemory(bool is_wanted, cudaStream_t stream) : stream_(stream) {
    if (is_wanted && cudaMallocAsync(&data_, swept_bytes, stream) != cudaSuccess) {
      cudaGetLastError();
      data_ = nullptr;
    }
  }
  ~SweptMemory() {
    if (data_ != nullptr) cudaFreeAsync(data_, stream_);
  }
  SweptMemory(const SweptMemory&) = delete;
  SweptMemory& operator=(const SweptMemory&) = delete;
  std::byte* data() const { return static_cast<std::byte*>(data_); }

 private:
  cudaStream_t stream_;
  void* data_ = nullptr;
};

__global__ void sweep_kernel(uint4* data) {
  begin_kernel();
  data[static_cast<std::int64_t>(blockIdx.x) * element_threads + threadIdx.x] = {0, 0, 0, 0};
}

}  // namespace

struct CudaGemm::Operation {
  // x_scales: of FP8 whose scales cuBLASLt is to multiply by.
  explicit Operation(const Linear& op, const float* x_scales = nullptr)
      : scaling(!op.weight.is_scaled() ? Scaling::none : x_scales != nullptr ? Scaling::within : Scaling::after),
        share(scaling == Scaling::after ? unscaled_share : 1.0f),
        weight(op.weight.values.dtype, op.weight.columns(), op.weight.rows(), stride_of(op.weight.values)),
        x(op.x.dtype, op.x.columns, op.x.rows, stride_of(op.x)),
        out(op.out.dtype, op.out.columns, op.out.rows, stride_of(op.out)) {
    check_cublas(cublasLtMatmulDescCreate(&description, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    if (scaling == Scaling::within) set_scales(op.weight.scales.row<float>(0), x_scales);
    if (op.bias.elements() == 0) return;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    const void* bias = op.bias.data;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }
  ~Operation() { cublasLtMatmulDescDestroy(description); }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    check_cublas(cublasLtMatmulDescSetAttribute(description, attribute, &value, sizeof value), "describing a product");
  }

  // A scale a row of the weight and of x. Older toolkits than 12.9 cannot: then there is no algorithm.
  void set_scales([[maybe_unused]] const float* weight_scales, [[maybe_unused]] const float* x_scales) {
#if CUBLAS_VERSION >= 120900
    const cublasLtMatmulMatrixScale_t of_rows = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, of_rows);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, of_rows);
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, weight_scales);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, x_scales);
#endif
  }
  static constexpr bool takes_scales_of_rows = CUBLAS_VERSION >= 120900;

  const Scaling scaling;
  const float share;  // of the sums, that is written
  cublasLtMatmulDesc_t description = nullptr;
  Layout weight, x, out;
};

void linear_cuda(const CudaContext& context, const Linear& op) { context.gemm->multiply(context, op); }
void prepare_linear_cuda(const CudaContext& context, const Linear& op) { context.gemm->prepare(context, op); }

// Exact up to 16, then in steps of about an eighth.
std::int64_t alike_rows(std::int64_t rows) {
  if (rows <= 16) return rows;
  const auto power = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(rows - 1)));
  const std::int64_t step = std::max<std::int64_t>(power / 8, 16);
  return (rows + step - 1) / step * step;
}

CudaGemm::CudaGemm(int device) {
  check_cuda(cudaSetDevice(device), "choosing the GPU");
  check_cublas(cublasLtCreate(&handle_), "starting");
  check_cuda(cudaEventCreate(&begin_), "making an event");
  check_cuda(cudaEventCreate(&end_), "making an event");
  kept_ = file_for(device);
  read_kept();
}

CudaGemm::~CudaGemm() {
  cudaEventDestroy(begin_);
  cudaEventDestroy(end_);
  cublasLtDestroy(handle_);
}

void CudaGemm::multiply(const CudaContext& context, const Linear& op) {
  const DType kept = op.weight.values.dtype;
  CHECK_THAT(op.x.dtype == op.out.dtype && (kept == op.x.dtype || kept == DType::fp8), "a product is of one dtype");
  if (op.out.elements() == 0) return;
  if (kept == DType::fp8 && few_rows_product_fits(op)) return few_rows_product(context, op);
  if (fp8_is_multiplied(op)) return multiply_fp8(context, op);
  if (kept == DType::fp8) return multiply_widened(context, op);
  if (multiply(context, op, Operation(op))) return;
  for_cuda_dtype(op.out.dtype, [&]<class T>(T) { multiply_plainly<T, T>(context, op, {}); });
}

void CudaGemm::prepare(const CudaContext& context, const Linear& op) {
  is_preparing_ = true;
  multiply(context, op);
  is_preparing_ = false;
}

void CudaGemm::multiply_fp8(const CudaContext& context, const Linear& op) {
  const QuantisedRows x = quantise_rows(context, op.x);
  const RowScales scales{x.scales, op.weight.scales.row<float>(0)};
  Linear product = op;
  product.x = x.values;
  if (Operation::takes_scales_of_rows && multiply(context, product, Operation(product, x.scales))) return;
  product.bias = {};
  const bool is_multiplied = multiply(context, product, Operation(product));
  for_cuda_dtype(op.out.dtype, [&]<class T>(T) {
    if (is_multiplied)
      return launch_cuda("linear", context.stream, element_blocks(op.out), element_threads, scale_product_kernel<T>, scales,
                         bias_of<T>(op), op.out.row<T>(0), op.out.stride, op.out.rows, op.out.columns);
    product.bias = op.bias;
    multiply_plainly<__nv_fp8_e4m3, T>(context, product, scales);
  });
}

void CudaGemm::multiply_widened(const CudaContext& context, const Linear& op) {
  const Weight& weight = op.weight;
  Linear product = op;
  product.weight = Tensor{aligned_workspace(context) + cuda_gemm_workspace_used, op.x.dtype, weight.rows(),
                          weight.columns(), weight.columns()};
  for_cuda_dtype(op.x.dtype, [&]<class T>(T) {
    launch_cuda("multiplying fp8 out", context.stream, element_blocks(weight.values), element_threads,
                widen_weight_kernel<T>, weight.values.row<__nv_fp8_e4m3>(0), weight.values.stride,
                weight.scales.row<float>(0), weight.scales.stride, weight.scale_columns, product.weight.values.row<T>(0),
                weight.rows(), weight.columns());
  });
  multiply(context, product);
}

bool CudaGemm::multiply(const CudaContext& context, const Linear& op, const Operation& operation) {
  const Shape shape = shape_of(op, operation.scaling);
  if (is_preparing_ && !loaded_.insert(shape).second) return true;
  const Exact exact{static_cast<std::int64_t>(shape.dtype),
                    static_cast<std::int64_t>(shape.scaling),
                    shape.rows,
                    shape.n,
                    shape.k,
                    shape.alignment,
                    shape.biased ? 1 : 0,
                    op.x.rows,
                    stride_of(op.x),
                    stride_of(op.weight.values),
                    stride_of(op.out)};
  auto known = running_.find(exact);
  if (known == running_.end()) {
    if (running_.size() >= most_known) running_.clear();  // batches come in many lengths
    const Algorithm found = find(context, op, operation, shape);
    running_[exact] = found;
    return static_cast<bool>(found);
  }
  if (!known->second) return false;
  if (!run(context, op, operation, known->second)) throw Failure("cuBLASLt refuses a product that it has made before");
  return true;
}

// The measured algorithm of the shape where it runs, else the library's first proposal that does.
CudaGemm::Algorithm CudaGemm::find(const CudaContext& context, const Linear& op, const Operation& operation,
                                   const Shape& shape) {
  auto measured = measured_.find(shape);
  if (measured == measured_.end()) {
    measured_[shape] = measure(context, op, operation, shape);
    measured = measured_.find(shape);
  }
  if (run(context, op, operation, measured->second)) return measured->second;
  for (const Algorithm& proposal : proposals(op, operation, shape))
    if (run(context, op, operation, proposal)) return proposal;
  cudaGetLastError();
  return {};
}

bool CudaGemm::run(const CudaContext& context, const Linear& op, const Operation& operation,
                   const Algorithm& algorithm) const {
  if (algorithm.kind == Algorithm::Kind::none) return false;
  if (algorithm.kind == Algorithm::Kind::few_rows) {
    if (!few_rows_product_fits(op)) return false;
    few_rows_product(context, op);
    return true;
  }
  const float zero = 0;
  return cublasLtMatmul(handle_, operation.description, &operation.share, op.weight.values.data, operation.weight,
                        op.x.data, operation.x, &zero, op.out.data, operation.out, op.out.data, operation.out,
                        &algorithm.library, aligned_workspace(context),
                        static_cast<std::size_t>(cuda_gemm_workspace_used), context.stream) == CUBLAS_STATUS_SUCCESS;
}

CudaGemm::Shape CudaGemm::shape_of(const Linear& op, Scaling scaling) {
  std::uintptr_t bits = 16;
  for (const Tensor* x : {&op.x, &op.weight.values, &op.out, &op.bias})
    bits |= reinterpret_cast<std::uintptr_t>(x->data) |
            (x->rows > 1 ? static_cast<std::uintptr_t>(x->stride * size_of(x->dtype)) : 0);
  const int alignment = 1 << std::countr_zero(bits);
  return {op.out.dtype, scaling, alike_rows(op.x.rows), op.weight.rows(), op.weight.columns(), alignment, op.bias.elements() > 0};
}

std::vector<CudaGemm::Algorithm> CudaGemm::proposals(const Linear& op, const Operation& operation,
                                                     const Shape& shape) const {
  cublasLtMatmulPreference_t preference = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&preference), "asking for algorithms");
  const auto workspace = static_cast<std::size_t>(cuda_gemm_workspace_used);
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                       sizeof workspace);
  const auto alignment = static_cast<std::uint32_t>(shape.alignment);
  for (const auto attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof alignment);
  std::array<cublasLtMatmulHeuristicResult_t, most_proposals> results{};
  int count = 0;
  const auto status =
      cublasLtMatmulAlgoGetHeuristic(handle_, operation.description, operation.weight, operation.x, operation.out,
                                     operation.out, preference, most_proposals, results.data(), &count);
  cublasLtMatmulPreferenceDestroy(preference);
  std::vector<Algorithm> proposals(status == CUBLAS_STATUS_SUCCESS ? static_cast<std::size_t>(count) : 0);
  for (std::size_t i = 0; i < proposals.size(); ++i) proposals[i] = {Algorithm::Kind::library, results[i].algo};
  if (few_rows_product_fits(op)) proposals.push_back({Algorithm::Kind::few_rows});
  return proposals;
}

float CudaGemm::time(const CudaContext& context, const Linear& op, const Operation& operation,
                     const Algorithm& algorithm, int times, std::byte* swept) const {
  check_cuda(cudaEventRecord(begin_, context.stream), "timing a product");
  for (int i = 0; i < times; ++i) {
    if (swept != nullptr)
      launch_cuda("timing a product", context.stream, grid_size(swept_bytes / sizeof(uint4) / element_threads),
                  element_threads, sweep_kernel, reinterpret_cast<uint4*>(swept));
    run(context, op, operation, algorithm);
  }
  check_cuda(cudaEventRecord(end_, context.stream), "timing a product");
  check_cuda(cudaEventSynchronize(end_), "timing a product");
  float milliseconds = 0;
  check_cuda(cudaEventElapsedTime(&milliseconds, begin_, end_), "timing a product");
  return milliseconds;
}

// The fastest of the library's proposals, if any runs. Its first one while a graph is captured, when nothing can be
// measured, and once the budget is spent.
CudaGemm::Algorithm CudaGemm::measure(const CudaContext& context, const Linear& op, const Operation& operation,
                                      const Shape& shape) {
  const auto candidates = proposals(op, operation, shape);
  if (candidates.empty()) return {};
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(context.stream, &capturing), "asking the stream");
  const bool is_over = tuning_.seconds > std::chrono::duration<double>(tuning_budget).count();
  if (capturing != cudaStreamCaptureStatusNone || is_over) {
    if (is_over && tuning_.without++ == 0)
      spdlog::info("products: {} were tuned in {:.0f} s, which is as long as it may take; others use cuBLASLt's first "
                   "proposal until the next start",
                   tuning_.measured, tuning_.seconds);
    return candidates.front();
  }

  const auto started = std::chrono::steady_clock::now();
  const SweptMemory swept(op.x.rows <= most_swept_rows, context.stream);
  // All of them once, then the fastest few often enough to tell them apart.
  std::vector<Timed> timed;
  for (const Algorithm& candidate : candidates)
    if (run(context, op, operation, candidate))
      timed.push_back({time(context, op, operation, candidate, 1, swept.data()), candidate});
  std::sort(timed.begin(), timed.end(), [](const Timed& x, const Timed& y) { return x.milliseconds < y.milliseconds; });
  Algorithm best;
  float best_time = 0;
  for (std::size_t i = 0; i < std::min(timed.size(), finalists); ++i) {
    const float milliseconds = time(context, op, operation, timed[i].algorithm, repeats, swept.data());
    if (best && milliseconds >= best_time) continue;
    best = timed[i].algorithm;
    best_time = milliseconds;
  }
  cudaGetLastError();  // of those that did not run
  if (!best) return {};
  ++tuning_.measured;
  tuning_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  keep(shape, best);
  return best;
}

// A line a shape: dtype, scaling, rows, n, k, alignment, biased, and the algorithm: our kernel's name, or the library's words.
// Damaged lines are passed over.
void CudaGemm::read_kept() {
  if (kept_.empty()) return;
  std::ifstream file(kept_);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    int dtype = 0, scaling = 0, biased = 0;
    Shape shape{};
    Algorithm algorithm{Algorithm::Kind::library};
    words >> dtype >> scaling >> shape.rows >> shape.n >> shape.k >> shape.alignment >> biased;
    bool whole = static_cast<bool>(words);
    if (line.ends_with(few_rows_name))
      algorithm.kind = Algorithm::Kind::few_rows;
    else
      for (std::uint64_t& word : algorithm.library.data) whole = whole && static_cast<bool>(words >> std::hex >> word);
    if (!whole || dtype < 0 || dtype > 2 || scaling < 0 || scaling > 2) continue;
    shape.dtype = static_cast<DType>(dtype);
    shape.scaling = static_cast<Scaling>(scaling);
    shape.biased = biased != 0;
    measured_[shape] = algorithm;
    ++tuning_.from_disk;
  }
}

// Appends, in one write: several programs may do so at once. What cannot be kept is measured again next time.
void CudaGemm::keep(const Shape& shape, const Algorithm& algorithm) const {
  if (kept_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(kept_.parent_path(), ignored);
  std::string line = fmt::format("{} {} {} {} {} {} {}", static_cast<int>(shape.dtype), static_cast<int>(shape.scaling), shape.rows, shape.n, shape.k,
                                 shape.alignment, shape.biased ? 1 : 0);
  if (algorithm.kind == Algorithm::Kind::few_rows)
    line += fmt::format(" {}", few_rows_name);
  else
    for (const std::uint64_t word : algorithm.library.data) line += fmt::format(" {:x}", word);
  std::ofstream file(kept_, std::ios::app);
  file << line + "\n" << std::flush;
}

}  // namespace batchscope
