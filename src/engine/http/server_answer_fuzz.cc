// Any bytes as what a server answers: log-probabilities, an error, a page about itself, metrics.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "engine/http/continuation.h"
#include "engine/http/prefix_cache.h"
#include "engine/http/server_kind.h"
#include "http/error_words.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace batchscope;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto try_to = [](const auto& read) {
    try {
      read();
    } catch (const Error& error) {
      CHECK_THAT(std::string_view(error.what()).size() > 0, "an error says something");
    }
  };
  const ScoreRequest request{.tokens = {1, 450, 7483}, .scored = 1, .context = "The", .continuation = " capital"};
  for (const ScoringForm form : {ScoringForm::echo, ScoringForm::prompt_logprobs, ScoringForm::generate})
    try_to([&] {
      const PromptScores scores = read_prompt_scores(form, text);
      for (const bool sends_tokens : {true, false})
        try_to([&] { score_continuation({.form = form, .sends_tokens = sends_tokens}, request, scores); });
    });
  http::error_words(text);
  ServerPages pages;
  for (const char* path : {"/v1/models", "/version", "/get_model_info", "/props", "/info", "/openapi.json"})
    pages[path] = {200, "", std::string(text)};
  CHECK_THAT(!recognise(pages).name().empty(), "a server has a name");
  constexpr std::string_view names[] = {"vllm:prefix_cache_hits_total"};
  sum_of_series(text, names);
  return 0;
}
