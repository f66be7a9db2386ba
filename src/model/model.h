// A model as the user names it: configuration, weights and tokenizer, each behind its interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "model/config.h"
#include "model/tokenizer.h"
#include "model/weights.h"

namespace batchscope {

struct ModelSource {
  std::string path = {};  // folder or GGUF file; "" for the embedded tiny model when random_shape is empty too
  std::string random_shape =
      {};  // not "": weights drawn from `seed` in this shape; tokenizer of `path` or the embedded one
  std::uint64_t seed = 0;
};

// The folder or GGUF file that the user named, or the embedded model's folder; InputError when it is neither.
std::filesystem::path checkpoint_path(const ModelSource& source);
ModelConfig read_config(const ModelSource& source);
// Whether it is a GGUF file with weights in blocks of few bits; false where it cannot be read, too.
bool has_quantised_weights(const ModelSource& source);
std::unique_ptr<WeightSource> open_weights(const ModelSource& source, const ModelConfig& config);
// Where it has more pieces than `config` has rows in its embedding, texts that need those are an InputError.
std::unique_ptr<Tokenizer> open_tokenizer(const ModelSource& source, const ModelConfig& config);

// Where the program's own files lie (models/tiny, studies/demo.toml): beside the program, in its source tree, or in
// share/batchscope of its prefix.
std::filesystem::path embedded_file(const std::string& name);

}  // namespace batchscope
