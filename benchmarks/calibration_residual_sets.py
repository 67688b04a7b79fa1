"""Calibration of set tests by the law of the residuals: heavy tails, counts, grades, times to frequent events; and with carriers in common.

    python benchmarks/calibration_residual_sets.py KIND [--batches 12] [--shared 0.6] [--samples 4000]

KIND is one of `KINDS`. Sixty genes are drawn once: columns of 10 to 110 carriers, 10 to 500 in all, in half of the genes three times as frequent in one level of a covariate that
acts on the outcome. A batch is 250 outcomes, whose null has the true coefficients and one Newton step, as a score test has. Printed is observed
over expected, with the upper limit of Clopper and Pearson's 95 % interval: of the mixture of chi-squared variables alone, and of the p that is reported.
"""

import argparse
import math

import numpy as np
from scipy import sparse
from scipy.stats import beta, chi2

from genassoc.models.scan.residual_law import ResidualLaw
from genassoc.models.scan.set_null import SetNull
from genassoc.models.sets.calibrated import Columns
from genassoc.models.sets.residual_sets import ResidualLaws, residual_tests
from genassoc.models.sets.tests import skat_o
from genassoc.stats.quadratic_forms import neg_log_10_p_quadratic

KINDS = (
    "normal", "t3", "lognormal", "spread", "counts 0.05", "counts 1", "overdispersed 0.3", "overdispersed 2",
    "negative binomial 0.3", "levels even", "levels rare", "events 0.3", "events 1",
)  # fmt: skip
CARRIERS = {10: [10], 30: [10, 20], 100: [10, 12, 15, 25, 38], 500: [10, 15, 20, 30, 40, 50, 60, 75, 90, 110]}
OF_EACH, BATCH = 15, 250
ALPHAS = np.array([1e-3, 1e-4, 1e-5])
NEAR = 2e-3  # p of the mixture above which no level that is counted is near


class Genes:
    """Carriers of all genes, and the covariates X (n, 3)."""

    def __init__(self, n: int, shared: float, rng: np.random.Generator) -> None:
        self.X = np.column_stack([np.ones(n), rng.standard_normal(n), rng.random(n) < 0.3]).astype(float)
        self.eta = 0.5 * self.X[:, 1] + 0.7 * (self.X[:, 2] - 0.3)
        self.columns, self.weights, self.at, self.total = [], [], [], []
        rows: list[np.ndarray] = []
        for total, sizes in CARRIERS.items():
            for g in range(OF_EACH):
                chance = np.where(self.X[:, 2] == 1, 3.0, 1.0) if g % 2 else np.ones(n)
                first = len(rows)
                for size in sizes:
                    who = rng.choice(n, size, replace=False, p=chance / chance.sum())
                    if shared and len(rows) > first:
                        k = min(int(shared * size), rows[-1].size)
                        who = np.unique(np.r_[rng.choice(rows[-1], k, replace=False), who[: size - k]])
                    rows.append(np.sort(who))
                own = rows[first:]
                offsets = np.cumsum([0, *(who.size for who in own)])
                self.columns.append(Columns(offsets, np.concatenate(own).astype(np.int64), np.ones(offsets[-1])))
                self.weights.append(25.0 * (1.0 - np.array([who.size for who in own]) / (2 * n)) ** 24)
                self.at.append(slice(first, len(rows)))
                self.total.append(total)
        ends = np.cumsum([0, *(who.size for who in rows)])
        self.G = sparse.csr_matrix((np.ones(ends[-1]), np.concatenate(rows), ends), shape=(len(rows), n))


