#!/usr/bin/env python3
"""The smallest engine that batchscope can run (docs/engines.md): it needs nothing but Python, and its model is how often
each letter follows which in the context. Start from it for an engine of your own.

Two faults of real engines to be tried, both without a word; the sentinel sees them:
--wrong-beyond N: batches of more than N are answered wrongly.
--workspace LETTERS: one workspace for the contexts of a batch. Each has an equal share of it, however long it is; letters
beyond the share land on the next context's first ones, as keys and values do in DeepSpeed's kernel injection.
"""
import argparse
import json
import math
import sys
import time
from collections import Counter


def log_likelihood(context, continuation):
    """Of each letter given the one before it, by the context's pairs of letters, add-one smoothed."""
    pairs, letters = Counter(zip(context, context[1:])), Counter(context)
    text = context[-1:] + continuation
    return sum(math.log((pairs[a, b] + 1) / (letters[a] + 256)) for a, b in zip(text, text[1:]))


class Engine:
    def __init__(self, wrong_beyond, workspace):
        self.wrong_beyond, self.workspace = wrong_beyond, workspace

    def hello(self, ask):
        return {"name": "letters", "version": "1", "protocol": 1}

    def load(self, ask):  # ask: model, device, parallel, dtype, threads
        return {"done": True}

    def prepare(self, ask):  # ask: batch, packing, fusion, requests; this is the place to tokenise
        self.batch, self.requests = ask["batch"], ask["requests"]
        return {"done": True}

    def warm_up(self, ask):
        self.run(self.requests[:self.batch])
        return {"done": True}

    def contexts(self, requests):
        """As the workspace has them when all are written."""
        contexts = [r["context"] for r in requests]
        if self.workspace is None:
            return contexts
        share, letters = self.workspace // self.batch, {}
        for place, text in reversed(list(enumerate(contexts))):
            letters.update((place * share + i, letter) for i, letter in enumerate(text))
        return ["".join(letters[place * share + i] for i in range(len(text))) for place, text in enumerate(contexts)]

    def run(self, requests):
        values = [log_likelihood(context, r["continuation"]) for context, r in zip(self.contexts(requests), requests)]
        return values[::-1] if self.batch > self.wrong_beyond else values

    def score(self, ask):
        values, seconds = [], []
        for first in range(0, len(self.requests), self.batch):
            start = time.monotonic()
            values += self.run(self.requests[first:first + self.batch])
            seconds.append(time.monotonic() - start)
        letters = sum(len(r["context"] + r["continuation"]) - 1 for r in self.requests)
        return {"log_likelihoods": values, "batch_seconds": seconds,
                "tokens": {"requested": letters, "truncated": 0, "computed": letters, "padding": 0}}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wrong-beyond", type=int, default=1 << 30)
    parser.add_argument("--workspace", type=int)
    engine = Engine(**vars(parser.parse_args()))
    for line in sys.stdin:
        ask = json.loads(line)
        print(json.dumps(getattr(engine, ask["ask"])(ask)), flush=True)


if __name__ == "__main__":
    main()
