"""One association fitted densely in float64, sharing nothing with the kernels: what the audit compares rows with.

Plain numpy: Newton's method on all coefficients of a `Likelihood`, no packed genotypes, no carriers-only path, no shared null,
no screen. Too slow for a scan, fast enough for a few hundred rows. Weights, offsets, several tested columns and the variance are
arguments, treated alike for every likelihood. A sandwich variance (`Influences`) has Satterthwaite's degrees of freedom, and
Hotelling's law for several coefficients (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from genassoc.refit.tails import neg_log_10_p, size_of_z
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_STEP = 1e-8  # Newton stops when a step is below so many standard errors: its error is then of the order of its square
_ITERATIONS = 100
# share of the starting information that remains where fitted odds exceed a million to one
_SEPARATED = 1e-6
_SEPARATED_WORDS = "no maximum: the outcome is separated by what is tested or by a covariate"
_COMBINATION = "what is tested is a combination of the covariates"
SPARSE = 50  # REGENIE's approximate Firth takes carriers alone below this many minor alleles
LEAST_SLACK = 1e-8  # 1 - leverage below which a sample fits itself: its residual is rounding


class NotFittedError(ValueError):
    """The fit has no maximum, or a tested column is a combination of the covariates."""


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
        Of the information (of the penalised fit at its maximum), or of the sandwich.
    degrees_of_freedom : float
        Of the t or F distribution of p; infinite for a normal or chi-squared one.
    """

    beta: float
    standard_error: float
    neg_log_10_p: float
    standard_error_model: float
    degrees_of_freedom: float = np.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Outcome:
    """The data of n samples that a likelihood reads.

    Attributes
    ----------
    y : float64 array (n,)
        The outcome; of times to an event the event (1) or not (0), of ordered levels numbers from 0 upwards.
    weight : float64 array (n,)
        Sampling weights; without any, 1.
    offset : float64 array (n,)
        Added to the linear predictor: log exposure, a prediction; else 0.
    time, entry : float64 arrays (n,) or None
        Of times to an event; the entry is minus infinity where all are at risk from the start.
    stratum : int64 array (n,) or None
        Strata, or matched sets.
    """

    y: Float64Array
    weight: Float64Array
    offset: Float64Array
    time: Float64Array | None = None
    entry: Float64Array | None = None
    stratum: Int64Array | None = None


class Influences(NamedTuple):
    """What each sample adds to the errors of k coefficients, (n, k), and the expected products of these, (n, k, k)."""

    each: Float64Array
    expected: Float64Array


