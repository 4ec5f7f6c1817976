"""A grid of (sigma, seed) trained as one stacked fit."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.nets import VAE
from vaelib.train import History, fit


class Sweep(NamedTuple):
    """The fitted stack. Run r has the sigma ``r // len(seeds)`` and the seed ``r % len(seeds)``.

    Attributes:
        vae: All R = S x K fitted models.
        sigmas: The S values of sigma.
        seeds: The K seeds.
        history: The ELBO along the way.
    """

    vae: VAE
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    history: History

    def by_sigma(self, values: Tensor) -> Tensor:
        """Split the leading run axis: ``(R, ...)`` to ``(S, K, ...)``."""
        return values.reshape(len(self.sigmas), len(self.seeds), *values.shape[1:])

    def runs(self, s: int) -> range:
        """Indices of the runs with the s-th sigma."""
        return range(s * len(self.seeds), (s + 1) * len(self.seeds))


def sweep(
    x: Tensor,
    *,
    sigmas: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    lr: float,
    generator: torch.Generator,
    hidden: Sequence[int] = (32,),
    latent_dim: int = 1,
) -> Sweep:
    """Fit one VAE for every pair of a sigma and a seed, all at once.

    Args:
        x: Data, shape ``(N, D)``.
        sigmas: Decoder standard deviations.
        seeds: Seeds of the initial parameters.
        steps: Optimiser steps.
        lr: Peak learning rate.
        generator: Source of the noise, shared by all runs.
        hidden: Widths of the hidden layers.
        latent_dim: Number of latent axes d.

    Returns:
        The fitted stack.

    Raises:
        ValueError: If `sigmas` or `seeds` is empty, and as `VAE` and `fit` do.
    """
    sigmas, seeds = tuple(float(sigma) for sigma in sigmas), tuple(seeds)
    if not sigmas or not seeds:
        raise ValueError(f"found {len(sigmas)} sigmas and {len(seeds)} seeds; expected at least one of each")
    vae = VAE(
        data_dim=x.shape[-1],
        latent_dim=latent_dim,
        hidden=hidden,
        sigma=torch.tensor(sigmas).repeat_interleave(len(seeds)),
        seeds=seeds * len(sigmas),
    )
    return Sweep(vae, sigmas, seeds, fit(vae, x, steps=steps, lr=lr, generator=generator))
