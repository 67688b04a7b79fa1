"""VCF written: read back by other readers, byte for byte as the oracle has it, whole or not at all."""

import gzip

import numpy as np
import polars as pl
import pysam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.mosaic import vcf_line

from genassoc.data.block import GenotypeBlock
from genassoc.errors import OutputError
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.formats.vcf import writer as vcf_writer
from genassoc.formats.vcf.writer import write_vcf
from genassoc.simulate import simulate_cohort

CONTIGS = {"chr1": 1000, "chrX": None}


def make_batch(codes, chromosome="chr1", first=10, haploid=None):
    """Variants ``first``, ``first + 1``, ... with codes (V, N)."""
    codes = np.asarray(codes, dtype=np.uint8)
    V = len(codes)
    variants = pl.DataFrame(
        {
            "chromosome": [chromosome] * V,
            "base_pair_location": range(first, first + V),
            "rsid": ["rs1", None, ""][:V] + [None] * max(0, V - 3),
            "other_allele": ["A"] * V,
            "effect_allele": ["<DEL>", "GT", "*"][:V] + ["C"] * max(0, V - 3),
        },
        schema_overrides={"rsid": pl.String},
    )
    block = GenotypeBlock.from_codes(codes)
    bits = None if haploid is None else np.packbits(haploid, axis=1, bitorder="little")
    return variants, GenotypeBlock(block.packed, block.n_samples, 0, bits)


def expected_lines(variants, block):
    haploid = np.zeros((block.n_variants, block.n_samples), dtype=np.uint8)
    if block.haploid is not None:
        haploid = np.unpackbits(block.haploid, axis=1, count=block.n_samples, bitorder="little")
    for row, codes, copies in zip(variants.iter_rows(named=True), block.codes(), haploid):
        fixed = [row["chromosome"], row["base_pair_location"], row["rsid"] or ".", row["other_allele"]]
        prefix = "\t".join(map(str, [*fixed, row["effect_allele"], ".", "PASS", ".", "GT"]))
        yield vcf_line(prefix, codes, copies)


@given(st.integers(1, 40), st.integers(1, 7), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_lines_match_the_oracle(tmp_path_factory, n_samples, n_variants, some_haploid, seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n_variants, n_samples))
    haploid = rng.integers(0, 2, codes.shape).astype(np.uint8) if some_haploid else None
    batch = make_batch(codes, haploid=haploid)
    names = [f"s{i}" for i in range(n_samples)]
    path = write_vcf(tmp_path_factory.mktemp("vcf") / "x.vcf", names, CONTIGS, [batch])
    body = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#")]
    assert body == list(expected_lines(*batch))


def test_header(tmp_path):
    path = write_vcf(tmp_path / "x.vcf", ["a", "b c"], CONTIGS, [])
    lines = path.read_text().splitlines()
    assert lines[0] == "##fileformat=VCFv4.3"
    assert "##contig=<ID=chr1,length=1000>" in lines
    assert "##contig=<ID=chrX>" in lines
    assert '##FILTER=<ID=PASS,Description="All filters passed">' in lines
    assert lines[-1].split("\t") == [
        "#CHROM",
        "POS",
        "ID",
        "REF",
        "ALT",
        "QUAL",
        "FILTER",
        "INFO",
        "FORMAT",
        "a",
        "b c",
    ]


def test_compressed_and_plain_hold_the_same_text_and_text_is_made_in_pieces(tmp_path, monkeypatch):
    cohort = simulate_cohort(50, 400, 3, missing_rate=0.05)
    one = write_vcf(tmp_path / "x.vcf", cohort.sample_ids, cohort.contigs, cohort.blocks())
    monkeypatch.setattr(vcf_writer, "_TEXT_BYTES", 2000)
    two = write_vcf(tmp_path / "x.vcf.gz", cohort.sample_ids, cohort.contigs, cohort.blocks())
    assert gzip.decompress(two.read_bytes()) == one.read_bytes()
    lines = [line for line in one.read_text().splitlines(keepends=True) if not line.startswith("#")]
    assert lines == [line for batch in cohort.blocks() for line in expected_lines(*batch)]


