"""Cox regression in plain numpy: dense risk sets from the times themselves, a general optimiser for Firth's penalty."""

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.stats import norm


def terms(time, event, entry=None, strata=None, efron=True):
    """Rows a_ikl (terms, n) of every term of the likelihood: who counts how much; and the term's death samples' mask."""
    n = len(time)
    entry = np.full(n, -np.inf) if entry is None else entry
    strata = np.zeros(n) if strata is None else strata
    rows = []
    for s in np.unique(strata):
        for t in np.unique(time[(event == 1) & (strata == s)]):
            at_risk = (strata == s) & (entry < t) & (t <= time)
            deaths = at_risk & (event == 1) & (time == t)
            m = deaths.sum()
            rows += [at_risk - (tie / m if efron else 0.0) * deaths for tie in range(m)]
    return np.array(rows).reshape(-1, n)


def partial_likelihood(D, beta, event, A, offset=0.0):
    """Log likelihood, gradient, information and p (terms, n)."""
    eta = D @ beta + offset
    weights = A * np.exp(eta)
    den = weights.sum(axis=1)
    p = weights / den[:, None]
    mean = p @ D
    J = D.T @ (p.sum(axis=0)[:, None] * D) - mean.T @ mean
    return event @ eta - np.log(den).sum(), event @ D - mean.sum(axis=0), J, p


def newton(D, event, A, offset=0.0, iterations=40):
    """Maximum likelihood estimate."""
    beta = np.zeros(D.shape[1])
    for _ in range(iterations):
        _, U, J, _ = partial_likelihood(D, beta, event, A, offset)
        beta = beta + np.linalg.solve(J, U)
    return beta


def penalised(D, beta, event, A, offset=0.0):
    """``log L + log det J / 2``."""
    value, _, J, _ = partial_likelihood(D, beta, event, A, offset)
    return value + 0.5 * np.linalg.slogdet(J)[1]


def add_firth_gradient(D, beta, event, A, offset=0.0):
    """``tr(J^-1 dJ / dbeta) / 2`` from the third central moments of the risk sets."""
    _, _, J, p = partial_likelihood(D, beta, event, A, offset)
    inverse = np.linalg.inv(J)
    total = np.zeros(D.shape[1])
    for row in p:
        x = D - row @ D
        total += np.einsum("i,ij,jk,ik,il->l", row, x, inverse, x, x)
    return total / 2


def fit(D, event, A, offset=0.0, firth=False, held=0):
    """Maximum of the (penalised) likelihood, the last ``held`` coefficients kept at 0: estimate, objective."""
    P = D.shape[1] - held

    def objective(free):
        beta = np.concatenate([free, np.zeros(held)])
        if firth:
            return -penalised(D, beta, event, A, offset)
        return -partial_likelihood(D, beta, event, A, offset)[0]

    best = minimize(objective, np.zeros(P), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    best = minimize(objective, best.x, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000})
    return np.concatenate([best.x, np.zeros(held)]), -best.fun


def score(X, g, event, A, offset=0.0):
    """U and I of the score test of g given X (without a constant)."""
    beta = np.append(newton(X, event, A, offset), 0.0)
    _, U, J, _ = partial_likelihood(np.column_stack([X, g]), beta, event, A, offset)
    return U[-1], 1.0 / np.linalg.inv(J)[-1, -1]


def wald(X, g, event, A, offset=0.0):
    """beta, standard error."""
    D = np.column_stack([X, g])
    beta = newton(D, event, A, offset)
    return beta[-1], np.sqrt(np.linalg.inv(partial_likelihood(D, beta, event, A, offset)[2])[-1, -1])


def likelihood_ratio(X, g, event, A, offset=0.0):
    """Twice the gain in log likelihood."""
    D = np.column_stack([X, g])
    full = partial_likelihood(D, newton(D, event, A, offset), event, A, offset)[0]
    return 2.0 * (full - partial_likelihood(X, newton(X, event, A, offset), event, A, offset)[0])


def firth(X, g, event, A, offset=0.0):
    """beta and the penalised likelihood ratio, the penalty of the full model in both (Heinze & Schemper 2001)."""
    D = np.column_stack([X, g])
    beta, full = fit(D, event, A, offset, firth=True)
    return beta[-1], 2.0 * (full - fit(D, event, A, offset, firth=True, held=1)[1])


def residualised(X, g, event, A, offset=0.0):
    """``g - X J_XX^-1 J_Xg`` at the null, and the null's linear predictor."""
    beta = newton(X, event, A, offset)
    J = partial_likelihood(np.column_stack([X, g]), np.append(beta, 0.0), event, A, offset)[2]
    return g - X @ np.linalg.solve(J[:-1, :-1], J[:-1, -1]), offset + X @ beta


