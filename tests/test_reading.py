"""Lines of code and of what is printed, as the site marks them for where they have to wrap."""

import re

import pytest
import reading


def spans(text, kind):
    body = f'<div class="{kind}"><div class="highlight"><pre>{text}</pre></div></div>'
    context = {"body": body}
    reading.mark_lines(None, "", "", context, None)
    assert re.sub(r"</?span[^>]*>", "", context["body"]) == body
    return re.findall(r'<span class="([^"]+)"(?: style="--at: (\d+)")?>', context["body"])


@pytest.mark.parametrize(("line", "at"), [("x = 1", "0"), ("    return a  # two  gaps", "4"), ("", None)])
def test_code_goes_on_after_its_indentation(line, at):
    assert spans(f"def f():\n{line}\n", "highlight-python")[1:] == ([("line", at)] if at else [])


@pytest.mark.parametrize(
    ("line", "span"),
    [
        ("mean 1, std 2", ("line", "0")),
        ("WRONG     draw of z: a long sentence", ("line", "10")),
        ("a sentence with one gap near its end    -2.7", ("line", "0")),
        ("plain &lt;   0.1   0.2", ("line aligned", "")),
        ("        two   three", ("line", "14")),
    ],
)
def test_what_is_printed_goes_on_after_a_word_that_stands_apart_unless_it_is_a_row(line, span):
    assert spans(line, "output stream") == [span]
