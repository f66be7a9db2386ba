// Notices at once that a process which others wait for has died, whatever they are doing: a rank that was killed says
// nothing, and who waits for it would wait for ever. Sees processes of this machine; those of other ones, and their
// launcher's, are the launcher's to watch.
#pragma once

#include <sys/types.h>

#include <functional>
#include <thread>
#include <vector>

namespace batchscope {

class Lifeline {
 public:
  // `died` is called once, from a thread of the lifeline's own, with an index into `pids`; a pid that is not there at the
  // start has died.
  Lifeline(const std::vector<pid_t>& pids, std::function<void(std::size_t index)> died);
  ~Lifeline();  // watches no longer
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;

 private:
  void watch();

  std::vector<int> files_;  // a pidfd each; last the one that ends the watch
  std::function<void(std::size_t)> died_;
  std::thread thread_;
};

}  // namespace batchscope
