"""BGEN written: bytes as the specification rounds them, and round trips at the store's resolution."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bgen_files import ZLIB, Record, bgen
from oracles import bgen as bgen_oracle
from oracles import bgen_genotypes as oracle
from test_bgen import batches, drawn, index, joined, rows_of, unpacked

from genassoc.data.block import NO_DOSAGE, DosageRows, GenotypeBlock
from genassoc.errors import OutputError
from genassoc.formats.bgen.writer import BgenWriter
from genassoc.formats.inputs import open_source
from genassoc.formats.source import VariantBatch
from genassoc.formats.writing import ExportHeader, ExportRows, Writing
from genassoc.kernels.genotypes import bgen_genotypes as kernels


def written(folder: Path, batch: VariantBatch, names: list[str], **writing: Any) -> tuple[Path, list[str]]:
    """Write a batch as the export does."""
    header = ExportHeader(
        sample_ids=tuple(names), sex=np.array([1, 2, 0] * len(names), np.int8)[: len(names)], contigs={"1": None},
        most_rows=len(batch.packed), most_rows_exact=True, has_dosages=True, has_probabilities=True, has_haploid=True,
        annotations=(), writing=Writing(**writing),
    )  # fmt: skip
    folder.mkdir(exist_ok=True)
    writer = BgenWriter(folder, "out.bgen", header)
    writer.write(writer.encode(ExportRows(batch.variants, batch.packed, batch.haploid, batch.dosages)))
    notes = writer.close()
    assert {path.name for path in folder.iterdir()} <= set(BgenWriter.files("out.bgen"))
    return folder / "out.bgen", notes


@pytest.mark.kernel
@pytest.mark.parametrize("steps", [0, 1, 255, 1000, 16384, 32767])
def test_rows_against_the_slow_twin(steps: int) -> None:
    rng = np.random.default_rng(steps)
    n = 41
    codes = rng.integers(0, 4, n)
    haploid = rng.random(n) < 0.3
    two = rng.integers(0, steps + 1, n)
    values = np.where(haploid, 2 * two, 2 * two + rng.integers(0, 2**15, n) % (steps - two + 1))
    known = np.where(rng.random(n) < 0.3, NO_DOSAGE, two)
    values[rng.random(n) < 0.1] = NO_DOSAGE
    packed = GenotypeBlock.from_codes(codes[None].astype(np.uint8)).packed
    marks = np.packbits(haploid[None], axis=1, bitorder="little")
    given = kernels.RowsOut(
        packed, marks, values[None].astype(np.uint16), known[None].astype(np.uint16), np.array([steps], np.uint16)
    )
    out = np.empty(kernels.HEAD + 5 * n, np.uint8)
    for bits in (8, 16):
        size = kernels.put_row(given, 0, 0 if steps else -1, bits, n, out)
        expected = oracle.put_row(codes.tolist(), haploid.tolist(), values.tolist(), known.tolist(), steps, bits)
        record = Record(
            [None if e is None else e[1] for e in expected], [2 if e is None else e[0] for e in expected], bits=bits
        )
        assert out[:size].tobytes() == record.inner()


@pytest.mark.kernel
def test_records_of_several_alleles_against_the_slow_twin() -> None:
    alleles = [(0, 0), (0, 2), (2, 2), (1, 2), (-1, -1), (1, -2), (2, -2), (0, 1), (-1, -2)]
    out = np.zeros(kernels.HEAD + 6 * len(alleles), np.uint8)
    size = kernels.put_alleles(np.array(alleles, np.int16), 3, out)
    expected = oracle.put_alleles(alleles, 3)
    record = Record(
        [None if e is None else e[1] for e in expected], [2 if e is None else e[0] for e in expected], ("A", "C", "G")
    )
    assert out[:size].tobytes() == record.inner()


@pytest.mark.parametrize("compression", ["zlib", "zstd", "none"])
def test_round_trips_are_exact(tmp_path: Path, compression: str) -> None:
    rng = np.random.default_rng(3)
    n = 23
    names = [f"s{i}" for i in range(n)]
    records = [
        drawn(rng, n, bits, phased, 2, ploidies, 10 * len(ploidies) + bits)
        for bits in (1, 8, 16)
        for phased in (False, True)
        for ploidies in ([2], [1, 2], [1])
    ]
    source = tmp_path / "in.bgen"
    source.write_bytes(bgen(records, names))
    (batch,) = batches(source)
    path, notes = written(tmp_path / "out", batch, names, bgen_compression=compression)
    assert not any("rounded" in note or "next to" in note for note in notes)
    (again,) = batches(path)
    # 8 bits, and 16 bits rounded to 32767 steps, come back as they were
    assert rows_of(again, n) == rows_of(batch, n)
    assert again.variants.equals(batch.variants)
    assert open_source(path, []).kind.startswith("BGEN 1.3" if compression == "zstd" else "BGEN 1.2")
    assert path.with_suffix(".sample").read_text().splitlines()[:3] == ["ID_1 ID_2 missing sex", "0 0 0 D", "s0 s0 0 1"]
    # the index is what bgenix would make
    ours = batches(path, region="1:18-")
    made = path.with_name("out.bgen.bgi").read_bytes()
    index(path)
    assert joined(batches(path, region="1:18-")) == joined(ours)
    assert made[:16] == b"SQLite format 3\x00"


def test_records_of_several_alleles_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    n = 31
    names = [f"s{i}" for i in range(n)]
    whole = [drawn(rng, n, 1, True, K, [1, 2], K) for K in (2, 3, 5)]
    fuzzy = drawn(rng, n, 8, False, 3, [2], 9)
    source = tmp_path / "in.bgen"
    source.write_bytes(bgen([*whole, fuzzy], names))
    (batch,) = batches(source)
    path, notes = written(tmp_path / "out", batch, names)
    assert any(note.startswith("1 ALTs of multi-allelic records") for note in notes)
    (again,) = batches(path)
    assert np.array_equal(unpacked(again, n), unpacked(batch, n))
    assert again.variants["record"].to_list() == [0, 1, 1, 2, 2, 2, 2, 3, 4]
    assert [r for r in rows_of(again, n) if r.steps] == [r for r in rows_of(batch, n) if r.steps]


def _of_dosages(values: np.ndarray, steps: int) -> tuple[VariantBatch, list[str]]:
    """A batch of dosages alone."""
    import polars as pl

    from genassoc.data.store.variant_columns import VariantColumns

    V, N = values.shape
    table = pl.DataFrame(
        {"chromosome": ["1"] * V, "base_pair_location": np.arange(V) + 1, "effect_allele": ["G"] * V, "other_allele": ["A"] * V,
         "rsid": [f"r{v}" for v in range(V)], "record": np.arange(V), "alt_index": np.ones(V, np.int32)},
    )  # fmt: skip
    rows = DosageRows(np.full(V, steps, np.uint16), values.astype(np.uint16), None)
    packed = GenotypeBlock.from_codes(np.full((V, N), 3, np.uint8)).packed
    return VariantBatch(packed, None, VariantColumns.of(table), dosages=rows), [f"s{i}" for i in range(N)]


def test_dosages_without_probabilities_are_two_genotypes(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    values = rng.integers(0, 2001, (5, 40))
    values[0, :3] = 0, 2000, NO_DOSAGE
    batch, names = _of_dosages(values, 1000)
    for bits, bound in ((None, 1e-4), (8, 8e-3)):
        path, notes = written(tmp_path / f"out{bits}", batch, names, bgen_bits=bits)
        assert any(note.startswith("5 variants have dosages without probabilities") for note in notes)
        assert any("5 variants: probabilities are rounded" in note for note in notes)
        (again,) = batches(path)
        assert again.dosages is not None and again.dosages.homozygous is not None
        steps = again.dosages.steps[:, None].astype(float)
        ours = np.where(again.dosages.values == NO_DOSAGE, np.nan, again.dosages.values / steps)
        given = np.where(values == NO_DOSAGE, np.nan, values / 1000)
        # a dosage is 2 P(2) + P(1), of which each is off by a step of 2^bits - 1 at most, and the store's by half a step of 32767
        np.testing.assert_allclose(ours, given, atol=bound)
        two = np.where(again.dosages.homozygous == NO_DOSAGE, np.nan, again.dosages.homozygous / steps)
        np.testing.assert_allclose(two, np.maximum(given - 1, 0), atol=bound)


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not here")
def test_plink2_reads_what_is_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    n = 50
    names = [f"s{i}" for i in range(n)]
    source = tmp_path / "in.bgen"
    source.write_bytes(
        bgen([drawn(rng, n, 8, False, 2, [2], 7), drawn(rng, n, 16, True, 2, [2], 8)], names, compression=ZLIB)
    )
    (batch,) = batches(source)
    for compression in ("zlib", "zstd"):
        path, _ = written(tmp_path / compression, batch, names, bgen_compression=compression)
        command = [
            "plink2",
            "--bgen",
            path,
            "ref-first",
            "--sample",
            path.with_suffix(".sample"),
            "--export",
            "A",
            "--out",
            path,
        ]
        subprocess.run(list(map(str, [*command, "--memory", 640])), check=True, capture_output=True)
        lines = [line.split() for line in Path(f"{path}.raw").read_text().splitlines()]
        theirs = np.array([[np.nan if x == "NA" else float(x) for x in line[6:]] for line in lines[1:]])
        assert [name.split("_")[0] for name in lines[0][6:]] == ["rs7", "rs8"]
        assert [line[1] for line in lines[1:]] == names
        rows = rows_of(batch, n)
        ours = np.array([[np.nan if v == NO_DOSAGE else v / row.steps for v in row.values] for row in rows]).T
        # it keeps dosages in steps of 1/16384, and counts REF
        np.testing.assert_allclose(2 - theirs, ours, atol=1e-4)


def test_what_cannot_be_written(tmp_path: Path) -> None:
    batch, names = _of_dosages(np.zeros((1, 2), np.int64), 3)
    path, notes = written(tmp_path / "a", batch, ["a b", "c"])
    assert any("no .sample file" in note for note in notes) and not path.with_suffix(".sample").exists()
    with pytest.raises(OutputError, match="too long"):
        written(tmp_path / "b", batch, ["x" * 70_000, "c"])
    long = batch.variants.with_columns(chromosome=np.array(["c" * 70_000]))
    header = open_source(path, [])
    assert header.sample_ids == ("a b", "c")
    from genassoc.data.store.variant_columns import VariantColumns

    with pytest.raises(OutputError, match="cannot be written"):
        written(tmp_path / "c", VariantBatch(batch.packed, None, VariantColumns.of(long), dosages=batch.dosages), names)
    with pytest.raises(OutputError, match="bgen_bits=7"):
        Writing(bgen_bits=7)
    with pytest.raises(OutputError, match="bgen_compression='gzip'"):
        Writing(bgen_compression="gzip")


def test_the_slow_reader_reads_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    names = [f"s{i}" for i in range(9)]
    source = tmp_path / "in.bgen"
    source.write_bytes(bgen([drawn(rng, 9, 8, False, 2, [1, 2], 3), drawn(rng, 9, 1, True, 4, [2], 4)], names))
    (batch,) = batches(source)
    path, _ = written(tmp_path / "out", batch, names, bgen_compression="zstd")
    theirs = [row for variant in bgen_oracle.read(path.read_bytes()) for row in variant.rows]
    assert [row.codes for row in theirs] == unpacked(batch, 9).tolist()


def test_a_store_of_calls_is_exported(tmp_path: Path) -> None:
    import genassoc as ga

    rng = np.random.default_rng(9)
    n = 20
    source = tmp_path / "in.bgen"
    source.write_bytes(
        bgen([drawn(rng, n, 1, True, 2 + k % 2, [2], k + 1) for k in range(30)], [f"s{i}" for i in range(n)])
    )
    store = ga.convert(source, tmp_path / "a.zarr", dosage="GT")
    summary = ga.export(store, tmp_path / "b.bgen")
    assert {path.name for path in summary.files} == {"b.bgen", "b.bgen.bgi", "b.sample"}
    again = ga.convert(tmp_path / "b.bgen", tmp_path / "c.zarr", dosage="GT")
    assert np.array_equal(again.read(0, again.n_variants).packed, store.read(0, store.n_variants).packed)
    assert again.variants(0, again.n_variants).equals(store.variants(0, store.n_variants))
