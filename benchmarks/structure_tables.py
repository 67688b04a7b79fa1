"""What the counts of `calibration_structure` say: intervals from replicates, and the table of the page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import gamma, t

ALPHAS = (1e-2, 1e-3, 1e-4)
CONTROL = "permuted"
LEVEL = 0.95
BEGIN, END = "<!-- calibration: begin -->", "<!-- calibration: end -->"
Cell = Mapping[str, Any]


def pooled(cell: Cell, method: str) -> dict[str, np.ndarray]:
    """A method's replicates (one a trait of a cohort), over all cohorts: ``lambda`` (R,), ``found`` (R, alphas), ``tests`` (R,)."""
    parts = [cohort[method] for cohort in cell["cohorts"].values() if method in cohort]
    return {
        name: np.concatenate([np.asarray(part[name], float) for part in parts]) for name in ("lambda", "found", "tests")
    }


def methods(cell: Cell) -> list[str]:
    """In the order in which they were run."""
    return list(dict.fromkeys(name for cohort in cell["cohorts"].values() for name in cohort))


def mean_interval(values: np.ndarray, n_intervals: int = 1) -> tuple[float, float, float]:
    """Mean of replicates and its interval, of which ``n_intervals`` hold together with probability `LEVEL`."""
    R = len(values)
    mean = float(np.mean(values))
    if R < 2:
        return mean, float("nan"), float("nan")
    half = float(t.ppf(1 - (1 - LEVEL) / (2 * n_intervals), R - 1) * np.std(values, ddof=1) / np.sqrt(R))
    return mean, mean - half, mean + half


def replicate_interval(values: np.ndarray) -> tuple[float, float]:
    """Where a single trait's lambda lies with probability `LEVEL` when nothing is there: from the replicates, by a t law."""
    half = float(t.ppf(0.5 + LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / len(values)))
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def size_interval(
    found: np.ndarray, tests: np.ndarray, alpha: float, n_intervals: int = 1
) -> tuple[float, float, float]:
    """Observed over expected and its limits: exact limits of a Poisson count, both sides divided by the overdispersion.

    Neighbouring variants go together (LD), so counts of a trait vary more than Poisson's; how much more, the replicates say.
    """
    count, expected = float(found.sum()), alpha * float(tests.sum())
    mean = found.mean()
    over = max(1.0, float(found.var(ddof=1) / mean)) if len(found) > 1 and mean > 0 else 1.0
    tail = (1 - LEVEL) / (2 * n_intervals)
    units = count / over
    low = gamma.ppf(tail, units) if units > 0 else 0.0
    high = gamma.isf(tail, units + 1)
    return count / expected, float(low) * over / expected, float(high) * over / expected


def verdicts(state: Mapping[str, Cell]) -> list[dict[str, Any]]:
    """One line a cell and method: lambda, sizes, their simultaneous intervals and what holds."""
    pairs = [(name, cell, method) for name, cell in state.items() for method in methods(cell)]
    lines = []
    for name, cell, method in pairs:
        own = pooled(cell, method)
        mean, low, high = mean_interval(own["lambda"], len(pairs))
        line: dict[str, Any] = {
            "cell": name,
            "method": method,
            "replicates": len(own["lambda"]),
            "lambda": (mean, low, high),
        }
        if CONTROL in methods(cell):
            control = pooled(cell, CONTROL)["lambda"]
            if len(control) > 1:
                bounds = replicate_interval(control)
                line["inside"] = float(np.mean((own["lambda"] >= bounds[0]) & (own["lambda"] <= bounds[1])))
                line["bounds"] = bounds
        line["size"] = {
            alpha: size_interval(own["found"][:, k], own["tests"], alpha, len(pairs) * len(ALPHAS))
            for k, alpha in enumerate(ALPHAS)
        }
        loci = [cohort[method]["loci"] for cohort in cell["cohorts"].values() if "loci" in cohort.get(method, {})]
        if loci:
            line["loci"] = (sum(sum(found) for found in loci), loci)
        line["seconds"] = float(
            np.mean([cohort[method]["seconds"] for cohort in cell["cohorts"].values() if method in cohort])
        )
        lines.append(line)
    return lines


def table(state: Mapping[str, Cell]) -> list[str]:
    """Markdown: a row for each cell and method."""
    lines = [
        "| cohort and trait | method | lambda | within replicates | at 1e-2 | at 1e-3 | at 1e-4 | true loci | CPU s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    found = verdicts(state)
    plain = {line["cell"]: line["loci"][0] for line in found if line["method"] == "plain + PCs" and "loci" in line}
    previous = None
    for line in found:
        first = line["cell"] if line["cell"] != previous else ""
        previous = line["cell"]
        mean, low, high = line["lambda"]
        sizes = [_ratio(line["size"][alpha]) for alpha in ALPHAS]
        loci = ""
        if "loci" in line:
            total, base = line["loci"][0], plain.get(line["cell"], 0)
            loci = f"{total}" + (
                f" ({100 * (total / base - 1):+.0f} %)" if base and line["method"] != "plain + PCs" else ""
            )
        inside = f"{100 * line['inside']:.0f} %" if "inside" in line else ""
        wide = f"{mean:.3f} ({low:.3f} to {high:.3f})"
        bold = low > 1.0 or high < 1.0
        lines.append(
            f"| {first} | {line['method']} | {'**' + wide + '**' if bold else wide} | {inside} | {' | '.join(sizes)} | {loci} | {line['seconds']:.0f} |"
        )
    return lines


def _ratio(limits: tuple[float, float, float]) -> str:
    ratio, low, high = limits
    text = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
    return f"**{text}**" if low > 1 or high < 1 else text


def put(lines: Sequence[str], page: Path) -> None:
    """Between the marks of the page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    wip = page.with_name(f"wip_{page.name}")
    wip.write_text("\n".join([before + BEGIN, "", *lines, "", END + after]), encoding="utf-8")
    wip.replace(page)


def described(state: Mapping[str, Cell]) -> Iterator[str]:
    """A line on each cell's cohorts."""
    for name, cell in state.items():
        what = cell["settings"]
        yield f"- {name}: {len(cell['cohorts'])} cohorts of {what['samples']:,} samples x {what['variants']:,} variants, {what['traits']} traits each"
