"""Processes, here or on several machines, that share a list of tasks: what `python -m vaelib.sweep` needs of torch.distributed.

Only its key-value store, which one process serves over TCP: a counter hands the tasks out, their results are put there, and
every rank counts up there while it lives. So a rank that dies is named by every other one, whoever started them. Without
``RANK`` and ``WORLD_SIZE`` in the environment, which torchrun sets, there is one rank, and a store of its own.
"""

import contextlib
import datetime
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

from torch import distributed

BEAT = 0.5  # seconds between two signs of life, and between two looks at what the others have done
JOIN = 4  # times the patience, for a rank that has still to start


class Lost(RuntimeError):
    """Another rank died, failed or never came; the message names it."""


class Ranks:
    """This process among those that share the tasks.

    Args:
        rank: Which of them it is.
        size: Their number.
        store: What all of them read and write.
        patience: Seconds without a sign of life after which a rank counts as dead.
    """

    def __init__(self, rank: int, size: int, store: distributed.Store, patience: float):
        self.rank, self.size, self.store, self.patience = rank, size, store, patience
        self.others = [other for other in range(size) if other != rank]
        self._seen = dict.fromkeys(self.others, (0, time.monotonic()))  # how far each counted, and since when
        self._stopped = threading.Event()

    @classmethod
    @contextlib.contextmanager
    def joined(cls, patience: float) -> Iterator["Ranks"]:
        """This process's place, from the environment; what it raises is passed on to the other ranks, by its number.

        Args:
            patience: Seconds without a sign of life after which a rank counts as dead.

        Raises:
            ValueError: If the environment does not say how to meet the others.
            Lost: If they cannot be met.
        """
        ranks = cls(*_place(patience), patience)
        heart = threading.Thread(target=ranks._beat, daemon=True)
        heart.start()
        try:
            yield ranks
            ranks._leave()
        except BaseException as error:
            with contextlib.suppress(RuntimeError):
                if isinstance(error, Lost) and error.__cause__:  # the store is gone
                    raise
                if not ranks.store.check(["failed"]):
                    said = str(error) or type(error).__name__
                    ranks.store.set("failed", said if isinstance(error, Lost) else f"rank {ranks.rank} failed: {said}")
                ranks._leave()
            raise
        finally:
            ranks._stopped.set()
            heart.join(patience)  # an interpreter must not end while a thread is inside the store

    def agree(self, key: str) -> None:
        """Wait for all ranks, and see that they are there for the same job.

        Raises:
            ValueError: If rank 0 has another `key`.
            Lost: If another rank is not there, or finds the same.
        """
        self._ask("set", f"job/{self.rank}", key)
        self._wait([f"job/{rank}" for rank in range(self.size)])
        if self._ask("get", "job/0").decode() != key:
            raise ValueError(f"rank {self.rank} has other arguments, data or code than rank 0; expected the same")

    def share(
        self, count: int, finished: dict[int, str], work: Callable[[int], str], note: Callable[[int, int], None]
    ) -> list[str]:
        """The results of all tasks, each done by one of the ranks.

        Args:
            count: Number of tasks.
            finished: Results that this rank has from earlier.
            work: Does a task, given its number.
            note: Called after each task that this rank did, with its number and how many are done by all ranks.

        Raises:
            Lost: If another rank dies or fails.
        """
        for task, result in finished.items():
            self._ask("set", f"result/{task}", result)
        self._ask("set", f"ready/{self.rank}", "")
        self._wait([f"ready/{rank}" for rank in range(self.size)])
        results = [f"result/{task}" for task in range(count)]
        while (task := self._ask("add", "turn", 1) - 1) < count:
            if not self._ask("check", [results[task]]):
                self._ask("set", results[task], work(task))
                note(task, sum(self._ask("check", [result]) for result in results))
            self._watch()
        self._wait(results)
        return [self._ask("get", result).decode() for result in results]

    def meet(self, place: str) -> None:
        """Wait until rank 0 has come here too."""
        if self.rank == 0:
            self._ask("set", place, "")
        self._wait([place])

    def _ask(self, operation: str, *arguments):
        """The store's answer, or what its silence means."""
        try:
            return getattr(self.store, operation)(*arguments)
        except RuntimeError as error:
            raise Lost(f"rank 0 is gone, or what serves the store for it: {str(error).splitlines()[0]}") from error

    def _wait(self, keys: list[str]) -> None:
        while not self._ask("check", keys):
            self._watch()
            time.sleep(BEAT / 10)

    def _watch(self) -> None:
        """Raise `Lost` if one of the others failed or shows no sign of life."""
        if self._ask("check", ["failed"]):
            raise Lost(self._ask("get", "failed").decode())
        for other, (count, since) in self._seen.items():
            now, time_now = self._ask("add", f"alive/{other}", 0), time.monotonic()
            if now != count:
                self._seen[other] = now, time_now
            elif time_now - since > (patience := self.patience if count else JOIN * self.patience):
                what = "died: no sign of life" if count else "never came"
                raise Lost(f"rank {other} of {self.size} {what} in {patience:g} s")

    def _beat(self) -> None:
        with contextlib.suppress(RuntimeError):  # a store that is gone is for the main thread to report
            while not self._stopped.is_set():
                self.store.add(f"alive/{self.rank}", 1)
                self._stopped.wait(BEAT)

    def _leave(self) -> None:
        """Say goodbye; the store's server waits until the others have heard what they need."""
        self.store.set(f"left/{self.rank}", "")
        end = time.monotonic() + self.patience
        while self.rank == 0 and time.monotonic() < end and not self.store.check([f"left/{rank}" for rank in range(self.size)]):
            time.sleep(BEAT / 10)


def _place(patience: float) -> tuple[int, int, distributed.Store]:
    """Rank, number of ranks and store, from the environment that torchrun or the user has set."""
    if "RANK" not in os.environ and "WORLD_SIZE" not in os.environ:
        return 0, 1, distributed.HashStore()
    found = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    rank, size, host, port = found.values()
    if not (all(value.isdecimal() for value in (rank, size, port)) and host and int(rank) < int(size)):
        said = ", ".join(f"{name}={value}" for name, value in found.items() if value)
        raise ValueError(f"expected RANK, WORLD_SIZE (larger), MASTER_ADDR and MASTER_PORT in the environment, found {said}")
    serves = rank == "0" and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    if not serves:
        _reach(host, int(port), JOIN * patience, rank)
    try:
        store = distributed.TCPStore(
            host, int(port), is_master=serves, wait_for_workers=False, timeout=datetime.timedelta(seconds=patience)
        )
    except RuntimeError as error:
        raise Lost(f"rank {rank}: no store at {host}:{port}: {str(error).splitlines()[0]}") from error
    # torchrun's store outlives the workers that it starts again: each attempt has keys of its own.
    return (
        int(rank),
        int(size),
        distributed.PrefixStore(f"vaelib.sweep/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store),
    )


def _reach(host: str, port: int, patience: float, rank: str) -> None:
    """Wait for rank 0: the store's own waiting ends in a page of C++."""
    end = time.monotonic() + patience
    while True:
        try:
            return socket.create_connection((host, port), timeout=patience).close()
        except OSError as error:
            if time.monotonic() > end:
                raise Lost(f"rank {rank} did not reach rank 0 at {host}:{port} in {patience:g} s: {error}") from error
            time.sleep(BEAT)
