// `batchscope load`: puts an inference server under load and says what its users would have waited for.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/json_option.h"
#include "cli/output.h"
#include "cli/values.h"
#include "load/client_check.h"
#include "load/metrics.h"
#include "load/runner.h"
#include "load/server_models.h"
#include "report/load_report.h"
#include "store/store.h"
#include "study/environment.h"
#include "task/arrivals.h"
#include "task/trace_formats.h"
#include "task/workload.h"
#include "telemetry/recording.h"
#include "telemetry/sources/scrape.h"

namespace batchscope::cli {
namespace {

constexpr std::int64_t most_requests = 1'000'000, most_at_once = 10'000, most_prompt_tokens = 1 << 20;
constexpr std::int64_t most_tokens_of_prompts = 1 << 28;  // 1 GiB
constexpr Nanoseconds lead = std::chrono::milliseconds(100);
constexpr Nanoseconds between_writes = std::chrono::seconds(1), scrape_period = std::chrono::seconds(1);

constexpr std::array<std::string_view, 2> api_words{"completions", "chat"}, prompt_words{"ids", "text"},
    late_words{"catch-up", "shift"};

// As on the command line.
struct LoadOptions {
  std::string url, model, api = "completions", prompts, rate, burstiness = "1", ramp_to, together = "1", concurrency,
                          late = "catch-up", requests, duration, prompt_tokens = "128", output_tokens = "128",
                          vocabulary = "8192", trace, trace_format, trace_speed = "1", sessions, think = "0s",
                          seed = "0", slo, warm_up = "auto", retries = "0", token_file, token_variable, authorities,
                          scrape, extra, connect_timeout = "5s", first_byte_timeout = "5min", stall_timeout = "1min",
                          timeout = "30min", client_check = "1s", output;
  bool no_stream = false, plain = false, overwrite = false;
  JsonOption json;
};

// The same, parsed and checked.
struct LoadPlan {
  load::Endpoint endpoint{};
  load::RunOptions run{};
  std::vector<load::Request> requests{};
  std::vector<load::SloTerm> slo{};
  std::optional<std::int64_t> warm_up{};
  Nanoseconds client_check{0};
  std::uint64_t seed = 0;
  std::string shape{};    // in words
  std::string metrics{};  // where the server's are; "": nowhere
};

std::size_t place_of(const std::string& word, std::span<const std::string_view> words, std::string_view what) {
  const auto found = std::find(words.begin(), words.end(), word);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  throw InputError("{}: {} is not one of {}", what, quote(word), fmt::join(words, ", "));
}

load::Endpoint endpoint_of(const LoadOptions& options) {
  if (options.url.empty()) throw InputError("load: name the server's API, for example http://localhost:8000/v1");
  load::Endpoint endpoint{.url = http::parse_url(options.url, "load"),
                          .api = static_cast<load::Api>(place_of(options.api, api_words, "--api")),
                          .model = options.model,
                          .streams = !options.no_stream,
                          .only_standard_fields = options.plain,
                          .authorities = options.authorities};
  endpoint.token = http::BearerToken::from_flags(options.token_file, options.token_variable, "--token");
  if (!options.extra.empty()) {
    endpoint.extra = parse_json(options.extra, "--extra");
    if (!endpoint.extra.is_object())
      throw InputError("--extra: a JSON object expected, for example {}", R"({"top_k":1})");
  }
  return endpoint;
}

load::RunOptions run_options(const LoadOptions& options) {
  const auto limit = [](const std::string& text, std::string_view flag) {
    const Nanoseconds time = parse_duration(text, flag);
    if (time <= Nanoseconds(0)) throw InputError("{}: a time above 0 expected", flag);
    return time;
  };
  load::RunOptions run{.late = static_cast<load::LateRequests>(place_of(options.late, late_words, "--late")),
                       .limits = {.connecting = limit(options.connect_timeout, "--connect-timeout"),
                                  .first_byte = limit(options.first_byte_timeout, "--first-byte-timeout"),
                                  .between_bytes = limit(options.stall_timeout, "--stall-timeout"),
                                  .whole = limit(options.timeout, "--timeout")},
                       .retries = parse_integer(options.retries, 0, 100, "--retries")};
  if (!options.concurrency.empty())
    run.concurrency = parse_integer(options.concurrency, 1, most_at_once, "--concurrency");
  if (!options.duration.empty()) run.duration = limit(options.duration, "--duration");
  return run;
}

// Arrivals that no schedule says: requests go out as soon as the cap lets them.
std::optional<ArrivalProcess> arrivals_of(const LoadOptions& options) {
  if (options.rate.empty()) {
    if (options.burstiness != "1" || !options.ramp_to.empty() || options.together != "1")
      throw InputError("--burstiness, --ramp-to and --together are of --rate; give that, too");
    return std::nullopt;
  }
  ArrivalProcess process{.rate = parse_number(options.rate, 1e-6, 1e6, "--rate"),
                         .together = parse_integer(options.together, 1, most_requests, "--together")};
  process.burstiness =
      options.burstiness == "constant" ? constant_rate : parse_number(options.burstiness, 1e-3, 1e6, "--burstiness");
  if (!options.ramp_to.empty()) process.last_rate = parse_number(options.ramp_to, 1e-6, 1e6, "--ramp-to");
  return process;
}

std::string shape_text(const ArrivalProcess& process) {
  std::string text = process.burstiness == constant_rate ? "constant rate of "
                     : process.burstiness == 1           ? "Poisson arrivals, "
                                               : fmt::format("gamma arrivals of burstiness {:g}, ", process.burstiness);
  text += fmt::format("{:g}/s", process.rate);
  if (process.last_rate) text += fmt::format(" to {:g}/s", *process.last_rate);
  if (process.together > 1) text += fmt::format(", {} at a time", process.together);
  return text;
}

// Plain English words, of which tokenizers make about a token each; the server's usage says how many.
std::string draw_text(std::int64_t words, std::mt19937_64& random) {
  constexpr std::array<std::string_view, 32> known{
      "the",  "of",   "and",  "to",    "in",    "is",   "was",    "for",   "on",    "that",  "with",
      "as",   "by",   "at",   "from",  "time",  "year", "people", "water", "city",  "house", "day",
      "hand", "part", "life", "world", "night", "road", "book",   "river", "stone", "light"};
  std::string text;
  for (std::int64_t i = 0; i < words; ++i)
    text += fmt::format("{}{}", i == 0 ? "" : " ", known[random() % known.size()]);
  return text;
}

class PromptMaker {
 public:
  PromptMaker(const LoadOptions& options, load::Api api, std::uint64_t seed)
      : random_(seed), vocabulary_(parse_integer(options.vocabulary, 8, INT32_MAX, "--vocabulary")) {
    const std::string form = options.prompts.empty() ? (api == load::Api::chat ? "text" : "ids") : options.prompts;
    sends_ids_ = place_of(form, prompt_words, "--prompts") == 0;
    if (sends_ids_ && api == load::Api::chat)
      throw InputError("--prompts ids: a chat takes no token ids; use --prompts text, or --api completions");
  }

