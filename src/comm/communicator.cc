// Ring collectives. Step s of the first half sends chunk r - s and adds what arrives to chunk r - s - 1; after it rank
// r holds chunk r + 1 whole. The second half passes whole chunks on.
#include "comm/communicator.h"

#include "base/check.h"
#include "ops/elementwise.h"
#include "ops/norm.h"

namespace batchscope {
namespace {

// Adds the time until its end to the rank's communication.
class TimedCommunication {
 public:
  explicit TimedCommunication(CommunicationTime& time)
      : time_(time), begin_(monotonic_clock().now()), cpu_begin_(thread_cpu_time()) {}
  ~TimedCommunication() {
    time_.communicate += monotonic_clock().now() - begin_;
    time_.communicate_cpu += thread_cpu_time() - cpu_begin_;
  }
  TimedCommunication(const TimedCommunication&) = delete;
  TimedCommunication& operator=(const TimedCommunication&) = delete;

 private:
  CommunicationTime& time_;
  Nanoseconds begin_, cpu_begin_;
};

// A contiguous tensor as one row, so that chunks may end anywhere.
Tensor flat(const Tensor& x) {
  CHECK_THAT(x.contiguous(), "collectives work on contiguous tensors, this one has a stride of {} for {}", x.stride,
             x.columns);
  return {x.data, x.dtype, 1, x.elements(), x.elements()};
}

}  // namespace

Communicator::Communicator(std::vector<int> members, int rank, Device& device, Fabric* fabric, Ledger& ledger,
                           CommunicationTime& time)
    : members_(std::move(members)), rank_(rank), device_(device), fabric_(fabric), ledger_(ledger), time_(time) {}

Traffic Communicator::exchange(const Tensor& out, const Tensor& in) {
  if (fabric_ == nullptr) return {};
  fabric_->post(self(), right(), out.data, out.bytes());
  fabric_->take(left(), self(), in.data, in.bytes());
  fabric_->await_taken(self(), right());
  return {out.bytes(), in.bytes()};
}

template <class ChunkOf>
Traffic Communicator::ring_reduce(const ChunkOf& chunk, const Tensor& staging, Reduce reduce) {
  Traffic counted;
  for (int step = 0; step + 1 < size(); ++step) {
    const Tensor mine = chunk(wrap(rank_ - step - 1));
    Tensor arrived{staging.data, mine.dtype, mine.rows, mine.columns, mine.columns};
    counted += exchange(chunk(wrap(rank_ - step)), arrived);
    if (reduce == Reduce::sum)
      add(device_, mine, arrived);
    else
      maximum(device_, mine, arrived);
  }
  return counted;
}

// Passes chunks round, this rank's first one being `first_held`; arrived(i) is called once chunk i is whole here and
// nobody needs this rank's copy any more.
template <class ChunkOf, class Arrived>
Traffic Communicator::ring_gather(const ChunkOf& chunk, int first_held, const Arrived& arrived) {
  Traffic counted;
  for (int step = 0; step + 1 < size(); ++step) {
    const int sent = wrap(first_held - step);
    counted += exchange(chunk(sent), chunk(wrap(sent - 1)));
    arrived(sent);
  }
  arrived(wrap(first_held + 1));
  return counted;
}

void Communicator::all_reduce(const Tensor& x, Reduce reduce, std::string_view phase) {
  if (size() == 1) return;
  const TimedCommunication timed(time_);
  const ArenaScope scope(device_.arena());
  const Tensor all = flat(x);
  const auto chunk = [&](int i) {
    const Chunk part = ring_chunk(all.columns, size(), i);
    return all.column_range(part.begin, part.count);
  };
  const Tensor staging = device_.arena().allocate("all-reduce staging", MemoryUse::communication, x.dtype, 1,
                                                  largest_ring_chunk(all.columns, size()));
  Traffic counted = ring_reduce(chunk, staging, reduce);
  counted += ring_gather(chunk, wrap(rank_ + 1), [](int) {});
  record("all_reduce", "ring", phase, x.bytes(), ring_all_reduce_traffic(all.columns, size_of(x.dtype), size(), rank_),
         counted);
}

Chunk Communicator::reduce_scatter(const Tensor& x, Reduce reduce, std::string_view phase) {
  const Tensor all = flat(x);
  if (size() == 1) return {0, all.columns};
  const TimedCommunication timed(time_);
  const ArenaScope scope(device_.arena());
  const auto chunk = [&](int i) {
    const Chunk part = ring_chunk(all.columns, size(), i);
    return all.column_range(part.begin, part.count);
  };
  const Tensor staging = device_.arena().allocate("reduce-scatter staging", MemoryUse::communication, x.dtype, 1,
                                                  largest_ring_chunk(all.columns, size()));
  const Traffic counted = ring_reduce(chunk, staging, reduce);
  record("reduce_scatter", "ring", phase, x.bytes(),
         ring_reduce_scatter_traffic(all.columns, size_of(x.dtype), size(), rank_), counted);
  return ring_chunk(all.columns, size(), wrap(rank_ + 1));
}

void Communicator::all_gather(const Tensor& all, std::string_view phase) {
  if (size() == 1) return;
  const TimedCommunication timed(time_);
  CHECK_EQUAL(all.rows % size(), 0, "every rank has the same part");
  const std::int64_t rows = all.rows / size();
  const auto chunk = [&](int i) { return all.row_range(i * rows, rows); };
  const Traffic counted = ring_gather(chunk, rank_, [](int) {});
  record("all_gather", "ring", phase, all.bytes(), ring_all_gather_traffic(all.bytes() / size(), size()), counted);
}

void Communicator::send(const Tensor& x, int peer, std::string_view phase) {
  const TimedCommunication timed(time_);
  Traffic counted;
  if (fabric_ != nullptr) {
    const int to = members_[static_cast<std::size_t>(peer)];
    fabric_->post(self(), to, flat(x).data, x.bytes());
    fabric_->await_taken(self(), to);
    counted.tx_bytes = x.bytes();
  }
  record("send", "direct", phase, x.bytes(), {x.bytes(), 0}, counted);
}

void Communicator::recv(const Tensor& x, int peer, std::string_view phase) {
  const TimedCommunication timed(time_);
  Traffic counted;
  if (fabric_ != nullptr) {
    const Nanoseconds waited = fabric_->take(members_[static_cast<std::size_t>(peer)], self(), flat(x).data, x.bytes());
    time_.idle += waited;
    time_.communicate -= waited;
    counted.rx_bytes = x.bytes();
  }
  record("recv", "direct", phase, x.bytes(), {0, x.bytes()}, counted);
}

void Communicator::broadcast(const Tensor& x, int root, std::string_view phase) {
  if (rank_ != root) recv(x, wrap(rank_ - 1), phase);
  if (wrap(rank_ + 1) != root) send(x, wrap(rank_ + 1), phase);
}

void Communicator::barrier() {
  const Nanoseconds begin = monotonic_clock().now();
  const Tensor nothing;
  for (int round = 0; round + 1 < size(); ++round) exchange(nothing, nothing);
  time_.idle += monotonic_clock().now() - begin;
}

void Communicator::all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight, float epsilon,
                                           const Tensor& out, std::string_view phase) {
  if (size() == 1) return add_rms_norm(device_, x, y, weight, epsilon, out);
  const TimedCommunication timed(time_);
  const ArenaScope scope(device_.arena());
  CHECK_THAT(y.contiguous(), "collectives work on contiguous tensors, this one has a stride of {} for {}", y.stride,
             y.columns);
  const auto rows = [&](const Tensor& tensor, int i) {
    const Chunk part = ring_chunk(y.rows, size(), i);
    return tensor.row_range(part.begin, part.count);
  };
  const auto chunk = [&](int i) { return rows(y, i); };
  const Tensor staging = device_.arena().allocate("all-reduce staging", MemoryUse::communication, y.dtype,
                                                  largest_ring_chunk(y.rows, size()), y.columns);
  Traffic counted = ring_reduce(chunk, staging, Reduce::sum);
  counted += ring_gather(chunk, wrap(rank_ + 1),
                         [&](int i) { add_rms_norm(device_, rows(x, i), chunk(i), weight, epsilon, rows(out, i)); });
  record("all_reduce_add_rms_norm", "ring", phase, y.bytes(),
         ring_all_reduce_traffic(y.rows, y.columns * size_of(y.dtype), size(), rank_), counted);
}

void Communicator::record(std::string_view collective, std::string_view algorithm, std::string_view phase,
                          std::int64_t payload, Traffic predicted, Traffic counted) {
  ledger_.add({.rank = self(),
               .collective = std::string(collective),
               .algorithm = std::string(algorithm),
               .phase = std::string(phase),
               .calls = 1,
               .payload_bytes = payload,
               .predicted_tx_bytes = predicted.tx_bytes,
               .predicted_rx_bytes = predicted.rx_bytes,
               .counted_tx_bytes = counted.tx_bytes,
               .counted_rx_bytes = counted.rx_bytes});
}

}  // namespace batchscope
