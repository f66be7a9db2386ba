// Drawing tokens on a GPU, as sample_token() does it: a block a row. Each warp has a range of ids, in their order, and
// all sums are in f64 and in a fixed order, so that a draw is the same every time.
#include <cmath>

#include "device/cuda/element.cuh"
#include "ops/kernels_cuda.h"
#include "ops/sample_tokens.h"

namespace batchscope {
namespace {

constexpr int row_threads = 1024;
constexpr int row_warps = row_threads / warp_size;

template <class T>
struct SampledRows {
  const T* logits;  // [parts * rows, widest part]
  std::int64_t stride;
  std::int64_t rows;
  int vocabulary, parts;
  const std::int32_t* draws;
  std::int64_t draws_stride;
  float* weights;  // [rows, vocabulary]
  std::int32_t* out;
};

// As words, since the table is only aligned as they are.
__device__ TokenDraw draw_of(const std::int32_t* words) {
  const auto number = [&](int i) { return __hiloint2double(words[2 * i + 1], words[2 * i]); };
  return {number(0), number(1), number(2)};
}

// Calls visit(id, logit) with this thread's tokens, `at_once` of which are loaded together. The parts of the vocabulary
// differ by one, the wider ones come first.
template <int at_once, class T, class Visit>
__device__ void visit_logits(const SampledRows<T>& rows, std::int64_t row, const Visit& visit) {
  int begin = 0;
  for (int part = 0; part < rows.parts; ++part) {
    const int width = rows.vocabulary / rows.parts + (part < rows.vocabulary % rows.parts ? 1 : 0);
    const T* logits = rows.logits + (part * rows.rows + row) * rows.stride;
#pragma unroll at_once
    for (int i = static_cast<int>(threadIdx.x); i < width; i += row_threads) visit(begin + i, widen(logits[i]));
    begin += width;
  }
}

// The first of the largest logits.
struct Largest {
  float value;
  int id;
};

__device__ Largest larger(const Largest& a, const Largest& b) {
  return b.value > a.value || (b.value == a.value && b.id < a.id) ? b : a;
}

// Every thread gets it; id -1 where a logit is NaN.
template <class T>
__device__ Largest largest_of(const SampledRows<T>& rows, std::int64_t row) {
  __shared__ Largest partial[row_warps];
  Largest largest{-INFINITY, static_cast<int>(threadIdx.x)};
  bool has_nan = false;
  visit_logits<8>(rows, row, [&](int id, float logit) {
    has_nan = has_nan || logit != logit;
    largest = larger(largest, {logit, id});
  });
  const auto over_warp = [](Largest own) {
#pragma unroll
    for (int distance = warp_size / 2; distance > 0; distance /= 2)
      own = larger(own,
                   {__shfl_xor_sync(whole_warp, own.value, distance), __shfl_xor_sync(whole_warp, own.id, distance)});
    return own;
  };
  largest = over_warp(largest);
  if (lane_number() == 0) partial[warp_number()] = largest;
  has_nan = __syncthreads_or(has_nan) != 0;
  largest = over_warp(lane_number() < row_warps ? partial[lane_number()] : partial[0]);
  if (has_nan) largest.id = -1;
  return largest;
}

// exp((logit - largest) / temperature), 0 where that is no number. By f64, whose rounding to f32 is nearly always the
// CPU's.
__device__ float weight_of(float logit, float largest, double temperature) {
  const double exponent = (static_cast<double>(logit) - static_cast<double>(largest)) / temperature;
  return exponent <= 0 ? static_cast<float>(exp(static_cast<double>(static_cast<float>(exponent)))) : 0.0f;
}

// A row's weights, and the calling warp's range of ids. Weights are positive, so that their bits are in their order.
struct Weights {
  const float* data;
  int begin, end;
  __device__ unsigned bits(int id) const { return __float_as_uint(data[id]); }
};

__device__ Weights weights_of(const float* data, int vocabulary) {
  const int span = (vocabulary + row_threads - 1) / row_threads * warp_size;
  const int begin = warp_number() * span;
  return {data, min(begin, vocabulary), min(begin + span, vocabulary)};
}

// Tokens that can be drawn: the heavier ones, and of those that weigh as the bits say the first up to `last`.
struct Nucleus {
  unsigned bits = 1;
  int last = 0x7fffffff;
  __device__ bool holds(unsigned other, int id) const { return other > bits || (other == bits && id <= last); }
};

// What this thread's tokens weigh that are in the nucleus.
__device__ double mass_of_thread(const Weights& weights, const Nucleus& nucleus) {
  double mass = 0;
#pragma unroll 8
  for (int id = weights.begin + lane_number(); id < weights.end; id += warp_size) {
    const float weight = weights.data[id];
    mass += nucleus.holds(__float_as_uint(weight), id) ? static_cast<double>(weight) : 0.0;
  }
  return mass;
}

// Of the whole row: all tokens that weigh at least what the bits say.
__device__ double mass_from(const Weights& weights, unsigned bits) {
  return reduce_block(mass_of_thread(weights, {bits}), 0.0, Sum());
}

// Every warp's value for every thread to read.
template <class T>
__device__ void share_warps(T own, T (&values)[row_warps]) {
  if (lane_number() == 0) values[warp_number()] = own;
  __syncthreads();
}

// The id of the token that is the `count`th, from 1 on, of those with these bits.
__device__ int place_of(const Weights& weights, unsigned bits, int count) {
  __shared__ int found[row_warps];
  __shared__ int place;
  int own = 0;
  for (int id = weights.begin + lane_number(); id < weights.end; id += warp_size) own += weights.bits(id) == bits;
  share_warps(reduce_warp(own, Sum()), found);
  int total = 0, before = 0;
  for (int warp = 0; warp < row_warps; ++warp) {
    if (warp < warp_number()) before += found[warp];
    total += found[warp];
  }
  int left = min(count, total) - before;
  if (left >= 1 && left <= found[warp_number()]) {  // in this warp alone
    for (int base = weights.begin; base < weights.end; base += warp_size) {
      const int id = base + lane_number();
      const unsigned equal = __ballot_sync(whole_warp, id < weights.end && weights.bits(id) == bits);
      const bool is_equal = (equal >> lane_number() & 1) != 0;
      if (is_equal && __popc(equal & ((1u << lane_number()) - 1)) == left - 1) place = id;
      left -= __popc(equal);
      if (left <= 0) break;
    }
  }
  __syncthreads();
  return place;
}

// The fewest most probable tokens that together weigh `mass`, which is at most what all weigh. The least weight among
// them is found bit by bit: it is the largest from which on everything weighs as much.
__device__ Nucleus nucleus_of(const Weights& weights, double mass) {
  unsigned least = 1, above = __float_as_uint(1.0f) + 1;  // no weight is more than 1
  double mass_above = 0;                                  // of the weights from `above` on; less than `mass`
  while (above - least > 1) {
    const unsigned middle = least + (above - least) / 2;
    const double heavier = mass_from(weights, middle);
    if (heavier >= mass) {
      least = middle;
    } else {
      above = middle;
      mass_above = heavier;
    }
  }
  const double ties = ceil((mass - mass_above) / static_cast<double>(__uint_as_float(least)));
  const int count = ties < 1 ? 1 : ties > 0x7fffffff ? 0x7fffffff : static_cast<int>(ties);
  return {least, place_of(weights, least, count)};
}

// The first token of the calling warp's range up to which, with all before it in the range, the weights are more than
// `left`; the last one of the nucleus where the sum's rounding leaves none.
__device__ int first_beyond(const Weights& weights, const Nucleus& nucleus, double left) {
  int drawn = -1;
  for (int base = weights.begin; base < weights.end; base += warp_size) {
    const int id = base + lane_number();
    const bool held = id < weights.end && nucleus.holds(weights.bits(id), id);
    double sum = held ? static_cast<double>(weights.data[id]) : 0.0;
#pragma unroll
    for (int distance = 1; distance < warp_size; distance *= 2) {
      const double other = __shfl_up_sync(whole_warp, sum, distance);
      if (lane_number() >= distance) sum += other;
    }
    const unsigned beyond = __ballot_sync(whole_warp, held && sum > left);
    if (beyond != 0) return base + __ffs(static_cast<int>(beyond)) - 1;
    const unsigned any = __ballot_sync(whole_warp, held);
    if (any != 0) drawn = base + warp_size - 1 - __clz(static_cast<int>(any));
    left -= __shfl_sync(whole_warp, sum, warp_size - 1);
  }
  return drawn;
}

// Writes the token where `uniform` falls among those of the nucleus, in the order of their ids.
__device__ void draw_token(const Weights& weights, const Nucleus& nucleus, double uniform, std::int32_t* out) {
  __shared__ double masses[row_warps];
  share_warps(reduce_warp(mass_of_thread(weights, nucleus), Sum()), masses);
  double total = 0;
  for (const double mass : masses) total += mass;
  double left = uniform * total;
  int chosen = -1, last = 0;
  double left_in_chosen = 0;
  for (int warp = 0; warp < row_warps; ++warp) {
    if (masses[warp] > 0) last = warp;
    if (chosen < 0 && masses[warp] > left) {
      chosen = warp;
      left_in_chosen = left;
    }
    left -= masses[warp];
  }
  if (chosen < 0) {  // rounding: the last token
    chosen = last;
    left_in_chosen = INFINITY;
  }
  if (warp_number() != chosen) return;
  const int drawn = first_beyond(weights, nucleus, left_in_chosen);
  if (lane_number() == 0) *out = drawn;
}

template <class T>
__global__ void __launch_bounds__(row_threads) sample_tokens_kernel(SampledRows<T> rows) {
  begin_kernel();
  const std::int64_t row = blockIdx.x;
  const Largest largest = largest_of(rows, row);
  const TokenDraw draw = draw_of(rows.draws + row * rows.draws_stride);
  const auto answer = [&](int id) {
    if (threadIdx.x == 0) rows.out[row] = id;
  };
  if (largest.id < 0 || draw.temperature == 0) return answer(largest.id);
  float* own = rows.weights + row * rows.vocabulary;
  visit_logits<1>(rows, row, [&](int id, float logit) { own[id] = weight_of(logit, largest.value, draw.temperature); });
  __syncthreads();
  const Weights weights = weights_of(own, rows.vocabulary);
  const double total = mass_from(weights, Nucleus().bits);
  if (!(total > 0)) return answer(largest.id);
  Nucleus nucleus;
  if (draw.top_p < 1) nucleus = nucleus_of(weights, draw.top_p * total);
  draw_token(weights, nucleus, draw.uniform, rows.out + row);
}

}  // namespace

void sample_tokens_cuda(const CudaContext& context, const SampleTokens& op) {
  if (op.out.columns == 0) return;
  for_cuda_dtype(op.logits.dtype, [&]<class T>(T) {
    const SampledRows<T> rows{op.logits.row<T>(0),
                              op.logits.stride,
                              op.out.columns,
                              static_cast<int>(grid_size(op.vocabulary)),
                              static_cast<int>(grid_size(op.parts())),
                              op.draws.row<std::int32_t>(0),
                              op.draws.stride,
                              reinterpret_cast<float*>(context.workspace),
                              op.out.row<std::int32_t>(0)};
    launch_cuda("sample_tokens", context.stream, grid_size(op.out.columns), row_threads, sample_tokens_kernel<T>, rows);
  });
}

}  // namespace batchscope
