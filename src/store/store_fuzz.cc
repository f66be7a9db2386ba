// Fuzz target: any bytes as a .bscope file. Reading every table, querying every view and merging end in data or in an
// Error.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>

#include "base/error.h"
#include "store/load_runs.h"
#include "store/merge.h"
#include "store/query.h"
#include "store/schema.h"
#include "store/store.h"

using namespace batchscope;

namespace {

void read_all(const std::filesystem::path& path) {
  const StoreReader reader(path);
  reader.sessions();
  reader.studies();
  reader.cells();
  for (const auto& attempt : reader.attempts()) {
    reader.items(attempt.id);
    reader.requests(attempt.id);
    reader.phases(attempt.id);
    reader.ledger(attempt.id);
    reader.devices(attempt.id);
  }
  const LoadRunReader load(path);
  for (const auto& run : load.runs()) load.requests(run.id);
  reader.session_phases(1);
  reader.frontiers();
  reader.samplers();
  for (const auto& series : reader.series()) {
    reader.gaps(series.id);
    reader.summary(series.id);
    reader.samples(series);
  }
  reader.check_integrity();
}

void query_all(const std::filesystem::path& path) {
  for (const SchemaObject& object : schema_objects()) {
    if (std::string_view(object.type) != "view") continue;
    StoreQuery query(path, std::string("SELECT * FROM ") + object.name + " LIMIT 1000");
    for (std::vector<SqlValue> row; query.next(row);) continue;
  }
}

void merge_twice(const std::filesystem::path& path) {
  const std::filesystem::path merged = path.string() + ".merged";
  const std::filesystem::path inputs[] = {path, path};
  const std::atomic<bool> go_on{false};
  std::filesystem::remove(merged);
  merge_stores(inputs, merged, go_on);
  read_all(merged);  // what was taken can be read
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("batchscope-fuzz-" + std::to_string(getpid()) + ".bscope");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = file >= 0 && write(file, data, size) == static_cast<ssize_t>(size);
  close(file);
  for (const auto work : {read_all, query_all, merge_twice}) {
    try {
      if (written) work(path);
    } catch (const Error&) {
    }
  }
  for (const char* suffix : {"", ".merged"}) std::filesystem::remove(path.string() + suffix);
  return 0;
}
