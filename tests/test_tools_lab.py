"""``make lab``: a notebook is read as JupyterLab would leave it, so that opening it changes nothing."""

import asyncio
import sys

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tools.lab import Contents
from tools.notebooks import NOTEBOOK_METADATA


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
