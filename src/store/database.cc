// Opens a .bscope file to read or to write, and says what is wrong with one that is none.
#include "store/database.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/error.h"
#include "base/json.h"
#include "store/schema.h"

namespace batchscope::store {
namespace {

constexpr int busy_timeout_ms = 10'000;
constexpr int rollback_timeout_ms = 60'000;  // of a writer that waits for readers: a long query must not end it
// SQLite gives these names a meaning of its own; as absolute paths they are files.
std::string sqlite_name(const std::filesystem::path& path) { return std::filesystem::absolute(path).string(); }

// A file may be hostile: its schema runs nothing, its cells are checked, no value is larger than ours ever are.
void harden(SQLite::Database& database) {
  sqlite3* handle = database.getHandle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, 256 << 20);
  database.exec("PRAGMA cell_size_check = ON");
}

// Only by stat(): opening and closing the file ourselves would drop the locks that SQLite holds on it in this process.
struct stat check_file(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0)
    throw InputError("cannot read {}: {}; check the path and its permissions", path.string(), std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw InputError("cannot read {}: it is a folder; name a .bscope file", path.string());
  if (!S_ISREG(info.st_mode)) throw InputError("cannot read {}: it is not a regular file", path.string());
  return info;
}

std::int64_t pragma(SQLite::Database& database, const char* name) {
  return database.execAndGet(std::string("PRAGMA ") + name).getInt64();
}

// Tables and views must be exactly ours: a view in place of a table, for example, could compute without end.
void check_schema(SQLite::Database& database, const std::filesystem::path& path, std::int64_t version) {
  SQLite::Statement find(database, "SELECT type, sql FROM sqlite_schema WHERE name = ?");
  for (const SchemaObject& object : schema_objects()) {
    if (object.since > version) continue;
    find.reset();
    find.bind(1, object.name);
    if (!find.executeStep() || find.getColumn(0).getString() != object.type ||
        find.getColumn(1).getString() != object.sql)
      throw InputError("{} is damaged: its {} {} is not that of version {}; use a copy", path.string(), object.type,
                       object.name, version);
  }
}

// An index that is not ours would be kept up with what we write: on an expression it may compute and store without end.
// Triggers are switched off (harden), and reading computes neither.
void check_nothing_runs_along(SQLite::Database& database, const std::filesystem::path& path) {
  SQLite::Statement find(database, "SELECT type, name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL");
  while (find.executeStep()) {
    const std::string name = find.getColumn(1).getString();
    const auto objects = schema_objects();
    if (std::any_of(objects.begin(), objects.end(), [&](const SchemaObject& object) { return name == object.name; }))
      continue;
    throw InputError("cannot write {}: its index {} is not batchscope's; drop it, or write to another file",
                     path.string(), quote(name));
  }
}

void check_version(SQLite::Database& database, const std::filesystem::path& path) {
  const std::int64_t application = pragma(database, "application_id");
  const std::int64_t version = pragma(database, "user_version");
  if (application != bscope_application_id)
    throw InputError("{} is not a .bscope file: it is an SQLite database of another program", path.string());
  if (version > bscope_version)
    throw InputError("{} has format version {}, this batchscope knows {}; use a newer batchscope", path.string(),
                     version, bscope_version);
  if (version < 1) throw InputError("{} is damaged: its format version is {}", path.string(), version);
  check_schema(database, path, version);
}

// A log or journal of a writer that was killed, or that is at it.
std::optional<std::string> unmerged(const std::filesystem::path& path) {
  for (const char* suffix : {"-wal", "-journal"}) {
    struct stat info {};
    if (stat((path.string() + suffix).c_str(), &info) == 0 && info.st_size > 0) return suffix;
  }
  return std::nullopt;
}

// As a URI, in which ?, # and % would have a meaning.
std::string immutable_uri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : sqlite_name(path))
    uri += c == '?' || c == '#' || c == '%' ? fmt::format("%{:02X}", c) : std::string(1, c);
  return uri + "?immutable=1";
}

SQLite::Database connect(const std::filesystem::path& path, int flags) {
  SQLite::Database database(sqlite_name(path), flags, busy_timeout_ms);
  pragma(database, "schema_version");  // the first access: opens the side files
  return database;
}

