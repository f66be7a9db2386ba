// A study's file made without running anything, for tests of reports: each cell's result comes from a function.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "store/store.h"
#include "study/grid.h"
#include "base/phase_list.h"
#include "study/records.h"
#include "study/study_file.h"

namespace batchscope {

using ResultOf = std::function<CellResult(const CellSpec& spec, std::int64_t repeat)>;

// A result that ran: `devices` devices that send and receive, `items` items all right.
inline CellResult test_result(const CellSpec& spec, std::int64_t devices, std::int64_t items) {
  CellResult result;
  result.status = CellStatus::ok;
  result.valid = true;
  ScoreReport& run = result.run.emplace();
  run.time = std::chrono::milliseconds(900 + 10 * spec.run.batch);
  run.batches = 1;
  run.tokens = {.requested = 40 * items, .truncated = 0, .computed = 40 * items, .padding = 7};
  for (std::int64_t i = 0; i < devices; ++i) {
    DeviceReport device;
    device.name = "cpu:" + std::to_string(i);
    device.memory = {
        .capacity_bytes = 1 << 20, .planned_bytes = 5000 * spec.run.batch, .peak_bytes = 5000 * spec.run.batch};
    LinkReport link;
    link.predicted_tx_bytes = link.counted_tx_bytes = link.link_tx_bytes = (1 << 20) + 7 * spec.run.batch;
    link.predicted_rx_bytes = link.counted_rx_bytes = link.link_rx_bytes = (1 << 20) + 7 * spec.run.batch;
    device.links = {link};
    device.busy = {.compute = 0.5, .communicate = 0.25, .idle = 0.25};
    run.devices.push_back(device);
  }
  for (std::int64_t i = 0; i < items; ++i) {
    ItemScore item;
    item.id = i;
    item.log_likelihoods = {-1, -2};
    result.items.push_back(item);
  }
  result.scores = summarize(result.items);
  return result;
}

// A workload that ran: each request waits 1 ms, has its first token 20 ms after its arrival, and another every 5 ms.
inline CellResult test_generation(const CellSpec& spec, std::int64_t devices, std::int64_t requests) {
  CellResult result = test_result(spec, devices, 1);
  result.scores.reset();
  result.items.clear();
  result.run->batch_times = {std::chrono::milliseconds(5)};
  for (std::int64_t i = 0; i < requests; ++i) {
    RequestResult& request = result.requests.emplace_back();
    request.id = i;
    request.arrival = std::chrono::milliseconds(10 * i);
    request.admitted = request.arrival + std::chrono::milliseconds(1);
    request.first_token = request.arrival + std::chrono::milliseconds(20);
    request.prompt_tokens = 8;
    request.output_tokens = 4;
    request.end = request.first_token + 3 * std::chrono::milliseconds(5);
  }
  return result;
}

// Attempt k runs from k to k + 0.9 seconds on the clock of its file, so that time series can be put under it.
constexpr Nanoseconds test_attempt_begin(std::int64_t attempt) { return std::chrono::seconds(attempt); }
constexpr Nanoseconds test_attempt_length = std::chrono::milliseconds(900);

// What the performance model had said; nothing where it is empty.
using EstimateOf = std::function<double(const CellSpec& spec)>;

inline void write_test_study(const std::filesystem::path& path, const std::string& toml, const ResultOf& result_of,
                             const EstimateOf& estimate_of = {}) {
  StoreWriter store(path, OpenMode::replace);
  const std::int64_t session = store.begin_session("study");
  store.set_environment(session, {{"batchscope_version", "0.1.0"}, {"cpu_model", "test"}});
  const StudySpec study = parse_study(toml, "test.toml");
  const std::int64_t id = store.add_study(study.name, to_json(study).dump());
  for (const PlannedRun& run : run_order(study.cells, study.repeats, 1)) {
    const CellSpec& spec = study.cells[run.cell];
    const CellRecord cell{.key = cell_key(spec, run.repeat),
                          .spec_json = stored_cell(spec, run.repeat).dump(),
                          .position = static_cast<std::int64_t>(run.cell)};
    const std::int64_t attempt = store.start_attempt(session, store.add_cells(id, {&cell, 1}).front());
    CellRecords records = to_records(result_of(spec, run.repeat));
    if (estimate_of) set_estimate(records.result, estimate_of(spec));
    store.finish_attempt(attempt, records.result, records.items, records.phases, records.ledger, records.devices,
                         records.requests);
  }
  store.end_session(session);
}

inline void set_test_times(const std::filesystem::path& path) {
  SQLite::Database database(path.string(), SQLite::OPEN_READWRITE);
  database.exec("UPDATE attempts SET begin_ns = id * 1000000000, end_ns = id * 1000000000 + " +
                std::to_string(test_attempt_length.count()));
}

// Counter `at` of many: every second one cumulative.
inline SeriesRecord test_series(std::int64_t session, std::int64_t at) {
  const bool is_rate = at % 2 == 1;
  return {.session = session,
          .name = is_rate ? "link_tx_bytes_total" : "gpu_memory_used_bytes",
          .unit = "bytes",
          .kind = is_rate ? "cumulative" : "gauge",
          .device = "cpu:" + std::to_string(at / 2),
          .source = "virtual",
          .is_virtual = true,
          .is_integer = true,
          .help = "of a test"};
}

}  // namespace batchscope
