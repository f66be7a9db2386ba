// From counters to what they mean (top/screen.h).
#include "top/screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <tuple>

#include "telemetry/nvml/sleeping_gpus.h"
#include "telemetry/sources/nvml.h"

namespace batchscope::top {
namespace {

using Names = std::initializer_list<std::string_view>;  // the first that there is

constexpr std::string_view process_memory = "gpu_process_memory_bytes",
                           process_utilization = "gpu_process_utilization_ratio";

struct ClockLimit {
  std::string_view counter;
  const char* what;
};
constexpr std::array clock_limits{
    ClockLimit{"gpu_clocks_power_capped_ratio", "power cap"}, ClockLimit{"gpu_clocks_thermal_ratio", "temperature"},
    ClockLimit{"gpu_clocks_slowdown_ratio", "slowdown"}, ClockLimit{"gpu_clocks_locked_ratio", "locked"}};

// Counters of one device as of one moment.
class Reader {
 public:
  Reader(const Observation& observation, const Tracks::Device& device, std::size_t columns)
      : observation_(observation), device_(device), columns_(columns) {}

  // The first that has a value now; without one, the first that there is.
  const Track* track(Names names) const {
    const Track* first = nullptr;
    for (const std::string_view name : names) {
      const Track* found = device_.find(name);
      if (found != nullptr && found->now(observation_.at, observation_.step)) return found;
      if (first == nullptr) first = found;
    }
    return first;
  }
  std::optional<double> now(Names names) const {
    const Track* found = track(names);
    return found != nullptr ? found->now(observation_.at, observation_.step) : std::nullopt;
  }
  Value value(Names names) const {
    const Track* found = track(names);
    if (found == nullptr) return {.now = {}, .history = History(columns_)};
    return {.now = found->now(observation_.at, observation_.step),
            .history = found->history(observation_.at, observation_.step, columns_)};
  }
  std::optional<double> last(std::string_view name) const {
    const Track* found = device_.find(name);
    return found != nullptr ? found->last(observation_.at) : std::nullopt;
  }
  std::string_view why_absent(Names names) const {
    const Track* found = track(names);
    return found != nullptr ? found->why_absent(observation_.at) : std::string_view();
  }
  bool is_read() const {
    return std::any_of(device_.by_name.begin(), device_.by_name.end(),
                       [&](const auto& named) { return named.second->is_read(observation_.at); });
  }

