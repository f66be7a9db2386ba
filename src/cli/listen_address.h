// --listen HOST:PORT, as the verbs that serve take it.
#pragma once

#include <string>

namespace batchscope::cli {

struct ListenAddress {
  std::string host;  // IPv6 without brackets
  int port = 0;      // 0: any that is free

  // "http://127.0.0.1:9464", with the port that it became.
  std::string url(int listening_port) const;
};

// "127.0.0.1:9464", "[::1]:9464", "localhost:0"; InputError for what is none, with `example`.
ListenAddress parse_listen_address(const std::string& text, const std::string& example);

}  // namespace batchscope::cli
