"""Conditional logistic regression of matched sets: score test for all, likelihood ratio or exact test for hits.

What cases and controls of a set have in common (age, hospital, batch) drops out of the likelihood, effects of any number of
sets with it. 1:m, n:1 and n:m sets have their exact likelihood (`genassoc.kernels.likelihoods.conditional`).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.survival import strata_numbers
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import conditional, conditional_rows
from genassoc.kernels.likelihoods import rows as status
from genassoc.models.base import CODE, BlockResult
from genassoc.models.scan.case_columns import case_columns
from genassoc.models.scan.product import minor_counts, rare_counts
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.models.scan.tested_rows import EXACT_BELOW_EXPECTED, EXACT_BELOW_MAC, trigger
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.linalg import orthonormal_basis

_ASKED = {"score": status.SCORE, "wald": status.WALD, "lrt": status.LRT, "exact": status.EXACT}
_FAILED = {
    status.NOT_CONVERGED: "not_converged",
    status.NULL_NOT_CONVERGED: "null_not_converged",
    status.COLLINEAR: "collinear",
    status.ONE_OUTCOME: "one_outcome",
    status.RUNAWAY: "separation",
}
_SHOWN = 5  # sets named in a note


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved; see `genassoc.models.logistic.model.Logistic`.

    ``correction`` is the test of rows whose score test has p below ``correct_below``: "lrt", or None.
    """

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float


@dataclass(frozen=True)
class NullMatched:
    """One binary trait fitted on the covariates, on the complete cases of its sets that say something.

    Attributes
    ----------
    n, n_covariates : int
        Samples; covariates that differ within sets, and one for the sets.
    columns : int64 array (n,)
        Columns of its samples in a block, set by set.
    mask, case_mask : uint64 arrays (W,)
        Its samples, and the cases among them, as packed words.
    X : float64 array (n, C)
        Covariates centred in each set, orthonormal.
    y : float64 array (n,)
    pointers : int64 array (S + 1,)
        Where each set begins and ends.
    start : float64 array (C,)
        Coefficients of the null.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    """

    n: int
    n_covariates: int
    columns: Int64Array
    mask: UInt64Array
    case_mask: UInt64Array
    X: Float64Array
    y: Float64Array
    pointers: Int64Array
    start: Float64Array
    failure: str | None


@dataclass(frozen=True)
class MatchedState:
    """What all blocks share; ``notes`` says, for people, codings, sets and what was left out."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullMatched, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Samples of each trait in sets that say something."""
        return [null.n for null in self.nulls]


def prepare(model: Any, cohort: Any) -> MatchedState:
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
    n_incomplete = int((~design.complete).sum())
    return MatchedState(design.traits, columns, mask_words(columns, width), tuple(nulls), n_incomplete, tuple(notes))


