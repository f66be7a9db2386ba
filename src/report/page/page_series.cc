// Thins time series and phases (report/page/page_series.h).
#include "report/page/page_series.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace batchscope {
namespace {

// What is known of a series between two lines of the grid.
struct Bucket {
  double weighted = 0, weight = 0;  // of the mean: by time for rates, by reading for levels
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();

  void add(double value, double by) { add(value, value, value, by); }
  void add(double value, double least, double greatest, double by) {
    weighted += value * by;
    weight += by;
    min = std::min(min, least);
    max = std::max(max, greatest);
  }
  bool has_value() const { return weight > 0; }
  double mean() const { return weighted / weight; }
};

struct Grid {
  Nanoseconds begin, end;
  std::size_t buckets;

  double width() const { return static_cast<double>((end - begin).count()) / static_cast<double>(buckets); }
  double position(Nanoseconds at) const { return static_cast<double>((at - begin).count()) / width(); }
};

// Readings before the begin and behind the end give a rate at the edges.
constexpr Nanoseconds edge = std::chrono::seconds(1);

// Adds what holds from `from` to `to`, in every bucket between them; not where it only reaches in from the side, which
// would make two rates of one.
void spread(std::vector<Bucket>& buckets, const Grid& grid, Nanoseconds from, Nanoseconds to, double mean, double min,
            double max) {
  const double first = std::max(grid.position(from), 0.0);
  const double last = std::min(grid.position(to), static_cast<double>(grid.buckets));
  for (auto at = static_cast<std::size_t>(first); static_cast<double>(at) < last; ++at) {
    const double overlap = std::min(last, static_cast<double>(at + 1)) - std::max(first, static_cast<double>(at));
    if (overlap > 0 && overlap >= std::min(last - first, 1.0) / 2) buckets[at].add(mean, min, max, overlap);
  }
}

// One reading counts where it was made; many that the store gives together, everywhere between the first and the last.
std::vector<Bucket> levels(const std::vector<SeriesBucket>& parts, const Grid& grid) {
  std::vector<Bucket> buckets(grid.buckets);
  for (const SeriesBucket& part : parts) {
    if (!part.sum || !std::isfinite(*part.sum) || part.count <= 0) continue;
    const double mean = *part.sum / static_cast<double>(part.count);
    if (part.end > part.begin) {
      spread(buckets, grid, part.begin, part.end, mean, part.min.value_or(mean), part.max.value_or(mean));
      continue;
    }
    const double at = grid.position(part.begin);
    if (at < 0 || at > static_cast<double>(grid.buckets)) continue;
    buckets[std::min(static_cast<std::size_t>(at), grid.buckets - 1)].add(mean, 1);
  }
  return buckets;
}

bool is_unknown(const std::vector<GapRecord>& gaps, Nanoseconds from, Nanoseconds to) {
  return std::any_of(gaps.begin(), gaps.end(),
                     [&](const GapRecord& gap) { return gap.ticks == 0 && gap.begin < to && gap.end > from; });
}

// A rate holds from one reading to the next.
std::vector<Bucket> rates(const std::vector<SeriesBucket>& parts, const std::vector<GapRecord>& gaps,
                          const Grid& grid) {
  std::vector<Bucket> buckets(grid.buckets);
  const auto add = [&](Nanoseconds from, Nanoseconds to, const std::optional<double>& first,
                       const std::optional<double>& last) {
    if (to <= from || !first || !last || is_unknown(gaps, from, to)) return;
    const double rate = (*last - *first) / to_seconds(to - from);
    if (std::isfinite(rate)) spread(buckets, grid, from, to, rate, rate, rate);
  };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) add(parts[i - 1].end, parts[i].begin, parts[i - 1].last, parts[i].first);
    add(parts[i].begin, parts[i].end, parts[i].first, parts[i].last);
  }
  return buckets;
}

bool lies_in_gap(const std::vector<GapRecord>& gaps, const Grid& grid, std::size_t bucket) {
  const double middle = static_cast<double>(bucket) + 0.5;
  return std::any_of(gaps.begin(), gaps.end(), [&](const GapRecord& gap) {
    return grid.position(gap.begin) <= middle && middle <= grid.position(gap.end);
  });
}

