// Gives each verb the flags of study/axes.cc that it takes.
#include "cli/options.h"

#include "cli/output.h"
#include "cli/values.h"

namespace batchscope::cli {

CellOptions::CellOptions() {
  for (const Axis& axis : axes()) values_.emplace(axis.word, axis.preset);
}

void CellOptions::add(CLI::App& app, std::initializer_list<AxisGroup> groups) {
  for (const AxisGroup group : groups)
    for (const Axis& axis : axes()) {
      if (axis.group != group) continue;
      CLI::Option* option = app.add_option(axis.flag_name(), value(axis.word), axis.help);
      option->type_name(std::string(axis.type));
      if (!axis.preset.empty()) option->capture_default_str();
      if (!axis.values.empty()) set_values(*option, axis.values, axis.takes_list);
    }
}

void CellOptions::add_all(CLI::App& app) {
  add(app, {AxisGroup::engine, AxisGroup::model, AxisGroup::task, AxisGroup::placement, AxisGroup::run, AxisGroup::setting});
}

CellSpec CellOptions::cell() const {
  CellSpec spec = parsed();
  check(spec);
  if (spec.model.seed != 0 && spec.model.random_shape.empty())
    warn(
        "--seed belongs to --random-weights, which is not given: it has no effect (--task-seed seeds prompts and "
        "sampling)");
  return spec;
}

CellSpec CellOptions::parsed() const {
  AxisValues given = values_;
  std::erase_if(given, [](const auto& entry) { return entry.second.empty(); });
  return cell_of(given);
}

}  // namespace batchscope::cli
