"""Logistic regression in plain numpy and scipy: Newton for the likelihood, a general optimiser for Firth's penalty."""

import numpy as np
from scipy.optimize import minimize


def log_likelihood(D, y, beta, offset=0.0):
    """Sum of ``y eta - log(1 + exp(eta))``."""
    eta = D @ beta + offset
    return float(np.sum(y * eta - np.logaddexp(0.0, eta)))


def weights(D, beta, offset=0.0):
    """mu and mu (1 - mu)."""
    mu = 1.0 / (1.0 + np.exp(-(D @ beta + offset)))
    return mu, mu * (1.0 - mu)


def penalised_log_likelihood(D, y, beta, offset=0.0, penalty_of=None):
    """``l + log det(X'WX) / 2`` with X ``penalty_of`` (D itself by default) in the weights of D."""
    _, w = weights(D, beta, offset)
    X = D if penalty_of is None else penalty_of
    return log_likelihood(D, y, beta, offset) + 0.5 * np.linalg.slogdet(X.T @ (w[:, None] * X))[1]


def fit(D, y, offset=0.0, penalised=False, held=0):
    """Maximum of the (penalised) log likelihood; the last ``held`` coefficients stay 0 but count in the penalty."""
    P = D.shape[1] - held

    def objective(free):
        beta = np.concatenate([free, np.zeros(held)])
        value = penalised_log_likelihood(D, y, beta, offset) if penalised else log_likelihood(D, y, beta, offset)
        return -value

    best = minimize(objective, np.zeros(P), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    # Polish: BFGS stops at the noise of its finite differences.
    best = minimize(objective, best.x, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000})
    return np.concatenate([best.x, np.zeros(held)]), -best.fun


def newton(D, y, offset=0.0, iterations=60):
    """Maximum likelihood by Newton's method; diverges where cases and controls are separated."""
    beta = np.zeros(D.shape[1])
    for _ in range(iterations):
        mu, w = weights(D, beta, offset)
        beta = beta + np.linalg.solve(D.T @ (w[:, None] * D), D.T @ (y - mu))
    return beta


def residualise(X, w, g):
    """``g - X (X'WX)^-1 X'Wg``."""
    return g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))


def score(X, y, g, offset=0.0):
    """U and I of the score test of g given the covariates X."""
    mu, w = weights(X, newton(X, y, offset), offset)
    rest = residualise(X, w, g)
    return float(rest @ (y - mu)), float(rest @ (w * rest))


def wald(X, y, g, offset=0.0):
    """beta, standard error."""
    D = np.column_stack([X, g])
    beta = newton(D, y, offset)
    _, w = weights(D, beta, offset)
    return beta[-1], np.sqrt(np.linalg.inv(D.T @ (w[:, None] * D))[-1, -1])


def likelihood_ratio(X, y, g, offset=0.0):
    """Twice the gain in log likelihood."""
    D = np.column_stack([X, g])
    full, null = newton(D, y, offset), newton(X, y, offset)
    return 2.0 * (log_likelihood(D, y, full, offset) - log_likelihood(X, y, null, offset))


def firth(X, y, g, offset=0.0):
    """beta and the penalised likelihood ratio, the penalty of the full model in both (Heinze & Schemper 2002)."""
    D = np.column_stack([X, g])
    beta, full = fit(D, y, offset, penalised=True)
    _, held = fit(D, y, offset, penalised=True, held=1)
    return beta[-1], 2.0 * (full - held)


def firth_plink2(X, y, g, offset=0.0):
    """beta, and the standard error of ``(D' diag((1 + h) w) D)^-1``, h the leverages (PLINK 2 since 30 Dec 2022)."""
    D = np.column_stack([X, g])
    beta, _ = fit(D, y, offset, penalised=True)
    _, w = weights(D, beta, offset)
    h = w * np.einsum("ij,jk,ik->i", D, np.linalg.inv(D.T @ (w[:, None] * D)), D)
    return beta[-1], np.sqrt(np.linalg.inv(D.T @ (((1 + h) * w)[:, None] * D))[-1, -1])


