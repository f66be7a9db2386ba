// Welch's test with an allowance for what changes between runs (analysis/time_ratio.h).
#include "analysis/time_ratio.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "analysis/statistics.h"
#include "base/check.h"

namespace batchscope {
namespace {

// The mean logarithm of one side's seconds.
struct Side {
  double mean = 0;
  double variance = 0;            // of the mean, as far as repeats show it
  double degrees_of_freedom = 0;  // of that variance; 0: a single repeat shows nothing
};

const SecondsOfRepeats& first(const CellTimes& cell) { return cell.a; }
const SecondsOfRepeats& second(const CellTimes& cell) { return cell.b; }

double mean_logarithm(const SecondsOfRepeats& seconds) {
  CHECK_THAT(!seconds.empty(), "a mean of times needs a time");
  double sum = 0;
  for (const auto& [repeat, value] : seconds) sum += std::log(value);
  return sum / static_cast<double>(seconds.size());
}

// The mean over cells of their mean logarithms. Deviations of a repeat are added up over the cells before they are
// squared: what slows a whole repeat counts in full.
template <class Get>
Side side_of(std::span<const CellTimes> cells, const Get& seconds_of) {
  Side side;
  std::map<std::int64_t, double> deviations;  // of each repeat's share in the mean
  std::size_t fewest = seconds_of(cells.front()).size();
  for (const CellTimes& cell : cells) {
    const SecondsOfRepeats& seconds = seconds_of(cell);
    const double mean = mean_logarithm(seconds), weight = 1 / static_cast<double>(cells.size());
    side.mean += mean * weight;
    for (const auto& [repeat, value] : seconds)
      deviations[repeat] += (std::log(value) - mean) * weight / static_cast<double>(seconds.size());
    fewest = std::min(fewest, seconds.size());
  }
  if (fewest < 2) return side;
  const auto repeats = static_cast<double>(fewest);
  for (const auto& [repeat, deviation] : deviations) side.variance += deviation * deviation * repeats / (repeats - 1);
  side.degrees_of_freedom = repeats - 1;
  return side;
}

TimeRatio ratio_of(std::span<const CellTimes> cells, double run_noise) {
  const Side a = side_of(
      cells, [](const CellTimes& cell) -> const auto& { return cell.a; });
  const Side b = side_of(
      cells, [](const CellTimes& cell) -> const auto& { return cell.b; });
  const double difference = b.mean - a.mean;
  TimeRatio result{.ratio = std::exp(difference), .low = {}, .high = {}, .p_slower = {}, .p_faster = {}};
  if (a.degrees_of_freedom == 0 || b.degrees_of_freedom == 0) return result;
  const double variance = a.variance + b.variance + 2 * run_noise * run_noise;
  // Welch and Satterthwaite; the assumed part has no uncertainty of its own.
  const double uncertain =
      a.variance * a.variance / a.degrees_of_freedom + b.variance * b.variance / b.degrees_of_freedom;
  const double degrees_of_freedom = uncertain > 0 ? variance * variance / uncertain : 1e6;
  const double half = student_t(degrees_of_freedom) * std::sqrt(variance), t = difference / std::sqrt(variance);
  result.low = std::exp(difference - half);
  result.high = std::exp(difference + half);
  result.p_slower = student_t_tail(t, degrees_of_freedom);
  result.p_faster = student_t_tail(-t, degrees_of_freedom);
  return result;
}

std::vector<CellTimes> repeated(std::span<const CellTimes> cells) {
  std::vector<CellTimes> found;
  for (const CellTimes& cell : cells)
    if (cell.a.size() > 1 && cell.b.size() > 1) found.push_back(cell);
  return found;
}

// Analysis of variance of cells and repeats: the variance that all cells of a repeat share, from the repeats that every
// cell has. Absent where there are fewer than two cells or two such repeats.
template <class Get>
std::optional<double> shared_variance(std::span<const CellTimes> cells, const Get& seconds_of) {
  std::vector<std::int64_t> repeats;
  for (const auto& entry : seconds_of(cells.front()))
    if (std::all_of(cells.begin(), cells.end(),
                    [&](const CellTimes& cell) { return seconds_of(cell).contains(entry.first); }))
      repeats.push_back(entry.first);
  if (cells.size() < 2 || repeats.size() < 2) return std::nullopt;
  const auto columns = static_cast<double>(repeats.size()), rows = static_cast<double>(cells.size());
  std::vector<double> shared(repeats.size(), 0);  // a repeat's mean deviation
  double squares = 0;
  for (const CellTimes& cell : cells) {
    double mean = 0;
    for (const std::int64_t repeat : repeats) mean += std::log(seconds_of(cell).at(repeat)) / columns;
    for (std::size_t i = 0; i < repeats.size(); ++i) {
      const double deviation = std::log(seconds_of(cell).at(repeats[i])) - mean;
      shared[i] += deviation / rows;
      squares += deviation * deviation;
    }
  }
  double between = 0;
  for (const double deviation : shared) between += deviation * deviation;
  const double own = (squares - rows * between) / ((columns - 1) * (rows - 1));
  return between / (columns - 1) - own / rows;
}

}  // namespace

double run_noise(std::span<const CellTimes> cells) {
  const std::vector<CellTimes> used = repeated(cells);
  if (used.empty()) return least_run_noise;
  const double variance = (shared_variance(used, first).value_or(0) + shared_variance(used, second).value_or(0)) / 2;
  return std::sqrt(std::max(variance, least_run_noise * least_run_noise));
}

TimeRatio time_ratio(const CellTimes& cell, double run_noise) { return ratio_of({&cell, 1}, run_noise); }

std::optional<TimeRatio> overall_time_ratio(std::span<const CellTimes> cells, double run_noise) {
  const std::vector<CellTimes> used = repeated(cells);
  if (used.size() < 2) return std::nullopt;
  return ratio_of(used, run_noise);
}

}  // namespace batchscope
