// What a user chose to see, and how keys change it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

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
    f6,
    f9,
    f10,
    escape,
    resized,
    hung_up,  // the terminal is gone
  };
  Code code = none;
  char character_code = 0;  // of `character`

  bool is(char wanted) const { return code == character && character_code == wanted; }
};

enum class ProcessOrder { memory, utilization, board, pid, user, name };
constexpr std::size_t process_orders = 6;

// How much room a GPU has: a line, three, six, or as much as there is.
enum class Detail { automatic, lines, short_blocks, blocks, graphs };
constexpr std::size_t details = 5;

// Ending a process takes two answers: which one, and whether it is really meant.
struct EndingQuestion {
  std::size_t row = 0;              // of the processes on the screen, in their order
  std::optional<std::int64_t> pid;  // once it is chosen
};

struct View {
  ProcessOrder order = ProcessOrder::memory;
  bool reversed = false;
  Detail detail = Detail::automatic;
  std::optional<std::size_t> only_board{};  // its number on the screen; otherwise all
  std::size_t scroll = 0;                   // lines of what is between head and foot
  bool paused = false;
  bool help = false;
  bool quit = false;
  std::optional<EndingQuestion> ending{};
  std::optional<std::int64_t> to_end{};  // answered twice: whoever owns the loop ends it
};

// What keys are about, as it is on the screen.
struct KeyTargets {
  std::size_t boards = 0;            // how many there are
  std::size_t page = 0;              // lines that a screen has room for
  std::vector<std::int64_t> pids{};  // of the processes that may be ended, in their order; none of a recording
};

// Keys that mean the same for what is live and what was recorded. False for a key that says nothing here.
bool handle(View& view, const Key& key, const KeyTargets& targets);

}  // namespace batchscope::top
