"""Run the experiments that are too long for a chapter, and store their tables: part of ``make replicate``.

An experiment is a file ``experiments/NAME.py`` with a function ``experiment()`` that returns rows, all of its randomness from
`vaelib.verify.rng`. Its table is ``chapters/data/NAME.csv``, which a chapter reads; the first line of the table says what it
was made with, so that one that is older than its code is found.

    python -m tools.experiments                  every experiment whose table is older than its code
    python -m tools.experiments gap_budget       only this one, whatever its table
"""

import argparse
import csv
import os
import runpy
import sys
import time
from pathlib import Path

os.environ.setdefault("TQDM_DISABLE", "" if sys.stdout.isatty() else "1")  # tqdm reads it when torch imports it

import torch

from tools.notebooks import ROOT, digest, modules, what_runs

FOLDER = ROOT / "experiments"
TABLES = ROOT / "chapters" / "data"


def experiments() -> list[Path]:
    return sorted(FOLDER.glob("*.py"))


def table(path: Path) -> Path:
    return TABLES / f"{path.stem}.csv"


def stamp_line(path: Path) -> str:
    """First line of a table: its experiment, with hashes of the experiment and of what it imports of vaelib."""
    source = path.read_text(encoding="utf-8")
    vaelib = [[each.name, what_runs(each)] for each in sorted(modules([source]))]
    return f"# made by experiments/{path.name}, code {digest(source)[:12]}, vaelib {digest(vaelib)[:12]}"


def older_than_their_code() -> list[str]:
    """Names of the experiments without a table, or with one that other code made."""

    def fresh(path: Path) -> bool:
        stored = table(path)
        return stored.exists() and stored.read_text(encoding="utf-8").splitlines()[0] == stamp_line(path)

    return [path.stem for path in experiments() if not fresh(path)]


def run(path: Path) -> None:
    """Run an experiment and write its table."""
    rows = runpy.run_path(str(path))["experiment"]()  # what the stamp says, where an import might run older bytecode
    TABLES.mkdir(exist_ok=True)
    with table(path).open("w", encoding="utf-8", newline="") as file:
        file.write(stamp_line(path) + "\n")
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        # Six digits: what a chapter prints of them, and the same on every processor but for training's own differences.
        writer.writerows({key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.experiments", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments (default: those whose table is older than their code)")
    options = parser.parse_args()
    names = options.names or older_than_their_code()
    if unknown := sorted(set(names) - {path.stem for path in experiments()}):
        parser.error(f"no experiments/{unknown[0]}.py; there are: {', '.join(path.stem for path in experiments())}")
    torch.set_num_threads(1)
    for number, name in enumerate(names, start=1):
        start = time.perf_counter()
        print(f"[{number}/{len(names)}] {name} ...", flush=True)
        run(FOLDER / f"{name}.py")
        print(f"[{number}/{len(names)}] {name}: {time.perf_counter() - start:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
