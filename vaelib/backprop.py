r"""The gradient of the standard ELBO, written by hand: the chain rule through decoder, draw, KL and encoder.

What autograd would do, in about thirty operations a step that reuse their memory. `vaelib.train.fit` uses it for a Gaussian
VAE with the book's own networks. Every other model or objective goes through autograd, with the same modules, whose two
passes are `forward` and `backward` here. The tests hold all three equal to 1e-12.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

if TYPE_CHECKING:
    from vaelib.nets import MLP, VAE, Decoder, Encoder

# Entries of a hidden activation that are worked on at once: on a CPU few, so that they stay in its cache; on a GPU all that its
# memory is good for, since it takes as long for a few as for a million.
BLOCK, GPU_BLOCK = 2**19, 2**27


class ElboGradient:
    r"""Minus the gradient of the mean ELBO, summed over the runs, as `.grad` of every parameter.

    .. math::

        \nabla_\mu &= \tfrac1K \textstyle\sum_k g_k + \mu \\
        \nabla_{\log\sigma^2} &= \tfrac1{2K} \textstyle\sum_k g_k\,\sigma \epsilon_k + \tfrac12 (\sigma^2 - 1)

    with :math:`g_k = \nabla_z |x - \mu_\theta(z_k)|^2 / 2\sigma_\theta^2`, what the decoder sends back for the k-th draw.

    Args:
        vae: R models; each parameter's `.grad` exists and is overwritten.
        points: Points a step, N.
        samples: Draws of z a point, K.

    References:
        Chapter 02 for the ELBO, 03 for the KL, 04 for the draw.
    """

    def __init__(self, vae: "VAE", points: int, samples: int):
        self.vae, self.points, self.samples = vae, points, samples
        networks = cast("Encoder", vae.encoder).net, cast("Decoder", vae.decoder).net
        widest = max(bias.shape[-1] for net in networks for bias in net.biases)
        block_size = GPU_BLOCK if vae.sigma.is_cuda else BLOCK
        runs = min(vae.runs, max(1, block_size // (widest * points * samples)))
        memory = [_Memory(net, runs, columns) for net, columns in zip(networks, (points, points * samples), strict=True)]
        self.blocks = []
        for start in range(0, vae.runs, runs):
            block = slice(start, min(start + runs, vae.runs))
            encoder, decoder = (_Columns(net, block, own) for net, own in zip(networks, memory, strict=True))
            self.blocks.append((block, encoder, decoder))

    @torch.no_grad()
    def __call__(self, x: Tensor, eps: Tensor, value: bool) -> Tensor | None:
        """One step's gradient.

        Args:
            x: The batch, ``(N, D)`` or ``(R, N, D)``.
            eps: Its noise, ``(N, K, d)``.
            value: Compute the mean ELBO as well.

        Returns:
            The one-draw estimate of the mean ELBO, ``(R,)``, in nats, or None.
        """
        columns = x.mT  # points are columns, and the K draws of a point are N columns apart
        draws = columns.repeat(*[1] * (x.ndim - 1), self.samples) if self.samples > 1 else columns
        noise, sigma = eps.permute(2, 1, 0).flatten(1), self.vae.sigma.reshape(self.vae.runs, -1, 1)  # (d, K N), (R, 1 or D, 1)
        elbos = []
        for block, encoder, decoder in self.blocks:
            seen, target = (columns[block], draws[block]) if x.ndim == 3 else (columns, draws)
            elbo = self._block(block, encoder, decoder, seen, target, noise, sigma[block], value)
            if elbo is not None:
                elbos.append(elbo)
        return torch.cat(elbos) if value else None

    def _block(
        self,
        block: slice,
        encoder: "_Columns",
        decoder: "_Columns",
        columns: Tensor,
        draws: Tensor,
        noise: Tensor,
        sigma: Tensor,
        value: bool,
    ) -> Tensor | None:
        """The step of some of the runs."""
        weight = 1 / self.points
        mu, log_var = encoder.forward(columns).chunk(2, dim=-2)  # (R, d, N)
        std = torch.exp(0.5 * log_var)
        centre, spread = (each.repeat(1, 1, self.samples) for each in (mu, std)) if self.samples > 1 else (mu, std)
        spread = spread * noise
        error = decoder.forward(centre + spread).sub_(draws)  # (R, D, K N)
        slope = error * (weight / self.samples * sigma.pow(-2))
        elbo = self._elbo(error, sigma, mu, log_var) if value else None
        if self.vae.log_sigma is not None:
            explained = (slope * error).sum(-1)  # of each data axis
            shared = self.vae.log_sigma.ndim == 1
            cast(Tensor, self.vae.log_sigma.grad)[block] = self.vae.data_dim - explained.sum(-1) if shared else 1 - explained
        to_mu = cast(Tensor, decoder.backward(slope, inputs=True))  # through z, (R, d, K N)
        to_log_var = to_mu * spread
        if self.samples > 1:
            to_mu, to_log_var = (each.unflatten(-1, (self.samples, -1)).sum(-2) for each in (to_mu, to_log_var))
        to_mu = torch.add(to_mu, mu, alpha=weight)
        to_log_var = to_log_var.addcmul_(std, std, value=weight).sub_(weight).mul_(0.5)
        encoder.backward(torch.cat([to_mu, to_log_var], -2), inputs=False)
        return elbo

    def _elbo(self, error: Tensor, sigma: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
        """Mean ELBO of each run, from what the step has at hand."""
        standardised = (error / sigma).square().sum((-2, -1)) / (self.points * self.samples)
        log_norm = (2 * sigma.log() + math.log(2 * math.pi)).expand(-1, self.vae.data_dim, -1).sum((-2, -1))
        kl = 0.5 * (mu.square() + torch.expm1(log_var) - log_var).sum((-2, -1)) / self.points
        return -0.5 * (standardised + log_norm) - kl


class _Memory:
    """What the activations of a network, and the slopes in them, are written to at every step."""

    def __init__(self, net: "MLP", runs: int, columns: int):
        self.outputs = [bias.new_empty(runs, bias.shape[-1], columns) for bias in net.biases]
        self.slopes = [torch.empty_like(output) for output in self.outputs[:-1]]


class _Columns:
    """Both passes of some runs of an `MLP`, with their memory and with views of its parameters and their gradients.

    The views are taken once: looking a parameter up in its module takes as long as a small product.
    """

    def __init__(self, net: "MLP", block: slice, memory: _Memory):
        self.weights = [weight.detach()[block] for weight in net.weights]
        self.biases = [bias.detach()[block] for bias in net.biases]
        self.weight_grads = [cast(Tensor, weight.grad)[block] for weight in net.weights]
        self.bias_grads = [cast(Tensor, bias.grad)[block] for bias in net.biases]
        self.outputs = [output[: block.stop - block.start] for output in memory.outputs]
        self.slopes = [slope[: block.stop - block.start] for slope in memory.slopes]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, in, N)`` or ``(in, N)`` to ``(R, out, N)``; the result is overwritten by the next call."""
        self.seen, output = forward(x.expand(len(self.weights[0]), -1, -1), self.weights, self.biases, self.outputs)
        return output

    def backward(self, slope: Tensor, *, inputs: bool) -> Tensor | None:
        """From the slope in the output to `.grad` of each parameter and, if asked, to the slope in the input."""
        grads = self.weight_grads, self.bias_grads
        return backward(slope, self.seen, self.weights, *grads, self.slopes, inputs=inputs)


