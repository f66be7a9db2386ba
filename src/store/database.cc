// Opening a .bscope file (store/database.h).
#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "base/error.h"
#include "store/schema.h"

namespace batchscope::store {
namespace {

constexpr int busy_timeout_ms = 10'000;
// SQLite gives these names a meaning of its own; as absolute paths they are files.
std::string sqlite_name(const std::filesystem::path& path) { return std::filesystem::absolute(path).string(); }

// A file may be hostile: its schema runs nothing, its cells are checked, no value is larger than ours ever are.
void harden(SQLite::Database& database) {
  sqlite3* handle = database.getHandle();
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, 256 << 20);
  database.exec("PRAGMA cell_size_check = ON");
}

// Only by stat(): opening and closing the file ourselves would drop the locks that SQLite holds on it in this process.
struct stat check_file(const std::filesystem::path& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0)
    throw InputError("cannot read {}: {}; check the path and its permissions", path.string(), std::strerror(errno));
  if (S_ISDIR(info.st_mode)) throw InputError("cannot read {}: it is a folder; name a .bscope file", path.string());
  if (!S_ISREG(info.st_mode)) throw InputError("cannot read {}: it is no regular file", path.string());
  return info;
}

std::int64_t pragma(SQLite::Database& database, const char* name) {
  return database.execAndGet(std::string("PRAGMA ") + name).getInt64();
}

// Tables must be exactly ours: a view of the same name, for example, could compute without end.
void check_tables(SQLite::Database& database, const std::filesystem::path& path) {
  SQLite::Statement find(database, "SELECT type, sql FROM sqlite_schema WHERE name = ?");
  for (const SchemaObject& object : schema_objects()) {
    find.reset();
    find.bind(1, object.name);
    if (!find.executeStep() || find.getColumn(0).getString() != object.type ||
        find.getColumn(1).getString() != object.sql)
      throw InputError("{} is damaged: its {} {} is not the one of version {}; use a copy", path.string(), object.type,
                       object.name, bscope_version);
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
  check_tables(database, path);
}

bool has_unmerged_log(const std::filesystem::path& path) {
  struct stat info {};
  return stat((path.string() + "-wal").c_str(), &info) == 0 && info.st_size > 0;
}

// As a URI, in which ?, # and % would have a meaning.
std::string immutable_uri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : sqlite_name(path))
    uri += c == '?' || c == '#' || c == '%' ? fmt::format("%{:02X}", c) : std::string(1, c);
  return uri + "?immutable=1";
}

SQLite::Database connect_for_reading(const std::filesystem::path& path) {
  try {
    SQLite::Database database(sqlite_name(path), SQLite::OPEN_READONLY, busy_timeout_ms);
    pragma(database, "schema_version");  // the first access: opens the side files
    return database;
  } catch (const SQLite::Exception& error) {
    // In a folder where we may not write, SQLite cannot make the side files of WAL. When none holds data the file alone
    // is the whole truth.
    const bool refused = error.getErrorCode() == SQLITE_CANTOPEN || error.getErrorCode() == SQLITE_READONLY;
    if (!refused) throw;
    if (has_unmerged_log(path))
      throw InputError(
          "cannot read {}: its writer was killed and the folder is read-only; copy it, with {}-wal, to a folder where "
          "you may write",
          path.string(), path.filename().string());
    return SQLite::Database(immutable_uri(path), SQLite::OPEN_READONLY | SQLite::OPEN_URI, busy_timeout_ms);
  }
}

void refuse_network_file_system(const std::filesystem::path& path) {
  struct NetworkFileSystem {
    unsigned long magic;
    const char* name;
  };
  constexpr std::array network{NetworkFileSystem{0x6969, "NFS"},        NetworkFileSystem{0x517B, "SMB"},
                               NetworkFileSystem{0xFF534D42, "CIFS"},   NetworkFileSystem{0xFE534D42, "SMB"},
                               NetworkFileSystem{0x0BD00BD0, "Lustre"}, NetworkFileSystem{0x47504653, "GPFS"},
                               NetworkFileSystem{0x00C36400, "Ceph"},   NetworkFileSystem{0x5346414F, "AFS"},
                               NetworkFileSystem{0x19830326, "BeeGFS"}};
  struct statfs info {};
  if (statfs(path.c_str(), &info) != 0) return;
  for (const auto& system : network)
    if ((static_cast<unsigned long>(info.f_type) & 0xFFFFFFFFUL) == system.magic)
      throw InputError(
          "cannot write {}: it is on a network file system ({}), where SQLite's log cannot be relied on; write to a "
          "local disk and copy the file afterwards",
          path.string(), system.name);
}

