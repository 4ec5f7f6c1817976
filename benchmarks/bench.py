"""Speed and quality of `vaelib.train.fit`, as ratios within one run: ``make bench``.

Compared with the published code (two Adams, a DataLoader, 40,000 steps on batches of 100), with the same fit in JAX, and
with the bare products and activations of one step. Each measurement runs in a process of its own, with as many threads as
its row says. ``python benchmarks/bench.py --book`` times `make test` and every chapter as well.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import nbformat
import torch
from nbclient import NotebookClient
from torch import nn

from vaelib import backprop, quadrature, spiral
from vaelib.nets import VAE
from vaelib.train import fit, one_vector

ROOT = Path(__file__).resolve().parent.parent
POINTS, PUBLISHED_STEPS = 200, 40_000
RECIPE = {"steps": 1500, "lr": 0.05}  # the fewest steps of the grid in `quality` that keep the published evidence
SEEDS, STACK = range(8), 64
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def data(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return spiral.sample_spiral(POINTS, generator=seeded(0), evenly_spaced=True)[1].to(dtype)


def best_of(repeats: int, run) -> float:
    """Shortest of several times, in seconds: the one with the least of other processes in it."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def published() -> float:
    """Seconds a step of the published code's arithmetic: data loader, two optimisers, loss without its constant."""
    x = data(torch.float32)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=100, shuffle=True)
    body, mean, log_variance = nn.Linear(2, 32), nn.Linear(32, 1), nn.Linear(32, 1)
    decoder = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 2))
    encoder = nn.ModuleList([body, mean, log_variance])
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in (encoder, decoder)]

    def epochs(count: int) -> None:
        for _ in range(count):
            for (batch,) in loader:
                hidden = torch.tanh(body(batch))
                mu, log_var = mean(hidden), log_variance(hidden)
                z = mu + (0.5 * log_var).exp() * torch.randn_like(mu)
                squared_error = (batch - decoder(z)).square().sum(-1)
                kl = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(-1)
                loss = (squared_error / (2 * spiral.SIGMA**2) + kl).mean()
                for optimizer in optimizers:
                    optimizer.zero_grad()
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()

    epochs(5)
    return best_of(3, lambda: epochs(250)) / 500


def one_fit(runs: int, dtype: str, steps: int) -> float:
    """Seconds of a whole fit of `runs` models."""
    x = data(DTYPES[dtype])

    def train(steps: int) -> None:
        fit(VAE(sigma=spiral.SIGMA, seeds=range(runs)), x, lr=RECIPE["lr"], steps=steps, generator=seeded(2))

    train(10)
    return best_of(3, lambda: train(steps))


def step_against_bare(dtype: str) -> float:
    """One step of a stack over its products and activations alone, each in its best layout, with its memory at hand."""
    kind, hidden = DTYPES[dtype], 32
    vae, x, eps = VAE(sigma=spiral.SIGMA, seeds=range(STACK), dtype=kind), data(kind), torch.randn(POINTS, 1, 1, dtype=kind)
    one_vector(list(vae.parameters()))
    gradient = backprop.ElboGradient(vae, POINTS, 1)
    shapes = ((hidden, 2), (hidden, 1), (2, hidden), (2, POINTS))
    in_2, in_1, out, back = (torch.randn(STACK, *shape, dtype=kind) for shape in shapes)
    h, g, z = (torch.randn(STACK, rows, POINTS, dtype=kind) for rows in (hidden, hidden, 1))
    columns = x.mT.expand(STACK, -1, -1)

    def half(weight, inputs):  # a network of one hidden layer, there and back
        torch.bmm(weight, inputs, out=h)
        torch.sigmoid(h, out=h)
        torch.bmm(out, h)
        torch.bmm(back, h.mT)
        torch.bmm(out.mT, back, out=g)
        torch.ops.aten.tanh_backward.grad_input(g, h, grad_input=g)
        torch.bmm(inputs, g.mT)

    def bare():
        half(in_2, columns)
        half(in_1, z)
        torch.bmm(in_1.mT, g)

    ratios = []
    for run in (bare, lambda: gradient(x, eps, False)):
        ratios.append(best_of(15, lambda run=run: [run() for _ in range(20)]))
    return ratios[1] / ratios[0]


