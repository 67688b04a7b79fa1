"""-log10 of p-values of t, z and chi-squared, in logarithms throughout: right where p itself underflows.

The t tail is one expansion for nearly every row of a genome-wide scan, with a bound on its error:

With ``x = df / (df + t^2)`` and ``a = df / 2`` the two-sided p is the incomplete beta function
``I_x(a, 1/2)``. Put ``s = exp(-v)``, ``xi = -ln x`` and ``T = a - 1/4`` in its integral (Didonato & Morris
1992, doi:10.1145/131766.131776, section 9)::

    p = c * integral from xi to inf of exp(-T v) v^(-1/2) f((v / 2)^2) dv,     f(u^2) = (u / sinh u)^(1/2)

and expand ``f(w) = sum p_n w^n``. Each term is an incomplete gamma function of ``z = T xi``, the first of
them ``erfc(sqrt z)``: the normal tail of Hill's (1970) deviate. ``f`` is a product of powers
``(1 + w / (k pi)^2)^(-1/2)``, which are completely monotone, so ``f`` is, and its Taylor series envelops it:
the error after any number of terms is below the first one left out. The loop stops there, or says that it
cannot and the continued fraction answers.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array

_LN10 = math.log(10.0)
_LN_ROOT_PI = 0.5 * math.log(math.pi)
_LN_ROOT_TWO_PI = 0.5 * math.log(2.0 * math.pi)

# Taylor coefficients in u^2 of (u / sinh u)^(1/2).
_ROOT_SINH = np.array(
    [
        1.0,
        -1 / 12,
        1 / 160,
        -61 / 120960,
        1261 / 29030400,
        -79 / 20275200,
        66643 / 185980354560,
        -16820653 / 502146957312000,
        3745813 / 1182545215488000,
        -1975649524361 / 6539640597978808320000,
        19259487248923 / 664025045333232844800000,
    ]
)
_EXPANSION_ERROR = 1e-14  # relative, of p: 4e-15 of -log10 p
_EXPANSION_DF = 30.0  # below it ten terms do not reach _EXPANSION_ERROR
_EXPANSION_XI = 0.5  # above it the continued fraction needs no more steps than the expansion
_NEAR_ONE = 0.03  # below this z, 1 - p is computed, to keep the relative error of -log10 p when p is close to 1


@jit
def scaled_erfc(z: float) -> float:
    """``exp(z) erfc(sqrt(z))`` for z >= 0, without overflow."""
    if z < 100.0:
        return math.exp(z) * math.erfc(math.sqrt(z))
    # Asymptotic series, enveloping: the term left out is below 1e-15 at z = 100.
    r = 0.5 / z
    term = 1.0
    total = 1.0
    for k in range(1, 11):
        term *= -(2 * k - 1) * r
        total += term
    return total / math.sqrt(math.pi * z)


@jit
def neg_log_p_half_square(z: float) -> float:
    """-ln p, two-sided, of the normal deviate ``sqrt(2 z)``, which is that of chi-squared ``2 z``, one df."""
    if z < 0.25:
        return -math.log1p(-math.erf(math.sqrt(z)))
    return z - math.log(scaled_erfc(z))


@jit
def beta_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of ``I_x(a, b)`` (DLMF 8.17.22), x < (a + 1) / (a + b + 2), by modified Lentz."""
    tiny = 1e-300
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    if abs(d) < tiny:
        d = tiny
    d = 1.0 / d
    h = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 + even * d
        c = 1.0 + even / c
        if abs(d) < tiny:
            d = tiny
        if abs(c) < tiny:
            c = tiny
        d = 1.0 / d
        h *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1.0 + odd * d
        c = 1.0 + odd / c
        if abs(d) < tiny:
            d = tiny
        if abs(c) < tiny:
            c = tiny
        d = 1.0 / d
        change = d * c
        h *= change
        if abs(change - 1.0) < 1e-15:
            break
    return h


@jit
def ln_beta_factor(a: float) -> float:
    """``-ln(a B(a, 1/2))``, without the cancellation of ``lgamma(a + 1/2) - lgamma(a + 1)`` for large a."""
    if a < 15.0:
        return math.lgamma(a + 0.5) - math.lgamma(a + 1.0) - _LN_ROOT_PI
    # The expansion at t = 0, where p = 1, gives the ratio of gamma functions.
    T = a - 0.25
    square = (0.5 / T) * (0.5 / T)
    power = 1.0
    norm = 1.0
    for n in range(1, _ROOT_SINH.size):
        power *= square * (2 * n - 1.5) * (2 * n - 0.5)
        term = _ROOT_SINH[n] * power
        norm += term
        if abs(term) < 1e-16:
            break
    return 0.5 * math.log(T) - math.log(norm) - math.log(a) - _LN_ROOT_PI


@jit
def t_expansion(z: float, T: float) -> float:
    """``exp(z) p`` of t by the expansion above, or -1 where it does not reach `_EXPANSION_ERROR`."""
    # p exp(z) = sum p_n h^(2 n) H_n / sum p_n h^(2 n) (1/2)_(2 n)
    #   with h = 1 / (2 T) and H_n = exp(z) Gamma(2 n + 1/2, z) / sqrt(pi); the denominator makes p(0) = 1
    h = 0.5 / T
    hz = h * z
    H = scaled_erfc(z)
    gap = math.sqrt(z / math.pi)  # z^(2 n + 1/2) / sqrt(pi)
    rising = 1.0
    total = H
    norm = 1.0
    s = 0.5
    for n in range(1, _ROOT_SINH.size):
        # Gamma(s + 2, z) = (s + 1) (s Gamma(s, z) + z^s e^-z) + z^(s + 1) e^-z, times h^2
        H = h * (s + 1.0) * (h * (s * H + gap)) + h * hz * gap
        gap *= hz * hz
        rising *= (h * s) * (h * (s + 1.0))
        s += 2.0
        term = _ROOT_SINH[n] * H
        norm_term = _ROOT_SINH[n] * rising
        total += term
        norm += norm_term
        if abs(term) < _EXPANSION_ERROR * total and abs(norm_term) < _EXPANSION_ERROR:
            return total / norm
    return -1.0


