import math

import mpmath
import pytest
import torch
from scipy import integrate
from torch.distributions import Bernoulli, ContinuousBernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from vaelib.kl import kl_to_standard_normal, kl_to_standard_normal_per_dim
from vaelib.likelihood import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    continuous_bernoulli_log_normalizer,
    continuous_bernoulli_mean,
    gaussian_log_likelihood,
    implied_sigma,
)
from vaelib.nets import VAE
from vaelib.objective import elbo_terms

# Both sides of the switch between series and closed form, the middle, and values that overflow exp.
LOGITS = [0.0, 1e-300, 1e-9, 1e-4, 0.0123, 0.05, 0.1999999, 0.2000001, 0.7, 1.9, 2.2, 9.0, 30.0, 400.0, 1000.0]
LOGITS = torch.tensor(sorted({sign * value for value in LOGITS for sign in (-1, 1)}), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 5)], ids=str)
@pytest.mark.parametrize("sigma", [0.2, 1.0, 3.0])
def test_log_likelihood_is_that_of_torch(shape, sigma):
    generator = torch.Generator().manual_seed(0)
    x, mean = torch.randn(2, *shape, generator=generator)
    value = gaussian_log_likelihood(x, mean, sigma)
    assert value.shape == shape[:-1]
    torch.testing.assert_close(value, Normal(mean, sigma).log_prob(x).sum(-1))


def test_one_sigma_a_run():
    x, mean, sigma = torch.zeros(3, 2), torch.ones(4, 3, 2), torch.tensor([0.1, 0.2, 1.0, 2.0])
    value = gaussian_log_likelihood(x, mean, sigma[:, None])
    assert value.shape == (4, 3)
    for r in range(4):
        torch.testing.assert_close(value[r], gaussian_log_likelihood(x, mean[r], sigma[r].item()))


def test_gradient_reaches_mean_and_sigma():
    x, mean = torch.zeros(3, 2), torch.ones(3, 2, requires_grad=True)
    sigma = torch.tensor(0.7, requires_grad=True)
    assert torch.autograd.gradcheck(lambda m, s: gaussian_log_likelihood(x, m, s), (mean, sigma))


@pytest.mark.parametrize("sigma", [True, "1", None, [1.0]], ids=str)
def test_a_sigma_that_is_no_number_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be a number, found"):
        gaussian_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), sigma)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be positive and finite"):
        gaussian_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), sigma)


def test_as_many_axes_as_the_data_make_a_sigma_an_axis():
    generator = torch.Generator().manual_seed(0)
    x, mean, sigma = (
        torch.randn(5, 1, 3, generator=generator),
        torch.randn(4, 5, 6, 3, generator=generator),
        torch.tensor([0.3, 1.0, 2.0]),
    )
    by_axis = Normal(mean, sigma).log_prob(x).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, sigma[None, None, None]), by_axis)
    # A sigma of each of R runs and D axes, against means (R, N, K, D).
    runs = torch.rand(4, 3, generator=generator) + 0.5
    by_torch = Normal(mean, runs[:, None, None]).log_prob(x).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, runs[:, None, None]), by_torch)
    # With an end of 1 it belongs to the point, as with one axis fewer.
    points = torch.rand(5, 1, generator=generator) + 0.5
    torch.testing.assert_close(
        gaussian_log_likelihood(x, mean, points), gaussian_log_likelihood(x, mean, points[None, :, :, None])
    )


