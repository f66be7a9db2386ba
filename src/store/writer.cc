// Writing a .bscope file (store/store.h): each call one transaction.
#include <spdlog/spdlog.h>
#include <sqlite3.h>
#include <unistd.h>

#include <mutex>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "base/check.h"
#include "base/error.h"
#include "store/database.h"
#include "store/sample_writer.h"
#include "store/store.h"
#include "store/writer_lock.h"

namespace batchscope {

using store::bind_one;
using store::Doing;
using store::run;

namespace {

double unix_seconds() { return to_seconds(unix_time()); }

store::WriterLock::Place place_of(const std::optional<std::string>& network) {
  return network ? store::WriterLock::Place::beside : store::WriterLock::Place::on_file;
}

constexpr const char* parts_of_store[] = {"-wal", "-shm", "-journal", ""};  // the file itself last

// Before the lock is taken: what must not be replaced is refused. False when there is nothing.
bool may_be_replaced(const std::filesystem::path& path, store::WriterLock::Place place) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return false;
  if (std::filesystem::file_size(path, error) != 0) {
    { const StoreReader old(path); }
    const store::WriterLock lock(path, false, false, place);
  }
  return true;
}

}  // namespace

OldStore::OldStore(const std::filesystem::path& path, const FileSystemProbe& network) : path_(path) {
  if (!may_be_replaced(path, place_of(network(path)))) return;
  aside_ = fmt::format("{}.old-{}", path.string(), getpid());
  for (const char* part : parts_of_store) {
    std::error_code error;
    std::filesystem::rename(path.string() + part, aside_.string() + part, error);
    if (error && *part == '\0') throw InputError("cannot replace {}: {}", path.string(), error.message());
  }
}

OldStore::~OldStore() {
  if (aside_.empty()) return;
  for (const char* part : parts_of_store) {
    std::error_code error;
    std::filesystem::remove(path_.string() + part, error);
    std::filesystem::rename(aside_.string() + part, path_.string() + part, error);
  }
}

void OldStore::discard() {
  if (aside_.empty()) return;
  std::error_code error;
  for (const char* part : parts_of_store) std::filesystem::remove(aside_.string() + part, error);
  aside_.clear();
}

struct StoreWriter::Impl {
  std::filesystem::path path;
  std::optional<std::string> network;  // the file system's name
  store::WriterLock lock;
  SQLite::Database database;
  store::SampleWriter samples;
  std::set<std::int64_t> open_sessions;
  std::mutex mutex;

  Impl(const std::filesystem::path& file, OpenMode mode, std::optional<std::string> network_name)
      : path(file),
        network(std::move(network_name)),
        lock(file, mode != OpenMode::append, mode == OpenMode::create || mode == OpenMode::replace, place_of(network)),
        database(open()),
        samples(database) {}

  SQLite::Database open() {
    auto journal = network ? store::Journal::rollback : store::Journal::log;
    try {
      auto opened = store::open_for_writing(path, journal);
      if (journal == store::Journal::rollback)
        spdlog::warn("{}: {}, where a log cannot be relied on; it is written more slowly, and readers may have to wait",
                     path.string(), network ? "on a network file system (" + *network + ")" : "without shared memory");
      return opened;
    } catch (...) {
      if (lock.made()) unlink(path.c_str());  // nothing half-written stays behind
      throw;
    }
  }

  // Work within one transaction, of one thread at a time. Samples in memory follow what the file holds.
  template <class Work>
  auto transaction(Work&& work) {
    const std::lock_guard guard(mutex);
    try {
      return store::guarded(path, Doing::writing, [&] {
        SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
        auto result = work();
        transaction.commit();
        samples.committed();
        return result;
      });
    } catch (...) {
      samples.rolled_back();
      throw;
    }
  }

  template <class... Values>
  std::int64_t insert(const char* sql, const Values&... values) {
    SQLite::Statement statement(database, sql);
    run(statement, values...);
    return database.getLastInsertRowid();
  }

  template <class... Values>
  std::optional<std::int64_t> find(const char* sql, const Values&... values) {
    SQLite::Statement statement(database, sql);
    int at = 0;
    (bind_one(statement, ++at, values), ...);
    if (!statement.executeStep() || statement.getColumn(0).isNull()) return std::nullopt;
    return statement.getColumn(0).getInt64();
  }

