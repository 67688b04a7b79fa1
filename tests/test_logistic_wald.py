"""Wald tests fitted eight samples at a time: beside the plain twin, beside the scalar rows, and what is left to those."""

import numpy as np
import pytest
from oracles import logistic as plain
from oracles import logistic_wald as oracle

from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods import logistic_rows
from genassoc.kernels.likelihoods import rows as kernel_rows
from genassoc.kernels.likelihoods.logistic_tiles import (  # fmt: skip
    FACTORS,
    add_tile,
    collect,
    log_likelihood,
    longest_change,
    set_genotype,
    sums_size,
    tiled,
    weights_of,
)
from genassoc.kernels.likelihoods.logistic_wald import wald_rows
from genassoc.kernels.likelihoods.rows import Fits, Trait

WHAT = {
    "wald": kernel_rows.WALD,
    "wald_plink2": kernel_rows.WALD_PLINK2,
    "firth_plink2": kernel_rows.FIRTH_PLINK2,
}
# Newton stops at a step of 1e-6 standard errors, which it has not taken.
NEWTON = 2e-6
# The oracle's maximum of Firth's likelihood is a general optimiser's.
OPTIMISER = 2e-5
# Sums of a hundred numbers in another order.
ROUNDING = 1e-12


def data(seed, N, C, share=0.3, frequency=0.25):
    """Orthonormal covariates with the constant first, an outcome that depends on them, three genotypes."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((N, C - 1))
    y = (rng.random(N) < 1 / (1 + np.exp(-(np.log(share / (1 - share)) + 0.5 * Z.sum(axis=1))))).astype(float)
    X = np.ascontiguousarray(np.linalg.qr(np.column_stack([np.ones(N), Z]))[0])
    G = rng.binomial(2, frequency, (3, N)).astype(float)
    G[1:][rng.random((2, N)) < 0.05] = np.nan
    return X, y, G


def run(X, y, G, what, offset=None):
    asked = np.full(len(G), what) if np.isscalar(what) else what
    numbers, done = np.full((len(G), kernel_rows.N_NUMBERS), np.nan), np.zeros(len(G), np.bool_)
    start = plain.newton(X, y)
    penalised, _ = plain.fit(X, y, penalised=True) if len(y) < 200 else (start, 0)
    trait = Trait(y, np.zeros(len(y)) if offset is None else offset, np.ones(len(y)))
    wald_rows(G, asked, X, trait, np.stack([start, penalised]), numbers, done)
    return numbers, done


def scalar_rows(G, asked, X, y, offset, starts):
    """Fits of the rows one sample at a time."""
    fits, no = Fits.empty(len(G)), np.zeros(len(G), np.bool_)
    trait = Trait(y, offset, np.ones(len(y)))
    logistic_rows.analyse_rows(G, logistic_rows.Asked(asked, no, no), X, trait, np.stack(starts), False, fits)
    return fits


@pytest.mark.parametrize("what", WHAT)
def test_an_offset_is_a_column_whose_coefficient_is_held(what):
    """Fitted beside what the other columns give, g has the coefficient that it has beside them."""
    X, y, G = data(7, 160, 3)
    start, offset = plain.newton(X, y), 0.3 * np.sin(np.arange(160))
    expected, status, _ = scalar_rows(G, np.full(3, WHAT[what]), X, y, offset, (start, start))
    assert (status == kernel_rows.FINE).all()
    numbers, done = run(X, y, G, WHAT[what], offset)
    if what == "wald_plink2":
        assert not done.any()  # R's start with an offset is the scalar fit's affair
        return
    errors = expected[:, kernel_rows.MODEL_SE]
    np.testing.assert_array_less(np.abs(numbers - expected)[:, kernel_rows.BETA], NEWTON * errors)
    if what == "wald":
        held = np.column_stack([X, G[0]]) @ np.append(plain.newton(np.column_stack([X, G[0]]), y)[:3], 0.0)
        alone, _ = run(np.full((160, 1), 160**-0.5), y, G[:1], WHAT[what], held)
        full, _ = run(X, y, G[:1], WHAT[what])
        assert alone[0, kernel_rows.BETA] == pytest.approx(full[0, kernel_rows.BETA], rel=NEWTON)


@pytest.mark.kernel
@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize(("N", "C"), [(60, 1), (140, 3)])
def test_rows_beside_the_plain_twin(what, N, C):
    X, y, G = data(1, N, C)
    numbers, done = run(X, y, G, WHAT[what])
    expected = oracle.wald_rows(X, y, G, what)
    assert done.all()
    errors = numbers[:, kernel_rows.MODEL_SE]
    tolerance = {"wald": NEWTON, "wald_plink2": 1e-9, "firth_plink2": OPTIMISER}[what]
    np.testing.assert_array_less(np.abs(numbers[:, kernel_rows.BETA] - expected[:, 0]), tolerance * errors)
    np.testing.assert_allclose(errors, expected[:, 1], rtol=tolerance)
    np.testing.assert_allclose(numbers[:, kernel_rows.STATISTIC], numbers[:, kernel_rows.BETA] / errors, rtol=ROUNDING)
    if what == "wald_plink2":
        np.testing.assert_array_equal(numbers[:, kernel_rows.ITERATIONS], expected[:, 2])


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("share", [0.01, 0.3])
def test_as_the_scalar_rows_from_rare_to_common(what, share):
    """12 covariates and 3,000 samples: more than one block of four columns, more than one tile."""
    X, y, _ = data(2, 3000, 13, share)
    rng = np.random.default_rng(3)
    G = np.stack([rng.binomial(2, frequency, 3000) for frequency in (0.003, 0.01, 0.05, 0.2, 0.5)]).astype(float)
    G[rng.random(G.shape) < 0.005] = np.nan
    for row in G:
        row[np.flatnonzero(y == 1)[:2]] = 1  # carriers among cases: nothing is separated
    numbers, done = run(X, y, G, WHAT[what])
    R, start = len(G), plain.newton(X, y)
    expected, status, _ = scalar_rows(G, np.full(R, WHAT[what]), X, y, np.zeros(3000), (start, start))
    assert (status == kernel_rows.FINE).all() and done.sum() >= R - 1
    numbers, expected = numbers[done], expected[done]
    errors = expected[:, kernel_rows.MODEL_SE]
    # Both Firth fits stop within 1e-6 standard errors of the maximum.
    np.testing.assert_array_less(np.abs(numbers - expected)[:, kernel_rows.BETA], NEWTON * errors)
    np.testing.assert_allclose(numbers[:, kernel_rows.MODEL_SE], errors, rtol=NEWTON)
    if what == "wald_plink2":
        np.testing.assert_array_equal(numbers[:, kernel_rows.ITERATIONS], expected[:, kernel_rows.ITERATIONS])


@pytest.mark.kernel
def test_rows_with_surprises_are_left_to_the_scalar_fit():
    X, y, G = data(4, 60, 2)
    controls_only = np.where(y == 1, np.nan, G[0])
    with np.errstate(all="ignore"):
        numbers, done = run(X, y, np.stack([controls_only, 3.0 * X[:, 1], y, G[0]]), WHAT["wald"])
    assert done.tolist() == [False, False, False, True]
    assert np.isnan(numbers[:3]).all()
    # Calls missing in all samples of one level: the covariate is a constant among the others.
    level = np.repeat([0.0, 1.0], 30)
    Z = np.ascontiguousarray(np.linalg.qr(np.column_stack([np.ones(60), level]))[0])
    _, done = run(Z, y, np.where(level > 0, np.nan, G[0])[None], WHAT["wald"])
    assert not done[0]


def test_the_same_bits_in_any_company():
    X, y, G = data(5, 1000, 5)
    asked = np.array([WHAT["wald"], WHAT["firth_plink2"], WHAT["wald_plink2"]])
    together, _ = run(X, y, G, asked)
    for row in range(3):
        alone, _ = run(X, y, G[row : row + 1], int(asked[row]))
        np.testing.assert_array_equal(alone[0], together[row])


def test_log_likelihood_of_more_samples_than_one_product_holds():
    N = FACTORS * TILE + 1000
    rng = np.random.default_rng(6)
    X, y = np.ones((N, 1)), (rng.random(N) < 0.1).astype(float)
    g = rng.binomial(2, 0.3, N).astype(float)
    tiles = tiled(X, Trait(y, np.zeros(N), np.ones(N)))
    assert set_genotype(g, tiles.y, tiles.T, tiles.keep)
    beta, J, gradient = np.array([-2.0, 0.4]), np.zeros((2, 2)), np.zeros(2)
    found = log_likelihood(tiles, beta, True, weights_of(tiles), J, gradient)
    D = np.column_stack([X, g])
    mu, weights = plain.weights(D, beta)
    assert found == pytest.approx(plain.log_likelihood(D, y, beta), rel=ROUNDING)
    np.testing.assert_allclose(J, D.T @ (weights[:, None] * D), rtol=ROUNDING)
    # A sum whose terms cancel: against their absolute sum
    assert (np.abs(gradient - D.T @ (y - mu)) <= ROUNDING * (D.T @ np.abs(y - mu))).all()


@pytest.mark.kernel
def test_sums_of_a_tile_beside_numpy():
    rng = np.random.default_rng(7)
    T, w, r = rng.standard_normal((8, TILE)), rng.random(TILE), rng.standard_normal(TILE)
    P = 6  # five covariates, two columns of zeros, g
    T[5:7] = 0.0
    D = T[[0, 1, 2, 3, 4, 7]].T
    for first in (0, 4):
        sums, J, gradient = np.zeros(sums_size(8)), np.zeros((P, P)), np.zeros(P)
        add_tile(T.ravel(), 0, 8, first, 0, w, r, sums)
        collect(sums, 8, first, J, gradient)
        expected = D.T @ (w[:, None] * D)
        expected[:first, :first] = 0.0  # not asked for
        np.testing.assert_allclose(J, expected, rtol=ROUNDING, atol=ROUNDING)
        np.testing.assert_allclose(gradient, D.T @ r, rtol=ROUNDING, atol=ROUNDING)
    step = np.arange(1.0, 7.0)
    assert longest_change(T.ravel(), np.ones(TILE), step) == pytest.approx(np.abs(D @ step).max(), rel=ROUNDING)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_firth_with_its_ratio_and_interval_as_the_scalar_rows(share):
    X, y, G = data(4, 400, 4, share)
    starts = (plain.newton(X, y), plain.newton(X, y))
    asked = np.full(3, kernel_rows.FIRTH)
    expected, status, _ = scalar_rows(G, asked, X, y, np.zeros(400), starts)
    numbers, done = run(X, y, G, kernel_rows.FIRTH)
    assert done.all() and (status == kernel_rows.FINE).all()
    columns = [kernel_rows.BETA, kernel_rows.LOWER, kernel_rows.UPPER]
    # Both go the same steps; the ends of intervals are trials of the same search.
    errors = expected[:, [kernel_rows.MODEL_SE]]
    assert (np.abs(numbers - expected)[:, columns] <= NEWTON * errors).all()
    np.testing.assert_allclose(numbers[:, kernel_rows.MODEL_SE], errors[:, 0], rtol=NEWTON)
    np.testing.assert_allclose(numbers[:, kernel_rows.STATISTIC], expected[:, kernel_rows.STATISTIC], rtol=NEWTON)
