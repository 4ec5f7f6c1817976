"""Every check of the rhythm finds nothing in a good chapter, and the one thing that is broken in a broken one."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import rhythm

ANSWER = ":::{admonition} In three sentences\n:class: answer\nIt is. It must. At 0.5 nats, it does.\n:::"
OPENING = f"# Title\n\n**Why is it so?**\n\n{ANSWER}"
ASKED = rhythm.ASKED + " [a](#to-a) · [b](#to-b) · [c](#to-c)\n\n*Main path: 1 minutes.*"
END = "## Exercises\n\n:::{exercise}\n:label: ex-1\nWhy?\n:::\n\n## References\n\n" + "word " * 4000


def good_chapter():
    """The smallest chapter in which every check finds nothing."""
    fold = "<details class='deeper'><summary>Deeper</summary>\n\n" + "word " * 4000
    return new_notebook(
        cells=[
            new_markdown_cell(OPENING),
            new_code_cell("import math", metadata={"tags": ["hide-input"]}),
            new_code_cell(
                "plot()", outputs=[new_output("display_data", data={"image/png": ""})], metadata={"tags": ["hide-input"]}
            ),
            new_markdown_cell(ASKED + "\n\n(to-a)=\n## A\n\nText " + "$x$ of words " * 60),
            new_code_cell("loss = 1", outputs=[new_output("stream", text="[ok] best: 0.5, claimed 0.4\n")]),
            new_markdown_cell(fold),
            new_code_cell("more\n" * 30),
            new_markdown_cell("</details>"),
            new_markdown_cell("## What people get wrong\n\n(to-b)=\n### It is not\n\nIt is.\n\n(to-c)=\n## Change this and run"),
            new_code_cell("SIGMA = 1.0\nprint(SIGMA)"),
            new_markdown_cell(END),
        ]
    )


def no_question(notebook):
    notebook.cells[0].source = OPENING.replace("so?", "so.")


def text_before_the_picture(notebook):
    notebook.cells[0].source += "\n\nFirst, some words."


def four_sentences(notebook):
    notebook.cells[0].source = OPENING.replace("It must.", "It must. It may.")


def numbered_title(notebook):
    notebook.cells[0].source = OPENING.replace("# Title", "# 7 Title")


def section_before_the_picture(notebook):
    notebook.cells.insert(1, new_markdown_cell("## First"))


def link_to_nothing(notebook):
    notebook.cells[3].source = notebook.cells[3].source.replace("(to-a)=", "(to-d)=")


def no_links(notebook):
    notebook.cells[3].source = notebook.cells[3].source.replace(rhythm.ASKED, "")


def too_many_words(notebook):
    notebook.cells[3].source += "word " * 3000


def a_fold_that_ends_too_early(notebook):
    notebook.cells[5].source = "</details>" + notebook.cells[5].source
    del notebook.cells[7]


def too_many_open_cells(notebook):
    notebook.cells[4:4] = [new_code_cell("x") for _ in range(14)]


def one_open_line_too_many(notebook):
    notebook.cells[4].source = "x\n" * 16


def wrong_time(notebook):
    notebook.cells[3].source = notebook.cells[3].source.replace("1 minutes", "3 minutes")


def misconception_without_heading(notebook):
    notebook.cells[8].source = notebook.cells[8].source.replace("### It is not", "**It is not**")


def no_references(notebook):
    notebook.cells[-1].source = notebook.cells[-1].source.replace("## References", "")


def folded_change(notebook):
    notebook.cells[9].metadata = {"tags": ["hide-input"]}


def nothing_that_changes(notebook):
    notebook.cells[9].source = "print(1)"


def bare_truth(notebook):
    notebook.cells[4].outputs[0].text += "the bound holds: True\n"


def bare_value(notebook):
    notebook.cells[4].outputs.append(new_output("execute_result", data={"text/plain": "1"}))


def heading_in_a_fold(notebook):
    notebook.cells[5].source += "\n\n### Deeper still"


def open_fold(notebook):
    notebook.cells.append(new_markdown_cell("<details>"))


def test_the_good_chapter_passes_every_check():
    assert {check.__name__: check(good_chapter()) for check in rhythm.CHECKS} == {check.__name__: [] for check in rhythm.CHECKS}


@pytest.mark.parametrize(
    ("check", "change"),
    [
        (rhythm.no_answer_first, no_question),
        (rhythm.no_answer_first, text_before_the_picture),
        (rhythm.no_answer_first, four_sentences),
        (rhythm.no_answer_first, numbered_title),
        (rhythm.late_picture, section_before_the_picture),
        (rhythm.late_picture, link_to_nothing),
        (rhythm.late_picture, no_links),
        (rhythm.too_long, too_many_words),
        (rhythm.too_long, a_fold_that_ends_too_early),
        (rhythm.too_long, too_many_open_cells),
        (rhythm.too_long, one_open_line_too_many),
        (rhythm.dishonest_time, wrong_time),
        (rhythm.unlisted_misconceptions, misconception_without_heading),
        (rhythm.unlisted_misconceptions, no_references),
        (rhythm.nothing_to_change, folded_change),
        (rhythm.nothing_to_change, nothing_that_changes),
        (rhythm.bare_truths, bare_truth),
        (rhythm.bare_values, bare_value),
        (rhythm.torn_folds, heading_in_a_fold),
        (rhythm.torn_folds, open_fold),
    ],
    ids=lambda part: part.__name__,
)
def test_a_broken_chapter_is_found(check, change):
    notebook = good_chapter()
    change(notebook)
    assert check(notebook)


def test_words_are_counted_as_they_stand_but_not_in_tables():
    text = "(to-a)=\n## A title\n\nThe $\\frac{1}{2}$ of [two words](#to-a).\n\n$$\na + b\n$$ (x)\n\n| 1 | 2 |\n"
    assert rhythm.words(text) == len(["(to-a)=", "A", "title", "The", "1/2", "of", "[two", "words](#to-a).", "a", "b", "(x)"])


def test_a_link_says_the_number_of_its_chapter():
    assert not rhythm.wrong_numbers("[chapter 05](05_likelihood.ipynb), [**05**](../chapters/05_likelihood.ipynb#a)")
    assert rhythm.wrong_numbers("see [chapter 09](10_learning_sigma.ipynb)")
    assert rhythm.wrong_numbers("[09](chapters/10_learning_sigma.ipynb)")