// A journal of several databases ends with the name of a file, which SQLite removes when it is done: a foreign journal
// could have any file removed. Ours are of one database.
void refuse_foreign_journal(const std::filesystem::path& path) {
  constexpr std::string_view end_of_name("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8);
  std::ifstream journal(path.string() + "-journal", std::ios::binary | std::ios::ate);
  if (!journal || journal.tellg() < 8) return;
  std::string end(8, '\0');
  journal.seekg(-8, std::ios::end).read(end.data(), 8);
  if (end == end_of_name)
    throw InputError("{}: the journal beside it is not batchscope's: it names another file; move {}-journal away",
                     path.string(), path.filename().string());
}

// What a killed writer had begun is taken back from its rollback journal, which only a connection that may write can
// do.
void roll_back(const std::filesystem::path& path) {
  refuse_foreign_journal(path);
  connect(path, SQLite::OPEN_READWRITE);
}

// Where the memory that programs share for a log cannot be had, of a full disk too.
bool lacks_shared_memory(const SQLite::Exception& error) {
  switch (error.getExtendedErrorCode()) {
    case SQLITE_IOERR_SHMOPEN:
    case SQLITE_IOERR_SHMMAP:
    case SQLITE_IOERR_SHMLOCK:
    case SQLITE_IOERR_SHMSIZE:
      return true;
    default:
      return error.getErrorCode() == SQLITE_PROTOCOL || error.getErrorCode() == SQLITE_CANTOPEN;
  }
}

// Where no memory can be shared, on a full disk for example: alone, with the log's index in this process's own memory.
SQLite::Database connect_alone(const std::filesystem::path& path) {
  refuse_foreign_journal(path);
  SQLite::Database database(sqlite_name(path), SQLite::OPEN_READWRITE, busy_timeout_ms);
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA query_only = ON");
  pragma(database, "schema_version");
  return database;
}

SQLite::Database connect_for_reading(const std::filesystem::path& path) {
  try {
    return connect(path, SQLite::OPEN_READONLY);
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() == SQLITE_IOERR && lacks_shared_memory(error)) return connect_alone(path);
    const bool refused = error.getErrorCode() == SQLITE_CANTOPEN || error.getErrorCode() == SQLITE_READONLY;
    if (!refused) throw;
  }
  const auto side_file = unmerged(path);
  // In a folder where we may not write, SQLite cannot make the side files of WAL. When none holds data the file alone
  // is the whole truth.
  if (!side_file)
    return SQLite::Database(immutable_uri(path), SQLite::OPEN_READONLY | SQLite::OPEN_URI, busy_timeout_ms);
  try {
    roll_back(path);
    return connect(path, SQLite::OPEN_READONLY);
  } catch (const SQLite::Exception&) {
    throw InputError(
        "cannot read {}: its writer was killed and the folder is read-only; copy it, with {}{}, to a folder where you "
        "may write",
        path.string(), path.filename().string(), *side_file);
  }
}

// Brings the schema of that version to ours, in one transaction; version 0 is an empty file.
void migrate(SQLite::Database& database, const std::filesystem::path& path, std::int64_t version) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  SQLite::Statement find(database, "SELECT type FROM sqlite_schema WHERE name = ?");
  for (const SchemaObject& object : schema_objects()) {
    if (object.since <= version) continue;
    find.reset();
    find.bind(1, object.name);
    const bool is_taken = find.executeStep();
    const bool is_older_view =
        is_taken && object.replaces > 0 && version >= object.replaces && find.getColumn(0).getString() == "view";
    if (is_taken && !is_older_view)
      throw InputError("cannot write {}: it has a {} {} that is not batchscope's, in place of our {}; rename it",
                       path.string(), find.getColumn(0).getString(), object.name, object.type);
    find.reset();
    if (is_older_view) database.exec(std::string("DROP VIEW ") + object.name);
    database.exec(object.sql);
  }
  if (version == 0) database.exec(fmt::format("PRAGMA application_id = {}", bscope_application_id));
  database.exec(fmt::format("PRAGMA user_version = {}", bscope_version));
  transaction.commit();
}

std::string set_journal_mode(SQLite::Database& database, const char* mode) {
  return database.execAndGet(std::string("PRAGMA journal_mode = ") + mode).getString();
}

// True when the file is written with a log from now on. A read-only folder shows here, not at the first commit.
bool use_log(SQLite::Database& database) {
  if (set_journal_mode(database, "WAL") != "wal") return false;
  SQLite::Transaction(database, SQLite::TransactionBehavior::IMMEDIATE).commit();
  return true;
}

