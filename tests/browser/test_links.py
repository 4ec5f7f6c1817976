"""Each link of each page leads somewhere, and what a notebook says of the site's numbers is what the site says."""

import json
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import pytest

from conftest import CHAPTERS, FILES, SITE
from tools.notebooks import chapters
from tools.plain import places


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


@pytest.mark.parametrize("page", CHAPTERS)
def test_a_notebook_names_equations_figures_and_exercises_by_the_numbers_of_the_site(page):
    text = (SITE / page).read_text(encoding="utf-8")
    numbered = dict(re.findall(r'id="equation-([\w-]+)">\s*<span class="eqno">(\([\d.]+\))', text))
    for kind in ("Fig.", "Exercise"):
        caption = re.compile(rf'<span class="caption-number">({kind} [\d.]+)')
        ids = [(found.start(), found[1]) for found in re.finditer(r'id="((?:fig|ex)-[\w-]+)"', text)]
        for found in caption.finditer(text):
            numbered[max(pair for pair in ids if pair[0] < found.start())[1]] = found[1]
    expected = {name: there.words for name, there in places().items() if there.chapter == f"{PurePosixPath(page).stem}.ipynb"}
    assert numbered.items() <= expected.items()
    assert {name for name, said in expected.items() if re.match(r"\(\d|Fig\. \d|Exercise \d", said)} == numbered.keys()


@pytest.mark.parametrize("path", chapters(), ids=lambda path: path.stem)
def test_a_downloaded_notebook_says_how_to_get_vaelib_and_is_plain_markdown(path):
    cells = json.loads((SITE / "_sources" / "chapters" / path.name).read_text(encoding="utf-8"))["cells"]
    assert "vaelib" in "".join(cells[0]["source"]) and "".join(cells[1]["source"]).startswith("# ")
    assert not [cell for cell in cells[1:] if cell["cell_type"] == "markdown" and ":::" in "".join(cell["source"])]
