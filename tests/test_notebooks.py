"""``make notebooks``: what it saves, what it leaves alone."""

import ast
import io

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image, ImageChops

from tools import notebooks

DRAW = """import io
from IPython.display import Image as Shown, display
from PIL import Image
png = io.BytesIO()
Image.radial_gradient("L").convert("RGBA").save(png, format="png")
display(Shown(png.getvalue()))"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Write a notebook, run the command on it, and give its exit status and what is then in the file."""
    monkeypatch.setattr(notebooks, "HEADLINE", tmp_path / "images" / "headline.png")
    path = tmp_path / "chapter.ipynb"

    def run(notebook, *options):
        nbformat.write(notebook, path)
        monkeypatch.setattr("sys.argv", ["notebooks", *options, str(path)])
        status = notebooks.main()
        return status, nbformat.read(path, as_version=4)

    return run


def test_what_the_site_folds_is_folded_in_jupyterlab():
    cells = [new_code_cell("1"), new_code_cell("plot()", metadata={"tags": ["hide-input"]})]
    cells += [
        new_markdown_cell(":::{solution-start} ex-1\n:::"),
        new_code_cell("2"),
        new_markdown_cell("Yes.\n\n:::{solution-end}\n:::"),
    ]
    notebook = new_notebook(cells=[*cells, new_code_cell("3", metadata={"jupyter": {"source_hidden": True}})])
    notebooks.clean(notebook)
    folded = [cell.metadata.get("jupyter") for cell in notebook.cells if cell.cell_type == "code"]
    assert folded == [None, {"source_hidden": True}, {"source_hidden": True, "outputs_hidden": True}, None]


def test_executes_cleans_and_stamps(run, tmp_path):
    cell = new_code_cell(DRAW, metadata={"tags": ["headline"], "scrolled": True, "mystnb": {"image": {"alt": "dot"}}})
    notebook = new_notebook(cells=[cell, new_code_cell("1 + 1")], metadata={"language_info": {"name": "python", "version": "3"}})
    status, saved = run(notebook)
    assert status == 0
    assert notebooks.is_fresh(saved)
    assert [cell.execution_count for cell in saved.cells] == [1, 2]
    assert saved.cells[1].outputs[0].data["text/plain"] == "2"
    assert saved.cells[0].metadata == {"tags": ["headline"], "mystnb": {"image": {"alt": "dot"}}}
    assert "version" not in saved.metadata.language_info
    assert (tmp_path / "images" / "headline.png").read_bytes() == (png := notebooks.picture(saved.cells[0]))
    assert (shown := Image.open(io.BytesIO(png))).mode == "P"
    assert ImageChops.difference(shown.convert("L"), Image.radial_gradient("L")).getextrema()[1] <= 2


def test_checks_raise_on_the_books_own_seeds(run, monkeypatch):
    monkeypatch.delenv("VAELIB_STRICT")
    monkeypatch.setenv("VAELIB_STREAM", "3")
    expected = {"VAELIB_STRICT": "1", "VAELIB_STREAM": "0", "TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    source = f"import os\n{{name: os.environ[name] for name in {list(expected)}}}"
    status, saved = run(new_notebook(cells=[new_code_cell(source)]))
    assert status == 0
    printed = saved.cells[0].outputs[0].data["text/plain"]
    assert ast.literal_eval(printed) == expected


def test_several_are_executed_and_counted(tmp_path, monkeypatch, capsys):
    paths = [tmp_path / f"{name}.ipynb" for name in "abc"]
    for number, path in enumerate(paths):
        nbformat.write(new_notebook(cells=[new_code_cell(f"1 / {number}")]), path)
    monkeypatch.setattr("sys.argv", ["notebooks", *map(str, paths)])
    assert notebooks.main() == 1
    out = capsys.readouterr().out
    assert "[3/3]" in out
    assert out.count("executed in") == 2
    assert "a.ipynb: failed" in out
    assert [notebooks.is_fresh(nbformat.read(path, as_version=4)) for path in paths] == [False, True, True]


def test_a_failed_run_keeps_the_old_file(run, capsys):
    notebook = new_notebook(cells=[new_code_cell("1 + 1", execution_count=7), new_code_cell("1 / 0")])
    status, saved = run(notebook)
    assert status == 1
    assert saved == notebook
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_a_fresh_notebook_is_not_executed_unless_forced(run):
    notebook = new_notebook(cells=[new_code_cell("1 + 1", execution_count=7)])
    notebook.metadata["stamp"] = notebooks.stamp(notebook)
    assert run(notebook)[1].cells[0].execution_count == 7
    assert run(notebook, "--all")[1].cells[0].execution_count == 1


def test_a_stamp_covers_what_the_code_imports_and_what_that_imports():
    def names(*sources):
        return {path.stem for path in notebooks.modules(list(sources))}

    assert names("import math") == {"__init__"}
    assert names("from vaelib.kl import kl_to_standard_normal") == {"__init__", "kl", "_checks", "_numerics"}
    assert names("from vaelib import kl", "import vaelib.spiral") >= {"kl", "spiral", "quadrature"}
    assert "train" not in names("from vaelib import kl, spiral")


MODULE = '''"""A module."""

import os


class A:
    """Its

    first."""

    text = """kept"""

    def f(self):
        "One."
        return os
'''


def test_a_stamp_does_not_cover_docstrings(tmp_path):
    path = tmp_path / "m.py"

    def runs(text):
        path.write_text(text, encoding="utf-8")
        return notebooks.what_runs(path)

    kept = [line for line in MODULE.split("\n") if not any(word in line for word in ("module", "Its", "first", "One"))]
    assert runs(MODULE) == "\n".join(kept[:5] + kept[6:])  # the empty line of a docstring goes with it
    assert runs(MODULE.replace("Its", "Of\n    its")) == runs(MODULE)
    assert runs(MODULE.replace("kept", "left")) != runs(MODULE)
    assert "def f" in runs('def f(): "One."\n')


@pytest.mark.parametrize("source", ['open("data/long.csv")', 'table("long")'])
def test_a_stamp_covers_the_tables_that_a_chapter_reads(tmp_path, monkeypatch, source):
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    (tmp_path / "chapters" / "data").mkdir(parents=True)
    (tmp_path / "vaelib").mkdir()
    table = tmp_path / "chapters" / "data" / "long.csv"
    notebook = new_notebook(cells=[new_code_cell(source)])
    table.write_text("1", encoding="utf-8")
    before = notebooks.stamp(notebook)
    table.write_text("2", encoding="utf-8")
    assert notebooks.stamp(notebook)["tables"] != before["tables"]
    assert "tables" not in notebooks.stamp(new_notebook(cells=[new_code_cell("1")]))
