// Our declarations of CUPTI's PM sampling against the real headers, where those are installed.
#include "telemetry/cupti/api.h"

#include <gtest/gtest.h>

#ifdef BATCHSCOPE_CUPTI_H
#include <cupti_pmsampling.h>
#include <cupti_profiler_host.h>
#include <cupti_profiler_target.h>
#include <cupti_target.h>
#endif

namespace batchscope::cupti {
namespace {

#ifndef BATCHSCOPE_CUPTI_H
TEST(CuptiApi, IsAsTheRealHeadersHaveIt) {
  GTEST_SKIP() << "needs cupti_pmsampling.h when CMake runs; set BATCHSCOPE_CUDA_HEADERS";
}
#else

#define EXPECT_SAME_FIELD(ours, field, theirs, their_field)                            \
  EXPECT_EQ(offsetof(ours, field), offsetof(theirs, their_field)) << #ours "." #field; \
  EXPECT_EQ(sizeof(ours::field), sizeof(theirs::their_field)) << #ours "." #field
#define EXPECT_SAME_SIZE(ours, theirs)                                      \
  EXPECT_EQ(used_size<ours>, std::size_t{theirs##_STRUCT_SIZE}) << #theirs; \
  EXPECT_EQ(sizeof(ours), sizeof(theirs)) << #theirs

// Our structures inherit their header.
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

TEST(CuptiApi, ChipAndMetricsAreAsTheRealHeadersHaveThem) {
  EXPECT_SAME_SIZE(Header, CUpti_Profiler_Initialize_Params);
  EXPECT_SAME_SIZE(ChipName, CUpti_Device_GetChipName_Params);
  EXPECT_SAME_FIELD(ChipName, device, CUpti_Device_GetChipName_Params, deviceIndex);
  EXPECT_SAME_FIELD(ChipName, name, CUpti_Device_GetChipName_Params, pChipName);
  EXPECT_SAME_SIZE(HostInitialize, CUpti_Profiler_Host_Initialize_Params);
  EXPECT_SAME_FIELD(HostInitialize, type, CUpti_Profiler_Host_Initialize_Params, profilerType);
  EXPECT_SAME_FIELD(HostInitialize, chip, CUpti_Profiler_Host_Initialize_Params, pChipName);
  EXPECT_SAME_FIELD(HostInitialize, counter_availability, CUpti_Profiler_Host_Initialize_Params,
                    pCounterAvailabilityImage);
  EXPECT_SAME_FIELD(HostInitialize, host, CUpti_Profiler_Host_Initialize_Params, pHostObject);
  EXPECT_SAME_SIZE(HostDeinitialize, CUpti_Profiler_Host_Deinitialize_Params);
  EXPECT_SAME_SIZE(ConfigAddMetrics, CUpti_Profiler_Host_ConfigAddMetrics_Params);
  EXPECT_SAME_FIELD(ConfigAddMetrics, names, CUpti_Profiler_Host_ConfigAddMetrics_Params, ppMetricNames);
  EXPECT_SAME_FIELD(ConfigAddMetrics, count, CUpti_Profiler_Host_ConfigAddMetrics_Params, numMetrics);
  EXPECT_SAME_SIZE(ConfigImageSize, CUpti_Profiler_Host_GetConfigImageSize_Params);
  EXPECT_SAME_FIELD(ConfigImageSize, bytes, CUpti_Profiler_Host_GetConfigImageSize_Params, configImageSize);
  EXPECT_SAME_SIZE(ConfigImage, CUpti_Profiler_Host_GetConfigImage_Params);
  EXPECT_SAME_FIELD(ConfigImage, bytes, CUpti_Profiler_Host_GetConfigImage_Params, configImageSize);
  EXPECT_SAME_FIELD(ConfigImage, image, CUpti_Profiler_Host_GetConfigImage_Params, pConfigImage);
  EXPECT_SAME_SIZE(Passes, CUpti_Profiler_Host_GetNumOfPasses_Params);
  EXPECT_SAME_FIELD(Passes, bytes, CUpti_Profiler_Host_GetNumOfPasses_Params, configImageSize);
  EXPECT_SAME_FIELD(Passes, image, CUpti_Profiler_Host_GetNumOfPasses_Params, pConfigImage);
  EXPECT_SAME_FIELD(Passes, passes, CUpti_Profiler_Host_GetNumOfPasses_Params, numOfPasses);
  EXPECT_SAME_SIZE(Evaluate, CUpti_Profiler_Host_EvaluateToGpuValues_Params);
  EXPECT_SAME_FIELD(Evaluate, counter_data, CUpti_Profiler_Host_EvaluateToGpuValues_Params, pCounterDataImage);
  EXPECT_SAME_FIELD(Evaluate, counter_data_bytes, CUpti_Profiler_Host_EvaluateToGpuValues_Params, counterDataImageSize);
  EXPECT_SAME_FIELD(Evaluate, sample, CUpti_Profiler_Host_EvaluateToGpuValues_Params, rangeIndex);
  EXPECT_SAME_FIELD(Evaluate, names, CUpti_Profiler_Host_EvaluateToGpuValues_Params, ppMetricNames);
  EXPECT_SAME_FIELD(Evaluate, count, CUpti_Profiler_Host_EvaluateToGpuValues_Params, numMetrics);
  EXPECT_SAME_FIELD(Evaluate, values, CUpti_Profiler_Host_EvaluateToGpuValues_Params, pMetricValues);
  EXPECT_EQ(int{pm_sampling}, int{CUPTI_PROFILER_TYPE_PM_SAMPLING});
}

TEST(CuptiApi, SamplingIsAsTheRealHeaderHasIt) {
  EXPECT_SAME_SIZE(CounterAvailability, CUpti_PmSampling_GetCounterAvailability_Params);
  EXPECT_SAME_FIELD(CounterAvailability, device, CUpti_PmSampling_GetCounterAvailability_Params, deviceIndex);
  EXPECT_SAME_FIELD(CounterAvailability, bytes, CUpti_PmSampling_GetCounterAvailability_Params,
                    counterAvailabilityImageSize);
  EXPECT_SAME_FIELD(CounterAvailability, image, CUpti_PmSampling_GetCounterAvailability_Params,
                    pCounterAvailabilityImage);
  EXPECT_SAME_SIZE(Enable, CUpti_PmSampling_Enable_Params);
  EXPECT_SAME_FIELD(Enable, device, CUpti_PmSampling_Enable_Params, deviceIndex);
  EXPECT_SAME_FIELD(Enable, sampling, CUpti_PmSampling_Enable_Params, pPmSamplingObject);
  EXPECT_SAME_SIZE(OfSampling, CUpti_PmSampling_Start_Params);
  EXPECT_SAME_SIZE(OfSampling, CUpti_PmSampling_Stop_Params);
  EXPECT_SAME_SIZE(OfSampling, CUpti_PmSampling_Disable_Params);
  EXPECT_SAME_SIZE(SetConfig, CUpti_PmSampling_SetConfig_Params);
  EXPECT_SAME_FIELD(SetConfig, config_bytes, CUpti_PmSampling_SetConfig_Params, configSize);
  EXPECT_SAME_FIELD(SetConfig, config, CUpti_PmSampling_SetConfig_Params, pConfig);
  EXPECT_SAME_FIELD(SetConfig, hardware_buffer_bytes, CUpti_PmSampling_SetConfig_Params, hardwareBufferSize);
  EXPECT_SAME_FIELD(SetConfig, interval, CUpti_PmSampling_SetConfig_Params, samplingInterval);
  EXPECT_SAME_FIELD(SetConfig, trigger, CUpti_PmSampling_SetConfig_Params, triggerMode);
  EXPECT_SAME_FIELD(SetConfig, append, CUpti_PmSampling_SetConfig_Params, hwBufferAppendMode);
  EXPECT_SAME_SIZE(CounterDataSize, CUpti_PmSampling_GetCounterDataSize_Params);
  EXPECT_SAME_FIELD(CounterDataSize, names, CUpti_PmSampling_GetCounterDataSize_Params, pMetricNames);
  EXPECT_SAME_FIELD(CounterDataSize, count, CUpti_PmSampling_GetCounterDataSize_Params, numMetrics);
  EXPECT_SAME_FIELD(CounterDataSize, most_samples, CUpti_PmSampling_GetCounterDataSize_Params, maxSamples);
  EXPECT_SAME_FIELD(CounterDataSize, bytes, CUpti_PmSampling_GetCounterDataSize_Params, counterDataSize);
  EXPECT_SAME_SIZE(CounterDataInitialize, CUpti_PmSampling_CounterDataImage_Initialize_Params);
  EXPECT_SAME_FIELD(CounterDataInitialize, bytes, CUpti_PmSampling_CounterDataImage_Initialize_Params, counterDataSize);
  EXPECT_SAME_SIZE(Decode, CUpti_PmSampling_DecodeData_Params);
  EXPECT_SAME_FIELD(Decode, counter_data, CUpti_PmSampling_DecodeData_Params, pCounterDataImage);
  EXPECT_SAME_FIELD(Decode, counter_data_bytes, CUpti_PmSampling_DecodeData_Params, counterDataImageSize);
  EXPECT_SAME_FIELD(Decode, stop, CUpti_PmSampling_DecodeData_Params, decodeStopReason);
  EXPECT_SAME_FIELD(Decode, overflow, CUpti_PmSampling_DecodeData_Params, overflow);
  EXPECT_SAME_SIZE(CounterDataInfo, CUpti_PmSampling_GetCounterDataInfo_Params);
  EXPECT_SAME_FIELD(CounterDataInfo, counter_data, CUpti_PmSampling_GetCounterDataInfo_Params, pCounterDataImage);
  EXPECT_SAME_FIELD(CounterDataInfo, completed, CUpti_PmSampling_GetCounterDataInfo_Params, numCompletedSamples);
  EXPECT_SAME_SIZE(SampleInfo, CUpti_PmSampling_CounterData_GetSampleInfo_Params);
  EXPECT_SAME_FIELD(SampleInfo, sample, CUpti_PmSampling_CounterData_GetSampleInfo_Params, sampleIndex);
  EXPECT_SAME_FIELD(SampleInfo, begin_ns, CUpti_PmSampling_CounterData_GetSampleInfo_Params, startTimestamp);
  EXPECT_SAME_FIELD(SampleInfo, end_ns, CUpti_PmSampling_CounterData_GetSampleInfo_Params, endTimestamp);
  EXPECT_EQ(int{every_nanoseconds}, int{CUPTI_PM_SAMPLING_TRIGGER_MODE_GPU_TIME_INTERVAL});
  EXPECT_EQ(int{keep_oldest}, int{CUPTI_PM_SAMPLING_HARDWARE_BUFFER_APPEND_MODE_KEEP_OLDEST});
  EXPECT_EQ(int{counter_data_full}, int{CUPTI_PM_SAMPLING_DECODE_STOP_REASON_COUNTER_DATA_FULL});
  EXPECT_EQ(int{end_of_records}, int{CUPTI_PM_SAMPLING_DECODE_STOP_REASON_END_OF_RECORDS});
  EXPECT_EQ(int{insufficient_privileges}, int{CUPTI_ERROR_INSUFFICIENT_PRIVILEGES});
  EXPECT_EQ(int{hardware_busy}, int{CUPTI_ERROR_HARDWARE_BUSY});
  EXPECT_EQ(int{unknown}, int{CUPTI_ERROR_UNKNOWN});
}
#endif

}  // namespace
}  // namespace batchscope::cupti
