"""Conditional logistic regression of matched sets: score test for all, likelihood ratio or exact test for hits.

What cases and controls of a set have in common (age, hospital, batch) drops out of the likelihood, effects of any number of
sets with it. 1:m, n:1 and n:m sets have their exact likelihood (`genassoc.kernels.likelihoods.conditional`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.survival import strata_numbers
from genassoc.kernels.likelihoods import conditional, conditional_rows
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.conditional import MatchedSets
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.scan.case_columns import case_columns
from genassoc.models.scan.family import (
    EXACT_BELOW_EXPECTED,
    EXACT_BELOW_MAC,
    Again,
    Asked,
    Family,
    Ladder,
    Samples,
    Step,
    Task,
    trigger,
)
from genassoc.models.scan.product import rare_counts
from genassoc.models.scan.screen import ScreenState
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

_SHOWN = 5  # sets named in a note
# Steps of a copy in which dosages have an exact law, and steps in all: its work grows with both.
GRID, MOST_STEPS = 32, 4096


@dataclass(frozen=True)
class NullMatched(Family):
    """One binary trait fitted on the covariates, on the complete cases of its sets that say something; set by set.

    ``n_covariates`` are those that differ within sets, and one for the sets.

    Attributes
    ----------
    X : float64 array (n, C)
        Covariates centred in each set, orthonormal.
    y : float64 array (n,)
    pointers : int64 array (S + 1,)
        Where each set begins and ends.
    start : float64 array (C,)
        Coefficients of the null.
    """

    has_product: ClassVar[bool] = False
    codes: ClassVar[dict[int, str]] = Family.codes | {kernel.RUNAWAY: "separation"}

    X: Float64Array
    y: Float64Array
    pointers: Int64Array
    start: Float64Array

    @property
    def sets(self) -> MatchedSets:
        """Outcomes, sets and offsets as kernels take them."""
        return MatchedSets(self.y, self.pointers, self.offset)

    def ladder(self, task: Task) -> Ladder:
        """The test of every row; below the trigger likelihood ratios, of rare variants and infinite estimates exact tests."""
        choices, genotypes = task.choices, task.genotypes
        # An infinite estimate has a likelihood ratio, but no chi-squared: the exact test.
        exact = Again("exact", lambda _, status: np.asarray(status == kernel.RUNAWAY))
        first = Step(choices.test, lambda: task.usable, exact if choices.test == "lrt" else None)
        n_cases = self.y.sum()
        expected = genotypes.rare_mac * (min(n_cases, self.n - n_cases) / max(self.n, 1))

        def sent_on() -> tuple[BoolArray, BoolArray]:
            if choices.correction is None or choices.correct_below <= 0:
                return task.none, task.none
            hits = task.usable & task.p_below(trigger(choices.correct_below, expected, genotypes.rare_mac))
            rare = hits & ((genotypes.rare_mac < EXACT_BELOW_MAC) | (expected < EXACT_BELOW_EXPECTED))
            return (hits & ~rare if choices.test == "score" else task.none), rare

        return Ladder(
            (first,),
            sent_on,
            (Step("exact", lambda: task.rare), Step("lrt", lambda: task.common, exact, keep=True)),
        )

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls; of an exact test the estimate is that of the likelihood ratio."""
        variants, exact = asked.variants, asked.test == "exact"
        common = (
            task.genotypes.sum_g[variants] > task.genotypes.n[variants]
        )  # the cohort's minor allele may be the major one here
        if exact:
            G = rare_counts(task.block, task.flipped, variants, self.columns, common)
        else:
            G = task.calls(variants, self.columns)
        fits = Fits.empty(variants.size)
        impute = task.choices.impute and not exact
        grid = in_steps(G) if exact else np.ones(variants.size)
        conditional_rows.analyse_rows(G, asked.numbers, self.X, self.sets, self.start, impute, fits)
        if exact:
            fits.numbers[:, [kernel.BETA, kernel.MODEL_SE, kernel.LOWER, kernel.UPPER]] *= grid[:, None]
        if exact:
            numbers = fits.numbers
            fits.status[np.isnan(numbers[:, kernel.NEG_LOG_P]) & (fits.status == kernel.FINE)] = kernel.TAIL_FAILED
            for column in (kernel.BETA, kernel.STATISTIC):
                numbers[common, column] *= -1.0
            ends = numbers[:, kernel.LOWER : kernel.UPPER + 1]
            ends[common] = -ends[common, ::-1]
        return fits

    def finished(self, task: Task) -> dict[str, Array]:
        """With frequencies and counts by case kernel."""
        is_case, n_imputed = self.y == 1, self.n if task.choices.impute else None
        mask = self.samples.event_mask
        return super().finished(task) | case_columns(task.block, task.genotypes, self.columns, is_case, mask, n_imputed)


