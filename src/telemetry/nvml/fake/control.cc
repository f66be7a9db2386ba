// What control.h declares: the server's levers under C names.
#include "telemetry/nvml/fake/control.h"

#include <cstdint>
#include <string>

#include "base/error.h"
#include "telemetry/nvml/fake/server.h"

#pragma GCC visibility push(default)
extern "C" {
fake_nvml_set_scenario_t fake_nvml_set_scenario;
fake_nvml_set_load_t fake_nvml_set_load;
fake_nvml_set_time_ns_t fake_nvml_set_time_ns;
fake_nvml_use_real_time_t fake_nvml_use_real_time;
fake_nvml_time_ns_t fake_nvml_time_ns;
fake_nvml_set_wall_offset_ns_t fake_nvml_set_wall_offset_ns;
fake_nvml_set_sleep_t fake_nvml_set_sleep;
}
#pragma GCC visibility pop

namespace {

using batchscope::Nanoseconds;
using batchscope::nvml::fake::Server;

// Runs what may throw InputError; null, or its words.
template <class Act>
const char* error_of(const Act& act) {
  thread_local std::string error;
  try {
    act();
    return nullptr;
  } catch (const batchscope::Error& refused) {
    error = refused.what();
    return error.c_str();
  }
}

}  // namespace

const char* fake_nvml_set_scenario(const char* scenario) {
  return error_of([&] { Server::instance().set_scenario(scenario); });
}
const char* fake_nvml_set_load(int gpu, const char* load) {
  return error_of([&] { Server::instance().set_load(gpu, load); });
}
void fake_nvml_set_time_ns(std::int64_t ns) { Server::instance().set_time(Nanoseconds(ns)); }
void fake_nvml_use_real_time() { Server::instance().use_real_time(); }
std::int64_t fake_nvml_time_ns() { return Server::instance().time().count(); }
void fake_nvml_set_wall_offset_ns(std::int64_t ns) { Server::instance().set_wall_offset(Nanoseconds(ns)); }
void fake_nvml_set_sleep(fake_nvml_sleep sleep, void* context) { Server::instance().set_sleep(sleep, context); }
