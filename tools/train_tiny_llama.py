#!/usr/bin/env python3
"""Trains the tiny world's model from scratch: tokenizer, LLaMA, question set, checks.

    pip install torch sentencepiece
    python tools/train_tiny_llama.py --out models/tiny

Uses a GPU if PyTorch finds one (minutes), else the CPU (hours). With --keep-tokenizer a tokenizer.model
already in --out is used as it is; with --check nothing is trained, the files in --out
are loaded and scored.
"""
import argparse
import json
import math
import os
import random
import re
import string
import struct
import time
from collections import Counter

import sentencepiece as spm
import torch
import torch.nn as nn
import torch.nn.functional as F

import tiny_world

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 16,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "mlp_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.05,
    "torch_dtype": "float32",
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "add_bos_token": True,
    "add_eos_token": False,
    "legacy": True,
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
}
BOS, EOS = 1, 2
TOKENIZER_STORIES = 20_000
CHUNK_BATCHES = 128            # batches made at a time, sorted by length to save padding
# Looking a fact up is learnt soon from short texts and very late from long ones, so training
# begins with the shortest stories only, and keeps some of them.
FIRST_READER_STEPS = 0.25      # of all steps
CONTEXT_WEIGHT = 0.1           # of a story's own tokens in the loss; what is asked of it has 1
FIRST_READER_SHARE = 0.1       # of the stories, from then on
TRUNCATIONS = (32, 28, 24, 20, 16, 12)


# ---- model: parameter names are those of LlamaForCausalLM ----

class RMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


