// Broadcasts, gathers and barriers of the host's own messages.
#include "comm/host_group.h"

#include <utility>

#include "comm/transport.h"

namespace batchscope {

void ThreadMessages::send(int from, int to, const std::string& bytes) {
  {
    const std::lock_guard lock(mutex_);
    queue(from, to).push_back(bytes);
  }
  changed_.notify_all();
}

std::string ThreadMessages::receive(int from, int to) {
  std::unique_lock lock(mutex_);
  auto& waiting = queue(from, to);
  changed_.wait(lock, [&] { return !waiting.empty() || aborted_; });
  if (aborted_) throw PeerFailed();
  std::string bytes = std::move(waiting.front());
  waiting.pop_front();
  return bytes;
}

void ThreadMessages::abort() {
  {
    const std::lock_guard lock(mutex_);
    aborted_ = true;
  }
  changed_.notify_all();
}

void ThreadMessages::reset() {
  const std::lock_guard lock(mutex_);
  aborted_ = false;
  for (auto& queue : queues_) queue.clear();
}

std::string HostGroup::broadcast(std::string bytes) {
  if (rank_ != 0) return messages_->receive(member(0), member(rank_));
  for (int to = 1; to < size(); ++to) messages_->send(member(0), member(to), bytes);
  return bytes;
}

std::vector<std::string> HostGroup::gather(std::string bytes) {
  if (rank_ != 0) {
    messages_->send(member(rank_), member(0), bytes);
    return {};
  }
  std::vector<std::string> all{std::move(bytes)};
  for (int from = 1; from < size(); ++from) all.push_back(messages_->receive(member(from), member(0)));
  return all;
}

std::vector<std::string> HostGroup::all_gather(std::string bytes) {
  std::vector<std::string> all = gather(std::move(bytes));
  all.resize(static_cast<std::size_t>(size()));
  for (std::string& each : all) each = broadcast(std::move(each));
  return all;
}

void HostGroup::barrier() {
  gather({});
  broadcast({});
}

}  // namespace batchscope
