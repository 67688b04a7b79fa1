"""Tasks on a Dask cluster: ranges of variants go out, names of finished parts come back, never an array.

The only door of distributed. Workers read the function once from the folder it names (`genassoc.engine.broadcast`) and
open the store themselves.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genassoc.engine import broadcast
from genassoc.engine.batches import Batches, batch_seconds
from genassoc.engine.executors import Item, Result
from genassoc.errors import ClusterError

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_SECONDS = 8.0
LOCAL = "local:"
_LOOK_SECONDS = 5.0  # workers come and go: how often they are counted anew
_IDLE_SECONDS = 60.0  # how long an interrupted run waits for the tasks that workers have begun
# Of clusters of our own, that last as long as a command. In others' clusters these are others' business (docs/hpc.md).
_LOCAL_SETTINGS = {
    "distributed.worker.profile.enabled": False,  # looks at every thread's stack a hundred times a second
    "distributed.admin.tick.interval": "500ms",  # 20 ms: fifty wake-ups a second of each process's event loop
}
_KEPT = "What was finished is kept; the same command carries on from there."


@dataclass(frozen=True)
class Workers:
    """The largest of the worker processes: bytes that it holds before any work, and threads."""

    n_bytes: int
    n_threads: int


class Dask:
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
        Connected to a scheduler: of a ``LocalCluster``, a ``SLURMCluster``, or by address.
    in_flight : int, optional
        Tasks that are with the cluster at once; two for each thread of its workers by default, counted anew as
        workers come and go. The graph never holds more, whatever the number of items.

    Raises
    ------
    TypeError
        If ``client`` is none, or one for asynchronous code.
    ClusterError
        If it is closed, or ``in_flight`` is less than 1.

    Notes
    -----
    A function with a ``shared_folder`` is written there once, and every worker process reads it once; any other is
    a task of its own, which the scheduler repeats if the worker that holds it dies. A task is about a second of work: as
    many consecutive items as that takes (`genassoc.engine.batches`). A task whose worker dies is given
    to another, three times; then it is taken for the cause (``distributed.scheduler.allowed-failures``).
    """

    def __init__(self, client: "Client", *, in_flight: int | None = None) -> None:
        if not all(hasattr(client, name) for name in ("submit", "nthreads", "cancel")):
            raise TypeError(
                f"Dask(client): the client is a distributed.Client, not {type(client).__name__}; "
                "Dask(Client('tcp://host:8786')) connects to a scheduler"
            )
        if client.asynchronous:
            raise TypeError("Dask(client): the client is asynchronous; make one with Client(address)")
        if in_flight is not None and in_flight < 1:
            raise ClusterError(f"the number of tasks in flight must be at least 1, not {in_flight}.")
        self.client = client
        self.in_flight = in_flight
        self._check_open()
        self.address = str(client.scheduler_info(n_workers=0)["address"])

    def __repr__(self) -> str:
        return f"Dask({self.address})"

    def _check_open(self) -> None:
        if self.client.status not in ("running", "connecting"):
            raise ClusterError(f"the Dask client is {self.client.status}: connect a new one.")

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """See `Executor.map`; at most `in_flight` tasks are with the cluster, of one item each where ``items`` has no length.

        A ``label(item)`` of the function, such as "linear chr7:12,000,001-12,400,000", names its task on the
        dashboard; the first word names the group of all.

        Raises
        ------
        ClusterError
            The scheduler is gone, the same task has killed several workers, or a worker's code or disk is not the
            driver's.
        """
        self._check_open()
        content = broadcast.packed(function)
        digest = broadcast.digest_of(content)
        folder = getattr(function, "shared_folder", None)
        source = content if folder is None else broadcast.write_broadcast(Path(folder), content)
        run = _Run(self, function, source, digest)
        finished = False
        try:
            with _cluster_errors(self):
                yield from run.results(items)
            finished = True
        finally:
            run.end(finished)
            if folder is not None:
                Path(str(source)).unlink(missing_ok=True)

    def workers(self) -> Workers:
        """What the worker processes hold before any work, and their threads; waits for the first."""
        self.client.wait_for_workers(1)
        held = self.client.run(broadcast.memory_when_ready, broadcast.modules_of_tasks())
        return Workers(max(held.values()), max(self.client.nthreads().values()))

    def limit(self) -> int:
        """Tasks that may be with the cluster at once, now."""
        if self.in_flight:
            return self.in_flight
        try:
            return max(2, 2 * sum(self.client.nthreads().values()))
        except OSError as error:
            raise _gone(self, error) from error


