r"""Closed forms of KL(q || p) between diagonal normals. Derived in chapter 03.

A KL is in nats and never in half precision: of halves it is computed and returned in float32.
"""

import math

import torch
from torch import Tensor

from vaelib._checks import as_floating, require_same_shape
from vaelib._numerics import power_series, times_exp

SMALL = 0.1  # log variances below which expm1(log_var) - log_var would cancel digits; the series is exact there


def kl_to_standard_normal_per_dim(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""KL of :math:`N(\mu, \sigma^2)` from :math:`N(0, 1)`, axis by axis.

    .. math:: \tfrac12 (\mu^2 + \sigma^2 - 1 - \log\sigma^2)

    Args:
        mu: Means of q, shape ``(..., d)``.
        log_var: :math:`\log\sigma^2`, same shape as `mu`.

    Returns:
        KL of each latent axis, shape ``(..., d)``, in nats. It is infinite where the variance overflows, in float32 above a
        `log_var` of 88.7.

    Raises:
        ValueError: If the shapes differ; broadcasting would count axes twice.

    References:
        Kingma and Welling (2014), Appendix B; derived in chapter 03.

    Example:
        >>> kl_to_standard_normal_per_dim(torch.tensor([0.0, 2.0]), torch.zeros(2)).tolist()
        [0.0, 2.0]
    """
    mu, log_var = as_floating(least=torch.float32, mu=mu, log_var=log_var)
    require_same_shape("mu", mu, "log_var", log_var)
    return 0.5 * (mu.square() + _expm1_minus(log_var))


def kl_to_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""KL of a diagonal normal from :math:`N(0, I)`: the sum over the latent axes.

    Args:
        mu: Means of q, shape ``(..., d)``.
        log_var: :math:`\log\sigma^2`, same shape as `mu`.

    Returns:
        KL of each point, shape ``(...)``, in nats.

    Raises:
        ValueError: If the shapes differ, or there is no latent axis.
    """
    per_axis = kl_to_standard_normal_per_dim(mu, log_var)
    if not per_axis.ndim:
        raise ValueError("mu has shape (); expected a last axis, of the latent dimensions")
    return per_axis.sum(-1)


def kl_between_gaussians(mu_q: Tensor, log_var_q: Tensor, mu_p: Tensor, log_var_p: Tensor) -> Tensor:
    r"""KL(q || p) of two diagonal normals, summed over the latent axes.

    .. math::

        \tfrac12 \sum_i \Big( &\tfrac{\sigma_{q,i}^2 + (\mu_{q,i} - \mu_{p,i})^2}{\sigma_{p,i}^2} - 1 \\
        &- \log\tfrac{\sigma_{q,i}^2}{\sigma_{p,i}^2} \Big)

    Args:
        mu_q: Means of q, shape ``(..., d)``.
        log_var_q: Log variances of q, same shape.
        mu_p: Means of p, same shape.
        log_var_p: Log variances of p, same shape.

    Returns:
        KL of each point, shape ``(...)``, in nats.

    Raises:
        ValueError: If the shapes differ, or there is no latent axis.
    """
    named = {"mu_q": mu_q, "log_var_q": log_var_q, "mu_p": mu_p, "log_var_p": log_var_p}
    mu_q, log_var_q, mu_p, log_var_p = as_floating(least=torch.float32, **named)
    for name, value in named.items():
        require_same_shape("mu_q", mu_q, name, value)
    if not mu_q.ndim:
        raise ValueError("mu_q has shape (); expected a last axis, of the latent dimensions")
    # In units of p's standard deviation, p is the standard normal.
    return kl_to_standard_normal(times_exp(mu_q - mu_p, -0.5 * log_var_p), log_var_q - log_var_p)


def _expm1_minus(x: Tensor) -> Tensor:
    """exp(x) - 1 - x, which is x^2 / 2 to leading order, with all its digits."""
    small = x.abs() < SMALL
    near = torch.where(small, x, 0.0)  # where the other form is taken, the series must not send back its infinities
    terms = 9 if x.dtype == torch.float64 else 5  # of the series, for all digits below SMALL
    series = near.square() * power_series(near, [1 / math.factorial(k + 2) for k in range(terms)])
    return torch.where(small, series, torch.expm1(x) - x)
