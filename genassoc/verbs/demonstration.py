"""The demo: a seeded cohort through the ordinary path, its top hits beside the planted truth."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genassoc import provenance
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variants import in_region, maf_above, missing_below
from genassoc.data.output import check_outputs, output_error, replacing
from genassoc.engine.executors import Executor, Serial, Threads
from genassoc.errors import GenassocError, OutputError
from genassoc.formats.vcf.writer import write_vcf
from genassoc.models.linear.model import Linear
from genassoc.models.logistic.model import Logistic
from genassoc.progress import Progress
from genassoc.results import Results
from genassoc.simulate import SimulatedCohort, simulate_cohort
from genassoc.verbs import association, stores
from genassoc.verbs.report import report

LOCUS = 1_000_000  # base pairs to either side of a planted variant that count as its locus
GENOME_WIDE = 7.30103  # -log10 of 5e-8
ADJUSTED_FOR = ("age", "sex", "PC1:PC4")
_STAMP = "simulated.json"
_NAMES = (
    "cohort.vcf.gz",
    "phenotypes.tsv",
    "truth.tsv",
    "cohort.zarr",
    "ldl.parquet",
    "ldl_change.parquet",
    "muscle_pain.parquet",
    "ldl.html",
)


@dataclass(frozen=True)
class Demo:
    """The files and results of the demo.

    Attributes
    ----------
    folder : Path
    store : Path
    results : dict of str to Results
        "ldl" and "t2d" (type 2 diabetes) in everybody, "ldl_change" and "muscle_pain" in those treated.
    truth : dict of str to DataFrame
        The planted effects of each with what was found there.
    plots : tuple of Path
    """

    folder: Path
    store: Path
    results: dict[str, Results]
    truth: dict[str, pl.DataFrame]
    plots: tuple[Path, ...]


def demo(
    folder: str | Path = "genassoc-demo",
    *,
    n_samples: int = 2000,
    n_variants: int = 50_000,
    seed: int = 20,
    executor: Executor | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = print,
) -> Demo:
    """Simulate a cohort, write it as VCF.gz and TSV, and analyse it as any other.

    Parameters
    ----------
    folder : path
        Made if absent; what is there of the same cohort is used again.
    n_samples, n_variants, seed : int
    executor : Serial, Threads, optional
    progress : Progress, optional
    say : callable
        Told what happens, in words.

    Raises
    ------
    GenassocError
        A size is impossible, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        cohort = simulate_cohort(n_samples, n_variants, seed=seed)
    except ValueError as error:
        raise GenassocError(f"the demo cannot be simulated: {error}.") from error
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(error, folder) from error
    _check_folder(folder)
    executor = executor or Threads()
    vcf, table = _write_inputs(cohort, folder, say)
    store = stores.convert(vcf, folder / "cohort.zarr", progress=progress, overwrite=True)
    say(f"converted to {store.path}: {store.n_variants:,} variants x {store.n_samples:,} samples, two bits a call")
    everybody = Cohort.align(store, table, sample_id="IID", sex="sex")
    everybody = everybody.keep_variants(maf_above(0.01) & missing_below(0.05))
    treated = everybody.keep_samples(pl.col("statin") == "statin")
    analyses: dict[str, tuple[Cohort, Linear | Logistic]] = {
        "ldl": (everybody, Linear(traits=("ldl",), covariates=(*ADJUSTED_FOR, "statin"))),
        "t2d": (everybody, Logistic(traits=("t2d",), covariates=ADJUSTED_FOR)),
        "ldl_change": (treated, Linear(traits=("ldl_change",), covariates=ADJUSTED_FOR)),
        "muscle_pain": (treated, Logistic(traits=("muscle_pain",), covariates=ADJUSTED_FOR)),
    }
    on_trial: dict[str, Linear | Logistic] = {
        "ldl_change": Linear(traits=("ldl",), baseline=("ldl_before",), covariates=ADJUSTED_FOR, interaction="statin"),
        "muscle_pain": Logistic(traits=("muscle_pain",), covariates=ADJUSTED_FOR, interaction="statin"),
    }
    results: dict[str, Results] = {}
    compared: dict[str, pl.DataFrame] = {}
    plots: list[Path] = []
    for trait, (who, model) in analyses.items():
        out = folder / f"{trait}.parquet"
        results[trait] = association.associate(who, model, out=out, executor=executor, progress=progress, restart=True)
        compared[trait] = beside_truth(results[trait], cohort.truth.filter(pl.col("trait") == trait))
        plots += _draw(results[trait], trait, folder)
        for line in _report(trait, who, results[trait], compared[trait], cohort.truth):
            say(line)
        if trait in on_trial:
            for line in _by_arm(everybody, on_trial[trait], results[trait]):
                say(line)
    page = report(results["ldl"], folder / "ldl.html", hits=2)
    say(f"\nEverything is in {folder}: the VCF and the phenotypes, the store, results with provenance, plots")
    say("  " + "  ".join(path.name for path in plots))
    say(f"and a report on ldl, for a browser or a printer: {page}")
    return Demo(folder, Path(store.path), results, compared, tuple(plots))


