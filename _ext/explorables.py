"""Give a page its explorables: only where it holds ``<div class="explorable" data-explorable="NAME">``, it loads their scripts.

The scripts are classic and deferred, because a page opened as a file may load neither modules nor data. Without them the div is
empty, and the static figure that it names stays.
"""

import json
import re
from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.fileutil import copy_asset

NAME = re.compile(r'data-explorable="([^"]*)"')
SHARED = ("engine.js", "formulas.js", "shell.js", "controls.js", "plane.js")
MOST = 150_000  # bytes that a notebook may send with its page
logger = logging.getLogger(__name__)


def copy_scripts(app) -> None:
    copy_asset(Path(app.srcdir, "explorables"), Path(app.outdir, "_static", "explorables"), excluded=is_python)


def is_python(path: str) -> bool:
    """Whether it is the script that writes an explorable's data, which no page needs."""
    return "__pycache__" in path or path.endswith(".py")


def stored(notebook: Path, name: str) -> dict | None:
    """What an execution of the notebook stored under this name: an output of type application/json."""
    if notebook.suffix != ".ipynb":
        return None
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = (output.get("data", {}).get("application/json", {}) for cell in cells for output in cell.get("outputs", ()))
    return next((data for data in outputs if data.get("name") == name), None)


def data_script(data: dict) -> str:
    """A classic script that assigns it: a page opened as a file may fetch nothing."""
    return f"(globalThis.VaeData ??= {{}}).{data['name']} = {json.dumps(data, separators=(',', ':'))};\n"


def add_data(app, pagename: str, name: str) -> list[str]:
    """Write what the page's own notebook stored for this explorable; the scripts to link for it."""
    data = stored(Path(app.env.doc2path(pagename)), name)
    if data is None:
        return []
    text = data_script(data)
    if len(text) > MOST:
        logger.warning("%d bytes travel with %s; expected at most %d", len(text), name, MOST, location=pagename)
    script = f"data/{name}.js"
    target = Path(app.outdir, "_static", "explorables", script)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return ["networks.js", script]


def add_scripts(app, pagename, templatename, context, doctree) -> None:
    """Link what the page's explorables need, the shared scripts first."""
    if doctree is None:
        return
    html = (node.astext() for node in doctree.findall(nodes.raw) if "html" in node.get("format", ""))
    names = list(dict.fromkeys(name for text in html for name in NAME.findall(text)))
    if not names:
        return
    folder, scripts = Path(app.srcdir, "explorables"), list(SHARED)
    for name in names:
        own = f"{name.replace('-', '_')}.js"
        if re.fullmatch(r"[a-z-]+", name) and (folder / own).exists():
            parts = sorted(path.name for path in folder.glob(own.replace(".js", "_*.js")))  # what it is made of
            scripts += [*add_data(app, pagename, Path(own).stem), *parts]
            scripts.append(own)
        else:
            logger.warning("no explorable named %r: expected explorables/%s", name, own, location=pagename)
    app.add_css_file("explorables/explorables.css")
    for script in scripts:
        app.add_js_file(f"explorables/{script}", loading_method="defer")


def expect_data(app, config) -> None:
    """MyST-NB has no picture of JSON and says so; here that is what travels with the page."""
    config.suppress_warnings.append("mystnb.unknown_mime_type")


def setup(app):
    app.connect("config-inited", expect_data)
    app.connect("builder-inited", copy_scripts)
    app.connect("html-page-context", add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
