import csv
import os
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from vaelib import _ranks, diagnostics, quadrature, spiral
from vaelib import sweep as module
from vaelib._ranks import Lost, Ranks
from vaelib.nets import VAE
from vaelib.objective import elbo_terms
from vaelib.sweep import main, sweep
from vaelib.train import fit
from vaelib.verify import rng

ROOT = Path(__file__).resolve().parent.parent
GRID = ["--sigmas", "0.3", "1", "2.5", "--seeds", "0", "7", "--steps", "40", "--hidden", "4"]
UNITS = [(0.3, 0), (0.3, 7), (1.0, 0), (1.0, 7), (2.5, 0), (2.5, 7)]


def points(n=40):
    return spiral.sample_spiral(n, generator=rng(3))[1]


# The function


@pytest.mark.parametrize("options", [{}, {"batch_size": 8}, {"dtype": torch.float32}], ids=str)
def test_sweep_is_the_grid_of_single_fits(options):
    x = points()
    result = sweep(x, sigmas=[0.2, 1.0], seeds=[3, 4, 5], steps=40, lr=0.02, generator=rng(1), hidden=(4,), **options)
    assert result.sigmas == (0.2, 1.0) and result.seeds == (3, 4, 5)
    codes = result.vae.encode(x)[0]
    assert result.by_sigma(codes).shape == (2, 3, 40, 1)
    for s, sigma in enumerate(result.sigmas):
        for k, seed in enumerate(result.seeds):
            single = VAE(hidden=(4,), sigma=sigma, seeds=[seed])
            history = fit(single, x, steps=40, lr=0.02, generator=rng(1), **options)
            assert result.runs(s)[k] == 3 * s + k
            tolerance = 1e-4 if options.get("dtype") == torch.float32 else 1e-10
            torch.testing.assert_close(result.by_sigma(codes)[s, k], single.encode(x)[0][0], rtol=tolerance, atol=tolerance)
            assert result.vae.sigma[result.runs(s)[k]] == sigma
            torch.testing.assert_close(
                result.history.elbo[:, 3 * s + k].double(), history.elbo[:, 0].double(), rtol=tolerance, atol=tolerance
            )


def test_sweep_takes_data_of_any_width_and_its_own_hidden_layers():
    result = sweep(torch.eye(3), sigmas=[1.0], seeds=[0], steps=2, lr=0.02, generator=rng(0), hidden=())
    assert result.vae.decode(torch.zeros(5, 1)).shape == (1, 5, 3)
    assert len(result.vae.encoder.net.layers) == 1
    result = sweep(torch.eye(3), sigmas=[1.0], seeds=[0], steps=2, lr=0.02, generator=rng(0), batch_size=3)
    assert result.vae.encoder.net.layers[0].weight.shape == (1, 32, 3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": [[1.0, 2.0]]}, r"x must be a torch.Tensor of shape \(N, D\), found list"),
        ({"x": torch.zeros(3)}, r"x must be a torch.Tensor of shape \(N, D\), found shape \(3,\)"),
        ({"x": torch.zeros(1, 3, 2)}, r"found shape \(1, 3, 2\)"),
        ({"sigmas": []}, "found 0 sigmas and 1 seeds; expected at least one of each"),
        ({"seeds": []}, "found 1 sigmas and 0 seeds; expected at least one of each"),
        ({"sigmas": 0.3}, "sigmas must be a sequence, found 0.3"),
        ({"seeds": 3}, "seeds must be a sequence, found 3"),
        ({"hidden": 32}, "hidden must be a sequence"),
        ({"sigmas": [-1.0]}, "sigma must be positive"),
        ({"steps": 0}, "steps must be at least 1, found 0"),
        ({"batch_size": 41}, "batch_size 41 is larger than the 40 points"),
    ],
    ids=str,
)
def test_sweep_refuses(changed, message):
    arguments = {"x": points(), "sigmas": [1.0], "seeds": [0], "steps": 2, "lr": 0.1, "generator": rng(0), **changed}
    with pytest.raises(ValueError, match=message):
        sweep(arguments.pop("x"), **arguments)


# The command, alone


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """No ranks in the environment, blocks of two runs, and as many threads afterwards as before."""
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "BLOCK", 2)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def worked(monkeypatch):
    """The blocks that are trained, in order; those numbered in `.dies` stop the process instead."""

    class Worked(list):
        dies = ()

    blocks, train = Worked(), module._block

    def block(options, x, held_out, units, device):
        if UNITS.index(units[0]) // 2 in blocks.dies:
            raise KeyboardInterrupt
        blocks.append(units)
        return train(options, x, held_out, units, device)

    monkeypatch.setattr(module, "_block", block)
    return blocks


