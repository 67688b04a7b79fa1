"""What every simulated cohort is: sites, calls when asked for, and how they become a store."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.writer import write_store


@dataclass(frozen=True, kw_only=True)
class Simulated(ABC):
    """A simulated cohort; those that are made document their attributes."""

    sample_ids: tuple[str, ...]
    contigs: dict[str, int]
    variants: pl.DataFrame
    seed: int
    missing_rate: float

    @property
    def n_samples(self) -> int:
        """N."""
        return len(self.sample_ids)

    @property
    def n_variants(self) -> int:
        """Variants of all chromosomes."""
        return self.variants.height

    @abstractmethod
    def blocks(self) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
        """Runs of variants (rows of `variants`) with their calls, in order; none crosses a chromosome.

        Drawn when asked for, the same each time: memory is that of one run and of one chromosome's founders.
        """

    def write_store(self, path: str | Path, *, overwrite: bool = False) -> GenotypeStore:
        """Write the genotypes as a store, which `genassoc.export` writes as BED, VCF and others.

        Raises
        ------
        OutputError
            Something is there already, or the folder cannot be written.
        """
        table = self.variants.drop("variant_id")
        attributes = {
            "contig_lengths": self.contigs,
            "simulated": {"seed": self.seed, "missing_rate": self.missing_rate},
        }
        blocks = (block for _, block in self.blocks())
        write_store(path, self.sample_ids, blocks, table, attributes=attributes, overwrite=overwrite)
        return GenotypeStore.open(path)
