#!/usr/bin/env python3
"""Makes the small FP8 files that tests compare with, by PyTorch's float8_e4m3fn.

usage: fp8_files.py golden SRC
         SRC/tensor/testdata/fp8.json  every code's value, numbers with the code that PyTorch rounds them to, and rows with
                                       a scale each
         SRC/model/testdata/fp8/channel, blocks
                          models with random weights: compressed-tensors' float-quantized with a scale a row, and the layout
                          of DeepSeek and Qwen with a scale a block (weight_scale_inv); each with scores.json, what
                          transformers gives of the same model with its weights multiplied out in f32
needs: torch, transformers, safetensors, numpy (a scratch environment; the project itself needs no Python package)
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

FP8 = torch.float8_e4m3fn
LARGEST = 448.0
BLOCK = (32, 48)  # divides no size of the model, as 128 does not divide all of real ones
SIZES = {"hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 96, "max_position_embeddings": 64, "bos_token_id": 1,
         "eos_token_id": None, "pad_token_id": None, "tie_word_embeddings": False}


def codes(path, generator):
    every = torch.arange(256, dtype=torch.uint8).view(FP8).float()
    finite = every[every.isfinite()]
    ordered = finite.unique()
    ties = (ordered[1:] + ordered[:-1]) / 2
    near = torch.cat([ties.nextafter(torch.tensor(float("inf"))), ties.nextafter(torch.tensor(-float("inf")))])
    drawn = torch.randn(400, generator=generator) * torch.logspace(-4, 2, 400)
    numbers = torch.cat([ties, near, drawn]).clamp(-LARGEST, LARGEST)
    rows = torch.randn(6, 37, generator=generator) * torch.logspace(-6, 3, 6)[:, None]
    kept, scales, _ = a_row(rows)
    path.write_text(json.dumps({
        "values": [value if value == value else None for value in every.tolist()],
        "numbers": numbers.tolist(), "codes": numbers.to(FP8).view(torch.uint8).tolist(),
        "rows": rows.tolist(), "scales": scales.flatten().tolist(), "rows_codes": kept.view(torch.uint8).tolist()}))


def a_row(weight):
    scale = weight.abs().amax(dim=1, keepdim=True) / LARGEST
    kept = (weight / scale).to(FP8)
    return kept, scale, kept.float() * scale


def blocks(weight):
    rows, columns = (-(-size // of) for size, of in zip(weight.shape, BLOCK))
    scales = torch.empty(rows, columns)
    kept, whole = torch.empty_like(weight, dtype=FP8), torch.empty_like(weight)
    for i in range(rows):
        for j in range(columns):
            at = (slice(i * BLOCK[0], (i + 1) * BLOCK[0]), slice(j * BLOCK[1], (j + 1) * BLOCK[1]))
            scales[i, j] = weight[at].abs().amax() / LARGEST
            kept[at] = (weight[at] / scales[i, j]).to(FP8)
            whole[at] = kept[at].float() * scales[i, j]
    return kept, scales, whole


LAYOUTS = {
    "channel": (a_row, "_scale", {
        "quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed",
        "ignore": ["lm_head"], "kv_cache_scheme": None,
        "config_groups": {"group_0": {
            "targets": ["Linear"], "output_activations": None,
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False},
            "input_activations": {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True,
                                  "dynamic": True}}}}),
    "blocks": (blocks, "_scale_inv", {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": list(BLOCK)}),
}


@torch.no_grad()
def model(folder, generator, quantise, suffix, quantization):
    folder.mkdir(parents=True, exist_ok=True)
    config = transformers.LlamaConfig(**SIZES, dtype="float32", architectures=["LlamaForCausalLM"])
    reference = transformers.LlamaForCausalLM(config).eval()
    tensors = {}
    for name, parameter in reference.named_parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + (1 if "norm" in name else 0))
        if name.endswith("proj.weight"):
            # Rows of quite different sizes, which a scale a row is for.
            parameter.mul_(torch.logspace(-1, 0.3, parameter.shape[0])[:, None])
            kept, scales, whole = quantise(parameter)
            parameter.copy_(whole)
            tensors[name], tensors[name + suffix] = kept.contiguous(), scales
        else:
            kept = parameter.to(torch.bfloat16)
            parameter.copy_(kept)
            tensors[name] = kept.contiguous()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    (folder / "config.json").write_text(json.dumps(
        {**config.to_diff_dict(), "quantization_config": quantization, "dtype": "bfloat16"}, indent=1) + "\n")
    scores = []
    for length in (5, 11, 24):
        tokens = torch.randint(2, SIZES["vocab_size"], (length,), generator=generator)
        logits = reference(tokens[None, :-1]).logits[0].log_softmax(-1)
        scores.append({"tokens": tokens.tolist(), "scored": 4,
                       "log_likelihood": logits[-4:].gather(1, tokens[-4:, None]).sum().item()})
    (folder / "scores.json").write_text(json.dumps(scores))


def main():
    if len(sys.argv) != 3 or sys.argv[1] != "golden":
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[2])
    generator = torch.Generator().manual_seed(8)
    codes(source / "tensor" / "testdata" / "fp8.json", generator)
    for name, (quantise, suffix, quantization) in LAYOUTS.items():
        model(source / "model" / "testdata" / "fp8" / name, generator, quantise, suffix, quantization)


main()
