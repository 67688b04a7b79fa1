"""Dense tests of two coefficients at once, and of one or two with HC3 variances: the rest of `genassoc.refit.dense`.

HC3 (MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7) is ``B (sum_i x_i x_i' (r_i / (1 - h_i))^2) B``, with B the
inverse of the information and h the leverages; ``beta / standard_error`` is then Student's t (linear) or normal.
"""

import numpy as np
from scipy import special

from genassoc.refit.dense import (
    DenseFit,
    Likelihood,
    NotFittedError,
    check_finite,
    independent,
    maximise,
    neg_log_10_p_normal,
    neg_log_10_p_student,
    penalty_of,
)
from genassoc.refit.dense_likelihoods import Binary
from genassoc.refit.dense_sandwich import SandwichFit, satterthwaite
from genassoc.shapes import Float64Array

_LN10 = float(np.log(10.0))
_LEAST_SLACK = 1e-8  # 1 - h below which a sample fits itself: its residual is rounding


def joint_wald_test(model: Likelihood) -> DenseFit:
    """The last two coefficients at their maximum in the observed information: chi-squared of 2 degrees of freedom."""
    at, _, _, J = maximise(model)
    check_finite(model, J, 2)
    return chi_squared_of_two(at[-2:], np.asarray(np.linalg.inv(J)[-2:, -2:], np.float64))


def joint_ratio_test(model: Likelihood, penalised: bool = False) -> DenseFit:
    """Twice the gain of the last two coefficients in log likelihood; ``penalised``: of both maxima under Firth's penalty."""
    penalty = penalty_of(model) if penalised else None
    held, free = (maximise(model, held, penalty)[1] for held in (2, 0))
    return DenseFit(np.nan, np.nan, max(free - held, 0.0) / _LN10, np.nan)


def plink2_test(model: Binary, k: int, firth: bool, as_f: bool) -> DenseFit:
    """PLINK 2's Wald test of the last coefficient, or of the last two (``k``): by R's ``glm``, or ``firth`` with its errors there.

    ``as_f``: two are tested by F of 2 and n degrees of freedom.
    """
    if firth:
        at = maximise(model, penalty=penalty_of(model))[0]
        covariance = model.plink2_covariance(at)
    else:
        at, covariance = glm_as_r(model)
    if k == 1:
        beta, error = float(at[-1]), float(np.sqrt(covariance[-1, -1]))
        return DenseFit(beta, error, neg_log_10_p_normal(beta / error), error)
    found = chi_squared_of_two(at[-2:], covariance[-2:, -2:])
    return found if not as_f else DenseFit(np.nan, np.nan, _f_of_two(found.neg_log_10_p * _LN10, model.y.size), np.nan)


def glm_as_r(model: Binary) -> tuple[Float64Array, Float64Array]:
    """Coefficients (P,) and their covariance (P, P) as R's ``glm.fit`` starts and stops: weights of the last step but one.

    Raises
    ------
    NotFittedError
        It does not stop within 25 steps, or the weights are singular.
    """
    D, y = model.D, model.y
    mu = (y + 0.5) / 2.0
    eta, deviance = special.logit(mu), -2.0 * float(np.log(np.where(y == 1, mu, 1.0 - mu)).sum())
    for _ in range(25):
        w = mu * (1.0 - mu)
        J = D.T @ (w[:, None] * D)
        beta = np.linalg.solve(J, D.T @ (w * eta + y - mu))
        eta = D @ beta
        mu, before = special.expit(eta), deviance
        deviance = 2.0 * float(np.logaddexp(0.0, np.where(y == 1, -eta, eta)).sum())
        if abs(deviance - before) < 1e-8 * (0.1 + abs(deviance)):
            return np.asarray(beta), np.asarray(np.linalg.inv(J), np.float64)
    raise NotFittedError("the weighted regressions of R's glm do not settle in 25 steps")


def chi_squared_of_two(theta: Float64Array, covariance: Float64Array) -> DenseFit:
    """-log10 p of two coefficients (2,): ``exp(-x / 2)`` of their Wald chi-squared x."""
    return DenseFit(np.nan, np.nan, float(theta @ np.linalg.solve(covariance, theta)) / 2.0 / _LN10, np.nan)


