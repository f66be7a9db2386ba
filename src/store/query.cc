// Runs a user's SELECT on a file that it can neither change nor leave.
#include "store/query.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "store/database.h"
#include "store/schema.h"

namespace batchscope {
namespace {

// A file may hold JSON that its views read, which SQLite does not let a file's own views do when it does not trust the
// file. Ours are known: they are made again for this connection alone, where they hide the file's. They may read tables
// that a file of an older version lacks; these are then there, and empty.
void make_views(SQLite::Database& database) {
  const std::int64_t version = database.execAndGet("PRAGMA user_version").getInt64();
  for (const SchemaObject& object : schema_objects()) {
    const std::string type = object.type, sql = object.sql;
    const bool is_missing = type == "table" && object.since > version;
    if (type == "view" || is_missing) database.exec("CREATE TEMP" + sql.substr(std::string("CREATE").size()));
  }
}

bool is_reading_pragma(const char* name, const char* value) {
  constexpr std::array describe{"table_info",       "table_xinfo", "table_list",      "index_list",
                                "foreign_key_list", "index_info",  "integrity_check", "quick_check"};
  constexpr std::array ask{"user_version", "application_id", "schema_version", "page_count", "page_size"};
  const auto is_name = [&](const char* known) { return std::string_view(known) == name; };
  return std::any_of(describe.begin(), describe.end(), is_name) ||
         (value == nullptr && std::any_of(ask.begin(), ask.end(), is_name));
}

int allow_reading(void*, int action, const char* first, const char* second, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_FUNCTION:
      return sqlite3_stricmp(second, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA:
      return is_reading_pragma(first, second) ? SQLITE_OK : SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

[[noreturn]] void refuse(const std::string& why) { throw InputError("sql: {}", visible(why)); }

void refuse_error(int code, const char* message) {
  if (code == SQLITE_AUTH) refuse("only reading is allowed: give one SELECT");
  refuse(message);
}

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

}  // namespace

struct StoreQuery::Impl {
  std::filesystem::path path;
  SQLite::Database database;
  Prepared statement;
  std::vector<std::string> columns;

  Impl(const std::filesystem::path& file, const std::string& sql)
      : path(file), database(store::open_for_reading(file)) {
    store::guarded(path, store::Doing::opening, [&] {
      make_views(database);
      return 0;
    });
    // SQLite declares these table-valued functions where they are first named, which looks like making a table.
    for (const char* function : {"json_each", "json_tree"})
      database.exec(std::string("SELECT 1 FROM ") + function + "('[]')");
    sqlite3_set_authorizer(database.getHandle(), allow_reading, nullptr);
    const char* rest = sql.c_str();
    statement = prepare(rest);
    if (!statement) refuse("there is no statement; give one SELECT");
    while (*rest != '\0')
      if (prepare(rest)) refuse("there is more than one statement; give one SELECT");
    if (sqlite3_bind_parameter_count(statement.get()) > 0) refuse("a parameter (?) has no value here; write it out");
    for (int i = 0; i < sqlite3_column_count(statement.get()); ++i)
      columns.emplace_back(sqlite3_column_name(statement.get(), i));
    if (columns.empty() || sqlite3_stmt_readonly(statement.get()) == 0) refuse_error(SQLITE_AUTH, "");
  }

  // The statement at `rest`, which is moved behind it; null when only spaces and comments are left there.
  Prepared prepare(const char*& rest) {
    sqlite3_stmt* made = nullptr;
    const int code = sqlite3_prepare_v2(database.getHandle(), rest, -1, &made, &rest);
    if (code != SQLITE_OK) refuse_error(code, sqlite3_errmsg(database.getHandle()));
    return Prepared(made);
  }

  SqlValue value(int at) {
    sqlite3_stmt* row = statement.get();
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(row, at));
    switch (sqlite3_column_type(row, at)) {
      case SQLITE_INTEGER:
        return sqlite3_column_int64(row, at);
      case SQLITE_FLOAT:
        return sqlite3_column_double(row, at);
      case SQLITE_TEXT:
        return std::string(reinterpret_cast<const char*>(sqlite3_column_text(row, at)), size);
      case SQLITE_BLOB:
        return SqlBlob{static_cast<std::int64_t>(size)};
      default:
        return std::monostate();
    }
  }
};

StoreQuery::StoreQuery(const std::filesystem::path& path, const std::string& sql)
    : impl_(std::make_unique<Impl>(path, sql)) {}
StoreQuery::~StoreQuery() = default;
StoreQuery::StoreQuery(StoreQuery&&) noexcept = default;

const std::vector<std::string>& StoreQuery::columns() const { return impl_->columns; }

bool StoreQuery::next(std::vector<SqlValue>& row) {
  row.clear();
  const int code = sqlite3_step(impl_->statement.get());
  if (code == SQLITE_DONE) return false;
  if (code != SQLITE_ROW) {
    const int primary = code & 0xff;
    if (primary == SQLITE_ERROR || primary == SQLITE_TOOBIG || primary == SQLITE_MISMATCH || primary == SQLITE_RANGE)
      refuse_error(code, sqlite3_errmsg(impl_->database.getHandle()));
    store::rethrow(SQLite::Exception(impl_->database.getHandle(), code), impl_->path, store::Doing::reading);
  }
  for (int i = 0; i < static_cast<int>(impl_->columns.size()); ++i) row.push_back(impl_->value(i));
  return true;
}

}  // namespace batchscope
