"""Linear regression with an interaction g x E: exact on each trait's own complete cases.

An interaction needs the sums of g and g e with covariates and residuals, two products of the block; rows whose sums
float32 cannot hold, rows past genome-wide significance and REGENIE's rows with HC3 are done from the calls in float64.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import interaction as kernel
from genassoc.models.base import BlockResult
from genassoc.models.linear.change import adjusted_for_baseline, of_change
from genassoc.models.linear.interaction_dense import fit_afresh
from genassoc.models.linear.null import NullModel, null_notes, own_nulls
from genassoc.models.linear.residual_law import withhold_heavy
from genassoc.models.scan.product import SQUARE, ThinMatrix, minor_counts
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.models.scan.tested import (
    Tested,
    as_rows,
    contrast_estimates,
    fewest_carriers,
    for_tests,
    tested_with,
    tests_of,
    too_few,
)
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.tails import neg_log_10_p_f, neg_log_10_p_t, t_quantile_975

CODES: tuple[str | None, ...] = (
    None, "collinear", "n_too_small", "covariate_collinear", "perfect_fit", "no_residual_variance", "monomorphic",
    "constant_genotype", "too_few_carriers", "leverage_of_one", "heavy_tails",
)  # fmt: skip
METHODS: tuple[str | None, ...] = (None, "t", "f", "t_hc3", "f_hc3")
GENOME_WIDE = 7.3  # rows past 5e-8 are computed in float64
ROBUST_ABOVE_MAC = 1000.0  # REGENIE's --rare-mac
_FLOATS = (
    "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value", "mac",
    "missing_rate", "statistic",
)  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved; see `genassoc.models.linear.model.Linear`.

    ``robust_above`` is the minor allele count above which variances are HC3's: REGENIE's, or infinity for none. ``check_tails``: rows
    whose carriers are too few for the tails of the residuals have no estimate.
    """

    impute: bool
    min_mac: float
    robust_above: float
    gate: bool
    check_tails: bool = False


@dataclass(frozen=True)
class Pattern:
    """Traits observed in the same samples, with E in them and the columns of the products.

    Attributes
    ----------
    null : NullModel
        ``gram`` is I.
    terms : Tested
    matrix : ThinMatrix or None
        Covariates without the constant, residuals, and E times all of them; None where all rows are done from the calls.
    squares : ThinMatrix or None
        e and e^2.
    """

    null: NullModel
    terms: Tested
    matrix: ThinMatrix | None
    squares: ThinMatrix | None


@dataclass(frozen=True)
class InteractionState:
    """What all blocks share; ``notes`` says, for people, what E is and which covariates were dropped."""

    traits: tuple[str, ...]
    tests: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    patterns: tuple[Pattern, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def nulls(self) -> tuple[NullModel, ...]:
        """Null models by pattern."""
        return tuple(pattern.null for pattern in self.patterns)

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        n = {int(trait): null.n for null in self.nulls for trait in null.traits}
        return [n[trait] for trait in range(len(self.traits))]


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
        notes = (*said[1:], *notes)
    state = state_of(choices, design, modifier, columns, width, model.rank_normalise)
    return replace(state, notes=(*state.notes, *notes))


def state_of(
    choices: Choices,
    design: Any,
    modifier: Modifier | None,
    block_columns: Int64Array,
    width: int,
    rank_normalise: bool = False,
) -> InteractionState:
    """What blocks need of a design that has the main effect of E; without a modifier there is g alone."""
    patterns = []
    nulls = own_nulls(design, block_columns, width, rank_normalise)
    for null in nulls:
        terms = tested_with(modifier, block_columns, null.columns, width)
        matrices = (None, None) if modifier is None or choices.robust_above < 0 else _laid_out(null, terms, width)
        patterns.append(Pattern(null, terms, *matrices))
    notes = null_notes(design, nulls)
    if choices.robust_above == ROBUST_ABOVE_MAC:
        notes += (f"variances are HC3's where the minor allele count is above {ROBUST_ABOVE_MAC:g}, else the model's",)
    return InteractionState(
        design.traits,
        tests_of(modifier),
        block_columns,
        mask_words(block_columns, width),
        tuple(patterns),
        int((~design.complete).sum()),
        notes,
    )


def design_with_modifier(model: Any, cohort: Any) -> tuple[Any, Modifier | None, tuple[str, ...]]:
    """The design with the main effect of E, E itself, and what there is to say about it."""
    if model.interaction is None:
        return cohort.design(model.traits, model.covariates, kind=model.outcome), None, ()
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    design = cohort.design(model.traits, covariates, kind=model.outcome)
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, design.complete)
    check_main_effect(modifier, design.X, design.complete)
    return design, modifier, (*joined, *modifier.notes)


def _laid_out(null: NullModel, terms: Tested, width: int) -> tuple[ThinMatrix, ThinMatrix]:
    e = np.zeros((width, 1))
    e[null.columns, 0] = terms.e
    columns = np.hstack([null.Q[:, 1:], null.R, e * null.Q, e * null.R])
    n_bytes = packed_bytes(width)
    return ThinMatrix.of(columns, n_bytes), ThinMatrix.of(np.hstack([e, e * e]), n_bytes, SQUARE)


