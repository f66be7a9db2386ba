#!/usr/bin/env python3
"""The CPU engine beside what people use today, on one model and machine, everything interleaved; writes one JSON object.

usage: cpu_engine.py PROGRAM OPS_BENCH --peers FOLDER --python PYTHON --task RAW.jsonl --golden ITEMS.jsonl --work FOLDER
                     [--items 200] [--rounds 3] [--threads 2] > docs/results/cpu_engine.json

PROGRAM and OPS_BENCH    build/release/batchscope and build/release/ops_bench
--peers                  the folder with lm_eval_score.py and llama_cpp_score.py
--python                 of an environment with torch, transformers, lm-eval, llama-cpp-python, gguf
--work                   has smollm2-f32/ (a Hugging Face folder), smollm2-F32.gguf and smollm2-BF16.gguf
--golden                 scores of the same items in f32, one object a line (id, ll, …)
Every round runs every command once, in turn; figures are medians over the rounds, with the least and the greatest.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys

DECODE = {"prompt_tokens": 64, "output_tokens": 64}
BATCHES = (1, 16, 32)
HERE = pathlib.Path(__file__).resolve().parent


def run(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def last_json(text):
    return json.loads([line for line in text.splitlines() if line.startswith("{")][-1])


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": values}


class Bench:
    def __init__(self, options):
        self.options = options
        self.environment = {**os.environ, "THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
        self.work = pathlib.Path(options.work)
        self.model = self.work / "smollm2-f32"
        self.seconds, self.tokens_ms, self.invalid = {}, {}, []
        self.limits = []

    def ours(self, *words):
        result = json.loads(run([self.options.program, "eval", "--model", self.model, "--threads", self.options.threads,
                                 "--fusion", "on", "--json", "-", *words]))
        if not result["valid"]:
            self.invalid.append(" ".join(map(str, words)) + ": " + result["reason"])
        return result

    def score_ours(self, dtype, packing):
        items = self.work / f"batchscope-{dtype}-{packing}.jsonl"
        return self.ours("--task", self.options.task, "--limit", self.options.items, "--dtype", dtype, "--packing", packing,
                         "--batch", 64, "--items", items)["seconds"]

    def score_lm_eval(self, dtype):
        name = {"f32": "float32", "bf16": "bfloat16"}[dtype]
        return last_json(run([self.options.python, self.options.peers / "lm_eval_score.py", self.model, self.options.task,
                              self.work / f"lm-eval-{dtype}.jsonl", "--limit", self.options.items, "--dtype", name],
                             env=self.environment))["seconds"]

    def score_llama(self, dtype):
        return last_json(run([self.options.python, self.options.peers / "llama_cpp_score.py",
                              self.work / f"smollm2-{dtype.upper()}.gguf", self.options.task,
                              self.work / f"llama-{dtype}.jsonl", "--limit", self.options.items],
                             env=self.environment))["seconds"]

    def decode_ours(self, dtype, batch):
        return self.ours("--dtype", dtype, "--prompt-tokens", DECODE["prompt_tokens"], "--output-tokens",
                         DECODE["output_tokens"], "--requests", batch, "--batch", batch)["time_per_output_token_ms"]

    def decode_llama(self, dtype, batch):
        return last_json(run([self.options.python, HERE / "peers" / "llama_cpp_decode.py",
                              self.work / f"smollm2-{dtype.upper()}.gguf", "--batch", batch, "--prompt-tokens",
                              DECODE["prompt_tokens"], "--output-tokens", DECODE["output_tokens"]],
                             env=self.environment))["time_per_output_token_ms"]

    def measure_limits(self):
        text = run([self.options.ops_bench, f"--threads={self.options.threads}", "--benchmark_filter=^embedding/1/f32",
                    "--benchmark_format=json"])
        return {key: float(value) for key, value in json.loads(text)["context"].items() if key.endswith("_per_s")}

    def round(self):
        self.limits.append(self.measure_limits())
        for dtype in ("f32", "bf16"):
            for name, work in {f"batchscope {dtype} prefix": lambda: self.score_ours(dtype, "prefix"),
                               f"llama.cpp {dtype}": lambda: self.score_llama(dtype),
                               f"lm-eval {dtype}": lambda: self.score_lm_eval(dtype),
                               f"batchscope {dtype} packed": lambda: self.score_ours(dtype, "packed")}.items():
                self.seconds.setdefault(name, []).append(work())
                print(name, self.seconds[name][-1], file=sys.stderr)
            for batch in BATCHES:
                for name, work in {"batchscope": self.decode_ours, "llama.cpp": self.decode_llama}.items():
                    key = f"{name} {dtype} batch {batch}"
                    self.tokens_ms.setdefault(key, []).append(work(dtype, batch))
                    print(key, self.tokens_ms[key][-1], file=sys.stderr)
        self.limits.append(self.measure_limits())

    # FLOP of a run, and the bytes of the weights, by the plan.
    def plan(self, *words):
        plan = json.loads(run([self.options.program, "plan", "--model", self.model, "--fusion", "on", "--json", "-", *words]))
        return plan["devices"][0]

    def errors(self, path, golden):
        differences = []
        for line in open(path):
            item = json.loads(line)
            differences += [abs(a - b) for a, b in zip(item["ll"], golden[str(item["id"])]["ll"])]
        return {"mean": statistics.fmean(differences), "max": max(differences)}

    def summary(self):
        options = self.options
        limits = {key: statistics.median(each[key] for each in self.limits) for key in self.limits[0]}
        median = {name: statistics.median(values) for name, values in self.seconds.items()}
        scoring = {name: {"seconds": spread(values)} for name, values in self.seconds.items()}
        for dtype in ("f32", "bf16"):
            peak = limits[f"gemm_{dtype}_gflop_per_s"] * 1e9
            for packing in ("prefix", "packed"):
                name = f"batchscope {dtype} {packing}"
                flop = self.plan("--task", options.task, "--limit", options.items, "--packing", packing, "--batch", 64,
                                 "--dtype", dtype)["flop"]
                scoring[name] |= {
                    "times_llama_cpp": median[f"llama.cpp {dtype}"] / median[name],
                    "times_lm_eval": median[f"lm-eval {dtype}"] / median[name],
                    "flop": flop,
                    "share_of_gemm_rate": flop / median[name] / peak,
                }
        golden = {str(item["id"]): item for item in map(json.loads, open(options.golden))}
        errors = {name: self.errors(self.work / f"{name}.jsonl", golden)
                  for name in ("batchscope-f32-prefix", "batchscope-bf16-prefix", "batchscope-bf16-packed", "lm-eval-bf16")}
        decode = {}
        for key, values in self.tokens_ms.items():
            decode[key] = {"time_per_output_token_ms": spread(values)}
            name, dtype, _, batch = key.split()
            if name != "batchscope":
                continue
            least = self.least_decode_time(dtype, int(batch), limits)
            mine, peer = statistics.median(values), statistics.median(self.tokens_ms[f"llama.cpp {dtype} batch {batch}"])
            decode[key] |= {"times_llama_cpp": peer / mine, "least_ms": least, "share_of_limit": least / mine}
        return {
            "what": "SmolLM2-135M on a CPU: scoring and decode beside lm-eval with transformers and llama.cpp",
            "command": "python3 bench/cpu_engine.py build/release/batchscope build/release/ops_bench --peers PEERS --python "
                       f"PYTHON --task hellaswag_val_raw1000.jsonl --golden smollm2-135m.raw200.jsonl --work FOLDER --items "
                       f"{options.items} --rounds {options.rounds} --threads {options.threads}",
            "date": datetime.date.today().isoformat(),
            "machine": {"cpu": cpu_model(), "cpus": os.cpu_count(), "system": platform.platform(terse=True)},
            "versions": json.loads(run([options.python, "-c", VERSIONS])) | {
                "batchscope": run([options.program, "--version"]).strip()},
            "threads": options.threads, "items": options.items, "rounds": options.rounds,
            "limits": {"median": limits, "all": self.limits},
            "scoring": scoring,
            "log_likelihood_errors_against_f32": errors,
            "decode": {"sequences": DECODE, "of": decode},
            "not_valid": self.invalid,
        }

    # A pass reads all weights and the keys and values so far once; it takes at least that, or its arithmetic.
    def least_decode_time(self, dtype, batch, limits):
        words = ("--dtype", dtype, "--batch", batch)
        whole = self.plan(*words, "--sequence-length", DECODE["prompt_tokens"], "--new-tokens", DECODE["output_tokens"])
        first = self.plan(*words, "--sequence-length", DECODE["prompt_tokens"], "--new-tokens", 1)
        flop = (whole["flop"] - first["flop"]) / (DECODE["output_tokens"] - 1)
        memory = whole["memory"]
        filled = (DECODE["prompt_tokens"] + DECODE["output_tokens"] / 2) / sum(DECODE.values())
        read = memory["weights_bytes"] + memory["kv_bytes"] * filled
        return 1e3 * max(read / (limits["read_gb_per_s"] * 1e9), flop / (limits[f"gemm_{dtype}_gflop_per_s"] * 1e9))


VERSIONS = """
import json, importlib.metadata as m
print(json.dumps({name: m.version(name) for name in ("torch", "transformers", "lm-eval", "llama-cpp-python")}))
"""


def cpu_model():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(": ")[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("ops_bench")
    for name in ("peers", "python", "task", "golden", "work"):
        parser.add_argument("--" + name, required=True, type=pathlib.Path)
    for name, value in {"items": 200, "rounds": 3, "threads": 2}.items():
        parser.add_argument("--" + name, type=int, default=value)
    bench = Bench(parser.parse_args())
    for _ in range(bench.options.rounds):
        bench.round()
    print(json.dumps(bench.summary(), indent=1))


main()
