"""BGEN read exactly: against a slow twin, other readers, and the same cohort's VCF."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bgen_files import NONE, ZLIB, ZSTD, Record, bgen, genotypes
from oracles import pair_bounds
from oracles import probabilities as oracle
from real_data import real_data

from genassoc.data.block import NO_DOSAGE
from genassoc.errors import InputError
from genassoc.formats.inputs import open_source, parse_regions
from genassoc.formats.reading import Reading
from genassoc.formats.source import RecordError, VariantBatch
from genassoc.kernels.genotypes import packed as packed_kernels
from genassoc.kernels.genotypes.pair_bounds import bound_pairs


def batches(
    path: Path, columns: Sequence[int] | None = None, region: str | None = None, **reading: Any
) -> list[VariantBatch]:
    """All pieces of a file, decoded."""
    source = open_source(path, parse_regions(region), reading=Reading(**reading))
    which = np.array(range(len(source.sample_ids)) if columns is None else columns, np.int64)
    return [piece.decode() for piece in source.pieces(which, None)]


def unpacked(batch: VariantBatch, n_samples: int) -> np.ndarray:
    codes = np.empty((len(batch.packed), n_samples), np.uint8)
    packed_kernels.unpack(batch.packed, codes)
    return codes


def rows_of(batch: VariantBatch, n_samples: int) -> list[oracle.OracleRow]:
    """Rows of a batch as the slow twin gives them; dosages of rows without are empty."""
    codes = unpacked(batch, n_samples).tolist()
    marks = np.zeros((len(codes), n_samples), bool)
    if batch.haploid is not None:
        marks = np.unpackbits(batch.haploid, axis=1, bitorder="little", count=n_samples).astype(bool)
    dosages, at, rows = batch.dosages, 0, []
    for row, code in enumerate(codes):
        steps = 0 if dosages is None else int(dosages.steps[row])
        values = dosages.values[at].tolist() if dosages is not None and steps else []
        pairs = (
            dosages.homozygous[at].tolist() if dosages is not None and dosages.homozygous is not None and steps else []
        )
        at += steps > 0
        rows.append(oracle.OracleRow(steps, values, pairs, code, marks[row].tolist()))
    return rows


def expected(rows: list[oracle.OracleRow], columns: Sequence[int]) -> list[oracle.OracleRow]:
    """Rows of the slow twin of some samples, without dosages where calls are whole."""
    return [
        oracle.OracleRow(
            row.steps,
            [row.values[c] for c in columns] if row.steps else [],
            [row.homozygous[c] for c in columns] if row.steps else [],
            [row.codes[c] for c in columns],
            [row.haploid[c] for c in columns],
        )
        for row in rows
    ]


def draw(rng: np.random.Generator, n_values: int, bits: int) -> list[int]:
    """Numbers that sum to all ones at most: whole often, as real ones are."""
    ones = 2**bits - 1
    if n_values == 0:
        return []
    if rng.random() < 0.5:
        values = [0] * n_values
        if rng.random() < 0.7:
            values[int(rng.integers(n_values))] = ones
        return values
    cuts = np.sort(rng.integers(0, ones + 1, n_values))
    return [int(x) for x in np.diff(np.concatenate([[0], cuts]))]


def drawn(
    rng: np.random.Generator, n: int, bits: int, phased: bool, K: int, ploidies: Sequence[int], position: int
) -> Record:
    """A record of ``n`` samples with probabilities at random."""
    record = Record(
        [None] * n,
        [int(p) for p in rng.choice(ploidies, n)],
        [str("ACGT"[k % 4]) + "T" * (k // 4) for k in range(K)],
        phased,
        bits,
    )
    calls: list[list[int] | None] = []
    for ploidy in record.ploidies or ():
        if rng.random() < 0.1:
            calls.append(None)
        elif phased:
            calls.append([x for _ in range(ploidy) for x in draw(rng, K - 1, bits)])
        else:
            calls.append(draw(rng, len(genotypes(K, ploidy)) - 1, bits))
    record.unobserved = 2**bits - 1 if position % 2 else 0
    record.calls, record.position, record.rsid = calls, position, f"rs{position}"
    return record


@pytest.mark.kernel
@pytest.mark.parametrize("compression", [NONE, ZLIB, ZSTD])
@pytest.mark.parametrize("last", [False, True])
def test_every_coding_against_the_slow_twin(tmp_path: Path, compression: int, last: bool) -> None:
    rng = np.random.default_rng(compression)
    n = 37
    records = []
    for bits in (1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 24, 32):
        for phased in (False, True):
            for K, ploidies in ((2, [2]), (2, [1, 2]), (3, [2]), (4, [1, 2, 0]), (2, [2, 3]), (3, [1, 2, 4])):
                records.append(drawn(rng, n, bits, phased, K, ploidies, len(records) + 1))
    names = [f"s{i}" for i in range(n)]
    path = tmp_path / "x.bgen"
    path.write_bytes(bgen(records, names, compression=compression))
    theirs = [oracle.layout_2(record.inner(), last) for record in records]
    for columns in (range(n), [30, 2, 5, 36, 0]):
        batch, *more = batches(path, columns, reference="last" if last else None)
        assert not more
        # whether all of a row's calls are whole is asked of the samples that are kept
        wanted = [row for rows in theirs for row in expected(rows, columns)]
        ours = rows_of(batch, len(columns))
        if len(columns) == n:
            assert ours == wanted
        else:
            assert [row._replace(steps=0, values=[], homozygous=[]) for row in wanted] == [
                row._replace(steps=0, values=[], homozygous=[]) for row in ours
            ]
            assert all(a == b for a, b in zip(ours, wanted) if a.steps)
    assert batch.counters["records"] == len(records)
    assert batch.counters["split"] == sum(len(r.alleles) > 2 for r in records)
    assert batch.counters["polyploid_calls"] == sum(
        p > 2 and r.calls[c] is not None for r in records for c, p in enumerate(r.ploidies or ()) if c in columns
    )
    assert batch.counters["haploid_calls"] == sum(
        p == 1 and r.calls[c] is not None for r in records for c, p in enumerate(r.ploidies or ()) if c in columns
    )


@pytest.mark.kernel
def test_layout_1(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    records = []
    for number in range(20):
        p = rng.dirichlet([0.3] * 3, 11) * 32768 * (1 if number % 2 else rng.random((11, 1)))
        calls = [tuple(int(x) for x in row) if rng.random() > 0.1 else (0, 0, 0) for row in p]
        records.append(Record(calls if number % 3 else [(32768, 0, 0)] * 11, position=number + 1))  # type: ignore[arg-type]
    path = tmp_path / "x.bgen"
    for compression in (NONE, ZLIB):
        path.write_bytes(bgen(records, [f"s{i}" for i in range(11)], layout=1, compression=compression))
        (batch,) = batches(path)
        inner = [np.array([c or (0, 0, 0) for c in r.calls], "<u2").tobytes() for r in records]
        assert rows_of(batch, 11) == [row for x in inner for row in expected(oracle.layout_1(x), range(11))]
        assert batch.counters["scaled_probabilities"] > 0


@pytest.mark.kernel
def test_names_and_columns(tmp_path: Path) -> None:
    calls = [[255, 0], [0, 255]]
    records = [
        Record(calls, rsid="rs1", contig="01", position=5, alleles=("A", "GTT")),
        Record(calls, rsid=".", varid="9:1_A", contig="01", position=7),
        Record(calls, rsid="", varid="", contig="X", position=2**32 - 1, alleles=("é", "G")),
        Record([[], []], rsid="none", contig="X", alleles=("A",)),
        Record([[255, 0, 0, 0, 0], [0, 0, 0, 0, 0]], contig="X", alleles=("A", "C", "G")),
    ]
    path = tmp_path / "x.bgen"
    path.write_bytes(bgen(records, ["é", "b c"]))
    (batch,) = batches(path)
    table = batch.variants
    assert table["chromosome"].to_list() == ["01", "01", "X", "X", "X"]
    assert table["base_pair_location"].to_list() == [5, 7, 2**32 - 1, 1, 1]
    assert table["other_allele"].to_list() == ["A", "A", "é", "A", "A"]
    assert table["effect_allele"].to_list() == ["GTT", "G", "G", "C", "G"]
    assert table["rsid"].to_list() == ["rs1", "9:1_A", None, "rs1", "rs1"]
    assert table["record"].to_list() == [0, 1, 2, 4, 4]
    assert table["alt_index"].to_list() == [1, 1, 1, 1, 2]
    assert batch.counters["dropped_no_alternate_allele"] == 1
    assert batch.dosages is None  # all whole: calls only
    assert unpacked(batch, 2).tolist() == [[0, 1], [0, 1], [0, 1], [0, 0], [0, 2]]
    (batch,) = batches(path, reference="last")
    assert batch.variants["effect_allele"].to_list() == ["A", "A", "é", "A", "C"]
    assert unpacked(batch, 2).tolist() == [[2, 1], [2, 1], [2, 1], [2, 0], [0, 0]]


@pytest.mark.kernel
def test_what_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.bgen"
    path.write_bytes(bgen([Record([[200, 50], [0, 1], None])], ["a", "b", "c"]))
    (batch,) = batches(path)
    assert batch.dosages is not None and batch.dosages.homozygous is not None
    assert batch.dosages.values.tolist() == [[60, 509, NO_DOSAGE]]
    assert batch.dosages.homozygous.tolist() == [[5, 254, NO_DOSAGE]]
    (batch,) = batches(path, dosage="DS")
    assert batch.dosages is not None and batch.dosages.homozygous is None
    (batch,) = batches(path, dosage="GT")
    assert batch.dosages is None
    assert unpacked(batch, 3).tolist() == [[3, 2, 3]]
    source = open_source(path, [], reading=Reading(dosage="DS", pass_only=True))
    assert (source.has_dosages, source.has_probabilities) == (True, False)
    assert any("--pass-only" in note for note in source.notes)
    with pytest.raises(InputError, match="no HDS"):
        open_source(path, [], reading=Reading(dosage="HDS"))


@pytest.mark.kernel
def test_pairs_are_brought_between_bounds() -> None:
    rng = np.random.default_rng(0)
    steps = np.array([255, 0, 3, 32767], np.uint16)
    values = np.array([rng.choice([*rng.integers(0, 2 * s + 1, 20), NO_DOSAGE], 40) for s in steps.tolist()], np.uint16)
    pairs = np.array([rng.choice([*rng.integers(0, s + 1, 20), NO_DOSAGE], 40) for s in steps.tolist()], np.uint16)
    expected_pairs = pair_bounds.bound_pairs(values, pairs, steps)
    bound_pairs(values, pairs, steps)
    np.testing.assert_array_equal(pairs, expected_pairs)


# pieces, regions, resuming --------------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A file that is cut into pieces: 3,000 records on three contigs."""
    rng = np.random.default_rng(2)
    records = []
    for number in range(600):
        record = drawn(rng, 9, 8, False, 2 + (number % 50 == 0), [2], number // 2 + 1)
        record.contig = "1" if number < 200 else "02" if number < 500 else "X"
        records.append(record)
    path = tmp_path / "many.bgen"
    path.write_bytes(bgen(records, [f"s{i}" for i in range(9)], compression=ZSTD))
    return path


def joined(found: list[VariantBatch]) -> tuple[Any, ...]:
    """Everything of batches, joined."""
    values = [b.dosages.values for b in found if b.dosages is not None]
    return (
        np.concatenate([b.packed for b in found]).tobytes(),
        np.concatenate(values).tobytes(),
        [row for b in found for row in b.variants.drop("record").rows()],
    )


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from genassoc.formats.bgen import bgen as module

    monkeypatch.setattr(module, "READ_BYTES", 1000)
    monkeypatch.setattr(module, "PIECE_BYTES", 3000)
    monkeypatch.setattr(module, "MOST_FOUND", 17)


def test_pieces_do_not_matter_and_any_can_be_resumed(many: Path, request: pytest.FixtureRequest) -> None:
    whole = batches(many)
    assert len(whole) == 1
    request.getfixturevalue("small_pieces")
    found = batches(many)
    assert len(found) > 20
    assert joined(found) == joined(whole)
    assert sum(b.lines for b in found) == 600
    source = open_source(many, [])
    for begin in (0, 1, 7, len(found) - 1):
        again = [piece.decode() for piece in source.pieces(np.arange(9), found[begin].place)]
        assert joined(again) == joined(found[begin:])
    pieces = list(source.pieces(np.arange(9), None))
    assert sum(piece.work for piece in pieces) == many.stat().st_size - source._header.first  # type: ignore[attr-defined]
    assert all(piece.memory > 0 for piece in pieces)


def index(path: Path, **changes: Any) -> Path:
    """What bgenix makes."""
    at = path.with_name(path.name + ".bgi")
    at.unlink(missing_ok=True)
    source = open_source(path, [])
    found: list[tuple[Any, ...]] = []
    for piece in source.pieces(np.arange(len(source.sample_ids)), None):
        reader = piece.decode.args[0]  # type: ignore[attr-defined]
        base = reader.place.address - int(reader.places[0, 0]) if len(reader.places) else 0
        for p in reader.places.tolist():
            contig = reader.data[p[5] : p[6]].decode()
            found.append((contig, p[7], f"rs{len(found)}", p[8], "A", "G", base + p[0], p[11] - p[0]))
    with sqlite3.connect(at) as make:
        make.execute(
            "CREATE TABLE Metadata (filename TEXT, file_size INT, last_write_time INT, first_1000_bytes BLOB, index_creation_time INT)"
        )
        make.execute(
            "CREATE TABLE Variant (chromosome TEXT NOT NULL, position INT NOT NULL, rsid TEXT NOT NULL, number_of_alleles INT NOT NULL, "
            "allele1 TEXT NOT NULL, allele2 TEXT NULL, file_start_position INT NOT NULL, size_in_bytes INT NOT NULL, "
            "PRIMARY KEY (chromosome, position, rsid, allele1, allele2, file_start_position)) WITHOUT ROWID"
        )
        data = path.read_bytes()
        make.execute(
            "INSERT INTO Metadata VALUES (?, ?, 0, ?, 0)",
            (path.name, changes.get("size", len(data)), changes.get("head", data[:1000])),
        )
        shift = changes.get("shift", 0)
        make.executemany(
            "INSERT INTO Variant VALUES (?, ?, ?, ?, ?, ?, ?, ?)", [(*f[:6], f[6] + shift, f[7]) for f in found]
        )
    make.close()
    return at


def test_regions_with_and_without_an_index(many: Path, small_pieces: None) -> None:
    plain = {region: batches(many, region=region) for region in ("2:150-200", "chrX", "1:1-3")}
    assert [sum(b.counters["records"] for b in found) for found in plain.values()] == [102, 100, 6]
    assert all(sum(b.lines for b in found) == 600 for found in plain.values())
    index(many)
    for region, found in plain.items():
        ours = batches(many, region=region)
        assert joined(ours) == joined([b for b in found if len(b.packed)])
        assert sum(b.lines for b in ours) == sum(b.counters["records"] for b in ours)
    source = open_source(many, parse_regions(["1:2-3", "X:260-"]))
    assert source.contigs == ("02", "1", "X") and source.contigs_complete
    found = [piece.decode() for piece in source.pieces(np.arange(9), None)]
    again = [piece.decode() for piece in source.pieces(np.arange(9), found[1].place)]
    assert joined(again) == joined(found[1:])
    assert source.work < many.stat().st_size / 4


@pytest.mark.parametrize("changes", [{"size": 5}, {"head": b"bgen"}])
def test_an_index_of_another_file_is_not_used(many: Path, changes: dict[str, Any]) -> None:
    index(many, **changes)
    source = open_source(many, parse_regions("X"))
    assert any("is not used" in note for note in source.notes) and any("read whole" in note for note in source.notes)
    assert sum(piece.decode().counters["records"] for piece in source.pieces(np.arange(9), None)) == 100


def test_an_index_that_lies(many: Path) -> None:
    index(many, shift=10**9)
    with pytest.raises(InputError, match="which the BGEN does not have"):
        open_source(many, parse_regions("X"))
    index(many, shift=-5)
    with pytest.raises((InputError, RecordError)):
        batches(many, region="X")
    at = many.with_name(many.name + ".bgi")
    for content in (b"", b"SQLite format 3\x00" + b"\xff" * 5000, at.read_bytes()[:3000]):
        at.write_bytes(content)
        source = open_source(many, parse_regions("X"))
        assert any("is not used" in note for note in source.notes)
    at.unlink()
    with sqlite3.connect(at) as make:  # a view that would never end
        make.execute(
            "CREATE VIEW Variant AS WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n AS chromosome FROM t"
        )
    make.close()
    assert any("no table of variants" in note for note in open_source(many, parse_regions("X")).notes)


# samples ----------------------------------------------------------------------------------------------------------


def test_ids_of_a_sample_file(tmp_path: Path) -> None:
    path = tmp_path / "ukb_c1_b0_v3.bgen"
    path.write_bytes(bgen([Record([[255, 0], [0, 255]])]))
    with pytest.raises(InputError, match="names no samples"):
        open_source(path, [])
    (tmp_path / "ukb_c1_b0_v3_s2.sample").write_text("ID_1 ID_2 missing sex\n0 0 0 D\n1001 1 0 1\n1002 2 0 2\n")
    source = open_source(path, [])
    assert source.sample_ids == ("1", "2")
    assert any("sex" in note for note in source.notes) and any("_s2.sample" in note for note in source.notes)
    (tmp_path / "ukb_c1_b0_v3_s3.sample").write_text("ID_1 ID_2 missing\n0 0 0\n1 1 0\n")
    with pytest.raises(InputError, match="several"):
        open_source(path, [])
    (tmp_path / "ukb_c1_b0_v3.sample").write_text("ID missing\n0 0\n7 0\n8 0\n")
    assert open_source(path, []).sample_ids == ("7", "8")
    other = tmp_path / "other.txt"
    for text, why in (
        ("ID_1 ID_2 missing\n0 0 0\n1 1 0\n", "names 1 samples"),
        ("1\n2\n", "is no .sample file"),
        ("ID_1 ID_2 missing\n0 0 0\n1 1 0\n2 1 0\n", "duplicated"),
        ("ID_1 ID_2 missing\n0 0 0\n1 1\n2 2 0\n", "2 columns where"),
    ):
        other.write_text(text)
        with pytest.raises(InputError, match=why):
            open_source(path, [], reading=Reading(sample_file=str(other)))
    path.write_bytes(bgen([Record([[255, 0], [0, 255]])], ["x", "y"]))
    assert open_source(path, []).sample_ids == ("x", "y")
    assert any("names other samples" in note for note in open_source(path, []).notes)
    other.write_text("ID_1 ID_2 missing\n0 0 0\n1 5 0\n2 6 0\n")
    assert open_source(path, [], reading=Reading(sample_file=str(other))).sample_ids == ("5", "6")


# strangers ----------------------------------------------------------------------------------------------------------


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Record([[200, 56], [0, 0]]), "sum to more than 1"),
        (Record([[60000, 6000], [0, 0]], bits=16), "sum to more than 1"),
        (Record([[9, 7], [0, 0]], bits=4), "sum to more than 1"),
        (Record([[0, 0], [0, 0]], changes={"N": 3}), "another number of samples"),
        (Record([[0, 0], [0, 0]], changes={"K": 3}), "another number of alleles"),
        (Record([[0, 0], [0, 0]], changes={"bits": 0}), "no number of bits"),
        (Record([[0, 0], [0, 0]], changes={"bits": 6}), "another number of bytes"),
        (Record([[0, 0], [0, 0]], changes={"phased": 2}), "neither"),
        (Record([[0, 0], [0, 0]], changes={"least": 1, "most": 1}), "ploidy outside"),
        (Record([[0, 0], [0, 0]], changes={"least": 3}), "ploidy outside"),
        (Record([[0, 0], [0, 0]], changes={"size": 15}), "inflate to|of 16 bytes where 15"),
        (Record([[0, 0], [0, 0]], changes={"size": 17}), "inflate to|of 16 bytes where 17"),
    ],
)
def test_malformed_records_are_named(tmp_path: Path, record: Record, why: str) -> None:
    path = tmp_path / "x.bgen"
    for compression in (ZLIB, ZSTD):
        path.write_bytes(bgen([Record([[0, 0], [0, 0]]), record], ["a", "b"], compression=compression))
        with pytest.raises(RecordError, match=why) as raised:
            batches(path)
        assert raised.value.line == 1


