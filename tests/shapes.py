"""Every call of a public function in the tests is held to its documented shapes, by jaxtyping and beartype.

A spec below has the parameters of the function that it stands for, and `result`. It is called with what the function
accepted and what it returned, so a refusal is left alone and a silent broadcast is found. Besides, no finite input may give a
NaN, and integers must count as the float64 numbers that they are.
"""

import functools
import importlib
import inspect
import sys
import types
from collections.abc import Callable

import torch
from beartype import beartype
from jaxtyping import Bool, Float, Shaped, jaxtyped
from torch import Tensor

SPECS: dict[str, Callable] = {}


class _Of:
    """``F["n d"]`` for ``Float[Tensor, "n d"]``."""

    def __init__(self, kind):
        self.kind = kind

    def __getitem__(self, shape):
        return self.kind[Tensor, shape]


F, S = _Of(Float), _Of(Shaped)  # what is returned is floating; what is given may be whole numbers


def spec(name: str):
    def register(function):
        SPECS[name] = jaxtyped(function, typechecker=beartype)
        return function

    return register


def joint(*tensors: Tensor, drop: int = 1) -> tuple[int, ...]:
    """The leading axes of some tensors, broadcast."""
    return tuple(torch.broadcast_shapes(*(tensor.shape[: tensor.ndim - drop] for tensor in tensors)))


@spec("gaussian.gaussian_log_density")
def _(z: S["*#b d"], mu: S["*m d"], log_var: S["*m d"], result: F["*r"]):
    assert result.shape == joint(z, mu)


@spec("gaussian.reparameterize")
def _(mu: S["*m d"], log_var: S["*m d"], eps: S["*e d"], result: F["*r d"]):
    assert result.shape[:-1] == joint(mu, eps)
    assert all(i in (1, j) for i, j in zip(reversed(mu.shape), reversed(eps.shape), strict=False))


@spec("kl.kl_to_standard_normal_per_dim")
def _(mu: S["*b"], log_var: S["*b"], result: F["*b"]): ...


@spec("kl.kl_to_standard_normal")
def _(mu: S["*b d"], log_var: S["*b d"], result: F["*b"]): ...


@spec("kl.kl_between_gaussians")
def _(mu_q: S["*b d"], log_var_q: S["*b d"], mu_p: S["*b d"], log_var_p: S["*b d"], result: F["*b"]): ...


@spec("likelihood.gaussian_log_likelihood")
def _(x: S["*x D"], mean: S["*m D"], sigma: float | int | Tensor, result: F["*r"]):
    # A sigma never adds an axis, and only makes one longer that x and mean leave at 1.
    ours = joint(x, mean)
    assert result.ndim == len(ours) and all(i in (1, j) for i, j in zip(ours, result.shape, strict=True))


@spec("likelihood.bernoulli_log_likelihood")
def _(x: S["*x D"], logits: S["*m D"], result: F["*r"]):
    assert result.shape == joint(x, logits)


@spec("likelihood.continuous_bernoulli_log_likelihood")
def _(x: S["*x D"], logits: S["*m D"], result: F["*r"]):
    assert result.shape == joint(x, logits)


@spec("likelihood.continuous_bernoulli_log_normalizer")
def _(logits: S["*b"], result: F["*b"]): ...


@spec("likelihood.continuous_bernoulli_mean")
def _(logits: S["*b"], result: F["*b"]): ...


@spec("objective.elbo_terms")
def _(
    vae,
    x: S["... n {vae.data_dim}"],
    eps: S["... n k {vae.latent_dim}"],
    result: tuple[F["{vae.runs} n"], F["{vae.runs} n"]],
): ...


@spec("objective.importance_weighted_bound")
def _(vae, x: S["... n {vae.data_dim}"], eps: S["... n k {vae.latent_dim}"], result: F["{vae.runs} n"]): ...


@spec("objective.comb_log_evidence")
def _(vae, x: S["... n {vae.data_dim}"], nodes, generator, result: F["{vae.runs} n"]): ...


@spec("objective.log_likelihood")
def _(vae, x: S["... n {vae.data_dim}"], z: F["{vae.runs} n k {vae.latent_dim}"], result: F["{vae.runs} n k"]): ...


@spec("quadrature.log_evidence")
def _(x: S["... n D"], decode, sigma, grid, result: F["*r n"]):
    assert len(result.shape) <= 2


@spec("quadrature.log_posterior")
def _(x: S["... n D"], decode, sigma, grid, result: F["*r n {len(grid.z)}"]):
    assert len(result.shape) <= 3


@spec("quadrature.expectation")
def _(values: S["*#b g"], log_density: S["*#b g"], grid, result: F["*r"]):
    assert result.shape == joint(values, log_density)


@spec("quadrature.kl_on_grid")
def _(log_q: S["*q g"], log_p: S["*p g"], grid, result: F["*r"]):
    assert result.shape == joint(log_q, log_p)


@spec("ppca.maximum_likelihood")
def _(x: S["n D"], latent_dim, sigma, result: tuple[F["D"], F["D {latent_dim}"], F[""], F["D"], F["D D"]]): ...


@spec("ppca.log_evidence")
def _(x: S["n D"], mean: S["D"], weight: S["D d"], sigma: float | int | S[""] | S["1"], result: F["n"]): ...


@spec("ppca.posterior")
def _(x: S["n D"], mean: S["D"], weight: S["D d"], sigma: float | int | S[""] | S["1"], result: tuple[F["n d"], F["d d"]]): ...


