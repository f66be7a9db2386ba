#!/usr/bin/env python3
"""README's table of load generators beside each other, from what load_clients.py wrote.

usage: load_clients_table.py RESULT.json                    prints the table
       load_clients_table.py RESULT.json --check README.md  exits with 1 unless that file has it
"""

import statistics
import sys

import readme_table

# Loads that stand in one column.
GROUPS = [("1 to 100/s", [("rate", 1), ("rate", 10), ("rate", 100)]), ("500/s", [("rate", 500)]),
          ("1 and 32 at once", [("concurrency", 1), ("concurrency", 32)]), ("256 at once", [("concurrency", 256)])]
EVERYWHERE = [load for _, loads in GROUPS for load in loads]


def worst(rows, loads, key):
    """Of these loads the largest error, each the median of its repeats; None where no repeat gave one."""
    medians = []
    for kind, value in loads:
        values = [row[key] for row in rows if row["load"] == {kind: value} and "failed" not in row]
        if not values:
            return None
        medians.append(statistics.median(values))
    return max(medians, key=abs)


def cpu_ms_per_request(rows):
    """Of a round, starting included; one process has several loads, and says of each what it took for all."""
    rounds = []
    for repeat in {row["repeat"] for row in rows if "failed" not in row}:
        of_round = [row for row in rows if row["repeat"] == repeat and "failed" not in row]
        seconds = {kind: row["cpu_seconds"] for row in of_round for kind in row["load"]}
        rounds.append(sum(seconds.values()) * 1e3 / sum(row["answered"] for row in of_round))
    return statistics.median(rounds) if rounds else None


def field(value, form):
    return "–" if value is None else form.format(value)


def table(result):
    lines = ["| | TTFT off by, ms: " + " | ".join(name for name, _ in GROUPS) + " | TPOT, ms | requests/s | tokens | CPU, ms a request |",
             "| --- |" + " --- |" * (len(GROUPS) + 4)]
    for client, version in result["versions"].items():
        rows = [row for row in result["rows"] if row["client"] == client]
        name = f"**{client}**" if client == "batchscope" else f"{client} {version}"
        fields = [field(worst(rows, loads, "ttft_error_ms"), "{:+.2f}") for _, loads in GROUPS]
        fields += [field(worst(rows, EVERYWHERE, "tpot_error_ms"), "{:+.2f}"), field(worst(rows, EVERYWHERE, "rate_error"), "{:+.1%}"),
                   field(worst(rows, EVERYWHERE, "token_error"), "{:+.1f}"), field(cpu_ms_per_request(rows), "{:.1f}")]
        lines.append(f"| {name} | " + " | ".join(fields) + " |")
    return "\n".join(lines) + "\n"


sys.exit(readme_table.main(table))
