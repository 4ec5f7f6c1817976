"""Which part of a VAE is in the way on a spiral of three turns? Chapter 13.

Four data sets of 1,000 points, one seed on each, networks of two layers of 64, at two budgets. "growing turns" winds the data
from one turn to three over the first 60 % of the steps.

- "taught": lessons with the true latent first, then the ELBO alone. "no encoder": growing turns on the exact evidence, by a comb
  of 256 nodes under a fresh shift at each step. "encoder alone": a fresh encoder before the true decoder, which rests.
- "gap" and "order" as in `two_turns`; "elbo" of the training points, in nats. "placed": the share of the training points whose
  encoder mean is decoded to their own turn.
"""

import math

import torch
from torch import Tensor, nn

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.gaussian import gaussian_log_density
from vaelib.likelihood import gaussian_log_likelihood
from vaelib.nets import VAE
from vaelib.objective import comb_log_evidence, elbo_terms
from vaelib.train import fit
from vaelib.verify import rng

TURNS, OMEGA, SIGMA = 3, 6 * math.pi, spiral.SIGMA
SETS, POINTS, NODES = 4, 1_000, 256
BUDGETS = {
    "plain": (2_000, 20_000),
    "growing turns": (2_000, 8_000),
    "taught": (2_000, 8_000),
    "no encoder": (2_000, 4_000),
    "encoder alone": (2_000, 20_000),
}


class TrueDecoder(nn.Module):
    """The process itself, as a decoder of a standard normal latent."""

    def forward(self, z: Tensor) -> Tensor:
        return spiral.decode(z, omega=OMEGA).expand(SETS, -1, -1)


def unwind(x: Tensor, by: float) -> Tensor:
    angle = -2 * math.pi * by * x.norm(dim=-1, keepdim=True) / spiral.R_DOT
    return angle.cos() * x + angle.sin() * torch.cat([-x[..., 1:], x[..., :1]], -1)


def objective(recipe: str, steps: int):
    shifts = rng(6)

    def maximised(vae: VAE, x: Tensor, eps: Tensor, step: int) -> Tensor:
        grown = unwind(x, (TURNS - 1) * (1 - min(1.0, step / (0.6 * steps))))
        if recipe == "no encoder":
            return comb_log_evidence(vae, grown, nodes=NODES, generator=shifts)
        return elbo_terms(vae, grown, eps).elbo

    return maximised if recipe in ("growing turns", "no encoder") else None


def lessons(vae: VAE, batch: Tensor, eps: Tensor, step: int) -> Tensor:
    """With z known, log p(x|z) + log q(z|x): fresh points and their ideal latents."""
    t, x = spiral.sample_spiral(batch.shape[-2], generator=rng(10_000 + step), omega=OMEGA, dtype=batch.dtype)
    z = spiral.ideal_encoding(t)[:, None].expand(vae.runs, -1, -1)
    return gaussian_log_likelihood(x, vae.decode(z), SIGMA) + gaussian_log_density(z, *vae.encode(x))


def nearest_time(mean: Tensor) -> Tensor:
    """Time of the true curve's point nearest to each mean, ``(..., M, 2)`` to ``(..., M)``."""
    times = torch.linspace(0.1, 1, 1_000, dtype=torch.float64)
    true_curve = spiral.curve(times, omega=OMEGA)
    return torch.stack([times[torch.cdist(each, true_curve).argmin(-1)] for each in mean])


def measures(vae: VAE, t: Tensor, x: Tensor, recipe: str) -> dict[str, Tensor]:
    """Gap, order, ELBO and the share of points placed right, ``(R,)`` each."""
    plane = spiral.plane_grid(omega=OMEGA, floor=1e-9)
    grid = quadrature.normal_grid(1001, limit=5.0)
    gap = plane.mean(plane.log_p - quadrature.log_evidence(plane.x, vae.decode, vae.sigma))
    ideal = (spiral.U_MIN + (1 - spiral.U_MIN) * torch.special.ndtr(grid.z[:, 0])).sqrt()
    at = nearest_time(vae.decode(grid.z))
    right = torch.stack([(at - each).abs() < 0.5 / TURNS for each in (ideal, ideal.flip(0))])
    found = {"gap": gap, "order": (right.double() @ (grid.log_prior + grid.log_weight).exp()).amax(0)}
    if recipe == "no encoder":
        return found | {"elbo": torch.full_like(gap, math.nan), "placed": torch.full_like(gap, math.nan)}
    placed = (nearest_time(vae(x)) - t).abs() < 0.5 / TURNS
    return found | {"elbo": exact_terms(vae, x).elbo.mean(-1), "placed": placed.double().mean(-1)}


def experiment() -> list[dict]:
    sources = [rng(200 + data_set) for data_set in range(SETS)]
    pairs = [spiral.sample_spiral(POINTS, generator=source, omega=OMEGA, evenly_spaced=True) for source in sources]
    t, x = (torch.stack(each) for each in zip(*pairs, strict=True))
    settings = {"batch_size": 200, "dtype": torch.float32}
    rows = []
    for recipe, budgets in BUDGETS.items():
        decoder = TrueDecoder() if recipe == "encoder alone" else None
        first = VAE(sigma=SIGMA, hidden=(64, 64), seeds=range(SETS), decoder=decoder)
        if recipe == "taught":
            fit(first, x, steps=1_500, lr=0.01, generator=rng(1), objective=lessons, **settings)
        for steps in budgets:
            vae = first.pick(range(SETS))
            peak = 0.003 if recipe == "taught" else 0.01
            fit(vae, x, steps=steps, lr=peak, generator=rng(1), objective=objective(recipe, steps), **settings)
            found = measures(vae.requires_grad_(False), t, x, recipe)
            for run in range(SETS):
                row = {"recipe": recipe, "steps": steps, "data_set": run}
                rows.append(row | {name: values[run].item() for name, values in found.items()})
    return rows
