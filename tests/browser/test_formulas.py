"""The numbers of explorables/formulas.js, computed in a browser, are vaelib's."""

import itertools
import math
from pathlib import Path

import nbformat
import pytest
import torch
from sklearn import datasets

from vaelib import kl, quadrature, spiral
from vaelib.gaussian import gaussian_log_density
from vaelib.likelihood import gaussian_log_likelihood, implied_sigma
from vaelib.thresholds import collapse_threshold, evidence_threshold
from vaelib.verify import rng

GRID = quadrature.normal_grid()
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def formulas(browser):
    """Calls JavaScript with Formulas as F and the argument as `it`."""
    tab = browser.new_page()
    for script in ("engine.js", "formulas.js"):
        tab.add_script_tag(path=ROOT / "explorables" / script)
    yield lambda code, it=None: torch.tensor(tab.evaluate(f"(it) => {{ const F = Formulas; return {code}; }}", it))
    tab.close()


def cases(n=200):
    """Means and log variances, some of them at the prior and near it, (n, 2)."""
    wide = torch.randn(n, 2, generator=rng(0)) * torch.tensor([2.0, 3.0])
    wide[:20] *= 10.0 ** -torch.arange(20)[:, None]
    return wide


def test_kl_and_its_gradient(formulas):
    given = cases().requires_grad_(True)
    exact = kl.kl_to_standard_normal_per_dim(*given.T)
    [slope] = torch.autograd.grad(exact.sum(), given)
    rows = given.detach().tolist()
    torch.testing.assert_close(formulas("it.map(([m, l]) => F.kl(m, l))", rows), exact.detach(), rtol=1e-9, atol=1e-16)
    torch.testing.assert_close(formulas("it.map(([m, l]) => F.klGradient(m, l))", rows), slope, rtol=1e-12, atol=1e-15)


def test_g_fed_the_standard_deviation(formulas):
    given = cases().requires_grad_(True)
    mu, std = given[:, 0], (0.5 * given[:, 1]).exp()
    counted = -0.5 * (1 + std.log() - std - mu**2)
    [slope] = torch.autograd.grad(counted.sum(), given)
    rows = given.detach().tolist()
    torch.testing.assert_close(formulas("it.map(([m, l]) => F.klMisread(m, l))", rows), counted.detach(), rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(formulas("it.map(([m, l]) => F.klMisreadGradient(m, l))", rows), slope, rtol=1e-9, atol=1e-14)


def test_linear_model(formulas):
    w, noise_var, x = 2.0, 0.25, 2.5
    model = "F.linearModel({ w: 2, noiseVar: 0.25, x: 2.5 })"
    log_lik = gaussian_log_likelihood(torch.tensor([[x]]), w * GRID.z, noise_var**0.5)  # (G,)
    evidence = quadrature.log_evidence(torch.tensor([[x]]), lambda z: w * z, noise_var**0.5, GRID)
    torch.testing.assert_close(formulas(f"[{model}.logEvidence]"), evidence.flatten(), rtol=1e-10, atol=0)
    posterior = quadrature.log_posterior(torch.tensor([[x]]), lambda z: w * z, noise_var**0.5, GRID)[0]
    mean = quadrature.expectation(GRID.z[:, 0], posterior, GRID)
    variance = quadrature.expectation((GRID.z[:, 0] - mean) ** 2, posterior, GRID)
    moments = torch.stack([mean, variance.log()])
    torch.testing.assert_close(formulas(f"Object.values({model}.posterior)"), moments, rtol=1e-9, atol=0)
    given = torch.tensor([[0.3, -1.0], [1.2, -3.6], [-0.5, -0.4]], requires_grad=True)
    log_q = torch.stack([gaussian_log_density(GRID.z, m, v) for m, v in given[:, :, None]])  # (3, G)
    exact = quadrature.expectation(log_lik, log_q, GRID)
    [slope] = torch.autograd.grad(exact.sum(), given)
    rows = given.detach().tolist()
    ours = formulas(f"it.map(([m, l]) => {model}.reconstruction(m, l))", rows)
    torch.testing.assert_close(ours, exact.detach(), rtol=1e-9, atol=0)
    ours = formulas(f"it.map(([m, l]) => {model}.reconstructionGradient(m, l))", rows)
    torch.testing.assert_close(ours, slope, rtol=1e-7, atol=1e-9)


def test_implied_sigma_of_every_combination(formulas):
    reductions = ("sum", "mean", "batchmean")
    sizes = ((784, 20, 128), (2, 1, 100), (12_288, 64, 7))
    weights = ((1.0, 1.0), (0.5, 2.0), (784.0, 0.00025))
    written, expected = [], []
    for loss, r, k, (D, d, B), (a, b) in itertools.product(
        ("squared_error", "cross_entropy"), reductions, reductions, sizes, weights
    ):
        names = {"loss": loss, "reconstruction": r, "kl": k}
        written.append(
            names | {"dataDim": D, "latentDim": d, "batchSize": B, "errorWeight": a, "klWeight": b},
        )
        implied = implied_sigma(**names, data_dim=D, latent_dim=d, batch_size=B, error_weight=a, kl_weight=b)
        expected.append([math.nan if implied.sigma is None else implied.sigma, implied.beta])
    found = formulas("it.map((loss) => { const { sigma, beta } = F.impliedSigma(loss); return [sigma ?? NaN, beta]; })", written)
    assert len(written) == 162
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-12, atol=0, equal_nan=True)


