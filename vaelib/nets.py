"""Encoder, decoder and VAE with a leading run axis: one definition serves one model and a stack of R models.

Every parameter has shape ``(R, ...)`` and every layer is one batched matrix product, so sixty-four small models train
in about the time of ten. Run r depends on its own seed and sigma alone, never on its neighbours.
"""

import copy
import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from vaelib import backprop
from vaelib._checks import require_positive
from vaelib.verify import rng


def tanh(a: Tensor) -> Tensor:
    """The hyperbolic tangent as 2 sigmoid(2a) - 1, which torch computes four times as fast as its own tanh.

    Args:
        a: Any shape.

    Returns:
        Its hyperbolic tangent, same shape, with an absolute error of one rounding of 1.
    """
    return 2 * torch.sigmoid(2 * a) - 1


class Linear(nn.Module):
    """R independent affine maps, drawn as torch.nn.Linear draws its own: uniform on +-1/sqrt(in_features).

    `weight` has shape ``(R, out_features, in_features)`` and `bias` ``(R, out_features)``.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        generators: One source of randomness a run; their number is R.
    """

    def __init__(self, in_features: int, out_features: int, generators: Sequence[torch.Generator]):
        super().__init__()

        def uniform(*shape: int) -> Tensor:
            draws = torch.stack([torch.rand(shape, generator=generator, dtype=torch.float64) for generator in generators])
            return (2 * draws - 1) * in_features**-0.5

        self.weight = nn.Parameter(uniform(in_features, out_features).mT.contiguous())
        self.bias = nn.Parameter(uniform(out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, N, in_features)`` to ``(R, N, out_features)``; an input without run axis serves every run."""
        # In memory an activation is (R, features, N): the long axis last, where the products are fastest.
        columns = x.mT.expand(len(self.weight), -1, -1)
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, columns).mT


class MLP(nn.Module):
    """Linear maps with tanh between them, none after the last.

    Args:
        sizes: Widths from input to output, at least two of them.
        generators: One source of randomness a run.
    """

    def __init__(self, sizes: Sequence[int], generators: Sequence[torch.Generator]):
        super().__init__()
        self.layers = nn.ModuleList(Linear(a, b, generators) for a, b in itertools.pairwise(sizes))

    @property
    def weights(self) -> list[nn.Parameter]:
        """The weight of each layer, ``(R, out, in)``, from the input on."""
        return [cast(Linear, layer).weight for layer in self.layers]

    @property
    def biases(self) -> list[nn.Parameter]:
        """The bias of each layer, ``(R, out)``, from the input on."""
        return [cast(Linear, layer).bias for layer in self.layers]

    by_hand = False  # while a fit lasts: autograd sees one node instead of every operation, and the first derivative only

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(R, N, sizes[0])`` to ``(R, N, sizes[-1])``."""
        if self.by_hand:
            weights = self.weights
            return backprop.Passes.apply(x.mT.expand(len(weights[0]), -1, -1), *weights, *self.biases).mT
        for layer in self.layers[:-1]:
            x = tanh(layer(x))
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
        encoder: Another network in place of the built one: a module that maps ``(R, N, D)`` (or ``(N, D)``) to `mu` and
            `log_var`, each ``(R, N, d)``.
        decoder: Another network in place of the built one: a module that maps ``(R, M, d)`` (or ``(M, d)``) to means
            ``(R, M, D)``.
        dtype: Floating type of the parameters. A seed stands for the same model in every type, up to rounding.
        device: Where the parameters live.

    Raises:
        ValueError: If `seeds` is empty or no sequence, a size is below 1, or sigma is not positive or has another shape.
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
        encoder: nn.Module | None = None,
        decoder: nn.Module | None = None,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ):
        super().__init__()
        for name, value in (("seeds", seeds), ("hidden", hidden)):
            if not isinstance(value, Sequence):
                raise ValueError(f"{name} must be a sequence of whole numbers, found {value!r}; write ({value},)")
        if not len(seeds):
            raise ValueError("seeds is empty; expected one seed a run")
        for name, size in (("data_dim", data_dim), ("latent_dim", latent_dim), *(("hidden", width) for width in hidden)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, found {size!r}")
        generators = [rng(seed) for seed in seeds]
        self.data_dim, self.latent_dim = data_dim, latent_dim
        # Both are drawn in any case, so that a seed stands for the same decoder whatever encoder stands before it.
        built_encoder = Encoder([data_dim, *hidden], latent_dim, generators)
        built_decoder = Decoder([latent_dim, *reversed(hidden), data_dim], generators)
        self.encoder, self.decoder = encoder or built_encoder, decoder or built_decoder
        sigma = _sigma(sigma, len(seeds), data_dim)
        self.log_sigma = nn.Parameter(sigma.log()) if learn_sigma else None
        self.register_buffer("fixed_sigma", None if learn_sigma else sigma)
        self.to(dtype=dtype, device=device)

    @property
    def sigma(self) -> Tensor:
        """Decoder standard deviation, ``(R,)`` or ``(R, D)``, in data units."""
        return cast(Tensor, self.fixed_sigma) if self.log_sigma is None else self.log_sigma.exp()

    @property
    def runs(self) -> int:
        """The number of models, R."""
        return len(self.sigma)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters of q(z|x): x ``(N, D)`` or ``(R, N, D)`` to `mu` and `log_var`, each ``(R, N, d)``."""
        return self.encoder(self._table("x", x, "N", self.data_dim))

    def decode(self, z: Tensor) -> Tensor:
        """Mean of p(x|z): z ``(M, d)`` or ``(R, M, d)`` to ``(R, M, D)``."""
        return self.decoder(self._table("z", z, "M", self.latent_dim))

    def forward(self, x: Tensor) -> Tensor:
        """Decoder means at the encoder's means, ``(R, N, D)``: the usual reconstruction, without noise."""
        return self.decode(self.encode(x)[0])

    def pick(self, runs: Sequence[int]) -> "VAE":
        """A copy that holds only the runs named, in that order; a run may be named more than once."""
        runs = list(runs)
        picked = copy.deepcopy(self)
        for tensor in [*picked.parameters(), *picked.buffers()]:
            tensor.data, tensor.grad = tensor.data[runs].clone(), None
        return picked

    def with_sigma(self, sigma: float | Sequence[float] | Tensor, *, learn: bool = False) -> "VAE":
        """A copy with the same networks and another sigma, given as to the constructor; learned from there if `learn`."""
        other = copy.deepcopy(self)
        sigma = _sigma(sigma, self.runs, self.data_dim).to(self.sigma)
        other.log_sigma = nn.Parameter(sigma.log()) if learn else None
        other.register_buffer("fixed_sigma", None if learn else sigma)
        return other

    def _table(self, name: str, value: Tensor, rows: str, columns: int) -> Tensor:
        """`value`, or a refusal of what a product would report by its internals."""
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a torch.Tensor, found {type(value).__name__}")
        if value.ndim not in (2, 3) or value.shape[-1] != columns or (value.ndim == 3 and value.shape[0] not in (1, self.runs)):
            raise ValueError(
                f"{name} has shape {tuple(value.shape)}; expected ({rows}, {columns}) or ({self.runs}, {rows}, {columns})"
            )
        if (value.dtype, value.device) != (self.sigma.dtype, self.sigma.device):
            raise ValueError(
                f"{name} is {value.dtype} on {value.device} and the models are {self.sigma.dtype} on {self.sigma.device}; "
                f"convert one of them, as in {name}.to(vae.sigma)"
            )
        return value


def _sigma(sigma: float | Sequence[float] | Tensor, runs: int, data_dim: int) -> Tensor:
    """Sigma as ``(R,)`` or ``(R, D)`` in float64, or a refusal."""
    sigma = torch.as_tensor(sigma, dtype=torch.float64).detach()
    require_positive("sigma", sigma)
    if sigma.shape not in ((), (runs,), (runs, data_dim)):
        raise ValueError(
            f"sigma has shape {tuple(sigma.shape)}; expected one number, or {runs}, one a seed, or ({runs}, {data_dim})"
        )
    return sigma.expand(runs).clone() if sigma.ndim < 2 else sigma.clone()
