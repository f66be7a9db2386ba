// Added tokens (model/added_tokens.h).
#include "model/added_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/unicode_text.h"

namespace batchscope {

void TextTrie::add(std::string_view text, std::int32_t value) {
  std::size_t node = 0;
  for (const char c : text) {
    const auto [edge, is_new] = nodes_[node].next.emplace(static_cast<unsigned char>(c), nodes_.size());
    node = edge->second;
    if (is_new) nodes_.emplace_back();
  }
  if (!nodes_[node].value) nodes_[node].value = value;
}

std::optional<TextTrie::Match> TextTrie::find(std::string_view text, std::size_t from) const {
  const auto& first = nodes_.front().next;
  if (first.empty()) return std::nullopt;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (first.size() == 1) {  // the usual case: all begin with "<"
      begin = text.find(static_cast<char>(first.begin()->first), begin);
      if (begin == std::string_view::npos) return std::nullopt;
    }
    std::optional<Match> match;
    std::size_t node = 0;
    for (std::size_t end = begin; end < text.size(); ++end) {
      const auto edge = nodes_[node].next.find(static_cast<unsigned char>(text[end]));
      if (edge == nodes_[node].next.end()) break;
      node = edge->second;
      if (nodes_[node].value) match = {begin, end + 1, *nodes_[node].value};
    }
    if (match) return match;
  }
  return std::nullopt;
}

void AddedTokens::add(const AddedToken& token, const Vocabulary& vocabulary) {
  if (token.content.empty()) return;
  const auto known = ids_.find(token.content);
  std::int32_t id = std::max(static_cast<std::int32_t>(vocabulary.size()), largest_id() + 1);
  if (known != ids_.end()) {
    id = known->second;
  } else if (const auto piece = vocabulary.find(token.content); piece != vocabulary.end()) {
    id = piece->second;
  }
  AddedToken added = token;
  added.id = id;
  const bool newly_special = token.special && specials_.emplace(token.content, id).second;
  if (newly_special) first_.push_back(added);
  if (known != ids_.end() && by_id_.at(id) == added) return;
  ids_.emplace(token.content, id);
  by_id_[id] = added;
  if (!specials_.contains(token.content)) first_.push_back(std::move(added));
}

void AddedTokens::finish(const std::vector<Normalizer>& normalizers, std::string_view origin) {
  std::stable_partition(first_.begin(), first_.end(), [](const AddedToken& token) { return token.special; });
  for (const auto& [id, token] : by_id_) texts_[id] = token.content;
  for (const AddedToken& token : first_) {
    if (!token.normalized) {
      raw_.add(token.content, *token.id);
      continue;
    }
    TextPart part{token.content, false};
    normalize(normalizers, part);
    if (part.text.empty())
      throw InputError("{}: normalisation leaves nothing of the added token {}", origin, quote(token.content));
    normalized_.add(part.text, *token.id);
    texts_[*token.id] = part.text;
  }
  for (auto& [id, text] : texts_)  // it is this text that the reference looks at
    if (specials_.contains(text)) text.clear();
}

void AddedTokens::find(const TextTrie& tokens, std::string_view text, std::vector<TokenSpan>& spans) const {
  spans.clear();
  std::size_t begin = 0;  // of what no token has taken yet
  for (std::size_t from = 0; from < text.size();) {
    const auto match = tokens.find(text, from);
    if (!match) break;
    from = match->end;
    const AddedToken& token = by_id_.at(match->value);
    Span span{match->begin, match->end};
    if (token.single_word) {
      const bool in_word_left = span.begin > 0 && is_word(code_point_before(text, span.begin).value);
      const bool in_word_right = span.end < text.size() && is_word(code_point_at(text, span.end).value);
      if (in_word_left || in_word_right) continue;
    }
    if (token.strip_left) span.begin = std::max(span.begin - trailing_white_space(text.substr(0, span.begin)), begin);
    if (token.strip_right) span.end += leading_white_space(text.substr(span.end));
    if (begin < span.begin) spans.push_back({{begin, span.begin}, {}});
    spans.push_back({span, match->value});
    begin = span.end;
  }
  if (begin < text.size()) spans.push_back({{begin, text.size()}, {}});
}

const std::string* AddedTokens::text_of(std::int32_t id) const {
  const auto found = texts_.find(id);
  return found == texts_.end() ? nullptr : &found->second;
}

}  // namespace batchscope