def test_block(choices: Choices, state: InteractionState, block: Block) -> BlockResult:
    """V x T x K rows, K tests."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    shape = (block.n_variants, len(state.traits), len(state.tests))
    columns: dict[str, Array] = {name: np.full(shape, np.nan) for name in _FLOATS}
    columns |= {"n": np.zeros(shape, np.int64)}
    columns |= {name: np.zeros(shape, np.uint8) for name in ("method", "code")}
    for pattern in state.patterns:
        task = _Task(choices, pattern, block, flipped)
        for position, rows in _of_pattern(task):
            for name, values in rows.items():
                columns[name][:, pattern.null.traits[position]] = values
    return as_rows(state.traits, state.tests, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


@dataclass(frozen=True)
class _Task:
    """One pattern of traits in one block."""

    choices: Choices
    pattern: Pattern
    block: Block
    flipped: BoolArray


@dataclass
class _Numbers:
    """Rows being filled, as `genassoc.kernels.likelihoods.interaction` gives them: of the minor allele and of e."""

    numbers: Float64Array
    freedom: Float64Array
    status: Int64Array

    @classmethod
    def empty(cls, V: int, T: int) -> "_Numbers":
        return cls(np.full((V, T, kernel.N_NUMBERS), np.nan), np.full(V, np.nan), np.zeros((V, T), np.int64))


def _of_pattern(task: _Task) -> list[tuple[int, dict[str, Array]]]:
    """Position in the pattern and rows (V, K) of each trait."""
    null, choices = task.pattern.null, task.choices
    own = genotype_sums(task.block, task.flipped, null.columns, null.mask)
    V, T = own.n.size, null.R.shape[1]
    unusable, code = _without_estimate(task, own)
    robust = (own.mac > choices.robust_above) & ~unusable
    found = _Numbers.empty(V, T)
    again = np.ones((V, T), dtype=bool)
    if task.pattern.matrix is not None:
        _from_sums(task, own, found)
        lacking = own.pointers[1:] > own.pointers[:-1]
        unsure = (found.status != kernel.FINE) & (found.status != kernel.N_TOO_SMALL)
        again = (robust | (lacking & choices.impute))[:, None] | unsure | _quoted(task.pattern.terms, found)
    _from_calls(task, again & ~unusable[:, None], robust, found)
    codes = np.repeat(code[:, None], T, axis=1)
    codes[(found.status == kernel.N_TOO_SMALL) & ~unusable[:, None]] = CODES.index("n_too_small")
    codes[(found.status == kernel.LEVERAGE) & ~unusable[:, None]] = CODES.index("leverage_of_one")
    _fit_ill_rows(task, robust, found, codes, unusable)
    rows = [_rows(task, own, t, found, codes[:, t], robust) for t in range(T)]
    if choices.check_tails:
        carriers = fewest_carriers(task.block, task.pattern.terms)
        for t in range(T):
            withhold_heavy(rows[t], null.laws[t], carriers, CODES.index("heavy_tails"))
    return list(enumerate(rows))


def _without_estimate(task: _Task, own: GenotypeSums) -> tuple[BoolArray, Array]:
    """Variants without an estimate whatever the trait, and their codes."""
    choices, terms = task.choices, task.pattern.terms
    few = own.tested_mac < choices.min_mac
    if terms.with_e and choices.gate:
        few |= too_few(task.block, terms)
    code, taken = np.zeros(own.n.size, np.uint8), np.zeros(own.n.size, dtype=bool)
    for bad, reason in (
        (own.n == 0, "n_too_small"),
        (own.constant & (own.mac > 0), "constant_genotype"),
        (own.constant, "monomorphic"),
        (few, "too_few_carriers"),
    ):
        code[bad & ~taken] = CODES.index(reason)
        taken |= bad
    return taken, code


def _from_sums(task: _Task, own: GenotypeSums, found: _Numbers) -> None:
    null, pattern = task.pattern.null, task.pattern
    assert pattern.matrix is not None and pattern.squares is not None
    C, T = null.Q.shape[1], null.R.shape[1]
    product = pattern.matrix.times(task.block, task.flipped)
    squares = pattern.squares.times(task.block, task.flipped)
    QG, RG, QGE, RGE = (np.ascontiguousarray(part) for part in np.split(product, np.cumsum([C - 1, T, C]), axis=1))
    constant = own.sum_g / np.sqrt(max(null.n, 1))
    kernel.from_sums(
        own.n, np.column_stack([own.sum_g2, squares]), np.column_stack([constant, QG]), QGE, RG, RGE, own.pointers,
        own.indices, null.Q, null.R, null.rss, found.numbers, found.freedom, found.status,
    )  # fmt: skip


def _quoted(terms: Tested, found: _Numbers) -> BoolArray:
    """Variants (V,) with a test past genome-wide significance for any trait of the pattern."""
    theta, covariance = _coefficients(terms, found.numbers)
    beta, error = contrast_estimates(terms, theta, covariance)
    freedom = np.where(found.freedom >= 1, found.freedom, np.nan)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        logp = neg_log_10_p_t(beta / error, freedom[:, :, None])
    logp[:, :, terms.joint] = neg_log_10_p_f(found.numbers[:, :, kernel.F], 2, freedom)
    return np.asarray((np.nan_to_num(logp) > GENOME_WIDE).any(axis=2))


def _from_calls(task: _Task, chosen: BoolArray, robust: BoolArray, found: _Numbers) -> None:
    """Do the chosen rows (V, T) from the calls of every sample."""
    null, terms = task.pattern.null, task.pattern.terms
    Q, R = np.ascontiguousarray(null.Q[null.columns]), np.ascontiguousarray(null.R[null.columns])
    variants = np.flatnonzero(chosen.any(axis=1))
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        calls = _calls(task, some)
        own = _Numbers.empty(some.size, R.shape[1])
        e = terms.e if terms.with_e else np.zeros(null.n)
        kernel.from_calls(
            calls, e, terms.with_e, robust[some], Q, R, null.rss, own.numbers, own.freedom, own.status
        )  # fmt: skip
        # Only the rows that asked for it: what becomes of a trait must not depend on the others.
        which = chosen[some]
        found.freedom[some] = own.freedom
        for name in ("numbers", "status"):
            part = getattr(found, name)[some]
            part[which] = getattr(own, name)[which]
            getattr(found, name)[some] = part


def _calls(task: _Task, variants: Int64Array) -> Float64Array:
    """Copies of the minor allele in the pattern's samples (R, n), NaN or the mean where not observed."""
    calls = minor_counts(task.block, task.flipped, variants, task.pattern.null.columns)
    missing = np.isnan(calls)
    if task.choices.impute and missing.any():
        n = np.maximum((~missing).sum(axis=1), 1)
        means = np.where(missing, 0.0, calls).sum(axis=1) / n
        np.copyto(calls, means[:, None], where=missing)
    return calls


