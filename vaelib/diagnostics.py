r"""What to measure on a VAE: its exact ELBO and gap, the best normal q, the aggregate posterior, which axes live.

What needs only the data, and no model, is in `vaelib.thresholds`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib import quadrature
from vaelib._checks import as_floating, require_finite, require_nonempty, require_same_shape
from vaelib.gaussian import gaussian_log_density
from vaelib.kl import kl_to_standard_normal
from vaelib.nets import VAE
from vaelib.objective import ElboTerms, log_likelihood

ACTIVE = 0.01  # squared prior standard deviations: the threshold of Burda, Grosse and Salakhutdinov
NODES = 81  # of the first grid over eps that `exact_terms` tries
MAX_NODES = 20 * 2**10 + 1  # of the last one
BLOCK = 2**16  # draws that the decoder sees at once
TABLE = 2**17  # entries of a table that is worked on at once
ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # nats, of a standard normal
EDGE = 6.0  # standard deviations that a best normal keeps between its mean and the grid's ends


class BestNormal(NamedTuple):
    """The normal with the highest ELBO for each row of a table.

    Attributes:
        mu: Its mean, shape ``(...)``, in prior standard deviations.
        log_var: Its log variance, shape ``(...)``.
        elbo: E_q[log p - log q] there, shape ``(...)``, in nats: the ELBO if the table held log p(x, z), and minus
            KL(q || p(z|x)) if it held the log posterior.
    """

    mu: Tensor
    log_var: Tensor
    elbo: Tensor


@torch.no_grad()
def exact_terms(vae: VAE, x: Tensor, grid: quadrature.Grid | None = None, *, q: tuple[Tensor, Tensor] | None = None) -> ElboTerms:
    r"""The two terms of the ELBO of one-dimensional latents, without sampling error.

    .. math::

        & \mathbb E_{q(z|x)}[\log p(x|z)] \\
        & \quad = \int N(\epsilon;\, 0, 1)\, \log p(x\,|\,\mu + s\epsilon)\, d\epsilon

    The grid lies on the noise and not on the latent, so no q can be too narrow for it or lie beside it.

    Args:
        vae: R models with one latent axis.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        grid: Nodes of the noise, equally spaced, from `vaelib.quadrature.normal_grid`; if None, the coarsest of a doubling
            sequence that is fine enough.
        q: Means and log variances of another q than the encoder's, each ``(R, N, 1)``.

    Returns:
        Both terms, shape ``(R, N)`` each, in nats.

    Raises:
        ValueError: If the latent has more than one axis, q is not finite or of another shape, or the grid is too coarse for
            the decoder as q sees it.

    References:
        Chapter 06, which writes it out.
    """
    if vae.latent_dim != 1:
        raise ValueError(f"vae has {vae.latent_dim} latent axes; expected one, for quadrature")
    x = vae._table("x", x, "N", vae.data_dim)
    require_nonempty("x", x)
    shape = (vae.runs, x.shape[-2], 1)
    mu, log_var = vae.encode(x) if q is None else q
    for name, value in (("mu", mu), ("log_var", log_var)):
        if value.shape != shape:
            raise ValueError(f"{name} of q has shape {tuple(value.shape)}; expected {shape}")
        require_finite(f"{name} of q", value)
    x, last = x.expand(vae.runs, *x.shape[-2:]), MAX_NODES if grid is None else 0
    reconstruction = _refined(vae, x, mu, log_var, (grid or quadrature.normal_grid(NODES)).to(mu), last)
    return ElboTerms(reconstruction, kl_to_standard_normal(mu, log_var))


@torch.no_grad()
def elbo_gap(vae: VAE, x: Tensor, grid: quadrature.Grid | None = None) -> Tensor:
    r"""What the ELBO misses of the log evidence, exactly.

    .. math:: \log p(x) - \mathcal L(x) = \mathrm{KL}\left(q(z|x)\,\|\,p(z|x)\right)

    Args:
        vae: R models with one latent axis.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        grid: Nodes of the latent, for the evidence; from `vaelib.quadrature.resolving_grid` if None. The ELBO is
            `exact_terms`, which finds its own nodes.

    Returns:
        Gap, shape ``(R, N)``, in nats.

    Raises:
        ValueError: If the latent has more than one axis, or the grid is too coarse or too short for the decoder.

    References:
        Derived in chapter 02; taken apart in chapter 11.
    """
    elbo = exact_terms(vae, x).elbo
    return quadrature.log_evidence(x, vae.decode, vae.sigma, grid) - elbo


@torch.no_grad()
def best_normal(log_density: Tensor, grid: quadrature.Grid) -> BestNormal:
    r"""The normal q with the highest :math:`\mathbb E_q[\log p - \log q]`, for each of many densities on the latent.

    That can have several maxima: a scan of every node and of widths in steps of a third finds the hill, and Newton's method
    its top. By Stein's identity the derivatives are moments of log p, so a table of it is enough.

    Args:
        log_density: log p(x, z), the log posterior or any other log density at the nodes, normalised or not, shape
            ``(..., G)``, in nats.
        grid: Its nodes, equally spaced, from `vaelib.quadrature.normal_grid`.

    Returns:
        Mean, log variance and ELBO, each ``(...)``.

    Raises:
        ValueError: If the table is not given at the nodes, not finite, or too coarse for the best normal.

    References:
        Chapter 02, which climbs for one point; chapter 11, which splits the gap by it.
    """
    [log_density] = as_floating(log_density=log_density, least=torch.float32)
    nodes = len(grid.z)
    if log_density.shape[-1:] != (nodes,):
        raise ValueError(f"log_density has shape {tuple(log_density.shape)}; expected (..., {nodes}), one a node")
    require_nonempty("log_density", log_density)
    require_finite("log_density", log_density)
    table = log_density.reshape(-1, nodes).double()  # float32 would not hold the top of the hill
    rows = [_best_rows(block, grid.to(table)) for block in table.split(max(1, TABLE // nodes))]
    mu, sd, elbo = (torch.cat(part).reshape(log_density.shape[:-1]).to(log_density) for part in zip(*rows, strict=True))
    return BestNormal(mu, 2 * sd.log(), elbo)


@torch.no_grad()
def log_aggregate(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    r"""Log density of the aggregate posterior, the mixture :math:`\frac1N \sum_n q(z|x_n)`.

    Args:
        z: Where to evaluate, shape ``(M, d)``.
        mu: Means of q, shape ``(..., N, d)``.
        log_var: Log variances of q, same shape.

    Returns:
        Log density, shape ``(..., M)``, in nats.

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> log_aggregate(torch.zeros(1, 1), torch.zeros(5, 1), torch.zeros(5, 1)).exp().item()  # 1 / sqrt(2 pi)
        0.398942...
    """
    z, mu, log_var = as_floating(z=z, mu=mu, log_var=log_var, least=torch.float32)
    require_same_shape("mu", mu, "log_var", log_var)
    require_nonempty("mu", mu)
    if z.ndim != 2 or mu.ndim < 2 or z.shape[-1] != mu.shape[-1]:
        raise ValueError(f"z has shape {tuple(z.shape)} and mu {tuple(mu.shape)}; expected (M, d) and (..., N, d)")
    mu, log_var = mu.unsqueeze(-3), log_var.unsqueeze(-3)
    places = z.unsqueeze(-2).expand(*mu.shape[:-3], -1, 1, -1)
    parts = [
        gaussian_log_density(block, mu, log_var).logsumexp(-1) for block in places.split(max(1, TABLE // mu[..., 0].numel()), -3)
    ]
    return torch.cat(parts, -1) - math.log(mu.shape[-2])


def active_units(mu: Tensor) -> Tensor:
    """Latent axes whose posterior mean moves with the data: its variance is above 0.01.

    Args:
        mu: Means of q(z|x), shape ``(..., N, d)``.

    Returns:
        Whether each axis is active, boolean, shape ``(..., d)``; its sum over the last axis is their number.

    Raises:
        ValueError: If `mu` has fewer than two axes, no points, or is not finite.

    References:
        Burda, Grosse and Salakhutdinov (2016), who use this threshold; chapter 08.

    Example:
        >>> active_units(torch.tensor([[-1.0, 0.09], [1.0, -0.09]])).tolist()
        [True, False]
    """
    [mu] = as_floating(mu=mu, least=torch.float32)
    if mu.ndim < 2 or not mu.shape[-2]:
        raise ValueError(f"mu has shape {tuple(mu.shape)}; expected (..., N, d) with at least one point")
    require_nonempty("mu", mu)
    require_finite("mu", mu)
    return mu.var(-2, correction=0) > ACTIVE


def _refined(vae: VAE, x: Tensor, mu: Tensor, log_var: Tensor, grid: quadrature.Grid, last: int) -> Tensor:
    """E_q[log p(x|z)], ``(R, N)``, a block of points at a time, with up to `last` nodes where those of `grid` fail."""
    nodes, parts = len(grid.z), []
    for rows in torch.arange(x.shape[-2], device=x.device).split(max(1, BLOCK // (nodes * len(x)))):
        here = vae, x[:, rows], mu[:, rows], log_var[:, rows]
        value, error = _reconstruction(*here, grid)
        if error > 1:
            if nodes >= last:
                raise ValueError(f"grid of {nodes} nodes is too coarse for the decoder as q sees it; use more nodes")
            value = _refined(*here, quadrature.normal_grid(2 * nodes - 1).to(mu), last)
        parts.append(value)
    return torch.cat(parts, -1)


def _reconstruction(vae: VAE, x: Tensor, mu: Tensor, log_var: Tensor, grid: quadrature.Grid) -> tuple[Tensor, float]:
    """E_q[log p(x|z)] by one grid, and its error in units of what is allowed."""
    eps = grid.z[:, 0]
    z = mu + (0.5 * log_var).exp() * eps  # (R, N, G)
    values = log_likelihood(vae, x, z.unsqueeze(-1))
    require_finite("log p(x|z) under q", values)
    weighted = values * (grid.log_prior + grid.log_weight).exp()
    # Every other node makes a grid of twice the step, and the nodes between make another. Where both agree to 1e-6, their
    # mean is much better still: for an analytic decoder the error of half the step is at most about the square. (A wave whose
    # period is the step itself, 31 radians a width of q on the first grid, is seen by no node.)
    even, odd = 2 * weighted[..., ::2].sum(-1), 2 * weighted[..., 1::2].sum(-1)
    allowed = max(1e-6, 100 * torch.finfo(values.dtype).eps) * (1 + weighted.abs().sum(-1))
    return weighted.sum(-1), ((even - odd).abs() / allowed).max().item()


def _best_rows(f: Tensor, grid: quadrature.Grid) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, standard deviation and ELBO of the best normal for each row of log densities ``(N, G)``."""
    (first, second), last = grid.z[:2, 0].tolist(), grid.z[-1, 0].item()
    narrowest = (second - first) / quadrature.MAX_STEP
    mu, sd = _scan(f, grid)
    best = mu, sd, *_ascent_step(f, mu, sd, grid)  # mean, width, ELBO, and the step from there in units of the width
    damp = torch.ones_like(mu)
    for _ in range(100):
        mu, sd, elbo, step = best
        moved = step * damp.unsqueeze(-1)
        if moved.abs().max() < 1e-10:
            break
        new_mu, new_sd = mu + sd * moved[:, 0], sd * moved[:, 1].exp()
        inside = (new_sd > 0.5 * narrowest) & (new_mu - EDGE * new_sd >= first) & (new_mu + EDGE * new_sd <= last)
        new = new_mu, new_sd, *_ascent_step(f, new_mu, new_sd, grid)
        better = inside & (new[2] >= elbo - 1e-13 * (1 + elbo.abs()))
        best = tuple(torch.where(better if a.ndim == 1 else better[:, None], a, b) for a, b in zip(new, best, strict=True))
        damp = torch.where(better, (2 * damp).clamp(max=1), damp / 4)
    if (best[1] < narrowest).any():
        raise ValueError(
            f"grid of {len(grid.z)} nodes is too coarse: its step {second - first:.3g} is more than {quadrature.MAX_STEP} of the "
            "narrowest best q; use more nodes"
        )
    if best[3].abs().max() > 1e-6:
        raise ValueError(f"a best normal lies nearer than {EDGE:g} widths to an end of the grid; use a larger limit")
    return best[0], best[1], best[2]


