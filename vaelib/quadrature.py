r"""Exact truth for one-dimensional latents: evidence and posterior by quadrature.

With one latent axis, every integral that a VAE text calls intractable is a sum over a grid. This module is the oracle
of the book: it shares no formula with `kl`, `gaussian`, `likelihood` or `objective`, so that it cannot share their
errors. Densities stay in log space until the last step. Results follow the dtype and the device of the data.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib._checks import as_floating, as_positive, full_precision, require_at_least_one, require_finite

MAX_STEP = 0.75  # in units of sigma; the trapezoidal rule then errs by about 2 exp(-2 pi^2 / MAX_STEP^2) ~ 1e-15
MAX_NODES = 2**22 + 1
BLOCK = 2**17  # entries of the (points, nodes) table held at once: 1 MiB in float64, which stays in the cache
REACH = 16.0  # nats: a joint density that has fallen by these at the grid's ends leaves about 1e-7 of its mass outside
VANISHED = 10.0  # nats: a prior that has fallen by these at an end of the grid is cut off there by nothing but the grid

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

    def to(self, like: Tensor) -> "Grid":
        """The same grid in the dtype and on the device of `like`."""
        return Grid(*(part.to(like) for part in self))


def normal_grid(
    nodes: int = 2001, *, limit: float = 8.0, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None
) -> Grid:
    """Equally spaced grid for a standard normal prior.

    The trapezoidal rule converges exponentially for analytic integrands that vanish at both ends, which a normal density
    does: the prior mass outside eight standard deviations is 1e-15.

    Args:
        nodes: Number of nodes G, at least 2.
        limit: The grid covers ``[-limit, limit]``, in prior standard deviations.
        dtype: Floating type of the grid.
        device: Where its tensors live; the CPU if None.

    Returns:
        The grid.

    Raises:
        ValueError: If `nodes` is below 2 or `limit` is not positive and finite.

    References:
        Trefethen and Weideman (2014), The exponentially convergent trapezoidal rule.
    """
    if nodes < 2:
        raise ValueError(f"nodes must be at least 2, found {nodes}")
    if not 0 < limit < math.inf:
        raise ValueError(f"limit must be positive and finite, found {limit}")
    z = torch.linspace(-limit, limit, nodes, dtype=dtype, device=device)
    log_weight = torch.full_like(z, math.log(2 * limit / (nodes - 1)))
    return Grid(z.unsqueeze(-1), -0.5 * z.square() - 0.5 * math.log(2 * math.pi), log_weight)


@full_precision
@torch.no_grad()
def resolving_grid(
    decode: Decode,
    sigma: float | Tensor,
    x: Tensor | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Grid:
    """The smallest normal grid on which `decode` moves by at most 0.75 sigma a step and that reaches as far as the data asks.

    Its number of nodes is from one doubling sequence, its limit from another: 8, unless the joint density of a point of `x`
    with z ends beyond, as it does for points that are far from the decoder's curve.

    Args:
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)`` or ``(R, G, D)``.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, or ``(R, D)`` with one an axis.
        x: Data that the grid shall serve, shape ``(N, D)`` or ``(R, N, D)``.
        dtype: Floating type of the grid; if None, that of `x` or of `sigma`, whichever is a tensor, else float64.
        device: Where the grid lives; chosen likewise, else the CPU.

    Returns:
        The grid, for `log_evidence` and `log_posterior`.

    Raises:
        ValueError: If sigma is not positive, `decode` returns another shape or a number that is not finite, or more than
            four million nodes would be needed.
    """
    like = next((v for v in (x, sigma) if isinstance(v, Tensor) and v.is_floating_point()), torch.empty((), dtype=torch.float64))
    sigma = as_positive("sigma", sigma, torch.empty((), dtype=dtype or like.dtype, device=device or like.device))
    if x is None:
        return _resolving(decode, sigma, 8.0)
    return _reaching(lambda log_joint, weight: log_joint[:, 0], x, decode, sigma)[0]


@full_precision
@torch.no_grad()
def log_evidence(x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid | None = None) -> Tensor:
    r"""Exact log evidence of a model with one latent axis and a Gaussian likelihood.

    .. math:: p(x) = \int p(z)\, N(x;\, \mu(z), \sigma^2 I)\, dz

    Args:
        x: Data, shape ``(N, D)``, or ``(R, N, D)`` for one data set a run.
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)``, or ``(R, G, D)`` for R runs.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, or ``(R, D)`` with one an axis. Without a run axis
            in `decode`, R is 1.
        grid: Where to integrate, with the prior; by default from `resolving_grid`, for this data.

    Returns:
        Log evidence, shape ``(N,)``, or ``(R, N)`` for R runs, in nats.

    Raises:
        ValueError: If a shape does not fit, the data or a mean is not finite, sigma is not positive, the grid is too coarse
            for sigma, or the joint density of a point reaches past the grid's ends.

    References:
        Chapter 01, which checks it against a closed form.
    """
    if grid is None:
        return _reaching(_log_integral, x, decode, sigma)[1]
    return _over_blocks(_log_integral, x, decode, sigma, grid)


@full_precision
@torch.no_grad()
def log_posterior(x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid) -> Tensor:
    r"""Exact log posterior density at the grid's nodes.

    .. math:: \log p(z|x) = \log p(x|z) + \log p(z) - \log p(x)

    Args:
        x: Data, shape ``(N, D)``, or ``(R, N, D)`` for one data set a run.
        decode: Maps nodes ``(G, 1)`` to means ``(G, D)``, or ``(R, G, D)`` for R runs.
        sigma: Standard deviation of the likelihood: a number, ``(R,)``, or ``(R, D)`` with one an axis. Without a run axis
            in `decode`, R is 1.
        grid: Where to evaluate, with the prior.

    Returns:
        Log density, shape ``(N, G)``, or ``(R, N, G)`` for R runs, in nats.

    Raises:
        ValueError: As `log_evidence`.
    """

    def normalised(log_joint: Tensor, weight: Tensor) -> Tensor:
        return log_joint - _log_integral(log_joint.clone(), weight).unsqueeze(-1)

    return _over_blocks(normalised, x, decode, sigma, grid)


def expectation(values: Tensor, log_density: Tensor, grid: Grid) -> Tensor:
    """Integral of `values` against a density given at the nodes.

    Args:
        values: Integrand at the nodes, shape ``(..., G)``; it may be infinite where the density is zero.
        log_density: Log density at the nodes, shape ``(..., G)``, in nats.
        grid: The nodes' weights.

    Returns:
        Expectation, shape ``(...)``, in the unit of `values`.

    Raises:
        ValueError: If `values` or `log_density` is not given at the nodes of `grid`, or they do not broadcast.
    """
    values, log_density = _at_nodes(grid, values=values, log_density=log_density)
    mass = (log_density + grid.log_weight.to(log_density)).exp()
    # Where no mass is, no value counts: log q - log p is infinite or NaN where the densities underflow.
    return (torch.where(mass > 0, values, 0.0) * mass).sum(-1)


def kl_on_grid(log_q: Tensor, log_p: Tensor, grid: Grid) -> Tensor:
    r"""KL(q || p) :math:`= \int q(z) (\log q(z) - \log p(z))\, dz` of two densities given at the nodes.

    Args:
        log_q: Log density of q at the nodes, shape ``(..., G)``, in nats.
        log_p: Log density of p at the nodes, broadcastable with `log_q`, in nats.
        grid: The nodes' weights.

    Returns:
        KL, shape ``(...)``, in nats, right if the grid covers q and its step resolves it.

    Raises:
        ValueError: If `log_q` or `log_p` is not given at the nodes of `grid`, or they do not broadcast.
    """
    log_q, log_p = _at_nodes(grid, log_q=log_q, log_p=log_p)
    return expectation(log_q - log_p, log_q, grid)


def _at_nodes(grid: Grid, **tables: Tensor) -> list[Tensor]:
    """Tables ``(..., G)`` in one floating type, or a refusal."""
    for name, table in zip(tables, values := as_floating(**tables, least=torch.float32), strict=True):
        if table.shape[-1:] != grid.log_weight.shape:
            raise ValueError(f"{name} has shape {tuple(table.shape)}; expected (..., {len(grid.z)}), one a node")
    try:
        torch.broadcast_shapes(*(table.shape for table in values))
    except RuntimeError:
        shapes = " and ".join(f"{name} {tuple(table.shape)}" for name, table in tables.items())
        raise ValueError(f"{shapes} do not broadcast in their leading axes") from None
    return values


def _log_integral(log_joint: Tensor, weight: Tensor) -> Tensor:
    """Log of the integral over the nodes, ``(N, G)`` to ``(N,)``; `log_joint` is used up."""
    top = log_joint.amax(-1)
    return top + (log_joint.sub_(top.unsqueeze(-1)).exp_() @ weight).log()


def _over_blocks(reduce: Callable, x: Tensor, decode: Decode, sigma: float | Tensor, grid: Grid) -> Tensor:
    """Apply `reduce` to log p(x, z) on the grid, run by run and a block of points at a time."""
    x, sigma = _checked(x, sigma)
    grid = grid.to(x)
    mean = _means(decode, grid)
    stacked = mean.ndim == 3
    runs, (nodes, data_dim) = len(mean) if stacked else 1, mean.shape[-2:]
    if x.shape[-1] != data_dim:
        raise ValueError(f"x has {x.shape[-1]} data axes and decode returns {data_dim}; expected the same")
    if x.ndim == 3 and len(x) != runs:
        raise ValueError(f"x has shape {tuple(x.shape)}, which does not fit the {runs} runs of decode")
    if (step := _largest_step(mean, sigma)) > MAX_STEP:
        raise ValueError(
            f"grid of {nodes} nodes is too coarse: neighbouring means are up to {step:.3g} sigma apart, "
            f"expected at most {MAX_STEP}; use more nodes (see resolving_grid)"
        )
    x, mean = x.expand(runs, *x.shape[-2:]), mean.expand(runs, nodes, data_dim)
    sigma = _a_run(sigma, runs, data_dim).expand(runs, 1, data_dim).squeeze(1)
    values = [_one_run(reduce, x[r], mean[r], sigma[r], grid) for r in range(runs)]
    return torch.stack(values) if stacked else values[0]


def _checked(x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    """Data and sigma in one floating type, or a refusal."""
    [x] = as_floating(x=x, least=torch.float32)
    if x.ndim not in (2, 3):
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D), or (R, N, D) for one data set a run")
    require_finite("x", x)
    return x, as_positive("sigma", sigma, x)


def _resolving(decode: Decode, sigma: Tensor, limit: float) -> Grid:
    """The coarsest grid up to `limit` of a doubling sequence that resolves the decoder."""
    nodes = round(250 * limit) + 1
    while nodes <= MAX_NODES:
        grid = normal_grid(nodes, limit=limit, dtype=sigma.dtype, device=sigma.device)
        if _largest_step(_means(decode, grid), sigma) <= MAX_STEP:
            return grid
        nodes = 2 * nodes - 1
    raise ValueError(f"sigma {sigma.min().item():g} is too small for a grid of {MAX_NODES} nodes up to {limit:g}")


def _reaching(reduce: Callable, x: Tensor, decode: Decode, sigma: float | Tensor) -> tuple[Grid, Tensor]:
    """The first resolving grid that reaches far enough for the data, and `reduce` on it."""
    x, sigma = _checked(x, sigma)
    limit = 8.0
    while True:
        grid = _resolving(decode, sigma, limit)
        try:
            return grid, _over_blocks(reduce, x, decode, sigma, grid)
        except _BeyondReach:
            limit *= 2


class _BeyondReach(ValueError):
    """A grid is too short for the data."""


def _one_run(reduce: Callable, x: Tensor, mean: Tensor, sigma: Tensor, grid: Grid) -> Tensor:
    """`reduce` of log p(x, z) for one run: x ``(N, D)``, mean ``(G, D)``, sigma ``(D,)``."""
    log_norm = grid.log_prior - sigma.log().sum() - 0.5 * len(sigma) * math.log(2 * math.pi)
    weight, precisions = grid.log_weight.exp(), (0.5 / sigma.square()).tolist()
    x_axes, mean_axes = x.unbind(-1), mean.unbind(-1)
    # On a graphics processor the cost of a call outweighs the cache.
    block = BLOCK if x.device.type == "cpu" else 64 * BLOCK
    values = []
    for rows in torch.arange(len(x), device=x.device).split(max(1, block // len(grid.z))):
        log_joint = log_norm.repeat(len(rows), 1)
        # Differences and then squares: the product form |x|^2 - 2 x.m + |m|^2 loses digits where sigma is small.
        for x_axis, mean_axis, precision in zip(x_axes, mean_axes, precisions, strict=True):
            distance = x_axis[rows, None] - mean_axis
            log_joint.addcmul_(distance, distance, value=-precision)
        _require_reach(log_joint, grid)
        values.append(reduce(log_joint, weight))
    return torch.cat(values)


def _require_reach(log_joint: Tensor, grid: Grid) -> None:
    """Raise ``ValueError`` if only the grid, and neither prior nor likelihood, ends the joint density ``(N, G)``."""
    prior_falls = grid.log_prior.max() - grid.log_prior[[0, -1]]
    wanted = torch.where(prior_falls > VANISHED, (0.75 * prior_falls).clamp(max=REACH), -math.inf)
    top = log_joint.amax(-1, keepdim=True)
    if not (top > -math.inf).all():
        raise ValueError("x holds points so far from every mean that their density underflows; expected nearer ones")
    falls = top - log_joint[:, [0, -1]]
    beyond = (falls < wanted).any(-1)
    if beyond.any():
        raise _BeyondReach(
            f"x holds {beyond.sum().item()} points beyond the grid's reach: their joint density with z has fallen by only "
            f"{falls[beyond].min().item():.3g} nats at an end of the grid, {grid.z[0].item():g} or {grid.z[-1].item():g}, "
            f"expected at least {wanted.max().item():.3g}; use a larger limit (see resolving_grid)"
        )


def _means(decode: Decode, grid: Grid) -> Tensor:
    """The decoder's means at the nodes, or a refusal."""
    mean = decode(grid.z)
    if not isinstance(mean, Tensor) or mean.ndim not in (2, 3) or mean.shape[-2] != len(grid.z):
        found = f"shape {tuple(mean.shape)}" if isinstance(mean, Tensor) else type(mean).__name__
        raise ValueError(f"decode returns {found} for {len(grid.z)} nodes; expected (G, D), or (R, G, D) for R runs")
    require_finite("decode(z)", mean)
    return mean.to(grid.z)


def _a_run(sigma: Tensor, runs: int, data_dim: int) -> Tensor:
    """Sigma as ``(1 or R, 1, 1 or D)``, checked."""
    if sigma.shape not in ((), (runs,), (runs, data_dim)):
        raise ValueError(
            f"sigma has shape {tuple(sigma.shape)}; expected a number, ({runs},) or ({runs}, {data_dim}), which fits the "
            f"{runs} runs of decode"
        )
    return sigma.unsqueeze(-2) if sigma.ndim == 2 else sigma.reshape(-1, 1, 1)


def _largest_step(mean: Tensor, sigma: Tensor) -> float:
    """Largest distance between neighbouring means ``(G, D)`` or ``(R, G, D)``, in units of sigma."""
    require_at_least_one("the number of grid steps", mean.shape[-2] - 1)
    sigma = _a_run(sigma, len(mean) if mean.ndim == 3 else 1, mean.shape[-1])
    return (mean.diff(dim=-2) / sigma).norm(dim=-1).max().item()
