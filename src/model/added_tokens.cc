// Finds the added tokens of a tokenizer in a text in one pass.
#include "model/added_tokens.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/unicode_text.h"

namespace batchscope {

void TextTrie::add(std::string_view text, std::int32_t value) {
  if (text.empty()) return;
  if (first_bytes_.find(text.front()) == std::string::npos) first_bytes_ += text.front();
  std::uint32_t node = 0;
  for (auto c = text.rbegin(); c != text.rend(); ++c) {
    const auto [edge, is_new] =
        nodes_[node].next.emplace(static_cast<unsigned char>(*c), static_cast<std::uint32_t>(nodes_.size()));
    node = edge->second;
    if (is_new) nodes_.emplace_back();
  }
  if (nodes_[node].length > 0) return;
  nodes_[node].length = static_cast<std::uint32_t>(text.size());
  nodes_[node].value = value;
}

std::uint32_t TextTrie::follow(std::uint32_t node, char c) const {
  while (true) {
    const auto edge = nodes_[node].next.find(static_cast<unsigned char>(c));
    if (edge != nodes_[node].next.end()) return edge->second;
    if (node == 0) return 0;
    node = nodes_[node].shorter;
  }
}

void TextTrie::finish() {
  std::vector<std::uint32_t> level{0}, deeper;
  for (; !level.empty(); level = std::exchange(deeper, {}))
    for (const std::uint32_t node : level)
      for (const auto& [c, child] : nodes_[node].next) {
        Node& next = nodes_[child];
        next.shorter = node == 0 ? 0 : follow(nodes_[node].shorter, static_cast<char>(c));
        if (next.length == 0) {
          next.length = nodes_[next.shorter].length;
          next.value = nodes_[next.shorter].value;
        }
        deeper.push_back(child);
      }
}

std::vector<TextTrie::Match> TextTrie::find_all(std::string_view text) const {
  std::vector<Match> matches;
  if (text.find_first_of(first_bytes_) == std::string_view::npos) return matches;  // the usual case
  std::uint32_t node = 0;
  for (std::size_t at = text.size(); at-- > 0;) {
    node = follow(node, text[at]);
    const auto begin = static_cast<std::uint32_t>(at);
    if (nodes_[node].length > 0) matches.push_back({begin, begin + nodes_[node].length, nodes_[node].value});
  }
  std::reverse(matches.begin(), matches.end());
  return matches;
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
  raw_.finish();
  normalized_.finish();
  for (auto& [id, text] : texts_)  // it is this text that the reference looks at
    if (specials_.contains(text)) text.clear();
}

void AddedTokens::find(const TextTrie& tokens, std::string_view text, std::vector<TokenSpan>& spans) const {
  spans.clear();
  std::size_t begin = 0;       // of what no token has taken yet
  std::size_t from = 0;        // where the next token may begin
  std::size_t spaces_end = 0;  // of the white space looked at last
  for (const TextTrie::Match& match : tokens.find_all(text)) {
    if (match.begin < from) continue;
    from = match.end;
    const AddedToken& token = by_id_.at(match.value);
    Span span{match.begin, match.end};
    if (token.single_word) {
      const bool in_word_left = span.begin > 0 && is_word(code_point_before(text, span.begin).value);
      const bool in_word_right = span.end < text.size() && is_word(code_point_at(text, span.end).value);
      if (in_word_left || in_word_right) continue;
    }
    if (token.strip_left)
      span.begin =
          begin < span.begin ? span.begin - trailing_white_space(text.substr(begin, span.begin - begin)) : begin;
    if (token.strip_right) {
      if (spaces_end < span.end) spaces_end = span.end + leading_white_space(text.substr(span.end));
      span.end = spaces_end;
    }
    if (begin < span.begin) spans.push_back({{begin, span.begin}, {}});
    spans.push_back({span, match.value});
    begin = span.end;
  }
  if (begin < text.size()) spans.push_back({{begin, text.size()}, {}});
}

const std::string* AddedTokens::text_of(std::int32_t id) const {
  const auto found = texts_.find(id);
  return found == texts_.end() ? nullptr : &found->second;
}

}  // namespace batchscope
