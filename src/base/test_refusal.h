// What a test's action is refused with.
#pragma once

#include <functional>
#include <string>

#include "base/error.h"

namespace batchscope {

template <typename Refusal = InputError>
std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Refusal& error) {
    return error.what();
  }
  return "(accepted)";
}

}  // namespace batchscope
