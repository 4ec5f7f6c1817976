"""Encoder, decoder and VAE with a leading run axis: one definition serves one model and a stack of R models.

Every parameter has shape ``(R, ...)`` and every forward pass is one batched matrix product, so sixty-four small models
train in about the time of a few. Run r depends on its own seed and sigma alone, never on its neighbours.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaelib._checks import require_positive


class Linear(nn.Module):
    """R independent affine maps, drawn as torch.nn.Linear draws its own: uniform on +-1/sqrt(in_features).

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        generators: One source of randomness a run; their number is R.
    """

    def __init__(self, in_features: int, out_features: int, generators: Sequence[torch.Generator]):
        super().__init__()

        def uniform(*shape: int) -> nn.Parameter:
            draws = torch.stack([torch.rand(shape, generator=generator) for generator in generators])
            return nn.Parameter((2 * draws - 1) * in_features**-0.5)

        self.weight = uniform(in_features, out_features)
        self.bias = uniform(1, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, N, in_features)`` to ``(R, N, out_features)``; an input without run axis serves every run."""
        runs = self.weight.shape[0]
        return torch.baddbmm(self.bias, x.expand(runs, *x.shape[-2:]), self.weight)


class MLP(nn.Module):
    """Linear maps with tanh between them, none after the last.

    Args:
        sizes: Widths from input to output, at least two of them.
        generators: One source of randomness a run.
    """

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]):
        super().__init__()
        self.layers = nn.ModuleList(Linear(a, b, generators) for a, b in zip(sizes, sizes[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, N, sizes[0])`` to ``(R, N, sizes[-1])``."""
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)


class Encoder(nn.Module):
    """The network behind q(z|x): one body whose outputs are the means and the log variances.

    Args:
        sizes: Widths from the data axes to the last hidden layer.
        latent_dim: Number of latent axes d.
        generators: One source of randomness a run.
    """

    def __init__(self, sizes: Sequence[int], latent_dim: int, generators: Sequence[torch.Generator]):
        super().__init__()
        # A shared body with a head for mu and a head for log_var is one network with 2d outputs.
        self.net = MLP([*sizes, 2 * latent_dim], generators)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``(R, N, D)`` to `mu` and `log_var`, each ``(R, N, d)``."""
        mu, log_var = self.net(x).chunk(2, dim=-1)
        return mu, log_var


class Decoder(nn.Module):
    """The network behind p(x|z): its output is the mean.

    Args:
        sizes: Widths from the latent axes to the data axes.
        generators: One source of randomness a run.
    """

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]):
        super().__init__()
        self.net = MLP(sizes, generators)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``(R, M, d)`` to means ``(R, M, D)``."""
        return self.net(z)


class VAE(nn.Module):
    r"""R Gaussian VAEs with prior N(0, I), encoder N(mu, exp(log_var)) and decoder N(decode(z), sigma^2 I).

    The property `sigma` has shape ``(R,)``, or ``(R, D)`` if it was given one number an axis. A learned sigma is
    the exponential of the parameter `log_sigma`, of the same shape: no value of that is forbidden.

    Args:
        data_dim: Number of data axes D.
        latent_dim: Number of latent axes d.
        hidden: Widths of the hidden layers, the same in encoder and decoder; empty makes both linear.
        sigma: Decoder standard deviation in data units: one number, one a run ``(R,)``, or one a run and data axis
            ``(R, D)``.
        seeds: One seed a run for its initial parameters; their number is R.
        learn_sigma: Make sigma a parameter that starts at the value given.

    Raises:
        ValueError: If `seeds` is empty, or sigma is not positive or has another shape.
    """

    def __init__(
        self,
        *,
        data_dim: int = 2,
        latent_dim: int = 1,
        hidden: Sequence[int] = (32,),
        sigma: float | Sequence[float] | Tensor,
        seeds: Sequence[int] = (0,),
        learn_sigma: bool = False,
    ):
        super().__init__()
        if not len(seeds):
            raise ValueError("seeds is empty; expected one seed a run")
        sigma = torch.as_tensor(sigma, dtype=torch.get_default_dtype())
        require_positive("sigma", sigma)
        runs = len(seeds)
        if sigma.shape not in ((), (runs,), (runs, data_dim)):
            raise ValueError(
                f"sigma has shape {tuple(sigma.shape)}; expected one number, or {runs}, one a seed, or ({runs}, {data_dim})"
            )
        generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]
        self.data_dim, self.latent_dim = data_dim, latent_dim
        self.encoder = Encoder([data_dim, *hidden], latent_dim, generators)
        self.decoder = Decoder([latent_dim, *reversed(hidden), data_dim], generators)
        sigma = sigma.expand(runs).clone() if sigma.ndim < 2 else sigma.clone()
        self.log_sigma = nn.Parameter(sigma.log()) if learn_sigma else None
        self.register_buffer("fixed_sigma", None if learn_sigma else sigma)

    @property
    def sigma(self) -> Tensor:
        """Decoder standard deviation, ``(R,)`` or ``(R, D)``, in data units."""
        return self.fixed_sigma if self.log_sigma is None else self.log_sigma.exp()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters of q(z|x): x ``(N, D)`` or ``(R, N, D)`` to `mu` and `log_var`, each ``(R, N, d)``."""
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """Mean of p(x|z): z ``(M, d)`` or ``(R, M, d)`` to ``(R, M, D)``."""
        return self.decoder(z)

    def pick(self, runs: Sequence[int]) -> "VAE":
        """A copy that holds only the runs named, in that order."""
        runs = list(runs)
        picked = copy.deepcopy(self)
        for tensor in [*picked.parameters(), *picked.buffers()]:
            tensor.data = tensor.data[runs].clone()
        return picked
