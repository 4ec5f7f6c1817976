"""The same numbers on a GPU as on the CPU. It needs one; elsewhere test_dtypes runs the functions on a GPU of straw."""

import csv

import pytest
import torch
from entrances import ENTRANCES, moved, tensors
from plain import Plain, data, examine

from vaelib import diagnostics, quadrature, spiral
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.sweep import main, sweep
from vaelib.train import fit
from vaelib.verify import claim, rng, verify

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def points():
    return spiral.sample_spiral(40, generator=rng(3))[1]


def same(found, expected, rounding=1e-9):
    assert found.device.type == "cuda"
    torch.testing.assert_close(found.cpu(), expected, rtol=rounding, atol=rounding)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("entrance", ENTRANCES, ids=str)
def test_a_function_gives_the_numbers_of_the_cpu_where_its_inputs_are(entrance, dtype):
    here, there = (moved(entrance.inputs(), dtype=dtype, device=device) for device in ("cpu", "cuda"))
    for value, expected in zip(tensors(entrance.function(**there)), tensors(entrance.function(**here)), strict=True):
        if value.device.type == "cpu":  # a number, and no tensor
            assert value.ndim == 0
            value = value.cuda()
        same(value, expected, 2000 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 8},
        {"samples": 3},
        {"objective": lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo},
    ],
    ids=["all at once", "in batches", "three draws", "by autograd"],
)
@pytest.mark.parametrize("model", [{}, {"learn_sigma": True}, {"latent_dim": 2, "hidden": (6, 5)}], ids=str)
def test_a_fit_takes_the_same_steps(model, options, dtype):
    fits = {}
    for device in ("cpu", "cuda"):
        vae = VAE(**{"hidden": (4,), **model}, sigma=0.4, seeds=range(3), device=device)
        history = fit(vae, points().to(device), steps=40, lr=0.03, generator=rng(1), dtype=dtype, **options)
        fits[device] = vae, history
    tolerance = 1e-9 if dtype == torch.float64 else 1e-3
    same(fits["cuda"][1].elbo, fits["cpu"][1].elbo, tolerance)
    for found, expected in zip(fits["cuda"][0].parameters(), fits["cpu"][0].parameters(), strict=True):
        same(found.data, expected.data, tolerance)


def test_a_generator_may_draw_on_the_gpu():
    vae = VAE(sigma=0.4, seeds=range(2), device="cuda")
    history = fit(vae, points().cuda(), steps=200, lr=0.03, generator=rng(1, "cuda"), batch_size=20)
    assert (history.elbo[-1] > history.elbo[0]).all()


def test_sweep_and_diagnostics_run_where_the_data_is():
    x = points()
    stack = sweep(x.cuda(), sigmas=[0.2, 1.0], seeds=[3, 4], steps=300, lr=0.03, generator=rng(1), hidden=(8,))
    twin = VAE(hidden=(8,), sigma=stack.vae.sigma.cpu(), seeds=range(4))
    twin.load_state_dict(stack.vae.state_dict())
    terms, expected = diagnostics.exact_terms(stack.vae, x.cuda()), diagnostics.exact_terms(twin, x)
    for name in ("elbo", "reconstruction", "kl"):
        same(getattr(terms, name), getattr(expected, name))
    same(diagnostics.elbo_gap(stack.vae, x.cuda()), diagnostics.elbo_gap(twin, x), 1e-7)
    evidence = quadrature.log_evidence(x.cuda(), stack.vae.decode, stack.vae.sigma)
    same(evidence, quadrature.log_evidence(x, twin.decode, twin.sigma))
    assert (terms.elbo <= evidence + 1e-9).all()
    assert torch.equal(diagnostics.active_units(stack.vae.encode(x.cuda())[0]).cpu(), diagnostics.active_units(twin.encode(x)[0]))


def test_the_command_trains_on_the_gpu(tmp_path):
    out = tmp_path / "sweep.csv"
    grid = ["--sigmas", "0.3", "1", "--seeds", "0", "7", "--steps", "300", "--hidden", "4", "--device", "cuda"]
    assert main([*grid, "--out", str(out)]) == 0
    with out.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 4
    assert all(float(row["elbo"]) <= float(row["log_evidence"]) < 0 for row in rows)


def test_verify_and_claim_take_numbers_from_the_gpu(capsys):
    one = torch.ones((), dtype=torch.float64, device="cuda")
    verify("gpu-pair", one, torch.ones((), dtype=torch.float64), tol=1e-12)
    claim("gpu-claim", one > 0, "1 is positive")
    assert capsys.readouterr().out.count("[ok]") == 2


@pytest.mark.parametrize("kind", ["gaussian", "bernoulli"])
def test_the_check_up_runs_where_the_model_is(kind):
    verdicts, state = {}, torch.cuda.get_rng_state()
    for device in ("cpu", "cuda"):
        model = Plain((7,), 3, kind, dtype=torch.float64).to(device)
        report = examine(model, data((7,), kind, dtype=torch.float64).to(device))
        verdicts[device] = [(line.name, line.verdict) for line in report.lines]
    assert verdicts["cuda"] == verdicts["cpu"]
    assert torch.equal(torch.cuda.get_rng_state(), state)
