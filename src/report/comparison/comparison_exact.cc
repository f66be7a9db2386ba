// Numbers that need no test (report/comparison/comparison_exact.h).
#include "report/comparison/comparison_exact.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "study/axes.h"

namespace batchscope {
namespace {

// By the words of axes.
std::map<std::string, std::string> settings_of(const CellSpec& spec) {
  std::map<std::string, std::string> settings;
  for (const Axis& axis : axes()) settings.emplace(axis.word, axis.text(spec));
  return settings;
}

// The settings that have one value in all cells.
std::map<std::string, std::string> constant_settings(const std::vector<CellSummary>& cells) {
  std::map<std::string, std::string> constant;
  std::set<std::string> changing;
  for (const CellSummary& cell : cells) {
    for (const auto& [name, value] : settings_of(cell.spec)) {
      const auto [found, is_new] = constant.emplace(name, value);
      if (!is_new && found->second != value) changing.insert(name);
    }
  }
  for (const std::string& name : changing) constant.erase(name);
  return constant;
}

std::optional<double> fullest_peak(const CellSummary& cell) {
  std::optional<double> most;
  for (const DeviceRecord& device : cell.devices) {
    if (!device.peak_bytes) return std::nullopt;
    most = std::max(most.value_or(0), static_cast<double>(*device.peak_bytes));
  }
  return most;
}

}  // namespace

std::vector<Difference> setting_differences(const StudyReport& a, const StudyReport& b) {
  std::vector<Difference> differences;
  const auto theirs = constant_settings(b.cells);
  for (const auto& [name, value] : constant_settings(a.cells))
    if (const auto found = theirs.find(name); found != theirs.end() && found->second != value)
      differences.push_back({name, value, found->second});
  return differences;
}

std::string match_key(const CellSpec& spec, const std::vector<Difference>& ignored, bool with_batch) {
  std::map<std::string, std::string> settings = settings_of(spec);
  for (const Difference& difference : ignored) settings.erase(difference.what);
  if (!with_batch) settings.erase("batch");
  return fmt::format("{}", settings);
}

std::vector<Difference> environment_differences(const StudyReport& a, const StudyReport& b) {
  std::map<std::string, Difference> facts;
  for (const auto& [name, value] : a.environment) facts[name].a = value;
  for (const auto& [name, value] : b.environment) facts[name].b = value;
  std::vector<Difference> differences;
  for (auto& [name, fact] : facts) {
    if (fact.a == fact.b) continue;
    fact.what = name;
    differences.push_back(fact);
  }
  return differences;
}

Compared compare_status(const CellSummary& a, const CellSummary& b) {
  Compared status;
  if (a.status == b.status) return status;
  const auto rank = [](const std::string& text) { return text == "ok" ? 2 : is_loud(text) ? 1 : 0; };
  status.why = fmt::format("{} in A, {} in B", status_words(a.status), status_words(b.status));
  if (!b.reason.empty()) status.why += ": " + b.reason;
  if (a.status == "not run" || b.status == "not run") {
    status.judgement = Judgement::not_judged;
  } else if (rank(b.status) != rank(a.status)) {
    status.judgement = rank(b.status) < rank(a.status) ? Judgement::worse : Judgement::better;
  }
  return status;
}

// More is worse.
Compared compare_exact(std::optional<double> a, std::optional<double> b, double threshold) {
  Compared number{.a = a, .b = b};
  if (!a && !b) return number;
  if (!a || !b) {
    number.judgement = Judgement::not_judged;
    number.why = fmt::format("unknown in {}", a ? "B" : "A");
    return number;
  }
  if (*a > 0) number.ratio = *b / *a;
  if (*b > *a) number.judgement = *b > *a * (1 + threshold) ? Judgement::worse : Judgement::small;
  if (*b < *a) number.judgement = Judgement::better;
  return number;
}

// For the reader alone.
Compared show(std::optional<double> a, std::optional<double> b) {
  Compared number{.a = a, .b = b};
  if (a && b && *a > 0) number.ratio = *b / *a;
  return number;
}

// Of the device that grew most; of the fullest ones where the devices are others.
Compared compare_memory(const CellSummary& a, const CellSummary& b, double threshold) {
  Compared most = compare_exact(fullest_peak(a), fullest_peak(b), threshold);
  if (a.devices.size() != b.devices.size() || !most.a || !most.b) return most;
  for (std::size_t i = 0; i < a.devices.size(); ++i) {
    const Compared one = compare_exact(static_cast<double>(*a.devices[i].peak_bytes),
                                       static_cast<double>(*b.devices[i].peak_bytes), threshold);
    if (one.ratio.value_or(0) > most.ratio.value_or(0)) most = one;
  }
  return most;
}

std::string other_requests(const CellSummary& a, const CellSummary& b) {
  if (!a.spec.workload || !b.spec.workload) return "";
  const auto asked = [](const CellSummary& cell) {
    return fmt::format("{} tokens for {} requests", tokens(cell, "requested").value_or(0),
                       cell.result.is_object() ? cell.result.value("requests", nlohmann::json()).dump() : "no");
  };
  const auto rate = [](const CellSummary& cell) { return cell.spec.workload->arrival_rate.value_or(0); };
  if (asked(a) != asked(b)) return fmt::format("the requests differ: {} in A, {} in B", asked(a), asked(b));
  if (rate(a) != rate(b)) return "the requests differ: they arrive at another rate";
  return "";
}

std::optional<double> bytes_sent(const CellSummary& cell) {
  double sum = 0;
  for (const DeviceRecord& device : cell.devices) {
    if (device.links.empty()) continue;  // alone
    const auto bytes = traffic_of(device).counted_tx;
    if (!bytes) return std::nullopt;
    sum += *bytes;
  }
  return cell.devices.empty() ? std::nullopt : std::optional(sum);
}

std::optional<double> tokens(const CellSummary& cell, const char* which) {
  if (!cell.result.is_object() || !cell.result.contains("tokens")) return std::nullopt;
  const nlohmann::json& count = cell.result.at("tokens").value(which, nlohmann::json());
  return count.is_number() ? std::optional(count.get<double>()) : std::nullopt;
}

// The geometric mean over the runs that have it.
std::optional<double> typical(const CellSummary& cell, std::optional<double> CellRun::*number) {
  double sum = 0, count = 0;
  for (const CellRun& run : cell.runs)
    if (const auto& value = run.*number; has_scores(run.status) && value && *value > 0) {
      sum += std::log(*value);
      ++count;
    }
  return count > 0 ? std::optional(std::exp(sum / count)) : std::nullopt;
}

}  // namespace batchscope
