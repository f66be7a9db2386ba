// Turns tokens into text as they come, holding back bytes that a later token may complete.
#include "model/text_stream.h"

#include <algorithm>
#include <string_view>

namespace batchscope {
namespace {

constexpr std::string_view replacement = "\ufffd";
constexpr std::size_t kept_tokens = 4;  // before the newest ones: how a token is written may depend on what precedes it

// Where the two texts differ first, not within a character.
std::size_t common_prefix(std::string_view a, std::string_view b) {
  auto end = static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  while (end > 0 && end < a.size() && (static_cast<unsigned char>(a[end]) & 0xc0) == 0x80) --end;
  return end;
}

}  // namespace

TextStream::TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {
  for (std::int32_t id = 0; id < tokenizer.vocabulary() && !lone_byte_; ++id)
    if (tokenizer.decode({&id, 1}) == replacement) lone_byte_ = id;
}

std::string TextStream::add(std::span<const std::int32_t> tokens) {
  window_.insert(window_.end(), tokens.begin(), tokens.end());
  const std::string text = tokenizer_.decode(window_);
  std::size_t settled = text.size();
  if (lone_byte_) {
    window_.push_back(*lone_byte_);
    settled = common_prefix(text, tokenizer_.decode(window_));
    window_.pop_back();
  }
  while (std::string_view(text).substr(0, settled).ends_with(replacement)) settled -= replacement.size();
  if (settled <= given_) return {};
  const std::string piece = text.substr(given_, settled - given_);
  given_ = settled;
  if (settled == text.size() && window_.size() > kept_tokens) {
    const std::vector<std::int32_t> kept(window_.end() - kept_tokens, window_.end());
    const std::string kept_text = tokenizer_.decode(kept);
    if (!kept_text.empty() && text.ends_with(kept_text)) {
      window_ = kept;
      given_ = kept_text.size();
    }
  }
  return piece;
}

std::string TextStream::finish() {
  const std::string text = tokenizer_.decode(window_);
  const std::string piece = text.substr(std::min(given_, text.size()));
  given_ = text.size();
  return piece;
}

}  // namespace batchscope
