"""Does the gap change the model that training finds, and is it the normal or the encoder that changes it? Chapter 11.

Twelve data sets at each of two noises, a model for each (the better of two seeds), trained on in three ways: on the ELBO; on the
ELBO with an *own* normal for every training point, whose mean and log variance are free parameters; and on the exact evidence.
For each decoder, in nats:

- ``train``, ``fresh``: its evidence on the 200 training points and on 1,000 fresh ones, ``ceiling``: that of the process there.
- ``refit_gap``: the gap on the training points of an encoder that goes on from the first one with the decoder at rest, for the
  same number of steps behind each decoder.
- ``reach``: the best ELBO with one normal a point, on every fourth training point.
"""

import torch
from torch import Tensor, nn

from vaelib import quadrature, spiral
from vaelib.diagnostics import best_normal, elbo_gap
from vaelib.nets import VAE
from vaelib.objective import comb_log_evidence, elbo_terms
from vaelib.quadrature import normal_grid
from vaelib.train import fit
from vaelib.verify import rng

SETS, RESTARTS, FRESH = 12, 2, 1_000
NOISES = (0.2, 0.4)
STEPS = (1_000, 6_000)
SLICES = 80  # of the prior's mass, for the evidence; shifted at random in each step
REFIT = 3_000
FAST = {"dtype": torch.float32, "lr": 0.01}


class OwnNormals(nn.Module):
    """One q a training point: parameters in place of a network."""

    def __init__(self, mu: Tensor, log_var: Tensor):
        super().__init__()
        self.mu, self.log_var = nn.Parameter(mu.detach().clone()), nn.Parameter(log_var.detach().clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu, self.log_var


def models(x: Tensor, noise: float) -> VAE:
    """The better of the restarts on each data set."""
    each = x.repeat_interleave(RESTARTS, 0)
    stack = VAE(sigma=noise, seeds=range(len(each)))
    fit(stack, each, steps=2_500, lr=0.03, generator=rng(1), dtype=torch.float32)
    elbo = elbo_terms(stack, each, torch.randn(x.shape[1], 64, 1, generator=rng(2), dtype=x.dtype)).elbo.mean(-1)
    best = elbo.reshape(SETS, RESTARTS).argmax(-1).tolist()
    return stack.pick([r * RESTARTS + s for r, s in enumerate(best)])


def trained_on(kept: VAE, x: Tensor, way: str, steps: int) -> VAE:
    vae, objective, shifts = kept.pick(range(SETS)), None, rng(3)
    if way == "own":
        vae = VAE(sigma=kept.sigma, seeds=range(SETS), encoder=OwnNormals(*kept.encode(x)), decoder=vae.decoder)
    if way == "evidence":

        def objective(vae: VAE, points: Tensor, eps: Tensor, step: int) -> Tensor:
            return comb_log_evidence(vae, points, nodes=SLICES, generator=shifts)

    fit(vae, x, steps=steps, generator=rng(4), objective=objective, **FAST)
    return vae


def refit_gap(vae: VAE, kept: VAE, x: Tensor) -> Tensor:
    other = VAE(
        sigma=kept.sigma, seeds=range(SETS), encoder=kept.pick(range(SETS)).encoder, decoder=vae.pick(range(SETS)).decoder
    )
    other.decoder.requires_grad_(False)
    fit(other, x, steps=REFIT, batch_size=100, generator=rng(5), **FAST)
    return elbo_gap(other, x).mean(-1)


def reach(vae: VAE, x: Tensor) -> Tensor:
    """Mean ELBO with the best normal for each point."""
    some = x[:, ::4]
    grid = quadrature.resolving_grid(vae.decode, vae.sigma, some, dtype=x.dtype)
    grid = normal_grid(max(3_201, len(grid.z)), limit=max(8.0, grid.z[-1, 0].item()), dtype=x.dtype)
    lost = -best_normal(quadrature.log_posterior(some, vae.decode, vae.sigma, grid), grid).elbo
    return (quadrature.log_evidence(some, vae.decode, vae.sigma) - lost).mean(-1)


def experiment() -> list[dict]:
    rows = []
    for noise in NOISES:
        x = torch.stack(
            [spiral.sample_spiral(spiral.POINTS, generator=rng(r), evenly_spaced=True, sigma=noise)[1] for r in range(SETS)]
        )
        fresh = torch.stack([spiral.sample_spiral(FRESH, generator=rng(100 + r), sigma=noise)[1] for r in range(SETS)])
        ceiling = torch.stack([spiral.log_evidence(points, sigma=noise) for points in fresh])
        kept = models(x, noise)
        for steps in STEPS:
            for way in ("ELBO", "own", "evidence"):
                vae = trained_on(kept, x, way, steps).requires_grad_(False)
                measured = {
                    "train": quadrature.log_evidence(x, vae.decode, vae.sigma).mean(-1),
                    "fresh": quadrature.log_evidence(fresh, vae.decode, vae.sigma).mean(-1),
                    "ceiling": ceiling.mean(-1),
                    "refit_gap": refit_gap(vae, kept, x),
                    "reach": reach(vae, x),
                }
                for r in range(SETS):
                    row = {"noise": noise, "way": way, "steps": steps, "data_set": r}
                    rows.append(row | {name: values[r].item() for name, values in measured.items()})
    return rows
