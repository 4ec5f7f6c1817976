r"""What to know of the data before a VAE is built: the decoder sigmas at which its latent must die, or may."""

import math

import torch
from torch import Tensor

from vaelib._checks import as_floating, require_finite

STARTS = 64  # points of each kind, and principal axes, towards which `evidence_threshold` starts
ROUNDS = 100  # of its ascent at most
SHORTEST = 1e-3  # its smallest |s|, in units of 1 / collapse threshold: below, kappa(s) / |s|^2 would be rounding error


def collapse_threshold(x: Tensor) -> Tensor:
    r"""The decoder sigma above which the collapsed VAE is a local optimum of the ELBO, and below which it is none.

    .. math:: \sigma_c = \sqrt{\lambda_{\max}}

    Here :math:`\lambda_{\max}` is the largest eigenvalue of the data's covariance (with 1/N). The statement is one about the
    second variation, for decoders that are smooth and can follow any small linear use of the latent: below the threshold
    some small step away from collapse gains, above it every small step costs. A larger step may gain above it too: a
    VAE that uses its latent can be the better one up to `evidence_threshold`.

    Args:
        x: Data, shape ``(N, D)``.

    Returns:
        The threshold, a tensor of shape ``()``, in data units.

    Raises:
        ValueError: If `x` is not a table of finite numbers.

    References:
        Lucas et al. (2019) for linear models; Dai, Wang and Wipf (2020); derived in chapter 08.

    Example:
        >>> collapse_threshold(torch.tensor([[3.0, 0.0], [-3.0, 0.0]])).item()
        3.0
    """
    x = _table(x)
    return _scale(x.double() - x.double().mean(0)).to(x.dtype)


@torch.no_grad()
def evidence_threshold(x: Tensor) -> Tensor:
    r"""The decoder sigma from which on no decoder at all has a higher evidence than the collapsed one.

    .. math::

        \sigma_*^2 &= \sup_{s \ne 0} \frac{2 \kappa(s)}{|s|^2} \\
        \kappa(s) &= \log \frac1N \sum_n e^{s \cdot (x_n - \bar x)}

    For small s the quotient is the variance in the direction of s, so it is never below `collapse_threshold`. The
    supremum is sought by ascent from many starts, and good to about eight digits unless all of them miss it. Computed in
    float64, with the dtype of the data for the answer.

    Args:
        x: Data, shape ``(N, D)``.

    Returns:
        The threshold, a tensor of shape ``()``, in data units.

    Raises:
        ValueError: If `x` is not a table of finite numbers.

    References:
        Derived in chapter 08; the concavity in the mixing distribution is that of Lindsay (1983).

    Example:
        >>> evidence_threshold(torch.tensor([[3.0, 0.0], [-3.0, 0.0]])).item()  # kappa(s) = log cosh(3 s) <= (3 s)^2 / 2
        3.0
    """
    x = _table(x)
    points, scale = _in_their_span(x.double())
    if scale == 0:
        return scale.to(x.dtype)
    points /= scale
    s = _starts(points)
    # The starts that lag behind are dropped on the way.
    for steps, kept in ((3, 48), (8, 12)):
        for _ in range(steps):
            s = _uphill(s, points)[1]
        s = s[_uphill(s, points)[0].topk(min(kept, len(s))).indices]
    value = _climbed(s, points)
    # The limit s -> 0 along the first principal axis is lambda_max, 1 in these units.
    return (scale * value.max().clamp(min=1).sqrt()).to(x.dtype)


def _in_their_span(x: Tensor) -> tuple[Tensor, Tensor]:
    """Centred points in at most N coordinates, and the collapse threshold."""
    centred = x - x.mean(0)
    if len(x) < x.shape[1]:
        # kappa(s) knows the points by their products alone, so N coordinates with the same products serve as well as D.
        centred = torch.linalg.qr(centred.T, mode="r").R.T.contiguous()
    return centred, _scale(centred)


def _scale(centred: Tensor) -> Tensor:
    """Square root of the largest eigenvalue of the covariance, from the smaller of the two Gram matrices."""
    gram = centred.T @ centred if len(centred) >= centred.shape[1] else centred @ centred.T
    return (torch.linalg.eigvalsh(gram)[-1].clamp(min=0) / len(centred)).sqrt()


def _starts(points: Tensor) -> Tensor:
    """The best length of s in each of many directions, ``(S, D)``."""
    # Towards points (kappa is large where a point is far out: the farthest ones, and some at large), and both ways along the
    # first principal axes. Those need not be exact: a few rounds of the power iteration, from the same points, give them.
    farthest = points[points.norm(dim=-1).topk(min(STARTS, len(points))).indices]
    towards = torch.cat([farthest, points[:: math.ceil(len(points) / STARTS)]])
    axes = towards.T
    for _ in range(4):
        axes = torch.linalg.qr(points.T @ (points @ axes)).Q
    spread, turn = torch.linalg.eigh((points @ axes).T @ (points @ axes))
    axes = (axes @ turn[:, spread > 1e-9 * spread[-1]][:, -STARTS:]).T
    directions = torch.cat([axes, -axes, towards[towards.norm(dim=-1) > 0]])
    directions = directions / directions.norm(dim=-1, keepdim=True)
    along = directions @ points.T
    lengths = torch.logspace(-2, 2, 21, dtype=points.dtype, device=points.device)
    k = torch.stack([torch.logsumexp(length * along, -1) - math.log(len(points)) for length in lengths])
    values = k / lengths.square().unsqueeze(-1)
    return lengths[values.argmax(0)].unsqueeze(-1) * directions


def _uphill(s: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """2 kappa(s)/|s|^2 of s ``(S, D)``, taken as no shorter than allowed, and an s where it is no lower.

    With q the quotient at s, kappa(s') - q|s'|^2/2 is at least its tangent bound
    kappa(s) + grad kappa(s).(s' - s) - q|s'|^2/2, since kappa is convex; the bound is highest at s' = grad kappa(s)/q and 0
    or more there. Near 0 this is the power iteration.
    """
    s = s * (SHORTEST / s.norm(dim=-1, keepdim=True)).clamp(min=1)
    exponents = s @ points.T
    top = exponents.amax(-1, keepdim=True)
    weights = exponents.sub_(top).exp_()
    total = weights.sum(-1, keepdim=True)
    value = 2 * (top + (total / len(points)).log()) / s.square().sum(-1, keepdim=True)
    return value.squeeze(-1), (weights @ points) / (total * value)


def _climbed(s: Tensor, points: Tensor) -> Tensor:
    """The quotient at the end of the ascent from each s ``(S, D)``, extrapolated where that climbs faster (SQUAREM)."""
    value, once = _uphill(s, points)
    for _ in range(ROUNDS):
        value_once, twice = _uphill(once, points)
        first, bend = once - s, (twice - once) - (once - s)
        length = (first.norm(dim=-1) / bend.norm(dim=-1).clamp(min=1e-300)).clamp(1, 1e6).unsqueeze(-1)
        leap = s + 2 * length * first + length.square() * bend
        value_leap, after_leap = _uphill(leap, points)
        leaps = (value_leap > value_once).unsqueeze(-1)
        s, once = torch.where(leaps, leap, once), torch.where(leaps, after_leap, twice)
        better = torch.where(leaps.squeeze(-1), value_leap, value_once)
        if (better - value).max() <= 1e-12:
            return better
        value = better
    return value


def _table(x: Tensor) -> Tensor:
    """The data in a floating type, or a refusal."""
    [x] = as_floating(x=x, least=torch.float32)
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with at least one point and axis")
    require_finite("x", x)
    return x
