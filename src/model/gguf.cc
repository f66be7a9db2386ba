// Reading of GGUF headers (model/gguf.h): every count and offset is checked against the file before it is used.
#include "model/gguf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file_kind.h"
#include "base/input_warnings.h"
#include "base/json.h"

namespace batchscope {
namespace {

constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
constexpr std::uint64_t usual_alignment = 32;
constexpr std::uint32_t most_dimensions = 4;
constexpr std::string_view alignment_key = "general.alignment";

constexpr std::array tensor_types{
    GgufTensorType{0, "F32", 1, 4},         GgufTensorType{1, "F16", 1, 2},
    GgufTensorType{2, "Q4_0", 32, 18},      GgufTensorType{3, "Q4_1", 32, 20},
    GgufTensorType{6, "Q5_0", 32, 22},      GgufTensorType{7, "Q5_1", 32, 24},
    GgufTensorType{8, "Q8_0", 32, 34},      GgufTensorType{9, "Q8_1", 32, 40},
    GgufTensorType{10, "Q2_K", 256, 84},    GgufTensorType{11, "Q3_K", 256, 110},
    GgufTensorType{12, "Q4_K", 256, 144},   GgufTensorType{13, "Q5_K", 256, 176},
    GgufTensorType{14, "Q6_K", 256, 210},   GgufTensorType{15, "Q8_K", 256, 292},
    GgufTensorType{16, "IQ2_XXS", 256, 66}, GgufTensorType{17, "IQ2_XS", 256, 74},
    GgufTensorType{18, "IQ3_XXS", 256, 98}, GgufTensorType{19, "IQ1_S", 256, 50},
    GgufTensorType{20, "IQ4_NL", 32, 18},   GgufTensorType{21, "IQ3_S", 256, 110},
    GgufTensorType{22, "IQ2_S", 256, 82},   GgufTensorType{23, "IQ4_XS", 256, 136},
    GgufTensorType{24, "I8", 1, 1},         GgufTensorType{25, "I16", 1, 2},
    GgufTensorType{26, "I32", 1, 4},        GgufTensorType{27, "I64", 1, 8},
    GgufTensorType{28, "F64", 1, 8},        GgufTensorType{29, "IQ1_M", 256, 56},
    GgufTensorType{30, "BF16", 1, 2},       GgufTensorType{34, "TQ1_0", 256, 54},
    GgufTensorType{35, "TQ2_0", 256, 66},   GgufTensorType{39, "MXFP4", 32, 17},
    GgufTensorType{40, "NVFP4", 64, 36},    GgufTensorType{41, "Q1_0", 128, 18},
};

// By the format's numbers; 0 bytes for what has no fixed size.
struct ValueType {
  std::string_view name;
  std::uint64_t bytes;
};
constexpr std::array value_types{
    ValueType{"u8", 1},  ValueType{"i8", 1},  ValueType{"u16", 2},  ValueType{"i16", 2},    ValueType{"u32", 4},
    ValueType{"i32", 4}, ValueType{"f32", 4}, ValueType{"bool", 1}, ValueType{"string", 0}, ValueType{"array", 0},
    ValueType{"u64", 8}, ValueType{"i64", 8}, ValueType{"f64", 8}};

const ValueType& of(GgufType type) { return value_types[static_cast<std::size_t>(type)]; }

// Bytes of the file, which may lie unaligned, as a number.
template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// Nothing for types that are no integers, and for values above int64.
std::optional<std::int64_t> integer_at(GgufType type, const std::byte* bytes) {
  switch (type) {
    case GgufType::u8:
      return load<std::uint8_t>(bytes);
    case GgufType::i8:
      return load<std::int8_t>(bytes);
    case GgufType::u16:
      return load<std::uint16_t>(bytes);
    case GgufType::i16:
      return load<std::int16_t>(bytes);
    case GgufType::u32:
      return load<std::uint32_t>(bytes);
    case GgufType::i32:
      return load<std::int32_t>(bytes);
    case GgufType::i64:
      return load<std::int64_t>(bytes);
    case GgufType::u64:
      if (const auto value = load<std::uint64_t>(bytes); std::in_range<std::int64_t>(value))
        return static_cast<std::int64_t>(value);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

// A key as it may stand in a message.
std::string shown(std::string_view key) {
  const bool plain = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; });
  return plain && !key.empty() && key.size() <= 100 ? std::string(key) : quote(key);
}

std::string_view text_at(std::span<const std::byte> bytes, std::uint64_t length) {
  return {reinterpret_cast<const char*>(bytes.data()), length};
}

}  // namespace

std::span<const GgufTensorType> gguf_tensor_types() { return tensor_types; }

// Where the header is being read.
class Gguf::Cursor {
 public:
  Cursor(std::span<const std::byte> file, const std::string& origin) : file_(file), origin_(origin) {}