  load::Prompt draw(std::int64_t tokens) {
    if ((all_ += tokens) > most_tokens_of_prompts)
      throw InputError("the prompts have more than {} tokens in total; ask for fewer requests", most_tokens_of_prompts);
    if (!sends_ids_) return {.text = draw_text(tokens, random_)};
    load::Prompt prompt;
    // The first eighth of a vocabulary holds bytes and what means something to a server.
    const std::int64_t low = vocabulary_ / 8;
    for (std::int64_t i = 0; i < tokens; ++i)
      prompt.tokens.push_back(static_cast<std::int32_t>(
          low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(vocabulary_ - low))));
    return prompt;
  }

 private:
  std::mt19937_64 random_;
  std::int64_t vocabulary_, all_ = 0;
  bool sends_ids_ = true;
};

// A time alone ends the run: more requests than it can need.
std::int64_t enough_for_a_duration(const LoadOptions& options) {
  constexpr double most_drawn = 100'000;
  if (options.rate.empty()) return static_cast<std::int64_t>(most_drawn);
  const double rate = parse_number(options.rate, 1e-6, 1e6, "--rate");
  const double expected = rate * to_seconds(parse_duration(options.duration, "--duration"));
  return static_cast<std::int64_t>(std::min(std::ceil(2 * expected) + 100, static_cast<double>(most_requests)));
}

std::vector<RequestOutline> outlines_of(const LoadOptions& options, std::uint64_t seed) {
  Workload workload{.trace = options.trace, .trace_format = options.trace_format};
  workload.trace_speed = parse_number(options.trace_speed, 1e-6, 1e6, "--trace-speed");
  workload.sampling.seed = seed;
  std::optional<std::int64_t> count;
  if (!options.requests.empty()) count = parse_integer(options.requests, 1, most_requests, "--requests");
  if (!options.trace.empty()) {
    if (!options.rate.empty() || !options.sessions.empty())
      throw InputError("--trace says when requests arrive; leave out --rate and --sessions (--trace-speed changes it)");
    return read_trace(workload, count);
  }
  if (!options.trace_format.empty() || workload.trace_speed != 1)
    throw InputError("--trace-format and --trace-speed are of --trace FILE; give that, too");
  workload.prompt_tokens = parse_integer(options.prompt_tokens, 1, most_prompt_tokens, "--prompt-tokens");
  workload.output_tokens = parse_integer(options.output_tokens, 1, most_output_tokens, "--output-tokens");
  workload.requests = count.value_or(options.duration.empty() ? default_requests : enough_for_a_duration(options));
  return draw_requests(workload);
}

void add_requests(LoadPlan& plan, const LoadOptions& options) {
  const auto process = arrivals_of(options);
  std::vector<RequestOutline> outlines = outlines_of(options, plan.seed);
  PromptMaker prompts(options, plan.endpoint.api, plan.seed);
  const auto count = std::ssize(outlines);
  std::optional<std::int64_t> sessions;
  if (!options.sessions.empty()) sessions = parse_integer(options.sessions, 1, most_requests, "--sessions");
  const Nanoseconds think = parse_duration(options.think, "--think");
  if (!sessions && think > Nanoseconds(0))
    throw InputError("--think is the pause within a session; give --sessions, too");
  std::vector<Nanoseconds> arrivals;
  if (process) arrivals = draw_arrivals(*process, sessions ? std::min(*sessions, count) : count, plan.seed);
  std::vector<load::Prompt> history(static_cast<std::size_t>(sessions.value_or(0)));
  for (std::int64_t i = 0; i < count; ++i) {
    RequestOutline& outline = outlines[static_cast<std::size_t>(i)];
    load::Request request{.id_json = outline.id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace),
                          .output_tokens = std::max<std::int64_t>(outline.output_tokens, 1)};
    if (outline.output)  // a text as long as the output: some four characters a token
      request.output_tokens = std::max<std::int64_t>(std::ssize(*outline.output) / 4, 1);
    request.prompt = outline.prompt ? load::Prompt{.text = *outline.prompt} : prompts.draw(outline.prompt_tokens);
    if (sessions) {
      request.session = i % *sessions;
      request.think = think;
      // A turn begins with what the session has said before it.
      load::Prompt& before = history[static_cast<std::size_t>(*request.session)];
      before.tokens.insert(before.tokens.end(), request.prompt.tokens.begin(), request.prompt.tokens.end());
      before.text += (before.text.empty() || request.prompt.text.empty() ? "" : " ") + request.prompt.text;
      request.prompt = before;
    }
    const bool begins = !sessions || i < *sessions;
    if (process && begins) request.arrival = arrivals[static_cast<std::size_t>(i)];
    if (!options.trace.empty()) request.arrival = outline.arrival;
    plan.requests.push_back(std::move(request));
  }
  if (!options.trace.empty())
    plan.shape =
        fmt::format("trace {}{}", options.trace, options.trace_speed == "1" ? "" : " at " + options.trace_speed + "x");
  else
    plan.shape = process ? shape_text(*process) : "closed loop";
  if (sessions) plan.shape += fmt::format(", {} sessions with {} between turns", *sessions, format_duration(think));
  // Nothing else would hold a closed loop back; sessions hold themselves back.
  if (!plan.run.concurrency && !process && options.trace.empty()) plan.run.concurrency = sessions.value_or(1);
  if (plan.run.concurrency) plan.shape += fmt::format(", at most {} at once", *plan.run.concurrency);
  if (plan.run.concurrency && (process || !options.trace.empty()))
    plan.shape += plan.run.late == load::LateRequests::catch_up ? " (late requests catch up)"
                                                                : " (late requests shift the schedule)";
  if (options.requests.empty() && !options.duration.empty() && options.trace.empty()) {
    if (!options.ramp_to.empty()) throw InputError("--ramp-to is reached at the last request; give --requests");
    plan.shape = fmt::format("for {}, {}", format_duration(*plan.run.duration), plan.shape);
  } else {
    plan.shape = fmt::format("{} requests, {}", format_count(count), plan.shape);
  }
}

