"""The oracle is itself checked against closed forms: a linear decoder makes everything Gaussian."""

import math
import re

import numpy as np
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


def test_sigma_may_differ_between_axes():
    sigma, grid = torch.tensor([0.3, 0.9]), quadrature.normal_grid()
    exact = MultivariateNormal(OFFSET, torch.outer(SLOPE, SLOPE) + sigma.square().diag()).log_prob(data())
    torch.testing.assert_close(quadrature.log_evidence(data(), linear, sigma[None], grid), exact)


def test_blocks_do_not_change_the_result(monkeypatch):
    x, grid = data(), quadrature.normal_grid()
    whole = quadrature.log_evidence(x, linear, 0.5, grid)
    monkeypatch.setattr(quadrature, "BLOCK", 3 * len(grid.z))  # 50 points: 16 full blocks, and one of two
    torch.testing.assert_close(quadrature.log_evidence(x, linear, 0.5, grid), whole)


def test_moments_and_kl_on_the_grid():
    grid = quadrature.normal_grid()
    z = grid.z.squeeze(-1)
    q, p = Normal(0.7, 0.4), Normal(0.0, 1.0)
    log_q = q.log_prob(z)
    torch.testing.assert_close(quadrature.expectation(z, log_q, grid), torch.tensor(0.7))
    torch.testing.assert_close(quadrature.expectation((z - 0.7).square(), log_q, grid), torch.tensor(0.16))
    torch.testing.assert_close(
        quadrature.kl_on_grid(log_q, p.log_prob(z), grid), torch.distributions.kl_divergence(q, p).double()
    )
    assert quadrature.kl_on_grid(log_q, log_q, grid) == 0


def test_prior_of_the_grid_integrates_to_one():
    grid = quadrature.normal_grid()
    assert abs(torch.logsumexp(grid.log_prior + grid.log_weight, 0)) < 1e-14


def test_the_smallest_grids():
    assert quadrature.normal_grid(2, limit=0.5).z.flatten().tolist() == [-0.5, 0.5]
    assert quadrature.normal_grid(2, limit=0.5).log_weight.exp().tolist() == pytest.approx([1.0, 1.0])


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
    for shape in ((2,), (), (1, 1, 3, 2)):
        with pytest.raises(ValueError, match=rf"x has shape {re.escape(str(shape))}; expected \(N, D\), or \(R, N, D\)"):
            quadrature.log_evidence(torch.zeros(shape), linear, 1.0, grid)
    with pytest.raises(ValueError, match=r"x must be a torch.Tensor, found list"):
        quadrature.log_evidence([[0.0, 0.0]], linear, 1.0, grid)
    with pytest.raises(ValueError, match=r"x is torch.int64; expected a floating type"):
        quadrature.log_evidence(torch.ones(3, 2, dtype=torch.long), linear, 1.0, grid)
    for shape in ((1, 2001, 2), (2, 2), (1, 1, 2)):
        with pytest.raises(ValueError, match="sigma has shape"):
            quadrature.log_evidence(x, linear, torch.ones(shape), grid)
    with pytest.raises(ValueError, match="nodes must be at least 2, found 1"):
        quadrature.normal_grid(1)
    for limit in (-1.0, 0.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="limit must be positive and finite"):
            quadrature.normal_grid(limit=limit)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_means_that_are_not_finite_are_refused(bad):
    """A NaN compares as false, so it would pass for a grid that is fine enough."""

    def decode(z):
        return torch.where(z.abs() < 0.004, bad, linear(z))

    with pytest.raises(ValueError, match=r"decode\(z\) holds 2 values that are NaN or infinite"):
        quadrature.log_evidence(data(3), decode, 0.5, quadrature.normal_grid())
    with pytest.raises(ValueError, match=r"decode\(z\) holds 2 values that are NaN or infinite"):
        quadrature.resolving_grid(decode, 0.5)


