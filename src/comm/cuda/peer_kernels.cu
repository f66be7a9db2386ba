// Collectives over peers' memory. Block b of a kernel works with block b of the same kernel on every peer: they exchange
// pointers and say when they have arrived by flags in each other's mailboxes. All launch as many blocks, and no more than
// fit the GPU at once, since they wait for each other.
#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "comm/cuda/peer_kernels.h"
#include "comm/cuda/collective.cuh"

namespace batchscope {

// As kernels take it.
struct PeerGroup : CollectiveGroup {
  PeerMailbox* mailboxes[most_peers];
  // The next kernel's blocks may take their places while this one waits for peers; not where a peer's kernels need the
  // room.
  bool lets_next_start;
};

namespace {

constexpr int copy_blocks = 128;
constexpr int blocks_beside = 24;                      // of a reduction that leaves the rest of the GPU to other work
constexpr std::int64_t most_shared_of_two = 96 << 10;  // bytes of each of two blocks on a multiprocessor

// A block's meeting with the same block of every peer; in shared memory.
struct Meeting {
  std::uint64_t pointers[most_peers][2];
  std::uint64_t began;
  std::uint32_t arrivals;
  int failed;
};

// All threads of the block together. Leaves two pointers with every peer and waits for theirs; false: aborted.
__device__ bool meet(const PeerGroup& group, Meeting& meeting, const void* first, const void* second) {
  PeerMailbox* own = group.mailboxes[group.rank];
  const int peer = static_cast<int>(threadIdx.x);
  if (peer == 0) {
    meeting.began = now_ns();
    meeting.arrivals = own->arrivals[blockIdx.x];
    meeting.failed = 0;
  }
  __syncthreads();
  if (peer < group.size) {
    const std::uint64_t mine[2] = {reinterpret_cast<std::uint64_t>(first), reinterpret_cast<std::uint64_t>(second)};
    if (peer == group.rank) {
      meeting.pointers[peer][0] = mine[0];
      meeting.pointers[peer][1] = mine[1];
    } else {
      PeerSlot& there = group.mailboxes[peer]->slots[blockIdx.x][group.rank];
      PeerSlot& here = own->slots[blockIdx.x][peer];
      volatile std::uint64_t* out = there.pointers;
      out[0] = mine[0];
      out[1] = mine[1];
      __threadfence_system();
      store_release(&there.flag, meeting.arrivals + 1);
      if (!wait_for(&here.flag, meeting.arrivals + 1, group.aborted)) meeting.failed = 1;
      const volatile std::uint64_t* in = here.pointers;
      meeting.pointers[peer][0] = in[0];
      meeting.pointers[peer][1] = in[1];
    }
  }
  __syncthreads();
  return meeting.failed == 0;
}

// What all threads of the block have written is there for every peer, and theirs here. `read` and `written`: bytes that the
// block moved from and to each peer.
__device__ void leave(const PeerGroup& group, Meeting& meeting, std::uint64_t read, std::uint64_t written,
                      bool is_timed = true) {
  PeerMailbox* own = group.mailboxes[group.rank];
  const int peer = static_cast<int>(threadIdx.x);
  __threadfence_system();
  __syncthreads();
  if (peer < group.size && peer != group.rank) {
    store_release(&group.mailboxes[peer]->slots[blockIdx.x][group.rank].flag, meeting.arrivals + 2);
    wait_for(&own->slots[blockIdx.x][peer].flag, meeting.arrivals + 2, group.aborted);
    const int member = group.members[peer];
    if (read > 0) atomicAdd(reinterpret_cast<Count*>(&group.counters->read_bytes[member]), static_cast<Count>(read));
    if (written > 0)
      atomicAdd(reinterpret_cast<Count*>(&group.counters->written_bytes[member]), static_cast<Count>(written));
  }
  __syncthreads();
  if (peer != 0) return;
  own->arrivals[blockIdx.x] = meeting.arrivals + 2;
  if (blockIdx.x == 0 && is_timed && group.is_timed)
    atomicAdd(reinterpret_cast<Count*>(&group.counters->communicating_ns), static_cast<Count>(now_ns() - meeting.began));
}

// This rank's part [begin, begin + count) of the units of x; the last unit of x may be cut short by `missing` bytes. Ranks
// are added in their order, so that the bits do not depend on who adds.
template <class T, class Combine>
__global__ void __launch_bounds__(collective_threads)
    all_reduce_kernel(const PeerGroup group, std::byte* x, std::int64_t bytes, std::int64_t begin, std::int64_t count,
                      Combine combine) {
  if (group.lets_next_start) let_next_kernel_start();
  __shared__ Meeting meeting;
  if (!meet(group, meeting, x, nullptr)) return;
  constexpr std::int64_t unit = peer_unit_bytes;
  std::uint64_t moved = 0;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * collective_threads; i < count;
       i += static_cast<std::int64_t>(gridDim.x) * collective_threads) {
    const std::int64_t block_end = min(i + collective_threads, count);
    moved += static_cast<std::uint64_t>(min((begin + block_end) * unit, bytes) - (begin + i) * unit);
    const std::int64_t at = i + threadIdx.x;
    if (at >= count) continue;
    const std::int64_t offset = (begin + at) * unit;
    if (offset + unit <= bytes) {
      Unit sum = *reinterpret_cast<const Unit*>(meeting.pointers[0][0] + offset);
      for (int peer = 1; peer < group.size; ++peer)
        sum = combine_units<T>(sum, *reinterpret_cast<const Unit*>(meeting.pointers[peer][0] + offset), combine);
      for (int peer = 0; peer < group.size; ++peer) *reinterpret_cast<Unit*>(meeting.pointers[peer][0] + offset) = sum;
    } else {
      for (std::int64_t byte = offset; byte < bytes; byte += sizeof(T)) {
        float sum = widen(*reinterpret_cast<const T*>(meeting.pointers[0][0] + byte));
        for (int peer = 1; peer < group.size; ++peer)
          sum = widen(narrow<T>(combine(sum, widen(*reinterpret_cast<const T*>(meeting.pointers[peer][0] + byte)))));
        for (int peer = 0; peer < group.size; ++peer)
          *reinterpret_cast<T*>(meeting.pointers[peer][0] + byte) = narrow<T>(sum);
      }
    }
  }
  leave(group, meeting, moved, moved);
}

// Threads of a block that work at the same row, and meet at a barrier of their own.
template <int threads>
struct RowThreads {
  static constexpr int warps = threads / 32;
  const int row = static_cast<int>(threadIdx.x) / threads;  // of those that the block has at once
  const int index = static_cast<int>(threadIdx.x) % threads;

