import math

import mpmath
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vaelib.kl import kl_between_gaussians, kl_to_standard_normal, kl_to_standard_normal_per_dim

SHAPES = [(1,), (5,), (3, 5)]


def normals(*shape):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for _ in range(4)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_standard_normal_case_is_that_of_torch(shape):
    mu, log_var, _, _ = normals(*shape)
    oracle = kl_divergence(Normal(mu, log_var.exp().sqrt()), Normal(torch.zeros(()), torch.ones(())))
    torch.testing.assert_close(kl_to_standard_normal_per_dim(mu, log_var), oracle)
    torch.testing.assert_close(kl_to_standard_normal(mu, log_var), oracle.sum(-1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_general_pair_is_that_of_torch(shape):
    mu_q, log_var_q, mu_p, log_var_p = normals(*shape)
    oracle = kl_divergence(Normal(mu_q, log_var_q.exp().sqrt()), Normal(mu_p, log_var_p.exp().sqrt())).sum(-1)
    torch.testing.assert_close(kl_between_gaussians(mu_q, log_var_q, mu_p, log_var_p), oracle)


def test_zero_exactly_at_the_prior_and_positive_elsewhere():
    zero = torch.zeros(4)
    assert kl_to_standard_normal(zero, zero) == 0
    mu, log_var, _, _ = normals(1000, 1)
    assert (kl_to_standard_normal(mu, log_var) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_digit_is_lost_near_the_prior(dtype):
    """To leading order KL = log_var^2 / 4, of which expm1(log_var) - log_var would keep fewer and fewer digits."""
    sizes = torch.cat([torch.logspace(-12, -2, 30), torch.linspace(0.01, 0.0999, 60), torch.linspace(0.1001, 3, 30)])
    log_var = torch.cat([sizes, -sizes]).to(dtype)
    with mpmath.workdps(50):
        exact = torch.tensor([float((mpmath.expm1(value) - mpmath.mpf(value)) / 2) for value in log_var.tolist()])
    value = kl_to_standard_normal_per_dim(torch.zeros_like(log_var), log_var).double()
    error = (value / exact - 1).abs() / torch.finfo(dtype).eps
    assert error[log_var.abs() < 0.1].max() < 3
    assert error.max() < 25


def test_no_digit_rests_on_the_last_one_of_expm1(monkeypatch):
    """Another processor's expm1 may be a unit off in its last place, which near the prior is more than the whole KL."""
    exact = torch.expm1
    monkeypatch.setattr(torch, "expm1", lambda x: exact(x) * (1 + 2 * torch.finfo(x.dtype).eps))
    log_var = torch.logspace(-14, -2, 30, requires_grad=True)
    value = kl_to_standard_normal_per_dim(torch.zeros_like(log_var), log_var)
    torch.testing.assert_close(value, log_var.square() / 4 * (1 + log_var / 3 + log_var.square() / 12), rtol=1e-6, atol=0)
    (gradient,) = torch.autograd.grad(value.sum(), log_var)
    torch.testing.assert_close(gradient, exact(log_var) / 2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("log_var", [-20.0, -89.0, -200.0, -3e3, -6e4, 6e4])
def test_a_distribution_has_no_kl_from_itself_however_narrow(dtype, log_var):
    mu, log_var = torch.tensor([0.5, -3.0], dtype=dtype), torch.tensor([log_var, 0.0], dtype=dtype)
    leaves = [value.clone().requires_grad_() for value in (mu, log_var, mu, log_var)]
    value = kl_between_gaussians(*leaves)
    assert value == 0
    assert all((gradient == 0).all() for gradient in torch.autograd.grad(value, leaves[:2]))


def test_a_kl_is_infinite_only_where_it_leaves_the_range():
    zero = torch.zeros(1, dtype=torch.float32)
    assert kl_to_standard_normal(zero, zero + 88) == pytest.approx(0.5 * math.exp(88), rel=1e-5)
    assert kl_to_standard_normal(zero, zero + 90) == math.inf
    assert kl_to_standard_normal(zero, zero - 1e30) == pytest.approx(5e29)
    assert kl_between_gaussians(zero + 1e-10, zero, zero, zero - 88) == pytest.approx(0.5 * math.exp(88), rel=1e-5)


def test_halves_give_nats_in_float32():
    """A half would round 1,000 nats to 4 and overflow at a log variance of 11."""
    mu, log_var = (value.half() for value in normals(5, 3)[:2])
    value = kl_to_standard_normal(30 * mu, 9 * log_var)
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value.double(), kl_to_standard_normal((30 * mu).double(), (9 * log_var).double()), rtol=1e-6, atol=0
    )


def test_gradient():
    mu, log_var, _, _ = normals(3, 2)
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mu.requires_grad_(), log_var.requires_grad_()))


@pytest.mark.parametrize("kl", [kl_to_standard_normal, kl_to_standard_normal_per_dim])
def test_unequal_shapes_are_refused(kl):
    with pytest.raises(ValueError, match=r"mu \(3, 1\) and log_var \(3,\)"):
        kl(torch.zeros(3, 1), torch.zeros(3))


@pytest.mark.parametrize(("kl", "count", "name"), [(kl_to_standard_normal, 2, "mu"), (kl_between_gaussians, 4, "mu_q")])
def test_a_sum_over_no_axis_is_refused(kl, count, name):
    with pytest.raises(ValueError, match=rf"^{name} has shape \(\); expected a last axis"):
        kl(*[torch.tensor(1.0)] * count)


def test_unequal_shapes_of_a_pair_are_refused():
    with pytest.raises(ValueError, match="mu_p"):
        kl_between_gaussians(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2), torch.zeros(3, 2))
