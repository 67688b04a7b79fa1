"""A function for many processes: written once, read once by each, refused where the code is not the driver's.

A task then carries a path and a digest, never the null models or any other array. The file outlives the workers, so a
new one reads it again. Nothing here knows who runs the tasks.

The file is a pickle, and loading one runs what it says; the folder may be one that others write to. So the digest is no mere
checksum: all of a SHA-256, it reaches the worker over the scheduler's connection, as the tasks do, and bytes that have another
are never loaded. What a folder alone offers (`genassoc part`, `merge`, `status`) is never unpickled at all.
"""

import atexit
import contextlib
import gc
import hashlib
import importlib
import io
import math
import pickle
import platform
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from genassoc.data import strangers
from genassoc.data.memory import give_back_freed_memory, resident_memory, reuse_freed_memory
from genassoc.data.output import host_name, replacing
from genassoc.data.strangers import MalformedError
from genassoc.errors import ClusterError
from genassoc.provenance import package_versions

BROADCAST_NAME = "broadcast-"
_DECISIVE = ("genassoc", "numpy", "scipy", "numba", "polars", "pyarrow", "zarr")  # versions that rows depend on
_NEEDED_BY_TASKS = (
    "genassoc.engine.association",
    "genassoc.engine.run",
    "genassoc.data.cohort.cohort",
    "genassoc.models.scan.rows",
)
_LIBRARIES_OF_TASKS = ("zarr",)  # which read stores
_MOST_BYTES = 2**40
_LOADED_AT_ONCE = 2  # functions that a process keeps: more would hold the null models of runs long over
_APPEARS_SECONDS = 15.0  # a network disk may show a new file late: NFS keeps a folder's listing for some seconds


