// Messages by MPI (comm/message_passer.h), for the shared library that is loaded under a launcher.
#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "comm/message_passer.h"

namespace batchscope {
namespace {

void check(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw std::runtime_error(std::string("MPI: ") + what + ": " + text);
}

// One lock for all: threads take turns in calls that do not wait.
class MpiPasser : public MessagePasser {
 public:
  MpiPasser() {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    for (MPI_Comm& comm : comms_) {
      MPI_Comm_dup(MPI_COMM_WORLD, &comm);
      MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN);
    }
  }
  ~MpiPasser() override { MPI_Finalize(); }

  int rank() const override { return rank_; }
  int size() const override { return size_; }

  Ticket send(Channel channel, int to, int tag, const std::byte* data, std::int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    Underway underway{.sent = bytes};
    check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, comm(channel), &underway.request), "send");
    return add(underway);
  }

  std::optional<Envelope> next(Channel channel, int from) override {
    const std::lock_guard lock(mutex_);
    int found = 0;
    MPI_Status status;
    check(MPI_Iprobe(from == any ? MPI_ANY_SOURCE : from, MPI_ANY_TAG, comm(channel), &found, &status), "probe");
    if (found == 0) return std::nullopt;
    return Envelope{status.MPI_SOURCE, status.MPI_TAG, count(status)};
  }

  Ticket receive(Channel channel, const Envelope& message, std::byte* out) override {
    const std::lock_guard lock(mutex_);
    Underway underway;
    check(MPI_Irecv(out, static_cast<int>(message.bytes), MPI_BYTE, message.from, message.tag, comm(channel),
                    &underway.request),
          "receive");
    return add(underway);
  }

  std::optional<std::int64_t> done(Ticket ticket) override {
    const std::lock_guard lock(mutex_);
    const auto found = underway_.find(ticket);
    if (found == underway_.end()) throw std::logic_error("a message's ticket is asked for after it was done");
    int is_done = 0;
    MPI_Status status;
    check(MPI_Test(&found->second.request, &is_done, &status), "test");
    if (is_done == 0) return std::nullopt;
    // MPI counts what was received; of what was sent it says that it has gone.
    const std::int64_t bytes = found->second.sent ? *found->second.sent : count(status);
    underway_.erase(found);
    return bytes;
  }

  // Without the lock: whoever holds it may never return.
  [[noreturn]] void abort(int code) override {
    MPI_Abort(MPI_COMM_WORLD, code);
    std::abort();
  }

 private:
  struct Underway {
    MPI_Request request = MPI_REQUEST_NULL;
    std::optional<std::int64_t> sent{};  // absent: a message that is received
  };

  static std::int64_t count(const MPI_Status& status) {
    int bytes = 0;
    check(MPI_Get_count(&status, MPI_BYTE, &bytes), "count");
    return bytes;
  }
  MPI_Comm comm(Channel channel) const { return comms_[static_cast<std::size_t>(channel)]; }
  Ticket add(const Underway& underway) {
    underway_.emplace(++last_ticket_, underway);
    return last_ticket_;
  }

  int rank_ = 0, size_ = 1;
  std::array<MPI_Comm, channels> comms_;
  std::mutex mutex_;
  std::map<Ticket, Underway> underway_;
  Ticket last_ticket_ = 0;
};

}  // namespace
}  // namespace batchscope

extern "C" __attribute__((visibility("default"))) batchscope::MessagePasser* batchscope_make_message_passer() {
  // Who waits sleeps by itself. OpenMPI, where ranks are more than CPUs, would give its CPU away at every look for a message,
  // which beside other busy processes costs their time slices.
  setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_SERIALIZED)
    return nullptr;
  return new batchscope::MpiPasser;
}
