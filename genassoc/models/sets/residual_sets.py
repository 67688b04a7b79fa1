"""Set tests by the law of the residuals themselves, where carriers are few for their tails.

A score is a sum of its carriers' residuals: of a trait, of counts, of grades, or martingale residuals of times to an event. If the genotypes have nothing to
do with the outcome each carrier has drawn its residual from those of all samples whose outcome has about the same law given the covariates
(`SetNull.strata`): what permutation within strata does, but for draws that repeat. Nothing else is assumed: neither how heavy their tails are, nor
that the model's law of counts is right. The laws of the columns' scores are convolved on lattices (`genassoc.stats.lattice_law`); those
of SKAT's Q, of the burden and of SKAT-O follow as of counts of events (`genassoc.kernels.laws.set_law`).

Carriers of different columns are taken as different samples, covariates act through the covariance of the scores, as in
`genassoc.models.sets.calibrated`. An observed statistic moves inwards only: what ties with it stays as extreme.
Where the law is asked depends on the residuals of all samples and the numbers of carriers, never on which residuals carriers have.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from genassoc.kernels.laws.set_law import set_tails
from genassoc.models.scan.set_null import SetNull
from genassoc.models.sets.calibrated import (
    JOINT_BELOW,
    RHO,
    SIZES,
    Columns,
    RareTests,
    equal_quantile,
    share_of_several,
)
from genassoc.models.sets.shared_carriers import Draw
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.lattice_law import LEAST, LatticeLaw

STRATA, OF_STRATUM = 5, 400  # strata at most, samples of each at least
CELLS = 16  # a standard deviation of the residuals
LONGEST = 4000  # cells of one residual's law at most, of one that is a thousand standard deviations out
# Standard deviations between the points of S and Q together, a column, and at least: so all columns' points are some 400.
JOINT_STEP, LEAST_STEP = 0.04, 0.08
MOST_CARRIERS = 100_000  # of a column; with more, whatever the residuals, a sum is normal
# By how much the logarithm of a tail may exceed a normal's, so many standard deviations out (p of 1e-3 and of 1e-5).
CLOSE = ((3.3, 0.05), (4.4, 0.15))


@dataclass(frozen=True)
class ResidualLaws:
    """The residuals of one trait.

    Attributes
    ----------
    unit : float
        Of lattices.
    stratum : int64 array (N,)
        Of each sample.
    one : tuple of LatticeLaw
        One residual of each stratum.
    enough : float
        Carriers of a column from which its score is as good as normal.
    """

    unit: float
    stratum: Int64Array
    one: tuple[LatticeLaw, ...]
    enough: float
    _sums: dict[tuple[int, int], LatticeLaw] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, null: SetNull, t: int) -> "ResidualLaws | None":
        """Of the t-th trait of a null; None where residuals do not vary."""
        r = null.residual[t, null.columns]
        n = r.size
        r = (r - r.mean()) * math.sqrt(n / max(n - null.n_cross, 1))
        deviation = math.sqrt(float(r @ r) / n)
        if not deviation > 0.0 or not math.isfinite(deviation):
            return None
        unit = max(deviation / CELLS, float(np.ptp(r)) / LONGEST)
        stratum = np.zeros(null.width, np.int64)
        if null.strata is not None:
            stratum[null.columns] = _strata(null.strata[t, null.columns])
        of_sample, laws = stratum[null.columns], []
        for k in range(int(of_sample.max()) + 1):
            own = r[of_sample == k]
            laws.append(LatticeLaw.of(own - own.mean(), unit))
        return cls(unit, stratum, tuple(laws), _enough(LatticeLaw.of(r, unit), unit))

    def are_needed(self, carriers: Int64Array) -> bool:
        """Whether some column of so many carriers (m,) has a score that is not as good as normal."""
        return bool((carriers < self.enough).any())

    def sum_of(self, stratum: int, count: int) -> LatticeLaw:
        """The law of the sum of ``count`` residuals of a stratum."""
        if count == 1:
            return self.one[stratum]
        known = self._sums.get((stratum, count))
        if known is None:
            half = self.sum_of(stratum, count // 2)
            known = half.plus(half)
            if count % 2:
                known = known.plus(self.one[stratum])
            self._sums[stratum, count] = known
        return known

    def draws(self, null: SetNull, t: int) -> Draw:
        """Draws of the residuals of some samples of a null's t-th trait, each from its own stratum."""
        r, of_sample = null.residual[t, null.columns], self.stratum[null.columns]
        size = math.sqrt(r.size / max(r.size - null.n_cross, 1))
        pools = [size * (r[of_sample == k] - r[of_sample == k].mean()) for k in range(len(self.one))]

        def draw(rng: np.random.Generator, n: int, who: Int64Array) -> Float64Array:
            drawn = np.empty((n, who.size))
            for k, pool in enumerate(pools):
                ours = np.flatnonzero(self.stratum[who] == k)
                drawn[:, ours] = pool[rng.integers(0, pool.size, (n, ours.size))]
            return drawn

        return draw

    def of_column(self, samples: Int64Array, doses: Float64Array) -> LatticeLaw | None:
        """The law of a column's score; None where nobody has a dose."""
        eighths = np.rint(8.0 * np.asarray(doses, np.float64)).astype(np.int64)
        kinds, counts = np.unique(np.stack([self.stratum[samples], eighths]), axis=1, return_counts=True)
        law = None
        for (stratum, dose), count in zip(kinds.T.tolist(), counts.tolist()):
            if dose > 0:
                one = self.sum_of(stratum, count).times(dose)
                law = one if law is None else law.plus(one)
        return law


