// Cumulative NVLink bytes (sources/nvml.h).
#include "telemetry/sources/nvml.h"

namespace batchscope {
namespace {

constexpr std::uint32_t most_links = 36;
constexpr std::int64_t kib = 1024;

// Up to Hopper one field has the sum of all links, in KiB. From Blackwell on a field has one link, in bytes.
bool has_sum(const NvmlGpu& gpu) {
  NvmlFields fields(gpu, {{nvml::field_nvlink_data_tx_kib, nvml::all_links}});
  fields.read();
  return fields.reading(0).absent == nullptr;
}

std::vector<NvmlFields::Wanted> fields_of(const NvmlGpu& gpu, bool raw, bool sum) {
  if (sum && raw)
    return {{nvml::field_nvlink_raw_tx_kib, nvml::all_links}, {nvml::field_nvlink_raw_rx_kib, nvml::all_links}};
  if (sum)
    return {{nvml::field_nvlink_data_tx_kib, nvml::all_links}, {nvml::field_nvlink_data_rx_kib, nvml::all_links}};
  std::vector<NvmlFields::Wanted> fields;
  for (const std::uint32_t link : active_nvlinks(gpu)) {
    fields.push_back({nvml::field_nvlink_xmit_bytes, link});
    fields.push_back({nvml::field_nvlink_rcv_bytes, link});
  }
  return fields;
}

class NvlinkSource : public NvmlSource {
 public:
  NvlinkSource(const NvmlGpu& gpu, bool raw)
      : NvmlSource(gpu, raw ? "nvlink-raw" : "nvlink"),
        is_raw_(raw),
        is_sum_(has_sum(gpu)),
        fields_(gpu, fields_of(gpu, raw, is_sum_)) {
    const char* name = raw ? "gpu_nvlink_raw_{}_bytes_total" : "gpu_nvlink_{}_bytes_total";
    const auto counter = [&](const char* direction, const char* done) {
      std::string full(name);
      full.replace(full.find("{}"), 2, direction);
      return gpu_.counter(full, "bytes", CounterKind::cumulative,
                          std::string(done) + " over all NVLinks" + (raw ? ", with protocol overhead" : ""));
    };
    add_group({counter("tx", "sent"), counter("rx", "received")});
  }

  // Raw bytes only say what the protocol adds: once a second will do.
  Pace pace(Nanoseconds asked) const override {
    constexpr Nanoseconds second = std::chrono::seconds(1);
    return Pace::relaxed(is_raw_ ? std::max(asked, second) : asked);
  }

  void read(std::size_t, Rows& rows) override {
    add_fields(fields_, rows, [&](std::span<Reading> out) {
      for (const std::size_t direction : {0U, 1U}) out[direction] = sum_of(direction);
    });
  }

 private:
  // Absent when any link is: a sum without it would be too small.
  Reading sum_of(std::size_t direction) const {
    std::int64_t sum = 0;
    for (std::size_t i = direction; i < fields_.size(); i += 2) {
      const Reading link = fields_.reading(i, is_sum_ ? kib : 1);
      if (link.absent != nullptr) return link;
      sum += link.integer;
    }
    return Reading::of(sum);
  }

  bool is_raw_, is_sum_;
  NvmlFields fields_;
};

}  // namespace

std::vector<std::uint32_t> active_nvlinks(const NvmlGpu& gpu) {
  std::vector<std::uint32_t> links;
  for (std::uint32_t link = 0; link < most_links; ++link) {
    std::uint32_t is_active = 0;
    const nvml::Return result = gpu->nvmlDeviceGetNvLinkState(gpu.device(), link, &is_active);
    if (result == nvml::success && is_active != 0) links.push_back(link);
    if (result == nvml::invalid_argument) break;  // there are no more
  }
  return links;
}

bool has_nvlink(const NvmlGpu& gpu) { return !active_nvlinks(gpu).empty(); }
bool has_raw_nvlink(const NvmlGpu& gpu) { return has_nvlink(gpu) && has_sum(gpu); }

std::unique_ptr<Source> nvlink_source(const NvmlGpu& gpu, bool raw) { return std::make_unique<NvlinkSource>(gpu, raw); }

}  // namespace batchscope
