// Any bytes as an answer of an engine that is a program: what it says, or an error of one line.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "engine/command/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchscope;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto try_to = [](const auto& read) {
    try {
      read();
    } catch (const Error& error) {
      CHECK_THAT(std::string_view(error.what()).size() > 0, "an error says something");
    }
  };
  engine_protocol::is_progress(line);
  try_to([&] { CHECK_THAT(!engine_protocol::read_hello(line).name.empty(), "an engine has a name"); });
  try_to([&] { engine_protocol::read_done(line, "load"); });
  try_to([&] {
    const ScoreReport report = engine_protocol::read_scores(line, 2);
    CHECK_EQUAL(report.log_likelihoods.size(), 2u, "as many as were asked for");
    for (const Nanoseconds time : report.batch_times) CHECK_THAT(time >= Nanoseconds(0), "a time is not negative");
    for (const auto& count : {report.tokens.requested, report.tokens.truncated, report.batches})
      CHECK_THAT(count.value_or(0) >= 0, "a count is not negative");
  });
  return 0;
}
