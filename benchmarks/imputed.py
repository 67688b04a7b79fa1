"""An imputed cohort: as BGEN 1.2 with 8 bits, as UK Biobank's, and as an imputation server's VCF; rare variants for the most part."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from genassoc.formats.bgzf_writer import BgzfWriter

SEED = 7
_ZLIB_LEVEL = 6
_THOUSANDTHS = 1000


def haplotypes(n_samples: int, n_variants: int) -> Iterator[np.ndarray]:
    """Draw variants one by one: probabilities of ALT (2, N); a haplotype with ALT is uncertain more often than one without."""
    rng = np.random.default_rng(SEED)
    for v in range(n_variants):
        # one in five is common
        frequency = rng.uniform(0.05, 0.5) if v % 5 == 0 else rng.beta(0.3, 3)
        unsure = rng.uniform(0.02, 0.5)
        carries = rng.random((2, n_samples), np.float32) < frequency
        doubtful = rng.random((2, n_samples), np.float32) < np.where(carries, unsure, 2 * unsure * frequency)
        yield np.where(doubtful, np.abs(carries - rng.beta(0.5, 2, (2, n_samples))), carries)


def write_bgen(path: Path, sample_ids: Sequence[str], n_variants: int) -> None:
    """Write the cohort as BGEN, unphased."""
    n_samples = len(sample_ids)
    names = b"".join(struct.pack("<H", len(name)) + name for name in (name.encode() for name in sample_ids))
    block = struct.pack("<II", 8 + len(names), n_samples) + names
    header = struct.pack("<III4sI", 20, n_variants, n_samples, b"bgen", 1 | 2 << 2 | 1 << 31)
    ploidies = bytes([2]) * n_samples
    wip = path.with_name(f"wip_{path.name}")
    with wip.open("wb") as file:
        file.write(struct.pack("<I", len(header) + len(block)) + header + block)
        for v, p in enumerate(haplotypes(n_samples, n_variants)):
            none, two = np.rint((1 - p[0]) * (1 - p[1]) * 255), np.rint(p[0] * p[1] * 255)
            stored = np.stack([none, np.clip(255 - none - two, 0, 255)], axis=1).astype(np.uint8)
            inner = struct.pack("<IHBB", n_samples, 2, 2, 2) + ploidies + b"\0\x08" + stored.tobytes()
            packed = zlib.compress(inner, _ZLIB_LEVEL)
            name = f"rs{v + 1}".encode()
            file.write(2 * (struct.pack("<H", len(name)) + name) + struct.pack("<H1sIH", 1, b"1", 1000 + 50 * v, 2))
            file.write(struct.pack("<I1sI1s", 1, b"A", 1, b"G"))
            file.write(struct.pack("<II", len(packed) + 4, len(inner)) + packed)
    wip.rename(path)


def write_vcf(path: Path, sample_ids: Sequence[str], n_variants: int, probabilities: bool) -> None:
    """Write the cohort as VCF.gz with GT:DS, or GT:DS:GP, in thousandths as minimac has them."""
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>"]
    fields = {"GT": "1,Type=String", "DS": "1,Type=Float", "GP": "G,Type=Float"}
    kept = list(fields)[: 3 if probabilities else 2]
    lines += [f'##FORMAT=<ID={name},Number={fields[name]},Description="Imputed">' for name in kept]
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *sample_ids]))
    number = np.array([f"{k / _THOUSANDTHS:.3f}".rstrip("0").rstrip(".") for k in range(2 * _THOUSANDTHS + 1)], object)
    wip = path.with_name(f"wip_{path.name}")
    with wip.open("wb") as file:
        text = BgzfWriter(file)
        text.write("\n".join([*lines, ""]).encode())
        for v, p in enumerate(haplotypes(len(sample_ids), n_variants)):
            likely = p > 0.5
            parts = [likely[0], likely[1], np.rint(p.sum(axis=0) * _THOUSANDTHS).astype(int)]
            if probabilities:
                none, two = (np.rint(q * _THOUSANDTHS).astype(int) for q in ((1 - p[0]) * (1 - p[1]), p[0] * p[1]))
                parts += [none, np.clip(_THOUSANDTHS - none - two, 0, _THOUSANDTHS), two]
            found, which = np.unique(np.stack(parts), axis=1, return_inverse=True)
            calls = [
                f"{a}|{b}:{number[dosage]}" + (":" + ",".join(number[three]) if three else "")
                for a, b, dosage, *three in found.T.tolist()
            ]
            row = "\t".join(np.array(calls, object)[which.ravel()].tolist())
            text.write(f"1\t{1000 + 50 * v}\trs{v + 1}\tA\tG\t.\tPASS\t.\t{':'.join(kept)}\t{row}\n".encode())
        text.close()
    wip.rename(path)
