r"""The true process of the book: a latent time t, a point on a spiral, Gaussian noise.

.. math::

    t &= \sqrt u, \quad u \sim U[u_\mathrm{min}, 1] \\
    x &= \dot r t\,(\cos\omega t, \sin\omega t) + N(0, \sigma_\mathrm{data}^2 I)

The square root makes points about equally dense along the arc, since the arc's length grows like :math:`t^2`. These
are the values of the published experiment: 200 points, 1.4 turns, and a noise *standard deviation* of 0.2.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelib import quadrature
from vaelib._checks import as_floating, as_positive, require_at_least_one, require_tensor

R_DOT = 2.5  # radius gained per unit of t
OMEGA = 2.8 * math.pi  # radians per unit of t: 1.4 turns over t in [0, 1]
SIGMA = 0.2  # standard deviation of the observation noise on each data axis
U_MIN = 0.01  # u = t^2 is uniform on [U_MIN, 1], so t runs from 0.1 to 1
POINTS = 200  # size of the published training set
MAX_NODES = 2048  # of a t_grid that is made by itself: the time for its nodes grows as their cube, here under a second


class Plane(NamedTuple):
    """Nodes on the plane of the data, with the process's log density and the rule's weight at them.

    Attributes:
        x: Nodes, shape ``(M, 2)``, in data units.
        log_p: Exact log density of the process at the nodes, shape ``(M,)``, in nats.
        weight: Area of one node, in data units squared: ``weight * sum(f(x))`` is the integral of f.
    """

    x: Tensor
    log_p: Tensor
    weight: float

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the process of what has `values` ``(..., M)`` at the nodes, without sampling error, shape ``(...)``."""
        if values.shape[-1:] != self.log_p.shape:
            raise ValueError(f"values has shape {tuple(values.shape)}; expected (..., {len(self.log_p)}), one a node")
        return self.weight * (self.log_p.exp() * values).sum(-1)


def curve(t: Tensor, *, omega: float = OMEGA) -> Tensor:
    """Noise-free spiral, the mean of p(x|t).

    Args:
        t: Latent time, shape ``(...)``, or ``(..., N, 1)``, as a decoder takes it.
        omega: Angle gained per unit of t, in radians.

    Returns:
        Points, shape ``(..., 2)`` or ``(..., N, 2)``, in data units.

    Example:
        >>> curve(torch.tensor([0.0, 1.0]), omega=2 * math.pi).round(decimals=6).tolist()
        [[0.0, 0.0], [2.5, -0.0]]
    """
    [t] = as_floating(t=t, least=torch.float32)
    t = t if t.ndim > 1 and t.shape[-1] == 1 else t.unsqueeze(-1)
    return R_DOT * t * torch.cat([torch.cos(omega * t), torch.sin(omega * t)], -1)


def decode(z: Tensor, *, omega: float = OMEGA) -> Tensor:
    r"""The true process as a decoder of a standard normal latent: the curve at :math:`t = F^{-1}(\Phi(z))`.

    Here F is the distribution function of t. It is the inverse of `ideal_encoding`, followed by `curve`.

    Args:
        z: Latent position, shape ``(..., 1)``, in prior standard deviations.
        omega: Angle gained per unit of t, in radians.

    Returns:
        Points, shape ``(..., 2)``, in data units.

    Raises:
        ValueError: If the last axis of `z` is not of size 1.

    Example:
        >>> decode(torch.tensor([[40.0]])).allclose(curve(torch.tensor([1.0])))
        True
    """
    [z] = as_floating(z=z, least=torch.float32)
    if z.shape[-1:] != (1,):
        raise ValueError(f"z has shape {tuple(z.shape)}; expected (..., 1)")
    t = (U_MIN + (1 - U_MIN) * torch.special.ndtr(z)).sqrt()
    return curve(t if t.ndim > 1 else t[0], omega=omega)  # the curve would take a single (1,) for one of N times


def prior_density(t: Tensor) -> Tensor:
    r"""Density of t: :math:`p(t) = 2t / (1 - u_\mathrm{min})` on its support, 0 outside.

    Args:
        t: Latent time, shape ``(...)``.

    Returns:
        Density per unit of t, shape ``(...)``.
    """
    [t] = as_floating(t=t, least=torch.float32)
    outside = (t < math.sqrt(U_MIN)) | (t > 1)  # a NaN is neither, and stays
    return torch.where(outside, 0.0, 2 * t / (1 - U_MIN))


