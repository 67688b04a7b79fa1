"""The screen of all families: a score test of every row from one product, then the steps of the family's ladder for rows that need more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.models.choices import checks
from genassoc.models.scan.family import ROW_METHODS, Asked, Choices, Family, Law, Step, Task
from genassoc.models.scan.product import SQUARE, ThinMatrix
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import allele_counts, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes

Null = TypeVar("Null", bound=Family, covariant=True)


@dataclass(frozen=True, kw_only=True)
class ScreenState(Generic[Null]):
    """The null models and product columns that all blocks share; ``notes`` tells the user what was recognised and left out.

    Attributes
    ----------
    nulls : tuple of Family
        One a trait.
    matrix, squares : ThinMatrix or None
        The families' columns side by side, and their weights; None for families without a product.
    starts : tuple of int
        The first column of each family, and the number of all columns.
    n_incomplete : int
        Samples of the cohort that lack a covariate, and so are in no row.
    """

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[Null, ...]
    matrix: ThinMatrix | None
    squares: ThinMatrix | None
    starts: tuple[int, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        traits: tuple[str, ...],
        nulls: Sequence[Null],
        block_columns: Int64Array,
        block_width: int,
        n_incomplete: int,
        notes: Sequence[str],
    ) -> "ScreenState[Null]":
        """Lay out the columns of the nulls, in their order, for the product."""
        matrix = squares = None
        starts = np.zeros(len(nulls) + 1, np.int64)
        if all(null.has_product for null in nulls):
            n_bytes = packed_bytes(block_width)
            columns = [null.product_columns() for null in nulls]
            starts[1:] = np.cumsum([part.shape[1] for part in columns])
            matrix = ThinMatrix.of(np.hstack(columns), n_bytes)
            squares = ThinMatrix.of(np.column_stack([null.product_weight() for null in nulls]), n_bytes, SQUARE)
        mask = mask_words(block_columns, block_width)
        at = tuple(starts.tolist())
        return cls(
            traits=traits, cohort_columns=block_columns, cohort_mask=mask, nulls=tuple(nulls), matrix=matrix, squares=squares,
            starts=at, n_incomplete=n_incomplete, notes=tuple(notes),
        )  # fmt: skip

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]

    def set_nulls(self) -> tuple[SetNull, ...]:
        """What the nulls say of sets of variants, one a trait."""
        return tuple(null.set_null(trait) for trait, null in enumerate(self.nulls))


def check_choices(model: Any, corrections: tuple[str | None, ...]) -> None:
    """Check the choices of models of counts and levels, and put them in their plain form; ``corrections`` are the allowed ones.

    Raises
    ------
    ValueError
        A choice has a value that is not allowed.
    """
    name = type(model).__name__
    object.__setattr__(model, "traits", checks.names(model.traits, "traits"))
    object.__setattr__(model, "covariates", checks.names_or_formula(model.covariates, "covariates"))
    if not model.traits:
        raise ValueError(f"{name} needs at least one trait: {name}(traits=['y'])")
    checks.choice(model.test, "test", ("score", "wald", "lrt"))
    if model.correction == "none":
        object.__setattr__(model, "correction", None)
    checks.choice(model.correction, "correction", corrections)
    checks.choice(model.missing, "missing", ("complete", "mean"))
    checks.number(model.correct_below, "correct_below", "a p-value", 0, 1)
    checks.number(model.min_mac, "min_mac", "a count of alleles", 0)


def choices_of(model: Any) -> Choices:
    """The choices of a checked model."""
    return Choices(
        model.test, model.correction, float(model.correct_below), model.missing == "mean", float(model.min_mac)
    )


def null_notes(covariates: tuple[str, ...], trait: str, n: int, kept: BoolArray, failure: str | None) -> list[str]:
    """Notes on the null model of n samples: covariates left out of it, and why there is none."""
    notes = [
        f"covariate {covariates[column]} dropped for {trait}: among its {n:,} complete samples it is "
        "constant or a combination of the covariates before it"
        for column in np.flatnonzero(~kept)
    ]
    if failure is not None:
        notes.append(f"{trait} has no null model ({failure}): its rows have no estimate")
    return notes


def screen(choices: Choices, state: ScreenState[Family], block: Block) -> BlockResult:
    """Test every variant of the block against every trait: V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    V, T = block.n_variants, len(state.nulls)
    product, squares = np.empty((V, 0)), np.full((V, T), np.nan)
    if state.matrix is not None and state.squares is not None:
        product, squares = state.matrix.times(block, flipped), state.squares.times(block, flipped)
    by_trait = []
    for trait, family in enumerate(state.nulls):
        part = np.ascontiguousarray(product[:, state.starts[trait] : state.starts[trait + 1]])
        by_trait.append(_of_trait(choices, family, block, flipped, part, np.ascontiguousarray(squares[:, trait])))
    return assembled(state.traits, by_trait)


