"""One checked equation or one checked verdict, one printed line; and the book's only source of seeds.

A check that fails prints ``[no]`` and goes on: a reader who changed a number wants to see what follows. With
``VAELIB_STRICT=1`` in the environment, as when the book executes or tests itself, it raises instead.
"""

import math
import os

import numpy as np
import torch
from torch import Tensor

MAX_Z_SCORE = 4.0  # a correct Monte Carlo estimate fails one such check in about 16,000
FINEST_POWER = 1e-12  # no finer one is claimed: what lies below is rounding, which differs between machines
ROUNDING_MARGIN = 1e-3  # relative: a ratio this little above 1e-10 is printed as 1e-10, so that rounding never decides
SEED_LIMIT = 2**32  # the CPU's generator reads 32 bits of its seed
STREAM_STEP = 1_000_003  # seeds below it never meet those of another stream


def verify(
    label: str,
    lhs: float | Tensor,
    rhs: float | Tensor,
    *,
    tol: float | None = None,
    relation: str = "==",
    standard_error: float | Tensor | None = None,
) -> None:
    r"""Check the equation named `label`, and print how closely it held and what the check would have caught.

    The line gives the tolerance, never the residual, and the power of the check: the smallest relative error of the
    equation that it would have caught. An error by a factor :math:`1 + \delta` in every entry of a side shows as soon as it
    moves one entry out of what is allowed there, so the power is the smallest ratio of what is allowed to the size of the
    entry (the smaller of its two sides; an entry of 0 has no relative error). What is allowed is `tol` or four standard
    errors; in a bound ``lhs <= rhs`` the room that is left between the sides comes on top. The ratio is rounded up to 1, 2
    or 5 times a power of ten, so that the line is the same on every machine.

    Args:
        label: Label of the equation in the text.
        lhs: Left side, any shape.
        rhs: Right side, a number or the shape of `lhs`.
        tol: Largest deviation allowed.
        relation: ``"=="`` for equality, ``"<="`` for ``lhs <= rhs + tol``.
        standard_error: Of a Monte Carlo `lhs`, a number or the shape of `lhs`; the check is then on four standard errors
            instead of `tol`.

    Raises:
        AssertionError: If ``VAELIB_STRICT`` is set and the equation does not hold, or a side is NaN.
        ValueError: If the label is no single word, the shapes differ, a side is empty, the relation is unknown, `tol` is
            negative or not finite, or not exactly one of `tol` and `standard_error` is given.

    Example:
        >>> verify("one-plus-one", 1 + 1, 2, tol=1e-12)
        [ok] one-plus-one: sides agree to 1e-12; a relative error of 1e-12 would show
        >>> verify("jensen", 2.0, 2.3, tol=0, relation="<=")
        [ok] jensen: lhs <= rhs; a relative error of 0.2 would show
    """
    _require_label(label)
    if (tol is None) == (standard_error is None):
        raise ValueError("expected exactly one of tol and standard_error")
    if tol is not None and not 0 <= tol < math.inf:
        raise ValueError(f"tol must be finite and at least 0, found {tol}")
    if relation not in ("==", "<="):
        raise ValueError(f'relation must be "==" or "<=", found {relation!r}')
    lhs, rhs = _on_cpu(lhs), _on_cpu(rhs)
    if lhs.shape != rhs.shape and rhs.ndim:
        raise ValueError(f"lhs {tuple(lhs.shape)} and rhs {tuple(rhs.shape)} differ; expected one shape or a number")
    if not lhs.numel():
        raise ValueError(f"lhs {tuple(lhs.shape)} is empty; expected at least one value to check")
    if tol is not None:
        allowed, words = torch.tensor(tol, dtype=torch.float64), _short(tol)
    else:
        allowed, words = MAX_Z_SCORE * _on_cpu(standard_error), f"{MAX_Z_SCORE:g} standard errors"
        if allowed.shape != lhs.shape and allowed.ndim:
            raise ValueError(f"standard_error {tuple(allowed.shape)} must be a number or of lhs's shape {tuple(lhs.shape)}")
    residual = lhs - rhs if relation == "<=" else (lhs - rhs).abs()
    # Written so that a NaN on either side fails.
    if not (residual <= allowed).all():
        worst = (residual - allowed).nan_to_num(nan=math.inf).argmax()
        _fail(label, f"residual {residual.flatten()[worst].item():.3g}, expected at most {words}")
        return
    if relation == "==":
        room, held = allowed, f"sides agree to {words}"
    else:
        room, held = allowed - residual, f"lhs <= rhs + {words}" if words != "0" else "lhs <= rhs"
    size = torch.minimum(lhs.abs(), rhs.abs())
    # A side of 0 has no relative error, and an estimate without spread says nothing about how far it may be off.
    counted = (size > 0) if tol is not None else (size > 0) & (allowed > 0)
    print(f"[ok] {label}: {held}; {_power((room / size)[counted])}")


