"""The HTML report in a browser: what it shows, what it can do, and that nothing leaves it.

usage: page_test.py PROGRAM [unittest's arguments]     PROGRAM is batchscope; skips where no Chromium can be driven
"""
import contextlib
import csv
import json
import math
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tools"))
import browser  # noqa: E402

STUDY = """
name = "page"
device = "cpu:2"
device-memory = "3MiB"
limit = 24
repeats = 2
period = "5ms"
[grid]
parallel = ["mp2", "tp2"]
batch = [4, 16, 64]
[[cell]]
parallel = "tp2"
batch = 64
max-tokens-per-sequence = 12
when-too-long = "truncate"
"""

# Boxes that lie on each other, texts that are cut, and what sticks out of the window.
LAYOUT = r"""
const wrong = [];
const name = (element) => element.tagName.toLowerCase() + (element.id ? '#' + element.id : '.' + element.className) +
    ' "' + element.textContent.trim().slice(0, 30) + '"';
const root = document.querySelector('dialog[open]') || document.body;
const seen = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0 && getComputedStyle(element).visibility !== 'hidden';
};
if (document.documentElement.scrollWidth > window.innerWidth)
  wrong.push(`the page is ${document.documentElement.scrollWidth} px wide in a window of ${window.innerWidth}`);
for (const element of root.querySelectorAll('*')) {
  if (element.closest('svg') || element.closest('.dygraph') || !seen(element)) continue;
  const style = getComputedStyle(element);
  const hides = style.overflowX !== 'visible' && style.overflowX !== 'auto' && style.overflowX !== 'scroll';
  if (hides && element.scrollWidth > element.clientWidth + 1 && !element.matches('select, input, .track'))
    wrong.push(`${name(element)} is cut: ${element.scrollWidth} px in ${element.clientWidth}`);
}
const groups = ['section.part', '.facts > div', '.figures > *', '.tables > *', '.banner > *', '.controls > *', '.heading > *',
                '.figure > *', '.legend > *', '.cell-body > *', '.pairs > div > *', '.series > *'];
for (const group of groups) {
  const boxes = [...root.querySelectorAll(group)].filter(seen).map((element) => [element, element.getBoundingClientRect()]);
  for (let i = 0; i < boxes.length; ++i)
    for (let j = i + 1; j < boxes.length; ++j) {
      const [a, x] = boxes[i], [b, y] = boxes[j];
      if (a.parentElement !== b.parentElement) continue;
      if (Math.min(x.right, y.right) - Math.max(x.left, y.left) > 1 && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 1)
        wrong.push(`${name(a)} lies on ${name(b)}`);
    }
}
return wrong;
"""

CELLS = """
const table = document.querySelector('table.cells');
const paths = [...table.tHead.rows[0].cells].map((cell) => cell.dataset.path);
return [...table.tBodies[0].rows].map((row) => {
  const cells = {};
  [...row.cells].forEach((cell, at) => { cells[paths[at]] = cell.dataset.key ?? cell.dataset.value ?? null; });
  return {values: cells, texts: [...row.cells].map((cell) => cell.textContent), hidden: row.hidden};
});
"""

def collect(value, path):
    """All values of a cell of `report --json` to which a column's path leads."""
    if not path:
        return [value]
    key, _, rest = path.partition(".")
    is_array = key.endswith("[]")
    inner = (value or {}).get(key.removesuffix("[]"))
    if not is_array:
        return collect(inner, rest)
    return [leaf for element in inner or [] for leaf in collect(element, rest)]


