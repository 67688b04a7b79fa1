"""Calibration and power among relatives of mixed ancestry: a plain scan beside whole-genome regression and the exact mixed model.

    python benchmarks/calibration_structure.py [--cohorts 4] [--minutes 60] [--only PATTERN] [--write] [--list]

A cell is a kind of trait, the way its causes are spread, and a number of samples. Each of its cohorts has new families, genotypes and causes, and
traits that share the genotypes: causal variants on the first, third, ... chromosome alone, ancestry that acts by itself. On the other
chromosomes nothing is true: there lambda and the size of the tests are taken, for every method on the same samples. "permuted" is the
plain scan of the same traits, their rows shuffled among the samples: what lambda and sizes are where nothing is there, with the same variants and LD. True loci are
counted at the p whose false-positive rate on the chromosomes without causes is `EQUAL_RATE`, so that no method gains by being inflated.

Counts are added to ``calibration_structure.json`` after each cohort, so that a stopped run goes on; cohort k of a cell is the same whenever
it is done. ``--write`` puts the table into ``docs/structure/calibration.md``.
"""

import argparse
import fnmatch
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import numpy as np
import polars as pl
import structure_tables as tables
from structure_tables import ALPHAS, CONTROL

import genassoc as ga
from genassoc.stats.inflation import genomic_inflation

