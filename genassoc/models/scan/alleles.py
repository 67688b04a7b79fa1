"""The k alleles of one record tested at once: k columns of copies, one test of all their coefficients."""

import numpy as np

from genassoc.data.block import Block
from genassoc.models.base import BlockResult
from genassoc.models.scan.joint_screen import Scoring, least_rate
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, genotype_sums
from genassoc.models.scan.tested import ADDITIVE, Tested, alleles_at_once
from genassoc.models.scan.wald import Asked, FittedState, RowFamily, fit_rows, too_few_events
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.information import FEW_EVENTS


def set_block(asked: Asked, state: FittedState, block: Block, size: int) -> BlockResult:
    """A row a trait for each set of ``size`` alleles, which stand one after another in the block.

    Columns: ``statistic`` and ``df`` (chi-squared with as many degrees of freedom as alleles; where tests are F's, also
    ``degrees_of_freedom``, of the denominator), ``neg_log_10_p_value``, ``n``, ``mac`` (of the rarest allele, REF too), ``missing_rate``.
    """
    tested = alleles_at_once([str(allele) for allele in range(size)])
    by_trait = [_of_trait(asked, null, tested, block) for null in state.nulls]
    return assembled(state.traits, by_trait, tested.tests)


def _of_trait(asked: Asked, null: RowFamily, tested: Tested, block: Block) -> dict[str, Array]:
    """All columns (R, 1) of one trait."""
    size = tested.n_columns
    R = block.n_variants // size
    as_called = np.zeros(
        block.n_variants, dtype=bool
    )  # a test of all coefficients does not ask which allele is counted
    own = genotype_sums(block, as_called, null.columns, null.mask)

    def any_allele(values: BoolArray) -> BoolArray:
        return np.asarray(values.reshape(R, size).any(axis=1))

    rows = Rows.empty(R, 1)
    reasons = [*unusable(own, null.n_parameters + size - 1, asked.min_mac), *null.reasons(own, block, asked.impute)]
    reasons.append((too_few_events(asked, null, ADDITIVE, own, block), FEW_EVENTS))
    # Where REF is rare no ALT is, but all of them together are a column that nearly nobody varies in.
    reference = _reference_copies(own, size)
    reasons.append((np.repeat(reference < asked.min_mac, size), "too_few_carriers"))
    usable = rows.fail_unusable([(any_allele(bad), code) for bad, code in reasons], null.failure)
    n = np.zeros(R, dtype=np.int64)
    mac = np.minimum(own.mac.reshape(R, size).min(axis=1), reference)
    observed = own.n.reshape(R, size).max(axis=1)
    for first, last in chunks(R, null.n * size):
        H = _columns(asked, block, null, as_called, slice(first * size, last * size), size)
        n[first:last] = np.count_nonzero(~np.isnan(H[:, 0]), axis=1)
        # Samples that lack the call of one allele only take their copies of the others with them.
        left_out = (n < observed)[first:last]
        mac[first:last][left_out] = np.minimum(mac[first:last], _fewest_copies(H))[left_out]
        rows.fail(first + np.flatnonzero((usable & (mac < asked.min_mac))[first:last]), "too_few_carriers")
        some = np.flatnonzero((usable & (mac >= asked.min_mac))[first:last])
        rows.fail(first + some[n[first + some] <= null.n_parameters + size], "n_too_small")
        some = some[n[first + some] > null.n_parameters + size]
        if some.size and asked.screens:
            # At least half as many carry an allele as there are copies.
            scoring = Scoring(tested, asked.correct_below, 0.5 * mac * least_rate(null.expected), rows)
            wanted = scoring.large_enough[first + some]
            some = some[~scoring.from_columns(null.score_tests, first + some, H[some], wanted)]
        if some.size:
            fit_rows(asked, null, tested, first + some, H[some], rows)
    columns = {
        "statistic": rows.statistic,
        "df": np.full((R, 1), size),
        "neg_log_10_p_value": rows.neg_log_10_p,
        "mac": mac[:, None],
        "missing_rate": (1.0 - n / max(null.n, 1))[:, None],
        "n": n[:, None],
        "iterations": rows.iterations,
        "method": rows.method,
        "code": rows.code,
    }
    if null.student(asked.variance):
        columns["degrees_of_freedom"] = np.where(np.isnan(rows.statistic), np.nan, rows.df)
    return null.withheld(columns, mac)  # hardly anybody carries a rare allele twice


def _reference_copies(own: GenotypeSums, size: int) -> Float64Array:
    """Copies (R,) of what is none of the tested alleles; where calls of some alleles only are missing, by frequencies."""
    n_alleles = own.n_alleles.reshape(-1, size)
    fewest = n_alleles.min(axis=1)
    # A ratio of 1 where the same samples have all calls: then the count is exact.
    copies = own.allele_count.reshape(-1, size) * (fewest[:, None] / np.maximum(n_alleles, 1))
    return np.maximum(fewest - copies.sum(axis=1), 0.0)


def _fewest_copies(H: Float64Array) -> Float64Array:
    """Copies (R,) of the rarest allele, REF too, in columns (R, size, n)."""
    copies = np.nansum(H, axis=2)
    reference = 2 * np.count_nonzero(~np.isnan(H[:, 0]), axis=1) - copies.sum(axis=1)
    return np.asarray(np.minimum(copies.min(axis=1), reference))


def _columns(
    asked: Asked, block: Block, null: RowFamily, as_called: BoolArray, alleles: slice, size: int
) -> Float64Array:
    """Copies of each allele (R, size, n); NaN in all where one is not observed, or the mean of those observed."""
    calls = minor_counts(block, as_called, np.arange(block.n_variants)[alleles], null.columns)
    H = calls.reshape(-1, size, calls.shape[1])
    missing: BoolArray = np.asarray(np.isnan(H))
    if asked.impute:
        means = np.where(missing, 0.0, H).sum(axis=2) / np.maximum((~missing).sum(axis=2), 1)
        return np.where(missing, means[:, :, None], H)
    return np.where(np.asarray(missing.any(axis=1))[:, None, :], np.nan, H)