def firth_approx(X, y, g, sparse=False, offset=0.0):
    """beta and penalised likelihood ratio of g residualised, the penalised null's covariates as an offset.

    ``sparse``: samples without the allele count 0 (REGENIE for fewer than 50 minor alleles).
    """
    _, w = weights(X, newton(X, y, offset), offset)
    rest = (residualise(X, w, g) * (g > 0 if sparse else 1.0))[:, None]
    offset = offset + X @ fit(X, y, offset, penalised=True)[0]
    beta, full = fit(rest, y, offset, penalised=True)
    return beta[0], 2.0 * (full - penalised_log_likelihood(rest, y, np.zeros(1), offset))


def fit_as_r(D, y, offset=0.0):
    """beta, standard errors and iterations of R's ``glm.fit`` (binomial), weights of the last step in the errors."""
    mu = (y + 0.5) / 2
    eta = np.log(mu / (1 - mu))
    deviance = np.sum(-2 * np.log(np.where(y == 1, mu, 1 - mu)))
    steps = 0
    while steps < 25:
        steps += 1
        w = mu * (1 - mu)
        information = D.T @ (w[:, None] * D)
        beta = np.linalg.solve(information, D.T @ (w * (eta - offset + (y - mu) / w)))
        eta = offset + D @ beta
        mu = 1 / (1 + np.exp(-eta))
        before, deviance = deviance, np.sum(-2 * np.log(np.where(y == 1, mu, 1 - mu)))
        if abs(deviance - before) / (abs(deviance) + 0.1) < 1e-8:
            break
    return beta, np.sqrt(np.diag(np.linalg.inv(information))), steps


def score_with_missing(X, y, g):
    """U and I of g, NaN where not observed: the null of all samples, then one Newton step on those observed."""
    mu, w = weights(X, newton(X, y))
    keep = ~np.isnan(g)
    Z, r, v, observed = X[keep], (y - mu)[keep], w[keep], g[keep]
    rest = residualise(Z, v, observed)
    moved = r - v * (Z @ np.linalg.solve(Z.T @ (v[:, None] * Z), Z.T @ r))
    return float(observed @ moved), float(rest @ (v * rest))


def analyse_rows(X, y, G, what, offset=None):
    """beta and signed z of the rows G (R, n), NaN not observed, each fitted on the samples observed."""
    found = []
    for row in G:
        keep = ~np.isnan(row)
        part, given = (X[keep], y[keep], row[keep]), 0.0 if offset is None else offset[keep]
        if what in ("wald", "firth_plink2"):
            beta, error = (wald if what == "wald" else firth_plink2)(*part, given)
            found.append((beta, beta / error))
        elif what == "score":
            U, information = score(*part, given)
            found.append((U / information, U / np.sqrt(information)))
        else:
            if what == "lrt":
                beta, ratio = wald(*part, given)[0], likelihood_ratio(*part, given)
            else:
                approximate = what != "firth"
                beta, ratio = firth_approx(*part, what == "firth_sparse", given) if approximate else firth(*part, given)
            found.append((beta, np.sign(beta) * np.sqrt(max(ratio, 0.0))))
    return np.array(found)


def firth_one(d, y, offset):
    """One coefficient beside an offset, under ``log(sum w d^2) / 2``: beta, 1 / sqrt(I), signed root of twice the gain."""
    D = np.asarray(d, float)[:, None]
    beta, best = fit(D, y, offset, penalised=True)
    none = penalised_log_likelihood(D, y, np.zeros(1), offset)
    information = (weights(D, beta, offset)[1] * D[:, 0] ** 2).sum()
    return beta[0], 1 / np.sqrt(information), np.sign(beta[0]) * np.sqrt(max(0.0, 2 * (best - none)))


def firth_of_carriers(carriers, d, y, offset):
    """The same, of carriers alone."""
    return firth_one(d[carriers], y[carriers], offset[carriers])


def information(D, w):
    """``D' diag(w) D``."""
    return D.T @ (w[:, None] * D)
