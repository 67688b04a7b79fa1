"""Plain numpy in place of what is still to come."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.kernels.genotypes.counts import mask_words
from genassoc.models.scan.product import impute_means, minor_counts
from genassoc.stats.tails import neg_log_10_p_chi2


@dataclass(frozen=True)
class SetNull:
    traits: tuple[int, ...]
    columns: Any
    mask: Any
    residual: Any
    weight: Any
    cross: Any
    scale: Any
    events: Any
    failure: str | None

    @property
    def n(self):
        return self.columns.size


def set_nulls(state):
    made = []
    for null in state.nulls:
        if hasattr(null, "rss"):
            own = null.with_own_basis()
            n, C = null.n, len(null.gram)
            weight = np.zeros(null.Q.shape[0])
            weight[null.columns] = 1.0
            R = (null.R * null.scale).T
            scale = (n - C) / (null.rss * null.scale**2)
            made.append(SetNull(tuple(null.traits), null.columns, null.mask, R, weight, own.Q, scale, np.zeros(0, np.int64), None))
        else:
            width = null.weight.size
            s = null.samples
            made.append(SetNull((len(made),), s.columns, mask_words(s.columns, width), null.residual[None], null.weight, null.WQ, np.ones(1) / null.dispersion, s.events, s.failure))
    return tuple(made)


@dataclass(frozen=True)
class SetScores:
    U: Any
    V: Any
    mac: Any
    n_carriers: int
    event_carriers: int
    missing: int


def set_scores(null, block, flipped, rows, raw):
    G = minor_counts(block, flipped, rows, null.columns)
    H = minor_counts(block, flipped, raw, null.columns)
    impute_means(G)
    w = null.weight[null.columns]
    U = null.residual[:, null.columns] @ G.T
    M = G @ null.cross[null.columns]
    carries = (H >= 0.5).any(axis=0)
    event = np.isin(null.columns, null.events)
    return SetScores(null.scale[:, None] * U, (G * w) @ G.T - M @ M.T, np.nansum(H, axis=1), int(carries.sum()), int((carries & event).sum()), 0)


@dataclass(frozen=True)
class Tested:
    statistic: Any
    neg_log_10_p: Any
    method: tuple[str, ...]


def skat(U, V, scale, weights):
    Q = ((weights * U) ** 2).sum(axis=1)
    lam = np.linalg.eigvalsh(weights[:, None] * V * weights)
    lam = lam[lam > 1e-10 * lam.max(initial=0)]
    p = []
    for t in range(len(Q)):
        c = [(scale[t] * lam) ** k for k in (1, 2)]
        mean, var = c[0].sum(), 2 * c[1].sum()
        df = 2 * mean**2 / var
        p.append(float(neg_log_10_p_chi2(np.array([Q[t] / mean * df]), df)[0]))
    return Tested(Q, np.array(p), ("liu",) * len(Q))


skat_o = skat


def acat(nlp, weights=None):
    w = np.ones(nlp.shape[-1]) if weights is None else weights
    ok = np.isfinite(nlp)
    w = np.where(ok, w, 0.0)
    p = np.clip(10.0 ** -np.where(ok, nlp, 0.5), 1e-300, 1 - 1 / max(2, nlp.shape[-1]))
    t = (w * np.tan((0.5 - p) * np.pi)).sum(axis=-1) / np.maximum(w.sum(axis=-1), 1e-300)
    found = -np.log10(0.5 - np.arctan(t) / np.pi)
    return np.where(ok.any(axis=-1), np.maximum(found, 0), np.nan)
