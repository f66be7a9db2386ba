#!/usr/bin/env python3
"""Makes GGUF files to test against.

usage: gguf_files.py golden FILE     random blocks of every type that we read, and beside each its values as the package
                                     gguf computes them (src/model/testdata/dequantised.gguf)
needs: pip install gguf (a scratch environment; the project itself needs no Python package)
"""

import sys

import gguf
import numpy as np

# Where a block of each type has its f16 numbers.
HALVES = {
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
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
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "golden":
        write_golden(sys.argv[2])
    else:
        sys.exit(__doc__)


main()
