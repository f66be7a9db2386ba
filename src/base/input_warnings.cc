// Collects warnings about input, printed once and repeated in every result.
#include "base/input_warnings.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <mutex>

namespace batchscope {
namespace {

// A process loads one model, or a few: their warnings are all results'.
struct Kept {
  std::mutex mutex;
  std::vector<std::string> texts;
};
Kept& kept() {
  static Kept all;
  return all;
}

}  // namespace

void warn_of_input(const std::string& text) {
  constexpr std::size_t most = 100;
  {
    const std::lock_guard guard(kept().mutex);
    auto& texts = kept().texts;
    if (texts.size() >= most || std::find(texts.begin(), texts.end(), text) != texts.end()) return;
    texts.push_back(text);
  }
  spdlog::warn("{}", text);
}

std::vector<std::string> input_warnings() {
  const std::lock_guard guard(kept().mutex);
  return kept().texts;
}

}  // namespace batchscope
