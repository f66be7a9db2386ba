// Names of this machine (http/host_names.h).
#include "http/host_names.h"

#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "http/url.h"

namespace batchscope::http {
namespace {

// As others may know this machine: "node1", "node1.cluster.example".
std::vector<std::string> machine_names() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) return {};
  const std::string own = name.data();
  std::vector<std::string> names{own, own.substr(0, own.find('.'))};
  addrinfo hints{}, *found = nullptr;
  hints.ai_flags = AI_CANONNAME;
  if (getaddrinfo(own.c_str(), nullptr, &hints, &found) == 0) {
    if (found->ai_canonname != nullptr) names.push_back(found->ai_canonname);
    freeaddrinfo(found);
  }
  return names;
}

}  // namespace

HostNames::HostNames(const std::string& host, const std::vector<std::string>& others) : names_(machine_names()) {
  names_.push_back(host);
  names_.insert(names_.end(), others.begin(), others.end());
}

bool HostNames::admit(const Request& request) const {
  const auto header = request.headers.find("Host");
  if (!header) return true;
  if (request.headers.count("Host") > 1) return false;
  auto host = host_of(*header);
  if (!host) return header->empty();
  if (host->ends_with('.')) host->pop_back();
  return is_ip_address(*host) || host->find('.') == std::string::npos ||
         std::any_of(names_.begin(), names_.end(),
                     [&](const std::string& name) { return equal_but_for_case(*host, name); });
}

}  // namespace batchscope::http
