import math

import mpmath
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


def test_a_narrow_density_in_float32_is_no_zero_times_infinity():
    """At its mean and next to it, where the variance, and then the standard deviation, leaves the range of the type."""
    for offset, log_var in ((0.0, -89.0), (1e-19, -89.0), (0.0, -200.0), (1e-30, -180.0), (0.0, -1e4), (1.0, 200.0), (3.0, 1e4)):
        z, mu, log_var = torch.tensor([[offset], [0.0], [log_var]], dtype=torch.float32).requires_grad_()
        with mpmath.workdps(50):
            scaled = (mpmath.mpf(z.item()) - mpmath.mpf(mu.item())) ** 2 * mpmath.exp(-mpmath.mpf(log_var.item()))
            exact = float(-(scaled + log_var.item() + mpmath.log(2 * mpmath.pi)) / 2)
        value = gaussian_log_density(z, mu, log_var)
        torch.testing.assert_close(value.item(), exact, rtol=1e-6, atol=0)
        assert not any(g.isnan().any() for g in torch.autograd.grad(value, (z, mu, log_var)))
    z, mu, log_var = torch.tensor([[[0.5], [3e38]], [[0.5], [-3e38]], [[-89.0], [1e4]]], dtype=torch.float32)
    density = gaussian_log_density(z, mu, log_var)
    assert density[0].item() == pytest.approx(43.58, abs=0.005)
    assert density[1] == -math.inf  # the difference overflows: infinite, but no NaN


def test_halves_give_nats_in_float32():
    z, mu, log_var = (value.half() for value in parameters(5, 300))
    value = gaussian_log_density(z, mu, log_var)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), gaussian_log_density(z.double(), mu.double(), log_var.double()), rtol=1e-6, atol=0)


def test_no_noise_at_an_overflowing_sigma_draws_the_mean():
    mu, eps = torch.tensor([1.5], dtype=torch.float32), torch.tensor([[0.0], [1.0]], dtype=torch.float32)
    for log_var in (180.0, 1e4):
        z = reparameterize(mu, torch.full_like(mu, log_var), eps)
        assert z.flatten().tolist() == [1.5, math.inf]
    tiny = reparameterize(mu, torch.full_like(mu, 300), torch.full_like(mu, 1e-30))
    assert tiny.item() == pytest.approx(1e-30 * math.exp(150), rel=1e-5)


def test_a_draw_in_half_is_that_of_float32_rounded_once():
    mu, log_var, eps = (value.half() for value in parameters(100, 3))
    log_var = 8 * log_var  # up to 24: sigma is within the range of a half, its square is not
    exact = mu.double() + (0.5 * log_var.double()).exp() * eps.double()
    assert torch.equal(reparameterize(mu, log_var, eps), exact.half())


def test_samples_stand_on_an_axis_of_their_own():
    """K draws of N points: the shapes of the notation page with an axis of 1 where the K go, for each run or for all."""
    runs, points, draws, d = 7, 3, 5, 2
    mu, log_var, _ = parameters(runs, points, d)
    eps = torch.randn(points, draws, d)
    shared = reparameterize(mu.unsqueeze(-2), log_var.unsqueeze(-2), eps)
    assert shared.shape == (runs, points, draws, d)
    torch.testing.assert_close(shared[2, 1, 4], mu[2, 1] + (0.5 * log_var[2, 1]).exp() * eps[1, 4])
    assert torch.equal(reparameterize(mu.unsqueeze(-2), log_var.unsqueeze(-2), eps.expand(runs, -1, -1, -1)), shared)
    assert torch.equal(reparameterize(mu, log_var, eps[:, 0]), shared[:, :, 0])


@pytest.mark.parametrize(
    ("mu", "eps"), [((1, 3, 2), (3, 1, 2)), ((7, 3, 2), (3, 5, 2)), ((7, 3, 2), (7, 1, 2)), ((3, 2), (1, 2))], ids=str
)
def test_noise_that_would_make_points_into_samples_is_refused(mu, eps):
    with pytest.raises(ValueError, match=r"eps \(.*\) and mu \(.*\) do not fit; expected each axis of eps as in mu"):
        reparameterize(torch.zeros(mu), torch.zeros(mu), torch.zeros(eps))


def test_every_point_against_every_component_is_asked_for_with_equal_axes():
    z, mu, _ = parameters(4, 2)
    log_var = torch.zeros_like(mu)
    with pytest.raises(
        ValueError, match=r"z \(4, 1, 2\) and mu \(4, 2\) would give \(4, 4\) values; .* mu\[None\] makes every pair"
    ):
        gaussian_log_density(z[:, None], mu, log_var)
    every_pair = gaussian_log_density(z[:, None], mu[None], log_var[None])
    torch.testing.assert_close(every_pair.diagonal(), gaussian_log_density(z, mu, log_var))
    # Other lengths, and a table without an axis of its own, can only be meant as written.
    assert gaussian_log_density(z, mu.expand(4, 4, 2), log_var.expand(4, 4, 2)).shape == (4, 4)
    for one, other in (((1, 1, 2), (4, 2)), ((1, 1, 1, 2), (1, 4, 2)), ((3, 3, 1, 2), (3, 4, 2))):
        joint = torch.broadcast_shapes(one, other)
        assert gaussian_log_density(torch.zeros(one), torch.zeros(other), torch.zeros(other)).shape == joint[:-1]
    torch.testing.assert_close(gaussian_log_density(z[:3, None], mu, log_var), every_pair[:3])
    torch.testing.assert_close(gaussian_log_density(z[0], mu, log_var), every_pair[0])


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match=r"mu \(3, 1\) and log_var \(3, 2\)"):
        reparameterize(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"eps \(\) and mu \(\) differ in their last axis"):
        reparameterize(*[torch.tensor(1.0)] * 3)
    with pytest.raises(ValueError, match=r"eps \(3, 1\) and mu \(3, 2\)"):
        reparameterize(torch.zeros(3, 2), torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="log_var"):
        gaussian_log_density(torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3))
    with pytest.raises(ValueError, match=r"z \(3, 1\) and mu \(3, 2\) differ in their last axis"):
        gaussian_log_density(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3, 2))