 private:
  const Observation& observation_;
  const Tracks::Device& device_;
  std::size_t columns_;
};

// What has a place on the screen, and is missed there.
struct Shown {
  const char* what;
  Names counters;
};

void add_absences(Board& board, const Reader& reader) {
  static const std::array shown{Shown{"utilisation", {"gpu_utilization_ratio", "gpu_busy_seconds_total"}},
                                Shown{"SM, tensor, DRAM", {"gpu_sm_active_ratio"}},
                                Shown{"memory", {"gpu_memory_used_bytes"}},
                                Shown{"power", {"gpu_power_watts"}},
                                Shown{"clocks", {"gpu_sm_clock_hertz"}},
                                Shown{"temperature", {"gpu_temperature_celsius"}},
                                Shown{"PCIe", {"gpu_pcie_tx_bytes_total", "gpu_pcie_tx_bytes_per_second"}},
                                Shown{"NVLink", {"gpu_nvlink_tx_bytes_total", "gpu_nvlink_tx_bytes_per_second"}}};
  std::vector<std::pair<std::string_view, std::string>> by_reason;
  bool something_known = false;
  for (const Shown& one : shown) {
    const std::string_view why = reader.why_absent(one.counters);
    something_known |= reader.now(one.counters).has_value();
    if (why.empty()) continue;
    const auto same = std::find_if(by_reason.begin(), by_reason.end(), [&](const auto& r) { return r.first == why; });
    if (same == by_reason.end())
      by_reason.emplace_back(why, one.what);
    else
      same->second += fmt::format(", {}", one.what);
  }
  if (by_reason.empty()) return;
  if (!something_known)
    board.trouble = by_reason.front().first;
  else
    for (const auto& [why, what] : by_reason) board.absences.push_back(fmt::format("no {}: {}", what, why));
}

void add_link(Board& board, const Reader& reader, const char* name, Names tx, Names rx) {
  if (reader.track(tx) == nullptr && reader.track(rx) == nullptr) return;
  board.links.push_back({.name = name, .tx = reader.value(tx), .rx = reader.value(rx)});
}

void add_errors(Board& board, const Reader& reader) {
  if (const double xids = reader.last("gpu_xid_errors_total").value_or(0); xids > 0) {
    const auto number = reader.last("gpu_last_xid");
    board.errors.push_back(fmt::format("{} Xid {}{}", xids, xids == 1 ? "error" : "errors",
                                       number ? fmt::format(", the last is {}", *number) : ""));
  }
  if (const double errors = reader.last("gpu_ecc_uncorrected_errors_total").value_or(0); errors > 0)
    board.errors.push_back(fmt::format("{} ECC errors not corrected", errors));
  if (const double errors = reader.last("gpu_ecc_corrected_errors_total").value_or(0); errors > 0)
    board.errors.push_back(fmt::format("{} ECC errors corrected", errors));
}

Board board_of(const Reader& reader) {
  Board board{.utilization = reader.value({"gpu_utilization_ratio", "gpu_busy_seconds_total"}),
              .sm_active = reader.now({"gpu_sm_active_ratio", "gpu_pm_sm_active_ratio"}),
              .tensor_active = reader.now({"gpu_tensor_active_ratio", "gpu_pm_tensor_active_ratio"}),
              .dram_active = reader.now({"gpu_dram_active_ratio"}),
              .memory_used = reader.value({"gpu_memory_used_bytes"}),
              .memory_reserved = reader.now({"gpu_memory_reserved_bytes"}),
              .memory_capacity = reader.now({"gpu_memory_capacity_bytes"}),
              .power = reader.value({"gpu_power_watts"}),
              .power_limit = reader.now({"gpu_power_limit_watts"}),
              .temperature = reader.now({"gpu_temperature_celsius"}),
              .sm_clock = reader.now({"gpu_sm_clock_hertz"}),
              .memory_clock = reader.now({"gpu_memory_clock_hertz"}),
              .encoder = reader.now({"gpu_encoder_utilization_ratio"}),
              .decoder = reader.now({"gpu_decoder_utilization_ratio"}),
              .fan = reader.now({"gpu_fan_speed_ratio"})};
  for (const ClockLimit& limit : clock_limits)
    if (reader.last(limit.counter).value_or(0) > 0) board.clock_limits.emplace_back(limit.what);
  add_link(board, reader, "PCIe", {"gpu_pcie_tx_bytes_total", "gpu_pcie_tx_bytes_per_second"},
           {"gpu_pcie_rx_bytes_total", "gpu_pcie_rx_bytes_per_second"});
  add_link(board, reader, "NVLink", {"gpu_nvlink_tx_bytes_per_second", "gpu_nvlink_tx_bytes_total"},
           {"gpu_nvlink_rx_bytes_per_second", "gpu_nvlink_rx_bytes_total"});
  add_link(board, reader, "link", {"link_tx_bytes_total"}, {"link_rx_bytes_total"});
  add_errors(board, reader);
  add_absences(board, reader);
  return board;
}

std::string setting(const Observation& observation, const std::string& key) {
  const auto found = observation.environment.find(key);
  return found == observation.environment.end() ? std::string() : found->second;
}

// The number that the text begins with.
std::optional<std::int64_t> number_of(std::string_view text) {
  std::int64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) return std::nullopt;
  return number;
}

// The one behind the last such word.
std::optional<std::int64_t> number_behind(std::string_view text, std::string_view word) {
  const auto at = text.rfind(word);
  return at == std::string_view::npos ? std::nullopt : number_of(text.substr(at + word.size()));
}

// "gpu:0 (GPU-1a2b3c4d)", "cpu:0 (pid 123)".
void name_board(Board& board, const Observation& observation, const Tracks::Device& device) {
  board.label = device.name.substr(0, device.name.find(' '));
  board.is_virtual = device.is_virtual;
  if (device.is_virtual) {
    const auto pid = number_behind(device.name, "(pid ");
    board.name = pid ? fmt::format("virtual, pid {}", *pid) : "virtual";
  } else {
    const std::string described = setting(observation, board.label);  // "NVIDIA H200, GPU-…, 0000:…"
    board.name = described.substr(0, described.find(','));
    board.shares_host_memory = described.ends_with(shared_memory_fact);
    board.is_part = std::count(board.label.begin(), board.label.end(), ':') == 2;
    board.is_asleep = nvml::is_asleep(board.trouble);
  }
}

// GPUs first, each before its parts, then virtual devices by process.
auto order_of(const Board& board) {
  const std::size_t colon = std::min(board.label.find(':') + 1, board.label.size());
  return std::tuple(board.is_virtual, board.is_virtual ? number_behind(board.name, "pid ") : std::nullopt,
                    number_of(std::string_view(board.label).substr(colon)), board.label.size(), board.label);
}

// "gpu:0 python (pid 42)", "gpu:0 pid 42 outside this PID namespace".
Process process_of(const Tracks::Device& device, const Reader& reader) {
  Process process{.board = device.name.substr(0, device.name.find(' ')),
                  .memory = reader.now({process_memory}),
                  .utilization = reader.now({process_utilization})};
  const std::string rest = device.name.substr(std::min(process.board.size() + 1, device.name.size()));
  process.pid = number_behind(rest, "(pid ").value_or(number_behind(rest, "pid ").value_or(0));
  process.name = rest.substr(0, rest.rfind(" (pid "));
  if (const std::string number = fmt::format("pid {} ", process.pid); process.name.starts_with(number))
    process.name.erase(0, number.size());
  return process;
}

Host host_of(const Observation& observation) {
  Host host{.name = setting(observation, "host")};
  for (const char* fact : {"cpus_usable", "cpus"})  // files of older versions do not say how many the host has
    if (const auto cpus = number_of(setting(observation, fact))) host.cpus = static_cast<double>(*cpus);
  if (const Tracks::Device* device = observation.tracks.device("host")) {
    const Reader reader(observation, *device, 0);
    host.cpus_busy = reader.now({"host_cpu_seconds_total"});
    host.memory_used = reader.now({"host_memory_used_bytes"});
    host.memory_total = reader.now({"host_memory_total_bytes"});
  }
  // Where a group may use less than the host has: its use against its limit, never the host's use against that.
  if (const Tracks::Device* device = observation.tracks.device("cgroup")) {
    const Reader reader(observation, *device, 0);
    if (const auto cores = reader.now({"cgroup_cpu_limit_cores"})) {
      host.cpus = cores;
      host.cpus_busy = reader.now({"cgroup_cpu_seconds_total"});
    }
    if (const auto limit = reader.now({"cgroup_memory_limit_bytes"})) {
      host.memory_total = limit;
      host.memory_used = reader.now({"cgroup_memory_used_bytes"});
    }
  }
  return host;
}

}  // namespace