def _scan(f: Tensor, grid: quadrature.Grid) -> tuple[Tensor, Tensor]:
    """The best mean among the nodes and the best width of a ladder, for each row of log densities ``(N, G)``."""
    z, size = grid.z[:, 0], 2 * len(grid.z)
    step, half = (z[1] - z[0]).item(), (z[-1] - z[0]).item() / 2
    spectrum = torch.fft.rfft(f, n=size)
    # Offsets between nodes, in the order in which a circular convolution meets them.
    offset = step * torch.cat([torch.arange(len(z)), torch.arange(-len(z), 0)]).to(f)
    best = torch.full_like(f[:, 0], -math.inf), torch.zeros_like(f[:, 0]), torch.zeros_like(f[:, 0])
    sd = step / quadrature.MAX_STEP
    while EDGE * sd < half:
        q = torch.exp(-0.5 * (offset / sd).square()) * step / (sd * math.sqrt(2 * math.pi))
        elbo = torch.fft.irfft(spectrum * torch.fft.rfft(q), n=size)[:, : len(z)] + math.log(sd) + ENTROPY
        elbo = elbo.masked_fill((z - EDGE * sd < z[0]) | (z + EDGE * sd > z[-1]), -math.inf)
        value, node = elbo.max(-1)
        better = value > best[0]
        best = tuple(torch.where(better, a, b) for a, b in zip((value, z[node], torch.full_like(value, sd)), best, strict=True))
        sd *= 1.5
    return best[1], best[2]


