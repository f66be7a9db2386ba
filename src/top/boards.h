// GPUs and virtual devices on a screen, in as much room as there is for each.
#pragma once

#include <vector>

#include "top/grid.h"
#include "top/screen.h"
#include "top/view.h"

namespace batchscope::top {

// How boards are set.
struct BoardSetting {
  Detail detail = Detail::blocks;  // never automatic
  std::size_t columns = 1;         // side by side
  std::size_t graph_rows = 0;      // of `graphs`
  Nanoseconds step{0};             // of a column of them
};

// The richest that leaves `height` lines; of those asked for, if the view asks.
BoardSetting choose_setting(const std::vector<Board>& boards, const View& view, std::size_t width, std::size_t height);
std::size_t height_of(const std::vector<Board>& boards, const BoardSetting& setting);
void draw_boards(const Area& area, const std::vector<Board>& boards, const BoardSetting& setting);

}  // namespace batchscope::top
