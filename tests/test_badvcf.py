"""1,233 malformed or odd VCF and BCF files of hts-specs, bcftools and cyvcf2: read or refused, never anything else.

`CLASSIFIED.tsv` has each file's label by its author and whether bcftools 1.16 reads it. "failed" alone is no reason to
refuse (validators are stricter than readers); a file that bcftools refuses, we refuse.
"""

import csv
import gzip
import shutil
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from badvcf_table import classified, outcome
from oracles import vcf as oracle
from real_data import real_data

from genassoc.data.block import GenotypeBlock
from genassoc.data.store.folder import work_folder
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError
from genassoc.formats.convert import convert
from genassoc.formats.inputs import open_source
from genassoc.formats.source import RecordError, VariantBatch

MAX_SECONDS = 10.0  # what the files are meant to be read or refused in; each takes milliseconds


def files(**wanted: str) -> list[Path]:
    """Files by columns of CLASSIFIED.tsv."""
    folder = real_data("badvcf")
    with (folder / "CLASSIFIED.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    return [folder / row["path"] for row in rows if all(row[column] == value for column, value in wanted.items())]


def scan(path: Path) -> list[VariantBatch]:
    """Everything a conversion does with a file but the writing."""
    source = open_source(path, [])
    columns = np.arange(len(source.sample_ids), dtype=np.int64)
    return [piece.decode() for piece in source.pieces(columns, None)]


def text_of(path: Path) -> str | None:
    """The file's text, if it is one."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return None if data[:3] == b"BCF" else data.decode("utf-8")


def test_every_file_is_read_or_refused():
    refused = read = 0
    scan(real_data("hail") / "regressionLinear.vcf")  # compiles the kernel, where it is not in the cache
    for path in files():
        start = time.monotonic()
        try:
            batches = scan(path)
        except InputError as error:
            assert str(path) in str(error)
            refused += 1
        except RecordError as error:
            assert error.message
            refused += 1
        else:
            assert_no_garbage(path, batches)
            read += 1
        assert time.monotonic() - start < MAX_SECONDS, path
    assert refused + read == 1233
    assert read > 500


def assert_no_garbage(path: Path, batches: list[VariantBatch]) -> None:
    """What was read is what the slow twin reads."""
    text = text_of(path)
    if text is None:
        return
    expected = oracle.scan(text)
    n = len(expected.samples)
    assert sum(batch.counters["records"] for batch in batches) == expected.counts["records"], path
    codes = [GenotypeBlock(batch.packed, n).codes() for batch in batches]
    steps = [np.zeros(len(b.packed)) if b.dosages is None else b.dosages.steps for b in batches]
    of_calls = np.concatenate([np.empty(0), *steps]) == 0  # the calls of other rows are nearest to dosages
    got = np.concatenate(codes) if codes else np.empty((0, n), np.uint8)
    wanted = np.array([row.codes for row in expected.rows], dtype=np.uint8).reshape(-1, n)
    np.testing.assert_array_equal(got[of_calls], wanted[of_calls], err_msg=str(path))
    names = [row[:5] for batch in batches for row in batch.variants.rows()]
    assert names == [(r.contig, r.position, r.alt, r.ref, r.rsid) for r in expected.rows], path


@pytest.mark.skipif(shutil.which("bcftools") is None, reason="bcftools is not installed")
def test_calls_are_those_of_bcftools():
    rows = [outcome(row) for row in classified()]
    counts = Counter((row["bcftools_here"], row["genassoc"], row["calls"]) for row in rows)
    assert sum(counts.values()) == 1233
    # where both read a file, all calls are equal; what bcftools refuses is refused
    assert set(counts) == {("ok", "read", "same"), ("ok", "refused", ""), ("error", "refused", "")}
    assert counts["ok", "read", "same"] > 590
    # what bcftools reads and we do not has no samples, or calls, dosages, columns or fixed fields that mean nothing
    refused = [str(row["message"]) for row in rows if row["bcftools_here"] == "ok" and row["genassoc"] == "refused"]
    others = [message for message in refused if "sites-only" not in message]
    known = (
        "above the number of ALT",
        "is no whole number",
        "is empty",
        "is no contig name",
        "among the records",
        "where the header has",
        "where DS has not one value for each ALT",
        "where field DS must be a number",
    )
    assert len(others) < 35 and all(any(words in message for words in known) for message in others)


def test_what_bcftools_refuses_is_refused(tmp_path):
    refused = files(**{"bcftools_1.16_view": "error"})
    assert len(refused) == 60
    for path in refused:
        with pytest.raises(InputError) as caught:
            convert(path, tmp_path / "a.zarr")
        assert str(path) in str(caught.value)
        assert not (tmp_path / "a.zarr").exists()
        assert not work_folder(tmp_path / "a.zarr").exists()


def test_what_is_sound_and_has_genotypes_is_loaded(tmp_path):
    loaded = 0
    for number, path in enumerate(files(label_by_author="passed")):
        text = text_of(path)
        assert text is not None
        names = next(line for line in text.splitlines() if line.startswith("#CHROM")).split("\t")
        expected = oracle.scan(text) if len(names) > 9 else oracle.OracleScan([])
        if not expected.rows:
            # nothing to keep: sites only, or no GT
            with pytest.raises(InputError, match=r"no samples|no variants to write"):
                convert(path, tmp_path / f"{number}.zarr")
            continue
        summary = convert(path, tmp_path / f"{number}.zarr")
        assert summary.rows == len(expected.rows), path
        store = GenotypeStore.open(tmp_path / f"{number}.zarr")
        codes, of_calls = store.read(0, summary.rows).codes(), store.dosage_steps(0, summary.rows) == 0
        wanted = np.array([row.codes for row in expected.rows])
        np.testing.assert_array_equal(codes[of_calls], wanted[of_calls], err_msg=str(path))
        loaded += 1
    assert loaded >= 40
