"""What a downloaded notebook begins with, and where Colab is sent."""

import re

import addresses

from tools.notebooks import ROOT


def test_without_an_address_a_notebook_says_how_to_get_vaelib():
    cell = addresses.how_to_get_vaelib("")
    assert cell["cell_type"] == "markdown"
    assert "make lab" in cell["source"]


def test_with_an_address_a_notebook_gets_vaelib_where_it_is_not():
    cell = addresses.how_to_get_vaelib("https://github.com/a/b")
    assert cell["cell_type"] == "code"
    asked, ran = [], {"find_spec": lambda name: None, "run": lambda line: asked.append(line)}
    code = re.sub(r"^( +)([!%].+)$", r"\1run(\2)", cell["source"].split("\n", 1)[1], flags=re.MULTILINE)
    code = re.sub(r"run\((.+)\)$", lambda match: f"run({match[1]!r})", code, flags=re.MULTILINE)
    exec(code, ran)
    assert [line.split()[0] for line in asked] == ["!git", "%pip", "%cd"]
    assert "https://github.com/a/b vae-book" in asked[0]
    asked.clear()
    exec(code, ran | {"find_spec": lambda name: "here"})
    assert not asked


def test_colab_is_sent_to_the_notebooks_that_get_vaelib():
    urls = {text: f"https://{text}.org/a/b/blob/main/chapters/01.ipynb" for text in ("Colab", "Source")}
    buttons = [{"text": text, "url": url} for text, url in urls.items()]
    addresses.send_colab_to_downloads(None, "", "", {"header_buttons": [{"buttons": buttons}, {"text": "search"}]}, None)
    assert [button["url"].split("/")[6] for button in buttons] == ["notebooks", "main"]
    workflow = (ROOT / ".github" / "workflows" / "book.yml").read_text(encoding="utf-8")
    assert f"git push --force origin {addresses.DOWNLOADS}\n" in workflow
