#!/usr/bin/env python3
"""Makes GGUF files to test against, and compares what batchscope makes of them with other readers.

usage: gguf_files.py golden FILE              random blocks of every type that we read, and beside each its values as
                                              the package gguf computes them (src/model/testdata/dequantised.gguf)
       gguf_files.py models FOLDER            models with random weights: LLaMA in every type, Mistral, Qwen2, Qwen3,
                                              RoPE scaling; and their questions' scores by transformers
       gguf_files.py retype SOURCE FILE TYPE  the same model with its matrices in F32 or BF16
       gguf_files.py compare FOLDER PROGRAM   scores those files with PROGRAM (build/release/batchscope); exits with 1
                                              when a log-likelihood differs by more than 1e-3 + 1e-6 of itself
needs: pip install gguf; for models also torch, transformers, accelerate, sentencepiece, llama-cpp-python (a scratch
environment; the project itself needs no Python package)
"""

import ctypes
import json
import pathlib
import subprocess
import sys

import gguf
import numpy as np

TINY = pathlib.Path(__file__).resolve().parent.parent / "models" / "tiny"
QUESTIONS = 12  # of the embedded ones
PIECES = None  # the models' tokenizer, once it is trained

# Where a block of each type has its f16 numbers.
HALVES = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}

# What llama.cpp's quantiser is asked for. Its mixtures put several types in one file.
FILE_TYPES = {
    "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_M": 12, "Q4_K_S": 14, "Q4_K_M": 15,
    "Q5_K_M": 17, "Q6_K": 18, "BF16": 32,
}


def random_blocks(kind, count, random):
    """[count, bytes of a block]: any bytes, but no f16 or bf16 that is infinite or not a number."""
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    if kind == gguf.GGMLQuantizationType.F32:
        return random.standard_normal(count).astype(np.float32).view(np.uint8).reshape(count, size)
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES.get(kind.name, []):
        high = blocks[:, at + 1]
        blocks[:, at + 1] = np.where((high & 0x7C) == 0x7C, high ^ 0x40, high)
    if kind == gguf.GGMLQuantizationType.BF16:
        blocks[:, 1] &= 0xBF
    return blocks


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_golden(path):
    random = np.random.default_rng(1)
    writer = gguf.GGUFWriter(path, "golden")
    for name in ["F32", "BF16", *HALVES]:
        kind = gguf.GGMLQuantizationType[name]
        elements, _ = gguf.GGML_QUANT_SIZES[kind]
        blocks = random_blocks(kind, max(4, 64 // elements), random)
        values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).astype(np.float32)
        writer.add_tensor(name, blocks.reshape(1, -1), raw_dtype=kind)
        writer.add_tensor(name + ".values", values)
    finish(writer)


def make_models():
    """Name -> (architecture in GGUF, transformers' model), all small, weights large enough for errors to show."""
    import torch
    import transformers as hf

    torch.manual_seed(1)
    vocabulary = tokenizer().get_piece_size()
    sizes = dict(vocab_size=vocabulary, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
                 num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.06,
                 tie_word_embeddings=False)
    rope = lambda **more: dict(rope_parameters=dict(rope_theta=10000.0, **more))
    configs = {
        "llama": ("llama", hf.LlamaConfig(**sizes)),
        "llama-tied-biased": ("llama", hf.LlamaConfig(**sizes | dict(
            attention_bias=True, mlp_bias=True, tie_word_embeddings=True, num_key_value_heads=1, head_dim=96))),
        "llama-linear": ("llama", hf.LlamaConfig(**sizes, **rope(rope_type="linear", factor=4.0))),
        "llama-llama3": ("llama", hf.LlamaConfig(**sizes, **rope(
            rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=64))),
        "llama-yarn": ("llama", hf.LlamaConfig(**sizes, **rope(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=32))),
        "qwen2-yarn": ("qwen2", hf.Qwen2Config(**sizes, **rope(
            rope_type="yarn", factor=8.0, original_max_position_embeddings=64, attention_factor=1.3, beta_fast=16.0,
            beta_slow=2.0))),
        "mistral-window": ("llama", hf.MistralConfig(**sizes, sliding_window=20)),
        "qwen2": ("qwen2", hf.Qwen2Config(**sizes)),
        "qwen3": ("qwen3", hf.Qwen3Config(**sizes, head_dim=96)),
    }
    models = {}
    for name, (architecture, config) in configs.items():
        model = hf.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms near 1, biases near 0
                parameter.data += 0.3 * torch.randn_like(parameter)
        models[name] = (architecture, model)
    return models


def tokenizer():
    """BPE of the questions' text. (The embedded model's own tokenizer is a unigram one, which GGUF's kind llama is not.)"""
    global PIECES
    if PIECES is None:
        import io
        import sentencepiece

        model = io.BytesIO()
        texts = [json.loads(line)["context"] for line in (TINY / "questions.jsonl").read_text().splitlines()]
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, model_type="bpe", vocab_size=512, byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2)
        PIECES = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return PIECES


