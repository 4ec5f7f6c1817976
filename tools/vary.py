"""Change a constant of each chapter as a reader may, and see that the chapter runs to its end: behind ``make vary``.

The constants stand in the second code cell. A claim may then fail, and prints [no]; a cell may not raise. Each variation
changes one constant: whole numbers go up by a half, others are multiplied by 1.5, in a tuple each of them; except as listed
here.

    python -m tools.vary                                two constants of every chapter
    python -m tools.vary --all chapters/02_elbo.ipynb   every constant of one
"""

import argparse
import ast
import sys
import time
from pathlib import Path

import nbformat
from nbclient.exceptions import CellExecutionError

from tools.checks import verdicts
from tools.notebooks import FAILURES, chapters, code_cells, environment, run, two_at_a_time

CELL_TIMEOUT = 1200  # seconds
VARIATIONS = 2  # a chapter
# The other value of a constant by its chapter's number, where half as much again is not sensible; tried first.
OTHER: dict[str, dict[str, str]] = {"12": {"TRAIN": "900"}}  # of 1,797 images
# Not for a reader to choose: how many axes the data and the latent have.
FIXED = {"D", "d"}
NUMBER = "(lambda value: value + max(1, value // 2) if isinstance(value, int) else 1.5 * value)({0})"
TUPLE = "tuple(value + max(1, value // 2) if isinstance(value, int) else 1.5 * value for value in ({0}))"


def constants(source: str) -> dict[str, ast.expr]:
    """Names set to numbers (written out, of a module, or a formula of such), then those set to tuples of numbers."""
    numbers, tuples = {}, {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            pairs = zip(node.targets[0].elts, node.value.elts, strict=False)
        elif isinstance(node, ast.Assign):
            pairs = [(node.targets[0], node.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Name) and target.id not in FIXED:
                if _is_number(value):
                    numbers[target.id] = value
                elif isinstance(value, ast.Tuple) and value.elts and all(map(_is_number, value.elts)):
                    tuples[target.id] = value
    return numbers | tuples


def _is_number(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=bool()):
            return False
        case ast.Constant(value=int() | float()):
            return True
        case ast.Attribute(value=ast.Name(id=module), attr=attr):
            return attr.isupper() or module == "math"
        case ast.UnaryOp(operand=operand):
            return _is_number(operand)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) and _is_number(right)
    return False


def changed(source: str, name: str, other: str | None = None) -> str:
    """The cell with one constant changed, to `other` or to half as much again."""
    node = constants(source)[name]
    half_more = (TUPLE if isinstance(node, ast.Tuple) else NUMBER).format(ast.unparse(node))
    lines = source.encode().splitlines()  # the positions of a syntax tree count bytes
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before = b"\n".join([*lines[:first], lines[first][: node.col_offset]])
    after = b"\n".join([lines[last][node.end_col_offset :], *lines[last + 1 :]])
    return before.decode() + (other or half_more) + after.decode()


def variations(path: Path, notebook, every: bool) -> list[tuple[str, str | None]]:
    """The constants to change and their other values; the first two unless `every` is set."""
    names = constants(code_cells(notebook)[1].source)
    other = OTHER.get(path.stem[:2], {})
    if unknown := sorted(set(other) - set(names)):
        raise ValueError(f"{path.name} has no constant {', '.join(unknown)} in its second code cell, found {', '.join(names)}")
    ordered = [*other, *(name for name in names if name not in other)]
    return [(name, other.get(name)) for name in ordered[: None if every else VARIATIONS]]


def vary(path: Path, name: str, other: str | None) -> tuple[str, bool]:
    """Run a chapter with one constant changed: a report, and whether it ran to its end."""
    notebook = nbformat.read(path, as_version=4)
    cell = code_cells(notebook)[1]
    cell.source = changed(cell.source, name, other)
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    start = time.perf_counter()
    what = f"{path.name} with {name} = {other or 'half as much again'}"
    try:
        run(notebook, path, environment(VAELIB_STRICT="0", MPLBACKEND="agg"), CELL_TIMEOUT)
    except FAILURES as error:
        number = sum(cell.execution_count is not None for cell in code_cells(notebook))
        why = f"{error.ename}: {error.evalue}" if isinstance(error, CellExecutionError) else str(error)
        return f"{what}: code cell {number} of {len(code_cells(notebook))} raised {why}", False
    held = verdicts(notebook)
    no = [label for label, good in held.items() if not good]
    counted = f"{len(held) - len(no)} checks held" + ("; not: " + ", ".join(no) if no else "")
    return f"{what}: ran to its end in {time.perf_counter() - start:.0f} s, {counted}", True


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.vary", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: every chapter)")
    parser.add_argument("--all", action="store_true", help="every constant, not two a chapter")
    options = parser.parse_args()
    tasks = []
    for path in options.paths or chapters():
        chosen = variations(path, nbformat.read(path, as_version=4), options.all)
        tasks += [(path.resolve(), name, other) for name, other in chosen]
        if not chosen:
            print(f"{path.name}: no constant in its second code cell", flush=True)
    failed = 0
    for number, (report, good) in enumerate(two_at_a_time(lambda task: vary(*task), tasks), start=1):
        print(f"[{number}/{len(tasks)}] {report}", flush=True)
        failed += not good
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
