"""Public functions with one set of valid inputs each: what test_refusals mistreats and test_dtypes moves about."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelib.gaussian import gaussian_log_density, reparameterize
from vaelib.kl import kl_between_gaussians, kl_to_standard_normal, kl_to_standard_normal_per_dim
from vaelib.likelihood import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    continuous_bernoulli_log_normalizer,
    continuous_bernoulli_mean,
    gaussian_log_likelihood,
)


@dataclass(frozen=True)
class Entrance:
    """A function and valid arguments for it.

    Attributes:
        function: What is called, with keywords.
        inputs: Makes valid arguments, tensors in float64; called anew for every test.
        keeps_half: Whether a result of halves is a half; nats never are.
        on_meta: Whether the function runs on tensors without values.
    """

    function: Callable
    inputs: Callable[[], dict]
    keeps_half: bool = False
    on_meta: bool = True

    def __str__(self) -> str:
        return self.function.__name__


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape: int) -> Tensor:
    """Uniform numbers in float64."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def normal(*shape: int, suffix: str = "", seed: int = 0) -> dict[str, Tensor]:
    """Means and log variances."""
    return {f"mu{suffix}": numbers(*shape, seed=seed), f"log_var{suffix}": numbers(*shape, seed=seed + 1)}


ENTRANCES = [
    Entrance(gaussian_log_density, lambda: {"z": numbers(4, 3), **normal(4, 3, seed=1)}),
    Entrance(reparameterize, lambda: {**normal(4, 3), "eps": numbers(4, 3, seed=2)}, keeps_half=True),
    Entrance(kl_to_standard_normal, lambda: normal(4, 3)),
    Entrance(kl_to_standard_normal_per_dim, lambda: normal(4, 3)),
    Entrance(kl_between_gaussians, lambda: {**normal(4, 3, suffix="_q"), **normal(4, 3, suffix="_p", seed=2)}),
    Entrance(gaussian_log_likelihood, lambda: {"x": numbers(4, 3), "mean": numbers(4, 3, seed=1), "sigma": unit(4, 1) + 0.5}),
    Entrance(bernoulli_log_likelihood, lambda: {"x": unit(4, 3), "logits": numbers(4, 3)}),
    Entrance(continuous_bernoulli_log_likelihood, lambda: {"x": unit(4, 3), "logits": numbers(4, 3)}),
    Entrance(continuous_bernoulli_log_normalizer, lambda: {"logits": numbers(4, 3)}),
    Entrance(continuous_bernoulli_mean, lambda: {"logits": numbers(4, 3)}, keeps_half=True),
]


def tensors(result: object) -> list[Tensor]:
    """The tensors in a result: a tensor, a number, or a tuple of them."""
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in tensors(part)]
    return [result if isinstance(result, Tensor) else torch.as_tensor(result)]


def each_argument() -> list[tuple[Entrance, str]]:
    """Every tensor that a function takes."""
    return [(e, name) for e in ENTRANCES for name, value in e.inputs().items() if isinstance(value, Tensor)]
