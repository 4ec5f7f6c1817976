import ast
from itertools import zip_longest

import pytest

from tools import mutants

SOURCE = '''"""A module: 1 < 2."""

import math

LIMIT = 4


def size(x: list[int], limit: int = 1, *, scale: float = 0.5) -> float:
    """Size, at most 3."""
    require("x", x)
    if not x or limit < 0:
        raise ValueError(f"x has {len(x) + 1} entries, limit {limit}")
    return -scale * x[0] ** 2 + math.log(limit)
'''


def test_each_kind_of_error_is_made():
    changes = [(mutant.line, mutant.change) for mutant in mutants.mutants(SOURCE)]
    assert changes == [
        (5, "4  ->  5"),
        (5, "4  ->  3"),
        (8, "0.5  ->  1.5"),
        (8, "0.5  ->  0.25"),
        (8, "1  ->  2"),
        (10, "require('x', x)  ->  pass"),
        (10, "require('x', x)  ->  require(x, 'x')"),
        (11, "if not x or limit < 0:  ->  if False:"),
        (11, "not x or limit < 0  ->  not x and limit < 0"),
        (11, "not x  ->  x"),
        (11, "limit < 0  ->  limit <= 0"),
        (11, "limit < 0  ->  limit > 0"),
        (11, "0  ->  1"),
        (13, "-scale * x[0] ** 2 + math.log(limit)  ->  -scale * x[0] ** 2 - math.log(limit)"),
        (13, "-scale * x[0] ** 2 + math.log(limit)  ->  -scale * x[0] ** 2"),
        (13, "-scale * x[0] ** 2 + math.log(limit)  ->  math.log(limit)"),
        (13, "-scale * x[0] ** 2  ->  -scale / x[0] ** 2"),
        (13, "-scale * x[0] ** 2  ->  -scale"),
        (13, "-scale * x[0] ** 2  ->  x[0] ** 2"),
        (13, "-scale  ->  scale"),
        (13, "x[0] ** 2  ->  x[0] * 2"),
        (13, "0  ->  1"),
        (13, "2  ->  3"),
        (13, "2  ->  1"),
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
