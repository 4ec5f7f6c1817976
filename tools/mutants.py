"""Break vaelib in small ways and count what its unit tests notice: the command behind ``make mutants``.

A mutant is a module with one small error: a comparison turned, a sign or a factor lost, a number off by one, a check left
out. It is killed if a unit test or a doctest fails; it survives if none does, and then either a test is missing or the change
makes no difference. The tests of the module itself run first, then the others that import it. What compares whole files (the
stamps of the chapters) is not among them: that would notice every change and understand none.

    python -m tools.mutants                     25 mutants, drawn by a fixed seed, of every module below
    python -m tools.mutants kl --number 0       every mutant of one module
"""

import argparse
import ast
import contextlib
import copy
import importlib.util
import itertools
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MODULES = (
    *("kl", "gaussian", "likelihood", "objective", "quadrature", "ppca", "diagnostics", "thresholds", "train", "backprop"),
    *("spiral", "sweep", "_ranks", "verify"),
    *("checkup", "checkup._draw", "checkup._evidence", "checkup._likelihood", "checkup._loss", "checkup._posterior"),
    *("checkup._report", "checkup._yours"),
)
TESTS = {"_ranks": "sweep", "checkup": "checkup_lines"}  # where a module's own tests stand, if not under its name
NO_UNIT_TESTS = ("test_book", "test_notebooks", "test_imports", "test_requirements", "test_tools")
PATIENCE = 20.0  # seconds, on top of five times what the unbroken module takes
# Imported before the processes part, since this takes longer than most tests.
HEAVY = ("torch", "torch.distributed", "torch.distributions", "torch.testing", "scipy.stats", "mpmath", "sympy")
HEAVY += ("matplotlib.pyplot", "pytest", "hypothesis", "beartype", "jaxtyping", "jax")  # jaxtyping looks for jax

TURNED: dict[type, list[type]] = {
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt, ast.GtE],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt, ast.LtE],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.In: [ast.NotIn],
    ast.NotIn: [ast.In],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.Pow: [ast.Mult],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
SYMMETRIC = ("min", "max", "torch.minimum", "torch.maximum", "math.hypot")  # the order of their arguments makes no difference


class Mutant(NamedTuple):
    """One change of a module, by its number among all of them."""

    number: int
    line: int
    change: str


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    if isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for other in TURNED[type(operator)]:
                yield ast.Compare(node.left, [*node.ops[:i], other(), *node.ops[i + 1 :]], node.comparators)
    elif isinstance(node, ast.BinOp):
        for other in TURNED.get(type(node.op), []):
            yield ast.BinOp(node.left, other(), node.right)
        if isinstance(node.op, ast.Mult | ast.Div | ast.Add | ast.Sub):
            yield node.left
        if isinstance(node.op, ast.Mult | ast.Add):
            yield node.right
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(TURNED[type(node.op)][0](), node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
        if node.value not in (0, 1):
            yield ast.Constant(node.value / 2 if isinstance(node.value, float) else node.value - 1)
    elif isinstance(node, ast.Call) and len(node.args) > 1 and not any(isinstance(a, ast.Starred) for a in node.args[:2]):
        if ast.unparse(node.func) not in SYMMETRIC:
            yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    elif isinstance(node, ast.If):
        yield ast.If(ast.Constant(False), node.body, node.orelse)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every node that may change, as its parent, the field and the place in it; texts and types may not."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "exc", "cause", "msg", "format_spec"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test).startswith(("__name__ ==", "TYPE_CHECKING")):
                continue
            yield node, field, index
            yield from places(child)


def mutants(source: str) -> list[Mutant]:
    """All changes of a module."""
    return [
        Mutant(number, child.lineno, f"{_short(child)}  ->  {_short(changed)}")
        for number, (_, _, _, child, changed) in enumerate(_all_changes(ast.parse(source)))
    ]


def broken(source: str, mutant: Mutant) -> str:
    """The module with one change."""
    tree = ast.parse(source)
    parent, field, index, child, changed = next(itertools.islice(_all_changes(tree), mutant.number, None))
    _put(parent, field, index, ast.copy_location(copy.deepcopy(changed), child))
    return ast.unparse(ast.fix_missing_locations(tree))


def _all_changes(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, Any, ast.AST]]:
    for parent, field, index in places(tree):
        held = getattr(parent, field)
        child = held if index is None else held[index]
        for changed in changes(child):
            yield parent, field, index, child, changed


def _put(parent: ast.AST, field: str, index: int | None, child: ast.AST) -> None:
    if index is None:
        setattr(parent, field, child)
    else:
        getattr(parent, field)[index] = child


def _short(node: ast.AST) -> str:
    first = ast.unparse(node).splitlines()[0]
    return first if len(first) <= 60 else f"{first[:57]}..."


def path_of(module: str) -> str:
    """Where a module stands; a package is its ``__init__.py``."""
    path = f"vaelib/{module.replace('.', '/')}"
    return f"{path}/__init__.py" if (ROOT / path).is_dir() else f"{path}.py"


