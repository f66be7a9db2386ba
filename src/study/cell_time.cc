// Choosing what is measured, and asking the model (study/cell_time.h).
#include "study/cell_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/rank.h"

namespace batchscope {
namespace {

constexpr std::size_t most_samples = 5;          // of a kind
constexpr std::int64_t most_sample_tokens = 1 << 14;

// Equal for cells whose operations take the same time.
std::string kind_of(const CellSpec& spec, const PreparedTask& task) {
  return fmt::format("{}|{}|{}|{}|{}", spec.worker_key(), to_string(spec.run.fusion), to_string(spec.run.packing),
                     to_string(spec.run.link), task.workload.has_value());
}

std::int64_t tokens_of(const ScoreRequest& request) { return std::ssize(request.tokens) - 1; }
std::int64_t tokens_of(const GenerateRequest& request) { return std::ssize(request.prompt); }

template <class Sample>
std::int64_t tokens_of(const Sample& sample) {
  std::int64_t tokens = 0;
  for (const auto& request : sample.requests) tokens += tokens_of(request);
  return tokens;
}

// One, some, and all of these requests; not more of them than can be measured.
template <class Sample, class Requests>
void add_parts(const Requests& requests, const RequestIndices& which, std::vector<Sample>& samples) {
  for (const std::size_t part : {std::size_t{1}, which.size() / 8, which.size() / 2, which.size()}) {
    Sample sample;
    for (std::size_t i = 0; i < part; ++i) sample.requests.push_back(requests[which[i]]);
    if (part == 1 || (part > 1 && tokens_of(sample) <= most_sample_tokens)) samples.push_back(std::move(sample));
  }
}

// The smallest, the largest, and between them what is nearest to equal steps of the logarithm.
template <class Sample>
void keep_few(std::vector<Sample>& samples) {
  std::sort(samples.begin(), samples.end(), [](const Sample& a, const Sample& b) {
    return std::pair(tokens_of(a), a.requests.size()) < std::pair(tokens_of(b), b.requests.size());
  });
  if (samples.size() <= most_samples) return;
  const auto size = [&](std::size_t i) { return std::log(static_cast<double>(std::max<std::int64_t>(tokens_of(samples[i]), 1))); };
  std::set<std::size_t> kept;
  for (std::size_t step = 0; step < most_samples; ++step) {
    const double wanted =
        size(0) + (size(samples.size() - 1) - size(0)) * static_cast<double>(step) / (most_samples - 1);
    std::size_t nearest = 0;
    for (std::size_t i = 0; i < samples.size(); ++i)
      if (std::abs(size(i) - wanted) < std::abs(size(nearest) - wanted)) nearest = i;
    kept.insert(nearest);
  }
  std::vector<Sample> few;
  for (const std::size_t i : kept) few.push_back(std::move(samples[i]));
  samples = std::move(few);
}

// The width of what it multiplies first: kernels are made anew for each.
std::optional<std::int64_t> rows_of(const Trace& trace) {
  for (const TraceEntry& entry : trace.entries())
    if (const auto* work = std::get_if<Work>(&entry); work != nullptr && work->n > 0) return work->m;
  return std::nullopt;
}

}  // namespace

void CellTimeModel::expect(const CellSpec& spec, const PreparedTask& task) {
  if (!task.config) return;  // another engine's: nothing of ours would run
  Kind& kind = kinds_[kind_of(spec, task)];
  if (kind.is_measured) return;
  RateQuestion& question = kind.question;
  question.config = *task.config;
  question.placement = spec.placement;
  question.settings = spec.run;
  const Layout& layout = spec.placement.layout;
  if (task.workload) {
    RequestIndices served = requests_of_replica(task.workload->requests.size(), layout, 0);
    served.resize(std::min(served.size(), static_cast<std::size_t>(spec.run.batch)));
    if (!served.empty()) add_parts(task.workload->requests, served, question.generated);
    keep_few(question.generated);
  } else {
    const auto batches = batches_of_replica(task.requests.requests, spec.run, layout, 0);
    if (batches.empty()) return;
    add_parts(task.requests.requests, batches.front(), question.scored);
    add_parts(task.requests.requests, batches.back(), question.scored);
    keep_few(question.scored);
  }
}

const PerformanceModel* CellTimeModel::model(const CellSpec& spec, const PreparedTask& task) {
  Kind& kind = kinds_[kind_of(spec, task)];
  if (!kind.is_measured) {
    kind.is_measured = true;
    const auto steps = rates_.measure(kind.question);
    if (!steps.empty()) kind.model = std::make_unique<PerformanceModel>(spec.placement.layout, steps);
  }
  return kind.model.get();
}

CellTimeModel::TimedPlan CellTimeModel::plan(const CellSpec& spec, const PreparedTask& task) {
  const PerformanceModel* model = task.config ? this->model(spec, task) : nullptr;
  if (model == nullptr) return {plan_cell(spec, task), std::nullopt};
  if (task.workload) return {plan_cell(spec, task), generation_seconds(*model, spec, task)};
  RunTime time(*model);
  Plan plan = plan_cell(spec, task, [&](int rank, const Trace& batch, std::int64_t count) { time.add(rank, batch, count); });
  return {std::move(plan), time.seconds()};
}

std::optional<double> CellTimeModel::generation_seconds(const PerformanceModel& model, const CellSpec& spec,
                                                        const PreparedTask& task) const {
  bool is_known = true;
  std::set<std::optional<std::int64_t>> shapes;
  const auto time_of = [&](std::span<const Trace> stages) {
    const auto seconds = model.step_seconds(stages);
    is_known = is_known && seconds;
    const bool is_new = shapes.insert(rows_of(stages.front())).second;
    return from_seconds(seconds.value_or(0) + (is_new ? model.new_shape_seconds() : 0));
  };
  const Nanoseconds end = generation_end(*task.config, spec.placement, spec.run, task.workload->requests, time_of);
  return is_known ? std::optional(to_seconds(end)) : std::nullopt;
}

}  // namespace batchscope
