"""Set tests by the law of the residuals: against every outcome listed, against draws, and from end to end where tails are heavy."""

import itertools

import gene_cohort
import numpy as np
import polars as pl
import pytest
from gene_cohort import COVARIATES
from scipy.stats import norm

import genassoc as ga
from genassoc.models.scan.set_null import SetNull
from genassoc.models.sets.calibrated import Columns, OutcomeLaw
from genassoc.models.sets.residual_sets import ResidualLaws, residual_tests
from genassoc.models.sets.shared_carriers import drawn_tests, outcomes_of
from genassoc.stats.lattice_law import LatticeLaw
from genassoc.stats.quadratic_forms import neg_log_10_p_quadratic


def null_of(residual, strata=None) -> SetNull:
    n = residual.size
    return SetNull.of((0,), np.arange(n), np.zeros((n, 0)), residual[:, None], np.ones(n), strata=strata)


def columns_of(carriers, doses=None) -> Columns:
    sizes = [len(one) for one in carriers]
    samples = np.concatenate(carriers).astype(np.int64)
    return Columns(
        np.cumsum([0, *sizes]), samples, np.ones(samples.size) if doses is None else np.concatenate(doses).astype(float)
    )


def test_sums_on_a_lattice_are_those_listed():
    values = np.array([-3.0, 0.0, 0.0, 1.0, 2.0])
    one = LatticeLaw.of(values, 0.5)
    law = one.plus(one).plus(one.times(16)).plus(one.times(12))
    listed = [a + b + 2 * c + 1.5 * d for a, b, c, d in itertools.product(values, repeat=4)]
    x = law.values(0.5)
    for at in (-9.0, 0.0, 4.5, 10.5, 11.0):
        expected = np.mean(np.array(listed) >= at)
        assert law.chance[x >= at - 1e-9].sum() == pytest.approx(expected, rel=1e-12)


def test_a_coarser_lattice_keeps_the_mean_and_adds_little_variance():
    rng = np.random.default_rng(1)
    law = LatticeLaw.of(rng.standard_t(3, 500), 0.05)
    coarse = law.coarser()
    for one in (law, coarse):
        assert one.chance.sum() == pytest.approx(1.0, rel=1e-12)
    x, y = law.values(0.05), coarse.values(0.05)
    assert coarse.chance @ y == pytest.approx(law.chance @ x, abs=1e-12)
    added = coarse.chance @ y**2 - law.chance @ x**2
    assert 0.0 <= added <= 0.1**2 / 4  # a split's variance is at most a quarter of the squared step
    mean, square, chance = law.points(0.05, 0.3)
    assert mean.size < 100
    assert chance @ square == pytest.approx(law.chance @ (x - law.chance @ x) ** 2, rel=1e-12)


def test_tails_are_those_of_every_draw_listed():
    residual = np.array([-1.1, -0.9, -0.4, 0.1, 2.3])
    carriers, weights = [[0, 1], [2], [3, 4]], np.array([1.0, 1.7, 0.8])
    laws = ResidualLaws.of(null_of(residual), 0)
    columns = columns_of(carriers)
    draws = np.array(list(itertools.product(residual, repeat=5)))
    U = np.stack([draws[:, one].sum(axis=1) for one in carriers], axis=1)
    V = np.diag([2.0, 1.0, 2.0])
    wu = weights * U
    Q, S = (wu**2).sum(axis=1), np.abs(wu.sum(axis=1))
    for k in np.argsort(Q)[[1600, 2600, 3000, 3100, 3120, 3124]]:
        found = residual_tests(U[k], V, weights, columns, np.ones(5), laws)
        for p, exact in (
            (found.skat, np.mean(Q[k] * (1 - 1e-9) <= Q)),
            (found.burden, np.mean(S[k] * (1 - 1e-9) <= S)),
        ):
            # What nearly ties is counted too; splitting and merging of points blur by 2 %.
            assert 0.98 * exact <= 10.0**-p <= 1.25 * exact + 0.03
    # SKAT-O: no level is exceeded by the draws.
    some = np.flatnonzero(np.quantile(Q, 0.97) <= Q)
    p_o = np.array([10.0 ** -residual_tests(U[k], V, weights, columns, np.ones(5), laws).skat_o for k in some])
    for level in (0.02, 0.01, 0.003, 0.001):
        assert np.sum(p_o <= level) / Q.size <= level * 1.05


def test_heavy_tails_have_the_p_of_draws():
    """Where the mixture of chi-squared variables is too small by a factor of five and more."""
    rng = np.random.default_rng(2)
    n, sizes = 3000, (12, 15, 20, 40)
    residual = np.exp(rng.standard_normal(n))
    residual -= residual.mean()
    carriers = np.split(rng.choice(n, sum(sizes), replace=False), np.cumsum(sizes)[:-1])
    columns, V = columns_of([np.sort(one) for one in carriers]), np.diag(np.array(sizes, float))
    laws = ResidualLaws.of(null_of(residual), 0)
    assert laws.are_needed(np.array(sizes))
    drawn = rng.choice(residual, (20_000, sum(sizes)))
    U = np.stack([part.sum(axis=1) for part in np.split(drawn, np.cumsum(sizes)[:-1], axis=1)], axis=1)
    Q = (U**2).sum(axis=1)
    k = int(np.argsort(Q)[-40])  # p of 0.002
    found = residual_tests(U[k], V, np.ones(4), columns, np.ones(n), laws, skat_o=False)
    assert 10.0**-found.skat == pytest.approx(0.002, rel=0.5)  # 40 draws: three standard errors
    naive = neg_log_10_p_quadratic(np.array([Q[k] / residual.var()]), np.array(sizes, float))[0][0]
    assert 10.0**-naive < 0.0004


