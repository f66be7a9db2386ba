// A thread for each rank, there as long as the model is loaded: device memory and OpenMP teams stay with their thread.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace batchscope {

class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Calls work(rank) on every thread and returns when all have; `failed` is called at once when one throws, so that it
  // can wake the others. Rethrows the failure that was the cause, not those of ranks which waited for it.
  void run(const std::function<void(int)>& work, const std::function<void()>& failed);

 private:
  void loop(int rank);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* work_ = nullptr;
  const std::function<void()>* failed_ = nullptr;
  std::vector<std::exception_ptr> errors_;  // one a rank
  long generation_ = 0;                     // counts runs
  int running_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace batchscope
