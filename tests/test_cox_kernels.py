"""The kernels of Cox regression on shapes so small that they run as plain Python too."""

import numpy as np
import pytest
from oracles import cox as oracle

from genassoc.kernels.lanes.arranged import arranged
from genassoc.kernels.laws.sandwich import room
from genassoc.kernels.likelihoods import cox, cox_clock, cox_columns, cox_rows, cox_screen, cox_sums, cox_tails
from genassoc.kernels.likelihoods.cox_clock import Times
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    FIRTH,
    LRT,
    NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
    WALD,
    Fits,
    Missing,
    Scores,
)
from genassoc.stats.risk_sets import risk_sets

pytestmark = pytest.mark.kernel

# The oracle's general optimiser stops at 1e-10 of its coefficients; the objective, flat there, leaves 1e-6 of them.
OPTIMISER = 3e-6
# Newton stops when the step left is a millionth of a standard error.
NEWTON = 2e-6
# Sums of two dozen terms in another order.
SUMS = 1e-11
N = 24
SHAPES = [(False, False, True), (True, False, True), (True, True, True), (True, True, False)]


def small(seed, late=False, strata=False, efron=True):
    """Covariate X (N, 1), g, tied times, events, entries and strata; the kernel's risk sets and the oracle's terms."""
    rng = np.random.default_rng(seed)
    time = rng.integers(2, 9, N).astype(float)
    event = (rng.random(N) < 0.6).astype(float)
    entry = np.floor(rng.random(N) * (time - 1)) if late else np.full(N, -np.inf)
    stratum = rng.integers(0, 2, N) if strata else np.zeros(N, np.int64)
    X, g = rng.normal(size=(N, 1)), rng.binomial(2, 0.4, N).astype(float)
    order = np.lexsort((time, stratum))
    time, event, entry, stratum, X, g = (part[order] for part in (time, event, entry, stratum, X, g))
    sets, times = risk_sets(time, event == 1, entry, stratum, efron)
    return X, g, time, event, entry, stratum, sets, oracle.terms(time, event, entry, stratum, efron), times


def likelihood(D, beta, sets, offset=None):
    n, P = D.shape
    sums = cox_sums.risk_sums(sets, P)
    gradient, J = np.empty(P), np.empty((P, P))
    offset = np.zeros(n) if offset is None else offset
    value = cox_sums.partial_likelihood(D, offset, np.array(beta), sets, sums, gradient, J)
    return value, gradient, J, sums


def fitted(D, sets, penalised=False, runaway=False, n_free=None, offset=None):
    n, P = D.shape
    beta, sums, L = np.zeros(P), cox_sums.risk_sums(sets, P), np.zeros((P, P))
    free = P if n_free is None else n_free
    offset = np.zeros(n) if offset is None else offset
    return *cox.fit(D, offset, sets, FitOptions(penalised, runaway, free), beta, sums, L), beta, L


@pytest.mark.parametrize("late, strata, efron", SHAPES)
def test_partial_likelihood(late, strata, efron):
    X, g, _, event, _, _, sets, A, _ = small(1, late, strata, efron)
    D, beta = np.column_stack([X, g]), np.array([0.4, -0.7])
    value, gradient, J, sums = likelihood(D, beta, sets)
    expected = oracle.partial_likelihood(D, beta, event, A)
    assert value == pytest.approx(expected[0], rel=SUMS)
    np.testing.assert_allclose(gradient, expected[1], rtol=SUMS, atol=SUMS)
    np.testing.assert_allclose(J, expected[2], rtol=SUMS, atol=SUMS)
    np.testing.assert_allclose(sums.expected, expected[3].sum(axis=0), rtol=SUMS, atol=SUMS)


