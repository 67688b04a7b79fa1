"""RESULTS.md: one section for each machine that ran the benchmark, with one table, and beside it what was compared."""

import datetime
import os
import platform
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measure import Usage
from peers import THREADS, AbsentError
from speed_cohort import Size
from speed_inputs import Inputs
from speed_run import Cost, Outcome

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = """# Measured

Written by `python benchmarks/speed.py --write`: one section a machine. How it is measured, what bounds each row and what these numbers
do not show: [docs/benchmarks.md](../docs/benchmarks.md). What was tried: [docs/decisions](../docs/decisions/README.md).

REGENIE 4.1 (built from source, `--ignore-pred`, the same PGEN, 2 threads, 10,000 samples x 60,000 variants, 12 covariates) was measured once, on another
machine: linear, 1 trait 6.4 s (12.4 CPU s, 60 MB); 12,000 variants 1.3 s; 50 traits with 50 patterns of missing values 82 s (its approximation);
two binary traits of 20 % and 1 % cases, approximate Firth below 0.05, 12.1 s (69 MB). genassoc on that machine and day: 5.2, 3.6, 22 and 14.7 s.
"""
HEAD = (
    "| cohort | work | genassoc | as many variants again | empty kernel cache | peer | its cost | ratio (CPU) | of more variants |",
    "|---|---|---|---|---|---|---|---|---|",
)


@dataclass
class Measured:
    """What one run of the command found.

    Attributes
    ----------
    command : str
    repeats, slow_repeats : int
    cohorts : list of (Size, Outcome list)
    scale : list of str
        Lines of `scale.py`.
    versions : dict of str to str
    """

    command: str
    repeats: int
    slow_repeats: int
    cohorts: list[tuple[Size, list[Outcome]]] = field(default_factory=list)
    scale: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add_versions(self, outcomes: Sequence[Outcome], inputs: Inputs) -> None:
        """Of every tool that ran."""
        for tool in dict.fromkeys(tool for outcome in outcomes for tool in outcome.costs if tool != "genassoc"):
            try:
                self.versions[tool] = inputs.find(tool).version
            except AbsentError:
                continue


