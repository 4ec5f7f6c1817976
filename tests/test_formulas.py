"""Formulas are drawn while the book is built, with every glyph they use; what cannot be drawn is said."""

import re
from types import SimpleNamespace

import formulas
import pytest
from docutils import nodes


@pytest.fixture
def said(monkeypatch):
    """The warnings, as their arguments."""
    said = []
    monkeypatch.setattr(formulas.logger, "warning", lambda *message, location: said.append(message[1:]))
    return said


def body_of(formula):
    translator = SimpleNamespace(body=[])
    formulas.put(translator, nodes.math(), formula, display=False)
    return "".join(translator.body)


def test_a_page_gets_each_glyph_of_its_formulas_once():
    html = formulas.drawn(r"\sigma^2 = \tfrac{D}{2}", True) + formulas.drawn(r"\sigma", False)
    names = re.findall(r'id="([^"]+)"', formulas.glyphs(html))
    assert names == sorted(set(re.findall(r'xlink:href="#([^"]+)"', html)))
    assert len(names) == 4
    assert not formulas.glyphs("<p>text</p>")


def test_those_who_listen_get_mathml(said):
    assert "<mfrac><mi>D</mi><mn>2</mn></mfrac></math>" in body_of(r"\frac{D}{2}")
    assert not said


@pytest.mark.parametrize("formula", [r"\frac{1}", r"\nonsense x"])
def test_what_cannot_be_drawn_is_a_warning(said, formula):
    body_of(formula)
    assert said == [(formula,)]
