// Writes GGUF files for tests: right ones, and wrong ones by changing what the members say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "model/gguf.h"

namespace batchscope {

inline const GgufTensorType& type_named(std::string_view name) {
  for (const GgufTensorType& type : gguf_tensor_types())
    if (type.name == name) return type;
  throw std::logic_error("no such type");
}

class GgufWriter {
 public:
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;                     // of the data; write `general.alignment` too where it is not 32
  std::uint64_t tensor_count = 0, value_count = 0;  // as the header claims them

  // A value of the C++ type's own GGUF type.
  template <class T>
  GgufWriter& value(std::string_view key, const T& value) {
    return raw(key, type_of<T>(), encoded(value));
  }
  // An array of them.
  template <class T>
  GgufWriter& values(std::string_view key, const std::vector<T>& elements) {
    std::string bytes = encoded(static_cast<std::uint32_t>(type_of<T>())) + encoded(std::uint64_t{elements.size()});
    for (const T& element : elements) bytes += encoded(element);
    return raw(key, GgufType::array, bytes);
  }
  // Any bytes as a value.
  GgufWriter& raw(std::string_view key, GgufType type, std::string_view bytes) {
    values_ += encoded(std::string(key)) + encoded(static_cast<std::uint32_t>(type));
    values_ += bytes;
    ++value_count;
    return *this;
  }
  // `shape` begins with the fastest dimension; `type` is a type's number. The data goes to the next aligned byte.
  GgufWriter& tensor(std::string_view name, const std::vector<std::uint64_t>& shape, std::uint32_t type,
                     std::string_view data) {
    data_.resize((data_.size() + alignment - 1) / alignment * alignment);
    tensor_at(name, shape, type, data_.size());
    data_ += data;
    return *this;
  }
  // A tensor's line alone, as if its data lay at `offset`.
  GgufWriter& tensor_at(std::string_view name, const std::vector<std::uint64_t>& shape, std::uint32_t type,
                        std::uint64_t offset) {
    tensors_ += encoded(std::string(name)) + encoded(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t size : shape) tensors_ += encoded(size);
    tensors_ += encoded(type) + encoded(offset);
    ++tensor_count;
    return *this;
  }

  std::string file() const {
    std::string bytes = magic + encoded(version) + encoded(tensor_count) + encoded(value_count) + values_ + tensors_;
    bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    return bytes + data_;
  }
  void write(const std::filesystem::path& path) const { std::ofstream(path, std::ios::binary) << file(); }

  // Little-endian bytes of a number; a string with its length before it.
  template <class T>
  static std::string encoded(const T& value) {
    if constexpr (std::is_convertible_v<T, std::string_view>) {
      const std::string_view text(value);
      return encoded(std::uint64_t{text.size()}) + std::string(text);
    } else {
      return std::string(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }

 private:
  template <class T>
  static constexpr GgufType type_of() {
    if constexpr (std::is_convertible_v<T, std::string_view>) return GgufType::string;
    if constexpr (std::is_same_v<T, bool>) return GgufType::boolean;
    if constexpr (std::is_same_v<T, float>) return GgufType::f32;
    if constexpr (std::is_same_v<T, double>) return GgufType::f64;
    if constexpr (std::is_same_v<T, std::uint8_t>) return GgufType::u8;
    if constexpr (std::is_same_v<T, std::int8_t>) return GgufType::i8;
    if constexpr (std::is_same_v<T, std::uint16_t>) return GgufType::u16;
    if constexpr (std::is_same_v<T, std::int16_t>) return GgufType::i16;
    if constexpr (std::is_same_v<T, std::uint32_t>) return GgufType::u32;
    if constexpr (std::is_same_v<T, std::int32_t>) return GgufType::i32;
    if constexpr (std::is_same_v<T, std::uint64_t>) return GgufType::u64;
    if constexpr (std::is_same_v<T, std::int64_t>) return GgufType::i64;
  }

  std::string values_, tensors_, data_;
};

}  // namespace batchscope
