"""The built site in a headless Chromium, opened as files, for the tests beside this file.

Uses the browser named by CHROMIUM, or the first one found on the PATH.
"""

import os
import shutil
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="make site-test installs it")

SITE = Path(os.environ.get("SITE") or Path(__file__).resolve().parents[2] / "_build" / "html")
FILES = {path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html") if "_static" not in path.parts}
PAGES = sorted(FILES - {"index.html"})  # the index only redirects
CHAPTERS = [page for page in PAGES if page.startswith("chapters/")]
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
# Without these, Chromium itself calls home.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run", "--no-sandbox"]


def chromium() -> str:
    """The browser to use."""
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    assert executable, "no browser found: install chromium, or name one with CHROMIUM=/path/to/it"
    return executable


@pytest.fixture(scope="session")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
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
        return tab

    yield visit
    for context in contexts:
        context.close()
    assert not troubles


def frames(tab, number=2):
    """Wait until the page has been drawn that often."""
    tab.evaluate("async (number) => { while (number--) await new Promise(requestAnimationFrame); }", number)


def settle(tab, name):
    """Wait until the last change of an explorable has been drawn, and the address tells it."""
    told = "name => { const { changes, told } = document.getElementById(name).dataset; return changes === told; }"
    tab.wait_for_function(told, arg=name)
    frames(tab)
