"""The book's promises, held over every chapter."""

import re

import nbformat
import pytest
import yaml

from tools import rhythm
from tools.checks import (
    CHECKS,
    called_labels,
    equation_labels,
    figure_name,
    ignores_too_much,
    notebook_labels,
    pictures,
    repeated,
    tags,
)
from tools.notebooks import HEADLINE, ROOT, chapters, picture

NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in chapters()}
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("back/*.md")]}


def test_there_are_chapters_and_the_toc_lists_each():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    listed = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert NOTEBOOKS
    assert sorted(name for name in listed if name.startswith("chapters/")) == [f"chapters/{name}" for name in NOTEBOOKS]


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("check", [*CHECKS, *rhythm.CHECKS], ids=lambda check: check.__name__)
def test_chapter(check, name):
    problems = check(NOTEBOOKS[name])
    assert not problems, f"chapters/{name}.ipynb: " + "; ".join(problems)


def test_labels_are_unique_over_the_book():
    labels = [label for notebook in NOTEBOOKS.values() for label in notebook_labels(notebook)]
    labels += [label for text in PAGES.values() for label in equation_labels(text)]
    assert not repeated(labels)


@pytest.mark.parametrize("name", [*NOTEBOOKS, *PAGES])
def test_a_chapters_number_in_a_link_is_its_own(name):
    cells = NOTEBOOKS[name].cells if name in NOTEBOOKS else []
    text = PAGES.get(name) or "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert not rhythm.wrong_numbers(text)


def test_chapters_are_numbered_as_their_files():
    """The site counts the chapters in the order of the contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [chapter["file"] for chapter in toc["parts"][0]["chapters"]]
    assert [int(name.removeprefix("chapters/")[:2]) for name in files] == list(range(1, len(files) + 1))
    assert not [entry for part in toc["parts"] for entry in part["chapters"] if "title" in entry]


GREEK = "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda mu nu xi pi rho varrho sigma tau phi varphi chi"
GREEK += " psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"


def greek(text: str) -> set[str]:
    """Greek letters in the formulas of a text."""
    return {letter for letter in re.findall(r"\\([A-Za-z]+)", text) if letter in GREEK.split()}


def rows(section: str) -> list[str]:
    """Rows of the tables of a section of the notation page, without their heads."""
    return [line for line in section.split("\n") if line.startswith("| ")]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_greek_letter_of_a_chapter_is_on_the_notation_page(name):
    general, local = PAGES["notation"].split("(local-symbols)=")
    local = local.split("\n## ", 2)[1]
    mine = "".join(row for row in rows(local) if f"/{name}." in row)
    formulas = [f for c in NOTEBOOKS[name].cells if c.cell_type == "markdown" for f in re.findall(r"\$[^$]+\$", c.source)]
    assert not greek(" ".join(formulas)) - greek(general) - greek(mine)


def test_a_symbol_has_one_row_of_the_notation_page():
    general = PAGES["notation"].split("(local-symbols)=")[0].split("### One spread")[0]
    symbols = [symbol for row in rows(general) for symbol in re.findall(r"\$[^$]+\$", row.split("|")[1])]
    assert len(symbols) > 40
    assert repeated(symbols) in (
        [],
        [r"$\sigma$", r"$\sigma_\phi(x)$", r"$\sigma_{\mathrm{data}}$"],
    )  # told apart in a table of their own


def test_claims_are_unique_over_the_book():
    assert not repeated([label for notebook in NOTEBOOKS.values() for label in called_labels(notebook, "claim")])


def test_pages_without_code_label_no_result():
    labels = [label for text in PAGES.values() for label in equation_labels(text)]
    assert not [label for label in labels if not label.startswith("def-")]


def test_figure_names_are_unique_over_the_book():
    assert not repeated([figure_name(cell) for notebook in NOTEBOOKS.values() for cell in notebook.cells if pictures(cell)])


def test_at_most_one_code_cell_in_twenty_is_not_compared():
    assert not ignores_too_much(NOTEBOOKS.values())


def test_headline_is_the_picture_of_its_cell():
    [cell] = [cell for notebook in NOTEBOOKS.values() for cell in notebook.cells if "headline" in tags(cell)]
    assert HEADLINE.read_bytes() == picture(cell), "run `make notebooks FORCE=1`"
