"""``make perturbed``: what the noise moves, and that it finds an output that depends on it."""

import nbformat
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import perturb
from tools.perturb import BITS, LastPlaceNoise

X = torch.linspace(-3, 3, 999, dtype=torch.float64)
SYMMETRIC = torch.exp(-((torch.arange(12.0)[:, None] - torch.arange(12.0)) ** 2)).double()


def adam(x):
    parameter, moments = x.clone(), [torch.zeros_like(x), torch.zeros_like(x)]
    options = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.0, "eps": 1e-8, "amsgrad": False, "maximize": False}
    grads, steps = [x.sin() + 2], [torch.ones((), dtype=x.dtype)]
    torch._fused_adam_([parameter], grads, [moments[0]], [moments[1]], [], steps, **options)
    return parameter


def in_place(x):
    return x.clone().tanh_()


def into_a_buffer(x):
    return torch.sigmoid(x, out=torch.empty_like(x))


def of_a_list(x):
    return torch._foreach_exp([x])[0]


def backward(x):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(leaf.sigmoid().sum(), leaf)[0]


SENSITIVE = {
    "exp": torch.exp,
    "log1p": lambda x: torch.log1p(x.square()),
    "power": lambda x: x.abs() ** 3.5,
    "matrix times vector": lambda x: SYMMETRIC.to(x.dtype) @ x[:12],
    "batched product": lambda x: x.reshape(3, 3, 111) @ x.reshape(3, 111, 3),
    "sum": lambda x: x.exp().reshape(27, 37).sum(-1),
    "mean": lambda x: x.exp().reshape(27, 37).mean(-1),
    "cumsum": lambda x: x.cumsum(0),
    "logsumexp": lambda x: x.reshape(27, 37).logsumexp(-1),
    "softmax": lambda x: x.softmax(0),
    "var": lambda x: x.reshape(27, 37).var(-1),
    "fused product and sum": lambda x: torch.addcmul(x, x, x),
    "lerp": lambda x: torch.lerp(x, -2 * x, 0.3),
    "add with a factor": lambda x: torch.add(x, x, alpha=0.3),
    "eigenvalues": lambda x: torch.linalg.eigvalsh(SYMMETRIC.to(x.dtype)),
    "solve": lambda x: torch.linalg.solve(SYMMETRIC.to(x.dtype), x[:12]),
    "normal draws": lambda x: torch.randn(99, dtype=x.dtype, generator=torch.Generator().manual_seed(0)),
    "complex": lambda x: torch.view_as_real(torch.exp(torch.complex(x, x))),
    "fused Adam": adam,
    "in place": in_place,
    "out=": into_a_buffer,
    "list": of_a_list,
    "backward": backward,
}
EXACT = {
    "arithmetic": lambda x: (x + 2 * x - x / 3) * x,
    "root and square": lambda x: x.abs().sqrt() + x.square() + x**-1,
    "copies": lambda x: torch.cat([x, -x, x.abs(), x.flip(0)]).reshape(2, -1).T.contiguous(),
    "order": lambda x: x.sort().values + x.max() + x.clamp(-1, 1) + x.median() + torch.where(x > 0, x, 0),
    "sum of two": lambda x: torch.stack([x, x / 3], -1).sum(-1) + torch.stack([x, x / 3], -1).mean(-1),
    "share": lambda x: (x > 1).to(x.dtype).mean(),
    "sum of whole numbers": lambda x: (10 * x).round().sum() + (10 * x).round() @ (10 * x).round(),
    "outer product": lambda x: x[:, None] @ x[None],
    "uniform draws": lambda x: torch.rand(99, dtype=x.dtype, generator=torch.Generator().manual_seed(0)),
    "whole numbers": lambda x: torch.arange(9, dtype=x.dtype) + torch.zeros(9, dtype=x.dtype).exp(),
    "half numbers": lambda x: torch.zeros(9, dtype=x.dtype).sigmoid(),
    "integers": lambda x: x.round().long().sum(),
    "zero": lambda x: torch.zeros(5, dtype=x.dtype).sin() + torch.zeros(5, dtype=x.dtype).sum(),
    "infinite": lambda x: torch.tensor([1e9], dtype=x.dtype).exp(),
    "largest": lambda x: torch.full((99,), torch.finfo(x.dtype).max, dtype=x.dtype).reshape(33, 3).var(0, correction=0) * 0,
}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def perturbed(function, dtype, seed=1):
    with LastPlaceNoise(seed):
        return function(X.to(dtype))


def ordered(tensor):
    """Integers that count the numbers of a type from the lowest to the highest."""
    bits = tensor.contiguous().view(BITS[tensor.dtype]).long()
    return torch.where(bits < 0, -(bits & torch.iinfo(BITS[tensor.dtype]).max), bits)


@DTYPES
@pytest.mark.parametrize("name", SENSITIVE)
def test_a_sensitive_result_moves_by_one_place_and_the_same_way_twice(name, dtype):
    # An operation inside of another one moves the result further, so only the last one is looked at.
    moved, again, other = (perturbed(SENSITIVE[name], dtype, seed) for seed in (1, 1, 2))
    plain = SENSITIVE[name](X.to(dtype))
    assert torch.equal(moved, again)
    assert not torch.equal(moved, plain)
    assert not torch.equal(moved, other)
    assert moved.dtype == dtype
    assert (moved - plain).abs().max() <= 1e-4 * plain.abs().max()


@DTYPES
@pytest.mark.parametrize("function", [torch.exp, torch.sin, in_place, into_a_buffer, of_a_list])
def test_a_move_is_by_at_most_one_unit_in_the_last_place(function, dtype):
    steps = ordered(perturbed(function, dtype)) - ordered(function(X.to(dtype)))
    counts = {step: (steps == step).sum().item() for step in (-1, 0, 1)}
    assert sum(counts.values()) == len(X)
    assert min(counts.values()) > len(X) / 6


@DTYPES
@pytest.mark.parametrize("name", EXACT)
def test_what_every_machine_rounds_alike_stays(name, dtype):
    assert torch.equal(perturbed(EXACT[name], dtype).nan_to_num(nan=7.0), EXACT[name](X.to(dtype)).nan_to_num(nan=7.0))


def test_a_function_stays_inside_its_range():
    x = torch.linspace(-40, 40, 9_999, dtype=torch.float64)
    with LastPlaceNoise(1):
        assert x.tanh().abs().max() == 1 and x.sigmoid().max() == 1 and x.cos().abs().max() <= 1


def test_an_output_that_depends_on_the_last_place_is_found(tmp_path, monkeypatch, capfd):
    values = torch.linspace(0.1, 1.1, 11, dtype=torch.float64).exp()
    cells = [
        ("import torch\nvalues = torch.linspace(0.1, 1.1, 11, dtype=torch.float64).exp()", ""),
        ('print(f"{values.sum():.6f}", [name for name in dir() if "pert" in name.lower()])', f"{values.sum():.6f} []"),
        ("print(values.tolist())", f"{values.tolist()}"),
    ]
    notebook = new_notebook(metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}})
    for number, (source, stored) in enumerate(cells, start=1):
        outputs = [new_output("stream", text=stored + "\n")] if stored else []
        notebook.cells.append(new_code_cell(source, execution_count=number, outputs=outputs))
    path = tmp_path / "chapter.ipynb"
    nbformat.write(notebook, path)
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["perturb", "--seed", "1", str(path)])
    assert perturb.main() == 1
    out = capfd.readouterr().out
    assert "::Cell 2" in out.split("short test summary")[1]
    assert "1 failed, 2 passed" in out
    assert path.read_bytes() == before
