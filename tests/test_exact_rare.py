"""The exact test of rare variants: against every outcome, the hypergeometric law, and its size."""

import math

import numpy as np
import pytest
from oracles import exact_rare as oracle
from scipy import stats
from scipy.special import expit, gammaln

from genassoc.kernels.laws.exact_rare import (
    EXACT_FOUND,
    EXACT_NOT_COUNTS,
    EXACT_OFF_TABLE,
    Carriers,
    centred_characteristic_function,
    exact_rare_neg_log_p_rows,
    exact_rare_test,
    log_pmf_of_rest,
)
from genassoc.stats.exact_rare import case_count_table

NONE = np.empty(0)


def exact(*arguments):
    """-ln p, -ln mid-p and status of one variant."""
    out = np.full(4, np.nan)
    status = exact_rare_test(*arguments, out)
    return float(out[0]), float(out[1]), status


def _null(rng, N, prevalence, spread=1.0):
    mu = expit(math.log(prevalence / (1 - prevalence)) + spread * rng.normal(size=N))
    return mu, min(max(round(mu.sum()), 1), N - 1)


def _check_law_of_the_rest(N, prevalence, m, shifts=(0,)):
    rng = np.random.default_rng(N + m)
    mu, n_cases = _null(rng, N, prevalence)
    for shift in shifts:
        n1 = min(max(n_cases + shift, 1), N - 1)
        table = case_count_table(mu, n1)
        for carriers in (rng.choice(N, m, replace=False), np.argsort(mu)[-m:], np.argsort(mu)[:m]):
            law = oracle.case_count_law(np.delete(mu, carriers))
            ours = np.empty(m + 1)
            assert log_pmf_of_rest(mu[carriers], n1, table, ours)
            for s in range(m + 1):
                expected = law[n1 - s] if 0 <= n1 - s < law.size else 0.0
                # both sum N rounded terms; 7e-13 is the worst found, 1e-10 is what the test promises
                assert math.exp(ours[s]) == pytest.approx(expected, rel=1e-11, abs=0.0 if expected else 1e-300)


@pytest.mark.kernel
def test_characteristic_function_of_rare_common_and_other_samples():
    # up to 1/16 from 0 or 1 a power series serves, else each sample by itself
    pi = np.array([1e-9, 0.01, 0.0624, 0.0626, 0.3, 0.5, 0.8, 0.9374, 0.9376, 0.995])
    angles = np.array([1e-3, 0.1, 0.7, 2.0, 3.1])
    real, imag = np.empty(5), np.empty(5)
    centred_characteristic_function(pi, angles, real, imag)
    expected = oracle.centred_characteristic_function(pi, angles)
    # ten factors, each rounded; at 3.1 the factor of one half is 0.02 and is known to 1e-14 of itself
    np.testing.assert_allclose(real + 1j * imag, expected, rtol=1e-13)


@pytest.mark.kernel
@pytest.mark.parametrize(("N", "prevalence", "m"), [(7, 0.5, 3), (10, 0.3, 8), (24, 0.1, 5)])
def test_law_of_the_rest_of_few_samples(N, prevalence, m):
    _check_law_of_the_rest(N, prevalence, m, shifts=(-1, 0, 1))


@pytest.mark.parametrize(
    ("N", "prevalence", "m"),
    [(200, 0.5, 20), (200, 0.02, 12), (1000, 0.9, 20), (3000, 0.999, 9), (5000, 0.002, 15), (5000, 0.3, 20)],
)
def test_law_of_the_rest_against_convolution(N, prevalence, m):
    _check_law_of_the_rest(N, prevalence, m, shifts=(-3, 0, 4))


@pytest.mark.kernel
@pytest.mark.parametrize("prevalence", [0.5, 0.15])
def test_every_outcome_of_the_carriers(prevalence):
    rng = np.random.default_rng(11)
    mu, n1 = _null(rng, 18, prevalence)
    table = case_count_table(mu, n1)
    for g in ([1], [2], [1, 1, 2], [1, 2, 1, 2, 1], [1] * 6):
        carriers = rng.choice(18, len(g), replace=False)
        rest = np.delete(mu, carriers)
        for bits in (0, 1, 2 ** len(g) - 1, int(rng.integers(2 ** len(g)))):
            y = np.array([(bits >> i) & 1 for i in range(len(g))])
            if not n1 - rest.size <= y.sum() <= n1:
                continue
            expected = oracle.exact_rare_test(g, mu[carriers], y, rest, n1)
            ours = exact(np.array(g, float), mu[carriers], y.astype(float), NONE, n1, table)
            assert ours[2] == EXACT_FOUND
            # the law of the rest is right to 1e-11 of each number
            assert ours[:2] == pytest.approx(expected, rel=1e-11, abs=1e-11)


