"""Calibration of `Logistic` under the null: how often p <= alpha, over how often it should be.

    python benchmarks/calibration.py [--batches 100] [--minutes 20] [--write]

Phenotypes are drawn from a logistic model of two covariates alone, genotypes anew in each batch, half of them
associated with a covariate. Counts are added to ``calibration.json`` after each batch, so that a run that is stopped
goes on where it was; batch k is the same tests whenever it is done. ``--write`` puts the tables into
``docs/calibration.md``. One thread.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import brentq
from scipy.special import expit
from scipy.stats import beta, hypergeom
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.data.phenotypes.design import Design
from genassoc.kernels.laws.exact_rare import EXACT_FOUND, Carriers, exact_rare_neg_log_p_rows
from genassoc.models.logistic.family import prepare
from genassoc.models.logistic.model import Logistic
from genassoc.models.scan.screen import ScreenState

ALPHAS = (1e-2, 1e-4, 1e-6)
EXACT_ALPHAS = (1e-2, 1e-4, 1e-6, 5e-8)
BINS = ("MAC 5-9", "MAC 10-19", "MAC 20-49", "MAC >= 50, MAF < 1 %", "MAC >= 50, MAF 1-5 %", "MAF 5-50 %")
MODELS = {
    "default": Logistic(("y",)),
    "score": Logistic(("y",), correction=None),
    "spa": Logistic(("y",), correction="spa", like="regenie"),
    "wald": Logistic(("y",), test="wald", correction=None),
}
ROWS_AT_ONCE = 1000  # of the enumeration, so that dense codes stay small


@dataclass(frozen=True)
class Settings:
    """What a batch is; counts of different settings are never added.

    Attributes
    ----------
    prevalences, samples : tuples
        Prevalence and number of samples of each part.
    variants : int
        Of a batch, in each bin.
    traits, traits_saddlepoint : int
        Of a batch; those that the saddlepoint and Wald tests are done on as well.
    wald : int
        Variants of each bin that Wald tests are done on, others for each of those traits: it is slow.
    seed : int
    """

    prevalences: tuple[float, ...] = (0.5, 0.1, 0.01, 0.002)
    samples: tuple[int, ...] = (2000, 2000, 5000, 5000)
    variants: int = 1000
    traits: int = 100
    traits_saddlepoint: int = 20
    wald: int = 5
    seed: int = 20240607


def bin_edges(n: int) -> list[int]:
    """Smallest minor allele count of each bin of `BINS` at n samples, and one more than the largest of the last."""
    return [5, 10, 20, 50, max(50, round(0.02 * n)), max(50, round(0.1 * n)), n + 1]


def covariates(rng: np.random.Generator, n: int) -> np.ndarray:
    """Constant, a continuous and a binary covariate, (n, 3)."""
    return np.column_stack([np.ones(n), rng.standard_normal(n), rng.random(n) < 0.5])


def phenotypes(rng: np.random.Generator, X: np.ndarray, prevalence: float, traits: int) -> np.ndarray:
    """Binary traits of the covariates alone, (n, traits): odds ratios 1.6 a standard deviation, and 2."""
    effect = 0.5 * X[:, 1] + 0.7 * X[:, 2]
    constant = brentq(lambda a: expit(a + effect).mean() - prevalence, -30.0, 30.0)
    return (rng.random((len(X), traits)) < expit(constant + effect)[:, None]).astype(np.float64)


def genotypes(rng: np.random.Generator, X: np.ndarray, variants: int) -> list[np.ndarray]:
    """Codes (variants, n) of each bin, empty where the bin is; counts are log-uniform in it.

    In every other variant the allele is three times as frequent where the binary covariate is 1.
    """
    n = len(X)
    edges = bin_edges(n)
    found = []
    for low, high in pairwise(edges):
        kept: list[np.ndarray] = [np.empty((0, n), np.uint8)]
        while low < high and sum(map(len, kept)) < variants:
            share = np.exp(rng.uniform(np.log(low), np.log(high), variants)) / (2 * n)
            tilt = np.where(np.arange(variants)[:, None] % 2 == 0, 1.0, np.where(X[:, 2] == 1, 1.5, 0.5))
            p = (share[:, None] * tilt).astype(np.float32)
            codes = (rng.random(p.shape, np.float32) < p).astype(np.uint8)
            codes += rng.random(p.shape, np.float32) < p
            alleles = codes.sum(axis=1, dtype=np.int64)
            mac = np.minimum(alleles, 2 * n - alleles)
            kept.append(codes[(mac >= low) & (mac < high)])
        found.append(np.concatenate(kept)[:variants])
    return found


def null_models(y: np.ndarray, X: np.ndarray) -> ScreenState:
    """The null of every column of y (n, T) on X (n, C)."""
    n, T = y.shape
    names = tuple(f"y{t}" for t in range(T))
    columns = ("intercept", *(f"x{c}" for c in range(1, X.shape[1])))
    design = Design(
        traits=names, y=y, covariates=columns, X=X, complete=np.ones(n, bool), dropped_covariates=(),
        dropped_samples=pl.DataFrame(), kinds=("binary",) * T, coding=("0 = control, 1 = case",) * T,
        offset=np.zeros(y.shape), offset_unit="trait",
    )  # fmt: skip
    return prepare(design, np.arange(n), n)


def neg_log_10_p(model: Logistic, state: ScreenState, codes: np.ndarray) -> np.ndarray:
    """-log10 p (V, T), NaN where there is no estimate."""
    return np.asarray(model.block(state, GenotypeBlock.from_codes(codes)).columns["neg_log_10_p_value"])


def exact_neg_log_10_p(state: ScreenState, codes: np.ndarray) -> np.ndarray:
    """What `Logistic` gives for variants below ten minor alleles, without Firth's estimates beside it: (V, T).

    A test compares the two. Codes (V, n) count the minor allele.
    """
    V = len(codes)
    which, carrier = np.nonzero(codes)
    starts = np.searchsorted(which, np.arange(V + 1))
    g = codes[which, carrier].astype(np.float64)
    out = np.full((V, len(state.nulls)), np.nan)
    for t, null in enumerate(state.nulls):
        if null.rarer is None:
            continue
        p, mid_p, status = np.empty(V), np.empty(V), np.empty(V, np.uint8)
        mu, y = null.of_rarer()
        fewer = min(null.n_cases, null.n - null.n_cases)
        exact_rare_neg_log_p_rows(Carriers(starts, g, mu[carrier], y[carrier]), fewer, null.rarer, p, mid_p, status)
        out[:, t] = np.where(status == EXACT_FOUND, p / np.log(10.0), np.nan)
    return out


def batch(settings: Settings, part: int, number: int) -> Iterator[tuple[str, str, np.ndarray, float]]:
    """Bin, method, -log10 p and CPU seconds of one batch of one prevalence."""
    rng = np.random.default_rng([settings.seed, part, number])
    X = covariates(rng, settings.samples[part])
    codes = genotypes(rng, X, settings.variants)
    y = phenotypes(rng, X, settings.prevalences[part], settings.traits)
    few = settings.traits_saddlepoint
    every, some = null_models(y, X), null_models(y[:, :few], X)
    alone = [null_models(y[:, t : t + 1], X) for t in range(few)]
    for name, rows in zip(BINS, codes, strict=True):
        if not len(rows):
            continue
        todo: list[tuple[str, list[tuple[ScreenState, np.ndarray]]]] = [
            ("default", [(every, rows)]),
            ("score", [(every, rows)]),
            ("spa", [(some, rows)]),
            ("wald", [(state, rows[t * settings.wald :][: settings.wald]) for t, state in enumerate(alone)]),
        ]
        for method, tests in todo:
            start = time.process_time()
            if method == "default" and name == BINS[0]:
                p = [exact_neg_log_10_p(*test) for test in tests]
            else:
                p = [neg_log_10_p(MODELS[method], *test) for test in tests]
            yield name, method, np.concatenate([part.ravel() for part in p]), time.process_time() - start


def add(counts: dict[str, Any], key: str, p: np.ndarray, seconds: float) -> None:
    """Add tests to the counts of a cell; a test without an estimate is one that finds nothing."""
    cell = counts.setdefault(key, {"tests": 0, "no_estimate": 0, "below": [0] * len(ALPHAS), "seconds": 0.0})
    cell["tests"] += p.size
    cell["no_estimate"] += int(np.isnan(p).sum())
    cell["below"] = [old + int((p >= -np.log10(a)).sum()) for old, a in zip(cell["below"], ALPHAS, strict=True)]
    cell["seconds"] += seconds


def run(settings: Settings, path: Path, batches: int, minutes: float = np.inf) -> dict[str, Any]:
    """Do batches of every prevalence in turn up to a number of them or a time; the counts, which ``path`` keeps."""
    wanted = json.loads(json.dumps(asdict(settings)))
    state = {"settings": wanted, "batches": [0] * len(settings.prevalences), "counts": {}}
    if path.exists():
        state = json.loads(path.read_text())
        if state["settings"] != wanted:
            raise ValueError(f"{path} holds counts of other settings; move it away, or use its settings to go on")
    end = time.monotonic() + 60 * minutes
    while min(state["batches"]) < batches and time.monotonic() < end:
        part = int(np.argmin(state["batches"]))
        for name, method, p, seconds in batch(settings, part, state["batches"][part]):
            add(state["counts"], f"{settings.prevalences[part]}|{name}|{method}", p, seconds)
        state["batches"][part] += 1
        unfinished = path.with_name(f"wip_{path.name}")
        unfinished.write_text(json.dumps(state, indent=1) + "\n")
        unfinished.replace(path)
    return state


def interval(observed: int, tests: int, alpha: float, level: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval of the share, over alpha."""
    tail = (1 - level) / 2
    low = beta.ppf(tail, observed, tests - observed + 1) if observed else 0.0
    high = beta.ppf(1 - tail, observed + 1, tests - observed) if observed < tests else 1.0
    return float(low) / alpha, float(high) / alpha


