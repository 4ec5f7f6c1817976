r"""Is a learned sigma the noise? Three encoders, three budgets, four sizes of the data; read by chapter 10.

Every run has a data set of its own, with noise 0.2 on each axis. ``sample`` is the sigma with the highest exact evidence for
the true curve, ``best`` the one for a decoder trained on the exact evidence, ``bent`` the one for the decoder of the VAE, and
``learned`` is sqrt(Delta / D) of the VAE.
"""

import math

import torch

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.nets import VAE, Encoder
from vaelib.objective import comb_log_evidence
from vaelib.train import fit
from vaelib.verify import rng

ENCODERS = {"8": (8,), "32": (32,), "32 + 32": (32, 32)}
RUNS, D, d = 6, 2, 1
CASES = [(name, 200, steps) for steps in (2_000, 8_000, 24_000) for name in ENCODERS]
CASES += [("32 + 32", points, 8_000) for points in (50, 100, 400)]


def evidence_sigma(decode, sigma, x, grid=None):
    """Sigma with the highest exact evidence of a decoder, (R,)."""
    for _ in range(20):
        nodes = grid or quadrature.resolving_grid(decode, sigma)
        curves = decode(nodes.z).expand(len(x), -1, -1)
        squared = []
        for points, curve, width in zip(x, curves, sigma, strict=True):
            log_density = quadrature.log_posterior(points, lambda z, curve=curve: curve, width, nodes)
            squared.append(quadrature.expectation(torch.cdist(points, curve).square(), log_density, nodes).mean())
        move = torch.stack(squared) / D - sigma**2
        if (move.abs() < 3e-5).all():
            break
        sigma = torch.maximum(sigma**2 + move * D / (D - d), sigma**2 / 9).sqrt()
    return sigma


def learned(vae, x):
    """sqrt(Delta / D) under q, exact, (R,)."""
    sigma = vae.sigma[:, None]
    constant = D / 2 * torch.log(2 * math.pi * sigma**2)
    distortion = -2 * sigma**2 * (exact_terms(vae, x).reconstruction + constant)
    return (distortion.mean(-1) / D).sqrt()


def experiment():
    torch.set_default_dtype(torch.float64)
    rows = []
    for encoder, points, steps in CASES:
        source = rng(points)
        x = torch.stack(
            [spiral.sample_spiral(points, generator=source, evenly_spaced=True, sigma=spiral.SIGMA)[1] for _ in range(RUNS)]
        )
        network = Encoder([D, *ENCODERS[encoder]], d, [rng(100 + r) for r in range(RUNS)])
        vae = VAE(sigma=0.3, learn_sigma=True, hidden=(32, 32), seeds=range(RUNS), encoder=network)
        options = {"generator": rng(1), "dtype": torch.float32, "batch_size": min(points, 200)}
        fit(vae, x, steps=steps, lr=0.02, **options)
        vae.requires_grad_(False)
        sigma_hat = learned(vae, x)
        bent = evidence_sigma(vae.decode, sigma_hat, x)
        sample = evidence_sigma(spiral.curve, torch.full((RUNS,), spiral.SIGMA), x, spiral.t_grid(1_024))
        best = torch.full((RUNS,), math.nan)
        if encoder == "32 + 32" and steps == 8_000:
            shifts, refit = rng(9), vae.with_sigma(sigma_hat, learn=True).requires_grad_()

            def objective(vae, x, eps, step, shifts=shifts):
                return comb_log_evidence(vae, x, nodes=96, generator=shifts)

            fit(refit, x, steps=1_000, lr=0.005, objective=objective, **options)
            refit.requires_grad_(False)
            best = evidence_sigma(refit.decode, refit.sigma, x)
        for r in range(RUNS):
            row = {"encoder": encoder, "points": points, "steps": steps, "run": r}
            values = {"sample": sample, "best": best, "bent": bent, "learned": sigma_hat}
            rows.append(row | {name: round(value[r].item(), 4) for name, value in values.items()})
    return rows
