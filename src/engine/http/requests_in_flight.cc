// A thread for each connection (engine/http/requests_in_flight.h).
#include "engine/http/requests_in_flight.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_signals.h"
#include "base/units.h"

namespace batchscope {
namespace {

constexpr Nanoseconds first_pause = std::chrono::milliseconds(250), longest_pause = std::chrono::seconds(30);

bool says_out_of_memory(const ServerAnswer& answer) {
  std::string words = answer.explained_failure();
  std::transform(words.begin(), words.end(), words.begin(), [](unsigned char c) { return std::tolower(c); });
  return answer.transfer.response.status >= 500 && words.find("out of memory") != std::string::npos;
}

class Senders {
 public:
  Senders(const EngineSpec& server, const RequestsInFlight& requests, PhaseSink* phases)
      : server_(server), requests_(requests), phases_(phases) {
    served_.times.resize(requests.count);
    served_.first_bytes.resize(requests.count);
  }

  ServedRequests run() {
    const auto connections = std::min<std::size_t>(requests_.count, static_cast<std::size_t>(requests_.in_flight));
    std::vector<std::thread> threads;
    try {
      for (std::size_t i = 0; i < connections; ++i) threads.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error& error) {
      fail(std::make_exception_ptr(Failure("--batch {}: only {} requests could be kept in flight: {}",
                                           requests_.in_flight, threads.size(), error.what())));
    }
    for (std::thread& thread : threads) thread.join();
    if (failure_) std::rethrow_exception(failure_);
    return std::move(served_);
  }

 private:
  void serve(std::size_t connection) {
    leave_signals_to_others();
    try {
      ServerClient client(server_, server_.access.request_timeout);
      for (std::size_t i = 0; !is_over_ && (i = next_++) < requests_.count;) send(client, connection, i);
    } catch (...) {
      fail(std::current_exception());
    }
  }

  void send(ServerClient& client, std::size_t connection, std::size_t request) {
    const ServerRequest asked = requests_.make(request);
    for (std::int64_t attempt = 0; !is_over_; ++attempt) {
      const ServerAnswer answer = client.post(asked.path, asked.body, asked.of);
      if (answer.is_ok()) return note(answer, connection, request);
      std::unique_lock lock(mutex_);
      ++served_.failures[answer.failure()];
      if (attempt >= server_.access.retries || !answer.may_pass()) throw_failure(answer, request);
      ++served_.retries;
      over_.wait_for(lock, pause_after(answer, attempt), [&] { return is_over_.load(); });
    }
  }

  void note(const ServerAnswer& answer, std::size_t connection, std::size_t request) {
    requests_.take(request, answer);
    const http::Answer& transfer = answer.transfer;
    served_.times[request] = transfer.end - transfer.sent;
    served_.first_bytes[request] = transfer.first_byte - transfer.sent;
    ++answered_;
    if (phases_ != nullptr)
      phases_->record({.name = "request",
                       .track = fmt::format("connection {}", connection + 1),
                       .begin = transfer.sent,
                       .end = transfer.end,
                       .detail = fmt::format("request {}, first byte after {}", request + 1,
                                             format_duration(transfer.first_byte - transfer.sent))});
  }

  [[noreturn]] void throw_failure(const ServerAnswer& answer, std::size_t request) const {
    if (says_out_of_memory(answer)) throw OutOfMemory("the server is out of memory: " + answer.explained_failure());
    std::vector<std::string> failures;
    for (const auto& [what, count] : served_.failures) failures.push_back(fmt::format("{} × {}", count, what));
    throw Failure("the server {}{} (request {} of {}; {} were answered; failed attempts: {})",
                  answer.transfer.fault == http::Fault::none ? "answers " : "", answer.explained_failure(), request + 1,
                  requests_.count, answered_.load(), fmt::join(failures, ", "));
  }

  static Nanoseconds pause_after(const ServerAnswer& answer, std::int64_t attempt) {
    if (const auto after = http::retry_after(answer.transfer.response.headers))
      return std::min<Nanoseconds>(longest_pause, *after);
    return std::min(longest_pause, first_pause * (std::int64_t{1} << std::min<std::int64_t>(attempt, 10)));
  }

  void fail(const std::exception_ptr& failure) {
    const std::lock_guard guard(mutex_);
    if (!failure_) failure_ = failure;
    is_over_ = true;
    over_.notify_all();
  }

  const EngineSpec& server_;
  const RequestsInFlight& requests_;
  PhaseSink* phases_;
  std::atomic<std::size_t> next_{0}, answered_{0};
  std::atomic<bool> is_over_{false};
  std::mutex mutex_{};  // of what follows, but the times of each request
  std::condition_variable over_{};
  ServedRequests served_{};
  std::exception_ptr failure_{};
};

}  // namespace

ServedRequests send_requests(const EngineSpec& server, const RequestsInFlight& requests, PhaseSink* phases) {
  return Senders(server, requests, phases).run();
}

}  // namespace batchscope
