// Plans each cell of a study, with its time, without running it.
#include "study/dry_run.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "study/cell_time.h"
#include "study/grid.h"
#include "study/json_optional.h"
#include "study/study_runner.h"

namespace batchscope {
namespace {

// A row without what only the plan knows.
DryRun::Row row_of(const CellSpec& cell, const std::string& name) {
  DryRun::Row row;
  row.strategy = name + (cell.max_tokens_per_sequence ? " " + token_limit_name(cell) : "");
  row.batch = cell.run.batch;
  row.key = fmt::format("{} batch={}", strategy_name(cell), cell.run.batch);
  row.capacity_bytes = cell.run.device_memory_bytes;
  return row;
}

void plan_row(const CellSpec& spec, const PreparedTask& task, CellTimeModel& times, DryRun::Row& row) {
  const CellTimeModel::TimedPlan planned = times.plan(spec, task);
  row.planned_bytes = 0;
  for (const DevicePlan& device : planned.plan.devices) row.planned_bytes = std::max(*row.planned_bytes, device.total_bytes);
  if (row.capacity_bytes) row.fits = *row.planned_bytes <= *row.capacity_bytes;
  const bool is_refused = task.counts().truncated > 0 && spec.when_too_long == WhenTooLong::fail;
  if (is_refused) row.problem = "sequences are too long, and when-too-long is fail";
  if (row.fits.value_or(true) && !is_refused) row.seconds = planned.seconds;
}

}  // namespace

DryRun plan_study(const StudySpec& study, RateSource& rates) {
  TaskPlanner planner;
  CellTimeModel times(rates);
  DryRun result;
  result.study = study.name;
  result.repeats = study.repeats;
  const std::vector<std::string> names = short_names(study.cells);
  // All are expected before the first is asked for, so that one measurement serves all of a kind.
  for (std::size_t i = 0; i < study.cells.size(); ++i) {
    DryRun::Row& row = result.rows.emplace_back(row_of(study.cells[i], names[i]));
    try {
      const CellSpec spec = resolved(study.cells[i], study.folder);
      const PreparedTask& task = planner.prepared(spec);
      check_layout(spec, task);
      times.expect(spec, task);
    } catch (const InputError& error) {
      row.problem = error.what();
    }
  }
  for (std::size_t i = 0; i < study.cells.size(); ++i) {
    DryRun::Row& row = result.rows[i];
    if (!row.problem.empty()) continue;
    const CellSpec spec = resolved(study.cells[i], study.folder);
    try {
      plan_row(spec, planner.prepared(spec), times, row);
    } catch (const InputError& error) {
      row.problem = error.what();
    }
    if (row.seconds)
      result.seconds = result.seconds.value_or(0) + *row.seconds * static_cast<double>(study.repeats);
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
          {"estimated_seconds", json_or_null(plan.seconds)}};
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
  if (!plan.seconds) return text + "\nno times: the devices are not here, or nothing can run\n";
  return text + "\nabout: by what kernels and collectives of these sizes take on this machine\n";
}

}  // namespace batchscope
