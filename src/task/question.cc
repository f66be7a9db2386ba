// Task files: HellaSwag's raw lines, and our own (task/question.h).
#include "task/question.h"

#include <charconv>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "task/hellaswag.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::size_t fewest_choices = 2, most_choices = 26;
constexpr std::size_t longest_line = 64 << 20;

json read_id(const JsonObject& line, std::string_view key) {
  const json* id = line.find(key);
  if (id == nullptr || !(id->is_number_integer() || id->is_string())) line.refuse(key, "a whole number or a text");
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

Question read_hellaswag(const JsonObject& line) {
  Question question;
  question.id = read_id(line, "ind");
  const std::string context = line.text("ctx_a") + " " + capitalize(line.text("ctx_b"));
  question.context = preprocess(line.text("activity_label") + ": " + context);
  for (const std::string& ending : read_choices(line, "endings")) question.choices.push_back(preprocess(ending));
  question.gold = read_gold(line, "label", question.choices.size());
  return question;
}

Question read_own(const JsonObject& line) {
  Question question;
  question.id = read_id(line, "id");
  question.context = line.text("context");
  question.choices = read_choices(line, "choices");
  question.gold = read_gold(line, "gold", question.choices.size());
  question.delimiter = line.text("delimiter", " ");
  return question;
}

Question read_line(std::string_view text, std::string_view origin, std::int64_t number) {
  const std::string where = fmt::format("{}:{}", origin, number);
  if (text.size() > longest_line) throw InputError("{}: a line of {} bytes is no question", where, text.size());
  const json content = parse_json(text, origin, number);
  const JsonObject line(content, where);
  if (line.has("endings")) return read_hellaswag(line);
  if (line.has("choices")) return read_own(line);
  throw InputError("{}: neither endings (HellaSwag) nor choices in it; a line holds id, context, choices, gold", where);
}

}  // namespace

std::vector<Question> parse_questions(std::string_view text, std::string_view origin,
                                      std::optional<std::int64_t> limit) {
  if (limit && *limit < 1) throw InputError("{}: a limit of {} questions leaves none; use 1 or more", origin, *limit);
  if (text.starts_with("\x1f\x8b") || text.starts_with("BZh"))
    throw InputError("{}: is compressed; unpack it first", origin);
  std::vector<Question> questions;
  std::unordered_map<std::string, std::int64_t> lines;  // id -> where it was first
  for (std::int64_t number = 1; !text.empty(); ++number) {
    if (limit && static_cast<std::int64_t>(questions.size()) == *limit) break;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    questions.push_back(read_line(line, origin, number));
    const std::string id = questions.back().id.dump();
    const auto [first, is_new] = lines.emplace(id, number);
    if (!is_new)
      throw InputError("{}:{}: id {} was already used in line {}; ids must differ", origin, number, quote(id),
                       first->second);
  }
  if (questions.empty()) throw InputError("{}: no question in it; it holds one JSON object a line", origin);
  return questions;
}

std::vector<Question> read_questions(const std::filesystem::path& path, std::optional<std::int64_t> limit) {
  return parse_questions(read_file(path), path.string(), limit);
}

}  // namespace batchscope
