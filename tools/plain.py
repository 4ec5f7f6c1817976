"""The chapters in plain Markdown, for what knows none of the book's references: JupyterLab, Colab, a page of GitHub.

`named` writes a reference out, as a link that still holds it, and `restored` takes that back: so JupyterLab shows a chapter with
its numbers, and saves it with its references. `plain` leaves nothing but Markdown, for a notebook that is downloaded.
"""

import functools
import re
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple
from urllib.parse import quote, unquote

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from pybtex.database import parse_file

from tools.checks import directives, equation_labels
from tools.notebooks import ROOT, chapters

ROLE = re.compile(r"\{(eq|numref|ref|cite:t|cite:p)\}`([^`]+)`")
NAMED = re.compile(r"\[[^\]]*\]\(#(eq|numref|ref|cite:t|cite:p)=([^)]*)\)")
TARGET = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)
HEADING = re.compile(r"^\(([\w-]+)\)=\n(?:\([\w-]+\)=\n)*#+ (.+)$", re.MULTILINE)
EXPLICIT = re.compile(r"(.+) <([\w-]+)>")
CAPTION = "caption"  # of an output: it is not one, and is not saved
NUMBERED = "---\nnumbering:\n  equation:\n    enumerator: {}.%s\n---\n\n"  # so JupyterLab counts a chapter's equations


class Place(NamedTuple):
    """What a reference says, and the chapter that it leads to."""

    words: str
    chapter: str


@functools.cache
def places() -> dict[str, Place]:
    """All that the chapters can refer to, numbered as on the site: by chapter, in order."""
    found: dict[str, Place] = {}
    for path in chapters():
        notebook, chapter = nbformat.read(path, as_version=4), int(path.name[:2])
        texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        labels = [label for text in texts for label in equation_labels(text)]
        figures = [cell for cell in notebook.cells if "name" in figure(cell)]
        exercises = [d.options["label"] for text in texts for d in directives(text) if d.name == "{exercise}"]
        found |= {label: Place(f"({chapter}.{n})", path.name) for n, label in enumerate(labels, 1)}
        found |= {figure(cell)["name"]: Place(f"Fig. {chapter}.{n}", path.name) for n, cell in enumerate(figures, 1)}
        found |= {label: Place(f"Exercise {chapter}.{n}", path.name) for n, label in enumerate(exercises, 1)}
        found |= {target: Place("", path.name) for text in texts for target in TARGET.findall(text)}
        found |= {target: Place(heading, path.name) for text in texts for target, heading in HEADING.findall(text)}
    return found


@functools.cache
def sources() -> dict[str, tuple[str, str]]:
    """Authors and year of each entry of the bibliography."""
    found = {}
    for key, entry in parse_file(str(ROOT / "references.bib")).entries.items():
        names = [" ".join(map(str, [*p.rich_prelast_names, *p.rich_last_names])) for p in entry.persons["author"]]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        found[key] = authors, entry.fields["year"]
    return found


def figure(cell: NotebookNode) -> dict:
    return cell.metadata.get("mystnb", {}).get("figure", {})


def words(role: str, argument: str) -> str:
    """What the site shows for a reference."""
    if role.startswith("cite"):
        cited = [sources()[key.strip()] for key in argument.split(",")]
        if role == "cite:p":
            return "[" + "; ".join(f"{authors}, {year}" for authors, year in cited) + "]"
        return ", ".join(f"{authors} [{year}]" for authors, year in cited)
    said, target = parts(argument)
    return said or places()[target].words


def parts(argument: str) -> tuple[str, str]:
    """The words that a reference has of its own, if any, and its target."""
    explicit = EXPLICIT.fullmatch(argument)
    return (explicit[1], explicit[2]) if explicit else ("", argument)


def named(text: str, chapter: str) -> str:
    """The text with each reference as a link that says what the site says, but for those that JupyterLab follows by itself."""

    def link(match: re.Match) -> str:
        role, argument = match.groups()
        if role in ("eq", "ref") and places()[parts(argument)[1]].chapter == chapter:
            return match[0]
        shown = words(role, argument).replace("[", "(").replace("]", ")")
        return f"[{shown}](#{role}={quote(argument)})"

    return ROLE.sub(link, text)


