import numpy as np
import pytest
import torch

from vaelib.verify import STREAM_STEP, claim, rng, standard_error, verify

ONE_TO_TEN = torch.arange(1.0, 11.0)


@pytest.fixture
def soft(monkeypatch):
    monkeypatch.delenv("VAELIB_STRICT")


@pytest.fixture
def line(capsys):
    """The one line that a check prints."""

    def line(check, *args, **options):
        check(*args, **options)
        return capsys.readouterr().out.removesuffix("\n")

    return line


@pytest.mark.parametrize(
    ("lhs", "rhs", "options", "expected"),
    [
        (1.0, 1.0, {"tol": 1e-10}, "sides agree to 1e-10; a relative error of 1e-10 would show"),
        # Relative to the larger entry, which shows a common factor first.
        (
            torch.tensor([1.0, 50.0]),
            torch.tensor([1.0, 50.0]),
            {"tol": 1e-9},
            "sides agree to 1e-9; a relative error of 2e-11 would show",
        ),
        (-3.0, -3.0, {"tol": 0.01}, "sides agree to 0.01; a relative error of 0.005 would show"),
        (9.0, 9.0, {"tol": 0.05}, "sides agree to 0.05; a relative error of 0.01 would show"),
        # An equality may be checked to the last bit; its line claims no more than rounding allows.
        (2.0, 2.0, {"tol": 0.0}, "sides agree to 0; a relative error of 1e-12 would show"),
        (0.0, 0.0, {"tol": 1e-9}, "sides agree to 1e-9; no relative error up to 1 would show"),
        (0.0, 0.0, {"tol": 0.0}, "sides agree to 0; no relative error up to 1 would show"),
        (1e-17, -1e-17, {"tol": 1e-9}, "sides agree to 1e-9; no relative error up to 1 would show"),
        (
            torch.tensor([0.0, 1.0]),
            torch.tensor([0.0, 1.0]),
            {"tol": 1e-9},
            "sides agree to 1e-9; a relative error of 1e-9 would show",
        ),
        # Of two sides that differ, the smaller one.
        (1.0, 4.0, {"tol": 3.0}, "sides agree to 3; no relative error up to 1 would show"),
        (4.0, 1.0, {"tol": 3.0}, "sides agree to 3; no relative error up to 1 would show"),
        (1.0, 2.0, {"tol": 1.0}, "sides agree to 1; a relative error of 1 would show"),
        (
            torch.tensor([10.1, 8.0]),
            torch.tensor([10.0, 8.0]),
            {"standard_error": 0.1},
            "sides agree to 4 standard errors; a relative error of 0.05 would show",
        ),
        (10.1, 10.0, {"standard_error": 0.1}, "sides agree to 4 standard errors; a relative error of 0.05 would show"),
        # The entry with the smallest relative error decides, one without any spread never does.
        (
            torch.tensor([0.9, 2.3, 1.0]),
            1.0,
            {"standard_error": torch.tensor([0.1, 0.4, 0.0])},
            "sides agree to 4 standard errors; a relative error of 0.5 would show",
        ),
        (0.01, 0.0, {"standard_error": 0.1}, "sides agree to 4 standard errors; no relative error up to 1 would show"),
        (2.0, 2.06, {"tol": 0.0, "relation": "<="}, "lhs <= rhs; a relative error of 0.05 would show"),
        (2.0, 2.06, {"tol": 0.01, "relation": "<="}, "lhs <= rhs + 0.01; a relative error of 0.05 would show"),
        (2.0, 2.06, {"tol": 0.05, "relation": "<="}, "lhs <= rhs + 0.05; a relative error of 0.1 would show"),
        (2.05, 2.0, {"tol": 0.1, "relation": "<="}, "lhs <= rhs + 0.1; a relative error of 0.05 would show"),
        # The tightest entry of a bound decides, also one that is attained.
        (
            torch.tensor([1.0, 2.0]),
            torch.tensor([3.0, 2.0]),
            {"tol": 0, "relation": "<="},
            "lhs <= rhs; a relative error of 1e-12 would show",
        ),
        (0, 0.3, {"tol": 0, "relation": "<="}, "lhs <= rhs; no relative error up to 1 would show"),
        (
            1.0,
            1.1,
            {"standard_error": 0.1, "relation": "<="},
            "lhs <= rhs + 4 standard errors; a relative error of 0.5 would show",
        ),
    ],
    ids=str,
)
def test_prints_the_tolerance_and_the_power(line, lhs, rhs, options, expected):
    assert line(verify, "a", lhs, rhs, **options) == f"[ok] a: {expected}"


@pytest.mark.parametrize("tol", [1e-9, 2e-3, 0.5])
@pytest.mark.parametrize("size", [0.7, 1.0, 2.0, 3.14, 50.0, 400.0])
def test_the_power_is_what_the_check_catches(line, soft, tol, size):
    printed = line(verify, "a", size, size, tol=tol)
    power = float(printed.split()[-3])
    assert line(verify, "a", size * (1 + 1.002 * power), size, tol=tol).startswith("[no]")
    # Rounding up to 1, 2 or 5 costs at most a factor 2.5.
    assert line(verify, "a", size * (1 + power / 2.6), size, tol=tol).startswith("[ok]")