LoadPlan plan_of(const LoadOptions& options) {
  LoadPlan plan{.endpoint = endpoint_of(options), .run = run_options(options)};
  plan.seed = static_cast<std::uint64_t>(parse_integer(options.seed, 0, INT64_MAX, "--seed"));
  if (!options.slo.empty()) plan.slo = load::parse_slo(options.slo, "--slo");
  if (options.warm_up != "auto") plan.warm_up = parse_integer(options.warm_up, 0, most_requests, "--warm-up");
  plan.client_check = parse_duration(options.client_check, "--client-check");
  plan.metrics = options.scrape.empty() ? metrics_url_beside(plan.endpoint.url) : options.scrape;
  if (plan.metrics == "none")
    plan.metrics.clear();
  else
    http::parse_url(plan.metrics, "--scrape");
  add_requests(plan, options);
  return plan;
}

nlohmann::json spec_of(const LoadPlan& plan, const LoadOptions& options,
                       const std::optional<load::ClientCheck>& check) {
  const auto given = [](const std::string& text) { return text.empty() ? nlohmann::json() : nlohmann::json(text); };
  return {
      // a path may hold a secret
      {"url", plan.endpoint.url.origin()},
      {"model", plan.endpoint.model},
      {"api", options.api},
      {"streams", plan.endpoint.streams},
      {"only_standard_fields", plan.endpoint.only_standard_fields},
      {"extra", plan.endpoint.extra},
      {"shape", plan.shape},
      {"rate", given(options.rate)},
      {"burstiness", options.burstiness},
      {"ramp_to", given(options.ramp_to)},
      {"together", options.together},
      {"concurrency", plan.run.concurrency ? nlohmann::json(*plan.run.concurrency) : nlohmann::json()},
      {"late", options.late},
      {"duration", given(options.duration)},
      {"prompt_tokens", options.trace.empty() ? nlohmann::json(options.prompt_tokens) : nlohmann::json()},
      {"output_tokens", options.trace.empty() ? nlohmann::json(options.output_tokens) : nlohmann::json()},
      {"trace", given(options.trace)},
      {"trace_speed", options.trace_speed},
      {"sessions", given(options.sessions)},
      {"think", options.think},
      {"seed", plan.seed},
      {"retries", plan.run.retries},
      {"slo", load::slo_text(plan.slo)},
      {"slo_terms", options.slo},
      {"warm_up", plan.warm_up ? nlohmann::json(static_cast<std::uint64_t>(*plan.warm_up)) : nlohmann::json("auto")},
      {"client", check ? load::to_json(*check) : nlohmann::json()}};
}

