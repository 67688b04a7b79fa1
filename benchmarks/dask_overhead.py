"""Dask beside threads: the same linear run on Threads(2), on two workers of one thread, on one worker of two.

    python benchmarks/dask_overhead.py [--samples 10000] [--variants 200000] [--traits 10] [--repeats 5] [--tasks 10000] [--write]

Whole processes (`genassoc run --threads 2` and `--dask local:2`, no audit), in turn,
the order reversed every other round; and the run alone (`ga.associate` without an audit) in one process with each cluster
already up and its workers warm. Seconds by the clock, CPU seconds of the process and all below it, peak memory of each process
(VmHWM, looked at every 20 ms); medians. Then tasks without work, for what a graph weighs. The tables of results are compared byte for byte. Kernels are compiled before.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure
from scale_store import write_big_store, write_inputs
from speed_report import commit, cpu_model, write

from genassoc.data.memory import show_memory
from genassoc.engine.plan import Task

SECTION = "dask-overhead"


@dataclass(frozen=True)
class Ran:
    """One run: seconds by the clock, CPU seconds, peaks of its processes, the largest first."""

    wall: float
    cpu: float
    peaks: tuple[int, ...] = ()


def run(folder: Path, *command: str) -> Ran:
    """A command of this Python as a whole process, watched."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).resolve().parents[1]), *sys.path])}
    peaks: dict[int, int] = {}
    before, clock = os.times(), time.perf_counter()
    with (folder / "said").open("w") as said:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=said, stderr=said, env=environment)
        while process.poll() is None:
            for pid in measure.tree_of(process.pid):
                peaks[pid] = max(peaks.get(pid, 0), measure.memory({pid}))
            time.sleep(0.02)
    wall, after = time.perf_counter() - clock, os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{(folder / 'said').read_text()}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(wall, cpu, tuple(sorted(peaks.values(), reverse=True)))


