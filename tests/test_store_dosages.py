"""Dosages and further columns in the store: what is written is read, resumes with the same bytes, and is never lost without a word."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genassoc.data import schema
from genassoc.data.block import NO_DOSAGE, DosageRows
from genassoc.data.store.arrays import Contents
from genassoc.data.store.pieces import hash_of
from genassoc.data.store.store import VARIANT_SCHEMA, GenotypeStore
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.data.store.writer import StoreWriter
from genassoc.errors import InputError, OutputError, StoreError
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.shapes import packed_bytes

N, V = 37, 121
NAMES = [f"s{i}" for i in range(N)]
ANNOTATIONS = ("FILTER", "info_source", "INFO/CSQ")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(schema, "BLOCKS_PER_SHARD", 2)
    monkeypatch.setattr(schema, "METADATA_CHUNK", 50)


def some_rows() -> DosageRows:
    """Rows in turns of 255, 1000 and 32767 steps and of calls only; rows 32 to 47, a whole block, of calls only; some probabilities."""
    rng = np.random.default_rng(3)
    steps = np.resize(np.array([255, 0, 1000, 32767], np.uint16), V)
    steps[32:48] = 0
    one = steps[steps > 0].astype(np.int64)[:, None]
    two = rng.integers(0, one + 1, (len(one), N))
    het = rng.integers(0, one - two + 1)
    values = het + 2 * two
    not_observed = rng.random(values.shape) < 0.1
    values[not_observed] = NO_DOSAGE
    two[not_observed] = NO_DOSAGE
    two[::3] = NO_DOSAGE  # rows of DS alone
    two[(np.flatnonzero(steps) >= 96)] = NO_DOSAGE
    return DosageRows(steps, values.astype(np.uint16), two.astype(np.uint16))


def some_calls(rows: DosageRows) -> np.ndarray:
    packed = np.random.default_rng(4).integers(0, 256, (V, packed_bytes(N))).astype(np.uint8)
    nearest = np.empty((len(rows.values), packed_bytes(N)), np.uint8)
    hard_calls(rows.values, rows.steps[rows.steps > 0], nearest)
    packed[rows.steps > 0] = nearest
    return packed


def some_haploid() -> np.ndarray:
    haploid = np.zeros((V, 5), np.uint8)
    haploid[60, 1] = 0b10011
    return haploid


def some_variants() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "chromosome": ["1"] * 60 + ["X"] * (V - 60),
            "base_pair_location": np.arange(V) * 7 + 1,
            "effect_allele": ["ACGT"[v % 4] for v in range(V)],
            "other_allele": ["TTTT"[v % 4] + "A" for v in range(V)],
            "rsid": [None if v % 5 == 0 else f"rs{v}" for v in range(V)],
            "record": np.arange(V),
            "alt_index": np.ones(V, np.int32),
            "FILTER": ["PASS" if v % 3 else "LowQual;é" for v in range(V)],
            "info_source": [None if v % 4 == 0 else v / 77 for v in range(V)],
            "INFO/CSQ": [None if v % 2 else "T|missense" * (v % 9) or None for v in range(V)],
        },
        schema_overrides=VARIANT_SCHEMA,
    )


def writer_of(path: Path, **options) -> StoreWriter:
    contents = Contents(**{"dosages": True, "probabilities": True, "annotations": ANNOTATIONS} | options)
    return StoreWriter(path, NAMES, {"a": 1}, block_variants=16, contents=contents)


def append(writer: StoreWriter, start: int, stop: int) -> None:
    rows, columns = some_rows(), VariantColumns.of(some_variants())
    writer.append(
        some_calls(rows)[start:stop],
        some_haploid()[start:stop],
        columns[start:stop],
        {"at": start},
        dosages=rows[start:stop],
    )


def written(path: Path, step: int = 11) -> GenotypeStore:
    writer = writer_of(path)
    for start in range(0, V, step):
        append(writer, start, min(start + step, V))
    writer.finish({})
    return GenotypeStore.open(path)


def files_of(path: Path) -> dict[str, str]:
    return {file.relative_to(path).as_posix(): hash_of(file.read_bytes()) for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def store(tmp_path, small):
    return written(tmp_path / "a.zarr")


def test_what_is_written_is_read(store):
    rows = some_rows()
    assert store.has_dosages and store.has_probabilities and store.annotations == ANNOTATIONS
    for start, stop in ((0, V), (3, 40), (31, 49), (33, 47), (60, 61), (90, 121), (5, 5)):
        read, expected = store.read_dosages(start, stop), rows[start:stop]
        assert np.array_equal(read.steps, expected.steps)
        assert np.array_equal(read.values, expected.values)
        found = np.full(expected.values.shape, NO_DOSAGE) if read.homozygous is None else read.homozygous
        assert np.array_equal(found, expected.homozygous)
    assert np.array_equal(store.read(0, V).packed, some_calls(rows))


def test_further_columns(store):
    table = store.variants(10, 80, annotations=ANNOTATIONS)
    assert table.equals(some_variants()[10:80])
    assert store.variants().columns == list(VARIANT_SCHEMA)
    with pytest.raises(StoreError, match=r"keeps no column INFO/ANN.*INFO/CSQ"):
        store.variants(annotations=["INFO/ANN"])


def test_sums_are_those_of_the_dosages(store):
    """Held against sums of doubles by the definitions; whole numbers, so equal."""
    rows, sums = some_rows(), store.dosage_sums(0, V)
    haploid = np.unpackbits(some_haploid(), axis=1, bitorder="little", count=N).astype(bool)
    at = 0
    for v in range(V):
        if rows.steps[v] == 0:
            assert not sums[v].any()
            continue
        x, h, one = rows.values[at].astype(float), rows.homozygous[at].astype(float), int(rows.steps[v])
        at += 1
        there, single = x != NO_DOSAGE, haploid[v]
        known = there & (h != NO_DOSAGE)
        probabilities = np.stack([one - x + h, x - 2 * h, h])
        best = np.bincount(probabilities.argmax(axis=0)[known & ~single], minlength=3)
        expected = [
            there.sum(), x[there].sum(), (x[there] ** 2).sum(), (there & single).sum(), x[there & single].sum(),
            (x[there & single] ** 2).sum(), known.sum(), h[known & ~single].sum(), *best,
        ]  # fmt: skip
        assert sums[v].tolist() == expected


def test_chunks_without_dosages_are_not_there(store):
    index = np.frombuffer((store.path / schema.DOSAGE / "c/1/0").read_bytes()[-36:-4], "<u8")
    assert index[0] == 2**64 - 1 and index[2] != 2**64 - 1  # rows 32 to 47
    assert not (store.path / schema.HOMOZYGOUS / "c/3/0").exists()
    assert store.attributes["dosage_chunks"] == [[0, 2], [3, 8]]


def test_zarr_reads_it(store):
    import zarr

    group, rows = zarr.open_group(store.path, mode="r"), some_rows()
    whole = np.full((V, N), NO_DOSAGE)
    whole[rows.steps > 0] = rows.values
    assert np.array_equal(group[schema.DOSAGE][:], whole)
    values, two = rows.values.astype(int), rows.homozygous.astype(int)
    one = rows.steps[rows.steps > 0].astype(int)[:, None]
    far = np.where(values > one, one - values + two, two)  # P(0) where the dosage is above one copy
    whole[rows.steps > 0] = np.where(two == NO_DOSAGE, NO_DOSAGE, far)
    assert np.array_equal(group[schema.HOMOZYGOUS][:], whole)
    assert np.array_equal(group[schema.VARIANT_STEPS][:], rows.steps)
    assert group[schema.VARIANT_FILTER][:5].tolist() == some_variants()["FILTER"][:5].to_list()
    assert np.isnan(group[schema.VARIANT_INFO_SOURCE][0]) and group[schema.VARIANT_INFO_SOURCE][5] == 5 / 77


def test_bytes_do_not_depend_on_how_rows_came(store, tmp_path):
    other = written(tmp_path / "b.zarr", 50)
    assert files_of(store.path) == files_of(other.path)
    assert other.root == store.root


@pytest.mark.parametrize("killed_after", [20, 40, 100])
def test_resumes_with_the_same_bytes(store, tmp_path, killed_after):
    path = tmp_path / "b.zarr"
    writer = writer_of(path)
    append(writer, 0, killed_after)
    writer.close()
    writer = writer_of(path)
    assert writer.n_rows == killed_after // 32 * 32
    append(writer, writer.n_rows, V)
    writer.finish({})
    assert files_of(path) == files_of(store.path)


def test_a_store_of_calls_is_as_ever(tmp_path, small):
    """Without dosages nothing of a store changes: version, attributes, files."""
    writer = writer_of(tmp_path / "a.zarr", dosages=False, probabilities=False, annotations=())
    writer.append(some_calls(some_rows()), None, some_variants().drop(ANNOTATIONS))
    writer.finish({})
    store = GenotypeStore.open(tmp_path / "a.zarr")
    assert store.attributes["format_version"] == 1 and not store.has_dosages and store.annotations == ()
    assert set(store.attributes) == {
        "format", "format_version", "block_variants", "fingerprint", "haploid_chunks", "identity", "root"
    }  # fmt: skip
    assert not store.read_dosages(0, V).steps.any() and store.dosage_sums(0, V) is None
    assert not [key for key in files_of(store.path) if "dosage" in key or "homozygote" in key]


def test_what_has_no_array_is_not_lost(tmp_path, small):
    rows, calls, variants = some_rows(), some_calls(some_rows()), some_variants()
    with pytest.raises(ValueError, match="begun without"):
        writer_of(tmp_path / "a.zarr", dosages=False).append(calls, None, variants, dosages=rows)
    with pytest.raises(ValueError, match=r"probabilities.*begun without"):
        writer_of(tmp_path / "b.zarr", probabilities=False).append(calls, None, variants, dosages=rows)
    with pytest.raises(ValueError, match=r"FILTER.*begun without"):
        writer_of(tmp_path / "c.zarr", annotations=()).append(calls, None, variants, dosages=rows)
    with pytest.raises(OutputError, match="upper and lower case"):
        writer_of(tmp_path / "d.zarr", annotations=("INFO/AF", "INFO/af"))


def test_impossible_dosages_are_refused(tmp_path, small):
    rows = some_rows()
    rows.values[7, 3] = 40_000
    writer = writer_of(tmp_path / "a.zarr")
    with pytest.raises(InputError, match="more than two copies"):
        writer.append(some_calls(rows), None, some_variants(), dosages=rows)
        writer.finish({})


def test_names_of_arrays_do_not_meet():
    assert schema.annotation_array("INFO/source") != schema.VARIANT_INFO_SOURCE
    assert schema.annotation_array("INFO/_source") != schema.annotation_array("INFO/source")
    for bad in ("INFO/../x", "INFO/", "AF", "INFO/a/b", "INFO/" + "x" * 200):
        with pytest.raises(ValueError):
            schema.annotation_array(bad)


def edit(store: GenotypeStore, name: str, change) -> None:
    """Change the attributes or an array's metadata, and take away what would show it, as a stranger would."""
    file = store.path / name / "zarr.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    top = store.path / "zarr.json"
    content = json.loads(top.read_text())
    content["attributes"].pop("root", None)
    top.write_text(json.dumps(content))
    (store.path / "pieces.txt").unlink(missing_ok=True)


