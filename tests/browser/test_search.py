"""The search over sections: what people type finds the section that explains it, on pages opened as files and from a server."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import DESKTOP, PHONE, SITE

CHAPTER = "chapters/07_sigma_as_weight.html"
# What is typed, and the sections of which one must be among the first three.
QUERIES = {
    "logvar": "q-exp-logvar q-negative-logvar kl-exp-logvar-as-std",
    "exp(logvar)": "q-exp-logvar kl-exp-logvar-as-std",
    "IWAE": "q-iwae elbo-iwae-code elbo-importance",
    "importance weighted autoencoder": "q-iwae elbo-importance",
    "annealing": "q-warm-up warm-up-helps",
    "warmup": "q-warm-up warm-up-helps",
    "KLD": "03_kl_closed_form",
    "clusters": "q-classes digits-why-group",
    "labels": "q-classes digits-why-group",
    "kl weight": "q-kl-weight sigma-is-beta",
    "reconstruction too small": "q-scales q-kl-small-good q-sum-or-mean",
    "nan": "q-nan loss-is-nan",
    "posterior colapse": "08_posterior_collapse q-kl-zero",
    "posterior collapse": "08_posterior_collapse",
    "my kl vanishes": "q-kl-zero",
    "reparametrisation trik": "04_reparameterization q-trick",
    "compression": "q-compression linear-compression",
    "instability": "loss-is-nan q-nan",
    "negative loss": "q-loss-negative lik-negative-loss",
    "BCE MSE": "q-bce-or-mse bce-or-mse",
    "blury": "q-blurry lik-blurry",
    "bad samples": "q-bad-samples gap-bad-samples",
    "sum or mean": "q-sum-or-mean elbo-sum-or-mean",
    "B/N": "q-b-over-n kl-weight-b-over-n",
    "0.00025": "q-b-over-n kl-weight-b-over-n",
    "learn σ": "10_learning_sigma q-choose-sigma learn-choose",
    "number of latents": "q-how-many-latents digits-how-many",
    "test time mean or z": "q-mean-or-draw spiral-mean-or-draw",
    "softplus": "q-softplus",
    "gray pixels": "q-bce-grey bce-grey-pixels digits-likelihood",
    "decoder mean and variance": "q-two-heads two-headed-decoder",
    "deterministic decoder": "q-deterministic lv-deterministic",
    "bits per dim": "q-bits-per-dim digits-bits",
    "LSTM ignores z": "q-text-ignores-z",
    "kl-pair": "two-moments-are-enough",
    "collapse_threshold": "vaelib.thresholds.collapse_threshold",
}
LISTS = {"back/bibliography", "back/notation", "back/replication", "back/api"}


@pytest.fixture(scope="module")
def first(browser):
    """The best sections for each query, as pairs of page and anchor."""
    tab = browser.new_page()
    tab.goto((SITE / "search.html").as_uri())
    found = tab.evaluate("lines => Promise.all(lines.map(sectionSearch))", list(QUERIES))
    tab.close()
    places = [[(hit["section"]["page"], hit["section"]["anchor"]) for hit in hits[:3]] for hits in found]
    return dict(zip(QUERIES, places, strict=True))


@pytest.mark.parametrize("line", QUERIES)
def test_what_explains_it_is_among_the_first_three(first, line):
    names = {anchor or page.split("/")[-1] for page, anchor in first[line]}
    assert names & set(QUERIES[line].split()), first[line]


@pytest.mark.parametrize("line", [line for line in QUERIES if "_" not in line])
def test_lists_come_after_what_explains(first, line):
    assert first[line][0][0] not in LISTS


def test_as_one_types_a_result_shows_where_the_words_stand_and_leads_there(visit):
    tab = visit(CHAPTER, **DESKTOP)
    tab.keyboard.press("Control+k")
    tab.keyboard.type("free bits")
    results = tab.locator("dialog .search-results li")
    results.first.wait_for()
    assert 1 < results.count() <= 8
    assert results.first.locator("mark").all_inner_texts()
    assert "sections" in tab.locator("dialog [role=status]").inner_text()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/questions.html#q-free-bits")
    assert tab.locator("#q-free-bits").is_visible()


def test_enter_leads_to_all_results_and_their_address_can_be_kept(visit):
    tab = visit(CHAPTER, **PHONE)
    tab.locator(".search-button:visible").first.click()
    tab.keyboard.type("sigma")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/search.html?q=sigma")
    tab.locator(".bd-search-container li").first.wait_for()
    assert tab.locator(".bd-search-container li").count() > 8
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    tab.locator(".bd-search-container input").fill("zzzz")
    tab.locator("[role=status]", has_text="Nothing").wait_for()
    assert tab.url.endswith("?q=zzzz")


def test_it_works_from_a_server_too(browser):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=SITE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{server.server_port}/search.html?q=nan")
        tab.locator(".search-results a").first.click()
        tab.wait_for_url("**#q-nan")
        tab.close()
        server.shutdown()
