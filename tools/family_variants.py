#!/usr/bin/env python3
"""Makes small random models of the LLaMA family with transformers and compares batchscope with them.

Every variant sets other fields: biases, QK norm, windows, RoPE scaling and its old spellings, heads. For each, item by
item: token counts, log-likelihoods (within 1e-3 + 1e-6 |ll|, computed in f32) in several layouts, fusions and
packings, and 64 greedy tokens.

    python tools/family_variants.py --folder /tmp/family --program build/release/batchscope [--only qwen]

Needs torch, transformers and sentencepiece (pip install torch transformers sentencepiece); nothing else here does.
"""
import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import sentencepiece
import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
TOKENIZER = ROOT / "models" / "tiny" / "tokenizer.model"
QUESTIONS = ROOT / "models" / "tiny" / "questions.jsonl"
ITEMS = 8
CONTEXTS = 3           # of the tiny world's, joined to one long context
NEW_TOKENS = 64

SIZES = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 3, "num_attention_heads": 8,
         "num_key_value_heads": 4, "vocab_size": 512, "max_position_embeddings": 512, "bos_token_id": 1,
         "eos_token_id": None, "pad_token_id": None}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}


def yarn(**more):
    return {"rope_parameters": {**YARN, **more}}


def old_spelling(config):
    """As files of transformers 4 have it."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    config["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    config["torch_dtype"] = config.pop("dtype")


def both_spellings(config):
    config["rope_scaling"] = dict(config["rope_parameters"])
    config["rope_theta"] = config["rope_parameters"]["rope_theta"]


# name: family, fields, what becomes of the written config.json
VARIANTS = {
    "llama": ("llama", {}, None),
    "llama-old": ("llama", {}, old_spelling),
    "llama-mqa": ("llama", {"num_key_value_heads": 1}, None),
    "llama-mha-wide-heads": ("llama", {"num_key_value_heads": 8, "head_dim": 24}, None),
    "llama-five-heads": ("llama", {"hidden_size": 60, "num_attention_heads": 5, "num_key_value_heads": 5}, None),
    "llama-attention-bias": ("llama", {"attention_bias": True}, None),
    "llama-mlp-bias-tied": ("llama", {"mlp_bias": True, "tie_word_embeddings": True}, None),
    "llama-all-biases": ("llama", {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 2}, None),
    "llama-linear": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}}, None),
    "llama-linear-old": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.5}},
                         old_spelling),
    "llama-dynamic": ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, None),
    "llama-dynamic-beyond": ("llama", {"max_position_embeddings": 40, "rope_parameters": {
        "rope_type": "dynamic", "rope_theta": 1e4, "factor": 8.0}}, None),
    "llama-llama3": ("llama", {"rope_parameters": LLAMA3}, None),
    "llama-llama3-old": ("llama", {"rope_parameters": {**LLAMA3, "factor": 32.0}}, old_spelling),
    "llama-llama3-both": ("llama", {"rope_parameters": LLAMA3, "head_dim": 20}, both_spellings),
    "llama-yarn": ("llama", yarn(), None),
    "llama-yarn-attention-factor": ("llama", yarn(attention_factor=0.6), None),
    "mistral-window": ("mistral", {"sliding_window": 24}, None),
    "mistral-window-one": ("mistral", {"sliding_window": 1, "num_key_value_heads": 2}, None),
    "mistral-no-window": ("mistral", {"sliding_window": None, "head_dim": 16}, None),
    "mistral-yarn-old": ("mistral", {**yarn(beta_fast=8.0, beta_slow=2.0), "sliding_window": 50}, old_spelling),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}, None),
    "qwen2-windows": ("qwen2", {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}, None),
    "qwen2-layer-types": ("qwen2", {"use_sliding_window": True, "sliding_window": 30, "max_window_layers": 0,
                                    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
                          None),
    "qwen2-yarn-old": ("qwen2", yarn(truncate=False), old_spelling),
    "qwen2-yarn-mscale": ("qwen2", yarn(mscale=2.0, mscale_all_dim=0.5), None),
    "qwen3": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}, None),
    "qwen3-bias": ("qwen3", {"head_dim": 8, "attention_bias": True, "num_key_value_heads": 1}, None),
    "qwen3-windows-yarn": ("qwen3", {**yarn(mscale=0.7), "head_dim": 12, "use_sliding_window": True,
                                     "sliding_window": 17, "max_window_layers": 2}, None),
    "qwen3-linear": ("qwen3", {"head_dim": 32, "num_attention_heads": 3, "num_key_value_heads": 3,
                               "rope_parameters": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0}}, None),
}
RUNS = ["--parallel tp1 --fusion off --packing padded", "--parallel tp1 --fusion on --packing packed",
        "--parallel tp2 --fusion on --packing prefix", "--parallel tp3 --fusion on --packing padded",
        "--parallel tp3 --fusion off --packing packed", "--parallel mp2 --fusion off --packing prefix",
        "--parallel pp2 --fusion on --packing packed", "--parallel mp3.tp2 --fusion qkv,norm --packing prefix"]


def randomise(model, seed):
    """Weights that every part of shows in the scores: transformers begins biases at 0 and norms at 1."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("norm.weight"):
                parameter.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                parameter.normal_(0, 0.5)
            else:
                parameter.normal_(0, 2.5 / parameter.shape[-1] ** 0.5 if "proj" in name else 0.3)


