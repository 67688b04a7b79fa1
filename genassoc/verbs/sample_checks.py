"""Checks of samples: sex as the calls tell it, and outliers of heterozygosity."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from genassoc.analyses.sex_check import SexCalls, SexSums
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import X, Y
from genassoc.data.cohort.dosed_variants import dosage_notes, variants_on
from genassoc.data.cohort.ploidy import FEMALE, MALE
from genassoc.data.cohort.sample_checks import SampleCheck
from genassoc.data.forks import check_not_forked
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.passes import run_passes
from genassoc.engine.plan import Plan
from genassoc.errors import GenassocError, InputError
from genassoc.progress import Progress, Silent
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.quality import sample_qc

FEMALE_MAX_F, MALE_MIN_F = 0.2, 0.8  # PLINK's
LEAST_CALLS = 20  # of a chromosome, before anything is said of a sample
Y_SHARE = 0.5  # of the calls on Y that males have: more are a male's, fewer are errors
MAD_TO_SD = 1.4826  # of a normal distribution
SEX_CONFLICT, SEX_UNCLEAR, HETEROZYGOSITY = "sex_conflict", "sex_unclear", "heterozygosity"
_NAMES = {MALE: "male", FEMALE: "female"}


def check_sex(
    cohort: Cohort,
    *,
    female_max_f: float = FEMALE_MAX_F,
    male_min_f: float = MALE_MIN_F,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SampleCheck:
    """The sex that calls on X and Y tell, beside the one that is stated.

    F on X (as PLINK's --check-sex) is ``1 - O(het) / E(het)`` over the polymorphic variants that the cohort keeps, outside the
    pseudo-autosomal regions: about 0 in females, 1 in males. Calls are those of the file: what a stated sex makes impossible is not
    taken away, and no number depends on the sex stated. Variants in approximate linkage equilibrium (`ld_prune` with
    ``all_chromosomes=True``) and not too rare make F precise.

    Parameters
    ----------
    cohort : Cohort
        Its sex may be stated (``sex=`` of `Cohort.align`) or not.
    female_max_f, male_min_f : float
        Below is female, above is male; between is unclear.
    executor, progress
        As of `associate`.

    Returns
    -------
    SampleCheck
        ``cohort.keep_samples(check)`` leaves out those in conflict. Columns: sample_id, stated_sex (1 male, 2 female, null not stated), n_x
        (polymorphic variants observed), het_x, f, n_y (observed on Y; null without Y), y_rate, genetic_sex (1, 2, null unclear), keep,
        reason ("sex_conflict"; "sex_unclear", which is kept) and detail.

    Raises
    ------
    InputError
        No variant on X, or none that is polymorphic.

    Notes
    -----
    Where Y has 20 variants or more, and some samples are males by F, calls on more than half of what the median male has are a male's. A
    sample whose X and Y disagree (XXY, X0, or contamination) is unclear.
    """
    check_not_forked()
    check_cohort(cohort, "check_sex(cohort)")
    check_executor(executor)
    if not -1.0 <= female_max_f <= male_min_f <= 1.0:
        raise InputError(
            f"female_max_f is {female_max_f} and male_min_f is {male_min_f}; they must ascend within -1 to 1"
        )
    found = _sums(replace(cohort, sex=None), executor or Threads(), progress or Silent())
    columns = cohort.block_columns
    n_x, het, f = found.on_x.n[columns], found.on_x.het[columns], found.on_x.f[columns]
    n_y = found.on_y[columns, :3].sum(axis=1)
    all_y = int(found.on_y[0].sum())
    enough = n_x >= LEAST_CALLS
    by_x = np.where(f > male_min_f, MALE, np.where(f < female_max_f, FEMALE, 0)) * enough
    notes = _notes(cohort, found, n_x, female_max_f, male_min_f)
    on_y, y_note = _males_by_y(n_y, all_y, by_x)
    against = np.zeros(n_x.size, bool) if on_y is None else (on_y != (by_x == MALE)) & (by_x > 0)
    genetic = np.where(against, 0, by_x)
    stated = np.zeros(n_x.size, np.int64) if cohort.sex is None else cohort.sex.astype(np.int64)
    conflict = (stated > 0) & (genetic > 0) & (stated != genetic)
    details = [
        _detail(float(f[i]), int(n_x[i]), int(n_y[i]), all_y, bool(against[i]), int(by_x[i]), int(stated[i]))
        if conflict[i] or genetic[i] == 0
        else None
        for i in range(n_x.size)
    ]
    table = pl.DataFrame(
        {
            "sample_id": pl.Series([str(name) for name in cohort.sample_ids], dtype=pl.String),
            "stated_sex": pl.Series(stated).replace(0, None),
            "n_x": n_x,
            "het_x": het,
            "f": pl.Series(f).fill_nan(None),
            "n_y": pl.Series(n_y) if all_y else pl.Series([None] * n_y.size, dtype=pl.Int64),
            "y_rate": n_y / all_y if all_y else pl.Series([None] * n_y.size, dtype=pl.Float64),
            "genetic_sex": pl.Series(genetic.astype(np.int64)).replace(0, None),
            "keep": ~conflict,
            "reason": pl.Series(
                [SEX_CONFLICT if c else SEX_UNCLEAR if g == 0 else None for c, g in zip(conflict, genetic)],
                dtype=pl.String,
            ),
            "detail": pl.Series(details, dtype=pl.String),
        }
    )
    return SampleCheck(table, "sex check", (*notes, *y_note))


def _sums(cohort: Cohort, executor: Executor, progress: Progress) -> SexSums:
    """Calls on X and Y as they were read.

    Raises
    ------
    InputError
        There is none to look at.
    """
    runs = [
        (contig, first, last)
        for contig, first, last in cohort.store.contig_runs()
        if cohort.contigs.chromosomes.get(contig) in (X, Y)
    ]
    if not any(cohort.contigs.chromosomes.get(contig) == X for contig, _, _ in runs):
        raise InputError(
            f"the sex check needs variants on X, and {cohort.store.path} has none: convert the genotypes of X too"
            if hasattr(cohort.store, "path")
            else "the sex check needs variants on X, and the store has none"
        )
    try:
        found = run_passes(SexCalls(), cohort, Plan.by_block(runs, cohort.store.block_variants), executor, progress)
    except GenassocError as error:
        if "no variant is left" not in str(error):
            raise
        raise InputError(f"the sex check needs variants on X: {error}") from error
    if found.on_x.total[0] == 0:
        raise InputError(
            "no variant on X outside the pseudo-autosomal regions differs between the samples, so that F cannot be computed: are they few, "
            "or do filters of variants leave none?"
        )
    return found


def _of_dosages(cohort: Cohort, chosen: Callable[[str], bool]) -> list[str]:
    """A note that variants on the contigs chosen have dosages."""
    return dosage_notes(cohort, variants_on(cohort, chosen), "variants there") if cohort.has_dosages else []


def _notes(cohort: Cohort, found: SexSums, n_x: Array, female_max_f: float, male_min_f: float) -> list[str]:
    """How sure F is, and what is not known."""
    n, error = int(found.on_x.counts[0].sum()), found.on_x.error_of_f
    notes = [f"F over {n:,} polymorphic variants of X outside the pseudo-autosomal regions"]
    notes += _of_dosages(cohort, lambda contig: cohort.contigs.chromosomes.get(contig) in (X, Y))
    if 3.0 * error > min(female_max_f, male_min_f - female_max_f):
        notes.append(
            f"F is imprecise: of a female its standard error is {error:.2g} at least (more under LD), so that some females exceed "
            f"{female_max_f:g}; more variants of X, or commoner ones, help"
        )
    if cohort.sex is None:
        notes.append("no sex is stated (sex=, --sex): genetic_sex is what the calls tell, and nothing is compared")
    elif (unknown := int((cohort.sex == 0).sum())) > 0:
        notes.append(f"the sex of {unknown:,} samples is not stated: genetic_sex is what their calls tell")
    if cohort.sex is not None and {int(code) for code in np.unique(cohort.sex)} in ({MALE}, {FEMALE}):
        notes.append(f"all samples are stated to be {_NAMES[int(cohort.sex[0])]}")
    if n >= LEAST_CALLS and (few := int((n_x < LEAST_CALLS).sum())) > 0:
        notes.append(
            f"{few:,} samples have fewer than {LEAST_CALLS} calls on X: half calls (0/.) of males count as not observed here; if the file "
            "writes these, convert it again with --half-calls haploid"
        )
    if cohort.ploidy.build is None:
        notes.append(
            "the genome build is not known: variants are used that are outside the pseudo-autosomal regions of all builds"
        )
    return notes


def _males_by_y(n_y: Array, all_y: int, by_x: Array) -> tuple[BoolArray | None, list[str]]:
    """Who has calls on Y as males by F have, (N,); None where Y tells nothing, with the reason."""
    if all_y < LEAST_CALLS:
        few = f"Y has {all_y} variants, too few to tell" if all_y else "no variant on Y"
        return None, [f"{few}: sexes are told from X alone"]
    males = n_y[by_x == MALE]
    usual = float(np.median(males)) if males.size else 0.0
    if usual < LEAST_CALLS:
        why = "nobody is male by F" if not males.size else f"males by F have fewer than {LEAST_CALLS} calls there"
        return None, [f"{all_y:,} variants on Y, but {why}: sexes are told from X alone"]
    return np.asarray(n_y > Y_SHARE * usual), [
        f"{all_y:,} variants on Y: calls on more than {Y_SHARE * usual:,.0f} of them are a male's"
    ]


def _detail(f: float, n_x: int, n_y: int, all_y: int, against: bool, by_x: int, stated: int) -> str:
    if n_x < LEAST_CALLS:
        return f"{n_x} calls on X, too few to tell"
    seen = f"F {f:.3f} on X" + (f", {n_y:,} of {all_y:,} calls on Y" if all_y else "")
    if against:
        return f"{seen}: X is a {_NAMES[by_x]}'s, Y is not"
    return f"stated {_NAMES[stated]}, {seen}" if by_x and stated else seen


def check_heterozygosity(
    cohort: Cohort,
    *,
    limit: float = 3.0,
    robust: bool = False,
    by: str | None = None,
    covariates: Sequence[str] = (),
    quality: pl.DataFrame | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SampleCheck:
    """Samples whose heterozygosity is out of line: contaminated ones have too much, inbred ones and bad DNA too little.

    F of `sample_qc` (PLINK's --het: ``1 - O(het) / E(het)`` over polymorphic autosomal variants), less its mean, in standard deviations.

    Parameters
    ----------
    cohort : Cohort
    limit : float
        Standard deviations from the mean beyond which a sample is an outlier.
    robust : bool
        The median and 1.4826 times the median absolute deviation in place of mean and standard deviation, which outliers inflate.
    by : str, optional
        Column of the phenotypes: each of its groups is judged by itself. Populations differ in F where frequencies are those of all.
    covariates : sequence of str
        Numeric columns (principal components; "PC1:PC4" for a run of them): F is judged after a regression on them and their squares.
    quality : DataFrame, optional
        What `sample_qc` gave for these samples, if it is there already.
    executor, progress
        As of `associate`.

    Returns
    -------
    SampleCheck
        ``cohort.keep_samples(check)`` leaves outliers out. Columns: those of `sample_qc`, then z (null where it cannot be told), keep,
        reason ("heterozygosity") and detail.

    Raises
    ------
    InputError, PhenotypeError
        No polymorphic autosomal variant; a column that is not there, or not of numbers.
    """
    check_not_forked()
    check_cohort(cohort, "check_heterozygosity(cohort)")
    if not limit > 0.0:
        raise InputError(f"limit is {limit}; it must be above 0 standard deviations")
    table = sample_qc(cohort, executor=executor, progress=progress) if quality is None else _of_cohort(quality, cohort)
    f = table["f"].fill_null(np.nan).to_numpy()
    if not np.isfinite(f).any():
        raise InputError("no autosomal variant differs between the samples, so that F cannot be computed")
    notes = _of_dosages(cohort, cohort.contigs.autosomal)
    level = f
    if covariates:
        level = _regressed(f, cohort, covariates, notes)
    groups = np.full(f.size, "", dtype=object) if by is None else _groups(cohort, by, notes)
    z = np.full(f.size, np.nan)
    for group in dict.fromkeys(groups):
        if group is not None:
            z[groups == group] = _standardised(level[groups == group], robust)
            if not np.isfinite(z[groups == group]).any():
                notes.append(
                    f"{f'group {group} of {by}' if by else 'the cohort'} has too few different samples to judge any by"
                )
    unclear = int((~np.isfinite(z)).sum())
    if unclear:
        notes.append(f"{unclear:,} samples cannot be judged, and are kept")
    out = np.abs(np.nan_to_num(z)) > limit
    measure = "MAD x 1.4826 of the median" if robust else "SD of the mean"
    notes.insert(
        0, f"outliers are beyond {limit:g} {measure}" + (f" of {by}" if by else "") + f" ({_spread(level, robust)})"
    )
    details = [f"F {f[i]:.3f}, {z[i]:+.1f} {'MAD' if robust else 'SD'}" if out[i] else None for i in range(f.size)]
    judged = table.with_columns(
        z=pl.Series(z).fill_nan(None),
        keep=pl.Series(~out),
        reason=pl.Series([HETEROZYGOSITY if o else None for o in out], dtype=pl.String),
        detail=pl.Series(details, dtype=pl.String),
    )
    return SampleCheck(judged, "heterozygosity", tuple(notes))


def judged(cohort: Cohort, quality: pl.DataFrame, limit: float) -> SampleCheck:
    """A table of `sample_qc` with its outliers, as `check_heterozygosity`; of nobody where no autosomal variant is polymorphic, which is said."""
    if quality["f"].is_not_null().any():
        return check_heterozygosity(cohort, limit=limit, quality=quality)
    none = pl.lit(None, dtype=pl.String)
    table = quality.with_columns(z=pl.lit(None, dtype=pl.Float64), keep=True, reason=none, detail=none)
    return SampleCheck(
        table,
        "heterozygosity",
        ("no autosomal variant differs between the samples: F cannot be computed, nobody is judged",),
    )


def _of_cohort(quality: pl.DataFrame, cohort: Cohort) -> pl.DataFrame:
    """A table of `sample_qc` with the cohort's samples in their order."""
    if not {"sample_id", "f"} <= set(quality.columns):
        raise InputError(
            f"quality has the columns {quality.columns}; a table of sample_qc, with sample_id and f, is needed"
        )
    wanted = pl.DataFrame({"sample_id": pl.Series([str(name) for name in cohort.sample_ids], dtype=pl.String)})
    joined = wanted.join(quality.unique("sample_id"), on="sample_id", how="left", maintain_order="left")
    if (lacking := wanted.height - wanted.join(quality, on="sample_id", how="semi").height) > 0:
        raise InputError(
            f"quality lacks {lacking:,} of the cohort's {wanted.height:,} samples: call sample_qc on this cohort"
        )
    return joined


def _groups(cohort: Cohort, by: str, notes: list[str]) -> Array:
    """The group of each sample, None where it is missing."""
    if by not in cohort.phenotypes.columns:
        raise InputError(
            f"by = {by!r} is no column of the phenotypes ({', '.join(cohort.phenotypes.columns[:10])}, ...)"
        )
    values = cohort.phenotypes.table[by].gather(cohort.rows).cast(pl.String).to_list()
    if (lacking := sum(value is None for value in values)) > 0:
        notes.append(f"{by} is missing in {lacking:,} samples")
    return np.array(values, dtype=object)


def _regressed(f: Float64Array, cohort: Cohort, covariates: Sequence[str], notes: list[str]) -> Float64Array:
    """What a regression on covariates and their squares leaves of F; NaN where one is missing."""
    names = [covariates] if isinstance(covariates, str) else list(covariates)
    design = cohort.design((), names)
    level = np.full(f.size, np.nan)
    X = np.column_stack([design.X, design.X[:, 1:] ** 2])
    known = design.complete & np.isfinite(f)
    if known.sum() <= X.shape[1] + 1:
        raise InputError(
            f"{int(known.sum())} samples with F and all covariates are too few to regress F on {X.shape[1] - 1} columns"
        )
    level[known] = f[known] - X[known] @ np.linalg.lstsq(X[known], f[known], rcond=None)[0]
    notes.append(f"F is judged after a regression on {', '.join(design.covariates[1:])} and their squares")
    notes += [f"{dropped} is left out of that regression" for dropped in design.dropped_covariates]
    return level


def _standardised(values: Float64Array, robust: bool) -> Float64Array:
    """Values less their centre, over their spread; NaN where there are too few or all are the same."""
    known = values[np.isfinite(values)]
    if known.size < 3:
        return np.full(values.size, np.nan)
    centre = np.median(known) if robust else known.mean()
    spread = MAD_TO_SD * np.median(np.abs(known - centre)) if robust else known.std(ddof=1)
    if not spread > 1e-12:  # of rounding, where all are the same
        return np.full(values.size, np.nan)
    return np.asarray((values - centre) / spread)


def _spread(values: Float64Array, robust: bool) -> str:
    known = values[np.isfinite(values)]
    if robust:
        centre = np.median(known)
        return f"F: median {centre:.3f}, spread {MAD_TO_SD * np.median(np.abs(known - centre)):.2g}"
    return f"F: mean {known.mean():.3f}, SD {known.std(ddof=1) if known.size > 1 else float('nan'):.2g}"