def test_nine_carriers_of_different_risk():
    rng = np.random.default_rng(12)
    mu, n1 = _null(rng, 800, 0.05, spread=1.5)
    table = case_count_table(mu, n1)
    g = np.array([1, 1, 2, 1, 1, 1, 2, 1, 1], float)
    for _ in range(5):
        carriers = rng.choice(800, 9, replace=False)
        y = (rng.random(9) < 0.4).astype(float)
        expected = oracle.exact_rare_test(g, mu[carriers], y, np.delete(mu, carriers), n1)
        ours = exact(g, mu[carriers], y, NONE, n1, table)
        # the law of the rest is right to 1e-11 of each number
        assert ours[:2] == pytest.approx(expected, rel=1e-11, abs=1e-11)


def _without_covariates(N, n1, m, max_carriers=20):
    """-ln p of T = 0..m cases among m heterozygous carriers, and the hypergeometric law of T."""
    table = case_count_table(np.full(N, n1 / N), n1, max_carriers)
    law = stats.hypergeom(N, n1, m).pmf(np.arange(m + 1))
    mu, g = np.full(m, n1 / N), np.ones(m)
    found = [exact(g, mu, (np.arange(m) < T).astype(float), NONE, n1, table) for T in range(m + 1)]
    assert all(status == EXACT_FOUND for _, _, status in found)
    return np.array([neg_log_p for neg_log_p, _, _ in found]), law


@pytest.mark.parametrize(
    ("N", "n1", "m"), [(30, 9, 4), (500, 50, 9), (2000, 4, 9), (2000, 1990, 7), (10_000, 3000, 20)]
)
def test_without_covariates_it_is_hypergeometric(N, n1, m):
    neg_log_p, law = _without_covariates(N, n1, m)
    T = np.arange(m + 1)
    distance = np.abs(T - m * n1 / N)
    for t in T[law > 0]:
        expected = law[distance >= distance[t] * (1 - 1e-9)].sum()
        assert math.exp(-neg_log_p[t]) == pytest.approx(expected, rel=1e-12, abs=0)


def test_a_tail_alone_is_fishers():
    # 12 cases in 2,000: more than none of 9 carriers in cases has no mirror image below zero
    neg_log_p, _ = _without_covariates(2000, 12, 9)
    for t in (1, 3, 9):
        fisher = stats.fisher_exact([[t, 9 - t], [12 - t, 1979 + t]], alternative="greater").pvalue
        assert math.exp(-neg_log_p[t]) == pytest.approx(fisher, rel=1e-10)  # scipy sums 1e-11 off


@pytest.mark.parametrize("N", [20, 60, 300])
def test_size_without_covariates_by_enumeration(N):
    # The law of T given n1 is exact, so the chance of p <= alpha is a sum, and must not exceed alpha.
    n_checked = 0
    for n1 in sorted({1, 2, N // 10, N // 4, N // 2, N - 3}):
        for m in (1, 3, 5, 9, 15):
            neg_log_p, law = _without_covariates(N, n1, m)
            p = np.exp(-neg_log_p)
            for alpha in (0.2, 0.05, 0.01, 1e-3, 1e-4):
                size = law[(law > 0) & (p <= alpha)].sum()
                assert size <= alpha * (1 + 1e-10)
                n_checked += size > 0
            # and at each value that p can take the size is that value: it is exact, not merely conservative
            for value in p[law > 0]:
                reached = law[(law > 0) & (p <= value * (1 + 1e-9))].sum()
                assert reached == pytest.approx(value, rel=1e-9)
    assert n_checked > 30


def test_tails_past_underflow():
    # 100 carriers, all of them cases, of 100 cases among 100,000 samples: 1 in C(100,000, 100), 1e-342
    N, m = 100_000, 100
    table = case_count_table(np.full(N, m / N), m, max_carriers=m)
    found = exact(np.ones(m), np.full(m, m / N), np.ones(m), NONE, m, table)
    expected = gammaln(N + 1) - gammaln(m + 1) - gammaln(N - m + 1)
    assert found[2] == EXACT_FOUND
    assert found[0] / math.log(10) > 340
    assert found[0] == pytest.approx(expected, rel=1e-11)  # gammaln(1e5) is 1e6, its last bit 1e-10


@pytest.mark.kernel
def test_the_intercept_drops_out_and_labels_may_swap():
    rng = np.random.default_rng(13)
    mu, n1 = _null(rng, 40, 0.2)
    g, y = np.array([1.0, 2.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 0.0])
    first = exact(g, mu[:4], y, NONE, n1, case_count_table(mu, n1))
    shifted = expit(np.log(mu / (1 - mu)) + 0.7)
    second = exact(g, shifted[:4], y, NONE, n1, case_count_table(shifted, n1))
    swapped = exact(g, 1 - mu[:4], 1 - y, NONE, 40 - n1, case_count_table(1 - mu, 40 - n1))
    # the same number by other tilts and other sums
    assert second[:2] == pytest.approx(first[:2], rel=1e-10)
    assert swapped[:2] == pytest.approx(first[:2], rel=1e-10)


@pytest.mark.kernel
def test_samples_with_missing_genotype_are_taken_out():
    rng = np.random.default_rng(14)
    mu, n1 = _null(rng, 40, 0.3)
    g, y = np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0])
    whole = case_count_table(mu, n1)
    # five samples are missing, two of them cases
    taken_out = exact(g, mu[:3], y, mu[35:], n1 - 2, whole)
    without = exact(g, mu[:3], y, NONE, n1 - 2, case_count_table(mu[:35], n1 - 2))
    assert taken_out[2] == without[2] == EXACT_FOUND
    assert taken_out[:2] == pytest.approx(without[:2], rel=1e-10)


