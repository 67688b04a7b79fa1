"""Meta-analysis of sets of variants from cohorts' score statistics: ``ga.meta_sets``."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs
from genassoc.data.integrity import FileDigest
from genassoc.data.output import check_outputs
from genassoc.data.result_table import table_suffix, write_table
from genassoc.data.score_statistics import SetStatistics
from genassoc.data.sets.places import places_of
from genassoc.data.sets.variant_sets import VariantSets
from genassoc.data.sidecar import write_record
from genassoc.errors import GenassocError, InputError
from genassoc.formats.score_statistics.matching import (
    Findings,
    Matched,
    SetVariants,
    keys_of,
    matched,
    set_variants,
    wanted_places,
)
from genassoc.formats.score_statistics.raremetal import ScoreText, covariances_beside, read_raremetal
from genassoc.formats.score_statistics.tables import ScoreTable, open_scores
from genassoc.models.sets.choices import SetChoices
from genassoc.models.sets.columns import weight_of
from genassoc.models.sets.pooled import Pooled, PooledTest, cohort_burdens, pooled_tests
from genassoc.provenance import Recorder, file_fingerprint
from genassoc.shapes import BoolArray, Float64Array
from genassoc.stats.cauchy import acat
from genassoc.verbs.sets import read_sets

META_SCHEMA: dict[str, pl.DataType] = {
    "set_id": pl.String(), "chromosome": pl.String(), "start": pl.Int64(), "end": pl.Int64(), "mask": pl.String(), "max_maf": pl.Float64(),
    "trait": pl.String(), "test": pl.String(), "n_variants": pl.Int64(), "mac": pl.Float64(), "carriers": pl.Float64(), "beta": pl.Float64(),
    "standard_error": pl.Float64(), "statistic": pl.Float64(), "neg_log_10_p_value": pl.Float64(), "method": pl.String(),
    "code": pl.String(), "n": pl.Int64(), "n_events": pl.Int64(), "n_cohorts": pl.Int64(), "direction": pl.String(),
    "heterogeneity_q": pl.Float64(), "heterogeneity_df": pl.Int64(), "heterogeneity_neg_log_10_p_value": pl.Float64(), "i_squared": pl.Float64(),
}  # fmt: skip
_COVARIANCES_AT_ONCE = 2**24  # numbers of all cohorts' sets that are held together, 128 MB
_ALL = "all"
_MEMBERS = ("set_id", "chromosome", "base_pair_location", "other_allele", "effect_allele", "annotation", "weight")
MONOMORPHIC, UNKNOWN = "monomorphic", "unknown"


@dataclass(frozen=True, eq=False)
class MetaResults:
    """A meta-analysis of sets.

    Attributes
    ----------
    table : DataFrame
        One row a set, mask, bin of frequency, trait and test; columns `META_SCHEMA`. ``carriers`` counts a person once for each variant
        carried; ``direction`` has a sign a cohort, in the order of ``cohorts``; heterogeneity is of the burdens.
    variants : DataFrame
        cohort, set_id, variant_id, finding: variants that were turned, absent, left out.
    cohorts : tuple of str
    notes : tuple of str
    record : mapping
        What was asked of which files.
    """

    table: pl.DataFrame
    variants: pl.DataFrame
    cohorts: tuple[str, ...]
    notes: tuple[str, ...]
    record: Mapping[str, object]

    def scan(self) -> pl.LazyFrame:
        """The table, lazily: what plots take."""
        return self.table.lazy()

    def lines(self) -> list[str]:
        """What is to be told: notes, and the row with the smallest p of each trait."""
        best = self.table.filter(pl.col("neg_log_10_p_value").is_not_null()).sort("neg_log_10_p_value", descending=True)
        rows = best.unique("trait", keep="first", maintain_order=True)
        columns = ("trait", "set_id", "mask", "test", "neg_log_10_p_value")
        smallest = [
            f"{trait}: the smallest p is of {name}, {test}{f', mask {mask}' if mask else ''}: -log10 p = {p:.2f}"
            for trait, name, mask, test, p in rows.select(columns).iter_rows()
        ]
        coded = self.table.drop_nulls("code").group_by("trait", "code", maintain_order=True).len()
        codes = [f"{trait}: {n:,} rows have no p: {code}" for trait, code, n in coded.iter_rows()]
        return [*self.notes, *smallest, *codes]

    def write(self, path: str | Path) -> Path:
        """Write the table (.parquet, .tsv, .tsv.gz), its record, and beside it ``<name>.variants.tsv.gz``: what became of variants."""
        path = Path(path)
        beside = path.with_name(path.name + ".variants.tsv.gz")
        write_table(beside, [self.variants])

        def seal(digest: FileDigest) -> None:
            write_record(path, self.record, digest)

        write_table(path, [self.table], seal=seal)
        return path


@dataclass(frozen=True)
class _Cohort:
    """A file, opened: by sets, or by places."""

    name: str
    file: ScoreTable | ScoreText
    numbers: Mapping[tuple[str, int, str, str], int] | None = None  # of a ScoreText: where each variant is

    def statistics(self, trait: str, sets: Sequence[SetVariants]) -> dict[str, SetStatistics]:
        """Of some sets, those that the cohort has."""
        if isinstance(self.file, ScoreTable):
            return self.file.read(trait, [asked.set_id for asked in sets])
        assert self.numbers is not None
        found = {}
        for asked in sets:
            spelt = [*asked.keys, *((c, at, alt, ref) for c, at, ref, alt in asked.keys)]
            rows = np.array(sorted({self.numbers[key] for key in spelt if key in self.numbers}), dtype=np.int64)
            if rows.size:
                found[asked.set_id] = self.file.take(asked.set_id, trait, rows)
        return found


def meta_sets(
    files: Sequence[str | Path] | Mapping[str, str | Path],
    sets: VariantSets | None = None,
    *,
    trait: str | Mapping[str, str] | None = None,
    tests: Sequence[str] | str = ("burden", "skat", "skato", "acatv", "acato"),
    weights: str = "beta(1,25)",
    max_maf: float | str | Sequence[float] = (0.001, 0.01),
    collapse_below: int = 10,
    absent: str = MONOMORPHIC,
    out: str | Path | None = None,
) -> MetaResults:
    """Burden, SKAT, SKAT-O and ACAT-V of several cohorts together, from their score statistics and covariances.

    Scores and covariances are added (fixed effects: one effect in all cohorts); masks and weights go by the minor allele frequency
    of all cohorts. One cohort gives the score-based rows of `associate_sets`.

    Parameters
    ----------
    files : sequence of paths, or mapping of names to paths
        One a cohort: genassoc's (``associate_sets(scores_out=...)``), or RAREMETALWORKER's ``*.singlevar.score.txt[.gz]`` or rvtests'
        ``*.MetaScore.assoc[.gz]`` with the covariances beside them.
    sets : VariantSets, optional
        Sets, annotations and masks (`read_sets`). By default the sets of genassoc's files, each with all of its variants as the mask "all"
        and one mask an annotation.
    trait : str, or mapping of cohort to str, optional
        Which trait, where files have several; by default each that all have.
    tests, weights, max_maf, collapse_below
        As of `associate_sets`. Very rare variants are added up, since nobody's genotypes are there.
    absent : {"monomorphic", "unknown"}
        What a variant is in a cohort whose file has not got it: nobody's, so that its samples count in the frequency; or not looked at.
    out : path, optional
        Written as by `MetaResults.write`.

    Raises
    ------
    InputError
        A file is no table of score statistics; cohorts have no trait or no set in common.
    """
    choices = SetChoices(tests=tests, weights=weights, max_maf=max_maf, collapse_below=collapse_below)  # type: ignore[arg-type]
    if absent not in (MONOMORPHIC, UNKNOWN):
        raise ValueError(f"absent is '{MONOMORPHIC}' or '{UNKNOWN}', not {absent!r}")
    paths = _named(files)
    if out is not None:
        check_outputs([Path(out)], list(paths.values()))
        table_suffix(Path(out))
    inputs = {name: file_fingerprint(path) for name, path in paths.items()}
    for name, file in inputs.items():
        same = next(other for other, found in inputs.items() if found["sha256"] == file["sha256"])
        if same != name:
            raise InputError(f"{paths[name]} has the very content of {paths[same]}: a cohort would count twice.")
    recorder = Recorder(
        {"tests": list(choices.tests or ()), "weights": weights, "max_maf": list(choices.max_maf), "collapse_below": collapse_below, "absent": absent},
        inputs,
    )  # fmt: skip
    tables = {name: open_scores(path, name) for name, path in paths.items() if path.suffix == ".parquet"}
    asked, masks, contigs, cohorts, notes = _opened(paths, tables, sets)
    findings = Findings()
    rows: list[dict[str, object]] = []
    said: Counter[str] = Counter()
    traits = _traits(cohorts, trait)
    for label, of_cohort in traits:
        for batch in _batches(list(asked.values()), len(cohorts)):
            found = [cohort.statistics(of_cohort[cohort.name], batch) for cohort in cohorts]
            for one in batch:
                parts = [
                    matched(here[one.set_id], one, contigs, cohort.name, findings, exact=isinstance(cohort.file, ScoreTable))
                    if one.set_id in here else None
                    for cohort, here in zip(cohorts, found)
                ]  # fmt: skip
                for cohort, part in zip(cohorts, parts):
                    said[cohort.name] += part is None
                if any(part is not None for part in parts):
                    rows += _set_rows(one, parts, masks, choices, label, absent)
                else:
                    said["none"] += 1
    table = pl.DataFrame(rows, schema=META_SCHEMA)
    n_tests = table["neg_log_10_p_value"].count()
    notes += [f"{name}: {said[name]:,} sets absent" for name in paths if said[name]]
    notes += findings.lines()
    notes.append(
        f"no row of {table.height:,} has a p ({len(asked):,} sets)"
        if not n_tests
        else f"{n_tests:,} tests ({len(asked):,} sets, {len(masks):,} masks, {choices.n_bins} bins, {len(traits)} traits): Bonferroni's bound for 0.05 is "
        f"p = {0.05 / max(n_tests, 1):.2e}"
    )
    notes += _cautions(cohorts)
    record = recorder.finish(cohorts=list(paths), notes=notes)
    result = MetaResults(table, findings.table, tuple(paths), tuple(notes), record)
    if out is not None:
        result.write(out)
    return result


def meta_to_file(
    files: Sequence[str | Path] | Mapping[str, str | Path],
    out: Path,
    *,
    sets: Path | None = None,
    annotations: Path | None = None,
    masks: Path | None = None,
    trait: str | None = None,
    tests: str = "burden,skat,skato,acatv,acato",
    weights: str = "beta(1,25)",
    max_maf: str = "0.001,0.01",
    collapse_below: int = 10,
    absent: str = MONOMORPHIC,
) -> MetaResults:
    """`meta_sets` of files that are named, into a file."""
    named = None if sets is None else read_sets(sets, annotations, masks)
    try:
        return meta_sets(
            files, named, trait=trait, tests=tests, weights=weights, max_maf=max_maf, collapse_below=collapse_below,
            absent=absent, out=out,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error)) from error


def _named(files: Sequence[str | Path] | Mapping[str, str | Path]) -> dict[str, Path]:
    """Cohorts by name: given, or the file's name up to where files differ."""
    if isinstance(files, Mapping):
        paths = {str(name): Path(path) for name, path in files.items()}
    else:
        given = [Path(path) for path in ([files] if isinstance(files, str | Path) else files)]
        names = [path.name.split(".")[0] for path in given]
        paths = {name if names.count(name) == 1 else str(path): path for name, path in zip(names, given)}
        if len(paths) < len(given):
            raise InputError("a file is named twice: a cohort would count twice.")
    if not paths:
        raise InputError("no file of score statistics is named.")
    where: dict[Path, str] = {}
    for name, path in paths.items():
        if not path.is_file():
            raise InputError(f"{path} is a folder, not a file." if path.is_dir() else f"there is no file {path}.")
        first = where.setdefault(path.resolve(), name)
        if first != name:
            raise InputError(f"{first} and {name} are the same file, {path}: a cohort would count twice.")
        if path.suffix != ".parquet" and covariances_beside(path) is None:
            raise InputError(
                f"{path} is neither genassoc's score statistics (.parquet) nor named as RAREMETALWORKER's (*.singlevar.score.txt[.gz]) or rvtests' "
                "(*.MetaScore.assoc[.gz]) are, by which the covariances beside them are found."
            )
    return paths


