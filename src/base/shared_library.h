// A library that is loaded at run time and never unloaded: drivers do not take kindly to that.
#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace batchscope {

class SharedLibrary {
 public:
  enum class Symbols { local, global };  // whether libraries that are loaded later find its symbols
  // Throws Failure with the loader's words.
  explicit SharedLibrary(const std::string& file, Symbols symbols = Symbols::local);
  // The first of the files (at least one) that loads; throws what was said of the first where none does.
  static SharedLibrary first_of(std::span<const std::string> files, Symbols symbols = Symbols::local);

  const std::string& file() const { return file_; }

  // Sets the function to the library's of that name; leaves it as it is where the library lacks it.
  template <class Function>
  void resolve(const char* name, Function*& function) const {
    if (void* found = symbol(name); found != nullptr) function = reinterpret_cast<Function*>(found);
  }

 private:
  void* symbol(const char* name) const;

  std::string file_;
  void* handle_;
};

// The program's own library of that name: beside the program, or in an archive's ../lib; empty where there is none.
std::filesystem::path own_library(const std::string& name);

}  // namespace batchscope
