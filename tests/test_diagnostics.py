import math

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian, jacobian
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from vaelib import diagnostics, ppca, quadrature, spiral
from vaelib.diagnostics import active_units, best_normal, elbo_gap, exact_terms, log_aggregate
from vaelib.gaussian import gaussian_log_density
from vaelib.nets import VAE


class Says(nn.Module):
    """A network whose answer is a function of its input, for both parts of a VAE."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, x):
        return self.answer(x)


def always(mu, log_var):
    """An encoder with the same q for every point of one run."""
    return Says(lambda x: (torch.full((1, x.shape[-2], 1), mu), torch.full((1, x.shape[-2], 1), log_var)))


def points(n=6, seed=0):
    return spiral.sample_spiral(n, generator=torch.Generator().manual_seed(seed))[1]


@pytest.mark.parametrize(("mu", "log_var"), [(0.4, -1.0), (12.0, 0.0), (-3.0, -40.0), (0.5, 5.0)], ids=str)
def test_a_linear_decoder_has_the_closed_form_wherever_q_lies(mu, log_var):
    """No grid on the latent holds N(12, 1): there 0.0007 nats came out for 71.9."""
    x, vae = points(), VAE(hidden=(), sigma=0.7, encoder=always(mu, log_var))
    layer = vae.decoder.net.layers[0]
    model = layer.bias[0].detach(), layer.weight[0].detach(), vae.sigma[0]
    q = torch.full((6, 1), mu), torch.full((6, 1), log_var)
    elbo = ppca.elbo(x, *q, *model)
    torch.testing.assert_close(exact_terms(vae, x).elbo[0], elbo, rtol=1e-10, atol=1e-10)
    gap = ppca.log_evidence(x, *model) - elbo
    torch.testing.assert_close(elbo_gap(vae, x)[0], gap, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(elbo_gap(vae, x, quadrature.normal_grid(4001, limit=10.0))[0], gap, rtol=1e-10, atol=1e-10)


def test_q_beside_the_grid():
    """The decoder says nothing, so the posterior is the prior and the gap is KL(N(12, 1) || N(0, 1)) = 72."""
    vae = VAE(sigma=1.0, encoder=always(12.0, 0.0), decoder=Says(lambda z: torch.zeros(1, z.shape[-2], 2)))
    torch.testing.assert_close(elbo_gap(vae, points(), quadrature.normal_grid()), torch.full((1, 6), 72.0))


def test_gap_is_the_kl_of_q_from_the_posterior():
    """The independent route: both densities on one grid of the latent, by kl_on_grid."""
    x = points()
    vae, grid = VAE(hidden=(8,), sigma=[0.3, 1.0], seeds=[0, 1]), quadrature.normal_grid(4001, limit=16.0)
    mu, log_var = vae.encode(x)
    log_q = Normal(mu, (0.5 * log_var).exp()).log_prob(grid.z.T)
    log_posterior = quadrature.log_posterior(x, vae.decode, vae.sigma, grid)
    kl = quadrature.kl_on_grid(log_q, log_posterior, grid)
    torch.testing.assert_close(elbo_gap(vae, x), kl, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(elbo_gap(vae, x, grid), kl, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("sigma", [[0.3, 1.0], [[0.3, 0.5], [1.0, 0.2]]], ids=["one a run", "one an axis"])
def test_both_terms_are_those_of_torch_on_a_grid_of_the_latent(sigma):
    x = torch.stack([points(), points(seed=1)])  # one data set a run
    vae, grid = VAE(hidden=(8,), sigma=sigma, seeds=[0, 1]), quadrature.normal_grid(8001, limit=16.0)
    mu, log_var = vae.encode(x)
    q, scale = Normal(mu, (0.5 * log_var).exp()), vae.sigma.reshape(2, 1, 1, -1)
    log_likelihood = Normal(vae.decode(grid.z)[:, None], scale).log_prob(x[:, :, None]).sum(-1)
    terms = exact_terms(vae, x)
    assert terms.reconstruction.shape == terms.kl.shape == (2, 6)
    torch.testing.assert_close(
        terms.reconstruction, quadrature.expectation(log_likelihood, q.log_prob(grid.z.T), grid), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(terms.kl, torch.distributions.kl_divergence(q, Normal(0.0, 1.0)).sum(-1))


def test_another_q_than_the_encoders():
    x, vae = points(), VAE(sigma=0.5)
    mu, log_var = (value + 0.3 for value in vae.encode(x))
    other = VAE(sigma=0.5, encoder=Says(lambda x: (mu, log_var)))
    for by_q, by_encoder in zip(exact_terms(vae, x, q=(mu, log_var)), exact_terms(other, x), strict=True):
        torch.testing.assert_close(by_q, by_encoder, rtol=0, atol=0)


def waves(frequency, mu=0.0):
    return VAE(data_dim=1, sigma=0.5, encoder=always(mu, 0.0), decoder=Says(lambda z: torch.sin(frequency * z).reshape(1, -1, 1)))


@pytest.mark.parametrize("frequency", [1.0, 12.0, 70.0])
def test_a_decoder_that_waves_gets_the_nodes_that_it_needs(frequency):
    """E (x - sin(f z))^2 = x^2 + (1 - exp(-2 f^2)) / 2 for z from the prior."""
    x = torch.tensor([[0.0], [0.8]])
    expected = -(x[:, 0].square() + 0.5 * (1 - math.exp(-2 * frequency**2))) / (2 * 0.25) - 0.5 * math.log(2 * math.pi * 0.25)
    torch.testing.assert_close(exact_terms(waves(frequency), x).reconstruction[0], expected, rtol=0, atol=1e-10)


def test_a_grid_too_coarse_for_the_decoder_under_q_is_refused():
    x = torch.tensor([[0.8]])
    with pytest.raises(ValueError, match="grid of 81 nodes is too coarse for the decoder as q sees it"):
        exact_terms(waves(15.0, mu=0.3), x, quadrature.normal_grid(81))
    exact_terms(waves(15.0, mu=0.3), x, quadrature.normal_grid(801))
    with pytest.raises(ValueError, match="grid of 5 nodes is too coarse"):
        exact_terms(waves(1.0), x, quadrature.normal_grid(5))
    jump = VAE(data_dim=1, sigma=0.5, encoder=always(0.1, 0.0), decoder=Says(lambda z: (z > 0).to(z).reshape(1, -1, 1)))
    with pytest.raises(ValueError, match="grid of 20481 nodes is too coarse"):
        exact_terms(jump, x)


def test_blocks_change_nothing_and_bound_what_the_decoder_sees(monkeypatch):
    x, seen = points(50), []
    vae = VAE(hidden=(8,), sigma=0.3, seeds=[0, 1])
    whole = exact_terms(vae, x).reconstruction
    monkeypatch.setattr(diagnostics, "BLOCK", 3 * 2 * 81)
    network = vae.decoder.forward
    monkeypatch.setattr(vae.decoder, "forward", lambda z: (seen.append(z.shape[0] * z.shape[1]), network(z))[1])
    torch.testing.assert_close(exact_terms(vae, x).reconstruction, whole)
    assert max(seen) == 3 * 2 * 81 and len(seen) == 17
    seen.clear()
    wave = waves(15.0, mu=0.3)
    network = wave.decoder.forward
    monkeypatch.setattr(wave.decoder, "forward", lambda z: (seen.append(z.shape[-2]), network(z))[1])
    exact_terms(wave, torch.zeros(40, 1))
    assert max(seen) <= 486  # with more nodes, fewer points


def test_what_exact_terms_cannot_judge_is_refused():
    x = torch.zeros(2, 2)
    for function in (exact_terms, elbo_gap):
        with pytest.raises(ValueError, match="vae has 2 latent axes; expected one"):
            function(VAE(latent_dim=2, sigma=1.0), x)
        with pytest.raises(ValueError, match="log_var of q holds 2 values that are NaN"):
            function(VAE(sigma=1.0, encoder=always(0.0, math.inf)), x)
        with pytest.raises(ValueError, match=r"x has shape \(2,\)"):
            function(VAE(sigma=1.0), x[0])
    vae = VAE(sigma=1.0)
    with pytest.raises(ValueError, match=r"mu of q has shape \(2, 1\); expected \(1, 2, 1\)"):
        exact_terms(vae, x, q=(torch.zeros(2, 1), torch.zeros(1, 2, 1)))
    with pytest.raises(ValueError, match=r"under q holds .* values that are NaN"):
        exact_terms(VAE(sigma=1.0, decoder=Says(lambda z: (z / 0).expand(1, -1, 2))), x)


def test_float32_is_served():
    x = points().float()
    vae = VAE(sigma=0.5, dtype=torch.float32)
    wide = VAE(sigma=0.5)
    terms = exact_terms(vae, x)
    assert terms.elbo.dtype == elbo_gap(vae, x).dtype == torch.float32
    torch.testing.assert_close(terms.elbo.double(), exact_terms(wide, x.double()).elbo, rtol=1e-4, atol=1e-4)


def test_the_best_normal_of_a_normal_is_itself():
    grid = quadrature.normal_grid()
    mu, sd = torch.linspace(-1.9, 1.9, 40).reshape(2, 20), torch.logspace(-1.5, -0.05, 40).reshape(2, 20)
    best = best_normal(Normal(mu[..., None], sd[..., None]).log_prob(grid.z[:, 0]) - 3.0, grid)
    torch.testing.assert_close(best.mu, mu, rtol=0, atol=1e-7)
    torch.testing.assert_close(best.log_var, 2 * sd.log(), rtol=0, atol=1e-7)
    torch.testing.assert_close(best.elbo, torch.full((2, 20), -3.0), rtol=0, atol=1e-7)


@pytest.mark.parametrize("level", [-1000.0, 1000.0])
def test_the_level_of_a_table_plays_no_part(level):
    """Of log p(x, z) it may be far from 0, at which a normal that reaches over an end of the grid would see it cut off."""
    grid = quadrature.normal_grid()
    table = torch.stack([mixture(0.3, grid), Normal(-0.5, 0.7).log_prob(grid.z[:, 0])])
    moved, best = best_normal(table + level, grid), best_normal(table, grid)
    torch.testing.assert_close(moved._replace(elbo=moved.elbo - level), best, rtol=0, atol=1e-6)


def test_the_best_normal_of_a_table_in_float32():
    grid = quadrature.normal_grid()
    table = Normal(torch.tensor([[0.3], [-1.0]]), 0.2).log_prob(grid.z[:, 0])
    best = best_normal(table.float(), grid)
    assert {value.dtype for value in best} == {torch.float32}
    torch.testing.assert_close(best.mu, torch.tensor([0.3, -1.0]).float(), rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"log_density \(0, 2001\) is empty"):
        best_normal(table[:0], grid)


def mixture(share, grid, second=2.0):
    parts = Normal(torch.tensor([-1.5, second]), torch.tensor([0.2, 0.4]))
    return MixtureSameFamily(Categorical(torch.tensor([share, 1 - share])), parts).log_prob(grid.z[:, 0])


def test_the_best_normal_is_the_highest_of_several_maxima():
    """Two hills: q sits on one, and the ELBO is about the log of its share; from one start half of them would be lost."""
    grid, share = quadrature.normal_grid(), torch.tensor([0.05, 0.3, 0.45, 0.55, 0.7, 0.95])
    best = best_normal(torch.stack([mixture(s, grid) for s in share]), grid)
    torch.testing.assert_close(best.mu, torch.where(share > 0.5, -1.5, 2.0), rtol=0, atol=0.01)
    torch.testing.assert_close(best.elbo, torch.maximum(share, 1 - share).log(), rtol=0, atol=0.01)


def test_no_other_normal_is_better_and_the_slope_vanishes():
    grid = quadrature.normal_grid()
    log_posterior = quadrature.log_posterior(points(20), spiral.decode, spiral.SIGMA, grid)
    best = best_normal(log_posterior, grid)

    def elbo(mu, log_var):
        log_q = gaussian_log_density(grid.z, mu[:, None, None], log_var[:, None, None])
        return -quadrature.kl_on_grid(log_q, log_posterior, grid)

    torch.testing.assert_close(elbo(best.mu, best.log_var), best.elbo, rtol=0, atol=1e-10)
    parameters = [value.clone().requires_grad_() for value in (best.mu, best.log_var)]
    for slope in torch.autograd.grad(elbo(*parameters).sum(), parameters):
        assert slope.abs().max() < 1e-7
    for mu in torch.linspace(-4, 4, 33):
        for log_var in torch.linspace(-7, 0, 8):
            assert (elbo(mu.expand(20), log_var.expand(20)) <= best.elbo + 1e-10).all()


def rough(n=100):
    """Sums of narrow hills, on which Newton's full step often leads downhill."""
    draw = torch.Generator().manual_seed(0)
    centre = 3 * torch.randn(n, 6, 1, generator=draw).clamp(-1.6, 1.6)
    width = torch.rand(n, 6, 1, generator=draw) / 2 + 0.04
    height = 3 * torch.rand(n, 6, 1, generator=draw).log()
    z = quadrature.normal_grid().z[:, 0]
    return torch.logsumexp(Normal(centre, width).log_prob(z) + height, 1) - 0.5 * z.square()


