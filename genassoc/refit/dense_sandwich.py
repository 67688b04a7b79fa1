"""Dense weighted fits with sandwich variances: sampling weights, HC0 and HC3, Lin's and Wei's; see `genassoc.refit.dense`.

Sampling weights v say for how many each sample stands. With J the weighted information and u_i what sample i adds to the score,

    var beta = J^-1 [sum_i (v_i u_i)^2] J^-1

u_i being the residual times x (HC0: Binder 1983, doi:10.2307/1402588), that over 1 less the leverage (HC3: MacKinnon & White 1985,
doi:10.1016/0304-4076(85)90158-7), or of Cox's likelihood x less the mean of the risk set over the sample's martingale (Lin & Wei
1989, doi:10.1080/01621459.1989.10478874). Such a sum of squares varies as chi-squared of about ``(sum q)^2 / sum q^2 - 1`` degrees
(Satterthwaite), q_i the expectation of a square: about as many as there are carriers. The unit of the weights changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from genassoc.refit.dense import (
    DenseFit,
    NotFittedError,
    check_finite,
    independent,
    maximise,
    neg_log_10_p_normal,
    neg_log_10_p_student,
)
from genassoc.refit.dense_likelihoods import FromNothing, Stratum
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_LEAST_SLACK = 1e-8  # 1 - h below which a sample fits itself: its residual is rounding


@dataclass(frozen=True)
class SandwichFit(DenseFit):
    """A fit with a sandwich variance.

    Attributes
    ----------
    degrees_of_freedom : float
        Of the t that its p is of; infinite of a normal one.
    """

    degrees_of_freedom: float


def weighted_least_squares(
    y: Float64Array, X: Float64Array, g: Float64Array, weight: Float64Array, hc3: bool
) -> SandwichFit:
    """Least squares of y (n,) on X (n, C), with the intercept, and g (n,), weighted: QR of the rows times root of weight.

    HC3 has Satterthwaite's degrees of freedom, HC0 ``n - C - 1``, as other programs have them.

    Raises
    ------
    NotFittedError
        g is a combination of X, there are too few samples, or one fits itself.
    """
    root = np.sqrt(weight)
    Q = independent(root[:, None] * X)
    z = root * g
    rest = z - Q @ (Q.T @ z)
    rest -= Q @ (Q.T @ rest)
    length, P = float(np.sqrt(rest @ rest)), Q.shape[1] + 1
    if length <= 1e-7 * float(np.sqrt(z @ z)):
        raise NotFittedError("what is tested is a combination of the covariates")
    if y.size <= P:
        raise NotFittedError("too few samples")
    full = np.column_stack([Q, rest / length])
    e = root * y
    beta = float(full[:, -1] @ e) / length
    e = e - full @ (full.T @ e)
    e -= full @ (full.T @ e)
    leverage = (full**2).sum(axis=1)
    # Sampling weights are no precisions: y varies alike in all, and its residual times the root of the weight by the weight.
    return _of_residuals(beta, full[:, -1] / length, e, weight, leverage, y.size - P, hc3, few=hc3)


@dataclass(frozen=True, eq=False)
class WeightedBinary(FromNothing):
    """Logistic regression of y (n,), 0 or 1, on D (n, P) with sampling weights (n,): a pseudo-likelihood."""

    D: Float64Array
    y: Float64Array
    weight: Float64Array

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Weighted log likelihood, score and information."""
        eta = self.D @ beta
        mu = special.expit(eta)
        value = float(self.weight @ (self.y * eta - np.logaddexp(0.0, eta)))
        slopes = self.weight * mu * (1.0 - mu)
        return value, self.D.T @ (self.weight * (self.y - mu)), self.D.T @ (slopes[:, None] * self.D)


def weighted_logistic_test(model: WeightedBinary, hc3: bool) -> SandwichFit:
    """The last coefficient over its sandwich error: t with Satterthwaite's degrees of freedom."""
    at, _, _, J = maximise(model)
    check_finite(model, J, 1)
    mu = special.expit(model.D @ at)
    inverse = np.linalg.inv(J)
    spread = model.weight * mu * (1.0 - mu)
    leverage = spread * ((model.D @ inverse) * model.D).sum(axis=1)
    n, P = model.D.shape
    residual = model.weight * (model.y - mu)
    rows = model.D @ inverse[:, -1]
    return _of_residuals(float(at[-1]), rows, residual, model.weight * spread, leverage, n - P, hc3, few=True)