def _of_trait(
    choices: Choices, family: Family, block: Block, flipped: BoolArray, product: Float64Array, squares: Float64Array
) -> dict[str, Array]:
    """All columns of one trait, (V,) each."""
    samples = family.samples
    genotypes = genotype_sums(
        block, flipped, samples.columns, samples.mask, list_calls=family.has_product, carriers=True
    )
    events = None
    if family.counts_events:
        events = allele_counts(block, samples.events, samples.event_mask)
    V = genotypes.n.size
    rows = Rows.empty(V)
    reasons = [*unusable(genotypes, family.n_covariates, choices.min_mac), *family.no_estimate(events, choices.impute)]
    usable = rows.fail_unusable(reasons, samples.failure)
    scores = None
    if family.has_product and samples.failure is None:
        scores = family.score(genotypes, product, squares, choices.impute)
    task = Task(
        choices=choices, block=block, flipped=flipped, genotypes=genotypes, of_events=events, rows=rows, usable=usable, scores=scores,
        squares=squares, U=np.full(V, np.nan), dispersion=np.full(V, np.nan), shape=np.full(V, family.shape), common=np.zeros(V, np.bool_),
        rare=np.zeros(V, np.bool_),
    )  # fmt: skip
    _put_scores(family, task)
    ladder = family.ladder(task)
    for step in ladder.first:
        _do_step(family, task, step)
        if step.test == "score" and ladder.after:
            _keep_scores(task)
    if ladder.after:
        task.common[:], task.rare[:] = ladder.sent_on()
    for step in ladder.after:
        _do_step(family, task, step)
    return family.finished(task)


def _put_scores(family: Family, task: Task) -> None:
    """Score tests from the product."""
    if task.scores is None:
        return
    at = np.flatnonzero(task.usable)
    U, information = task.scores.U[at], task.scores.information[at]
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(information / family.dispersion)
        task.rows.put(at, family.first_method, U / information, 1 / root, U / (family.dispersion * root))
    task.rows.dispersion[at] = family.dispersion
    if not task.choices.impute:
        task.rows.method[task.usable & (task.genotypes.n < family.n)] = METHOD["score_approx"]


def _keep_scores(task: Task) -> None:
    """Keep U and the dispersion of rows that are still score tests, from beta = U / I and its variance phi / I."""
    rows = task.rows
    with np.errstate(invalid="ignore", divide="ignore"):
        task.U[:] = rows.beta * rows.dispersion / rows.model_error**2
    task.dispersion[:] = rows.dispersion


def _do_step(family: Family, task: Task, step: Step) -> None:
    """Do one step of the ladder."""
    variants = np.flatnonzero(step.where())
    if not variants.size:
        return
    if step.test is not None:
        status = _fit(family, task, step, step.test, variants)
        if step.again is not None:
            some = variants[step.again.where(variants, status)]
            _fit(family, task, step, step.again.test, some)
    if step.law is not None:
        _test_by_law(family, task, step.law, variants[np.isfinite(task.rows.neg_log_10_p[variants])])


def _fit(family: Family, task: Task, step: Step, test: str, variants: Int64Array) -> Int64Array:
    """Fit some rows on unpacked calls, a chunk at a time, and return their statuses."""
    status = np.zeros(variants.size, np.int64)
    codes = family.codes
    if step.keep or step.code is not None:
        word = step.code or "refit_not_converged"
        codes = {state: family.codes[state] if state == kernel.RUNAWAY else word for state in family.codes}
    for first, last in chunks(variants.size, family.n):
        some = variants[first:last]
        fits = family.fit(task, Asked(test, some, step.keep))
        student = family.student and test != "score"
        task.rows.put_fits(some, ROW_METHODS.get(test, test), fits, codes, student=student, keep=step.keep)
        status[first:last] = fits.status
    return status


def _test_by_law(family: Family, task: Task, law: Law, variants: Int64Array) -> None:
    """Replace the p of rows by that of a `Law`; their estimates stay."""
    rows = task.rows
    for first, last in chunks(variants.size, family.n):
        some = variants[first:last]
        tails = family.law(law.name, task, some)
        has_p = np.isfinite(tails.neg_log_10_p)
        for method, picked in (("exact", has_p & tails.exact), ("spa", has_p & ~tails.exact)):
            rows.put_p(some[picked], method, tails.neg_log_10_p[picked])
        bounded = has_p & tails.bounded
        rows.bound(some[bounded], tails.lower[bounded], tails.upper[bounded])
        failed = some[~has_p]
        if law.keep:
            # A separated row keeps that code: its beta is not a maximum.
            rows.caution(failed[rows.code[failed] != CODE["separated"]], law.code)
        else:
            rows.fail(failed, law.code)
