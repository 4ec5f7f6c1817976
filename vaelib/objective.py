r"""The ELBO, term by term, and its importance-weighted relative. Derived in chapter 02."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib._checks import has_values, require_at_least_one, require_finite, require_tensor
from vaelib.gaussian import gaussian_log_density, reparameterize
from vaelib.kl import kl_to_standard_normal
from vaelib.likelihood import gaussian_log_likelihood
from vaelib.nets import VAE


class ElboTerms(NamedTuple):
    """The two terms of the ELBO of each run and point.

    Attributes:
        reconstruction: Monte Carlo estimate of E_q[log p(x|z)], shape ``(R, N)``, in nats.
        kl: KL(q(z|x) || p(z)), exact, shape ``(R, N)``, in nats.
    """

    reconstruction: Tensor
    kl: Tensor

    @property
    def elbo(self) -> Tensor:
        """ELBO = reconstruction - kl, shape ``(R, N)``, in nats."""
        return self.reconstruction - self.kl


def elbo_terms(vae: VAE, x: Tensor, eps: Tensor) -> ElboTerms:
    r"""Unbiased estimate of the ELBO with K reparameterized draws a point.

    .. math::

        \mathcal L(x) = &\,\mathbb E_{q(z|x)}[\log p(x|z)] \\
        &- \mathrm{KL}(q(z|x)\,\|\,p(z))

    Args:
        vae: R models.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        eps: Standard normal noise, shape ``(N, K, d)``, shared by the runs, or ``(R, N, K, d)``.

    Returns:
        Both terms, shape ``(R, N)`` each, in nats.

    Raises:
        ValueError: If `eps` does not hold one set of draws for every point.
    """
    mu, log_var = vae.encode(x)
    reconstruction = log_likelihood(vae, x, _draws(mu, log_var, eps)).mean(-1)
    return ElboTerms(reconstruction, kl_to_standard_normal(mu, log_var))


def importance_weighted_bound(vae: VAE, x: Tensor, eps: Tensor) -> Tensor:
    r"""One-draw estimate of the importance-weighted bound :math:`\mathcal L_K`.

    .. math:: \mathcal L_K = \mathbb E\left[\log \frac1K \sum_{k=1}^K \tfrac{p(x|z_k)\,p(z_k)}{q(z_k|x)}\right]

    Args:
        vae: R models.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        eps: Standard normal noise, shape ``(N, K, d)`` or ``(R, N, K, d)``.

    Returns:
        Estimate of the bound, shape ``(R, N)``, in nats.

    Raises:
        ValueError: If `eps` does not hold one set of draws for every point.

    References:
        Burda, Grosse and Salakhutdinov (2016); derived in chapter 02.
    """
    mu, log_var = vae.encode(x)
    z = _draws(mu, log_var, eps)
    log_prior = gaussian_log_density(z, torch.zeros_like(z), torch.zeros_like(z))
    log_q = gaussian_log_density(z, mu.unsqueeze(-2), log_var.unsqueeze(-2))
    log_weight = log_likelihood(vae, x, z) + log_prior - log_q
    if has_values(log_weight) and log_weight.isnan().any():
        raise ValueError("eps holds noise so large that a weight is 0 / 0; expected standard normal draws")
    return torch.logsumexp(log_weight, -1) - math.log(z.shape[-2])


def comb_log_evidence(vae: VAE, x: Tensor, *, nodes: int, generator: torch.Generator) -> Tensor:
    r"""Log evidence on equally likely nodes under one random shift; to train on, as an objective of `vaelib.train.fit`.

    .. math::

        & \log \frac1G \sum_{g=0}^{G-1} p(x|z_g), \\
        & z_g = \Phi^{-1}\left(\tfrac{g + u}{G}\right), \quad u \sim U[0, 1]

    The average inside the logarithm is unbiased. Nodes that stay in place would not do: a decoder learns to run through the
    data just at them. To *measure* the evidence there is `vaelib.quadrature.log_evidence`.

    Args:
        vae: R models with one latent axis; the encoder has no part in it.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        nodes: Number of nodes G.
        generator: Source of the shift.

    Returns:
        Estimate of the log evidence, shape ``(R, N)``, in nats.

    Raises:
        ValueError: If the models have more than one latent axis, `nodes` is below 1, or `x` is not finite or does not fit them.

    References:
        Chapters 10 and 11.
    """
    if vae.latent_dim != 1:
        raise ValueError(f"vae has {vae.latent_dim} latent axes; expected one")
    require_at_least_one("nodes", nodes)
    x = vae._table("x", x, "N", vae.data_dim)
    require_finite("x", x)
    shift = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device)
    mass = (torch.arange(nodes, dtype=torch.float64, device=shift.device) + shift) / nodes
    z = torch.special.ndtri(mass.clamp(1e-9, 1 - 1e-9)).to(vae.sigma)  # a shift of exactly 0 would be a node at infinity
    sigma = vae.sigma.reshape(vae.runs, 1, -1)  # (R, 1, 1 or D)
    log_p = -(sigma.log() + 0.5 * math.log(2 * math.pi)).expand(-1, -1, vae.data_dim).sum(-1, keepdim=True)  # (R, 1, 1)
    # Axis by axis: a table whose last axis is a short one, the D data axes, would take twice as long to sum.
    for at, of_nodes in zip((x / sigma).unbind(-1), (vae.decode(z.unsqueeze(-1)) / sigma).unbind(-1), strict=True):
        distance = at.unsqueeze(-1) - of_nodes.unsqueeze(-2)  # (R, N, G)
        log_p = torch.addcmul(log_p, distance, distance, value=-0.5)
    return torch.logsumexp(log_p, -1) - math.log(nodes)


def log_likelihood(vae: VAE, x: Tensor, z: Tensor) -> Tensor:
    """Log p(x|z) of every point at its own latents.

    Args:
        vae: R models.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        z: Latents, shape ``(R, N, K, d)``.

    Returns:
        Log likelihood, shape ``(R, N, K)``, in nats.

    Raises:
        ValueError: If `x` or `z` has another shape or type than the models need.
    """
    x = vae._table("x", x, "N", vae.data_dim)
    require_tensor("z", z)
    if z.ndim != 4 or z.shape[0] != vae.runs or z.shape[1] != x.shape[-2] or z.shape[3] != vae.latent_dim:
        raise ValueError(
            f"z has shape {tuple(z.shape)}; expected (R, N, K, d) = ({vae.runs}, {x.shape[-2]}, K, {vae.latent_dim})"
        )
    mean = vae.decode(z.flatten(1, 2)).unflatten(1, z.shape[1:3])  # (R, N, K, D)
    return gaussian_log_likelihood(x.unsqueeze(-2), mean, vae.sigma.reshape(vae.runs, 1, 1, -1))  # (R, 1, 1, 1 or D)


def _draws(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Draws z of shape ``(R, N, K, d)`` from mu and log_var ``(R, N, d)``."""
    runs, points, latent_dim = mu.shape
    require_tensor("eps", eps)
    if eps.ndim not in (3, 4) or eps.shape[-3] != points or eps.shape[-1] != latent_dim or not eps.shape[-2]:
        raise ValueError(f"eps has shape {tuple(eps.shape)}; expected (N, K, d) = ({points}, K, {latent_dim}) with K at least 1")
    if eps.ndim == 4 and eps.shape[0] != runs:
        raise ValueError(f"eps holds noise for {eps.shape[0]} runs; expected {runs}")
    return reparameterize(mu.unsqueeze(-2), log_var.unsqueeze(-2), eps)
