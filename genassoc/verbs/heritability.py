"""The verb `heritability`: how much of each trait's variance goes with the genotypes of the store, or with given relationships."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from genassoc.analyses.heritability import (
    N_PROBES,
    Moments,
    Probes,
    deviations,
    groups_of,
    moments_of,
    shares,
    standard_errors,
)
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinship import Given
from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.kinship import Scaling
from genassoc.engine.executors import Executor, Serial, Threads, single_threaded_blas
from genassoc.engine.run import in_order
from genassoc.errors import GenassocError, InputError, PhenotypeError
from genassoc.models.mixed.model import LinearMixed
from genassoc.progress import Progress, Silent
from genassoc.shapes import Float64Array
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.relationships import computed, related
from genassoc.verbs.stores import open_store

if TYPE_CHECKING:
    from genassoc.data.phenotypes.phenotypes import Codes

EXACT_UP_TO = 10_000  # samples: beyond, a decomposition takes too long, and random probes are precise
METHODS = ("auto", "reml", "randomised")


def heritability(
    cohort: Cohort,
    traits: Sequence[str] | str,
    covariates: Sequence[str] | str = (),
    *,
    kinship: Given | None = None,
    method: Literal["auto", "reml", "randomised"] = "auto",
    prevalence: Mapping[str, float] | None = None,
    grm: Scaling = "standardised",
    grm_maf: float = 0.01,
    seed: int = 1,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Estimate the share of each trait's variance that goes with relationships.

    Parameters
    ----------
    cohort : Cohort
        Its samples; of the store all autosomal variants count, whatever variants it selects.
    traits, covariates
        As of `LinearMixed`. A trait of two numbers is taken on the observed scale.
    kinship : path or array, optional
        Relationships of the store's samples, as of `associate`; else those of the store's variants.
    method : {"auto", "reml", "randomised"}
        Exact REML by one eigendecomposition; or moments with random probes, in one pass, whose memory grows with the samples and not their square.
        "auto" takes REML up to 10,000 samples.
    prevalence : mapping of str to float, optional
        Trait -> share of the population who have the disease: adds heritability of the liability (Lee et al. 2011), whose larger
        value is the case.
    grm, grm_maf
        As of `LinearMixed`; random probes are of standardised variants.
    seed : int
        Of the random probes.
    executor, progress : optional

    Returns
    -------
    DataFrame
        trait, h2, standard_error, method ("reml", "he_randomised"), n, with ``prevalence`` h2_liability and standard_error_liability.
        Null where there is no estimate. Estimates of "reml" lie from 0 to 1; those of moments may lie beyond.

    Raises
    ------
    GenassocError
        A trait is absent, constant or no number; no variant is common enough; the matrix does not fit.
    TypeError, ValueError
        An argument is not of its kind.
    """
    check_not_forked()
    check_cohort(cohort, "heritability(cohort, traits)")
    check_executor(executor)
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(map(repr, METHODS))}, not {method!r}")
    model = LinearMixed(traits, covariates, grm=grm, grm_maf=grm_maf)  # type: ignore[arg-type]
    shared = _prevalences(prevalence, model.traits)
    exact = method == "reml" or kinship is not None or (method == "auto" and cohort.n_samples <= EXACT_UP_TO)
    if method == "randomised" and (kinship is not None or grm != "standardised"):
        raise ValueError("method='randomised' is of standardised variants of the store: leave kinship and grm out")
    if exact:
        rows = _exact(related(cohort, model, kinship), model, executor, progress)
    else:
        rows = _randomised(cohort, model, seed, executor, progress)
    table = pl.DataFrame(
        rows,
        schema={"trait": pl.String, "h2": pl.Float64, "standard_error": pl.Float64, "method": pl.String, "n": pl.Int64},
    )
    table = table.with_columns(pl.col("h2", "standard_error").fill_nan(None))
    return _with_liability(table, cohort, model, shared) if shared else table


def heritability_of(
    store: Path, phenotypes: Path, traits: Sequence[str], covariates: Sequence[str] | str, *, covariate_files: Sequence[Path] = (),
    sample_id: str | None = None, missing_codes: "Codes | None" = None, tell: Callable[[str], None] | None = None, **choices: object,
) -> pl.DataFrame:  # fmt: skip
    """`heritability` of files; what is wrong with choices is an `InputError`, and ``tell`` hears what there is to say of the samples."""
    cohort = Cohort.align(open_store(store), phenotypes, sample_id=sample_id, missing_codes=missing_codes)
    for path in covariate_files:
        cohort = cohort.with_covariates(path, missing_codes=missing_codes)
    if tell is not None:
        for note in cohort.notes:
            tell(note)
    try:
        return heritability(cohort, traits, covariates, **choices)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(f"{error}.") from error


def lines_of(table: pl.DataFrame) -> list[str]:
    """Estimates in words, a line a trait."""
    lines = []
    for row in table.iter_rows(named=True):
        share = (
            "no estimate"
            if row["h2"] is None
            else f"h2 {row['h2']:.4f} (standard error {row['standard_error'] or float('nan'):.4f})"
        )
        liability = row.get("h2_liability")
        more = (
            "" if liability is None else f"; of the liability {liability:.4f} ({row['standard_error_liability']:.4f})"
        )
        lines.append(f"{row['trait']}: {share}, {row['method']}, {row['n']:,} samples{more}")
    return lines