@pytest.mark.parametrize("size", [1.0, 2.0, 5.0, 10.0, 3.0])
def test_a_last_place_does_not_change_the_line(line, size):
    nearby = [np.nextafter(size, -np.inf), size, np.nextafter(size, np.inf)]
    assert len({line(verify, "a", side, side, tol=1e-10) for side in nearby}) == 1
    assert len({line(verify, "a", size, side, tol=1e-13, relation="<=") for side in nearby}) == 1


FAILING = [
    (1.0, 1.1, {"tol": 0.05}, "residual 0.1, expected at most 0.05"),
    (1.2, 1.1, {"tol": 0.05, "relation": "<="}, "residual 0.1, expected at most 0.05"),
    (torch.tensor([5.0, 2.0, 1.0]), torch.tensor([5.0, 2.1, 1.0]), {"tol": 1e-3}, "residual 0.1, expected at most 0.001"),
    (float("nan"), 1.0, {"tol": 1e9}, "residual nan, expected at most 1e+09"),
    (torch.tensor([5.0, torch.nan]), torch.tensor([1.0, 1.0]), {"tol": 1e-9}, "residual nan, expected at most 1e-9"),
    (1.0, float("nan"), {"tol": 1e9, "relation": "<="}, "residual nan, expected at most 1e+09"),
    (
        torch.tensor([1.0, 2.0]),
        1.0,
        {"standard_error": torch.tensor([0.1, 0.2])},
        "residual 1, expected at most 4 standard errors",
    ),
    # The entry furthest out of its own tolerance, not the largest residual.
    (
        torch.tensor([3.0, 2.0]),
        1.0,
        {"standard_error": torch.tensor([0.49, 0.01])},
        "residual 1, expected at most 4 standard errors",
    ),
    (1.0, 1.5, {"standard_error": float("nan")}, "residual 0.5, expected at most 4 standard errors"),
]


@pytest.mark.parametrize(("lhs", "rhs", "options", "text"), FAILING, ids=str)
def test_what_does_not_hold_raises_when_strict(lhs, rhs, options, text, capsys):
    with pytest.raises(AssertionError) as error:
        verify("wrong", lhs, rhs, **options)
    assert str(error.value) == f"[no] wrong: {text}"
    assert not capsys.readouterr().out


@pytest.mark.parametrize(("lhs", "rhs", "options", "text"), FAILING, ids=str)
def test_what_does_not_hold_goes_on_for_a_reader(soft, line, lhs, rhs, options, text):
    assert line(verify, "wrong", lhs, rhs, **options) == f"[no] wrong: {text}"


def test_sides_of_any_dtype_and_with_a_gradient(line, soft):
    a = torch.tensor([1, 2])
    far = torch.tensor([100], dtype=torch.int8)
    assert line(verify, "a", far, -far, tol=1).endswith("residual 200, expected at most 1")
    assert line(verify, "a", torch.tensor(True), torch.tensor(True), tol=0).startswith("[ok]")
    assert line(verify, "a", torch.tensor(1.5, requires_grad=True), 1.0, tol=0.1).startswith("[no]")
    assert line(verify, "a", a, a.to(torch.bfloat16).requires_grad_(), tol=1e-9).startswith("[ok]")
    assert line(verify, "a", np.array([1.0]), [1.0], tol=1e-9).startswith("[ok]")


def test_misuse_is_refused():
    with pytest.raises(ValueError, match=r"lhs \(3,\) and rhs \(1,\) differ"):
        verify("a", torch.zeros(3), torch.zeros(1), tol=1.0)
    with pytest.raises(ValueError, match=r"lhs \(0, 2\) is empty"):
        verify("a", torch.zeros(0, 2), torch.zeros(0, 2), tol=1.0)
    with pytest.raises(ValueError, match="exactly one of tol and standard_error"):
        verify("a", 1.0, 1.0)
    with pytest.raises(ValueError, match="exactly one of tol and standard_error"):
        verify("a", 1.0, 1.0, tol=1.0, standard_error=1.0)
    with pytest.raises(ValueError, match="relation"):
        verify("a", 1.0, 1.0, tol=1.0, relation=">=")
    with pytest.raises(ValueError, match=r"standard_error \(3,\) must be a number or of lhs's shape \(2,\)"):
        verify("a", torch.zeros(2), torch.zeros(2), standard_error=torch.ones(3))
    for tol in (-1e-9, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="tol must be finite and at least 0, found"):
            verify("a", 1.0, 1.0, tol=tol)


@pytest.mark.parametrize("label", ["", " ", "two words", "trailing ", None, 3])
def test_a_label_is_a_single_word(label):
    with pytest.raises(ValueError, match="label must be a single word, found"):
        verify(label, 1.0, 1.0, tol=1.0)
    with pytest.raises(ValueError, match="label must be a single word, found"):
        claim(label, True, "1 of 1")


