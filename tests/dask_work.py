"""What tests of the Dask executor give to processes: slow work, deadly work, a driver to kill, a cluster of its own.

Run as a program it is a driver: ``dask_work.py ADDRESS STORE PHENOTYPES OUT SECONDS_PER_TASK``.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import small_cohort

import genassoc as ga

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(PROJECT), str(PROJECT / "tests"), os.environ.get("PYTHONPATH", "")]),
}


@dataclass(frozen=True)
class Slowed:
    """A function that waits before each item; all else is the function's own."""

    function: Any
    seconds: float

    @property
    def shared_folder(self) -> Path:
        return self.function.shared_folder

    def label(self, item: Any) -> str:
        return self.function.label(item)

    def __call__(self, item: Any) -> Any:
        time.sleep(self.seconds)
        return self.function(item)


@dataclass(frozen=True)
class Slow:
    """An executor whose tasks take a while longer, wherever they run."""

    executor: Any
    seconds: float

    def map(self, function: Any, items: Any) -> Any:
        yield from self.executor.map(Slowed(function, self.seconds), items)


@dataclass(frozen=True)
class Square:
    """Work with a name; slow where asked for, and fatal to the worker at one item."""

    fatal: int = -1
    seconds: float = 0.0

    def label(self, item: int) -> str:
        return f"square chr7:{item:,}-{item + 99:,}"

    def __call__(self, item: int) -> int:
        if item == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        return item * item


@contextlib.contextmanager
def processes(
    folder: Path, n_workers: int = 2, n_threads: int = 1
) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers, each a process as on a cluster; the address, and the processes, scheduler first."""
    file = folder / "scheduler.json"
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        program = [sys.executable, "-m", "dask", *command, "--scheduler-file", str(file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen(program, env=ENVIRONMENT, cwd=folder, **quiet))

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        for _ in range(n_workers):
            start("worker", "--nthreads", str(n_threads), "--no-dashboard", "--no-nanny", "--death-timeout", "60")
        yield _address(file), started
    finally:
        for process in started:
            process.kill()
            process.wait()


def _address(file: Path) -> str:
    """Of the scheduler that writes ``file``, which it does not do in one go."""
    for _ in range(1200):
        with contextlib.suppress(OSError, ValueError):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.05)
    raise AssertionError(f"no scheduler wrote {file} in a minute")


def driver(address: str, store: Path, phenotypes: Path, out: Path, seconds: float) -> "subprocess.Popen[str]":
    """This file as a program."""
    command = [sys.executable, __file__, address, str(store), str(phenotypes), str(out), str(seconds)]
    return subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def wait_for_parts(out: Path, n: int, process: "subprocess.Popen[str] | None" = None) -> int:
    """Wait until the work folder of ``out`` has ``n`` finished parts; how many it has."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = len(list(Path(f"{out}.work").glob("part-*.parquet")))
        if found >= n:
            return found
        assert process is None or process.poll() is None, "the driver ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError(f"no {n} parts of {out} after 90 s")


def wait_for_lock(out: Path, process: "subprocess.Popen[str]") -> None:
    """Wait until ``process`` drives the work folder of ``out``."""
    lock = Path(f"{out}.work/driver.lock")
    for _ in range(4500):
        with contextlib.suppress(OSError, ValueError):
            if json.loads(lock.read_text())["pid"] == process.pid:
                return
        assert process.poll() is None, "the driver ended before it could be killed"
        time.sleep(0.02)
    raise AssertionError(f"process {process.pid} does not drive {out} after 90 s")


def _main(address: str, store: str, phenotypes: str, out: str, seconds: str) -> None:
    from genassoc.engine.executors_dask import connected

    with connected(address) as executor:
        try:
            small_cohort.associate(ga.open_store(store), Path(phenotypes), Path(out), Slow(executor, float(seconds)))
        except ga.GenassocError as error:
            sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _main(*sys.argv[1:])
