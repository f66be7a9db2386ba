// Single numbers of a cell, as tables, figures and pages show them; absent where unknown.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "report/study_report.h"

namespace batchscope {

// Of the cell's result: "acc_norm", "tokens_per_s", …
std::optional<double> number(const CellSummary& cell, const char* key);
// Of one of its objects of percentiles: "batch_ms", "ttft_ms", … and "p50", "p90", "p99".
std::optional<double> percentile(const CellSummary& cell, const char* times, const char* share);

// A workload that ran: requests were generated.
bool has_requests(const CellSummary& cell);

inline bool has_numbers(const CellSummary& cell) { return cell.time.has_value(); }

// Of the whole task where the cell ran a sample of it: by all repeats; the interval has the errors of sampling and of
// repeats.
std::optional<MeanInterval> whole_seconds(const CellSummary& cell);

// Mean seconds / what the model of performance had said before; absent where it had said nothing.
std::optional<double> measured_to_estimated(const CellSummary& cell);

// Absent when it is so for one device.
std::optional<double> mean_over_devices(const CellSummary& cell,
                                        const std::function<std::optional<double>(const DeviceRecord&)>& get);

// Of what the devices of the cell's result say, such as "utilisation": the mean; absent when it is so for one device.
std::optional<double> mean_over_devices(const CellSummary& cell, const char* key);
// Of what the paper's sampler saw of them: "tx_bytes_per_s", … (docs/formats.md).
std::optional<double> paper_number(const CellSummary& cell, const std::string& key);
// Of all devices, a question or a request.
std::optional<double> joules_per_item(const CellSummary& cell);
// The share of the tokens asked for that was not cut away.
std::optional<double> kept_share(const CellSummary& cell);

// Mean of the devices; a device without links moves nothing.
std::optional<double> sent_bytes_per_s(const CellSummary& cell);
std::optional<double> received_bytes_per_s(const CellSummary& cell);

// Of the device that uses, or would need, most.
std::optional<double> peak_bytes(const CellSummary& cell);
std::optional<double> planned_bytes(const CellSummary& cell);

}  // namespace batchscope
