"""The law of a trait's number of cases, prepared once for the exact test of all its rare variants.

See `genassoc.kernels.laws.exact_rare` for the test itself and why the grid is what it is.
"""

import math

import numpy as np

from genassoc.kernels.laws.exact_rare import CaseCountTable, centred_characteristic_function
from genassoc.shapes import Float64Array

_SPACING = 2.0  # standard deviations between neighbouring tilts' means: at most 2 from a count, e^2 of its digits
_NEGLIGIBLE = 1e-22  # of a characteristic function of all cases; without the carriers it is still below 1e-17


def case_count_table(mu: Float64Array, n_cases: int, max_carriers: int = 20) -> CaseCountTable:
    """Prepare the law of the number of cases for `exact_rare_neg_log_p`.

    Parameters
    ----------
    mu : float64 array (N,)
        Null probabilities of the trait's samples, strictly between 0 and 1.
    n_cases : int
        Cases among them, between 1 and N - 1. ``sum(mu)`` need not equal it.
    max_carriers : int
        Most carriers a variant may have. More of them often work too; where not, the test says so.

    Returns
    -------
    CaseCountTable
        A few kilobytes, whatever N. Time grows as N: milliseconds at 10,000 samples.

    Raises
    ------
    ValueError
        If a probability is 0 or 1, or all samples are cases or none is.
    """
    mu = np.ascontiguousarray(mu, dtype=np.float64)
    N = mu.size
    if not ((mu > 0.0) & (mu < 1.0)).all():
        raise ValueError("null probabilities must lie strictly between 0 and 1; refit the null with Firth's penalty")
    if not 0 < n_cases < N:
        raise ValueError(f"the exact test needs cases and controls: {n_cases} of {N} samples are cases")
    tilts = _tilts(mu, n_cases, max_carriers)
    rows = [_tilted_row(mu, tilt) for tilt in tilts]
    F = max(real.size for _, _, _, real, _ in rows)
    table = CaseCountTable(
        n_samples=N,
        tilt=np.array(tilts),
        mean=np.array([row[0] for row in rows]),
        log_mgf=np.array([row[1] for row in rows]),
        step=np.array([row[2] for row in rows]),
        n_frequencies=np.array([row[3].size for row in rows], dtype=np.int64),
        real=np.zeros((len(rows), F)),
        imag=np.zeros((len(rows), F)),
    )
    for j, (_, _, _, real, imag) in enumerate(rows):
        table.real[j, : real.size] = real
        table.imag[j, : imag.size] = imag
    return table


def _tilted_row(mu: Float64Array, tilt: float) -> tuple[float, float, float, Float64Array, Float64Array]:
    """Mean, ln MGF, step and characteristic function under one tilt."""
    pi = mu if tilt == 0.0 else np.asarray(_expit(_logit(mu) + tilt), dtype=np.float64)
    sd = math.sqrt(float(np.sum(pi * (1.0 - pi))))
    # Bernstein: P(|count - mean| >= x) <= 2 exp(-x^2 / 2 / (sd^2 + x / 3)); at x = L - 4 sd it is below 1e-20
    L = 2 * int(17 + 7.0 * sd) + 1
    L = min(L, mu.size + 1 + mu.size % 2)  # counts 0..N: as many frequencies as that leave no aliasing
    # |characteristic function| <= exp(-var (1 - cos angle)); when it is this small no later angle matters
    step = 2.0 * math.pi / L
    F = (L - 1) // 2
    cosine = 1.0 + math.log(_NEGLIGIBLE) / max(sd * sd, 1e-300)
    if sd > 5.0 and cosine > -1.0:
        F = min(F, math.ceil(math.acos(cosine) / step))
    angles = step * np.arange(1, F + 1, dtype=np.float64)
    real, imag = np.empty(F), np.empty(F)
    centred_characteristic_function(pi, angles, real, imag)
    return float(pi.sum()), float(np.log1p(mu * math.expm1(tilt)).sum()), step, real, imag


def _tilts(mu: Float64Array, n_cases: int, max_carriers: int) -> list[float]:
    """Tilts whose means cover ``n_cases`` and ``max_carriers`` on either side of it."""
    at_cases, sd_at_cases = _solve_tilt(mu, float(n_cases))
    tilts = [at_cases]
    for side in (-1.0, 1.0):
        # a count of 0 needs a mean near 0, which no finite tilt makes 0
        end = min(max(n_cases + side * max_carriers, 0.5), mu.size - 0.5)
        mean, tilt, sd = float(n_cases), at_cases, sd_at_cases
        while side * (end - mean) > _SPACING * sd:
            mean += side * _SPACING * sd
            tilt, sd = _solve_tilt(mu, mean, tilt)
            tilts.append(tilt)
    return sorted(set(tilts))


def _solve_tilt(mu: Float64Array, target: float, start: float = 0.0) -> tuple[float, float]:
    """A tilt whose mean is within a tenth of a standard deviation of the target, and that deviation."""
    pi = mu
    sd = math.sqrt(float(np.sum(pi * (1.0 - pi))))
    if abs(float(pi.sum()) - target) <= 0.1 * sd:
        return 0.0, sd
    log_odds = _logit(mu)
    low, high = -float(log_odds.max()) - 800.0, -float(log_odds.min()) + 800.0
    tilt = start
    for _ in range(200):
        pi = _expit(log_odds + tilt)
        variance = float(np.sum(pi * (1.0 - pi)))
        excess = float(pi.sum()) - target
        if excess * excess <= 0.01 * variance:
            break
        low, high = (low, tilt) if excess > 0 else (tilt, high)
        # ln(mean / (N - mean)) is nearly linear in the tilt
        proposed = tilt + float(_logit(target / mu.size) - _logit(float(pi.mean())))
        tilt = proposed if low < proposed < high else 0.5 * (low + high)
    return tilt, math.sqrt(variance)


def _logit(p: Float64Array | float) -> Float64Array:
    p = np.asarray(p)
    return np.asarray(np.log(p / (1.0 - p)))


def _expit(x: Float64Array) -> Float64Array:
    with np.errstate(over="ignore"):
        return np.asarray(1.0 / (1.0 + np.exp(-x)))
