"""Analyses that sum over variants in several passes: the same bits on any executor, killed and restarted, part by part.

Run as a program it is a driver for a test to kill: ``test_passes.py STORE WORK``.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from memory_store import snv_table

import genassoc as ga
from genassoc.analyses.qc import SampleCounts, SampleQuality
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.engine.executors import Serial, Threads
from genassoc.engine.parts import WorkFolder
from genassoc.engine.passes import digest_of, packed, run_pass_part, run_passes, unpacked
from genassoc.engine.plan import Plan
from genassoc.errors import GenassocError, PlanError
from genassoc.progress import Silent

N, V = 60, 480
CONTIGS = ["1"] * 300 + ["2"] * 180


@dataclass(frozen=True)
class Moments:
    """Of every sample over the variants: how many are observed, the sum of copies, and of squares about the mean."""

    n: np.ndarray
    total: np.ndarray
    squares: np.ndarray


@dataclass(frozen=True)
class Spread:
    """Means of the copies of every sample, then their variances: the second pass needs what the first gave."""

    passes: ClassVar[tuple[str, ...]] = ("means", "squares")
    seconds: float = 0.0

    @property
    def sums(self) -> type[Moments]:
        return Moments

    def prepare(self, cohort: ga.Cohort, before: Moments | None) -> np.ndarray:
        return np.full(cohort.block_width, np.nan) if before is None else before.total / before.n

    def block(self, state: np.ndarray, block: GenotypeBlock) -> Moments:
        time.sleep(self.seconds)
        codes = block.codes().astype(np.float64)
        codes[codes == 3] = np.nan
        n, total = (~np.isnan(codes)).sum(axis=0), np.nansum(codes, axis=0)
        squares = np.zeros(codes.shape[1]) if np.isnan(state).any() else np.nansum((codes - state) ** 2, axis=0)
        return Moments(n, total, squares)

    def combine(self, one: Moments, other: Moments) -> Moments:
        return Moments(one.n + other.n, one.total + other.total, one.squares + other.squares)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(11)
    codes = rng.binomial(2, rng.uniform(0.05, 0.5, (V, 1)), (V, N)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.02] = 3
    variants = snv_table(V).with_columns(chromosome=pl.Series(CONTIGS))
    path = tmp_path_factory.mktemp("passes") / "store.zarr"
    write_store(path, [f"S{i}" for i in range(N)], [GenotypeBlock.from_codes(codes)], variants, block_variants=32)
    return path


def cohort_of(store):
    ids = [f"S{i}" for i in range(N)]
    cohort = ga.Cohort.align(store, pl.DataFrame({"IID": ids, "y": np.arange(N)}))
    return cohort.keep_variants(ga.variants.maf_above(0.1))


def plan_of(cohort, **choices):
    return Plan.by_block(cohort.store.contig_runs(), cohort.store.block_variants, cohort.fingerprint, **choices)


def run(store, executor, work=None, analysis=Spread(), progress=None):
    cohort = cohort_of(store)
    return run_passes(analysis, cohort, plan_of(cohort), executor, progress or Silent(), work)


@pytest.fixture(scope="module")
def expected(store):
    return run(store, Serial())


def test_two_passes_give_the_variance(store, expected):
    codes = cohort_of(store).read(0, V).codes().astype(float)
    codes[codes == 3] = np.nan
    af = np.nanmean(codes, axis=1) / 2
    codes = codes[np.minimum(af, 1 - af) >= 0.1]
    assert 0 < len(codes) < V
    # sums of a few hundred numbers of one sign: rounding of 2e-16 each
    np.testing.assert_allclose(expected.squares / expected.n, np.nanvar(codes, axis=0), rtol=1e-13)


def test_the_same_bits_in_memory_and_on_a_disk(store, expected, tmp_path):
    digest = digest_of(expected)
    assert digest_of(run(store, Threads(3))) == digest
    assert digest_of(run(store, Threads(2), WorkFolder(tmp_path / "a.work"))) == digest
    assert sorted(p.name for p in (tmp_path / "a.work").iterdir()) == ["pass-1-means", "pass-2-squares"]
    plan = WorkFolder(tmp_path / "a.work/pass-2-squares").plan()
    assert (plan.pass_number, plan.pass_name) == (1, "squares")
    assert Plan.from_json(plan.to_json()) == plan


@pytest.mark.integration
def test_the_same_bits_on_dask(store, expected, tmp_path):
    from genassoc.engine.executors_dask import connected

    with connected("local:2") as dask:
        assert digest_of(run(store, dask, WorkFolder(tmp_path / "d.work"))) == digest_of(expected)
        assert digest_of(run(store, dask)) == digest_of(expected)


@pytest.mark.integration
@pytest.mark.parametrize("at", [3, 24])  # parts that are there when it is killed: in the first pass, in the second
def test_killed_and_restarted(store, expected, tmp_path, at):
    work = tmp_path / "k.work"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    with subprocess.Popen([sys.executable, __file__, str(store), str(work)], env=environment) as process:
        deadline = time.monotonic() + 60
        while len(list(work.rglob("part-*.parquet"))) < at and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    before = {path: path.stat().st_mtime_ns for path in work.rglob("part-*.parquet")}
    n_first = len(plan_of(cohort_of(store)).tasks)
    assert at <= len(before) < 2 * n_first and (work / "pass-2-squares").exists() == (at > n_first)
    assert digest_of(run(store, Serial(), WorkFolder(work))) == digest_of(expected)
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())  # nothing is done twice


def test_parts_of_a_job_array_in_their_passes(store, expected, tmp_path):
    cohort, work = cohort_of(store), WorkFolder(tmp_path / "j.work")
    plan = plan_of(cohort, n_parts=2)

    def part(number, of):
        run_pass_part(Spread(), cohort, plan, number, of, Serial(), Silent(), work)

    part(0, 1)
    with pytest.raises(PlanError, match=r"pass 0 \(means\) is not finished"):
        part(1, 0)
    part(0, 0)
    part(1, 0)
    part(1, 1)
    n_parts = len(list((tmp_path / "j.work").rglob("part-*")))
    assert n_parts == 2 * len(plan.tasks)
    assert digest_of(run_passes(Spread(), cohort, plan, Serial(), Silent(), work)) == digest_of(expected)
    with pytest.raises(PlanError, match="no part 2 of pass 0"):
        part(0, 2)
    with pytest.raises(PlanError, match="no part 0 of pass 2"):
        part(2, 0)


def test_a_pass_is_not_mixed_with_that_of_other_sums(store, tmp_path):
    plan = plan_of(cohort_of(store))
    prints = {plan.of_pass(*how).fingerprint for how in ((0, "means", ""), (1, "squares", "a"), (1, "squares", "b"))}
    assert len(prints | {plan.fingerprint}) == 4
    work = WorkFolder(tmp_path / "a.work")
    run(store, Serial(), work)
    cohort = cohort_of(store).keep_variants(ga.variants.maf_above(0.2))
    with pytest.raises(PlanError, match="unfinished work of another run"):
        run_passes(Spread(), cohort, plan_of(cohort), Serial(), Silent(), work)


def test_a_changed_part_is_made_again_and_a_strange_one_refused(store, expected, tmp_path):
    work = WorkFolder(tmp_path / "a.work")
    run(store, Serial(), work)
    part = tmp_path / "a.work/pass-1-means/part-00002.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    assert digest_of(run(store, Serial(), work)) == digest_of(expected)
    table = packed(expected)
    assert digest_of(unpacked(table, Moments)) == digest_of(expected)
    for change in (
        pl.lit("|O").alias("dtype"), pl.lit("<f4").alias("dtype"), pl.lit([-1, -60], dtype=pl.List(pl.Int64)).alias("shape"),
        pl.lit("other").alias("name"),
    ):  # fmt: skip
        with pytest.raises(PlanError, match="remove it and run again"):
            unpacked(table.with_columns(change), Moments)


def test_progress_tells_the_pass(store):
    @dataclass
    class Told:
        labels: list[str]
        done: int = 0

        def begin(self, label, total, unit):
            self.labels.append(label)

        def advance(self, n):
            self.done += n

        def end(self):
            pass

    told = Told([])
    run(store, Serial(), progress=told)
    assert told.labels == ["means (pass 1 of 2)", "squares (pass 2 of 2)"] and told.done == 2 * V


def test_no_variant_is_an_error(store):
    cohort = cohort_of(store).keep_variants(ga.variants.mac_above(10**6))
    with pytest.raises(GenassocError, match="no variant is left"):
        run_passes(Spread(), cohort, plan_of(cohort), Serial(), Silent())


def test_quality_of_samples_is_such_an_analysis(store, tmp_path):
    cohort = cohort_of(store)
    found = run_passes(SampleQuality(), cohort, plan_of(cohort), Threads(2), Silent(), WorkFolder(tmp_path / "q.work"))
    table = ga.sample_qc(cohort, executor=Serial())
    assert table["n_variants"].to_list() == found.n.tolist()
    assert table["missing_rate"].to_list() == found.missing_rate.tolist()
    assert replace(found).counts.sum() == N * ga.variant_qc(cohort).height
    assert isinstance(found, SampleCounts)


if __name__ == "__main__":
    run(Path(sys.argv[1]), Serial(), WorkFolder(sys.argv[2]), Spread(0.1))