@cache
def code_version() -> dict[str, str]:
    """What must be the same in the driver and in its workers: versions, and a hash of genassoc's own source."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    found = {name: version for name, version in package_versions().items() if name in _DECISIVE}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, **found, "genassoc source": digest.hexdigest()[:12]}


def packed(function: Any) -> bytes:
    """``function`` with the versions that it was made with in front; `unpacked` reads them first."""
    import cloudpickle

    return pickle.dumps(code_version()) + cloudpickle.dumps(function)


def unpacked(stream: BinaryIO) -> Any:
    """The function that `packed` wrote.

    Raises
    ------
    ClusterError
        The versions are not this process's own (names both).
    """
    theirs, ours = pickle.load(stream), code_version()
    differing = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
    if differing:
        words = "; ".join(f"{name} {theirs.get(name)} in the driver, {ours.get(name)} here" for name in differing)
        raise ClusterError(
            f"a worker on {host_name()} has other code than the driver: {words}. Results could differ by worker: start "
            "the workers from the driver's environment."
        )
    return pickle.load(stream)


@dataclass(frozen=True)
class Held:
    """A function (of `packed`) that is sent rather than left on a disk, and its digest."""

    content: bytes
    digest: str


def write_broadcast(folder: Path, content: bytes) -> str:
    """Keep ``content`` (of `packed`) in a folder that all workers see; its absolute path, which has its digest.

    Raises
    ------
    OutputError
        If the disk is full or cannot be written.
    """
    path = folder.absolute() / f"{BROADCAST_NAME}{digest_of(content)}.pickle"
    with replacing(path, private=True) as file:  # phenotypes are in it
        file.write(content)
    return str(path)


def digest_of(content: bytes) -> str:
    """The name of a broadcast function, which nobody can give to another."""
    return hashlib.sha256(content).hexdigest()


_loading = threading.Lock()
_importing: list[threading.Thread] = []  # of `import_ahead`
_loaded: "OrderedDict[str, Callable[[Any], Any]]" = OrderedDict()
_counting = threading.Lock()
_active: Counter[str] = Counter()
_stopping: set[str] = set()  # functions of which no item is begun any more


@dataclass(frozen=True)
class Done:
    """Results of the first items of a batch, and the seconds by the clock that they took."""

    results: list[Any]
    seconds: float


def apply(source: str | Held, items: Sequence[Any], seconds: float = math.inf) -> Done:
    """Apply the function at ``source`` (a path of `write_broadcast`, or the function) to items; BLAS has one thread.

    The first item is always done; the next is begun while ``seconds`` are not over and the function is not `stopped`.

    Raises
    ------
    ClusterError
        This process does not see the path, the file is damaged, or its code is not the driver's.
    """
    digest = Path(source).stem.removeprefix(BROADCAST_NAME) if isinstance(source, str) else source.digest
    results: list[Any] = []
    with _at_work(digest):
        function, clock = _function(source, digest), time.monotonic()
        for item in items:
            results.append(function(item))
            taken = time.monotonic() - clock
            if taken > seconds or digest in _stopping:
                break
    return Done(results, taken)


def stopped(digest: str) -> int:
    """Begin no further item of the batches that are at work; how many threads of this process still are."""
    if _active[digest]:
        _stopping.add(digest)
    return _active[digest]


def modules_of_tasks() -> list[str]:
    """Modules of ours that tasks import, as far as this process has them by now."""
    rooms = tuple(f"genassoc.{room}." for room in ("data", "kernels", "stats", "methods", "engine"))
    return sorted(name for name in sys.modules if name.startswith(rooms))


def import_ahead() -> None:
    """Begin to import what tasks of any model need, in a thread of its own, while the driver reads phenotypes."""

    def imports() -> None:
        with contextlib.suppress(ImportError):  # the first task says it, in words
            for name in (*_NEEDED_BY_TASKS, *_LIBRARIES_OF_TASKS):
                importlib.import_module(name)

    thread = threading.Thread(target=imports, name="genassoc-imports", daemon=True)
    thread.start()
    _importing.append(thread)


def memory_when_ready(modules: list[str]) -> int:
    """Bytes that this process holds once modules, and the libraries that read stores and write parts, are there."""
    for name in (*modules, *_LIBRARIES_OF_TASKS):
        importlib.import_module(name)
    return resident_memory()


async def forget(digest: str) -> None:
    """Let go of a function, and of the null models in it; a coroutine, so that nobody need wait for an answer."""
    _loaded.pop(digest, None)
    # The loop of a worker waits for no lock: who holds this one is about to load another function.
    if not _loaded and _loading.acquire(blocking=False):
        try:
            if reuse_freed_memory(False):
                give_back_freed_memory()
        finally:
            _loading.release()


def _function(source: str | Held, digest: str) -> Callable[[Any], Any]:
    """The function, from this process's memory or read now; threads that need it at once read it once."""
    with _loading:
        if digest not in _loaded:
            _leave_quickly()
            while _importing:  # two threads that import one library may see it half made
                _importing.pop().join()
            content = _content(Path(source)) if isinstance(source, str) else source.content
            if digest_of(content) != digest:
                raise ClusterError(
                    f"{source if isinstance(source, str) else 'the function sent'} is not what the driver sent to {host_name()}: "
                    "its digest is another, and it was not loaded. It was damaged, or replaced by somebody who can write to "
                    "that folder. Run again; if it recurs, check the disk and the folder's permissions."
                )
            _loaded[digest] = unpacked(io.BytesIO(content))
            reuse_freed_memory()
            while len(_loaded) > _LOADED_AT_ONCE:
                _loaded.popitem(last=False)
        _loaded.move_to_end(digest)
        return _loaded[digest]


@cache
def _leave_quickly() -> None:
    """Have this process end without a last look for garbage among a million objects of imported libraries.

    That takes half a second, many seconds on a busy machine; Dask's nannies kill a worker that needs four, and say so.
    """
    atexit.register(gc.freeze)


def _content(path: Path) -> bytes:
    deadline = time.monotonic() + _APPEARS_SECONDS
    while True:
        try:
            return strangers.read_bytes(path, _MOST_BYTES)
        except MalformedError as error:
            raise ClusterError(f"{path} is not what the driver wrote: {error}; it was not loaded.") from error
        except FileNotFoundError:
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"a worker on {host_name()} does not see {path}: store, phenotypes and results must lie on a disk "
                    "that the driver and all workers share under one path."
                ) from None
            time.sleep(0.2)


@contextlib.contextmanager
def _at_work(digest: str) -> Iterator[None]:
    """Hold BLAS to one thread, and count this thread for `active`.

    BLAS is not given back: it is the process's, so that the first task to end would lift it from all others; and a worker
    process has as many threads as it has cores already. (A driver with workers in its own process holds BLAS itself.)
    """
    _blas_pools().limit(limits=1)
    with _counting:
        _active[digest] += 1
    try:
        yield
    finally:
        with _counting:
            _active[digest] -= 1
            if not _active[digest]:
                del _active[digest]
                _stopping.discard(digest)


@cache
def _blas_pools() -> Any:
    """The BLAS libraries of this process; looking for them takes a millisecond, so once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
