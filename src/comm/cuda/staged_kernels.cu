// Collectives by way of staging areas. Block b of a kernel works with block b of the same kernel on every peer: it copies a
// piece of what the others need into its part of the own area, meets its peers, and reads their areas; piece after piece, so
// that blocks keep both directions of a link busy.
#include "comm/cuda/staged_kernels.h"

#include <algorithm>

#include "base/check.h"
#include "comm/cuda/collective.cuh"

namespace batchscope {

struct StagedGroup : CollectiveGroup {
  StagingArea* areas[most_peers];
  bool is_on_host;
  PeerMailbox* mailbox;
};

namespace {

// Flags lie beyond a link; they are not to be asked for without pause.
constexpr unsigned pause_ns = 300;
constexpr std::int64_t channel_bytes = staging_block_bytes / 2;  // of a piece of send and recv: one is read, one written

// A block on its way through a kernel; in shared memory, and changed by thread 0.
struct Progress {
  std::uint64_t began, waited;
  std::uint32_t arrivals;
  int failed;
  // Bytes that the block moved.
  std::uint64_t written, read[most_peers];
};

__device__ void begin_staged(const StagedGroup& group, Progress& progress) {
  if (threadIdx.x == 0) {
    progress.began = now_ns();
    progress.waited = 0;
    progress.arrivals = group.mailbox->staged_arrivals[blockIdx.x];
    progress.failed = 0;
    progress.written = 0;
    for (int peer = 0; peer < group.size; ++peer) progress.read[peer] = 0;
  }
  __syncthreads();
}

// All threads together: what they have written is there for every peer's block, and theirs here. False: aborted.
__device__ bool meet(const StagedGroup& group, Progress& progress) {
  __threadfence_system();
  __syncthreads();
  const int peer = static_cast<int>(threadIdx.x);
  const std::uint32_t arrivals = progress.arrivals + 1;
  if (peer < group.size && peer != group.rank) {
    store_release(&group.areas[peer]->flags[blockIdx.x][group.rank].arrived, arrivals);
    if (!wait_for(&group.areas[group.rank]->flags[blockIdx.x][peer].arrived, arrivals, group.aborted, pause_ns))
      progress.failed = 1;
  }
  __syncthreads();
  if (peer == 0) progress.arrivals = arrivals;
  return progress.failed == 0;
}

// Thread 0's: keeps what the next kernel goes on from, and what was moved.
__device__ void end_staged(const StagedGroup& group, const Progress& progress, bool is_timed) {
  if (threadIdx.x != 0) return;
  PeerCounters& counters = *group.counters;
  const auto count = [](std::uint64_t& counter, std::uint64_t value) {
    if (value > 0) atomicAdd(reinterpret_cast<Count*>(&counter), static_cast<Count>(value));
  };
  group.mailbox->staged_arrivals[blockIdx.x] = progress.arrivals;
  for (int peer = 0; peer < group.size; ++peer)
    count(group.is_on_host ? counters.from_host_bytes : counters.read_bytes[group.members[peer]], progress.read[peer]);
  if (group.is_on_host) count(counters.to_host_bytes, progress.written);
  if (blockIdx.x != 0 || !is_timed || !group.is_timed) return;
  count(counters.waiting_ns, progress.waited);
  count(counters.communicating_ns, now_ns() - progress.began - progress.waited);
}

template <class Piece>
__device__ void copy(std::byte* to, const std::byte* from, std::int64_t bytes) {
  const auto pieces = bytes / static_cast<std::int64_t>(sizeof(Piece));
  for (std::int64_t i = threadIdx.x; i < pieces; i += collective_threads)
    reinterpret_cast<Piece*>(to)[i] = reinterpret_cast<const Piece*>(from)[i];
}
// As units, and what is left as elements of T.
template <class T>
__device__ void copy_elements(std::byte* to, const std::byte* from, std::int64_t bytes) {
  const std::int64_t whole = bytes / peer_unit_bytes * peer_unit_bytes;
  copy<Unit>(to, from, whole);
  copy<T>(to + whole, from + whole, bytes - whole);
}

// Which bytes of x each rank reduces: those from begins[rank] to begins[rank + 1].
struct Parts {
  std::int64_t begins[most_peers + 1];
};

// Ranks are added in their order, so that the bits do not depend on who adds. A block's part of an area has a slice for each
// rank: what is for that rank to reduce, and in the own one's place what has been reduced.
template <class T, class Combine>
__global__ void __launch_bounds__(collective_threads)
    staged_all_reduce_kernel(const StagedGroup group, std::byte* x, const Parts parts, std::int64_t slice, int rounds,
                      Combine combine) {
  __shared__ Progress progress;
  begin_staged(group, progress);
  const auto staged = [&](int owner, int rank) { return group.areas[owner]->data[blockIdx.x] + rank * slice; };
  for (int round = 0; round < rounds; ++round) {
    const std::int64_t offset = (static_cast<std::int64_t>(round) * gridDim.x + blockIdx.x) * slice;
    const auto begin_of = [&](int rank) { return min(parts.begins[rank] + offset, parts.begins[rank + 1]); };
    const auto bytes_of = [&](int rank) { return min(slice, parts.begins[rank + 1] - begin_of(rank)); };
    for (int peer = 0; peer < group.size; ++peer) {
      if (peer == group.rank) continue;
      copy_elements<T>(staged(group.rank, peer), x + begin_of(peer), bytes_of(peer));
      if (threadIdx.x == 0) progress.written += static_cast<std::uint64_t>(bytes_of(peer));
    }
    if (!meet(group, progress)) return;

    std::byte* mine = x + begin_of(group.rank);
    std::byte* reduced = staged(group.rank, group.rank);
    const std::int64_t bytes = bytes_of(group.rank), whole = bytes / peer_unit_bytes * peer_unit_bytes;
    const auto part = [&](int rank) { return rank == group.rank ? mine : staged(rank, group.rank); };
    for (std::int64_t at = threadIdx.x * peer_unit_bytes; at < whole; at += collective_threads * peer_unit_bytes) {
      Unit sum = *reinterpret_cast<const Unit*>(part(0) + at);
      for (int rank = 1; rank < group.size; ++rank)
        sum = combine_units<T>(sum, *reinterpret_cast<const Unit*>(part(rank) + at), combine);
      *reinterpret_cast<Unit*>(mine + at) = sum;
      *reinterpret_cast<Unit*>(reduced + at) = sum;
    }
    for (auto at = static_cast<std::int64_t>(whole + threadIdx.x * sizeof(T)); at < bytes;
         at += static_cast<std::int64_t>(collective_threads * sizeof(T))) {
      float sum = widen(*reinterpret_cast<const T*>(part(0) + at));
      for (int rank = 1; rank < group.size; ++rank)
        sum = widen(narrow<T>(combine(sum, widen(*reinterpret_cast<const T*>(part(rank) + at)))));
      *reinterpret_cast<T*>(mine + at) = narrow<T>(sum);
      *reinterpret_cast<T*>(reduced + at) = narrow<T>(sum);
    }
    if (threadIdx.x == 0) progress.written += static_cast<std::uint64_t>(bytes);
    if (!meet(group, progress)) return;

    for (int peer = 0; peer < group.size; ++peer) {
      if (peer == group.rank) continue;
      copy_elements<T>(x + begin_of(peer), staged(peer, peer), bytes_of(peer));
      if (threadIdx.x == 0) progress.read[peer] += static_cast<std::uint64_t>(bytes + bytes_of(peer));
    }
  }
  if (meet(group, progress)) end_staged(group, progress, true);  // nobody reads the areas any more
}

template <class Piece>
__global__ void __launch_bounds__(collective_threads)
    staged_all_gather_kernel(const StagedGroup group, std::byte* all, std::int64_t part, int rounds) {
  __shared__ Progress progress;
  begin_staged(group, progress);
  for (int round = 0; round < rounds; ++round) {
    const std::int64_t offset =
        min((static_cast<std::int64_t>(round) * gridDim.x + blockIdx.x) * staging_block_bytes, part);
    const std::int64_t bytes = min(staging_block_bytes, part - offset);
    copy<Piece>(group.areas[group.rank]->data[blockIdx.x], all + group.rank * part + offset, bytes);
    if (threadIdx.x == 0) progress.written += static_cast<std::uint64_t>(bytes);
    if (!meet(group, progress)) return;
    for (int peer = 0; peer < group.size; ++peer) {
      if (peer == group.rank) continue;
      copy<Piece>(all + peer * part + offset, group.areas[peer]->data[blockIdx.x], bytes);
      if (threadIdx.x == 0) progress.read[peer] += static_cast<std::uint64_t>(bytes);
    }
    if (!meet(group, progress)) return;
  }
  end_staged(group, progress, true);
}

// Between steps: whoever waits there is idle, which is what is left of a run's time.
__global__ void staged_barrier_kernel(const StagedGroup group) {
  __shared__ Progress progress;
  begin_staged(group, progress);
  if (meet(group, progress)) end_staged(group, progress, false);
}

// Waits for a peer's flag; thread 0's. What it waits for before the first piece is not communication.
__device__ void wait_for_peer(const StagedGroup& group, Progress& progress, const std::uint32_t* flag,
                              std::uint32_t target, bool is_idle) {
  const std::uint64_t before = now_ns();
  if (!wait_for(flag, target, group.aborted, pause_ns)) progress.failed = 1;
  if (is_idle) progress.waited += now_ns() - before;
}

template <class Piece>
__global__ void __launch_bounds__(collective_threads)
    staged_send_kernel(const StagedGroup group, const std::byte* x, std::int64_t bytes, int peer, int rounds) {
  __shared__ Progress progress;
  begin_staged(group, progress);
  std::uint32_t& kept = group.mailbox->staged_sent[blockIdx.x][peer];
  const std::uint32_t sent = kept;
  StagingArea& own = *group.areas[group.rank];
  const std::uint32_t* taken = &own.flags[blockIdx.x][peer].taken;
  for (int round = 0; round < rounds; ++round) {
    const std::uint32_t piece = sent + static_cast<std::uint32_t>(round);
    if (threadIdx.x == 0) wait_for_peer(group, progress, taken, piece - 1, false);
    __syncthreads();
    if (progress.failed != 0) return;
    const std::int64_t offset = min((static_cast<std::int64_t>(round) * gridDim.x + blockIdx.x) * channel_bytes, bytes);
    const std::int64_t part = min(channel_bytes, bytes - offset);
    copy<Piece>(own.data[blockIdx.x] + piece % 2 * channel_bytes, x + offset, part);
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x != 0) continue;
    progress.written += static_cast<std::uint64_t>(part);
    store_release(&group.areas[peer]->flags[blockIdx.x][group.rank].posted, piece + 1);
  }
  if (threadIdx.x != 0) return;
  kept = sent + static_cast<std::uint32_t>(rounds);
  wait_for_peer(group, progress, taken, kept, true);
  end_staged(group, progress, true);
}

template <class Piece>
__global__ void __launch_bounds__(collective_threads)
    staged_recv_kernel(const StagedGroup group, std::byte* x, std::int64_t bytes, int peer, int rounds) {
  __shared__ Progress progress;
  begin_staged(group, progress);
  std::uint32_t& kept = group.mailbox->staged_received[blockIdx.x][peer];
  const std::uint32_t received = kept;
  for (int round = 0; round < rounds; ++round) {
    const std::uint32_t piece = received + static_cast<std::uint32_t>(round);
    if (threadIdx.x == 0)
      wait_for_peer(group, progress, &group.areas[group.rank]->flags[blockIdx.x][peer].posted, piece + 1, round == 0);
    __syncthreads();
    if (progress.failed != 0) return;
    const std::int64_t offset = min((static_cast<std::int64_t>(round) * gridDim.x + blockIdx.x) * channel_bytes, bytes);
    const std::int64_t part = min(channel_bytes, bytes - offset);
    copy<Piece>(x + offset, group.areas[peer]->data[blockIdx.x] + piece % 2 * channel_bytes, part);
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x != 0) continue;
    progress.read[peer] += static_cast<std::uint64_t>(part);
    store_release(&group.areas[peer]->flags[blockIdx.x][group.rank].taken, piece + 1);
  }
  if (threadIdx.x == 0) kept = received + static_cast<std::uint32_t>(rounds);
  end_staged(group, progress, true);
}

