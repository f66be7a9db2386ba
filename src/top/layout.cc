// Head, body and foot (top/layout.h).
#include "top/layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "base/units.h"
#include "top/boards.h"
#include "top/widgets.h"

namespace batchscope::top {
namespace {

constexpr std::size_t least_width = 60;  // less is this, cut
constexpr std::size_t head_height = 2;
constexpr std::size_t processes_in_sight = 4;  // that boards leave room for
constexpr std::size_t least_phase_rows = 3;    // head, a phase, how many more there are

// ---- head

void draw_title(const Area& area, const Screen& screen, const View& view, const Caption& caption) {
  area.fill(0, Style::title);
  std::string right = fmt::format(" {} ", caption.when);
  right = fmt::format(" {} {:g} s ·{}", caption.bar ? "one column is" : "every", to_seconds(screen.step), right);
  if (view.paused) right = " PAUSED ·" + right;
  std::string left = " " + caption.title;
  for (const std::string& part : {screen.host.name, screen.driver.empty() ? "" : "driver " + screen.driver})
    if (!part.empty() && text_columns(left + " · " + part + right) <= area.width) left += " · " + part;
  area.put(0, 0, left, Style::title);
  area.put_right(area.width, 0, right, Style::title);
}

void draw_host(const Area& area, const Host& host) {
  const std::size_t half = area.width / 2;
  std::string cpus = host.cpus_busy ? fmt::format("{:.2f}", *host.cpus_busy) : "-";
  cpus += host.cpus ? fmt::format(" of {:g} CPUs", *host.cpus) : " CPUs";
  const auto draw = [&](std::size_t begin, const char* label, std::optional<double> used, std::optional<double> all,
                        const std::string& text) {
    const std::size_t bar = half - 5 - 20;
    area.put(begin, 0, label);
    if (used && all.value_or(0) > 0) draw_bar(area, begin + 5, 0, bar, *used / *all, {}, Style::used);
    area.put(begin + 6 + bar, 0, text);
  };
  draw(0, "Host", host.cpus_busy, host.cpus, cpus);
  draw(half, "Mem", host.memory_used, host.memory_total, used_of(host.memory_used, host.memory_total));
}

// ---- body

std::vector<Process> ordered(std::vector<Process> processes, const View& view) {
  const auto before = [&](const Process& a, const Process& b) {
    switch (view.order) {
      case ProcessOrder::board:
        return a.board < b.board;
      case ProcessOrder::pid:
        return a.pid < b.pid;
      case ProcessOrder::user:
        return a.user < b.user;
      case ProcessOrder::name:
        return a.name < b.name;
      case ProcessOrder::utilization:
        return a.utilization.value_or(-1) > b.utilization.value_or(-1);
      case ProcessOrder::memory:
        break;
    }
    return a.memory.value_or(-1) > b.memory.value_or(-1);
  };
  std::stable_sort(processes.begin(), processes.end(),
                   [&](const auto& a, const auto& b) { return view.reversed ? before(b, a) : before(a, b); });
  return processes;
}

// Columns of the table of processes. Those of users and of utilisation are there where any is known, that of the share
// of the board's memory where there is room; the command line stands where it is wider than the name alone.
struct ProcessColumns {
  static constexpr std::size_t least_width_with_share = 72;
  static constexpr std::size_t pid = 16, memory = 27, user_width = 10;  // ends of numbers
  std::size_t share = 0, utilization = 0, user = 0, name = 0;           // 0: it has none; begins of texts

