"""Sums over the samples whose call of a variant is missing: what they leave out of covariates and residuals.

What bounds it is memory: the rows of Q and R of a few samples in a thousand are far apart. They are asked for ahead of
their use, those of Q are copied side by side once, and four samples are added in one pass over a sum. Samples are
taken in their order, a thousand at a time, in float64: the bits depend on the variant alone.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled, subtract_product
from genassoc.kernels.lanes.vector_outer import add_outer, prefetch
from genassoc.shapes import BoolArray, Float64Array, Int32Array, Int64Array

BATCH = 1024  # samples: their rows of Q take 128 KB, in the second-level cache
AHEAD = 16  # samples: about as long as memory takes


class Missing(NamedTuple):
    """Samples whose call is missing, a run of ``indices`` a variant from ``pointers`` (V + 1,)."""

    pointers: Int64Array
    indices: Int64Array


class Lacking(NamedTuple):
    """The patterns of missing phenotypes that each sample lacks, a run of ``patterns`` a sample from ``pointers`` (N + 1,)."""

    pointers: Int64Array
    patterns: Int64Array


class LeftOut(NamedTuple):
    """What the samples of one variant leave out of sums, of C covariates (padded to D), P patterns, T8 traits; and room.

    Attributes
    ----------
    every : float64 array (C * D,)
        The lower triangle of ``sum q q'``; what stands above it has no meaning.
    lacking : float64 array (P * C * D,)
        The same over the samples without each pattern's traits; zeros where ``touched`` (P,) does not say otherwise.
    residuals : float64 array (T8 / 8 * (C + 1) * 8,)
        ``sum q r`` and, after it, ``-sum r^2``, eight traits side by side.
    lost : int64 array (P,)
        How many of the samples are without each pattern's traits.
    rows, order, counts : float64 ((BATCH + 1) * D,), int32 (max(P, 1) * (BATCH + 3),), int64 (P,)
        Room.
    """

    every: Float64Array
    lacking: Float64Array
    touched: BoolArray
    residuals: Float64Array
    lost: Int64Array
    rows: Float64Array
    order: Int32Array
    counts: Int64Array


@jit
def room_for(C: int, D: int, P: int, T8: int) -> LeftOut:
    """Room for `sum_missing`, nothing summed."""
    return LeftOut(
        np.zeros(C * D),
        np.zeros(P * C * D),
        np.zeros(P, np.bool_),
        np.empty(T8 * (C + 1)),
        np.zeros(P, np.int64),
        np.empty((BATCH + 1) * D),
        np.empty(max(P, 1) * (BATCH + 3), np.int32),
        np.empty(P, np.int64),
    )


@jit
def _gather(
    samples: Int64Array, first: int, stop: int, pointers: Int64Array, Q: Float64Array, D: int, rows: Float64Array
) -> None:
    """Copy a batch's rows of Q side by side, and a row of zeros after them; see that its pointers are at hand."""
    for j in range(first, stop):
        later = samples[min(j + AHEAD, stop - 1)]
        prefetch(pointers, later)
        for d in range(0, D, DOUBLES):
            prefetch(Q, later * D + d)
        at, to = samples[j] * D, (j - first) * D
        for d in range(D):
            rows[to + d] = Q[at + d]
    for d in range(D):
        rows[(stop - first) * D + d] = 0.0


@jit
def _add_products(
    rows: Float64Array, order: Int32Array, start: int, n: int, C: int, D: int, total: Float64Array, to: int
) -> None:
    """Add the lower triangles of q q' to total (C, D) from ``to``, over the n rows that ``order`` names from ``start``.

    Four at a time; after the last, ``order`` names a row of zeros three times.
    """
    for e in range(start, start + n, 4):
        one, two, three, four = order[e] * D, order[e + 1] * D, order[e + 2] * D, order[e + 3] * D
        for d in range(0, C, DOUBLES):
            add_outer(total, to + d, D, d, C, rows, one, two, three, four, rows, one + d, two + d, three + d, four + d)


@jit
def _sort_by_pattern(
    samples: Int64Array,
    first: int,
    stop: int,
    pointers: Int64Array,
    patterns: Int64Array,
    order: Int32Array,
    counts: Int64Array,
) -> None:
    """List the rows of a batch that lack each pattern, in ``order`` (P, BATCH + 3), each list ending as above."""
    counts[:] = 0
    room, none = BATCH + 3, stop - first
    for j in range(first, stop):
        prefetch(patterns, pointers[samples[min(j + AHEAD, stop - 1)]])
        for m in range(pointers[samples[j]], pointers[samples[j] + 1]):
            p = patterns[m]
            order[p * room + counts[p]] = j - first
            counts[p] += 1
    for p in range(counts.size):
        for e in range(counts[p], counts[p] + 3):
            order[p * room + e] = none


