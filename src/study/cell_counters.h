// What the counters of a recording say of a cell: bytes, joules and utilisation of its GPUs, summed over exactly the part
// that its engine was timed for, whatever engine it was.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "base/phase.h"
#include "store/store.h"
#include "study/cell.h"
#include "study/records.h"
#include "telemetry/recording.h"

namespace batchscope {

// The counters of this process and its descendants; where cells run on GPUs, of all GPUs, too; and what the cells' servers
// publish of themselves.
bool are_on_gpus(std::span<const CellSpec> cells);  // any of them
// With `paper_sampler` GPUs are sampled as the paper did, beside all else; InputError where it cannot begin.
std::vector<std::unique_ptr<Source>> sources_of(std::span<const CellSpec> cells, int root, bool paper_sampler = false);

class CellCounters {
 public:
  // All three outlive it; `session` is the one that the recording writes to.
  CellCounters(Recording& recording, StoreWriter& store, std::int64_t session, bool on_gpus)
      : recording_(recording), store_(store), session_(session), on_gpus_(on_gpus) {}
  // Reads the counters, so that there is a reading where the sum begins.
  void timed_part_begins() const {
    if (on_gpus_) recording_.read_now();
  }
  // Adds to the cell's result what was counted during its timed phase; what no counter tells stays absent.
  void add(const CellSpec& spec, CellRecords& records) const;

 private:
  Recording& recording_;
  StoreWriter& store_;
  std::int64_t session_;
  bool on_gpus_;
};

// The same of a result's JSON, from what is in the file.
void add_counters(const CellSpec& spec, std::span<const Phase> phases, const StoreReader& store, std::int64_t session,
                  nlohmann::json& result);

// The number by which NVML, and so a recording, knows each device of the cell: as CUDA_VISIBLE_DEVICES says. Its texts are
// numbers, or begins of UUIDs; "" where it cannot be known.
std::vector<std::string> gpus_of(const CellSpec& spec, const char* visible_devices);

}  // namespace batchscope
