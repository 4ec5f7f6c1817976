import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vaelib import ppca, quadrature
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.train import fit

D, LATENT = 5, 2


def data(n=400):
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(D, D, generator=generator) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.4])
    return torch.randn(n, D, generator=generator) @ mixing.T + torch.arange(float(D))


def test_evidence_is_that_of_torch():
    x, fitted = data(), ppca.maximum_likelihood(data(), latent_dim=LATENT)
    covariance = fitted.weight @ fitted.weight.T + fitted.sigma**2 * torch.eye(D)
    exact = MultivariateNormal(fitted.mean, covariance).log_prob(x)
    torch.testing.assert_close(ppca.log_evidence(x, fitted.mean, fitted.weight, fitted.sigma), exact)


@pytest.mark.parametrize("sigma", [None, 0.8, 1.7])
def test_the_optimum_is_a_maximum(sigma):
    """The gradient of torch's own log density vanishes there, and random steps only lose."""
    x, fitted = data(), ppca.maximum_likelihood(data(), latent_dim=LATENT, sigma=sigma)
    mean, weight, log_sigma = fitted.mean.clone(), fitted.weight.clone(), fitted.sigma.log()
    parameters = [value.requires_grad_() for value in ((mean, weight, log_sigma) if sigma is None else (mean, weight))]

    def evidence(mean, weight, log_sigma):
        covariance = weight @ weight.T + (2 * log_sigma).exp() * torch.eye(D)
        return MultivariateNormal(mean, covariance).log_prob(x).mean()

    best = evidence(mean, weight, log_sigma)
    for gradient in torch.autograd.grad(best, parameters):
        assert gradient.abs().max() < 1e-10
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        steps = [0.1 * torch.randn(p.shape, generator=generator) for p in (mean, weight, log_sigma)]
        steps[2] = steps[2] if sigma is None else torch.zeros(())
        assert evidence(mean + steps[0], weight + steps[1], log_sigma + steps[2]) < best


def test_sigma_takes_what_the_latent_does_not_carry():
    fitted = ppca.maximum_likelihood(data(), latent_dim=LATENT)
    torch.testing.assert_close(fitted.sigma.square(), fitted.eigenvalues[LATENT:].mean())
    covariance = fitted.axes @ fitted.eigenvalues.diag() @ fitted.axes.T
    torch.testing.assert_close(covariance, torch.cov(data().T, correction=0))


@pytest.mark.parametrize("flipped", [1, -1])
def test_the_sign_of_an_axis_is_not_the_processors(monkeypatch, flipped):
    """Whatever sign the library's eigenvectors have: on a GPU and on a CPU it differs."""
    expected, eigh = ppca.maximum_likelihood(data(), latent_dim=LATENT), torch.linalg.eigh
    signs = flipped * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    monkeypatch.setattr(torch.linalg, "eigh", lambda a: (eigh(a)[0], eigh(a)[1] * signs))
    found = ppca.maximum_likelihood(data(), latent_dim=LATENT)
    assert torch.equal(found.axes, expected.axes) and torch.equal(found.weight, expected.weight)
    assert (found.axes.gather(0, found.axes.abs().argmax(0, keepdim=True)) > 0).all()


def test_an_offset_of_the_data_takes_no_digits():
    near, far = (ppca.maximum_likelihood(data() + offset, latent_dim=LATENT) for offset in (0, 1e6))
    torch.testing.assert_close(far.eigenvalues, near.eigenvalues, rtol=1e-8, atol=0)
    torch.testing.assert_close(far.sigma, near.sigma, rtol=1e-8, atol=0)


def test_posterior_is_bayes_rule():
    x, fitted = data(7), ppca.maximum_likelihood(data(), latent_dim=LATENT)
    mean, covariance = ppca.posterior(x, fitted.mean, fitted.weight, fitted.sigma)
    z = torch.randn(7, LATENT, generator=torch.Generator().manual_seed(1))
    log_joint = Normal(0.0, 1.0).log_prob(z).sum(-1) + Normal(z @ fitted.weight.T + fitted.mean, fitted.sigma).log_prob(x).sum(-1)
    evidence = ppca.log_evidence(x, fitted.mean, fitted.weight, fitted.sigma)
    torch.testing.assert_close(MultivariateNormal(mean, covariance).log_prob(z), log_joint - evidence)