  __device__ void sync() const { asm volatile("bar.sync %0, %1;" ::"r"(row + 1), "n"(threads) : "memory"); }

  // `parts`: of the block, one a warp.
  __device__ float sum(float value, float* parts) const {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    sync();  // the last sum has been read
    if (index % 32 == 0) parts[row * warps + index / 32] = value;
    sync();
    value = parts[row * warps + index % warps];
    for (int offset = warps / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
  }
};

struct Rows {
  std::byte *x, *y, *out;
  const std::byte* weight;  // null: x itself is shared, no norm
  std::int64_t x_stride, out_stride;  // elements; y's rows lie one behind the other
  std::int64_t columns;
  std::int64_t begin, count;  // of rows, this rank's part
  float epsilon;
};

// Elements that are moved together.
template <class T, int width>
struct alignas(width * sizeof(T)) Pack {
  T values[width];
  __device__ void add(const Pack& other) {
#pragma unroll
    for (int e = 0; e < width; ++e) values[e] = narrow<T>(widen(values[e]) + widen(other.values[e]));
  }
};

// Of this rank's rows: y summed over the ranks, x += y, out = norm(x) here and on every peer. A row stays in shared
// memory between the two passes. `rows_at_once`: of a block; `together`: packs that a thread asks for before it waits
// for one.
template <class T, int width, int threads, int rows_at_once, int together>
__global__ void __launch_bounds__(threads) reduce_rows_kernel(const PeerGroup group, const Rows rows) {
  if (group.lets_next_start) let_next_kernel_start();
  wait_for_previous_kernel();
  using Pack = Pack<T, width>;
  using OfRow = RowThreads<threads / rows_at_once>;
  extern __shared__ uint4 kept_rows[];
  __shared__ Meeting meeting;
  __shared__ float parts[threads / 32];
  std::byte* shared_out = rows.weight != nullptr ? rows.out : rows.x;
  if (!meet(group, meeting, rows.y, shared_out)) return;
  const OfRow of_row;
  const std::int64_t packs = rows.columns / width;
  constexpr std::int64_t step = threads / rows_at_once;
  const std::int64_t shared_stride = rows.weight != nullptr ? rows.out_stride : rows.x_stride;
  Pack* const kept = reinterpret_cast<Pack*>(kept_rows) + of_row.row * packs;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * rows_at_once;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * rows_at_once;
  for (std::int64_t i = first + of_row.row; i < rows.count; i += stride) {
    const std::int64_t row = rows.begin + i, y_at = row * rows.columns, out_at = row * shared_stride;
    const auto y_of = [&](int peer) {
      return reinterpret_cast<const Pack*>(reinterpret_cast<const T*>(meeting.pointers[peer][0]) + y_at);
    };
    Pack* x = reinterpret_cast<Pack*>(reinterpret_cast<T*>(rows.x) + row * rows.x_stride);
    float squares = 0;
    for (std::int64_t at = of_row.index; at < packs; at += step * together) {
      Pack sum[together], stream[together];
#pragma unroll
      for (int j = 0; j < together; ++j)
        if (at + j * step < packs) {
          sum[j] = y_of(0)[at + j * step];
          stream[j] = x[at + j * step];
        }
      for (int peer = 1; peer < group.size; ++peer) {
        Pack more[together];
#pragma unroll
        for (int j = 0; j < together; ++j)
          if (at + j * step < packs) more[j] = y_of(peer)[at + j * step];
#pragma unroll
        for (int j = 0; j < together; ++j) sum[j].add(more[j]);
      }
#pragma unroll
      for (int j = 0; j < together; ++j) {
        if (at + j * step >= packs) continue;
        stream[j].add(sum[j]);
#pragma unroll
        for (int e = 0; e < width; ++e) {
          const float value = widen(stream[j].values[e]);  // the norm is of the sum as it is kept
          squares += value * value;
        }
        x[at + j * step] = kept[at + j * step] = stream[j];
      }
    }
    const float scale = rows.weight != nullptr
                            ? rsqrtf(of_row.sum(squares, parts) / static_cast<float>(rows.columns) + rows.epsilon)
                            : 0;
    for (std::int64_t at = of_row.index; at < packs; at += step) {
      Pack out = kept[at];
      if (rows.weight != nullptr) {
        const Pack weight = reinterpret_cast<const Pack*>(rows.weight)[at];
#pragma unroll
        for (int e = 0; e < width; ++e)
          out.values[e] = narrow<T>(widen(weight.values[e]) * widen(narrow<T>(widen(out.values[e]) * scale)));
      }
      for (int peer = 0; peer < group.size; ++peer)
        reinterpret_cast<Pack*>(reinterpret_cast<T*>(meeting.pointers[peer][1]) + out_at)[at] = out;
    }
  }
  std::uint64_t moved = 0;  // by the whole block
  for (std::int64_t i = first; i < rows.count; i += stride)
    moved += static_cast<std::uint64_t>(min(static_cast<std::int64_t>(rows_at_once), rows.count - i) * rows.columns) *
             sizeof(T);
  leave(group, meeting, moved, moved);
}

__device__ PushedLine* lines_of(PeerMailbox* mailbox) { return reinterpret_cast<PushedLine*>(mailbox + 1); }

__device__ void push(PushedLine* to, uint2 data, std::uint32_t flag) {
  asm volatile("st.volatile.global.v4.u32 [%0], {%1, %2, %3, %2};" ::"l"(to), "r"(data.x), "r"(flag), "r"(data.y) : "memory");
}

// Waits for the line; what is in it means nothing once the run is aborted.
__device__ uint2 pushed(const PushedLine* from, std::uint32_t flag, const volatile int* aborted) {
  PushedLine line;
  for (unsigned spins = 1;; ++spins) {
    asm volatile("ld.volatile.global.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(line.data0), "=r"(line.flag0), "=r"(line.data1), "=r"(line.flag1)
                 : "l"(from)
                 : "memory");
    if ((line.flag0 == flag && line.flag1 == flag) || (spins % 1024 == 0 && *aborted != 0))
      return {line.data0, line.data1};
  }
}

// y summed over the ranks, x += y, out = norm(x), of all rows. `lines`: of a row; `room`: lines of one peer's half.
template <class T>
__global__ void __launch_bounds__(collective_threads)
    push_rows_kernel(const PeerGroup group, const Rows rows, std::int64_t lines, std::int64_t room) {
  if (group.lets_next_start) let_next_kernel_start();
  wait_for_previous_kernel();
  constexpr int width = pushed_line_data_bytes / sizeof(T);
  extern __shared__ float row_sums[];
  __shared__ float parts[collective_threads / 32];
  const RowThreads<collective_threads> of_row;
  __shared__ std::uint64_t began;
  if (threadIdx.x == 0) began = now_ns();
  PeerMailbox* own = group.mailboxes[group.rank];
  const std::uint32_t number = *const_cast<volatile std::uint32_t*>(&own->pushes) + 1;
  const auto half_of = [&](int owner, int from) {
    return lines_of(group.mailboxes[owner]) + (static_cast<std::int64_t>(number % 2) * group.size + from) * room;
  };
  const auto own_line = [&](std::int64_t row, std::int64_t i) {
    return reinterpret_cast<const uint2*>(reinterpret_cast<const T*>(rows.y) + row * rows.columns)[i];
  };
  for (std::int64_t row = blockIdx.x; row < rows.count; row += gridDim.x)
    for (std::int64_t i = threadIdx.x; i < lines; i += collective_threads) {
      const uint2 data = own_line(row, i);
      for (int peer = 0; peer < group.size; ++peer)
        if (peer != group.rank) push(half_of(peer, group.rank) + row * lines + i, data, number);
    }
  const T* weight = reinterpret_cast<const T*>(rows.weight);
  std::uint64_t moved = 0;
  for (std::int64_t row = blockIdx.x; row < rows.count; row += gridDim.x) {
    T* x = reinterpret_cast<T*>(rows.x) + row * rows.x_stride;
    float squares = 0;
    for (std::int64_t i = threadIdx.x; i < lines; i += collective_threads) {
      float sum[width];
      for (int rank = 0; rank < group.size; ++rank) {
        const uint2 data = rank == group.rank ? own_line(row, i)
                                              : pushed(half_of(group.rank, rank) + row * lines + i, number, group.aborted);
        const T* values = reinterpret_cast<const T*>(&data);
#pragma unroll
        for (int e = 0; e < width; ++e)
          sum[e] = rank == 0 ? widen(values[e]) : widen(narrow<T>(sum[e] + widen(values[e])));
      }
#pragma unroll
      for (int e = 0; e < width; ++e) {
        const std::int64_t at = i * width + e;
        const T stream = narrow<T>(widen(x[at]) + sum[e]);
        x[at] = stream;
        row_sums[at] = widen(stream);  // the norm is of the sum as it is kept
        squares += row_sums[at] * row_sums[at];
      }
    }
    moved += static_cast<std::uint64_t>(lines) * sizeof(PushedLine);
    if (weight == nullptr) continue;
    const float scale = rsqrtf(of_row.sum(squares, parts) / static_cast<float>(rows.columns) + rows.epsilon);
    T* out = reinterpret_cast<T*>(rows.out) + row * rows.out_stride;
    for (std::int64_t i = threadIdx.x; i < rows.columns; i += collective_threads)
      out[i] = narrow<T>(widen(weight[i]) * widen(narrow<T>(row_sums[i] * scale)));
    __syncthreads();  // row_sums are written anew
  }
  __syncthreads();  // all threads know the push's number
  const int peer = static_cast<int>(threadIdx.x);
  if (peer < group.size && peer != group.rank && moved > 0)
    atomicAdd(reinterpret_cast<Count*>(&group.counters->written_bytes[group.members[peer]]), static_cast<Count>(moved));
  if (peer != 0) return;
  if (blockIdx.x == 0 && group.is_timed)
    atomicAdd(reinterpret_cast<Count*>(&group.counters->communicating_ns), static_cast<Count>(now_ns() - began));
  if (atomicAdd(&own->done_blocks, 1u) + 1 != gridDim.x) return;
  own->done_blocks = 0;
  own->pushes = number;
}

// This rank's part of `all` goes to every peer.
template <class Unit>
__global__ void __launch_bounds__(collective_threads)
    all_gather_kernel(const PeerGroup group, std::byte* all, std::int64_t part_units) {
  __shared__ Meeting meeting;
  if (!meet(group, meeting, all, nullptr)) return;
  const std::int64_t begin = group.rank * part_units;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * collective_threads;
  std::uint64_t moved = 0;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * collective_threads; i < part_units; i += step) {
    moved += static_cast<std::uint64_t>(min(i + collective_threads, part_units) - i) * sizeof(Unit);
    const std::int64_t at = i + threadIdx.x;
    if (at >= part_units) continue;
    const Unit value = reinterpret_cast<const Unit*>(all)[begin + at];
    for (int peer = 0; peer < group.size; ++peer)
      if (peer != group.rank) reinterpret_cast<Unit*>(meeting.pointers[peer][0])[begin + at] = value;
  }
  leave(group, meeting, 0, moved);
}

// Between steps: whoever waits there is idle, which is what is left of a run's time.
__global__ void barrier_kernel(const PeerGroup group) {
  __shared__ Meeting meeting;
  if (meet(group, meeting, nullptr, nullptr)) leave(group, meeting, 0, 0, false);
}

// One thread: says where x lies and waits until the peer has taken it.
__global__ void send_kernel(const PeerGroup group, const std::byte* x, int peer) {
  const std::uint64_t began = now_ns();
  PeerMailbox* own = group.mailboxes[group.rank];
  PeerChannel& there = group.mailboxes[peer]->channels[group.rank];
  const std::uint32_t message = own->sent[peer] + 1;
  *const_cast<volatile std::uint64_t*>(&there.pointer) = reinterpret_cast<std::uint64_t>(x);
  __threadfence_system();
  store_release(&there.posted, message);
  wait_for(&own->channels[peer].taken, message, group.aborted);
  own->sent[peer] = message;
  atomicAdd(reinterpret_cast<Count*>(&group.counters->waiting_ns), static_cast<Count>(now_ns() - began));
}

// Copies what the peer sends, and says so once every block has.
template <class Unit>
__global__ void __launch_bounds__(collective_threads) recv_kernel(const PeerGroup group, std::byte* x, std::int64_t units, int peer) {
  __shared__ std::uint64_t from;
  __shared__ std::uint32_t message;
  __shared__ std::uint64_t began, found;
  PeerMailbox* own = group.mailboxes[group.rank];
  PeerChannel& channel = own->channels[peer];
  if (threadIdx.x == 0) {
    began = now_ns();
    message = own->received[peer] + 1;
    from = wait_for(&channel.posted, message, group.aborted) ? *const_cast<volatile std::uint64_t*>(&channel.pointer) : 0;
    found = now_ns();
  }
  __syncthreads();
  if (from != 0)
    for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * collective_threads + threadIdx.x; i < units;
         i += static_cast<std::int64_t>(gridDim.x) * collective_threads)
      reinterpret_cast<Unit*>(x)[i] = reinterpret_cast<const Unit*>(from)[i];
  __threadfence();
  __syncthreads();
  if (threadIdx.x != 0) return;
  if (atomicAdd(&own->done_blocks, 1u) + 1 != gridDim.x) return;
  // The last block: nobody reads the peer's memory any more.
  __threadfence();
  own->done_blocks = 0;
  own->received[peer] = message;
  atomicAdd(reinterpret_cast<Count*>(&group.counters->waiting_ns), static_cast<Count>(found - began));
  atomicAdd(reinterpret_cast<Count*>(&group.counters->communicating_ns), static_cast<Count>(now_ns() - found));
  if (from == 0) return;
  atomicAdd(reinterpret_cast<Count*>(&group.counters->read_bytes[group.members[peer]]),
            static_cast<Count>(units * static_cast<std::int64_t>(sizeof(Unit))));
  store_release(&group.mailboxes[peer]->channels[group.rank].taken, message);
}

