// Addresses of HTTP servers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace batchscope::http {

struct Url {
  bool is_tls = false;
  std::string host{};  // IPv6 without brackets
  int port = 80;
  std::string target = "/";  // path and query

  // "host:port", "[::1]:port".
  std::string server() const;
  // "http://host:port".
  std::string origin() const;
  // As a Host header says it: without the scheme's own port.
  std::string host_header() const;
  bool is_same_server(const Url& other) const {
    return is_tls == other.is_tls && host == other.host && port == other.port;
  }
};

// `http://HOST[:PORT][/PATH]` or https; InputError that begins with `what` for anything else. No message repeats a
// password.
Url parse_url(const std::string& text, std::string_view what);

// Where a Location header leads from there; nothing when that is no such URL, or would leave TLS.
std::optional<Url> redirected(const Url& from, const std::string& location);

// The target of a page of the server itself, beside its API: "/proxy/v1" and "/metrics" give "/proxy/metrics".
std::string beside_api(std::string api_target, std::string_view page);

// The host of a Host header: "[::1]:9464" -> "::1"; nothing for what is none.
std::optional<std::string> host_of(std::string_view header);
bool is_ip_address(const std::string& host);

}  // namespace batchscope::http
