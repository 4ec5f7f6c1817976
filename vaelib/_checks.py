"""Refusals at the public entrances: what broadcasting, truncation or NaN would otherwise hide.

Every message names the argument, what was found and what was expected. A check of values passes where there are none to
look at: on the meta device, under a FakeTensorMode, inside a transform of `torch.func`. It passes for an empty tensor too,
where it holds for every entry; `require_nonempty` is for a quantity that needs one.
"""

import contextlib
import functools
import math
import numbers
import operator
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

P = ParamSpec("P")
T = TypeVar("T")
FLOATING = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def require_tensor(name: str, value: object) -> None:
    """Raise ``ValueError`` unless `value` is a tensor; an array or a list has neither a device nor a gradient."""
    if not isinstance(value, Tensor):
        raise ValueError(f"{name} must be a torch.Tensor, found {type(value).__name__}")


def require_floating(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` unless `value` is a real floating tensor, for an integer would truncate what it meets."""
    require_tensor(name, value)
    if value.dtype not in FLOATING:
        raise ValueError(f"{name} is {value.dtype}; expected a real floating type")


def as_floating(*, least: torch.dtype | None = None, **values: Tensor) -> list[Tensor]:
    """The tensors in the one floating type that they promote to together: integer and bool data in that of their partner.

    Args:
        least: The narrowest type to compute in; a half has too few digits for a sum of nats.
        **values: Tensors by the names that an error shall give them.

    Returns:
        The tensors, in the order given.

    Raises:
        ValueError: If one is no tensor or holds complex numbers, none is floating, or they are on different devices.
    """
    for name, value in values.items():
        _require_real(name, value)
    floating = [value.dtype for value in values.values() if value.dtype in FLOATING]
    if not floating:
        types = ", ".join(f"{name} is {value.dtype}" for name, value in values.items())
        raise ValueError(f"{types}; expected a floating type")
    devices = {name: value.device for name, value in values.items() if value.ndim}
    if len(set(devices.values())) > 1:
        raise ValueError(f"{', '.join(f'{name} is on {device}' for name, device in devices.items())}; expected one device")
    dtype = functools.reduce(torch.promote_types, floating if least is None else [*floating, least])
    return [value.to(dtype) for value in values.values()]


def as_positive(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """A positive number, or a tensor of them, in the type of `like` and where that is.

    Raises:
        ValueError: If it is neither, an entry is not finite and above zero, or a tensor with axes is on another device.
    """
    if not isinstance(value, Tensor):
        require_positive(name, value)
        value = torch.full((), float(value), dtype=like.dtype, device=like.device)
    _require_real(name, value)
    if value.device != like.device and (value.ndim or value.is_meta):  # one number may come from anywhere
        raise ValueError(f"{name} is on {value.device}; expected {like.device}, as the data")
    value = value.to(device=like.device, dtype=like.dtype)
    require_positive(name, value)
    return value


def require_finite(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` if `value` holds a NaN or an infinity."""
    require_tensor(name, value)
    finite = torch.isfinite(value)
    if has_values(value) and not finite.all():
        raise ValueError(f"{name} holds {(~finite).sum().item()} values that are NaN or infinite; expected finite numbers")


def require_positive(name: str, value: float | Tensor) -> None:
    """Raise ``ValueError`` unless a number, or every entry of a tensor, is finite and above zero."""
    if isinstance(value, Tensor):
        # Comparisons are written so that a NaN fails.
        if has_values(value) and not ((value > 0) & (value < math.inf)).all():
            low, high = torch.aminmax(value)
            raise ValueError(f"{name} must be positive and finite, found {low.item():g} to {high.item():g} in {value.dtype}")
    elif not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number, found {type(value).__name__}")
    elif not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive and finite, found {value:g}")


def require_in_unit_interval(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` unless every entry lies in [0, 1]."""
    require_tensor(name, value)
    if has_values(value) and not ((value >= 0) & (value <= 1)).all():  # written so that a NaN fails
        low, high = torch.aminmax(value)
        raise ValueError(f"{name} must lie in [0, 1], found {low.item():g} to {high.item():g}")


def require_nonempty(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` if a tensor holds no entry: a mean or a maximum of none is no number."""
    require_tensor(name, value)
    if value.numel() == 0:
        raise ValueError(f"{name} {tuple(value.shape)} is empty; expected at least one entry")


def require_same_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    """Raise ``ValueError`` if two tensors differ in shape; broadcasting would count entries twice."""
    require_tensor(name_a, a)
    require_tensor(name_b, b)
    if a.shape != b.shape:
        raise ValueError(f"{name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)} differ; expected the same shape")


def require_at_least_one(name: str, value: int) -> None:
    """Raise ``ValueError`` unless `value` is a whole number of at least 1; True and 2.0 are no counts."""
    try:
        whole = not isinstance(value, bool) and operator.index(value)
    except TypeError:
        whole = False
    if whole is False:
        raise ValueError(f"{name} must be a whole number, found {value!r}")
    if whole < 1:
        raise ValueError(f"{name} must be at least 1, found {value}")


def joint_leading_shape(name_a: str, a: Tensor, name_b: str, b: Tensor) -> torch.Size:
    """The leading axes of two tensors of events ``(..., D)``, broadcast; what could hide an error is refused.

    A missing axis and an axis of 1 broadcast, as everywhere. Refused is the one case in which the axes fit both ways:
    (N, 1, D) against (N, D) makes N x N values, and as likely each of the N was to meet its own.

    Raises:
        ValueError: If one has no axis, the last axes differ, or the leading ones do not broadcast or fit both ways.
    """
    require_tensor(name_a, a)
    require_tensor(name_b, b)
    found = f"{name_a} {tuple(a.shape)} and {name_b} {tuple(b.shape)}"
    if not (a.ndim and b.ndim) or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"{found} differ in their last axis; expected one of the same length")
    try:
        joint = torch.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    except RuntimeError:
        raise ValueError(f"{found} do not broadcast in their leading axes") from None
    if a.ndim != b.ndim and joint not in (a.shape[:-1], b.shape[:-1]):
        pairs = list(zip(a.shape[:-1], b.shape[:-1], strict=False))  # aligned on the left, where torch aligns on the right
        if all(i == j or 1 in (i, j) for i, j in pairs) and any(i == j > 1 for i, j in pairs):
            short = name_a if a.ndim < b.ndim else name_b
            raise ValueError(
                f"{found} would give {tuple(joint)} values; expected as many axes in both: {short}[None] makes every pair, "
                f"{short}.unsqueeze(-2) lets each meet its own"
            )
    return joint


def _require_real(name: str, value: Tensor) -> None:
    """Raise ``ValueError`` unless `value` is a tensor of real numbers, of a type that can be promoted."""
    require_tensor(name, value)
    if value.dtype not in FLOATING and (value.dtype.is_floating_point or value.dtype.is_complex):
        raise ValueError(f"{name} is {value.dtype}; expected real numbers of a common type")


def full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """A function outside `torch.autocast`, which would take matrix products in half precision: an oracle's log by 0.05 nats."""

    @functools.wraps(function)
    def outside(*args: P.args, **kwargs: P.kwargs) -> T:
        given = {value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)}
        with contextlib.ExitStack() as stack:
            for device in given:
                if torch.amp.is_autocast_available(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            return function(*args, **kwargs)

    return outside


def has_values(value: Tensor) -> bool:
    """Whether the entries of a tensor can be looked at."""
    return not (value.is_meta or isinstance(value, FakeTensor) or torch._C._functorch.is_functorch_wrapped_tensor(value))
