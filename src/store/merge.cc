// Merging .bscope files (store/merge.h): which sessions there are, whose cells are the same, and then table by table.
#include "store/merge.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "store/file_system.h"
#include "store/row_copier.h"
#include "store/schema.h"
#include "store/writer_lock.h"

namespace batchscope {
namespace {

using store::MergeInput;
using store::MergeOutput;

// A session as one of the inputs has it.
struct Session {
  MergeInput* input = nullptr;
  std::int64_t id = 0;
  std::string verb;
  double started_unix_s = 0;
  std::optional<double> ended_unix_s;
  std::int64_t monotonic_zero_unix_ns = 0;
  std::int64_t finished_attempts = 0, interrupted_attempts = 0;
  std::optional<std::int64_t> last_sample_ns;

  // No two sessions begin in the same nanosecond of two hosts' clocks.
  auto identity() const { return std::tie(started_unix_s, monotonic_zero_unix_ns, verb); }
  // Of a file and a copy that was made while it grew, the one that grew further.
  auto progress() const {
    return std::make_tuple(ended_unix_s.has_value(), finished_attempts, interrupted_attempts, last_sample_ns);
  }
};

class Merger {
 public:
  Merger(std::deque<MergeInput>& inputs, MergeOutput output) : inputs_(inputs), output_(std::move(output)) {}
  MergeSummary merge();

 private:
  void merge_sessions();
  void merge_studies(MergeInput& input);
  void merge_cells(MergeInput& input);
  void merge_frontiers(MergeInput& input);
  void write_frontiers();
  void merge_attempts();
  void merge_details(MergeInput& input);
  void merge_samples(MergeInput& input);

  struct Study {
    std::string name, spec_json;
    std::int64_t id = 0;
  };
  struct Frontier {
    MergeInput* input = nullptr;  // the first that has it
    std::string spec_json, reason;
    std::optional<std::int64_t> largest_ran, largest_plan;
    std::vector<std::tuple<std::int64_t, std::string, std::string>> tries;  // batch, status, reason
  };

