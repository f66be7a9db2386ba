// Parsing of safetensors headers and indices (model/safetensors.h).
#include "model/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/json.h"

namespace batchscope {
namespace {

using nlohmann::json;

constexpr std::uint64_t length_bytes = 8;
constexpr std::uint64_t longest_header = 100'000'000;  // the format's own limit

struct FileType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array file_types{FileType{"F64", 8},  FileType{"F32", 4},     FileType{"F16", 2},    FileType{"BF16", 2},
                                FileType{"I64", 8},  FileType{"I32", 4},     FileType{"I16", 2},    FileType{"I8", 1},
                                FileType{"U64", 8},  FileType{"U32", 4},     FileType{"U16", 2},    FileType{"U8", 1},
                                FileType{"BOOL", 1}, FileType{"F8_E4M3", 1}, FileType{"F8_E5M2", 1}};

std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

std::string_view header_of(std::span<const std::byte> file, std::string_view origin) {
  refuse_foreign_kind(file, origin);
  if (file.size() < length_bytes)
    throw InputError("{}: {} bytes are too few for a safetensors file; download it again", origin, file.size());
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < length_bytes; ++i) length |= std::to_integer<std::uint64_t>(file[i]) << (8 * i);
  if (length > longest_header)
    throw InputError("{}: its header claims {} bytes, more than the format allows; not a safetensors file", origin,
                     length);
  if (length > file.size() - length_bytes)
    throw InputError("{}: its header claims {} bytes, the file has {}; it is cut short, download it again", origin,
                     length, file.size() - length_bytes);
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + length_bytes, length);
  if (!header.starts_with('{')) throw InputError("{}: its header is not JSON; not a safetensors file", origin);
  return header;
}

std::vector<std::int64_t> whole_numbers(const JsonObject& tensor, std::string_view key) {
  constexpr std::int64_t largest = std::int64_t{1} << 62;
  const json* list = tensor.find(key);
  if (list == nullptr || !list->is_array()) tensor.refuse(key, "a list of whole numbers");
  std::vector<std::int64_t> numbers;
  for (const json& element : *list) {
    const bool fits =
        element.is_number_unsigned() && element.get<std::uint64_t>() <= static_cast<std::uint64_t>(largest);
    if (!fits) throw InputError("{}: expected whole numbers from 0 to {}", tensor.name(key), largest);
    numbers.push_back(element.get<std::int64_t>());
  }
  return numbers;
}

// One tensor's line of the header; `data` is where the bytes begin, `data_bytes` how many there are.
SafetensorsEntry parse_entry(const JsonObject& tensor, std::uint64_t data, std::uint64_t data_bytes) {
  SafetensorsEntry entry;
  entry.dtype = tensor.text("dtype");
  entry.shape = whole_numbers(tensor, "shape");
  const auto type = std::find_if(file_types.begin(), file_types.end(),
                                 [&](const FileType& each) { return each.name == entry.dtype; });
  if (type == file_types.end())
    throw InputError("{}: {} is not a known type; supported are F32, F16 and BF16", tensor.name("dtype"),
                     quote(entry.dtype));
  std::optional<std::uint64_t> bytes = type->bytes;
  for (const std::int64_t size : entry.shape)
    if (bytes) bytes = product(*bytes, static_cast<std::uint64_t>(size));
  const auto offsets = whole_numbers(tensor, "data_offsets");
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    tensor.refuse("data_offsets", "two offsets, the second not below the first");
  const auto begin = static_cast<std::uint64_t>(offsets[0]), end = static_cast<std::uint64_t>(offsets[1]);
  if (end > data_bytes)
    throw InputError("{}: they end at {}, the file's data at {}; it is cut short, download it again",
                     tensor.name("data_offsets"), end, data_bytes);
  if (!bytes || *bytes != end - begin)
    throw InputError("{}: {} bytes do not hold its shape; the file is damaged", tensor.name("data_offsets"),
                     end - begin);
  entry.offset = data + begin;
  entry.bytes = end - begin;
  return entry;
}

// The format wants every byte of the data in exactly one tensor, so that no file can hide or alias anything.
void check_no_gaps(const std::map<std::string, SafetensorsEntry>& tensors, std::uint64_t data, std::uint64_t file_bytes,
                   std::string_view origin) {
  std::vector<std::pair<std::uint64_t, const std::pair<const std::string, SafetensorsEntry>*>> order;
  for (const auto& tensor : tensors) order.emplace_back(tensor.second.offset, &tensor);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first, a.second->second.bytes) < std::pair(b.first, b.second->second.bytes);
  });
  std::uint64_t next = data;
  for (const auto& [offset, tensor] : order) {
    if (offset != next)
      throw InputError("{}: tensor {} begins at {}, {} the one before it; the file is damaged", origin,
                       quote(tensor->first), offset - data, offset < next ? "inside" : "with a gap after");
    next = offset + tensor->second.bytes;
  }
  if (next != file_bytes)
    throw InputError("{}: {} bytes at its end belong to no tensor; the file is damaged", origin, file_bytes - next);
}

}  // namespace

std::map<std::string, SafetensorsEntry> parse_safetensors(std::span<const std::byte> file, std::string_view origin) {
  const std::string_view header = header_of(file, origin);
  const std::uint64_t data = length_bytes + header.size();
  const json content = parse_json(header, fmt::format("{}: header", origin));
  const JsonObject tensors(content, std::string(origin));
  std::map<std::string, SafetensorsEntry> entries;
  for (const auto& [name, value] : content.items()) {
    if (name == "__metadata__") continue;  // free texts of whoever wrote the file
    entries.emplace(name, parse_entry(tensors.object(name), data, file.size() - data));
  }
  check_no_gaps(entries, data, file.size(), origin);
  return entries;
}

std::map<std::string, std::string> parse_safetensors_index(std::string_view text, std::string_view origin) {
  const json content = parse_json(text, origin);
  const JsonObject map = JsonObject(content, std::string(origin)).object("weight_map");
  std::map<std::string, std::string> files;
  for (const auto& [tensor, value] : map.value().items()) {
    const std::string file = map.text(tensor);
    const bool plain = !file.empty() && file != "." && file != ".." && file.find('/') == std::string::npos &&
                       file.find('\\') == std::string::npos && file.find('\0') == std::string::npos;
    if (!plain) map.refuse(tensor, "the name of a file in the same folder");
    files.emplace(tensor, file);
  }
  if (files.empty()) throw InputError("{}: weight_map is empty; no tensor can be found", origin);
  return files;
}

}  // namespace batchscope
