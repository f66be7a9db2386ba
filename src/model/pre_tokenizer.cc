// Cuts a text into the words that are tokenised one by one.
#include "model/pre_tokenizer.h"

#include <functional>
#include <string_view>
#include <utility>

#include "model/unicode_text.h"

namespace batchscope {
namespace {

struct Piece {
  Span span;
  bool is_match = false;
};

// The whole word as matches and what lies between them.
void pieces_of(const SplitWords& step, std::string_view word, std::vector<Span>& matches, std::vector<Piece>& pieces) {
  step.pattern.find_all(word, matches);
  pieces.clear();
  std::size_t begin = 0;
  for (const Span& match : matches) {
    if (begin < match.begin) pieces.push_back({{begin, match.begin}, step.invert});
    pieces.push_back({match, !step.invert});
    begin = match.end;
  }
  if (begin < word.size()) pieces.push_back({{begin, word.size()}, step.invert});
}

// Joins neighbours as the behaviour says; what is left are words.
void join(SplitBehavior behavior, std::vector<Piece>& pieces) {
  std::vector<Piece> joined;
  bool previous = false;
  const auto joins = [&](const Piece& piece) {
    if (behavior == SplitBehavior::contiguous) return piece.is_match == previous;
    return piece.is_match && !previous;
  };
  if (behavior == SplitBehavior::merged_with_next) {
    for (auto piece = pieces.rbegin(); piece != pieces.rend(); ++piece) {
      if (joins(*piece) && !joined.empty()) {
        joined.back().span.begin = piece->span.begin;
      } else {
        joined.push_back(*piece);
      }
      previous = piece->is_match;
    }
    pieces.assign(joined.rbegin(), joined.rend());
    return;
  }
  for (const Piece& piece : pieces) {
    if (joins(piece) && !joined.empty()) {
      joined.back().span.end = piece.span.end;
    } else {
      joined.push_back(piece);
    }
    previous = piece.is_match;
  }
  pieces = std::move(joined);
}

void apply(const SplitWords& step, Words& words) {
  std::vector<Span> result, matches;
  std::vector<Piece> pieces;
  for (const Span& word : words.words) {
    const std::string_view text = std::string_view(words.part.text).substr(word.begin, word.end - word.begin);
    pieces_of(step, text, matches, pieces);
    if (step.behavior != SplitBehavior::isolated && step.behavior != SplitBehavior::removed)
      join(step.behavior, pieces);
    for (const Piece& piece : pieces) {
      if (piece.span.begin == piece.span.end || (step.behavior == SplitBehavior::removed && piece.is_match)) continue;
      result.push_back({word.begin + piece.span.begin, word.begin + piece.span.end});
    }
  }
  words.words = std::move(result);
}

// Writes every word anew, into a new text.
void rewrite(Words& words, const std::function<void(std::string_view word, bool at_start, std::string& out)>& write) {
  std::string text;
  text.reserve(words.part.text.size() + words.words.size());
  const bool at_start = words.part.at_start && !words.words.empty() && words.words.front().begin == 0;
  for (Span& word : words.words) {
    const std::size_t begin = text.size();
    write(std::string_view(words.part.text).substr(word.begin, word.end - word.begin), at_start && word.begin == 0,
          text);
    word = {begin, text.size()};
  }
  words.part = {std::move(text), at_start, words.part.most};
}

void apply(PrependSpace, Words& words) {
  rewrite(words, [](std::string_view word, bool, std::string& out) {
    if (!word.starts_with(' ')) out += ' ';
    out += word;
  });
}

void apply(WriteBytes, Words& words) {
  rewrite(words, [](std::string_view word, bool, std::string& out) {
    for (const char c : word) append_byte_character(static_cast<unsigned char>(c), out);
  });
}

void apply(const MarkSpaces& step, Words& words) {
  rewrite(words, [&](std::string_view word, bool at_start, std::string& out) {
    const bool marked = word.starts_with(' ') || word.starts_with(step.mark);
    if (!marked && (step.first == MarkFirst::always || (step.first == MarkFirst::first && at_start))) out += step.mark;
    for (std::size_t begin = 0; begin < word.size();) {
      const std::size_t space = std::min(word.find(' ', begin), word.size());
      out += word.substr(begin, space - begin);
      if (space < word.size()) out += step.mark;
      begin = space + 1;
    }
  });
}

}  // namespace

Words pre_tokenize(const std::vector<PreTokenizer>& steps, TextPart part) {
  Words words{std::move(part), {}};
  if (!words.part.text.empty()) words.words.push_back({0, words.part.text.size()});
  for (const PreTokenizer& step : steps) {
    std::visit([&](const auto& each) { apply(each, words); }, step);
    check_made(words.part.text.size(), words.part.most);
  }
  return words;
}

}  // namespace batchscope
