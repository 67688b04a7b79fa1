"""A small cohort of dosages of every kind beside calls, with what they were made of."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.block import NO_DOSAGE, DosageRows, GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.store.arrays import Contents
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.data.store.writer import StoreWriter
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.shapes import packed_bytes

STEPS = (1000, 1000, 0, 255, 32767)  # of rows in turn


@dataclass
class Made:
    """Rows as they were made: variants (V), steps (V,), dosages (V, N) with NaN, P(2) (V, N) with NaN, haploid samples (V, N)."""

    path: Path
    variants: pl.DataFrame
    steps: np.ndarray
    dosages: np.ndarray
    two: np.ndarray
    haploid: np.ndarray
    phenotypes: pl.DataFrame

    def open(self) -> GenotypeStore:
        return GenotypeStore.open(self.path)

    def cohort(self, **options) -> Cohort:
        return Cohort.align(self.open(), self.phenotypes, sample_id="IID", **options)

    def where_dosages(self) -> np.ndarray:
        return np.flatnonzero(self.steps > 0)


def made(
    path: Path,
    n_variants: int = 90,
    n_samples: int = 160,
    *,
    block_variants: int | None = 32,
    seed: int = 5,
    alts: int = 1,
) -> Made:
    """Rows on chromosome 1, on X from two thirds on, where samples of even numbers are haploid males; ``alts`` to a record."""
    rng = np.random.default_rng(seed)
    V, N = n_variants, n_samples
    steps = np.resize(np.array(STEPS, np.uint16), V)
    on_x = np.arange(V) >= 2 * V // 3
    male = np.arange(N) % 2 == 0
    haploid = on_x[:, None] & male
    p = rng.uniform(0.05, 0.5, V)[:, None]
    genotypes = np.where(haploid, 2 * rng.binomial(1, p, (V, N)), rng.binomial(2, p, (V, N)))
    packed = GenotypeBlock.from_codes(genotypes.astype(np.uint8)).packed.copy()
    has = steps > 0
    one = np.where(has, steps, 1).astype(np.int64)[:, None]
    certain, noise = 0.85, rng.dirichlet([0.4, 0.4, 0.4], (V, N))
    noise[haploid, 0] += noise[haploid, 1]
    noise[haploid, 1] = 0.0
    probabilities = certain * np.eye(3)[genotypes] + (1 - certain) * noise
    two = np.rint(probabilities[:, :, 2] * one).astype(np.int64)
    het = np.where(haploid, 0, np.minimum(np.rint(probabilities[:, :, 1] * one).astype(np.int64), one - two))
    values = het + 2 * two
    not_observed = rng.random((V, N)) < 0.03
    known = np.arange(V) % 2 == 1
    values[not_observed], two[not_observed] = NO_DOSAGE, NO_DOSAGE
    two[~known] = NO_DOSAGE
    rows = DosageRows(steps, values[has].astype(np.uint16), two[has].astype(np.uint16))
    nearest = np.empty((len(rows.values), packed_bytes(N)), np.uint8)
    hard_calls(rows.values, steps[has], nearest)
    packed[has] = nearest
    dosages = np.where(has[:, None], np.where(not_observed, np.nan, values / one), genotypes)
    both = np.where(has[:, None], np.where(not_observed | ~known[:, None], np.nan, two / one), genotypes == 2)
    variants = pl.DataFrame(
        {
            "chromosome": np.where(on_x, "X", "1").tolist(),
            "base_pair_location": np.arange(V) // alts * 100 + 5_000_000,
            "effect_allele": ["ACGT"[v % 3] for v in range(V)],
            "other_allele": ["T"] * V,
            "rsid": [f"rs{v}" for v in range(V)],
            "record": np.arange(V) // alts,
            "alt_index": (1 + np.arange(V) % alts).astype(np.int32),
            "info_source": [0.5 + 0.4 * v / V if steps[v] else None for v in range(V)],
            "FILTER": ["PASS" if v % 4 else "low" for v in range(V)],
        }
    )
    contents = Contents(True, True, ("FILTER", "info_source"))
    writer = StoreWriter(
        path,
        [f"s{i}" for i in range(N)],
        {"made": seed},
        contents=contents,
        block_variants=block_variants,
        resume=False,
    )
    marks = np.packbits(haploid, axis=1, bitorder="little")
    writer.append(packed, marks, VariantColumns.of(variants), dosages=rows)
    writer.finish({})
    y = rng.normal(size=N) + np.nan_to_num(dosages[7], nan=0.5)
    phenotypes = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(N)],
            "y": y,
            "b": (y > np.median(y)).astype(int),
            "c": rng.normal(size=N),
            "sex": np.where(male, 1, 2),
        }
    )
    return Made(path, variants, steps, dosages, both, haploid, phenotypes)
