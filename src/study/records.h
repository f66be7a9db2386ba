// A cell's result as the rows that the .bscope file keeps, and as the JSON that a worker sends to its parent.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/phase.h"
#include "store/records.h"
#include "study/cell.h"

namespace batchscope {

// Everything that one attempt gives to StoreWriter::finish_attempt.
struct CellRecords {
  AttemptResult result;
  std::vector<ItemRecord> items;
  std::vector<RequestRecord> requests;
  std::vector<Phase> phases;
  std::vector<LedgerRecord> ledger;
  std::vector<DeviceRecord> devices;
};

// An item's or a request's id as the file has it.
std::string id_text(const nlohmann::json& id);

CellRecords to_records(const CellResult& result, std::vector<Phase> phases = {});
// What was expected of the attempt before it ran.
void set_estimate(AttemptResult& result, double seconds);

nlohmann::json to_json(const CellRecords& records);
// InputError when it is not what to_json() writes: a worker may die in the middle of a line.
CellRecords cell_records_from_json(const nlohmann::json& json);

// The devices of an `eval --json` object.
std::vector<DeviceRecord> device_records(const nlohmann::json& result);

}  // namespace batchscope
