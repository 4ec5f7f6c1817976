"""A grid of (sigma, seed) trained as one stacked fit; as a command, a grid of any size on one or more processes.

The command writes one line of CSV a run. Started by torchrun, its processes share the grid, and the file is the same
whatever their number; started again after it was stopped, it goes on from the blocks that were finished. See
``python -m vaelib.sweep --help``.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import itertools
import json
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vaelib import diagnostics, quadrature
from vaelib._checks import require_finite
from vaelib._ranks import Lost, Ranks
from vaelib.nets import VAE
from vaelib.objective import ElboTerms, elbo_terms
from vaelib.spiral import sample_published
from vaelib.train import History, fit
from vaelib.verify import rng

# Runs that the command trains as one stack. A run depends on its stack in the last places alone, so the stacks must not
# depend on the number of processes; and they are small enough to share and to resume from. A GPU takes no longer for more.
BLOCK, GPU_BLOCK = 16, 256
DRAWS = 64  # of z a point, for the reconstruction where the latent has more than one axis


class Sweep(NamedTuple):
    """The fitted stack. Run r has the sigma ``r // len(seeds)`` and the seed ``r % len(seeds)``.

    Attributes:
        vae: All R = S x K fitted models.
        sigmas: The S values of sigma.
        seeds: The K seeds.
        history: The ELBO along the way.
    """

    vae: VAE
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    history: History

    def by_sigma(self, values: Tensor) -> Tensor:
        """Split the leading run axis: ``(R, ...)`` to ``(S, K, ...)``."""
        return values.reshape(len(self.sigmas), len(self.seeds), *values.shape[1:])

    def runs(self, s: int) -> range:
        """Indices of the runs with the s-th sigma."""
        return range(s * len(self.seeds), (s + 1) * len(self.seeds))


def sweep(
    x: Tensor,
    *,
    sigmas: Sequence[float],
    seeds: Sequence[int],
    steps: int,
    lr: float,
    generator: torch.Generator,
    hidden: Sequence[int] = (32,),
    batch_size: int | None = None,
    dtype: torch.dtype | None = None,
) -> Sweep:
    """Fit one VAE with one latent axis for every pair of a sigma and a seed, all at once.

    Args:
        x: Data, shape ``(N, D)``; the models live on its device.
        sigmas: Decoder standard deviations.
        seeds: Seeds of the initial parameters.
        steps: Optimiser steps.
        lr: Peak learning rate.
        generator: Source of the batches and the noise, shared by all runs.
        hidden: Widths of the hidden layers.
        batch_size: Points a step; all of them if None.
        dtype: Floating type to compute in; that of `x` if None.

    Returns:
        The fitted stack.

    Raises:
        ValueError: If `sigmas` or `seeds` is empty or no sequence, `x` is no table, and as `VAE` and `fit` do.
    """
    if not isinstance(x, Tensor) or x.ndim != 2 or not x.numel():
        found = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x must be a torch.Tensor of shape (N, D), found {found}")
    for name, value in (("sigmas", sigmas), ("seeds", seeds)):
        if not isinstance(value, Sequence):
            raise ValueError(f"{name} must be a sequence, found {value!r}; expected as in [{value!r}]")
    if not len(sigmas) or not len(seeds):
        raise ValueError(f"found {len(sigmas)} sigmas and {len(seeds)} seeds; expected at least one of each")
    vae = VAE(
        data_dim=x.shape[1],
        hidden=hidden,
        sigma=[float(sigma) for sigma in sigmas for _ in seeds],
        seeds=list(seeds) * len(sigmas),
        device=x.device,
    )
    history = fit(vae, x, steps=steps, lr=lr, generator=generator, batch_size=batch_size, dtype=dtype)
    return Sweep(vae, tuple(float(sigma) for sigma in sigmas), tuple(seeds), history)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; `arguments` are those of the command line if None. Returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    # One thread a process, so that the sums of a run do not depend on the machine's number of cores.
    torch.set_num_threads(1)
    try:
        with Ranks.joined(options.patience) as ranks:
            _run(options, ranks)
    except (ValueError, OSError, Lost) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, ranks: Ranks) -> None:
    """Train what is not finished yet, together with the other ranks, and write the table."""
    device = torch.device(options.device)
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    x = sample_published(rng(0))[1] if options.data is None else _points("--data", options.data)
    held_out = None if options.held_out is None else _points("--held-out", options.held_out)
    if held_out is not None and held_out.shape[1] != x.shape[1]:
        raise ValueError(f"--held-out has {held_out.shape[1]} data axes; expected those of the data, {x.shape[1]}")
    if options.batch_size is not None and options.batch_size > len(x):
        raise ValueError(f"--batch-size {options.batch_size} is larger than the {len(x)} points of the data")
    if options.out.is_dir() or not options.out.parent.is_dir():
        raise ValueError(f"--out {options.out} cannot be written: it is a folder, or stands in a folder that does not exist")
    x, held_out = x.to(device), None if held_out is None else held_out.to(device)

    units = list(itertools.product(options.sigmas, options.seeds))
    size = GPU_BLOCK if device.type == "cuda" else BLOCK
    blocks = [units[start : start + size] for start in range(0, len(units), size)]
    key = _key(options, x, held_out)
    folder = options.out.with_name(options.out.name + ".parts")
    folder.mkdir(exist_ok=True)
    parts = [folder / f"{key}-{number:05d}.json" for number in range(len(blocks))]
    finished = {number: part.read_text(encoding="utf-8") for number, part in enumerate(parts) if part.exists()}
    if finished and ranks.rank == 0:
        _say(f"{len(finished)} of {len(blocks)} blocks were finished before")
    start = time.monotonic()

    def work(number: int) -> str:
        text = json.dumps(_block(options, x, held_out, blocks[number], device))
        _write(parts[number], text)
        return text

    def note(number: int, done: int) -> None:
        spent = time.monotonic() - start
        left = spent / max(1, done - len(finished)) * (len(blocks) - done)
        who = f", rank {ranks.rank}" if ranks.size > 1 else ""
        _say(f"block {number + 1}: {done} of {len(blocks)} done in {spent:.0f} s, about {left:.0f} s left{who}")

    ranks.agree(key)
    results = ranks.share(len(blocks), finished, work, note)
    if ranks.rank == 0:
        table = io.StringIO()
        lines = csv.writer(table, lineterminator="\n")
        rows = [row for result in results for row in json.loads(result)]
        lines.writerow(rows[0])
        lines.writerows(row.values() for row in rows)
        _write(options.out, table.getvalue())
        _say(f"{len(rows)} runs -> {options.out}")
    ranks.meet("written")
    for part in parts:
        part.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # parts of another sweep are in it, or another rank was faster
        folder.rmdir()


def _block(
    options: argparse.Namespace, x: Tensor, held_out: Tensor | None, units: list[tuple[float, int]], device: torch.device
) -> list[dict[str, str]]:
    """Train some runs as one stack, and measure each of them: one row a run."""
    vae = VAE(
        data_dim=x.shape[1],
        latent_dim=options.latent_dim,
        hidden=options.hidden,
        sigma=[sigma for sigma, _ in units],
        seeds=[seed for _, seed in units],
        device=device,
    )
    training = {name: getattr(options, name) for name in ("steps", "lr", "samples", "batch_size")}
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # the bar of each fit would stand among the lines of all ranks
            fit(vae, x, generator=rng(options.noise_seed, device), dtype=getattr(torch, options.dtype), **training)
        return [_row(vae.pick([run]), seed, x, held_out) for run, (_, seed) in enumerate(units)]
    except ValueError as error:
        raise ValueError(f"sigma {units[0][0]:g} to {units[-1][0]:g}, of which run 0 is the first: {error}") from error


@torch.no_grad()
def _row(vae: VAE, seed: int, x: Tensor, held_out: Tensor | None) -> dict[str, str]:
    """What one trained model reached; means over the points."""
    terms = _terms(vae, x)
    row = {"sigma": repr(vae.sigma.item()), "seed": str(seed)}
    row |= {name: _mean(getattr(terms, name)) for name in ("elbo", "reconstruction", "kl")}
    row["log_evidence"] = _evidence(vae, seed, x)
    row["active_units"] = str(diagnostics.active_units(vae.encode(x)[0]).sum().item())
    if held_out is not None:
        row |= {"held_out_elbo": _mean(_terms(vae, held_out).elbo), "held_out_log_evidence": _evidence(vae, seed, held_out)}
    return row


def _terms(vae: VAE, x: Tensor) -> ElboTerms:
    """The ELBO's terms at each point: exact with one latent axis, else from draws that are the same for every run."""
    if vae.latent_dim == 1:
        return diagnostics.exact_terms(vae, x)
    eps = torch.randn(len(x), DRAWS, vae.latent_dim, generator=rng(0, x.device), dtype=x.dtype, device=x.device)
    return elbo_terms(vae, x, eps)


