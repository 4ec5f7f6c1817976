"""The reader's model behind its callables: what they return is held to its shape, and what several lines need is kept."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Loss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class Yours:
    """Points, what the encoder says of them, and what the lines found so far.

    Attributes:
        mu: Means of q(z|x) for all points, ``(N, ...)``; `log_var` likewise.
        D: Axes of a point.
        d: Axes of a latent.
        family: Name of the likelihood's family, once it is known.
        numbers: By name.
    """

    def __init__(
        self, x: Tensor, encode: Callable, log_likelihood: Callable, batch_size: int, generator: torch.Generator
    ) -> None:
        self.x, self.batch_size, self.generator = x, min(batch_size, len(x)), generator
        self._encode, self._log_likelihood = encode, log_likelihood
        with torch.no_grad():
            parts = [self.encode(batch) for batch in x.split(self.batch_size)]
        self.mu, self.log_var = (torch.cat(part) for part in zip(*parts, strict=True))
        self.D, self.d = x[0].numel(), self.mu[0].numel()
        self.family = ""
        self.numbers: dict[str, float] = {}
        bad = sum((~torch.isfinite(part)).sum().item() for part in (self.mu, self.log_var))
        if bad:
            raise ValueError(f"encode returned {bad} values that are NaN or infinite; expected finite numbers")

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        result = self._encode(x)
        if not isinstance(result, tuple | list) or len(result) != 2 or not all(isinstance(part, Tensor) for part in result):
            raise ValueError(f"encode returned {type(result).__name__}; expected two tensors, mu and log_var")
        mu, log_var = result
        if mu.shape != log_var.shape or mu.ndim < 2 or len(mu) != len(x):
            raise ValueError(
                f"encode returned mu {tuple(mu.shape)} and log_var {tuple(log_var.shape)} for {len(x)} points; "
                f"expected ({len(x)}, ...) twice"
            )
        return mu, log_var

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        value = self._log_likelihood(x, z)
        return shaped("log_likelihood", value, x.shape[:1], ": sum over the axes of a point, keep the points")

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal noise in the shape of `like`."""
        return torch.randn(like.shape, generator=self.generator, dtype=like.dtype, device=like.device)

    def draw(self, mu: Tensor, log_var: Tensor) -> Tensor:
        return mu + (0.5 * log_var).exp() * self.normal(mu)

    def first(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The first points, their mu and log_var, and a draw of z for each."""
        mu, log_var = self.mu[:count], self.log_var[:count]
        return self.x[:count], mu, log_var, self.draw(mu, log_var)

    def close(self) -> float:
        """Relative difference below which two gradients count as equal in the type of the encoder's output."""
        return max(5e-3, 8 * torch.finfo(self.mu.dtype).eps)


def shaped(name: str, value: object, shape: Iterable[int], advice: str = "") -> Tensor:
    """What a callable returned, if it is a tensor of that shape."""
    if isinstance(value, Tensor) and value.shape == torch.Size(shape):
        return value
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(f"{name} returned {found}; expected {tuple(shape)}{advice}")


def gradients(value: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    """Gradients, zero where the value does not depend on a leaf."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return list(torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True))