def make(folder, family, fields, respell, seed):
    config = transformers.AutoConfig.for_model(family, **{**SIZES, **fields})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomise(model, seed)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    shutil.copy(TOKENIZER, folder)
    shutil.copy(TOKENIZER.parent / "tokenizer_config.json", folder)
    if respell:
        path = folder / "config.json"
        written = json.loads(path.read_text())
        respell(written)
        path.write_text(json.dumps(written, indent=1))
    # What counts is what transformers makes of the files.
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def write_task(path):
    items = [json.loads(line) for line in QUESTIONS.read_text().splitlines()]
    with open(path, "w") as out:
        for i in range(ITEMS):
            contexts = [item["context"] for item in items[CONTEXTS * i: CONTEXTS * (i + 1)][: 1 + i % CONTEXTS]]
            item = {**items[CONTEXTS * i], "id": i, "context": " ".join(contexts)}
            out.write(json.dumps(item) + "\n")


@torch.no_grad()
def reference_scores(model, tokenizer, task):
    def encode(text):
        return [tokenizer.bos_id()] + tokenizer.encode(text)

    scores = []
    for line in task.read_text().splitlines():
        item = json.loads(line)
        context = len(encode(item["context"]))
        tokens, sums = [context], []
        for choice in item["choices"]:
            whole = encode(item["context"] + " " + choice)
            tokens.append(len(whole))
            cut = max(len(whole) - model.config.max_position_embeddings - 1, 0)  # on the left, as lm-eval does
            scored = min(len(whole) - context, len(whole) - cut - 1)
            whole = whole[cut:]
            logits = model(torch.tensor([whole[:-1]])).logits[0].log_softmax(-1)
            sums.append(sum(logits[i - 1, whole[i]].item() for i in range(len(whole) - scored, len(whole))))
        scores.append({"tokens": tokens, "ll": sums})
    return scores


@torch.no_grad()
def reference_tokens(model, prompt):
    # transformers' cache for a window of 1 keeps all keys where it means to keep none: without it the tokens are right.
    cached = getattr(model.config, "sliding_window", None) != 1
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                         max_new_tokens=NEW_TOKENS, do_sample=False, use_cache=cached)
    return out[0].tolist()


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def scores_of(program, folder, task, flags):
    items = folder / "items.jsonl"
    run([program, "eval", "--model", folder, "--task", task, "--device", "cpu:6", "--batch", "8", "--items", items,
         "--when-too-long", "truncate", *flags.split()])
    return [json.loads(line) for line in items.read_text().splitlines()]


def largest_excess(ours, reference):
    """Of |difference| - 1e-6 |ll|; infinite where token counts differ."""
    worst = 0.0
    for mine, theirs in zip(ours, reference, strict=True):
        if mine["tokens"] != theirs["tokens"]:
            return float("inf")
        worst = max([worst] + [abs(a - b) - 1e-6 * abs(b) for a, b in zip(mine["ll"], theirs["ll"], strict=True)])
    return worst


def compare(program, folder, task, model, tokenizer):
    reference = reference_scores(model, tokenizer, task)
    worst = max(largest_excess(scores_of(program, folder, task, flags), reference) for flags in RUNS)
    prompt = "The lamp is in the bag. " * 3
    wanted = reference_tokens(model, [tokenizer.bos_id()] + tokenizer.encode(prompt))
    greedy = 0
    for flags in ("--parallel tp1 --fusion off", "--parallel tp2 --fusion on", "--parallel mp2 --fusion on"):
        out = run([program, "generate", "--model", folder, "--prompt", prompt, "--new-tokens", str(NEW_TOKENS), "--ids",
                   "--device", "cpu:2", *flags.split()])
        greedy += json.loads(out) == wanted
    return worst, greedy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the models go")
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "release" / "batchscope")
    parser.add_argument("--only", default="", help="variants whose name begins so")
    options = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    options.folder.mkdir(parents=True, exist_ok=True)
    task = options.folder / "task.jsonl"
    write_task(task)
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    failed = 0
    for seed, (name, (family, fields, respell)) in enumerate(VARIANTS.items()):
        if not name.startswith(options.only):
            continue
        folder = options.folder / name
        model = make(folder, family, fields, respell, seed)
        worst, greedy = compare(options.program, folder, task, model, tokenizer)
        good = worst <= 1e-3 and greedy == 3
        failed += not good
        print(f"{name:30} worst |dLL| {worst:.2e}   greedy {greedy} of 3   {'ok' if good else 'DIFFERS'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
