"""Whatever comes in beside a model: numbers of the right shape, or a ValueError that names an argument."""

import math

import numpy as np
import pytest
import torch
from entrances import numbers, outcome
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vaelib.diagnostics import elbo_gap, exact_terms
from vaelib.nets import VAE
from vaelib.objective import comb_log_evidence, elbo_terms, importance_weighted_bound, log_likelihood
from vaelib.sweep import sweep
from vaelib.train import fit

settings.register_profile("book", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("book")

N, K, RUNS = 4, 3, 2


def model(**options) -> VAE:
    return VAE(hidden=(4,), sigma=0.7, seeds=range(RUNS), **options)


def fitted(x: Tensor, steps: int = 2, lr: float = 0.01, batch_size: int | None = None) -> Tensor:
    vae = model()
    return fit(vae, x, steps=steps, lr=lr, generator=torch.Generator().manual_seed(0), batch_size=batch_size).elbo


def swept(x: Tensor, sigmas=(0.5, 1.0), seeds=(0,)) -> Tensor:
    return sweep(
        x, sigmas=sigmas, seeds=seeds, steps=1, lr=0.01, hidden=(4,), generator=torch.Generator().manual_seed(0)
    ).history.elbo


def comb(x: Tensor, nodes: int = 5) -> Tensor:
    return comb_log_evidence(model(), x, nodes=nodes, generator=torch.Generator().manual_seed(0))


EPS, Z = numbers(N, K, 1, seed=3), numbers(RUNS, N, K, 1, seed=4)
FUNCTIONS = {
    "encode": (lambda x: model().encode(x), {}),
    "decode": (lambda z: model().decode(z), {"z": numbers(RUNS, N, 1)}),
    "forward": (lambda x: model()(x), {}),
    "elbo_terms": (lambda x, eps: elbo_terms(model(), x, eps), {"eps": EPS}),
    "importance_weighted_bound": (lambda x, eps: importance_weighted_bound(model(), x, eps), {"eps": EPS}),
    "log_likelihood": (lambda x, z: log_likelihood(model(), x, z), {"z": Z}),
    "comb_log_evidence": (comb, {}),
    "exact_terms": (lambda x: exact_terms(model(), x), {}),
    "elbo_gap": (lambda x: elbo_gap(model(), x), {}),
    "fit": (fitted, {}),
    "sweep": (swept, {}),
}
CASES = [
    (name, argument) for name, (_, more) in FUNCTIONS.items() for argument in (["x"] if name != "decode" else []) + list(more)
]
every_case = pytest.mark.parametrize(("name", "argument"), CASES)


def inputs_of(name: str) -> dict:
    more = FUNCTIONS[name][1]
    return dict(more) if name == "decode" else {"x": numbers(N, 2), **more}


def first_is(value: float):
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


MISTREATED = {
    "numpy": Tensor.numpy,
    "a list": Tensor.tolist,
    "text": str,
    "nothing": lambda v: None,
    "0-d": lambda v: v.flatten()[0],
    "flat": lambda v: v.flatten(),
    "one axis less": lambda v: v[0],
    "one axis more": lambda v: v[None],
    "two axes more": lambda v: v[None, None],
    "turned": lambda v: v.mT,
    "one point": lambda v: v[..., :1, :],
    "no points": lambda v: v[..., :0, :],
    "no axes": lambda v: v[..., :0],
    "NaN": first_is(math.nan),
    "inf": first_is(math.inf),
    "-inf": first_is(-math.inf),
    "huge": first_is(1e200),
    "integers": lambda v: v.round().long(),
    "truths": lambda v: v > 0,
    "half": Tensor.half,
    "bfloat16": Tensor.bfloat16,
    "float32": Tensor.float,
    "complex": lambda v: v.to(torch.complex64),
    "without values": lambda v: v.to("meta"),
    "strided": lambda v: torch.stack([v, v], -1)[..., 0],
    "with a gradient": lambda v: v.clone().requires_grad_(),
}


@every_case
@pytest.mark.parametrize("change", MISTREATED)
def test_a_mistreated_argument_gives_numbers_or_a_refusal(name, argument, change):
    inputs = inputs_of(name)
    inputs[argument] = MISTREATED[change](inputs[argument])
    # An objective that is not finite names itself, and the rate that may be at fault.
    result = outcome(FUNCTIONS[name][0], inputs, (*inputs, "objective of run"))
    if change in ("numpy", "a list", "text", "nothing", "complex", "0-d", "no axes"):
        assert result is None
    if change in ("strided", "with a gradient"):
        assert result is not None
    for value in result or []:  # what is no number stays no number where nothing refuses it; what is one stays one
        assert value.is_meta or change in ("NaN", "inf", "-inf") or not value.isnan().any()


@given(
    st.fixed_dictionaries(
        {
            "steps": st.sampled_from([1, 2, 0, -1, 1.5, True, None, "3"]),
            "lr": st.sampled_from([0.01, 1, 0.0, -1.0, math.nan, math.inf, None, "1"]),
            "batch_size": st.sampled_from([None, 1, N, N + 1, 0, 2.0, "2"]),
        }
    )
)
def test_a_fit_ends_in_finite_numbers_or_names_what_it_refuses(options):
    result = outcome(lambda **given: fitted(numbers(N, 2), **given), options)
    assert result is None or result[0].isfinite().all()
    good = options["steps"] in (1, 2) and options["steps"] is not True and options["lr"] in (0.01, 1)
    assert (result is not None) == (
        good and options["batch_size"] in (None, 1, N) and not isinstance(options["batch_size"], float)
    )


@given(
    st.fixed_dictionaries(
        {
            "sigmas": st.sampled_from([[0.5], (1.0, 2), [], [0.0], [-1.0], [math.nan], [math.inf], 0.5, None, ["1"]]),
            "seeds": st.sampled_from([[0], range(2), (), [1.5], [-1], 3, None, ["0"]]),
        }
    )
)
def test_a_sweep_ends_in_finite_numbers_or_names_what_it_refuses(options):
    result = outcome(lambda **given: swept(numbers(N, 2), **given), options, ("sigma", "seed"))
    assert result is None or result[0].isfinite().all()
    assert result is not None or options["sigmas"] not in ([0.5], (1.0, 2)) or options["seeds"] not in ([0], range(2))


@given(
    st.fixed_dictionaries(
        {
            "sigma": st.sampled_from(
                [0.5, 1, [0.5, 1.0], [[0.5, 1.0]] * 2, 0.0, -1.0, math.nan, math.inf, None, "1", [], np.ones(2)]
            ),
            "seeds": st.sampled_from([[0, 1], range(2), [0], [], [-1], [1.5], 3, None]),
            "hidden": st.sampled_from([(4,), [4, 3], (), (0,), (-1,), 4, None, ("4",)]),
            "latent_dim": st.sampled_from([1, 2, 0, -1, 1.5, True, None]),
            "data_dim": st.sampled_from([2, 1, 0, -1, 2.5, None]),
            "dtype": st.sampled_from([torch.float64, torch.float32, torch.int64, None, "float32"]),
        }
    )
)
def test_a_model_is_built_or_the_argument_is_named(options):
    outcome(lambda **given: tuple(parameter.detach() for parameter in VAE(**given).parameters()), options)
