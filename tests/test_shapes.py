"""The specs of `shapes` find what a review once found, in functions as they were then."""

import importlib
import inspect
import math
import pkgutil

import pytest
import shapes
import torch
from torch import Tensor

import vaelib

# No tensor's shape is what these are about.
WITHOUT = {
    "checkup.report",
    *("likelihood.implied_sigma", "quadrature.normal_grid", "quadrature.resolving_grid", "spiral.plane_grid", "spiral.t_grid"),
    *("sweep.main", "sweep.sweep", "train.fit", "train.one_cycle", "backprop.forward", "backprop.backward"),
    *("verify.claim", "verify.rng", "verify.standard_error", "verify.verify"),
}


def public_functions():
    for module in pkgutil.iter_modules(vaelib.__path__):
        if not module.name.startswith("_") and module.name != "plotting":
            for name, value in vars(importlib.import_module(f"vaelib.{module.name}")).items():
                if inspect.isfunction(value) and not name.startswith("_") and value.__module__ == f"vaelib.{module.name}":
                    yield f"{module.name}.{name}", value


def test_every_public_function_has_a_spec_with_its_parameters():
    found = dict(public_functions())
    assert set(found) == WITHOUT | {name for name in shapes.SPECS if ".VAE." not in name}
    for name in set(found) - WITHOUT:
        assert list(inspect.signature(shapes.SPECS[name]).parameters) == [*inspect.signature(found[name]).parameters, "result"]


def test_the_tests_call_the_checked_functions():
    from vaelib import gaussian, objective

    assert gaussian.reparameterize is objective.reparameterize
    with pytest.raises(TypeError, match="result"):
        shapes.checked("kl.kl_to_standard_normal", lambda mu, log_var: mu)(torch.zeros(3, 2), torch.zeros(3, 2))
    assert "shapes" in gaussian.reparameterize.__code__.co_filename


def density(z: Tensor, mu: Tensor, log_var: Tensor) -> Tensor:
    return -0.5 * ((z - mu).square() * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(-1)


def log_likelihood(x: Tensor, mean: Tensor, sigma: float | Tensor) -> Tensor:
    sigma = torch.as_tensor(sigma, dtype=x.dtype)
    return -0.5 * ((x - mean).square().sum(-1) / sigma**2 + x.shape[-1] * (2 * sigma.log() + math.log(2 * math.pi)))


def draw(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return mu + (0.5 * log_var).exp() * eps


def log_evidence(x: Tensor, mean: Tensor, weight: Tensor, sigma: float | Tensor) -> Tensor:
    centred = x - mean
    return (centred @ centred.mT).diagonal() + weight.square().sum() / sigma


@pytest.mark.parametrize(
    ("name", "function", "right", "wrong"),
    [
        # Loadings with their axes exchanged, and an offset with an axis too many.
        *(
            ("ppca.log_evidence", log_evidence, (torch.zeros(5, 3), torch.zeros(3), torch.zeros(3, 2), 1.0), wrong)
            for wrong in (
                (torch.zeros(5, 3), torch.zeros(3), torch.zeros(2, 3), 1.0),
                (torch.zeros(5, 3), torch.zeros(1, 3), torch.zeros(3, 2), 1.0),
            )
        ),
        # Integer data that truncate sigma.
        (
            "likelihood.gaussian_log_likelihood",
            log_likelihood,
            (torch.tensor([1.0, 2.0]), torch.zeros(2), 1.7),
            (torch.tensor([1, 2]), torch.zeros(2), 1.7),
        ),
        # A sigma with an axis for the data that is read as one for the points.
        (
            "likelihood.gaussian_log_likelihood",
            log_likelihood,
            (torch.zeros(2, 1), torch.zeros(2, 1), torch.ones(2)),
            (torch.zeros(2, 1), torch.zeros(2, 1), torch.ones(2, 1)),
        ),
        # Zero times infinity.
        (
            "gaussian.gaussian_log_density",
            density,
            (torch.tensor([0.5]), torch.tensor([0.5]), torch.tensor([-80.0])),
            tuple(torch.tensor([value], dtype=torch.float32) for value in (0.5, 0.5, -89.0)),
        ),
        # Noise for K draws a point that is taken for noise of N points.
        (
            "gaussian.reparameterize",
            draw,
            (torch.zeros(7, 3, 1, 2), torch.zeros(7, 3, 1, 2), torch.zeros(3, 5, 2)),
            (torch.zeros(1, 3, 2), torch.zeros(1, 3, 2), torch.zeros(3, 1, 2)),
        ),
    ],
    ids=["weight.T", "mean", "integers", "sigma's axis", "0 * inf", "eps"],
)
def test_what_was_wrong_in_silence_is_found(name, function, right, wrong):
    function(*wrong)
    checked = shapes.checked(name, function)
    checked(*right)
    with pytest.raises((TypeError, AssertionError)):
        checked(*wrong)


def test_a_refusal_is_left_alone():
    def refuses(mu, log_var):
        raise ValueError("mu")

    with pytest.raises(ValueError, match="mu"):
        shapes.checked("kl.kl_to_standard_normal", refuses)(torch.zeros(1), torch.zeros(2))
