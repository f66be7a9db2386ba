// tokenizer.json: every part that is not supported is refused by its name; damage is named by its place.
#include "model/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

json plain() { return {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}}; }

std::string error_of(const json& file) {
  try {
    make_pipeline_tokenizer(parse_tokenizer_json(file.dump(), "t.json"), "t.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

json with(const char* part, json value) {
  json file = plain();
  file[part] = std::move(value);
  return file;
}

json with_model(const char* key, json value) {
  json file = plain();
  file["model"][key] = std::move(value);
  return file;
}

TEST(TokenizerJson, ReadsMergesInBothSpellings) {
  for (const json& merges :
       {json::array({"a b"}), json::array({json::array({"a", "b"})}), json::array({"#version: 0.2", "a b"})}) {
    const std::string file = with_model("merges", merges).dump();
    EXPECT_EQ(make_pipeline_tokenizer(parse_tokenizer_json(file, "t"), "t")->encode("aba"), (Ids{2, 0}));
  }
}

TEST(TokenizerJson, NamesWhatIsNotSupported) {
  const auto unsupported = [](const json& file, std::string_view what) {
    EXPECT_THAT(error_of(file), testing::AllOf(HasSubstr("t.json: "), HasSubstr(std::string(what)))) << file;
  };
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"})
    unsupported(with(part, {{"type", "Odd"}}), std::string(part) + ".type: not supported yet: \"Odd\"; supported: ");
  unsupported(with("normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Precompiled"}}}}}),
              "normalizer.normalizers[0].type: not supported yet: \"Precompiled\"");
  unsupported(with_model("type", "Unigram"), "model.type: not supported yet: \"Unigram\"; supported: BPE");
  unsupported(with_model("dropout", 0.1), "model.dropout");
  unsupported(with_model("continuing_subword_prefix", "##"), "model.continuing_subword_prefix");
  unsupported(with_model("end_of_word_suffix", "</w>"), "model.end_of_word_suffix");
  unsupported(with("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "\\b"}}}, {"behavior", "Isolated"}}),
              "pre_tokenizer.pattern.Regex: not supported yet: \\b in the regular expression");
}

TEST(TokenizerJson, NamesWhatIsDamaged) {
  const auto damaged = [](const json& file, const char* what) { EXPECT_THAT(error_of(file), HasSubstr(what)) << file; };
  damaged(json::object(), "model: expected an object, found nothing");
  damaged(with_model("merges", {"a b c"}), "model.merges[0]: expected two tokens");
  damaged(with_model("merges", {"a x"}), "a merge needs the token \"x\"");
  damaged(with_model("vocab", {{"a", -1}}), "model.vocab.a: expected a token id");
  damaged(with_model("vocab", {{"a", 1e9}}), "model.vocab.a: expected a token id");
  damaged(with("added_tokens", {{{"id", 0}}}), "added_tokens[0].content: expected a text");
  damaged(with("added_tokens", 3), "added_tokens: expected a list of objects, found 3");
  damaged(with("pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "__"}}), "replacement: expected one character");
  damaged(with("pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}}),
          "prepend_scheme: expected \"always\"");
  damaged(with("post_processor", {{"type", "TemplateProcessing"}, {"single", json::array()}}), "single: expected");
  const json template_of_9 = {{"type", "TemplateProcessing"},
                              {"single", {{{"SpecialToken", {{"id", "x"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                              {"special_tokens", {{"x", {{"ids", {9}}}}}}};
  damaged(with("post_processor", template_of_9), "texts are to begin or end with the token 9, which is none of its 3");
  json emptied = with("normalizer", {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  emptied["added_tokens"] = {{{"id", 3}, {"content", " "}, {"normalized", true}}};
  damaged(emptied, "normalisation leaves nothing of the added token \" \"");
}

}  // namespace
}  // namespace batchscope
