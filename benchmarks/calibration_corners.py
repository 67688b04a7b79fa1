"""Calibration under the null where information is thin: every family and variance, few carriers, few events, heavy tails.

    python benchmarks/calibration_corners.py [--tests 1000000] [--minutes 60] [--only PATTERN] [--write] [--list]

A corner is a model, an outcome that no variant influences, and a bin of minor allele counts. Each batch draws new
covariates, outcomes and genotypes, of another number of samples. Half of the variants are more frequent in one level of a
covariate that acts on the outcome; some are in linkage disequilibrium with the variant before. Corners named "dosages r2 R" are of
imputed dosages (`imputed`), whose sum is the minor allele count. Rows that the genotypes, the
covariates and the number of events alone rule out (`INELIGIBLE`) are no tests. Every other row is one: without a p, or with
a code, it finds nothing in the column "code null". Counts are added to
``calibration_corners.json`` after each batch, so that a stopped run goes on; batch k of a corner is the same whenever it
is done. ``--write`` puts the tables into ``docs/calibration.md``. One thread.
"""

import argparse
import fnmatch
import json
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import beta, norm
from threadpoolctl import threadpool_limits

import genassoc as ga
from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.data.store.writer import write_store

ALPHAS = (1e-2, 1e-3, 1e-4)
BARS = {1e-3: 1.25, 1e-4: 1.5}
BINS = {"MAC 5-9": (5, 9), "MAC 10-19": (10, 19), "MAC 20-50": (20, 50), "MAF 5-50 %": (None, None)}
INELIGIBLE = ("monomorphic", "constant_genotype", "n_too_small", "too_few_carriers", "too_few_events", "few_events")
V, T = 400, 25  # variants of a batch in each bin, and outcomes
SEED = 20261129
Columns = dict[str, np.ndarray]
Draw = Callable[[np.random.Generator, np.ndarray, int], Columns]


@dataclass(frozen=True)
class Corner:
    """A model and an outcome without effect.

    Attributes
    ----------
    model : callable
        Names of T outcomes -> the model.
    draw : callable
        Random generator, covariates (N, 2) and T -> columns of the table.
    n : int
        Samples, give or take a tenth in each batch.
    bins : tuple of str
        Of `BINS`.
    r2 : float or None
        Of imputed dosages; None where genotypes are called.
    """

    model: Callable[[list[str]], Any]
    draw: Draw
    n: int
    bins: tuple[str, ...] = tuple(BINS)
    r2: float | None = None


def names(T: int) -> list[str]:
    """Names of T outcomes."""
    return [f"y{t}" for t in range(T)]


def _times(outcomes: list[str]) -> list[str]:
    """Columns of the times of outcomes y0, y1, ..."""
    return [f"time{name[1:]}" for name in outcomes]


def quantitative(law: str) -> Draw:
    """Two covariates act; residuals are normal, t with 3 degrees, lognormal, or of four times the variance in one group."""

    def draw(rng: np.random.Generator, x: np.ndarray, T: int) -> Columns:
        size = (len(x), T)
        if law == "t3":
            e = rng.standard_t(3, size)
        elif law == "lognormal":
            e = np.exp(rng.standard_normal(size))
        else:
            e = rng.standard_normal(size)
            if law == "two spreads":
                e *= np.where(x[:, 1] > 0, 2.0, 1.0)[:, None]
        return dict(zip(names(T), (e + 0.5 * x[:, :1] + 0.5 * x[:, 1:2]).T, strict=True))

    return draw


def _sorted_risk(rng: np.random.Generator, x: np.ndarray, T: int) -> np.ndarray:
    """Latent risks (N, T) of a logistic model of the covariates."""
    return 0.5 * x[:, :1] + 0.7 * x[:, 1:2] + rng.logistic(size=(len(x), T))


def events(share: float | int) -> Draw:
    """0 / 1 outcomes: a share of the samples has the event, or a fixed number of them; those of largest latent risk."""

    def draw(rng: np.random.Generator, x: np.ndarray, T: int) -> Columns:
        risk = _sorted_risk(rng, x, T)
        count = share if isinstance(share, int) else max(2, round(share * len(x)))
        least = np.sort(risk, axis=0)[-count]
        return dict(zip(names(T), (risk >= least).astype(np.int64).T, strict=True))

    return draw


