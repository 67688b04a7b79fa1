"""The rows of one binary trait in one block: score tests from the product, then what some rows need beyond it."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.laws import exact_rare, few_events
from genassoc.kernels.likelihoods import logistic_score
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.models.base import CODE, METHOD
from genassoc.models.logistic.dense import analyse_dense
from genassoc.models.logistic.null import NullLogistic
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

_STATUS_CODE = {
    kernel.NOT_CONVERGED: "not_converged",
    kernel.NULL_NOT_CONVERGED: "null_not_converged",
    kernel.COLLINEAR: "collinear",
    kernel.ONE_OUTCOME: "one_outcome",
    kernel.TAIL_FAILED: "spa_failed",
}
_ASKED = {
    "score": kernel.SCORE,
    "wald": kernel.WALD,
    "lrt": kernel.LRT,
    "firth": kernel.FIRTH,
    "firth_approx": kernel.FIRTH_APPROX,
    "firth_plink2": kernel.FIRTH_PLINK2,
    "wald_plink2": kernel.WALD_PLINK2,
}
WEAK_DIRECTION = 0.05  # as in kernels/genotypes/linear.py: below these float32 sums do not hold five digits
WEAK_SHARE = 0.02
SPARSE_BELOW_MAC = 50  # REGENIE's sparse penalty
RUNAWAY_BETA, RUNAWAY_Z = 10.0, 0.5  # log odds above, and Wald's z below which, a fit has no maximum


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved; see `genassoc.models.logistic.model.Logistic`."""

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float
    like: str | None


@dataclass(frozen=True)
class _Task:
    """One trait in one block, and what is being made of it."""

    choices: Choices
    null: NullLogistic
    block: Block
    flipped: BoolArray
    own: GenotypeSums
    cases: AlleleCounts
    rows: Rows
    usable: BoolArray


def test_trait(
    choices: Choices, null: NullLogistic, block: Block, flipped: BoolArray, product: Float64Array, squares: Float64Array
) -> dict[str, Array]:
    """All columns of one trait, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    cases = allele_counts(block, null.columns[null.y == 1], null.case_mask)
    rows, weak = _score(choices, null, own, product, squares)
    usable = rows.fail_unusable(unusable(own, null.X.shape[1], choices.min_mac), null.failure)
    task = _Task(choices, null, block, flipped, own, cases, rows, usable)
    _refine(task, weak)
    return _finished(task)


test_trait.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _score(
    choices: Choices, null: NullLogistic, own: GenotypeSums, product: Float64Array, squares: Float64Array
) -> tuple[Rows, BoolArray]:
    """Score tests of all variants from the product, and where float32 sums or one Newton step are not enough."""
    V, C = own.n.size, null.X.shape[1]
    U, information, weakest = np.empty(V), np.empty(V), np.empty(V)
    gQ = np.ascontiguousarray(product[:, null.at : null.at + C])
    gr = np.ascontiguousarray(product[:, null.at + C])
    mean = own.sum_g / np.maximum(own.n, 1)
    logistic_score.score_with_missing(
        gQ, gr, squares, own.pointers, own.indices, null.WQ, null.Q, null.weight, null.residual, mean, choices.impute,
        U, information, weakest,
    )  # fmt: skip
    # Against the uncentred squares: an allele rare here may be the major one of the cohort.
    weak = ~(information > WEAK_SHARE * squares) | (weakest < WEAK_DIRECTION) | ~(information > 0)
    rows = Rows.empty(V)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(information)
        rows.put(np.arange(V), "score", U / information, 1 / root, U / root)
    if not choices.impute:
        rows.method[own.n < null.n] = METHOD["score_approx"]
    return rows, weak


def _refine(task: _Task, weak: BoolArray) -> None:
    """Everything beyond the product, in place."""
    choices, null, own, rows, usable = task.choices, task.null, task.own, task.rows, task.usable
    if choices.test != "score":
        every = np.flatnonzero(usable)
        fallback = choices.correction == "firth_fallback"
        whole = choices.correction in ("firth", "firth_fallback") and choices.correct_below >= 1.0
        style = "_plink2" if choices.like == "plink2" else ""
        firth = f"firth{style}"
        test = f"wald{style}" if choices.test == "wald" else choices.test
        chosen = np.full(every.size, _ASKED[firth if whole else test])
        if fallback and not whole:
            chosen[_no_dosage(task)[every] | bool(null.separated)] = _ASKED[firth]
        status = _one_by_one(task, every, chosen)
        if choices.like == "plink2" and choices.correction is None:
            rows.fail(usable & (_no_dosage(task) | ran_away(rows.beta, rows.statistic)), "separation")
        if fallback:
            away = ran_away(rows.beta, rows.statistic)[every]
            again = every[((status == kernel.NOT_CONVERGED) | away) & (chosen != _ASKED[firth])]
            _one_by_one(task, again, np.full(again.size, _ASKED[firth]))
        elif choices.correction is not None and not whole:
            _correct(task)
        return
    refit = np.flatnonzero(usable & weak)
    if not choices.impute:
        enough = one_step_is_enough(own, null.n, null.n_cases, task.cases.n)
        refit = np.flatnonzero(usable & (weak | ~enough))
    if choices.correct_below > 0 and not choices.impute:
        below = rows.neg_log_10_p >= -np.log10(_trigger(task))
        refit = np.union1d(refit, np.flatnonzero(usable & below & (own.n < null.n)))
    _one_by_one(task, refit, np.full(refit.size, kernel.SCORE))
    _correct(task)


def ran_away(beta: Float64Array, z: Float64Array) -> BoolArray:
    """Which fits stopped, by PLINK 2's rule, on the way to an infinite estimate: their standard errors outrun it."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(beta) > RUNAWAY_BETA) & (np.abs(z) < RUNAWAY_Z))


