// Limits measured with as little of the project's own code as can be.
#include "bench/machine_limits.h"

#include <omp.h>
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

#include "base/check.h"

namespace batchscope {
namespace {

constexpr int rounds = 5;

template <class Work>
double best_seconds(const Work& work) {
  double best = 1e30;
  work();
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

// One product with operands of its own, as the layers of a model have them: what repeats in a cache would flatter.
struct Product {
  Product(const dnnl::engine& engine, dnnl::memory::data_type type, std::int64_t m, std::int64_t n, std::int64_t k)
      : desc(describe(engine, type, m, n, k)),
        matmul(desc),
        a(desc.src_desc(), engine),
        b(desc.weights_desc(), engine),
        out(desc.dst_desc(), engine) {
    for (const dnnl::memory& memory : {a, b}) {  // zeros are faster than numbers on some machines
      auto* bytes = static_cast<unsigned char*>(memory.get_data_handle());
      const std::size_t size = memory.get_desc().get_size(), element = type == dnnl::memory::data_type::f32 ? 4 : 2;
      std::uint32_t state = 1;
      for (std::size_t i = 0; i < size; ++i) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = static_cast<unsigned char>(i % element == element - 1 ? 0x3f : state >> 24);  // about 0.5 to 2
      }
    }
  }
  static dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, dnnl::memory::data_type type, std::int64_t m,
                                               std::int64_t n, std::int64_t k) {
    using dnnl::memory;
    const memory::desc x({m, k}, type, memory::format_tag::ab), weight({k, n}, type, memory::format_tag::any);
    const memory::desc y({m, n}, type, memory::format_tag::ab);
#if DNNL_VERSION_MAJOR >= 3
    return {engine, x, weight, y};
#else
    return {{x, weight, y}, engine};
#endif
  }
  dnnl::matmul::primitive_desc desc;
  dnnl::matmul matmul;
  dnnl::memory a, b, out;
};

}  // namespace

double gemm_flop_per_s(DType dtype, std::span<const WeightSize> weights, std::int64_t tokens, int threads) {
  CHECK_THAT(dtype == DType::f32 || dtype == DType::bf16, "oneDNN multiplies f32 and bf16, not {}", name_of(dtype));
  omp_set_num_threads(threads);
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto type = dtype == DType::f32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
  double flop = 0, seconds = 0;
  for (const WeightSize& weight : weights) {
    const Product product(engine, type, tokens, weight.out_features, weight.in_features);
    const double once = 2.0 * static_cast<double>(tokens * weight.out_features * weight.in_features);
    const int repeats = std::clamp(static_cast<int>(2e9 / once), 1, 1000);
    const double time = best_seconds([&] {
      for (int i = 0; i < repeats; ++i)
        product.matmul.execute(stream, {{DNNL_ARG_SRC, product.a}, {DNNL_ARG_WEIGHTS, product.b}, {DNNL_ARG_DST, product.out}});
      stream.wait();
    });
    flop += once * static_cast<double>(weight.count);
    seconds += time / repeats * static_cast<double>(weight.count);
  }
  return flop / seconds;
}

double read_bytes_per_s(int threads) {
  constexpr std::int64_t words = std::int64_t{1} << 26;  // half a GiB: more than caches have
  constexpr std::size_t bytes = words * sizeof(std::uint64_t), large_page = std::size_t{1} << 21;
  const std::unique_ptr<std::uint64_t, decltype(&std::free)> memory(
      static_cast<std::uint64_t*>(std::aligned_alloc(large_page, bytes)), &std::free);
  madvise(memory.get(), bytes, MADV_HUGEPAGE);
  std::fill_n(memory.get(), words, std::uint64_t{1});
  std::uint64_t total = 0;
  const double seconds = best_seconds([&] {
    std::uint64_t sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
    for (std::int64_t i = 0; i < words; ++i) sum += memory.get()[i];
    total += sum;
  });
  CHECK_THAT(total == static_cast<std::uint64_t>(words) * (rounds + 1), "every word is read");
  return static_cast<double>(words) * 8 / seconds;
}

}  // namespace batchscope