def _opened(
    paths: Mapping[str, Path], tables: Mapping[str, ScoreTable], sets: VariantSets | None
) -> tuple[dict[str, SetVariants], dict[str, frozenset[str] | None], Contigs, list[_Cohort], list[str]]:
    """What the sets are, their masks, and the cohorts' files."""
    notes: list[str] = []
    if sets is None:
        if not tables:
            raise InputError("these files do not say which variants are a set: name the sets too (sets=, --sets).")
        members = pl.concat(
            [
                pl.scan_parquet(table.path, glob=False).select(_MEMBERS).unique(maintain_order=True).collect()
                for table in tables.values()
            ]
        )
        masks: dict[str, frozenset[str] | None] = {_ALL: None}
        masks |= {
            name: frozenset([name])
            for name in sorted(
                {part for name in members["annotation"].drop_nulls().unique() for part in name.split("&")}
            )
        }
    else:
        members, notes = _members(sets)
        masks = {name: frozenset(of) for name, of in sets.masks.items()} or {_ALL: None}
    texts: dict[str, ScoreText] = {}
    names = set(members["chromosome"].unique().to_list())

    def reach_of(variants: pl.DataFrame) -> dict[int, tuple[int, int]]:
        here = Contigs.of([*sorted(names), *variants["chromosome"].unique().to_list()])
        wanted = wanted_places(set_variants(members, here))
        return {k: wanted[key] for k, key in enumerate(keys_of(variants, here)) if key in wanted}

    for name, path in paths.items():
        if name not in tables:
            texts[name] = read_raremetal(path, reach_of, name)
            notes += [f"{name}: {n:,} variants {why}, not used" for why, n in texts[name].skipped.items()]
    spelt = [one.variants["chromosome"].unique().to_list() for one in texts.values()]
    spelt += [one.sets["chromosome"].unique().to_list() for one in tables.values()]
    contigs = Contigs.of(sorted({*names, *(name for some in spelt for name in some)}))
    cohorts = []
    for name in paths:
        if name in tables:
            cohorts.append(_Cohort(name, tables[name]))
        else:
            keys = keys_of(texts[name].variants, contigs)
            cohorts.append(_Cohort(name, texts[name], {key: k for k, key in reversed(list(enumerate(keys)))}))
    return set_variants(members, contigs), masks, contigs, cohorts, notes


