// The server over real sockets: one page for all, health, and addresses that cannot be had. What many and bad clients
// do to it stands in serve_test.py.
#include "serve/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/error.h"
#include "http/client.h"

namespace batchscope::serve {
namespace {

using testing::HasSubstr;

// Counts its readings; blocks in one while it is told to.
class TestSource : public Source {
 public:
  struct Gate {
    std::mutex mutex;
    std::condition_variable changed;
    bool shut = false;
  };
  explicit TestSource(Gate& gate) : gate_(gate) {
    Counter counter;
    counter.name = "readings_total";
    counter.kind = CounterKind::cumulative;
    groups_.push_back({.id = 1, .counters = {counter}});
  }
  std::string name() const override { return "test"; }
  Pace pace(Nanoseconds) const override { return Pace::relaxed(std::chrono::milliseconds(1)); }
  bool discover(const Clock&) override { return std::exchange(is_new_, false); }
  const std::vector<CounterGroup>& groups() const override { return groups_; }
  void read(std::size_t, Rows& rows) override {
    std::unique_lock lock(gate_.mutex);
    gate_.changed.wait(lock, [&] { return !gate_.shut; });
    rows.add_now([&](std::span<Reading> out) { out[0] = Reading::of(++readings_); });
  }

 private:
  Gate& gate_;
  std::int64_t readings_ = 0;
  bool is_new_ = true;
  std::vector<CounterGroup> groups_;
};

std::vector<std::unique_ptr<Source>> test_sources(TestSource::Gate& gate) {
  std::vector<std::unique_ptr<Source>> sources;
  sources.push_back(std::make_unique<TestSource>(gate));
  return sources;
}

class ServerTest : public testing::Test {
 protected:
  explicit ServerTest(Nanoseconds page_period = std::chrono::hours(1))
      : live_(test_sources(gate_), {}), server_(live_, {.page_period = page_period}) {
    thread_ = std::thread([this] { server_.run(stop_); });
  }
  ~ServerTest() override {
    set_gate(false);
    stop_ = true;
    thread_.join();
  }

  void set_gate(bool shut) {
    const std::lock_guard guard(gate_.mutex);
    gate_.shut = shut;
    gate_.changed.notify_all();
  }
  struct Got {
    int status = 0;
    http::Headers headers{};
    std::string body{};

    std::string_view header(std::string_view name) const { return headers.find(name).value_or("none"); }
  };
  Got get(const std::string& path, const http::Headers& headers = {}) {
    http::Client client({.host = "127.0.0.1", .port = server_.port(), .target = path},
                        {.whole = std::chrono::seconds(20)});
    Got got;
    const http::Answer answer = client.get(headers, [&](std::string_view bytes) {
      got.body += bytes;
      return true;
    });
    got.status = answer.response.status;
    got.headers = answer.response.headers;
    return got;
  }

  // By a client that says itself whom it asks.
  std::string status_of_host(const std::string& host) {
    const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<std::uint16_t>(server_.port()))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const std::string request = "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    EXPECT_EQ(send(socket, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    char answer[12] = {};
    EXPECT_EQ(recv(socket, answer, sizeof answer, MSG_WAITALL), static_cast<ssize_t>(sizeof answer));
    close(socket);
    return std::string(answer + 9, 3);
  }

  TestSource::Gate gate_;
  Live live_;
  Server server_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_F(ServerTest, APageIsOneLookOnlyForAllClients) {
  const auto first = get("/metrics");
  EXPECT_EQ(first.status, 200);
  EXPECT_EQ(first.header("Content-Type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
  EXPECT_EQ(first.header("Vary"), "Accept");
  const auto plain = get("/metrics", {{"Accept", "text/plain"}});
  EXPECT_EQ(plain.header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  const auto value = [](const std::string& page) {
    const auto at = page.find("\nbatchscope_readings_total ");
    return at == std::string::npos ? "none" : page.substr(at, page.find('\n', at + 1) - at);
  };
  EXPECT_EQ(value(first.body), value(plain.body));
}

TEST_F(ServerTest, ARangeIsIgnored) {
  const std::string whole = get("/metrics").body;
  for (const char* range : {"bytes=0-16383", "bytes=100000-200000", "bytes=-1", "bytes=5-2", "bytes=0-0,1-1"}) {
    const auto part = get("/metrics", {{"Range", range}});
    EXPECT_EQ(part.status, 200) << range;
    EXPECT_EQ(part.header("Content-Range"), "none") << range;
    EXPECT_LT(part.body.size(), whole.size() + 200) << range;  // counts of requests have a line more
    EXPECT_THAT(part.body, testing::EndsWith("# EOF\n")) << range;
  }
}

TEST_F(ServerTest, NamesThatAreNotThisMachines) {
  for (const char* good :
       {"localhost", "LOCALHOST:1", "127.0.0.1:1", "[::1]:1", "10.0.0.7", "localhost.", "node1:9464"})
    EXPECT_EQ(status_of_host(good), "200") << good;
  for (const char* bad : {"evil.example", "localhost.evil.example:80", "evil:80:80", "[::1", "127.0.0.1.evil.example"})
    EXPECT_EQ(status_of_host(bad), "421") << bad;
}

TEST_F(ServerTest, LinksAndUnknownPaths) {
  EXPECT_THAT(get("/").body, HasSubstr("href=\"/metrics\""));
  EXPECT_EQ(get("/other").status, 404);
}

class BriskServerTest : public ServerTest {
 protected:
  BriskServerTest() : ServerTest(Nanoseconds(0)) {}
};

TEST_F(BriskServerTest, HealthSaysWhichSourceDoesNotAnswer) {
  EXPECT_EQ(get("/healthz").status, 200);
  set_gate(true);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (get("/healthz").status == 200 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto health = get("/healthz");
  EXPECT_EQ(health.status, 503);
  EXPECT_THAT(health.body, HasSubstr("test: a call has not returned for "));
  EXPECT_THAT(get("/metrics").body, HasSubstr("reason=\"a call has not returned\""));
}

std::string refusal(Live& live, const std::string& host, int port) {
  try {
    Server server(live, {.host = host, .port = port});
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

TEST_F(ServerTest, AddressesThatCannotBeHad) {
  EXPECT_THAT(refusal(live_, "127.0.0.1", server_.port()), HasSubstr("in use"));
  EXPECT_THAT(refusal(live_, "192.0.2.1", 9464), HasSubstr("cannot listen on 192.0.2.1:9464"));
  EXPECT_THAT(refusal(live_, "no such host", 9464), HasSubstr("not an address of this machine"));
}

}  // namespace
}  // namespace batchscope::serve
