// The server over real sockets: limits of time and of connections, and the client against it. What hundreds of bad
// clients do to it stands in serve/serve_test.py.
#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <thread>

#include "http/client.h"

namespace batchscope::http {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A client that sends what it likes.
class Socket {
 public:
  explicit Socket(int port, std::uint32_t from = INADDR_LOOPBACK) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(from);
    EXPECT_EQ(bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    const timeval longest{.tv_sec = 20};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
  }
  ~Socket() { close(socket_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  bool send(std::string_view bytes) {
    return ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  // Until the server closes the connection.
  std::string rest() {
    std::string out;
    char buffer[4096];
    ssize_t got = 0;
    while ((got = recv(socket_, buffer, sizeof buffer, 0)) > 0) out.append(buffer, static_cast<std::size_t>(got));
    return out;
  }
  bool has_bytes() {
    char byte = 0;
    return recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
  }
  bool is_closed() {
    char byte = 0;
    const ssize_t got = recv(socket_, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return got == 0 || (got < 0 && errno == ECONNRESET);
  }

 private:
  int socket_;
};

bool becomes(const std::function<bool()>& condition) {
  for (int i = 0; i < 400; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  return false;
}

class HttpServerTest : public testing::Test {
 protected:
  explicit HttpServerTest(ServerOptions options = {.connections = 6,
                                                   .connections_of_one_address = 4,
                                                   .whole_request = std::chrono::milliseconds(500),
                                                   .whole_answer = std::chrono::milliseconds(700),
                                                   .between_requests = std::chrono::milliseconds(600)})
      : server_(
            options, "--listen", [this](const Request& request) { return answer(request); },
            {.answered = [this](std::string_view, int status) { last_status_ = status; }, .cut = [this] { ++cut_; }}) {
    thread_ = std::thread([this] { server_.run(stop_, [] {}); });
  }
  ~HttpServerTest() override {
    stop_ = true;
    thread_.join();
  }

  Page answer(const Request& request) {
    if (request.path() == "/large") return {.body = large_};
    return text_page(200, std::string(request.target) + "\n");
  }

  std::shared_ptr<const std::string> large_ = std::make_shared<const std::string>(std::string(8 << 20, 'x'));
  std::atomic<bool> stop_{false};
  std::atomic<int> cut_{0}, last_status_{0};
  Server server_;
  std::thread thread_;
};

TEST_F(HttpServerTest, ConnectionsAreKeptOrClosedAsAsked) {
  Socket socket(server_.port());
  ASSERT_TRUE(
      socket.send("GET /a HTTP/1.1\r\n\r\nHEAD /bcd HTTP/1.1\r\n\r\nGET /e HTTP/1.1\r\nConnection: close\r\n\r\n"));
  const std::string all = socket.rest();
  EXPECT_THAT(all, HasSubstr("Connection: keep-alive\r\n\r\n/a\nHTTP/1.1 200 OK"));
  EXPECT_THAT(all, HasSubstr("Content-Length: 5\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200"));
  EXPECT_THAT(all, HasSubstr("Connection: close\r\n\r\n/e\n"));
  Socket old(server_.port());
  ASSERT_TRUE(old.send("GET /a HTTP/1.0\r\n\r\n"));
  EXPECT_THAT(old.rest(), HasSubstr("Connection: close"));
}

TEST_F(HttpServerTest, RefusalsArrive) {
  const auto refused = [&](const std::string& request) {
    Socket socket(server_.port());
    socket.send(request);
    return socket.rest().substr(0, 12);
  };
  EXPECT_EQ(refused("GET /" + std::string(100000, 'a')), "HTTP/1.1 431");
  EXPECT_EQ(refused("POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + std::string(99999, 'a')), "HTTP/1.1 413");
  EXPECT_EQ(refused("nonsense\r\n\r\n"), "HTTP/1.1 400");
  EXPECT_EQ(refused("DELETE / HTTP/1.1\r\n\r\n"), "HTTP/1.1 405");
  EXPECT_EQ(refused("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"), "HTTP/1.1 405");
}

TEST_F(HttpServerTest, AWholeRequestHasADeadline) {
  Socket silent(server_.port()), slow(server_.port());
  const auto begin = std::chrono::steady_clock::now();
  std::thread drips([&] {
    while (slow.send("G") && !slow.is_closed()) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  drips.join();
  EXPECT_TRUE(becomes([&] { return silent.is_closed(); }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(HttpServerTest, AnIdleConnectionEnds) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send("GET /a HTTP/1.1\r\n\r\n"));
  EXPECT_THAT(socket.rest(), HasSubstr("keep-alive"));
  EXPECT_EQ(cut_, 0);
}

TEST_F(HttpServerTest, WhoDoesNotTakeThePageIsCut) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send("GET /large HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(becomes([&] { return cut_ == 1; }));
}

class PatientServerTest : public HttpServerTest {
 protected:
  PatientServerTest() : HttpServerTest({.connections = 6, .connections_of_one_address = 4}) {}
};

TEST_F(PatientServerTest, AnAddressMakesRoomForItself) {
  Socket first(server_.port()), second(server_.port()), third(server_.port()), fourth(server_.port());
  ASSERT_TRUE(first.send("GET /large HTTP/1.1\r\n\r\n"));  // being answered, it stays
  ASSERT_TRUE(becomes([&] { return last_status_ == 200; }));
  Socket fifth(server_.port());
  EXPECT_TRUE(becomes([&] { return second.is_closed(); }));
  EXPECT_FALSE(third.is_closed() || fourth.is_closed() || fifth.is_closed());
  ASSERT_TRUE(fifth.send("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n"));
  EXPECT_THAT(fifth.rest(), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(cut_, 0);
}

TEST_F(PatientServerTest, WhoHasMostMakesRoomForOthers) {
  std::vector<std::unique_ptr<Socket>> many;
  for (int i = 0; i < 4; ++i) many.push_back(std::make_unique<Socket>(server_.port()));
  Socket other(server_.port(), 0x7F000002), third(server_.port(), 0x7F000003), fourth(server_.port(), 0x7F000004);
  EXPECT_TRUE(becomes([&] { return many[0]->is_closed(); }));
  EXPECT_FALSE(other.is_closed() || third.is_closed() || fourth.is_closed() || many[3]->is_closed());
}

// Answers that the test makes, when and as it likes.
class LaterTest : public testing::Test {
 protected:
  LaterTest()
      : server_({.takes_posts = true,
                 .request = {.body_bytes = 100'000},
                 .bytes_of_requests = 150'000,
                 .bytes_not_taken = 64 * 1024,
                 .connections = 6,
                 .whole_answer = std::chrono::milliseconds(700)},
                "--listen",
                Server::LaterHandler([this](const Request& request, std::shared_ptr<Reply> reply) {
                  reply->when_gone([this] { ++gone_; });
                  if (request.path() == "/now") return std::optional(text_page(200, request.body));
                  replies_.push_back(std::move(reply));
                  ++asked_;
                  return std::optional<Page>();
                }),
                {}) {
    thread_ = std::thread([this] { server_.run(stop_, [] {}); });
  }
  ~LaterTest() override {
    server_.post([this] { replies_.clear(); });
    stop_ = true;
    thread_.join();
  }
  // Does it with the reply to the request of that number, in the server's thread.
  void with_reply(std::size_t number, const std::function<void(Reply&)>& work) {
    ASSERT_TRUE(becomes([&] { return asked_ > static_cast<int>(number); }));
    server_.post([this, number, work] { work(*replies_[number]); });
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> asked_{0}, gone_{0};
  std::vector<std::shared_ptr<Reply>> replies_;
  Server server_;
  std::thread thread_;
};

constexpr const char* get_root = "GET / HTTP/1.1\r\n\r\n";

TEST_F(LaterTest, AnswersComeWholeOrInPiecesOnOneConnection) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send(std::string(get_root) + get_root +
                          "POST /now HTTP/1.1\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"));
  with_reply(0, [](Reply& reply) {
    reply.begin("text/event-stream");
    reply.write("one\n");
    reply.write("");
  });
  with_reply(0, [](Reply& reply) {
    reply.write("a second one\n");
    reply.end();
    reply.write("too late");
  });
  with_reply(1, [](Reply& reply) { reply.send(text_page(404, "none\n")); });
  const std::string all = socket.rest();
  EXPECT_THAT(all, HasSubstr("Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"));
  EXPECT_THAT(all, HasSubstr("\r\n\r\n4\r\none\n\r\nd\r\na second one\n\r\n0\r\n\r\nHTTP/1.1 404 Not Found"));
  EXPECT_THAT(all, HasSubstr("\r\n\r\nabc"));
  EXPECT_EQ(gone_, 0);
}

TEST_F(LaterTest, OldClientsGetAStreamUntilItCloses) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send("GET / HTTP/1.0\r\n\r\n"));
  with_reply(0, [](Reply& reply) {
    reply.begin("text/plain");
    reply.write("one ");
    reply.write("two");
    reply.end();
  });
  const std::string all = socket.rest();
  EXPECT_THAT(all, testing::EndsWith("\r\n\r\none two"));
  EXPECT_THAT(all, testing::Not(HasSubstr("chunked")));
}

TEST_F(LaterTest, WhoGoesIsNoticedThoughNothingIsWritten) {
  {
    Socket socket(server_.port());
    ASSERT_TRUE(socket.send(get_root));
    ASSERT_TRUE(becomes([&] { return asked_ == 1; }));
    EXPECT_EQ(gone_, 0);
  }
  EXPECT_TRUE(becomes([&] { return gone_ == 1; }));
  with_reply(0, [](Reply& reply) { reply.send(text_page(200, "nobody reads it\n")); });
}

TEST_F(LaterTest, WhoDoesNotReadIsCutAtTheLimitOfBytes) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send(get_root));
  with_reply(0, [](Reply& reply) { reply.begin("text/plain"); });
  std::atomic<int> written{0};
  const std::string piece(16 * 1024, 'x');
  for (int i = 0; i < 1000 && gone_ == 0; ++i) {
    with_reply(0, [&](Reply& reply) {
      reply.write(piece);
      ++written;
    });
    ASSERT_TRUE(becomes([&] { return written > i; }));
  }
  EXPECT_EQ(gone_, 1);
}

TEST_F(LaterTest, WhoDoesNotReadIsCutAtTheLimitOfTime) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send(get_root));
  // More than what the kernel takes at both ends, in one piece that is at once on its way.
  with_reply(0, [](Reply& reply) {
    reply.begin("text/plain");
    reply.write("x");
  });
  with_reply(0, [](Reply& reply) { reply.write(std::string(60 * 1024, 'x')); });
  for (int i = 0; i < 200 && gone_ == 0; ++i) {
    with_reply(0, [](Reply& reply) { reply.write(std::string(8 * 1024, 'x')); });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(becomes([&] { return gone_ == 1; }));
}

TEST_F(LaterTest, AReplyThatIsForgottenEndsTheConnection) {
  Socket socket(server_.port());
  ASSERT_TRUE(socket.send(get_root));
  ASSERT_TRUE(becomes([&] { return asked_ == 1; }));
  server_.post([&] { replies_.clear(); });
  EXPECT_EQ(socket.rest(), "");
}

TEST_F(LaterTest, ALargeBodyIsWelcomedWhereTheClientAsks) {
  Socket socket(server_.port());
  ASSERT_TRUE(
      socket.send("POST /now HTTP/1.1\r\nContent-Length: 50000\r\nExpect: 100-continue\r\n"
                  "Connection: close\r\n\r\n"));
  ASSERT_TRUE(socket.send(std::string(50000, 'y')));
  const std::string all = socket.rest();
  EXPECT_THAT(all, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"));
  EXPECT_THAT(all, testing::EndsWith(std::string(50000, 'y')));
}

// Bodies that are held together are bounded, too: whoever comes last is asked to try again.
TEST_F(LaterTest, AllBodiesTogetherAreBounded) {
  const std::string begin = "POST / HTTP/1.1\r\nContent-Length: 99000\r\n\r\n";
  Socket first(server_.port()), second(server_.port());
  ASSERT_TRUE(first.send(begin + std::string(90000, 'y')));
  ASSERT_TRUE(second.send(begin + std::string(90000, 'y')));
  ASSERT_TRUE(becomes([&] { return first.has_bytes() || second.has_bytes(); }));
  Socket& late = first.has_bytes() ? first : second;
  Socket& early = first.has_bytes() ? second : first;
  const std::string refused = late.rest();
  EXPECT_THAT(refused, StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(refused, HasSubstr("Retry-After: 1\r\n"));
  ASSERT_TRUE(early.send(std::string(9000, 'y')));
  EXPECT_TRUE(becomes([&] { return asked_ == 1; }));
}

}  // namespace
}  // namespace batchscope::http
