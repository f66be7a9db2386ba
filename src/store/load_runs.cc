// The tables load_runs and load_requests (store/load_runs.h).
#include "store/load_runs.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "store/database.h"
#include "store/schema.h"
#include "store/writer_lock.h"

namespace batchscope {

using store::Doing;
using store::Row;

namespace {

// Of damaged files, too.
Nanoseconds wrapped_sum(Nanoseconds a, Nanoseconds b) {
  return Nanoseconds(
      static_cast<std::int64_t>(static_cast<std::uint64_t>(a.count()) + static_cast<std::uint64_t>(b.count())));
}

}  // namespace

struct LoadRunReader::Impl {
  std::filesystem::path path;
  mutable SQLite::Database database;
  bool has_runs = false;

  explicit Impl(const std::filesystem::path& file) : path(file), database(store::open_for_reading(file)) {
    each("PRAGMA user_version", {}, [&](Row row) { has_runs = row.integer() >= first_version_with_load_runs; });
  }

  // Calls take(row) for each row that the query gives with this parameter.
  template <class Take>
  void each(const char* sql, std::optional<std::int64_t> parameter, const Take& take) const {
    store::guarded(path, Doing::reading, [&] {
      SQLite::Statement query(database, sql);
      if (parameter) query.bind(1, *parameter);
      while (query.executeStep()) take(Row(query));
      return 0;
    });
  }
};

LoadRunReader::LoadRunReader(const std::filesystem::path& path) : impl_(std::make_unique<Impl>(path)) {}
LoadRunReader::~LoadRunReader() = default;

std::vector<LoadRunRecord> LoadRunReader::runs() const {
  std::vector<LoadRunRecord> runs;
  if (!impl_->has_runs) return runs;
  impl_->each(
      "SELECT r.id, r.session, r.spec_json, r.begin_ns, s.monotonic_zero_unix_ns FROM load_runs AS r "
      "LEFT JOIN sessions AS s ON s.id = r.session ORDER BY r.id",
      {}, [&](Row row) {
        runs.push_back({.id = row.integer(), .session = row.integer(), .spec_json = row.text(), .begin = row.time()});
        runs.back().begin_unix = wrapped_sum(runs.back().begin, row.time());
      });
  return runs;
}

std::vector<LoadRequestRecord> LoadRunReader::requests(std::int64_t run) const {
  std::vector<LoadRequestRecord> requests;
  if (!impl_->has_runs) return requests;
  const auto chunks_of = [this](const std::string& steps_json, const std::string& tokens_json) {
    const auto steps = nlohmann::json::parse(steps_json, nullptr, false);
    const auto tokens = nlohmann::json::parse(tokens_json, nullptr, false);
    const bool are_whole = steps.is_array() && std::all_of(steps.begin(), steps.end(),
                                                           [](const auto& step) { return step.is_number_integer(); });
    if (!are_whole || !tokens.is_array() || tokens.size() != steps.size())
      throw InputError("{} is damaged: the chunks of a request are not lists of numbers; use a copy",
                       impl_->path.string());
    std::vector<ChunkRecord> chunks;
    Nanoseconds at{0};
    for (std::size_t i = 0; i < steps.size(); ++i) {
      at = wrapped_sum(at, Nanoseconds(steps[i].get<std::int64_t>()));
      chunks.push_back({.at = at});
      if (tokens[i].is_number_integer()) chunks.back().tokens = tokens[i].get<std::int64_t>();
    }
    return chunks;
  };
  impl_->each(
      "SELECT position, id_json, outcome, detail, status, retries, session, intended_ns, due_ns, started_ns, sent_ns, "
      "first_byte_ns, end_ns, asked_prompt_tokens, asked_output_tokens, prompt_tokens, output_tokens, finish_reason, "
      "chunk_ns_json, chunk_tokens_json FROM load_requests WHERE run = ? ORDER BY position",
      run, [&](Row row) {
        LoadRequestRecord request{.position = row.integer(),
                                  .id_json = row.text(),
                                  .outcome = row.text(),
                                  .detail = row.text(),
                                  .status = row.maybe_integer(),
                                  .retries = row.integer(),
                                  .session = row.maybe_integer(),
                                  .intended = row.time(),
                                  .due = row.maybe_time(),
                                  .started = row.maybe_time(),
                                  .sent = row.maybe_time(),
                                  .first_byte = row.maybe_time(),
                                  .end = row.maybe_time(),
                                  .asked_prompt_tokens = row.maybe_integer(),
                                  .asked_output_tokens = row.integer(),
                                  .prompt_tokens = row.maybe_integer(),
                                  .output_tokens = row.maybe_integer(),
                                  .finish_reason = row.text()};
        const std::string steps = row.text();
        request.chunks = chunks_of(steps, row.text());
        requests.push_back(std::move(request));
      });
  return requests;
}

}  // namespace batchscope