def _no_dosage(task: _Task) -> BoolArray:
    """PLINK 2: cases, or controls, are without either allele (or state) of what is tested; the same whichever is ALT."""
    own, cases = task.own, task.cases
    tested = np.where(task.flipped, 2 * own.n - own.sum_g, own.sum_g)
    absent = np.zeros(own.n.size, np.bool_)
    for n, coded in ((cases.n, cases.coded), (own.n - cases.n, tested - cases.coded)):
        absent |= (coded == 0) | (coded == 2 * n)
    return absent


def _correct(task: _Task) -> None:
    """Rows below ``correct_below`` by the correction chosen."""
    choices, null, own, rows, usable = task.choices, task.null, task.own, task.rows, task.usable
    if choices.correction is None or choices.correction == "firth_fallback":
        return
    # Rows that lost a covariate to missing calls are corrected as any other; a Wald test that ran away is, too.
    estimated = usable & np.isin(rows.code, (0, CODE["covariate_collinear"]))
    below = np.zeros(usable.size, dtype=bool)
    if choices.correct_below > 0:
        with np.errstate(invalid="ignore"):
            below = estimated & (rows.neg_log_10_p >= -np.log10(_trigger(task)))
        below |= usable & (rows.code == CODE["not_converged"])
    rare = np.zeros(usable.size, dtype=bool)
    if choices.like is None and null.rarer is not None:
        rare = estimated & (own.tested_mac < EXACT_BELOW_MAC)
        rare |= below & (_expected(task) < EXACT_BELOW_EXPECTED)
    common = np.flatnonzero(below & ~rare)
    if choices.correction == "spa":
        asked = "score" if choices.like == "regenie" else "firth_approx"
        _one_by_one(task, common, _ask(asked, common), saddlepoint=True)
        again = common[_moves_covariates(task, common)]
        _one_by_one(task, again, _ask("firth", again), saddlepoint=True)
    else:
        status = _one_by_one(task, common, _ask(choices.correction, common))
        if choices.correction == "firth_approx":
            # The approximation's likelihood can rise without end where the full model's does not.
            again = common[(status == kernel.NOT_CONVERGED) | _moves_covariates(task, common)]
            _one_by_one(task, again, _ask("firth", again))
    if rare.any():
        _test_exactly(task, np.flatnonzero(rare))


