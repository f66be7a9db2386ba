// Messages between threads that play processes, with the faults that a network may have.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <vector>

#include "base/clock.h"
#include "comm/message_passer.h"

namespace batchscope {

enum class Fault { none, lost, doubled, late };

class TestNetwork {
 public:
  explicit TestNetwork(int processes) : processes_(processes) {}

  // What becomes of the message `number` (0: the first) that `from` sends to `to` between devices.
  void fault(int from, int to, int number, Fault kind) { faults_[{from, to, number}] = kind; }
  Nanoseconds delay = std::chrono::milliseconds(30);  // of a late message, and of all behind it

 private:
  friend class TestPasser;
  struct Message {
    int tag;
    std::vector<std::byte> bytes;
    Nanoseconds visible{0};
  };
  using Key = std::tuple<int, int, int>;  // channel, from, to

  int processes_;
  std::mutex mutex_;
  std::map<Key, std::deque<Message>> queues_;
  std::map<std::tuple<int, int, int>, Fault> faults_;
  std::map<std::pair<int, int>, int> sent_;
};

class TestPasser : public MessagePasser {
 public:
  TestPasser(TestNetwork& network, int rank) : network_(network), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return network_.processes_; }

  Ticket send(Channel channel, int to, int tag, const std::byte* data, std::int64_t bytes) override {
    const std::lock_guard lock(network_.mutex_);
    auto& queue = network_.queues_[{static_cast<int>(channel), rank_, to}];
    Fault fault = Fault::none;
    if (channel == Channel::data) {
      const auto found = network_.faults_.find({rank_, to, network_.sent_[{rank_, to}]++});
      if (found != network_.faults_.end()) fault = found->second;
    }
    TestNetwork::Message message{tag, {}};
    if (bytes > 0) message.bytes.assign(data, data + bytes);
    if (fault == Fault::late) message.visible = monotonic_clock().now() + network_.delay;
    if (!queue.empty()) message.visible = std::max(message.visible, queue.back().visible);
    if (fault != Fault::lost) queue.push_back(message);
    if (fault == Fault::doubled) queue.push_back(message);
    done_[++last_ticket_] = bytes;
    return last_ticket_;
  }

  std::optional<Envelope> next(Channel channel, int from) override {
    const std::lock_guard lock(network_.mutex_);
    for (int sender = from == any ? 0 : from; sender < (from == any ? size() : from + 1); ++sender) {
      const auto& queue = network_.queues_[{static_cast<int>(channel), sender, rank_}];
      if (!queue.empty() && queue.front().visible <= monotonic_clock().now())
        return Envelope{sender, queue.front().tag, std::ssize(queue.front().bytes)};
    }
    return std::nullopt;
  }

  Ticket receive(Channel channel, const Envelope& message, std::byte* out) override {
    const std::lock_guard lock(network_.mutex_);
    auto& queue = network_.queues_[{static_cast<int>(channel), message.from, rank_}];
    const auto& bytes = queue.front().bytes;
    if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
    done_[++last_ticket_] = std::ssize(bytes);
    queue.pop_front();
    return last_ticket_;
  }

  std::optional<std::int64_t> done(Ticket ticket) override {
    const std::lock_guard lock(network_.mutex_);
    const std::int64_t bytes = done_.at(ticket);
    done_.erase(ticket);
    return bytes;
  }

  [[noreturn]] void abort(int) override { std::abort(); }

 private:
  TestNetwork& network_;
  int rank_;
  std::map<Ticket, std::int64_t> done_;
  Ticket last_ticket_ = 0;
};

}  // namespace batchscope