def test_elbo_is_that_of_quadrature():
    """One latent axis and any q: the expectation under q of log p(x, z) - log q(z), on a grid."""
    x = data(6)
    generator = torch.Generator().manual_seed(2)
    weight, mu = torch.randn(D, 1, generator=generator), torch.randn(6, 1, generator=generator)
    log_var = torch.randn(6, 1, generator=generator)
    grid = quadrature.normal_grid(8001, limit=32.0)  # wide enough for the widest q here, not only for the prior
    log_q = Normal(mu, (0.5 * log_var).exp()).log_prob(grid.z.T)
    mean = x.mean(0)
    log_likelihood = Normal(grid.z @ weight.T + mean, 0.7).log_prob(x[:, None]).sum(-1)
    exact = quadrature.expectation(log_likelihood + grid.log_prior - log_q, log_q, grid)
    torch.testing.assert_close(ppca.elbo(x, mu, log_var, mean, weight, 0.7), exact)


def test_elbo_is_tight_at_the_optimum_and_the_library_agrees():
    x, fitted = data(), ppca.maximum_likelihood(data(), latent_dim=LATENT)
    mu, covariance = ppca.posterior(x, fitted.mean, fitted.weight, fitted.sigma)
    log_var = covariance.diagonal().log().expand_as(mu)
    value = ppca.elbo(x, mu, log_var, fitted.mean, fitted.weight, fitted.sigma)
    torch.testing.assert_close(value, ppca.log_evidence(x, fitted.mean, fitted.weight, fitted.sigma))
    vae = VAE(data_dim=D, latent_dim=LATENT, hidden=(), sigma=fitted.sigma.item())
    mu, log_var = (value[0].detach() for value in vae.encode(x))
    decoder = vae.decoder.net.layers[0]
    value = ppca.elbo(x, mu, log_var, decoder.bias[0], decoder.weight[0], fitted.sigma)
    n = 20_000
    draws = elbo_terms(
        vae, x[:3].repeat_interleave(n, 0), torch.randn(3 * n, 1, LATENT, generator=torch.Generator().manual_seed(3))
    )
    draws = draws.elbo.reshape(3, n)
    assert ((draws.mean(-1) - value[:3]) / (draws.std(-1) / n**0.5)).abs().max() < 4


@pytest.mark.parametrize("sigma", [0.3, 0.9, 1.6, 9.0])
def test_kl_per_axis_is_the_mean_kl_of_the_posteriors(sigma):
    x, fitted = data(), ppca.maximum_likelihood(data(), latent_dim=D, sigma=sigma)
    mu, covariance = ppca.posterior(x, fitted.mean, fitted.weight, fitted.sigma)
    kl = kl_divergence(Normal(mu, covariance.diagonal().sqrt()), Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(ppca.kl_per_axis(fitted.eigenvalues, sigma), kl)


def test_a_trained_linear_vae_climbs_to_the_optimum():
    """One-draw gradients leave a little noise; at least 99 % of the way is asked for, and never more than all of it."""
    x = data()
    fitted = ppca.maximum_likelihood(x, latent_dim=LATENT)
    best = ppca.log_evidence(x, fitted.mean, fitted.weight, fitted.sigma).mean().item()
    vae = VAE(data_dim=D, latent_dim=LATENT, hidden=(), sigma=1.0, learn_sigma=True)

    def evidence():
        layer = vae.decoder.net.layers[0]
        return ppca.log_evidence(x, layer.bias[0], layer.weight[0], vae.sigma[0]).mean().item()

    start = evidence()
    fit(vae, x, steps=1500, lr=0.05, generator=torch.Generator().manual_seed(0))
    assert best - 0.01 * (best - start) < evidence() < best + 1e-9


def test_bad_input_is_refused():
    x = data()
    for latent_dim in (0, True):
        with pytest.raises(ValueError, match="latent_dim must be"):
            ppca.maximum_likelihood(x, latent_dim=latent_dim)
    for latent_dim, sigma, largest in ((5, None, 4), (6, 1.0, 5)):
        with pytest.raises(ValueError, match=f"latent_dim must be between 1 and {largest}, found {latent_dim}"):
            ppca.maximum_likelihood(x, latent_dim=latent_dim, sigma=sigma)
    with pytest.raises(ValueError, match=r"x has shape \(5,\)"):
        ppca.maximum_likelihood(x[0], latent_dim=1)
    with pytest.raises(ValueError, match="x holds 1 values that are NaN"):
        ppca.maximum_likelihood(x.index_fill(0, torch.tensor(0), 1.0).masked_fill(x == x[1, 1], math.nan), latent_dim=1)
    weight, mean = torch.zeros(D, 1), torch.zeros(D)
    for refuse in (
        lambda: ppca.maximum_likelihood(x, latent_dim=1, sigma=-1.0),
        lambda: ppca.log_evidence(x, mean, weight, 0.0),
        lambda: ppca.posterior(x, mean, weight, 0.0),
        lambda: ppca.elbo(x, x[:, :1], x[:, :1], mean, weight, 0.0),
        lambda: ppca.kl_per_axis(mean, 0.0),
    ):
        with pytest.raises(ValueError, match="sigma must be positive"):
            refuse()


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"weight": torch.zeros(2, D)}, r"weight has shape \(2, 5\); expected \(D, d\) = \(5, d\)"),
        ({"weight": torch.zeros(D)}, r"weight has shape \(5,\)"),
        ({"mean": torch.zeros(1, D)}, r"mean has shape \(1, 5\); expected \(D,\) = \(5,\)"),
        ({"mean": torch.zeros(())}, r"mean has shape \(\)"),
        ({"x": torch.zeros(D)}, r"x has shape \(5,\); expected \(N, D\)"),
        ({"x": torch.zeros(2, 3, D)}, r"x has shape \(2, 3, 5\)"),
        ({"x": [[0.0] * D]}, "x must be a torch.Tensor, found list"),
        ({"sigma": torch.ones(3)}, r"sigma has shape \(3,\); expected one number"),
        ({"mean": torch.full((D,), math.nan)}, "mean holds 5 values that are NaN"),
        ({"weight": torch.full((D, 2), math.inf)}, "weight holds 10 values that are NaN"),
        ({"x": torch.full((3, D), math.nan)}, "x holds 15 values that are NaN"),
    ],
    ids=lambda value: "",
)
def test_shapes_that_broadcasting_would_take_are_refused(changed, found):
    model = {"x": torch.zeros(3, D), "mean": torch.zeros(D), "weight": torch.zeros(D, 2), "sigma": 1.0} | changed
    for refuse in (
        lambda: ppca.log_evidence(**model),
        lambda: ppca.posterior(**model),
        lambda: ppca.elbo(mu=torch.zeros(3, 2), log_var=torch.zeros(3, 2), **model),
    ):
        with pytest.raises(ValueError, match=found):
            refuse()


