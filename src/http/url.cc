// Reads http:// and https:// URLs.
#include "http/url.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/units.h"

namespace batchscope::http {
namespace {

constexpr std::size_t longest_url = 4096;

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

bool is_word(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c == 0x7F; });
}

InputError not_a_url(const std::string& text, std::string_view what) {
  return InputError("{}: '{}' is not http://HOST[:PORT][/PATH], for example http://localhost:8000/metrics", what,
                    text.size() > 200 ? text.substr(0, 200) + "…" : text);
}

}  // namespace

std::string Url::server() const { return fmt::format("{}:{}", bracketed(host), port); }

std::string Url::origin() const { return fmt::format("{}://{}", is_tls ? "https" : "http", server()); }

std::string Url::host_header() const { return port == (is_tls ? 443 : 80) ? bracketed(host) : server(); }

Url parse_url(const std::string& text, std::string_view what) {
  if (text.find('@') < std::min(text.find_first_of("/?#", std::min(text.find("//"), text.size() - 1) + 2), text.size()))
    throw InputError("{}: credentials in the URL are not supported; pass a token by file or variable", what);
  Url url;
  url.is_tls = text.starts_with("https://");
  if (!url.is_tls && !text.starts_with("http://")) throw not_a_url(text, what);
  if (!is_word(text) || text.size() > longest_url) throw not_a_url(text, what);
  std::string rest = text.substr(url.is_tls ? 8 : 7);
  rest.resize(std::min(rest.find('#'), rest.size()));
  const auto slash = std::min(rest.find_first_of("/?"), rest.size());
  url.target = rest.substr(slash);
  if (!url.target.starts_with('/')) url.target.insert(0, "/");
  rest.resize(slash);
  const auto bracket = rest.starts_with('[') ? rest.find(']') : std::string::npos;
  const auto colon = rest.find(':', bracket == std::string::npos ? 0 : bracket);
  url.host = bracket == std::string::npos ? rest.substr(0, colon) : rest.substr(1, bracket - 1);
  url.port = url.is_tls ? 443 : 80;
  if (colon != std::string::npos)
    url.port = static_cast<int>(parse_integer(rest.substr(colon + 1), 1, 65535, fmt::format("{}: the port", what)));
  const bool is_whole = bracket == std::string::npos || bracket + 1 == std::min(colon, rest.size());
  if (url.host.empty() || !is_whole || url.host.find_first_of("[]") != std::string::npos) throw not_a_url(text, what);
  return url;
}

std::optional<Url> redirected(const Url& from, const std::string& location) {
  if (location.starts_with('/') && !location.starts_with("//")) {
    if (!is_word(location) || location.size() > longest_url) return std::nullopt;
    Url url = from;
    url.target = location.substr(0, location.find('#'));
    return url;
  }
  try {
    Url url = parse_url(location, "Location");
    if (from.is_tls && !url.is_tls) return std::nullopt;
    return url;
  } catch (const InputError&) {
    return std::nullopt;
  }
}

std::string beside_api(std::string api_target, std::string_view page) {
  api_target.resize(std::min(api_target.find('?'), api_target.size()));
  while (api_target.ends_with('/')) api_target.pop_back();
  if (api_target.ends_with("/v1")) api_target.resize(api_target.size() - 3);
  return api_target.append(page);
}

std::optional<std::string> host_of(std::string_view header) {
  const bool has_bracket = header.starts_with('[');
  const auto end = has_bracket ? header.find(']') : header.find(':');
  if (has_bracket && end == std::string_view::npos) return std::nullopt;
  std::string host(header.substr(has_bracket ? 1 : 0, has_bracket ? end - 1 : end));
  const std::string_view port = end == std::string_view::npos ? "" : header.substr(has_bracket ? end + 1 : end);
  const bool is_port = port.empty() || (port.size() > 1 && port.size() < 7 && port[0] == ':' &&
                                        port.find_first_not_of("0123456789", 1) == std::string_view::npos);
  if (host.empty() || !is_port) return std::nullopt;
  return host;
}

bool is_ip_address(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  return inet_pton(AF_INET, host.c_str(), &v4) == 1 ||
         inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &v6) == 1;
}

}  // namespace batchscope::http
