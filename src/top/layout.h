// A screen in cells: head, boards, phases and processes as far as there is room, foot.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "top/grid.h"
#include "top/screen.h"
#include "top/view.h"

namespace batchscope::top {

// Where a replay is.
struct TimeBar {
  Nanoseconds position{0}, length{0};
  double speed = 1;
};

// What stands around the figures.
struct Caption {
  std::string title{};           // "batchscope top"
  std::string when{};            // the date
  std::string no_boards{};       // what to say where there is none
  std::optional<TimeBar> bar{};  // of a replay
  std::string message{};         // what came of a key: an error, as a rule
};

struct Frame {
  Grid grid;
  std::size_t most_scroll = 0;  // lines that are out of sight below
};

// Those that are shown, in the order of the view.
std::vector<Process> processes_shown(const Screen& screen, const View& view);

// Exactly width × height; what is out of it is cut. Made for 60×20 and more.
Frame layout(const Screen& screen, const View& view, const Caption& caption, std::size_t width, std::size_t height);

// All of it, as high as it is, without keys.
Grid layout_whole(const Screen& screen, const View& view, const Caption& caption, std::size_t width);

}  // namespace batchscope::top