class Likelihood(ABC):
    """A log likelihood. Its last parameters are the coefficients of D (n, P); other parameters come before them.

    A new family is one subclass and a name in `genassoc.refit.row_data.LIKELIHOODS`.
    """

    # Methods that can be fitted again. "robust" is the likelihood's own sandwich variance; "hc3" and "hc0" are made of residuals.
    methods: ClassVar[tuple[str, ...]] = ("score", "score_approx", "wald", "lrt", "wald_hc3", "wald_hc0")
    constant: ClassVar[bool] = True  # D needs a constant; else only differences within strata count
    closed_form: ClassVar[bool] = False  # rows come from sums, without iterations
    screened: ClassVar[bool] = False  # "score_approx" rows are a screen by a bound; else one step of the null
    normal_hc3: ClassVar[bool] = False  # HC3 without weights is tested by z; else by t and F
    penalised_null: ClassVar[bool] = False  # the null of approximate Firth tests has the penalty
    # Which "exact" p are those of few events: none, those with a sandwich variance (the others are of few carriers and not refitted), all
    exact: ClassVar[Literal["never", "sandwich", "always"]] = "never"
    whole_null: ClassVar[bool] = True  # the law of few events is under the null of samples without a call too

    D: Float64Array
    weight: Float64Array
    offset: Float64Array

    @classmethod
    @abstractmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """The likelihood of the outcome of n samples on D (n, P) beside its offset."""

    @classmethod
    def informative(cls, outcome: Outcome) -> BoolArray:
        """Which of the samples (n,) contribute to the likelihood."""
        return np.ones(outcome.y.size, dtype=bool)

    @property
    def start(self) -> Float64Array:
        """Where Newton's method starts; no effects."""
        return np.zeros(self.D.shape[1])

    @property
    def unit(self) -> float:
        """The size of rounding in the coefficients: 1, or the scale of a quantity."""
        return 1.0

    @property
    def estimates_scale(self) -> bool:
        """Whether the variance has a factor of its own: tests are then Student's t."""
        return False

    def dispersion(self, beta: Float64Array, n_coefficients: int) -> float:
        """The variance over the model's."""
        return 1.0

    @abstractmethod
    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and observed information at ``beta``."""

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """Expected information; the observed one where they are the same, or the literature uses that."""
        return self.evaluate(beta)[2]

    @abstractmethod
    def influences(self, beta: Float64Array, inverse: Float64Array, k: int, power: int) -> Influences:
        """Of the last k coefficients at ``beta``; ``inverse`` of the information there; residuals over (1 - leverage)^power."""

    def penalty(self, beta: Float64Array) -> Float64Array:
        """Gradient of ``log det(information) / 2``, here by central differences."""
        widths = 1e-4 / np.sqrt(np.maximum(np.diag(self.evaluate(beta)[2]), 1e-12))
        slopes = np.empty(beta.size)
        for j, width in enumerate(widths):
            move = np.zeros(beta.size)
            move[j] = width
            up, down = (np.linalg.slogdet(self.evaluate(beta + sign * move)[2])[1] for sign in (1.0, -1.0))
            slopes[j] = (up - down) / (4.0 * width)
        return slopes

    def law_of_events(self, beta: Float64Array, g: Float64Array, observed: BoolArray) -> float:
        """-log10 p of the genotypes g (m,) of the samples ``observed`` (n,) by the law of few events under the null at ``beta``.

        Raises
        ------
        NotFittedError
            There is no such law.
        """
        raise NotFittedError("this model has no law of few events")

    def as_plink2(self, firth: bool) -> tuple[Float64Array, Float64Array]:
        """Coefficients and their covariance as PLINK 2 has them.

        Raises
        ------
        NotFittedError
            PLINK 2 has no such model.
        """
        raise NotFittedError("PLINK 2 has no such model")


# columns -----------------------------------------------------------------------------------------------------------------


def independent(X: Float64Array) -> Float64Array:
    """An orthonormal basis of the span of X (n, C), by singular values; 1e-10 of the largest is rounding.

    What is nearly orthonormal, as some rows of a basis are, needs one factor of Cholesky's.
    """
    if not X.any():
        return np.zeros((X.shape[0], 0))
    gram = X.T @ X
    if np.abs(gram - np.eye(X.shape[1])).max(initial=0.0) < 0.5 / max(X.shape[1], 1):  # eigenvalues of 1/2 to 3/2
        return np.asarray(X @ np.linalg.inv(np.linalg.cholesky(gram)).T)
    scale = np.sqrt((X**2).sum(axis=0))
    U, s, _ = np.linalg.svd(X / np.where(scale > 0, scale, 1.0), full_matrices=False)
    return np.asarray(U[:, s > 1e-10 * s[0]])


def beside(Q: Float64Array, G: Float64Array) -> Float64Array:
    """What is left of the columns G (n, k) beside Q, orthonormal: coefficients of it are those of G.

    Raises
    ------
    NotFittedError
        Of one of them, or of a combination of them, nothing is.
    """
    rest = G - Q @ (Q.T @ G)
    rest -= Q @ (Q.T @ rest)
    lengths = np.sqrt((G**2).sum(axis=0))
    if not lengths.all() or not np.linalg.norm(rest, axis=0).min() > 1e-7 * lengths.max():
        raise NotFittedError(_COMBINATION)
    if G.shape[1] > 1 and np.linalg.svd(rest / lengths, compute_uv=False).min() <= 1e-7:
        raise NotFittedError(_COMBINATION)
    return np.asarray(rest)


def within_sets(X: Float64Array, groups: Int64Array) -> Float64Array:
    """X (n, C) less its means in each group (n,); what is left of a column that is constant in all of them is 0, not rounding."""
    _, which = np.unique(groups, return_inverse=True)
    n = np.bincount(which)
    left = X.copy()
    for c in range(X.shape[1]):
        left[:, c] -= (np.bincount(which, X[:, c]) / n)[which]
        if np.abs(left[:, c]).max(initial=0.0) <= 1e-12 * np.abs(X[:, c]).max(initial=0.0):
            left[:, c] = 0.0
    return np.asarray(left)


# the maximum ---------------------------------------------------------------------------------------------------------------

Penalty = Callable[[Float64Array], Float64Array]


def maximum(model: Likelihood) -> Float64Array:
    """Coefficients at the maximum.

    Raises
    ------
    NotFittedError
        There is none.
    """
    return maximise(model)[0]


def maximise(
    model: Likelihood, held: int = 0, penalty: Penalty | None = None, near: Float64Array | None = None
) -> tuple[Float64Array, float, Float64Array, Float64Array]:
    """Maximum with the last ``held`` coefficients at 0: coefficients, objective, score and information of all.

    With ``penalty``, the gradient of ``log det(information) / 2``, the maximum of Firth's penalised likelihood. ``near``
    are the first coefficients to begin with, the others being 0: the maximum does not depend on it.

    Raises
    ------
    NotFittedError
        There is none.
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
        if length < _STEP * model.unit:
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
    raise NotFittedError(_SEPARATED_WORDS)


