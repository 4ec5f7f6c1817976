r"""How often does a fit of the spiral end in a fold, and does a fold mend? Sixteen data sets, sixteen seeds; read by chapter 06.

One row a run of 3,000 steps. ``elbo`` is the exact training ELBO, ``order`` the correlation of the latent means with the ideal
encoding, without its sign, ``below`` how far the mean evidence of the process lies below the ceiling and ``elbo_below`` how far
the ELBO does, on 2,000 and on 500 fresh points, the same for all runs. A run is folded if ``order`` is under
0.9. The folded runs train on for 15,000 steps: ``order_later`` is their order then, and -1 for the others.
"""

import torch

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.nets import VAE
from vaelib.train import fit
from vaelib.verify import rng

SETS, SEEDS, STEPS, LATER = 16, 16, 3_000, 15_000
FOLDED = 0.9


def experiment():
    torch.set_default_dtype(torch.float64)
    t, fresh = spiral.sample_spiral(2_000, generator=rng(60))
    ceiling, rows, left, sets = spiral.log_evidence(fresh).mean(), [], [], []
    for k in range(SETS):
        x = spiral.sample_published(rng(100 + k))[1]
        vae = VAE(sigma=spiral.SIGMA, hidden=(32,), seeds=range(SEEDS * k, SEEDS * (k + 1)))
        fit(vae, x, steps=STEPS, lr=0.03, generator=rng(61), dtype=torch.float32)
        vae.requires_grad_(False)
        elbo, order = exact_terms(vae, x).elbo.mean(-1), ordered(vae, fresh, t)
        below = ceiling - quadrature.log_evidence(fresh, vae.decode, vae.sigma).mean(-1)
        elbo_below = ceiling - exact_terms(vae, fresh[:500]).elbo.mean(-1)
        for s in range(SEEDS):
            values = {"elbo": elbo[s], "order": order[s], "below": below[s], "elbo_below": elbo_below[s]}
            rows.append({"set": k, "seed": s} | {name: value.item() for name, value in values.items()} | {"order_later": -1.0})
        folded = (order < FOLDED).nonzero()[:, 0].tolist()
        left += [(SEEDS * k + s, vae.pick([s])) for s in folded]
        sets += [x] * len(folded)
    if left:
        longer = VAE(sigma=spiral.SIGMA, hidden=(32,), seeds=[0] * len(left))
        for target, *sources in zip(longer.parameters(), *(vae.parameters() for _, vae in left), strict=True):
            target.data = torch.cat([source.data for source in sources])
        fit(longer, torch.stack(sets), steps=LATER, lr=0.03, generator=rng(62), dtype=torch.float32)
        longer.requires_grad_(False)
        for (row, _), value in zip(left, ordered(longer, fresh, t), strict=True):
            rows[row]["order_later"] = value.item()
    return rows


def ordered(vae, x, t):
    return spiral.order(vae.encode(x)[0][..., 0], t).abs()
