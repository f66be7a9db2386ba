// Where a replay is, and how fast it goes.
#pragma once

#include <algorithm>

#include "base/clock.h"

namespace batchscope::top {

class Playback {
 public:
  Playback(Nanoseconds length, double speed) : length_(length), speed_(speed) {}

  Nanoseconds position() const { return position_; }
  Nanoseconds length() const { return length_; }
  double speed() const { return speed_; }

  void advance(Nanoseconds time) { go_to(position_ + from_seconds(to_seconds(time) * speed_)); }
  void seek(Nanoseconds by) { go_to(position_ + by); }
  void go_to(Nanoseconds position) { position_ = std::clamp(position, Nanoseconds(0), length_); }
  void faster() { speed_ = std::min(speed_ * 2, most_speed); }
  void slower() { speed_ = std::max(speed_ / 2, least_speed); }

  static constexpr double least_speed = 1.0 / 16, most_speed = 256;

 private:
  Nanoseconds length_;
  Nanoseconds position_{0};
  double speed_;
};

}  // namespace batchscope::top
