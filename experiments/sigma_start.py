r"""Where should a learned sigma start? Five starts, two budgets, eight data sets each; read by chapter 10.

``start`` is in units of sqrt(tr S / D), the best sigma of a collapsed decoder. ``learned`` is sqrt(Delta / D) at the end, ``kl``
the mean KL, ``training`` and ``fresh`` the mean exact log evidence at that sigma of the training points and of 1,000 others.
"""

import math

import torch

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.nets import VAE
from vaelib.train import fit
from vaelib.verify import rng

STARTS = (0.05, 0.2, 0.5, 1.0, 4.0)
BUDGETS = (2_000, 8_000)
SETS, POINTS, D = 8, 200, 2


def experiment():
    torch.set_default_dtype(torch.float64)
    source, rows = rng(31), []
    x = torch.stack([spiral.sample_spiral(POINTS, generator=source, sigma=spiral.SIGMA)[1] for _ in range(SETS)])
    fresh = spiral.sample_spiral(1_000, generator=rng(32), sigma=spiral.SIGMA)[1]
    resting = (x.var(1, correction=0).sum(-1) / D).sqrt()
    start = torch.tensor(STARTS).repeat_interleave(SETS)
    x, resting = x.repeat(len(STARTS), 1, 1), resting.repeat(len(STARTS))
    for steps in BUDGETS:
        vae = VAE(hidden=(32, 32), sigma=start * resting, seeds=[*range(SETS)] * len(STARTS), learn_sigma=True)
        fit(vae, x, steps=steps, lr=0.02, generator=rng(33), dtype=torch.float32)
        vae.requires_grad_(False)
        terms, sigma = exact_terms(vae, x), vae.sigma[:, None]
        constant = D / 2 * torch.log(2 * math.pi * sigma**2)
        learned = (-2 * sigma**2 * (terms.reconstruction + constant)).mean(-1).div(D).sqrt()
        training = quadrature.log_evidence(x, vae.decode, learned).mean(-1)
        of_fresh = quadrature.log_evidence(fresh, vae.decode, learned).mean(-1)
        values = {"parameter": vae.sigma, "learned": learned, "kl": terms.kl.mean(-1), "training": training, "fresh": of_fresh}
        for r in range(len(start)):
            row = {"start": start[r].item(), "steps": steps, "set": r % SETS}
            rows.append(row | {name: round(value[r].item(), 4) for name, value in values.items()})
    return rows
