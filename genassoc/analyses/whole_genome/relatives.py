"""What relatives make of the variance of linear tests with predictions as offsets.

A variant without effect is handed down in families independently of the trait. Given the residuals e of a trait (less covariates, less the
prediction without the variant's chromosome) its score ``g'e`` has the variance ``2 p q e' Phi e``, Phi being 1 on the diagonal and twice the kinship
of relatives; the linear test takes it for ``2 p q e'e``. The ratio divides chi-squared. No model of the trait enters.
"""

import numpy as np

from genassoc.shapes import Float64Array, Int64Array


def variance_ratio(
    residuals: Float64Array, first: Int64Array, second: Int64Array, kinship: Float64Array
) -> Float64Array:
    """``e' Phi e / e'e`` of rows of residuals (H, n), 0 where a sample takes no part; (H,).

    Parameters
    ----------
    residuals : float64 array (H, n)
    first, second : int64 arrays (P,)
        Samples of each related pair, each pair once.
    kinship : float64 array (P,)
    """
    squares = (residuals * residuals).sum(axis=1)
    between = (residuals[:, first] * residuals[:, second]) @ (4.0 * kinship)  # twice the kinship, in both orders
    return np.asarray(1.0 + between / squares)
