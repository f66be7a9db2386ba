// Scraping (sources/scrape.h). The page is fetched when devices are looked for, once a period: a reading gives what it
// said then.
#include "telemetry/sources/scrape.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "http/client.h"
#include "telemetry/sources/metrics_text.h"
#include "telemetry/sources/series_choice.h"

namespace batchscope {
namespace {

constexpr std::size_t most_answer_bytes = 4 << 20;  // headers included
constexpr std::size_t most_help_bytes = 300;
constexpr std::size_t most_name_bytes = 4096;  // with the labels
// Of the time for a whole answer: a server that is not there is known sooner.
Nanoseconds longest_connecting(Nanoseconds whole) {
  return std::min<Nanoseconds>(whole, std::max<Nanoseconds>(whole / 3, std::chrono::milliseconds(500)));
}

const char* reason_of(http::Fault fault) {
  switch (fault) {
    case http::Fault::none:
      return nullptr;
    case http::Fault::no_such_host:
      return "the server's host name is unknown";
    case http::Fault::no_connection:
      return "the server refuses connections";
    case http::Fault::no_trust:
      return "the server's certificate is not trusted";
    case http::Fault::too_late:
      return "the server did not answer in time (--scrape-timeout)";
    case http::Fault::too_long:
      return "the server's answer is longer than 4 MiB";
    case http::Fault::not_http:
    case http::Fault::cut_off:
      return "the server does not speak HTTP";
    case http::Fault::bad_redirect:
      return "the server redirects to where no request can follow";
    case http::Fault::no_token:
      return "the token file cannot be read";
  }
  return nullptr;
}

const char* reason_of_status(int status) {
  if (status == 401 || status == 403) return "the server denies access to its metrics (401, 403)";
  if (status == 404) return "the server has no such page (404)";
  if (status == 501) return "the server does not publish metrics (501; llama.cpp: start it with --metrics)";
  if (status == 503) return "the server is not ready (503), as while it loads its model";
  if (status >= 500) return "the server answers with an error (5xx)";
  return "the server does not answer with a page";
}

struct Fetched {
  std::string text{};
  const char* absent = nullptr;  // why there is none
};

Fetched fetch(http::Client& client) {
  Fetched fetched;
  const http::Answer answer =
      client.get({{"Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"},
                  {"User-Agent", "batchscope"}},
                 [&](std::string_view bytes) {
                   fetched.text += bytes;
                   return true;
                 });
  fetched.absent = reason_of(answer.fault);
  if (fetched.absent != nullptr) return fetched;
  const auto coding = answer.response.headers.find("Content-Encoding").value_or("identity");
  if (answer.response.status != 200)
    fetched.absent = reason_of_status(answer.response.status);
  else if (!http::equal_but_for_case(coding, "identity"))
    fetched.absent = "the server's page is compressed, though plain text was requested";
  return fetched;
}

// The page of metrics stands at /metrics unless the URL says otherwise.
http::Url metrics_url(const std::string& text) {
  http::Url url = http::parse_url(text, "--scrape");
  if (url.target == "/" || url.target.starts_with("/?")) url.target.replace(0, 1, "/metrics");
  return url;
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
  ScrapeSource(const std::string& url, Nanoseconds period, const ScrapeAccess& access, SeriesChoice choice)
      : client_(metrics_url(url), {.connecting = longest_connecting(access.timeout),
                                   .whole = access.timeout,
                                   .limits = {.whole_bytes = most_answer_bytes},
                                   .token = access.token,
                                   .authorities = access.authorities}),
        timeout_(access.timeout),
        period_(period),
        choice_(std::move(choice)) {
    Counter seconds = own_counter("scrape_seconds", "seconds", "how long the server took to answer");
    seconds.is_integer = false;
    add_group({{.counter = std::move(seconds)},
               {.counter = own_counter(
                    "scrape_left_out_series", "series",
                    fmt::format("series of the page beyond {}, which are left out", most_scraped_series))}});
  }

  std::string name() const override { return "scrape " + client_.url().server(); }
  Pace pace(Nanoseconds) const override { return Pace::relaxed(period_); }
  Nanoseconds longest_call() const override { return timeout_ + std::chrono::milliseconds(500); }
  Nanoseconds discovery_period() const override { return Nanoseconds(0); }  // at each reading
  const std::vector<CounterGroup>& groups() const override { return groups_; }

  bool discover(const Clock& clock) override {
    before_ = clock.now();
    const Fetched fetched = fetch(client_);
    after_ = clock.now();
    for (auto& group : series_) group.is_fresh = true;
    const char* absent = fetched.absent;
    MetricsText page;
    if (absent == nullptr) {
      page = parse_metrics_text(fetched.text);
      if (page.samples.empty())
        absent = page.malformed_lines > 0 ? "the server's page is not metrics" : "the server's page has no metrics";
    }
    if (std::exchange(is_first_, false) && absent != nullptr)  // a wrong URL, perhaps
      spdlog::warn("metrics of {}: {}; trying again every {}", client_.url().server(), absent, format_duration(period_));
    for (auto& group : series_)
      for (Series& series : group.series) series.now = Reading::none(absent != nullptr ? absent : gone);
    if (absent != nullptr) {
      is_every_page_read_ = false;
      return std::exchange(is_new_, false);
    }
    const bool is_same_server = goes_on(page.samples);
    choice_.apply(page.samples);
    const std::size_t left_out = take(std::move(page.samples), is_same_server);
    series_[0].series[0].now = Reading::of(to_seconds(after_ - before_));
    series_[0].series[1].now = Reading::of(static_cast<std::int64_t>(left_out));
    return forget_gone() | std::exchange(is_new_, false);
  }

  void read(std::size_t group, Rows& rows) override {
    Group& read = series_[group];
    if (!std::exchange(read.is_fresh, false)) return;
    if (std::exchange(read.begins_at_zero, false)) {
      std::ranges::fill(rows.row(), Reading::of(0.0));
      rows.add(page_without_.first, page_without_.second);
    }
    const auto out = rows.row();
    for (std::size_t i = 0; i < read.series.size(); ++i) out[i] = read.series[i].now;
    rows.add(before_, after_);
  }

 private:
  static constexpr const char* gone = "the server no longer lists it";
  static constexpr std::size_t most_remembered = 100'000;
  struct Series {
    Counter counter{};
    std::string key{};  // of known_; "": one of our own
    Reading now{};
    double last = std::numeric_limits<double>::quiet_NaN();  // its last value
  };
  struct Group {  // one a CounterGroup: series that appeared together
    std::vector<Series> series{};
    bool is_fresh = true;
    bool begins_at_zero = false;  // counters that the page before did not have: they have counted since then
  };

  Counter own_counter(const char* name, const char* unit, std::string help) const {
    Counter counter;
    counter.name = name;
    counter.unit = unit;
    counter.device = client_.url().server();
    counter.labels = {{"server", client_.url().server()}};
    counter.help = std::move(help);
    return counter;
  }

  Counter counter_of(const MetricsText::Sample& sample) const {
    Counter counter = own_counter(sample.name.c_str(), "", sample.help.substr(0, most_help_bytes));
    counter.unit = unit_of(sample.name);
    counter.kind = sample.kind;
    counter.is_integer = false;
    if (!sample.labels.empty()) counter.device += " " + to_text(sample.labels);
    counter.labels.insert(counter.labels.end(), sample.labels.begin(), sample.labels.end());
    return counter;
  }

  void add_group(std::vector<Series> series, bool begins_at_zero = false) {
    if (series.empty()) return;
    is_new_ = true;
    CounterGroup group{.id = next_id_++};
    for (const Series& one : series) group.counters.push_back(one.counter);
    groups_.push_back(std::move(group));
    series_.push_back({.series = std::move(series), .begins_at_zero = begins_at_zero});
    for (Series& one : series_.back().series)
      if (!one.key.empty()) known_[one.key] = &one;  // a group's series keep their place
  }

  static std::string key_of(const MetricsText::Sample& sample) {
    return fmt::format("{}{{{}}}", sample.name, to_text(sample.labels));
  }

  // Whether this is the server that wrote the page before, without having started anew in between: no counter has gone
  // back, and where a page was missed its process says that it is the same one.
  bool goes_on(const std::vector<MetricsText::Sample>& samples) {
    std::optional<double> started;
    bool went_back = false;
    for (const MetricsText::Sample& sample : samples) {
      if (sample.name == "process_start_time_seconds") started = sample.value;
      if (sample.kind != CounterKind::cumulative) continue;
      const auto found = known_.find(key_of(sample));
      went_back = went_back || (found != known_.end() && sample.value < found->second->last);
    }
    const bool is_unbroken = std::exchange(is_every_page_read_, true) || started.has_value();
    return std::exchange(started_, started) == started && is_unbroken && !went_back;
  }

  // Gives known series their values and makes groups of new ones; how many there was no room for.
  std::size_t take(std::vector<MetricsText::Sample> samples, bool is_same_server) {
    std::vector<Series> added, added_at_zero;
    std::set<std::string> seen;
    std::size_t left_out = 0;
    for (MetricsText::Sample& sample : samples) {
      const std::string key = key_of(sample);
      if (!seen.insert(key).second) continue;
      const Reading now = std::isfinite(sample.value) ? Reading::of(sample.value) : Reading::none("not a number");
      if (const auto found = known_.find(key); found != known_.end()) {
        found->second->now = now;
        found->second->last = sample.value;
      } else if (known_.size() + added.size() + added_at_zero.size() >= most_scraped_series ||
                 key.size() > most_name_bytes) {
        ++left_out;
      } else {
        const bool at_zero = is_same_server && sample.kind == CounterKind::cumulative && !were_there_.contains(key);
        (at_zero ? added_at_zero : added)
            .push_back({.counter = counter_of(sample), .key = key, .now = now, .last = sample.value});
      }
    }
    page_without_ = std::exchange(page_, {before_, after_});
    were_there_.merge(seen);
    if (were_there_.size() > most_remembered) forget_which_were_there();
    add_group(std::move(added));
    add_group(std::move(added_at_zero), true);
    return left_out;
  }

  // Servers that name new series all the time: for a page, nobody knows which ones are new.
  void forget_which_were_there() {
    were_there_.clear();
    started_.reset();
    is_every_page_read_ = false;
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

  http::Client client_;
  const Nanoseconds timeout_, period_;
  const SeriesChoice choice_;
  std::vector<CounterGroup> groups_;
  std::vector<Group> series_;             // one a group; the first is our own
  std::map<std::string, Series*> known_;  // by name and labels
  std::set<std::string> were_there_;      // keys of all pages until now
  Nanoseconds before_{0}, after_{0};
  std::pair<Nanoseconds, Nanoseconds> page_{},
      page_without_{};               // of the last page that could be read, and the one before
  std::optional<double> started_;    // when the server's process did, by its page
  bool is_every_page_read_ = false;  // since the first one
  std::int64_t next_id_ = 1;
  bool is_new_ = true, is_first_ = true;
};

}  // namespace

std::string metrics_url_beside(const http::Url& api) { return api.origin() + http::beside_api(api.target, "/metrics"); }

std::unique_ptr<Source> scrape_source(const std::string& url, Nanoseconds period, const ScrapeAccess& access,
                                      std::vector<std::string> only) {
  return std::make_unique<ScrapeSource>(url, period, access, SeriesChoice(std::move(only)));
}

}  // namespace batchscope
