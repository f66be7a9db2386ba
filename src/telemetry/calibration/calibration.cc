// Calibrations and their files (telemetry/calibration/calibration.h).
#include "telemetry/calibration/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "base/file.h"

namespace batchscope::calibration {
namespace {

using nlohmann::json;

constexpr const char* format_name = "batchscope calibration";

// A text as part of a file's name.
std::string file_word(std::string_view text) {
  std::string word(text);
  for (char& c : word)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  return word;
}

json to_json(const Estimate& estimate) {
  return {{"value", estimate.value ? json(*estimate.value) : json()},
          {"uncertainty", estimate.value ? json(estimate.uncertainty) : json()},
          {"n", estimate.n},
          {"how", estimate.how}};
}

constexpr double lowest = -std::numeric_limits<double>::max(), highest = std::numeric_limits<double>::max();

Estimate parse_estimate(const JsonObject& object) {
  Estimate estimate{.n = object.integer("n", 0, std::numeric_limits<std::int64_t>::max()), .how = object.text("how")};
  if (!object.has("value")) return estimate;
  estimate.value = object.number("value", lowest, highest);
  estimate.uncertainty = object.number("uncertainty", lowest, highest);
  return estimate;
}

// The objects of an object, by key.
template <class Take>
void each_object(const JsonObject& parent, const char* key, const Take& take) {
  const JsonObject objects = parent.object(key);
  for (const auto& [name, value] : objects.value().items()) take(name, objects.object(name));
}

}  // namespace

std::optional<double> CalibratedCounter::value(std::string_view property) const {
  const auto found = properties.find(property);
  return found == properties.end() ? std::nullopt : found->second.value;
}

json to_json(const Calibration& calibration) {
  json counters = json::object();
  for (const auto& [id, counter] : calibration.counters) {
    json properties = json::object();
    for (const auto& [property, estimate] : counter.properties) properties[property] = to_json(estimate);
    counters[id] = {{"name", counter.name}, {"call", counter.call}, {"unit", counter.unit}, {"properties", properties}};
  }
  return {{"format", format_name},      {"version", 1},
          {"board", calibration.board}, {"driver", calibration.driver},
          {"nvml", calibration.nvml},   {"uuid", calibration.uuid},
          {"date", calibration.date},   {"remarks", calibration.remarks},
          {"counters", counters}};
}

Calibration parse_calibration(std::string_view text, std::string_view origin) {
  const json value = parse_json(text, origin);
  const JsonObject object(value, std::string(origin));
  if (object.text("format") != format_name) object.refuse("format", fmt::format("\"{}\"", format_name));
  object.integer("version", 1, 1);
  Calibration calibration{.board = object.text("board"),
                          .driver = object.text("driver"),
                          .nvml = object.text("nvml"),
                          .uuid = object.text("uuid"),
                          .date = object.text("date"),
                          .remarks = object.texts("remarks")};
  each_object(object, "counters", [&](const std::string& id, const JsonObject& counter) {
    CalibratedCounter& made = calibration.counters[id];
    made = {.name = counter.text("name"), .call = counter.text("call"), .unit = counter.text("unit")};
    each_object(counter, "properties", [&](const std::string& property, const JsonObject& estimate) {
      made.properties[property] = parse_estimate(estimate);
    });
  });
  return calibration;
}

std::filesystem::path calibration_folder() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value == '/' ? std::filesystem::path(value) : std::filesystem::path();
  };
  if (const auto data = set("XDG_DATA_HOME"); !data.empty()) return data / "batchscope" / "calibration";
  if (const auto home = set("HOME"); !home.empty()) return home / ".local" / "share" / "batchscope" / "calibration";
  throw InputError("neither XDG_DATA_HOME nor HOME names a folder for calibrations; name one with -o");
}

std::filesystem::path calibration_file(const std::filesystem::path& folder, std::string_view board,
                                       std::string_view driver) {
  return folder / fmt::format("{}_{}.json", file_word(board), file_word(driver));
}

std::filesystem::path save(const Calibration& calibration, const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Failure("{}: the folder cannot be made: {}", folder.string(), error.message());
  const auto file = calibration_file(folder, calibration.board, calibration.driver);
  write_file_atomically(file, to_json(calibration).dump(2, ' ', false, json::error_handler_t::replace) + "\n");
  return file;
}

FoundCalibration calibration_of(std::string_view board, std::string_view driver, const std::filesystem::path& folder) {
  std::error_code error;
  if (const auto file = calibration_file(folder, board, driver); std::filesystem::exists(file, error)) {
    try {
      return {.calibration = parse_calibration(read_file(file), file.string())};
    } catch (const Error& unreadable) {
      return {.warning = fmt::format("{}; run batchscope calibrate again", unreadable.what())};
    }
  }
  const std::string of_board = file_word(board) + "_";
  std::vector<std::string> others;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().stem().string();
    if (name.starts_with(of_board) && entry->path().extension() == ".json")
      others.push_back(name.substr(of_board.size()));
  }
  if (others.empty()) return {.warning = fmt::format("{} was never calibrated: run batchscope calibrate", board)};
  std::sort(others.begin(), others.end());
  return {.warning = fmt::format("{} was calibrated with driver {}, but {} runs now: run batchscope calibrate again",
                                 board, fmt::join(others, ", "), driver)};
}

}  // namespace batchscope::calibration
