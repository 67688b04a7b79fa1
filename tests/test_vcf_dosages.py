"""Dosages, masks, local alleles and half calls of VCF lines against slow twins, PLINK 2 and bcftools."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import half_calls as half_oracle
from oracles import vcf_dosages as oracle

from genassoc.data.block import NO_DOSAGE, GenotypeBlock
from genassoc.formats.reading import Reading
from genassoc.formats.source import RecordError, VariantBatch
from genassoc.formats.vcf.sample_fields import SampleFields
from genassoc.formats.vcf.scan import LineScanner
from genassoc.kernels.genotypes import half_calls
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.kernels.text.vcf_dosages import MOST_STEPS
from genassoc.kernels.text.vcf_numbers import BILLION, NO_NUMBER, NOTHING, read_number
from genassoc.kernels.text.vector_numbers import NOT_SHORT, NUMBERS, UNIT

pytestmark = pytest.mark.kernel
BITS = {"DS": 1, "HDS": 2, "GP": 4}


def scanner(n: int, columns=None, dosages=("DS", "HDS", "GP"), **reading) -> LineScanner:
    columns = np.arange(n, dtype=np.int64) if columns is None else np.array(columns, dtype=np.int64)
    fields = SampleFields(sum(BITS[name] for name in dosages), Reading(**reading))
    return LineScanner(tuple(f"s{i}" for i in range(n)), columns, (), (b"DS", b"DP"), True, fields=fields)


def line(format: str, *samples: str, alt: str = "C", contig: str = "1") -> str:
    return "\t".join([contig, "5", ".", "A", alt, ".", ".", ".", format, *samples]) + "\n"


def assert_same(batch: VariantBatch, lines: list[str], columns: list[int], choices=None) -> None:
    """What a scan gives is what the twin reads."""
    choices, counts, rows, calls = choices or oracle.Choices(), oracle.Counts(), [], []
    for text in lines:
        for k in range(1, len(text.split("\t")[4].split(",")) + 1):
            fields = text.rstrip().split("\t")
            chosen = "\t".join([*fields[:9], *(fields[9 + c] for c in columns)])
            # once a record, as the counters
            row, alleles = oracle.row_of(chosen, k, choices, counts if k == 1 else oracle.Counts(), text)
            rows.append(row)
            calls.append(
                [3 if None in a or len(a) > 2 else sum(x == k for x in a) * (2 if len(a) == 1 else 1) for a in alleles]
            )
    codes = GenotypeBlock(batch.packed, len(columns)).codes()
    marks = np.zeros(codes.shape, bool)
    if batch.haploid is not None:
        marks = np.unpackbits(batch.haploid, axis=1, bitorder="little")[:, : len(columns)].astype(bool)
    d = 0
    for v, row in enumerate(rows):
        if row is None:
            assert batch.dosages is None or batch.dosages.steps[v] == 0
            assert codes[v].tolist() == calls[v]
            continue
        assert batch.dosages is not None
        steps = int(batch.dosages.steps[v])
        assert steps == oracle.steps_of(row)
        values = batch.dosages.values[d]
        known = None if batch.dosages.homozygous is None else batch.dosages.homozygous[d]
        d += 1
        for i, (copies, two, haploid) in enumerate(zip(row.copies, row.two, row.haploid)):
            assert marks[v, i] == (haploid and copies is not None)
            assert (values[i] == NO_DOSAGE) == (copies is None)
            if copies is None:
                assert codes[v, i] == 3
                continue
            # half a step (a whole one of two where haploid), and what lies beyond nine decimals
            bound = Fraction(0 if steps == 1000 else 1 + haploid, 2 * steps) + Fraction(2, BILLION) * (steps != 1000)
            assert abs(Fraction(int(values[i]), steps) - copies) <= bound
            if known is not None:
                assert (known[i] == NO_DOSAGE) == (two is None)
                if two is not None:
                    least, most = max(0, int(values[i]) - steps), int(values[i]) // 2
                    assert least <= known[i] <= most
                    wanted = copies / 2 if haploid else min(max(two, Fraction(least, steps)), Fraction(most, steps))
                    assert abs(Fraction(int(known[i]), steps) - wanted) <= Fraction(1, steps)
    if d:
        # hard calls are those of the kernel for all formats, but that one copy is none of a haploid sample's
        there = batch.dosages.steps > 0
        packed = np.empty((d, batch.packed.shape[1]), np.uint8)
        hard_calls(batch.dosages.values, batch.dosages.steps[there], packed)
        wanted = GenotypeBlock(packed, len(columns)).codes()
        wanted[(wanted == 1) & marks[there]] = 3
        np.testing.assert_array_equal(codes[there], wanted)
    said = {name: batch.counters[name] for name in counts.counts}
    assert said == counts.counts


def _decimal(rng: np.random.Generator, most: float, odd: float) -> str:
    x = float(rng.choice([0, 1, most, rng.random() * most, rng.random() * most, most * (1 - rng.random() / 1000)]))
    if rng.random() > odd:
        return f"{x:.3f}".rstrip("0").rstrip(".") or "0"
    return str(rng.choice([f"{x:.5f}", f"{x:.3e}", f"{x:.9f}", f"{round(x * 16384) / 16384:.5g}", ".", f"{x:.1f}"]))


def _probabilities(rng: np.random.Generator, n: int, odd: float) -> str:
    p = rng.dirichlet(np.full(n, 0.3))
    if rng.random() < odd / 4:
        return str(rng.choice([".", ",".join(["0"] * n), ",".join([".", *["0.1"] * (n - 1)])]))
    p = np.round(p, 3)
    p[0] = max(0, p[0] + round(1 - p.sum(), 3))
    return ",".join(f"{x:.3f}".rstrip("0").rstrip(".") or "0" for x in p)


def _sample(rng: np.random.Generator, names: list[str], n_alts: int, odd: float) -> str:
    fields, haploid = [], rng.random() < odd / 3
    dosage = None
    for name in names:
        if name == "GT":
            a = [str(x) for x in rng.integers(0, n_alts + 1, 1 if haploid else 2)]
            a = ["."] * len(a) if rng.random() < odd / 3 else a
            fields.append(
                str(rng.choice(["/", "|"])).join(a)
                if rng.random() > odd / 5
                else str(rng.choice(["./1", "0/1/1", "|0/1", "."]))
            )
        elif name == "DS":
            dosage = [_decimal(rng, (1 if haploid else 2) / n_alts, odd) for _ in range(n_alts)]
            fields.append("." if rng.random() < odd / 4 else ",".join(dosage))
        elif name == "GP":
            n = n_alts + 1 if haploid else (n_alts + 1) * (n_alts + 2) // 2
            fields.append(_probabilities(rng, n, odd))
        elif name == "HDS":
            fields.append(",".join(_decimal(rng, 1, odd) for _ in range(1 if haploid else 2)))
        elif name in ("GQ", "DP"):
            fields.append("." if rng.random() < 0.1 else str(rng.integers(0, 40)))
        elif name == "AD":
            fields.append(",".join(str(x) for x in rng.integers(0, 12, n_alts + 1)) if rng.random() > 0.1 else ".")
        else:
            fields.append("x/y")
    if rng.random() < odd / 5:
        fields = fields[: int(rng.integers(1, len(fields) + 1))]
    return ":".join(fields)


FORMATS = ("GT:DS", "GT:DS:GP", "GT:GP", "GT:HDS", "GT:DS:HDS", "GT:DS:HDS:GP", "DS", "DS:GT", "GP:GT", "GT:FT:DS", "GT", "GT:DP:GQ:AD:DS", "GT:GQ:DP:AD", "GP:FT")  # fmt: skip


@pytest.mark.parametrize(("rule", "masked", "half_missing"), [(None, 2, 1), ("missing", 1, 2), ("haploid", 2, 0)])
def test_a_half_call_is_masked_or_half_missing_and_counted_once(rule, masked, half_missing):
    chosen = {} if rule is None else {"half_calls": rule}
    batch = scanner(4, [0, 1, 2, 3], min_gq=20, **chosen)(line("GT:GQ", "./1:3", "0/1:3", "./1:30", "./.:2").encode())
    assert (batch.counters["masked_gq"], batch.counters["half_missing_calls"]) == (masked, half_missing)
    assert GenotypeBlock(batch.packed, 4).codes()[0, :2].tolist() == [3, 3]


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), odd=st.sampled_from([0.0, 0.02, 0.5]), data=st.data())
def test_random_lines_are_their_twins(seed, n, odd, data):
    rng = np.random.default_rng(seed)
    lines = []
    for _ in range(4):
        names = data.draw(st.sampled_from(FORMATS)).split(":")
        n_alts = 1 if rng.random() < 0.7 else 2
        lines.append(
            line(":".join(names), *(_sample(rng, names, n_alts, odd) for _ in range(n)), alt="C,G"[: 2 * n_alts - 1])
        )
    columns = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True)) if odd else list(range(n))
    masks = data.draw(
        st.sampled_from([{}, {"min_gq": 20}, {"min_dp": 10, "min_gq": 5}, {"allele_balance": (0.2, 0.8)}])
    )
    choices = oracle.Choices(min_gq=masks.get("min_gq"), min_dp=masks.get("min_dp"), shares=masks.get("allele_balance"))
    ending = "\r\n" if rng.random() < 0.2 else "\n"
    text = "".join(lines).replace("\n", ending).encode()
    try:
        batch = scanner(n, columns, **masks)(text)
    except RecordError as error:
        with pytest.raises((ValueError, AssertionError)):
            for one in lines:
                for k in range(1, len(one.split("\t")[4].split(",")) + 1):
                    oracle.row_of(one, k, choices, oracle.Counts())
        assert error.message
        return
    assert_same(batch, lines, columns, choices)


@settings(max_examples=300, deadline=None)
@given(st.one_of(
    st.decimals(-10, 10, allow_nan=False, places=12).map(lambda x: f"{x:f}"),
    st.floats(-3, 3).map(repr), st.floats(0, 2).map(lambda x: f"{x:.3g}"), st.floats(allow_nan=True).map(repr),
    st.text("0123456789.e+-naif", min_size=1, max_size=12),
    st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}(e[+-]?[0-9]{1,3})?", fullmatch=True).filter(bool),
))  # fmt: skip
def test_numbers_are_pythons(text):
    for after in (b"\t", b":x", b",1", b"\n", b"\r\n"):
        buffer = np.frombuffer(text.encode() + after + b"0.123456789", np.uint8)[: len(text) + len(after)]
        kind, value, end = read_number(np.concatenate([buffer, np.frombuffer(b"\n", np.uint8)]), 0)
        try:
            wanted = None if text in (".",) else float(text)
        except ValueError:
            assert kind == NO_NUMBER or end < len(text)
            continue
        if "inf" in text and kind == NO_NUMBER:
            continue  # infinity is spelt in fewer ways
        assert end == len(text)
        if wanted is None or np.isnan(wanted):
            assert kind == NOTHING
        elif abs(wanted) > 1e9:
            assert abs(value) >= 10**18 and (value > 0) == (wanted > 0)
        else:
            # half a billionth; a double has 16 digits, and of a long number 18 are read
            assert abs(Fraction(value, BILLION) - Fraction(wanted)) <= Fraction(1, 2 * BILLION) + abs(
                Fraction(wanted)
            ) / 2**52 + Fraction(1, 10**17)


def test_eight_numbers_at_a_time_are_their_twin():
    parts = [
        "",
        "0",
        "1.5",
        "2.",
        "0.123",
        "0.1234",
        "0.12345",
        "0.123456",
        "1.1.1",
        "12",
        "x",
        ".5",
        "-1",
        "1e-3",
        "9.99999",
        "\x80.5",
        "0,5",
    ]
    rng = np.random.default_rng(3)
    chosen = [parts[i].replace(",", "") for i in rng.integers(0, len(parts), 8 * NUMBERS + 1)]
    text = np.frombuffer("\t".join(chosen).encode("latin1") + b"\t" + b" " * 16, np.uint8)
    ends = np.cumsum([len(part) + 1 for part in chosen]).astype(np.int32) - 1
    out, numbers = np.empty(ends.size, np.uint32), []
    _read_all(text, ends, out)
    for part in chosen[1:]:
        short = len(part) == 1 or (2 < len(part) < 8 and part[1] == ".")
        digits = part[:1] + part[2:]
        numbers.append(
            int(Fraction(part) * BILLION / UNIT) if short and digits.isascii() and digits.isdigit() else NOT_SHORT
        )
    assert out[1:].tolist() == numbers


def _read_all(text, ends, out):
    """`short_numbers` by the kernel that calls it, compiled or not."""
    from genassoc.kernels.text import vcf_regular

    vcf_regular.read_numbers(text, 0, ends, ends.size, out)


def test_half_calls_by_rule():
    text = line("GT", "0/.", "./1", "0/1", ".", "1", contig="X").encode()
    expected = {  # codes, marks
        None: ([3, 1, 1, 3, 2], [1, 1, 0, 0, 1]),
        "missing": ([3, 3, 1, 3, 2], [0, 0, 0, 0, 1]),
        "haploid": ([0, 2, 1, 3, 2], [1, 1, 0, 0, 1]),
        "reference": ([0, 1, 1, 3, 2], [0, 0, 0, 0, 1]),
    }
    for rule, (codes, marks) in expected.items():
        batch = scanner(5, half_calls=rule)(text)
        assert GenotypeBlock(batch.packed, 5).codes().tolist() == [codes]
        assert np.unpackbits(batch.haploid, axis=1, bitorder="little")[:, :5].tolist() == [marks]
        counted = [batch.counters[name] for name in ("half_missing_calls", "half_as_haploid", "half_as_reference")]
        assert counted == ([0, 2, 0] if rule == "haploid" else [0, 0, 2] if rule == "reference" else [2, 0, 0])
        assert batch.half_calls == ({"X": 2} if rule in (None, "missing") else {})
    # elsewhere a half call is nobody's single allele
    batch = scanner(5)(text.replace(b"X\t", b"7\t", 1))
    assert GenotypeBlock(batch.packed, 5).codes().tolist() == [[3, 3, 1, 3, 2]]
    assert np.unpackbits(batch.haploid, axis=1, bitorder="little")[:, :5].tolist() == [[0, 0, 0, 0, 1]]
    assert batch.half_calls == {"7": 2}
    # of several ALTs: each row tells whether the allele is its own
    batch = scanner(3)(line("GT", "./1", "2/.", "0/.", alt="C,G", contig="chrX").encode())
    assert GenotypeBlock(batch.packed, 3).codes().tolist() == [[1, 3, 3], [3, 1, 3]]


@pytest.mark.parametrize(
    ("calls", "codes", "marks"),
    [
        ((".:0.4", "0/0:0.1", "./.:0.4", ".:1"), [3, 0, 3, 2], [1, 0, 0, 1]),  # as PLINK 2 writes uncertain males on X
        ((".:0.4", "0/0:0.1", "0:0.02", ".:1"), [3, 0, 0, 2], [1, 0, 1, 1]),
        ((".:0.4", "0/0:0.1", "0/1:1", ".:1"), [3, 0, 1, 1], [0, 0, 0, 0]),  # nothing says that '.' is one allele
        ((".:0.4", "0/0:0.1", "./.:1", ".:1.2"), [3, 0, 1, 3], [0, 0, 0, 0]),  # no copies of one allele
    ],
)
def test_a_dot_alone_beside_a_dosage_is_haploid_where_the_record_tells_ploidy(calls, codes, marks):
    for tail in ("", ":x"):  # columns of one shape, and others
        last = (*calls[:-1], calls[-1] + tail)
        batch = scanner(4)(line("GT:DS:FT" if tail else "GT:DS", *last, contig="X").encode())
        assert GenotypeBlock(batch.packed, 4).codes().tolist() == [codes]
        packed_marks = np.zeros((1, 1), np.uint8) if batch.haploid is None else batch.haploid
        assert np.unpackbits(packed_marks, axis=1, bitorder="little")[0, :4].tolist() == marks
        copies = batch.dosages.values[0] / batch.dosages.steps[0]
        written = [float(call.split(":")[1]) for call in calls]
        np.testing.assert_allclose(copies, np.array(written) * (1 + np.array(marks)))  # thousandths: exact


def test_local_alleles_are_those_of_their_list():
    text = line(
        "LGT:LAA:LAD", "0/1:3:1,9", "1/2:2,3:0,5,5", "0/0:.:9", "./.:1:.", "1:2:0,3", "|1/1:1:0,9", alt="C,G,T"
    ).encode()
    batch = scanner(6)(text)
    assert GenotypeBlock(batch.packed, 6).codes().tolist() == [
        [0, 0, 0, 3, 0, 2],
        [0, 1, 0, 3, 2, 0],
        [1, 1, 0, 3, 0, 0],
    ]
    assert batch.counters["haploid_calls"] == 1
    masked = scanner(6, allele_balance=(0.2, 0.8))(text)
    assert masked.counters["masked_allele_balance"] == 1
    assert GenotypeBlock(masked.packed, 6).codes()[2].tolist() == [3, 1, 0, 3, 0, 0]
    # Hail's LA has REF too; and a GT beside is of all alleles
    hail = scanner(2)(line("LGT:LA", "0/1:0,2", "1/1:0,1", alt="C,G").encode())
    assert GenotypeBlock(hail.packed, 2).codes().tolist() == [[0, 2], [1, 0]]
    both = scanner(1)(line("GT:LGT:LAA", "0/2:0/1:2", alt="C,G").encode())
    assert GenotypeBlock(both.packed, 1).codes().tolist() == [[0], [1]]
    for bad in ("0/2:2", "0/1:4", "0/1:x", "0/1:1.5", "0/1:-1"):
        with pytest.raises(RecordError, match=r"local alleles|number"):
            scanner(1)(line("LGT:LAA", bad, alt="C,G,T").encode())


def test_masks_leave_what_they_cannot_judge():
    text = line("GT:GQ:DP", "0/1:19:30", "0/1:20:9", "1/1:.:.", "0/0", "./.:1:1", "0/1:30:10").encode()
    batch = scanner(6, min_gq=20, min_dp=10)(text)
    assert GenotypeBlock(batch.packed, 6).codes().tolist() == [[3, 3, 2, 0, 3, 1]]
    assert (batch.counters["masked_gq"], batch.counters["masked_dp"]) == (1, 1)
    # a dosage too
    batch = scanner(2, min_gq=20)(line("GT:GQ:DS", "0/1:5:1", "0/1:50:0.9").encode())
    assert batch.dosages.values.tolist() == [[NO_DOSAGE, 900]]


@pytest.mark.parametrize(
    ("format", "value", "words"),
    [
        ("GT:DS", "0/1:2.5", "no dosage"),
        ("GT:DS", "0/1:-0.5", "no dosage"),
        ("GT:DS", "0/1:inf", "no dosage"),
        ("GT:DS", "0:1.5", "one copy"),
        ("GT:DS", "0/1:0.1,0.2", "one value for each ALT"),
        ("GT:DS", "0/1:x", "must be a number"),
        ("GT:DS", "0/1:", "must be a number"),
        ("GT:GP", "0/1:0,12,99", "no probability"),
        ("GT:GP", "0/1:0.1,0.2,0.3,0.4", "one value"),
        ("GT:HDS", "0/1:0.1,0.2,0.3", "one value"),
        ("GT:DS:DS", "0/1:1:1", "FORMAT"),
    ],
)
def test_what_is_no_dosage_is_named(format, value, words):
    fine = ":".join(["0/0", *("0" if n != "GP" else "1,0,0" for n in format.split(":")[1:])])
    for samples in ([value, fine, fine], [fine, value, fine], [fine, fine, value], [*[fine] * 20, value, *[fine] * 20]):
        with pytest.raises(RecordError) as caught:
            scanner(len(samples))(line(format, *samples).encode())
        assert words in caught.value.message
        assert f"s{samples.index(value)}" in caught.value.message or words == "FORMAT"


def test_what_is_read_is_told_by_header_first_record_and_choice(tmp_path):
    declared = {b"DS": b'##FORMAT=<ID=DS,Number=A,Type=Float,Description="x">'}
    phred = {b"GP": b'##FORMAT=<ID=GP,Number=G,Type=Float,Description="Phred-scaled posterior probabilities">'}
    first = b"1\t5\t.\tA\tC\t.\t.\t.\tGT:GP\t0/0:1,0,0"
    path = tmp_path / "a.vcf"
    assert SampleFields.of(path, declared, b"", Reading()).dosages == BITS["DS"]
    assert SampleFields.of(path, declared, first, Reading()).dosages == BITS["DS"] + BITS["GP"]
    assert SampleFields.of(path, declared, first, Reading(dosage="GP")).dosages == BITS["GP"]
    assert SampleFields.of(path, declared, first, Reading(dosage="GT")).dosages == 0
    assert SampleFields.of(path, {}, b"", Reading()).dosages == 0
    unread = SampleFields.of(path, phred, first, Reading())
    assert unread.dosages == 0
    assert "phred-scaled" in unread.notes[0]
    with pytest.raises(Exception, match="phred-scaled"):
        SampleFields.of(path, phred, first, Reading(dosage="GP"))
    absent = SampleFields.of(path, declared, b"", Reading(dosage="HDS"))
    assert "neither" in absent.notes[0]
    # a field that was not announced is counted as not read
    batch = scanner(1, dosages=())(line("GT:DS", "0/1:0.9").encode())
    assert batch.dosages is None
    assert batch.counters["dosages_DS"] == 1


def test_a_row_of_steps():
    def steps(*values: str) -> int:
        return int(scanner(len(values))(line("GT:DS", *(f"0/0:{v}" for v in values)).encode()).dosages.steps[0])

    assert steps("0.5", "1.999", "0.1000") == 1000
    assert steps("0.0001") == 16384  # 2 / 16384 to four digits
    assert steps("0.00006", "0.5") == 16384
    assert steps("0.00007", "0.5") == MOST_STEPS
    assert steps("0.33333", "0.123456") == MOST_STEPS


def test_half_calls_are_settled_as_by_their_twin():
    rng = np.random.default_rng(5)
    codes, marks = rng.integers(0, 4, (9, 37), dtype=np.uint8), rng.random((9, 37)) < 0.5
    rows, whole, who = np.array([0, 2, 3, 8]), np.array([1, 0, 1, 1], np.uint8), rng.random(37) < 0.5
    for settle in (True, False):
        packed = GenotypeBlock.from_codes(codes).packed
        bits = np.packbits(marks, axis=1, bitorder="little")
        if settle:
            half_calls.settle_half_calls(packed, bits, rows, whole, np.packbits(who, bitorder="little"))
            wanted = half_oracle.settle_half_calls(codes, marks, rows.tolist(), whole.astype(bool).tolist(), who)
        else:
            half_calls.forget_half_calls(packed, bits, rows)
            wanted = half_oracle.forget_half_calls(codes, marks, rows.tolist())
        np.testing.assert_array_equal(GenotypeBlock(packed, 37).codes(), wanted[0])
        np.testing.assert_array_equal(np.unpackbits(bits, axis=1, bitorder="little")[:, :37], wanted[1])
