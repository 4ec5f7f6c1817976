import pytest
import torch
from torch.distributions import Normal, kl_divergence

from vaelib import quadrature
from vaelib.nets import VAE
from vaelib.objective import comb_log_evidence, elbo_terms, importance_weighted_bound, log_likelihood


def setting(samples=1, points=6, latent_dim=1, runs=2):
    generator = torch.Generator().manual_seed(0)
    vae = VAE(latent_dim=latent_dim, hidden=(8,), sigma=[0.5, 1.0, 2.0][:runs], seeds=range(runs))
    x = torch.randn(points, 2, generator=generator)
    return vae, x, torch.randn(points, samples, latent_dim, generator=generator)


def exact_elbo(vae, x):
    """ELBO of each run and point by quadrature, and KL(q || posterior), from torch.distributions alone."""
    grid = quadrature.normal_grid()
    mu, log_var = vae.encode(x)
    q, z = Normal(mu, (0.5 * log_var).exp()), grid.z.T
    log_q = q.log_prob(z)
    mean = vae.decode(grid.z)
    log_likelihood = Normal(mean[:, None], vae.sigma[:, None, None, None]).log_prob(x[:, None, :]).sum(-1)
    elbo = quadrature.expectation(log_likelihood - log_q + Normal(0.0, 1.0).log_prob(z), log_q, grid)
    gap = quadrature.kl_on_grid(log_q, quadrature.log_posterior(x, vae.decode, vae.sigma, grid), grid)
    return elbo, gap, quadrature.log_evidence(x, vae.decode, vae.sigma, grid)


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_terms_written_out_with_torch_distributions(samples, latent_dim):
    vae, x, eps = setting(samples, latent_dim=latent_dim)
    terms = elbo_terms(vae, x, eps)
    mu, log_var = vae.encode(x)
    q = Normal(mu, (0.5 * log_var).exp())
    torch.testing.assert_close(terms.kl, kl_divergence(q, Normal(0.0, 1.0)).sum(-1))
    for r in range(2):
        draws = mu[r, :, None] + (0.5 * log_var[r, :, None]).exp() * eps
        log_p = [Normal(vae.decode(draws[:, k])[r], vae.sigma[r]).log_prob(x).sum(-1) for k in range(samples)]
        torch.testing.assert_close(terms.reconstruction[r], torch.stack(log_p).mean(0))
    torch.testing.assert_close(terms.elbo, terms.reconstruction - terms.kl)


def test_one_sigma_an_axis():
    _, x, eps = setting()
    sigma = torch.tensor([[0.5, 2.0], [0.3, 0.3]])
    vae = VAE(hidden=(8,), sigma=sigma, seeds=range(2))
    terms = elbo_terms(vae, x, eps)
    mu, log_var = vae.encode(x)
    mean = vae.decode(mu + (0.5 * log_var).exp() * eps[:, 0])
    torch.testing.assert_close(terms.reconstruction, Normal(mean, sigma[:, None]).log_prob(x).sum(-1))
    # Where both axes have the same sigma, it is the isotropic model.
    isotropic = VAE(hidden=(8,), sigma=0.3, seeds=[1])
    torch.testing.assert_close(terms.reconstruction[1], elbo_terms(isotropic, x, eps).reconstruction[0])


def test_elbo_plus_gap_is_the_evidence():
    vae, x, _ = setting()
    elbo, gap, evidence = exact_elbo(vae, x)
    torch.testing.assert_close(elbo + gap, evidence, rtol=1e-10, atol=1e-10)
    assert (gap > 0).all()


def test_estimates_are_unbiased():
    """n independent one-draw estimates against quadrature; L_1 is the ELBO."""
    n = 20_000
    vae, x, _ = setting(points=3)
    eps = torch.randn(3 * n, 1, 1, generator=torch.Generator().manual_seed(1))
    elbo, _, _ = exact_elbo(vae, x)
    copies = x.repeat_interleave(n, dim=0)
    for estimate in (elbo_terms(vae, copies, eps).elbo, importance_weighted_bound(vae, copies, eps)):
        draws = estimate.reshape(2, 3, n)
        assert (((draws.mean(-1) - elbo) / (draws.std(-1) / n**0.5)).abs() < 4).all()