  std::uint64_t position() const { return position_; }
  std::uint64_t left() const { return file_.size() - position_; }

  std::span<const std::byte> take(std::uint64_t bytes, std::string_view what) {
    if (bytes > left())
      throw InputError("{}: {} needs {} bytes at byte {}, the file has {} left; it is cut short, download it again",
                       origin_, what, bytes, position_, left());
    const auto taken = file_.subspan(position_, bytes);
    position_ += bytes;
    return taken;
  }
  template <class T>
  T number(std::string_view what) {
    return load<T>(take(sizeof(T), what).data());
  }
  std::string_view text(std::string_view what) {
    const auto length = number<std::uint64_t>(what);
    return text_at(take(length, what), length);
  }
  // How many of something there are, each of which takes at least `bytes` of the file.
  std::uint64_t count(std::string_view what, std::uint64_t bytes) {
    const auto claimed = number<std::uint64_t>(what);
    if (claimed > left() / bytes)
      throw InputError("{}: {} claims {}, more than the rest of the file can hold; it is damaged", origin_, what,
                       claimed);
    return claimed;
  }
  GgufType type(std::string_view what) {
    const auto type = number<std::uint32_t>(what);
    if (type >= value_types.size())
      throw InputError("{}: {}: type {} is not known; the file is damaged", origin_, what, type);
    return static_cast<GgufType>(type);
  }

 private:
  std::span<const std::byte> file_;
  std::uint64_t position_ = 0;
  const std::string& origin_;
};

Gguf::Gguf(const std::filesystem::path& path) : mapped_(path), file_(mapped_->bytes()), origin_(path.string()) {
  parse();
}

Gguf::Gguf(std::span<const std::byte> file, std::string_view origin) : file_(file), origin_(origin) { parse(); }

void Gguf::parse() {
  refuse_foreign_kind(file_, origin_);
  Cursor cursor(file_, origin_);
  if (file_.size() < sizeof magic || cursor.number<std::uint32_t>("the header") != magic)
    throw InputError("{}: it does not begin with GGUF; not a GGUF file", origin_);
  const auto version = cursor.number<std::uint32_t>("the header");
  if (version != 0 && (version & 0xffff) == 0)
    throw InputError("{}: not supported: big-endian GGUF; convert it to little-endian", origin_);
  if (version != 2 && version != 3)
    throw InputError("{}: not supported: GGUF version {}; supported: 2, 3", origin_, version);
  constexpr std::uint64_t smallest_tensor = 8 + 4 + 4 + 8, smallest_value = 8 + 4 + 1;
  const std::uint64_t tensors = cursor.count("the number of tensors", smallest_tensor);
  const std::uint64_t values = cursor.count("the number of metadata values", smallest_value);
  parse_values(cursor, values);
  parse_tensors(cursor, tensors);
  place_tensors(cursor.position());
}

void Gguf::parse_values(Cursor& cursor, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view key = cursor.text("a metadata key");
    const std::string what = shown(key);
    Value value{.type = cursor.type(what)};
    if (value.type == GgufType::array) {
      value.array = true;
      value.type = cursor.type(what);
      if (value.type == GgufType::array) throw InputError("{}: {}: not supported: an array of arrays", origin_, what);
      const std::uint64_t smallest_text = 8;  // its length
      value.count = cursor.count(what, value.type == GgufType::string ? smallest_text : of(value.type).bytes);
    }
    if (value.type == GgufType::string) {
      const std::uint64_t begin = cursor.position();
      for (std::uint64_t element = 0; element < value.count; ++element) cursor.text(what);
      value.bytes = file_.subspan(begin, cursor.position() - begin);
    } else {
      value.bytes = cursor.take(value.count * of(value.type).bytes, what);
    }
    if (!values_.emplace(key, value).second)
      throw InputError("{}: {} occurs twice; the file is damaged", origin_, what);
  }
}

