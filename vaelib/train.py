"""The only optimiser loop of the book: Adam on the ELBO, many runs at once."""

import sys
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from vaelib._checks import require_at_least_one, require_finite
from vaelib.nets import VAE
from vaelib.objective import elbo_terms

Objective = Callable[[VAE, Tensor, Tensor, int], Tensor]

RECORDS = 100  # how often a fit notes the ELBO


class History(NamedTuple):
    """What a fit went through.

    Attributes:
        step: Steps at which the ELBO was noted, shape ``(T,)``.
        elbo: One-draw estimate of the mean ELBO a point, or of the objective that `fit` was given instead, shape
            ``(T, R)``, in nats.
    """

    step: Tensor
    elbo: Tensor


def fit(
    vae: VAE,
    x: Tensor,
    *,
    steps: int,
    lr: float,
    generator: torch.Generator,
    samples: int = 1,
    batch_size: int | None = None,
    anneal: bool = True,
    objective: Objective | None = None,
) -> History:
    """Maximise the mean ELBO of every run, in place.

    The loss is minus the ELBO, averaged over the points and summed over the runs, so that Adam treats each run as if it
    were alone: run r ends where it would have ended without the others. All runs see the same noise.

    Args:
        vae: R models; their parameters change.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        steps: Optimiser steps.
        lr: Learning rate; the peak of the cycle if `anneal`.
        generator: Source of the batches and of the noise in z.
        samples: Draws of z a point and step, K.
        batch_size: Points a step, in a fresh random order each epoch; all of them if None.
        anneal: Follow a one-cycle schedule (up over the first 30 % of the steps, then down to zero) instead of a constant
            rate.
        objective: What to maximise instead of the ELBO: a function of the models, the batch, its noise ``(N, K, d)`` and
            the step, counted from 1, that returns one value a run and point, ``(R, N)``.

    Returns:
        The ELBO, or the objective, along the way.

    Raises:
        ValueError: If a count is below 1, `lr` is not positive, the data has a NaN or the wrong number of axes, or the
            objective has another shape or stops being finite.

    References:
        Kingma and Ba (2015) for Adam; Smith and Topin (2019) for the one-cycle schedule.
    """
    for name, count in (("steps", steps), ("samples", samples), ("batch_size", 1 if batch_size is None else batch_size)):
        require_at_least_one(name, count)
    if not lr > 0:
        raise ValueError(f"lr must be positive, found {lr}")
    require_finite("x", x)
    if x.ndim not in (2, 3) or x.shape[-1] != vae.data_dim:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, {vae.data_dim}) or (R, N, {vae.data_dim})")
    runs = len(vae.sigma)
    if x.ndim == 3 and x.shape[0] != runs:
        raise ValueError(f"x holds data for {x.shape[0]} runs; expected {runs}")
    if batch_size is not None and batch_size > x.shape[-2]:
        raise ValueError(f"batch_size {batch_size} is larger than the {x.shape[-2]} points of x")

    objective = objective or (lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo)
    optimizer = torch.optim.Adam(vae.parameters(), lr=lr, fused=True)
    # Only the rate goes through a cycle: with Adam's momentum cycled too, more of the restarts end in a folded curve.
    schedule = OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=False) if anneal else None
    order, noted_steps, noted_elbos = torch.arange(x.shape[-2]), [], []
    every = max(1, steps // RECORDS)
    # Shown only when a fit takes over two seconds. On stdout, for there a notebook wipes it without a trace.
    progress = tqdm(range(1, steps + 1), desc="fit", leave=False, delay=2, mininterval=0.5, file=sys.stdout)
    for step in progress:
        batch = x
        if batch_size is not None:
            if len(order) < batch_size or step == 1:
                order = torch.randperm(x.shape[-2], generator=generator)
            batch, order = x[..., order[:batch_size], :], order[batch_size:]
        eps = torch.randn(batch.shape[-2], samples, vae.latent_dim, generator=generator, dtype=x.dtype)
        value = objective(vae, batch, eps, step)
        if value.shape != (runs, batch.shape[-2]):
            raise ValueError(f"objective returned shape {tuple(value.shape)}; expected (R, N) = ({runs}, {batch.shape[-2]})")
        elbo = value.mean(-1)
        loss = -elbo.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        if step % every == 0 or step == steps:
            if not torch.isfinite(elbo).all():
                raise ValueError(f"the objective of run {elbo.isfinite().int().argmin().item()} is not finite at step {step}; lower lr {lr:g}")
            noted_steps.append(step)
            noted_elbos.append(elbo.detach())
    return History(torch.tensor(noted_steps), torch.stack(noted_elbos))