def _f_of_two(F: float, df: float) -> float:
    """-log10 of the upper tail of F with 2 and df degrees of freedom."""
    return float(0.5 * df * np.log1p(2.0 * F / df) / _LN10)


def robust_least_squares(y: Float64Array, X: Float64Array, G: Float64Array, few: bool = True) -> SandwichFit:
    """Least squares with HC3: the t test of one column of G (n, k), or the F test of two; X holds the intercept.

    With ``few`` degrees of freedom are those that the squares of few carriers leave: Satterthwaite's, of two columns Hotelling's
    (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004); else n less the columns, as REGENIE has them.
    """
    D = np.column_stack([X, G])
    scale = np.sqrt((D**2).sum(axis=0))
    U, s, Vt = np.linalg.svd(D / np.where(scale > 0, scale, 1.0), full_matrices=False)
    kept = s > 1e-10 * s[0]
    if int(kept.sum()) != independent(X).shape[1] + G.shape[1]:
        raise NotFittedError("what is tested is a combination of the covariates")
    df = float(y.size - int(kept.sum()))
    if df < 1:
        raise NotFittedError("too few samples")
    U, back = U[:, kept], (Vt[kept].T / s[kept]) / np.where(scale > 0, scale, 1.0)[:, None]
    leverage, rows = (U**2).sum(axis=1), U @ back.T
    influence = _influence(rows, y - U @ (U.T @ y), leverage, G.shape[1])
    covariance = influence.T @ influence
    theta = (back @ (U.T @ y))[-G.shape[1] :]
    # Under one variance the square of a residual is expected to be 1 - h of it.
    expected = _influence(rows, np.sqrt(1.0 - leverage), leverage, G.shape[1])
    if G.shape[1] == 2:
        statistic = float(theta @ np.linalg.solve(covariance, theta))
        if not few:
            return SandwichFit(np.nan, np.nan, _f_of_two(statistic / 2.0, df), np.nan, df)
        # In the metric of their sum the expectations are rank one: tr(A)^2 + tr(A A) = 2 |a|^4.
        whole = np.linalg.cholesky(expected.T @ expected)
        lengths = (np.linalg.solve(whole, expected.T) ** 2).sum(axis=0)
        eta = min(3.0 / float((lengths**2).sum()) - 2.0, df)
        left = max(1.0, eta - 1.0)
        return SandwichFit(np.nan, np.nan, _f_of_two(statistic / 2.0 * left / (left + 1.0), left), np.nan, left)
    error = float(np.sqrt(covariance[0, 0]))
    df = min(df, satterthwaite(expected[:, 0] ** 2)) if few else df
    return SandwichFit(float(theta[0]), error, neg_log_10_p_student(float(theta[0]) / error, df), error, df)


def robust_wald_test(model: Binary, k: int) -> DenseFit:
    """Logistic regression with HC3: the Wald test of the last coefficient, or of the last two (``k``)."""
    at, _, _, J = maximise(model)
    check_finite(model, J, k)
    mu = special.expit(model.D @ at + model.offset)
    inverse = np.linalg.inv(J)
    leverage = mu * (1.0 - mu) * ((model.D @ inverse) * model.D).sum(axis=1)
    influence = _influence(model.D @ inverse, model.y - mu, leverage, k)
    covariance = influence.T @ influence
    if k == 2:
        return chi_squared_of_two(at[-2:], covariance)
    beta, error = float(at[-1]), float(np.sqrt(covariance[0, 0]))
    return DenseFit(beta, error, neg_log_10_p_normal(beta / error), error)


def _influence(rows: Float64Array, residual: Float64Array, leverage: Float64Array, k: int) -> Float64Array:
    """Each sample's share (n, k) in the last k coefficients, its residual as if it had been left out.

    Raises
    ------
    NotFittedError
        A sample fits itself.
    """
    slack = 1.0 - leverage
    if slack.min() <= _LEAST_SLACK:
        raise NotFittedError("a sample has a leverage of 1")
    return np.asarray(rows[:, -k:] * (residual / slack)[:, None])
