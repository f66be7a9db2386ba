// Copies the rows of one file into another, with new keys.
#include "store/row_copier.h"

#include <sqlite3.h>

#include <algorithm>

#include "base/error.h"

namespace batchscope::store {
namespace {

// The value as it is; a blob stays where it is until the row has been inserted.
void bind_value(SQLite::Statement& to, int at, const SQLite::Column& value) {
  switch (value.getType()) {
    case SQLITE_INTEGER:
      return to.bind(at, value.getInt64());
    case SQLITE_FLOAT:
      return to.bind(at, value.getDouble());
    case SQLITE_TEXT:
      return to.bind(at, value.getString());
    case SQLITE_BLOB:
      return to.bindNoCopy(at, value.getBlob(), value.getBytes());
    default:
      return to.bind(at);
  }
}

// Binds the id's successor; false when it has none.
bool bind_id(SQLite::Statement& to, int at, const SQLite::Column& value, const IdMap& ids) {
  if (value.isNull()) {
    to.bind(at);
    return true;
  }
  const auto found = ids.find(value.getInt64());
  if (found == ids.end()) return false;
  to.bind(at, found->second);
  return true;
}

}  // namespace

MergeInput::MergeInput(const std::filesystem::path& path) : path_(path), database_(open_for_reading(path)) {
  guarded(path_, Doing::reading, [&] {
    database_.exec("BEGIN");  // what others write from now on is not seen
    SQLite::Statement check(database_, "PRAGMA foreign_key_check");
    if (check.executeStep())
      throw InputError("{} is damaged: a row of {} names a row of {} that is not there; use a copy", path_.string(),
                       check.getColumn(0).getString(), check.getColumn(2).getString());
    return 0;
  });
}

std::int64_t MergeInput::version() {
  std::int64_t version = 0;
  each("PRAGMA user_version", [&](SQLite::Statement& query) { version = query.getColumn(0).getInt64(); });
  return version;
}

std::int64_t MergeInput::successor(const IdMap& ids, std::int64_t id) const {
  const auto found = ids.find(id);
  if (found == ids.end())
    throw InputError("{} is damaged: it names row {} that is not there; use a copy", path_.string(), id);
  return found->second;
}

std::int64_t MergeOutput::insert(SQLite::Statement& statement, const MergeInput& from) {
  if (stop_) throw Interrupted();
  try {
    statement.exec();
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_CONSTRAINT)
      throw InputError("{} is damaged: {}; use a copy", from.path().string(), error.what());
    rethrow(error, path_, Doing::writing);
  }
  return database_.getLastInsertRowid();
}

void MergeOutput::copy(MergeInput& from, const std::string& table, const std::vector<ChangedColumn>& changed,
                       const std::string& unchanged, IdMap* made, const IdMap* wanted) {
  std::string names, read;
  for (const ChangedColumn& column : changed) {
    names.append(column.name).append(", ");
    read.append(column.expression != nullptr ? column.expression : column.name).append(", ");
  }
  const auto count =
      static_cast<int>(changed.size()) + static_cast<int>(std::count(unchanged.begin(), unchanged.end(), ',')) + 1;
  std::string marks = "?";
  for (int i = 1; i < count; ++i) marks += ", ?";
  SQLite::Statement add(database_, "INSERT INTO " + table + " (" + names + unchanged + ") VALUES (" + marks + ")");
  const std::string id = made != nullptr ? ", id" : "";
  from.each("SELECT " + read + unchanged + id + " FROM " + table, [&](SQLite::Statement& row) {
    if (wanted != nullptr && !wanted->contains(row.getColumn(count).getInt64())) return;
    add.reset();
    for (int i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const IdMap* ids = at < changed.size() ? changed[at].ids : nullptr;
      if (ids == nullptr)
        bind_value(add, i + 1, row.getColumn(i));
      else if (!bind_id(add, i + 1, row.getColumn(i), *ids))
        return;
    }
    const std::int64_t new_id = insert(add, from);
    if (made != nullptr) (*made)[row.getColumn(count).getInt64()] = new_id;
  });
}

}  // namespace batchscope::store
