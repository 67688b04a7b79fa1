"""Dask beside threads: the same linear run on Threads(2), on two workers of one thread, on one worker of two.

    python benchmarks/dask_overhead.py [--samples 10000] [--variants 100000] [--longer 600000] [--traits 10] [--repeats 5]
                                       [--tasks 10000]

Whole processes (`genassoc run --threads 2` and `--dask local:2`, no audit), in turn, the order reversed every other round;
and the run alone (`ga.associate` without an audit) in one process, after one that warms, with the cluster already up: one that
`--dask local:2` starts, and two as users start them, with Dask's own settings. No other cluster is up meanwhile, none for
threads. All of it again for a ``--longer`` store of so many variants. Seconds by the clock, CPU seconds of the process and all
below it, peak memory of each process (VmHWM, looked at every 20 ms); medians. Then tasks without work, for what a graph
weighs. The tables of results are compared byte for byte. Kernels are compiled before.
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
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import measure
from scale_store import write_big_store, write_inputs
from speed_report import commit, cpu_model

from genassoc.data.memory import show_memory
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.executors_dask import Dask, connected
from genassoc.engine.plan import Task

if TYPE_CHECKING:
    from distributed import Client

SECTION = "dask-overhead"
ALONE = ("threads", "local:2", "2 workers x 1", "1 worker x 2")


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
def cluster(n_workers: int, n_threads: int) -> "Iterator[Client]":
    """A client of workers on loopback with Dask's own settings, closed at the end."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=n_workers, threads_per_worker=n_threads, host="127.0.0.1", dashboard_address=None, memory_limit=0
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def executor_of(way: str) -> Iterator[Executor]:
    """One of `ALONE`, its cluster up as long as the block lasts."""
    if way == "threads":
        yield Threads(2)
    elif way.startswith("local:"):
        with connected(way) as dask:
            yield dask
    else:
        n_workers, n_threads = (int(word) for word in way.replace(" x ", " ").split() if word.isdigit())
        with cluster(n_workers, n_threads) as client:
            yield Dask(client)


def runs_alone(folder: Path, repeats: int) -> dict[str, list[Ran]]:
    """`ga.associate` alone, its cluster up and warm; CPU seconds of this process and of all workers."""
    import genassoc as ga
    from genassoc.verbs import from_config
    from genassoc.verbs.config import Config

    config = Config.read(folder / "gwas.toml")
    cohort, model = from_config.make_cohort(config, from_config.make_store(config)), from_config.make_model(config)

    def once(name: str) -> Ran:
        with executor_of(name) as executor:
            for _ in ("warms", "counts"):
                cpu, clock = _cpu_of_tree(), time.perf_counter()
                ga.associate(cohort, model, out=folder / f"alone {name}.parquet", executor=executor, restart=True)
                ran = Ran(time.perf_counter() - clock, _cpu_of_tree() - cpu)
        return ran

    return alternate({name: lambda name=name: once(name) for name in ALONE}, repeats)  # type: ignore[misc]


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
        done = sorted(Dask(client).map(_Nothing(), tasks))
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


def of_size(folder: Path, chosen: argparse.Namespace, n_variants: int) -> tuple[list[str], bool]:
    """Lines of the table for a store of so many variants, and whether all results of it are the same bytes."""
    folder.mkdir()
    write_big_store(folder / "big.zarr", chosen.samples, n_variants)
    write_inputs(folder, chosen.samples, chosen.traits)
    run(folder, "-m", "genassoc", "check", "gwas.toml")  # compiles
    lines = rows_of(whole_processes(folder, chosen.repeats), f"{n_variants:,} | whole process")
    lines += rows_of(runs_alone(folder, chosen.repeats), f"{n_variants:,} | run alone, cluster up")
    return lines, same_bytes(folder)


def section(folder: Path, chosen: argparse.Namespace) -> str:
    """The text for RESULTS.md."""
    sizes = [n for n in (chosen.variants, chosen.longer) if n]
    measured = [of_size(folder / str(n), chosen, n) for n in sizes]
    with cluster(2, 1) as client:
        many = many_tasks(client, chosen.tasks)
    same = "the same bytes in all" if all(same for _, same in measured) else "OTHER BYTES: a defect"
    return "\n".join(
        [
            "## Dask beside threads",
            "",
            f"`python benchmarks/dask_overhead.py --samples {chosen.samples} --variants {chosen.variants} --longer {chosen.longer} "
            f"--traits {chosen.traits} --repeats {chosen.repeats} --tasks {chosen.tasks}`, "
            f"{cpu_model()}, {os.cpu_count()} CPUs, commit {commit()}. Linear, medians of {chosen.repeats} in turn; results: {same}.",
            "",
            "| variants | | on | seconds (least to most) | beside threads | CPU s | peaks of the largest processes |",
            "|---|---|---|---|---|---|---|",
            *(line for lines, _ in measured for line in lines),
            "",
            f"{chosen.tasks:,} tasks without work through the executor: {many.graph_bytes / 1e6:.2f} MB of graphs in "
            f"{many.messages:,} messages, {many.seconds:.1f} s ({1e3 * many.seconds / many.messages:.1f} ms a message, "
            f"{1e3 * many.seconds / chosen.tasks:.2f} ms a task).",
            "",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=100_000)
    parser.add_argument("--longer", type=int, default=600_000, help="variants of a second store; 0 for none")
    parser.add_argument("--traits", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=10_000, help="without work, for the size of the graph")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dask-overhead-") as folder:
        text = section(Path(folder), chosen)
    print(text)


if __name__ == "__main__":
    main()
