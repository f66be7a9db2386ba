// When each request goes out, in a thread that only sends and takes the time (load/runner.h).
#include "load/runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/thread_signals.h"
#include "http/event_stream.h"

namespace batchscope::load {
namespace {

constexpr Nanoseconds between_looks = std::chrono::milliseconds(20);  // at whether to stop
constexpr Nanoseconds first_retry = std::chrono::milliseconds(100);
constexpr Nanoseconds longest_retry_after = std::chrono::seconds(10);

// One request that has been sent, perhaps again.
struct Sent {
  std::size_t request = 0;
  LoadRequestRecord record{};
  WireAnswer wire{};
  http::EventStreamReader events{};
  bool is_too_long = false;
};

// Answers on their way to the thread that makes sense of them.
class AnswerQueue {
 public:
  void push(std::shared_ptr<Sent> sent) {
    {
      const std::lock_guard guard(mutex_);
      all_.push_back(std::move(sent));
    }
    ready_.notify_one();
  }
  void close() {
    const std::lock_guard guard(mutex_);
    is_closed_ = true;
    ready_.notify_one();
  }
  // Null: there will be none.
  std::shared_ptr<Sent> pop() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return !all_.empty() || is_closed_; });
    if (all_.empty()) return nullptr;
    auto first = std::move(all_.front());
    all_.pop_front();
    return first;
  }

 private:
  std::mutex mutex_{};
  std::condition_variable ready_{};
  std::deque<std::shared_ptr<Sent>> all_{};
  bool is_closed_ = false;
};

std::string retry_word(const http::Exchange& exchange) {
  if (exchange.ending != http::Ending::complete) return std::string(http::word_of(exchange.ending));
  return fmt::format("http_{}", exchange.response.status);
}

Nanoseconds retry_pause(const http::Exchange& exchange, std::int64_t retries) {
  if (const auto after = http::retry_after(exchange.response.headers))
    return std::min<Nanoseconds>(*after, longest_retry_after);
  return first_retry * (std::int64_t{1} << std::min<std::int64_t>(retries, 6));
}

