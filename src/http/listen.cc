// An acceptor on a host's first address that takes it (http/listen.h).
#include "http/listen.h"

#include <netdb.h>

#include <cstring>
#include <memory>

#include "base/error.h"

namespace batchscope::http {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr int waiting_connections = 512;  // in the kernel, not accepted yet

void listen(tcp::acceptor& acceptor, const std::string& host, int port, std::string_view what, int send_buffer_bytes) {
  const auto refuse = [&](const std::string& why) {
    throw InputError("{}: cannot listen on {}:{}: {}", what, host, port, why);
  };
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) refuse("not an address of this machine");
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> freed(found, &freeaddrinfo);
  error_code error;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    tcp::endpoint endpoint;
    if (info->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), info->ai_addr, info->ai_addrlen);
    endpoint.resize(info->ai_addrlen);
    endpoint.port(static_cast<unsigned short>(port));
    acceptor.close(error);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error && send_buffer_bytes > 0)
      acceptor.set_option(asio::socket_base::send_buffer_size(send_buffer_bytes), error);  // inherited
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(waiting_connections, error);
    if (!error) break;
  }
  if (error)
    refuse(error == boost::system::errc::address_not_available ? "not an address of this machine"
                                                               : std::strerror(error.value()));
}

}  // namespace batchscope::http
