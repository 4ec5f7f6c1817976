"""What a check-up says: its lines, as text and as a table."""

import html
import textwrap
from dataclasses import dataclass
from typing import NamedTuple

WIDTH = 76  # of a printed report
# Verdicts in the order in which a report shows them, what asks for something first.
WORDS = {"wrong": "WRONG", "look": "LOOK", "note": "note", "unseen": "not seen", "ok": "ok"}
NEVER_SEEN = (
    "Never seen from here: the order of the batches, the optimiser, clipping, a schedule of the weights, whether the points "
    "were held out, and whether encode and log_likelihood belong to the model that you train."
)
CODE = 'style="margin: 0.4em 0; white-space: pre-wrap"'
LEFT = 'style="text-align: left"'
CELL = 'style="text-align: left; vertical-align: top; white-space: normal; padding: 0.15em 0.5em"'


class Line(NamedTuple):
    """One line of a report.

    Attributes:
        name: What was looked at.
        verdict: ``"wrong"``; ``"look"``, often a mistake; ``"note"``, a fact without a verdict; ``"unseen"``, for want of a
            callable; ``"ok"``.
        found: What was found.
        page: Where the book explains it.
        expected: What it should be.
        write: The code to write instead.
    """

    name: str
    verdict: str
    found: str
    page: str
    expected: str = ""
    write: str = ""

    def __str__(self) -> str:
        text = _folded(f"{WORDS[self.verdict]:10}", f"{self.name}: {self.found}")
        if self.expected:
            text += "\n" + _folded(" " * 10, f"-> {self.expected} ({self.page})")
        return text + "".join(f"\n    {code}" for code in self.write.splitlines())

    def row(self) -> str:
        """The line as a row of an HTML table."""
        asks = self.verdict in ("wrong", "look")
        name, found, expected, write, page = map(html.escape, (self.name, self.found, self.expected, self.write, self.page))
        head = f"<b>{WORDS[self.verdict]}</b>" if asks else WORDS[self.verdict]
        text = f"<b>{name}</b>: {found}" + (f"<br>&rarr; {expected}" if expected else "") + f" ({page})"
        text += f"<pre {CODE}>{write}</pre>" if write else ""
        return f"<tr><td {CELL}>{head}</td><td {CELL}>{text}</td></tr>"


@dataclass(frozen=True, repr=False)
class Report:
    """What a check-up found.

    Attributes:
        lines: One for each thing that was looked at.
        numbers: The numbers of the lines, by name, in nats where they are log densities.
    """

    lines: tuple[Line, ...]
    numbers: dict[str, float]

    @property
    def findings(self) -> tuple[Line, ...]:
        """The lines that ask for something, those that are wrong and then those to look at."""
        return tuple(line for line in self.sorted() if line.verdict in ("wrong", "look"))

    def __getitem__(self, name: str) -> Line:
        """The line of that name."""
        return next(line for line in self.lines if line.name == name)

    def sorted(self) -> list[Line]:
        """The lines, what asks for something first."""
        return sorted(self.lines, key=lambda line: list(WORDS).index(line.verdict))

    def headline(self) -> str:
        """How many lines have each verdict."""
        verdicts = [line.verdict for line in self.lines]
        return ", ".join(f"{verdicts.count(name)} {word.lower()}" for name, word in WORDS.items() if name in verdicts)

    def __str__(self) -> str:
        return "\n".join([f"Check-up: {self.headline()}", *map(str, self.sorted()), textwrap.fill(NEVER_SEEN, WIDTH)])

    __repr__ = __str__  # what a console shows

    def _repr_html_(self) -> str:
        rows = "".join(line.row() for line in self.sorted())
        head = f"<p {LEFT}><b>Check-up</b>: {self.headline()}</p>"
        # The class by which notebooks and themes know a table that takes their colours, the dark ones too.
        return f'{head}<table class="dataframe">{rows}</table><p {LEFT}>{html.escape(NEVER_SEEN)}</p>'


def _folded(head: str, text: str) -> str:
    """A text on lines of `WIDTH`, behind its head."""
    return textwrap.fill(text, WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False)
