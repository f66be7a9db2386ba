// Ring collectives. Step s of the first half sends chunk r - s and adds what arrives to chunk r - s - 1; after it rank
// r holds chunk r + 1 whole. The second half passes whole chunks on.
#include "comm/ring_communicator.h"

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
Tensor flat(const Tensor& x) { return {x.data, x.dtype, 1, x.elements(), x.elements()}; }

}  // namespace

Traffic RingCommunicator::exchange(const Tensor& out, const Tensor& in) {
  if (transport_ == nullptr) return {};
  const int right = member(rank() + 1), left = member(rank() - 1);
  transport_->post(self(), right, out.data, out.bytes());
  const std::int64_t received = transport_->take(left, self(), in.data, in.bytes()).bytes;
  return {transport_->await_taken(self(), right), received};
}

template <class ChunkOf>
Traffic RingCommunicator::ring_reduce(const ChunkOf& chunk, const Tensor& staging, Reduce reduce) {
  Traffic counted;
  for (int step = 0; step + 1 < size(); ++step) {
    const Tensor mine = chunk(wrap(rank() - step - 1));
    Tensor arrived{staging.data, mine.dtype, mine.rows, mine.columns, mine.columns};
    counted += exchange(chunk(wrap(rank() - step)), arrived);
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
Traffic RingCommunicator::ring_gather(const ChunkOf& chunk, int first_held, const Arrived& arrived) {
  Traffic counted;
  for (int step = 0; step + 1 < size(); ++step) {
    const int sent = wrap(first_held - step);
    counted += exchange(chunk(sent), chunk(wrap(sent - 1)));
    arrived(sent);
  }
  arrived(wrap(first_held + 1));
  return counted;
}

Communicator::Moved RingCommunicator::ring(Traffic predicted, Traffic counted) const {
  return {"ring", predicted, transport_ == nullptr ? std::nullopt : std::optional(counted)};
}

Communicator::Moved RingCommunicator::do_all_reduce(const Tensor& x, Reduce reduce) {
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
  counted += ring_gather(chunk, wrap(rank() + 1), [](int) {});
  return ring(ring_all_reduce_traffic(all.columns, size_of(x.dtype), size(), rank()), counted);
}

Communicator::Moved RingCommunicator::do_all_gather(const Tensor& all) {
  const TimedCommunication timed(time_);
  const std::int64_t rows = all.rows / size();
  const auto chunk = [&](int i) { return all.row_range(i * rows, rows); };
  const Traffic counted = ring_gather(chunk, rank(), [](int) {});
  return ring(ring_all_gather_traffic(all.bytes() / size(), size()), counted);
}

Communicator::Moved RingCommunicator::do_send(const Tensor& x, int peer) {
  const TimedCommunication timed(time_);
  Moved moved{"direct", {x.bytes(), 0}, {}};
  if (transport_ != nullptr) {
    transport_->post(self(), member(peer), x.data, x.bytes());
    moved.counted = Traffic{transport_->await_taken(self(), member(peer)), 0};
  }
  return moved;
}

Communicator::Moved RingCommunicator::do_recv(const Tensor& x, int peer) {
  const TimedCommunication timed(time_);
  Moved moved{"direct", {0, x.bytes()}, {}};
  if (transport_ != nullptr) {
    const auto taken = transport_->take(member(peer), self(), x.data, x.bytes());
    time_.idle += taken.waited;
    time_.communicate -= taken.waited;
    moved.counted = Traffic{0, taken.bytes};
  }
  return moved;
}

void RingCommunicator::do_barrier() {
  const Nanoseconds begin = monotonic_clock().now();
  const Tensor nothing;
  for (int round = 0; round + 1 < size(); ++round) exchange(nothing, nothing);
  time_.idle += monotonic_clock().now() - begin;
}

Communicator::Moved RingCommunicator::do_all_reduce_add(const Tensor& x, const Tensor& y) {
  const Moved moved = do_all_reduce(y, Reduce::sum);
  add(device_, x, y);
  return moved;
}

Communicator::Moved RingCommunicator::do_all_reduce_add_rms_norm(const Tensor& x, const Tensor& y, const Tensor& weight,
                                                                 float epsilon, const Tensor& out) {
  const TimedCommunication timed(time_);
  const ArenaScope scope(device_.arena());
  const auto rows = [&](const Tensor& tensor, int i) {
    const Chunk part = ring_chunk(y.rows, size(), i);
    return tensor.row_range(part.begin, part.count);
  };
  const auto chunk = [&](int i) { return rows(y, i); };
  const Tensor staging = device_.arena().allocate("all-reduce staging", MemoryUse::communication, y.dtype,
                                                  largest_ring_chunk(y.rows, size()), y.columns);
  Traffic counted = ring_reduce(chunk, staging, Reduce::sum);
  counted += ring_gather(chunk, wrap(rank() + 1),
                         [&](int i) { add_rms_norm(device_, rows(x, i), chunk(i), weight, epsilon, rows(out, i)); });
  return ring(ring_all_reduce_traffic(y.rows, y.columns * size_of(y.dtype), size(), rank()), counted);
}

}  // namespace batchscope
