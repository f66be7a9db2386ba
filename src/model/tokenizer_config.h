// tokenizer_config.json and the smaller files beside it, as far as they change ids.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/added_tokens.h"

namespace batchscope {

struct TokenizerConfig {
  std::string tokenizer_class;  // without its "Fast"; "" when the file does not say
  std::optional<bool> add_bos, add_eos, legacy, add_prefix_space;
  std::map<std::string, std::optional<AddedToken>> named;  // "bos_token", …: absent, or null, or a token
  std::vector<AddedToken> added;                           // added_tokens_decoder, by id
  bool lists_added = false;                                // … it is there
  std::vector<AddedToken> extra;                           // additional_special_tokens

  // The named token's content: what the file says, else `fallback`.
  std::optional<std::string> token(const std::string& name, std::optional<std::string> fallback) const;
};

// InputError, beginning with `origin`, for what is no such file, and by name for settings that are not supported.
TokenizerConfig parse_tokenizer_config(std::string_view json, std::string_view origin);

// special_tokens_map.json and added_tokens.json: older files, which say what added_tokens_decoder now says.
void add_special_tokens_map(std::string_view json, std::string_view origin, TokenizerConfig& config);
void add_added_tokens(std::string_view json, std::string_view origin, TokenizerConfig& config);

}  // namespace batchscope