// Where the run's records go: to the file as they come, where there is one, beside what the server says of itself.
class Log {
 public:
  explicit Log(const LoadOptions& options) {
    if (options.output.empty()) return;
    store_.emplace(options.output, options.overwrite ? OpenMode::replace : OpenMode::create);
    run_.session = store_->begin_session("load");
    store_->set_environment(run_.session, environment());
  }

  void begin(const LoadPlan& plan, nlohmann::json spec) {
    run_.spec_json = spec.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (store_ && !plan.metrics.empty()) {
      std::vector<std::unique_ptr<Source>> sources;
      sources.push_back(scrape_source(plan.metrics, scrape_period,
                                      {.token = plan.endpoint.token, .authorities = plan.endpoint.authorities}));
      recording_.emplace(std::move(sources), SamplerOptions(), &*store_, run_.session);
      recording_->wait_for_rows();  // how things stand before the first request
    }
    run_.begin = monotonic_clock().now() + lead;
    if (store_) run_.id = store_->add_load_run(run_);
  }
  Nanoseconds run_begin() const { return run_.begin; }
  void add(LoadRequestRecord record) {
    records_.push_back(std::move(record));
    if (const Nanoseconds now = monotonic_clock().now(); now >= next_write_) {
      next_write_ = now + between_writes;
      write();
    }
  }
  LoadReport end() {
    write();
    if (recording_) recording_->stop();
    const auto error = recording_ ? recording_->write_error() : std::nullopt;
    recording_.reset();
    store_.reset();
    if (error) throw Failure("{}", *error);
    std::sort(records_.begin(), records_.end(),
              [](const LoadRequestRecord& a, const LoadRequestRecord& b) { return a.position < b.position; });
    return make_load_report(run_, std::move(records_));
  }