def test_the_two_readings_of_a_sigma_are_told_apart_by_its_axes():
    x, mean = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    exact = torch.tensor([-0.9189385332, -2.1120857137])  # N(0; 0, 1) and N(1; 3, 2^2)
    for sigma in (torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 2.0])):
        torch.testing.assert_close(gaussian_log_likelihood(x, mean, sigma), exact)
    x, mean, sigma = torch.zeros(2, 2), torch.ones(2, 2), torch.tensor([0.5, 2.0])
    with pytest.raises(ValueError, match=r"sigma \(2,\) may belong to the 2 data axes or to the leading axes \(2,\)"):
        gaussian_log_likelihood(x, mean, sigma)
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, sigma[:, None]), Normal(mean, sigma[:, None]).log_prob(x).sum(-1))
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, sigma[None]), Normal(mean, sigma).log_prob(x).sum(-1))
    for shape in ((3,), (3, 1), (1, 3), (0,), (2, 0), (2, 2, 2), (1, 1, 1)):
        with pytest.raises(ValueError, match=r"sigma \(.*\) fits neither the leading axes \(2,\) of x and mean nor, .* \(2, 2\)"):
            gaussian_log_likelihood(x, mean, torch.ones(shape))
    # Several sigmas of the same points: the means show the axis.
    grid = torch.tensor([0.5, 1.0, 2.0])[:, None]
    torch.testing.assert_close(gaussian_log_likelihood(x, mean[None], grid), Normal(mean, grid[..., None]).log_prob(x).sum(-1))


def test_rows_against_rows_are_paired_only_with_equal_axes():
    x, mean = torch.zeros(4, 2), torch.arange(8.0).reshape(4, 2)
    for function, data, of_mean in ((gaussian_log_likelihood, x, (mean, 1.0)), (bernoulli_log_likelihood, x, (mean,))):
        with pytest.raises(ValueError, match=r"x \(4, 1, 2\) and \w+ \(4, 2\) would give \(4, 4\) values"):
            function(data[:, None], *of_mean)
        every_pair = function(data[:, None], of_mean[0][None], *of_mean[1:])
        assert every_pair.shape == (4, 4)
        torch.testing.assert_close(function(data[:3, None], *of_mean), every_pair[:3])


def test_integers_do_not_truncate_sigma():
    x, mean = torch.tensor([[1, 2, 3]]), torch.tensor([[0.0, 2.5, 3.0]])
    exact = Normal(mean, 1.7).log_prob(x.double()).sum(-1)
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, 1.7), exact)
    torch.testing.assert_close(gaussian_log_likelihood(mean, x, 1.7), exact)
    torch.testing.assert_close(gaussian_log_likelihood(x, mean, torch.tensor(2)), Normal(mean, 2.0).log_prob(x.double()).sum(-1))
    with pytest.raises(ValueError, match=r"x is torch\.int64, mean is torch\.int64; expected a floating type"):
        gaussian_log_likelihood(x, x, 1.7)


def test_a_half_mean_does_not_make_sigma_a_half():
    """As under autocast: 784 pixels at sigma 0.1, the means as good as the data."""
    x, mean = torch.ones(784, dtype=torch.float32), torch.ones(784, dtype=torch.bfloat16)
    assert gaussian_log_likelihood(x, mean, 0.1).item() == pytest.approx(1084.78, abs=0.005)
    both = gaussian_log_likelihood(mean, mean, 0.1)
    assert both.dtype == torch.float32
    assert both.item() == pytest.approx(1084.78, abs=0.005)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoded = torch.nn.functional.linear(torch.ones(1, dtype=torch.float32), torch.ones(784, 1, dtype=torch.float32))
        assert decoded.dtype == torch.bfloat16
        assert gaussian_log_likelihood(x, decoded, torch.tensor(0.1)).item() == pytest.approx(1084.78, abs=0.005)


@pytest.mark.parametrize("sigma", [1e-25, 1e-38, 1e25, 1e38])
def test_the_square_of_sigma_may_leave_the_range_of_float32(sigma):
    x = torch.tensor([0.0, 3.0], dtype=torch.float32)
    value = gaussian_log_likelihood(x * sigma, torch.zeros_like(x), sigma)
    assert value.item() == pytest.approx(-4.5 - 2 * math.log(sigma) - math.log(2 * math.pi), rel=1e-6)


def test_sigma_takes_the_type_of_the_data():
    x = torch.zeros(3, 1, dtype=torch.float32)
    for sigma in (torch.tensor(0.1), torch.tensor([0.1]), torch.tensor([[0.1]])):
        value = gaussian_log_likelihood(x, x, sigma)
        assert value.dtype == torch.float32
        assert torch.equal(value, gaussian_log_likelihood(x, x, 0.1))


