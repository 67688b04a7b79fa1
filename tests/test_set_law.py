"""Set tests of few events: the laws of Q, S and SKAT-O against every outcome listed, their size, and adjusted variances."""

import numpy as np
import pytest
from oracles import set_law as oracle
from scipy import stats

from genassoc.kernels.laws.set_law import (
    NEGATIVE_BINOMIAL,
    POISSON,
    set_points,
)
from genassoc.models.sets.calibrated import (
    RHO,
    Columns,
    OutcomeLaw,
    code_of_sets,
    rare_tests,
    variance_factors,
)
from genassoc.models.sets.tests import skat
from genassoc.stats.tails import neg_log_10_p_chi2

ALPHAS = 10.0 ** -np.arange(0.5, 8.0, 0.25)


def _columns(carriers, doses=None):
    """Compressed rows of lists of carriers."""
    sizes = [len(c) for c in carriers]
    samples = np.concatenate(carriers).astype(np.int64)
    return Columns(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        samples,
        np.ones(samples.size) if doses is None else np.concatenate(doses).astype(float),
    )


@pytest.fixture(scope="module")
def small():
    """Four columns of few carriers: columns, law, weights, and every outcome: scores (R, m), chances, and p."""
    rng = np.random.default_rng(3)
    mean = rng.uniform(0.01, 0.3, 13)
    carriers = [np.arange(3), np.arange(3, 5), np.arange(5, 9), np.arange(9, 13)]
    doses = [np.ones(3), np.ones(2), np.array([1, 2, 1, 1]), np.ones(4)]
    weights = np.array([1.0, 2.0, 0.7, 1.3])
    T, chance = oracle.set_points([mean[c] for c in carriers], doses)
    U = T - np.array([(mean[c] * d).sum() for c, d in zip(carriers, doses, strict=True)])
    V = np.diag([(mean[c] * (1 - mean[c]) * d * d).sum() for c, d in zip(carriers, doses, strict=True)])
    law = OutcomeLaw("bernoulli", mean)
    found = [rare_tests(u, V, weights, _columns(carriers, doses), law, joint_below=1.0) for u in U]
    ours = 10.0 ** -np.array([[f.skat, f.burden, f.skat_o] for f in found])
    return (
        U,
        chance,
        ours,
        np.stack(oracle.set_tails(U, chance, weights, RHO), axis=1),
        carriers,
        doses,
        law,
        V,
        weights,
    )


def test_tails_are_those_of_every_outcome_listed(small):
    _, chance, ours, listed = small[:4]
    # An outcome may be taken to tie with one that is 0.4 % nearer (the slack of the grid); splitting points among cells may bring a thousandth
    # of the observed outcome's chance beyond the slack, never more.
    assert np.all(ours[:, :2] >= listed[:, :2] * (1 - 2e-3))
    ratio = ours[:, :2] / listed[:, :2]
    assert np.median(ratio) < 1.001
    assert np.average(ratio.max(axis=1), weights=chance) < 1.05
    # SKAT-O is of a coarser grid (129 x 192 cells): within a factor of two above p = 1e-7, and not below.
    seen = listed[:, 2] > 1e-7
    assert np.all(ours[seen, 2] >= 0.98 * listed[seen, 2])
    assert np.average(ours[seen, 2] / listed[seen, 2], weights=chance[seen]) < 1.5


def test_no_level_is_exceeded(small):
    _, chance, ours, _ = small[:4]
    size = np.array([[chance[p <= alpha].sum() for p in ours.T] for alpha in ALPHAS])
    # Grids spread outcomes: see above; that of SKAT-O by two per cent.
    assert np.all(size <= ALPHAS[:, None] * [1.002, 1.002, 1.02])
    assert size[2, 0] > 0.2 * ALPHAS[2]  # and tests are not mute


def test_covariates_and_missing_calls_do_not_move_an_outcome_beyond_itself(small):
    U, _, ours, _, carriers, doses, law, V, weights = small
    for k in (0, 5, 40, 200):
        found = rare_tests(U[k] - 0.01, 0.97 * V, weights, _columns(carriers, doses), law, skat_o=False)
        assert 10**-found.skat >= ours[k, 0] * (1 - 2e-3)
        assert 10**-found.burden >= ours[k, 1] * (1 - 2e-3)


def test_columns_with_the_same_carriers_are_one(small):
    *_, law, V, _ = small
    U, V2 = np.array([1.2, 1.2]), np.full((2, 2), V[2, 2])
    mean = law.mean[5:9]
    twice = rare_tests(U, V2, np.array([1.0, 2.0]), _columns([np.arange(4)] * 2), OutcomeLaw("bernoulli", mean))
    one = rare_tests(U[:1], V2[:1, :1], np.ones(1), _columns([np.arange(4)]), OutcomeLaw("bernoulli", mean))
    assert twice.skat == pytest.approx(one.skat, abs=1e-9)
    assert twice.burden == pytest.approx(one.burden, abs=1e-9)
    assert twice.shared == 0.0
    three = _columns([np.arange(4), np.arange(4), np.array([1, 3])])
    law = OutcomeLaw("bernoulli", mean)
    # Four carriers and two, who carry both: four of six entries.
    assert rare_tests(np.ones(3), np.eye(3), np.ones(3), three, law).shared == pytest.approx(4 / 6)
    assert oracle.same_carriers([(0, 1), (2,), (0, 1)]) == [0, 1, 0]


