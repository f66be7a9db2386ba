// What `batchscope serve` answers (serve/server.h). What a client can cost is bounded by http/server.h.
#include "serve/server.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/procfs.h"
#include "http/host_names.h"
#include "http/server.h"
#include "serve/metrics.h"
#include "telemetry/nvml/library.h"
#include "telemetry/nvml/sleeping_gpus.h"

namespace batchscope::serve {
namespace {

constexpr auto longest_without_look = std::chrono::seconds(1);
constexpr Nanoseconds shortest_page_period = std::chrono::milliseconds(100);

// What this process costs.
std::vector<MetricFamily> own_use() {
  std::vector<MetricFamily> families;
  rusage use{};
  getrusage(RUSAGE_SELF, &use);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  families.push_back({.name = "batchscope_process_cpu_seconds",
                      .type = MetricType::counter,
                      .unit = "seconds",
                      .help = "CPU time of batchscope serve",
                      .samples = {{.value = seconds(use.ru_utime) + seconds(use.ru_stime)}}});
  const auto stat = read_small_file("/proc/self/stat");
  if (const auto process = stat ? parse_process_stat(*stat) : std::nullopt)
    families.push_back({.name = "batchscope_process_resident_memory_bytes",
                        .type = MetricType::gauge,
                        .unit = "bytes",
                        .help = "memory of batchscope serve",
                        .samples = {{.value = static_cast<double>(process->resident_pages * sysconf(_SC_PAGESIZE))}}});
  return families;
}

std::string links_page(const std::string& version) {
  return fmt::format(
      "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>batchscope</title>"
      "<h1>batchscope serve</h1><p>{}</p><ul><li><a href=\"/metrics\">/metrics</a>: all counters, for "
      "Prometheus</li>"
      "<li><a href=\"/healthz\">/healthz</a>: whether every source answers</li></ul></html>\n",
      version);
}

}  // namespace

// The newest look at the counters and the pages made of it.
class Pages {
 public:
  Pages(Live& live, Nanoseconds period, std::function<std::vector<MetricFamily>()> facts)
      : live_(live), period_(std::max(period, shortest_page_period)), facts_(std::move(facts)) {}

  std::shared_ptr<const std::string> page(TextFormat format, const std::vector<MetricFamily>& requests) {
    look_within(period_);
    auto& page = pages_[static_cast<std::size_t>(format)];
    if (page == nullptr) {
      auto families = metrics_of(summary_);
      const auto facts = facts_ ? facts_() : std::vector<MetricFamily>();
      for (const auto& more : {facts, own_use(), requests}) families.insert(families.end(), more.begin(), more.end());
      page = std::make_shared<const std::string>(to_text(families, format));
    }
    return page;
  }

  // A line for each source that does not answer, and for each GPU that cannot be read.
  std::string complaints() {
    look_within(period_);
    std::string out;
    for (const SamplerFigures& f : summary_.samplers)
      if (f.stuck) out += fmt::format("{}: a call has not returned for {:.0f} s\n", f.source, to_seconds(*f.stuck));
    std::set<std::string> said;
    for (const CounterSummary& s : summary_.counters) {
      if (s.absent_now == nullptr || nvml::is_asleep(s.absent_now)) continue;
      if (s.source != missing_gpus_kind && !nvml::is_no_gpu(s.absent_now)) continue;
      const std::string line = fmt::format("{}: {}\n", s.counter.device, s.absent_now);
      if (said.insert(line).second) out += line;
    }
    return out;
  }

  void keep_looking() { look_within(longest_without_look); }

 private:
  void look_within(Nanoseconds period) {
    const Nanoseconds now = monotonic_clock().now();
    if (looked_ && now - *looked_ < period) return;
    summary_ = live_.look();
    looked_ = now;
    pages_ = {};
  }

  Live& live_;
  const Nanoseconds period_;
  const std::function<std::vector<MetricFamily>()> facts_;
  RecordingSummary summary_;
  std::optional<Nanoseconds> looked_;
  std::array<std::shared_ptr<const std::string>, 2> pages_;  // by format; made when asked for
};

struct Server::State {
  Pages pages;
  const ServerOptions options;
  const http::HostNames names;
  std::shared_ptr<const std::string> links;
  std::map<std::pair<std::string, int>, std::int64_t> requests{};  // by path and status
  std::int64_t cut = 0;
  http::Server http;

  State(Live& live, ServerOptions given)
      : pages(live, given.page_period, given.facts),
        options(std::move(given)),
        names(options.host, options.names),
        links(std::make_shared<const std::string>(links_page(version()))),
        http({.host = options.host, .port = options.port}, "--listen",
             [this](const http::Request& request) { return answer(request); },
             {.answered = [this](std::string_view path, int status) { count(path, status); },
              .cut = [this] { ++cut; }}) {}

  std::string version() const {
    const auto facts = options.facts ? options.facts() : std::vector<MetricFamily>();
    for (const MetricFamily& fact : facts)
      if (fact.name == "batchscope_build") return "batchscope " + fact.samples.at(0).labels.at(0).value;
    return "";
  }

  std::vector<MetricFamily> request_counts() const {
    MetricFamily answered{.name = "batchscope_http_requests", .type = MetricType::counter, .help = "requests answered"};
    for (const auto& [key, count] : requests)
      answered.samples.push_back(
          {.labels = {{"path", key.first}, {"code", std::to_string(key.second)}}, .value = static_cast<double>(count)});
    MetricFamily slow{.name = "batchscope_http_cut",
                      .type = MetricType::counter,
                      .help = "clients that were cut off because they did not take their page",
                      .samples = {{.value = static_cast<double>(cut)}}};
    return {std::move(answered), std::move(slow)};
  }

  void count(std::string_view path, int status) {
    const bool known = path == "/" || path == "/metrics" || path == "/healthz";
    ++requests[{known ? std::string(path) : "other", status}];
  }

  http::Page answer(const http::Request& request) {
    if (!names.admit(request))
      return http::text_page(421,
                             "421 this is not a name of this machine; to allow it, start batchscope serve with "
                             "--name NAME\n");
    if (request.path() == "/metrics") return metrics(request);
    if (request.path() == "/healthz") return health();
    if (request.path() == "/") return {.content_type = "text/html; charset=utf-8", .body = links};
    return http::text_page(404, "404 not found; there are /metrics, /healthz and /\n");
  }

  http::Page metrics(const http::Request& request) {
    const auto accept = request.headers.find("Accept");
    const TextFormat format = preferred_format(std::string(accept.value_or("")));
    return {.content_type = content_type(format),
            .headers = {{"Vary", "Accept"}},
            .body = pages.page(format, request_counts())};
  }

  http::Page health() {
    const std::string complaints = pages.complaints();
    return http::text_page(complaints.empty() ? 200 : 503, complaints.empty() ? "ok\n" : complaints);
  }
};

Server::Server(Live& live, ServerOptions options) : state_(std::make_unique<State>(live, std::move(options))) {}

Server::~Server() = default;

int Server::port() const { return state_->http.port(); }

void Server::run(const std::atomic<bool>& stop) {
  state_->http.run(stop, [this] { state_->pages.keep_looking(); });
}

}  // namespace batchscope::serve
