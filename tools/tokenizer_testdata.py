#!/usr/bin/env python3
"""Trains small tokenizers on the tiny world and writes them with the ids that transformers gives for hard texts.

    pip install transformers==5.23.0 tokenizers==0.23.3
    python tools/tokenizer_testdata.py src/model/testdata/tokenizers

texts.jsonl gets the texts, one a line, and each folder tokenizer.json, tokenizer_config.json and expected.jsonl, one
[ids, decoded text] for each text.
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

import tiny_world

WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
CASES = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
         r"|[^\r\n\p{L}\p{N}]?+[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
         r"|\p{N}{1,2}+| ?[^\s\p{L}\p{N}]++[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARK = "\u2581"
BYTES = [f"<0x{b:02X}>" for b in range(256)]
NAMED = ["<unk>", "<s>", "</s>"]
ADDED = [
    AddedToken("<l>", lstrip=True, special=True), AddedToken("<r>", rstrip=True, special=True),
    AddedToken("<lr>", lstrip=True, rstrip=True, normalized=False), AddedToken("<NORM>", normalized=True),
    AddedToken("word", single_word=True, normalized=True), AddedToken("<r><l>", special=True),
    AddedToken("<|endoftext|>", special=True),
]
TEXTS = [
    "", " ", "Hello world", "  two  spaces ", " lead", "trail ", "Ana has a red kite.", "a</s>b", "<s>a <s> b", "</s>",
    "x<unk>y", "tab\tnew\nline\r\n", "\0\1\x1f\x7f", "\u65e5\u672c\u8a9e \U0001f642 \xf1", "\u2581under \u2581score",
    "<s> </s>", " </s> hi", "a<s", "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "\xe9 e\u0301 \ufb01 \u212b \xbd \u2167 \u1e9b\u0323", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u200b\u200d\ufeffx",
    "\u180e a\u180eb\u0085c\u2028d\xa0e\u3000f\x1cg", "a" * 90, "ab" * 60, "red kite " * 20, " " * 70 + "x", "\n" * 60,
    "1234567 12 x1", "3.14e-10 $1,234.56 50%", "I'm we'RE he'S they'LL \u017f 'S 'K", "HELLO WorldCamel", "a_b __init__",
    "<|endoftext|>a<|endoftext|>b", "\u0130 \u03a3\u0391\u03a3 \u1e9e \u01c5", "\u0661\u0662\u0663 \u2460 \u2163",
    "?!\n\n?", "x \r\n\r\n y", "a\n\n\nb  c   1    e", "\u1100\u1161\u11a8 \uac00", "\uff26\uff35\uff2c\uff2c", "~^`+$<=>|",
    "<l>  x  <l>  <r>  y <lr>  z <lr> <lr>", "<NORM> <norm> x<NORM>", "word words aword a word. w\u00f6rd_word",
    "<r><l> <r>  <l>", " \u2581 \u2581\u2581 x\u2581y", "\u2581", "\U0010ffff\ue000\ufffd", "!" * 60, "\xc4\xa0\u0120\u010a",
]


def story(seed):
    return " ".join(text for _, text in tiny_world.training_stories(seed, 3))


def build(model, pre=None, norm=None, dec=None, special=NAMED, byte_level=False, size=480, post=None):
    tokenizer = Tokenizer(model)
    for name, part in (("pre_tokenizer", pre), ("normalizer", norm), ("decoder", dec)):
        if part is not None:
            setattr(tokenizer, name, part)
    extra = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()} if byte_level else {}
    texts = [story(seed) for seed in range(60)] + [text for text in TEXTS if text.isprintable()]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, show_progress=False, limit_alphabet=256, **extra))
    if post:
        tokenizer.post_processor = post(tokenizer)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def begin(tokenizer, behind=""):
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    return processors.TemplateProcessing(single="<s> $A" + behind, pair="<s> $A $B", special_tokens=ids)


def split(pattern, **more):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), **({"behavior": "isolated"} | more)),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tokenizers():
    level, space = pre_tokenizers.ByteLevel, pre_tokenizers.Metaspace
    bpe, sequence = models.BPE, normalizers.Sequence
    pieces = decoders.Sequence([decoders.Replace(MARK, " "), decoders.ByteFallback(), decoders.Fuse(),
                                decoders.Strip(" ", 1, 0)])
    yield "gpt2", None, build(bpe(), level(add_prefix_space=True), dec=decoders.ByteLevel(), byte_level=True)
    yield "digits", None, build(
        bpe(), pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level(add_prefix_space=False)]),
        dec=decoders.ByteLevel(), byte_level=True)
    yield "llama3", None, build(
        bpe(ignore_merges=True), split(WORDS % "{1,3}"), dec=decoders.ByteLevel(), byte_level=True,
        post=lambda t: processors.Sequence([processors.ByteLevel(trim_offsets=False), begin(t, " </s>")]))
    yield "qwen2", "Qwen2Tokenizer", build(bpe(), split(WORDS % ""), normalizers.NFC(), decoders.ByteLevel(), byte_level=True)
    yield "cases", None, build(bpe(), split(CASES, behavior="removed", invert=True), dec=decoders.ByteLevel(),
                               byte_level=True, post=begin)
    yield "llama", None, build(
        bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), norm=sequence(
            [normalizers.Prepend(MARK), normalizers.Replace(" ", MARK)]), dec=pieces, special=NAMED + BYTES, post=begin)
    yield "llama_class", "LlamaTokenizer", build(
        bpe(unk_token="<unk>", fuse_unk=True, byte_fallback=True), space(prepend_scheme="first"), dec=pieces,
        special=NAMED + BYTES, post=begin)
    yield "metaspace", None, build(
        bpe(unk_token="<unk>", fuse_unk=True), space(prepend_scheme="first"), sequence(
            [normalizers.NFKC(), normalizers.Strip(), normalizers.Lowercase(), normalizers.Replace(Regex("[!?]{2,}"), "!")]),
        decoders.Metaspace(prepend_scheme="first"), post=begin)
    yield "words", None, build(
        bpe(unk_token="<unk>"), pre_tokenizers.Sequence([
            pre_tokenizers.Whitespace(), pre_tokenizers.Digits(), pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.Split("e", "merged_with_next"), pre_tokenizers.Split("o", "merged_with_previous")]),
        normalizers.NFKD())


def main():
    random.seed(1)
    parts = [text for text in TEXTS if len(text) < 12] + [token.content for token in ADDED] + [" ", "\n"]
    texts = TEXTS + [story(1000)] + ["".join(random.choices(parts, k=random.randint(2, 9))) for _ in range(40)]
    os.makedirs(sys.argv[1], exist_ok=True)
    with open(os.path.join(sys.argv[1], "texts.jsonl"), "w") as f:
        f.writelines(json.dumps(text) + "\n" for text in texts)
    for name, of_class, tokenizer in tokenizers():
        folder = os.path.join(sys.argv[1], name)
        os.makedirs(folder, exist_ok=True)
        content = json.loads(tokenizer.to_str())
        content["added_tokens"] = [each for each in content["added_tokens"] if each["content"] not in BYTES]
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            json.dump(content, f, separators=(",", ":"))
        config = {"tokenizer_class": of_class or "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
                  "unk_token": "<unk>"}
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump(config, f)
        reference = AutoTokenizer.from_pretrained(folder)
        with open(os.path.join(folder, "expected.jsonl"), "w") as f:
            for text in texts:
                ids = reference.encode(text)
                decoded = reference.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                f.write(json.dumps([ids, decoded], separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
