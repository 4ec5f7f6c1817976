import functools
import operator

import pytest
import torch

from vaelib import quadrature, spiral
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.sweep import sweep
from vaelib.train import RECORDS, Adam, fit, flat_gradient, one_cycle


def points(n=40):
    return spiral.sample_spiral(n, generator=torch.Generator().manual_seed(0))[1]


def generator():
    return torch.Generator().manual_seed(1)


@pytest.mark.parametrize("options", [{}, {"batch_size": 15, "anneal": False}, {"samples": 3}], ids=str)
def test_run_r_of_a_stack_is_run_r_alone(options):
    sigma = [0.1, 0.2, 1.0]
    stack = VAE(hidden=(8,), sigma=sigma, seeds=[4, 5, 6])
    together = fit(stack, points(), steps=120, lr=0.02, generator=generator(), **options)
    for r in range(3):
        alone = VAE(hidden=(8,), sigma=sigma[r], seeds=[4 + r])
        history = fit(alone, points(), steps=120, lr=0.02, generator=generator(), **options)
        torch.testing.assert_close(history.elbo[:, 0], together.elbo[:, r], rtol=1e-8, atol=1e-8)
        for a, b in zip(alone.parameters(), stack.pick([r]).parameters(), strict=False):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-8)


def test_a_linear_vae_reaches_the_evidence_of_its_data():
    """For Gaussian data the ELBO of a linear VAE can be tight: at the optimum the model is the data's own normal."""
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([2.0, 0.5])
    vae = VAE(hidden=(), sigma=0.5, seeds=[0])
    fit(vae, x, steps=1500, lr=0.05, samples=4, generator=generator())
    centred = x - x.mean(0)
    top = torch.linalg.eigvalsh(centred.T @ centred / len(x))[-1]
    covariance = 0.25 * torch.eye(2)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    covariance += (top - 0.25) * torch.outer(vectors[:, -1], vectors[:, -1])
    optimum = torch.distributions.MultivariateNormal(x.mean(0), covariance).log_prob(x).mean()
    grid = quadrature.resolving_grid(vae.decode, vae.sigma)
    evidence = quadrature.log_evidence(x, vae.decode, vae.sigma, grid).mean()
    assert optimum - 5e-3 < evidence <= optimum + 1e-12


def test_a_very_large_sigma_collapses():
    x = points(100)
    vae = VAE(hidden=(8,), sigma=20.0, seeds=[0])
    fit(vae, x, steps=500, lr=0.03, generator=generator())
    mu, log_var = vae.encode(x)
    assert mu.abs().max() < 0.05 and log_var.abs().max() < 0.05


def test_history_notes_the_elbo_along_the_way():
    history = fit(VAE(hidden=(4,), sigma=1.0, seeds=[0, 1]), points(), steps=250, lr=0.01, generator=generator())
    assert history.step[-1] == 250 and history.elbo.shape == (len(history.step), 2)
    assert len(history.step) <= RECORDS + 25
    assert (history.elbo[-1] > history.elbo[0]).all()


def test_the_noise_comes_from_the_generator_alone():
    ends = []
    for seed in (1, 1, 2):
        vae = VAE(hidden=(4,), sigma=1.0)
        torch.rand(3)  # disturbs the global generator, which must not matter
        fit(vae, points(), steps=20, lr=0.01, generator=torch.Generator().manual_seed(seed))
        ends.append(torch.cat([p.detach().flatten() for p in vae.parameters()]))
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_sweep_is_the_grid_of_single_fits():
    x = points()
    result = sweep(x, sigmas=[0.2, 1.0], seeds=[3, 4, 5], steps=60, lr=0.02, generator=generator(), hidden=(4,))
    assert result.vae.sigma.tolist() == [0.2] * 3 + [1.0] * 3
    assert result.by_sigma(result.vae.sigma).tolist() == [[0.2] * 3, [1.0] * 3]
    assert list(result.runs(1)) == [3, 4, 5]
    alone = VAE(hidden=(4,), sigma=1.0, seeds=[4])
    fit(alone, x, steps=60, lr=0.02, generator=generator())
    torch.testing.assert_close(alone.decode(x[:, :1])[0], result.vae.decode(x[:, :1])[4])


def test_an_objective_replaces_the_elbo_and_sees_the_step():
    steps = []

    def objective(vae, x, eps, step):
        steps.append(step)
        return -(vae.decode(torch.zeros(1, 1)) - 3).square().sum(-1).expand(2, len(x))

    vae = VAE(hidden=(4,), sigma=1.0, seeds=[0, 1])
    encoder = [p.clone() for p in vae.encoder.parameters()]
    history = fit(vae, points(), steps=200, lr=0.1, generator=generator(), objective=objective)
    torch.testing.assert_close(vae.decode(torch.zeros(1, 1)), torch.full((2, 1, 2), 3.0), atol=0.01, rtol=0)
    assert steps == list(range(1, 201)) and history.elbo.shape == (100, 2) and history.elbo[-1].min() > -1e-4
    assert all(torch.equal(a, b) for a, b in zip(encoder, vae.encoder.parameters(), strict=False))