def _left(J: Float64Array, k: int) -> Float64Array:
    """Information (k, k) of the last k coefficients with the others estimated."""
    if J.shape[0] == k:
        return J
    # Least squares: where a covariate is separated the others' information may be singular, and what is tested is not.
    return np.asarray(J[-k:, -k:] - J[-k:, :-k] @ np.linalg.lstsq(J[:-k, :-k], J[:-k, -k:], rcond=None)[0])


def _spread(J: Float64Array, k: int) -> Float64Array:
    """`_left`, refused where it is rounding."""
    left = _left(J, k)
    if not (np.diag(left) > 1e-12 * np.diag(J)[-k:]).all():
        raise NotFittedError(_COMBINATION)
    return left


def _check_finite(model: Likelihood, J: Float64Array, k: int) -> None:
    """Refuse a fit that only stopped because its information of the last k coefficients ran out (`_SEPARATED`)."""
    if model.closed_form:
        return
    shares = np.linalg.eigvals(np.linalg.solve(_left(model.evaluate(model.start)[2], k), _left(J, k)))
    if not shares.real.min() > _SEPARATED:
        raise NotFittedError(_SEPARATED_WORDS)
    _spread(J, k)


# tests of the last k coefficients ---------------------------------------------------------------------------------------------


class Sandwich(NamedTuple):
    """A variance made of what each sample contributes.

    Attributes
    ----------
    power : int
        1 divides a residual by 1 less its leverage (HC3: MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7), 0 does not
        (Huber, White, Binder; Lin & Wei).
    freedom : str
        "satterthwaite": as many degrees of freedom as the squares leave; "residual": samples less coefficients; "none": p is normal.
    """

    power: int
    freedom: str = "satterthwaite"


def satterthwaite(expected: Float64Array, most: float) -> float:
    """Degrees of freedom of a sum of products with these expectations (n, k, k), less one for each coefficient: those of F's denominator."""
    k = expected.shape[1]
    part = np.linalg.solve(expected.sum(axis=0), expected)
    spread = float((np.einsum("iaa->i", part) ** 2 + np.einsum("iab,iba->i", part, part)).sum())
    return max(1.0, min(k * (k + 1) / spread - k, most) - (k - 1))


def wald_test(model: Likelihood, k: int = 1, sandwich: Sandwich | None = None) -> DenseFit:
    """The last k coefficients at their maximum, in the model's variance or a sandwich.

    Raises
    ------
    NotFittedError
    """
    at, _, _, J = maximise(model)
    _check_finite(model, J, k)
    n, P = model.D.shape[0], at.size
    if model.estimates_scale and n <= P:
        raise NotFittedError("too few samples")
    if sandwich is None:
        covariance = _dispersion(model, at, P) * np.asarray(np.linalg.inv(_spread(J, k)), np.float64)
        return _tested(at[-k:], covariance, float(n - P) if model.estimates_scale else np.inf, False)
    found = model.influences(at, np.asarray(np.linalg.inv(J), np.float64), k, sandwich.power)
    df, hotelling = np.inf, sandwich.freedom == "satterthwaite"
    if sandwich.freedom != "none":
        df = float(max(n - P, 1))
        df = satterthwaite(found.expected, df) if hotelling else df
    return _tested(at[-k:], found.each.T @ found.each, df, hotelling)


def _tested(theta: Float64Array, covariance: Float64Array, df: float, hotelling: bool) -> DenseFit:
    """Wald's test of coefficients (k,); ``hotelling``: df are those that a sandwich leaves of k more or less."""
    k = theta.size
    if not (np.linalg.eigvalsh(covariance) > 0.0).all():
        raise NotFittedError("its variance is 0")
    Q = float(theta @ np.linalg.solve(covariance, theta))
    if hotelling and k > 1:
        Q *= df / (df + k - 1.0)
    logp = neg_log_10_p(Q, k, df)
    if k > 1:
        return DenseFit(np.nan, np.nan, logp, np.nan, df)
    error = float(np.sqrt(covariance[0, 0]))
    return DenseFit(float(theta[0]), error, logp, error, df)