@jit
def neg_log_p_t(t: float, df: float) -> float:
    """-ln p, two-sided, of t with df degrees of freedom: one value. NaN where df is not positive."""
    if math.isnan(t) or math.isnan(df) or df <= 0.0:
        return math.nan
    if math.isinf(t):
        return math.inf
    if math.isinf(df):
        return neg_log_p_half_square(0.5 * t * t)
    ratio = abs(t) / math.sqrt(df)
    # xi = ln(1 + t^2 / df)
    if ratio < 1e8:
        xi = math.log1p(ratio * ratio)
    else:
        xi = 2.0 * math.log(ratio)
    a = 0.5 * df
    T = a - 0.25
    z = T * xi
    if df >= _EXPANSION_DF and xi < _EXPANSION_XI and z > _NEAR_ONE:
        p_scaled = t_expansion(z, T)
        if p_scaled > 0.0:
            return z - math.log(p_scaled)
    x = math.exp(-xi)
    y = -math.expm1(-xi)
    if y == 0.0:
        return 0.0
    # I_x(a, 1/2) = x^a y^(1/2) / (a B(a, 1/2)) * fraction
    ln_factor = -a * xi + 0.5 * math.log(y) + ln_beta_factor(a)
    if x < (a + 1.0) / (a + 2.5):
        return -(ln_factor + math.log(beta_fraction(a, 0.5, x)))
    return -math.log1p(-2.0 * a * math.exp(ln_factor) * beta_fraction(0.5, a, y))


@jit
def ln_gamma_factor(a: float, y: float) -> float:
    """``ln(y^a exp(-y) / Gamma(a + 1))``, without cancellation for large a."""
    if a < 20.0:
        return a * math.log(y) - y - math.lgamma(a + 1.0)
    mu = (y - a) / a
    square = 1.0 / (a * a)
    stirling = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / a
    return -a * (mu - math.log1p(mu)) - 0.5 * math.log(a) - _LN_ROOT_TWO_PI - stirling


@jit
def neg_log_p_chi2(x: float, df: float) -> float:
    """-ln p of chi-squared x with df degrees of freedom: one value. NaN where df is not positive."""
    if math.isnan(x) or math.isnan(df) or df <= 0.0 or math.isinf(df):
        return math.nan
    if x <= 0.0:
        return 0.0
    if math.isinf(x):
        return math.inf
    y = 0.5 * x
    if df == 1.0:
        return neg_log_p_half_square(y)
    if df == 2.0:
        return y
    a = 0.5 * df
    if y == 0.0:
        return 0.0
    ln_factor = ln_gamma_factor(a, y)
    if y < a + 1.0:
        # P(a, y) = factor * sum y^n / ((a + 1) ... (a + n))
        term = 1.0
        total = 1.0
        for n in range(1, 1_000_000):
            term *= y / (a + n)
            total += term
            if term < 1e-16 * total:
                break
        return -math.log1p(-math.exp(ln_factor) * total)
    # Q(a, y) = factor * a * 1 / (y + 1 - a - 1 (1 - a) / (y + 3 - a - ...)), modified Lentz (DLMF 8.9.2)
    tiny = 1e-300
    b = y + 1.0 - a
    c = 1.0 / tiny
    d = 1.0 / b
    h = d
    for n in range(1, 1_000_000):
        numerator = -n * (n - a)
        b += 2.0
        d = numerator * d + b
        if abs(d) < tiny:
            d = tiny
        c = b + numerator / c
        if abs(c) < tiny:
            c = tiny
        d = 1.0 / d
        change = d * c
        h *= change
        if abs(change - 1.0) < 1e-15:
            break
    return -(ln_factor + math.log(a) + math.log(h))


@jit
def neg_log_10_p_t(t: Float64Array, df: Float64Array, neg_log_10_p: Float64Array) -> None:
    """-log10 p, two-sided, of t (n,) with df (n,) or (1,) degrees of freedom, into ``neg_log_10_p`` (n,)."""
    step = 0 if df.size == 1 else 1
    for i in range(t.size):
        neg_log_10_p[i] = neg_log_p_t(float(t[i]), float(df[i * step])) / _LN10


@jit
def neg_log_10_p_z(z: Float64Array, neg_log_10_p: Float64Array) -> None:
    """-log10 p, two-sided, of normal deviates z (n,), into ``neg_log_10_p`` (n,)."""
    for i in range(z.size):
        value = float(z[i])
        if math.isnan(value) or math.isinf(value):
            neg_log_10_p[i] = abs(value)
        else:
            neg_log_10_p[i] = neg_log_p_half_square(0.5 * value * value) / _LN10


@jit
def neg_log_10_p_chi2(x: Float64Array, df: Float64Array, neg_log_10_p: Float64Array) -> None:
    """-log10 p of chi-squared x (n,) with df (n,) or (1,) degrees of freedom, into ``neg_log_10_p`` (n,)."""
    step = 0 if df.size == 1 else 1
    for i in range(x.size):
        neg_log_10_p[i] = neg_log_p_chi2(float(x[i]), float(df[i * step])) / _LN10
