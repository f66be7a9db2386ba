// What a process and all that came of it use: descendants whose parents have ended, too.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace batchscope {

class ProcessTree {
 public:
  // `proc` is where /proc is. `adopts`: this process is the subreaper of its descendants, so that those whose parents
  // have ended become its children; they are waited for here.
  ProcessTree(std::string proc, pid_t root, bool adopts = false)
      : proc_(std::move(proc)), root_(root), adopts_(adopts) {}

  struct Use {
    // Of all until now: that of children who have ended moves into their parents' figures, so that the sum only grows.
    std::int64_t cpu_ticks = 0;
    std::int64_t resident_pages = 0;
    std::size_t processes = 0;   // that run
    const char* lost = nullptr;  // why some CPU time since the last call is not in the sum; null: all of it is
  };
  Use use();

 private:
  struct Member {
    std::uint64_t start_ticks = 0;
    std::int64_t cpu_ticks = 0;
    bool is_orphan = false;  // its parent has ended: nobody of the tree will have its time
  };
  using Members = std::map<std::int64_t, Member>;

  void follow(std::vector<std::int64_t> waiting, bool are_orphans, Members& seen, Use& use);
  void follow_orphans(Members& seen, Use& use);
  void never_go_back(Use& use);
  bool still_runs(std::int64_t pid, const Member& member) const;

  std::string proc_;
  pid_t root_;
  bool adopts_;
  Members members_;
  std::int64_t ended_ticks_ = 0;  // of processes whose time is in no other's figures
  std::int64_t last_ticks_ = 0;
  int times_missing_ = 0;
};

// The children of a process, by its threads.
std::vector<std::int64_t> children_of(const std::string& proc, std::int64_t pid);

}  // namespace batchscope