void Gguf::parse_tensors(Cursor& cursor, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::string_view name = cursor.text("a tensor's name");
    const std::string what = "tensor " + quote(name);
    const auto damaged = [&](const auto& why) {
      throw InputError("{}: {}: {}; the file is damaged", origin_, what, why);
    };
    GgufTensor tensor;
    const auto dimensions = cursor.number<std::uint32_t>(what);
    if (dimensions == 0 || dimensions > most_dimensions)
      damaged(fmt::format("{} dimensions are not from 1 to {}", dimensions, most_dimensions));
    std::uint64_t elements = 1;
    for (std::uint32_t dimension = 0; dimension < dimensions; ++dimension) {
      const auto size = cursor.number<std::uint64_t>(what);
      if (size == 0) damaged("a dimension is 0");
      tensor.shape.push_back(static_cast<std::int64_t>(size));
      if (!std::in_range<std::int64_t>(size) || __builtin_mul_overflow(elements, size, &elements))
        damaged("its shape has more elements than can be counted");
    }
    const auto number = cursor.number<std::uint32_t>(what);
    const auto type = std::find_if(tensor_types.begin(), tensor_types.end(),
                                   [&](const GgufTensorType& each) { return each.number == number; });
    if (type == tensor_types.end()) throw InputError("{}: {}: type {} is not known", origin_, what, number);
    tensor.type = &*type;
    if (tensor.shape[0] % type->block_elements != 0)
      damaged(fmt::format("rows of {} elements are not whole blocks of {}", tensor.shape[0], type->name));
    const std::uint64_t blocks = elements / static_cast<std::uint64_t>(type->block_elements);
    if (__builtin_mul_overflow(blocks, static_cast<std::uint64_t>(type->block_bytes), &tensor.bytes))
      damaged("its shape has more bytes than can be counted");
    tensor.offset = cursor.number<std::uint64_t>(what);  // from where the data begins
    if (!tensors_.emplace(name, std::move(tensor)).second) damaged("it occurs twice");
  }
}

// Makes offsets count from the beginning of the file. The data begins at the first aligned byte behind `header`.
void Gguf::place_tensors(std::uint64_t header) {
  const auto alignment = static_cast<std::uint64_t>(integer(alignment_key, 1, std::int64_t{1} << 31, usual_alignment));
  if ((alignment & (alignment - 1)) != 0) refuse(alignment_key, "a power of two");
  const std::uint64_t data = (header + alignment - 1) / alignment * alignment;
  const std::uint64_t data_bytes = file_.size() > data ? file_.size() - data : 0;
  std::vector<std::pair<std::string_view, GgufTensor*>> order;
  for (auto& [name, tensor] : tensors_) {
    if (tensor.offset % alignment != 0)
      throw InputError("{}: tensor {} begins at {}, no multiple of {}; the file is damaged", origin_, quote(name),
                       tensor.offset, alignment);
    if (tensor.offset > data_bytes || tensor.bytes > data_bytes - tensor.offset)
      throw InputError("{}: tensor {} has {} bytes at {}, the file's data {}; it is cut short, download it again",
                       origin_, quote(name), tensor.bytes, tensor.offset, data_bytes);
    tensor.offset += data;
    order.emplace_back(name, &tensor);
  }
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second->offset < b.second->offset; });
  for (std::size_t i = 1; i < order.size(); ++i)
    if (order[i].second->offset - order[i - 1].second->offset < order[i - 1].second->bytes)
      throw InputError("{}: tensor {} begins inside tensor {}; the file is damaged", origin_, quote(order[i].first),
                       quote(order[i - 1].first));
}

std::string Gguf::name(std::string_view key) const { return fmt::format("{}: {}", origin_, shown(key)); }

std::string Gguf::describe(const Value& value) {
  if (value.array) return fmt::format("an array of {} {}", value.count, of(value.type).name);
  if (value.type == GgufType::string) return quote(text_at(value.bytes.subspan(8), value.bytes.size() - 8));
  if (value.type == GgufType::f32) return fmt::format("{} (f32)", load<float>(value.bytes.data()));
  if (value.type == GgufType::f64) return fmt::format("{} (f64)", load<double>(value.bytes.data()));
  if (value.type == GgufType::boolean) return load<std::uint8_t>(value.bytes.data()) != 0 ? "true" : "false";
  const auto integer = integer_at(value.type, value.bytes.data());
  return fmt::format("{} ({})", integer ? std::to_string(*integer) : "a larger number", of(value.type).name);
}

void Gguf::refuse(std::string_view key, std::string_view expected) const {
  const auto found = values_.find(key);
  throw InputError("{}: expected {}, found {}", name(key), expected,
                   found == values_.end() ? "nothing" : describe(found->second));
}

const Gguf::Value& Gguf::need(std::string_view key, bool array, std::string_view expected) const {
  const auto found = values_.find(key);
  if (found == values_.end() || found->second.array != array) refuse(key, expected);
  return found->second;
}