def test_means_of_another_shape_are_refused():
    for decode in (lambda z: linear(z)[:-1], lambda z: z[:, 0], lambda z: linear(z)[None, None], lambda z: linear(z).tolist()):
        with pytest.raises(ValueError, match=r"decode returns .* for 2001 nodes; expected"):
            quadrature.log_evidence(data(3), decode, 0.5, quadrature.normal_grid())


def closed_form(x, sigma):
    return MultivariateNormal(OFFSET, torch.outer(SLOPE, SLOPE) + sigma**2 * torch.eye(2)).log_prob(x)


def test_data_beyond_the_grids_reach_is_refused_or_given_a_longer_grid():
    """The posterior of z sits at 12: a grid that ends at 8 gave -422 nats where -71 is right."""
    x, sigma = linear(torch.tensor([[0.5], [12.0], [-30.0]])), 0.2
    for function in (quadrature.log_evidence, quadrature.log_posterior):
        with pytest.raises(ValueError, match=r"x holds 2 points beyond the grid's reach.* use a larger limit"):
            function(x, linear, sigma, quadrature.normal_grid())
        with pytest.raises(ValueError, match="x holds 1 points beyond the grid's reach"):
            function(x, linear, sigma, quadrature.normal_grid(8001, limit=20))
    exact = closed_form(x, sigma)
    torch.testing.assert_close(quadrature.log_evidence(x, linear, sigma), exact, rtol=1e-11, atol=1e-11)
    grid = quadrature.resolving_grid(linear, sigma, x)
    torch.testing.assert_close(quadrature.log_evidence(x, linear, sigma, grid), exact, rtol=1e-11, atol=1e-11)
    assert quadrature.log_evidence(x[:1], linear, sigma, quadrature.normal_grid()) == quadrature.log_evidence(
        x[:1], linear, sigma
    )


def test_what_passes_for_within_reach_is_right_to_six_digits():
    """Points further and further out, until they are refused: none of those that pass is off by more than the promise."""
    sigma, grid, passed = 0.2, quadrature.normal_grid(), 0
    for place in torch.linspace(5, 8, 61):
        x = linear(place.reshape(1, 1))
        try:
            value = quadrature.log_evidence(x, linear, sigma, grid)
        except ValueError:
            continue
        passed += 1
        assert (value - closed_form(x, sigma)).abs() < 1e-6
    assert 20 < passed < 60


def test_a_prior_that_is_cut_off_by_itself_asks_for_no_reach():
    """A uniform prior on [0, 1] and x beyond its end: the joint density is highest at the last node, rightly."""
    node, weight = (torch.as_tensor(part) for part in np.polynomial.legendre.leggauss(200))
    grid = quadrature.Grid((0.5 + 0.5 * node)[:, None], torch.zeros(200), (0.5 * weight).log())
    value = quadrature.log_evidence(torch.tensor([[1.2]]), lambda z: z, 0.1, grid)
    exact = Normal(0.0, 1.0).cdf(torch.tensor([-2.0])) - Normal(0.0, 1.0).cdf(torch.tensor([-12.0]))
    torch.testing.assert_close(value, exact.log(), rtol=1e-12, atol=1e-12)


def test_a_density_that_underflows_is_refused():
    with pytest.raises(ValueError, match="so far from every mean that their density underflows"):
        quadrature.log_posterior(torch.full((1, 2), 1e200), linear, 1.0, quadrature.normal_grid())


