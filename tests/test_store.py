"""The store: what is written is read, and damage is never read as genotypes."""

import json
import pickle
import shutil

import numpy as np
import polars as pl
import pytest

from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.folder import work_folder
from genassoc.data.store.store import VARIANT_SCHEMA, GenotypeStore
from genassoc.data.store.writer import StoreWriter, write_store
from genassoc.errors import OutputError, StoreError

N = 37


def some_codes(n_variants: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (n_variants, N)).astype(np.uint8)


def some_variants(n_variants: int) -> pl.DataFrame:
    contigs = ["chr2"] * (n_variants // 3) + ["chr10"] * (n_variants // 3)
    contigs += ["chr2"] * (n_variants - len(contigs))
    return pl.DataFrame(
        {
            "chromosome": contigs,
            "base_pair_location": np.arange(n_variants) * 7 + 1,
            "effect_allele": ["ACGT"[v % 4] * (1 + v % 3) for v in range(n_variants)],
            "other_allele": ["é" if v == 5 else "T" for v in range(n_variants)],
            "rsid": [None if v % 5 == 0 else f"rs{v}" for v in range(n_variants)],
            "record": np.arange(n_variants) // 2,
            "alt_index": [1 + v % 2 for v in range(n_variants)],
        },
        schema_overrides=VARIANT_SCHEMA,
    )


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 2)
    monkeypatch.setattr(schema, "METADATA_CHUNK", 50)


@pytest.fixture
def store(tmp_path, small):
    """121 variants in blocks of 16, shards of 32; haploid calls in block 3 alone."""
    codes, variants = some_codes(121), some_variants(121)
    blocks = []
    for start in range(0, 121, 11):  # cut anywhere
        block = GenotypeBlock.from_codes(codes[start : start + 11])
        haploid = np.zeros((block.n_variants, 5), np.uint8)
        if start <= 50 < start + 11:
            haploid[50 - start, 2] = 5
        blocks.append(GenotypeBlock(block.packed, N, 0, haploid))
    write_store(tmp_path / "a.zarr", [f"s{i}" for i in range(N)], blocks, variants, block_variants=16)
    return GenotypeStore.open(tmp_path / "a.zarr")


def test_what_is_written_is_read(store):
    assert (store.n_variants, store.n_samples, store.block_variants) == (121, N, 16)
    assert store.sample_ids.dtype == object
    assert list(store.sample_ids) == [f"s{i}" for i in range(N)]
    assert store.contigs == ("chr2", "chr10")
    codes, variants = some_codes(121), some_variants(121)
    for start, stop in [(0, 121), (0, 16), (3, 5), (15, 17), (30, 100), (120, 121), (7, 7), (121, 121)]:
        block = store.read(start, stop)
        assert block.start == start
        assert block.packed.flags.c_contiguous
        np.testing.assert_array_equal(block.codes(), codes[start:stop])
        assert store.variants(start, stop).equals(variants[start:stop])
    assert store.variants().equals(variants)
    assert store.variants().schema == VARIANT_SCHEMA
    assert [store.position(i) for i in (0, 39, 40, 120, 3)] == [
        variants["base_pair_location"][i] for i in (0, 39, 40, 120, 3)
    ]


def test_padding_is_not_observed(store):
    packed = store.read(0, 121).packed
    bits = np.unpackbits(packed, axis=1)[:, 2 * 40 :]
    assert bits.all()


def test_haploid_bits_where_there_are_any(store):
    assert store.read(0, 48).haploid is None
    assert store.read(64, 121).haploid is None
    assert store.read(51, 64).haploid is None  # in the same chunk, but not in the range
    haploid = store.read(40, 60).haploid
    assert haploid is not None
    assert haploid.sum() == 5
    assert haploid[10, 2] == 5
    assert not (store.path / schema.HAPLOID / "c" / "0").exists()


def test_contig_runs_are_maximal(store):
    assert store.contig_runs() == [("chr2", 0, 40), ("chr10", 40, 80), ("chr2", 80, 121)]


def test_ranges_outside_are_refused(store):
    for start, stop in [(-1, 3), (0, 122), (5, 4)]:
        with pytest.raises(StoreError, match="there are 121"):
            store.read(start, stop)
        with pytest.raises(StoreError, match="there are 121"):
            store.variants(start, stop)
    for variant in (-1, 121):
        with pytest.raises(StoreError, match="there are 121"):
            store.position(variant)


def test_pickles_as_its_path(store):
    again = pickle.loads(pickle.dumps(store))
    assert again.fingerprint == store.fingerprint
    np.testing.assert_array_equal(again.read(3, 20).packed, store.read(3, 20).packed)


