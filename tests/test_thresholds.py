import math

import pytest
import torch
from scipy import optimize

from vaelib.thresholds import collapse_threshold, evidence_threshold


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
    torch.testing.assert_close(evidence_threshold(x), collapse_threshold(x), rtol=1e-14, atol=0)
    torch.testing.assert_close(collapse_threshold(x), torch.tensor(2.0).sqrt())
    assert evidence_threshold(torch.ones(5, 2)) == 0


def test_thresholds_do_not_depend_on_origin_and_scale_with_the_unit():
    x = skewed(dim=2)
    torch.testing.assert_close(evidence_threshold(1e-3 * x + 1), 1e-3 * evidence_threshold(x), rtol=1e-7, atol=0)


def scanned(x):
    """The supremum over s of one axis: the best of a scan, and of a fine one around it."""
    x, variance = x.flatten() - x.mean(), collapse_threshold(x).item() ** 2

    def at(s):
        return 2 * (torch.logsumexp(s[:, None] * x, -1) - math.log(len(x))) / s.square()

    lengths = torch.logspace(-2, 2.5, 901) / variance**0.5
    tops = []
    for s in (lengths, -lengths):
        top = at(s).argmax().clamp(1, len(s) - 2)
        tops.append(at(torch.linspace(s[top - 1].item(), s[top + 1].item(), 2001)).max().item())
    return max(variance, *tops) ** 0.5


@pytest.mark.parametrize("skew", [0.0, 0.003, 0.03, 0.3])
def test_evidence_threshold_of_one_axis_is_that_of_a_scan(skew):
    """Normal quantiles plus a little of their square: the smaller the skew, the flatter the hill that leads to the top."""
    z = torch.special.ndtri((torch.arange(1000) + 0.5) / 1000)
    x = (z + skew * z.square()).unsqueeze(-1)
    torch.testing.assert_close(evidence_threshold(x).item(), scanned(x), rtol=3e-8, atol=0)


def test_a_hill_far_from_the_origin_is_climbed_beside_the_one_at_it():
    """From s of length 1 the ascent leads back to the origin; the far point has its hill at 3.3 of it."""
    x = torch.cat([torch.tensor([1.0, -1.0]).repeat(500), torch.tensor([4.2])])[:, None]
    torch.testing.assert_close(evidence_threshold(x).item(), scanned(x), rtol=3e-8, atol=0)
    assert evidence_threshold(x) > 1.1 * collapse_threshold(x)


def test_one_far_point_among_many_is_found():
    """K(s) >= s.x - log N for that point. Its direction has less variance than 99 others, and no other point lies that way."""
    x = torch.randn(4000, 100, generator=torch.Generator().manual_seed(0)).sign()
    x[:, 99] = 0
    x[1234, 99] = 15.0
    assert evidence_threshold(x) > 15 / math.sqrt(2 * math.log(4000)) > 3 * collapse_threshold(x)


def test_more_axes_than_points_are_turned_into_their_span():
    """Zero columns and a rotation change no product of two points, and hence neither threshold."""
    x = skewed(n=30, dim=5)
    turn = torch.linalg.qr(torch.randn(80, 80, generator=torch.Generator().manual_seed(1))).Q
    wide = torch.cat([x, torch.zeros(30, 75)], -1) @ turn + 3
    torch.testing.assert_close(evidence_threshold(wide), evidence_threshold(x), rtol=1e-8, atol=0)
    torch.testing.assert_close(collapse_threshold(wide), collapse_threshold(x))


def test_an_axis_without_spread_changes_nothing():
    x = skewed(dim=2)
    flat = torch.cat([x, torch.full((len(x), 1), 7.0)], -1)
    torch.testing.assert_close(evidence_threshold(flat), evidence_threshold(x), rtol=1e-8, atol=0)
    assert evidence_threshold(x[:1]) == 0  # one point has no spread at all


def test_dtype_follows_the_data():
    x = skewed().float()
    for threshold in (collapse_threshold, evidence_threshold):
        assert threshold(x).dtype == torch.float32
        torch.testing.assert_close(threshold(x).double(), threshold(x.double()), rtol=1e-7, atol=0)
        assert threshold(x.half()).dtype == torch.float32


def test_bad_input_is_refused():
    for threshold in (collapse_threshold, evidence_threshold):
        for shape in ((5,), (), (2, 5, 1), (0, 3), (3, 0)):
            with pytest.raises(ValueError, match=r"x has shape .*; expected \(N, D\)"):
                threshold(torch.ones(shape))
        with pytest.raises(ValueError, match="x holds 1 values that are NaN"):
            threshold(torch.tensor([[1.0], [math.nan]]))
        with pytest.raises(ValueError, match=r"x is torch.uint8; expected a floating type"):
            threshold(torch.ones(3, 2, dtype=torch.uint8))
        with pytest.raises(ValueError, match=r"x must be a torch.Tensor, found list"):
            threshold([[1.0], [2.0]])
