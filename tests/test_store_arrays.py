"""The files of a store are those that Zarr writes, byte for byte."""

import json

import numpy as np
import pytest
import zarr
from memory_store import snv_table
from zarr.codecs import Crc32cCodec, ZstdCodec

from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.arrays import array_metadata
from genassoc.data.store.shard_file import LEVEL
from genassoc.data.store.writer import write_store

N, V, STEP = 77, 150, 16


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A store of several shards and chunks of everything, some calls haploid."""
    folder = tmp_path_factory.mktemp("arrays")
    rng = np.random.default_rng(5)
    codes = rng.choice(4, (V, N), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
    marks = np.zeros((V, N), dtype=bool)
    marks[40:50] = (rng.random((10, N)) < 0.3) & (codes[40:50] != 1)  # of one chunk alone
    block = GenotypeBlock.from_codes(codes)
    block = GenotypeBlock(block.packed, N, 0, np.packbits(marks, axis=1, bitorder="little"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "METADATA_CHUNK", 64)
        patch.setattr(schema, "BLOCKS_PER_SHARD", 4)
        names = [f"Zoë{i}" for i in range(N)]
        write_store(folder / "a.zarr", names, [block], snv_table(V), block_variants=STEP)
    return folder / "a.zarr"


@pytest.mark.parametrize("name", [*schema.DIMENSIONS, *schema.OPTIONAL_DIMENSIONS])
def test_an_array_has_zarrs_bytes(tmp_path, written, name):
    ours = zarr.open_group(str(written), mode="r")[name]
    group = zarr.open_group(str(tmp_path / "b.zarr"), mode="w", zarr_format=3)
    theirs = group.create_array(
        name,
        shape=ours.shape,
        dtype=str if ours.dtype == object or ours.dtype.kind in "TU" else ours.dtype,
        chunks=ours.chunks,
        shards=ours.shards,
        fill_value=ours.fill_value,
        compressors=[ZstdCodec(level=LEVEL), Crc32cCodec()],
        dimension_names=(schema.DIMENSIONS | schema.OPTIONAL_DIMENSIONS)[name],
    ).with_config({"write_empty_chunks": name != schema.HAPLOID})
    theirs[:] = ours[:]
    files = [
        sorted(p.relative_to(top) for p in (top / name).rglob("*") if p.is_file())
        for top in (written, tmp_path / "b.zarr")
    ]
    assert files[0] == files[1] and len(files[0]) > 1
    for file in files[0]:
        assert (written / file).read_bytes() == (tmp_path / "b.zarr" / file).read_bytes(), file


def test_metadata_of_one_byte_and_of_wider_numbers_differ():
    one, four = (json.dumps(array_metadata(schema.VARIANT_CONTIG, (3,), kind, (3,))) for kind in ("uint8", "int32"))
    assert '{"name": "bytes"}' in one and '{"name": "bytes", "configuration": {"endian": "little"}}' in four
