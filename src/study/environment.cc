// The allow-list of facts about machine and build (study/environment.h).
#include "study/environment.h"

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <sqlite3.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>

#include "base/cpus.h"
#include "batchscope_version.h"  // made at build time by cmake/version.cmake

namespace batchscope {
namespace {

std::optional<std::string> cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (colon != std::string::npos && line.starts_with("model name")) return line.substr(colon + 2);
  }
  return std::nullopt;
}

std::string compiler() {
#ifdef __clang__
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("gcc {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

std::string version_text() {
  const std::string_view revision = BATCHSCOPE_REVISION;
  return revision.empty() ? BATCHSCOPE_VERSION : fmt::format("{} (git {})", BATCHSCOPE_VERSION, revision);
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> facts;
  facts["batchscope_version"] = BATCHSCOPE_VERSION;
  if (const std::string_view revision = BATCHSCOPE_REVISION; !revision.empty()) facts["git_revision"] = revision;
  facts["build_type"] = BATCHSCOPE_BUILD_TYPE;
  facts["compiler"] = compiler();
  facts["libc"] = fmt::format("glibc {}", gnu_get_libc_version());
  facts["sqlite"] = sqlite3_libversion();
  if (const auto onednn = std::string_view(BATCHSCOPE_ONEDNN_VERSION); !onednn.empty()) facts["onednn"] = onednn;
  if (const auto model = cpu_model()) facts["cpu_model"] = *model;
  if (const long cpus = sysconf(_SC_NPROCESSORS_ONLN); cpus > 0) facts["cpus"] = std::to_string(cpus);
  facts["cpus_usable"] = std::to_string(usable_cpus());
  const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGE_SIZE);
  if (pages > 0 && page_bytes > 0) facts["memory_bytes"] = std::to_string(static_cast<long long>(pages) * page_bytes);
  if (utsname kernel{}; uname(&kernel) == 0) {
    facts["host"] = kernel.nodename;  // tells sessions apart in a merged file
    facts["kernel"] = fmt::format("{} {}", kernel.sysname, kernel.release);
  }
  if (const char* job = std::getenv("SLURM_JOB_ID")) facts["slurm_job_id"] = job;
  return facts;
}

nlohmann::json environment_json() { return environment(); }

}  // namespace batchscope
