// The .bscope file: an SQLite database that one program writes and many read. docs/formats.md has the schema.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/phase.h"
#include "store/file_system.h"
#include "store/load_runs.h"
#include "store/records.h"

namespace batchscope {

// Reads committed data, also while another process writes. One object serves one thread at a time.
// Whatever is wrong with the file is an InputError of one line: not there, not a .bscope, of a newer version, damaged.
class StoreReader {
 public:
  explicit StoreReader(const std::filesystem::path& path);
  ~StoreReader();
  StoreReader(StoreReader&&) noexcept;

  const std::filesystem::path& path() const;
  int version() const;  // user_version of the file

  std::vector<SessionRecord> sessions() const;
  std::vector<StudyRecord> studies() const;
  std::vector<CellRecord> cells(std::optional<std::int64_t> study = {}) const;       // by position
  std::vector<AttemptRecord> attempts(std::optional<std::int64_t> cell = {}) const;  // by cell's position and number
  std::vector<ItemRecord> items(std::int64_t attempt) const;                         // in the order of the task
  std::vector<RequestRecord> requests(std::int64_t attempt) const;                   // in the order of the workload
  std::vector<Phase> phases(std::int64_t attempt) const;
  std::vector<Phase> session_phases(std::int64_t session) const;  // those of no attempt
  std::vector<LedgerRecord> ledger(std::int64_t attempt) const;
  std::vector<DeviceRecord> devices(std::int64_t attempt) const;
  std::vector<FrontierRecord> frontiers(std::optional<std::int64_t> study = {}) const;
  std::vector<SamplerRecord> samplers(std::optional<std::int64_t> session = {}) const;

  std::vector<SeriesRecord> series(std::optional<std::int64_t> session = {}) const;
  std::vector<GapRecord> gaps(std::int64_t series) const;
  // Readings whose `before` lies within [from, to]; everything when not given.
  SampleSeries samples(const SeriesRecord& series, std::optional<Nanoseconds> from = {},
                       std::optional<Nanoseconds> to = {}) const;
  SeriesSummary summary(std::int64_t series) const;
  // The chunks that reach into [from, to], from their own figures.
  std::vector<SeriesBucket> chunks(std::int64_t series, std::optional<Nanoseconds> from = {},
                                   std::optional<Nanoseconds> to = {}) const;
  // What lies within [from, to], thinned to at most `most` buckets: a value each where there are few values, shares of
  // the time where there are more, whole chunks where decoding all of them would take too long.
  std::vector<SeriesBucket> buckets(const SeriesRecord& series, std::size_t most, std::optional<Nanoseconds> from = {},
                                    std::optional<Nanoseconds> to = {}) const;

  // SQLite's own check of the whole file: "ok", or its first complaint. Reads every page.
  std::string check_integrity() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

enum class OpenMode {
  create,            // InputError if the file exists
  append,            // InputError if it does not
  create_or_append,  // what `study` wants: starts or resumes
  replace,           // removes an existing .bscope first; anything else that has the name is refused
};

// The .bscope file that a new one is to replace, out of its way: put back at the end, unless it was discarded.
// InputError for anything else that has the name, and for a file that somebody writes.
class OldStore {
 public:
  explicit OldStore(const std::filesystem::path& path, const FileSystemProbe& network = network_file_system);
  ~OldStore();
  OldStore(const OldStore&) = delete;
  OldStore& operator=(const OldStore&) = delete;
  void discard();

 private:
  std::filesystem::path path_, aside_;  // the latter is empty when there is nothing to put back
};

// Writes. Any thread may call; each call is one transaction: it is committed when the call returns, or not at all.
// Opening fails with InputError (as reading does; also: folder not writable, another writer is at it). Later calls fail
// with Failure: disk full, file taken away. What was committed before stays. A file of an older version is brought
// forward. On a network file system it is written with a rollback journal, after a warning.
class StoreWriter {
 public:
  StoreWriter(const std::filesystem::path& path, OpenMode mode, const FileSystemProbe& network = network_file_system);
  ~StoreWriter();  // ends the open sessions; leaves one file without side files where no reader is at it
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  const std::filesystem::path& path() const;
  // A reader of the same file, opened at each call; it sees what was committed. Close it before the writer.
  StoreReader reader() const;

  // Starts a session now; the store takes the clocks. Attempts that an earlier session left "running" become
  // "interrupted".
  std::int64_t begin_session(std::string_view verb);
  // Those that failed or timed out do so, too: their cells are to run again.
  void interrupt_failed_attempts();
  void set_environment(std::int64_t session, const std::map<std::string, std::string>& values);  // adds or replaces
  void end_session(std::int64_t session);

  // The study of that name; an existing one keeps its id, its spec must be the same text (InputError otherwise).
  std::int64_t add_study(std::string_view name, std::string_view spec_json);
  // Adds the cells whose keys the study lacks (id and study of the records are ignored); returns all ids in the order
  // given.
  std::vector<std::int64_t> add_cells(std::int64_t study, std::span<const CellRecord> cells);

  // A new try at a cell, from now on; its number is one more than the last.
  std::int64_t start_attempt(std::int64_t session, std::int64_t cell);
  // Ends it, with all that it gave, in one transaction: a kill leaves the whole of it or nothing.
  void finish_attempt(std::int64_t attempt, const AttemptResult& result, std::span<const ItemRecord> items,
                      std::span<const Phase> phases, std::span<const LedgerRecord> ledger,
                      std::span<const DeviceRecord> devices, std::span<const RequestRecord> requests = {});

  void add_phases(std::int64_t session, std::span<const Phase> phases);  // those of no attempt
  void set_frontier(const FrontierRecord& frontier);                     // replaces the strategy's earlier one

  std::int64_t add_load_run(const LoadRunRecord& run);  // of its session; returns its id, the record's own is ignored
  void add_load_requests(std::int64_t run, std::span<const LoadRequestRecord> requests);  // as they end

  std::int64_t add_series(const SeriesRecord& series);  // returns its id; the record's own is ignored
  std::vector<std::int64_t> add_series(std::span<const SeriesRecord> series);  // all in one transaction
  // Adds ticks after those already there. A gap with the series and begin of an earlier one replaces it: it grew.
  // Each sampler's figures replace the session's earlier ones of its source.
  void append_samples(std::span<const SampleBlock> blocks, std::span<const GapRecord> gaps,
                      std::span<const SamplerRecord> samplers = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace batchscope
