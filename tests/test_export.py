"""Export: what is written and read again is the same store, whole or not at all."""

import gzip

import numpy as np
import polars as pl
import pysam
import pytest

import genassoc as ga
from genassoc.data.block import DosageRows, GenotypeBlock
from genassoc.errors import InputError, OutputError
from genassoc.formats.writing import ExportHeader, ExportRows, output_format

LINES = """\
1	100	rs1	A	C	.	PASS	.	GT	0/1	0|0	./.	1/1	0/0
1	200	.	A	C,G	50	PASS	.	GT	1/2	0/2	./1	2/2	./.
1	300	.	A	C,G,<NON_REF>,T	50	PASS	.	GT	1/4	0/2	./.	4/4	2/4
1	300	rs9	A	C	50	PASS	.	GT	0/0	0/1	0/0	1/1	0/1
X	100	rs2	AT	A	.	.	.	GT	1	0/1	.	0	0/0
X	200	rs3	AT	A,G	.	.	.	GT	1	0/1	0/.	2	1/2
X	200	rs4	AT	A,G,C,<DEL>,*,ATT,ATTT,ATTTT,ATTTTT,ATTTTTT,ATTTTTTT,ATTTTTTTT	.	.	.	GT	12	0/11	.	2	10/12
"""


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A store of multi-allelic records, haploid and half calls."""
    folder = tmp_path_factory.mktemp("strange")
    (folder / "x.vcf").write_text(
        "##fileformat=VCFv4.3\n##contig=<ID=1,length=1000000>\n##contig=<ID=X,length=900000>\n"
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\tC\tD\tE\n" + LINES
    )
    return ga.convert(folder / "x.vcf", folder / "x.zarr")


def calls_of(store):
    block = store.read(0, store.n_variants)
    haploid = np.zeros((block.n_variants, block.n_samples), bool)
    if block.haploid is not None:
        haploid = np.unpackbits(block.haploid, axis=1, bitorder="little", count=block.n_samples).astype(bool)
    return block.codes(), haploid


def same_calls(one, other):
    """Two stores hold the same variants and calls; an ALT that was dropped (<NON_REF>) left a gap in the numbers of one."""
    ours, theirs = one.variants(), other.variants()
    columns = [name for name in ours.columns if name not in ("record", "alt_index")]
    assert ours.select(columns).equals(theirs.select(columns))
    assert ours["record"].rle_id().equals(theirs["record"].rle_id())
    assert list(one.sample_ids) == list(other.sample_ids)
    for mine, yours in zip(calls_of(one), calls_of(other)):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("name", ["y.vcf", "y.vcf.gz", "y.bcf"])
def test_a_store_written_and_read_is_the_same(strange, tmp_path, name):
    summary = ga.export(strange, tmp_path / name)
    assert summary.rows == strange.n_variants == summary.rows_of
    assert "phase" in "\n".join(summary.lines())
    again = ga.convert(tmp_path / name, tmp_path / "y.zarr")
    same_calls(strange, again)
    made = {path.name for path in tmp_path.iterdir()} - {"y.zarr"}
    assert made == {path.name for path in summary.files}
    assert len(made) == (1 if name == "y.vcf" else 2)  # with its index


IMPUTED = """\
1	100	rs1	A	C	.	PASS	R2=0.9	GT:DS:GP	0/1:1.1:0.1,0.7,0.2	0|0:0.003:0.997,0.003,0	./.:.:.	1/1:1.9:0.02,0.06,0.92	0/0:0:1,0,0
1	200	.	A	C,G	.	q10	R2=0.25	GT:DS	1/2:0.9,1	0/2:0.04,0.97	./.:.,.	2/2:0,2	0/0:0.4,0.4
1	300	rs3	A	C	.	PASS	.	GT	0/1	0/0	./.	1/1	0/0
1	400	rs4	A	C	.	PASS	R2=1	GT:DS	0/1:1.00000	0/0:0.12345	./.:.	1/1:1.99999	0/0:0.33333
X	100	rs5	AT	A	.	PASS	R2=0.5	GT:DS:GP	1:0.999:0.001,0.999	0/1:0.98:0.05,0.92,0.03	.:.:.	0:0.25:0.75,0.25	0/0:0:1,0,0
"""
IMPUTED_HEADER = """\
##fileformat=VCFv4.3
##FILTER=<ID=q10,Description="low">
##contig=<ID=1,length=1000000>
##contig=<ID=X,length=900000>
##INFO=<ID=R2,Number=1,Type=Float,Description="r2">
##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">
##FORMAT=<ID=DS,Number=A,Type=Float,Description="dosage">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="gp">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	A	B	C	D	E
"""


@pytest.mark.parametrize("name", ["y.vcf.gz", "y.bcf", "y.vcz"])
def test_dosages_written_and_read_are_the_same(tmp_path, name):
    (tmp_path / "x.vcf").write_text(IMPUTED_HEADER + IMPUTED)
    store = ga.convert(tmp_path / "x.vcf", tmp_path / "x.zarr")
    assert store.has_dosages and store.has_probabilities
    ga.export(store, tmp_path / name)
    again = ga.convert(tmp_path / name, tmp_path / "y.zarr")
    same_calls(store, again)
    ours, theirs = store.read_dosages(0, store.n_variants), again.read_dosages(0, again.n_variants)
    np.testing.assert_array_equal(ours.steps, theirs.steps)
    np.testing.assert_array_equal(ours.values, theirs.values)
    np.testing.assert_array_equal(ours.homozygous, theirs.homozygous)
    for column in store.annotations:
        assert store.annotation(column, 0, store.n_variants).equals(again.annotation(column, 0, again.n_variants)), (
            column
        )
    good = ga.export(store, tmp_path / f"good-{name}", keep=ga.variants.passes() & ga.variants.info_source_above(0.6))
    kept = ga.convert(tmp_path / f"good-{name}", tmp_path / "good.zarr").variants()
    assert (
        kept["rsid"].to_list() == ["rs1", "rs3", "rs4"] and good.rows == 3
    )  # rs3 has no R2: calls are not of imputation
    some = ga.export(store, tmp_path / f"some-{name}", samples=["D", "B"], maf=0.2)
    fewer = ga.convert(tmp_path / f"some-{name}", tmp_path / "z.zarr")
    at = [
        k
        for k, row in enumerate(store.variants().rows(named=True))
        if any(row["base_pair_location"] == p and row["effect_allele"] == a and row["chromosome"] == c
               for c, p, a in fewer.variants().select("chromosome", "base_pair_location", "effect_allele").rows())
    ]  # fmt: skip
    assert len(at) == some.rows == fewer.n_variants
    chosen = ours.take(np.array(at)).of_samples(np.array([1, 3]))
    back = fewer.read_dosages(0, fewer.n_variants)
    with np.errstate(divide="ignore", invalid="ignore"):
        for mine, yours in ((chosen, back),):
            a = mine.values / mine.steps[mine.steps > 0, None]
            b = yours.values / yours.steps[yours.steps > 0, None]
            # steps are those that the numbers of fewer samples are whole in: of 32,767 a copy half a step is 0.00002
            np.testing.assert_allclose(
                np.where(mine.values == 65535, -1, a), np.where(yours.values == 65535, -1, b), atol=2e-5
            )


def test_records_are_rejoined(strange, tmp_path):
    ga.export(strange, tmp_path / "y.vcf.gz")
    with pysam.VariantFile(str(tmp_path / "y.vcf.gz")) as file:
        records = list(file.fetch("X"))
    assert [record.alts for record in records[:2]] == [("A",), ("A", "G")]
    assert [record.samples["D"]["GT"] for record in records[:2]] == [(0,), (2,)]
    assert records[2].samples["E"]["GT"] == (10, 12)


def test_samples_and_variants_are_chosen(strange, tmp_path):
    (tmp_path / "ids").write_text("D 1\nB 2\n")
    summary = ga.export(strange, tmp_path / "y.vcf", samples=tmp_path / "ids", region="chr1:150-300", maf=0.3)
    store = ga.convert(tmp_path / "y.vcf", tmp_path / "y.zarr")
    assert list(store.sample_ids) == ["B", "D"]
    cohort = ga.Cohort.align(strange, pl.DataFrame({"IID": ["B", "D"]}), sample_id="IID")
    wanted = ga.variant_qc(cohort.keep_variants(ga.variants.in_region("1:150-300") & ga.variants.maf_above(0.3)))
    assert store.variants()["effect_allele"].to_list() == wanted["effect_allele"].to_list()
    assert summary.rows == wanted.height and summary.n_samples == 2
    assert "maf_above(0.3)" in "\n".join(summary.lines())


def test_variants_by_id(strange, tmp_path):
    (tmp_path / "ids").write_text("rs1\nX_200_AT_G\nrs77\n")
    summary = ga.export(strange, tmp_path / "y.vcf", variants=tmp_path / "ids")
    assert "rs77" in summary.notes[0]
    table = ga.convert(tmp_path / "y.vcf", tmp_path / "y.zarr").variants()
    # rs3 and rs4 both have that ALT
    assert table["rsid"].to_list() == ["rs1", "rs3", "rs4"]
    with pytest.raises(InputError, match="none of 1 ids"):
        ga.export(strange, tmp_path / "z.vcf", variants=["rs77"])
    with pytest.raises(InputError, match="1 of 2 sample ids"):
        ga.export(strange, tmp_path / "z.vcf", samples=["A", "Z"])
    with pytest.raises(OutputError, match="nothing to export"):
        ga.export(strange, tmp_path / "z.vcf", mac=99)
    assert not list(tmp_path.glob("*z.vcf*"))


def test_nothing_is_replaced_unless_asked(strange, tmp_path):
    out = tmp_path / "y.vcf.gz"
    out.write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        ga.export(strange, out)
    assert out.read_text() == "mine"
    ga.export(strange, out, overwrite=True, index=False)
    assert gzip.decompress(out.read_bytes()).startswith(b"##fileformat=VCFv4.3\n")
    assert {path.name for path in tmp_path.iterdir()} == {"y.vcf.gz"}
    with pytest.raises(OutputError, match="its format by its end"):
        ga.export(strange, tmp_path / "y.txt")
    with pytest.raises(OutputError, match="no format 'plink7'"):
        output_format(tmp_path / "y.vcf", "plink7")


def test_the_output_does_not_depend_on_threads_or_runs(strange, tmp_path, monkeypatch):
    ga.export(strange, tmp_path / "a.vcf", threads=1)
    monkeypatch.setattr("genassoc.formats.export.RUN_CALLS", 5)  # a row of five samples: records are never cut
    ga.export(strange, tmp_path / "b.vcf", threads=3)
    assert (tmp_path / "a.vcf").read_bytes() == (tmp_path / "b.vcf").read_bytes()


def header_of(n_samples, **more):
    known = {
        "sample_ids": tuple(f"s{i}" for i in range(n_samples)), "sex": np.zeros(n_samples, np.int8), "contigs": {"1": None},
        "most_rows": 9, "most_rows_exact": True, "has_dosages": True, "has_probabilities": True, "has_haploid": True,
        "annotations": (), "filters": (),
    }  # fmt: skip
    return ExportHeader(**{**known, **more})


def rows_of(codes, records, dosages=None, haploid=None, **columns):
    codes = np.asarray(codes, np.uint8)
    V = len(codes)
    packed = GenotypeBlock.from_codes(codes).packed
    table = pl.DataFrame(
        {
            "chromosome": ["1"] * V, "base_pair_location": [10 * r for r in records],
            "effect_allele": ["C", "G", "T", "CC", "GG"][:V], "other_allele": ["A"] * V, "rsid": [None] * V,
            "record": records, "alt_index": [1] * V, **columns,
        },
        schema_overrides={"rsid": pl.String},
    )  # fmt: skip
    bits = None if haploid is None else np.packbits(np.asarray(haploid, bool), axis=1, bitorder="little")
    return ExportRows(table, packed, bits, dosages)


def test_dosages_and_probabilities_are_written(tmp_path):
    from genassoc.formats.vcf.export import VcfWriter

    no = 65535
    dosages = DosageRows(
        np.array([1000, 0, 255, 16384, 16384], np.uint16),
        np.array([[1100, 3, no, 1999], [0, 510, 128, no], [1, 16384, 32768, no], [16383, 0, 0, 7]], np.uint16),
        np.array([[200, 0, no, 999], [no, no, no, no], [no] * 4, [no] * 4], np.uint16),
    )
    codes = [[1, 0, 3, 2], [0, 1, 2, 3], [0, 2, 3, 3], [0, 1, 2, 3], [1, 0, 0, 0]]
    haploid = [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0] * 4, [0] * 4]
    annotations = {"FILTER": ["PASS"] * 3 + ["q10", "q20"], "INFO/CSQ": ["a|b", ".", ".", "x", "y"]}
    rows = rows_of(codes, [1, 2, 3, 4, 4], dosages, haploid, **annotations)
    writer = VcfWriter(tmp_path, "x.vcf", header_of(4, annotations=tuple(annotations), filters=("PASS", "q10", "q20")))
    writer.write(writer.encode(rows))
    notes = "\n".join(writer.close())
    assert "INFO: CSQ" in notes and "FILTER is" not in notes and "1 calls of multi-allelic" in notes
    text = (tmp_path / "x.vcf").read_text()
    assert "##FILTER=<ID=q20," in text and "##INFO=<ID=CSQ," in text and "##FORMAT=<ID=GP," in text
    lines = [line.split("\t") for line in text.splitlines() if line[0] != "#"]
    assert [line[8] for line in lines] == ["GT:DS:GP", "GT", "GT:DS", "GT:DS"]
    assert lines[0][9:] == ["0/1:1.1:0.1,0.7,0.2", "0/0:0.003:0.997,0.003,0", "./.:.:.", "1:0.9995:0.0005,0.9995"]
    assert lines[1][9:] == ["0/0", "0/1", "1", "./."]
    assert lines[2][9:] == ["0/0:0", "1:1", "./.:0.50196", "./.:."]
    # of a record with two ALTs: 1/16384 is 0.000061, written to five decimals
    assert lines[3][4:8] == ["CC,GG", ".", "q10;q20", "CSQ=x,y"]
    assert lines[3][9:] == ["0/2:0.00006,0.99994", "0/1:1,0", "1/1:2,0", "./.:.,0.00043"]


def test_a_record_whose_rows_contradict_each_other_stays_apart(tmp_path):
    from genassoc.formats.vcf.export import VcfWriter

    rows = rows_of([[0, 1], [3, 1], [0, 1], [0, 1]], [1, 1, 2, 2])  # one ALT observed, the other not
    writer = VcfWriter(tmp_path, "x.vcf", header_of(2, has_dosages=False, has_probabilities=False))
    writer.write(writer.encode(rows))
    assert any(note.startswith("1 multi-allelic records are written one ALT a line") for note in writer.close())
    lines = [line.split("\t") for line in (tmp_path / "x.vcf").read_text().splitlines() if line[0] != "#"]
    assert [(line[4], *line[9:]) for line in lines] == [
        ("C", "0/0", "0/1"),
        ("G", "./.", "0/1"),
        ("T,CC", "0/0", "1/2"),
    ]


def test_a_failed_export_leaves_nothing(strange, tmp_path, monkeypatch):
    from genassoc.formats.vcf.export import VcfWriter

    def full(self, encoded):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(VcfWriter, "write", full)
    with pytest.raises(OutputError, match="no space left"):
        ga.export(strange, tmp_path / "y.vcf.gz")
    assert not list(tmp_path.iterdir())