def expected(cell, path):
    above, _, below = path.partition(" / ")
    if below:
        a, b = expected(cell, above), expected(cell, below)
        return None if a is None or not b else a / b
    found = re.fullmatch(r"(\w+)\((.*)\)", path)
    how, where = found.groups() if found else ("sum", path)
    values = collect(cell, where)
    if how == "worst":
        values = [value for value in values if value is not None]
    if not values or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return None
    return {"sum": sum, "max": max, "mean": lambda all_: sum(all_) / len(all_),
            "worst": lambda all_: max(all_, key=lambda value: abs(value - 1))}[how](values)


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if browser.missing():
            raise unittest.SkipTest(browser.missing())
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="batchscope-page-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        (cls.folder / "study.toml").write_text(STUDY)
        cls.store = cls.folder / "s.bscope"
        cls.page = cls.folder / "s.html"
        cls.batchscope("study", cls.folder / "study.toml", "-o", cls.store, "--html", cls.page)
        cls.json = json.loads(cls.batchscope("report", cls.store, "--json", "-"))
        cls.browser = cls.enterClassContext(browser.Browser())
        cls.downloads = cls.folder / "downloads"
        cls.downloads.mkdir()

    @classmethod
    def batchscope(cls, *arguments, **environment):
        ran = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, check=False,
                             env={**os.environ, **environment})
        if ran.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, arguments))}: {ran.returncode}: {ran.stderr}")
        return ran.stdout

    def open(self, width=1400, height=900, dark=False, page=None):
        self.browser.console()
        self.browser.requests()
        self.browser.window(width, height, dark)
        self.browser.open(page or self.page)

    def expect_quiet(self):
        self.assertEqual(self.browser.console(), [])
        self.assertEqual(self.browser.requests(), [])

    def open_cell(self, number):
        self.browser.run("location.hash = arguments[0]; return new Promise((done) => setTimeout(done, 300))",
                         f"#cell-{number}")

    def download(self, name, function, *arguments):
        """What a click saves under that name, once it is there."""
        self.browser.download_to(self.downloads)
        self.browser.click(function, *arguments)
        path = self.downloads / name
        for _ in range(600):
            if path.exists() and path.stat().st_size > 0:
                return path.read_bytes()
            time.sleep(0.05)
        self.fail(f"{name} was not saved by {function}")

    def test_nothing_overlaps_is_cut_or_leaves_the_page(self):
        for width, height in ((1400, 900), (820, 1000), (400, 800)):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    self.open(width, height, dark)
                    self.assertGreater(self.browser.run("return document.querySelectorAll('figure .tools').length"), 8)
                    self.assertEqual(self.browser.run(LAYOUT), [])
                    self.open_cell(1)
                    self.assertGreater(self.browser.run("return document.querySelectorAll('dialog .dygraph').length"), 2)
                    self.assertEqual(self.browser.run(LAYOUT), [])
                    self.expect_quiet()

    def test_numbers_are_those_of_the_json(self):
        self.open()
        rows = self.browser.run(CELLS)
        cells = {cell["key"]: cell for cell in self.json["cells"]}
        self.assertEqual([row["values"].pop("key") for row in rows], list(cells))
        compared = 0
        for row, cell in zip(rows, cells.values()):
            for path, shown in row["values"].items():
                value = expected(cell, path)
                if value is None:
                    self.assertIsNone(shown, (cell["key"], path))
                else:
                    self.assertTrue(math.isclose(float(shown), value, rel_tol=1e-12), (cell["key"], path, shown, value))
                    compared += 1
        self.assertGreater(compared, 120)
        self.assertTrue(any("TRUNCATED" in row["texts"] for row in rows))
        self.assertTrue(any("out of memory" in row["texts"] for row in rows))

    def test_sorting_and_filtering(self):
        self.open()
        click = """[...document.querySelectorAll('table.cells thead th')].find(
                     (th) => th.dataset.path === arguments[0]).querySelector('button').click()"""
        sorted_by = """return [...document.querySelectorAll('table.cells thead th')].filter(
                         (th) => th.ariaSort).map((th) => [th.dataset.path, th.ariaSort])"""
        for direction in ("ascending", "descending"):
            self.browser.run(click, "time.mean")
            self.assertEqual(self.browser.run(sorted_by), [["time.mean", direction]])
            shown = [row["values"]["time.mean"] for row in self.browser.run(CELLS)]
            numbers = [float(value) for value in shown if value is not None]
            self.assertEqual(numbers, sorted(numbers, reverse=direction == "descending"))
            self.assertEqual(shown[len(numbers):], [None] * (len(shown) - len(numbers)))
        self.browser.run("""const all = [...document.querySelectorAll('#cells select')];
                            const choice = all.find((one) => one.options[0].text === 'status: any');
                            choice.value = 'out of memory'; choice.dispatchEvent(new Event('change'))""")
        rows = self.browser.run(CELLS)
        ran_out = sum(cell["status"] == "out_of_memory" for cell in self.json["cells"])
        self.assertEqual(sum(not row["hidden"] for row in rows), ran_out)
        self.assertTrue(all("out of memory" in row["texts"] for row in rows if not row["hidden"]))

    def test_downloads(self):
        figures = self.folder / "figures"
        self.batchscope("report", self.store, "--figures", figures)
        click = """(id, label) => [...document.getElementById('figure-' + id).querySelectorAll('.tools button')].find(
                     (button) => button.textContent === label)"""
        for path in sorted(figures.glob("*.csv")):
            with self.subTest(figure=path.stem):
                self.open()  # a page may not save many files in a row
                self.assertEqual(self.download(path.stem + ".csv", click, path.stem, "CSV").decode(), path.read_text())
                svg = xml.etree.ElementTree.fromstring(self.download(path.stem + ".svg", click, path.stem, "SVG"))
                self.assertEqual(svg.tag, "{http://www.w3.org/2000/svg}svg")
                png = self.download(path.stem + ".png", click, path.stem, "PNG")
                self.assertEqual(png[:8], b"\x89PNG\r\n\x1a\n")
                self.assertGreater(int.from_bytes(png[16:20], "big"), 300)  # width
        self.open()
        table = self.download("All-cells.csv", "() => document.querySelector('#cells .heading button')").decode()
        lines = list(csv.reader(table.splitlines()))
        self.assertEqual(len(lines), 1 + len(self.json["cells"]))
        seconds = lines[0].index("seconds")
        self.assertEqual([line[seconds] for line in lines[1:]],
                         ["" if cell["time"] is None else repr(cell["time"]["mean"]) for cell in self.json["cells"]])

    def test_figures_tell_their_points_and_hide_series(self):
        self.open()
        seconds = next(cell["time"]["mean"] for cell in self.json["cells"] if cell["time"])
        tell = """const drawing = document.querySelector('#figure-time .drawing');
                  drawing.scrollIntoView({block: 'center', behavior: 'instant'});
                  const box = drawing.querySelector('g[data-series="MP2"] path > title').parentNode.getBoundingClientRect();
                  return new Promise((done) => setTimeout(  // scrolling hides what is shown
                      () => done([box.x + box.width / 2 + 3, box.y + box.height / 2 + 3]), 300))"""
        shown = "const tip = document.querySelector('.tip'); return tip.hidden ? '' : tip.innerText"
        x, y = self.browser.run(tell)
        self.browser.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        lines = self.browser.run(shown).splitlines()
        self.assertEqual(lines[:2], ["MP2", "batch (sequences): 4"])
        self.assertTrue(math.isclose(float(lines[2].removeprefix("seconds: ")), seconds, rel_tol=1e-4), lines)
        self.browser.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
        self.assertEqual(self.browser.run(shown), "")
        entry = "() => document.querySelector('#figure-time .entry[data-series=\"MP2\"] text')"
        visible = """return [...document.querySelectorAll('#figure-time [data-series="MP2"] path')].filter(
                       (path) => path.getBoundingClientRect().height > 0).length"""
        before = self.browser.run(visible)
        self.browser.click(entry)
        self.assertEqual(self.browser.run(visible), 1)  # the legend's
        self.browser.run(f"({entry})().parentNode.focus()")
        self.browser.cdp("Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r")
        self.assertEqual(self.browser.run(visible), before)
        self.expect_quiet()

    def test_details_by_keyboard(self):
        self.open()
        self.browser.run("document.querySelector('table.cells tbody th a').focus()")
        key = lambda name, code: [self.browser.cdp("Input.dispatchKeyEvent", type=kind, key=name, code=name,  # noqa: E731
                                                   windowsVirtualKeyCode=code, text="\r" if name == "Enter" and kind == "keyDown" else "")
                                  for kind in ("keyDown", "keyUp")]
        key("Enter", 13)
        wait = "return new Promise((done) => setTimeout(() => done(document.querySelector('dialog').open), 300))"
        self.assertTrue(self.browser.run(wait))
        self.assertIn("Ledger", self.browser.run("return document.querySelector('dialog').textContent"))
        key("Escape", 27)
        self.assertFalse(self.browser.run(wait))
        self.assertEqual(self.browser.run("return document.activeElement.hash"), "#cell-1")
        self.browser.run("document.querySelector('button.theme').click()")
        self.assertEqual(self.browser.run("return document.documentElement.dataset.theme"), "dark")
        self.expect_quiet()

    def test_foreign_strings_do_nothing(self):
        bad = "</script><img src=x onerror='window.hacked = 1'><b onclick=window.hacked=1>"
        store, page = self.folder / "bad.bscope", self.folder / "bad.html"
        with contextlib.closing(sqlite3.connect(self.store)) as source, contextlib.closing(sqlite3.connect(store)) as copy:
            source.backup(copy)
            with copy:
                copy.execute("UPDATE studies SET name = ?", (bad,))
                copy.execute("UPDATE environment SET value = ?", (bad,))
                copy.execute("UPDATE phases SET name = ?, track = track || ?, detail = ?", (bad, bad, bad))
                copy.execute("UPDATE series SET name = name || ?, device = device || ?, help = ?", (bad, bad, bad))
                copy.execute("UPDATE items SET id_json = json_quote(? || id_json)", (bad,))
                copy.execute("UPDATE attempts SET reason = ?", (bad,))
                copy.execute("UPDATE ledger SET collective = collective || ?", (bad,))
        self.batchscope("report", store, "--html", page)
        for width in (1400, 400):
            self.open(width, 900, False, page)
            self.open_cell(1)
            self.assertIsNone(self.browser.run("return window.hacked ?? null"))
            self.assertEqual(self.browser.run("return document.querySelectorAll('img').length"), 0)
            self.assertEqual(self.browser.run(LAYOUT), [])
            self.expect_quiet()

    def test_a_recording_of_sixteen_gpus(self):
        store, page = self.folder / "16.bscope", self.folder / "16.html"
        load = {"gpu_utilization": 0.5, "sm_activity": 0.3, "power_w": 300, "pcie_rx_bytes_per_s": 1e9}
        self.batchscope("record", "-o", store, "--duration", "2s",
                        LD_LIBRARY_PATH=str(pathlib.Path(PROGRAM).parent / "fake_nvml"),
                        BATCHSCOPE_FAKE_NVML=json.dumps({"gpus": 16, "every_gpu": {"load": [load]}}))
        self.batchscope("report", store, "--html", page)
        for width, dark in ((1400, False), (400, True)):
            self.open(width, 900, dark, page)
            # Every device is in sight, below each chart.
            legends = self.browser.run("""return [...document.querySelectorAll('.legend')].map(legend =>
                [legend.childElementCount, legend.scrollHeight - legend.clientHeight])""")
            self.assertIn(16, [count for count, _ in legends])
            self.assertEqual([hidden for count, hidden in legends if count == 16 and hidden > 0], [])
            # What is zero throughout takes a line, and is drawn where that is opened.
            lines = self.browser.run("return [...document.querySelectorAll('.series summary')].map(line => line.textContent)")
            self.assertIn("NVLink: received: zero throughout (16 devices)", lines)
            self.assertNotIn("SM activity", " ".join(lines))
            drawn = "return document.querySelectorAll('.dygraph canvas').length"
            before = self.browser.run(drawn)
            self.browser.run("[...document.querySelectorAll('.series summary')].find(line => line.textContent.startsWith('NVLink'))"
                             ".click(); return new Promise((done) => setTimeout(done, 300))")
            self.assertGreater(self.browser.run(drawn), before)
            self.assertEqual(self.browser.run(LAYOUT), [])
            self.expect_quiet()

    def test_a_recording(self):
        store, page = self.folder / "r.bscope", self.folder / "r.html"
        self.batchscope("record", "-o", store, "--", "sleep", "1")
        self.batchscope("report", store, "--html", page)
        self.open(page=page)
        self.assertGreater(self.browser.run("return document.querySelectorAll('.dygraph canvas').length"), 2)
        self.assertEqual(self.browser.run(LAYOUT), [])
        self.expect_quiet()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
