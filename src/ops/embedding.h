// Embedding: rows of a table by token id.
#pragma once

#include "device/device.h"

namespace batchscope {

struct Embedding {
  Tensor ids;    // [1, tokens] i32
  Tensor table;  // [vocabulary, hidden]
  Tensor out;    // [tokens, hidden]
};
void embedding(Device& device, const Tensor& ids, const Tensor& table, const Tensor& out);

}  // namespace batchscope
