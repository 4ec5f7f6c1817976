import pytest
import torch

from vaelib.verify import verify


def test_prints_the_tolerance_and_not_the_residual(capsys):
    verify("a", torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0 + 1e-12]), tol=1e-10)
    verify("b", 1.0, 1.5, tol=0.0, relation="<=")
    verify("c", torch.tensor([0.9, 2.3]), 1.0, standard_error=torch.tensor([0.1, 0.4]))
    assert capsys.readouterr().out.splitlines() == [
        "[ok] a: |lhs - rhs| <= 1e-10",
        "[ok] b: lhs <= rhs + 0",
        "[ok] c: |lhs - rhs| <= 4 standard errors",
    ]


@pytest.mark.parametrize(
    ("lhs", "rhs", "options"),
    [
        (1.0, 1.1, {"tol": 0.05}),
        (1.2, 1.1, {"tol": 0.05, "relation": "<="}),
        (torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.1]), {"tol": 1e-3}),
        (float("nan"), 1.0, {"tol": 1e9}),
        (1.0, float("nan"), {"tol": 1e9, "relation": "<="}),
        (torch.tensor([1.0, 2.0]), 1.0, {"standard_error": torch.tensor([0.1, 0.2])}),
        (1.0, 1.5, {"standard_error": float("nan")}),
    ],
    ids=str,
)
def test_what_does_not_hold_raises(lhs, rhs, options, capsys):
    with pytest.raises(AssertionError, match=r"\[FAILED\] wrong: residual"):
        verify("wrong", lhs, rhs, **options)
    assert "[ok]" not in capsys.readouterr().out


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"lhs \(3,\) and rhs \(1,\) differ"):
        verify("a", torch.zeros(3), torch.zeros(1), tol=1.0)
    with pytest.raises(ValueError, match="exactly one of tol and standard_error"):
        verify("a", 1.0, 1.0)
    with pytest.raises(ValueError, match="relation"):
        verify("a", 1.0, 1.0, tol=1.0, relation=">=")