def survival(share: float | int) -> Draw:
    """Times and events y0, y1, ...; the share or number of samples with the event."""

    def draw(rng: np.random.Generator, x: np.ndarray, T: int) -> Columns:
        failed = rng.exponential(np.exp(-0.4 * x[:, :1] - 0.5 * x[:, 1:2]), (len(x), T))
        count = share if isinstance(share, int) else max(2, round(share * len(x)))
        end = np.sort(failed, axis=0)[count - 1]
        censored = rng.uniform(0.2, 1.0, failed.shape) * end  # some leave early; the events are those that stay
        seen = failed <= end
        found = dict(zip(names(T), seen.astype(np.int64).T, strict=True))
        times = np.where(seen, failed, np.where(rng.random(seen.shape) < 0.3, censored, end))
        return found | {f"time{t}": times[:, t] for t in range(T)}

    return draw


def counts(mean: float, shape: float | None) -> Draw:
    """Counts of a mean; with ``shape`` their rates differ by a gamma of that shape."""

    def draw(rng: np.random.Generator, x: np.ndarray, T: int) -> Columns:
        rate = mean * np.exp(0.3 * x[:, :1] + 0.3 * x[:, 1:2] - 0.2) * np.ones((1, T))
        if shape is not None:
            rate = rate * rng.gamma(shape, 1 / shape, rate.shape)
        return dict(zip(names(T), rng.poisson(rate).T, strict=True))

    return draw


def grades(*shares: float) -> Draw:
    """Grades of proportional odds; shares of the samples in each grade above the lowest, from the second on."""

    def draw(rng: np.random.Generator, x: np.ndarray, T: int) -> Columns:
        risk = _sorted_risk(rng, x, T)
        above = np.cumsum(shares[::-1])[::-1]
        ranked = np.sort(risk, axis=0)
        y = np.zeros(risk.shape, np.int64)
        for share in above:
            y += risk >= ranked[-max(2, round(share * len(x)))]
        return dict(zip(names(T), y.T, strict=True))

    return draw


