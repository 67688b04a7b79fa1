"""The rows of one endpoint in one block: scores from the product, then what some rows need beyond it."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.laws import few_events
from genassoc.kernels.likelihoods import cox_rows
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.cox_screen import screen
from genassoc.models.base import CODE
from genassoc.models.cox.null import NullCox
from genassoc.models.scan.product import minor_counts, rare_counts
from genassoc.models.scan.rows import Rows, chunks, unusable
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums, allele_counts, frequency, genotype_sums
from genassoc.models.scan.tested_rows import (
    EXACT_BELOW_EXPECTED,
    EXACT_BELOW_MAC,
    FULL_ABOVE_BETA,
    FULL_ABOVE_COPIES,
    one_step_is_enough,
    trigger,
)
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import LEAST_OF_SANDWICH
from genassoc.stats.tails import neg_log_10_p_chi2, z_from_neg_log_10_p

_STATUS_CODE = {
    kernel.NOT_CONVERGED: "not_converged",
    kernel.NULL_NOT_CONVERGED: "null_not_converged",
    kernel.COLLINEAR: "collinear",
    kernel.ONE_OUTCOME: "no_events",
    kernel.TAIL_FAILED: "tail_failed",
}
_ASKED = {
    "score": kernel.SCORE,
    "wald": kernel.WALD,
    "lrt": kernel.LRT,
    "firth": kernel.FIRTH,
    "firth_approx": kernel.FIRTH_APPROX,
    "spa": kernel.SPA,
    "exact": kernel.EXACT,
}
EXACT_BELOW = 0.05  # rows that may be below it are not left at the screen
SCREEN_SLACK = 0.99  # of chi-squared: float32 sums and the iterated eigenvalues, 1e-5 and 1e-3
# Where calls are missing, U is one Newton step from the truth and the bounds are approximate: exact from p = 0.1 on.
CHI2_MISSING = 2.705543454095404
WEAK_SHARE = 0.02  # of sum c g^2: with less left, float32 sums do not hold five digits
FIRTH_IN_FULL = 1e-4  # below it the approximate Firth test is done again on all coefficients
SPA_LEAST_MAC = 20


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved; see `genassoc.models.cox.model.Cox`."""

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float


@dataclass(frozen=True)
class _Task:
    """One endpoint in one block, and what is being made of it."""

    choices: Choices
    null: NullCox
    block: Block
    flipped: BoolArray
    own: GenotypeSums
    events: AlleleCounts
    rows: Rows
    usable: BoolArray


