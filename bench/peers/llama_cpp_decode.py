#!/usr/bin/env python3
"""Decode speed of llama.cpp: llama_cpp_decode.py MODEL.gguf --batch N [--prompt-tokens P] [--output-tokens T]

N sequences with P random tokens each are read, then each gets T tokens, the most probable ones, all N in one pass a token.
Prints one JSON object; `time_per_output_token_ms` is the time of the passes after the first token, divided by their number.
THREADS sets the threads (2). Needs: pip install llama-cpp-python numpy (a scratch environment).
"""

import argparse
import json
import os
import time

import llama_cpp as llama
import numpy as np


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--output-tokens", type=int, default=64)
    arguments = parser.parse_args()
    threads = int(os.environ.get("THREADS", "2"))
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(arguments.model.encode(), llama.llama_model_default_params())
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    settings = llama.llama_context_default_params()
    sequences, prompt, outputs = arguments.batch, arguments.prompt_tokens, arguments.output_tokens
    settings.n_ctx = sequences * (prompt + outputs)
    settings.n_batch = settings.n_ubatch = sequences * prompt
    settings.n_seq_max = sequences
    settings.n_threads = settings.n_threads_batch = threads
    settings.kv_unified = True
    context = llama.llama_init_from_model(model, settings)
    batch = llama.llama_batch_init(sequences * prompt, 0, 1)

    def read(rows):  # (token, position, sequence, whether its logits are wanted)
        for i, (token, position, sequence, wanted) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
        batch.n_tokens = len(rows)
        assert llama.llama_decode(context, batch) == 0, "llama_decode failed"
        logits = [llama.llama_get_logits_ith(context, i) for i, row in enumerate(rows) if row[3]]
        return [int(np.ctypeslib.as_array(row, shape=(vocabulary,)).argmax()) for row in logits]

    random = np.random.default_rng(1)
    ids = random.integers(0, vocabulary, (sequences, prompt))
    best = None
    for attempt in range(2):  # the first warms up
        llama.llama_memory_clear(llama.llama_get_memory(context), True)
        tokens = read([(int(ids[s][p]), p, s, p == prompt - 1) for s in range(sequences) for p in range(prompt)])
        begin = time.perf_counter()
        for step in range(outputs - 1):
            tokens = read([(token, prompt + step, sequence, True) for sequence, token in enumerate(tokens)])
        best = (time.perf_counter() - begin) / (outputs - 1)
    print(json.dumps({"time_per_output_token_ms": best * 1e3, "batch": sequences, "threads": threads}))


main()
