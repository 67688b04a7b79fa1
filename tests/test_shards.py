"""Blocks read past Zarr are the blocks that Zarr reads; what is not as we write it is left to Zarr."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from test_store import N, small, some_codes, store  # noqa: F401  fixtures

from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.shards import Shards, _content_bytes, _identity, _Piece

MIDDLES = [(0, 121), (0, 16), (16, 48), (5, 7), (15, 17), (31, 33), (100, 121), (112, 121), (120, 121), (9, 9)]


@pytest.fixture
def shards(store):  # noqa: F811
    return Shards.of(store.path / schema.GENOTYPES)


@pytest.mark.parametrize(("start", "stop"), MIDDLES)
def test_rows_are_those_written(shards, start, stop):
    written = GenotypeBlock.from_codes(some_codes(121)).packed
    np.testing.assert_array_equal(shards.read(start, stop), written[start:stop])


@pytest.mark.parametrize("at", [5, -3, -30])  # in a chunk, in the index's checksum, in the index
def test_damage_is_left_to_zarr(shards, at):
    file = shards.folder / "c" / "1" / "0"
    damaged = bytearray(file.read_bytes())
    damaged[at] ^= 1
    file.write_bytes(damaged)
    assert shards.read(32, 48) is None
    assert shards.read(0, 32) is not None
    file.unlink()
    assert shards.read(32, 48) is None


def test_another_layout_is_left_to_zarr(shards):
    file = shards.folder / "zarr.json"
    content = json.loads(file.read_text())
    changes = {
        "codec": lambda c: c["codecs"][0]["configuration"]["codecs"][1].update(name="gzip"),
        "more codecs": lambda c: c["codecs"].append({"name": "bytes"}),
        "dtype": lambda c: c.update(data_type="uint16"),
        "columns cut": lambda c: c["chunk_grid"]["configuration"]["chunk_shape"].__setitem__(1, 5),
        "index first": lambda c: c["codecs"][0]["configuration"].update(index_location="start"),
        "one dimension": lambda c: c.update(shape=[121]),
        "no rows in a chunk": lambda c: c["codecs"][0]["configuration"]["chunk_shape"].__setitem__(0, 0),
        "fewer than no rows": lambda c: c.update(shape=[-1, *c["shape"][1:]]),
    }
    for name, change in changes.items():
        other = json.loads(json.dumps(content))
        change(other)
        file.write_text(json.dumps(other))
        assert Shards.of(shards.folder) is None, name
    file.write_text("[" * 200_000)
    assert Shards.of(shards.folder) is None
    file.write_text("not JSON")
    assert Shards.of(shards.folder) is None
    file.write_text(json.dumps(content))
    assert Shards.of(shards.folder) == shards


@pytest.mark.parametrize("size", [1, 200, 255, 256, 300, 65_791, 65_792, 1_000_000])
def test_a_frame_says_its_size(size):
    from numcodecs.zstd import Zstd

    assert _content_bytes(Zstd(level=1).encode(np.arange(size, dtype=np.uint32).astype(np.uint8))) == size


def test_a_chunk_that_is_too_short_is_not_padded_with_what_memory_held(shards):
    # A frame of fewer bytes with a right checksum: the decoder alone would leave the rest as it was.
    import google_crc32c
    from numcodecs.zstd import Zstd

    def summed(data):
        return data + google_crc32c.value(data).to_bytes(4, "little")

    chunk = summed(Zstd(level=1).encode(np.zeros(16, np.uint8)))
    index = summed(np.array([0, len(chunk), 0, len(chunk)], "<u8").tobytes())
    (shards.folder / "c" / "0" / "0").write_bytes(chunk + index)
    assert shards.read(0, 16) is None


def test_chunks_are_gone_on_with_and_begun_anew(shards):
    """Blocks in order, backwards, and by threads that jump: whatever was unpacked before, rows are those written."""
    written = GenotypeBlock.from_codes(some_codes(121)).packed
    for start in [*range(0, 121, 5), *range(115, -1, -5)]:
        np.testing.assert_array_equal(shards.read(start, min(start + 5, 121)), written[start : start + 5])
    starts = np.random.default_rng(3).integers(0, 118, 200).tolist()
    with ThreadPoolExecutor(4) as pool:
        for start, rows in zip(starts, pool.map(lambda at: shards.read(at, at + 3), starts)):
            np.testing.assert_array_equal(rows, written[start : start + 3])


def test_a_file_that_is_replaced_is_not_gone_on_with(tmp_path):
    """The rest of one file behind the beginning of another would be no chunk of either."""
    path, other = tmp_path / "0", tmp_path / "other"
    path.write_bytes(bytes(range(100)))
    with path.open("rb") as file:
        piece = _Piece(path, _identity(file), 10, 80)
    assert piece.read(5) == bytes(range(10, 15)) and piece.read(5) == bytes(range(15, 20))
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(ValueError, match="replaced"):
        piece.read(5)
