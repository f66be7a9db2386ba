// Values of flags (cli/values.h), kept with the option as the name of a validator that takes everything: what is wrong
// is said by the one who parses.
#include "cli/values.h"

#include <fmt/format.h>

#include <sstream>

namespace batchscope::cli {
namespace {

constexpr std::string_view one = "one of ", list = "list of ";

}  // namespace

void set_values(CLI::Option& option, std::span<const std::string_view> words, bool is_list) {
  const std::string name = fmt::format("{}{}", is_list ? list : one, fmt::join(words, " "));
  option.check(CLI::Validator([](std::string&) { return std::string(); }, "", name));
}

Values values_of(CLI::Option& option) {
  std::string name;
  try {
    name = option.get_validator(0)->get_name();
  } catch (const CLI::OptionNotFound&) {  // it has none
    return {};
  }
  const bool is_list = name.starts_with(list);
  if (!is_list && !name.starts_with(one)) return {};
  Values values{.words = {}, .is_list = is_list};
  std::istringstream words(name.substr(is_list ? list.size() : one.size()));
  for (std::string word; words >> word;) values.words.push_back(word);
  return values;
}

}  // namespace batchscope::cli