def tests_of(module: str) -> list[list[str]]:
    """Two runs: the module's own tests and doctests, and the other unit tests that import it; a package is tested as one."""
    package = module.partition(".")[0]
    own = f"tests/test_{TESTS.get(package, package)}.py"
    imports = re.compile(rf"vaelib\.{package}\b|from vaelib import [^\n]*\b{package}\b")
    others = [
        f"tests/{path.name}"
        for path in sorted((ROOT / "tests").glob("test_*.py"))
        if not path.name.startswith(NO_UNIT_TESTS) and imports.search(path.read_text(encoding="utf-8"))
    ]
    return [[own, path_of(module)], [path for path in others if path != own]]


def run_tests(folder: Path, tests: list[str]) -> None:
    """In a process of its own: exit with 0 if the tests in `folder` pass, with 1 if they notice something."""
    import pytest

    os.setpgid(0, 0)  # tests start processes too: those of a run that hangs are ended with it
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "addopts=--strict-markers --doctest-modules"]
    os._exit(1 if pytest.main([*options, *tests]) else 0)


class Slot:
    """A copy of the project, in which one mutant at a time is tested.

    Args:
        folder: Where the copy stands.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        for name in ("vaelib", "tools", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "browser"))
        for name in ("conftest.py", "pyproject.toml", "requirements.in", "requirements.txt", "README.md"):
            shutil.copy(ROOT / name, folder)
        self.mutant: Mutant | None = None

    def put(self, module: str, source: str) -> None:
        (self.folder / path_of(module)).write_text(source, encoding="utf-8")

    def start(self, tests: list[str], limit: float) -> None:
        self.process = multiprocessing.get_context("fork").Process(target=run_tests, args=(self.folder, tests))
        self.process.start()
        self.began, self.deadline = time.monotonic(), time.monotonic() + limit

    def noticed(self) -> bool | None:
        """Whether the tests failed, or took far too long; None while they run."""
        if self.process.exitcode is None and time.monotonic() < self.deadline:
            return None
        if self.process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.join()
        return self.process.exitcode != 0


def unbroken(slots: list[Slot], module: str, runs: list[list[str]]) -> list[float]:
    """Seconds that each run of the tests takes without a mutant.

    Raises:
        SystemExit: If one does not pass.
    """
    seconds = []
    for tests in runs:
        slots[0].start(tests, limit=600)
        while (noticed := slots[0].noticed()) is None:
            wait([slots[0].process.sentinel], timeout=1)
        if noticed:
            raise SystemExit(f"{module}: the tests do not pass without a mutant: {' '.join(tests)}")
        seconds.append(time.monotonic() - slots[0].began)
    return seconds


def survivors(slots: list[Slot], module: str, chosen: list[Mutant]) -> list[Mutant]:
    """The mutants that no test notices."""
    source = (ROOT / path_of(module)).read_text(encoding="utf-8")
    runs = [tests for tests in tests_of(module) if tests]
    limits = [PATIENCE + 5 * seconds for seconds in unbroken(slots, module, runs)]
    waiting, left, stage = list(reversed(chosen)), [], {}
    while waiting or any(slot.mutant for slot in slots):
        for slot in slots:
            if slot.mutant is None and waiting:
                slot.mutant = waiting.pop()
                slot.put(module, broken(source, slot.mutant))
                stage[slot] = 0
                slot.start(runs[0], limits[0])
        wait([slot.process.sentinel for slot in slots if slot.mutant], timeout=0.5)
        for slot in slots:
            if slot.mutant is None or (noticed := slot.noticed()) is None:
                continue
            stage[slot] += 1
            if not noticed and stage[slot] < len(runs):
                slot.start(runs[stage[slot]], limits[stage[slot]])
                continue
            if not noticed:
                left.append(slot.mutant)
                print(f"  {path_of(module)}:{slot.mutant.line}: {slot.mutant.change}", flush=True)
            slot.mutant = None
    for slot in slots:
        slot.put(module, source)
    return left


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help=f"modules of vaelib (default: {' '.join(MODULES)})")
    parser.add_argument("--number", type=int, default=25, help="mutants of each module, 0 for all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="which of them (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="mutants that are tested side by side (default: %(default)s)")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in HEAVY:
        if importlib.util.find_spec(name):
            importlib.import_module(name)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        slots = [Slot(Path(folder) / str(number)) for number in range(options.jobs)]
        for module in options.modules or MODULES:
            found = mutants((ROOT / path_of(module)).read_text(encoding="utf-8"))
            chosen = found
            if 0 < options.number < len(found):
                chosen = random.Random(f"{options.seed} {module}").sample(found, options.number)
            print(f"{module}: {len(chosen)} of {len(found)} mutants", flush=True)
            start = time.monotonic()
            left = survivors(slots, module, sorted(chosen, key=lambda mutant: mutant.line))
            rows.append((module, len(chosen) - len(left), len(chosen)))
            print(f"  killed {rows[-1][1]} of {rows[-1][2]} in {time.monotonic() - start:.0f} s", flush=True)
    rows.append(("all", sum(killed for _, killed, _ in rows), sum(number for _, _, number in rows)))
    print("\nmodule               killed")
    for module, killed, number in rows:
        print(f"{module:18} {killed:4} of {number:4}  {100 * killed / max(number, 1):.0f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
