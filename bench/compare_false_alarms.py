#!/usr/bin/env python3
"""How often `batchscope compare` is wrong: runs of one study compared with each other, and with what is planted in them.

usage, in the repository: bench/compare_false_alarms.py [--pairs 20] [--study studies/compare.toml]
       [--output docs/results/compare.json]

Runs the study twice a pair and compares the two: whatever is found is a false alarm. Then copies of the second run are
made 10 % slower, and 3 points of accuracy worse in one cell, and compared with the first: whatever is not found is
missed. Needs a quiet machine: times that other programs disturbed are not judged. Exit code 0: at most one false alarm
in ten pairs, nothing of accuracy missed and at most one slowdown in five.
"""
import argparse
import datetime
import json
import math
import pathlib
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--study", default="studies/compare.toml")
    parser.add_argument("--program", default="build/release/batchscope")
    parser.add_argument("--output", default="docs/results/compare.json")
    parser.add_argument("--disturbed", action="store_true", help="judge disturbed times too")
    return parser.parse_args()


def run_study(program, study, path):
    begin = time.monotonic()
    subprocess.run([program, "study", study, "-o", path], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


def compare(program, a, b, disturbed):
    command = [program, "compare", a, b, "--json"] + (["--disturbed"] if disturbed else [])
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"compare ended with {done.returncode}")
    result = json.loads(done.stdout)
    if result["regression"] != (done.returncode == 1):
        raise SystemExit("compare's exit code and its JSON disagree")
    return result


def plant_slowdown(path, factor):
    """Every attempt takes that much longer."""
    with sqlite3.connect(path) as db:
        db.execute(
            "UPDATE attempts SET seconds = seconds * ?1, result_json ="
            " json_set(result_json, '$.seconds', json_extract(result_json, '$.seconds') * ?1)"
            " WHERE seconds IS NOT NULL",
            (factor,),
        )


def plant_wrong_answers(path, points):
    """One cell answers that share of its questions wrong which it had right, in all its repeats."""
    with sqlite3.connect(path) as db:
        cell = db.execute("SELECT json_extract(spec_json, '$.spec') FROM cells ORDER BY position LIMIT 1").fetchone()[0]
        attempts = db.execute(
            "SELECT attempts.id FROM attempts JOIN cells ON cells.id = attempts.cell"
            " WHERE json_extract(cells.spec_json, '$.spec') = ?",
            (cell,),
        ).fetchall()
        for (attempt,) in attempts:
            items = db.execute("SELECT count(*) FROM items WHERE attempt = ?", (attempt,)).fetchone()[0]
            db.execute(
                "UPDATE items SET pred_norm = (gold + 1) % json_array_length(ll_json) WHERE attempt = ?1 AND position IN"
                " (SELECT position FROM items WHERE attempt = ?1 AND pred_norm = gold ORDER BY position LIMIT ?2)",
                (attempt, round(items * points / 100)),
            )


def planted(program, a, b, folder, plant, disturbed):
    copy = folder / "planted.bscope"
    shutil.copyfile(b, copy)
    plant(copy)
    return compare(program, a, copy, disturbed)


def about_time(result):
    """A regression of time, of all cells or of one."""
    times = [result["overall_time"]] + [cell["seconds"] for cell in result["cells"]]
    return any(time["judgement"] == "worse" for time in times)


def about_accuracy(result):
    return any(cell["acc_norm"]["judgement"] == "worse" for cell in result["cells"])


def one_pair(options, folder):
    program = options.program
    a, b = folder / "a.bscope", folder / "b.bscope"
    for path in (a, b):
        path.unlink(missing_ok=True)
    seconds = [run_study(program, options.study, path) for path in (a, b)]
    same = compare(program, a, b, options.disturbed)
    slow = planted(program, a, b, folder, lambda path: plant_slowdown(path, 1.1), options.disturbed)
    wrong = planted(program, a, b, folder, lambda path: plant_wrong_answers(path, 3), options.disturbed)
    return {
        "study_seconds": [round(value, 2) for value in seconds],
        "false_alarms": same["regressions"],
        "not_judged": len(same["not_judged"]) > 0,
        "time_ratio": same["overall_time"]["ratio"],
        "cell_ratios": [cell["seconds"]["ratio"] for cell in same["cells"]],
        "run_noise": same["run_noise"],
        "slowdown_found": about_time(slow),
        "accuracy_found": about_accuracy(wrong),
    }, environment(a)


def environment(path):
    with sqlite3.connect(path) as db:
        return dict(db.execute("SELECT key, value FROM environment WHERE session = 1"))


def spread(ratios):
    """Standard deviation of a single run's logarithm of time, from ratios of two."""
    logs = [math.log(ratio) for ratio in ratios if ratio]
    return statistics.pstdev(logs, 0) / math.sqrt(2) if logs else None


def main():
    options = parse_arguments()
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        for number in range(options.pairs):
            pair, machine = one_pair(options, pathlib.Path(name))
            pairs.append(pair)
            print(f"pair {number + 1}: ratio {pair['time_ratio']}, false alarms {pair['false_alarms']}, slowdown "
                  f"{pair['slowdown_found']}, accuracy {pair['accuracy_found']}", file=sys.stderr)
    alarms = sum(bool(pair["false_alarms"]) for pair in pairs)
    found = {key: sum(pair[key] for pair in pairs) for key in ("slowdown_found", "accuracy_found")}
    result = {
        "command": " ".join(["bench/compare_false_alarms.py"] + sys.argv[1:]),
        "date": datetime.date.today().isoformat(),
        "machine": {key: machine.get(key) for key in ("cpu_model", "cpus_usable", "memory_bytes", "kernel")},
        "revision": machine.get("git_revision"),
        "pairs": len(pairs),
        "pairs_with_false_alarms": alarms,
        "pairs_not_judged_in_part": sum(pair["not_judged"] for pair in pairs),
        "slowdowns_of_10_percent_found": found["slowdown_found"],
        "accuracy_losses_of_3_points_found": found["accuracy_found"],
        "run_to_run_standard_deviation": spread([pair["time_ratio"] for pair in pairs]),
        "details": pairs,
    }
    output = pathlib.Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in result if key != "details"}, indent=1))
    good = alarms * 10 <= max(10, len(pairs)) and found["accuracy_found"] == len(pairs)
    return 0 if good and found["slowdown_found"] * 5 >= len(pairs) * 4 else 1


if __name__ == "__main__":
    sys.exit(main())
