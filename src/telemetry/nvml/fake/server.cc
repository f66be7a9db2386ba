// Clock, faults and events of the fake NVML (server.h).
#include "telemetry/nvml/fake/server.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <thread>

#include "base/error.h"
#include "base/file.h"

namespace batchscope::nvml::fake {
namespace {

// A scenario, or the name of the file that has it.
Scenario read_scenario(std::string_view text) {
  if (text.starts_with('{')) return parse_scenario(text, "scenario");
  const std::string file(text);
  return parse_scenario(read_file(file), file);
}

Scenario scenario_of_environment() {
  const char* text = std::getenv("BATCHSCOPE_FAKE_NVML");
  return text == nullptr || *text == '\0' ? default_scenario() : read_scenario(text);
}

}  // namespace

Server& Server::instance() {
  static Server& server = *new Server;
  return server;
}

void Server::start(Scenario scenario) {
  machine_ = std::make_unique<Machine>(std::move(scenario));
  if (!simulated_) restart_real_time(machine_->scenario().start);
  changed_.notify_all();
}

void Server::restart_real_time(Nanoseconds time) {
  origin_ = monotonic_clock().now() - time;
  wall_offset_ = unix_time() - time;
}

Return Server::init() {
  {
    const std::lock_guard lock(mutex_);
    if (!machine_) {
      try {
        start(scenario_of_environment());
      } catch (const Error& error) {
        std::fprintf(stderr, "BATCHSCOPE_FAKE_NVML: %s\n", error.what());
        return unknown;
      }
    }
    ++initialized_;
  }
  const Return result = call("nvmlInit_v2", -1, [](const Machine&, Nanoseconds) { return success; });
  if (result != success) shutdown();
  return result;
}

Return Server::shutdown() {
  const std::lock_guard lock(mutex_);
  if (initialized_ == 0) return uninitialized;
  --initialized_;
  return success;
}

Nanoseconds Server::now() const { return simulated_ ? simulated_now_ : monotonic_clock().now() - origin_; }

std::int64_t Server::wall_us(Nanoseconds time) const { return (time + wall_offset_).count() / 1000; }

Return Server::enter(Lock& lock, std::string_view name, int gpu) {
  if (initialized_ == 0) return uninitialized;
  const auto refusal = [&]() -> Return {
    if (gpu >= static_cast<int>(machine_->gpus().size())) return invalid_argument;
    return machine_->refusal(gpu, name, now());
  };
  if (!wait_while_hanging(lock, name, gpu)) return timeout;
  if (const Return result = refusal(); result != success) return result;
  const Nanoseconds cost = machine_->scenario().cost(name);
  if (cost == Nanoseconds(0)) return success;
  block(lock, cost);
  return refusal();
}

// False: it did not end, as far as simulated time can say.
bool Server::wait_while_hanging(Lock& lock, std::string_view name, int gpu) {
  while (const auto until = machine_->hang(gpu, name, now())) {
    const Nanoseconds length = *until == for_ever ? for_ever : *until - now();
    if (!simulated_) {
      rest(lock, length);
    } else if (sleep_ != nullptr) {
      const auto sleep = sleep_;
      void* context = sleep_context_;
      lock.unlock();
      sleep(length.count(), context);
      lock.lock();
      return !machine_->hang(gpu, name, now());
    } else if (length == for_ever) {
      return false;
    } else {
      simulated_now_ = *until;
    }
  }
  return true;
}

void Server::simulate(Lock& lock, Nanoseconds length) {
  simulated_now_ += length;
  if (sleep_ == nullptr) return;
  const auto sleep = sleep_;
  void* context = sleep_context_;
  lock.unlock();
  sleep(length.count(), context);
  lock.lock();
}

void Server::block(Lock& lock, Nanoseconds length) {
  if (simulated_) return simulate(lock, length);
  constexpr Nanoseconds shortest_sleep = std::chrono::microseconds(50);
  const bool burn = machine_->scenario().burn_cpu || length < shortest_sleep;
  const Nanoseconds deadline = monotonic_clock().now() + length;
  lock.unlock();
  if (!burn) monotonic_clock().sleep_until(deadline);
  while (monotonic_clock().now() < deadline) {
  }
  lock.lock();
}

void Server::rest(Lock& lock, Nanoseconds length) {
  if (simulated_) return simulate(lock, length);
  constexpr Nanoseconds longest = std::chrono::hours(1);  // and then looks again
  changed_.wait_for(lock, std::min(length, longest));
}

Server::GpmCall::GpmCall(Server& server, Kind kind, int gpu) : server_(server), kind_(kind) {
  const std::lock_guard lock(server_.mutex_);
  GpmCalls& now = server_.gpm_calls_;
  is_first_ = kind == Kind::sample && now.sampled.insert(gpu).second;
  const bool is_beside_others = now.samples + now.metrics > 0;
  is_allowed_ = now.firsts == 0 && !(is_first_ && is_beside_others) && !(kind == Kind::metrics && now.metrics > 0);
  ++(kind == Kind::sample ? now.samples : now.metrics);
  if (is_first_) ++now.firsts;
}

Server::GpmCall::~GpmCall() {
  const std::lock_guard lock(server_.mutex_);
  GpmCalls& now = server_.gpm_calls_;
  --(kind_ == Kind::sample ? now.samples : now.metrics);
  if (is_first_) --now.firsts;
}

Return Server::register_events(int gpu, std::uint64_t types, EventSet set) {
  const std::lock_guard lock(mutex_);
  set->registrations.push_back({gpu, types, now()});
  return success;
}

Return Server::wait_event(EventSet set, Nanoseconds timeout_length, Event& event) {
  Lock lock(mutex_);
  const Return entered = enter(lock, "nvmlEventSetWait_v2", -1);
  if (entered != success) return entered;
  const Nanoseconds deadline = now() + timeout_length;
  while (true) {
    const std::vector<Event>& events = machine_->events();
    set->delivered.resize(events.size());
    Nanoseconds wake = deadline;
    bool lost = false;
    for (const auto& registration : set->registrations) {
      for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i].gpu != registration.gpu || (events[i].type & registration.types) == 0 || set->delivered[i] ||
            events[i].time < registration.since)
          continue;
        if (events[i].time <= now()) {
          set->delivered[i] = true;
          event = events[i];
          return success;
        }
        wake = std::min(wake, events[i].time);
      }
      lost = lost || machine_->lost(registration.gpu, now());
      for (const Fault& fault : machine_->scenario().faults)
        if (fault.kind == FaultKind::lost && fault.from > now()) wake = std::min(wake, fault.from);
    }
    if (lost) return gpu_is_lost;
    if (now() >= deadline) return timeout;
    rest(lock, wake - now());
  }
}

