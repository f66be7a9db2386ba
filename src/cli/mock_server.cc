// `batchscope mock-server`: a server of completions whose times and counts are known, to measure clients with.
#include "load/mock_server.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <string>

#include "base/file.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/listen_address.h"
#include "cli/output.h"
#include "http/script_server.h"
#include "report/text.h"

namespace batchscope::cli {
namespace {

struct MockServerOptions {
  std::string listen = "127.0.0.1:8000", model = "mock", ttft = "50ms", itl = "10ms", per_prompt_token = "0s",
              tokens_per_chunk = "1", slots = "0", queue = "0", scenario;
};

load::MockSettings settings_of(const MockServerOptions& options) {
  load::MockSettings settings{
      .model = options.model,
      .ttft = parse_duration(options.ttft, "--ttft"),
      .itl = parse_duration(options.itl, "--itl"),
      .per_prompt_token = parse_duration(options.per_prompt_token, "--per-prompt-token"),
      .tokens_per_chunk = parse_integer(options.tokens_per_chunk, 1, 1 << 20, "--tokens-per-chunk"),
      .slots = parse_integer(options.slots, 0, 1 << 20, "--slots"),
      .queue = parse_integer(options.queue, 0, 1 << 20, "--queue")};
  if (options.scenario.empty()) return settings;
  return load::parse_mock_settings(read_file(options.scenario), options.scenario, settings);
}

int serve_mock(const MockServerOptions& options) {
  const ListenAddress address = parse_listen_address(options.listen, "127.0.0.1:8000");
  const InterruptFlag interrupt;
  load::MockModel model(settings_of(options));
  http::ScriptServer server(
      {.host = address.host, .port = address.port}, "mock-server",
      [&](const http::Request& request, Nanoseconds now) { return model.answer(request, now); },
      [&](Nanoseconds by) { model.note_lateness(by); });
  warn(fmt::format("listening on {}/v1", address.url(server.port())));
  server.run(interrupt.flag());
  if (const auto late = model.lateness(0.99))
    warn(fmt::format("99 % of what was sent went out at most {} late", format_duration(*late)));
  return 0;
}

}  // namespace

void add_mock_server(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<MockServerOptions>();
  CLI::App* command =
      app.add_subcommand("mock-server", "serve completions at exact, known times, to measure clients with");
  const auto add = [&](const char* name, std::string& value, const char* help, const char* type) {
    command->add_option(name, value, help)->type_name(type);
  };
  add("--listen", options->listen, "address and port: 127.0.0.1:8000 (default); port 0: any", "HOST:PORT");
  add("--model", options->model, "name of its model (default: mock)", "NAME");
  add("--ttft", options->ttft, "from the whole request to the first token (default: 50ms)", "TIME");
  add("--itl", options->itl, "between tokens (default: 10ms)", "TIME");
  add("--per-prompt-token", options->per_prompt_token, "added to the first, for each token of the prompt", "TIME");
  add("--tokens-per-chunk", options->tokens_per_chunk,
      "tokens in a chunk, which goes out with the last of them; the first token goes alone (default: 1)", "N");
  add("--slots", options->slots, "answers at once; others wait in order (default: 0, any number)", "N");
  add("--queue", options->queue, "that wait at most; more get status 429 (default: 0, any number)", "N");
  add("--scenario", options->scenario, "JSON file with any of these settings, and faults", "FILE");
  command->footer(
      wrap(fmt::format("Faults of a scenario: {}.", fmt::join(load::mock_fault_words(), ", ")), terminal_columns, 2) +
      "\n"
      "Each is an object in \"faults\": {\"fault\": \"stall\", \"every\": 10, \"first\": 3,\n"
      "\"after_tokens\": 5}; docs/load.md explains them. Paths: /v1/models,\n"
      "/v1/completions (also echo and logprobs), /v1/chat/completions, /health, and\n"
      "/mock: what was served, and how late. Ends with code 0 on Ctrl-C or SIGTERM.\n"
      "Example:\n"
      "  batchscope mock-server --listen 127.0.0.1:0 --ttft 20ms --itl 5ms");
  command->callback([options, &exit_code] { exit_code = serve_mock(*options); });
}

}  // namespace batchscope::cli