Screen make_screen(const Observation& observation, std::size_t columns) {
  Screen screen{.host = host_of(observation),
                .driver = setting(observation, "nvidia_driver"),
                .phases = observation.phases,
                .sampling = observation.sampling,
                .step = observation.step};
  for (const Tracks::Device& device : observation.tracks.devices()) {
    const Reader reader(observation, device, columns);
    if (device.find(process_memory) != nullptr) {
      if (reader.is_read()) screen.processes.push_back(process_of(device, reader));
    } else if (device.is_virtual || device.name.starts_with("gpu:")) {
      const bool is_missing_gpu = device.name.starts_with("gpu:") && device.name.find(' ') == std::string::npos;
      if ((device.is_virtual || is_missing_gpu) && !reader.is_read()) continue;  // its process has ended; it has come
      Board board = board_of(reader);
      name_board(board, observation, device);
      screen.boards.push_back(std::move(board));
    }
  }
  std::stable_sort(screen.boards.begin(), screen.boards.end(),
                   [](const Board& a, const Board& b) { return order_of(a) < order_of(b); });
  for (Process& process : screen.processes) {
    if (const auto owner = observation.owners.find(process.pid); owner != observation.owners.end()) {
      process.user = owner->second.user;
      process.command = owner->second.command;
    }
    for (const Board& board : screen.boards)
      if (board.label == process.board && process.memory && board.memory_capacity.value_or(0) > 0)
        process.memory_share = *process.memory / *board.memory_capacity;
  }
  return screen;
}

