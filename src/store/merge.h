// Several .bscope files, of several hosts as a rule, made into one.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace batchscope {

struct MergeSummary {
  std::int64_t sessions = 0;
  std::int64_t repeated_sessions = 0;  // given more than once: a file and its copy
  std::int64_t studies = 0, attempts = 0, series = 0;
  std::vector<std::string> notes{};  // what a reader of the new file should know, a line each
};

// Writes all that the inputs hold into `output`, which must not exist; it appears whole or not at all (beside it stands
// OUTPUT.part until then). docs/formats.md has the rules. Inputs may be of older versions and may be written to
// meanwhile: what was committed when the merge began is taken. InputError for what is wrong with an input, Failure
// where the output cannot be written, Interrupted soon after `stop` becomes true.
MergeSummary merge_stores(std::span<const std::filesystem::path> inputs, const std::filesystem::path& output,
                          const std::atomic<bool>& stop);

}  // namespace batchscope