def attribute(name: str, value):
    return lambda content: content["attributes"].update({name: value})


@pytest.mark.filterwarnings("ignore:.*earlier genassoc")
@pytest.mark.parametrize(
    ("array", "change", "message"),
    [
        ("", attribute("dosage_chunks", [[0, 10**12]]), "dosage chunks"),
        ("", attribute("dosage_chunks", "all"), "dosage_chunks"),
        ("", attribute("annotations", ["INFO/../../x"]), "no name of a further column"),
        ("", attribute("annotations", ["INFO/NO"]), "variant_info_NO/zarr.json is missing"),
        (schema.DOSAGE, lambda content: content.update(shape=[V, 10**7]), "shape"),
        (schema.VARIANT_SUMS, lambda content: content.update(shape=[V, 2]), "shape"),
        (schema.VARIANT_FILTER, lambda content: content.update(shape=[V + 1]), "shape"),
    ],
)
def test_damaged_metadata(store, array, change, message):
    edit(store, array, change)
    with pytest.raises(StoreError, match=message):
        GenotypeStore.open(store.path)


@pytest.mark.filterwarnings("ignore:.*earlier genassoc")
def test_a_chunk_that_is_not_there_is_not_taken_for_missing_dosages(store):
    import zarr

    group = zarr.open_group(store.path, mode="r+")
    steps = group[schema.VARIANT_STEPS][:]
    steps[40] = 255
    group[schema.VARIANT_STEPS][:] = steps
    edit(store, "", attribute("dosage_chunks", [[0, 8]]))
    opened = GenotypeStore.open(store.path)
    opened.read_dosages(48, 60)
    with pytest.raises(StoreError, match="not there"):
        opened.read_dosages(32, 60)
    edit(store, "", attribute("dosage_chunks", [[3, 8]]))
    with pytest.raises(StoreError, match="no dosage, and steps"):
        GenotypeStore.open(store.path).read_dosages(0, 16)


