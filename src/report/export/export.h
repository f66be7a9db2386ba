// Tables of a .bscope file for other programs, row by row: CSV and JSON lines. report/export/perfetto.h is the third
// format.
#pragma once

#include <span>
#include <string_view>

#include "report/export/export_rows.h"
#include "store/store.h"

namespace batchscope {

struct ExportTable {
  std::string_view name;  // "cells"; in a folder its file is "cells.csv"
  std::string_view help;  // what a row is
  std::span<const std::string_view> columns;
  void (*write)(const StoreReader& reader, RowWriter& out);
};

std::span<const ExportTable> export_tables();

void export_table(const StoreReader& reader, const ExportTable& table, RowFormat format, const ByteSink& out);

}  // namespace batchscope
