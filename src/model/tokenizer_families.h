// The tokenizer classes of transformers that, whatever a file says, cut and decode texts in their own way.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/pipeline_tokenizer.h"

namespace batchscope {

// Each keeps vocabulary, merges, added tokens, begin and end of `model`, and sets the rest.

struct LlamaSettings {
  // Text behind an added token begins like a new text ("▁b"), as in the first LlamaTokenizer; else it goes on as it is.
  bool legacy = false;
  bool add_prefix_space = true;
};
void make_llama(PipelineModel& model, const LlamaSettings& settings);
void make_gpt2(PipelineModel& model, bool add_prefix_space);
void make_qwen2(PipelineModel& model, bool add_prefix_space);

// Byte-level BPE on words that `pattern` finds.
void set_byte_level(PipelineModel& model, std::string_view pattern, bool add_prefix_space);

extern const std::string_view qwen2_words, llama3_words;

}  // namespace batchscope