def _corners() -> dict[str, Corner]:
    found: dict[str, Corner] = {}
    covariates = ["a", "b"]
    weights = {"equal weights": "one", "unequal weights": "w", "lognormal weights": "v"}
    for law in ("normal", "t3", "lognormal", "two spreads"):
        for n in (500, 2000):
            draw = quantitative(law)
            found[f"linear|model|{law}|{n}"] = Corner(lambda y: ga.Linear(y, covariates), draw, n)
            found[f"linear|robust|{law}|{n}"] = Corner(lambda y: ga.Linear(y, covariates, variance="robust"), draw, n)
            found[f"linear|weighted|{law}|{n}"] = Corner(lambda y: ga.Linear(y, covariates, weights="w"), draw, n)
            found[f"linear|interaction robust|{law}|{n}"] = Corner(
                lambda y: ga.Linear(y, covariates, interaction="b", variance="robust"), draw, n
            )
    for label, share, n in (
        ("3 events", 3, 500), ("5 events", 5, 500), ("10 events", 10, 500), ("30 events", 30, 500),
        ("1:2", 0.5, 1000), ("1:20", 0.05, 2000), ("1:500", 0.002, 5000),
    ):  # fmt: skip
        draw = events(share)
        found[f"logistic|default|{label}|{n}"] = Corner(lambda y: ga.Logistic(y, covariates), draw, n)
        found[f"logistic|spa|{label}|{n}"] = Corner(lambda y: ga.Logistic(y, covariates, correction="spa"), draw, n)
        if n > 1000:
            continue
        found[f"logistic|robust|{label}|{n}"] = Corner(lambda y: ga.Logistic(y, covariates, variance="robust"), draw, n)
        found[f"poisson|default, 0 and 1|{label}|{n}"] = Corner(lambda y: ga.Poisson(y, covariates), draw, n)
        found[f"poisson|lrt, 0 and 1|{label}|{n}"] = Corner(lambda y: ga.Poisson(y, covariates, test="lrt"), draw, n)
        for name, column in weights.items():
            found[f"logistic|{name}|{label}|{n}"] = Corner(
                lambda y, column=column: ga.Logistic(y, covariates, weights=column), draw, n
            )
            found[f"poisson|{name}|{label}|{n}"] = Corner(
                lambda y, column=column: ga.Poisson(y, covariates, weights=column), draw, n
            )
        draw = survival(share)
        found[f"cox|default|{label}|{n}"] = Corner(lambda y: ga.Cox(_times(y), y, covariates), draw, n)
        found[f"cox|robust|{label}|{n}"] = Corner(
            lambda y: ga.Cox(_times(y), y, covariates, variance="robust"), draw, n
        )
        for name, column in weights.items():
            found[f"cox|{name}|{label}|{n}"] = Corner(
                lambda y, column=column: ga.Cox(_times(y), y, covariates, weights=column), draw, n
            )
    for label, mean, shape in (
        ("mean 0.02", 0.02, None), ("mean 0.3", 0.3, None), ("mean 3", 3.0, None),
        ("mean 0.3, dispersion 2", 0.3, 0.3), ("mean 3, dispersion 4", 3.0, 1.0),
    ):  # fmt: skip
        for test in ("score", "lrt"):
            found[f"poisson|{'default' if test == 'score' else test}|{label}|1000"] = Corner(
                lambda y, test=test: ga.Poisson(y, covariates, test=test), counts(mean, shape), 1000
            )
        found[f"poisson|unequal weights|{label}|1000"] = Corner(
            lambda y: ga.Poisson(y, covariates, weights="w"), counts(mean, shape), 1000
        )
    for label, shares, n in (
        ("30, 15, 5 %", (0.3, 0.15, 0.05), 500), ("8, 1.5, 0.5 %", (0.08, 0.015, 0.005), 2000),
        ("5, 0.3 %", (0.05, 0.003), 2000),
    ):  # fmt: skip
        found[f"ordinal|default|{label}|{n}"] = Corner(lambda y: ga.Ordinal(y, covariates), grades(*shares), n)
        found[f"ordinal|unequal weights|{label}|{n}"] = Corner(
            lambda y: ga.Ordinal(y, covariates, weights="w"), grades(*shares), n
        )
    return found | _of_dosages()


def _of_dosages() -> dict[str, Corner]:
    """Corners of imputed dosages: those where rules ask for carriers, events or exact laws."""
    found: dict[str, Corner] = {}
    covariates = ["a", "b"]
    for r2 in (0.3, 0.9):
        kind = f"dosages r2 {r2:g}"
        for law in ("normal", "t3", "lognormal"):
            for choice, variance in (("model", "auto"), ("robust", "robust")):
                found[f"linear|{choice}, {kind}|{law}|2000"] = Corner(
                    lambda y, variance=variance: ga.Linear(y, covariates, variance=variance),
                    quantitative(law),
                    2000,
                    r2=r2,
                )
        for label, share, n in (
            ("3 events", 3, 500), ("10 events", 10, 500), ("30 events", 30, 500), ("1:2", 0.5, 1000), ("1:20", 0.05, 2000),
            ("1:500", 0.002, 5000),
        ):  # fmt: skip
            found[f"logistic|default, {kind}|{label}|{n}"] = Corner(
                lambda y: ga.Logistic(y, covariates), events(share), n, r2=r2
            )
            found[f"logistic|spa, {kind}|{label}|{n}"] = Corner(
                lambda y: ga.Logistic(y, covariates, correction="spa"), events(share), n, r2=r2
            )
            found[f"cox|default, {kind}|{label}|{n}"] = Corner(
                lambda y: ga.Cox(_times(y), y, covariates), survival(share), n, r2=r2
            )
            if n <= 1000:
                found[f"logistic|robust, {kind}|{label}|{n}"] = Corner(
                    lambda y: ga.Logistic(y, covariates, variance="robust"), events(share), n, r2=r2
                )
                found[f"poisson|default, 0 and 1, {kind}|{label}|{n}"] = Corner(
                    lambda y: ga.Poisson(y, covariates), events(share), n, r2=r2
                )
        found[f"poisson|default, {kind}|mean 0.3, dispersion 2|1000"] = Corner(
            lambda y: ga.Poisson(y, covariates), counts(0.3, 0.3), 1000, r2=r2
        )
        found[f"ordinal|default, {kind}|8, 1.5, 0.5 %|2000"] = Corner(
            lambda y: ga.Ordinal(y, covariates), grades(0.08, 0.015, 0.005), 2000, r2=r2
        )
    return found


