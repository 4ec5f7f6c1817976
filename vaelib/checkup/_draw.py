"""The line on the reader's draw of z."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaelib.checkup._report import Line
from vaelib.checkup._yours import Yours, gradients, shaped

DRAWS = 20_000  # numbers drawn at least, and 500 for each axis
PAGE = "chapter 04"
WRITE = "z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)"


def draw_line(yours: Yours, sample: Callable[[Tensor, Tensor], Tensor] | None) -> Line:
    """Mean, spread, gradient and independence."""
    if sample is None:
        return Line("draw of z", "unseen", "no sample was given, so its mean, spread and gradient were not looked at", PAGE)
    count = max(500, DRAWS // yours.d)
    mu, log_var = 3 + yours.normal(yours.mu[0]), 1.5 + 0.2 * yours.normal(yours.mu[0])
    with torch.enable_grad():
        leaves = [part.expand(count, *part.shape).clone().requires_grad_() for part in (mu, log_var)]
        z = shaped("sample", sample(*leaves), leaves[0].shape)
        reached = [bool(part.any()) for part in gradients(z.sum(), leaves)]
    noise = (z.detach().double() - mu.double()).flatten(1)
    fault = _fault(noise, log_var.flatten().double(), reached)
    if fault:
        return Line("draw of z", "wrong", fault, PAGE, "one eps for each point and axis, times exp(0.5 * log_var)", WRITE)
    return Line("draw of z", "ok", "mean mu, standard deviation exp(log_var / 2), with a gradient", PAGE)


def _fault(noise: Tensor, log_var: Tensor, reached: list[bool]) -> str:
    count, d = noise.shape
    if not noise.abs().max() > 0:
        return "z is mu: no noise"
    if not reached[0]:
        return "no gradient reaches mu: z is detached, or drawn by sample() instead of rsample()"
    if not reached[1]:
        return "no gradient reaches log_var"
    spread = noise.std(0)
    if spread.max() <= 1e-6 * noise.abs().max():
        return "one eps for the whole batch"
    if d > 1 and (noise / spread).std(1).max() < 1e-3:
        return "one eps for all axes of a point"
    if (noise.mean(0).abs() > 6 * spread / count**0.5).any():
        return f"mean {noise.mean():+.3g} off mu"
    # log std = power * log_var, with the power 1/2 if log_var is what its name says.
    power = ((spread.log() * log_var).sum() / log_var.square().sum()).item()
    error = 5 / math.sqrt(2 * count * d) / log_var.square().mean().sqrt().item()
    if abs(power - 0.5) < error:
        return ""
    return "exp(log_var) is used as the standard deviation" if abs(power - 1) < error else f"std near exp({power:.2f} log_var)"
