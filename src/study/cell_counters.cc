// From a recording's series to a cell's devices (study/cell_counters.h).
#include "study/cell_counters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>
#include <string_view>

#include "base/comma_list.h"
#include "base/error.h"
#include "base/json.h"
#include "engine/http/server_client.h"
#include "study/json_optional.h"
#include "telemetry/sources/nvml.h"
#include "telemetry/sources/paper.h"
#include "telemetry/sources/scrape.h"
#include "telemetry/summary/phase_sums.h"

namespace batchscope {
namespace {

constexpr Nanoseconds scrape_period = std::chrono::seconds(1);

// The interval on the host's clock; absent where the engine came not that far.
std::optional<Phase> timed(std::span<const Phase> phases) {
  const auto found =
      std::find_if(phases.begin(), phases.end(), [](const Phase& phase) { return phase.name == timed_phase; });
  if (found == phases.end()) return std::nullopt;
  Phase phase = *found;
  phase.begin += phase.clock_offset;
  phase.end += phase.clock_offset;
  return phase;
}

// The counters of one GPU over an interval.
class GpuCounters {
 public:
  GpuCounters(const StoreReader& store, std::int64_t session, const std::string& gpu, const Phase& phase)
      : store_(store), phase_(phase) {
    for (SeriesRecord& series : store.series(session))
      if (is_of(series.device, gpu)) series_.push_back(std::move(series));
  }
  std::optional<double> increase(std::string_view name) const {
    const SeriesRecord* series = find(name);
    if (series == nullptr) return std::nullopt;
    return increase_over(store_.samples(*series, phase_.begin - margin, phase_.end + margin), store_.gaps(series->id),
                         phase_.begin, phase_.end);
  }
  nlohmann::json bytes(std::string_view name) const {
    const auto value = increase(name);
    return value ? nlohmann::json(std::llround(*value)) : nlohmann::json(nullptr);
  }
  std::optional<double> mean(std::string_view name) const {
    const SeriesRecord* series = find(name);
    if (series == nullptr) return std::nullopt;
    return mean_over(store_.samples(*series, phase_.begin - margin, phase_.end + margin), phase_.begin, phase_.end);
  }
  // Between the last readings before the interval's begin and its end: what was counted when, within that.
  std::optional<double> seen(std::string_view name) const {
    const SeriesRecord* series = find(name);
    if (series == nullptr) return std::nullopt;
    const SampleSeries samples = store_.samples(*series, phase_.begin - margin, phase_.end);
    std::optional<double> first, last;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      if (samples.after[i] <= phase_.begin || !first) first = samples.value(i);
      if (samples.after[i] <= phase_.end) last = samples.value(i);
    }
    return first && last ? std::optional(*last - *first) : std::nullopt;
  }
  bool has(std::string_view name) const { return find(name) != nullptr; }

 private:
  static constexpr Nanoseconds margin = longest_relaxed_period;  // readings around the interval lie no farther

  // "gpu:0 (GPU-1a2b3c4d)", by number or by UUID.
  static bool is_of(const std::string& device, const std::string& gpu) {
    return device.starts_with(fmt::format("gpu:{} (", gpu)) ||
           (gpu.starts_with("GPU-") && device.find("(" + gpu.substr(0, 12)) != std::string::npos);
  }
  const SeriesRecord* find(std::string_view name) const {
    const auto found =
        std::find_if(series_.begin(), series_.end(), [&](const SeriesRecord& series) { return series.name == name; });
    return found == series_.end() ? nullptr : &*found;
  }

  const StoreReader& store_;
  const Phase& phase_;
  std::vector<SeriesRecord> series_;
};

nlohmann::json link_of(const GpuCounters& gpu, const char* kind) {
  nlohmann::json link = {{"kind", kind},
                         {"predicted_tx_bytes", nullptr},
                         {"counted_tx_bytes", nullptr},
                         {"predicted_rx_bytes", nullptr},
                         {"counted_rx_bytes", nullptr}};
  link["link_tx_bytes"] = gpu.bytes(fmt::format("gpu_{}_tx_bytes_total", kind));
  link["link_rx_bytes"] = gpu.bytes(fmt::format("gpu_{}_rx_bytes_total", kind));
  return link;
}

// What the paper's sampler made of it, and the exact counters of the same bytes; null where it did not run.
nlohmann::json paper_of(const GpuCounters& gpu) {
  if (!gpu.has("paper_utilization_ratio")) return nullptr;
  nlohmann::json paper = {{"utilisation", json_or_null(gpu.mean("paper_utilization_ratio"))}};
  for (const std::string direction : {"tx", "rx"}) {
    paper[direction + "_bytes_per_s"] =
        json_or_null(gpu.mean(fmt::format("paper_pcie_{}_bytes_per_second", direction)));
    paper[direction + "_seen_bytes"] = json_or_null(gpu.seen(fmt::format("paper_pcie_{}_seen_bytes_total", direction)));
    paper[direction + "_exact_bytes"] = json_or_null(gpu.increase(fmt::format("gpu_pcie_{}_bytes_total", direction)));
  }
  return paper;
}

// Of an engine that told nothing of its devices the links that the GPU has; of one that did, those that it used.
void add_links(const GpuCounters& gpu, bool is_told, nlohmann::json& device) {
  for (const char* kind : {"nvlink", "pcie"}) {
    if (!gpu.has(fmt::format("gpu_{}_tx_bytes_total", kind))) continue;
    nlohmann::json& links = device.at("links");
    const auto found =
        std::find_if(links.begin(), links.end(), [&](const nlohmann::json& link) { return link.at("kind") == kind; });
    const nlohmann::json counted = link_of(gpu, kind);
    if (found != links.end())
      for (const char* key : {"link_tx_bytes", "link_rx_bytes"}) (*found)[key] = counted.at(key);
    else if (!is_told)
      links.push_back(counted);
  }
}

}  // namespace

