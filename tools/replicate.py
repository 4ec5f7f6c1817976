"""Run every chapter on fresh streams of randomness and count its claims: the command behind ``make replicate``.

``VAELIB_STREAM`` shifts every seed of the book, so each run has its own data, initial weights and noise. A claim that holds
less than 19 times in 20 is restated (weaker, or with more data), not tuned. The table goes to ``back/replication.csv``, the
page to ``back/replication.md``. The experiments that are too long for a chapter are run first (`tools.experiments`). What
was run is kept in ``_build``, so that a run that is stopped goes on from there.

    python -m tools.replicate --streams 20                            every chapter
    python -m tools.replicate --streams 20 chapters/07_*.ipynb        only this one; the other rows are kept
"""

import argparse
import csv
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from scipy.stats import binomtest

from tools import experiments
from tools.checks import called_labels, verdicts
from tools.notebooks import FAILURES, ROOT, chapters, code_cells, environment, run, stamp, two_at_a_time

TABLE = ROOT / "back" / "replication.csv"
PAGE = ROOT / "back" / "replication.md"
CACHE = ROOT / "_build" / "replicate"
CELL_TIMEOUT = 1200  # seconds
FEWEST = 0.95  # a claim that holds less often is restated
INTRODUCTION = """# How often each claim holds

The book's experiments are random: data, initial weights and noise come from seeds. Here every chapter was run again with all
seeds shifted, {runs} times, on data, weights and noise that nobody looked at while writing, and each of its claims counted. The
interval is the 95 % interval of Clopper and Pearson for the rate at which the claim holds. A claim about a stored table of
`experiments/` does not vary with the seeds of its chapter: what counts there are the data sets of the table. `make replicate`
writes this page; {csv} is its table.

{summary}
"""


class Row(NamedTuple):
    """One line of the table: in how many of the runs a claim held, the equation agreed, or the cell did not raise."""

    label: str
    kind: str  # claim, equation, or cell: one that raised in some run
    chapter: str
    held: int
    runs: int
    low: float  # 95 % interval of the rate
    high: float
    code: str  # what was run, as in the stamp of the notebook, shortened
    vaelib: str


KINDS = (str, str, str, int, int, float, float, str, str)


def version(notebook) -> dict[str, str]:
    """What a run depends on: the chapter's code and vaelib."""
    whole = stamp(notebook)
    return {key: whole[key][:12] for key in ("code", "vaelib")}


def replicate(path: Path, stream: int) -> dict:
    """Run one chapter on one stream: the verdict of each label that was printed, and the cells that raised."""
    notebook = nbformat.read(path, as_version=4)
    ran = {"chapter": path.stem, "stream": stream, **version(notebook)}
    for cell in code_cells(notebook):
        cell.outputs = []
    start = time.perf_counter()
    # Nothing is drawn, and a check that fails goes on: the rest of the chapter is counted too.
    env = environment(VAELIB_STREAM=str(stream), VAELIB_STRICT="0", MPLBACKEND="agg")
    try:
        run(notebook, path, env, CELL_TIMEOUT, allow_errors=True)
        stopped = []
    except FAILURES as error:
        stopped = [type(error).__name__]
    raised = [
        f"cell {number}"
        for number, cell in enumerate(code_cells(notebook), start=1)
        if any(output.output_type == "error" for output in cell.outputs)
    ]
    return {**ran, "verdicts": verdicts(notebook), "raised": raised + stopped, "seconds": round(time.perf_counter() - start)}


def tally(path: Path, runs: list[dict]) -> list[Row]:
    """Rows of one chapter. A check that a run did not reach did not hold in it."""
    notebook = nbformat.read(path, as_version=4)
    made_with = version(notebook)
    changed = [one["stream"] for one in runs if {key: one[key] for key in made_with} != made_with]
    if changed:
        raise SystemExit(f"{path.stem} or vaelib changed after stream {changed[0]} had run: run this again")

    def row(label: str, kind: str, held: int) -> Row:
        interval = binomtest(held, len(runs)).proportion_ci(method="exact")
        low, high = round(float(interval.low), 3), round(float(interval.high), 3)
        return Row(label, kind, path.stem, held, len(runs), low, high, made_with["code"], made_with["vaelib"])

    rows = []
    for kind, function in (("claim", "claim"), ("equation", "verify")):
        for label in dict.fromkeys(filter(None, called_labels(notebook, function))):
            rows.append(row(label, kind, sum(one["verdicts"].get(label, False) for one in runs)))
    for cell in sorted({cell for one in runs for cell in one["raised"]}):
        rows.append(row(cell, "cell", sum(cell not in one["raised"] for one in runs)))
    return rows


