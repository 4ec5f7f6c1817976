r"""The true process of the book: a latent time t, a point on a spiral, Gaussian noise.

.. math::

    t &= \sqrt u, \quad u \sim U[u_\mathrm{min}, 1] \\
    x &= \dot r t\,(\cos\omega t, \sin\omega t) + N(0, \sigma_\mathrm{data}^2 I)

The square root makes points about equally dense along the arc, since the arc's length grows like :math:`t^2`. These
are the values of the published experiment: 200 points, 1.4 turns, and a noise *standard deviation* of 0.2.
"""

import math

import numpy as np
import torch
from torch import Tensor

from vaelib import quadrature
from vaelib._checks import require_at_least_one, require_positive

R_DOT = 2.5  # radius gained per unit of t
OMEGA = 2.8 * math.pi  # radians per unit of t: 1.4 turns over t in [0, 1]
SIGMA = 0.2  # standard deviation of the observation noise on each data axis
U_MIN = 0.01  # u = t^2 is uniform on [U_MIN, 1], so t runs from 0.1 to 1


def curve(t: Tensor, *, r_dot: float = R_DOT, omega: float = OMEGA) -> Tensor:
    """Noise-free spiral, the mean of p(x|t).

    Args:
        t: Latent time, shape ``(...)`` or ``(..., 1)``.
        r_dot: Radius gained per unit of t.
        omega: Angle gained per unit of t, in radians.

    Returns:
        Points, shape ``(..., 2)``, in data units.

    Example:
        >>> curve(torch.tensor([0.0, 1.0]), omega=2 * math.pi).round(decimals=6).tolist()
        [[0.0, 0.0], [2.5, -0.0]]
    """
    t = t if t.shape[-1:] == (1,) else t.unsqueeze(-1)
    return r_dot * t * torch.cat([torch.cos(omega * t), torch.sin(omega * t)], -1)


def prior_density(t: Tensor) -> Tensor:
    r"""Density of t: :math:`p(t) = 2t / (1 - u_\mathrm{min})` on its support, 0 outside.

    Args:
        t: Latent time, shape ``(...)``.

    Returns:
        Density per unit of t, shape ``(...)``.
    """
    inside = (t >= math.sqrt(U_MIN)) & (t <= 1)
    return torch.where(inside, 2 * t / (1 - U_MIN), torch.zeros_like(t))


def ideal_encoding(t: Tensor) -> Tensor:
    r"""The standard normal latent that t becomes: :math:`\Phi^{-1}(F(t))`, with F the distribution function of t.

    It is the increasing map that carries the distribution of t to N(0, 1); the other is its negative.

    Args:
        t: Latent time inside (0.1, 1), shape ``(...)``.

    Returns:
        Latent position, shape ``(...)``, in prior standard deviations.
    """
    return torch.special.ndtri((t.square() - U_MIN) / (1 - U_MIN))


def t_grid(nodes: int = 512) -> quadrature.Grid:
    """Gauss-Legendre grid on the support of t, with the true prior.

    Legendre nodes rather than equal spacing, because p(t) does not vanish at the ends of its support.

    Args:
        nodes: Number of nodes G.

    Returns:
        The grid, for use with `curve` as the decoder.

    Raises:
        ValueError: If `nodes` is below 1.
    """
    require_at_least_one("nodes", nodes)
    node, weight = np.polynomial.legendre.leggauss(nodes)
    half_width = (1 - math.sqrt(U_MIN)) / 2
    t = 1 + half_width * (torch.as_tensor(node, dtype=torch.get_default_dtype()) - 1)
    log_weight = torch.as_tensor(weight, dtype=t.dtype).log() + math.log(half_width)
    return quadrature.Grid(t.unsqueeze(-1), prior_density(t).log(), log_weight)


def sample_spiral(
    n: int,
    *,
    generator: torch.Generator,
    evenly_spaced: bool = False,
    omega: float = OMEGA,
    sigma: float | Tensor = SIGMA,
) -> tuple[Tensor, Tensor]:
    """Draw points from the true process.

    Args:
        n: Number of points N.
        generator: Source of randomness.
        evenly_spaced: Put u on a regular grid over its support, as the published training set does, instead of drawing
            it. The noise is drawn in both cases.
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.

    Returns:
        Latent times t, shape ``(N,)``, and points x, shape ``(N, 2)``.

    Raises:
        ValueError: If `n` is below 1, or `sigma` is not positive or has another shape.
    """
    require_at_least_one("n", n)
    sigma = torch.as_tensor(sigma, dtype=torch.get_default_dtype())
    require_positive("sigma", sigma)
    if sigma.shape not in ((), (2,)):
        raise ValueError(f"sigma has shape {tuple(sigma.shape)}; expected one number or two, one for each axis")
    fraction = torch.linspace(0, 1, n) if evenly_spaced else torch.rand(n, generator=generator)
    t = (U_MIN + (1 - U_MIN) * fraction).sqrt()
    return t, curve(t, omega=omega) + sigma * torch.randn(n, 2, generator=generator)


def log_evidence(
    x: Tensor, *, omega: float = OMEGA, sigma: float | Tensor = SIGMA, grid: quadrature.Grid | None = None
) -> Tensor:
    """Exact log p(x) of the true process, by quadrature over t.

    Its average over fresh data is the ceiling that no model of the data can pass.

    Args:
        x: Points, shape ``(N, 2)``.
        omega: Angle gained per unit of t, in radians.
        sigma: Standard deviation of the noise, a number or one for each axis, shape ``(2,)``.
        grid: From `t_grid`; a longer curve needs more nodes than its default.

    Returns:
        Log evidence, shape ``(N,)``, in nats.

    Raises:
        ValueError: If the grid is too coarse for the curve.
    """
    return quadrature.log_evidence(x, lambda t: curve(t, omega=omega), _one_run(sigma), grid or t_grid())


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
        ValueError: If the grid is too coarse for the curve.
    """
    return quadrature.log_posterior(x, lambda t: curve(t, omega=omega), _one_run(sigma), grid)


def _one_run(sigma: float | Tensor) -> Tensor:
    """Sigma as `quadrature` takes it for a decoder without a run axis."""
    return torch.as_tensor(sigma, dtype=torch.get_default_dtype()).expand(1, 2)
