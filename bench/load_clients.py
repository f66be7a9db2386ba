#!/usr/bin/env python3
"""Load generators beside each other against batchscope's mock server, whose times and tokens are known: who measures TTFT,
TPOT, rate and tokens how wrongly, and for how much CPU time. Writes JSON; what a file has is not measured again, so that
repeats can be taken one by one, each when nothing else runs. Peers are taken from a folder of Python environments, each named
like its package (guidellm, aiperf, inference-perf, vllm); those that are not there are left out, and the result says so."""
import argparse
import contextlib
import datetime
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
# No multiple of the time between requests: else the tokens of many would be due at one instant, and late by each other.
PROMPT_TOKENS, OUTPUT_TOKENS, TTFT_MS, ITL_MS = 64, 16, 50.0, 10.7
ANSWER_S = (TTFT_MS + ITL_MS * (OUTPUT_TOKENS - 1)) * 1e-3
MOST_REQUESTS = 1500  # of one run
LONGEST_S = 200       # of one process


class Mock:
    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "mock-server", "--listen", "127.0.0.1:0", "--ttft", f"{TTFT_MS:g}ms", "--itl", f"{ITL_MS:g}ms"],
            stderr=subprocess.PIPE, text=True, preexec_fn=self.come_first)
        self.url = re.search(r"http://\S+", self.process.stderr.readline())[0]

    @staticmethod
    def come_first():
        """A server on the clients' machine: their work is not to make it late."""
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    def served(self):
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/mock") as answer:
            return json.load(answer)

    def end(self):
        self.process.terminate()  # SIGINT is ignored in what a shell starts in the background
        self.process.wait()


def keep_awake():
    """As long as what it returns is open, idle CPUs poll instead of sleeping (Linux's PM QoS; root): to wake a virtual machine's
    CPU takes 0.1 to 0.2 ms, which would be in every figure twice or three times. None where that may not be asked for."""
    try:
        latency = open("/dev/cpu_dma_latency", "wb", buffering=0)
        latency.write(bytes(4))
        return latency
    except OSError:
        return None


def mock_tokenizer(folder):
    """A Hugging Face folder with the mock's tokens, for peers that count with a tokenizer: " w0", " w1", …, else bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [*map(chr, printable), *(chr(256 + i) for i in range(256 - len(printable)))]  # bytes as GPT-2 writes them
    words = [f"\u0120w{i}" for i in range(OUTPUT_TOKENS)]  # U+0120 is a space
    end = {"id": len(letters) + len(words), "content": "<|end|>", "special": True, "single_word": False, "lstrip": False,
           "rstrip": False, "normalized": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {"version": "1.0", "added_tokens": [end], "decoder": byte_level,
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                     {"type": "Split", "pattern": {"Regex": " ?[^ ]+"}, "behavior": "Isolated", "invert": False}, byte_level]},
                 "model": {"type": "BPE", "vocab": {word: i for i, word in enumerate(letters + words)}, "merges": [],
                           "ignore_merges": True}}
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|end|>", "model_max_length": 4096}))
    return folder


def hub_of(tokenizer, folder):
    """Hugging Face's cache with that tokenizer as local/tokenizer: AIPerf takes no path."""
    model = folder / "hub" / "models--local--tokenizer"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tokenizer, model / "snapshots" / ("0" * 40))
    return "local/tokenizer"


