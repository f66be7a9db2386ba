// Messages between processes, as a library like MPI passes them: nothing waits, and what arrived is what the library says.
// MPI's is a shared library of ours (comm/plugin/) that is loaded only where a launcher started this program as one process
// of several, so that the program itself starts where there is no MPI.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace batchscope {

class MessagePasser {
 public:
  virtual ~MessagePasser() = default;  // orderly, in every process alike

  virtual int rank() const = 0;
  virtual int size() const = 0;  // processes

  // Messages of different channels do not see each other; those of one channel between two processes keep their order.
  enum class Channel { data, host, outcome, abort };
  static constexpr int channels = 4;
  static constexpr int any = -1;        // process
  static constexpr int tags = 1 << 15;  // 0 to here

  struct Envelope {
    int from = 0, tag = 0;
    std::int64_t bytes = 0;
  };
  using Ticket = std::int64_t;  // of a message underway

  // At most this much in a message.
  static constexpr std::int64_t most_bytes = std::int64_t{1} << 30;
  // `data` stays as it is until the ticket is done.
  virtual Ticket send(Channel channel, int to, int tag, const std::byte* data, std::int64_t bytes) = 0;
  // The next message of that process, where one has arrived.
  virtual std::optional<Envelope> next(Channel channel, int from) = 0;
  // Takes the message that next() has shown.
  virtual Ticket receive(Channel channel, const Envelope& message, std::byte* out) = 0;
  // Once it is done, how many bytes went or came; a ticket is done once.
  virtual std::optional<std::int64_t> done(Ticket ticket) = 0;

  // Ends all processes, this one too, with that exit code. From any thread.
  [[noreturn]] virtual void abort(int code) = 0;
};

// The library's only entry, by this name; null where MPI does not start.
using MakeMessagePasser = MessagePasser*();
inline constexpr const char* make_message_passer_name = "batchscope_make_message_passer";

}  // namespace batchscope
