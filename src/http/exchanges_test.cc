// Exchanges against a server that follows scripts: kept connections, streams, and each way to end.
#include "http/exchanges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>
#include <vector>

#include "base/error.h"
#include "http/script_server.h"

namespace batchscope::http {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;

using Answers = std::map<std::string, std::vector<ScriptStep>>;  // of each target, the steps

class Scripted {
 public:
  explicit Scripted(Answers answers)
      : answers_(std::move(answers)), server_({}, "the test", [this](const Request& request, Nanoseconds) {
          bodies.push_back(request.body);
          return Script([steps = answers_.at(request.target), next = std::size_t{0}]() mutable {
            return next < steps.size() ? std::optional(steps[next++]) : std::nullopt;
          });
        }) {
    thread_ = std::thread([this] { server_.run(stop_); });
  }
  ~Scripted() {
    stop_ = true;
    thread_.join();
  }
  Url url() const { return {.host = "127.0.0.1", .port = server_.port()}; }

  std::vector<std::string> bodies{};  // to be read when nothing is under way

 private:
  Answers answers_;
  ScriptServer server_;
  std::atomic<bool> stop_{false};
  std::thread thread_{};
};

constexpr auto keep = ScriptStep::After::keep;
const std::string stream_head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

struct Answered {
  std::string body{};
  std::vector<Nanoseconds> instants{};
  Exchange exchange{};
};

Answered ask(Exchanges& exchanges, const std::string& target, const std::string& json = "{}") {
  Answered got;
  exchanges.post(
      target, json,
      [&](std::string_view bytes, Nanoseconds at, const Response&) {
        got.body += bytes;
        got.instants.push_back(at);
      },
      [&](const Exchange& exchange) { got.exchange = exchange; });
  exchanges.run();
  return got;
}

Ending ending_of(std::vector<ScriptStep> steps, ExchangeLimits limits = {}) {
  const Scripted server({{"/", std::move(steps)}});
  Exchanges exchanges(server.url(), limits);
  return ask(exchanges, "/").exchange.ending;
}

TEST(Exchanges, KeepTheirConnectionAndTheirOrderOfInstants) {
  Scripted server({{"/a", {{.bytes = whole_answer(200, "text/plain", "one"), .after = keep}}},
                   {"/b", {{.bytes = whole_answer(404, "text/plain", "two"), .after = keep}}}});
  Exchanges exchanges(server.url(), {});
  const Answered first = ask(exchanges, "/a", R"({"x":1})"), second = ask(exchanges, "/b");
  EXPECT_EQ(first.body, "one");
  EXPECT_TRUE(first.exchange.opened_connection);
  EXPECT_EQ(second.exchange.response.status, 404);
  EXPECT_FALSE(second.exchange.opened_connection);
  EXPECT_LE(*first.exchange.started, *first.exchange.sent);
  EXPECT_LE(*first.exchange.sent, *first.exchange.first_byte);
  EXPECT_LE(*first.exchange.first_byte, first.exchange.end);
  EXPECT_EQ(server.bodies.front(), R"({"x":1})");
}

TEST(Exchanges, PartsOfAStreamComeAsTheyAreSent) {
  const Nanoseconds later = monotonic_clock().now() + milliseconds(50);
  const Scripted server(
      {{"/", {{.bytes = stream_head + "1\r\na\r\n"}, {.at = later, .bytes = "1\r\nb\r\n0\r\n\r\n", .after = keep}}}});
  Exchanges exchanges(server.url(), {});
  const Answered got = ask(exchanges, "/");
  EXPECT_EQ(got.exchange.ending, Ending::complete);
  EXPECT_EQ(got.body, "ab");
  ASSERT_EQ(got.instants.size(), 2U);
  EXPECT_LT(got.instants[0], later);
  EXPECT_GE(got.instants[1], later);
}

TEST(Exchanges, ManyAreUnderWayAtOnce) {
  const Nanoseconds later = monotonic_clock().now() + milliseconds(100);
  const Scripted server({{"/", {{.at = later, .bytes = whole_answer(200, "text/plain", ""), .after = keep}}}});
  Exchanges exchanges(server.url(), {});
  int ended = 0;
  for (int i = 0; i < 50; ++i)
    exchanges.post(
        "/", "{}", [](auto&&...) {}, [&](const Exchange& exchange) { ended += exchange.ending == Ending::complete; });
  EXPECT_EQ(exchanges.under_way(), 50U);
  exchanges.run();
  EXPECT_EQ(ended, 50);
}

TEST(Exchanges, EveryFaultOfAServerHasItsEnding) {
  const auto close = ScriptStep::After::close, reset = ScriptStep::After::reset;
  EXPECT_EQ(ending_of({{.after = close}}), Ending::no_answer);
  EXPECT_EQ(ending_of({{.bytes = stream_head + "1\r\na\r\n", .after = close}}), Ending::cut);
  EXPECT_EQ(ending_of({{.bytes = stream_head + "1\r\na\r\n"},
                       {.at = monotonic_clock().now() + milliseconds(20), .after = reset}}),
            Ending::reset);
  EXPECT_EQ(ending_of({{.bytes = stream_head + "what\r\n"}}), Ending::not_http);
  EXPECT_EQ(ending_of({{.bytes = "SSH-2.0-OpenSSH_9.2\r\n"}}), Ending::not_http);
  EXPECT_EQ(ending_of({}, {.first_byte = milliseconds(30)}), Ending::silent);
  EXPECT_EQ(ending_of({{.bytes = stream_head}}, {.between_bytes = milliseconds(30)}), Ending::stalled);
  EXPECT_EQ(ending_of({{.bytes = stream_head}}, {.whole = milliseconds(30)}), Ending::timed_out);
  EXPECT_EQ(ending_of({{.bytes = whole_answer(200, "text/plain", std::string(5000, 'x')), .after = keep}},
                      {.answer = {.header_bytes = 1024, .whole_bytes = 1000}}),
            Ending::too_long);
  EXPECT_EQ(ending_of({{.bytes = "HTTP/1.1 200 OK\r\n\r\nto the end", .after = close}}), Ending::complete);
}

TEST(Exchanges, WithoutAServerTheyEndToo) {
  int port = 0;
  {
    const Scripted server(Answers{});
    port = server.url().port;
  }
  Exchanges nobody({.host = "127.0.0.1", .port = port}, {});
  EXPECT_EQ(ask(nobody, "/").exchange.ending, Ending::no_connection);
  Exchanges unknown({.host = "no-such-host.invalid", .port = 1}, {.connecting = std::chrono::seconds(20)});
  EXPECT_THAT(ask(unknown, "/").exchange.ending, testing::AnyOf(Ending::no_such_host, Ending::connect_timeout));
}

TEST(Exchanges, ClosedConnectionsAreNotUsedAgain) {
  const Scripted server({{"/", {{.bytes = whole_answer(200, "text/plain", "x"), .after = ScriptStep::After::reset}}}});
  Exchanges exchanges(server.url(), {});
  for (int i = 0; i < 3; ++i) {
    const Answered got = ask(exchanges, "/");
    EXPECT_THAT(got.exchange.ending, testing::AnyOf(Ending::complete, Ending::reset));
    EXPECT_TRUE(got.exchange.opened_connection);
    std::this_thread::sleep_for(milliseconds(20));
  }
}

TEST(Exchanges, CancellingEndsWhatIsUnderWay) {
  const Scripted server(Answers{{"/", {}}});
  Exchanges exchanges(server.url(), {});
  std::vector<std::string> order;
  exchanges.post(
      "/", "{}", [](auto&&...) {}, [&](const Exchange& exchange) { order.emplace_back(word_of(exchange.ending)); });
  exchanges.at(Nanoseconds(0), [&] { order.emplace_back("first"); });
  exchanges.at(monotonic_clock().now() + milliseconds(20), [&] {
    order.emplace_back("second");
    exchanges.cancel_all();
  });
  exchanges.at(monotonic_clock().now() + std::chrono::hours(1), [&] { order.emplace_back("never"); });
  exchanges.run();
  EXPECT_THAT(order, ElementsAre("first", "second", "cancelled"));
}

}  // namespace
}  // namespace batchscope::http
