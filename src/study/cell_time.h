// How long cells will take, before they run: the model of performance, fed with what was measured on this machine once for
// all cells that differ only in batch and task.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "analysis/machine_rates.h"
#include "analysis/performance_model.h"
#include "study/cell.h"

namespace batchscope {

class CellTimeModel {
 public:
  explicit CellTimeModel(RateSource& rates) : rates_(rates) {}

  // Before the first question of its kind: this cell's batches are among what is measured.
  void expect(const CellSpec& spec, const PreparedTask& task);
  // Of cells like this one, measured now if it was not before. Null where the devices are not here: no time is known.
  const PerformanceModel* model(const CellSpec& spec, const PreparedTask& task);

  struct TimedPlan {
    Plan plan;
    std::optional<double> seconds;  // of the run without loading and warm-up; absent where it is not known
  };
  // The cell has been expected.
  TimedPlan plan(const CellSpec& spec, const PreparedTask& task);

 private:
  struct Kind {
    RateQuestion question;  // with many more samples than are measured
    bool is_measured = false;
    std::unique_ptr<PerformanceModel> model;
  };
  std::optional<double> generation_seconds(const PerformanceModel& model, const CellSpec& spec,
                                           const PreparedTask& task) const;

  RateSource& rates_;
  std::map<std::string, Kind> kinds_;
};

}  // namespace batchscope
