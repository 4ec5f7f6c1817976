"""Whatever comes in: the right value, or a ValueError that names an argument; never NaN from finite numbers.

The first half mistreats every function of `entrances.ENTRANCES`, one argument at a time. The second half draws shapes and
magnitudes for those with an oracle of their own, in 50 digits.
"""

import math
from collections.abc import Callable

import mpmath as mp
import numpy as np
import pytest
import torch
from entrances import ENTRANCES, each_argument, outcome, tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vaelib.gaussian import gaussian_log_density, reparameterize
from vaelib.kl import kl_between_gaussians, kl_to_standard_normal, kl_to_standard_normal_per_dim
from vaelib.likelihood import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    continuous_bernoulli_log_normalizer,
    continuous_bernoulli_mean,
    gaussian_log_likelihood,
    implied_sigma,
)

# The same examples in every run, and no deadline: a slow machine is no error.
settings.register_profile("book", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("book")

every_argument = pytest.mark.parametrize(("entrance", "name"), each_argument(), ids=str)


# Mistreatment of one argument


@every_argument
def test_what_is_no_tensor_is_refused_by_name(entrance, name):
    for change in (Tensor.numpy, Tensor.tolist, str, lambda _: None):
        inputs = entrance.inputs()
        inputs[name] = change(inputs[name] if inputs[name].ndim else inputs[name].reshape(1))
        with pytest.raises(ValueError, match=rf"\b{name} must be a (torch\.Tensor|number), found"):
            entrance.function(**inputs)


def a_copy_with(value: float) -> Callable:
    def change(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[0] = value
        return tensor

    return change


RESHAPED = {
    "0-d": lambda v: v.flatten()[0],
    "one axis less": lambda v: v[0],
    "one axis more": lambda v: v[None],
    "an axis inside": lambda v: v.unsqueeze(-2),
    "flat": lambda v: v.flatten(),
    "turned": lambda v: v.mT,
    "one point": lambda v: v[:1],
    "one axis of the event": lambda v: v[..., :1],
    "no points": lambda v: v[:0],
    "no axes of the event": lambda v: v[..., :0],
}


def reshaped(change: Callable, value: Tensor) -> Tensor:
    """A tensor changed; what has too few axes for a change is left as it is."""
    return change(value) if value.ndim >= (2 if change is RESHAPED["turned"] else 1) else value


def assert_numbers_or_refusal(entrance, inputs: dict, change: str) -> None:
    result = outcome(entrance.function, inputs)
    assert result is None or not any(value.isnan().any() for value in result), change


@every_argument
def test_another_shape_of_one_argument_gives_numbers_or_a_refusal(entrance, name):
    for label, change in RESHAPED.items():
        inputs = entrance.inputs()
        inputs[name] = reshaped(change, inputs[name])
        assert_numbers_or_refusal(entrance, inputs, label)


@pytest.mark.parametrize("entrance", ENTRANCES, ids=str)
def test_another_shape_of_all_arguments_gives_numbers_or_a_refusal(entrance):
    for label, change in RESHAPED.items():
        inputs = {k: reshaped(change, value) if isinstance(value, Tensor) else value for k, value in entrance.inputs().items()}
        assert_numbers_or_refusal(entrance, inputs, label)


@every_argument
def test_one_bad_number_is_refused_or_stays_where_it_is(entrance, name):
    plain = tensors(entrance.function(**entrance.inputs()))
    for bad in (math.nan, math.inf, -math.inf):
        inputs = entrance.inputs()
        inputs[name] = a_copy_with(bad)(inputs[name])
        result = outcome(entrance.function, inputs, (name,))
        if result is None:
            continue
        assert not math.isnan(bad) or any(value.isnan().any() for value in result)
        if entrance.pointwise:  # the bad number is in the first point, and stays there
            for value, expected in zip(result, plain, strict=True):
                assert torch.equal(value[1:], expected[1:])


@every_argument
def test_layout_and_gradients_do_not_change_the_value(entrance, name):
    plain = tensors(entrance.function(**entrance.inputs()))
    for change in (lambda v: torch.stack([v, v], -1)[..., 0], lambda v: v.clone().requires_grad_()):
        inputs = entrance.inputs()
        inputs[name] = change(inputs[name])
        for value, expected in zip(tensors(entrance.function(**inputs)), plain, strict=True):
            torch.testing.assert_close(value.detach(), expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("entrance", [e for e in ENTRANCES if "sigma" in e.inputs()], ids=str)
def test_a_sigma_that_is_no_positive_number_is_refused_by_name(entrance):
    inputs = entrance.inputs()
    for bad in (0.0, -1.0, math.nan, math.inf, "1", True, None, 1j, [1.0], np.ones(2)):
        with pytest.raises(ValueError, match="sigma must be"):
            entrance.function(**{**inputs, "sigma": bad})
        if isinstance(bad, float):
            with pytest.raises(ValueError, match="sigma must be positive and finite"):
                entrance.function(**{**inputs, "sigma": torch.full_like(inputs["sigma"], bad)})


# Oracles: an event's value in 50 digits, and the size of its terms, against which rounding is measured


def normal_terms(z, mu, log_var):
    scaled = (z - mu) ** 2 * mp.exp(-log_var)
    return [-scaled / 2, -log_var / 2, -mp.log(2 * mp.pi) / 2]


def kl_terms(mu, log_var):
    # Where the difference takes more than the 50 digits, its series takes one term.
    gain = mp.exp(log_var) - 1 - log_var if abs(log_var) > 1e-15 else log_var**2 / 2
    return [mu**2 / 2, gain / 2]


def kl_pair_terms(mu_q, log_var_q, mu_p, log_var_p):
    return kl_terms((mu_q - mu_p) * mp.exp(-log_var_p / 2), log_var_q - log_var_p)


def gaussian_terms(x, mean, sigma):
    return [-(((x - mean) / sigma) ** 2) / 2, -mp.log(sigma), -mp.log(2 * mp.pi) / 2]


def log_partition(logits):  # of the continuous Bernoulli, less max(logits, 0); a series where 50 digits are too few
    size = abs(logits)
    return mp.log(-mp.expm1(-size) / size) if size > 1e-20 else -size / 2


def bernoulli_terms(x, logits):
    softplus = mp.log1p(mp.exp(-abs(logits)))
    return [-x * (softplus + max(-logits, 0)), -(1 - x) * (softplus + max(logits, 0))]


def continuous_bernoulli_terms(x, logits):
    return [(x - (logits > 0)) * logits, -log_partition(logits)]


def log_normalizer_terms(logits):
    return [mp.log1p(mp.exp(-abs(logits))), -log_partition(logits)]


def mean_terms(logits):
    size = abs(logits)
    if size < 1e-20:
        return [mp.mpf(1) / 2]
    below = 1 / size - 1 / mp.expm1(size) if size < 1e9 else 1 / size
    return [1 - below if logits > 0 else below]


def draw_terms(mu, log_var, eps):
    return [mu, eps * mp.exp(log_var / 2)]


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
TYPICAL = st.floats(-4, 4)
WIDE = st.one_of(TYPICAL, st.sampled_from([0.0, 1e-30, -1e-12, 1e-6, 50.0, -1e3, 1e4, -1e18, 1e30, -1e37, 1e300]))
EXTREME_LOGS = [
    -1e300,
    -3e38,
    -3000.0,
    -1400.0,
    -360.0,
    -200.0,
    -89.0,
    -1e-9,
    0.0,
    1e-5,
    0.0999,
    0.1001,
    87.0,
    180.0,
    710.0,
    1e38,
]
KINDS = {
    "real": WIDE,
    "log": st.one_of(st.floats(-6, 6), st.sampled_from(EXTREME_LOGS)),
    "unit": st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 1e-30])),
    "positive": st.one_of(st.floats(0.01, 10), st.sampled_from([1e-300, 1e-40, 1e-25, 1e-4, 1e3, 1e25, 1e300])),
}
# Function, kinds of its arguments, terms of one axis, whether axes are summed.
VALUES = [
    (gaussian_log_density, {"z": "real", "mu": "real", "log_var": "log"}, normal_terms, True),
    (reparameterize, {"mu": "real", "log_var": "log", "eps": "real"}, draw_terms, False),
    (kl_to_standard_normal, {"mu": "real", "log_var": "log"}, kl_terms, True),
    (kl_to_standard_normal_per_dim, {"mu": "real", "log_var": "log"}, kl_terms, False),
    (kl_between_gaussians, {"mu_q": "real", "log_var_q": "log", "mu_p": "real", "log_var_p": "log"}, kl_pair_terms, True),
    (gaussian_log_likelihood, {"x": "real", "mean": "real", "sigma": "positive"}, gaussian_terms, True),
    (bernoulli_log_likelihood, {"x": "unit", "logits": "real"}, bernoulli_terms, True),
    (continuous_bernoulli_log_likelihood, {"x": "unit", "logits": "real"}, continuous_bernoulli_terms, True),
    (continuous_bernoulli_log_normalizer, {"logits": "real"}, log_normalizer_terms, False),
    (continuous_bernoulli_mean, {"logits": "real"}, mean_terms, False),
]
every_value = pytest.mark.parametrize(("function", "kinds", "terms", "summed"), VALUES, ids=lambda v: getattr(v, "__name__", ""))