def _check_folder(folder: Path) -> None:
    """Refuse a store, and a folder with files of such names that no demo made."""
    check_outputs([folder / _STAMP])
    theirs = [name for name in _NAMES if (folder / name).exists()]
    if theirs and not (folder / _STAMP).exists():
        raise OutputError(f"{folder} holds {', '.join(theirs)}, which no demo made; name another folder for the demo.")


def _write_inputs(cohort: SimulatedCohort, folder: Path, say: Callable[[str], None]) -> tuple[Path, Path]:
    """VCF.gz, phenotypes and truth; not again if they are of the same cohort."""
    vcf, table, truth = (folder / name for name in _NAMES[:3])
    stamp = json.dumps(
        {
            "seed": cohort.seed,
            "samples": cohort.n_samples,
            "variants": cohort.n_variants,
            "by": provenance.genassoc_version(),
        }
    )
    mark = folder / _STAMP
    if mark.exists() and mark.read_text() == stamp and vcf.exists() and table.exists() and truth.exists():
        say(f"{vcf} is there already, of the same seed and size")
        return vcf, table
    say(
        f"simulating {cohort.n_samples:,} samples x {cohort.n_variants:,} variants on {len(cohort.contigs)} chromosomes: "
        "three ancestries, LD, planted effects"
    )
    mark.write_text("unfinished")
    write_vcf(vcf, cohort.sample_ids, cohort.contigs, cohort.blocks(), index=True)
    for path, frame in ((table, cohort.phenotypes), (truth, cohort.truth)):
        with replacing(path) as file:
            file.write(frame.write_csv(separator="\t", null_value="NA").encode())
    with replacing(mark) as file:
        file.write(stamp.encode())
    say(f"wrote {vcf} ({vcf.stat().st_size / 1e6:.0f} MB) and {table}")
    return vcf, table


def beside_truth(results: Results, truth: pl.DataFrame) -> pl.DataFrame:
    """Each planted effect with the planted variant's own row and the best p within its locus.

    Returns
    -------
    DataFrame
        The columns of ``truth``, then ``beta``, ``standard_error``, ``neg_log_10_p_value``, ``code`` of the planted
        variant (null where it was filtered out), and ``lead_variant_id``, ``lead_neg_log_10_p_value``.
    """
    rows = results.scan()
    planted = rows.select("variant_id", "beta", "standard_error", "neg_log_10_p_value", "code").collect()
    joined = truth.join(planted, on="variant_id", how="left", maintain_order="left")
    leads = []
    for effect in truth.iter_rows(named=True):
        near = (pl.col("base_pair_location") - effect["base_pair_location"]).abs() <= LOCUS
        locus = rows.filter((pl.col("chromosome") == effect["chromosome"]) & near)
        best = locus.filter(pl.col("neg_log_10_p_value").is_not_null()).sort("neg_log_10_p_value").tail(1)
        leads.append(best.select("variant_id", "neg_log_10_p_value").collect())
    lead = (
        pl.concat([frame if frame.height else frame.clear(n=1) for frame in leads])
        if leads
        else planted.select("variant_id", "neg_log_10_p_value").clear()
    )
    return joined.with_columns(lead_variant_id=lead["variant_id"], lead_neg_log_10_p_value=lead["neg_log_10_p_value"])


