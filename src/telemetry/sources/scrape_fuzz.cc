// Fuzz target: what a server may send to --scrape, in pieces of any size: an answer, where it redirects to, its page.
// The first byte is the size of the pieces, the second says after how many of 16 bytes the server is gone.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/reader.h"
#include "http/url.h"
#include "telemetry/sources/metrics_text.h"

using namespace batchscope;

namespace {

constexpr http::ResponseLimits limits{.header_bytes = 4096, .whole_bytes = 16384};

void check_redirect(const http::Response& response) {
  const auto location = response.headers.find("Location");
  if (!location) return;
  const http::Url from{.is_tls = true, .host = "h", .port = 443};
  const auto to = http::redirected(from, std::string(*location));
  if (!to) return;
  if (!to->is_tls || to->host.empty() || to->target.empty() || to->target[0] != '/') std::abort();
  // What goes into a request must not end a line of it.
  if ((to->target + to->host_header()).find_first_of("\r\n \t") != std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t piece = static_cast<std::size_t>(data[0]) * 16 + 1;
  bytes = bytes.substr(0, data[1] == 0 ? bytes.size() : data[1] * std::size_t{16});
  std::string body;
  http::ResponseReader reader(limits, [&](std::string_view more) {
    body += more;
    return true;
  });
  auto progress = http::Progress::needs_more;
  for (; !bytes.empty() && progress == http::Progress::needs_more; bytes.remove_prefix(std::min(piece, bytes.size())))
    progress = reader.take(bytes.substr(0, piece));
  if (progress == http::Progress::needs_more) progress = reader.end();
  if (body.size() > limits.whole_bytes) std::abort();
  if (progress != http::Progress::complete) return 0;
  if (reader.response().status < 100) std::abort();
  check_redirect(reader.response());
  parse_metrics_text(body);
  return 0;
}
