"""Each line of a check-up, on either side of its verdict."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from plain import Plain, data, examine, kl

from vaelib import checkup
from vaelib.thresholds import collapse_threshold

GAUSSIAN, X = Plain((7,), 3, "gaussian"), data((7,), "gaussian")
BERNOULLI, BITS = Plain((7,), 3, "bernoulli"), data((7,), "bernoulli")
FEW = {"bound": None, "sample": None, "draws": 2}


def of_loss(loss, model=GAUSSIAN, x=X, **changes):
    """A report on a loss alone."""
    return examine(model, x, **FEW, loss=loss, **changes)


def summed(model=GAUSSIAN, divergence=kl, beta=1.0):
    return lambda x, z, mu, lv: (beta * divergence(mu, lv) - model.log_likelihood(x, z)).sum()


KLS = {
    "mu is not squared": lambda mu, lv: 0.5 * (mu + lv.exp() - 1 - lv).sum(-1),
    "weight 2 in mu and 1 in log_var": lambda mu, lv: 0.5 * (2 * mu**2 + lv.exp() - 1 - lv).sum(-1),
    "not the KL of q from N(0, I): its gradient is another one in log_var": lambda mu, lv: (mu**2 + lv**2).sum(-1),
    "not the KL of q from N(0, I): its gradient is another one in mu": lambda mu, lv: (mu**4 + lv.exp() - lv).sum(-1),
    "not the KL of q from N(0, I): its gradient is another one in mu and in log_var": lambda mu, lv: (mu**4 + lv**2).sum(-1),
    "gradient 2 times the KL's, value 1 times": lambda mu, lv: 2 * kl(mu, lv) - kl(mu, lv).detach(),
    "no gradient in log_var above 8: a clamp": lambda mu, lv: kl(mu, lv.clamp(max=8)),
    "no gradient in log_var below -6: a clamp": lambda mu, lv: kl(mu, lv.clamp(min=-6)),
    # Narrow enough for the other places that are looked at to be clamped too.
    "no gradient in log_var below -1 and above 1: a clamp": lambda mu, lv: kl(mu, lv.clamp(-1, 1)),
}


@pytest.mark.parametrize("found", KLS)
def test_what_is_wrong_with_a_kl_is_said(found):
    line = of_loss(summed(divergence=KLS[found]))["KL"]
    assert (line.verdict, line.found) == ("wrong", found)
    other = "no clamp" if "clamp" in found else "one formula" if "value" in found else "the KL of q(z|x) from N(0, I)"
    assert line.expected.startswith(other)


def test_what_is_nearly_a_kl_or_nearly_the_elbo():
    assert of_loss(summed(divergence=lambda mu, lv: kl(mu, lv.clamp(-20.5, 20.5))))["KL"].verdict == "ok"
    widest = of_loss(summed(divergence=lambda mu, lv: kl(mu, lv.clamp(-19.5, 19.5))))["KL"]
    assert widest.found == "no gradient in log_var below -19 and above 19: a clamp"
    for beta, verdict in ((0.994, "note"), (0.996, "ok"), (1.004, "ok"), (1.006, "note")):
        assert of_loss(summed(beta=beta))["weight of the KL"].verdict == verdict


CAUSES = (
    {0: "", 1: "a mean over the D = 7 axes of the data", -1: "a KL that is divided by the D = 7 axes of the data"},
    {0: "", -1: "a mean over the d = 3 latents"},
    {0: "", 1: "no factor 1/2 before the KL", -1: "no factor 1/2 before the error, or one too many before the KL"},
)


@pytest.mark.parametrize("powers", list(itertools.product(*CAUSES)), ids=str)
def test_a_weight_is_taken_apart_into_the_reductions_that_make_it(powers):
    beta = math.prod(base**power for base, power in zip((7, 3, 2.0), powers, strict=True))
    line = of_loss(summed(BERNOULLI, beta=beta), BERNOULLI, BITS)["weight of the KL"]
    words = [causes[power] for causes, power in zip(CAUSES, powers, strict=True) if power]
    if not words:
        assert line.verdict == "ok" and not line.expected
    else:
        meant = ", or it is meant" if powers[:2] == (0, 0) else ""
        assert line.expected == f"1; this is {', with '.join(words)}{meant}"
        assert line.verdict == ("look" if meant else "wrong")


def test_a_weight_that_no_reduction_makes_is_a_note():
    found = of_loss(summed(beta=1.3))
    assert found["weight of the KL"].verdict == "note" and not found["weight of the KL"].write
    assert found["reconstruction"].found == "1 times minus log p(x|z), summed over the batch"
    assert found.numbers["beta"] == pytest.approx(1.3, rel=1e-4)
    assert found.numbers["implied_sigma"] == pytest.approx(0.4 * 1.3**0.5, rel=1e-4)
    assert of_loss(lambda *given: GAUSSIAN.loss(*given))["reconstruction"].found.startswith("0.05 times")


def test_a_weight_that_falls_with_the_batch_is_seen_as_one_that_rises():
    loss = lambda x, z, mu, lv: kl(mu, lv).mean() - GAUSSIAN.log_likelihood(x, z).sum()  # noqa: E731
    line = of_loss(loss)["weight of the KL"]
    assert line.verdict == "wrong" and line.found.startswith("beta = 0.05") and line.found.endswith("with half the batch 0.1")


def test_a_reconstruction_of_another_latent_is_none():
    other = of_loss(lambda x, z, mu, lv: (kl(mu, lv) - GAUSSIAN.log_likelihood(x, z.flip(0))).sum())
    assert other["reconstruction"].verdict == "wrong" and other["KL"].verdict == "ok"
    with pytest.raises(StopIteration):
        other["weight of the KL"]
    none = of_loss(lambda x, z, mu, lv: kl(mu, lv).sum())
    assert none["reconstruction"].found == "weight 0: training lowers log p(x|z)"


@pytest.mark.parametrize("side", [0.98, 1.02])
def test_the_collapsed_state_is_stable_above_the_threshold(side):
    threshold = collapse_threshold(X).item()
    line = of_loss(summed(beta=(side * threshold / 0.4) ** 2))["collapse"]
    assert f"sigma = {side * threshold:.3g} against sqrt(lambda_max) = {threshold:.3g}" in line.found
    assert line.verdict == ("look" if side > 1 else "ok")


def test_bits_that_never_vary_have_no_part_in_the_threshold():
    model = Plain((9,), 3, "bernoulli")
    constant = torch.cat([BITS, 0 * BITS[:, :1] + 1, 0 * BITS[:, :1]], 1)
    of_all, of_some = (of_loss(summed(m), m, x)["collapse"].found for m, x in ((model, constant), (BERNOULLI, BITS)))
    assert of_all == of_some
    assert "against 0," in of_loss(summed(BERNOULLI), BERNOULLI, torch.ones_like(BITS))["collapse"].found


@pytest.mark.parametrize("power", [0.25, 0.47, 0.495, 0.505, 0.53, 0.75])
def test_the_spread_of_a_draw(power):
    line = examine(
        GAUSSIAN, X, loss=None, bound=None, draws=2, sample=lambda mu, lv: mu + (power * lv).exp() * torch.randn_like(mu)
    )
    line = line["draw of z"]
    if abs(power - 0.5) < 0.01:
        assert line.verdict == "ok"
    else:
        assert float(re.fullmatch(r"std near exp\((.*) log_var\)", line.found)[1]) == pytest.approx(power, abs=0.02)


def test_one_latent_axis_has_one_eps_a_point():
    model = Plain((7,), 1, "gaussian")
    assert examine(model, X, loss=None, bound=None, draws=2)["draw of z"].verdict == "ok"


def of_encoder(mu, log_var, x=X, **changes):
    """A report on an encoder that says the same of every point, but for the sign of the first half."""
    sign = torch.ones(len(x), 1, dtype=x.dtype)
    sign[::2] = -1
    mu, log_var = (torch.tensor(value, dtype=x.dtype) for value in (mu, log_var))
    outputs = iter(zip((sign * mu[0] + mu[1]).split(20), log_var.expand(len(x), len(mu[0])).split(20), strict=True))
    model = Plain((x[0].numel(),), len(mu[0]), "gaussian", dtype=x.dtype)
    return examine(model, x, **FEW, loss=None, encode=lambda batch: next(outputs), **changes)


def test_the_numbers_of_the_latents():
    found = of_encoder([[0.5, 0.09, 0.2], [0.0, 0.0, 0.0]], [math.log(0.5), 0.0, 0.0])
    by_axis = [0.5 * (0.25 + 0.5 - 1 - math.log(0.5)), 0.5 * 0.0081, 0.5 * 0.04]
    assert found.numbers["kl"] == pytest.approx(sum(by_axis), rel=1e-5)
    assert (found.numbers["active"], found.numbers["latents"]) == (2, 3)
    assert found["latents"].found == f"2 of 3 active; KL {sum(by_axis):.2f} nats a point, by axis 0.22, 0.02, 0.00"
    assert found["aggregate posterior"].found == "mean within 0.00 of 0, variance 0.75 to 1.04"
    assert found["data"].found.startswith("60 points, 7 axes, values from -0.98")
    wide = of_encoder([[1.0] * 7, [0.0] * 7], [0.0] * 7)
    assert wide["latents"].found.endswith("by axis 0.50, 0.50, 0.50, 0.50, 0.50, 0.50 ...")


@pytest.mark.parametrize(
    ("shift", "log_var", "verdict"),
    [
        ((0.9, -0.9), 0.0, "ok"),
        ((0.0, 1.1), 0.0, "look"),
        ((0.0, -1.1), 0.0, "look"),
        ((0.0, 0.0), math.log(3.9), "ok"),
        ((0.0, 0.0), math.log(4.1), "look"),
        ((0.0, 0.0), math.log(0.26), "ok"),
        ((0.0, 0.0), math.log(0.24), "look"),
    ],
    ids=str,
)
def test_an_aggregate_posterior_far_from_the_prior(shift, log_var, verdict):
    assert of_encoder([[0.0, 0.0], list(shift)], [log_var] * 2)["aggregate posterior"].verdict == verdict


def test_log_variances_from_half_the_range_on_are_looked_at():
    limit = math.log(torch.finfo(torch.float32).max)
    for share, verdict in ((0.49, "ok"), (0.51, "look")):
        assert of_encoder([[1.0, -2.0], [0.0, 0.0]], [share * limit, -3.0])["overflow"].verdict == verdict
    assert of_encoder([[1.0, -2.5], [0.0, 0.0]], [1.0, -3.0])["overflow"].found == (
        "log_var from -3.0 to 1.0, |mu| up to 2.5, in float32"
    )


def of_likelihood(log_likelihood, model=GAUSSIAN, x=X):
    """The line on a likelihood, and the numbers."""
    found = examine(model, x, **FEW, loss=None, log_likelihood=log_likelihood)
    return found["likelihood"], found.numbers


def gaussian(sigma, constant=0.0):
    return lambda x, z: torch.distributions.Normal(GAUSSIAN.decode(z), sigma).log_prob(x).sum(1) + constant


def entropy(x, z, of=BERNOULLI):
    return F.binary_cross_entropy_with_logits(of.decode(z), x, reduction="none").flatten(1).sum(1)


def test_a_gaussian_and_its_constant():
    for sigma in (0.01, 0.4, 1.0, 30.0):
        line, numbers = of_likelihood(gaussian(sigma))
        assert (line.verdict, line.found) == ("ok", f"Gaussian, sigma = {sigma:.3g}, with its constant")
        assert numbers["sigma"] == pytest.approx(sigma, rel=1e-3)
    assert [of_likelihood(gaussian(0.4, constant))[0].verdict for constant in (0.004, 0.05, -0.05)] == ["ok", "wrong", "wrong"]
    line, _ = of_likelihood(gaussian(0.4, constant=1.5))
    assert line.verdict == "wrong" and "+1.5 nats a point above a density" in line.found
    log_norm = -3.5 * math.log(2 * math.pi * 0.16)
    assert line.expected.startswith(f"add -D/2 log(2 pi sigma^2) = {log_norm:.4g};")


def test_a_likelihood_is_asked_for_points_in_the_range_of_the_data_alone():
    """Its family may have no density outside; torch raises there."""

    def log_likelihood(x, z):
        assert x.min() >= 2 and x.max() <= 3
        return gaussian(0.4)(x, z)

    line, _ = of_likelihood(log_likelihood, x=X.sigmoid().round(decimals=1) + 2)
    assert line.verdict == "ok"


def test_a_sigma_for_each_axis_and_other_families():
    line, numbers = of_likelihood(gaussian(torch.linspace(0.3, 0.6, 7)))
    assert (line.verdict, line.found[:36]) == ("ok", "Gaussian, sigma from 0.3 to 0.6; its") and "sigma" in numbers
    laplace, _ = of_likelihood(lambda x, z: torch.distributions.Laplace(GAUSSIAN.decode(z), 0.3).log_prob(x).sum(1))
    student, _ = of_likelihood(lambda x, z: torch.distributions.StudentT(3.0, GAUSSIAN.decode(z), 0.3).log_prob(x).sum(1))
    upwards, _ = of_likelihood(lambda x, z: -gaussian(1.0)(x, z))
    for line in (student, upwards):
        assert line.verdict == "note" and line.found.startswith("neither Gaussian nor Bernoulli")
    assert laplace.verdict != "ok"
    with_no_slope, _ = of_likelihood(lambda x, z: GAUSSIAN.log_likelihood(x.detach(), z.detach()).detach())
    assert with_no_slope.verdict == "unseen"


def test_the_families_of_the_unit_interval():
    grey = data((7,), "gaussian") / 2 + 0.5
    continuous = torch.distributions.ContinuousBernoulli

    def density(x, z):
        return continuous(logits=BERNOULLI.decode(z)).log_prob(x).sum(1)

    expected = {
        ("ok", "Bernoulli"): (lambda x, z: -entropy(x, z), BITS),
        ("note", "Bernoulli, on data of which 100 % are neither 0 nor 1"): (lambda x, z: -entropy(x, z), grey),
        ("ok", "continuous Bernoulli"): (density, grey),
        ("wrong", "linear in x, but 2 nats off a Bernoulli's value"): (lambda x, z: -entropy(x, z) - 2, BITS),
        ("wrong", "linear in x, a cross-entropy, on data from 0 to 2"): (lambda x, z: -entropy(x, z), 2 * BITS),
        ("wrong", "linear in x, a cross-entropy, on data from -1 to 0"): (lambda x, z: -entropy(x, z), BITS - 1),
    }
    for (verdict, text), (log_likelihood, x) in expected.items():
        line, _ = of_likelihood(log_likelihood, BERNOULLI, x)
        assert (line.verdict, line.found) == (verdict, text)
    few_grey = BITS.clone()
    few_grey.view(-1)[:3] = 0.5  # less than one in a hundred
    assert of_likelihood(lambda x, z: -entropy(x, z), BERNOULLI, few_grey)[0].verdict == "ok"


def exact(x, draws, *, sigma=0.5, **changes):
    """Of x = z + noise with z ~ N(0, 1), whose posterior is N(x / (1 + sigma^2), sigma^2 / (1 + sigma^2)); and log p(x)."""
    variance = 1 + sigma**2
    options = {
        "encode": lambda x: (x / variance, (0 * x + sigma**2 / variance).log()),
        "log_likelihood": lambda x, z: torch.distributions.Normal(z, sigma).log_prob(x).sum(1),
        **changes,
    }
    log_p = torch.distributions.Normal(0, variance**0.5).log_prob(x).sum(1)
    return checkup.report(x, draws=draws, batch_size=7, **options), log_p


def points(n=30, axes=2):
    return 1.2 * torch.randn(n, axes, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("draws", [1, 2, 9])
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_the_bound_of_an_exact_posterior_is_the_evidence(draws, at_once, monkeypatch):
    monkeypatch.setattr("vaelib.checkup._evidence.MOST_NUMBERS", at_once * 7 * 2)
    rows = []

    def log_likelihood(x, z):
        rows.append(len(x))
        return torch.distributions.Normal(z, 0.5).log_prob(x).sum(1)

    found, log_p = exact(points(), draws, log_likelihood=log_likelihood)
    assert max(rows[3:]) <= 7 * at_once  # after three for the family of the likelihood
    assert found.numbers["bound"] == pytest.approx(log_p.mean().item(), rel=1e-10) == found.numbers["elbo"]
    assert found.numbers["bits"] == pytest.approx(-log_p.mean().item() / math.log(2) / 2, rel=1e-10)
    assert found.numbers["bound_error"] == pytest.approx(log_p.std().item() / 30**0.5, rel=1e-10)
    assert found["bound"].verdict == "ok"


def test_a_loose_posterior_needs_more_draws():
    found, log_p = exact(points(2000), 10, encode=lambda x: (0 * x, 0 * x))
    assert found.numbers["elbo"] < found.numbers["bound"] < log_p.mean().item()
    note = re.fullmatch(r"more draws: from K = 5 it still rose by (.*) nats", found["bound"].expected)
    assert found["bound"].verdict == "note" and 0.05 < float(note[1]) < 1
    # L_10 - L_5 from draws of its own.
    z = torch.randn(10, 2000, 2, generator=torch.Generator().manual_seed(0))
    log_w = torch.distributions.Normal(z, 0.5).log_prob(points(2000)).sum(-1)
    rise = log_w.logsumexp(0) - math.log(10) - log_w[:5].logsumexp(0) + math.log(5)
    assert float(note[1]) == pytest.approx(rise.mean().item(), abs=0.15)


@pytest.mark.parametrize(("spread", "verdict"), [(0.85, "ok"), (1.2, "note")])
def test_a_bound_that_hardly_climbs_needs_no_more_draws(spread, verdict):
    """Weights exp(spread * normal): from 5 draws to 10 their log of a mean climbs by about spread^2 / 20."""

    def log_likelihood(x, z):
        return spread * torch.randn(len(x), generator=generator)

    generator = torch.Generator().manual_seed(0)
    found, _ = exact(points(2000), 10, encode=lambda x: (0 * x, 0 * x), log_likelihood=log_likelihood)
    assert found["bound"].verdict == verdict
    # A mean of logs is told from a log of a mean also where they are half a nat apart.
    found, _ = exact(
        points(2000),
        10,
        encode=lambda x: (0 * x, 0 * x),
        log_likelihood=log_likelihood,
        bound=lambda x, k: log_likelihood(x.repeat_interleave(k, 0), None).view(-1, k).mean(1),
    )
    assert "a mean of logs" in found["your bound"].found


def test_a_point_without_a_likelihood_is_counted():
    found, _ = exact(points(), 3, log_likelihood=lambda x, z: (z - x).sum(1) / (x[:, 0] > 0))
    infinite = (points()[:, 0] <= 0).sum().item()
    assert 0 < infinite < 30 and found["bound"].verdict == "wrong"
    assert found["bound"].found == f"{infinite} points have no finite log p(x)"


def test_a_bound_of_the_reader_is_held_against_this_one():
    loose = {"encode": lambda x: (0 * x, 0 * x)}

    def bound(x, draws, off=0.0, log_of_mean=True):
        log_w = torch.distributions.Normal(torch.randn(draws, *x.shape), 0.5).log_prob(x).sum(-1)
        return off + (log_w.logsumexp(0) - math.log(draws) if log_of_mean else log_w.mean(0))

    for draws, changes, verdict in (
        (50, {}, "ok"),
        (50, {"off": 1.0}, "wrong"),
        (50, {"off": -1.0}, "wrong"),
        (50, {"log_of_mean": False}, "wrong"),
        (1, {}, "ok"),
        (1, {"log_of_mean": False}, "ok"),
    ):
        found, _ = exact(points(100), draws, **loose, bound=lambda x, k: bound(x, k, **changes))
        line = found["your bound"]
        assert line.verdict == verdict
        assert ("a mean of logs" in line.found) == ("log_of_mean" in changes and draws > 1)
        if "off" in changes:
            assert line.expected == f"{found.numbers['bound']:.2f}"


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (torch.zeros(5, 2, dtype=torch.long), "expected floating"),
        (torch.zeros(5), "N at least 2"),
        (torch.zeros(1, 2), "N at least 2"),
        (torch.zeros(5, 0), "N at least 2"),
        (torch.full((5, 2), math.nan), "x holds 10 values that are NaN"),
        ([[1.0], [2.0]], "x must be a torch.Tensor"),
    ],
    ids=str,
)
def test_points_that_are_none_are_refused(x, match):
    with pytest.raises(ValueError, match=match):
        checkup.report(x, encode=lambda x: (x, x), log_likelihood=lambda x, z: z.sum(1), batch_size=1)


def test_two_points_are_enough():
    found, log_p = exact(points(2), 3)
    assert found.numbers["bound"] == pytest.approx(log_p.mean().item(), rel=1e-10)


def test_a_batch_holds_a_point():
    with pytest.raises(ValueError, match="batch_size must be"):
        checkup.report(torch.zeros(2, 2), encode=lambda x: (x, x), log_likelihood=lambda x, z: z.sum(1), batch_size=0)


@pytest.mark.parametrize(
    ("encode", "match"),
    [
        (lambda x: (x, x, x), "encode returned tuple; expected two tensors"),
        (lambda x: (x, 0.0), "encode returned tuple; expected two tensors"),
        (lambda x: (x[:, 0], x[:, 0]), r"encode returned mu \(7,\) and log_var \(7,\) for 7 points; expected \(7, ...\) twice"),
        (lambda x: (x[:1], x[:1]), r"encode returned mu \(1, 2\)"),
        (lambda x: (x, x[:, :1]), r"encode returned mu \(7, 2\) and log_var \(7, 1\)"),
        (lambda x: (x / 0, x), "encode returned 60 values that are NaN or infinite"),
        (lambda x: (x, x / 0), "encode returned 60 values that are NaN or infinite"),
    ],
)
def test_what_an_encoder_may_return(encode, match):
    with pytest.raises(ValueError, match=match):
        exact(points(), 2, encode=encode)
    assert exact(points(), 2, encode=lambda x: [0 * x, 0 * x])[0].numbers["kl"] == 0


def test_the_same_seed_gives_the_same_report_whatever_was_drawn_before():
    loose = {"encode": lambda x: (0 * x, 0 * x), "sample": lambda mu, lv: mu + (lv / 2).exp() * torch.randn_like(mu)}
    loose["bound"] = lambda x, k: 1e3 * torch.randn(len(x))
    one, _ = exact(points(), 5, **loose)
    torch.randn(3)
    again, _ = exact(points(), 5, **loose)
    other, _ = exact(points(), 5, seed=1, **loose)
    assert str(one) == str(again) and one.numbers == again.numbers
    assert one.numbers["bound"] != other.numbers["bound"]


def test_a_report_puts_first_what_asks_for_something():
    verdicts = ["ok", "unseen", "look", "note", "wrong", "ok", "look"]
    lines = [
        checkup.Line(str(i), verdict, "so < so", "chapter 01", "e" * (i % 2), "code" * (i % 2))
        for i, verdict in enumerate(verdicts)
    ]
    found = checkup.Report(tuple(lines), {})
    assert [line.name for line in found.sorted()] == ["4", "2", "6", "3", "1", "0", "5"]
    assert [line.name for line in found.findings] == ["4", "2", "6"]
    assert found.headline() == "1 wrong, 2 look, 1 note, 1 not seen, 2 ok"
    assert found["3"] is lines[3]
    text, table = str(found).splitlines(), found._repr_html_()
    assert repr(found) == str(found)
    assert text[1] == "WRONG     4: so < so" and "note      3: so < so" in text
    assert text[text.index("note      3: so < so") + 1 :][:2] == ["          -> e (chapter 01)", "    code"]
    assert (
        table.count("&rarr; e (chapter 01)")
        == table.count(">code</pre>")
        == 3
        == table.count("<b>WRONG</b>") + table.count("<b>LOOK</b>")
    )
    assert table.count("so &lt; so") == 7