def _members(sets: VariantSets) -> tuple[pl.DataFrame, list[str]]:
    """The variants of sets by place and alleles; what is named otherwise is counted."""
    table = sets.table.with_columns(pl.col("set_id", "annotation").cast(pl.String))
    weight = pl.col(sets.weights[0]).cast(pl.Float64) if sets.weights else pl.lit(None, pl.Float64)
    members = pl.concat([table, places_of(table["variant"])], how="horizontal").select(
        "set_id", pl.col("chromosome").cast(pl.String), pl.col("position").alias("base_pair_location"), pl.col("ref").alias("other_allele"),
        pl.col("alt").alias("effect_allele"), "annotation", weight.alias("weight"),
    )  # fmt: skip
    placed = members.filter(pl.col("base_pair_location").is_not_null())
    lost = members.height - placed.height
    if not placed.height:
        raise InputError(
            f"{sets.source}: no variant is named by chromosome, position and alleles (1:100:A:C), by which cohorts' variants are found."
        )
    return placed, [
        f"{sets.source}: {lost:,} variants are not named by chromosome, position and alleles: left out"
    ] if lost else []


def _traits(cohorts: Sequence[_Cohort], asked: str | Mapping[str, str] | None) -> list[tuple[str, dict[str, str]]]:
    """Names of traits, and what each cohort calls it; a file without names has the one that is asked for."""
    known = {cohort.name: cohort.file.traits for cohort in cohorts if isinstance(cohort.file, ScoreTable)}
    if asked is None:
        if not known:
            return [("trait", {cohort.name: "trait" for cohort in cohorts})]
        shared = [name for name in next(iter(known.values())) if all(name in names for names in known.values())]
        if not shared:
            raise InputError(
                "the files have no trait in common: "
                + "; ".join(f"{name} has {', '.join(of[:8])}" for name, of in known.items())
                + ". Say which it is in each: trait={cohort: name}."
            )
        if len(shared) > 1 and len(known) < len(cohorts):
            raise InputError(
                f"which of the traits {', '.join(shared[:8])} is that of the text files is not known: choose one (trait=, --trait)."
            )
        return [(name, {cohort.name: name for cohort in cohorts}) for name in shared]
    of = {cohort.name: asked if isinstance(asked, str) else asked.get(cohort.name, "") for cohort in cohorts}
    for name, traits in known.items():
        if of[name] not in traits:
            raise InputError(f"{name} has no trait '{of[name]}'; it has {', '.join(traits[:8])}.")
    return [(asked if isinstance(asked, str) else next(iter(asked.values())), of)]


