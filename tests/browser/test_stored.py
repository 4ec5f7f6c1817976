"""What chapters 07 and 12 stored for their explorables, read in a browser, gives vaelib's numbers; and the surface of chapter 08.

Run by ``make site-test``.
"""

import base64
import math
from pathlib import Path

import pytest
import torch

import explorables
from vaelib import quadrature
from vaelib.gaussian import gaussian_log_density
from vaelib.kl import kl_to_standard_normal
from vaelib.nets import VAE
from vaelib.spiral import curve
from vaelib.verify import rng

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = {"sigma_dial": "07_sigma_as_weight", "latent_plane": "12_digits"}
DATA = {name: explorables.stored(ROOT / "chapters" / f"{notebook}.ipynb", name) for name, notebook in NOTEBOOKS.items()}


@pytest.fixture(scope="module")
def run(browser):
    """Evaluates JavaScript with the engine, the networks, the stored data and the given numbers as `it`."""
    page = browser.new_page()
    for script in ("engine", "networks", "bowl_loss"):
        page.add_script_tag(path=ROOT / "explorables" / f"{script}.js")
    for data in DATA.values():
        page.add_script_tag(content=explorables.data_script(data))
    yield lambda code, **it: page.evaluate(f"(it) => {{ {code} }}", it)
    page.close()


def tensor(text, *shape):
    """A stored array of little-endian float32, in float64."""
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32).double().view(*shape)


def loaded(state, **options):
    """A vaelib model with the stored weights, of one run; what was not stored stays as it is drawn."""
    vae = VAE(**options)
    found = {key: tensor(text, 1, *shape) for key, (*shape, text) in state.items()}
    assert not vae.load_state_dict(found, strict=False).unexpected_keys
    return vae.requires_grad_(False)


def dial(at):
    sigma = DATA["sigma_dial"]["ratios"][at] * DATA["sigma_dial"]["sigma_data"]
    return loaded(DATA["sigma_dial"]["decoders"][at], hidden=(32, 32), sigma=sigma)


def rate_and_distortion(vae, x, mu, log_var):
    """KL and expected squared error of each point under q, exact."""
    eps = quadrature.normal_grid(161)
    z = mu + (0.5 * log_var).exp() * eps.z.T
    error = (x[:, None] - vae.decode(z.reshape(-1, 1))[0].view(len(x), -1, 2)).square().sum(-1)
    return kl_to_standard_normal(mu, log_var), quadrature.expectation(error, eps.log_prior, eps)


def close(found, expected, tol):
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), expected.double(), rtol=tol, atol=tol)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_travels_is_small(name):
    assert len(explorables.data_script(DATA[name])) <= explorables.MOST


def test_digits_are_encoded_and_decoded_as_by_vaelib(run):
    plane = loaded(DATA["latent_plane"]["weights"], data_dim=64, latent_dim=2, hidden=(64,), sigma=1.0, learn_sigma=True)
    assert plane.sigma.item() == pytest.approx(DATA["latent_plane"]["sigma"], rel=1e-6)
    z = 2 * torch.randn(50, 2, generator=rng(0))
    network = "const net = Networks.network(VaeData.latent_plane.weights, it.part); return it.rows.map((row) => [...net(row)]);"
    close(run(network, part="decoder", rows=z.tolist()), plane.decode(z)[0], 1e-9)
    levels = torch.tensor([["0123456789abcdefg".index(level) for level in image] for image in DATA["latent_plane"]["images"]])
    x = (levels + 0.5) / 17
    mu, log_var = (part[0] for part in plane.encode(x))
    close(run(network, part="encoder", rows=x.tolist()), torch.cat([mu, log_var], -1), 1e-9)
    # The chapter's means are those of the images with a noise within each level.
    assert (tensor(DATA["latent_plane"]["mu"], -1, 2) - mu).abs().mean() < 0.1


def test_aggregate_is_the_mean_of_the_posteriors(run):
    mu, log_var = torch.randn(2, 30, 2, generator=rng(1))
    z = torch.randn(20, 2, generator=rng(2))
    found = run(
        "const p = Networks.aggregate(it.mu, it.std); return it.z.map(p);",
        mu=mu.tolist(), std=(0.5 * log_var).exp().tolist(), z=z.tolist(),
    )  # fmt: skip
    close(found, gaussian_log_density(z[:, None], mu, log_var).exp().mean(-1), 1e-10)


