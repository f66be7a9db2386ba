// Asks an HTTP or HTTPS server. One deadline holds for everything from the name's lookup to the last byte, redirects
// included, and one limit for all bytes of an answer: no server can hold the caller up or fill memory.
#pragma once

#include <memory>
#include <string>

#include "base/clock.h"
#include "http/message.h"
#include "http/reader.h"
#include "http/url.h"

namespace batchscope::http {

// A secret that goes with each request: "Authorization: Bearer …". Never part of a message or a file.
class BearerToken {
 public:
  BearerToken() = default;  // none
  // The file is read anew for each request, since tokens are renewed; InputError that begins with `what` when it
  // cannot be now.
  static BearerToken from_file(const std::string& path, std::string_view what);
  // InputError that begins with `what` when there is no such variable.
  static BearerToken from_variable(const std::string& name, std::string_view what);
  // By one of the two, or none where both are "". InputErrors name the user's flags: `flag`, as "--token", and "-file"
  // or
  // "-variable" behind it; both together are one, too.
  static BearerToken from_flags(const std::string& file, const std::string& variable, const std::string& flag);
  // "" without one; nothing when the file is not readable any more.
  std::optional<std::string> header_value() const;
  // For a server: whether the request carries it, compared in a time that does not tell how much of it is right.
  // Everyone may come where there is no token, nobody while its file is not readable.
  bool admits(const Request& request) const;

 private:
  std::string file_{}, token_{};
};

struct ClientOptions {
  Nanoseconds connecting = std::chrono::milliseconds(500);  // lookup, connection and TLS, each time
  Nanoseconds whole = std::chrono::milliseconds(1500);      // of everything
  ResponseLimits limits{};
  int redirects = 3;
  BearerToken token{};        // only for the server of the URL, not for where it redirects to
  std::string authorities{};  // file of certificates in PEM that are trusted; "": the system's
  // The next request goes over the connection of the last one, as long as the server keeps it. Where it turns out to be
  // closed before anything of an answer came, the request goes out once more, over a new one.
  bool keeps_connection = false;
};

enum class Fault {
  none,  // there is an answer, whatever its status
  no_such_host,
  no_connection,
  no_trust,  // TLS could not be agreed on, or the certificate is not the host's
  too_late,
  too_long,
  not_http,
  cut_off,  // the connection ended before the answer did
  bad_redirect,
  no_token,  // its file cannot be read
};

// In words that can follow a server's name: "refuses connections"; null for none.
const char* words_of(Fault fault);

struct Answer {
  Fault fault = Fault::none;
  Response response{};
  // On the host's monotonic clock, of the last connection: when the request began to go out, when the answer's first
  // byte was here and its last. 0: it did not come so far.
  Nanoseconds sent{0}, first_byte{0}, end{0};
};

class Client {
 public:
  // InputError when the authorities' file cannot be read.
  Client(Url url, ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  const Url& url() const;
  // The answer's body, whatever its status, goes to `body` as it comes. To be called by one thread at a time. Redirects
  // are followed where the method stays the same.
  Answer ask(const Request& request, const ResponseReader::Body& body);
  // Asks for the URL's own target.
  Answer get(const Headers& headers, const ResponseReader::Body& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace batchscope::http
