"""Samples whose calls on X and Y contradict the stated sex, as after a swap of samples."""

import numpy as np
import polars as pl

from genassoc.data.block import AUTOSOMAL
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.ledger import LEDGER_SCHEMA
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.ploidy import FEMALE, MALE, without_half_calls
from genassoc.data.schema import HET, NOT_OBSERVED
from genassoc.shapes import Array, Int64Array

PIECES, PIECE = 4, 512  # variants read of each chromosome, spread over it: this bounds the reading
LEAST_CALLS = 20
# A female is heterozygous in some 20 % of common variants of X, a male in errors; a female's calls on Y are errors.
HETEROZYGOUS, HAPLOID, ON_Y = 0.05, 0.5, 0.5


def sex_conflicts(cohort: Cohort) -> pl.DataFrame:
    """Ledger rows (kind, id, status, reason, detail) of samples that stay, but whose stated sex is doubtful.

    Of up to 2,048 variants of X and of Y outside the pseudo-autosomal regions, where at least 20 of a sample's calls are
    observed: males heterozygous in more than 5 %, females whose calls are haploid in more than half, females with a call
    in more than half of the variants of Y.
    """
    doubts = [] if cohort.sex is None else [*_on_x(cohort), *_on_y(cohort)]
    rows = [("sample", str(cohort.sample_ids[i]), "kept", "sex_conflict", detail) for i, detail in sorted(doubts)]
    return pl.DataFrame(rows, schema=LEDGER_SCHEMA, orient="row")


def conflict_notes(conflicts: pl.DataFrame) -> list[str]:
    """The conflicts in words; empty without any."""
    if conflicts.is_empty():
        return []
    shown = first_few([f"{name} ({detail})" for name, detail in conflicts.select("id", "detail").iter_rows()])
    return [f"the sex of {conflicts.height} samples does not go with their calls, and is taken as stated: {shown}"]


def _on_x(cohort: Cohort) -> list[tuple[int, str]]:
    n, het, haploid = _counts(cohort, "X")
    assert cohort.sex is not None
    found = []
    for i in np.flatnonzero((cohort.sex == MALE) & (n >= LEAST_CALLS) & (het > HETEROZYGOUS * n)):
        found.append((int(i), f"male, heterozygous in {het[i]} of {n[i]} calls on X"))
    for i in np.flatnonzero((cohort.sex == FEMALE) & (n >= LEAST_CALLS) & (haploid > HAPLOID * n)):
        found.append((int(i), f"female, {haploid[i]} of {n[i]} calls on X are haploid"))
    return found


def _on_y(cohort: Cohort) -> list[tuple[int, str]]:
    n, _, _ = _counts(cohort, "Y")
    assert cohort.sex is not None
    males = n[cohort.sex == MALE]
    usual = np.median(males) if males.size else 0
    doubtful = (cohort.sex == FEMALE) & (n >= LEAST_CALLS) & (n > ON_Y * usual)
    return [(int(i), f"female, {n[i]} calls on Y") for i in np.flatnonzero(doubtful)]


def _counts(cohort: Cohort, kind: str) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Calls of each sample outside PAR that are observed, heterozygous, haploid, as they were read: (N,) each."""
    total = np.zeros((3, cohort.n_samples), dtype=np.int64)
    for start, stop in _pieces(cohort, kind):
        positions = cohort.store.variants(start, stop)["base_pair_location"].to_numpy()
        outside = cohort.ploidy.ploidy(kind, positions) != AUTOSOMAL
        block = cohort.store.read(start, stop).take(outside)
        # one of ALT has the code of a heterozygote
        block = without_half_calls(block, np.ones(block.n_variants, dtype=bool))
        codes: Array = block.codes()[:, cohort.sample_index]
        total[0] += (codes != NOT_OBSERVED).sum(axis=0)
        total[1] += (codes == HET).sum(axis=0)
        if block.haploid is not None:
            marks = np.unpackbits(block.haploid, axis=1, bitorder="little", count=block.n_samples)
            total[2] += ((marks[:, cohort.sample_index] > 0) & (codes != NOT_OBSERVED)).sum(axis=0)
    return total[0], total[1], total[2]


def _pieces(cohort: Cohort, kind: str) -> list[tuple[int, int]]:
    """Up to `PIECES` runs of up to `PIECE` variants, spread over the chromosome."""
    pieces = []
    for name, first, last in cohort.ploidy.runs:
        if name == kind:
            step = max(PIECE, -(-(last - first) // PIECES))
            pieces += [(start, min(start + PIECE, last)) for start in range(first, last, step)]
    return pieces[:PIECES]
