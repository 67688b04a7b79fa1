"""Set tests where samples carry several of the variants: the p of drawn outcomes, which takes carriers as they are.

The exact laws take the columns of a set as independent. Where some, but not all, of their carriers are the same, neither these nor adjusted variances hold
their level. Small p are then checked by outcomes of all carriers that are drawn from their law, `DRAWS` of them, the same
for every set, run and worker: p is (1 + draws as extreme) / (1 + draws). SKAT-O's statistic is its least rank over rho among the draws. What
no draw reaches keeps the larger p of law and adjusted variances.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from genassoc.models.sets.calibrated import RHO, Columns, OutcomeLaw, equal_quantile
from genassoc.shapes import Array, Float64Array, Int64Array

DRAWS, AT_A_TIME = 100_000, 4_000
MOST_CARRIERS = 2_000  # a second of draws
SEED = 16
TIES = 1e-9

Draw = Callable[[np.random.Generator, int, Int64Array], Array]


@dataclass(frozen=True)
class Drawn:
    """-log10 p of SKAT and SKAT-O; NaN where no draw is as extreme, or where there were none."""

    skat: float
    skat_o: float


def outcomes_of(law: OutcomeLaw) -> Draw | None:
    """Draws (B, n) of the outcomes of samples (n,) less their means; None for laws that are not drawn."""
    if law.kind == "bernoulli":
        return lambda rng, n, who: (rng.random((n, who.size)) < law.mean[who]) - law.mean[who]
    if law.kind in ("hazard", "poisson"):
        return lambda rng, n, who: rng.poisson(law.mean[who], (n, who.size)) - law.mean[who]
    return None


def drawn_tests(
    U: Float64Array, V: Float64Array, weights: Float64Array, columns: Columns, draw: Draw, variance: Float64Array
) -> Drawn:
    """The p of a set by draws.

    Parameters
    ----------
    U, V : float64 (m,), (m, m)
        Scores and covariance, in units of what is drawn.
    weights : float64 (m,)
        Of columns.
    columns : Columns
        Their carriers.
    draw : function
        Of a generator, a number of draws and samples (n,): (draws, n).
    variance : float64 (N,)
        Of what is drawn, of each sample, in the model's view.
    """
    who, at = np.unique(columns.samples, return_inverse=True)
    if who.size > MOST_CARRIERS:
        return Drawn(math.nan, math.nan)
    m = weights.size
    D = np.zeros((who.size, m))
    D[at, np.repeat(np.arange(m), np.diff(columns.offsets))] = columns.doses
    D *= weights
    rng = np.random.default_rng(SEED)
    parts = [draw(rng, AT_A_TIME, who) @ D for _ in range(DRAWS // AT_A_TIME)]
    wu = np.concatenate(parts)
    Q, S2 = np.square(wu).sum(axis=1), np.square(wu.sum(axis=1))
    # Covariates act through V: an observed value moves inwards by what they leave out.
    ours, theirs = (weights[:, None] * V) * weights, (D.T * variance[who]) @ D
    q, s2 = float(np.square(weights * U).sum()), float((weights @ U) ** 2)
    of, to = (np.asarray(np.linalg.eigvalsh(one), dtype=np.float64) for one in (ours, theirs))
    q = min(q, equal_quantile(q, of, to)) * (1.0 - TIES)
    s2 = s2 * min(1.0, float(theirs.sum()) / max(float(ours.sum()), 1e-300)) * (1.0 - TIES)
    least, observed = np.full(Q.size, np.inf), math.inf
    for rho in RHO:
        value = (1.0 - rho) * Q + rho * S2
        order = np.sort(value)
        of_draws = Q.size - np.searchsorted(order, value * (1.0 - TIES))
        least = np.minimum(least, of_draws)
        observed = min(observed, Q.size - np.searchsorted(order, (1.0 - rho) * q + rho * s2))
    return Drawn(_neg_log_10(int(np.count_nonzero(q <= Q))), _neg_log_10(int(np.count_nonzero(least <= observed))))


def _neg_log_10(hits: int) -> float:
    return -math.log10((1.0 + hits) / (1.0 + DRAWS)) if hits else math.nan
