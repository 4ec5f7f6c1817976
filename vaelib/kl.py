r"""Closed forms of KL(q || p) between diagonal normals. Derived in chapter 03."""

import torch
from torch import Tensor

from vaelib._checks import require_same_shape


def kl_to_standard_normal_per_dim(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""KL of :math:`N(\mu, \sigma^2)` from :math:`N(0, 1)`, axis by axis.

    .. math:: \tfrac12 (\mu^2 + \sigma^2 - 1 - \log\sigma^2)

    Args:
        mu: Means of q, shape ``(..., d)``.
        log_var: :math:`\log\sigma^2`, same shape as `mu`.

    Returns:
        KL of each latent axis, shape ``(..., d)``, in nats.

    Raises:
        ValueError: If the shapes differ; broadcasting would count axes twice.

    References:
        Kingma and Welling (2014), Appendix B; derived in chapter 03.

    Example:
        >>> kl_to_standard_normal_per_dim(torch.tensor([0.0, 2.0]), torch.zeros(2)).tolist()
        [0.0, 2.0]
    """
    require_same_shape("mu", mu, "log_var", log_var)
    # expm1 keeps the digits that exp(log_var) - 1 cancels when q is near the prior.
    return 0.5 * (mu.square() + torch.expm1(log_var) - log_var)


def kl_to_standard_normal(mu: Tensor, log_var: Tensor) -> Tensor:
    r"""KL of a diagonal normal from :math:`N(0, I)`: the sum over the latent axes.

    Args:
        mu: Means of q, shape ``(..., d)``.
        log_var: :math:`\log\sigma^2`, same shape as `mu`.

    Returns:
        KL of each point, shape ``(...)``, in nats.

    Raises:
        ValueError: If the shapes differ.
    """
    return kl_to_standard_normal_per_dim(mu, log_var).sum(-1)


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
        ValueError: If the shapes differ.
    """
    for name, value in (("log_var_q", log_var_q), ("mu_p", mu_p), ("log_var_p", log_var_p)):
        require_same_shape("mu_q", mu_q, name, value)
    # In units of p's standard deviation, p is the standard normal.
    scaled = (mu_q - mu_p) * (-0.5 * log_var_p).exp()
    return kl_to_standard_normal(scaled, log_var_q - log_var_p)
