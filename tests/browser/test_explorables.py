"""Explorables on the built site: each is used by keyboard alone, keeps its state in the address, and may be missing."""

import re
from pathlib import Path

import pytest
import torch
from aids import faint, violations

from conftest import DESKTOP, SITE, frames, settle
from vaelib.kl import kl_to_standard_normal_per_dim
from vaelib.likelihood import bernoulli_log_likelihood, gaussian_log_likelihood

PAGES = {
    "kl-landscape": "chapters/03_kl_closed_form.html",
    "trick": "chapters/04_reparameterization.html",
    "which-sigma": "chapters/05_likelihood.html",
    "sigma-dial": "chapters/07_sigma_as_weight.html",
    "bowl": "chapters/08_posterior_collapse.html",
    "latent-plane": "chapters/12_digits.html",
}
EXTENSIONS = Path(__file__).resolve().parents[2] / "_ext"
CONTROLS = "input, select, button, .handle"


@pytest.fixture
def touch(visit):
    """Opens an explorable, with an address and a device, and waits until it has drawn."""

    def touch(name, query="", **device):
        tab = visit(PAGES[name], f"#{name}{query}" if query else "", **DESKTOP | device)
        tab.emulate_media(reduced_motion=device.get("reduced_motion", "reduce"))
        tab.add_style_tag(content="html { scroll-behavior: auto !important; }")
        root = tab.locator(f"#{name}")
        root.scroll_into_view_if_needed()
        tab.wait_for_function(f"document.querySelector('#{name} .sentence').textContent")
        return tab, root

    return touch


def query_of(tab):
    return dict(re.findall(r"([a-z_0-9]+)=([^&]*)", tab.evaluate("location.hash"), re.IGNORECASE))


def press_every_control(tab, root, name):
    keys = {"range": "ArrowRight", "checkbox": "Space", "radio": "ArrowRight", "number": "Control+a", "select": "ArrowDown"}
    tried = 0
    for control in root.locator(CONTROLS).all():
        if not control.is_visible() and not control.evaluate("node => node.type === 'radio' && node.checked"):
            continue
        kind = control.evaluate(
            "node => node.classList.contains('handle') ? 'range' : node.type?.split('-')[0] ?? node.localName"
        )
        if kind not in keys or (kind == "radio" and not control.is_checked()):
            continue
        before = root.get_attribute("data-changes")
        control.focus()
        control.press(keys[kind])
        if kind == "number":
            control.press_sequentially("3")
            control.press("Enter")
        assert root.get_attribute("data-changes") != before, control.evaluate("n => n.outerHTML")
        tried += 1
    assert tried >= 2
    settle(tab, name)
    assert query_of(tab)
    root.get_by_role("button", name="reset").press("Enter")
    settle(tab, name)
    assert query_of(tab) == {}


@pytest.mark.parametrize("name", PAGES)
def test_by_keyboard_with_aids_and_on_paper(touch, subtests, name):
    tab, root = touch(name)
    with subtests.test("every control answers the keyboard"):
        press_every_control(tab, root, name)
    with subtests.test("axe finds nothing"):
        assert not violations(tab, f"#{name}")
    for theme in ("light", "dark"):
        with subtests.test("its text is not faint", theme=theme):
            assert not faint(tab, theme, f"#{name}")
    with subtests.test("the static figure is printed"):
        picture = tab.locator("figure.has-explorable img")
        assert root.is_visible()
        assert not picture.is_visible()
        assert len(tab.locator(".has-explorable .of-explorable").text_content()) > 100
        tab.emulate_media(media="print")
        assert picture.is_visible()
        assert not root.is_visible()
        assert not tab.locator(".has-explorable .of-explorable").is_visible()


@pytest.mark.parametrize("name", PAGES)
def test_the_static_figure_stays_without_javascript(browser, name):
    context = browser.new_context(java_script_enabled=False, **DESKTOP)
    tab = context.new_page()
    tab.goto((SITE / PAGES[name]).as_uri())
    empty = tab.locator(f"div[data-explorable='{name}']")
    assert tab.locator(f"[id='{empty.get_attribute('data-replaces')}'] img").is_visible()
    assert not empty.is_visible()
    context.close()


def test_the_address_restores_and_follows(touch):
    tab, root = touch("kl-landscape", "?mu=0.3&formula=g")
    assert root.get_by_role("radio", name="g, fed the std").is_checked()
    assert "N(0.30," in root.locator(".sentence").text_content()
    root.locator(".handle").press("ArrowRight")
    settle(tab, "kl-landscape")
    assert query_of(tab) == {"mu": "0.4", "formula": "g"}
    tab.evaluate("location.hash = '#kl-landscape?mu=-1'")
    tab.wait_for_function("document.querySelector('#kl-landscape .sentence').textContent.includes('N(−1.00,')")
    assert root.get_by_role("radio", name="f", exact=True).is_checked()


HOSTILE = "?mu=1e999&log_var=-50&formula=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E&__proto__=1&constructor=2&draw=3"


def test_a_hostile_address_does_nothing(touch):
    tab, root = touch("kl-landscape", HOSTILE)
    assert "N(1.18, 0.09²)" in root.locator(".sentence").text_content()  # the default mean; the log variance at its bound
    assert root.locator("img").count() == 0
    root.locator(".handle").press("ArrowUp")
    settle(tab, "kl-landscape")
    assert set(query_of(tab)) == {"log_var"}


def test_anchors_of_the_page_still_work(visit):
    tab = visit(PAGES["kl-landscape"], "#kl-which-formula", **DESKTOP)
    top = tab.locator("[id='kl-which-formula']").first.evaluate("node => node.getBoundingClientRect().top")
    assert 0 <= top < 200


