// `batchscope serve`: what this machine's counters say, for Prometheus and whatever else reads OpenMetrics.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/gpus_option.h"
#include "cli/interrupt.h"
#include "cli/listen_address.h"
#include "cli/output.h"
#include "serve/server.h"
#include "study/environment.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"

namespace batchscope::cli {
namespace {

struct ServeOptions {
  std::string listen = "127.0.0.1:9464", period = "1/6s", cpu_budget;
  std::vector<std::string> sources, gpus, names;
};

std::vector<serve::MetricFamily> facts(const std::vector<NvmlGpu>& gpus) {
  serve::MetricFamily build{.name = "batchscope_build",
                            .type = serve::MetricType::info,
                            .help = "the program",
                            .samples = {{.labels = {{"version", version_text()}}, .value = 1}}};
  serve::MetricFamily devices{.name = "batchscope_gpu", .type = serve::MetricType::info, .help = "the GPUs"};
  for (const NvmlGpu& gpu : gpus) {
    devices.samples.push_back({.labels = {{"gpu", std::to_string(gpu.gpu.index)},
                                          {"uuid", gpu.gpu.uuid},
                                          {"name", gpu.gpu.name},
                                          {"bus_id", gpu.gpu.bus_id},
                                          {"driver", gpu.library->driver_version().value_or("")}},
                               .value = 1});
  }
  return {std::move(build), std::move(devices)};
}

int serve_metrics(const ServeOptions& options) {
  const ListenAddress address = parse_listen_address(options.listen, "127.0.0.1:9464");
  SamplerOptions sampling{.period = parse_duration(options.period, "--period")};
  if (sampling.period < shortest_period)
    throw InputError("--period: {} is too short; the shortest is 1ms", options.period);
  if (!options.cpu_budget.empty()) sampling.cpu_budget = parse_cpu_budget(options.cpu_budget, "--cpu-budget");
  check_kinds(options.sources, "--sources");
  const InterruptFlag interrupt;
  MachineGpus gpus = machine_gpus(GpuChoice(options.gpus));
  if (are_gpus_expected())
    for (const nvml::Refusal& refusal : gpus.missing) warn(until_it_comes("sampled", refusal));
  auto sources = virtual_sources();
  for (auto& source : gpus.sources) sources.push_back(std::move(source));
  keep_kinds(sources, options.sources);
  if (sources.empty())
    throw InputError("--sources: this machine has none of {}; see batchscope doctor", fmt::join(options.sources, ", "));
  Live live(std::move(sources), sampling, gpus.late, options.sources);
  const auto facts_now = [&] {
    auto all = gpus.gpus;
    for (const NvmlGpu& gpu : gpus.late->gpus()) all.push_back(gpu);
    return facts(all);
  };
  serve::Server server(live, {.host = address.host,
                              .port = address.port,
                              .names = options.names,
                              .page_period = sampling.period,
                              .facts = facts_now});
  warn(fmt::format("listening on {}/metrics", address.url(server.port())));
  server.run(interrupt.flag());
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "serve this machine's counters to Prometheus over HTTP");
  command->add_option("--listen", options->listen, "address and port: 127.0.0.1:9464 (default); port 0: any")
      ->type_name("HOST:PORT");
  command
      ->add_option("--name", options->names,
                   "additional host names that clients may use; this machine's name and addresses always work")
      ->type_name("NAME,…")
      ->delimiter(',');
  command->add_option("--period", options->period, "time between readings: 1/6s (default) down to 1ms")
      ->type_name("TIME");
  command
      ->add_option("--sources", options->sources,
                   "only these kinds of sources, named as in record's summary: pcie,power,gpm")
      ->type_name("KIND,…")
      ->delimiter(',');
  add_gpus(*command, options->gpus);
  command
      ->add_option("--cpu-budget", options->cpu_budget,
                   "CPU time that sampling may take, in cores (0.1) or % of one (10%); default: 0.5 % of all CPUs, "
                   "5 % of one at least, and what main curves need")
      ->type_name("SHARE");
  command->footer(
      "Paths: /metrics (OpenMetrics; Prometheus' older text where Accept asks for it),\n"
      "/healthz (503 while a source does not answer), / (links). There is no password:\n"
      "listen beyond loopback only in a network that you trust. Ends with code 0 on\n"
      "Ctrl-C or SIGTERM.\n"
      "Example:\n"
      "  batchscope serve --listen 0.0.0.0:9464");
  command->callback([options, &exit_code] { exit_code = serve_metrics(*options); });
}

}  // namespace batchscope::cli
