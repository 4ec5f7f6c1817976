"""Lines on the ELBO, the importance-weighted bound, and the reader's own bound beside it."""

import math
import sys
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from tqdm import tqdm

from vaelib.checkup._report import Line
from vaelib.checkup._yours import Yours, shaped
from vaelib.gaussian import gaussian_log_density

MOST_NUMBERS = 2**22  # in a tensor of decoded draws, if a batch needs no more


@torch.no_grad()
def evidence_lines(yours: Yours, draws: int, bound: Callable[[Tensor, int], Tensor] | None) -> Iterator[Line]:
    """ELBO and importance-weighted bound with their standard errors; then whether the reader's bound is that."""
    found, theirs = [], []
    batches = list(zip(*(part.split(yours.batch_size) for part in (yours.x, yours.mu, yours.log_var)), strict=True))
    for x, mu, log_var in tqdm(batches, desc="check-up", leave=False, delay=2, file=sys.stdout):
        log_w = _log_weights(yours, x, mu, log_var, draws)
        half = max(1, draws // 2)
        found.append(torch.stack([log_w.mean(1), _log_mean(log_w), _log_mean(log_w[:, :half])]))
        if bound:
            theirs.append(shaped("bound", bound(x, draws), x.shape[:1]).double())
    elbo, best, fewer = torch.cat(found, 1)
    if not best.isfinite().all():
        text = f"{(~best.isfinite()).sum().item()} points have no finite log p(x)"
        yield Line("bound", "wrong", text, "chapter 05, NaN", "finite numbers")
        return
    bits = -best.mean().item() / (yours.D * math.log(2))
    error, climb = _error(best), (best - fewer).mean().item()
    yours.numbers |= {"elbo": elbo.mean().item(), "bound": best.mean().item(), "bound_error": error, "bits": bits}
    text = f"ELBO {elbo.mean():.2f}, L_{draws} {best.mean():.2f} nats a point (standard error {error:.2g} over {len(best)} "
    text += f"points), {bits:.3f} bits a dimension (of a density: in the units of x)"
    if climb > 0.05:
        yield Line("bound", "note", text, "chapter 02", f"more draws: from K = {half} it still rose by {climb:.2g} nats")
    else:
        yield Line("bound", "ok", text, "chapter 02")
    if bound:
        yield _theirs(torch.cat(theirs), elbo, best, draws)


def _theirs(mine: Tensor, elbo: Tensor, best: Tensor, draws: int) -> Line:
    gap = (best - elbo).mean().item()

    def near(other: Tensor) -> bool:
        return abs((mine - other).mean().item()) <= 4 * _error(mine - other) + 0.02 * gap

    name, text = "your bound", f"{mine.mean():.2f} nats a point with K = {draws}"
    if near(elbo) and gap > 0.05 and not (near(best) and draws == 1):
        write = "bound = torch.logsumexp(log_w, 0) - math.log(K)  # K draws on the first axis"
        return Line(name, "wrong", f"{text}: a mean of logs, the ELBO", "chapter 02", "the log of the mean", write)
    if near(best):
        return Line(name, "ok", text, "chapter 02")
    return Line(name, "wrong", text, "chapter 02", f"{best.mean():.2f}")


def _log_weights(yours: Yours, x: Tensor, mu: Tensor, log_var: Tensor, draws: int) -> Tensor:
    """Log p(x, z) - log q(z|x) of some draws for each point, ``(B, K)``."""
    at_once = max(1, MOST_NUMBERS // (len(x) * max(yours.D, yours.d)))
    parts = []
    for start in range(0, draws, at_once):
        k = min(at_once, draws - start)
        each, m, v = (part.repeat_interleave(k, 0) for part in (x, mu, log_var))
        z = yours.draw(m, v)
        origin = torch.zeros_like(z).flatten(1)
        log_prior = gaussian_log_density(z.flatten(1), origin, origin)
        log_q = gaussian_log_density(z.flatten(1), m.flatten(1), v.flatten(1))
        parts.append((yours.log_likelihood(each, z).double() + log_prior.double() - log_q.double()).view(len(x), k))
    return torch.cat(parts, 1)


def _log_mean(log_w: Tensor) -> Tensor:
    return log_w.logsumexp(1) - math.log(log_w.shape[1])


def _error(values: Tensor) -> float:
    return values.std().item() / len(values) ** 0.5
