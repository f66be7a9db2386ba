// tokenizer.json, the file of Hugging Face's tokenizers, as a pipeline.
#pragma once

#include <string_view>

#include "model/pipeline_tokenizer.h"

namespace batchscope {

// InputError, which begins with `origin`, for what is no such file, and by name for every part that is not supported.
PipelineModel parse_tokenizer_json(std::string_view json, std::string_view origin);

// One entry of "added_tokens", or of tokenizer_config.json; `normalized` when it does not say.
class JsonObject;
AddedToken parse_added_token(const JsonObject& token, bool normalized);

// The words of byte-level BPE when its file names none: GPT-2's.
extern const std::string_view gpt2_words;

}  // namespace batchscope
