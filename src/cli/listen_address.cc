// Where a server listens (cli/listen_address.h).
#include "cli/listen_address.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/units.h"

namespace batchscope::cli {

std::string ListenAddress::url(int listening_port) const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("http://{}:{}", is_v6 ? "[" + host + "]" : host, listening_port);
}

ListenAddress parse_listen_address(const std::string& text, const std::string& example) {
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!bracketed && host.find(':') != std::string::npos))
    throw InputError("--listen: '{}' is not HOST:PORT, for example {} or [::1]:9464", text, example);
  return {host, static_cast<int>(parse_integer(text.substr(colon + 1), 0, 65535, "--listen: the port"))};
}

}  // namespace batchscope::cli