def exact_sizes(model: Logistic, n: int, n_cases: int, macs: list[int]) -> np.ndarray:
    """Size over alpha, (macs, alphas), without covariates: every number of cases among the carriers, by its chance.

    Given the number of cases it is hypergeometric; all carriers are heterozygous. There is no sampling in it.
    """
    state = null_models((np.arange(n) < n_cases).astype(np.float64)[:, None], np.ones((n, 1)))
    sizes = np.zeros((len(macs), len(EXACT_ALPHAS)))
    rows = [(k, t, m) for k, m in enumerate(macs) for t in range(max(0, m - n + n_cases), min(m, n_cases) + 1)]
    law = np.array([hypergeom(n, n_cases, m).pmf(t) for _, t, m in rows])
    # What is left out adds less than 1e-4 of the smallest alpha.
    rows, law = [row for row, chance in zip(rows, law, strict=True) if chance > 1e-14], law[law > 1e-14]
    for first in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[first : first + ROWS_AT_ONCE]
        codes = np.zeros((len(some), n), np.uint8)
        for i, (_, t, m) in enumerate(some):
            codes[i, :t] = 1
            codes[i, n_cases : n_cases + m - t] = 1
        p = neg_log_10_p(model, state, codes)[:, 0]
        for (k, _, _), chance, value in zip(some, law[first:], p, strict=False):
            sizes[k] += [chance / a if value >= -np.log10(a) else 0.0 for a in EXACT_ALPHAS]
    return sizes