@pytest.mark.parametrize("at", range(15))
def test_posterior_and_gap_of_the_dial_are_exact(run, at):
    data, vae = DATA["sigma_dial"], dial(at)
    x, (mu, log_var) = tensor(data["x"], 200, 2), (tensor(part, 200, 1) for part in data["q"][at])
    some = [0, 6, 60, 124, 199]
    found = run(
        """const { decoders, ratios, sigma_data } = VaeData.sigma_dial;
        const [decode, sigma] = [Networks.network(decoders[it.at], "decoder"), ratios[it.at] * sigma_data];
        const grid = Networks.grid(decode, sigma);
        const moved = (axis) => grid.z.slice(1).map((_, i) => grid.means[2 * i + 2 + axis] - grid.means[2 * i + axis]);
        const [along, across] = [moved(0), moved(1)];
        if (along.some((step, i) => Math.hypot(step, across[i]) > it.max_step * sigma)) throw new Error("a coarse grid");
        return it.x.map((x, i) => {
          const { logEvidence, mean, std } = VaeEngine.posterior(grid, ...x);
          return [logEvidence, mean, std, Networks.gap({ decode, sigma }, x, it.mu[i], it.log_var[i], logEvidence)];
        });""",
        at=at, max_step=quadrature.MAX_STEP, x=x[some].tolist(), mu=mu[some, 0].tolist(), log_var=log_var[some, 0].tolist(),
    )  # fmt: skip
    grid = quadrature.resolving_grid(vae.decode, vae.sigma, x[some])
    evidence = quadrature.log_evidence(x[some], vae.decode, vae.sigma, grid)[0]
    posterior = quadrature.log_posterior(x[some], vae.decode, vae.sigma, grid)[0]
    mean = quadrature.expectation(grid.z[:, 0], posterior, grid)
    std = quadrature.expectation((grid.z[:, 0] - mean[:, None]) ** 2, posterior, grid).sqrt()
    kl, distortion = rate_and_distortion(vae, x[some], mu[some], log_var[some])
    reconstruction = -distortion / (2 * vae.sigma**2) - torch.log(2 * math.pi * vae.sigma**2)
    gap = evidence - reconstruction + kl
    close(found, torch.stack([evidence, mean, std, gap], -1), 1e-8)


@pytest.mark.parametrize("at", range(15))
def test_numbers_of_the_dial_belong_to_its_weights(at):
    data, vae = DATA["sigma_dial"], dial(at)
    x, (mu, log_var) = tensor(data["x"], 200, 2), (tensor(part, 200, 1) for part in data["q"][at])
    rate, distortion = (part.mean().item() for part in rate_and_distortion(vae, x, mu, log_var))
    assert rate == pytest.approx(data["rate"][at], abs=1e-5)
    assert distortion == pytest.approx(data["distortion"][at], rel=1e-4)
    if data["train"][at] is not None:
        train = quadrature.log_evidence(x, vae.decode, vae.sigma).mean().item()
        assert train == pytest.approx(data["train"][at], abs=1e-5)


def test_spiral_of_the_dial_is_the_true_curve(run):
    t = torch.linspace(0.1, 1, 200)
    close(run("return [...VaeEngine.curve(it.t, 1.4)];", t=t.tolist()), curve(t).flatten(), 1e-12)


@pytest.mark.parametrize("r", [0.7, 0.95, 1.0, 1.2])
def test_surface_around_collapse_is_the_loss_of_the_linear_vae(run, r):
    # One data axis with variance 1, where sigma_c = 1; the encoder's width is found by Newton's method on its logarithm.
    y = torch.randn(200, generator=rng(0))
    y = (y - y.mean()) / y.std(correction=0)
    eps = quadrature.normal_grid(161)

    def loss(slopes, log_var):  # less that of collapse
        a, d = slopes
        mu = d * y
        z = mu[:, None] + (0.5 * log_var).exp() * eps.z[:, 0]
        error = quadrature.expectation((y[:, None] - a * z).square(), eps.log_prior, eps).mean() / (2 * r**2)
        return error + 0.5 * (mu**2 + log_var.exp() - 1 - log_var).mean() - 1 / (2 * r**2)

    def best_width(slopes):
        log_var = torch.zeros(())
        for _ in range(30):
            first = torch.autograd.functional.jacobian(lambda v: loss(slopes, v), log_var)
            second = torch.autograd.functional.hessian(lambda v: loss(slopes, v), log_var)
            log_var = log_var - first / second
        return log_var

    for slopes in torch.tensor([[0.1, 0.02], [0.6, 0.6], [-0.9, 0.3], [0.4, 1.2]]):
        log_var = best_width(slopes)
        grad = torch.autograd.functional.jacobian(lambda s: loss(s, log_var), slopes)  # the width has none at its best
        kl = kl_to_standard_normal((slopes[1] * y)[:, None], log_var.expand(200, 1)).mean()
        found = run(
            "const { change, gradient, kl } = CollapseLoss; return [change(...it.at), ...gradient(...it.at), kl(...it.at)];",
            at=[r, *slopes.tolist()],
        )
        close(found, torch.stack([loss(slopes, log_var), *grad, kl]), 1e-8)
    hessian = torch.autograd.functional.hessian(lambda s: loss(s, torch.zeros(())), torch.zeros(2))
    found = run("return [CollapseLoss.growth(it.r), CollapseLoss.rest(it.r)];", r=r)
    close(found[0], -torch.linalg.eigvalsh(hessian)[0], 1e-8)
    lowest = run("return CollapseLoss.gradient(it.r, it.at, it.at);", r=r, at=found[1])
    assert lowest == pytest.approx([0, 0], abs=1e-12)
    assert (found[1] > 0) == (r < 1) == (found[0] > 1e-12)
    assert found[1] ** 2 == pytest.approx(max(0, 1 - math.pow(r, 2)), abs=1e-12)