def jax_fit(runs: int, steps: int) -> float:
    """Seconds of the same fit in JAX, compilation included: jit over a scan over steps, vmap over the runs."""
    import jax
    import jax.numpy as jnp

    x, sigma, peak = jnp.asarray(data(torch.float32).numpy()), spiral.SIGMA, RECIPE["lr"]

    def initial(key):
        sizes = ((2, 32), (32, 2), (1, 32), (32, 2))
        keys = jax.random.split(key, 8)

        def bound(k, shape, fan):
            return jax.random.uniform(k, shape, minval=-1, maxval=1) * fan**-0.5

        return [(bound(keys[2 * i], size, size[0]), bound(keys[2 * i + 1], size[1:], size[0])) for i, size in enumerate(sizes)]

    def loss(theta, eps):
        (w1, b1), (w2, b2), (w3, b3), (w4, b4) = theta
        head = jnp.tanh(x @ w1 + b1) @ w2 + b2
        mu, log_var = head[:, :1], head[:, 1:]
        mean = jnp.tanh((mu + jnp.exp(0.5 * log_var) * eps) @ w3 + b3) @ w4 + b4
        error = ((x - mean) ** 2).sum(-1) / (2 * sigma**2)
        return (error + 0.5 * (mu**2 + jnp.exp(log_var) - 1 - log_var).sum(-1)).mean()

    def rate(step):
        top, last = 0.3 * steps - 1, steps - 1
        up = peak + (peak / 25 - peak) * (1 + jnp.cos(jnp.pi * step / top)) / 2
        down = peak / 25e4 + (peak - peak / 25e4) * (1 + jnp.cos(jnp.pi * (step - top) / (last - top))) / 2
        return jnp.where(step <= top, up, down)

    def train(theta, noise):
        def step(carry, inputs):
            theta, m, v = carry
            t, key = inputs
            grad = jax.grad(loss)(theta, jax.random.normal(key, (POINTS, 1)))
            m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grad)
            v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grad)
            scale = jnp.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1)) * rate(t)
            theta = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) + 1e-8), theta, m, v)
            return (theta, m, v), None

        zeros = jax.tree.map(jnp.zeros_like, theta)
        return jax.lax.scan(step, (theta, zeros, zeros), (jnp.arange(steps), jax.random.split(noise, steps)))[0][0]

    noise = jax.random.key(0)
    start = time.perf_counter()
    if runs == 1:
        result = jax.jit(train)(initial(jax.random.key(1)), noise)
    else:
        theta = jax.vmap(initial)(jax.random.split(jax.random.key(1), runs))
        result = jax.jit(jax.vmap(train, in_axes=(0, None)))(theta, noise)
    jax.block_until_ready(result)
    return time.perf_counter() - start


def quality() -> dict:
    """Median exact held-out evidence over eight seeds, folded ones included: published recipe and the book's."""
    x, (_, held_out) = data(), spiral.sample_spiral(5000, generator=seeded(1))

    def median(**options) -> float:
        vae = VAE(sigma=spiral.SIGMA, seeds=SEEDS)
        fit(vae, x, generator=seeded(2), **options)
        grid = quadrature.resolving_grid(vae.decode, vae.sigma)
        return quadrature.log_evidence(held_out, vae.decode, vae.sigma, grid).mean(-1).quantile(0.5).item()

    slow = median(steps=PUBLISHED_STEPS, lr=1e-3, batch_size=100, anneal=False)
    return {"published": slow, "fit": median(**RECIPE, dtype=torch.float32)}


SIZES = {"R": (64, 256, 1024), "N": (800, 3200, 12800), "width": (128, 512, 2048), "d": (16, 64, 256)}


def growth(axis: str, size: int) -> dict:
    """Seconds a step, and peak memory above what was held before, with one axis at `size` and the others small."""
    small = zip(SIZES, (16, 200, 32, 2), strict=True)
    runs, points, width, latent_dim = (size if axis == name else other for name, other in small)
    vae = VAE(data_dim=2, latent_dim=latent_dim, hidden=(width,), sigma=0.5, seeds=range(runs), dtype=torch.float32)
    x = torch.randn(points, 2, generator=seeded(0))
    status, kilobytes = Path("/proc/self/status"), None
    if status.exists():  # Linux: the peak can be reset and read again
        Path("/proc/self/clear_refs").write_text("5")
        kilobytes = lambda key: int(status.read_text().split(key)[1].split()[0])  # noqa: E731
        held = kilobytes("VmRSS:")
    fit(vae, x, steps=2, lr=1e-3, generator=seeded(2))
    peak = (kilobytes("VmHWM:") - held) / 1024 if kilobytes else math.nan
    return {"seconds": best_of(3, lambda: fit(vae, x, steps=30, lr=1e-3, generator=seeded(2))) / 30, "megabytes": peak}


