"""Ends of an interval by a profile likelihood: where twice the (penalised) objective has fallen by 3.84 from its maximum."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.rows import LOWER
from genassoc.shapes import Float64Array

# The interval's ends: the root of twice the objective's fall is Z_975 there, to a hundred thousandth of a standard error.
Z_975 = 1.959963984540054
END_TOLERANCE = 1e-5
MAX_ENDS = 60
WIDEN = 3.0  # at most, from one trial of an end to the next while all fall too little
# Of a search, behind the trials on both sides of the end (`next_end`): the trial to be evaluated, how many were, and of which end
# (0 the lower, 1 the upper, 2 both are done; -1 before the search).
TRIAL, TRIES, SIDE = 4, 5, 6


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


@jit
def interval_search() -> Float64Array:
    """A search (7,) that has not begun."""
    search = np.zeros(7)
    search[SIDE] = -1.0
    return search


@jit
def begin_search(row: Float64Array, beta: float, error: float, search: Float64Array) -> None:
    """Begin with the lower end of the interval about beta; the row's ends are NaN until they are found."""
    row[LOWER] = row[LOWER + 1] = np.nan
    start_end(beta, search)
    search[TRIAL], search[TRIES], search[SIDE] = beta - Z_975 * error, 0.0, 0.0


@jit
def next_trial(beta: float, error: float, fall: float, mirrored: bool, search: Float64Array, row: Float64Array) -> bool:
    """Take by how much twice the objective fell at the trial, and set the next one; whether both ends are done, in the row where found.

    The upper end is sought from a standard error's distance; where ``mirrored``, from as far as the lower one is.
    """
    b, side = search[TRIAL], int(search[SIDE])
    after = next_end(beta, b, fall, search)
    search[TRIES] += 1.0
    if after != b and search[TRIES] < MAX_ENDS:
        search[TRIAL] = after
        return False
    if after == b:
        row[LOWER + side] = b
    start_end(beta, search)
    search[TRIES], search[SIDE] = 0.0, side + 1.0
    far = mirrored and math.isfinite(row[LOWER])
    search[TRIAL] = 2.0 * beta - row[LOWER] if far else beta + Z_975 * error
    return side == 1