def _ascent_step(f: Tensor, mu: Tensor, sd: Tensor, grid: quadrature.Grid) -> tuple[Tensor, Tensor]:
    """The ELBO at each row's normal, and Newton's uphill step in (mean / width, log width), ``(N, 2)``."""
    eps = (grid.z[:, 0] - mu[:, None]) / sd[:, None]
    mass = (grid.log_weight - 0.5 * eps.square() - 0.5 * math.log(2 * math.pi)).exp() / sd[:, None]
    level = (mass * f).sum(-1)
    term, moments = mass * (f - level[:, None]), []
    for _ in range(4):  # E_q[(f - level) eps^k], k = 1 to 4
        term = term * eps
        moments.append(term.sum(-1))
    one, two, three, four = moments
    slope = torch.stack([one, two + 1], -1)
    bend = torch.stack([two, three - 3 * one, three - 3 * one, four - 4 * two], -1).unflatten(-1, (2, 2))
    sizes, axes = torch.linalg.eigh(bend)
    # Uphill along every axis, also where the surface is bent the wrong way; at most one width, and a factor of e^(1/2).
    step = (axes @ ((axes.mT @ slope[..., None]) / sizes.abs().clamp(min=1e-3)[..., None]))[..., 0]
    longest = (step.abs() / step.new_tensor([1.0, 0.5])).amax(-1, keepdim=True).clamp(min=1)
    return level + sd.log() + ENTROPY, step / longest
