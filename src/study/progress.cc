// Progress of a study (study/progress.h).
#include "study/progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/json.h"
#include "base/units.h"

namespace batchscope {

void TimeLeft::finished(const std::string& strategy, Nanoseconds took) {
  if (auto found = waiting_.find(strategy); found != waiting_.end() && found->second > 0) --found->second;
  for (Sum* sum : {&took_[strategy], &all_}) {
    sum->total += took;
    ++sum->count;
  }
}

std::optional<Nanoseconds> TimeLeft::left() const {
  if (all_.count == 0) return std::nullopt;
  Nanoseconds left{0};
  for (const auto& [strategy, count] : waiting_) {
    const auto known = took_.find(strategy);
    const Sum& sum = known == took_.end() ? all_ : known->second;
    left += sum.total / sum.count * count;
  }
  return left;
}

TerminalProgress::~TerminalProgress() { std::fputs("\r\x1b[K", stderr); }

void TerminalProgress::begin(std::size_t number, std::size_t total, const std::string& name,
                             std::optional<Nanoseconds> left) {
  name_ = visible(name).substr(0, 44);
  std::fputs(fmt::format("\r\x1b[K[{}/{}] {}{}", number, total, name_,
                         left ? fmt::format(", {} left", format_duration(*left)) : "")
                 .c_str(),
             stderr);
  std::fflush(stderr);
}

void TerminalProgress::end(const std::string& status, const std::string& reason) {
  if (status != "failed" && status != "timed_out") return;
  std::fputs(fmt::format("\r\x1b[K{}: {}: {}\n", name_, status, visible(reason)).c_str(), stderr);
}

}  // namespace batchscope