def _of_residuals(
    beta: float, rows: Float64Array, residual: Float64Array, variance: Float64Array, leverage: Float64Array, df: int,
    hc3: bool, few: bool,
) -> SandwichFit:  # fmt: skip
    """A coefficient that is a sum of ``rows`` (n,) times residuals, whose variances are ``variance`` (n,) up to a factor; ``few``: Satterthwaite's degrees."""
    slack = 1.0 - leverage
    if hc3 and slack.min() <= _LEAST_SLACK:
        raise NotFittedError("a sample has a leverage of 1")
    influence = rows / slack if hc3 else rows
    error = float(np.sqrt(((influence * residual) ** 2).sum()))
    freedom = float(df)
    if few:
        freedom = min(freedom, satterthwaite(influence**2 * variance * slack))
    return _tested(beta, error, freedom)


def satterthwaite(expected: Float64Array) -> float:
    """Degrees of freedom of a sum of squares with these expectations (n,), less one for the coefficient; 1 at least."""
    return max(1.0, float(expected.sum() ** 2 / (expected**2).sum()) - 1.0)


def _tested(beta: float, error: float, freedom: float) -> SandwichFit:
    if not error > 0.0:
        raise NotFittedError("its variance is 0")
    z = beta / error
    logp = neg_log_10_p_student(z, freedom) if np.isfinite(freedom) else neg_log_10_p_normal(z)
    return SandwichFit(beta, error, logp, error, freedom)


@dataclass(frozen=True, eq=False)
class WeightedHazards(FromNothing):
    """Cox's partial likelihood of D (n, P) with sampling weights (n,); risk sets and ties as of `Hazards`.

    The m deaths at a time weigh their mean in each of Efron's m terms, as in R's coxph.
    """

    D: Float64Array
    time: Float64Array
    event: Float64Array
    entry: Float64Array
    stratum: Int64Array
    weight: Float64Array
    efron: bool = True

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Weighted log partial likelihood, score and information, stratum by stratum."""
        value, U, J = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
        eta = self.D @ beta
        for here, part, died, own in self._strata(beta):
            v = self.weight[here]
            value += float(v[died] @ eta[here][died] - own @ part.log_total)
            U = U + v[died] @ part.D[died] - own @ part.mean
            hazard = part.over_terms(own[:, None])[:, 0]
            J = J + part.D.T @ ((part.w * hazard)[:, None] * part.D) - part.mean.T @ (own[:, None] * part.mean)
        return value, U, J

    def influences(self, beta: Float64Array, along: Float64Array) -> tuple[Float64Array, Float64Array]:
        """What each sample (n,) adds to the score of the column ``D along``, and what the square of that is expected to be."""
        found, expected = np.zeros(self.D.shape[0]), np.zeros(self.D.shape[0])
        for here, part, died, own in self._strata(beta):
            z, mean, v = part.D @ along, part.mean @ along, self.weight[here]
            terms = part.over_terms(own[:, None] * np.column_stack([np.ones(own.size), mean, mean**2]))
            score = -part.w * (z * terms[:, 0] - terms[:, 1])
            slot = np.searchsorted(part.t, self.time[here][died])
            average = np.bincount(part.which, mean) / np.bincount(part.which)
            score[died] += v[died] * (z[died] - average[slot])
            found[here] = score
            square = z * z * terms[:, 0] - 2.0 * z * terms[:, 1] + terms[:, 2]
            expected[here] = v * part.w * np.maximum(square, 0.0)
        return found, expected

    def _strata(self, beta: Float64Array) -> Iterator[tuple[BoolArray, Stratum, BoolArray, Float64Array]]:
        """Of each stratum with deaths: its samples, its terms, who of them died, and what each term weighs."""
        weighed = self.D @ beta + np.log(self.weight)
        for s in np.unique(self.stratum):
            here = self.stratum == s
            died = self.event[here] == 1
            if not died.any():
                continue
            part = Stratum(self.D[here], weighed[here], self.time[here], died, self.entry[here], self.efron)
            slot = np.searchsorted(part.t, self.time[here][died])
            own = np.bincount(slot, self.weight[here][died]) / np.bincount(slot)
            yield here, part, died, own[part.which]


def robust_hazards_test(model: WeightedHazards) -> SandwichFit:
    """The last coefficient over Lin's and Wei's error; t with Satterthwaite's degrees of freedom."""
    at, _, _, J = maximise(model)
    check_finite(model, J, 1)
    along = np.linalg.solve(J, np.eye(at.size)[-1])
    own, expected = model.influences(at, along)
    n, P = model.D.shape
    freedom = min(satterthwaite(expected), float(max(n - P, 1)))
    return _tested(float(at[-1]), float(np.sqrt(own @ own)), freedom)
