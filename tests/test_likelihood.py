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
LOGITS = [0.0, 1e-300, 1e-9, 1e-4, 0.0123, 0.1999999, 0.2000001, 0.7, 2.2, 9.0, 30.0, 400.0, 1000.0]
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


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf")])
def test_a_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma must be positive and finite"):
        gaussian_log_likelihood(torch.zeros(3, 2), torch.zeros(3, 2), sigma)


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
        assert abs(continuous_bernoulli_log_normalizer(eta).item() - float(softplus - log_mass)) < 1e-10
        assert abs(continuous_bernoulli_mean(eta).item() - float(mean)) < 1e-10
        for x in (0.0, 0.3, 1.0):
            value = continuous_bernoulli_log_likelihood(torch.tensor([x]), eta[None]).item()
            assert abs(value - float(x * mpmath.mpf(logit) - log_mass)) < 1e-10


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


@pytest.mark.parametrize("likelihood", [bernoulli_log_likelihood, continuous_bernoulli_log_likelihood])
def test_data_outside_the_unit_interval_is_refused(likelihood):
    for value in (-0.01, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], found"):
            likelihood(torch.tensor([0.5, value]), torch.zeros(2))
    with pytest.raises(ValueError, match=r"x \(3,\) and logits \(2,\)"):
        likelihood(torch.zeros(3), torch.zeros(2))


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


def test_bad_reductions_are_refused():
    good = {"reconstruction": "mean", "kl": "batchmean", "data_dim": 2, "latent_dim": 1, "batch_size": 4}
    for bad, message in (
        ({"kl": "average"}, "kl must be \"sum\", \"mean\" or \"batchmean\", found 'average'"),
        ({"reconstruction": "none"}, "reconstruction must be"),
        ({"data_dim": 0}, "data_dim must be at least 1, found 0"),
        ({"kl_weight": 0.0}, "kl_weight must be positive and finite"),
    ):
        with pytest.raises(ValueError, match=message):
            implied_sigma(**{**good, **bad})
