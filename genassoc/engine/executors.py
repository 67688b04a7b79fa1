"""Who does the tasks: this thread, several threads. An executor knows no genetics, a model no executor."""

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from numbers import Integral
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from genassoc.errors import PlanError

Item = TypeVar("Item")
Result = TypeVar("Result")


@runtime_checkable
class Executor(Protocol):
    """Applies a function to items; yields results as they come, in any order."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Results of ``function`` in the order of completion.

        An exception of ``function`` is raised here; what has not begun by then never begins, what has is
        waited for. So it is, too, when the caller stops iterating (``close()``, Ctrl-C).
        """
        ...


class Serial:
    """One item after the other, in this thread."""

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """See `Executor.map`."""
        for item in items:
            yield function(item)

    def __repr__(self) -> str:
        return "Serial()"


class Threads:
    """Several threads of this process; the kernels let go of Python's lock.

    Parameters
    ----------
    n : int, optional
        How many; all CPUs that this process may use by default (see `usable_cpus`).

    Raises
    ------
    PlanError
        If ``n`` is less than 1.
    """

    def __init__(self, n: int | None = None) -> None:
        if n is not None and (isinstance(n, bool) or not isinstance(n, Integral)):
            raise TypeError(f"Threads(n): the number of threads is a whole number such as 8, not {n!r}")
        if n is not None and n < 1:
            raise PlanError(f"the number of threads must be at least 1, not {n}.")
        self.n = usable_cpus() if n is None else int(n)

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """See `Executor.map`; at most ``2 n`` items are under way: memory does not grow with the items."""
        pool = ThreadPoolExecutor(self.n, "genassoc", initializer=_pin_thread)
        under_way: set[Future[Result]] = set()
        waiting = iter(items)
        try:
            while True:
                while len(under_way) < 2 * self.n:
                    try:
                        item = next(waiting)
                    except StopIteration:
                        break
                    under_way.add(pool.submit(function, item))
                if not under_way:
                    return
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def __repr__(self) -> str:
        return f"Threads({self.n})"


def _pin_thread() -> None:
    # OpenMP keeps its number for each thread; OpenBLAS and MKL for the process (`single_threaded_blas`).
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


@contextlib.contextmanager
def single_threaded_blas() -> Iterator[None]:
    """BLAS on one thread: the executor owns parallelism, and a product's bits must not tell the CPUs.

    Those that are loaded: numpy's, which is the only one that the methods call. (scipy's comes with ``scipy.linalg``, which
    takes 0.2 s to import and nothing here uses.)
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        yield


def usable_cpus() -> int:
    """CPUs that this process may use: the least of affinity mask, cgroup's quota and SLURM's grant."""
    limits = [os.cpu_count() or 1]
    with contextlib.suppress(AttributeError, OSError):  # not on macOS
        limits.append(len(os.sched_getaffinity(0)))
    quota = _cgroup_cpus(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
    if quota is not None:
        limits.append(quota)
    granted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if granted.isdigit():
        limits.append(int(granted))
    return max(1, min(limits))


def _cgroup_cpus(mount: Path, membership: Path) -> int | None:
    """Whole CPUs of the cgroup's quota (version 2, then 1), None where there is none."""
    quotas: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for line in membership.read_text().splitlines():
            if line.startswith("0::"):
                folder = mount / line[3:].lstrip("/")
                for level in (folder, *folder.parents):  # a parent's quota binds its children
                    if not level.is_relative_to(mount):
                        break
                    quotas += _quota(level / "cpu.max")
    with contextlib.suppress(OSError, ValueError):
        allowed = int((mount / "cpu/cpu.cfs_quota_us").read_text())
        period = int((mount / "cpu/cpu.cfs_period_us").read_text())
        if allowed > 0:
            quotas.append(-(-allowed // period))
    return max(1, min(quotas)) if quotas else None


def _quota(file: Path) -> list[int]:
    """CPUs that a ``cpu.max`` file allows, rounded up; empty where it sets no limit."""
    try:
        allowed, period = file.read_text().split()
        return [] if allowed == "max" else [-(-int(allowed) // int(period))]
    except (OSError, ValueError):
        return []
