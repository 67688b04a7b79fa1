"""Shards written by hand have the bytes that Zarr gives them."""

import numpy as np
import pytest
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from genassoc.data import schema
from genassoc.data.store.shard_file import LEVEL, encode_chunk, write_shard_file

STEP, WIDTH, N_CHUNKS = 16, 24, 4


@pytest.mark.parametrize("n_rows", [1, 15, 16, 17, 40, 63, 64])
def test_a_shard_has_zarrs_bytes(tmp_path, n_rows):
    rows = np.random.default_rng(n_rows).choice([0, 0, 0, 0, 1, 64, 255], (n_rows, WIDTH)).astype(np.uint8)
    array = zarr.create_array(
        str(tmp_path / "zarr"),
        shape=rows.shape,
        dtype="uint8",
        chunks=(STEP, WIDTH),
        shards=(STEP * N_CHUNKS, WIDTH),
        compressors=[ZstdCodec(level=LEVEL), Crc32cCodec()],
        fill_value=schema.NO_CALLS,
    ).with_config({"write_empty_chunks": True})
    array[:] = rows
    chunks = [encode_chunk(rows[at : at + STEP], STEP, schema.NO_CALLS) for at in range(0, n_rows, STEP)]
    write_shard_file(tmp_path / "ours" / "0", chunks, N_CHUNKS)
    assert (tmp_path / "ours" / "0").read_bytes() == (tmp_path / "zarr" / "c" / "0" / "0").read_bytes()


def test_rows_of_nothing_but_fill_are_written(tmp_path):
    rows = np.full((STEP, WIDTH), schema.NO_CALLS, np.uint8)
    write_shard_file(tmp_path / "0", [encode_chunk(rows, STEP, schema.NO_CALLS)], 1)
    assert (tmp_path / "0").stat().st_size > 20  # the index alone: 16 bytes and its checksum
