"""Execute the chapters in place and stamp them: the command behind ``make notebooks``.

The pages of the book show stored outputs. A stamp in each notebook's metadata says which code cells, which
modules of ``vaelib`` and which outputs belong together; ``tests/test_book.py`` recomputes it, so that no stale
figure is published.

    python -m tools.notebooks                             execute the chapters whose stamp is stale
    python -m tools.notebooks --all                       execute every chapter
    python -m tools.notebooks chapters/02_elbo.ipynb      only this one, if it is stale
"""

import argparse
import ast
import asyncio
import base64
import hashlib
import io
import itertools
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
HEADLINE = ROOT / "images" / "headline.png"
CELL_TIMEOUT = 300  # seconds
PARSER = threading.Lock()  # Python 3.11 loses count of its depth where two threads parse at once
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)
CELL_METADATA = {"tags", "mystnb"}
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def chapters() -> list[Path]:
    return sorted((ROOT / "chapters").glob("*.ipynb"))


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def digest(value) -> str:
    """Hash of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(notebook) -> dict[str, str]:
    """Hashes of what a stored output depends on, and of the outputs themselves.

    With the outputs among them, a cell that was run again by hand, out of order say, makes the stamp stale too.
    """
    cells = code_cells(notebook)
    sources = sorted([*modules([cell.source for cell in cells]), *(ROOT / "vaelib").glob("*.mplstyle")])
    # Tables of the long experiments, which the chapter reads: named with their folder, or by their name alone.
    code = "".join(cell.source for cell in cells)
    stored = sorted((ROOT / "chapters" / "data").glob("*.csv"))
    tables = [path.read_text(encoding="utf-8") for path in stored if re.search(rf"[\"/]{path.stem}[\".]", code)]
    read = {"tables": digest(tables)} if tables else {}
    return {
        **read,
        "code": digest([cell.source for cell in cells]),
        "outputs": digest([[cell.execution_count, cell.outputs] for cell in cells]),
        "vaelib": digest([[path.name, what_runs(path)] for path in sources]),
    }


def what_runs(path: Path) -> str:
    """The text of a file of vaelib without its docstrings, on which no output depends."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return text
    with PARSER:
        nodes = list(ast.walk(ast.parse(text)))
    documented = [node for node in nodes if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
    strings = [node.body[0] for node in documented if ast.get_docstring(node, clean=False) is not None]
    lines, dropped = text.split("\n"), set()
    for string in strings:
        if not lines[string.lineno - 1][: string.col_offset].strip():  # or there is code on its line
            dropped |= set(range(string.lineno - 1, string.end_lineno or string.lineno))
    return "\n".join(line for at, line in enumerate(lines) if at not in dropped)


def modules(sources: list[str]) -> set[Path]:
    """Files of vaelib that code imports, itself or through one of them."""
    with PARSER:
        return _modules(sources)


def _modules(sources: list[str]) -> set[Path]:
    found: set[Path] = set()
    names = {"vaelib", *itertools.chain(*map(imported, sources))}
    while names:
        path = ROOT / Path(*names.pop().split(".")).with_suffix(".py")
        path = path if path.exists() else path.with_suffix("") / "__init__.py"
        if path.exists() and path not in found:
            found.add(path)
            names |= imported(path.read_text(encoding="utf-8"))
    return found


def imported(source: str) -> set[str]:
    """Names inside vaelib that a source imports; a function counts like a module, and names no file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "vaelib"}


def is_fresh(notebook) -> bool:
    return notebook.metadata.get("stamp") == stamp(notebook)


def clean(notebook) -> None:
    """Drop what differs between two runs or two machines: times, versions, an editor's marks.

    JupyterLab knows no directives, so what the site folds is folded there by metadata: set-up, checks, plots and solutions.
    """
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    solution = False
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in cell.metadata if key in CELL_METADATA})
        if cell.cell_type == "markdown":
            solution = (
                [solution] + [part == "start" for part in re.findall(r"^:::+\{solution-(start|end)\}", cell.source, re.M)]
            )[-1]
        elif solution:
            cell.metadata["jupyter"] = {"source_hidden": True, "outputs_hidden": True}
        elif "hide-input" in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}


def environment(**variables: str) -> dict[str, str]:
    """The environment of a kernel: one thread, no progress bars, the book's own seeds, checks that raise."""
    fixed = {"TQDM_DISABLE": "1", "VAELIB_STRICT": "1", "VAELIB_STREAM": "0"}
    return {"OMP_NUM_THREADS": "1", **os.environ, **fixed, **variables}


def run(notebook, path: Path, env: dict[str, str], timeout: int = CELL_TIMEOUT, figures: str = "png", **options) -> None:
    """Run a notebook in a kernel of its own, in the folder of its file; raises what `FAILURES` lists.

    `figures` is the format of its figures; "retina" has two pixels for each of the page's.
    """
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        coalesce_streams=True,  # or one print may be stored, and shown, in two pieces
        resources={"metadata": {"path": str(path.parent)}},
        # The kernel listens on this machine only; its warning about that would stand in every run.
        extra_arguments=["--IPKernelApp.log_level=ERROR", f"--InlineBackend.figure_formats={figures}"],
        **options,
    )
    asyncio.run(client.async_execute(env=env))  # in a loop that is closed again, in whatever thread


def two_at_a_time(function, tasks):
    """Results of a function over tasks, each as soon as it is there; two kernels keep two cores busy."""
    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for future in as_completed([pool.submit(function, task) for task in tasks]):
            yield future.result()


def execute(notebook, path: Path) -> str:
    """Run a notebook from top to bottom and save it; returns what went wrong, and then leaves the file as it was."""
    try:
        run(notebook, path, environment(), figures="retina")
    except FAILURES as error:
        return f"{error}\n{path.name} was not saved; its old outputs are kept."
    for output in itertools.chain.from_iterable(cell.outputs for cell in code_cells(notebook)):
        if png := output.get("data", {}).get("image/png"):
            output.data["image/png"] = base64.b64encode(with_palette(base64.b64decode(png))).decode()
    save(notebook, path)
    return ""


def with_palette(png: bytes) -> bytes:
    """The same picture in 256 colours: a third of the bytes, and no difference that is seen in a plot."""
    drawn, small = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    drawn.quantize(256, dither=Image.Dither.NONE).save(small, format="png", optimize=True)
    return small.getvalue()


def save(notebook, path: Path) -> None:
    """Write the notebook, cleaned and stamped, and the headline picture if it is in this one."""
    clean(notebook)
    notebook.metadata["stamp"] = stamp(notebook)
    nbformat.write(notebook, path)
    for cell in code_cells(notebook):
        if "headline" in cell.metadata.get("tags", []):
            HEADLINE.parent.mkdir(exist_ok=True)
            HEADLINE.write_bytes(picture(cell))


def picture(cell) -> bytes:
    """The PNG that a cell shows."""
    [png] = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return base64.b64decode(png)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: every chapter)")
    parser.add_argument("--all", action="store_true", help="execute fresh ones too")
    options = parser.parse_args()

    def update(path: Path) -> tuple[str, bool]:
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        if is_fresh(notebook) and not options.all:
            save(notebook, path)  # an editor may have left its marks
            return f"{path.name}: fresh, not executed", True
        problem = execute(notebook, path)
        result = f"failed\n{problem}" if problem else f"executed in {time.perf_counter() - start:.0f} s"
        return f"{path.name}: {result}", not problem

    paths = options.paths or chapters()
    failed = 0
    for number, (report, good) in enumerate(two_at_a_time(update, paths), start=1):
        print(f"[{number}/{len(paths)}] {report}", flush=True)
        failed += not good
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
