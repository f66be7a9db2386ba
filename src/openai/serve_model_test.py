"""`batchscope serve-model` as a program, with the embedded model: answers beside those of `generate` and `eval`,
streams, clients that go or do not read, tokens, names, its end.

usage: serve_model_test.py PROGRAM [unittest's arguments]
DAMAGED_REQUESTS=90000 in the environment: so many instead of 300, for a program with sanitizers
"""
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

PROGRAM = ""
CORPUS = pathlib.Path(__file__).resolve().parent / "corpus" / "service_fuzz"
NEVER_ENDING = {"prompt": "Ana has", "max_tokens": 100, "ignore_eos": True}


class Server:
    def __init__(self, *flags, environment=None):
        self.process = subprocess.Popen([PROGRAM, "serve-model", "--listen", "127.0.0.1:0", *flags], text=True,
                                        stderr=subprocess.PIPE, env={**os.environ, **(environment or {})})
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if found := re.search(r"serving (\S+) on http://127\.0\.0\.1:(\d+)/v1", line):
                self.model, self.port = found[1], int(found[2])
                break
        else:
            raise AssertionError(f"it did not start: {self.lines}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def ask(self, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read().decode()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text

    def answer(self, path="/v1/completions", **body):
        status, answer = self.ask(path, body)
        assert status == 200, answer
        return answer

    def metric(self, name):
        _, text = self.ask("/metrics")
        return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    def is_idle(self):
        return self.metric("batchscope_requests_running") + self.metric("batchscope_requests_waiting") == 0

    def open_stream(self, **body):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        text = json.dumps({**body, "stream": True})
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(text)}\r\n\r\n{text}".encode())
        return connection

    def resident_bytes(self):
        pages = int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def end(self, number=signal.SIGINT):
        begin = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        return code, time.monotonic() - begin


def program(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=True, timeout=300).stdout


def damaged(draw, text):
    """With some bytes or stretches of it changed, lost, or there twice."""
    text = bytearray(text)
    for _ in range(draw.choice((0, 1, 1, 2, 4, 16))):
        begin = draw.randrange(len(text) + 1)
        end = min(len(text), begin + draw.choice((0, 1, 1, 4, 32)))
        text[begin:end] = draw.choice((b"", text[begin:end] * 2, draw.randbytes(end - begin), b'"', b"-1", b"1e999", b"[[",
                                       b"\r\n\r\n"))
    return bytes(text)


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"after {seconds} s: {what}")


class ServedTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--batch", "4", "--parallel", "tp2")

    @classmethod
    def tearDownClass(cls):
        code, _ = cls.server.end()
        assert code == 0, code

    def test_answers_are_those_of_generate(self):
        ids = json.loads(program("generate", "--prompt", "Ana has a red kite.", "--new-tokens", "12", "--ids"))
        tokens = self.server.answer("/tokenize", prompt="Ana has a red kite.")["tokens"]
        answer = self.server.answer(prompt="Ana has a red kite.", max_tokens=12, temperature=0, return_token_ids=True)
        self.assertEqual(tokens + answer["choices"][0]["token_ids"], ids)
        self.assertEqual(answer["choices"][0]["prompt_token_ids"], tokens)

    def test_scores_are_those_of_eval(self):
        with tempfile.TemporaryDirectory() as folder:
            items = pathlib.Path(folder) / "items.jsonl"
            task = pathlib.Path(folder) / "task.jsonl"
            question = {"id": "1", "context": "Ana has a red", "delimiter": " ",
                        "choices": ["kite.", "dog that runs.", "the."], "gold": 0}
            task.write_text(json.dumps(question) + "\n")
            program("eval", "--task", str(task), "--items", str(items))
            item = json.loads(items.read_text().split("\n")[0])
        context = self.server.answer("/tokenize", prompt=question["context"])["tokens"]
        for choice, expected in zip(question["choices"], item["ll"]):
            whole = self.server.answer("/tokenize", prompt=question["context"] + " " + choice)["tokens"]
            found = self.server.answer(prompt=whole, max_tokens=1, temperature=0, logprobs=1, echo=True, seed=1234)
            logprobs = found["choices"][0]["logprobs"]
            self.assertIsNone(logprobs["token_logprobs"][0])
            self.assertEqual(len(logprobs["token_logprobs"]), len(whole) + 1)
            self.assertAlmostEqual(sum(logprobs["token_logprobs"][len(context):-1]), expected, places=3)
            alone = self.server.answer(prompt=whole, max_tokens=0, logprobs=1, echo=True)["choices"][0]["logprobs"]
            for own, other in zip(alone["token_logprobs"][1:], logprobs["token_logprobs"][1:-1]):
                self.assertAlmostEqual(own, other, places=4)

    def test_a_stream_is_the_whole_answer_in_pieces(self):
        body = {"prompt": "Ana has", "max_tokens": 20, "temperature": 0.8, "seed": 7}
        whole = self.server.answer(**body)
        _, text = self.server.ask("/v1/completions",
                                  {**body, "stream": True, "stream_options": {"include_usage": True}})
        events = text.strip().split("\n\n")
        self.assertEqual(events[-1], "data: [DONE]")
        chunks = [json.loads(event[6:]) for event in events[:-1]]
        self.assertEqual("".join(c["choices"][0]["text"] for c in chunks if c["choices"]), whole["choices"][0]["text"])
        self.assertEqual(chunks[-1]["usage"], whole["usage"])
        self.assertEqual(sum(1 for c in chunks if c["choices"]), whole["usage"]["completion_tokens"])

    def test_answers_do_not_depend_on_who_asks_beside(self):
        bodies = [{"prompt": f"Ana has {number} red kites.", "max_tokens": 30, "temperature": 0.9, "seed": number}
                  for number in range(12)]
        alone = [self.server.answer(**body)["choices"][0]["text"] for body in bodies]
        together = [None] * len(bodies)

        def ask(number):
            together[number] = self.server.answer(**bodies[number])["choices"][0]["text"]
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(together, alone)

    def test_clients_that_go_free_their_slots(self):
        gone = self.server.metric("batchscope_requests_finished_total{reason=\"client_gone\"}")
        streams = [self.server.open_stream(**NEVER_ENDING, n=16) for _ in range(4)]
        wait_for(lambda: self.server.metric("batchscope_requests_running") > 0, "nothing runs")
        for stream in streams:
            stream.close()
        wait_for(self.server.is_idle, "the slots are free")
        self.assertGreater(self.server.metric("batchscope_requests_finished_total"), gone)
        self.server.answer(prompt="Ana", max_tokens=1)

    def test_256_slow_readers_hurt_nobody(self):
        self.server.answer(prompt="Ana", max_tokens=1)
        before = self.server.resident_bytes()
        slow = [self.server.open_stream(prompt="Ana has", max_tokens=20, ignore_eos=True, logprobs=1)
                for _ in range(256)]
        wait_for(self.server.is_idle, "the engine is done with them", 120)
        begin = time.monotonic()
        self.server.answer(prompt="Ana", max_tokens=5)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertLess(self.server.resident_bytes() - before, 64 << 20)
        for stream in slow:
            stream.close()

    def test_damaged_requests_hurt_nobody(self):
        expected = self.server.answer(prompt="Ana has", max_tokens=20, temperature=0)["choices"]
        answered = self.server.metric("batchscope_http_requests_total")
        seeds = [path.read_bytes()[2:] for path in sorted(CORPUS.iterdir())]  # two bytes are the fuzzer's own

        def ask(number):
            draw = random.Random(number)
            text = draw.choice(seeds)
            if draw.random() < 0.9:  # else it is kept, and what comes behind it is answered, too
                text = text.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            text = damaged(draw, text)
            address = ("127.0.0.1", self.server.port)
            with contextlib.suppress(OSError), socket.create_connection(address, timeout=0.5) as client:
                while text:
                    count = draw.randint(1, len(text))
                    client.sendall(text[:count])
                    text = text[count:]
                while draw.random() < 0.98 and client.recv(4096):  # else it goes
                    pass
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(ask, range(int(os.environ.get("DAMAGED_REQUESTS", "300")))))
        wait_for(self.server.is_idle, "nobody waits for anything any more")
        self.assertEqual(self.server.answer(prompt="Ana has", max_tokens=20, temperature=0)["choices"], expected)
        print(f"{self.server.metric('batchscope_http_requests_total') - answered:.0f} requests answered", file=sys.stderr)

    def test_bad_requests_are_refused_in_openais_form(self):
        for body, status in (({"prompt": 3}, 400), ({"prompt": "a", "model": "other"}, 404),
                             ({"prompt": "a", "max_tokens": 10**6}, 400), ({"prompt": "a", "tools": []}, 400)):
            found, answer = self.server.ask("/v1/completions", body)
            self.assertEqual(found, status)
            self.assertIn("message", answer["error"])
        self.assertEqual(self.server.ask("/v1/completions", {"prompt": "a" * (5 << 20)})[0], 413)
        status, answer = self.server.ask("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]})
        self.assertEqual(status, 400)
        self.assertIn("chat template", answer["error"]["message"])

    def test_names_of_others_are_refused(self):
        self.assertEqual(self.server.ask("/v1/models", Host="evil.example.com")[0], 421)
        self.assertEqual(self.server.ask("/v1/models", Host="localhost")[0], 200)


class OneServerTest(unittest.TestCase):
    def test_a_token_is_asked_for(self):
        server = Server("--token-variable", "SECRET", environment={"SECRET": "abc123"})
        try:
            self.assertEqual(server.ask("/health")[0], 200)
            for headers in ({}, {"Authorization": "Bearer abc124"}, {"Authorization": "Bearer abc1234"}):
                self.assertEqual(server.ask("/v1/models", **headers)[0], 401)
            self.assertEqual(server.ask("/v1/models", Authorization="Bearer abc123")[0], 200)
        finally:
            server.end()

    def test_a_full_queue_refuses(self):
        server = Server("--batch", "1", "--queue", "2")
        try:
            streams = [server.open_stream(**NEVER_ENDING) for _ in range(3)]
            statuses = [server.ask("/v1/completions", {"prompt": ["a", "b", "c"]})[0] for _ in range(2)]
            self.assertEqual(statuses, [429, 429])
            for stream in streams:
                stream.close()
        finally:
            server.end()

    def test_it_ends_at_once_and_tells_everyone(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            server = Server("--batch", "2")
            stream = server.open_stream(**NEVER_ENDING, n=100)
            self.assertIn(b"200 OK", stream.recv(4096))
            text = []

            def read():  # all the time: the last words of one who reads late find the socket's buffers full
                with contextlib.suppress(ConnectionError):
                    while piece := stream.recv(65536):
                        text.append(piece)
            reader = threading.Thread(target=read)
            reader.start()
            code, seconds = server.end(number)
            reader.join(60)
            self.assertEqual(code, 0)
            self.assertLess(seconds, 5)  # within one on a machine that is not busy
            self.assertIn(b"the server is ending", b"".join(text))

    def test_what_cannot_be_served_is_said_before_the_model_is_loaded(self):
        for flags in (["--listen", "nowhere"], ["--max-tokens-per-sequence", "1000000"], ["--queue", "0"],
                      ["--token-variable", "NO_SUCH_VARIABLE"], ["--token-file", "/dev/null"]):
            ended = subprocess.run([PROGRAM, "serve-model", *flags], capture_output=True, text=True, timeout=60)
            self.assertEqual(ended.returncode, 2, ended.stderr)
            self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