def _expected(task: _Task) -> Float64Array:
    """Minor alleles expected in the smaller group (V,)."""
    null = task.null
    return np.asarray(task.own.tested_mac * (min(null.n_cases, null.n - null.n_cases) / max(null.n, 1)))


def _trigger(task: _Task) -> Float64Array:
    """p of the first test below which a row is corrected (V,): wider where events or carriers are few; as it is said under ``like``."""
    if task.choices.like is not None:
        return np.full(task.own.n.size, task.choices.correct_below)
    return trigger(task.choices.correct_below, _expected(task), task.own.tested_mac)


def _moves_covariates(task: _Task, variants: Int64Array) -> BoolArray:
    """Whose approximate Firth estimate holds the covariates where the full model would not (R,); REGENIE holds them always."""
    own, cases, rows = task.own, task.cases, task.rows
    if task.choices.like == "regenie":
        return np.zeros(variants.size, np.bool_)
    tested = np.where(task.flipped, 2 * own.n - own.sum_g, own.sum_g)
    minor_is_tested = tested <= own.n
    among_cases = np.where(minor_is_tested, cases.coded, 2 * cases.n - cases.coded)
    among_all = np.where(minor_is_tested, tested, 2 * own.n - tested)
    with np.errstate(invalid="ignore", divide="ignore"):
        most = np.fmax(among_cases / cases.n, (among_all - among_cases) / (own.n - cases.n))
        far = (np.abs(rows.beta) > FULL_ABOVE_BETA) & (most > FULL_ABOVE_COPIES)
    return np.asarray(far[variants])


def _ask(what: str, variants: Int64Array) -> Int64Array:
    return np.full(variants.size, _ASKED[what])


def _test_exactly(task: _Task, variants: Int64Array) -> None:
    """Rare variants: Firth's estimate with the p of the exact test of the calls observed, given how many have the rarer outcome."""
    choices, null, own, rows = task.choices, task.null, task.own, task.rows
    asked = "firth" if choices.correction == "firth" else "firth_approx"
    status = _one_by_one(task, variants, _ask(asked, variants))
    # With few samples the approximation can fail where the full model does not.
    again = np.flatnonzero((status != kernel.FINE) | _moves_covariates(task, variants))
    status[again] = _one_by_one(task, variants[again], _ask("firth", again))
    some = variants[status == kernel.FINE]
    assert null.rarer is not None
    mu, y = null.of_rarer()
    for first, last in chunks(some.size, null.n):
        part = some[first:last]
        found, done = np.empty((part.size, 4)), np.zeros(part.size, np.bool_)
        # The allele that is rare in this trait's samples may be the cohort's major one.
        common = _is_major(own, part)
        G = rare_counts(task.block, task.flipped, part, null.columns, common)
        logistic_score.exact_rows(G, mu, y, null.rarer, found, done)
        tested = part[done]
        rows.put_p(tested, "exact", found[done, exact_rare.EXACT_P] / np.log(10.0))
        # Of the rarer allele here and the rarer outcome.
        sign = np.where(common[done] != null.controls_are_rarer, -1.0, 1.0)
        ends = sign[:, None] * found[done][:, [exact_rare.EXACT_LOWER, exact_rare.EXACT_UPPER]]
        rows.bound(tested, ends.min(axis=1), ends.max(axis=1))
        _test_unrounded(task, part[~done], G[~done], mu / (1.0 - mu), y)


def _is_major(own: GenotypeSums, variants: Int64Array) -> BoolArray:
    """Where the cohort's minor allele is the major one among the samples analysed (R,)."""
    return np.asarray(own.sum_g[variants] > own.n[variants])


