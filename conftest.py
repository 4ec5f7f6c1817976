"""What every test starts from: one thread, float64, a random generator of its own; and what a run of the book's tests reports."""

import os

# Before torch is imported, here and in the kernels that nbval starts. One thread, since the book's models are so small
# that a second one slows them down; no progress bars, since they write to stderr, which no stored output contains.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"
# A check that fails raises, here and in the kernels; the stored outputs are those of the book's own seeds.
os.environ["VAELIB_STRICT"] = "1"
os.environ["VAELIB_STREAM"] = "0"

import pytest


def pytest_configure(config):
    # A process that only hands tests out to others need not import what they use.
    if hasattr(config, "workerinput") or config.getoption("dist", "no") == "no":
        import matplotlib

        matplotlib.use("agg")


@pytest.fixture(autouse=True)
def float64_and_own_randomness():
    """Make a test's own tensors float64, and leave the global generator as it was found."""
    import torch

    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        yield
    torch.set_default_dtype(dtype)


def pytest_terminal_summary(terminalreporter):
    """After the book's tests, say how many equations of each chapter are verified, and what was replicated with other code."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    if not any(report.nodeid.startswith("tests/test_book.py") for report in reports):
        return
    from tools.checks import coverage_lines
    from tools.experiments import older_than_their_code
    from tools.replicate import older_than_a_chapter

    terminalreporter.section("equation coverage")
    terminalreporter.write_line("\n".join(coverage_lines()))
    for what, old in (("back/replication.csv", older_than_a_chapter()), ("chapters/data", older_than_their_code())):
        if old:
            terminalreporter.section("replication")
            terminalreporter.write_line(f"{what} is older than {', '.join(old)}: run `make replicate` before a release.")