def fit_null(
    design: Any, trait: int, observed: BoolArray, stratum: Int64Array, block_columns: Int64Array, block_width: int
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
    start = np.zeros(C)
    failure = "n_too_small" if pointers.size - 1 + C >= n else None
    if failure is None and C:
        state, _, _ = conditional.fit(X, y, pointers, False, start, np.zeros((C, C)))
        failure = None if state == status.FINE else "null_not_converged"
    columns = block_columns[who]
    masks = mask_words(columns, block_width), mask_words(columns[y == 1], block_width)
    null = NullMatched(n, C + 1, columns, *masks, X, y, pointers, start, failure)
    return null, basis.kept, observed & ~telling


def _notes(design: Any, trait: int, null: NullMatched, kept: BoolArray, silent: list[str], n_silent: int) -> list[str]:
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


@dataclass(frozen=True)
class _Task:
    """One trait in one block, and what is being made of it."""

    choices: Choices
    null: NullMatched
    block: Block
    flipped: BoolArray
    own: GenotypeSums
    rows: Rows


def test_block(choices: Choices, state: MatchedState, block: Block) -> BlockResult:
    """Test every variant of the block against every trait: V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    by_trait = []
    for null in state.nulls:
        own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=False)
        rows = Rows.empty(own.n.size)
        usable = rows.fail_unusable(unusable(own, null.n_covariates, choices.min_mac), null.failure)
        task = _Task(choices, null, block, flipped, own, rows)
        _test(task, np.flatnonzero(usable))
        by_trait.append(_finished(task))
    return assembled(state.traits, by_trait)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _test(task: _Task, variants: Int64Array) -> None:
    """Everything that is asked of the rows that can have an estimate."""
    choices, null, own, rows = task.choices, task.null, task.own, task.rows
    state = _one_by_one(task, variants, choices.test, keep=False)
    if choices.test == "lrt":
        # An infinite estimate has a likelihood ratio, but no chi-squared: the exact test.
        _one_by_one(task, variants[state == status.RUNAWAY], "exact", keep=False)
    if choices.correction is None or choices.correct_below <= 0:
        return
    expected = own.tested_mac * (min(null.y.sum(), null.n - null.y.sum()) / max(null.n, 1))
    below = -np.log10(trigger(choices.correct_below, expected, own.tested_mac))
    with np.errstate(invalid="ignore"):
        hits = variants[rows.neg_log_10_p[variants] >= below[variants]]
    rare = (own.tested_mac < EXACT_BELOW_MAC) | (expected < EXACT_BELOW_EXPECTED)
    _one_by_one(task, hits[rare[hits]], "exact", keep=False)
    if choices.test != "score":
        return
    common = hits[~rare[hits]]
    state = _one_by_one(task, common, "lrt", keep=True)
    _one_by_one(task, common[state == status.RUNAWAY], "exact", keep=True)


def _one_by_one(task: _Task, variants: Int64Array, test: str, keep: bool) -> Int64Array:
    """Do a test of some variants on dense calls, a chunk at a time; their status. With ``keep`` one that fails stays as it was."""
    choices, null, rows = task.choices, task.null, task.rows
    state = np.zeros(variants.size, np.int64)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        R = some.size
        numbers, found, dropped = np.empty((R, status.N_NUMBERS)), np.zeros(R, np.int64), np.zeros(R, np.bool_)
        common = task.own.sum_g[some] > task.own.n[some]  # the cohort's minor allele may be the major one here
        if test == "exact":
            # Rounded to whole alleles, dosages have an exact law, too.
            G = np.rint(rare_counts(task.block, task.flipped, some, null.columns, common))
        else:
            G = minor_counts(task.block, task.flipped, some, null.columns)
        conditional_rows.analyse_rows(
            G,
            np.full(R, _ASKED[test]),
            null.X,
            null.y,
            null.pointers,
            null.start,
            choices.impute and test != "exact",
            numbers,
            found,
            dropped,
        )
        if test == "exact":
            for column in (status.BETA, status.STATISTIC):
                numbers[common, column] *= -1.0
            lower, upper = numbers[common, status.LOWER].copy(), numbers[common, status.UPPER].copy()
            numbers[common, status.LOWER], numbers[common, status.UPPER] = -upper, -lower
        done = _put(rows, some, numbers, found, test)
        rows.code[some[dropped & (found == status.FINE)]] = CODE["covariate_collinear"]
        for failed, code in _FAILED.items():
            at = some[(found == failed) & ~done]
            if keep:
                rows.code[at] = CODE["refit_not_converged" if failed != status.RUNAWAY else "separation"]
            else:
                rows.fail(at, code)
        state[first:last] = found
    return state


def _put(rows: Rows, some: Int64Array, numbers: Float64Array, found: Int64Array, test: str) -> BoolArray:
    """Fill the rows that have their test: of an infinite estimate the exact one, beta being the score's step. Which (R,)."""
    done = found == status.FINE
    if test == "exact":
        done = (done | (found == status.RUNAWAY)) & ~np.isnan(numbers[:, status.NEG_LOG_P])
    at, own = some[done], numbers[done]
    rows.put(at, test, own[:, status.BETA], own[:, status.MODEL_SE], own[:, status.STATISTIC])
    rows.iterations[at] = own[:, status.ITERATIONS].astype(np.int64)
    if test == "exact":
        # A sum of chances may be above 1 by rounding.
        rows.put_p(at, "exact", np.maximum(own[:, status.NEG_LOG_P], 0.0) / np.log(10.0))
        rows.bound(at, own[:, status.LOWER], own[:, status.UPPER])
        rows.code[some[done & (found == status.RUNAWAY)]] = CODE["separation"]
    return np.asarray(done)


def _finished(task: _Task) -> dict[str, Array]:
    """Rows of ALT."""
    choices, null, own, rows = task.choices, task.null, task.own, task.rows
    columns = rows.finished(own, task.flipped, null.n, choices.impute)
    return columns | case_columns(
        task.block, own, null.columns, null.y == 1, null.case_mask, null.n if choices.impute else None
    )
