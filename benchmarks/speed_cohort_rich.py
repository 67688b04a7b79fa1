"""A VCF with GT:DP:AD:GQ:PL of the benchmark's cohort, as sequencing pipelines write them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.formats.bgzf_writer import BgzfWriter

if TYPE_CHECKING:
    from speed_cohort import AnyCohort

POOL = 4096  # different fields of each genotype; every call takes one at random
MEAN_DEPTH = 30.0
FIELDS = (
    ("GT", "1", "String", "Genotype"),
    ("DP", "1", "Integer", "Read depth"),
    ("AD", "R", "Integer", "Reads of each allele"),
    ("GQ", "1", "Integer", "Quality of the genotype"),
    ("PL", "G", "Integer", "Likelihoods of the genotypes, phred"),
)


def write_rich_vcf(path: Path, cohort: "AnyCohort", batches: Iterator[tuple[pl.DataFrame, GenotypeBlock]]) -> None:
    """Write the calls with depths and likelihoods drawn to fit them, about 22 bytes a call."""
    from speed_cohort import SEED, compress

    rng = np.random.default_rng([SEED, 2])
    pools = np.array([_pool(rng, code) for code in range(4)], dtype=object)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fast = Path(folder) / "fast.vcf.gz"
        with fast.open("wb") as file:
            text = BgzfWriter(file)
            text.write(_header(cohort).encode())
            for variants, block in batches:
                for record, codes in zip(variants.iter_rows(named=True), block.codes()):
                    chosen = pools[codes, rng.integers(0, POOL, codes.size)]
                    text.write(_fixed(record) + b"\t".join(chosen.tolist()) + b"\n")
            text.close()
        compress(fast, path)


def _header(cohort: "AnyCohort") -> str:
    lines = ["##fileformat=VCFv4.3"]
    lines += [f"##contig=<ID={name},length={length}>" for name, length in cohort.contigs.items()]
    lines += [
        f'##FORMAT=<ID={name},Number={number},Type={kind},Description="{meaning}">'
        for name, number, kind, meaning in FIELDS
    ]
    fixed = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
    lines.append("\t".join([*fixed, *cohort.sample_ids]))
    return "\n".join(lines) + "\n"


def _fixed(record: dict[str, object]) -> bytes:
    names = ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")
    start = "\t".join(str(record[name]) for name in names)
    return (start + "\t100\tPASS\t.\tGT:DP:AD:GQ:PL\t").encode()


def _pool(rng: np.random.Generator, code: int) -> list[bytes]:
    """Fields of one genotype: depth is Poisson, reads binomial with 0.2 % errors, likelihoods follow from the reads."""
    if code == 3:
        return [b"./.:0:0,0:.:."] * POOL
    depth = rng.poisson(MEAN_DEPTH, POOL) + 2
    share = np.array([0.002, 0.5, 0.998])
    alt = rng.binomial(depth, share[code])
    log_likelihood = alt[:, None] * np.log10(share) + (depth - alt)[:, None] * np.log10(1 - share)
    log_likelihood[:, code] = np.maximum(log_likelihood[:, code], log_likelihood.max(axis=1) + 1e-9)
    PL = np.rint(-10 * (log_likelihood - log_likelihood.max(axis=1, keepdims=True))).astype(int)
    GQ = np.minimum(99, np.sort(PL, axis=1)[:, 1])
    call = ("0/0", "0/1", "1/1")[code]
    return [
        f"{call}:{d}:{d - a},{a}:{q}:{p[0]},{p[1]},{p[2]}".encode() for d, a, q, p in zip(depth, alt, GQ, PL.tolist())
    ]
