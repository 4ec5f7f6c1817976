"""The book's promises as checks over a parsed notebook: equations verified, outputs current, figures described.

A check returns the problems that it finds. ``tests/test_book.py`` holds them over every chapter, ``tests/test_checks.py``
shows that each of them can fail.
"""

import ast
import base64
import re
from typing import NamedTuple

import nbformat
from markdown_it import MarkdownIt
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin

from tools.notebooks import chapters, code_cells, is_fresh

MYST = MarkdownIt().use(dollarmath_plugin).use(colon_fence_plugin).use(amsmath_plugin)
VERBATIM = {"{math}", "{code}", "{code-block}", "{code-cell}", "{eval-rst}"}
# The options at the head of a directive, as :key: lines or between two --- lines.
OPTIONS = re.compile(r"---\n(?:.*\n)*?---\n|(?::[\w-]+:.*(?:\n|$))+")
MAX_LINES = 20
MAX_FOLDED_LINES = 40  # of a cell whose code is folded on the page
FEWEST_EXERCISES = 3
IGNORED = "nbval-ignore-output"
ESCAPES = {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"}


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def number_of(cell, notebook) -> str:
    return f"cell {next(i for i, other in enumerate(notebook.cells) if other is cell)}"


class Directive(NamedTuple):
    name: str  # with its braces
    argument: str
    options: dict[str, str]
    body: str


def directives(markdown: str) -> list[Directive]:
    """Every directive of a text, also nested ones."""
    found = []
    for token in MYST.parse(markdown):
        if token.type in ("fence", "colon_fence") and token.info.startswith("{"):
            name, _, argument = token.info.strip().partition(" ")
            head = OPTIONS.match(token.content)
            options = dict(re.findall(r"^:?([\w-]+):[ \t]*(.*)$", head[0] if head else "", re.MULTILINE))
            found.append(Directive(name, argument.strip(), options, token.content[head.end() if head else 0 :]))
            if name not in VERBATIM:
                found += directives(found[-1].body)
    return found


def equation_labels(markdown: str) -> list[str]:
    """Labels of the display equations of a text, in every way in which MyST can write one."""
    inner = directives(markdown)
    labels = [d.options["label"] for d in inner if d.name == "{math}" and "label" in d.options]
    for text in [markdown, *(d.body for d in inner if d.name not in VERBATIM)]:
        for token in MYST.parse(text):
            if token.type == "math_block_label":
                labels.append(token.info)
            if token.type in ("math_block", "math_block_label", "amsmath"):
                labels += re.findall(r"\\label\{([^}]*)\}", token.content)
    return labels


def notebook_labels(notebook) -> list[str]:
    return [label for cell in notebook.cells if cell.cell_type == "markdown" for label in equation_labels(cell.source)]


def called_labels(notebook, function: str) -> list[str | None]:
    """First argument of every call of ``verify`` or ``claim``; None where it is not written out."""
    calls = [
        node
        for cell in code_cells(notebook)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", None)) == function
    ]
    first = [call.args[0] if call.args else None for call in calls]
    return [arg.value if isinstance(arg, ast.Constant) and isinstance(arg.value, str) else None for arg in first]


def stdout(notebook) -> str:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def verdicts(notebook) -> dict[str, bool]:
    """For each label that a check printed, whether all its lines say [ok]."""
    found: dict[str, bool] = {}
    for word, label in re.findall(r"^\[(ok|no)\] (\S+):", stdout(notebook), re.MULTILINE):
        found[label] = found.get(label, True) and word == "ok"
    return found


def coverage(notebook) -> tuple[list[str], list[str], list[str]]:
    """Labels of the results, those of them that a cell verifies, and labels of the definitions."""
    labels = notebook_labels(notebook)
    results = [label for label in labels if not label.startswith("def-")]
    called, held = called_labels(notebook, "verify"), verdicts(notebook)
    verified = [label for label in results if label in called and held.get(label)]
    return results, verified, [label for label in labels if label.startswith("def-")]


def coverage_lines() -> list[str]:
    """One line a chapter: how many of its equations are verified."""
    lines = []
    for path in chapters():
        results, verified, definitions = coverage(nbformat.read(path, as_version=4))
        lines.append(f"{path.stem:25}{len(verified):3} of {len(results):2} results verified, {len(definitions):2} definitions")
    return lines


def unverified_equations(notebook):
    results, verified, _ = coverage(notebook)
    found = [f"equation {label} has no verify that printed [ok]" for label in results if label not in verified]
    for label in called_labels(notebook, "verify"):
        if label is None:
            found.append("a verify whose label is not a literal string")
        elif label not in results:
            found.append(f"verify names {label}, which labels no result here")
    return found if results else [*found, "labels no result"]


def unmet_claims(notebook):
    labels, held, found = notebook_labels(notebook), verdicts(notebook), []
    for label in called_labels(notebook, "claim"):
        if label is None:
            found.append("a claim whose label is not a literal string")
        elif label in labels:
            found.append(f"claim {label} has the label of an equation")
        elif not held.get(label):
            found.append(f"claim {label} did not print [ok]")
    return found


def stale_outputs(notebook):
    return [] if is_fresh(notebook) else ["code, outputs or vaelib changed since it was executed: run `make notebooks`"]


def failed_or_unexecuted_cells(notebook):
    found = []
    for expected, cell in enumerate(code_cells(notebook), start=1):
        if cell.execution_count != expected:
            found.append(f"{number_of(cell, notebook)} ran as {cell.execution_count}, not as {expected}: run `make notebooks`")
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"{number_of(cell, notebook)} stores an error")
        if any(output.get("name") == "stderr" for output in cell.outputs):
            found.append(f"{number_of(cell, notebook)} wrote to stderr")
    return found


