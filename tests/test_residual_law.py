"""Linear rows with few carriers and heavy tails: p by the residuals' own law, beside quadrature, every outcome and permutation."""

import itertools

import numpy as np
import pytest
from glm_cohort import MemoryCohort, run
from oracles import residual_law as oracle

import genassoc as ga
from genassoc.data.block import DosageBlock
from genassoc.kernels.laws import residual_law as kernel
from genassoc.models.scan.residual_law import MARGIN, ResidualLaw
from genassoc.refit.residual_law import residual_law_test

CONSTANTS = (kernel.RARE, kernel.N_BINS, kernel.SMALL, kernel.LEAST_REST)
# The trapezoidal rule leaves 1e-13 of a tail, the nodes past the last 1e-10; scipy's quadrature about 1e-9.
EXACT = 1e-6
TAILS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t3": lambda rng, shape: rng.standard_t(3, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape),
}


def residuals(seed, n=30):
    rng = np.random.default_rng(seed)
    e = np.sort(rng.gamma(0.5, size=n))
    return (e - e.mean()) / e.std()


@pytest.mark.kernel
@pytest.mark.parametrize("rest", [0.3, 3.0])
def test_tails_beside_quadrature(rest):
    e, w = residuals(1, 8), np.full(8, 1 / 8)
    a, counts = np.array([-0.2, 0.9, 1.9]), np.array([1.0, 4.0, 1.0])
    for t in (-0.7, 0.0, 0.4):
        found, wanted = kernel.cgf_of(t, a, counts, rest, e, w), oracle.cgf_of(t, a, counts, rest, e, w)
        assert found == pytest.approx(wanted, rel=1e-10, abs=1e-12)
    for side, u in itertools.product((1, -1), (0.5, 4.0, 9.0)):
        found = kernel.log_upper_tail(u, side * a, counts, rest, e, w)
        assert found == pytest.approx(oracle.log_upper_tail(u, side * a, counts, rest, e, w), rel=EXACT)


@pytest.mark.kernel
@pytest.mark.parametrize("impute, dominated", [(False, False), (True, True)])
def test_rows(impute, dominated):
    rng = np.random.default_rng(3)
    n = 14
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    Q = np.ascontiguousarray(np.linalg.qr(X)[0])
    y = rng.standard_t(3, n)
    spread = rng.uniform(0.5, 2.0, n)
    e = (y - Q @ (Q.T @ y)) / spread
    e -= e.mean()
    g = np.zeros((2, n))
    g[0, [1, 4]], g[0, 7], g[0, 2] = 1.0, 2.0, np.nan
    g[1, 5] = 1.0
    found, statistic = np.empty((2, kernel.N_NUMBERS)), np.array([2.5, -3.0])
    atoms, weights = np.sort(e), np.full(n, 1 / n)
    law = kernel.Law(atoms, weights, 1.3, 0.02, dominated)
    kernel.law_rows(g, kernel.Residuals(Q, Q.T @ Q, e, spread), law, impute, statistic, found)
    for row in range(2):
        wanted = oracle.law_rows(
            g[row], Q, e, spread, atoms, weights, 1.3, 0.02, dominated, impute, statistic[row], CONSTANTS
        )
        np.testing.assert_allclose(found[row], wanted, rtol=1e-5)


def test_few_carriers_against_every_outcome():
    """Four carriers of 40 residuals, all 40^4 outcomes: the tail between two of them."""
    e = residuals(6, 40)
    sums = np.array([sum(draw) for draw in itertools.product(e, repeat=2)])
    four = np.sort((sums[:, None] + sums[None, :]).ravel())
    rest = 0.01  # smooths the outcomes by a tenth of a residual's standard deviation: what any covariate does
    for share in (0.05, 0.01, 1e-3):
        u = four[-int(share * four.size)]
        from scipy.stats import norm

        exact = norm.sf((u - four) / np.sqrt(rest)).mean()
        found = np.exp(kernel.log_upper_tail(u, np.ones(1), np.full(1, 4.0), rest, e, np.full(40, 1 / 40)))
        assert found == pytest.approx(exact, rel=1e-6)


