// A tokenizer for tests: one token a byte and, where wanted, one in front as LLaMA's BOS.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"

namespace batchscope {

class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(bool bos = false) : bos_(bos) {}
  std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> ids;
    if (bos_) ids.push_back(256);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const std::int32_t> tokens) const override { return {tokens.begin(), tokens.end()}; }
  std::int64_t vocabulary() const override { return bos_ ? 257 : 256; }
  std::optional<std::int32_t> prefix() const override { return prefix_; }
  std::optional<std::int32_t> prefix_{};

 private:
  bool bos_;
};

}  // namespace batchscope