def _batches(sets: list[SetVariants], n_cohorts: int) -> Iterator[list[SetVariants]]:
    """Sets whose covariances are held together."""
    batch: list[SetVariants] = []
    held = 0
    for asked in sets:
        size = n_cohorts * len(asked.keys) ** 2
        if batch and held + size > _COVARIANCES_AT_ONCE:
            yield batch
            batch, held = [], 0
        batch.append(asked)
        held += size
    if batch:
        yield batch


def _set_rows(
    asked: SetVariants, parts: Sequence[Matched | None], masks: Mapping[str, frozenset[str] | None], choices: SetChoices, trait: str, absent: str
) -> list[dict[str, object]]:  # fmt: skip
    """All rows of a set and trait."""
    pooled, frequency = _pooled(parts, absent)
    weights = _weights(asked, pooled, choices)
    rows: list[dict[str, object]] = []
    tests = [test for test in choices.tests or () if test != "acato"]
    for name, annotations in masks.items():
        ours = np.array([annotations is None or bool(annotations & of) for of in asked.annotations])
        for bound in choices.max_maf:
            chosen = ours & (frequency > 0) & (pooled.maf <= bound)
            if chosen.any():
                rows += _rows(
                    asked,
                    chosen,
                    pooled.take(chosen),
                    weights[chosen],
                    choices,
                    tests,
                    {"mask": name, "max_maf": bound, "trait": trait},
                )
    if "acato" in (choices.tests or ()) and rows:
        p = np.array([row["neg_log_10_p_value"] for row in rows], dtype=np.float64)
        together = float(acat(p))
        everything = pooled.take((pooled.maf > 0) & (pooled.maf <= max(choices.max_maf)))
        made = (
            PooledTest("acato", neg_log_10_p=together, method="cauchy")
            if np.isfinite(together)
            else PooledTest("acato", code=str(rows[0]["code"]))
        )
        rows.append(
            _row(asked, everything, made)
            | {"mask": None, "max_maf": None, "trait": trait, "n_cohorts": rows[0]["n_cohorts"]}
        )
    return rows


