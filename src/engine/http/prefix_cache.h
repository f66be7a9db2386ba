// A server's prefix cache between cells: what one cell has left there would make the next one look faster.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/http/server_client.h"
#include "engine/http/server_kind.h"

namespace batchscope {

// Sum of all series of these names in a page of metrics (Prometheus' text format); absent: there are none.
std::optional<double> sum_of_series(std::string_view page, std::span<const std::string_view> names);

class PrefixCache {
 public:
  // `is_salted`: requests of the cell carry a salt of their own.
  PrefixCache(ServerClient& client, const ServerKind& kind, bool is_salted)
      : client_(client), kind_(kind), is_kept_out_(is_salted) {}

  // Empties it where the server can, and notes its counter.
  void begin();
  // Tokens of prompts taken from it since then; absent where no counter tells.
  std::optional<std::int64_t> tokens_taken() const;
  // Not "": more was taken than the cell's own requests have in common, `shared_tokens`, give or take 2 % of all their
  // `tokens`. What is there of other cells then made this one faster.
  static std::string doubt(std::int64_t taken, std::int64_t shared_tokens, std::int64_t tokens);
  bool is_kept_out() const { return is_kept_out_; }  // what is of others

 private:
  std::optional<double> hits() const;

  ServerClient& client_;
  const ServerKind& kind_;
  bool is_kept_out_;
  std::optional<double> before_{};
};

// Different for each call, here and elsewhere.
std::string new_salt();

}  // namespace batchscope
