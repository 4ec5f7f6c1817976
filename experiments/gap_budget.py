"""Is the encoder's part of the gap a lack of capacity, of points, or of training? Chapter 11.

Eight data sets, a model for each (the better of two seeds). The decoders rest, so the evidence cannot move, and encoders are
trained on them: of several shapes, on several diets, for up to 40,000 steps. What is left of the encoder's part is measured at
1,000 fresh points of each data set.

- "1x32", one layer of 32 units, goes on from the encoder that came with the model. "1x128" computes the same function at the
  start: the 32 units, and 96 new ones without a say. "2x64" has another depth, so it starts afresh.
- "same": the 200 training points. "model": 5,000 draws from the model. "process": 5,000 new points.
"""

import torch

from vaelib import quadrature, spiral
from vaelib.diagnostics import best_normal, exact_terms
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.quadrature import normal_grid
from vaelib.train import fit
from vaelib.verify import rng

SETS, RESTARTS, FRESH, DIET = 8, 2, 1_000, 5_000
SIGMA = spiral.SIGMA
STEPS = (1_500, 10_000, 40_000)
ARMS = {  # (diet, layers x units): budgets
    ("process", "1x32"): STEPS,
    ("process", "1x128"): STEPS[:2],
    ("process", "2x64"): STEPS,
    ("same", "1x32"): STEPS,
    ("same", "2x64"): STEPS,
    ("model", "2x64"): STEPS,
}


def models() -> tuple[torch.Tensor, VAE]:
    """The data sets, and the better of the restarts on each."""
    x = torch.stack([spiral.sample_published(rng(r))[1] for r in range(SETS)])
    each = x.repeat_interleave(RESTARTS, 0)
    stack = VAE(sigma=SIGMA, seeds=range(len(each)))
    fit(stack, each, steps=2_500, lr=0.03, generator=rng(1), dtype=torch.float32)
    stack.requires_grad_(False)
    elbo = elbo_terms(stack, each, torch.randn(x.shape[1], 64, 1, generator=rng(2), dtype=x.dtype)).elbo.mean(-1)
    best = elbo.reshape(SETS, RESTARTS).argmax(-1).tolist()
    return x, stack.pick([r * RESTARTS + s for r, s in enumerate(best)])


def diets(x: torch.Tensor, kept: VAE) -> dict[str, torch.Tensor]:
    source = rng(3)
    decoded = kept.decode(torch.randn(SETS, DIET, 1, generator=source, dtype=x.dtype))
    return {
        "same": x,
        "model": decoded + SIGMA * torch.randn(decoded.shape, generator=source, dtype=x.dtype),
        "process": torch.stack([spiral.sample_spiral(DIET, generator=rng(200 + r))[1] for r in range(SETS)]),
    }


def encoder(name: str, kept: VAE) -> VAE:
    """The kept decoders behind encoders of another shape."""
    layers, units = map(int, name.split("x"))
    if name == "1x32":
        vae = kept.pick(range(SETS))
    else:
        hidden = [units] * layers
        vae = VAE(sigma=SIGMA, seeds=range(SETS), hidden=hidden, decoder=kept.pick(range(SETS)).decoder)
    if name == "1x128":
        (old_in, old_out), (new_in, new_out) = (each.encoder.net.layers for each in (kept, vae))
        width = old_in.bias.shape[-1]
        new_in.weight.data[:, :width], new_in.bias.data[:, :width] = old_in.weight, old_in.bias
        new_out.weight.data.zero_()[..., :width], new_out.bias.data[:] = old_out.weight, old_out.bias
    vae.requires_grad_(False).encoder.requires_grad_()
    return vae


def experiment() -> list[dict]:
    x, kept = models()
    fresh = torch.stack([spiral.sample_spiral(FRESH, generator=rng(100 + r))[1] for r in range(SETS)])
    grid = normal_grid(2_401, limit=12.0)
    evidence = quadrature.log_evidence(fresh, kept.decode, kept.sigma, grid)
    of_normal = -best_normal(quadrature.log_posterior(fresh, kept.decode, kept.sigma, grid), grid).elbo
    of_model = torch.stack([spiral.log_evidence(points) for points in fresh]) - evidence
    rows = []

    def note(diet: str, name: str, steps: int, vae: VAE) -> None:
        part = evidence - exact_terms(vae, fresh).elbo - of_normal
        of = zip(part.mean(-1).tolist(), of_normal.mean(-1).tolist(), of_model.mean(-1).tolist(), strict=True)
        for r, (encoders, normals, models) in enumerate(of):
            row = {"diet": diet, "encoder": name, "steps": steps, "data_set": r}
            rows.append(row | {"of_encoder": encoders, "of_normal": normals, "of_model": models})

    note("start", "1x32", 0, kept)
    foods = diets(x, kept)
    for (diet, name), budgets in ARMS.items():
        for steps in budgets:
            vae = encoder(name, kept)
            fit(vae, foods[diet], steps=steps, lr=0.01, batch_size=50, generator=rng(4), dtype=torch.float32)
            note(diet, name, steps, vae.requires_grad_(False))
    return rows