def _ratio(cell: dict[str, Any] | None, which: int) -> str:
    """Observed over expected with its interval; bold where the lower limit is above 1."""
    if cell is None or not cell["tests"]:
        return ""
    low, high = interval(cell["below"][which], cell["tests"], ALPHAS[which])
    text = f"{cell['below'][which] / (cell['tests'] * ALPHAS[which]):.2f} ({low:.2f}-{high:.2f})"
    return f"**{text}**" if low > 1 else text


def simulated_tables(state: dict[str, Any]) -> list[str]:
    """Markdown tables of the counts, by alpha; then pooled; then what was done and what 1e7 tests would take."""
    counts, settings = state["counts"], state["settings"]
    cells = [(p, n, name) for p, n in zip(settings["prevalences"], settings["samples"], strict=True) for name in BINS]
    cells = [cell for cell in cells if f"{cell[0]}|{cell[2]}|score" in counts]
    methods = list(MODELS)
    lines = []
    for which, alpha in enumerate(ALPHAS[:2]):
        lines += [f"### Observed over expected at p <= {alpha:g}", ""]
        lines += [f"| prevalence | n | bin | {' | '.join(methods)} |", "|---|---|---" + "|---" * len(methods) + "|"]
        for p, n, name in cells:
            ratios = [_ratio(counts.get(f"{p}|{name}|{m}"), which) for m in methods]
            lines.append(f"| {100 * p:g} % | {n:,} | {name} | {' | '.join(ratios)} |")
        lines.append("")
    lines += ["### Observed over expected at p <= 1e-06, pooled over MAC >= 20", ""]
    lines += [
        "| prevalence | method | tests | observed | expected | observed / expected |",
        "|---|---|---|---|---|---|",
    ]
    for p in [*settings["prevalences"], None]:
        for m in methods:
            some = [counts[f"{q}|{b}|{m}"] for q, _, b in cells if (p is None or q == p) and b not in BINS[:2]]
            tests, hits = sum(c["tests"] for c in some), sum(c["below"][2] for c in some)
            pooled = _ratio({"tests": tests, "below": [0, 0, hits]}, 2)
            label = "all" if p is None else f"{100 * p:g} %"
            lines.append(f"| {label} | {m} | {tests:,} | {hits:,} | {tests * 1e-6:.2f} | {pooled} |")
    lines += ["", "### Tests done", ""]
    lines += [
        "| prevalence | bin | method | tests | no estimate | CPU s | CPU hours for 1e7 |",
        "|---|---|---|---|---|---|---|",
    ]
    for p, _, name in cells:
        for m in methods:
            c = counts[f"{p}|{name}|{m}"]
            hours = c["seconds"] / c["tests"] * 1e7 / 3600
            lines.append(
                f"| {100 * p:g} % | {name} | {m} | {c['tests']:,} | {c['no_estimate']:,} | {c['seconds']:.0f} | {hours:.2g} |"
            )
    return [*lines, ""]


