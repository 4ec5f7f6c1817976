"""Write requirements.txt from requirements.in: the command behind ``make lock``.

requirements.in names what the book uses itself. What that needs in turn is read off this environment, into which
``make lock`` has installed requirements.in on top of the old lock, so that no version moves without need. Packages that
another platform alone needs (macOS, a CUDA build of torch) are not among them: pip finds those.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
DIRECT, LOCK = ROOT / "requirements.in", ROOT / "requirements.txt"
HEADER = """\
# The exact set of packages that this book was written, executed and tested with (Python 3.11 or newer).
# `make` installs it into .venv; Binder reads this file alone. Written by `make lock` from requirements.in.
"""


def direct(text: str) -> list[Requirement]:
    """The packages named in a requirements file."""
    lines = (re.split(r"(?:^|\s)#", line)[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def needed(roots: list[Requirement]) -> dict[str, str]:
    """Version of every package that `roots` need here, themselves included, by name.

    Raises:
        SystemExit: If one is not installed, or in another version than is asked for.
    """
    versions: dict[str, str] = {}
    waiting, seen = list(roots), set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(f"{requirement} is not installed; run 'make lock'") from None
        version = Version(installed.version)
        if not requirement.specifier.contains(version, prereleases=True):
            raise SystemExit(f"{name} {version} is installed, expected {requirement}; run 'make lock'")
        versions[name] = version.public  # without the label of a build, as in 2.13.0+cpu
        for line in installed.requires or []:
            further = Requirement(line)
            extras = ["", *requirement.extras]
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return versions


def lock(text: str) -> str:
    """The lock for a requirements.in."""
    roots = direct(text)
    named = {canonicalize_name(root.name) for root in roots}
    others = [f"{name}=={version}" for name, version in sorted(needed(roots).items()) if name not in named]
    body = text[text.index("\n\n") :].rstrip("\n")  # its own header stays there
    return "\n".join([HEADER.rstrip("\n") + body, "", "# What the packages above need.", *others, ""])


def main() -> int:
    text = lock(DIRECT.read_text(encoding="utf-8"))
    LOCK.write_text(text, encoding="utf-8")
    print(f"{text.count('==')} packages -> {LOCK.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
