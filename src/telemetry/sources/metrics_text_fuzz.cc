// Fuzz target: the parser of servers' metrics takes any bytes; what it gives out has names, and labels that are read
// again as the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "telemetry/sources/metrics_text.h"

using namespace batchscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const MetricsText::Sample& sample : parse_metrics_text(text).samples) {
    if (sample.name.empty() || sample.help.find('\n') != std::string::npos) std::abort();
    const auto again = parse_metrics_text(sample.name + "{" + to_text(sample.labels) + "} 1\n");
    if (again.malformed_lines != 0) std::abort();
    if (!again.samples.empty() && again.samples[0].labels.size() != sample.labels.size()) std::abort();
  }
  return 0;
}
