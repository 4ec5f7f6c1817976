"""What do more steps, a remedy, or the answer itself reach on a spiral of two turns? Chapter 13.

Four data sets of 1,000 points. On each of them every recipe is run at up to three budgets: plain fits and growing turns from two
seeds, the others from one. A recipe's schedule (annealing, growth) spans the first 60 % of its steps, and each budget is a fit of
its own with the same peak rate.

- "gap": what the exact evidence lacks of the process's, in nats, over the whole plane. "order": the share of the prior that is
  decoded to the right turn. "elbo": of the training points, in nats; with two latent axes it is an estimate from 100 draws.
- "curve": where the decoder puts 301 equal shares of the prior, for the first data set's better seed, of some recipes.
"""

import math

import torch
from torch import Tensor, nn

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.gaussian import gaussian_log_density
from vaelib.likelihood import gaussian_log_likelihood
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.train import fit
from vaelib.verify import rng

TURNS, OMEGA, SIGMA = 2, 4 * math.pi, spiral.SIGMA
SETS, POINTS = 4, 1_000
BUDGETS = {
    "plain": (2_000, 8_000, 30_000),
    "taught": (2_000, 30_000),
    "two axes": (2_000, 8_000, 30_000),
    "growing turns": (2_000, 8_000),
    "wider": (2_000, 8_000),
    "KL warm-up": (2_000, 8_000),
    "sigma annealing": (2_000, 8_000),
    "outward": (2_000, 8_000),
    "radius given": (2_000, 8_000),
}
TWO_SEEDS = ("plain", "growing turns")  # and their curves are kept


class WithRadius(nn.Module):
    """An encoder that also reads the distance from the origin."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.encoder(torch.cat([x, x.norm(dim=-1, keepdim=True)], -1))


def unwind(x: Tensor, by: float) -> Tensor:
    angle = -2 * math.pi * by * x.norm(dim=-1, keepdim=True) / spiral.R_DOT
    return angle.cos() * x + angle.sin() * torch.cat([-x[..., 1:], x[..., :1]], -1)


def objective(recipe: str, steps: int):
    def maximised(vae: VAE, x: Tensor, eps: Tensor, step: int) -> Tensor:
        done = min(1.0, step / (0.6 * steps))
        terms = elbo_terms(vae, unwind(x, (TURNS - 1) * (1 - done)) if recipe == "growing turns" else x, eps)
        if recipe == "KL warm-up":
            return terms.reconstruction - done * terms.kl
        if recipe == "sigma annealing":  # from 1 down
            return (SIGMA / SIGMA**done) ** 2 * terms.reconstruction - terms.kl
        if recipe == "outward":
            inside = (x.norm(dim=-1) < 0.7 + 2.5 * done).to(x)
            return terms.elbo * inside / inside.mean(-1, keepdim=True)
        return terms.elbo

    plain = recipe in ("plain", "taught", "two axes", "wider", "radius given")
    return None if plain else maximised


def lessons(vae: VAE, batch: Tensor, eps: Tensor, step: int) -> Tensor:
    """With z known, log p(x|z) + log q(z|x): fresh points and their ideal latents."""
    t, x = spiral.sample_spiral(batch.shape[-2], generator=rng(10_000 + step), omega=OMEGA, dtype=batch.dtype)
    z = spiral.ideal_encoding(t)[:, None].expand(vae.runs, -1, -1)
    return gaussian_log_likelihood(x, vae.decode(z), SIGMA) + gaussian_log_density(z, *vae.encode(x))


def start(recipe: str, seeds: range) -> VAE:
    built = {"sigma": SIGMA, "hidden": (64, 64) if recipe == "wider" else (32, 32), "seeds": seeds}
    if recipe == "radius given":
        return VAE(encoder=WithRadius(VAE(data_dim=3, **built).encoder), **built)
    return VAE(latent_dim=2 if recipe == "two axes" else 1, **built)


def judge(vae: VAE, turns: float) -> tuple[Tensor, Tensor]:
    """Gap and order, as chapter 13 defines them, ``(R,)`` each."""
    omega = 2 * math.pi * turns
    plane = spiral.plane_grid(omega=omega, floor=1e-9)
    gap = plane.mean(plane.log_p - quadrature.log_evidence(plane.x, vae.decode, vae.sigma))
    grid = quadrature.normal_grid(1001, limit=5.0)
    times = torch.linspace(0.1, 1, 1_000, dtype=torch.float64)
    true_curve = spiral.curve(times, omega=omega)
    nearest = torch.stack([times[torch.cdist(mean, true_curve).argmin(-1)] for mean in vae.decode(grid.z)])
    ideal = (spiral.U_MIN + (1 - spiral.U_MIN) * torch.special.ndtr(grid.z[:, 0])).sqrt()
    right = torch.stack([(nearest - each).abs() < 0.5 / turns for each in (ideal, ideal.flip(0))])
    return gap, (right.double() @ (grid.log_prior + grid.log_weight).exp()).amax(0)


def experiment() -> list[dict]:
    sources = [rng(100 + data_set) for data_set in range(SETS)]
    each = [spiral.sample_spiral(POINTS, generator=source, omega=OMEGA, evenly_spaced=True)[1] for source in sources]
    settings = {"batch_size": 200, "dtype": torch.float32}
    shares = (torch.arange(301, dtype=torch.float64) + 0.5) / 301
    rows = []
    for recipe, budgets in BUDGETS.items():
        copies = 2 if recipe in TWO_SEEDS else 1
        x = torch.stack(each).repeat_interleave(copies, 0)
        first = start(recipe, range(len(x)))
        if recipe == "taught":
            fit(first, x, steps=1_000, lr=0.01, generator=rng(1), objective=lessons, **settings)
        for steps in budgets:
            vae = first.pick(range(len(x)))
            fit(vae, x, steps=steps, lr=0.02, generator=rng(1), objective=objective(recipe, steps), **settings)
            vae.requires_grad_(False)
            if recipe == "two axes":
                eps = torch.randn(POINTS, 100, 2, generator=rng(4), dtype=x.dtype)
                elbo, gap, order = elbo_terms(vae, x, eps).elbo.mean(-1), *torch.full((2, len(x)), math.nan)
            else:
                elbo, (gap, order) = exact_terms(vae, x).elbo.mean(-1), judge(vae, TURNS)
            for run in range(len(x)):
                row = {"recipe": recipe, "steps": steps, "data_set": run // copies, "seed": run}
                row |= {"gap": gap[run].item(), "order": order[run].item(), "elbo": elbo[run].item(), "curve": ""}
                if recipe in TWO_SEEDS and run == elbo[:copies].argmax():
                    means = vae.decode(torch.special.ndtri(shares)[:, None])[run]
                    row["curve"] = ";".join(f"{a:.2f} {b:.2f}" for a, b in means.tolist())
                rows.append(row)
    return rows
