"""The check-up on models where the truth is known: healthy ones, and each fault planted one by one."""

import copy
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from plain import Plain, data, examine, kl, trained

from vaelib import checkup, ppca, spiral
from vaelib.nets import VAE
from vaelib.quadrature import log_evidence
from vaelib.train import fit

ROOT = Path(__file__).resolve().parent.parent


HEALTHY = [
    {"shape": shape, "d": d, "kind": kind, "dtype": dtype, **more}
    for kind in ("gaussian", "bernoulli")
    for dtype in (torch.float32, torch.float64)
    for shape, d, more in (
        ((7,), 3, {}),
        ((12,), 2, {"hidden": (16, 8)}),
        ((1, 5, 5), 3, {"convolutional": True}),
        ((3, 4), 1, {"beta": 0.3}),
        ((11,), 4, {"beta": 0.7, "learn": True}),
    )
]


@pytest.mark.parametrize("options", HEALTHY, ids=lambda o: f"{o['kind']}-{str(o['dtype'])[6:]}-{o['shape']}-{o.get('beta', 1)}")
def test_nothing_is_found_on_a_healthy_model(options):
    options = dict(options)
    beta = options.pop("beta", 1.0)
    x = data(options["shape"], options["kind"], dtype=options["dtype"])
    model = trained(Plain(**options), x, beta)
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    found = examine(model, x, loss=lambda *given: model.loss(*given, beta=beta))
    assert not found.findings, found
    assert found.numbers["beta"] == pytest.approx(beta, rel=1e-3)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(state, torch.random.get_rng_state())