// The connection is in exclusive mode until here: so a file that was left with a log is read without shared memory.
void use_rollback_journal(SQLite::Database& database, const std::filesystem::path& path) {
  if (set_journal_mode(database, "DELETE") != "delete")
    throw InputError("cannot write {}: its file system has no locks that SQLite needs; write to a local disk",
                     path.string());
  database.exec("PRAGMA locking_mode = NORMAL");
  sqlite3_busy_timeout(database.getHandle(), rollback_timeout_ms);
  // A write, if of what is there already: the end of it lets the locks go, and a read-only folder shows here.
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  database.exec(fmt::format("PRAGMA user_version = {}", pragma(database, "user_version")));
  transaction.commit();
}

SQLite::Database open_with(const std::filesystem::path& path, bool is_new, Journal& journal) {
  SQLite::Database database(sqlite_name(path), SQLite::OPEN_READWRITE, busy_timeout_ms);
  harden(database);
  if (journal == Journal::rollback) database.exec("PRAGMA locking_mode = EXCLUSIVE");
  database.exec("PRAGMA synchronous = FULL");  // about one commit a second: power may fail too
  database.exec("PRAGMA foreign_keys = ON");
  if (is_new) {
    migrate(database, path, 0);
  } else {
    check_version(database, path);
    check_nothing_runs_along(database, path);
  }
  if (journal == Journal::log && !use_log(database)) journal = Journal::rollback;
  if (journal == Journal::rollback) use_rollback_journal(database, path);
  if (const std::int64_t version = pragma(database, "user_version"); version < bscope_version)
    migrate(database, path, version);
  return database;
}

[[noreturn]] void refuse_empty(const std::filesystem::path& path) {
  throw InputError("{} is empty: the program that was to write it ended too early", path.string());
}

}  // namespace

SQLite::Database open_for_reading(const std::filesystem::path& path) {
  if (check_file(path).st_size == 0) refuse_empty(path);
  return guarded(path, Doing::opening, [&] {
    auto database = connect_for_reading(path);
    if (check_file(path).st_size == 0) refuse_empty(path);  // its first transaction was rolled back
    harden(database);
    check_version(database, path);
    return database;
  });
}

SQLite::Database open_for_writing(const std::filesystem::path& path, Journal& journal) {
  const bool is_new = check_file(path).st_size == 0;
  refuse_foreign_journal(path);
  return guarded(path, Doing::opening, [&] {
    try {
      return open_with(path, is_new, journal);
    } catch (const SQLite::Exception& error) {
      const bool is_full = error.getExtendedErrorCode() == SQLITE_IOERR_SHMSIZE;
      if (journal == Journal::rollback || is_full || !lacks_shared_memory(error)) throw;
    }
    journal = Journal::rollback;
    return open_with(path, check_file(path).st_size == 0, journal);
  });
}

SQLite::Database open_scratch(const std::filesystem::path& path) {
  std::filesystem::resize_file(path, 0);
  for (const char* suffix : {"-wal", "-shm", "-journal"}) std::filesystem::remove(path.string() + suffix);
  SQLite::Database database(sqlite_name(path), SQLite::OPEN_READWRITE, busy_timeout_ms);
  harden(database);
  database.exec("PRAGMA synchronous = OFF");
  database.exec("PRAGMA foreign_keys = ON");
  set_journal_mode(database, "MEMORY");
  migrate(database, path, 0);
  return database;
}

void rethrow(const SQLite::Exception& error, const std::filesystem::path& path, Doing doing) {
  const std::string file = path.string();
  const char* what = error.what();
  switch (error.getErrorCode()) {
    case SQLITE_NOTADB:
      throw InputError("{} is not a .bscope file, or its beginning is damaged; name a file that batchscope wrote",
                       file);
    case SQLITE_CORRUPT:
      throw InputError("{} is damaged ({}); use a copy, or save what is left: sqlite3 FILE .recover", file, what);
    case SQLITE_BUSY:
      throw Failure("{} was held by another program for too long; close it there", file);
    case SQLITE_FULL:
      throw Failure("cannot write {}: the disk is full; free some space, what was committed is kept", file);
    default:
      break;
  }
  switch (error.getExtendedErrorCode()) {  // side files are written when a file is opened, too
    case SQLITE_IOERR_WRITE:
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_TRUNCATE:
    case SQLITE_IOERR_SHMSIZE:
      doing = Doing::writing;
      break;
    default:
      break;
  }
  if (doing == Doing::opening) throw InputError("cannot open {}: {}; its folder must be writable", file, what);
  if (doing == Doing::reading) throw InputError("cannot read {}: {}", file, what);
  throw Failure("cannot write {}: {}; check free space and limits, what was committed is kept", file, what);
}

}  // namespace batchscope::store
