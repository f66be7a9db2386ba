// Our declarations of NVML against nvml.h, where one was found when this was configured: numbers, layouts, signatures.
#include "telemetry/nvml/api.h"

#include <gtest/gtest.h>

#ifdef BATCHSCOPE_NVML_H
#include BATCHSCOPE_NVML_H

#include <cstddef>
#include <type_traits>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace batchscope::nvml {
namespace {

// Same size, and fields of the same size at the same places.
#define EXPECT_SAME_SIZE(ours, theirs) EXPECT_EQ(sizeof(ours), sizeof(theirs)) << #theirs
#define EXPECT_SAME_FIELD(ours, field, theirs, their_field)                                    \
  EXPECT_EQ(offsetof(ours, field), offsetof(theirs, their_field)) << #theirs "." #their_field; \
  EXPECT_EQ(sizeof(ours::field), sizeof(theirs::their_field)) << #theirs "." #their_field

// Whether two types go through a call alike: arithmetic and enumerations of one size and kind, pointers to what is of
// one size.
template <class Ours, class Theirs>
constexpr bool same_type() {
  using O = std::remove_cv_t<Ours>;
  using T = std::remove_cv_t<Theirs>;
  if constexpr (std::is_same_v<O, GpmMetrics>) {  // ours has room for more metrics
    return sizeof(O) >= sizeof(T);
  } else if constexpr (std::is_pointer_v<O> && std::is_pointer_v<T>) {
    return same_type<std::remove_pointer_t<O>, std::remove_pointer_t<T>>();
  } else if constexpr (std::is_same_v<O, DeviceHandle> || std::is_same_v<O, EventSetHandle> ||
                       std::is_same_v<O, GpmSampleHandle>) {
    return std::is_class_v<T>;  // handles: nobody looks inside
  } else if constexpr (std::is_floating_point_v<O> || std::is_floating_point_v<T>) {
    return std::is_same_v<O, T>;
  } else {
    return std::is_class_v<O> == std::is_class_v<T> && sizeof(O) == sizeof(T);
  }
}

template <class Ours, class Theirs>
struct SameSignature : std::false_type {};
template <class OurResult, class... Ours, class TheirResult, class... Theirs>
requires(sizeof...(Ours) == sizeof...(Theirs)) struct SameSignature<OurResult (*)(Ours...), TheirResult(Theirs...)>
    : std::bool_constant<same_type<OurResult, TheirResult>() && (same_type<Ours, Theirs>() && ...)> {
};

TEST(NvmlApi, SignaturesAreThoseOfTheHeader) {
#define BATCHSCOPE_NVML_COMPARE(name, parameters) \
  EXPECT_TRUE((SameSignature<decltype(Functions::name), decltype(::name)>::value)) << #name;
  BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_COMPARE)
#undef BATCHSCOPE_NVML_COMPARE
}