def cohort_of(kind, seed, n=300, T=6, spread=None):
    rng = np.random.default_rng(seed)
    group, x = rng.random(n) < 0.3, rng.standard_normal(n)
    y = TAILS[kind](rng, (n, T)) * np.where(group, spread or 1.0, 1.0)[:, None] + 0.3 * x[:, None]
    columns = {f"y{j}": y[:, j] for j in range(T)} | {"x": x, "group": group.astype(float)}
    return rng, MemoryCohort(**columns), group, [f"y{j}" for j in range(T)]


def rare_codes(rng, n, mac, V, chance=None):
    codes = np.zeros((V, n), np.uint8)
    for v in range(V):
        copies = rng.choice(n, rng.integers(mac[0], mac[1] + 1), p=chance)
        codes[v] = np.minimum(np.bincount(copies, minlength=n), 2)
    return codes


def sizes(found, alphas):
    p = np.nan_to_num(found["neg_log_10_p_value"])
    return [float((p >= -np.log10(alpha)).mean() / alpha) for alpha in alphas]


@pytest.mark.parametrize("kind, spread", [("t3", None), ("lognormal", None), ("normal", 3.0)])
def test_rows_hold_their_level_where_t_does_not(kind, spread):
    """24,000 tests: at 0.01 some 240 are expected, so that three standard deviations are 0.2 of the level."""
    rng, cohort, group, traits = cohort_of(kind, 11, T=60, spread=spread)
    chance = np.where(group, 4.0, 1.0) if spread else np.ones(group.size)
    codes = rare_codes(rng, group.size, (6, 15), 400, chance / chance.sum())
    ours = run(ga.Linear(traits, ["x", "group"]), cohort, codes)
    plain = run(ga.Linear(traits, ["x", "group"], like="plink2", min_mac=5), cohort, codes)
    assert sizes(ours, [0.01])[0] < 1.25 and sizes(ours, [0.001])[0] < 1.8
    assert sizes(plain, [0.001])[0] > 3.0  # what the law is for
    by_law = ours["method"] == "spa"
    assert by_law.any() and (ours["neg_log_10_p_value"] <= plain["neg_log_10_p_value"] + 1e-12).all()
    # no law, no change: the other rows are t's to the bit
    for name in ("beta", "standard_error", "neg_log_10_p_value", "ci_lower"):
        np.testing.assert_array_equal(ours[name][~by_law], plain[name][~by_law])
    np.testing.assert_array_equal(ours["beta"], plain["beta"])
    np.testing.assert_array_equal(ours["standard_error_model"], plain["standard_error"])
    # p is that of beta over the standard error
    z = ours["beta"] / ours["standard_error"]
    from genassoc.stats.tails import neg_log_10_p_z

    np.testing.assert_allclose(neg_log_10_p_z(z)[by_law], ours["neg_log_10_p_value"][by_law], rtol=1e-9)


@pytest.mark.parametrize(
    "kind, choices",
    [("lognormal", {"weights": "w"}), ("normal", {"variance": "hc0"}), ("lognormal", {"variance": "hc0"})],
)
def test_sandwiches_hold_their_level(kind, choices):
    """12,000 tests: 12 expected at 0.001. HC3 with weights found 9 to 11 times as many, HC0 3 to 106 times."""
    rng, cohort, _group, traits = cohort_of(kind, 14, T=60, n=400)
    weights = rng.uniform(0.5, 1.5, 400)
    table = {name: cohort.phenotypes.table[name].to_numpy() for name in (*traits, "x", "group")}
    codes = rare_codes(rng, 400, (8, 20), 200)
    found = run(ga.Linear(traits, ["x", "group"], **choices), MemoryCohort(**table, w=weights), codes)
    assert sizes(found, [0.01])[0] < 1.3 and sizes(found, [0.001])[0] < 2.0
    by_law = found["method"] == "spa"
    assert by_law.any() and (found["code"] == None).all()  # noqa: E711
    assert np.isnan(found["degrees_of_freedom"][by_law]).all()
    assert (found["standard_error"][by_law] > found["standard_error_model"][by_law]).mean() > 0.9
    np.testing.assert_array_equal(found["standard_error"][~by_law], found["standard_error_model"][~by_law])


