// What ranks tell each other on the host, beside the tensors of their devices: who is admitted, what came of a run. Small
// messages, by threads or by processes; rank 0 of a group decides.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace batchscope {

// Messages between ranks of the layout, in order from each to each.
class HostMessages {
 public:
  virtual ~HostMessages() = default;
  virtual void send(int from, int to, const std::string& bytes) = 0;  // does not wait
  virtual std::string receive(int from, int to) = 0;                  // waits; PeerFailed once aborted
};

// Between threads of one process.
class ThreadMessages : public HostMessages {
 public:
  explicit ThreadMessages(int ranks) : ranks_(ranks), queues_(static_cast<std::size_t>(ranks * ranks)) {}
  void send(int from, int to, const std::string& bytes) override;
  std::string receive(int from, int to) override;
  void abort();
  void reset();  // forgets an abort and what was not received; while no rank communicates

 private:
  std::deque<std::string>& queue(int from, int to) { return queues_[static_cast<std::size_t>(from * ranks_ + to)]; }

  int ranks_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<std::string>> queues_;
  bool aborted_ = false;
};

// One rank's place in a group; all of its ranks make the same calls in the same order.
class HostGroup {
 public:
  // `members` are ranks of the layout; this one is members[rank].
  HostGroup(std::vector<int> members, int rank, HostMessages& messages)
      : members_(std::move(members)), rank_(rank), messages_(&messages) {}

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(members_.size()); }

  // What rank 0 gives, to all; returns it.
  std::string broadcast(std::string bytes);
  // What each gives, in the order of ranks, at rank 0; nothing elsewhere.
  std::vector<std::string> gather(std::string bytes);
  // What each gives, in the order of ranks, everywhere.
  std::vector<std::string> all_gather(std::string bytes);
  // Returns once all have called it.
  void barrier();

 private:
  int member(int rank) const { return members_[static_cast<std::size_t>(rank)]; }

  std::vector<int> members_;
  int rank_;
  HostMessages* messages_;
};

}  // namespace batchscope
