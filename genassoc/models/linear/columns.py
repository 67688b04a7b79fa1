"""Linear regression on two columns of genotypes: an interaction (g and g E), or both indicators of a genotype; exact on complete cases.

An interaction needs the sums of g and g e with covariates and residuals, two products of the block; rows whose sums
float32 cannot hold, rows past genome-wide significance and REGENIE's rows with HC3 are done from the calls in float64. Indicators are
summed in float64 at once. Rows in which float64 cancels are fitted on their own complete cases.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.data.phenotypes.design import Design
from genassoc.data.phenotypes.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.errors import DosageError
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.genotypes.missing_calls import Missing
from genassoc.kernels.likelihoods import linear_columns as kernel
from genassoc.kernels.likelihoods.linear_columns import PairFits, PairSums, Traits
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.models.linear.change import adjusted_for_baseline, of_change
from genassoc.models.linear.dense import dense_fit
from genassoc.models.linear.null import Choices, LinearState, NullModel, null_notes, nulls_by_pattern
from genassoc.models.scan.genetic_models import NO_PROBABILITIES, of_calls, probabilities, recoded
from genassoc.models.scan.product import SQUARE, ThinMatrix, minor_counts
from genassoc.models.scan.residual_law import withhold_heavy
from genassoc.models.scan.rows import Rows, assembled, chunks
from genassoc.models.scan.set_null import SetNull, no_set_null
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.models.scan.tested import (
    GENOTYPIC,
    Classes,
    Tested,
    contrast_estimates,
    fewest_carriers,
    tested_calls,
    tested_with,
    tests_of,
    too_few,
)
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, packed_bytes
from genassoc.stats.tails import neg_log_10_p_f, neg_log_10_p_t

GENOME_WIDE = 7.3  # rows past 5e-8 are computed in float64
# Copies of ALT and heterozygotes are tested; fitted are h and r, the effects of one and of two copies.
INDICATORS = Tested(GENOTYPIC.tests, np.array([[0.0, 0.5], [1.0, -0.5], [0.0, 0.0]]))


@dataclass(frozen=True)
class Pattern:
    """Traits observed in the same samples, with E in them and the columns of the products.

    Attributes
    ----------
    null : NullModel
        ``gram`` is I.
    tested : Tested
    matrix, squares : ThinMatrix
        Covariates without the constant, residuals, and E times all of them; and e and e^2.
    """

    null: NullModel
    tested: Tested
    matrix: ThinMatrix
    squares: ThinMatrix


@dataclass(frozen=True)
class InteractionState(LinearState):
    """What all blocks share; ``notes`` says, for people, what E is and which covariates were dropped."""

    tests: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()

    @property
    def nulls(self) -> tuple[NullModel, ...]:
        """Null models by pattern."""
        return tuple(pattern.null for pattern in self.patterns)

    def set_nulls(self) -> tuple[SetNull, ...]:
        """None: what is tested is not a sum over copies."""
        raise no_set_null("an interaction")


def prepare(model: Any, cohort: Any, choices: Choices) -> InteractionState:
    """Fit the null models, E among the covariates, and lay out the columns of the products."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    before: Float64Array | None = None
    said: tuple[str, ...] = ()
    if model.baseline is not None:
        model, before, said = adjusted_for_baseline(model, cohort)
    design, modifier, notes = design_with_modifier(model, cohort)
    if before is not None:
        design = of_change(design, before, said[0])
    state = state_of(choices, design, modifier, columns, width, model.rank_normalise)
    return replace(state, notes=(*state.notes, *said[1:], *notes))


def design_with_modifier(model: Any, cohort: Any) -> tuple[Design, Modifier, tuple[str, ...]]:
    """The design with the main effect of E, E itself, and what there is to say about it."""
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    design = cohort.design(model.traits, covariates, kind=model.outcome)
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, design.complete)
    check_main_effect(modifier, design.X, design.complete)
    return design, modifier, (*joined, *modifier.notes)


def state_of(
    choices: Choices,
    design: Design,
    modifier: Modifier,
    block_columns: Int64Array,
    width: int,
    rank_normalise: bool = False,
) -> InteractionState:
    """What blocks need of a design that has the main effect of E."""
    patterns = []
    n_bytes = packed_bytes(width)
    for null in nulls_by_pattern(design, block_columns, width, rank_normalise):
        tested = tested_with(modifier, block_columns, null.columns, width)
        e = np.zeros((width, 1))
        e[null.columns, 0] = tested.e
        matrix = ThinMatrix.of(np.hstack([null.Q[:, 1:], null.R, e * null.Q, e * null.R]), n_bytes)
        patterns.append(Pattern(null, tested, matrix, ThinMatrix.of(np.hstack([e, e * e]), n_bytes, SQUARE)))
    notes = null_notes(design, tuple(pattern.null for pattern in patterns))
    if np.isfinite(choices.robust_above):
        notes += (
            f"variances are HC3's where the minor allele count is above {choices.robust_above:g}, else the model's",
        )
    return InteractionState(
        design.traits, block_columns, mask_words(block_columns, width), (), int((~design.complete).sum()), notes,
        tests_of(modifier), tuple(patterns),
    )  # fmt: skip