  ProcessColumns(const std::vector<Process>& processes, std::size_t width) {
    const auto any = [&](auto is_known) { return std::any_of(processes.begin(), processes.end(), is_known); };
    std::size_t end = memory;
    if (width >= least_width_with_share) share = end += 8;
    if (any([](const Process& process) { return process.utilization.has_value(); })) utilization = end += 7;
    name = end + 2;
    if (any([](const Process& process) { return !process.user.empty(); })) {
      user = name;
      name += user_width;
    }
  }
};

void draw_process_head(const Area& area, const ProcessColumns& columns, const View& view) {
  area.fill(0, Style::title);
  const auto head = [&](ProcessOrder order, const char* text) {
    return fmt::format("{}{}", text, order != view.order ? "" : view.reversed ? " ^" : " v");
  };
  area.put(0, 0, head(ProcessOrder::board, "GPU"), Style::title);
  area.put_right(columns.pid, 0, head(ProcessOrder::pid, "PID"), Style::title);
  area.put_right(columns.memory, 0, head(ProcessOrder::memory, "Memory"), Style::title);
  if (columns.share > 0) area.put_right(columns.share, 0, "of GPU", Style::title);
  if (columns.utilization > 0)
    area.put_right(columns.utilization, 0, head(ProcessOrder::utilization, "Util"), Style::title);
  if (columns.user > 0) area.put(columns.user, 0, head(ProcessOrder::user, "User"), Style::title);
  area.put(columns.name, 0, head(ProcessOrder::name, columns.user > 0 ? "Command" : "Process"), Style::title);
}

void draw_processes(const Area& area, const std::vector<Process>& processes, const View& view) {
  const ProcessColumns columns(processes, area.width);
  draw_process_head(area, columns, view);
  const Area users{area.grid, area.x + columns.user, area.y, ProcessColumns::user_width - 1};
  std::size_t row = 1;
  for (const Process& process : processes) {
    const bool is_chosen = view.ending && view.ending->row == row - 1;
    area.put(0, row, process.board, is_chosen ? Style::alarm : Style::bold);
    area.put_right(columns.pid, row, process.pid > 0 ? fmt::format("{}", process.pid) : "-");
    area.put_right(columns.memory, row, process.memory ? format_bytes(*process.memory) : "-");
    if (columns.share > 0) area.put_right(columns.share, row, percent(process.memory_share));
    if (columns.utilization > 0) area.put_right(columns.utilization, row, percent(process.utilization));
    if (columns.user > 0) users.put(0, row, process.user.empty() ? "-" : process.user);
    area.put(columns.name, row++, process.command.empty() ? process.name : process.command,
             is_chosen ? Style::alarm : Style::plain);
  }
}

// With its head, in `rows` lines; those that have no room are counted in the last.
void draw_phases(const Area& area, const std::vector<RunningPhase>& phases, std::size_t rows) {
  constexpr std::size_t name_width = 21, least_track_width = 12, most_track_width = 24, since_width = 12;
  std::size_t track_width = least_track_width;
  for (const RunningPhase& phase : phases) track_width = std::max(track_width, text_columns(phase.track));
  track_width = std::min(track_width, most_track_width);
  const Area names{area.grid, area.x, area.y, name_width};
  const Area tracks{area.grid, area.x + name_width + 1, area.y, track_width};
  const std::size_t since_end = name_width + 1 + track_width + since_width;
  area.fill(0, Style::title);
  area.put(0, 0, "Phase", Style::title);
  tracks.put(0, 0, "of", Style::title);
  area.put_right(since_end, 0, "since", Style::title);
  const std::size_t shown = phases.size() < rows ? phases.size() : rows - 2;
  for (std::size_t i = 0; i < shown; ++i) {
    const RunningPhase& phase = phases[i];
    names.put(0, i + 1, phase.name, Style::bold);
    tracks.put(0, i + 1, phase.track);
    area.put_right(since_end, i + 1, format_duration(phase.since));
    area.put(since_end + 2, i + 1, phase.detail);
  }
  if (shown < phases.size()) area.put(0, rows - 1, fmt::format("and {} more", phases.size() - shown), Style::dim);
}

constexpr std::array help_lines{
    "Keys, as in htop and nvtop where those have them",
    "  q  F10          quit",
    "  h  ?  F1        this help; any key leaves it",
    "  up down         scroll; PgUp and PgDn by a screen",
    "  Space  Z        pause and resume",
    "  0 … 9           only this GPU; a shows all again",
    "  g  G            only the next GPU, the previous one",
    "  d  F2           detail: one line, three lines, all, graphs",
    "  s  >  F6        sort processes by memory, utilisation, GPU, PID, user, name",
    "  M  P  N  U  I   by memory, utilisation, PID, user; reverse the order",
};
constexpr std::array live_help{
    "  +  -            update more often, less often",
    "  k  F9           end a process: choose it, y, and y once more",
};
constexpr std::array replay_help{
    "  left right      1 s back or forth; with Shift (or , .) 10 s; [ ] 60 s",
    "  Home  End       to the start, to the end",
    "  +  -            faster, slower",
};
constexpr std::array meaning_lines{
    "",
    "- means unknown, as a blank in a graph does. Zero is the lowest block (or _).",
    "Bars of memory: in use, then what driver and firmware reserve.",
    "Util is the share of time in which any kernel ran; SM, tensor and DRAM are",
    "shares of what the chip could do. After MHz: what holds clocks down, P power",
    "cap, T temperature, S slowdown by the board, L locked by a setting.",
};

Grid help_body(std::size_t width, bool is_replay) {
  std::vector<std::string_view> lines(help_lines.begin(), help_lines.end());
  if (is_replay)
    lines.insert(lines.end(), replay_help.begin(), replay_help.end());
  else
    lines.insert(lines.end(), live_help.begin(), live_help.end());
  lines.insert(lines.end(), meaning_lines.begin(), meaning_lines.end());
  Grid body(width, lines.size());
  const Area area{body, 0, 0, width};
  for (std::size_t i = 0; i < lines.size(); ++i) area.put(1, i, lines[i], i == 0 ? Style::bold : Style::plain);
  return body;
}

// Broken at blanks.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines{""};
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find(' ', at), text.size());
    const std::string word = text.substr(at, end - at);
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
    at = end + 1;
  }
  return lines;
}