def restored(text: str) -> str:
    """What `named` made its links of."""
    return NAMED.sub(lambda match: f"{{{match[1]}}}`{unquote(match[2])}`", text)


def caption(cell: NotebookNode) -> str:
    """The figure's number and caption, if the cell draws one."""
    options = figure(cell)
    return f"**{places()[options['name']].words}.** {options['caption']}" if "name" in options else ""


def shown_in_lab(notebook: NotebookNode, chapter: str) -> NotebookNode:
    """The chapter as JupyterLab shows it: equations numbered by chapter, references named, captions below their figures."""
    notebook.cells[0].source = NUMBERED.format(int(chapter[:2])) + notebook.cells[0].source
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = named(cell.source, chapter)
        elif cell.get("outputs") and caption(cell):
            data = {"text/markdown": named(caption(cell), "")}
            cell.outputs.append(new_output("display_data", data, metadata={CAPTION: True}))
    return notebook


def saved_from_lab(notebook: NotebookNode) -> NotebookNode:
    """The chapter again, from what JupyterLab shows."""
    first = notebook.cells[0]
    first.source = re.sub("^" + re.escape(NUMBERED).replace(r"\{\}", r"\d+"), "", first.source)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = restored(cell.source)
        else:
            cell.outputs = [output for output in cell.outputs if not output.get("metadata", {}).get(CAPTION)]
    return notebook


def plain_text(text: str, chapter: str) -> str:
    """Markdown without directives, roles and labels."""

    def link(match: re.Match) -> str:
        role, argument = match.groups()
        said, target = words(role, argument), parts(argument)[1]
        if role.startswith("cite"):
            return said
        there = places()[target].chapter
        address = ("" if there == chapter else there) + (f"#{target}" if role == "ref" else "")
        return f"[{said}]({address})" if address else said

    for pattern, written in PLAIN:
        text = re.sub(pattern, written, text, flags=re.MULTILINE)
    return ROLE.sub(link, text).strip()


def _exercise(match: re.Match) -> str:
    return f'<a id="{match[1]}"></a>**{places()[match[1]].words}.** {match[2].strip()}'


def _quoted(match: re.Match) -> str:
    return "\n".join(f"> {line}".rstrip() for line in [f"**{match[1]}**", "", *match[2].strip().split("\n")])


def _tagged(match: re.Match) -> str:
    return f"\n\\tag{{{places()[match[1]].words[1:-1]}}}\n$$"


PLAIN: tuple[tuple[str, str | Callable[[re.Match], str]], ...] = (
    (r"^:::\{solution-start\}.*\n(?::\w+:.*\n)*:::$", "**Solution.**"),
    (r"^:::\{solution-end\}\n:::$", ""),
    (r"^:::\{exercise\}\n:label: ([\w-]+)\n+((?:.*\n)*?):::$", _exercise),
    (r"^:::\{admonition\} (.*)\n(?::\w+:.*\n)*\n*((?:.*\n)*?):::$", _quoted),
    (r"\n\$\$ \(([\w-]+)\)$", _tagged),
    (r"^\(([\w-]+)\)=$", r'<a id="\1"></a>'),
    (r'^<div class="explorable".*</div>$', "*Here the page of the book has a figure to touch.*"),
    (r'^<div style="break-before.*</div>$', ""),
)


def plain(notebook: NotebookNode, chapter: str) -> NotebookNode:
    """The chapter in plain Markdown, with captions in cells of their own."""
    notebook, cells = deepcopy(notebook), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = plain_text(cell.source, chapter)
        cells += [cell] if cell.source else []
        if cell.cell_type == "code" and caption(cell):
            cells.append(new_markdown_cell(plain_text(caption(cell), chapter), id=f"{cell.id}-caption"[:64]))
    notebook.cells = cells
    return notebook