def _fit_ill_rows(task: _Task, robust: BoolArray, found: _Numbers, codes: Array, unusable: BoolArray) -> None:
    """Fit the rows in which even float64 sums cancel on their own complete cases."""
    null, terms = task.pattern.null, task.pattern.terms
    for v, t in np.argwhere((found.status == kernel.ILL) & ~unusable[:, None]):
        g = _calls(task, np.array([v]))[0]
        at = ~np.isnan(g)
        columns = null.columns[at]
        H = np.column_stack([g[at], g[at] * terms.e[at]]) if terms.with_e else g[at, None]
        fit = fit_afresh(H, null.Q[columns], null.R[columns, t], bool(robust[v]))
        found.numbers[v, t], found.freedom[v], codes[v, t] = fit.numbers, fit.freedom, CODES.index(fit.code)


def _coefficients(terms: Tested, numbers: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Coefficients (..., D) and covariances (..., D, D) of rows' numbers (..., N_NUMBERS)."""
    D = terms.contrasts.shape[1]
    pairs = np.array([[kernel.VAR_G, kernel.COVARIANCE], [kernel.COVARIANCE, kernel.VAR_GE]])[:D, :D]
    return numbers[..., [kernel.G, kernel.GE][:D]], numbers[..., pairs]


def _rows(task: _Task, own: GenotypeSums, t: int, found: _Numbers, code: Array, robust: BoolArray) -> dict[str, Array]:
    """Rows (V, K) of ALT of one trait."""
    null, terms = task.pattern.null, task.pattern.terms
    K = len(terms.tests)
    fine = np.isin(code, [CODES.index(None), CODES.index("covariate_collinear")])
    numbers = np.where(fine[:, None], found.numbers[:, t], np.nan)
    beta, error = contrast_estimates(terms, *_coefficients(terms, numbers))
    beta = beta * np.where(task.flipped, -1.0, 1.0)[:, None] * null.scale[t]
    error = error * null.scale[t]
    freedom = np.where(fine & (found.freedom >= 1), found.freedom, np.nan)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        statistic = beta / error
    logp = neg_log_10_p_t(statistic, freedom)
    method = np.where(robust, METHODS.index("t_hc3"), METHODS.index("t"))[:, None].repeat(K, axis=1)
    if terms.joint >= 0:
        statistic[:, terms.joint] = numbers[:, kernel.F]
        logp[:, terms.joint] = neg_log_10_p_f(numbers[:, kernel.F], 2, freedom[:, 0])
        method[:, terms.joint] += METHODS.index("f") - METHODS.index("t")
    half = t_quantile_975(freedom) * error
    n = np.full(own.n.size, null.n) if task.choices.impute else own.n
    return {
        "beta": beta,
        "standard_error": error,
        "ci_lower": beta - half,
        "ci_upper": beta + half,
        "statistic": statistic,
        "neg_log_10_p_value": logp,
        "method": np.where(fine[:, None], method, 0).astype(np.uint8),
        "effect_allele_frequency": for_tests(own.frequency, K),
        "mac": for_tests(own.mac, K),
        "missing_rate": for_tests(1.0 - own.n / max(null.n, 1), K),
        "n": for_tests(n, K),
        "code": for_tests(code, K),
    }
