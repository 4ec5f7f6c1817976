"""The oracle is itself checked against closed forms: a linear decoder makes everything Gaussian."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from vaelib import quadrature

SLOPE, OFFSET = torch.tensor([1.2, -0.7], dtype=torch.float64), torch.tensor([0.3, 0.1], dtype=torch.float64)


def linear(z):
    return z * SLOPE + OFFSET


def data(n=50):
    return 2 * torch.randn(n, 2, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sigma", [0.05, 0.5, 4.0])
def test_evidence_of_a_linear_model_is_its_closed_form(sigma):
    x = data()
    grid = quadrature.resolving_grid(linear, sigma)
    exact = MultivariateNormal(OFFSET, torch.outer(SLOPE, SLOPE) + sigma**2 * torch.eye(2)).log_prob(x)
    torch.testing.assert_close(quadrature.log_evidence(x, linear, sigma, grid), exact, rtol=1e-11, atol=1e-11)


def test_posterior_of_a_linear_model_is_its_closed_form():
    x, sigma, grid = data(), 0.5, quadrature.normal_grid()
    precision = 1 + SLOPE.square().sum() / sigma**2
    mean = ((x - OFFSET) @ SLOPE) / sigma**2 / precision
    exact = Normal(mean[:, None], precision.rsqrt()).log_prob(grid.z.T)
    torch.testing.assert_close(quadrature.log_posterior(x, linear, sigma, grid), exact, rtol=1e-10, atol=1e-10)


def test_a_stack_of_runs_gives_each_run_its_own_value():
    x, grid, sigma = data(), quadrature.normal_grid(), torch.tensor([0.3, 0.9])
    slopes = torch.tensor([[1.0, 0.0], [0.5, 2.0]])

    def stack(z):
        return z * slopes[:, None, :]

    together = quadrature.log_evidence(x, stack, sigma, grid)
    assert together.shape == (2, 50)
    for r in range(2):
        alone = quadrature.log_evidence(x, lambda z: z * slopes[r], sigma[r].item(), grid)
        torch.testing.assert_close(together[r], alone)
    own_data = torch.stack([x, x + 1])
    torch.testing.assert_close(
        quadrature.log_evidence(own_data, stack, sigma, grid)[1],
        quadrature.log_evidence(x + 1, lambda z: z * slopes[1], 0.9, grid),
    )


@pytest.mark.parametrize("shape", [(1, 2), (1, 2001, 2)], ids=["one an axis", "one a node"])
def test_sigma_may_differ_between_axes(shape):
    sigma, grid = torch.tensor([0.3, 0.9]), quadrature.normal_grid()
    exact = MultivariateNormal(OFFSET, torch.outer(SLOPE, SLOPE) + sigma.square().diag()).log_prob(data())
    torch.testing.assert_close(quadrature.log_evidence(data(), linear, sigma.expand(shape), grid), exact)


def test_sigma_may_differ_between_nodes():
    # A mean of zero leaves a mixture over sigma(z) alone: its second moment is E[sigma^2], here known.
    grid, edges = quadrature.normal_grid(), torch.linspace(-9, 9, 4001)
    sigma = (1 + 0.5 * torch.tanh(grid.z))[None]
    density = quadrature.log_evidence(edges[:, None], torch.zeros_like, sigma, grid).exp()
    second_moment = torch.trapezoid(density * edges.square(), edges)
    torch.testing.assert_close(second_moment, quadrature.expectation(sigma.square().flatten(), grid.log_prior, grid))
    # Two runs, of which the second has half the sigma: z and x in other units, with the density that belongs to them.
    stack = quadrature.log_evidence(edges[:, None], lambda z: torch.zeros(2, len(z), 1), torch.cat([sigma, sigma / 2]), grid)
    torch.testing.assert_close(stack[0], density.log())
    halves = quadrature.log_evidence(edges[:, None] / 2, torch.zeros_like, sigma / 2, grid)
    torch.testing.assert_close(halves, density.log() + math.log(2))


def test_the_smaller_sigma_of_two_nodes_sets_how_fine_the_grid_must_be():
    grid = quadrature.normal_grid()
    sigma = torch.full((1, 2001, 2), 0.5)
    sigma[0, 1000] = 1e-3
    with pytest.raises(ValueError, match="grid of 2001 nodes is too coarse"):
        quadrature.log_evidence(data(), linear, sigma, grid)


def test_blocks_do_not_change_the_result(monkeypatch):
    x, grid = data(), quadrature.normal_grid()
    whole = quadrature.log_evidence(x, linear, 0.5, grid)
    monkeypatch.setattr(quadrature, "BLOCK", 3 * len(grid.z))
    torch.testing.assert_close(quadrature.log_evidence(x, linear, 0.5, grid), whole)


def test_moments_and_kl_on_the_grid():
    grid = quadrature.normal_grid()
    z = grid.z.squeeze(-1)
    q, p = Normal(0.7, 0.4), Normal(0.0, 1.0)
    log_q = q.log_prob(z)
    torch.testing.assert_close(quadrature.expectation(z, log_q, grid), torch.tensor(0.7))
    torch.testing.assert_close(quadrature.expectation((z - 0.7).square(), log_q, grid), torch.tensor(0.16))
    torch.testing.assert_close(quadrature.kl_on_grid(log_q, p.log_prob(z), grid), torch.distributions.kl_divergence(q, p).double())
    assert quadrature.kl_on_grid(log_q, log_q, grid) == 0


def test_prior_of_the_grid_integrates_to_one():
    grid = quadrature.normal_grid()
    assert abs(torch.logsumexp(grid.log_prior + grid.log_weight, 0)) < 1e-14


def test_resolving_grid_is_fine_enough_and_a_coarse_grid_is_refused():
    sigma = 1e-3
    grid = quadrature.resolving_grid(linear, sigma)
    assert linear(grid.z).diff(dim=0).norm(dim=-1).max() <= quadrature.MAX_STEP * sigma
    with pytest.raises(ValueError, match="grid of 2001 nodes is too coarse"):
        quadrature.log_evidence(data(), linear, sigma, quadrature.normal_grid(2001))
    with pytest.raises(ValueError, match="sigma 1e-09 is too small"):
        quadrature.resolving_grid(linear, 1e-9)


def test_bad_input_is_refused():
    x, grid = data(3), quadrature.normal_grid()
    with pytest.raises(ValueError, match="x holds 1 values that are NaN"):
        quadrature.log_evidence(x.index_fill(0, torch.tensor(0), 1.0).masked_fill(x == x[1, 1], math.nan), linear, 1.0, grid)
    with pytest.raises(ValueError, match="sigma must be positive"):
        quadrature.log_evidence(x, linear, 0.0, grid)
    with pytest.raises(ValueError, match="x has 3 data axes and decode returns 2"):
        quadrature.log_evidence(torch.zeros(4, 3), linear, 1.0, grid)
    with pytest.raises(ValueError, match=r"sigma has shape \(3,\); expected .* which fits the 1 runs of decode"):
        quadrature.log_evidence(x, linear, torch.ones(3), grid)
    with pytest.raises(ValueError, match=r"x has shape \(4, 3, 2\), which does not fit the 1 runs of decode"):
        quadrature.log_evidence(x.expand(4, 3, 2), linear, 1.0, grid)
    with pytest.raises(ValueError, match="nodes must be at least 2, found 1"):
        quadrature.normal_grid(1)
    with pytest.raises(ValueError, match="limit must be positive"):
        quadrature.normal_grid(limit=-1.0)
