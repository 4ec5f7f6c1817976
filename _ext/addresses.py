"""What needs to know where the book lives: buttons to its source, the sitemap, what others show of a link to a page.

``book_repository`` and ``html_baseurl`` in _config.yml are the two addresses. While they are empty, what would need them is
left out and the rest works.
"""

import re
import sys
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from section_search import plain as plain_words

sys.path.append(str(Path(__file__).parent.parent))  # tools stands beside this folder
from tools.plain import plain

SENTENCE = re.compile(r".+?[.?!](?=\s+[A-Z]|\s*$)", re.DOTALL)
LONGEST = 300  # letters of a description
NOTE = "get-vaelib"
BRANCH, DOWNLOADS = "main", "notebooks"  # branches: the book; its notebooks as the site offers them


def add_buttons(app, config) -> None:
    """The theme's own buttons, on every page, once there is something for them to lead to."""
    if config.book_repository:
        config.html_theme_options |= {
            "repository_url": config.book_repository,
            "repository_branch": BRANCH,
            "use_repository_button": True,
            "use_source_button": True,
            "use_edit_page_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


def description(doctree: nodes.document) -> str:
    """The first sentence of a chapter's answer, or of a page without one."""
    answer = next((node for node in doctree.findall(nodes.admonition) if "answer" in node["classes"]), doctree)
    paragraph = answer.next_node(nodes.paragraph)
    text = re.sub(r" ([,.;:?!)])", r"\1", " ".join(plain_words(paragraph).split())) if paragraph else ""
    sentence = SENTENCE.match(text)
    text = sentence[0] if sentence else text
    return text if len(text) <= LONGEST else text[: text.rindex(" ", 0, LONGEST)] + " …"


def describe(app, pagename, templatename, context, doctree) -> None:
    if doctree is None:
        return
    said, title = description(doctree), re.sub("<[^>]*>", "", context["title"])
    tags = {"og:title": title, "og:description": said, "og:type": "article", "og:site_name": app.config.html_title}
    if base := app.config.html_baseurl:
        page = app.builder.get_target_uri(pagename)
        tags |= {"og:url": f"{base}{page}", "og:image": f"{base}_static/card.png", "og:image:alt": app.config.html_title}
    lines = ['<meta name="twitter:card" content="summary_large_image" />']
    lines += [f'<meta name="description" content="{escape(said)}" />'] if said else []
    lines += [f'<meta property="{name}" content="{escape(text)}" />' for name, text in tags.items() if text]
    context["metatags"] = context.get("metatags", "") + "\n".join(lines)


def how_to_get_vaelib(repository: str) -> dict:
    """The cell that a downloaded notebook begins with."""
    if repository:
        lines = [
            "from importlib.util import find_spec",
            "",
            'if find_spec("vaelib") is None:  # as in Colab: get the book, its module and its tables',
            f"    !git clone --quiet --depth 1 {repository} vae-book",
            "    %pip install --quiet ./vae-book",
            "    %cd vae-book/chapters",
        ]
        code = {"cell_type": "code", "execution_count": None, "outputs": []}
        return {**code, "id": NOTE, "metadata": {}, "source": "\n".join(lines)}
    how = "in the book's folder by `make lab`, or elsewhere by `pip install FOLDER`, where FOLDER is the book's"
    text = f"This notebook imports the book's module `vaelib`. Get it {how}."
    return {"cell_type": "markdown", "id": NOTE, "metadata": {}, "source": text}


def send_colab_to_downloads(app, pagename, templatename, context, doctree) -> None:
    """The notebooks that begin by getting vaelib stand on a branch of their own; the workflow puts them there."""
    for button in (button for group in context.get("header_buttons", []) for button in group.get("buttons", [])):
        if button.get("text") == "Colab":
            button["url"] = button["url"].replace(f"/blob/{BRANCH}/", f"/blob/{DOWNLOADS}/")


def finish(app, exception) -> None:
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        if notebook.cells[0].id != NOTE:
            notebook = plain(notebook, path.name)
            notebook.cells.insert(0, nbformat.from_dict(how_to_get_vaelib(app.config.book_repository)))
            nbformat.write(notebook, path)
    if base := app.config.html_baseurl:
        targets = [base + app.builder.get_target_uri(name) for name in sorted(app.env.found_docs)]
        lines = [
            '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">',
            *(f"<url><loc>{url}</loc></url>" for url in targets),
        ]
        Path(app.outdir, "sitemap.xml").write_text("\n".join([*lines, "</urlset>", ""]), encoding="utf-8")


def setup(app):
    app.add_config_value("book_repository", "", "html")
    app.connect("config-inited", add_buttons, priority=100)  # before the theme reads its options
    app.connect("html-collect-pages", lambda app: [("404", {"base": app.config.html_baseurl}, "404.html")])
    app.connect("html-page-context", describe)
    app.connect("html-page-context", send_colab_to_downloads, priority=502)  # after the theme has made its buttons
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
