// Rank threads: start a run, wait for it, pass its failure on.
#include "engine/team.h"

#include "comm/transport.h"

namespace batchscope {
namespace {

bool only_waited_for_another(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const PeerFailed&) {
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

Team::Team(int size) : errors_(static_cast<std::size_t>(size)) {
  for (int rank = 0; rank < size; ++rank) threads_.emplace_back([this, rank] { loop(rank); });
}

Team::~Team() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Team::run(const std::function<void(int)>& work, const std::function<void()>& failed) {
  std::unique_lock lock(mutex_);
  work_ = &work;
  failed_ = &failed;
  errors_.assign(errors_.size(), nullptr);
  running_ = static_cast<int>(threads_.size());
  ++generation_;
  changed_.notify_all();
  changed_.wait(lock, [&] { return running_ == 0; });
  std::exception_ptr cause;
  for (const auto& error : errors_)
    if (error && (!cause || only_waited_for_another(cause))) cause = error;
  if (cause) std::rethrow_exception(cause);
}

void Team::loop(int rank) {
  long done = 0;
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopping_ || generation_ != done; });
    if (stopping_) return;
    done = generation_;
    lock.unlock();
    std::exception_ptr error;
    try {
      (*work_)(rank);
    } catch (...) {
      error = std::current_exception();
      (*failed_)();
    }
    lock.lock();
    errors_[static_cast<std::size_t>(rank)] = error;
    if (--running_ == 0) changed_.notify_all();
  }
}

}  // namespace batchscope
