"""Ends of an interval by a profile likelihood: where twice the (penalised) objective has fallen by 3.84 from its maximum."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array

# The interval's ends: the root of twice the objective's fall is Z_975 there, to a hundred thousandth of a standard error.
Z_975 = 1.959963984540054
END_TOLERANCE = 1e-5
MAX_ENDS = 60
WIDEN = 3.0  # at most, from one trial of an end to the next while all fall too little


@jit
def next_end(beta: float, b: float, fall: float, ends: Float64Array) -> float:
    """The next trial of an interval's end beside the maximum at beta, after b, where twice the objective fell by ``fall``.

    The root of the fall is nearly linear in b: a line through the trials on both sides of Z_975. The end is found where b itself
    comes back.

    Parameters
    ----------
    ends : float64 array (4,)
        The trial nearest on either side of the end, each with its root: at first ``beta, 0, nan, nan``.
    """
    root = math.sqrt(max(fall, 0.0)) if math.isfinite(fall) else np.inf
    if abs(root - Z_975) < END_TOLERANCE:
        return b
    side = 0 if root < Z_975 else 2
    ends[side], ends[side + 1] = b, root
    inside, low, outside, high = ends[0], ends[1], ends[2], ends[3]
    if math.isnan(high):
        return beta + (b - beta) * min(WIDEN, 1.01 * Z_975 / max(root, 1e-300))
    # Off both ends, so that neither side stays where it is for long.
    share = (Z_975 - low) / (high - low) if math.isfinite(high) else 0.5
    return inside + min(max(share, 0.02), 0.98) * (outside - inside)


@jit
def start_end(beta: float, ends: Float64Array) -> None:
    """`next_end`'s trials before the first."""
    ends[0], ends[1], ends[2], ends[3] = beta, 0.0, np.nan, np.nan
