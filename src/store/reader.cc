// Reading a .bscope file (store/store.h): a query a table.
#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "store/chunk.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/store.h"

namespace batchscope {

using store::Doing;
using store::Row;

struct StoreReader::Impl {
  std::filesystem::path path;
  mutable SQLite::Database database;

  explicit Impl(const std::filesystem::path& file) : path(file), database(store::open_for_reading(file)) {}

  // Calls take(row) for each row that the query gives with these parameters.
  template <class Take, class... Values>
  void each(const std::string& sql, Take&& take, const Values&... values) const {
    store::guarded(path, Doing::reading, [&] {
      SQLite::Statement query(database, sql);
      int at = 0;
      (store::bind_one(query, ++at, values), ...);
      while (query.executeStep()) take(Row(query));
      return 0;
    });
  }

  template <class Record, class Take, class... Values>
  std::vector<Record> all(const std::string& sql, Take&& take, const Values&... values) const {
    std::vector<Record> records;
    each(
        sql, [&](Row row) { records.push_back(take(row)); }, values...);
    return records;
  }

  template <class Value>
  std::vector<Value> numbers(const std::string& json, const char* column) const {
    const auto parsed = nlohmann::json::parse(json, nullptr, false);
    std::vector<Value> values;
    bool good = parsed.is_array();
    for (std::size_t i = 0; good && i < parsed.size(); ++i) {
      good = parsed[i].is_number() || parsed[i].is_null();
      if (!good) break;
      if constexpr (std::is_floating_point_v<Value>)
        values.push_back(parsed[i].is_null() ? std::numeric_limits<Value>::quiet_NaN() : parsed[i].get<Value>());
      else
        values.push_back(parsed[i].is_number_integer() ? parsed[i].get<Value>() : 0);
    }
    if (!good)
      throw InputError("{} is damaged: {} of an item is not a list of numbers; use a copy", path.string(), column);
    return values;
  }
};

StoreReader::StoreReader(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
StoreReader::~StoreReader() = default;
StoreReader::StoreReader(StoreReader&&) noexcept = default;

const std::filesystem::path& StoreReader::path() const { return impl_->path; }

int StoreReader::version() const {
  int version = 0;
  impl_->each("PRAGMA user_version", [&](Row row) { version = static_cast<int>(row.integer()); });
  return version;
}

std::vector<SessionRecord> StoreReader::sessions() const {
  auto sessions = impl_->all<SessionRecord>(
      "SELECT id, verb, started_unix_s, ended_unix_s, monotonic_zero_unix_ns FROM sessions ORDER BY id", [](Row row) {
        return SessionRecord{.id = row.integer(),
                             .verb = row.text(),
                             .started_unix_s = row.real(),
                             .ended_unix_s = row.maybe_real(),
                             .monotonic_zero_unix = row.time(),
                             .environment = {}};
      });
  for (SessionRecord& session : sessions)
    impl_->each(
        "SELECT key, value FROM environment WHERE session = ?",
        [&](Row row) {
          auto key = row.text();
          session.environment[std::move(key)] = row.text();
        },
        session.id);
  return sessions;
}

std::vector<StudyRecord> StoreReader::studies() const {
  return impl_->all<StudyRecord>("SELECT id, name, spec_json FROM studies ORDER BY id", [](Row row) {
    return StudyRecord{.id = row.integer(), .name = row.text(), .spec_json = row.text()};
  });
}

std::vector<CellRecord> StoreReader::cells(std::optional<std::int64_t> study) const {
  return impl_->all<CellRecord>(
      "SELECT id, study, key, spec_json, position, run_order FROM cells WHERE ?1 IS NULL OR study = ?1 "
      "ORDER BY study, position, id",
      [](Row row) {
        return CellRecord{.id = row.integer(),
                          .study = row.integer(),
                          .key = row.text(),
                          .spec_json = row.text(),
                          .position = row.integer(),
                          .run_order = row.integer()};
      },
      study);
}

std::vector<AttemptRecord> StoreReader::attempts(std::optional<std::int64_t> cell) const {
  return impl_->all<AttemptRecord>(
      "SELECT attempts.id, cell, session, number, status, valid, reason, started_unix_s, ended_unix_s, begin_ns, "
      "end_ns, seconds, load_seconds, result_json FROM attempts JOIN cells ON cells.id = cell "
      "WHERE ?1 IS NULL OR cell = ?1 ORDER BY study, position, cell, number",
      [](Row row) {
        return AttemptRecord{.id = row.integer(),
                             .cell = row.integer(),
                             .session = row.integer(),
                             .number = row.integer(),
                             .status = row.text(),
                             .valid = row.maybe_flag(),
                             .reason = row.text(),
                             .started_unix_s = row.real(),
                             .ended_unix_s = row.maybe_real(),
                             .begin = row.time(),
                             .end = row.maybe_time(),
                             .seconds = row.maybe_real(),
                             .load_seconds = row.maybe_real(),
                             .result_json = row.text()};
      },
      cell);
}

std::vector<ItemRecord> StoreReader::items(std::int64_t attempt) const {
  return impl_->all<ItemRecord>(
      "SELECT id_json, gold, ll_json, tokens_json, truncated, pred, pred_norm, pred_bytes, pred_tokens FROM items "
      "WHERE attempt = ? ORDER BY position",
      [this](Row row) {
        return ItemRecord{.id_json = row.text(),
                          .gold = row.integer(),
                          .log_likelihoods = impl_->numbers<double>(row.text(), "ll_json"),
                          .tokens = impl_->numbers<std::int64_t>(row.text(), "tokens_json"),
                          .truncated = row.flag(),
                          .prediction = row.integer(),
                          .prediction_norm = row.integer(),
                          .prediction_bytes = row.maybe_integer(),
                          .prediction_tokens = row.maybe_integer()};
      },
      attempt);
}

std::vector<RequestRecord> StoreReader::requests(std::int64_t attempt) const {
  if (version() < first_version_with_requests) return {};
  return impl_->all<RequestRecord>(
      "SELECT id_json, arrival_s, admitted_s, first_token_s, end_s, prompt_tokens, output_tokens, truncated "
      "FROM requests WHERE attempt = ? ORDER BY position",
      [](Row row) {
        return RequestRecord{.id_json = row.text(),
                             .arrival_s = row.real(),
                             .admitted_s = row.real(),
                             .first_token_s = row.real(),
                             .end_s = row.real(),
                             .prompt_tokens = row.integer(),
                             .output_tokens = row.integer(),
                             .truncated = row.flag()};
      },
      attempt);
}

namespace {

constexpr const char* phase_columns =
    "SELECT name, track, begin_ns, end_ns, clock, clock_offset_ns, clock_error_ns, detail FROM phases ";

Phase take_phase(Row row) {
  return Phase{.name = row.text(),
               .track = row.text(),
               .begin = row.time(),
               .end = row.time(),
               .clock = row.text(),
               .clock_offset = row.time(),
               .clock_error = row.time(),
               .detail = row.text()};
}

// Chunks of series ?1 that reach into [?2, ?3]. They do not overlap: of those that begin before it only the last can.
// All others are not even looked at, which is what makes a long recording quick to open anywhere.
constexpr const char* chunks_within =
    "chunks.series = ?1 AND chunks.begin_ns <= ?3 AND chunks.end_ns >= ?2 AND chunks.begin_ns >= coalesce("
    "(SELECT max(begin_ns) FROM chunks AS earlier WHERE earlier.series = ?1 AND earlier.begin_ns < ?2), ?2)";

}  // namespace

std::vector<Phase> StoreReader::phases(std::int64_t attempt) const {
  return impl_->all<Phase>(std::string(phase_columns) + "WHERE attempt = ? ORDER BY begin_ns, id", take_phase, attempt);
}

std::vector<Phase> StoreReader::session_phases(std::int64_t session) const {
  return impl_->all<Phase>(std::string(phase_columns) + "WHERE attempt IS NULL AND session = ? ORDER BY begin_ns, id",
                           take_phase, session);
}

std::vector<LedgerRecord> StoreReader::ledger(std::int64_t attempt) const {
  return impl_->all<LedgerRecord>(
      "SELECT rank, collective, algorithm, phase, calls, payload_bytes, predicted_tx_bytes, predicted_rx_bytes, "
      "counted_tx_bytes, counted_rx_bytes FROM ledger WHERE attempt = ? ORDER BY position",
      [](Row row) {
        return LedgerRecord{.rank = row.integer(),
                            .collective = row.text(),
                            .algorithm = row.text(),
                            .phase = row.text(),
                            .calls = row.integer(),
                            .payload_bytes = row.integer(),
                            .predicted_tx_bytes = row.maybe_integer(),
                            .predicted_rx_bytes = row.maybe_integer(),
                            .counted_tx_bytes = row.maybe_integer(),
                            .counted_rx_bytes = row.maybe_integer()};
      },
      attempt);
}

std::vector<DeviceRecord> StoreReader::devices(std::int64_t attempt) const {
  auto devices = impl_->all<DeviceRecord>(
      "SELECT name, is_virtual, capacity_bytes, planned_bytes, peak_bytes, busy_compute, busy_communicate, busy_idle, "
      "energy_j FROM devices WHERE attempt = ? ORDER BY position",
      [](Row row) {
        return DeviceRecord{.name = row.text(),
                            .is_virtual = row.flag(),
                            .capacity_bytes = row.maybe_integer(),
                            .planned_bytes = row.maybe_integer(),
                            .peak_bytes = row.maybe_integer(),
                            .busy_compute = row.maybe_real(),
                            .busy_communicate = row.maybe_real(),
                            .busy_idle = row.maybe_real(),
                            .energy_j = row.maybe_real(),
                            .links = {}};
      },
      attempt);
  for (std::size_t device = 0; device < devices.size(); ++device)
    devices[device].links = impl_->all<LinkRecord>(
        "SELECT kind, predicted_tx_bytes, predicted_rx_bytes, counted_tx_bytes, counted_rx_bytes, link_tx_bytes, "
        "link_rx_bytes FROM links WHERE attempt = ? AND device = ? ORDER BY position",
        [](Row row) {
          return LinkRecord{.kind = row.text(),
                            .predicted_tx_bytes = row.maybe_integer(),
                            .predicted_rx_bytes = row.maybe_integer(),
                            .counted_tx_bytes = row.maybe_integer(),
                            .counted_rx_bytes = row.maybe_integer(),
                            .link_tx_bytes = row.maybe_integer(),
                            .link_rx_bytes = row.maybe_integer()};
        },
        attempt, static_cast<std::int64_t>(device));
  return devices;
}

std::vector<FrontierRecord> StoreReader::frontiers(std::optional<std::int64_t> study) const {
  std::vector<std::int64_t> ids;
  auto frontiers = impl_->all<FrontierRecord>(
      "SELECT id, study, strategy, spec_json, largest_ran, largest_plan, reason FROM frontiers "
      "WHERE ?1 IS NULL OR study = ?1 ORDER BY id",
      [&](Row row) {
        ids.push_back(row.integer());
        return FrontierRecord{.study = row.integer(),
                              .strategy = row.text(),
                              .spec_json = row.text(),
                              .tries = {},
                              .largest_ran = row.maybe_integer(),
                              .largest_plan = row.maybe_integer(),
                              .reason = row.text()};
      },
      study);
  for (std::size_t i = 0; i < frontiers.size(); ++i)
    frontiers[i].tries = impl_->all<FrontierRecord::Try>(
        "SELECT batch, status, reason FROM frontier_tries WHERE frontier = ? ORDER BY position",
        [](Row row) { return FrontierRecord::Try{.batch = row.integer(), .status = row.text(), .reason = row.text()}; },
        ids[i]);
  return frontiers;
}

std::vector<SamplerRecord> StoreReader::samplers(std::optional<std::int64_t> session) const {
  return impl_->all<SamplerRecord>(
      "SELECT session, source, period_ns, ticks, missed, dropped, period_error_p50_ns, period_error_p99_ns, "
      "period_error_max_ns, call_p50_ns, call_p99_ns, call_max_ns, cpu_share FROM samplers "
      "WHERE ?1 IS NULL OR session = ?1 ORDER BY session, source",
      [](Row row) {
        return SamplerRecord{.session = row.integer(),
                             .source = row.text(),
                             .period = row.time(),
                             .ticks = row.integer(),
                             .missed = row.integer(),
                             .dropped = row.integer(),
                             .period_error_p50 = row.maybe_time(),
                             .period_error_p99 = row.maybe_time(),
                             .period_error_max = row.maybe_time(),
                             .call_p50 = row.maybe_time(),
                             .call_p99 = row.maybe_time(),
                             .call_max = row.maybe_time(),
                             .cpu_share = row.maybe_real()};
      },
      session);
}

std::vector<SeriesRecord> StoreReader::series(std::optional<std::int64_t> session) const {
  return impl_->all<SeriesRecord>(
      "SELECT id, session, name, unit, kind, device, source, is_virtual, is_integer, modulus, refresh_ns, help "
      "FROM series WHERE ?1 IS NULL OR session = ?1 ORDER BY id",
      [](Row row) {
        return SeriesRecord{.id = row.integer(),
                            .session = row.integer(),
                            .name = row.text(),
                            .unit = row.text(),
                            .kind = row.text(),
                            .device = row.text(),
                            .source = row.text(),
                            .is_virtual = row.flag(),
                            .is_integer = row.flag(),
                            .modulus = row.maybe_integer(),
                            .refresh = row.maybe_time(),
                            .help = row.text()};
      },
      session);
}

std::vector<GapRecord> StoreReader::gaps(std::int64_t series) const {
  return impl_->all<GapRecord>(
      "SELECT series, begin_ns, end_ns, ticks, reason FROM gaps WHERE series = ? ORDER BY begin_ns",
      [](Row row) {
        return GapRecord{.series = row.integer(),
                         .begin = row.time(),
                         .end = row.time(),
                         .ticks = row.integer(),
                         .reason = row.text()};
      },
      series);
}

SampleSeries StoreReader::samples(const SeriesRecord& series, std::optional<Nanoseconds> from,
                                  std::optional<Nanoseconds> to) const {
  constexpr std::int64_t most = 1 << 26;  // values at a time: 1.6 GB in memory
  const auto earliest = from.value_or(Nanoseconds::min()), latest = to.value_or(Nanoseconds::max());
  SampleSeries out;
  std::int64_t total = 0;
  const auto take = [&](SQLite::Statement& row) {
    const auto text = [&](int at) {
      const auto column = row.getColumn(at);
      return std::string_view(static_cast<const char*>(column.getBlob()), static_cast<std::size_t>(column.getBytes()));
    };
    const DecodedTicks ticks = decode_ticks(text(0));
    const DecodedColumn values = decode_column(text(1));
    if (values.present.size() != ticks.before.size() || values.integers.empty() == series.is_integer)
      throw InputError("damaged samples: a chunk does not fit its ticks or its series");
    // Whoever asks for a series decides by what its chunks say how much of it may be read at once.
    if (std::count(values.present.begin(), values.present.end(), 1) != row.getColumn(2).getInt64())
      throw InputError("damaged samples: a chunk holds another number of values than it says");
    total += static_cast<std::int64_t>(ticks.before.size());
    if (total > most) throw InputError("series {} is too long to read at once; ask for a shorter time", series.name);
    for (std::size_t i = 0; i < ticks.before.size(); ++i) {
      if (values.present[i] == 0 || ticks.before[i] < earliest || ticks.before[i] > latest) continue;
      out.before.push_back(ticks.before[i]);
      out.after.push_back(ticks.after[i]);
      if (series.is_integer)
        out.integers.push_back(values.integers[i]);
      else
        out.reals.push_back(values.reals[i]);
    }
  };
  try {
    store::guarded(impl_->path, Doing::reading, [&] {
      SQLite::Statement query(
          impl_->database,
          "SELECT ticks.data, chunk_data.data, chunks.count FROM chunks JOIN ticks ON ticks.id = chunks.ticks "
          "JOIN chunk_data ON chunk_data.chunk = chunks.id WHERE " +
              std::string(chunks_within) + " ORDER BY chunks.begin_ns, chunks.id");
      query.bind(1, series.id);
      query.bind(2, static_cast<std::int64_t>(earliest.count()));
      query.bind(3, static_cast<std::int64_t>(latest.count()));
      while (query.executeStep()) take(query);
      return 0;
    });
  } catch (const InputError& error) {
    throw InputError("{}: {}", impl_->path.string(), error.what());
  }
  return out;
}

SeriesSummary StoreReader::summary(std::int64_t series) const {
  SeriesSummary out;
  impl_->each(
      "SELECT begin_ns, end_ns, count, absent, sum, min, max, first, last FROM chunks WHERE series = ? "
      "ORDER BY begin_ns, id",
      [&](Row row) {
        const Nanoseconds begin = row.time(), end = row.time();
        if (!out.begin) out.begin = begin;
        out.end = end;
        out.count = static_cast<std::int64_t>(static_cast<std::uint64_t>(out.count) +
                                              static_cast<std::uint64_t>(row.integer()));
        out.absent = static_cast<std::int64_t>(static_cast<std::uint64_t>(out.absent) +
                                               static_cast<std::uint64_t>(row.integer()));
        const auto sum = row.maybe_real(), min = row.maybe_real(), max = row.maybe_real();
        const auto first = row.maybe_real(), last = row.maybe_real();
        if (sum) out.sum = out.sum.value_or(0) + *sum;
        if (min) out.min = std::min(out.min.value_or(*min), *min);
        if (max) out.max = std::max(out.max.value_or(*max), *max);
        if (!out.first) out.first = first;
        if (last) out.last = last;
      },
      series);
  return out;
}

std::vector<SeriesBucket> StoreReader::chunks(std::int64_t series, std::optional<Nanoseconds> from,
                                              std::optional<Nanoseconds> to) const {
  return impl_->all<SeriesBucket>(
      "SELECT begin_ns, end_ns, count, sum, min, max, first, last FROM chunks WHERE " + std::string(chunks_within) +
          " ORDER BY begin_ns, id",
      [](Row row) {
        return SeriesBucket{.begin = row.time(),
                            .end = row.time(),
                            .count = row.integer(),
                            .sum = row.maybe_real(),
                            .min = row.maybe_real(),
                            .max = row.maybe_real(),
                            .first = row.maybe_real(),
                            .last = row.maybe_real()};
      },
      series, from.value_or(Nanoseconds::min()), to.value_or(Nanoseconds::max()));
}

std::string StoreReader::check_integrity() const {
  std::string answer;
  impl_->each("PRAGMA integrity_check(1)", [&](Row row) { answer = row.text(); });
  return answer;
}

}  // namespace batchscope