def exact_tables(settings: Settings) -> list[str]:
    """Markdown tables of the sizes without covariates: mean and largest over the minor allele counts of a bin."""
    groups = {"5-9": range(5, 10), "10-19": range(10, 20), "20-49": range(20, 50), "50-100": range(50, 101, 5)}
    lines = ["### Exact size over alpha without covariates: mean (largest) over minor allele counts", ""]
    lines += [
        f"| cases / n | MAC | method | {' | '.join(f'{a:g}' for a in EXACT_ALPHAS)} |",
        "|---|---|---" + "|---" * len(EXACT_ALPHAS) + "|",
    ]
    for prevalence, n in zip(settings.prevalences, settings.samples, strict=True):
        for label, macs in groups.items():
            for method, model in MODELS.items():
                sizes = exact_sizes(model, n, round(prevalence * n), list(macs))
                columns = [f"{m:.2f} ({x:.2f})" for m, x in zip(sizes.mean(0), sizes.max(0), strict=True)]
                lines.append(f"| {round(prevalence * n):,} / {n:,} | {label} | {method} | {' | '.join(columns)} |")
    return [*lines, ""]


def write_tables(path: Path, lines: list[str]) -> None:
    """Replace what stands between the two marks of a page."""
    before, rest = path.read_text().split("<!-- measured -->\n")[0], path.read_text().split("<!-- end -->")[1]
    path.write_text(before + "<!-- measured -->\n\n" + "\n".join(lines) + "\n<!-- end -->" + rest)


def main() -> None:
    """Go on with the run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=100, help="of each prevalence; 100 are 1e7 score tests a cell")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--state", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/calibration.md")
    chosen = parser.parse_args()
    settings = Settings()
    with threadpool_limits(1):
        lines = simulated_tables(run(settings, chosen.state, chosen.batches, chosen.minutes)) + exact_tables(settings)
    print("\n".join(lines))
    if chosen.write:
        write_tables(Path(__file__).parents[1] / "docs" / "calibration.md", lines)


if __name__ == "__main__":
    main()
