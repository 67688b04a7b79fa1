"""The markdown table of the speed benchmark, and its place in RESULTS.md between markers."""

import datetime
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measure import Usage
from peers import AbsentError
from speed_inputs import Inputs
from speed_run import Cost, Outcome

RESULTS = Path(__file__).with_name("RESULTS.md")
HEAD = (
    "| work | tool | wall s | CPU s | peak MB | wall ratio | CPU ratio | marginal wall s | marginal ratio (wall, CPU) | bar |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def cpu_model() -> str:
    """As the system names it."""
    try:
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """One line a tool, ours first in each row of work."""
    lines = list(HEAD)
    for outcome in outcomes:
        ours = outcome.costs["genassoc"]
        for tool, cost in outcome.costs.items():
            lines.append(_line(outcome, tool, cost, ours))
        lines += [
            f"| {outcome.row.work} | {tool} | absent: {why} | | | | | | | |" for tool, why in outcome.absent.items()
        ]
    return lines


def _line(outcome: Outcome, tool: str, cost: Cost, ours: Cost) -> str:
    job = next(job for job in (outcome.row.ours, *outcome.row.peers) if job.tool == tool)
    star = "*" if cost.extrapolated else ""
    name = tool + (f" ({job.note})" if job.note else "")
    cells = [
        outcome.row.work,
        name,
        f"{cost.whole.wall:.2f}{star}",
        f"{cost.whole.cpu:.2f}{star}",
        f"{cost.whole.peak / 1e6:.0f}{star}",
    ]
    whole, marginal = (None, None), (None, None)
    if tool != "genassoc":
        whole = ratios(cost.whole, ours.whole)
        marginal = ratios(cost.marginal, ours.marginal)
    cells += [_times(ratio) for ratio in whole]
    cells.append("" if cost.marginal is None else f"{cost.marginal.wall:.2f}")
    cells.append("" if marginal == (None, None) else ", ".join(_times(ratio) for ratio in marginal))
    cells.append(_bars(job.whole, whole, "whole") + _bars(job.marginal, marginal, "marginal"))
    return "| " + " | ".join(cells) + " |"


def ratios(theirs: Usage | None, ours: Usage | None) -> tuple[float | None, float | None]:
    """Their wall and CPU over ours; None where either was not measured or is lost in the noise."""
    if theirs is None or ours is None:
        return None, None
    pairs = ((theirs.wall, ours.wall), (theirs.cpu, ours.cpu))
    wall, cpu = (a / b if a > 0 and b > 0 else None for a, b in pairs)
    return wall, cpu


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.3g} x"


def _bars(bar: float | None, found: tuple[float | None, float | None], which: str) -> str:
    if bar is None:
        return ""
    if found[0] is None:
        return f"{bar:.3g} x {which}: not measured; "
    return f"{bar:.3g} x {which}: {'met' if found[0] >= bar else 'NOT met'}; "


def details(outcomes: Sequence[Outcome]) -> list[str]:
    """Linearity of what was extrapolated, and the comparisons of results."""
    lines = [
        "",
        "Extrapolated from slices (*): time of the greater over that of the smaller slice, which has half its variants",
        "",
    ]
    for outcome in outcomes:
        for tool, cost in outcome.costs.items():
            if cost.extrapolated:
                low, high = cost.measured["half"], cost.measured["slice"]
                lines.append(
                    f"- {outcome.row.key}, {tool}: {low.wall:.2f} -> {high.wall:.2f} s wall, {low.cpu:.2f} -> {high.cpu:.2f} s "
                    f"CPU ({high.cpu / low.cpu:.2f} x), median of {cost.runs}"
                )
    lines += ["", "Do the results agree? Compared with ours, row by row:", ""]
    for outcome in outcomes:
        for tool, found in outcome.agreement.items():
            lines.append(f"- {outcome.row.key}, {tool}: {'agree' if found.ok else 'DISAGREE'}; {found.text}")
    return lines


def section(outcomes: Sequence[Outcome], inputs: Inputs, repeats: int, slow_repeats: int) -> str:
    """All of it, with how it was run."""
    size = inputs.files.size
    lines = [
        f"## Speed, {size.n_samples:,} samples x {size.n_variants:,} variants",
        "",
        f"`python benchmarks/speed.py {shlex.join(sys.argv[1:])}`, {datetime.date.today().isoformat()}, {cpu_model()}. "
        f"Whole processes from the shell, 2 threads, warm cache, tools alternating, medians of {repeats} ({slow_repeats} on "
        f"slices of {size.slices[0]:,} and {size.slices[1]:,} variants). Ratio: theirs over ours. Marginal: {size.n_variants:,} more "
        "variants (slope). Peak: of the process tree; of a slice where extrapolated.",
        "",
        *table(outcomes),
        *details(outcomes),
        "",
        "Versions: " + "; ".join(versions(outcomes, inputs)) + ".",
    ]
    return "\n".join(lines) + "\n"


def commit() -> str:
    """The checkout's commit, marked where files differ from it."""
    command = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no git checkout"
    return answer.stdout.strip()


def versions(outcomes: Sequence[Outcome], inputs: Inputs) -> list[str]:
    """Of every tool that ran."""
    import genassoc

    found = [f"genassoc {genassoc.__version__} ({commit()})", f"Python {platform.python_version()}"]
    for tool in dict.fromkeys(tool for outcome in outcomes for tool in outcome.costs if tool != "genassoc"):
        try:
            found.append(f"{tool}: {inputs.find(tool).version}")
        except AbsentError:
            continue
    return found


def write(text: str, name: str, path: Path = RESULTS) -> None:
    """Put the text between this table's markers in RESULTS.md, keeping all else."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before = path.read_text() if path.exists() else "# Measured\n"
    block = f"{begin}\n{text}{end}\n"
    if begin in before and end in before:
        head, _, rest = before.partition(begin)
        tail = rest.partition(end)[2].removeprefix("\n")
        path.write_text(head + block + tail)
    else:
        path.write_text(before.rstrip("\n") + "\n\n" + block)
