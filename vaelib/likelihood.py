r"""The decoder's distribution :math:`\log p(x|z)`, constant included, and the sigma that a written loss implies.

Events are summed over D, batches are kept. For a Gaussian whose variance is an output of the network as well, see
`vaelib.gaussian.gaussian_log_density`. A likelihood takes x, and the decoder's output for it, in the wider of their floating
types, integers in that of their partner and halves in float32. It refuses a NaN or an infinity in the data; one in the output
of a network stays where it is.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaelib._checks import (
    as_floating,
    as_positive,
    joint_leading_shape,
    require_at_least_one,
    require_finite,
    require_in_unit_interval,
    require_positive,
)
from vaelib._numerics import power_series

SMALL = 0.1  # half logits below which the continuous Bernoulli's closed form would cancel digits; a series is exact there


def gaussian_log_likelihood(x: Tensor, mean: Tensor, sigma: float | Tensor) -> Tensor:
    r"""Log density of :math:`N(\mu_\theta(z), \sigma^2 I)` at the data.

    .. math::

        \log p(x|z) = &-\tfrac{|x - \mu_\theta(z)|^2}{2\sigma^2} \\
        &- \tfrac D2 \log(2\pi\sigma^2)

    The first term is a squared error with weight :math:`1 / 2\sigma^2`. The second does not move the mean, but without
    it values at different sigma cannot be compared and sigma cannot be learned.

    The number of its axes says what `sigma` belongs to. With as many as x and `mean` (the larger of the two counts), it is
    aligned with them and ends in D, a sigma for each data axis, or in 1. With fewer, it is aligned with the leading axes
    ``(...)``: ``sigma[:, None]`` for one of each of R runs of N points. There a last axis of D > 1 is refused, since it may
    be meant for the data axes.

    Args:
        x: Data, shape ``(..., D)``.
        mean: Decoder means, shape ``(..., D)``, broadcastable with `x` in the leading axes.
        sigma: Standard deviation: a number, a tensor that broadcasts to the leading axes ``(...)``, or one that broadcasts to
            ``(..., D)`` and has as many axes.

    Returns:
        Log likelihood, shape ``(...)``, in nats.

    Raises:
        ValueError: If `x` and `mean` have different D, `x` is not finite, `sigma` is not positive or not of such a shape, or
            leading axes (N, 1) against (N) would make N x N values where N may be meant.

    Example:
        >>> round(gaussian_log_likelihood(torch.zeros(1), torch.zeros(1), 1.0).item(), 6)
        -0.918939
    """
    x, mean = as_floating(least=torch.float32, x=x, mean=mean)
    leading = joint_leading_shape("x", x, "mean", mean)
    require_finite("x", x)
    scale = _scale(sigma, mean, leading)
    # Divided by sigma before it is squared: the square of a small sigma is 0 long before sigma is.
    scaled = (x - mean) / scale
    log_scale = (scale.log() + 0.5 * math.log(2 * math.pi)).expand(*scale.shape[:-1], mean.shape[-1])
    return -0.5 * scaled.square().sum(-1) - log_scale.sum(-1)


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
        ValueError: If `x` and `logits` have different D, `x` leaves [0, 1], or leading axes (N, 1) against (N) would make
            N x N values where N may be meant.

    References:
        Kingma and Welling (2014), Appendix C.1; chapter 05.

    Example:
        >>> round(bernoulli_log_likelihood(torch.tensor([1.0, 0.0]), torch.zeros(2)).item(), 6)
        -1.386294
    """
    x, logits = _unit_data(x, logits)
    # Both terms have one sign: x * logits + logsigmoid(-logits), the equation above, would cancel the digits of a sure pixel.
    return (x * logsigmoid(logits) + (1 - x) * logsigmoid(-logits)).sum(-1)


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
    [logits] = as_floating(least=torch.float32, logits=logits)
    base, rest = _log_partition(logits)
    return -logsigmoid(-logits) - base * logits - rest


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
    [given] = as_floating(logits=logits)
    [logits] = as_floating(least=torch.float32, logits=logits)
    size = logits.abs()
    near = size < 2 * SMALL
    # Both halves of a torch.where are differentiated, so each sees only arguments at which it is finite.
    far = torch.where(near, 1.0, size)
    below = 1 / far + torch.exp(-far) / torch.expm1(
        -far
    )  # the mean at -|logits|, small digits kept; its mirror image is at |logits|
    h = torch.where(near, 0.5 * logits, 0.0)
    series = 0.5 + 0.5 * h * power_series(h.square(), (1 / 3, -1 / 45, 2 / 945, -1 / 4725, 2 / 93555))
    return torch.where(near, series, torch.where(logits < 0, below, 1 - below)).to(given.dtype)


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
        ValueError: If `x` and `logits` have different D, `x` leaves [0, 1], or leading axes (N, 1) against (N) would make
            N x N values where N may be meant.

    References:
        Loaiza-Ganem and Cunningham (2019); chapter 05.
    """
    x, logits = _unit_data(x, logits)
    base, rest = _log_partition(logits)
    return ((x - base) * logits - rest).sum(-1)  # x * logits - base * logits would be a difference of large numbers


class ImpliedSigma(NamedTuple):
    """The two readings of one loss.

    Attributes:
        sigma: Decoder standard deviation at which the loss is proportional to minus the ELBO, in data units; None for a
            cross-entropy, which has none.
        beta: Weight of the KL beside minus the log likelihood at weight 1: beside half a squared error, where it is the
            square of `sigma`, or beside a cross-entropy, each summed over its axes.
    """

    sigma: float | None
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
    loss: str = "squared_error",
) -> ImpliedSigma:
    r"""The sigma and the beta that somebody assumes who writes a squared error, or a cross-entropy, plus a KL.

    After its reductions, the loss is :math:`a \sum |x - \mu|^2 + b \sum \mathrm{KL}`. Divided by b it is minus the ELBO,
    up to a constant, of the Gaussian decoder with

    .. math:: \frac{1}{2\sigma^2} = \frac ab, \qquad \sigma^2 = \beta = \frac{b}{2a}

    A cross-entropy :math:`a \sum \mathrm{BCE} + b \sum \mathrm{KL}` is a log likelihood as it stands, so :math:`\beta = b/a`,
    and 1 is the ELBO. There is no sigma that would absorb another beta: the likelihood of a pixel has no width of its own.
    Close to a pixel's mean m, the cross-entropy costs what a squared error of variance m(1 - m) costs, and never less than
    one of variance 1/4 (Pinsker), so with this beta the pixel acts like a Gaussian of sigma :math:`\sqrt{\beta m (1 - m)}`,
    at most :math:`\sqrt\beta / 2`.

    A reduction is ``"sum"``, over points and axes; ``"mean"``, over points and axes; or ``"batchmean"``, summed over the axes
    and averaged over the points. The axes of the error are the D of the data, those of the KL the d of the latent.

    Args:
        reconstruction: Reduction of the squared error or cross-entropy.
        kl: Reduction of the KL. The bracket ``1 + log_var - mu**2 - exp(log_var)`` is minus *twice* the KL: where the 1/2 is
            not written, `kl_weight` is twice the weight that is.
        data_dim: Number of data axes D.
        latent_dim: Number of latent axes d.
        batch_size: Points in a batch; it matters only when one of the reductions is ``"sum"`` and the other is not.
        error_weight: Factor before the reduced error.
        kl_weight: Factor before the reduced KL.
        loss: What the error is: ``"squared_error"`` or ``"cross_entropy"``.

    Returns:
        Sigma and beta.

    Raises:
        ValueError: If a reduction or the loss is unknown, a count is below 1, or a weight is not positive.

    References:
        Derived in chapter 05, with a table of the losses that people write.

    Example:
        >>> implied_sigma(reconstruction="mean", kl="batchmean", data_dim=784, latent_dim=20, batch_size=128).beta
        392.0
    """
    for name, count in (("data_dim", data_dim), ("latent_dim", latent_dim), ("batch_size", batch_size)):
        require_at_least_one(name, count)
    for name, weight in (("error_weight", error_weight), ("kl_weight", kl_weight)):
        require_positive(name, weight)
    for name, reduction in (("reconstruction", reconstruction), ("kl", kl)):
        _require_one_of(name, reduction, ("sum", "mean", "batchmean"))
    _require_one_of("loss", loss, ("squared_error", "cross_entropy"))
    # What each reduction divides the sum over points and axes by.
    of_error, of_kl = (
        {"sum": 1, "mean": batch_size * axes, "batchmean": batch_size}[reduction]
        for reduction, axes in ((reconstruction, data_dim), (kl, latent_dim))
    )
    beta = (kl_weight * of_error) / (error_weight * of_kl)
    if loss == "cross_entropy":
        return ImpliedSigma(None, beta)
    return ImpliedSigma(math.sqrt(beta / 2), beta / 2)


def _require_one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless a word is one of those known."""
    if not isinstance(value, str) or value not in known:
        words = [f'"{word}"' for word in known]
        raise ValueError(f"{name} must be {', '.join(words[:-1])} or {words[-1]}, found {value!r}")