TEST(NvmlApi, LayoutsAreThoseOfTheHeader) {
  EXPECT_SAME_SIZE(Value, nvmlValue_t);
  EXPECT_SAME_FIELD(Value, real, nvmlValue_t, dVal);
  EXPECT_SAME_FIELD(Value, signed_int, nvmlValue_t, siVal);
  EXPECT_SAME_FIELD(Value, unsigned_int, nvmlValue_t, uiVal);
  EXPECT_SAME_FIELD(Value, unsigned_long, nvmlValue_t, ulVal);
  EXPECT_SAME_FIELD(Value, unsigned_long, nvmlValue_t, ullVal);
  EXPECT_SAME_FIELD(Value, signed_long, nvmlValue_t, sllVal);
  EXPECT_SAME_FIELD(Value, unsigned_short, nvmlValue_t, usVal);

  EXPECT_SAME_SIZE(FieldValue, nvmlFieldValue_t);
  EXPECT_SAME_FIELD(FieldValue, field, nvmlFieldValue_t, fieldId);
  EXPECT_SAME_FIELD(FieldValue, scope, nvmlFieldValue_t, scopeId);
  EXPECT_SAME_FIELD(FieldValue, timestamp_us, nvmlFieldValue_t, timestamp);
  EXPECT_SAME_FIELD(FieldValue, latency_us, nvmlFieldValue_t, latencyUsec);
  EXPECT_SAME_FIELD(FieldValue, type, nvmlFieldValue_t, valueType);
  EXPECT_SAME_FIELD(FieldValue, result, nvmlFieldValue_t, nvmlReturn);
  EXPECT_SAME_FIELD(FieldValue, value, nvmlFieldValue_t, value);

  EXPECT_SAME_SIZE(Pci, nvmlPciInfo_t);
  EXPECT_SAME_FIELD(Pci, bus_id_legacy, nvmlPciInfo_t, busIdLegacy);
  EXPECT_SAME_FIELD(Pci, domain, nvmlPciInfo_t, domain);
  EXPECT_SAME_FIELD(Pci, bus, nvmlPciInfo_t, bus);
  EXPECT_SAME_FIELD(Pci, device, nvmlPciInfo_t, device);
  EXPECT_SAME_FIELD(Pci, device_id, nvmlPciInfo_t, pciDeviceId);
  EXPECT_SAME_FIELD(Pci, subsystem_id, nvmlPciInfo_t, pciSubSystemId);
  EXPECT_SAME_FIELD(Pci, bus_id, nvmlPciInfo_t, busId);

  EXPECT_SAME_SIZE(Utilization, nvmlUtilization_t);
  EXPECT_SAME_FIELD(Utilization, gpu, nvmlUtilization_t, gpu);
  EXPECT_SAME_FIELD(Utilization, memory, nvmlUtilization_t, memory);

  EXPECT_SAME_SIZE(Memory, nvmlMemory_t);
  EXPECT_SAME_FIELD(Memory, total, nvmlMemory_t, total);
  EXPECT_SAME_FIELD(Memory, free, nvmlMemory_t, free);
  EXPECT_SAME_FIELD(Memory, used, nvmlMemory_t, used);

  EXPECT_SAME_SIZE(MemoryV2, nvmlMemory_v2_t);
  EXPECT_SAME_FIELD(MemoryV2, version, nvmlMemory_v2_t, version);
  EXPECT_SAME_FIELD(MemoryV2, total, nvmlMemory_v2_t, total);
  EXPECT_SAME_FIELD(MemoryV2, reserved, nvmlMemory_v2_t, reserved);
  EXPECT_SAME_FIELD(MemoryV2, free, nvmlMemory_v2_t, free);
  EXPECT_SAME_FIELD(MemoryV2, used, nvmlMemory_v2_t, used);
  EXPECT_EQ(MemoryV2{}.version, nvmlMemory_v2);

  EXPECT_SAME_SIZE(Sample, nvmlSample_t);
  EXPECT_SAME_FIELD(Sample, timestamp_us, nvmlSample_t, timeStamp);
  EXPECT_SAME_FIELD(Sample, value, nvmlSample_t, sampleValue);

  EXPECT_SAME_SIZE(Process, nvmlProcessInfo_t);
  EXPECT_SAME_FIELD(Process, pid, nvmlProcessInfo_t, pid);
  EXPECT_SAME_FIELD(Process, used_bytes, nvmlProcessInfo_t, usedGpuMemory);
  EXPECT_SAME_FIELD(Process, gpu_instance, nvmlProcessInfo_t, gpuInstanceId);
  EXPECT_SAME_FIELD(Process, compute_instance, nvmlProcessInfo_t, computeInstanceId);

  EXPECT_SAME_SIZE(ProcessUtilization, nvmlProcessUtilizationSample_t);
  EXPECT_SAME_FIELD(ProcessUtilization, pid, nvmlProcessUtilizationSample_t, pid);
  EXPECT_SAME_FIELD(ProcessUtilization, timestamp_us, nvmlProcessUtilizationSample_t, timeStamp);
  EXPECT_SAME_FIELD(ProcessUtilization, sm, nvmlProcessUtilizationSample_t, smUtil);
  EXPECT_SAME_FIELD(ProcessUtilization, memory, nvmlProcessUtilizationSample_t, memUtil);
  EXPECT_SAME_FIELD(ProcessUtilization, encoder, nvmlProcessUtilizationSample_t, encUtil);
  EXPECT_SAME_FIELD(ProcessUtilization, decoder, nvmlProcessUtilizationSample_t, decUtil);

  EXPECT_SAME_SIZE(EventData, nvmlEventData_t);
  EXPECT_SAME_FIELD(EventData, device, nvmlEventData_t, device);
  EXPECT_SAME_FIELD(EventData, type, nvmlEventData_t, eventType);
  EXPECT_SAME_FIELD(EventData, data, nvmlEventData_t, eventData);
  EXPECT_SAME_FIELD(EventData, gpu_instance, nvmlEventData_t, gpuInstanceId);
  EXPECT_SAME_FIELD(EventData, compute_instance, nvmlEventData_t, computeInstanceId);

  EXPECT_SAME_SIZE(GpmMetric, nvmlGpmMetric_t);
  EXPECT_SAME_FIELD(GpmMetric, id, nvmlGpmMetric_t, metricId);
  EXPECT_SAME_FIELD(GpmMetric, result, nvmlGpmMetric_t, nvmlReturn);
  EXPECT_SAME_FIELD(GpmMetric, value, nvmlGpmMetric_t, value);
  EXPECT_EQ(offsetof(GpmMetric, short_name), offsetof(nvmlGpmMetric_t, metricInfo.shortName));
  EXPECT_EQ(offsetof(GpmMetric, long_name), offsetof(nvmlGpmMetric_t, metricInfo.longName));
  EXPECT_EQ(offsetof(GpmMetric, unit), offsetof(nvmlGpmMetric_t, metricInfo.unit));

  EXPECT_GE(sizeof(GpmMetrics), sizeof(nvmlGpmMetricsGet_t)) << "the library's array is longer than ours";
  EXPECT_SAME_FIELD(GpmMetrics, version, nvmlGpmMetricsGet_t, version);
  EXPECT_SAME_FIELD(GpmMetrics, count, nvmlGpmMetricsGet_t, numMetrics);
  EXPECT_SAME_FIELD(GpmMetrics, first, nvmlGpmMetricsGet_t, sample1);
  EXPECT_SAME_FIELD(GpmMetrics, second, nvmlGpmMetricsGet_t, sample2);
  EXPECT_EQ(offsetof(GpmMetrics, metrics), offsetof(nvmlGpmMetricsGet_t, metrics));
  EXPECT_EQ(GpmMetrics{}.version, NVML_GPM_METRICS_GET_VERSION);

  EXPECT_SAME_SIZE(GpmSupport, nvmlGpmSupport_t);
  EXPECT_SAME_FIELD(GpmSupport, version, nvmlGpmSupport_t, version);
  EXPECT_SAME_FIELD(GpmSupport, is_supported, nvmlGpmSupport_t, isSupportedDevice);
  EXPECT_EQ(GpmSupport{}.version, NVML_GPM_SUPPORT_VERSION);
}

