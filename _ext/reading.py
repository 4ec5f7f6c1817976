"""Small mends of the pages: a formula keeps its comma, anchors are where they lead, names are those that one sees."""

import html
import re
from pathlib import Path

from docutils import nodes
from sphinx.util.fileutil import copy_asset_file

BLOCK = re.compile(r'((?:<div class="(output )?[^>]*>)?<div class="highlight"><pre>)(.*?)(?=</pre>)', re.DOTALL)
GAP = re.compile(r"(?<=\S) {2,}(?=\S)")  # between two columns
SHORT = 20  # letters of code that stay on one line
CLOSING = re.compile(r"[,.;:?!)\]”’%]+(?:-\w+)?|-\w+|s\b")  # right after a formula: its comma, "-axis", a plural's s


def keep_together(app, doctree, docname) -> None:
    """A comma after a formula never begins a line, and short code stays on one."""
    if app.builder.format != "html":
        return
    for code in doctree.findall(nodes.literal):
        if len(code.astext()) <= SHORT:
            code["classes"].append("together")
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(siblings=True, descend=False, ascend=False)
        match = CLOSING.match(after.astext()) if isinstance(after, nodes.Text) else None
        if match:
            parent, at = formula.parent, formula.parent.index(formula)
            together = nodes.inline("", "", formula, nodes.Text(match[0]), classes=["together"])
            parent[at : at + 2] = [together, nodes.Text(after.astext()[match.end() :])]


def keep_anchors(app, doctree, docname) -> None:
    """An anchor before a fold, which is raw HTML and is written without its id, stands in front of it."""
    for fold in list(doctree.findall(nodes.raw)):
        for name in fold["ids"]:
            fold.parent.insert(fold.parent.index(fold), nodes.raw("", f'<span id="{name}"></span>', format="html"))


def skip_field_numbers(app, what, name, member, skip, options) -> bool | None:
    """A named tuple's fields are explained where it is; each by itself only says its number."""
    return str(getattr(member, "__doc__", "")).startswith("Alias for field number") or None


def mend_names(app, pagename, templatename, context, doctree) -> None:
    """Drop a role that the standard has dropped, and a name that says less than the text it hides."""
    body = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')
    context["body"] = body.replace(' aria-label="Toggle hidden content"', "")


def mark_lines(app, pagename, templatename, context, doctree) -> None:
    """Where a line has to wrap, it goes on below its own beginning: of code after its indentation, of what is printed after a
    first word or two that stand apart. A row of a printed table does not wrap.
    """

    def seen(line: str) -> str:
        return html.unescape(re.sub("<[^>]*>", "", line))

    def marked(line: str, printed: bool, table: bool) -> str:
        text = seen(line)
        if not text.strip():
            return line
        if table and GAP.search(text):
            return f'<span class="line aligned">{line}</span>'
        start = re.match(r"\s*(\S.{0,13}? {2,})?(?=\S)" if printed else r"\s*", text)
        return f'<span class="line" style="--at: {len(start[0])}">{line}</span>'

    def block(match: re.Match) -> str:
        lines, printed = match[3].split("\n"), bool(match[2])
        table = printed and any(len(GAP.findall(seen(line))) > 1 for line in lines)
        return match[1] + "\n".join(marked(line, printed, table) for line in lines)

    context["body"] = BLOCK.sub(block, context.get("body", ""))


def add_script(app, pagename, templatename, context, doctree) -> None:
    app.add_js_file("reading.js", loading_method="defer")


def copy_to_static(app, file: Path) -> None:
    """Put a file where the pages of the site find what they load."""
    if app.builder.format == "html":
        target = Path(app.outdir, "_static")
        target.mkdir(parents=True, exist_ok=True)
        copy_asset_file(str(file), target)


def copy_script(app) -> None:
    copy_to_static(app, Path(__file__).with_suffix(".js"))


def setup(app):
    app.connect("builder-inited", copy_script)
    app.connect("autodoc-skip-member", skip_field_numbers)
    app.connect("doctree-resolved", keep_together)
    app.connect("doctree-resolved", keep_anchors)
    app.connect("html-page-context", mend_names)
    app.connect("html-page-context", mark_lines)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
