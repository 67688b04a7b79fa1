"""What a null model says of sets of variants: the score of a sample, what it weighs, and what the nuisance parameters take away."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genassoc.errors import PhenotypeError
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.genotypes.set_scores import PRESENT, WITH_EVENT, SampleColumns
from genassoc.kernels.likelihoods.cox_sets import RiskCells
from genassoc.shapes import Float64Array, Int64Array, UInt8Array, UInt64Array

POLISHING_STEPS = 30
POLISHED = 1e-24  # squared distance from the maximum in standard errors
CLOSE = 1e-20
SHORTER = 0.25  # of the squared distances of steps that arrive: of those that run away it is 1 / e


@dataclass(frozen=True, kw_only=True)
class SetNull:
    """The null model of T_p traits that share samples and weights: U ~ N(0, V) under it.

    Of genotypes G (m, N) ::

        U_t = scale_t G residual_t        V_t = scale_t (G diag(weight) G' - (G cross) (G cross)')

    of a Cox model less the means of the risk sets too, ``hazards``.

    Attributes
    ----------
    traits : tuple of int
        Which of the model's traits: one but for linear regression.
    columns : int64 array (n,)
        The samples' columns of a block, of N samples.
    mask : uint64 array (W,)
        The same as packed words.
    thin : float64 array (N, C + T_p)
        `cross`, then the residuals; zero for other samples.
    n_cross : int
        C.
    weight : float64 array (N,)
        The information in a sample's linear predictor, for a scale of 1; zero for other samples.
    scale : float64 array (T_p,)
        One over the variance of the residuals (linear: of n - C degrees of freedom, as of R's SKAT), or over the dispersion of counts;
        else 1. NaN where a trait leaves no variance.
    freedom : float
        Residual degrees of freedom that the variance was estimated with; infinite where it is the model's.
    events : int64 array
        Columns of the cases, or of the samples with the event; empty where the outcome has neither.
    n_informative : int
        Samples with any event, or (ordinal) beside the threshold that divides best: with few of them scores are not normal. All of them where
        the outcome is a measure.
    alpha : float
        Of negative binomial counts, whose variance is ``mean + alpha mean^2``; else 0.
    hazards : RiskCells or None
        The risk sets of a Cox model.
    failure : str or None
        The code of all rows of the traits, where they have no null model: the arrays are zero then.
    strata : float64 array (T_p, N) or None
        What the law of a sample's residual depends on, of each trait: samples that are near in it have drawn from the same law. None where all have.
    """

    traits: tuple[int, ...]
    columns: Int64Array
    mask: UInt64Array
    thin: Float64Array
    n_cross: int
    weight: Float64Array
    scale: Float64Array
    freedom: float
    events: Int64Array
    n_informative: int
    alpha: float
    hazards: RiskCells | None
    failure: str | None
    strata: Float64Array | None = None

    @classmethod
    def of(
        cls,
        traits: Sequence[int],
        columns: Int64Array,
        cross: Float64Array,
        residual: Float64Array,
        weight: Float64Array,
        *,
        scale: Float64Array | None = None,
        freedom: float = np.inf,
        events: Int64Array | None = None,
        n_informative: int | None = None,
        alpha: float = 0.0,
        hazards: RiskCells | None = None,
        failure: str | None = None,
        strata: Float64Array | None = None,
    ) -> "SetNull":
        """Of cross (N, C), residuals (N, T_p) and weights (N,)."""
        if events is None:
            events = np.zeros(0, np.int64)
        if n_informative is None:
            n_informative = int(events.size or columns.size)
        return cls(
            traits=tuple(int(trait) for trait in traits),
            columns=columns,
            mask=mask_words(columns, weight.size),
            thin=np.ascontiguousarray(np.hstack([cross, residual])),
            n_cross=cross.shape[1],
            weight=np.ascontiguousarray(weight),
            scale=np.ones(len(traits)) if scale is None else scale,
            freedom=freedom,
            events=events,
            n_informative=n_informative,
            alpha=alpha,
            hazards=hazards,
            failure=failure,
            strata=strata,
        )

    @property
    def n(self) -> int:
        """Samples."""
        return int(self.columns.size)

    @property
    def width(self) -> int:
        """Samples of a block, N."""
        return int(self.weight.size)

    @property
    def residual(self) -> Float64Array:
        """Each sample's score in its linear predictor for a scale of 1, (T_p, N)."""
        return self.thin[:, self.n_cross :].T

    @property
    def cross(self) -> Float64Array:
        """What the nuisance parameters take away, (N, C)."""
        return self.thin[:, : self.n_cross]

    @cached_property
    def status(self) -> UInt8Array:
        """0 for samples without the traits, 1 for those with them, 2 for those with the event: (N,)."""
        status = np.zeros(self.width, np.uint8)
        status[self.columns] = PRESENT
        status[self.events] = WITH_EVENT
        return status

    @property
    def samples(self) -> SampleColumns:
        """As kernels take it."""
        return SampleColumns(self.status, self.n, self.weight, self.thin)


def no_set_null(what: str) -> PhenotypeError:
    """Why there are no tests of sets, and what to do."""
    return PhenotypeError(
        f"{what}: tests of sets of variants (burden by scores, SKAT) stand on the score and the information of a model of one null: "
        "Linear, Logistic, Cox, Poisson, NegativeBinomial or Ordinal, without an interaction, sampling weights, matched sets, "
        "relationships, alleles='joint', genetic_model='genotypic' or variance='robust'. Leave that choice out"
    )


def polished(
    start: Float64Array, derivatives: Callable[[Float64Array], tuple[Float64Array, Float64Array]]
) -> Float64Array:
    """Coefficients (P,) after more steps of Newton's method (or of scoring) from where a null was fitted.

    That is to a millionth of a standard error, of which a sum over the many variants of a set would keep all. Where steps do not shorten,
    covariates tell the outcome by themselves and a coefficient runs away: ``start``.

    Parameters
    ----------
    derivatives : function
        Of coefficients: the gradient (P,), and its (expected) information (P, P).
    """
    beta, before = start, np.inf
    for _ in range(POLISHING_STEPS):
        gradient, J = derivatives(beta)
        try:
            step = np.linalg.solve(J, gradient)
        except np.linalg.LinAlgError:
            return start
        distance = float(step @ gradient)
        if not distance > POLISHED:
            return beta if np.isfinite(distance) else start
        if distance > SHORTER * before:
            # Rounding keeps some nulls of many samples this far from their maxima; others have none.
            return beta if distance < CLOSE else start
        beta, before = beta + step, distance
    return beta


def weighted_terms(
    X: Float64Array,
    start: Float64Array,
    offset: Float64Array,
    scores_at: Callable[[Float64Array], tuple[Float64Array, Float64Array]],
) -> tuple[Float64Array, Float64Array, Float64Array] | None:
    """Scores and weights (n,) of samples where `polished` arrives, and weights times orthonormal covariates X (n, C); None where it does not.

    ``scores_at`` gives both of linear predictors (n,).
    """

    def derivatives(beta: Float64Array) -> tuple[Float64Array, Float64Array]:
        residual, weight = scores_at(X @ beta + offset)
        return X.T @ residual, X.T @ (weight[:, None] * X)

    beta = polished(start, derivatives)
    residual, weight = scores_at(X @ beta + offset)
    try:
        L = np.linalg.cholesky(X.T @ (weight[:, None] * X))
    except np.linalg.LinAlgError:
        return None
    return residual, weight, weight[:, None] * np.linalg.solve(L, X.T).T
