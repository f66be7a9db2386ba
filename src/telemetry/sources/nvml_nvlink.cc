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

// Sent and received, in turn.
std::vector<nvml::WantedField> fields_of(const NvmlGpu& gpu, bool sum) {
  if (sum)  // one call for all four costs what one for each would
    return {{nvml::field_nvlink_data_tx_kib, nvml::all_links},
            {nvml::field_nvlink_data_rx_kib, nvml::all_links},
            {nvml::field_nvlink_raw_tx_kib, nvml::all_links},
            {nvml::field_nvlink_raw_rx_kib, nvml::all_links}};
  std::vector<nvml::WantedField> fields;
  for (const std::uint32_t link : active_nvlinks(gpu)) {
    fields.push_back({nvml::field_nvlink_xmit_bytes, link});
    fields.push_back({nvml::field_nvlink_rcv_bytes, link});
  }
  return fields;
}

class NvlinkSource : public NvmlSource {
 public:
  explicit NvlinkSource(const NvmlGpu& gpu)
      : NvmlSource(gpu, "nvlink"), is_sum_(has_sum(gpu)), fields_(gpu, fields_of(gpu, is_sum_)) {
    const auto counter = [&](const char* name, const std::string& help) {
      return gpu_.counter(name, "bytes", CounterKind::cumulative, help);
    };
    const std::string sent = "sent over all NVLinks", received = "received over all NVLinks",
                      raw = ", protocol overhead included";
    std::vector<Counter> counters = {counter("gpu_nvlink_tx_bytes_total", sent),
                                     counter("gpu_nvlink_rx_bytes_total", received)};
    if (is_sum_) {
      counters.push_back(counter("gpu_nvlink_raw_tx_bytes_total", sent + raw));
      counters.push_back(counter("gpu_nvlink_raw_rx_bytes_total", received + raw));
    }
    add_group(std::move(counters));
  }

  // Where GPM has rates, they are the curve, at a hundredth of the cost; here is the total.
  Pace pace(Nanoseconds asked) const override { return has_gpm(gpu_) ? Pace::relaxed(asked) : Pace::main_curve(asked); }
  void read(std::size_t, Rows& rows) override {
    add_fields(fields_, rows, [&](std::span<Reading> out) {
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = is_sum_ ? fields_.reading(i, kib) : sum_of(i);
    });
  }

 private:
  // Absent when any link is: a sum without it would be too small.
  Reading sum_of(std::size_t direction) const {
    std::int64_t sum = 0;
    for (std::size_t i = direction; i < fields_.size(); i += 2) {
      const Reading link = fields_.reading(i);
      if (link.absent != nullptr) return link;
      sum += link.integer;
    }
    return Reading::of(sum);
  }

  bool is_sum_;
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

std::unique_ptr<Source> nvlink_source(const NvmlGpu& gpu) { return std::make_unique<NvlinkSource>(gpu); }

}  // namespace batchscope
