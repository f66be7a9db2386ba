// Which of this machine's GPUs a user wants: `--gpus 0,GPU-1a2b3c4d,0000:3b:00.0`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "telemetry/sources/nvml_gpu.h"

namespace batchscope {

constexpr const char* gpus_flag = "--gpus";

class GpuChoice {
 public:
  GpuChoice() = default;  // all
  // InputError for what names no GPU.
  explicit GpuChoice(const std::vector<std::string>& names);

  bool is_all() const { return names_.empty(); }
  // False: the GPU is not wanted and need not be opened.
  bool may_want(int index) const;
  // One of them that is not there, with what is; "": they all are.
  std::string problem(const std::vector<NvmlGpu>& gpus, const std::vector<nvml::Refusal>& missing) const;
  // Leaves those that are wanted.
  void keep(std::vector<NvmlGpu>& gpus, std::vector<nvml::Refusal>& missing) const;

 private:
  // One of these.
  struct Name {
    std::string text{};
    std::optional<int> index{};
    std::string uuid{};    // or its start
    std::string bus_id{};  // "00000000:3B:00.0"
    bool is_of(const NvmlGpu& gpu) const;
    bool is_of(const nvml::Refusal& refusal) const;
  };
  static Name parse(const std::string& text);

  std::vector<Name> names_;
};

}  // namespace batchscope
