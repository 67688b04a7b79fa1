"""Small dense linear algebra on samples: which covariates are independent, an orthonormal basis of them."""

from dataclasses import dataclass

import numpy as np

from genassoc.shapes import BoolArray, Float64Array

# R's lm drops a column when what is left of it after the earlier ones is below 1e-7 of its length.
COLLINEAR_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of the covariates on the samples analysed.

    Attributes
    ----------
    Q : float64 array (N, rank)
        Orthonormal columns; the first is the constant, the others are centred.
    kept : bool array (C,)
        Which columns of X are spanned by it without being a combination of the columns before them.
    """

    Q: Float64Array
    kept: BoolArray


def orthonormal_basis(X: Float64Array) -> Basis:
    """Orthonormalise the columns of X (N, C) in their order, leaving out combinations of earlier ones.

    Modified Gram-Schmidt, each column projected twice (Bjorck 1967: "twice is enough"), after centring: a
    column such as a year of birth does not lose its digits to its mean. The first column must be the intercept.
    """
    N, C = X.shape
    kept = np.zeros(C, dtype=bool)
    kept[0] = N > 0
    columns = [np.full(N, 1.0 / np.sqrt(max(N, 1)))]
    for c in range(1, C):
        largest = np.abs(X[:, c]).max(initial=0.0)
        if largest == 0.0:
            continue
        raw = X[:, c] / largest  # squares neither overflow nor vanish
        column = raw - raw.mean()
        scale = np.sqrt(column @ column)
        # A column that is constant up to rounding is the intercept again.
        if scale <= 1e-12 * np.sqrt(raw @ raw):
            continue
        left = column / scale
        for _ in range(2):
            for q in columns:
                left = left - q * (q @ left)
        length = np.sqrt(left @ left)
        if length > COLLINEAR_TOLERANCE and len(columns) < N:
            columns.append(left / length)
            kept[c] = True
    return Basis(np.column_stack(columns), kept)


def independent_columns(X: Float64Array) -> BoolArray:
    """Say for each column of X (N, C), the intercept first, whether it is no combination of the columns before it."""
    return orthonormal_basis(X).kept
