"""The scan kernel against its slow twin, on texts of every shape, cut anywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import vcf as oracle
from vcf_texts import header, random_vcf

from genassoc.data.block import GenotypeBlock
from genassoc.formats.source import RecordError, Region, VariantBatch
from genassoc.formats.vcf.scan import LineScanner

pytestmark = pytest.mark.kernel


def scanner(n: int, columns=None, regions=(), numeric=(b"DP", b"GL"), leading_phase=True) -> LineScanner:
    names = tuple(f"s{i}" for i in range(n))
    columns = np.arange(n, dtype=np.int64) if columns is None else np.array(columns, dtype=np.int64)
    return LineScanner(names, columns, tuple(regions), numeric, leading_phase)


def body(text: str) -> bytes:
    return text.split("INFO\tFORMAT", 1)[1].split("\n", 1)[1].encode()


def assert_same(batch: VariantBatch, rows: list[oracle.OracleRow], n: int, columns=None) -> None:
    columns = list(range(n)) if columns is None else columns
    assert len(batch.packed) == len(rows)
    codes = GenotypeBlock(batch.packed, len(columns)).codes()
    wanted = np.array([[row.codes[c] for c in columns] for row in rows], dtype=np.uint8).reshape(-1, len(columns))
    np.testing.assert_array_equal(codes, wanted)
    haploid = np.zeros((len(rows), len(columns)), bool)
    if batch.haploid is not None:
        haploid = np.unpackbits(batch.haploid, axis=1, bitorder="little")[:, : len(columns)].astype(bool)
    wanted_haploid = np.array([[row.haploid[c] for c in columns] for row in rows], bool).reshape(-1, len(columns))
    np.testing.assert_array_equal(haploid, wanted_haploid)
    got = batch.variants.rows()
    assert got == [(r.contig, r.position, r.alt, r.ref, r.rsid, r.record, r.alt_index) for r in rows]


def assert_same_counts(counters: dict[str, int], counts: dict[str, int]) -> None:
    named = {
        "records": "records",
        "split": "split",
        "dropped_no_genotypes": "no_genotypes",
        "dropped_no_alternate_allele": "no_alternate_allele",
        "dropped_reference_block_allele": "reference_block_allele",
        "haploid_calls": "haploid",
        "half_missing_calls": "half_missing",
        "polyploid_calls": "polyploid",
    }
    assert {ours: counters[ours] for ours in named} == {ours: counts[theirs] for ours, theirs in named.items()}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 70),
    records=st.integers(0, 25),
    plain=st.sampled_from([0.0, 0.5, 1.0]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_random_texts(seed, n, records, plain, ending):
    text = random_vcf(seed, n, records, plain, leading_phase=True)
    expected = oracle.scan(text)
    batch = scanner(n)(body(text).replace(b"\n", ending.encode()))
    assert_same(batch, expected.rows, n)
    assert_same_counts(batch.counters, expected.counts)
    assert batch.half_calls == expected.half_calls
    assert batch.lines == records


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 40), data=st.data())
def test_samples_chosen_and_reordered(seed, n, data):
    text = random_vcf(seed, n, 12, 0.5)
    columns = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True))
    assert_same(scanner(n, columns)(body(text)), oracle.scan(text).rows, n, columns)


def test_regions_by_position_alone():
    text = random_vcf(5, 6, 60, 0.5)
    regions = [("1", 1000, 4000), ("X", 0, 2000)]
    expected = oracle.scan(text, regions)
    batch = scanner(6, regions=[Region(*r) for r in regions])(body(text))
    assert len(expected.rows) > 0
    assert_same(batch, expected.rows, 6)
    assert batch.counters["outside_regions"] == 60 - expected.counts["records"]


def test_more_alts_than_room_is_made_for():
    alts = ",".join("ACGT"[k % 4] for k in range(600))
    line = f"1\t5\t.\tA\t{alts}\t.\t.\t.\tGT\t0/600\t17|18\t.\n"
    text = header(["s0", "s1", "s2"]) + line
    batch = scanner(3)(line.encode())
    assert_same(batch, oracle.scan(text).rows, 3)


def test_one_sample():
    text = (
        header(["s0"])
        + "1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\n1\t6\t.\tA\tC\t.\t.\t.\tGT\t1\n1\t7\t.\tA\tC\t.\t.\t.\tGT\t./1\n"
    )
    assert_same(scanner(1)(body(text)), oracle.scan(text).rows, 1)


def test_blank_lines_are_skipped():
    batch = scanner(2)(b"1\t5\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n\n\r\n")
    assert batch.counters["records"] == 1
    assert batch.lines == 3


GOOD = "1\t5\trs1\tA\tC,G\t.\t.\t.\tGT:DP\t0/1:3\t1/1:4"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("1/1:4", "1/x:4", "'s1'"),
        ("1/1:4", "1/3:4", "above the number of ALT"),
        ("1/1:4", "1/99999999999999999999:4", "above the number of ALT"),
        ("1/1:4", "1//1:4", "no genotype"),
        ("1/1:4", "1/:4", "no genotype"),
        ("1/1:4", ":4", "no genotype"),
        ("1/1:4", "", "no genotype"),
        ("1/1:4", "1/1 :4", "no genotype"),
        ("1/1:4", "-1/1:4", "no genotype"),
        ("1/1:4", "1/1:4:5", "more fields than FORMAT"),
        ("1/1:4", "1/1:deep", "must be a number"),
        ("\t1/1:4", "", "10 columns where the header has 11"),
        ("1/1:4", "1/1:4\t0/0:1", "12 columns where the header has 11"),
        ("1/1:4", "1/1:4\t", "12 columns where the header has 11"),
        ("GT:DP\t0/1:3\t1/1:4", "GT:DP", "9 columns where the header has 11"),
        ("\tGT:DP\t0/1:3\t1/1:4", "", "8 columns where the header has 11"),
        ("\t5\t", "\tfive\t", "POS 'five'"),
        ("\t5\t", "\t\t", "POS ''"),
        ("\t5\t", "\t-5\t", "POS '-5'"),
        ("\t5\t", "\t12345678901234567890\t", "POS"),
        ("1\t5", "\t5", "CHROM ''"),
        ("1\t5", "<1\t5", "CHROM '<1'"),
        ("1\t5", "a b\t5", "CHROM 'a b'"),
        ("\tA\t", "\t\t", "REF"),
        ("C,G", "C,,G", "ALT"),
        ("C,G", "", "ALT"),
        ("C,G", "C,G,", "ALT"),
        ("rs1", "", "ID"),
        ("GT:DP", "GT:", "FORMAT"),
        ("GT:DP", "GT:GT", "FORMAT"),
        (GOOD, "##contig=<ID=1>", "header line among the records"),
    ],
)
def test_malformed_lines_are_named(old, new, words):
    fine = "1\t4\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1"
    text = "\n".join([fine, GOOD.replace(old, new, 1), fine, ""]).encode()
    with pytest.raises(RecordError) as caught:
        scanner(2)(text)
    assert words in caught.value.message
    assert caught.value.line == 1


def test_fixed_layout_does_not_hide_malformed_calls():
    # the right length for four bytes a call, but not calls
    for calls in ("0/1\t0/2", "0/1\t0:1", "0/1 0/1", "0/1\t0/\x00", "01/\t0/1", "0-1\t0/1", "0/1\t/11"):
        line = f"1\t4\t.\tA\tC\t.\t.\t.\tGT\t{calls}\n".encode()
        with pytest.raises(RecordError):
            scanner(2)(line)


def test_leading_phase_is_of_vcf_4_4():
    for calls in ("|0/1\t0/1", "/1\t|1"):
        line = f"1\t4\t.\tA\tC\t.\t.\t.\tGT\t{calls}\n".encode()
        assert scanner(2)(line).counters["records"] == 1
        with pytest.raises(RecordError, match="no genotype"):
            scanner(2, leading_phase=False)(line)


def test_text_that_is_not_utf8_is_named():
    with pytest.raises(RecordError) as caught:
        scanner(1)(b"1\t3\t.\tA\tC\t.\t.\t.\tGT\t0/1\n1\t4\trs\xff\tA\tC\t.\t.\t.\tGT\t0/1\n")
    assert "UTF-8" in caught.value.message
    assert caught.value.line == 1


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 50),
    edits=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=4),
)
def test_edited_texts_are_read_or_refused(seed, edits):
    text = bytearray(body(random_vcf(seed, 7, 8, 0.5)))
    for where, new, removed in edits:
        at = int(where * len(text))
        text[at : at + removed] = new
    try:
        batch = scanner(7)(bytes(text) + b"\n")
    except RecordError as error:
        assert 0 <= error.line <= text.count(b"\n")
        assert error.message
        return
    # what was read is what the twin reads
    assert_same(
        batch, oracle.scan(header([f"s{i}" for i in range(7)]) + bytes(text).decode(errors="replace") + "\n").rows, 7
    )
