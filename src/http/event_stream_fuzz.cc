// Fuzz target: whatever a server streams. Pieces make no difference, and nothing grows beyond the limit. The first byte
// is the size of the pieces.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/event_stream.h"

using namespace batchscope::http;

namespace {

constexpr std::size_t longest = 64;

std::vector<std::string> events_of(std::string_view bytes, std::size_t piece) {
  EventStreamReader reader(longest);
  std::vector<std::string> events;
  const auto take = [&](std::string_view data) {
    if (data.size() > longest) std::abort();
    events.emplace_back(data);
  };
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size())))
    if (!reader.take(bytes.substr(0, piece), take)) return events;
  reader.end(take);
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t piece = size == 0 ? 1 : static_cast<std::size_t>(data[0]) + 1;
  bytes.remove_prefix(std::min<std::size_t>(size, 1));
  if (events_of(bytes, piece) != events_of(bytes, std::max<std::size_t>(bytes.size(), 1))) std::abort();
  return 0;
}
