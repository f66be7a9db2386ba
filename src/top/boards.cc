// Boards as lines of a table and as blocks (top/boards.h).
#include "top/boards.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "top/widgets.h"

namespace batchscope::top {
namespace {

constexpr std::size_t least_block_width = 78;
constexpr std::size_t block_gap = 2;  // between blocks
constexpr std::size_t label_width = 7;
constexpr std::size_t least_graph_rows = 3, most_graph_rows = 8;
constexpr std::size_t least_panel_width = 22;

std::optional<double> share_of(std::optional<double> part, std::optional<double> all) {
  return part && all.value_or(0) > 0 ? std::optional(*part / *all) : std::nullopt;
}

bool has_power(const Board& board) { return !board.is_virtual && !board.is_part; }
bool has_activity(const Board& board) { return board.sm_active || board.tensor_active || board.dram_active; }

// At its limit, within what sensors can tell.
Style power_style(const Board& board) {
  return share_of(board.power.now, board.power_limit).value_or(0) > 0.98 ? Style::warning : Style::used;
}

std::string power_text(const Board& board, const char* of) {
  if (!board.power.now) return "-";
  if (!board.power_limit) return fmt::format("{:.0f} W", *board.power.now);
  return fmt::format("{:.0f}{}{:.0f} W", *board.power.now, of, *board.power_limit);
}

// What stands under the first line: errors and what is missing.
std::size_t notes(const Board& board) {
  return board.errors.size() + board.absences.size() + (board.trouble.empty() ? 0 : 1);
}

std::size_t draw_notes(const Area& area, std::size_t row, const Board& board) {
  const auto put = [&](const std::string& text) {
    std::size_t end = area.put(0, row, "  ! ", Style::alarm);
    end = area.put(end, row, text, Style::alarm);
    ++row;
  };
  if (board.is_asleep)
    area.put(4, row++, board.trouble, Style::dim);
  else if (!board.trouble.empty())
    put(board.trouble);
  for (const std::string& error : board.errors) put(error);
  for (const std::string& absence : board.absences) put(absence);
  return row;
}

// ---- blocks

// "gpu:0 NVIDIA H200            62C  SM 1980 MHz  power cap"
void draw_title(const Area& area, const Board& board, bool with_activity) {
  std::vector<std::string> facts;
  if (with_activity && has_activity(board))
    facts.push_back(fmt::format("SM {}  tensor {}  DRAM {}", percent(board.sm_active), percent(board.tensor_active),
                                percent(board.dram_active)));
  if (board.encoder.value_or(0) > 0) facts.push_back("encoder " + percent(board.encoder));
  if (board.decoder.value_or(0) > 0) facts.push_back("decoder " + percent(board.decoder));
  if (board.temperature) facts.push_back(fmt::format("{:.0f}C", *board.temperature));
  if (board.fan) facts.push_back("fan " + percent(board.fan));
  if (board.sm_clock) facts.push_back(fmt::format("SM {:.0f} MHz", *board.sm_clock * 1e-6));
  const bool has_video = board.encoder.value_or(0) > 0 || board.decoder.value_or(0) > 0;
  if (board.memory_clock && !with_activity && !has_video)
    facts.push_back(fmt::format("memory {:.0f} MHz", *board.memory_clock * 1e-6));
  const std::string limits = fmt::format("{}", fmt::join(board.clock_limits, ", "));
  std::string text = fmt::format("{}", fmt::join(facts, "  "));
  const std::size_t behind = limits.empty() ? 0 : text_columns(limits) + 2;
  const std::size_t end = area.put(0, 0, board.label, Style::bold);
  area.put(end + 1, 0, board.name);
  const std::size_t right = area.width - std::min(behind, area.width);
  area.put_right(right, 0, " " + text);
  if (!limits.empty()) area.put(right, 0, "  " + limits, Style::warning);
}

double top_of(const Link& link) { return std::max(greatest(link.tx.history), greatest(link.rx.history)); }

void draw_link(const Area& area, std::size_t row, const Link& link) {
  const std::string peak = fmt::format("  peak {}", rate_text(top_of(link)));
  const std::size_t peak_width = area.width >= 110 ? 20 : 0;
  const std::size_t half = (area.width - label_width - peak_width) / 2;
  area.put(0, row, link.name);
  std::size_t column = label_width;
  const auto draw = [&](const char* direction, const Value& value, Style style) {
    area.put(column, row, direction, Style::dim);
    area.put_right(column + 15, row, rate_text(value.now));
    draw_graph(area, column + 16, row, half - 18, 1, value.history, top_of(link), style);
    column += half;
  };
  draw("TX", link.tx, Style::sent);
  draw("RX", link.rx, Style::received);
  if (peak_width > 0) area.put(column, row, peak, Style::dim);
}

// A bar, on wide screens with its past beside it, and a text of 42 columns.
void draw_level(const Area& area, std::size_t row, const char* label, std::optional<double> share,
                std::optional<double> reserved, Style style, const History& past, double past_top,
                const std::string& text) {
  constexpr std::size_t text_width = 42;
  const std::size_t room = area.width - label_width - text_width;
  const std::size_t graph = room >= 48 ? room / 2 : 0;
  const std::size_t bar = room - (graph > 0 ? graph + 1 : 0);
  area.put(0, row, label);
  draw_bar(area, label_width, row, bar, share, reserved, style);
  if (graph > 0) draw_graph(area, label_width + bar + 1, row, graph, 1, past, past_top, style);
  area.put(label_width + room + 1, row, text);
}

std::size_t block_height(const Board& board) {
  if (!board.trouble.empty()) return 1 + notes(board);
  return 3 + notes(board) + (has_power(board) ? 1 : 0) + board.links.size();
}

void draw_block(const Area& area, const Board& board) {
  draw_title(area, board, false);
  std::size_t row = draw_notes(area, 1, board);
  if (!board.trouble.empty()) return;
  std::string activity = fmt::format("{:>5}", percent(board.utilization.now));
  if (has_activity(board))
    activity += fmt::format("  SM {:>5}  tensor {:>5}  DRAM {:>5}", percent(board.sm_active),
                            percent(board.tensor_active), percent(board.dram_active));
  draw_level(area, row++, "Util", board.utilization.now, {}, Style::used, board.utilization.history, 1, activity);
  std::string memory = " " + used_of(board.memory_used.now, board.memory_capacity);
  if (board.shares_host_memory) memory += ", the host's";
  if (board.memory_reserved.value_or(0) > 0) memory += fmt::format(", {} reserved", short_bytes(board.memory_reserved));
  draw_level(area, row++, "Memory", share_of(board.memory_used.now, board.memory_capacity),
             share_of(board.memory_reserved, board.memory_capacity), Style::used, board.memory_used.history,
             board.memory_capacity.value_or(greatest(board.memory_used.history)), memory);
  if (has_power(board))
    draw_level(area, row++, "Power", share_of(board.power.now, board.power_limit), {}, power_style(board),
               board.power.history, board.power_limit.value_or(greatest(board.power.history)),
               " " + power_text(board, " of "));
  for (const Link& link : board.links) draw_link(area, row++, link);
}

// ---- graphs under a block

struct Panel {
  std::string caption{};
  const History* values = nullptr;
  double top = 1;
  Style style = Style::used;
};

std::vector<Panel> panels_of(const Board& board) {
  std::vector<Panel> panels{{"utilisation", &board.utilization.history, 1, Style::used}};
  if (has_power(board)) {
    const double top = board.power_limit.value_or(greatest(board.power.history));
    panels.push_back({fmt::format("power, to {:.0f} W", top), &board.power.history, top, Style::used});
  }
  for (const Link& link : board.links) {
    const std::string to = fmt::format(", to {}", rate_text(top_of(link)));
    panels.push_back({link.name + " RX" + to, &link.rx.history, top_of(link), Style::received});
    panels.push_back({link.name + " TX" + to, &link.tx.history, top_of(link), Style::sent});
  }
  return panels;
}

// Under a graph: how long ago its first column was, and that its last one is now.
void draw_time_axis(const Area& area, std::size_t row, Nanoseconds step) {
  const std::string first = fmt::format("-{:g} s", to_seconds(step) * static_cast<double>(area.width - 1));
  area.put(0, row, first, Style::dim);
  if (area.width > text_columns(first) + 4) area.put_right(area.width - 1, row, "now", Style::dim);
}

void draw_panels(const Area& area, std::size_t row, const Board& board, const BoardSetting& setting) {
  const auto panels = panels_of(board);
  const std::size_t count = std::clamp<std::size_t>(area.width / least_panel_width, 1, panels.size());
  const std::size_t width = area.width / count;
  for (std::size_t i = 0; i < count; ++i) {
    Area panel = area;
    panel.x += i * width;
    panel.width = width - 1;
    panel.put(0, row, panels[i].caption, Style::dim);
    draw_graph(panel, 0, row + 1, width - 1, setting.graph_rows, *panels[i].values, panels[i].top, panels[i].style);
    draw_time_axis(panel, row + 1 + setting.graph_rows, setting.step);
  }
}

// ---- three lines

std::size_t short_block_height(const Board& board) { return (board.trouble.empty() ? 3 : 1) + notes(board); }

void draw_short_block(const Area& area, const Board& board) {
  draw_title(area, board, true);
  std::size_t row = draw_notes(area, 1, board);
  if (!board.trouble.empty()) return;
  const std::string memory =
      fmt::format(" {}/{}", short_bytes(board.memory_used.now), short_bytes(board.memory_capacity));
  const std::string power = has_power(board) ? power_text(board, "/") : "";
  constexpr std::size_t fixed = 5 + 6 + 4 + 14 + 15;
  const std::size_t bar = (area.width - std::min(area.width, fixed)) / 2;
  area.put(0, row, "Util");
  draw_bar(area, 5, row, bar, board.utilization.now, {}, Style::used);
  area.put_right(5 + bar + 6, row, percent(board.utilization.now));
  const std::size_t middle = 5 + bar + 7;
  area.put(middle, row, "Mem");
  draw_bar(area, middle + 4, row, bar, share_of(board.memory_used.now, board.memory_capacity),
           share_of(board.memory_reserved, board.memory_capacity), Style::used);
  area.put(middle + 4 + bar, row, memory);
  if (!power.empty()) {
    area.put(area.width - 15, row, "Pwr", Style::dim);
    area.put_right(area.width, row, power, power_style(board) == Style::warning ? Style::warning : Style::plain);
  }
  ++row;
  const std::size_t links = std::max<std::size_t>(board.links.size(), 1), part = area.width / links;
  for (std::size_t i = 0; i < board.links.size(); ++i) {
    const Link& link = board.links[i];
    const std::size_t begin = i * part, graph = (part - 28) / 2;
    area.put(begin, row, link.name);
    area.put_right(begin + 15, row, "TX " + fmt::format("{:>5}", short_bytes(link.tx.now)));
    draw_graph(area, begin + 16, row, graph, 1, link.tx.history, top_of(link), Style::sent);
    area.put_right(begin + 16 + graph + 9, row, "RX " + fmt::format("{:>5}", short_bytes(link.rx.now)));
    draw_graph(area, begin + 16 + graph + 10, row, graph, 1, link.rx.history, top_of(link), Style::received);
  }
}

// ---- a line each

char letter_of(const std::string& limit) { return static_cast<char>(limit[0] - 'a' + 'A'); }

// Columns of the table; what is more than 80 goes to words on clocks and to bars, what is less is left out: clocks,
// pipes, temperature, SMs.
struct Columns {
  std::size_t state = 0, bar = 0;
  bool has_clock = true, has_pipes = true, has_temperature = true, has_sm = true;

