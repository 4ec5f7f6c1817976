r"""The decoder's distribution :math:`\log p(x|z)`, constant included, and the sigma that a written loss implies.

Events are summed over D, batches are kept. For a Gaussian whose variance is an output of the network as well, see
`vaelib.gaussian.gaussian_log_density`.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaelib._checks import require_at_least_one, require_positive

SMALL = 0.1  # half logits below which the continuous Bernoulli's closed form would cancel digits; a series is exact there


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


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log probability of binary data under independent Bernoulli variables; minus the summed cross-entropy.

    .. math:: \log p(x|z) = \sum_i \left( x_i \eta_i - \log(1 + e^{\eta_i}) \right)

    It takes the logits :math:`\eta`, not the probabilities :math:`\lambda = 1 / (1 + e^{-\eta})`: no value needs a clamp.
    At grey values it is still minus the cross-entropy, but not the logarithm of a density; see
    `continuous_bernoulli_log_likelihood`.

    Args:
        x: Data in [0, 1], shape ``(..., D)``.
        logits: Decoder outputs, shape ``(..., D)``, broadcastable with `x` in the leading axes.

    Returns:
        Log likelihood, shape ``(...)``, in nats.

    Raises:
        ValueError: If `x` and `logits` have different D, or `x` leaves [0, 1].

    References:
        Kingma and Welling (2014), Appendix C.1; chapter 05.

    Example:
        >>> round(bernoulli_log_likelihood(torch.tensor([1.0, 0.0]), torch.zeros(2)).item(), 6)
        -1.386294
    """
    _require_unit_data(x, logits)
    return (x * logits + logsigmoid(-logits)).sum(-1)  # softplus of torch is linear above 20


def continuous_bernoulli_log_normalizer(logits: Tensor) -> Tensor:
    r"""Logarithm of the constant that turns :math:`\lambda^x (1 - \lambda)^{1 - x}` into a density on [0, 1].

    .. math::

        C(\lambda) &= \frac{2 \tanh^{-1}(1 - 2\lambda)}{1 - 2\lambda} = \frac{\eta}{\tanh(\eta / 2)} \\
        \eta &= \log\tfrac{\lambda}{1 - \lambda}

    Near :math:`\lambda = 1/2`, where both forms are 0/0 and C is 2, a power series in :math:`\eta` takes over.

    Args:
        logits: Logits :math:`\eta`, any shape.

    Returns:
        Log C, same shape, in nats; at least log 2.

    References:
        Loaiza-Ganem and Cunningham (2019); derived in chapter 05.

    Example:
        >>> round(continuous_bernoulli_log_normalizer(torch.tensor(0.0)).exp().item(), 6)
        2.0
    """
    return -logsigmoid(-logits) - _log_partition(logits)


def continuous_bernoulli_mean(logits: Tensor) -> Tensor:
    r"""Mean of the continuous Bernoulli, which is not its parameter :math:`\lambda`.

    .. math:: \mathbb E[x] = \frac{1}{1 - e^{-\eta}} - \frac1\eta

    Args:
        logits: Logits :math:`\eta`, any shape.

    Returns:
        Mean, same shape, inside (0, 1).

    References:
        Loaiza-Ganem and Cunningham (2019); chapter 05.

    Example:
        >>> round(continuous_bernoulli_mean(torch.logit(torch.tensor(0.9))).item(), 3)
        0.67
    """
    half = 0.5 * logits
    near = half.abs() < SMALL
    far = torch.where(near, 1.0, half)
    # Both halves of a torch.where are differentiated, so each sees only arguments at which it is finite.
    closed = 1 / far.tanh() - 1 / far
    h = torch.where(near, half, 0.0)
    series = h * _even_series(h, (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555))
    return 0.5 + 0.5 * torch.where(near, series, closed)


def continuous_bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    r"""Log density of data in [0, 1] under independent continuous Bernoulli variables.

    .. math:: \log p(x|z) = \sum_i \left( x_i \eta_i - \log\frac{e^{\eta_i} - 1}{\eta_i} \right)

    It is minus the cross-entropy plus the log normalizer, which the cross-entropy of grey pixels lacks.

    Args:
        x: Data in [0, 1], shape ``(..., D)``.
        logits: Decoder outputs, shape ``(..., D)``, broadcastable with `x` in the leading axes.

    Returns:
        Log likelihood, shape ``(...)``, in nats.

    Raises:
        ValueError: If `x` and `logits` have different D, or `x` leaves [0, 1].

    References:
        Loaiza-Ganem and Cunningham (2019); chapter 05.
    """
    _require_unit_data(x, logits)
    return (x * logits - _log_partition(logits)).sum(-1)


