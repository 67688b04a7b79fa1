"""Export to PLINK's files: read again they are the same calls, by ourselves and by plink2; what is lost is said."""

import gzip
import shutil

import numpy as np
import polars as pl
import pytest
from oracles import packed as packed_oracle
from plink_files import plink2, random_codes, write_fileset

import genassoc as ga
from genassoc.data.block import NO_DOSAGE, DosageRows
from genassoc.errors import MissingExtraError, OutputError
from genassoc.formats import inputs
from genassoc.formats.plink.export import BedWriter, PgenWriter
from genassoc.formats.writing import ExportHeader, ExportRows

pytest.importorskip("pgenlib")
LINES = """\
1	100	rs1	A	C	.	PASS	R2=0.5	GT	0/1	0|0	./.	1/1	0/0
1	200	.	A	C,G	50	q10	R2=0.7	GT	1/2	0/2	./1	2/2	./.
1	300	rs9	A	C	50	PASS	.	GT	0/0	0/1	0/0	1/1	0/1
X	100	rs2	AT	A	.	.	.	GT	1	0/1	.	0	0/0
X	200	rs4	AT	A,G,C,<DEL>,*,ATT	.	PASS	R2=1	GT	6	0/5	.	2	4/6
"""
HEADER = """##fileformat=VCFv4.3
##contig=<ID=1,length=248956422>
##contig=<ID=X,length=156040895>
##FILTER=<ID=q10,Description="x">
##INFO=<ID=R2,Number=1,Type=Float,Description="x">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	A	B	C	D	E
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A store of multi-allelic records, haploid and half calls."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "x.vcf").write_text(HEADER + LINES)
    return ga.convert(folder / "x.vcf", folder / "x.zarr")


def codes_of(store):
    return store.read(0, store.n_variants).codes()


@pytest.mark.parametrize("name", ["y.bed", "y.pgen"])
def test_what_is_written_is_read_again(strange, tmp_path, name):
    summary = ga.export(strange, tmp_path / name)
    again = ga.convert(tmp_path / name, tmp_path / "y.zarr")
    np.testing.assert_array_equal(codes_of(again), codes_of(strange))
    assert list(again.sample_ids) == list(strange.sample_ids)
    columns = ["chromosome", "base_pair_location", "effect_allele", "other_allele"]
    assert again.variants().select(columns).equals(strange.variants().select(columns))
    said = "\n".join(summary.lines())
    assert "haploid calls are written with two equal alleles" in said and "sexes are not stated" in said
    if name == "y.bed":
        ids = again.variants()["rsid"].to_list()
        assert ids[:3] == ["rs1", "1:200:A:C", "1:200:A:G"] and ids[-1] == "rs4:AT:ATT"
        assert "8 rows of multi-allelic records are variants of their own" in said
    else:
        assert again.variants().equals(strange.variants())


def test_plink2_reads_the_same_calls(strange, tmp_path):
    texts = []
    for name, option in (("y.bed", "--bfile"), ("y.pgen", "--pfile")):
        ga.export(strange, tmp_path / name)
        plink2(
            option,
            tmp_path / "y",
            "--export",
            "vcf",
            "bgz",
            "--out",
            tmp_path / "z",
            "--split-par",
            "hg38",
        )
        with gzip.open(tmp_path / "z.vcf.gz", "rt") as file:
            texts.append([line.rstrip().split("\t") for line in file if not line.startswith("#")])
    of_bed, of_pgen = texts
    calls = [[cell.replace("|", "/") for cell in line.split("\t")[9:]] for line in LINES.splitlines()]
    calls[1][2] = "./."  # a half call is not observed
    calls[3] = ["1/1", "0/1", "./.", "0/0", "0/0"]  # one allele is two to PLINK
    calls[4] = ["6/6", "0/5", "./.", "2/2", "4/6"]
    assert [line[9:] for line in of_pgen] == calls
    assert of_pgen[1][4] == "C,G"
    assert of_bed[1][9:] == ["0/1", "0/0", "./.", "0/0", "./."] and of_bed[2][9:] == ["0/1", "0/1", "./.", "1/1", "./."]


def test_samples_sexes_and_regions(strange, tmp_path):
    cohort = ga.Cohort.align(strange, pl.DataFrame({"IID": ["D", "B"], "SEX": [1, 2]}), sample_id="IID", sex="SEX")
    for name in ("y.bed", "y.pgen"):
        ga.export(cohort, tmp_path / name, region="X")
        source = inputs.open_source(tmp_path / name, [])
        assert source.sample_ids == ("B", "D") and source.sexes == (2, 1)
        np.testing.assert_array_equal(
            codes_of(ga.convert(tmp_path / name, tmp_path / f"{name}.zarr")), codes_of(strange)[4:, [1, 3]]
        )


def header_of(n_samples, n_rows, **more):
    names = tuple(f"S{i}" for i in range(n_samples))
    usual = {"has_dosages": False, "has_probabilities": False, "has_haploid": False, "annotations": ()} | more
    return ExportHeader(
        sample_ids=names, sex=np.zeros(n_samples, np.int8), contigs={"1": 1000}, most_rows=n_rows, most_rows_exact=False, **usual
    )  # fmt: skip


def rows_of(codes, dosages=None, records=None, **columns):
    n = len(codes)
    table = {
        "chromosome": ["1"] * n, "base_pair_location": list(range(1, n + 1)), "effect_allele": ["C"] * n, "other_allele": ["A"] * n,
        "rsid": [f"rs{v}" for v in range(n)], "record": records or list(range(n)), "alt_index": [1] * n,
    }  # fmt: skip
    packed = packed_oracle.pack(codes, 8 * ((codes.shape[1] + 31) // 32))
    return ExportRows(pl.DataFrame(table | columns), packed, None, dosages)


def written(writer, folder, name, header, rows):
    folder.mkdir(exist_ok=True)
    made = writer(folder, name, header)
    made.write(made.encode(rows))
    return made.close()


def test_dosages(tmp_path):
    rng = np.random.default_rng(1)
    codes = random_codes(5, 40)
    steps = np.array([0, 16384, 1000, 255, 16384], np.uint16)
    values = (rng.random((4, 40)) * 2 * steps[1:, None]).astype(np.uint16)
    values[:, ::7] = NO_DOSAGE
    values[3] = values[0]  # rows 3 and 4 are one record
    values[2] = np.minimum(values[2], 510)
    steps[3], values[2] = 16384, values[1] * 0 + 100
    rows = rows_of(
        codes,
        DosageRows(steps, values),
        [0, 1, 2, 3, 3],
        base_pair_location=[1, 2, 3, 4, 4],
        effect_allele=["C", "C", "C", "C", "G"],
    )
    header = header_of(40, 9, has_dosages=True, annotations=("FILTER", "info_source", "INFO/CSQ"))
    annotated = rows.table.with_columns(
        FILTER=pl.Series(["PASS", "q", ".", "PASS", "PASS"]), info_source=pl.Series(["0.5", ".", "1", "1", "1"]),
        **{"INFO/CSQ": pl.Series(["a", ".", ".", "b", "c"])},
    )  # fmt: skip
    notes = written(
        PgenWriter, tmp_path / "a", "x.pgen", header, ExportRows(annotated, rows.packed, None, rows.dosages)
    )
    said = "\n".join(notes)
    assert (
        "2 rows of multi-allelic records are variants of their own" in said and "dosages of 1 rows are rounded" in said
    )
    source = inputs.open_source(tmp_path / "a" / "x.pgen", [])
    assert source.info_source == "R2"
    batch = next(iter(source.pieces(np.arange(40), None))).decode()
    assert batch.variants["rsid"].to_list() == ["rs0", "rs1", "rs2", "rs3:A:C", "rs4:A:G"]
    assert batch.columns.annotations["FILTER"].series().to_list() == ["PASS", "q", ".", "PASS", "PASS"]
    assert batch.columns.annotations["info_source"].series().to_list() == ["0.5", ".", "1", "1", "1"]
    assert batch.dosages.steps.tolist() == [0] + [16384] * 4
    np.testing.assert_array_equal(packed_oracle.unpack(batch.packed, 40)[0], codes[0])
    exact = [0, 2, 3]
    np.testing.assert_array_equal(batch.dosages.values[exact], values[exact])
    known = values[1] != NO_DOSAGE
    assert (batch.dosages.values[1][~known] == NO_DOSAGE).all()
    # half a step of 1/16384
    np.testing.assert_allclose(batch.dosages.values[1][known] / 16384, values[1][known] / 1000, atol=1 / 32768, rtol=0)
    notes = written(BedWriter, tmp_path / "b", "x.bed", header, rows)
    assert "4 rows have dosages, of which a BED holds the nearest calls" in "\n".join(notes)


@pytest.mark.parametrize(("writer", "name"), [(BedWriter, "x.bed"), (PgenWriter, "x.pgen")])
def test_half_calls_are_not_observed(tmp_path, writer, name):
    codes = np.array([[0, 1, 2, 3, 1] * 7, [2, 0, 1, 1, 3] * 7], np.uint8)
    marks = np.zeros((2, 35), bool)
    marks[0, [1, 2, 3, 34]] = True
    rows = rows_of(codes)
    rows = ExportRows(rows.table, rows.packed, np.packbits(marks, axis=1, bitorder="little"))
    written(writer, tmp_path / "o", name, header_of(35, 2, has_haploid=True), rows)
    source = inputs.open_source(tmp_path / "o" / name, [])
    batch = next(iter(source.pieces(np.arange(35), None))).decode()
    expected = codes.copy()
    expected[0, [1, 34]] = 3
    np.testing.assert_array_equal(packed_oracle.unpack(batch.packed, 35), expected)


@pytest.mark.parametrize("writer", [BedWriter, PgenWriter])
def test_what_cannot_be_written_is_named(tmp_path, writer):
    name = "x.bed" if writer is BedWriter else "x.pgen"
    codes = random_codes(2, 5)
    bad = header_of(5, 2)
    object.__setattr__(bad, "sample_ids", ("a b", "c", "d", "e", "f"))
    with pytest.raises(OutputError, match="sample 'a b' cannot stand"):
        writer(tmp_path, name, bad)
    for column, value in (("rsid", "r s"), ("effect_allele", ""), ("chromosome", "1 2"), ("base_pair_location", 2**31)):
        folder = tmp_path / column
        folder.mkdir()
        made = writer(folder, name, header_of(5, 2))
        table = rows_of(codes).table.with_columns(pl.lit(value).alias(column))
        with pytest.raises(OutputError, match=r"a blank|a position is beyond"):
            made.encode(ExportRows(table, rows_of(codes).packed))
        made.abandon()


def test_a_pgen_without_pgenlib(strange, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pgenlib", None)
    with pytest.raises(MissingExtraError, match=r"genassoc\[pgen\]"):
        ga.export(strange, tmp_path / "y.pgen")
    assert not list(tmp_path.iterdir())


def test_a_bed_by_way_of_a_store_is_the_same_file(tmp_path):
    codes = random_codes(40, 33)
    samples = [f"0\tS{i}\t0\t0\t0\t-9" for i in range(33)]
    path = write_fileset(tmp_path / "x", codes, samples=samples)
    (tmp_path / "o").mkdir()
    ga.export(ga.convert(path, tmp_path / "x.zarr"), tmp_path / "o" / "x.bed")
    for suffix in (".bed", ".bim", ".fam"):
        assert (tmp_path / "o" / f"x{suffix}").read_bytes() == path.with_suffix(suffix).read_bytes()
    assert shutil.which("plink2") is None or len(list((tmp_path / "o").iterdir())) == 3