def pictures(cell) -> list:
    return [output for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]


def coarse_or_heavy_pictures(notebook):
    """Two pixels for each of the page's, and at most 400 KB a chapter."""
    found, total = [], 0
    for cell in notebook.cells:
        for output in pictures(cell):
            png = base64.b64decode(output.data["image/png"])
            total += len(png)
            wide, shown = int.from_bytes(png[16:20], "big"), output.metadata.get("image/png", {}).get("width", 0)
            if wide < 2 * shown or not shown:
                found.append(f"{number_of(cell, notebook)} shows {wide} pixels on {shown} of the page")
    return found + ([f"its pictures take {total / 1000:.0f} KB, expected at most 400"] if total > 400_000 else [])


def figure_name(cell) -> str:
    return cell.metadata.get("mystnb", {}).get("figure", {}).get("name", "")


def undescribed_figures(notebook):
    found = [
        f"{number_of(cell, notebook)} has the name {figure_name(cell)} and shows no figure"
        for cell in notebook.cells
        if figure_name(cell) and not pictures(cell)
    ]
    for cell in filter(pictures, notebook.cells):
        where, mystnb = number_of(cell, notebook), cell.metadata.get("mystnb", {})
        if len(pictures(cell)) > 1:
            found.append(f"{where} shows more than one figure")
        if not mystnb.get("image", {}).get("alt"):
            found.append(f"{where} has no alt text")
        if not mystnb.get("figure", {}).get("caption"):
            found.append(f"{where} has no caption")
        if not figure_name(cell).startswith("fig-"):
            found.append(f"{where} has no name that starts with fig-")
        if "hide-input" not in tags(cell):
            found.append(f"{where} draws a figure and is not tagged hide-input")
    return found


def escapes_from_comparison(notebook):
    found = [f"{number_of(cell, notebook)} is tagged {tag}" for cell in notebook.cells for tag in tags(cell) if tag in ESCAPES]
    return found + [
        f"{number_of(cell, notebook)} has a comment for nbval" for cell in code_cells(notebook) if "NBVAL_" in cell.source
    ]


def long_cells(notebook):
    found = []
    for cell in code_cells(notebook):
        most = MAX_FOLDED_LINES if "hide-input" in tags(cell) else MAX_LINES
        if len(cell.source.splitlines()) > most:
            found.append(f"{number_of(cell, notebook)} is longer than {most} lines")
    return found


def unsolved_exercises(notebook):
    exercises, solved, open_gate, found = [], [], None, []
    for cell in notebook.cells:
        if cell.cell_type == "code" and open_gate:
            solved.append(open_gate)
        for directive in directives(cell.source) if cell.cell_type == "markdown" else []:
            if directive.name == "{exercise}":
                exercises.append(directive.options.get("label"))
            elif directive.name == "{solution-start}":
                open_gate = directive.argument
                if directive.options.get("class") != "dropdown":
                    found.append(f"the solution of {open_gate} is not hidden by :class: dropdown")
            elif directive.name == "{solution-end}":
                open_gate = None
    found += [f"exercise {label} has no executed solution" for label in exercises if label not in solved]
    if len(exercises) < FEWEST_EXERCISES:
        found.append(f"{len(exercises)} exercises, expected at least {FEWEST_EXERCISES}")
    return found


def missing_import(notebook):
    names = [
        name
        for cell in code_cells(notebook)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or node.names[0].name]
    ]
    return [] if any(name.split(".")[0] == "vaelib" for name in names) else ["imports nothing of vaelib"]


CHECKS = [
    unverified_equations,
    unmet_claims,
    stale_outputs,
    failed_or_unexecuted_cells,
    undescribed_figures,
    coarse_or_heavy_pictures,
    escapes_from_comparison,
    long_cells,
    unsolved_exercises,
    missing_import,
]


def repeated(labels) -> list:
    return sorted({label for label in labels if labels.count(label) > 1})


def ignores_too_much(notebooks) -> bool:
    cells = [cell for notebook in notebooks for cell in code_cells(notebook)]
    return 20 * sum(IGNORED in tags(cell) for cell in cells) > len(cells)
