// Scraping (sources/scrape.h). The page is fetched when devices are looked for, once a period: a reading gives what it
// said then.
#include "telemetry/sources/scrape.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "telemetry/sources/metrics_text.h"

namespace batchscope {
namespace {

constexpr std::size_t most_series = 400;
constexpr std::size_t most_page_bytes = 4 << 20;
constexpr std::size_t most_text_bytes = 300;  // of a name, of labels, of a help
constexpr auto longest_connecting = std::chrono::milliseconds(500);
constexpr auto longest_silence = std::chrono::milliseconds(1000);
constexpr auto longest_fetch = std::chrono::milliseconds(1500);  // below what makes a call stuck

struct Url {
  std::string host, path;
  int port = 80;

  std::string server() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
  }
};

Url parse_url(const std::string& text) {
  constexpr std::string_view scheme = "http://";
  const auto fail = [&] {
    return InputError("--scrape: '{}' is not http://HOST[:PORT][/PATH], for example http://localhost:8000/metrics",
                      text);
  };
  if (text.starts_with("https://"))
    throw InputError("--scrape: {}: https is not spoken; scrape the server itself by http, where it runs", text);
  if (!text.starts_with(scheme)) throw fail();
  std::string rest = text.substr(scheme.size());
  if (std::any_of(rest.begin(), rest.end(), [](unsigned char c) { return c <= ' ' || c == 0x7F; })) throw fail();
  const auto slash = std::min(rest.find_first_of("/?"), rest.size());
  Url url;
  url.path = rest.substr(slash);
  if (url.path.empty() || url.path == "/") url.path = "/metrics";
  if (url.path[0] == '?') url.path.insert(0, "/metrics");
  rest.resize(slash);
  if (rest.find('@') != std::string::npos) throw InputError("--scrape: no user and password in an URL, please");
  const auto bracket = rest.starts_with('[') ? rest.find(']') : std::string::npos;
  const auto colon = rest.find(':', bracket == std::string::npos ? 0 : bracket);
  url.host = bracket == std::string::npos ? rest.substr(0, colon) : rest.substr(1, bracket - 1);
  if (colon != std::string::npos)
    url.port = static_cast<int>(parse_integer(rest.substr(colon + 1), 1, 65535, "--scrape: the port"));
  if (url.host.empty()) throw fail();
  return url;
}

const char* reason_of(httplib::Error error, bool is_late) {
  if (error == httplib::Error::Connection || error == httplib::Error::ConnectionTimeout)
    return "the server does not take connections";
  return is_late ? "the server did not answer in time" : "the server does not answer in HTTP";
}

const char* reason_of_status(int status) {
  if (status == 401 || status == 403) return "the server refuses its metrics (401, 403)";
  if (status == 404) return "the server has no such page (404)";
  if (status >= 500) return "the server answers with an error (5xx)";
  return "the server does not answer with a page";
}

struct Fetched {
  std::string text{};
  const char* absent = nullptr;  // why there is none
};

Fetched fetch(const Url& url) {
  httplib::Client client(url.host, url.port);
  client.set_connection_timeout(longest_connecting);
  client.set_read_timeout(longest_silence);
  client.set_write_timeout(longest_silence);
  const auto begin = std::chrono::steady_clock::now();
  const auto lasts = [begin] { return std::chrono::steady_clock::now() - begin; };
  Fetched fetched;
  const auto take = [&](const char* bytes, std::size_t count) {
    if (fetched.text.size() + count > most_page_bytes)
      fetched.absent = "the server's page is longer than 4 MiB";
    else if (lasts() > longest_fetch)
      fetched.absent = "the server did not answer in time";
    else
      fetched.text.append(bytes, count);
    return fetched.absent == nullptr;
  };
  const auto result =
      client.Get(url.path,
                 {{"Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"},
                  {"Accept-Encoding", "identity"},
                  {"User-Agent", "batchscope"}},
                 take);
  if (fetched.absent != nullptr) return fetched;
  if (!result)
    fetched.absent = reason_of(result.error(), lasts() >= longest_silence);
  else if (result->status != 200)
    fetched.absent = reason_of_status(result->status);
  return fetched;
}

// By the name's end, as Prometheus' conventions have it.
std::string unit_of(std::string_view name) {
  for (const std::string_view part : {"_total", "_sum"})
    if (name.ends_with(part)) name.remove_suffix(part.size());
  for (const char* unit : {"seconds", "bytes", "ratio", "joules", "watts", "celsius", "hertz"})
    if (name.ends_with(std::string("_") + unit)) return unit;
  return "";
}

class ScrapeSource : public Source {
 public:
  ScrapeSource(Url url, Nanoseconds period) : url_(std::move(url)), period_(period) {
    Counter seconds = own_counter("scrape_seconds", "seconds", "how long the server took for its page");
    seconds.is_integer = false;
    add_group({{.counter = std::move(seconds)},
               {.counter = own_counter("scrape_left_out_series", "series",
                                       fmt::format("of the page, beyond the first {}", most_series))}});
  }

