"""Speed and quality of `vaelib.train.fit` against the published recipe, as ratios within one run: ``make bench``.

The published recipe is 20,000 epochs of Adam at a constant 1e-3 in batches of 100, written as one plain PyTorch loop.
"""

import time

import torch
from torch import nn

from vaelib import quadrature, spiral
from vaelib.nets import VAE
from vaelib.train import fit

EPOCHS, BATCH, STEPS, SEEDS, STACK = 20_000, 100, 3000, range(8), 64


def published_loop(x: torch.Tensor, steps: int) -> None:
    """The published code's arithmetic: two small networks, one draw, the loss without its constant."""
    body, heads = nn.Sequential(nn.Linear(2, 32), nn.Tanh()), nn.Linear(32, 2)
    decoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam([*body.parameters(), *heads.parameters(), *decoder.parameters()], lr=1e-3)
    for step in range(steps):
        batch = x[torch.randperm(len(x))[:BATCH]]
        mu, log_var = heads(body(batch)).chunk(2, dim=-1)
        z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
        squared_error = (batch - decoder(z)).square().sum(-1)
        kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
        loss = (squared_error / (2 * spiral.SIGMA**2) + kl).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def seconds_per_step(run, steps: int) -> float:
    run(10)  # the first use of an optimiser pays for imports
    start = time.perf_counter()
    run(steps)
    return (time.perf_counter() - start) / steps


def main() -> None:
    torch.set_default_dtype(torch.float64)
    _, x = spiral.sample_spiral(200, generator=torch.Generator().manual_seed(0), evenly_spaced=True)
    _, held_out = spiral.sample_spiral(5000, generator=torch.Generator().manual_seed(1))

    def fitted(seeds, steps, **options):
        vae = VAE(sigma=spiral.SIGMA, seeds=seeds)
        fit(vae, x, steps=steps, generator=torch.Generator().manual_seed(2), **options)
        return vae

    def evidence(vae):
        grid = quadrature.resolving_grid(vae.decode, vae.sigma)
        return quadrature.log_evidence(held_out, vae.decode, vae.sigma, grid).mean(-1)

    published = seconds_per_step(lambda steps: published_loop(x, steps), 2000)
    single = seconds_per_step(lambda steps: fitted([0], steps, lr=0.03), 2000)
    stack = seconds_per_step(lambda steps: fitted(range(STACK), steps, lr=0.03), 300)
    published_steps = EPOCHS * len(x) // BATCH
    print(f"published recipe / one fit, whole training: {published * published_steps / (single * STEPS):.1f} times the time")
    print(f"{STACK} single fits / one stack of {STACK}: {single * STACK / stack:.1f} times the time")
    print(f"fitting {len(SEEDS)} seeds by the published recipe, to compare the quality ...", flush=True)
    slow = evidence(fitted(SEEDS, published_steps, lr=1e-3, batch_size=BATCH, anneal=False))
    fast = evidence(fitted(SEEDS, STEPS, lr=0.03))
    print(f"exact held-out evidence, nats a point: published {slow.mean():.3f}, fit {fast.mean():.3f}")


if __name__ == "__main__":
    main()