void make_tables(SQLite::Database& database) {
  SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
  for (const SchemaObject& object : schema_objects()) database.exec(object.sql);
  database.exec(fmt::format("PRAGMA application_id = {}", bscope_application_id));
  database.exec(fmt::format("PRAGMA user_version = {}", bscope_version));
  transaction.commit();
}

}  // namespace

SQLite::Database open_for_reading(const std::filesystem::path& path) {
  if (check_file(path).st_size == 0)
    throw InputError("{} is empty: whatever was to write it ended before it began", path.string());
  return guarded(path, Doing::opening, [&] {
    auto database = connect_for_reading(path);
    harden(database);
    check_version(database, path);
    return database;
  });
}

SQLite::Database open_for_writing(const std::filesystem::path& path) {
  const bool is_new = check_file(path).st_size == 0;
  refuse_network_file_system(path);
  return guarded(path, Doing::opening, [&] {
    SQLite::Database database(sqlite_name(path), SQLite::OPEN_READWRITE, busy_timeout_ms);
    harden(database);
    if (is_new)
      make_tables(database);
    else
      check_version(database, path);
    // The first commit is the first moment at which a read-only folder or a missing shared memory shows.
    const std::string mode = database.execAndGet("PRAGMA journal_mode = WAL").getString();
    if (mode != "wal")
      throw InputError(
          "cannot write {}: its file system has no shared memory maps, which SQLite's log needs; write to "
          "a local disk and copy the file afterwards",
          path.string());
    database.exec("PRAGMA synchronous = FULL");  // about one commit a second: power may fail too
    database.exec("PRAGMA foreign_keys = ON");
    return database;
  });
}

namespace {

// Files that this process writes, by device and inode.
std::mutex own_files_mutex;
std::set<WriterLock::FileId>& own_files() {
  static std::set<WriterLock::FileId> files;
  return files;
}

[[noreturn]] void refuse_second_writer(const std::filesystem::path& path) {
  throw InputError("{} is being written by another batchscope; wait for its end, or name another file", path.string());
}

}  // namespace

WriterLock::WriterLock(const std::filesystem::path& path, bool make, bool must_be_new) {
  const std::lock_guard guard(own_files_mutex);
  struct stat info {};
  // Asked before the file is opened, because closing it again would drop the locks of the writer that we have.
  if (stat(path.c_str(), &info) == 0 && own_files().contains({info.st_dev, info.st_ino})) refuse_second_writer(path);
  const int flags = O_RDWR | O_CLOEXEC;
  if (make) {
    descriptor_ = open(path.c_str(), flags | O_CREAT | O_EXCL, 0666);
    made_ = descriptor_ >= 0;
    if (!made_ && errno == EEXIST && must_be_new)
      throw InputError("{} exists already; name another file", path.string());
  }
  if (!made_ && (!make || errno == EEXIST)) descriptor_ = open(path.c_str(), flags);
  if (descriptor_ < 0)
    throw InputError("cannot write {}: {}; check the path and its permissions", path.string(), std::strerror(errno));
  const bool locked = flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
  const int reason = errno;
  if (locked && fstat(descriptor_, &info) == 0) {
    id_ = {info.st_dev, info.st_ino};
    own_files().insert(id_);
    return;
  }
  close(descriptor_);
  if (reason == EWOULDBLOCK) refuse_second_writer(path);
  throw InputError("cannot lock {}: {}; write to a local disk", path.string(), std::strerror(reason));
}

WriterLock::~WriterLock() {
  const std::lock_guard guard(own_files_mutex);
  own_files().erase(id_);
  close(descriptor_);
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
      throw Failure("{} was held by another program for more than {} s; close it there", file, busy_timeout_ms / 1000);
    case SQLITE_FULL:
      throw Failure("cannot write {}: the disk is full; free some space, what was committed is kept", file);
    default:
      break;
  }
  if (doing == Doing::opening)
    throw InputError("cannot open {}: {}; its folder must be writable, and on a local disk", file, what);
  if (doing == Doing::reading) throw InputError("cannot read {}: {}", file, what);
  throw Failure("cannot write {}: {}; check free space and limits, what was committed is kept", file, what);
}

}  // namespace batchscope::store
