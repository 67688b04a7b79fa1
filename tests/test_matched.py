"""Matched sets: against every choice of the cases listed, statsmodels' ConditionalLogit, stratified Cox, and the null."""

import numpy as np
import pytest
from glm_cohort import MemoryCohort, calls, run
from oracles import conditional as oracle
from statsmodels.discrete.conditional_models import ConditionalLogit

import genassoc as ga
from genassoc.errors import PhenotypeError
from genassoc.kernels.likelihoods import conditional, conditional_rows, rows

# Newton's method stops when the step left is a millionth of a standard error.
NEWTON = 2e-6


def data(seed, sets=90, shapes=((1, 1), (1, 3), (2, 3), (3, 2), (2, 1)), V=12, missing=0.0, effect=0.7):
    """Sets of n cases and m controls in the order of the shapes, samples shuffled."""
    rng = np.random.default_rng(seed)
    made = [shapes[s % len(shapes)] for s in range(sets)]
    y = np.concatenate([np.repeat([1.0, 0.0], shape) for shape in made])
    set_of = np.repeat(np.arange(sets), [sum(shape) for shape in made])
    codes = calls(rng, y.size, V, missing)
    more = (y == 1) & (rng.random(y.size) < effect * 0.5) & (codes[0] < 2)
    codes[0, more] += 1
    order = rng.permutation(y.size)
    columns = {"y": y, "x": rng.standard_normal(y.size) + 0.4 * y + 0.1 * set_of, "set": set_of, "of_set": set_of % 7}
    return codes[:, order], {name: values[order] for name, values in columns.items()}


def parts(codes, columns, v):
    g = np.where(codes[v] < 3, codes[v], np.nan).astype(float)
    return (columns["x"] - columns["x"].mean())[:, None], columns["y"], columns["set"], g


@pytest.mark.parametrize("test", ["score", "wald", "lrt"])
def test_all_tests_are_those_of_all_choices_listed(test):
    codes, columns = data(1, missing=0.02)
    model = ga.Logistic("y", ["x"], matched="set", test=test, correction=None)
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        beta, error, statistic = oracle.analyse_rows(*parts(codes, columns, v), test)
        assert found["method"][v, 0] == test and found["code"][v, 0] is None
        assert abs(found["beta"][v, 0] - beta) <= NEWTON * error
        assert found["standard_error_model"][v, 0] == pytest.approx(error, rel=NEWTON)
        assert found["statistic"][v, 0] == pytest.approx(statistic, rel=NEWTON, abs=NEWTON)


