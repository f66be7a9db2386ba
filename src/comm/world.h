// All ranks of a run: which of them are threads of this process, and how all of them reach each other. Whoever runs a model
// does the same whether its ranks are threads or processes: work on the ranks that are here, then settle.
#pragma once

#include <sys/types.h>

#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "base/virtual_devices.h"
#include "comm/host_group.h"
#include "comm/transport.h"

namespace batchscope {

class World {
 public:
  virtual ~World() = default;

  virtual int size() const = 0;  // ranks
  // Those that are here: [first(), first() + count()).
  virtual int first() const = 0;
  virtual int count() const = 0;
  bool is_here(int rank) const { return rank >= first() && rank < first() + count(); }

  // Which of its host's devices a rank has, and how many ranks share these CPUs with it; of a rank that is here.
  virtual int device_index(int rank) const = 0;
  virtual int cpu_sharers() const = 0;
  // "" where all ranks are on one host.
  virtual std::string host() const = 0;

  virtual HostMessages& messages() = 0;
  HostGroup group(std::vector<int> members, int rank) { return {std::move(members), rank, messages()}; }
  HostGroup all_ranks(int rank);
  // Of virtual devices, whose link counters are `counters`, one a rank; null for ranks that are not here.
  virtual std::unique_ptr<Transport> make_transport(std::vector<VirtualDeviceCounters*> counters, Clock& clock) = 0;

  // Wakes all ranks that wait for another, wherever they are; they end with PeerFailed. From any thread.
  virtual void abort() = 0;
  // Whether a rank elsewhere has failed since the last settle(); for those who wait for a device, not for a message.
  virtual bool is_aborted() { return false; }
  // Called once a process for a piece of work that all did: returns in all of them when all have come here, if none
  // failed; else throws, in all of them, the failure that was the cause, and forgets an abort.
  virtual void settle(std::exception_ptr mine) = 0;

  // Processes of this machine that belong to the run, beside this one.
  virtual std::vector<pid_t> beside() const { return {}; }

  // Work that any process may fail at alone: returns when all have done it, or throws in all of them.
  template <class Work>
  void together(const Work& work) {
    std::exception_ptr mine;
    try {
      work();
    } catch (...) {
      mine = std::current_exception();
      if (mine == settled_failure_) throw;  // all processes have it
      abort();
    }
    settle(mine);
  }

  // The host's monotonic clock: how far rank 0's is ahead of this process's, and the most by which that is wrong. 0 on
  // the same machine.
  virtual void align_clocks() {}
  struct ClockOffset {
    Nanoseconds offset{0}, error{0};
  };
  virtual ClockOffset clock_offset() const { return {}; }

 protected:
  std::exception_ptr settled_failure_;  // of the last settle()
};

// Every rank a thread of this process.
class ThreadWorld : public World {
 public:
  explicit ThreadWorld(int ranks) : ranks_(ranks), messages_(ranks) {}
  int size() const override { return ranks_; }
  int first() const override { return 0; }
  int count() const override { return ranks_; }
  int device_index(int rank) const override { return rank; }
  int cpu_sharers() const override { return ranks_; }
  std::string host() const override { return {}; }
  HostMessages& messages() override { return messages_; }
  std::unique_ptr<Transport> make_transport(std::vector<VirtualDeviceCounters*> counters, Clock& clock) override;
  void abort() override { messages_.abort(); }
  void settle(std::exception_ptr mine) override;

 private:
  int ranks_;
  ThreadMessages messages_;
};

}  // namespace batchscope