@pytest.mark.parametrize("true", [True, np.True_, torch.tensor(True), torch.tensor(2.0) > 1], ids=str)
def test_a_claim_prints_its_size(line, true):
    assert line(claim, "better", true, "gap 0.2 nats, claimed below 0.5") == "[ok] better: gap 0.2 nats, claimed below 0.5"


@pytest.mark.parametrize("false", [False, np.False_, torch.tensor(False), torch.tensor(torch.nan) < 1], ids=str)
def test_a_claim_that_fails(line, monkeypatch, false):
    with pytest.raises(AssertionError, match=r"^\[no\] better: gap 0.7 nats$"):
        claim("better", false, "gap 0.7 nats")
    for soft in ("0", ""):
        monkeypatch.setenv("VAELIB_STRICT", soft)
        assert line(claim, "better", false, "gap 0.7 nats") == "[no] better: gap 0.7 nats"


@pytest.mark.parametrize("holds", [1, None, "yes", torch.tensor(1), torch.tensor([True])], ids=str)
def test_a_claim_takes_one_truth_value(holds):
    with pytest.raises(ValueError, match="holds must be one truth value, found"):
        claim("a", holds, "1 of 1")


@pytest.mark.parametrize("text", ["", "True", "two\n2 lines", 3])
def test_a_claim_says_the_size(text):
    with pytest.raises(ValueError, match="text must be one line that says the size in digits, found"):
        claim("a", True, text)


def draws(seed, device="cpu"):
    return torch.randn(4, generator=rng(seed, device), device=device)


def test_a_seed_gives_its_draws_until_the_stream_moves(monkeypatch):
    as_torch = torch.randn(4, generator=torch.Generator().manual_seed(3))
    for stream in ("0", ""):
        monkeypatch.setenv("VAELIB_STREAM", stream)
        assert (draws(3) == as_torch).all()
    monkeypatch.delenv("VAELIB_STREAM")
    assert (draws(3) == as_torch).all()
    monkeypatch.setenv("VAELIB_STREAM", "2")
    assert (draws(3) == torch.randn(4, generator=torch.Generator().manual_seed(3 + 2 * STREAM_STEP))).all()


def test_streams_share_no_seed(monkeypatch):
    seen = set()
    for stream in range(4):
        monkeypatch.setenv("VAELIB_STREAM", str(stream))
        seen |= {rng(seed).initial_seed() for seed in (0, 1, 2, STREAM_STEP - 1, np.int64(7))}
    assert len(seen) == 20
    assert max(seen) < 2**32


def test_a_seed_is_wrapped_to_the_bits_that_are_read(monkeypatch):
    monkeypatch.setenv("VAELIB_STREAM", "4294")
    assert rng(2**32 - 1).initial_seed() == (2**32 - 1 + 4294 * STREAM_STEP) % 2**32


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", True, None])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match="seed must be an integer from 0 to 4294967295, found"):
        rng(seed)


@pytest.mark.parametrize("stream", ["-1", "one", "1.5", "4295"])
def test_other_streams_are_refused(monkeypatch, stream):
    monkeypatch.setenv("VAELIB_STREAM", stream)
    with pytest.raises(ValueError, match="VAELIB_STREAM must be an integer from 0 to 4294, found"):
        rng(0)


def test_the_generator_draws_on_its_device():
    assert rng(0, "cpu").device.type == "cpu"
    with pytest.raises(RuntimeError):
        rng(0, device="meta")  # handed on to torch, which has no generator there


def test_standard_error_of_a_mean():
    assert standard_error(ONE_TO_TEN) == pytest.approx((55 / 6) ** 0.5 / 10**0.5)
    table = torch.stack([ONE_TO_TEN, 2 * ONE_TO_TEN])
    assert standard_error(table).tolist() == pytest.approx([(55 / 60) ** 0.5, 2 * (55 / 60) ** 0.5])
    assert standard_error(table, dim=0).tolist() == pytest.approx((ONE_TO_TEN / 2).tolist())
    assert standard_error(table.float()).dtype == torch.float32
    assert standard_error(torch.tensor([True, False])) == 0.5
    assert standard_error(torch.tensor([0, 1])).dtype == torch.float64


@pytest.mark.parametrize(
    ("values", "dim", "message"),
    [
        ([1.0, 2.0], -1, "values must be a torch.Tensor, found list"),
        (torch.tensor(1.0), -1, r"dim must be an axis of values \(\), found -1"),
        (ONE_TO_TEN, 1, r"dim must be an axis of values \(10,\), found 1"),
        (ONE_TO_TEN[:, None], 1, r"values \(10, 1\) must hold at least 2 draws along axis 1, found 1"),
        (ONE_TO_TEN[:0], 0, "found 0"),
    ],
    ids=str,
)
def test_standard_error_refuses(values, dim, message):
    with pytest.raises(ValueError, match=message):
        standard_error(values, dim)
