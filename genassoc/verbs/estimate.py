"""The cost of a whole run, estimated from a rehearsal: the null models, one block, and an audit of some of its rows."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contig_nulls import n_nulls
from genassoc.data.memory import settle
from genassoc.engine.association import AssociationJob
from genassoc.engine.cost import Cost, cost_of
from genassoc.engine.executors import single_threaded_blas
from genassoc.engine.plan import Plan
from genassoc.engine.rehearsal import watched
from genassoc.errors import GenassocError
from genassoc.explanation import audit
from genassoc.models.base import AssociationModel
from genassoc.refit.row_data import RowSource
from genassoc.results import Results
from genassoc.verbs import run_record
from genassoc.verbs.set_plans import rows_of_variant

_PERHAPS_COMPILED = 1.0  # s; null models that took longer are fitted again: kernels may have been compiled first
_REHEARSED = 24  # rows of a block that are fitted again, to know what a row costs


def estimate(
    cohort: Cohort,
    model: AssociationModel,
    job: AssociationJob,
    plan: Plan,
    n_threads: int,
    memory: str | int | None = None,
    *,
    aligned: float = 0.0,
    fitted: float = 0.0,
    program: int = 0,
    n_rows: int = audit.DEFAULT_ROWS,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """The cost of a run whose null models are fitted: reads and computes a block, and fits some of its rows again.

    Parameters
    ----------
    cohort, model, job, plan
        What is to be run.
    n_threads : int
    memory : str or int, optional
        The cap of a process.
    aligned, fitted : float
        Seconds that reading and aligning the phenotypes, and fitting the null models, have taken.
    program : int
        Bytes that the process held before it read the phenotypes.
    n_rows : int
        Rows that the run will audit.
    clock : callable
        Seconds from anywhere.

    Raises
    ------
    PlanError
        It cannot fit (says what would).
    """
    # A decomposition of relationships takes minutes, beside which kernels are nothing.
    if fitted > _PERHAPS_COMPILED and cohort.kinship is None:
        with single_threaded_blas():
            began = clock()
            job.analysis.prepare(cohort)
            fitted = min(fitted, clock() - began)
    nulls = n_nulls(cohort)  # each chromosome's are fitted where its tasks run
    start = aligned + fitted * nulls
    cost = cost_of(
        job, plan, rows_of_variant(cohort, model), n_threads, memory, start=start, program=program, clock=clock
    )
    if cohort.sets is not None:  # whose rows no audit fits again
        return cost
    choices = run_record.describe(cohort, model)["model"]
    settle()  # as a run does before its audit
    with single_threaded_blas(), watched() as held:
        each = rehearse_audit(cost.measured.rows, cohort, choices, clock)
    audited = min(n_rows, int(cost.work.n_variants * model.rows_per_variant))
    reading = cost.measured.reading_seconds * min(audited, cost.work.n_pieces)
    n_traits = min(len(job.state.traits), audited)
    seconds = each.seconds(n_traits, audited) + reading
    return replace(cost, audit=(seconds, audited), auditing=max(0, max(held) - cost.needs.process))


@dataclass(frozen=True)
class AuditCost:
    """Seconds of an audit: once, for each trait, and for each row."""

    once: float = 0.0
    trait: float = 0.0
    row: float = 0.0

    def seconds(self, n_traits: int, n_rows: int) -> float:
        """Seconds for so many rows of so many traits."""
        return self.once + self.trait * n_traits + self.row * n_rows if n_rows else 0.0


def rehearse_audit(
    rows: pl.DataFrame, cohort: Cohort, choices: Mapping[str, Any], clock: Callable[[], float] = time.perf_counter
) -> AuditCost:
    """The time of an audit, from some rows of one block that are fitted repeatedly and compared with nothing.

    Parameters
    ----------
    rows : DataFrame
        Results of a few variants.
    cohort, choices
        As of `genassoc.explanation.audit.audit`.
    clock : callable
        Seconds from anywhere.
    """
    began = clock()
    try:
        source = RowSource(cohort, choices)
    except GenassocError:
        return AuditCost()  # nothing will be compared
    drawn, _, _ = audit.draw(Results(rows), source.about, choices, _REHEARSED, audit.SEED)
    if not drawn.height:
        return AuditCost()

    def fitted(some: pl.DataFrame) -> float:
        start = clock()
        for _ in audit.refits(some, source, choices):
            pass
        return clock() - start

    for _ in audit.refits(drawn[:1], source, choices):
        pass
    first = clock() - began  # includes reading the phenotypes of one trait and the covariates
    with_traits, again = fitted(drawn), fitted(drawn)
    new_traits = drawn["trait"].n_unique() - 1
    row = again / drawn.height
    trait = max(0.0, with_traits - again) / new_traits if new_traits else 0.0
    return AuditCost(max(0.0, first - row - trait), trait, row)
