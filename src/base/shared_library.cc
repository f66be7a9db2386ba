// The loader behind base/shared_library.h.
#include "base/shared_library.h"

#include <dlfcn.h>

#include "base/error.h"

namespace batchscope {

SharedLibrary::SharedLibrary(const std::string& file) : handle_(dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ != nullptr) return;
  const char* why = dlerror();
  throw Failure("{}", why != nullptr ? why : file + " does not load");
}

void* SharedLibrary::symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace batchscope
