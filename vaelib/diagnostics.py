r"""What to measure on a VAE, or before it is built: when its latent must die, which axes live, how loose its bound is."""

import math

import torch
from torch import Tensor

from vaelib import quadrature
from vaelib._checks import require_at_least_one, require_finite
from vaelib.gaussian import gaussian_log_density
from vaelib.nets import VAE

STARTS = 128  # directions of points that `evidence_threshold` tries
SHORTEST = 1e-3  # its smallest |s|, in units of 1 / collapse threshold: below, K(s) / |s|^2 would be rounding error


def collapse_threshold(x: Tensor) -> Tensor:
    r"""The decoder sigma above which the collapsed VAE is a local optimum of the ELBO.

    .. math:: \sigma_c = \sqrt{\lambda_{\max}}

    Here :math:`\lambda_{\max}` is the largest eigenvalue of the data's covariance (with 1/N). Below it, encoder and decoder
    gain by starting to use the latent, whatever networks they are; above it, every small step away costs.

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
    centred = _centred(x)
    return torch.linalg.matrix_norm(centred, ord=2) / math.sqrt(len(x))


def evidence_threshold(x: Tensor) -> Tensor:
    r"""The decoder sigma from which on no decoder at all has a higher evidence than the collapsed one.

    .. math::

        \sigma_*^2 &= \sup_{s \ne 0} \frac{2 K(s)}{|s|^2} \\
        K(s) &= \log \frac1N \sum_n e^{s \cdot (x_n - \bar x)}

    For small s the quotient is the variance in the direction of s, so it is never below `collapse_threshold`. The
    supremum is sought by gradient ascent from many starts, and good to about eight digits unless all of them miss it.

    Args:
        x: Data, shape ``(N, D)``.

    Returns:
        The threshold, a tensor of shape ``()``, in data units.

    Raises:
        ValueError: If `x` is not a table of finite numbers.

    References:
        Derived in chapter 08; the concavity in the mixing distribution is that of Lindsay (1983).

    Example:
        >>> evidence_threshold(torch.tensor([[3.0, 0.0], [-3.0, 0.0]])).item()  # K(s) = log cosh(3 s) <= (3 s)^2 / 2
        3.0
    """
    scale = collapse_threshold(x)
    if scale == 0:
        return scale
    centred = _centred(x) / scale

    def quotient(s: Tensor) -> Tensor:
        """2K(s)/|s|^2 for s of shape (..., D), at the nearest s that is not too short."""
        s = s * (SHORTEST / s.norm(dim=-1, keepdim=True)).clamp(min=1)
        return 2 * (torch.logsumexp(s @ centred.T, -1) - math.log(len(x))) / s.square().sum(-1)

    # Towards every point (K is large where a point is far out), and both ways along each principal axis.
    axes = torch.linalg.svd(centred, full_matrices=False).Vh
    directions = torch.cat([axes, -axes, centred[:: math.ceil(len(x) / STARTS)]])
    directions = directions[directions.norm(dim=-1) > 0]
    directions = directions / directions.norm(dim=-1, keepdim=True)
    radii = torch.logspace(-2, 2, 41, dtype=x.dtype)
    starts = torch.cat([radius * directions for radius in radii])
    best = starts[torch.cat([quotient(block) for block in starts.split(4096)]).topk(8).indices].requires_grad_()
    ascent = torch.optim.LBFGS([best], max_iter=200, tolerance_grad=1e-12, tolerance_change=1e-16, line_search_fn="strong_wolfe")

    def negative() -> Tensor:
        ascent.zero_grad()
        loss = -quotient(best).sum()
        loss.backward()
        return loss

    ascent.step(negative)
    # The limit s -> 0 along the first principal axis is lambda_max, 1 in these units.
    return scale * quotient(best.detach()).max().clamp(min=1).sqrt()


def active_units(mu: Tensor, *, threshold: float = 0.01) -> Tensor:
    """Latent axes whose posterior mean moves with the data.

    Args:
        mu: Means of q(z|x), shape ``(..., N, d)``.
        threshold: Variance over the points above which an axis counts as active, in squared prior standard deviations.

    Returns:
        Whether each axis is active, boolean, shape ``(..., d)``; its sum over the last axis is their number.

    Raises:
        ValueError: If `mu` has fewer than two axes.

    References:
        Burda, Grosse and Salakhutdinov (2016), who use this threshold; chapter 08.

    Example:
        >>> active_units(torch.tensor([[-1.0, 0.09], [1.0, -0.09]])).tolist()
        [True, False]
    """
    if mu.ndim < 2:
        raise ValueError(f"mu has shape {tuple(mu.shape)}; expected (..., N, d)")
    return mu.var(-2, correction=0) > threshold


@torch.no_grad()
def elbo_gap(vae: VAE, x: Tensor, grid: quadrature.Grid) -> Tensor:
    r"""What the ELBO misses of the log evidence, exactly.

    .. math:: \log p(x) - \mathcal L(x) = \mathrm{KL}\left(q(z|x)\,\|\,p(z|x)\right)

    Args:
        vae: R models with one latent axis.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        grid: Where to integrate; see `vaelib.quadrature.resolving_grid`.

    Returns:
        Gap, shape ``(R, N)``, in nats.

    Raises:
        ValueError: If the latent has more than one axis, or the grid is too coarse for q or for the decoder.

    References:
        Derived in chapter 02; taken apart in chapter 10.
    """
    if vae.latent_dim != 1:
        raise ValueError(f"vae has {vae.latent_dim} latent axes; expected one, for quadrature")
    require_at_least_one("the number of grid steps", len(grid.z) - 1)
    mu, log_var = vae.encode(x)
    step, narrowest = grid.z.diff(dim=0).max().item(), (0.5 * log_var.min()).exp().item()
    if step > quadrature.MAX_STEP * narrowest:
        raise ValueError(
            f"grid of {len(grid.z)} nodes is too coarse: its step {step:.3g} is more than {quadrature.MAX_STEP} of the "
            f"narrowest q, {narrowest:.3g}; use more nodes"
        )
    log_posterior = quadrature.log_posterior(x, vae.decode, vae.sigma, grid)
    gaps = []
    for r in range(len(mu)):  # run by run: a table of points and nodes is large
        log_q = gaussian_log_density(grid.z, mu[r, :, None], log_var[r, :, None])
        gaps.append(quadrature.kl_on_grid(log_q, log_posterior[r], grid))
    return torch.stack(gaps)


def _centred(x: Tensor) -> Tensor:
    """Data minus its mean, or a refusal."""
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with at least one point and axis")
    require_finite("x", x)
    return x - x.mean(0)
