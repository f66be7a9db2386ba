// How servers listen.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>

namespace batchscope::http {

// Port 0: any that is free. Connections get send buffers of that many bytes, 0: of the system's size. InputError that
// begins with `what` when it cannot.
void listen(boost::asio::ip::tcp::acceptor& acceptor, const std::string& host, int port, std::string_view what,
            int send_buffer_bytes = 0);

}  // namespace batchscope::http
