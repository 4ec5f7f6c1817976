"""Public functions with one set of valid inputs each: what test_refusals mistreats and test_dtypes moves about."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelib import diagnostics, ppca, quadrature, spiral, thresholds
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
        pointwise: Whether the first axis of every argument and of the result counts points that know nothing of each other.
    """

    function: Callable
    inputs: Callable[[], dict]
    keeps_half: bool = False
    on_meta: bool = True
    pointwise: bool = True

    def __str__(self) -> str:
        return f"{self.function.__module__.removeprefix('vaelib.')}.{self.function.__name__}"


def numbers(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal numbers in float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(*shape: int) -> Tensor:
    """Uniform numbers in float64."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def normal(*shape: int, suffix: str = "", seed: int = 0) -> dict[str, Tensor]:
    """Means and log variances."""
    return {f"mu{suffix}": numbers(*shape, seed=seed), f"log_var{suffix}": numbers(*shape, seed=seed + 1)}


GRID = quadrature.normal_grid(65)


def line(z: Tensor) -> Tensor:
    """A decoder that is a straight line."""
    return torch.cat([z, -0.5 * z], -1)


def at_nodes(points: int) -> Tensor:
    """Log densities at the nodes of the grid."""
    mean = 0.5 * numbers(points, 1)
    return -0.5 * ((GRID.z[:, 0] - mean) / 0.8).square() - math.log(0.8 * math.sqrt(2 * math.pi))


def linear() -> dict:
    """A linear model with two latent axes, and its data."""
    return {"x": numbers(4, 3), "mean": numbers(3, seed=1), "weight": numbers(3, 2, seed=2), "sigma": torch.tensor(0.5)}


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
    *(
        Entrance(function, inputs, on_meta=False, pointwise=False)
        for function, inputs in (
            (quadrature.log_evidence, lambda: {"x": numbers(4, 2), "decode": line, "sigma": torch.tensor(0.5)}),
            (quadrature.log_posterior, lambda: {"x": numbers(4, 2), "decode": line, "sigma": torch.tensor(0.5), "grid": GRID}),
            (quadrature.expectation, lambda: {"values": numbers(4, 65), "log_density": at_nodes(4), "grid": GRID}),
            (quadrature.kl_on_grid, lambda: {"log_q": at_nodes(4), "log_p": at_nodes(4) - 0.1, "grid": GRID}),
            (ppca.maximum_likelihood, lambda: {"x": numbers(9, 3), "latent_dim": 1}),
            (ppca.log_evidence, linear),
            (ppca.posterior, linear),
            (ppca.elbo, lambda: {**linear(), **normal(4, 2, seed=5)}),
            (ppca.kl_per_axis, lambda: {"eigenvalues": 4 * unit(3), "sigma": torch.tensor(0.5)}),
            (spiral.curve, lambda: {"t": 0.1 + 0.9 * unit(4)}),
            (spiral.decode, lambda: {"z": numbers(4, 1)}),
            (spiral.prior_density, lambda: {"t": 0.1 + 0.9 * unit(4)}),
            (spiral.ideal_encoding, lambda: {"t": 0.1 + 0.9 * unit(4)}),
            (spiral.order, lambda: {"mu": numbers(3, 4), "t": 0.1 + 0.9 * unit(4)}),
            (spiral.log_evidence, lambda: {"x": numbers(4, 2), "sigma": torch.tensor(0.2)}),
            (spiral.log_posterior, lambda: {"x": numbers(4, 2), "grid": spiral.t_grid(), "sigma": torch.tensor(0.2)}),
            (diagnostics.best_normal, lambda: {"log_density": at_nodes(4), "grid": GRID}),
            (diagnostics.log_aggregate, lambda: {"z": numbers(5, 2), **normal(4, 2, seed=1)}),
            (diagnostics.active_units, lambda: {"mu": numbers(4, 2)}),
            (thresholds.collapse_threshold, lambda: {"x": numbers(9, 3)}),
            (thresholds.evidence_threshold, lambda: {"x": numbers(9, 3)}),
        )
    ),
]


def moved(inputs: dict, **to) -> dict:
    """Valid arguments in another type or on another device."""
    return {name: value.to(**to) if isinstance(value, Tensor) else value for name, value in inputs.items()}


def tensors(result: object) -> list[Tensor]:
    """The tensors in a result: a tensor, a number, or a tuple of them."""
    if isinstance(result, tuple):
        return [tensor for part in result for tensor in tensors(part)]
    return [result if isinstance(result, Tensor) else torch.as_tensor(result)]


def outcome(function: Callable, inputs: dict, names: tuple[str, ...] | None = None) -> list[Tensor] | None:
    """The tensors of a result, or None for a refusal that names one of `names`, by default any argument."""
    try:
        return tensors(function(**inputs))
    except ValueError as error:
        message = str(error)
    if not any(name in message for name in names or inputs):
        raise AssertionError(f"a refusal names no argument: {message}")
    return None


def each_argument() -> list[tuple[Entrance, str]]:
    """Every tensor that a function takes."""
    return [(e, name) for e in ENTRANCES for name, value in e.inputs().items() if isinstance(value, Tensor)]
