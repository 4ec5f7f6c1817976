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


def test_float32_keeps_its_digits_near_the_prior():
    """To leading order KL = log_var^2 / 4; exp(log_var) - 1 would leave no digit of it here."""
    log_var = torch.tensor([1e-3], dtype=torch.float32)
    exact = 0.5 * (torch.expm1(log_var.double()) - log_var.double())
    error = kl_to_standard_normal(torch.zeros_like(log_var), log_var).double() / exact.sum() - 1
    naive = (0.5 * (log_var.exp() - 1 - log_var)).double().sum() / exact.sum() - 1
    assert error.abs() < 1e-3 < naive.abs()


def test_gradient():
    mu, log_var, _, _ = normals(3, 2)
    assert torch.autograd.gradcheck(kl_to_standard_normal, (mu.requires_grad_(), log_var.requires_grad_()))


@pytest.mark.parametrize("kl", [kl_to_standard_normal, kl_to_standard_normal_per_dim])
def test_unequal_shapes_are_refused(kl):
    with pytest.raises(ValueError, match=r"mu \(3, 1\) and log_var \(3,\)"):
        kl(torch.zeros(3, 1), torch.zeros(3))


def test_unequal_shapes_of_a_pair_are_refused():
    with pytest.raises(ValueError, match="mu_p"):
        kl_between_gaussians(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(2), torch.zeros(3, 2))
