"""``python -m tools.experiments``: what it writes, and when a table is out of date."""

import pytest

from tools import experiments

SOURCE = """
import torch
from vaelib.verify import rng

def experiment():
    draw = torch.rand((), generator=rng(0)).item()
    return [{"arm": "plain", "runs": 4, "gap": draw}, {"arm": "long", "runs": 4, "gap": 1 / 3}]
"""


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder of experiments with one in it."""
    monkeypatch.setattr(experiments, "FOLDER", tmp_path / "experiments")
    monkeypatch.setattr(experiments, "TABLES", tmp_path / "data")
    (tmp_path / "experiments").mkdir()
    path = tmp_path / "experiments" / "one.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def run(monkeypatch, *names):
    monkeypatch.setattr("sys.argv", ["experiments", *names])
    return experiments.main()


def test_a_table_says_what_made_it(house, monkeypatch):
    assert experiments.older_than_their_code() == ["one"]
    assert run(monkeypatch) == 0
    stamp, header, first, last = experiments.table(house).read_text(encoding="utf-8").splitlines()
    assert stamp.startswith("# made by experiments/one.py, code ") and header == "arm,runs,gap"
    assert first.startswith("plain,4,0.") and last == "long,4,0.333333"


def test_only_what_is_older_than_its_code_runs_again(house, monkeypatch, capsys):
    run(monkeypatch)
    assert experiments.older_than_their_code() == []
    capsys.readouterr()
    run(monkeypatch)
    assert capsys.readouterr().out == ""
    house.write_text(SOURCE.replace("1 / 3", "1 / 4"), encoding="utf-8")
    assert experiments.older_than_their_code() == ["one"]
    run(monkeypatch)
    assert "[1/1] one" in capsys.readouterr().out
    assert "0.25" in experiments.table(house).read_text(encoding="utf-8")


def test_a_table_is_older_than_the_modules_of_vaelib_that_it_rests_on(house, monkeypatch):
    run(monkeypatch)
    stored = experiments.table(house)
    text = stored.read_text(encoding="utf-8")
    stored.write_text(text.replace("vaelib ", "vaelib 0", 1), encoding="utf-8")
    assert experiments.older_than_their_code() == ["one"]


def test_an_unknown_name_is_refused(house, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, "two")
    assert "no experiments/two.py; there are: one" in capsys.readouterr().err
