"""Rows whose carriers are few for the tails of the residuals: p by the residuals' own law, in place of Student's.

t is right whatever the sample where residuals are normal. Where a few residuals outweigh the rest it is not, until carriers are many:
then p is that of `genassoc.kernels.laws.residual_law`, for which the residuals need only be exchangeable, over their spread. A row is tried
where its t is below `TRIED_BELOW` and the residuals' cumulants could make a difference; its p is replaced where the law's is the larger
by more than `MARGIN`, so that what is reported is never below nine tenths of the law's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.data.phenotypes.design import Design
from genassoc.kernels.laws import residual_law as kernel
from genassoc.models.base import CODE, METHOD
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.sums import GenotypeSums, carriers_in_effect
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import Z_975, z_from_neg_log_10_p

TRIED_BELOW = -np.log10(0.05)  # in -log10 p of the row's own test
MARGIN = 0.1  # of ln p
SCREEN = 0.1  # of the exponent of p, which overstates ln p: z^4 where that has z^4 - 6 z^2 + 3
MOST_ATOMS, ENDS = 512, 64  # of a trait's residuals; those at either end are kept one by one
SPREAD_BELOW = 0.01  # p, over all covariates, of a spread that differs with one
CLIPPED_AT = 5.0  # median absolute deviations: what a residual may pull covariates' coefficients by
_ROUNDS = 3
DOMINATED = 0.2  # of all squares, by one residual
_GRID = 0.01 * np.sinh(0.06 * np.arange(-160, 161))  # to 74 either way: 40 standard errors of one carrier, and more
# Of rows that have no law of their own (two columns of genotypes): too much at about p = 1e-3, where an exponent that is 0.4 larger
# makes about 0.2 of ln p (Edgeworth: z^4 - 6 z^2 + 3 in place of z^4).
CODED_AT, CODED_ABOVE = 3.3, 0.4
_LN10 = float(np.log(10.0))
# What the law's p has to be above to replace a test's, beside that test's own: "normal", p of a normal of the model's variance;
# "shape", that of a normal at the test's statistic (HC3, whose variance is its own); "own", the test's (HC0, whose t has no degrees).
Rule = Literal["normal", "shape", "own"]


@dataclass(frozen=True)
class ResidualLaw:
    """The residuals of one trait as its rows need them.

    Attributes
    ----------
    spread : float64 array (n,) or (0,)
        How much each sample's residual varies, where that differs with a covariate; else empty.
    varying : tuple of int
        Columns of the design it differs with.
    centre : float
        Mean of the residuals over their spread.
    atoms, weights : float64 arrays (m,)
        Their law, in ascending order.
    variance, lost : float
        See `genassoc.kernels.laws.residual_law.law_rows`.
    excess : float64 array (321,)
        Of their cumulant generating function over that of a normal, at the points of a grid.
    """

    spread: Float64Array
    varying: tuple[int, ...]
    centre: float
    atoms: Float64Array
    weights: Float64Array
    variance: float
    lost: float
    excess: Float64Array

    @classmethod
    def of(
        cls, r: Float64Array, X: Float64Array, Q: Float64Array, gram: Float64Array, *, weighted: bool = False
    ) -> "ResidualLaw | None":
        """That of residuals r (n,) of mean square 1; X (n, P) is the design, Q (n, C) a basis of it, ``gram`` Q'Q.

        ``weighted``: residuals are times sampling weights, whose spread grows with a covariate to a bound and not as an exponential:
        the law has their variance, on the average. None where nothing is left.
        """
        n, C = Q.shape
        if n <= C + 1 or not r.any():
            return None
        drawn = _without_pull(r, Q, gram)
        spread, varying = _spread(drawn, X)
        e = drawn / spread if varying else drawn
        centre = float(e.mean())
        size = np.sqrt(n / (n - C))
        if weighted and varying:
            size /= np.sqrt(float((spread**2).mean() * ((e - centre) ** 2).mean()))
        sorted_e = np.sort(e - centre) * size
        atoms, weights = _atoms(sorted_e)
        lost = max(float(sorted_e @ sorted_e) / n - float(weights @ atoms**2), 0.0)
        s = _GRID[:, None] * atoms
        top = s.max(axis=1)
        cgf = top + np.log(np.exp(s - top[:, None]) @ weights)
        excess = cgf - 0.5 * _GRID**2 * float(weights @ atoms**2)
        return cls(
            spread if varying else np.empty(0), varying, centre, atoms, weights, n / (n - C), lost, excess
        )  # fmt: skip

    @property
    def is_dominated(self) -> bool:
        """Whether one residual has more than a fifth of all squares, as of a Cauchy law or a wrong unit."""
        squares = self.atoms**2
        largest = max(float(squares[0]), float(squares[-1])) * float(self.weights.min())
        return largest > DOMINATED * float(self.weights @ squares)

    @property
    def is_heavy(self) -> bool:
        """Whether 20 carriers of a rare allele have tails that are not a normal's."""
        return bool(self.is_too_heavy(np.array([20.0]))[0])

    def is_too_heavy(self, carriers: Array) -> BoolArray:
        """Whether the mean of so many residuals (V,) has too heavy tails for Student's t; of counts alone, never of who has what."""
        m = np.maximum(np.asarray(carriers, np.float64), 1.0)
        at = CODED_AT / np.sqrt(m)
        sides = np.stack([m * np.interp(side * at, _GRID, self.excess) for side in (-1.0, 1.0)])
        return np.asarray(_both_sides(sides) > CODED_ABOVE)

    def excess_of(self, genotypes: GenotypeSums, at: Int64Array, z: Float64Array) -> Float64Array:
        """About how much more than a normal's the logarithms of both tails of some rows are, z standard errors out: (2, R).

        All carriers of a genotype are taken alike, which without covariates they are.
        """
        n, total = genotypes.n[at].astype(np.float64), genotypes.sum_g[at]
        two = np.maximum(0.5 * (genotypes.sum_g2[at] - total), 0.0)
        one = np.maximum(total - 2.0 * two, 0.0)
        mean = total / n
        unit = z / np.sqrt(genotypes.sum_g2[at] - total * mean)
        found = np.zeros((2, at.size))
        for copies, count in ((0.0, n - one - two), (1.0, one), (2.0, two)):
            s = (copies - mean) * unit
            for side in range(2):
                found[side] += count * np.interp(s if side else -s, _GRID, self.excess)
        return found

    def excess_of_carriers(self, carriers: Float64Array, z: Float64Array) -> Float64Array:
        """The same (2, R) of rows of dosages with so many carriers in effect (R,), who have the variance and the fourth moment of g."""
        s = z / np.sqrt(np.maximum(carriers, 1.0))
        return np.stack([carriers * np.interp(side * s, _GRID, self.excess) for side in (-1.0, 1.0)])


