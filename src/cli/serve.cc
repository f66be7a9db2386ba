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
#include "cli/interrupt.h"
#include "cli/output.h"
#include "serve/server.h"
#include "study/environment.h"
#include "telemetry/recording.h"
#include "telemetry/sources/nvml.h"

namespace batchscope::cli {
namespace {

struct ServeOptions {
  std::string listen = "127.0.0.1:9464", period = "1/6s", cpu_budget;
  std::vector<std::string> sources;
};

// "127.0.0.1:9464", "[::1]:9464", "localhost:0".
std::pair<std::string, int> parse_address(const std::string& text) {
  const auto colon = text.rfind(':');
  std::string host = text.substr(0, colon == std::string::npos ? 0 : colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || (!bracketed && host.find(':') != std::string::npos))
    throw InputError("--listen: '{}' is not HOST:PORT, for example 127.0.0.1:9464 or [::1]:9464", text);
  return {host, static_cast<int>(parse_integer(text.substr(colon + 1), 0, 65535, "--listen: the port"))};
}

std::vector<serve::MetricFamily> facts() {
  serve::MetricFamily build{.name = "batchscope_build",
                            .type = serve::MetricType::info,
                            .help = "the program",
                            .samples = {{.labels = {{"version", version_text()}}, .value = 1}}};
  serve::MetricFamily devices{.name = "batchscope_gpu", .type = serve::MetricType::info, .help = "the GPUs"};
  for (const NvmlGpu& gpu : nvml_gpus()) {
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
  const auto [host, port] = parse_address(options.listen);
  SamplerOptions sampling{.period = parse_duration(options.period, "--period")};
  if (sampling.period < shortest_period)
    throw InputError("--period: {} is too short; the shortest is 1ms", options.period);
  if (!options.cpu_budget.empty()) sampling.cpu_budget = parse_share(options.cpu_budget, "--cpu-budget");
  check_kinds(options.sources, "--sources");
  const InterruptFlag interrupt;
  auto sources = machine_sources();
  keep_kinds(sources, options.sources);
  if (sources.empty())
    throw InputError("--sources: this machine has nothing of {}; see batchscope doctor",
                     fmt::join(options.sources, ", "));
  Live live(std::move(sources), sampling);
  serve::Server server(live, {.host = host, .port = port, .page_period = sampling.period, .facts = facts()});
  const bool is_v6 = host.find(':') != std::string::npos;
  warn(fmt::format("listening on http://{}:{}/metrics", is_v6 ? "[" + host + "]" : host, server.port()));
  server.run(interrupt.flag());
  return 0;
}

}  // namespace

void add_serve(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ServeOptions>();
  CLI::App* command = app.add_subcommand("serve", "this machine's counters for Prometheus, over HTTP");
  command->add_option("--listen", options->listen, "address and port: 127.0.0.1:9464 (default); port 0: any")
      ->type_name("HOST:PORT");
  command->add_option("--period", options->period, "time between readings: 1/6s (default) down to 1ms")
      ->type_name("TIME");
  command->add_option("--sources", options->sources, "only these, as record's summary names them: pcie,power,gpm")
      ->type_name("KIND,…")
      ->delimiter(',');
  command->add_option("--cpu-budget", options->cpu_budget, "CPU time that sampling may take, of one core: 3% (default)")
      ->type_name("SHARE");
  command->footer(
      "Paths: /metrics (OpenMetrics; Prometheus' older text where Accept asks for it),\n"
      "/healthz (503 while a source does not answer), / (links). It serves everyone who\n"
      "reaches the address, without a password: other than loopback only in a network\n"
      "that you trust. Ends with code 0 on Ctrl-C or SIGTERM.\n"
      "Example:\n"
      "  batchscope serve --listen 0.0.0.0:9464");
  command->callback([options, &exit_code] { exit_code = serve_metrics(*options); });
}

}  // namespace batchscope::cli