def run(command, folder, seconds=LONGEST_S):
    environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(pathlib.Path(folder) / "hub"), TRANSFORMERS_OFFLINE="1",
                       # guidellm's ten processes take two CPUs minutes to start, and are in each other's way.
                       GUIDELLM__MAX_WORKER_PROCESSES=str(os.cpu_count()), TERM="dumb", NO_COLOR="1",
                       PATH=f"{pathlib.Path(command[0]).parent}:{os.environ['PATH']}")
    process = subprocess.Popen([str(word) for word in command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", process_group=0)
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired as error:
        os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
        raise RuntimeError(f"did not end within {seconds} s: {process.communicate()[1][-300:]}") from error
    if process.returncode != 0:
        raise RuntimeError((err or out)[-400:])
    return out


def cpu_seconds():
    """Of all processes that have ended, and those that they waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


# Each client measures several values of one kind of load, "rate" or "concurrency", and gives a result for each. Peers do so
# in one process where they can: most of their time goes by before the first request.

def requests_of(load, value, seconds):
    per_s = value if load == "rate" else value / ANSWER_S
    return min(max(5, round(per_s * seconds)), MOST_REQUESTS)


def rate_error(load, value, found):
    """Against requests per second from the first sending to the last end, where none is late; or against the rate at which they
    are to go out, which short runs differ from and some take."""
    answered = found["answered"]
    true = ([answered / ((answered - 1) / value + ANSWER_S), value] if load == "rate" else
            [answered / (-(-answered // value) * ANSWER_S)])
    return min((found["requests_per_s"] / rate - 1 for rate in true), key=abs)


def batchscope(binary, url, load, values, seconds, folder, _tokenizer):
    results = []
    for value in values:
        shape = ["--rate", value, "--burstiness", "constant"] if load == "rate" else ["--concurrency", value]
        found = json.loads(run([binary, "load", url, "--api", "chat", *shape, "--requests", requests_of(load, value, seconds),
                                "--prompt-tokens", PROMPT_TOKENS, "--output-tokens", OUTPUT_TOKENS, "--warm-up", "0",
                                "--client-check", "200ms", "--json"], folder))
        metrics = found["metrics"]
        results.append({"ttft_ms": metrics["ttft"]["p50_ms"]["value"], "ttft_p99_ms": metrics["ttft"]["p99_ms"]["value"],
                        "tpot_ms": metrics["tpot"]["mean_ms"], "requests_per_s": found["requests_per_s"],
                        "output_tokens_per_request": found["output_tokens"] / found["answered"],
                        "answered": found["answered"], "says_valid": found["valid"]})
    return results


def guidellm(binary, url, load, values, seconds, folder, tokenizer):
    profile, setting = ("constant", "rate") if load == "rate" else ("concurrent", "streams")
    several = ["--override", f"profile.{setting}", ",".join(map(str, values))] if len(values) > 1 else []
    run([binary, "run", "--backend",
         f"kind=openai_http,target={url.removesuffix('/v1')},model=mock,request_format=/v1/chat/completions",
         "--profile", f"kind={profile},{setting}={values[0]}", *several, "--constraint",
         f"kind=max_duration,seconds={max(5, seconds):g}", "--tokenizer", f"kind=huggingface_auto,model={tokenizer}", "--data",
         f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={OUTPUT_TOKENS}", "--output",
         f"kind=json,path={folder}/guidellm.json", "--disable-console"], folder)
    results = []
    for benchmark in json.loads((folder / "guidellm.json").read_text())["benchmarks"]:
        good = {name: benchmark["metrics"][name]["successful"] for name in
                ("time_to_first_token_ms", "inter_token_latency_ms", "requests_per_second", "output_token_count")}
        results.append({"ttft_ms": good["time_to_first_token_ms"]["median"],
                        "ttft_p99_ms": good["time_to_first_token_ms"]["percentiles"]["p99"],
                        # What it calls TPOT includes the first token; its inter-token latency is others' TPOT.
                        "tpot_ms": good["inter_token_latency_ms"]["mean"],
                        "requests_per_s": good["requests_per_second"]["mean"],
                        "output_tokens_per_request": good["output_token_count"]["mean"],
                        "answered": good["output_token_count"]["count"]})
    return results


def aiperf(binary, url, load, values, seconds, folder, tokenizer):
    name = hub_of(tokenizer, folder)
    results = []
    for value in values:
        shape = ["--request-rate", value, "--arrival-pattern", "constant"] if load == "rate" else ["--concurrency", value]
        artifacts = folder / f"aiperf-{value}"
        run([binary, "profile", "--model", "mock", "--url", url.removesuffix("/v1"), "--endpoint-type", "chat", "--streaming",
             *shape, "--request-count", requests_of(load, value, seconds), "--isl", PROMPT_TOKENS, "--osl", OUTPUT_TOKENS,
             "--tokenizer", name, "--use-server-token-count", "--num-dataset-entries", 100, "--ui", "none", "--artifact-dir",
             artifacts], folder)
        found = json.loads(next(artifacts.rglob("profile_export_aiperf.json")).read_text())
        results.append({"ttft_ms": found["time_to_first_token"]["p50"], "ttft_p99_ms": found["time_to_first_token"]["p99"],
                        "tpot_ms": found["inter_token_latency"]["avg"], "requests_per_s": found["request_throughput"]["avg"],
                        "output_tokens_per_request": found["output_sequence_length"]["avg"],
                        "answered": found["request_count"]["avg"]})
    return results


def inference_perf(binary, url, load, values, seconds, folder, tokenizer):
    counts = [requests_of(load, value, seconds) for value in values]
    stages = [{"rate": value, "duration": max(1, round(count / value))} if load == "rate" else
              {"num_requests": count, "concurrency_level": value} for value, count in zip(values, counts)]
    lengths = lambda mean: {"min": mean, "max": mean, "mean": mean, "std_dev": 0, "total_count": max(counts) + 1}
    config = {"api": {"type": "completion", "streaming": True},
              "data": {"type": "random", "input_distribution": lengths(PROMPT_TOKENS), "output_distribution": lengths(OUTPUT_TOKENS)},
              "load": {"type": "constant" if load == "rate" else "concurrent", "interval": 0, "stages": stages, "num_workers": 1},
              "report": {"request_lifecycle": {"summary": False, "per_stage": True}},
              "server": {"type": "vllm", "model_name": "mock", "base_url": url.removesuffix("/v1"), "ignore_eos": True},
              "tokenizer": {"pretrained_model_name_or_path": str(tokenizer)},
              "storage": {"local_storage": {"path": str(folder / "reports")}}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    run([binary, "--config_file", folder / "config.yml"], folder)
    results = []
    for stage in range(len(stages)):
        found = json.loads(next((folder / "reports").rglob(f"stage_{stage}_lifecycle_metrics.json")).read_text())["successes"]
        ms = lambda name, figure: found["latency"][name][figure] * 1e3
        results.append({"ttft_ms": ms("time_to_first_token", "median"), "ttft_p99_ms": ms("time_to_first_token", "p99"),
                        "tpot_ms": ms("time_per_output_token", "mean"),
                        "requests_per_s": found["throughput"]["requests_per_sec"],
                        "output_tokens_per_request": found["output_len"]["mean"], "answered": found["count"]})
    return results


# `vllm bench serve` once for each list of flags.
VLLM_RUNS = """
import json, sys
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
for flags in json.loads(sys.argv[1]):
    parser = FlexibleArgumentParser()
    add_cli_args(parser)
    main(parser.parse_args(flags))
"""


def vllm(binary, url, load, values, seconds, folder, tokenizer):
    runs = []
    for value in values:
        shape = ["--request-rate", value, "--burstiness", 1e6] if load == "rate" else ["--max-concurrency", value]
        flags = ["--backend", "openai-chat", "--base-url", url.removesuffix("/v1"), "--endpoint", "/v1/chat/completions",
                 "--model", "mock", "--tokenizer", tokenizer, "--dataset-name", "random", "--random-input-len", PROMPT_TOKENS,
                 "--random-output-len", OUTPUT_TOKENS, "--num-prompts", requests_of(load, value, seconds), *shape,
                 "--ignore-eos", "--disable-tqdm", "--save-result", "--result-dir", folder, "--result-filename",
                 f"vllm-{value}.json"]
        runs.append([str(flag) for flag in flags])
    run([binary.parent / "python", "-c", VLLM_RUNS, json.dumps(runs)], folder)
    results = []
    for value in values:
        found = json.loads((folder / f"vllm-{value}.json").read_text())
        results.append({"ttft_ms": found["median_ttft_ms"], "ttft_p99_ms": found["p99_ttft_ms"],
                        "tpot_ms": found["mean_tpot_ms"], "requests_per_s": found["request_throughput"],
                        "output_tokens_per_request": found["total_output_tokens"] / found["completed"],
                        "answered": found["completed"]})
    return results


CLIENTS = {"batchscope": batchscope, "guidellm": guidellm, "aiperf": aiperf, "inference-perf": inference_perf, "vllm": vllm}


def version(binary, name):
    if name == "batchscope":
        return run([binary, "--version"], ROOT, 60).strip()
    python = pathlib.Path(binary).parent / "python"
    return run([python, "-c", f"import importlib.metadata as m; print(m.version('{name}'))"], ROOT, 120).strip()


def measure(name, binary, program, load, values, seconds):
    """A result for each value of the load."""
    mock = Mock(program)
    begin, cpu = time.monotonic(), cpu_seconds()
    try:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer = mock_tokenizer(pathlib.Path(folder) / "tokenizer")
            results = CLIENTS[name](binary, mock.url, load, values, seconds, pathlib.Path(folder), tokenizer)
        took = {"process_seconds": time.monotonic() - begin, "cpu_seconds": cpu_seconds() - cpu}  # of all values together
        late = mock.served()["late_us"]
    except Exception as error:  # a peer that fails is a result, too
        return [{"failed": f"{type(error).__name__}: {str(error)[-300:]}"} for _ in values]
    finally:
        mock.end()
    for value, found in zip(values, results, strict=True):
        found["ttft_error_ms"] = found["ttft_ms"] - TTFT_MS
        found["tpot_error_ms"] = found["tpot_ms"] - ITL_MS
        found["token_error"] = found["output_tokens_per_request"] - OUTPUT_TOKENS
        found["rate_error"] = rate_error(load, value, found)
        found["mock_late_us"] = late
        found |= took
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "batchscope", type=pathlib.Path)
    parser.add_argument("--environments", type=pathlib.Path, default=pathlib.Path("/nowhere"))
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--rates", default="1,10,100,500")
    parser.add_argument("--concurrencies", default="1,32,256")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each run, about")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no repeat later than this")
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("-o", "--output", default="-")
    arguments = parser.parse_args()
    binaries = {name: arguments.program if name == "batchscope" else arguments.environments / name / "bin" / name
                for name in arguments.clients.split(",")}
    absent = [name for name, binary in binaries.items() if not binary.exists()]
    loads = {load: [int(value) for value in values.split(",") if value]
             for load, values in (("rate", arguments.rates), ("concurrency", arguments.concurrencies))}
    awake = keep_awake()
    result = {"command": "bench/load_clients.py", "date": datetime.date.today().isoformat(), "cpus": os.cpu_count(),
              "idle_cpus_poll": awake is not None, "note": arguments.note, "absent": absent,
              "versions": {name: version(binary, name) for name, binary in binaries.items() if name not in absent},
              "mock": {"ttft_ms": TTFT_MS, "tpot_ms": ITL_MS, "output_tokens": OUTPUT_TOKENS}, "rows": []}
    if arguments.output != "-" and (output := pathlib.Path(arguments.output)).exists():
        earlier = json.loads(output.read_text())
        if (earlier["versions"], earlier["mock"]) != (result["versions"], result["mock"]):
            sys.exit(f"{output} is of other programs: {earlier['versions']}, not {result['versions']}")
        result = earlier
    begin = time.monotonic()
    for repeat in range(arguments.repeats):
        if time.monotonic() - begin > arguments.minutes * 60:
            break
        for load, values in loads.items():  # clients one after the other under the same conditions
            for name, binary in binaries.items():
                if name in absent or not values or any((row["repeat"], row["client"]) == (repeat, name) and load in row["load"]
                                                       for row in result["rows"]):
                    continue
                results = measure(name, binary, arguments.program, load, values, arguments.seconds)
                for value, found in zip(values, results):
                    result["rows"].append({"client": name, "load": {load: value}, "repeat": repeat,
                                           "load_average": os.getloadavg()[0], **found})
                    print(name, load, value, {key: round(number, 3) for key, number in found.items() if isinstance(number, float)},
                          found.get("failed", ""), file=sys.stderr)
                if arguments.output != "-":  # what is there stays there
                    pathlib.Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n")
    if arguments.output == "-":
        json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
