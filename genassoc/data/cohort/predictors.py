"""Predictors that are not variants (activity scores, HLA alleles, burdens) as a store that a cohort can read."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.block import DosageBlock
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, Float64Array, Int64Array, UInt32Array

CONTIG = "predictors"
_STEPS = 2**21  # steps of a predictor's range, which becomes dosages 0 to 2 in a `DosageBlock` of 32 bits
STEP = 2.0 / _STEPS  # of a dosage
_COLUMNS = 256  # a block
_NOT_OBSERVED = np.iinfo(np.uint32).max


class PredictorStore:
    """Columns of numbers that are read as a `genassoc.data.store.store.GenotypeStore` is.

    A column's range is laid on the dosages 0 to 2 in 2^21 steps: values of a few evenly spaced levels are exact, others
    are rounded by at most 2.4e-7 of the range.

    Attributes
    ----------
    names : tuple of str
        V columns.
    lowest, widths : float64 arrays (V,)
        Least value and range of each; a constant column has range 0.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        values: Float64Array,
        sample_ids: Array,
        source: str,
        origin: tuple[Phenotypes, Int64Array] | None = None,
    ) -> None:
        self._origin = origin
        self.names = names
        self.sample_ids = sample_ids
        self.n_variants, self.n_samples = values.shape
        self.block_variants = _COLUMNS
        self.contigs = (CONTIG,)
        self.path = source
        self.attributes: dict[str, Any] = {"summary": {"sources": [source]}}
        empty = np.isnan(values).all(axis=1)
        if empty.any():
            raise PhenotypeError(f"{source}: the predictor '{names[int(np.argmax(empty))]}' is missing in every sample")
        self.lowest = np.nanmin(values, axis=1)
        self.widths = np.nanmax(values, axis=1) - self.lowest
        self.values = self._fixed(values)
        content = values.tobytes() + "\t".join([*names, *map(str, sample_ids)]).encode()
        self.fingerprint = hashlib.sha256(content).hexdigest()[:16]

    @classmethod
    def of(cls, table: Phenotypes, names: Sequence[str] | None, rows: Int64Array | None = None) -> "PredictorStore":
        """A store of the columns ``names`` (by default all) of a table, of all rows or some.

        Raises
        ------
        PhenotypeError
            A column is absent, no number (names the value), missing throughout, or holds an undeclared -9.
        """
        rows = np.arange(table.table.height) if rows is None else rows
        chosen = table.resolve(tuple(table.columns if names is None else names), "predictor")
        if not chosen:
            raise PhenotypeError(f"{table.source}: there is no predictor beside the sample ids")
        values = np.stack([table.numbers(name, rows) for name in chosen])
        return cls(chosen, values, table.sample_ids[rows], table.source, (table, rows))

    def __getstate__(self) -> dict[str, Any]:
        """Without the table, for workers that only read."""
        return {**self.__dict__, "_origin": None}

    def per_unit(self, numbers: Int64Array) -> Float64Array:
        """Copies of a dosage that one unit is, of the columns ``numbers`` (V,): a dosage of 2 is the range."""
        widths = self.widths[numbers]
        return np.asarray(2.0 / np.where(widths > 0, widths, 1.0))

    def exact(self, number: int) -> Float64Array:
        """The values of a column (N,) as in the table, NaN where missing; without the table as near as their steps."""
        if self._origin is not None:
            table, rows = self._origin
            return table.numbers(self.names[number], rows)
        steps = self.values[number]
        values = self.lowest[number] + steps / _STEPS * self.widths[number]
        return np.where(steps == _NOT_OBSERVED, np.nan, values)

    def _fixed(self, values: Float64Array) -> UInt32Array:
        width = np.where(self.widths > 0, self.widths, 1.0)
        steps = np.rint((values - self.lowest[:, None]) / width[:, None] * _STEPS)
        return np.where(np.isnan(steps), _NOT_OBSERVED, np.nan_to_num(steps)).astype(np.uint32)

    def read(self, start: int, stop: int) -> DosageBlock:
        """Columns start to stop as dosages."""
        return DosageBlock(self.values[start:stop], start)

    def variants(self, start: int = 0, stop: int | None = None) -> pl.DataFrame:
        """A table of variants: the predictor's name is the rsid; the other columns are empty."""
        names = self.names[start:stop]
        numbers = np.arange(start, start + len(names), dtype=np.int64)
        return pl.DataFrame(
            {
                "chromosome": [CONTIG] * len(names),
                "base_pair_location": numbers + 1,
                "effect_allele": [""] * len(names),
                "other_allele": [""] * len(names),
                "rsid": list(names),
                "record": numbers,
                "alt_index": np.ones(len(names), np.int32),
            },
            schema_overrides={"rsid": pl.String},
        )

    def contig_runs(self) -> list[tuple[str, int, int]]:
        """All columns lie on one contig of their own."""
        return [(CONTIG, 0, self.n_variants)]
