r"""The decoder's distribution :math:`\log p(x|z)`, constant included. Events are summed over D, batches are kept."""

import math

import torch
from torch import Tensor

from vaelib._checks import require_positive


def gaussian_log_likelihood(x: Tensor, mean: Tensor, sigma: float | Tensor) -> Tensor:
    r"""Log density of :math:`N(\mu_\theta(z), \sigma^2 I)` at the data.

    .. math::

        \log p(x|z) = &-\tfrac{|x - \mu_\theta(z)|^2}{2\sigma^2} \\
        &- \tfrac D2 \log(2\pi\sigma^2)

    The first term is a squared error with weight :math:`1 / 2\sigma^2`. The second does not move the mean, but without
    it values at different sigma cannot be compared and sigma cannot be learned.

    Args:
        x: Data, shape ``(..., D)``.
        mean: Decoder means, shape ``(..., D)``, broadcastable with `x` in the leading axes.
        sigma: Standard deviation, a number or a shape that broadcasts to the leading axes ``(...)``.

    Returns:
        Log likelihood, shape ``(...)``, in nats.

    Raises:
        ValueError: If `x` and `mean` have different D, or sigma is not positive.

    Example:
        >>> round(gaussian_log_likelihood(torch.zeros(1), torch.zeros(1), 1.0).item(), 6)
        -0.918939
    """
    if x.shape[-1:] != mean.shape[-1:]:
        raise ValueError(f"x {tuple(x.shape)} and mean {tuple(mean.shape)} differ in their last axis")
    sigma = torch.as_tensor(sigma, dtype=mean.dtype, device=mean.device)
    require_positive("sigma", sigma)
    data_dim = x.shape[-1]
    squared_error = (x - mean).square().sum(-1)
    return -0.5 * (squared_error / sigma.square() + data_dim * (2 * sigma.log() + math.log(2 * math.pi)))