def test_a_sigma_too_small_for_the_type_of_the_data_is_refused():
    with pytest.raises(ValueError, match=r"sigma must be positive and finite, found 0 to 0 in torch\.float32"):
        gaussian_log_likelihood(torch.zeros(1, dtype=torch.float32), torch.zeros(1, dtype=torch.float32), 1e-60)


def test_data_that_are_not_finite_are_refused():
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="x holds 1 values that are NaN or infinite"):
            gaussian_log_likelihood(torch.tensor([0.0, bad]), torch.zeros(2), 1.0)


def test_unequal_data_axes_are_refused():
    with pytest.raises(ValueError, match=r"x \(3, 1\) and mean \(3, 2\)"):
        gaussian_log_likelihood(torch.zeros(3, 1), torch.zeros(3, 2), 1.0)


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 5)], ids=str)
def test_bernoulli_is_that_of_torch(shape):
    generator = torch.Generator().manual_seed(0)
    logits, grey = 5 * torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
    binary = (grey > 0.5).double()
    value = bernoulli_log_likelihood(binary, logits)
    assert value.shape == shape[:-1]
    torch.testing.assert_close(value, Bernoulli(logits=logits).log_prob(binary).sum(-1))
    cross_entropy = binary_cross_entropy_with_logits(logits, grey, reduction="none").sum(-1)
    torch.testing.assert_close(bernoulli_log_likelihood(grey, logits), -cross_entropy)


def test_bernoulli_needs_no_clamp():
    value = bernoulli_log_likelihood(torch.tensor([[1.0], [0.0], [0.0]]), torch.tensor([[-800.0], [800.0], [25.0]]))
    exact = [-800.0, -800.0, float(-mpmath.log1p(mpmath.exp(25)))]
    torch.testing.assert_close(value, torch.tensor(exact), rtol=1e-15, atol=0)


def exact_moments(logit):
    """Log of the integral of exp(logit x) over [0, 1], and the mean, by quadrature of 50 digits."""
    with mpmath.workdps(50):
        logit = mpmath.mpf(logit)
        shift = max(logit, 0)  # keeps the integrand below 1
        edges = [0, *sorted({min(1, 30 / (1 + abs(logit))), max(0, 1 - 30 / (1 + abs(logit)))}), 1]
        mass, first = (mpmath.quad(lambda x: x**k * mpmath.exp(logit * x - shift), edges) for k in (0, 1))
        return shift + mpmath.log(mass), first / mass, mpmath.log1p(mpmath.exp(-abs(logit))) + shift


def test_continuous_bernoulli_against_quadrature():
    for logit in LOGITS.tolist():
        log_mass, mean, softplus = exact_moments(logit)
        eta = torch.tensor(logit, dtype=torch.float64)
        assert continuous_bernoulli_log_normalizer(eta).item() == pytest.approx(float(softplus - log_mass), rel=4e-15)
        assert abs(continuous_bernoulli_mean(eta).item() - float(mean)) < 2e-15
        for x in (0.0, 0.3, 1.0):
            value = continuous_bernoulli_log_likelihood(torch.tensor([x]), eta[None]).item()
            assert value == pytest.approx(float(x * mpmath.mpf(logit) - log_mass), rel=4e-15, abs=4e-15)


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 5)], ids=str)
def test_continuous_bernoulli_is_that_of_torch_and_a_density(shape):
    generator = torch.Generator().manual_seed(0)
    logits, x = 3 * torch.randn(shape, generator=generator), torch.rand(shape, generator=generator)
    value = continuous_bernoulli_log_likelihood(x, logits)
    assert value.shape == shape[:-1]
    # torch's own expansion near 1/2 is good to five digits or so; away from it, to all.
    torch.testing.assert_close(value, ContinuousBernoulli(logits=logits).log_prob(x).sum(-1), rtol=1e-5, atol=1e-5)
    logit = logits.flatten()[:1]
    mass, _ = integrate.quad(lambda x: continuous_bernoulli_log_likelihood(torch.tensor([x]), logit).exp().item(), 0, 1)
    assert abs(mass - 1) < 1e-10


