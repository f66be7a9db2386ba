// Joins the other processes of a launcher at the start, and ends with them.
#include "cli/processes.h"

#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "cli/interrupt.h"
#include "comm/launcher.h"
#include "comm/lifeline.h"
#include "comm/process_world.h"

namespace batchscope::cli {
namespace {

constexpr auto longest_abort = std::chrono::seconds(1);
// So long a process that has noticed a death stays, so that others notice that one, not its own.
constexpr auto stay = std::chrono::milliseconds(200);
// A death so long after a signal is due to it: what a launcher sends because of a death comes behind that.
constexpr auto of_an_interruption = std::chrono::milliseconds(300);

// All others of this machine, and who started this process.
class Peers {
 public:
  explicit Peers(ProcessWorld& world) : world_(world) {
    const auto& places = world.places();
    const ProcessPlace& here = places[static_cast<std::size_t>(world.first())];
    std::vector<pid_t> pids;
    for (int rank = 0; rank < world.size(); ++rank) {
      const ProcessPlace& place = places[static_cast<std::size_t>(rank)];
      if (place.machine != here.machine || place.pid_namespace != here.pid_namespace || rank == world.first()) continue;
      ranks_.push_back(rank);
      pids.push_back(static_cast<pid_t>(place.pid));
    }
    are_all_here_ = static_cast<int>(pids.size()) + 1 == world.size();
    pids.push_back(getppid());
    lifeline_.emplace(pids, [this, pids](std::size_t index) { end(index, pids); });
  }

 private:
  // The first rank that is alive says it.
  void end(std::size_t index, const std::vector<pid_t>& pids) {
    if (is_interrupted_for(of_an_interruption)) return;  // all end by it, and one process says so
    bool is_first = true;
    for (std::size_t i = 0; i < ranks_.size(); ++i)
      if (ranks_[i] < world_.first() && i != index && kill(pids[i], 0) == 0) is_first = false;
    if (is_first) {
      const std::string line =
          index == ranks_.size()
              ? std::string("batchscope: the launcher has died, so its processes end\n")
              : fmt::format("batchscope: rank {} (process {} on {}) has died: it was killed, or crashed\n",
                            ranks_[index], pids[index], world_.places()[static_cast<std::size_t>(ranks_[index])].host);
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
    }
    std::this_thread::sleep_for(stay);
    // Processes elsewhere do not see it: the launcher ends them. MPI may itself wait for the dead.
    if (!are_all_here_) {
      std::thread([this] { world_.passer().abort(static_cast<int>(ExitCode::failed)); }).detach();
      std::this_thread::sleep_for(longest_abort);
    }
    _exit(static_cast<int>(ExitCode::failed));
  }

  ProcessWorld& world_;
  std::vector<int> ranks_;
  bool are_all_here_ = true;
  std::optional<Lifeline> lifeline_;
};

// mpirun binds each rank to a core of its own unless told otherwise.
void warn_of_binding(const ProcessWorld& world) {
  std::set<int> used;
  const auto& places = world.places();
  for (const ProcessPlace& place : places)
    if (place.machine == places.front().machine) used.insert(place.cpus.begin(), place.cpus.end());
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  if (std::getenv("OMPI_COMM_WORLD_RANK") != nullptr && std::getenv("SLURM_JOB_ID") == nullptr &&
      static_cast<long>(used.size()) < online)
    spdlog::warn("mpirun binds these ranks to {} of {} CPUs; mpirun --bind-to none lets them use all", used.size(),
                 online);
}

std::unique_ptr<ProcessWorld> join_others() {
  try {
    return std::make_unique<ProcessWorld>(connect_by_mpi(), this_process());
  } catch (const Error& error) {
    // Once a host: the same is missing for all of its processes.
    if (launched()->local_rank == 0) std::fputs(fmt::format("batchscope: {}\n", error.what()).c_str(), stderr);
    _exit(static_cast<int>(error.code()));
  }
}

}  // namespace

bool speaks() {
  const auto process = launched();
  return !process || process->rank == 0;
}

void in_every_process(const std::function<void(World* world)>& work) {
  if (!launched()) return work(nullptr);
  const auto world = join_others();
  std::optional<Peers> peers;
  peers.emplace(*world);
  is_one_of_several(speaks());
  if (speaks()) warn_of_binding(*world);
  // Ends the watch in all processes before any of them ends.
  const auto leave = [&] {
    HostGroup all = world->all_ranks(world->first());
    all.barrier();
    peers.reset();
    all.barrier();
  };
  try {
    world->together([&] { work(world.get()); });
  } catch (...) {
    leave();
    throw;
  }
  leave();
}

}  // namespace batchscope::cli
