// Names what memory is used for.
#include "tensor/memory.h"

namespace batchscope {

std::string_view name_of(MemoryUse use) {
  switch (use) {
    case MemoryUse::weights:
      return "weights";
    case MemoryUse::kv:
      return "kv";
    case MemoryUse::activations:
      return "activations";
    case MemoryUse::workspace:
      return "workspace";
    case MemoryUse::communication:
      return "communication";
    case MemoryUse::context:
      return "context";
  }
  return "?";
}

}  // namespace batchscope