 private:
  void write() {
    if (store_) store_->add_load_requests(run_.id, std::span(records_).subspan(written_));
    written_ = records_.size();
  }

  std::optional<StoreWriter> store_{};
  std::optional<Recording> recording_{};  // writes to the store until it ends
  LoadRunRecord run_{};
  std::vector<LoadRequestRecord> records_{};
  std::size_t written_ = 0;
  Nanoseconds next_write_{0};
};

std::optional<load::ClientCheck> check_client(const LoadPlan& plan, const std::atomic<bool>& stop) {
  if (plan.client_check == Nanoseconds(0)) return std::nullopt;
  const auto check = load::check_client(plan.client_check, stop);
  if (check)
    warn(fmt::format("the client adds ≤ {:.0f} µs to a TTFT (p99), up to {} requests/s", check->added_ttft_p99_us,
                     format_count(static_cast<std::int64_t>(check->requests_per_s))));
  return check;
}

// Small models have fewer tokens than the prompts are drawn from.
std::string hint_of(const LoadPlan& plan, const LoadOptions& options, const load::LoadSummary& summary) {
  const bool has_drawn_ids = options.trace.empty() && !plan.requests.front().prompt.tokens.empty();
  if (!has_drawn_ids || (!summary.outcomes.contains("http_400") && !summary.outcomes.contains("http_422"))) return "";
  return fmt::format("; if the model's vocabulary is smaller than {} tokens, --vocabulary says how large it is, and "
                     "--prompts text sends words",
                     options.vocabulary);
}

int run_load(LoadOptions& options) {
  std::string no_input = "-";
  options.json.settle(no_input);
  if (!options.output.empty()) {
    check_store_name(options.output, "-o");
    check_destination(options.output, "-o");
  }
  LoadPlan plan = plan_of(options);
  if (plan.endpoint.model.empty()) {
    const auto models = load::server_models(plan.endpoint);
    if (models.empty()) throw InputError("the server lists no model; name one with --model");
    plan.endpoint.model = models.front();
  }
  const InterruptFlag interrupt;
  Log log(options);
  const auto check = check_client(plan, interrupt.flag());
  log.begin(plan, spec_of(plan, options, check));
  const bool is_whole = load::run_requests(
      plan.endpoint, plan.requests, log.run_begin(), plan.run,
      [&](load::Answer answer) { log.add(std::move(answer.record)); }, interrupt.flag());
  const LoadReport report = log.end();
  options.json.put([&] { return to_text(std::span(&report, 1), stdout_has_colour()); },
                   [&] { return to_json(std::span(&report, 1)); });
  if (!is_whole) throw Interrupted("interrupted; what was answered until then is reported");
  if (report.summary.answered == 0)
    throw Failure("no request was answered; the outcomes above say why{}", hint_of(plan, options, report.summary));
  return static_cast<int>(ExitCode::ok);
}

}  // namespace