def test_the_weighted_law_has_a_dense_twin():
    """Weights that follow the outcome and a covariate: what is drawn is a residual times its weight."""
    rng = np.random.default_rng(15)
    n = 250
    x = rng.standard_normal(n)
    y = 0.3 * x + rng.lognormal(0, 1, n)
    w = np.where(y > 1.5, 1.0, 4.0) * np.exp(0.3 * x)
    codes = rare_codes(rng, n, (8, 20), 150)
    codes[:, 3] = 3
    for choices in ({}, {"variance": "hc0"}):
        found = run(ga.Linear("y", ["x"], weights="w", **choices), MemoryCohort(y=y, x=x, w=w), codes)
        chosen = np.flatnonzero(found["method"][:, 0] == "spa")
        assert chosen.size
        for v in chosen[:6]:
            g = np.where(codes[v] == 3, np.nan, codes[v])
            twin = residual_law_test(y, np.column_stack([np.ones(n), x]), g, weight=w)
            assert found["beta"][v, 0] == pytest.approx(twin.beta, rel=1e-6)
            # The twin bins no coefficients and keeps every residual: percents of ln p.
            assert found["neg_log_10_p_value"][v, 0] == pytest.approx(twin.neg_log_10_p, rel=0.02)


def test_normal_traits_keep_t():
    rng, cohort, group, traits = cohort_of("normal", 12, T=40)
    codes = rare_codes(rng, group.size, (20, 60), 200)
    found = run(ga.Linear(traits, ["x", "group"]), cohort, codes)
    assert (found["method"] == "spa").mean() < 0.004
    assert found["state"].notes == ()


def test_p_is_that_of_permutations():
    """Freedman's and Lane's: residuals permuted, added to what the covariates explain, fitted again."""
    rng, cohort, _group, traits = cohort_of("lognormal", 13, n=200, T=1)
    codes = rare_codes(rng, 200, (6, 12), 150)
    found = run(ga.Linear(traits, ["x"]), cohort, codes)
    y, x = (cohort.phenotypes.table[name].to_numpy() for name in ("y0", "x"))
    Q = np.linalg.qr(np.column_stack([np.ones(200), x]))[0]
    r = y - Q @ (Q.T @ y)
    left = codes - (codes @ Q) @ Q.T
    orders = np.argsort(rng.random((20_000, 200)), axis=1)
    chosen = np.flatnonzero(found["method"][:, 0] == "spa")
    assert chosen.size > 3
    for v in chosen:
        scores = np.abs(r[orders] @ left[v])
        p = (scores >= abs(left[v] @ r)).mean()
        law = 10 ** -found["neg_log_10_p_value"][v, 0]
        # draws repeat, permutations do not: at 10 carriers of 200 about 10 % of ln p; and 20,000 permutations
        assert abs(np.log(law / p)) < 0.25 + 4 / np.sqrt(20_000 * p), v


def test_the_same_bits_alone_in_company_and_in_any_block():
    rng, cohort, _group, traits = cohort_of("t3", 14, T=3, spread=2.5)
    codes = rare_codes(rng, 300, (6, 30), 60)
    codes[rng.random(codes.shape) < 0.02] = 3
    for choices in ({}, {"missing": "mean"}, {"variance": "robust"}):
        together = run(ga.Linear(traits, ["x", "group"], **choices), cohort, codes)
        assert (together["method"] == "spa").any()
        for j, trait in enumerate(traits):
            alone = run(ga.Linear([trait], ["x", "group"], **choices), cohort, codes)
            pieces = [run(ga.Linear([trait], ["x", "group"], **choices), cohort, codes[s : s + 7]) for s in range(0, 60, 7)]  # fmt: skip
            for name in ("beta", "standard_error", "standard_error_model", "neg_log_10_p_value", "ci_upper"):
                assert together[name][:, j].tobytes() == alone[name][:, 0].tobytes()
                assert np.concatenate([piece[name] for piece in pieces]).tobytes() == alone[name].tobytes()
        swapped = run(ga.Linear(traits, ["x", "group"], **choices), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))  # fmt: skip
        np.testing.assert_allclose(swapped["neg_log_10_p_value"], together["neg_log_10_p_value"], rtol=1e-6)
        np.testing.assert_allclose(swapped["beta"], -together["beta"], rtol=1e-6)


