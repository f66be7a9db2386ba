// What a user chose to see, and how keys change it.
#pragma once

#include <cstddef>
#include <optional>

namespace batchscope::top {

struct Key {
  enum Code {
    none,
    character,
    up,
    down,
    left,
    right,
    shift_left,
    shift_right,
    page_up,
    page_down,
    home,
    end,
    f1,
    f2,
    f5,
    f6,
    f10,
    escape,
    resized,
    hung_up,  // the terminal is gone
  };
  Code code = none;
  char character_code = 0;  // of `character`

  bool is(char wanted) const { return code == character && character_code == wanted; }
};

enum class ProcessOrder { memory, board, pid, name };
constexpr std::size_t process_orders = 4;

// How much room a GPU has: a line, three, six, or as much as there is.
enum class Detail { automatic, lines, short_blocks, blocks, graphs };
constexpr std::size_t details = 5;

struct View {
  ProcessOrder order = ProcessOrder::memory;
  bool reversed = false;
  Detail detail = Detail::automatic;
  std::optional<std::size_t> only_board{};  // its number on the screen; otherwise all
  std::size_t scroll = 0;                   // lines of what is between head and foot
  bool paused = false;
  bool help = false;
  bool quit = false;
};

// Keys that mean the same for what is live and what was recorded. False for a key that says nothing here. `boards` and
// `page` are how many there are, and how many lines a screen has room for.
bool handle(View& view, const Key& key, std::size_t boards, std::size_t page);

}  // namespace batchscope::top