SEED = 20261130
EQUAL_RATE = 1e-4
LOCUS = 500_000  # base pairs on either side of a causal variant
COMPONENTS = 4
LEAST_KINSHIP = 0.0442
MIXED = 12  # traits of the mixed model, which shares less among traits; their loci are not counted
RESULTS = Path(__file__).with_name("calibration_structure.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "structure" / "calibration.md"
HERITABILITY, OF_ANCESTRY = 0.3, 0.05
CASES, CENSORED = 1 / 21, 0.9


@dataclass(frozen=True)
class Cell:
    """What is tried.

    Attributes
    ----------
    kind : str
        Of `ga.SimulatedTrait`.
    model : callable
        (names, covariates) -> the model of a scan.
    causal : int or None
        Causal variants of a trait; None: all common variants of the causal chromosomes.
    samples, variants, chromosomes, traits : int
    methods : tuple of str
        Of `METHODS`.
    power : bool
        Whether the causal chromosomes are scanned too.
    """

    kind: str
    model: Callable[[list[str], list[str]], Any]
    causal: int | None
    samples: int
    variants: int = 20_000
    chromosomes: int = 8
    traits: int = 50
    methods: tuple[str, ...] = (
        "plain",
        "plain + PCs",
        "ridge",
        "ridge, relatives",
        "mixture, relatives",
        "LinearMixed",
    )
    power: bool = True


def _times(names: list[str]) -> list[str]:
    return [f"{name}_time" for name in names]


def _cells() -> dict[str, Cell]:
    sparse = Cell("quantitative", lambda y, x: ga.Linear(y, x), 40, 3000)
    large = replace(sparse, samples=10_000, methods=sparse.methods[:-1])
    rare = replace(
        large, kind="binary", model=lambda y, x: ga.Logistic(y, x), traits=20, power=False,
        methods=("plain", "plain + PCs", "ridge", "mixture"),
    )  # fmt: skip
    timed = replace(rare, kind="time_to_event", model=lambda y, x: ga.Cox(_times(y), y, x))
    return {
        "quantitative, sparse, 3000": sparse,
        "quantitative, infinitesimal, 3000": replace(sparse, causal=None),
        "binary 1:20, sparse, 10000": rare,
        "Cox 90 % censored, sparse, 10000": timed,
        "quantitative, sparse, 10000": large,
        "quantitative, infinitesimal, 10000": replace(large, causal=None),
    }


CELLS = _cells()


@dataclass(frozen=True)
class Drawn:
    """A cohort with its traits, aligned to its store; the same with shuffled rows; and the truth.

    Attributes
    ----------
    cohort, shuffled : Cohort
    names, components : list of str
        Of the traits; of the principal components.
    null : list of str
        Chromosomes without causes.
    kinship : DataFrame
        Pairs of relatives up to the third degree.
    truth : DataFrame
        Of `SimulatedFamilies`.
    """

    cohort: ga.Cohort
    shuffled: ga.Cohort
    names: list[str]
    components: list[str]
    null: list[str]
    kinship: pl.DataFrame
    truth: pl.DataFrame


def families_of(n_samples: int) -> dict[str, int]:
    """Seven samples in ten have relatives: half in families of ten over three generations, a tenth sibling pairs, a tenth trios."""
    return {"three_generations": n_samples // 20, "siblings": n_samples // 20, "trios": n_samples // 30}


def draw(cell: Cell, number: int, folder: Path) -> Drawn:
    """Cohort ``number`` of a cell, its store in a folder; components as a user finds them."""
    causal = tuple(str(k) for k in range(1, cell.chromosomes + 1, 2))
    trait = ga.SimulatedTrait(
        kind=cell.kind, h2=HERITABILITY, n_causal=cell.causal, chromosomes=causal, min_frequency=0.05,
        stratification=OF_ANCESTRY, cases=CASES, censored=CENSORED,
    )  # fmt: skip
    names = [f"y{t}" for t in range(cell.traits)]
    made = ga.simulate_families(
        cell.samples, cell.variants, families=families_of(cell.samples), fst=(0.005, 0.01, 0.03), admixed=0.2,
        traits=dict.fromkeys(names, trait), seed=SEED + number, n_chromosomes=cell.chromosomes,
    )  # fmt: skip
    store = made.write_store(folder / "cohort.zarr")
    table = made.phenotypes
    cohort = ga.Cohort.align(store, table, sample_id="IID", sex="sex").keep_variants(ga.variants.maf_above(0.01))
    pruned = cohort.keep_variants(ga.ld_prune(cohort))
    kinship = ga.kinship(pruned, min_kinship=LEAST_KINSHIP)
    scores = ga.pca(pruned, k=COMPONENTS, fit_on=pruned.keep_unrelated(kinship).sample_ids).scores
    # The same rows under shuffled ids: covariates and traits stay together, genotypes are others'.
    ids = np.random.default_rng([SEED, number, 1]).permutation(table["IID"].to_numpy())
    shuffled = ga.Cohort.align(store, table.with_columns(pl.Series("IID", ids)), sample_id="IID", sex="sex")
    return Drawn(
        cohort.with_covariates(scores),
        shuffled.keep_variants(ga.variants.maf_above(0.01)),
        names,
        [f"PC{k}" for k in range(1, COMPONENTS + 1)],
        [name for name in made.contigs if name not in causal],
        ga.kinship(pruned, min_kinship=LEAST_KINSHIP, components=scores),  # of mixed ancestry
        made.truth,
    )


# Methods: (cell, drawn, the cohort's variants to scan) -> rows of every trait ---------------------------------------------------

Scan = Callable[[Cell, Drawn, "pl.Expr | None"], pl.DataFrame]


def _scan(cohort: ga.Cohort, model: Any, chosen: "pl.Expr | None", **more: Any) -> pl.DataFrame:
    tested = cohort if chosen is None else cohort.keep_variants(chosen)
    return _rows(ga.associate(tested, model, **more).table)


def _rows(table: pl.DataFrame, column: str = "neg_log_10_p_value") -> pl.DataFrame:
    """Tests: a row with a code has no calibrated p, so it finds nothing, and is none."""
    kept = table.with_columns(pl.col(column).alias("neg_log_10_p_value"))
    kept = kept.filter(pl.col("code").is_null(), pl.col("neg_log_10_p_value").is_not_null())
    return kept.select("chromosome", "base_pair_location", "trait", "neg_log_10_p_value")


def _plain(cell: Cell, drawn: Drawn, chosen: "pl.Expr | None") -> pl.DataFrame:
    return _scan(drawn.cohort, cell.model(drawn.names, ["age", "sex"]), chosen)


def _with_components(cell: Cell, drawn: Drawn, chosen: "pl.Expr | None") -> pl.DataFrame:
    return _scan(drawn.cohort, cell.model(drawn.names, ["age", "sex", *drawn.components]), chosen)


def _permuted(cell: Cell, drawn: Drawn, chosen: "pl.Expr | None") -> pl.DataFrame:
    return _scan(drawn.shuffled, cell.model(drawn.names, ["age", "sex"]), chosen)


def _leaving_one_out(prior: str, relatives: bool) -> Scan:
    def scan(cell: Cell, drawn: Drawn, chosen: "pl.Expr | None") -> pl.DataFrame:
        covariates = ["age", "sex", *drawn.components]
        outcome = "survival" if cell.kind == "time_to_event" else cell.kind
        more = {"time": _times(drawn.names)} if outcome == "survival" else {}
        regression = ga.WholeGenomeRegression(
            traits=drawn.names, covariates=covariates, outcome=outcome, prior=prior, **more
        )
        fitted = ga.fit_whole_genome(drawn.cohort, regression, relatives=drawn.kinship if relatives else None)
        if not relatives:
            return _scan(drawn.cohort, cell.model(drawn.names, covariates), chosen, offsets=fitted)
        tested = drawn.cohort if chosen is None else drawn.cohort.keep_variants(chosen)
        results = ga.associate(tested, cell.model(drawn.names, covariates), offsets=fitted)
        if cell.kind != "quantitative":  # one factor on chi-squared is of linear rows alone
            return _rows(results.table)
        calibrated = ga.calibrate(results, fitted).table  # rows that are no plain t test keep their p
        return _rows(
            calibrated.with_columns(calibrated=pl.coalesce("neg_log_10_p_calibrated", "neg_log_10_p_value")),
            "calibrated",
        )

    return scan


def _mixed(cell: Cell, drawn: Drawn, chosen: "pl.Expr | None") -> pl.DataFrame:
    model = ga.LinearMixed(drawn.names[:MIXED], ["age", "sex", *drawn.components], loco=True)
    return _scan(drawn.cohort, model, chosen)


METHODS: dict[str, Scan] = {
    "plain": _plain,
    "plain + PCs": _with_components,
    "ridge": _leaving_one_out("ridge", relatives=False),
    "ridge, relatives": _leaving_one_out("ridge", relatives=True),
    "mixture": _leaving_one_out("mixture", relatives=False),
    "mixture, relatives": _leaving_one_out("mixture", relatives=True),
    "LinearMixed": _mixed,
    CONTROL: _permuted,
}


# Counts ------------------------------------------------------------------------------------------------------------------------


def counted(rows: pl.DataFrame, drawn: Drawn, power: bool) -> dict[str, Any]:
    """Of each trait: lambda, tests and findings where nothing is true; with ``power`` the true loci found at the same false-positive rate."""
    null = rows.filter(pl.col("chromosome").is_in(drawn.null))
    found: dict[str, Any] = {"lambda": [], "tests": [], "found": []}
    for name in rows["trait"].unique(maintain_order=True):
        logp = np.sort(null.filter(pl.col("trait") == name)["neg_log_10_p_value"].to_numpy())
        V = len(logp)
        found["lambda"].append(float(genomic_inflation(logp[(V - 1) // 2], logp[V // 2])))
        found["tests"].append(V)
        found["found"].append([int((logp > -np.log10(alpha)).sum()) for alpha in ALPHAS])
    if power:
        bound = float(null["neg_log_10_p_value"].quantile(1 - EQUAL_RATE) or np.inf)
        found["bound"] = bound
        hits = rows.filter(pl.col("neg_log_10_p_value") > bound)
        found["loci"] = [
            _loci(hits.filter(pl.col("trait") == name), drawn.truth.filter(pl.col("trait") == name))
            for name in drawn.names
        ]
    return found


def _loci(hits: pl.DataFrame, truth: pl.DataFrame) -> int:
    """Causal variants of a trait with a finding within `LOCUS` of them."""
    number = 0
    for (chromosome,), here in truth.group_by("chromosome"):
        at = np.sort(hits.filter(pl.col("chromosome") == chromosome)["base_pair_location"].to_numpy())
        places = here["base_pair_location"].to_numpy()
        number += int((np.searchsorted(at, places + LOCUS, side="right") > np.searchsorted(at, places - LOCUS)).sum())
    return number


def measure(cell: Cell, number: int, todo: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Counts of some methods on cohort ``number``, one by one."""
    if not todo:
        return
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw(cell, number, Path(folder))
        null = pl.col("chromosome").is_in(drawn.null)
        only = None if cell.power else null
        for name in todo:
            start = time.process_time()
            rows = METHODS[name](cell, drawn, null if name in (CONTROL, "LinearMixed") else only)
            seconds = time.process_time() - start
            power = cell.power and cell.causal is not None and name not in (CONTROL, "LinearMixed")
            yield name, counted(rows, drawn, power) | {"seconds": round(seconds, 1)}


def run(path: Path, cohorts: int, minutes: float, only: str) -> dict[str, Any]:
    """Cohorts of every cell in turn, up to a number or a time; the counts, which ``path`` keeps."""
    state: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    end = time.monotonic() + 60 * minutes
    for number in range(cohorts):
        for key, cell in CELLS.items():
            if not fnmatch.fnmatch(key, only) or time.monotonic() > end:
                continue
            settings = {
                name: getattr(cell, name) for name in ("samples", "variants", "chromosomes", "traits", "causal")
            }
            kept = state.setdefault(key, {"settings": settings, "cohorts": {}})
            if kept["settings"] != settings:
                raise SystemExit(f"{path} holds {key} of other settings; remove it or give another file.")
            found = kept["cohorts"].setdefault(str(number), {})
            for name, counts in measure(cell, number, [name for name in (*cell.methods, CONTROL) if name not in found]):
                found[name] = counts
                wip = path.with_name(f"wip_{path.name}")
                wip.write_text(json.dumps(state, indent=1) + "\n")
                wip.replace(path)
                level, loci = np.mean(counts["lambda"]), sum(counts.get("loci", []))
                print(
                    f"{key}, cohort {number}, {name}: lambda {level:.3f}, {loci} loci, {counts['seconds']} CPU s",
                    file=sys.stderr,
                    flush=True,
                )
    return {key: cell for key, cell in state.items() if any(cell["cohorts"].values())}


def main() -> int:
    """Run, print, and write if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=4, help="of each cell")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--only", default="*", help="cells, as a pattern")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(CELLS))
        return 0
    state = run(chosen.results, chosen.cohorts, chosen.minutes, chosen.only)
    lines = [*tables.table(state), "", *tables.described(state)]
    if chosen.write:
        tables.put(lines, PAGE)
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
