"""Imports inside vaelib point one way, and the oracles share no code with what they check."""

import ast
from pathlib import Path

import pytest

VAELIB = Path(__file__).resolve().parent.parent / "vaelib"
FILES = sorted(VAELIB.rglob("*.py"))
# A module imports only from links to its left.
CHAIN = [
    {"spiral", "gaussian", "kl", "thresholds"},
    {"likelihood"},
    {"backprop", "checkup"},
    {"nets"},
    {"objective"},
    {"train"},
    {"diagnostics"},
    {"sweep"},
]
# What computes the truth must not contain the error that it is to catch.
ORACLES = {"quadrature", "ppca"}
ORACLES_USED_BY = {"spiral", "diagnostics", "sweep"}
ALONE = {"_checks", "_numerics", "_ranks", "plotting", "verify"}
FOR_THE_CHAIN = {"_checks", "_numerics", "verify"}  # of those alone; oracles take the checks and nothing else


def imported(source: str) -> set[str]:
    """Names of the modules that a source imports; ``vaelib.kl`` stays one name."""
    names, tree = set(), ast.parse(source)
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    unrun = {id(node) for block in typing for statement in block.body for node in ast.walk(statement)}  # never executed
    for node in ast.walk(tree):
        if id(node) in unrun:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "vaelib" if node.level else node.module
            module = f"vaelib.{node.module}" if node.level and node.module else module
            names |= {f"vaelib.{alias.name}" for alias in node.names} if module == "vaelib" else {module}
    return names


def module_of(path: Path) -> str:
    """A package counts as one module."""
    return path.relative_to(VAELIB).with_suffix("").parts[0]


def allowed(module: str) -> set[str]:
    """What `module` may import of vaelib."""
    if module in ALONE | {"__init__"}:
        return set()
    if module in ORACLES:
        return {"_checks"}
    position = next(i for i, link in enumerate(CHAIN) if module in link)
    own = {"_ranks"} if module == "sweep" else set()
    return FOR_THE_CHAIN.union(own, *CHAIN[:position], ORACLES if module in ORACLES_USED_BY else ())


def problems(module: str, source: str) -> list[str]:
    ours = {name.split(".")[1] for name in imported(source) if name.startswith("vaelib.")}
    found = [f"{module} imports {name}" for name in sorted(ours - allowed(module) - {module})]
    if module != "plotting" and any(name.split(".")[0] == "matplotlib" for name in imported(source)):
        found.append(f"{module} imports matplotlib")
    return found


def test_every_module_has_its_place():
    modules = {module_of(path) for path in FILES} - {"__init__"}
    assert modules == set().union(*CHAIN, ORACLES, ALONE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}.{path.stem}")
def test_imports_point_one_way(path):
    assert not problems(module_of(path), path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("quadrature", "from vaelib.gaussian import gaussian_log_density"),
        ("quadrature", "from vaelib import kl"),
        ("quadrature", "from vaelib._numerics import times_exp"),
        ("spiral", "from vaelib.nets import VAE"),
        ("thresholds", "from vaelib import quadrature"),
        ("ppca", "from vaelib.objective import elbo_terms"),
        ("kl", "from vaelib.likelihood import gaussian_log_likelihood"),
        ("nets", "import vaelib.objective"),
        ("likelihood", "from .nets import VAE"),
        ("plotting", "from vaelib.nets import VAE"),
        ("train", "from matplotlib import pyplot"),
    ],
)
def test_a_wrong_import_is_found(module, source):
    assert problems(module, source)


def test_an_import_for_annotations_alone_is_none():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vaelib.sweep import sweep\n"
    assert not problems("kl", source)
    assert problems("kl", source.replace("if TYPE_CHECKING", "if True"))