def _scale(sigma: float | Tensor, mean: Tensor, leading: torch.Size) -> Tensor:
    """Sigma in the type of the means, with an axis of 1 or D at the end; refused where its axes could be read in two ways."""
    sigma = as_positive("sigma", sigma, mean)
    axes, data_dim = len(leading) + 1, mean.shape[-1]
    if 0 < sigma.ndim < axes and sigma.shape[-1] == data_dim > 1:
        raise ValueError(
            f"sigma {tuple(sigma.shape)} may belong to the {data_dim} data axes or to the leading axes {tuple(leading)}; "
            f"expected {axes} axes that end in {data_dim} for the one, in 1 for the other"
        )
    scale = sigma if sigma.ndim == axes else sigma.unsqueeze(-1)
    try:
        fits = scale.ndim <= axes and scale.shape[-1] in (1, data_dim) and torch.broadcast_shapes(scale.shape[:-1], leading)
    except RuntimeError:
        fits = False
    if fits is False:
        raise ValueError(
            f"sigma {tuple(sigma.shape)} fits neither the leading axes {tuple(leading)} of x and mean nor, with all their axes, "
            f"{(*leading, data_dim)}; expected a number or one of these shapes"
        )
    return scale


def _unit_data(x: Tensor, logits: Tensor) -> list[Tensor]:
    """Data and logits in one floating type; refused unless x lies in [0, 1] and meets the logits axis by axis."""
    x, logits = as_floating(least=torch.float32, x=x, logits=logits)
    joint_leading_shape("x", x, "logits", logits)
    require_in_unit_interval("x", x)
    return [x, logits]


def _log_partition(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Logarithm of the integral of exp(logits x) over [0, 1], as ``base * logits + rest``.

    The base is where the mass is: 1/2 near logits of 0, else the end 0 or 1. The rest is small: log((1 - exp(-a)) / a) at
    a = abs(logits), or near 0 the logarithm of sinh(h) / h at half the logits.
    """
    size = logits.abs()
    near = size < 2 * SMALL
    # Both halves of a torch.where are differentiated, so each sees only arguments at which it is finite.
    far = torch.where(near, 1.0, size)
    closed = torch.log(-torch.expm1(-far)) - far.log()
    square = torch.where(near, 0.5 * logits, 0.0).square()
    series = square * power_series(square, (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775))
    return torch.where(near, 0.5, (logits > 0).to(logits.dtype)), torch.where(near, series, closed)