def cpu_model() -> str:
    """As the system names it."""
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def machine() -> str:
    """Processor, CPUs and memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{cpu_model()}, {os.cpu_count()} CPUs, {memory / 2**30:.0f} GiB, {platform.system()}"


def table(measured: Measured) -> list[str]:
    """One line for each peer of a row of work; a row without a peer has one."""
    lines = list(HEAD)
    for size, outcomes in measured.cohorts:
        for outcome in outcomes:
            ours = outcome.costs["genassoc"]
            peers = [(tool, cost) for tool, cost in outcome.costs.items() if tool != "genassoc"]
            first = [
                size.words, outcome.row.work, _usage(ours.whole), _usage(ours.marginal, peak=False), _usage(outcome.cold),
            ]  # fmt: skip
            for tool, cost in peers:
                lines.append("| " + " | ".join([*first, *_peer(outcome, tool, cost, ours)]) + " |")
                first = [size.words, outcome.row.work, "", "", ""]
            if not peers:
                lines.append("| " + " | ".join([*first, "", "", "", ""]) + " |")
    return lines


def _peer(outcome: Outcome, tool: str, cost: Cost, ours: Cost) -> list[str]:
    job = next(job for job in outcome.row.peers if job.tool == tool)
    star = "*" if cost.extrapolated else ""
    name = tool + (f" ({job.note})" if job.note else "")
    return [name, _usage(cost.whole) + star, _ratio(cost.whole, ours.whole), _ratio(cost.marginal, ours.marginal)]


def _usage(found: Usage | None, peak: bool = True) -> str:
    if found is None:
        return ""
    return f"{found.wall:.2f} / {found.cpu:.2f}" + (f" / {found.peak / 1e6:.0f}" if peak else "")


def ratios(theirs: Usage | None, ours: Usage | None) -> tuple[float | None, float | None]:
    """Their wall and CPU over ours; None where either was not measured or is lost in the noise."""
    if theirs is None or ours is None:
        return None, None
    pairs = ((theirs.wall, ours.wall), (theirs.cpu, ours.cpu))
    wall, cpu = (a / b if a > 0 and b > 0 else None for a, b in pairs)
    return wall, cpu


def _ratio(theirs: Usage | None, ours: Usage | None) -> str:
    wall, cpu = ratios(theirs, ours)
    if wall is None:
        return ""
    return f"**{wall:.2g}** ({cpu:.2g})" if cpu is not None else f"**{wall:.2g}**"


def details(measured: Measured) -> list[str]:
    """Linearity of what was extrapolated, the comparisons of results, and the peers that were not there."""
    straight, agreement, absent = [], [], []
    for size, outcomes in measured.cohorts:
        for outcome in outcomes:
            name = f"{size.name} {outcome.row.key}"
            for tool, cost in outcome.costs.items():
                if cost.extrapolated:
                    low, high = cost.measured["half"], cost.measured["slice"]
                    straight.append(
                        f"{name}, {tool}: {low.wall:.2f} to {high.wall:.2f} s, CPU {low.cpu:.2f} to {high.cpu:.2f} ({cost.runs} runs)"
                    )
            agreement += [
                f"- {name}, {tool}: {'agree' if found.ok else 'DISAGREE'}; {found.text}"
                for tool, found in outcome.agreement.items()
            ]
            absent += [f"{tool} ({why})" for tool, why in outcome.absent.items()]
    lines = [
        "", "Slices behind the numbers with a star, the smaller and the one with twice its variants: " + "; ".join(straight or ["none"]) + ".",
        "", "Do the results agree? Compared with ours, row by row:", "", *agreement,
    ]  # fmt: skip
    if absent:
        lines += ["", "Not measured: " + "; ".join(dict.fromkeys(absent)) + "."]
    return lines


def section(measured: Measured, of_what: str = "") -> str:
    """A machine's section; ``of_what`` is added to its heading."""
    lines = [
        f"## {machine()}{of_what}",
        "",
        f"`{measured.command}`, {datetime.date.today().isoformat()}, commit {commit()}. Whole processes from the shell, {THREADS} threads each, in turn, the "
        f"order reversed every other round; medians of {measured.repeats} ({measured.slow_repeats} on slices). wall s / CPU s / peak MB of the process tree. Kernels are "
        "compiled beforehand but in the column that says else. Ratio: the peer's time over ours. A star: on a straight line through two slices, "
        "peak memory of the greater. Cohorts: samples x variants; `log` and `beta` name the law of the frequencies.",
        "",
        *table(measured),
    ]
    if measured.scale:
        lines += ["", "`Linear.block` alone, one thread, no reading or writing:", "", *measured.scale]
    lines += [
        *details(measured),
        "",
        "Versions: " + "; ".join(f"{tool}: {what}" for tool, what in versions(measured)) + ".",
    ]
    return "\n".join(lines) + "\n"


def versions(measured: Measured) -> list[tuple[str, str]]:
    """Ours first."""
    import genassoc

    return [("genassoc", genassoc.__version__), ("Python", platform.python_version()), *measured.versions.items()]


def commit() -> str:
    """The checkout's commit, marked where files differ from it."""
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git checkout"
    return answer.stdout.strip()


def write(text: str, path: Path = RESULTS) -> None:
    """Put a machine's section into RESULTS.md, in the place of the one it had; the file's head is always `TITLE`."""
    before = path.read_text() if path.exists() else ""
    sections = re.split(r"^(?=## )", before, flags=re.MULTILINE)[1:]
    name = text.partition("\n")[0]
    kept = [part.rstrip("\n") + "\n" for part in sections if part.partition("\n")[0] != name]
    wip = path.with_name(f"wip_{path.name}")
    wip.write_text("\n".join([TITLE, *kept, text]))
    wip.replace(path)
