// `batchscope calibrate`: what each counter of a GPU really does, found by running known loads.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/output.h"
#include "report/wrap_text.h"
#include "telemetry/calibration/protocol.h"
#include "telemetry/load/cuda_loads.h"

namespace batchscope::cli {
namespace {

using calibration::CalibratedCounter;
using calibration::Calibration;
using calibration::Estimate;
namespace property = calibration::property;

struct CalibrateOptions {
  std::string gpu, json, folder;
  std::vector<std::string> only;
};

nvml::Gpu chosen_gpu(const nvml::Library& nvml, const std::string& wanted) {
  std::vector<nvml::Refusal> refused;
  const auto gpus = nvml.gpus(&refused);
  if (gpus.empty())
    throw InputError("no GPU to calibrate: {}", refused.empty() ? "NVML lists none" : refused.front().text());
  for (const nvml::Gpu& gpu : gpus)
    if (wanted.empty() || wanted == gpu.uuid || wanted == std::to_string(gpu.index)) return gpu;
  for (const nvml::Refusal& refusal : refused)
    if (refusal.gpu && wanted == std::to_string(*refusal.gpu)) throw InputError("--gpu {}: {}", wanted, refusal.why);
  std::vector<std::string> names;
  for (const nvml::Gpu& gpu : gpus) names.push_back(fmt::format("{} ({})", gpu.index, gpu.uuid));
  throw InputError("--gpu {}: no such GPU; available: {}", wanted, fmt::join(names, ", "));
}

std::set<std::string> chosen_counters(const std::vector<std::string>& only) {
  const auto known = calibration::counter_ids();
  const std::set<std::string> all(known.begin(), known.end());
  for (const std::string& id : only) {
    if (all.contains(id)) continue;
    const std::string near = nearest(id, known);
    throw InputError("--only {}: no such counter{}; available: {}", id,
                     near.empty() ? "" : fmt::format(", did you mean {}?", near), fmt::join(known, ", "));
  }
  return only.empty() ? all : std::set<std::string>(only.begin(), only.end());
}

// "200.0 ± 1.5 ms": two digits of the uncertainty, and no more of the value than it allows.
std::string value_text(double value, double uncertainty, const std::string& unit) {
  if (!(uncertainty > 0)) return fmt::format("{:.6g}{}", value, unit);
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(uncertainty))), 0, 9);
  return fmt::format("{:.{}f} ± {:.{}f}{}", value, decimals, uncertainty, decimals, unit);
}

std::string value_text(const std::string& name, const Estimate& estimate, const std::string& unit) {
  const double value = *estimate.value;
  if (name == property::modulus) return fmt::format("2^{:.0f} {}", std::log2(value), unit);
  if (name == property::prediction_error) return fmt::format("{:.3f} %", 100 * value);
  if (name == property::gain || name == property::all_reduce || name == property::per_byte)
    return value_text(value, estimate.uncertainty, "");
  if (name == property::idle || name == property::per_transfer || name == property::per_second)
    return value_text(value, estimate.uncertainty, " " + unit);
  const double scale = std::abs(value) < 1e-3 ? 1e6 : 1e3;
  return value_text(value * scale, estimate.uncertainty * scale, scale > 1e3 ? " us" : " ms");
}

std::string text_of(const std::string& id, const CalibratedCounter& counter) {
  std::string out = fmt::format("{}  ({}, by {})\n", id, counter.name, counter.call);
  std::map<std::string, std::vector<std::string>> unknown;  // properties by reason
  for (const auto& [name, estimate] : counter.properties) {
    if (estimate.value)
      out += fmt::format("  {:<16}  {}\n", name, value_text(name, estimate, counter.unit));
    else
      unknown[estimate.how].push_back(name);
  }
  for (const auto& [why, names] : unknown)
    out += wrap_text(fmt::format("{}: {}", fmt::join(names, ", "), why), "  unknown           ", std::string(20, ' '));
  return out;
}

std::string text_of(const Calibration& calibration) {
  std::string out = fmt::format("{}, driver {}, NVML {}, {}\n", calibration.board, calibration.driver, calibration.nvml,
                                calibration.uuid);
  for (const auto& [id, counter] : calibration.counters) out += "\n" + text_of(id, counter);
  for (const std::string& remark : calibration.remarks) out += "\n" + wrap_text(remark, "note: ", "      ");
  return out;
}

void calibrate(const CalibrateOptions& options) {
  if (!options.json.empty()) check_destination(options.json, "--json");
  const auto ids = chosen_counters(options.only);
  const std::filesystem::path folder =
      options.folder.empty() ? calibration::calibration_folder() : std::filesystem::path(options.folder);
  std::string why;
  const auto library = nvml::library(&why);
  if (!library) throw InputError("no GPU to calibrate: {}", why);
  const nvml::Gpu gpu = chosen_gpu(*library, options.gpu);

  const auto remarks = calibration::others_on(*library, gpu);
  for (const std::string& remark : remarks) warn(remark + ": the results may be off");
  const auto loads = cuda_loads(gpu.uuid);
  const calibration::Bench bench{.nvml = *library,
                                 .gpu = gpu,
                                 .loads = *loads,
                                 .clock = monotonic_clock(),
                                 .wall = unix_time,
                                 .say = [](const std::string& what) { warn("measuring: " + what); }};
  Calibration found = calibration::calibrate(bench, ids);
  found.remarks.insert(found.remarks.begin(), remarks.begin(), remarks.end());
  const auto file = calibration::save(found, folder);
  if (!options.json.empty()) write_output(options.json, calibration::to_json(found).dump(2) + "\n");
  if (options.json != "-") print_text(text_of(found));
  warn(fmt::format("calibration written to {}", file.string()));
}

}  // namespace

void add_calibrate(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command =
      app.add_subcommand("calibrate", "measure how a GPU's counters really behave, by running known loads");
  command->add_option("--gpu", options->gpu, "which GPU: an index or a UUID; default: the first")->type_name("N|UUID");
  command->add_option("--only", options->only, "only these counters, named as in the result")
      ->type_name("COUNTER")
      ->delimiter(',');
  command->add_option("--json", options->json, "the result as one JSON object; - is standard output")
      ->type_name("FILE");
  command
      ->add_option("-o,--output", options->folder,
                   "save it in this folder; default: $XDG_DATA_HOME/batchscope/calibration")
      ->type_name("FOLDER");
  command->footer(
      "Takes about a minute and a half on a GPU that should be idle: it copies,\n"
      "computes and allocates there. Refresh periods, windows, lags, moduli, gains and\n"
      "read costs are saved for the board and its driver; what cannot be measured\n"
      "without CUDA, NCCL or a second GPU is unknown, with the reason.\n"
      "Example:\n"
      "  batchscope calibrate --gpu 0 --only pcie_rx,energy");
  command->callback([options, &exit_code] {
    calibrate(*options);
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
