"""What the API page makes of docstrings: the text before a colon in the first line of a result would be taken for its type."""

import ast
import re
from pathlib import Path

import pytest

VAELIB = Path(__file__).resolve().parent.parent / "vaelib"
TYPED = re.compile(r"(?:[^:`]|`[^`]*`|:\w+:`[^`]*`)*:\s")  # a colon that is neither in code nor a role's


def results(path):
    """Per public function or property, its name and the first paragraph about what it gives."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and (text := ast.get_docstring(node)):
            is_property = any(ast.unparse(decorator) == "property" for decorator in node.decorator_list)
            found = re.match("(.*)", text) if is_property else re.search(r"^Returns:\n    (.*?)(?:\n\n|\Z)", text, re.M | re.S)
            if found:
                yield node.name, found[1]


@pytest.mark.parametrize("path", sorted(VAELIB.rglob("*.py")), ids=lambda path: path.stem)
def test_no_result_is_read_as_a_type(path):
    assert not [name for name, text in results(path) if TYPED.match(text)]


@pytest.mark.parametrize(("text", "typed"), [("KL, in nats: right if", True), ("Shape ``(d, 1)``, a :math:`x: y` of it.", False)])
def test_a_colon_counts_outside_code(text, typed):
    assert bool(TYPED.match(text)) == typed
