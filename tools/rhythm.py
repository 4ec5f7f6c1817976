"""The rhythm of a chapter as checks over a parsed notebook: the answer first, a main path that is short, folds for the rest.

A check returns the problems that it finds, as in `tools.checks`. The main path is what a reader goes through who opens
nothing: neither the folds ``<details>``, nor exercises, nor references, nor the code of cells tagged ``hide-input``.
"""

import re
from collections.abc import Iterator

from tools.checks import directives, number_of, pictures, stdout, tags
from tools.notebooks import code_cells

MOST_WORDS = 3000
MOST_OPEN_CELLS = 15
MOST_OPEN_LINES = 15
WORDS_A_MINUTE = 200
SECONDS_A_LINE = 1.5  # of open code
OFF_PATH = ("Exercises", "References")
OPENING = re.compile(
    r"# (?P<title>[^\n]+)\n\n\*\*(?P<question>[^\n]+\?)\*\*\n\n"
    r":::\{admonition\} In three sentences\n:class: answer\n(?P<answer>.+?)\n:::\s*",
    re.DOTALL,
)
TIME = re.compile(r"\*Main path: (\d+) minutes\.\*")
ASKED = "**You may have come to ask:**"
LINK = re.compile(r"\[\**(?:[Cc]hapter )?(\d\d)\**\]\((?:\.\./)?(?:chapters/)?(\d\d)_")


def main_path(notebook) -> Iterator:
    """The cells of the main path, a markdown cell with what of its text belongs there."""
    folds, solution, section = 0, False, ""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if not folds and not solution and section not in OFF_PATH:
                yield cell, ""
            continue
        kept = []
        for line in cell.source.split("\n"):
            if heading := re.match(r"## (.*)", line):
                section = heading[1].strip()
            folds += len(re.findall(r"<details\b", line))
            if not folds and not solution and section not in OFF_PATH:
                kept.append(line)
            folds -= len(re.findall(r"</details>", line))
        names = [directive.name for directive in directives(cell.source)]
        solution = (solution or "{solution-start}" in names) and "{solution-end}" not in names
        if kept:
            yield cell, "\n".join(kept)


def words(text: str) -> int:
    """Words of a text as they stand there, markup and formulas included; tables, in which one looks up a row, are left out."""
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    return len([word for word in text.split() if any(letter.isalnum() for letter in word)])


def measure(notebook) -> tuple[int, list[int]]:
    """Words of the main path, and the lines of each of its open cells."""
    path = list(main_path(notebook))
    open_lines = [
        len(cell.source.splitlines()) for cell, _ in path if cell.cell_type == "code" and "hide-input" not in tags(cell)
    ]
    return sum(words(text) for _, text in path), open_lines


def minutes(notebook) -> int:
    count, open_lines = measure(notebook)
    return round(count / WORDS_A_MINUTE + sum(open_lines) * SECONDS_A_LINE / 60)


def no_answer_first(notebook):
    first = notebook.cells[0]
    match = OPENING.fullmatch(first.source) if first.cell_type == "markdown" else None
    if not match:
        return ["does not open with a title, a question in bold and the admonition In three sentences, and nothing else"]
    # An abbreviation's point is followed by no capital letter.
    sentences = len(re.findall(r"[.?!](?:\s+(?=[A-Z$`\"*\[])|\s*$)", match["answer"].strip()))
    found = [] if sentences == 3 else [f"the answer has {sentences} sentences, expected 3"]
    return found + (["the title has a number of its own"] if match["title"][0].isdigit() else [])


def late_picture(notebook):
    """The picture comes before any section, and after it what a reader may have come to ask."""
    for cell in notebook.cells[1:]:
        if pictures(cell):
            break
        if cell.cell_type == "markdown" and re.search(r"^#", cell.source, re.MULTILINE):
            return ["a section starts before the first picture"]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = next((line for line in text.split("\n") if line.startswith(ASKED)), "")
    targets = re.findall(r"\]\(#([\w-]+)\)", links)
    if len(targets) < 3:
        return [f"{len(targets)} links after {ASKED}, expected at least 3"]
    return [f"no target ({target})=" for target in targets if f"({target})=\n" not in text]


def too_long(notebook):
    count, open_lines = measure(notebook)
    found = [f"{count} words on the main path, expected at most {MOST_WORDS}"] if count > MOST_WORDS else []
    if len(open_lines) > MOST_OPEN_CELLS:
        found.append(f"{len(open_lines)} open code cells on the main path, expected at most {MOST_OPEN_CELLS}")
    return found + [
        f"an open cell of {lines} lines, expected at most {MOST_OPEN_LINES}" for lines in open_lines if lines > MOST_OPEN_LINES
    ]


def dishonest_time(notebook):
    stated = [int(found) for cell in notebook.cells if cell.cell_type == "markdown" for found in TIME.findall(cell.source)]
    honest = minutes(notebook)
    if len(stated) == 1 and abs(stated[0] - honest) <= 1:
        return []
    return [f"states a reading time of {stated} minutes; measured: *Main path: {honest} minutes.*"]


def unlisted_misconceptions(notebook):
    parts = re.split(r"^## (.*)$", "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"), flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    found = [f"no section {name}" for name in ("What people get wrong", "Change this and run", *OFF_PATH) if name not in sections]
    if not re.search(r"^### ", sections.get("What people get wrong", ""), re.MULTILINE):
        found.append("what people get wrong has no headings, so nothing can link to it")
    return found


def nothing_to_change(notebook):
    """The cell under "Change this and run" is open and starts with a constant."""
    section, found = "", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            section = [section, *re.findall(r"^## (.*)$", cell.source, re.MULTILINE)][-1]
        elif section == "Change this and run":
            found.append(bool(re.match(r"[A-Z][A-Z_0-9]* = ", cell.source)) and "hide-input" not in tags(cell))
    return [] if any(found) else ["no open cell under Change this and run that starts with a constant"]


def bare_truths(notebook):
    lines = [line for line in stdout(notebook).splitlines() if re.search(r"\b(True|False)\b", line)]
    return [f"prints {line!r}: a truth without its size" for line in lines]


def bare_values(notebook):
    """Cells that end in an expression, whose representation nobody wants to read."""
    cells = [cell for cell in code_cells(notebook) if any(output.output_type == "execute_result" for output in cell.outputs)]
    return [f"{number_of(cell, notebook)} shows the value of {cell.source.splitlines()[-1]!r}" for cell in cells]


def torn_folds(notebook):
    """A fold holds no heading, and ends before the next one."""
    depth, found = 0, []
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for line in cell.source.split("\n"):
            depth += len(re.findall(r"<details\b", line)) - len(re.findall(r"</details>", line))
            if depth and re.match(r"#+ ", line):
                found.append(f"the heading {line!r} stands inside a fold")
    return found + ([] if depth == 0 else ["a fold is not closed"])


def wrong_numbers(text: str) -> list[str]:
    """Links whose text names another chapter than the one that they lead to."""
    return [f"{match[0]}... is a link to chapter {match[2]}" for match in LINK.finditer(text) if match[1] != match[2]]


CHECKS = [
    no_answer_first,
    late_picture,
    too_long,
    dishonest_time,
    unlisted_misconceptions,
    nothing_to_change,
    bare_truths,
    bare_values,
    torn_folds,
]
