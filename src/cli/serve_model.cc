// `batchscope serve-model`: our engine behind the API that OpenAI's clients speak (docs/serving.md).
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/listen_address.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/processes.h"
#include "comm/world.h"
#include "engine/live_requests.h"
#include "engine/local_engine.h"
#include "model/chat_template.h"
#include "model/model.h"
#include "openai/server.h"
#include "study/cell.h"
#include "study/environment.h"
#include "telemetry/marks/sink.h"

namespace batchscope::cli {
namespace {

constexpr std::int64_t usual_sequence_tokens = 2048, usual_prompt_tokens = 512;
constexpr rlim_t wanted_descriptors = 4096;
// Of a step that is underway when the program is to end; with the server's farewell less than a second.
constexpr auto longest_end = std::chrono::milliseconds(600);

struct ServeModelOptions {
  CellOptions cell;
  std::string listen = "127.0.0.1:8000", token_file, token_variable, model_name, sequence_tokens, queue = "1024";
  std::vector<std::string> names;
};

struct Served {
  ModelSource source;
  Placement placement;
  RunSettings settings;
  ModelConfig config;
  std::int64_t sequence_tokens, prompt_tokens;
};

Served served(const ServeModelOptions& options, World* world) {
  Served all{.source = options.cell.model_source(),
             .placement = placed({.placement = options.cell.placement()}, world).placement,
             .settings = options.cell.run_settings()};
  all.config = read_config(all.source);
  const std::int64_t longest = all.config.longest_input();
  all.sequence_tokens = options.sequence_tokens.empty()
                            ? std::min(longest, usual_sequence_tokens)
                            : parse_integer(options.sequence_tokens, 2, 1 << 30, "--max-tokens-per-sequence");
  if (all.sequence_tokens > longest)
    throw InputError("--max-tokens-per-sequence {}: {} was made for {}; ask for fewer", all.sequence_tokens,
                     all.config.name, longest);
  all.prompt_tokens = all.settings.batch_tokens.value_or(usual_prompt_tokens);
  return all;
}

// Connections have a descriptor each.
void allow_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted_descriptors) return;
  limit.rlim_cur = std::min(limit.rlim_max, wanted_descriptors);
  setrlimit(RLIMIT_NOFILE, &limit);
}

void run_engine(LocalEngine& engine, const Served& all, RequestSource& requests, PhaseSink* phases,
                const std::function<void()>& on_ready, const LocalEngine::StepSink& on_step) {
  engine.load(all.source, all.placement);
  engine.serve(requests, all.sequence_tokens, all.prompt_tokens, all.settings, phases, on_ready, on_step);
}

// The engine has this thread, which is the one that joined the other processes; HTTP has one of its own.
void serve_model(const ServeModelOptions& options, World* world) {
  const InterruptFlag interrupt;
  const Served all = served(options, world);
  LiveRequests requests({.replicas = static_cast<std::size_t>(all.placement.layout.replicas()),
                         .queue = static_cast<std::size_t>(parse_integer(options.queue, 1, 1'000'000, "--queue")),
                         .prompt_tokens = all.prompt_tokens});
  LocalEngine engine(monotonic_clock(), world);
  if (!speaks()) return run_engine(engine, all, requests, nullptr, {}, {});

  const ListenAddress address = parse_listen_address(options.listen, "127.0.0.1:8000");
  const auto tokenizer = open_tokenizer(all.source, all.config);
  const auto found = read_chat_template(all.source);
  const auto chat = found ? std::optional<openai::ChatFormat>(*found) : std::nullopt;
  const std::string name = options.model_name.empty() ? all.config.name : options.model_name;
  openai::Service service({.name = name,
                           .config = all.config,
                           .tokenizer = *tokenizer,
                           .chat = chat ? &*chat : nullptr,
                           .sequence_tokens = all.sequence_tokens,
                           .slots = all.settings.batch * all.placement.layout.replicas(),
                           .version = version_text()},
                          requests, monotonic_clock());
  allow_descriptors();
  openai::Server server(
      service, {.host = address.host,
                .port = address.port,
                .names = options.names,
                .token = http::BearerToken::from_flags(options.token_file, options.token_variable, "--token")});
  warn(fmt::format("loading {}; listening on {}", name, address.url(server.port())));

  std::atomic<bool> stop{false};
  std::promise<void> engine_ended;
  std::thread http([&, ended = engine_ended.get_future()] {
    server.run([&] { return stop || interrupt.flag(); });
    if (ended.wait_for(longest_end) == std::future_status::timeout) _exit(0);
  });
  const auto end = [&] {
    stop = true;
    engine_ended.set_value();
    http.join();
  };
  try {
    MarkSink phases;
    run_engine(
        engine, all, requests, &phases,
        [&] {
          server.post([](openai::Service& ready) { ready.set_ready(); });
          warn(fmt::format("serving {} on {}/v1: {} sequences at a time, of at most {} tokens", name,
                           address.url(server.port()), all.settings.batch * all.placement.layout.replicas(),
                           all.sequence_tokens));
        },
        [&](const GenerationStep& step, const StepOutput& output) {
          server.post([steps = openai::sequence_steps(step, output)](openai::Service& told) { told.take(steps); });
        });
  } catch (...) {
    end();
    throw;
  }
  end();
}

}  // namespace

void add_serve_model(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ServeModelOptions>();
  options->cell.value("batch") = "8";
  options->cell.value("fusion") = "on";
  CLI::App* command = app.add_subcommand("serve-model", "serve a model over HTTP, by OpenAI's API");
  options->cell.add(*command, {AxisGroup::model});
  command->add_option("--listen", options->listen, "address and port: 127.0.0.1:8000 (default); port 0: any")
      ->type_name("HOST:PORT");
  command
      ->add_option("--name", options->names,
                   "additional host names that clients may use; this machine's name and addresses always work")
      ->type_name("NAME");
  command
      ->add_option("--token-file", options->token_file,
                   "clients must send the bearer token in this file; it is read again for each request")
      ->type_name("FILE");
  command
      ->add_option("--token-variable", options->token_variable,
                   "clients must send the bearer token in this environment variable")
      ->type_name("NAME");
  command
      ->add_option("--model-name,--served-model-name", options->model_name,
                   "by which clients ask for the model (default: its folder's or file's)")
      ->type_name("NAME");
  command
      ->add_option(
          "--max-tokens-per-sequence", options->sequence_tokens,
          fmt::format(
              "maximum tokens of a request, generated ones included (default: the model's longest input, at most {})",
              usual_sequence_tokens))
      ->type_name("N");
  command->add_option("--queue", options->queue, "maximum requests that wait for a slot; others are refused with 429")
      ->type_name("N")
      ->capture_default_str();
  options->cell.add(*command, {AxisGroup::placement, AxisGroup::run, AxisGroup::setting});
  command->footer(
      "--batch is how many sequences each replica works on at a time, --batch-tokens\n"
      "how many prompt tokens it takes in at a time (default: 512, or one prompt).\n"
      "docs/serving.md says what requests may contain. Example:\n"
      "  batchscope serve-model --parallel tp2 --listen 127.0.0.1:8000");
  command->callback([options, &exit_code] {
    in_every_process([&](World* world) { serve_model(*options, world); });
    exit_code = 0;
  });
}

}  // namespace batchscope::cli