def test_interaction(choices: Choices, state: InteractionState, block: Block) -> BlockResult:
    """V x T x K rows, K tests."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    of_patterns = [
        _Interaction(choices, block, flipped, pattern.null, pattern.tested, pattern) for pattern in state.patterns
    ]
    return _assembled(state.traits, state.tests, of_patterns)


def test_genotypes(choices: Choices, state: LinearState, block: Block) -> BlockResult:
    """V x T x 3 rows.

    Raises
    ------
    DosageError
        The block holds dosages without the probabilities of genotypes.
    """
    if isinstance(block, DosageBlock) and block.homozygous is None:
        raise DosageError(NO_PROBABILITIES)
    unflipped = np.zeros(block.n_variants, dtype=bool)
    of_patterns = [_Genotypes(choices, block, unflipped, null.with_own_basis(), INDICATORS) for null in state.nulls]
    return _assembled(state.traits, INDICATORS.tests, of_patterns)


test_interaction.__test__ = test_genotypes.__test__ = False  # type: ignore[attr-defined]  # their names are not tests'


def _assembled(traits: tuple[str, ...], tests: tuple[str, ...], of_patterns: "Sequence[_Task]") -> BlockResult:
    by_trait: dict[int, dict[str, Array]] = {}
    for task in of_patterns:
        by_trait |= dict(zip(task.null.traits.tolist(), task.rows()))
    return assembled(traits, [by_trait[t] for t in range(len(traits))], tests)


@dataclass(frozen=True)
class _Task(ABC):
    """One pattern of traits in one block; what of the genotypes is tested says the class."""

    choices: Choices
    block: Block
    flipped: BoolArray
    null: NullModel
    tested: Tested

    @abstractmethod
    def reasons(self, genotypes: GenotypeSums) -> list[tuple[BoolArray, str]]:
        """Variants (V,) without an estimate whatever the trait, and their codes; the first that holds counts."""

    @abstractmethod
    def sums(self, genotypes: GenotypeSums) -> PairSums:
        """Of both columns."""

    @abstractmethod
    def columns(self, variants: Int64Array) -> Float64Array:
        """Both columns (R, n, 2) of some variants in the pattern's samples, NaN where not observed."""

    @abstractmethod
    def fewest_carriers(self) -> Float64Array:
        """Carriers (V,) of the rarest thing that has a coefficient."""

    @abstractmethod
    def from_calls(self, genotypes: GenotypeSums, robust: BoolArray, usable: BoolArray, fits: PairFits) -> None:
        """Do the rows that sums do not hold again."""

    def joint_freedom(self, genotypes: GenotypeSums, fits: PairFits) -> Float64Array:
        """Degrees of freedom (V,) of the denominator of F."""
        return fits.freedom

    def rows(self) -> list[dict[str, Array]]:
        """Rows (V, K) of each trait."""
        null = self.null
        genotypes = genotype_sums(self.block, self.flipped, null.columns, null.mask)
        V, T = genotypes.n.size, null.R.shape[1]
        codes, usable = np.zeros((V, T), np.uint8), np.ones(V, dtype=bool)
        for bad, reason in self.reasons(genotypes):
            codes[bad & usable] = CODE[reason]
            usable &= ~bad
        robust = (genotypes.mac > self.choices.robust_above) & usable
        fits = PairFits(np.full((V, T, kernel.N_NUMBERS), np.nan), np.full(V, np.nan), np.zeros((V, T), np.int64))
        kernel.from_sums(
            self.sums(genotypes), Missing(genotypes.pointers, genotypes.indices), Traits(null.Q, null.R, null.rss), fits
        )
        self.from_calls(genotypes, robust, usable, fits)
        for status, reason in ((kernel.N_TOO_SMALL, "n_too_small"), (kernel.LEVERAGE, "leverage_of_one")):
            codes[(fits.status == status) & usable[:, None]] = CODE[reason]
        for v, t in np.argwhere((fits.status == kernel.ILL) & usable[:, None]):
            H = self.columns(np.array([v]))[0]
            at = ~np.isnan(H[:, 0])
            columns = null.columns[at]
            fit = dense_fit(H[at], null.Q[columns], null.R[columns, t], bool(robust[v]))
            fits.numbers[v, t] = (*fit.theta, fit.covariance[0, 0], fit.covariance[0, 1], fit.covariance[1, 1], fit.F)
            fits.freedom[v], codes[v, t] = fit.df, CODE[fit.code]
        without = ("iterations", "standard_error_model")
        columns = [
            self._rows_of_trait(t, genotypes, fits, codes[:, t], robust).finished(
                genotypes, self.flipped, null.n, self.choices.impute, without
            )
            for t in range(T)
        ]
        if self.choices.check_tails:
            carriers = self.fewest_carriers()
            for of_trait, law in zip(columns, null.laws):
                withhold_heavy(of_trait, law, carriers)
        return columns

    def _rows_of_trait(self, t: int, genotypes: GenotypeSums, fits: PairFits, code: Array, robust: BoolArray) -> Rows:
        """Rows (V, K) of one trait."""
        tested = self.tested
        rows = Rows.empty(genotypes.n.size, len(tested.tests))
        beta, error = (
            values * self.null.scale[t] for values in contrast_estimates(tested, *_coefficients(fits.numbers[:, t]))
        )
        df = np.where(fits.freedom >= 1, fits.freedom, np.nan)
        joint_df = np.where(np.isnan(df), np.nan, self.joint_freedom(genotypes, fits))
        F = fits.numbers[:, t, kernel.F]
        with np.errstate(invalid="ignore", divide="ignore"):
            rows.put(slice(None), "t", beta, error, beta / error, np.broadcast_to(df[:, None], beta.shape))
        rows.put_joint(slice(None), tested.joint, "f", F, neg_log_10_p_f(F, 2, joint_df))
        rows.method[robust] = METHOD["t_hc3"]
        rows.method[robust, tested.joint] = METHOD["f_hc3"]
        rows.fail(~np.isin(code, [CODE[None], CODE["covariate_collinear"]]), "n_too_small")
        rows.code[:] = code[:, None]
        return rows


