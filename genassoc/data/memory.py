"""Sizes of memory as people write them, and the memory of this process."""

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from genassoc.errors import PlanError

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
# Options of mallopt (malloc.h), and the values that its thresholds reach by themselves once 32 MB were freed.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_MMAP_AT_FIRST, _MMAP_GROWN, _TRIM_GROWN = 2**17, 2**25, 2**26
_NANNY_TRIM = "65536"  # MALLOC_TRIM_THRESHOLD_ of workers that Dask's nannies start, unless people have chosen another
_MADV_DONTNEED = 4  # of madvise (mman.h)
_CODE = re.compile(
    r"^(?P<first>[0-9a-f]+)-(?P<stop>[0-9a-f]+) r-xp .*\.so[.0-9]*\n(?P<held>(?:[A-Z]\w+:.*\n)+)", re.MULTILINE
)
_HELD = re.compile(r"^(\w+): +(\d+) kB", re.MULTILINE)
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]?)(i?)b?", re.IGNORECASE)


def parse_memory(size: str | int) -> int:
    """Bytes of ``4GiB``, ``4G``, ``4000MB`` or a number of bytes.

    As SLURM, PLINK and Dask's users write it: K, M, G, T and KiB, MiB, ... are powers of 1024; KB, MB, GB, TB of 1000.

    Raises
    ------
    PlanError
        It is none of these, or nothing.
    """
    match = _SIZE.fullmatch(str(size).strip())
    n_bytes = 0
    if match:
        number, unit, binary = match.groups()
        base = 1000 if unit and not binary and str(size).strip().lower().endswith("b") else 1024
        asked = float(number) * base ** _UNITS[unit.lower()]
        n_bytes = int(asked) if asked < 2**63 else 0
    if n_bytes < 1:
        raise PlanError(f"'{size}' is no size of memory: write 4GiB, 4000MB or a number of bytes.")
    return n_bytes


def show_memory(n_bytes: float) -> str:
    """Bytes for people, in a form that `parse_memory` reads: "3.2GiB"."""
    return f"{n_bytes / 2**30:.1f}GiB" if n_bytes >= 2**30 else f"{max(n_bytes / 2**20, 1):.0f}MiB"


def enough_memory(n_bytes: float) -> str:
    """A limit to recommend when so many bytes are needed: a little more, rounded up, so that it will be accepted."""
    more = 1.02 * n_bytes
    step = 2**30 / 10 if more >= 2**30 else 2**20  # of what `show_memory` shows
    return show_memory(math.ceil(more / step) * step)


def resident_memory() -> int:
    """Bytes of this process in memory now; its peak so far on systems that tell only that."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    from genassoc.provenance import peak_memory_bytes

    return peak_memory_bytes() or 0


def give_back_freed_memory() -> None:
    """Have the allocators return what is free to the system, where they can."""
    import ctypes

    if arrow := sys.modules.get("pyarrow"):  # what did not import it holds nothing of it
        arrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone
        ctypes.CDLL(None).malloc_trim(0)


def give_back_code() -> None:
    """Have the system take back the pages of the large libraries' code: LLVM's, which linked the kernels, and of polars what read the tables.

    What is called again is found again among the cached pages of files, in microseconds. Pages that somebody has written to, as debuggers do, stay. Linux alone.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError, ValueError):
        advise = ctypes.CDLL(None).madvise
        for first, n_bytes in _code_of_libraries(Path("/proc/self/smaps").read_text()):
            advise(ctypes.c_void_p(first), ctypes.c_size_t(n_bytes), _MADV_DONTNEED)


def settle() -> None:
    """Between two stages of a run: what the first has freed, and the code that it called, do not stay beside the second."""
    give_back_freed_memory()
    give_back_code()


def _code_of_libraries(smaps: str) -> Iterator[tuple[int, int]]:
    """Address and bytes of code of a megabyte or more that is in memory as it is in its file."""
    for found in _CODE.finditer(smaps):
        held = {name: int(kb) for name, kb in _HELD.findall(found["held"])}
        if held.get("Rss", 0) >= 1024 and not held["Anonymous"] + held["Private_Dirty"] + held["Locked"]:
            first, stop = int(found["first"], 16), int(found["stop"], 16)
            yield first, stop - first


def reuse_freed_memory(reuse: bool = True, environment: Mapping[str, str] | None = None) -> bool:
    """Let glibc reuse the memory of one block's arrays for the next, as its defaults do.

    Dask's nannies start workers with ``MALLOC_TRIM_THRESHOLD_=65536``. To set any threshold ends their growth, so that
    each array over 128 kB is mapped page by page, and unmapped again: ten times the page faults, a tenth or more of a scan's CPU time. Thresholds that
    people have chosen are left alone.

    Parameters
    ----------
    reuse : bool
        False takes it back.

    Returns
    -------
    bool
        Whether anything was set.
    """
    import ctypes

    environment = os.environ if environment is None else environment
    if environment.get("MALLOC_TRIM_THRESHOLD_") != _NANNY_TRIM or "MALLOC_MMAP_THRESHOLD_" in environment:
        return False
    mapped, trimmed = (_MMAP_GROWN, _TRIM_GROWN) if reuse else (_MMAP_AT_FIRST, int(_NANNY_TRIM))
    with contextlib.suppress(OSError, AttributeError):  # glibc alone
        set_option = ctypes.CDLL(None).mallopt
        return bool(set_option(_M_MMAP_THRESHOLD, mapped) and set_option(_M_TRIM_THRESHOLD, trimmed))
    return False
