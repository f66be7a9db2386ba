// Fuzz target: any bytes as a .bscope file. Opening and reading every table ends in data or in an InputError.
#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.h"
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
    reader.phases(attempt.id);
    reader.ledger(attempt.id);
    reader.devices(attempt.id);
  }
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("batchscope-fuzz-" + std::to_string(getpid()) + ".bscope");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool written = file >= 0 && write(file, data, size) == static_cast<ssize_t>(size);
  close(file);
  try {
    if (written) read_all(path);
  } catch (const Error&) {
  }
  std::filesystem::remove(path);
  return 0;
}
