import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from vaelib import quadrature, spiral


def test_curve_in_polar_coordinates():
    t = torch.linspace(0.1, 1, 50)
    x = spiral.curve(t)
    torch.testing.assert_close(x.norm(dim=-1), 2.5 * t)
    torch.testing.assert_close(torch.atan2(x[:, 1], x[:, 0]).cos(), torch.cos(2.8 * math.pi * t))
    assert spiral.curve(t[:, None]).shape == (50, 2)


def test_published_training_set_has_evenly_spaced_u_and_noise_of_std_02():
    n = 10_000
    t, x = spiral.sample_spiral(n, generator=torch.Generator().manual_seed(0), evenly_spaced=True)
    torch.testing.assert_close(t.square(), torch.linspace(0.01, 1, n))
    variance = (x - spiral.curve(t)).var().item()
    assert abs((variance - 0.04) / (0.04 * (2 / (2 * n)) ** 0.5)) < 4


def test_drawn_times_follow_the_prior():
    t, _ = spiral.sample_spiral(5000, generator=torch.Generator().manual_seed(0))
    assert stats.kstest(t.numpy(), lambda t: (t**2 - 0.01) / 0.99).pvalue > 1e-4


def test_prior_density_integrates_to_one_and_is_zero_outside():
    grid = spiral.t_grid(8)
    torch.testing.assert_close(grid.log_weight.exp() @ spiral.prior_density(grid.z.squeeze(-1)), torch.tensor(1.0))
    assert spiral.prior_density(torch.tensor([0.05, 1.01])).tolist() == [0, 0]


def test_ideal_encoding_is_the_quantile_of_the_normal():
    t = torch.linspace(0.11, 0.99, 9)
    torch.testing.assert_close(spiral.ideal_encoding(t), torch.as_tensor(stats.norm.ppf((t.numpy() ** 2 - 0.01) / 0.99)))


def test_evidence_is_that_of_scipy():
    for point in [(0.1, 0.2), (-1.0, 0.5), (2.5, 0.0)]:

        def joint(t):
            mean = 2.5 * t * np.array([math.cos(2.8 * math.pi * t), math.sin(2.8 * math.pi * t)])
            return 2 * t / 0.99 * stats.norm.pdf(point, mean, 0.2).prod()

        exact, _ = integrate.quad(joint, 0.1, 1, epsabs=0, epsrel=1e-12, limit=500)
        assert abs(spiral.log_evidence(torch.tensor([point])).item() - math.log(exact)) < 1e-10


def test_posterior_integrates_to_one():
    grid = spiral.t_grid()
    _, x = spiral.sample_spiral(20, generator=torch.Generator().manual_seed(0))
    mass = torch.logsumexp(spiral.log_posterior(x, grid) + grid.log_weight, -1)
    assert mass.abs().max() < 1e-12


def test_more_nodes_change_nothing():
    _, x = spiral.sample_spiral(20, generator=torch.Generator().manual_seed(0))
    finer = quadrature.log_evidence(x, spiral.curve, spiral.SIGMA, spiral.t_grid(1500))
    torch.testing.assert_close(spiral.log_evidence(x), finer, rtol=1e-12, atol=1e-12)


def test_more_turns_and_a_sigma_for_each_axis():
    omega, sigma = 6 * math.pi, torch.tensor([0.1, 0.4])
    n = 10_000
    t, x = spiral.sample_spiral(n, generator=torch.Generator().manual_seed(0), omega=omega, sigma=sigma)
    noise = x - spiral.curve(t, omega=omega)
    z_scores = (noise.square().mean(0) - sigma.square()) / (sigma.square() * (2 / n) ** 0.5)
    assert z_scores.abs().max() < 4
    grid, point = spiral.t_grid(1024), np.array([-1.0, 0.5])

    def joint(t):
        mean = 2.5 * t * np.array([math.cos(omega * t), math.sin(omega * t)])
        return 2 * t / 0.99 * stats.norm.pdf(point, mean, sigma.numpy()).prod()

    exact, _ = integrate.quad(joint, 0.1, 1, epsabs=0, epsrel=1e-12, limit=500)
    value = spiral.log_evidence(torch.tensor(point)[None], omega=omega, sigma=sigma, grid=grid)
    assert abs(value.item() - math.log(exact)) < 1e-10
    log_posterior = spiral.log_posterior(torch.tensor(point)[None], grid, omega=omega, sigma=sigma)
    node = 700
    expected = math.log(joint(grid.z[node].item()) / exact)
    assert abs(log_posterior[0, node].item() - expected) < 1e-10
    with pytest.raises(ValueError, match="grid of 512 nodes is too coarse"):
        spiral.log_evidence(x, omega=omega, sigma=0.01)


def test_bad_input_is_refused():
    generator = torch.Generator()
    with pytest.raises(ValueError, match="n must be at least 1, found 0"):
        spiral.sample_spiral(0, generator=generator)
    with pytest.raises(ValueError, match="sigma must be positive"):
        spiral.sample_spiral(5, generator=generator, sigma=-0.2)
    with pytest.raises(ValueError, match=r"sigma has shape \(3,\); expected one number or two"):
        spiral.sample_spiral(5, generator=generator, sigma=torch.ones(3))
    with pytest.raises(ValueError, match="nodes must be at least 1"):
        spiral.t_grid(0)