def test_the_log_partition_function_keeps_its_digits_near_equal_odds():
    """At x = 1/2 the log density is -log(sinh(h) / h) with h = logits / 2, of order h^2."""
    logits = torch.cat([torch.linspace(0.01, 0.1999, 40), torch.linspace(-0.1999, -0.01, 40)])
    with mpmath.workdps(50):
        exact = [float(-mpmath.log(mpmath.sinh(h) / h)) for h in (mpmath.mpf(value) / 2 for value in logits.tolist())]
    value = continuous_bernoulli_log_likelihood(torch.full((80, 1), 0.5), logits[:, None])
    torch.testing.assert_close(value, torch.tensor(exact), rtol=4e-15, atol=0)


def test_halves_give_nats_in_float32_and_means_as_they_came():
    logits, x = torch.tensor([[0.1, -30.0, 300.0]]).half(), torch.tensor([[0.3, 0.0, 1.0]]).half()
    for function in (bernoulli_log_likelihood, continuous_bernoulli_log_likelihood):
        value = function(x, logits)
        assert value.dtype == torch.float32
        torch.testing.assert_close(value.double(), function(x.double(), logits.double()), rtol=1e-6, atol=0)
    assert continuous_bernoulli_log_normalizer(logits).dtype == torch.float32
    assert torch.equal(continuous_bernoulli_mean(logits), continuous_bernoulli_mean(logits.double()).half())


def test_gradients_of_the_likelihoods_on_unit_data():
    logits = LOGITS[LOGITS.abs() < 30].clone().requires_grad_()
    x = torch.full_like(logits, 0.3).detach()
    assert torch.autograd.gradcheck(lambda eta: bernoulli_log_likelihood(x, eta), logits)
    assert torch.autograd.gradcheck(lambda eta: continuous_bernoulli_log_likelihood(x, eta), logits)
    assert torch.autograd.gradcheck(continuous_bernoulli_mean, logits)
    # The mean is the derivative of the log partition function, at overflowing logits and at 0 too.
    logits = LOGITS.clone().requires_grad_()
    (slope,) = torch.autograd.grad(continuous_bernoulli_log_likelihood(torch.zeros_like(logits), logits), logits)
    torch.testing.assert_close(-slope, continuous_bernoulli_mean(logits).detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sure_pixels_keep_their_digits_and_gradients(dtype):
    """Far out, the two halves of each formula are large and nearly equal; exact values to leading order in exp(-|logits|)."""
    logits = torch.tensor([[40.0], [-40.0]], dtype=dtype, requires_grad=True)
    value = bernoulli_log_likelihood(torch.tensor([[1], [0]]), logits)
    torch.testing.assert_close(value, -logits.abs().neg().exp()[:, 0], rtol=1e-6, atol=0)
    (slope,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(slope, logits.sign() * logits.abs().neg().exp(), rtol=1e-6, atol=0)
    for size in (1e4, 1e9, 1e30):
        logits = torch.tensor([[size], [-size]], dtype=dtype, requires_grad=True)
        x = torch.tensor([[1.0], [0.0]], dtype=dtype)
        density = continuous_bernoulli_log_likelihood(x, logits)
        torch.testing.assert_close(density, torch.full((2,), math.log(size), dtype=dtype), rtol=1e-6, atol=0)
        (slope,) = torch.autograd.grad(density.sum(), logits)
        torch.testing.assert_close(slope, 1 / logits, rtol=1e-6, atol=0)
        mean = continuous_bernoulli_mean(logits[1])
        torch.testing.assert_close(mean, -1 / logits[1], rtol=1e-6, atol=0)
        assert not torch.autograd.grad(mean, logits)[0].isnan().any()
        torch.testing.assert_close(continuous_bernoulli_log_normalizer(logits)[:, 0], density, rtol=1e-6, atol=0)


@pytest.mark.parametrize("likelihood", [bernoulli_log_likelihood, continuous_bernoulli_log_likelihood])
def test_data_outside_the_unit_interval_is_refused(likelihood):
    for value in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], found"):
            likelihood(torch.tensor([0.5, value]), torch.zeros(2))
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], found 0 to 255"):
        likelihood(torch.tensor([0, 255]), torch.zeros(2))
    with pytest.raises(ValueError, match=r"x \(3,\) and logits \(2,\)"):
        likelihood(torch.zeros(3), torch.zeros(2))
    assert likelihood(torch.zeros(0, 2), torch.zeros(0, 2)).shape == (0,)
    assert torch.equal(
        likelihood(torch.tensor([True, False]), torch.ones(2)), likelihood(torch.tensor([1.0, 0.0]), torch.ones(2))
    )


