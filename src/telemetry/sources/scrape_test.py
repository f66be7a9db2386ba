"""`batchscope record --scrape` beside servers that are played: one like vLLM, and some that misbehave.

usage: scrape_test.py PROGRAM [unittest's arguments]
"""
import contextlib
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

PROGRAM = ""

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="m"}} {running}
# HELP vllm:gpu_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:gpu_cache_usage_perc gauge
vllm:gpu_cache_usage_perc{{engine="0",model_name="m"}} 0.25
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{{engine="0",model_name="m"}} {tokens}
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{{engine="0",le="+Inf",model_name="m"}} {scrapes}
vllm:time_to_first_token_seconds_count{{engine="0",model_name="m"}} {scrapes}
vllm:time_to_first_token_seconds_sum{{engine="0",model_name="m"}} {seconds}
"""


class Server:
    """Answers with what `page` returns: a text, or a function that is given the handler."""

    def __init__(self, page):
        outer = self
        self.scrapes = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.scrapes += 1
                answer = page(outer.scrapes)
                with contextlib.suppress(OSError):
                    if callable(answer):
                        return answer(self)
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(answer.encode())

            def log_message(self, *_):
                pass
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/metrics"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


class ScrapeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.file = str(pathlib.Path(self.folder.name, "run.bscope"))

    def record(self, *arguments, seconds=1.5):
        """The counters of the scrape by name and device, and what the summary says."""
        begin = time.monotonic()
        end = subprocess.run([PROGRAM, "record", "--sources", "host", "--scrape-period", "100ms", "--duration",
                              f"{seconds}s", "--json", "-", "--overwrite", "-o", self.file, *arguments],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(end.returncode, 0, end.stderr)
        self.assertLess(time.monotonic() - begin, seconds + 6)
        counters = [c for c in json.loads(end.stdout)["counters"] if c["source"].startswith("scrape")]
        return {(c["name"], c["device"]): c for c in counters}, end.stderr

    def reasons(self, counter):
        return {gap["reason"] for gap in counter["gaps"]}

    def test_vllm(self):
        page = lambda n: VLLM.format(running=2, tokens=1000 + 100 * n, scrapes=n, seconds=0.5 * n)  # noqa: E731
        with Server(page) as server:
            counters, _ = self.record("--scrape", server.url)
            device = f'127.0.0.1:{server.port} engine="0",model_name="m"'
            self.assertEqual({name for name, of in counters if of == device},
                             {"vllm:num_requests_running", "vllm:gpu_cache_usage_perc", "vllm:generation_tokens_total",
                              "vllm:time_to_first_token_seconds_count", "vllm:time_to_first_token_seconds_sum"})
            running = counters["vllm:num_requests_running", device]
            self.assertEqual((running["kind"], running["min"], running["max"]), ("gauge", 2, 2))
            tokens = counters["vllm:generation_tokens_total", device]
            self.assertEqual(tokens["kind"], "cumulative")
            self.assertEqual(tokens["total"], 100 * (tokens["values"] - 1))  # each scrape is one reading, none twice
            self.assertGreater(tokens["values"], 5)
            self.assertLessEqual(tokens["values"], server.scrapes)
            ttft = counters["vllm:time_to_first_token_seconds_sum", device]
            self.assertEqual((ttft["unit"], ttft["total"]), ("seconds", 0.5 * (ttft["values"] - 1)))
            own = counters["scrape_seconds", f"127.0.0.1:{server.port}"]
            self.assertGreater(own["max"], 0)
            rows = subprocess.run([PROGRAM, "sql", self.file, "--format", "json",
                                   "SELECT DISTINCT name, device, kind FROM sample_means WHERE source LIKE 'scrape%'"],
                                  capture_output=True, text=True)
            stored = {(row["name"], row["device"]): row["kind"] for row in json.loads(rows.stdout)}
            self.assertEqual(stored["vllm:generation_tokens_total", device], "cumulative")

    def test_series_come_and_go_and_the_server_begins_anew(self):
        def page(n):
            lines = [f"x_total {n if n < 5 else n - 5}"]
            lines += ['late{a="1"} 1'] if n > 3 else []
            lines += ['early{a="1"} 1'] if n < 5 else []
            return "# TYPE x_total counter\n" + "\n".join(lines) + "\n"
        with Server(page) as server:
            counters, _ = self.record("--scrape", server.url)
            device = f'127.0.0.1:{server.port} a="1"'
            self.assertGreater(counters["late", device]["values"], 2)
            self.assertEqual(counters["early", device]["values"], 4)
            self.assertEqual(self.reasons(counters["early", device]), {"the server no longer lists it"})
            x = counters["x_total", f"127.0.0.1:{server.port}"]
            self.assertFalse(x["total_is_complete"])  # what was counted before the restart is not known
            self.assertEqual(x["total"], x["values"] - 2)

    def test_a_server_that_ends(self):
        with Server(lambda n: "x 1\n") as server:
            threading.Timer(0.8, server.stop).start()
            counters, _ = self.record("--scrape", server.url, seconds=2)
            for key in (("x", f"127.0.0.1:{server.port}"), ("scrape_seconds", f"127.0.0.1:{server.port}")):
                self.assertGreater(counters[key]["values"], 0)
                # A scrape that was under way when it ended may have been cut.
                self.assertIn("the server refuses connections", self.reasons(counters[key]))
                self.assertLessEqual(self.reasons(counters[key]), {"the server refuses connections",
                                                                   "the server does not speak HTTP"})

    def test_too_many_series_are_told(self):
        text = "".join(f'python_x{{i="{i}"}} {i}\n' for i in range(5000))
        text += "".join(f'x{{i="{i}"}} {i}\n' for i in range(1000)) + f'y{{long="{"l" * 3000}"}} 1\nz{{"}} 1\n'
        with Server(lambda n: text) as server:
            counters, summary = self.record("--scrape", server.url)
            for name, count in (("x", 1000), ("y", 1), ("python_x", 3999)):
                self.assertEqual(sum(of == name for of, _ in counters), count)
            self.assertEqual(counters["scrape_left_out_series", f"127.0.0.1:{server.port}"]["max"], 1001)
            self.assertIn(f"127.0.0.1:{server.port}: 1001 of its series were left out", summary.splitlines()[1])
            self.assertIn("--scrape-only", summary)
            counters, summary = self.record("--scrape", server.url, "--scrape-only", "x", "--scrape-only", "*\"7\"*")
            self.assertEqual({name for name, _ in counters},
                             {"x", "python_x", "scrape_seconds", "scrape_left_out_series"})
            self.assertEqual(len(counters), 1000 + 1 + 2)
            self.assertNotIn("left out", summary)

    def test_a_counter_that_appears_began_at_zero(self):
        def page(n):
            text = f'# TYPE r_total counter\nr_total{{code="200"}} {n}\n# TYPE g gauge\n'
            return text + (f'r_total{{code="500"}} {40 + n}\ng{{code="500"}} 3\n' if n > 4 else "")

        def restarted(n):
            return page(n) if n < 5 else f'# TYPE r_total counter\nr_total{{code="200"}} 1\nr_total{{code="500"}} 7\n'
        with Server(page) as server:
            device = f'127.0.0.1:{server.port} code="500"'
            counters, _ = self.record("--scrape", server.url)
            late = counters["r_total", device]
            self.assertEqual((late["min"], late["total"] - late["values"], late["total_is_complete"]), (0, 43, True))
            self.assertEqual(counters["g", device]["min"], 3)
        with Server(restarted) as server:
            counters, _ = self.record("--scrape", server.url)
            self.assertEqual(counters["r_total", f'127.0.0.1:{server.port} code="500"']["total"], 0)

    def misbehaving(self, answer, seconds=1.5):
        with Server(lambda n: answer) as server:
            counters, _ = self.record("--scrape", server.url, seconds=seconds)
            own = counters["scrape_seconds", f"127.0.0.1:{server.port}"]
            self.assertEqual((own["values"], len(counters)), (0, 2))
            return self.reasons(own)

    def test_errors(self):
        self.assertEqual(self.misbehaving(lambda h: h.send_error(500)), {"the server answers with an error (5xx)"})
        self.assertEqual(self.misbehaving(lambda h: h.send_error(404)), {"the server has no such page (404)"})
        self.assertEqual(self.misbehaving(lambda h: h.send_error(501)),
                         {"the server does not publish metrics (501; llama.cpp: start it with --metrics)"})
        self.assertEqual(self.misbehaving(lambda h: h.send_error(503)),
                         {"the server is not ready (503), as while it loads its model"})
        self.assertEqual(self.misbehaving("# nothing yet\n"), {"the server's page has no metrics"})
        self.assertEqual(self.misbehaving("<html>\n<body>\n</html>\n"), {"the server's page is not metrics"})
        self.assertEqual(self.misbehaving(lambda h: h.wfile.write(b"\x00\xff nonsense\r\n\r\n")),
                         {"the server does not speak HTTP"})

    def test_a_page_without_end(self):
        def endless(handler):
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b"# filling\n" * 10000)
        self.assertEqual(self.misbehaving(endless), {"the server's answer is longer than 4 MiB"})

    def test_servers_that_are_slow(self):
        def drip(handler):
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b"# a line\n")
                time.sleep(0.1)
        self.assertEqual(self.misbehaving(drip, 4), {"the server did not answer in time (--scrape-timeout)"})
        self.assertEqual(self.misbehaving(lambda h: time.sleep(10), 4),
                         {"the server did not answer in time (--scrape-timeout)"})

    def test_a_slow_server_is_waited_for_as_long_as_asked(self):
        def slow(handler):
            time.sleep(2.5)  # longer than a call may usually take
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"x 1\n")
        with Server(lambda n: slow) as server:
            counters, summary = self.record("--scrape", server.url, "--scrape-timeout", "10s", seconds=6)
            self.assertGreater(counters["x", f"127.0.0.1:{server.port}"]["values"], 0)
            self.assertNotIn("has not returned", summary)

    def test_a_wrong_url_is_said_at_the_start(self):
        with Server(lambda n: lambda h: h.send_error(404)) as server:
            _, errors = self.record("--scrape", server.url)
            self.assertRegex(errors.splitlines()[0], r"metrics of 127.0.0.1:\d+: the server has no such page \(404\)")

    def test_https_with_a_token(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl, which makes the certificate")
        certificate, key, token = (str(pathlib.Path(self.folder.name, name)) for name in ("cert.pem", "key.pem", "token"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"],
                       check=True, capture_output=True)
        pathlib.Path(token).write_text("a.token\n")
        seen = set()

        def page(handler):
            seen.add(handler.headers["Authorization"])
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"x 1\n")
        server = Server(lambda n: page)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        with server, contextlib.redirect_stderr(None):
            named = ["--scrape", f"https://localhost:{server.port}"]
            for arguments, variables in ((["--scrape-token-file", token], {}),
                                         (["--scrape-token-variable", "TOKEN_OF_TEST"], {"TOKEN_OF_TEST": "a.token"})):
                os.environ.update(variables)
                counters, _ = self.record(*named, "--scrape-authorities", certificate, *arguments)
                self.assertGreater(counters["x", f"localhost:{server.port}"]["values"], 0)
                self.assertEqual(seen, {"Bearer a.token"})
            counters, _ = self.record(*named)  # signed by nobody that the system trusts
            self.assertEqual(self.reasons(counters["scrape_seconds", f"localhost:{server.port}"]),
                             {"the server's certificate is not trusted"})
            counters, _ = self.record("--scrape", f"https://127.0.0.1:{server.port}", "--scrape-authorities", certificate)
            self.assertEqual(self.reasons(counters["scrape_seconds", f"127.0.0.1:{server.port}"]),
                             {"the server's certificate is not trusted"})  # it is for localhost

    def test_servers_without_an_end_hold_nothing_up(self):
        """Whatever a server sends, however long: the command runs, Ctrl-C ends it, memory is bounded."""
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        forms = {"headers": (b"HTTP/1.1 200 OK\r\n", b"".join(b"X-%d: %s\r\n" % (i, b"a" * 50) for i in range(1000)), 0),
                 "a header": (b"HTTP/1.1 200 OK\r\nX: ", b"a" * 65536, 0), "a status": (b"", b"a" * 65536, 0),
                 "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 0),
                 "slow headers": (b"HTTP/1.1 200 OK\r\n", b"X: a\r\n", 0.5),
                 "chunks": (chunked, b"1\r\na\r\n" * 1000, 0), "a chunk's size": (chunked + b"1;", b"a" * 65536, 0),
                 "trailers": (chunked + b"0\r\n", b"X: a\r\n" * 1000, 0),
                 "a huge length": (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n", b"a 1\n" * 999, 0)}

        def answer(client, first, again, pause):
            with contextlib.suppress(OSError), client:
                client.recv(65536)
                client.sendall(first)
                while True:
                    client.sendall(again)
                    time.sleep(pause)

        def serve(listener, form):
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0], *form), daemon=True).start()
        for name, form in forms.items():
            with self.subTest(name), socket.create_server(("127.0.0.1", 0)) as listener:
                threading.Thread(target=serve, args=(listener, form), daemon=True).start()
                record = subprocess.Popen(
                    [PROGRAM, "record", "--sources", "host", "--scrape-period", "100ms", "--overwrite", "-o", self.file,
                     "--scrape", f"http://127.0.0.1:{listener.getsockname()[1]}/", "--", "sleep", "60"],
                    stderr=subprocess.DEVNULL)
                time.sleep(2.5)  # the command has begun
                usage = pathlib.Path(f"/proc/{record.pid}/status").read_text()
                children = pathlib.Path(f"/proc/{record.pid}/task/{record.pid}/children").read_text().split()
                names = [pathlib.Path(f"/proc/{child}/comm").read_text().strip() for child in children]
                self.assertIn("sleep", names)
                peak_kib = int(next(line.split()[1] for line in usage.splitlines() if line.startswith("VmHWM")))
                self.assertLess(peak_kib, 100 * 1024)
                record.send_signal(signal.SIGINT)
                record.wait(timeout=8)

    def test_bad_urls_are_one_line(self):
        end = subprocess.run([PROGRAM, "record", "--scrape", "ftp://h/", "--duration", "1s"], capture_output=True,
                             text=True, timeout=60)
        self.assertEqual((end.returncode, end.stderr.count("\n")), (2, 1), end.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
