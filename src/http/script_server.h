// An HTTP/1.1 server that answers by scripts: which bytes go out at which instant, right or wrong, down to a single
// byte, a reset or silence. For playing servers with; http/server.h serves pages.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "http/message.h"
#include "http/reader.h"

namespace batchscope::http {

struct ScriptStep {
  enum class After { go_on, keep, close, reset };  // the next step; the next request; the end of the connection
  Nanoseconds at{0};                               // on the host's monotonic clock; at once when it has passed
  std::string bytes{};                             // as they are: status line, headers, framing
  After after = After::go_on;
};
// The next step each time it is called; nothing: no more, and the connection stays silent until the client leaves.
using Script = std::function<std::optional<ScriptStep>()>;

struct ScriptServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any that is free
  RequestLimits request{.header_bytes = 64 * 1024, .body_bytes = 64 << 20, .framing_bytes = 1 << 20};
  std::size_t connections = 4096;
};

class ScriptServer {
 public:
  // Is given the request and the instant at which all of it was there.
  using Handler = std::function<Script(const Request&, Nanoseconds now)>;
  // Is told how much later than its instant each step's bytes went out. May be empty.
  using Late = std::function<void(Nanoseconds by)>;

  // Listens at once; InputError that begins with `what` when it cannot.
  ScriptServer(const ScriptServerOptions& options, std::string_view what, Handler handler, Late late = {});
  ~ScriptServer();
  ScriptServer(const ScriptServer&) = delete;
  ScriptServer& operator=(const ScriptServer&) = delete;

  int port() const;
  // Answers until `stop`, which it looks at twenty times a second.
  void run(const std::atomic<bool>& stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A whole answer with its length, for scripts.
std::string whole_answer(int status, std::string_view content_type, std::string_view body, const Headers& headers = {});

}  // namespace batchscope::http
