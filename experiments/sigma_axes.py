r"""What does a sigma for each axis contain? Noise 0.1 and 0.3, twelve data sets, two budgets; read by chapter 10.

Variances, not standard deviations: ``learned`` is Delta_i of the VAE, ``bent`` the best for its decoder under the exact
evidence, ``best`` that of a decoder trained on the exact evidence. So ``learned - bent`` is what q adds directly, and ``bent -
best`` what it adds through the decoder.
"""

import torch

from vaelib import quadrature, spiral
from vaelib.nets import VAE, Encoder
from vaelib.objective import comb_log_evidence
from vaelib.train import fit
from vaelib.verify import rng

NOISE = (0.1, 0.3)
RUNS, POINTS, D = 12, 400, 2
BUDGETS = (2_000, 8_000)


def evidence_variances(decode, sigma, x):
    """sigma_i^2 with the highest exact evidence of a decoder, by EM with overshoot, (R, D)."""
    variance = sigma**2
    for _ in range(40):
        grid = quadrature.resolving_grid(decode, variance.sqrt())
        found = []
        for points, curve, width in zip(x, decode(grid.z), variance.sqrt(), strict=True):
            log_density = quadrature.log_posterior(points, lambda z, curve=curve: curve[None], width[None], grid)[0]
            weight = (log_density + grid.log_weight).exp()  # (N, G)
            squared = [(weight * (points[:, i, None] - curve[:, i]).square()).sum(-1).mean() for i in range(D)]
            found.append(torch.stack(squared))
        ratio = (torch.stack(found) / variance).clamp(0.3, 3)
        if (ratio - 1).abs().max() < 2e-3:
            break
        variance = variance * ratio**1.5
    return variance


def draws_error(vae, x):
    """Delta_i with 200 draws a point, (R, D)."""
    mu, log_var = vae.encode(x)
    total, noise = 0.0, rng(5)
    for _ in range(200):
        z = mu + (0.5 * log_var).exp() * torch.randn(mu.shape[1:], generator=noise)
        total = total + (x - vae.decode(z)).square().mean(1)
    return total / 200


def experiment():
    torch.set_default_dtype(torch.float64)
    source, rows = rng(41), []
    noise = torch.tensor(NOISE)
    x = torch.stack([spiral.sample_spiral(POINTS, generator=source, sigma=noise)[1] for _ in range(RUNS)])
    for steps in BUDGETS:
        network = Encoder([D, 32, 32], 1, [rng(200 + r) for r in range(RUNS)])
        start = torch.full((RUNS, D), 0.3)
        vae = VAE(sigma=start, learn_sigma=True, hidden=(32, 32), seeds=range(RUNS), encoder=network)
        options = {"dtype": torch.float32, "batch_size": 200}
        fit(vae, x, steps=steps, lr=0.02, generator=rng(1), **options)
        refit = vae.pick(range(RUNS)).requires_grad_()
        shifts = rng(9)

        def objective(vae, x, eps, step, shifts=shifts):
            return comb_log_evidence(vae, x, nodes=96, generator=shifts)

        fit(refit, x, steps=1_000, lr=0.005, generator=rng(1), objective=objective, **options)
        for model in (vae, refit):
            model.requires_grad_(False)
        learned = draws_error(vae, x)
        bent = evidence_variances(vae.decode, learned.sqrt(), x)
        best = evidence_variances(refit.decode, refit.sigma, x)
        for r in range(RUNS):
            for i in range(D):
                row = {"steps": steps, "run": r, "axis": i + 1, "noise": NOISE[i]}
                values = {"learned": learned, "bent": bent, "best": best}
                rows.append(row | {name: round(value[r, i].item(), 5) for name, value in values.items()})
    return rows
