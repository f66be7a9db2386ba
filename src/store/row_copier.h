// Rows from one .bscope file to another, with new ids.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "store/database.h"

namespace batchscope::store {

using IdMap = std::unordered_map<std::int64_t, std::int64_t>;  // an id in the input, and in the output

// An input, as it was when it was opened; checked, so that every id in it names a row.
class MergeInput {
 public:
  explicit MergeInput(const std::filesystem::path& path);
  const std::filesystem::path& path() const { return path_; }
  std::int64_t version();  // user_version

  // Calls take(statement) at each row that the query gives; the query's errors are this file's.
  template <class Take>
  void each(const std::string& sql, Take&& take) {
    guarded(path_, Doing::reading, [&] {
      SQLite::Statement query(database_, sql);
      while (query.executeStep()) take(query);
      return 0;
    });
  }

  // The id's successor; InputError when it has none, which an input that was checked cannot have.
  std::int64_t successor(const IdMap& ids, std::int64_t id) const;

  // New ids of what is taken over from this file.
  IdMap sessions, studies, cells, attempts, load_runs, series, ticks, chunks;

 private:
  std::filesystem::path path_;
  SQLite::Database database_;
};

// A column that is not copied as it is.
struct ChangedColumn {
  const char* name;
  const IdMap* ids = nullptr;        // a row whose id is not among them is left out; NULL stays NULL
  const char* expression = nullptr;  // what is read of the input, where it is not the column itself
};

// Where rows go, within its transaction.
class MergeOutput {
 public:
  MergeOutput(SQLite::Database& database, std::filesystem::path path, const std::atomic<bool>& stop)
      : database_(database), path_(std::move(path)), stop_(stop) {}

  // Runs an INSERT and returns the new row's id; Interrupted when the user asked to stop. Its errors are the output's,
  // but for a row that no table of ours can hold: then the input is damaged.
  std::int64_t insert(SQLite::Statement& statement, const MergeInput& from);
  template <class... Values>
  std::int64_t insert(const MergeInput& from, const char* sql, const Values&... values) {
    SQLite::Statement statement(database_, sql);
    int at = 0;
    (bind_one(statement, ++at, values), ...);
    return insert(statement, from);
  }
  // Copies the table's rows: columns that change, and the names of those that do not. Of a table with an `id`: `made`
  // learns the new ids, and rows that are not among `wanted` are left out.
  void copy(MergeInput& from, const std::string& table, const std::vector<ChangedColumn>& changed,
            const std::string& unchanged, IdMap* made = nullptr, const IdMap* wanted = nullptr);

 private:
  SQLite::Database& database_;
  std::filesystem::path path_;
  const std::atomic<bool>& stop_;
};

}  // namespace batchscope::store
