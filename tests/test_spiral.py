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
    assert torch.equal(spiral.curve(t[:, None]), x)  # as a decoder takes it
    assert torch.equal(spiral.curve(t.reshape(5, 10, 1)), x.reshape(5, 10, 2))  # and a decoder of R runs
    assert torch.equal(spiral.curve(t.reshape(5, 10)), x.reshape(5, 10, 2))
    assert torch.equal(spiral.curve(t[:1]), x[:1])  # one time in a list, and not a column of none
    assert torch.equal(spiral.curve(t[0]), x[0])


def test_published_training_set_has_evenly_spaced_u_and_noise_of_std_02():
    n = 10_000
    t, x = spiral.sample_spiral(n, generator=torch.Generator().manual_seed(0), evenly_spaced=True)
    torch.testing.assert_close(t.square(), torch.linspace(0.01, 1, n))
    assert x.shape == (n, 2)
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
    finer = quadrature.log_evidence(x, spiral.curve, spiral.SIGMA, spiral.t_grid(700))
    torch.testing.assert_close(spiral.log_evidence(x), finer, rtol=1e-12, atol=1e-12)


def test_more_turns_and_a_sigma_for_each_axis(monkeypatch):
    omega, sigma = 4 * math.pi, torch.tensor([0.15, 0.4])
    n = 10_000
    t, x = spiral.sample_spiral(n, generator=torch.Generator().manual_seed(0), omega=omega, sigma=sigma)
    noise = x - spiral.curve(t, omega=omega)
    z_scores = (noise.square().mean(0) - sigma.square()) / (sigma.square() * (2 / n) ** 0.5)
    assert z_scores.abs().max() < 4
    grid, point = spiral.t_grid(640), np.array([-1.0, 0.5])

    def joint(t):
        mean = 2.5 * t * np.array([math.cos(omega * t), math.sin(omega * t)])
        return 2 * t / 0.99 * stats.norm.pdf(point, mean, sigma.numpy()).prod()

    exact, _ = integrate.quad(joint, 0.1, 1, epsabs=0, epsrel=1e-12, limit=500)
    value = spiral.log_evidence(torch.tensor(point)[None], omega=omega, sigma=sigma, grid=grid)
    assert abs(value.item() - math.log(exact)) < 1e-10
    log_posterior = spiral.log_posterior(torch.tensor(point)[None], grid, omega=omega, sigma=sigma)
    node = 440
    expected = math.log(joint(grid.z[node].item()) / exact)
    assert abs(log_posterior[0, node].item() - expected) < 1e-10
    torch.testing.assert_close(spiral.log_evidence(torch.tensor(point)[None], omega=omega, sigma=sigma), value)
    monkeypatch.setattr(spiral, "MAX_NODES", 1000)
    with pytest.raises(ValueError, match="grid of 512 nodes is too coarse"):
        spiral.log_evidence(x[:20], spiral.t_grid(), omega=omega, sigma=0.06)
    torch.testing.assert_close(
        spiral.log_evidence(x[:20], omega=omega, sigma=0.06),
        spiral.log_evidence(x[:20], spiral.t_grid(800), omega=omega, sigma=0.06),
        rtol=1e-10,
        atol=1e-10,
    )
    with pytest.raises(ValueError, match="grid of 1000 nodes is too coarse"):
        spiral.log_evidence(x, omega=omega, sigma=0.003)


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
    with pytest.raises(ValueError, match="sigma must be positive"):
        spiral.log_evidence(torch.zeros(1, 2), sigma=0.0)
    with pytest.raises(ValueError, match=r"sigma has shape \(3,\); expected one number or two"):
        spiral.log_posterior(torch.zeros(1, 2), spiral.t_grid(), sigma=torch.ones(3))
    for shape in ((5,), (), (5, 2)):
        with pytest.raises(ValueError, match=r"z has shape .*; expected"):
            spiral.decode(torch.zeros(shape))
    for t in (0.05, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"t must lie in \[0.1, 1\]"):
            spiral.ideal_encoding(torch.tensor([0.5, t]))
    with pytest.raises(ValueError, match=r"mu has shape \(2, 4\) and t \(3,\)"):
        spiral.order(torch.zeros(2, 4), torch.ones(3))
    with pytest.raises(ValueError, match=r"values has shape \(3,\); expected"):
        spiral.plane_grid().mean(torch.ones(3))


