"""Normal scores of ranks."""

import numpy as np

from genassoc.shapes import Float64Array


def normal_scores(y: Float64Array) -> Float64Array:
    """Normal scores of the ranks of y (n,), ties sharing their mean rank: ``ndtri((rank - 3/8) / (n + 1/4))`` (Blom 1958)."""
    from scipy.special import ndtri
    from scipy.stats import rankdata  # slow to import

    return np.asarray(ndtri((rankdata(y) - 0.375) / (y.size + 0.25)))