def drawn(data, kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """A tensor of a kind, within a quarter of the range of its type, so that a difference of two stays in it."""
    count = math.prod(shape)
    values = torch.tensor(data.draw(st.lists(KINDS[kind], min_size=count, max_size=count)), dtype=torch.float64)
    info = torch.finfo(dtype)
    values = values.clamp(-info.max / 4, info.max / 4)
    return (values.clamp(min=info.tiny) if kind == "positive" else values).to(dtype).reshape(shape)


def assert_right(value: float, terms: list, condition: float, dtype: torch.dtype) -> None:
    """Fail unless a value is that of its terms to rounding; infinite only where that is out of range, and never NaN."""
    exact, size, info = sum(terms), condition * sum(abs(term) for term in terms), torch.finfo(dtype)
    if abs(exact) > info.max / 8:
        assert value == math.copysign(math.inf, exact) or abs(value - exact) < 1e-2 * abs(exact)
    else:
        assert abs(mp.mpf(value) - exact) <= 16 * info.eps * size + 16 * info.tiny, (value, mp.nstr(exact, 20))


@every_value
@given(data=st.data())
def test_the_value_is_right_at_every_magnitude_in_every_type(function, kinds, terms, summed, data):
    dtype = data.draw(st.sampled_from(DTYPES))
    shape = data.draw(st.sampled_from([(1,), (2,), (2, 1), (1, 3), (1, 2, 2)]))
    inputs = {name: drawn(data, kind, shape, dtype).requires_grad_() for name, kind in kinds.items()}
    value = function(**inputs)
    assert value.shape == (shape[:-1] if summed else shape)
    if not summed:
        value = value.unsqueeze(-1)
    rows = [tensor.detach().reshape(-1, shape[-1] if summed else 1).tolist() for tensor in inputs.values()]
    with mp.workdps(50):
        for found, event in zip(value.detach().flatten().tolist(), zip(*rows, strict=True), strict=True):
            axes = [dict(zip(kinds, map(mp.mpf, axis), strict=True)) for axis in zip(*event, strict=True)]
            assert_right(found, [t for axis in axes for t in terms(**axis)], max(map(condition, axes)), value.dtype)
    # Gradients of finite values may overflow, but are numbers.
    if value.isfinite().all():
        for gradient in torch.autograd.grad(value.sum(), list(inputs.values())):
            assert not gradient.isnan().any()


def condition(axis: dict) -> float:
    """By how much more than itself an argument's rounding moves a term: a rounded difference of logarithms is exponentiated."""
    return 1 + abs(axis["log_var_q"] - axis["log_var_p"]) if "log_var_q" in axis else 1


SHAPES = st.lists(st.integers(0, 3), max_size=4).map(tuple)


@every_value
@given(data=st.data())
def test_any_shapes_give_broadcast_values_or_a_refusal(function, kinds, terms, summed, data):
    names = list(kinds)
    base = data.draw(SHAPES)
    shapes = [data.draw(st.one_of(st.just(base), st.just(base[1:]), st.just((*base[:-1], 1, *base[-1:])), SHAPES)) for _ in names]
    inputs = {name: drawn(data, kinds[name], shape, torch.float64) for name, shape in zip(names, shapes, strict=True)}
    inputs = {name: value.clamp(-9, 9) if kinds[name] != "positive" else value.clamp(0.1, 9) for name, value in inputs.items()}
    result = outcome(function, inputs)
    if result is None:
        return
    if "sigma" in inputs and inputs["sigma"].ndim < max(inputs["x"].ndim, inputs["mean"].ndim):
        inputs["sigma"] = inputs["sigma"].unsqueeze(-1)  # fewer axes than x: it belongs to the leading ones
    together = torch.broadcast_tensors(*inputs.values())
    value = result[0]
    assert value.shape == (together[0].shape[:-1] if summed else together[0].shape)
    if summed:
        axes = [function(*(t[..., i : i + 1] for t in together)) for i in range(together[0].shape[-1])]
        expected = sum(axes, torch.zeros(value.shape))
    else:
        expected = torch.tensor([function(*t).item() for t in zip(*(t.reshape(-1, 1) for t in together), strict=True)])
    torch.testing.assert_close(value, expected.reshape(value.shape), rtol=1e-12, atol=1e-12)


@given(
    st.fixed_dictionaries(
        {
            **{name: st.sampled_from(["sum", "mean", "batchmean", "none", None, 1]) for name in ("reconstruction", "kl")},
            **{
                name: st.sampled_from([1, 3, 784, 10**9, 0, -1, 2.0, True, "4"])
                for name in ("data_dim", "latent_dim", "batch_size")
            },
            **{
                name: st.sampled_from([1.0, 3, 1e-40, 1e30, 0.0, -1, math.nan, math.inf, "1", None])
                for name in ("error_weight", "kl_weight")
            },
            "loss": st.sampled_from(["squared_error", "cross_entropy", "bce", None]),
        }
    )
)
def test_an_implied_sigma_is_a_positive_number_or_a_refusal(arguments):
    result = outcome(lambda **given: implied_sigma(**given).beta, arguments)
    if result is None:
        return
    sigma, beta = implied_sigma(**arguments)
    assert 0 < beta < math.inf
    assert sigma is None if arguments["loss"] == "cross_entropy" else sigma == pytest.approx(math.sqrt(beta))
