"""Tails in many digits by mpmath: slow, obvious, right."""

import mpmath as mp

mp.mp.dps = 30


def neg_log_10_p_t(t, df):
    """-log10 of twice the integral of the density from |t| on, by quadrature of its ratio to that at |t|."""
    t, df = abs(mp.mpf(float(t))), mp.mpf(float(df))
    ln_norm = mp.loggamma((df + 1) / 2) - mp.loggamma(df / 2) - mp.log(df * mp.pi) / 2
    ln_density = ln_norm - (df + 1) / 2 * mp.log1p(t * t / df)
    # u = t + s: the ratio of densities falls by e over about this length, and later as a power
    length = 1 / (1 + t * (df + 1) / (df + t * t))

    def ratio(s):
        u = t + s
        return mp.exp(-(df + 1) / 2 * (mp.log1p(u * u / df) - mp.log1p(t * t / df)))

    points = [0] + [length * k for k in (1, 3, 9, 27, 81, 243)]
    near = mp.quad(ratio, points)
    far = mp.quad(lambda q: ratio(mp.exp(q)) * mp.exp(q), [mp.log(points[-1]) + k for k in (0, 4, 16, 64)] + [mp.inf])
    return -(ln_density + mp.log(2 * (near + far))) / mp.log(10)


def neg_log_10_p_z(z):
    """-log10 of erfc(|z| / sqrt 2)."""
    return -mp.log10(mp.erfc(abs(mp.mpf(z)) / mp.sqrt(2)))


def neg_log_10_p_chi2(x, df):
    """-log10 of Q(df / 2, x / 2)."""
    return -mp.log10(mp.gammainc(mp.mpf(df) / 2, mp.mpf(x) / 2, mp.inf, regularized=True))
