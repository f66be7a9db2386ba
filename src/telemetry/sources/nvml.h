// NVIDIA GPUs as sources: which of NVML's counters this machine has, one source a kind of counter and GPU. What each
// counter is, and how it behaves, stands in docs/calibration.md.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/sources/gpu_choice.h"
#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

// The GPUs of this machine's driver that are wanted; none without one. `missing` takes what it does not give.
// InputError for a wanted one that is not there.
std::vector<NvmlGpu> nvml_gpus(std::vector<nvml::Refusal>* missing = nullptr, const GpuChoice& choice = {});

// Whether there should be some: the kernel has the driver, or NVML is installed.
bool are_gpus_expected();

// What a recording says of them: the driver's version, and each GPU's name, UUID and place on the bus.
std::map<std::string, std::string> gpu_environment(const std::vector<NvmlGpu>& gpus);

// All sources of one GPU, and of its parts (MIG), that it answers to.
std::vector<std::unique_ptr<Source>> nvml_sources(const NvmlGpu& gpu);
// Parts of a GPU (MIG): each has memory, processes and activity (GPM) of its own, all else is the GPU's.
std::vector<NvmlGpu> mig_instances(const NvmlGpu& gpu);

// Cumulative PCIe bytes. They wrap within a tenth of a second: read as often as that demands, or as GPM, which tells
// how often they did, allows.
std::unique_ptr<Source> pcie_source(const NvmlGpu& gpu);
// Cumulative NVLink bytes of all links: of data and, where they are counted apart, with protocol overhead.
std::unique_ptr<Source> nvlink_source(const NvmlGpu& gpu);
// The driver's own rings of samples: every sample once, with the driver's instants.
std::unique_ptr<Source> utilization_samples_source(const NvmlGpu& gpu);
std::unique_ptr<Source> power_samples_source(const NvmlGpu& gpu);
// Levels: memory, clocks and what holds them down, temperature; once a second encoder, decoder and fan, where there are
// any; what has no ring too.
std::unique_ptr<Source> gauges_source(const NvmlGpu& gpu);
// Energy: a slow call, therefore a source of its own.
std::unique_ptr<Source> energy_source(const NvmlGpu& gpu);
// What should stay at zero: throttled time, ECC and link errors, Xids.
std::unique_ptr<Source> health_source(const NvmlGpu& gpu);
// Memory of each process on the GPU, and how busy it keeps it.
std::unique_ptr<Source> processes_source(const NvmlGpu& gpu);
// GPM (Hopper on): activity of SMs, tensor cores and memory over 100 ms; that of any engine, which is dear.
std::unique_ptr<Source> gpm_source(const NvmlGpu& gpu);
std::unique_ptr<Source> gpm_engine_source(const NvmlGpu& gpu);

std::vector<std::uint32_t> active_nvlinks(const NvmlGpu& gpu);
bool has_nvlink(const NvmlGpu& gpu);
bool has_gpm(const NvmlGpu& gpu);
// GPU and host share one memory (Grace, GB10), of which the driver says nothing: its size and use are the host's.
bool shares_host_memory(const NvmlGpu& gpu);
constexpr std::string_view shared_memory_fact = "memory shared with the host";  // of gpu_environment
// How many samples of a kind the driver keeps; 0: none. What it keeps none of is a gauge, under the same name.
std::uint32_t samples_kept(const NvmlGpu& gpu, nvml::SamplingType type);
Counter utilization_counter(const NvmlGpu& gpu);
Counter memory_utilization_counter(const NvmlGpu& gpu);
Counter power_counter(const NvmlGpu& gpu);

}  // namespace batchscope