@spec("ppca.elbo")
def _(
    x: S["n D"],
    mu: S["n d"],
    log_var: S["n d"],
    mean: S["D"],
    weight: S["D d"],
    sigma: float | int | S[""] | S["1"],
    result: F["n"],
): ...


@spec("ppca.kl_per_axis")
def _(eigenvalues: S["*b D"], sigma: float | int | Tensor, result: F["*b D"]): ...


@spec("diagnostics.exact_terms")
def _(vae, x: S["... n {vae.data_dim}"], grid, q, result: tuple[F["{vae.runs} n"], F["{vae.runs} n"]]): ...


@spec("diagnostics.elbo_gap")
def _(vae, x: S["... n {vae.data_dim}"], grid, result: F["{vae.runs} n"]): ...


@spec("diagnostics.best_normal")
def _(log_density: F["*b g"], grid, result: tuple[F["*b"], F["*b"], F["*b"]]): ...


@spec("diagnostics.log_aggregate")
def _(z: S["m d"], mu: S["*b n d"], log_var: S["*b n d"], result: F["*b m"]): ...


@spec("diagnostics.active_units")
def _(mu: S["*b n d"], result: Bool[Tensor, "*b d"]): ...


@spec("thresholds.collapse_threshold")
def _(x: S["n D"], result: F[""]): ...


@spec("thresholds.evidence_threshold")
def _(x: S["n D"], result: F[""]): ...


@spec("spiral.curve")
def _(t: S["*b"], omega, result: F["*p 2"]):
    assert result.shape[:-1] in (t.shape, t.shape[:-1])


@spec("spiral.decode")
def _(z: S["*b 1"], omega, result: F["*b 2"]): ...


@spec("spiral.prior_density")
def _(t: S["*b"], result: F["*b"]): ...


@spec("spiral.ideal_encoding")
def _(t: S["*b"], result: F["*b"]): ...


@spec("spiral.order")
def _(mu: S["*b n"], t: S["n"], result: F["*b"]): ...


@spec("spiral.sample_spiral")
def _(n, generator, evenly_spaced, omega, sigma: float | int | S[""] | S["2"], dtype, result: tuple[F["{n}"], F["{n} 2"]]): ...


@spec("spiral.sample_published")
def _(generator, result: tuple[F["200"], F["200 2"]]): ...


@spec("spiral.log_evidence")
def _(x: S["n 2"], grid, omega, sigma: float | int | S[""] | S["2"], result: F["n"]): ...


@spec("spiral.log_posterior")
def _(x: S["n 2"], grid, omega, sigma: float | int | S[""] | S["2"], result: F["n {len(grid.z)}"]): ...


@spec("train.one_vector")
def _(parameters, result: tuple[F["p"], F["p"]]): ...


@spec("train.flat_gradient")
def _(value: F[""], parameters, result: F["p"]): ...


@spec("nets.tanh")
def _(a: S["*b"], result: F["*b"]): ...


@spec("nets.VAE.encode")
def _(
    self,
    x: S["... n {self.data_dim}"],
    result: tuple[F["{self.runs} n {self.latent_dim}"], F["{self.runs} n {self.latent_dim}"]],
): ...


@spec("nets.VAE.decode")
def _(self, z: S["... m {self.latent_dim}"], result: F["{self.runs} m {self.data_dim}"]): ...


@spec("nets.VAE.forward")
def _(self, x: S["... n {self.data_dim}"], result: F["{self.runs} n {self.data_dim}"]): ...


def checked(name: str, real: Callable) -> Callable:
    """`real`, with every call that it accepts held to the spec of that name."""
    parameters, held, hold = inspect.signature(real), SPECS[name], _hold

    def call(*args, **kwargs):
        result = real(*args, **kwargs)
        hold(real, held, parameters.bind(*args, **kwargs), result)
        return result

    # With the globals of its module, by which doctest tells what belongs there.
    call = types.FunctionType(call.__code__, real.__globals__, real.__name__, None, call.__closure__)
    return functools.wraps(real)(call)


def _hold(real: Callable, held: Callable, bound: inspect.BoundArguments, result) -> None:
    bound.apply_defaults()
    held(**bound.arguments, result=result)
    given = [value for value in bound.arguments.values() if not isinstance(value, int | float)]
    if not all(isinstance(value, Tensor) and value.device.type == "cpu" for value in given):
        return  # a model, a grid, a source of noise, or no values
    results = result if isinstance(result, tuple) else (result,)
    if all(value.isfinite().all() for value in given):
        assert not any(value.isnan().any() for value in results), f"{real.__name__} gives NaN for finite arguments"
    whole = {
        name: value.double()
        for name, value in bound.arguments.items()
        if isinstance(value, Tensor) and not value.is_floating_point()
    }
    if whole:
        exact = real(**{**bound.arguments, **whole})
        for found, expected in zip(results, exact if isinstance(exact, tuple) else (exact,), strict=True):
            torch.testing.assert_close(found, expected, check_dtype=False, rtol=1e-3, atol=1e-3)


def install() -> None:
    """Put the checked functions in the places of the public ones, wherever vaelib holds them."""
    for name in SPECS:
        module, _, attribute = name.partition(".")
        owner = importlib.import_module(f"vaelib.{module}")
        for part in attribute.split(".")[:-1]:
            owner = getattr(owner, part)
        attribute = attribute.split(".")[-1]
        real = getattr(owner, attribute)
        new = checked(name, real)
        holders = (
            [owner] if inspect.isclass(owner) else [sys.modules[key] for key in list(sys.modules) if key.startswith("vaelib.")]
        )
        for holder in holders:
            for key, value in list(vars(holder).items()):
                if value is real:
                    setattr(holder, key, new)
