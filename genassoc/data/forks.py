"""A process forked from one in which polars has run is refused at once: it would wait for ever.

polars keeps threads from its first query on. A fork copies the process without them, with their queue as it was, so that the first
query of the copy waits for threads that are not there; polars offers nothing to start them again. Reading blocks of calls from
a store that was opened before the fork needs no polars, and works.
"""

import os
import re
from pathlib import Path

from genassoc.errors import GenassocError

_THREAD = re.compile(r"polars-\d+")


class _Process:
    """This process and those it was forked from, as far as is known."""

    used = False  # a table was asked for
    polars_runs = False  # when a fork began
    threads_lost = False


def check_not_forked() -> None:
    """Refuse to use tables in a process that was forked after polars had run.

    Raises
    ------
    GenassocError
        This process was forked from one that had polars' threads.
    """
    if _Process.threads_lost:
        raise GenassocError(
            "this process was forked from one that had used tables already. polars' threads are not copied by a fork, so that the work "
            'would wait for ever. Start processes by "spawn": multiprocessing.get_context("spawn").Pool(...), or '
            'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")); or let one process use executor=ga.Threads(n).'
        )
    _Process.used = True


def _before() -> None:
    """Look for polars' threads by name; where a system does not tell names, what was used has started them."""
    try:
        names = [task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()]
    except OSError:
        _Process.polars_runs = _Process.used
    else:
        _Process.polars_runs = any(_THREAD.match(name) for name in names)


def _in_child() -> None:
    _Process.threads_lost |= _Process.polars_runs


os.register_at_fork(before=_before, after_in_child=_in_child)
