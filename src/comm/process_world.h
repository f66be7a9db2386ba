// Ranks that are processes, one each, which a library passes messages between (comm/message_passer.h).
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "comm/message_passer.h"
#include "comm/world.h"

namespace batchscope {

// What a process tells the others of itself.
struct ProcessPlace {
  std::string host;     // as its users name it
  std::string machine;  // equal for processes of one running kernel, which share a monotonic clock
  std::int64_t pid = 0;
  std::string pid_namespace;
  std::vector<int> cpus;  // that it may use
};
// Of this one. Under Slurm a host is what Slurm calls a node.
ProcessPlace this_process();

class ProcessWorld : public World, public HostMessages {
 public:
  // A message of a device that does not come for that long is lost, or its sender hangs: a process that dies is noticed
  // otherwise (comm/lifeline.h).
  static constexpr Nanoseconds usual_time_out = std::chrono::minutes(10);

  ProcessWorld(std::unique_ptr<MessagePasser> passer, const ProcessPlace& here, Nanoseconds time_out = usual_time_out,
               Clock& clock = monotonic_clock());

  int size() const override { return passer_->size(); }
  int first() const override { return passer_->rank(); }
  int count() const override { return 1; }
  int device_index(int rank) const override;
  int cpu_sharers() const override;
  std::string host() const override;
  const std::vector<ProcessPlace>& places() const { return places_; }  // one a rank
  std::vector<pid_t> beside() const override;
  MessagePasser& passer() { return *passer_; }

  HostMessages& messages() override { return *this; }
  std::unique_ptr<Transport> make_transport(std::vector<VirtualDeviceCounters*> counters, Clock& clock) override;
  void abort() override;
  bool is_aborted() override;
  void settle(std::exception_ptr mine) override;
  void align_clocks() override;
  ClockOffset clock_offset() const override { return clock_offset_; }

  void send(int from, int to, const std::string& bytes) override;
  std::string receive(int from, int to) override;

  // Messages between devices, numbered from each process to each, so that a lost or doubled one shows.
  void post(int to, const std::byte* data, std::int64_t bytes);
  Transport::Taken take(int from, std::byte* out, std::int64_t bytes);
  std::int64_t await_posted(int to);

 private:
  using Channel = MessagePasser::Channel;
  using Ticket = MessagePasser::Ticket;
  struct Peer {
    std::int64_t sent = 0, taken = 0;            // messages between devices
    std::int64_t texts_sent = 0, texts_taken = 0;  // messages of the host
    std::vector<Ticket> posted;                  // parts of the message that goes there
    std::vector<std::pair<Ticket, std::unique_ptr<std::string>>> texts;  // until they have gone
  };

  Peer& peer(int rank) { return peers_[static_cast<std::size_t>(rank)]; }
  enum class Abort { ends_it, is_ignored };
  // Tries again until `ready` is true, first at once, then with pauses. `late`, unless null, throws: called when the time is
  // up.
  template <class Ready, class Late>
  void wait(const Ready& ready, Abort abort, const Late& late);
  bool note_abort(std::int64_t epoch);
  template <class Late>
  MessagePasser::Envelope await(Channel channel, int from, Abort abort, const Late& late);
  std::int64_t receive_all(Channel channel, const MessagePasser::Envelope& message, std::byte* out);
  std::string receive_text(Channel channel, int from, Abort abort);
  void send_text(Channel channel, int to, const std::string& bytes);
  void check_nothing_is_left();
  void drain(const std::vector<std::int64_t>& sent, const std::vector<std::int64_t>& texts_sent);

  std::unique_ptr<MessagePasser> passer_;
  const Nanoseconds time_out_;
  Clock& clock_;
  std::vector<Peer> peers_;
  std::vector<ProcessPlace> places_;
  ClockOffset clock_offset_;
  Nanoseconds spin_{0};
  // Settled pieces of work are counted: an abort that one process tells of belongs to one of them, which may be over here,
  // or not have begun.
  std::atomic<std::int64_t> epoch_{0}, aborted_{-1};  // the latest one that was aborted
  std::int64_t abort_sent_ = -1;
};

}  // namespace batchscope
