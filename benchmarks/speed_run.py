"""Runs one row: our command and the peers' in turn, medians, extrapolation of slow peers, comparison of what they found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agreement import Agreement
from measure import CommandError, Usage, alternate, medians, remove, run
from peers import AbsentError
from speed_inputs import Inputs
from speed_rows import SLICES, Job, Row


@dataclass(frozen=True)
class Cost:
    """What a tool needs for a row.

    Attributes
    ----------
    whole : Usage
        For the whole cohort; on a straight line through two slices where the tool ran on those.
    marginal : Usage or None
        For as many variants again: the slope.
    measured : mapping of str to Usage
        Medians by file.
    runs : int
        The fewest runs behind a median.
    """

    whole: Usage
    marginal: Usage | None
    measured: Mapping[str, Usage]
    runs: int

    @property
    def extrapolated(self) -> bool:
        """Whether `whole` was not measured."""
        return "slice" in self.measured


@dataclass(frozen=True)
class Outcome:
    """A row's costs and comparisons by tool, why tools are missing from it, and our first run after an installation."""

    row: Row
    costs: dict[str, Cost]
    agreement: dict[str, Agreement] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    cold: Usage | None = None


def line(low: Usage, high: Usage, n_low: int, n_high: int, n: int) -> tuple[Usage, Usage]:
    """Cost of ``n`` variants and slope times ``n``, from two sizes; peak memory is the greater size's (said in the table)."""
    slope = [(b - a) / (n_high - n_low) for a, b in ((low.wall, high.wall), (low.cpu, high.cpu))]
    whole = [b + s * (n - n_high) for b, s in zip((high.wall, high.cpu), slope)]
    return Usage(*whole, high.peak), Usage(*(s * n for s in slope), max(0.0, high.peak - low.peak))


def cost(job: Job, measured: Mapping[str, Usage], runs: int, variants: Mapping[str, int]) -> Cost:
    """Whole and marginal cost of what was measured on the files of ``job.on``."""
    if len(job.on) == 1:
        return Cost(measured[job.on[0]], None, measured, runs)
    low, high = (measured[name] for name in job.on)
    whole, marginal = line(low, high, *(variants[name] for name in job.on), variants["full"])
    return Cost(whole if job.on == SLICES else low, marginal, measured, runs)


def run_row(row: Row, inputs: Inputs, scratch: Path, repeats: int, slow_repeats: int, warm: bool = True) -> Outcome:
    """Run every tool of a row.

    Parameters
    ----------
    row : Row
    inputs : Inputs
    scratch : Path
        Outputs go into ``KEY/TOOL-FILE``.
    repeats, slow_repeats : int
        Runs of each command; of those on slices.
    warm : bool
        Run ours once beforehand, untimed.
    """
    absent: dict[str, str] = {}
    commands: dict[str, str] = {}
    jobs: dict[str, Job] = {}
    for job in (row.ours, *row.peers):
        try:
            if job.tool != "genassoc":
                inputs.find(job.tool)
            made = {name: job.command(name, _folder(scratch, row, job, name)) for name in job.on}
        except (AbsentError, CommandError) as error:
            absent[job.tool] = _reason(error)
            continue
        jobs[job.tool] = job
        commands |= {_label(job, name): command for name, command in made.items()}
    folders = {_label(job, name): _folder(scratch, row, job, name) for job in jobs.values() for name in job.on}

    def empty(label: str) -> None:
        remove(folders[label])
        folders[label].mkdir(parents=True)

    if warm:
        _warm(row, inputs, commands, empty)
    wanted = {
        _label(job, name): slow_repeats if job.on == SLICES else repeats for job in jobs.values() for name in job.on
    }
    usages = _measure(commands, wanted, inputs, scratch, empty, jobs, absent)
    costs = {}
    for tool, job in jobs.items():
        measured = {name: usages[_label(job, name)] for name in job.on}
        fewest = min(len(found) for found in measured.values())
        costs[tool] = cost(
            job, {name: medians(found) for name, found in measured.items()}, fewest, inputs.files.size.variants
        )
    outcome = Outcome(row, costs, absent=absent)
    outcome.agreement.update(_compare(row, jobs, inputs, scratch))
    if row.cold and inputs.files.size.cold:
        outcome = replace(outcome, cold=_cold(row, inputs, commands, empty, scratch))
    for folder in folders.values():
        remove(folder)
    return outcome


def _measure(
    commands: dict[str, str],
    wanted: dict[str, int],
    inputs: Inputs,
    scratch: Path,
    empty: Callable[[str], None],
    jobs: dict[str, Job],
    absent: dict[str, str],
) -> dict[str, list[Usage]]:
    """Alternate; a peer that fails leaves the row with its reason, and the others run again without it."""
    while True:
        try:
            return alternate(commands, wanted, environment=inputs.environment, logs=scratch / "logs", before=empty)
        except CommandError as error:
            failed = next(
                (tool for tool, job in jobs.items() if tool != "genassoc" and _failed(job, commands, error)), None
            )
            if failed is None:
                raise
            absent[failed] = "failed: " + _reason(error)
            for name in jobs.pop(failed).on:
                commands.pop(f"{failed}-{name}")
                wanted.pop(f"{failed}-{name}")


def _reason(error: Exception) -> str:
    """The last line of what went wrong, fit for a cell of a table."""
    lines = str(error).strip().splitlines()
    return lines[-1][:200].replace("|", "/") if lines else type(error).__name__


def _failed(job: Job, commands: Mapping[str, str], error: CommandError) -> bool:
    return any(commands[_label(job, name)] in str(error) for name in job.on)


def _warm(row: Row, inputs: Inputs, commands: Mapping[str, str], empty: Callable[[str], None]) -> None:
    """Run ours once on the smallest of its files: what is timed finds compiled kernels and files in memory."""
    label = _label(row.ours, row.ours.on[0])
    empty(label)
    run(commands[label], inputs.environment)


def _cold(row: Row, inputs: Inputs, commands: Mapping[str, str], empty: Callable[[str], None], scratch: Path) -> Usage:
    """Ours with an empty cache of kernels: once, as it happens once."""
    label = _label(row.ours, row.ours.on[0])
    cache = scratch / "cold"
    remove(cache)
    cache.mkdir(mode=0o700)
    empty(label)
    found = run(
        commands[label], {**inputs.environment, "GENASSOC_CACHE_DIR": str(cache)}, scratch / "logs" / "cold.log"
    )
    remove(cache)
    return found


def _compare(row: Row, jobs: Mapping[str, Job], inputs: Inputs, scratch: Path) -> dict[str, Agreement]:
    compared = [job for job in jobs.values() if job.compare is not None]
    if not compared:
        return {}
    for job in (row.ours, *compared):
        if job.after is not None:
            name = _first(job)
            run(job.after(name, _folder(scratch, row, job, name)), inputs.environment, scratch / "logs" / "after.log")
    ours = _folder(scratch, row, row.ours, _first(row.ours)) / row.ours.output
    found = {}
    for job in compared:
        assert job.compare is not None
        theirs = _folder(scratch, row, job, _first(job)) / job.output
        found[job.tool] = job.compare(ours, theirs)
    return found


def _first(job: Job) -> str:
    """The file whose results are compared: the greater slice, else the whole cohort."""
    return job.on[-1] if job.on == SLICES else job.on[0]


def _label(job: Job, name: str) -> str:
    return f"{job.tool}-{name}"


def _folder(scratch: Path, row: Row, job: Job, name: str) -> Path:
    return scratch / row.key / _label(job, name)
