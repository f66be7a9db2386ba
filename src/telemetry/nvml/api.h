// The part of NVIDIA's management library (NVML) that batchscope calls, declared by ourselves: the library is loaded at
// run time, and nothing of it is needed to build. Names, numbers and layouts are those of NVML's binary interface as
// its reference manual has them; api_test.cc compares them with nvml.h where one is installed.
#pragma once

#include <array>
#include <cstdint>

namespace batchscope::nvml {

using Device = struct DeviceHandle*;
using EventSet = struct EventSetHandle*;
using GpmSample = struct GpmSampleHandle*;

enum Return : int {
  success = 0,
  uninitialized = 1,
  invalid_argument = 2,
  not_supported = 3,
  no_permission = 4,
  not_found = 6,
  insufficient_size = 7,
  driver_not_loaded = 9,
  timeout = 10,
  function_not_found = 13,
  gpu_is_lost = 15,
  reset_required = 16,
  operating_system = 17,
  version_mismatch = 18,  // of the driver's library and its kernel module
  in_use = 19,
  no_data = 21,
  argument_version_mismatch = 25,
  not_ready = 27,
  unknown = 999,
};

enum ValueType : int {
  value_double = 0,
  value_unsigned_int = 1,
  value_unsigned_long = 2,
  value_unsigned_long_long = 3,
  value_signed_long_long = 4,
  value_signed_int = 5,
  value_unsigned_short = 6,
};

union Value {
  double real;
  std::int32_t signed_int;
  std::uint32_t unsigned_int;
  std::uint64_t unsigned_long;
  std::int64_t signed_long;
  std::uint16_t unsigned_short;
};

// Fields of nvmlDeviceGetFieldValues.
enum Field : std::uint32_t {
  field_power_violation_ns = 74,    // time in which the power limit held the clocks down
  field_thermal_violation_ns = 75,  // likewise the temperature
  field_memory_temperature = 82,    // °C
  field_energy_mj = 83,
  field_nvlink_link_count = 91,
  field_pcie_replay = 94,
  field_nvlink_data_tx_kib = 138,  // up to Hopper; scope all_links: of all of them
  field_nvlink_data_rx_kib = 139,
  field_nvlink_raw_tx_kib = 140,  // with protocol overhead
  field_nvlink_raw_rx_kib = 141,
  field_nvlink_speed_mbps = 164,  // of one link
  field_power_average_mw = 185,   // over a second
  field_power_instant_mw = 186,
  field_pcie_tx_bytes = 197,      // wraps
  field_pcie_rx_bytes = 198,      // wraps
  field_nvlink_xmit_bytes = 202,  // from Blackwell on, of one link
  field_nvlink_rcv_bytes = 204,
  field_sw_thermal_slowdown_ns = 251,
  field_hw_thermal_slowdown_ns = 252,
  field_power_brake_slowdown_ns = 253,
};
constexpr std::uint32_t all_links = 0xFFFFFFFF;

struct FieldValue {
  std::uint32_t field = 0;
  std::uint32_t scope = 0;        // a link, or all_links
  std::int64_t timestamp_us = 0;  // of the value: CPU's wall clock, since 1970
  std::int64_t latency_us = 0;    // what the value took to be read
  ValueType type = value_double;
  Return result = success;
  Value value{};
};

struct Pci {
  char bus_id_legacy[16];
  std::uint32_t domain, bus, device;
  std::uint32_t device_id;  // of device and vendor
  std::uint32_t subsystem_id;
  char bus_id[32];
};

struct Utilization {
  std::uint32_t gpu = 0;     // % of the last window in which a kernel ran
  std::uint32_t memory = 0;  // % of it in which memory was read or written
};

struct Memory {  // bytes
  std::uint64_t total = 0, free = 0, used = 0;
};

constexpr std::uint32_t version_of(std::size_t size, std::uint32_t version) {
  return static_cast<std::uint32_t>(size) | version << 24;
}

struct MemoryV2 {  // bytes; `used` leaves out what is reserved
  std::uint32_t version = version_of(40, 2);
  std::uint64_t total = 0, reserved = 0, free = 0, used = 0;
};
static_assert(sizeof(MemoryV2) == 40);

enum SamplingType : int {
  samples_power = 0,
  samples_gpu_utilization = 1,
  samples_memory_utilization = 2,
  samples_processor_clock = 5,
  samples_memory_clock = 6,
  samples_module_power = 7
};
struct Sample {
  std::uint64_t timestamp_us = 0;  // CPU's wall clock
  Value value{};
};

struct Process {
  std::uint32_t pid = 0;         // in the namespace of this process's view, or of the host: the driver decides
  std::uint64_t used_bytes = 0;  // memory_unknown where the driver cannot say
  std::uint32_t gpu_instance = 0, compute_instance = 0;
};
constexpr std::uint64_t memory_unknown = ~0ULL;

// Of a process over the driver's window, in %.
struct ProcessUtilization {
  std::uint32_t pid = 0;
  std::uint64_t timestamp_us = 0;  // CPU's wall clock
  std::uint32_t sm = 0, memory = 0, encoder = 0, decoder = 0;
};

enum ClockType : int { clock_graphics = 0, clock_sm = 1, clock_memory = 2, clock_video = 3 };
enum PcieCounter : int { pcie_tx = 0, pcie_rx = 1 };
enum EccError : int { ecc_corrected = 0, ecc_uncorrected = 1 };
enum EccCounter : int { ecc_volatile = 0, ecc_aggregate = 1 };
enum VirtualizationMode : int { not_virtual = 0, pass_through = 1, vgpu = 2, host_vgpu = 3, host_vsga = 4 };

// Why clocks are lower than they could be: bits of nvmlDeviceGetCurrentClocksEventReasons.
constexpr std::uint64_t reason_idle = 0x1, reason_application_clocks = 0x2, reason_power_cap = 0x4,
                        reason_hw_slowdown = 0x8, reason_sync_boost = 0x10, reason_sw_thermal = 0x20,
                        reason_hw_thermal = 0x40, reason_power_brake = 0x80, reason_display_clocks = 0x100;

// Kinds of events.
constexpr std::uint64_t event_single_bit_ecc = 0x1, event_double_bit_ecc = 0x2, event_xid = 0x8;
struct EventData {
  Device device = nullptr;
  std::uint64_t type = 0;
  std::uint64_t data = 0;  // the Xid
  std::uint32_t gpu_instance = 0, compute_instance = 0;
};

// GPM: metrics between two samples (Hopper on).
enum GpmMetricId : std::uint32_t {
  gpm_graphics_util = 1,  // %
  gpm_sm_util = 2,
  gpm_sm_occupancy = 3,
  gpm_tensor_util = 5,
  gpm_tensor_fp64_util = 6,
  gpm_tensor_half_util = 7,  // fp16, bf16, fp8
  gpm_tensor_int_util = 9,
  gpm_dram_util = 10,  // % of the greatest bandwidth
  gpm_fp64_util = 11,
  gpm_fp32_util = 12,
  gpm_fp16_util = 13,
  gpm_pcie_tx_mib_per_s = 20,
  gpm_pcie_rx_mib_per_s = 21,
  gpm_nvlink_rx_mib_per_s = 60,  // of all links
  gpm_nvlink_tx_mib_per_s = 61,
};
struct GpmMetric {
  std::uint32_t id = 0;
  Return result = success;
  double value = 0;
  const char* short_name = nullptr;
  const char* long_name = nullptr;
  const char* unit = nullptr;
};
// The library reads `count` metrics; its own array's length differs between releases.
struct GpmMetrics {
  std::uint32_t version = 1;
  std::uint32_t count = 0;
  GpmSample first = nullptr, second = nullptr;
  std::array<GpmMetric, 512> metrics{};
};
struct GpmSupport {
  std::uint32_t version = 1;
  std::uint32_t is_supported = 0;
};

// Every function we call, by the name under which the library exports it. X(name, parameters)
#define BATCHSCOPE_NVML_FUNCTIONS(X)                                                                             \
  X(nvmlInit_v2, (void))                                                                                         \
  X(nvmlShutdown, (void))                                                                                        \
  X(nvmlSystemGetDriverVersion, (char* version, std::uint32_t size))                                             \
  X(nvmlSystemGetNVMLVersion, (char* version, std::uint32_t size))                                               \
  X(nvmlSystemGetCudaDriverVersion_v2, (int* version))                                                           \
  X(nvmlDeviceGetCount_v2, (std::uint32_t * count))                                                              \
  X(nvmlDeviceGetHandleByIndex_v2, (std::uint32_t index, Device * device))                                       \
  X(nvmlDeviceGetUUID, (Device device, char* uuid, std::uint32_t size))                                          \
  X(nvmlDeviceGetName, (Device device, char* name, std::uint32_t size))                                          \
  X(nvmlDeviceGetPciInfo_v3, (Device device, Pci * pci))                                                         \
  X(nvmlDeviceGetMemoryInfo, (Device device, Memory * memory))                                                   \
  X(nvmlDeviceGetMemoryInfo_v2, (Device device, MemoryV2 * memory))                                              \
  X(nvmlDeviceGetUtilizationRates, (Device device, Utilization * utilization))                                   \
  X(nvmlDeviceGetPowerUsage, (Device device, std::uint32_t * milliwatts))                                        \
  X(nvmlDeviceGetEnforcedPowerLimit, (Device device, std::uint32_t * milliwatts))                                \
  X(nvmlDeviceGetTotalEnergyConsumption, (Device device, std::uint64_t * millijoules))                           \
  X(nvmlDeviceGetTemperature, (Device device, int sensor, std::uint32_t* celsius))                               \
  X(nvmlDeviceGetClockInfo, (Device device, ClockType type, std::uint32_t * mhz))                                \
  X(nvmlDeviceGetMaxClockInfo, (Device device, ClockType type, std::uint32_t * mhz))                             \
  X(nvmlDeviceGetCurrentClocksEventReasons, (Device device, std::uint64_t * reasons))                            \
  X(nvmlDeviceGetCurrentClocksThrottleReasons, (Device device, std::uint64_t * reasons)) /* before driver 535 */ \
  X(nvmlDeviceGetPcieThroughput, (Device device, PcieCounter counter, std::uint32_t * kb_per_s))                 \
  X(nvmlDeviceGetCurrPcieLinkGeneration, (Device device, std::uint32_t * generation))                            \
  X(nvmlDeviceGetCurrPcieLinkWidth, (Device device, std::uint32_t * lanes))                                      \
  X(nvmlDeviceGetMaxPcieLinkGeneration, (Device device, std::uint32_t * generation))                             \
  X(nvmlDeviceGetMaxPcieLinkWidth, (Device device, std::uint32_t * lanes))                                       \
  X(nvmlDeviceGetFieldValues, (Device device, int count, FieldValue* values))                                    \
  X(nvmlDeviceGetSamples, (Device device, SamplingType type, std::uint64_t last_seen_us, ValueType * value_type, \
                           std::uint32_t * count, Sample * samples))                                             \
  X(nvmlDeviceGetTotalEccErrors, (Device device, EccError error, EccCounter counter, std::uint64_t * count))     \
  X(nvmlDeviceGetComputeRunningProcesses_v3, (Device device, std::uint32_t * count, Process * processes))        \
  X(nvmlDeviceGetGraphicsRunningProcesses_v3, (Device device, std::uint32_t * count, Process * processes))       \
  X(nvmlDeviceGetMPSComputeRunningProcesses_v3, (Device device, std::uint32_t * count, Process * processes))     \
  X(nvmlDeviceGetProcessUtilization,                                                                             \
    (Device device, ProcessUtilization * samples, std::uint32_t * count, std::uint64_t last_seen_us))            \
  X(nvmlDeviceGetEncoderUtilization, (Device device, std::uint32_t * percent, std::uint32_t * window_us))        \
  X(nvmlDeviceGetDecoderUtilization, (Device device, std::uint32_t * percent, std::uint32_t * window_us))        \
  X(nvmlDeviceGetFanSpeed, (Device device, std::uint32_t * percent))                                             \
  X(nvmlDeviceGetNvLinkState, (Device device, std::uint32_t link, std::uint32_t * is_active))                    \
  X(nvmlDeviceGetVirtualizationMode, (Device device, VirtualizationMode * mode))                                 \
  X(nvmlDeviceGetMigMode, (Device device, std::uint32_t * current, std::uint32_t * pending))                     \
  X(nvmlDeviceGetMaxMigDeviceCount, (Device device, std::uint32_t * count))                                      \
  X(nvmlDeviceGetMigDeviceHandleByIndex, (Device device, std::uint32_t index, Device * instance))                \
  X(nvmlDeviceGetGpuInstanceId, (Device instance, std::uint32_t * id))                                           \
  X(nvmlDeviceGetSupportedEventTypes, (Device device, std::uint64_t * types))                                    \
  X(nvmlDeviceRegisterEvents, (Device device, std::uint64_t types, EventSet set))                                \
  X(nvmlEventSetCreate, (EventSet * set))                                                                        \
  X(nvmlEventSetWait_v2, (EventSet set, EventData * data, std::uint32_t timeout_ms))                             \
  X(nvmlEventSetFree, (EventSet set))                                                                            \
  X(nvmlGpmQueryDeviceSupport, (Device device, GpmSupport * support))                                            \
  X(nvmlGpmSampleAlloc, (GpmSample * sample))                                                                    \
  X(nvmlGpmSampleFree, (GpmSample sample))                                                                       \
  X(nvmlGpmSampleGet, (Device device, GpmSample sample))                                                         \
  X(nvmlGpmMigSampleGet, (Device device, std::uint32_t gpu_instance, GpmSample sample))                          \
  X(nvmlGpmMetricsGet, (GpmMetrics * metrics))

constexpr std::uint32_t uuid_size = 96, name_size = 96, version_size = 80;

// What a function that the library lacks is replaced by.
template <class... Arguments>
Return absent(Arguments...) {
  return function_not_found;
}

// The functions, each under its own name; callable also when the library lacks them.
struct Functions {
#define BATCHSCOPE_NVML_MEMBER(name, parameters) Return(*name) parameters = absent;
  BATCHSCOPE_NVML_FUNCTIONS(BATCHSCOPE_NVML_MEMBER)
#undef BATCHSCOPE_NVML_MEMBER
};

}  // namespace batchscope::nvml