def slope(sizes, values) -> float:
    """Slope of the line through the ends of a log-log plot."""
    return math.log(values[-1] / values[0]) / math.log(sizes[-1] / sizes[0])


def alone(call: str, threads: int = 1):
    """The value of a call of this module in a process of its own, held to `threads` cores."""
    program = (
        f"import os, sys, json; hasattr(os, 'sched_setaffinity') and "
        f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{threads}]); "
        f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); import torch; torch.set_num_threads({threads}); import bench; "
        f"print('RESULT', json.dumps(bench.{call}))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{call} failed:\n{done.stderr}")
    return json.loads(done.stdout.split("RESULT", 1)[1])


def row(work: str, value: str, must: str, aim: str) -> None:
    print(f"{work:62}{value:>22}{must:>10}{aim:>10}", flush=True)


def book() -> None:
    """Times of `make test` and of each chapter alone."""
    start = time.perf_counter()
    subprocess.run(["make", "test"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    row("make test", f"{time.perf_counter() - start:.0f} s", "150 s", "105 s")
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
        stamps = [cell.metadata.execution for cell in notebook.cells if cell.cell_type == "code"]
        instants = [[datetime.fromisoformat(stamp[f"iopub.status.{when}"]) for when in ("busy", "idle")] for stamp in stamps]
        slowest = max((idle - busy).total_seconds() for busy, idle in instants)
        whole = (instants[-1][1] - instants[0][0]).total_seconds()
        row(f"{path.stem} alone; its slowest cell", f"{whole:.0f} s; {slowest:.1f} s", "35; 10", "15; 3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--book", action="store_true", help="time make test and every chapter as well (minutes)")
    options = parser.parse_args()
    steps = RECIPE["steps"]
    row("work", "measured", "must", "aim")
    whole = PUBLISHED_STEPS * alone("published()")
    single = alone(f"one_fit(1, 'float32', {steps})")
    row("one fit to the published quality, float32", f"{whole / single:.0f}x", "45x", "100x")
    for dtype in DTYPES:
        for threads, must, aim in ((1, "300x", "700x"), (2, "500x", "1200x")):
            each = alone(f"one_fit({STACK}, {dtype!r}, {steps})", threads) / STACK
            goals = (must, aim) if dtype == "float32" else ("", "")
            row(f"a fit inside a stack of {STACK}, {dtype}, threads: {threads}", f"{whole / each:.0f}x", *goals)
    try:
        import jax  # noqa: F401
    except ImportError:
        print("JAX is not installed (benchmarks/requirements.txt): its rows are left out")
    else:
        for runs, must, aim in ((1, "0.7", "0.4"), (STACK, "0.9", "0.6")):
            ratio = alone(f"one_fit({runs}, 'float32', 3000)") / alone(f"jax_fit({runs}, 3000)")
            row(f"3,000 steps against JAX, one core, compilation included, runs: {runs}", f"{ratio:.2f}", must, aim)
    for dtype in DTYPES:
        goals = ("1.5", "1.2") if dtype == "float32" else ("", "")
        row(f"a step of a stack of {STACK} / its products, {dtype}", f"{alone(f'step_against_bare({dtype!r})'):.2f}", *goals)
    for axis, sizes in SIZES.items():
        grown = [alone(f"growth({axis!r}, {size})") for size in sizes]
        slopes = [slope(sizes, [each[what] for each in grown]) for what in ("seconds", "megabytes")]
        row(f"growth in {axis}, {sizes[0]} to {sizes[-1]}: slope of time; memory", "; ".join(f"{s:.2f}" for s in slopes), "1", "")
    print(f"fitting {len(SEEDS)} seeds by the published recipe, to compare the quality (half a minute) ...", flush=True)
    found = alone("quality()")
    row("median exact held-out evidence, fit minus published, nats", f"{found['fit'] - found['published']:+.4f}", "-0.005", "")
    if options.book:
        book()


if __name__ == "__main__":
    main()
