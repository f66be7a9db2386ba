// Opening a .bscope file with every check, SQLite's errors as ours, and short forms to bind and read columns.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/clock.h"

namespace batchscope::store {

// Opens for reading and checks that it is a .bscope of a version we know. InputError otherwise.
SQLite::Database open_for_reading(const std::filesystem::path& path);

// How what is not yet committed is kept: a log that readers see through (WAL), which needs memory that all programs
// share, so one machine; or a rollback journal, which works anywhere, while readers and the writer wait for each other.
enum class Journal { log, rollback };
// Opens for writing; makes the tables when the file is empty, and brings one of an older version forward. The caller
// holds the writer's lock. Where the log cannot be had `journal` becomes rollback.
SQLite::Database open_for_writing(const std::filesystem::path& path, Journal& journal);

// A new file, with tables, that is thrown away unless it is written to its end: nothing protects it from a kill. What
// the path held before is lost. The caller holds the writer's lock.
SQLite::Database open_scratch(const std::filesystem::path& path);

enum class Doing { opening, reading, writing };
// Throws SQLite's error as ours: one line with the file, what happened and what to do.
[[noreturn]] void rethrow(const SQLite::Exception& error, const std::filesystem::path& path, Doing doing);

template <class Work>
auto guarded(const std::filesystem::path& path, Doing doing, Work&& work) {
  try {
    return work();
  } catch (const SQLite::Exception& error) {
    rethrow(error, path, doing);
  }
}

inline void bind_one(SQLite::Statement& statement, int at, std::int64_t value) { statement.bind(at, value); }
inline void bind_one(SQLite::Statement& statement, int at, double value) { statement.bind(at, value); }
inline void bind_one(SQLite::Statement& statement, int at, Nanoseconds value) {
  statement.bind(at, static_cast<std::int64_t>(value.count()));
}
inline void bind_one(SQLite::Statement& statement, int at, std::string_view value) {
  statement.bind(at, std::string(value));
}
inline void bind_one(SQLite::Statement& statement, int at, bool value) { statement.bind(at, value ? 1 : 0); }
inline void bind_one(SQLite::Statement& statement, int at, const std::string& value) { statement.bind(at, value); }
inline void bind_one(SQLite::Statement& statement, int at, const char* value) { statement.bind(at, value); }
template <class Value>
void bind_one(SQLite::Statement& statement, int at, const std::optional<Value>& value) {
  if (value)
    bind_one(statement, at, *value);
  else
    statement.bind(at);
}

// Runs one statement with its parameters in order; it can be run again with others.
template <class... Values>
void run(SQLite::Statement& statement, const Values&... values) {
  statement.reset();
  int at = 0;
  (bind_one(statement, ++at, values), ...);
  statement.exec();
}

// Columns of a row, from left to right.
class Row {
 public:
  explicit Row(SQLite::Statement& statement) : statement_(statement) {}
  std::int64_t integer() { return next().getInt64(); }
  double real() { return next().getDouble(); }
  bool flag() { return next().getInt64() != 0; }
  std::string text() { return next().getString(); }
  Nanoseconds time() { return Nanoseconds(next().getInt64()); }
  std::optional<std::int64_t> maybe_integer() {
    return maybe([](auto c) { return c.getInt64(); });
  }
  std::optional<double> maybe_real() {
    return maybe([](auto c) { return c.getDouble(); });
  }
  std::optional<bool> maybe_flag() {
    return maybe([](auto c) { return c.getInt64() != 0; });
  }
  std::optional<Nanoseconds> maybe_time() {
    return maybe([](auto c) { return Nanoseconds(c.getInt64()); });
  }

 private:
  SQLite::Column next() { return statement_.getColumn(at_++); }
  template <class Get>
  auto maybe(Get get) -> std::optional<std::decay_t<decltype(get(std::declval<SQLite::Column>()))>> {
    const auto column = next();
    if (column.isNull()) return std::nullopt;
    return get(column);
  }

  SQLite::Statement& statement_;
  int at_ = 0;
};

}  // namespace batchscope::store
