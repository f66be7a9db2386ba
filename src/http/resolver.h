// Looks up names of hosts, with a deadline that the system's resolver does not have.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace batchscope::http {

// Names are looked up in a thread of its own, since the system's resolver may wait for much longer than any deadline.
// While one lookup has not returned there is no other.
class Resolver {
 public:
  enum class Result { found, none, too_late };

  Result find(const std::string& host, int port, std::chrono::steady_clock::time_point deadline,
              std::vector<boost::asio::ip::tcp::endpoint>& found);

 private:
  struct Lookup;
  void start(const std::string& host);

  std::shared_ptr<Lookup> lookup_;
};

}  // namespace batchscope::http