def test_fingerprint_tells_contents_apart_and_not_how_they_came(tmp_path, small, store):
    codes, variants = some_codes(121), some_variants(121)
    names = [f"s{i}" for i in range(N)]

    def fingerprint(name, codes, variants, names=names):
        block = GenotypeBlock.from_codes(codes)
        haploid = np.zeros((121, 5), np.uint8)
        haploid[50, 2] = 5
        blocks = [GenotypeBlock(block.packed, N, 0, haploid)]
        write_store(tmp_path / name, names, blocks, variants, block_variants=16)
        return GenotypeStore.open(tmp_path / name).fingerprint

    assert fingerprint("same.zarr", codes, variants) == store.fingerprint
    other = codes.copy()
    other[100, 3] ^= 1
    assert fingerprint("codes.zarr", other, variants) != store.fingerprint
    renamed = variants.with_columns(pl.col("rsid").fill_null("x"))
    assert fingerprint("names.zarr", codes, renamed) != store.fingerprint
    assert fingerprint("samples.zarr", codes, variants, [*names[:-1], "z"]) != store.fingerprint


def test_all_hom_ref_and_all_missing_are_on_disk(tmp_path, small):
    codes = np.zeros((64, 32), np.uint8)
    codes[32:] = 3
    names = [f"s{i}" for i in range(32)]
    write_store(tmp_path / "a.zarr", names, [GenotypeBlock.from_codes(codes)], some_variants(64), block_variants=16)
    store = GenotypeStore.open(tmp_path / "a.zarr")
    np.testing.assert_array_equal(store.read(0, 64).codes(), codes)
    assert {p.parent.name for p in (store.path / schema.GENOTYPES / "c").glob("*/0")} == {"0", "1"}


def test_absent_unfinished_and_foreign_folders(tmp_path):
    with pytest.raises(StoreError, match="no such store"):
        GenotypeStore.open(tmp_path / "a.zarr")
    work_folder(tmp_path / "a.zarr").mkdir()
    with pytest.raises(StoreError, match="rerun convert"):
        GenotypeStore.open(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match="rerun convert"):
        GenotypeStore.open(work_folder(tmp_path / "a.zarr"))
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(StoreError, match="is no store"):
        GenotypeStore.open(tmp_path / "b.zarr")
    (tmp_path / "c.vcf").write_text("x")
    with pytest.raises(StoreError, match="convert it first"):
        GenotypeStore.open(tmp_path / "c.vcf")
    import zarr

    zarr.open_group(str(tmp_path / "d.zarr"), mode="w", zarr_format=3)
    with pytest.raises(StoreError, match="no genassoc store"):
        GenotypeStore.open(tmp_path / "d.zarr")


def test_newer_format_is_refused(store):
    file = store.path / "zarr.json"
    text = json.loads(file.read_text())
    text["attributes"]["format_version"] = schema.FORMAT_VERSION + 1
    file.write_text(json.dumps(text))
    with pytest.raises(StoreError, match="upgrade genassoc"):
        GenotypeStore.open(store.path)


def test_every_lost_file_is_noticed(store):
    for file in sorted(p for p in store.path.rglob("*") if p.is_file()):
        kept = file.read_bytes()
        file.unlink()
        with pytest.raises(StoreError, match=r"damaged|no store"):
            again = GenotypeStore.open(store.path)
            again.variants()
            again.contig_runs()
            again.read(0, 121)
            again.call_counts(0, 121)
        file.write_bytes(kept)
    GenotypeStore.open(store.path).read(0, 121)


