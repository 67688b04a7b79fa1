"""The genotypic model of logistic regression: every row fitted with copies and heterozygotes, on its complete cases."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.kernels.genotypes.counts import count_codes
from genassoc.kernels.likelihoods import logistic as kernel
from genassoc.kernels.likelihoods.cholesky import information
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import FINE, Trait
from genassoc.models.base import CODES, METHODS, BlockResult
from genassoc.models.logistic.null import NullLogistic
from genassoc.models.scan.family import Choices
from genassoc.models.scan.genotypic import (
    ADD,
    DOMDEV,
    JOINT,
    Classes,
    as_rows,
    for_three,
    neg_log_10_p_chi2_2,
    neg_log_10_p_f2,
    stacked,
    with_genotypes,
)
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.screen import State
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums, allele_counts, frequency, genotype_sums
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.tails import Z_975, neg_log_10_p_z


def test_block(choices: Choices, state: State, block: Block) -> BlockResult:
    """V x T x 3 rows.

    Raises
    ------
    TypeError
        The block holds dosages: a genotype is not known there.
    """
    calls = with_genotypes(block)
    columns = stacked([_of_trait(choices, null, calls) for null in state.nulls])
    return as_rows(state.traits, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_trait(choices: Choices, null: NullLogistic, block: GenotypeBlock) -> dict[str, Array]:
    """The three rows of each variant for one trait: columns (V, 3)."""
    V = block.n_variants
    own = genotype_sums(block, np.zeros(V, dtype=bool), null.columns, null.mask)
    cases = allele_counts(block, null.columns[null.y == 1], null.case_mask)
    counts, in_cases = np.empty((V, 4), np.int64), np.empty((V, 4), np.int64)
    count_codes(block.packed.view(np.uint64), null.mask, counts)
    count_codes(block.packed.view(np.uint64), null.case_mask, in_cases)
    code, taken = np.zeros(V, np.uint8), np.zeros(V, dtype=bool)
    for bad, reason in Classes(counts).without_estimate(own.mac, choices.min_mac, null.X.shape[1] + 2):
        code[bad & ~taken] = CODES.index(reason)
        taken |= bad
    if null.failure is not None:
        code[~taken] = CODES.index(null.failure)
        taken[:] = True
    fits = {name: np.full((V, 3), np.nan) for name in ("beta", "error", "model_error", "statistic", "neg_log_10_p")}
    fits["iterations"] = np.zeros((V, 3), np.int64)
    method = np.zeros((V, 3), np.uint8)
    separated = _separated(counts, in_cases) | (choices.correction == "firth_fallback" and bool(null.separated))
    for v in np.flatnonzero(~taken):
        g = minor_counts(block, np.zeros(V, dtype=bool), np.array([v]), null.columns)[0]
        name, found_out = _row(choices, null, g, bool(separated[v]), {key: values[v] for key, values in fits.items()})
        code[v] = CODES.index(found_out)
        method[v] = METHODS.index(name)
    return _finished(choices, null, own, cases, fits, method, code)


def _separated(counts: Array, in_cases: Array) -> BoolArray:
    """Where a genotype has no case or no control: one of the two effects has no finite estimate (V,)."""
    return np.asarray(((in_cases[:, :3] == 0) | (counts[:, :3] == in_cases[:, :3])).any(axis=1))


@dataclass(frozen=True)
class _Data:
    """One variant's complete cases: covariates (n, C) orthonormal, outcome, offset, copies and heterozygotes (n,)."""

    X: Float64Array
    y: Float64Array
    offset: Float64Array
    g: Float64Array
    h: Float64Array


def _row(
    choices: Choices, null: NullLogistic, calls: Float64Array, separated: bool, out: dict[str, Array]
) -> tuple[str | None, str | None]:
    """Fill ``out`` (3,) of one variant; the test that was made, and the code."""
    at = ~np.isnan(calls)
    basis = orthonormal_basis(null.X[at])
    g = np.ascontiguousarray(calls[at])
    data = _Data(
        np.ascontiguousarray(basis.Q), np.ascontiguousarray(null.y[at]), np.ascontiguousarray(null.offset[at]), g,
        (g == 1).astype(np.float64),
    )  # fmt: skip
    if data.y.min() == data.y.max():
        return None, "one_outcome"
    plink, fallback = choices.like == "plink2", choices.correction == "firth_fallback"
    always = choices.correction == "firth" and choices.correct_below >= 1.0
    test = "wald" if choices.test == "wald" else "lrt"
    if separated and choices.correction is None:
        return None, "separation"
    fine = not always and not separated and _fit(data, test, plink, out)
    if choices.correction is not None:
        below = not fine or (not fallback and out["neg_log_10_p"][JOINT] >= -np.log10(choices.correct_below))
        if below:
            test = "firth"
            fine = _fit(data, test, plink, out)
    if not fine:
        for values in out.values():
            values[:] = 0 if values.dtype.kind == "i" else np.nan
        return None, "not_converged"
    return test, None if basis.kept.all() else "covariate_collinear"


