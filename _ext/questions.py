"""The questions page: its anchors are its addresses. A page with ``<div class="finder">`` gets the finder and what it searches.

The finder (`explorables/finder.js`) folds and filters the answers on the questions page itself. On another page it needs the
list: each question with its anchor and the first sentence of its answer, which travels as a script, since a page opened as a
file may fetch nothing.
"""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

import formula_text
from docutils import nodes
from sphinx import addnodes

PAGE = "back/questions"
SENTENCE = re.compile(r".+?[.?!](?=\s|$)", re.DOTALL)


class Question(NamedTuple):
    """A question as it is asked, its anchor, and the first sentence of its answer."""

    text: str
    anchor: str
    answer: str


def plain(node: nodes.Node) -> str:
    """The text of a node, formulas in Unicode, numbers of equations and citations left out."""
    if isinstance(node, addnodes.pending_xref) and node.get("refdomain") in ("math", "cite"):
        return ""
    if isinstance(node, nodes.math):
        return formula_text.to_unicode(node.astext())
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(map(plain, node.children))


def questions(doctree: nodes.document) -> Iterator[Question]:
    for section in doctree.findall(nodes.section):
        anchors = [name for name in section["ids"] if name.startswith("q-")]
        if anchors:
            title, first = section.next_node(nodes.title), section.next_node(nodes.paragraph)
            text = re.sub(r",?\s+(?=[.,;:?])", "", " ".join(plain(first).split()))
            yield Question(plain(title), anchors[0], SENTENCE.match(text)[0])


def anchors_first(app, doctree) -> None:
    """The sign beside a question's heading links to the anchor that was chosen for it, not to one made of its words."""
    for section in doctree.findall(nodes.section):
        section["ids"].sort(key=lambda name: not name.startswith("q-"))


def add_finder(app, pagename, templatename, context, doctree) -> None:
    if doctree is None or not any('class="finder"' in node.astext() for node in doctree.findall(nodes.raw)):
        return
    if pagename != PAGE:
        found = [question._asdict() for question in questions(app.env.get_doctree(PAGE))]
        page = {"page": context["pathto"](PAGE), "questions": found}
        app.add_js_file(None, body=f"var QUESTIONS = {json.dumps(page)};".replace("</", r"<\/"))
    app.add_css_file("explorables/finder.css")
    app.add_js_file("explorables/finder.js", loading_method="defer")


def setup(app):
    app.connect("doctree-read", anchors_first, priority=100)  # before the contents are made of the anchors
    app.connect("html-page-context", add_finder)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
