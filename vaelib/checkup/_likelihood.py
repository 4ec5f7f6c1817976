"""The line on log p(x|z): its family by gradients in x, its sigma, and whether its constant is there."""

import math

import torch
from torch import Tensor

from vaelib.checkup._report import Line
from vaelib.checkup._yours import Yours
from vaelib.likelihood import bernoulli_log_likelihood, continuous_bernoulli_log_likelihood

PROBES = 256  # points at which it is looked at
STEP = 0.4  # of the way from a point to another place in the range of the data, made twice
PAGE = "chapter 05"


def likelihood_line(yours: Yours) -> Line:
    """The gradient of log p(x|z) in x stays for a cross-entropy; for a Gaussian it falls by the step over sigma squared."""
    x, _, _, z = yours.first(PROBES)
    low, high = yours.x.min(), yours.x.max()
    uniform = torch.rand(x.shape, generator=yours.generator, dtype=x.dtype, device=x.device)
    step = STEP * (low + (high - low) * uniform - x)
    (value, *_), slopes = zip(*(_slope(yours, x + i * step, z) for i in range(3)), strict=True)
    if slopes[0] is None:
        return Line("likelihood", "unseen", "log_likelihood has no gradient in x, so its family is not known", PAGE)
    bends = [(slopes[i] - slopes[i + 1]).flatten(1).double() for i in (0, 1)]
    if bends[0].abs().mean() < 1e-4 * slopes[0].abs().mean():
        return _cross_entropy(yours, x, value, slopes[0])
    far = step.flatten(1).double().abs() > 0.05 * STEP * (high - low)
    first, second = (bend[far] / step.flatten(1)[far] for bend in bends)  # 1 / sigma^2, twice
    if not far.any() or (first - second).abs().mean() > 0.02 * first.abs().mean() or first.min() <= 0:
        return Line("likelihood", "note", "neither Gaussian nor Bernoulli in x; its normalisation was not looked at", PAGE)
    return _gaussian(yours, value, slopes[0], first.rsqrt())


def _slope(yours: Yours, x: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
    with torch.enable_grad():
        x = x.detach().clone().requires_grad_()
        value = yours.log_likelihood(x, z)
        slope = torch.autograd.grad(value.sum(), x, allow_unused=True)[0] if value.requires_grad else None
    return value.detach(), slope


def _cross_entropy(yours: Yours, x: Tensor, value: Tensor, slope: Tensor) -> Line:
    low, high = yours.x.min().item(), yours.x.max().item()
    if low < 0 or high > 1:
        yours.family = "cross-entropy"
        text = f"linear in x, a cross-entropy, on data from {low:.3g} to {high:.3g}"
        return Line("likelihood", "wrong", text, PAGE, "data in [0, 1], or a Gaussian likelihood")
    families = {"Bernoulli": bernoulli_log_likelihood, "continuous Bernoulli": continuous_bernoulli_log_likelihood}
    logits, unit = slope.flatten(1).double(), x.flatten(1).double()  # the slope of x * logit
    off = {name: (value.double() - family(unit, logits)).abs().mean().item() for name, family in families.items()}
    yours.family = min(off, key=off.__getitem__)
    grey = ((yours.x != 0) & (yours.x != 1)).double().mean().item()
    if off[yours.family] > 1e-3 * value.abs().mean() + 1e-3:
        text = f"linear in x, but {off[yours.family]:.3g} nats off a {yours.family}'s value"
        return Line("likelihood", "wrong", text, PAGE, "minus the cross-entropy, summed over the axes, and nothing else")
    if yours.family == "Bernoulli" and grey > 0.01:
        text = f"Bernoulli, on data of which {100 * grey:.0f} % are neither 0 nor 1"
        expected = "a density for grey values (Gaussian, continuous Bernoulli), if you compare log likelihoods"
        return Line("likelihood", "note", text, PAGE, expected)
    return Line("likelihood", "ok", yours.family, PAGE)


def _gaussian(yours: Yours, value: Tensor, slope: Tensor, sigmas: Tensor) -> Line:
    yours.family = "Gaussian"
    sigma = yours.numbers["sigma"] = sigmas.median().item()
    low, high = sigmas[:100_000].quantile(torch.tensor([0.05, 0.95], dtype=sigmas.dtype, device=sigmas.device)).tolist()
    if high > 1.05 * low:
        text = f"Gaussian, sigma from {sigmas.min():.3g} to {sigmas.max():.3g}; its constant was not looked at"
        return Line("likelihood", "ok", text, "chapter 10")
    # Carried back to its peak, log p(x|z) is that of a normal density there.
    peak = value.double() + 0.5 * sigma**2 * slope.flatten(1).double().square().sum(1)
    constant = -yours.D / 2 * math.log(2 * math.pi * sigma**2)
    missing = (peak - constant).mean().item()
    text = f"Gaussian, sigma = {sigma:.3g}"
    if abs(missing) > 0.2 * yours.close() * (abs(constant) + value.abs().mean().item() + 1):
        expected = f"add -D/2 log(2 pi sigma^2) = {constant:.4g}; without it nothing compares with another sigma"
        return Line("likelihood", "wrong", f"{text}, but {missing:+.4g} nats a point above a density", PAGE, expected)
    return Line("likelihood", "ok", f"{text}, with its constant", PAGE)
