"""Refusals at the public entrances: what broadcasting or NaN would otherwise hide."""

import torch
from torch import Tensor


def require_finite(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` if `value` holds a NaN or an infinity."""
    bad = (~torch.isfinite(value)).sum().item()
    if bad:
        raise ValueError(f"{name} holds {bad} values that are NaN or infinite; expected finite numbers")


def require_positive(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` unless every entry of `value` is finite and above zero."""
    low, high = torch.aminmax(value)
    if not (low > 0 and high < float("inf")):  # written so that a NaN fails
        raise ValueError(f"{name} must be positive and finite, found {low.item():g} to {high.item():g}")


def require_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Raise ``ValueError`` if two tensors differ in shape; broadcasting would count entries twice."""
    if a.shape != b.shape:
        raise ValueError(f"{name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)} differ; expected the same shape")


def require_at_least_one(name: str, value: int) -> None:
    """Raise ``ValueError`` if a count is below 1."""
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value}")
