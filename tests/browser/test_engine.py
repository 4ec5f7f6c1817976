"""The numbers of explorables/engine.js, computed in a browser, are vaelib's.

Run by ``make site-test``.
"""

import base64
import math
from pathlib import Path

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.nn.functional import mse_loss

from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.kl import kl_to_standard_normal
from vaelib.likelihood import implied_sigma
from vaelib.nets import VAE
from vaelib.objective import elbo_terms, log_likelihood
from vaelib.thresholds import collapse_threshold, evidence_threshold
from vaelib.train import fit, flat_gradient
from vaelib.verify import rng

ENGINE = Path(__file__).resolve().parents[2] / "explorables" / "engine.js"


def packed(numbers: Tensor) -> str:
    """Their bytes as text, which travels to the page a hundred times faster than a list."""
    return base64.b64encode(numbers.detach().double().numpy().tobytes()).decode()


@pytest.fixture(scope="module")
def engine(browser):
    """Calls JavaScript with VaeEngine as E and the given numbers as `it`."""
    page = browser.new_page()
    page.add_script_tag(path=ENGINE)

    def call(code, **it):
        it = {name: {"bytes": packed(value)} if isinstance(value, Tensor) else value for name, value in it.items()}
        return page.evaluate(
            f"""(it) => {{
              const E = VaeEngine;
              for (const [name, {{ bytes }}] of Object.entries(it)) {{
                if (bytes) it[name] = new Float64Array(Uint8Array.from(atob(bytes), (one) => one.charCodeAt(0)).buffer);
              }}
              {code}
            }}""",
            it,
        )

    yield call
    page.close()


def theta(vae: VAE) -> Tensor:
    """All parameters as the engine holds them, log sigma at the end."""
    networks = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    return torch.cat([part.detach().flatten() for part in [*networks, vae.sigma.log()]])


def random_vae(seed: int, *, width: int = 16, sigma: float = 0.3, learn_sigma: bool = False, bent: float = 2.0) -> VAE:
    """Weights `bent` times as large as those of a new model, so that its curve bends and its q differ."""
    vae = VAE(hidden=(width,), sigma=sigma, seeds=(seed,), learn_sigma=learn_sigma)
    for parameter in [*vae.encoder.parameters(), *vae.decoder.parameters()]:
        parameter.data *= bent
    return vae


def written(vae: VAE, x: Tensor, eps: Tensor, loss: str, beta: float) -> Tensor:
    """The mean loss a point, by vaelib."""
    mu, log_var = vae.encode(x)
    reconstruction, kl = elbo_terms(vae, x, eps)
    if loss == "g":
        kl = kl_to_standard_normal(mu, 0.5 * log_var)
    elif loss == "std":
        z = mu.unsqueeze(-2) + log_var.exp().unsqueeze(-2) * eps
        reconstruction = log_likelihood(vae, x, z).mean(-1)
    elif loss == "no-half":
        kl = (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
    elif loss == "mse":
        z = mu.unsqueeze(-2) + (0.5 * log_var).exp().unsqueeze(-2) * eps
        mean = vae.decode(z.flatten(1, 2)).unflatten(1, z.shape[1:3])
        return mse_loss(mean, x.unsqueeze(-2).expand_as(mean)) + beta * kl.mean()
    return -(reconstruction - beta * kl).mean()


def close(found, expected: Tensor, rtol: float) -> None:
    """Each number to `rtol` of itself, or of a millionth of the largest where it is next to nothing."""
    expected = expected.detach().flatten()
    found = torch.as_tensor(found, dtype=torch.float64).flatten()
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-6 * rtol * expected.abs().max().item())


def test_tanh_is_exact(engine):
    a = torch.cat([torch.linspace(-25, 25, 4001), torch.logspace(-12, 1, 200)])
    close(engine("return [...it.a].map(E.tanh);", a=a), a.tanh(), 1e-14)


LOSSES = ("right", "g", "std", "no-half", "mse")


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("draws", "learn", "width"), [(1, False, 32), (3, True, 5), (10, False, 8)])
def test_loss_and_gradient_are_those_of_autograd(engine, loss, draws, learn, width):
    learn = learn and loss != "mse"  # a loss that knows no sigma cannot learn one
    for seed in range(5):
        vae = random_vae(seed, width=width, sigma=0.1 + 0.3 * seed, learn_sigma=learn)
        x = spiral.sample_spiral(40, generator=rng(seed))[1]
        eps = torch.randn(40, draws, 1, generator=rng(100 + seed))
        beta = 1.0 if seed == 0 else 0.4 * seed
        value = written(vae, x, eps, loss, beta)
        grad = flat_gradient(value, [*vae.encoder.parameters(), *vae.decoder.parameters(), *([vae.log_sigma] if learn else [])])
        found = engine(
            """const grad = new Float64Array(it.theta.length);
            const { loss } = E.objective(it.theta, it.width, it.x, it.eps, it.options, grad);
            return [loss, ...grad];""",
            theta=theta(vae), x=x, eps=eps, width=width,
            options={"loss": loss, "beta": beta, "sigma": None if learn else vae.sigma.item()},
        )  # fmt: skip
        close(found[0], value, 1e-9)
        close(found[1:] if learn else found[1:-1], grad, 1e-6)
        assert learn or found[-1] == 0


