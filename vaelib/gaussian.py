r"""The diagonal normal :math:`q(z|x) = N(\mu, \mathrm{diag}(\sigma^2))`: its log density and its reparameterized draw.

The network's output is named `log_var`, for that is what it holds: :math:`\log\sigma^2`.
"""

import math

from torch import Tensor

from vaelib._checks import require_same_shape


def gaussian_log_density(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    r"""Log density of a diagonal normal.

    .. math::

        &\log N(z; \mu, \sigma^2) \\
        &= -\tfrac12 \sum_i \left( \tfrac{(z_i-\mu_i)^2}{\sigma_i^2} + \log 2\pi\sigma_i^2 \right)

    Args:
        z: Where to evaluate, shape ``(..., d)``, broadcastable with `mu` in the leading axes.
        mu: Means, shape ``(..., d)``.
        log_var: Log variances, same shape as `mu`.

    Returns:
        Log density, shape ``(...)``, in nats.

    Raises:
        ValueError: If `mu` and `log_var` differ in shape, or `z` has another number of latent axes.
    """
    require_same_shape("mu", mu, "log_var", log_var)
    if z.shape[-1] != mu.shape[-1]:
        raise ValueError(f"z has {z.shape[-1]} latent axes and mu has {mu.shape[-1]}; expected the same")
    return -0.5 * ((z - mu).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(-1)


def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    r"""A draw from N(mu, exp(log_var)) as a differentiable function of its parameters.

    .. math::

        z &= \mu + \sigma \epsilon, \quad \epsilon \sim N(0, I) \\
        \sigma &= e^{\frac12 \log\sigma^2}

    Args:
        mu: Means, shape ``(..., d)``.
        log_var: Log variances, same shape as `mu`.
        eps: Standard normal noise, broadcastable with `mu`, last axis d.

    Returns:
        The draw, shape ``(..., d)``.

    Raises:
        ValueError: If `mu` and `log_var` differ in shape, or `eps` has another number of latent axes.

    References:
        Kingma and Welling (2014), Section 2.4; derived in chapter 04.
    """
    require_same_shape("mu", mu, "log_var", log_var)
    if eps.shape[-1:] != mu.shape[-1:]:
        raise ValueError(f"eps {tuple(eps.shape)} and mu {tuple(mu.shape)} differ in their last axis")
    return mu + (0.5 * log_var).exp() * eps
