// Which cells are the same in two files, and what is judged of them (report/comparison/comparison.h).
#include "report/comparison/comparison.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "analysis/time_ratio.h"
#include "base/error.h"
#include "report/comparison/comparison_exact.h"
#include "study/grid.h"

namespace batchscope {
namespace {

constexpr double significant = 0.05;  // for all tests of a comparison together
constexpr std::string_view other_questions = "the questions differ";

// All noisy tests of a comparison. Whatever they share, and however many there are, an A/A comparison finds anything
// worse with a probability of 5 % at most.
class Tests {
 public:
  std::size_t add(double p_worse, double p_better, double weight = 1) {
    worse_.push_back(p_worse);
    better_.push_back(p_better);
    weights_.push_back(weight);
    return worse_.size() - 1;
  }
  std::size_t count() const { return weights_.size(); }
  void settle() {
    worse_ = holm(worse_, weights_);
    better_ = holm(better_, weights_);
  }
  // Of several tests of one number the worst counts. `loss` is how much worse it is, beside `threshold`.
  void judge(const std::vector<std::size_t>& tests, double loss, double threshold, Compared& number) const {
    double worse = 1, better = 1;
    for (const std::size_t test : tests) {
      worse = std::min(worse, worse_[test]);
      better = std::min(better, better_[test]);
    }
    number.p = worse;
    if (worse < significant)
      number.judgement = loss > threshold ? Judgement::worse : Judgement::small;
    else if (better < significant)
      number.judgement = Judgement::better;
  }

 private:
  std::vector<double> worse_, better_;  // p; adjusted once settled
  std::vector<double> weights_;
};

// One side's repeats that can be used.
struct Sample {
  SecondsOfRepeats seconds, all;  // `all` has the disturbed ones too
  std::int64_t runs = 0, disturbed = 0;
  std::string reason;
};

Sample sample_of(const CellSummary& cell, const std::string& status, bool judge_disturbed) {
  std::map<std::int64_t, std::vector<double>> all, used;
  Sample sample;
  for (const CellRun& run : cell.runs) {
    if (run.status != status || !run.seconds) continue;
    ++sample.runs;
    all[run.repeat].push_back(std::log(*run.seconds));
    if (run.valid == false && !judge_disturbed) {
      ++sample.disturbed;
      sample.reason = run.reason;
    } else {
      used[run.repeat].push_back(std::log(*run.seconds));
    }
  }
  const auto means = [](const auto& logarithms) {
    SecondsOfRepeats seconds;
    for (const auto& [repeat, logs] : logarithms) seconds[repeat] = std::exp(mean_interval(logs).mean);
    return seconds;
  };
  sample.seconds = means(used);
  sample.all = means(all);
  return sample;
}

double geometric_mean(const SecondsOfRepeats& seconds) {
  double sum = 0;
  for (const auto& [repeat, value] : seconds) sum += std::log(value);
  return std::exp(sum / static_cast<double>(seconds.size()));
}

std::string left_out_text(const Sample& a, const Sample& b) {
  return fmt::format("disturbed repeats are left out: {} of {} in A, {} of {} in B", a.disturbed, a.runs, b.disturbed,
                     b.runs);
}

std::string disturbed_text(const Sample& a, const Sample& b) {
  return fmt::format(
      "other programs disturbed it (--disturbed judges it all the same): {} of {} repeats in A, {} of {} in B; {}",
      a.disturbed, a.runs, b.disturbed, b.runs, a.reason.empty() ? b.reason : a.reason);
}

class Comparer {
 public:
  Comparer(const ComparedStudy& a, const ComparedStudy& b, const Thresholds& thresholds) : a_(a), b_(b) {
    result_.file_a = a.file;
    result_.file_b = b.file;
    result_.study_a = a.report.name;
    result_.study_b = b.report.name;
    result_.thresholds = thresholds;
  }
  Comparison compare();

 private:
  struct Sheets {  // of A and B
    std::size_t a, b;
    auto operator<=>(const Sheets&) const = default;
  };
  struct AnswerTest {
    std::optional<Paired> paired;
    std::string why;  // not comparable
    std::optional<std::size_t> test;
  };