def test_wald_is_conditional_logit_of_statsmodels():
    codes, columns = data(2)
    found = run(ga.Logistic("y", ["x"], matched="set", test="wald"), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        exog = np.column_stack([columns["x"] - columns["x"].mean(), codes[v].astype(float)])
        model = ConditionalLogit(columns["y"], exog, groups=columns["set"])
        start = model.fit(method="bfgs", disp=0).params
        # its own maximum to three digits of a standard error only: Newton's step from there with its own score
        step = np.linalg.solve(model.hessian(start), model.score(start))
        error = np.sqrt(np.linalg.inv(-model.hessian(start - step))[1, 1])
        # its Hessian is by finite differences
        assert abs(found["beta"][v, 0] - (start - step)[1]) <= 1e-5 * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("shapes, sign", [(((1, 1), (1, 4)), 1), (((3, 1),), -1)])
def test_one_case_or_one_control_is_stratified_cox(shapes, sign):
    codes, columns = data(3, shapes=shapes, missing=0.01)
    columns["time"], columns["event"] = np.ones(columns["y"].size), columns["y"] if sign == 1 else 1 - columns["y"]
    cohort = MemoryCohort(**columns)
    for test in ("score", "wald", "lrt"):
        choices = {"test": test, "correction": None, "correct_below": 1.0}
        ours = run(ga.Logistic("y", ["x"], matched="set", **choices), cohort, codes)
        cox = run(ga.Cox("time", "event", ["x"], strata="set", **choices), cohort, codes)
        assert (cox["method"][:, 0] == test).all()
        for name in ("beta", "standard_error", "statistic"):
            # a score in Cox's rows is corrected for its null up to its own stopping rule
            np.testing.assert_allclose(
                ours[name], cox[name] * (sign if name != "standard_error" else 1), rtol=2e-5, atol=2e-6
            )


def test_hits_have_likelihood_ratios_and_rare_ones_exact_tests():
    codes, columns = data(4, sets=150, V=40)
    codes[1] = 0
    cases = np.flatnonzero(columns["y"] == 1)
    codes[1, cases[:7]] = 1  # all carriers are cases
    codes[2] = 2
    codes[2, cases[10:17]] = 1  # the rare allele is REF
    cohort = MemoryCohort(**columns)
    found = run(ga.Logistic("y", ["x"], matched="set"), cohort, codes)
    screen = run(ga.Logistic("y", ["x"], matched="set", correction=None), cohort, codes)
    below = screen["neg_log_10_p_value"][:, 0] >= -np.log10(0.05)
    assert below[:3].all() and below.sum() < 15 and (screen["method"][:, 0] == "score").all()
    assert found["method"][0, 0] == "lrt" and found["method"][1:3, 0].tolist() == ["exact", "exact"]
    assert (found["method"][~below, 0] == "score").all()
    assert found["code"][1:3, 0].tolist() == ["separation", "separation"]
    assert found["beta"][1, 0] > 0 > found["beta"][2, 0]
    X, y, sets, _ = parts(codes, columns, 1)
    order = np.argsort(sets, kind="stable")
    pointers = np.concatenate([np.flatnonzero(np.diff(sets[order], prepend=-1)), [y.size]])
    eta = X[order, 0] * oracle.fit(X[order], y[order], pointers)[0]
    for v, g in ((1, codes[1]), (2, 2 - codes[2])):
        expected = oracle.exact_neg_log_p(g[order].astype(float), y[order], pointers, eta) / np.log(10)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(expected, rel=1e-5)
    lrt = run(ga.Logistic("y", ["x"], matched="set", test="lrt"), cohort, codes)
    assert lrt["method"][1, 0] == "exact" and lrt["method"][3, 0] == "lrt"
    wald = run(ga.Logistic("y", ["x"], matched="set", test="wald"), cohort, codes)
    assert wald["code"][1, 0] == "separation" and np.isnan(wald["beta"][1, 0])


def test_sets_that_say_nothing_are_left_out_by_name():
    codes, columns = data(5, sets=40)
    columns["y"][columns["set"] == 3] = 0.0
    columns["y"][columns["set"] == 8] = 1.0
    columns["y"][(columns["set"] == 11) & (columns["y"] == 1)] = np.nan
    names = np.array([f"p{s:02d}" for s in columns["set"]], dtype=object)
    names[columns["set"] == 20] = "NA"
    cohort = MemoryCohort(**{**columns, "set": names.astype(str)})
    state = ga.Logistic("y", ["x", "of_set"], matched="set").prepare(cohort)
    silent = np.isin(columns["set"], (3, 8, 11, 20))
    assert state.n_by_trait == [int((~silent).sum())]
    assert state.n_incomplete == int((columns["set"] == 20).sum())
    assert any("3 sets" in note and "set=p03, set=p08, set=p11" in note for note in state.notes)
    assert any(f"{state.n_incomplete} samples lack the matched set set" in note for note in state.notes)
    assert any("of_set dropped for y" in note and "the same within every matched set" in note for note in state.notes)
    found = run(ga.Logistic("y", ["x"], matched="set", test="wald"), cohort, codes)
    keep = ~silent
    for v in range(4):
        g = codes[v][keep].astype(float)
        expected = oracle.analyse_rows(
            columns["x"][keep, None] - 2, columns["y"][keep], columns["set"][keep], g, "wald"
        )
        assert found["beta"][v, 0] == pytest.approx(expected[0], rel=1e-5, abs=1e-6)
        assert found["n"][v, 0] == keep.sum() and found["n_cases"][v, 0] == columns["y"][keep].sum()


def test_company_alleles_dosage_and_the_mean():
    codes, columns = data(6, missing=0.03)
    columns["other"] = np.where(np.arange(columns["y"].size) % 9 == 0, np.nan, columns["y"])
    cohort = MemoryCohort(**columns)
    alone = run(ga.Logistic("y", ["x"], matched="set"), cohort, codes)
    both = run(ga.Logistic(["other", "y"], ["x"], matched="set"), cohort, codes)
    some = run(ga.Logistic("y", ["x"], matched="set"), cohort, codes[:5])
    for name in ("beta", "standard_error", "neg_log_10_p_value", "n", "n_cases"):
        assert alone[name][:, 0].tobytes() == both[name][:, 1].tobytes()
        assert alone[name][:5].tobytes() == some[name].tobytes()
    swapped = run(ga.Logistic("y", ["x"], matched="set"), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    np.testing.assert_allclose(swapped["beta"], -alone["beta"], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(swapped["neg_log_10_p_value"], alone["neg_log_10_p_value"], rtol=1e-7, atol=1e-9)
    mean = run(ga.Logistic("y", ["x"], matched="set", missing="mean", test="wald"), cohort, codes)
    for v in range(4):
        X, y, sets, g = parts(codes, columns, v)
        beta, error, _ = oracle.analyse_rows(X, y, sets, np.where(np.isnan(g), np.nanmean(g), g), "wald")
        assert abs(mean["beta"][v, 0] - beta) <= NEWTON * error
        assert mean["standard_error"][v, 0] == pytest.approx(error, rel=NEWTON) and mean["n"][v, 0] == y.size


def test_what_does_not_go_with_matched_sets_says_why():
    for choices, message in (
        ({"weights": "w"}, "no weights"),
        ({"variance": "robust"}, "no variance"),
        ({"interaction": "x"}, "no interaction"),
        ({"correction": "firth"}, "correction='firth' out"),
        ({"genetic_model": "genotypic"}, "genotypic"),
        ({"like": "plink2"}, "neither PLINK 2"),
    ):
        with pytest.raises(ValueError, match=message):
            ga.Logistic("y", ["x"], matched="set", **choices)
    with pytest.raises(ValueError, match="matched is"):
        ga.Logistic("y", matched=["a", "b"])
    _, columns = data(7, sets=10)
    with pytest.raises(PhenotypeError, match="no column is named 'sets'"):
        ga.Logistic("y", matched="sets").prepare(MemoryCohort(**columns))
    state = ga.Logistic("y", matched="alone").prepare(MemoryCohort(**columns, alone=np.arange(columns["y"].size)))
    assert state.n_by_trait == [0] and state.nulls[0].failure == "n_too_small"


def test_null_holds_at_every_frequency():
    rng = np.random.default_rng(8)
    _, columns = data(8, sets=250)
    V = 1500
    for frequency in (0.008, 0.03, 0.3):
        codes = rng.binomial(2, frequency, (V, columns["y"].size)).astype(np.uint8)
        found = run(ga.Logistic("y", ["x"], matched="set"), MemoryCohort(**columns), codes)
        p = 10.0 ** -found["neg_log_10_p_value"][:, 0]
        p = p[~np.isnan(p)]
        for level in (0.05, 0.01):
            # three binomial standard deviations
            assert (p < level).mean() <= level + 3 * np.sqrt(level * (1 - level) / p.size)
            assert frequency < 0.1 or (p < level).mean() >= level - 3 * np.sqrt(level * (1 - level) / p.size)


def small():
    """Five sets of 26 samples: covariate, genotypes with two calls missing."""
    rng = np.random.default_rng(9)
    sizes, cases = [2, 5, 6, 6, 7], [1, 2, 4, 1, 3]
    y = np.concatenate([np.repeat([1.0, 0.0], (m, M - m)) for M, m in zip(sizes, cases)])
    g = rng.binomial(2, 0.4, 26).astype(float)
    return rng.normal(size=(26, 1)), y, np.concatenate([[0], np.cumsum(sizes)]), g


@pytest.mark.kernel
def test_conditional_likelihood():
    x, y, pointers, g = small()
    D, sets = np.column_stack([x, g]), conditional.MatchedSets(y, pointers, 0.5 * np.sin(np.arange(26)))
    for beta in (np.zeros(2), np.array([0.8, -0.5]), np.array([-30.0, 12.0])):
        gradient, J = np.empty(2), np.empty((2, 2))
        total = conditional.conditional_likelihood(D, sets, beta, gradient, J)
        expected, slope, information = oracle.conditional_likelihood(D, y, pointers, beta, sets.offset)
        assert total == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(gradient, slope, rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(J, information, rtol=1e-8, atol=1e-9)
    # samples far apart, as a step of a fit that runs away makes them: the tilt that Newton's steps do not reach in time
    apart = np.array([[190.0], [189.5], [191.0], [-570.0]])
    far = conditional.conditional_likelihood(
        apart, conditional.MatchedSets(np.array([1.0, 1, 0, 0]), np.array([0, 4]), np.zeros(4)),
        np.ones(1), np.empty(1), np.empty((1, 1)),
    )  # fmt: skip
    assert far == pytest.approx(379.5 - np.log(np.exp([379.5, 381.0, 380.5]).sum()), rel=1e-9)
    beta, L = np.zeros(2), np.zeros((2, 2))
    state, _, iterations = conditional.fit(D, sets, True, beta, L)
    assert state == rows.FINE and iterations < 12
    np.testing.assert_allclose(beta, oracle.fit(D, y, pointers, sets.offset), rtol=NEWTON, atol=NEWTON)
    p = 1 / (1 + np.exp(conditional.tilt(x[:7, 0], 3) - x[:7, 0]))
    assert abs(p.sum() - 3) < 0.1
    found = conditional.exact_neg_log_p(g, sets, 0.7 * x[:, 0], np.empty(2))
    assert found == pytest.approx(oracle.exact_neg_log_p(g, y, pointers, 0.7 * x[:, 0]), rel=1e-10)
    assert np.isnan(conditional.exact_neg_log_p(g + 0.5, sets, x[:, 0], np.empty(2)))


@pytest.mark.kernel
@pytest.mark.parametrize("size", [0.0, 0.5])
def test_conditional_rows(size):
    x, y, pointers, g = small()
    set_of = np.repeat(np.arange(5), np.diff(pointers))
    within = x.copy()
    assert conditional_rows.centre_in_sets(within, y, pointers)
    np.testing.assert_allclose(within, oracle.centre_in_sets(x, y, pointers), atol=1e-14)
    X = within / np.linalg.norm(within)
    g[:2] = np.nan  # a set is lost
    g[6] = np.nan
    G = np.array([g, g, g, set_of * 1.0, np.where(y == 1, 0.0, np.nan), y * (np.arange(26) % 2)])
    asked = np.array([rows.SCORE, rows.WALD, rows.LRT, rows.SCORE, rows.SCORE, rows.LRT])
    fits, start, offset = rows.Fits.empty(6), np.zeros(1), size * np.sin(np.arange(26))
    sets = conditional.MatchedSets(y, pointers, offset)
    conditional.fit(X, sets, False, start, np.zeros((1, 1)))
    conditional_rows.analyse_rows(G, asked, X, sets, start, False, fits)
    numbers, status, _ = fits
    assert status.tolist() == [rows.FINE] * 3 + [rows.COLLINEAR, rows.ONE_OUTCOME, rows.RUNAWAY]
    for at, what in enumerate(("score", "wald", "lrt")):
        np.testing.assert_allclose(
            numbers[at, :3], oracle.analyse_rows(x, y, set_of, g, what, offset), rtol=NEWTON, atol=NEWTON
        )


def test_large_sets_keep_their_digits():
    """400 cases of 900: the sum over their choices is 1e267, over 10,000 of 20,000 no float64 holds it."""
    rng = np.random.default_rng(10)
    x, y = rng.standard_normal((900, 1)), np.repeat([1.0, 0.0], (400, 500))
    gradient, J = np.empty(1), np.empty((1, 1))
    total = conditional.conditional_likelihood(
        x, conditional.MatchedSets(y, np.array([0, 900]), np.zeros(900)), np.zeros(1), gradient, J
    )
    from scipy.special import gammaln

    assert total == pytest.approx(-(gammaln(901) - gammaln(401) - gammaln(501)), rel=1e-11)
    # A sample of 400 without replacement.
    assert gradient[0] == pytest.approx(x[:400].sum() - 400 * x.mean(), rel=1e-9)
    assert J[0, 0] == pytest.approx(400 * 500 / 900 * x.var(ddof=1), rel=1e-9)