void Server::set_scenario(std::string_view text) {
  Scenario scenario = read_scenario(text);
  const std::lock_guard lock(mutex_);
  start(std::move(scenario));
}

void Server::set_load(int gpu, std::string_view text) {
  Load load = parse_load(text, "load");
  const std::lock_guard lock(mutex_);
  const int count = machine_ ? static_cast<int>(machine_->gpus().size()) : 0;
  if (gpu < 0 || gpu >= count) throw InputError("load: no GPU {}: there are {}", gpu, count);
  machine_->set_load(gpu, std::move(load), now());
}

void Server::set_time(Nanoseconds time) {
  const std::lock_guard lock(mutex_);
  if (!simulated_) wall_offset_ = Nanoseconds(0);
  simulated_ = true;
  simulated_now_ = time;
  changed_.notify_all();
}

void Server::use_real_time() {
  const std::lock_guard lock(mutex_);
  if (!simulated_) return;
  simulated_ = false;
  restart_real_time(simulated_now_);
  changed_.notify_all();
}

Nanoseconds Server::time() {
  const std::lock_guard lock(mutex_);
  return now();
}

void Server::set_wall_offset(Nanoseconds offset) {
  const std::lock_guard lock(mutex_);
  wall_offset_ = offset;
}

void Server::set_sleep(fake_nvml_sleep sleep, void* context) {
  const std::lock_guard lock(mutex_);
  sleep_ = sleep;
  sleep_context_ = context;
}

}  // namespace batchscope::nvml::fake