def test_the_ascent_reaches_a_top_on_rough_ground():
    grid, table = quadrature.normal_grid(), rough()
    best = best_normal(table, grid)
    parameters = [value.clone().requires_grad_() for value in (best.mu, best.log_var)]
    log_q = gaussian_log_density(grid.z, parameters[0][:, None, None], parameters[1][:, None, None])
    elbo = -quadrature.kl_on_grid(log_q, table, grid)
    torch.testing.assert_close(elbo.detach(), best.elbo, rtol=0, atol=1e-9)
    for slope in torch.autograd.grad(elbo.sum(), parameters):
        assert slope.abs().max() < 1e-4
    mu, sd = diagnostics._scan(table, grid)
    assert (best.elbo >= diagnostics._ascent_step(table, mu, sd, grid)[0] - 1e-12).all()


def test_the_step_is_newtons():
    """Against autograd's Hessian in (mean / width, log width), near a top, where it is bent down along both axes."""
    grid, table = quadrature.normal_grid(), mixture(0.05, quadrature.normal_grid()) + 0.1 * quadrature.normal_grid().z[:, 0] ** 3

    def elbo(at):
        log_q = gaussian_log_density(grid.z, at[0].reshape(1), 2 * at[1].reshape(1))
        return -quadrature.kl_on_grid(log_q, table, grid)

    sd = torch.tensor(0.45)
    at = torch.stack([torch.tensor(2.3), sd.log()])
    slope, bend = (functional(elbo, at) for functional in (jacobian, hessian))
    assert (torch.linalg.eigvalsh(bend) < 0).all()
    step = torch.linalg.solve(bend, -slope)
    found = diagnostics._ascent_step(table[None], at[:1], sd[None], grid)[1][0]
    assert step[0].abs() < sd and step[1].abs() < 0.5
    torch.testing.assert_close(found * torch.stack([sd, torch.ones(())]), step, rtol=1e-8, atol=1e-8)


