// A .bscope file as a Perfetto trace (protobuf; ui.perfetto.dev, trace_processor): cells and phases as slices, samples
// as counters, gaps as slices beside them. Written as it is read: memory stays small.
#pragma once

#include "report/export/export_rows.h"
#include "store/store.h"

namespace batchscope {

void export_perfetto(const StoreReader& reader, const ByteSink& out);

}  // namespace batchscope
