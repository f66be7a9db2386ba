// Connections of the server, on Boost.Asio (http/server.h).
#include "http/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <map>
#include <utility>

#include "http/listen.h"

namespace batchscope::http {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int send_buffer_bytes = 16 * 1024;          // the kernel's, of a connection
constexpr std::size_t longest_farewell = 256 * 1024;  // bytes read and dropped so that a refusal arrives
constexpr auto farewell = std::chrono::seconds(1);
constexpr auto pause = std::chrono::milliseconds(50);

// Whose connection it is, for the limit per address: who has an IPv6 network has 2^64 addresses.
std::string network_of(const tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  if (address.is_v4()) return address.to_string();
  if (address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
  const auto bytes = address.to_v6().to_bytes();
  return std::string(bytes.begin(), bytes.begin() + 8);
}

}  // namespace

Page text_page(int status, std::string text) {
  return {.status = status, .body = std::make_shared<const std::string>(std::move(text))};
}

struct Server::State {
  class Connection;

  ServerOptions options;
  LaterHandler handler;
  Observer observer;
  std::uint64_t bytes_of_requests = 0;  // that are held now
  asio::io_context io{1};
  tcp::acceptor acceptor{io};
  asio::steady_timer timer{io}, accept_again{io};
  std::list<std::shared_ptr<Connection>> connections{};  // the oldest first

