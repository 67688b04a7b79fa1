"""What a whole-genome regression gives: predictions of traits, for each chromosome without its own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.phenotypes.offsets import PredictionTables, Unit
from genassoc.errors import PhenotypeError
from genassoc.shapes import Float32Array, Float64Array


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeGenomePredictions:
    """Predictions of traits from all variants, to be given as ``associate(cohort, model, offsets=predictions)``.

    Attributes
    ----------
    sample_ids : tuple of str
        N samples of the cohort that was fitted.
    traits : tuple of str
        Those that could be fitted.
    chromosomes : mapping
        Key of a chromosome -> its name in the store; those with blocks, H in all.
    contributions : mapping
        Trait -> float32 array (H, N): what each chromosome's variants add to the linear predictor; NaN where a sample lacks the trait.
    family_ids : tuple of str or None
        Their FIDs, where the phenotypes have some.
    outcome : str
    unit : {"residual_sd", "trait"}
        What 1 is: of quantitative traits a standard deviation of their residuals on the covariates; else of the linear predictor.
    summary : DataFrame
        trait, n, n_folds (0: each sample from all others), h2 (of the penalty that was chosen), r2, neg_log_likelihood (a sample), and
        n_variants, n_blocks; traits that failed have a ``failure`` in words.
    penalties : DataFrame
        trait, h2 and what cross-validation found with its penalty.
    left_out : DataFrame
        variant (its number in the store), reason: variants that are selected and have no block, or no part in one.
    notes : tuple of str
    provenance : mapping
    """

    sample_ids: tuple[str, ...]
    family_ids: tuple[str, ...] | None = None
    traits: tuple[str, ...]
    chromosomes: Mapping[str, str]
    contributions: Mapping[str, Float32Array] = field(repr=False)
    outcome: str
    unit: Unit
    summary: pl.DataFrame
    penalties: pl.DataFrame = field(repr=False)
    left_out: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def loco(self, trait: str, chromosome: str | None = None) -> Float64Array:
        """The prediction of a trait without a chromosome, (N,); of all chromosomes where none is named or it has no block.

        Raises
        ------
        PhenotypeError
            There is no prediction of the trait.
        """
        if trait not in self.contributions:
            raise PhenotypeError(f"there is no prediction of '{trait}'; there are those of {', '.join(self.traits)}")
        parts = self.contributions[trait].astype(np.float64)
        others = [h for h, key in enumerate(self.chromosomes) if key != chromosome]
        observed = ~np.isnan(parts[0])
        return np.where(observed, parts[others].sum(axis=0), np.nan)

    @cached_property
    def tables(self) -> PredictionTables:
        """The predictions as tables, as `genassoc.associate` takes them."""
        made = {name: self.table(key) for key, name in self.chromosomes.items()}
        return PredictionTables(made, self.table(), self.unit, self.outcome, "the whole-genome predictions")

    def table(self, chromosome: str | None = None) -> pl.DataFrame:
        """Predictions of all traits without a chromosome: sample_id, then a column for each trait; null where a sample has none."""
        columns = {trait: pl.Series(self.loco(trait, chromosome)).fill_nan(None) for trait in self.traits}
        return pl.DataFrame({"sample_id": pl.Series(self.sample_ids, dtype=pl.String), **columns})

    def write(self, folder: str | Path, *, overwrite: bool = False) -> list[Path]:
        """Write the predictions as REGENIE's files, which its step 2 and ``associate(offsets=folder)`` take.

        Parameters
        ----------
        folder : path
            Made where it is not there: ``step1_1.loco``, ``step1_2.loco``, ... in the order of the traits, each whole or not at all, and
            last ``step1_pred.list``, with the record of the fit beside it.
        overwrite : bool
            Replace those of another fit.

        Returns
        -------
        list of Path

        Raises
        ------
        OutputError
            They cannot be written; or the folder holds those of another fit (says what differs).
        InputError
            The name of a sample or of a trait has a blank in it.
        """
        from genassoc.verbs.loco_files import write_loco

        return write_loco(self, folder, overwrite=overwrite)