def test_an_objective_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"objective returned shape \(\); expected \(R, N\) = \(1, 40\)"):
        fit(
            VAE(hidden=(4,), sigma=1.0),
            points(),
            steps=5,
            lr=0.01,
            generator=generator(),
            objective=lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo.mean(),
        )


def test_a_learned_sigma_of_a_decoder_held_still_is_its_closed_form():
    """With the decoder's weights at zero and its bias at the mean of x, the best variance is that of the data."""
    x = points()
    for shape, exact in (((1,), x.var(0, correction=0).mean()[None]), ((1, 2), x.var(0, correction=0)[None])):
        vae = VAE(hidden=(), sigma=torch.ones(shape), learn_sigma=True)
        for parameter in vae.decoder.parameters():
            parameter.data.zero_()
            parameter.requires_grad_(False)
        vae.decoder.net.layers[0].bias.data[:] = x.mean(0)
        fit(vae, x, steps=300, lr=0.1, generator=generator())
        torch.testing.assert_close(vae.sigma.square(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, found 0"),
        ({"lr": 0.0}, "lr must be positive and finite, found 0"),
        ({"samples": 0}, "samples must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": 41}, "batch_size 41 is larger than the 40 points"),
        ({"x": torch.full((3, 2), torch.nan)}, "x holds 6 values that are NaN or infinite"),
        ({"x": torch.zeros(3, 5)}, r"x has shape \(3, 5\); expected \(N, 2\)"),
        ({"x": torch.zeros(4, 3, 2)}, r"x holds data for 4 runs; expected 1"),
        ({"x": torch.zeros(0, 2)}, r"x has shape \(0, 2\)"),
        ({"x": [[0.0, 0.0]]}, "x has shape list"),
        ({"steps": 2.5}, "steps must be a whole number"),
        ({"lr": float("nan")}, "lr must be positive and finite, found nan"),
        ({"dtype": torch.bfloat16}, "must be torch.float32 or torch.float64, found torch.bfloat16"),
    ],
    ids=str,
)
def test_bad_input_is_refused_and_nothing_is_lost(options, message):
    vae = VAE(hidden=(4,), sigma=1.0)
    before = [p.clone() for p in vae.parameters()]
    x = options.pop("x", points())
    with pytest.raises(ValueError, match=message):
        fit(vae, x, **{"steps": 5, "lr": 0.01, "generator": generator(), **options})
    assert all(torch.equal(a, b) for a, b in zip(before, vae.parameters(), strict=False))


def test_a_diverging_fit_says_which_run():
    vae = VAE(hidden=(4,), sigma=[1.0, 1.0], seeds=[0, 1])
    vae.encoder.net.layers[0].weight.data[1] = torch.nan
    with pytest.raises(ValueError, match="the objective of run 1 is not finite at step 1"):
        fit(vae, points(), steps=5, lr=0.01, generator=generator())


def test_empty_sweep_is_refused():
    with pytest.raises(ValueError, match="found 0 sigmas and 1 seeds"):
        sweep(points(), sigmas=[], seeds=[0], steps=5, lr=0.01, generator=generator())


def test_a_frozen_model_is_refused_and_a_half_frozen_one_keeps_its_half():
    vae = VAE(hidden=(4,), sigma=1.0).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of vae requires a gradient"):
        fit(vae, points(), steps=5, lr=0.01, generator=generator())
    vae.encoder.requires_grad_()
    encoder, decoder = ([p.clone() for p in part.parameters()] for part in (vae.encoder, vae.decoder))
    fit(vae, points(), steps=5, lr=0.01, generator=generator())
    assert all(torch.equal(a, b) for a, b in zip(decoder, vae.decoder.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(encoder, vae.encoder.parameters(), strict=True))
    assert all(p.grad is None for p in vae.parameters())


@pytest.mark.parametrize("options", [{}, {"batch_size": 15, "samples": 2, "anneal": False}], ids=str)
@pytest.mark.parametrize("model", [{}, {"learn_sigma": True, "hidden": (6, 5), "latent_dim": 2}], ids=str)
def test_by_hand_and_by_autograd_the_fit_is_the_same(model, options):
    ends = []
    for objective in (None, lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo):
        vae = VAE(sigma=0.3, seeds=[0, 1], **model)
        history = fit(vae, points(), steps=60, lr=0.02, generator=generator(), objective=objective, **options)
        ends.append((history.elbo, *vae.parameters()))
    for a, b in zip(*ends, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_the_loop_is_that_of_torch_with_its_adam_and_its_one_cycle():
    """A second program: the published loss by autograd, torch's optimiser and schedule, the same noise."""
    vae, twin = (VAE(hidden=(6,), sigma=0.3, seeds=[4]) for _ in range(2))
    fit(vae, points(), steps=90, lr=0.03, generator=generator())
    optimizer, noise = torch.optim.Adam(twin.parameters(), lr=0.03), generator()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.03, total_steps=90, cycle_momentum=False)
    for _ in range(90):
        loss = -elbo_terms(twin, points(), torch.randn(40, 1, 1, generator=noise)).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    for a, b in zip(vae.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 997])