def test_every_flipped_chunk_is_noticed(store):
    for file in sorted(p for p in store.path.rglob("c/**/*") if p.is_file()):
        kept = file.read_bytes()
        for at in (len(kept) // 3, len(kept) - 3):
            damaged = bytearray(kept)
            damaged[at] ^= 0x10
            file.write_bytes(damaged)
            with pytest.raises(StoreError, match="damaged"):
                again = GenotypeStore.open(store.path)
                again.variants()
                again.contig_runs()
                again.read(0, 121)
                again.call_counts(0, 121)
        file.write_bytes(kept[: len(kept) // 2])
        with pytest.raises(StoreError, match="damaged"):
            again = GenotypeStore.open(store.path)
            again.variants()
            again.contig_runs()
            again.read(0, 121)
            again.call_counts(0, 121)
        file.write_bytes(kept)


def test_damage_names_the_chunk_and_spares_the_others(store):
    file = store.path / schema.GENOTYPES / "c" / "1" / "0"
    damaged = bytearray(file.read_bytes())
    damaged[5] ^= 1  # in the first chunk of shard 1: chunk 2
    file.write_bytes(damaged)
    store.read(0, 32)
    with pytest.raises(StoreError, match=r"chunk 2 \(rows 32 to 47\)"):
        store.read(20, 60)


def test_nothing_but_a_store_is_overwritten(tmp_path, small, store):
    codes = some_codes(20, seed=9)
    names = [f"s{i}" for i in range(N)]

    def write(path, **options):
        write_store(path, names, [GenotypeBlock.from_codes(codes)], some_variants(20), **options)

    with pytest.raises(OutputError, match="a store made of other inputs"):
        write(store.path)
    write(store.path, overwrite=True)
    assert GenotypeStore.open(store.path).n_variants == 20
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").write_text("x")
    for path in (tmp_path / "mine", tmp_path / "mine" / "thesis.doc"):
        with pytest.raises(OutputError, match="no genassoc store is there"):
            write(path, overwrite=True)
    with pytest.raises(OutputError, match="does not exist"):
        write(tmp_path / "no" / "a.zarr")
    with pytest.raises(OutputError, match="is no folder"):
        write(tmp_path / "mine" / "thesis.doc" / "a.zarr")
    work_folder(tmp_path / "b.zarr").mkdir()
    (work_folder(tmp_path / "b.zarr") / "notes.txt").write_text("x")
    with pytest.raises(OutputError, match="holds files of others"):
        write(tmp_path / "b.zarr")
    assert (tmp_path / "mine" / "thesis.doc").read_text() == "x"


def test_two_writers_do_not_meet(tmp_path):
    writer = StoreWriter(tmp_path / "a.zarr", ["s"], {"a": 1})
    with pytest.raises(OutputError, match="another process"):
        StoreWriter(tmp_path / "a.zarr", ["s"], {"a": 1})
    writer.close()
    assert not work_folder(tmp_path / "a.zarr").exists()  # nothing was in it


def test_blocks_that_do_not_fit_leave_nothing(tmp_path):
    block = GenotypeBlock.from_codes(some_codes(10))
    names = [f"s{i}" for i in range(N)]
    for sample_ids, blocks, variants in (
        (names[:-1], [block], some_variants(10)),
        (names, [block], some_variants(9)),
        (names, [block], some_variants(11)),
        (names, [], some_variants(0)),
    ):
        with pytest.raises(ValueError, match="variants"):
            write_store(tmp_path / "a.zarr", sample_ids, blocks, variants)
    assert list(tmp_path.iterdir()) == []


def test_defaults_of_a_table_in_memory(tmp_path):
    variants = some_variants(10).drop("rsid", "record", "alt_index")
    write_store(tmp_path / "a.zarr", [f"s{i}" for i in range(N)], [GenotypeBlock.from_codes(some_codes(10))], variants)
    table = GenotypeStore.open(tmp_path / "a.zarr").variants()
    assert table["rsid"].null_count() == 10
    assert table["record"].to_list() == list(range(10))
    assert table["alt_index"].to_list() == [1] * 10


def test_a_full_disk_is_said_and_what_is_written_is_kept(tmp_path, small, monkeypatch):
    names = [f"s{i}" for i in range(N)]
    codes, variants = some_codes(121), some_variants(121)
    packed = GenotypeBlock.from_codes(codes).packed
    from genassoc.data.store.arrays import StoreArrays

    write_shard = StoreArrays.write_shard

    def full(self, number, *rows):
        if number == 2:
            raise OSError(28, "No space left on device")
        return write_shard(self, number, *rows)

    monkeypatch.setattr(StoreArrays, "write_shard", full)
    writer = StoreWriter(tmp_path / "a.zarr", names, {"a": 1}, block_variants=16)
    with pytest.raises(OutputError, match=r"disk is full.*rerun resumes"):
        writer.append(packed, None, variants, {"place": 0})
        writer.finish({})  # a shard is written beside the filling of the next: here it is known at the latest
    writer.close()
    assert not (tmp_path / "a.zarr").exists()
    monkeypatch.setattr(StoreArrays, "write_shard", write_shard)
    writer = StoreWriter(tmp_path / "a.zarr", names, {"a": 1}, block_variants=16)
    assert writer.resumed
    assert (writer.n_rows, writer.origin, writer.rows_of_origin) == (64, {"place": 0}, 64)
    writer.append(packed[64:], None, variants[64:], {"place": 0}, 64)
    writer.finish({})
    np.testing.assert_array_equal(GenotypeStore.open(tmp_path / "a.zarr").read(0, 121).codes(), codes)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_another_identity_begins_anew(tmp_path, small):
    names = [f"s{i}" for i in range(N)]
    packed, variants = GenotypeBlock.from_codes(some_codes(121)).packed, some_variants(121)
    writer = StoreWriter(tmp_path / "a.zarr", names, {"a": 1}, block_variants=16)
    writer.append(packed, None, variants)
    writer.close()
    writer = StoreWriter(tmp_path / "a.zarr", names, {"a": 2}, block_variants=16)
    assert writer.discarded
    assert writer.n_rows == 0
    writer.append(packed[:40], None, variants[:40])
    writer.finish({})
    assert GenotypeStore.open(tmp_path / "a.zarr").n_variants == 40
    shutil.rmtree(tmp_path / "a.zarr")