def test_no_device_is_seeded_but_that_of_the_data(monkeypatch):
    """torch.manual_seed seeds every GPU, of which only that of the data is put back."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("every device was seeded"))
    x = data((7,), "gaussian")
    model, drawn = Plain((7,), 3, "gaussian"), []
    for _ in range(2):
        torch.rand(1)  # whatever the reader's own stream has come to
        examine(model, x, sample=lambda mu, log_var: drawn.append(torch.rand(())) or model.sample(mu, log_var))
    half = len(drawn) // 2
    assert half and drawn[:half] == drawn[half:]


def mse_mean_kl_mean(m):  # commonest: mean squared error, KL averaged over the batch
    return lambda x, z, mu, lv: F.mse_loss(m.decode(z), x) + kl(mu, lv).mean()


def half_errors(m):
    return lambda x, z: -(m.decode(z) - x).square().flatten(1).sum(1) / 2


SIGMA_ONE = {"log_likelihood": lambda m: lambda x, z: torch.distributions.Normal(m.decode(z), 1.0).log_prob(x).flatten(1).sum(1)}
FAULTS = {
    "mean-mse": (
        "gaussian",
        {"loss": mse_mean_kl_mean, "bound": lambda m: None, **SIGMA_ONE},
        "weight of the KL",
        r"beta = 3\.5: .*sigma = 1\.87.*a mean over the D = 7 axes.*error = \(\(x - mean\)\*\*2 / ",
    ),
    "mean-mse-beside-another-sigma": (
        "gaussian",
        {"loss": mse_mean_kl_mean, "bound": lambda m: None},
        "weight of the KL",
        r"sigma = 1\.87.*a mean over the D = 7 axes",
    ),
    "bce-mean-kl-sum": (
        "bernoulli",
        {"loss": lambda m: lambda x, z, mu, lv: F.binary_cross_entropy_with_logits(m.decode(z), x) + kl(mu, lv).sum()},
        "weight of the KL",
        r"(?s)beta = 140.*with half the batch 70.*error = F\.binary_cross_entropy_with_logits\(.*loss = \(error \+ kl\)\.mean",
    ),
    "kl-mean-over-latents": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: (-m.log_likelihood(x, z) + kl(mu, lv) / 3).mean()},
        "weight of the KL",
        r"a mean over the d = 3 latents",
    ),
    "exp-log-var-as-std-in-kl": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: (-m.log_likelihood(x, z) + kl(mu, 2 * lv)).mean()},
        "KL",
        r"used as the standard deviation exp\(log_var / 2\); or.* kl = 0\.5 \* \(mu\*\*2 \+ log_var\.exp\(\) - 1 - log_var\)",
    ),
    "exp-log-var-as-std-in-the-draw": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: mu + lv.exp() * torch.randn_like(mu)},
        "draw of z",
        r"exp\(log_var\) is used as the standard deviation",
    ),
    "half-the-kl": (
        "gaussian",
        {"loss": lambda m: lambda *given: m.loss(*given, beta=0.5)},
        "weight of the KL",
        r"one too many before the KL",
    ),
    "kl-without-its-half": (
        "gaussian",
        {"loss": lambda m: lambda *given: m.loss(*given, beta=2.0)},
        "weight of the KL",
        r"no factor 1/2 before the KL",
    ),
    "kl-summed-without-dim": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: -m.log_likelihood(x, z).mean() + kl(mu, lv).sum()},
        "weight of the KL",
        r"beta = 20.*with half the batch 10.*depends on B",
    ),
    "kl-subtracted": (
        "gaussian",
        {"loss": lambda m: lambda *given: m.loss(*given, beta=-1.0)},
        "weight of the KL",
        r"the KL is ADDED",
    ),
    "no-kl": (
        "gaussian",
        {"loss": lambda m: lambda *given: m.loss(*given, beta=0.0)},
        "KL",
        r"does not depend on mu and log_var",
    ),
    "mu-and-log-var-swapped": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: m.loss(x, z, lv, mu)},
        "KL",
        r"mu and log_var are swapped",
    ),
    "reverse-kl": (
        "gaussian",
        {
            "loss": lambda m: (
                lambda x, z, mu, lv: (-m.log_likelihood(x, z) + 0.5 * ((1 + mu**2) / lv.exp() - 1 + lv).sum(-1)).mean()
            )
        },
        "KL",
        r"KL\(p \|\| q\)",
    ),
    "variance-and-std-mixed": (
        "gaussian",
        {
            "loss": lambda m: (
                lambda x, z, mu, lv: (-m.log_likelihood(x, z) + 0.5 * (mu**2 + (lv / 2).exp() - 1 - lv / 2).sum(-1)).mean()
            )
        },
        "KL",
        r"standard deviation stands where the variance belongs",
    ),
    "clamp": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: m.loss(x, z, mu, lv.clamp(-6, 8))},
        "KL",
        r"no gradient in log_var below -6 and above 8",
    ),
    "prediction-and-target-swapped": (
        "bernoulli",
        {
            "loss": lambda m: (
                lambda x, z, mu, lv: (
                    F.binary_cross_entropy(x.clamp(1e-6, 1 - 1e-6), m.decode(z).sigmoid(), reduction="none").flatten(1).sum(1)
                    + kl(mu, lv)
                ).mean()
            )
        },
        "reconstruction",
        r"swapped",
    ),
    "sign": (
        "gaussian",
        {"loss": lambda m: lambda x, z, mu, lv: (m.log_likelihood(x, z) + kl(mu, lv)).mean()},
        "reconstruction",
        r"MINUS the ELBO",
    ),
    "detached-z": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: m.sample(mu, lv).detach()},
        "draw of z",
        r"no gradient reaches mu",
    ),
    "one-eps-for-the-batch": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: mu + (lv / 2).exp() * torch.randn_like(mu[:1])},
        "draw of z",
        r"one eps for the whole batch",
    ),
    "one-eps-for-all-axes": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: mu + (lv / 2).exp() * torch.randn_like(mu[:, :1])},
        "draw of z",
        r"one eps for all axes",
    ),
    "log-var-detached": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: mu + (lv / 2).exp().detach() * torch.randn_like(mu)},
        "draw of z",
        r"no gradient reaches log_var",
    ),
    "noise-off-centre": (
        "gaussian",
        {"sample": lambda m: lambda mu, lv: mu + (lv / 2).exp() * (torch.randn_like(mu) + 0.2)},
        "draw of z",
        r"off mu",
    ),
    "no-noise": ("gaussian", {"sample": lambda m: lambda mu, lv: mu}, "draw of z", r"no noise"),
    "mean-of-logs": (
        "gaussian",
        {
            "bound": lambda m: (
                lambda x, k: torch.stack([m.log_likelihood(x, m.sample(*m.encode(x))) - kl(*m.encode(x)) for _ in range(k)]).mean(
                    0
                )
            )
        },
        "your bound",
        r"a mean of logs",
    ),
    "no-constant": (
        "gaussian",
        {"log_likelihood": half_errors, "bound": lambda m: None},
        "likelihood",
        r"nats a point above a density",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_named(fault):
    kind, changes, name, expected = FAULTS[fault]
    model, x = Plain((7,), 3, kind), data((7,), kind)
    found = examine(model, x, **{what: change(model) for what, change in changes.items()})
    line = found[name]
    assert line in found.findings, found
    assert re.search(expected, f"{line.found} {line.expected} {line.write}"), line
    # The fault itself, and nothing beside it but what follows from it.
    assert {other.name for other in found.findings} <= {name, "collapse"}, found


def test_a_kl_that_is_estimated_from_z_is_one():
    model, x = Plain((7,), 3, "gaussian"), data((7,), "gaussian")

    def loss(x, z, mu, log_var):
        q = torch.distributions.Normal(mu, (log_var / 2).exp())
        by_draw = (q.log_prob(z) - torch.distributions.Normal(0, 1).log_prob(z)).sum(-1)
        return (0.5 * by_draw - model.log_likelihood(x, z)).mean()

    found = examine(model, x, loss=loss)
    assert found["reconstruction"].verdict == found["KL"].verdict == "ok" and "estimated" in found["KL"].found
    assert found.numbers["beta"] == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("beta", [1.0, 1.4])
def test_a_weight_above_the_threshold_of_binary_data_is_seen(beta):
    """Of independent fair bits the threshold is the largest eigenvalue of their correlations."""
    model, x = Plain((7,), 3, "bernoulli"), data((7,), "bernoulli", n=200)
    largest = torch.linalg.eigvalsh(torch.corrcoef(x.double().T))[-1].item()
    assert 1.2 < largest < 1.35
    found = examine(model, x, loss=lambda *given: model.loss(*given, beta=beta))["collapse"]
    assert f"beta = {beta:g} against {largest:.3g}" in found.found
    assert found.verdict == ("look" if beta > largest else "ok")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_nothing_else_is_found(dtype):
    x = data((7,), "gaussian")
    model = trained(Plain((7,), 3, "gaussian"), x).to(dtype)
    found = examine(model, x.to(dtype))
    assert [line.name for line in found.findings] == ["overflow"], found
    assert "float32" in found["overflow"].expected


def test_a_picture_of_latents_is_drawn_without_an_alarm():
    def encode(x):
        return x[:, None].expand(-1, 16, -1, -1), 0 * x[:, None].expand(-1, 16, -1, -1)

    def log_likelihood(x, z):
        return torch.distributions.Normal(z.mean(1), 1.0).log_prob(x).flatten(1).sum(1)

    found = checkup.report(
        torch.randn(20, 16, 16, generator=torch.Generator().manual_seed(0)),
        encode=encode,
        log_likelihood=log_likelihood,
        sample=lambda mu, log_var: mu + (log_var / 2).exp() * torch.randn_like(mu),
        draws=2,
    )
    assert found["draw of z"].verdict == "ok" and found.numbers["latents"] == 4096


def test_data_outside_the_unit_interval_under_a_cross_entropy():
    model = Plain((7,), 3, "bernoulli")
    assert "cross-entropy, on data from -0.98" in examine(model, data((7,), "gaussian"))["likelihood"].found


def test_overflow_and_collapse_are_seen():
    model, x = Plain((7,), 3, "gaussian"), data((7,), "gaussian")
    wide = examine(model, x, encode=lambda x: (model.encode(x)[0], 0 * x[:, :3] + 60), bound=None, draws=2)
    assert "where exp(log_var) overflows" in wide["overflow"].expected
    dead = examine(model, x, encode=lambda x: (0 * x[:, :3], 0 * x[:, :3]), bound=None)
    assert dead["latents"].verdict == "look" and "0 of 3 active" in dead["latents"].found


def test_the_bound_is_that_of_a_linear_model():
    """With the exact posterior every weight is the evidence itself, so one draw would do."""
    noise = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    x = noise @ torch.randn(5, 5, generator=torch.Generator().manual_seed(1))
    mean, weight, sigma = (ppca.maximum_likelihood(x, latent_dim=1)[name] for name in range(3))
    exact = ppca.log_evidence(x, mean, weight, sigma).mean().item()

    def encode(x):
        mu, covariance = ppca.posterior(x, mean, weight, sigma)
        return mu, covariance.log().expand_as(mu)

    def log_likelihood(x, z):
        return torch.distributions.Normal(mean + z @ weight.mT, sigma).log_prob(x).sum(-1)

    found = checkup.report(x, encode=encode, log_likelihood=log_likelihood, draws=3)
    assert found.numbers["bound"] == pytest.approx(exact, abs=1e-9) == found.numbers["elbo"]
    assert found.numbers["sigma"] == pytest.approx(float(sigma), rel=1e-6)


def test_the_bound_is_the_evidence_of_a_spiral():
    _, x = spiral.sample_spiral(100, generator=torch.Generator().manual_seed(0))
    vae = VAE(hidden=(16,), sigma=0.4, seeds=[0])
    fit(vae, x, steps=1500, lr=0.03, generator=torch.Generator().manual_seed(0))
    found = checkup.report(
        x,
        encode=lambda x: tuple(part[0] for part in vae.encode(x)),
        log_likelihood=lambda x, z: torch.distributions.Normal(vae.decode(z)[0], 0.4).log_prob(x).sum(-1),
        draws=5000,
    )
    exact = log_evidence(x, vae.decode, vae.sigma).mean().item()
    assert exact - 0.03 < found.numbers["bound"] < exact + 0.003  # a bound, and by 5,000 draws a close one
    assert found.numbers["sigma"] == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"encode": lambda x: x}, "encode returned Tensor; expected two tensors"),
        ({"encode": lambda x: (x, x[:1])}, r"expected \(20, ...\) twice"),
        ({"log_likelihood": lambda x, z: z.sum()}, r"log_likelihood returned \(\); expected \(60,\)"),
        ({"log_likelihood": lambda x, z: z.sum(-1, keepdim=True)}, r"log_likelihood returned \(60, 1\)"),
        ({"loss": lambda x, z, mu, log_var: mu}, "loss returned"),
        ({"sample": lambda mu, log_var: mu[0]}, "sample returned"),
        ({"bound": lambda x, k: x}, "bound returned"),
        ({"encode": lambda x: (x[:, :3] / 0, x[:, :3])}, "NaN or infinite"),
        ({"draws": 0}, "draws must be"),
    ],
)
def test_what_a_callable_returns_is_held_to_its_shape(changes, match):
    model, x = Plain((7,), 3, "gaussian"), data((7,), "gaussian")
    with pytest.raises(ValueError, match=match):
        examine(model, x, **changes)


def test_a_report_reads_as_text_and_as_a_table():
    model, x = Plain((7,), 3, "gaussian"), data((7,), "gaussian")
    found = checkup.report(x, encode=model.encode, log_likelihood=model.log_likelihood, draws=5)
    assert "not seen  loss" in str(found) and "Never seen from here" in str(found)
    assert found._repr_html_().count("<tr>") == len(found.lines)
    wrong = examine(model, x, loss=lambda x, z, mu, lv: model.loss(x, z, mu, lv, beta=-1.0))
    lines = str(wrong).splitlines()
    assert lines[0].startswith("Check-up: 1 wrong, ")
    assert lines[1:3] == ["WRONG     weight of the KL: beta = -1", "          -> the KL is ADDED to the loss (chapter 05)"]
    assert max(map(len, lines)) <= 76
    assert wrong._repr_html_().index("<b>WRONG</b>") < wrong._repr_html_().index("not seen" if "unseen" in str(wrong) else ">ok<")
    assert "&lt;" in checkup.Line("a", "ok", "1 < 2", "chapter 01").row()


def test_it_runs_with_torch_and_numpy_alone():
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.match(r"\w+", need)[0] for need in needs["dependencies"]} == {"numpy", "torch", "tqdm"}
    assert [re.match(r"\w+", need)[0] for need in needs["optional-dependencies"]["plot"]] == ["matplotlib"]
    program = """
import sys
sys.modules.update(dict.fromkeys(["matplotlib", "scipy", "sklearn"]))  # to import one raises
import torch
from vaelib import checkup
x = torch.randn(50, 3)
normal = torch.distributions.Normal
encode, log_likelihood = lambda x: (x[:, :1], 0 * x[:, :1]), lambda x, z: normal(z, 1.0).log_prob(x).sum(-1)
print(checkup.report(x, encode=encode, log_likelihood=log_likelihood))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 0 and ran.stdout.startswith("Check-up: "), ran.stderr


def test_the_program_in_the_readme_runs():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [program] = re.findall(r"## Use it on your own VAE\n.*?```python\n(.*?)```", readme, re.DOTALL)
    model, x = Plain((7,), 3, "gaussian"), data((7,), "gaussian")
    names = {"model": model, "x_held_out": x}
    exec(program, names)
    found = names["found"]
    assert found["weight of the KL"].verdict == "wrong" and "a mean over the D = 7 axes" in found["weight of the KL"].expected
    assert found["draw of z"].verdict == found["likelihood"].verdict == "ok"
