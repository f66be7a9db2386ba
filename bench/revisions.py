#!/usr/bin/env python3
"""Two builds of the program on the same cells, interleaved: how many times as long the old one takes; one JSON object.

usage: revisions.py OLD NEW [--model MODEL] [--pairs 12] [--most-pairs 60] [--width 0.02] [--only WORDS] [--new-flags FLAGS]

OLD, NEW       programs with the verb eval
--model        SmolLM2-135M as a GGUF file or a Hugging Face folder; left out, random weights of its shape, which are as fast.
               The other cells are the embedded model's
--pairs        at least so many of each cell; more, up to --most-pairs, until the interval is narrower than --width
--new-flags    flags of NEW alone

A pair is one run of each, in turn who is first. Of a run counts its own timed part: `seconds` of scoring, the time per output
token of a generation. The ratio is the median over pairs of old / new, its 95 % interval a bootstrap's over pairs: a machine
that is not alone slows both of a pair down, or one pair among many. Beside it stands the ratio of the least times.
"""

import argparse
import datetime
import json
import math
import os
import platform
import random
import shlex
import statistics
import subprocess
import sys

SMOL = "--limit 12 --packing packed"
DECODE = "--prompt-tokens 32 --output-tokens 32"
SHAPE = "layers=30,hidden=576,heads=9,kv_heads=3,head_dim=64,intermediate=1536,vocabulary=49152"


def cells(model):
    for dtype in ("f32", "bf16"):
        for batch in (1, 32):
            yield f"smollm2 scoring {dtype} batch {batch}", f"{model} {SMOL} --fusion on --dtype {dtype} --batch {batch}"
            yield (f"smollm2 decode {dtype} batch {batch}",
                   f"{model} {DECODE} --fusion on --requests {batch} --dtype {dtype} --batch {batch}")
    for layout in ("mp2", "tp2"):
        for batch in (1, 32):
            for fusion in ("off", "on"):
                yield (f"demo {layout} fusion {fusion} batch {batch}",
                       f"--limit 200 --parallel {layout} --fusion {fusion} --batch {batch}")


def time_of(program, flags):
    done = subprocess.run([program, "eval", *shlex.split(flags), "--json", "-"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program} eval {flags}: exit {done.returncode}\n{done.stderr}")
    result = json.loads(done.stdout)
    return result.get("time_per_output_token_ms") or 1e3 * result["seconds"]


def interval(ratios, draws=4000):
    """The median's, in logarithms, since old / new and new / old are to say the same."""
    logs = [math.log(ratio) for ratio in ratios]
    source = random.Random(1)
    medians = sorted(statistics.median(source.choices(logs, k=len(logs))) for _ in range(draws))
    return [math.exp(medians[int(share * draws)]) for share in (0.025, 0.975)]


def measure(options, flags):
    old, new = [], []
    while True:
        order = [(options.old, old, ""), (options.new, new, options.new_flags)]
        for program, times, more in order if len(old) % 2 == 0 else order[::-1]:
            times.append(time_of(program, f"{flags} {more}"))
        if len(old) < options.pairs:
            continue
        ratios = [a / b for a, b in zip(old, new)]
        low, high = interval(ratios)
        if high - low <= options.width or len(old) >= options.most_pairs:
            return {"pairs": len(old), "old_over_new": statistics.median(ratios), "interval_95": [low, high],
                    "of_least_times": min(old) / min(new), "old_ms": summary(old), "new_ms": summary(new)}


def summary(times):
    return {"median": statistics.median(times), "min": min(times), "max": max(times)}


def version(program):
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--model")
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--most-pairs", type=int, default=60)
    parser.add_argument("--width", type=float, default=0.02)
    parser.add_argument("--only", default="")
    parser.add_argument("--new-flags", default="")
    parser.add_argument("--note", default="")
    options = parser.parse_args()
    results = {}
    model = f"--model {shlex.quote(options.model)}" if options.model else f"--random-weights {SHAPE}"
    for name, flags in cells(model):
        if options.only and options.only not in name:
            continue
        results[name] = measure(options, flags) | {"flags": flags.replace(options.model, "MODEL") if options.model else flags}
        print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    json.dump({
        "what": "the same cells by two revisions of the program, interleaved",
        "command": f"bench/revisions.py OLD NEW {'--model MODEL ' if options.model else ''}--pairs {options.pairs} --most-pairs {options.most_pairs} "
                   f"--width {options.width} --new-flags={shlex.quote(options.new_flags)}",
        "date": datetime.date.today().isoformat(), "note": options.note,
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(terse=True)},
        "old": version(options.old), "new": version(options.new), "cells": results}, sys.stdout, indent=1)
    print()


main()