class ImpliedSigma(NamedTuple):
    """The two readings of one loss.

    Attributes:
        sigma: Decoder standard deviation at which the loss is proportional to minus the ELBO, in data units.
        beta: Weight of the KL beside half a squared error, each summed over its axes: the square of `sigma`.
    """

    sigma: float
    beta: float


def implied_sigma(
    *,
    reconstruction: str,
    kl: str,
    data_dim: int,
    latent_dim: int,
    batch_size: int,
    error_weight: float = 1.0,
    kl_weight: float = 1.0,
) -> ImpliedSigma:
    r"""The sigma that somebody assumes who writes a squared error plus a KL.

    After its reductions, the loss is :math:`a \sum |x - \mu|^2 + b \sum \mathrm{KL}`. Divided by b it is minus the ELBO,
    up to a constant, of the Gaussian decoder with

    .. math:: \frac{1}{2\sigma^2} = \frac ab, \qquad \sigma^2 = \beta = \frac{b}{2a}

    A reduction is ``"sum"``, over points and axes; ``"mean"``, over points and axes; or ``"batchmean"``, summed over the axes
    and averaged over the points. The axes of the squared error are the D of the data, those of the KL the d of the latent.

    Args:
        reconstruction: Reduction of the squared error.
        kl: Reduction of the KL.
        data_dim: Number of data axes D.
        latent_dim: Number of latent axes d.
        batch_size: Points in a batch; it matters only when one of the reductions is ``"sum"`` and the other is not.
        error_weight: Factor before the reduced squared error.
        kl_weight: Factor before the reduced KL.

    Returns:
        Sigma and beta.

    Raises:
        ValueError: If a reduction is unknown, a count is below 1, or a weight is not positive.

    References:
        Derived in chapter 05, with a table of the losses that people write.

    Example:
        >>> implied_sigma(reconstruction="mean", kl="batchmean", data_dim=784, latent_dim=20, batch_size=128).beta
        392.0
    """
    for name, count in (("data_dim", data_dim), ("latent_dim", latent_dim), ("batch_size", batch_size)):
        require_at_least_one(name, count)
    for name, weight in (("error_weight", error_weight), ("kl_weight", kl_weight)):
        require_positive(name, torch.as_tensor(weight))
    terms = (("reconstruction", reconstruction, data_dim), ("kl", kl, latent_dim))
    for name, reduction, _ in terms:
        if reduction not in ("sum", "mean", "batchmean"):
            raise ValueError(f'{name} must be "sum", "mean" or "batchmean", found {reduction!r}')
    # What each reduction divides the sum over points and axes by.
    of_error, of_kl = ({"sum": 1, "mean": batch_size * axes, "batchmean": batch_size}[reduction] for _, reduction, axes in terms)
    beta = (kl_weight * of_error) / (2 * error_weight * of_kl)
    return ImpliedSigma(math.sqrt(beta), beta)


def _require_unit_data(x: Tensor, logits: Tensor) -> None:
    """Raise ``ValueError`` unless x lies in [0, 1] and has as many axes as the logits."""
    if x.shape[-1:] != logits.shape[-1:]:
        raise ValueError(f"x {tuple(x.shape)} and logits {tuple(logits.shape)} differ in their last axis")
    low, high = torch.aminmax(x)
    if not (low >= 0 and high <= 1):  # written so that a NaN fails
        raise ValueError(f"x must lie in [0, 1], found {low.item():g} to {high.item():g}")


def _log_partition(logits: Tensor) -> Tensor:
    """Logarithm of the integral of exp(eta x) over [0, 1]: log((exp(eta) - 1) / eta)."""
    half = 0.5 * logits
    near = half.abs() < SMALL
    far = torch.where(near, 1.0, half).abs()
    closed = far + torch.log(-torch.expm1(-2 * far)) - torch.log(2 * far)
    h = torch.where(near, half, 0.0)
    series = h.square() * _even_series(h, (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775))
    return half + torch.where(near, series, closed)  # log of sinh(h) / h, which is even in h


def _even_series(h: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    """The polynomial c0 + c1 h^2 + c2 h^4 + ..., by Horner's rule."""
    value = torch.zeros_like(h)
    for coefficient in reversed(coefficients):
        value = value * h.square() + coefficient
    return value
