"""Cohorts for meta-analysis, and their score statistics by dense formulas: what files of score statistics are compared with."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.score_statistics import score_rows


@dataclass(frozen=True)
class DenseCohort:
    """Genotypes (N, m) of ALT, covariates with an intercept (N, C), an outcome (N,)."""

    G: np.ndarray
    X: np.ndarray
    y: np.ndarray

    @property
    def halves(self) -> "tuple[DenseCohort, DenseCohort]":
        n = len(self.y) // 3
        return self[:n], self[n:]

    def __getitem__(self, at: slice) -> "DenseCohort":
        return DenseCohort(self.G[at], self.X[at], self.y[at])


def simulated(kind: str, n: int = 900, m: int = 12, seed: int = 3, effect: float = 0.5) -> DenseCohort:
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, rng.uniform(0.004, 0.03, m), (n, m)).astype(float)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    eta = 0.3 * X[:, 1] + effect * G[:, :4].sum(axis=1)
    y = eta + rng.normal(size=n) if kind == "linear" else (rng.random(n) < 1 / (1 + np.exp(0.5 - eta))).astype(float)
    return DenseCohort(G, X, y)


def statistics(cohort: DenseCohort, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """U (m,) and V (m, m) of the scores at the null fit: information of G given X."""
    X, y, G = cohort.X, cohort.y, cohort.G
    b = np.zeros(X.shape[1])
    if kind == "linear":
        b = np.linalg.lstsq(X, y, rcond=None)[0]
        r = y - X @ b
        scale, w = (len(y) - X.shape[1]) / (r @ r), np.ones(len(y))
    else:
        for _ in range(50):
            p = 1 / (1 + np.exp(-X @ b))
            b += np.linalg.solve((X.T * (p * (1 - p))) @ X, X.T @ (y - p))
        p = 1 / (1 + np.exp(-X @ b))
        r, w, scale = y - p, p * (1 - p), 1.0
    A = (X.T * w) @ G
    return scale * G.T @ r, scale * ((G.T * w) @ G - A.T @ np.linalg.solve((X.T * w) @ X, A))


def variants(m: int, first: int = 1000, chromosome: str = "1") -> pl.DataFrame:
    at = first + 10 * np.arange(m)
    return pl.DataFrame(
        {
            "chromosome": [chromosome] * m, "base_pair_location": at, "other_allele": ["A"] * m, "effect_allele": ["G"] * m,
            "variant_id": [f"{chromosome}_{p}_A_G" for p in at], "annotation": ["LoF" if k % 3 == 0 else "missense" for k in range(m)],
        }
    )  # fmt: skip


def rows_of(
    cohort: DenseCohort, kind: str, *, set_id: str = "GENE", trait: str = "y", table: pl.DataFrame | None = None, swap: tuple[int, ...] = ()
) -> pl.DataFrame:  # fmt: skip
    """Rows of a file; of the variants ``swap`` REF and ALT change places."""
    G, m = cohort.G.copy(), cohort.G.shape[1]
    table = variants(m) if table is None else table
    for k in swap:
        G[:, k] = 2 - G[:, k]
    if swap:
        swapped = pl.Series([k in swap for k in range(m)])
        ref, alt = table["other_allele"], table["effect_allele"]
        table = table.with_columns(other_allele=pl.select(pl.when(swapped).then(alt).otherwise(ref)).to_series(),
                                   effect_allele=pl.select(pl.when(swapped).then(ref).otherwise(alt)).to_series())  # fmt: skip
    U, V = statistics(DenseCohort(G, cohort.X, cohort.y), kind)
    minor = np.where(G.mean(axis=0) > 1, 2 - G, G)
    cases = None if kind == "linear" else cohort.y == 1
    return score_rows(
        set_id, table, trait, U, V, n=len(cohort.y), allele_number=np.full(m, 2 * len(cohort.y)), allele_count=G.sum(axis=0),
        n_carriers=(minor > 0).sum(axis=0), n_events=None if cases is None else int(cases.sum()),
        event_carriers=None if cases is None else (minor[cases] > 0).sum(axis=0),
    )  # fmt: skip
