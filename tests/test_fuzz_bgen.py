"""Mutants of BGEN: read or refused, and read as its specification says (`tests/oracles/bgen.py`) and as PLINK 2 does."""

import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bgen_files import NONE, ZLIB, ZSTD, Record, bgen
from fuzzing import PeerRefusalError, Seeds, Taken, fuzz, taken
from oracles import bgen as oracle
from oracles.probabilities import NO_DOSAGE

NAMES = [f"s{i}" for i in range(5)]
# Lengths and counts of the header: where variants begin, its bytes, variants, samples, flags; bytes of the names, how many.
NUMBERS = ((0, 4), (4, 4), (8, 4), (12, 4), (20, 4), (24, 4), (28, 4))
WORDS = (b"bgen", bytes(4), b"\xff\xff", b"\x02\x00", b"\x28\xb5\x2f\xfd", b"\x78\x9c", b"\x82", b"\x01\x00\x00\x00A")


def _records() -> list[Record]:
    return [
        Record([[255, 0], [0, 255], [10, 200], None, [0, 0]], position=5),
        Record([[255, 0], [0, 255], [10, 200], None, [0, 0]], phased=True, position=6),
        Record([[60000, 500], [0, 255], [10, 200], None, [0, 0]], bits=16, position=7, alleles=("AT", "A")),
        Record([[9], [0, 3], [1, 2], None, [0, 0]], [1, 2, 2, 2, 2], bits=5, position=8),
        Record([[9, 0, 0, 1, 2], [0] * 5, [0, 0, 0, 0, 31], None, [0] * 5], bits=5, position=9, alleles=("A", "C", "G")),
        Record([[1, 2, 3, 4], [0, 0], [1, 1], None, [0, 0]], [2, 1, 1, 1, 1], phased=True, bits=12, position=9, alleles=("A", "C", "G")),
    ]  # fmt: skip


def _seeds(*compressions: int) -> Seeds:
    files = [bgen(_records(), NAMES, compression=compression) for compression in compressions]
    oxford = [Record([(32768, 0, 0), (0, 32768, 0), (1, 2, 3), None, (0, 0, 5)], position=n) for n in (3, 4)]
    files += [bgen(oxford, NAMES, layout=1, compression=c) for c in compressions if c != ZSTD]
    return Seeds(files, words=WORDS, numbers=NUMBERS)


def _twin(path: Path) -> list[oracle.OracleVariant]:
    try:
        return oracle.read(path.read_bytes())
    except Exception as error:  # whatever a malformed file makes of it
        raise PeerRefusalError from error


def _same_as_the_twin(ours: Taken, theirs: list[oracle.OracleVariant]) -> None:
    rows = [(variant, k) for variant in theirs for k in range(len(variant.rows))]
    assert len(ours.variants) == len(rows)
    for number, (variant, k) in enumerate(rows):
        contig, position, ref, alt, _ = ours.variants[number]
        assert (contig, position, ref, alt) == (
            variant.contig,
            variant.position,
            variant.alleles[0],
            variant.alleles[k + 1],
        )
        row = variant.rows[k]
        assert ours.codes[number].tolist() == row.codes
        assert ours.haploid[number].tolist() == row.haploid
        if not row.steps:
            assert np.isnan(ours.dosages[number]).all()
            continue
        for mine, twins in ((ours.dosages, row.values), (ours.homozygous, row.homozygous)):
            expected = [np.nan if value == NO_DOSAGE else value / row.steps for value in twins]
            np.testing.assert_array_equal(mine[number], expected)


@pytest.mark.fuzz
@pytest.mark.parametrize("compressions", [(NONE,), (ZLIB, ZSTD)], ids=["inside", "compressed"])
def test_mutants(tmp_path: Path, compressions: tuple[int, ...]) -> None:
    # Without compression the genotypes themselves are mutated.
    counts = fuzz(_seeds(*compressions), tmp_path / "x.bgen", peer=_twin, same=_same_as_the_twin)
    assert counts["read"] and counts["refused"] and counts["compared"]


def _plink2(path: Path) -> Any:
    out = path.parent / "theirs"
    command = [
        "plink2",
        "--bgen",
        path,
        "ref-first",
        "--export",
        "A",
        "--out",
        out,
        "--allow-extra-chr",
        "--threads",
        "1",
    ]
    command += ["--memory", "640", "--hard-call-threshold", "0.1"]
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=60)
    assert done.returncode >= 0, "PLINK 2 crashed: keep the file and tell its authors"
    if done.returncode:
        raise PeerRefusalError
    lines = [line.split() for line in out.with_suffix(".raw").read_text().splitlines()]
    return np.array([[np.nan if x in ("NA", ".") else float(x) for x in line[6:]] for line in lines[1:]])


def _as_plink2(ours: Taken, theirs: Any) -> None:
    """Copies of the allele that PLINK 2 counts; it keeps 1/16384 and prints six digits. What it has no dosage for it may call missing."""
    codes = np.where(ours.codes == 3, np.nan, ours.codes)
    copies = np.where(np.isnan(ours.dosages), codes, ours.dosages).T
    if copies.shape != theirs.shape:
        raise PeerRefusalError  # it leaves out records of several alleles, or writes them in one column
    both = ~np.isnan(copies) & ~np.isnan(theirs)
    assert (np.abs(copies - theirs)[both] < 1e-4).all() or (np.abs(2 - copies - theirs)[both] < 1e-4).all()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not here")
def test_mutants_as_plink2_reads_them(tmp_path: Path) -> None:
    records = [Record([[255, 0], [0, 255], [10, 200], None, [0, 0]], position=n, phased=n % 2 == 0) for n in (5, 6, 7)]
    seeds = Seeds([bgen(records, NAMES, compression=NONE)], words=WORDS, numbers=NUMBERS)
    counts = fuzz(seeds, tmp_path / "x.bgen", peer=_plink2, same=_as_plink2)
    assert counts["read"] and counts["refused"]


@pytest.mark.fuzz
def test_mutants_of_the_index(tmp_path: Path) -> None:
    bgen_path = tmp_path / "x.bgen"
    content = bgen(_records(), NAMES)
    bgen_path.write_bytes(content)
    index = tmp_path / "made.bgi"
    at = struct.unpack_from("<I", content)[0] + 4
    with sqlite3.connect(index) as make:
        make.execute(
            "CREATE TABLE Metadata (filename TEXT, file_size INT, last_write_time INT, first_1000_bytes BLOB, index_creation_time INT)"
        )
        make.execute("INSERT INTO Metadata VALUES ('x.bgen', ?, 0, ?, 0)", (len(content), content[:1000]))
        make.execute("CREATE TABLE Variant (chromosome TEXT, position INT, file_start_position INT, size_in_bytes INT)")
        for record in _records():
            size = len(record.block(2, ZLIB))
            make.execute("INSERT INTO Variant VALUES (?, ?, ?, ?)", (record.contig, record.position, at, size))
            at += size
    make.close()

    def read(path: Path) -> Taken:
        from genassoc.formats.inputs import open_source, parse_regions

        source = open_source(bgen_path, parse_regions("1:6-8"))
        for piece in source.pieces(np.arange(5), None):
            batch = piece.decode()
            assert set(batch.variants["base_pair_location"].to_list()) <= {6, 7, 8}
        return taken(bgen_path)

    counts = fuzz(
        Seeds([index.read_bytes()], words=(b"Variant", b"Metadata", b"table")), tmp_path / "x.bgen.bgi", read=read
    )
    assert counts["read"]
