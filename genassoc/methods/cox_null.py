"""The null models of Cox regression: one an endpoint, laid out for the product, the screen and the refits."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.kernels import cox as kernel
from genassoc.kernels import logistic as newton
from genassoc.kernels.counts import mask_words
from genassoc.kernels.cox import RiskSets, RiskSums
from genassoc.kernels.cox_screen import times_means
from genassoc.methods.columns import SQUARE, ThinMatrix
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.linalg import orthonormal_basis

# Eigenfunctions of the risk sets that the screen takes away beside the strata: what is left of g'Mg is then small.
EIGENFUNCTIONS = 6
MOST_STRATA = 20  # with columns of their own in the product; of more strata every row is computed exactly
DENSE_BELOW = 40  # samples below which all eigenvalues are computed
# Lanczos gives eigenvalues from below, to this; the bound stays one.
EIGEN_TOLERANCE = 1e-3


@dataclass(frozen=True)
class NullCox:
    """One endpoint fitted on the covariates, on its own complete cases, sorted by stratum and time.

    Attributes
    ----------
    n, n_events : int
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask, event_mask : uint64 arrays (W,)
        Its samples, and those with the event, as packed words.
    Q : float64 array (n, C)
        Orthonormal covariates, centred in each stratum, a constant first (no part of the model).
    sets : RiskSets
    start : float64 array (C - 1,)
        Coefficients of the null.
    cross : float64 array (n, C - 1)
        ``J_Xg = cross' g``.
    L : float64 array (C - 1, C - 1)
        Factor of the covariates' information J_XX.
    clock : float64 array (K,)
        Rank of each event time among the events, centred: the time function of the test of proportional hazards.
    thin : float64 array (N, J + C)
        Columns of the product: eigenfunctions times the weights (J), ``cross L^-T`` (C - 1), martingale residuals.
    moves : float64 array (N, J + C - 1)
        What a sample adds to the null's scores in those directions; see `genassoc.kernels.cox_screen.screen`.
    weight : float64 array (N,)
        Events expected of each sample.
    share : float64 array (J,)
        The eigenvalues; ``rest`` bounds the others.
    at : int
        First of its columns in the thin matrix.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    """

    n: int
    n_events: int
    columns: Int64Array
    mask: UInt64Array
    event_mask: UInt64Array
    Q: Float64Array
    sets: RiskSets
    start: Float64Array
    cross: Float64Array
    L: Float64Array
    clock: Float64Array
    thin: Float64Array
    moves: Float64Array
    weight: Float64Array
    share: Float64Array
    rest: float
    at: int
    failure: str | None


@dataclass(frozen=True)
class CoxState:
    """What all blocks share; ``notes`` says, for people, codings, events, strata and what was dropped."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullCox, ...]
    matrix: ThinMatrix
    squares: ThinMatrix
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each endpoint."""
        return [null.n for null in self.nulls]


def prepare(design: Any, block_columns: Int64Array, block_width: int, efron: bool = True) -> CoxState:
    """Fit the null of every endpoint of a `SurvivalDesign`, each on its own complete cases."""
    nulls: list[NullCox] = []
    notes = [f"covariate dropped: {dropped}" for dropped in design.covariates.dropped_covariates]
    notes += design.notes
    at = 0
    for endpoint in design.endpoints:
        observed = design.complete & ~np.isnan(endpoint.time)
        null, kept = fit_null(design, endpoint, observed, block_columns, block_width, at, efron)
        nulls.append(null)
        at += null.thin.shape[1]
        notes += _notes(design, endpoint, null, kept, observed)
    matrix = ThinMatrix.of(np.hstack([null.thin for null in nulls]), packed_bytes(block_width))
    squares = ThinMatrix.of(np.column_stack([null.weight for null in nulls]), packed_bytes(block_width), SQUARE)
    return CoxState(
        tuple(endpoint.name for endpoint in design.endpoints),
        block_columns,
        mask_words(block_columns, block_width),
        tuple(nulls),
        matrix,
        squares,
        int((~design.complete).sum()),
        tuple(notes),
    )


def risk_sets(
    time: Float64Array, event: BoolArray, entry: Float64Array, stratum: Int64Array, efron: bool = True
) -> tuple[RiskSets, Float64Array]:
    """Number the event times of samples (n,) stratum by stratum, and find the run that each sample is at risk of.

    Returns
    -------
    RiskSets
    times : float64 array (K,)
        The event times.
    """
    n = time.size
    first, last = np.zeros(n, np.int64), np.zeros(n, np.int64)
    ends: list[BoolArray] = []
    times: list[Float64Array] = []
    before = 0
    for s in np.unique(stratum):
        own = stratum == s
        distinct = np.unique(time[own & event])
        # At risk at t: entry < t <= time.
        first[own] = before + np.searchsorted(distinct, entry[own], side="right")
        last[own] = before + np.searchsorted(distinct, time[own], side="right")
        before += distinct.size
        times.append(distinct)
        end = np.zeros(distinct.size, bool)
        end[-1:] = True
        ends.append(end)
    joined = np.concatenate(ends) if ends else np.zeros(0, bool)
    found = np.concatenate(times) if times else np.zeros(0)
    return RiskSets(np.ascontiguousarray(event), first, last, joined, bool(efron)), found


def fit_null(
    design: Any,
    endpoint: Any,
    observed: BoolArray,
    block_columns: Int64Array,
    block_width: int,
    at: int,
    efron: bool = True,
) -> tuple[NullCox, BoolArray]:
    """The null model of one endpoint, and which covariates are independent within strata among its samples."""
    who = np.flatnonzero(observed)
    who = who[np.lexsort((endpoint.time[who], design.stratum[who]))]
    time, event, stratum = endpoint.time[who], endpoint.event[who] == 1, design.stratum[who]
    sets, times = risk_sets(time, event, design.entry[who], stratum, efron)
    basis = orthonormal_basis(_within(design.covariates.X[who], stratum))
    X = np.ascontiguousarray(basis.Q)
    n, C = X.shape
    own_X = np.ascontiguousarray(X[:, 1:])
    n_events = int(event.sum())
    start, L = np.zeros(C - 1), np.zeros((C - 1, C - 1))
    sums = kernel.risk_sums(n, sets.ends.size, C - 1)
    failure = "too_few_events" if n_events < C or n <= C else None
    if failure is None:
        state, _, _ = kernel.fit(own_X, np.zeros(n), sets, False, True, C - 1, start, sums, L)
        failure = None if state == newton.CONVERGED else "null_not_converged"
    columns = block_columns[who]
    weight = np.zeros(block_width)
    if failure is None:
        share, rest, v = _eigenfunctions(sets, sums, stratum)
        thin, moves, cross = _columns(own_X, event, sets, sums, L, share, v)
        weight[columns] = sums.expected
    else:
        share, rest = np.ones(1), 1.0
        thin, moves, cross = np.zeros((n, C + 1)), np.zeros((n, C)), np.zeros((n, C - 1))
    wide, wide_moves = np.zeros((block_width, thin.shape[1])), np.zeros((block_width, moves.shape[1]))
    wide[columns], wide_moves[columns] = thin, moves
    null = NullCox(
        n, n_events, columns, mask_words(columns, block_width), mask_words(columns[event], block_width), X, sets, start,
        cross, L, _clock(times, time[event]), wide, wide_moves, weight, share, rest, at, failure,
    )  # fmt: skip
    return null, basis.kept


def _within(X: Float64Array, stratum: Int64Array) -> Float64Array:
    """Covariates, the constant but for, less their means in each stratum: the likelihood knows no more of them."""
    out = X.copy()
    largest = np.abs(X).max(axis=0, initial=0.0)
    strata = np.unique(stratum)
    for s in strata if strata.size > 1 else ():
        own = stratum == s
        out[own, 1:] -= X[own, 1:].mean(axis=0)
    # Constant within strata up to rounding is constant.
    lost = np.abs(out).max(axis=0, initial=0.0) <= 1e-12 * largest
    out[:, lost] = 0.0
    return out


def _clock(times: Float64Array, events: Float64Array) -> Float64Array:
    """Mean rank of every event time among all events, centred over them and scaled to the unit interval."""
    ordered = np.sort(events)
    low, high = np.searchsorted(ordered, times, side="left"), np.searchsorted(ordered, times, side="right")
    return (low + high) / (2.0 * max(events.size, 1)) - 0.5


def _eigenfunctions(sets: RiskSets, sums: RiskSums, stratum: Int64Array) -> tuple[Float64Array, float, Float64Array]:
    """Largest eigenvalues of the means' operator, a bound of the others, and functions v (n, J) orthonormal in the weights.

    Strata are eigenfunctions with eigenvalue 1; the others come from Lanczos' method, started from the weights.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh  # slow to import

    c = sums.expected
    n = c.size
    root = np.sqrt(c)
    inverse = np.where(c > 0, 1.0 / np.where(c > 0, root, 1.0), 0.0)
    strata = np.unique(stratum)
    plain = [root * (stratum == s) for s in strata] if strata.size <= MOST_STRATA else []
    known = np.column_stack([u / np.linalg.norm(u) for u in plain if u.any()] or [np.zeros(n)])

    def apply(u: Float64Array) -> Float64Array:
        out = np.empty(n)
        times_means(np.ascontiguousarray(inverse * u.ravel()), sets, sums, out)
        out *= inverse
        return out - known @ (known.T @ u.ravel())

    if n <= DENSE_BELOW:
        values, vectors = np.linalg.eigh(np.column_stack([apply(unit) for unit in np.eye(n)]))
    else:
        begin = root * (c - c.mean()) + 1e-3 * root * np.cos(np.arange(n))
        operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
        try:
            values, vectors = eigsh(operator, EIGENFUNCTIONS + 1, v0=begin, tol=EIGEN_TOLERANCE, maxiter=300)
        except ArpackNoConvergence:
            values, vectors = np.ones(1), np.zeros((n, 1))  # no bound: every row is computed exactly
    order = np.argsort(-values)
    take = order[: min(EIGENFUNCTIONS, order.size - 1)]
    rest = min(1.0, max(0.0, float(values[order[take.size]])) * (1.0 + 2.0 * EIGEN_TOLERANCE))
    share = np.concatenate([np.ones(known.shape[1]), np.clip(values[take], 0.0, 1.0)])
    return share, rest, inverse[:, None] * np.column_stack([known, vectors[:, take]])


