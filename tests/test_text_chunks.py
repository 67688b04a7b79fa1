"""Strings read past Zarr are the strings that Zarr reads; what is not as we write it is left to Zarr."""

import json
import struct
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from oracles import texts as oracle
from test_store import N, small, some_codes, some_variants, store  # noqa: F401  fixtures

from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.store import GenotypeStore
from genassoc.data.store.text_chunks import TextChunks
from genassoc.data.store.writer import write_store
from genassoc.kernels.text.texts import put_texts, take_texts


def packed(texts):
    return struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(t)) + t for t in texts)


def taken(content, first, step, n):
    """What the kernel finds; None where it says that the content is none."""
    content = np.frombuffer(content, np.uint8)
    offsets, data = np.zeros(n + 1, np.int64), np.zeros(content.size, np.uint8)
    size = take_texts(content, first, step, offsets, data)
    whole = bytes(data)
    assert size < 0 or size == offsets[-1]
    return [whole[a:b].decode() for a, b in pairwise(offsets)] if size >= 0 else None


@pytest.mark.kernel
@pytest.mark.parametrize(("first", "step", "n"), [(0, 1, 5), (0, 1, 2), (1, 2, 2), (0, 2, 3), (4, 1, 1), (0, 1, 0)])
def test_strings_are_taken(first, step, n):
    content = packed([b"A", b"", b"rs1234567", b"G" * 300, b"."])
    assert taken(content, first, step, n) == oracle.take_texts(content, first, step, n)


@pytest.mark.kernel
def test_content_that_ends_too_early_is_none():
    content = packed([b"ACGT", b"T"])
    assert taken(content, 0, 1, 2) == ["ACGT", "T"]
    for end in range(len(content)):
        assert taken(content[:end], 0, 1, 2) is None, end
    assert taken(content, 0, 1, 3) is None
    assert taken(content, 1, 2, 2) is None
    assert taken(content[:4] + b"\xff\xff\xff\xff" + content[8:], 0, 1, 1) is None  # a length beyond the end
    assert taken(packed(["é".encode()]), 0, 1, 1) is None


def test_columns_are_those_written(store):  # noqa: F811
    variants = some_variants(121)
    alleles = TextChunks.of(store.path / schema.VARIANT_ALLELE)
    assert (alleles.chunk, alleles.width) == (50, 2)
    other, effect = alleles.read(2, 21)
    assert effect.to_list() == variants["effect_allele"][100:].to_list()
    assert other.to_list() == variants["other_allele"][100:].to_list()
    (rsid,) = TextChunks.of(store.path / schema.VARIANT_ID).read(1, 50)
    assert rsid.to_list() == variants["rsid"].fill_null(".")[50:100].to_list()


def test_damage_is_left_to_zarr(store):  # noqa: F811
    chunks = TextChunks.of(store.path / schema.VARIANT_ID)
    file = chunks.folder / "c" / "1"
    sound = file.read_bytes()
    for at in (6, -2):  # in the frame, in the checksum
        damaged = bytearray(sound)
        damaged[at] ^= 1
        file.write_bytes(damaged)
        assert chunks.read(1, 50) is None
        assert chunks.read(0, 50) is not None
    file.unlink()
    assert chunks.read(1, 50) is None


def test_another_layout_is_left_to_zarr(store):  # noqa: F811
    folder = store.path / schema.VARIANT_ALLELE
    file = folder / "zarr.json"
    content = json.loads(file.read_text())
    changes = {
        "codec": lambda c: c["codecs"][1].update(name="gzip"),
        "more codecs": lambda c: c["codecs"].append({"name": "crc32c"}),
        "dtype": lambda c: c.update(data_type="bytes"),
        "columns cut": lambda c: c["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 1),
        "keys": lambda c: c["chunk_key_encoding"]["configuration"].update(separator="."),
    }
    for name, change in changes.items():
        other = json.loads(json.dumps(content))
        change(other)
        file.write_text(json.dumps(other))
        assert TextChunks.of(folder) is None, name
    file.write_text("not JSON")
    assert TextChunks.of(folder) is None
    file.unlink()
    assert TextChunks.of(folder) is None


def test_names_that_are_no_ascii_come_through_zarr(tmp_path, small):  # noqa: F811
    variants = some_variants(121).with_columns(
        rsid=pl.when(pl.int_range(pl.len()) % 40 == 3).then(pl.lit("variété→")).otherwise(pl.col("rsid"))
    )
    blocks = [GenotypeBlock.from_codes(some_codes(121))]
    write_store(tmp_path / "b.zarr", [f"s{i}" for i in range(N)], blocks, variants, block_variants=16)
    assert GenotypeStore.open(tmp_path / "b.zarr").variants().equals(variants)


@pytest.mark.kernel
def test_texts_are_put_where_they_belong():
    offsets, data = np.array([2, 2, 5, 9], np.int64), np.frombuffer(bytearray(b"--abcdefg-"), np.uint8)
    for prefixed in (False, True):
        ours, slow = np.full(40, 7, np.uint8), np.full(40, 7, np.uint8)
        starts = np.array([30, 6, 17], np.int64)
        put_texts(offsets, data, starts, prefixed, ours)
        oracle.put_texts(offsets, data, starts, prefixed, slow)
        np.testing.assert_array_equal(ours, slow)