def test_pysam_reads_it_back_and_by_region(tmp_path):
    cohort = simulate_cohort(30, 300, 3, missing_rate=0.05)
    path = write_vcf(tmp_path / "x.vcf.gz", cohort.sample_ids, cohort.contigs, cohort.blocks(), index=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.tbi"]
    codes = np.concatenate([block.codes() for _, block in cohort.blocks()])
    calls = {(0, 0): 0, (0, 1): 1, (1, 1): 2, (None, None): 3}
    with pysam.VariantFile(str(path)) as vcf:
        assert list(vcf.header.samples) == list(cohort.sample_ids)
        for record, row, expected in zip(vcf, cohort.variants.iter_rows(named=True), codes, strict=True):
            assert (record.chrom, record.pos, record.id) == (
                row["chromosome"],
                row["base_pair_location"],
                row["rsid"],
            )
            assert record.alleles == (row["other_allele"], row["effect_allele"])
            assert list(record.filter) == ["PASS"]
            assert [calls[sample["GT"]] for sample in record.samples.values()] == list(expected)
        assert len(list(vcf.fetch("2"))) == cohort.variants.filter(pl.col("chromosome") == "2").height


def test_bgzf_blocks_of_any_content(tmp_path):
    rng = np.random.default_rng(0)
    text = rng.bytes(200_000) + b"\t0/0" * 100_000  # does not compress; compresses well
    path = tmp_path / "x.gz"
    with path.open("wb") as file:
        writer = BgzfWriter(file)
        for start in range(0, len(text), 7001):
            writer.write(text[start : start + 7001])
        writer.close()
    assert gzip.decompress(path.read_bytes()) == text
    with pysam.BGZFile(str(path)) as reader:
        assert reader.read(len(text) + 1) == text


def test_long_contigs_get_a_csi_and_stale_indexes_go(tmp_path):
    path = tmp_path / "x.vcf.gz"
    (tmp_path / "x.vcf.gz.tbi").write_bytes(b"of another file")
    write_vcf(path, ["a"], {"chr1": 2**30}, [make_batch([[1]], first=2**29 + 5)], index=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.vcf.gz", "x.vcf.gz.csi"]
    with pysam.TabixFile(str(path), index=str(path) + ".csi") as tabix:
        assert len(list(tabix.fetch("chr1", 2**29, 2**29 + 10))) == 1
    write_vcf(path, ["a"], CONTIGS, [make_batch([[1]])])
    assert [p.name for p in tmp_path.iterdir()] == ["x.vcf.gz"]


def test_haploid_calls(tmp_path):
    batch = make_batch([[0, 2, 3, 1]], chromosome="chrX", haploid=np.array([[1, 1, 1, 0]], dtype=np.uint8))
    path = write_vcf(tmp_path / "x.vcf", list("abcd"), CONTIGS, [batch])
    assert path.read_text().splitlines()[-1].split("\t")[9:] == ["0", "1", ".", "0/1"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"path": "x.txt"}, "ends in .vcf.gz"),
        ({"path": "x.vcf", "index": True}, "plain-text"),
        ({"sample_ids": ["a", "a"]}, "'a' is named twice"),
        ({"sample_ids": ["a", "b\tc"]}, "tab"),
        ({"sample_ids": ["a"]}, "2 samples, but 1"),
        ({"contigs": {"chr 1": 5}}, "'chr 1'"),
        ({"contigs": {"chr2": 5}}, "'chr1' is not among"),
        ({"variants": lambda v: v.drop("rsid")}, "lack rsid"),
        ({"variants": lambda v: v.head(1)}, "1 variants beside a block of 3"),
        (
            {"variants": lambda v: v.with_columns(other_allele=pl.lit(None, pl.String))},
            "other_allele is missing",
        ),
        ({"variants": lambda v: v.with_columns(rsid=pl.lit("a;b"))}, "rsid 'a;b' at chr1:10"),
        ({"variants": lambda v: v.with_columns(effect_allele=pl.lit("G,T"))}, "effect_allele 'G,T'"),
        ({"variants": lambda v: v.reverse(), "index": True}, "chr1:11 comes after"),
        ({"path": "absent/x.vcf"}, "folder does not exist"),
    ],
)
def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, change, says):
    variants, block = make_batch(np.zeros((3, 2)))
    variants = change.get("variants", lambda v: v)(variants)
    with pytest.raises(OutputError, match=says):
        write_vcf(
            tmp_path / change.get("path", "x.vcf.gz"),
            change.get("sample_ids", ["a", "b"]),
            change.get("contigs", CONTIGS),
            [(variants, block)],
            index=change.get("index", False),
        )
    assert list(tmp_path.iterdir()) == []


def test_an_error_midway_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.vcf.gz"
    write_vcf(path, ["a"], CONTIGS, [make_batch([[1]])])
    before = path.read_bytes()

    def batches():
        yield make_batch([[2]])
        raise KeyError("reading failed")

    with pytest.raises(KeyError):
        write_vcf(path, ["a"], CONTIGS, batches())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_order_is_followed_across_batches(tmp_path):
    late, early = make_batch([[1]], first=50), make_batch([[1]], first=20)
    write_vcf(tmp_path / "x.vcf.gz", ["a"], CONTIGS, [late, early])  # allowed without an index
    with pytest.raises(OutputError, match="chr1:20 comes after"):
        write_vcf(tmp_path / "x.vcf.gz", ["a"], CONTIGS, [late, early], index=True)
    write_vcf(tmp_path / "x.vcf.gz", ["a"], CONTIGS, [late, make_batch([[1]], "chrX", 5)], index=True)