def test_endpoint(
    choices: Choices, null: NullCox, block: Block, flipped: BoolArray, product: Float64Array, squares: Float64Array
) -> dict[str, Array]:
    """All columns of one endpoint, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)
    rows = Rows.empty(own.n.size)
    U, information, least = _screen(choices, null, own, product, squares, rows)
    reasons = [
        *unusable(own, null.Q.shape[1], choices.min_mac),
        ((events.n == 0) & (not choices.impute), "no_events"),
    ]
    usable = rows.fail_unusable(reasons, null.failure)
    task = _Task(choices, null, block, flipped, own, events, rows, usable)
    if choices.test == "score":
        _one_by_one(task, np.flatnonzero(usable & _may_matter(task, U, information, least, squares)), "score")
        _correct(task)
    else:
        _refit(task)
    return _finished(task)


test_endpoint.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _screen(
    choices: Choices, null: NullCox, own: GenotypeSums, product: Float64Array, squares: Float64Array, rows: Rows
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Scores of all variants from the product, with the largest and the smallest information they can have."""
    V = own.n.size
    U, information, least = np.empty(V), np.empty(V), np.empty(V)
    mine = np.ascontiguousarray(product[:, null.at : null.at + null.thin.shape[1]])
    mean = own.sum_g / np.maximum(own.n, 1)
    screen(
        mine, squares, own.pointers, own.indices, null.thin, null.moves, null.weight, null.share, null.rest, mean,
        choices.impute, U, information, least,
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(information)
        rows.put(np.arange(V), "score_approx", U / information, 1 / root, U / root)
    return U, information, least


def _may_matter(
    task: _Task, U: Float64Array, information: Float64Array, least: Float64Array, squares: Float64Array
) -> BoolArray:
    """Rows whose exact p may be below `EXACT_BELOW` (or where they are corrected), or that the product cannot give."""
    choices, null, own = task.choices, task.null, task.own
    cut = z_from_neg_log_10_p(-np.log10(np.maximum(EXACT_BELOW, _trigger(task)))) ** 2
    weak = ~(information > WEAK_SHARE * squares)
    with np.errstate(invalid="ignore", divide="ignore"):
        largest = np.where(least > 0, U**2 / least, np.inf)
        chi2 = U**2 / information
    matter = weak | ~(largest < SCREEN_SLACK * cut)
    if choices.impute:
        return np.asarray(matter)
    matter |= ~one_step_is_enough(own, null.n, null.n_events, task.events.n)
    return np.asarray(matter | ((own.n < null.n) & (chi2 >= np.minimum(CHI2_MISSING, 0.7 * cut))))


def _expected(task: _Task) -> Float64Array:
    """Minor alleles expected among the events (V,)."""
    return np.asarray(task.own.tested_mac * task.null.n_events / max(task.null.n, 1))


def _trigger(task: _Task) -> Float64Array:
    """p of the first test below which a row is corrected (V,)."""
    if task.choices.correction is None:
        return np.full(task.own.n.size, task.choices.correct_below)
    return trigger(task.choices.correct_below, _expected(task), task.own.tested_mac)


def _below(task: _Task) -> BoolArray:
    """Rows with an estimate whose first test asks for a correction (V,)."""
    if task.choices.correct_below <= 0:
        return np.zeros(task.usable.size, dtype=bool)
    estimated = task.usable & np.isin(task.rows.code, (0, CODE["covariate_collinear"]))
    with np.errstate(invalid="ignore"):
        return np.asarray(estimated & (task.rows.neg_log_10_p >= -np.log10(_trigger(task))))


def _rare(task: _Task) -> BoolArray:
    """Rows with too few carriers, or too few of them expected among the events, for a chi-squared (V,)."""
    return np.asarray((task.own.tested_mac < EXACT_BELOW_MAC) | (_expected(task) < EXACT_BELOW_EXPECTED))


def _refit(task: _Task) -> None:
    """Wald or likelihood ratio tests of all rows; Firth where a likelihood has no maximum, or below ``correct_below``; few events exactly."""
    choices, rows = task.choices, task.rows
    every = np.flatnonzero(task.usable)
    none = (_minor_among_events(task) == 0) & task.usable
    _one_by_one(task, every, choices.test)
    if choices.correction is None:
        if choices.test == "wald":
            rows.fail(none & (rows.code == CODE["not_converged"]), "no_carrier_events")
        return
    again = none | (task.usable & (rows.code == CODE["not_converged"]))
    below = _below(task)
    rare = _rare(task) & (below | again)
    if choices.correction == "firth":
        again |= below
    _exactly(task, np.flatnonzero(rare))
    _one_by_one(task, np.flatnonzero(again & ~rare), "firth")


def _bound(p: float) -> float:
    """-log10 of a p, infinite at 0."""
    return -np.log10(p) if p > 0 else np.inf


def _minor_among_events(task: _Task) -> Float64Array:
    """Copies of the rarer allele (or state) tested among the events, rarer among the samples analysed."""
    own, events = task.own, task.events
    tested = np.where(task.flipped, 2 * own.n - own.sum_g, own.sum_g)
    return np.where(tested <= own.n, events.coded, 2 * events.n - events.coded)


def _correct(task: _Task) -> None:
    """Rows below ``correct_below`` by the correction chosen; where events are too few for any, exactly."""
    choices, rows, own = task.choices, task.rows, task.own
    if choices.correction is None or choices.correct_below <= 0:
        return
    below = _below(task)
    if choices.correction == "spa":
        some = np.flatnonzero(below & (own.tested_mac >= SPA_LEAST_MAC))
        status = _one_by_one(task, some, "spa")
        _one_by_one(task, some[status == kernel.NOT_CONVERGED], "firth")
        below &= own.tested_mac < SPA_LEAST_MAC
    rare = below & _rare(task)
    _exactly(task, np.flatnonzero(rare))
    common = np.flatnonzero(below & ~rare)
    if choices.correction == "firth":
        _one_by_one(task, common, "firth")
        return
    status = _one_by_one(task, common, "firth_approx")
    # The approximation's likelihood can rise without end where the full model's does not, or its estimate move the covariates.
    with np.errstate(invalid="ignore"):
        full = (status == kernel.NOT_CONVERGED) | (rows.neg_log_10_p[common] >= _bound(FIRTH_IN_FULL))
        frequent = own.tested_mac[common] > FULL_ABOVE_COPIES * own.n[common]
        full |= frequent & (np.abs(rows.beta[common]) > FULL_ABOVE_BETA)
    _one_by_one(task, common[full], "firth")


def _exactly(task: _Task, variants: Int64Array) -> None:
    """Firth's estimate with the p of the exact test of the calls observed; of dosages that are no whole numbers, of few events."""
    whole = np.ones(variants.size, np.bool_)
    if isinstance(task.block, DosageBlock):
        whole = task.block.whole()[variants]
    status = _one_by_one(task, variants[whole], "exact")
    _one_by_one(task, variants[whole][status != kernel.FINE], "firth")
    _unrounded(task, variants[~whole])


def _unrounded(task: _Task, variants: Int64Array) -> None:
    """Rare variants of dosages: Firth's estimate with the p of the law of few events, of more with the saddlepoint's."""
    null, rows = task.null, task.rows
    if null.n_events >= LEAST_OF_SANDWICH:
        status = _one_by_one(task, variants, "spa")
        _one_by_one(task, variants[status != kernel.FINE], "firth")
        return
    status = _one_by_one(task, variants, "firth_approx")
    again = status != kernel.FINE
    status[again] = _one_by_one(task, variants[again], "firth")
    fitted = variants[status == kernel.FINE]
    eta = null.Q[:, 1:] @ null.start
    risk, sizes = np.exp(eta - eta.max(initial=-np.inf)), np.where(null.sets.event, 1.0, 0.0)
    for first, last in chunks(fitted.size, null.n):
        some = fitted[first:last]
        G = minor_counts(task.block, task.flipped, some, null.columns)
        found, there = np.empty(some.size), np.zeros(some.size, np.bool_)
        few_events.hazard_rows(G, risk, sizes, null.sets, task.choices.impute, found, there)
        rows.put_p(some[there], "exact", found[there] / np.log(10.0))
        rows.fail(some[~there], "tail_failed")


def _one_by_one(task: _Task, variants: Int64Array, test: str) -> Int64Array:
    """Do a test of some variants on dense calls, a chunk at a time; their status."""
    choices, null, rows = task.choices, task.null, task.rows
    status = np.zeros(variants.size, np.int64)
    # Of a score only what is not corrected afterwards is a final row: the test of proportional hazards is of those.
    trend = test != "score" or choices.correction is None
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        R = some.size
        numbers, state, dropped = np.empty((R, kernel.N_NUMBERS)), np.zeros(R, np.int64), np.zeros(R, np.bool_)
        if test == "exact":
            G = rare_counts(task.block, task.flipped, some, null.columns, np.zeros(R, np.bool_))
        else:
            G = minor_counts(task.block, task.flipped, some, null.columns)
        cox_rows.analyse_rows(
            G, np.full(R, _ASKED[test]), np.full(R, trend), null.Q, null.sets, null.start, null.cross, null.L,
            null.times, choices.impute and test != "exact", numbers, state, dropped,
        )  # fmt: skip
        fine = state == kernel.FINE
        done, found = some[fine], numbers[fine]
        rows.put(done, test, found[:, kernel.BETA], found[:, kernel.MODEL_SE], found[:, kernel.STATISTIC])
        rows.iterations[done] = found[:, kernel.ITERATIONS].astype(np.int64)
        rows.trend[done] = neg_log_10_p_chi2(found[:, kernel.TREND], 1.0)
        rows.bound(done, found[:, kernel.LOWER], found[:, kernel.UPPER])
        if test in ("spa", "exact"):
            rows.put_p(done, test, found[:, kernel.NEG_LOG_P] / np.log(10.0))
        rows.code[some[dropped & fine]] = CODE["covariate_collinear"]
        for failed, code in _STATUS_CODE.items():
            rows.fail(some[state == failed], code)
        status[first:last] = state
    return status


def _finished(task: _Task) -> dict[str, Array]:
    """Rows of ALT."""
    choices, null, own, rows = task.choices, task.null, task.own, task.rows
    columns = rows.finished(own, task.flipped, null.n, choices.impute)
    with np.errstate(invalid="ignore"):
        past = rows.neg_log_10_p >= _bound(max(choices.correct_below, 0.0))
    iterations = columns.pop("iterations")
    return {
        "effect_allele_frequency_events": frequency(task.events.allele_count, task.events.n_alleles),
        **columns,
        "ph_neg_log_10_p_value": np.where(past, rows.trend, np.nan),
        "n_events": np.full(own.n.size, null.n_events) if choices.impute else task.events.n,
        "iterations": iterations,
    }
