// The tests' engine: answers what its cell's batch asks for, and fails in every way that a real one can.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"

namespace batchscope {

// Batches from here on are not run but met with trouble.
struct FakeTroubles {
  std::int64_t out_of_memory = 1'000'000;                      // this batch and all larger ones
  std::int64_t crash = 0, hang = 0, fail = 0, not_finite = 0;  // just this batch; 0: none
};

class FakeEngine : public Engine {
 public:
  explicit FakeEngine(FakeTroubles troubles) : troubles_(troubles) {}

  std::string describe() const override { return "fake 1"; }
  Capabilities capabilities() const override { return {.plans = true}; }
  Nanoseconds load(const ModelSource&, const Placement& placement) override {
    devices_ = placement.device.count();
    ++loads_;
    return std::chrono::milliseconds(7);
  }

  ScoreReport score(std::span<const ScoreRequest> requests, const RunSettings& settings, PhaseSink* phases) override {
    const PhaseScope phase(phases, "score", "fake", std::to_string(loads_) + " loads");
    make_trouble(settings.batch);
    ScoreReport report;
    for (const ScoreRequest& request : requests)
      report.log_likelihoods.push_back(-static_cast<double>(request.tokens.size()) -
                                       static_cast<double>(request.tokens.back() % 7));
    if (settings.batch == troubles_.not_finite) report.log_likelihoods.front() = 0.0 / zero_;
    TokenCounts counts;
    for (const ScoreRequest& request : requests)
      counts.computed += static_cast<std::int64_t>(request.tokens.size()) - 1;
    report.tokens = reported(counts);
    report.batches = (static_cast<std::int64_t>(requests.size()) + settings.batch - 1) / settings.batch;
    report.batch_times.assign(static_cast<std::size_t>(*report.batches), std::chrono::milliseconds(2));
    report.time = *report.batches * Nanoseconds(std::chrono::milliseconds(2));
    report.devices = device_reports(settings);
    return report;
  }

  // A request waits for one of `batch` places, has its first token 2 ms later, and another one every millisecond.
  GenerateReport generate(std::span<const GenerateRequest> requests, const RunSettings& settings, PhaseSink* phases,
                          const TokenSink& on_token) override {
    const PhaseScope phase(phases, "generate", "fake", std::to_string(loads_) + " loads");
    make_trouble(settings.batch);
    GenerateReport report;
    TokenCounts counts;
    std::vector<Nanoseconds> free(static_cast<std::size_t>(settings.batch), Nanoseconds(0));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      Nanoseconds& place = *std::min_element(free.begin(), free.end());
      GeneratedSequence& sequence = report.sequences.emplace_back();
      sequence.tokens.assign(static_cast<std::size_t>(requests[i].new_tokens), 7);
      if (on_token)
        for (const std::int32_t token : sequence.tokens) on_token(i, token);
      sequence.arrival = requests[i].arrival;
      sequence.admitted = std::max(requests[i].arrival, place);
      sequence.first_token = sequence.admitted + std::chrono::milliseconds(2);
      sequence.end = place = sequence.first_token + std::chrono::milliseconds(requests[i].new_tokens - 1);
      counts.computed += std::ssize(requests[i].prompt) + requests[i].new_tokens - 1;
      report.time = std::max(report.time, sequence.end);
    }
    report.tokens = reported(counts);
    report.steps = report.time / std::chrono::milliseconds(1);
    report.step_times.assign(static_cast<std::size_t>(*report.steps), std::chrono::milliseconds(1));
    report.devices = device_reports(settings);
    return report;
  }

 private:
  std::vector<DeviceReport> device_reports(const RunSettings& settings) const {
    std::vector<DeviceReport> reports;
    for (int i = 0; i < devices_; ++i) {
      DeviceReport& device = reports.emplace_back();
      device.name = "cpu:" + std::to_string(i);
      device.memory.peak_bytes = 1000 * settings.batch;
      device.memory.capacity_bytes = settings.device_memory_bytes;
    }
    return reports;
  }

  void make_trouble(std::int64_t batch) const {
    if (batch >= troubles_.out_of_memory) throw OutOfMemory("cpu:0", "activations", 1000 * batch, 0, 4000);
    if (batch == troubles_.fail) throw Failure("the fake fails at batch {}", batch);
    if (batch == troubles_.crash) {
      std::fputs("first words\nlast words of the fake\n", stderr);
      signal(SIGSEGV, SIG_DFL);
      raise(SIGSEGV);
    }
    while (batch == troubles_.hang) pause();
  }

  FakeTroubles troubles_;
  int devices_ = 1, loads_ = 0;
  double zero_ = 0;
};

}  // namespace batchscope