def firth_approx(X, g, event, A, offset=0.0):
    """The same of g residualised alone, the null's covariates an offset."""
    rest, offset = residualised(X, g, event, A, offset)
    beta, full = fit(rest[:, None], event, A, offset, firth=True)
    return beta[0], 2.0 * (full - penalised(rest[:, None], np.zeros(1), event, A, offset))


def operator(X, event, A):
    """At the null: c (n,) and M (n, n), ``g'Mg`` the sum of the squared means of g over the terms."""
    _, _, _, p = partial_likelihood(X, newton(X, event, A), event, A)
    return p.sum(axis=0), p.T @ p


def hazards_trend(D, beta, time, event, f, entry=None, strata=None, efron=True, offset=0.0):
    """Chi-squared (1 df) of adding ``last column x f(time)`` to the model at beta, by the score test of all of it."""
    n, P = D.shape
    entry = np.full(n, -np.inf) if entry is None else entry
    strata = np.zeros(n) if strata is None else strata
    big, U = np.zeros((P + 1, P + 1)), np.zeros(P + 1)
    w = np.exp(offset + D @ beta)
    for s in np.unique(strata):
        for t in np.unique(time[(event == 1) & (strata == s)]):
            at_risk = (strata == s) & (entry < t) & (t <= time)
            deaths = at_risk & (event == 1) & (time == t)
            x = np.column_stack([D, D[:, -1] * f(t)])
            U += x[deaths].sum(axis=0)
            for tie in range(deaths.sum()):
                p = w * (at_risk - (tie / deaths.sum() if efron else 0.0) * deaths)
                p /= p.sum()
                big += (p[:, None] * x).T @ x - np.outer(p @ x, p @ x)
                U -= p @ x
    J = big[:P, :P]
    rest = U[P] - big[P, :P] @ np.linalg.solve(J, U[:P])
    return rest**2 / (big[P, P] - big[P, :P] @ np.linalg.solve(J, big[:P, P]))


def exact_neg_log_p(g, p):
    """The law of the sum of g over the events, every term an independent draw with probabilities p (terms, n)."""
    law = {0: 1.0}
    for row in p:
        shares = [row[g == copies].sum() for copies in (0, 1, 2)]
        new = {}
        for total, chance in law.items():
            for copies, share in enumerate(shares):
                new[total + copies] = new.get(total + copies, 0.0) + chance * share
        law = new
    return law


def clock(time, event, entry, by_rank):
    """The function of time of R's cox.zph on these samples: 1 - Kaplan-Meier just before t, or the share of ranks among all times."""
    if by_rank:
        return lambda t: (np.sum(time < t) + 0.5 * (np.sum(time == t) + 1)) / len(time)

    def before(t):
        alive = 1.0
        for u in np.unique(time[(event == 1) & (time < t)]):
            alive *= 1 - np.sum((time == u) & (event == 1)) / np.sum((entry < u) & (time >= u))
        return 1 - alive

    return before


def two_sided(law, seen):
    """p of outcomes at least as far from the mean as ``seen`` under a law {T: chance}, normed or not."""
    total = sum(law.values())
    mean = sum(T * chance for T, chance in law.items()) / total
    return sum(chance for T, chance in law.items() if abs(T - mean) >= abs(seen - mean) * (1 - 1e-9)) / total


def spa_neg_log_p(z, g, mean):
    """-ln p of |score| by Barndorff-Nielsen's saddlepoint, the score a sum of centred Poisson counts times g."""
    g = g - mean @ g / mean.sum()
    variance = mean @ g**2

    def tail(u):
        t = brentq(lambda t: mean @ (g * np.expm1(t * g)) - u, *sorted((0.0, 60 * u / variance)))
        w = np.sqrt(2 * (t * u - mean @ (np.expm1(t * g) - t * g)))
        v = abs(t) * np.sqrt(mean @ (g**2 * np.exp(t * g)))
        return norm.sf(w + np.log(v / w) / w)

    u = abs(z) * np.sqrt(variance)
    return -np.log(tail(u) + tail(-u))


def analyse_rows(X, G, time, event, what, entry=None, strata=None, efron=True, offset=None):
    """beta and signed z of the rows G (R, n), NaN not observed, each fitted on the samples observed."""
    found = []
    for row in G:
        keep = ~np.isnan(row)
        late, own = (None if part is None else part[keep] for part in (entry, strata))
        part = X[keep], row[keep], event[keep], terms(time[keep], event[keep], late, own, efron)
        part = (*part, 0.0 if offset is None else offset[keep])
        if what == "score":
            U, information = score(*part)
            found.append((U / information, U / np.sqrt(information)))
        elif what == "wald":
            beta, error = wald(*part)
            found.append((beta, beta / error))
        else:
            ratio_of = {"lrt": likelihood_ratio, "firth": firth, "firth_approx": firth_approx}[what](*part)
            beta, ratio = (wald(*part)[0], ratio_of) if what == "lrt" else ratio_of
            found.append((beta, np.sign(beta) * np.sqrt(max(ratio, 0.0))))
    return np.array(found)