def test_lengths_are_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "x.bgen"
    good = bgen([Record([[0, 0], [0, 0]]), Record([[0, 0], [0, 0]])], ["a", "b"])

    def refused(content: bytes, why: str) -> None:
        path.write_bytes(content)
        with pytest.raises(InputError, match=why):
            batches(path)

    def at(offset: int, number: int) -> bytes:
        return good[:offset] + number.to_bytes(4, "little") + good[offset + 4 :]

    refused(good[:22], "less than the header")
    refused(good[:30], "cut or damaged")
    refused(at(0, 2**32 - 1), "cannot be")
    refused(at(4, 10**6), "cannot be")
    refused(at(4, 3), "cannot be")
    refused(at(8, 2**32 - 1), "ends after 2 of the 4,294,967,295")
    refused(at(8, 1), "behind the 1 variants")
    refused(at(12, 3), "names 2 samples")
    refused(at(12, 0), "no samples")
    refused(at(20, 8), "layout 2|none of BGEN|samples")  # no flag of names
    refused(at(20, 1 << 31), "BGEN 1.0")
    refused(at(24, 9999), "take 9,999 bytes")
    refused(at(28, 9), "names 9 samples")
    refused(good[:-5], "cut or damaged")
    first = len(bgen([Record([[0, 0], [0, 0]])], ["a", "b"])) - len(Record([[0, 0], [0, 0]]).block(2, ZLIB))
    head = len(Record([[0, 0], [0, 0]]).head(2))
    refused(at(first + head, 2**32 - 1), "cut or damaged")
    refused(at(first + head, 3), "fewer bytes")
    refused(at(first + head + 4, 2**32 - 1), "inflate to 4,294,967,295")
    refused(at(first + head - 5, 2**31), "cut or damaged")  # an allele's length
    refused(at(first + head - 5, 0), "without letters")
    names = [f"s{i}" for i in range(50_000)]
    bomb = Record([[0, 0]] * 50_000, changes={"size": 60_000_000})
    refused(bgen([bomb], names, compression=ZSTD), "at most")