  std::deque<MergeInput>& inputs_;
  MergeOutput output_;
  MergeSummary summary_;
  std::vector<Study> studies_;
  std::map<std::pair<std::int64_t, std::string>, std::int64_t> cells_;  // study, key
  std::map<std::pair<std::int64_t, std::string>, Frontier> frontiers_;  // study, strategy
};

std::vector<Session> sessions_of(MergeInput& input) {
  std::vector<Session> sessions;
  input.each(
      "SELECT id, verb, started_unix_s, ended_unix_s, monotonic_zero_unix_ns, "
      "(SELECT count(*) FROM attempts WHERE session = sessions.id AND status NOT IN ('running', 'interrupted')), "
      "(SELECT count(*) FROM attempts WHERE session = sessions.id AND status = 'interrupted'), "
      "(SELECT max(end_ns) FROM chunks JOIN series ON series.id = series WHERE series.session = sessions.id) "
      "FROM sessions ORDER BY id",
      [&](SQLite::Statement& query) {
        store::Row row(query);
        sessions.push_back({.input = &input,
                            .id = row.integer(),
                            .verb = row.text(),
                            .started_unix_s = row.real(),
                            .ended_unix_s = row.maybe_real(),
                            .monotonic_zero_unix_ns = row.integer(),
                            .finished_attempts = row.integer(),
                            .interrupted_attempts = row.integer(),
                            .last_sample_ns = row.maybe_integer()});
      });
  return sessions;
}

// In order of time; of one that is there twice only the copy that grew further is taken over.
void Merger::merge_sessions() {
  std::vector<Session> sessions;
  for (MergeInput& input : inputs_) {
    const std::vector<Session> more = sessions_of(input);
    sessions.insert(sessions.end(), more.begin(), more.end());
  }
  std::stable_sort(sessions.begin(), sessions.end(), [](const Session& a, const Session& b) {
    return a.identity() != b.identity() ? a.identity() < b.identity() : a.progress() > b.progress();
  });
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    const Session& session = sessions[i];
    if (i > 0 && session.identity() == sessions[i - 1].identity()) {
      ++summary_.repeated_sessions;
      continue;
    }
    session.input->sessions[session.id] =
        output_.insert(*session.input,
                       "INSERT INTO sessions (verb, started_unix_s, ended_unix_s, monotonic_zero_unix_ns) "
                       "VALUES (?, ?, ?, ?)",
                       session.verb, session.started_unix_s, session.ended_unix_s, session.monotonic_zero_unix_ns);
    ++summary_.sessions;
  }
  for (MergeInput& input : inputs_) {
    output_.copy(input, "environment", {{"session", &input.sessions}}, "key, value");
    for (const auto& [old_id, id] : input.sessions)
      output_.insert(input, "INSERT OR IGNORE INTO environment VALUES (?, 'merged_from', ?)", id,
                     input.path().filename().string());
  }
}

// Studies are the same when their settings are, to the letter; the name is part of them. Of studies that have a name in
// common and nothing else the later ones get a number.
void Merger::merge_studies(MergeInput& input) {
  input.each("SELECT id, name, spec_json FROM studies ORDER BY id", [&](SQLite::Statement& query) {
    store::Row row(query);
    const std::int64_t old_id = row.integer();
    Study study{.name = row.text(), .spec_json = row.text()};
    const auto same = std::find_if(studies_.begin(), studies_.end(),
                                   [&](const Study& known) { return known.spec_json == study.spec_json; });
    if (same != studies_.end()) {
      input.studies[old_id] = same->id;
      return;
    }
    const auto taken = [&](const std::string& name) {
      return std::any_of(studies_.begin(), studies_.end(), [&](const Study& known) { return known.name == name; });
    };
    const std::string given = study.name;
    for (int number = 2; taken(study.name); ++number) study.name = fmt::format("{} ({})", given, number);
    if (study.name != given)
      summary_.notes.push_back(fmt::format("{}: its study '{}' has other settings than the one before; it is now '{}'",
                                           input.path().string(), given, study.name));
    study.id =
        output_.insert(input, "INSERT INTO studies (name, spec_json) VALUES (?, ?)", study.name, study.spec_json);
    input.studies[old_id] = study.id;
    studies_.push_back(std::move(study));
  });
}

void Merger::merge_cells(MergeInput& input) {
  input.each("SELECT id, study, key, spec_json, position, run_order FROM cells ORDER BY id",
             [&](SQLite::Statement& query) {
               store::Row row(query);
               const std::int64_t old_id = row.integer(), study = input.successor(input.studies, row.integer());
               const std::string key = row.text(), spec_json = row.text();
               const auto [known, is_new] = cells_.try_emplace({study, key});
               const std::int64_t position = row.integer(), run_order = row.integer();
               if (is_new)
                 known->second = output_.insert(
                     input, "INSERT INTO cells (study, key, spec_json, position, run_order) VALUES (?, ?, ?, ?, ?)",
                     study, key, spec_json, position, run_order);
               input.cells[old_id] = known->second;
             });
}

// One search for the largest batch of all files': every try once, the largest batch that ran anywhere.
void Merger::merge_frontiers(MergeInput& input) {
  std::map<std::int64_t, Frontier*> of_id;
  input.each("SELECT id, study, strategy, spec_json, largest_ran, largest_plan, reason FROM frontiers ORDER BY id",
             [&](SQLite::Statement& query) {
               store::Row row(query);
               const std::int64_t id = row.integer(), study = input.successor(input.studies, row.integer());
               Frontier& frontier = frontiers_[{study, row.text()}];
               of_id[id] = &frontier;
               const std::string spec_json = row.text();
               if (frontier.input == nullptr) {
                 frontier.input = &input;
                 frontier.spec_json = spec_json;
               }
               frontier.largest_ran = std::max(frontier.largest_ran, row.maybe_integer());
               frontier.largest_plan = std::max(frontier.largest_plan, row.maybe_integer());
               const std::string reason = row.text();
               if (frontier.reason.empty()) frontier.reason = reason;
             });
  input.each("SELECT frontier, batch, status, reason FROM frontier_tries ORDER BY frontier, position",
             [&](SQLite::Statement& query) {
               store::Row row(query);
               const auto found = of_id.find(row.integer());
               if (found == of_id.end()) return;  // of no search that is there
               auto& tries = found->second->tries;
               const std::int64_t batch = row.integer();
               const std::string status = row.text();
               const std::tuple tried(batch, status, row.text());
               if (std::find(tries.begin(), tries.end(), tried) == tries.end()) tries.push_back(tried);
             });
}

void Merger::write_frontiers() {
  for (const auto& [key, frontier] : frontiers_) {
    const bool known = frontier.largest_ran && frontier.largest_plan;
    const std::int64_t id = output_.insert(*frontier.input,
                                           "INSERT INTO frontiers (study, strategy, spec_json, largest_ran, "
                                           "largest_plan, reason) VALUES (?, ?, ?, ?, ?, ?)",
                                           key.first, key.second, frontier.spec_json, frontier.largest_ran,
                                           frontier.largest_plan, known ? std::string() : frontier.reason);
    std::int64_t position = 0;
    for (const auto& [batch, status, reason] : frontier.tries)
      output_.insert(*frontier.input, "INSERT INTO frontier_tries VALUES (?, ?, ?, ?, ?)", id, position++, batch,
                     status, reason);
  }
}

// All files' attempts at a cell, numbered in order of time. What was running goes on elsewhere, not in this file.
void Merger::merge_attempts() {
  struct Attempt {
    MergeInput* input;
    std::int64_t id, cell;
    double started_unix_s;
  };
  std::vector<Attempt> attempts;
  for (MergeInput& input : inputs_)
    input.each("SELECT id, cell, session, started_unix_s FROM attempts ORDER BY id", [&](SQLite::Statement& query) {
      store::Row row(query);
      const std::int64_t id = row.integer(), cell = input.successor(input.cells, row.integer());
      if (input.sessions.contains(row.integer())) attempts.push_back({&input, id, cell, row.real()});
    });
  std::stable_sort(attempts.begin(), attempts.end(),
                   [](const Attempt& a, const Attempt& b) { return a.started_unix_s < b.started_unix_s; });
  std::map<std::int64_t, std::int64_t> last;  // number at a cell
  std::map<const MergeInput*, store::IdMap> numbers;
  for (const Attempt& attempt : attempts) numbers[attempt.input][attempt.id] = ++last[attempt.cell];
  summary_.attempts = static_cast<std::int64_t>(attempts.size());
  for (MergeInput& input : inputs_)
    output_.copy(input, "attempts",
                 {{"cell", &input.cells},
                  {"session", &input.sessions},
                  {"number", &numbers[&input], "id"},
                  {"status", nullptr, "iif(status = 'running', 'interrupted', status)"},
                  {"reason", nullptr, "iif(status = 'running', 'the file was merged before the cell ended', reason)"}},
                 "valid, started_unix_s, ended_unix_s, begin_ns, end_ns, seconds, load_seconds, result_json",
                 &input.attempts);
}

void Merger::merge_details(MergeInput& input) {
  const store::ChangedColumn attempt{"attempt", &input.attempts}, session{"session", &input.sessions};
  output_.copy(input, "items", {attempt},
               "position, id_json, gold, ll_json, tokens_json, truncated, pred, pred_norm, pred_bytes, pred_tokens");
  if (input.version() >= first_version_with_requests)
    output_.copy(
        input, "requests", {attempt},
        "position, id_json, arrival_s, admitted_s, first_token_s, end_s, prompt_tokens, output_tokens, truncated");
  if (input.version() >= first_version_with_load_runs) {
    output_.copy(input, "load_runs", {session}, "spec_json, begin_ns", &input.load_runs);
    output_.copy(input, "load_requests", {{"run", &input.load_runs}},
                 "position, id_json, outcome, detail, status, retries, session, intended_ns, due_ns, started_ns, "
                 "sent_ns, first_byte_ns, end_ns, asked_prompt_tokens, asked_output_tokens, prompt_tokens, "
                 "output_tokens, finish_reason, chunk_ns_json, chunk_tokens_json");
  }
  output_.copy(input, "phases", {session, attempt},
               "name, track, begin_ns, end_ns, clock, clock_offset_ns, clock_error_ns, detail");
  output_.copy(input, "ledger", {attempt},
               "position, rank, collective, algorithm, phase, calls, payload_bytes, predicted_tx_bytes, "
               "predicted_rx_bytes, counted_tx_bytes, counted_rx_bytes");
  output_.copy(input, "devices", {attempt},
               "position, name, is_virtual, capacity_bytes, planned_bytes, peak_bytes, busy_compute, "
               "busy_communicate, busy_idle, energy_j");
  output_.copy(input, "links", {attempt},
               "device, position, kind, predicted_tx_bytes, predicted_rx_bytes, counted_tx_bytes, counted_rx_bytes, "
               "link_tx_bytes, link_rx_bytes");
}

// Chunks go over as they are, with the instants that they share.
void Merger::merge_samples(MergeInput& input) {
  const store::ChangedColumn session{"session", &input.sessions}, series{"series", &input.series};
  output_.copy(input, "series", {session},
               "name, unit, kind, device, source, is_virtual, is_integer, modulus, refresh_ns, help", &input.series);
  store::IdMap wanted;  // to themselves
  input.each("SELECT ticks, series FROM chunks", [&](SQLite::Statement& query) {
    store::Row row(query);
    const std::int64_t ticks = row.integer();
    if (input.series.contains(row.integer())) wanted[ticks] = ticks;
  });
  output_.copy(input, "ticks", {}, "begin_ns, end_ns, count, data", &input.ticks, &wanted);
  if (input.ticks.size() != wanted.size())
    throw InputError("{} is damaged: a chunk names ticks that are not there; use a copy", input.path().string());
  output_.copy(input, "chunks", {series, {"ticks", &input.ticks}},
               "begin_ns, end_ns, count, absent, sum, min, max, first, last", &input.chunks);
  output_.copy(input, "chunk_data", {{"chunk", &input.chunks}}, "data");
  output_.copy(input, "gaps", {series}, "begin_ns, end_ns, ticks, reason");
  output_.copy(input, "samplers", {session},
               "source, period_ns, ticks, missed, dropped, period_error_p50_ns, period_error_p99_ns, "
               "period_error_max_ns, call_p50_ns, call_p99_ns, call_max_ns, cpu_share");
  summary_.series += static_cast<std::int64_t>(input.series.size());
}

MergeSummary Merger::merge() {
  merge_sessions();
  for (MergeInput& input : inputs_) {
    merge_studies(input);
    merge_cells(input);
    merge_frontiers(input);
  }
  write_frontiers();
  merge_attempts();
  for (MergeInput& input : inputs_) {
    merge_details(input);
    merge_samples(input);
  }
  summary_.studies = static_cast<std::int64_t>(studies_.size());
  return std::move(summary_);
}

[[noreturn]] void cannot_write(const std::filesystem::path& path) {
  throw Failure("cannot write {}: {}; nothing was written", path.string(), std::strerror(errno));
}

void sync(const std::filesystem::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  errno = reason;
  if (!synced) cannot_write(path);
}

void refuse_existing(const std::filesystem::path& output) {
  std::error_code error;
  if (std::filesystem::exists(std::filesystem::symlink_status(output, error)))
    throw InputError("{} exists already; name another file", output.string());
}

// From PART to its name, which nobody must have taken meanwhile.
void publish(const std::filesystem::path& part, const std::filesystem::path& output) {
  sync(part);
  std::error_code error;
  for (const char* suffix : {"-wal", "-shm", "-journal"})  // of an earlier file of that name: they are not this one's
    std::filesystem::remove(output.string() + suffix, error);
  if (renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, output.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno != EINVAL && errno != ENOSYS) cannot_write(output);
    refuse_existing(output);  // the file system knows no such rename
    if (rename(part.c_str(), output.c_str()) != 0) cannot_write(output);
  }
  sync(std::filesystem::absolute(output).parent_path());
}

}  // namespace

MergeSummary merge_stores(std::span<const std::filesystem::path> inputs, const std::filesystem::path& output,
                          const std::atomic<bool>& stop) {
  refuse_existing(output);
  const std::filesystem::path part = output.string() + ".part";
  std::deque<MergeInput> opened;
  std::error_code none;
  for (const std::filesystem::path& input : inputs) {
    if (std::filesystem::equivalent(input, part, none))
      throw InputError("{}: this name is needed while {} is written; rename it", input.string(), output.string());
    opened.emplace_back(input);
  }
  const auto place = network_file_system(part) ? store::WriterLock::Place::beside : store::WriterLock::Place::on_file;
  const store::WriterLock lock(part, true, false, place);
  try {
    MergeSummary summary;
    store::guarded(output, store::Doing::writing, [&] {
      SQLite::Database database = store::open_scratch(part);
      SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
      summary = Merger(opened, MergeOutput(database, output, stop)).merge();
      transaction.commit();
      return 0;
    });
    publish(part, output);
    return summary;
  } catch (...) {
    unlink(part.c_str());
    throw;
  }
}

}  // namespace batchscope