// Of the table of phases: what a line for each board leaves of `height`, and at least a third.
std::size_t phase_rows_in(std::size_t height, const std::vector<Board>& boards, std::size_t process_rows) {
  const std::size_t others = height_of(boards, {.detail = Detail::lines}) + process_rows;
  return std::max({height - std::min(height, others), height / 3, least_phase_rows});
}

// All lines between head and foot. Boards leave room for phases and some processes within `height`, and phases for a
// line of each board; absent: there is room for everything.
Grid draw_body(const Screen& screen, const View& view, const Caption& caption, std::size_t width,
               std::optional<std::size_t> height) {
  std::vector<Board> boards = screen.boards;
  const std::vector<Process> processes = processes_shown(screen, view);
  if (view.only_board && *view.only_board < boards.size()) boards = {boards[*view.only_board]};
  const std::size_t process_rows = processes.empty() ? 0 : processes.size() + 1;
  // The same for few processes and for many: boards do not change when a process comes.
  const bool may_have_processes =
      std::any_of(boards.begin(), boards.end(), [](const Board& b) { return !b.is_virtual; });
  const std::size_t process_rows_in_sight = may_have_processes ? processes_in_sight + 1 : 0;
  std::size_t phase_rows = screen.phases.empty() ? 0 : screen.phases.size() + 1;
  if (height) phase_rows = std::min(phase_rows, phase_rows_in(*height, boards, process_rows_in_sight));
  const std::size_t others = phase_rows + process_rows_in_sight, room = height.value_or(0);
  BoardSetting setting = choose_setting(boards, view, width, room - std::min(room, others));
  setting.step = screen.step;
  const auto no_boards = wrapped(caption.no_boards, width);
  const std::size_t board_rows = boards.empty() ? no_boards.size() : height_of(boards, setting);
  Grid body(width, board_rows + phase_rows + process_rows);
  Area area{body, 0, 0, width};
  if (boards.empty())
    for (std::size_t i = 0; i < no_boards.size(); ++i) area.put(0, i, no_boards[i]);
  else
    draw_boards(area, boards, setting);
  area.y += board_rows;
  if (phase_rows > 0) draw_phases(area, screen.phases, phase_rows);
  area.y += phase_rows;
  if (process_rows > 0) draw_processes(area, processes, view);
  return body;
}

