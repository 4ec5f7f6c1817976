r"""How wrong may sigma be, when training is done? Twenty-two sigmas, eight data sets, 5,000 steps each; read by chapter 07.

``ratio`` is sigma / sigma_data. ``kl`` is the mean KL, ``error`` and ``error_fresh`` the root of Delta on the 200 training
points and on 200 others, ``off_curve`` the root mean square distance of the reconstructions from the true curve. ``training`` is
the mean exact log evidence of the training points, ``below`` how far that of the process lies below the ceiling (an integral over
the plane), ``price`` the same for the true curve with this sigma, ``luck`` the training points' log density under the true curve
less its mean over the process. Under 0.2 there is a proven bound instead: ``below`` is at least that, ``training`` at most.
"""

import math

import torch

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.nets import VAE
from vaelib.train import fit
from vaelib.verify import rng

RATIOS = (0.0005, 0.005, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1, 1.05, 1.1, 1.25, 1.4, 1.6, 2, 3, 4, 5, 6, 8, 10)
FIRST_EXACT = 0.2
SETS, STEPS, D = 8, 5_000, 2


def experiment():
    torch.set_default_dtype(torch.float64)
    plane, curve = spiral.plane_grid(floor=1e-8), spiral.curve(torch.linspace(0.1, 1, 1_001))
    ceiling = plane.mean(plane.log_p)
    x, fresh = (
        torch.stack([spiral.sample_spiral(200, generator=rng(first + k), evenly_spaced=even)[1] for k in range(SETS)])
        for first, even in ((70, True), (80, False))
    )
    rows = []
    for ratio in RATIOS:
        vae = VAE(hidden=(32, 32), sigma=ratio * spiral.SIGMA, seeds=range(SETS))
        fit(vae, x, steps=STEPS, lr=0.03, generator=rng(90), dtype=torch.float32)
        vae.requires_grad_(False)
        kl, error = rate_and_error(vae, x)
        if ratio >= FIRST_EXACT:
            training, of_plane = (quadrature.log_evidence(at, vae.decode, vae.sigma) for at in (x, plane.x))
        else:
            training, of_plane = (evidence_bound(vae, at) for at in (x, plane.x.expand(SETS, -1, -1)))
        true = plane.mean(spiral.log_evidence(plane.x, sigma=ratio * spiral.SIGMA)) if ratio >= FIRST_EXACT else math.nan
        luck = torch.full((SETS,), math.nan)
        if ratio >= FIRST_EXACT:
            luck = torch.stack([spiral.log_evidence(own, sigma=ratio * spiral.SIGMA).mean() - true for own in x])
        off = torch.stack([torch.cdist(run, curve).amin(-1).square().mean().sqrt() for run in vae(x)])
        values = {"kl": kl, "error": error, "error_fresh": rate_and_error(vae, fresh)[1], "off_curve": off}
        values |= {"training": training.mean(-1), "below": ceiling - plane.mean(of_plane)}
        values |= {"price": (ceiling - true) * torch.ones(SETS), "luck": luck}
        for k in range(SETS):
            rows.append({"ratio": float(ratio), "set": k} | {name: value[k].item() for name, value in values.items()})
    return rows


def rate_and_error(vae, x):
    """Mean KL and root of Delta of each run."""
    terms, sigma = exact_terms(vae, x), vae.sigma[:, None]
    squared = -2 * sigma**2 * (terms.reconstruction + D / 2 * torch.log(2 * math.pi * sigma**2))
    return terms.kl.mean(-1), squared.mean(-1).sqrt()


def evidence_bound(vae, x):
    """What log p(x) is at most, from the distance of x to the decoder's curve; ``(R, N)``."""
    curves, sigma = vae.decode(torch.sinh(torch.linspace(-12, 12, 2**13 + 1))[:, None]), vae.sigma[:, None]
    to_node = torch.stack([torch.cdist(own, curve).amin(-1) for own, curve in zip(x, curves, strict=True)])
    distance = (to_node - curves.diff(dim=-2).norm(dim=-1).amax(-1, keepdim=True) / 2).clamp_min(0)
    return -distance.square() / (2 * sigma**2) - D / 2 * torch.log(2 * math.pi * sigma**2)