// Two digits of base 64 a bucket.
class Codes {
 public:
  static constexpr int steps = 4093, no_reading = 4094, gap = 4095;
  void add(int code) {
    constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    text_ += digits[code >> 6];
    text_ += digits[code & 63];
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void add_values(nlohmann::json& json, const std::vector<Bucket>& buckets, const std::vector<GapRecord>& gaps,
                const Grid& grid) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool is_thinned = false, is_whole = true;
  for (const Bucket& bucket : buckets) {
    is_whole = is_whole && bucket.has_value();
    if (!bucket.has_value()) continue;
    low = std::min(low, bucket.min);
    high = std::max(high, bucket.max);
    is_thinned = is_thinned || bucket.min < bucket.max;
  }
  json.push_back(low);
  json.push_back(high);
  if (is_whole && low == high) return;
  const auto code_of = [&](double value) {
    const double share = high > low ? (value - low) / (high - low) : 0;
    return static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * Codes::steps));
  };
  Codes mean, min, max;
  for (std::size_t at = 0; at < buckets.size(); ++at) {
    const Bucket& bucket = buckets[at];
    const int nothing = lies_in_gap(gaps, grid, at) ? Codes::gap : Codes::no_reading;
    mean.add(bucket.has_value() ? code_of(bucket.mean()) : nothing);
    min.add(bucket.has_value() ? code_of(bucket.min) : nothing);
    max.add(bucket.has_value() ? code_of(bucket.max) : nothing);
  }
  json.push_back(mean.text());
  if (!is_thinned) return;
  json.push_back(min.text());
  json.push_back(max.text());
}

// Values between begin and end; those of a part that reaches beyond count in full.
std::int64_t readings_within(const std::vector<SeriesBucket>& parts, Nanoseconds begin, Nanoseconds end) {
  std::int64_t readings = 0;
  for (const SeriesBucket& part : parts)
    if (part.end >= begin && part.begin <= end) readings += part.count;
  return readings;
}

// Long enough that some requests end in each: two seconds at least.
std::size_t latency_windows(const Grid& grid) {
  constexpr std::int64_t most = 60;
  const auto seconds = static_cast<std::int64_t>(to_seconds(grid.end - grid.begin));
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(seconds / 2, 1, std::min<std::int64_t>(most, static_cast<std::int64_t>(grid.buckets))));
}

std::vector<Bucket> buckets_of(const LatencyCurve& curve, const Grid& grid) {
  std::vector<Bucket> buckets(grid.buckets);
  for (std::size_t at = 0; at < buckets.size(); ++at)
    if (const auto& value = curve.windows[at * curve.windows.size() / buckets.size()]) buckets[at].add(*value, 1);
  return buckets;
}

nlohmann::json series_json(const StoreReader& reader, std::span<const SeriesRecord> series, Nanoseconds begin,
                           Nanoseconds end, std::int64_t most_buckets, std::int64_t& grid_buckets, SeriesNames& names) {
  constexpr std::size_t most_parts = 1 << 16;  // below that, each reading by itself
  struct Present {
    const SeriesRecord* record;
    std::vector<SeriesBucket> parts;
    std::optional<SeriesChart> chart;
  };
  std::vector<Present> present;
  std::int64_t most_readings = 8;
  const auto charts = series_charts(series);
  for (std::size_t i = 0; i < series.size(); ++i) {
    const SeriesRecord& record = series[i];
    std::vector<SeriesBucket> parts = reader.buckets(record, most_parts, begin - edge, end + edge);
    const std::int64_t readings = readings_within(parts, begin, end);
    if (readings == 0) continue;
    most_readings = std::max(most_readings, readings);
    present.push_back({&record, std::move(parts), charts[i]});
  }
  // One reading a bucket where there is room: then nothing is thinned.
  grid_buckets = std::min(most_readings, most_buckets);
  const Grid grid{begin, end, static_cast<std::size_t>(grid_buckets)};
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [record, parts, chart] : present) {
    const std::vector<GapRecord> gaps = reader.gaps(record->id);
    const std::vector<Bucket> buckets = record->kind == "cumulative" ? rates(parts, gaps, grid) : levels(parts, grid);
    if (std::none_of(buckets.begin(), buckets.end(), [](const Bucket& bucket) { return bucket.has_value(); })) continue;
    nlohmann::json json = {names.index_of(*record, chart)};
    add_values(json, buckets, gaps, grid);
    all.push_back(std::move(json));
  }
  for (const LatencyCurve& curve : latency_curves(reader, series, begin, end, latency_windows(grid))) {
    nlohmann::json json = {names.index_of(curve)};
    add_values(json, buckets_of(curve, grid), {}, grid);
    all.push_back(std::move(json));
  }
  return all;
}

struct DrawnPhase {
  std::string name, detail;
  Nanoseconds begin, end;
  std::int64_t count;
};

// Neighbours shorter than `width` become one.
std::vector<DrawnPhase> merged(const std::vector<const Phase*>& phases, Nanoseconds width) {
  std::vector<DrawnPhase> out;
  for (const Phase* phase : phases) {
    const Nanoseconds begin = phase->begin + phase->clock_offset, end = phase->end + phase->clock_offset;
    if (!out.empty() && out.back().name == phase->name && end - begin < width && begin - out.back().end < width &&
        out.back().end - out.back().begin < width) {
      out.back().end = std::max(out.back().end, end);
      ++out.back().count;
    } else {
      out.push_back({phase->name, phase->detail, begin, end, 1});
    }
  }
  return out;
}