def draw(kind: str, eta: np.ndarray, X: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (n, BATCH) at the true coefficients, and what samples weigh (n,)."""
    n, B, E = eta.size, BATCH, eta[:, None]
    name, _, of = kind.rpartition(" ")
    if not name:
        drawn = {
            "normal": rng.standard_normal, "t3": lambda size: rng.standard_t(3, size),
            "lognormal": lambda size: np.exp(rng.standard_normal(size)),
            "spread": lambda size: rng.standard_t(5, size) * np.exp(0.5 * X[:, [1]] + 0.5 * X[:, [2]]),
        }[kind]((n, B))  # fmt: skip
        return drawn, np.ones(n)
    if name == "levels":
        cuts = np.quantile(eta + rng.logistic(size=n), [0.25, 0.5, 0.75] if of == "even" else [0.9, 0.97, 0.99])
        level = (E + rng.logistic(size=(n, B)))[:, :, None] > cuts
        below = np.column_stack([np.zeros(n), 1.0 / (1.0 + np.exp(E - cuts)), np.ones(n)])
        density = below * (1.0 - below)
        score, chance = -np.diff(density, axis=1) / np.diff(below, axis=1), np.diff(below, axis=1)
        return np.take_along_axis(score, level.sum(axis=2), axis=1), (chance * score**2).sum(axis=1)
    if name == "events":
        failed, share = rng.exponential(size=(n, B)) * np.exp(-E), float(of)
        end = rng.uniform(0.5, 1.5, (n, B)) * np.quantile(failed, share) if share < 1 else np.full((n, B), np.inf)
        event, time = failed <= end, np.minimum(failed, end)
        order, risk = np.argsort(time, axis=0), np.exp(eta)
        left = np.cumsum(risk[order][::-1], axis=0)[::-1]
        hazard = np.empty((n, B))
        np.put_along_axis(hazard, order, np.cumsum(np.take_along_axis(event, order, 0) / left, axis=0), 0)
        hazard *= risk[:, None]
        return event - hazard, hazard.mean(axis=1)
    mean = float(of) * np.exp(E)
    counts = rng.poisson(mean if name == "counts" else mean * rng.gamma(1.0, 1.0, (n, B)))
    slope = 1.0 + mean if name == "negative binomial" else np.ones_like(mean)
    return (counts - mean) / slope, (mean / slope)[:, 0]


def batch(kind: str, genes: Genes, rng: np.random.Generator, hits: dict[tuple[str, int], np.ndarray]) -> None:
    """Add what one batch finds to ``hits``, by test and number of carriers."""
    X = genes.X
    r, weight = draw(kind, genes.eta, X, rng)
    WX = weight[:, None] * X
    r = r - WX @ np.linalg.solve(X.T @ WX, X.T @ r)
    linear = " " not in kind
    scale = np.ones(BATCH) if kind.split()[0] in ("counts", "levels", "events") else weight.sum() / (r * r).sum(axis=0)
    U, GX = genes.G @ r, (genes.G @ WX) @ np.linalg.cholesky(np.linalg.inv(X.T @ WX))
    laws: dict[int, ResidualLaws] = {}
    for at, w, columns, total in zip(genes.at, genes.weights, genes.columns, genes.total, strict=True):
        g = genes.G[at]
        V = (g.multiply(weight) @ g.T).toarray() - GX[at] @ GX[at].T
        wanted, wu = w[:, None] * V * w, w[:, None] * U[at] * np.sqrt(scale)
        Q, S2 = (wu**2).sum(axis=0), wu.sum(axis=0) ** 2
        p_q, p_s = 10.0 ** -neg_log_10_p_quadratic(Q, np.linalg.eigvalsh(wanted))[0], chi2.sf(S2 / wanted.sum(), 1)
        for i in np.flatnonzero(np.minimum(p_q, p_s) <= NEAR):
            if i not in laws:
                strata = None if linear else genes.eta[None]
                if linear:
                    unit = np.ascontiguousarray(r[:, i] / math.sqrt((r[:, i] ** 2).mean()))
                    spread = ResidualLaw.of(unit, X, np.linalg.qr(X)[0], np.eye(3)).spread
                    strata = spread[None] if spread.size else None
                null = SetNull.of((0,), np.arange(len(X)), X, r[:, [i]], weight, strata=strata)
                laws[i] = ResidualLaws.of(null, 0)
            p_o = p_q[i]
            if w.size > 1:
                p_o = 10.0 ** -skat_o(U[at, i][None] * scale[i], V, scale[[i]], w).neg_log_10_p[0]
            p = {"SKAT": p_q[i], "SKAT-O": p_o, "burden": p_s[i]}
            found = None
            if laws[i].are_needed(np.diff(columns.offsets)):
                found = residual_tests(U[at, i], V, w, columns, weight, laws[i])
            for (test, normal), name in zip(p.items(), ("skat", "skat_o", "burden"), strict=True):
                by_law = 0.0 if found is None else 10.0 ** -getattr(found, name)
                hits[f"{test}, mixture", total] = hits.get((f"{test}, mixture", total), 0) + (normal <= ALPHAS)
                hits[test, total] = hits.get((test, total), 0) + (max(normal, by_law) <= ALPHAS)


def main() -> None:
    """Print a line for each test and number of carriers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--shared", type=float, default=0.0)
    parser.add_argument("--samples", type=int, default=4000)
    args = parser.parse_args()
    rng = np.random.default_rng([16, 7])
    genes, hits = Genes(args.samples, args.shared, rng), {}
    for _ in range(args.batches):
        batch(args.kind, genes, rng, hits)
    n = OF_EACH * BATCH * args.batches
    for (test, total), found in sorted(hits.items()):
        upper = beta.ppf(0.975, found + 1, n - found) / ALPHAS
        cells = "  ".join(f"{a:g}: {o / n / a:.2f} (< {u:.2f})" for a, o, u in zip(ALPHAS, found, upper, strict=True))
        print(f"{test:16s} {total:4d} carriers  {n:,} tests  {cells}")


if __name__ == "__main__":
    main()