def test_no_record_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.bgen"
    whole = bgen([Record([[0, 0]])], ["a"])
    path.write_bytes(
        whole[: len(whole) - len(Record([[0, 0]]).block(2, ZLIB))][:8]
        + bytes(4)
        + whole[12 : len(whole) - len(Record([[0, 0]]).block(2, ZLIB))]
    )
    assert batches(path) == []
    assert open_source(path, []).first_contig() is None


# peers ----------------------------------------------------------------------------------------------------------------


def test_the_same_cohort_as_a_vcf() -> None:
    folder, n = real_data("kg-tiny3202"), 3202
    ours, theirs = batches(folder / "tiny1000G.bgen", reference="last"), batches(folder / "tiny1000G.vcf.gz")
    assert all(b.dosages is None for b in ours)
    table = [r for b in ours for r in b.variants.drop("record").rows()]
    assert table == [r for b in theirs for r in b.variants.drop("record").rows()]
    a, b = (np.concatenate([unpacked(batch, n) for batch in found]) for found in (ours, theirs))
    # The BGEN's bytes say otherwise for 21 calls of its last sample on X, in which females and males are mixed (the `bgen` package reads
    # them as we do): what wrote it lost them.
    differing = np.argwhere(a != b)
    assert len(differing) == 21
    assert {(table[row][0], sample) for row, sample in differing.tolist()} == {("X", n - 1)}
    marks = [
        np.concatenate(
            [
                np.zeros((len(batch.packed), n), bool)
                if batch.haploid is None
                else np.unpackbits(batch.haploid, axis=1, bitorder="little", count=n)
                for batch in found
            ]
        )
        for found in (ours, theirs)
    ]
    # a sample whose sex the .sample file does not know is diploid on X in the BGEN
    assert set(np.argwhere(marks[0] != marks[1])[:, 1].tolist()) == {1735}
    part, whole = (
        batches(folder / f"tiny1000G.{kind}", region="10:1000000-20000000", reference="last")
        for kind in ("bgen", "vcf.gz")
    )
    assert np.array_equal(*(np.concatenate([unpacked(batch, n) for batch in found]) for found in (part, whole)))


