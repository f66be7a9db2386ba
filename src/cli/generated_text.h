// What `generate` prints, as tokens come: the text of one prompt piece by piece; of several each whole, in order, below
// a line that names the prompt; or token ids, a JSON array a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "model/text_stream.h"

namespace batchscope::cli {

enum class TextForm { text, ids };

// A prompt's tokens and what was generated behind them.
std::vector<std::int32_t> whole_sequence(const std::vector<std::int32_t>& prompt,
                                         const std::vector<std::int32_t>& generated);

class GeneratedText {
 public:
  // All of them outlive it.
  GeneratedText(std::span<const GenerateRequest> requests, std::span<const std::int32_t> eos,
                const Tokenizer& tokenizer, TextForm form);

  // To print now that a request has its next token; the prompt comes with the first.
  std::string add(std::size_t request, std::int32_t token);

 private:
  bool streams() const { return requests_.size() == 1 && form_ == TextForm::text; }
  std::string whole(std::size_t request) const;

  std::span<const GenerateRequest> requests_;
  std::span<const std::int32_t> eos_;
  const Tokenizer& tokenizer_;
  TextForm form_;
  TextStream stream_;  // of the only request
  std::vector<std::vector<std::int32_t>> generated_;
  std::vector<bool> finished_;
  std::size_t printed_ = 0;  // requests
};

}  // namespace batchscope::cli
