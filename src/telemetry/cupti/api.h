// The part of CUPTI that samples a GPU's hardware counters (PM sampling), declared by ourselves: the library is loaded
// at run time, and nothing of it is needed to build. Names, numbers and layouts are those of CUPTI's binary interface
// as its reference manual has them; api_test.cc compares them with its headers where those are installed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace batchscope::cupti {

enum Return : int {
  success = 0,
  invalid_parameter = 1,
  out_of_memory = 8,
  invalid_metric_name = 17,
  hardware_busy = 26,
  not_supported = 27,
  virtualized_device = 33,
  insufficient_privileges = 35,
  legacy_profiler = 38,  // CUPTI's other interface is in use
  multiple_subscribers = 39,
  virtualized_device_privileges = 40,
  unknown = 999,
  // Ours: the library lacks the function.
  function_not_found = -1,
};

using Host = struct HostObject*;          // knows a chip's metrics
using Sampling = struct SamplingObject*;  // one session on one GPU

enum ProfilerType : int { pm_sampling = 1 };
enum TriggerMode : int { every_sysclk_cycles = 0, every_nanoseconds = 1 };
enum AppendMode : int { keep_oldest = 0, keep_latest = 1 };
enum DecodeStop : int { stopped_otherwise = 0, counter_data_full = 1, end_of_records = 2 };
enum MetricType : int { metric_counter = 0, metric_ratio = 1, metric_throughput = 2 };

// Every structure begins with its own size, by which the library knows which version it has before it: up to the end
// of its last member, without padding behind it (used_size below).
struct Header {
  std::size_t size = 0;
  void* reserved = nullptr;
};

struct ChipName : Header {
  std::size_t device = 0;  // CUDA's ordinal
  const char* name = nullptr;
};
struct HostInitialize : Header {
  ProfilerType type = pm_sampling;
  const char* chip = nullptr;
  const std::uint8_t* counter_availability = nullptr;
  Host host = nullptr;
};
struct HostDeinitialize : Header {
  Host host = nullptr;
};
struct BaseMetrics : Header {
  Host host = nullptr;
  MetricType type = metric_counter;
  const char** names = nullptr;
  std::size_t count = 0;
};
struct ConfigAddMetrics : Header {
  Host host = nullptr;
  const char** names = nullptr;
  std::size_t count = 0;
};
struct ConfigImageSize : Header {
  Host host = nullptr;
  std::size_t bytes = 0;
};
struct ConfigImage : Header {
  Host host = nullptr;
  std::size_t bytes = 0;
  std::uint8_t* image = nullptr;
};
struct Passes : Header {
  std::size_t bytes = 0;
  const std::uint8_t* image = nullptr;
  std::size_t passes = 0;
};
struct Evaluate : Header {
  Host host = nullptr;
  const std::uint8_t* counter_data = nullptr;
  std::size_t counter_data_bytes = 0;
  std::size_t sample = 0;
  const char** names = nullptr;
  std::size_t count = 0;
  double* values = nullptr;
};

struct CounterAvailability : Header {
  std::size_t device = 0;
  std::size_t bytes = 0;
  std::uint8_t* image = nullptr;
};
struct Enable : Header {
  std::size_t device = 0;
  Sampling sampling = nullptr;
};
struct OfSampling : Header {  // start, stop, disable
  Sampling sampling = nullptr;
};
struct SetConfig : Header {
  Sampling sampling = nullptr;
  std::size_t config_bytes = 0;
  const std::uint8_t* config = nullptr;
  std::size_t hardware_buffer_bytes = 0;
  std::uint64_t interval = 0;
  TriggerMode trigger = every_nanoseconds;
  AppendMode append = keep_oldest;
};
struct CounterDataSize : Header {
  Sampling sampling = nullptr;
  const char** names = nullptr;
  std::size_t count = 0;
  std::uint32_t most_samples = 0;
  std::size_t bytes = 0;
};
struct CounterDataInitialize : Header {
  Sampling sampling = nullptr;
  std::size_t bytes = 0;
  std::uint8_t* counter_data = nullptr;
};
struct Decode : Header {
  Sampling sampling = nullptr;
  std::uint8_t* counter_data = nullptr;
  std::size_t counter_data_bytes = 0;
  DecodeStop stop = stopped_otherwise;
  std::uint8_t overflow = 0;
};
struct CounterDataInfo : Header {
  const std::uint8_t* counter_data = nullptr;
  std::size_t counter_data_bytes = 0;
  std::size_t total = 0, populated = 0, completed = 0;  // samples
};
struct SampleInfo : Header {
  Sampling sampling = nullptr;
  const std::uint8_t* counter_data = nullptr;
  std::size_t counter_data_bytes = 0;
  std::size_t sample = 0;
  std::uint64_t begin_ns = 0, end_ns = 0;  // on the GPU's own clock
};

// X(name, structure)
#define BATCHSCOPE_CUPTI_FUNCTIONS(X)                                 \
  X(cuptiProfilerInitialize, Header)                                  \
  X(cuptiDeviceGetChipName, ChipName)                                 \
  X(cuptiProfilerHostInitialize, HostInitialize)                      \
  X(cuptiProfilerHostDeinitialize, HostDeinitialize)                  \
  X(cuptiProfilerHostGetBaseMetrics, BaseMetrics)                     \
  X(cuptiProfilerHostConfigAddMetrics, ConfigAddMetrics)              \
  X(cuptiProfilerHostGetConfigImageSize, ConfigImageSize)             \
  X(cuptiProfilerHostGetConfigImage, ConfigImage)                     \
  X(cuptiProfilerHostGetNumOfPasses, Passes)                          \
  X(cuptiProfilerHostEvaluateToGpuValues, Evaluate)                   \
  X(cuptiPmSamplingGetCounterAvailability, CounterAvailability)       \
  X(cuptiPmSamplingEnable, Enable)                                    \
  X(cuptiPmSamplingDisable, OfSampling)                               \
  X(cuptiPmSamplingSetConfig, SetConfig)                              \
  X(cuptiPmSamplingStart, OfSampling)                                 \
  X(cuptiPmSamplingStop, OfSampling)                                  \
  X(cuptiPmSamplingDecodeData, Decode)                                \
  X(cuptiPmSamplingGetCounterDataSize, CounterDataSize)               \
  X(cuptiPmSamplingCounterDataImageInitialize, CounterDataInitialize) \
  X(cuptiPmSamplingGetCounterDataInfo, CounterDataInfo)               \
  X(cuptiPmSamplingCounterDataGetSampleInfo, SampleInfo)

template <class Structure>
inline constexpr std::size_t used_size = sizeof(Structure);
template <>
inline constexpr std::size_t used_size<Decode> = 5 * sizeof(void*) + sizeof(DecodeStop) + sizeof(std::uint8_t);

}  // namespace batchscope::cupti
