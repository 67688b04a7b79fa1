"""Kernels of BED, PGEN and their lists against slow twins."""

from itertools import pairwise

import numpy as np
import pytest
from oracles import bed as bed_oracle
from oracles import nearest_calls as nearest_oracle
from oracles import packed as packed_oracle
from oracles import pgen as pgen_oracle
from oracles import variant_lines as lines_oracle
from plink_files import random_codes

from genassoc.kernels.genotypes import bed, pgen
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.kernels.text import variant_lines
from genassoc.shapes import packed_bytes

pytestmark = pytest.mark.kernel
WIDTHS = [1, 3, 4, 5, 31, 32, 33, 70]  # about the edges of bytes and of words


def rows_of(codes):
    return np.frombuffer(b"".join(bed_oracle.to_bed(codes)), np.uint8).reshape(len(codes), -1)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("a2_is_alt", [False, True])
def test_bed_to_packed_calls(width, a2_is_alt):
    codes = random_codes(5, width, width)
    rows = np.array(rows_of(codes))
    if width % 4:
        rows[:, -1] |= np.uint8(0x40)  # what pads a row means nothing
    for columns in (np.arange(width), np.random.default_rng(1).permutation(width)[: (width + 1) // 2]):
        packed = np.empty((5, packed_bytes(columns.size)), np.uint8)
        in_order = columns.size == width and bool((columns == np.arange(width)).all())
        bed.from_bed(rows, columns.astype(np.int64), in_order, a2_is_alt, packed)
        expected = np.array(bed_oracle.from_bed(rows, columns, a2_is_alt), np.uint8)
        np.testing.assert_array_equal(packed, packed_oracle.pack(expected, packed.shape[1]))


@pytest.mark.parametrize("width", WIDTHS)
def test_packed_calls_to_bed(width):
    codes = random_codes(4, width, width)
    out = np.full((4, (width + 3) // 4), 255, np.uint8)
    bed.to_bed(packed_oracle.pack(codes, packed_bytes(width)), width, out)
    assert [bytes(row) for row in out] == bed_oracle.to_bed(codes)


@pytest.mark.parametrize("width", WIDTHS)
def test_copies_and_packed_calls(width):
    codes = random_codes(4, width, width)
    copies = np.empty((4, width), np.int8)
    pgen.copies_of(packed_oracle.pack(codes, packed_bytes(width)), copies)
    assert copies.tolist() == pgen_oracle.copies_of(codes)
    n_bytes = packed_bytes(width)
    padded = np.full((4, 4 * n_bytes), 3, np.int8)
    padded[:, :width] = copies
    for columns in (np.random.default_rng(2).permutation(width), np.arange(width)):
        packed = np.empty((4, n_bytes), np.uint8)
        pgen.pack_copies(padded, columns.astype(np.int64), bool((columns == np.arange(width)).all()), packed)
        expected = np.array(pgen_oracle.pack_copies(copies, columns), np.uint8)
        np.testing.assert_array_equal(packed, packed_oracle.pack(expected, n_bytes))


def test_steps_of_dosages():
    rng = np.random.default_rng(3)
    dosages = (rng.integers(0, 32769, (3, 40)) / 16384).astype(np.float32)
    dosages[0, :3], dosages[1, :3], dosages[2, :2] = (-9, 0, 2), (np.nan, 2.5, np.inf), (1 / 16384, 2 - 1 / 16384)
    columns = rng.permutation(40).astype(np.int64)
    values = np.empty((3, 40), np.uint16)
    assert pgen.dosage_steps(dosages, np.arange(40), True, values) == 3
    assert values.tolist() == pgen_oracle.dosage_steps(dosages, range(40))[0]
    bad = pgen.dosage_steps(dosages, columns, False, values)
    expected, wrong = pgen_oracle.dosage_steps(dosages, columns)
    assert bad == wrong == 3
    assert values.tolist() == expected
    packed = np.empty((3, packed_bytes(40)), np.uint8)
    hard_calls(values, np.full(3, 16384, np.uint16), packed)
    codes = np.array(nearest_oracle.hard_calls(values, [16384] * 3), np.uint8)
    np.testing.assert_array_equal(packed, packed_oracle.pack(codes, packed.shape[1]))


BIM = ({"CHROM": 0, "ID": 1, "POS": 3, "ALT": 4, "REF": 5}, False, False)
PVAR = ({"CHROM": 0, "POS": 1, "ID": 2, "REF": 3, "ALT": 4, "FILTER": 6, "INFO": 7}, True, True)
SHORT = ({"CHROM": 0, "POS": 1, "ID": 2, "REF": 3, "ALT": 4}, False, True)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1\trs1\t0\t10\tA\tG\n1 rs2 0.5 20   0\tG\r\n  chr2\trs3 0 7 AT <DEL> more columns\n", BIM),
        ("1\t10\trs1\tA\tC,G,<*>\t.\tPASS\tR2=1;X\n1\t11\t.\tA\t.\t.\tq10\t.\r\n2\t12\trs\tN\t<NON_REF>\t5\t\t\n2\t13\tx\tA\tT\t.\t.\t.\n", PVAR),
        ("X 5 a A C\nX 6 b A\tC,T\n", SHORT),
    ],
)  # fmt: skip
def test_lines_of_variants(text, kind):
    names, tabs, listed = kind
    at = [names.get(name, -1) for name in ("CHROM", "POS", "ID", "REF", "ALT", "FILTER", "INFO")]
    layout = variant_lines.Layout(*at, max(at) + 1, tabs, listed)
    data = np.frombuffer(text.encode(), np.uint8)
    wanted = variant_lines.Wanted(np.empty(0, np.uint8), np.empty(0, np.int64), np.empty((0, 2), np.int64))
    counters, status = np.zeros(variant_lines.N_COUNTERS, np.int64), np.zeros(variant_lines.STATUS_SIZE, np.int64)
    found, offset = [], 0
    while True:
        rows = variant_lines.Rows(
            np.empty(3, np.int64), np.empty((3, variant_lines.N_PLACES), np.int64), np.empty(3, np.int64), np.empty(3, np.int64),
            np.empty(3, np.int32), np.empty(text.count("\n"), np.int32),
        )  # fmt: skip
        bounds = np.empty((2, variant_lines.MOST_COLUMNS), np.int64)
        variant_lines.scan_variants(data, offset, layout, wanted, rows, bounds, counters, status)
        n = int(status[variant_lines.STATUS_ROWS])
        texts = []
        for start in range(0, variant_lines.N_PLACES, 2):
            strings = lines_oracle.copy_texts(data, rows.places[:n], start)
            offsets, copied = np.empty(n + 1, np.int64), np.empty(sum(map(len, strings)), np.uint8)
            variant_lines.copy_texts(data, rows.places, start, offsets, copied)
            assert [bytes(copied[a:b]) for a, b in pairwise(offsets)] == strings
            texts.append([string.decode() for string in strings])
            changes = np.empty(n, np.uint8)
            variant_lines.text_changes(data, rows.places, start, changes)
            assert changes.tolist() == lines_oracle.text_changes(texts[-1])
        contig, identifier, ref, alt, passed, info, _ = texts
        absent = [None] * n
        found += zip(
            rows.lines[:n].tolist(), contig, rows.positions[:n].tolist(), identifier, ref, alt, rows.alt_index[:n].tolist(),
            passed if "FILTER" in names else absent, info if "INFO" in names else absent,
        )  # fmt: skip
        if status[variant_lines.STATUS_CODE] == variant_lines.OK:
            break
        assert status[variant_lines.STATUS_CODE] == variant_lines.FULL
        offset = int(status[variant_lines.STATUS_OFFSET])
    assert found == lines_oracle.scan_variants(text, names, tabs, listed)
    assert status[variant_lines.STATUS_LINES] == text.count("\n") == counters[variant_lines.RECORDS]
