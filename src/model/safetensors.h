// The safetensors format: eight bytes of header length, a JSON header, and the tensors' bytes without gap or overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace batchscope {

struct SafetensorsEntry {
  std::string dtype;  // as the file spells it: "F32", "BF16", "I64"
  std::vector<std::int64_t> shape;
  std::uint64_t offset = 0;  // of its first byte, from the beginning of the file
  std::uint64_t bytes = 0;   // = product of the shape * size of the dtype, inside the file
};

// The tensors of one file, all checked against the size of `file`; InputError, which names `origin`, for everything
// that the format forbids. Reads the header only.
std::map<std::string, SafetensorsEntry> parse_safetensors(std::span<const std::byte> file, std::string_view origin);

// Which file of a sharded checkpoint holds each tensor: model.safetensors.index.json. Names of files only, never paths.
std::map<std::string, std::string> parse_safetensors_index(std::string_view json, std::string_view origin);

}  // namespace batchscope