def _strata(values: Float64Array) -> Int64Array:
    """Strata (n,) of about as many samples each, alike in ``values``."""
    n_strata = max(1, min(STRATA, values.size // OF_STRATUM))
    edges = np.unique(np.quantile(values, np.arange(1, n_strata) / n_strata))
    _, stratum = np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)
    return np.asarray(stratum, np.int64)


def _enough(law: LatticeLaw, unit: float) -> float:
    """Draws whose sum has tails as a normal's, to within `CLOSE`; infinite where there are none below `MOST_CARRIERS`."""
    x = law.values(unit)
    variance = float(law.chance @ (x * x))
    n = np.exp(np.linspace(0.0, math.log(MOST_CARRIERS), 60))
    near = np.ones(n.size, np.bool_)
    for z, most in CLOSE:
        s = z / np.sqrt(n * variance)
        sides = []
        for side in (-1.0, 1.0):
            exponent = (side * s)[:, None] * x
            top = exponent.max(axis=1)
            sides.append(n * (top + np.log(np.exp(exponent - top[:, None]) @ law.chance)) - 0.5 * z * z)
        near &= np.logaddexp(*sides) - math.log(2.0) <= most
    far = np.flatnonzero(~near)
    if not far.size:
        return 0.0
    return float(n[far[-1] + 1]) if far[-1] + 1 < n.size else math.inf


def residual_tests(
    U: Float64Array,
    V: Float64Array,
    weights: Float64Array,
    columns: Columns,
    information: Float64Array,
    laws: ResidualLaws,
    *,
    skat_o: bool = True,
) -> RareTests:
    """-log10 p of a set by the law of the residuals.

    Parameters
    ----------
    U, V : float64 (m,), (m, m)
        Scores and their covariance, for a scale of 1.
    weights : float64 (m,)
        Of columns.
    columns : Columns
        Their carriers.
    information : float64 (N,)
        Of samples: V of columns without carriers in common and without covariates is its sum times squared doses.
    laws : ResidualLaws
    skat_o : bool
        Whether SKAT-O is wanted, which costs more.
    """
    nothing = RareTests(math.nan, math.nan, math.nan, "")
    unit_of: dict[bytes, int] = {}
    w1: list[float] = []
    w2: list[float] = []
    variance: list[float] = []
    of_unit: list[LatticeLaw] = []
    of_column = np.zeros(weights.size, np.int64)
    for j, w in enumerate(weights.tolist()):
        own = slice(int(columns.offsets[j]), int(columns.offsets[j + 1]))
        samples, doses = columns.samples[own], np.asarray(columns.doses[own], np.float64)
        key = samples.tobytes() + doses.tobytes()
        if key not in unit_of:
            law = laws.of_column(samples, doses)
            if law is None:
                return nothing
            unit_of[key] = len(of_unit)
            of_unit.append(law)
            variance.append(float((doses * doses) @ information[samples]))
            w1.append(0.0)
            w2.append(0.0)
        of_column[j] = unit_of[key]
        w1[of_column[j]] += w
        w2[of_column[j]] += w * w
    by_unit, squares, independent = np.array(w1), np.array(w2), np.array(variance)
    wanted = (weights[:, None] * V) * weights
    spread, alone = float(wanted.sum()), float((by_unit**2 * independent).sum())
    if not spread > 0.0 or not alone > 0.0:
        return nothing
    S, Q = abs(float(weights @ U)), float(((weights * U) ** 2).sum())
    # Outcomes that tie with the observed one are split among cells around it: half a cell inwards they are counted.
    half = 0.5 * laws.unit * 2.0 ** np.array([law.power for law in of_unit], np.float64)
    S = max(S - float(np.sqrt(((by_unit * half) ** 2).sum())), 0.0)
    Q = float(((weights * np.maximum(np.abs(U) - half[of_column], 0.0)) ** 2).sum())
    eigenvalues = np.asarray(np.linalg.eigvalsh(wanted), dtype=np.float64)
    s = min(S, S * math.sqrt(alone / spread))
    q = min(Q, equal_quantile(Q, eigenvalues, squares * independent))
    scales = list(zip(w1, w2))
    p_q, p_s, _ = set_tails(*_points(of_unit, scales, laws.unit, 0.0), s, q, RHO[:0], SIZES, JOINT_BELOW, 1.0)
    p_o = p_q if len(of_unit) == 1 else math.nan
    if skat_o and len(of_unit) > 1:
        if min(p_q, p_s) > JOINT_BELOW:
            p_o = 1.0 - (1.0 - min(p_q, p_s)) ** 2
        else:
            points = _points(of_unit, scales, laws.unit, max(len(of_unit) * JOINT_STEP, LEAST_STEP))
            p_o = max(set_tails(*points, s, q, RHO, SIZES, 1.0, 1.0)[2], min(p_q, p_s))
    skat, optimal, burden = (
        -math.log10(min(max(p, LEAST), 1.0)) if not math.isnan(p) else math.nan for p in (p_q, p_o, p_s)
    )
    return RareTests(skat, optimal, burden, "residual_set", shared=share_of_several(columns, of_column))


def _points(
    laws: list[LatticeLaw], scales: list[tuple[float, float]], unit: float, least: float
) -> tuple[Int64Array, tuple[Float64Array, Float64Array, Float64Array]]:
    """The points of all units, as `set_tails` takes them; ``scales``: sums of their weights and of the squares of these."""
    parts = [law.points(unit, least) for law in laws]
    first = np.concatenate([[0], np.cumsum([part[0].size for part in parts])]).astype(np.int64)
    u = np.concatenate([a * part[0] for (a, _), part in zip(scales, parts)])
    u2 = np.concatenate([b * part[1] for (_, b), part in zip(scales, parts)])
    return first, (u, u2, np.concatenate([part[2] for part in parts]))
