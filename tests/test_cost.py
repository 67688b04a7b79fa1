"""The time that `check` says: every second of a run is in it, counted on a clock that only work moves."""

import polars as pl
import pytest
from small_cohort import make_files, rewrite_store

import genassoc as ga
from genassoc.engine.cost import MERGED_SECONDS, PART_SECONDS, START_SECONDS, SUMMED_SECONDS, cost_of
from genassoc.engine.plan import Plan
from genassoc.explanation import audit
from genassoc.refit.row_batches import RowBatches
from genassoc.refit.row_data import RowSource
from genassoc.verbs import association, estimate, run_record

READ, EACH = 3.0, 0.01  # seconds of a block, and of a variant beyond it
TRAIT, ROW = 7.0, 0.5  # of the audit


class Clock:
    """Seconds that only work adds to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Timed:
    """A job on that clock: a block that is read takes `READ`, and a variant of it `EACH`."""

    def __init__(self, job, clock):
        self.job, self.clock, self.state, self.cohort = job, clock, job.state, self
        self.store, self.selection, self.block_width = job.cohort.store, job.cohort.selection, job.cohort.block_width
        self.block_variants = job.block_variants
        self.selected_without_genotypes = job.cohort.selected_without_genotypes

    has_dosages = False

    def read(self, start, stop, *, dosages=False):
        self.clock.now += READ
        return self.job.cohort.read(start, stop)

    def do(self, state, task):
        for start, stop in task.blocks(self.job.block_variants):
            n = int(self.selected_without_genotypes(start, stop).sum())
            self.clock.now += (READ + EACH * n) * (n > 0)
        return self.job.do(state, task)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 200, 1500)


@pytest.fixture(scope="module")
def cohort(files, tmp_path_factory):
    store = rewrite_store(files.store, tmp_path_factory.mktemp("blocks") / "small.zarr", 64)
    return ga.Cohort.align(store, files.phenotypes)


MODEL = ga.Linear(["ldl", "ldl_before"], ["age", "sex"])


def timed(cohort, clock):
    plan = association.plan_association(cohort, MODEL)
    return Timed(association.association_job(cohort, MODEL, plan), clock), plan


@pytest.mark.parametrize("region", [None, "2", "a stretch of 1"])
@pytest.mark.parametrize("memory", [None, "8GiB"])
def test_the_estimate_is_what_the_tasks_take(cohort, region, memory):
    if region is not None:
        middle = cohort.store.variants(200, 201)["base_pair_location"][0]
        cohort = cohort.keep_variants(ga.variants.in_region("2" if region == "2" else f"1:1-{middle}"))
    clock = Clock()
    job, plan = timed(cohort, clock)
    cost = cost_of(job, plan, 2, 1, memory, clock=clock)
    began = clock.now
    for task in plan.tasks:
        job.do(job.state, task)
    assert clock.now - began > READ
    assert cost.core_seconds == pytest.approx(clock.now - began)
    n_kept = sum(int(cohort.selected_without_genotypes(t.start, t.stop).sum()) for t in plan.tasks)
    timing = cost.timing
    assert timing.variants == pytest.approx(cost.core_seconds + PART_SECONDS * len(plan.tasks))
    assert timing.merge == pytest.approx(n_kept * 2 * (MERGED_SECONDS + 2 * SUMMED_SECONDS))
    assert timing.start == pytest.approx(START_SECONDS + (0 if memory is None else cost.measured.seconds + READ))


def test_many_blocks_are_sampled(cohort, monkeypatch):
    monkeypatch.setattr("genassoc.engine.rehearsal._PIECES_LOOKED_AT", 5)
    cohort = cohort.keep_variants(ga.variants.in_region("1"))
    clock = Clock()
    job, plan = timed(cohort, clock)
    cost = cost_of(job, plan, 2, 1, clock=clock)
    began = clock.now
    for task in plan.tasks:
        job.do(job.state, task)
    # Every fifth of some twenty blocks: as good as the share of blocks in the region is seen.
    assert 0.5 < cost.core_seconds / (clock.now - began) < 2


def test_threads_that_hinder_each_other_are_counted(cohort):
    clock = Clock()
    job, plan = timed(cohort, clock)  # one clock for both: as if a lock let one thread work at a time
    alone, beside = (cost_of(job, plan, 2, n, clock=clock) for n in (1, 2))
    assert beside.slowdown == pytest.approx(2.0)
    assert beside.timing.variants == pytest.approx(alone.timing.variants, rel=0.05)


def test_the_audit_is_in_it(cohort, tmp_path, monkeypatch):
    clock = Clock()
    refit, outcome = audit.refit, RowSource._plain

    def slow_refit(*given):
        clock.now += ROW
        return refit(*given)

    def slow_outcome(*given):
        clock.now += TRAIT
        return outcome(*given)

    together = RowBatches.fitted

    def slow_together(*given):
        found = together(*given)
        clock.now += ROW * len(found)
        return found

    monkeypatch.setattr(RowBatches, "fitted", slow_together)
    monkeypatch.setattr(audit, "refit", slow_refit)
    monkeypatch.setattr(RowSource, "_plain", slow_outcome)
    job, plan = timed(cohort, clock)
    cost = estimate.estimate(cohort, MODEL, job, plan, 1, aligned=11.0, fitted=0.5, n_rows=40, clock=clock)
    results = ga.associate(cohort, MODEL, out=tmp_path / "x.parquet", executor=ga.Serial())
    began = clock.now
    found = audit.audit(results, cohort, run_record.describe(cohort, MODEL)["model"], 40)
    assert found.compared.height == 40 and clock.now - began == pytest.approx(2 * TRAIT + 40 * ROW)
    reading = READ * min(40, cost.work.n_pieces)
    assert cost.timing.audit == pytest.approx(clock.now - began + reading)
    assert cost.timing.start == pytest.approx(START_SECONDS + 11.5)
    stages = cost.timing.start + cost.timing.variants + cost.timing.merge + cost.timing.audit
    assert cost.timing.total == pytest.approx(stages)
    (line,) = (line for line in cost.lines() if line.startswith("time:"))
    assert "with 1 threads: 13 s to start" in line and "to audit 40 rows" in line


def test_parts_start_anew_and_the_merge_audits(cohort):
    clock = Clock()
    job, plan = timed(cohort, clock)
    plan = Plan(plan.tasks, plan.fingerprint, plan.block_variants, n_parts=4)
    cost = cost_of(job, plan, 2, 1, start=20.0, clock=clock)
    timing = cost.timing
    assert timing.part(4) == pytest.approx(timing.start + timing.variants / 4)
    assert timing.after_parts == pytest.approx(timing.start + timing.merge)
    assert any("a part with" in line and "'genassoc merge'" in line for line in cost.lines())


def test_a_model_that_is_not_audited_costs_no_audit(cohort):
    rows = pl.DataFrame({"trait": []})
    assert estimate.rehearse_audit(rows, cohort, {"kind": "other"}).seconds(2, 200) == 0.0
