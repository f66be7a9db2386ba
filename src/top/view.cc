// Keys (top/view.h): those of htop and nvtop where they have them.
#include "top/view.h"

#include <algorithm>

namespace batchscope::top {
namespace {

template <class Enum>
Enum next(Enum value, std::size_t count) {
  return static_cast<Enum>((static_cast<std::size_t>(value) + 1) % count);
}

void choose_order(View& view, ProcessOrder order) {
  view.reversed = view.order == order && !view.reversed;
  view.order = order;
}

// All, the first, …, the last, all.
void choose_next_board(View& view, std::size_t boards, bool forward) {
  const std::size_t now = view.only_board ? std::min(*view.only_board + 1, boards) : 0;
  const std::size_t then = (now + (forward ? 1 : boards)) % (boards + 1);
  view.only_board = then == 0 ? std::nullopt : std::optional(then - 1);
  view.scroll = 0;
}

bool handle_character(View& view, char character, std::size_t boards) {
  if (character >= '0' && character <= '9') {
    const auto board = static_cast<std::size_t>(character - '0');
    if (board >= boards) return true;
    view.only_board = view.only_board == board ? std::nullopt : std::optional(board);
    view.scroll = 0;
    return true;
  }
  switch (character) {
    case 'q':
      view.quit = true;
      return true;
    case 'h':
    case '?':
      view.help = true;
      return true;
    case ' ':
    case 'Z':
      view.paused = !view.paused;
      return true;
    case 's':
    case '>':
      view.order = next(view.order, process_orders);
      view.reversed = false;
      return true;
    case 'M':
      choose_order(view, ProcessOrder::memory);
      return true;
    case 'P':
      choose_order(view, ProcessOrder::utilization);
      return true;
    case 'N':
      choose_order(view, ProcessOrder::pid);
      return true;
    case 'U':
      choose_order(view, ProcessOrder::user);
      return true;
    case 'I':
      view.reversed = !view.reversed;
      return true;
    case 'd':
      view.detail = next(view.detail, details);
      view.scroll = 0;
      return true;
    case 'g':
      choose_next_board(view, boards, true);
      return true;
    case 'G':
      choose_next_board(view, boards, false);
      return true;
    case 'a':
      view.only_board.reset();
      return true;
    default:
      return false;
  }
}

// Up and down choose, y says that it is this one, y once more that it is meant; anything else ends nothing.
void handle_ending(View& view, const Key& key, const KeyTargets& targets) {
  EndingQuestion& question = *view.ending;
  const std::size_t last = targets.pids.empty() ? 0 : targets.pids.size() - 1;
  question.row = std::min(question.row, last);
  if (!question.pid && key.code == Key::up) {
    question.row -= std::min<std::size_t>(question.row, 1);
  } else if (!question.pid && key.code == Key::down) {
    question.row = std::min(question.row + 1, last);
  } else if (!question.pid && key.is('y') && !targets.pids.empty()) {
    question.pid = targets.pids[question.row];
  } else {
    if (question.pid && key.is('y')) view.to_end = question.pid;
    view.ending.reset();
  }
}

}  // namespace

bool handle(View& view, const Key& key, const KeyTargets& targets) {
  const auto& [boards, page, pids] = targets;
  const bool is_a_press = key.code != Key::none && key.code != Key::resized && key.code != Key::hung_up;
  if (view.ending && is_a_press) {
    handle_ending(view, key, targets);
    return true;
  }
  if ((key.is('k') || key.code == Key::f9) && !pids.empty() && !view.help) {
    view.ending.emplace();
    return true;
  }
  if (view.help && is_a_press) {
    view.help = false;
    return true;
  }
  switch (key.code) {
    case Key::character:
      return handle_character(view, key.character_code, boards);
    case Key::up:
      view.scroll -= std::min<std::size_t>(view.scroll, 1);
      return true;
    case Key::down:
      ++view.scroll;
      return true;
    case Key::page_up:
      view.scroll -= std::min(view.scroll, page);
      return true;
    case Key::page_down:
      view.scroll += page;
      return true;
    case Key::f1:
      view.help = true;
      return true;
    case Key::f2:
      return handle_character(view, 'd', boards);
    case Key::f6:
      return handle_character(view, 's', boards);
    case Key::f10:
    case Key::hung_up:
      view.quit = true;
      return true;
    case Key::resized:
      return true;
    default:
      return false;
  }
}

}  // namespace batchscope::top
