"""The type and the device of a result are those of the inputs, whatever torch's global defaults are."""

import pytest
import torch
from entrances import ENTRANCES, each_argument, moved, outcome, tensors
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from vaelib.likelihood import gaussian_log_likelihood

HALVES = (torch.float16, torch.bfloat16)
every_entrance = pytest.mark.parametrize("entrance", ENTRANCES, ids=str)
without_values = pytest.mark.parametrize("entrance", [e for e in ENTRANCES if e.on_meta], ids=str)
every_argument = pytest.mark.parametrize(("entrance", "name"), each_argument(), ids=str)


@every_entrance
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALVES], ids=str)
def test_the_type_is_that_of_the_inputs_and_nats_are_never_half(entrance, dtype):
    torch.set_default_dtype(torch.float32 if dtype == torch.float64 else torch.float64)
    inputs = moved(entrance.inputs(), dtype=dtype)
    expected = dtype if dtype not in HALVES or entrance.keeps_half else torch.float32
    for value, exact in zip(
        tensors(entrance.function(**inputs)), tensors(entrance.function(**moved(inputs, dtype=torch.float64))), strict=True
    ):
        if value.dtype == torch.bool:
            assert torch.equal(value, exact)
            continue
        assert value.dtype == expected
        # Nats are summed and rounded in float32 at least; the tolerance of a half is for what is given back as one.
        # An oracle on a grid, or of a whole data set, adds terms that are larger than what they leave.
        noise = 1 if entrance.pointwise else 32
        tolerance = {"rtol": 4 * noise * torch.finfo(expected).eps, "atol": 32 * noise * torch.finfo(expected).eps}
        torch.testing.assert_close(value.double(), exact, **tolerance)


@every_argument
@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool], ids=str)
def test_an_integer_takes_the_type_of_its_partner_or_is_refused_by_name(entrance, name, dtype):
    inputs = moved(entrance.inputs(), dtype=torch.float32)
    inputs[name] = inputs[name].abs().ceil().clamp(max=1).to(dtype)
    # The partner of data is a tensor that they are compared with; a number such as sigma follows the data.
    result = outcome(entrance.function, inputs, (name,))
    if result is None:
        return
    for value, exact in zip(result, tensors(entrance.function(**moved(inputs, dtype=torch.float32))), strict=True):
        assert value.dtype in (torch.float32, torch.bool)
        torch.testing.assert_close(value, exact, rtol=0, atol=0)


@every_argument
@pytest.mark.parametrize("dtype", [torch.complex64, torch.float8_e4m3fn], ids=str)
def test_what_is_no_real_number_of_a_common_type_is_refused_by_name(entrance, name, dtype):
    inputs = entrance.inputs()
    inputs[name] = inputs[name].to(dtype)
    with pytest.raises(ValueError, match=f"{name} is {dtype}"):
        entrance.function(**inputs)


@without_values
def test_tensors_without_values_give_the_shape(entrance):
    for dtype in (torch.float32, torch.float64):
        inputs = moved(entrance.inputs(), dtype=dtype)
        real = tensors(entrance.function(**inputs))
        for value, expected in zip(tensors(entrance.function(**moved(inputs, device="meta"))), real, strict=True):
            assert (value.shape, value.dtype, value.device.type) == (expected.shape, expected.dtype, "meta")


@without_values
def test_a_gpu_of_straw_runs_every_function_without_the_cpu(entrance):
    """Under a FakeTensorMode every operation checks that its tensors are on one device."""
    real = entrance.inputs()
    expected = tensors(entrance.function(**real))
    with FakeTensorMode():
        inputs = {k: torch.ones(v.shape, dtype=v.dtype, device="cuda") if isinstance(v, Tensor) else v for k, v in real.items()}
        found = tensors(entrance.function(**inputs))
    for value, on_cpu in zip(found, expected, strict=True):
        assert (value.shape, value.dtype, value.device.type) == (on_cpu.shape, on_cpu.dtype, "cuda")


@pytest.mark.parametrize(
    ("entrance", "name"),
    [(e, name) for e, name in each_argument() if sum(getattr(value, "ndim", 0) > 0 for value in e.inputs().values()) > 1],
    ids=str,
)
def test_two_devices_are_refused_by_name(entrance, name):
    inputs = entrance.inputs()
    inputs[name] = inputs[name].to("meta")
    with pytest.raises(ValueError, match=f"{name} is on meta"):
        entrance.function(**inputs)


@every_entrance
def test_autocast_changes_nothing(entrance):
    inputs = moved(entrance.inputs(), dtype=torch.float32)
    plain = tensors(entrance.function(**inputs))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under = tensors(entrance.function(**inputs))
    for value, expected in zip(under, plain, strict=True):
        assert torch.equal(value, expected)


def test_a_scalar_sigma_may_stay_on_the_cpu():
    with FakeTensorMode():
        x = torch.ones(4, 3, device="cuda")
        assert gaussian_log_likelihood(x, x, torch.tensor(0.5)).device.type == "cuda"
