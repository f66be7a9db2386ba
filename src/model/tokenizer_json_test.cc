// tokenizer.json: every part that is not supported is refused by its name; damage is named by its place.
#include "model/tokenizer_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/error.h"
#include "base/json.h"
#include "model/test_tokenizers.h"

namespace batchscope {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json plain_file() {
  return {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
}

std::string file_error(const json& file) {
  try {
    make_pipeline_tokenizer(parse_tokenizer_json(file.dump(), "t.json"), "t.json");
  } catch (const InputError& error) {
    return error.what();
  }
  return "no error";
}

json with_part(const char* part, json value) {
  json file = plain_file();
  file[part] = std::move(value);
  return file;
}

json with_model(const char* key, json value) {
  json file = plain_file();
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
    EXPECT_THAT(file_error(file), testing::AllOf(HasSubstr("t.json: "), HasSubstr(std::string(what)))) << file;
  };
  for (const char* part : {"normalizer", "pre_tokenizer", "post_processor", "decoder"})
    unsupported(with_part(part, {{"type", "Odd"}}),
                std::string(part) + ".type: not supported yet: \"Odd\"; supported: ");
  unsupported(with_part("normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "Precompiled"}}}}}),
              "normalizer.normalizers[0].type: not supported yet: \"Precompiled\"");
  unsupported(with_model("type", "Unigram"), "model.type: not supported yet: \"Unigram\"; supported: BPE");
  unsupported(with_model("dropout", 0.1), "model.dropout");
  unsupported(with_model("continuing_subword_prefix", "##"), "model.continuing_subword_prefix");
  unsupported(with_model("end_of_word_suffix", "</w>"), "model.end_of_word_suffix");
  unsupported(
      with_part("pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "\\b"}}}, {"behavior", "Isolated"}}),
      "pre_tokenizer.pattern.Regex: not supported yet: \\b in the regular expression");
}

TEST(TokenizerJson, NamesWhatIsDamaged) {
  const auto damaged = [](const json& file, const char* what) {
    EXPECT_THAT(file_error(file), HasSubstr(what)) << file;
  };
  damaged(json::object(), "model: expected an object, found nothing");
  damaged(with_model("merges", {"a b c"}), "model.merges[0]: expected two tokens");
  damaged(with_model("merges", {"a x"}), "a merge needs the token \"x\"");
  damaged(with_model("vocab", {{"a", -1}}), "model.vocab.a: expected a token id");
  damaged(with_model("vocab", {{"a", 1e9}}), "model.vocab.a: expected a token id");
  damaged(with_part("added_tokens", {{{"id", 0}}}), "added_tokens[0].content: expected a text");
  damaged(with_part("added_tokens", 3), "added_tokens: expected a list of objects, found 3");
  damaged(with_part("pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "__"}}),
          "replacement: expected one character");
  damaged(with_part("pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}}),
          "prepend_scheme: expected \"always\"");
  damaged(with_part("post_processor", {{"type", "TemplateProcessing"}, {"single", json::array()}}), "single: expected");
  const json template_of_9 = {{"type", "TemplateProcessing"},
                              {"single", {{{"SpecialToken", {{"id", "x"}}}}, {{"Sequence", {{"id", "A"}}}}}},
                              {"special_tokens", {{"x", {{"ids", {9}}}}}}};
  damaged(with_part("post_processor", template_of_9),
          "texts should begin or end with the token 9, but there are only 3");
  json emptied = with_part("normalizer", {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}});
  emptied["added_tokens"] = {{{"id", 3}, {"content", " "}, {"normalized", true}}};
  damaged(emptied, "normalisation leaves nothing of the added token \" \"");
}

// Files of some kilobytes must not make gigabytes or hours, of whatever text.
TEST(TokenizerJson, StepsThatMultiplyEndWithAnError) {
  const auto replace = [](json pattern, const std::string& content) -> json {
    return {{"type", "Replace"}, {"pattern", std::move(pattern)}, {"content", content}};
  };
  const auto sequence = [](const char* list, std::vector<json> steps) -> json {
    return {{"type", "Sequence"}, {list, std::move(steps)}};
  };
  const std::string many(46400, 'a');
  const auto encode_error = [](const json& file) -> std::string {
    try {
      const auto tokenizer = make_pipeline_tokenizer(parse_tokenizer_json(file.dump(), "t.json"), "t.json");
      tokenizer->decode(tokenizer->encode("a\u00e9"));
    } catch (const InputError& error) {
      return error.what();
    }
    return "none";
  };
  const json doubled = replace({{"String", "a"}}, "aa");
  for (const json& file :
       {with_part("normalizer", sequence("normalizers", std::vector<json>(60, doubled))),
        with_part("normalizer",
                  sequence("normalizers",
                           {replace({{"String", "a"}}, many), replace({{"String", "a"}}, many), {{"type", "NFC"}}})),
        with_part("normalizer",
                  sequence("normalizers", {replace({{"Regex", "(?=a)|"}}, many), replace({{"Regex", ""}}, many)})),
        with_part("pre_tokenizer", sequence("pretokenizers", std::vector<json>(60, {{"type", "ByteLevel"},
                                                                                    {"add_prefix_space", false},
                                                                                    {"use_regex", false}}))),
        with_part("decoder", sequence("decoders", std::vector<json>(60, doubled)))})
    EXPECT_THAT(encode_error(file), HasSubstr("t.json: its steps make a text more than 64 times as long")) << file;
  EXPECT_THAT(file_error(with_part("normalizer", sequence("normalizers", std::vector<json>(257, {{"type", "NFC"}})))),
              HasSubstr("t.json: normalizer: expected no more than 256 steps"));
}

TEST(TokenizerJson, TemplatesAreShort) {
  const auto with_ids = [](std::size_t parts, std::size_t ids) {
    std::vector<json> single(parts, {{"SpecialToken", {{"id", "x"}, {"type_id", 0}}}});
    single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
    return with_part("post_processor", {{"type", "TemplateProcessing"},
                                        {"single", single},
                                        {"special_tokens", {{"x", {{"id", "x"}, {"ids", std::vector<int>(ids, 0)}}}}}});
  };
  EXPECT_EQ(file_error(with_ids(2, 512)), "no error");
  EXPECT_THAT(file_error(with_ids(1, 60000)), HasSubstr("no more than 1024 tokens beside the text"));
  EXPECT_THAT(file_error(with_ids(15000, 1000)), HasSubstr("no more than 1024 tokens beside the text"));
}

// Found the slow way: at each place the longest, from left to right.
std::vector<std::pair<std::size_t, std::size_t>> found_slowly(const std::vector<std::string>& texts,
                                                              std::string_view in) {
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (std::size_t at = 0; at < in.size(); ++at) {
    std::size_t longest = 0;
    for (const std::string& text : texts)
      if (in.substr(at).starts_with(text)) longest = std::max(longest, text.size());
    if (longest > 0) found.emplace_back(at, at + longest);
  }
  return found;
}

RC_GTEST_PROP(TextTrie, FindsTheLongestAtEachPlace, ()) {
  const auto text_of = rc::gen::container<std::string>(rc::gen::element('a', 'b', 'c'));
  const auto texts = *rc::gen::container<std::vector<std::string>>(text_of);
  const auto in = *text_of;
  TextTrie trie;
  for (std::size_t i = 0; i < texts.size(); ++i) trie.add(texts[i], static_cast<std::int32_t>(i));
  trie.finish();
  std::vector<std::pair<std::size_t, std::size_t>> found;
  for (const TextTrie::Match& match : trie.find_all(in)) {
    found.emplace_back(match.begin, match.end);
    RC_ASSERT(in.substr(match.begin, match.end - match.begin) == texts[static_cast<std::size_t>(match.value)]);
  }
  RC_ASSERT(found == found_slowly(texts, in));
}

// The time of each place times the length of the token would be minutes.
TEST(TextTrie, LongTokensCostNoMoreThanShortOnes) {
  TextTrie trie;
  trie.add(std::string(400'000, 'a') + "b", 1);
  trie.add("a", 2);
  trie.finish();
  EXPECT_EQ(trie.find_all(std::string(400'000, 'a')).size(), 400'000U);
  EXPECT_EQ(trie.find_all(std::string(400'000, 'a') + "b").front().value, 1);
}

TEST(AddedTokens, WhiteSpaceAtTheirSidesIsLookedAtOnce) {
  json file = plain_file();
  file["added_tokens"] = {{{"id", 3}, {"content", " "}, {"lstrip", true}, {"rstrip", true}, {"normalized", false}}};
  EXPECT_EQ(
      make_pipeline_tokenizer(parse_tokenizer_json(file.dump(), "t"), "t")->encode(std::string(400'000, ' ')).size(),
      400'000U);
}

}  // namespace
}  // namespace batchscope
