// Keeping cells apart in a server's prefix cache (engine/http/prefix_cache.h).
#include "engine/http/prefix_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

namespace batchscope {

std::optional<double> sum_of_series(std::string_view page, std::span<const std::string_view> names) {
  std::optional<double> sum;
  while (!page.empty()) {
    std::string_view line = page.substr(0, page.find('\n'));
    page.remove_prefix(std::min(page.size(), line.size() + 1));
    const std::string_view name = line.substr(0, line.find_first_of("{ "));
    if (std::find(names.begin(), names.end(), name) == names.end()) continue;
    const std::size_t labels = line.rfind('}');
    line.remove_prefix(labels == std::string_view::npos ? name.size() : labels + 1);
    const std::string text(line);
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (end != text.c_str() && std::isfinite(value)) sum = sum.value_or(0) + value;
  }
  return sum;
}

std::optional<double> PrefixCache::hits() const {
  if (kind_.hits.empty()) return std::nullopt;
  const ServerAnswer page = client_.get("/metrics");
  return page.is_ok() ? sum_of_series(page.body, kind_.hits) : std::nullopt;
}

void PrefixCache::begin() {
  if (!kind_.flush.empty() && client_.post(kind_.flush, nlohmann::json::object(), ServerClient::Of::server).is_ok())
    is_kept_out_ = true;
  before_ = hits();
}

std::optional<std::int64_t> PrefixCache::tokens_taken() const {
  const auto now = before_ ? hits() : std::nullopt;
  if (!now || *now < *before_) return std::nullopt;  // it has started anew
  return std::llround(*now - *before_);
}

std::string PrefixCache::doubt(std::int64_t taken, std::int64_t shared_tokens, std::int64_t tokens) {
  if (taken <= shared_tokens + tokens / 50) return "";
  return fmt::format(
      "the server took {} tokens of prompts from its prefix cache, and the requests share only {}: it held "
      "them from before; restart it, or let it empty its cache",
      taken, shared_tokens);
}

std::string new_salt() {
  std::random_device random;
  return fmt::format("batchscope-{:08x}{:08x}", random(), random());
}

}  // namespace batchscope
