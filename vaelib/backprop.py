r"""The gradient of the standard ELBO, written by hand: the chain rule through decoder, draw, KL and encoder.

What autograd would do, in about thirty operations a step that reuse their memory. `vaelib.train.fit` uses it for a Gaussian
VAE with the book's own networks; every other model or objective goes through autograd, with the same modules. The tests
hold the two equal to 1e-12.
"""

import math

import torch
from torch import Tensor

from vaelib.nets import MLP, VAE, Decoder, Encoder


def applies(vae: VAE) -> bool:
    """Whether the networks of `vae` are the ones that `ElboGradient` knows."""
    return type(vae.encoder) is Encoder and type(vae.decoder) is Decoder


BLOCK = 2**19  # entries of a hidden activation that are worked on at once, so that they stay in the processor's cache


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

    def __init__(self, vae: VAE, points: int, samples: int):
        self.vae, self.points, self.samples = vae, points, samples
        widest = max(layer.weight.shape[-2] for net in (vae.encoder.net, vae.decoder.net) for layer in net.layers)
        runs = min(vae.runs, max(1, BLOCK // (widest * points * samples)))
        encoder, decoder = _Memory(vae.encoder.net, runs, points), _Memory(vae.decoder.net, runs, points * samples)
        self.blocks = []
        for start in range(0, vae.runs, runs):
            block = slice(start, min(start + runs, vae.runs))
            self.blocks.append((block, _Columns(vae.encoder.net, block, encoder), _Columns(vae.decoder.net, block, decoder)))

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
            elbos.append(self._block(block, encoder, decoder, seen, target, noise, sigma[block], value))
        return torch.cat(elbos) if value else None

    def _block(self, block, encoder, decoder, columns, draws, noise, sigma, value) -> Tensor | None:
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
            self.vae.log_sigma.grad[block] = self.vae.data_dim - explained.sum(-1) if shared else 1 - explained
        to_mu = decoder.backward(slope, inputs=True)  # through z, (R, d, K N)
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

    def __init__(self, net: MLP, runs: int, columns: int):
        self.outputs = [layer.weight.new_empty(runs, layer.weight.shape[-2], columns) for layer in net.layers]
        self.slopes = [torch.empty_like(output) for output in self.outputs[:-1]]


class _Columns:
    """Forward and backward pass of some runs of an `MLP` over ``(R, features, N)``.

    An activation's long axis is the last one, and each product has its short axis first: both are several times faster.
    """

    def __init__(self, net: MLP, block: slice, memory: _Memory):
        self.runs = block.stop - block.start
        self.minus_one = net.layers[0].weight.new_tensor(-1.0)
        # Views, taken once: looking a parameter up in its module takes as long as a small product.
        self.weights = [layer.weight.detach()[block] for layer in net.layers]
        self.biases = [layer.bias.detach()[block].unsqueeze(-1) for layer in net.layers]
        self.weight_grads = [layer.weight.grad[block] for layer in net.layers]
        self.bias_grads = [layer.bias.grad[block] for layer in net.layers]
        self.outputs = [output[: self.runs] for output in memory.outputs]
        self.slopes = [slope[: self.runs] for slope in memory.slopes]

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, in, N)`` or ``(in, N)`` to ``(R, out, N)``; the result is overwritten by the next call."""
        self.seen = [x.expand(self.runs, -1, -1), *self.outputs[:-1]]
        for i, output in enumerate(self.outputs[:-1]):
            # tanh(a) = 2 sigmoid(2a) - 1, as in `vaelib.nets.tanh`.
            torch.baddbmm(self.biases[i], self.weights[i], self.seen[i], beta=2, alpha=2, out=output).sigmoid_()
            torch.add(self.minus_one, output, alpha=2, out=output)
        return torch.baddbmm(self.biases[-1], self.weights[-1], self.seen[-1], out=self.outputs[-1])

    def backward(self, slope: Tensor, *, inputs: bool) -> Tensor | None:
        """From the slope of the loss in the output to `.grad` of each parameter and, if asked, to its slope in the input."""
        for i in reversed(range(len(self.weights))):
            if slope.shape[-2] <= self.seen[i].shape[-2]:
                torch.bmm(slope, self.seen[i].mT, out=self.weight_grads[i])
            else:
                self.weight_grads[i].copy_(torch.bmm(self.seen[i], slope.mT).mT)
            torch.sum(slope, -1, out=self.bias_grads[i])
            if i == 0:
                return torch.bmm(self.weights[i].mT, slope) if inputs else None
            back = torch.bmm(self.weights[i].mT, slope, out=self.slopes[i - 1])
            slope = torch.ops.aten.tanh_backward.grad_input(back, self.seen[i], grad_input=back)