def test_another_reader_reads_the_same(tmp_path: Path) -> None:
    package = pytest.importorskip("bgen")
    rng = np.random.default_rng(5)
    records = [
        drawn(rng, 12, bits, phased, 2, [2] if bits % 2 else [1, 2], bits + 100 * phased)
        for bits in (8, 9, 16)
        for phased in (False, True)
    ]
    path = tmp_path / "x.bgen"
    path.write_bytes(bgen(records, [f"s{i}" for i in range(12)], compression=ZSTD))
    (batch,) = batches(path)
    rows = rows_of(batch, 12)
    with package.BgenReader(path) as reader:
        for row, theirs in zip(rows, reader):
            if not row.steps:
                continue
            dosage = theirs.alt_dosage
            ours = np.array([np.nan if v == NO_DOSAGE else v / row.steps for v in row.values])
            ours[row.haploid] /= 2
            # theirs is float32; ours is rounded where there are more than 15 bits, and doubled in the haploid
            np.testing.assert_allclose(ours, dosage, atol=3e-5)


# stores ---------------------------------------------------------------------------------------------------------------


def files_of(path: Path) -> dict[str, bytes]:
    """All files of a store but what says where it came from."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_a_store_does_not_depend_on_threads_or_pieces(
    many: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    import genassoc as ga

    one = ga.convert(many, tmp_path / "one.zarr", threads=1)
    request.getfixturevalue("small_pieces")
    ga.convert(many, tmp_path / "two.zarr", threads=3)
    assert files_of(tmp_path / "one.zarr") == files_of(tmp_path / "two.zarr")
    summary = one.attributes["summary"]
    assert summary["row_kinds"]["rows_dosages"] > 500
    assert "REF is the first allele" in one.attributes["sources"][0]["kind"]


def _plink2(*arguments: object) -> None:
    import subprocess

    subprocess.run(
        ["plink2", *map(str, arguments), "--memory", "640", "--threads", "1"], check=True, capture_output=True
    )


def test_the_same_cohort_as_a_bed() -> None:
    folder = real_data("regenie-example")
    ours, theirs = batches(folder / "example.bgen", reference="last"), batches(folder / "example.bed")
    a, b = (np.concatenate([unpacked(batch, 500) for batch in found]) for found in (ours, theirs))
    assert np.array_equal(a, b)
    columns = ["chromosome", "base_pair_location", "effect_allele", "other_allele"]
    assert [r for x in ours for r in x.variants[columns].rows()] == [
        r for x in theirs for r in x.variants[columns].rows()
    ]


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not here")
def test_dosages_that_plink2_writes(tmp_path: Path) -> None:
    _plink2("--dummy", 40, 30, 0.02, "dosage-freq=0.5", "--make-pgen", "--out", tmp_path / "x")
    _plink2("--pfile", tmp_path / "x", "--export", "A-transpose", "--out", tmp_path / "x")
    lines = [line.split("\t") for line in (tmp_path / "x.traw").read_text().splitlines()[1:]]
    theirs = np.array([[np.nan if x == "NA" else float(x) for x in line[6:]] for line in lines])  # copies of COUNTED
    for bits, version in ((8, "bgen-1.2"), (16, "bgen-1.2"), (16, "bgen-1.3"), (None, "bgen-1.1")):
        extra = [] if bits is None else [f"bits={bits}"]
        out = tmp_path / f"{version.replace('.', '_')}-{bits}"
        _plink2("--pfile", tmp_path / "x", "--export", version, "ref-first", *extra, "--out", out)
        (batch,) = batches(out.with_suffix(".bgen"))
        counted_alt = np.array([a == line[4] for a, line in zip(batch.variants["effect_allele"].to_list(), lines)])[
            :, None
        ]
        rows = rows_of(batch, 40)
        copies = np.array(
            [
                [np.nan if v == NO_DOSAGE else v / row.steps for v in row.values]
                if row.steps
                else [np.nan if c == 3 else c for c in row.codes]
                for row in rows
            ]
        )
        # A step of each of two probabilities at most; plink2's own dosages are in steps of 1/16384, and 6 digits are printed.
        bound = 2 / 255 if bits == 8 else 2e-4
        np.testing.assert_allclose(np.where(counted_alt, copies, 2 - copies), theirs, atol=bound)
