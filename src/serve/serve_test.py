"""`batchscope serve` as a program, on a fake GPU machine: its format, what Prometheus makes of it, many clients and bad
ones, its end, and the dashboard in deploy/.

usage: serve_test.py PROGRAM FAKE_NVML [unittest's arguments]     FAKE_NVML is the folder of the fake libnvidia-ml.so.1

BATCHSCOPE_ATTACK_SECONDS says for how long AttackTest attacks (8); with a program built with AddressSanitizer it sets
what makes memory comparable.
"""
import contextlib
import itertools
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import openmetrics_check  # noqa: E402

PROGRAM = FAKE_NVML = ""

BUSY = {"every_gpu": {"repeat": True, "load": [
    {"seconds": 1, "gpu_utilization": 1, "power_w": 600, "pcie_rx_bytes_per_s": 5e9, "memory_used_bytes": 70_000_000_000,
     "processes": [{"pid": "self", "bytes": 70_000_000_000}]}]}}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def fetch(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return answer.read().decode()


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if result := condition():
                return result
        time.sleep(0.1)
    raise AssertionError(f"after {seconds} s: {what}")


class Serve:
    """The program, serving a scenario."""

    def __init__(self, *arguments, scenario=BUSY, **variables):
        environment = dict(os.environ, LD_LIBRARY_PATH=FAKE_NVML, BATCHSCOPE_FAKE_NVML=json.dumps(scenario), **variables)
        self.process = subprocess.Popen([PROGRAM, "serve", "--listen", "127.0.0.1:0", *arguments], env=environment,
                                        stderr=subprocess.PIPE, text=True)
        match, said = None, ""
        while not match:
            line = self.process.stderr.readline()  # warnings come before
            said += line
            match = re.search(r"listening on (http://127\.0\.0\.1:(\d+))/metrics", line)
            if not line:
                self.process.kill()
                raise AssertionError(said)
        self.url, self.port = match[1], int(match[2])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def page(self):
        return openmetrics_check.samples(openmetrics_check.read(fetch(self.url + "/metrics")))

    def page_with(self, name):
        return wait_for(lambda: (page := self.page()).get(name) and page, f"no {name} in the page")

    def resident_bytes(self):
        return self.page()["batchscope_process_resident_memory_bytes"][0][1]


class FormatTest(unittest.TestCase):
    def test_the_page_is_strict_openmetrics(self):
        with Serve() as serve:
            page = serve.page_with("batchscope_gpu_power_watts")
            gpus = {labels["uuid"]: labels for labels, _ in page["batchscope_gpu_info"]}
            self.assertEqual(sorted(labels["gpu"] for labels in gpus.values()), ["0", "1"])
            for name, samples in page.items():
                for labels, _ in samples:
                    if name.startswith("batchscope_gpu_"):
                        self.assertEqual(labels["gpu"], gpus[labels["uuid"]]["gpu"], name)
            self.assertEqual({labels["pid"] for labels, _ in page["batchscope_gpu_process_memory_bytes"]},
                             {str(serve.process.pid)})
            self.assertEqual({labels["process"] for labels, _ in page["batchscope_gpu_process_memory_bytes"]},
                             {"batchscope"})

    def test_the_mean_since_the_last_scrape_is_exact(self):
        with Serve("--sources", "power") as serve:
            def sums(page):
                name = "batchscope_gpu_power_sampled_watts"
                return [page[name + end][0][1] for end in ("_sum", "_count")]
            before = sums(serve.page_with("batchscope_gpu_power_sampled_watts_sum"))
            time.sleep(1.5)
            after = sums(serve.page())
            self.assertGreater(after[1] - before[1], 50)  # the driver keeps one each 20 ms
            self.assertAlmostEqual((after[0] - before[0]) / (after[1] - before[1]), 600, delta=1)

    def test_promtool_has_nothing_to_say(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool (apt-get install prometheus)")
        with Serve() as serve:
            serve.page_with("batchscope_gpu_power_watts")
            text = fetch(serve.url + "/metrics", Accept="text/plain")
        check = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
        self.assertEqual((check.returncode, check.stdout, check.stderr), (0, "", ""))

    def test_what_is_refused_is_absent_with_its_reason(self):
        scenario = {"gpus": 1, "faults": [
            {"kind": "answer", "calls": ["nvmlDeviceGetTemperature"], "result": "no_permission"}]}
        with Serve("--sources", "gauges", scenario=scenario) as serve:
            page = serve.page_with("batchscope_absent_info")
            self.assertFalse("batchscope_gpu_temperature_celsius" in page)
            reasons = {labels["metric"]: labels["reason"] for labels, _ in page["batchscope_absent_info"]}
            self.assertIn("permission", reasons["batchscope_gpu_temperature_celsius"])


class HealthTest(unittest.TestCase):
    def test_a_call_that_hangs(self):
        scenario = {"gpus": 2, "faults": [
            {"kind": "hang", "gpu": 1, "from_s": 1, "calls": ["nvmlDeviceGetTotalEnergyConsumption"]}]}
        with Serve("--sources", "energy,gauges", scenario=scenario) as serve:
            def unhealthy():
                try:
                    fetch(serve.url + "/healthz")
                except urllib.error.HTTPError as error:
                    return error.code, error.read().decode()
            code, text = wait_for(unhealthy, "still healthy")
            self.assertEqual(code, 503)
            self.assertRegex(text, r"^energy gpu:1: a call has not returned for \d+ s\n$")
            page = serve.page_with("batchscope_absent_info")
            self.assertEqual([labels["gpu"] for labels, _ in page["batchscope_gpu_energy_joules_total"]], ["0"])
            stuck = {labels["source"]: value for labels, value in page["batchscope_sampling_stuck"]}
            self.assertEqual((stuck["energy gpu:0"], stuck["energy gpu:1"]), (0, 1))


    def test_a_gpu_that_is_missing_at_the_start_is_said_until_it_comes(self):
        for fault, said in (
                ({"kind": "lost", "until_s": 3}, "".join(f"gpu:{i}: the GPU is lost: it fell off the bus\n" for i in "01")),
                ({"kind": "lost", "gpu": 1, "until_s": 3}, "gpu:1: the GPU is lost: it fell off the bus\n"),
                ({"kind": "answer", "calls": ["nvmlInit_v2"], "result": "driver_not_loaded", "until_s": 3},
                 "gpus: the NVIDIA kernel driver is not loaded\n")):
            with self.subTest(said), Serve("--sources", "gauges", scenario={"gpus": 2, "faults": [fault]}) as serve:
                def health():
                    try:
                        return 200, fetch(serve.url + "/healthz")
                    except urllib.error.HTTPError as error:
                        return error.code, error.read().decode()
                self.assertEqual(wait_for(lambda: health()[0] == 503 and health(), "healthy"), (503, said))
                reasons = {labels["reason"] for labels, _ in serve.page()["batchscope_absent_info"]}
                self.assertEqual(reasons, {said.splitlines()[0].split(": ", 1)[1]})
                wait_for(lambda: health() == (200, "ok\n"), "still unhealthy")
                def of_both():  # sources that were added have a value soon
                    page = serve.page()
                    values = page.get("batchscope_gpu_memory_used_bytes", [])
                    return page if {labels["gpu"] for labels, _ in values} == {"0", "1"} else None
                page = wait_for(of_both, "not both GPUs are in the page")
                self.assertEqual({labels["gpu"] for labels, _ in page["batchscope_gpu_info"]}, {"0", "1"})
                self.assertNotIn("batchscope_absent_info", page)


class EndTest(unittest.TestCase):
    def test_signals_end_it_with_0(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number), Serve("--sources", "host") as serve:
                fetch(serve.url + "/metrics")
                serve.process.send_signal(number)
                self.assertEqual(serve.process.wait(timeout=10), 0)
                self.assertEqual(serve.process.stderr.read(), "")

    def refusal(self, *arguments):
        end = subprocess.run([PROGRAM, "serve", *arguments], capture_output=True, text=True, timeout=60)
        self.assertEqual((end.returncode, end.stdout), (2, ""), end.stderr)
        self.assertEqual(end.stderr.count("\n"), 1, end.stderr)
        return end.stderr

    def test_bad_addresses_are_one_line(self):
        with Serve("--sources", "host") as serve:
            self.assertIn("in use", self.refusal("--listen", f"127.0.0.1:{serve.port}"))
        self.assertIn("HOST:PORT", self.refusal("--listen", "9464"))
        self.assertIn("port", self.refusal("--listen", "127.0.0.1:99999"))
        self.assertIn("cannot listen", self.refusal("--listen", "192.0.2.1:9464"))
        self.assertIn("--sources", self.refusal("--sources", "nonsense"))


class ClientsTest(unittest.TestCase):
    def sampling(self, serve):
        page = serve.page()
        total = lambda name: sum(value for _, value in page[name])  # noqa: E731
        return (total("batchscope_sampling_readings_total"), total("batchscope_sampling_missed_total"),
                total("batchscope_sampling_dropped_total"))

    def test_a_hundred_clients_and_some_that_never_read(self):
        with Serve() as serve:
            serve.page_with("batchscope_gpu_power_watts")
            time.sleep(1)
            memory, (readings, missed, dropped) = serve.resident_bytes(), self.sampling(serve)
            silent = []
            for _ in range(20):
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.connect(("127.0.0.1", serve.port))
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
                silent.append(client)
            failures, slowest = [], []

            def client():
                try:
                    for _ in range(3):
                        begin = time.monotonic()
                        openmetrics_check.read(fetch(serve.url + "/metrics"))
                        slowest.append(time.monotonic() - begin)
                except Exception as error:  # whatever it was
                    failures.append(repr(error))
            clients = [threading.Thread(target=client) for _ in range(100)]
            for thread in clients:
                thread.start()
            for thread in clients:
                thread.join()
            self.assertEqual(failures, [])
            self.assertEqual(len(slowest), 300)
            wait_for(lambda: serve.page()["batchscope_http_cut_total"][0][1] >= len(silent), "silent clients live")
            for connection in silent:
                connection.close()
            now, (more_readings, more_missed, more_dropped) = serve.resident_bytes(), self.sampling(serve)
            print(f"  memory {memory / 1e6:.1f} -> {now / 1e6:.1f} MB, {more_readings - readings:.0f} readings, "
                  f"{more_missed - missed:.0f} missed, slowest answer {max(slowest):.2f} s", file=sys.stderr)
            self.assertLess(now - memory, 32e6)
            self.assertEqual(more_dropped, dropped)
            self.assertGreater(more_readings, readings)
            self.assertLessEqual(more_missed - missed, 0.01 * (more_readings - readings))

    def test_requests_that_are_none(self):
        with Serve("--sources", "host") as serve:
            for request in (b"\r\n\r\n", b"GET\r\n\r\n", b"\x00\xff" * 5000, b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 9000,
                            b"POST /metrics HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 9999,
                            b"GET /" + b"a" * 99999 + b" HTTP/1.1\r\n\r\n"):
                with socket.create_connection(("127.0.0.1", serve.port)) as client, contextlib.suppress(OSError):
                    client.sendall(request)
                    client.settimeout(5)
                    client.recv(1000)
            self.assertEqual(fetch(serve.url + "/healthz"), "ok\n")


class Attack:
    """128 connections that do what no client should, from a process of its own; those that are closed come again."""

    CHUNKED = b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    # What is sent first, what again and again, and how many seconds lie between.
    FORMS = [
        (b"GET /metrics HTTP/1.1\r\nX: ", b"a" * 65536, 0),
        (b"GET /", b"a" * 65536, 0),
        (b"GET /metrics HTTP/1.1\r\n", b"".join(b"X-%d: %s\r\n" % (i, b"a" * 50) for i in range(1000)), 0),
        (CHUNKED, b"10000\r\n" + b"a" * 65536 + b"\r\n", 0),
        (CHUNKED + b"-2\r\n", b"a" * 65536, 0),
        (CHUNKED, b"1\r\na\r\n" * 1000, 0),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n", b"a" * 65536, 0),
        (b"", b"GET /metrics HTTP/1.1\r\nRange: bytes=1000000-2000000\r\n\r\n", 0.1),  # and the page is never read
        (b"GET /metrics HTTP/1.1\r\nX: ", b"a", 2),
        (b"G", b"", 2),
        (b"", b"", 2),
    ]

    def __init__(self, port, connections=128):
        self.process = multiprocessing.Process(target=self.run, args=(port, connections), daemon=True)

    def __enter__(self):
        self.process.start()

    def __exit__(self, *_):
        self.process.kill()
        self.process.join()

    def run(self, port, connections):
        forms = itertools.cycle(self.FORMS)
        attackers = [None] * connections
        while True:
            for i, attacker in enumerate(attackers):
                try:
                    if attacker is None:
                        client = socket.create_connection(("127.0.0.1", port))
                        client.setblocking(False)
                        first, again, pause = next(forms)
                        attackers[i] = attacker = [client, again, pause, 0]
                        client.send(first)
                    if time.monotonic() >= attacker[3]:
                        attacker[3] = time.monotonic() + attacker[2]
                        attacker[0].send(attacker[1])
                    elif attacker[0].recv(1, socket.MSG_PEEK) == b"":
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
                except OSError:
                    if attackers[i] is not None:
                        attackers[i][0].close()
                        attackers[i] = None
            time.sleep(0.001)


class AttackTest(unittest.TestCase):
    def test_memory_is_flat_and_no_scrape_is_missed(self):
        seconds = float(os.environ.get("BATCHSCOPE_ATTACK_SECONDS", "8"))
        with Serve("--sources", "host", ASAN_OPTIONS="detect_leaks=0:quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
                   ) as serve:
            memory, slowest, scrapes = [], 0, 0
            with Attack(serve.port):
                end = time.monotonic() + seconds
                while (begin := time.monotonic()) < end:
                    memory.append(serve.resident_bytes())  # a scrape; any that fails ends the test
                    slowest, scrapes = max(slowest, time.monotonic() - begin), scrapes + 1
                    time.sleep(0.1)
                refused = {labels["code"]: int(count) for labels, count in serve.page()["batchscope_http_requests_total"]}
            settled = memory[len(memory) // 4:]
            print(f"  {scrapes} scrapes in {seconds:.0f} s of attack, none missed, slowest {slowest:.2f} s; memory "
                  f"{min(settled) / 1e6:.1f} to {max(settled) / 1e6:.1f} MB; answers by status: {refused}", file=sys.stderr)
            self.assertLess(max(settled) - min(settled), 5e6)
            self.assertLess(slowest, 2)
            for code in ("400", "413", "431"):
                self.assertGreater(refused.get(code, 0), 0)

    def test_no_byte_beyond_the_page(self):
        with Serve("--sources", "host") as serve:
            for wanted in ("bytes=0-16383", "bytes=1000000-1016383", "bytes=-1", "bytes=0-0,5-9"):
                page = openmetrics_check.read(fetch(serve.url + "/metrics", Range=wanted))
                self.assertIn("batchscope_build", page)

    def test_slow_clients_are_cut_off(self):
        with Serve("--sources", "host") as serve, socket.create_connection(("127.0.0.1", serve.port)) as client:
            begin = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - begin < 20:
                    client.sendall(b"G")
                    time.sleep(0.5)
            self.assertLess(time.monotonic() - begin, 10)

    def test_names_of_others_are_refused(self):
        with Serve("--sources", "host", "--name", "gpus.example") as serve:
            self.assertEqual(fetch(serve.url + "/healthz", Host="gpus.example"), "ok\n")
            with self.assertRaises(urllib.error.HTTPError) as refused:
                fetch(serve.url + "/metrics", Host="evil.example")
            self.assertEqual(refused.exception.code, 421)


class PrometheusTest(unittest.TestCase):
    def test_a_real_prometheus_scrapes_it(self):
        if not shutil.which("prometheus"):
            self.skipTest("no prometheus (apt-get install prometheus)")
        with Serve() as serve, tempfile.TemporaryDirectory() as folder:
            port = free_port()
            config = pathlib.Path(folder, "prometheus.yml")
            config.write_text("global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: gpus\n"
                              f"  static_configs: [{{targets: ['127.0.0.1:{serve.port}']}}]\n")
            prometheus = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL)
            try:
                def query(promql):
                    answer = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/query?"
                                              + urllib.parse.urlencode({"query": promql})))
                    return [(point["metric"], float(point["value"][1])) for point in answer["data"]["result"]]
                rates = wait_for(lambda: query("rate(batchscope_gpu_pcie_rx_bytes_total[10s])"), "no rate", 60)
                self.assertEqual(sorted(labels["gpu"] for labels, _ in rates), ["0", "1"])
                watts = wait_for(lambda: query(
                    "rate(batchscope_gpu_power_sampled_watts_sum[10s]) / rate(batchscope_gpu_power_sampled_watts_count[10s])"
                    " * on(uuid) group_left(name) batchscope_gpu_info"), "no mean power", 60)
                self.assertEqual({labels["name"] for labels, _ in watts}, {"NVIDIA H200"})
                self.assertEqual([value for _, value in query("up")], [1])
                targets = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/targets"))["data"]["activeTargets"]
                self.assertEqual([target["lastError"] for target in targets], [""])
                kinds = json.loads(fetch(f"http://127.0.0.1:{port}/api/v1/metadata"))["data"]
                self.assertEqual(kinds["batchscope_gpu_pcie_rx_bytes"][0]["unit"], "bytes")  # it spoke OpenMetrics
            finally:
                prometheus.terminate()
                prometheus.wait()