// All of it is of the sending thread.
class Sender {
 public:
  Sender(const Endpoint& endpoint, std::span<const Request> requests, const RunOptions& options, Nanoseconds begin,
         AnswerQueue& answers, const std::atomic<bool>& stop, const std::atomic<bool>& given_up)
      : endpoint_(endpoint),
        requests_(requests),
        options_(options),
        target_(endpoint.target(endpoint.api == Api::chat ? "chat/completions" : "completions")),
        begin_(begin),
        answers_(answers),
        stop_(stop),
        given_up_(given_up),
        exchanges_(endpoint.url, options.limits, endpoint.token, endpoint.authorities) {
    std::unordered_map<std::int64_t, std::size_t> last;  // of each session
    next_of_session_.assign(requests.size(), requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (const auto session = requests[i].session) {
        const auto [before, is_first] = last.try_emplace(*session, i);
        if (!is_first) next_of_session_[std::exchange(before->second, i)] = i;
        if (!is_first) continue;
      }
      order_.push_back(i);
    }
    std::stable_sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
      return requests[a].arrival.value_or(Nanoseconds(0)) < requests[b].arrival.value_or(Nanoseconds(0));
    });
  }

  void run() {
    if (requests_.empty()) return;
    look();
    pump();
    exchanges_.run();
  }

  bool was_interrupted() const { return is_stopping_ && !is_over_; }

 private:
  Nanoseconds now() const { return monotonic_clock().now() - begin_; }
  bool is_free() const { return !options_.concurrency || under_way_ < *options_.concurrency; }
  Nanoseconds arrival(std::size_t request) const {
    return requests_[request].arrival.value_or(Nanoseconds(0)) + shift_;
  }

  void look() {
    if (is_stopping_) return;
    if (stop_ || given_up_) {
      is_stopping_ = true;
      waiting_.clear();
      for (const auto& sent : std::exchange(retrying_, {})) {
        --under_way_;
        sent->wire.exchange.ending = http::Ending::cancelled;
        answers_.push(sent);
      }
      return exchanges_.cancel_all();
    }
    exchanges_.at(monotonic_clock().now() + between_looks, [this] { look(); });
  }

  // Takes in what has arrived, and waits for what comes next.
  void pump() {
    while (next_ < order_.size() && !is_stopping_) {
      const std::size_t request = order_[next_];
      if (options_.late == LateRequests::shift && !waiting_.empty()) return;  // until that one has gone
      if (options_.duration && arrival(request) > *options_.duration) {
        is_past_duration_ = true;
        break;
      }
      if (arrival(request) > now()) {
        // Made now, so that nothing is left to do but to send it.
        if (prepared_.first != request || prepared_.second.empty())
          prepared_ = {request, request_json(endpoint_, requests_[request].prompt, requests_[request].output_tokens)};
        if (!std::exchange(is_waiting_for_arrival_, true))
          exchanges_.at(begin_ + arrival(request), [this] {
            is_waiting_for_arrival_ = false;
            pump();
          });
        return;
      }
      ++next_;
      arrive(request, arrival(request));
    }
    finish_if_over();
  }

  void arrive(std::size_t request, Nanoseconds intended) {
    if (is_free() && waiting_.empty()) return send(request, intended, intended);
    waiting_.push_back({request, intended});
  }

  void release() {
    while (!waiting_.empty() && is_free() && !is_stopping_) {
      auto [request, intended] = waiting_.front();
      waiting_.pop_front();
      const Nanoseconds due = now();
      if (options_.late == LateRequests::shift && requests_[request].arrival && due > intended) {
        shift_ += due - intended;
        intended = due;
      }
      send(request, intended, due);
    }
    pump();
  }

  void send(std::size_t request, Nanoseconds intended, Nanoseconds due) {
    if (is_stopping_) return;
    if (options_.duration && due > *options_.duration) {
      is_past_duration_ = true;
      return;
    }
    const Request& asked = requests_[request];
    // Without an arrival a request is meant to go when it may.
    const bool is_scheduled = asked.arrival.has_value() || asked.session.has_value();
    auto sent = std::make_shared<Sent>();
    sent->request = request;
    sent->record = {.position = static_cast<std::int64_t>(request),
                    .id_json = asked.id_json,
                    .session = asked.session,
                    .intended = is_scheduled ? intended : due,
                    .due = due,
                    .asked_output_tokens = asked.output_tokens};
    if (endpoint_.api == Api::completions && !asked.prompt.tokens.empty())
      sent->record.asked_prompt_tokens = std::ssize(asked.prompt.tokens);
    ++under_way_;
    post(sent);
  }

  void post(const std::shared_ptr<Sent>& sent) {
    const Request& asked = requests_[sent->request];
    std::string body = prepared_.first == sent->request && !prepared_.second.empty()
                           ? std::exchange(prepared_.second, {})
                           : request_json(endpoint_, asked.prompt, asked.output_tokens);
    sent->wire = {};
    sent->events = http::EventStreamReader();
    exchanges_.post(
        target_, std::move(body),
        [sent](std::string_view bytes, Nanoseconds at, const http::Response& response) {
          take(*sent, bytes, at, response);
        },
        [this, sent](const http::Exchange& exchange) { ended(sent, exchange); });
  }

  static void take(Sent& sent, std::string_view bytes, Nanoseconds at, const http::Response& response) {
    WireAnswer& wire = sent.wire;
    if (wire.events.empty() && !wire.is_event_stream) {
      const auto type = response.headers.find("Content-Type");
      wire.is_event_stream = response.status == 200 && type && type->starts_with("text/event-stream");
    }
    if (!wire.is_event_stream) {
      if (wire.events.empty()) wire.events.emplace_back();
      wire.events[0].at = at;
      wire.events[0].data += bytes;
      return;
    }
    if (sent.is_too_long) return;
    sent.is_too_long = !sent.events.take(
        bytes, [&](std::string_view data) { wire.events.push_back({.at = at, .data = std::string(data)}); });
  }

  void ended(const std::shared_ptr<Sent>& sent, const http::Exchange& exchange) {
    if (sent->record.retries < options_.retries && options_.retried.contains(retry_word(exchange)) && !is_stopping_) {
      const Nanoseconds pause = retry_pause(exchange, sent->record.retries++);
      sent->wire.exchange = exchange;
      retrying_.insert(sent);
      return exchanges_.at(exchange.end + pause, [this, sent] {
        retrying_.erase(sent);
        post(sent);
      });
    }
    WireAnswer& wire = sent->wire;
    wire.exchange = exchange;
    if (wire.is_event_stream)
      sent->events.end(
          [&](std::string_view data) { wire.events.push_back({.at = exchange.end, .data = std::string(data)}); });
    if (sent->is_too_long) wire.exchange.ending = http::Ending::too_long;
    wire.has_unknown_lines = sent->events.unknown_lines() > 0;
    --under_way_;
    answers_.push(sent);
    if (const std::size_t next = next_of_session_[sent->request]; next < requests_.size() && !is_stopping_) {
      ++thinking_;
      const Nanoseconds due = exchange.end - begin_ + requests_[next].think;
      exchanges_.at(begin_ + due, [this, next, due] {
        --thinking_;
        arrive(next, due);
        finish_if_over();
      });
    }
    release();
  }

  void finish_if_over() {
    if (under_way_ > 0 || thinking_ > 0 || !waiting_.empty()) return;
    if (next_ < order_.size() && !is_stopping_ && !is_past_duration_) return;
    is_over_ = !is_stopping_;
    is_stopping_ = true;
    exchanges_.cancel_all();  // what looks for a stop
  }

  const Endpoint& endpoint_;
  const std::span<const Request> requests_;
  const RunOptions& options_;
  const std::string target_;
  const Nanoseconds begin_;
  AnswerQueue& answers_;
  const std::atomic<bool>&stop_, &given_up_;
  http::Exchanges exchanges_;
  std::vector<std::size_t> order_{};                           // by arrival; of each session the first only
  std::vector<std::size_t> next_of_session_{};                 // of each request; their number: none
  std::size_t next_ = 0;                                       // of order_
  std::deque<std::pair<std::size_t, Nanoseconds>> waiting_{};  // for the cap, with when they were intended
  std::set<std::shared_ptr<Sent>> retrying_{};
  std::pair<std::size_t, std::string> prepared_{};
  Nanoseconds shift_{0};
  std::int64_t under_way_ = 0, thinking_ = 0;
  bool is_waiting_for_arrival_ = false, is_stopping_ = false, is_over_ = false, is_past_duration_ = false;
};

}  // namespace

bool run_requests(const Endpoint& endpoint, std::span<const Request> requests, Nanoseconds begin,
                  const RunOptions& options, const std::function<void(Answer)>& ended, const std::atomic<bool>& stop) {
  AnswerQueue answers;
  std::atomic<bool> given_up{false};
  Sender sender(endpoint, requests, options, begin, answers, stop, given_up);
  std::exception_ptr failure;
  std::thread sending([&] {
    leave_signals_to_others();
    try {
      sender.run();
    } catch (...) {
      failure = std::current_exception();
    }
    answers.close();
  });
  std::exception_ptr refusal;
  while (const auto sent = answers.pop()) {
    if (refusal) continue;
    try {
      ended(read_answer(sent->wire, std::move(sent->record), begin));
    } catch (...) {
      refusal = std::current_exception();
      given_up = true;
    }
  }
  sending.join();
  if (refusal) std::rethrow_exception(refusal);
  if (failure) std::rethrow_exception(failure);
  return !sender.was_interrupted();
}

}  // namespace batchscope::load
