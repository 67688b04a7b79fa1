"""Bases of functions of one variable, for covariates whose effect is a curve: orthogonal polynomials and splines.

All are without the constant, which a model has already. ``x`` are the values that fix knots and ends, and that the basis is of.
"""

import numpy as np

from genassoc.shapes import Float64Array


class BasisError(ValueError):
    """The values do not carry the basis asked for (says why)."""


def orthogonal_polynomials(x: Float64Array, degree: int) -> Float64Array:
    """Polynomials of degree 1 to ``degree`` (N, degree), orthonormal on x (N,), as R's ``poly``, up to sign.

    By Stieltjes' recurrence (Kennedy and Gentle 1980, 343): each is x times the last less its parts along the last two.

    Raises
    ------
    BasisError
        x has no more different values than the degree.
    """
    n_different = np.unique(x).size
    if degree >= n_different:
        raise BasisError(f"degree {degree} needs more than {degree} different values, and there are {n_different}")
    z = x - x.mean()
    z = z / np.abs(z).max()
    before, last = np.zeros(x.size), np.full(x.size, 1.0 / np.sqrt(x.size))
    found: list[Float64Array] = [last]
    for _ in range(degree):
        new = z * last
        new = new - last * (last @ new) - before * (before @ new)
        for column in found:  # rounding of the recurrence
            new = new - column * (column @ new)
        before, last = last, new / np.sqrt(new @ new)
        found.append(last)
    return np.column_stack(found[1:])


def quantile_knots(x: Float64Array, n_knots: int) -> tuple[float, ...]:
    """Inner knots at equally spaced quantiles of x (N,)."""
    return tuple(np.quantile(x, np.linspace(0.0, 1.0, n_knots + 2)[1:-1]).tolist())


def check_knots(x: Float64Array, knots: tuple[float, ...]) -> None:
    """Refuse knots that coincide or do not lie inside the range of x.

    Raises
    ------
    BasisError
    """
    low, high = float(x.min()), float(x.max())
    if low == high:
        raise BasisError(f"all values are {low:g}")
    outside = [knot for knot in knots if not low <= knot <= high]
    if outside:
        raise BasisError(f"the knot {outside[0]:g} is not inside the range of the values, {low:g} to {high:g}")
    if len({low, *knots, high}) < len(knots) + 2:
        shown = ", ".join(f"{knot:g}" for knot in knots[:10]) + (", ..." if len(knots) > 10 else "")
        raise BasisError(
            f"knots coincide with one another or with an end ({shown}; ends {low:g}, {high:g}): there are {np.unique(x).size} "
            "different values; ask for fewer df, or for categories, C()"
        )


def _with_ends(x: Float64Array, knots: tuple[float, ...], degree: int) -> Float64Array:
    ends = degree + 1
    return np.concatenate([np.full(ends, x.min()), np.asarray(knots, dtype=np.float64), np.full(ends, x.max())])


def b_splines(x: Float64Array, knots: tuple[float, ...], degree: int) -> Float64Array:
    """B-splines of x (N,) as R's ``bs`` has them: (N, inner knots + degree); the first, which sums to one with them, is left out."""
    from scipy.interpolate import BSpline

    check_knots(x, knots)
    full = BSpline.design_matrix(x, _with_ends(x, knots, degree), degree).toarray()
    return np.ascontiguousarray(full[:, 1:])


def natural_splines(x: Float64Array, knots: tuple[float, ...]) -> Float64Array:
    """Cubic splines of x (N,) that are straight beyond the ends, as R's ``ns``: (N, inner knots + 1).

    B-splines but the first, in the null space of their second derivatives at the two ends.
    """
    from scipy.interpolate import BSpline

    check_knots(x, knots)
    t = _with_ends(x, knots, 3)
    n = t.size - 4
    ends = np.array([x.min(), x.max()])
    bent = np.array([BSpline(t, np.eye(n)[j], 3).derivative(2)(ends) for j in range(1, n)])  # (n - 1, 2)
    Q = np.linalg.qr(bent, mode="complete")[0]
    full = BSpline.design_matrix(x, t, 3).toarray()[:, 1:]
    return np.asarray(full @ Q[:, 2:])
