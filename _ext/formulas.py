"""Draw the formulas while the book is built, with the MathJax that a browser would load: a page comes up with all of them.

The wheel ``sphinx-mathjax-offline`` carries MathJax, whose own DOM serves where there is no browser, and V8 runs it. A formula
becomes an SVG, with its MathML beside it for those who listen; a page gets each glyph that it uses once. So no page runs or loads
anything for its formulas.
"""

import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

PARTS = ["loader", "core", "adaptors/liteDOM", "input/tex-full", "output/svg", "output/svg/fonts/tex", "a11y/assistive-mml"]
START = """
const { mathjax, adaptors, handlers, input, output, a11y } = MathJax._;
const adaptor = adaptors.liteAdaptor.liteAdaptor();
a11y["assistive-mml"].AssistiveMmlHandler(handlers.html_ts.RegisterHTMLHandler(adaptor));
const tex = new input.tex_ts.TeX({ packages: input.tex.AllPackages.AllPackages });
const svg = new output.svg_ts.SVG({ fontCache: "global", font: new output.svg.fonts.tex_ts.TeXFont() });
const page = mathjax.mathjax.document("", { InputJax: tex, OutputJax: svg });
const draw = (formula, display) => adaptor.outerHTML(page.convert(formula, { display }));
const style = () => adaptor.textContent(svg.styleSheet(page));
const glyphs = () => adaptor.innerHTML(svg.fontCache.getCache());
"""
WRONG = re.compile(r'data-mml-node="merror"|fill="red"')  # an error, or a command that MathJax does not know
logger = logging.getLogger(__name__)


@cache
def mathjax() -> MiniRacer:
    folder = files("sphinx-mathjax-offline") / "static" / "mathjax"
    engine = MiniRacer()
    engine.eval("var MathJax = { loader: { load: [] } }; 0")
    for part in PARTS:
        engine.eval(folder.joinpath(f"{part}.js").read_text(encoding="utf-8") + "\n0")
    engine.eval(START + "0")
    return engine


@cache
def drawn(formula: str, display: bool) -> str:
    """A formula in TeX as HTML, its glyphs left to `glyphs`."""
    return mathjax().call("draw", formula, display)


def glyphs(html: str) -> str:
    """The glyphs that the formulas in it use, each once."""
    used = set(re.findall(r'xlink:href="#(MJX-[^"]+)"', html))
    known = dict(re.findall(r'<path id="([^"]+)" d="([^"]*)"', mathjax().call("glyphs")))
    paths = "".join(f'<path id="{name}" d="{known[name]}"/>' for name in sorted(used))
    return f'<svg aria-hidden="true" style="display: none"><defs>{paths}</defs></svg>' if used else ""


def put(translator, node, formula: str, display: bool) -> None:
    html = drawn(formula, display)
    if WRONG.search(html):
        logger.warning("MathJax cannot draw %s", formula, location=node)
    translator.body.append(html)


def visit_inline(translator, node) -> None:
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    put(translator, node, node.astext(), display=False)
    translator.body.append("</span>")
    raise nodes.SkipNode


def visit_display(translator, node) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"]:
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    formula = node.astext()
    if not node["nowrap"] and r"\\" in formula:
        formula = rf"\begin{{split}}{formula}\end{{split}}"
    put(translator, node, formula, display=True)
    translator.body.append("</div>\n")
    raise nodes.SkipNode


def add_glyphs(app, pagename, templatename, context, doctree) -> None:
    """Before the page's text, which holds every formula that its list of contents repeats."""
    context["body"] = glyphs(context.get("body", "")) + context.get("body", "")


def write_style(app) -> None:
    if app.builder.format == "html":
        folder = Path(app.outdir, "_static")
        folder.mkdir(parents=True, exist_ok=True)
        Path(folder, "formulas.css").write_text(mathjax().call("style"), encoding="utf-8")


def setup(app):
    app.add_html_math_renderer("drawn", (visit_inline, None), (visit_display, None))
    app.add_css_file("formulas.css")
    app.connect("builder-inited", write_style)
    app.connect("html-page-context", add_glyphs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