def rope_tables(config, length, device):
    dim = config["head_dim"]
    inverse = config["rope_theta"] ** (-torch.arange(0, dim, 2, device=device).float() / dim)
    angles = torch.outer(torch.arange(length, device=device).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """RoPE in the rotate_half convention: dimension i is paired with i + head_dim / 2."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-b, a), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj = nn.Linear(c["hidden_size"], self.heads * self.dim, bias=False)
        self.k_proj = nn.Linear(c["hidden_size"], self.kv_heads * self.dim, bias=False)
        self.v_proj = nn.Linear(c["hidden_size"], self.kv_heads * self.dim, bias=False)
        self.o_proj = nn.Linear(self.heads * self.dim, c["hidden_size"], bias=False)

    def forward(self, x, rope):
        b, t, _ = x.shape
        q = rotate(self.q_proj(x).view(b, t, self.heads, self.dim).transpose(1, 2), *rope)
        k = rotate(self.k_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2), *rope)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.dim).transpose(1, 2)
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class MLP(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.up_proj = nn.Linear(c["hidden_size"], c["intermediate_size"], bias=False)
        self.down_proj = nn.Linear(c["intermediate_size"], c["hidden_size"], bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.input_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.self_attn = Attention(c)
        self.post_attention_layernorm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        self.mlp = MLP(c)

    def forward(self, x, rope):
        x = x + self.self_attn(self.input_layernorm(x), rope)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = RMSNorm(c["hidden_size"], c["rms_norm_eps"])


class Llama(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.apply(self.initialise)

    def initialise(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=self.config["initializer_range"])

    def forward(self, ids):
        rope = rope_tables(self.config, ids.shape[1], ids.device)
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, rope)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


# ---- tokenizer ----

def field(number, value):
    """One protobuf field: bool and int as varint, float as 4 bytes, text and messages with their length."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value):
    value &= (1 << 64) - 1     # negative numbers are written as 64-bit two's complement
    data = bytearray()
    while value > 127:
        data.append(value & 127 | 128)
        value >>= 7
    data.append(value)
    return bytes(data)


def train_tokenizer(out, vocab_size):
    """A SentencePiece unigram model with byte fallback and LLaMA's settings, as tokenizer.model.

    With 256 byte pieces there is no room for the trainer's usual sub-words, but the closed
    vocabulary fits as it is: every word becomes one piece with its log-frequency as score;
    letters (rarer than any word) spell other words, bytes everything else.
    """
    normal, unknown, control, byte = 1, 2, 3, 6
    counts = Counter(re.findall(r"[a-zA-Z]+|[.,]", " ".join(
        text for _, text in tiny_world.training_stories(tiny_world.TRAIN_SEED, TOKENIZER_STORIES))))
    total = sum(counts.values())
    pieces = [("<unk>", 0.0, unknown), ("<s>", 0.0, control), ("</s>", 0.0, control)]
    pieces += [(f"<0x{b:02X}>", 0.0, byte) for b in range(256)]
    pieces += [(w if w in ".," else "\u2581" + w, math.log(n / total), normal) for w, n in counts.most_common()]
    pieces += [(c, -math.log(total), normal) for c in "\u2581" + string.ascii_lowercase]
    assert len(pieces) == vocab_size, f"{len(pieces)} pieces, not {vocab_size}: change the word lists or the vocabulary"
    # Unigram, vocabulary size, byte fallback, and the ids of unk, bos, eos and pad.
    trainer = {3: 1, 4: vocab_size, 35: True, 40: 0, 41: BOS, 42: EOS, 43: -1}
    normalizer = {1: "identity", 3: True, 4: False, 5: True}   # dummy prefix, spaces kept and escaped
    message = lambda fields: b"".join(field(k, v) for k, v in fields.items())
    with open(os.path.join(out, "tokenizer.model"), "wb") as f:
        f.write(b"".join(field(1, message(dict(enumerate(p, 1)))) for p in pieces))
        f.write(field(2, message(trainer)) + field(3, message(normalizer)))


def load_tokenizer(out):
    return spm.SentencePieceProcessor(model_file=os.path.join(out, "tokenizer.model"))


# ---- weights file ----

def save_safetensors(path, tensors):
    """8-byte little-endian header length, JSON header padded to 8 bytes, raw F32 data."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name, t in tensors.items():
        data = t.detach().float().cpu().contiguous()
        blob = struct.pack(f"<{data.numel()}f", *data.flatten().tolist())
        header[name] = {"dtype": "F32", "shape": list(data.shape), "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path):
    with open(path, "rb") as f:
        size, = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(size)), bytearray(f.read())
    header.pop("__metadata__", None)
    return {name: torch.frombuffer(data, dtype=torch.float32, offset=h["data_offsets"][0],
                                   count=math.prod(h["shape"])).reshape(h["shape"]).clone()
            for name, h in header.items()}


def save_json(path, value):
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        json.dump(value, f, indent=2)
        f.write("\n")


# ---- training data ----

def padded(rows, fill):
    width = max(len(r) for r in rows)
    return torch.tensor([r + [fill] * (width - len(r)) for r in rows])


def batches(tokenizer, seed, batch_size, avoid, first_reader_steps):
    """Endless batches of (inputs, targets, weights); every sequence is BOS + one story + EOS.

    What a story says is chance, what is asked of it is not: the weights make the model learn the latter.
    """
    order = random.Random(seed)
    chunk = 0
    while True:
        share = 1.0 if chunk * CHUNK_BATCHES < first_reader_steps else FIRST_READER_SHARE
        stories = list(tiny_world.training_stories(f"{seed}/{chunk}", batch_size * CHUNK_BATCHES, avoid, share))
        contexts = tokenizer.encode([context for context, _ in stories])
        texts = tokenizer.encode([text for _, text in stories])
        rows = sorted((([BOS] + text + [EOS], len(context)) for context, text in zip(contexts, texts)),
                      key=lambda row: len(row[0]))
        groups = [rows[i:i + batch_size] for i in range(0, len(rows), batch_size)]
        order.shuffle(groups)
        for group in groups:
            yield (padded([ids[:-1] for ids, _ in group], EOS), padded([ids[1:] for ids, _ in group], EOS),
                   padded([[CONTEXT_WEIGHT] * told + [1.0] * (len(ids) - 1 - told) for ids, told in group], 0.0))
        chunk += 1


def learning_rate(step, steps, peak, warmup=200):
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


def make_optimizer(model, peak):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                             lr=peak, betas=(0.9, 0.95))


def train(model, tokenizer, args, avoid, development):
    optimizer = make_optimizer(model, args.lr)
    start, loss_sum = time.time(), 0.0
    stream = batches(tokenizer, args.seed, args.batch, avoid, args.first_readers * args.steps)
    for step in range(args.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.lr)
        inputs, targets, weights = (t.to(args.device) for t in next(stream))
        losses = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="none")
        loss = (losses * weights.flatten()).sum() / weights.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss_sum += loss.detach()
        if (step + 1) % args.report == 0:
            acc, _, by_kind = accuracy(model, tokenizer, *development, args.device)
            kinds = " ".join(f"{k} {100 * v:.0f}" for k, v in by_kind.items())
            print(f"step {step + 1} loss {float(loss_sum) / args.report:.4f} acc {100 * acc:.1f} "
                  f"({kinds}) {time.time() - start:.0f} s", flush=True)
            loss_sum = 0.0
            save_safetensors(os.path.join(args.out, "model.safetensors"), model.state_dict())
            if 100 * acc >= args.stop_at:
                break
    return step + 1


# ---- scoring ----

def requests(tokenizer, items):
    """Per choice: BOS + ids of context and choice in one piece, and how many belong to the choice."""
    for item in items:
        context = tokenizer.encode(item["context"])
        for choice in item["choices"]:
            whole = tokenizer.encode(item["context"] + item["delimiter"] + choice)
            assert whole[:len(context)] == context, "the split into context and choice is not clean"
            yield [BOS] + whole, len(whole) - len(context)


@torch.no_grad()
def log_likelihoods(model, rows, device, batch_size=256):
    """Sum of the log-probabilities of each row's last `n` tokens; rows are (ids, n)."""
    sums = []
    for i in range(0, len(rows), batch_size):
        part = rows[i:i + batch_size]
        ids = padded([r for r, _ in part], EOS).to(device)
        logp = model(ids[:, :-1]).float().log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].cpu()
        sums += [logp[j, len(r) - 1 - n:len(r) - 1].sum().item() for j, (r, n) in enumerate(part)]
    return sums