def test_the_table_holds_what_each_run_reached(tmp_path):
    out, train, held_out = tmp_path / "sweep.csv", tmp_path / "train.npy", tmp_path / "new.npy"
    x, new = points(), points(25) + 0.01
    np.save(train, x.numpy())
    np.save(held_out, new.numpy())
    more = ["--lr", "0.05", "--samples", "2", "--batch-size", "10", "--noise-seed", "5"]
    assert main([*GRID, *more, "--data", str(train), "--held-out", str(held_out), "--out", str(out)]) == 0
    rows = table(out)
    assert [(float(row["sigma"]), int(row["seed"])) for row in rows] == UNITS
    for row, (sigma, seed) in zip(rows, UNITS, strict=True):
        vae = VAE(hidden=(4,), sigma=sigma, seeds=[seed])
        fit(vae, x, steps=40, lr=0.05, samples=2, batch_size=10, generator=rng(5))
        for prefix, data in (("", x), ("held_out_", new)):
            terms = diagnostics.exact_terms(vae, data)
            assert float(row[f"{prefix}elbo"]) == pytest.approx(terms.elbo.mean().item(), rel=1e-8)
            evidence = quadrature.log_evidence(data, vae.decode, vae.sigma).mean().item()
            assert float(row[f"{prefix}log_evidence"]) == pytest.approx(evidence, rel=1e-8)
            if not prefix:
                assert float(row["kl"]) == pytest.approx(terms.kl.mean().item(), rel=1e-8)
        assert float(row["reconstruction"]) - float(row["kl"]) == pytest.approx(float(row["elbo"]), rel=1e-8)
        assert int(row["active_units"]) == diagnostics.active_units(vae.encode(x)[0]).sum()
    assert {row["active_units"] for row in rows} <= {"0", "1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.npy", "sweep.csv", "train.npy"]


def test_without_data_it_trains_on_the_published_set(tmp_path):
    one, other, data = tmp_path / "one.csv", tmp_path / "other.csv", tmp_path / "x.npy"
    np.save(data, spiral.sample_published(rng(0))[1].numpy())
    few = ["--sigmas", "1", "--seeds", "0", "--steps", "2"]
    assert main([*few, "--out", str(one)]) == main([*few, "--data", str(data), "--out", str(other)]) == 0
    assert one.read_bytes() == other.read_bytes()
    assert one.read_text().splitlines()[0] == "sigma,seed,elbo,reconstruction,kl,log_evidence,active_units"


def test_two_latent_axes_have_a_bound_and_no_evidence(tmp_path, capsys):
    out = tmp_path / "sweep.csv"
    assert main([*GRID, "--latent-dim", "2", "--dtype", "float32", "--batch-size", "200", "--out", str(out)]) == 0
    assert "no evidence" not in capsys.readouterr().err  # it was not looked for
    x = spiral.sample_published(rng(0))[1]
    for row, (sigma, seed) in zip(table(out), UNITS, strict=True):
        assert row["log_evidence"] == ""
        vae = VAE(hidden=(4,), latent_dim=2, sigma=sigma, seeds=[seed])
        fit(vae, x, steps=40, lr=0.03, batch_size=200, generator=rng(0), dtype=torch.float32)
        draws = elbo_terms(vae, x.unsqueeze(0), torch.randn(len(x), 64, 2, generator=rng(0))).elbo
        assert float(row["elbo"]) == pytest.approx(draws.mean().item(), rel=1e-4)


def test_evidence_that_cannot_be_had_is_left_empty_and_said(tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise ValueError("grid of 3 nodes")

    monkeypatch.setattr(quadrature, "log_evidence", refuse)
    assert main([*GRID, "--out", str(tmp_path / "sweep.csv")]) == 0
    assert {row["log_evidence"] for row in table(tmp_path / "sweep.csv")} == {""}
    assert "no evidence for sigma 0.3, seed 7: grid of 3 nodes" in capsys.readouterr().err


def test_what_was_finished_is_not_done_again(tmp_path, worked, capsys):
    whole, out = tmp_path / "whole.csv", tmp_path / "sweep.csv"
    assert main([*GRID, "--out", str(whole)]) == 0
    assert worked == [UNITS[:2], UNITS[2:4], UNITS[4:]]
    out.write_text("an older table")
    worked.clear()
    worked.dies = (1,)
    with pytest.raises(KeyboardInterrupt):
        main([*GRID, "--out", str(out)])
    assert worked == [UNITS[:2]] and out.read_text() == "an older table"
    worked.dies = ()
    worked.clear()
    capsys.readouterr()
    assert main([*GRID, "--out", str(out)]) == 0
    assert worked == [UNITS[2:4], UNITS[4:]]
    assert out.read_bytes() == whole.read_bytes()
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "1 of 3 blocks were finished before"
    assert said[1].startswith("block 2: 2 of 3 done in ") and "about" in said[1]
    assert said[-2].startswith("block 3: 3 of 3 done in ") and said[-2].endswith("about 0 s left")
    assert said[-1] == f"6 runs -> {out}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.csv", "whole.csv"]