// ---- foot

void draw_time_bar(const Area& area, const TimeBar& bar) {
  const std::string position = clock_text(bar.position), length = clock_text(bar.length);
  const std::string speed = fmt::format("{:g}x", bar.speed);
  const std::size_t begin = area.put(1, 0, position, Style::bold) + 1;
  const std::size_t end = area.width - length.size() - speed.size() - 4;
  const double share = bar.length > Nanoseconds(0) ? to_seconds(bar.position) / to_seconds(bar.length) : 0;
  const auto at = begin + static_cast<std::size_t>(std::lround(share * static_cast<double>(end - begin - 1)));
  for (std::size_t column = begin; column < end; ++column)
    area.set(column, 0, column < at ? U'█' : column == at ? U'▒' : U'░', column < at ? Style::used : Style::dim);
  area.put(end + 1, 0, length);
  area.put_right(area.width - 1, 0, speed, Style::bold);
}

void draw_cost(const Area& area, const SamplingCost& sampling, std::size_t hidden) {
  std::size_t end = area.put(1, 0, "Sampling", Style::dim);
  end = area.put(end + 1, 0,
                 sampling.cpu_share ? fmt::format("{:.1f} % of one core", 100 * *sampling.cpu_share) : "cost unknown");
  end = area.put(end, 0, fmt::format(", {} missed", sampling.missed),
                 sampling.missed > 0 ? Style::warning : Style::plain);
  if (!sampling.stuck.empty())
    area.put(end, 0, fmt::format("; not answering: {}", fmt::join(sampling.stuck, ", ")), Style::alarm);
  if (hidden > 0) area.put_right(area.width, 0, fmt::format("  {} more lines below ", hidden), Style::warning);
}

// Instead of what sampling costs: which process is to be ended, and whether that is meant.
void draw_question(const Area& area, const std::vector<Process>& processes, const EndingQuestion& question) {
  area.fill(0, Style::alarm);
  if (processes.empty()) return;
  // Others may have come in front of the chosen one.
  auto chosen = std::find_if(processes.begin(), processes.end(),
                             [&](const Process& process) { return process.pid == question.pid; });
  if (chosen == processes.end())
    chosen = processes.begin() + static_cast<std::ptrdiff_t>(std::min(question.row, processes.size() - 1));
  const Process& process = *chosen;
  const std::string who =
      fmt::format("{} (pid {}{})", process.name, process.pid, process.user.empty() ? "" : ", " + process.user);
  area.put(1, 0,
           question.pid ? fmt::format("Send SIGTERM to {}? y once more; any other key: no", who)
                        : fmt::format("End {}? y, or up and down for another; Esc: none", who),
           Style::alarm);
}

struct KeyName {
  const char *key, *what;
};

void draw_keys(const Area& area, bool is_replay) {
  constexpr std::array live{KeyName{"F1", "Help"}, KeyName{"F2", "Detail"},   KeyName{"F6", "Sort"},
                            KeyName{"g", "GPU"},   KeyName{"+-", "Interval"}, KeyName{"Space", "Pause"},
                            KeyName{"F9", "Kill"}, KeyName{"F10", "Quit"}};
  constexpr std::array replay{KeyName{"F1", "Help"},  KeyName{"F2", "Detail"}, KeyName{"Space", "Pause"},
                              KeyName{"←→", "1s"},    KeyName{",.", "10s"},    KeyName{"[]", "60s"},
                              KeyName{"+-", "Speed"}, KeyName{"F10", "Quit"}};
  const std::span<const KeyName> names = is_replay ? std::span<const KeyName>(replay) : live;
  const auto text_of = [](const KeyName& name) { return fmt::format("{:<4}", name.what); };
  const auto columns = [&](const KeyName& name) { return text_columns(name.key) + text_columns(text_of(name)) + 1; };
  std::size_t column = 0;
  const auto draw = [&](const KeyName& name) {
    column = area.put(column, 0, name.key, Style::bold);
    column = area.put(column, 0, text_of(name), Style::key);
    column = area.put(column, 0, " ");
  };
  // On a narrow screen those that do not fit are left out, but for the last, which quits.
  for (const KeyName& name : names.first(names.size() - 1))
    if (column + columns(name) + columns(names.back()) <= area.width + 1) draw(name);
  draw(names.back());
}

