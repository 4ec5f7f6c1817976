r"""Exact truth for one-dimensional latents: evidence and posterior by quadrature.

With one latent axis, every integral that a VAE text calls intractable is a sum over a grid. This module is the oracle
of the book: it shares no formula with `kl`, `gaussian`, `likelihood` or `objective`, so that it cannot share their
errors. Densities stay in log space until the last step.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib._checks import require_at_least_one, require_finite, require_positive

MAX_STEP = 0.75  # in units of sigma; the trapezoidal rule then errs by about 2 exp(-2 pi^2 / MAX_STEP^2) ~ 1e-15
MAX_NODES = 2**22 + 1
BLOCK = 2**23  # entries of the (points, nodes) table held at once: 64 MiB in float64

Decode = Callable[[Tensor], Tensor]


class Grid(NamedTuple):
    """Nodes on the latent axis, with the prior's log density and the rule's log weights at them.

    Attributes:
        z: Nodes, shape ``(G, 1)``.
        log_prior: Log density of the prior at the nodes, shape ``(G,)``, in nats.
        log_weight: Log of the quadrature weights, shape ``(G,)``: ``sum(exp(log_weight) * f(z))`` is the integral of f.
    """

    z: Tensor
    log_prior: Tensor
    log_weight: Tensor


def normal_grid(nodes: int = 2001, *, limit: float = 8.0, dtype: torch.dtype | None = None) -> Grid:
    """Equally spaced grid for a standard normal prior.

    The trapezoidal rule converges exponentially for smooth integrands that vanish at both ends, which a normal density
    does: the prior mass outside eight standard deviations is 1e-15.

    Args:
        nodes: Number of nodes G, at least 2.
        limit: The grid covers ``[-limit, limit]``, in prior standard deviations.
        dtype: Floating type of the grid; torch's default if None.

    Returns:
        The grid.

    Raises:
        ValueError: If `nodes` is below 2 or `limit` is not positive.

    References:
        Trefethen and Weideman (2014), The exponentially convergent trapezoidal rule.
    """
    if nodes < 2:
        raise ValueError(f"nodes must be at least 2, found {nodes}")
    if not limit > 0:
        raise ValueError(f"limit must be positive, found {limit}")
    z = torch.linspace(-limit, limit, nodes, dtype=dtype)
    log_weight = torch.full_like(z, math.log(2 * limit / (nodes - 1)))
    return Grid(z.unsqueeze(-1), -0.5 * z.square() - 0.5 * math.log(2 * math.pi), log_weight)


def resolving_grid(decode: Decode, sigma: float | Tensor) -> Grid:
    """The coarsest of a doubling sequence of normal grids on which `decode` moves by at most 0.75 sigma a step.

    Args:
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)`` or ``(R, G, D)``.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, or ``(R, D)`` with one an axis.

    Returns:
        The grid, fine enough for `log_evidence` and `log_posterior`.

    Raises:
        ValueError: If that needs more than four million nodes.
    """
    nodes = 2001
    while nodes <= MAX_NODES:
        grid = normal_grid(nodes)
        if _largest_step(decode(grid.z), sigma) <= MAX_STEP:
            return grid
        nodes = 2 * nodes - 1
    raise ValueError(f"sigma {torch.as_tensor(sigma).min().item():g} is too small for a grid of {MAX_NODES} nodes")


@torch.no_grad()
def log_evidence(x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid) -> Tensor:
    r"""Exact log evidence of a model with one latent axis and a Gaussian likelihood.

    .. math:: p(x) = \int p(z)\, N(x;\, \mu(z), \sigma^2 I)\, dz

    Args:
        x: Data, shape ``(N, D)``, or ``(R, N, D)`` for one data set a run.
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)``, or ``(R, G, D)`` for R runs.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, ``(R, D)`` with one an axis, or ``(R, G, D)``
            with its value at every node. Without a run axis in `decode`, R is 1.
        grid: Where to integrate, with the prior.

    Returns:
        Log evidence, shape ``(N,)``, or ``(R, N)`` for R runs, in nats.

    Raises:
        ValueError: If the data is not finite, sigma is not positive, or the grid is too coarse for sigma.

    References:
        Chapter 01, which checks it against a closed form.
    """
    return _over_blocks(lambda log_joint: torch.logsumexp(log_joint + grid.log_weight, -1), x, decode, sigma, grid)


@torch.no_grad()
def log_posterior(x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid) -> Tensor:
    r"""Exact log posterior density :math:`\log p(z|x) = \log p(x|z) + \log p(z) - \log p(x)` at the grid's nodes.

    Args:
        x: Data, shape ``(N, D)``, or ``(R, N, D)`` for one data set a run.
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)``, or ``(R, G, D)`` for R runs.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, ``(R, D)`` with one an axis, or ``(R, G, D)``
            with its value at every node. Without a run axis in `decode`, R is 1.
        grid: Where to evaluate, with the prior.

    Returns:
        Log density, shape ``(N, G)``, or ``(R, N, G)`` for R runs, in nats.

    Raises:
        ValueError: If the data is not finite, sigma is not positive, or the grid is too coarse for sigma.
    """

    def normalised(log_joint: Tensor) -> Tensor:
        return log_joint - torch.logsumexp(log_joint + grid.log_weight, -1, keepdim=True)

    return _over_blocks(normalised, x, decode, sigma, grid)


def expectation(values: Tensor, log_density: Tensor, grid: Grid) -> Tensor:
    """Integral of `values` against a density given at the nodes.

    Args:
        values: Integrand at the nodes, shape ``(..., G)``.
        log_density: Log density at the nodes, shape ``(..., G)``, in nats.
        grid: The nodes' weights.

    Returns:
        Expectation, shape ``(...)``, in the unit of `values`.
    """
    return (values * (log_density + grid.log_weight).exp()).sum(-1)


def kl_on_grid(log_q: Tensor, log_p: Tensor, grid: Grid) -> Tensor:
    r"""KL(q || p) :math:`= \int q(z) (\log q(z) - \log p(z))\, dz` of two densities given at the nodes.

    Args:
        log_q: Log density of q at the nodes, shape ``(..., G)``, in nats.
        log_p: Log density of p at the nodes, broadcastable to `log_q`, in nats.
        grid: The nodes' weights.

    Returns:
        KL, shape ``(...)``, in nats.
    """
    return expectation(log_q - log_p, log_q, grid)


def _over_blocks(reduce: Callable, x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid) -> Tensor:
    """Apply `reduce` to log p(x, z) on the grid, run by run and a block of points at a time."""
    require_finite("x", x)
    sigma = torch.as_tensor(sigma, dtype=x.dtype)
    require_positive("sigma", sigma)
    mean = decode(grid.z)
    stacked = mean.ndim == 3
    runs, (nodes, data_dim) = len(mean) if stacked else 1, mean.shape[-2:]
    if x.shape[-1] != data_dim:
        raise ValueError(f"x has {x.shape[-1]} data axes and decode returns {data_dim}; expected the same")
    if x.ndim > 3 or (x.ndim == 3 and len(x) != runs):
        raise ValueError(f"x has shape {tuple(x.shape)}, which does not fit the {runs} runs of decode")
    if (step := _largest_step(mean, sigma)) > MAX_STEP:
        raise ValueError(
            f"grid of {nodes} nodes is too coarse: neighbouring means are up to {step:.3g} sigma apart, "
            f"expected at most {MAX_STEP}; use more nodes (see resolving_grid)"
        )
    x, mean = x.expand(runs, *x.shape[-2:]), mean.expand(runs, nodes, data_dim)
    sigma = _per_node(sigma, mean).expand(runs, nodes, data_dim)
    values = [_one_run(reduce, x[r], mean[r], sigma[r], grid) for r in range(runs)]
    return torch.stack(values) if stacked else values[0]


def _one_run(reduce: Callable, x: Tensor, mean: Tensor, sigma: Tensor, grid: Grid) -> Tensor:
    """`reduce` of log p(x, z) for one run: x ``(N, D)``, mean and sigma ``(G, D)``."""
    log_norm = grid.log_prior - (sigma.log() + 0.5 * math.log(2 * math.pi)).sum(-1)
    x_axes, mean_axes, precision = x.unbind(-1), mean.unbind(-1), (0.5 / sigma.square()).unbind(-1)
    blocks = []
    for rows in torch.arange(len(x)).split(max(1, BLOCK // len(grid.z))):
        log_joint = log_norm.expand(len(rows), -1).clone()
        for x_axis, mean_axis, weight in zip(x_axes, mean_axes, precision):
            log_joint -= (x_axis[rows, None] - mean_axis).square_().mul_(weight)
        blocks.append(reduce(log_joint))
    return torch.cat(blocks)


def _per_node(sigma: Tensor, mean: Tensor) -> Tensor:
    """Sigma as ``(R, 1 or G, 1 or D)``, checked against means ``(R, G, D)`` or ``(G, D)``."""
    *runs, nodes, data_dim = mean.shape
    runs = runs[0] if runs else 1
    if sigma.shape not in ((), (runs,), (runs, data_dim), (runs, nodes, data_dim)):
        raise ValueError(
            f"sigma has shape {tuple(sigma.shape)}; expected a number, ({runs},), ({runs}, {data_dim}) or "
            f"({runs}, {nodes}, {data_dim}), which fits the {runs} runs of decode"
        )
    return sigma.unsqueeze(-2) if sigma.ndim == 2 else sigma if sigma.ndim == 3 else sigma.reshape(-1, 1, 1)


def _largest_step(mean: Tensor, sigma: float | Tensor) -> float:
    """Largest distance between neighbouring means, in units of the smaller sigma of the two."""
    require_at_least_one("the number of grid steps", mean.shape[-2] - 1)
    sigma = _per_node(torch.as_tensor(sigma, dtype=mean.dtype), mean)
    if sigma.shape[-2] > 1:
        sigma = torch.minimum(sigma[..., 1:, :], sigma[..., :-1, :])
    return (mean.diff(dim=-2) / sigma).norm(dim=-1).max().item()
