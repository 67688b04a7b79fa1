"""Calibration of set tests under the null: genes of rare variants, few cases, few events, counts; and their power.

    python benchmarks/calibration_sets.py [--tests 10000000] [--minutes 60] [--only PATTERN] [--write] [--list]
    python benchmarks/calibration_sets.py --power [--write]

A cell is a kind of outcome (1:500, 1:20, 1:1, survival with 99 % censored, counts) and a kind of gene. Genotypes of 50,000 samples are drawn once:
genes of 20 variants with 20 (singletons), 100, 500 and 2,000 minor alleles, and "linked" ones of 500 of which a fifth are on a haplotype
with the variant before. In half of the genes the minor allele is three times as frequent in one level of a covariate that acts on the outcome. Each batch
draws new outcomes, from the same covariates, and fits their null model. Genes that `code_of_sets` rules out are no tests. Counts are added to
``calibration_sets.json`` after each batch, so that a stopped run goes on; batch k of a cell is the same whenever it
is done. ``--write`` puts the tables into ``docs/genes/calibration.md``. One thread.

Tests of one gene with many outcomes share its genotypes: a ratio is of these genes. Findings of one batch share its outcomes; the bounds are widened
where they hang together.
"""

import argparse
import fnmatch
import json
import time
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta
from threadpoolctl import threadpool_limits

from genassoc.models.sets.calibrated import Columns, OutcomeLaw, code_of_sets, rare_tests, variance_factors
from genassoc.stats.cauchy import acat
from genassoc.stats.quadratic_forms import neg_log_10_p_quadratic

ALPHAS = (1e-3, 1e-4, 1e-5, 2.5e-6)
LEAST_EXPECTED = 5.0  # rejections: with fewer the table has counts, not a ratio
N, M, GENES = 50_000, 20, 100  # samples, variants of a gene, genes of a kind
KINDS = {"singletons": 20, "100 alleles": 100, "500 alleles": 500, "2,000 alleles": 2000, "500, linked": 500}
OUTCOMES = (
    "1:500",
    "1:20",
    "1:1",
    "survival, 99 % censored",
    "survival, 60 % censored",
    "counts, mean 0.05",
    "counts, overdispersed",
)
TESTS = ("SKAT", "SKAT-O", "burden", "ACAT-V", "SKAT, adjusted variance", "SKAT, naive")
SEED = 20261130
COMPARED = 30  # one batch in as many also has the adjusted variance and ACAT-V, which take each variant's exact p


@dataclass(frozen=True)
class Gene:
    """Carriers of a gene's variants."""

    kind: str
    columns: Columns
    variant: np.ndarray  # of each carrier
    pairs: tuple[
        np.ndarray, ...
    ]  # variant, variant, sample, product of doses: those who carry two, and each variant with itself
    weights: np.ndarray
    carriers: int


@cache
def covariates() -> np.ndarray:
    """Intercept, a continuous and a binary covariate (N, 3)."""
    rng = np.random.default_rng([SEED, 1])
    return np.stack([np.ones(N), rng.standard_normal(N), rng.random(N) < 0.3], axis=1).astype(float)


