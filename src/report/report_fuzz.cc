// Fuzz target: a .bscope file of anybody's through `report --html`, `report`, `report --json` and `sql`. The input is a
// file, or changes of single values of the store's small example, which reach what damaged bytes do not: six bytes say
// which value, then comes the new one.
#include <SQLiteCpp/SQLiteCpp.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "report/page/study_page.h"
#include "report/query_text.h"
#include "report/recording/recording_report.h"
#include "report/study_report.h"
#include "store/schema.h"
#include "store/store.h"

using namespace batchscope;

namespace {

const std::filesystem::path& path() {
  static const std::filesystem::path file =
      std::filesystem::temp_directory_path() / ("batchscope-report-fuzz-" + std::to_string(getpid()) + ".bscope");
  return file;
}

void write_plainly(std::string_view bytes) {
  const int file = open(path().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0 || write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) std::abort();
  close(file);
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  bool has(std::size_t bytes) const { return left_ >= bytes; }
  std::size_t byte() { return has(1) ? (--left_, *data_++) : 0; }
  std::string text(std::size_t bytes) {
    const std::size_t taken = std::min(bytes, left_);
    std::string out(reinterpret_cast<const char*>(data_), taken);
    data_ += taken;
    left_ -= taken;
    return out;
  }
  template <class Number>
  Number number() {
    Number value{};
    const std::string raw = text(sizeof value);
    std::memcpy(&value, raw.data(), raw.size());
    return value;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

void bind_value(SQLite::Statement& update, Input& input) {
  switch (input.byte() % 6) {
    case 0:
      return update.bind(1);
    case 1:
      return update.bind(1, input.number<std::int64_t>());
    case 2:
      return update.bind(1, input.number<double>());
    case 3:
      return update.bind(1, static_cast<std::int64_t>(input.byte()) - 128);
    case 4: {
      const std::string blob = input.text(input.byte());
      return update.bind(1, blob.data(), static_cast<int>(blob.size()));
    }
    default:
      return update.bind(1, input.text(input.byte()));
  }
}

void change_example(Input input) {
  static const std::string example =
      read_file(std::string(BATCHSCOPE_SOURCE_DIR) + "/src/store/corpus/store_fuzz/small");
  write_plainly(example);
  SQLite::Database database(path(), SQLite::OPEN_READWRITE);
  database.exec("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA ignore_check_constraints = ON");
  std::vector<std::string> tables;
  for (const SchemaObject& object : schema_objects())
    if (std::string_view(object.type) == "table") tables.emplace_back(object.name);
  for (int changes = 0; changes < 50 && input.has(4); ++changes) {
    const std::string& table = tables[input.byte() % tables.size()];
    std::vector<std::string> columns;
    SQLite::Statement info(database, "SELECT name FROM pragma_table_info(?)");
    info.bind(1, table);
    while (info.executeStep()) columns.push_back(info.getColumn(0).getString());
    if (columns.empty()) continue;  // the example is of an older version, which lacks the table
    try {
      SQLite::Statement update(database, "UPDATE " + table + " SET " + columns[input.byte() % columns.size()] +
                                             " = ?1 WHERE rowid = (SELECT rowid FROM " + table + " LIMIT 1 OFFSET ?2)");
      update.bind(2, static_cast<std::int64_t>(input.byte() % 16));
      bind_value(update, input);
      update.exec();
    } catch (const SQLite::Exception&) {  // a key that is taken already, say
    }
  }
}

void report_recording() {
  const StoreReader reader(path());
  const std::vector<RecordedSession> sessions = read_recorded_sessions(reader);
  to_text(sessions, true, SummaryDetail::verbose);
  to_json(sessions).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  to_html(recording_page(sessions, reader));
}

void report_study() {
  const StoreReader reader(path());
  const StudyReport study = read_study_report(reader);
  to_text(study, true);
  to_json(study).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  to_html(study_page(study, reader));
}

void query_all() {
  for (const SchemaObject& object : schema_objects()) {
    if (std::string_view(object.type) == "index") continue;
    StoreQuery query(path(), std::string("SELECT * FROM ") + object.name + " LIMIT 200");
    write_rows(query, QueryFormat::table, true, [](std::string_view) { return true; });
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::string_view begins_a_file = "SQLite format 3";
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.starts_with(begins_a_file))
    write_plainly(bytes);
  else
    change_example(Input(data, size));
  for (const auto work : {report_recording, report_study, query_all}) {
    try {
      work();
    } catch (const Error&) {
    }
  }
  std::filesystem::remove(path());
  return 0;
}