def claim(label: str, holds: bool | Tensor, text: str) -> None:
    """Check a verdict on an experiment, and print its size.

    Args:
        label: Name of the claim, unique over the book.
        holds: Whether the claim holds: one truth value.
        text: What was found and what is claimed, on one line; it says the size, so it holds a digit.

    Raises:
        AssertionError: If ``VAELIB_STRICT`` is set and the claim does not hold.
        ValueError: If the label is no single word, `holds` is not one truth value, or `text` is not a line with a digit.

    Example:
        >>> claim("sweep-good-range", 0.8 <= 1.05 <= 1.3, "best sigma / sigma_data = 1.05, claimed 0.8 to 1.3")
        [ok] sweep-good-range: best sigma / sigma_data = 1.05, claimed 0.8 to 1.3
    """
    _require_label(label)
    if isinstance(holds, Tensor):
        if holds.dtype != torch.bool or holds.ndim:
            raise ValueError(f"holds must be one truth value, found a tensor {tuple(holds.shape)} of {holds.dtype}")
    elif not isinstance(holds, bool | np.bool_):
        raise ValueError(f"holds must be one truth value, found {type(holds).__name__}")
    if not isinstance(text, str) or "\n" in text or not any(character.isdigit() for character in text):
        raise ValueError(f"text must be one line that says the size in digits, found {text!r}")
    if holds:
        print(f"[ok] {label}: {text}")
    else:
        _fail(label, text)


def rng(seed: int, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for `seed`; the environment variable ``VAELIB_STREAM`` (0, 1, ...) shifts every seed of the book.

    Args:
        seed: Integer from 0 to 2^32 - 1: more bits than 32 would be dropped, and two seeds give the same draws. Different
            seeds differ within a stream; below 1,000,003 they also differ from every seed of another stream.
        device: Where the generator draws.

    Raises:
        ValueError: If `seed` or ``VAELIB_STREAM`` is no such integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < SEED_LIMIT:
        raise ValueError(f"seed must be an integer from 0 to {SEED_LIMIT - 1}, found {seed!r}")
    stream = os.environ.get("VAELIB_STREAM") or "0"
    if not stream.isdecimal() or int(stream) * STREAM_STEP >= SEED_LIMIT:
        raise ValueError(f"VAELIB_STREAM must be an integer from 0 to {SEED_LIMIT // STREAM_STEP}, found {stream!r}")
    return torch.Generator(device=device).manual_seed((int(seed) + STREAM_STEP * int(stream)) % SEED_LIMIT)


def standard_error(values: Tensor, dim: int = -1) -> Tensor:
    r"""Standard error of the mean over one axis of independent draws, :math:`s / \sqrt n`.

    Args:
        values: The draws, any shape; integers and truth values count as float64.
        dim: Axis of the n draws.

    Returns:
        The shape of `values` without `dim`, in the unit of `values`.

    Raises:
        ValueError: If `values` is no tensor or has no such axis, or there are fewer than two draws.
    """
    if not isinstance(values, Tensor):
        raise ValueError(f"values must be a torch.Tensor, found {type(values).__name__}")
    if not -values.ndim <= dim < values.ndim:
        raise ValueError(f"dim must be an axis of values {tuple(values.shape)}, found {dim}")
    n = values.shape[dim]
    if n < 2:
        raise ValueError(f"values {tuple(values.shape)} must hold at least 2 draws along axis {dim}, found {n}")
    if not values.is_floating_point():
        values = values.double()
    return values.std(dim) / n**0.5


def _require_label(label: str) -> None:
    if not isinstance(label, str) or len(label.split()) != 1 or label != label.strip():
        raise ValueError(f"label must be a single word, found {label!r}")


def _on_cpu(side: object) -> Tensor:
    """A side in float64; on the CPU, since some devices have none."""
    return torch.as_tensor(side).cpu().double()


def _fail(label: str, text: str) -> None:
    if os.environ.get("VAELIB_STRICT", "0") not in ("", "0"):
        raise AssertionError(f"[no] {label}: {text}")
    print(f"[no] {label}: {text}")


def _power(ratios: Tensor) -> str:
    """What the smallest of the ratios (allowed deviation / size of the side) says about the check."""
    smallest = max(min(ratios.tolist(), default=math.inf) * (1 - ROUNDING_MARGIN), FINEST_POWER)
    if smallest > 1:
        return "no relative error up to 1 would show"
    return f"a relative error of {_short(_round_up(smallest))} would show"


def _round_up(value: float) -> float:
    """The next of 1, 2 or 5 times a power of ten."""
    exponent = math.floor(math.log10(value))
    steps = (float(f"{digit}e{exponent + shift}") for shift in range(2) for digit in (1, 2, 5))
    return next(step for step in steps if step >= value)


def _short(value: float) -> str:
    """A number as a person writes it: 1e-9, not 1e-09."""
    return f"{value:g}".replace("e-0", "e-")