@pytest.mark.parametrize("omega", [spiral.OMEGA, 6 * math.pi], ids=["the book's", "three turns"])
def test_the_decoder_of_a_normal_latent_is_the_same_process(omega):
    """Two routes to one density: quadrature over z with the normal prior, and over t with its own."""
    _, x = spiral.sample_spiral(50, generator=torch.Generator().manual_seed(0), omega=omega)
    over_z = quadrature.log_evidence(x, lambda z: spiral.decode(z, omega=omega), spiral.SIGMA)
    torch.testing.assert_close(over_z, spiral.log_evidence(x, omega=omega), rtol=1e-10, atol=1e-10)
    t = torch.linspace(0.12, 0.98, 7)
    z = spiral.ideal_encoding(t).reshape(7, 1)
    torch.testing.assert_close(spiral.decode(z, omega=omega), spiral.curve(t, omega=omega))
    assert spiral.decode(z.expand(3, 7, 1)).shape == (3, 7, 2)
    assert spiral.decode(z[:1]).shape == (1, 2)


def test_ideal_encoding_is_infinite_at_the_ends_and_no_nan():
    """The square of a rounded square root may fall outside the support by a rounding."""
    for dtype in (torch.float32, torch.float64):
        t, _ = spiral.sample_spiral(200, generator=torch.Generator().manual_seed(0), evenly_spaced=True, dtype=dtype)
        z = spiral.ideal_encoding(t)
        assert z[0] < -5 and z[-1] > 5 and not z.isnan().any() and (z.diff() > 0).all()
    just_outside = torch.nextafter(torch.tensor([0.1, 1.0]), torch.tensor([0.0, 2.0]))
    assert spiral.ideal_encoding(just_outside).tolist() == [-math.inf, math.inf]


def test_the_published_set_is_two_hundred_evenly_spaced_points():
    t, x = spiral.sample_published(torch.Generator().manual_seed(3))
    t_by_hand, x_by_hand = spiral.sample_spiral(200, generator=torch.Generator().manual_seed(3), evenly_spaced=True)
    assert torch.equal(t, t_by_hand) and torch.equal(x, x_by_hand)


@pytest.mark.parametrize("sigma", [0.2, 0.35, (0.2, 0.4)], ids=str)
def test_the_plane_integrates_the_process(sigma):
    """Mass 1, the known second moment E[x_i^2], and a ceiling that fresh draws confirm."""
    sigma = torch.tensor(sigma)
    plane = spiral.plane_grid(sigma=sigma)
    torch.testing.assert_close(plane.mean(torch.ones_like(plane.log_p)), torch.tensor(1.0), rtol=0, atol=1e-11)
    grid = spiral.t_grid()
    means = spiral.curve(grid.z).T
    moments = quadrature.expectation(means.square(), grid.log_prior, grid) + sigma.square()
    torch.testing.assert_close(plane.mean(plane.x.T.square()), moments, rtol=1e-10, atol=0)
    _, x = spiral.sample_spiral(4000, generator=torch.Generator().manual_seed(0), sigma=sigma)
    drawn = spiral.log_evidence(x, sigma=sigma)
    assert abs((drawn.mean() - plane.mean(plane.log_p)) / (drawn.std() / 4000**0.5)) < 4


