#!/usr/bin/env python3
"""llama.cpp as an engine, by llama-cpp-python (docs/engines.md). The model is a GGUF file. One sequence at a time: the
batch of a cell changes nothing here.

  batchscope eval --engine "command:python3 tools/engines/llama_cpp_engine.py" --model model.gguf
"""
import json
import os
import sys

answers = os.fdopen(os.dup(1), "w")  # what libraries print must not get among the answers
os.dup2(2, 1)
import llama_cpp
import numpy


def hello(ask):
    return {"name": "llama.cpp", "version": llama_cpp.__version__, "protocol": 1}


def load(ask):
    global model
    layers = -1 if ask["device"].startswith("cuda") else 0
    model = llama_cpp.Llama(ask["model"], n_ctx=0, n_threads=ask["threads"], n_threads_batch=ask["threads"],
                            n_gpu_layers=layers, logits_all=True, verbose=False)
    return {"done": True}


def prepare(ask):
    global sequences
    sequences = []
    for r in ask["requests"]:  # as lm-evaluation-harness: tokenised whole, cut by the context's length
        start = model.tokenize(r["context"].encode())
        whole = model.tokenize((r["context"] + r["continuation"]).encode())
        sequences.append((whole, len(whole) - len(start)))
    return {"done": True}


def run(sequence):
    whole, scored = sequence
    model.reset()
    model.eval(whole[:-1])
    logits = model.scores[len(whole) - 1 - scored:len(whole) - 1].astype(numpy.float64)
    top = logits.max(axis=1)
    total = numpy.log(numpy.exp(logits - top[:, None]).sum(axis=1)) + top
    return float((logits[numpy.arange(scored), whole[-scored:]] - total).sum())


def warm_up(ask):
    run(sequences[0])
    return {"done": True}


def score(ask):
    tokens = sum(len(whole) - 1 for whole, _ in sequences)
    return {"log_likelihoods": [run(sequence) for sequence in sequences],
            "tokens": {"requested": tokens, "truncated": 0, "computed": tokens, "padding": 0}}


for line in sys.stdin:
    ask = json.loads(line)
    answer = {"hello": hello, "load": load, "prepare": prepare, "warm_up": warm_up, "score": score}[ask["ask"]](ask)
    print(json.dumps(answer), file=answers, flush=True)
