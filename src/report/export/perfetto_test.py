#!/usr/bin/env python3
"""The Perfetto trace of a small study, read with PyPI's `perfetto`, against the .bscope file read with SQLite.

    python3 src/report/export/perfetto_test.py [PROGRAM [FILE.bscope]]

Skips with a reason where the package is missing. With trace_processor_shell in the path that loads the trace, too.
"""
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import unittest
from collections import Counter, defaultdict
from pathlib import Path

try:
    from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import BuiltinClock, Trace, TrackEvent
except ImportError:
    Trace = None

PROGRAM = Path(__file__).resolve().parents[3] / "build" / "release" / "batchscope"
FILE = None
STUDY = """
name = "small"
limit = 8
device-memory = "1500KiB"
[grid]
parallel = ["tp2", "pp2"]
batch = [4, 64]
[frontier]
largest-batch = 8
"""


class Decoded:
    """Slices and values of a trace by the rules of its readers; times are Unix time in ns."""

    def __init__(self, data):
        trace = Trace.FromString(data)
        self.tracks, self.offsets = {}, {}
        self.slices, self.values = [], defaultdict(list)
        open_slices = defaultdict(list)
        for packet in trace.packet:
            sequence = packet.trusted_packet_sequence_id
            if packet.HasField("clock_snapshot"):
                clocks = {clock.clock_id: clock.timestamp for clock in packet.clock_snapshot.clocks}
                unix = clocks.pop(BuiltinClock.Value("BUILTIN_CLOCK_REALTIME"))
                for clock, time in clocks.items():
                    self.offsets[sequence, clock] = unix - time
            elif packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            else:
                event = packet.track_event
                time = packet.timestamp + self.offsets[sequence, packet.timestamp_clock_id]
                if event.type == TrackEvent.TYPE_SLICE_BEGIN:
                    open_slices[event.track_uuid].append({"event": event, "begin": time, "end": None})
                    self.slices.append(open_slices[event.track_uuid][-1])
                elif event.type == TrackEvent.TYPE_SLICE_END:
                    open_slices[event.track_uuid].pop()["end"] = time
                else:
                    assert event.type == TrackEvent.TYPE_COUNTER
                    number = event.WhichOneof("counter_value_field")
                    self.values[event.track_uuid].append((time, getattr(event, number)))

    def of(self, category):
        return [one for one in self.slices if list(one["event"].categories) == [category]]

    def track(self, one):
        return self.tracks[one["event"].track_uuid].name


def notes(one):
    return {note.name: getattr(note, note.WhichOneof("value")) for note in one["event"].debug_annotations}