def ideal_encoding(t: Tensor) -> Tensor:
    r"""The standard normal latent that t becomes: :math:`\Phi^{-1}(F(t))`, with F the distribution function of t.

    It is the increasing map that carries the distribution of t to N(0, 1); the other is its negative.

    Args:
        t: Latent time in [0.1, 1], shape ``(...)``.

    Returns:
        Latent position, shape ``(...)``, in prior standard deviations; infinite at the two ends.

    Raises:
        ValueError: If a time lies outside.
    """
    [t] = as_floating(t=t, least=torch.float32)
    fraction, slack = (t.square() - U_MIN) / (1 - U_MIN), 4 * torch.finfo(t.dtype).eps
    if not ((fraction >= -slack) & (fraction <= 1 + slack)).all():  # written so that a NaN fails
        raise ValueError(f"t must lie in [{math.sqrt(U_MIN):g}, 1], found {t.min().item():g} to {t.max().item():g}")
    return torch.special.ndtri(fraction.clamp(0, 1))  # the ends themselves may be rounded to the outside


def order(mu: Tensor, t: Tensor) -> Tensor:
    """How far a latent runs along the curve as it should: correlation of its means with the ideal encoding.

    Args:
        mu: Means of q(z|x) of points drawn from the process, shape ``(..., N)``.
        t: Their latent times, shape ``(N,)``.

    Returns:
        Correlation, shape ``(...)``, plus or minus 1 for a latent in order, which may run either way, and 0 for one that
        does not move.

    Raises:
        ValueError: If the shapes do not fit, or all times are the same.
    """
    mu, t = as_floating(mu=mu, t=t, least=torch.float32)
    if t.ndim != 1 or mu.shape[-1:] != t.shape:
        raise ValueError(f"mu has shape {tuple(mu.shape)} and t {tuple(t.shape)}; expected (..., N) and (N,)")
    g = ideal_encoding(t)
    if not len(t) or t.min() == t.max():
        raise ValueError(f"t holds {len(t)} points at one time; expected at least two times")
    mu, g = mu - mu.mean(-1, keepdim=True), g - g.mean()
    norms = mu.norm(dim=-1) * g.norm()
    return (mu * g).sum(-1) / torch.where(norms == 0, 1.0, norms)


def t_grid(nodes: int = 512, *, dtype: torch.dtype = torch.float64, device: torch.device | str | None = None) -> quadrature.Grid:
    """Gauss-Legendre grid on the support of t, with the true prior.

    Legendre nodes rather than equal spacing, because p(t) does not vanish at the ends of its support.

    Args:
        nodes: Number of nodes G.
        dtype: Floating type of the grid.
        device: Where its tensors live; the CPU if None.

    Returns:
        The grid, for use with `curve` as the decoder.

    Raises:
        ValueError: If `nodes` is below 1.
    """
    require_at_least_one("nodes", nodes)
    node, weight = (torch.tensor(part, dtype=torch.float64, device=device) for part in _legendre(nodes))
    half_width = (1 - math.sqrt(U_MIN)) / 2
    t = 1 + half_width * (node - 1)
    log_weight = weight.log() + math.log(half_width)
    return quadrature.Grid(t.unsqueeze(-1).to(dtype), (2 * t / (1 - U_MIN)).log().to(dtype), log_weight.to(dtype))


def plane_grid(
    *,
    omega: float = OMEGA,
    sigma: float | Tensor = SIGMA,
    floor: float = 0.0,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str | None = None,
) -> Plane:
    r"""Square lattice over the plane of the data, for integrals over the process.

    Its step is 0.625 sigma, at which the trapezoidal rule is exact to rounding; it reaches 7.5 sigma beyond the curve.

    Args:
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.
        floor: Nodes where the process's density is at most `floor` are left out; 0 keeps the whole square.
        dtype: Floating type of the nodes.
        device: Where they live; the CPU if None.

    Returns:
        The nodes, first along :math:`x_2`, with the process's log density.

    Raises:
        ValueError: If `sigma` is not positive or has another shape.
    """
    sigma = _noise(sigma, torch.empty((), dtype=dtype, device=device))
    steps = (0.625 * sigma).expand(2).tolist()
    axes = []
    for step in steps:
        half = math.ceil((R_DOT + 12 * step) / step - 1e-9)  # a rounded quotient must not add a node
        axes.append(step * torch.arange(-half, half + 1, dtype=dtype, device=device))
    x = torch.cartesian_prod(*axes)
    log_p = log_evidence(x, omega=omega, sigma=sigma)
    kept = log_p > (math.log(floor) if floor > 0 else -math.inf)
    return Plane(x[kept], log_p[kept], math.prod(steps))


