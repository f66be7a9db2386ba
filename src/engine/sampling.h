// How a request's tokens are drawn (engine.h: Sampling), token by token, and what a user may ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/engine.h"
#include "ops/sample_tokens.h"

namespace batchscope {

// Of the token at `position` of the sequence, the prompt included. Depends on nothing else, so every layout,
// batch and arrival draws alike.
TokenDraw draw_of(const Sampling& sampling, std::int64_t position);

// InputError, which begins with `what`, for values that are none.
double parse_temperature(std::string_view text, std::string_view what);  // "0.8": >= 0
double parse_top_p(std::string_view text, std::string_view what);        // "0.9": > 0, <= 1

}  // namespace batchscope
