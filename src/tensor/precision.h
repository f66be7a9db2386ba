// What a model is kept in, and what it is computed in.
#pragma once

#include "tensor/dtype.h"

namespace batchscope {

// What is kept may be narrower than what is computed in: it is widened where it is read.
struct Precision {
  DType weights = DType::f32;  // of matrices: projections and embeddings. Norms and biases are in `compute`
  DType compute = DType::f32;  // of activations, and of what goes between ranks
  DType kv = DType::f32;       // of the cache of keys and values

  // Of the embedding and the vocabulary projection, which FP8 leaves as they are computed with, as checkpoints in FP8 do.
  DType vocabulary() const { return weights == DType::fp8 ? compute : weights; }
};

}  // namespace batchscope