class _Run:
    """One call of `Dask.map`: its function, as the workers find it, and its futures."""

    def __init__(self, dask: Dask, function: Callable[[Any], Any], source: str | bytes, digest: str) -> None:
        self.dask, self.client, self.digest = dask, dask.client, digest
        self.token = secrets.token_hex(4)
        self.label = getattr(function, "label", None)
        self.numbers = count()
        self.under_way: dict[Future, list[Any]] = {}  # tasks, and the items of each
        self.source: Any = source
        if isinstance(source, bytes):
            # A task, not scattered data: the scheduler makes it again when the worker that holds it dies.
            key = f"function-{self.token}"
            self.source = self.client.submit(broadcast.Held, source, digest, key=key, pure=False)

    def submit(self, items: list[Any], seconds: float) -> "Future":
        number = next(self.numbers)
        name, _, place = (self.label(items[0]) if self.label else f"task {number}").partition(" ")
        if self.label and len(items) > 1:
            place = _span(place, self.label(items[-1]).partition(" ")[2])
        # The first element groups the bars of the dashboard; the number keeps tasks of one label apart.
        key = (f"{name}-{self.token}", place, number)
        future = self.client.submit(broadcast.apply, self.source, items, seconds, key=key, pure=False)
        self.under_way[future] = items
        return future

    def results(self, items: Iterable[Any]) -> Iterator[Any]:
        """Submit, and submit the next when one is done."""
        from distributed import as_completed

        batches = Batches(items)
        finished = as_completed(loop=self.client.loop)
        limit, looked = self.dask.limit(), time.monotonic()
        while True:
            while len(self.under_way) < limit:
                batch = batches.take(limit)
                if not batch:
                    break
                # One that takes far longer than expected comes back in between: others may be idle.
                finished.add(self.submit(batch, 2 * batch_seconds(limit)))
            if not self.under_way:
                return
            future = next(finished)
            batch = self.under_way.pop(future)
            try:
                done = self.result(future)
            finally:
                future.release()
            batches.done(batch, len(done.results), done.seconds)
            yield from done.results
            if time.monotonic() - looked > _LOOK_SECONDS:
                limit, looked = self.dask.limit(), time.monotonic()

    def result(self, future: "Future") -> broadcast.Done:
        """What the task gave; a scheduler that dies between the news of it and its fetching is told from its errors."""
        try:
            done: broadcast.Done = future.result()
            return done
        except OSError as error:
            if future.status == "error":  # the task's own: a disk that is full, a store that is gone
                raise
            raise _gone(self.dask, error) from error

    def end(self, finished: bool) -> None:
        """Leave nothing behind: no task that has not begun, none at work, no null models in the workers."""
        if not isinstance(self.source, str):
            self.source.release()
        if self.client.status != "running":
            return
        with contextlib.suppress(Exception):  # whatever a dying cluster says: the run is over, or has its own error
            if not finished:
                self.client.cancel(list(self.under_way), force=True)
                for future in self.under_way:
                    future.release()
                deadline = time.monotonic() + _IDLE_SECONDS
                while self._stopped() and time.monotonic() < deadline:
                    time.sleep(0.1)
            self.client.run(broadcast.forget, self.digest, wait=False)
        self.under_way.clear()

    def _stopped(self) -> int:
        counted = self.client.run(broadcast.stopped, self.digest, on_error="ignore")
        return sum(counted.values())