def alternate(ways: dict[str, Callable[[], Ran]], repeats: int) -> dict[str, list[Ran]]:
    """Every way ``repeats`` times, in turn, the order reversed every other round."""
    found: dict[str, list[Ran]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(ways[name]())
    return found


def whole_processes(folder: Path, repeats: int) -> dict[str, list[Ran]]:
    """From the shell to the last line, the cluster's start and end included."""
    ways = {"threads": ["--threads", "2"], "2 workers x 1": ["--dask", "local:2"]}
    common = ["-m", "genassoc", "run", "gwas.toml", "--force", "--audit", "0"]

    def once(name: str) -> Ran:
        ran = run(folder, *common, *ways[name])
        (folder / "big.parquet").rename(folder / f"{name}.parquet")
        return ran

    return alternate({name: lambda name=name: once(name) for name in ways}, repeats)  # type: ignore[misc]


@contextmanager
def cluster(n_workers: int, n_threads: int) -> "Iterator[object]":
    """A client of workers on loopback, closed at the end."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=n_threads, host="127.0.0.1", dashboard_address=None, memory_limit=0
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def runs_alone(folder: Path, repeats: int) -> dict[str, list[Ran]]:
    """`ga.associate` alone, clusters up and warm; CPU seconds of this process and of all workers."""
    import genassoc as ga
    from genassoc import analysis
    from genassoc.config import Config

    config = Config.read(folder / "gwas.toml")
    cohort, model = analysis.make_cohort(config, analysis.make_store(config)), analysis.make_model(config)

    with cluster(2, 1) as two, cluster(1, 2) as one:
        ways = {"threads": ga.Threads(2), "2 workers x 1": ga.Dask(two), "1 worker x 2": ga.Dask(one)}  # type: ignore[arg-type]

        def once(name: str) -> Ran:
            cpu, clock = _cpu_of_tree(), time.perf_counter()
            ga.associate(cohort, model, out=folder / f"alone {name}.parquet", executor=ways[name], restart=True)
            return Ran(time.perf_counter() - clock, _cpu_of_tree() - cpu)

        for name in ways:
            once(name)
        return alternate({name: lambda name=name: once(name) for name in ways}, repeats)  # type: ignore[misc]


def _cpu_of_tree() -> float:
    """User and system seconds of this process and of those below it that live."""
    ticks = 0
    for pid in measure.tree_of(os.getpid()):
        try:
            fields = (measure.PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ManyTasks:
    """Tasks without work through the executor: messages with graphs to the scheduler, their bytes, seconds."""

    messages: int
    graph_bytes: int
    seconds: float


class _Nothing:
    """Does nothing, under the label of a real task."""

    def label(self, task: Task) -> str:
        return f"linear chr{task.contig}:{1000 * task.start:,}-{1000 * task.stop:,}"

    def __call__(self, task: Task) -> int:
        return task.index


def many_tasks(client: Any, n: int) -> ManyTasks:
    """Send ``n`` tasks of a plan through `ga.Dask`, counting what goes to the scheduler."""
    from distributed.protocol import dumps

    import genassoc as ga

    sizes: list[int] = []
    send = client._send_to_scheduler

    def counted(message: Any) -> None:
        if message["op"] == "update-graph":
            sizes.append(sum(memoryview(frame).nbytes for frame in dumps(message)))
        send(message)

    tasks = [Task(i, 10**6 + 16 * i, 10**6 + 16 * i + 16, str(1 + 22 * i // n)) for i in range(n)]
    client._send_to_scheduler = counted
    try:
        clock = time.perf_counter()
        done = sorted(ga.Dask(client).map(_Nothing(), tasks))
        seconds = time.perf_counter() - clock
    finally:
        client._send_to_scheduler = send
    if done != list(range(n)):
        raise SystemExit(f"{n} tasks went out, others came back")
    return ManyTasks(len(sizes), sum(sizes), seconds)


def same_bytes(folder: Path) -> bool:
    """Whether all tables of results are one."""
    return len({file.read_bytes() for file in folder.glob("*.parquet")}) == 1


def rows_of(found: dict[str, list[Ran]], what: str) -> list[str]:
    """Lines of the table; the first way is what others are compared with."""
    lines = []
    base = statistics.median(ran.wall for ran in next(iter(found.values())))
    for name, runs in found.items():
        wall = statistics.median(ran.wall for ran in runs)
        walls = f"{min(ran.wall for ran in runs):.2f} to {max(ran.wall for ran in runs):.2f}"
        peaks = [statistics.median(each) for each in zip(*(ran.peaks[:3] for ran in runs))]
        lines.append(
            f"| {what} | {name} | {wall:.2f} ({walls}) | {100 * (wall / base - 1):+.0f} % | "
            f"{statistics.median(ran.cpu for ran in runs):.2f} | {', '.join(map(show_memory, peaks))} |"
        )
    return lines


def section(folder: Path, chosen: argparse.Namespace) -> str:
    """The text for RESULTS.md."""
    N, V, T = chosen.samples, chosen.variants, chosen.traits
    write_big_store(folder / "big.zarr", N, V)
    write_inputs(folder, N, T)
    run(folder, "-m", "genassoc", "check", "gwas.toml")  # compiles
    whole = whole_processes(folder, chosen.repeats)
    alone = runs_alone(folder, chosen.repeats)
    with cluster(2, 1) as client:
        many = many_tasks(client, chosen.tasks)
    same = "the same bytes in all" if same_bytes(folder) else "OTHER BYTES: a defect"
    return "\n".join(
        [
            "## Dask beside threads",
            "",
            f"`python benchmarks/dask_overhead.py --samples {N} --variants {V} --traits {T} --repeats {chosen.repeats}`, "
            f"{cpu_model()}, {os.cpu_count()} CPUs, commit {commit()}. Linear, medians of {chosen.repeats} in turn; results: {same}.",
            "",
            "| | on | seconds (least to most) | beside threads | CPU s | peaks of the largest processes |",
            "|---|---|---|---|---|---|",
            *rows_of(whole, "whole process"),
            *rows_of(alone, "run alone, cluster up"),
            "",
            f"{chosen.tasks:,} tasks without work through the executor: {many.graph_bytes / 1e6:.2f} MB of graphs in "
            f"{many.messages:,} messages, {many.seconds:.1f} s ({1e3 * many.seconds / chosen.tasks:.1f} ms each).",
            "",
        ]
    )


def main() -> None:
    """Measure, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=200_000)
    parser.add_argument("--traits", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=10_000, help="without work, for the size of the graph")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dask-overhead-") as folder:
        text = section(Path(folder), chosen)
    print(text)
    if chosen.write:
        write(text, SECTION)


if __name__ == "__main__":
    main()