def _both_sides(excess: Float64Array) -> Float64Array:
    """What two tails (2, ...) add to a two-sided p: of a mere skewness one gains what the other loses."""
    return np.asarray(np.logaddexp(excess[0], excess[1]) - np.log(2.0))


def _atoms(e: Float64Array) -> tuple[Float64Array, Float64Array]:
    """At most `MOST_ATOMS` values in place of e (n,), ascending: both ends as they are, between them means of neighbours."""
    n = e.size
    if n <= MOST_ATOMS:
        return e, np.full(n, 1.0 / n)
    edges = np.linspace(ENDS, n - ENDS, MOST_ATOMS - 2 * ENDS + 1).astype(np.int64)
    counts = np.diff(edges)
    middle = np.add.reduceat(e[: n - ENDS], edges[:-1]) / counts
    weights = np.concatenate([np.ones(ENDS), counts, np.ones(ENDS)]) / n
    return np.concatenate([e[:ENDS], middle, e[n - ENDS :]]), weights


def _without_pull(r: Float64Array, Q: Float64Array, gram: Float64Array) -> Float64Array:
    """Residuals (n,) of coefficients that no large one has pulled: Huber's, by a few rounds of clipped least squares.

    A residual of a hundred standard deviations shifts all samples of its level, which then seem to have drawn what they have not.
    The score is the same of these residuals: what differs is a combination of the covariates.
    """
    left = r
    for _ in range(_ROUNDS):
        middle = np.median(left)
        most = CLIPPED_AT * np.median(np.abs(left - middle))
        clipped = np.clip(left - middle, -most, most)
        left = left - middle - Q @ np.linalg.solve(gram, Q.T @ clipped)
    return np.asarray(left)