def _evidence(vae: VAE, seed: int, x: Tensor) -> str:
    """Mean exact log evidence; empty where there is none to be had, which one bad run must not end the others for."""
    if vae.latent_dim > 1:
        return ""
    try:
        return _mean(quadrature.log_evidence(x, vae.decode, vae.sigma))
    except ValueError as error:
        _say(f"no evidence for sigma {vae.sigma.item():g}, seed {seed}: {error}")
        return ""


def _mean(values: Tensor) -> str:
    return f"{values.mean().item():.10g}"  # more digits would be rounding


def _points(option: str, path: Path) -> Tensor:
    """The table ``(N, D)`` of a .npy file, or a refusal that names the option."""
    if not path.is_file():
        raise ValueError(f"{option} {path} is no file; expected one that numpy.save wrote")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{option} {path} cannot be read; expected one that numpy.save wrote: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or array.ndim != 2 or not array.size:
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
        raise ValueError(f"{option} {path} holds {found}; expected numbers of shape (N, D), one row a point")
    points = torch.from_numpy(array.astype(np.float64))
    require_finite(option, points)
    return points


def _key(options: argparse.Namespace, x: Tensor, held_out: Tensor | None) -> str:
    """A name for everything that the numbers depend on: arguments, data, seeds, this code and torch."""
    ignored = {"out", "data", "held_out", "patience"}
    parts = [repr(sorted((name, value) for name, value in vars(options).items() if name not in ignored)).encode()]
    parts += [str(rng(0).initial_seed()).encode(), torch.__version__.encode()]
    parts += [source.read_bytes() for source in sorted(Path(__file__).parent.glob("*.py"))]
    for table in (x, held_out):
        parts += [b"none"] if table is None else [repr(table.shape).encode(), table.cpu().numpy().tobytes()]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def _write(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, found {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def _seed(text: str) -> int:
    try:
        rng(int(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected an integer from 0 to 4294967295, found {text!r}") from error
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m vaelib.sweep",
        description="Train a VAE for every pair of a sigma and a seed, and write one line of CSV a run: the mean ELBO a point of "
        "the data with its two terms, the exact log evidence (if the latent has one axis), all in nats, and the number of "
        "active latent axes.",
        epilog="A process computes with one thread. On four cores: torchrun --nproc-per-node 4 -m vaelib.sweep ... The table "
        "does not depend on the number of processes. Started again with the same arguments and data, a sweep that was stopped "
        "goes on from the blocks that are kept in the folder OUT.parts until it ends.",
    )
    parser.add_argument("--sigmas", nargs="+", type=_positive, required=True, help="decoder standard deviations, in data units")
    parser.add_argument("--seeds", nargs="+", type=_seed, required=True, help="seeds of the initial parameters")
    parser.add_argument("--out", type=Path, required=True, help="the table to write, as CSV")
    parser.add_argument("--data", type=Path, help="points to train on: a .npy file of shape (N, D) (default: the book's 200)")
    parser.add_argument("--held-out", type=Path, help="points to measure ELBO and log evidence on as well: a .npy file")
    parser.add_argument("--steps", type=_count, default=3000, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=_positive, default=0.03, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--hidden", nargs="*", type=_count, default=[32], help="widths of the hidden layers (default: 32)")
    parser.add_argument("--latent-dim", type=_count, default=1, help="latent axes (default: %(default)s)")
    parser.add_argument("--batch-size", type=_count, help="points a step (default: all)")
    parser.add_argument("--samples", type=_count, default=1, help="draws of z a point and step (default: %(default)s)")
    parser.add_argument(
        "--noise-seed", type=_seed, default=0, help="seed of batches and noise, which all runs share (default: 0)"
    )
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float64", help="to train in (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for one GPU a process (default: %(default)s)")
    parser.add_argument(
        "--patience", type=_positive, default=30.0, help="seconds without a sign of life after which a rank is dead (default: 30)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