def forward(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], outputs: Sequence[Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Linear maps with tanh between them, over columns: an activation's long axis is its last one, for speed.

    Args:
        x: Inputs, shape ``(R, in, N)``.
        weights: One a layer, shape ``(R, out, in)``.
        biases: One a layer, shape ``(R, out)``.
        outputs: Memory for the result of each layer, shape ``(R, out, N)``.

    Returns:
        What each layer saw, and the last one's output, shape ``(R, out, N)``.
    """
    seen = [x, *outputs[:-1]]
    minus_one = x.new_full((), -1.0)  # new_tensor would have a GPU wait for the CPU
    for i, output in enumerate(outputs[:-1]):
        # tanh(a) = 2 sigmoid(2a) - 1, as in `vaelib.nets.tanh`.
        torch.baddbmm(biases[i].unsqueeze(-1), weights[i], seen[i], beta=2, alpha=2, out=output).sigmoid_()
        torch.add(minus_one, output, alpha=2, out=output)
    return seen, torch.baddbmm(biases[-1].unsqueeze(-1), weights[-1], seen[-1], out=outputs[-1])


def backward(
    slope: Tensor,
    seen: Sequence[Tensor],
    weights: Sequence[Tensor],
    weight_grads: Sequence[Tensor],
    bias_grads: Sequence[Tensor],
    slopes: Sequence[Tensor],
    *,
    inputs: bool,
) -> Tensor | None:
    """The chain rule through `forward`, from the last layer to the first.

    Args:
        slope: Of the loss in the output, shape ``(R, out, N)``.
        seen: From `forward`.
        weights: As in `forward`.
        weight_grads: Overwritten by the gradient of each weight, in their shapes.
        bias_grads: Overwritten by the gradient of each bias, in their shapes.
        slopes: Memory for the slopes in the hidden activations, in their shapes.
        inputs: Whether the slope in the input is wanted.

    Returns:
        Slope of the loss in the input, shape ``(R, in, N)``, or None.
    """
    for i in reversed(range(len(weights))):
        if slope.shape[-2] <= seen[i].shape[-2]:  # the short axis first, which is several times faster
            torch.bmm(slope, seen[i].mT, out=weight_grads[i])
        else:
            weight_grads[i].copy_(torch.bmm(seen[i], slope.mT).mT)
        torch.sum(slope, -1, out=bias_grads[i])
        if i > 0:
            back = torch.bmm(weights[i].mT, slope, out=slopes[i - 1])
            slope = torch.ops.aten.tanh_backward.grad_input(back, seen[i], grad_input=back)
    return torch.bmm(weights[0].mT, slope) if inputs else None


class Passes(torch.autograd.Function):
    """`forward` and `backward` as one node of autograd's graph, for the first derivative only."""

    @staticmethod
    def forward(ctx, x: Tensor, *parameters: Tensor) -> Tensor:
        """Map ``(R, in, N)`` to ``(R, out, N)``; `parameters` are all weights, then all biases."""
        weights, biases = parameters[: len(parameters) // 2], parameters[len(parameters) // 2 :]
        seen, output = forward(x, weights, biases, [x.new_empty(*bias.shape, x.shape[-1]) for bias in biases])
        ctx.save_for_backward(*weights, *seen)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, slope: Tensor) -> tuple[Tensor | None, ...]:
        """Slopes in the input and in every parameter."""
        saved = ctx.saved_tensors
        weights, seen = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        weight_grads = [torch.empty_like(weight) for weight in weights]
        bias_grads = [torch.empty_like(weight[..., 0]) for weight in weights]
        slopes = [torch.empty_like(each) for each in seen[1:]]
        inputs = backward(slope, seen, weights, weight_grads, bias_grads, slopes, inputs=ctx.needs_input_grad[0])
        return inputs, *weight_grads, *bias_grads
