"""Every check of the book finds nothing in a good notebook, and the one thing that is broken in a broken one."""

import base64

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools.checks import (
    CHECKS,
    FEWEST_EXERCISES,
    IGNORED,
    MAX_FOLDED_LINES,
    MAX_LINES,
    coarse_or_heavy_pictures,
    equation_labels,
    escapes_from_comparison,
    failed_or_unexecuted_cells,
    ignores_too_much,
    long_cells,
    missing_import,
    repeated,
    stale_outputs,
    undescribed_figures,
    unmet_claims,
    unsolved_exercises,
    unverified_equations,
    verdicts,
)
from tools.notebooks import code_cells, stamp

EXERCISE = ":::{{exercise}}\n:label: ex-{0}\nWhy?\n:::"
START = ":::{{solution-start}} ex-{0}\n:class: dropdown\n:::"
END = ":::{solution-end}\n:::"
HEADER = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000008")  # of a picture 8 pixels wide
PNG = base64.b64encode(HEADER).decode()


def good_notebook():
    """The smallest chapter in which every check finds nothing."""
    cells = [
        new_markdown_cell("# Title\n\n$$\na = b\n$$ (result)\n\n$$c = d$$ (def-c)"),
        new_code_cell("from vaelib.verify import claim, verify"),
        new_code_cell(
            'verify("result", 1, 1, tol=0.1)\nclaim("best", True, "1 of 2")',
            outputs=[
                new_output(
                    "stream", text="[ok] result: sides agree to 0.1; a relative error of 0.1 would show\n[ok] best: 1 of 2\n"
                )
            ],
        ),
        new_code_cell(
            "plt.show()",
            outputs=[new_output("display_data", data={"image/png": PNG}, metadata={"image/png": {"width": 4, "height": 3}})],
            metadata={
                "tags": ["hide-input"],
                "mystnb": {"image": {"alt": "A line"}, "figure": {"caption": "Is it?", "name": "fig-a"}},
            },
        ),
    ]
    for number in range(FEWEST_EXERCISES):
        cells += [new_markdown_cell(EXERCISE.format(number)), new_markdown_cell(START.format(number))]
        cells += [new_code_cell("1 + 1"), new_markdown_cell(END)]
    notebook = new_notebook(cells=cells)
    for count, cell in enumerate(code_cells(notebook), start=1):
        cell.execution_count = count
    notebook.metadata["stamp"] = stamp(notebook)
    return notebook


def broken(check, change):
    return pytest.param(check, change, id=f"{check.__name__}-{change.__name__.strip('_')}")


def label_without_verify(notebook):
    notebook.cells[0].source += "\n\n$$e = f$$ (other)"


def label_in_a_math_directive(notebook):
    notebook.cells[0].source += "\n\n```{math}\n:label: other\ne = f\n```"


def label_between_dashes(notebook):
    notebook.cells[0].source += "\n\n```{math}\n---\nlabel: other\n---\ne = f\n```"


def label_in_an_align_environment(notebook):
    notebook.cells[0].source += "\n\n\\begin{align}\ne &= f \\label{other}\n\\end{align}"


def label_inside_an_exercise(notebook):
    notebook.cells[4].source = notebook.cells[4].source.replace("Why?", "$$e = f$$ (other)")


def verify_of_an_unknown_label(notebook):
    notebook.cells[1].source += '\nverify("unknown", 1, 1, tol=0.1)'


def verify_of_a_definition(notebook):
    notebook.cells[1].source += '\nverify("def-c", 1, 1, tol=0.1)'


def verify_of_a_computed_label(notebook):
    notebook.cells[1].source += '\nverify("res" + "ult", 1, 1, tol=0.1)'


def verify_in_a_comment_only(notebook):
    notebook.cells[2].source = "# " + notebook.cells[2].source


def verify_that_printed_nothing(notebook):
    notebook.cells[2].outputs = []


def verify_that_printed_no(notebook):
    notebook.cells[2].outputs[0].text += "[no] result: residual 1, expected at most 0.1\n"


def no_result(notebook):
    notebook.cells[0].source = "# Title\n\n$$c = d$$ (def-c)"
    notebook.cells[2].source = 'claim("best", True, "1 of 2")'


def claim_of_a_computed_label(notebook):
    notebook.cells[1].source += '\nclaim("be" + "st", True, "1 of 2")'


def claim_of_an_equation(notebook):
    notebook.cells[1].source += '\nclaim("result", True, "1 of 2")'


def claim_that_printed_nothing(notebook):
    notebook.cells[1].source += '\nclaim("other", True, "1 of 2")'


def claim_that_printed_no(notebook):
    notebook.cells[2].outputs[0].text += "[no] best: 0 of 2\n"


def edited_code(notebook):
    notebook.cells[1].source += "\n"


def edited_output(notebook):
    notebook.cells[2].outputs[0].text += "more"


def edited_vaelib(notebook):
    notebook.metadata.stamp["vaelib"] = "0" * 64


def cleared_cell(notebook):
    notebook.cells[2].update(execution_count=None, outputs=[])


def cells_run_out_of_order(notebook):
    notebook.cells[1].execution_count, notebook.cells[2].execution_count = 2, 1


def stored_error(notebook):
    notebook.cells[1].outputs = [new_output("error", ename="E", evalue="", traceback=[])]


