"""A small cohort of families, with a trait that runs in them: calls, phenotypes, and the relationships of its pedigree."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store


@dataclass(frozen=True)
class Families:
    """Two parents and two children each."""

    codes: np.ndarray
    table: pl.DataFrame
    variants: pl.DataFrame
    pedigree: np.ndarray

    def written(self, folder, block_variants=64):
        """The paths of a store and of a table of phenotypes."""
        store, table = folder / "related.zarr", folder / "related.tsv"
        ids = self.table["IID"].to_list()
        write_store(store, ids, [GenotypeBlock.from_codes(self.codes)], self.variants, block_variants=block_variants)
        self.table.fill_nan(None).write_csv(table, separator="\t", null_value="NA")
        return store, table


def draw(n_families=40, n_variants=120, n_chromosomes=3, seed=4):
    """Variants of all frequencies, some missing; half of the variance of ``q`` is of genes; ``part`` lacks a tenth."""
    rng = np.random.default_rng(seed)
    p = np.clip(rng.beta(0.6, 1.2, n_variants), 0.02, 0.9)[:, None]
    haplotypes = (rng.random((4, n_variants, n_families)) < p[None]).astype(np.uint8)
    parents = [haplotypes[0] + haplotypes[1], haplotypes[2] + haplotypes[3]]
    children = []
    for _ in range(2):
        of = rng.random((2, n_variants, n_families)) < 0.5
        children.append(np.where(of[0], haplotypes[0], haplotypes[1]) + np.where(of[1], haplotypes[2], haplotypes[3]))
    codes = np.stack([*parents, *children], axis=2).reshape(n_variants, -1).astype(np.uint8)
    n = codes.shape[1]
    family = np.array([[1, 0, 0.5, 0.5], [0, 1, 0.5, 0.5], [0.5, 0.5, 1, 0.5], [0.5, 0.5, 0.5, 1]])
    u = (rng.normal(size=(n_families, 4)) @ np.linalg.cholesky(family).T).ravel()
    x = rng.normal(size=n)
    q = u + rng.normal(size=n) + 0.3 * x
    codes[rng.random(codes.shape) < 0.01] = 3
    table = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(n)],
            "x": x,
            "q": q,
            "h": 2.0 + 0.5 * u + rng.normal(size=n),
            "part": np.where(rng.random(n) < 0.1, np.nan, q),
        }
    )
    chromosomes = np.sort(np.arange(n_variants) % n_chromosomes) + 1
    variants = pl.DataFrame(
        {
            "chromosome": [str(c) for c in chromosomes],
            "base_pair_location": np.arange(1, n_variants + 1, dtype=np.int64) * 10,
            "effect_allele": ["G"] * n_variants,
            "other_allele": ["A"] * n_variants,
            "rsid": [f"rs{i}" for i in range(n_variants)],
            "record": np.arange(n_variants, dtype=np.int64),
            "alt_index": np.ones(n_variants, dtype=np.int32),
        }
    )
    return Families(codes, table, variants, np.kron(np.eye(n_families), family))