def _pooled(parts: Sequence[Matched | None], absent: str) -> tuple[Pooled, Float64Array]:
    """The cohorts side by side, in the allele that is rarer in all of them; and the number of alleles of it."""
    m = next(part.U.size for part in parts if part is not None)
    n_alleles, n_alt = np.zeros(m), np.zeros(m)
    for part in parts:
        if part is not None:
            n_alleles += np.nan_to_num(part.allele_number)
            n_alt += np.nan_to_num(part.allele_count)
            if absent == MONOMORPHIC:
                seen = part.allele_number[part.present]
                n_alleles += np.where(part.present, 0.0, seen.max(initial=0.0) or 2.0 * part.n)
    frequency = np.divide(n_alt, n_alleles, out=np.zeros(m), where=n_alleles > 0)
    turned = frequency > 0.5
    mac = np.where(turned, n_alleles - n_alt, n_alt)
    sign = np.where(turned, -1.0, 1.0)
    here = [part for part in parts if part is not None]
    U = np.stack([np.zeros(m) if part is None else sign * part.U for part in parts])
    V = np.stack([np.zeros((m, m)) if part is None else sign[:, None] * part.V * sign for part in parts])
    carriers = sum((np.where(part.present, part.n_carriers, 0.0) for part in here), np.zeros(m))
    events = sum((np.where(part.present, part.n_event_carriers, 0.0) for part in here), np.zeros(m))
    known = [part.n_events for part in here]
    n_events = None if any(n is None for n in known) else sum(n for n in known if n is not None)
    maf = np.minimum(frequency, 1.0 - frequency)
    return Pooled(
        U,
        V,
        mac,
        maf,
        carriers,
        events,
        sum(part.n for part in here),
        n_events,
    ), mac


