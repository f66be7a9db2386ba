// The loader behind base/shared_library.h.
#include "base/shared_library.h"

#include <dlfcn.h>

#include <optional>
#include <system_error>

#include "base/error.h"

namespace batchscope {

SharedLibrary::SharedLibrary(const std::string& file, Symbols symbols)
    : file_(file), handle_(dlopen(file.c_str(), RTLD_NOW | (symbols == Symbols::global ? RTLD_GLOBAL : RTLD_LOCAL))) {
  if (handle_ != nullptr) return;
  const char* why = dlerror();
  throw Failure("{}", why != nullptr ? why : file + " does not load");
}

SharedLibrary SharedLibrary::first_of(std::span<const std::string> files, Symbols symbols) {
  std::optional<Failure> first;
  for (const std::string& file : files) try {
      return SharedLibrary(file, symbols);
    } catch (const Failure& failure) {
      if (!first) first = failure;
    }
  throw first.value();
}

void* SharedLibrary::symbol(const char* name) const { return dlsym(handle_, name); }

std::filesystem::path own_library(const std::string& name) {
  std::error_code error;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  for (const auto& place : {folder, folder.parent_path() / "lib"})
    if (std::filesystem::exists(place / name, error)) return place / name;
  return {};
}

}  // namespace batchscope