@dataclass(frozen=True)
class _Interaction(_Task):
    pattern: Pattern

    def reasons(self, genotypes: GenotypeSums) -> list[tuple[BoolArray, str]]:
        few = genotypes.tested_mac < self.choices.min_mac
        if self.choices.gate:
            few |= too_few(self.block, self.tested)
        return [
            (genotypes.n == 0, "n_too_small"),
            (genotypes.constant & (genotypes.mac > 0), "constant_genotype"),
            (genotypes.constant, "monomorphic"),
            (few, "too_few_carriers"),
        ]

    def sums(self, genotypes: GenotypeSums) -> PairSums:
        C, T = self.null.Q.shape[1], self.null.R.shape[1]
        product = self.pattern.matrix.times(self.block, self.flipped)
        squares = self.pattern.squares.times(self.block, self.flipped)
        QG, RG, QGE, RGE = (np.ascontiguousarray(part) for part in np.split(product, np.cumsum([C - 1, T, C]), axis=1))
        constant = genotypes.sum_g / np.sqrt(max(self.null.n, 1))
        return PairSums(
            genotypes.n, np.column_stack([genotypes.sum_g2, squares]), np.column_stack([constant, QG]), QGE, RG, RGE
        )  # fmt: skip

    def columns(self, variants: Int64Array) -> Float64Array:
        calls = self._calls(variants)
        return np.stack([calls, calls * self.tested.e], axis=2)

    def fewest_carriers(self) -> Float64Array:
        return fewest_carriers(self.block, self.tested)

    def from_calls(self, genotypes: GenotypeSums, robust: BoolArray, usable: BoolArray, fits: PairFits) -> None:
        null = self.null
        lacking = genotypes.pointers[1:] > genotypes.pointers[:-1]
        unsure = (fits.status != kernel.FINE) & (fits.status != kernel.N_TOO_SMALL)
        chosen = (robust | (lacking & self.choices.impute))[:, None] | unsure | self._quoted(fits)
        chosen &= usable[:, None]
        traits = Traits(
            np.ascontiguousarray(null.Q[null.columns]), np.ascontiguousarray(null.R[null.columns]), null.rss
        )
        variants = np.flatnonzero(chosen.any(axis=1))
        for first, last in chunks(variants.size, null.n):
            some = variants[first:last]
            again = PairFits._make(np.empty_like(values[some]) for values in fits)
            kernel.from_calls(self._calls(some), self.tested.e, robust[some], traits, again)
            # Only the rows that asked for it: what becomes of a trait must not depend on the others.
            which = chosen[some]
            fits.freedom[some] = again.freedom
            for values, others in ((fits.numbers, again.numbers), (fits.status, again.status)):
                part: Array = values[some]
                part[which] = others[which]
                values[some] = part

    def _quoted(self, fits: PairFits) -> BoolArray:
        """Rows (V, T) with a test past genome-wide significance."""
        beta, error = contrast_estimates(self.tested, *_coefficients(fits.numbers))
        freedom = np.where(fits.freedom >= 1, fits.freedom, np.nan)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            logp = neg_log_10_p_t(beta / error, freedom[:, :, None])
        logp[:, :, self.tested.joint] = neg_log_10_p_f(fits.numbers[:, :, kernel.F], 2, freedom)
        return np.asarray((np.nan_to_num(logp) > GENOME_WIDE).any(axis=2))

    def _calls(self, variants: Int64Array) -> Float64Array:
        """Copies of the minor allele in the pattern's samples (R, n), NaN or the mean where not observed."""
        calls = minor_counts(self.block, self.flipped, variants, self.null.columns)
        missing = np.isnan(calls)
        if self.choices.impute and missing.any():
            n = np.maximum((~missing).sum(axis=1), 1)
            means = np.where(missing, 0.0, calls).sum(axis=1) / n
            np.copyto(calls, means[:, None], where=missing)
        return calls