CORNERS = _corners()


def genotypes(rng: np.random.Generator, x: np.ndarray, low: int | None, high: int | None) -> np.ndarray:
    """Codes (V, N) of a bin; every other variant is four times as frequent where b is 1, or follows its neighbour."""
    n = len(x)
    codes = np.zeros((V, n), np.uint8)
    tilted = np.where(x[:, 1] > 0, 1.6, 0.4)
    for v in range(V):
        if low is None:
            frequency = np.minimum(rng.uniform(0.05, 0.5) * (tilted if v % 2 else 1.0), 0.95)
            codes[v] = rng.binomial(2, frequency, n)
        else:
            chance = tilted / tilted.sum() if v % 2 else None
            drawn = rng.choice(n, rng.integers(low, high + 1), p=chance)
            np.add.at(codes[v], drawn, 1)
            codes[v] = np.minimum(codes[v], 2)
        if v % 4 == 3:  # nine samples in ten as the variant before, the others anew
            keep = rng.random(n) < 0.9
            mixed = np.where(keep, codes[v - 1], codes[v])
            if low is None or low <= mixed.sum() <= high:
                codes[v] = mixed
    return codes


def imputed(rng: np.random.Generator, x: np.ndarray, low: int | None, high: int | None, r2: float) -> DosageBlock:
    """Dosages of a bin, in thousandths: each of a sample's two alleles has a chance of Beta's law, whose variance is r2 times the allele's.

    Of rare alleles most chances are near 0 and a few are anything up to 1. Every other variant is four times as frequent where b is 1.
    """
    n, spread = len(x), (1.0 - r2) / r2
    dosages = np.empty((V, n))
    tilted = np.where(x[:, 1] > 0, 1.6, 0.4)
    tilted = tilted / tilted.mean()
    for v in range(V):
        done = False
        while not done:
            frequency = rng.uniform(0.05, 0.5) if low is None else rng.uniform(low, high) / (2 * n)
            f = np.minimum(frequency * (tilted if v % 2 else np.ones(n)), 0.95)
            alpha, rest = f * spread, (1.0 - f) * spread
            dosages[v] = np.round(rng.beta(alpha, rest) + rng.beta(alpha, rest), 3)
            done = low is None or low <= dosages[v].sum() <= high
    return DosageBlock.from_dosages(dosages, steps=1000)


@cache
def _store(n: int) -> ga.GenotypeStore:
    """A store of one variant: cohorts are aligned to its samples."""
    folder = Path(tempfile.mkdtemp(prefix="corners-"))
    variants = pl.DataFrame(
        {"chromosome": ["1"], "base_pair_location": [1], "effect_allele": ["G"], "other_allele": ["A"],
         "rsid": ["rs1"], "record": [0], "alt_index": [1]},
        schema_overrides={"record": pl.Int64, "alt_index": pl.Int32},
    )  # fmt: skip
    codes = (np.arange(n) % 3).astype(np.uint8)[None]
    write_store(folder / "s.zarr", [f"s{i}" for i in range(n)], [GenotypeBlock.from_codes(codes)], variants)
    return ga.open_store(folder / "s.zarr")