def plink2_test(model: Likelihood, k: int, firth: bool, as_f: bool) -> DenseFit:
    """PLINK 2's Wald test of the last k coefficients, by R's ``glm`` or with Firth's penalty; ``as_f``: F of k and n degrees of freedom."""
    at, covariance = model.as_plink2(firth)
    return _tested(at[-k:], covariance[-k:, -k:], float(model.D.shape[0]) if as_f and k > 1 else np.inf, False)


def score_test(
    model: Likelihood, k: int = 1, near: Float64Array | None = None, observed: Likelihood | None = None, held: int = 0
) -> DenseFit:
    """The last k coefficients by their score where they are 0 and the others at their maximum; beta is one Newton step.

    The last ``held`` coefficients, k or more, are 0 there: a screen of several columns of genotypes has one null for all its tests.
    With ``observed``, the likelihood of the same coefficients on the samples with a call, the null is that of all samples moved by one
    Newton step: ``score_approx`` rows.
    """
    held = max(held, k)
    at = maximise(model, held=held, near=near)[0]
    part = model if observed is None else observed
    U, J = part.evaluate(at)[1], part.expected_information(at)
    slope = U[-held:]
    if U.size > held:
        slope = slope - J[-held:, :-held] @ np.linalg.solve(J[:-held, :-held], U[:-held])
    phi, covariance = _dispersion(model, at, at.size - held), np.linalg.inv(_spread(J, held))
    step, covariance = (covariance @ slope)[-k:], covariance[-k:, -k:]
    logp = neg_log_10_p(float(step @ np.linalg.solve(covariance, step)) / phi, k)
    if k > 1:
        return DenseFit(np.nan, np.nan, logp, np.nan)
    error = float(np.sqrt(phi * covariance[0, 0]))
    return DenseFit(float(step[0]), error, logp, error)


def ratio_test(model: Likelihood, k: int = 1, *, firth: bool = False, information_error: bool = False) -> DenseFit:
    """Twice the gain of the last k coefficients in log likelihood; the standard error of one is |beta| over the root of it.

    ``firth``: both maxima have the penalty of the full model (Heinze & Schemper 2002). With ``information_error`` the standard
    error is the information's, as REGENIE prints it.
    """
    penalty = model.penalty if firth else None
    null = maximise(model, k, penalty)[1]
    at, full, _, J = maximise(model, 0, penalty)
    phi = _dispersion(model, at, at.size)
    df = float(model.D.shape[0] - at.size) if model.estimates_scale else np.inf
    gain = 2.0 * max(full - null, 0.0) / phi
    logp = neg_log_10_p(gain, k, df)
    if k > 1:
        return DenseFit(np.nan, np.nan, logp, np.nan, df)
    beta, error = float(at[-1]), float(np.sqrt(phi / _spread(J, 1)[0, 0]))
    shown = error if information_error or not gain > 0.0 else abs(beta) / float(np.sqrt(gain))
    return DenseFit(beta, shown, logp, error, df)


def _dispersion(model: Likelihood, at: Float64Array, P: int) -> float:
    return model.dispersion(at, P) if model.estimates_scale else 1.0


Build = Callable[[Float64Array, Float64Array], Likelihood]


def approximate_firth_test(
    build: Build, X: Float64Array, g: Float64Array, offset: Float64Array, *, carriers: bool = False,
    information_error: bool = False, near: Float64Array | None = None,
) -> DenseFit:  # fmt: skip
    """Firth's test of g residualised on X in the null's weights, the null an offset (Mbatchou et al. 2021).

    Parameters
    ----------
    build : callable
        ``build(D, offset)`` is the likelihood of the coefficients of D.
    X : float64 array (n, C)
    g, offset : float64 arrays (n,)
    carriers : bool
        Samples with g = 0 count 0 after residualising (REGENIE, sparse genotypes).
    information_error : bool
        As in `ratio_test`.
    near : float64 array (C,), optional
        Where the null's coefficients are about.
    """
    both = build(np.column_stack([X, g]), offset)
    at, _, _, J = maximise(both, held=1, near=near)
    rest = g - X @ np.linalg.solve(J[:-1, :-1], J[:-1, -1]) if X.shape[1] else g.copy()
    if carriers:
        rest = rest * (g > 0)
    at = at[:-1]
    if both.penalised_null:
        null = build(X, offset)
        at = maximise(null, penalty=null.penalty, near=at)[0]
    return ratio_test(build(rest[:, None], offset + X @ at), firth=True, information_error=information_error)


def by_normal_deviate(found: DenseFit, logp: float) -> DenseFit:
    """The estimate of one fit with the p of another: its standard error is |beta| over the normal deviate of p."""
    z = size_of_z(logp)
    error = abs(found.beta) / z if z > 0.0 else found.standard_error_model
    return DenseFit(found.beta, error, logp, found.standard_error_model)