def test_a_q_of_another_shape_or_without_values_is_refused():
    model = {"x": torch.zeros(3, D), "mean": torch.zeros(D), "weight": torch.zeros(D, 2), "sigma": 1.0}
    good = torch.zeros(3, 2)
    with pytest.raises(ValueError, match=r"mu has shape \(2,\); expected \(N, d\) = \(3, 2\)"):
        ppca.elbo(mu=good[0], log_var=good, **model)
    with pytest.raises(ValueError, match=r"log_var has shape \(3, 1\); expected"):
        ppca.elbo(mu=good, log_var=good[:, :1], **model)
    with pytest.raises(ValueError, match="log_var holds 6 values"):
        ppca.elbo(mu=good, log_var=good + math.inf, **model)
    with pytest.raises(ValueError, match=r"eigenvalues has shape \(\)"):
        ppca.kl_per_axis(torch.ones(()), 1.0)


def test_dtype_follows_the_data_and_integers_are_refused():
    x, wide = data().float(), ppca.maximum_likelihood(data(), latent_dim=LATENT)
    fitted = ppca.maximum_likelihood(x, latent_dim=LATENT)
    model = fitted.mean, fitted.weight, fitted.sigma
    mu, covariance = ppca.posterior(x, *model)
    results = [*fitted, mu, covariance, ppca.log_evidence(x, *model), ppca.elbo(x, mu, torch.zeros_like(mu), *model)]
    assert {result.dtype for result in results} == {torch.float32}
    torch.testing.assert_close(fitted.sigma.double(), wide.sigma, rtol=1e-5, atol=0)
    # Where the types differ, the wider one computes; a half is too short for a sum of nats.
    assert ppca.log_evidence(x, wide.mean, wide.weight, wide.sigma).dtype == torch.float64
    assert ppca.maximum_likelihood(x.half(), latent_dim=1).sigma.dtype == torch.float32
    with pytest.raises(ValueError, match=r"x is torch.int64; expected a floating type"):
        ppca.maximum_likelihood(x.long(), latent_dim=1)


def test_data_that_leave_no_noise_are_refused_by_name():
    with pytest.raises(ValueError, match="x varies along 1 axes or fewer, so that sigma would be 0"):
        ppca.maximum_likelihood(torch.ones(1, 3), latent_dim=1)
    assert ppca.maximum_likelihood(torch.ones(1, 3), latent_dim=1, sigma=0.5).sigma == 0.5


def test_parameters_of_a_wider_type_than_the_data_take_them_along():
    x, mean, weight = torch.ones(4, 3, dtype=torch.float32), torch.zeros(3), torch.ones(3, 2)
    q = torch.zeros(4, 2)
    expected = ppca.elbo(x.double(), q, q, mean, weight, 0.5)
    assert torch.equal(ppca.elbo(x, q, q, mean, weight, 0.5), expected)
    assert torch.equal(ppca.elbo(x, q, q, mean.float(), weight.float(), 0.5), expected)
