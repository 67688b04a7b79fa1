"""Traits with different missingness: each as if it were alone, whatever covariates and company it shares."""

import numpy as np
import pytest
from oracles import linear_rows as oracle
from oracles.linear import linear_by_least_squares
from test_linear import assert_agrees, cohort_data, design_of, run

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.likelihoods import linear_rows as kernel
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import prepare

NAMES = tuple(f"y{j}" for j in range(50))


def fifty_traits(n=600, n_variants=80, seed=3):
    """50 traits that each lack 0 to 20 % of the samples, and one each that lacks most and that needs its own covariates."""
    rng = np.random.default_rng(seed)
    frequency = np.concatenate([10 ** rng.uniform(-2.5, -0.3, n_variants - 2), [0.97, 0.5]])
    codes = rng.binomial(2, frequency[:, None], (n_variants, n)).astype(np.uint8)
    codes[rng.random(codes.shape) < rng.choice([0, 0.005, 0.1], (n_variants, 1))] = 3
    X = rng.standard_normal((n, 4)) + np.array([0, 5, 0, 0])
    X[:, 3] = np.r_[np.full(n // 10, 40.0), np.zeros(n - n // 10)] + 0.01 * X[:, 3]
    y = rng.standard_normal((n, 50)) + X[:, :1] + np.where(codes[:1].T == 3, 0, codes[:1].T)
    y[rng.random(y.shape) < np.linspace(0, 0.2, 50)] = np.nan
    y[rng.random(n) < 0.6, 7] = np.nan
    y[: n // 10, 9] = np.nan  # the last covariate hardly varies in the others
    y[:, 12] = np.where(
        np.isnan(y[:, 11]), np.nan, y[:, 12] - np.nan_to_num(y[:, 11])
    )  # shares a pattern, where observed
    y[np.isnan(y[:, 12]), 11] = np.nan
    return codes, y, X


@pytest.fixture(scope="module")
def together():
    codes, y, X = fifty_traits()
    return codes, y, X, run(Linear(NAMES, min_mac=0), codes, design_of(y, X)).columns


def test_patterns_share_covariates_unless_they_lack_too_much():
    _, y, X = fifty_traits()
    state = prepare(design_of(y, X), np.arange(len(y)), len(y))
    assert [len(group.nulls) for group in state.groups] == [47, 1, 1]
    assert [group.traits.tolist() for group in state.groups[1:]] == [[7], [9]]
    assert [null.traits[0] for null in state.nulls] == sorted(null.traits[0] for null in state.nulls)
    assert state.groups[0].matrix.columns.shape[1] == 4 + 48  # not 4 for each pattern
    assert state.n_by_trait == (~np.isnan(y)).sum(axis=0).tolist()


@pytest.mark.parametrize("missing", ["complete", "mean"])
def test_fifty_patterns_are_fifty_regressions(missing):
    codes, y, X = fifty_traits(n_variants=24)
    some = [0, 1, 7, 9, 11, 12, 30, 49]
    result = run(Linear(NAMES, min_mac=0, missing=missing), codes, design_of(y, X))
    columns = {name: values[:, some] for name, values in result.columns.items()}
    expected = linear_by_least_squares(codes, y[:, some], X, missing)
    assert_agrees(type(result)(columns, {}), expected)


@pytest.mark.parametrize("trait", [0, 1, 7, 9, 11, 12, 49])
def test_a_trait_alone_has_the_bits_it_has_among_fifty(together, trait):
    codes, y, X, columns = together
    alone = run(Linear("y0", min_mac=0), codes, design_of(y[:, [trait]], X)).columns
    for name, values in alone.items():
        assert values[:, 0].tobytes() == np.ascontiguousarray(columns[name][:, trait]).tobytes(), name


def test_fifty_patterns_in_any_order_and_any_block(together):
    codes, y, X, columns = together
    order = np.random.default_rng(0).permutation(50)
    model, design = Linear(NAMES, min_mac=0), design_of(y[:, order], X)
    state = prepare(design, np.arange(len(y)), len(y))
    for step in (1, 7, 80):
        for start in range(0, 80, max(step, 7)):
            part = model.block(state, GenotypeBlock.from_codes(codes[start : start + step])).columns
            for name, values in part.items():
                expected = columns[name][start : start + step][:, order]
                assert values.tobytes() == np.ascontiguousarray(expected).tobytes(), (name, start, step)


def test_dosages_of_patterns_agree_with_their_hard_calls():
    codes, y, X = fifty_traits(n_variants=12)
    some = [0, 7, 9, 30]
    result = run(Linear(NAMES[:4], min_mac=0), codes, design_of(y[:, some], X), DosageBlock.from_dosages(
        np.where(codes == 3, np.nan, codes)
    ))  # fmt: skip
    assert_agrees(result, linear_by_least_squares(codes, y[:, some], X, "complete"))


def test_an_allele_that_a_trait_hardly_sees_keeps_its_digits():
    codes, y, X = cohort_data(3, n=3000, n_variants=20, n_traits=2, missing=0)
    lacking = np.arange(3000) < 900
    y[:, 0] = np.where(lacking, np.nan, np.random.default_rng(0).standard_normal(3000))
    codes[:, ~lacking] = 0
    for row in codes:
        row[900 + np.random.default_rng(1).choice(2100, 7, replace=False)] = 1
    assert_agrees(
        run(Linear(["a", "b"], min_mac=0), codes, design_of(y, X)), linear_by_least_squares(codes, y, X, "complete")
    )


@pytest.mark.kernel
@pytest.mark.parametrize("C", [1, 4])
def test_eight_factors_and_solutions_at_once(C):
    rng = np.random.default_rng(C)
    grams = [np.eye(C) * 3 + (half := rng.uniform(-0.4, 0.4, (C, C))) @ half.T for _ in range(DOUBLES)]
    lower = np.tril_indices(C)
    A = np.stack([gram[lower] for gram in grams], axis=1).ravel()
    b = rng.standard_normal((C, DOUBLES))
    x = b.copy().ravel()
    weakest, lost, rank = np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES, np.int64)
    kernel.factor_lanes(A, C, weakest, lost, rank)
    kernel.solve_lanes(A, C, x)
    assert rank.tolist() == [C] * DOUBLES and not lost.any()
    for lane, gram in enumerate(grams):
        # a few float64 operations on numbers of order one
        np.testing.assert_allclose(A.reshape(-1, DOUBLES)[:, lane], oracle.factor_lanes(gram)[lower], atol=1e-14)
        np.testing.assert_allclose(x.reshape(C, DOUBLES)[:, lane], oracle.solve_lanes(gram, b[:, lane]), atol=1e-14)


@pytest.mark.kernel
def test_a_lost_direction_takes_no_part():
    C = 2
    A = np.zeros((3, DOUBLES))
    A[0], A[1], A[2] = 1.0, 0.5, 1.0
    A[2, 3] = 0.25  # the second column is half the first in the fourth matrix
    A, x = A.ravel(), np.ones(C * DOUBLES)
    weakest, lost, rank = np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES, np.int64)
    kernel.factor_lanes(A, C, weakest, lost, rank)
    kernel.solve_lanes(A, C, x)
    assert rank.tolist() == [2, 2, 2, 1, 2, 2, 2, 2]
    assert x.reshape(C, DOUBLES)[1, 3] == 0.0
    assert (x.reshape(C, DOUBLES)[1, [0, 1, 2, 4, 5, 6, 7]] > 0).all()
