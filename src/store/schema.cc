// The tables of a .bscope file, version 1. Times: *_ns on the host's monotonic clock, *_unix_s since 1970.
#include "store/schema.h"

#include <array>

namespace batchscope {
namespace {

constexpr std::array objects{
    SchemaObject{"table", "sessions", R"(CREATE TABLE sessions (
  id INTEGER PRIMARY KEY,
  verb TEXT NOT NULL,
  started_unix_s REAL NOT NULL,
  ended_unix_s REAL,
  monotonic_zero_unix_ns INTEGER NOT NULL
))"},
    SchemaObject{"table", "environment", R"(CREATE TABLE environment (
  session INTEGER NOT NULL REFERENCES sessions(id),
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (session, key)
) WITHOUT ROWID)"},
    SchemaObject{"table", "studies", R"(CREATE TABLE studies (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  spec_json TEXT NOT NULL
))"},
    SchemaObject{"table", "cells", R"(CREATE TABLE cells (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies(id),
  key TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  position INTEGER NOT NULL,
  run_order INTEGER NOT NULL,
  UNIQUE (study, key)
))"},
    SchemaObject{"table", "attempts", R"(CREATE TABLE attempts (
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
    SchemaObject{"table", "items", R"(CREATE TABLE items (
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
    SchemaObject{"table", "phases", R"(CREATE TABLE phases (
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
    SchemaObject{"index", "phases_by_attempt", "CREATE INDEX phases_by_attempt ON phases (attempt, begin_ns)"},
    SchemaObject{"table", "ledger", R"(CREATE TABLE ledger (
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
    SchemaObject{"table", "devices", R"(CREATE TABLE devices (
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
    SchemaObject{"table", "links", R"(CREATE TABLE links (
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
    SchemaObject{"table", "frontiers", R"(CREATE TABLE frontiers (
  id INTEGER PRIMARY KEY,
  study INTEGER NOT NULL REFERENCES studies(id),
  strategy TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  largest_ran INTEGER,
  largest_plan INTEGER,
  reason TEXT NOT NULL,
  UNIQUE (study, strategy)
))"},
    SchemaObject{"table", "frontier_tries", R"(CREATE TABLE frontier_tries (
  frontier INTEGER NOT NULL REFERENCES frontiers(id),
  position INTEGER NOT NULL,
  batch INTEGER NOT NULL,
  status TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (frontier, position)
) WITHOUT ROWID)"},
    SchemaObject{"table", "series", R"(CREATE TABLE series (
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
    SchemaObject{"table", "ticks", R"(CREATE TABLE ticks (
  id INTEGER PRIMARY KEY,
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  count INTEGER NOT NULL,
  data BLOB NOT NULL
))"},
    // What a summary needs stands apart from the compressed values, so that it reads little of the file.
    // `ticks` is an id of that table, not declared as such: SQLite would search all chunks when ticks are replaced.
    SchemaObject{"table", "chunks", R"(CREATE TABLE chunks (
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
    SchemaObject{"index", "chunks_by_series", "CREATE INDEX chunks_by_series ON chunks (series, begin_ns)"},
    SchemaObject{"table", "chunk_data", R"(CREATE TABLE chunk_data (
  chunk INTEGER PRIMARY KEY REFERENCES chunks(id),
  data BLOB NOT NULL
))"},
    SchemaObject{"table", "gaps", R"(CREATE TABLE gaps (
  series INTEGER NOT NULL REFERENCES series(id),
  begin_ns INTEGER NOT NULL,
  end_ns INTEGER NOT NULL,
  ticks INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (series, begin_ns)
) WITHOUT ROWID)"},
    SchemaObject{"table", "samplers", R"(CREATE TABLE samplers (
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
};

}  // namespace

std::span<const SchemaObject> schema_objects() { return objects; }

}  // namespace batchscope
