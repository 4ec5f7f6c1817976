r"""The ELBO, term by term, and its importance-weighted relative. Derived in chapter 02."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

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
    reconstruction = _log_likelihood(vae, x, _draws(mu, log_var, eps)).mean(-1)
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
    log_weight = _log_likelihood(vae, x, z) + log_prior - log_q
    return torch.logsumexp(log_weight, -1) - math.log(z.shape[-2])


def _draws(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """Draws z of shape ``(R, N, K, d)`` from mu and log_var ``(R, N, d)``."""
    runs, points, latent_dim = mu.shape
    if eps.ndim not in (3, 4) or eps.shape[-3] != points or eps.shape[-1] != latent_dim:
        raise ValueError(f"eps has shape {tuple(eps.shape)}; expected (N, K, d) = ({points}, K, {latent_dim})")
    if eps.ndim == 4 and eps.shape[0] != runs:
        raise ValueError(f"eps holds noise for {eps.shape[0]} runs; expected {runs}")
    return reparameterize(mu.unsqueeze(-2), log_var.unsqueeze(-2), eps)


def _log_likelihood(vae: VAE, x: Tensor, z: Tensor) -> Tensor:
    """Log p(x|z) of shape ``(R, N, K)`` for draws z ``(R, N, K, d)``."""
    runs, points, samples, latent_dim = z.shape
    mean = vae.decode(z.reshape(runs, points * samples, latent_dim)).reshape(runs, points, samples, -1)
    x, sigma = x.unsqueeze(-2), vae.sigma
    if sigma.ndim == 1:
        return gaussian_log_likelihood(x, mean, sigma[:, None, None])
    # One sigma an axis: the same density with a variance for each data axis.
    return gaussian_log_density(x, mean, 2 * sigma.log()[:, None, None, :].expand_as(mean))
