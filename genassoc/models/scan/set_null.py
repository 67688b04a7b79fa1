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
    hazards : RiskCells or None
        The risk sets of a Cox model.
    failure : str or None
        The code of all rows of the traits, where they have no null model: the arrays are zero then.
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
    hazards: RiskCells | None
    failure: str | None

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
        hazards: RiskCells | None = None,
        failure: str | None = None,
    ) -> "SetNull":
        """Of cross (N, C), residuals (N, T_p) and weights (N,)."""
        none = np.zeros(0, np.int64)
        return cls(
            traits=tuple(int(trait) for trait in traits),
            columns=columns,
            mask=mask_words(columns, weight.size),
            thin=np.ascontiguousarray(np.hstack([cross, residual])),
            n_cross=cross.shape[1],
            weight=np.ascontiguousarray(weight),
            scale=np.ones(len(traits)) if scale is None else scale,
            freedom=freedom,
            events=none if events is None else events,
            hazards=hazards,
            failure=failure,
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
    X: Float64Array,
    start: Float64Array,
    offset: Float64Array,
    scores_at: Callable[[Float64Array], tuple[Float64Array, Float64Array]],
) -> tuple[Float64Array, Float64Array, Float64Array] | None:
    """Scores, weights (n,) and weights times orthonormal covariates (n, C) after more steps of Newton's method.

    A null is fitted to a millionth of a standard error and less, of which a sum over many variants would keep all.
    None where no step can be taken: covariates that separate leave no information in a direction.
    """
    beta = start
    try:
        for _ in range(POLISHING_STEPS):
            residual, weight = scores_at(X @ beta + offset)
            gradient, J = X.T @ residual, X.T @ (weight[:, None] * X)
            step = np.linalg.solve(J, gradient)
            if not float(step @ gradient) > POLISHED:
                break
            beta = beta + step
        WQ = weight[:, None] * np.linalg.solve(np.linalg.cholesky(J), X.T).T
    except np.linalg.LinAlgError:
        return None
    sound = all(bool(np.isfinite(part).all()) for part in (residual, weight, WQ))
    return (residual, weight, WQ) if sound else None
