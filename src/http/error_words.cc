// The forms of errors that servers have (http/error_words.h).
#include "http/error_words.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace batchscope::http {
namespace {

std::string first_line(const nlohmann::json& text) {
  std::string line = text.is_string() ? text.get<std::string>() : "";
  line.resize(std::min(line.find('\n'), line.size()));
  while (line.ends_with(':') || line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

std::string error_words(std::string_view body) {
  nlohmann::json json;
  try {
    json = parse_json(body, "an error");
  } catch (const InputError&) {
    return "";
  }
  // {"error": {"message"}}, {"error": ""}, {"message"}, {"detail": ""}, {"detail": [{"loc": […], "msg"}]}
  const nlohmann::json* found = &json;
  for (const char* key : {"error", "detail", "message"}) {
    while (found->is_array() && !found->empty()) found = &found->front();
    if (found->is_object() && found->contains(key)) found = &found->at(key);
  }
  while (found->is_array() && !found->empty()) found = &found->front();
  if (found->is_object() && found->contains("msg")) {
    std::string where;
    if (found->contains("loc") && found->at("loc").is_array())
      for (const auto& part : found->at("loc"))
        if (part.is_string() && part != "body") where += part.get<std::string>() + ".";
    if (!where.empty()) where.back() = ':';
    const std::string message = first_line(found->at("msg"));
    return where.empty() || message.empty() ? message : where + " " + message;
  }
  return first_line(*found);
}

}  // namespace batchscope::http
