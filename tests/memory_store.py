"""A genotype store in memory with the reading side of `GenotypeStore`, for tests of what stands on it."""

import hashlib
from itertools import groupby

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock


class MemoryStore:
    """Codes (V, N) and their variants' table; ``haploid`` is a bool array (V, N) or None."""

    def __init__(self, codes, sample_ids, variants=None, *, haploid=None, block_variants=16):
        self.codes = np.asarray(codes, dtype=np.uint8)
        self.n_variants, self.n_samples = self.codes.shape
        self.sample_ids = np.array([str(name) for name in sample_ids], dtype=object)
        self.table = snv_table(self.n_variants) if variants is None else variants
        self.contigs = tuple(dict.fromkeys(self.table["chromosome"]))
        self.haploid = haploid
        self.block_variants = block_variants
        self.n_reads = 0
        self.fingerprint = hashlib.sha256(self.codes.tobytes() + self.table.write_csv().encode()).hexdigest()[:16]

    def read(self, start, stop):
        self.n_reads += 1
        block = GenotypeBlock.from_codes(self.codes[start:stop], start)
        if self.haploid is None or not self.haploid[start:stop].any():
            return block
        bits = np.packbits(self.haploid[start:stop], axis=1, bitorder="little")
        return GenotypeBlock(block.packed, block.n_samples, start, bits)

    def variants(self, start=0, stop=None):
        return self.table[start : self.n_variants if stop is None else stop]

    def call_counts(self, start, stop):
        """None: as a store of an earlier version."""

    def contig_runs(self):
        runs, start = [], 0
        for contig, members in groupby(self.table["chromosome"]):
            stop = start + len(list(members))
            runs.append((contig, start, stop))
            start = stop
        return runs


def snv_table(n, chromosome="1"):
    """Variants of distinct records at positions 10, 20, ..."""
    return pl.DataFrame(
        {
            "chromosome": [chromosome] * n,
            "base_pair_location": np.arange(1, n + 1, dtype=np.int64) * 10,
            "effect_allele": ["G"] * n,
            "other_allele": ["A"] * n,
            "rsid": [None if i % 5 == 4 else f"rs{i}" for i in range(n)],
            "record": np.arange(n, dtype=np.int64),
            "alt_index": np.ones(n, dtype=np.int32),
        },
        schema_overrides={"rsid": pl.String},
    )
