"""The frame made of a cohort: null models of each trait, and groups of traits that share samples and folds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
from genassoc.analyses.whole_genome.folds import Folds, drawn, in_store_order
from genassoc.analyses.whole_genome.frame import Frame, SampleGroup, TraitFailure, TraitNull
from genassoc.analyses.whole_genome.outcomes import OUTCOMES
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.errors import InputError, PhenotypeError
from genassoc.shapes import BoolArray, Int64Array
from genassoc.stats.linalg import orthonormal_basis

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

LEAST_SAMPLES = 30  # beside the covariates: of fewer, cross-validation chooses a penalty by chance
DEFAULT_FOLDS = 5
LEAVE_ONE_OUT_BELOW = 50  # cases, or controls


def make_frame(cohort: "Cohort", choices: WholeGenomeRegression) -> Frame:
    """The frame of a regression, without its blocks of variants.

    Parameters
    ----------
    cohort : Cohort
    choices : WholeGenomeRegression

    Raises
    ------
    PhenotypeError
        A trait or covariate is not there; or no trait can be fitted, which is said of each.
    """
    outcome = OUTCOMES[choices.outcome]
    cohort = with_case_values(replace(cohort, offsets=None), choices.case_value)
    names = cohort.phenotypes.resolve(choices.traits, "trait")
    check_once(names)
    design = cohort.design((), choices.covariates)
    nulls: list[TraitNull] = []
    failures: list[TraitFailure] = []
    for name in names:
        try:
            nulls.append(_checked(outcome.null(cohort, choices, name)))
        except PhenotypeError as error:
            failures.append(TraitFailure(name, str(error)))
    groups: list[SampleGroup] = []
    union = np.logical_or.reduce([null.observed for null in nulls]) if nulls else np.zeros(cohort.n_samples, bool)
    for samples, n_folds, members in _sharing(nulls, union, choices):
        X = design.X[samples]
        try:
            order, folds = _folds_of(members, samples, n_folds, choices)
        except PhenotypeError as error:
            failures += [TraitFailure(null.name, str(error)) for null in members]
            continue
        placed = [null.take(samples[order]) for null in members]
        sound = [(null, _fault_of_folds(null, folds)) for null in placed]
        failures += [TraitFailure(null.name, fault) for null, fault in sound if fault]
        kept = tuple(null for null, fault in sound if not fault)
        if kept:
            groups.append(
                SampleGroup(
                    samples=samples[order],
                    columns=cohort.block_columns[samples[order]],
                    folds=folds,
                    Q=np.ascontiguousarray(orthonormal_basis(X[order]).Q, dtype=np.float32),
                    nulls=kept,
                    working=np.column_stack([null.working for null in kept]).astype(np.float32),
                )
            )
    if not groups:
        reasons = "; ".join(f"{failure.name}: {failure.reason}" for failure in failures)
        raise PhenotypeError(f"no trait can be fitted. {reasons}")
    notes = [note for group in groups for null in group.nulls for note in null.notes]
    notes += [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    notes += [f"{failure.name} is left out: {failure.reason}" for failure in failures]
    return Frame(
        choices=choices,
        groups=tuple(groups),
        failures=tuple(failures),
        columns=np.unique(np.concatenate([group.columns for group in groups])),
        width=cohort.block_width,
        notes=tuple(dict.fromkeys(notes)),
    )


def check_once(traits: Sequence[str]) -> None:
    """Refuse traits of which one is named twice: files and tables have one prediction of each.

    Raises
    ------
    PhenotypeError
    """
    twice = [name for name, n in Counter(traits).items() if n > 1]
    if twice:
        raise PhenotypeError(f"traits named twice: {', '.join(map(repr, twice))}; name each trait once")


def _checked(null: TraitNull) -> TraitNull:
    n = int(np.count_nonzero(null.observed))
    least = LEAST_SAMPLES + null.n_covariates
    if n < least:
        raise PhenotypeError(
            f"{n:,} samples have the trait '{null.name}' and all covariates; a whole-genome regression with {null.n_covariates} columns "
            f"of covariates needs {least}: of fewer it predicts nothing. Leave it out, or give more samples"
        )
    return null


def _sharing(
    nulls: Sequence[TraitNull], union: BoolArray, choices: WholeGenomeRegression
) -> list[tuple[Int64Array, int, list[TraitNull]]]:
    """Samples, number of folds (0: leave one out) and traits of each group.

    Traits that few samples lack share the samples that any of these traits has; another shares its samples with those of the very same.
    """
    n_union = max(int(np.count_nonzero(union)), 1)
    found: dict[tuple[int, bytes], list[TraitNull]] = {}
    for null in nulls:
        lacks = 1.0 - np.count_nonzero(null.observed) / n_union
        apart = null.observed.tobytes() if lacks > choices.exact_above else b""
        found.setdefault((_n_folds(null, choices), apart), []).append(null)
    return [
        (np.flatnonzero(np.logical_or.reduce([null.observed for null in members])), n_folds, members)
        for (n_folds, _), members in found.items()
    ]


def _n_folds(null: TraitNull, choices: WholeGenomeRegression) -> int:
    if choices.folds == "loocv":
        return 0
    if choices.folds != "auto":
        return int(choices.folds)
    strata = null.strata
    few = strata is not None and min(np.count_nonzero(strata == 0), np.count_nonzero(strata == 1)) < LEAVE_ONE_OUT_BELOW
    return 0 if few else DEFAULT_FOLDS


def _folds_of(
    members: Sequence[TraitNull], samples: Int64Array, n_folds: int, choices: WholeGenomeRegression
) -> tuple[Int64Array, Folds]:
    """Samples in fold order (numbers among ``samples``), and the folds."""
    n = samples.size
    if n_folds == 0:
        return np.arange(n, dtype=np.int64), Folds(np.array([0, n], dtype=np.int64), leave_one_out=True)
    if n < 2 * n_folds:
        raise PhenotypeError(f"{n} samples make no {n_folds} folds: choose fewer folds, or folds='loocv'")
    if choices.fold_order == "store":
        return in_store_order(n, n_folds)
    strata = [null.strata[samples] for null in members if null.strata is not None]
    return drawn(n, n_folds, choices.seed, strata)


def _fault_of_folds(null: TraitNull, folds: Folds) -> str:
    """Why a trait cannot be cross-validated with these folds; "" where it can."""
    if folds.leave_one_out:
        return ""
    for k, (a, b) in enumerate(folds.segments):
        values = null.response[a:b, -1][null.observed[a:b]]
        where = f"fold {k + 1} of {folds.n_folds}"
        if len(values) == 0:
            return (
                f"no sample of {where} has the trait '{null.name}': choose another fold_order or seed, or fewer folds"
            )
        if np.all(values == values[0]):
            return (
                f"the trait '{null.name}' is constant in {where} (all its {len(values)} samples have {values[0]:g}): what is "
                "predicted there cannot be judged. Choose fold_order='random', fewer folds, or folds='loocv'"
            )
    return ""


def check_variants(n_variants: int, n_constant: int) -> None:
    """Refuse a regression on no variant.

    Raises
    ------
    InputError
    """
    if n_variants == 0:
        raise InputError(
            f"no variant of an autosome varies among the samples ({n_constant:,} are selected and have one genotype in all): there is "
            "nothing to regress on. Check the choice of variants and samples"
        )