@pytest.mark.parametrize("learn", [False, True])
@pytest.mark.parametrize("loss", ["right", "g"])
def test_500_steps_end_where_fit_ends(engine, loss, learn):
    x = spiral.sample_published(rng(0))[1]
    vae = VAE(sigma=0.3, seeds=(0,), learn_sigma=learn)
    start, eps = theta(vae), torch.stack([torch.randn(200, 2, 1, generator=g) for g in [rng(1)] for _ in range(500)])
    objective = None
    if loss == "g":

        def objective(vae, x, eps, step):
            return elbo_terms(vae, x, eps).reconstruction - kl_to_standard_normal(vae.encode(x)[0], 0.5 * vae.encode(x)[1])

    fit(vae, x, steps=500, lr=0.01, generator=rng(1), samples=2, anneal=False, objective=objective)
    found = engine(
        """const [grad, adam] = [new Float64Array(it.theta.length), E.adam(it.theta.length)];
        for (let step = 0; step < 500; step++) {
          E.objective(it.theta, 32, it.x, it.eps.subarray(400 * step, 400 * step + 400), it.options, grad);
          E.adamStep(it.theta, grad, adam, 0.01);
        }
        return [...it.theta];""",
        theta=start, x=x, eps=eps, options={"loss": loss, "sigma": None if learn else 0.3},
    )  # fmt: skip
    close(found, theta(vae), 1e-6)
    assert (torch.tensor(found) - start).abs().max() > 0.1


@pytest.mark.parametrize("sigma", [0.02, 0.2, 1.0, 3.0])
def test_evidence_and_posterior_are_those_of_quadrature(engine, sigma):
    x = spiral.sample_spiral(30, generator=rng(3))[1]
    for seed in range(3):
        vae = random_vae(seed, sigma=sigma)
        code = "return [...E.logEvidence(it.theta, 16, it.sigma, it.x)];"
        close(engine(code, theta=theta(vae), sigma=sigma, x=x), quadrature.log_evidence(x, vae.decode, vae.sigma)[0], 1e-8)

        own = vae.decode(torch.randn(10, 1, generator=rng(seed)))[0].detach()  # within reach of the shortest grid
        nodes, *found = engine(
            """const grid = E.latentGrid(it.theta, 16, it.sigma);
            const each = Array.from({ length: it.x.length / 2 }, (_, n) => {
              const { mean, std, density } = E.posterior(grid, it.x[2 * n], it.x[2 * n + 1]);
              return [mean, std, density.reduce((a, b) => Math.max(a, b))];
            });
            return [grid.z.length, ...each.flat()];""",
            theta=theta(vae),
            sigma=sigma,
            x=own,
        )
        grid = quadrature.normal_grid(nodes)
        assert nodes == len(quadrature.resolving_grid(vae.decode, vae.sigma).z)
        log_density = quadrature.log_posterior(own, vae.decode, vae.sigma, grid)[0]
        mean = quadrature.expectation(grid.z[:, 0], log_density, grid)
        std = quadrature.expectation((grid.z[:, 0] - mean.unsqueeze(-1)) ** 2, log_density, grid).sqrt()
        close(found, torch.stack([mean, std, log_density.exp().amax(-1)], -1), 1e-8)


def test_evidence_of_a_point_far_beyond_the_prior_takes_a_longer_grid(engine):
    vae = random_vae(0, sigma=0.2, bent=0.05)
    vae.decoder.net.weights[1].data *= 400  # a nearly straight line, on which z = 10 is a place of its own
    x = vae.decode(torch.tensor([[0.5], [10.0]]))[0].detach()
    expected = quadrature.log_evidence(x, vae.decode, vae.sigma)[0]
    assert expected[1] < -30
    short = "return Number.isNaN(E.logEvidenceAt(E.latentGrid(it.theta, 16, 0.2), it.x[2], it.x[3]));"
    assert engine(short, theta=theta(vae), x=x)
    close(engine("return [...E.logEvidence(it.theta, 16, 0.2, it.x)];", theta=theta(vae), x=x), expected, 1e-8)


