// Flags that eval, generate, plan and ablate share: the axes of a cell (study/axes.h).
#pragma once

#include <CLI/CLI.hpp>
#include <initializer_list>
#include <string>

#include "study/axes.h"

namespace batchscope::cli {

// Text as the user wrote it; cell() parses it, so that an error names its flag.
class CellOptions {
 public:
  CellOptions();

  // One flag for each axis of these groups. The app keeps references to this.
  void add(CLI::App& app, std::initializer_list<AxisGroup> groups);
  void add_all(CLI::App& app);

  // Of an axis, by its word; "": not given.
  std::string& value(std::string_view word) { return values_.find(word)->second; }

  ModelSource model_source() const { return parsed().model; }
  Placement placement() const { return parsed().placement; }  // --device and --parallel complete each other
  RunSettings run_settings() const { return parsed().run; }
  CellSpec cell() const;  // checked

 private:
  CellSpec parsed() const;

  AxisValues values_;
};

}  // namespace batchscope::cli
