"""Mutants of genotype files: each is read, or refused with a typed error, in little time and memory. All formats use this one harness.

A test of a format makes `Seeds` of small sound files, marks itself ``fuzz`` and calls `fuzz`. ``GENASSOC_FUZZ_SECONDS`` says
how long each runs (3), ``GENASSOC_FUZZ_SEED`` which mutants are made. `test_kernels_bounds` runs tests marked ``fuzz`` again
with bounds checks, for longer. By hand: ``GENASSOC_FUZZ_SECONDS=600 GENASSOC_FUZZ_SEED=$RANDOM python -m pytest -n 0 -m fuzz tests/test_fuzz_vcf.py``.
"""

import os
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genassoc.data.block import NO_DOSAGE, GenotypeBlock
from genassoc.errors import GenassocError
from genassoc.formats.inputs import open_source
from genassoc.formats.reading import Reading
from genassoc.formats.source import RecordError

SECONDS = float(os.environ.get("GENASSOC_FUZZ_SECONDS", "3"))
SEED = int(os.environ.get("GENASSOC_FUZZ_SEED", "1"))
LEAST_MUTANTS = 60  # however slow the machine, so that some are read and some refused
MOST_SECONDS = 5.0  # of CPU for one mutant of a few kilobytes, whose seeds take milliseconds
ROOM = (
    2**30
)  # bytes of address space that a mutant may take beyond what the process has: no count of a small file asks for more
_EXTREMES = (
    0,
    1,
    2,
    127,
    128,
    255,
    256,
    32767,
    32768,
    65535,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


class PeerRefusalError(Exception):
    """A peer (pysam, bcftools, plink2, ...) does not read a file, or not all that would be compared."""


@dataclass(frozen=True)
class Taken:
    """All that a file gives.

    Attributes
    ----------
    sample_ids : tuple of str
        N names.
    variants : list of tuple
        V times (contig, position, REF, ALT, id or None).
    codes : uint8 (V, N)
        0, 1, 2 copies of ALT, 3 not observed.
    haploid : bool (V, N)
    dosages, homozygous : float64 (V, N)
        NaN where a row has none, or where not observed.
    annotations : dict
        Name -> V texts.
    counters : dict
        Sums of `VariantBatch.counters`, without zeros.
    """

    sample_ids: tuple[str, ...]
    variants: list[tuple[str, int, str, str, str | None]]
    codes: np.ndarray
    haploid: np.ndarray
    dosages: np.ndarray
    homozygous: np.ndarray
    annotations: dict[str, list[str]]
    counters: Counter[str]


def taken(path: Path, **reading: Any) -> Taken:
    """Everything a conversion does with a file but the writing."""
    source = open_source(path, [], reading=Reading(**reading))
    n = len(source.sample_ids)
    batches = [piece.decode() for piece in source.pieces(np.arange(n, dtype=np.int64), None)]
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ("codes", "haploid", "dosages", "homozygous")}
    variants, annotations = [], {name: [] for name in source.annotations}
    for batch in batches:
        V = len(batch.packed)
        columns = ("chromosome", "base_pair_location", "other_allele", "effect_allele", "rsid")
        variants += batch.variants.select(columns).rows()
        for name, column in batch.columns.annotations.items():
            annotations[name] += column.series().to_list()
        parts["codes"].append(GenotypeBlock(batch.packed, n).codes())
        marks = np.zeros((V, (n + 7) // 8), np.uint8) if batch.haploid is None else batch.haploid
        parts["haploid"].append(np.unpackbits(marks, axis=1, count=n, bitorder="little").astype(bool))
        numbers = {name: np.full((V, n), np.nan) for name in ("dosages", "homozygous")}
        if batch.dosages is not None:
            rows = np.flatnonzero(batch.dosages.steps)
            for name, values in (("dosages", batch.dosages.values), ("homozygous", batch.dosages.homozygous)):
                if values is not None:
                    numbers[name][rows] = np.where(
                        values == NO_DOSAGE, np.nan, values / batch.dosages.steps[rows, np.newaxis]
                    )
        for name, values in numbers.items():
            parts[name].append(values)
    empty = {"codes": np.uint8, "haploid": bool, "dosages": float, "homozygous": float}
    joined = {name: np.concatenate([np.empty((0, n), empty[name]), *made]) for name, made in parts.items()}
    counters = +sum((Counter(batch.counters) for batch in batches), Counter())
    return Taken(source.sample_ids, variants, **joined, annotations=annotations, counters=counters)


@dataclass(frozen=True)
class Seeds:
    """What mutants are made of.

    Attributes
    ----------
    files : sequence of bytes
        Small sound files; each is read before any mutant is, and must be accepted.
    words : sequence of bytes
        Put in, or in the place of others: marks of the format, odd numbers.
    numbers : sequence of (int, int)
        Offset and width in bytes of little-endian numbers of all files (lengths, counts): replaced more often than other bytes.
    wrapped : callable, optional
        From mutated bytes to the file's: compresses them, mends checksums. The mutants are then of what is inside.
    """

    files: Sequence[bytes]
    words: Sequence[bytes] = ()
    numbers: Sequence[tuple[int, int]] = ()
    wrapped: Callable[[bytes], bytes] = bytes

    def mutant(self, rng: random.Random) -> bytes:
        """A file with one to six changes."""
        data = bytearray(rng.choice(self.files))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
            self._change(data, rng)
        return self.wrapped(bytes(data))

    def _change(self, data: bytearray, rng: random.Random) -> None:
        at = rng.randrange(len(data) + 1)
        near = at + rng.choice((1, 1, 2, 4, 8, 30, 300))
        fate = rng.random()
        if self.numbers and fate < 0.25:
            offset, width = rng.choice(self.numbers)
            data[offset : offset + width] = _number(rng, width, bytes(data[offset : offset + width]))
        elif fate < 0.4:
            width = rng.choice((1, 2, 4, 8))
            data[at : at + width] = _number(rng, width, bytes(data[at : at + width]))
        elif self.words and fate < 0.6:
            word = rng.choice(self.words)
            found = data.find(rng.choice(self.words), at)
            start = found if found >= 0 and rng.random() < 0.5 else at
            data[start : start + rng.choice((0, 0, 1, len(word)))] = word
        elif fate < 0.7 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif fate < 0.8:
            del data[at:near]
        elif fate < 0.85:
            data[at:at] = data[at:near] * rng.choice((1, 1, 3, 50))
        elif fate < 0.9:
            other = rng.choice(self.files)
            from_ = rng.randrange(len(other) + 1)
            data[at:near] = other[from_ : from_ + near - at]
        elif fate < 0.95:
            data[at:at] = rng.randbytes(rng.choice((1, 2, 16)))
        else:
            del data[at:]


def _number(rng: random.Random, width: int, now: bytes) -> bytes:
    """A little-endian number: an extreme, or near what stands there."""
    near = int.from_bytes(now, "little") + rng.choice((-2, -1, 1, 2, 8))
    return (rng.choice((*_EXTREMES, near)) % 256**width).to_bytes(width, "little")


def fuzz(
    seeds: Seeds,
    path: Path,
    *,
    read: Callable[[Path], Any] = taken,
    peer: Callable[[Path], Any] | None = None,
    same: Callable[[Any, Any], None] | None = None,
    seconds: float = SECONDS,
) -> Counter[str]:
    """Read mutants for some seconds, `LEAST_MUTANTS` at least.

    Parameters
    ----------
    seeds : Seeds
    path : Path
        Where each mutant is written before it is read; it stays there where one ends the process, and is copied to the system's
        folder of temporary files where one fails. Files beside it that a format needs (.bim, .sample) are the test's to make.
    read : callable
        Reads it, or raises `GenassocError` or `RecordError`; anything else fails.
    peer : callable, optional
        Reads it with another program, or raises `PeerRefusalError`; `AssertionError` where its refusal must be ours.
    same : callable, optional
        Raises `AssertionError` where what both read differs: ``same(ours, theirs)``.

    Returns
    -------
    Counter
        ``read``, ``refused``, ``compared``, and ``total`` mutants.
    """
    for number, file in enumerate(seeds.files):
        path.write_bytes(seeds.wrapped(file))
        try:
            ours = read(path)  # compiles what is not in the cache
        except (GenassocError, RecordError) as error:
            raise AssertionError(f"file {number} of the seeds is refused: {_message(error)}") from error
        if peer is not None and same is not None:
            same(ours, peer(path))
    counts: Counter[str] = Counter()
    rng, end = random.Random(SEED), time.monotonic() + seconds
    kept = Path(tempfile.gettempdir()) / "genassoc-fuzz" / f"{os.getpid()}-{path.name}"
    with limited(ROOM), _kept_if_it_fails(path, kept):
        while time.monotonic() < end or counts["total"] < LEAST_MUTANTS:
            path.write_bytes(seeds.mutant(rng))
            counts["total"] += 1
            where = f"mutant {counts['total']} of GENASSOC_FUZZ_SEED={SEED}, kept as {kept}"
            begun = time.process_time()
            try:
                ours = read(path)
            except (GenassocError, RecordError) as error:
                assert _message(error).strip(), f"{where}: refused without a word"
                counts["refused"] += 1
                continue
            except BaseException as error:
                raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error
            finally:
                took = time.process_time() - begun
                assert took < MOST_SECONDS, f"{where}: took {took:.1f} s"
            counts["read"] += 1
            if peer is None or same is None:
                continue
            try:
                same(ours, peer(path))
            except PeerRefusalError:
                continue
            except AssertionError as error:
                counted = f" ({dict(ours.counters)})" if isinstance(ours, Taken) else ""
                raise AssertionError(f"{where}: read otherwise than by the peer{counted}: {error}") from error
            counts["compared"] += 1
    return counts


@contextmanager
def _kept_if_it_fails(path: Path, kept: Path) -> Iterator[None]:
    """Copy the file to a place that outlives the test."""
    try:
        yield
    except BaseException:
        kept.parent.mkdir(exist_ok=True)
        shutil.copy(path, kept)
        raise


def _message(error: Exception) -> str:
    return error.message if isinstance(error, RecordError) else str(error)


@contextmanager
def limited(room: int) -> Iterator[None]:
    """A cap on the address space of this process, ``room`` bytes above what it has: absurd counts are `MemoryError`s."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