def _exact(
    cohort: Cohort, model: LinearMixed, executor: Executor | None, progress: Progress | None
) -> list[dict[str, object]]:
    whole = computed(cohort, model, executor, progress)
    with single_threaded_blas():
        state = model.prepare(whole)
    for note in state.notes:
        logging.getLogger("genassoc").info(note)
    if all(null.rotation is None for null in state.nulls):
        raise PhenotypeError(
            f"too few samples: {max(state.n_by_trait)} have a trait and all covariates, which leaves nothing to estimate a variance from"
        )
    fits = {fit.trait: fit.fit for null in state.nulls for fit in null.fits}
    rows = []
    for at, (trait, n) in enumerate(zip(state.traits, state.n_by_trait)):
        fit = fits.get(at)
        share, error = (np.nan, np.nan) if fit is None else (fit.share, fit.standard_error)
        rows.append({"trait": trait, "h2": share, "standard_error": error, "method": "reml", "n": n})
    return rows


def _randomised(
    cohort: Cohort, model: LinearMixed, seed: int, executor: Executor | None, progress: Progress | None
) -> list[dict[str, object]]:
    """By moments: a pass for each set of samples that traits are observed in."""
    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    observed = ~np.isnan(design.y) & design.complete[:, None]
    rows: dict[int, dict[str, object]] = {}
    shown, workers = progress or Silent(), executor if isinstance(executor, Serial | Threads) else Threads()
    groups = groups_of(cohort)
    for pattern in dict.fromkeys(observed[:, t].tobytes() for t in range(len(design.traits))):
        own = [t for t in range(len(design.traits)) if observed[:, t].tobytes() == pattern]
        here = observed[:, own[0]]
        n = int(here.sum())
        if n <= design.X.shape[1] + 1:
            raise PhenotypeError(
                f"{design.traits[own[0]]}: {n} samples have the trait and all covariates, which is too few"
            )
        columns = np.asarray(cohort.block_columns)[here]
        y = design.y[here][:, own]
        probes = Probes.of(columns, design.X[here], y - y.mean(axis=0), N_PROBES, seed)
        passes = _Passes(cohort, groups, model.grm_maf, workers, shown)
        moments, of_y = passes.one(probes, f"heritability of {len(own)} traits")
        if not any(group.n for group in moments):
            raise GenassocError(
                f"no heritability can be estimated: none of the store's autosomal variants has a minor allele frequency of {model.grm_maf:g} or "
                f"more among {n:,} samples. Lower grm_maf, or give a kinship matrix."
            )
        estimates = shares(moments, probes)
        second = deviations(estimates, probes, of_y)
        again, _ = passes.one(second, f"standard errors of {len(own)} traits")
        h2 = estimates.h2
        error = standard_errors(estimates, second, np.sum([group.quadratic for group in again], axis=0))
        for t, share, se in zip(own, h2, error):
            rows[t] = {
                "trait": design.traits[t],
                "h2": float(share),
                "standard_error": float(se),
                "method": "he_randomised",
                "n": n,
            }
    return [rows[t] for t in range(len(design.traits))]


@dataclass(frozen=True)
class _Passes:
    """Passes over all groups of variants."""

    cohort: Cohort
    groups: Sequence[tuple[tuple[int, int], ...]]
    maf: float
    workers: Serial | Threads
    shown: Progress

    def one(self, probes: Probes, label: str) -> tuple[list[Moments], Float64Array]:
        """The moments of each group, and the sum of z z'y of all (n, T), added up in the order of the groups."""
        moments: list[Moments] = []
        of_y = np.zeros(probes.y.shape)

        def do(group: tuple[tuple[int, int], ...]) -> tuple[Moments, Float64Array]:
            return moments_of(self.cohort, probes, group, self.maf)

        with single_threaded_blas():
            for of_group, part in in_order(
                do, self.groups, self.workers, self.shown, label=label, unit="groups of variants", size=lambda _: 1
            ):
                moments.append(of_group)
                of_y += part
        return moments, of_y


def _prevalences(prevalence: Mapping[str, float] | None, traits: tuple[str, ...]) -> dict[str, float]:
    """Checked.

    Raises
    ------
    ValueError
    """
    shared = dict(prevalence or {})
    for trait, value in shared.items():
        if trait not in traits:
            raise ValueError(f"prevalence names '{trait}', which is no trait here: {', '.join(traits)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1.0:
            raise ValueError(f"prevalence of '{trait}' is a share of the population between 0 and 1, not {value!r}")
    return shared


def _with_liability(
    table: pl.DataFrame, cohort: Cohort, model: LinearMixed, shared: Mapping[str, float]
) -> pl.DataFrame:
    """With h2 of the liability: h2 (K (1 - K))^2 / (z^2 P (1 - P)), K the prevalence, P the share of cases, z the normal density at the threshold.

    Raises
    ------
    PhenotypeError
        The trait has other than two values.
    """
    from scipy.special import ndtri

    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    factors: list[float | None] = []
    for t, trait in enumerate(design.traits):
        if trait not in shared:
            factors.append(None)
            continue
        y = design.y[design.complete, t]
        values = np.unique(y[~np.isnan(y)])
        if values.size != 2:
            raise PhenotypeError(
                f"prevalence is of diseases, and '{trait}' has {values.size:,} different values where a disease has two"
            )
        K, P = shared[trait], float((y[~np.isnan(y)] == values[1]).mean())
        z = float(np.exp(-0.5 * ndtri(K) ** 2) / np.sqrt(2.0 * np.pi))
        factors.append((K * (1.0 - K)) ** 2 / (z * z * P * (1.0 - P)))
    factor = pl.Series(factors, dtype=pl.Float64)
    return table.with_columns(
        h2_liability=pl.col("h2") * factor, standard_error_liability=pl.col("standard_error") * factor
    )
