// The tables and views of a .bscope file. Times: *_ns on the host's monotonic clock, *_unix_s and *_unix_ns since 1970.
#include "store/schema.h"

#include <array>

namespace batchscope {
namespace {

constexpr std::array objects{
    SchemaObject{1, "table", "sessions", R"(CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  verb TEXT NOT NULL,
  started_unix_s REAL NOT NULL,
  ended_unix_s REAL,
  monotonic_zero_unix_ns INTEGER NOT NULL
))"},
    SchemaObject{1, "table", "environment", R"(CREATE TABLE environment (
  session INTEGER NOT NULL REFERENCES sessions(id),
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (session, key)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "studies", R"(CREATE TABLE studies (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  spec_json TEXT NOT NULL
))"},
    SchemaObject{1, "table", "cells", R"(CREATE TABLE cells (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies(id),
  key TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  position INTEGER NOT NULL,
  run_order INTEGER NOT NULL,
  UNIQUE (study, key)
))"},
    SchemaObject{1, "table", "attempts", R"(CREATE TABLE attempts (
  id INTEGER PRIMARY KEY,
  cell INTEGER NOT NULL REFERENCES cells(id),
  session INTEGER NOT NULL REFERENCES sessions(id),
  number INTEGER NOT NULL,
  status TEXT NOT NULL,
  valid INTEGER,
  reason TEXT NOT NULL,
  started_unix_s REAL NOT NULL,
  ended_unix_s REAL,
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER,
  seconds REAL,
  load_seconds REAL,
  result_json TEXT NOT NULL,
  UNIQUE (cell, number)
))"},
    SchemaObject{1, "table", "items", R"(CREATE TABLE items (
  attempt INTEGER NOT NULL REFERENCES attempts(id),
  position INTEGER NOT NULL,
  id_json TEXT NOT NULL,
  gold INTEGER NOT NULL,
  ll_json TEXT NOT NULL,
  tokens_json TEXT NOT NULL,
  truncated INTEGER NOT NULL,
  pred INTEGER NOT NULL,
  pred_norm INTEGER NOT NULL,
  pred_bytes INTEGER,
  pred_tokens INTEGER,
  PRIMARY KEY (attempt, position)
) WITHOUT ROWID)"},
    SchemaObject{3, "table", "requests", R"(CREATE TABLE requests (
  attempt INTEGER NOT NULL REFERENCES attempts(id),
  position INTEGER NOT NULL,
  id_json TEXT NOT NULL,
  arrival_s REAL NOT NULL,
  admitted_s REAL NOT NULL,
  first_token_s REAL NOT NULL,
  end_s REAL NOT NULL,
  prompt_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL,
  PRIMARY KEY (attempt, position)
) WITHOUT ROWID)"},
    SchemaObject{4, "table", "load_runs", R"(CREATE TABLE load_runs (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES sessions(id),
  spec_json TEXT NOT NULL,
  begin_ns INTEGER NOT NULL
))"},
    // Chunks: instants as differences, the first from the run's begin; tokens with null for unknown.
    SchemaObject{4, "table", "load_requests", R"(CREATE TABLE load_requests (
  run INTEGER NOT NULL REFERENCES load_runs(id),
  position INTEGER NOT NULL,
  id_json TEXT NOT NULL,
  outcome TEXT NOT NULL,
  detail TEXT NOT NULL,
  status INTEGER,
  retries INTEGER NOT NULL,
  session INTEGER,
  intended_ns INTEGER NOT NULL,
  due_ns INTEGER,
  started_ns INTEGER,
  sent_ns INTEGER,
  first_byte_ns INTEGER,
  end_ns INTEGER,
  asked_prompt_tokens INTEGER,
  asked_output_tokens INTEGER NOT NULL,
  prompt_tokens INTEGER,
  output_tokens INTEGER,
  finish_reason TEXT NOT NULL,
  chunk_ns_json TEXT NOT NULL,
  chunk_tokens_json TEXT NOT NULL,
  PRIMARY KEY (run, position)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "phases", R"(CREATE TABLE phases (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES sessions(id),
  attempt INTEGER REFERENCES attempts(id),
  name TEXT NOT NULL,
  track TEXT NOT NULL,
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  clock TEXT NOT NULL,
  clock_offset_ns INTEGER NOT NULL,
  clock_error_ns INTEGER NOT NULL,
  detail TEXT NOT NULL
))"},
    SchemaObject{1, "index", "phases_by_attempt", "CREATE INDEX phases_by_attempt ON phases (attempt, begin_ns)"},
    SchemaObject{1, "table", "ledger", R"(CREATE TABLE ledger (
  attempt INTEGER NOT NULL REFERENCES attempts(id),
  position INTEGER NOT NULL,
  rank INTEGER NOT NULL,
  collective TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  phase TEXT NOT NULL,
  calls INTEGER NOT NULL,
  payload_bytes INTEGER NOT NULL,
  predicted_tx_bytes INTEGER,
  predicted_rx_bytes INTEGER,
  counted_tx_bytes INTEGER,
  counted_rx_bytes INTEGER,
  PRIMARY KEY (attempt, position)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "devices", R"(CREATE TABLE devices (
  attempt INTEGER NOT NULL REFERENCES attempts(id),
  position INTEGER NOT NULL,
  name TEXT NOT NULL,
  is_virtual INTEGER NOT NULL,
  capacity_bytes INTEGER,
  planned_bytes INTEGER,
  peak_bytes INTEGER,
  busy_compute REAL,
  busy_communicate REAL,
  busy_idle REAL,
  energy_j REAL,
  PRIMARY KEY (attempt, position)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "links", R"(CREATE TABLE links (
  attempt INTEGER NOT NULL,
  device INTEGER NOT NULL,
  position INTEGER NOT NULL,
  kind TEXT NOT NULL,
  predicted_tx_bytes INTEGER,
  predicted_rx_bytes INTEGER,
  counted_tx_bytes INTEGER,
  counted_rx_bytes INTEGER,
  link_tx_bytes INTEGER,
  link_rx_bytes INTEGER,
  PRIMARY KEY (attempt, device, position),
  FOREIGN KEY (attempt, device) REFERENCES devices(attempt, position)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "frontiers", R"(CREATE TABLE frontiers (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies(id),
  strategy TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  largest_ran INTEGER,
  largest_plan INTEGER,
  reason TEXT NOT NULL,
  UNIQUE (study, strategy)
))"},
    SchemaObject{1, "table", "frontier_tries", R"(CREATE TABLE frontier_tries (
  frontier INTEGER NOT NULL REFERENCES frontiers(id),
  position INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (frontier, position)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "series", R"(CREATE TABLE series (
  id INTEGER PRIMARY KEY,
  session INTEGER NOT NULL REFERENCES sessions(id),
  name TEXT NOT NULL,
  unit TEXT NOT NULL,
  kind TEXT NOT NULL,
  device TEXT NOT NULL,
  source TEXT NOT NULL,
  is_virtual INTEGER NOT NULL,
  is_integer INTEGER NOT NULL,
  modulus INTEGER,
  refresh_ns INTEGER,
  help TEXT NOT NULL
))"},
    SchemaObject{1, "table", "ticks", R"(CREATE TABLE ticks (
  id INTEGER PRIMARY KEY,
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  count INTEGER NOT NULL,
  data BLOB NOT NULL
))"},
    // What a summary needs stands apart from the compressed values, so that it reads little of the file.
    // `ticks` is an id of that table, not declared as such: SQLite would search all chunks when ticks are replaced.
    SchemaObject{1, "table", "chunks", R"(CREATE TABLE chunks (
  id INTEGER PRIMARY KEY,
  series INTEGER NOT NULL REFERENCES series(id),
  ticks INTEGER NOT NULL,
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  count INTEGER NOT NULL,
  absent INTEGER NOT NULL,
  sum REAL,
  min REAL,
  max REAL,
  first REAL,
  last REAL
))"},
    SchemaObject{1, "index", "chunks_by_series", "CREATE INDEX chunks_by_series ON chunks (series, begin_ns)"},
    SchemaObject{1, "table", "chunk_data", R"(CREATE TABLE chunk_data (
  chunk INTEGER PRIMARY KEY REFERENCES chunks(id),
  data BLOB NOT NULL
))"},
    SchemaObject{1, "table", "gaps", R"(CREATE TABLE gaps (
  series INTEGER NOT NULL REFERENCES series(id),
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  ticks INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (series, begin_ns)
) WITHOUT ROWID)"},
    SchemaObject{1, "table", "samplers", R"(CREATE TABLE samplers (
  session INTEGER NOT NULL REFERENCES sessions(id),
  source TEXT NOT NULL,
  period_ns INTEGER NOT NULL,
  ticks INTEGER NOT NULL,
  missed INTEGER NOT NULL,
  dropped INTEGER NOT NULL,
  period_error_p50_ns INTEGER,
  period_error_p99_ns INTEGER,
  period_error_max_ns INTEGER,
  call_p50_ns INTEGER,
  call_p99_ns INTEGER,
  call_max_ns INTEGER,
  cpu_share REAL,
  PRIMARY KEY (session, source)
) WITHOUT ROWID)"},
    // The views use only functions of SQLite that are the same everywhere. What is no JSON counts as unknown: a query
    // must not fail because of one row.
    SchemaObject{3, "view", "attempt_settings", R"(CREATE VIEW attempt_settings AS
SELECT attempt, session, host, study, cell, key, position, number, status, valid,
  json_extract(spec, '$.strategy') AS strategy,
  json_extract(spec, '$.repeat') AS repeat,
  json_extract(spec, '$.spec.engine') AS engine,
  iif(json_extract(spec, '$.spec.model.path') || json_extract(spec, '$.spec.model.random_shape') = '', 'embedded',
    json_extract(spec, '$.spec.model.path') || json_extract(spec, '$.spec.model.random_shape')) AS model,
  CASE WHEN json_extract(spec, '$.spec.workload') IS NOT NULL THEN 'generate'
    WHEN json_extract(spec, '$.spec.task') = '' THEN 'embedded' ELSE json_extract(spec, '$.spec.task') END AS task,
  json_extract(spec, '$.spec.limit') AS item_limit,
  json_extract(spec, '$.spec.device') AS device_list,
  json_extract(spec, '$.spec.parallel') AS parallel,
  json_extract(spec, '$.spec.fusion') AS fusion,
  json_extract(spec, '$.spec.packing') AS packing,
  json_extract(spec, '$.spec.dtype') AS dtype,
  json_extract(spec, '$.spec.batch') AS batch,
  json_extract(spec, '$.spec.threads') AS threads,
  json_extract(spec, '$.spec.device_memory_bytes') AS device_memory_bytes,
  json_extract(spec, '$.spec.link.bytes_per_second') AS link_bytes_per_s,
  json_extract(spec, '$.spec.link.latency_ns') AS link_latency_ns,
  json_extract(spec, '$.spec.max_tokens_per_sequence') AS max_tokens_per_sequence,
  json_extract(spec, '$.spec.batch_tokens') AS batch_tokens,
  json_extract(spec, '$.spec.workload.trace') AS trace,
  json_extract(spec, '$.spec.workload.prompt_tokens') AS workload_prompt_tokens,
  json_extract(spec, '$.spec.workload.output_tokens') AS workload_output_tokens,
  json_extract(spec, '$.spec.workload.requests') AS workload_requests,
  json_extract(spec, '$.spec.workload.arrival_rate') AS arrival_rate,
  json_extract(spec, '$.spec.workload.temperature') AS temperature,
  json_extract(spec, '$.spec.workload.top_p') AS top_p,
  json_extract(spec, '$.spec.workload.seed') AS task_seed
FROM (SELECT attempts.id AS attempt, session, studies.name AS study, cell, key, position, number, status, valid,
    (SELECT value FROM environment WHERE session = attempts.session AND key = 'host') AS host,
    iif(json_valid(cells.spec_json), cells.spec_json, NULL) AS spec
  FROM attempts JOIN cells ON cells.id = cell JOIN studies ON studies.id = cells.study))",
                 2},
    SchemaObject{3, "view", "cell_results", R"(CREATE VIEW cell_results AS
SELECT settings.*, reason, started_unix_s, ended_unix_s, seconds, load_seconds,
  json_extract(result, '$.items') AS items,
  json_extract(result, '$.acc') AS acc,
  json_extract(result, '$.acc_norm') AS acc_norm,
  json_extract(result, '$.acc_norm_low') AS acc_norm_low,
  json_extract(result, '$.acc_norm_high') AS acc_norm_high,
  json_extract(result, '$.tokens_per_s') AS tokens_per_s,
  json_extract(result, '$.tokens.requested') AS tokens_requested,
  json_extract(result, '$.tokens.truncated') AS tokens_truncated,
  json_extract(result, '$.tokens.computed') AS tokens_computed,
  json_extract(result, '$.tokens.padding') AS tokens_padding,
  json_extract(result, '$.batches') AS batches,
  json_extract(result, '$.batch_ms.p50') AS batch_p50_ms,
  json_extract(result, '$.batch_ms.p90') AS batch_p90_ms,
  json_extract(result, '$.batch_ms.p99') AS batch_p99_ms,
  (SELECT max(peak_bytes) FROM devices WHERE devices.attempt = settings.attempt) AS largest_peak_bytes,
  (SELECT sum(counted_tx_bytes) FROM links WHERE links.attempt = settings.attempt) AS counted_tx_bytes,
  json_extract(result, '$.requests') AS requests,
  json_extract(result, '$.output_tokens') AS output_tokens,
  json_extract(result, '$.output_tokens_per_s') AS output_tokens_per_s,
  json_extract(result, '$.ttft_ms.p50') AS ttft_p50_ms,
  json_extract(result, '$.ttft_ms.p90') AS ttft_p90_ms,
  json_extract(result, '$.ttft_ms.p99') AS ttft_p99_ms,
  json_extract(result, '$.tpot_ms.p50') AS tpot_p50_ms,
  json_extract(result, '$.tpot_ms.p90') AS tpot_p90_ms,
  json_extract(result, '$.tpot_ms.p99') AS tpot_p99_ms,
  json_extract(result, '$.queue_ms.p50') AS queue_p50_ms,
  json_extract(result, '$.queue_ms.p90') AS queue_p90_ms,
  json_extract(result, '$.queue_ms.p99') AS queue_p99_ms,
  json_extract(result, '$.latency_ms.p50') AS latency_p50_ms,
  json_extract(result, '$.latency_ms.p90') AS latency_p90_ms,
  json_extract(result, '$.latency_ms.p99') AS latency_p99_ms
FROM attempt_settings AS settings JOIN (SELECT id, reason, started_unix_s, ended_unix_s, seconds, load_seconds,
    iif(json_valid(result_json), result_json, NULL) AS result FROM attempts
    WHERE status NOT IN ('running', 'interrupted')) AS ended ON ended.id = settings.attempt)",
                 2},
    SchemaObject{2, "view", "item_results", R"(CREATE VIEW item_results AS
SELECT settings.*, items.position AS item, iif(json_valid(id_json), json_extract(id_json, '$'), id_json) AS id, gold,
  pred, pred_norm, pred_bytes, pred_tokens, pred = gold AS is_right, pred_norm = gold AS is_right_norm, truncated,
  ll_json, tokens_json
FROM attempt_settings AS settings JOIN items ON items.attempt = settings.attempt)"},
    SchemaObject{3, "view", "request_results", R"(CREATE VIEW request_results AS
SELECT settings.*, requests.position AS request, iif(json_valid(id_json), json_extract(id_json, '$'), id_json) AS id,
  arrival_s, admitted_s, first_token_s, end_s, prompt_tokens, output_tokens, truncated,
  (admitted_s - arrival_s) * 1e3 AS queue_ms, (first_token_s - arrival_s) * 1e3 AS ttft_ms,
  (end_s - first_token_s) * 1e3 / nullif(max(output_tokens - 1, 0), 0) AS tpot_ms, (end_s - arrival_s) * 1e3 AS latency_ms
FROM attempt_settings AS settings JOIN requests ON requests.attempt = settings.attempt)"},
    SchemaObject{2, "view", "device_results", R"(CREATE VIEW device_results AS
SELECT settings.*, devices.position AS device, name, is_virtual, capacity_bytes, planned_bytes, peak_bytes,
  busy_compute, busy_communicate, busy_idle, energy_j
FROM attempt_settings AS settings JOIN devices ON devices.attempt = settings.attempt)"},
    SchemaObject{2, "view", "link_results", R"(CREATE VIEW link_results AS
SELECT settings.*, device, devices.name AS device_name, kind, predicted_tx_bytes, counted_tx_bytes, link_tx_bytes,
  predicted_rx_bytes, counted_rx_bytes, link_rx_bytes
FROM attempt_settings AS settings JOIN links ON links.attempt = settings.attempt
JOIN devices ON devices.attempt = links.attempt AND devices.position = links.device)"},
    SchemaObject{2, "view", "ledger_results", R"(CREATE VIEW ledger_results AS
SELECT settings.*, rank, collective, algorithm, phase, calls, payload_bytes, predicted_tx_bytes, counted_tx_bytes,
  predicted_rx_bytes, counted_rx_bytes
FROM attempt_settings AS settings JOIN ledger ON ledger.attempt = settings.attempt)"},
    SchemaObject{2, "view", "phase_times", R"(CREATE VIEW phase_times AS
SELECT phases.session, (SELECT value FROM environment WHERE session = sessions.id AND key = 'host') AS host,
  phases.attempt, study, settings.key, name, track,
  monotonic_zero_unix_ns + begin_ns + clock_offset_ns AS begin_unix_ns,
  monotonic_zero_unix_ns + end_ns + clock_offset_ns AS end_unix_ns,
  (end_ns - begin_ns) * 1e-9 AS seconds, clock_error_ns, detail
FROM phases JOIN sessions ON sessions.id = phases.session
LEFT JOIN attempt_settings AS settings ON settings.attempt = phases.attempt)"},
    SchemaObject{2, "view", "sample_means", R"(CREATE VIEW sample_means AS
SELECT series.session, (SELECT value FROM environment WHERE session = sessions.id AND key = 'host') AS host, series,
  name, unit, kind, device, source, is_virtual,
  monotonic_zero_unix_ns + begin_ns AS begin_unix_ns, monotonic_zero_unix_ns + end_ns AS end_unix_ns,
  count, absent, sum / count AS mean, min, max, first, last
FROM chunks JOIN series ON series.id = series JOIN sessions ON sessions.id = series.session)"},
};

}  // namespace

std::span<const SchemaObject> schema_objects() { return objects; }

}  // namespace batchscope