def test_dosages_are_their_calls():
    rng, cohort, _group, traits = cohort_of("t3", 15, T=2)
    codes = rare_codes(rng, 300, (6, 20), 80)
    hard = run(ga.Linear(traits, ["x"]), cohort, codes)
    soft = run(ga.Linear(traits, ["x"]), cohort, DosageBlock.from_dosages(codes.astype(float)))
    assert (hard["method"] == soft["method"]).all() and (hard["method"] == "spa").any()
    # float32 sums of t decide which rows are tried; the law itself is of the calls in float64
    np.testing.assert_allclose(hard["neg_log_10_p_value"], soft["neg_log_10_p_value"], rtol=1e-4, atol=1e-4)


def test_what_the_run_says():
    _, cohort, _, traits = cohort_of("lognormal", 16, T=1, spread=3.0)
    notes = ga.Linear(traits, ["x", "group"]).prepare(cohort).notes
    assert any("rank_normalise=True" in note for note in notes)
    assert any("depends on group" in note and "variance='robust'" in note for note in notes)
    assert ga.Linear(traits, ["x", "group"], like="plink2").prepare(cohort).notes == ()


def test_rows_of_two_columns_have_a_code():
    rng, cohort, _group, traits = cohort_of("t3", 17, n=400, T=1)
    codes = rare_codes(rng, 400, (60, 90), 30)
    codes[:, :3] = 2
    genotypic = run(ga.Linear(traits, ["x"], genetic_model="genotypic"), cohort, codes)
    interaction = run(ga.Linear(traits, ["x"], interaction="group"), cohort, codes)
    robust = run(ga.Linear(traits, ["x"], interaction="group", variance="robust"), cohort, codes)
    for found in (genotypic, interaction, robust):
        heavy = found["code"] == "heavy_tails"
        assert (
            heavy.any() and np.isnan(found["neg_log_10_p_value"][heavy]).all() and np.isnan(found["beta"][heavy]).all()
        )
    like = run(ga.Linear(traits, ["x"], interaction="group", like="plink2"), cohort, codes)
    assert np.isfinite(like["neg_log_10_p_value"]).all()
    _, calm, _, _ = cohort_of("normal", 17, n=400, T=1)
    for model in (ga.Linear(traits, ["x"], genetic_model="genotypic"), ga.Linear(traits, ["x"], interaction="group")):
        assert not (run(model, calm, codes)["code"] == "heavy_tails").any()


def test_hc3_of_few_carriers():
    """A normal trait without effect: HC3 with n - C - 1 degrees found 44 times too much at 1e-4."""
    rng, cohort, _group, traits = cohort_of("normal", 18, n=250, T=40)
    codes = rare_codes(rng, 250, (5, 9), 200)
    found = run(ga.Linear(traits, ["x"], variance="robust"), cohort, codes)
    assert (found["code"] == None).all()  # noqa: E711
    assert found["neg_log_10_p_value"].max() < 6 and sizes(found, [0.01, 0.001]) < [1.2, 1.8]
    assert np.nanmax(found["degrees_of_freedom"]) < 10 and set(found["method"].ravel()) == {"t_hc3", "spa"}