def test_one_cycle_is_that_of_torch(steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.7, total_steps=steps, cycle_momentum=False)
    for step in range(steps):
        assert one_cycle(step, steps, 0.7) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        if step < steps - 1:
            schedule.step()


def test_adam_is_that_of_torch():
    source = torch.Generator().manual_seed(0)
    theta = torch.randn(7, generator=source)
    twin = torch.nn.Parameter(theta.clone())
    mine, theirs = Adam(theta), torch.optim.Adam([twin], lr=0.1)
    for _ in range(50):
        grad = torch.randn(7, generator=source) * torch.logspace(-6, 3, 7)
        mine.step(grad, 0.1)
        twin.grad = grad.clone()
        theirs.step()
        torch.testing.assert_close(theta, twin.data, rtol=1e-12, atol=1e-14)


def test_a_fit_in_float32_leaves_models_of_float64():
    vae, x = VAE(hidden=(4,), sigma=0.3), points()
    fit(vae, x, steps=40, lr=0.02, generator=generator(), dtype=torch.float32)
    data_decides = VAE(hidden=(4,), sigma=0.3)
    fit(data_decides, x.float(), steps=40, lr=0.02, generator=generator())
    for a, b in zip(vae.parameters(), data_decides.parameters(), strict=True):
        assert a.dtype == torch.float64 and torch.equal(a, b) and torch.equal(a, a.float().double())
    assert vae.sigma.item() == 0.3  # what is not trained is not rounded


@pytest.mark.parametrize("objective", [None, lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo])
def test_the_default_type_of_torch_plays_no_part(objective):
    ends, x = [], points()
    for default in (torch.float32, torch.float64):
        torch.set_default_dtype(default)
        vae = VAE(hidden=(4,), sigma=0.3)
        fit(vae, x, steps=10, lr=0.02, generator=generator(), objective=objective)
        ends.append([p.detach() for p in vae.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_integer_data_is_converted_to_the_models_type():
    vae, twin = VAE(hidden=(4,), sigma=1.0), VAE(hidden=(4,), sigma=1.0)
    x = torch.tensor([[0, 1], [2, 3], [-1, 0]])
    for model, data in ((vae, x), (twin, x.double())):
        fit(model, data, steps=5, lr=0.01, generator=generator())
    assert torch.equal(vae.encode(x.double())[0], twin.encode(x.double())[0])


def test_the_first_epoch_is_shuffled_and_each_epoch_holds_every_point_once():
    seen = []

    def objective(vae, batch, eps, step):
        seen.append(batch[:, 0].tolist())
        return vae.decode(torch.zeros(1, 1)).sum(-1).expand(1, len(batch))

    x = torch.arange(12.0).unsqueeze(-1).expand(-1, 2)
    fit(VAE(hidden=(2,), sigma=1.0), x, steps=6, lr=0.01, batch_size=4, generator=generator(), objective=objective)
    epochs = [functools.reduce(operator.iadd, seen[:3], []), functools.reduce(operator.iadd, seen[3:], [])]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != list(range(12)) and epochs[0] != epochs[1]


def test_flat_gradient_is_every_derivative_in_order():
    a, b, unused = (torch.tensor(values, requires_grad=True) for values in ([1.0, 2.0], [[3.0]], [4.0]))
    value = (a.square().sum() * b).sum()
    assert flat_gradient(value, [a, b, unused]).tolist() == [6.0, 12.0, 5.0, 0.0]
    layer = torch.nn.Linear(2, 1)
    assert flat_gradient(layer(torch.ones(2)).sum(), layer).tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("objective", [None, lambda vae, x, eps, step: elbo_terms(vae, x, eps).elbo])
def test_a_fit_stays_on_the_device_of_the_models(objective):
    """As far as a device without values carries: every shape, and where each tensor is made."""
    vae = VAE(sigma=0.3, seeds=[0, 1], learn_sigma=True, device="meta")
    options = {"batch_size": 15, "samples": 2, "dtype": torch.float32, "objective": objective}
    history = fit(vae, points(), steps=3, lr=0.02, generator=generator(), **options)
    assert history.elbo.device.type == "meta" and history.elbo.shape == (3, 2)
    assert {p.device.type for p in vae.parameters()} == {"meta"} and vae.sigma.dtype == torch.float64


@pytest.mark.parametrize(("runs", "expected"), [(2, 1), (64, 2)])
def test_a_small_fit_takes_one_thread_and_gives_the_others_back(runs, expected):
    used, ours = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        x = torch.randn(100, 2)
        vae = VAE(seeds=range(runs), hidden=(32,), sigma=1.0)

        def objective(vae, x, eps, step):
            used.append(torch.get_num_threads())
            return elbo_terms(vae, x, eps).elbo

        fit(vae, x, steps=1, lr=0.01, generator=torch.Generator().manual_seed(0), objective=objective)
        with pytest.raises(ZeroDivisionError):
            fit(vae, x, steps=1, lr=0.01, generator=torch.Generator(), objective=lambda *_: 1 / 0)
        assert used == [expected] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(ours)