  void insert_items(std::int64_t attempt, std::span<const ItemRecord> items);
  void insert_requests(std::int64_t attempt, std::span<const RequestRecord> requests);
  void insert_phases(std::int64_t session, std::optional<std::int64_t> attempt, std::span<const Phase> phases);
  void insert_ledger(std::int64_t attempt, std::span<const LedgerRecord> ledger);
  void insert_devices(std::int64_t attempt, std::span<const DeviceRecord> devices);
  void close();
};

StoreWriter::StoreWriter(const std::filesystem::path& path, OpenMode mode, const FileSystemProbe& network) {
  const auto name = network(path);
  if (mode == OpenMode::replace) OldStore(path, network).discard();
  impl_ = std::make_unique<Impl>(path, mode, name);
}

StoreWriter::~StoreWriter() {
  try {
    impl_->close();
  } catch (const std::exception&) {
    // A destructor cannot report; what was committed is in the file, in WAL form.
  }
}

void StoreWriter::Impl::close() {
  for (const std::int64_t session : std::set(open_sessions))
    transaction([&] { return insert("UPDATE sessions SET ended_unix_s = ? WHERE id = ?", unix_seconds(), session); });
  transaction([&] {
    samples.seal_all();
    return true;
  });
  // One plain file, readable in read-only folders too. Refused while somebody reads: then the log stays beside it.
  sqlite3_busy_timeout(database.getHandle(), 0);
  database.tryExec("PRAGMA journal_mode = DELETE");
}

const std::filesystem::path& StoreWriter::path() const { return impl_->path; }
StoreReader StoreWriter::reader() const { return StoreReader(impl_->path); }

std::int64_t StoreWriter::begin_session(std::string_view verb) {
  return impl_->transaction([&] {
    impl_->insert(
        "UPDATE attempts SET status = 'interrupted', reason = 'the program ended before the cell did' "
        "WHERE status = 'running'");
    const auto session =
        impl_->insert("INSERT INTO sessions (verb, started_unix_s, monotonic_zero_unix_ns) VALUES (?, ?, ?)", verb,
                      unix_seconds(), unix_time() - monotonic_clock().now());
    impl_->open_sessions.insert(session);
    return session;
  });
}

void StoreWriter::interrupt_failed_attempts() {
  impl_->transaction([&] {
    return impl_->insert("UPDATE attempts SET status = 'interrupted' WHERE status IN ('failed', 'timed_out')");
  });
}

void StoreWriter::set_environment(std::int64_t session, const std::map<std::string, std::string>& values) {
  impl_->transaction([&] {
    SQLite::Statement add(impl_->database, "INSERT OR REPLACE INTO environment (session, key, value) VALUES (?, ?, ?)");
    for (const auto& [key, value] : values) run(add, session, key, value);
    return true;
  });
}

void StoreWriter::end_session(std::int64_t session) {
  impl_->transaction([&] {
    impl_->samples.seal_all();
    impl_->insert("UPDATE sessions SET ended_unix_s = ? WHERE id = ?", unix_seconds(), session);
    return impl_->open_sessions.erase(session);
  });
}

std::int64_t StoreWriter::add_study(std::string_view name, std::string_view spec_json) {
  return impl_->transaction([&] {
    const auto existing = impl_->find("SELECT id FROM studies WHERE name = ?", name);
    if (!existing) return impl_->insert("INSERT INTO studies (name, spec_json) VALUES (?, ?)", name, spec_json);
    if (!impl_->find("SELECT id FROM studies WHERE id = ? AND spec_json = ?", *existing, spec_json))
      throw InputError("{} holds a study '{}' with other settings; name another file, or give the study another name",
                       impl_->path.string(), name);
    return *existing;
  });
}

std::vector<std::int64_t> StoreWriter::add_cells(std::int64_t study, std::span<const CellRecord> cells) {
  return impl_->transaction([&] {
    std::vector<std::int64_t> ids;
    for (const CellRecord& cell : cells) {
      const auto existing = impl_->find("SELECT id FROM cells WHERE study = ? AND key = ?", study, cell.key);
      ids.push_back(
          existing
              ? *existing
              : impl_->insert("INSERT INTO cells (study, key, spec_json, position, run_order) VALUES (?, ?, ?, ?, ?)",
                              study, cell.key, cell.spec_json, cell.position, cell.run_order));
    }
    return ids;
  });
}