def test_the_law_of_a_large_cohort_keeps_its_ends():
    rng = np.random.default_rng(19)
    y = rng.standard_t(3, 5000)
    r = (y - y.mean()) / y.std()
    law = ResidualLaw.of(r, np.ones((5000, 1)), np.full((5000, 1), 5000**-0.5), np.eye(1))
    assert law.atoms.size == 512 and law.weights.sum() == pytest.approx(1) and abs(law.weights @ law.atoms) < 1e-9
    assert law.weights @ law.atoms**2 + law.lost == pytest.approx(5000 / 4999 * np.mean(r**2), rel=1e-3)
    assert law.atoms[-1] == pytest.approx(r.max(), rel=0.01) and law.is_heavy and not law.varying
    assert 0 < MARGIN < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(TAILS))
@pytest.mark.parametrize("variance", ["auto", "robust"])
def test_null_calibration(kind, variance):
    """200,000 tests a kind: at 1e-3 about 200 are expected: an upper bound of 1.25 is met by 1.0 and two standard deviations."""
    hits = np.zeros(2)
    for batch in range(5):
        rng, cohort, _group, traits = cohort_of(kind, 100 + batch, n=500, T=80)
        codes = rare_codes(rng, 500, (5, 50), 500)
        hits += sizes(run(ga.Linear(traits, ["x", "group"], variance=variance), cohort, codes), [1e-3, 1e-4])
    assert hits[0] / 5 < 1.25 and hits[1] / 5 < 1.9


@pytest.mark.parametrize("kind, spread", [("t3", None), ("lognormal", 3.0)])
def test_the_dense_twin_of_the_audit(kind, spread):
    """Written apart: no bins of coefficients, the saddlepoint by bisection, covariates of the spread by least squares."""
    from genassoc.refit.residual_law import residual_law_test

    rng, cohort, group, traits = cohort_of(kind, 21, T=1, spread=spread)
    codes = rare_codes(rng, group.size, (6, 40), 120)
    codes[rng.random(codes.shape) < 0.01] = 3
    found = run(ga.Linear(traits, ["x", "group"]), cohort, codes)
    X = np.column_stack([np.ones(group.size), cohort.phenotypes.table["x"].to_numpy(), group.astype(float)])
    chosen = np.flatnonzero(found["method"][:, 0] == "spa")[:4]
    assert chosen.size >= 2
    for v in chosen:
        g = np.where(codes[v] == 3, np.nan, codes[v])
        twin = residual_law_test(cohort.phenotypes.table["y0"].to_numpy(), X, g)
        # bins of coefficients are 1 % wide: a hundredth of ln p
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(twin.neg_log_10_p, rel=0.02)
        assert found["beta"][v, 0] == pytest.approx(twin.beta, rel=1e-5)
        assert found["standard_error"][v, 0] == pytest.approx(twin.standard_error, rel=0.02)


def test_one_residual_that_outweighs_the_others():
    """The integral starts where the law is not all of its largest atoms (p was 1, of an integral that failed): against permutation."""
    rng = np.random.default_rng(7)
    n = 2000
    r = np.exp(1.5 * rng.normal(size=n))
    r[3] = r.sum() / 12
    Q = np.full((n, 1), n**-0.5)
    r = (r - r.mean()) / r.std()
    law = ResidualLaw.of(r, np.ones((n, 1)), Q, np.eye(1))
    assert law is not None and law.is_dominated
    of_one = kernel.Law(law.atoms, law.weights, law.variance, law.lost, law.is_dominated)
    residuals = kernel.Residuals(Q, np.eye(1), r - law.centre, np.ones(n))
    for m in (8, 10, 14, 20):
        carriers = np.append(3, rng.choice(np.delete(np.arange(n), 3), m - 1, replace=False))
        G, found = np.zeros((1, n)), np.empty((1, kernel.N_NUMBERS))
        G[0, carriers] = 1.0
        kernel.law_rows(G, residuals, of_one, False, np.array([5.0]), found)
        drawn = np.abs(r[rng.integers(0, n, (20_000, m))].sum(axis=1))
        wanted = np.mean(drawn >= abs(r[carriers].sum()))
        assert np.exp(-found[0, kernel.LAW]) == pytest.approx(wanted, rel=0.5, abs=5e-4)