def test_importance_weighted_bound_climbs_to_the_evidence():
    vae, x, _ = setting(points=3)
    eps = torch.randn(3, 20_000, 1, generator=torch.Generator().manual_seed(1))
    elbo, _, evidence = exact_elbo(vae, x)
    value = importance_weighted_bound(vae, x, eps)
    # The estimate's own spread, from disjoint blocks of a tenth of the draws.
    blocks = torch.stack([importance_weighted_bound(vae, x, block) for block in eps.split(2000, dim=1)])
    assert (((value - evidence) / (blocks.std(0) / 10**0.5)).abs() < 4).all()
    assert (value > elbo).all()


def test_noise_of_its_own_for_every_run():
    vae, x, eps = setting(samples=2)
    shared = elbo_terms(vae, x, eps)
    own = elbo_terms(vae, x, torch.stack([eps, eps.flip(0)]))
    torch.testing.assert_close(own.elbo[0], shared.elbo[0])
    assert (own.elbo[1] != shared.elbo[1]).any()


@pytest.mark.parametrize("shape", [(5, 1, 1), (6, 1, 2), (6, 0, 1), (6, 1), (3, 6, 1, 1), (2, 6, 0, 1)], ids=str)
def test_noise_of_another_shape_is_refused(shape):
    vae, x, _ = setting()
    with pytest.raises(ValueError, match="eps"):
        elbo_terms(vae, x, torch.zeros(shape))


def test_log_likelihood_is_that_of_each_point_at_its_own_latents():
    vae, x, _ = setting()
    z = torch.randn(2, 6, 3, 1, generator=torch.Generator().manual_seed(1))
    expected = torch.stack([Normal(vae.decode(z[:, :, k]), vae.sigma[:, None, None]).log_prob(x).sum(-1) for k in range(3)], -1)
    torch.testing.assert_close(log_likelihood(vae, x, z), expected)
    with pytest.raises(ValueError, match=r"z has shape \(6, 3, 1\); expected \(R, N, K, d\) = \(2, 6, K, 1\)"):
        log_likelihood(vae, x, z[0])


@pytest.mark.parametrize("sigma", [[0.5, 1.0], [[0.5, 2.0], [1.0, 0.7]]], ids=str)
def test_the_comb_is_unbiased_and_a_fine_one_is_the_evidence(sigma):
    _, x, _ = setting()
    vae, generator = VAE(hidden=(8,), sigma=sigma, seeds=range(2)), torch.Generator().manual_seed(2)
    exact = quadrature.log_evidence(x, vae.decode, vae.sigma, quadrature.normal_grid())
    fine = comb_log_evidence(vae, x, nodes=20_000, generator=generator)
    torch.testing.assert_close(fine, exact, rtol=0, atol=1e-4)
    # Two nodes: far from the truth each time, and right on average, in p(x).
    n = 600
    with torch.no_grad():
        ratios = torch.stack([(comb_log_evidence(vae, x, nodes=2, generator=generator) - exact).exp() for _ in range(n)])
    assert (((ratios.mean(0) - 1) / (ratios.std(0) / n**0.5)).abs() < 4).all() and ratios.std(0).min() > 1e-3


@pytest.mark.parametrize("sigma", [[0.5, 1.0], [[0.5, 2.0], [1.0, 0.7]]], ids=str)
def test_the_comb_is_the_mean_likelihood_of_shifted_nodes(sigma):
    _, x, _ = setting()
    vae = VAE(hidden=(8,), sigma=sigma, seeds=range(2))
    shift = torch.rand((), generator=torch.Generator().manual_seed(5))
    z = torch.special.ndtri((torch.arange(12) + shift) / 12)[:, None].expand(2, x.shape[-2], 12, 1)
    ours = comb_log_evidence(vae, x, nodes=12, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(ours, log_likelihood(vae, x, z).exp().mean(-1).log(), rtol=1e-12, atol=1e-12)
    with pytest.raises(ValueError, match=r"x holds .* values that are NaN or infinite"):
        comb_log_evidence(vae, x / 0, nodes=12, generator=torch.Generator())


def test_the_comb_needs_one_latent_axis():
    vae, x, _ = setting(latent_dim=3)
    with pytest.raises(ValueError, match="vae has 3 latent axes; expected one"):
        comb_log_evidence(vae, x, nodes=4, generator=torch.Generator())
