// The client against servers that are played: deadlines, limits, redirects, tokens. TLS stands in
// telemetry/sources/scrape_test.py.
#include "http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "base/error.h"

namespace batchscope::http {
namespace {

using testing::HasSubstr;
using testing::Not;

// Plays one connection after the other, in a thread of its own.
class PlayedServer {
 public:
  // Is given what the client sent, and a function that sends and says whether the client still listens.
  using Send = std::function<bool(std::string_view)>;
  using Play = std::function<void(const std::string& request, const Send& send)>;
  explicit PlayedServer(Play play) : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, play = std::move(play)] { serve(play); });
  }
  ~PlayedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }

 private:
  void serve(const Play& play) {
    for (int client = 0; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client)) {
      char buffer[4096];
      const ssize_t got = recv(client, buffer, sizeof buffer, 0);
      play(std::string(buffer, static_cast<std::size_t>(std::max<ssize_t>(got, 0))), [client](std::string_view bytes) {
        return ::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
      });
    }
  }

  int listener_, port_ = 0;
  std::thread thread_;
};

struct Got {
  Fault fault;
  int status;
  std::string body;
};

Got get(int port, ClientOptions options = {}, const std::string& host = "127.0.0.1") {
  Client client({.host = host, .port = port, .target = "/metrics"}, std::move(options));
  std::string body;
  const Answer answer = client.get({}, [&](std::string_view bytes) {
    body += bytes;
    return true;
  });
  return {answer.fault, answer.response.status, body};
}

Fault fault_of(const PlayedServer::Play& play) {
  const PlayedServer server(play);
  const auto begin = std::chrono::steady_clock::now();
  const Got got = get(server.port());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  return got.fault;
}

TEST(Client, GetsAPage) {
  std::string asked;
  PlayedServer server([&](const std::string& request, const PlayedServer::Send& send) {
    asked = request;
    send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  });
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const Got got = get(server.port(), {}, host);
    EXPECT_EQ(got.fault, Fault::none);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(got.body, "hello");
    EXPECT_THAT(asked, HasSubstr("GET /metrics HTTP/1.1\r\nHost: " + std::string(host)));
    EXPECT_THAT(asked, Not(HasSubstr("Authorization")));
  }
}

TEST(Client, ServersThatAreNotThere) {
  EXPECT_EQ(get(1).fault, Fault::no_connection);
  EXPECT_EQ(get(1, {.connecting = std::chrono::seconds(30), .whole = std::chrono::seconds(30)}, "no such host").fault,
            Fault::no_such_host);
}

