"""References, captions and directives where no directive is understood: in JupyterLab, and in a notebook that is downloaded."""

import re
from copy import deepcopy

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import plain
from tools.notebooks import chapters
from tools.plain import Place, named, places, restored, saved_from_lab, shown_in_lab, words

every_chapter = pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
FIGURE = {"mystnb": {"figure": {"name": "fig-a", "caption": "See {eq}`one` of {cite:t}`kingma2014auto`."}}}


@pytest.fixture
def toy(monkeypatch):
    """A book of two chapters, with places of its own."""
    found = {"one": Place("(1.1)", "01.ipynb"), "fig-a": Place("Fig. 1.2", "01.ipynb"), "ex-a": Place("Exercise 1.3", "01.ipynb")}
    monkeypatch.setattr(plain, "places", lambda: found | {"deep": Place("Deep [water]", "02.ipynb")})


def code(*outputs):
    return new_code_cell("draw()", metadata=deepcopy(FIGURE), outputs=[new_output("display_data", {"image/png": ""}), *outputs])


@every_chapter
def test_a_chapter_comes_back_from_jupyterlab_as_it_was(path):
    notebook = nbformat.read(path, as_version=4)
    shown = shown_in_lab(deepcopy(notebook), path.name)
    assert shown.cells[0].source.startswith(f"---\nnumbering:\n  equation:\n    enumerator: {int(path.name[:2])}.%s\n---\n\n# ")
    assert not re.search(r"\{(numref|cite:[tp])\}`", "\n".join(cell.source for cell in shown.cells))
    assert saved_from_lab(shown) == notebook


@every_chapter
def test_a_download_is_plain_markdown_with_a_caption_to_each_figure(path):
    notebook = nbformat.read(path, as_version=4)
    found = plain.plain(notebook, path.name)
    nbformat.validate(found)
    text = "\n".join(cell.source for cell in found.cells if cell.cell_type == "markdown")
    assert not re.findall(r"^:::.*$|\{[a-z]+(?::[a-z])?\}`[^`]*`|^\([\w-]+\)=$|\$\$ \(.*\)$|<div.*", text, re.MULTILINE)
    assert [c.source for c in found.cells if c.cell_type == "code"] == [c.source for c in notebook.cells if c.cell_type == "code"]
    names = [plain.figure(cell)["name"] for cell in notebook.cells if plain.figure(cell)]
    assert re.findall(r"^\*\*(Fig\. [\d.]+)\.\*\*", text, re.MULTILINE) == [places()[name].words for name in names]


@pytest.mark.parametrize(
    ("role", "argument", "shown"),
    [
        ("eq", "one", "(1.1)"),
        ("numref", "fig-a", "Fig. 1.2"),
        ("ref", "ex-a", "Exercise 1.3"),
        ("ref", "deep", "Deep [water]"),
        ("ref", "far below <deep>", "far below"),
        ("cite:t", "kingma2014auto", "Kingma and Welling [2014]"),
        ("cite:p", "kingma2014auto, rezende2014stochastic", "[Kingma and Welling, 2014; Rezende et al., 2014]"),
    ],
)
def test_a_reference_says_what_the_site_says_and_is_kept(toy, role, argument, shown):
    assert words(role, argument) == shown
    text = f"so {{{role}}}`{argument}` holds [see](#deep)"
    link = named(text, "03.ipynb")
    assert link.startswith(f"so [{shown.replace('[', '(').replace(']', ')')}](#") and restored(link) == text


def test_jupyterlab_follows_what_is_in_its_own_page(toy):
    assert named("{eq}`one` {ref}`deep`", "01.ipynb") == "{eq}`one` [Deep (water)](#ref=deep)"


def test_a_caption_stands_below_its_figure_and_is_not_saved(toy):
    notebook = new_notebook(cells=[code(), new_code_cell("1", metadata=FIGURE)])
    shown = shown_in_lab(deepcopy(notebook), "01.ipynb")
    [_, said] = shown.cells[0].outputs
    assert said.data["text/markdown"].startswith("**Fig. 1.2.** See [(1.1)](#eq=one) of [Kingma and Welling (2014)](#")
    assert not shown.cells[1].outputs  # it was not run: there is no figure
    assert saved_from_lab(shown) == notebook


def test_directives_become_markdown(toy):
    text = """(deep)=
## Deep

:::{admonition} In short
:class: answer

Two lines,
{eq}`one`.
:::

$$
x
$$ (one)

:::{exercise}
:label: ex-a

Why? {ref}`here <deep>`
:::

:::{solution-start} ex-a
:class: dropdown
:::

Because {cite:p}`kingma2014auto`.

:::{solution-end}
:::
"""
    [cell] = plain.plain(new_notebook(cells=[new_markdown_cell(text)]), "01.ipynb").cells
    assert cell.source == (
        '<a id="deep"></a>\n## Deep\n\n> **In short**\n>\n> Two lines,\n> (1.1).\n\n$$\nx\n\\tag{1.1}\n$$\n\n'
        '<a id="ex-a"></a>**Exercise 1.3.** Why? [here](02.ipynb#deep)\n\n'
        "**Solution.**\n\nBecause [Kingma and Welling, 2014]."
    )