  explicit Columns(std::size_t width)
      : has_clock(width >= 80), has_pipes(width >= 73), has_temperature(width >= 65), has_sm(width >= 61) {
    std::size_t more = width > 80 ? width - 80 : 0;
    if (more >= 14) state = 14;
    more -= state;
    if (more >= 10) bar = std::min<std::size_t>(more / 2, 30);
  }
};

void draw_head(const Area& area) {
  const Columns columns(area.width);
  area.fill(0, Style::title);
  std::size_t end = area.put(0, 0, "GPU", Style::title);
  const auto right = [&](std::size_t width, const char* text) {
    end += width;
    area.put_right(end, 0, text, Style::title);
  };
  end = 6;
  right(5 + columns.bar, "Util");
  right(13 + columns.bar, "Memory");
  right(9, "Power");
  if (columns.has_temperature) right(4, "Tmp");
  if (columns.has_clock) {
    right(6, "MHz");
    right(1 + columns.state, "");
  }
  if (columns.has_sm) right(4, "SM%");
  if (columns.has_pipes) {
    right(4, "TC%");
    right(4, "DR%");
  }
  right(12, "PCIe tx rx");
  right(12, "NVL tx rx");
}

std::string whole_percent(std::optional<double> share) { return share ? fmt::format("{:.0f}", 100 * *share) : "-"; }

void draw_line(const Area& area, const Board& board) {
  const Columns columns(area.width);
  area.put(0, 0, board.label, board.errors.empty() ? Style::bold : Style::alarm);
  if (!board.trouble.empty()) {
    if (board.is_asleep)
      area.put(9, 0, board.trouble, Style::dim);
    else
      area.put(6, 0, " ! " + board.trouble, Style::alarm);
    return;
  }
  std::size_t end = 6;
  const auto right = [&](std::size_t width, const std::string& text, Style style = Style::plain) {
    end += width;
    area.put_right(end, 0, text, style);
  };
  if (columns.bar > 0) draw_bar(area, end + 1, 0, columns.bar - 1, board.utilization.now, {}, Style::used);
  right(5 + columns.bar, percent(board.utilization.now));
  const auto memory = share_of(board.memory_used.now, board.memory_capacity);
  if (columns.bar > 0)
    draw_bar(area, end + 1, 0, columns.bar - 1, memory, share_of(board.memory_reserved, board.memory_capacity),
             Style::used);
  right(13 + columns.bar, fmt::format("{}/{}", short_bytes(board.memory_used.now), short_bytes(board.memory_capacity)));
  if (board.is_virtual) {
    const std::size_t width = 9 + (columns.has_temperature ? 4 : 0) + (columns.has_clock ? 7 + columns.state : 0) +
                              (columns.has_sm ? 4 : 0) + (columns.has_pipes ? 8 : 0);
    area.put(end + 1, 0, text_columns(board.name) < width ? board.name : "virtual", Style::dim);
    end += width;
  } else {
    const std::string limit = board.power_limit ? fmt::format("/{:.0f}", *board.power_limit) : "";
    right(9, board.power.now ? fmt::format("{:.0f}{}W", *board.power.now, limit) : "-",
          power_style(board) == Style::warning ? Style::warning : Style::plain);
    if (columns.has_temperature) right(4, board.temperature ? fmt::format("{:.0f}C", *board.temperature) : "-");
    if (columns.has_clock) {
      right(6, board.sm_clock ? fmt::format("{:.0f}", *board.sm_clock * 1e-6) : "-");
      if (!board.clock_limits.empty())
        area.put(end + (columns.state > 0 ? 1 : 0), 0,
                 columns.state > 0 ? board.clock_limits[0] : std::string(1, letter_of(board.clock_limits[0])),
                 Style::warning);
      end += 1 + columns.state;
    }
    if (columns.has_sm) right(4, whole_percent(board.sm_active));
    if (columns.has_pipes) {
      right(4, whole_percent(board.tensor_active));
      right(4, whole_percent(board.dram_active));
    }
  }
  for (const Link& link : board.links) {
    const std::size_t column = end + (link.name == "NVLink" ? 12 : 0);
    area.put_right(column + 6, 0, short_bytes(link.tx.now));
    area.put_right(column + 12, 0, short_bytes(link.rx.now));
  }
}

// ---- all of them

bool has_panels(const Board& board, const BoardSetting& setting) {
  return setting.graph_rows > 0 && board.trouble.empty();
}

std::size_t height_of_one(const Board& board, const BoardSetting& setting) {
  switch (setting.detail) {
    case Detail::lines:
      return board.trouble.empty() ? 1 + notes(board) : 1;
    case Detail::short_blocks:
      return short_block_height(board);
    default:
      return block_height(board) + (has_panels(board, setting) ? setting.graph_rows + 2 : 0);
  }
}

void draw_one(const Area& area, const Board& board, const BoardSetting& setting) {
  if (setting.detail == Detail::lines) {
    draw_line(area, board);
    if (board.trouble.empty()) draw_notes(area, 1, board);
  } else if (setting.detail == Detail::short_blocks) {
    draw_short_block(area, board);
  } else {
    draw_block(area, board);
    if (has_panels(board, setting)) draw_panels(area, block_height(board), board, setting);
  }
}

// Boards of one row of blocks are as high as the highest.
std::size_t row_height(const std::vector<Board>& boards, const BoardSetting& setting, std::size_t first) {
  std::size_t height = 0;
  for (std::size_t i = first; i < std::min(first + setting.columns, boards.size()); ++i)
    height = std::max(height, height_of_one(boards[i], setting));
  return height;
}

// With graphs as high as there is room for.
BoardSetting with_graphs(const std::vector<Board>& boards, BoardSetting setting, std::size_t height) {
  setting.detail = Detail::graphs;
  const std::size_t rows = (boards.size() + setting.columns - 1) / setting.columns;
  for (setting.graph_rows = most_graph_rows; setting.graph_rows > least_graph_rows; --setting.graph_rows)
    if (height_of(boards, setting) + rows <= height) break;
  return setting;
}

}  // namespace

std::size_t height_of(const std::vector<Board>& boards, const BoardSetting& setting) {
  std::size_t height = setting.detail == Detail::lines && !boards.empty() ? 1 : 0;
  for (std::size_t i = 0; i < boards.size(); i += setting.columns) height += row_height(boards, setting, i);
  return height;
}

BoardSetting choose_setting(const std::vector<Board>& boards, const View& view, std::size_t width, std::size_t height) {
  const std::size_t most_columns = std::clamp<std::size_t>((width + block_gap) / (least_block_width + block_gap), 1,
                                                           std::max<std::size_t>(boards.size(), 1));
  const bool free = view.detail == Detail::automatic;
  BoardSetting setting;
  for (const Detail detail : {Detail::blocks, Detail::short_blocks}) {
    if (!free && view.detail != detail && !(view.detail == Detail::graphs && detail == Detail::blocks)) continue;
    for (std::size_t columns = 1; columns <= most_columns; ++columns) {
      setting = {.detail = detail, .columns = columns};
      if (height_of(boards, setting) > height) continue;
      if (detail != Detail::blocks || view.detail == Detail::blocks) return setting;
      const BoardSetting higher = with_graphs(boards, setting, height);
      return view.detail == Detail::graphs || height_of(boards, higher) <= height ? higher : setting;
    }
    if (!free) return view.detail == Detail::graphs ? with_graphs(boards, setting, height) : setting;
  }
  return {.detail = Detail::lines};
}

void draw_boards(const Area& area, const std::vector<Board>& boards, const BoardSetting& setting) {
  std::size_t row = 0;
  if (setting.detail == Detail::lines && !boards.empty()) {
    draw_head(area);
    row = 1;
  }
  const std::size_t width = (area.width + block_gap) / setting.columns - block_gap;
  for (std::size_t i = 0; i < boards.size(); ++i) {
    const std::size_t column = i % setting.columns;
    const Area one{area.grid, area.x + column * (width + block_gap), area.y + row, width};
    draw_one(one, boards[i], setting);
    if (column + 1 == setting.columns) row += row_height(boards, setting, i + 1 - setting.columns);
  }
}

}  // namespace batchscope::top
