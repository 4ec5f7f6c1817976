"""The only optimiser loop of the book: Adam on the ELBO, many runs at once."""

import math
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from vaelib import backprop
from vaelib._checks import has_values, require_at_least_one, require_finite
from vaelib.nets import MLP, VAE, Decoder, Encoder
from vaelib.objective import elbo_terms

Objective = Callable[[VAE, Tensor, Tensor, int], Tensor]

RECORDS = 100  # how often a fit notes the ELBO
WARM_UP = 0.3  # share of the steps in which the rate rises
# Numbers in the widest layer of all runs and draws below which a second thread costs more than it gains: by a factor of 20
# and more where another process keeps the processor busy.
ENOUGH_FOR_THREADS = 2**17


class History(NamedTuple):
    """What a fit went through.

    Attributes:
        step: Steps at which the ELBO was noted, shape ``(T,)``.
        elbo: One-draw estimate of the mean ELBO a point, or of the objective that `fit` was given instead, shape
            ``(T, R)``, in nats.
    """

    step: Tensor
    elbo: Tensor


class Adam:
    r"""Adam on one vector, in the five operations of its paper.

    .. math::

        m &\leftarrow \beta_1 m + (1 - \beta_1) g \\
        v &\leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta &\leftarrow \theta - \alpha \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}

    It equals torch.optim.Adam to rounding. On models this small that one takes as long for its bookkeeping as the step
    for its arithmetic, and its first use takes a second more.

    Args:
        theta: The vector, changed in place.

    References:
        Kingma and Ba (2015), Algorithm 1.
    """

    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, theta: Tensor):
        self.theta, self.t = theta, 0
        self.m, self.v, self.denominator = (torch.zeros_like(theta) for _ in range(3))

    def step(self, grad: Tensor, lr: float) -> None:
        """One step against the gradient `grad`, with rate `lr`."""
        self.t += 1
        correction = math.sqrt(1 - self.beta_2**self.t)
        self.m.lerp_(grad, 1 - self.beta_1)
        self.v.mul_(self.beta_2).addcmul_(grad, grad, value=1 - self.beta_2)
        torch.sqrt(self.v, out=self.denominator).add_(self.epsilon * correction)
        self.theta.addcdiv_(self.m, self.denominator, value=-lr * correction / (1 - self.beta_1**self.t))


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate of step 0 to `steps` - 1: up from peak/25 along half a cosine, then down to nearly nothing.

    Only the rate goes through a cycle: with Adam's momentum cycled too, more of the restarts end in a folded curve.

    References:
        Smith and Topin (2019); the numbers are those of torch.optim.lr_scheduler.OneCycleLR.
    """
    start, end, top, last = peak / 25, peak / 25e4, WARM_UP * steps - 1, steps - 1
    if step <= top:
        low, high, share = start, peak, step / top
    else:
        low, high, share = peak, end, (step - top) / (last - top)
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


def fit(
    vae: VAE,
    x: Tensor,
    *,
    steps: int,
    lr: float,
    generator: torch.Generator,
    samples: int = 1,
    batch_size: int | None = None,
    anneal: bool = True,
    objective: Objective | None = None,
    dtype: torch.dtype | None = None,
) -> History:
    """Maximise the mean ELBO of every run, in place.

    The loss is minus the ELBO, averaged over the points and summed over the runs, so that Adam treats each run as if it
    were alone: run r ends where it would have ended without the others. All runs see the same noise. Parameters that do
    not require a gradient stay as they are.

    Args:
        vae: R models; their parameters change.
        x: Data, shape ``(N, D)`` or ``(R, N, D)``.
        steps: Optimiser steps.
        lr: Learning rate; the peak of the cycle if `anneal`.
        generator: Source of the batches and of the noise in z.
        samples: Draws of z a point and step, K.
        batch_size: Points a step, in a fresh random order each epoch; all of them if None.
        anneal: Follow a one-cycle schedule (up over the first 30 % of the steps, then down to zero) instead of a constant
            rate.
        objective: What to maximise instead of the ELBO: a function of the models, the batch, its noise ``(N, K, d)`` and
            the step, counted from 1, that returns one value a run and point, ``(R, N)``.
        dtype: Floating type to compute in; that of `x` if None. The models keep theirs.

    Returns:
        The ELBO, or the objective, along the way.

    Raises:
        ValueError: If a count is below 1, `lr` is not positive, the data has a NaN or the wrong number of axes, no
            parameter may change, or the objective has another shape or stops being finite.

    References:
        Kingma and Ba (2015) for Adam; Smith and Topin (2019) for the one-cycle schedule.
    """
    for name, count in (("steps", steps), ("samples", samples), ("batch_size", 1 if batch_size is None else batch_size)):
        require_at_least_one(name, count)
    if not 0 < lr < math.inf:
        raise ValueError(f"lr must be positive and finite, found {lr:g}")
    if not isinstance(x, Tensor) or x.ndim not in (2, 3) or x.shape[-1] != vae.data_dim or not x.numel():
        found = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x has shape {found}; expected (N, {vae.data_dim}) or (R, N, {vae.data_dim})")
    if x.ndim == 3 and x.shape[0] != vae.runs:
        raise ValueError(f"x holds data for {x.shape[0]} runs; expected {vae.runs}")
    if batch_size is not None and batch_size > x.shape[-2]:
        raise ValueError(f"batch_size {batch_size} is larger than the {x.shape[-2]} points of x")
    require_finite("x", x)
    if x.is_complex() or (x.is_meta and not vae.sigma.is_meta):
        raise ValueError(f"x is {x.dtype} on {x.device}; expected real numbers that can be moved to {vae.sigma.device}")
    dtype = dtype or (x.dtype if x.is_floating_point() else vae.sigma.dtype)
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"dtype, which is that of x unless it is given, must be torch.float32 or torch.float64, found {dtype}; "
            "half precision loses small steps"
        )
    trained = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("no parameter of vae requires a gradient; call vae.requires_grad_()")
    x = x.to(device=vae.sigma.device, dtype=dtype)
    kept_dtype, moving = vae.sigma.dtype, {id(parameter) for parameter in trained}

    def named() -> list:
        return [*vae.named_parameters(), *vae.named_buffers()]

    kept = {name: tensor.data for name, tensor in named() if id(tensor) not in moving}
    vae.to(dtype)
    networks = [module for module in vae.modules() if isinstance(module, MLP)]
    width = max((bias.shape[-1] for network in networks for bias in network.biases), default=1)
    threads = torch.get_num_threads()
    try:
        if vae.runs * (batch_size or x.shape[-2]) * samples * width < ENOUGH_FOR_THREADS:
            torch.set_num_threads(1)
        for network in networks:
            network.by_hand = True
        return _maximise(vae, x, trained, steps, lr, generator, samples, batch_size, anneal, objective)
    finally:
        torch.set_num_threads(threads)
        for network in networks:
            del network.by_hand
        vae.to(kept_dtype)
        for name, tensor in named():
            # What was not trained comes back without a rounding to `dtype`; what was, out of the vector of all.
            tensor.data, tensor.grad = kept.get(name, tensor.data.clone()), None


def _maximise(
    vae: VAE,
    x: Tensor,
    trained: list[nn.Parameter],
    steps: int,
    lr: float,
    generator: torch.Generator,
    samples: int,
    batch_size: int | None,
    anneal: bool,
    objective: Objective | None,
) -> History:
    """The loop of `fit`, once everything is known to fit together."""
    theta, grad = one_vector(trained)
    adam, points = Adam(theta), batch_size or x.shape[-2]
    by_hand = None
    if objective is None and type(vae.encoder) is Encoder and type(vae.decoder) is Decoder:
        for parameter in vae.parameters():
            if not parameter.requires_grad:
                parameter.grad = torch.empty_like(parameter)  # computed along with the others, and not used
        by_hand = backprop.ElboGradient(vae, points, samples)
    objective = objective or (lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo)
    order, noted_steps, noted_elbos = torch.arange(0), [], []
    every = max(1, steps // RECORDS)
    # Shown only when a fit takes over two seconds. On stdout, for there a notebook wipes it without a trace.
    for step in tqdm(range(1, steps + 1), desc="fit", leave=False, delay=2, mininterval=0.5, file=sys.stdout):
        batch, noted = x, step % every == 0 or step == steps
        if batch_size is not None:
            if len(order) < batch_size:
                order = torch.randperm(x.shape[-2], generator=generator, device=generator.device).to(x.device)
            batch, order = x[..., order[:batch_size], :], order[batch_size:]
        eps = torch.randn(points, samples, vae.latent_dim, generator=generator, dtype=x.dtype, device=generator.device)
        eps = eps.to(x.device)
        if by_hand:
            elbo = cast(Tensor, by_hand(batch, eps, noted))  # None on the steps that are not noted
        else:
            grad.zero_()
            value = objective(vae, batch, eps, step)
            if value.shape != (vae.runs, points):
                raise ValueError(f"objective returned shape {tuple(value.shape)}; expected (R, N) = ({vae.runs}, {points})")
            elbo = value.mean(-1)
            (-elbo.sum()).backward()
        adam.step(grad, one_cycle(step - 1, steps, lr) if anneal else lr)
        if noted:
            finite = torch.isfinite(elbo)
            if has_values(finite) and not finite.all():
                run = finite.int().argmin().item()
                raise ValueError(f"the objective of run {run} is not finite at step {step}; lower lr {lr:g}")
            noted_steps.append(step)
            noted_elbos.append(elbo.detach())
    return History(torch.tensor(noted_steps), torch.stack(noted_elbos))


def one_vector(parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Let parameters, and their gradients, be views of two vectors, so that an optimiser handles one tensor.

    Args:
        parameters: Of one dtype and device; their values are kept, their gradients become 0.

    Returns:
        All values and all gradients, shape ``(P,)`` each.
    """
    theta = torch.cat([parameter.detach().flatten() for parameter in parameters])
    grad, start = torch.zeros_like(theta), 0
    for parameter in parameters:
        end = start + parameter.numel()
        parameter.data, parameter.grad = theta[start:end].view_as(parameter), grad[start:end].view_as(parameter)
        start = end
    return theta, grad


def flat_gradient(value: Tensor, parameters: Sequence[nn.Parameter] | nn.Module) -> Tensor:
    """Gradient of a number with respect to several parameters, as one vector.

    Args:
        value: The number, shape ``()``.
        parameters: Parameters, or a module with its parameters; those that `value` does not depend on give zeros.

    Returns:
        Gradient, shape ``(P,)``, in the order of `parameters`. The graph is kept.
    """
    parameters = list(parameters.parameters() if isinstance(parameters, nn.Module) else parameters)
    grads = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    return torch.cat([grad.flatten() for grad in grads])
