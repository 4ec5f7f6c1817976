r"""Exact truth for linear models: probabilistic principal component analysis, and the ELBO of a linear VAE.

.. math:: x = W z + b + N(0, \sigma^2 I), \quad z \sim N(0, I)

With a linear decoder everything is Gaussian, so optimum, evidence, posterior and ELBO have closed forms in any number of
dimensions. This module is an oracle: it shares no formula with `kl`, `gaussian`, `likelihood` or `objective`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib._checks import as_floating, as_positive, full_precision, require_at_least_one, require_finite


class Solution(NamedTuple):
    """A maximum likelihood fit, or one with sigma given.

    Attributes:
        mean: Offset b, shape ``(D,)``, in data units.
        weight: Loadings W, shape ``(D, d)``, in data units; its columns are orthogonal and in falling order.
        sigma: Standard deviation of the noise, shape ``()``, in data units.
        eigenvalues: Eigenvalues of the data's covariance (with 1/N), falling, shape ``(D,)``, in data units squared.
        axes: Its eigenvectors, as columns in the same order, shape ``(D, D)``; the largest entry of each is positive.
    """

    mean: Tensor
    weight: Tensor
    sigma: Tensor
    eigenvalues: Tensor
    axes: Tensor


@full_precision
def maximum_likelihood(x: Tensor, *, latent_dim: int, sigma: float | None = None) -> Solution:
    r"""The parameters with the highest evidence.

    .. math::

        W &= U_d\,(\Lambda_d - \sigma^2 I)^{1/2} \\
        \sigma^2 &= \tfrac{1}{D - d} \textstyle\sum_{i > d} \lambda_i

    The noise takes the mean of the eigenvalues that the latent does not carry. If sigma is given instead, an axis with
    :math:`\lambda_i \le \sigma^2` gets no weight.

    Args:
        x: Data, shape ``(N, D)``.
        latent_dim: Number of latent axes d; below D if sigma is to be fitted.
        sigma: Standard deviation of the noise; fitted if None.

    Returns:
        The optimum; every rotation of its latent axes is as good.

    Raises:
        ValueError: If `x` is not a table of finite numbers, `latent_dim` does not fit, or sigma is not positive.

    References:
        Tipping and Bishop (1999), Section 3.2; derived in chapter 09.
    """
    [x] = as_floating(x=x, least=torch.float32)
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D) with at least one point and axis")
    require_finite("x", x)
    largest = x.shape[-1] - (sigma is None)
    require_at_least_one("latent_dim", latent_dim)
    if latent_dim > largest:
        raise ValueError(f"latent_dim must be between 1 and {largest}, found {latent_dim}")
    mean = x.mean(0)
    eigenvalues, axes = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
    eigenvalues, axes = eigenvalues.flip(0).clamp(min=0), axes.flip(1)
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()  # eigh has either sign, by processor
    sigma = eigenvalues[latent_dim:].mean().sqrt() if sigma is None else _one_sigma(sigma, x)
    if not sigma > 0:
        raise ValueError(
            f"x varies along {latent_dim} axes or fewer, so that sigma would be 0; expected more points, or sigma given"
        )
    carried = (eigenvalues[:latent_dim] - sigma.square()).clamp(min=0)
    return Solution(mean, axes[:, :latent_dim] * carried.sqrt(), sigma, eigenvalues, axes)


@full_precision
def log_evidence(x: Tensor, mean: Tensor, weight: Tensor, sigma: float | Tensor) -> Tensor:
    r"""Log density of :math:`N(b, W W^\top + \sigma^2 I)`.

    Args:
        x: Data, shape ``(N, D)``.
        mean: Offset b, shape ``(D,)``.
        weight: Loadings W, shape ``(D, d)``.
        sigma: Standard deviation of the noise.

    Returns:
        Log evidence, shape ``(N,)``, in nats.

    Raises:
        ValueError: If sigma is not positive, a shape does not fit, or a number is not finite.

    References:
        Tipping and Bishop (1999), Section 3.1; chapter 09.
    """
    x, mean, weight, sigma = _model(x, mean, weight, sigma)
    covariance = weight @ weight.T + sigma.square() * torch.eye(len(mean), dtype=x.dtype, device=x.device)
    root = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(root, (x - mean).T, upper=False)
    log_norm = root.diagonal().log().sum() + 0.5 * len(mean) * math.log(2 * math.pi)
    return -0.5 * whitened.square().sum(0) - log_norm


@full_precision
def posterior(x: Tensor, mean: Tensor, weight: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
    r"""Exact posterior of z, a normal with one covariance for every point.

    .. math::

        M &= W^\top W + \sigma^2 I \\
        p(z|x) &= N\left(M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\right)

    Args:
        x: Data, shape ``(N, D)``.
        mean: Offset b, shape ``(D,)``.
        weight: Loadings W, shape ``(D, d)``.
        sigma: Standard deviation of the noise.

    Returns:
        Means, shape ``(N, d)``, and covariance, shape ``(d, d)``, in (squared) prior standard deviations.

    Raises:
        ValueError: If sigma is not positive, a shape does not fit, or a number is not finite.

    References:
        Tipping and Bishop (1999), Section 3.1; chapter 09.
    """
    x, mean, weight, sigma = _model(x, mean, weight, sigma)
    identity = torch.eye(weight.shape[1], dtype=x.dtype, device=x.device)
    inverse = torch.linalg.inv(weight.T @ weight + sigma.square() * identity)
    return (x - mean) @ weight @ inverse, sigma.square() * inverse


@full_precision
def elbo(x: Tensor, mu: Tensor, log_var: Tensor, mean: Tensor, weight: Tensor, sigma: float | Tensor) -> Tensor:
    r"""Analytic ELBO of a linear decoder, for any diagonal Gaussian q.

    .. math::

        \mathcal L = &-\tfrac{1}{2\sigma^2}\Big(|x - W\mu - b|^2 + \textstyle\sum_i |w_i|^2 s_i^2\Big) \\
        &- \tfrac D2 \log 2\pi\sigma^2 \\
        &- \tfrac12 \textstyle\sum_i \left(\mu_i^2 + s_i^2 - 1 - \log s_i^2\right)

    Here :math:`w_i` are the columns of W and :math:`s_i^2` the variances of q.

    Args:
        x: Data, shape ``(N, D)``.
        mu: Means of q, shape ``(N, d)``.
        log_var: Log variances of q, shape ``(N, d)``.
        mean: Offset b, shape ``(D,)``.
        weight: Loadings W, shape ``(D, d)``.
        sigma: Standard deviation of the noise.

    Returns:
        ELBO, shape ``(N,)``, in nats.

    Raises:
        ValueError: If sigma is not positive, a shape does not fit, or a number is not finite.

    References:
        Lucas et al. (2019), Section 3; derived in chapter 09.
    """
    x, mean, weight, mu, log_var = as_floating(x=x, mean=mean, weight=weight, mu=mu, log_var=log_var, least=torch.float32)
    x, mean, weight, sigma = _model(x, mean, weight, sigma)
    for name, value in (("mu", mu), ("log_var", log_var)):
        if value.shape != (len(x), weight.shape[1]):
            raise ValueError(f"{name} has shape {tuple(value.shape)}; expected (N, d) = {(len(x), weight.shape[1])}")
        require_finite(name, value)
    variance = log_var.exp()
    error = (x - mu @ weight.T - mean).square().sum(-1) + variance @ weight.square().sum(0)
    # expm1 keeps the digits that the variance minus 1 cancels when q is near the prior.
    divergence = 0.5 * (mu.square() + torch.expm1(log_var) - log_var).sum(-1)
    return -0.5 * error / sigma.square() - 0.5 * len(mean) * torch.log(2 * math.pi * sigma.square()) - divergence


def kl_per_axis(eigenvalues: Tensor, sigma: float | Tensor) -> Tensor:
    r"""Mean KL from the prior that each principal axis has at the optimum.

    .. math:: \tfrac12 \log\frac{\lambda_i}{\sigma^2} \text{ where } \lambda_i > \sigma^2, \text{ else } 0

    Args:
        eigenvalues: Of the data's covariance, shape ``(..., D)``, in data units squared.
        sigma: Standard deviation of the noise, broadcastable to `eigenvalues`.

    Returns:
        KL of each axis, averaged over the data, shape ``(..., D)``, in nats.

    Raises:
        ValueError: If sigma is not positive, a shape does not fit, or a number is not finite.

    References:
        Derived in chapter 09.

    Example:
        >>> kl_per_axis(torch.tensor([4.0, 0.5]), 1.0).tolist() == [math.log(2), 0.0]
        True
    """
    [eigenvalues] = as_floating(eigenvalues=eigenvalues, least=torch.float32)
    if eigenvalues.ndim < 1:
        raise ValueError("eigenvalues has shape (); expected (..., D)")
    require_finite("eigenvalues", eigenvalues)
    sigma = as_positive("sigma", sigma, eigenvalues)
    return 0.5 * torch.log((eigenvalues / sigma.square()).clamp(min=1))


def _one_sigma(sigma: float | Tensor, like: Tensor) -> Tensor:
    """Sigma as ``()``, or a refusal."""
    sigma = as_positive("sigma", sigma, like)
    if sigma.numel() != 1:
        raise ValueError(f"sigma has shape {tuple(sigma.shape)}; expected one number")
    return sigma.reshape(())


def _model(x: Tensor, mean: Tensor, weight: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Data and parameters in one floating type, or a refusal of shapes that broadcasting would take for others."""
    x, mean, weight = as_floating(x=x, mean=mean, weight=weight, least=torch.float32)
    if x.ndim != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, D)")
    data_dim = x.shape[1]
    if mean.shape != (data_dim,):
        raise ValueError(f"mean has shape {tuple(mean.shape)}; expected (D,) = {(data_dim,)}")
    if weight.ndim != 2 or len(weight) != data_dim:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; expected (D, d) = ({data_dim}, d)")
    for name, value in (("x", x), ("mean", mean), ("weight", weight)):
        require_finite(name, value)
    return x, mean, weight, _one_sigma(sigma, x)
