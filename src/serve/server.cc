// HTTP by cpp-httplib (serve/server.h). What a client can cost is bounded: a thread of a fixed number, a send buffer,
// and the time in which it must take its page, which it shares with the others.
#include "serve/server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "base/error.h"
#include "serve/metrics.h"
#include "telemetry/sources/procfs.h"

namespace batchscope::serve {
namespace {

constexpr int clients_at_once = 128;  // others wait
constexpr int waiting_clients = 512;  // cpp-httplib's own backlog of 5 makes some of a hundred wait for seconds
constexpr int send_buffer_bytes = 16 * 1024;
constexpr std::size_t piece_bytes = 16 * 1024;
constexpr auto longest_silence = std::chrono::seconds(3);  // of a client that is to send or to take
constexpr auto longest_transfer = std::chrono::seconds(10);
constexpr int idle_connection_s = 1;  // then its thread is for others
constexpr std::size_t most_body_bytes = 1024;
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
      "<h1>batchscope serve</h1><p>{}</p><ul><li><a href=\"/metrics\">/metrics</a>: what is sampled, for "
      "Prometheus</li>"
      "<li><a href=\"/healthz\">/healthz</a>: whether every source answers</li></ul></html>\n",
      version);
}

}  // namespace

// The newest look at the counters and the pages made of it.
class Pages {
 public:
  Pages(Live& live, Nanoseconds period, std::vector<MetricFamily> facts)
      : live_(live), period_(std::max(period, shortest_page_period)), facts_(std::move(facts)) {}

  std::shared_ptr<const std::string> page(TextFormat format, const std::vector<MetricFamily>& requests) {
    const std::lock_guard guard(mutex_);
    look_within(period_);
    auto& page = pages_[static_cast<std::size_t>(format)];
    if (page == nullptr) {
      auto families = metrics_of(summary_);
      for (const auto& more : {facts_, own_use(), requests}) families.insert(families.end(), more.begin(), more.end());
      page = std::make_shared<const std::string>(to_text(families, format));
    }
    return page;
  }

  // A line for each source that does not answer.
  std::string complaints() {
    const std::lock_guard guard(mutex_);
    look_within(period_);
    std::string out;
    for (const SamplerFigures& f : summary_.samplers)
      if (f.stuck) out += fmt::format("{}: a call has not returned for {:.0f} s\n", f.source, to_seconds(*f.stuck));
    return out;
  }

  void keep_looking() {
    const std::lock_guard guard(mutex_);
    look_within(longest_without_look);
  }

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
  const std::vector<MetricFamily> facts_;
  std::mutex mutex_;
  RecordingSummary summary_;
  std::optional<Nanoseconds> looked_;
  std::array<std::shared_ptr<const std::string>, 2> pages_;  // by format; made when asked for
};

struct Server::State {
  Pages pages;
  int port = 0;
  int listener = -1;  // the server's
  std::atomic<bool> ending{false}, ended{false};
  std::mutex mutex;                                              // of what follows
  std::map<std::pair<std::string, int>, std::int64_t> requests;  // by path and status
  std::int64_t cut = 0;
  httplib::Server http;  // last: its threads use the others

  State(Live& live, const ServerOptions& options) : pages(live, options.page_period, options.facts) {}

  std::vector<MetricFamily> request_counts() {
    const std::lock_guard guard(mutex);
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

  void count(const httplib::Request& request, const httplib::Response& response) {
    const bool known = request.path == "/" || request.path == "/metrics" || request.path == "/healthz";
    const std::lock_guard guard(mutex);
    ++requests[{known ? request.path : "other", response.status}];
  }

  void send_page(const httplib::Request& request, httplib::Response& response) {
    const TextFormat format = preferred_format(request.get_header_value("Accept"));
    auto page = pages.page(format, request_counts());
    const auto deadline = std::chrono::steady_clock::now() + longest_transfer;
    response.set_header("Vary", "Accept");
    response.set_content_provider(
        page->size(), content_type(format),
        [this, page, deadline](std::size_t offset, std::size_t length, httplib::DataSink& sink) {
          if (ending || std::chrono::steady_clock::now() > deadline) return false;
          return sink.write(page->data() + offset, std::min(length, piece_bytes));
        },
        [this](bool taken) {
          if (taken) return;
          const std::lock_guard guard(mutex);
          ++cut;
        });
  }

  void send_health(httplib::Response& response) {
    const std::string complaints = pages.complaints();
    response.status = complaints.empty() ? 200 : 503;
    response.set_content(complaints.empty() ? "ok\n" : complaints, "text/plain; charset=utf-8");
  }

  void set_limits() {
    http.new_task_queue = [] { return new httplib::ThreadPool(clients_at_once); };
    http.set_keep_alive_timeout(idle_connection_s);
    http.set_keep_alive_max_count(100);
    http.set_read_timeout(longest_silence);
    http.set_write_timeout(longest_silence);
    http.set_payload_max_length(most_body_bytes);
    // Without SO_REUSEPORT, which cpp-httplib sets: a port that another program listens on is in use.
    http.set_socket_options([this](int socket) {
      const int yes = 1, bytes = send_buffer_bytes;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
      setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);  // its connections inherit it
      listener = socket;
    });
  }

  void listen(const ServerOptions& options) {
    const auto refuse = [&](const char* why) {
      throw InputError("--listen: cannot listen on {}:{}: {}", options.host, options.port, why);
    };
    // A resolver's own modules leave any errno behind, so that does not tell that there is no such address.
    addrinfo* found = nullptr;
    if (getaddrinfo(options.host.c_str(), nullptr, nullptr, &found) != 0) refuse("no address of this machine");
    freeaddrinfo(found);
    errno = 0;
    port = options.port;
    if (port == 0)
      port = http.bind_to_any_port(options.host);
    else if (!http.bind_to_port(options.host, port))
      port = -1;
    if (port < 0) refuse(errno == 0 ? "no address of this machine" : std::strerror(errno));
    ::listen(listener, waiting_clients);
  }
};

Server::Server(Live& live, ServerOptions options) : state_(std::make_unique<State>(live, options)) {
  httplib::Server& http = state_->http;
  std::string version;
  for (const MetricFamily& fact : options.facts)
    if (fact.name == "batchscope_build") version = "batchscope " + fact.samples.at(0).labels.at(0).value;
  http.Get("/metrics", [this](const auto& request, auto& response) { state_->send_page(request, response); });
  http.Get("/healthz", [this](const auto&, auto& response) { state_->send_health(response); });
  http.Get("/", [page = links_page(version)](const auto&, auto& response) {
    response.set_content(page, "text/html; charset=utf-8");
  });
  http.set_logger([this](const auto& request, const auto& response) { state_->count(request, response); });
  state_->set_limits();
  state_->listen(options);
}

Server::~Server() = default;

int Server::port() const { return state_->port; }

void Server::run(const std::atomic<bool>& stop) {
  std::thread answering([this] {
    state_->http.listen_after_bind();
    state_->ended = true;
  });
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
  std::exception_ptr error;
  try {
    while (!stop && !state_->ended) {
      state_->pages.keep_looking();
      pause();
    }
    if (!stop) throw Failure("the HTTP server ended by itself: {}", std::strerror(errno));
  } catch (...) {
    error = std::current_exception();
  }
  state_->ending = true;
  while (!state_->http.is_running() && !state_->ended) pause();  // before, it could not be stopped
  state_->http.stop();
  answering.join();
  if (error) std::rethrow_exception(error);
}

}  // namespace batchscope::serve
