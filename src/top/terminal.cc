// ncurses (top/terminal.h).
#include "top/terminal.h"

#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"

#define NCURSES_NOMACROS 1
#include <curses.h>
#include <term.h>

namespace batchscope::top {
namespace {

// A signal that came just before the wait is seen after this.
constexpr Nanoseconds longest_wait = std::chrono::milliseconds(200);

bool colours_wanted() {
  const char* no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && has_colors();
}

// What each style looks like: with colours, and without.
struct Look {
  short foreground = -1, background = -1;
  attr_t with_colours = A_NORMAL, without = A_NORMAL;
};
constexpr std::array<Look, style_count> looks() {
  std::array<Look, style_count> all{};
  const auto of = [&](Style style) -> Look& { return all[static_cast<std::size_t>(style)]; };
  of(Style::dim) = {.with_colours = A_DIM, .without = A_DIM};
  of(Style::bold) = {.with_colours = A_BOLD, .without = A_BOLD};
  of(Style::title) = {.foreground = COLOR_BLACK, .background = COLOR_CYAN, .without = A_REVERSE};
  of(Style::key) = {.foreground = COLOR_BLACK, .background = COLOR_CYAN, .without = A_REVERSE};
  of(Style::warning) = {.foreground = COLOR_YELLOW, .with_colours = A_BOLD, .without = A_BOLD};
  of(Style::alarm) = {
      .foreground = COLOR_WHITE, .background = COLOR_RED, .with_colours = A_BOLD, .without = A_REVERSE | A_BOLD};
  of(Style::used) = {.foreground = COLOR_GREEN};
  of(Style::reserved) = {.foreground = COLOR_YELLOW};
  of(Style::sent) = {.foreground = COLOR_MAGENTA};
  of(Style::received) = {.foreground = COLOR_CYAN};
  return all;
}

std::array<attr_t, style_count> attributes{};

void choose_looks() {
  const bool colours = colours_wanted();
  if (colours) {
    start_color();
    use_default_colors();
  }
  const auto all = looks();
  for (std::size_t i = 0; i < style_count; ++i) {
    attributes[i] = colours ? all[i].with_colours : all[i].without;
    if (!colours || (all[i].foreground < 0 && all[i].background < 0)) continue;
    const auto pair = static_cast<short>(i + 1);
    init_pair(pair, all[i].foreground, all[i].background);
    attributes[i] |= static_cast<attr_t>(COLOR_PAIR(pair));
  }
}

void draw_row(const Grid& grid, std::size_t row) {
  std::string run;
  for (std::size_t x = 0; x < grid.width();) {
    const std::size_t begin = x;
    const Style style = grid.at(x, row).style;
    run.clear();
    for (; x < grid.width() && grid.at(x, row).style == style; ++x) append_code_point(grid.at(x, row).glyph, run);
    attrset(static_cast<int>(attributes[static_cast<std::size_t>(style)]));
    // The cursor cannot stand behind the last cell: ncurses says so and has written it.
    mvaddstr(static_cast<int>(row), static_cast<int>(begin), run.c_str());
  }
}

bool same_row(const Grid& a, const Grid& b, std::size_t row) {
  for (std::size_t x = 0; x < a.width(); ++x)
    if (a.at(x, row) != b.at(x, row)) return false;
  return true;
}

Key key_of(int code) {
  switch (code) {
    case KEY_UP:
      return {Key::up};
    case KEY_DOWN:
      return {Key::down};
    case KEY_LEFT:
      return {Key::left};
    case KEY_RIGHT:
      return {Key::right};
    case KEY_SLEFT:
      return {Key::shift_left};
    case KEY_SRIGHT:
      return {Key::shift_right};
    case KEY_PPAGE:
      return {Key::page_up};
    case KEY_NPAGE:
      return {Key::page_down};
    case KEY_HOME:
      return {Key::home};
    case KEY_END:
      return {Key::end};
    case KEY_F(1):
      return {Key::f1};
    case KEY_F(2):
      return {Key::f2};
    case KEY_F(6):
      return {Key::f6};
    case KEY_F(9):
      return {Key::f9};
    case KEY_F(10):
      return {Key::f10};
    case KEY_RESIZE:
      return {Key::resized};
    case 27:
      return {Key::escape};
    default:
      return code > 0 && code < 0x80 ? Key{Key::character, static_cast<char>(code)} : Key{};
  }
}

}  // namespace

bool check_terminal() {
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
    throw InputError("standard input and output are not a terminal; --once prints one screen as plain text");
  int problem = 0;
  if (setupterm(nullptr, STDOUT_FILENO, &problem) != 0) {
    const char* type = std::getenv("TERM");
    throw InputError("TERM={} is not a known terminal type; set TERM=xterm, or use --once",
                     type != nullptr ? type : "");
  }
  const char* move = tigetstr("cup");
  const bool has_cursor = move != nullptr && move != reinterpret_cast<const char*>(-1);
  del_curterm(cur_term);
  return has_cursor;
}

bool is_ascii_only() {
  setlocale(LC_CTYPE, "");
  const char* type = std::getenv("TERM");
  // The kernel's own console has only some of the blocks.
  return std::string_view(nl_langinfo(CODESET)) != "UTF-8" || (type != nullptr && std::string_view(type) == "linux");
}

Terminal::Terminal() : is_ascii_(is_ascii_only()) {
  check_terminal();
  screen_ = newterm(nullptr, stdout, stdin);
  if (screen_ == nullptr) throw InputError("the terminal cannot be used; try --once");
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  curs_set(0);
  set_escdelay(25);
  choose_looks();
}

Terminal::~Terminal() {
  endwin();
  delscreen(static_cast<SCREEN*>(screen_));
}

std::size_t Terminal::width() const { return static_cast<std::size_t>(std::max(getmaxx(stdscr), 1)); }
std::size_t Terminal::height() const { return static_cast<std::size_t>(std::max(getmaxy(stdscr), 1)); }

void Terminal::draw(Grid grid) {
  if (is_ascii_) grid.make_ascii();
  const bool comparable = drawn_ && drawn_->width() == grid.width() && drawn_->height() == grid.height();
  if (!comparable) erase();
  for (std::size_t row = 0; row < grid.height(); ++row)
    if (!comparable || !same_row(grid, *drawn_, row)) draw_row(grid, row);
  refresh();
  drawn_ = std::move(grid);
}

Key Terminal::wait(Nanoseconds most) {
  timeout(0);
  if (const int code = getch(); code != ERR) return key_of(code);  // what ncurses has already
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  const auto time = std::chrono::ceil<std::chrono::milliseconds>(std::clamp(most, Nanoseconds(0), longest_wait));
  const int ready = poll(&input, 1, static_cast<int>(time.count()));
  if (ready < 0) {  // a signal: perhaps of a new size
    const int code = getch();
    return code == ERR ? Key{} : key_of(code);
  }
  if (ready == 0) return {};
  const int code = getch();
  // Ready, but nothing to read: there is no terminal any more.
  if (code == ERR && (input.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return {Key::hung_up};
  return code == ERR ? Key{} : key_of(code);
}

}  // namespace batchscope::top
