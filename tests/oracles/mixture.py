"""Slow twins of `genassoc.kernels.structure.mixture` and of `genassoc.analyses.whole_genome.sweeps`: variant by variant, all in float64."""

import math

import numpy as np


def posterior_mean(b, s, share, larger, smaller):
    """The mean of an effect of which ``b``, with an error of variance s, is seen; by the weights of both normals."""

    def density(variance):
        return math.exp(-0.5 * b * b / variance) / math.sqrt(variance)

    one, two = share * density(larger + s), (1.0 - share) * density(smaller + s)
    return b * (one * larger / (larger + s) + two * smaller / (smaller + s)) / (one + two)


def sweep(gram, product, priors, effects, change):
    """One chunk, on its Gram matrix."""
    for c in range(product.shape[0]):
        score = product[c].astype(float)
        for j in range(product.shape[1]):
            d = priors.part[c] * gram[j, j]
            before = float(effects[c, j])
            if d > 0:
                b, s = before + score[j] / d, priors.noise[c] / d
                effects[c, j] = posterior_mean(b, s, priors.share[c], priors.larger[c], priors.smaller[c])
            change[c, j] = effects[c, j] - before
            score = score - priors.part[c] * gram[j].astype(float) * float(change[c, j])


def effects_by_variant(X, y, share, larger, smaller, noise, n_sweeps):
    """Effects (V,) on y (n,) after so many sweeps over variants X (V, n), the residuals made again for every variant."""
    effects = np.zeros(len(X))
    for _ in range(n_sweeps):
        for j, x in enumerate(X):
            d = x @ x
            others = effects.copy()
            others[j] = 0.0
            b = x @ (y - others @ X) / d
            effects[j] = posterior_mean(b, noise / d, share, larger, smaller)
    return effects


def effects_of_others(X, y, train, share, larger, smaller, noise, n_sweeps):
    """Effects (V,) on y (n,) learned from the samples ``train`` alone, X (V, n) and y of mean 0 over all n.

    The score is that of the training samples, the curvature that of all in their share, so that the rest is where the score of each effect is
    what its prior asks for.
    """
    effects = np.zeros(len(X))
    own, part = X[:, train], len(train) / len(y)
    residuals = y[train].copy()
    for _ in range(n_sweeps):
        for j, x in enumerate(own):
            d = part * (X[j] @ X[j])
            b = effects[j] + x @ residuals / d
            new = posterior_mean(b, noise / d, share, larger, smaller)
            residuals -= (new - effects[j]) * x
            effects[j] = new
    return effects


def martingale_residuals(time, event, entry, stratum, eta):
    """Event less events expected of each sample (n,), by Breslow's estimate: one loop over times and samples."""
    found = event.astype(float)
    for s in np.unique(stratum):
        for t in np.unique(time[event & (stratum == s)]):
            at_risk = (stratum == s) & (entry < t) & (time >= t)
            died = event & (stratum == s) & (time == t)
            found[at_risk] -= np.exp(eta[at_risk]) * died.sum() / np.exp(eta[at_risk]).sum()
    return found
