"""Scores and covariances of whole sets, as cohorts exchange them: every variant of a set, whatever masks and bins it is in."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.data.block import X_OUTSIDE_PAR, Block, places_of
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.models.scan.genome import ScanState, halved_in_males
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import genotype_sums
from genassoc.models.sets.analysis import SetTests
from genassoc.models.sets.burden import CohortCounts
from genassoc.models.sets.calibrated import score_factors
from genassoc.models.sets.null import set_nulls
from genassoc.models.sets.scores import Carriers, set_scores
from genassoc.shapes import BoolArray, Float64Array, Int64Array


@dataclass(frozen=True, kw_only=True)
class TraitScores:
    """Scores of a set's variants, m of them, for one trait.

    Attributes
    ----------
    number : int
        Of the set.
    which : int64 array (m,)
        Which of its members.
    trait : int
    U : float64 array (m,)
    V : float64 array (m, m)
    factor : float64 array (m,)
        What the standard deviations are multiplied by so that single variants have their calibrated p.
    flipped : bool array (m,)
        Where U and V count REF.
    n : int
    n_events : int or None
    n_alleles, n_alt : float64 arrays (m,)
    n_carriers, event_carriers : int64 arrays (m,)
    """

    number: int
    which: Int64Array
    trait: int
    U: Float64Array
    V: Float64Array
    factor: Float64Array
    flipped: BoolArray
    n: int
    n_events: int | None
    n_alleles: Float64Array
    n_alt: Float64Array
    n_carriers: Int64Array
    event_carriers: Int64Array


def exported_scores(
    tests: SetTests, state: ScanState, block: Block, found: Sequence[tuple[int, Int64Array, Int64Array]]
) -> Iterator[TraitScores]:
    """Scores of some sets, set after set and trait after trait; ``block`` and ``found`` as `SetTests.rows` takes them.

    Traits whose null model failed have none.
    """
    columns = state.cohort_columns
    counts = CohortCounts.of(block, columns, mask_words(columns, block.n_samples))
    on_x = bool((places_of(block).ploidy == X_OUTSIDE_PAR).any())
    shown = halved_in_males(block, state.males) if on_x and getattr(tests.model, "male_x_dosage", 2) == 1 else block
    carriers = Carriers.of(shown, columns, mask_words(columns, block.n_samples), counts.flipped)
    single, corrected = tests.single(state, block)
    p = np.full_like(single, np.nan) if corrected is None else np.where(corrected, single, np.nan)
    nulls = [null for null in set_nulls(state.of(block.contig, on_x)) if null.failure is None]
    alleles = [_alleles(null, block, counts.flipped) for null in nulls]
    for number, which, rows in found:
        if not rows.size:
            continue
        made: dict[int, TraitScores] = {}
        for null, (n_alleles, n_alt) in zip(nulls, alleles):
            scores = set_scores(null, carriers, rows)
            for k, trait in enumerate(null.traits):
                if not np.isfinite(scores.scale[k]):
                    continue
                V = scores.scale[k] * scores.V
                made[trait] = TraitScores(
                    number=number, which=which, trait=trait, U=scores.U[k], V=V, flipped=scores.flipped,
                    factor=score_factors(scores.U[k], V, p[rows, trait], np.nan, np.ones(rows.size)), n=null.n, n_events=null.events.size or None,
                    n_alleles=n_alleles[rows], n_alt=n_alt[rows], n_carriers=scores.n_carriers, event_carriers=scores.event_carriers,
                )  # fmt: skip
        yield from (made[trait] for trait in sorted(made))


def _alleles(null: SetNull, block: Block, flipped: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Alleles observed in a null's samples, and ALTs among them, (V,) each."""
    sums = genotype_sums(block, flipped, null.columns, null.mask, list_calls=False)
    n_alleles = np.asarray(sums.n_alleles, dtype=np.float64)
    return n_alleles, np.where(flipped, n_alleles - sums.mac, sums.mac)
