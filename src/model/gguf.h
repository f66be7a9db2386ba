// The GGUF format, versions 2 and 3, little-endian: typed metadata by key, tensors by name, then their bytes, aligned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace batchscope {

// Of a metadata value, by the format's numbers.
enum class GgufType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// How a tensor's elements lie in the file: blocks of so many elements, each of so many bytes.
struct GgufTensorType {
  std::uint32_t number;   // as the file has it
  std::string_view name;  // "Q4_K"
  std::int64_t block_elements;
  std::int64_t block_bytes;
};

struct GgufTensor {
  const GgufTensorType* type = nullptr;
  std::vector<std::int64_t> shape;  // the fastest dimension first: [columns, rows] of a matrix; columns in whole blocks
  std::uint64_t offset = 0;         // of its first byte, from the beginning of the file; a multiple of the alignment
  std::uint64_t bytes = 0;          // by shape and type; inside the file, in no other tensor
};

// One file, its header read and checked whole; keys, texts and tensors are views of the file's bytes. Accessors take
// the key of a metadata value; their InputErrors name file, key and what was expected.
class Gguf {
 public:
  explicit Gguf(const std::filesystem::path& path);                // mapped
  Gguf(std::span<const std::byte> file, std::string_view origin);  // `file` must outlive this; `origin` names it
  Gguf(const Gguf&) = delete;
  Gguf& operator=(const Gguf&) = delete;

  const std::string& origin() const { return origin_; }
  std::span<const std::byte> bytes(const GgufTensor& tensor) const {
    return file_.subspan(tensor.offset, tensor.bytes);
  }
  const std::map<std::string_view, GgufTensor>& tensors() const { return tensors_; }

  bool has(std::string_view key) const { return values_.contains(key); }
  std::vector<std::string_view> keys() const;    // sorted
  bool is_array(std::string_view key) const;     // false when absent, too
  std::size_t size(std::string_view key) const;  // of an array of any type
  // Whether it is a number of any type, or a boolean (0, 1), and this one; false when absent.
  bool is_number(std::string_view key, double value) const;

  // Required when there is no fallback. Integers of any width.
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high,
                       std::optional<std::int64_t> fallback = {}) const;
  // f32 or f64; above `low` and at most `high`.
  double number(std::string_view key, double low, double high, std::optional<double> fallback = {}) const;
  // A token's id; absent where there is none, -1 (in any width) or, after a warning, one outside of the vocabulary.
  std::optional<std::int32_t> token(std::string_view key, std::int64_t vocabulary) const;
  bool boolean(std::string_view key, std::optional<bool> fallback = {}) const;
  std::string_view text(std::string_view key, std::optional<std::string_view> fallback = {}) const;

  // Arrays, which must be there.
  std::vector<std::string_view> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key, std::int64_t low, std::int64_t high) const;
  std::vector<float> numbers(std::string_view key) const;  // of f32

  // Throws "origin: key: expected …, found …".
  [[noreturn]] void refuse(std::string_view key, std::string_view expected) const;
  // "origin: key", to begin other messages with.
  std::string name(std::string_view key) const;

 private:
  struct Value {
    GgufType type{};  // of the elements, for an array
    bool array = false;
    std::uint64_t count = 1;           // of elements
    std::span<const std::byte> bytes;  // of all elements
  };
  class Cursor;

  void parse();
  void parse_values(Cursor& cursor, std::uint64_t count);
  void parse_tensors(Cursor& cursor, std::uint64_t count);
  void place_tensors(std::uint64_t data);
  const Value& need(std::string_view key, bool array, std::string_view expected) const;
  static std::string describe(const Value& value);

  std::optional<MappedFile> mapped_;
  std::span<const std::byte> file_;
  std::string origin_;
  std::map<std::string_view, Value> values_;
  std::map<std::string_view, GgufTensor> tensors_;
};

// All types of tensors that the format has, supported or not.
std::span<const GgufTensorType> gguf_tensor_types();

}  // namespace batchscope
