// The loop of `top` and `replay` (top/show.h).
#include "top/show.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include "top/terminal.h"

namespace batchscope::top {
namespace {

// Graphs are at most half as wide as the screen.
Screen screen_for(const Feed& feed, std::size_t width) {
  return make_screen(feed.observation(), std::max<std::size_t>(width / 2, 40));
}

void show_texts(Feed& feed, const std::atomic<bool>& interrupted, const std::function<bool(std::string_view)>& print) {
  for (Nanoseconds next = monotonic_clock().now(); !interrupted;) {
    const bool is_new = feed.update(false);
    const Caption caption = feed.caption();
    if (is_new && !print(screen_text(feed, text_width_wanted()) + "\n")) return;
    if (caption.bar && caption.bar->position == caption.bar->length) return;
    next += std::max<Nanoseconds>(feed.update_interval(), std::chrono::seconds(1));
    while (!interrupted && monotonic_clock().now() < next)
      monotonic_clock().sleep_until(std::min(next, monotonic_clock().now() + std::chrono::milliseconds(100)));
  }
}

class Loop {
 public:
  explicit Loop(Feed& feed) : feed_(feed) {}

  void run(const std::atomic<bool>& interrupted) {
    feed_.update(false);
    remake();
    Nanoseconds next = monotonic_clock().now() + feed_.update_interval();
    while (!view_.quit && !interrupted) {
      draw();
      // All keys that there are, also when updates take longer than their interval.
      Key key = terminal_.wait(next - monotonic_clock().now());
      for (; key.code != Key::none && !view_.quit; key = terminal_.wait(Nanoseconds(0))) take(key);
      const Nanoseconds now = monotonic_clock().now();
      next = std::min(next, now + feed_.update_interval());  // which a key may have changed
      if (now < next) continue;
      if (feed_.update(view_.paused)) remake();
      next = std::max(next + feed_.update_interval(), now);  // what was missed is not made up for
    }
  }

 private:
  void take(const Key& key) {
    is_drawn_ = false;
    const bool is_own = !view_.help && !view_.ending && feed_.handle(key);
    if (!is_own) handle(view_, key, targets());
    if (const auto pid = std::exchange(view_.to_end, std::nullopt)) feed_.end_process(*pid);
    if (is_own) remake();
  }

  KeyTargets targets() const {
    KeyTargets out{.boards = screen_.boards.size(), .page = terminal_.height()};
    if (feed_.is_live())
      for (const Process& process : processes_shown(screen_, view_)) out.pids.push_back(process.pid);
    return out;
  }

  void remake() {
    screen_ = screen_for(feed_, terminal_.width());
    caption_ = feed_.caption();
    is_drawn_ = false;
  }

  void draw() {
    if (is_drawn_) return;
    Frame frame = layout(screen_, view_, caption_, terminal_.width(), terminal_.height());
    view_.scroll = std::min(view_.scroll, frame.most_scroll);
    terminal_.draw(std::move(frame.grid));
    is_drawn_ = true;
  }

  Feed& feed_;
  Terminal terminal_;
  View view_;
  Screen screen_;
  Caption caption_;
  bool is_drawn_ = false;
};

}  // namespace

std::string date_text(Nanoseconds unix) {
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(unix).count();
  std::tm parts{};
  std::string text(32, '\0');
  if (localtime_r(&seconds, &parts) == nullptr) return "";
  text.resize(std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &parts));
  return text;
}

std::size_t text_width_wanted() {
  std::size_t columns = 0;
  const char* set = std::getenv("COLUMNS");
  if (set != nullptr && std::from_chars(set, set + std::string_view(set).size(), columns).ec == std::errc() &&
      columns > 0)
    return std::min<std::size_t>(columns, 1000);
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string screen_text(const Feed& feed, std::size_t width) {
  Grid grid = layout_whole(screen_for(feed, width), {}, feed.caption(), width);
  if (is_ascii_only()) grid.make_ascii();
  return grid.text();
}

void show(Feed& feed, const std::atomic<bool>& interrupted, const std::function<bool(std::string_view)>& print) {
  if (check_terminal())
    Loop(feed).run(interrupted);
  else
    show_texts(feed, interrupted, print);
}

}  // namespace batchscope::top