// Enough for `work` items of a block each, as many as run at once.
unsigned blocks_for(const PeerGpus& gpus, std::int64_t work, int per_multiprocessor) {
  const std::int64_t most = std::min<std::int64_t>(gpus.multiprocessors * per_multiprocessor, most_peer_blocks);
  return static_cast<unsigned>(std::clamp<std::int64_t>(work, 1, most));
}

// The largest part of any rank: all launch alike.
std::int64_t largest_part(std::int64_t total, int ranks) { return (total + ranks - 1) / ranks; }

}  // namespace

PeerGroup CudaPeerKernels::group() const {
  PeerGroup group{};
  describe(self_, directory_, group, group.mailboxes);
  group.lets_next_start = self_.gpus.sharers == 1;
  return group;
}

void CudaPeerKernels::all_reduce(const Tensor& x, Reduce reduce) {
  if (x.elements() == 0) return barrier();
  CHECK_THAT(is_aligned(x, peer_unit_bytes), "tensors of collectives are aligned to {} bytes", peer_unit_bytes);
  const std::int64_t units = (x.bytes() + peer_unit_bytes - 1) / peer_unit_bytes;
  const Chunk part = peer_part(units, self_.size(), self_.rank);
  const unsigned blocks = blocks_for(self_.gpus, (largest_part(units, self_.size()) + collective_threads - 1) / collective_threads, 2);
  for_cuda_dtype(x.dtype, [&]<class T>(T) {
    if (reduce == Reduce::sum)
      all_reduce_kernel<T><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, x.bytes(), part.begin, part.count,
                                                                    Sum());
    else
      all_reduce_kernel<T><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, x.bytes(), part.begin, part.count,
                                                                    Max());
  });
  check_cuda(cudaGetLastError(), "all_reduce");
}