def in_steps(G: Float64Array) -> Float64Array:
    """Put dosages G (R, n) that are not whole in steps, in place, as whole numbers of them; steps of a copy (R,)."""
    grid = np.ones(len(G))
    soft = np.flatnonzero((G % 1.0 > 0.0).any(axis=1))
    total = np.maximum(np.nansum(G[soft], axis=1), 1.0)
    grid[soft] = np.clip(2.0 ** np.floor(np.log2(MOST_STEPS / total)), 1.0, GRID)
    G[soft] = np.rint(G[soft] * grid[soft, None])
    return grid


def prepare(model: Any, cohort: Any) -> ScreenState[NullMatched]:
    """Fit the null models of all traits, each on the complete cases of its sets with a case and a control."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    (name,) = cohort.phenotypes.resolve([model.matched], "matched set")
    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    stratum, labels = strata_numbers(cohort.phenotypes, cohort.rows, (name,))
    design = without_samples(design, stratum < 0, f"matched set {name}", cohort.phenotypes, cohort.rows)
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    if (stratum < 0).any():
        notes.append(f"{int((stratum < 0).sum()):,} samples lack the matched set {name} and are left out")
    nulls = []
    for trait in range(len(design.traits)):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept, silent = fit_null(design, trait, observed, stratum, columns, width)
        nulls.append(null)
        words = [labels[s] for s in np.unique(stratum[silent])]
        notes += _notes(design, trait, null, kept, words, int(silent.sum()))
    return ScreenState.of(design.traits, nulls, columns, width, int((~design.complete).sum()), notes)


def fit_null(
    design: Design, trait: int, observed: BoolArray, stratum: Int64Array, block_columns: Int64Array, block_width: int
) -> tuple[NullMatched, BoolArray, BoolArray]:
    """The null model of one trait, which covariates differ within its sets, and who is in sets that say nothing (N,)."""
    n_sets = int(stratum.max(initial=-1)) + 1
    members, cases = np.zeros(n_sets, np.int64), np.zeros(n_sets, np.int64)
    np.add.at(members, stratum[observed], 1)
    np.add.at(cases, stratum[observed], (design.y[observed, trait] == 1).astype(np.int64))
    says = (cases > 0) & (cases < members)
    telling = observed & says[np.maximum(stratum, 0)]
    who = np.flatnonzero(telling)
    who = who[np.argsort(stratum[who], kind="stable")]
    y = np.ascontiguousarray(design.y[who, trait])
    pointers = np.concatenate([[0], np.cumsum(members[says])]).astype(np.int64)
    within = design.X[who].copy()
    largest = np.abs(within).max(axis=0, initial=0.0)
    conditional_rows.centre_in_sets(within, y, pointers)
    within[:, np.abs(within).max(axis=0, initial=0.0) <= 1e-12 * largest] = 0.0  # rounding
    within[:, 0] = 1.0
    basis = orthonormal_basis(within)
    X = np.ascontiguousarray(basis.Q[:, 1:])
    n, C = X.shape
    start, offset = np.zeros(C), np.ascontiguousarray(design.offset[who, trait])
    failure = "n_too_small" if pointers.size - 1 + C >= n else None
    if failure is None and C:
        state, _, _ = conditional.fit(X, MatchedSets(y, pointers, offset), False, start, np.zeros((C, C)))
        failure = None if state == kernel.FINE else "null_not_converged"
    columns = block_columns[who]
    samples = Samples.of(columns, block_width, offset=offset, is_event=y == 1, failure=failure)
    null = NullMatched(samples=samples, n_covariates=C + 1, X=X, y=y, pointers=pointers, start=start)
    return null, basis.kept, observed & ~telling


def _notes(
    design: Design, trait: int, null: NullMatched, kept: BoolArray, silent: list[str], n_silent: int
) -> list[str]:
    name = design.traits[trait]
    sizes = np.diff(null.pointers)
    cases = np.add.reduceat(null.y, null.pointers[:-1]) if sizes.size else np.zeros(0)
    single = int(((cases == 1) | (sizes - cases == 1)).sum())
    notes = [
        f"{name}: {design.coding[trait]}; {int(cases.sum()):,} cases and {int((sizes - cases).sum()):,} controls in {sizes.size:,} "
        f"matched sets ({single:,} of them with one case or one control)"
    ]
    if silent:
        shown = ", ".join(silent[:_SHOWN]) + (f" and {len(silent) - _SHOWN:,} more" if len(silent) > _SHOWN else "")
        notes.append(
            f"{name}: {len(silent):,} sets ({n_silent:,} samples) have no case or no control, say nothing and are left out: {shown}"
        )
    for column in np.flatnonzero(~kept[1:]) + 1:
        notes.append(
            f"covariate {design.covariates[column]} dropped for {name}: among its {null.n:,} samples it is the same within every "
            "matched set, or a combination of the covariates before it"
        )
    if null.failure is not None:
        notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    return notes