def test_the_floor_leaves_out_what_has_no_mass():
    whole, kept = spiral.plane_grid(), spiral.plane_grid(floor=1e-12)
    assert len(kept.x) < 0.6 * len(whole.x) and kept.log_p.min() > math.log(1e-12)
    assert abs(kept.mean(torch.ones_like(kept.log_p)) - 1) < 1e-10
    torch.testing.assert_close(kept.mean(kept.log_p), whole.mean(whole.log_p), rtol=0, atol=1e-9)
    assert whole.x.shape == (65 * 65, 2) and whole.x.abs().max() == 4.0 and whole.weight == 0.125**2
    turns = spiral.plane_grid(omega=6 * math.pi)
    torch.testing.assert_close(turns.log_p, spiral.log_evidence(turns.x, omega=6 * math.pi))


def test_order_is_the_correlation_with_the_ideal_encoding():
    t, _ = spiral.sample_spiral(500, generator=torch.Generator().manual_seed(0))
    g = spiral.ideal_encoding(t)
    noise = torch.randn(3, 500, generator=torch.Generator().manual_seed(1))
    mu = torch.stack([2 * g + 1, -g, g.abs()]) + 0.1 * noise
    expected = torch.tensor([np.corrcoef(row, g)[0, 1] for row in mu.numpy()])
    torch.testing.assert_close(spiral.order(mu, t), expected)
    torch.testing.assert_close(spiral.order(mu[0], t), expected[0])


def test_dtype_follows_the_inputs_and_no_global_default_is_read():
    torch.set_default_dtype(torch.float32)  # conftest restores it
    t, x = spiral.sample_spiral(20, generator=torch.Generator().manual_seed(0))
    made = [t, x, *spiral.t_grid(), *spiral.sample_published(torch.Generator()), *spiral.plane_grid()[:2]]
    assert {value.dtype for value in made} == {torch.float64}
    t_32, x_32 = spiral.sample_spiral(20, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    torch.testing.assert_close(x_32, x.float())
    grid = spiral.t_grid(dtype=torch.float32)
    follows = [spiral.log_evidence(x_32), spiral.log_posterior(x_32, spiral.t_grid()), spiral.decode(t_32[:, None]), *grid]
    assert {value.dtype for value in [t_32, x_32, *follows, *spiral.plane_grid(dtype=torch.float32)[:2]]} == {torch.float32}
    torch.testing.assert_close(spiral.log_evidence(x_32).double(), spiral.log_evidence(x_32.double()), rtol=0, atol=1e-4)


def test_a_seed_stands_for_the_same_points_whatever_the_number_of_axes_of_sigma():
    one = spiral.sample_spiral(9, generator=torch.Generator().manual_seed(0), sigma=0.3)[1]
    two = spiral.sample_spiral(9, generator=torch.Generator().manual_seed(0), sigma=torch.tensor([0.3, 0.3]))[1]
    torch.testing.assert_close(one, two)


def test_order_of_a_latent_that_does_not_move_is_none():
    t = torch.tensor([0.2, 0.5, 0.9])
    assert spiral.order(torch.full((2, 3), 0.7), t).tolist() == [0.0, 0.0]
    for bad in (torch.full((3,), 0.5), torch.zeros(0)):
        with pytest.raises(ValueError, match=rf"t holds {len(bad)} points at one time"):
            spiral.order(bad, bad)


def test_every_axis_of_a_latent_before_the_last_is_kept():
    z = torch.linspace(-2, 2, 4)
    single = torch.stack([spiral.decode(value[None]) for value in z])
    for shape in ((4,), (4, 1), (1, 4), (2, 1, 2)):
        assert torch.equal(spiral.decode(z.reshape(*shape, 1)), single.reshape(*shape, 2))


def test_a_time_that_is_no_number_has_no_density():
    assert spiral.prior_density(torch.tensor([math.nan, 0.05, 1.1])).isnan().tolist() == [True, False, False]


def test_points_are_a_table():
    for function in (spiral.log_evidence, lambda x: spiral.log_posterior(x, spiral.t_grid())):
        with pytest.raises(ValueError, match=r"x has shape \(1, 4, 2\); expected \(N, 2\)"):
            function(torch.zeros(1, 4, 2))