def test_digits_hold_where_sigma_is_tiny_beside_the_data():
    """Squares of differences; the product form |x|^2 - 2 x.m + |m|^2 would lose six digits here."""
    sigma, far = 1e-3, 1000.0
    x = data(5) + far
    value = quadrature.log_evidence(x, lambda z: linear(z) + far, sigma)
    covariance = torch.outer(SLOPE, SLOPE) + sigma**2 * torch.eye(2)
    whitened = torch.linalg.solve(covariance, (x - far - OFFSET).T).T
    exact = -0.5 * ((x - far - OFFSET) * whitened).sum(-1) - 0.5 * torch.logdet(covariance) - math.log(2 * math.pi)
    torch.testing.assert_close(value, exact, rtol=1e-9, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dtype_follows_the_data(dtype):
    x, grid = data(), quadrature.normal_grid()  # a grid in float64 is converted
    exact = closed_form(x, 0.5)

    def decode(z):
        assert z.dtype == dtype
        return z * SLOPE.to(dtype) + OFFSET.to(dtype)

    for values in (
        quadrature.log_evidence(x.to(dtype), decode, 0.5, grid),
        quadrature.log_evidence(x.to(dtype), decode, torch.tensor(0.5)),
        quadrature.log_evidence(x.to(dtype), decode, 0.5, quadrature.resolving_grid(decode, 0.5, dtype=dtype)),
    ):
        assert values.dtype == dtype
        torch.testing.assert_close(values.double(), exact, rtol=0, atol=1e-4 if dtype == torch.float32 else 1e-12)
    assert quadrature.log_posterior(x.to(dtype), decode, 0.5, grid).dtype == dtype


def test_no_global_default_is_read():
    torch.set_default_dtype(torch.float32)  # conftest restores it
    for grid in (quadrature.normal_grid(), quadrature.resolving_grid(lambda z: z, 0.5)):
        assert {part.dtype for part in grid} == {torch.float64}
    assert {part.dtype for part in quadrature.normal_grid(dtype=torch.float32)} == {torch.float32}
    assert {part.device.type for part in quadrature.normal_grid(device="meta")} == {"meta"}
    sigma = torch.tensor(0.5, dtype=torch.float32)
    assert quadrature.resolving_grid(lambda z: z, sigma).z.dtype == torch.float32


def test_no_point_has_no_evidence():
    assert quadrature.log_evidence(torch.zeros(0, 2), linear, 0.5).shape == (0,)
    assert quadrature.log_posterior(torch.zeros(0, 2), linear, 0.5, quadrature.normal_grid()).shape == (0, 2001)


def test_tables_that_are_not_given_at_the_nodes_are_refused():
    grid = quadrature.normal_grid()
    row = grid.log_prior
    with pytest.raises(ValueError, match=r"values has shape \(2001, 1\); expected \(..., 2001\)"):
        quadrature.expectation(grid.z, row, grid)
    with pytest.raises(ValueError, match=r"log_density has shape \(2000,\)"):
        quadrature.expectation(row, row[:-1], grid)
    with pytest.raises(ValueError, match=r"log_q has shape \(1,\)"):
        quadrature.kl_on_grid(torch.zeros(1), torch.zeros(1), grid)
    with pytest.raises(ValueError, match=r"values \(3, 2001\) and log_density \(4, 2001\) do not broadcast"):
        quadrature.expectation(row.expand(3, -1), row.expand(4, -1), grid)


def test_where_no_mass_is_no_value_counts():
    """q underflows to 0 before its log density does; there log q - log p is infinite or NaN, and adds nothing."""
    grid = quadrature.normal_grid()
    z = grid.z[:, 0]
    log_q = Normal(0.0, 0.5).log_prob(z).masked_fill(z.abs() > 6, -math.inf)
    log_p = Normal(0.0, 1.0).log_prob(z).masked_fill(z.abs() > 7, -math.inf)
    exact = torch.distributions.kl_divergence(Normal(0.0, 0.5), Normal(0.0, 1.0))
    torch.testing.assert_close(quadrature.kl_on_grid(log_q, log_p, grid).float(), exact.float())
    torch.testing.assert_close(quadrature.expectation(1 / log_q.exp(), log_q, grid), torch.tensor(12.0), rtol=1e-3, atol=0)
    # p vanishes where q does not: no number of nats covers it.
    assert quadrature.kl_on_grid(log_p, log_q, grid) == math.inf


def test_gradients_pass_through_expectations():
    grid = quadrature.normal_grid()
    mean = torch.tensor(0.3, requires_grad=True)
    log_q = -0.5 * (grid.z[:, 0] - mean).square() - 0.5 * math.log(2 * math.pi)
    quadrature.kl_on_grid(log_q, grid.log_prior, grid).backward()
    torch.testing.assert_close(mean.grad, mean.detach())  # KL = mean^2 / 2