def test_a_table_without_a_best_normal_is_refused():
    grid = quadrature.normal_grid()
    narrow = Normal(0.0, 0.002).log_prob(grid.z[:, 0])
    with pytest.raises(ValueError, match=r"grid of 2001 nodes is too coarse: its step 0.008"):
        best_normal(narrow, grid)
    for sd in (0.0103, 0.011):  # on either side of what the step of the grid resolves
        table = Normal(0.0, sd).log_prob(grid.z[:, 0])
        if sd < 0.008 / quadrature.MAX_STEP:
            with pytest.raises(ValueError, match="grid of 2001 nodes is too coarse"):
                best_normal(table, grid)
        else:
            assert best_normal(table, grid).log_var.item() == pytest.approx(2 * math.log(sd), abs=1e-6)
    with pytest.raises(ValueError, match="nearer than 6 widths to an end of the grid"):
        best_normal(Normal(12.0, 1.0).log_prob(grid.z[:, 0]), grid)
    with pytest.raises(ValueError, match=r"log_density has shape \(2000,\); expected \(..., 2001\)"):
        best_normal(narrow[1:], grid)
    with pytest.raises(ValueError, match="log_density holds 1 values that are NaN"):
        best_normal(narrow.index_fill(0, torch.tensor(3), -math.inf), grid)


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_aggregate_is_the_mixture_of_all_q(latent_dim, monkeypatch):
    draw = torch.Generator().manual_seed(0)
    z, mu = torch.randn(7, latent_dim, generator=draw), torch.randn(2, 5, latent_dim, generator=draw)
    log_var = torch.randn(2, 5, latent_dim, generator=draw)
    for run in range(2):
        parts = Independent(Normal(mu[run], (0.5 * log_var[run]).exp()), 1)
        exact = MixtureSameFamily(Categorical(torch.ones(5)), parts).log_prob(z)
        torch.testing.assert_close(log_aggregate(z, mu[run], log_var[run]), exact)
        torch.testing.assert_close(log_aggregate(z, mu, log_var)[run], exact)
    whole = log_aggregate(z, mu, log_var)
    monkeypatch.setattr(diagnostics, "TABLE", 30)  # three places at a time
    torch.testing.assert_close(log_aggregate(z, mu, log_var), whole)
    with pytest.raises(ValueError, match=r"mu \(2, 5, \d\) and log_var \(5, \d\) differ"):
        log_aggregate(z, mu, log_var[0])
    with pytest.raises(ValueError, match=r"z has shape \(7,\)"):
        log_aggregate(z[:, 0], mu, log_var)


def test_active_units_by_their_variance():
    mu = torch.randn(2, 1000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[[1.0, 0.09, 0.11]], [[0.05, 2.0, 0.5]]]
    )
    assert active_units(mu).tolist() == [[True, False, True], [False, True, True]]
    assert active_units(torch.tensor([[0.0, 0.0], [0.2 - 1e-6, 0.2 + 1e-6]])).tolist() == [False, True]  # variance 0.01 and above
    for shape in ((3,), (), (0, 3)):
        with pytest.raises(ValueError, match="mu has shape"):
            active_units(torch.ones(shape))
    with pytest.raises(ValueError, match="mu holds 1 values that are NaN"):
        active_units(torch.tensor([[0.0], [math.nan]]))
