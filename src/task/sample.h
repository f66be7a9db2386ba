// Some questions that stand for all of a task.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "task/question.h"

namespace batchscope {

// `size` questions, or all, in the order of the task: of those sorted by length every (all / size)-th from a random
// start, so that each length has its share and each question the same chance. Lengths are those of the texts, or the
// tokens where there are no texts: the same for every engine.
std::vector<std::size_t> sample_by_length(std::span<const Question> questions, std::int64_t size, std::uint64_t seed);

}  // namespace batchscope