void CudaPeerKernels::all_reduce_add(const Tensor& x, const Tensor& y, Shots shots) {
  reduce_rows(x, y, nullptr, 0, x, shots);
}

void CudaPeerKernels::all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                              const Tensor& out, Shots shots) {
  reduce_rows(x, y, &weight, epsilon, out, shots);
}

void CudaPeerKernels::reduce_rows(const Tensor& x, const Tensor& y, const Tensor* weight, float epsilon,
                                  const Tensor& out, Shots shots) {
  if (y.elements() == 0) return barrier();
  const Chunk part = shots == Shots::one ? Chunk{0, y.rows} : peer_part(y.rows, self_.size(), self_.rank);
  const Rows rows{.x = x.data,
                  .y = y.data,
                  .out = out.data,
                  .weight = weight != nullptr ? weight->data : nullptr,
                  .x_stride = x.stride,
                  .out_stride = out.stride,
                  .columns = y.columns,
                  .begin = part.begin,
                  .count = part.count,
                  .epsilon = epsilon};
  const std::int64_t row_bytes = y.columns * size_of(y.dtype);
  const auto room = [&](std::int64_t bytes) {
    CHECK_THAT(bytes + 4096 <= self_.context.shared_bytes,
               "a row of {} fits the GPU's shared memory of {} bytes; leave out --fusion comm", y.columns,
               self_.context.shared_bytes);
    return bytes;
  };
  const auto launch = [&](auto* kernel, unsigned blocks, int threads, std::int64_t shared, const auto&... more) {
    check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared)),
               "asking for shared memory");
    if (self_.context.is_beside) {  // behind another stream's work
      kernel<<<blocks, threads, static_cast<std::size_t>(shared), self_.context.stream>>>(group(), rows, more...);
      return check_cuda(cudaGetLastError(), "all_reduce_add_rms_norm");
    }
    launch_overlapping("all_reduce_add_rms_norm", self_.context.stream, blocks, static_cast<unsigned>(threads),
                       static_cast<std::size_t>(shared), kernel, group(), rows, more...);
  };
  if (shots == Shots::one) {
    const std::int64_t shared = room(y.columns * static_cast<std::int64_t>(sizeof(float)));
    const unsigned blocks = blocks_for(self_.gpus, y.rows, shared <= most_shared_of_two ? 2 : 1);
    for_cuda_dtype(y.dtype, [&]<class T>(T) {
      launch(push_rows_kernel<T>, blocks, collective_threads, shared, row_bytes / pushed_line_data_bytes,
             pushed_lines(self_.size()));
    });
    return;
  }
  const std::int64_t largest = largest_part(y.rows, self_.size());
  for_cuda_dtype(y.dtype, [&]<class T>(T) {
    constexpr int wide = static_cast<int>(peer_unit_bytes / sizeof(T));
    const bool fits = y.columns % wide == 0 && x.stride % wide == 0 && out.stride % wide == 0 &&
                      is_aligned(x, peer_unit_bytes) && is_aligned(y, peer_unit_bytes) &&
                      is_aligned(out, peer_unit_bytes) && (weight == nullptr || is_aligned(*weight, peer_unit_bytes));
    // Beside other work few blocks have much under way; alone, all multiprocessors do a row each.
    constexpr int rows_beside = 8, threads_beside = 1024;
    if (self_.context.is_beside && fits && row_bytes * rows_beside + 4096 <= self_.context.shared_bytes) {
      const auto blocks = static_cast<unsigned>(std::clamp<std::int64_t>(
          (largest + rows_beside - 1) / rows_beside, 1, std::min(blocks_beside, self_.gpus.multiprocessors)));
      return launch(reduce_rows_kernel<T, wide, threads_beside, rows_beside, 4>, blocks, threads_beside,
                    row_bytes * rows_beside);
    }
    const unsigned blocks = blocks_for(self_.gpus, largest, room(row_bytes) <= most_shared_of_two ? 2 : 1);
    if (fits)
      launch(reduce_rows_kernel<T, wide, collective_threads, 1, 1>, blocks, collective_threads, row_bytes);
    else
      launch(reduce_rows_kernel<T, 1, collective_threads, 1, 1>, blocks, collective_threads, row_bytes);
  });
}

