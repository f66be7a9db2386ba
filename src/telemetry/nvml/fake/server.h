// The state behind the fake NVML's functions: a machine, a clock, and who has initialised what. Safe in many threads.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/nvml/fake/control.h"
#include "telemetry/nvml/fake/machine.h"

namespace batchscope::nvml {

struct DeviceHandle {
  int gpu;
  int mig_instance;  // -1: the whole GPU
};
struct EventSetHandle {
  struct Registration {
    int gpu;
    std::uint64_t types;
    Nanoseconds since;
  };
  std::vector<Registration> registrations{};
  std::vector<bool> delivered{};  // by index of the machine's events
};
struct GpmSampleHandle {
  int gpu = -1;
  Nanoseconds taken{};
};

}  // namespace batchscope::nvml

namespace batchscope::nvml::fake {

class Server {
 public:
  // Never destroyed: a thread may hang in it until the process ends.
  static Server& instance();

  Return init();
  Return shutdown();

  // Answers the call `name` (a function, or a field's number) on a GPU, or on none (-1). Before `answer` comes what the
  // scenario makes of it: the call hangs, is refused, blocks for its cost, is refused by then.
  // `answer`: Return(const Machine&, Nanoseconds now); it must not call the server.
  template <class Answer>
  Return call(std::string_view name, int gpu, const Answer& answer) {
    std::unique_lock lock(mutex_);
    const Return entered = enter(lock, name, gpu);
    return entered == success ? answer(static_cast<const Machine&>(*machine_), now()) : entered;
  }

  // While it lives, a call of GPM is made. Not allowed: one that NVML (580.159) was seen to crash in, beside those that
  // are made already.
  class GpmCall {
   public:
    enum class Kind { sample, metrics };
    GpmCall(Server& server, Kind kind, int gpu);
    ~GpmCall();
    GpmCall(const GpmCall&) = delete;
    GpmCall& operator=(const GpmCall&) = delete;
    bool is_allowed() const { return is_allowed_; }

   private:
    Server& server_;
    Kind kind_;
    bool is_first_, is_allowed_;
  };

  Return register_events(int gpu, std::uint64_t types, EventSet set);
  Return wait_event(EventSet set, Nanoseconds timeout, Event& event);

  std::int64_t wall_us(Nanoseconds time) const;  // a machine's time as a stamp; inside an answer

  // What control.h exports. Both texts throw InputError.
  void set_scenario(std::string_view text);
  void set_load(int gpu, std::string_view text);
  void set_time(Nanoseconds time);
  void use_real_time();
  Nanoseconds time();
  void set_wall_offset(Nanoseconds offset);
  void set_sleep(fake_nvml_sleep sleep, void* context);

 private:
  using Lock = std::unique_lock<std::mutex>;
  void start(Scenario scenario);
  void restart_real_time(Nanoseconds time);
  Return enter(Lock& lock, std::string_view name, int gpu);
  bool wait_while_hanging(Lock& lock, std::string_view name, int gpu);
  Nanoseconds now() const;
  void block(Lock& lock, Nanoseconds length);  // for a call's cost
  void rest(Lock& lock, Nanoseconds length);   // until then, or until something changes
  void simulate(Lock& lock, Nanoseconds length);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Machine> machine_;
  int initialized_ = 0;
  bool simulated_ = false;
  Nanoseconds simulated_now_{};
  Nanoseconds origin_{};       // of real time: CLOCK_MONOTONIC at the machine's time 0
  Nanoseconds wall_offset_{};  // wall clock less machine's time
  struct GpmCalls {
    int samples = 0, firsts = 0, metrics = 0;  // now; firsts: samples of GPUs that had none before
    std::set<int> sampled{};                   // GPUs
  };
  GpmCalls gpm_calls_{};
  fake_nvml_sleep sleep_ = nullptr;
  void* sleep_context_ = nullptr;
};

}  // namespace batchscope::nvml::fake
