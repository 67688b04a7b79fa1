"""Counts that a store keeps of its calls: those of the calls, used where they say the same, and checked."""

import shutil

import numpy as np
import polars as pl
import pytest
import zarr
from memory_store import snv_table
from old_store import without_root
from vcf_texts import random_vcf, write_bgzf

import genassoc as ga
from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.call_counts import count_calls
from genassoc.data.store.part_writer import PartWriter
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.writer import write_store
from genassoc.errors import StoreError
from genassoc.formats.convert import convert

N, V = 77, 60


def made_store(folder, haploid=True):
    """A store of blocks of 16 on chromosomes 1 and X, some calls haploid, and its codes."""
    rng = np.random.default_rng(3)
    codes = rng.choice(4, (V, N), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
    codes[0] = 3
    marks = np.zeros((V, N), dtype=bool)
    if haploid:
        marks[20:30] = rng.random((10, N)) < 0.3
        marks &= codes != 1
    block = GenotypeBlock.from_codes(codes)
    block = GenotypeBlock(block.packed, N, 0, np.packbits(marks, axis=1, bitorder="little"))
    places = pl.concat([snv_table(45), snv_table(V - 45, "X")])
    path = folder / "small.zarr"
    write_store(path, [f"s{i}" for i in range(N)], [block], places, block_variants=16)
    return path, codes, marks


def expected_counts(codes, marks):
    columns = [(codes == code).sum(axis=1) for code in range(4)]
    return np.column_stack([*columns, (marks & (codes == 0)).sum(axis=1), (marks & (codes == 2)).sum(axis=1)])


def test_counts_are_those_of_the_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "METADATA_CHUNK", 16)
    path, codes, marks = made_store(tmp_path)
    store = ga.open_store(path)
    np.testing.assert_array_equal(store.call_counts(0, V), expected_counts(codes, marks))
    for start, stop in ((13, 29), (16, 32), (0, 1), (59, V), (15, 49), (20, 20)):
        np.testing.assert_array_equal(store.call_counts(start, stop), expected_counts(codes, marks)[start:stop])
    block = store.read(0, V)
    np.testing.assert_array_equal(count_calls(block.packed, block.haploid, N), expected_counts(codes, marks))


def without_counts(path):
    """The same store as an earlier version wrote it."""
    old = path.with_name("old.zarr")
    shutil.copytree(path, old)
    shutil.rmtree(old / schema.VARIANT_CALL_COUNTS)
    without_root(old)
    return ga.open_store(old)


def test_qc_is_the_same_with_and_without_them(tmp_path):
    path, _, _ = made_store(tmp_path)
    new, old = ga.open_store(path), without_counts(path)
    assert old.call_counts(0, V) is None
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(N)], "SEX": np.arange(N) % 2 + 1, "age": np.arange(N)})
    for sex in (None, "SEX"):
        pairs = [ga.Cohort.align(store, table, sample_id="IID", sex=sex, build="GRCh38") for store in (new, old)]
        choices = [
            lambda cohort: cohort,
            lambda cohort: cohort.keep_variants(ga.variants.maf_above(0.2)),
            lambda cohort: cohort.keep_variants(np.arange(3, 50)),
            lambda cohort: cohort.keep_samples(pl.col("age") > 30),
            lambda cohort: cohort.keep_samples(pl.col("age") > 60),
        ]
        for choose in choices:
            ours, theirs = (ga.variant_qc(choose(cohort), executor=ga.Serial()) for cohort in pairs)
            assert ours.equals(theirs) and ours.height > 0


def test_calls_are_read_only_where_they_must_be(tmp_path, monkeypatch):
    path, _, _ = made_store(tmp_path)
    read = []
    whole_read = GenotypeStore.read
    monkeypatch.setattr(GenotypeStore, "read", lambda *a: read.append(a[1:]) or whole_read(*a))
    names = [f"s{i}" for i in range(N)]
    cohort = ga.Cohort.align(ga.open_store(path), pl.DataFrame({"IID": names[::-1]}), sample_id="IID")
    ga.variant_qc(cohort, executor=ga.Serial())
    assert read and all(start >= 45 for start, _ in read)  # X alone
    read.clear()
    ga.sample_qc(cohort, executor=ga.Serial())
    assert min(start for start, _ in read) == 0
    read.clear()
    few = ga.Cohort.align(ga.open_store(path), pl.DataFrame({"IID": names[1:]}), sample_id="IID")
    ga.variant_qc(few, executor=ga.Serial())
    assert min(start for start, _ in read) == 0


def test_damaged_counts_are_named(tmp_path):
    path, _, _ = made_store(tmp_path)
    without_root(path)  # else no changed file is read at all
    array = zarr.open_group(str(path), mode="r+")[schema.VARIANT_CALL_COUNTS]
    array[7, 2] += 1
    with pytest.raises(StoreError, match=r"variant_call_counts does not add up to 77; convert it again"):
        ga.open_store(path).call_counts(0, V)
    (chunk,) = (file for file in (path / schema.VARIANT_CALL_COUNTS / "c").rglob("*") if file.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="variant_call_counts"):
        ga.open_store(path).call_counts(0, V)
    chunk.unlink()
    with pytest.raises(StoreError, match="missing"):
        ga.open_store(path).call_counts(0, V)


def test_parts_of_an_earlier_version_are_not_gone_on_with(tmp_path, monkeypatch):
    """Their tables were parquet files: the conversion begins anew, and says so."""
    monkeypatch.setattr(schema, "MAX_BLOCK_VARIANTS", 16)
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 1)
    vcf = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(1, 21, 80))
    convert(vcf, tmp_path / "whole.zarr")
    write, done = PartWriter.write, []

    def dies_at_the_third(self, number, *arguments):
        if number == 2:
            raise KeyboardInterrupt
        done.append(self.table(number))
        return write(self, number, *arguments)

    monkeypatch.setattr(PartWriter, "write", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        convert(vcf, tmp_path / "a.zarr")
    monkeypatch.setattr(PartWriter, "write", write)
    for table in done:
        table.rename(table.with_suffix(".parquet"))
    summary = convert(vcf, tmp_path / "a.zarr")
    assert summary.resumed_rows == 0 and any("begun anew" in note for note in summary.notes)
    made, whole = ga.open_store(tmp_path / "a.zarr"), ga.open_store(tmp_path / "whole.zarr")
    assert made.fingerprint == whole.fingerprint
    np.testing.assert_array_equal(made.call_counts(0, made.n_variants), whole.call_counts(0, whole.n_variants))