std::vector<std::string_view> Gguf::keys() const {
  std::vector<std::string_view> all;
  all.reserve(values_.size());
  for (const auto& [key, value] : values_) all.push_back(key);
  return all;
}

bool Gguf::is_array(std::string_view key) const {
  const auto found = values_.find(key);
  return found != values_.end() && found->second.array;
}

std::size_t Gguf::size(std::string_view key) const { return need(key, true, "an array").count; }

bool Gguf::is_number(std::string_view key, double value) const {
  const auto found = values_.find(key);
  if (found == values_.end() || found->second.array) return false;
  const std::byte* bytes = found->second.bytes.data();
  switch (const GgufType type = found->second.type) {
    case GgufType::f32:
      return load<float>(bytes) == value;
    case GgufType::f64:
      return load<double>(bytes) == value;
    case GgufType::boolean:
      return static_cast<double>(load<std::uint8_t>(bytes) != 0) == value;
    default:
      const auto integer = integer_at(type, bytes);
      return integer && static_cast<double>(*integer) == value;
  }
}

std::int64_t Gguf::integer(std::string_view key, std::int64_t low, std::int64_t high,
                           std::optional<std::int64_t> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const std::string expected = fmt::format("an integer from {} to {}", low, high);
  const Value& value = need(key, false, expected);
  const auto number = integer_at(value.type, value.bytes.data());
  if (!number || *number < low || *number > high) refuse(key, expected);
  return *number;
}

std::optional<std::int32_t> Gguf::token(std::string_view key, std::int64_t vocabulary) const {
  constexpr std::int64_t none = std::numeric_limits<std::uint32_t>::max();  // -1, as most files are typed
  const std::int64_t id =
      integer(key, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), -1);
  if (id >= 0 && id < vocabulary) return static_cast<std::int32_t>(id);
  if (id >= 0 && id != none)
    warn_of_input(
        fmt::format("{}: token {} is outside the vocabulary of {}; the model cannot give it, so it is left out",
                    name(key), id, vocabulary));
  return std::nullopt;
}

double Gguf::number(std::string_view key, double low, double high, std::optional<double> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const std::string expected = fmt::format("a number (f32 or f64) above {} and at most {}", low, high);
  const Value& value = need(key, false, expected);
  if (value.type != GgufType::f32 && value.type != GgufType::f64) refuse(key, expected);
  const double number =
      value.type == GgufType::f32 ? load<float>(value.bytes.data()) : load<double>(value.bytes.data());
  if (!(number > low && number <= high)) refuse(key, expected);
  return number;
}

bool Gguf::boolean(std::string_view key, std::optional<bool> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const Value& value = need(key, false, "true or false");
  if (value.type != GgufType::boolean) refuse(key, "true or false");
  return load<std::uint8_t>(value.bytes.data()) != 0;
}

std::string_view Gguf::text(std::string_view key, std::optional<std::string_view> fallback) const {
  if (fallback && !has(key)) return *fallback;
  const Value& value = need(key, false, "a string");
  if (value.type != GgufType::string) refuse(key, "a string");
  return text_at(value.bytes.subspan(8), value.bytes.size() - 8);
}

std::vector<std::string_view> Gguf::texts(std::string_view key) const {
  const Value& value = need(key, true, "an array of strings");
  if (value.type != GgufType::string) refuse(key, "an array of strings");
  Cursor cursor(value.bytes, origin_);
  std::vector<std::string_view> all;
  all.reserve(value.count);
  for (std::uint64_t i = 0; i < value.count; ++i) all.push_back(cursor.text(key));
  return all;
}

std::vector<std::int64_t> Gguf::integers(std::string_view key, std::int64_t low, std::int64_t high) const {
  const std::string expected = fmt::format("an array of integers from {} to {}", low, high);
  const Value& value = need(key, true, expected);
  std::vector<std::int64_t> all;
  all.reserve(value.count);
  for (std::uint64_t i = 0; i < value.count; ++i) {
    const auto number = integer_at(value.type, value.bytes.data() + i * of(value.type).bytes);
    if (!number || *number < low || *number > high) refuse(key, expected);
    all.push_back(*number);
  }
  return all;
}

std::vector<float> Gguf::numbers(std::string_view key) const {
  const Value& value = need(key, true, "an array of f32");
  if (value.type != GgufType::f32) refuse(key, "an array of f32");
  std::vector<float> all(value.count);
  if (!all.empty()) std::memcpy(all.data(), value.bytes.data(), value.bytes.size());
  return all;
}

}  // namespace batchscope
