// Linear on a GPU, and the products of a GPU by cuBLASLt or, of few rows, by a kernel of ours: the algorithm of each shape is the
// fastest of those that the library proposes and ours, measured once and kept on disk.
#pragma once

#include <cublasLt.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "device/cuda/context.h"
#include "ops/cuda_workspaces.h"
#include "ops/linear.h"

namespace batchscope {

void linear_cuda(const CudaContext& context, const Linear& op);
void prepare_linear_cuda(const CudaContext& context, const Linear& op);

// A number for all those of rows that one algorithm serves.
std::int64_t alike_rows(std::int64_t rows);

// One GPU's. Used by one thread at a time.
class CudaGemm {
 public:
  explicit CudaGemm(int device);
  ~CudaGemm();
  CudaGemm(const CudaGemm&) = delete;
  CudaGemm& operator=(const CudaGemm&) = delete;

  // out [m, n] = x [m, k] weight [n, k]^T (+ bias). Where the weight is FP8 with a scale a row and the rest 16 bits wide, few
  // rows of x are multiplied as they are; more are rounded to FP8, too, with a scale a row (its largest magnitude / 448), and
  // FP8 is multiplied. Other FP8 weights are multiplied out first.
  void multiply(const CudaContext& context, const Linear& op);
  // Sees to it that a product of this shape, or of rows that are alike, will not be the first: the library loads a
  // kernel at its first use, once all that runs on the GPU has ended. What is in `out` afterwards means nothing.
  void prepare(const CudaContext& context, const Linear& op);

  // How long algorithms may be measured in all; after that the library's first proposal is taken.
  static constexpr std::chrono::seconds tuning_budget{40};
  struct Tuning {
    std::int64_t measured = 0, from_disk = 0, without = 0;  // products
    double seconds = 0;
  };
  const Tuning& tuning() const { return tuning_; }

 private:
  // How FP8's scales enter: there are none, cuBLASLt multiplies by them, or it leaves them to whoever called.
  enum class Scaling { none, within, after };
  // What an algorithm is measured for and kept on disk. Rows that are alike in number share one.
  struct Shape {
    DType dtype;  // of the result
    Scaling scaling;
    std::int64_t rows, n, k;
    int alignment;  // of all operands and their rows, bytes
    bool biased;
    auto operator<=>(const Shape&) const = default;
  };
  // What it has been seen to run for: of other strides cuBLASLt may refuse it, whatever its check says.
  // The shape's fields, then rows and the strides of x, weight and out.
  using Exact = std::array<std::int64_t, 11>;
  struct Operation;  // cuBLASLt's descriptions of a product

  void multiply_fp8(const CudaContext& context, const Linear& op);
  void multiply_widened(const CudaContext& context, const Linear& op);
  // False: cuBLASLt has no algorithm that runs.
  bool multiply(const CudaContext& context, const Linear& op, const Operation& operation);
  static Shape shape_of(const Linear& op, Scaling scaling);
  struct Algorithm {
    enum class Kind { none, library, few_rows };  // none: cuBLASLt has none that runs
    Kind kind = Kind::none;
    cublasLtMatmulAlgo_t library{};
    explicit operator bool() const { return kind != Kind::none; }
  };
  // Multiplies with what it returns, the first time.
  Algorithm find(const CudaContext& context, const Linear& op, const Operation& operation, const Shape& shape);
  Algorithm measure(const CudaContext& context, const Linear& op, const Operation& operation, const Shape& shape);
  // The library's, the most promising first, then ours.
  std::vector<Algorithm> proposals(const Linear& op, const Operation& operation, const Shape& shape) const;
  struct Timed {
    float milliseconds;
    Algorithm algorithm;
  };
  // Of so many runs, each behind a pass over `swept`, if that is not null: then the weight comes from memory, as in a model.
  float time(const CudaContext& context, const Linear& op, const Operation& operation, const Algorithm& algorithm,
             int times, std::byte* swept) const;
  // False: it does not run for this product.
  bool run(const CudaContext& context, const Linear& op, const Operation& operation, const Algorithm& algorithm) const;
  void read_kept();
  void keep(const Shape& shape, const Algorithm& algorithm) const;

  cublasLtHandle_t handle_ = nullptr;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
  std::map<Shape, Algorithm> measured_;
  std::map<Exact, Algorithm> running_;
  std::set<Shape> loaded_;  // of which a product has run
  bool is_preparing_ = false;
  std::filesystem::path kept_;  // empty: there is no place for it
  Tuning tuning_;
};

}  // namespace batchscope
