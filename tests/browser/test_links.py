"""Each link of each page leads somewhere."""

from functools import cache
from html.parser import HTMLParser
from pathlib import PurePosixPath
from posixpath import normpath
from urllib.parse import unquote, urlsplit

import pytest

from conftest import FILES, SITE


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
