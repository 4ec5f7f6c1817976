"""The playground on the built site: it starts from vaelib's numbers, obeys the keyboard, and says what is to be seen."""

import json
import re

import pytest
import torch
from aids import faint, violations
from torch.nn.functional import mse_loss

from conftest import DESKTOP, PHONE, SITE, frames, settle
from vaelib import quadrature, spiral
from vaelib.diagnostics import exact_terms
from vaelib.kl import kl_to_standard_normal
from vaelib.likelihood import gaussian_log_likelihood
from vaelib.nets import VAE

PAGE = "back/playground.html"
LOSSES = ("right", "g", "std", "no-half", "mse")
HOSTILE = (
    "?sigma=1e999&loss=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&width=-5&points=9e9&draws=NaN&drawn=%3Cscript%3E&source=drawn"
    "&__proto__=1&constructor=2&seed=1.7"
)


@pytest.fixture
def play(visit):
    """Opens the playground where nothing moves by itself, and waits until it has measured."""

    def play(query="", page=PAGE, **device):
        device = {**DESKTOP, "reduced_motion": "reduce", **device}
        tab = visit(page, f"#playground{query}" if query else "", **device)
        root = tab.locator("#playground")
        root.scroll_into_view_if_needed()
        measured = "/[0-9]/.test(document.querySelector('#playground canvas[aria-label^=Nats]')?.ariaLabel)"
        asked = "document.querySelector('#playground .sentence')?.textContent.startsWith('Draw')"
        tab.wait_for_function(f"{measured} || {asked}", timeout=120_000)
        return tab, root

    return play


def said(tab, pattern):
    """Wait for a sentence that matches."""
    tab.wait_for_function(
        "pattern => new RegExp(pattern).test(document.querySelector('#playground .sentence').textContent)",
        arg=pattern,
        timeout=120_000,
    )


def query_of(tab):
    return dict(re.findall(r"([a-z_]+)=([^&]*)", tab.evaluate("location.hash")))


def stored_model(tab) -> tuple[VAE, torch.Tensor]:
    """The model and the data with which the page starts, by vaelib."""
    stored = json.loads(tab.evaluate("JSON.stringify(VaeData.playground)"))
    t, _ = spiral.sample_published(torch.Generator())
    x = spiral.curve(t) + spiral.SIGMA * torch.tensor(stored["noise"]).view(-1, 2)
    vae = VAE(sigma=spiral.SIGMA)
    parameters = [*vae.encoder.parameters(), *vae.decoder.parameters()]
    values = torch.tensor(stored["theta"][:-1]).split([part.numel() for part in parameters])
    for part, value in zip(parameters, values, strict=True):
        part.data = value.view_as(part)
    return vae, x


def test_it_starts_from_the_books_data_and_from_vaelibs_numbers(play):
    tab, root = play()
    vae, x = stored_model(tab)
    terms = exact_terms(vae, x)
    evidence = quadrature.log_evidence(x, vae.decode, vae.sigma).mean().item()
    elbo, reconstruction, kl = (part.mean().item() for part in (terms.elbo, terms.reconstruction, terms.kl))
    told = root.locator("canvas[aria-label^=Nats]").get_attribute("aria-label").replace("−", "-")
    assert f"{evidence:.3f} for training points" in told
    assert f"ELBO {elbo:.3f}, gap {evidence - elbo:.3f}; reconstruction {reconstruction:.3f}, KL {kl:.3f}." in told
    assert root.get_attribute("data-steps") == "0"
    assert "Healthy" in root.locator(".sentence").text_content()
    posterior = root.locator("canvas[aria-label*='exact posterior']").get_attribute("aria-label").replace("−", "-")
    place = torch.tensor([[1.2, 1.0]])
    (mu,), (log_var,) = (part[0, 0].tolist() for part in vae.encode(place))
    assert f"q is N({mu:.2f}, {torch.tensor(0.5 * log_var).exp():.2f} squared)" in posterior
    grid = quadrature.resolving_grid(vae.decode, vae.sigma, place)
    mean = quadrature.expectation(grid.z[:, 0], quadrature.log_posterior(place, vae.decode, vae.sigma, grid)[0], grid)
    assert f"its exact posterior has mean {mean.item():.2f}" in posterior


