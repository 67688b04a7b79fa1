"""One association fitted densely in float64, sharing nothing with the kernels: what the audit compares rows with.

Plain numpy: least squares by QR, likelihoods by Newton's method on all coefficients, no packed genotypes, no carriers-only
path, no shared null, no screen. Slow for a scan, fast enough for a few hundred rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

from genassoc.shapes import Float64Array

_LN10 = float(np.log(10.0))
_STEP = (
    1e-8  # Newton stops when a step is below this many standard errors; its error is then of the order of its square
)
_ITERATIONS = 100
_SEPARATED = (
    1e-6  # share of the information at the start that is left where all of one outcome are past odds of a million
)


class NotFittedError(ValueError):
    """The fit has no maximum, or what is tested is a combination of the covariates."""


@dataclass(frozen=True)
class DenseFit:
    """One row of results as a dense fit gives it.

    Attributes
    ----------
    beta, standard_error : float
        ``beta / standard_error`` is the statistic; NaN for a joint test.
    neg_log_10_p : float
        Two-sided.
    standard_error_model : float
        Of the information (of the penalised fit at its maximum).
    """

    beta: float
    standard_error: float
    neg_log_10_p: float
    standard_error_model: float


class Likelihood(Protocol):
    """A log likelihood of P coefficients, the last of which is tested."""

    @property
    def start(self) -> Float64Array:
        """Where Newton's method starts (P,)."""

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score (P,) and observed information (P, P) at ``beta``."""

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """Expected information (P, P)."""


# tails: -log10 p by scipy and a series, not by genassoc.kernels.laws.tails ---------------------------------------------------


def neg_log_10_p_normal(z: float) -> float:
    """-log10 of the two-sided p of a normal deviate."""
    return float(-(special.log_ndtr(-abs(z)) + np.log(2.0)) / _LN10)


def neg_log_10_p_student(t: float, df: float) -> float:
    """-log10 of the two-sided p of Student's t: the regularised incomplete beta I_x(df / 2, 1 / 2), x = df / (df + t^2).

    Where that underflows, its logarithm from ``x^a (1 - x)^b / (a B(a, b)) 2F1(a + b, 1; a + 1; x)`` (DLMF 8.17.8).
    """
    a, x = df / 2.0, df / (df + t * t)
    p = float(special.betainc(a, 0.5, x))
    if p > 1e-280:
        return -float(np.log10(p))
    term, total, k = 1.0, 1.0, 0
    while term > 1e-17 * total:
        term *= x * (a + 0.5 + k) / (a + 1.0 + k)
        total += term
        k += 1
    # log x by log1p: x is close to 1 in large samples
    log_x = -np.log1p(t * t / df)
    log_p = a * log_x + 0.5 * np.log(t * t / (df + t * t)) - np.log(a) - special.betaln(a, 0.5) + np.log(total)
    return float(-log_p / _LN10)


# linear -------------------------------------------------------------------------------------------------------------


def independent(X: Float64Array) -> Float64Array:
    """An orthonormal basis of the span of X (n, C), by singular values; 1e-10 of the largest is rounding.

    What is nearly orthonormal, as some rows of a basis are, needs one factor of Cholesky's.
    """
    gram = X.T @ X
    if np.abs(gram - np.eye(X.shape[1])).max(initial=0.0) < 0.5 / max(X.shape[1], 1):  # eigenvalues of 1/2 to 3/2
        return np.asarray(X @ np.linalg.inv(np.linalg.cholesky(gram)).T)
    scale = np.sqrt((X**2).sum(axis=0))
    U, s, _ = np.linalg.svd(X / np.where(scale > 0, scale, 1.0), full_matrices=False)
    return np.asarray(U[:, s > 1e-10 * s[0]])


def _residual(Q: Float64Array, G: Float64Array) -> Float64Array:
    """What is left of the columns G (n, k) beside Q, orthonormal.

    Raises
    ------
    NotFittedError
        Nothing is.
    """
    rest = G - Q @ (Q.T @ G)
    rest -= Q @ (Q.T @ rest)
    if (rest**2).sum(axis=0).min() <= 1e-14 * (G**2).sum(axis=0).max():
        raise NotFittedError("what is tested is a combination of the covariates")
    return np.asarray(rest)


def least_squares(y: Float64Array, X: Float64Array, G: Float64Array) -> list[DenseFit]:
    """The t test of each column of G (n, k) beside the others and X (n, C); X holds the intercept."""
    rest, e, df = _least_squares_parts(y, X, G)
    beta, *_ = np.linalg.lstsq(rest, e, rcond=None)
    variance = ((e - rest @ beta) ** 2).sum() / df
    errors = np.sqrt(variance * np.diag(np.linalg.inv(rest.T @ rest)))
    return [DenseFit(float(b), float(se), neg_log_10_p_student(b / se, df), float(se)) for b, se in zip(beta, errors)]


def joint_f_test(y: Float64Array, X: Float64Array, G: Float64Array) -> DenseFit:
    """The F test of two columns of G (n, 2) together: -log10 of ``(1 + 2 F / df)^(-df / 2)``."""
    rest, e, df = _least_squares_parts(y, X, G)
    left = e - rest @ np.linalg.lstsq(rest, e, rcond=None)[0]
    logp = df / 2.0 * float(np.log10((e @ e) / (left @ left)))
    return DenseFit(np.nan, np.nan, logp, np.nan)


def chi_squared_of_null(y: Float64Array, X: Float64Array, g: Float64Array) -> DenseFit:
    """REGENIE's test: the residual variance is that of the null model, the tail normal."""
    rest, e, df = _least_squares_parts(y, X, g[:, None])
    r = rest[:, 0]
    beta = float(r @ e / (r @ r))
    error = float(np.sqrt((e @ e) / (df + 1) / (r @ r)))
    return DenseFit(beta, error, neg_log_10_p_normal(beta / error), error)


