"""p by permutation: of each variant, and family-wise over all variants and traits (max T)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinds import by_kind
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs
from genassoc.engine.executors import Executor, single_threaded_blas
from genassoc.models.linear.model import Linear
from genassoc.models.linear.permutation import Permuted
from genassoc.models.scan.genome import Scan
from genassoc.progress import Progress
from genassoc.results import Results, check_place
from genassoc.shapes import Float64Array, Int64Array
from genassoc.verbs.adjustment import with_columns
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.association import associate
from genassoc.verbs.blocks import over_blocks
from genassoc.verbs.run_record import input_files

# Statistics of a block are exact to five digits (docs/models/linear.md): a permuted one that is equal to that precision counts.
_DIGITS = 2e-5
_COLUMNS = 256  # columns of permuted residuals at a time
_MEMORY = 2**30  # bytes of them: 8 in float64, 4 in the product's layout, twice while they are laid out
_UNFIT = ("interaction", "weights", "robust", "variance")


@dataclass(frozen=True)
class _Counts:
    """For some variants and B permutations: how often each row was reached (V, T), and the greatest statistics (B, T)."""

    reached: Int64Array
    greatest: Float64Array
    observed: Float64Array


def permute(
    cohort: Cohort,
    model: Linear,
    n: int = 1000,
    *,
    seed: int,
    across: Sequence[str] = ("trait",),
    out: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
) -> Results:
    """Associate, with p by permutation of the residuals (Freedman and Lane 1983). For unrelated samples.

    Parameters
    ----------
    cohort : Cohort
        Its genotypes are read once for every 256 permutations (fewer with several traits or many samples): select
        the variants of interest first.
    model : Linear
    n : int
        Permutations. The smallest p is 1 / (n + 1).
    seed : int
        Of the permutations: the same seed and cohort give the same p, whatever the blocks and threads.
    across : ("trait",) or ()
        Whether the family of tests goes across traits beside variants, or each trait has its own.
    out : path, optional
        Results file (.parquet, .tsv, .tsv.gz).
    executor, progress : optional
        As of `genassoc.verbs.association.associate`.
    overwrite : bool
        Replace other results that are at ``out``.

    Returns
    -------
    Results
        The rows of `associate` with ``p_permutation``, ``(1 + #{|t*| >= |t|}) / (n + 1)`` of the row alone, and
        ``p_family_wise``, the same of the greatest ``|t*|`` over the family (Westfall and Young 1993).

    Raises
    ------
    TypeError, ValueError
        The model is not one whose residuals can be permuted (says why); ``n`` or ``seed`` is no such number.
    GenassocError
        As `genassoc.verbs.association.associate`.
    """
    check_not_forked()
    check_cohort(cohort, "permute(cohort, model)")
    check_executor(executor)
    _check_model(model)
    _whole(n, "n", 1)
    _whole(seed, "seed", 0)
    across = (across,) if isinstance(across, str) else tuple(across)
    if across not in ((), ("trait",)):
        raise ValueError(f"across is ('trait',) or (), not {across!r}")
    if out is not None:
        check_outputs([Path(out)], input_files(cohort))
    results = associate(cohort, model, executor=executor, progress=progress)
    record = {**results.provenance, "permutation": {
        "scheme": "Freedman-Lane", "n": n, "seed": seed, "across": list(across), "statistic": "max |t|",
    }}  # fmt: skip
    if out is not None:
        check_place(Path(out), record, overwrite)
    batch = _batch(n, len(model.traits), int(cohort.block_width))
    reached: Any = 0
    greatest, observed = [], None
    for first in range(0, n, batch):
        counts = _permuted(cohort, Permuted.of(model, seed, first, min(batch, n - first)), executor, progress)
        reached, observed = reached + counts.reached, counts.observed
        greatest.append(counts.greatest)
    assert observed is not None
    family = np.concatenate(greatest)
    if across:
        family = np.repeat(family.max(axis=1, keepdims=True), family.shape[1], axis=1)
    tested = ~np.isnan(observed)
    pointwise = np.where(tested, (1 + reached) / (n + 1), np.nan)
    columns = {"p_permutation": pointwise.ravel(), "p_family_wise": _family_wise(observed, family).ravel()}
    return with_columns(results, columns, record, out, overwrite)


def _check_model(model: object) -> None:
    if not isinstance(model, Linear):
        raise TypeError(
            f"permute(cohort, model): the model is Linear, not {type(model).__name__}: permuting residuals needs outcomes "
            "whose residuals all have one distribution, and those of cases, counts, levels and times depend on the "
            "covariates. Their exact, Firth and saddlepoint tests are the way to small samples there"
        )
    if model.genetic_model == "genotypic":
        raise ValueError(
            "genetic_model='genotypic' has several rows a variant: permute 'additive', 'dominant', ... models"
        )
    plain = Linear(model.traits)
    for choice in _UNFIT:
        if getattr(model, choice, None) != getattr(plain, choice, None):
            raise ValueError(
                f"{choice}={getattr(model, choice)!r}: residuals are permuted of a plain linear model of one effect and one "
                "variance; leave it out"
            )


def _whole(value: object, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} is a whole number of at least {least}, not {value!r}")


def _batch(n: int, n_traits: int, width: int) -> int:
    """Permutations at a time; the numbers do not depend on it."""
    return int(max(1, min(n, _COLUMNS // n_traits, _MEMORY // (24 * n_traits * max(width, 1)))))


def _permuted(cohort: Cohort, model: Any, executor: Executor | None, progress: Progress | None) -> _Counts:
    """One pass over the blocks."""
    scan = Scan(model)
    with single_threaded_blas():
        state = scan.prepare(cohort)
    T, B = len(model.traits), model.count

    def one(start: int, stop: int) -> _Counts:
        none = _Counts(np.zeros((0, T), np.int64), np.zeros((B, T)), np.zeros((0, T)))
        if not cohort.selected_without_genotypes(start, stop).any():
            return none
        block = cohort.read(start, stop, dosages=True)
        keep, _ = cohort.select_variants(start, stop, block)
        if not keep.any():
            return none
        kinds = by_kind(block.take(keep))
        order = np.argsort(np.concatenate([at for at, _ in kinds]), kind="stable")
        of_kinds = [scan.block(state, of_kind).columns for _, of_kind in kinds]
        columns = {
            name: np.concatenate([of_kind[name] for of_kind in of_kinds])[order]
            for name in ("statistic", "statistic_permuted")
        }
        observed = np.abs(columns["statistic"])
        permuted = np.abs(columns["statistic_permuted"]).reshape(-1, T, B)
        # A permutation without a t, as of a perfect fit, counts as reached.
        permuted = np.where(np.isnan(permuted), np.inf, permuted)
        permuted[np.isnan(observed)] = 0.0
        reached = (permuted >= _bound(observed)[:, :, None]).sum(axis=2)
        return _Counts(reached, permuted.max(axis=0).T, observed)

    parts = over_blocks(cohort, one, executor, progress, f"permutations {model.first + 1:,} to {model.first + B:,}")
    return _Counts(
        np.concatenate([part.reached for part in parts]),
        np.maximum.reduce([part.greatest for part in parts]),
        np.concatenate([part.observed for part in parts]),
    )


def _bound(observed: Float64Array) -> Float64Array:
    """The bound from which a permuted statistic counts as extreme as the observed one."""
    return np.asarray(observed - _DIGITS * np.maximum(observed, 1.0))


def _family_wise(observed: Float64Array, greatest: Float64Array) -> Float64Array:
    """p of statistics (V, T) among the greatest ones (n, T) of the permutations."""
    n = greatest.shape[0]
    p = np.full(observed.shape, np.nan)
    for t in range(observed.shape[1]):
        tested = ~np.isnan(observed[:, t])
        below = np.searchsorted(np.sort(greatest[:, t]), _bound(observed[tested, t]), side="left")
        p[tested, t] = (1 + n - below) / (n + 1)
    return p