def test_every_control_by_keyboard(play):
    tab, root = play()
    tried = 0
    for control in root.locator("input, .handle").all():
        kind = control.evaluate("node => node.classList.contains('handle') ? 'handle' : node.type")
        if kind == "radio" and not control.is_checked():
            continue
        before = root.get_attribute("data-changes")
        control.focus()
        control.press("Space" if kind == "checkbox" else "ArrowRight")
        assert root.get_attribute("data-changes") != before, control.evaluate("node => node.outerHTML")
        tried += 1
    assert tried >= 12
    settle(tab, "playground")
    assert query_of(tab)
    for name in ("new weights", "new points"):
        before = tab.evaluate("location.hash")
        root.get_by_role("button", name=name).press("Enter")
        settle(tab, "playground")
        assert tab.evaluate("location.hash") != before
    for tick in root.locator(".ticks button").all():
        tick.press("Enter")
        settle(tab, "playground")
        assert query_of(tab)["sigma"]
    root.get_by_role("button", name="reset").press("Enter")
    settle(tab, "playground")
    assert query_of(tab) == {}
    assert root.get_attribute("data-steps") == "0"
    root.get_by_role("button", name="one step").press("Enter")
    tab.wait_for_function("document.querySelector('#playground').dataset.steps === '1'")
    root.get_by_role("button", name="play").press("Enter")
    tab.wait_for_function("document.querySelector('#playground').dataset.steps > 100")
    root.get_by_role("button", name="pause").press("Enter")
    frames(tab)
    steps = root.get_attribute("data-steps")
    frames(tab, 20)
    assert root.get_attribute("data-steps") == steps


def test_the_address_restores_and_a_hostile_one_does_nothing(play):
    tab, root = play("?sigma=1.5&loss=no-half&turns=2&points=50&x=-1")
    assert root.get_by_label("points", exact=True).get_attribute("aria-valuetext") == "50"
    assert root.get_by_role("radio", name="KL without its ½").is_checked()
    tab.evaluate("query => { location.hash = '#playground' + query; }", HOSTILE)
    said(tab, "Draw at least 5 points")
    assert root.locator("img, script").count() == 0
    assert root.get_by_label("hidden units").get_attribute("aria-valuetext") == "2"
    assert root.get_by_label("points", exact=True).get_attribute("aria-valuetext") == "400"
    root.get_by_role("button", name="new weights").press("Enter")
    settle(tab, "playground")
    assert query_of(tab) == {"width": "2", "points": "400", "source": "drawn", "seed": "3"}


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?loss=g", r"Not a bound: the “ELBO” exceeds the exact evidence by [01]\.\d\d nats"),
        ("?loss=std", r"Not a bound: the “ELBO” exceeds the exact evidence by [01]\.\d\d nats"),
        ("?loss=mse", r"This loss assumes σ = 1\.00"),
        ("?loss=no-half", r"The KL counts twice: you set σ = 0\.20 and train σ = 0\.28"),
        ("?beta=4", r"With β = 4 you set σ = 0\.20 and train σ = 0\.40.*Wide"),
        ("?sigma=1.6", r"Collapsed.*above √λmax = 1\.359: the latent carries 0\.0\d nats"),
        ("?sigma=1.25", r"Near the threshold\. σ is 0\.92 of √λmax"),
        ("?sigma=0.05&points=30", r"Overfitting\. Training points get"),
        ("?learn=1&sigma=0.5", r"σ learns: 0\.2\d\d now"),
    ],
)
def test_the_sentence_says_what_is_to_be_seen(play, query, sentence):
    tab, _ = play(query)
    said(tab, sentence)


def test_new_weights_become_the_spiral(play):
    tab, root = play(reduced_motion="no-preference")
    root.get_by_role("button", name="new weights").press("Enter")
    said(tab, r"Step \d+.*Fresh points get −2\.[0-4]")


def test_nothing_runs_out_of_view(play):
    tab, root = play("?seed=2", page="intro.html", reduced_motion="no-preference")
    tab.wait_for_function("document.querySelector('#playground').dataset.steps > 0")
    tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    for _ in range(20):  # the browser says when it is out of view, on a busy machine late
        steps = root.get_attribute("data-steps")
        frames(tab, 20)
        if root.get_attribute("data-steps") == steps:
            break
    else:
        pytest.fail("it goes on out of view")