def critical_beta(x):
    """Of a Bernoulli decoder, on the pixels that vary: chapter 05."""
    x = x[:, x.var(0) > 0]
    std = (x.mean(0) * (1 - x.mean(0))).sqrt()
    return torch.linalg.eigvalsh(torch.cov(x.T, correction=0) / (std[:, None] * std))[-1]


def images_of_discs():
    """The chapter's own, made by its own cells."""
    names = {}
    for cell in nbformat.read(ROOT / "chapters" / "05_likelihood.ipynb", 4).cells:
        if cell.id in ("lik-001", "lik-002", "lik-003"):
            exec(cell.source, names)
    return names["images"]


def test_spreads_of_the_data_offered(formulas):
    columns = torch.tensor(datasets.load_wine().data)
    noise = torch.tensor([[math.sqrt(2.0), 0.0], [-math.sqrt(2.0), 0.0], [0.0, math.sqrt(2.0)], [0.0, -math.sqrt(2.0)]])
    offered = {
        "discs": images_of_discs(),
        "digits": torch.tensor(datasets.load_digits().data) / 16,
        "noise": noise,  # unit covariance, and kappa(s) below |s|^2 / 2
        "columns": (columns - columns.mean(0)) / columns.std(0, correction=0),
        "spiral": spiral.sample_published(rng(0))[1],
    }
    for name, x in offered.items():
        found = formulas(f"(({{ edge, limit, beta, dim }}) => [edge, limit, beta ?? NaN, dim ?? NaN])(F.SPREADS.{name})")
        torch.testing.assert_close(found[0], collapse_threshold(x), rtol=1e-6, atol=0)
        torch.testing.assert_close(found[1], evidence_threshold(x), rtol=1e-6, atol=0)
        if name in ("discs", "digits"):
            torch.testing.assert_close(found[2], critical_beta(x), rtol=1e-6, atol=0)
        assert name == "noise" or found[3] == x.shape[1]
    assert len(offered) == len(formulas("Object.keys(F.SPREADS).map(() => 1)"))


def exact_estimators(value, mu, sigma, baseline):
    """The same by vaelib's quadrature; the slope by autograd."""
    eps = GRID.z[:, 0]

    def expect(h):
        return quadrature.expectation(h, GRID.log_prior, GRID)

    z = (mu + sigma * eps).requires_grad_(True)
    values = value(z)
    [slope] = torch.autograd.grad(values.sum(), z)
    values = values.detach()
    objective, gradient = expect(values), expect(values * eps) / sigma  # the gradient by the score
    c = objective if baseline else 0.0
    spread = [(expect(draw**2) - gradient**2).sqrt() for draw in (slope, (values - c) * eps / sigma)]
    return torch.stack([objective, gradient, *spread])


@pytest.mark.parametrize("baseline", [False, True])
def test_both_estimators(formulas, baseline):
    def bend(z):
        return gaussian_log_likelihood(torch.tensor([1.2]), 2 * z.tanh()[:, None], 0.5)

    for mu, sigma in ((-0.2, 0.45), (0.9, 0.1), (-1.5, 1.2)):
        for code, value in (("F.bend", bend), ("F.wave(4)", lambda z: (4 * z).sin())):
            found = formulas(f"Object.values(F.estimators({code}, {mu}, {sigma}, {str(baseline).lower()}))")
            torch.testing.assert_close(found, exact_estimators(value, mu, sigma, baseline), rtol=1e-7, atol=1e-9)


def test_the_order_turns_where_the_chapter_says(formulas):
    """At mu = 0 the second moments cross at kappa^2 - 1 = (3 kappa^2 - 1) exp(-2 kappa^2)."""
    low, high = 0.5, 2.0
    for _ in range(60):
        kappa = (low + high) / 2
        gap = kappa**2 - 1 - (3 * kappa**2 - 1) * math.exp(-2 * kappa**2)
        low, high = (low, kappa) if gap > 0 else (kappa, high)
    sigma = kappa / 4
    spreads = formulas(f"Object.values(F.estimators(F.wave(4), 0, {sigma}))")[2:]
    torch.testing.assert_close(spreads[0], spreads[1], rtol=1e-6, atol=0)
