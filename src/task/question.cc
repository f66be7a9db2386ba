// Task files: HellaSwag's raw lines, and our own (task/question.h).
#include "task/question.h"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json.h"
#include "task/hellaswag.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::size_t fewest_choices = 2, most_choices = 26;
constexpr std::size_t longest_line = 64 << 20;

// A question without one is known by its place, as lm-evaluation-harness counts.
json read_id(const JsonObject& line, std::string_view key, std::int64_t place) {
  const json* id = line.find(key);
  if (id == nullptr) return place;
  if (!(id->is_number_integer() || id->is_string())) line.refuse(key, "a whole number or a text");
  return *id;
}

std::vector<std::string> read_choices(const JsonObject& line, std::string_view key) {
  auto choices = line.texts(key);
  if (choices.size() < fewest_choices || choices.size() > most_choices)
    line.refuse(key, fmt::format("{} to {} texts", fewest_choices, most_choices));
  return choices;
}

// The right choice: a number, or a number written as a text. HellaSwag's test split has "" there.
std::int64_t read_gold(const JsonObject& line, std::string_view key, std::size_t choices) {
  const auto last = static_cast<std::int64_t>(choices) - 1;
  const json* value = line.find(key);
  if (value == nullptr || !value->is_string()) return line.integer(key, 0, last);
  const auto& text = value->get_ref<const std::string&>();
  if (text.empty())
    throw InputError("{}: is empty, as in a test split without answers; use the validation split", line.name(key));
  std::int64_t gold = -1;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), gold);
  if (error != std::errc() || stop != text.data() + text.size() || gold < 0 || gold > last)
    line.refuse(key, fmt::format("a whole number from 0 to {}", last));
  return gold;
}

Question read_hellaswag(const JsonObject& line, std::int64_t place) {
  Question question;
  question.id = read_id(line, "ind", place);
  const std::string context = line.text("ctx_a") + " " + capitalize(line.text("ctx_b"));
  question.context = preprocess(line.text("activity_label") + ": " + context);
  for (const std::string& ending : read_choices(line, "endings")) question.choices.push_back(preprocess(ending));
  question.gold = read_gold(line, "label", question.choices.size());
  return question;
}

Question read_own(const JsonObject& line, std::int64_t place) {
  Question question;
  question.id = read_id(line, "id", place);
  question.context = line.text("context");
  question.choices = read_choices(line, "choices");
  question.gold = read_gold(line, "gold", question.choices.size());
  question.delimiter = line.text("delimiter", " ");
  return question;
}

Question read_lengths(const JsonObject& line, std::int64_t place) {
  constexpr std::int64_t most_tokens = 1 << 24;
  Question question;
  question.id = read_id(line, "id", place);
  const json* tokens = line.find("tokens");
  const auto is_length = [](const json& value) {
    return value.is_number_integer() && value.get<std::int64_t>() >= 1 && value.get<std::int64_t>() <= most_tokens;
  };
  if (!tokens->is_array() || tokens->size() < 1 + fewest_choices || tokens->size() > 1 + most_choices ||
      !std::all_of(tokens->begin(), tokens->end(), is_length))
    line.refuse("tokens", "the tokens of the context, then of the context with each choice");
  question.lengths = tokens->get<std::vector<std::int64_t>>();
  if (*std::min_element(question.lengths.begin() + 1, question.lengths.end()) <= question.lengths.front())
    line.refuse("tokens", "lengths of choices that add tokens to the context's");
  // Texts as long as the tokens are many, for what divides by a length.
  for (std::size_t choice = 1; choice < question.lengths.size(); ++choice)
    question.choices.emplace_back(static_cast<std::size_t>(question.lengths[choice] - question.lengths.front()), '?');
  if (line.has("gold")) question.gold = read_gold(line, "gold", question.choices.size());
  return question;
}

// Whole files of other forms than a question a line.
void refuse_other_forms(std::string_view text, std::string_view origin) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\xef\xbb\xbf"), text.size()));
  const std::string_view line = text.substr(0, text.find('\n'));
  if (text.starts_with('[') && line.find('{') == std::string_view::npos && text.find('{') != std::string_view::npos)
    throw InputError("{}: it is one JSON list over several lines; write one object per line: jq -c '.[]'", origin);
  if (text.starts_with('[') && line.find('{') != std::string_view::npos)
    throw InputError("{}: it is one JSON list; write one object per line: jq -c '.[]'", origin);
  if (line == "{" || line == "{\r")
    throw InputError("{}: its objects are spread over several lines; write one per line: jq -c .", origin);
  if (line.find(',') != std::string_view::npos && line.find_first_of("{[") == std::string_view::npos)
    throw InputError("{}: it looks like CSV; write one JSON object per line", origin);
}

Question read_line(std::string_view text, std::string_view origin, std::int64_t number, std::int64_t place) {
  const std::string where = fmt::format("{}:{}", origin, number);
  if (text.size() > longest_line)
    throw InputError("{}: a line of {} bytes is too long for a question", where, text.size());
  const json content = parse_json(text, origin, number);
  const JsonObject line(content, where);
  if (const json* endings = line.find("endings");
      endings != nullptr && endings->is_array() && !endings->empty() && endings->front().is_array())
    throw InputError("{}: it is one object of columns; write one object per question, one per line", where);
  if (line.has("endings")) return read_hellaswag(line, place);
  if (line.has("question") && line.has("choices") && !line.has("context"))
    throw InputError("{}: it is a question of {}; write it as {{id, context, choices, gold}}, the prompt as context",
                     where, line.has("answerKey") ? "ARC" : "MMLU");
  if (line.has("choices")) return read_own(line, place);
  if (line.has("tokens")) return read_lengths(line, place);
  if (line.has("rows"))
    throw InputError("{}: it is a response of the datasets server; write one object per line: jq -c '.rows[].row'",
                     where);
  throw InputError("{}: neither endings (HellaSwag) nor choices in it; a line holds id, context, choices, gold", where);
}

}  // namespace

std::vector<Question> parse_questions(std::string_view text, std::string_view origin,
                                      std::optional<std::int64_t> limit) {
  if (limit && *limit < 1) throw InputError("{}: a limit of {} questions leaves none; use 1 or more", origin, *limit);
  refuse_foreign_text(text, origin);
  refuse_other_forms(text, origin);
  std::vector<Question> questions;
  std::unordered_map<std::string, std::int64_t> lines;  // id -> where it was first
  for (std::int64_t number = 1; !text.empty(); ++number) {
    if (limit && static_cast<std::int64_t>(questions.size()) == *limit) break;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    questions.push_back(read_line(line, origin, number, std::ssize(questions)));
    const std::string id = questions.back().id.dump();
    const auto [first, is_new] = lines.emplace(id, number);
    if (!is_new)
      throw InputError("{}:{}: id {} was already used in line {}; ids must differ", origin, number, quote(id),
                       first->second);
  }
  if (questions.empty()) throw InputError("{}: it holds no question; write one JSON object per line", origin);
  return questions;
}

std::vector<Question> read_questions(const std::filesystem::path& path, std::optional<std::int64_t> limit) {
  return parse_questions(read_file(path), path.string(), limit);
}

}  // namespace batchscope