@contextlib.contextmanager
def _cluster_errors(dask: Dask) -> Iterator[None]:
    """What Dask says when machines fail, in words."""
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.comm import CommClosedError

    try:
        yield
    except KilledWorker as error:
        raise ClusterError(
            f"the task {_shown(error.task)} was given to {error.allowed_failures + 1} workers and all of them died, the "
            f"last at {error.last_worker.address}: most often a worker has too little memory for a block (more memory, "
            f"or fewer threads a worker), or its machine was taken away. {_KEPT}"
        ) from error
    except (CommClosedError, CancelledError) as error:
        raise _gone(dask, error) from error
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"a worker cannot import {error.name}: install genassoc there as it is here, or start the workers from the "
            "driver's environment."
        ) from error


def _gone(dask: Dask, error: Exception) -> ClusterError:
    name = type(error).__name__
    return ClusterError(f"the Dask scheduler at {dask.address} is gone, or has cancelled the tasks ({name}). {_KEPT}")


def _span(first: str, last: str) -> str:
    """From one place to another: "chr7:1-200", "chr7:801-900" -> "chr7:1-900"."""
    (contig, _, start), (its_contig, _, stop) = first.rpartition(":"), last.rpartition(":")
    if contig and contig == its_contig:
        return f"{contig}:{start.partition('-')[0]}-{stop.rpartition('-')[2]}"
    return f"{first} to {last}"


def _shown(key: Any) -> str:
    """``("linear-3fa9c1d2", "chr7:1-200", 17)`` -> "linear chr7:1-200"."""
    return f"{key[0].rpartition('-')[0]} {key[1]}" if isinstance(key, tuple) else str(key)


# Connecting ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def connected(address: str) -> Iterator[Dask]:
    """The cluster at an address, for the length of a ``with`` block.

    Parameters
    ----------
    address : str
        ``tcp://host:8786`` or ``host:8786``; the ``.json`` file of ``dask scheduler --scheduler-file``; or
        ``local:N``, N worker processes of one thread on this machine, which end with the block.

    Raises
    ------
    ClusterError
        If nothing answers there within some seconds, or the address is none.
    """
    with _unlogged(), _local(address) if address.startswith(LOCAL) else _client(address) as client:
        yield Dask(client)


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the client from logging a traceback when its scheduler goes: `ClusterError` says it."""
    logger = logging.getLogger("distributed.client")
    import distributed  # noqa: F401  sets the level that is replaced here

    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _local(address: str) -> "Iterator[Client]":
    import dask.config
    from distributed import Client, LocalCluster

    text = address.removeprefix(LOCAL)
    if not text.isdigit() or int(text) < 1:
        raise ClusterError(f"'{address}': after {LOCAL} stands the number of worker processes, as in {LOCAL}4.")
    # Ports that are free, on loopback: nobody else on a shared node gets in, and two runs do not collide.
    with (
        dask.config.set(_unless_chosen(_LOCAL_SETTINGS)),
        LocalCluster(
            n_workers=int(text), threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(broadcast.import_ahead)
        yield client


def _unless_chosen(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of Dask that are still its own defaults: what people have chosen, in files or environment, stays."""
    import dask.config

    defaults = dask.config.merge(*dask.config.defaults)
    return {
        name: value
        for name, value in settings.items()
        if dask.config.get(name) == dask.config.get(name, config=defaults)
    }


@contextlib.contextmanager
def _client(address: str) -> "Iterator[Client]":
    from distributed import Client

    where: dict[str, Any] = {"address": address}
    if address.endswith(".json"):
        if not Path(address).is_file():
            raise ClusterError(f"there is no scheduler file {address}: has the scheduler started?")
        where = {"scheduler_file": address}
    try:
        client = Client(**where, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ClusterError(
            f"no Dask scheduler answers at {address} ({reason}): start one with 'dask scheduler' and workers with "
            f"'dask worker ADDRESS', or use {LOCAL}N for N processes of this machine."
        ) from error
    with client:
        yield client


def describe_cluster(dask: Dask) -> str:
    """Where the cluster is, its workers and its dashboard, in words."""
    threads = dask.client.nthreads()
    text = f"Dask at {dask.address}: {len(threads)} workers, {sum(threads.values())} threads"
    if not threads:
        text += " (waiting for the first)"
    link = dask.client.dashboard_link
    return f"{text}; dashboard {link}" if link else text