def test_copy_link(touch):
    tab, root = touch("kl-landscape")  # no address yet
    tab.evaluate("() => { navigator.clipboard.writeText = async (text) => { window.copied = text; }; }")
    root.get_by_role("button", name="copy link").press("Enter")
    assert tab.evaluate("window.copied").endswith("03_kl_closed_form.html#kl-landscape?")
    tab.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error(); }; }")
    root.get_by_role("button", name="copied").or_(root.get_by_role("button", name="copy link")).press("Enter")
    root.get_by_role("textbox", name="copy this text").wait_for()
    assert root.get_by_role("textbox", name="copy this text").input_value().endswith("#kl-landscape?")


def test_nothing_runs_out_of_view(touch):
    tab, root = touch("kl-landscape", "?mu=-3&log_var=1", reduced_motion="no-preference")
    root.get_by_role("button", name="roll on the KL").press("Enter")
    frames(tab, 5)
    tab.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    for _ in range(20):  # the browser says when it is out of view, on a busy machine late
        words = root.locator(".sentence").text_content()
        frames(tab, 20)
        if root.locator(".sentence").text_content() == words:
            break
    else:
        pytest.fail("it goes on out of view")
    root.scroll_into_view_if_needed()
    tab.wait_for_function("words => document.querySelector('#kl-landscape .sentence').textContent !== words", arg=words)


def test_kl_landscape_rolls_to_the_prior_and_past_the_posterior(touch):
    tab, root = touch("kl-landscape")  # which does not move: reduced motion
    kl = kl_to_standard_normal_per_dim(torch.tensor(1.176), torch.tensor(-3.643)).item()
    assert f"the KL is {kl:.2f} nats" in root.locator(".sentence").text_content()
    root.get_by_role("button", name="roll on the KL").press("Enter")
    tab.wait_for_function("document.querySelector('#kl-landscape .sentence').textContent.includes('is the prior')")
    root.get_by_role("button", name="roll on the loss").press("Enter")
    tab.wait_for_function("document.querySelector('#kl-landscape .sentence').textContent.includes('N(1.18, 0.24²)')")
    assert "The ELBO, with f, is 0.00 below" in root.locator(".sentence").text_content()
    root.get_by_role("radio", name="g, fed the std").check(force=True)
    root.get_by_role("button", name="roll on the loss").press("Enter")
    tab.wait_for_function("document.querySelector('#kl-landscape .sentence').textContent.includes('N(1.18, 0.16²)')")
    assert "with g it is 0.72 above" in root.locator(".sentence").text_content()


def test_which_sigma_judges_the_losses_of_the_table(touch):
    tab, root = touch("which-sigma")
    sigmas = {1: 224, 2: 19.8, 3: 4.43, 4: 1, 5: 0.707, 6: 0.707, 7: 0.707, 8: 0.707, 9: 0.313, 10: 0.0625}
    betas = {11: 784, 12: 39.2, 13: 1, 14: 1, 15: 1, 16: 0.0392, 17: 0.0078125}
    for number in [*sigmas, *betas]:
        root.get_by_role("combobox", name="a loss of the chapter's tables").select_option(str(number))
        frames(tab)
        if number in sigmas:
            assert float(root.get_attribute("data-sigma")) == pytest.approx(sigmas[number], rel=3e-3)
            assert ("expect collapse" in root.locator(".sentence").text_content()) == (number <= 3)
        else:
            assert float(root.get_attribute("data-beta")) == pytest.approx(betas[number], rel=3e-3)


def test_the_lines_to_write_instead_are_the_negative_elbo(touch):
    tab, root = touch("which-sigma")
    r, x, kl = torch.randn(5, 3), torch.rand(5, 3), torch.rand(5, 2)
    names = {"torch": torch, "nn": torch.nn, **vars(torch.distributions)}
    exec(root.locator("pre").text_content(), names | (mine := {"r": r, "x": x, "kl": kl}), mine)
    torch.testing.assert_close(mine["loss"].detach(), (kl.sum(1) - gaussian_log_likelihood(x, r, 1.0)).mean())
    root.get_by_label("Your reconstruction term").select_option("bce-sum")
    frames(tab)
    binary = x.round()
    exec(root.locator("pre").text_content(), names | (mine := {"r": r, "x": binary, "kl": kl}), mine)
    torch.testing.assert_close(mine["loss"], (kl.sum(1) - bernoulli_log_likelihood(binary, r)).mean())


def test_trick_turns_its_order_on_a_steep_wave(touch):
    tab, root = touch("trick")
    assert "The trick is" in root.locator(".sentence").text_content()
    tab.evaluate("location.hash = '#trick?f=wave&k=8&sigma=1'")
    tab.wait_for_function("document.querySelector('#trick .sentence').textContent.includes('The order has turned')")


def test_an_unknown_name_is_a_warning(tmp_path):
    from sphinx.testing.util import SphinxTestApp

    (tmp_path / "conf.py").write_text(f"import sys\nsys.path.insert(0, {str(EXTENSIONS)!r})\nextensions = ['explorables']\n")
    (tmp_path / "explorables").mkdir()
    (tmp_path / "index.rst").write_text('x\n=\n\n.. raw:: html\n\n   <div class="explorable" data-explorable="nothing"></div>\n')
    app = SphinxTestApp(srcdir=tmp_path)
    app.build()
    assert "no explorable named 'nothing'" in app.warning.getvalue()
    app.cleanup()
