"""A check-up of your own VAE: its callables in, a report out. Explained in chapter 14.

It needs torch and nothing else of your model than functions: `encode`, `log_likelihood` and, if you have them, the loss as you
wrote it, your draw of z and your own estimate of log p(x). It runs on the device and in the type of your data, leaves your model
and torch's random state as they were, and never needs vaelib's own VAE. It is not a test of a training loop: it sees neither
your data loader nor your optimiser.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from vaelib._checks import require_at_least_one, require_finite, require_tensor
from vaelib.checkup._draw import draw_line
from vaelib.checkup._evidence import evidence_lines
from vaelib.checkup._likelihood import likelihood_line
from vaelib.checkup._loss import loss_lines
from vaelib.checkup._posterior import posterior_lines
from vaelib.checkup._report import Line, Report
from vaelib.checkup._yours import Loss, Yours

__all__ = ["Line", "Report", "report"]


def report(
    x: Tensor,
    *,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    log_likelihood: Callable[[Tensor, Tensor], Tensor],
    loss: Loss | None = None,
    sample: Callable[[Tensor, Tensor], Tensor] | None = None,
    bound: Callable[[Tensor, int], Tensor] | None = None,
    draws: int = 1000,
    batch_size: int = 100,
    seed: int = 0,
) -> Report:
    """Examine a VAE with a normal encoder and the prior N(0, I).

    Put the model in the mode that you want examined (``model.eval()``). Latents may have any shape; their axes are counted as d.

    Args:
        x: Points to examine it on, held out if you can, shape ``(N, ...)``, floating.
        encode: Mean and log variance of q(z|x) for a batch ``(B, ...)``, each ``(B, ...)`` in one shape.
        log_likelihood: log p(x|z) of a batch and of one latent for each of its points: ``(B,)``, in nats.
        loss: The loss as you wrote it, as a function of ``(x, z, mu, log_var)``: one number. Decode z inside.
        sample: Your draw of z from ``(mu, log_var)``.
        bound: Your estimate of log p(x) of a batch with K draws, ``(x, K)`` to ``(B,)``, in nats.
        draws: K of the importance-weighted bound.
        batch_size: Points a step; also the B that reductions are looked for with.
        seed: Of the draws.

    Returns:
        The report; print it, or show it in a notebook.

    Raises:
        ValueError: If `x` is no floating tensor of at least two points, or a callable returns another shape than it should.
    """
    require_tensor("x", x)
    if not x.is_floating_point() or x.ndim < 2 or len(x) < 2 or not x[0].numel():
        raise ValueError(f"x is {x.dtype} of shape {tuple(x.shape)}; expected floating, (N, ...) with N at least 2")
    for name, count in (("draws", draws), ("batch_size", batch_size)):
        require_at_least_one(name, count)
    require_finite("x", x)
    generator = torch.Generator(device=x.device).manual_seed(seed)
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices):  # a callable may draw: the reader's own stream goes on as if nothing had been
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, and only that of x is restored
        if devices:
            with torch.cuda.device(x.device):
                torch.cuda.manual_seed(seed)
        yours = Yours(x, encode, log_likelihood, batch_size, generator)
        lines = [*posterior_lines(yours), likelihood_line(yours), *loss_lines(yours, loss)]
        lines += [draw_line(yours, sample), *evidence_lines(yours, draws, bound)]
    return Report(tuple(lines), yours.numbers)
