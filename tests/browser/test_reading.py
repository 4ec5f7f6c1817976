"""Every page reads well: by keyboard and with aids, on a narrow phone, while it loads; and each of its links leads somewhere."""

from functools import cache
from html.parser import HTMLParser
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from conftest import CHAPTERS, DESKTOP, FILES, PAGES, PHONE, SITE

NARROW = {**PHONE, "viewport": {"width": 360, "height": 740}}
READ = [page for page in PAGES if not page.startswith("_modules/")]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}},
    "resultTypes": ["violations"],
    "preload": False,  # of style sheets, which a page opened as a file may not ask for
}
COLOURS = {**RULES, "runOnly": {"type": "rule", "values": ["color-contrast"]}}
# All that moved after it had been drawn, as a share of the window.
SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((shift) => { sum += shift.value; }))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 200);
})"""
# Displayed formulas that are cut without a fading edge.
CUT = """() => [...document.querySelectorAll("div.math mjx-container")]
  .filter((box) => box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).maskImage === "none")
  .map((box) => box.closest("div.math").id)"""


class Names(HTMLParser):
    """What a page can be asked for by name, and what it asks of others."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])


@cache
def names(page):
    return Names((SITE / page).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", READ)
def test_a_page_serves_the_keyboard_and_aids_and_stands_still(visit, page):
    tab = visit(page, **DESKTOP)
    assert tab.evaluate(SHIFTED) <= 0.1
    assert not tab.locator("mjx-container[tabindex='0']").count()
    tab.evaluate("document.querySelectorAll('mjx-container').forEach((formula) => formula.remove())")  # or axe takes a minute
    for theme, options in {"light": RULES, "dark": COLOURS}.items():
        tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        tab.wait_for_timeout(400)  # until colours that fade have changed
        violations = Axe().run(tab, options=options).response["violations"]
        assert not [(one["id"], [node["target"] for node in one["nodes"]]) for one in violations], theme


@pytest.mark.parametrize("page", CHAPTERS)
def test_no_formula_is_cut_without_a_cue_on_a_narrow_phone(visit, page):
    tab = visit(page, **NARROW)
    tab.wait_for_timeout(100)
    assert not tab.evaluate(CUT)
    assert tab.evaluate("document.documentElement.scrollWidth") <= NARROW["viewport"]["width"]


@pytest.mark.parametrize("page", sorted(FILES))
def test_every_link_leads_to_an_anchor_that_exists(page):
    for link in names(page).links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = normpath(PurePosixPath(page).parent / unquote(parts.path)) if parts.path else page
        assert (SITE / target).exists(), link
        if parts.fragment and target.endswith(".html"):
            assert unquote(parts.fragment) in names(target).ids, link
