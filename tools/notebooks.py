"""Execute the chapters in place and stamp them: the command behind ``make notebooks``.

The pages of the book show stored outputs. A stamp in each notebook's metadata says which code cells, which
``vaelib`` and which outputs belong together; ``tests/test_book.py`` recomputes it, so that no stale figure is published.

    python -m tools.notebooks                             execute the chapters whose stamp is stale
    python -m tools.notebooks --all                       execute every chapter
    python -m tools.notebooks chapters/02_elbo.ipynb      only this one, if it is stale
"""

import argparse
import base64
import hashlib
import json
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).resolve().parent.parent
HEADLINE = ROOT / "images" / "headline.png"
CELL_TIMEOUT = 300  # seconds
CELL_METADATA = {"tags", "mystnb"}
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def chapters() -> list[Path]:
    return sorted((ROOT / "chapters").glob("*.ipynb"))


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _sha256(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(notebook) -> dict[str, str]:
    """Hashes of what a stored output depends on, and of the outputs themselves.

    With the outputs among them, a cell that was run again by hand, out of order say, makes the stamp stale too.
    """
    cells = code_cells(notebook)
    sources = sorted([*(ROOT / "vaelib").glob("*.py"), *(ROOT / "vaelib").glob("*.mplstyle")])
    return {
        "code": _sha256([cell.source for cell in cells]),
        "outputs": _sha256([[cell.execution_count, cell.outputs] for cell in cells]),
        "vaelib": _sha256([[path.name, path.read_text(encoding="utf-8")] for path in sources]),
    }


def is_fresh(notebook) -> bool:
    return notebook.metadata.get("stamp") == stamp(notebook)


def clean(notebook) -> None:
    """Drop what differs between two runs or two machines: times, versions, an editor's marks."""
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in cell.metadata if key in CELL_METADATA})


def execute(notebook, path: Path) -> bool:
    """Run a notebook from top to bottom and save it; the file of one that fails is left as it was."""
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        coalesce_streams=True,  # or one print may be stored, and shown, in two pieces
        resources={"metadata": {"path": str(path.parent)}},
        # The kernel listens on this machine only; its warning about that would stand in every run.
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        print(f"failed\n{error}\n{path.name} was not saved; its old outputs are kept.", flush=True)
        return False
    save(notebook, path)
    return True


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

    # As in conftest.py: what is stored here is what the tests compare with.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["TQDM_DISABLE"] = "1"
    paths = options.paths or chapters()
    failed = 0
    for number, path in enumerate(paths, start=1):
        print(f"[{number}/{len(paths)}] {path.name} ... ", end="", flush=True)
        notebook = nbformat.read(path, as_version=4)
        start = time.perf_counter()
        if is_fresh(notebook) and not options.all:
            save(notebook, path)  # an editor may have left its marks
            print("fresh, not executed", flush=True)
        elif execute(notebook, path):
            print(f"executed in {time.perf_counter() - start:.0f} s", flush=True)
        else:
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