@unittest.skipIf(Trace is None, "PyPI's perfetto is not installed")
@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built")
class PerfettoTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = Path(cls.folder.name)
        file = FILE
        if file is None:
            file = folder / "small.bscope"
            (folder / "small.toml").write_text(STUDY)
            subprocess.run([PROGRAM, "study", folder / "small.toml", "-o", file], check=True, stdout=subprocess.DEVNULL)
        cls.path = folder / "small.perfetto-trace"
        subprocess.run([PROGRAM, "export", file, "--format", "perfetto", "-o", cls.path], check=True)
        cls.trace = Decoded(cls.path.read_bytes())
        lines = subprocess.run([PROGRAM, "export", file, "--format", "jsonl", "--table", "samples"], check=True,
                               stdout=subprocess.PIPE).stdout.splitlines()
        cls.samples = [json.loads(line) for line in lines]
        cls.db = sqlite3.connect(f"file:{file}?mode=ro", uri=True)

    @classmethod
    def tearDownClass(cls):
        cls.db.close()
        cls.folder.cleanup()

    def rows(self, query):
        return self.db.execute(query).fetchall()

    def number(self, query):
        return self.rows(query)[0][0]

    def test_there_are_as_many_slices_and_values_as_in_the_file(self):
        self.assertGreater(len(self.trace.of("phase")), 0)
        self.assertEqual(len(self.trace.of("phase")), self.number("SELECT count(*) FROM phases"))
        self.assertEqual(len(self.trace.of("cell")), self.number("SELECT count(*) FROM attempts"))
        self.assertEqual(len(self.trace.of("gap")), self.number("SELECT count(*) FROM gaps"))
        self.assertEqual(len(self.trace.slices), sum(len(self.trace.of(one)) for one in ("phase", "cell", "gap")))
        values = sum(len(values) for values in self.trace.values.values())
        self.assertGreater(values, 0)
        self.assertEqual(values, self.number("SELECT sum(count) FROM chunks"))
        self.assertEqual(len(self.trace.values), self.number("SELECT count(DISTINCT series) FROM chunks WHERE count > 0"))

    def test_phases_have_their_names_tracks_and_times(self):
        expected = self.rows("""
            SELECT name, track, begin_ns + clock_offset_ns + monotonic_zero_unix_ns,
                   end_ns + clock_offset_ns + monotonic_zero_unix_ns, detail
            FROM phases JOIN sessions ON sessions.id = session""")
        found = [(one["event"].name, self.trace.track(one), one["begin"], one["end"], notes(one)["detail"])
                 for one in self.trace.of("phase")]
        self.assertEqual(Counter(found), Counter(expected))

    def test_cells_say_how_they_ended(self):
        expected = self.rows("""
            SELECT key, number, status, begin_ns + monotonic_zero_unix_ns, end_ns + monotonic_zero_unix_ns,
                   json_extract(cells.spec_json, '$.spec.batch'), attempts.seconds
            FROM attempts JOIN cells ON cells.id = cell JOIN sessions ON sessions.id = session""")
        found = []
        for one in self.trace.of("cell"):
            said = notes(one)
            self.assertEqual(one["event"].name, said["key"])
            found.append((said["key"], said["attempt"], said["status"], one["begin"], one["end"], said["batch"],
                          said.get("seconds")))
        self.assertEqual(Counter(found), Counter(expected))

    def test_counters_have_their_values_at_their_times(self):
        expected = defaultdict(list)
        for one in self.samples:
            middle = (one["before_ns"] + one["after_ns"]) // 2 - one["before_ns"] + one["unix_ns"]
            expected[one["session"], one["name"], one["device"]].append((middle, one["value"]))
        self.assertEqual(Counter(tuple(values) for values in self.trace.values.values()),
                         Counter(tuple(values) for values in expected.values()))
        summaries = self.rows("SELECT series.name, sum(count), min(min), max(max) FROM chunks "
                              "JOIN series ON series.id = series GROUP BY series.id HAVING sum(count) > 0")
        found = [(self.trace.tracks[track].name, len(values), min(value for _, value in values),
                  max(value for _, value in values)) for track, values in self.trace.values.items()]
        self.assertEqual(Counter(found), Counter(summaries))

    def test_every_track_stands_below_a_process(self):
        processes = [track for track in self.trace.tracks.values() if track.HasField("process")]
        self.assertEqual(len({track.process.pid for track in processes}), len(processes))
        for track in self.trace.tracks.values():
            if not track.HasField("process"):
                self.assertTrue(self.trace.tracks[track.parent_uuid].HasField("process"))

    @unittest.skipUnless(shutil.which("trace_processor_shell"), "no trace_processor_shell in the path, and PyPI's perfetto would download one")
    def test_trace_processor_loads_it_without_complaint(self):
        from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig
        config = TraceProcessorConfig(bin_path=shutil.which("trace_processor_shell"))
        with TraceProcessor(trace=str(self.path), config=config) as processor:
            slices = list(processor.query("SELECT count(*) AS number FROM slice"))[0].number
            values = list(processor.query("SELECT count(*) AS number FROM counter"))[0].number
            errors = list(processor.query("SELECT name FROM stats WHERE severity = 'error' AND value > 0"))
        self.assertEqual(slices, len(self.trace.slices))
        self.assertEqual(values, sum(len(values) for values in self.trace.values.values()))
        self.assertEqual([error.name for error in errors], [])


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        PROGRAM = Path(sys.argv.pop(1)).resolve()
    if len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
        FILE = Path(sys.argv.pop(1)).resolve()
    unittest.main()