@pytest.mark.parametrize("kind", [POISSON, NEGATIVE_BINOMIAL])
def test_laws_of_counts(kind):
    rng = np.random.default_rng(5)
    mean, alpha = rng.uniform(0.02, 0.6, 12), np.full(12, 0.7 if kind == NEGATIVE_BINOMIAL else 0.0)
    doses = np.array([1, 1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1])
    carriers = np.array([0, 12]), np.arange(12), doses
    first, u, u2, chance, _, moments = set_points(kind, mean, alpha, carriers, 1.0, np.array([2.0]))
    law = np.ones(1)
    for m, d in zip(mean, doses, strict=True):
        k = np.arange(80)
        pmf = stats.poisson.pmf(k, m) if kind == POISSON else stats.nbinom.pmf(k, 1 / 0.7, 1 / (1 + 0.7 * m))
        spaced = np.zeros(80 * d)
        spaced[::d] = pmf
        law = np.convolve(law, spaced)
    T = np.rint(u / 2.0 + moments[0, 0]).astype(int)
    assert first.tolist() == [0, u.size]
    np.testing.assert_allclose(u2, u * u, rtol=1e-12)
    # Negative binomial counts whose tails fall off alike, to 15 %, are added as one: a tenth of p at 1e-10.
    deep = law[T] > 1e-10
    np.testing.assert_allclose(chance[deep], law[T][deep], rtol=1e-9 if kind == POISSON else 0.2)
    assert moments[0, 1] == pytest.approx((doses**2 * mean * (1 + alpha * mean)).sum())
    assert chance.sum() == pytest.approx(1.0, abs=1e-9)


def test_many_events_give_the_mixture_of_chi_squared():
    rng = np.random.default_rng(7)
    m, n = 8, 1500
    mean = rng.uniform(0.3, 0.7, m * n)
    columns = _columns(np.split(np.arange(m * n), m))
    V = np.diag([(mean[part] * (1 - mean[part])).sum() for part in np.split(np.arange(m * n), m)])
    weights = rng.uniform(0.5, 1.5, m)
    for scale in (1.0, 1.6, 2.4):
        U = scale * np.sqrt(np.diag(V)) * rng.standard_normal(m)
        found = rare_tests(U, V, weights, columns, OutcomeLaw("bernoulli", mean), skat_o=False)
        normal = skat(U[None], V, np.ones(1), weights).neg_log_10_p[0]
        z2 = (weights @ U) ** 2 / (weights @ V @ weights)
        # Counts of 300 are normal to some per cent of p here, and the grid's slack is 0.3 % of Q.
        assert found.skat == pytest.approx(normal, abs=0.01 + 0.02 * normal)
        assert found.burden == pytest.approx(float(neg_log_10_p_chi2(np.array([z2]), 1)[0]), abs=0.03)


def test_who_is_tested_depends_on_margins_alone():
    assert code_of_sets(9, 1000) == "too_few_carriers"
    assert code_of_sets(10, 19) == "few_events"
    assert code_of_sets(10, 20, 19) == "few_events"
    assert code_of_sets(10, 20, 20) == ""


def test_counts_too_large_for_laws_have_no_p():
    n = 200_000
    found = rare_tests(
        np.ones(1), np.ones((1, 1)), np.ones(1), _columns([np.arange(n)]), OutcomeLaw("bernoulli", np.full(n, 0.5))
    )
    assert np.isnan(found.skat)
    assert found.method == ""


def test_times_to_frequent_events_have_no_law():
    columns = _columns([np.arange(40)])
    rare, frequent = OutcomeLaw("hazard", np.full(400, 0.05)), OutcomeLaw("hazard", np.full(400, 0.3))
    U, V, one = np.array([6.0]), np.array([[2.0]]), np.ones(1)
    counts = rare_tests(U, V, one, columns, OutcomeLaw("poisson", rare.mean)).skat
    assert rare_tests(U, V, one, columns, rare).skat == counts
    assert np.isnan(rare_tests(U, V, one, columns, frequent).skat)


def test_variances_follow_calibrated_p_and_never_shrink():
    V = np.array([[2.0, 0.3], [0.3, 1.0]])
    U, weights = np.array([6.0, 0.1]), np.ones(2)
    # z = 4.2 is 1e-4.6 by normal scores; calibrated it is 1e-3: x = 10.83. The other p says nothing.
    adjusted = variance_factors(U, V, np.array([3.0, 0.02]), np.nan, weights)
    assert adjusted[0, 0] == pytest.approx(36 / stats.chi2.isf(1e-3, 1), rel=1e-9)
    assert adjusted[1, 1] == 1.0
    assert adjusted[0, 1] / np.sqrt(adjusted[0, 0]) == pytest.approx(0.3 / np.sqrt(2.0))
    assert variance_factors(U, V, np.array([9.0, np.nan]), 20.0, weights) == pytest.approx(V)
    whole = variance_factors(U, V, np.array([np.nan, np.nan]), 2.0, weights)
    assert (weights @ U) ** 2 / (weights @ whole @ weights) == pytest.approx(stats.chi2.isf(1e-2, 1), rel=1e-9)
    # A calibrated p of 0.5 beside a normal one of 1e-4.6 tells most of all.
    harmless = variance_factors(U, V, np.array([-np.log10(0.5), np.nan]), np.nan, weights)
    assert harmless[0, 0] == pytest.approx(36 / stats.chi2.isf(0.5, 1), rel=1e-9)
    deep = variance_factors(np.array([60.0, 0.1]), V, np.array([300.0, np.nan]), np.nan, weights)
    assert float(neg_log_10_p_chi2(np.array([3600 / deep[0, 0]]), 1)[0]) == pytest.approx(300.0, rel=1e-6)