def _gene(rng: np.random.Generator, kind: str, stratified: bool) -> Gene:
    total = KINDS[kind]
    if kind == "singletons":
        mac = np.ones(M, int)
    else:  # a spectrum of 1 / frequency, to a third of all alleles
        mac = np.exp(rng.uniform(0, np.log(total / 3), M))
        for _ in range(20):
            mac = np.clip(mac * total / mac.sum(), 1, None)
        mac = np.maximum(np.rint(mac), 1).astype(int)
    chance = np.where(covariates()[:, 2] > 0, 3.0, 1.0) if stratified else np.ones(N)
    chance = chance / chance.sum()
    carriers: list[np.ndarray] = []
    doses: list[np.ndarray] = []
    for j in range(M):
        haplotypes = rng.choice(N, mac[j], p=chance)
        if kind.endswith("linked") and j:
            take = min(max(round(0.2 * mac[j]), 1), carriers[-1].size)
            haplotypes[:take] = rng.choice(carriers[-1], take, replace=False)
        who, dose = np.unique(haplotypes, return_counts=True)
        carriers.append(who)
        doses.append(np.minimum(dose, 2))
    sizes = [c.size for c in carriers]
    samples, dose, variant = (
        np.concatenate(carriers),
        np.concatenate(doses).astype(float),
        np.repeat(np.arange(M), sizes),
    )
    order = np.argsort(samples, kind="stable")
    pairs: list[tuple[int, int, int, float]] = []
    start = 0
    while start < order.size:
        stop = start
        while stop < order.size and samples[order[stop]] == samples[order[start]]:
            stop += 1
        pairs += [
            (variant[a], variant[b], samples[a], dose[a] * dose[b])
            for a in order[start:stop]
            for b in order[start:stop]
        ]
        start = stop
    a, b, who, product = zip(*pairs, strict=True)
    maf = np.bincount(variant, dose, M) / (2 * N)
    return Gene(
        kind,
        Columns(np.r_[0, np.cumsum(sizes)].astype(np.int64), samples.astype(np.int64), dose),
        variant,
        (np.array(a), np.array(b), np.array(who), np.array(product, dtype=float)),
        25.0 * (1.0 - maf) ** 24,
        np.unique(samples).size,
    )


@cache
def genes() -> list[Gene]:
    """All genes, drawn once."""
    rng = np.random.default_rng([SEED, 2])
    return [_gene(rng, kind, k % 2 == 1) for kind in KINDS for k in range(GENES)]


def _null(outcome: str, y: np.ndarray, time_: np.ndarray | None) -> tuple[OutcomeLaw, np.ndarray, np.ndarray, float]:
    """The fitted null: law, residual (N,), weight (N,), scale of U and V."""
    X = covariates()
    coefficients = np.zeros(3)
    coefficients[0] = np.log(max(y.mean(), 1e-9))
    order = np.argsort(time_, kind="stable") if time_ is not None else None
    mean = weight = np.empty(0)
    for _ in range(30):
        eta = X @ coefficients
        if order is not None:
            # Breslow: the mean is the cumulative hazard times the risk; the profile likelihood's step, by a Poisson model of these means.
            risk = np.exp(eta - eta.mean())
            at_risk = np.cumsum(risk[order][::-1])[::-1]
            hazard = np.cumsum(y[order] / at_risk)
            mean = np.empty(N)
            mean[order] = hazard * risk[order]
            weight = mean
        elif outcome.startswith("counts"):
            mean = weight = np.exp(eta)
        else:
            mean = 1 / (1 + np.exp(-eta))
            weight = mean * (1 - mean)
        step = np.linalg.solve(X.T @ (weight[:, None] * X), X.T @ (y - mean))
        coefficients = coefficients + step
        if np.abs(step[1:] if order is not None else step).max() < 1e-7:
            break
    if outcome == "counts, overdispersed":
        phi = max(float(((y - mean) ** 2 / mean).sum() / (N - 3)), 1.0)
        return OutcomeLaw("negative_binomial", mean, (phi - 1) / mean), y - mean, weight, phi
    return OutcomeLaw("bernoulli" if outcome.startswith("1:") else "poisson", mean), y - mean, weight, 1.0


def draw(
    outcome: str, rng: np.random.Generator, effect: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray | None]:
    """Outcomes (N,), and times where they are events; ``effect`` is added to the log odds, hazard or mean."""
    X = covariates()
    eta = 0.47 * X[:, 1] + 0.7 * X[:, 2] + effect
    if outcome.startswith("1:"):
        n_cases = round(N / (int(outcome[2:]) if outcome != "1:1" else 2))
        base = 0.47 * X[:, 1] + 0.7 * X[:, 2]
        low, high = -20.0, 20.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if (1 / (1 + np.exp(-middle - base))).sum() < n_cases else (low, middle)
        return (rng.random(N) < 1 / (1 + np.exp(-low - eta))).astype(float), None
    if outcome.startswith("survival"):
        failed = rng.exponential(np.exp(-eta))
        share = 1 - int(outcome.split()[1]) / 100
        end = np.quantile(rng.exponential(np.exp(-(0.47 * X[:, 1] + 0.7 * X[:, 2]))), share * 1.3)
        left = np.where(rng.random(N) < 0.4, rng.uniform(0.1, 1.0, N) * end, end)
        return (failed <= left).astype(float), np.minimum(failed, left)
    rate = 0.05 * np.exp(eta - 0.3)
    if outcome == "counts, overdispersed":
        rate = rate * rng.gamma(0.5, 2.0, N)
    return rng.poisson(rate).astype(float), None


