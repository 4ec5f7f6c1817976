"""The whole book as one PDF, printed by the browser from the built site: ``make pdf``.

Each page is printed by itself, in the order of the contents, and becomes a bookmark; a link from one page to another leads to the
page on paper, not to a file that only this machine has.
"""

import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject, NumberObject

from conftest import QUIET, SITE, chromium

NUMBER = '<div style="width: 100%; text-align: center; font-size: 8px"><span class="pageNumber"></span></div>'


def contents() -> list[str]:
    """The pages in the order of the sidebar, the landing page first."""
    links = r'<li class="toctree-l1[^>]*><a class="reference internal" href="([^"#]+)"'
    sidebar = re.findall(links, (SITE / "intro.html").read_text(encoding="utf-8"))
    return ["intro.html", *sidebar]


def printed(browser: Browser, page: str, path: Path) -> str:
    """Print a page to a file, every explorable at rest; its title."""
    tab = browser.new_page(viewport={"width": 1000, "height": 1400}, color_scheme="light", reduced_motion="reduce")
    tab.goto((SITE / page).as_uri())
    margin = dict.fromkeys(("top", "bottom", "left", "right"), "18mm")
    tab.pdf(path=path, format="A4", margin=margin, display_header_footer=True, header_template="<i></i>", footer_template=NUMBER)
    title = tab.title().split(" — ")[0]
    tab.close()
    return title


def relink(writer: PdfWriter, starts: dict[str, int]) -> None:
    """Links to files become links to pages of this PDF; a link to a file that is not in it becomes plain text."""
    for page in writer.pages:
        kept = ArrayObject()
        for reference in page.get("/Annots", ()):
            annotation = reference.get_object()
            address = urlsplit(str(annotation.get("/A", {}).get("/URI", "")))
            if address.scheme == "file":
                path = Path(unquote(address.path))
                name = path.relative_to(SITE.resolve()).as_posix() if path.is_relative_to(SITE.resolve()) else ""
                if name not in starts:
                    continue
                target = writer.pages[starts[name]].indirect_reference
                del annotation["/A"]
                annotation[NameObject("/Dest")] = ArrayObject([target, NameObject("/FitH"), NumberObject(842)])
            kept.append(reference)
        page[NameObject("/Annots")] = kept


def main(target: Path) -> None:
    writer, starts = PdfWriter(), {}
    with TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        pages = contents()
        for number, page in enumerate(pages, start=1):
            path = Path(folder, "page.pdf")
            title = printed(browser, page, path)
            starts[page] = len(writer.pages)
            writer.append(PdfReader(path), outline_item=title, import_outline=False)
            print(f"[{number}/{len(pages)}] {title}: {len(writer.pages) - starts[page]} pages", flush=True)
        browser.close()
        relink(writer, starts)
        writer.write(target)
    print(f"{target}: {len(writer.pages)} pages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
