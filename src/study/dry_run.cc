// Plans a study (study/dry_run.h).
#include "study/dry_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/units.h"
#include "plan/plan.h"
#include "study/grid.h"
#include "study/json_optional.h"
#include "study/study_runner.h"

namespace batchscope {
namespace {

constexpr double batch_overhead_s = 1e-3;  // waking workers, forming a batch: what no FLOP accounts for

// A small product of matrices, again and again for a few milliseconds: what plain code reaches on one core here.
double measured_flop_per_s() {
  constexpr std::size_t n = 96;
  static_assert(n * n * sizeof(float) < (1 << 17));
  std::vector<float> a(n * n, 0.5f), b(n * n, 0.25f), c(n * n, 0.0f);
  const Nanoseconds begin = monotonic_clock().now();
  double flop = 0;
  while (monotonic_clock().now() - begin < std::chrono::milliseconds(20)) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t k = 0; k < n; ++k)
        for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
    a[0] = c[n] * 1e-9f;  // the result is used: no compiler may leave it out
    flop += 2.0 * n * n * n;
  }
  return flop / to_seconds(monotonic_clock().now() - begin);
}

// Time of computing and sending, one after the other; devices that share this machine's cores share its rate.
double estimated_seconds(const Plan& plan, const CellSpec& spec, double flop_per_s) {
  double flop = 0, tx_bytes = 0;
  std::int64_t messages = 0;
  for (const DevicePlan& device : plan.devices) {
    flop += device.flop;
    tx_bytes = std::max(tx_bytes, static_cast<double>(device.tx_bytes));
  }
  for (const LedgerEntry& entry : plan.ledger)
    if (entry.rank == 0) messages += entry.calls;
  const Layout& layout = spec.placement.layout;
  const std::int64_t stages = layout.micro_batches() ? layout.stages() : 1;  // mp: one stage works at a time
  const double width = static_cast<double>(layout.replicas() * layout.shards() * stages * threads_of(spec.placement));
  const double cores = std::min(width, static_cast<double>(std::max(1u, std::thread::hardware_concurrency())));
  double seconds = flop / (flop_per_s * cores) + static_cast<double>(plan.batches) * batch_overhead_s;
  if (spec.run.link.bytes_per_second) seconds += tx_bytes / *spec.run.link.bytes_per_second;
  return seconds + static_cast<double>(messages) * to_seconds(spec.run.link.latency);
}

// No run is over before the last request has come.
double last_arrival_s(const PreparedTask& task) {
  double last = 0;
  if (task.workload)
    for (const GenerateRequest& request : task.workload->requests) last = std::max(last, to_seconds(request.arrival));
  return last;
}

}  // namespace

DryRun plan_study(const StudySpec& study) {
  const double flop_per_s = measured_flop_per_s();
  TaskPlanner planner;
  DryRun result;
  result.study = study.name;
  result.repeats = study.repeats;
  const std::vector<std::string> names = short_names(study.cells);
  for (std::size_t i = 0; i < study.cells.size(); ++i) {
    const CellSpec& cell = study.cells[i];
    DryRun::Row row;
    row.strategy = names[i] + (cell.max_tokens_per_sequence ? " " + token_limit_name(cell) : "");
    row.batch = cell.run.batch;
    row.key = fmt::format("{} batch={}", strategy_name(cell), cell.run.batch);
    row.capacity_bytes = cell.run.device_memory_bytes;
    try {
      const CellSpec spec = resolved(cell, study.folder);
      const PreparedTask& task = planner.prepared(spec);
      spec.placement.layout.check(task.config);
      const Plan plan = plan_cell(spec, task);
      row.planned_bytes = 0;
      for (const DevicePlan& device : plan.devices)
        row.planned_bytes = std::max(*row.planned_bytes, device.total_bytes);
      if (row.capacity_bytes) row.fits = *row.planned_bytes <= *row.capacity_bytes;
      const bool is_refused = task.counts().truncated > 0 && cell.when_too_long == WhenTooLong::fail;
      if (is_refused) row.problem = "sequences are too long, and when-too-long is fail";
      if (row.fits.value_or(true) && !is_refused)
        row.seconds = std::max(estimated_seconds(plan, spec, flop_per_s), last_arrival_s(task));
    } catch (const InputError& error) {
      row.problem = error.what();
    }
    result.seconds += row.seconds.value_or(0) * static_cast<double>(study.repeats);
    result.rows.push_back(std::move(row));
  }
  return result;
}

nlohmann::json to_json(const DryRun& plan) {
  nlohmann::json cells = nlohmann::json::array();
  for (const DryRun::Row& row : plan.rows)
    cells.push_back({{"key", row.key},
                     {"planned_bytes", json_or_null(row.planned_bytes)},
                     {"capacity_bytes", json_or_null(row.capacity_bytes)},
                     {"fits", json_or_null(row.fits)},
                     {"estimated_seconds", json_or_null(row.seconds)},
                     {"problem", row.problem}});
  return {{"study", plan.study},
          {"repeats", plan.repeats},
          {"cells", std::move(cells)},
          {"estimated_seconds", plan.seconds}};
}

std::string to_text(const DryRun& plan) {
  std::string text =
      fmt::format("study {}: {} cells, each {} time{}\n\n{:>11} {:>10} {:>9} {:>7}  strategy\n", plan.study,
                  plan.rows.size(), plan.repeats, plan.repeats == 1 ? "" : "s", "planned", "limit", "about", "batch");
  const auto bytes = [](const std::optional<std::int64_t>& value, const char* unknown) {
    return value ? format_bytes(static_cast<double>(*value)) : std::string(unknown);
  };
  for (const DryRun::Row& row : plan.rows) {
    const std::string time = row.seconds ? fmt::format("{:.2f} s", *row.seconds) : row.fits == false ? "no room" : "?";
    text += fmt::format("{:>11} {:>10} {:>9} {:>7}  {}{}\n", bytes(row.planned_bytes, "?"),
                        bytes(row.capacity_bytes, "none"), time, row.batch, row.strategy,
                        row.problem.empty() ? "" : ": " + row.problem);
  }
  return text + fmt::format("\nin all about {}, by a rough estimate from the plan's FLOPs and this machine's speed\n",
                            format_duration(from_seconds(plan.seconds)));
}

}  // namespace batchscope
