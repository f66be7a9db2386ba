// From measured steps to the time of any (analysis/performance_model.h).
#include "analysis/performance_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace batchscope {
namespace {

constexpr std::string_view boundary = "boundary";  // between pipeline stages, as the forward pass names it

bool is_product(const Work& work) { return work.n > 0; }

std::vector<double> features_of(const Work& work) { return {1, work.flop, static_cast<double>(work.bytes)}; }
std::vector<double> features_of(const CollectiveWork& work) { return {1, static_cast<double>(work.payload_bytes)}; }

double times(std::span<const double> coefficients, std::span<const double> features) {
  double sum = 0;
  for (std::size_t i = 0; i < coefficients.size(); ++i) sum += coefficients[i] * features[i];
  return sum;
}

// The wait for a neighbour is no work of a rank; the hop is the receiver's.
bool is_left_out(const CollectiveWork& work) {
  return work.collective == "send" || (work.collective == "recv" && work.phase != boundary);
}

// By m, the mean of what was measured, never less than at a smaller m.
std::map<std::int64_t, double> smooth(const std::map<std::int64_t, std::vector<double>>& measured) {
  std::map<std::int64_t, double> by_m;
  double least = 0;
  for (const auto& [m, seconds] : measured) {
    double sum = 0;
    for (const double s : seconds) sum += s;
    by_m[m] = least = std::max(least, sum / static_cast<double>(seconds.size()));
  }
  return by_m;
}

double at(const std::map<std::int64_t, double>& by_m, std::int64_t m) {
  const auto above = by_m.lower_bound(m);
  if (above == by_m.end()) {
    const auto& [last, seconds] = *by_m.rbegin();
    return seconds * static_cast<double>(m) / static_cast<double>(last);
  }
  if (above == by_m.begin() || above->first == m) return above->second;
  const auto below = std::prev(above);
  const double share = static_cast<double>(m - below->first) / static_cast<double>(above->first - below->first);
  return below->second + share * (above->second - below->second);
}

double distance(std::pair<std::int64_t, std::int64_t> a, std::pair<std::int64_t, std::int64_t> b) {
  const auto apart = [](std::int64_t x, std::int64_t y) {
    return std::abs(std::log(static_cast<double>(x) / static_cast<double>(y)));
  };
  return apart(a.first, b.first) + apart(a.second, b.second);
}

// What was measured of one kind.
struct Samples {
  std::vector<std::vector<double>> features;
  std::vector<double> seconds;
  void add(std::vector<double> of, double s) {
    if (!(s > 0)) return;
    features.push_back(std::move(of));
    seconds.push_back(s);
  }
};

std::optional<double> sum(std::optional<double> a, std::optional<double> b) {
  return a && b ? std::optional(*a + *b) : std::nullopt;
}

}  // namespace

// Coordinate descent: each coefficient in turn is the best one beside the others, or 0.
std::vector<double> fit_non_negative(std::span<const std::vector<double>> features, std::span<const double> values) {
  const std::size_t columns = features.empty() ? 0 : features.front().size();
  std::vector<double> scale(columns, 0), coefficients(columns, 0);
  const auto relative = [&](std::size_t row, std::size_t column) { return features[row][column] / values[row]; };
  for (std::size_t row = 0; row < values.size(); ++row)
    for (std::size_t column = 0; column < columns; ++column) scale[column] += std::pow(relative(row, column), 2);
  std::vector<double> error(values.size(), 1);  // 1 - what the coefficients give / value
  for (int round = 0; round < 2000; ++round) {
    double change = 0;
    for (std::size_t column = 0; column < columns; ++column) {
      if (scale[column] == 0) continue;
      double slope = 0;
      for (std::size_t row = 0; row < values.size(); ++row) slope += relative(row, column) * error[row];
      const double next = std::max(0.0, coefficients[column] + slope / scale[column]);
      const double step = next - coefficients[column];
      for (std::size_t row = 0; row < values.size(); ++row) error[row] -= step * relative(row, column);
      coefficients[column] = next;
      change = std::max(change, std::abs(step) * std::sqrt(scale[column]));
    }
    if (change < 1e-9) break;
  }
  return coefficients;
}

PerformanceModel::PerformanceModel(const Layout& layout, std::span<const TimedStep> steps) : layout_(layout) {
  std::map<Site, std::map<std::pair<std::int64_t, std::int64_t>, std::map<std::int64_t, std::vector<double>>>> products;
  std::map<Site, Samples> kernels;
  std::map<std::pair<std::string, int>, Samples> collectives;
  const auto learn = [&](const TimedEntry& timed) {
    if (const auto* work = std::get_if<Work>(&timed.entry)) {
      const Site site{std::string(work->op), work->dtype};
      if (is_product(*work))
        products[site][{work->n, work->k}][work->m].push_back(timed.seconds);
      else
        kernels[site].add(features_of(*work), timed.seconds);
    } else if (const auto& collective = std::get<CollectiveWork>(timed.entry); !is_left_out(collective)) {
      collectives[{collective.collective, collective.ranks}].add(features_of(collective), timed.seconds);
    }
  };
  for (const TimedStep& step : steps)
    for (const auto& stage : step.stages)
      for (const TimedEntry& timed : stage) learn(timed);
  for (const auto& [site, sizes] : products)
    for (const auto& [size, measured] : sizes) products_[site][size] = smooth(measured);
  for (const auto& [site, samples] : kernels) kernels_[site] = fit_non_negative(samples.features, samples.seconds);
  for (const auto& [kind, samples] : collectives)
    collectives_[kind] = fit_non_negative(samples.features, samples.seconds);

  // What is left of a step is the host's; small steps show it best.
  double weights = 0, left = 0;
  std::vector<double> first;
  for (const TimedStep& step : steps) {
    std::vector<std::optional<double>> stages;
    for (const auto& stage : step.stages) {
      std::optional<double> total = 0;
      for (const TimedEntry& timed : stage)
        total = sum(total, std::visit([&](const auto& work) { return seconds(work); }, timed.entry));
      if (total) *total *= static_cast<double>(step.repeats);
      stages.push_back(total);
    }
    const auto micro_batches = step.is_pipelined ? step.repeats * std::ssize(stages) : 0;
    const auto known = stages_seconds(stages, micro_batches);
    const double weight = 1 / (step.seconds * step.seconds);
    weights += weight;
    left += weight * (step.seconds - known.value_or(0) / static_cast<double>(step.repeats));
    first.push_back(std::max(0.0, step.first_seconds - step.seconds));
  }
  if (weights > 0) host_s_ = std::max(0.0, left / weights);
  // The median: each was timed once, and any may have been held up.
  std::sort(first.begin(), first.end());
  if (!first.empty()) new_shape_s_ = first[(first.size() - 1) / 2];
}

