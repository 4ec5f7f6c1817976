"""When does a VAE of binary data collapse? The predicted weight of the KL against training, from two starts (chapter 05).

Chapter 05 predicts that the collapsed state of a Bernoulli decoder is stable exactly where the weight beta of the KL lies above
the largest eigenvalue of the pixels' correlation matrix. Two kinds of binary data, eight pixels each: "smooth" has logits that
are straight lines in one latent, "rare" has a pattern that a few images in a hundred share. For each data set, beta runs over
multiples of the prediction. Start "fresh" is a new network; start "alive" goes on from the one that was trained at the smallest
beta, and so finds states that live beyond the threshold.
"""

import torch
from torch import Tensor

from vaelib.gaussian import reparameterize
from vaelib.kl import kl_to_standard_normal
from vaelib.likelihood import bernoulli_log_likelihood
from vaelib.nets import VAE
from vaelib.train import fit
from vaelib.verify import rng

PIXELS, POINTS, SETS = 8, 300, 8
FACTORS = (0.6, 0.8, 0.9, 0.95, 1.05, 1.1, 1.25, 1.6)  # beta in units of the prediction
STEPS, LR = 4_000, 0.02
KINDS = ("smooth", "rare")


def binary(kind: str, seed: int) -> Tensor:
    """One data set, shape (POINTS, PIXELS), of zeros and ones."""
    generator = rng(seed)
    if kind == "smooth":
        tilt, offset = torch.randn(2, PIXELS, generator=generator)
        probability = torch.sigmoid(1.5 * tilt * torch.randn(POINTS, 1, generator=generator) + offset)
    else:
        shared = torch.rand(POINTS, 1, generator=generator) < 0.05
        probability = torch.where(shared, 0.9, 0.1)
    return (torch.rand(POINTS, PIXELS, generator=generator) < probability).double()


def critical_beta(x: Tensor) -> float:
    """Largest eigenvalue of the correlation matrix."""
    return torch.linalg.eigvalsh(torch.corrcoef(x.T))[-1].item()


def trained(vae: VAE, x: Tensor, beta: Tensor) -> Tensor:
    """Train with beta, (R,), and return the mean KL of each run, (R,)."""
    weight = beta[:, None]

    def objective(vae, x, eps, step):
        mu, log_var = vae.encode(x)
        logits = vae.decode(reparameterize(mu, log_var, eps[:, 0]))
        return bernoulli_log_likelihood(x, logits) - weight.to(mu) * kl_to_standard_normal(mu, log_var)

    fit(vae, x, steps=STEPS, lr=LR, generator=rng(50), objective=objective, dtype=torch.float32)
    with torch.no_grad():
        return kl_to_standard_normal(*vae.encode(x)).mean(-1)


def experiment() -> list[dict]:
    """Mean KL in nats for each kind, data set, start and multiple of the predicted beta."""
    torch.set_default_dtype(torch.float64)
    sets = [(kind, number, binary(kind, 1_000 + number)) for kind in KINDS for number in range(SETS)]
    critical = torch.tensor([critical_beta(x) for _, _, x in sets])
    factors, rows = torch.tensor(FACTORS), []
    x = torch.stack([x for _, _, x in sets]).repeat_interleave(len(FACTORS), 0)
    beta = (critical[:, None] * factors).flatten()
    fresh = VAE(data_dim=PIXELS, hidden=(16,), sigma=1.0, seeds=range(len(x)))
    alive = None
    for start in ("fresh", "alive"):
        vae = fresh if alive is None else alive
        kl = trained(vae, x, beta).view(len(sets), -1)
        if alive is None:
            alive = fresh.pick([run - run % len(FACTORS) for run in range(len(x))])
        rows += [
            {
                "kind": kind,
                "data_set": number,
                "critical_beta": critical[s].item(),
                "start": start,
                "factor": f,
                "kl": kl[s, i].item(),
            }
            for s, (kind, number, _) in enumerate(sets)
            for i, f in enumerate(FACTORS)
        ]
    return rows
