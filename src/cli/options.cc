// The flags of a cell (cli/options.h).
#include "cli/options.h"

#include <limits>

#include "base/units.h"

namespace batchscope::cli {
namespace {

constexpr std::int64_t any_count = std::numeric_limits<std::int64_t>::max();

std::optional<std::int64_t> maybe_count(const std::string& text, const char* flag) {
  if (text.empty()) return std::nullopt;
  return parse_integer(text, 1, any_count, flag);
}

}  // namespace

void CellOptions::add_model_flags(CLI::App& app) {
  app.add_option("--model", model, "folder of a Hugging Face LLaMA model (default: the embedded tiny model)")
      ->type_name("PATH");
  app.add_option("--random-weights", random_weights,
                 "draw weights instead of reading them: llama-7b, a config.json, or layers=2,hidden=64,heads=4,"
                 "intermediate=172,vocabulary=512")
      ->type_name("SHAPE");
  app.add_option("--seed", seed, "of random weights")->type_name("N")->capture_default_str();
}

void CellOptions::add_placement_flags(CLI::App& app) {
  app.add_option("--device", device, "cpu:N, N virtual devices, or cuda:0,1 (default: what --parallel needs)")
      ->type_name("DEVICE");
  app.add_option("--parallel", parallel, "mp4 | pp4 | tp4 | dp4 | dp2.tp2 … (default: tp over all devices)")
      ->type_name("LAYOUT");
  app.add_option("--dtype", dtype, "to compute in: f32 | bf16 | f16 | fp8")->type_name("DTYPE")->capture_default_str();
  app.add_option("--threads", threads, "of each virtual device")->type_name("N")->capture_default_str();
}

void CellOptions::add_run_flags(CLI::App& app) {
  app.add_option("--fusion", fusion, "off | on | a list of qkv,swiglu,norm,attention,comm,graph")
      ->type_name("FUSION")
      ->capture_default_str();
  app.add_option("--batch", batch, "sequences a batch; an item has one for each choice")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--packing", packing, "padded | packed | prefix")->type_name("PACKING")->capture_default_str();
  app.add_option("--device-memory", device_memory, "of each device: 64MiB, 1.5GB (default: what there is)")
      ->type_name("SIZE");
  app.add_option("--link", link, "between devices: 12GB/s,5us paces virtual ones; nvlink | pcie (default: unpaced)")
      ->type_name("LINK");
}

void CellOptions::add_task_flags(CLI::App& app) {
  app.add_option("--task", task, "questions, one JSON object a line (default: the embedded set)")->type_name("FILE");
  app.add_option("--limit", limit, "the first N questions only")->type_name("N");
  app.add_option("--max-tokens-per-sequence", max_tokens_per_sequence, "longest model input")->type_name("N");
  app.add_option("--when-too-long", when_too_long, "fail | truncate (cut on the left; the status says so)")
      ->type_name("WHAT")
      ->capture_default_str();
}

void CellOptions::add_all(CLI::App& app) {
  add_model_flags(app);
  add_task_flags(app);
  add_placement_flags(app);
  add_run_flags(app);
}

ModelSource CellOptions::model_source() const {
  return {model, random_weights, static_cast<std::uint64_t>(parse_integer(seed, 0, any_count, "--seed"))};
}

Placement CellOptions::placement() const {
  Placement placement;
  if (!device.empty()) placement.device = parse_device(device);
  if (!parallel.empty())
    placement.layout = Layout::parse(parallel);
  else
    placement.layout = Layout::parse(fmt::format("tp{}", placement.device.count()));
  if (device.empty()) placement.device = parse_device(fmt::format("cpu:{}", placement.layout.ranks()));
  placement.dtype = parse_dtype(dtype, "--dtype");
  placement.threads = static_cast<int>(parse_integer(threads, 1, 4096, "--threads"));
  return placement;
}

RunSettings CellOptions::run_settings() const {
  RunSettings run;
  run.fusion = parse_fusion(fusion);
  run.batch = parse_integer(batch, 1, any_count, "--batch");
  run.packing = parse_packing(packing);
  if (!device_memory.empty()) run.device_memory_bytes = parse_bytes(device_memory, "--device-memory");
  if (!link.empty()) run.link = parse_link(link);
  return run;
}

CellSpec CellOptions::cell() const {
  CellSpec spec;
  spec.model = model_source();
  spec.task = task;
  spec.limit = maybe_count(limit, "--limit");
  spec.placement = placement();
  spec.run = run_settings();
  spec.max_tokens_per_sequence = maybe_count(max_tokens_per_sequence, "--max-tokens-per-sequence");
  spec.when_too_long = parse_when_too_long(when_too_long, "--when-too-long");
  check(spec);
  return spec;
}

}  // namespace batchscope::cli