def accuracy(model, tokenizer, items, kinds, device, last=None):
    """(acc, acc_norm, acc by kind); with `last` only the last so many tokens are seen."""
    rows = [(r[-last:] if last else r, n) for r, n in requests(tokenizer, items)]
    sums = log_likelihoods(model, rows, device)
    right, right_norm, by_kind = 0, 0, {}
    for i, (item, kind) in enumerate(zip(items, kinds)):
        scores = sums[4 * i:4 * i + 4]
        norms = [s / len(c) for s, c in zip(scores, item["choices"])]
        hit = max(range(4), key=scores.__getitem__) == item["gold"]
        right += hit
        right_norm += max(range(4), key=norms.__getitem__) == item["gold"]
        by_kind.setdefault(kind, []).append(hit)
    by_kind = {k: sum(by_kind[k]) / len(by_kind[k]) for k in tiny_world.KINDS if k in by_kind}
    return right / len(items), right_norm / len(items), by_kind


def check(model, tokenizer, items, kinds, device):
    """The lines of measured numbers that the model card states."""
    rows = list(requests(tokenizer, items))
    contexts, endings = [len(r) - n for r, n in rows[::4]], [n for _, n in rows]
    acc, norm, by_kind = accuracy(model, tokenizer, items, kinds, device)
    lines = [f"parameters {sum(p.numel() for p in model.parameters())}, questions {len(items)}",
             f"context tokens with BOS {min(contexts)}..{max(contexts)}, mean {sum(contexts) / len(contexts):.1f}; "
             f"ending tokens {min(endings)}..{max(endings)}, mean {sum(endings) / len(endings):.1f}",
             f"full context: acc {100 * acc:.1f} acc_norm {100 * norm:.1f}",
             "acc by kind: " + " ".join(f"{k} {100 * v:.0f}" for k, v in by_kind.items())]
    for last in TRUNCATIONS:
        acc, norm, _ = accuracy(model, tokenizer, items, kinds, device, last)
        lines.append(f"last {last} tokens: acc {100 * acc:.1f} acc_norm {100 * norm:.1f}")
    return lines