def _fit(data: _Data, test: str, plink: bool, out: dict[str, Array]) -> bool:
    """Estimates, tests of each column and of both; whether all fits converged."""
    C = data.X.shape[1]
    D = np.column_stack([data.X, data.g, data.h])
    whole = _maximum(D, data, test == "firth", C + 2, plink)
    if whole is None:
        return False
    objective, beta, L, iterations = whole
    covariance = np.linalg.inv(L @ L.T)[C:, C:]
    error = np.sqrt(np.diag(covariance))
    out["beta"][:JOINT], out["model_error"][:JOINT], out["iterations"][:] = beta[C:], error, iterations
    if test == "wald" or plink:
        wald = float(beta[C:] @ np.linalg.solve(covariance, beta[C:]))
        statistics = [*(beta[C:] / error), wald]
    else:
        # One column after the other is held at 0 (the last), then both.
        other = np.column_stack([data.X, data.h, data.g])
        held = [(ADD, other, C + 1), (DOMDEV, D, C + 1), (JOINT, D, C)]
        statistics = [np.nan] * 3
        for which, columns, n_free in held:
            restricted = _maximum(columns, data, test == "firth", n_free, False)
            if restricted is None:
                return False
            statistics[which] = max(0.0, 2.0 * (objective - restricted[0]))
        for which in (ADD, DOMDEV):
            statistics[which] = float(np.copysign(np.sqrt(statistics[which]), out["beta"][which]))
    out["statistic"][:] = statistics
    with np.errstate(invalid="ignore", divide="ignore"):
        z = out["statistic"][:JOINT]
        out["error"][:JOINT] = np.where(z == 0.0, error, np.abs(out["beta"][:JOINT]) / np.abs(z))
    out["neg_log_10_p"][:JOINT] = neg_log_10_p_z(out["statistic"][:JOINT])
    if plink:
        # PLINK 2 reads the joint Wald statistic as F with 2 and n degrees of freedom.
        out["statistic"][JOINT] *= 0.5
        n = np.array([float(data.y.size)])
        out["neg_log_10_p"][JOINT] = neg_log_10_p_f2(out["statistic"][JOINT:], n)[0]
    else:
        out["neg_log_10_p"][JOINT] = neg_log_10_p_chi2_2(out["statistic"][JOINT:])[0]
    return True


def _maximum(
    D: Float64Array, data: _Data, penalised: bool, n_free: int, plink: bool
) -> tuple[float, Float64Array, Float64Array, int] | None:
    """Objective, coefficients, factor of the information and iterations at the maximum; None where there is none."""
    n, P = D.shape
    share = float(data.y.mean())
    beta, L = np.zeros(P), np.zeros((P, P))
    beta[0] = np.log(share / (1 - share)) * np.sqrt(n)  # the constant's column is 1 / sqrt(n)
    fitted, trait = kernel.fitted_of(n), Trait(data.y, data.offset, np.ones(n))
    if plink and not penalised:
        status, iterations = kernel.fit_as_r(D, trait, beta, fitted, L)
        return None if status != FINE else (np.nan, beta, L, int(iterations))
    options = FitOptions(penalised, False, n_free)
    status, objective, iterations = kernel.fit(D, trait, options, beta, fitted, L)
    if status != FINE:
        return None
    if plink:
        # PLINK 2's standard errors under Firth's penalty are of X' diag((1 + h) w) X.
        J = np.empty((P, P))
        information(D, (1.0 + fitted.leverage) * fitted.w, J)
        L[:] = np.linalg.cholesky(J)
    return float(objective), beta, np.tril(L), int(iterations)


def _finished(
    choices: Choices,
    null: NullLogistic,
    own: GenotypeSums,
    cases: AlleleCounts,
    fits: dict[str, Array],
    method: Array,
    code: Array,
) -> dict[str, Array]:
    """All columns (V, 3)."""
    controls = frequency(own.allele_count - cases.allele_count, own.n_alleles - cases.n_alleles)
    half = Z_975 * fits["error"]
    return {
        "beta": fits["beta"],
        "standard_error": fits["error"],
        "ci_lower": fits["beta"] - half,
        "ci_upper": fits["beta"] + half,
        "effect_allele_frequency": for_three(own.frequency),
        "neg_log_10_p_value": fits["neg_log_10_p"],
        "mac": for_three(own.mac),
        "missing_rate": for_three(1.0 - own.n / max(null.n, 1)),
        "statistic": fits["statistic"],
        "effect_allele_frequency_cases": for_three(frequency(cases.allele_count, cases.n_alleles)),
        "effect_allele_frequency_controls": for_three(controls),
        "standard_error_model": fits["model_error"],
        "n": for_three(own.n),
        "n_cases": for_three(cases.n),
        "n_controls": for_three(own.n - cases.n),
        "iterations": fits["iterations"],
        "method": method,
        "code": for_three(code),
    }
