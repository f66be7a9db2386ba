// Shows a feed: on a terminal until the user has seen enough, or once as text.
#pragma once

#include <atomic>
#include <functional>
#include <string_view>

#include "top/feed.h"

namespace batchscope::top {

// `print` writes text to standard output and says whether anybody reads it. Ends when the user quits, or at
// `interrupted`. A terminal that cannot move its cursor gets a screen after the other.
void show(Feed& feed, const std::atomic<bool>& interrupted, const std::function<bool(std::string_view)>& print);

// One screen as of the feed's last update, as plain text, `width` columns wide.
std::string screen_text(const Feed& feed, std::size_t width);

// Of standard output: COLUMNS, the terminal's, or 80.
std::size_t text_width_wanted();

}  // namespace batchscope::top
