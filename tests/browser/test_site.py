"""The built site in a headless Chromium, opened as files: it asks the network for nothing and is readable everywhere.

Run by ``make site-test``. Each page is opened once on a phone and once on the desktop, and then looked at in many ways.
"""

import pytest
from aids import faint, remove_formulas, violations

from conftest import CHAPTERS, DESKTOP, PAGES, PHONE, SITE

NARROW = {**PHONE, "viewport": {"width": 360, "height": 740}}
FIRST_PICTURE, LONGEST_PAGE = 1800, 15_000  # of a chapter, in pixels on the desktop, with everything folded that can be
READ = [page for page in PAGES if not page.startswith("_modules/")]
RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
    "rules": {"label-content-name-mismatch": {"enabled": True}, "color-contrast": {"enabled": False}},  # faint() looks at that
}
# All that moved after it had been drawn, as a share of the window.
SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => list.getEntries().forEach((shift) => { sum += shift.value; }))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 200);
})"""
# Formulas that are cut without a fading edge, those in folds too.
CUT = """() => {
  document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
  const width = (box) => (box.matches("span") ? box.querySelector("svg").getBoundingClientRect().width : box.scrollWidth);
  const cut = (box) => box.clientWidth && width(box) > box.clientWidth + 2 && getComputedStyle(box).maskImage === "none";
  return new Promise((done) => setTimeout(() => done([...document.querySelectorAll("div.math mjx-container, span.math")]
    .filter(cut).map((box) => box.textContent.slice(0, 40))), 200));
}"""
# Formulas that are not drawn at all, drawn as an error, or with an unknown command, which is drawn in red.
UNDRAWN = ".math:not(:has(mjx-container)), [data-mml-node=merror], mjx-container [fill=red]"
# Glyphs that a formula uses and the page does not have.
BLANK = """() => [...document.querySelectorAll("mjx-container use")].map((use) => use.getAttribute("xlink:href"))
  .filter((glyph) => !document.querySelector(`svg > defs > path${glyph}`))"""
# Pictures that are missing, or without alt text of their own: an output then gets the path of its file.
POOR = """() => [...document.querySelectorAll("article img")]
  .filter((img) => !(img.complete && img.naturalWidth > 0 && img.alt && !img.alt.endsWith(".png"))).map((img) => img.src)"""
# Links between checks and equations that do not lead to exactly one place.
ASTRAY = """() => {
  const links = document.querySelectorAll("p.check a[href^='#equation-'], p.equation-check a");
  const names = [...links].map((link) => link.getAttribute("href").slice(1));
  return [names.length, names.filter((name) => document.querySelectorAll(`[id="${name}"]`).length !== 1)];
}"""
# Figures of a chapter that are not on a white card.
CARDS = """() => {
  const figures = [...document.querySelectorAll("div.cell_output img")];
  const styles = figures.map((img) => getComputedStyle(img));
  return [figures.length, styles.filter((one) => one.filter !== "none" || one.backgroundColor !== "rgb(255, 255, 255)").length];
}"""
GROUND = "getComputedStyle(document.body).backgroundColor"


def test_the_site_is_built():
    assert CHAPTERS, "run `make book` first"


@pytest.mark.parametrize("page", PAGES)
def test_on_a_phone(visit, subtests, page):
    tab = visit(page, **NARROW, color_scheme="dark")
    with subtests.test("it comes up dark where that is wanted"):
        assert tab.evaluate(GROUND) != "rgb(255, 255, 255)"
    with subtests.test("every formula is drawn, and every picture there and described"):
        assert not tab.locator(UNDRAWN).count()
        assert not tab.evaluate(BLANK)
        assert not tab.evaluate(POOR)
    with subtests.test("no formula is cut without a cue"):
        assert not tab.evaluate(CUT)
    for width in (360, 390):
        with subtests.test("it fits", width=width):
            tab.set_viewport_size(PHONE["viewport"] | {"width": width})
            assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", READ)
def test_on_the_desktop(visit, subtests, page):
    tab = visit(page, **DESKTOP)
    with subtests.test("it stands still while it loads"):
        assert tab.evaluate(SHIFTED) <= 0.1
    if page in CHAPTERS:
        with subtests.test("its picture is early, and it is short"):
            picture = tab.locator("article div.cell_output :is(img:visible, .explorable.started)").first
            assert picture.evaluate("img => img.getBoundingClientRect().top + scrollY") < FIRST_PICTURE
            assert tab.evaluate("document.documentElement.scrollHeight") <= LONGEST_PAGE
        with subtests.test("checks lead to their equations and back"):
            links, astray = tab.evaluate(ASTRAY)
            assert links, "a chapter without a checked equation"
            assert not astray
            assert not tab.locator("pre", has_text="[ok] ").count()
    with subtests.test("it serves the keyboard and aids"):
        assert not tab.locator("mjx-container[tabindex='0']").count()
        remove_formulas(tab)
        assert not violations(tab, **RULES)
    for theme in ("light", "dark"):
        with subtests.test("its text is not faint", theme=theme):
            assert not faint(tab, theme)
    if page in CHAPTERS:
        with subtests.test("figures are cards in dark mode"):
            assert tab.evaluate(GROUND) != "rgb(255, 255, 255)"
            figures, bare = tab.evaluate(CARDS)
            assert figures, "a chapter without a figure"
            assert not bare
        with subtests.test("solutions open on a click"):
            solutions = tab.locator("div.solution").all()
            assert solutions, "a chapter without a solution"
            for solution in solutions:
                content = solution.locator("> section, > div").last
                assert not content.is_visible()
                solution.locator(".toggle-button").first.click()
                assert content.is_visible()


def test_index_leads_to_the_landing_page(visit):
    tab = visit("search.html", **DESKTOP)
    tab.goto((SITE / "index.html").as_uri())
    tab.wait_for_url("**/intro.html")


def test_sidebar_opens_on_a_phone_and_leads_to_a_chapter(visit):
    tab = visit("intro.html", **PHONE)
    link = tab.locator(f".bd-sidebar-primary a[href='{CHAPTERS[-1]}']")
    assert not link.is_visible()
    tab.locator(".primary-toggle:visible").click()
    link.click()
    tab.wait_for_url(f"**/{CHAPTERS[-1]}")
