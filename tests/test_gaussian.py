import pytest
import torch
from torch.distributions import Normal

from vaelib.gaussian import gaussian_log_density, reparameterize

SHAPES = [(1,), (5,), (3, 5)]


def parameters(*shape):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for _ in range(3)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_log_density_is_that_of_torch(shape):
    z, mu, log_var = parameters(*shape)
    oracle = Normal(mu, (0.5 * log_var).exp()).log_prob(z).sum(-1)
    assert gaussian_log_density(z, mu, log_var).shape == shape[:-1]
    torch.testing.assert_close(gaussian_log_density(z, mu, log_var), oracle)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reparameterize_is_the_affine_map(shape):
    mu, log_var, eps = parameters(*shape)
    torch.testing.assert_close(reparameterize(mu, log_var, eps), Normal(mu, log_var.exp().sqrt()).icdf(Normal(0, 1).cdf(eps)))


def test_draws_have_the_mean_and_the_variance_asked_for():
    n, mu, log_var = 100_000, torch.tensor([1.5]), torch.tensor([-1.0])
    z = reparameterize(mu, log_var, torch.randn(n, 1, generator=torch.Generator().manual_seed(0)))
    variance = log_var.exp().item()
    assert abs((z.mean().item() - 1.5) / (variance / n) ** 0.5) < 4
    assert abs((z.var().item() - variance) / (variance * (2 / n) ** 0.5)) < 4


def test_gradients_flow_to_the_parameters():
    mu, log_var, eps = parameters(3, 2)
    mu.requires_grad_(), log_var.requires_grad_()
    assert torch.autograd.gradcheck(lambda m, v: reparameterize(m, v, eps), (mu, log_var))
    assert torch.autograd.gradcheck(lambda m, v: gaussian_log_density(eps, m, v), (mu, log_var))


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"mu \(3, 1\) and log_var \(3, 2\)"):
        reparameterize(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"eps \(3, 1\) and mu \(3, 2\)"):
        reparameterize(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="log_var"):
        gaussian_log_density(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ValueError, match="z has 1 latent axes and mu has 2"):
        gaussian_log_density(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3, 2))
