#!/usr/bin/env python3
"""The example in this folder runs on a file that the program has just written; BATCHSCOPE names the program."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = os.environ.get("BATCHSCOPE", HERE.parent.parent / "build" / "release" / "batchscope")
sys.path.insert(0, str(HERE))
import results

try:
    import pandas
except ImportError:
    pandas = None


class Results(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = os.path.join(cls.folder.name, "eval 100%.bscope")
        answer = subprocess.run(
            [PROGRAM, "eval", "--limit", "6", "--device", "cpu:2", "--parallel", "tp2", "--batch", "8", "--json", "-",
             "-o", cls.path], check=True, capture_output=True, text=True)
        cls.result = json.loads(answer.stdout)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_runs_with_the_standard_library_alone(self):
        # -S -I: nothing but Python's own library is found, so that this is tested where pandas is installed too.
        run = subprocess.run([sys.executable, "-S", "-I", HERE / "results.py", self.path], capture_output=True,
                             text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        for title in results.QUERIES:
            self.assertIn(title, run.stdout)
        self.assertIn("tp2 fusion=off", run.stdout)

    def test_views_say_what_eval_said(self):
        database = results.open_for_reading(self.path)
        self.assertEqual(
            database.execute("SELECT status, seconds, acc, acc_norm, tokens_per_s, tokens_computed, items, batch, "
                             "parallel, host, counted_tx_bytes FROM cell_results").fetchall(),
            [(self.result["status"], self.result["seconds"], self.result["acc"], self.result["acc_norm"],
              self.result["tokens_per_s"], self.result["tokens"]["computed"], 6, 8, "tp2",
              self.result["environment"]["host"],
              sum(link["counted_tx_bytes"] for device in self.result["devices"] for link in device["links"]))])
        right, answers = database.execute("SELECT sum(is_right_norm), count(*) FROM item_results").fetchone()
        self.assertAlmostEqual(right / answers, self.result["acc_norm"])
        begin, end, started, ended = database.execute(
            "SELECT min(begin_unix_ns) * 1e-9, max(end_unix_ns) * 1e-9, min(started_unix_s), max(ended_unix_s) "
            "FROM phase_times, cell_results").fetchone()
        self.assertTrue(started - 0.1 <= begin <= end <= ended + 0.1, "phases lie within the attempt, on one clock")

    @unittest.skipIf(pandas is None, "pandas is not installed")
    def test_pandas_reads_every_view(self):
        database = results.open_for_reading(self.path)
        for query in results.QUERIES.values():
            self.assertGreater(len(results.rows(database, query)), 0)
        for (view,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'view'"):
            pandas.read_sql(f"SELECT * FROM {view}", database)


if __name__ == "__main__":
    unittest.main()