// Where all GPUs just fit into `rows` lines, the line of keys would take that of one; F1 has them, too.
bool is_there_room_for_keys(const Screen& screen, const View& view, std::size_t rows) {
  std::vector<Board> gpus = screen.boards;
  std::erase_if(gpus, [](const Board& board) { return board.is_virtual; });
  return view.only_board || view.help || height_of(gpus, {.detail = Detail::lines}) != rows;
}

}  // namespace

std::vector<Process> processes_shown(const Screen& screen, const View& view) {
  std::vector<Process> processes = ordered(screen.processes, view);
  if (view.only_board && *view.only_board < screen.boards.size())
    std::erase_if(processes,
                  [&](const Process& process) { return process.board != screen.boards[*view.only_board].label; });
  return processes;
}

Frame layout(const Screen& screen, const View& view, const Caption& caption, std::size_t width, std::size_t height) {
  Grid head(std::max(width, least_width), head_height);
  draw_title({head, 0, 0, width}, screen, view, caption);
  draw_host({head, 0, 1, head.width()}, screen.host);
  const std::size_t foot_height_without_keys = caption.bar ? 2 : 1;
  const bool has_keys =
      is_there_room_for_keys(screen, view, height - std::min(height, head_height + foot_height_without_keys));
  const std::size_t foot_height = foot_height_without_keys + (has_keys ? 1 : 0);
  const std::size_t body_height = height - std::min(height, head_height + foot_height);
  const Grid body = view.help ? help_body(head.width(), caption.bar.has_value())
                              : draw_body(screen, view, caption, head.width(), body_height);
  Frame frame{Grid(width, height)};
  frame.most_scroll = body.height() - std::min(body.height(), body_height);
  const std::size_t scroll = std::min(view.scroll, frame.most_scroll);
  for (std::size_t row = 0; row < head_height; ++row) frame.grid.copy_row(head, row, row);
  for (std::size_t row = 0; row < body_height; ++row) frame.grid.copy_row(body, row + scroll, row + head_height);
  if (height < head_height + foot_height) return frame;
  Area foot{frame.grid, 0, height - foot_height, width};
  if (caption.bar && width >= 40) draw_time_bar(foot, *caption.bar);
  foot.y = height - (has_keys ? 2 : 1);
  if (view.ending)
    draw_question(foot, processes_shown(screen, view), *view.ending);
  else if (!caption.message.empty())
    foot.put(1, 0, caption.message, Style::alarm);
  else
    draw_cost(foot, screen.sampling, frame.most_scroll - scroll);
  foot.y = height - 1;
  if (has_keys) draw_keys(foot, caption.bar.has_value());
  return frame;
}

Grid layout_whole(const Screen& screen, const View& view, const Caption& caption, std::size_t width) {
  View whole = view;
  if (whole.detail == Detail::automatic) whole.detail = Detail::blocks;
  width = std::max(width, least_width);
  const Grid body = draw_body(screen, whole, caption, width, {});
  const std::size_t foot = caption.bar ? 2 : 1;
  Grid grid(width, head_height + body.height() + foot);
  draw_title({grid, 0, 0, width}, screen, whole, caption);
  draw_host({grid, 0, 1, width}, screen.host);
  for (std::size_t row = 0; row < body.height(); ++row) grid.copy_row(body, row, head_height + row);
  if (caption.bar) draw_time_bar({grid, 0, grid.height() - 2, width}, *caption.bar);
  draw_cost({grid, 0, grid.height() - 1, width}, screen.sampling, 0);
  return grid;
}

}  // namespace batchscope::top
