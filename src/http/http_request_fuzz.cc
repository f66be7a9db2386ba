// Fuzz target: what a client may send to the HTTP server, in pieces of any size. Whatever it is ends in requests or in
// a status, within the limits. The first byte is the size of the pieces.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http/reader.h"
#include "http/url.h"

using namespace batchscope::http;

namespace {

constexpr RequestLimits limits{};

void check(const Request& request) {
  std::size_t header_bytes = request.method.size() + request.target.size();
  for (const Header& header : request.headers) header_bytes += header.name.size() + header.value.size();
  if (header_bytes > limits.header_bytes || request.body.size() > limits.body_bytes) std::abort();
  if (const auto host = request.headers.find("Host"))
    if (const auto name = host_of(*host); name && name->empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t piece = size == 0 ? 1 : static_cast<std::size_t>(data[0]) * 16 + 1;
  bytes.remove_prefix(std::min<std::size_t>(size, 1));
  RequestReader reader(limits);
  while (!bytes.empty()) {
    Progress progress = reader.take(bytes.substr(0, piece));
    if (reader.expects_continue() && reader.expects_continue()) std::abort();  // said once a request
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (progress == Progress::complete) {
      check(reader.request());
      reader.keeps_connection();
      progress = reader.next();
    }
    if (progress == Progress::refused) {
      const int status = reader.refusal();
      if (status != 400 && status != 413 && status != 431) std::abort();
      break;
    }
  }
  return 0;
}
