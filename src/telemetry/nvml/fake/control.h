// How a test directs the fake NVML that it has loaded: C functions that the library exports beside NVML's, and a class
// that finds them. Times are the machine's, in ns; docs/fake_nvml.md says what a scenario is.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/error.h"

extern "C" {

// Told when a call in simulated time has slept: the fake's own time has moved by `ns` already. For a call that hangs
// until a time or for ever (INT64_MAX), which answers `timeout` afterwards, time has not moved.
using fake_nvml_sleep = void (*)(std::int64_t ns, void* context);

// A new machine, in all threads; JSON, or the name of a file. In real time its clock begins anew. Null, or the error;
// the text lasts until the thread's next call.
using fake_nvml_set_scenario_t = const char*(const char* scenario);
// From now on a GPU has the load of this JSON ("load", "repeat", "idle"); its totals go on.
using fake_nvml_set_load_t = const char*(int gpu, const char* load);
// From now on time is simulated: it moves only by this and by what calls cost, and calls do not sleep.
using fake_nvml_set_time_ns_t = void(std::int64_t ns);
using fake_nvml_use_real_time_t = void();
using fake_nvml_time_ns_t = std::int64_t();
// Stamps are the machine's time plus this; real time begins with the offset of CLOCK_REALTIME, simulated time with 0.
using fake_nvml_set_wall_offset_ns_t = void(std::int64_t ns);
using fake_nvml_set_sleep_t = void(fake_nvml_sleep sleep, void* context);

}  // extern "C"

namespace batchscope::nvml::fake {

class Control {
 public:
  explicit Control(const std::string& file) : library_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (library_ == nullptr) throw Failure("{}", dlerror());
  }

  void set_scenario(const std::string& scenario) const {
    checked(find<fake_nvml_set_scenario_t>("fake_nvml_set_scenario")(scenario.c_str()));
  }
  void set_load(int gpu, const std::string& load) const {
    checked(find<fake_nvml_set_load_t>("fake_nvml_set_load")(gpu, load.c_str()));
  }
  void set_time(Nanoseconds time) const { find<fake_nvml_set_time_ns_t>("fake_nvml_set_time_ns")(time.count()); }
  void use_real_time() const { find<fake_nvml_use_real_time_t>("fake_nvml_use_real_time")(); }
  Nanoseconds time() const { return Nanoseconds(find<fake_nvml_time_ns_t>("fake_nvml_time_ns")()); }
  void set_wall_offset(Nanoseconds offset) const {
    find<fake_nvml_set_wall_offset_ns_t>("fake_nvml_set_wall_offset_ns")(offset.count());
  }
  void set_sleep(fake_nvml_sleep sleep, void* context) const {
    find<fake_nvml_set_sleep_t>("fake_nvml_set_sleep")(sleep, context);
  }

 private:
  template <class Function>
  Function* find(const char* name) const {
    void* symbol = dlsym(library_, name);
    if (symbol == nullptr) throw Failure("{} is not the fake NVML: it lacks it", name);
    return reinterpret_cast<Function*>(symbol);
  }
  static void checked(const char* error) {
    if (error != nullptr) throw InputError("{}", error);
  }

  void* library_;
};

// The fake's simulated time as a clock: who sleeps on it moves the machine, and a call's cost moves the clock.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(const Control& control, Nanoseconds start = {}) : control_(&control) {
    control.set_time(start);
  }
  Nanoseconds now() const override { return control_->time(); }
  void sleep_until(Nanoseconds deadline) override {
    if (deadline > now()) control_->set_time(deadline);
  }
  Nanoseconds unix_now() const override { return now() + wall_offset_; }
  // Sets the wall clock, of the machine and of its driver's stamps.
  void set_wall_offset(Nanoseconds offset) {
    wall_offset_ = offset;
    control_->set_wall_offset(offset);
  }

 private:
  const Control* control_;
  Nanoseconds wall_offset_{0};
};

}  // namespace batchscope::nvml::fake
