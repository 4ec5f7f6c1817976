"""What every test starts from: one thread, float64, a random generator of its own."""

import os

# Before torch is imported, here and in the kernels that nbval starts. One thread, since the book's models are so small
# that a second one slows them down; no progress bars, since they write to stderr, which no stored output contains.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["TQDM_DISABLE"] = "1"
# A check that fails raises, here and in the kernels; the stored outputs are those of the book's own seeds.
os.environ["VAELIB_STRICT"] = "1"
os.environ["VAELIB_STREAM"] = "0"

import matplotlib
import pytest
import torch

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def float64_and_own_randomness():
    """Run a test in float64, and leave the global generator as it was found."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        yield
    torch.set_default_dtype(dtype)


def pytest_terminal_summary(terminalreporter):
    """Say per chapter how many of its equations are verified."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [text for report in reports for key, text in report.user_properties if key == "equation coverage"]
    if lines:
        terminalreporter.section("equation coverage")
        terminalreporter.write_line("\n".join(sorted(lines)))