  void accept();
  void admit(tcp::socket socket);
  void make_room(const std::string& network);
  void look(const std::atomic<bool>& stop, const std::function<void()>& meanwhile);
};

class Server::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, tcp::socket socket, std::string network)
      : server_(server),
        socket_(std::move(socket)),
        timer_(server.io),
        reader_(server.options.request),
        network_(std::move(network)) {}
  ~Connection() { release(); }

  const std::string& network() const { return network_; }
  bool is_answering() const { return is_answering_ || later_ != nullptr; }

  void begin() {
    set_deadline(server_.options.whole_request);
    read();
  }

  // Ends it, whatever it does; it is dropped when its last operation has returned.
  void end() {
    if (std::exchange(has_ended_, true)) return;
    if (is_answering_ && server_.observer.cut) server_.observer.cut();
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    release();
    const auto self = shared_from_this();
    server_.connections.remove(self);
    if (later_ != nullptr) std::exchange(later_, nullptr)->hear_that_it_is_gone();
  }

 private:
  // The answer that a handler has promised.
  class Later : public Reply {
   public:
    explicit Later(const std::shared_ptr<Connection>& connection) : connection_(connection) {}
    ~Later() override {
      gone_ = nullptr;  // whoever lets go knows
      if (const auto connection = mine()) connection->end();
    }
    void send(Page page) override {
      if (const auto connection = taken()) connection->send_later(std::move(page));
    }
    void begin(std::string_view content_type) override {
      if (const auto connection = mine()) connection->begin_stream(content_type);
    }
    void write(std::string_view piece) override {
      if (const auto connection = mine()) connection->write_piece(piece);
    }
    void end() override {
      if (const auto connection = taken()) connection->end_stream();
    }
    void when_gone(std::function<void()> gone) override { gone_ = std::move(gone); }
    void hear_that_it_is_gone() {
      if (const auto gone = std::exchange(gone_, nullptr)) gone();
    }

   private:
    // The connection, as long as this is the answer that it waits for.
    std::shared_ptr<Connection> mine() const {
      auto connection = connection_.lock();
      return connection && connection->later_ == this ? connection : nullptr;
    }
    // The same, and it waits no longer.
    std::shared_ptr<Connection> taken() const {
      auto connection = mine();
      if (connection) connection->later_ = nullptr;
      return connection;
    }

    std::weak_ptr<Connection> connection_;
    std::function<void()> gone_{};
  };

  void set_deadline(Nanoseconds from_now) {
    timer_.expires_after(from_now);
    timer_.async_wait([self = shared_from_this()](error_code error) {
      // A deadline that was put off while this was on its way is none.
      if (!error && self->timer_.expiry() <= std::chrono::steady_clock::now()) self->end();
    });
  }
  void set_no_deadline() { timer_.expires_at(std::chrono::steady_clock::time_point::max()); }

  // Bytes of a request that are held until it is answered.
  void hold(std::size_t bytes) {
    held_ += bytes;
    server_.bytes_of_requests += bytes;
  }
  void release() { server_.bytes_of_requests -= std::exchange(held_, 0); }

  void read() {
    socket_.async_read_some(asio::buffer(input_), [self = shared_from_this()](error_code error, std::size_t count) {
      if (error) return self->end();
      if (!self->reader_.has_begun() && self->answered_ > 0) self->set_deadline(self->server_.options.whole_request);
      self->hold(count);
      self->go_on(self->reader_.take({self->input_.data(), count}));
    });
  }

  void go_on(Progress progress) {
    if (progress == Progress::needs_more) {
      if (held_ > input_.size() && server_.bytes_of_requests > server_.options.bytes_of_requests) {
        Page page = text_page(503, "503 too much is being sent by all clients together; try again\n");
        page.headers.add("Retry-After", "1");
        reader_.drop_body();
        release();
        return answer("", std::move(page), false);
      }
      return reader_.expects_continue() ? welcome_body() : read();
    }
    if (progress == Progress::refused) {
      const int status = reader_.refusal();
      return answer("", text_page(status, fmt::format("{} {}\n", status, reason_of(status))), false);
    }
    const Request& request = reader_.request();
    const bool is_post = request.method == "POST" && server_.options.takes_posts;
    if (request.method != "GET" && request.method != "HEAD" && !is_post) {
      const char* const allowed = server_.options.takes_posts ? "GET, HEAD, POST" : "GET, HEAD";
      Page page = text_page(405, fmt::format("405 only {}\n", server_.options.takes_posts ? allowed : "GET and HEAD"));
      page.headers.add("Allow", allowed);
      return answer(request.path(), std::move(page), false);
    }
    const auto later = std::make_shared<Later>(shared_from_this());
    later_ = later.get();
    set_no_deadline();
    std::optional<Page> page = server_.handler(request, later);
    if (page) {
      later_ = nullptr;
      answer(request.path(), std::move(*page), keeps());
    } else if (later_ != nullptr) {
      reader_.drop_body();
      release();
      watch();
    }
  }

  bool keeps() const {
    return reader_.keeps_connection() && answered_ + 1 < server_.options.requests_of_one_connection;
  }

  void welcome_body() {
    static constexpr std::string_view line = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(
        socket_, asio::buffer(line.data(), line.size()),
        [self = shared_from_this()](error_code error, std::size_t) { error ? self->end() : self->read(); });
  }

  // Notices that the client goes while its answer is being made. One that has sent more meanwhile is noticed by
  // writing.
  void watch() {
    if (std::exchange(is_watching_, true)) return;
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](error_code error) {
      self->is_watching_ = false;
      if (error || self->has_ended_ || self->later_ == nullptr) return;
      char byte = 0;
      error_code state;
      self->socket_.receive(asio::buffer(&byte, 1), tcp::socket::message_peek, state);
      if (state == asio::error::would_block) return self->watch();
      if (state) self->end();
    });
  }

  std::string head(int status, std::string_view content_type, std::string_view framing, bool keeps_it) {
    return fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n{}Connection: {}\r\n", status, reason_of(status),
                       content_type, framing, keeps_it ? "keep-alive" : "close");
  }

  void answer(std::string_view path, Page page, bool keeps_it) {
    if (server_.observer.answered) server_.observer.answered(path, page.status);
    ++answered_;
    is_answering_ = true;
    body_ = std::move(page.body);
    head_ = head(page.status, page.content_type, fmt::format("Content-Length: {}\r\n", body_->size()), keeps_it);
    for (const Header& header : page.headers) head_ += fmt::format("{}: {}\r\n", header.name, header.value);
    head_ += "\r\n";
    set_deadline(server_.options.whole_answer);
    std::array<asio::const_buffer, 2> both{asio::buffer(head_), asio::buffer(*body_)};
    if (!path.empty() && reader_.request().method == "HEAD") both[1] = {};
    asio::async_write(socket_, both, [self = shared_from_this(), keeps_it](error_code error, std::size_t) {
      if (error) return self->end();
      self->is_answering_ = false;
      self->body_.reset();
      keeps_it ? self->next_request() : self->say_farewell();
    });
  }

  void send_later(Page page) { answer(reader_.request().path(), std::move(page), keeps()); }

  void begin_stream(std::string_view content_type) {
    if (server_.observer.answered) server_.observer.answered(reader_.request().path(), 200);
    stream_keeps_ = keeps() && reader_.takes_chunks();
    ++answered_;
    not_taken_ = head(200, content_type, reader_.takes_chunks() ? "Transfer-Encoding: chunked\r\n" : "", stream_keeps_);
    not_taken_ += "Cache-Control: no-store\r\n\r\n";
    write_on();
  }

  void write_piece(std::string_view piece) {
    if (piece.empty()) return;  // a chunk of none would be the end
    not_taken_ += reader_.takes_chunks() ? fmt::format("{:x}\r\n{}\r\n", piece.size(), piece) : std::string(piece);
    if (not_taken_.size() > server_.options.bytes_not_taken) return end();
    write_on();
  }

  void end_stream() {
    if (reader_.takes_chunks()) not_taken_ += "0\r\n\r\n";
    stream_ends_ = true;
    write_on();
  }

  void write_on() {
    if (is_answering_) return;  // what came meanwhile follows
    is_answering_ = true;
    head_ = std::exchange(not_taken_, {});
    set_deadline(server_.options.whole_answer);
    asio::async_write(socket_, asio::buffer(head_), [self = shared_from_this()](error_code error, std::size_t) {
      if (error) return self->end();
      self->is_answering_ = false;
      if (!self->not_taken_.empty()) return self->write_on();
      if (!std::exchange(self->stream_ends_, false)) return self->set_no_deadline();
      self->stream_keeps_ ? self->next_request() : self->say_farewell();
    });
  }

  void next_request() {
    set_deadline(server_.options.between_requests);
    release();
    const Progress progress = reader_.next();
    if (reader_.has_begun()) set_deadline(server_.options.whole_request);
    go_on(progress);
  }

  // Closing while bytes are unread would make the kernel reset the connection, and the client lose the answer.
  void say_farewell() {
    error_code ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    release();
    set_deadline(farewell);
    drop();
  }

  void drop() {
    socket_.async_read_some(asio::buffer(input_), [self = shared_from_this()](error_code error, std::size_t count) {
      self->dropped_ += count;
      const std::size_t most = longest_farewell + 2 * std::size_t{self->server_.options.request.body_bytes};
      error || self->dropped_ > most ? self->end() : self->drop();
    });
  }

  State& server_;
  tcp::socket socket_;
  asio::steady_timer timer_;
  RequestReader reader_;
  const std::string network_;
  std::array<char, 4096> input_{};
  std::string head_;
  std::shared_ptr<const std::string> body_;
  std::size_t answered_ = 0, dropped_ = 0, held_ = 0;
  bool is_answering_ = false;  // bytes are on their way
  bool has_ended_ = false;
  Later* later_ = nullptr;  // the answer that is being made
  bool is_watching_ = false;
  std::string not_taken_;  // of a stream: pieces that wait until those before are on their way
  bool stream_ends_ = false, stream_keeps_ = false;
};