def stored_warning(notebook):
    notebook.cells[1].outputs = [new_output("stream", name="stderr", text="UserWarning")]


def no_alt_text(notebook):
    notebook.cells[3].metadata.mystnb["image"] = {}


def no_caption(notebook):
    del notebook.cells[3].metadata.mystnb.figure["caption"]


def no_name(notebook):
    del notebook.cells[3].metadata.mystnb.figure["name"]


def visible_plotting_code(notebook):
    notebook.cells[3].metadata.tags = []


def two_figures_in_one_cell(notebook):
    notebook.cells[3].outputs *= 2


def skipped_by_nbval(notebook):
    notebook.cells[1].metadata.tags = ["nbval-skip"]


def ignored_by_a_comment(notebook):
    notebook.cells[1].source += "\n# NBVAL_IGNORE_OUTPUT"


def one_pixel_a_point(notebook):
    notebook.cells[3].outputs[0].metadata["image/png"].width = 8


def no_width(notebook):
    notebook.cells[3].outputs[0].metadata = {}


def heavy_picture(notebook):
    notebook.cells[3].outputs[0].data["image/png"] = base64.b64encode(HEADER + bytes(400_000)).decode()


def name_without_figure(notebook):
    notebook.cells[1].metadata["mystnb"] = {"figure": {"name": "fig-none"}}


def one_line_too_many(notebook):
    notebook.cells[1].source = "\n".join(["x = 1"] * (MAX_LINES + 1))


def one_folded_line_too_many(notebook):
    notebook.cells[1].metadata["tags"] = ["hide-input"]
    notebook.cells[1].source = "\n".join(["x = 1"] * (MAX_FOLDED_LINES + 1))


def solution_removed(notebook):
    del notebook.cells[5:8]


def solution_without_code(notebook):
    del notebook.cells[6]


def solution_not_hidden(notebook):
    notebook.cells[5].source = notebook.cells[5].source.replace(":class: dropdown\n", "")


def too_few_exercises(notebook):
    del notebook.cells[4:8]


def no_vaelib(notebook):
    notebook.cells[1].source = "import vaelib_of_someone_else"


def test_the_good_notebook_passes_every_check():
    assert not [problem for check in CHECKS for problem in check(good_notebook())]


@pytest.mark.parametrize(
    ("check", "change"),
    [
        *(
            broken(unverified_equations, change)
            for change in [
                label_without_verify,
                label_in_a_math_directive,
                label_between_dashes,
                label_in_an_align_environment,
                label_inside_an_exercise,
                verify_of_an_unknown_label,
                verify_of_a_definition,
                verify_of_a_computed_label,
                verify_in_a_comment_only,
                verify_that_printed_nothing,
                verify_that_printed_no,
                no_result,
            ]
        ),
        *(
            broken(unmet_claims, change)
            for change in [claim_of_a_computed_label, claim_of_an_equation, claim_that_printed_nothing, claim_that_printed_no]
        ),
        *(broken(stale_outputs, change) for change in [edited_code, edited_output, edited_vaelib]),
        *(
            broken(failed_or_unexecuted_cells, change)
            for change in [cleared_cell, cells_run_out_of_order, stored_error, stored_warning]
        ),
        *(
            broken(undescribed_figures, change)
            for change in [no_alt_text, no_caption, no_name, visible_plotting_code, two_figures_in_one_cell]
        ),
        *(broken(escapes_from_comparison, change) for change in [skipped_by_nbval, ignored_by_a_comment]),
        broken(undescribed_figures, name_without_figure),
        *(broken(coarse_or_heavy_pictures, change) for change in [one_pixel_a_point, no_width, heavy_picture]),
        broken(long_cells, one_line_too_many),
        broken(long_cells, one_folded_line_too_many),
        *(
            broken(unsolved_exercises, change)
            for change in [solution_removed, solution_without_code, solution_not_hidden, too_few_exercises]
        ),
        broken(missing_import, no_vaelib),
    ],
)
def test_a_broken_notebook_is_found(check, change):
    notebook = good_notebook()
    change(notebook)
    assert check(notebook)


def test_a_label_shown_as_code_is_no_equation():
    assert equation_labels("```\n$$a$$ (label)\n```\n\n```{code-block} md\n$$a$$ (label)\n```") == []


def test_a_label_held_if_all_its_lines_did():
    text = "[ok] a: 1\n[no] b: 1\n[ok] b: 2\n[ok] a: 2\n[ok] c : 3\n some [no] d: 4\n"
    assert verdicts(new_notebook(cells=[new_code_cell("", outputs=[new_output("stream", text=text)])])) == {"a": True, "b": False}


def test_repeated_labels_are_found():
    assert repeated(["a", "b", "a"]) == ["a"]


def test_ignored_outputs_are_counted():
    notebooks = [new_notebook(cells=[new_code_cell("1") for _ in range(40)])]
    for cell in notebooks[0].cells[:2]:
        cell.metadata.tags = [IGNORED]
    assert not ignores_too_much(notebooks)
    notebooks[0].cells[2].metadata.tags = [IGNORED]
    assert ignores_too_much(notebooks)


def test_a_folded_cell_may_be_longer():
    notebook = good_notebook()
    one_line_too_many(notebook)
    notebook.cells[1].metadata["tags"] = ["hide-input"]
    assert not long_cells(notebook)
