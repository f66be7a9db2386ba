// Copying rows (store/row_copier.h).
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

void MergeOutput::copy(MergeInput& from, const std::string& table, const std::vector<CopiedColumn>& columns,
                       IdMap* made, const IdMap* wanted) {
  std::string names, marks, read;
  for (const CopiedColumn& column : columns) {
    const char* comma = names.empty() ? "" : ", ";
    names.append(comma).append(column.name);
    read.append(comma).append(column.expression != nullptr ? column.expression : column.name);
    marks.append(comma).append("?");
  }
  SQLite::Statement add(database_, "INSERT INTO " + table + " (" + names + ") VALUES (" + marks + ")");
  from.each("SELECT " + read + (made != nullptr ? ", id" : "") + " FROM " + table, [&](SQLite::Statement& row) {
    const auto old_id = [&] { return row.getColumn(static_cast<int>(columns.size())).getInt64(); };
    if (wanted != nullptr && !wanted->contains(old_id())) return;
    add.reset();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const SQLite::Column value = row.getColumn(static_cast<int>(i));
      const int at = static_cast<int>(i) + 1;
      if (columns[i].ids == nullptr)
        bind_value(add, at, value);
      else if (!bind_id(add, at, value, *columns[i].ids))
        return;
    }
    const std::int64_t id = insert(add, from);
    if (made != nullptr) (*made)[old_id()] = id;
  });
}

}  // namespace batchscope::store