D, LATENT, BATCH = 6, 3, 8
MSE = {
    "sum": lambda x, mean: mse_loss(mean, x, reduction="sum"),
    "mean": lambda x, mean: mse_loss(mean, x),
    "batchmean": lambda x, mean: (x - mean).square().sum(-1).mean(),
}
KL = {
    "sum": lambda mu, log_var: kl_to_standard_normal(mu, log_var).sum(),
    "mean": lambda mu, log_var: kl_to_standard_normal_per_dim(mu, log_var).mean(),
    "batchmean": lambda mu, log_var: kl_to_standard_normal(mu, log_var).mean(),
}


@pytest.mark.parametrize("reconstruction", MSE)
@pytest.mark.parametrize("kl", KL)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 4.0)], ids=str)
def test_a_written_loss_has_the_gradient_of_the_elbo_at_its_sigma(reconstruction, kl, weights):
    generator = torch.Generator().manual_seed(0)
    x, eps = torch.randn(BATCH, D, generator=generator), torch.randn(BATCH, 1, LATENT, generator=generator)
    sigma, beta = implied_sigma(
        reconstruction=reconstruction,
        kl=kl,
        data_dim=D,
        latent_dim=LATENT,
        batch_size=BATCH,
        error_weight=weights[0],
        kl_weight=weights[1],
    )
    vae = VAE(data_dim=D, latent_dim=LATENT, hidden=(5,), sigma=sigma)
    mu, log_var = vae.encode(x)
    mean = vae.decode(mu + (0.5 * log_var).exp() * eps[:, 0])
    written = weights[0] * MSE[reconstruction](x, mean[0]) + weights[1] * KL[kl](mu[0], log_var[0])
    loss = -elbo_terms(vae, x, eps).elbo.mean()
    gradients = [torch.cat([g.flatten() for g in torch.autograd.grad(f, list(vae.parameters()))]) for f in (written, loss)]
    factor = (gradients[0] @ gradients[1]) / gradients[1].square().sum()
    assert factor > 0
    torch.testing.assert_close(gradients[0], factor * gradients[1])
    assert beta == pytest.approx(sigma**2)


# A loss as it is written, of the cross-entropies (B, 784) and of q; what implied_sigma is told of it; the beta that it is.
CROSS_ENTROPIES = {
    "KL / (B 784)": (
        lambda bce, mu, log_var: bce.mean() + KL["sum"](mu, log_var) / (len(bce) * 784),
        {"reconstruction": "mean", "kl": "batchmean", "kl_weight": 1 / 784, "latent_dim": 20},
        1.0,
    ),
    "KL / (B 20)": (
        lambda bce, mu, log_var: bce.mean() + KL["sum"](mu, log_var) / (len(bce) * 20),
        {"reconstruction": "mean", "kl": "mean", "latent_dim": 20},
        39.2,
    ),
    "a mean bracket without its 1/2": (
        lambda bce, mu, log_var: bce.mean() - 5e-4 * torch.mean(1 + log_var - mu**2 - log_var.exp()),
        {"reconstruction": "mean", "kl": "mean", "kl_weight": 2 * 5e-4, "latent_dim": 2},
        0.392,
    ),
    "the ELBO": (
        lambda bce, mu, log_var: bce.sum(-1).mean() + KL["batchmean"](mu, log_var),
        {"reconstruction": "batchmean", "kl": "batchmean", "latent_dim": 20},
        1.0,
    ),
    "weights on both": (
        lambda bce, mu, log_var: 10 * bce.mean() + 3 * KL["sum"](mu, log_var),
        {"reconstruction": "mean", "kl": "sum", "error_weight": 10, "kl_weight": 3, "latent_dim": 2},
        0.3 * 4 * 784,
    ),
}