def _weights(asked: SetVariants, pooled: Pooled, choices: SetChoices) -> Float64Array:
    if not choices.weighs_by_column:
        return weight_of(pooled.maf, choices)
    if asked.weights is None or not np.isfinite(asked.weights).all() or (asked.weights < 0).any():
        raise GenassocError(
            f"set {asked.set_id}: a variant has no weight of at least 0, so it is not known how much it counts; choose other weights."
        )
    return asked.weights


def _rows(
    asked: SetVariants, chosen: BoolArray, pooled: Pooled, weights: Float64Array, choices: SetChoices, tests: Sequence[str],
    label: dict[str, object],
) -> list[dict[str, object]]:  # fmt: skip
    between = cohort_burdens(pooled, weights)
    of_burden = {
        "n_cohorts": int(np.isfinite(between.beta).sum()), "direction": between.direction, "heterogeneity_q": between.between.Q,
        "heterogeneity_df": between.between.df, "heterogeneity_neg_log_10_p_value": _or_none(between.between.neg_log_10_p),
        "i_squared": _or_none(between.between.I2),
    }  # fmt: skip
    kept = [asked.keys[k][1] for k in np.flatnonzero(chosen)]
    place = {"start": min(kept), "end": max(kept)}
    return [
        _row(asked, pooled, made) | place | of_burden | label for made in pooled_tests(pooled, weights, choices, tests)
    ]


def _row(asked: SetVariants, pooled: Pooled, made: PooledTest) -> dict[str, object]:
    carriers = pooled.n_carriers.sum()
    return {
        "set_id": asked.set_id, "chromosome": asked.names[0].rsplit("_", 3)[0], "start": asked.keys[0][1], "end": asked.keys[-1][1],
        "test": made.test, "n_variants": pooled.mac.size, "mac": float(pooled.mac.sum()), "carriers": _or_none(carriers),
        "beta": _or_none(made.beta), "standard_error": _or_none(made.standard_error), "statistic": _or_none(made.statistic),
        "neg_log_10_p_value": _or_none(made.neg_log_10_p), "method": made.method, "code": made.code, "n": pooled.n, "n_events": pooled.n_events,
    }  # fmt: skip


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _cautions(cohorts: Sequence[_Cohort]) -> list[str]:
    """What these files cannot tell."""
    text = {cohort.name: cohort.file.variants["n_events"] for cohort in cohorts if isinstance(cohort.file, ScoreText)}
    told = [name for name, events in text.items() if events.null_count() < events.len()]
    quantitative = [name for name in text if name not in told]
    notes = []
    if quantitative:
        notes.append(
            f"{', '.join(quantitative)}: the text says of no cases, and is taken for that of a quantitative trait: of a disease with few cases the p "
            "of rare variants may be too small"
        )
    if told:
        notes.append(
            f"{', '.join(told)}: of a binary trait; the text does not adjust variances, as genassoc's scores do: the p of rare variants may be too small"
        )
    return notes
