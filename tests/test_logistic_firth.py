"""Firth's regression with one coefficient, rows from the trait's own null, and the exponential they are made of."""

import numpy as np
import pytest
from oracles import bernoulli as bernoulli_oracle
from oracles import logistic as oracle
from scipy import optimize, stats

from genassoc.kernels.likelihoods import bernoulli, logistic_firth, logistic_rows
from genassoc.kernels.likelihoods import rows as kernel_rows
from genassoc.kernels.likelihoods.logistic import fit, fitted_of
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import Fits, Trait

# The series is good to its last bit, and the scaling by 2^k is exact.
LAST_BITS = 4e-16
# The oracle's general optimiser stops at 1e-10 of its coefficients; the objective, flat there, leaves 1e-6 of them.
OPTIMISER = 3e-6
# Newton stops when the step left is a millionth of a standard error.
NEWTON = 2e-6


def room():
    return np.empty(bernoulli.TILE), np.empty(bernoulli.TILE)


@pytest.mark.kernel
def test_exponential():
    eta = np.concatenate([np.linspace(-40, 40, 100), [0.0, -0.0, 1e-300, 700.0, -707.0, np.log(2) / 2, 30 * np.log(2)]])
    scaled, x = room()
    bernoulli.exp_minus_abs(eta, scaled, x, eta.size)
    np.testing.assert_allclose(x[: eta.size], bernoulli_oracle.exp_minus_abs(eta), rtol=LAST_BITS)
    bernoulli.exp_minus_abs(np.array([1e4, -np.inf]), scaled, x, 2)
    assert (x[:2] < 1e-300).all()


@pytest.mark.kernel
@pytest.mark.parametrize("n", [1, 7, 256, 300])
def test_weigh(n):
    rng = np.random.default_rng(n)
    eta, y = 12 * rng.normal(size=n), (rng.random(n) < 0.4).astype(float)
    mu, w = np.empty(n), np.empty(n)
    total = bernoulli.weigh(eta, y, mu, w, *room())
    m, v, expected = bernoulli_oracle.weigh(eta, y)
    np.testing.assert_allclose(mu, m, rtol=4 * LAST_BITS)
    np.testing.assert_allclose(w, v, rtol=8 * LAST_BITS)
    assert total == pytest.approx(expected, rel=n * LAST_BITS)


def trait(seed, n, prevalence=0.3):
    rng = np.random.default_rng(seed)
    X = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n)]))[0]
    y = (rng.random(n) < prevalence).astype(float)
    y[:2] = [0, 1]
    g = rng.binomial(2, 0.3, n).astype(float)
    g[:3] = [0, 1, 2]
    return X, y, g


@pytest.mark.kernel
@pytest.mark.parametrize("n", [7, 300])
def test_derivatives_of_the_likelihood(n):
    rng = np.random.default_rng(n)
    d, offset, y = rng.normal(size=n), rng.normal(size=n), (rng.random(n) < 0.4).astype(float)
    at, line = 0.3, np.zeros(logistic_firth.N_SUMS)
    samples = logistic_firth.MovingSamples(d, y, offset)
    assert logistic_firth.derivatives(samples, at, line) == np.abs(d).max()
    eta = offset + at * d
    mu = 1 / (1 + np.exp(-eta))
    w = mu * (1 - mu)
    s = 1 - 2 * mu
    expected = [
        y @ eta - np.logaddexp(0, eta).sum(), (y - mu) @ d, w @ d**2, (w * s) @ d**3, (w * (1 - 6 * w)) @ d**4,
        (w * s * (1 - 12 * w)) @ d**5, (w * (1 - 30 * w + 120 * w**2)) @ d**6, (w**2) @ d**4, (w**2 * s) @ d**5,
        (w**2 * (1 - 5 * w)) @ d**6,
    ]  # fmt: skip
    np.testing.assert_allclose(line, expected, rtol=n * LAST_BITS, atol=n * 10 * LAST_BITS)
    # Read from there a little further on: the seventh power of the way, and in the steps' own sums the fourth.
    likelihood, sums = logistic_firth.along(line, 0.01)
    logistic_firth.derivatives(samples, at + 0.01, line)
    assert likelihood == pytest.approx(line[0], rel=1e-13)
    np.testing.assert_allclose(sums, [line[1], line[2], line[3] / 2, line[7]], rtol=1e-5, atol=1e-6)


@pytest.mark.kernel
@pytest.mark.parametrize("n", [15, 24])
def test_firth_one(n):
    _, y, g = trait(n, n)
    offset, d = 0.4 * np.cos(np.arange(n)), g - 0.6
    row = np.empty(kernel_rows.N_NUMBERS)
    assert logistic_firth.firth_one(d, y, offset, row) == kernel_rows.FINE
    beta, error, root = oracle.firth_one(d, y, offset)
    assert row[kernel_rows.BETA] == pytest.approx(beta, rel=10 * OPTIMISER, abs=10 * OPTIMISER)
    assert row[kernel_rows.MODEL_SE] == pytest.approx(error, rel=10 * OPTIMISER)
    assert row[kernel_rows.STATISTIC] == pytest.approx(root, rel=10 * OPTIMISER)
    carriers = g > 0
    assert logistic_firth.firth_of_carriers(carriers, d, y, offset, row) == kernel_rows.FINE
    assert row[kernel_rows.BETA] == pytest.approx(oracle.firth_of_carriers(carriers, d, y, offset)[0], rel=1e-4)
    assert logistic_firth.firth_one(np.zeros(n), y, offset, row) == kernel_rows.NOT_CONVERGED


