// The terminal: the only place that knows ncurses. It writes what has changed, and gives keys.
#pragma once

#include <cstddef>
#include <optional>

#include "base/clock.h"
#include "top/grid.h"
#include "top/view.h"

namespace batchscope::top {

class Terminal {
 public:
  // Takes the screen until the end of the object. InputError where there is no terminal.
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  std::size_t width() const;
  std::size_t height() const;
  void draw(Grid grid);
  // The next key; `none` when that much time has passed, a signal came, or just so.
  Key wait(Nanoseconds most);

 private:
  bool is_ascii_;
  std::optional<Grid> drawn_;
};

// InputError unless standard input and output are a terminal of a known type.
void check_terminal();
// It can write anywhere on the screen; TERM=dumb cannot.
bool terminal_has_cursor();
// The locale's characters, and what the terminal is known to show.
bool is_ascii_only();

}  // namespace batchscope::top
