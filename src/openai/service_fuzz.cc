// Fuzz target: what a client may send to `serve-model`, from bytes to answers, without sockets and with an engine that
// draws its tokens. Whatever it is, every request gets one answer, all of JSON, and nothing is left when the clients
// have gone. The first byte is the size of the pieces, the second what the engine and the clients do.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "http/host_names.h"
#include "http/reader.h"
#include "model/model.h"
#include "openai/service.h"

using namespace batchscope;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

struct Client : http::Reply {
  bool is_answered = false, is_stream = false, leaves = false;
  std::function<void()> gone{};

  void send(http::Page page) override {
    check(!is_answered && !is_stream && (page.status == 200 || page.status >= 500));
    check(nlohmann::json::accept(*page.body));
    is_answered = true;
  }
  void begin(std::string_view) override {
    check(!is_stream);
    is_stream = true;
  }
  void write(std::string_view piece) override {
    check(is_stream && !is_answered);
    check(piece == openai::last_event || (piece.starts_with("data: ") && nlohmann::json::accept(piece.substr(6))));
    if (leaves) leave();  // as one that is cut, in the midst of a step
  }
  void end() override {
    check(is_stream && !is_answered);
    is_answered = true;
  }
  void when_gone(std::function<void()> told) override { gone = std::move(told); }

  void leave() {
    if (const auto told = std::exchange(gone, {}); told && !is_answered) told();
  }
};

struct Served {
  const ModelConfig config = read_config({});
  const std::unique_ptr<Tokenizer> tokenizer = open_tokenizer({}, config);
  const openai::ChatFormat chat{
      {.source = "{% for m in messages %}{{ m.role ~ m.content }}{{ m | tojson }}{% endfor %}"}};
  const http::HostNames names{"127.0.0.1", {}};
};

// Gives everything that is admitted a token.
class RandomEngine {
 public:
  RandomEngine(LiveRequests& requests, const ModelConfig& config, std::mt19937& random)
      : requests_(requests), vocabulary_(static_cast<std::uint32_t>(config.vocabulary)), random_(random) {}

  void step(openai::Service& service) {
    auto taken = requests_.take(0, slots - std::min(slots, active_.size()), true);
    std::erase_if(active_, [&](const NumberedRequest& one) {
      return std::find(taken.cancelled.begin(), taken.cancelled.end(), one.number) != taken.cancelled.end();
    });
    std::move(taken.admitted.begin(), taken.admitted.end(), std::back_inserter(active_));
    std::vector<openai::SequenceStep> steps;
    for (NumberedRequest& one : active_) {
      auto& made = steps.emplace_back(openai::SequenceStep{.number = one.number, .token = draw()});
      made.is_failed = random_() % 256 == 0;
      if (one.request.prompt_log_probabilities)
        for (const std::int32_t token : std::exchange(one.request.prompt, {})) {
          made.prompt.push_back(draw());
          made.prompt.back().token = token;
        }
      --one.request.new_tokens;
    }
    std::erase_if(active_, [](const NumberedRequest& one) { return one.request.new_tokens == 0; });
    service.take(steps);
  }

  static constexpr std::size_t slots = 4;

 private:
  openai::LogProbability draw() {
    const auto token = static_cast<std::int32_t>(random_() % vocabulary_);
    return {.token = token, .own = -1.5, .top_token = token / 2, .top = -0.5};
  }

  LiveRequests& requests_;
  const std::uint32_t vocabulary_;
  std::mt19937& random_;
  std::vector<NumberedRequest> active_{};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Served served;
  if (size < 2) return 0;
  const std::size_t piece = static_cast<std::size_t>(data[0]) * 16 + 1;
  std::mt19937 random(data[1]);
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);

  LiveRequests requests({.queue = 32, .prompt_tokens = 512});
  ManualClock clock;
  openai::Service service({.name = "tiny",
                           .config = served.config,
                           .tokenizer = *served.tokenizer,
                           .chat = &served.chat,
                           .sequence_tokens = 64,
                           .slots = RandomEngine::slots,
                           .version = "1"},
                          requests, clock);
  service.set_ready();
  http::RequestReader reader({.body_bytes = 64 << 10});
  std::vector<std::shared_ptr<Client>> clients;
  RandomEngine engine(requests, served.config, random);

  while (!bytes.empty()) {
    http::Progress progress = reader.take(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    for (; progress == http::Progress::complete; progress = reader.next()) {
      const http::Request& request = reader.request();
      if (!served.names.admit(request)) continue;
      const auto client = std::make_shared<Client>();
      client->leaves = random() % 16 == 0;
      if (const auto page = service.answer(request, client)) {
        check(!client->is_stream && page->status >= 200 && page->status != 500);
        check(page->content_type != "application/json" || nlohmann::json::accept(*page->body));
        service.count_answer(request.path(), page->status);
      } else {
        clients.push_back(client);
      }
    }
    if (progress == http::Progress::refused) break;
    if (random() % 16 == 0 && !clients.empty()) clients[random() % clients.size()]->leave();
    if (random() % 4 == 0) engine.step(service);
  }
  // All is answered, or some of it is broken off.
  for (std::uint32_t left = random() % 4 == 0 ? random() % 64 : 4096; left > 0 && !service.is_idle(); --left)
    engine.step(service);
  service.end();
  check(service.is_idle());
  for (const auto& client : clients) check(client->is_answered || !client->gone);
  return 0;
}
