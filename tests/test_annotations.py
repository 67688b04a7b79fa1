"""FILTER and INFO: the kernels that find them against their slow twins, what a conversion keeps, counts and leaves out."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import vcf_annotations as oracle

import genassoc as ga
from genassoc.data.store.variant_columns import TextColumn
from genassoc.formats.convert import MOST_NAMES, OTHER_NAMES, convert
from genassoc.formats.convert_parts import convert_part, merge_conversion
from genassoc.formats.convert_plan import ConversionPlan, plan_conversion
from genassoc.formats.inputs import open_source
from genassoc.formats.reading import Reading, reading_of
from genassoc.formats.source import VariantBatch
from genassoc.kernels.text import vcf_annotations as kernels

HEADER = (
    "##fileformat=VCFv4.3\n##contig=<ID=1>\n"
    '##FILTER=<ID=LowGTR,Description="x">\n'
    '##INFO=<ID=R2,Number=1,Type=Float,Description="x">\n'
    '##INFO=<ID=AF,Number=A,Type=Float,Description="x">\n'
    '##INFO=<ID=DB,Number=0,Type=Flag,Description="x">\n'
    '##INFO=<ID=CSQ,Number=.,Type=String,Description="x">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\ta\tb\tc\n"
)
# ALT, FILTER, INFO
RECORDS = [
    ("C", "PASS", "AF=0.1;R2=0.9;DB"),
    ("C,G", "LowGTR", "AF=0.1,0.2;CSQ=x|é,y|z"),
    ("C,G,T", "LowGTR;LowMLSQ", "AF=0.1;R2=0.4"),
    ("C", ".", "."),
    ("<NON_REF>", "PASS", "END=9"),
    ("C,<*>", "PASS", "DB;AF=0.5,0;XR2=1;R2="),
    (".", "LowGTR", "AF=0"),
]


def text_of(records, header=HEADER) -> str:
    lines = [
        f"1\t{10 * (i + 1)}\t.\tA\t{alt}\t.\t{passed}\t{info}\tGT\t0/0\t0/0\t./."
        for i, (alt, passed, info) in enumerate(records)
    ]
    return header + "".join(f"{line}\n" for line in lines)


@pytest.fixture
def vcf(tmp_path):
    path = tmp_path / "a.vcf"
    path.write_text(text_of(RECORDS), encoding="utf-8")
    return path


def batches(path, **reading) -> list[VariantBatch]:
    source = open_source(path, [], reading=Reading(**reading))
    found = [piece.decode() for piece in source.pieces(np.arange(3), None)]
    assert all(tuple(b.columns.annotations) == source.annotations for b in found if len(b.packed))
    return [b for b in found if len(b.packed)]


def texts(column: TextColumn) -> list[str]:
    data = column.data.tobytes()
    return [data[a:b].decode() for a, b in zip(column.offsets[:-1], column.offsets[1:])]


names = st.sampled_from(["AF", "R2", "XR2", "R", "DB"])
infos = st.lists(
    st.builds("".join, st.tuples(names, st.sampled_from(["", "=", "=.", "=1", "=0.1,0.2", "=,", "=a=b", "=1,2,3"]))),
    max_size=4,
).map(lambda parts: ";".join(parts) or ".")


@pytest.mark.kernel
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["C", "C,G", "A,C,T"]), st.sampled_from(["PASS", ".", "q10;s50"]), infos),
        min_size=1,
        max_size=8,
    ),
    name=names,
    seed=st.integers(0, 99),
)
def test_kernels_are_their_twins(rows, name, seed):
    lines = [f"1\t5\t.\tA\t{alt}\t3.5\t{passed}\t{info}\tGT\t0/1" for alt, passed, info in rows]
    text = np.frombuffer("".join(f"{line}\n" for line in lines).encode(), np.uint8)
    text.flags.writeable = False
    begins = np.cumsum([0, *(len(line) + 1 for line in lines)])[:-1]
    alternates = np.array([b + len("1\t5\t.\tA\t") for b in begins], np.int64)
    rng = np.random.default_rng(seed)
    alt_index = np.array([rng.integers(1, alt.count(",") + 2) for alt, _, _ in rows], np.int32)
    spans, changes = np.empty((len(rows), 4), np.int64), np.empty(len(rows), np.uint8)
    kernels.find_columns(text, alternates, spans, changes)
    wanted, wanted_changes = oracle.find_columns(lines)
    whole = text.tobytes().decode()
    assert [(whole[a:b], whole[c:d]) for a, b, c, d in spans.tolist()] == wanted
    assert changes.astype(bool).tolist() == wanted_changes
    key = np.frombuffer(name.encode(), np.uint8)
    for starts, args in ((np.empty(0, np.int64), ()), (alternates, ([r[0] for r in rows], alt_index))):
        values = np.empty((len(rows), 2), np.int64)
        uneven = kernels.find_values(text, spans, key, starts, alt_index, values)
        column = TextColumn(np.empty(len(rows) + 1, np.int64), np.empty(text.size + len(rows), np.uint8))
        kernels.take_values(text, values, *column)
        assert (texts(column), uneven) == oracle.find_values([info for _, info in wanted], name, *args)


def test_rows_have_their_filter_and_info(vcf):
    (batch,) = batches(vcf, info=("AF", "DB", "CSQ", "ZZ"))
    columns = {name: texts(column) for name, column in batch.columns.annotations.items()}
    assert list(columns) == ["FILTER", "INFO/AF", "INFO/DB", "INFO/CSQ", "INFO/ZZ", "info_source"]
    assert columns["FILTER"] == ["PASS", *["LowGTR"] * 2, *["LowGTR;LowMLSQ"] * 3, ".", "PASS"]
    # a value an ALT is split; a list that does not fit ALT is kept whole, and counted
    assert columns["INFO/AF"] == ["0.1", "0.1", "0.2", "0.1", "0.1", "0.1", ".", "0.5"]
    assert columns["INFO/DB"] == ["1", *["."] * 6, "1"]
    assert columns["INFO/CSQ"] == [".", "x|é,y|z", "x|é,y|z", *["."] * 5]
    assert columns["INFO/ZZ"] == ["."] * 8
    assert columns["info_source"] == ["0.9", ".", ".", "0.4", "0.4", "0.4", ".", "."]
    assert batch.filters == {"PASS": 2, "LowGTR": 1, "LowGTR;LowMLSQ": 1, ".": 1}
    assert batch.annotated == {"INFO/AF": 7, "INFO/AF uneven": 3, "INFO/DB": 2, "INFO/CSQ": 2, "info_source": 4}


def test_pass_only_leaves_out_by_filter(vcf, tmp_path):
    summary = convert(vcf, tmp_path / "a.zarr", reading=Reading(pass_only=True))
    assert (summary.rows, summary.records) == (3, 7)
    assert summary.left_out == {"LowGTR": 2, "LowGTR;LowMLSQ": 1} and summary.filters == {"PASS": 2, ".": 1}
    assert summary.dropped == {"reference_block_allele": 2}
    assert "left out: 3 records that did not pass their filters: LowGTR 2, LowGTR;LowMLSQ 1" in summary.lines()
    store = ga.open_store(tmp_path / "a.zarr")
    assert store.attributes["summary"]["left_out"] == summary.left_out
    assert store.attributes["parameters"]["reading"] == {"pass_only": True}
    assert store.variants(0, 3)["record"].to_list() == [0, 3, 5]  # counted over all records
    kept = convert(vcf, tmp_path / "b.zarr")
    assert kept.filters["LowGTR"] == 1 and kept.left_out == {}
    assert any("2 of 5 records did not pass their filters and are kept" in line for line in kept.lines())


def test_bcf_and_vcf_have_the_same(vcf, tmp_path):
    pysam = pytest.importorskip("pysam")
    records = [("C", "PASS", "AF=0.1;R2=0.9;DB"), ("C,G", "LowGTR", "AF=0.1,0.2;CSQ=x|y,z"), ("C", ".", ".")]
    text = text_of(records)
    vcf.write_text(text, encoding="utf-8")
    with (
        pysam.VariantFile(str(vcf)) as file,
        pysam.VariantFile(str(tmp_path / "a.bcf"), "wb", header=file.header) as out,
    ):
        for record in file:
            out.write(record)
    for reading in ({"info": ("AF", "CSQ", "DB")}, {"pass_only": True, "info": ("AF",)}):
        (a,), (b,) = batches(vcf, **reading), batches(tmp_path / "a.bcf", **reading)
        assert (a.filters, a.left_out, a.annotated) == (b.filters, b.left_out, b.annotated)
        for one, other in zip(a.columns.annotations.values(), b.columns.annotations.values(), strict=True):
            assert texts(one) == texts(other)


@pytest.mark.parametrize(
    ("declared", "field"),
    [
        ([("DR2", "A", "Float")], "DR2"),
        ([("INFO", "1", "Float"), ("AF", "A", "Float")], "INFO"),
        ([("INFO_SCORE", "1", "Float")], "INFO_SCORE"),
        ([("DR2", "1", "Float"), ("R2", "1", "Float")], "R2"),
        ([("R2", "1", "String")], ""),
        ([("AF", "A", "Float")], ""),
    ],
)
def test_quality_is_taken_from_the_field_that_the_header_declares(tmp_path, declared, field):
    lines = "".join(f'##INFO=<ID={n},Number={k},Type={t},Description="x">\n' for n, k, t in declared)
    columns = HEADER[HEADER.index("#CHROM") :]
    text = text_of(
        [("C,G", "PASS", ";".join(f"{n}=0.25,0.5" for n, _, _ in declared))], f"##fileformat=VCFv4.3\n{lines}{columns}"
    )
    (tmp_path / "a.vcf").write_text(text)
    (batch,) = batches(tmp_path / "a.vcf")
    source = batch.columns.annotations.get("info_source")
    if not field:
        assert source is None
        return
    number = next(k for n, k, _ in declared if n == field)
    # a list where the header says one value is no quality
    assert texts(source) == (["0.25", "0.5"] if number == "A" else [".", "."])
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr")
    if number == "1":
        assert summary.annotated == {"info_source uneven": 2} and "no single number" in " ".join(summary.lines())
        return
    assert summary.sources[0]["info_source"] == field and f"info_source ({field})" in " ".join(summary.lines())


def test_many_values_of_filter_are_counted_within_bounds(tmp_path):
    records = [("C", f"f{i}", ".") for i in range(1500)] + [("C", "f" * 3000, ".")]
    (tmp_path / "a.vcf").write_text(text_of(records))
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr")
    assert len(summary.filters) == MOST_NAMES + 1 and summary.filters[OTHER_NAMES] == 501
    assert max(map(len, summary.filters)) < 300


def test_info_that_is_no_text_is_refused_with_its_line(tmp_path):
    (tmp_path / "a.vcf").write_bytes(text_of([("C", "PASS", "CSQ=@")]).encode().replace(b"@", b"\xff"))
    batches(tmp_path / "a.vcf")  # nobody asked for it
    with pytest.raises(ga.InputError, match=r"a\.vcf:10: .*not UTF-8"):
        convert(tmp_path / "a.vcf", tmp_path / "a.zarr", reading=Reading(info=("CSQ",)))


# Choices of reading --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dosage": "XX"}, "choose from DS"),
        ({"half_calls": "yes"}, "choose from missing"),
        ({"info": ("A;B",)}, "no name of an INFO field"),
        ({"min_gq": -1}, "no number from 0"),
        ({"min_dp": float("nan")}, "no number from 0"),
        ({"allele_balance": (0.8, 0.2)}, "least and the largest share"),
        ({"allele_balance": (0.2,)}, "least and the largest share"),
    ],
)
def test_a_choice_that_is_none_is_refused(given, words):
    with pytest.raises(ga.InputError, match=words):
        Reading(**given)


def test_names_of_fields_may_have_their_prefix():
    assert Reading(info="INFO/CSQ, R2,CSQ").info == ("CSQ", "R2")


def test_a_plan_states_its_reading(vcf, tmp_path):
    reading = Reading(pass_only=True, info=("AF",), min_gq=20, allele_balance=(0.2, 0.8))
    plan = plan_conversion([vcf], tmp_path / "work", 2, reading=reading)
    assert ConversionPlan.read(tmp_path / "work") == plan and plan.reading == reading
    for part in range(2):
        convert_part(tmp_path / "work", part)
    merged = merge_conversion(tmp_path / "work", tmp_path / "a.zarr")
    whole = convert(vcf, tmp_path / "b.zarr", reading=reading)
    assert merged.stored() == whole.stored() and merged.left_out == {"LowGTR": 2, "LowGTR;LowMLSQ": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"reading": None},
        {"reading": {}},
        {"reading": {"dosage": "XX"}},
        {"reading": {"info": "AF"}},
        {"reading": {"info": [1]}},
        {"reading": {"allele_balance": ["a", "b"]}},
        {"reading": {"min_gq": {"a": 1}}},
        {"reading": {"pass_only": 1}},
        {"reading": {"more": 1}},
    ],
)
def test_a_plan_with_another_reading_is_refused(vcf, tmp_path, change):
    plan_conversion([vcf], tmp_path / "work", 1)
    path = tmp_path / "work" / "plan.json"
    content = json.loads(path.read_text())
    wanted = change["reading"]
    content["reading"] = {**content["reading"], **wanted} if wanted else wanted
    path.write_text(json.dumps(content))
    with pytest.raises(ga.PlanError, match="damaged"):
        ConversionPlan.read(tmp_path / "work")


def test_reading_of_json_is_the_reading():
    from dataclasses import asdict

    reading = Reading(info=("AF", "CSQ"), min_dp=3.5, half_calls="haploid")
    assert reading_of(json.loads(json.dumps(asdict(reading)))) == reading


def test_the_command_passes_its_options_on(vcf, tmp_path, genassoc):
    out = tmp_path / "a.zarr"
    code, printed, errors = genassoc("convert", vcf, out, "--pass-only", "--info", "AF,DB", "--info", "NO")
    assert code == 0, errors
    assert (
        "left out: 3 records" in printed and "INFO/AF in 2 variants" in printed and "INFO/NO in 0 variants" in printed
    )
    assert ga.open_store(out).attributes["parameters"]["reading"] == {"pass_only": True, "info": ["AF", "DB", "NO"]}
    code, _, errors = genassoc("convert", vcf, tmp_path / "b.zarr", "--allele-balance", "x")
    assert code != 0 and "LEAST,LARGEST" in errors
    code, _, errors = genassoc("plan", vcf, tmp_path / "w", "--parts", 2, "--pass-only")
    assert code != 0 and "--convert" in errors
    code, _, errors = genassoc("plan", vcf, tmp_path / "w", "--parts", 2, "--convert", "--pass-only")
    assert code == 0 and ConversionPlan.read(tmp_path / "w").reading == Reading(pass_only=True)


# Nothing silent: each column and field of a record leaves a trace, whether it is read or not -----------------------------


@pytest.mark.parametrize(
    ("record", "reading", "trace"),
    [
        (("C", "LowGTR", "."), {}, "did not pass their filters and are kept: LowGTR 1"),
        (("C", "LowGTR", "."), {"pass_only": True}, "left out: 1 records that did not pass their filters: LowGTR 1"),
        (("C", "PASS", "R2=0.5"), {}, "info_source (R2) in 1 variants"),
        (("C", "PASS", "R2=high"), {}, "1 variants whose quality of imputation is no single number"),
        (("C", "PASS", "CSQ=x"), {"info": ("CSQ",)}, "INFO/CSQ in 1 variants"),
        (("C", "PASS", "AF=1,2"), {"info": ("AF",)}, "1 variants whose INFO/AF has not one value for each ALT"),
        (("C", "PASS", "."), {"info": ("CSQ",)}, "INFO/CSQ in 0 variants"),
        (("C", "PASS", "."), {"info": ("ZZ",)}, "INFO field ZZ is not declared"),
        (("C,<*>", "PASS", "."), {}, "1 dropped: <*> or <NON_REF> alleles"),
        ((".", "PASS", "."), {}, "1 dropped: records whose ALT is '.'"),
        (("C,G", "PASS", "."), {}, "1 multi-allelic records split"),
    ],
)
def test_what_is_read_and_what_is_not_leaves_a_trace(tmp_path, record, reading, trace):
    (tmp_path / "a.vcf").write_text(text_of([record, ("T", "PASS", ".")]))
    summary = convert(tmp_path / "a.vcf", tmp_path / "a.zarr", reading=Reading(**reading))
    assert trace in "\n".join(summary.lines())


def test_every_choice_of_reading_is_an_option_and_is_recorded(vcf, tmp_path):
    from dataclasses import fields

    from genassoc.cli.reading_options import READING_OPTIONS

    assert {field.name for field in fields(Reading)} - {"blocks"} == set(READING_OPTIONS)
    convert(vcf, tmp_path / "a.zarr", reading=Reading(min_gq=20, half_calls="missing", missing_to_ref=True))
    parameters = ga.open_store(tmp_path / "a.zarr").attributes["parameters"]
    assert parameters["reading"] == {"min_gq": 20, "half_calls": "missing", "missing_to_ref": True}
