"""Show a check as part of the page: its line leads to the equation, and the equation to its check.

A cell prints ``[ok] kl-pair: sides agree to 1e-10``. On the page that becomes a quiet line with the number of the equation,
both ends linked; a claim gets the number of times that it held when all the book's seeds were shifted (`make replicate`).
"""

import csv
import re
from collections import Counter
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.math import get_node_equation_number

LINE = re.compile(r"\[(ok|no)\] (\S+): (.*)")
NUMBER = re.compile(r"\d[\d.]*e-\d+|\S+ %|\(\d+ [a-z]+\)|\+- \S+")  # not to be broken
MARKS = {"ok": ("✓", "checked"), "no": ("✗", "does not hold")}


def replications(app) -> dict[str, str]:
    """For each claim, in how many of the runs it held."""
    table = Path(app.srcdir, "back", "replication.csv")
    if not table.exists():
        return {}
    with table.open(encoding="utf-8", newline="") as file:
        return {row["label"]: f"{row['held']} of {row['runs']}" for row in csv.DictReader(file) if row["kind"] == "claim"}


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def check_line(match: re.Match, numbers: dict[str, str], held: dict[str, str], times: int, first: bool, to_root: str) -> str:
    """One printed check as HTML, with how often it was printed; the first of a label is what its equation links to."""
    verdict, label, text = match.groups()
    mark, word = MARKS[verdict]
    name = f"<code>{escape(label)}</code>"
    if label in numbers:
        name = f'<a href="#equation-{label}" title="to the equation">({numbers[label]}) {name}</a>'
    text = NUMBER.sub(r'<span class="together">\g<0></span>', escape(text + (f" ({times} checks)" if times > 1 else "")))
    line = f'<span class="tick" role="img" aria-label="{word}">{mark}</span> {name} {text}'
    if label in held:
        line += f' <a class="held" href="{to_root}back/replication.html">held {held[label]}</a>'
    place = f' id="check-{escape(label)}"' if first else ""
    return f'<p class="check {verdict}"{place}>{line}</p>'


def show_checks(app, doctree, docname: str) -> None:
    """Replace the printed lines, and mark the equations that have one."""
    if app.builder.format != "html":
        return
    held, to_root = replications(app), "../" * docname.count("/")
    equations = {node["label"]: node for node in doctree.findall(nodes.math_block) if node.get("label")}
    app.builder.fignumbers = app.env.toc_fignumbers.get(docname, {})
    writer = type("Writer", (), {"builder": app.builder})()
    numbers = {label: get_node_equation_number(writer, node) for label, node in equations.items() if node.get("ids")}
    seen: set[str] = set()
    for block in list(doctree.findall(nodes.literal_block)):
        if "stream" not in block.get("classes", []):
            continue
        shown, other, lines = [], [], block.astext().rstrip("\n").split("\n")
        times = Counter(lines)  # a check in a loop may print the same line again and again
        for line in [*lines, None]:
            match = LINE.fullmatch(line) if line is not None else None
            if other and (match or line is None):
                kept = block.copy()  # its classes, and so its looks
                kept.rawsource = "\n".join(other)
                kept += nodes.Text("\n".join(other))
                shown.append(kept)
                other = []
            if match:
                if repeats := times.pop(line, 0):
                    shown.append(raw(check_line(match, numbers, held, repeats, match[2] not in seen, to_root)))
                seen.add(match[2])
            elif line is not None:
                other.append(line)
        at = block.parent.index(block)
        block.parent[at : at + 1] = shown  # replace_self would hand the block's classes on
    for label in sorted(seen & set(equations)):
        link = f'<p class="equation-check"><a href="#check-{label}" title="to the check">{label} ✓</a></p>'
        node = equations[label]
        node.parent.insert(node.parent.index(node) + 1, raw(link))


def setup(app):
    app.connect("doctree-resolved", show_checks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
