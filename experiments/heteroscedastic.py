r"""Does the NLL of a mean and a variance spoil the mean? Five losses, sixteen seeds, three budgets; read by chapter 10.

Regression of a spiral of three turns on its time, 200 points, noise from 0.02 to 0.3. Each seed has a data set and weights of
its own, the same for every loss. ``mean`` and ``log_sigma`` are root mean square errors over the process, ``quiet`` and ``loud``
the mean's for t below and above 0.7, ``held_out`` the exact expected log likelihood, ``training`` that of the points.
"""

import math

import torch

from vaelib import spiral
from vaelib.nets import MLP
from vaelib.train import Adam, one_cycle, one_vector
from vaelib.verify import rng

METHODS = {  # powers of sigma^2 that weight mean and variance; floor of sigma
    "NLL": (-1, 0, 0),
    "beta-NLL": (-0.5, 0.5, 0),
    "faithful": (0, 0, 0),
    "floor": (-1, 0, 0.01),
    "true weights": (0, 0, 0),
}
SEEDS, POINTS, D = 16, 200, 2
BUDGETS = (1_000, 4_000, 12_000)


def noise_of(t):
    return 0.02 * 15 ** ((t - 0.1) / 0.9)


def process(t):
    return spiral.curve(t, omega=6 * math.pi)


def as_input(t):
    return (t[..., None] - 0.55) / 0.26


def regress(t, x, steps):
    """Train all losses and seeds as one stack, in float32."""
    power, power_var, floor = torch.tensor([*METHODS.values()]).repeat_interleave(SEEDS, 0).T[..., None].float()
    given = torch.arange(len(floor))[:, None] >= SEEDS * (len(METHODS) - 1)
    t, x = t.float().repeat(len(METHODS), 1), x.float().repeat(len(METHODS), 1, 1)
    sources = [rng(seed) for _ in METHODS for seed in range(SEEDS)]
    mean, head = (MLP([1, 32, axes], sources).float() for axes in (D, 1))

    def log_var(t):
        return torch.logaddexp(head(t)[..., 0], 2 * floor.log())

    theta, grad = one_vector([*mean.parameters(), *head.parameters()])
    adam, mean.by_hand, head.by_hand = Adam(theta), True, True
    inputs, true_weight = as_input(t), noise_of(t) ** -2
    for step in range(steps):
        error, v = (x - mean(inputs)).square().sum(-1), log_var(inputs)
        held = v.detach()
        of_mean = torch.where(given, true_weight, (power * held).exp())
        nll = error.detach() * (-v).exp() + D * v
        grad.zero_()
        (0.5 * (of_mean * error + (power_var * held).exp() * nll)).mean(-1).sum().backward()
        adam.step(grad, one_cycle(step, steps, 0.02))
    return mean, log_var


def experiment():
    torch.set_default_dtype(torch.float64)
    source, rows = rng(1_000), []
    u = spiral.U_MIN + (1 - spiral.U_MIN) * torch.rand(SEEDS, POINTS, generator=source)
    t = u.sqrt()
    x = process(t) + noise_of(t)[..., None] * torch.randn(SEEDS, POINTS, D, generator=source)
    u = (torch.arange(2_000) + 0.5) / 2_000
    t_fine = (spiral.U_MIN + (1 - spiral.U_MIN) * u).sqrt()
    for steps in BUDGETS:
        mean, log_var = regress(t, x, steps)
        with torch.no_grad():
            inputs = as_input(t_fine).float()
            squared = (mean(inputs) - process(t_fine)).square().sum(-1).double()
            v, true_v = log_var(inputs).double(), 2 * noise_of(t_fine).log()
            at_points = as_input(t.float().repeat(len(METHODS), 1))
            of_points = log_var(at_points).double()
            error = (x.repeat(len(METHODS), 1, 1) - mean(at_points)).square().sum(-1)
        expected = (squared + D * true_v.exp()) / v.exp() + D * (v + math.log(2 * math.pi))
        found = error / of_points.exp() + D * (of_points + math.log(2 * math.pi))
        values = {
            "mean": squared.mean(-1).sqrt(),
            "log_sigma": (0.5 * (v - true_v)).square().mean(-1).sqrt(),
            "quiet": squared[:, t_fine < 0.7].mean(-1).sqrt(),
            "loud": squared[:, t_fine > 0.7].mean(-1).sqrt(),
            "held_out": -0.5 * expected.mean(-1),
            "training": -0.5 * found.mean(-1),
        }
        for r in range(len(squared)):
            row = {"loss": [*METHODS][r // SEEDS], "steps": steps, "seed": r % SEEDS}
            rows.append(row | {name: float(f"{value[r].item():.4g}") for name, value in values.items()})
    return rows
