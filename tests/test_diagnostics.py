import math

import pytest
import torch
from scipy import optimize
from torch.distributions import Normal

from vaelib import quadrature, spiral
from vaelib.diagnostics import active_units, collapse_threshold, elbo_gap, evidence_threshold
from vaelib.nets import VAE


def skewed(n=300, dim=3):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(0)).exp() * torch.arange(1, dim + 1)


def test_collapse_threshold_is_the_root_of_the_largest_eigenvalue():
    x = skewed()
    covariance = torch.cov(x.T, correction=0)
    torch.testing.assert_close(collapse_threshold(x), torch.linalg.eigvalsh(covariance)[-1].sqrt())
    torch.testing.assert_close(collapse_threshold(5 * x + 7), 5 * collapse_threshold(x))


def test_below_the_collapse_threshold_the_elbo_gains_from_a_small_use_of_the_latent_and_above_it_does_not():
    """The ELBO of the linear VAE at weight w and its best q, by torch.distributions, against w = 0."""
    x = skewed() - skewed().mean(0)
    threshold = collapse_threshold(x).item()
    axis = torch.linalg.eigh(torch.cov(x.T, correction=0)).eigenvectors[:, -1]

    def evidence(w, sigma):
        covariance = sigma**2 * torch.eye(3) + w**2 * torch.outer(axis, axis)
        return torch.distributions.MultivariateNormal(torch.zeros(3), covariance).log_prob(x).mean()

    for ratio, gains in ((0.99, True), (1.01, False)):
        sigma = ratio * threshold
        assert (evidence(0.02 * sigma, sigma) > evidence(0.0, sigma)).item() == gains


def quotient(s, x):
    return 2 * (torch.logsumexp((x - x.mean(0)) @ s, 0) - math.log(len(x))) / s.square().sum()


def test_evidence_threshold_against_a_global_search_of_scipy():
    x = skewed(dim=2) / 3
    best = optimize.differential_evolution(
        lambda s: -quotient(torch.as_tensor(s), x).item(), [(-8, 8), (-8, 8)], seed=0, tol=1e-12, popsize=30
    )
    assert abs(evidence_threshold(x).item() ** 2 + best.fun) < 1e-6 * -best.fun
    assert evidence_threshold(x) > 1.02 * collapse_threshold(x)


def test_no_mixture_beats_the_collapsed_model_above_the_evidence_threshold_and_one_does_below():
    """Mixing in a second atom at the best s raises the mean log likelihood exactly below the threshold."""
    x = skewed(dim=1)
    centred, threshold = x - x.mean(0), evidence_threshold(x).item()
    s = torch.linspace(-40, 40, 8001)[:, None] / threshold
    for ratio, gains in ((0.99, True), (1.01, False)):
        sigma = ratio * threshold
        # Density ratio of the atom sigma^2 s to the atom 0, averaged over the data: above 1 it pays to move mass there.
        log_ratio = s @ centred.T - 0.5 * sigma**2 * s.square()
        far = s.abs().squeeze(-1) > 1e-3 / threshold
        assert (log_ratio.exp().mean(-1)[far].max() > 1).item() == gains


def test_thresholds_agree_where_every_direction_is_lighter_than_gaussian():
    x = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    torch.testing.assert_close(evidence_threshold(x), collapse_threshold(x))
    torch.testing.assert_close(collapse_threshold(x), torch.tensor(2.0).sqrt())
    assert evidence_threshold(torch.ones(5, 2)) == 0


def test_thresholds_do_not_depend_on_origin_and_scale_with_the_unit():
    x = skewed(dim=2)
    torch.testing.assert_close(evidence_threshold(1e-3 * x + 1), 1e-3 * evidence_threshold(x), rtol=1e-7, atol=0)


def test_active_units_by_their_variance():
    mu = torch.randn(2, 1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([[[1.0, 0.09, 0.11]], [[0.05, 2.0, 0.5]]])
    assert active_units(mu).tolist() == [[True, False, True], [False, True, True]]
    assert active_units(mu[0], threshold=2.0).tolist() == [False] * 3


def test_gap_is_the_evidence_minus_the_elbo():
    _, x = spiral.sample_spiral(6, generator=torch.Generator().manual_seed(0))
    vae, grid = VAE(hidden=(8,), sigma=[0.3, 1.0], seeds=[0, 1]), quadrature.normal_grid()
    mu, log_var = vae.encode(x)
    q, z = Normal(mu, (0.5 * log_var).exp()), grid.z.T
    log_joint = Normal(vae.decode(grid.z)[:, None], vae.sigma[:, None, None, None]).log_prob(x[:, None, :]).sum(-1) + grid.log_prior
    elbo = quadrature.expectation(log_joint - q.log_prob(z), q.log_prob(z), grid)
    evidence = quadrature.log_evidence(x, vae.decode, vae.sigma, grid)
    torch.testing.assert_close(elbo_gap(vae, x, grid), evidence - elbo, rtol=1e-10, atol=1e-10)


def test_bad_input_is_refused():
    for threshold in (collapse_threshold, evidence_threshold):
        with pytest.raises(ValueError, match=r"x has shape \(5,\); expected \(N, D\)"):
            threshold(torch.ones(5))
        with pytest.raises(ValueError, match="x holds 1 values that are NaN"):
            threshold(torch.tensor([[1.0], [math.nan]]))
    with pytest.raises(ValueError, match=r"mu has shape \(3,\)"):
        active_units(torch.ones(3))
    x, grid = torch.zeros(2, 2), quadrature.normal_grid()
    with pytest.raises(ValueError, match="vae has 2 latent axes; expected one"):
        elbo_gap(VAE(latent_dim=2, sigma=1.0), x, grid)
    narrow = VAE(sigma=1.0)
    narrow.encoder.net.layers[-1].bias.data[..., 1] = -20
    with pytest.raises(ValueError, match="grid of 2001 nodes is too coarse: its step 0.008"):
        elbo_gap(narrow, x, grid)
