// What finished runs say of those that are left (study/time_needed.h).
#include "study/time_needed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "analysis/statistics.h"
#include "base/json.h"
#include "base/units.h"
#include "study/grid.h"
#include "study/json_optional.h"

namespace batchscope {
namespace {

struct Mean {
  double sum = 0;
  std::int64_t count = 0;
  void add(double value) { sum += value, ++count; }
  void add(const Mean& other) { sum += other.sum, count += other.count; }
  Mean without(const std::optional<double>& value) const { return value ? Mean{sum - *value, count - 1} : *this; }
  std::optional<double> value() const {
    return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
  }
};

// Logarithm of timed / estimated.
std::optional<double> ratio_of(const ExpectedRun& run) {
  if (!run.timed || !run.estimated || *run.estimated <= 0 || *run.timed <= 0) return std::nullopt;
  return std::log(*run.timed / *run.estimated);
}

// A loading that is longer than all that the run took beside its timed part was another run's.
bool has_loaded(const ExpectedRun& run) {
  return run.load && run.wall && *run.wall - run.timed.value_or(0) >= *run.load;
}

// What it took beside its timed part and a loading.
std::optional<double> rest_of(const ExpectedRun& run) {
  if (!run.wall) return std::nullopt;
  return *run.wall - run.timed.value_or(0) - (has_loaded(run) ? *run.load : 0);
}

class Experience {
 public:
  explicit Experience(std::span<const ExpectedRun> runs) {
    for (const ExpectedRun& run : runs) {
      if (const auto ratio = ratio_of(run)) ratios_[run.strategy].add(*ratio), ratio_.add(*ratio);
      if (run.timed) timed_[run.strategy].add(*run.timed);
      if (const auto rest = rest_of(run)) rest_.add(*rest);
      if (has_loaded(run)) loads_[run.worker].add(*run.load), load_.add(*run.load);
    }
  }

  // Without a loading, and without what the run itself has shown.
  std::optional<double> expected(const ExpectedRun& run) const {
    const double rest = rest_.without(rest_of(run)).value().value_or(0);
    if (!run.fits) return rest;
    const auto own = of(ratios_, run.strategy).without(ratio_of(run)), all = ratio_.without(ratio_of(run));
    if (run.estimated) return *run.estimated * std::exp((own.count > 0 ? own : all).value().value_or(0)) + rest;
    const auto timed = of(timed_, run.strategy).without(run.timed).value();
    return timed ? std::optional(*timed + rest) : std::nullopt;
  }
  double loading(const std::string& worker) const {
    return of(loads_, worker).value().value_or(load_.value().value_or(0));
  }
  std::optional<double> ratio() const {
    const auto mean = ratio_.value();
    return mean ? std::optional(std::exp(*mean)) : std::nullopt;
  }
  bool knows_rest() const { return rest_.count > 0; }
  bool has_seen(const std::string& strategy) const { return timed_.contains(strategy); }
  // By how much strategies differ in their ratios: a factor for one that has not run. Absent where too few have.
  std::optional<double> factor_between_strategies() const {
    std::vector<double> means;
    for (const auto& [strategy, mean] : ratios_) means.push_back(mean.sum / static_cast<double>(mean.count));
    if (means.size() < 3) return std::nullopt;
    // mean_interval() is of their mean; another one lies about it as far again, times the root of their number and one.
    const MeanInterval of_mean = mean_interval(means);
    return std::exp((*of_mean.high - of_mean.mean) * std::sqrt(static_cast<double>(means.size()) + 1));
  }