int rounds_of(std::int64_t bytes, std::int64_t piece, unsigned blocks) {
  return static_cast<int>(ceil_div(bytes, piece * blocks));
}

}  // namespace

StagedGroup StagedKernels::group() const {
  StagedGroup group{};
  describe(self_, directory_, group, group.areas);
  group.is_on_host = place_ == Place::host;
  group.mailbox = mailbox_;
  return group;
}

// For so many pieces. All launch alike.
unsigned StagedKernels::blocks_for(std::int64_t work) const {
  return static_cast<unsigned>(std::clamp<std::int64_t>(work, 1, std::max(staging_blocks / self_.gpus.sharers, 1)));
}

void StagedKernels::all_reduce(const Tensor& x, Reduce reduce) {
  if (x.elements() == 0) return barrier();
  CHECK_THAT(is_aligned(x, peer_unit_bytes), "tensors of collectives are aligned to {} bytes", peer_unit_bytes);
  const std::int64_t units = ceil_div(x.bytes(), peer_unit_bytes);
  Parts parts{};
  for (int rank = 0; rank < self_.size(); ++rank)
    parts.begins[rank] = std::min(peer_part(units, self_.size(), rank).begin * peer_unit_bytes, x.bytes());
  parts.begins[self_.size()] = x.bytes();
  constexpr std::int64_t granule = 4096;  // small tensors are spread over blocks
  const std::int64_t largest = peer_part(units, self_.size(), 0).count * peer_unit_bytes;
  const std::int64_t most = staging_block_bytes / self_.size() / peer_unit_bytes * peer_unit_bytes;
  const unsigned blocks = blocks_for(ceil_div(largest, granule));
  const std::int64_t slice = std::min(most, ceil_div(ceil_div(largest, blocks), peer_unit_bytes) * peer_unit_bytes);
  const int rounds = rounds_of(largest, slice, blocks);
  for_cuda_dtype(x.dtype, [&]<class T>(T) {
    if (reduce == Reduce::sum)
      staged_all_reduce_kernel<T><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, parts, slice, rounds, Sum());
    else
      staged_all_reduce_kernel<T><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, parts, slice, rounds, Max());
  });
  check_cuda(cudaGetLastError(), "all_reduce");
}

