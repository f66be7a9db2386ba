"""An engine that goes wrong in the way that its first argument names, at the step that its second one does."""
import json
import os
import subprocess
import sys
import time

fault, step = sys.argv[1], sys.argv[2]
for line in sys.stdin:
    ask = json.loads(line)
    answer = {"done": True}
    if ask["ask"] == "hello":
        answer = {"name": "faulty"}
    if ask["ask"] == "prepare":
        count = len(ask["requests"])
    if ask["ask"] == "score":
        answer = {"log_likelihoods": [-1.0 - i for i in range(count)]}
    if ask["ask"] == step:
        if fault == "dies":
            print("first words", file=sys.stderr)
            print("ModuleNotFoundError: no such thing", file=sys.stderr)
            sys.exit(3)
        if fault == "crashes":
            os.abort()
        if fault == "hangs":
            time.sleep(1000)
        if fault == "rubbish":
            print("{not json", flush=True)
        if fault == "huge":
            while True:
                sys.stdout.write("{" + "x" * 100000)
        if fault == "chatters":
            while True:
                print("loading, loading, loading")
        if fault == "noise":
            print("Loading checkpoint shards: 100%", flush=True)
        if fault == "progress":
            for share in range(3):
                time.sleep(0.4)
                print(json.dumps({"progress": share}), flush=True)
        if fault == "short":
            answer = {"log_likelihoods": [-1.0]}
        if fault == "text":
            answer = {"log_likelihoods": ["-1"] * count}
        if fault == "nan":
            answer = {"log_likelihoods": [float("nan")] * count}
        if fault == "not_done":
            answer = {"done": False}
        if fault == "memory":
            answer = {"error": "11 GiB are not there", "kind": "out_of_memory"}
        if fault == "refuses":
            answer = {"error": "no such model", "kind": "bad_input"}
        if fault == "fails":
            answer = {"error": "something broke"}
        if fault == "child":  # which ignores that its parent's input has ended
            child = subprocess.Popen(["sleep", "1000"])
            with open(sys.argv[3], "w") as file:
                file.write(f"{os.getpid()} {child.pid}")
        if fault == "deaf":
            sys.stdin.close()
            time.sleep(1000)
    print(json.dumps(answer), flush=True)
