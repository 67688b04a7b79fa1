"""Codes of samples of several populations (Balding and Nichols), and stores in memory of them."""

import numpy as np
import polars as pl
from memory_store import MemoryStore, snv_table

from genassoc.verbs.stores import whole_store

BASES = ("A", "C", "G", "T")


def structured_codes(n_variants, populations, fst, seed, missing=0.0):
    """Codes (V, N); ``populations`` (N,) says to which each sample belongs."""
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.1, 0.9, n_variants)
    codes = np.empty((n_variants, populations.size), np.uint8)
    for population in range(populations.max() + 1):
        members = populations == population
        frequency = rng.beta(ancestral * (1 - fst) / fst, (1 - ancestral) * (1 - fst) / fst)
        codes[:, members] = rng.binomial(2, frequency[:, None], (n_variants, members.sum()))
    codes[rng.random(codes.shape) < missing] = 3
    return codes


def places(n_variants, seed=0, contigs=("1", "2"), ambiguous=True):
    """Variants' table with drawn alleles on several contigs."""
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in BASES for b in BASES if a != b and (ambiguous or {a, b} not in ({"A", "T"}, {"C", "G"}))]
    drawn = [pairs[i] for i in rng.integers(0, len(pairs), n_variants)]
    contig = [contigs[i * len(contigs) // n_variants] for i in range(n_variants)]
    return snv_table(n_variants).with_columns(
        chromosome=pl.Series(contig),
        other_allele=pl.Series([a for a, _ in drawn]),
        effect_allele=pl.Series([b for _, b in drawn]),
    )


def store_of(codes, table=None, ids=None, block_variants=64):
    ids = [f"S{i}" for i in range(codes.shape[1])] if ids is None else ids
    return MemoryStore(codes, ids, places(len(codes)) if table is None else table, block_variants=block_variants)


def cohort_of(codes, table=None, ids=None, block_variants=64):
    """All samples of a store in memory."""
    return whole_store(store_of(codes, table, ids, block_variants))
