"""A function for many processes: written once, read once by each, refused where the code is not the driver's.

A task then carries a path and a digest, never the null models or any other array. The file outlives the workers, so a
new one reads it again. Nothing here knows who runs the tasks.
"""

import atexit
import contextlib
import gc
import hashlib
import io
import pickle
import platform
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from genassoc.data.memory import resident_memory
from genassoc.data.output import host_name, replacing
from genassoc.errors import ClusterError
from genassoc.provenance import package_versions

BROADCAST_NAME = "broadcast-"
_DECISIVE = ("genassoc", "numpy", "scipy", "numba", "polars", "pyarrow", "zarr")  # versions that rows depend on
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
    with replacing(path) as file:
        file.write(content)
    return str(path)


def digest_of(content: bytes) -> str:
    """The name of a broadcast function."""
    return hashlib.sha256(content).hexdigest()[:16]


_loading = threading.Lock()
_loaded: "OrderedDict[str, Callable[[Any], Any]]" = OrderedDict()
_counting = threading.Lock()
_active: Counter[str] = Counter()


def apply(source: str | Held, item: Any) -> Any:
    """Apply the function at ``source`` (a path of `write_broadcast`, or the function) to ``item``; BLAS has one thread.

    Raises
    ------
    ClusterError
        This process does not see the path, the file is damaged, or its code is not the driver's.
    """
    digest = Path(source).stem.removeprefix(BROADCAST_NAME) if isinstance(source, str) else source.digest
    with _at_work(digest):
        return _function(source, digest)(item)


def active(digest: str) -> int:
    """How many threads of this process are applying the function just now."""
    return _active[digest]


def memory_when_ready() -> int:
    """Bytes that this process holds once the libraries that write parts are there."""
    import pyarrow.parquet  # noqa: F401

    return resident_memory()


async def forget(digest: str) -> None:
    """Let go of a function, and of the null models in it; a coroutine, so that nobody need wait for an answer."""
    _loaded.pop(digest, None)


def _function(source: str | Held, digest: str) -> Callable[[Any], Any]:
    """The function, from this process's memory or read now; threads that need it at once read it once."""
    with _loading:
        if digest not in _loaded:
            _leave_quickly()
            content = _content(Path(source)) if isinstance(source, str) else source.content
            if digest_of(content) != digest:
                raise ClusterError(
                    f"{source if isinstance(source, str) else 'the function sent'} reached {host_name()} damaged: its "
                    "checksum is wrong. Run again; if it recurs, check the disk."
                )
            _loaded[digest] = unpacked(io.BytesIO(content))
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
            return path.read_bytes()
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


@cache
def _blas_pools() -> Any:
    """The BLAS libraries of this process; looking for them takes a millisecond, so once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