@pytest.mark.parametrize("late, strata, efron", SHAPES)
def test_firth_gradient(late, strata, efron):
    X, g, _, event, _, _, sets, A, _ = small(2, late, strata, efron)
    D, beta = np.column_stack([X, g]), np.array([0.3, 0.5])
    _, _, J, sums = likelihood(D, beta, sets)
    added = np.zeros(2)
    cox.add_firth_gradient(arranged(D), sets, sums, np.linalg.cholesky(J), added)
    np.testing.assert_allclose(added, oracle.add_firth_gradient(D, beta, event, A), rtol=1e-9, atol=1e-10)
    # and that is the derivative of the penalty: central differences of step 1e-5 err by 1e-10 and rounding
    for j, step in enumerate(np.eye(2) * 1e-5):
        change = [
            oracle.penalised(D, beta + s, event, A) - oracle.partial_likelihood(D, beta + s, event, A)[0]
            for s in (step, -step)
        ]
        assert added[j] == pytest.approx((change[0] - change[1]) / 2e-5, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("penalised", [False, True])
def test_fit(penalised):
    X, g, _, event, _, _, sets, A, _ = small(3, True, True)
    D = np.column_stack([X, g])
    for n_free in (2, 1):
        status, objective, iterations, beta, _ = fitted(D, sets, penalised, n_free=n_free)
        expected, best = oracle.fit(D, event, A, firth=penalised, held=2 - n_free)
        assert status == FINE and 2 <= iterations < 12
        np.testing.assert_allclose(beta, expected, rtol=OPTIMISER, atol=OPTIMISER)
        assert objective == pytest.approx(best, rel=1e-9)


def test_fit_of_a_monotone_likelihood():
    X, _, _, event, _, _, sets, _, _ = small(4)
    g = np.where(event == 1, 0.0, np.arange(N) % 2)  # no carrier has the event
    D = np.column_stack([X, g])
    assert fitted(D, sets)[0] == NOT_CONVERGED
    status, *_, beta, _ = fitted(D, sets, runaway=True)
    assert status == FINE and beta[1] < -8
    status, *_, beta, _ = fitted(D, sets, penalised=True)
    assert status == FINE and -6 < beta[1] < -0.5
    assert fitted(np.column_stack([X, X]), sets)[0] == COLLINEAR


@pytest.mark.parametrize("late, strata, efron", SHAPES)
def test_times_means_and_screen(late, strata, efron):
    X, g, _, event, _, _, sets, A, _ = small(5, late, strata, efron)
    _, _, J, sums = likelihood(X, oracle.newton(X, event, A), sets)
    c, M = oracle.operator(X, event, A)
    out = np.empty(N)
    cox_screen.times_means(g, sets, sums, out)
    np.testing.assert_allclose(out, M @ g, rtol=1e-8, atol=1e-10)
    # the screen's bounds hold the exact information, whatever eigenfunctions are taken
    inverse = np.where(c > 0, 1 / np.sqrt(np.where(c > 0, c, 1)), 0)
    values, vectors = np.linalg.eigh(inverse[:, None] * M * inverse)
    U_exact, exact = oracle.score(X, g, event, A)
    cross = (c[:, None] * X - M @ X) / np.sqrt(J[0, 0])
    for J_kept in (0, 3, N):
        v = inverse[:, None] * vectors[:, ::-1][:, :J_kept]
        columns = np.column_stack([c[:, None] * v, cross, event - c])
        rest = values[::-1][J_kept] if J_kept < N else 0.0
        scores, nothing = Scores.empty(1), Missing(np.zeros(2, np.int64), np.zeros(0, np.int64))
        share = np.ascontiguousarray(values[::-1][:J_kept])
        basis = cox_screen.Basis(columns, np.zeros((N, J_kept + 1)), c, share, rest)
        squares = np.array([c @ g**2])
        cox_screen.screen((g @ columns)[None], squares, nothing, basis, np.zeros(1), False, scores)
        U, most, least = scores
        assert U[0] == pytest.approx(U_exact, rel=1e-6, abs=1e-6)
        assert least[0] - 1e-9 <= exact <= most[0] + 1e-9
        if J_kept == N:
            assert most[0] == pytest.approx(exact, rel=1e-6)


def row_of(what, X, g, sets, times=None, trend=False, offset=None):
    Q = np.column_stack([np.full(N, N**-0.5), (X - X.mean(axis=0)) / np.linalg.norm(X - X.mean(axis=0))])
    own = np.ascontiguousarray(Q[:, 1:])
    status, _, _, start, L = fitted(own, sets, offset=offset)
    assert status == FINE
    _, _, _, sums = likelihood(own, start, sets, offset)
    means = np.empty(N)
    cox_screen.times_means(np.ascontiguousarray(own[:, 0]), sets, sums, means)
    cross = (sums.expected * own[:, 0] - means)[:, None]
    fits = Fits.empty(1)
    K, n = sets.ends.size, len(g)
    times = (
        Times(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(K, np.int64), 1, False) if times is None else times
    )
    null = cox_rows.CoxNull(np.zeros(n) if offset is None else offset, start, cross, L, times)
    cox_rows.analyse_rows(g[None], np.array([what]), np.array([trend]), Q, sets, null, False, fits)
    numbers, state, dropped = fits
    return numbers[0], state[0], bool(dropped[0])


@pytest.mark.parametrize(("missing", "size"), [(0, 0.0), (3, 0.0), (0, 0.5), (3, 0.5)])
@pytest.mark.parametrize("what", ["score", "wald", "lrt", "firth", "firth_approx"])
def test_analyse_rows(what, missing, size):
    X, g, time, event, entry, stratum, sets, _, _ = small(6, True, True)
    g[:missing] = np.nan
    offset = size * np.sin(np.arange(N))
    numbers, state, dropped = row_of(getattr(cox_rows, what.upper()), X, g, sets, offset=offset)
    beta, z = oracle.analyse_rows(X, g[None], time, event, what, entry, stratum, offset=offset)[0]
    assert state == cox_rows.FINE and not dropped
    tolerance = OPTIMISER if "firth" in what else NEWTON
    np.testing.assert_allclose(numbers[[cox_rows.BETA, cox_rows.STATISTIC]], [beta, z], rtol=tolerance, atol=tolerance)


def test_rows_without_an_estimate():
    X, g, _, event, _, _, sets, _, _ = small(7)
    assert row_of(cox_rows.SCORE, X, 2 * X[:, 0], sets)[1] == cox_rows.COLLINEAR
    assert row_of(cox_rows.SCORE, X, np.where(event == 1, np.nan, g), sets)[1] == cox_rows.ONE_OUTCOME
    assert row_of(cox_rows.WALD, X, np.where(event == 1, 0.0, np.arange(N) % 2), sets)[1] == cox_rows.NOT_CONVERGED
    assert row_of(cox_rows.EXACT, X, g + 0.5, sets)[1] == cox_rows.TAIL_FAILED


@pytest.mark.parametrize("late, strata, efron", SHAPES)
def test_trend_is_the_score_test_of_the_larger_model(late, strata, efron):
    X, g, time, event, entry, stratum, sets, _, times = small(8, late, strata, efron)
    D, beta = np.column_stack([X, g]), np.array([0.2, 0.3])
    offset = 0.3 * np.sin(np.arange(N))
    chi2 = cox_tails.hazards_trend(D, offset, beta, sets, times - 5.0)
    expected = oracle.hazards_trend(D, beta, time, event, lambda t: t - 5.0, entry, stratum, efron, offset)
    assert chi2 == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("by_rank", [False, True])
@pytest.mark.parametrize("late, strata, efron", SHAPES[:3])
def test_clock_is_kaplan_meier_before_each_time_or_rank_among_all(late, strata, efron, by_rank):
    _, _, time, event, entry, _, sets, _, times = small(11, late, strata, efron)
    entry = np.full(N, -np.inf) if entry is None else entry
    distinct = np.unique(time)
    kept = Times(
        np.searchsorted(distinct, time), np.searchsorted(distinct, entry, side="right"),
        np.searchsorted(distinct, times), distinct.size, by_rank,
    )  # fmt: skip
    who = np.array([i for i in range(N) if i not in (3, 8)])
    found = np.empty(times.size)
    cox_clock.clock_of(kept, who, sets.event[who], found)
    # `small` leaves the samples in the order of the risk sets' samples: time, event and entry are theirs
    value = oracle.clock(time[who], event[who], entry[who], by_rank)
    expected = np.array([value(t) for t in times]) - np.mean([value(t) for t in time[who][event[who] == 1]])
    np.testing.assert_allclose(found, expected, atol=1e-12)  # sums of two dozen terms


@pytest.mark.parametrize("late, strata, efron", SHAPES)
def test_exact_law(late, strata, efron):
    X, g, _, event, _, _, sets, A, _ = small(9, late, strata, efron)
    beta = np.array([0.5])
    _, _, _, sums = likelihood(X, beta, sets)
    law = oracle.exact_neg_log_p(g, oracle.partial_likelihood(X, beta, event, A)[3])
    ends = np.empty(2)
    expected = oracle.two_sided(law, event @ g)
    assert cox_tails.exact_neg_log_p(g, sets, sums.w, ends) == pytest.approx(-np.log(expected), rel=1e-9, abs=1e-9)
    grid = np.arange(-10, 10, 0.01)
    kept = grid[[oracle.two_sided({T: p * np.exp(b * T) for T, p in law.items()}, event @ g) >= 0.05 for b in grid]]
    for end, most, expected in zip(ends, (-np.inf, np.inf), kept[[0, -1]]):
        # the grid's step; the law ends beyond all carriers, and so may the interval
        assert abs(end - expected) <= 0.01 or (end == most and abs(expected) > 9.9)


@pytest.mark.parametrize("z", [0.3, 2.5, -4.0])
def test_saddlepoint(z):
    rng = np.random.default_rng(10)
    g, mean = rng.binomial(2, 0.1, N) - 0.2, rng.uniform(0.01, 0.2, N)
    found = cox_tails.spa_neg_log_p(z, g[:, None], mean)
    assert found == pytest.approx(oracle.spa_neg_log_p(z, g, mean), rel=1e-6, abs=1e-9)


def columns_of(seed):
    """Two tested columns (2, 2, N), the second row without two samples, and what one test of each column and one of both needs."""
    X, g, _, event, _, _, sets, A, _ = small(seed)
    e = np.random.default_rng(seed).normal(size=N)
    H = np.array([[g, g * e], [g, g * e]])
    H[1, :, [3, 11]] = np.nan
    start = oracle.newton(X, event, A)
    trait = cox_columns.CoxTrait(X, sets, np.zeros(N), start)
    rotations = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    return X, event, A, H, trait, rotations


def by_kernel(H, trait, test, rotations):
    fits, gains = room(len(H), 2, 3), np.full((len(H), 3), np.nan)
    cox_columns.fit_rows(H, trait, test, rotations, fits, gains)
    assert (fits.status == FINE).all() and np.isinf(fits.freedom).all()
    return fits, gains


@pytest.mark.parametrize("test", [SCORE, WALD, LRT, FIRTH])
def test_several_columns(test):
    X, event, A, H, trait, rotations = columns_of(7)
    fits, gains = by_kernel(H[:1], trait, test, rotations)
    D = np.column_stack([X, (H[0] - H[0].mean(axis=1, keepdims=True)).T])
    if test == SCORE:
        at = np.append(trait.start, [0.0, 0.0])
        _, U, J, _ = oracle.partial_likelihood(D, at, event, A)
        beta = np.linalg.solve(J, U)
    else:
        beta = oracle.fit(D, event, A, firth=True)[0] if test == FIRTH else oracle.newton(D, event, A)
        J = oracle.partial_likelihood(D, beta, event, A)[2]
    tolerance = OPTIMISER if test == FIRTH else NEWTON
    np.testing.assert_allclose(fits.theta[0], beta[1:], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(fits.covariance[0], np.linalg.inv(J)[1:, 1:], rtol=10 * tolerance)
    if test in (LRT, FIRTH):
        firth = test == FIRTH
        full = oracle.fit(D, event, A, firth=firth)[1]
        held = [
            oracle.fit(D[:, order], event, A, firth=firth, held=h)[1]
            for order, h in (([0, 2, 1], 1), ([0, 1, 2], 1), ([0, 1, 2], 2))
        ]
        np.testing.assert_allclose(gains[0], 2.0 * (full - np.array(held)), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("test", [SCORE, WALD, LRT, FIRTH])
def test_columns_of_the_samples_observed(test):
    """A sample without a call is a sample that is not there."""
    X, _, _, H, trait, rotations = columns_of(8)
    fits, gains = by_kernel(H, trait, test, rotations)
    keep = ~np.isnan(H[1, 0])
    sets = trait.sets
    part = sets._replace(event=sets.event[keep], first=sets.first[keep], last=sets.last[keep])
    fewer = cox_columns.CoxTrait(X[keep], part, np.zeros(keep.sum()), trait.start)
    own, own_gains = by_kernel(np.ascontiguousarray(H[1:, :, keep]), fewer, test, rotations)
    np.testing.assert_allclose(fits.theta[1], own.theta[0], rtol=SUMS, atol=SUMS)
    np.testing.assert_allclose(fits.covariance[1], own.covariance[0], rtol=SUMS)
    np.testing.assert_allclose(gains[1], own_gains[0], rtol=1e-9, atol=SUMS)


def test_columns_that_are_not_fitted():
    X, _, _, H, trait, rotations = columns_of(9)
    one = trait._replace(sets=trait.sets._replace(event=np.zeros(N, bool)))
    cases = [(H[0], one, ONE_OUTCOME), (np.array([H[0, 0], X[:, 0]]), trait, COLLINEAR)]
    for columns, of, status in cases:
        fits = room(1, 2, 3)
        cox_columns.fit_rows(columns[None].copy(), of, WALD, rotations, fits, np.empty((1, 3)))
        assert fits.status[0] == status and np.isnan(fits.theta).all()
