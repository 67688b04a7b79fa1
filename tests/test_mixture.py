"""The mixture prior of a whole-genome regression, against variant by variant twins and truths that are known."""

from dataclasses import dataclass

import numpy as np
import pytest
from oracles import mixture as oracle

from genassoc.analyses.whole_genome.responses import Bernoulli, Hazard, Normal
from genassoc.analyses.whole_genome.sweeps import Basis, Chunk, Fit, gram_of, out_of_fold, run_sweeps
from genassoc.kernels.structure import mixture as kernel
from genassoc.kernels.structure.mixture import MixturePriors


@dataclass
class Dense:
    """Variants in memory, in chunks of ``size``, on chromosomes of ``per`` variants."""

    X: np.ndarray
    size: int = 16
    per: int = 40

    @property
    def n_samples(self):
        return self.X.shape[1]

    @property
    def n_variants(self):
        return len(self.X)

    def __iter__(self):
        V = len(self.X)
        starts = sorted({*range(0, V, self.per), *range(0, V, self.size)})
        for number, (a, b) in enumerate(zip(starts, [*starts[1:], V])):
            yield Chunk(number, a, b, a // self.per), self.X[a:b]


def standardised(rng, V, n):
    """Neighbours that are correlated, of mean 0 and variance 1."""
    X = rng.standard_normal((V, n))
    X[1:] += 0.7 * X[:-1]
    X -= X.mean(axis=1, keepdims=True)
    return np.ascontiguousarray(X / X.std(axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    X = standardised(rng, 120, 300)
    effects = np.where(rng.random(120) < 0.1, rng.standard_normal(120) * 0.25, 0.0)
    y = effects @ X + rng.standard_normal(300)
    y -= y.mean()
    return Dense(X), y / y.std()


def priors(*columns):
    """Columns of (share, larger, smaller, noise, part)."""
    return MixturePriors(*(np.array(field, dtype=np.float64) for field in zip(*columns)))


PRIORS = priors((0.05, 0.05, 0.001, 0.6, 1.0), (1.0, 0.004, 0.0, 0.6, 1.0), (0.1, 0.02, 0.0, 0.6, 1.0))


def fitted(data, response, tolerance=1e-7, chosen=PRIORS, train=None, most=500, has=None):
    Q = np.full((data.n_samples, 1), data.n_samples**-0.5)
    has = np.ones(data.n_samples, bool) if has is None else has
    C = chosen.share.size
    train = np.repeat(has[None], C, axis=0) if train is None else train
    fit = Fit(response, Basis.of(Q, has), train, chosen, tolerance, data.n_variants)
    run_sweeps(data, [gram_of(X, Q) for _, X in data], [fit], most)
    return fit


@pytest.mark.kernel
def test_sweep():
    rng = np.random.default_rng(1)
    X = standardised(rng, 7, 20)
    gram = X @ X.T
    gram[3] = gram[:, 3] = 0.0  # covariates left nothing of it
    product = rng.standard_normal((3, 7)) * 5
    found, expected = (np.zeros((3, 7), np.float32) for _ in range(2))
    moved, moved_expected = (np.empty((3, 7), np.float32) for _ in range(2))
    for _ in range(2):  # from rest, and from effects
        kernel.sweep(gram, product.copy(), PRIORS, found, moved)
        oracle.sweep(gram, product, PRIORS, expected, moved_expected)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)  # effects are kept in float32
        np.testing.assert_allclose(moved, moved_expected, rtol=0, atol=1e-6)
    assert found[:, 3].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [16, 7])
def test_sweeps_are_those_of_single_variants(data, size):
    genotypes, y = data
    fit = fitted(Dense(genotypes.X, size), Normal(y), tolerance=0.0, most=4)
    for c in range(3):
        slow = oracle.effects_by_variant(genotypes.X.astype(float), y, *(field[c] for field in PRIORS[:4]), 4)
        # products are of float32, 1e-6 of numbers near 1, added over 120 variants and 4 sweeps
        np.testing.assert_allclose(fit.effects[c], slow, rtol=0, atol=3e-5)
    assert fit.sweeps.tolist() == [4, 4, 4] and not fit.at_rest


def test_one_normal_gives_the_ridge_regression(data):
    genotypes, y = data
    fit = fitted(genotypes, Normal(y))
    X = genotypes.X.astype(float)
    ridge = np.linalg.solve(X @ X.T + np.eye(120) * (0.6 / 0.004), X @ y)
    np.testing.assert_allclose(fit.effects[1], ridge, rtol=0, atol=2e-5)  # float32 products, as above
    assert fit.at_rest


def test_samples_without_the_trait_count_for_nothing(data):
    """In a chunk the Gram matrix of all samples stands in for theirs, yet the fit at rest is that of their own."""
    genotypes, y = data
    has = np.random.default_rng(5).random(300) < 0.7
    own = np.where(has, y - y[has].mean(), 0.0)
    chosen = priors((1.0, 0.004, 0.0, 0.6, has.mean()))
    fit = fitted(genotypes, Normal(own), chosen=chosen, has=has)
    X = genotypes.X[:, has].astype(float)
    X -= X.mean(axis=1, keepdims=True)
    # at rest the score is the effects times noise over variance; 1e-7 of a move is left, times d = 210
    score = X @ (own[has] - fit.effects[0] @ X)
    np.testing.assert_allclose(fit.effects[0] * (0.6 / 0.004), score, rtol=0, atol=1e-3 * np.abs(score).max())


def test_order_of_samples_and_scale_of_the_trait_change_nothing(data):
    genotypes, y = data
    first = fitted(genotypes, Normal(y), 1e-5)
    order = np.random.default_rng(2).permutation(300)
    other = fitted(Dense(np.ascontiguousarray(genotypes.X[:, order])), Normal(y[order]), 1e-5)
    np.testing.assert_allclose(
        other.effects, first.effects, rtol=0, atol=3e-5
    )  # other order of additions, and of the last sweep
    scaled = MixturePriors(PRIORS.share, *(field * 100.0 for field in PRIORS[1:4]), PRIORS.part)
    tenfold = fitted(genotypes, Normal(10.0 * y), 1e-5, scaled)
    np.testing.assert_allclose(tenfold.effects / 10.0, first.effects, rtol=0, atol=3e-5)


def test_a_trait_has_the_same_bits_in_any_company(data):
    genotypes, y = data
    Q = np.full((300, 1), 300**-0.5)
    grams = [gram_of(X, Q) for _, X in genotypes]
    has = np.ones(300, bool)

    def fit(values):
        return Fit(Normal(values), Basis.of(Q, has), np.ones((3, 300), bool), PRIORS, 1e-4, 120)

    alone, together, other = fit(y), fit(y), fit(np.roll(y, 7))
    run_sweeps(genotypes, grams, [alone], 9)
    run_sweeps(genotypes, grams, [other, together], 9)
    assert alone.effects.tobytes() == together.effects.tobytes()


def test_samples_are_predicted_from_the_other_folds(data):
    """A column learns from the samples outside its fold as if there were no others; parts of chromosomes add up."""
    genotypes, y = data
    fold = np.arange(300) % 3
    train = fold != np.arange(3)[:, None]
    chosen = priors(*[(1.0, 0.004, 0.0, 0.6, 2 / 3)] * 3)
    fit = fitted(genotypes, Normal(y), 1e-6, chosen, train)
    parts = out_of_fold(genotypes, [fit], fold, 3)[0]
    X = genotypes.X.astype(float)
    for k in range(3):
        own = X[:, train[k]]
        # the residuals of the training samples alone, less the mean that all samples have
        ridge = np.linalg.solve(
            own @ own.T - np.outer(own.sum(axis=1), X.sum(axis=1)) / 300 + np.eye(120) * 150, own @ y[train[k]]
        )
        for h in range(3):
            expected = ridge[40 * h : 40 * (h + 1)] @ X[40 * h : 40 * (h + 1)]
            # float32 products of 120 variants, and the last sweep's moves
            np.testing.assert_allclose(parts[h, fold == k], expected[fold == k], rtol=0, atol=1e-4)


def test_logistic_effects_are_where_the_penalised_score_is_zero(data):
    genotypes, y = data
    rng = np.random.default_rng(4)
    cases = (rng.random(300) < 1 / (1 + np.exp(-1.5 * y + 1))).astype(float)
    response = Bernoulli(cases, np.full(300, np.log(cases.mean() / (1 - cases.mean()))), np.ones(300, bool))
    w = response.curvature
    fit = fitted(genotypes, response, 1e-6, priors((1.0, 0.01, 0.0, 1.0, w)))
    assert fit.at_rest
    score = genotypes.X.astype(float) @ response.score(fit.predictions, np.ones((1, 300), bool))[0]
    np.testing.assert_allclose(fit.effects[0] / 0.01, score, rtol=0, atol=1e-3 * np.abs(score).max())  # as above


def test_hazards_have_the_martingale_residuals_of_the_slow_loop():
    rng = np.random.default_rng(6)
    n = 60
    time, event = np.round(rng.exponential(5, n), 0) + 1, rng.random(n) < 0.5
    entry, stratum = np.where(rng.random(n) < 0.3, 1.0, -np.inf), rng.integers(0, 2, n)
    time = np.where(time <= entry, entry + 1, time)
    eta = rng.standard_normal((2, n)) * 0.5
    response = hazard(time, event, entry, stratum)
    train = np.stack([np.ones(n, bool), rng.random(n) < 0.8])
    found = response.score(eta, train)
    for c in range(2):
        own = train[c]
        slow = oracle.martingale_residuals(time[own], event[own], entry[own], stratum[own], eta[c, own])
        np.testing.assert_allclose(found[c, own], slow, rtol=0, atol=1e-12)  # some dozen additions in float64
        assert not found[c, ~own].any()
    assert response.null.sum() == pytest.approx(0.0, abs=1e-12)  # as above


def hazard(time, event, entry, stratum):
    """The response of plain arrays."""
    first, last, before = np.zeros(time.size, np.int64), np.zeros(time.size, np.int64), 0
    for s in np.unique(stratum):
        own = stratum == s
        times = np.unique(time[own & event])
        first[own] = before + np.searchsorted(times, entry[own], side="right")
        last[own] = before + np.searchsorted(times, time[own], side="right")
        before += times.size
    return Hazard(event, np.ones(time.size, bool), first, last, before, np.zeros(time.size))