def _spread(r: Float64Array, X: Float64Array) -> tuple[Float64Array, tuple[int, ...]]:
    """How much residuals vary at each sample, by a regression of ln |r| on the covariates that say something of it.

    A logarithm has all its moments however heavy the tails (Harvey 1976, doi:10.2307/1913974). Covariates enter one by one while
    the next has a p below `SPREAD_BELOW` over their number.
    """
    n = r.size
    size = np.abs(r)
    y = np.log(np.maximum(size, 1e-3 * np.median(size) + np.finfo(float).tiny))
    left = X - X.mean(axis=0)
    lengths = (left**2).sum(axis=0)
    usable = lengths > 1e-12 * (X**2).sum(axis=0)
    rest = y - y.mean()
    chosen: list[int] = []
    beyond = float(z_from_neg_log_10_p(-np.log10(SPREAD_BELOW / max(int(usable.sum()), 1))))
    while len(chosen) < min(int(usable.sum()), n // 20):
        now = (left**2).sum(axis=0)
        free = usable & (now > 1e-8 * lengths)
        free[chosen] = False
        if not free.any():
            break
        gain = np.where(free, (left.T @ rest) ** 2 / np.where(free, now, 1.0), 0.0)
        best = int(np.argmax(gain))
        residual = float(rest @ rest) - gain[best]
        if gain[best] * (n - len(chosen) - 2) <= beyond**2 * residual:
            break
        chosen.append(best)
        direction = left[:, best] / np.sqrt(now[best])
        rest = rest - direction * (direction @ rest)
        left = left - direction[:, None] * (direction @ left)
    if not chosen:
        return np.ones(n), ()
    fitted = np.exp(y - y.mean() - rest)
    # Logarithms choose; the sizes themselves say more of how large (their means vary half as much).
    D = np.column_stack([np.ones(n), X[:, chosen] - X[:, chosen].mean(axis=0)])
    D = D / np.sqrt((D**2).mean(axis=0))
    for _ in range(_ROUNDS):
        ratio = size / fitted
        ratio = np.minimum(ratio / ratio.mean(), CLIPPED_AT)
        fitted = fitted * np.exp(D @ np.linalg.solve(D.T @ D, D.T @ (ratio / ratio.mean() - 1.0)))
    return fitted * np.sqrt(float(((r / fitted) ** 2).mean())), tuple(chosen)


@dataclass(frozen=True)
class Sample:
    """The samples of one trait, its residuals and their law.

    Attributes
    ----------
    columns : int64 array (n,)
        Of a block.
    Q : float64 array (N, C)
        A basis of the covariates, of more samples too; ``gram`` (C, C) is Q'Q over these.
    r : float64 array (N,)
        Residuals of mean square 1.
    which : int64 array (n,) or slice
        Rows of Q and r that are these samples'.
    law : ResidualLaw
    impute : bool
        Missing calls take the mean.
    """

    columns: Int64Array
    Q: Float64Array
    gram: Float64Array
    r: Float64Array
    which: Int64Array | slice
    law: ResidualLaw
    impute: bool

    def numbers(
        self, block: Block, flipped: BoolArray, at: Int64Array, statistic: Float64Array
    ) -> Iterator[tuple[Int64Array, Float64Array]]:
        """`genassoc.kernels.laws.residual_law.law_rows` of some variants, a few at a time; ``statistic`` (V,)."""
        if not at.size:  # most often: nothing of the samples is copied
            return
        law, n = self.law, self.columns.size
        spread = law.spread if law.spread.size else np.ones(n)
        e = self.r[self.which] / spread - law.centre
        residuals = kernel.Residuals(np.ascontiguousarray(self.Q[self.which]), self.gram, e, spread)
        of_one = kernel.Law(law.atoms, law.weights, law.variance, law.lost, law.is_dominated)
        for first, last in chunks(at.size, n):
            some = at[first:last]
            found = np.empty((some.size, kernel.N_NUMBERS))
            calls = minor_counts(block, flipped, some, self.columns)
            kernel.law_rows(calls, residuals, of_one, self.impute, np.ascontiguousarray(statistic[some]), found)
            yield some, found


def correct_rows(
    rows: dict[str, Array], sample: Sample, genotypes: GenotypeSums, block: Block, flipped: BoolArray, *, rule: Rule
) -> None:
    """Give the rows (V,) of one trait the p of the residuals' law where t's does not hold; in place."""
    logp, statistic = rows["neg_log_10_p_value"], rows["statistic"]
    with np.errstate(invalid="ignore"):
        tried = np.flatnonzero(logp > TRIED_BELOW)
        if rule != "own" and not sample.law.varying and tried.size:
            z = np.abs(statistic[tried])
            excess = sample.law.excess_of(genotypes, tried, z)
            if isinstance(block, DosageBlock) and not block.of_predictor:
                carriers = carriers_in_effect(block.take(tried), sample.columns)
                excess = np.maximum(excess, sample.law.excess_of_carriers(carriers, z))
            tried = tried[(excess.max(axis=0) if rule == "shape" else _both_sides(excess)) > SCREEN]
    for some, numbers in sample.numbers(block, flipped, tried, np.nan_to_num(statistic)):
        law = numbers[:, kernel.LAW]
        heavier = {"normal": numbers[:, kernel.NORMAL] - law, "shape": numbers[:, kernel.EXCESS]}.get(rule)
        if heavier is None:
            heavier = logp[some] * _LN10 - law
        with np.errstate(invalid="ignore"):
            chosen = (heavier > MARGIN) & (law < logp[some] * _LN10)
        put_law(rows, some[chosen], law[chosen] / _LN10)
        withhold(rows, some[np.isnan(law)])


def put_law(rows: dict[str, Array], at: Int64Array, logp: Float64Array) -> None:
    """The p of the law; the standard error is that of the p, the model's stays beside it."""
    beta, model = rows["beta"][at], rows["standard_error"][at]
    size = z_from_neg_log_10_p(logp)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.where(size == 0.0, model, np.abs(beta) / size)
    rows["neg_log_10_p_value"][at], rows["statistic"][at] = logp, np.copysign(size, beta)
    rows["standard_error"][at], rows["method"][at] = error, METHOD["spa"]
    rows["ci_lower"][at], rows["ci_upper"][at] = beta - Z_975 * error, beta + Z_975 * error
    if "degrees_of_freedom" in rows:
        rows["degrees_of_freedom"][at] = np.nan


def withhold_heavy(rows: dict[str, Array], law: ResidualLaw | None, carriers: Array) -> None:
    """No estimate for rows (V, ...) whose fewest ``carriers`` (V,) are too few for the tails; rows without a code only; in place."""
    if law is not None:
        withhold(rows, law.is_too_heavy(carriers)[:, None] & (rows["code"] == CODE[None]))


def withhold(rows: dict[str, Array], at: Array) -> None:
    """No estimate: the law's integral did not end, or there is none."""
    estimates = ("beta", "standard_error", "standard_error_model", "ci_lower", "ci_upper", "statistic")
    for name in (*estimates, "neg_log_10_p_value", "degrees_of_freedom"):
        if name in rows:
            rows[name][at] = np.nan
    rows["method"][at], rows["code"][at] = METHOD[None], CODE["heavy_tails"]


# Of a law whose spread varies with covariates, and of one with heavy tails: what is said, of linear and of mixed models.
_NOTES = {
    False: (
        "the variance of the residuals of {name} depends on {which}: rows where t would reject too often take p from the "
        "empirical distribution of the residuals (method spa); variance='robust' gives standard errors that allow for it",
        "residuals of {name} have heavier tails than a normal distribution: rows with few carriers take p from the empirical "
        "distribution of the residuals (method spa), which costs power; rank_normalise=True has more power",
    ),
    True: (
        "the variance of what is left of {name} depends on {which}: standard errors of the mixed model do not allow for it; "
        "rank_normalise=True, or the logarithm of the trait, may help",
        "what covariates and relationships leave of {name} has heavier tails than a normal distribution: rows with few carriers take "
        "p from its shape (method spa), which costs power; rank_normalise=True has more power",
    ),
}


def law_notes(name: str, law: ResidualLaw | None, covariates: tuple[str, ...], *, mixed: bool = False) -> list[str]:
    """Notes on the residuals of a trait; of a ``mixed`` model what covariates and relationships leave."""
    if law is None:
        return []
    varying, heavy = _NOTES[mixed]
    notes = []
    if law.varying:
        notes.append(varying.format(name=name, which=", ".join(covariates[c] for c in law.varying)))
    if law.is_heavy:
        notes.append(heavy.format(name=name))
    return notes


def state_notes(design: Design, nulls: Any) -> tuple[str, ...]:
    """`law_notes` of every trait of null models."""
    notes = []
    for null in nulls:
        for trait, law in zip(null.traits, null.laws):
            notes += law_notes(design.traits[trait], law, tuple(design.covariates))
    return tuple(notes)