class DashboardTest(unittest.TestCase):
    def queries(self, panels):
        for panel in panels:
            yield from self.queries(panel.get("panels", []))
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"]

    def test_every_metric_that_it_asks_for_is_there(self):
        dashboard = json.loads((ROOT / "deploy/grafana/batchscope.json").read_text())
        queries = list(self.queries(dashboard["panels"]))
        queries += [("variable", v["query"]) for v in dashboard["templating"]["list"] if v["type"] == "query"]
        self.assertGreater(len(queries), 10)
        with Serve() as serve:
            serve.page_with("batchscope_gpu_energy_joules_total")
            page = serve.page_with("batchscope_gpu_utilization_sampled_ratio_sum")
        for title, query in queries:
            names = re.findall(r"\bbatchscope_\w+", query)
            self.assertTrue(names, f"{title}: {query}")
            for name in names:
                self.assertTrue(name in page, f"{title}: {name}")
            used = set(re.findall(r"(\w+)=~?\"", query)) - {"instance", "job"}
            have = {label for name in names for labels, _ in page[name] for label in labels}
            self.assertLessEqual(used, have, f"{title}: {query}")

    def test_its_queries_are_promql(self):
        if not shutil.which("promtool"):
            self.skipTest("no promtool (apt-get install prometheus)")
        dashboard = json.loads((ROOT / "deploy/grafana/batchscope.json").read_text())
        rules = [{"record": f"panel:{i}", "expr": expr.replace("$__rate_interval", "1m").replace("$__range", "1h")}
                 for i, (_, expr) in enumerate(self.queries(dashboard["panels"]))]
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
            json.dump({"groups": [{"name": "panels", "rules": rules}]}, file)
            file.flush()
            check = subprocess.run(["promtool", "check", "rules", file.name], text=True, capture_output=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)


class SlurmTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.environment = dict(os.environ, BATCHSCOPE=PROGRAM, BATCHSCOPE_FOLDER=f"{folder.name}/log",
                                BATCHSCOPE_STATE=f"{folder.name}/run", SLURM_JOB_ID="42", SLURMD_NODENAME="n1",
                                BATCHSCOPE_OPTIONS="--sources host")

    def run_script(self, name, **environment):
        end = subprocess.run([ROOT / "deploy/slurm" / name], env={**self.environment, **environment}, timeout=30,
                             capture_output=True, text=True)
        self.assertEqual((end.returncode, end.stdout, end.stderr), (0, "", ""))

    def test_each_job_leaves_a_file(self):
        self.run_script("prolog.sh")
        file = self.folder / "log/42.n1.bscope"
        wait_for(file.exists, "no file")
        time.sleep(1)
        self.run_script("epilog.sh")
        self.assertFalse((self.folder / "run/42.pid").exists())
        self.assertFalse(file.with_suffix(".bscope-wal").exists())  # it was ended, not killed
        report = subprocess.run([PROGRAM, "report", "--verbose", file], capture_output=True, text=True)
        self.assertIn("host_cpu_seconds_total", report.stdout, report.stderr)
        self.run_script("epilog.sh")  # nothing runs any more

    def test_a_job_starts_whatever_happens(self):
        self.run_script("prolog.sh", BATCHSCOPE="/nowhere/batchscope")
        self.run_script("prolog.sh", BATCHSCOPE_OPTIONS="--nonsense")
        log = self.folder / "log/42.n1.log"
        wait_for(lambda: "--nonsense" in log.read_text(), "the log does not say what is wrong")
        self.run_script("epilog.sh")

    def test_the_user_reaches_the_own_file(self):
        if os.geteuid() != 0:
            self.skipTest("only root gives files away")
        self.folder.chmod(0o755)
        self.run_script("prolog.sh")
        file = self.folder / "log/42.n1.bscope"
        wait_for(file.exists, "no file")
        time.sleep(0.5)
        self.run_script("epilog.sh", SLURM_JOB_UID="65534")
        self.assertEqual((file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777), (0o711, 0o600))
        try:
            as_user = subprocess.run([PROGRAM, "report", "--verbose", file], capture_output=True, user=65534, group=65534,
                                     text=True)
        except PermissionError:
            self.skipTest("the program lies in a folder that other users cannot enter")
        self.assertIn("host_cpu_seconds_total", as_user.stdout, as_user.stderr)
        # Requeued, it has a second file: the first is the user's, who may have put anything into it.
        before = file.stat().st_mtime_ns
        self.run_script("prolog.sh")
        wait_for((self.folder / "log/42.n1-1.bscope").exists, "no second file")
        time.sleep(0.5)
        self.run_script("epilog.sh")
        self.assertEqual(file.stat().st_mtime_ns, before)

    def test_planted_links_are_not_followed(self):
        victim = self.folder / "victim"
        victim.write_text("whole")
        folder = self.folder / "log"
        folder.mkdir(mode=0o700)
        for end in ("bscope", "log"):
            (folder / f"42.n1.{end}").symlink_to(victim)
        self.run_script("prolog.sh")
        wait_for((folder / "42.n1-1.bscope").exists, "no file")
        time.sleep(0.5)
        (folder / "42.n1-1.bscope-wal").unlink(missing_ok=True)
        (folder / "42.n1-1.bscope-wal").symlink_to(victim)
        self.run_script("epilog.sh", SLURM_JOB_UID="65534" if os.geteuid() == 0 else "")
        self.assertEqual((victim.read_text(), victim.stat().st_uid), ("whole", os.geteuid()))

    def test_folders_that_others_can_write_to_are_not_used(self):
        folder = self.folder / "log"
        folder.mkdir()
        folder.chmod(0o777)
        self.run_script("prolog.sh")
        self.assertEqual(list(folder.iterdir()), [])
        folder.chmod(0o700)
        self.folder.chmod(0o777)
        self.run_script("prolog.sh")
        self.assertEqual(list(folder.iterdir()), [])
        self.folder.chmod(0o700)
        (self.folder / "link").symlink_to(folder)
        self.run_script("prolog.sh", BATCHSCOPE_FOLDER=str(self.folder / "link"))
        self.assertEqual(list(folder.iterdir()), [])

    def test_another_process_of_that_number_is_left_alone(self):
        other = subprocess.Popen(["sleep", "60"])
        try:
            (self.folder / "run").mkdir()
            (self.folder / "run/42.pid").write_text(f"{other.pid}\n{self.folder}/log/42.n1\n")
            self.run_script("epilog.sh")
            self.assertIsNone(other.poll())
        finally:
            other.kill()
            other.wait()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    PROGRAM, FAKE_NVML = str(pathlib.Path(sys.argv[1]).resolve()), str(pathlib.Path(sys.argv[2]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]])