def test_the_elbo_without_draws_is_that_of_exact_terms(engine):
    vae = random_vae(1, sigma=0.3)
    x = spiral.sample_spiral(30, generator=rng(3))[1]
    found = engine(
        """const { mu, logVar } = E.encode(it.theta, 16, it.x);
        const std = logVar.map((value) => Math.exp(0.5 * value));
        return [...E.reconstruction(it.theta, 16, 0.3, it.x, mu, std)].map((value, n) => [value, E.kl(mu[n], logVar[n])]);""",
        theta=theta(vae), x=x,
    )  # fmt: skip
    close(found, torch.stack(exact_terms(vae, x), -1)[0], 1e-7)


def clouds() -> dict[str, Tensor]:
    generator = rng(5)
    skewed = torch.randn(200, 2, generator=generator).exp()
    ends = torch.cat([torch.zeros(190, 2), torch.tensor([[3.0, 1.0]]).expand(10, 2)])
    return {
        "spiral": spiral.sample_published(rng(0))[1],
        "normal": torch.randn(500, 2, generator=generator) * torch.tensor([2.0, 0.5]),
        "skewed": skewed,
        "few at one end": ends + 0.1 * torch.randn(200, 2, generator=generator),
        "three points": torch.tensor([[0.0, 0.0], [1.0, 0.3], [0.2, 2.0]]),
    }


@pytest.mark.parametrize("name", clouds())
def test_thresholds_are_those_of_vaelib(engine, name):
    x = clouds()[name]
    close(engine("return E.collapseThreshold(it.x);", x=x), collapse_threshold(x), 1e-10)
    close(engine("return E.evidenceThreshold(it.x);", x=x), evidence_threshold(x), 1e-6)


def test_the_assumed_sigma_is_the_implied_one(engine):
    loss = {"data_dim": 2, "latent_dim": 1, "batch_size": 200}
    for beta in (0.25, 1.0, 4.0):
        mean = implied_sigma(reconstruction="mean", kl="mean", kl_weight=beta, **loss)
        close(engine("return E.assumedSigma('mse', 0.3, it.beta);", beta=beta), torch.tensor(mean.sigma), 1e-12)
        for name, factor in (("right", 1), ("g", 1), ("std", 1), ("no-half", 2)):
            same = implied_sigma(
                reconstruction="batchmean", kl="batchmean", error_weight=0.5 / 0.3**2, kl_weight=factor * beta, **loss
            )
            close(engine(f"return E.assumedSigma('{name}', 0.3, it.beta);", beta=beta), torch.tensor(same.sigma), 1e-12)


def test_the_process_is_the_books(engine):
    t, x = spiral.sample_published(rng(0))
    noise = (x - spiral.curve(t)) / spiral.SIGMA
    found = engine(
        """let next = 0;
        const { t, x } = E.spiral({ points: 200, turns: 1.4, noise: 0.2, normal: () => it.noise[next++] });
        return [[...t], [...x]];""",
        noise=noise,
    )
    close(found[0], t, 1e-12)
    close(found[1], x, 1e-12)


def test_random_numbers_are_normal_and_repeat(engine):
    code = "const { normal } = E.random(it.seed); return Array.from({ length: 20_000 }, normal);"
    one, other = (torch.tensor(engine(code, seed=seed), dtype=torch.float64) for seed in (1, 2))
    assert engine(code, seed=1) == one.tolist()
    for power, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        values = one**power - moment
        assert abs(values.mean() / (values.std() / math.sqrt(len(values)))) < 4
    for product in (one * other, one[1:] * one[:-1]):
        assert abs(product.mean() * math.sqrt(len(product))) < 4


def test_a_new_model_has_the_weights_of_torch(engine):
    vae = random_vae(0, width=200, bent=1.0)
    found = torch.tensor(engine("return [...E.initial(200, E.random(1), 0.3)];"), dtype=torch.float64)
    sizes = [part.numel() for part in [*vae.encoder.parameters(), *vae.decoder.parameters()]]
    inputs = [2, 2, 200, 200, 1, 1, 200, 200]
    for part, fan_in in zip(found[:-1].split(sizes), inputs, strict=True):
        bound = fan_in**-0.5
        assert part.abs().max() <= bound
        assert len(part) < 100 or part.abs().max() > 0.9 * bound
    close(found[-1], torch.tensor(0.3).log(), 1e-12)


def test_order_is_the_correlation_of_ranks(engine):
    a, b = torch.randn(2, 50, generator=rng(0))
    found = engine("return E.rankCorrelation(it.a, it.b);", a=a, b=b)
    close(found, torch.tensor(spearmanr(a, b).statistic), 1e-10)