bool is_complete(const Screen& screen) {
  return screen.sampling.has_begun && std::all_of(screen.boards.begin(), screen.boards.end(), [](const Board& board) {
           const bool has_links = std::all_of(board.links.begin(), board.links.end(),
                                              [](const Link& link) { return link.tx.now && link.rx.now; });
           if (!board.trouble.empty() || !board.absences.empty()) return true;
           if (board.is_part) return board.memory_used.now.has_value();
           return board.utilization.now && board.memory_used.now && has_links && (board.is_virtual || board.power.now);
         });
}

bool is_on_screen(std::string_view counter) {
  constexpr std::array others{"host_cpu_seconds_total",
                              "host_memory_used_bytes",
                              "host_memory_total_bytes",
                              "cgroup_cpu_seconds_total",
                              "cgroup_cpu_limit_cores",
                              "cgroup_memory_used_bytes",
                              "cgroup_memory_limit_bytes",
                              "link_tx_bytes_total",
                              "link_rx_bytes_total",
                              "gpu_utilization_ratio",
                              "gpu_busy_seconds_total",
                              "gpu_sm_active_ratio",
                              "gpu_pm_sm_active_ratio",
                              "gpu_tensor_active_ratio",
                              "gpu_pm_tensor_active_ratio",
                              "gpu_dram_active_ratio",
                              "gpu_memory_used_bytes",
                              "gpu_memory_reserved_bytes",
                              "gpu_memory_capacity_bytes",
                              "gpu_process_memory_bytes",
                              "gpu_process_utilization_ratio",
                              "gpu_encoder_utilization_ratio",
                              "gpu_decoder_utilization_ratio",
                              "gpu_fan_speed_ratio",
                              "gpu_power_watts",
                              "gpu_power_limit_watts",
                              "gpu_temperature_celsius",
                              "gpu_sm_clock_hertz",
                              "gpu_memory_clock_hertz",
                              "gpu_pcie_tx_bytes_total",
                              "gpu_pcie_rx_bytes_total",
                              "gpu_pcie_tx_bytes_per_second",
                              "gpu_pcie_rx_bytes_per_second",
                              "gpu_nvlink_tx_bytes_total",
                              "gpu_nvlink_rx_bytes_total",
                              "gpu_nvlink_tx_bytes_per_second",
                              "gpu_nvlink_rx_bytes_per_second",
                              "gpu_xid_errors_total",
                              "gpu_last_xid",
                              "gpu_ecc_corrected_errors_total",
                              "gpu_ecc_uncorrected_errors_total"};
  return std::find(others.begin(), others.end(), counter) != others.end() ||
         std::any_of(clock_limits.begin(), clock_limits.end(),
                     [&](const ClockLimit& limit) { return limit.counter == counter; });
}

}  // namespace batchscope::top
