// Lists the libraries that the program is linked with, and their versions.
#include "cli/libraries.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <SQLiteCpp/SQLiteCpp.h>
#include <curses.h>
#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <oneapi/dnnl/dnnl.h>
#include <openssl/crypto.h>
#include <pcre2.h>
#include <spdlog/version.h>
#include <sqlite3.h>
#include <toml++/toml.h>
#include <unicode/uversion.h>
#include <zstd.h>

#include <CLI/Version.hpp>
#include <Eigen/Core>
#include <array>
#include <boost/version.hpp>
#include <nlohmann/json.hpp>
#include <protozero/version.hpp>
#include <string_view>

namespace batchscope::cli {
namespace {

std::string pcre2_version() {
  std::array<char, 64> text{};
  pcre2_config(PCRE2_CONFIG_VERSION, text.data());
  const std::string version = text.data();
  return version.substr(0, version.find(' '));
}

std::string icu_version() {
  UVersionInfo version{};
  std::array<char, U_MAX_VERSION_STRING_LENGTH> text{};
  u_getVersion(version);
  u_versionToString(version, text.data());
  return text.data();
}

std::string onednn_version() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("{}.{}.{}", version->major, version->minor, version->patch);
}

std::string line(std::string_view name, const std::string& version) {
  return fmt::format("{:<14} {}\n", name, version);
}

}  // namespace

std::string libraries_text() {
  return line("glibc", gnu_get_libc_version()) + line("OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING)) +
         line("SQLite", sqlite3_libversion()) + line("zstd", ZSTD_versionString()) + line("oneDNN", onednn_version()) +
         line("PCRE2", pcre2_version()) + line("ICU", icu_version()) + line("ncurses", curses_version()) +
         line("Boost",
              fmt::format("{}.{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)) +
         line("Eigen", fmt::format("{}.{}.{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION, EIGEN_MINOR_VERSION)) +
         line("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)) +
         line("spdlog", fmt::format("{}.{}.{}", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH)) +
         line("nlohmann-json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                           NLOHMANN_JSON_VERSION_PATCH)) +
         line("CLI11", CLI11_VERSION) +
         line("toml++", fmt::format("{}.{}.{}", TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH)) +
         line("SQLiteCpp", SQLITECPP_VERSION) + line("protozero", PROTOZERO_VERSION_STRING);
}

}  // namespace batchscope::cli
