"""Elementary functions in the form that keeps digits and range."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def times_exp(value: Tensor, exponent: Tensor) -> Tensor:
    """``value * exp(exponent)``, also where the exponential alone is out of range and the product is not: 0 times inf."""
    # The square root reaches twice as far. Beyond its limit the square of a product overflows, or vanishes, whatever `value`
    # is, unless it is 0; and infinity never meets 0.
    limit = math.log(torch.finfo(value.dtype).max) - 1
    root = (0.5 * exponent).clamp(-limit, limit).exp()
    return value * root * root


def power_series(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The polynomial c0 + c1 x + c2 x^2 + ... of two coefficients or more, by Horner's rule."""
    *rest, before, last = coefficients
    value = last * x + before
    for coefficient in reversed(rest):
        value = value * x + coefficient
    return value
