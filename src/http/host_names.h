// Which names a client may ask a server of this machine by. A page in a browser may ask for a name of its own that
// leads here (DNS rebinding), and would read the answer. It cannot ask by an address, by this machine's name, or by a
// name without a dot, which nobody can register.
#pragma once

#include <string>
#include <vector>

#include "http/message.h"

namespace batchscope::http {

class HostNames {
 public:
  // This machine's, the one it listens by, and `others`.
  HostNames(const std::string& host, const std::vector<std::string>& others);
  // By its header Host. Without one (HTTP/1.0) it is no browser's.
  bool admit(const Request& request) const;

 private:
  std::vector<std::string> names_;
};

}  // namespace batchscope::http