void StagedKernels::all_gather(const Tensor& all) {
  if (all.elements() == 0) return barrier();
  const std::int64_t part = all.bytes() / self_.size();
  const unsigned blocks = blocks_for(ceil_div(part, staging_block_bytes));
  for_piece_type(all, part, [&]<class Piece>(Piece) {
    staged_all_gather_kernel<Piece><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), all.data, part,
                                                                      rounds_of(part, staging_block_bytes, blocks));
  });
  check_cuda(cudaGetLastError(), "all_gather");
}

void StagedKernels::send(const Tensor& x, int peer) {
  const unsigned blocks = blocks_for(ceil_div(x.bytes(), channel_bytes));
  for_piece_type(x, x.bytes(), [&]<class Piece>(Piece) {
    staged_send_kernel<Piece><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, x.bytes(), peer,
                                                                rounds_of(x.bytes(), channel_bytes, blocks));
  });
  check_cuda(cudaGetLastError(), "send");
}

void StagedKernels::recv(const Tensor& x, int peer) {
  const unsigned blocks = blocks_for(ceil_div(x.bytes(), channel_bytes));
  for_piece_type(x, x.bytes(), [&]<class Piece>(Piece) {
    staged_recv_kernel<Piece><<<blocks, collective_threads, 0, self_.context.stream>>>(group(), x.data, x.bytes(), peer,
                                                                rounds_of(x.bytes(), channel_bytes, blocks));
  });
  check_cuda(cudaGetLastError(), "recv");
}

void StagedKernels::barrier() {
  staged_barrier_kernel<<<1, 32, 0, self_.context.stream>>>(group());
  check_cuda(cudaGetLastError(), "barrier");
}

}  // namespace batchscope
