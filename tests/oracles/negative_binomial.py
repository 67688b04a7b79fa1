"""Negative binomial regression in plain numpy and scipy: a general optimiser on textbook formulas; the law of a score by its mass function."""

import numpy as np
from scipy import optimize, special, stats


def log_likelihood(D, y, beta, alpha, offset=0.0, prior=1.0):
    """Sum of ``v ln P(y)`` but for ``-ln y!``; Poisson's at alpha 0."""
    eta = D @ beta + offset
    mu = np.exp(eta)
    if alpha == 0.0:
        return float(np.sum(prior * (y * eta - mu)))
    r = 1.0 / alpha
    part = special.gammaln(y + r) - special.gammaln(r) + y * np.log(mu / (r + mu)) - r * np.log1p(mu / r)
    return float(np.sum(prior * part))


def _gradient(theta, D, y, offset, prior):
    """In beta and ln alpha."""
    mu, r = np.exp(D @ theta[:-1] + offset), np.exp(-theta[-1])
    in_r = special.digamma(y + r) - special.digamma(r) - np.log1p(mu / r) + 1 - (r + y) / (r + mu)
    return np.append(D.T @ (prior * (y - mu) / (1 + mu / r)), np.sum(prior * -r * in_r))


def hessian(D, y, beta, alpha, offset=0.0, prior=1.0):
    """Of beta and ln alpha, by differences of the gradient."""
    theta, P = np.append(beta, np.log(alpha)), D.shape[1] + 1
    H, h = np.empty((P, P)), 1e-5
    for j in range(P):
        step = h * np.eye(P)[j]
        up, down = _gradient(theta + step, D, y, offset, prior), _gradient(theta - step, D, y, offset, prior)
        H[j] = (up - down) / (2 * h)
    return (H + H.T) / 2


def fit(D, y, offset=0.0, prior=1.0):
    """Coefficients and alpha at the maximum; alpha 0 where Poisson's is no worse."""

    def poisson(beta):
        eta = D @ beta + offset
        return -np.sum(prior * (y * eta - np.exp(eta))), -D.T @ (prior * (y - np.exp(eta)))

    rate = np.log(np.sum(prior * y) / np.sum(prior * np.exp(offset) * np.ones_like(y)))
    start = np.linalg.lstsq(D, np.full(len(y), rate), rcond=None)[0]
    beta = optimize.minimize(poisson, start, jac=True, method="BFGS", options={"gtol": 1e-10}).x
    mu = np.exp(D @ beta + offset)
    if np.sum(prior * ((y - mu) ** 2 - y)) <= 0:
        return beta, 0.0

    def value(theta):
        at = np.exp(theta[-1])
        return -log_likelihood(D, y, theta[:-1], at, offset, prior), -_gradient(theta, D, y, offset, prior)

    theta = optimize.minimize(value, np.append(beta, np.log(0.5)), jac=True, method="BFGS", options={"gtol": 1e-8}).x
    for _ in range(3):
        theta = theta - np.linalg.solve(
            hessian(D, y, theta[:-1], np.exp(theta[-1]), offset, prior), _gradient(theta, D, y, offset, prior)
        )
    return theta[:-1], float(np.exp(theta[-1]))


def analyse_rows(X, y, g, what, offset=0.0, prior=1.0):
    """beta, its standard error, the signed statistic and alpha of one variant; NaN in g is left out."""
    keep = ~np.isnan(g)
    X, y, g = X[keep], y[keep], g[keep]
    offset, prior = np.broadcast_to(offset, keep.shape)[keep], np.broadcast_to(prior, keep.shape)[keep]
    null, alpha = fit(X, y, offset, prior)
    if what == "score":
        mu = np.exp(X @ null + offset)
        w = prior * mu / (1 + alpha * mu)
        rest = g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))
        U, information = rest @ (prior * (y - mu) / (1 + alpha * mu)), rest @ (w * rest)
        return U / information, 1 / np.sqrt(information), U / np.sqrt(information), alpha
    D = np.column_stack([X, g])
    beta, at = fit(D, y, offset, prior)
    if at > 0:
        error = np.sqrt(-np.linalg.inv(hessian(D, y, beta, at, offset, prior))[-2, -2])
    else:
        error = np.sqrt(np.linalg.inv(D.T @ ((prior * np.exp(D @ beta + offset))[:, None] * D))[-1, -1])
    if what == "wald":
        return beta[-1], error, beta[-1] / error, at
    gain = log_likelihood(D, y, beta, at, offset, prior) - log_likelihood(X, y, null, alpha, offset, prior)
    return beta[-1], error, np.sign(beta[-1]) * np.sqrt(2 * max(gain, 0)), at


def centred_cgf(x, mu, alpha, terms=4000):
    """``ln E exp(x (y - mu))`` summed over the mass function."""
    k = np.arange(terms)
    mass = stats.poisson.logpmf(k, mu) if alpha == 0 else stats.nbinom.logpmf(k, 1 / alpha, 1 / (1 + alpha * mu))
    return float(special.logsumexp(mass + x * (k - mu)))


def neg_log_p(u, gt, mu, alpha, rest=0.0):
    """-ln p, two-sided, by a bracketed root of K' with K summed over mass functions; ``rest`` is a normal part's variance."""
    c = gt / (1 + alpha * mu)

    def cgf(t):
        return sum(centred_cgf(t * a, m, alpha) for a, m in zip(c, mu)) + rest * t * t / 2

    def slope(t, h=1e-5):
        return (cgf(t + h) - cgf(t - h)) / (2 * h)

    total = []
    for target in (u, -u):
        side = np.sign(target)
        ends = [np.log1p(1 / (alpha * m)) / abs(a) for a, m in zip(c, mu) if side * a > 0 and alpha > 0]

        def excess(size, side=side):
            return side * slope(side * size) - abs(u)

        size, h = optimize.brentq(excess, 1e-4, 0.98 * min([*ends, 50.0]), xtol=1e-12), 1e-4
        t = side * size
        curve = (slope(t + h) - slope(t - h)) / (2 * h)
        w = np.sqrt(2 * (t * target - cgf(t)))
        total.append(stats.norm.logsf(w + np.log(size * np.sqrt(curve) / w) / w))
    return float(-np.logaddexp(*total))


def wald_rows(X, T, y, offset=0.0, prior=1.0, power=None):
    """Coefficients of T (n, D) beside X, and their covariance: of the joint information, or a sandwich (``power`` 0 or 1)."""
    D, n, k = np.column_stack([X, T]), len(y), T.shape[1]
    prior = np.broadcast_to(prior, n)
    beta, alpha = fit(D, y, offset, prior)
    inverse = -np.linalg.inv(hessian(D, y, beta, alpha, offset, prior))
    of_tested = slice(D.shape[1] - k, D.shape[1])
    if power is None:
        return beta[of_tested], inverse[of_tested, of_tested]
    total, theta = np.zeros((k, k)), np.append(beta, np.log(alpha))
    offset = np.broadcast_to(offset, n)
    for i in range(n):
        one = (D[i : i + 1], y[i : i + 1], offset[i : i + 1], prior[i : i + 1])
        u = _gradient(theta, *one)
        M = -hessian(one[0], one[1], beta, alpha, *one[2:])
        # without the sample the information is J - M: (J - M)^-1 u is Newton's step
        step = np.linalg.solve(np.linalg.inv(inverse) - M, u) if power else inverse @ u
        total += np.outer(step, step)[of_tested, of_tested]
    return beta[of_tested], total