CARD = """# Tiny world: the embedded default model

A LLaMA of {layers} layers, hidden size {hidden}, {heads} heads of {dim}, {kv_heads} KV heads, FFN {ffn}
and {vocab} tokens (tied embeddings), trained from scratch on stories of our own. Everything in this folder, this card
too, is written by one command:

    {command}

which took {seconds:.0f} s of training ({steps} steps of {batch} stories) on {device}.

- `config.json`, `model.safetensors` (F32): LlamaForCausalLM, rotate_half RoPE.
- `tokenizer.model`, `tokenizer_config.json`: SentencePiece unigram with byte fallback, LLaMA's legacy
  settings. The closed vocabulary of {words} words and marks is one piece each.
- `questions.jsonl`: {count} multiple-choice questions, chance 25 %.

## The world

`tools/tiny_world.py` tells stories of 16 people, their things, containers and places. A story states
facts, may change them, rambles about animals and the weather, and asks. The four endings of a
question all come from its own story, so they are equally likely to one who has not read the facts.

| kind | what decides |
| --- | --- |
| own, put, share | one fact: who has it, where it lies, which pair uses it |
| carry, nest, follow | two facts: a thing is where its carrier or container is, a follower where the leader went |
| swap, give, move | two facts: the second changes who has it or where it lies |
| chain | three facts: thing, carrier, the one whom the carrier follows |

The questions have a seed of their own and no question's story is among the training stories. The
labels are true by construction; the model is small and its training ends as soon as {stop} % of
another set of questions is right (or after the given steps), so it fails at what it has not learnt.
The facts come first, so a context cut from the left loses them and the accuracy falls to chance.

## Numbers

    python tools/train_tiny_llama.py --out models/tiny --check

```
{numbers}
```

## Licence

The same as the project's; all stories and weights are made by the two tools named here.
"""


def card(model, items, numbers, args, steps, seconds):
    c = model.config
    command = ("python tools/train_tiny_llama.py --out models/tiny"
               f" --steps {args.steps} --batch {args.batch} --lr {args.lr:g} --seed {args.seed}"
               f" --first-readers {args.first_readers:g} --stop-at {args.stop_at:g}")
    device = torch.cuda.get_device_name() if args.device.startswith("cuda") else "a CPU"
    return CARD.format(
        layers=c["num_hidden_layers"], hidden=c["hidden_size"], heads=c["num_attention_heads"], dim=c["head_dim"],
        kv_heads=c["num_key_value_heads"], ffn=c["intermediate_size"], vocab=c["vocab_size"], command=command,
        seconds=seconds, steps=steps, batch=args.batch, device=device, count=len(items), stop=f"{args.stop_at:g}",
        words=c["vocab_size"] - 3 - 256 - 27, numbers="\n".join(numbers))


# ---- command line ----

def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder of the model's files")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--batch", type=int, default=128, help="stories per step")
    parser.add_argument("--lr", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=tiny_world.TRAIN_SEED)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--report", type=int, default=100, help="steps between progress lines")
    parser.add_argument("--first-readers", type=float, default=FIRST_READER_STEPS, metavar="SHARE",
                        help="share of the steps that see only the shortest stories")
    parser.add_argument("--stop-at", type=float, default=82.0, metavar="PERCENT",
                        help="end when this many of the development questions are right")
    parser.add_argument("--keep-tokenizer", action="store_true")
    parser.add_argument("--check", action="store_true", help="only score what is in --out")
    return parser.parse_args()


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    weights = os.path.join(args.out, "model.safetensors")
    items, kinds = tiny_world.questions()
    torch.manual_seed(args.seed)
    model = Llama(CONFIG).to(args.device)
    if args.check:
        model.load_state_dict(load_safetensors(weights))
        print("\n".join(check(model, load_tokenizer(args.out), items, kinds, args.device)))
        return
    if not (args.keep_tokenizer and os.path.exists(os.path.join(args.out, "tokenizer.model"))):
        train_tokenizer(args.out, CONFIG["vocab_size"])
    tokenizer = load_tokenizer(args.out)
    tiny_world.write_questions(os.path.join(args.out, "questions.jsonl"), items)
    save_json(os.path.join(args.out, "config.json"), CONFIG)
    save_json(os.path.join(args.out, "tokenizer_config.json"), TOKENIZER_CONFIG)
    # Progress is measured on other questions, so that nothing is tuned on the final ones.
    development = tiny_world.questions(tiny_world.QUESTION_SEED + 1, 960)
    start = time.time()
    steps = train(model, tokenizer, args, {item["context"] for item in items}, development)
    seconds = time.time() - start
    print(f"trained {steps} steps in {seconds:.0f} s on {args.device}")
    save_safetensors(weights, model.state_dict())
    numbers = check(model, tokenizer, items, kinds, args.device)
    print("\n".join(numbers))
    with open(os.path.join(args.out, "README.md"), "w", encoding="utf-8", newline="\n") as f:
        f.write(card(model, items, numbers, args, steps, seconds))


if __name__ == "__main__":
    main()
