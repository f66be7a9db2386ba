// Follows a tree of processes: who is in it, who has ended, and what CPU time they took.
#include "telemetry/command/process_tree.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "base/procfs.h"

namespace batchscope {
namespace {

constexpr std::size_t most_processes = 4096;

std::optional<ProcessStat> stat_of(const std::string& proc, std::int64_t pid) {
  const auto text = read_small_file(fmt::format("{}/{}/stat", proc, pid));
  return text ? parse_process_stat(*text) : std::nullopt;
}

}  // namespace

std::vector<std::int64_t> children_of(const std::string& proc, std::int64_t pid) {
  std::vector<std::int64_t> all;
  std::error_code error;
  const std::string tasks = fmt::format("{}/{}/task", proc, pid);
  for (std::filesystem::directory_iterator task(tasks, error), end; !error && task != end; task.increment(error))
    if (const auto children = read_small_file(task->path() / "children"))
      for (const std::int64_t child : parse_children(*children)) all.push_back(child);
  return all;
}

ProcessTree::Use ProcessTree::use() {
  Use use;
  Members seen;
  follow({root_}, false, seen, use);
  if (adopts_)
    for (const std::int64_t child : children_of(proc_, getpid()))
      if (child != root_) follow({child}, true, seen, use);
  follow_orphans(seen, use);
  members_ = std::move(seen);
  use.cpu_ticks += ended_ticks_;
  never_go_back(use);
  return use;
}

// A child that ends between its parent's reading and its own is missing once. Where it stays so, its parent does not
// wait for children, and nobody has its time.
void ProcessTree::never_go_back(Use& use) {
  const std::int64_t missing = last_ticks_ - use.cpu_ticks;
  times_missing_ = missing > 0 ? times_missing_ + 1 : 0;
  if (times_missing_ > 1) {
    ended_ticks_ += missing;
    times_missing_ = 0;
    use.lost = "a process ended for which its parent did not wait: its last CPU time is unknown";
  }
  last_ticks_ = use.cpu_ticks = std::max(use.cpu_ticks, last_ticks_);
}

// Adds the processes and their descendants to what was seen.
void ProcessTree::follow(std::vector<std::int64_t> waiting, bool are_orphans, Members& seen, Use& use) {
  const std::size_t orphans = are_orphans ? waiting.size() : 0;
  for (std::size_t i = 0; i < waiting.size() && seen.size() < most_processes; ++i) {
    const std::int64_t pid = waiting[i];
    const auto process = seen.contains(pid) ? std::nullopt : stat_of(proc_, pid);
    if (!process) continue;
    const std::int64_t ticks = process->cpu_ticks + process->children_cpu_ticks;
    if (i < orphans && process->state == 'Z') {  // it has ended, and says for the last time what it used
      ended_ticks_ += ticks;
      if (adopts_) waitpid(static_cast<pid_t>(pid), nullptr, WNOHANG);
      continue;
    }
    seen[pid] = {.start_ticks = process->start_ticks, .cpu_ticks = ticks, .is_orphan = i < orphans};
    ++use.processes;
    use.cpu_ticks += ticks;
    use.resident_pages += process->resident_pages;
    for (const std::int64_t child : children_of(proc_, pid)) waiting.push_back(child);
  }
}

bool ProcessTree::still_runs(std::int64_t pid, const Member& member) const {
  const auto process = stat_of(proc_, pid);
  return process && process->start_ticks == member.start_ticks;
}

// Those that were in the tree and are not found from its root any more: they have ended, or their parents have.
void ProcessTree::follow_orphans(Members& seen, Use& use) {
  for (const auto& [pid, member] : members_) {
    if (seen.contains(pid)) continue;
    if (still_runs(pid, member)) {
      follow({pid}, true, seen, use);
    } else if (member.is_orphan && !adopts_) {
      ended_ticks_ += member.cpu_ticks;
      use.lost = "a process whose parent had ended before it has ended, too: its last CPU time is unknown";
    }
  }
}

}  // namespace batchscope