@jit
def _add_residuals(
    samples: Int64Array, first: int, stop: int, rows: Float64Array, R: Float64Array, C: int, D: int, out: Float64Array
) -> None:
    """Add ``sum q r`` and, negated, ``sum r^2`` of a batch to out (T8 / 8, (C + 1) * 8): all traits at once."""
    n_groups = out.size // ((C + 1) * DOUBLES)
    last, zeros = stop - 1, (stop - first) * D
    for j in range(first, stop, 4):
        for later in range(j + AHEAD // 2, min(j + AHEAD // 2 + 4, stop)):
            for group in range(n_groups):
                prefetch(R, (samples[later] * n_groups + group) * DOUBLES)
        a, b, c, d = samples[j], samples[min(j + 1, last)], samples[min(j + 2, last)], samples[min(j + 3, last)]
        at = (j - first) * D
        for group in range(n_groups):
            to = group * (C + 1) * DOUBLES
            add_outer(
                out, to, DOUBLES, 0, C, rows, at, min(at + D, zeros), min(at + 2 * D, zeros), min(at + 3 * D, zeros),
                R, (a * n_groups + group) * DOUBLES, (b * n_groups + group) * DOUBLES,
                (c * n_groups + group) * DOUBLES, (d * n_groups + group) * DOUBLES,
            )  # fmt: skip
            for sample in samples[j : min(j + 4, stop)]:
                square = (sample * n_groups + group) * DOUBLES
                subtract_product(out, to + C * DOUBLES, R, square, R, square)


@jit
def _add_fours(
    samples: Int64Array, n: int, Q: Float64Array, D: int, R: Float64Array, C: int, every: Float64Array, out: Float64Array
) -> None:  # fmt: skip
    """`_add_products` and `_add_residuals` of the first n samples (a multiple of four), rows of Q taken where they are."""
    n_groups = out.size // ((C + 1) * DOUBLES)
    for j in range(0, n, 4):
        for later in range(j + AHEAD, min(j + AHEAD + 4, n)):
            for d in range(0, D, DOUBLES):
                prefetch(Q, samples[later] * D + d)
            for group in range(n_groups):
                prefetch(R, (samples[later] * n_groups + group) * DOUBLES)
        a, b, c, d = samples[j], samples[j + 1], samples[j + 2], samples[j + 3]
        one, two, three, four = a * D, b * D, c * D, d * D
        for k in range(0, C, DOUBLES):
            add_outer(every, k, D, k, C, Q, one, two, three, four, Q, one + k, two + k, three + k, four + k)
        for group in range(n_groups):
            to = group * (C + 1) * DOUBLES
            add_outer(
                out, to, DOUBLES, 0, C, Q, one, two, three, four,
                R, (a * n_groups + group) * DOUBLES, (b * n_groups + group) * DOUBLES,
                (c * n_groups + group) * DOUBLES, (d * n_groups + group) * DOUBLES,
            )  # fmt: skip
            for sample in (a, b, c, d):
                square = (sample * n_groups + group) * DOUBLES
                subtract_product(out, to + C * DOUBLES, R, square, R, square)


@jit
def _clear(lacking: Float64Array, size: int, touched: BoolArray) -> None:
    """Set each touched pattern's part of lacking (P * size,) to zeros, and say that none is touched."""
    for p in range(touched.size):
        if touched[p]:
            lacking[p * size : (p + 1) * size] = 0.0
            touched[p] = False


@jit
def sum_missing(samples: Int64Array, lacks: Lacking, Q: Float64Array, R: Float64Array, C: int, out: LeftOut) -> None:
    """Sum what samples leave out of A, b and RSS of `genassoc.kernels.likelihoods.linear_rows.finish`.

    Parameters
    ----------
    samples : int64 array (n,)
        Whose call is missing.
    lacks : Lacking
    Q, R : float64 arrays (N * D,), (N * T8,)
        Covariates, C columns padded to D, a multiple of 8; residuals, padded to T8 likewise.
    out : LeftOut
        Filled.
    """
    # By name once: a tuple that is taken apart in a loop is counted as held there.
    every, lacking, touched, residuals, lost = out.every, out.lacking, out.touched, out.residuals, out.lost
    rows, order, counts, pointers = out.rows, out.order, out.counts, lacks.pointers
    D, size = every.size // C, every.size
    every[:] = 0.0
    residuals[:] = 0.0
    lost[:] = 0
    _clear(lacking, size, touched)
    done = 0
    if lacks.patterns.size == 0:
        # Nobody lacks a trait: each row is used once, and no list of patterns is looked at.
        done = samples.size - samples.size % 4
        _add_fours(samples, done, Q, D, R, C, every, residuals)
    for first in range(done, samples.size, BATCH):
        stop = min(samples.size, first + BATCH)
        _gather(samples, first, stop, pointers, Q, D, rows)
        for j in range(stop - first + 3):
            order[j] = min(j, stop - first)
        _add_products(rows, order, 0, stop - first, C, D, every, 0)
        _sort_by_pattern(samples, first, stop, pointers, lacks.patterns, order, counts)
        for p in range(counts.size):
            if counts[p] > 0:
                touched[p] = True
                lost[p] += counts[p]
                _add_products(rows, order, p * (BATCH + 3), counts[p], C, D, lacking, p * size)
        _add_residuals(samples, first, stop, rows, R, C, D, residuals)


@jit
def count_missing(samples: Int64Array, lacks: Lacking, out: LeftOut) -> None:
    """The ``lost`` of `sum_missing`, and nothing else."""
    out.lost[:] = 0
    for sample in samples if lacks.patterns.size > 0 else samples[:0]:
        for m in range(lacks.pointers[sample], lacks.pointers[sample + 1]):
            out.lost[lacks.patterns[m]] += 1


@jit
def sum_missing_covariates(samples: Int64Array, lacks: Lacking, Q: Float64Array, D: int, out: LeftOut) -> None:
    """As `sum_missing`, of q (D,) alone, at the beginning of ``every`` and of each pattern's part of ``lacking``."""
    out.every[:] = 0.0
    out.lost[:] = 0
    size = out.every.size
    _clear(out.lacking, size, out.touched)
    for sample in samples:
        for d in range(0, D, DOUBLES):
            add_scaled(out.every, d, Q, sample * D + d, 1.0)
        for m in range(lacks.pointers[sample], lacks.pointers[sample + 1]):
            pattern = lacks.patterns[m]
            out.touched[pattern] = True
            out.lost[pattern] += 1
            for d in range(0, D, DOUBLES):
                add_scaled(out.lacking, pattern * size + d, Q, sample * D + d, 1.0)