#define EXPECT_SAME_NUMBER(ours, theirs) \
  EXPECT_EQ(static_cast<std::uint64_t>(ours), static_cast<std::uint64_t>(theirs)) << #theirs

TEST(NvmlApi, NumbersAreThoseOfTheHeader) {
  EXPECT_SAME_NUMBER(success, NVML_SUCCESS);
  EXPECT_SAME_NUMBER(uninitialized, NVML_ERROR_UNINITIALIZED);
  EXPECT_SAME_NUMBER(invalid_argument, NVML_ERROR_INVALID_ARGUMENT);
  EXPECT_SAME_NUMBER(not_supported, NVML_ERROR_NOT_SUPPORTED);
  EXPECT_SAME_NUMBER(no_permission, NVML_ERROR_NO_PERMISSION);
  EXPECT_SAME_NUMBER(not_found, NVML_ERROR_NOT_FOUND);
  EXPECT_SAME_NUMBER(insufficient_size, NVML_ERROR_INSUFFICIENT_SIZE);
  EXPECT_SAME_NUMBER(driver_not_loaded, NVML_ERROR_DRIVER_NOT_LOADED);
  EXPECT_SAME_NUMBER(timeout, NVML_ERROR_TIMEOUT);
  EXPECT_SAME_NUMBER(function_not_found, NVML_ERROR_FUNCTION_NOT_FOUND);
  EXPECT_SAME_NUMBER(gpu_is_lost, NVML_ERROR_GPU_IS_LOST);
  EXPECT_SAME_NUMBER(reset_required, NVML_ERROR_RESET_REQUIRED);
  EXPECT_SAME_NUMBER(operating_system, NVML_ERROR_OPERATING_SYSTEM);
  EXPECT_SAME_NUMBER(version_mismatch, NVML_ERROR_LIB_RM_VERSION_MISMATCH);
  EXPECT_SAME_NUMBER(in_use, NVML_ERROR_IN_USE);
  EXPECT_SAME_NUMBER(no_data, NVML_ERROR_NO_DATA);
  EXPECT_SAME_NUMBER(argument_version_mismatch, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
  EXPECT_SAME_NUMBER(not_ready, NVML_ERROR_NOT_READY);
  EXPECT_SAME_NUMBER(unknown, NVML_ERROR_UNKNOWN);

  EXPECT_SAME_NUMBER(value_double, NVML_VALUE_TYPE_DOUBLE);
  EXPECT_SAME_NUMBER(value_unsigned_int, NVML_VALUE_TYPE_UNSIGNED_INT);
  EXPECT_SAME_NUMBER(value_unsigned_long, NVML_VALUE_TYPE_UNSIGNED_LONG);
  EXPECT_SAME_NUMBER(value_unsigned_long_long, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG);
  EXPECT_SAME_NUMBER(value_signed_long_long, NVML_VALUE_TYPE_SIGNED_LONG_LONG);
  EXPECT_SAME_NUMBER(value_signed_int, NVML_VALUE_TYPE_SIGNED_INT);
  EXPECT_SAME_NUMBER(value_unsigned_short, NVML_VALUE_TYPE_UNSIGNED_SHORT);

  EXPECT_SAME_NUMBER(field_power_violation_ns, NVML_FI_DEV_PERF_POLICY_POWER);
  EXPECT_SAME_NUMBER(field_thermal_violation_ns, NVML_FI_DEV_PERF_POLICY_THERMAL);
  EXPECT_SAME_NUMBER(field_memory_temperature, NVML_FI_DEV_MEMORY_TEMP);
  EXPECT_SAME_NUMBER(field_energy_mj, NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION);
  EXPECT_SAME_NUMBER(field_nvlink_link_count, NVML_FI_DEV_NVLINK_LINK_COUNT);
  EXPECT_SAME_NUMBER(field_pcie_replay, NVML_FI_DEV_PCIE_REPLAY_COUNTER);
  EXPECT_SAME_NUMBER(field_nvlink_data_tx_kib, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX);
  EXPECT_SAME_NUMBER(field_nvlink_data_rx_kib, NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX);
  EXPECT_SAME_NUMBER(field_nvlink_raw_tx_kib, NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_TX);
  EXPECT_SAME_NUMBER(field_nvlink_raw_rx_kib, NVML_FI_DEV_NVLINK_THROUGHPUT_RAW_RX);
  EXPECT_SAME_NUMBER(field_nvlink_speed_mbps, NVML_FI_DEV_NVLINK_GET_SPEED);
  EXPECT_SAME_NUMBER(field_power_average_mw, NVML_FI_DEV_POWER_AVERAGE);
  EXPECT_SAME_NUMBER(field_power_instant_mw, NVML_FI_DEV_POWER_INSTANT);
  EXPECT_SAME_NUMBER(field_pcie_tx_bytes, NVML_FI_DEV_PCIE_COUNT_TX_BYTES);
  EXPECT_SAME_NUMBER(field_pcie_rx_bytes, NVML_FI_DEV_PCIE_COUNT_RX_BYTES);
  EXPECT_SAME_NUMBER(field_nvlink_xmit_bytes, NVML_FI_DEV_NVLINK_COUNT_XMIT_BYTES);
  EXPECT_SAME_NUMBER(field_nvlink_rcv_bytes, NVML_FI_DEV_NVLINK_COUNT_RCV_BYTES);

  EXPECT_SAME_NUMBER(samples_power, NVML_TOTAL_POWER_SAMPLES);
  EXPECT_SAME_NUMBER(samples_gpu_utilization, NVML_GPU_UTILIZATION_SAMPLES);
  EXPECT_SAME_NUMBER(samples_memory_utilization, NVML_MEMORY_UTILIZATION_SAMPLES);
  EXPECT_SAME_NUMBER(samples_processor_clock, NVML_PROCESSOR_CLK_SAMPLES);
  EXPECT_SAME_NUMBER(samples_memory_clock, NVML_MEMORY_CLK_SAMPLES);
  EXPECT_SAME_NUMBER(samples_module_power, NVML_MODULE_POWER_SAMPLES);

  EXPECT_SAME_NUMBER(memory_unknown, NVML_VALUE_NOT_AVAILABLE);
  EXPECT_SAME_NUMBER(clock_graphics, NVML_CLOCK_GRAPHICS);
  EXPECT_SAME_NUMBER(clock_sm, NVML_CLOCK_SM);
  EXPECT_SAME_NUMBER(clock_memory, NVML_CLOCK_MEM);
  EXPECT_SAME_NUMBER(clock_video, NVML_CLOCK_VIDEO);
  EXPECT_SAME_NUMBER(pcie_tx, NVML_PCIE_UTIL_TX_BYTES);
  EXPECT_SAME_NUMBER(pcie_rx, NVML_PCIE_UTIL_RX_BYTES);
  EXPECT_SAME_NUMBER(ecc_corrected, NVML_MEMORY_ERROR_TYPE_CORRECTED);
  EXPECT_SAME_NUMBER(ecc_uncorrected, NVML_MEMORY_ERROR_TYPE_UNCORRECTED);
  EXPECT_SAME_NUMBER(ecc_volatile, NVML_VOLATILE_ECC);
  EXPECT_SAME_NUMBER(ecc_aggregate, NVML_AGGREGATE_ECC);
  EXPECT_SAME_NUMBER(not_virtual, NVML_GPU_VIRTUALIZATION_MODE_NONE);
  EXPECT_SAME_NUMBER(pass_through, NVML_GPU_VIRTUALIZATION_MODE_PASSTHROUGH);
  EXPECT_SAME_NUMBER(vgpu, NVML_GPU_VIRTUALIZATION_MODE_VGPU);
  EXPECT_SAME_NUMBER(host_vgpu, NVML_GPU_VIRTUALIZATION_MODE_HOST_VGPU);
  EXPECT_SAME_NUMBER(host_vsga, NVML_GPU_VIRTUALIZATION_MODE_HOST_VSGA);

  EXPECT_SAME_NUMBER(reason_idle, nvmlClocksEventReasonGpuIdle);
  EXPECT_SAME_NUMBER(reason_application_clocks, nvmlClocksEventReasonApplicationsClocksSetting);
  EXPECT_SAME_NUMBER(reason_power_cap, nvmlClocksEventReasonSwPowerCap);
  EXPECT_SAME_NUMBER(reason_hw_slowdown, nvmlClocksThrottleReasonHwSlowdown);
  EXPECT_SAME_NUMBER(reason_sync_boost, nvmlClocksEventReasonSyncBoost);
  EXPECT_SAME_NUMBER(reason_sw_thermal, nvmlClocksEventReasonSwThermalSlowdown);
  EXPECT_SAME_NUMBER(reason_hw_thermal, nvmlClocksThrottleReasonHwThermalSlowdown);
  EXPECT_SAME_NUMBER(reason_power_brake, nvmlClocksThrottleReasonHwPowerBrakeSlowdown);
  EXPECT_SAME_NUMBER(reason_display_clocks, nvmlClocksEventReasonDisplayClockSetting);
  EXPECT_SAME_NUMBER(event_single_bit_ecc, nvmlEventTypeSingleBitEccError);
  EXPECT_SAME_NUMBER(event_double_bit_ecc, nvmlEventTypeDoubleBitEccError);
  EXPECT_SAME_NUMBER(event_xid, nvmlEventTypeXidCriticalError);

  EXPECT_SAME_NUMBER(gpm_graphics_util, NVML_GPM_METRIC_GRAPHICS_UTIL);
  EXPECT_SAME_NUMBER(gpm_sm_util, NVML_GPM_METRIC_SM_UTIL);
  EXPECT_SAME_NUMBER(gpm_sm_occupancy, NVML_GPM_METRIC_SM_OCCUPANCY);
  EXPECT_SAME_NUMBER(gpm_tensor_util, NVML_GPM_METRIC_ANY_TENSOR_UTIL);
  EXPECT_SAME_NUMBER(gpm_tensor_fp64_util, NVML_GPM_METRIC_DFMA_TENSOR_UTIL);
  EXPECT_SAME_NUMBER(gpm_tensor_half_util, NVML_GPM_METRIC_HMMA_TENSOR_UTIL);
  EXPECT_SAME_NUMBER(gpm_tensor_int_util, NVML_GPM_METRIC_IMMA_TENSOR_UTIL);
  EXPECT_SAME_NUMBER(gpm_dram_util, NVML_GPM_METRIC_DRAM_BW_UTIL);
  EXPECT_SAME_NUMBER(gpm_fp64_util, NVML_GPM_METRIC_FP64_UTIL);
  EXPECT_SAME_NUMBER(gpm_fp32_util, NVML_GPM_METRIC_FP32_UTIL);
  EXPECT_SAME_NUMBER(gpm_fp16_util, NVML_GPM_METRIC_FP16_UTIL);
  EXPECT_SAME_NUMBER(gpm_pcie_tx_mib_per_s, NVML_GPM_METRIC_PCIE_TX_PER_SEC);
  EXPECT_SAME_NUMBER(gpm_pcie_rx_mib_per_s, NVML_GPM_METRIC_PCIE_RX_PER_SEC);
  EXPECT_SAME_NUMBER(gpm_nvlink_rx_mib_per_s, NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC);
  EXPECT_SAME_NUMBER(gpm_nvlink_tx_mib_per_s, NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC);

  EXPECT_SAME_NUMBER(uuid_size, NVML_DEVICE_UUID_V2_BUFFER_SIZE);
  EXPECT_SAME_NUMBER(name_size, NVML_DEVICE_NAME_V2_BUFFER_SIZE);
  EXPECT_GE(version_size, static_cast<std::uint32_t>(NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE));
  EXPECT_GE(version_size, static_cast<std::uint32_t>(NVML_SYSTEM_NVML_VERSION_BUFFER_SIZE));
}

}  // namespace
}  // namespace batchscope::nvml

#else

TEST(NvmlApi, IsThatOfTheHeader) {
  GTEST_SKIP() << "no nvml.h was found at configure time; install CUDA's nvml-dev or set -DBATCHSCOPE_NVML_H=FILE";
}

#endif
