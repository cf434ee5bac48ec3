"""Speed and memory, as ratios measured in one run.

`python -m benchmarks > benchmarks/RESULTS.md` writes the table of all benchmarks.
"""

import argparse
import json
import pathlib
import shlex
import sys

from .rows import ROWS, rows_of
from .table import described, markdown


def main() -> None:
    """Runs the benchmarks; prints their rows as a table, or writes them as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=ROWS, help="run one benchmark")
    parser.add_argument(
        "--json", metavar="FILE", nargs="?", const="-", help="rows as JSON"
    )
    arguments = parser.parse_args()
    rows = []
    for name in [arguments.only] if arguments.only else ROWS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += rows_of(name)
    if arguments.json is None:
        print(markdown(rows, shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])))
        return
    text = json.dumps([described(row) for row in rows], indent=1)
    if arguments.json == "-":
        print(text)
    else:
        pathlib.Path(arguments.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
