// CUPTI, loaded at run time: its functions, and its answers in words.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "telemetry/cupti/api.h"

namespace batchscope::cupti {

// Why a call failed and what helps, as one phrase.
const char* reason_of(Return result);

template <class Structure>
Return absent(Structure*) {
  return function_not_found;
}

struct Functions {
#define BATCHSCOPE_CUPTI_MEMBER(name, Structure) Return (*name)(Structure*) = absent<Structure>;
  BATCHSCOPE_CUPTI_FUNCTIONS(BATCHSCOPE_CUPTI_MEMBER)
#undef BATCHSCOPE_CUPTI_MEMBER
};

// Where it is looked for (base/cuda_files.h).
std::vector<std::string> usual_files();

class Library {
 public:
  // Loads the first of the files that there is and initialises it. Throws Failure with the loader's words or CUPTI's.
  explicit Library(const std::vector<std::string>& files = usual_files());

  const std::string& file() const { return file_; }

  // Calls a function, its structure's size filled in. Throws Failure "WHAT: reason" unless it succeeded.
  template <class Structure>
  void call(Return (*Functions::*function)(Structure*), Structure& structure, const char* what) const {
    check(try_call(function, structure), what);
  }
  template <class Structure>
  Return try_call(Return (*Functions::*function)(Structure*), Structure& structure) const {
    structure.size = used_size<Structure>;
    return (functions_.*function)(&structure);
  }

 private:
  static void check(Return result, const char* what);

  std::string file_;
  Functions functions_;
};

}  // namespace batchscope::cupti
