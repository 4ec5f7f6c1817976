import ast
from itertools import zip_longest

import pytest

from tools import mutants

SOURCE = '''"""A module: 1 < 2."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

LIMIT = 4


def size(x: list[int], limit: int = 1, *, scale: float = 0.5) -> float:
    """Size, at most 3."""
    require("x", x)
    if not x or limit < 0:
        raise ValueError(f"x has {len(x) + 1} entries, limit {limit}")
    limit = max(limit, 3)
    return -scale * x[0] ** 2 + math.log(limit)
'''


def test_each_kind_of_error_is_made():
    changes = [(mutant.line, mutant.change) for mutant in mutants.mutants(SOURCE)]
    assert changes == [
        (9, "4  ->  5"),
        (9, "4  ->  3"),
        (12, "0.5  ->  1.5"),
        (12, "0.5  ->  0.25"),
        (12, "1  ->  2"),
        (14, "require('x', x)  ->  pass"),
        (14, "require('x', x)  ->  require(x, 'x')"),
        (15, "if not x or limit < 0:  ->  if False:"),
        (15, "not x or limit < 0  ->  not x and limit < 0"),
        (15, "not x  ->  x"),
        (15, "limit < 0  ->  limit <= 0"),
        (15, "limit < 0  ->  limit > 0"),
        (15, "0  ->  1"),
        (17, "3  ->  4"),
        (17, "3  ->  2"),
        (18, "-scale * x[0] ** 2 + math.log(limit)  ->  -scale * x[0] ** 2 - math.log(limit)"),
        (18, "-scale * x[0] ** 2 + math.log(limit)  ->  -scale * x[0] ** 2"),
        (18, "-scale * x[0] ** 2 + math.log(limit)  ->  math.log(limit)"),
        (18, "-scale * x[0] ** 2  ->  -scale / x[0] ** 2"),
        (18, "-scale * x[0] ** 2  ->  -scale"),
        (18, "-scale * x[0] ** 2  ->  x[0] ** 2"),
        (18, "-scale  ->  scale"),
        (18, "x[0] ** 2  ->  x[0] * 2"),
        (18, "0  ->  1"),
        (18, "2  ->  3"),
        (18, "2  ->  1"),
    ]


def test_a_mutant_is_the_module_with_one_change():
    plain = ast.unparse(ast.parse(SOURCE)).splitlines()
    found = [mutants.broken(SOURCE, mutant) for mutant in mutants.mutants(SOURCE)]
    assert len(set(found)) == len(found)
    for text in found:
        assert sum(a != b for a, b in zip_longest(text.splitlines(), plain)) == 1


@pytest.mark.parametrize("module", mutants.MODULES)
def test_every_module_has_tests_of_its_own(module):
    own, others = mutants.tests_of(module)
    assert all((mutants.ROOT / path).exists() for path in [*own, *others])
    assert own[0] not in others and not any(name in path for path in others for name in mutants.NO_UNIT_TESTS)


def test_a_module_of_a_package_stands_in_it_and_is_tested_as_the_package():
    assert mutants.path_of("checkup") == "vaelib/checkup/__init__.py"
    assert mutants.tests_of("checkup._loss")[0] == ["tests/test_checkup_lines.py", "vaelib/checkup/_loss.py"]
    assert mutants.tests_of("checkup._loss")[1] == mutants.tests_of("checkup")[1]
    written = {path.relative_to(mutants.ROOT).as_posix() for path in (mutants.ROOT / "vaelib/checkup").glob("*.py")}
    assert written <= {mutants.path_of(module) for module in mutants.MODULES}