TEST(Client, NoAnswerLastsLonger) {
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(50)); };
  EXPECT_EQ(fault_of([&](auto&, auto&) { std::this_thread::sleep_for(std::chrono::seconds(3)); }), Fault::too_late);
  for (const char* begin : {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ", "HTT"})
    EXPECT_NE(fault_of([&](auto&, auto& send) {
                send(begin);
                while (send("a")) pause();
              }),
              Fault::none);
  EXPECT_EQ(fault_of([&](auto&, auto& send) {
              while (send("HTTP/1.1 200 OK\r\nX: ")) pause();
            }),
            Fault::too_late);
}

TEST(Client, NoAnswerIsLonger) {
  const std::string much(1 << 16, 'a');
  std::string interim;
  for (int i = 0; i < 1000; ++i) interim += "HTTP/1.1 100 Continue\r\n\r\n";
  for (const char* begin : {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 500 Error\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"})
    EXPECT_EQ(fault_of([&](auto&, auto& send) {
                send(begin);
                while (send(much)) {
                }
              }),
              Fault::too_long)
        << begin;
  EXPECT_EQ(fault_of([&](auto&, auto& send) {
              while (send(interim)) {
              }
            }),
            Fault::not_http);
  EXPECT_EQ(fault_of([&](auto&, auto& send) {
              while (send(much)) {
              }
            }),
            Fault::not_http);
}

std::string moved(const std::string& location) {
  return "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + "\r\n\r\n";
}

TEST(Client, RedirectsAreFollowedAFewTimes) {
  PlayedServer server([&](const std::string& request, const PlayedServer::Send& send) {
    send(request.starts_with("GET /there") ? "HTTP/1.1 200 OK\r\n\r\nx" : moved("/there"));
  });
  const Got got = get(server.port());
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "x");
  EXPECT_EQ(fault_of([](auto&, auto& send) { send(moved("/metrics")); }), Fault::bad_redirect);
  EXPECT_EQ(fault_of([](auto&, auto& send) { send(moved("file:///etc/passwd")); }), Fault::bad_redirect);
  EXPECT_EQ(fault_of([](auto&, auto& send) { send(moved("http://127.0.0.1:1/")); }), Fault::no_connection);
}

TEST(Client, TokensGoToTheirServerOnly) {
  const auto folder = std::filesystem::temp_directory_path() / ("batchscope-client-" + std::to_string(getpid()));
  std::filesystem::create_directory(folder);
  const std::string file = folder / "token";
  std::ofstream(file) << "abc.def-1\n";
  std::string asked, other_asked;
  PlayedServer other([&](const std::string& request, const PlayedServer::Send& send) {
    other_asked = request;
    send("HTTP/1.1 200 OK\r\n\r\n");
  });
  PlayedServer server([&](const std::string& request, const PlayedServer::Send& send) {
    asked = request;
    send(moved("http://127.0.0.1:" + std::to_string(other.port()) + "/"));
  });
  const ClientOptions options{.token = BearerToken::from_file(file, "--token")};
  EXPECT_EQ(get(server.port(), options).status, 200);
  EXPECT_THAT(asked, HasSubstr("Authorization: Bearer abc.def-1\r\n"));
  EXPECT_THAT(other_asked, Not(HasSubstr("abc.def-1")));

  std::ofstream(file) << "new\n";
  get(server.port(), options);
  EXPECT_THAT(asked, HasSubstr("Bearer new\r\n"));
  std::filesystem::remove_all(folder);
  EXPECT_EQ(get(server.port(), options).fault, Fault::no_token);
}

TEST(Client, TokensThatAreNone) {
  setenv("BATCHSCOPE_TEST_TOKEN", "good", 1);
  EXPECT_EQ(BearerToken::from_variable("BATCHSCOPE_TEST_TOKEN", "--t").header_value(), "Bearer good");
  setenv("BATCHSCOPE_TEST_TOKEN", "bad\r\nX: y", 1);
  EXPECT_THROW(BearerToken::from_variable("BATCHSCOPE_TEST_TOKEN", "--t"), InputError);
  unsetenv("BATCHSCOPE_TEST_TOKEN");
  EXPECT_THROW(BearerToken::from_variable("BATCHSCOPE_TEST_TOKEN", "--t"), InputError);
  EXPECT_THROW(BearerToken::from_file("/nowhere", "--t"), InputError);
}

TEST(Client, ATokenIsAskedFor) {
  setenv("BATCHSCOPE_TEST_TOKEN", "good", 1);
  const auto token = BearerToken::from_variable("BATCHSCOPE_TEST_TOKEN", "--t");
  unsetenv("BATCHSCOPE_TEST_TOKEN");
  const auto admitted = [](const BearerToken& asked, const std::string& sent) {
    return asked.admits({.headers = {{"authorization", sent}}});
  };
  EXPECT_TRUE(admitted(token, "Bearer good"));
  for (const char* wrong : {"", "good", "Bearer goof", "Bearer goodx", "bearer good"})
    EXPECT_FALSE(admitted(token, wrong));
  EXPECT_FALSE(token.admits({}));
  EXPECT_TRUE(BearerToken().admits({}));
}

}  // namespace
}  // namespace batchscope::http
