#!/usr/bin/env python3
"""Every command line of README.md, of docs/ and of each verb's --help runs as it is written, in a folder with files of
the names that they use. BATCHSCOPE names the program. What cannot run anywhere is skipped with its reason."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("BATCHSCOPE", ROOT / "build" / "release" / "batchscope"))
DOCUMENTS = ["README.md", "deploy/README.md", "bench/README.md", "models/tiny/README.md",
             *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]

# What a command line has that keeps it from running here, and why.
SKIPPED = [
    (r"^(\./demo|\./test|\./build\.sh)\b", "installs packages and builds"),
    (r"^tar ", "needs an archive of ./package, whose --check tries this"),
    (r"^(sudo|echo .*sudo|curl|Prolog=|Epilog=|#)", "changes the machine; serve_test.py tries what is installed"),
    (r"^srun\b|--launcher \"?srun", "needs Slurm; tools/slurm_test.sh tries this"),
    (r"--device cuda.*--task|--task.*--device cuda", "needs GPUs"),
    (r"--pm ", "needs a GPU and its hardware counters"),
    (r"nvidia-smi", "needs NVIDIA's driver"),
    (r"batchscope calibrate\b", "needs a GPU; calibrate_test.cc tries it on a fake one"),
    (r"completion zsh", "needs zsh; completion_test.cc tries it where that is"),
    (r"^lm_eval ", "needs lm-evaluation-harness and a server"),
    (r"--engine http", "needs a server; engine_test.cc tries this with one"),
    (r"transformers_engine", "needs Hugging Face transformers"),
    (r"train_tiny_llama", "trains a model with PyTorch"),
    (r"revisions.py", "needs an older build of the program"),
    (r"load_clients", "needs environments with other load generators"),
    (r"long_recording|ops_bench", "a benchmark of minutes or hours"),
    (r"^(…|with the profiler:)", "output, not a command"),
]
# What takes minutes as it is written, and less than that.
SMALLER = [("--limit 100", "--limit 2"), ("--at 30s", "--at 3s"), ("--pairs 20", "--pairs 2"), ("overhead --", "overhead --pairs 2 --"),
           ("overhead --compare", "overhead --pairs 2 --compare"), ("--requests 100", "--requests 10"), ("127.0.0.1:8000", "127.0.0.1:0")]
# Verbs that do not end by themselves: how they are ended.
# timeout must not signal its whole group too: a second Ctrl-C ends a program at once, with another code.
INTERRUPTED = "timeout --foreground --preserve-status -s INT 3 {0}"
ENDED = {"serve": INTERRUPTED, "mock-server": INTERRUPTED, "serve-model": INTERRUPTED.replace("INT 3", "INT 10"),
         "top": "(sleep 2; printf q) | script -qec '{0}' /dev/null",
         "replay": "(sleep 2; printf q) | script -qec '{0}' /dev/null"}

STUDY = """name = "{}"
repeats = {}
limit = 8
[[grid]]
parallel = ["tp2"]
batch = [4, 8]
"""


def joined(lines):
    """Commands of consecutive lines: those that end in a backslash go on in the next one."""
    command = ""
    for number, line in lines:
        command += line.strip()
        if command.endswith("\\"):
            command = command[:-1]
            continue
        yield number, command
        command = ""


def of_document(text):
    fence, lines, in_block = None, [], False
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("```"):
            fence = None if fence is not None else line[3:]
        elif fence in ("sh", "bash") or (fence is None and line.startswith("    ")):
            lines.append((number, line))
        in_block = fence is not None
    assert not in_block
    return list(joined(lines))


def of_help(text):
    begun = re.search(r"^(Examples?\b.*|To keep it.*):$", text, re.MULTILINE)
    lines = text[begun.end():].split("\n") if begun else []
    return list(joined((number, line) for number, line in enumerate(lines, 1) if line.startswith("  ")))


def run(command, folder, seconds=300):
    environment = dict(os.environ, PATH=f"{folder}/bin:{os.environ['PATH']}", TERM="xterm", LC_ALL="C.UTF-8",
                       XDG_RUNTIME_DIR=str(folder), XDG_DATA_HOME=str(folder), OMPI_ALLOW_RUN_AS_ROOT="1",
                       OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1")
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=seconds, errors="replace")


def make_files(folder):
    """The files that the documents name, small."""
    (folder / "bin").mkdir()
    (folder / "bin" / "batchscope").symlink_to(PROGRAM)
    (folder / "bin" / "python").symlink_to(sys.executable)
    for link, target in (("llama-7b", "models/tiny"), ("DIR", "models/tiny"), ("build", "build"), ("docs", "docs"), ("tools", "tools"),
                         ("hellaswag_val.jsonl", "models/tiny/questions.jsonl")):
        (folder / link).symlink_to(ROOT / target)
    for script in ("serve.py", "benchmark.py", "serve_benchmark.py", "train.py"):
        (folder / script).write_text("import time\ntime.sleep(0.1)\nprint('12.5 tokens/s')\n")
    (folder / "studies").mkdir()
    (folder / "studies" / "demo.toml").write_text(STUDY.format("demo", 1))
    (folder / "studies" / "collapse.toml").symlink_to(ROOT / "studies" / "collapse.toml")
    (folder / "mine.toml").write_text(STUDY.format("mine", 5))
    for command in ("batchscope study studies/demo.toml -o demo.bscope", "batchscope study mine.toml -o before.bscope",
                    "batchscope record -o run.bscope --duration 10s"):
        made = run(command, folder)
        assert made.returncode == 0, f"{command}: {made.stderr}"
    made = run("batchscope mock-server --listen 127.0.0.1:0 --ttft 1ms --itl 0s 2> mock.txt & mock=$!; "
               "until grep -qs listening mock.txt; do sleep 0.05; done; batchscope load $(grep -o 'http://[^ ]*' mock.txt) "
               "--requests 5 --client-check 0s -o load.bscope; kill $mock", folder)
    assert (folder / "load.bscope").exists(), made.stderr
    for copy, original in (("after", "before"), ("s", "demo"), ("node1", "demo"), ("node2", "before")):
        shutil.copy(folder / f"{original}.bscope", folder / f"{copy}.bscope")
    made = run("batchscope merge node1.bscope node2.bscope -o both.bscope", folder)
    assert made.returncode == 0, made.stderr
    return {path.name: path.read_bytes() for path in folder.glob("*.bscope")}


class Commands(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder_object = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.folder_object.name)
        cls.files = make_files(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.folder_object.cleanup()

    def setUp(self):
        for path in self.folder.glob("*.bscope*"):
            path.unlink()
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)

    def check(self, command):
        for pattern, reason in SKIPPED:
            if re.search(pattern, command):
                self.skipTest(reason)
        if "mpirun" in command and not shutil.which("mpirun"):
            self.skipTest("needs mpirun")
        for output in re.findall(r"-o (\S+\.bscope)", command):  # a new file, as to who types it
            (self.folder / output).unlink(missing_ok=True)
        command = command.replace("…;", "true;")
        for large, small in SMALLER:
            command = command.replace(large, small)
        if "top" in command:  # shows GPUs: fake ones
            command = f"export LD_LIBRARY_PATH=$PWD/build/release/fake_nvml; {command}"
        verb = re.search(r"batchscope ([a-z-]+)", command)
        if verb and verb[1] == "load":  # against a mock server, instead of whatever listens there
            command = ("rm -f mock.txt; batchscope mock-server --listen 127.0.0.1:0 --ttft 2ms --itl 0s 2> mock.txt & mock=$!; "
                       "until grep -qs listening mock.txt; do sleep 0.05; done; url=$(grep -o 'http://[^ ]*' mock.txt); "
                       + command.replace("http://localhost:8000/v1", "$url") + "; code=$?; kill $mock; exit $code")
        if verb and verb[1] in ENDED and "--once" not in command:
            setting, _, rest = command.rpartition("; ")
            command = f"{setting or 'true'}; {ENDED[verb[1]].format(re.sub(' +#.*', '', rest))}"
        if verb and verb[1] == "mark" and not command.startswith("batchscope record"):
            (self.folder / "marks.sh").write_text(command + "\n")
            command = "batchscope record -- bash marks.sh"
        ended = run(command, self.folder)
        self.assertEqual(ended.returncode, 0, f"{command}\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def add_tests():
    if not PROGRAM.exists():
        return unittest.skip(f"{PROGRAM} is not built")(Commands)
    found = {document: of_document((ROOT / document).read_text()) for document in DOCUMENTS}
    verbs = re.findall(r"^  ([a-z]+) ", subprocess.run([PROGRAM, "--help"], capture_output=True, text=True,
                                                       check=True).stdout, re.MULTILINE)
    verbs.remove("batchscope")  # the example below them
    for verb in verbs:
        found[f"help_{verb}"] = of_help(subprocess.run([PROGRAM, verb, "--help"], capture_output=True, text=True,
                                                       check=True).stdout)
        assert found[f"help_{verb}"], f"batchscope {verb} --help has no example"
    for place, commands in found.items():
        for number, command in commands:
            def test(self, command=command):
                self.check(command)
            test.__doc__ = None
            setattr(Commands, f"test_{re.sub('[^A-Za-z0-9]+', '_', place)}_{number:03}", test)
    return Commands


Commands = add_tests()

if __name__ == "__main__":
    unittest.main()