void add_load(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<LoadOptions>();
  CLI::App* command = app.add_subcommand("load", "put an inference server under load and measure its answers");
  const auto add = [&](const char* names, std::string& value, const char* help, const char* type) {
    return command->add_option(names, value, help)->type_name(type);
  };
  add("url", options->url, "of an OpenAI-compatible API, for example http://localhost:8000/v1", "URL");
  add("--model", options->model, "name of the model (default: the first that the server lists)", "NAME");
  set_values(*add("--api", options->api, "completions (default) | chat", "API"), api_words);
  add("--rate,--arrival-rate", options->rate, "requests per second; without it, as fast as --concurrency lets them go",
      "RATE");
  add("--burstiness", options->burstiness,
      "shape of the gamma distribution of gaps: 1 (default) is Poisson, less is burstier; constant: no spread",
      "NUMBER");
  add("--ramp-to", options->ramp_to, "rate at the last request, reached in a straight line", "RATE");
  add("--together", options->together, "requests that arrive at the same instant: bursts (default: 1)", "N");
  add("--concurrency", options->concurrency, "requests at once, at most (default: 1, with a schedule any number)", "N");
  set_values(
      *add("--late", options->late,
           "what --concurrency holds back: catch-up (default) goes out as soon as it may, shift moves the rest of "
           "the schedule",
           "WORD"),
      late_words);
  add("--requests", options->requests, "how many (default: 100, of a trace all)", "N");
  add("--duration", options->duration, "send nothing later than this", "TIME");
  add("--prompt-tokens", options->prompt_tokens, "length of prompts, which are drawn (default: 128)", "N");
  add("--output-tokens", options->output_tokens, "tokens to generate for each (default: 128)", "N");
  set_values(*add("--prompts", options->prompts,
                  "ids: random token ids (default of completions) | text: random English words", "FORM"),
             prompt_words);
  add("--vocabulary", options->vocabulary, "token ids are below this (default: 8192)", "N");
  add("--trace", options->trace,
      "requests with lengths or prompts and arrival times, one JSON object per line, or in the format of Azure, "
      "BurstGPT, "
      "Mooncake, Bailian, vLLM or ShareGPT",
      "FILE");
  set_values(*add("--trace-format", options->trace_format, "how the trace is written (default: detected)", "FORMAT"),
             trace_format_words);
  add("--trace-speed", options->trace_speed, "how many times faster the trace's requests arrive (default: 1)",
      "NUMBER");
  add("--sessions", options->sessions,
      "users whose requests follow one another, each prompt continuing the one before it", "N");
  add("--think", options->think, "pause of a session between an answer and its next request (default: 0s)", "TIME");
  add("--seed", options->seed, "of prompts and arrivals (default: 0)", "N");
  add("--slo", options->slo, "what counts as goodput: ttft=200ms,tpot=30ms", "METRIC=TIME,…");
  add("--warm-up", options->warm_up,
      "first requests that are left out of the figures; auto (default): found by a change point", "N");
  command->add_flag("--no-stream", options->no_stream, "ask for whole answers; their TTFT is unknown");
  command->add_flag("--plain", options->plain,
                    "only OpenAI's own fields, without ignore_eos, min_tokens, return_token_ids and running usage");
  add("--extra", options->extra, "more fields of each request, as a JSON object", "JSON");
  add("--token-file", options->token_file, "send the bearer token in this file; it is read again for each request",
      "FILE");
  add("--token-variable", options->token_variable, "send the bearer token in this environment variable", "NAME");
  add("--authorities", options->authorities, "certificates in PEM to trust instead of the system's", "FILE");
  add("--connect-timeout", options->connect_timeout, "for a connection (default: 5s)", "TIME");
  add("--first-byte-timeout", options->first_byte_timeout, "for the first byte of an answer (default: 5min)", "TIME");
  add("--stall-timeout", options->stall_timeout, "between bytes of an answer (default: 1min)", "TIME");
  add("--timeout", options->timeout, "for a whole request (default: 30min)", "TIME");
  add("--retries", options->retries,
      "of a request that met no connection, a reset, 429 or 503 (default: 0); they are counted", "N");
  add("--client-check", options->client_check,
      "time in which the client first measures itself against a mock server; 0s: not (default: 1s)", "TIME");
  add("-o,--output", options->output, "every request with its instants, chunks and outcome", "FILE.bscope");
  add("--scrape", options->scrape,
      "the server's metrics, which go to the file of -o each second (default: its /metrics; none: not)", "URL");
  command->add_flag("--overwrite", options->overwrite, "replace the file of -o");
  options->json.add(*command, "the figures, unrounded, as JSON");
  command->footer(
      "docs/load.md has the formulas. A run whose client could not keep up is reported\n"
      "as NOT VALID. Code 4 when no request was answered.\n"
      "Examples:\n"
      "  batchscope load http://localhost:8000/v1 --rate 10 --requests 100 \\\n"
      "      -o load.bscope\n"
      "  batchscope load http://localhost:8000/v1 --concurrency 32 --requests 100 \\\n"
      "      --slo ttft=200ms,tpot=30ms");
  command->callback([options, &exit_code] { exit_code = run_load(*options); });
}

}  // namespace batchscope::cli
