"""Serve MathJax from the site itself, so that no page asks the network for anything.

The wheel ``sphinx-mathjax-offline`` ships MathJax; as an extension it would copy 24 MB. One file of it is enough:
``tex-svg-full.js`` draws glyphs as SVG paths, so it loads no fonts, and it holds every TeX extension.
"""

from importlib.resources import files
from pathlib import Path

from sphinx.util.fileutil import copy_asset_file

SCRIPT = "tex-svg-full.js"


def use_local_mathjax(app, config):
    config.mathjax_path = f"mathjax/{SCRIPT}"


def copy_mathjax(app):
    copy_to_static(app, files("sphinx-mathjax-offline") / "static" / "mathjax" / SCRIPT, "mathjax")


def copy_to_static(app, file, folder=""):
    """Put a file where the pages of the site find what they load."""
    if app.builder.format == "html":
        target = Path(app.outdir, "_static", folder)
        target.mkdir(parents=True, exist_ok=True)
        copy_asset_file(str(file), target)


def setup(app):
    app.connect("config-inited", use_local_mathjax)
    app.connect("builder-inited", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
