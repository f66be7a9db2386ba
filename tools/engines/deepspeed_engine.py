#!/usr/bin/env python3
"""DeepSpeed as an engine (docs/engines.md): its tensor parallelism (AutoTP), and its kernel injection on top of that, the paper's
IoK. The model is a folder or a name on the Hub; a process a GPU, of which this one talks to batchscope.

  engine = "command:python3 tools/engines/deepspeed_engine.py --system tp"
  engine = "command:python3 tools/engines/deepspeed_engine.py --system iok --max-out-tokens 100"

in a study with parallel = "tp2", device = "cuda:0,1", dtype = "f16" and --set model=…. Kernel injection has a token limit,
--max-out-tokens or less where memory is short; beyond it answers are wrong without a word, and the cell is degraded. So they are
for a batch that is larger than the first one of the process, and by themselves since DeepSpeed 0.15.2, which adds LLaMA's
attention output twice; --repaired undoes that.

needs: pip install deepspeed torch accelerate transformers==4.35.2 (iok; below 4.36) or newer (tp). Kernels are built at first
use: TORCH_CUDA_ARCH_LIST=9.0. NOT RUN as it stands here: its calls of DeepSpeed are those of a benchmark that ran on 2 × H200 with
DeepSpeed 0.19.8, but this file has not been tried on GPUs.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
answers = os.fdopen(os.dup(1), "w")  # what libraries print must not get among the answers
os.dup2(2, 1)
import deepspeed
import torch
import torch.distributed
import transformers

parser = argparse.ArgumentParser()
parser.add_argument("--system", choices=["tp", "iok"], default="tp")
parser.add_argument("--max-out-tokens", type=int, default=1024)
parser.add_argument("--repaired", action="store_true")
options = parser.parse_args()


def repair():
    """The residual's sum as DeepSpeed 0.15.1 had it for models without biases."""
    from deepspeed.ops.transformer.inference.op_binding.residual_add import ResidualAddOp
    shipped = ResidualAddOp.forward

    def forward(self, hidden_state, residual, add_bias, attention_output=None, residual_add=None, attention_bias=None,
                final_bias=None):
        if final_bias is None and attention_bias is None:
            return self.vector_add(residual, hidden_state, 1.0 / self.config.mp_size)
        return shipped(self, hidden_state, residual, add_bias, attention_output, residual_add, attention_bias, final_bias)
    ResidualAddOp.forward = forward


@torch.no_grad()
def start(rank, ask, numbers, port):
    """This rank's part of the model."""
    global model, device
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(numbers[rank]), WORLD_SIZE=str(len(numbers)), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(port))
    device = torch.device("cuda", numbers[rank])
    torch.cuda.set_device(device)
    deepspeed.init_distributed("nccl")
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[ask["dtype"]]
    model = transformers.AutoModelForCausalLM.from_pretrained(ask["model"], torch_dtype=dtype).eval()
    if options.repaired:
        repair()
    injected = {"replace_with_kernel_inject": True, "max_out_tokens": options.max_out_tokens} if options.system == "iok" else {}
    model = deepspeed.init_inference(model, tensor_parallel={"tp_size": len(numbers)}, dtype=dtype, **injected)


@torch.no_grad()
def forward(ids):
    """The logits of a batch, of which rank 0 has the ids and the others only learn."""
    shape = torch.tensor(ids.shape if ids is not None else [0, 0], device=device)
    torch.distributed.broadcast(shape, 0)
    if shape[0] == 0:
        return None
    ids = torch.empty(shape.tolist(), dtype=torch.long, device=device) if ids is None else ids
    torch.distributed.broadcast(ids, 0)
    # A mask of ones: without one, transformers 4.35 hands on a view that DeepSpeed's kernels read past.
    return model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits


def hello(ask):
    return {"name": "DeepSpeed " + options.system, "version": deepspeed.__version__, "protocol": 1, "layouts": ["tp"],
            "dtypes": ["bf16", "f16"]}


def load(ask):
    global tokenizer
    if not ask["device"].startswith("cuda:") or ask["dtype"] not in ("bf16", "f16"):
        return {"error": "DeepSpeed needs --device cuda:… and --dtype f16 or bf16", "kind": "bad_input"}
    numbers = [int(number) for number in ask["device"].split(":")[1].split(",")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for rank in range(1, len(numbers)):  # they end with the process group, which batchscope kills
        subprocess.Popen([sys.executable, __file__, *sys.argv[1:]], stdin=subprocess.DEVNULL, stdout=2,
                         env={**os.environ, "DEEPSPEED_ENGINE_RANK": json.dumps([rank, ask, numbers, port])})
    tokenizer = transformers.AutoTokenizer.from_pretrained(ask["model"])
    start(0, ask, numbers, port)
    return {"done": True}


def prepare(ask):
    global batches, count, tokens
    sequences = []
    for r in ask["requests"]:  # as lm-evaluation-harness: tokenised whole, cut by the context's length
        start, whole = tokenizer(r["context"]).input_ids, tokenizer(r["context"] + r["continuation"]).input_ids
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
    log_p = forward(torch.tensor([s[:-1] + [0] * (width - len(s) + 1) for _, s, _ in batch], device=device)).float()
    for row, (i, s, scored) in enumerate(batch):
        at = torch.arange(len(s) - 1 - scored, len(s) - 1, device=device)
        yield i, log_p[row, at].log_softmax(-1)[torch.arange(scored), torch.tensor(s[-scored:], device=device)].sum().item()


def warm_up(ask):
    list(run(batches[0]))
    return {"done": True}


def score(ask):
    values, seconds = [0.0] * count, []
    for batch in batches:
        begin = time.monotonic()
        for i, value in run(batch):
            values[i] = value
        seconds.append(time.monotonic() - begin)
    return {"log_likelihoods": values, "batch_seconds": seconds, "tokens": tokens}


def main():
    if "DEEPSPEED_ENGINE_RANK" in os.environ:
        start(*json.loads(os.environ["DEEPSPEED_ENGINE_RANK"]))
        while forward(None) is not None:
            pass
        return
    for line in sys.stdin:
        ask = json.loads(line)
        try:
            answer = {"hello": hello, "load": load, "prepare": prepare, "warm_up": warm_up, "score": score}[ask["ask"]](ask)
        except torch.cuda.OutOfMemoryError as error:
            answer = {"error": str(error).split("\n")[0], "kind": "out_of_memory"}
        print(json.dumps(answer), file=answers, flush=True)
    if "model" in globals():
        forward(torch.empty(0, 0))  # the others end, too
    os._exit(0)  # DeepSpeed's static context would free its workspace after CUDA is gone


if __name__ == "__main__":
    main()
