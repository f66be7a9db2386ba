// Reading tokenizer.json (model/tokenizer_json.h): each part's "type" decides what it becomes.
#include "model/tokenizer_json.h"

#include <functional>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "model/unicode_text.h"

namespace batchscope {

const std::string_view gpt2_words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

AddedToken parse_added_token(const JsonObject& token, bool normalized) {
  AddedToken result;
  result.content = token.text("content");
  if (result.content.empty()) token.refuse("content", "a text that is not empty");
  result.special = token.boolean("special", false);
  result.strip_left = token.boolean("lstrip", false);
  result.strip_right = token.boolean("rstrip", false);
  result.single_word = token.boolean("single_word", false);
  result.normalized = token.boolean("normalized", normalized);
  return result;
}

namespace {

using nlohmann::json;

constexpr std::size_t most_steps = 256;             // of a kind
constexpr std::size_t most_template_tokens = 1024;  // before and behind each text

[[noreturn]] void refuse_type(const JsonObject& object, std::string_view supported) {
  throw InputError("{}: not supported yet: {}; supported: {}", object.name("type"), quote(object.text("type")),
                   supported);
}

void each_object(const JsonObject& object, std::string_view key, const std::function<void(const JsonObject&)>& visit) {
  const json* list = object.find(key);
  if (list == nullptr || !list->is_array()) object.refuse(key, "a list of objects");
  const std::string prefix = object.name(key).substr(object.where().size() + 2);
  for (std::size_t i = 0; i < list->size(); ++i)
    visit(JsonObject((*list)[i], object.where(), fmt::format("{}[{}].", prefix, i)));
}

TextPattern parse_pattern(const JsonObject& step) {
  const JsonObject pattern = step.object("pattern");
  if (pattern.has("String")) return TextPattern(pattern.text("String"));
  return TextPattern(RegularExpression(pattern.text("Regex"), pattern.name("Regex")));
}

TextPattern known_pattern(std::string_view pattern) { return TextPattern(RegularExpression(pattern, "tokenizer")); }

// One character that stands for a space.
std::string parse_replacement(const JsonObject& step) {
  const std::string mark = step.text("replacement");
  if (code_points(mark) != 1) step.refuse("replacement", "one character");
  return mark;
}

// The new spelling is "prepend_scheme", the old one "add_prefix_space".
MarkFirst parse_prepend_scheme(const JsonObject& step) {
  const bool prefix = step.boolean("add_prefix_space", true);
  const std::string scheme = step.text("prepend_scheme", prefix ? "always" : "never");
  if (!prefix && scheme != "never") step.refuse("prepend_scheme", "\"never\", as add_prefix_space is false");
  if (scheme == "always") return MarkFirst::always;
  if (scheme == "never") return MarkFirst::never;
  if (scheme == "first") return MarkFirst::first;
  step.refuse("prepend_scheme", "\"always\", \"never\" or \"first\"");
}

SplitBehavior parse_behavior(const JsonObject& step) {
  const std::string behavior = step.text("behavior", "Isolated");
  if (behavior == "Isolated") return SplitBehavior::isolated;
  if (behavior == "Removed") return SplitBehavior::removed;
  if (behavior == "Contiguous") return SplitBehavior::contiguous;
  if (behavior == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (behavior == "MergedWithNext") return SplitBehavior::merged_with_next;
  step.refuse("behavior", "\"Isolated\", \"Removed\", \"Contiguous\", \"MergedWithPrevious\" or \"MergedWithNext\"");
}

void add_normalizers(const JsonObject& step, std::vector<Normalizer>& steps) {
  const std::string type = step.text("type");
  if (type == "Sequence") {
    each_object(step, "normalizers", [&](const JsonObject& each) { add_normalizers(each, steps); });
  } else if (type == "Prepend") {
    steps.emplace_back(PrependText{step.text("prepend")});
  } else if (type == "Replace") {
    steps.emplace_back(ReplaceText{parse_pattern(step), step.text("content")});
  } else if (type == "NFC") {
    steps.emplace_back(UnicodeForm::nfc);
  } else if (type == "NFD") {
    steps.emplace_back(UnicodeForm::nfd);
  } else if (type == "NFKC") {
    steps.emplace_back(UnicodeForm::nfkc);
  } else if (type == "NFKD") {
    steps.emplace_back(UnicodeForm::nfkd);
  } else if (type == "Lowercase") {
    steps.emplace_back(LowerCase{});
  } else if (type == "Strip") {
    steps.emplace_back(StripText{step.boolean("strip_left", true), step.boolean("strip_right", true)});
  } else {
    refuse_type(step, "Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip");
  }
}

void add_metaspace(const JsonObject& step, std::vector<PreTokenizer>& steps) {
  const std::string mark = parse_replacement(step);
  steps.emplace_back(MarkSpaces{mark, parse_prepend_scheme(step)});
  if (step.boolean("split", true))
    steps.emplace_back(SplitWords{TextPattern(mark), SplitBehavior::merged_with_next, false});
}

void add_byte_level(const JsonObject& step, std::vector<PreTokenizer>& steps) {
  if (step.boolean("add_prefix_space", true)) steps.emplace_back(PrependSpace{});
  if (step.boolean("use_regex", true)) steps.emplace_back(SplitWords{known_pattern(gpt2_words)});
  steps.emplace_back(WriteBytes{});
}

void add_pre_tokenizers(const JsonObject& step, std::vector<PreTokenizer>& steps) {
  const std::string type = step.text("type");
  const auto split = [&](std::string_view pattern, SplitBehavior behavior, bool invert = false) {
    steps.emplace_back(SplitWords{known_pattern(pattern), behavior, invert});
  };
  if (type == "Sequence") {
    each_object(step, "pretokenizers", [&](const JsonObject& each) { add_pre_tokenizers(each, steps); });
  } else if (type == "ByteLevel") {
    add_byte_level(step, steps);
  } else if (type == "Split") {
    steps.emplace_back(SplitWords{parse_pattern(step), parse_behavior(step), step.boolean("invert", false)});
  } else if (type == "Metaspace") {
    add_metaspace(step, steps);
  } else if (type == "Digits") {
    const bool individual = step.boolean("individual_digits", false);
    split(R"(\p{N})", individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
  } else if (type == "Whitespace") {  // here \w knows the joiners, too
    split(R"([\w\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\s]+)", SplitBehavior::removed,
          true);
  } else if (type == "WhitespaceSplit") {
    split(R"(\s)", SplitBehavior::removed);
  } else if (type == "Punctuation") {
    split(R"([\p{P}$+<=>\^`|~])", parse_behavior(step));
  } else {
    refuse_type(step, "Sequence, ByteLevel, Split, Metaspace, Digits, Whitespace, WhitespaceSplit, Punctuation");
  }
}

// "special_tokens": name -> ids.
void append_special(const JsonObject& processor, const JsonObject& part, std::vector<std::int32_t>& ids) {
  const JsonObject token = processor.object("special_tokens").object(part.text("id"));
  const json* list = token.find("ids");
  if (list == nullptr || !list->is_array()) token.refuse("ids", "a list of token ids");
  for (const json& id : *list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > largest_token_id) token.refuse("ids", "a list of token ids");
    ids.push_back(id.get<std::int32_t>());
  }
  if (ids.size() > most_template_tokens)
    token.refuse("ids", fmt::format("no more than {} tokens beside the text", most_template_tokens));
}

void check_steps(std::size_t count, const JsonObject& file, const char* key) {
  if (count > most_steps) file.refuse(key, fmt::format("no more than {} steps", most_steps));
}

void add_template(const JsonObject& processor, PipelineModel& model) {
  std::vector<std::int32_t> before, behind;
  int texts = 0;
  each_object(processor, "single", [&](const JsonObject& part) {
    if (part.has("SpecialToken")) {
      append_special(processor, part.object("SpecialToken"), texts == 0 ? before : behind);
    } else {
      if (part.object("Sequence").text("id") != "A") part.object("Sequence").refuse("id", "\"A\"");
      ++texts;
    }
  });
  if (texts != 1) processor.refuse("single", "the text once (\"A\")");
  if (model.before.size() + model.behind.size() + before.size() + behind.size() > most_template_tokens)
    processor.refuse("single", fmt::format("no more than {} tokens beside the text", most_template_tokens));
  model.before.insert(model.before.begin(), before.begin(), before.end());
  model.behind.insert(model.behind.end(), behind.begin(), behind.end());
}

void add_processors(const JsonObject& processor, PipelineModel& model) {
  const std::string type = processor.text("type");
  if (type == "Sequence") {
    each_object(processor, "processors", [&](const JsonObject& each) { add_processors(each, model); });
  } else if (type == "TemplateProcessing") {
    add_template(processor, model);
  } else if (type != "ByteLevel") {  // that one only changes offsets
    refuse_type(processor, "Sequence, TemplateProcessing, ByteLevel");
  }
}

void add_decoders(const JsonObject& step, std::vector<TokenDecoder>& steps) {
  const std::string type = step.text("type");
  if (type == "Sequence") {
    each_object(step, "decoders", [&](const JsonObject& each) { add_decoders(each, steps); });
  } else if (type == "ByteLevel") {
    steps.emplace_back(ReadByteCharacters{});
  } else if (type == "Replace") {
    steps.emplace_back(ReplaceText{parse_pattern(step), step.text("content")});
  } else if (type == "ByteFallback") {
    steps.emplace_back(ReadFallbackBytes{});
  } else if (type == "Fuse") {
    steps.emplace_back(FuseTokens{});
  } else if (type == "Strip") {
    steps.emplace_back(StripCharacters{step.text("content"),
                                       static_cast<std::size_t>(step.integer("start", 0, 1 << 20)),
                                       static_cast<std::size_t>(step.integer("stop", 0, 1 << 20))});
  } else if (type == "Metaspace") {
    steps.emplace_back(ReadMarks{parse_replacement(step), parse_prepend_scheme(step) != MarkFirst::never});
  } else {
    refuse_type(step, "Sequence, ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace");
  }
}

void read_vocabulary(const JsonObject& model, Vocabulary& vocabulary) {
  const JsonObject tokens = model.object("vocab");
  vocabulary.reserve(tokens.value().size());
  for (const auto& [token, id] : tokens.value().items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > largest_token_id)
      tokens.refuse(token, fmt::format("a token id from 0 to {}", largest_token_id));
    vocabulary.emplace(token, id.get<std::int32_t>());
  }
}

// Each merge is "left right", or since 2024 ["left", "right"].
void read_merges(const JsonObject& model, BpeModel& bpe) {
  const json* list = model.find("merges");
  if (list == nullptr || !list->is_array()) model.refuse("merges", "a list");
  bpe.merges.reserve(list->size());
  for (std::size_t i = 0; i < list->size(); ++i) {
    const json& merge = (*list)[i];
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      bpe.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    if (text.starts_with("#version")) continue;
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      throw InputError("{}[{}]: expected two tokens", model.name("merges"), i);
    bpe.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
}

BpeModel parse_bpe(const JsonObject& model) {
  const std::string type = model.text("type", model.has("merges") ? "BPE" : "none");
  if (type != "BPE") refuse_type(model, "BPE");
  BpeModel bpe;
  if (const json* dropout = model.find("dropout"); dropout != nullptr && *dropout != 0)
    model.refuse("dropout", "null (merges left out at random are not supported)");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!model.text(key, "").empty()) model.refuse(key, "null (not supported yet)");
  read_vocabulary(model, bpe.vocabulary);
  read_merges(model, bpe);
  if (model.has("unk_token")) bpe.unknown = model.text("unk_token");
  bpe.fuse_unknown = model.boolean("fuse_unk", false);
  bpe.byte_fallback = model.boolean("byte_fallback", false);
  bpe.ignore_merges = model.boolean("ignore_merges", false);
  return bpe;
}

}  // namespace

PipelineModel parse_tokenizer_json(std::string_view text, std::string_view origin) {
  const json content = parse_json(text, origin);
  const JsonObject file(content, std::string(origin));
  PipelineModel model;
  model.bpe = parse_bpe(file.object("model"));
  if (file.has("normalizer")) add_normalizers(file.object("normalizer"), model.normalizers);
  if (file.has("pre_tokenizer")) add_pre_tokenizers(file.object("pre_tokenizer"), model.pre_tokenizers);
  if (file.has("post_processor")) add_processors(file.object("post_processor"), model);
  if (file.has("decoder")) add_decoders(file.object("decoder"), model.decoders.emplace());
  check_steps(model.normalizers.size(), file, "normalizer");
  check_steps(model.pre_tokenizers.size(), file, "pre_tokenizer");
  if (model.decoders) check_steps(model.decoders->size(), file, "decoder");
  if (file.has("added_tokens"))
    each_object(file, "added_tokens", [&](const JsonObject& token) {
      model.added.push_back(parse_added_token(token, true));
      model.added.back().id = static_cast<std::int32_t>(token.integer("id", 0, largest_token_id));
    });
  return model;
}

}  // namespace batchscope
