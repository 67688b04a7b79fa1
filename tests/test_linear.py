"""Linear regression against statsmodels, an oracle by dense least squares, and its invariants."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.linear import linear_by_least_squares

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.models.base import CODES, METHOD
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import normal_scores, prepare

# The bar of float32 sums against a dense float64 fit; genome-wide significant rows are float64 and far inside it.
RELATIVE = 1e-5


def design_of(y, X, complete=None, names=None):
    """What Cohort.design returns, from arrays."""
    y = np.asarray(y, float).reshape(len(y), -1)
    X = np.column_stack([np.ones(len(y)), *np.asarray(X, float).T]) if np.size(X) else np.ones((len(y), 1))
    traits = tuple(names or (f"y{j}" for j in range(y.shape[1])))
    return SimpleNamespace(
        y=y,
        X=X,
        traits=traits,
        covariates=("intercept", *(f"x{c}" for c in range(1, X.shape[1]))),
        complete=np.ones(len(y), bool) if complete is None else complete,
        dropped_covariates=(),
        offset=np.zeros(y.shape),
        offset_unit="trait",
    )


def cohort_data(seed, n=400, n_variants=60, n_traits=3, n_covariates=3, missing=0.03, pheno_missing=0.1):
    rng = np.random.default_rng(seed)
    frequency = np.concatenate([rng.uniform(0.02, 0.98, n_variants - 4), [0.004, 0.996, 0.5, 0.01]])
    codes = rng.binomial(2, frequency[:, None], (n_variants, n)).astype(np.uint8)
    rate = rng.choice([0, missing, 0.3], n_variants)
    codes[rng.random(codes.shape) < rate[:, None]] = 3
    X = rng.standard_normal((n, n_covariates)) + 50
    y = rng.standard_normal((n, n_traits)) * [1, 30, 0.01][:n_traits] + X[:, :1]
    y[:, 0] += 1.5 * np.where(codes[0] == 3, 0, codes[0])
    y[rng.random(y.shape) < pheno_missing] = np.nan
    return codes, y, X


def run(model, codes, design, block=None):
    n = design.y.shape[0]
    state = prepare(design, np.arange(n), n)
    return model.block(state, block or GenotypeBlock.from_codes(codes))


def assert_agrees(result, expected):
    beta, error, logp = (result.columns[name] for name in ("beta", "standard_error", "neg_log_10_p_value"))
    both = ~np.isnan(expected["beta"])
    assert both.sum() > 0
    np.testing.assert_array_equal(np.isnan(beta), ~both)
    se = expected["standard_error"]
    # Rows of few carriers may have the p of the residuals' own law, which is larger; the model's error stays beside it.
    by_law = result.columns["method"] == METHOD["spa"]
    assert by_law.mean() < 0.05 and np.all(logp[by_law] < expected["neg_log_10_p_value"][by_law])
    assert np.all(np.abs(result.columns["standard_error_model"][by_law] / se[by_law] - 1) <= RELATIVE)
    both &= ~by_law
    assert np.all(np.abs(beta - expected["beta"])[both] <= RELATIVE * np.maximum(np.abs(expected["beta"]), se)[both])
    assert np.all(np.abs(error - se)[both] <= RELATIVE * se[both])
    expected_logp = expected["neg_log_10_p_value"]
    assert np.all(np.abs(logp - expected_logp)[both] <= 1e-4 * np.maximum(1, expected_logp)[both])
    np.testing.assert_array_equal(result.columns["n"][both], expected["n"][both])


@pytest.mark.parametrize("missing", ["complete", "mean"])
@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_dense_least_squares(seed, missing):
    codes, y, X = cohort_data(seed)
    result = run(Linear(["a", "b", "c"], missing=missing, min_mac=0), codes, design_of(y, X))
    assert_agrees(result, linear_by_least_squares(codes, y, X, missing))


def test_agrees_with_statsmodels():
    import statsmodels.api as sm

    codes, y, X = cohort_data(11, n=150, n_variants=12, n_traits=1)
    result = run(Linear("y0", min_mac=0), codes, design_of(y, X))
    for v in range(12):
        keep = (codes[v] < 3) & ~np.isnan(y[:, 0])
        if codes[v][keep].min() == codes[v][keep].max():
            assert np.isnan(result.columns["beta"][v, 0])
            continue
        fit = sm.OLS(y[keep, 0], np.column_stack([np.ones(keep.sum()), X[keep], codes[v][keep]])).fit()
        low, high = fit.conf_int()[-1]
        # float32 sums: five digits of the standard error
        tolerance = RELATIVE * max(abs(fit.params[-1]), fit.bse[-1])
        for name, value in {
            "beta": fit.params[-1],
            "standard_error": fit.bse[-1],
            "ci_lower": low,
            "ci_upper": high,
        }.items():
            assert abs(result.columns[name][v, 0] - value) <= 3 * tolerance


def test_the_same_bits_alone_and_among_others_and_in_any_block():
    codes, y, X = cohort_data(5, n=300, n_variants=70)
    together = run(Linear(["a", "b", "c"]), codes, design_of(y, X)).columns
    for j in range(3):
        alone = run(Linear(["a"]), codes, design_of(y[:, j], X)).columns
        pieces = [run(Linear(["a"]), codes[s : s + 7], design_of(y[:, j], X)).columns for s in range(0, 70, 7)]
        for name in together:
            assert together[name][:, j].tobytes() == alone[name][:, 0].tobytes(), name
            assert np.concatenate([p[name] for p in pieces]).tobytes() == alone[name].tobytes(), name


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_swapping_alleles_flips_beta_and_keeps_p(seed):
    codes, y, X = cohort_data(seed, n=120, n_variants=20, n_traits=1)
    swapped = np.where(codes == 3, 3, 2 - codes.astype(int)).astype(np.uint8)
    one = run(Linear("y0", min_mac=1), codes, design_of(y, X)).columns
    two = run(Linear("y0", min_mac=1), swapped, design_of(y, X)).columns
    # The minor allele is counted either way; only at a frequency of one half do the sums differ, by float32 rounding.
    np.testing.assert_allclose(one["beta"], -two["beta"], rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(one["neg_log_10_p_value"], two["neg_log_10_p_value"], rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-6, 1e6))
def test_permuting_samples_and_scaling_and_shifting_y(seed, factor):
    codes, y, X = cohort_data(seed, n=120, n_variants=20, n_traits=1)
    one = run(Linear("y0", min_mac=1), codes, design_of(y, X)).columns
    order = np.random.default_rng(seed).permutation(120)
    two = run(
        Linear("y0", min_mac=1),
        codes[:, order],
        design_of((y * factor + 7 * factor * X[:, 1:2])[order], X[order]),
    ).columns
    # float32 sums in another order; y + 7 x loses about two digits of float64 only
    np.testing.assert_allclose(two["beta"] / factor, one["beta"], rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(two["standard_error"] / factor, one["standard_error"], rtol=2e-5)


def codes_of(result, j=0):
    return [CODES[i] for i in result.columns["code"][:, j]]


def test_rows_without_an_estimate_say_why():
    rng = np.random.default_rng(0)
    n = 60
    x = rng.binomial(2, 0.4, n)
    ordinary = rng.binomial(2, 0.3, n)
    lone = np.zeros(n, int)
    lone[3] = 1
    rows = [np.zeros(n), np.full(n, 2), np.ones(n), np.full(n, 3), x, lone, ordinary]
    codes = np.array(rows).astype(np.uint8)
    result = run(Linear("y0"), codes, design_of(rng.standard_normal(n), x[:, None]))
    assert codes_of(result) == [
        "monomorphic", "monomorphic", "constant_genotype", "n_too_small", "collinear", "too_few_carriers", None,
    ]  # fmt: skip
    assert np.isnan(result.columns["beta"][:6]).all()
    assert np.isnan(result.columns["neg_log_10_p_value"][:6]).all()
    assert np.isfinite(result.columns["beta"][6, 0])


def test_a_covariate_level_lost_with_the_missing_calls_costs_one_degree_of_freedom_and_is_said():
    rng = np.random.default_rng(3)
    n = 80
    site = np.zeros(n)
    site[:4] = 1
    codes = rng.binomial(2, 0.4, (2, n)).astype(np.uint8)
    codes[0, :4] = 3
    y = rng.standard_normal(n)
    result = run(Linear("y0"), codes, design_of(y, site[:, None]))
    assert codes_of(result) == ["covariate_collinear", None]
    expected = linear_by_least_squares(codes[:1, 4:], y[4:, None], np.empty((n - 4, 0)), "complete")
    np.testing.assert_allclose(result.columns["beta"][0], expected["beta"][0], rtol=1e-9)
    np.testing.assert_allclose(result.columns["standard_error"][0], expected["standard_error"][0], rtol=1e-9)


def test_one_sample_left_of_a_level_keeps_its_digits():
    rng = np.random.default_rng(4)
    n = 3000
    site = np.zeros(n)
    site[:200] = 1
    codes = rng.binomial(2, 0.4, (1, n)).astype(np.uint8)
    codes[0, 1:200] = 3
    y = rng.standard_normal(n) + site * 5
    result = run(Linear("y0"), codes, design_of(y, site[:, None]))
    assert_agrees(result, linear_by_least_squares(codes, y[:, None], site[:, None], "complete"))


def test_a_perfect_fit_and_a_trait_made_of_covariates():
    rng = np.random.default_rng(0)
    codes = rng.binomial(2, 0.4, (1, 50)).astype(np.uint8)
    X = rng.standard_normal((50, 2))
    y = np.column_stack([codes[0].astype(float) * 3 + X[:, 0], 2 * X[:, 0] - X[:, 1]])
    result = run(Linear(["a", "b"]), codes, design_of(y, X))
    assert codes_of(result) == ["perfect_fit"]
    assert codes_of(result, 1) == ["no_residual_variance"]
    np.testing.assert_allclose(result.columns["beta"][0, 0], 3, rtol=1e-9)
    assert np.isnan(result.columns["standard_error"][0]).all()


def test_collinear_covariates_of_one_trait_are_named_and_harm_no_other():
    codes, y, X = cohort_data(8, n=100, n_variants=10, n_traits=2, pheno_missing=0)
    X = np.column_stack([X, np.r_[np.ones(10), np.zeros(90)]])
    y[:10, 0] = np.nan
    design = design_of(y, X)
    state = prepare(design, np.arange(100), 100)
    assert len(state.notes) == 1 and "x4" in state.notes[0] and "y0" in state.notes[0]
    result = Linear(["a", "b"], min_mac=0).block(state, GenotypeBlock.from_codes(codes))
    assert_agrees(result, linear_by_least_squares(codes, y, X, "complete"))


@pytest.mark.parametrize("missing", ["complete", "mean"])
def test_dosages_give_what_their_hard_calls_give_and_fractions_what_least_squares_gives(missing):
    codes, y, X = cohort_data(6, n_variants=20)
    design = design_of(y, X)
    dosages = np.where(codes == 3, np.nan, codes)
    model = Linear(["a", "b", "c"], missing=missing, min_mac=0)
    result = run(model, codes, design, DosageBlock.from_dosages(dosages))
    assert_agrees(result, linear_by_least_squares(codes, y, X, missing))
    block = DosageBlock.from_dosages(np.clip(dosages + np.random.default_rng(1).uniform(0, 0.2, codes.shape), 0, 2))
    result = run(model, codes, design, block)
    assert_agrees(result, linear_by_least_squares(block.dosages(), y, X, missing))


def test_normal_scores_share_ranks_among_ties():
    scores = normal_scores(np.array([3.0, 1.0, 2.0, 2.0]))
    assert scores[2] == scores[3]
    np.testing.assert_allclose(scores[1], -1.0491, atol=1e-4)  # ndtri(0.625 / 4.25)
    np.testing.assert_allclose(scores.sum(), 0, atol=1e-15)


def test_an_outlier_and_rare_and_nearly_fixed_alleles_keep_their_digits():
    rng = np.random.default_rng(9)
    n = 5000
    frequency = np.array([0.001, 0.999, 0.01, 0.99, 0.5])
    codes = rng.binomial(2, frequency[:, None], (5, n)).astype(np.uint8)
    y = rng.standard_t(2, n)
    y[0] = 1e4
    X = rng.standard_normal((n, 5)) * 1e-3 + 2000
    result = run(Linear("y0", min_mac=0), codes, design_of(y, X))
    assert_agrees(result, linear_by_least_squares(codes, y[:, None], X, "complete"))
