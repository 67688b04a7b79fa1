"""Effects on the absolute scale of a fitted logistic model: risks by genotype and arm, their differences, and RERI.

A risk of genotype and arm is standardised over the covariates: the mean of the fitted probabilities had everyone that
genotype and arm (Lane & Nelder 1982). Standard errors are by the delta method, the covariates' values
taken as given.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.shapes import Float64Array
from genassoc.stats.tails import Z_975


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error and 95 % confidence interval."""

    value: float
    standard_error: float
    ci_lower: float
    ci_upper: float

    @classmethod
    def of(cls, value: float, variance: float) -> "Estimate":
        """With the normal interval."""
        error = float(np.sqrt(variance))
        return cls(float(value), error, float(value) - Z_975 * error, float(value) + Z_975 * error)


@dataclass(frozen=True)
class NumberNeeded:
    """Number needed to treat for one event fewer: 1 / (risk untreated - risk treated); negative: treated for one more.

    Attributes
    ----------
    value, ci_lower, ci_upper : float
        Reciprocals of the difference and of the ends of its interval.
    through_infinity : bool
        The difference's interval holds 0: the interval here is then all outside ``ci_lower`` (harm) to ``ci_upper``
        (benefit), infinity included (Altman 1998, doi:10.1136/bmj.317.7168.1309).
    """

    value: float
    ci_lower: float
    ci_upper: float
    through_infinity: bool


@dataclass(frozen=True)
class ArmEffect:
    """What the arm does to the risk of one genotype: E = 1 less E = 0.

    Attributes
    ----------
    genotype : float
        Copies of the effect allele.
    untreated, treated : Estimate
        Standardised risks at E = 0 and E = 1.
    difference : Estimate
    number_needed : NumberNeeded
    """

    genotype: float
    untreated: Estimate
    treated: Estimate
    difference: Estimate
    number_needed: NumberNeeded


@dataclass(frozen=True)
class AbsoluteEffects:
    """By genotype, and RERI of one copy and the arm.

    Attributes
    ----------
    arms : tuple of ArmEffect
        One a genotype.
    reri : Estimate
        Relative excess risk due to interaction: ``OR_ge - OR_g - OR_e + 1``.
    """

    arms: tuple[ArmEffect, ...]
    reri: Estimate


def absolute_effects(
    beta: Float64Array,
    covariance: Float64Array,
    design: Float64Array,
    *,
    g: int,
    e: int,
    ge: int,
    genotypes: Sequence[float] = (0.0, 1.0, 2.0),
    arms: tuple[float, float] = (0.0, 1.0),
) -> AbsoluteEffects:
    """Risks by genotype and arm, their differences, numbers needed to treat and RERI of a logistic model.

    Parameters
    ----------
    beta : float64 array (P,)
        Coefficients (log odds).
    covariance : float64 array (P, P)
        Of them; the model's or a robust one.
    design : float64 array (n, P)
        Of the samples to standardise over, the intercept included.
    g, e, ge : int
        Columns of copies, of E, and of their product.
    genotypes : sequence of float
    arms : (float, float)
        E of the untreated and of the treated.

    Raises
    ------
    ValueError
        Shapes do not fit.
    """
    P = beta.size
    if design.ndim != 2 or design.shape[1] != P or covariance.shape != (P, P):
        raise ValueError(
            f"{P} coefficients need a design of {P} columns and a covariance of {P} x {P}, not {design.shape} and "
            f"{covariance.shape}"
        )
    found = []
    for copies in genotypes:
        settings = [_set(design, {g: copies, e: arm, ge: copies * arm}) for arm in arms]
        risks, spread = standardised_risks(beta, covariance, settings)
        difference = Estimate.of(risks[1] - risks[0], spread[0, 0] + spread[1, 1] - 2.0 * spread[0, 1])
        untreated, treated = (Estimate.of(risks[k], spread[k, k]) for k in range(2))
        found.append(ArmEffect(float(copies), untreated, treated, difference, number_needed(difference)))
    unit = arms[1] - arms[0]
    # Against E = 0 of the arms: one copy there, the arm without copies, and both.
    at = np.zeros((3, P))
    at[0, [g, ge]] = 1.0, arms[0]
    at[1, e] = unit
    at[2] = at[0] + at[1]
    at[2, ge] += unit
    return AbsoluteEffects(tuple(found), reri(at @ beta, at @ covariance @ at.T))


def _set(design: Float64Array, values: dict[int, float]) -> Float64Array:
    out = design.copy()
    for column, value in values.items():
        out[:, column] = value
    return out


def standardised_risks(
    beta: Float64Array, covariance: Float64Array, settings: Sequence[Float64Array]
) -> tuple[Float64Array, Float64Array]:
    """Mean fitted probabilities of S designs (n, P), and their covariance (S, S) by the delta method.

    ``risk_s = mean_i p_si``, ``d risk_s / d beta = mean_i p_si (1 - p_si) x_si``.
    """
    risks, gradients = [], []
    for design in settings:
        p = 1.0 / (1.0 + np.exp(-(design @ beta)))
        risks.append(p.mean())
        gradients.append((p * (1.0 - p)) @ design / p.size)
    slope = np.array(gradients)
    return np.array(risks), slope @ covariance @ slope.T


def number_needed(difference: Estimate) -> NumberNeeded:
    """Number needed to treat of a risk difference, treated less untreated."""

    def reciprocal(value: float) -> float:
        return float("inf") if value == 0.0 else -1.0 / value

    through = difference.ci_lower <= 0.0 <= difference.ci_upper
    ends = sorted([reciprocal(difference.ci_lower), reciprocal(difference.ci_upper)])
    return NumberNeeded(reciprocal(difference.value), ends[0], ends[1], through)


def reri(log_odds: Float64Array, covariance: Float64Array) -> Estimate:
    """Relative excess risk due to interaction of two exposures, by the delta method (Hosmer & Lemeshow 1992).

    Parameters
    ----------
    log_odds : float64 array (3,)
        Log odds ratios of the first exposure alone, of the second alone, and of both, against neither.
    covariance : float64 array (3, 3)

    Notes
    -----
    ``RERI = OR_11 - OR_10 - OR_01 + 1``; above 0 both together do more than the sum of each (doi:10.1097/00001648-199209000-00012).
    """
    odds = np.exp(log_odds)
    slope = odds * np.array([-1.0, -1.0, 1.0])
    return Estimate.of(odds[2] - odds[0] - odds[1] + 1.0, float(slope @ covariance @ slope))
