// Model files that would make SentencePiece read outside of its tables.
#include "model/sentencepiece_guard.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/file.h"
#include "base/shared_data.h"

namespace batchscope {
namespace {

std::string corpus(const std::string& name) {
  // The first byte is the fuzz target's own.
  return read_file(std::string(BATCHSCOPE_SOURCE_DIR) + "/src/model/corpus/tokenizer_fuzz/" + name).substr(1);
}

// A message with one field of bytes.
std::string field(char id, const std::string& bytes) {
  return std::string{static_cast<char>(id << 3 | 2), static_cast<char>(bytes.size() | 0x80),
                     static_cast<char>(bytes.size() >> 7)} +
         bytes;
}

TEST(SentencePieceGuard, LetsRealModelsThrough) {
  for (const char* name : {"bpe", "unigram", "char", "word"})  // unigram has a table of its own
    EXPECT_TRUE(is_safe_sentencepiece_model(corpus(name))) << name;
  NEEDS_SHARED_DATA(models, "models");
  EXPECT_TRUE(is_safe_sentencepiece_model(read_file(models / "llama-tokenizer/tokenizer.model")));
  EXPECT_TRUE(is_safe_sentencepiece_model(read_file(models / "stories260K-hf/tokenizer.model")));
}

TEST(SentencePieceGuard, RefusesTablesThatLeadOutside) {
  EXPECT_FALSE(is_safe_sentencepiece_model(corpus("table_leads_outside")));
  const auto with_table = [](std::uint32_t first_unit, std::size_t units) {
    std::string table(units * 4, '\0');
    table.replace(0, 4, reinterpret_cast<const char*>(&first_unit), 4);
    const auto size = static_cast<std::uint32_t>(table.size());
    return field(3, field(2, std::string(reinterpret_cast<const char*>(&size), 4) + table + std::string(1, '\0')));
  };
  EXPECT_FALSE(is_safe_sentencepiece_model(with_table(1024, 255)));         // fewer units than bytes have values
  EXPECT_FALSE(is_safe_sentencepiece_model(with_table(0xfffffc00u, 256)));  // far outside
  EXPECT_FALSE(is_safe_sentencepiece_model(with_table(0, 256)));            // its own child: a circle
  EXPECT_FALSE(is_safe_sentencepiece_model(field(3, field(2, "abc"))));     // no room for its length
  EXPECT_FALSE(is_safe_sentencepiece_model(field(3, field(2, "\xff\xff\xff\xff table"))));
}

TEST(SentencePieceGuard, RefusesMoreNestedSymbolsThanTheLibraryKeeps) {
  const auto symbols = [](std::size_t count) {
    std::string model;
    for (std::size_t i = 1; i <= count; ++i) model += field(1, field(1, std::string(i, 'a')) + "\x18\x04");
    return model;
  };
  EXPECT_TRUE(is_safe_sentencepiece_model(symbols(64)));
  EXPECT_FALSE(is_safe_sentencepiece_model(symbols(65)));
}

TEST(SentencePieceGuard, RefusesPiecesThatTheLibraryRecursesOver) {
  EXPECT_TRUE(is_safe_sentencepiece_model(field(1, field(1, std::string(4096, 'a')))));
  EXPECT_FALSE(is_safe_sentencepiece_model(field(1, field(1, std::string(4097, 'a')))));
}

TEST(SentencePieceGuard, RefusesWhatIsNoMessage) {
  for (const char* bad : {"\x0a\x05"
                          "ab",
                          "\x0b", "\x08", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x09 123"})
    EXPECT_FALSE(is_safe_sentencepiece_model(bad)) << bad;
}

}  // namespace
}  // namespace batchscope