def sample_spiral(
    n: int,
    *,
    generator: torch.Generator,
    evenly_spaced: bool = False,
    omega: float = OMEGA,
    sigma: float | Tensor = SIGMA,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Draw points from the true process, on the device of the generator.

    Args:
        n: Number of points N.
        generator: Source of randomness.
        evenly_spaced: Put u on a regular grid over its support, as the published training set does, instead of drawing
            it. The noise is drawn in both cases.
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.
        dtype: Floating type of the points. A seed stands for the same points in every type, up to rounding.

    Returns:
        Latent times t, shape ``(N,)``, and points x, shape ``(N, 2)``.

    Raises:
        ValueError: If `n` is below 1, or `sigma` is not positive or has another shape.
    """
    require_at_least_one("n", n)
    # Drawn in float64 always, so that a seed stands for the same points in every type.
    like = torch.empty((), dtype=torch.float64, device=generator.device)
    if evenly_spaced:
        fraction = torch.linspace(0, 1, n, dtype=like.dtype, device=like.device)
    else:
        fraction = torch.rand(n, generator=generator, dtype=like.dtype, device=like.device)
    t = (U_MIN + (1 - U_MIN) * fraction).sqrt()
    noise = torch.randn(n, 2, generator=generator, dtype=like.dtype, device=like.device)
    x = curve(t, omega=omega) + _noise(sigma, like) * noise
    return t.to(dtype), x.to(dtype)


def sample_published(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The training set of the published experiment: 200 points, evenly spaced along the curve, with their noise drawn.

    Args:
        generator: Source of the noise; seed 0 is the book's own set.

    Returns:
        Latent times t, shape ``(200,)``, and points x, shape ``(200, 2)``, in data units.
    """
    return sample_spiral(POINTS, generator=generator, evenly_spaced=True)


def log_evidence(
    x: Tensor, grid: quadrature.Grid | None = None, *, omega: float = OMEGA, sigma: float | Tensor = SIGMA
) -> Tensor:
    """Exact log p(x) of the true process, by quadrature over t.

    Its average over fresh data is the ceiling that no model of the data can pass.

    Args:
        x: Points, shape ``(N, 2)``.
        grid: From `t_grid`; if None, one that is fine enough for the curve, of up to 2,048 nodes.
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.

    Returns:
        Log evidence, shape ``(N,)``, in nats.

    Raises:
        ValueError: If the grid is too coarse for the curve, or a shape does not fit.
    """
    sigma = _noise(sigma, _points(x))
    if grid is None:
        # Twice as fine as `quadrature.MAX_STEP` asks for, where the nodes are widest apart and the curve is fastest.
        widest, speed = math.pi * (1 - math.sqrt(U_MIN)) / 2, R_DOT * math.hypot(1, omega)
        needed = 2 * widest * speed / (quadrature.MAX_STEP * sigma.min().item())
        grid = t_grid(min(max(512, math.ceil(needed)), MAX_NODES))
    return quadrature.log_evidence(x, functools.partial(curve, omega=omega), sigma.expand(1, 2), grid)


def log_posterior(x: Tensor, grid: quadrature.Grid, *, omega: float = OMEGA, sigma: float | Tensor = SIGMA) -> Tensor:
    """Exact log p(t|x) of the true process at the nodes of a grid on t.

    Args:
        x: Points, shape ``(N, 2)``.
        grid: From `t_grid`.
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.

    Returns:
        Log density per unit of t, shape ``(N, G)``, in nats.

    Raises:
        ValueError: If the grid is too coarse for the curve, or a shape does not fit.
    """
    return quadrature.log_posterior(x, functools.partial(curve, omega=omega), _noise(sigma, _points(x)).expand(1, 2), grid)


def _points(x: Tensor) -> Tensor:
    """The points, or a refusal."""
    require_tensor("x", x)
    if x.ndim != 2 or x.shape[-1] != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, 2)")
    return x


def _noise(sigma: float | Tensor, like: Tensor) -> Tensor:
    """The noise's standard deviation as ``()`` or ``(2,)`` in the dtype and on the device of `like`, or a refusal."""
    [like] = as_floating(x=like, least=torch.float32)
    sigma = as_positive("sigma", sigma, like)
    if sigma.shape not in ((), (2,)):
        raise ValueError(f"sigma has shape {tuple(sigma.shape)}; expected one number or two, one for each axis")
    return sigma


@functools.cache
def _legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [-1, 1]: an eigenvalue problem, and each chapter asks for the same ones many times."""
    return np.polynomial.legendre.leggauss(nodes)
