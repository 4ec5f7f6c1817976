"""``make vary``: which constants are changed, and that a cell which raises is named."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import vary
from tools.vary import changed, constants

CELL = """# σ: a comment with letters of two bytes
SIGMA = spiral.SIGMA  # data units
A, RATE = 3, 0.5
OMEGA = 2.8 * math.pi
LOW = -1.0
D, NAME, FLAG, GRID, KIND = 2, "two", True, grid(3), torch.float64
SIZES, BARE, WORDS, NONE = (1, 4.0), 3, ('a',), ()
OPEN = 1, 2
x = y = 1

def f(n=3):
    M = 4
"""


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """Write a chapter with the given second and third cell, vary it, and give the exit status."""

    def chapter(*sources, arguments=(), first="import os"):
        path = tmp_path / "02_toy.ipynb"
        cells = [first, *sources]
        nbformat.write(new_notebook(cells=[new_code_cell(source, execution_count=9) for source in cells]), path)
        before = path.read_bytes()
        monkeypatch.setattr("sys.argv", ["vary", *arguments, str(path)])
        status = vary.main()
        assert path.read_bytes() == before
        return status

    return chapter


def test_constants_are_numbers_of_the_cell_itself():
    assert list(constants(CELL)) == ["SIGMA", "A", "RATE", "OMEGA", "LOW", "BARE", "x", "SIZES", "OPEN"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("A", 4), ("RATE", 0.75), ("OMEGA", 12.6), ("LOW", -1.5), ("SIGMA", 0.3), ("SIZES", (2, 6.0)), ("OPEN", (2, 3))],
)
def test_one_constant_is_changed_and_nothing_else(name, value):
    class spiral:
        SIGMA = 0.2

    class math:
        pi = 3.0

    plain, varied = ({"spiral": spiral, "math": math} for _ in range(2))
    cell = CELL.replace("grid(3), torch.float64", "None, None")
    exec(cell, plain)
    exec(changed(cell, name), varied)
    assert varied[name] == pytest.approx(value)
    assert {key for key in plain if plain[key] != varied[key] and key not in ("__builtins__", "f")} == {name}


def test_a_value_of_ones_own():
    assert changed("A = 1\nB = 2  # two", "B", "[7]") == "A = 1\nB = [7]  # two"


def test_a_chapter_that_runs_to_its_end(chapter, capsys):
    check = 'verify("sum", A + B, 2.5, tol=0)\nassert os.environ["VAELIB_STREAM"] == "0"'
    assert chapter("A = 2\nB = 0.5\nC = 1", check, first="import os\nfrom vaelib.verify import verify") == 0
    out = capsys.readouterr().out
    assert "[2/2]" in out
    assert "02_toy.ipynb with A = half as much again: ran to its end in" in out
    assert "02_toy.ipynb with B = half as much again: ran to its end in" in out
    assert out.count("0 checks held; not: sum\n") == 2


def test_a_cell_that_raises_is_named(chapter, capsys, monkeypatch):
    monkeypatch.setitem(vary.OTHER, "02", {"B": "0"})
    assert chapter("A = 2\nB = 1", "A / B", "A", arguments=["--all"]) == 1
    out = capsys.readouterr().out
    assert "02_toy.ipynb with B = 0: code cell 3 of 4 raised ZeroDivisionError: " in out
    assert out.count("ran to its end") == 1


def test_a_listed_constant_that_is_gone_is_refused(chapter, monkeypatch):
    monkeypatch.setitem(vary.OTHER, "02", {"GONE": "0"})
    with pytest.raises(ValueError, match=r"02_toy\.ipynb has no constant GONE in its second code cell, found A"):
        chapter("A = 2")
