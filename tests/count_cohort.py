"""A small cohort and a plain analysis of it, for tests of the engine: real counts, no models.

Run as a program it is a driver for a test to kill: ``count_cohort.py OUT BLOCK THREADS SECONDS_PER_BLOCK``.
"""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.engine.association import AssociationJob
from genassoc.engine.executors import Executor, Serial, Threads
from genassoc.engine.parts import Merged
from genassoc.engine.plan import Plan, fingerprint
from genassoc.engine.run import run_to_file
from genassoc.models.base import BlockResult
from genassoc.progress import Silent

RUNS = (("1", 0, 700), ("2", 700, 1003), ("X", 1003, 1500))
N_SAMPLES = 37
CUT = 64  # variants of a task


@dataclass
class CountStore:
    """Genotypes in memory, with the store's interface."""

    codes: np.ndarray
    runs: tuple[tuple[str, int, int], ...]
    block_variants: int
    fingerprint: str = "count-store"

    @property
    def n_variants(self) -> int:
        return len(self.codes)

    def contig_runs(self) -> list[tuple[str, int, int]]:
        return list(self.runs)

    def variants(self, start: int, stop: int) -> pl.DataFrame:
        rows = np.arange(start, stop)
        contigs = np.concatenate([np.repeat(name, last - first) for name, first, last in self.runs])
        return pl.DataFrame(
            {
                "chromosome": contigs[start:stop],
                "base_pair_location": 10 * rows + 1,
                "effect_allele": ["G" if i % 3 else "GA" for i in rows],
                "other_allele": ["A"] * len(rows),
                "rsid": [f"rs{i}" if i % 2 else "." for i in rows],
                "record": rows,
                "alt_index": np.ones(len(rows), dtype=np.int32),
            }
        )


@dataclass
class CountCohort:
    """Drops variants whose first sample is not observed, the monomorphic, and those not in first..last."""

    store: CountStore
    reads: list[tuple[int, int]] = field(default_factory=list)
    first: int = 0
    last: int = 2**40

    has_dosages = False

    def read(self, start: int, stop: int, *, dosages: bool = False, probabilities: bool = True) -> GenotypeBlock:
        self.reads.append((start, stop))
        return GenotypeBlock.from_codes(self.store.codes[start:stop], start)

    def selected_without_genotypes(self, start: int, stop: int) -> np.ndarray:
        return (np.arange(start, stop) >= self.first) & (np.arange(start, stop) < self.last)

    def select_variants(self, start: int, stop: int, block: GenotypeBlock) -> tuple[np.ndarray, pl.DataFrame]:
        outside = ~self.selected_without_genotypes(start, stop)
        if outside.all():
            unknown = constant = np.zeros(stop - start, dtype=bool)  # the block may hold nothing
        else:
            codes = block.codes()
            unknown = codes[:, 0] == 3
            constant = ((codes == codes[:, :1]) | (codes == 3)).all(axis=1)
        reasons = [outside, unknown, constant]
        reason = np.select(reasons, ["not selected", "first sample not observed", "monomorphic"], "")
        dropped = outside | unknown | constant
        ids = np.arange(start, stop)[dropped].astype(str)
        return ~dropped, pl.DataFrame({"id": ids, "reason": reason[dropped]})


@dataclass(frozen=True)
class CountAnalysis:
    """Allele counts, and a p that is a function of the genotypes alone; two traits."""

    seconds_per_block: float = 0.0
    fail_at: int | None = None

    def prepare(self, cohort: CountCohort) -> np.ndarray:
        return np.linspace(-1.0, 1.0, N_SAMPLES)

    def block(self, state: np.ndarray, block: GenotypeBlock) -> BlockResult:
        if self.fail_at is not None and block.start <= self.fail_at < block.start + block.n_variants:
            raise ZeroDivisionError("a fault of the analysis")
        time.sleep(self.seconds_per_block)
        codes = block.codes()
        observed = codes != 3
        alleles = np.where(observed, codes, 0).sum(axis=1).astype(np.float64)
        n = observed.sum(axis=1).astype(np.int64)
        # Integers times a power of two: sums that no order of adding can change.
        score = np.where(observed, codes, 0) @ np.round(state * 1024)
        beta = np.stack([score / 1024, score / 3], axis=1)
        p = np.abs(beta) / 7
        p[alleles < 10, 1] = np.nan
        return BlockResult(
            columns={
                "beta": beta,
                "neg_log_10_p_value": p,
                "effect_allele_frequency": np.stack([alleles / (2 * n)] * 2, axis=1),
                "n": np.stack([n, n], axis=1),
                "mac": np.stack([alleles, alleles], axis=1),
                "method": np.zeros(beta.shape, dtype=np.uint8),
                "code": np.isnan(p).astype(np.uint8),
                "n_cases": np.stack([n // 2, n // 3], axis=1),
            },
            labels={"trait": ("height", "weight"), "test": ("add", "add")},
            categories={"method": ("t",), "code": (None, "n_too_small")},
        )


def make_cohort(block_variants: int = 64, runs: tuple[tuple[str, int, int], ...] = RUNS) -> CountCohort:
    """The same genotypes every time."""
    rng = np.random.default_rng(20)
    n_variants = runs[-1][2]
    frequency = rng.uniform(0.02, 0.5, size=(n_variants, 1))
    codes = rng.binomial(2, frequency, size=(n_variants, N_SAMPLES)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.03] = 3
    codes[5:9] = 0
    return CountCohort(CountStore(codes, runs, block_variants))


def make_plan(cohort: CountCohort, **options: int) -> Plan:
    """The plan of a scan of ``cohort``: the same tasks whatever the store's block."""
    mark = fingerprint(store=cohort.store.fingerprint, analysis="counts")
    return Plan.by_block(cohort.store.contig_runs(), cohort.store.block_variants, mark, **{"cut": CUT, **options})


def make_job(cohort: CountCohort, plan: Plan, analysis: CountAnalysis | None = None) -> AssociationJob:
    """The scan of ``cohort`` as a job."""
    return AssociationJob(cohort, analysis or CountAnalysis(), plan.block_variants)


def scan(out: Path, block_variants: int = 64, executor: Executor | None = None, seconds: float = 0.0) -> Merged:
    """The whole run, to ``out``."""
    cohort = make_cohort(block_variants)
    plan = make_plan(cohort)
    job = make_job(cohort, plan, CountAnalysis(seconds))
    return run_to_file(job, plan, executor or Serial(), out, Silent())


if __name__ == "__main__":
    scan(Path(sys.argv[1]), int(sys.argv[2]), Threads(int(sys.argv[3])), float(sys.argv[4]))
