"""A search over sections that also works on pages opened as files.

Sphinx's own search knows pages only, and its snippets need a server. Here every section, and every name of the API, is one
entry of ``_static/sections.js``, a classic script that `section_search.js` loads when somebody searches; the ranking is there.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import formula_text
from docutils import nodes
from reading import copy_to_static
from sphinx import addnodes

# How much a page's sections count. What explains comes first, what lists comes last.
WEIGHTS = {
    "intro": 0.6,
    "back/questions": 1.15,
    "back/corrections": 0.8,
    "back/replication": 0.35,
    "back/notation": 0.5,
    "back/api": 0.45,
    "back/bibliography": 0.3,
}
SKIPPED = (nodes.title, nodes.image, nodes.comment, nodes.raw, addnodes.toctree)


def is_entry(node: nodes.Node) -> bool:
    """Whether it is a section with a heading (an exercise's body has none) or a name of the API."""
    if isinstance(node, addnodes.desc):
        return bool(node.next_node(addnodes.desc_signature)["ids"])
    return isinstance(node, nodes.section) and bool(node.children) and isinstance(node[0], nodes.title)


def plain(node: nodes.Node) -> str:
    """What a reader sees of a node: formulas in Unicode, and neither code cells nor what they print."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, (nodes.math, nodes.math_block)):
        return f" {formula_text.to_unicode(node.astext())} "
    if (
        isinstance(node, SKIPPED)
        or is_entry(node)
        or "cell_input" in node.get("classes", [])
        or "stream" in node.get("classes", [])
    ):
        return ""
    inline = isinstance(node, (nodes.Inline, nodes.TextElement)) and all(
        isinstance(child, (nodes.Text, nodes.Inline)) for child in node
    )
    return ("" if inline else " ").join(map(plain, node.children))


def anchor(node: nodes.Element, chosen: set[str]) -> str:
    """The id that somebody chose for a section, or else the one made of its words."""
    return next((name for name in node["ids"] if name in chosen), node["ids"][0])


def entries(docname: str, doctree: nodes.document, chosen: set[str]) -> Iterator[dict]:
    """One entry for each section of a page, in the page's order: its anchor, heading, and its text without its subsections'."""
    top = True
    for node in doctree.findall(is_entry):
        if isinstance(node, nodes.section):
            name, heading, body = anchor(node, chosen), plain_title(node), node
        else:
            signature = node.next_node(addnodes.desc_signature)
            name, heading, body = signature["ids"][0], signature["fullname"], node.next_node(addnodes.desc_content)
        text = re.sub(r" ([,.;:?!)])", r"\1", " ".join(" ".join(map(plain, body.children)).split()))
        labels = " ".join(block["label"] for block in own_equations(body) if block.get("label"))
        if top or text:
            yield {"page": docname, "anchor": "" if top else name, "heading": heading, "text": text, "labels": labels}
        top = False


def plain_title(section: nodes.section) -> str:
    return " ".join("".join(map(plain, section.next_node(nodes.title).children)).split())


def own_equations(body: nodes.Element) -> Iterator[nodes.math_block]:
    for child in body.children:
        if isinstance(child, nodes.math_block):
            yield child
        elif isinstance(child, nodes.Element) and not is_entry(child):
            yield from own_equations(child)


def write_sections(app, exception) -> None:
    if exception or app.builder.format != "html":
        return
    labels = app.env.get_domain("std").anonlabels.values()
    found, titles = [], {}
    for docname in sorted(app.env.found_docs, key=lambda name: (WEIGHTS.get(name, 1) < 1, name)):
        doctree = app.env.get_and_resolve_doctree(docname, app.builder)
        rows = list(entries(docname, doctree, {name for page, name in labels if page == docname}))
        number = app.env.toc_secnumbers.get(docname, {}).get("")
        titles[docname] = {
            "title": rows[0]["heading"],
            "number": ".".join(map(str, number or [])),
            "weight": WEIGHTS.get(docname, 1),
            "href": app.builder.get_target_uri(docname),
        }
        found += rows
    script = f"var SECTIONS = {json.dumps({'pages': titles, 'sections': found}, ensure_ascii=False)};\n"
    Path(app.outdir, "_static", "sections.js").write_text(script, encoding="utf-8")


def add_script(app, pagename, templatename, context, doctree) -> None:
    app.add_js_file("section_search.js", loading_method="defer")


def prepare(app) -> None:
    app.builder.search = False  # no index of Sphinx's own
    copy_to_static(app, Path(__file__).with_suffix(".js"))


def setup(app):
    app.connect("builder-inited", prepare)
    app.connect("html-collect-pages", lambda app: [("search", {}, "search.html")])
    app.connect("html-page-context", add_script)
    app.connect("build-finished", write_sections)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
