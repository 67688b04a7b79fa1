"""Linear regression where cancellation bites: the bar of the dense float64 fit holds there too."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore
from oracles.linear import neg_log_10_p
from test_linear import assert_agrees, codes_of, design_of, run

import genassoc as ga
from genassoc.data.block import DosageBlock
from genassoc.errors import PhenotypeError
from genassoc.models.linear.model import Linear


def calls(rng, n_variants, n, frequency=0.3):
    return rng.binomial(2, frequency, (n_variants, n)).astype(np.uint8)


def residuals_of(v, Q):
    v = v - v.mean()
    for _ in range(3):
        for q in Q:
            v = v - q * (q @ v)
    return v


def dense_row(g, y, X):
    """beta, standard error and -log10 p on complete cases, by projections: no squared condition number."""
    Q = []
    for x in X.T:
        centred = x - x.mean()
        left = residuals_of(centred / max(np.linalg.norm(centred), 1e-300), Q)
        if np.linalg.norm(left) > 1e-7:  # R's lm
            Q.append(left / np.linalg.norm(left))
    g, y = residuals_of(g, Q), residuals_of(y, Q)
    df = len(y) - len(Q) - 2
    beta = (g @ y) / (g @ g)
    error = np.linalg.norm(y - beta * g) / np.linalg.norm(g) / np.sqrt(df)
    return beta, error, neg_log_10_p(beta / error, df)


def assert_as_least_squares(codes, y, X, missing="complete"):
    result = run(Linear("y0", min_mac=0, missing=missing), codes, design_of(y, X))
    observed = ~np.isnan(y)
    rows, n = [], []
    for row in codes:
        g = np.where(row == 3, np.nan, row.astype(float))
        if missing == "mean":
            g = np.where(row == 3, np.nanmean(g[observed]), g)
        keep = observed & ~np.isnan(g)
        rows.append(dense_row(g[keep], y[keep], X[keep]))
        n.append([keep.sum()])
    names = ("beta", "standard_error", "neg_log_10_p_value")
    assert_agrees(result, {name: np.array(rows)[:, [i]] for i, name in enumerate(names)} | {"n": np.array(n)})


@pytest.mark.parametrize("n", [100, 20_000])
def test_a_trait_that_is_constant_where_the_variant_is_called_has_no_estimate(n):
    rng = np.random.default_rng(7)
    codes = calls(rng, 12, n)
    k = n * 3 // 4
    codes[:, :k] = 3  # an assay that failed in the other batch
    y = np.r_[rng.normal(7, 3, k), np.zeros(n - k)]
    result = run(Linear("y0"), codes, design_of(y, np.zeros((n, 0))))
    assert np.isnan(result.columns["neg_log_10_p_value"]).all()
    assert codes_of(result) == ["no_residual_variance"] * 12
    assert np.isnan(result.columns["beta"]).all()


@pytest.mark.parametrize("shift", [30, 3000, 1e7])
def test_calls_missing_in_a_batch_whose_trait_is_shifted(shift):
    rng = np.random.default_rng(9)
    n = 2000
    codes = calls(rng, 10, n)
    codes[:, : n // 2] = 3
    y = rng.standard_normal(n)
    y[: n // 2] += shift
    assert_as_least_squares(codes, y, rng.standard_normal((n, 2)))


@pytest.mark.parametrize("typo", [1e4, 1e6, 1e8])
def test_a_mistyped_trait_value_whose_call_is_missing(typo):
    rng = np.random.default_rng(1)
    codes = calls(rng, 20, 1000)
    codes[:, 0] = 3
    y = rng.standard_normal(1000)
    y[0] = typo
    assert_as_least_squares(codes, y, rng.standard_normal((1000, 2)))


def test_a_mistyped_covariate_whose_call_is_missing_is_not_a_lost_covariate():
    rng = np.random.default_rng(1)
    codes = calls(rng, 6, 1000)
    codes[:, 0] = 3
    X = rng.standard_normal((1000, 2))
    y = X[:, 0] + rng.standard_normal(1000)
    X[0, 0] = 1e7
    assert_as_least_squares(codes, y, X)


def test_an_allele_rare_among_the_traits_samples_and_major_in_the_cohort():
    rng = np.random.default_rng(2)
    n, cohort = 20_000, 60_000
    codes = rng.binomial(2, 0.95, (12, cohort)).astype(np.uint8)
    codes[:, :n] = 0
    for row in codes:
        row[rng.choice(n, 6, replace=False)] = 1
    y = rng.standard_normal(cohort)
    y[n:] = np.nan
    assert_as_least_squares(codes, y, rng.standard_normal((cohort, 2)))


@pytest.mark.parametrize("noise", [1e-5, 1e-6])
def test_a_fit_that_is_almost_perfect(noise):
    rng = np.random.default_rng(1)
    codes = calls(rng, 1, 1000)
    assert_as_least_squares(codes, 3.0 * codes[0] + noise * rng.standard_normal(1000), rng.standard_normal((1000, 2)))


@pytest.mark.parametrize("noise", [3e-6, 1e-6])
def test_a_covariate_that_almost_copies_the_genotype(noise):
    rng = np.random.default_rng(1)
    codes = calls(rng, 1, 1000)
    x = codes[0] + noise * rng.standard_normal(1000)
    assert_as_least_squares(codes, rng.standard_normal(1000), x[:, None])


def test_few_degrees_of_freedom():
    # What g and the covariates leave of each other multiplies the rounding of the sums: here neither is small alone.
    rng = np.random.default_rng(12)
    for _ in range(100):
        codes = calls(rng, 8, 10)
        codes[:, :3] = [0, 1, 2]
        assert_as_least_squares(codes, rng.standard_normal(10), rng.standard_normal((10, 6)))


def test_samples_in_the_order_of_the_trait_keep_their_digits():
    # Stores are in batch, or case and control, order: a tile's float32 sum is then far larger than the score.
    rng = np.random.default_rng(9)
    n = 4000
    codes = calls(rng, 300, n, 0.48)
    X = rng.standard_normal((n, 3))
    assert_as_least_squares(codes, (np.arange(n) < n // 2).astype(float), X)
    assert_as_least_squares(codes, np.sort(rng.standard_normal(n)), X)


def test_dosages_give_the_same_bits_in_any_block():
    rng = np.random.default_rng(3)
    dosages = np.clip(
        rng.binomial(2, rng.uniform(0.02, 0.98, (50, 1)), (50, 515)) + rng.uniform(-0.3, 0.3, (50, 515)), 0, 2
    )
    design = design_of(rng.standard_normal((515, 3)), rng.standard_normal((515, 4)))
    block = DosageBlock.from_dosages(dosages)
    whole = run(Linear(["a", "b", "c"]), None, design, block).columns
    for step in (1, 7):
        pieces = [
            run(Linear(["a", "b", "c"]), None, design, DosageBlock(block.values[s : s + step])).columns
            for s in range(0, 50, step)
        ]
        for name in whole:
            assert np.concatenate([piece[name] for piece in pieces]).tobytes() == whole[name].tobytes(), (step, name)


def test_an_undeclared_missing_code_among_joined_covariates_is_refused():
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(100)]
    store = MemoryStore(calls(rng, 3, 100), names)
    traits = pl.DataFrame({"IID": names, "y": rng.standard_normal(100)})
    joined = pl.DataFrame({"IID": names, "bmi": np.r_[np.full(5, -9.0), rng.normal(25, 2, 95)]})
    # "-9" declared for one table either means missing in the joined one too, or is still an error; never a number.
    cohort = ga.Cohort.align(store, traits, missing_codes=["-9"]).with_covariates(joined)
    try:
        design = cohort.design(["y"], ["bmi"])
    except PhenotypeError:
        return
    assert design.complete.sum() == 95
