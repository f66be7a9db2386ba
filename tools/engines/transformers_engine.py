#!/usr/bin/env python3
"""Hugging Face transformers as an engine (docs/engines.md). The model is a folder or a name on the Hub.

  batchscope eval --engine "command:python3 tools/engines/transformers_engine.py" --model gpt2 --batch 16

needs: pip install torch transformers sentencepiece protobuf tiktoken   (the last three for tokenizer.model files)
"""
import json
import os
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
answers = os.fdopen(os.dup(1), "w")  # what libraries print must not get among the answers
os.dup2(2, 1)
import torch
import transformers


def hello(ask):
    return {"name": "transformers", "version": transformers.__version__, "protocol": 1, "dtypes": ["bf16", "f16"]}


def encoder(folder):
    """What makes a text's token ids. Transformers 5 takes a tokenizer.model of LLaMA's for BPE even where it is a unigram model,
    so SentencePiece reads that file itself where there is no tokenizer.json."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    file = os.path.join(folder, "tokenizer.model")
    if not os.path.exists(file) or os.path.exists(os.path.join(folder, "tokenizer.json")):
        return lambda text: tokenizer(text).input_ids
    import sentencepiece
    pieces = sentencepiece.SentencePieceProcessor(model_file=file)
    return lambda text: pieces.encode(text, add_bos=getattr(tokenizer, "add_bos_token", True))


def load(ask):
    global model, encode, device
    if ask["threads"]:
        torch.set_num_threads(ask["threads"])
    device = torch.device(ask["device"].split(",")[0] if ask["device"].startswith("cuda") else "cpu")
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[ask["dtype"]]
    encode = encoder(ask["model"])
    model = transformers.AutoModelForCausalLM.from_pretrained(ask["model"], torch_dtype=dtype).to(device).eval()
    return {"done": True}


def prepare(ask):
    global batches, count, tokens
    sequences = []
    for r in ask["requests"]:  # as lm-evaluation-harness: tokenised whole, cut by the context's length
        start, whole = encode(r["context"]), encode(r["context"] + r["continuation"])
        sequences.append((whole, len(whole) - len(start)))
    order = sorted(range(len(sequences)), key=lambda i: -len(sequences[i][0]))
    batches = [[(i, *sequences[i]) for i in order[b:b + ask["batch"]]] for b in range(0, len(order), ask["batch"])]
    count = len(sequences)
    wanted = sum(len(s) - 1 for s, _ in sequences)
    computed = sum(len(b) * (len(b[0][1]) - 1) for b in batches)
    tokens = {"requested": wanted, "truncated": 0, "computed": wanted, "padding": computed - wanted}
    return {"done": True}


@torch.no_grad()
def run(batch):
    width = len(batch[0][1]) - 1  # padded on the right: causal attention never looks there
    inputs = torch.tensor([s[:-1] + [0] * (width - len(s) + 1) for _, s, _ in batch], device=device)
    log_p = model(inputs).logits.float().log_softmax(-1)
    for row, (i, s, scored) in enumerate(batch):
        at = torch.arange(len(s) - 1 - scored, len(s) - 1, device=device)
        yield i, log_p[row, at, torch.tensor(s[-scored:], device=device)].sum().item()


def score(ask):
    values, seconds = [0.0] * count, []
    for batch in batches:
        start = time.monotonic()
        for i, value in run(batch):
            values[i] = value
        seconds.append(time.monotonic() - start)
    answer = {"log_likelihoods": values, "batch_seconds": seconds, "tokens": tokens}
    if device.type == "cuda":
        answer["devices"] = [{"name": str(device), "memory_peak_bytes": torch.cuda.max_memory_allocated(device)}]
    return answer


def warm_up(ask):
    list(run(batches[0]))
    return {"done": True}


for line in sys.stdin:
    ask = json.loads(line)
    try:
        answer = {"hello": hello, "load": load, "prepare": prepare, "warm_up": warm_up, "score": score}[ask["ask"]](ask)
    except torch.cuda.OutOfMemoryError as error:
        answer = {"error": str(error).split("\n")[0], "kind": "out_of_memory"}
    print(json.dumps(answer), file=answers, flush=True)
