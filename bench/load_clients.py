#!/usr/bin/env python3
"""Load generators beside each other against batchscope's mock server, whose times and tokens are known: who measures TTFT,
TPOT, rate and tokens how wrongly. Writes JSON. Peers are taken from a folder of Python environments, each named like its
package (guidellm, aiperf, inference-perf); those that are not there are left out, and the result says so."""
import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROMPT_TOKENS, OUTPUT_TOKENS, TTFT_MS, ITL_MS = 64, 16, 50.0, 10.0
PACKAGES = {"guidellm": "guidellm", "aiperf": "aiperf", "inference-perf": "inference-perf"}


class Mock:
    def __init__(self, program):
        self.process = subprocess.Popen(
            [program, "mock-server", "--listen", "127.0.0.1:0", "--ttft", f"{TTFT_MS:g}ms", "--itl", f"{ITL_MS:g}ms"],
            stderr=subprocess.PIPE, text=True)
        self.url = re.search(r"http://\S+", self.process.stderr.readline())[0]

    def served(self):
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/mock") as answer:
            return json.load(answer)

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def hub_of(tokenizer, folder):
    """Hugging Face's cache with that tokenizer as local/tokenizer: AIPerf takes no path."""
    model = folder / "hub" / "models--local--tokenizer"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text("0" * 40)
    shutil.copytree(tokenizer, model / "snapshots" / ("0" * 40))
    return "local/tokenizer"


