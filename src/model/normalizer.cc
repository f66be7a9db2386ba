// Normalizers (model/normalizer.h), Unicode's own by ICU.
#include "model/normalizer.h"

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>

#include <algorithm>

#include "base/error.h"
#include "model/unicode_text.h"

namespace batchscope {
namespace {

void apply(const PrependText& step, TextPart& part) {
  if (!part.text.empty()) part.text.insert(0, step.text);
}

void apply(const ReplaceText& step, TextPart& part) {
  std::vector<Span> matches;
  step.pattern.find_all(part.text, matches);
  if (matches.empty()) return;
  // The reference places what replaces several characters where the last of them was.
  const Span first = matches.front();
  if (first.begin == 0 && first.end > 0 && (step.content.empty() || code_points(part.text.substr(0, first.end)) > 1))
    part.at_start = false;
  std::size_t made = part.text.size();
  for (const Span& match : matches) {
    made += step.content.size() - (match.end - match.begin);
    if (step.content.size() > match.end - match.begin) check_made(made, part.most);
  }
  std::string result;
  result.reserve(made);
  std::size_t begin = 0;
  for (const Span& match : matches) {
    result.append(part.text, begin, match.begin - begin);
    result += step.content;
    begin = match.end;
  }
  result.append(part.text, begin);
  part.text = std::move(result);
}

void apply(UnicodeForm form, TextPart& part) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = form == UnicodeForm::nfc    ? icu::Normalizer2::getNFCInstance(error)
                                       : form == UnicodeForm::nfd  ? icu::Normalizer2::getNFDInstance(error)
                                       : form == UnicodeForm::nfkc ? icu::Normalizer2::getNFKCInstance(error)
                                                                   : icu::Normalizer2::getNFKDInstance(error);
  std::string result;
  if (U_SUCCESS(error)) {
    icu::StringByteSink<std::string> sink(&result, static_cast<std::int32_t>(part.text.size()));
    normalizer->normalizeUTF8(0, icu::StringPiece(part.text.data(), static_cast<std::int32_t>(part.text.size())), sink,
                              nullptr, error);
  }
  if (U_FAILURE(error)) throw Failure("ICU cannot normalise a text: {}", u_errorName(error));
  part.text = std::move(result);
}

void apply(LowerCase, TextPart& part) {
  std::string result;
  result.reserve(part.text.size());
  for (std::size_t at = 0; at < part.text.size();) {
    const CodePoint next = code_point_at(part.text, at);
    at += next.bytes;
    if (next.value == 0x130) {  // İ: the one character whose lower case is two, an i and the dot above
      result += "i\u0307";
    } else {
      append_code_point(static_cast<char32_t>(u_tolower(static_cast<UChar32>(next.value))), result);
    }
  }
  part.text = std::move(result);
}

void apply(const StripText& step, TextPart& part) {
  if (step.right) part.text.resize(part.text.size() - trailing_white_space(part.text));
  const std::size_t leading = step.left ? leading_white_space(part.text) : 0;
  part.text.erase(0, leading);
  if (leading > 0) part.at_start = false;
}

}  // namespace

void check_made(std::size_t bytes, std::size_t most) {
  if (bytes > most) throw MadeTooLong{};
}

void normalize(const std::vector<Normalizer>& steps, TextPart& part) {
  for (const Normalizer& step : steps) {
    std::visit([&](const auto& each) { apply(each, part); }, step);
    check_made(part.text.size(), part.most);
  }
}

}  // namespace batchscope