def _columns(
    X: Float64Array,
    event: BoolArray,
    sets: RiskSets,
    sums: RiskSums,
    L: Float64Array,
    share: Float64Array,
    v: Float64Array,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The product's columns (n, J + C), the moves (n, J + C - 1), and ``cross`` (n, C - 1)."""
    c, residual = sums.expected, event - sums.expected
    n, P = X.shape
    cross, score = np.empty((n, P)), np.empty((n, P))
    for j in range(P):
        means = np.empty(n)
        times_means(np.ascontiguousarray(X[:, j]), sets, sums, means)
        cross[:, j] = c * X[:, j] - means
        # A sample's share of the covariates' score: its x less the risk set's mean, over its martingale.
        score[:, j] = X[:, j] * residual - _mean_at_event(X[:, j], event, sets, sums) + means
    scaled = np.linalg.solve(L, np.column_stack([cross.T, score.T])) if P else np.zeros((0, 2 * n))
    constant = np.where(share == 1.0, 1.0, 0.0)
    thin = np.column_stack([c[:, None] * v, scaled[:, :n].T, residual])
    moves = np.column_stack([constant * v * residual[:, None], scaled[:, n:].T])
    return thin, moves, cross


def _mean_at_event(x: Float64Array, event: BoolArray, sets: RiskSets, sums: RiskSums) -> Float64Array:
    """Mean of x in the risk set of each sample's event, over the terms of its ties; 0 of samples without one."""
    K = sets.ends.size
    s, d = np.zeros((K, 1)), np.zeros(K)
    at_risk = sets.last > sets.first
    np.add.at(s[:, 0], sets.last[at_risk] - 1, (sums.w * x)[at_risk])
    late = at_risk & (sets.first > 0) & ~sets.ends[np.maximum(sets.first - 1, 0)]
    np.subtract.at(s[:, 0], sets.first[late] - 1, (sums.w * x)[late])
    np.add.at(d, sets.last[event] - 1, (sums.w * x)[event])
    kernel.suffix_sums(s, sets.ends)
    k = np.repeat(np.arange(K), sums.deaths)
    tie = np.arange(k.size) - np.repeat(np.cumsum(sums.deaths) - sums.deaths, sums.deaths)
    part = tie / sums.deaths[k] if sets.efron else np.zeros(k.size)
    terms = (s[k, 0] - part * d[k]) / (sums.s0[k] - part * sums.d0[k])
    mean = np.bincount(k, terms, minlength=K) / np.maximum(sums.deaths, 1)
    return np.where(event, mean[np.maximum(sets.last - 1, 0)], 0.0)


def _notes(design: Any, endpoint: Any, null: NullCox, kept: BoolArray, observed: BoolArray) -> list[str]:
    name = endpoint.name
    strata = np.unique(design.stratum[observed]).size
    notes = [
        f"{name}: {endpoint.coding}; {null.n_events:,} events among {null.n:,} samples"
        + (f" in {strata:,} strata" if len(design.strata) > 1 else "")
        + (
            f"; {endpoint.n_competing:,} events of other causes are censored at their time"
            if endpoint.n_competing
            else ""
        )
    ]
    notes += [f"{name}: {lacking}" for lacking in endpoint.lacking]
    never = int((null.sets.last <= null.sets.first).sum())
    if never:
        notes.append(
            f"{name}: {never:,} samples are at risk at no event and say nothing (censored early, or entered late)"
        )
    for column in np.flatnonzero(~kept):
        notes.append(
            f"covariate {design.covariates.covariates[column]} dropped for {name}: among its {null.n:,} complete samples "
            "it is constant (in every stratum) or a combination of the covariates before it"
        )
    if null.failure is not None:
        notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    elif strata > MOST_STRATA or null.rest > 0.9:
        notes.append(
            f"{name}: the risk sets are too small for the screen; every row is computed exactly, which takes longer"
        )
    return notes