@dataclass(frozen=True)
class _Genotypes(_Task):
    @cached_property
    def classes(self) -> Classes:
        """Samples by genotype."""
        return Classes.of(self.block, self.null.columns, self.null.mask)

    def reasons(self, genotypes: GenotypeSums) -> list[tuple[BoolArray, str]]:
        return self.classes.without_estimate(genotypes.mac, self.choices.min_mac, self.null.Q.shape[1] + 2)

    def sums(self, genotypes: GenotypeSums) -> PairSums:
        C = self.null.Q.shape[1]
        thin = ThinMatrix(np.hstack([self.null.Q, self.null.R]), np.zeros(0, np.float32), np.zeros(0, np.float32))
        if isinstance(self.block, DosageBlock):
            pair = probabilities(self.block)
            h, r = (0.5 * thin.times(part, self.flipped) for part in pair[:2])
            # Of the probabilities of one copy, of two and of any: (h + r)^2 = h^2 + 2 h r + r^2.
            hh, rr, both = (
                0.25 * genotype_sums(part, self.flipped, self.null.columns, self.null.mask, list_calls=False).sum_g2
                for part in pair
            )
            squares = np.column_stack([hh, 0.5 * (both - hh - rr), rr])
        else:
            variants = np.arange(genotypes.n.size)
            h, r = (
                0.5 * thin.times_in_float64(of_calls(recoded(self.block, name)), self.flipped, variants)
                for name in ("hetonly", "recessive")
            )
            counts = self.classes.counts
            squares = np.column_stack([counts[:, 1], np.zeros(genotypes.n.size), counts[:, 2]])
        parts = (np.ascontiguousarray(part) for part in (h[:, :C], r[:, :C], h[:, C:], r[:, C:]))
        return PairSums(genotypes.n, squares, *parts)

    def from_calls(self, genotypes: GenotypeSums, robust: BoolArray, usable: BoolArray, fits: PairFits) -> None:
        """None: the sums are of float64."""

    def columns(self, variants: Int64Array) -> Float64Array:
        calls, one_copy = tested_calls(GENOTYPIC, self.block, self.flipped, variants, self.null.columns)
        if one_copy is not None:
            return np.stack([one_copy, 0.5 * (calls - one_copy)], axis=2)
        return np.where(np.isnan(calls)[:, :, None], np.nan, calls[:, :, None] == np.array([1.0, 2.0]))

    def fewest_carriers(self) -> Float64Array:
        return np.asarray(self.classes.effective.min(axis=1))

    def joint_freedom(self, genotypes: GenotypeSums, fits: PairFits) -> Float64Array:
        # PLINK 2 counts n degrees of freedom in the denominator.
        return genotypes.n.astype(np.float64) if self.choices.like == "plink2" else fits.freedom


def _coefficients(numbers: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Coefficients (..., 2) and covariances (..., 2, 2) of rows' numbers (..., N_NUMBERS)."""
    pairs = np.array([[kernel.VAR_FIRST, kernel.COVARIANCE], [kernel.COVARIANCE, kernel.VAR_SECOND]])
    return numbers[..., [kernel.FIRST, kernel.SECOND]], numbers[..., pairs]