def scores(gene: Gene, residual: np.ndarray, weight: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U (m,) and V (m, m): the dense formulas, over carriers."""
    c = gene.columns
    U = np.bincount(gene.variant, c.doses * residual[c.samples], M)
    a, b, who, product = gene.pairs
    V = np.bincount(a * M + b, product * weight[who], M * M).reshape(M, M)
    GM = np.add.reduceat(c.doses[:, None] * cross[c.samples], c.offsets[:-1])
    return U, V - GM @ GM.T


def _singles(gene: Gene, U: np.ndarray, V: np.ndarray, law: OutcomeLaw) -> np.ndarray:
    """Exact -log10 p of each variant."""
    p = np.empty(M)
    c = gene.columns
    for j in range(M):
        of = slice(c.offsets[j], c.offsets[j + 1])
        own = Columns(np.array([0, of.stop - of.start]), c.samples[of], c.doses[of])
        p[j] = rare_tests(
            U[j : j + 1], V[j : j + 1, j : j + 1], np.ones(1), own, law, skat_o=False, coarse_above=0.02
        ).burden
    return p


def _naive(Q: float, eigenvalues: np.ndarray) -> float:
    return float(neg_log_10_p_quadratic(np.array([Q]), eigenvalues)[0][0])


def test(
    gene: Gene, U: np.ndarray, V: np.ndarray, law: OutcomeLaw, compared: bool, joint_below: float = 2e-3
) -> dict[str, float]:
    """-log10 p of each test of a gene."""
    w = gene.weights
    wanted = w[:, None] * V * w
    Q, S = float(((w * U) ** 2).sum()), float(w @ U)
    if not compared and np.trace(wanted) > Q and wanted.sum() > S * S:
        # Both below their means, which these genes exceed once in a hundred outcomes at least: no level that is counted is near.
        return dict.fromkeys(("SKAT", "SKAT-O", "burden", "SKAT, naive"), 0.0)
    found = rare_tests(U, V, w, gene.columns, law, joint_below=joint_below, coarse_above=0.02)
    p = {"SKAT": found.skat, "SKAT-O": found.skat_o, "burden": found.burden}
    p["SKAT, naive"] = _naive(Q, np.linalg.eigvalsh(wanted))
    if compared:
        single = _singles(gene, U, V, law)
        p["ACAT-V"] = float(acat(single, w**2))
        adjusted = variance_factors(U, V, single, found.burden, w)
        p["SKAT, adjusted variance"] = _naive(Q, np.linalg.eigvalsh(w[:, None] * adjusted * w))
    return p


def batch(outcome: str, number: int, only: tuple[str, ...] = tuple(KINDS)) -> dict[str, dict[str, Any]]:
    """Kind of gene -> test -> what was found, of one outcome."""
    rng = np.random.default_rng([SEED, zlib.crc32(outcome.encode()), number])
    y, time_ = draw(outcome, rng)
    law, residual, weight, phi = _null(outcome, y, time_)
    X = covariates()
    WX = weight[:, None] * X
    cross = np.linalg.solve(np.linalg.cholesky(X.T @ WX), WX.T).T
    n_events = int(np.count_nonzero(y))
    compared = number % COMPARED == 0
    found: dict[str, dict[str, Any]] = {}
    for gene in genes():
        if gene.kind not in only:
            continue
        cell = found.setdefault(gene.kind, {"coded": 0, "without": 0})
        controls = N - n_events if outcome.startswith("1:") else None
        if code_of_sets(gene.carriers, n_events, controls):
            cell["coded"] += 1
            continue
        U, V = scores(gene, residual, weight, cross)
        for name, p in test(gene, U, phi * V, law, compared).items():
            of = cell.setdefault(name, [0] + [0] * len(ALPHAS))
            of[0] += 1
            if np.isnan(p):
                cell["without"] += 1
                continue
            for k, alpha in enumerate(ALPHAS):
                of[k + 1] += bool(p >= -np.log10(alpha))
    return found


def add(cell: dict[str, Any], found: dict[str, Any]) -> None:
    """Counts of a batch to those of a cell."""
    for name, of in found.items():
        if isinstance(of, int):
            cell[name] = cell.get(name, 0) + of
            continue
        held = cell.setdefault(
            name, {"tests": 0, "batches": 0, "hits": [0] * len(ALPHAS), "squares": [0] * len(ALPHAS)}
        )
        held["tests"] += of[0]
        held["batches"] += 1
        for k, hits in enumerate(of[1:]):
            held["hits"][k] += hits
            held["squares"][k] += hits * hits


def upper_bound(cell: dict[str, Any], which: int, level: float) -> float:
    """Upper limit of observed over expected: Clopper and Pearson's, widened where findings of one batch hang together."""
    hits, n, alpha, batches = cell["hits"][which], cell["tests"], ALPHAS[which], cell["batches"]
    spread = 1.0
    if hits and batches > 2:
        mean = hits / batches
        spread = max(1.0, (cell["squares"][which] - batches * mean * mean) / (batches - 1) / mean)
    return float(beta.ppf(level, hits / spread + 1, max((n - hits) / spread, 1e-9))) / alpha


def run(path: Path, tests: int, minutes: float, only: str) -> dict[str, Any]:
    """Batches of every outcome in turn, up to a number of tests a cell or a time; the counts, which ``path`` keeps."""
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    end = time.monotonic() + 60 * minutes
    batches = -(-tests // GENES)
    while time.monotonic() < end:
        todo = [o for o in OUTCOMES if fnmatch.fnmatch(o, only) and state.get(o, {}).get("batches", 0) < batches]
        if not todo:
            break
        outcome = min(todo, key=lambda o: state.get(o, {}).get("batches", 0))
        of = state.setdefault(outcome, {"batches": 0, "seconds": 0.0, "kinds": {}})
        begin = time.process_time()
        for _ in range(10):
            for kind, found in batch(outcome, of["batches"]).items():
                add(of["kinds"].setdefault(kind, {}), found)
            of["batches"] += 1
        of["seconds"] += time.process_time() - begin
        unfinished = path.with_name(f"wip_{path.name}")
        unfinished.write_text(json.dumps(state, indent=1) + "\n")
        unfinished.replace(path)
    return state


def tables(state: dict[str, Any]) -> list[str]:
    """Markdown: a row an outcome, kind of gene and test: observed over expected and its simultaneous upper bound; all kinds first."""
    rows: list[tuple[str, str, str, dict[str, Any]]] = []
    for outcome in (o for o in OUTCOMES if o in state):
        kinds = state[outcome]["kinds"]
        for name in TESTS:
            cells = [found[name] for found in kinds.values() if name in found]
            if not cells:
                continue
            whole = {"tests": sum(c["tests"] for c in cells), "batches": sum(c["batches"] for c in cells)}
            for of in ("hits", "squares"):
                whole[of] = [sum(c[of][k] for c in cells) for k in range(len(ALPHAS))]
            rows.append((outcome, "all", name, whole))
            rows += [(outcome, kind, name, found[name]) for kind, found in kinds.items() if name in found]
    ours = sum(name in TESTS[:4] for _, _, name, _ in rows)
    level = 1 - 0.05 / max(1, ours * len(ALPHAS))
    columns = " | ".join(f"{alpha:g}" for alpha in ALPHAS)
    lines = [f"| outcome | genes | test | tests | {columns} |", "|---" * (4 + len(ALPHAS)) + "|"]
    for outcome, kind, name, cell in rows:
        if not cell["tests"]:
            continue
        ratio = [
            f"{cell['hits'][k] / (cell['tests'] * alpha):.2f} ({upper_bound(cell, k, level):.2f})"
            if cell["tests"] * alpha >= LEAST_EXPECTED
            else f"{cell['hits'][k]} of {cell['tests'] * alpha:.2g}"
            for k, alpha in enumerate(ALPHAS)
        ]
        lines.append(f"| {outcome} | {kind} | {name} | {cell['tests']:,} | {' | '.join(ratio)} |")
    return lines


def power(batches: int = 6, planted: int = 25) -> list[str]:
    """Markdown: the share of planted genes found at 2.5e-6, by each test, and by the smallest p of single variants times their number."""
    lines = [
        "| outcome | genes | effect | causal variants | planted genes | SKAT | SKAT-O | burden | ACAT-V | SKAT, adjusted variance | single variants |",
        "|---" * 11 + "|",
    ]
    cut = -np.log10(ALPHAS[-1])
    names = ("SKAT", "SKAT-O", "burden", "ACAT-V", "SKAT, adjusted variance", "single")
    for outcome, kind, effect in (
        ("1:500", "100 alleles", 3.5),
        ("1:500", "500 alleles", 2.5),
        ("1:20", "100 alleles", 2.0),
        ("1:20", "500 alleles", 1.2),
    ):
        of_kind = [gene for gene in genes() if gene.kind == kind][:planted]
        for causal, word in ((1.0, "all"), (0.5, "half"), (0.15, "three")):
            found, tests = dict.fromkeys(names, 0), 0
            for number in range(batches):
                rng = np.random.default_rng([SEED, 7, zlib.crc32(f"{outcome}{kind}{word}".encode()), number])
                eta = np.zeros(N)
                for gene in of_kind:
                    act = (
                        rng.random(M) < causal
                        if causal != 0.15
                        else np.isin(np.arange(M), rng.choice(M, 3, replace=False))
                    )
                    boost = effect if causal == 1.0 else 1.4 * effect
                    np.add.at(eta, gene.columns.samples, boost * gene.columns.doses * act[gene.variant])
                y, time_ = draw(outcome, rng, np.minimum(eta, 2 * effect))
                law, residual, weight, _ = _null(outcome, y, time_)
                WX = weight[:, None] * covariates()
                cross = np.linalg.solve(np.linalg.cholesky(covariates().T @ WX), WX.T).T
                for gene in of_kind:
                    U, V = scores(gene, residual, weight, cross)
                    p = test(gene, U, V, law, True, joint_below=1e-3)
                    p["single"] = float(np.nanmax(_singles(gene, U, V, law))) - np.log10(M)
                    tests += 1
                    for name in names:
                        found[name] += bool(p[name] >= cut)
            shares = " | ".join(f"{found[name] / tests:.2f}" for name in names)
            lines.append(f"| {outcome} | {kind} | {effect:g} | {word} | {tests} | {shares} |")
    return lines


def write_table(name: str, lines: list[str]) -> None:
    """Replace what stands between the marks of a table on the page."""
    path = Path(__file__).parents[1] / "docs" / "genes" / "calibration.md"
    text = path.read_text()
    begin, end = f"<!-- {name} -->\n", f"<!-- {name} end -->"
    path.write_text(text.split(begin)[0] + begin + "\n".join(["", *lines, "", ""]) + end + text.split(end)[1])


def main() -> None:
    """Go on with the run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=10_000_000, help="a cell")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", default="*", help="outcomes whose name fits, as '1:*'")
    parser.add_argument("--state", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/genes/calibration.md")
    parser.add_argument("--list", action="store_true", help="name the outcomes and leave")
    parser.add_argument(
        "--power", action="store_true", help="plant genes and count what is found, some minutes; nothing else"
    )
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(OUTCOMES))
        return
    if chosen.power:
        with threadpool_limits(1):
            lines = power()
        print("\n".join(lines))
        if chosen.write:
            write_table("power", lines)
        return
    with threadpool_limits(1):
        state = run(chosen.state, chosen.tests, chosen.minutes, chosen.only)
    print(
        "\n".join(
            f"{outcome}; {kind}; {name}: {cell['tests']} tests, {cell['hits']}, ratios "
            + " ".join(f"{h / (cell['tests'] * a):.2f}" for h, a in zip(cell["hits"], ALPHAS, strict=True))
            for outcome, of in state.items()
            for kind, found in of["kinds"].items()
            for name, cell in found.items()
            if isinstance(cell, dict)
        )
    )
    if chosen.write:
        write_table("null", tables(state))


if __name__ == "__main__":
    main()