def batch(key: str, number: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bin and counts of one batch of a corner."""
    corner = CORNERS[key]
    rng = np.random.default_rng([SEED, zlib.crc32(key.encode()), number])
    n = round(corner.n * (0.9, 0.95, 1.0, 1.05, 1.1)[rng.integers(5)])
    x = np.column_stack([rng.standard_normal(n), rng.random(n) < 0.4])
    table: Columns = {"IID": np.array([f"s{i}" for i in range(n)], object), "a": x[:, 0], "b": x[:, 1].astype(np.int64)}
    table |= {"one": np.ones(n), "w": rng.uniform(0.5, 1.5, n), "v": np.exp(0.7 * rng.standard_normal(n))}
    table |= corner.draw(rng, x, T)
    model = corner.model(names(T))
    cohort = ga.Cohort.align(_store(n), pl.DataFrame(table), sample_id="IID")
    state = model.prepare(cohort)
    for name in corner.bins:
        low, high = BINS[name]
        block: Block = (
            GenotypeBlock.from_codes(genotypes(rng, x, low, high))
            if corner.r2 is None
            else imputed(rng, x, low, high, corner.r2)
        )
        start = time.process_time()
        result = model.block(state, block)
        seconds = time.process_time() - start
        p = np.asarray(result.columns["neg_log_10_p_value"], float)
        codes = np.array(result.categories["code"], object)[result.columns["code"]]
        eligible = ~np.isin(codes.astype(str), INELIGIBLE)
        found: dict[str, Any] = {"rows": p.size, "tests": int(eligible.sum()), "seconds": seconds, "codes": {}}
        fine = codes == None  # noqa: E711
        found["no_p"] = int(np.isnan(p).sum())
        for which, chosen in (("fine", fine), ("any", np.ones_like(fine))):
            found[which] = [int((p[chosen] >= -np.log10(alpha)).sum()) for alpha in ALPHAS]
        found["fine_rows"] = int((fine & np.isfinite(p)).sum())
        for code, times in zip(*np.unique(codes[~fine].astype(str), return_counts=True), strict=True):
            found["codes"][str(code)] = int(times)
        yield name, found


def add(cell: dict[str, Any], found: dict[str, Any]) -> None:
    """Add a batch to a cell; squares of its findings tell how far tests of one batch hang together."""
    for key in ("rows", "tests", "seconds", "no_p", "fine_rows"):
        cell[key] = cell.get(key, 0) + found[key]
    for key in ("fine", "any"):
        cell[key] = [a + b for a, b in zip(cell.get(key, [0] * len(ALPHAS)), found[key], strict=True)]
        squares = cell.setdefault(f"{key}_squares", [0] * len(ALPHAS))
        cell[f"{key}_squares"] = [a + b * b for a, b in zip(squares, found[key], strict=True)]
    for code, times in found["codes"].items():
        cell.setdefault("codes", {})
        cell["codes"][code] = cell["codes"].get(code, 0) + times
    cell["batches"] = cell.get("batches", 0) + 1


def run(path: Path, tests: int, minutes: float, only: str) -> dict[str, Any]:
    """Batches of every corner in turn, up to a number of tests a cell or a time; the counts, which ``path`` keeps."""
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    end = time.monotonic() + 60 * minutes
    todo = [key for key in CORNERS if fnmatch.fnmatch(key, only)]
    batches = -(-tests // (V * T))
    while todo and time.monotonic() < end:
        # the corner with the fewest batches is next; those that are done leave
        todo = [key for key in todo if state.get(key, {}).get("batches", 0) < batches]
        if not todo:
            break
        key = min(todo, key=lambda key: state.get(key, {}).get("batches", 0))
        corner = state.setdefault(key, {"batches": 0, "bins": {}})
        for name, found in batch(key, corner["batches"]):
            add(corner["bins"].setdefault(name, {}), found)
        corner["batches"] += 1
        unfinished = path.with_name(f"wip_{path.name}")
        unfinished.write_text(json.dumps(state, indent=1) + "\n")
        unfinished.replace(path)
    return state


def upper_bound(cell: dict[str, Any], key: str, which: int, level: float) -> float:
    """Upper limit of observed over expected: Clopper and Pearson's, widened where findings of one batch hang together."""
    hits, n, alpha = cell[key][which], cell["tests"], ALPHAS[which]
    batches = cell["batches"]
    spread = 1.0
    if hits and batches > 2:
        mean = hits / batches
        variance = (cell[f"{key}_squares"][which] - batches * mean * mean) / (batches - 1)
        spread = max(1.0, variance / mean)
    effective, tests = hits / spread, n / spread
    return float(beta.ppf(level, effective + 1, max(tests - effective, 1e-9))) / alpha


def cells_of(state: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Corner, bin and counts, in the order of `CORNERS`."""
    return [(key, name, cell) for key in CORNERS if key in state for name, cell in state[key]["bins"].items()]


def holm_failures(state: dict[str, Any], level: float = 0.95) -> list[str]:
    """Cells whose observed over expected is above its bar by Holm's procedure, and those that cannot be told yet.

    A cell passes at a level when its simultaneous upper limit (Bonferroni over all cells and levels, the first step of
    Holm's) is at most the bar; it fails when its simultaneous lower limit is above.
    """
    cells = [cell for cell in cells_of(state) if cell[2]["tests"]]
    each = 1 - (1 - level) / max(1, len(cells) * len(BARS))
    said = []
    for key, name, cell in cells:
        for alpha, bar in BARS.items():
            which = ALPHAS.index(alpha)
            ratio = cell["fine"][which] / (cell["tests"] * alpha)
            if upper_bound(cell, "fine", which, each) > bar:
                expected = cell["tests"] * alpha
                sure = cell["fine"][which] > bar * expected + norm.ppf(each) * np.sqrt(bar * expected)
                said.append(f"{key}, {name}, {alpha:g}: {ratio:.2f}{' FAILS' if sure else ' not yet told'}")
    return said


def tables(state: dict[str, Any]) -> list[str]:
    """Markdown: one table a family."""
    lines: list[str] = []
    family = ""
    for key, name, cell in cells_of(state):
        model, choice, outcome, n = key.split("|")
        if model != family:
            family = model
            lines += ["", f"### {family}", "", "| variance or test | outcome | n | bin | tests | "
                      + " | ".join(f"code null, {alpha:g}" for alpha in ALPHAS)
                      + " | any p, 1e-3 | any p, 1e-4 | rows with code null | most frequent code |",
                      "|---" * (5 + len(ALPHAS) + 4) + "|"]  # fmt: skip
        expected = [cell["tests"] * alpha for alpha in ALPHAS]
        ratio = [f"{k / e:.2f}" if e else "" for k, e in zip(cell["fine"], expected, strict=True)]
        every = [f"{k / e:.2f}" if e else "" for k, e in zip(cell["any"], expected, strict=True)][1:]
        codes = cell.get("codes", {})
        most = max(codes, key=codes.__getitem__) if codes else ""
        share = 100 * cell["fine_rows"] / cell["rows"]
        lines.append(
            f"| {choice} | {outcome} | {int(n):,} | {name} | {cell['tests']:,} | {' | '.join(ratio + every)} "
            f"| {share:.0f} % | {most} |"
        )
    return lines


def write_tables(path: Path, lines: list[str]) -> None:
    """Replace what stands between the marks of the corners on a page."""
    begin, end = "<!-- corners -->\n", "<!-- corners end -->"
    text = path.read_text()
    before, rest = text.split(begin)[0], text.split(end)[1]
    path.write_text(before + begin + "\n".join(lines) + "\n\n" + end + rest)


def main() -> None:
    """Go on with the run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=1_000_000, help="a cell")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default="*", help="corners whose name fits, as 'linear|robust|*'")
    parser.add_argument("--state", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/calibration.md")
    parser.add_argument("--list", action="store_true", help="name the corners and leave")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(CORNERS))
        return
    with threadpool_limits(1):
        state = run(chosen.state, chosen.tests, chosen.minutes, chosen.only)
    lines = tables(state)
    told = holm_failures(state)
    print(
        "\n".join(
            [
                *lines,
                "",
                f"{len(told)} of {len(BARS) * len(cells_of(state))} cells x levels are above or not yet told:",
                *told,
            ]
        )
    )
    if chosen.write:
        write_tables(Path(__file__).parents[1] / "docs" / "calibration.md", lines)


if __name__ == "__main__":
    main()