std::optional<double> PerformanceModel::seconds(const Work& work) const {
  const Site site{std::string(work.op), work.dtype};
  if (!is_product(work)) {
    const auto found = kernels_.find(site);
    return found == kernels_.end() ? std::nullopt : std::optional(times(found->second, features_of(work)));
  }
  const auto found = products_.find(site);
  if (found == products_.end()) return std::nullopt;
  const std::pair size{work.n, work.k};
  const auto nearest = std::min_element(found->second.begin(), found->second.end(), [&](const auto& a, const auto& b) {
    return distance(a.first, size) < distance(b.first, size);
  });
  const auto& [n, k] = nearest->first;
  const double larger = static_cast<double>(work.n) / static_cast<double>(n) * static_cast<double>(work.k) / static_cast<double>(k);
  return at(nearest->second, work.m) * larger;
}

std::optional<double> PerformanceModel::seconds(const CollectiveWork& work) const {
  if (is_left_out(work)) return 0;
  const auto found = collectives_.find({work.collective, work.ranks});
  return found == collectives_.end() ? std::nullopt : std::optional(times(found->second, features_of(work)));
}

std::optional<double> PerformanceModel::seconds(const Trace& trace) const {
  std::optional<double> total = 0;
  std::int64_t own_kernels = 0;  // of the collective that comes next, seen from behind
  for (auto entry = trace.entries().rbegin(); entry != trace.entries().rend(); ++entry) {
    if (const auto* collective = std::get_if<CollectiveWork>(&*entry)) {
      own_kernels = collective->kernels;
      total = sum(total, seconds(*collective));
    } else if (own_kernels > 0) {
      --own_kernels;
    } else {
      total = sum(total, seconds(std::get<Work>(*entry)));
    }
  }
  return total;
}

std::optional<double> PerformanceModel::stages_seconds(std::span<const std::optional<double>> stages,
                                                       std::int64_t micro_batches) {
  double all = 0, slowest = 0;
  for (const auto& stage : stages) {
    if (!stage) return std::nullopt;
    all += *stage;
    slowest = std::max(slowest, *stage);
  }
  if (micro_batches == 0) return all;
  return slowest + (all - slowest) / static_cast<double>(micro_batches);
}

std::optional<double> PerformanceModel::step_seconds(std::span<const Trace> stages) const {
  std::optional<double> total = host_s_;
  for (const Trace& stage : stages) total = sum(total, seconds(stage));
  return total;
}

void RunTime::add(int rank, const Trace& batch, std::int64_t count) {
  Rank& of = ranks_[rank];
  const auto one = model_.seconds(batch);
  of.seconds = sum(of.seconds, one ? std::optional(*one * static_cast<double>(count)) : std::nullopt);
  of.batches += count;
  ++of.shapes;
}

// Shards of a stage wait for each other: the slowest one's time is the stage's.
std::optional<double> RunTime::seconds() const {
  const Layout& layout = model_.layout_;
  double longest = 0;
  for (std::int64_t replica = 0; replica < layout.replicas(); ++replica) {
    std::vector<std::optional<double>> stages(static_cast<std::size_t>(layout.stages()), 0);
    Rank first;
    for (std::int64_t stage = 0; stage < layout.stages(); ++stage)
      for (std::int64_t shard = 0; shard < layout.shards(); ++shard) {
        const auto found = ranks_.find(layout.rank({replica, stage, shard}));
        if (found == ranks_.end()) continue;
        auto& total = stages[static_cast<std::size_t>(stage)];
        const auto& rank = found->second.seconds;
        total = total && rank ? std::optional(std::max(*total, *rank)) : std::nullopt;
        first = found->second;
      }
    const auto computing =
        PerformanceModel::stages_seconds(stages, layout.micro_batches() ? first.batches * layout.stages() : 0);
    if (!computing) return std::nullopt;
    const auto batches = static_cast<double>(first.batches);
    const auto new_shapes = static_cast<double>(std::max<std::int64_t>(first.shapes - 1, 0));  // the warm-up had one
    longest = std::max(longest, *computing + batches * model_.host_s_ + new_shapes * model_.new_shape_s_);
  }
  return longest;
}

}  // namespace batchscope
