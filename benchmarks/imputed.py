"""An imputed cohort as BGEN 1.2 with 8 bits, as UK Biobank's: haplotypes with probabilities, rare variants for the most part."""

import struct
import zlib
from pathlib import Path

import numpy as np

SEED = 7
_ZLIB_LEVEL = 6


def write_bgen(path: Path, n_samples: int, n_variants: int) -> None:
    """Draw variants one by one and write them, unphased; a haplotype with ALT is uncertain more often than one without."""
    rng = np.random.default_rng(SEED)
    names = b"".join(struct.pack("<H", len(name)) + name for name in (f"s{i:07d}".encode() for i in range(n_samples)))
    block = struct.pack("<II", 8 + len(names), n_samples) + names
    header = struct.pack("<III4sI", 20, n_variants, n_samples, b"bgen", 1 | 2 << 2 | 1 << 31)
    ploidies = bytes([2]) * n_samples
    wip = path.with_name(f"wip_{path.name}")
    with wip.open("wb") as file:
        file.write(struct.pack("<I", len(header) + len(block)) + header + block)
        for v in range(n_variants):
            # one in five is common
            frequency = rng.uniform(0.05, 0.5) if v % 5 == 0 else rng.beta(0.3, 3)
            unsure = rng.uniform(0.02, 0.5)
            carries = rng.random((2, n_samples), np.float32) < frequency
            doubtful = rng.random((2, n_samples), np.float32) < np.where(carries, unsure, 2 * unsure * frequency)
            p = np.where(doubtful, np.abs(carries - rng.beta(0.5, 2, (2, n_samples))), carries)
            none, two = np.rint((1 - p[0]) * (1 - p[1]) * 255), np.rint(p[0] * p[1] * 255)
            stored = np.stack([none, np.clip(255 - none - two, 0, 255)], axis=1).astype(np.uint8)
            inner = struct.pack("<IHBB", n_samples, 2, 2, 2) + ploidies + b"\0\x08" + stored.tobytes()
            packed = zlib.compress(inner, _ZLIB_LEVEL)
            name = f"rs{v + 1}".encode()
            file.write(2 * (struct.pack("<H", len(name)) + name) + struct.pack("<H1sIH", 1, b"1", 1000 + 50 * v, 2))
            file.write(struct.pack("<I1sI1s", 1, b"A", 1, b"G"))
            file.write(struct.pack("<II", len(packed) + 4, len(inner)) + packed)
    wip.rename(path)