@pytest.mark.kernel
def test_rows_are_the_same_bits_as_one_at_a_time():
    rng = np.random.default_rng(15)
    mu, n1 = _null(rng, 30, 0.3)
    table = case_count_table(mu, n1)
    starts = np.array([0, 3, 4, 8])
    carriers = np.concatenate([rng.choice(30, n, replace=False) for n in np.diff(starts)])
    g, y = rng.integers(1, 3, 8).astype(float), rng.integers(0, 2, 8).astype(float)
    p, midp, status = np.empty(3), np.empty(3), np.empty(3, np.uint8)
    exact_rare_neg_log_p_rows(Carriers(starts, g, mu[carriers], y), n1, table, p, midp, status)
    for v in range(3):
        rows = slice(starts[v], starts[v + 1])
        one = exact(g[rows], mu[carriers][rows], y[rows], NONE, n1, table)
        assert one == (p[v], midp[v], status[v])


@pytest.mark.kernel
def test_what_cannot_be_tested_is_a_code():
    mu = np.full(12, 0.25)
    table = case_count_table(mu, 3)
    for g in (np.array([1.0, 0.5]), np.array([0.0]), np.empty(0)):
        found = exact(g, mu[: g.size], np.ones(g.size), NONE, 3, table)
        assert math.isnan(found[0])
        assert math.isnan(found[1])
        assert found[2] == EXACT_NOT_COUNTS


def test_a_table_that_does_not_reach_says_so():
    # 400 cases of 4,000 and a table for 5 carriers: 150 carriers, all cases, lie 8 standard deviations away
    table = case_count_table(np.full(4000, 0.1), 400, max_carriers=5)
    found = exact(np.ones(150), np.full(150, 0.1), np.ones(150), NONE, 400, table)
    assert math.isnan(found[0])
    assert found[2] == EXACT_OFF_TABLE


@pytest.mark.parametrize(
    ("mu", "n_cases", "why"),
    [([0.5, 1.0], 1, "strictly"), ([0.5, 0.5], 0, "cases and controls"), ([0.5, 0.5], 2, "2 of 2")],
)
def test_nulls_that_cannot_be_used_are_refused(mu, n_cases, why):
    with pytest.raises(ValueError, match=why):
        case_count_table(np.array(mu), n_cases)


def _fitted(X, y):
    """Probabilities of the logistic null by Newton, or None where it does not converge."""
    beta = np.zeros(X.shape[1])
    for _ in range(30):
        mu = expit(X @ beta)
        step = np.linalg.solve(X.T @ ((mu * (1 - mu))[:, None] * X), X.T @ (y - mu))
        beta += step
        if np.abs(step).max() < 1e-8:
            return expit(X @ beta)
        if np.abs(beta).max() > 20:
            break
    return None