nlohmann::json track_json(const std::string& name, std::vector<const Phase*> phases, Nanoseconds begin, Nanoseconds end,
                          std::size_t most) {
  std::sort(phases.begin(), phases.end(), [](const Phase* a, const Phase* b) {
    return std::pair(a->begin + a->clock_offset, b->end) < std::pair(b->begin + b->clock_offset, a->end);
  });
  Nanoseconds width{0};
  std::vector<DrawnPhase> drawn = merged(phases, width);
  for (width = (end - begin) / static_cast<std::int64_t>(2 * most); drawn.size() > most && width < end - begin;
       width *= 2)
    drawn = merged(phases, width);
  if (drawn.size() > most) drawn.resize(most);
  nlohmann::json json = nlohmann::json::array();
  const auto seconds = [&](Nanoseconds at) { return std::round(to_seconds(at - begin) * 1e6) / 1e6; };
  for (const DrawnPhase& phase : drawn)
    json.push_back({phase.name, seconds(std::clamp(phase.begin, begin, end)),
                    seconds(std::clamp(phase.end, begin, end)), phase.count, phase.count == 1 ? phase.detail : ""});
  return {{"name", name}, {"phases", std::move(json)}};
}

nlohmann::json tracks_json(std::span<const Phase> phases, Nanoseconds begin, Nanoseconds end, std::int64_t most) {
  std::map<std::string, std::vector<const Phase*>> tracks;
  for (const Phase& phase : phases)
    if (phase.end + phase.clock_offset >= begin && phase.begin + phase.clock_offset <= end)
      tracks[phase.track].push_back(&phase);
  nlohmann::json json = nlohmann::json::array();
  for (const auto& [name, of_track] : tracks)
    json.push_back(
        track_json(name, of_track, begin, end,
                   std::max<std::size_t>(static_cast<std::size_t>(most) / std::max<std::size_t>(tracks.size(), 1), 8)));
  return json;
}

}  // namespace

namespace {

nlohmann::json chart_json(const std::optional<SeriesChart>& chart) {
  if (!chart) return {};
  return {{"order", chart->order}, {"title", chart->title}, {"quantity", chart->quantity}};
}

}  // namespace

std::size_t SeriesNames::index_of(const LatencyCurve& curve) {
  const auto [found, is_new] =
      index_of_latency_.emplace(curve.server + '\n' + curve.kind + '\n' + curve.statistic, json_.size());
  if (is_new)
    json_.push_back({{"name", curve.statistic},
                     {"device", curve.server},
                     {"unit", "seconds"},
                     {"kind", "window"},
                     {"virtual", false},
                     {"help", curve.kind + " of requests that ended in the window, " + curve.statistic},
                     {"chart", chart_json(latency_chart(curve.kind))}});
  return found->second;
}

std::size_t SeriesNames::index_of(const SeriesRecord& series, const std::optional<SeriesChart>& chart) {
  const auto [found, is_new] = index_of_.emplace(series.id, json_.size());
  if (is_new)
    json_.push_back({{"name", series.name},
                     {"device", series.device},
                     {"unit", series.unit},
                     {"kind", series.kind},
                     {"virtual", series.is_virtual},
                     {"help", series.help},
                     {"chart", chart_json(chart)}});
  return found->second;
}

SeriesBudget series_budget(std::int64_t intervals, std::int64_t series) {
  constexpr std::int64_t series_characters = 3'600'000, phases = 20'000, characters_a_bucket = 6;
  const std::int64_t places = std::max<std::int64_t>(intervals * series, 1);
  return {.buckets = std::clamp<std::int64_t>(series_characters / characters_a_bucket / places, 24, 600),
          .phases = std::clamp<std::int64_t>(phases / std::max<std::int64_t>(intervals, 1), 40, 2000)};
}

nlohmann::json interval_json(const StoreReader& reader, std::span<const SeriesRecord> series,
                             std::span<const Phase> phases, Nanoseconds begin, Nanoseconds end,
                             const SeriesBudget& budget, SeriesNames& names) {
  std::int64_t buckets = 0;
  nlohmann::json values = series_json(reader, series, begin, end, budget.buckets, buckets, names);
  return {{"seconds", to_seconds(end - begin)},
          {"buckets", buckets},
          {"tracks", tracks_json(phases, begin, end, budget.phases)},
          {"series", std::move(values)}};
}

}  // namespace batchscope