def _by_arm(everybody: Cohort, model: Linear | Logistic, results: Results) -> list[str]:
    """The best variant among the treated, tested in both arms: its effect in each, and whether they differ."""
    best = results.top(1)
    if not best.height:
        return []
    at = best.row(0, named=True)
    place = f"{at['chromosome']}:{at['base_pair_location']}-{at['base_pair_location']}"
    rows = association.associate(everybody.keep_variants(in_region(place)), model, executor=Serial()).table
    rows = rows.filter(pl.col("variant_id") == at["variant_id"])
    lines = [f"  {at['variant_id']} in both arms   beta      SE   -log10 p"]
    for row in rows.filter(pl.col("test").str.starts_with("add|") | (pl.col("test") == "add:E")).iter_rows(named=True):
        name = "the arms differ" if row["test"] == "add:E" else row["test"].removeprefix("add|E=")
        if row["code"] is not None:
            lines.append(f"    {name:<18} no estimate: {row['code']}")
            continue
        lines.append(
            f"    {name:<18}{row['beta']:>8.3f}{row['standard_error']:>8.3f}{row['neg_log_10_p_value']:>11.2f}"
        )
    return lines


def _draw(results: Results, trait: str, folder: Path) -> list[Path]:
    from genassoc import plots

    return [
        plots.save_figure(plots.manhattan(results), folder / f"{trait}.manhattan.png"),
        plots.save_figure(plots.qq(results), folder / f"{trait}.qq.png"),
    ]


def _report(trait: str, who: Cohort, results: Results, compared: pl.DataFrame, truth: pl.DataFrame) -> list[str]:
    """Top hits and planted effects, as lines of text."""
    ledger = {(row[0], row[1]): row[2] for row in results.ledger.iter_rows()}
    lines = [
        "",
        f"{trait}: {who.n_samples:,} samples, {ledger[('kept', None)]:,} of {ledger[('read', None)]:,} variants tested "
        f"(left out by {', '.join(f'{reason}: {n:,}' for (status, reason), n in ledger.items() if status == 'dropped')}); "
        f"lambda_GC {results.lambda_gc():.3f}",
        "  top hits               beta      SE   -log10 p   planted?",
    ]
    known = truth.filter(pl.col("trait") == trait)
    for row in results.top(8).iter_rows(named=True):
        near = known.filter(
            (pl.col("chromosome") == row["chromosome"])
            & ((pl.col("base_pair_location") - row["base_pair_location"]).abs() <= LOCUS)
        )
        exact = row["variant_id"] in near["variant_id"].to_list()
        says = "yes, the variant itself" if exact else "in LD with one" if near.height else "no"
        lines.append(
            f"  {row['variant_id']:<20}{row['beta']:>8.3f}{row['standard_error']:>8.3f}"
            f"{row['neg_log_10_p_value']:>11.2f}   {says}"
        )
    units = ", ".join(compared["unit"].unique(maintain_order=True))
    lines.append(f"  planted effects       truth    beta   -log10 p   (best in its locus); truth in {units}")
    for row in compared.sort("effect", descending=True).iter_rows(named=True):
        if row["neg_log_10_p_value"] is None:
            estimate = f"{'-':>8}{'-':>11}"
        else:
            estimate = f"{row['beta']:>8.3f}{row['neg_log_10_p_value']:>11.2f}"
        best = row["lead_neg_log_10_p_value"] or 0.0
        mark = "found" if best >= GENOME_WIDE else "too weak for this cohort"
        lines.append(f"  {row['variant_id']:<20}{row['effect']:>7.3f}{estimate}   ({best:.2f}) {mark}")
    return lines
