// Where what is on the screen comes from: the machine as it is now, or a recording.
#pragma once

#include "top/layout.h"
#include "top/screen.h"
#include "top/view.h"

namespace batchscope::top {

class Feed {
 public:
  virtual ~Feed() = default;
  // To be called every so often.
  virtual Nanoseconds update_interval() const = 0;
  // Goes on to now. True when there is something new to see.
  virtual bool update(bool paused) = 0;
  virtual Observation observation() const = 0;  // as of the last update, or key
  virtual Caption caption() const = 0;
  // Whether its processes run now: then they can be ended.
  virtual bool is_live() const { return false; }
  // Asks a process to end; what hinders that is in the caption for a while.
  virtual void end_process([[maybe_unused]] std::int64_t pid) {}
  // A key of its own; false for one that says nothing to it.
  virtual bool handle(const Key& key) = 0;
};

// "2026-11-24 13:45:02", local time.
std::string date_text(Nanoseconds unix);

}  // namespace batchscope::top
