"""What the code imports is named in requirements.in, and requirements.txt pins it all."""

import ast
import json
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools import lock

ROOT = Path(__file__).resolve().parent.parent
CODE = [
    path
    for folder in ("vaelib", "vaelib/checkup", "tools", "tests", "_ext", ".")
    for path in sorted((ROOT / folder).glob("*.py"))
]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
OWNERS = packages_distributions()
OURS = {"vaelib", "tools", "tests", "conftest"}


def imported(path):
    """Top-level names of the packages that a module or a chapter imports, the standard library apart."""
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    else:
        source = path.read_text(encoding="utf-8")
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    local = {neighbour.stem for folder in (path.parent, ROOT / "_ext") for neighbour in folder.glob("*.py")}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names - OURS - local


@pytest.mark.parametrize("path", [*CODE, *CHAPTERS], ids=lambda path: path.name)
def test_what_is_imported_is_named(path):
    named = {canonicalize_name(requirement.name) for requirement in lock.direct(lock.DIRECT.read_text(encoding="utf-8"))}
    for name in imported(path):
        assert {canonicalize_name(owner) for owner in OWNERS[name]} & named, f"{name} is not in requirements.in; then: make lock"


def test_the_lock_is_one_of_these_requirements():
    lines, pinned = lock.DIRECT.read_text(encoding="utf-8").splitlines(), lock.LOCK.read_text(encoding="utf-8").splitlines()
    body = [line for line in lines[lines.index("") :] if line]
    assert [line for line in pinned if line in body] == body, "requirements.in changed; run 'make lock'"
    assert all(str(requirement.specifier).startswith("==") for requirement in lock.direct("\n".join(pinned)))


def test_what_a_package_needs_is_found_with_its_extras_and_without_a_build_s_label(monkeypatch):
    installed = {
        "a": ("1.0+cpu", ["B>=2; extra == 'more'", "c", "d; sys_platform == 'nowhere'"]),
        "b": ("2.1", ["a"]),
        "c": ("3.0", None),
    }

    class Distribution:
        def __init__(self, name):
            if name not in installed:
                raise lock.PackageNotFoundError(name)
            self.version, self.requires = installed[name]

    monkeypatch.setattr(lock, "distribution", Distribution)
    assert lock.needed([Requirement("A")]) == {"a": "1.0", "c": "3.0"}
    assert lock.needed([Requirement("a[more]==1.0")]) == {"a": "1.0", "b": "2.1", "c": "3.0"}
    with pytest.raises(SystemExit, match=r"b 2.1 is installed, expected B>2.1; run 'make lock'"):
        lock.needed([Requirement("B>2.1")])
    with pytest.raises(SystemExit, match="e is not installed"):
        lock.needed([Requirement("e")])
    text = lock.lock("# Its own header.\n\n# Why a.\n-e .\na[more]==1.0  # because\n")
    needs = ["# What the packages above need.", "b==2.1", "c==3.0"]
    assert text.splitlines()[-7:] == ["# Why a.", "-e .", "a[more]==1.0  # because", "", *needs]
    assert "Its own header" not in text
