"""Arrays of a store read past Zarr are the arrays that Zarr reads; what is not as we write it is left to Zarr."""

import json

import numpy as np
import pytest
import zarr
from test_store import N, small, some_codes, some_variants, store  # noqa: F401  fixtures

from genassoc.data import schema
from genassoc.data.store.stored_array import StoredArray


def read_alone(array, start, stop):
    """What is read without Zarr; None where it is left to it."""
    rows = array._own_rows(start, stop)
    assert array._by_zarr is None, "Zarr was asked"
    return rows


@pytest.mark.parametrize("name", [name for name in schema.DIMENSIONS if name != schema.HAPLOID])
def test_rows_are_those_that_zarr_reads(store, name):  # noqa: F811
    theirs = zarr.open_group(str(store.path), mode="r")[name]
    ours = StoredArray(str(store.path), name, local=True)
    assert (ours.shape, ours.chunk, ours.file) == (theirs.shape, theirs.chunks[0], (theirs.shards or theirs.chunks)[0])
    n = ours.shape[0]
    for start, stop in [(0, n), (0, 1), (n // 2, n), (n - 1, n), (n // 3, n // 2), (n, n)]:
        rows, expected = read_alone(ours, start, stop), np.asarray(theirs[start:stop])
        assert rows.shape == expected.shape
        assert rows.dtype == (object if expected.dtype.kind == "T" else expected.dtype)
        np.testing.assert_array_equal(rows, expected.astype(rows.dtype))


def test_without_a_folder_zarr_reads(store):  # noqa: F811
    far = StoredArray(str(store.path), schema.VARIANT_POSITION, local=False)
    assert far._own_rows(0, 5) is None
    np.testing.assert_array_equal(
        far.rows(0, 5), StoredArray(str(store.path), schema.VARIANT_POSITION, local=True).rows(0, 5)
    )


@pytest.mark.parametrize("name", [schema.VARIANT_POSITION, schema.SAMPLE_ID])
def test_damage_and_other_layouts_are_left_to_zarr(store, name):  # noqa: F811
    file = store.path / name / "c" / "0"
    sound = file.read_bytes()
    array = StoredArray(str(store.path), name, local=True)
    for damaged in (
        sound[:-1],
        sound[:-2] + bytes([sound[-2] ^ 1]) + sound[-1:],
        sound[:6] + bytes([sound[6] ^ 1]) + sound[7:],
    ):
        file.write_bytes(damaged)
        assert StoredArray(str(store.path), name, local=True)._own_rows(0, 3) is None
        with pytest.raises(Exception, match=r"."):  # what Zarr says, whatever it is
            array.rows(0, 3)
    file.write_bytes(sound)
    described = store.path / name / "zarr.json"
    content = json.loads(described.read_text())
    changes = {
        "codec": lambda c: c["codecs"][1].update(name="gzip", configuration={"level": 1}),
        "order of bytes": lambda c: c["codecs"][0].update(name="bytes", configuration={"endian": "big"}),
        "keys": lambda c: c["chunk_key_encoding"]["configuration"].update(separator="."),
        "type": lambda c: c.update(data_type="float64"),
    }
    for what, change in changes.items():
        other = json.loads(json.dumps(content))
        change(other)
        described.write_text(json.dumps(other))
        opened = object.__new__(StoredArray)
        assert not opened._is_ours(store.path / name), what
    described.write_text("{")
    assert not object.__new__(StoredArray)._is_ours(store.path / name)


def test_a_chunk_with_more_or_fewer_strings_is_left_to_zarr():
    import struct

    from genassoc.data.store.chunk_shards import texts_of as _texts

    packed = struct.pack("<I", 2) + struct.pack("<I", 2) + "é".encode() + struct.pack("<I", 0)
    assert _texts(packed, 2).tolist() == ["é", ""]
    for content, n in [(packed, 3), (packed + b"x", 2), (packed[:-1], 2), (packed[:-5], 2)]:
        with pytest.raises(ValueError, match=r"chunk|utf-8"):
            _texts(content, n)


def test_a_frame_of_another_size_is_not_unpacked(store):  # noqa: F811
    """A frame of some bytes may unpack to any size: it must say the size of the array's chunks before it is."""
    import google_crc32c
    import zstandard

    array = StoredArray(str(store.path), schema.VARIANT_POSITION, local=True)
    frame = zstandard.ZstdCompressor().compress(bytes(2**24))
    (store.path / schema.VARIANT_POSITION / "c" / "0").write_bytes(
        frame + google_crc32c.value(frame).to_bytes(4, "little")
    )
    with pytest.raises(ValueError, match="not of the size"):
        array._whole_chunk(0)
    assert array._own_rows(0, 3) is None