def _test_unrounded(task: _Task, variants: Int64Array, G: Float64Array, odds: Float64Array, y: Float64Array) -> None:
    """Rare variants whose dosages G (R, n) are no whole numbers: the law of few events, of more the saddlepoint."""
    null, rows = task.null, task.rows
    if not variants.size:
        return
    if y.sum() >= LEAST_OF_SANDWICH:
        numbers, state, _ = analyse_dense(
            null, G, _ask("score", variants), np.zeros(variants.size, np.bool_), True, task.choices.impute
        )
        fine = state == kernel.FINE
        rows.put_p(variants[fine], "spa", numbers[fine, kernel.NEG_LOG_P] / np.log(10.0))
        rows.fail(variants[~fine], "spa_failed")
        return
    neg_log_p, found = np.empty(variants.size), np.zeros(variants.size, np.bool_)
    few_events.event_rows(G, odds, y, task.choices.impute, neg_log_p, found)
    rows.put_p(variants[found], "exact", neg_log_p[found] / np.log(10.0))
    rows.fail(variants[~found], "spa_failed")


def _one_by_one(task: _Task, variants: Int64Array, asked: Int64Array, saddlepoint: bool = False) -> Int64Array:
    """Do what is asked of some variants on dense calls, a chunk at a time; their status."""
    choices, null, own, rows = task.choices, task.null, task.own, task.rows
    status = np.zeros(variants.size, np.int64)
    names = {code: name for name, code in _ASKED.items()}
    for first, last in chunks(variants.size, null.n):
        some, what = variants[first:last], asked[first:last]
        sparse = (own.tested_mac[some] < SPARSE_BELOW_MAC) & (choices.like == "regenie")
        G = minor_counts(task.block, task.flipped, some, null.columns)
        numbers, state, dropped = analyse_dense(null, G, what, sparse, saddlepoint, choices.impute)
        for code, name in names.items():
            picked = np.flatnonzero((what == code) & (state == kernel.FINE))
            if picked.size:
                found = numbers[picked]
                label = name.removesuffix("_plink2")
                rows.put(
                    some[picked],
                    label,
                    found[:, kernel.BETA],
                    found[:, kernel.MODEL_SE],
                    found[:, kernel.STATISTIC],
                )
                rows.iterations[some[picked]] = found[:, kernel.ITERATIONS].astype(np.int64)
                if choices.like is None:
                    rows.bound(some[picked], found[:, kernel.LOWER], found[:, kernel.UPPER])
        if saddlepoint:
            fine = state == kernel.FINE
            rows.put_p(some[fine], "spa", numbers[fine, kernel.NEG_LOG_P] / np.log(10.0))
            if choices.like == "regenie":
                rows.beta[some[fine]] = rows.statistic[some[fine]] * rows.model_error[some[fine]]
        rows.code[some[dropped & (state == kernel.FINE)]] = CODE["covariate_collinear"]
        for failed, code_name in _STATUS_CODE.items():
            rows.fail(some[state == failed], code_name)
        status[first:last] = state
    return status


def _finished(task: _Task) -> dict[str, Array]:
    """Rows of ALT, with counts by case status."""
    choices, null, own, cases, rows = task.choices, task.null, task.own, task.cases, task.rows
    if choices.like == "regenie":
        rows.error = rows.model_error
    columns = rows.finished(own, task.flipped, null.n, choices.impute)
    n_cases = np.full(own.n.size, null.n_cases) if choices.impute else cases.n
    iterations = columns.pop("iterations")
    return {
        "effect_allele_frequency_cases": frequency(cases.allele_count, cases.n_alleles),
        "effect_allele_frequency_controls": frequency(
            own.allele_count - cases.allele_count, own.n_alleles - cases.n_alleles
        ),
        **columns,
        "n_cases": n_cases,
        "n_controls": columns["n"] - n_cases,
        "iterations": iterations,
    }