def _least_squares_parts(y: Float64Array, X: Float64Array, G: Float64Array) -> tuple[Float64Array, Float64Array, int]:
    """G and y beside X, and the residual degrees of freedom."""
    Q = independent(X)
    e = y - Q @ (Q.T @ y)
    e -= Q @ (Q.T @ e)
    df = y.size - Q.shape[1] - G.shape[1]
    if df < 1:
        raise NotFittedError("too few samples")
    return _residual(Q, G), np.asarray(e), df


# likelihoods -------------------------------------------------------------------------------------------------------------

Build = Callable[[Float64Array, "Float64Array | float"], Likelihood]


def maximum(model: Likelihood) -> Float64Array:
    """Coefficients at the maximum.

    Raises
    ------
    NotFittedError
        There is none.
    """
    return maximise(model)[0]


def maximise(
    model: Likelihood,
    held: int = 0,
    penalty: "Callable[[Float64Array], Float64Array] | None" = None,
    near: Float64Array | None = None,
) -> tuple[Float64Array, float, Float64Array, Float64Array]:
    """Maximum with the last ``held`` coefficients at 0: coefficients, objective, score and information of all.

    With ``penalty``, the gradient of ``log det(information) / 2``, the maximum of Firth's penalised likelihood. ``near``
    are the first coefficients to begin with, the others being 0: the maximum does not depend on it.
    """
    beta = model.start.copy()
    if near is not None:
        beta = np.concatenate([near, np.zeros(beta.size - near.size)])
    free = slice(0, beta.size - held)

    def objective(at: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        value, U, J = model.evaluate(at)
        if penalty is not None:
            sign, log_det = np.linalg.slogdet(J)
            value = value + 0.5 * float(log_det) if sign > 0 else -np.inf
        return (value if np.isfinite(value) else -np.inf), U, J

    value, U, J = objective(beta)
    for k in range(_ITERATIONS):
        slope = U if penalty is None else U + penalty(beta)
        try:
            step = np.linalg.solve(J[free, free], slope[free])
        except np.linalg.LinAlgError:
            raise NotFittedError("the information is singular") from None
        # The penalty's own curvature is not in J: a step may be as far beyond the maximum as it began before it.
        step = step / 2 if penalty is not None and k > 20 else step
        length = float(np.sqrt(abs(step @ J[free, free] @ step)))  # in standard errors
        if length < _STEP:
            return beta, value, U, J
        for _ in range(40):
            moved = beta.copy()
            moved[free] += step
            new = objective(moved)
            # a gain below rounding is a maximum as good as another
            if new[0] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        else:
            return beta, value, U, J
        beta, (value, U, J) = moved, new
        if penalty is not None and length < 1e-6:
            return beta, value, U, J
    raise NotFittedError("no maximum: the outcome is separated by what is tested or by a covariate")


def _spread(J: Float64Array) -> float:
    """Information of the last coefficient with the others estimated."""
    rest = J[-1, -1] - J[-1, :-1] @ np.linalg.solve(J[:-1, :-1], J[:-1, -1]) if J.shape[0] > 1 else J[0, 0]
    if not rest > 1e-12 * J[-1, -1]:
        raise NotFittedError("what is tested is a combination of the covariates")
    return float(rest)


def check_finite(model: Likelihood, J: Float64Array, k: int) -> None:
    """Refuse a fit that only stopped because its information of the last k coefficients ran out (`_SEPARATED`).

    Raises
    ------
    NotFittedError
    """

    def left(information: Float64Array) -> Float64Array:
        corner = information[-k:, -k:]
        if information.shape[0] > k:
            corner = corner - information[-k:, :-k] @ np.linalg.solve(information[:-k, :-k], information[:-k, -k:])
        return np.asarray(corner)

    shares = np.linalg.eigvals(np.linalg.solve(left(model.evaluate(model.start)[2]), left(J)))
    if not shares.real.min() > _SEPARATED:
        raise NotFittedError("no maximum: the outcome is separated by what is tested or by a covariate")


def score_test(
    model: Likelihood,
    dispersion: "Callable[[Float64Array, int], float] | None" = None,
    near: Float64Array | None = None,
) -> DenseFit:
    """The last coefficient by its score at 0, the others at their maximum; beta is one Newton step.

    ``dispersion(beta, P)`` is the variance in units of the model's, by the null.
    """
    at, _, U, _ = maximise(model, held=1, near=near)
    information = _spread(model.expected_information(at))
    phi = 1.0 if dispersion is None else dispersion(at, at.size - 1)
    beta, error = float(U[-1] / information), float(np.sqrt(phi / information))
    return DenseFit(beta, error, neg_log_10_p_normal(beta / error), error)


def score_test_after_one_step(
    everybody: Likelihood,
    observed: Likelihood,
    dispersion: "Callable[[Float64Array, int], float] | None" = None,
    near: Float64Array | None = None,
) -> DenseFit:
    """The score test of samples with a call, by the null of all of them and one Newton step: ``score_approx`` rows.

    ``observed`` is the likelihood of the same coefficients on those with a call.
    """
    at = maximise(everybody, held=1, near=near)[0]
    U, J = observed.evaluate(at)[1], observed.expected_information(at)
    information = _spread(J)
    slope = float(U[-1] - J[-1, :-1] @ np.linalg.solve(J[:-1, :-1], U[:-1])) if U.size > 1 else float(U[0])
    phi = 1.0 if dispersion is None else dispersion(at, at.size - 1)
    beta, error = slope / information, float(np.sqrt(phi / information))
    return DenseFit(beta, error, neg_log_10_p_normal(beta / error), error)


def wald_test(
    model: Likelihood, dispersion: "Callable[[Float64Array, int], float] | None" = None, df: float | None = None
) -> DenseFit:
    """The last coefficient at its maximum over the standard error of the observed information; Student's t with ``df``."""
    at, _, _, J = maximise(model)
    check_finite(model, J, 1)
    phi = 1.0 if dispersion is None else dispersion(at, at.size)
    beta, error = float(at[-1]), float(np.sqrt(phi / _spread(J)))
    return DenseFit(beta, error, _tail(beta / error, df), error)


def likelihood_ratio_test(
    model: Likelihood, dispersion: "Callable[[Float64Array, int], float] | None" = None, df: float | None = None
) -> DenseFit:
    """Twice the gain in log likelihood; the standard error is |beta| over the root of it."""
    null = maximise(model, held=1)[1]
    at, full, _, J = maximise(model)
    phi = 1.0 if dispersion is None else dispersion(at, at.size)
    return _by_gain(float(at[-1]), max(full - null, 0.0) / phi, float(np.sqrt(phi / _spread(J))), df)


def _tail(statistic: float, df: float | None) -> float:
    return neg_log_10_p_normal(statistic) if df is None else neg_log_10_p_student(statistic, df)


def _by_gain(beta: float, gain: float, error: float, df: float | None = None) -> DenseFit:
    statistic = float(np.sqrt(2.0 * gain))
    own = abs(beta) / statistic if statistic > 0 else error
    return DenseFit(beta, own, _tail(statistic, df), error)


def penalty_of(model: Likelihood) -> Callable[[Float64Array], Float64Array]:
    """Gradient of ``log det(information) / 2``: the model's own, or by central differences."""
    own = getattr(model, "penalty", None)
    if own is not None:
        return own

    def differences(beta: Float64Array) -> Float64Array:
        widths = 1e-4 / np.sqrt(np.maximum(np.diag(model.evaluate(beta)[2]), 1e-12))
        slopes = np.empty(beta.size)
        for k, width in enumerate(widths):
            move = np.zeros(beta.size)
            move[k] = width
            up, down = (np.linalg.slogdet(model.evaluate(beta + sign * move)[2])[1] for sign in (1.0, -1.0))
            slopes[k] = (up - down) / (4.0 * width)
        return slopes

    return differences


def firth_test(model: Likelihood, information_error: bool = False) -> DenseFit:
    """Penalised likelihood ratio, both maxima under the penalty of the full model (Heinze & Schemper 2002).

    With ``information_error``, the standard error is the information's, as REGENIE prints it.
    """
    penalty = penalty_of(model)
    null = maximise(model, held=1, penalty=penalty)[1]
    at, full, _, J = maximise(model, penalty=penalty)
    found = _by_gain(float(at[-1]), max(full - null, 0.0), float(1.0 / np.sqrt(_spread(J))))
    if information_error:
        return DenseFit(found.beta, found.standard_error_model, found.neg_log_10_p, found.standard_error_model)
    return found


def approximate_firth_test(
    build: Build, X: Float64Array, g: Float64Array, offset: Float64Array | float = 0.0, *, penalised_null: bool = True,
    carriers: bool = False, information_error: bool = False, near: Float64Array | None = None,
) -> DenseFit:  # fmt: skip
    """Firth's test of g residualised on X in the null's weights, the null an offset (Mbatchou et al. 2021).

    Parameters
    ----------
    build : callable
        ``build(D, offset)`` is the likelihood of the coefficients of D.
    X : float64 array (n, C)
    g : float64 array (n,)
    offset : float64 array (n,) or 0
    penalised_null : bool
        The null that becomes the offset has Firth's penalty.
    carriers : bool
        Samples with g = 0 count 0 after residualising (REGENIE, sparse genotypes).
    information_error : bool
        As in `firth_test`.
    near : float64 array (C,), optional
        Where the null's coefficients are about.
    """
    both = build(np.column_stack([X, g]), offset)
    at, _, _, J = maximise(both, held=1, near=near)
    rest = g - X @ np.linalg.solve(J[:-1, :-1], J[:-1, -1]) if X.shape[1] else g.copy()
    if carriers:
        rest = rest * (g > 0)
    if penalised_null:
        null = build(X, offset)
        at = maximise(null, penalty=penalty_of(null), near=at[:-1])[0]
    else:
        at = at[:-1]
    return firth_test(build(rest[:, None], offset + X @ at), information_error)
