"""The p of rare dosages with many events: a saddlepoint of the martingale residuals.

The law of the partial likelihood, in which each event falls on one of its risk set, takes the risk sets as given. With
many events they are not: a carrier that has had the event is missing from all later ones, and few carriers make most of
the score. Its saddlepoint and the ratio of the penalised likelihood then find too much. Under the null the score is also
``U = sum g_i M_i``, M_i the martingale residual, event less events expected; who has which is independent of the genotype
given the covariates, so that M_i may be taken as drawn from the residuals of samples alike (Bi et al. 2020,
doi:10.1016/j.ajhg.2020.06.003). Their variance is the chance of the event, E M_i^2 = E c_i, which covariates, strata and the
offset tell: c_i is regressed on them. The genotype is residualised on strata and covariates in these weights.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.laws import empirical_cgf
from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.models.scan.residual_table import tabulated
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import orthonormal_basis

MOST_STEPS, STEP_TOLERANCE = 50, 1e-8  # of the regression of the events expected
MOST_RATIO = 1e4  # of the mean chance of the event to that of a sample


@dataclass(frozen=True)
class MartingaleResiduals:
    """The residuals of one endpoint as its rows need them.

    Attributes
    ----------
    r : float64 array (n,)
        Events less those expected; 0 of samples that are at risk of none.
    Q : float64 array (n, C)
        Strata and covariates, orthonormal in the weights W (n,), which are the variances of r; 0 of samples at risk of none.
    draws : Residuals
        The table is of r over its standard deviation and ``scale``.
    """

    r: Float64Array
    Q: Float64Array
    W: Float64Array
    draws: empirical_cgf.Residuals
    scale: float

    @classmethod
    def of(
        cls, sets: RiskSets, expected: Float64Array, X: Float64Array, offset: Float64Array
    ) -> "MartingaleResiduals | None":
        """Those of samples with so many events ``expected`` (n,); X (n, P) are covariates, without a constant. None where samples are too few."""
        at_risk = (sets.last > sets.first) & (expected > 0.0)
        stratum = np.concatenate([[0], np.cumsum(sets.ends)])[sets.first[at_risk]]
        indicators = (stratum[:, None] == np.unique(stratum)[1:]).astype(np.float64)
        n = int(at_risk.sum())
        known = np.column_stack([np.ones(n), indicators, X[at_risk]])
        basis = orthonormal_basis(known).Q
        if n <= basis.shape[1] + 1:
            return None
        c = expected[at_risk]
        w = _chances(c, orthonormal_basis(np.column_stack([known, offset[at_risk]])).Q)
        r = sets.event[at_risk] - c
        root = np.sqrt(w)
        own, table, cumulants, scale = tabulated(r / root, w, basis.shape[1])
        # Q R = sqrt(W) basis has Q'Q = 1: Q over sqrt(W) is orthonormal in W.
        orthonormal = np.linalg.qr(root[:, None] * basis)[0] / root[:, None]
        N = expected.size
        bins = np.zeros(N, np.int64)
        wide_r, W, Q = np.zeros(N), np.zeros(N), np.zeros((N, basis.shape[1]))
        bins[at_risk], wide_r[at_risk], W[at_risk], Q[at_risk] = own, r, w, orthonormal
        return cls(wide_r, Q, W, empirical_cgf.Residuals(np.ones(N), bins, table, cumulants), scale)

    def neg_log_p(self, G: Float64Array, impute: bool) -> Float64Array:
        """-ln p, two-sided, of rows of genotypes (R, n), NaN where not observed; NaN where it fails."""
        found = np.empty(G.shape[0])
        U = self._scores(G, impute) / self.scale
        empirical_cgf.empirical_rows(G, U, self.Q, self.W, self.draws, impute, found)
        return found

    def _scores(self, G: Float64Array, impute: bool) -> Float64Array:
        """The scores (R,), each of the samples observed unless missing calls take the mean."""
        U = np.empty(G.shape[0])
        for row, g in enumerate(G):
            seen = ~np.isnan(g)
            if seen.all():
                U[row] = g @ self.r
            elif impute:
                # The residuals sum to 0: so do those times the mean.
                U[row] = (g[seen] - g[seen].mean()) @ self.r[seen]
            else:
                Q, weighted = self.Q[seen], self.W[seen, None] * self.Q[seen]
                left = g[seen] - Q @ np.linalg.lstsq(weighted.T @ Q, weighted.T @ g[seen], rcond=None)[0]
                U[row] = left @ self.r[seen]
        return U


def _chances(expected: Float64Array, Q: Float64Array) -> Float64Array:
    """Chance of the event (n,) by a regression of the events expected on a basis Q (n, C), with a log link, as of gamma variables."""
    mean = float(expected.mean())
    eta = np.zeros(expected.size)
    for _ in range(MOST_STEPS):
        step = Q @ (Q.T @ (expected / (mean * np.exp(eta)) - 1.0))
        eta = eta + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < STEP_TOLERANCE:
            break
    # It is a chance; a line may pass 1 where most have the event.
    return np.minimum(mean * np.exp(np.clip(eta, -np.log(MOST_RATIO), np.log(MOST_RATIO))), 1.0)