@pytest.mark.parametrize(("written", "told", "beta"), CROSS_ENTROPIES.values(), ids=CROSS_ENTROPIES)
def test_a_cross_entropy_has_a_beta_and_no_sigma(written, told, beta):
    implied = implied_sigma(**told, data_dim=784, batch_size=4, loss="cross_entropy")
    assert implied.sigma is None
    assert implied.beta == pytest.approx(beta, rel=1e-12)
    # But for one factor, the loss has the gradient of minus the log likelihood plus beta times the KL.
    generator, latent = torch.Generator().manual_seed(0), told["latent_dim"]
    mu, log_var, eps = torch.randn(3, 4, latent, generator=generator)
    weight, x = torch.randn(latent, 784, generator=generator), torch.rand(4, 784, generator=generator)
    leaves = [value.requires_grad_() for value in (mu, log_var, weight)]
    logits = (mu + (0.5 * log_var).exp() * eps) @ weight
    bce = binary_cross_entropy_with_logits(logits, x, reduction="none")
    minus_elbo = (-bernoulli_log_likelihood(x, logits) + implied.beta * kl_to_standard_normal(mu, log_var)).sum()
    of_loss = torch.autograd.grad(written(bce, mu, log_var), leaves, retain_graph=True)
    of_elbo = torch.autograd.grad(minus_elbo, leaves)
    factor = (of_loss[2] / of_elbo[2]).median()
    assert factor > 0
    for found, expected in zip(of_loss, of_elbo, strict=True):
        torch.testing.assert_close(found, factor * expected)


def test_a_cross_entropy_acts_like_a_squared_error_of_variance_a_quarter_or_less():
    """Its excess over the best mean: at least 2 (x - m)^2, and (x - m)^2 / (2 m (1 - m)) close to m."""
    x, mean = torch.rand(2, 1000, generator=torch.Generator().manual_seed(0))
    excess = bernoulli_log_likelihood(x[:, None], x.logit()[:, None]) - bernoulli_log_likelihood(
        x[:, None], mean.logit()[:, None]
    )
    assert (excess >= 2 * (x - mean).square()).all()
    close = mean + 1e-4 * mean * (1 - mean)
    excess = bernoulli_log_likelihood(close[:, None], close.logit()[:, None]) - bernoulli_log_likelihood(
        close[:, None], mean.logit()[:, None]
    )
    torch.testing.assert_close(excess, (close - mean).square() / (2 * mean * (1 - mean)), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("kl_weight", "sigma"), [(0.00025, 1.24), (64 / 162770, 1.55)])
def test_the_sigma_of_a_popular_loss_on_faces(kl_weight, sigma):
    """Mean squared error plus a small weight on the KL, summed over axes and averaged over points; D = 12,288."""
    faces = {"reconstruction": "mean", "kl": "batchmean", "data_dim": 12_288, "latent_dim": 128, "batch_size": 64}
    assert implied_sigma(**faces, kl_weight=kl_weight).sigma == pytest.approx(sigma, abs=0.005)


def test_bad_reductions_are_refused():
    good = {"reconstruction": "mean", "kl": "batchmean", "data_dim": 2, "latent_dim": 1, "batch_size": 4}
    for bad, message in (
        ({"kl": "average"}, 'kl must be "sum", "mean" or "batchmean", found \'average\''),
        ({"reconstruction": "none"}, "reconstruction must be"),
        ({"data_dim": 0}, "data_dim must be at least 1, found 0"),
        ({"data_dim": 2.5}, "data_dim must be a whole number, found 2.5"),
        ({"batch_size": True}, "batch_size must be a whole number, found True"),
        ({"kl_weight": 0.0}, "kl_weight must be positive and finite"),
        ({"kl_weight": math.inf}, "kl_weight must be positive and finite"),
        ({"error_weight": "1"}, "error_weight must be a number, found str"),
        ({"loss": "bce"}, 'loss must be "squared_error" or "cross_entropy", found \'bce\''),
    ):
        with pytest.raises(ValueError, match=message):
            implied_sigma(**{**good, **bad})
