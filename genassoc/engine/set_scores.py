"""Score statistics of sets as a job: what `genassoc.engine.gene_sets` tests, written for cohorts to exchange."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.score_statistics import SCORE_SCHEMA, score_rows
from genassoc.engine.gene_sets import GeneSetJob, sets_by_kind_of_block
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.plan import Task
from genassoc.models.scan.genome import ScanState
from genassoc.models.sets.exported import TraitScores, exported_scores
from genassoc.shapes import Int64Array


@dataclass(frozen=True)
class ScoreJob(GeneSetJob):
    """Scores and covariances of every set and trait; a part is whole or not there, as of any job."""

    def do(self, state: ScanState, task: Task) -> TaskOutput:
        """Rows of the task's sets, in the order of the sets, and counts of their variants."""
        frames: list[tuple[int, pl.DataFrame]] = []
        counts = Counts()
        for sets, block, kept, tally in self._read(task):
            counts += tally
            if block is None:
                continue
            variants = self._variants(kept)
            found = [self._found(number, kept) for number in sets]
            for some, mine, at in sets_by_kind_of_block(block, found):
                here = variants if at is None else variants[at]
                places = {number: rows for number, _, rows in mine}
                for one in exported_scores(self.analysis, state, some, mine):
                    frames.append((one.number, self._frame_of(one, here[places[one.number]], state)))
        if not frames:
            return TaskOutput(pl.DataFrame(schema=SCORE_SCHEMA), counts)
        frames.sort(key=lambda pair: pair[0])
        return TaskOutput(pl.concat([frame for _, frame in frames]), counts)

    def label(self, task: Task) -> str:
        """As of the tests, of scores."""
        return super().label(task).replace(" sets of ", " scores of sets of ", 1)

    def _variants(self, kept: Int64Array) -> pl.DataFrame:
        start = int(kept[0])
        rows = self.cohort.store.variants(start, int(kept[-1]) + 1)[kept - start]
        place = ["chromosome", pl.col("base_pair_location").cast(pl.String), "other_allele", "effect_allele"]
        return rows.with_columns(pl.concat_str(place, separator="_").alias("variant_id"))

    def _frame_of(self, one: TraitScores, variants: pl.DataFrame, state: ScanState) -> pl.DataFrame:
        matched = self.analysis.matched
        categories = pl.Series([*matched.categories, None], dtype=pl.String)
        annotation = matched.annotation[one.number][one.which]
        given = self.analysis.chosen.weights
        table = variants.with_columns(
            categories.gather(np.where(annotation < 0, len(matched.categories), annotation)).alias("annotation"),
            pl.lit(None, pl.Float64).alias("weight")
            if given is None
            else pl.Series("weight", given[one.number][one.which], dtype=pl.Float64),
        )
        return score_rows(
            str(matched.ids[one.number]), table, state.traits[one.trait], one.U, one.V, n=one.n, allele_number=one.n_alleles,
            allele_count=one.n_alt, n_carriers=one.n_carriers, n_events=one.n_events,
            event_carriers=None if one.n_events is None else one.event_carriers, flipped=one.flipped, factor=one.factor,
        )  # fmt: skip
