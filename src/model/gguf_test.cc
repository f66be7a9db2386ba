// GGUF headers: every type of value, and every way in which a file can lie.
#include "model/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <limits>

#include "base/error.h"
#include "model/test_gguf.h"

namespace batchscope {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file.data(), file.size()));
}

std::string error_of(const std::string& file) {
  try {
    const Gguf gguf(bytes_of(file), "m.gguf");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

// What `use` of a file with these values says.
template <class Use>
std::string error_of(const GgufWriter& writer, Use use) {
  const std::string file = writer.file();
  const Gguf gguf(bytes_of(file), "m.gguf");
  try {
    use(gguf);
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

constexpr std::uint32_t f32 = 0, q4_0 = 2, q4_k = 12;

TEST(Gguf, ReadsEveryTypeOfValue) {
  for (const std::uint32_t version : {2u, 3u}) {
    GgufWriter writer;
    writer.version = version;
    writer.value("u8", std::uint8_t{200}).value("i8", std::int8_t{-100}).value("u16", std::uint16_t{60000});
    writer.value("i16", std::int16_t{-30000}).value("u32", std::uint32_t{4000000000}).value("i32", std::int32_t{-2});
    writer.value("u64", std::uint64_t{1} << 62).value("i64", std::int64_t{-1} << 62).value("f32", 0.5f);
    writer.value("f64", 1e-5).value("yes", true).value("no", false).value("text", "word").value("", "nameless");
    writer.values<std::string>("texts", {"a", "", "ccc"}).values<float>("floats", {1, -2});
    writer.values<std::int32_t>("ints", {7, -7}).values<std::string>("none", {});
    const std::string file = writer.file();
    const Gguf gguf(bytes_of(file), "m.gguf");
    constexpr std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = -(low + 1);
    EXPECT_EQ(gguf.integer("u8", low, high), 200);
    EXPECT_EQ(gguf.integer("i8", low, high), -100);
    EXPECT_EQ(gguf.integer("u16", low, high), 60000);
    EXPECT_EQ(gguf.integer("i16", low, high), -30000);
    EXPECT_EQ(gguf.integer("u32", low, high), 4000000000);
    EXPECT_EQ(gguf.integer("i32", low, high), -2);
    EXPECT_EQ(gguf.integer("u64", low, high), std::int64_t{1} << 62);
    EXPECT_EQ(gguf.integer("i64", low, high), -(std::int64_t{1} << 62));
    EXPECT_EQ(gguf.number("f32", 0, 1), 0.5);
    EXPECT_EQ(gguf.number("f64", 0, 1), 1e-5);
    EXPECT_TRUE(gguf.boolean("yes"));
    EXPECT_FALSE(gguf.boolean("no"));
    EXPECT_EQ(gguf.text("text"), "word");
    EXPECT_EQ(gguf.text(""), "nameless");
    EXPECT_THAT(gguf.texts("texts"), ElementsAre("a", "", "ccc"));
    EXPECT_THAT(gguf.texts("none"), ElementsAre());
    EXPECT_THAT(gguf.numbers("floats"), ElementsAre(1, -2));
    EXPECT_THAT(gguf.integers("ints", -7, 7), ElementsAre(7, -7));
    EXPECT_EQ(gguf.size("texts"), 3u);
    EXPECT_TRUE(gguf.is_array("ints"));
    EXPECT_FALSE(gguf.is_array("text") || gguf.is_array("absent"));
    EXPECT_EQ(gguf.keys().size(), 18u);
  }
}

TEST(Gguf, AbsentKeysHaveTheirFallbackOrAreNamed) {
  const GgufWriter none;
  EXPECT_EQ(error_of(none,
                     [](const Gguf& gguf) {
                       EXPECT_EQ(gguf.integer("a", 0, 1, 5), 5);
                       EXPECT_EQ(gguf.number("a", 0, 1, 0.5), 0.5);
                       EXPECT_EQ(gguf.boolean("a", true), true);
                       EXPECT_EQ(gguf.text("a", "b"), "b");
                     }),
            "no error");
  const auto nothing = [&](auto use) { return error_of(none, use); };
  EXPECT_EQ(nothing([](const Gguf& gguf) { gguf.integer("llama.block_count", 1, 9); }),
            "m.gguf: llama.block_count: expected an integer from 1 to 9, found nothing");
  EXPECT_THAT(nothing([](const Gguf& gguf) { gguf.text("key"); }), HasSubstr("m.gguf: key: expected a string"));
  EXPECT_THAT(nothing([](const Gguf& gguf) { gguf.texts("key"); }), HasSubstr("expected an array of strings"));
  EXPECT_THAT(nothing([](const Gguf& gguf) { gguf.size("key"); }), HasSubstr("expected an array, found nothing"));
}

TEST(Gguf, WrongTypesAndValuesAreNamed) {
  GgufWriter writer;
  writer.value("int", std::int32_t{-3}).value("huge", ~std::uint64_t{0}).value("text", "a\nb").value("float", 2.5f);
  writer.values<std::string>("texts", {"a"}).value("nan", std::numeric_limits<float>::quiet_NaN()).value("on", true);
  writer.values<std::int32_t>("ints", {1, 2});
  const auto said = [&](auto use) { return error_of(writer, use); };
  EXPECT_THAT(said([](const Gguf& g) { g.integer("int", 0, 9); }), HasSubstr("from 0 to 9, found -3 (i32)"));
  EXPECT_THAT(said([](const Gguf& g) { g.integer("huge", 0, 9); }), HasSubstr("found a larger number (u64)"));
  EXPECT_THAT(said([](const Gguf& g) { g.integer("text", 0, 9, 1); }), HasSubstr("found \"a\\x0ab\""));
  EXPECT_THAT(said([](const Gguf& g) { g.integer("float", 0, 9); }), HasSubstr("found 2.5 (f32)"));
  EXPECT_THAT(said([](const Gguf& g) { g.integer("on", 0, 9); }), HasSubstr("found true"));
  EXPECT_THAT(said([](const Gguf& g) { g.integer("texts", 0, 9); }), HasSubstr("found an array of 1 string"));
  EXPECT_THAT(said([](const Gguf& g) { g.number("int", -9, 9); }), HasSubstr("expected a number (f32 or f64)"));
  EXPECT_THAT(said([](const Gguf& g) { g.number("float", 0, 2); }), HasSubstr("above 0 and at most 2, found 2.5"));
  EXPECT_THAT(said([](const Gguf& g) { g.number("nan", 0, 2); }), HasSubstr("found nan"));
  EXPECT_THAT(said([](const Gguf& g) { g.boolean("int"); }), HasSubstr("expected true or false"));
  EXPECT_THAT(said([](const Gguf& g) { g.text("texts"); }), HasSubstr("expected a string, found an array"));
  EXPECT_THAT(said([](const Gguf& g) { g.texts("text"); }), HasSubstr("expected an array of strings, found \"a"));
  EXPECT_THAT(said([](const Gguf& g) { g.texts("ints"); }), HasSubstr("found an array of 2 i32"));
  EXPECT_THAT(said([](const Gguf& g) { g.integers("texts", 0, 9); }), HasSubstr("found an array of 1 string"));
  EXPECT_THAT(said([](const Gguf& g) { g.integers("ints", 0, 1); }), HasSubstr("integers from 0 to 1"));
  EXPECT_THAT(said([](const Gguf& g) { g.numbers("ints"); }), HasSubstr("expected an array of f32"));
}

TEST(Gguf, ReadsTensors) {
  GgufWriter writer;
  writer.value("general.alignment", std::uint32_t{64}).alignment = 64;
  writer.tensor("m", {2, 3}, f32, std::string(24, 'm')).tensor("q", {32}, q4_0, std::string(18, 'q'));
  const std::string file = writer.file();
  const Gguf gguf(bytes_of(file), "m.gguf");
  ASSERT_EQ(gguf.tensors().size(), 2u);
  const GgufTensor& q = gguf.tensors().at("q");
  EXPECT_EQ(q.type->name, "Q4_0");
  EXPECT_EQ(q.offset % 64, 0u);
  EXPECT_EQ(gguf.bytes(q).size(), 18u);
  EXPECT_EQ(gguf.bytes(q)[17], std::byte{'q'});
  EXPECT_THAT(gguf.tensors().at("m").shape, ElementsAre(2, 3));
}

TEST(Gguf, ForeignFilesAreRefusedByName) {
  EXPECT_THAT(error_of(""), HasSubstr("not a GGUF file"));
  EXPECT_THAT(error_of("GGU"), HasSubstr("not a GGUF file"));
  GgufWriter writer;
  writer.magic = "GGML";
  EXPECT_THAT(error_of(writer.file()), HasSubstr("m.gguf: it does not begin with GGUF"));
  writer.magic = "GGUF";
  for (const std::uint32_t version : {0u, 1u, 4u}) {
    writer.version = version;
    EXPECT_THAT(error_of(writer.file()), HasSubstr(fmt::format("GGUF version {}", version)));
  }
  writer.version = 0x03000000;
  EXPECT_THAT(error_of(writer.file()), HasSubstr("big-endian"));
}

TEST(Gguf, AFileCutAnywhereIsRefused) {
  GgufWriter writer;
  writer.value("n", std::uint32_t{1}).values<std::string>("texts", {"a", "bb"}).value("t", "text");
  writer.tensor("m", {2, 3}, f32, std::string(24, 'm'));
  const std::string file = writer.file();
  ASSERT_EQ(error_of(file), "no error");
  for (std::size_t length = 0; length < file.size(); ++length) EXPECT_NE(error_of(file.substr(0, length)), "no error");
}

TEST(Gguf, AbsurdCountsAreRefusedBeforeAnythingIsAllocated) {
  for (const std::uint64_t count : {std::uint64_t{1} << 32, ~std::uint64_t{0}, ~std::uint64_t{0} / 13 + 2}) {
    GgufWriter writer;
    writer.value_count = count;
    EXPECT_THAT(error_of(writer.file()), HasSubstr("number of metadata values claims")) << count;
    writer.value_count = 0;
    writer.tensor_count = count;
    EXPECT_THAT(error_of(writer.file()), HasSubstr("number of tensors claims")) << count;
    for (const std::uint32_t type : {0u, 5u, 8u, 12u}) {
      GgufWriter array;
      array.raw("list", GgufType::array, GgufWriter::encoded(type) + GgufWriter::encoded(count));
      EXPECT_THAT(error_of(array.file()), HasSubstr("list claims")) << count << " of type " << type;
    }
    GgufWriter text;
    text.raw("long", GgufType::string, GgufWriter::encoded(count));
    EXPECT_THAT(error_of(text.file()), AllOf(HasSubstr("long needs"), HasSubstr("cut short")));
  }
}

TEST(Gguf, LyingValuesAreRefused) {
  const std::string zero(4, '\0');
  EXPECT_THAT(error_of(GgufWriter().raw("k", GgufType{13}, zero).file()), HasSubstr("type 13 is not known"));
  const std::string nested = GgufWriter::encoded(std::uint32_t{9}) + std::string(8, '\0');
  EXPECT_THAT(error_of(GgufWriter().raw("k", GgufType::array, nested).file()), HasSubstr("an array of arrays"));
  EXPECT_THAT(error_of(GgufWriter().value("k", true).value("k", true).file()), HasSubstr("k occurs twice"));
  EXPECT_THAT(error_of(GgufWriter().raw("a\nb", GgufType{13}, zero).file()), HasSubstr("\"a\\x0ab\": type 13"));
  EXPECT_THAT(error_of(GgufWriter().value("general.alignment", std::uint32_t{24}).file()), HasSubstr("power of two"));
  EXPECT_THAT(error_of(GgufWriter().value("general.alignment", std::uint32_t{0}).file()), HasSubstr("from 1"));
  EXPECT_THAT(error_of(GgufWriter().value("general.alignment", "32").file()), HasSubstr("general.alignment: expected"));
}

TEST(Gguf, LyingTensorsAreRefused) {
  const std::string data(64, '\0');
  const auto one = [&](const std::vector<std::uint64_t>& shape, std::uint32_t type, std::uint64_t offset) {
    return error_of(GgufWriter().tensor("real", {16}, f32, data).tensor_at("a", shape, type, offset).file());
  };
  EXPECT_THAT(one({}, f32, 64), HasSubstr("0 dimensions"));
  EXPECT_THAT(one({1, 1, 1, 1, 1}, f32, 64), HasSubstr("5 dimensions"));
  EXPECT_THAT(one({1, 0}, f32, 64), HasSubstr("a dimension is 0"));
  EXPECT_THAT(one({1}, 5, 64), AllOf(HasSubstr("\"a\""), HasSubstr("type 5 is not known")));
  EXPECT_THAT(one({33}, q4_0, 64), HasSubstr("whole blocks of Q4_0"));
  EXPECT_THAT(one({32, 8}, q4_k, 64), HasSubstr("whole blocks of Q4_K"));
  EXPECT_THAT(one({1}, f32, 4), HasSubstr("no multiple of 32"));
  EXPECT_THAT(one({1}, f32, 64), HasSubstr("cut short"));
  EXPECT_THAT(one({1}, f32, 0), HasSubstr("inside tensor"));
  EXPECT_THAT(one({1}, f32, 32), HasSubstr("\"a\" begins inside tensor \"real\""));
  EXPECT_THAT(one({1}, f32, ~std::uint64_t{31}), HasSubstr("cut short"));
  EXPECT_THAT(one({std::uint64_t{1} << 62}, f32, 0), HasSubstr("more bytes than"));  // wraps to 0
  EXPECT_THAT(one({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, f32, 0), HasSubstr("more elements than"));
  EXPECT_THAT(one({~std::uint64_t{0}}, f32, 0), HasSubstr("more elements than"));
  EXPECT_THAT(error_of(GgufWriter().tensor("a", {1}, f32, data).tensor("a", {1}, f32, data).file()),
              HasSubstr("occurs twice"));
}

// Files with one byte changed are read or refused, and what is read lies inside.
TEST(Gguf, AnyByteMayBeWrong) {
  GgufWriter writer;
  writer.value("n", std::uint32_t{1}).values<std::string>("texts", {"a", "bb"}).value("f", 1.5);
  writer.tensor("m", {2, 3}, f32, std::string(24, 'm')).tensor("q", {32, 2}, q4_0, std::string(36, 'q'));
  const std::string right = writer.file();
  rc::check("change", [&] {
    std::string file = right;
    file[*rc::gen::inRange<std::size_t>(0, file.size())] = *rc::gen::arbitrary<char>();
    try {
      const Gguf gguf(bytes_of(file), "m.gguf");
      for (const auto& [name, tensor] : gguf.tensors())
        RC_ASSERT(tensor.offset <= file.size() && tensor.bytes <= file.size() - tensor.offset);
    } catch (const InputError&) {
    }
  });
}

}  // namespace
}  // namespace batchscope