def add_tokenizer(writer):
    pieces = tokenizer()
    count = pieces.get_piece_size()
    kinds = [gguf.TokenType.UNKNOWN if pieces.is_unknown(i) else
             gguf.TokenType.CONTROL if pieces.is_control(i) else
             gguf.TokenType.BYTE if pieces.is_byte(i) else gguf.TokenType.NORMAL for i in range(count)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([pieces.id_to_piece(i) for i in range(count)])
    writer.add_token_scores([pieces.get_score(i) for i in range(count)])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(pieces.bos_id())
    writer.add_eos_token_id(pieces.eos_id())
    writer.add_add_bos_token(True)


def add_rope(writer, rope, head_dim):
    kind = rope.get("rope_type", "default")
    writer.add_rope_freq_base(rope["rope_theta"])
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        for key, add in {"attention_factor": writer.add_rope_scaling_yarn_attn_factor,
                         "beta_fast": writer.add_rope_scaling_yarn_beta_fast,
                         "beta_slow": writer.add_rope_scaling_yarn_beta_slow}.items():
            if rope.get(key) is not None:
                add(rope[key])
    if kind == "llama3":
        frequencies = rope["rope_theta"] ** -(np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
        turns = rope["original_max_position_embeddings"] * frequencies / (2 * np.pi)
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        share = np.clip((turns - low) / (high - low), 0, 1)
        writer.add_tensor("rope_freqs.weight", (1 / ((1 - share) / rope["factor"] + share)).astype(np.float32))


def paired(weights, heads):
    """Rows of queries or keys as the architecture llama stores them: the two halves of a head interleaved."""
    split = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(weights.shape))


def write_model(path, architecture, model):
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(path.stem)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if getattr(config, "sliding_window", None) and architecture == "llama":
        writer.add_sliding_window(config.sliding_window)
    add_rope(writer, config.rope_parameters, head_dim)
    add_tokenizer(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], config.num_hidden_layers)
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weights = value.numpy()
        if architecture == "llama" and ".q_proj." in name:
            weights = paired(weights, config.num_attention_heads)
        if architecture == "llama" and ".k_proj." in name:
            weights = paired(weights, config.num_key_value_heads)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), weights)
    finish(writer)


def quantise(source, target, file_type):
    import llama_cpp

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = file_type
    parameters.nthread = 1
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(parameters))
    if status != 0:
        sys.exit(f"llama.cpp could not make {target}")


def requests():
    """(question, [(tokens of the context, tokens of context and choice)])"""
    pieces = tokenizer()
    encode = lambda text: [pieces.bos_id()] + pieces.encode(text)
    for line in (TINY / "questions.jsonl").read_text().splitlines()[:QUESTIONS]:
        item = json.loads(line)
        choices = [item["context"] + item["delimiter"] + choice for choice in item["choices"]]
        yield item["id"], [(encode(item["context"]), encode(choice)) for choice in choices]


def write_scores(path, model):
    import torch

    with open(path, "w") as out, torch.no_grad():
        for question, choices in requests():
            scores = []
            for context, whole in choices:
                logits = model(torch.tensor([whole[:-1]])).logits[0].float().log_softmax(-1)
                scored = range(len(context) - 1, len(whole) - 1)
                scores.append(sum(logits[i, whole[i + 1]].item() for i in scored))
            out.write(json.dumps(dict(id=question, ll=scores)) + "\n")


def write_models(folder):
    import torch
    import transformers as hf

    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, (architecture, model) in make_models().items():
        write_model(folder / f"{name}.gguf", architecture, model)
        write_scores(folder / f"{name}.jsonl", model)
    for kind, file_type in FILE_TYPES.items():
        quantise(folder / "llama.gguf", folder / f"llama-{kind}.gguf", file_type)
        model = hf.AutoModelForCausalLM.from_pretrained(folder, gguf_file=f"llama-{kind}.gguf", dtype=torch.float32)
        write_scores(folder / f"llama-{kind}.jsonl", model.eval())


def compare(folder, program):
    all_agree = True
    for expected in sorted(folder.glob("*.jsonl")):
        model = expected.with_suffix(".gguf")
        items = folder / "items.json"
        subprocess.run([program, "eval", "--model", model, "--task", TINY / "questions.jsonl", "--limit", str(QUESTIONS),
                        "--dtype", "f32", "--items", items], check=True, capture_output=True)
        ours = {str(each["id"]): each["ll"] for each in map(json.loads, items.read_text().splitlines())}
        items.unlink()
        theirs = {str(each["id"]): each["ll"] for each in map(json.loads, expected.read_text().splitlines())}
        pairs = [pair for key in theirs for pair in zip(theirs[key], ours[key], strict=True)]
        worst = max(abs(a - b) for a, b in pairs)
        agrees = all(abs(a - b) <= 1e-3 + 1e-6 * abs(a) for a, b in pairs)
        print(f"{model.name:28} largest difference {worst:.2g}{'' if agrees else ', too large'}")
        all_agree = all_agree and agrees
    sys.exit(0 if all_agree else 1)


def retype(source, target, kind):
    """The file with every tensor de-quantised, and matrices as `kind`, all metadata kept."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.get_field("general.architecture").contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue  # the writer's own
        if name == "general.file_type":
            writer.add_uint32(name, {"F32": 0, "BF16": 32}[kind])
        elif field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(name, field.contents())
        else:
            writer.add_key_value(name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        if kind == "BF16" and len(shape) == 2:
            bf16 = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(tensor.name, gguf.quantize(values, bf16), raw_dtype=bf16)
        else:
            writer.add_tensor(tensor.name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    arguments = sys.argv[1:]
    if len(arguments) == 2 and arguments[0] == "golden":
        write_golden(arguments[1])
    elif len(arguments) == 2 and arguments[0] == "models":
        write_models(pathlib.Path(arguments[1]))
    elif len(arguments) == 4 and arguments[0] == "retype" and arguments[3] in ("F32", "BF16"):
        retype(*arguments[1:])
    elif len(arguments) == 3 and arguments[0] == "compare":
        compare(pathlib.Path(arguments[1]), arguments[2])
    else:
        sys.exit(__doc__)


main()
