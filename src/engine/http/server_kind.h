// Which server answers at an address: known by what it says of itself, so that the requests it understands are sent.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/http/prompt_scores.h"

namespace batchscope {

class ServerClient;

// What is known of servers of one kind.
struct ServerKind {
  std::string_view name;
  std::vector<ScoringForm> forms;           // to be tried, the best first
  std::string_view gap = {};                // what it is known not to do; said where it cannot score
  bool salts_cache = false;                 // `cache_salt` keeps prefixes of others out of the cache
  std::string_view flush = {};              // POST there empties the prefix cache
  std::vector<std::string_view> hits = {};  // series of /metrics: tokens of prompts taken from that cache
};

// A page of the server: its answer's status, `Server` header and body.
struct ServerPage {
  int status = 0;
  std::string server{};
  std::string body{};
};
using ServerPages = std::map<std::string, ServerPage, std::less<>>;  // by path; "/v1/models" whatever the address's own

struct RecognisedServer {
  const ServerKind* kind = nullptr;
  std::string version{};              // "": not told
  std::vector<std::string> models{};  // that it serves, by name

  std::string name() const;  // "vLLM 0.9.2"
};

// Failure where the server is not there, InputError where it denies access.
ServerPages read_server_pages(ServerClient& client);
// Any pages: what cannot be read says nothing.
RecognisedServer recognise(const ServerPages& pages);

}  // namespace batchscope
