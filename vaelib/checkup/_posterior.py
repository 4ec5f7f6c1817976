"""Lines on the encoder's output and on the data, before any loss."""

import math
from collections.abc import Iterator

import torch

from vaelib.checkup._report import Line
from vaelib.checkup._yours import Yours
from vaelib.kl import kl_to_standard_normal_per_dim
from vaelib.thresholds import collapse_threshold

ACTIVE = 0.01  # variance of a posterior mean over the data above which its axis is active: Burda et al. (2016)
MOST = 4096  # points whose covariance is taken, so that no matrix is larger
SHOWN = 6  # latents whose KL is written out


def posterior_lines(yours: Yours) -> Iterator[Line]:
    """Overflow, active latents, aggregate posterior, scale of the data."""
    yield _overflow(yours)
    mu, log_var = yours.mu.flatten(1).double(), yours.log_var.flatten(1).double()
    kl = kl_to_standard_normal_per_dim(mu, log_var).mean(0)
    spread, centre = mu.var(0, correction=0), mu.mean(0)
    active = (spread > ACTIVE).sum().item()
    yours.numbers |= {"kl": kl.sum().item(), "active": active, "latents": yours.d}
    largest = ", ".join(f"{value:.2f}" for value in kl.sort(descending=True).values[:SHOWN].tolist())
    text = f"{active} of {yours.d} active; KL {kl.sum():.2f} nats a point, by axis {largest}" + " ..." * (yours.d > SHOWN)
    if active:
        yield Line("latents", "ok", text, "chapter 08")
    else:
        yield Line("latents", "look", text, "chapter 08", "a KL above 0: every point has the same posterior, a collapse")
    total = spread + log_var.exp().mean(0)
    text = f"mean within {centre.abs().max():.2f} of 0, variance {total.min():.2f} to {total.max():.2f}"
    if centre.abs().max() > 1 or total.min() < 0.25 or total.max() > 4:
        expected = "0 and 1, or samples from the prior land where the decoder was not trained"
        yield Line("aggregate posterior", "look", text, "chapter 11", expected)
    else:
        yield Line("aggregate posterior", "ok", text, "chapter 11")
    low, high = yours.x.min().item(), yours.x.max().item()
    yours.numbers["threshold"] = collapse_threshold(yours.x[:MOST].flatten(1).double()).item()
    text = f"{len(mu)} points, {yours.D} axes, values from {low:.3g} to {high:.3g}, "
    yield Line("data", "note", f"{text}sqrt(lambda_max) = {yours.numbers['threshold']:.3g}", "chapter 08")


def _overflow(yours: Yours) -> Line:
    low, high, dtype = yours.log_var.min().item(), yours.log_var.max().item(), yours.log_var.dtype
    limit = math.log(torch.finfo(dtype).max)
    text = f"log_var from {low:.1f} to {high:.1f}, |mu| up to {yours.mu.abs().max().item():.1f}, in {str(dtype)[6:]}"
    page = "chapter 05, NaN"
    if high > limit / 2:
        return Line("overflow", "look", text, page, f"log_var below {limit:.0f}, where exp(log_var) overflows")
    if dtype in (torch.float16, torch.bfloat16):
        return Line("overflow", "look", text, page, "compute the KL and the log likelihood in float32")
    return Line("overflow", "ok", text, page)