void CudaPeerKernels::all_gather(const Tensor& all) {
  if (all.elements() == 0) return barrier();
  const std::int64_t part = all.bytes() / self_.size();
  const auto launch = [&]<class Piece>(Piece) {
    const std::int64_t units = part / static_cast<std::int64_t>(sizeof(Piece));
    const unsigned blocks = blocks_for(self_.gpus, (units + collective_threads - 1) / collective_threads, 1);
    all_gather_kernel<Piece><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), all.data, units);
  };
  for_piece_type(all, part, launch);
  check_cuda(cudaGetLastError(), "all_gather");
}

void CudaPeerKernels::send(const Tensor& x, int peer) {
  send_kernel<<<1, 1, 0, self_.context.stream>>>(group(), x.data, peer);
  check_cuda(cudaGetLastError(), "send");
}

void CudaPeerKernels::recv(const Tensor& x, int peer) {
  const auto launch = [&]<class Piece>(Piece) {
    const std::int64_t units = x.bytes() / static_cast<std::int64_t>(sizeof(Piece));
    const auto blocks = static_cast<unsigned>(std::clamp<std::int64_t>((units + collective_threads - 1) / collective_threads, 1, std::min(copy_blocks, self_.gpus.multiprocessors)));
    recv_kernel<Piece><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, units, peer);
  };
  for_piece_type(x, x.bytes(), launch);
  check_cuda(cudaGetLastError(), "recv");
}

void CudaPeerKernels::barrier() {
  barrier_kernel<<<1, 32, 0, self_.context.stream>>>(group());
  check_cuda(cudaGetLastError(), "barrier");
}

}  // namespace batchscope
