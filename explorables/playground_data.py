"""Write playground_data.js: the noise of the book's training set, and the VAE trained on it with which the playground starts.

python explorables/playground_data.py
"""

import json
from pathlib import Path

import torch

from vaelib import spiral
from vaelib.diagnostics import exact_terms
from vaelib.nets import VAE
from vaelib.train import fit
from vaelib.verify import rng

RESTARTS, STEPS, PEAK_RATE = 4, 2_500, 0.03  # as in chapter 06


def trained() -> tuple[torch.Tensor, torch.Tensor]:
    """The noise of the published set, ``(200, 2)`` in units of its std, and the best model's parameters in the engine's order."""
    t, x = spiral.sample_published(rng(0))
    noise = ((x - spiral.curve(t)) / spiral.SIGMA * 1e5).round() / 1e5  # as it is stored
    x = spiral.curve(t) + spiral.SIGMA * noise
    vaes = VAE(sigma=spiral.SIGMA, seeds=range(RESTARTS))
    fit(vaes, x, steps=STEPS, lr=PEAK_RATE, generator=rng(100))
    best = vaes.pick([exact_terms(vaes, x).elbo.mean(-1).argmax().item()])
    networks = [*best.encoder.parameters(), *best.decoder.parameters()]
    return noise, torch.cat([part.detach().flatten() for part in [*networks, best.sigma.log()]])


def main() -> None:
    noise, theta = trained()
    stored = {
        "noise": [round(value, 5) for value in noise.flatten().tolist()],
        "theta": [float(f"{value:.6g}") for value in theta.tolist()],
    }
    text = json.dumps(stored, separators=(",", ":"))
    script = f"/* Written by playground_data.py. */\n(globalThis.VaeData ??= {{}}).playground = {text};\n"
    Path(__file__).with_suffix(".js").write_text(script, encoding="utf-8")


if __name__ == "__main__":
    main()