 private:
  using Means = std::map<std::string, Mean>;
  static Mean of(const Means& means, const std::string& key) {
    const auto found = means.find(key);
    return found == means.end() ? Mean() : found->second;
  }
  Means ratios_, timed_, loads_;
  Mean ratio_, rest_, load_;
};

// 95 % of such errors lie below it, as a factor. They are taken to go together: it does not shrink with the number of
// runs that are left.
std::optional<double> error_factor(std::span<const ExpectedRun> runs, const Experience& experience) {
  double squares = 0, weights = 0;
  std::int64_t count = 0;
  for (const ExpectedRun& run : runs) {
    if (!run.timed || !run.wall) continue;
    const double expected = experience.expected(run).value_or(0), took = *run.wall - (has_loaded(run) ? *run.load : 0);
    if (expected <= 0 || took <= 0) continue;
    squares += took * std::pow(std::log(took / expected), 2);  // long runs count
    weights += took;
    ++count;
  }
  if (count < 3) return std::nullopt;
  return std::exp(student_t(static_cast<double>(count - 1)) * std::sqrt(squares / weights));
}

}  // namespace

TimeNeeded time_needed(std::span<const ExpectedRun> runs) {
  const Experience experience(runs);
  TimeNeeded needed{.runs = std::ssize(runs), .seconds = 0, .ratio = experience.ratio()};
  needed.with_loading = experience.knows_rest();
  std::set<std::string> workers;  // a model for each
  double unseen = 0;              // of `seconds`, strategies that have not run yet
  for (const ExpectedRun& run : runs) {
    if (run.wall) {
      ++needed.finished;
      continue;
    }
    const auto expected = experience.expected(run);
    if (!expected) needed.seconds.reset();
    if (needed.seconds) *needed.seconds += *expected;
    if (expected && run.fits && !experience.has_seen(run.strategy)) unseen += *expected;
    if (needed.seconds && workers.insert(run.worker).second) *needed.seconds += experience.loading(run.worker);
  }
  const auto seen_factor = error_factor(runs, experience);
  const auto unseen_factor = unseen > 0 ? experience.factor_between_strategies() : std::optional<double>(1);
  if (seen_factor && unseen_factor && needed.seconds) {
    const double seen = *needed.seconds - unseen;
    needed.low = seen / *seen_factor + unseen / *unseen_factor;
    needed.high = seen * *seen_factor + unseen * *unseen_factor;
  }
  return needed;
}

std::vector<ExpectedRun> expected_runs(const StudySpec& study, const DryRun& plan, const StoreReader* file) {
  std::map<std::string, ExpectedRun> took;  // by the cell's key
  if (file != nullptr) {
    std::map<std::int64_t, std::string> keys;
    for (const CellRecord& cell : file->cells()) keys[cell.id] = cell.key;
    for (const AttemptRecord& attempt : file->attempts()) {
      if (attempt.status == "running" || attempt.status == "interrupted" || !attempt.end) continue;
      took[keys[attempt.cell]] = {.wall = to_seconds(*attempt.end - attempt.begin),
                                  .timed = has_scores(attempt.status) ? attempt.seconds : std::nullopt,
                                  .load = attempt.load_seconds};
    }
  }
  std::vector<ExpectedRun> runs;
  for (std::int64_t repeat = 1; repeat <= study.repeats; ++repeat)
    for (std::size_t i = 0; i < study.cells.size(); ++i) {
      const CellSpec& cell = study.cells[i];
      ExpectedRun run = took[cell_key(cell, repeat)];
      run.strategy = strategy_name(cell);
      run.worker = fmt::format("{} {}", cell.worker_key(), repeat);
      run.estimated = plan.rows.at(i).seconds;
      run.fits = plan.rows.at(i).fits.value_or(true);
      runs.push_back(std::move(run));
    }
  return runs;
}

nlohmann::json to_json(const TimeNeeded& needed) {
  return {{"runs", needed.runs},
          {"finished", needed.finished},
          {"seconds", json_or_null(needed.seconds)},
          {"low", json_or_null(needed.low)},
          {"high", json_or_null(needed.high)},
          {"measured_to_estimated", json_or_null(needed.ratio)},
          {"with_loading", needed.with_loading}};
}

std::string to_text(const TimeNeeded& needed) {
  const auto time = [](double seconds) { return format_duration(from_seconds(seconds)); };
  std::string text = needed.finished > 0
                         ? fmt::format("{} of {} runs are finished; the others", needed.finished, needed.runs)
                         : fmt::format("{} runs", needed.runs);
  if (!needed.seconds) return text + " take an unknown time: nothing is known yet of some\n";
  text += fmt::format(" take about {}", time(*needed.seconds));
  if (needed.low) text += fmt::format(" ({} to {} with 95 % confidence)", time(*needed.low), time(*needed.high));
  text += needed.with_loading ? ", loading included" : ", without loading and warm-up";
  if (needed.ratio)
    return text + fmt::format(": finished ones took {:.2f} times the model's estimate\n", *needed.ratio);
  return text + ".\nHow far off that is, this says once a few cells have run.\n";
}

}  // namespace batchscope