def test_data_are_drawn_by_hand_and_by_key(play):
    tab, root = play("?source=drawn")
    said(tab, "Draw at least 5 points")
    box = root.locator("canvas").first.bounding_box()
    tab.mouse.move(box["x"] + 40, box["y"] + 60)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 240, box["y"] + 200, steps=12)
    tab.mouse.up()
    settle(tab, "playground")
    drawn = query_of(tab)["drawn"]
    assert len(drawn) >= 4 * 8
    root.locator(".handle").press("Enter")
    settle(tab, "playground")
    assert query_of(tab)["drawn"].startswith(drawn)
    assert len(query_of(tab)["drawn"]) == len(drawn) + 4
    said(tab, "The points get")
    root.get_by_role("button", name="clear").press("Enter")
    said(tab, "Draw at least 5 points")


@pytest.fixture
def pytorch_script(visit):
    """What "copy as PyTorch" copies, in a state."""

    def pytorch_script(query):
        tab = visit(PAGE, f"#playground{query}", **DESKTOP)
        tab.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
        tab.locator("#playground").get_by_role("button", name="copy as PyTorch").press("Enter")
        script = tab.evaluate("window.copied")
        tab.close()
        return script

    return pytorch_script


@pytest.mark.parametrize("loss", LOSSES)
def test_the_script_for_pytorch_has_the_same_loss_and_trains(pytorch_script, loss, capsys):
    script = pytorch_script(f"?loss={loss}&beta=2&draws=3&learn=1&sigma=0.3&width=20")
    exec(script.replace("4001", "2").replace("optimizer.step()", "pass"), names := {})
    x, z, mu, log_var = (names[name] for name in ("x", "z", "mu", "log_var"))
    assert x.shape == (200, 2)
    assert z.shape == (3, 200, 1)
    decoded = names["decoder"](z)
    if loss == "mse":
        expected = mse_loss(decoded, x.expand_as(decoded)) + 2 * kl_to_standard_normal(mu, log_var).mean()
    else:
        reconstruction = gaussian_log_likelihood(x.expand_as(decoded), decoded, names["sigma"]).mean(0)
        kl = kl_to_standard_normal(mu, 0.5 * log_var if loss == "g" else log_var)
        expected = (2 * kl * (2 if loss == "no-half" else 1) - reconstruction).mean()
    torch.testing.assert_close(names["loss"], expected)
    spread = (z - mu).std() / (log_var.exp() if loss == "std" else (0.5 * log_var).exp()).square().mean().sqrt()
    assert 0.85 < spread < 1.15
    exec(script.replace("4001", "1001"), {})
    first, last = re.findall(r"loss (-?[\d.]+)", capsys.readouterr().out)
    assert float(last) < names["loss"].item() - 0.1
    assert float(last) < float(first) + 0.2


def test_the_script_of_drawn_data_holds_them(pytorch_script):
    exec(pytorch_script("?source=drawn&drawn=AAAAgAgA__AAAA__gAAAAAgA").replace("4001", "2"), names := {})
    assert names["x"].shape == (6, 2)
    assert names["x"][0].tolist() == [-3, -3]
    assert names["x"][2].tolist() == [3, -3]


@pytest.mark.parametrize(("page", "device"), [(PAGE, DESKTOP), (PAGE, PHONE), ("intro.html", DESKTOP)])
def test_axe_finds_nothing(play, page, device):
    tab, _ = play(page=page, **device)
    assert not violations(tab, "#playground")
    for theme in ("light", "dark"):
        assert not faint(tab, theme, "#playground")


def test_the_text_leads_to_states(play):
    tab, root = play()
    named = tab.locator("button[data-playground]").all()
    assert len(named) > 5
    for button in named:
        button.press("Enter")
        assert tab.evaluate("location.hash") == f"#playground?{button.get_attribute('data-playground')}"
    assert root.get_by_role("radio", name="draw your own").is_checked()


def test_the_small_one_leads_to_the_large_one(play):
    tab, root = play(page="intro.html")
    root.get_by_label("σ, the width of the brush").press("ArrowRight")
    settle(tab, "playground")
    assert query_of(tab)["sigma"]
    root.get_by_role("link", name="open the playground").click()
    tab.wait_for_url(f"**/{PAGE}*")


def test_without_javascript_it_says_so(browser):
    context = browser.new_context(java_script_enabled=False, **DESKTOP)
    tab = context.new_page()
    tab.goto((SITE / PAGE).as_uri())
    assert tab.get_by_text("On the screen, with JavaScript").is_visible()
    assert tab.locator("#fig-playground img").is_visible()
    context.close()
