"""``make replicate``: claims counted over streams of randomness, and when the count is out of date."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools import replicate
from tools.replicate import Row

CELLS = [
    "import os\nfrom vaelib.verify import claim, rng, verify\nstream = int(os.environ['VAELIB_STREAM'])",
    'claim("always", True, "1 of 1")',
    'for good in (True, stream != 2):\n    claim("not-on-2", good, "1 of 1")',
    'verify("equation", rng(0).initial_seed(), 1_000_003 * stream, tol=0)\nverify("odd", stream % 2, 1, tol=0)',
    "assert stream != 1",
    "if stream != 1:\n    reached = True",
    'claim("after-the-error", reached, "1 of 1")',
]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book of one chapter, its table, its page and its cache."""
    path = tmp_path / "07_coin.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in CELLS]), path)
    monkeypatch.setattr(replicate.experiments, "older_than_their_code", list)
    monkeypatch.setattr(replicate, "TABLE", tmp_path / "replication.csv")
    monkeypatch.setattr(replicate, "PAGE", tmp_path / "replication.md")
    monkeypatch.setattr(replicate, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(replicate, "chapters", lambda: [path])
    return path


def command(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["replicate", *arguments])
    return replicate.main()


def test_claims_are_counted_over_streams(book, monkeypatch, capsys):
    before = book.read_bytes()
    assert command(monkeypatch, "--streams", "2") == 0
    rows = {row.label: row for row in replicate.read_table(replicate.TABLE)}
    assert {label: (row.kind, row.held, row.runs) for label, row in rows.items()} == {
        "always": ("claim", 2, 2),
        "not-on-2": ("claim", 1, 2),
        "after-the-error": ("claim", 1, 2),  # what is not reached does not hold
        "equation": ("equation", 2, 2),
        "odd": ("equation", 1, 2),
        "cell 5": ("cell", 1, 2),
        "cell 7": ("cell", 1, 2),
    }
    # Clopper and Pearson: both hold at a rate above 0.025^(1/2).
    assert (rows["always"].low, rows["always"].high) == (pytest.approx(0.025 ** (1 / 2), abs=1e-3), 1.0)
    assert book.read_bytes() == before
    text = replicate.PAGE.read_text()
    assert "Of 3 claims, 1 held in at least 95 % of their runs; less often: `not-on-2`, `after-the-error`." in text
    assert "| [07](../chapters/07_coin.ipynb) | `not-on-2` | 1/2 | 0.01 to 0.99 |" in text
    assert "Of 2 checked equations, 1 agreed in every run." in text
    out = capsys.readouterr().out
    assert "[2/2]" in out
    assert "stream 2: 3 held in" in out and "; not: not-on-2, odd\n" in out
    assert "; not: cell 5, cell 7\n" in out


def held(path, stream):
    ran = {"chapter": path.stem, "stream": stream, **replicate.version(nbformat.read(path, as_version=4))}
    return ran | {"verdicts": {"always": True}, "raised": [], "seconds": 0}


def test_a_stopped_run_goes_on_and_changed_code_is_run_again(book, monkeypatch):
    ran = []

    def one_run(path, stream):
        ran.append(stream)
        return held(path, stream)

    monkeypatch.setattr(replicate, "replicate", one_run)
    command(monkeypatch, "--streams", "2")
    command(monkeypatch, "--streams", "4")
    assert sorted(ran) == [1, 2, 3, 4]
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in CELLS[:-1]]), book)
    command(monkeypatch, "--streams", "2")
    assert sorted(ran) == [1, 1, 2, 2, 3, 4]


def test_rows_of_other_chapters_are_kept(book, monkeypatch):
    other = Row("other", "claim", "01_first", 20, 20, 0.832, 1.0, "c", "v")
    replicate.write_table([other, other._replace(label="gone", chapter=book.stem)], replicate.TABLE)
    assert replicate.read_table(replicate.TABLE)[0] == other
    monkeypatch.setattr(replicate, "replicate", held)
    command(monkeypatch, "--streams", "1", str(book))
    labels = [row.label for row in replicate.read_table(replicate.TABLE)]
    assert labels == ["other", "always", "not-on-2", "after-the-error", "equation", "odd"]


def test_a_chapter_that_changes_while_it_runs_is_not_counted(book, monkeypatch):
    def one_run(path, stream):
        one = held(path, stream)
        nbformat.write(new_notebook(cells=[new_code_cell(CELLS[0])]), path)
        return one

    monkeypatch.setattr(replicate, "replicate", one_run)
    with pytest.raises(SystemExit, match=f"{book.stem} or vaelib changed after stream 1 had run"):
        command(monkeypatch, "--streams", "1")
    assert not replicate.TABLE.exists()


def test_an_old_table_is_noticed(book):
    assert replicate.older_than_a_chapter() == [book.stem]
    now = replicate.version(nbformat.read(book, as_version=4))
    row = Row("always", "claim", book.stem, 20, 20, 0.832, 1.0, **now)
    replicate.write_table([row], replicate.TABLE)
    assert replicate.older_than_a_chapter() == []
    for stale in (row._replace(code="0"), row._replace(vaelib="0")):
        replicate.write_table([stale], replicate.TABLE)
        assert replicate.older_than_a_chapter() == [book.stem]


def test_a_dead_kernel_is_counted_as_raised(book, monkeypatch):
    nbformat.write(new_notebook(cells=[new_code_cell(CELLS[0]), new_code_cell(CELLS[1]), new_code_cell("os._exit(1)")]), book)
    one = replicate.replicate(book, 1)
    assert one["verdicts"] == {"always": True}
    assert one["raised"] == ["DeadKernelError"]
    json.dumps(one)


def test_no_streams_are_refused(book, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "--streams", "0")
    assert "--streams must be at least 1, found 0" in capsys.readouterr().err
