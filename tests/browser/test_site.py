"""The built site in a headless Chromium, opened as files: it asks the network for nothing and is readable everywhere.

Run by ``make site-test``. Uses the browser named by CHROMIUM, or the first one found on the PATH.
"""

import os
import shutil
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="make site-test installs it")

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
FILES = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts}
PAGES = sorted(FILES - {"index.html"})  # the index only redirects
CHAPTERS = [page for page in PAGES if page.startswith("chapters/")]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
FIRST_PICTURE, LONGEST_PAGE = 1800, 15_000  # of a chapter, in pixels on the desktop, with everything folded that can be
# Without these, Chromium itself calls home.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--no-sandbox"]


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert executable, "no browser found: install chromium, or name one with CHROMIUM=/path/to/it"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page of the site, and at the end holds that nothing went wrong while it was open."""
    troubles, contexts = [], []

    def visit(page, query="", **device):
        context = browser.new_context(**device)
        contexts.append(context)
        tab = context.new_page()
        tab.on(
            "request", lambda request: request.url.startswith(("file:", "data:")) or troubles.append(f"asked for {request.url}")
        )
        # A page that is left while it loads aborts what it had asked for; that is no fault of the site.
        tab.on(
            "requestfailed",
            lambda request: (
                request.failure == "net::ERR_ABORTED" or troubles.append(f"did not get {request.url}: {request.failure}")
            ),
        )
        tab.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        tab.on("console", lambda message: message.type in ("error", "warning") and troubles.append(f"console: {message.text}"))
        tab.goto((SITE / page).as_uri() + query)
        tab.evaluate("window.MathJax?.startup?.promise.then(() => null)")
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert not troubles


def test_the_site_is_built():
    assert CHAPTERS, "run `make book` first"


@pytest.mark.parametrize("page", PAGES)
def test_page_fits_a_phone_and_is_complete(visit, page):
    tab = visit(page, **PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    # Not drawn at all, drawn as an error, or with an unknown command, which MathJax writes in red.
    assert tab.locator(".math:not(:has(mjx-container)), [data-mml-node=merror], mjx-container [fill=red]").count() == 0
    for picture in tab.locator("article img").all():
        assert picture.evaluate("img => img.complete && img.naturalWidth > 0")
        # Without alt text of its own, an output gets the path of its file.
        assert picture.get_attribute("alt")
        assert not picture.get_attribute("alt").endswith(".png")


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_chapter_is_short_and_its_picture_early(visit, page):
    tab = visit(page, **DESKTOP)
    picture = tab.locator("article div.cell_output img").first
    assert picture.evaluate("img => img.getBoundingClientRect().top + scrollY") < FIRST_PICTURE
    assert tab.evaluate("document.documentElement.scrollHeight") <= LONGEST_PAGE


@pytest.mark.parametrize("page", CHAPTERS)
def test_checks_lead_to_their_equations_and_back(visit, page):
    tab = visit(page, **DESKTOP)
    links = tab.locator("p.check a[href^='#equation-'], p.equation-check a").all()
    assert links, "a chapter without a checked equation"
    for link in links:
        target = link.get_attribute("href")
        assert tab.locator(f"[id='{target[1:]}']").count() == 1, target
    assert not tab.locator("pre", has_text="[ok] ").count()


def test_index_leads_to_the_landing_page(visit):
    tab = visit("search.html", **DESKTOP)
    tab.goto((SITE / "index.html").as_uri())
    tab.wait_for_url("**/intro.html")


@pytest.mark.parametrize("page", CHAPTERS)
def test_figures_are_cards_in_dark_mode(visit, page):
    tab = visit(page, **DESKTOP, color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    figures = tab.locator("div.cell_output img").all()
    assert figures, "a chapter without a figure"
    for figure in figures:
        style = figure.evaluate("img => [getComputedStyle(img).filter, getComputedStyle(img).backgroundColor]")
        assert style == ["none", "rgb(255, 255, 255)"]


@pytest.mark.parametrize("page", CHAPTERS)
def test_solutions_open_on_a_click(visit, page):
    tab = visit(page, **DESKTOP)
    solutions = tab.locator("div.solution").all()
    assert solutions, "a chapter without a solution"
    for solution in solutions:
        content = solution.locator("> section, > div").last
        assert not content.is_visible()
        solution.locator(".toggle-button").first.click()
        assert content.is_visible()


def test_sidebar_opens_on_a_phone_and_leads_to_a_chapter(visit):
    tab = visit("intro.html", **PHONE)
    link = tab.locator(f".bd-sidebar-primary a[href='{CHAPTERS[-1]}']")
    assert not link.is_visible()
    tab.locator(".primary-toggle:visible").click()
    link.click()
    tab.wait_for_url(f"**/{CHAPTERS[-1]}")


def test_search_finds_pages(visit):
    tab = visit("search.html", query="?q=posterior", **DESKTOP)
    tab.locator("#search-results li").first.wait_for()
