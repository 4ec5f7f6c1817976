"""``make lab``: a notebook is read as JupyterLab would leave it, and a chapter with its numbers; what is saved is the chapter."""

import asyncio
import shutil
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tools.lab import Contents
from tools.notebooks import NOTEBOOK_METADATA, chapters


def test_a_notebook_is_read_with_the_kernels_version_and_stays_as_it_is(tmp_path):
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")], metadata=NOTEBOOK_METADATA), path)
    before = path.read_bytes()
    contents = Contents(root_dir=str(tmp_path))
    metadata = asyncio.run(contents.get("a.ipynb"))["content"]["metadata"]
    assert metadata["language_info"]["version"] == sys.version.split()[0]
    assert metadata["kernelspec"] == NOTEBOOK_METADATA["kernelspec"]
    assert asyncio.run(contents.get("a.ipynb", content=False))["content"] is None
    assert asyncio.run(contents.get(""))["type"] == "directory"
    assert path.read_bytes() == before


def test_a_chapter_is_read_with_its_references_written_out_and_saved_as_it_was(tmp_path):
    path = tmp_path / chapters()[0].name
    shutil.copy(chapters()[0], path)
    before = nbformat.read(path, as_version=4)
    contents = Contents(root_dir=str(tmp_path))
    content = asyncio.run(contents.get(path.name))["content"]
    assert any("](#cite:" in cell.source for cell in content.cells if cell.cell_type == "markdown")
    asyncio.run(contents.save({"type": "notebook", "format": "json", "content": content}, path.name))
    after = nbformat.read(path, as_version=4)
    assert after.cells == before.cells