def rows_both_ways(X, y, G, what, saddlepoint=False, sparse=False):
    """Rows as refitted one by one, and as from the trait's null."""
    n, C = X.shape
    trait, at = Trait(y, np.zeros(n), np.ones(n)), fitted_of(n)
    L, starts = np.zeros((C, C)), np.zeros((2, C))
    assert fit(X, trait, FitOptions(True, False, C), starts[1], at, L)[0] == 0
    penalised_eta = at.eta.copy()
    assert fit(X, trait, FitOptions(False, True, C), starts[0], at, L)[0] == 0
    Q = np.ascontiguousarray(np.linalg.solve(np.tril(L), X.T).T)
    R = len(G)
    refitted, complete = Fits.empty(R), Fits.empty(R)
    asked = logistic_rows.Asked(np.full(R, what), np.full(R, sparse), np.full(R, saddlepoint))
    logistic_rows.analyse_rows(G, asked, X, trait, starts, False, refitted)
    null = logistic_firth.FirthNull(Q, at.w[:, None] * Q, y, at.mu, at.w, penalised_eta)
    logistic_firth.analyse_complete_rows(
        G,
        asked.test == kernel_rows.FIRTH_APPROX,
        asked.sparse,
        asked.saddlepoint if saddlepoint else None,
        null,
        complete.numbers,
        complete.status,
    )
    out = [fits[:2] for fits in (refitted, complete)]
    return out


@pytest.mark.kernel
@pytest.mark.parametrize("what", [kernel_rows.SCORE, kernel_rows.FIRTH_APPROX])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_row_from_the_null_is_the_row_refitted(what, sparse):
    X, y, g = trait(3, 40)
    G = np.stack([g, 2 - g, X[:, 1] * 3 - X[:, 0], (g == 2).astype(float)])
    (refitted, status), (kept, status_kept) = rows_both_ways(X, y, G, what, True, sparse)
    np.testing.assert_array_equal(status, status_kept)
    assert status[2] == kernel_rows.COLLINEAR and status[0] == kernel_rows.FINE
    fine = status == kernel_rows.FINE
    columns = [kernel_rows.BETA, kernel_rows.MODEL_SE, kernel_rows.STATISTIC, kernel_rows.NEG_LOG_P]
    np.testing.assert_allclose(kept[fine][:, columns], refitted[fine][:, columns], rtol=NEWTON, atol=NEWTON)


@pytest.mark.parametrize("prevalence", [0.3, 0.01])
def test_rows_of_many_samples(prevalence):
    X, y, _ = trait(5, 3000, prevalence)
    rng = np.random.default_rng(6)
    G = rng.binomial(2, rng.uniform(0.002, 0.5, 40)[:, None], (40, 3000)).astype(float)
    (refitted, status), (kept, status_kept) = rows_both_ways(X, y, G, kernel_rows.FIRTH_APPROX)
    np.testing.assert_array_equal(status, status_kept)
    fine = status == kernel_rows.FINE
    assert fine.sum() >= 35
    np.testing.assert_allclose(kept[fine, :3], refitted[fine, :3], rtol=NEWTON, atol=NEWTON)


# Where the kernel stops: a hundred thousandth of the root of the fall, and the optimiser's noise.
END = 3e-5


def ends_by_root(fall, beta, error):
    """The two roots of ``fall`` = 3.84 beside beta, by brentq."""
    ends = []
    for side in (-1, 1):
        far = beta + side * error
        while fall(far) < stats.chi2.ppf(0.95, 1):
            far += side * error
        ends.append(optimize.brentq(lambda b: fall(b) - stats.chi2.ppf(0.95, 1), beta, far, xtol=1e-10))
    return ends


@pytest.mark.kernel
@pytest.mark.parametrize("separated", [False, True])
def test_intervals_are_where_the_penalised_profile_has_fallen(separated):
    n = 18
    _, y, g = trait(n, n)
    if separated:
        y = np.where(g > 0, 1.0, np.arange(n) % 2)
    offset, d = 0.4 * np.cos(np.arange(n)), g - 0.6
    row = np.empty(kernel_rows.N_NUMBERS)
    assert logistic_firth.firth_one(d, y, offset, row) == kernel_rows.FINE
    beta, error, _ = oracle.firth_one(d, y, offset)

    def one(b):
        return oracle.penalised_log_likelihood(d[:, None], y, np.array([b]), offset)

    expected = ends_by_root(lambda b: 2 * (one(beta) - one(b)), beta, error)
    np.testing.assert_allclose(row[[kernel_rows.LOWER, kernel_rows.UPPER]], expected, rtol=END, atol=END * error)


@pytest.mark.kernel
def test_intervals_of_the_full_model():
    n = 18
    X, y, g = trait(n, n)
    starts = np.stack([oracle.newton(X, y), oracle.fit(X, y, penalised=True)[0]])
    fits, no = Fits.empty(1), np.zeros(1, bool)
    asked = logistic_rows.Asked(np.array([kernel_rows.FIRTH]), no, no)
    logistic_rows.analyse_rows(g[None], asked, X, Trait(y, np.zeros(n), np.ones(n)), starts, False, fits)
    numbers, status, _ = fits
    assert status[0] == kernel_rows.FINE
    D = np.column_stack([X, g])
    coefficients, best = oracle.fit(D, y, penalised=True)

    def fall(b):
        found = optimize.minimize(
            lambda free: -oracle.penalised_log_likelihood(D, y, np.append(free, b)), coefficients[:-1], method="BFGS"
        )
        return 2 * (best + found.fun)

    expected = ends_by_root(fall, coefficients[-1], numbers[0, kernel_rows.MODEL_SE])
    np.testing.assert_allclose(numbers[0, [kernel_rows.LOWER, kernel_rows.UPPER]], expected, rtol=END, atol=END)