def read_table(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [Row(*(kind(text) for kind, text in zip(KINDS, line, strict=True))) for line in list(csv.reader(file))[1:]]


def write_table(rows: list[Row], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)


def page(rows: list[Row]) -> str:
    """The table as a page: every claim, and what else did not go well."""
    claims = [row for row in rows if row.kind == "claim"]
    equations = [row for row in rows if row.kind == "equation"]
    weak = [row for row in claims if row.held < FEWEST * row.runs]
    summary = f"Of {len(claims)} claims, {len(claims) - len(weak)} held in at least 95 % of their runs"
    summary += "." if not weak else "; less often: " + ", ".join(f"`{row.label}`" for row in weak) + "."
    agreed = sum(row.held == row.runs for row in equations)
    summary += f" Of {len(equations)} checked equations, {agreed} agreed in every run."
    runs = sorted({row.runs for row in rows})
    text = INTRODUCTION.format(
        runs=" or ".join(map(str, runs)), csv="{download}`replication.csv <replication.csv>`", summary=summary
    )
    for title, chosen in (
        ("Claims that did not hold in every run", [row for row in claims if row.held < row.runs]),
        ("Equations that did not agree in every run", [row for row in equations if row.held < row.runs]),
        ("Cells that raised", [row for row in rows if row.kind == "cell"]),
    ):
        if chosen:
            text += f"\n## {title}\n\n{_table(chosen)}"
    text += "\n## Every claim, by chapter\n"
    for chapter in sorted({row.chapter for row in claims}):
        mine = [row for row in claims if row.chapter == chapter]
        always = sum(row.held == row.runs for row in mine)
        summary = f"Chapter {chapter[:2]}: {always} of {len(mine)} claims held in each of {mine[0].runs} runs"
        text += f'\n<details class="deeper"><summary>{summary}</summary>\n\n{_table(mine)}\n</details>\n'
    return text


def _table(rows: list[Row]) -> str:
    text = "| chapter | label | held | 95 % interval |\n|---|---|---|---|\n"
    for row in rows:
        link = f"[{row.chapter[:2]}](../chapters/{row.chapter}.ipynb)"
        text += f"| {link} | `{row.label}` | {row.held}/{row.runs} | {row.low:.2f} to {row.high:.2f} |\n"
    return text


def older_than_a_chapter() -> list[str]:
    """Chapters whose code, or vaelib's, is no longer what the table was made with."""
    made_with = {row.chapter: {"code": row.code, "vaelib": row.vaelib} for row in read_table(TABLE)}
    return [path.stem for path in chapters() if made_with.get(path.stem) != version(nbformat.read(path, as_version=4))]


def finished(task: tuple[Path, int]) -> dict:
    """The result of a run: from the cache if the same code was run before, else run now and noted there."""
    path, stream = task
    note = CACHE / "-".join([path.stem, str(stream), *version(nbformat.read(path, as_version=4)).values(), "run.json"])
    if not note.exists():
        half = note.with_suffix(".half")  # renamed when it is whole, so that a run that is stopped leaves no broken note
        half.parent.mkdir(parents=True, exist_ok=True)
        half.write_text(json.dumps(replicate(path, stream)), encoding="utf-8")
        half.rename(note)
    return json.loads(note.read_text(encoding="utf-8"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.replicate", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: every chapter)")
    parser.add_argument("--streams", type=int, default=20, metavar="N", help="streams 1 to N; 0 is the book's own")
    options = parser.parse_args()
    if options.streams < 1:
        parser.error(f"--streams must be at least 1, found {options.streams}")
    if not options.paths:
        for name in experiments.older_than_their_code():
            print(f"experiment {name} ...", flush=True)
            experiments.run(experiments.FOLDER / f"{name}.py")
    paths = sorted(path.resolve() for path in options.paths or chapters())
    tasks = [(path, stream) for stream in range(1, options.streams + 1) for path in paths]
    runs = []
    for one in two_at_a_time(finished, tasks):
        runs.append(one)
        trouble = [label for label, good in one["verdicts"].items() if not good] + one["raised"]
        held = f"{sum(one['verdicts'].values())} held in {one['seconds']} s" + ("; not: " + ", ".join(trouble) if trouble else "")
        print(f"[{len(runs)}/{len(tasks)}] {one['chapter']}, stream {one['stream']}: {held}", flush=True)
    kept = [row for row in read_table(TABLE) if row.chapter not in {path.stem for path in paths}]
    new = [row for path in paths for row in tally(path, [one for one in runs if one["chapter"] == path.stem])]
    rows = sorted([*kept, *new], key=lambda row: row.chapter)
    write_table(rows, TABLE)
    PAGE.write_text(page(rows), encoding="utf-8")
    print(page(rows).split("\n\n")[2].strip(), f"\nWritten: {os.path.relpath(TABLE)}, {os.path.relpath(PAGE)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