void Server::State::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (!acceptor.is_open()) return;
    if (!error) {
      admit(std::move(socket));
      return accept();
    }
    // No descriptor is free, say: at once again would take all of a core.
    accept_again.expires_after(pause);
    accept_again.async_wait([this](error_code ended) {
      if (!ended) accept();
    });
  });
}

void Server::State::admit(tcp::socket socket) {
  error_code error;
  const tcp::endpoint peer = socket.remote_endpoint(error);
  if (error) return;  // it has gone already
  const std::string network = network_of(peer);
  make_room(network);
  socket.set_option(tcp::no_delay(true), error);
  socket.non_blocking(true, error);
  connections.push_back(std::make_shared<Connection>(*this, std::move(socket), network));
  connections.back()->begin();
}

// Of an address that has as many connections as one may, or else of the one that has most, the oldest that has not
// asked for anything yet; one that takes its page goes only where all do.
void Server::State::make_room(const std::string& network) {
  if (connections.size() < std::min(options.connections, options.connections_of_one_address)) return;
  std::map<std::string, std::size_t> counts;
  for (const auto& connection : connections) ++counts[connection->network()];
  const bool is_its_own = counts[network] >= options.connections_of_one_address;
  if (!is_its_own && connections.size() < options.connections) return;
  const auto most =
      std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  const std::string& whose = is_its_own ? network : most->first;
  const auto first = [&](bool answering) {
    return std::find_if(connections.begin(), connections.end(), [&](const auto& connection) {
      return connection->network() == whose && connection->is_answering() == answering;
    });
  };
  auto victim = first(false);
  if (victim == connections.end()) victim = first(true);
  const std::shared_ptr<Connection> ended = *victim;  // ending takes it out of the list
  ended->end();
}

void Server::State::look(const std::atomic<bool>& stop, const std::function<void()>& meanwhile) {
  if (stop) return io.stop();
  meanwhile();
  timer.expires_after(pause);
  timer.async_wait([this, &stop, &meanwhile](error_code error) {
    if (!error) look(stop, meanwhile);
  });
}

Server::Server(const ServerOptions& options, std::string_view what, Handler handler, Observer observer)
    : Server(options, what,
             LaterHandler([handler = std::move(handler)](const Request& request, const std::shared_ptr<Reply>&) {
               return std::optional(handler(request));
             }),
             std::move(observer)) {}

Server::Server(const ServerOptions& options, std::string_view what, LaterHandler handler, Observer observer)
    : state_(new State{.options = options, .handler = std::move(handler), .observer = std::move(observer)}) {
  listen(state_->acceptor, options.host, options.port, what, send_buffer_bytes);
  state_->accept();
}

Server::~Server() = default;

int Server::port() const { return state_->acceptor.local_endpoint().port(); }

void Server::run(const std::atomic<bool>& stop, const std::function<void()>& meanwhile) {
  state_->look(stop, meanwhile);
  state_->io.run();
}

void Server::post(std::function<void()> work) { asio::post(state_->io, std::move(work)); }

}  // namespace batchscope::http
