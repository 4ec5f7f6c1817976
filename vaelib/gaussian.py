r"""The diagonal normal :math:`q(z|x) = N(\mu, \mathrm{diag}(\sigma^2))`: its log density and its reparameterized draw.

The network's output is named `log_var`, for that is what it holds: :math:`\log\sigma^2`. Integer data take the floating type
of their partners. A NaN of a network stays where it is: it is no error of these functions, and hides nothing.
"""

import math

import torch
from torch import Tensor

from vaelib._checks import as_floating, joint_leading_shape, require_same_shape
from vaelib._numerics import times_exp


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
        Log density, shape ``(...)``, in nats; of halves in float32.

    Raises:
        ValueError: If `mu` and `log_var` differ in shape, `z` has another number of latent axes, or leading axes (N, 1)
            against (N) would make N x N values where N may be meant.

    Example:
        >>> round(gaussian_log_density(torch.zeros(1), torch.zeros(1), torch.zeros(1)).item(), 6)
        -0.918939
    """
    z, mu, log_var = as_floating(least=torch.float32, z=z, mu=mu, log_var=log_var)
    require_same_shape("mu", mu, "log_var", log_var)
    joint_leading_shape("z", z, "mu", mu)
    # Divided by the standard deviation before it is squared: the inverse of a narrow variance overflows first.
    scaled = times_exp(z - mu, -0.5 * log_var)
    return -0.5 * (scaled.square() + log_var + math.log(2 * math.pi)).sum(-1)


def reparameterize(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    r"""A draw from N(mu, exp(log_var)) as a differentiable function of its parameters.

    .. math::

        z &= \mu + \sigma \epsilon, \quad \epsilon \sim N(0, I) \\
        \sigma &= e^{\frac12 \log\sigma^2}

    Every axis of the noise is one of `mu` or meets an axis of 1 that you gave to `mu`: for K draws a point, call it with
    ``mu.unsqueeze(-2)``, ``log_var.unsqueeze(-2)`` and `eps` of shape ``(N, K, d)``. Leading axes that `eps` lacks share it.

    Args:
        mu: Means, shape ``(..., d)``.
        log_var: Log variances, same shape as `mu`.
        eps: Standard normal noise, shape ``(..., d)``. From the right, each of its axes is as long as that of `mu`, or `mu`
            has 1 there or no axis.

    Returns:
        The draw, in the broadcast shape ``(..., d)`` and in the type to which the inputs promote.

    Raises:
        ValueError: If `mu` and `log_var` differ in shape, `eps` has another number of latent axes, or an axis of `eps` is not
            that of `mu`.

    References:
        Kingma and Welling (2014), Section 2.4; derived in chapter 04.

    Example:
        >>> reparameterize(torch.tensor([3.0]), torch.tensor([0.0]), torch.tensor([[-1.0], [2.0]])).tolist()
        [[2.0], [5.0]]
    """
    mu, log_var, eps = as_floating(mu=mu, log_var=log_var, eps=eps)
    require_same_shape("mu", mu, "log_var", log_var)
    found = f"eps {tuple(eps.shape)} and mu {tuple(mu.shape)}"
    if not mu.ndim or eps.shape[-1:] != mu.shape[-1:]:
        raise ValueError(f"{found} differ in their last axis; expected d in both")
    # An axis of 1 in eps against a longer one in mu would broadcast too: points as samples, in a shape that nobody meant.
    if any(i not in (1, j) for i, j in zip(reversed(mu.shape), reversed(eps.shape), strict=False)):
        raise ValueError(
            f"{found} do not fit; expected each axis of eps as in mu, or 1 in mu: mu.unsqueeze(-2) for K draws a point"
        )
    wide = torch.promote_types(mu.dtype, torch.float32)  # a half is too coarse, and too short in range, for the steps between
    return (mu + times_exp(eps.to(wide), 0.5 * log_var.to(wide))).to(mu.dtype)