bool are_on_gpus(std::span<const CellSpec> cells) {
  return std::any_of(cells.begin(), cells.end(),
                     [](const CellSpec& cell) { return cell.placement.device.kind == "cuda"; });
}

std::vector<std::unique_ptr<Source>> sources_of(std::span<const CellSpec> cells, int root, bool paper_sampler) {
  auto sources = virtual_sources(root);
  std::set<std::string> servers;
  for (const CellSpec& cell : cells)
    if (cell.engine.is_server())
      if (const std::string url = metrics_url_beside(http::parse_url(cell.engine.url, "--engine"));
          servers.insert(url).second)
        sources.push_back(scrape_source(url, scrape_period, {.token = token_of(cell.engine.access)}));
  if (!are_on_gpus(cells)) return sources;
  for (auto& source : machine_gpus().sources) sources.push_back(std::move(source));
  if (!paper_sampler) return sources;
  PaperFailure failure;
  auto paper = paper_source(failure);
  if (!paper) throw InputError("paper-sampler: {}; leave it out", failure.why);
  sources.push_back(std::move(paper));
  return sources;
}

std::vector<std::string> gpus_of(const CellSpec& spec, const char* visible_devices) {
  std::vector<std::string> visible, gpus;
  if (visible_devices != nullptr)
    for_each_part(visible_devices, [&](std::string_view part) { visible.emplace_back(part); });
  for (const int number : spec.placement.device.numbers) {
    const auto place = static_cast<std::size_t>(number);
    if (visible_devices == nullptr)
      gpus.push_back(std::to_string(number));
    else
      gpus.push_back(place < visible.size() ? visible[place] : "");
  }
  return gpus;
}

void add_counters(const CellSpec& spec, std::span<const Phase> phases, const StoreReader& store, std::int64_t session,
                  nlohmann::json& result) {
  const auto phase = timed(phases);
  if (!phase || spec.placement.device.kind != "cuda") return;
  const std::vector<std::string> gpus = gpus_of(spec, std::getenv("CUDA_VISIBLE_DEVICES"));
  nlohmann::json& devices = result.at("devices");
  const bool is_told = spec.engine.is_ours();
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    if (std::find(gpus.begin(), gpus.begin() + static_cast<std::ptrdiff_t>(i), gpus[i]) !=
        gpus.begin() + static_cast<std::ptrdiff_t>(i))
      continue;  // a GPU that ranks share: what it counted stands beside the first of them
    const GpuCounters gpu(store, session, gpus[i], *phase);
    if (!gpu.has("gpu_memory_used_bytes")) continue;  // nothing was recorded of it
    const std::string name = spec.placement.device.name(static_cast<int>(i));
    auto device = std::find_if(devices.begin(), devices.end(),
                               [&](const nlohmann::json& each) { return each.at("name") == name; });
    if (device == devices.end()) {
      DeviceReport report;
      report.name = name;
      report.is_virtual = false;
      devices.push_back(to_json(report));
      device = devices.end() - 1;
    }
    (*device)["energy_j"] = json_or_null(gpu.increase("gpu_energy_joules_total"));
    (*device)["utilisation"] = json_or_null(gpu.mean("gpu_utilization_ratio"));
    (*device)["paper"] = paper_of(gpu);
    (*device)["sm_active"] = json_or_null(gpu.mean("gpu_sm_active_ratio"));
    if (spec.placement.device.sharers() == 1) add_links(gpu, is_told, *device);
  }
}

void CellCounters::add(const CellSpec& spec, CellRecords& records) const {
  if (spec.placement.device.kind != "cuda" || !timed(records.phases)) return;
  recording_.catch_up();  // with readings of after its end
  nlohmann::json result = parse_json(records.result.result_json, "result");
  add_counters(spec, records.phases, store_.reader(), session_, result);
  records.result.result_json = result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  records.devices = device_records(result);
}

}  // namespace batchscope
