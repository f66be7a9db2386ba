// A calibration: what was found of each counter of a board under a driver. Saved as a JSON file, one a board and
// driver.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "telemetry/calibration/estimate.h"

namespace batchscope::calibration {

// Properties of a counter, by these names. Times are in seconds, `gain` is a ratio to what was really there; the others
// are in the counter's unit.
namespace property {
constexpr const char *refresh = "refresh", *window = "window", *lag = "lag", *modulus = "modulus";
constexpr const char *read_cost = "read_cost", *read_cost_p99 = "read_cost_p99";  // wall time; the first is the median
constexpr const char* cpu_cost = "cpu_cost";                                      // of the reading thread
constexpr const char *gain = "gain", *idle = "idle";                              // idle: what it shows without load
// counted = per_byte · bytes + per_transfer · transfers + per_second · seconds
constexpr const char *per_byte = "per_byte", *per_transfer = "per_transfer", *per_second = "per_second",
                     *prediction_error = "prediction_error";
constexpr const char* all_reduce = "all_reduce";  // counted for each byte of 2(n-1)/n times the size
}  // namespace property

struct CalibratedCounter {
  std::string name;  // as sources publish it: "gpu_pcie_rx_bytes_total"
  std::string call;  // by which it is read
  std::string unit;  // of its values
  std::map<std::string, Estimate, std::less<>> properties{};

  // The value of a property; absent where it was not found.
  std::optional<double> value(std::string_view property) const;
};

struct Calibration {
  std::string board;                                                 // "NVIDIA H200"
  std::string driver;                                                // "580.159.04"
  std::string nvml{}, uuid{};                                        // "unknown" where the driver does not say
  std::string date{};                                                // "2026-11-24T12:00:00Z"
  std::vector<std::string> remarks{};                                // what disturbed it, or may have
  std::map<std::string, CalibratedCounter, std::less<>> counters{};  // by id: "pcie_rx"
};

nlohmann::json to_json(const Calibration& calibration);
// InputError that begins with `origin`.
Calibration parse_calibration(std::string_view text, std::string_view origin);

// $XDG_DATA_HOME/batchscope/calibration, or ~/.local/share/… without it. InputError where neither variable is set.
std::filesystem::path calibration_folder();
// Where the folder has that board's under that driver.
std::filesystem::path calibration_file(const std::filesystem::path& folder, std::string_view board,
                                       std::string_view driver);
// Makes the folder where it is not there; returns the file.
std::filesystem::path save(const Calibration& calibration, const std::filesystem::path& folder);

struct FoundCalibration {
  std::optional<Calibration> calibration{};
  std::string warning{};  // why there is none that holds: a line for people
};
// That of this board under this driver. Another driver's does not count: counters change with drivers.
FoundCalibration calibration_of(std::string_view board, std::string_view driver,
                                const std::filesystem::path& folder = calibration_folder());

}  // namespace batchscope::calibration
