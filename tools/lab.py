"""JupyterLab on the chapters: the command behind ``make lab``.

JupyterLab writes the kernel's version into every notebook that it opens, and so marks it as modified before anything was
changed. Here a notebook is read with that version in it. What is saved, `make notebooks` cleans of it again. Nor does JupyterLab
know the numbers of figures, other chapters' equations, captions or the bibliography: a chapter is read with them written out,
and saved without (`tools.plain`).
"""

import sys
from typing import Any

import nbformat
from ipykernel.ipkernel import IPythonKernel
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager
from jupyterlab.labapp import LabApp

from tools.notebooks import ROOT, chapters
from tools.plain import saved_from_lab, shown_in_lab


class Contents(AsyncLargeFileManager):
    """Files as they are, but notebooks with what this kernel says of its language."""

    async def get(self, *args: Any, **options: Any) -> dict[str, Any]:
        """As in the parent."""
        model = await super().get(*args, **options)
        if model["type"] == "notebook" and model["content"] is not None:
            model["content"]["metadata"]["language_info"] = IPythonKernel.language_info
            if model["name"] in {chapter.name for chapter in chapters()}:
                shown_in_lab(model["content"], model["name"])
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """As in the parent."""
        if model.get("type") == "notebook" and model.get("content"):
            model = model | {"content": saved_from_lab(nbformat.from_dict(model["content"]))}
        return await super().save(model, path)


if __name__ == "__main__":
    here = ["--ServerApp.contents_manager_class=tools.lab.Contents", f"--ServerApp.root_dir={ROOT / 'chapters'}"]
    sys.exit(LabApp.launch_instance([*here, *sys.argv[1:]]))