def test_a_changed_byte_is_found(store):
    for name in (schema.DOSAGE, schema.HOMOZYGOUS, schema.VARIANT_STEPS, schema.VARIANT_SUMS, schema.VARIANT_FILTER):
        copy = store.path.with_name(name)
        shutil.copytree(store.path, copy)
        file = next(path for path in sorted((copy / name / "c").rglob("*")) if path.is_file())
        content = bytearray(file.read_bytes())
        content[8] ^= 1
        file.write_bytes(content)
        opened = GenotypeStore.open(copy)
        assert [key for key, _, problem in opened.verified() if problem] == [file.relative_to(copy).as_posix()]
        with pytest.raises(StoreError, match=f"damaged.*{name}"):
            opened.read_dosages(0, 30)
            opened.dosage_sums(0, 30)
            opened.annotation("FILTER", 0, 30)


@pytest.mark.filterwarnings("ignore:.*earlier genassoc")
def test_dosages_that_can_be_none_are_refused(store):
    """With steps of 200 instead of 255 some dosages are above two copies."""
    import zarr

    group = zarr.open_group(store.path, mode="r+")
    steps = group[schema.VARIANT_STEPS][:]
    steps[steps == 255] = 200
    group[schema.VARIANT_STEPS][:] = steps
    edit(store, "", lambda content: None)
    with pytest.raises(StoreError, match="variant 0 has a dosage above two copies"):
        GenotypeStore.open(store.path).read_dosages(0, 30)


def test_a_bomb_is_not_unpacked(store, monkeypatch):
    """A frame of blosc that says another size than the chunk's is refused before memory is taken."""
    from numcodecs import blosc

    from genassoc.data.store.chunk_shards import _unshuffled

    frame = memoryview(blosc.compress(np.zeros(10**6, np.uint16), b"zstd", 1, blosc.BITSHUFFLE, 0, 2))
    monkeypatch.setattr(blosc, "decompress", lambda *_: pytest.fail("was unpacked"))
    for bad in (frame, frame[:10], frame[:-1]):
        with pytest.raises(ValueError, match="size"):
            _unshuffled(bad, 2 * 16 * N)
