// Questions with one right choice, and the task files they are read from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

struct Question {
  nlohmann::json id;  // integer or string, as the file has it
  std::string context;
  std::vector<std::string> choices;  // at least two
  std::int64_t gold = 0;
  std::string delimiter = " ";  // stands between context and choice
  // Instead of texts: tokens of the context, then of the context with each choice. Which tokens they are is drawn.
  std::vector<std::int64_t> lengths = {};
};

// A JSON-lines file: HellaSwag's raw form (fields ind, activity_label, ctx_a, ctx_b, endings, label), {id, context,
// choices, gold, delimiter?}, or, where only time, traffic and memory matter, {id, tokens: [context, whole_0, …], gold?}.
// InputError names file, line, field. `limit` keeps the first lines only.
std::vector<Question> read_questions(const std::filesystem::path& path, std::optional<std::int64_t> limit = {});
std::vector<Question> parse_questions(std::string_view text, std::string_view origin,
                                      std::optional<std::int64_t> limit = {});

}  // namespace batchscope