@pytest.mark.parametrize(
    "changed",
    [
        *["--steps=41", "--lr=0.02", "--hidden=5", "--latent-dim=2", "--batch-size=7", "--samples=2", "--dtype=float32"],
        *["--noise-seed=1", "--data=other.npy", "--held-out=other.npy", "stream", "code"],
    ],
)
def test_a_changed_sweep_does_not_reuse_what_was_finished(tmp_path, worked, monkeypatch, changed):
    monkeypatch.chdir(tmp_path)
    np.save("other.npy", points().numpy())
    worked.dies = (1,)
    with pytest.raises(KeyboardInterrupt):
        main([*GRID, "--out", "sweep.csv"])
    worked.clear()
    worked.dies = ()
    options = [changed] if changed.startswith("--") else []
    if changed == "stream":
        monkeypatch.setenv("VAELIB_STREAM", "1")
    if changed == "code":
        monkeypatch.setattr(Path, "read_bytes", lambda path: b"another")
    assert main([*GRID, *options, "--out", "sweep.csv"]) == 0
    assert len(worked) == 3
    # The first sweep's block is still there for it.
    assert len(list(Path("sweep.csv.parts").iterdir())) == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--sigmas", "0.1", "-2"], "argument --sigmas: expected a positive number, found '-2'"),
        (["--sigmas", "inf"], "argument --sigmas: expected a positive number, found 'inf'"),
        (["--sigmas", "nan"], "argument --sigmas: expected a positive number, found 'nan'"),
        (["--sigmas", "wide"], "argument --sigmas: expected a positive number, found 'wide'"),
        (["--lr", "0"], "argument --lr: expected a positive number, found '0'"),
        (["--seeds", "-1"], "argument --seeds: expected an integer from 0 to 4294967295, found '-1'"),
        (["--seeds", "1.5"], "argument --seeds: expected an integer from 0 to 4294967295, found '1.5'"),
        (["--steps", "0"], "argument --steps: expected a whole number of at least 1, found '0'"),
        (["--hidden", "4", "x"], "argument --hidden: expected a whole number of at least 1, found 'x'"),
        (["--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
        (["--batch-size", "201"], "--batch-size 201 is larger than the 200 points of the data"),
        (["--data", "nowhere.npy"], "--data nowhere.npy is no file; expected one that numpy.save wrote"),
        (["--data", "text.npy"], "--data text.npy cannot be read; expected one that numpy.save wrote"),
        (["--data", "empty.npy"], "--data empty.npy cannot be read; expected one that numpy.save wrote"),
        (["--data", "objects.npy"], "--data objects.npy cannot be read"),
        (["--data", "line.npy"], "--data line.npy holds float64 of shape (3,); expected numbers of shape (N, D)"),
        (["--data", "none.npy"], "--data none.npy holds float64 of shape (0, 2); expected numbers of shape (N, D)"),
        (["--data", "words.npy"], "--data words.npy holds <U1 of shape (1, 1); expected numbers of shape (N, D)"),
        (["--data", "several.npz"], "--data several.npz holds several arrays; expected numbers of shape (N, D)"),
        (["--data", "nan.npy"], "--data holds 1 values that are NaN or infinite"),
        (["--held-out", "line.npy"], "--held-out line.npy holds float64 of shape (3,)"),
        (["--held-out", "wide.npy"], "--held-out has 3 data axes; expected those of the data, 2"),
        (["--out", "nowhere/sweep.csv"], "--out nowhere/sweep.csv cannot be written"),
        (["--out", "."], "--out . cannot be written"),
        (["--lr", "1e200", "--steps", "3"], "sigma 0.3 to 0.3, of which run 0 is the first: "),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_named(tmp_path, monkeypatch, capsys, changed, message):
    monkeypatch.chdir(tmp_path)
    Path("text.npy").write_text("1 2 3")
    Path("empty.npy").touch()
    arrays = {"line": np.zeros(3), "none": np.zeros((0, 2)), "words": np.array([["a"]]), "wide": np.zeros((4, 3))}
    arrays |= {"nan": np.array([[0.0, np.nan]]), "objects": np.array([[None]])}
    for name, array in arrays.items():
        np.save(f"{name}.npy", array)
    np.savez("several.npz", a=np.zeros((2, 2)))
    arguments = [*GRID, "--out", "sweep.csv", *changed]
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status in (1, 2)
    said = capsys.readouterr().err.splitlines()
    assert message in said[-1] and said[-1].startswith("python -m vaelib.sweep: error: ")
    assert not Path("sweep.csv").exists()


@pytest.mark.parametrize("missing", ["--sigmas", "--seeds", "--out"])
def test_an_argument_that_is_missing_is_named(capsys, missing):
    given = {"--sigmas": "1", "--seeds": "0", "--out": "sweep.csv"}
    with pytest.raises(SystemExit) as stop:
        main([part for name, value in given.items() if name != missing for part in (name, value)])
    assert stop.value.code == 2
    assert capsys.readouterr().err.rstrip().endswith(f"the following arguments are required: {missing}")


def test_the_parts_stay_until_the_table_is_written(tmp_path, monkeypatch):
    """Or a rank that is faster than rank 0 takes away what a new start would go on from."""
    out, met = tmp_path / "sweep.csv", []
    monkeypatch.setattr(Ranks, "meet", lambda ranks, place: met.append((out.exists(), len(list(Path(f"{out}.parts").iterdir())))))
    assert main([*GRID, "--out", str(out)]) == 0
    assert met == [(True, 3)]


def test_a_table_that_cannot_be_put_in_its_place_leaves_no_draft(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", lambda path, target: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        module._write(tmp_path / "sweep.csv", "1")
    assert not list(tmp_path.iterdir())


def test_integers_are_points_too(tmp_path):
    np.save(tmp_path / "whole.npy", np.arange(12).reshape(6, 2))
    np.save(tmp_path / "float.npy", np.arange(12.0).reshape(6, 2))
    for name in ("whole", "float"):
        assert main([*GRID, "--data", str(tmp_path / f"{name}.npy"), "--out", str(tmp_path / f"{name}.csv")]) == 0
    assert (tmp_path / "whole.csv").read_bytes() == (tmp_path / "float.csv").read_bytes()


def test_help_says_how_to_use_more_cores_and_how_to_resume(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    assert "torchrun --nproc-per-node 4 -m vaelib.sweep" in said and "goes on from the blocks" in said


# Ranks, as threads with one store


def together(*jobs):
    """Run one function a rank side by side, each with its heartbeat; what each returned or raised."""
    store, outcomes = distributed.HashStore(), [None] * len(jobs)

    def run(rank):
        ranks = Ranks(rank, len(jobs), store, patience=1.0)
        if jobs[rank] is not dies:
            threading.Thread(target=ranks._beat, daemon=True).start()
        try:
            outcomes[rank] = jobs[rank](ranks)
        except Exception as error:
            outcomes[rank] = error
        finally:
            ranks._stopped.set()

    threads = [threading.Thread(target=run, args=(rank,)) for rank, job in enumerate(jobs) if job]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


def dies(ranks):
    """Comes, takes a task, and is never heard of again."""
    ranks.store.add(f"alive/{ranks.rank}", 1)
    ranks.store.add("turn", 1)  # before the others begin, who may be done in no time
    ranks.store.set(f"ready/{ranks.rank}", "")


def test_every_task_is_done_once_and_known_to_all():
    done, notes = [], []

    def job(ranks):
        ranks.agree("job")
        finished = {2: "two"} if ranks.rank == 1 else {}
        return ranks.share(6, finished, lambda task: done.append(task) or f"did {task}", lambda *said: notes.append(said))

    expected = ["did 0", "did 1", "two", "did 3", "did 4", "did 5"]
    assert together(job, job, job) == [expected] * 3
    assert sorted(done) == [0, 1, 3, 4, 5] == sorted(task for task, _ in notes)
    assert max(count for _, count in notes) == 6


def test_ranks_with_other_arguments_are_told():
    mine, other = together(lambda ranks: ranks.agree("a"), lambda ranks: ranks.agree("b"))
    assert mine is None
    assert isinstance(other, ValueError) and "rank 1 has other arguments, data or code than rank 0" in str(other)


def test_a_rank_that_never_comes_is_named(monkeypatch):
    monkeypatch.setattr(_ranks, "JOIN", 1.5)
    first, _, third = together(lambda ranks: ranks.agree("a"), None, lambda ranks: ranks.agree("a"))
    assert isinstance(first, Lost) and str(first) == str(third) == "rank 1 of 3 never came in 1.5 s"


def test_a_rank_that_dies_is_named():
    def lives(ranks):
        return ranks.share(4, {}, str, lambda *said: None)

    first, _, third = together(lives, dies, lives)
    assert isinstance(first, Lost) and str(first) == str(third) == "rank 1 of 3 died: no sign of life in 1 s"


def test_a_rank_that_fails_says_why_to_the_others():
    def waits(ranks):
        ranks.meet("the end")

    def fails(ranks):
        ranks.store.set("failed", "rank 0 failed: no space left")

    assert str(together(fails, waits)[1]) == "rank 0 failed: no space left"


@pytest.mark.parametrize(
    "environment",
    [
        {"RANK": "0"},
        {"WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
        {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "x"},
        {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "29500"},
    ],
    ids=str,
)
def test_half_an_environment_is_refused(tmp_path, monkeypatch, capsys, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main([*GRID, "--out", str(tmp_path / "sweep.csv")]) == 1
    said = capsys.readouterr().err
    assert "expected RANK, WORLD_SIZE (larger), MASTER_ADDR and MASTER_PORT in the environment, found" in said
    assert all(f"{name}={value}" in said for name, value in environment.items())


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return str(server.getsockname()[1])


def test_a_rank_0_that_is_not_there_is_named(tmp_path, monkeypatch, capsys):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, value)
    assert main([*GRID, "--out", str(tmp_path / "sweep.csv"), "--patience", "0.1"]) == 1
    said = capsys.readouterr().err
    assert "rank 1 did not reach rank 0 at 127.0.0.1:" in said and "in 0.4 s" in said


def test_a_rank_0_that_comes_late_is_waited_for():
    port = free_port()
    late = threading.Timer(0.2, lambda: opened.append(socket.create_server(("127.0.0.1", int(port)))))
    opened = []
    late.start()
    _ranks._reach("127.0.0.1", int(port), 10.0, "1")
    late.join()
    opened[0].close()


# Ranks, as processes on loopback

# Blocks of two runs, as above; the rank named in KILLED is killed in its first block, unless torchrun started it again.
SCRIPT = """
    import os, signal, sys, time
    from vaelib import sweep

    sweep.BLOCK, train = 2, sweep._block
    killed = os.environ.get("KILLED") if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0" else None

    def block(*arguments):
        if os.environ["RANK"] == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        if killed:
            time.sleep(0.5)
        return train(*arguments)

    sweep._block = block
    sys.exit(sweep.main())
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


def started(command, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_a_killed_rank_is_named_and_what_was_finished_stays(tmp_path, script, worked, capsys):
    whole, out = tmp_path / "whole.csv", tmp_path / "sweep.csv"
    assert main([*GRID, "--out", str(whole)]) == 0
    worked.clear()
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "KILLED": "1"}
    command = [sys.executable, script, *GRID, "--out", str(out), "--patience", "2"]
    first, second = (started(command, RANK=rank, **meeting) for rank in "01")
    said, _ = first.communicate(timeout=60)
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (1, -9)
    assert said.splitlines()[-1] == "python -m vaelib.sweep: error: rank 1 of 2 died: no sign of life in 2 s"
    assert not out.exists()
    assert main([*GRID, "--out", str(out), "--patience", "5"]) == 0
    assert 1 <= len(worked) < 3  # how many the living rank had finished depends on the machine
    assert out.read_bytes() == whole.read_bytes()


def test_torchrun_starts_a_killed_sweep_again_and_the_table_is_that_of_one_process(tmp_path, script):
    alone, shared = tmp_path / "alone.csv", tmp_path / "shared.csv"
    assert main([*GRID, "--out", str(alone)]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    launch += ["--master-addr", "127.0.0.1", "--master-port", free_port()]
    said, _ = (process := started([*launch, script, *GRID, "--out", str(shared)], KILLED="1")).communicate(timeout=90)
    assert process.returncode == 0, said
    assert "(exitcode: -9) local_rank: 1" in said
    assert "3 of 3 done" in said and ", rank 0" in said  # said by both, if they end at once
    assert shared.read_bytes() == alone.read_bytes()
    assert not (tmp_path / "shared.csv.parts").exists()
