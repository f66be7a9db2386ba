// Text to token ids and back, behind one interface for every tokenizer file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  // With the special tokens that the file adds by default (LLaMA: BOS in front). Bytes that are no UTF-8 count as
  // U+FFFD. Thread-safe.
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  // Without special tokens.
  virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;
  virtual std::int64_t vocabulary() const = 0;
  // What a text without any token is said to begin with, so that its continuation can be scored: BOS, else EOS, as
  // lm-evaluation-harness has it. Absent: there is neither.
  virtual std::optional<std::int32_t> prefix() const { return std::nullopt; }
};

// The tokenizer of a model folder: tokenizer.json, or without one tokenizer.model (SentencePiece), with what
// tokenizer_config.json says. The ids are those of transformers 5.
std::unique_ptr<Tokenizer> open_tokenizer(const std::filesystem::path& folder);

}  // namespace batchscope