  void match_cells();
  void match_frontiers();
  CellComparison compare_cells(std::size_t a, std::size_t b) const;
  const AnswerTest& answer_test(Sheets sheets);
  void compare_answers_of(CellComparison& cell, std::vector<std::size_t>& tests);
  std::optional<CellTimes> compare_times_of(CellComparison& cell) const;
  void judge();

  const ComparedStudy& a_;
  const ComparedStudy& b_;
  Comparison result_;
  Tests tests_;
  std::map<Sheets, AnswerTest> answer_tests_;
};

void Comparer::match_cells() {
  result_.settings = setting_differences(a_.report, b_.report);
  std::map<std::string, std::size_t> theirs;
  const auto& cells = b_.report.cells;
  for (std::size_t i = 0; i < cells.size(); ++i) theirs.emplace(match_key(cells[i].spec, result_.settings), i);
  const auto name = [](const StudyReport& report, const CellSummary& cell) {
    return fmt::format("{}, batch {}", report.label(cell), cell.spec.run.batch);
  };
  for (std::size_t i = 0; i < a_.report.cells.size(); ++i) {
    const auto found = theirs.find(match_key(a_.report.cells[i].spec, result_.settings));
    if (found == theirs.end()) {
      result_.only_in_a.push_back(name(a_.report, a_.report.cells[i]));
      continue;
    }
    result_.cells.push_back(compare_cells(i, found->second));
    result_.cells.back().label = name(a_.report, a_.report.cells[i]);
    theirs.erase(found);
  }
  for (std::size_t i = 0; i < cells.size(); ++i)
    if (theirs.contains(match_key(cells[i].spec, result_.settings)))
      result_.only_in_b.push_back(name(b_.report, cells[i]));
  if (result_.cells.empty())
    throw InputError("{} and {} have no cell in common: A has {}, B has {}; compare two runs of one study",
                     result_.file_a, result_.file_b, result_.only_in_a.empty() ? "none" : result_.only_in_a.front(),
                     result_.only_in_b.empty() ? "none" : result_.only_in_b.front());
}

CellComparison Comparer::compare_cells(std::size_t a, std::size_t b) const {
  const CellSummary &ours = a_.report.cells[a], &theirs = b_.report.cells[b];
  CellComparison cell;
  cell.key = cell_key(ours.spec, 1);
  cell.a = a;
  cell.b = b;
  cell.status = compare_status(ours, theirs);
  if (!has_scores(ours.status) || !has_scores(theirs.status)) return cell;
  cell.memory = compare_memory(ours, theirs, result_.thresholds.memory);
  cell.traffic = compare_exact(bytes_sent(ours), bytes_sent(theirs), result_.thresholds.traffic);
  cell.computed = show(tokens(ours, "computed"), tokens(theirs, "computed"));
  cell.padding = show(tokens(ours, "padding"), tokens(theirs, "padding"));
  cell.p50_ms = show(typical(ours, &CellRun::p50_ms), typical(theirs, &CellRun::p50_ms));
  cell.p99_ms = show(typical(ours, &CellRun::p99_ms), typical(theirs, &CellRun::p99_ms));
  cell.ttft_ms = show(typical(ours, &CellRun::ttft_ms), typical(theirs, &CellRun::ttft_ms));
  cell.tpot_ms = show(typical(ours, &CellRun::tpot_ms), typical(theirs, &CellRun::tpot_ms));
  return cell;
}

void Comparer::match_frontiers() {
  std::map<std::string, const StrategySummary*> theirs;
  for (const StrategySummary& strategy : b_.report.strategies)
    theirs.emplace(match_key(strategy.spec, result_.settings, false), &strategy);
  for (const StrategySummary& strategy : a_.report.strategies) {
    const auto found = theirs.find(match_key(strategy.spec, result_.settings, false));
    if (found == theirs.end()) continue;
    const auto largest = [](const StrategySummary& one) {
      return one.frontier && one.frontier->largest_ran ? std::optional(static_cast<double>(*one.frontier->largest_ran))
                                                       : std::nullopt;
    };
    FrontierComparison frontier{strategy.label, show(largest(strategy), largest(*found->second))};
    Compared& number = frontier.largest;
    if (!number.a) continue;  // nobody looked for it
    if (!number.b) {
      number.judgement = Judgement::not_judged;
      number.why = "unknown in B";
    } else if (*number.a != *number.b) {
      number.judgement = *number.b < *number.a ? Judgement::worse : Judgement::better;
    }
    result_.frontiers.push_back(std::move(frontier));
  }
}

// Cells that answer alike share a test: it is the same evidence, and looking at it twice is no second look.
const Comparer::AnswerTest& Comparer::answer_test(Sheets sheets) {
  const auto [found, is_new] = answer_tests_.try_emplace(sheets);
  AnswerTest& test = found->second;
  if (!is_new) return test;
  const AnswerSheet &a = a_.sheets[sheets.a], &b = b_.sheets[sheets.b];
  if (a.ids != b.ids) {
    test.why = fmt::format("{}: {} items in A, {} in B", other_questions, a.ids.size(), b.ids.size());
  } else if (a.gold != b.gold) {
    test.why = fmt::format("{}: different answers count as correct", other_questions);
  } else {
    test.paired = compare_answers(a.answers, b.answers);
    const double half = test.paired->p / 2;  // McNemar on one side
    const bool lost = test.paired->lost > test.paired->gained, gained = test.paired->lost < test.paired->gained;
    test.test = tests_.add(lost ? half : 1 - half, gained ? half : 1 - half);
  }
  return test;
}

// Repeat by repeat; the repeat that lost most is shown.
void Comparer::compare_answers_of(CellComparison& cell, std::vector<std::size_t>& tests) {
  const auto &ours = a_.sheet_of_cell[cell.a], &theirs = b_.sheet_of_cell[cell.b];
  if (ours.empty() != theirs.empty())
    cell.accuracy = {.judgement = Judgement::not_judged,
                     .why = fmt::format("no answers in {}", ours.empty() ? "A" : "B")};
  if (ours.empty() || theirs.empty()) return;
  std::set<Sheets> pairs;
  for (const auto& [repeat, sheet] : ours)
    if (const auto found = theirs.find(repeat); found != theirs.end()) pairs.insert({sheet, found->second});
  if (pairs.empty()) pairs.insert({ours.begin()->second, theirs.begin()->second});
  for (const Sheets& pair : pairs) {
    const AnswerTest& test = answer_test(pair);
    if (!test.paired) {
      cell.accuracy = {.judgement = Judgement::not_judged, .why = test.why};
      cell.answers.reset();
      tests.clear();
      return;
    }
    tests.push_back(*test.test);
    const auto loss = [](const Paired& paired) { return paired.lost - paired.gained; };
    if (cell.answers && loss(*cell.answers) >= loss(*test.paired)) continue;
    cell.answers = test.paired;
    const auto right = [](const AnswerSheet& sheet) {
      return static_cast<double>(std::count_if(sheet.answers.begin(), sheet.answers.end(),
                                               [](const Answer& answer) { return answer.right; })) /
             static_cast<double>(sheet.answers.size());
    };
    cell.accuracy = show(right(a_.sheets[pair.a]), right(b_.sheets[pair.b]));
  }
}

// Fills what is shown; the times to be judged, where they can be.
std::optional<CellTimes> Comparer::compare_times_of(CellComparison& cell) const {
  const CellSummary &ours = a_.report.cells[cell.a], &theirs = b_.report.cells[cell.b];
  const bool disturbed_too = result_.thresholds.judge_disturbed;
  Sample a, b;
  for (const char* status : {"ok", "truncated", "degraded"}) {
    a = sample_of(ours, status, disturbed_too);
    b = sample_of(theirs, status, disturbed_too);
    if (!a.all.empty() && !b.all.empty()) break;
  }
  if (a.all.empty() || b.all.empty()) {
    if (has_scores(ours.status) && has_scores(theirs.status))
      cell.time = {.judgement = Judgement::not_judged, .why = "no repeat ran to the same end in both"};
    return std::nullopt;
  }
  const bool enough = a.seconds.size() > 1 && b.seconds.size() > 1;
  const CellTimes times = enough ? CellTimes{a.seconds, b.seconds} : CellTimes{a.all, b.all};
  cell.time = show(geometric_mean(times.a), geometric_mean(times.b));
  if (cell.accuracy.why.starts_with(other_questions)) {
    cell.time.why = cell.accuracy.why;
  } else if (const std::string why = other_requests(ours, theirs); !why.empty()) {
    cell.time.why = why;
  } else if (!enough) {
    cell.time.why = a.disturbed + b.disturbed > 0
                        ? disturbed_text(a, b)
                        : fmt::format("one repeat has no interval; give both studies repeats = 5: {} in A, {} in B",
                                      a.all.size(), b.all.size());
  } else {
    if (a.disturbed + b.disturbed > 0) cell.time.why = left_out_text(a, b);
    return times;
  }
  cell.time.judgement = Judgement::not_judged;
  return std::nullopt;
}

void put(const TimeRatio& ratio, Compared& number) {
  number.ratio = ratio.ratio;
  number.low = ratio.low;
  number.high = ratio.high;
}

void Comparer::judge() {
  std::vector<std::vector<std::size_t>> answer_tests(result_.cells.size()), time_tests(result_.cells.size());
  std::vector<CellTimes> times;
  std::vector<std::size_t> timed;  // cells of `times`
  for (std::size_t i = 0; i < result_.cells.size(); ++i) {
    compare_answers_of(result_.cells[i], answer_tests[i]);
    if (auto found = compare_times_of(result_.cells[i])) {
      times.push_back(std::move(*found));
      timed.push_back(i);
    }
  }
  result_.run_noise = run_noise(times);
  for (std::size_t i = 0; i < times.size(); ++i) {
    const TimeRatio ratio = time_ratio(times[i], result_.run_noise);
    put(ratio, result_.cells[timed[i]].time);
    time_tests[timed[i]].push_back(tests_.add(*ratio.p_slower, *ratio.p_faster));
  }
  std::vector<std::size_t> overall_test;
  if (const auto ratio = overall_time_ratio(times, result_.run_noise)) {
    put(*ratio, result_.overall);
    // It sees least noise, and most changes slow all cells down: up to a third of the risk is its own.
    overall_test.push_back(
        tests_.add(*ratio->p_slower, *ratio->p_faster, std::min(static_cast<double>(tests_.count()) / 2, 4.0)));
  }
  tests_.settle();
  const Thresholds& thresholds = result_.thresholds;
  for (std::size_t i = 0; i < result_.cells.size(); ++i) {
    CellComparison& cell = result_.cells[i];
    if (!time_tests[i].empty()) tests_.judge(time_tests[i], *cell.time.ratio - 1, thresholds.time, cell.time);
    if (!answer_tests[i].empty())
      tests_.judge(
          answer_tests[i],
          static_cast<double>(cell.answers->lost - cell.answers->gained) / static_cast<double>(cell.answers->items),
          thresholds.accuracy, cell.accuracy);
  }
  if (!overall_test.empty()) tests_.judge(overall_test, *result_.overall.ratio - 1, thresholds.time, result_.overall);
}

Comparison Comparer::compare() {
  match_cells();
  match_frontiers();
  judge();
  result_.environment = environment_differences(a_.report, b_.report);
  return std::move(result_);
}

}  // namespace

std::string to_string(Judgement judgement) {
  constexpr const char* names[] = {"none", "worse", "better", "small", "not judged"};
  return names[static_cast<int>(judgement)];
}

Comparison compare(const ComparedStudy& a, const ComparedStudy& b, const Thresholds& thresholds) {
  return Comparer(a, b, thresholds).compare();
}

}  // namespace batchscope
