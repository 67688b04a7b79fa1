"""The null models of linear regression: traits residualised on covariates, by pattern of missing phenotypes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri

from genassoc.kernels.counts import mask_words
from genassoc.methods.columns import ThinMatrix
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.linalg import orthonormal_basis


@dataclass(frozen=True)
class NullModel:
    """Traits that are observed in the same samples, residualised on the covariates.

    Attributes
    ----------
    traits : int64 array (T_p,)
        Which of the model's traits.
    n : int
        Samples with these traits and all covariates.
    columns : int64 array (n,)
        Their columns in a block.
    mask : uint64 array (W,)
        The same as packed words.
    Q : float64 array (N, C)
        Orthonormal covariates, zero for other samples.
    R : float64 array (N, T_p)
        Residuals scaled to mean square 1, zero for other samples.
    scale : float64 array (T_p,)
        What a residual of 1 is in trait units.
    rss : float64 array (T_p,)
        Sum of squared scaled residuals; 0 where the covariates leave no variance.
    at : int
        First of this model's columns (covariates without the constant, then residuals) in the thin matrix.
    dropped : tuple of int
        Columns of the design that are combinations of others among these samples.
    """

    traits: Int64Array
    n: int
    columns: Int64Array
    mask: UInt64Array
    Q: Float64Array
    R: Float64Array
    scale: Float64Array
    rss: Float64Array
    at: int
    dropped: tuple[int, ...]


@dataclass(frozen=True)
class LinearState:
    """What all blocks share.

    Attributes
    ----------
    n_incomplete : int
        Samples of the cohort that lack a covariate: in no row.
    notes : tuple of str
        For people: which covariates were dropped, for which traits.
    """

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullModel, ...]
    matrix: ThinMatrix
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        n = {int(trait): null.n for null in self.nulls for trait in null.traits}
        return [n[trait] for trait in range(len(self.traits))]


def normal_scores(y: Float64Array) -> Float64Array:
    """Normal scores of the ranks of y (n,), ties sharing their mean rank: ``ndtri((rank - 3/8) / (n + 1/4))`` (Blom 1958)."""
    from scipy.stats import rankdata  # slow to import

    return np.asarray(ndtri((rankdata(y) - 0.375) / (y.size + 0.25)))


def prepare(design: Any, block_columns: Int64Array, block_width: int, rank_normalise: bool = False) -> LinearState:
    """Residualise every trait of the design on its own complete cases and lay out the thin matrix."""
    observed = ~np.isnan(design.y) & design.complete[:, None]
    patterns: dict[bytes, list[int]] = {}
    for trait in range(len(design.traits)):
        patterns.setdefault(np.packbits(observed[:, trait]).tobytes(), []).append(trait)
    nulls: list[NullModel] = []
    thin: list[Float64Array] = []
    at = 0
    for traits in patterns.values():
        null = _fit_null(
            design, np.array(traits), observed[:, traits[0]], block_columns, block_width, at, rank_normalise
        )
        nulls.append(null)
        thin += [null.Q[:, 1:], null.R]
        at += null.Q.shape[1] - 1 + len(traits)
    matrix = ThinMatrix.of(np.hstack(thin), packed_bytes(block_width))
    cohort_mask = mask_words(block_columns, block_width)
    n_incomplete = int((~design.complete).sum())
    return LinearState(
        design.traits, block_columns, cohort_mask, tuple(nulls), matrix, n_incomplete, _notes(design, nulls)
    )


def _fit_null(
    design: Any,
    traits: Int64Array,
    observed: BoolArray,
    block_columns: Int64Array,
    block_width: int,
    at: int,
    rank_normalise: bool,
) -> NullModel:
    basis = orthonormal_basis(design.X[observed])
    n, C = basis.Q.shape
    columns = block_columns[observed]
    Q = np.zeros((block_width, C))
    Q[columns] = basis.Q
    R = np.zeros((block_width, traits.size))
    scale, rss = np.ones(traits.size), np.zeros(traits.size)
    for j, trait in enumerate(traits):
        # One trait at a time: a product with several columns rounds differently for different companies.
        y = design.y[observed, trait]
        if rank_normalise and n:
            y = normal_scores(y)
        # Powers of two change no digit: sums of squares neither overflow nor vanish.
        unit = 2.0 ** np.round(np.log2(np.abs(y).max())) if n and np.abs(y).max() > 0 else 1.0
        y = y / unit
        centred = y - y.mean() if n else y
        residual = centred - basis.Q @ (basis.Q.T @ centred)
        residual -= basis.Q @ (basis.Q.T @ residual)
        squares = float(residual @ residual)
        if n > C and squares > 1e-20 * float(centred @ centred):
            scale[j] = np.sqrt(squares / n)
            R[columns, j] = residual / scale[j]
            rss[j] = n
            scale[j] *= unit
    dropped = tuple(int(c) for c in np.flatnonzero(~basis.kept)) if n else ()
    return NullModel(traits, n, columns, mask_words(columns, block_width), Q, R, scale, rss, at, dropped)


def _notes(design: Any, nulls: list[NullModel]) -> tuple[str, ...]:
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    for null in nulls:
        names = ", ".join(design.traits[trait] for trait in null.traits)
        for column in null.dropped:
            notes.append(
                f"covariate {design.covariates[column]} dropped for {names}: among its {null.n} complete samples "
                "it is constant or a combination of the covariates before it"
            )
    return tuple(notes)
