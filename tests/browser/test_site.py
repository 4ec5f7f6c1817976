"""The built site in a headless Chromium, opened as files: it asks the network for nothing and is readable everywhere.

Run by ``make site-test``.
"""

import pytest

from conftest import CHAPTERS, DESKTOP, PAGES, PHONE, SITE

FIRST_PICTURE, LONGEST_PAGE = 1800, 15_000  # of a chapter, in pixels on the desktop, with everything folded that can be


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
    picture = tab.locator("article div.cell_output :is(img:visible, .explorable.started)").first
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