@pytest.mark.parametrize(("N", "intercept", "slope", "clustered"), [(150, -1.0, 0.8, 0.0), (250, -3.0, 1.0, 1.5)])
def test_size_with_covariates(N, intercept, slope, clustered):
    """Fitted nulls; the second design's carriers cluster where the covariate raises the risk. 2.4e5 tests in all.

    The trait is redrawn 1,200 times, 100 variants each; the variants of one draw are correlated, so the upper
    limit is from the draws' own rates. Chance of a false alarm where the true size is at most 0.9 alpha: below 1 %.
    """
    rng = np.random.default_rng(16)
    x = rng.normal(size=(N, 2))
    X = np.column_stack([np.ones(N), x])
    risk = expit(intercept + slope * x[:, 0] + 0.5 * x[:, 1])
    nearness = np.exp(clustered * x[:, 0])
    sizes = rng.integers(3, 10, 100)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    carriers = np.concatenate([rng.choice(N, n, replace=False, p=nearness / nearness.sum()) for n in sizes])
    g = np.where(rng.random(carriers.size) < 0.1, 2.0, 1.0)
    alphas = np.array([0.05, 0.01, 0.001])
    p, midp, status = np.empty(100), np.empty(100), np.empty(100, np.uint8)
    rates = []
    for _ in range(1200):
        y = (rng.random(N) < risk).astype(float)
        mu = _fitted(X, y)
        if mu is None:
            continue
        n1 = int(y.sum())
        table = case_count_table(mu, n1, max_carriers=9)
        exact_rare_neg_log_p_rows(Carriers(starts, g, mu[carriers], y[carriers]), n1, table, p, midp, status)
        assert (status == EXACT_FOUND).all()
        rates.append((np.exp(-p)[:, None] <= alphas).mean(axis=0))
    rates = np.array(rates)
    assert len(rates) > 1150
    upper = rates.mean(axis=0) + 2.33 * rates.std(axis=0) / math.sqrt(len(rates))
    assert (upper <= alphas).all(), f"size {rates.mean(axis=0)}, upper limits {upper}"


@pytest.mark.kernel
@pytest.mark.parametrize("seen", [0, 1, 3, 6])
def test_the_interval_holds_the_odds_ratios_that_are_not_refused(seen):
    rng = np.random.default_rng(21)
    mu, n1 = _null(rng, 24, 0.3)
    g, carriers, rest = np.array([1.0, 1, 1, 2, 1]), np.arange(5), np.arange(5, 24)
    y = (
        np.array([0, 0, 0, 0, 0]) if seen == 0 else np.isin(np.arange(5), {1: [1], 3: [0, 3], 6: range(5)}[seen])
    ).astype(float)
    assert g @ y == seen
    out = np.empty(4)
    assert exact_rare_test(g, mu[carriers], y, NONE, n1, case_count_table(mu, n1), out) == EXACT_FOUND
    grid = np.arange(-12, 12, 0.01)
    kept = grid[[oracle.exact_rare_p(g, mu[carriers], y, mu[rest], n1, b) >= 0.05 for b in grid]]
    assert out[2] == -np.inf if seen == 0 else abs(out[2] - kept[0]) <= 0.01  # the grid's step
    assert out[3] == np.inf if seen == 6 else abs(out[3] - kept[-1]) <= 0.01


def test_p_is_unimodal_and_holds_its_level_whatever_the_covariates():
    """Every outcome listed: more carriers among the cases never has the larger p above the mean, and P(p <= p0) <= p0."""
    rng = np.random.default_rng(22)
    for prevalence, copies in ((0.02, [1] * 9), (0.3, [1, 2, 1, 1, 2, 1, 1])):
        mu, n1 = _null(rng, 60, prevalence, spread=1.5)
        table, g, m = case_count_table(mu, n1), np.array(copies, float), len(copies)
        case = ((np.arange(2**m)[:, None] >> np.arange(m)) & 1).astype(float)
        rest = oracle.case_count_law(mu[m:])
        inside = (case.sum(axis=1) <= n1) & (n1 - case.sum(axis=1) < rest.size)
        case = case[inside]
        chance = np.prod(np.where(case == 1, mu[:m], 1 - mu[:m]), axis=1) * rest[(n1 - case.sum(axis=1)).astype(int)]
        chance /= chance.sum()
        p = np.exp([-exact(g, mu[:m], c, NONE, n1, table)[0] for c in case])
        T = case @ g
        mean = chance @ T
        for t in np.unique(T)[:-1]:
            above = np.unique(T)[np.unique(T) > t][0]
            if t >= mean:
                assert p[above == T].max() <= p[t == T].min() * (1 + 1e-9)
            elif above <= mean:
                assert p[t == T].max() <= p[above == T].min() * (1 + 1e-9)
        order = np.argsort(p)
        size = np.cumsum(chance[order])
        # Outcomes with equal p are refused together: the last of them has the size.
        last = np.append(np.diff(p[order]) > 1e-12, True)
        assert (size[last] <= p[order][last] * (1 + 1e-9)).all()
