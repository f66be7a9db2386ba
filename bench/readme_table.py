"""What programs that make a table of README's have in common: they print it, or check that a file has it."""

import json
import sys


def main(table):
    """The program: `table` makes text of the result that its first argument names; with --check FILE the exit code is 1 unless
    that file has it."""
    text = table(json.load(open(sys.argv[1])))
    if "--check" not in sys.argv:
        print(text, end="")
        return 0
    readme = sys.argv[sys.argv.index("--check") + 1]
    if text in open(readme).read():
        return 0
    print(f"{readme} does not have the table that {sys.argv[1]} gives:\n{text}")
    return 1