def run(command, folder, seconds):
    environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HUB_CACHE=str(pathlib.Path(folder) / "hub"), TRANSFORMERS_OFFLINE="1", TERM="dumb", NO_COLOR="1",
                       PATH=f"{pathlib.Path(command[0]).parent}:{os.environ['PATH']}")
    ended = subprocess.run([str(word) for word in command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=seconds, errors="replace")
    if ended.returncode != 0:
        raise RuntimeError((ended.stderr or ended.stdout)[-400:])
    return ended.stdout


def batchscope(binary, url, load, count, folder, _tokenizer):
    shape = ["--rate", load["rate"], "--burstiness", "constant"] if "rate" in load else ["--concurrency", load["concurrency"]]
    found = json.loads(run([binary, "load", url, "--api", "chat", *shape, "--requests", count, "--prompt-tokens", PROMPT_TOKENS,
                            "--output-tokens", OUTPUT_TOKENS, "--warm-up", "0", "--json"], folder, 600))
    metrics = found["metrics"]
    return {"ttft_ms": metrics["ttft"]["p50_ms"]["value"], "ttft_p99_ms": metrics["ttft"]["p99_ms"]["value"],
            "tpot_ms": metrics["tpot"]["mean_ms"], "requests_per_s": found["requests_per_s"],
            "output_tokens_per_request": found["output_tokens"] / found["answered"], "answered": found["answered"],
            "says_valid": found["valid"]}


def guidellm(binary, url, load, count, folder, tokenizer):
    profile = f"kind=constant,rate={load['rate']}" if "rate" in load else f"kind=concurrent,streams={load['concurrency']}"
    run([binary, "run", "--backend",
         f"kind=openai_http,target={url.removesuffix('/v1')},model=mock,request_format=/v1/chat/completions",
         "--profile", profile, "--constraint", f"kind=max_requests,count={count}", "--tokenizer",
         f"kind=huggingface_auto,model={tokenizer}", "--data",
         f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={OUTPUT_TOKENS}", "--output",
         f"kind=json,path={folder}/guidellm.json", "--disable-console"], folder, 900)
    found = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    good = {name: found[name]["successful"] for name in
            ("time_to_first_token_ms", "inter_token_latency_ms", "requests_per_second", "output_token_count")}
    return {"ttft_ms": good["time_to_first_token_ms"]["median"],
            "ttft_p99_ms": good["time_to_first_token_ms"]["percentiles"]["p99"],
            # What it calls TPOT includes the first token; its inter-token latency is others' TPOT.
            "tpot_ms": good["inter_token_latency_ms"]["mean"], "requests_per_s": good["requests_per_second"]["mean"],
            "output_tokens_per_request": good["output_token_count"]["mean"], "answered": good["output_token_count"]["count"]}


def aiperf(binary, url, load, count, folder, tokenizer):
    shape = ["--request-rate", load["rate"], "--arrival-pattern", "constant"] if "rate" in load else \
        ["--concurrency", load["concurrency"]]
    run([binary, "profile", "--model", "mock", "--url", url.removesuffix("/v1"), "--endpoint-type", "chat", "--streaming",
         *shape, "--request-count", count, "--isl", PROMPT_TOKENS, "--osl", OUTPUT_TOKENS, "--tokenizer",
         hub_of(tokenizer, folder),
         "--use-server-token-count", "--num-dataset-entries", 100, "--ui", "none", "--artifact-dir", folder / "aiperf"],
        folder, 900)
    found = json.loads(next((folder / "aiperf").rglob("profile_export_aiperf.json")).read_text())
    return {"ttft_ms": found["time_to_first_token"]["p50"], "ttft_p99_ms": found["time_to_first_token"]["p99"],
            "tpot_ms": found["inter_token_latency"]["avg"], "requests_per_s": found["request_throughput"]["avg"],
            "output_tokens_per_request": found["output_sequence_length"]["avg"], "answered": found["request_count"]["avg"]}


def inference_perf(binary, url, load, count, folder, tokenizer):
    stage = {"rate": load["rate"], "duration": max(1, round(count / load["rate"]))} if "rate" in load else \
        {"num_requests": count, "concurrency_level": load["concurrency"]}
    lengths = lambda mean: {"min": mean, "max": mean, "mean": mean, "std_dev": 0, "total_count": count + 1}
    config = {"api": {"type": "completion", "streaming": True},
              "data": {"type": "random", "input_distribution": lengths(PROMPT_TOKENS), "output_distribution": lengths(OUTPUT_TOKENS)},
              "load": {"type": "constant" if "rate" in load else "concurrent", "stages": [stage], "num_workers": 1},
              "server": {"type": "vllm", "model_name": "mock", "base_url": url.removesuffix("/v1"), "ignore_eos": True},
              "tokenizer": {"pretrained_model_name_or_path": str(tokenizer)},
              "storage": {"local_storage": {"path": str(folder / "reports")}}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    run([binary, "--config_file", folder / "config.yml"], folder, 900)
    found = json.loads(next((folder / "reports").rglob("summary_lifecycle_metrics.json")).read_text())["successes"]
    ms = lambda name, figure: found["latency"][name][figure] * 1e3
    return {"ttft_ms": ms("time_to_first_token", "median"), "ttft_p99_ms": ms("time_to_first_token", "p99"),
            "tpot_ms": ms("time_per_output_token", "mean"), "requests_per_s": found["throughput"]["requests_per_sec"],
            "output_tokens_per_request": found["output_len"]["mean"], "answered": found["count"]}


CLIENTS = {"batchscope": batchscope, "guidellm": guidellm, "aiperf": aiperf, "inference-perf": inference_perf}


def version(binary, name):
    if name == "batchscope":
        return run([binary, "--version"], ROOT, 60).strip()
    python = pathlib.Path(binary).parent / "python"
    return run([python, "-c", f"import importlib.metadata as m; print(m.version('{PACKAGES[name]}'))"], ROOT, 120).strip()


def measure(name, binary, program, load, count, tokenizer):
    mock = Mock(program)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = CLIENTS[name](binary, mock.url, load, count, pathlib.Path(folder), tokenizer)
        found["mock_late_us"] = mock.served()["late_us"]
    except Exception as error:  # a peer that fails is a result, too
        found = {"failed": f"{type(error).__name__}: {str(error)[-300:]}"}
    finally:
        mock.end()
    if "failed" not in found:
        found["ttft_error_ms"] = found["ttft_ms"] - TTFT_MS
        found["tpot_error_ms"] = found["tpot_ms"] - ITL_MS
        found["token_error"] = found["output_tokens_per_request"] - OUTPUT_TOKENS
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", default=ROOT / "build" / "release" / "batchscope", type=pathlib.Path)
    parser.add_argument("--environments", type=pathlib.Path, default=pathlib.Path("/nowhere"))
    parser.add_argument("--tokenizer", type=pathlib.Path, default=ROOT / "src/model/testdata/tokenizers/llama",
                        help="a Hugging Face folder with a tokenizer, for peers that draw prompts with one")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--rates", default="1,10,100,500")
    parser.add_argument("--concurrencies", default="1,32,256")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10, help="of each run, about")
    parser.add_argument("--note", default="", help="what else the machine did")
    parser.add_argument("-o", "--output", default="-")
    arguments = parser.parse_args()
    binaries = {name: arguments.program if name == "batchscope" else arguments.environments / name / "bin" / name
                for name in arguments.clients.split(",")}
    absent = [name for name, binary in binaries.items() if not binary.exists()]
    loads = [{"rate": int(rate)} for rate in arguments.rates.split(",") if rate] + \
        [{"concurrency": int(number)} for number in arguments.concurrencies.split(",") if number]
    answer_s = (TTFT_MS + ITL_MS * (OUTPUT_TOKENS - 1)) * 1e-3
    result = {"command": "bench/load_clients.py", "date": datetime.date.today().isoformat(), "cpus": os.cpu_count(),
              "note": arguments.note, "absent": absent,
              "versions": {name: version(binary, name) for name, binary in binaries.items() if name not in absent},
              "mock": {"ttft_ms": TTFT_MS, "tpot_ms": ITL_MS, "output_tokens": OUTPUT_TOKENS}, "rows": []}
    for repeat in range(arguments.repeats):
        for load in loads:  # clients one after the other under the same conditions
            per_s = load.get("rate") or load["concurrency"] / answer_s
            count = max(5, round(per_s * arguments.seconds))
            for name, binary in binaries.items():
                if name in absent:
                    continue
                found = measure(name, binary, arguments.program, load, count, arguments.tokenizer.resolve())
                result["rows"].append({"client": name, "load": load, "requests": count, "repeat": repeat,
                                       "load_average": os.getloadavg()[0], **found})
                print(name, load, {key: round(value, 3) for key, value in found.items() if isinstance(value, float)},
                      found.get("failed", ""), file=sys.stderr)
                if arguments.output != "-":  # what is there stays there
                    pathlib.Path(arguments.output).write_text(json.dumps(result, indent=1) + "\n")
    if arguments.output == "-":
        json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
