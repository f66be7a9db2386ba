// A library that is loaded at run time and never unloaded: drivers do not take kindly to that.
#pragma once

#include <string>

namespace batchscope {

class SharedLibrary {
 public:
  // Throws Failure with the loader's words.
  explicit SharedLibrary(const std::string& file);

  // Sets the function to the library's of that name; leaves it as it is where the library lacks it.
  template <class Function>
  void resolve(const char* name, Function*& function) const {
    if (void* found = symbol(name); found != nullptr) function = reinterpret_cast<Function*>(found);
  }

 private:
  void* symbol(const char* name) const;

  void* handle_;
};

}  // namespace batchscope
