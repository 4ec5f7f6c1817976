"""One checked equation, one printed line."""

import torch
from torch import Tensor

MAX_Z_SCORE = 4.0  # a correct Monte Carlo estimate fails one such check in about 16,000


def verify(
    label: str,
    lhs: float | Tensor,
    rhs: float | Tensor,
    *,
    tol: float | None = None,
    relation: str = "==",
    standard_error: float | Tensor | None = None,
) -> None:
    """Check the equation named `label`, and print what held.

    The printed line gives the tolerance, never the residual, so that it is the same on every machine.

    Args:
        label: Label of the equation in the text.
        lhs: Left side, any shape.
        rhs: Right side, a number or the shape of `lhs`.
        tol: Largest deviation allowed.
        relation: ``"=="`` for equality, ``"<="`` for ``lhs <= rhs + tol``.
        standard_error: Of a Monte Carlo `lhs`; the check is then on four standard errors instead of `tol`.

    Raises:
        AssertionError: If the equation does not hold, or a side is NaN.
        ValueError: If the shapes differ, the relation is unknown, or not exactly one of `tol` and `standard_error` is given.

    Example:
        >>> verify("one-plus-one", 1 + 1, 2, tol=1e-12)
        [ok] one-plus-one: |lhs - rhs| <= 1e-12
    """
    if (tol is None) == (standard_error is None):
        raise ValueError("expected exactly one of tol and standard_error")
    if relation not in ("==", "<="):
        raise ValueError(f'relation must be "==" or "<=", found {relation!r}')
    lhs, rhs = (torch.as_tensor(side, dtype=torch.float64).detach() for side in (lhs, rhs))
    if lhs.shape != rhs.shape and rhs.ndim:
        raise ValueError(f"lhs {tuple(lhs.shape)} and rhs {tuple(rhs.shape)} differ; expected one shape or a number")
    residual = lhs - rhs if relation == "<=" else (lhs - rhs).abs()
    if standard_error is None:
        allowed, words = torch.as_tensor(tol, dtype=torch.float64), f"{tol:g}"
    else:
        allowed = MAX_Z_SCORE * torch.as_tensor(standard_error, dtype=torch.float64)
        words = f"{MAX_Z_SCORE:g} standard errors"
    # Written so that a NaN on either side fails.
    if not (residual <= allowed).all():
        worst = (residual - allowed).nan_to_num(nan=torch.inf).argmax()
        found = residual.flatten()[worst % residual.numel()].item()
        raise AssertionError(f"[FAILED] {label}: residual {found:.3g}, expected at most {words}")
    print(f"[ok] {label}: " + (f"|lhs - rhs| <= {words}" if relation == "==" else f"lhs <= rhs + {words}"))