std::int64_t StoreWriter::start_attempt(std::int64_t session, std::int64_t cell) {
  return impl_->transaction([&] {
    const std::int64_t last = impl_->find("SELECT max(number) FROM attempts WHERE cell = ?", cell).value_or(0);
    return impl_->insert(
        "INSERT INTO attempts (cell, session, number, status, reason, started_unix_s, begin_ns, result_json) "
        "VALUES (?, ?, ?, 'running', '', ?, ?, '')",
        cell, session, last + 1, unix_seconds(), monotonic_clock().now());
  });
}

void StoreWriter::finish_attempt(std::int64_t attempt, const AttemptResult& result, std::span<const ItemRecord> items,
                                 std::span<const Phase> phases, std::span<const LedgerRecord> ledger,
                                 std::span<const DeviceRecord> devices, std::span<const RequestRecord> requests) {
  impl_->transaction([&] {
    const auto session = impl_->find("SELECT session FROM attempts WHERE id = ? AND status = 'running'", attempt);
    CHECK_THAT(session.has_value(), "attempt {} is running when it is finished", attempt);
    impl_->insert(
        "UPDATE attempts SET status = ?, valid = ?, reason = ?, ended_unix_s = ?, end_ns = ?, seconds = ?, "
        "load_seconds = ?, result_json = ? WHERE id = ?",
        result.status, result.valid, result.reason, unix_seconds(), monotonic_clock().now(), result.seconds,
        result.load_seconds, result.result_json, attempt);
    impl_->insert_items(attempt, items);
    impl_->insert_requests(attempt, requests);
    impl_->insert_phases(*session, attempt, phases);
    impl_->insert_ledger(attempt, ledger);
    impl_->insert_devices(attempt, devices);
    return true;
  });
}

