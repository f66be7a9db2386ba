// How ranks exchange memory, message by message, and who counts what went where. No rank waits for one that has failed:
// abort() wakes all.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "device/link.h"

namespace batchscope {

class Transport {
 public:
  virtual ~Transport() = default;

  // Rank `from` has bytes for rank `to`; they stay until await_taken(). One message at a time in each direction.
  virtual void post(int from, int to, const std::byte* data, std::int64_t bytes) = 0;
  struct Taken {
    std::int64_t bytes = 0;  // that came, as the transport counted them
    Nanoseconds waited{0};   // for the sender
  };
  // Receives what `from` posted for `to`. Throws a Failure that names both ranks if it is not `bytes` long.
  virtual Taken take(int from, int to, std::byte* out, std::int64_t bytes) = 0;
  // Returns the bytes of the last post, as the transport counted them, once they have gone.
  virtual std::int64_t await_taken(int from, int to) = 0;

  // While no rank communicates: a pace of virtual links.
  virtual void set_link(const LinkSpec& link) = 0;
  virtual void abort() = 0;
  // Forgets an abort and what was left posted; while no rank communicates.
  virtual void reset() = 0;
};

}  // namespace batchscope