  std::string name() const override { return "scrape " + url_.server(); }
  Pace pace(Nanoseconds) const override { return Pace::relaxed(period_); }
  Nanoseconds discovery_period() const override { return Nanoseconds(0); }  // at each reading
  const std::vector<CounterGroup>& groups() const override { return groups_; }

  bool discover(const Clock& clock) override {
    before_ = clock.now();
    const Fetched fetched = fetch(url_);
    after_ = clock.now();
    for (auto& group : series_) group.is_fresh = true;
    const char* absent = fetched.absent;
    MetricsText page;
    if (absent == nullptr) {
      page = parse_metrics_text(fetched.text);
      if (page.samples.empty() && page.malformed_lines > 0) absent = "the server's page is not metrics";
    }
    for (auto& group : series_)
      for (Series& series : group.series) series.now = Reading::none(absent != nullptr ? absent : gone);
    if (absent != nullptr) return std::exchange(is_new_, false);
    const std::size_t left_out = take(std::move(page.samples));
    series_[0].series[0].now = Reading::of(to_seconds(after_ - before_));
    series_[0].series[1].now = Reading::of(static_cast<std::int64_t>(left_out));
    return forget_gone() | std::exchange(is_new_, false);
  }

  void read(std::size_t group, Rows& rows) override {
    Group& read = series_[group];
    if (!std::exchange(read.is_fresh, false)) return;
    const auto out = rows.row();
    for (std::size_t i = 0; i < read.series.size(); ++i) out[i] = read.series[i].now;
    rows.add(before_, after_);
  }

 private:
  static constexpr const char* gone = "the server no longer names it";
  struct Series {
    Counter counter{};
    std::string key{};  // of known_; "": one of our own
    Reading now{};
  };
  struct Group {  // one a CounterGroup: series that appeared together
    std::vector<Series> series{};
    bool is_fresh = true;
  };

  Counter own_counter(const char* name, const char* unit, std::string help) const {
    Counter counter;
    counter.name = name;
    counter.unit = unit;
    counter.device = url_.server();
    counter.labels = {{"server", url_.server()}};
    counter.help = std::move(help);
    return counter;
  }

  Counter counter_of(const MetricsText::Sample& sample) const {
    Counter counter = own_counter(sample.name.c_str(), "", sample.help.substr(0, most_text_bytes));
    counter.unit = unit_of(sample.name);
    counter.kind = sample.kind;
    counter.is_integer = false;
    if (!sample.labels.empty()) counter.device += " " + to_text(sample.labels);
    counter.labels.insert(counter.labels.end(), sample.labels.begin(), sample.labels.end());
    return counter;
  }

  void add_group(std::vector<Series> series) {
    CounterGroup group{.id = next_id_++};
    for (const Series& one : series) group.counters.push_back(one.counter);
    groups_.push_back(std::move(group));
    series_.push_back({.series = std::move(series)});
    for (Series& one : series_.back().series)
      if (!one.key.empty()) known_[one.key] = &one;  // a group's series keep their place
  }

  // Gives known series their values and makes a group of new ones; how many there was no room for.
  std::size_t take(std::vector<MetricsText::Sample> samples) {
    std::vector<Series> added;
    std::map<std::string, bool> seen;
    std::size_t left_out = 0;
    for (MetricsText::Sample& sample : samples) {
      std::string key = fmt::format("{}{{{}}}", sample.name, to_text(sample.labels));
      if (!seen.emplace(key, true).second) continue;
      const Reading now = std::isfinite(sample.value) ? Reading::of(sample.value) : Reading::none("not a number");
      if (const auto found = known_.find(key); found != known_.end())
        found->second->now = now;
      else if (known_.size() + added.size() >= most_series || key.size() > 2 * most_text_bytes)
        ++left_out;
      else
        added.push_back({.counter = counter_of(sample), .key = std::move(key), .now = now});
    }
    is_new_ = is_new_ || !added.empty();
    if (!added.empty()) add_group(std::move(added));
    return left_out;
  }

  // Groups of which the page names nothing any more.
  bool forget_gone() {
    const auto is_gone = [](const Series& series) { return series.now.absent == gone; };
    bool changed = false;
    for (std::size_t i = series_.size(); i-- > 1;) {
      const auto& series = series_[i].series;
      if (!std::all_of(series.begin(), series.end(), is_gone)) continue;
      for (const Series& one : series) known_.erase(one.key);
      series_.erase(series_.begin() + static_cast<std::ptrdiff_t>(i));
      groups_.erase(groups_.begin() + static_cast<std::ptrdiff_t>(i));
      changed = true;
    }
    return changed;
  }

  const Url url_;
  const Nanoseconds period_;
  std::vector<CounterGroup> groups_;
  std::vector<Group> series_;             // one a group; the first is our own
  std::map<std::string, Series*> known_;  // by name and labels
  Nanoseconds before_{0}, after_{0};
  std::int64_t next_id_ = 1;
  bool is_new_ = true;
};

}  // namespace

std::unique_ptr<Source> scrape_source(const std::string& url, Nanoseconds period) {
  return std::make_unique<ScrapeSource>(parse_url(url), period);
}

}  // namespace batchscope
