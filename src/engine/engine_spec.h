// Which engine a cell runs on, as --engine and study files name it: "batchscope", "command:" and the command line of a
// program, or the address of a server. A program's own settings are words of its command line, so that they, too, tell
// cells apart.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"

namespace batchscope {

// How a server is asked.
struct ServerAccess {
  std::int64_t retries = 0;  // of a request that failed; each is counted
  Nanoseconds request_timeout = std::chrono::minutes(5);
  std::string token_file = {}, token_variable = {};  // where the bearer token stands; at most one of them

  bool operator==(const ServerAccess&) const = default;
};

struct EngineSpec {
  enum class Kind { batchscope, command, server };
  Kind kind = Kind::batchscope;
  std::string command = {};  // of Kind::command: words separated by spaces, quoted as a shell has them
  std::string url = {};      // of Kind::server: http://HOST[:PORT][/PATH], https
  ServerAccess access = {};

  bool operator==(const EngineSpec&) const = default;
  bool is_ours() const { return kind == Kind::batchscope; }
  bool is_server() const { return kind == Kind::server; }
};

// InputError, naming `what`, for an engine that is not known, a command without words and an address that is none.
EngineSpec parse_engine(const std::string& text, std::string_view what);
std::string to_string(const EngineSpec& spec);  // as it was written
// For tables: "batchscope"; of a command its words without folders and interpreter: "my_engine.py --attention sdpa"; of a
// server its address: "localhost:8000".
std::string label(const EngineSpec& spec);

// A command line's words: spaces part them, quotes and backslashes keep them together. No shell is asked: $, * and | are
// characters like others. InputError, naming `what`, for a quote that is not closed.
std::vector<std::string> split_command(std::string_view text, std::string_view what);

}  // namespace batchscope