void StoreWriter::Impl::insert_items(std::int64_t attempt, std::span<const ItemRecord> items) {
  SQLite::Statement add(database, "INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const ItemRecord& item : items)
    run(add, attempt, position++, item.id_json, item.gold, nlohmann::json(item.log_likelihoods).dump(),
        nlohmann::json(item.tokens).dump(), item.truncated, item.prediction, item.prediction_norm,
        item.prediction_bytes, item.prediction_tokens);
}

void StoreWriter::Impl::insert_requests(std::int64_t attempt, std::span<const RequestRecord> requests) {
  SQLite::Statement add(database, "INSERT INTO requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const RequestRecord& request : requests)
    run(add, attempt, position++, request.id_json, request.arrival_s, request.admitted_s, request.first_token_s,
        request.end_s, request.prompt_tokens, request.output_tokens, request.truncated);
}

void StoreWriter::Impl::insert_phases(std::int64_t session, std::optional<std::int64_t> attempt,
                                      std::span<const Phase> phases) {
  SQLite::Statement add(database,
                        "INSERT INTO phases (session, attempt, name, track, begin_ns, end_ns, clock, clock_offset_ns, "
                        "clock_error_ns, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  for (const Phase& phase : phases)
    run(add, session, attempt, phase.name, phase.track, phase.begin, phase.end, phase.clock, phase.clock_offset,
        phase.clock_error, phase.detail);
}

void StoreWriter::Impl::insert_ledger(std::int64_t attempt, std::span<const LedgerRecord> ledger) {
  SQLite::Statement add(database, "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const LedgerRecord& entry : ledger)
    run(add, attempt, position++, entry.rank, entry.collective, entry.algorithm, entry.phase, entry.calls,
        entry.payload_bytes, entry.predicted_tx_bytes, entry.predicted_rx_bytes, entry.counted_tx_bytes,
        entry.counted_rx_bytes);
}

void StoreWriter::Impl::insert_devices(std::int64_t attempt, std::span<const DeviceRecord> devices) {
  SQLite::Statement add(database, "INSERT INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  SQLite::Statement add_link(database, "INSERT INTO links VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  std::int64_t position = 0;
  for (const DeviceRecord& device : devices) {
    run(add, attempt, position, device.name, device.is_virtual, device.capacity_bytes, device.planned_bytes,
        device.peak_bytes, device.busy_compute, device.busy_communicate, device.busy_idle, device.energy_j);
    std::int64_t number = 0;
    for (const LinkRecord& link : device.links)
      run(add_link, attempt, position, number++, link.kind, link.predicted_tx_bytes, link.predicted_rx_bytes,
          link.counted_tx_bytes, link.counted_rx_bytes, link.link_tx_bytes, link.link_rx_bytes);
    ++position;
  }
}

void StoreWriter::add_phases(std::int64_t session, std::span<const Phase> phases) {
  impl_->transaction([&] {
    impl_->insert_phases(session, {}, phases);
    return true;
  });
}

std::int64_t StoreWriter::add_load_run(const LoadRunRecord& run) {
  return impl_->transaction([&] {
    return impl_->insert("INSERT INTO load_runs (session, spec_json, begin_ns) VALUES (?, ?, ?)", run.session,
                         run.spec_json, run.begin);
  });
}

void StoreWriter::add_load_requests(std::int64_t run_id, std::span<const LoadRequestRecord> requests) {
  impl_->transaction([&] {
    SQLite::Statement add(impl_->database,
                          "INSERT INTO load_requests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                          "?, ?)");
    for (const LoadRequestRecord& request : requests) {
      nlohmann::json steps = nlohmann::json::array(), tokens = nlohmann::json::array();
      Nanoseconds last{0};
      for (const ChunkRecord& chunk : request.chunks) {
        steps.push_back((chunk.at - std::exchange(last, chunk.at)).count());
        tokens.push_back(chunk.tokens ? nlohmann::json(*chunk.tokens) : nlohmann::json());
      }
      run(add, run_id, request.position, request.id_json, request.outcome, request.detail, request.status,
          request.retries, request.session, request.intended, request.due, request.started, request.sent,
          request.first_byte, request.end, request.asked_prompt_tokens, request.asked_output_tokens,
          request.prompt_tokens, request.output_tokens, request.finish_reason, steps.dump(), tokens.dump());
    }
    return true;
  });
}

void StoreWriter::set_frontier(const FrontierRecord& frontier) {
  impl_->transaction([&] {
    impl_->insert(
        "DELETE FROM frontier_tries WHERE frontier IN (SELECT id FROM frontiers WHERE study = ? AND strategy = ?)",
        frontier.study, frontier.strategy);
    impl_->insert("DELETE FROM frontiers WHERE study = ? AND strategy = ?", frontier.study, frontier.strategy);
    const auto id = impl_->insert(
        "INSERT INTO frontiers (study, strategy, spec_json, largest_ran, largest_plan, reason) VALUES (?, ?, ?, ?, ?, "
        "?)",
        frontier.study, frontier.strategy, frontier.spec_json, frontier.largest_ran, frontier.largest_plan,
        frontier.reason);
    SQLite::Statement add(impl_->database, "INSERT INTO frontier_tries VALUES (?, ?, ?, ?, ?)");
    std::int64_t position = 0;
    for (const auto& tried : frontier.tries) run(add, id, position++, tried.batch, tried.status, tried.reason);
    return true;
  });
}

std::int64_t StoreWriter::add_series(const SeriesRecord& series) { return add_series(std::span(&series, 1)).front(); }

std::vector<std::int64_t> StoreWriter::add_series(std::span<const SeriesRecord> all) {
  return impl_->transaction([&] {
    std::vector<std::int64_t> ids;
    for (const SeriesRecord& series : all)
      ids.push_back(impl_->insert(
          "INSERT INTO series (session, name, unit, kind, device, source, is_virtual, is_integer, modulus, refresh_ns, "
          "help) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          series.session, series.name, series.unit, series.kind, series.device, series.source, series.is_virtual,
          series.is_integer, series.modulus, series.refresh, series.help));
    return ids;
  });
}

void StoreWriter::append_samples(std::span<const SampleBlock> blocks, std::span<const GapRecord> gaps,
                                 std::span<const SamplerRecord> samplers) {
  impl_->transaction([&] {
    for (const SampleBlock& block : blocks) impl_->samples.append(block);
    SQLite::Statement add_gap(impl_->database, "INSERT OR REPLACE INTO gaps VALUES (?, ?, ?, ?, ?)");
    for (const GapRecord& gap : gaps) run(add_gap, gap.series, gap.begin, gap.end, gap.ticks, gap.reason);
    SQLite::Statement add_sampler(impl_->database,
                                  "INSERT OR REPLACE INTO samplers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const SamplerRecord& s : samplers)
      run(add_sampler, s.session, s.source, s.period, s.ticks, s.missed, s.dropped, s.period_error_p50,
          s.period_error_p99, s.period_error_max, s.call_p50, s.call_p99, s.call_max, s.cpu_share);
    return true;
  });
}

}  // namespace batchscope
