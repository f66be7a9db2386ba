#!/usr/bin/env python3
"""README's table of the CPU engine's speed, from what cpu_engine.py wrote.

usage: cpu_engine_table.py RESULT.json                    prints the table
       cpu_engine_table.py RESULT.json --check README.md  exits with 1 unless that file has it
"""

import sys

import readme_table


def times(value):
    return f"{value:.2f} ×"


def share(value):
    return f"{100 * value:.0f} %"


def table(result):
    lines = [
        f"| scoring {result['items']} questions | s | against llama.cpp | against lm-eval | of oneDNN's GEMM rate |",
        "| --- | --- | --- | --- | --- |",
    ]
    for dtype in ("f32", "bf16"):
        for packing in ("prefix", "packed"):
            row = result["scoring"][f"batchscope {dtype} {packing}"]
            lines.append(f"| {dtype}, {packing} | {row['seconds']['median']:.1f} | {times(row['times_llama_cpp'])} | "
                         f"{times(row['times_lm_eval'])} | {share(row['share_of_gemm_rate'])} |")
    lines += ["", "| decode | ms per token | against llama.cpp | of the machine's limit |", "| --- | --- | --- | --- |"]
    for name, row in result["decode"]["of"].items():
        program, dtype, _, batch = name.split()
        if program == "batchscope":
            lines.append(f"| {dtype}, batch {batch} | {row['time_per_output_token_ms']['median']:.1f} | "
                         f"{times(row['times_llama_cpp'])} | {share(row['share_of_limit'])} |")
    return "\n".join(lines) + "\n"


sys.exit(readme_table.main(table))
