// Fuzz target: whatever a server streams as an answer, and whatever stands in a scenario or an SLO. It ends in an
// outcome or an InputError. The first byte says which; events are split at empty lines.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "load/metrics.h"
#include "load/mock_server.h"
#include "load/outcome.h"

using namespace batchscope;

namespace {

void read_as_answer(std::string_view bytes, bool is_event_stream) {
  load::WireAnswer wire{.is_event_stream = is_event_stream};
  wire.exchange.response.status = 200;
  while (!bytes.empty()) {
    const std::size_t end = std::min(bytes.find("\n\n"), bytes.size());
    wire.events.push_back({.data = std::string(bytes.substr(0, end))});
    bytes.remove_prefix(std::min(end + 2, bytes.size()));
  }
  const load::Answer answer = load::read_answer(wire, {.asked_output_tokens = 10}, Nanoseconds(0));
  if (answer.record.outcome.empty() || answer.record.output_tokens.value_or(0) > 10) std::abort();
  const LoadRequestRecord records[] = {answer.record, answer.record};
  load::summarize(records, {});
}

void read_as_settings(std::string_view bytes) {
  try {
    load::parse_mock_settings(bytes, "scenario", {});
  } catch (const InputError&) {
  }
  try {
    load::parse_slo(bytes, "--slo");
  } catch (const InputError&) {
  }
  load::MockModel model({});
  const http::Script script =
      model.answer({.method = "POST", .target = "/v1/completions", .body = std::string(bytes)}, Nanoseconds(0));
  for (int steps = 0; steps < 50 && script(); ++steps) continue;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  data[0] % 3 == 2 ? read_as_settings(bytes) : read_as_answer(bytes, data[0] % 3 == 0);
  return 0;
}