def test_normal_residuals_need_no_law_and_who_needs_one_is_told_by_margins():
    normal = norm.ppf((np.arange(2000) + 0.5) / 2000)
    laws = ResidualLaws.of(null_of(normal), 0)
    assert not laws.are_needed(np.array([2, 10, 400]))
    heavy = np.sinh(normal)
    laws = ResidualLaws.of(null_of(heavy), 0)
    assert laws.are_needed(np.array([10]))
    assert not laws.are_needed(np.array([50_000]))
    shuffled = ResidualLaws.of(null_of(np.random.default_rng(3).permutation(heavy)), 0)
    assert shuffled.enough == pytest.approx(laws.enough, rel=1e-9)  # sums in another order
    assert ResidualLaws.of(null_of(np.zeros(50)), 0) is None


def test_carriers_draw_from_their_own_stratum():
    """All carriers are samples whose residuals vary five times as much: what is common there is rare elsewhere."""
    rng = np.random.default_rng(4)
    size = np.repeat([1.0, 5.0], 1000)
    residual = rng.standard_normal(2000) * size
    apart = ResidualLaws.of(null_of(residual, size[None]), 0)
    wide, narrow = columns_of([np.arange(1000, 1020)]), columns_of([np.arange(20)])
    U, V, one, weight = np.array([25.0]), np.array([[20.0]]), np.ones(1), np.ones(2000)
    found = [residual_tests(U, V, one, carriers, weight, apart).burden for carriers in (wide, narrow)]
    assert 10.0 ** -found[0] == pytest.approx(2 * norm.sf(25.0 / np.sqrt(20 * residual[1000:].var())), rel=0.1)
    assert found[1] > 6.0


def test_rows_say_that_they_have_the_law_of_the_residuals(tmp_path):
    files = gene_cohort.make_files(tmp_path, n_genes=10)
    table = pl.read_csv(files.phenotypes, separator="\t")
    rng = np.random.default_rng(6)
    heavy = pl.Series("heavy", np.exp(1.5 * rng.standard_normal(len(table))))
    table.with_columns(heavy).write_csv(files.phenotypes, separator="\t")
    model = ga.Linear(("heavy", "biomarker"), COVARIATES)
    found = [
        ga.associate_sets(
            files.cohort(), model, files.read_sets(), max_maf=0.05, tests=("skat", "skato"), calibrated=on
        )
        for on in (True, False)
    ]
    by_law, normal = (one.table.filter(pl.col("test") != "acato") for one in found)
    ours = by_law["method"] == "residual_set"
    assert (ours & (by_law["trait"] == "heavy")).any()
    assert "residual_set" not in set(normal["method"])
    p, q = (one["neg_log_10_p_value"].filter(ours).to_numpy() for one in (by_law, normal))
    assert np.all(p < q)
    of_skat = [one.filter(pl.col("test") == "skat")["statistic"].to_numpy() for one in (by_law, normal)]
    np.testing.assert_allclose(*of_skat, rtol=1e-12)  # Q is Q, whatever its law


def test_columns_with_carriers_in_common_have_the_p_of_drawn_outcomes():
    """Against every outcome of seven carriers listed; who is drawn are the carriers, each with its own chance."""
    chance = np.array([0.05, 0.1, 0.02, 0.2, 0.1, 0.04, 0.3])
    carriers, weights = [[0, 1, 2, 3], [2, 3, 4], [3, 5, 6]], np.array([1.0, 2.0, 1.5])
    columns, law = columns_of(carriers), OutcomeLaw("bernoulli", chance)
    D = np.zeros((7, 3))
    for j, one in enumerate(carriers):
        D[one, j] = 1.0
    outcomes = np.array(list(itertools.product([0.0, 1.0], repeat=7)))
    weight = np.prod(np.where(outcomes == 1.0, chance, 1.0 - chance), axis=1)
    U = (outcomes - chance) @ D
    Q = np.square(U * weights).sum(axis=1)
    variance = chance * (1.0 - chance)
    V = (D.T * variance) @ D
    for k in np.argsort(Q)[[90, 110, 120]]:
        exact = weight[Q[k] * (1 - 1e-9) <= Q].sum()
        found = drawn_tests(U[k], V, weights, columns, outcomes_of(law), variance)
        error = np.sqrt(exact / 100_000)  # of 100,000 draws
        assert 10.0**-found.skat == pytest.approx(exact, abs=4 * error + 1e-5)
    assert np.isnan(drawn_tests(100.0 * U[-1], V, weights, columns, outcomes_of(law), variance).skat)
    # SKAT-O exceeds no level, beyond four standard errors of the draws.
    S = np.abs((U * weights).sum(axis=1))
    extreme = np.flatnonzero((np.sort(Q)[-25] <= Q) | (np.sort(S)[-25] <= S))
    p_o = np.array(
        [10.0 ** -drawn_tests(U[k], V, weights, columns, outcomes_of(law), variance).skat_o for k in extreme]
    )
    for level in (0.003, 0.001, 0.0003):
        assert weight[extreme][p_o <= level].sum() <= level + 4 * np.sqrt(level / 100_000)
