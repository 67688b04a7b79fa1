"""What a shell command costs: wall time, CPU of its whole process tree, peak memory of the tree."""

import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WATCH_EVERY, WATCH_AT_LEAST = 0.02, 0.2  # s between looks at the tree's memory
PROC = Path("/proc")


@dataclass(frozen=True)
class Usage:
    """Cost of one run, or the medians of several.

    Attributes
    ----------
    wall : float
        Seconds from start to end.
    cpu : float
        User and system seconds of the command and of every descendant it waited for.
    peak : float
        Bytes: the greater of the resident sum over the tree (looked at every 20 to 200 ms; pages that two processes share
        count twice) and the largest process's own high-water mark at the last look. 0 where a command ended before the
        first look. Without /proc: the kernel's ru_maxrss, which is never below this program's own size.
    """

    wall: float
    cpu: float
    peak: float


class CommandError(RuntimeError):
    """A command of the benchmark failed; holds its last lines."""


def tree_of(pid: int) -> set[int]:
    """The process and all its descendants, from /proc; looks at nothing but the tree, so that watching costs little."""
    found, new = {pid}, [pid]
    while new:
        tasks = PROC / str(new.pop()) / "task"
        try:
            listed = [(task / "children").read_text() for task in tasks.iterdir()]
        except OSError:  # ended meanwhile
            continue
        more = {int(child) for text in listed for child in text.split()} - found
        found |= more
        new += more
    return found


def memory(pids: set[int]) -> int:
    """Bytes of these processes: resident together now, or the highest mark of one of them, whichever is more."""
    total, highest = 0, 0
    for pid in pids:
        try:
            status = (PROC / str(pid) / "status").read_text()
        except OSError:
            continue
        sizes = {
            line[:6]: int(line.split()[1]) * 1024 for line in status.splitlines() if line[:6] in ("VmRSS:", "VmHWM:")
        }
        total += sizes.get("VmRSS:", 0)
        highest = max(highest, sizes.get("VmHWM:", 0))
    return max(total, highest)


def run(command: str, environment: Mapping[str, str] | None = None, log: Path | None = None) -> Usage:
    """Run a shell command to its end and measure it.

    Parameters
    ----------
    command : str
        For bash, with ``pipefail``.
    environment : mapping, optional
        Added to this process's.
    log : Path, optional
        Takes the command's output; thrown away otherwise (but its end is in the error).

    Raises
    ------
    CommandError
        It returned another code than 0.
    """
    target = log if log is not None else Path(os.devnull)
    peak = [0]
    done = threading.Event()
    with target.open("wb") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})},
        )  # fmt: skip
        watcher = threading.Thread(target=_watch, args=(process.pid, done, peak), daemon=True)
        watcher.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # Popen must not wait for it again
        done.set()
        watcher.join()
    if process.returncode != 0:
        tail = target.read_text(errors="replace")[-2000:] if log is not None else "(no log kept)"
        raise CommandError(f"exit code {process.returncode}: {command}\n{tail}")
    # Linux counts the memory of the process that started the command into ru_maxrss: of no use there.
    largest = 0 if PROC.exists() else usage.ru_maxrss * (1 if os.uname().sysname == "Darwin" else 1024)
    return Usage(wall, usage.ru_utime + usage.ru_stime, float(max(peak[0], largest)))


def _watch(pid: int, done: threading.Event, peak: list[int]) -> None:
    start = time.perf_counter()
    # A long command is looked at less often: its peak lasts longer too, and looking takes time from what is timed.
    while not done.wait(max(WATCH_EVERY, min(WATCH_AT_LEAST, 0.02 * (time.perf_counter() - start)))):
        peak[0] = max(peak[0], memory(tree_of(pid)))


def medians(runs: Sequence[Usage]) -> Usage:
    """The median of each cost."""
    return Usage(*(statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "peak")))


def alternate(
    commands: Mapping[str, str],
    repeats: Mapping[str, int],
    *,
    environment: Mapping[str, str] | None = None,
    logs: Path | None = None,
    before: Callable[[str], None] | None = None,
) -> dict[str, list[Usage]]:
    """Run named commands in turn, round after round, the order reversed every other round.

    Parameters
    ----------
    commands : mapping of name to command
    repeats : mapping of name to int
        Runs of each; a slow one takes part in the first rounds only.
    environment : mapping, optional
    logs : Path, optional
        Folder for ``NAME.log`` of each command's last run.
    before : callable, optional
        Given the name before each run, outside of the measured time: removes what the last run wrote.
    """
    found: dict[str, list[Usage]] = {name: [] for name in commands}
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
    for turn in range(max(repeats.values(), default=0)):
        names = [name for name in commands if repeats[name] > turn]
        for name in names if turn % 2 == 0 else reversed(names):
            if before is not None:
                before(name)
            log = None if logs is None else logs / f"{name.replace(' ', '_')}.log"
            found[name].append(run(commands[name], environment, log))
    return found


def remove(path: Path) -> None:
    """Remove a file or a folder tree, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
