"""Score tests and approximate Firth of rows with missing calls: beside the plain twin and beside the scalar rows."""

import numpy as np
import pytest
from oracles import logistic as plain
from test_logistic_wald import data, scalar_rows

from genassoc.kernels.likelihoods import rows as kernel_rows
from genassoc.kernels.likelihoods.logistic_refit import refit_rows
from genassoc.kernels.likelihoods.rows import Trait

# Score tests: a step of 1e-5 of the covariates' standard errors is the last. Firth: the penalised null's last is
# 1e-3 of them, and what it leaves is a hundredth; a variant feels a part of that (measured: 1e-5 of its own).
SCORE, FIRTH = 5e-6, 5e-5


def run(X, y, G, firth, offset=None):
    numbers, done = np.full((len(G), kernel_rows.N_NUMBERS), np.nan), np.zeros(len(G), np.bool_)
    offset = np.zeros(len(y)) if offset is None else offset
    start = plain.newton(X, y, offset)
    penalised = plain.fit(X, y, offset, penalised=True)[0] if len(y) < 200 else start
    trait = Trait(y, offset, np.ones(len(y)))
    refit_rows(G, np.full(len(G), firth), X, trait, np.stack([start, penalised]), numbers, done)
    return numbers, done


def close(numbers, expected_beta, expected_z, tolerance):
    """Beta within shares of its standard error; the statistic, where it is large, of its own size."""
    errors = numbers[:, kernel_rows.MODEL_SE]
    assert (np.abs(numbers[:, kernel_rows.BETA] - expected_beta) <= tolerance * errors).all()
    np.testing.assert_allclose(numbers[:, kernel_rows.STATISTIC], expected_z, rtol=tolerance, atol=tolerance)


@pytest.mark.kernel
@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize(("N", "C", "size"), [(140, 1, 0.0), (150, 3, 0.0), (150, 3, 0.3)])
def test_rows_beside_the_plain_twin(firth, N, C, size):
    X, y, G = data(1, N, C)
    offset = size * np.sin(np.arange(N))
    numbers, done = run(X, y, G, firth, offset=offset)
    assert done.all()
    expected = plain.analyse_rows(X, y, G, "firth_approx" if firth else "score", offset)
    close(numbers, expected[:, 0], expected[:, 1], FIRTH if firth else SCORE)


@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("missing", [0.005, 0.1])
def test_as_the_scalar_rows_from_rare_to_common(firth, share, missing):
    X, y, _ = data(2, 3000, 13, share)
    rng = np.random.default_rng(3)
    G = np.stack([rng.binomial(2, frequency, 3000) for frequency in (0.001, 0.01, 0.1, 0.5)]).astype(float)
    G[rng.random(G.shape) < missing] = np.nan
    numbers, done = run(X, y, G, firth)
    R, asked = len(G), kernel_rows.FIRTH_APPROX if firth else kernel_rows.SCORE
    start = plain.newton(X, y)
    expected, status, _ = scalar_rows(G, np.full(R, asked), X, y, np.zeros(3000), (start, start))
    # Few cases and many calls missing: a null that moves far is left to the scalar fit.
    assert (status == kernel_rows.FINE).all() and done.any() and (done.all() or share == 0.01)
    tolerance = FIRTH if firth else SCORE
    close(numbers[done], expected[done, kernel_rows.BETA], expected[done, kernel_rows.STATISTIC], tolerance)
    np.testing.assert_allclose(
        numbers[done, kernel_rows.MODEL_SE], expected[done, kernel_rows.MODEL_SE], rtol=tolerance
    )


@pytest.mark.kernel
def test_rows_with_surprises_are_left_to_the_scalar_fit():
    X, y, G = data(4, 60, 2)
    controls_only = np.where(y == 1, np.nan, G[1])
    combination = np.where(np.isnan(G[1]), np.nan, 3.0 * X[:, 1])
    numbers, done = run(X, y, np.stack([controls_only, combination, G[1]]), False)
    assert done.tolist() == [False, False, True]
    assert np.isnan(numbers[:2]).all()


def test_the_same_bits_in_any_company():
    X, y, G = data(5, 1000, 5)
    together, _ = run(X, y, G, True)
    for row in range(3):
        np.testing.assert_array_equal(run(X, y, G[row : row + 1], True)[0][0], together[row])
