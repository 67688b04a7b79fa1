"""Genome builds: told by lengths, accessions and the reference's name, stated, and checked between files; many contigs."""

import time

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from vcf_texts import header

import genassoc as ga
from genassoc.data.cohort import builds
from genassoc.data.cohort.builds import CHM13, GRCH37, GRCH38, LENGTHS, detected
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import Contigs, chromosome_of, looks_like_sex, shown
from genassoc.errors import InputError
from genassoc.formats.convert import convert


def test_no_two_builds_share_a_length():
    lengths = [n for of_build in LENGTHS.values() for n in of_build.values()]
    assert len(set(lengths)) == len(lengths) == 72
    for build, regions in builds.PAR.items():
        for kind, ((_, first_end), (second, end)) in regions.items():
            assert first_end < second < end <= LENGTHS[build][kind]


@pytest.mark.parametrize(
    ("lengths", "names", "words", "build"),
    [
        ({"chr22": 50_818_468}, (), "", GRCH38),
        ({"22": 51_304_566, "MT": 16_569}, (), "file:///hg38.fa", GRCH37),  # lengths are believed, and the doubt is said
        ({"NC_060925.1": 248_387_328}, (), "", CHM13),
        ({}, ("NC_000001.11", "NC_000007.14"), "", GRCH38),
        ({}, ("CM000663.1",), "", GRCH37),
        ({}, ("CP086569.2", "ref|NC_060948.1|"), "", CHM13),
        ({}, ("1", "X"), "##reference=file:///seq/Homo_sapiens_assembly38.fasta", GRCH38),
        ({}, (), "ftp://ftp.1000genomes.ebi.ac.uk//vol1/hs37d5.fa.gz", GRCH37),
        ({}, (), "##reference=GCA_000001405.15_GRCh38_no_alt_analysis_set.fna", GRCH38),
        ({}, (), "##reference=GCF_000001405.25", GRCH37),
        ({}, (), "##assembly=chm13v2.0.fa", CHM13),
        ({"1": 1000}, ("1",), "unknown.fa", None),
        ({"1": 249_250_621, "2": 242_193_529}, (), "", None),  # of two builds
    ],
)  # fmt: skip
def test_what_tells_a_build(lengths, names, words, build):
    found, notes = detected(lengths, names, words)
    assert (found and found.name) == build
    assert bool(notes) == ((len(lengths) == 2 and "MT" in lengths) or lengths.get("2") is not None)


def write(path, contigs, records, extra=""):
    text = header(["a", "b"]).replace("##contig=<ID=1>\n##contig=<ID=2>\n##contig=<ID=X>\n", "")
    lines = "".join(f"##contig=<ID={name}{f',length={n}' if n else ''}>\n" for name, n in contigs)
    body = "".join(f"{contig}\t{position}\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n" for contig, position in records)
    path.write_text(text.replace("##INFO", lines + extra + "##INFO", 1) + body)
    return path


def test_the_build_is_stated_kept_and_told(tmp_path, genassoc):
    vcf = write(tmp_path / "a.vcf", [("chr1", 248_956_422)], [("chr1", 5), ("chr1", 248_956_423)])
    lines = convert(vcf, tmp_path / "a.zarr").lines()
    assert "genome build: GRCh38, by the lengths of contigs" in lines
    assert any("chr1:248,956,423 is behind the end of its chromosome in GRCh38" in line for line in lines)
    store = ga.open_store(tmp_path / "a.zarr")
    assert store.attributes["build"] == {"name": "GRCh38", "by": "lengths of contigs"}
    code, out, _ = genassoc("info", tmp_path / "a.zarr")
    assert code == 0 and "genome build: GRCh38, by the lengths of contigs" in out
    named = write(tmp_path / "b.vcf", [("1", None)], [("1", 5)], "##reference=/data/hg19.fa\n")
    assert "genome build: GRCh37, by the name of the reference" in convert(named, tmp_path / "b.zarr").lines()
    assert builds.build_named("hg38") == GRCH38


def test_a_build_that_contradicts_the_files_is_noted():
    table = snv_table(3).with_columns(chromosome=pl.Series(["NC_000001.11"] * 3))
    store = MemoryStore(np.zeros((3, 4), np.uint8), list("abcd"), table)
    people = pl.DataFrame({"IID": list("abcd")})
    assert any("build GRCh37 was given" in note for note in Cohort.align(store, people, build="hg19").notes)
    assert not any("was given" in note for note in Cohort.align(store, people, build="hg38").notes)


def test_files_of_two_builds_are_refused(tmp_path):
    old = write(tmp_path / "a.vcf", [("1", 249_250_621)], [("1", 5)])
    new = write(tmp_path / "b.vcf", [("2", 242_193_529)], [("2", 5)])
    with pytest.raises(InputError, match=r"b\.vcf: is of GRCh38 by the lengths of contigs, .*a\.vcf of GRCh37"):
        convert([old, new], tmp_path / "c.zarr")


def test_two_names_of_a_chromosome_in_one_file(tmp_path):
    both = write(tmp_path / "a.vcf", [("1", None), ("chr1", None)], [("1", 5), ("chr1", 7)])
    summary = convert(both, tmp_path / "a.zarr")
    assert any("'1', 'chr1' are names of one chromosome, 1, and are read as this" in line for line in summary.lines())
    two = write(tmp_path / "b.vcf", [("1", 249_250_621), ("chr1", 248_956_422)], [("1", 5), ("chr1", 7)])
    with pytest.raises(
        InputError, match=r"'chr1' .248,956,422 bases. and of '1' .249,250,621 bases., both chromosome 1"
    ):
        convert(two, tmp_path / "b.zarr")


def test_what_looks_like_a_sex_chromosome_is_warned_of_and_others_are_counted(tmp_path):
    like = ["chrX_KI270880v1_alt", "Y_PAR1", "X_hap2", "GRCh38#0#chrX_KI270880v1_alt", "chrM_rCRS", "contig.X"]
    others = [
        "GL000220.1",
        "KI270302.1",
        "chr1_KI270706v1_random",
        "HLA-A*01:01",
        "hs37d5",
        "scaffold_23",
        "chrEBV",
        "MTOR",
        "0",
    ]
    assert [name for name in like + others if looks_like_sex(name)] == like
    vcf = write(tmp_path / "a.vcf", [], [("1", 5), ("GL000220.1", 3), ("GL000220.1", 4), ("chrX_alt", 3)])
    notes = convert(vcf, tmp_path / "a.zarr").contig_notes
    assert any("'chrX_alt': may be a part of X, Y or MT by the name" in note for note in notes)
    assert any("3 variants on 2 unplaced contigs" in note and "'GL000220.1', 'chrX_alt'" in note for note in notes)


def test_names_for_people():
    assert [shown(name) for name in ("1", "chr1", "NC_000023.11", "26", "GL000220.1")] == [
        "chr1", "chr1", "chrX", "chrMT", "GL000220.1",
    ]  # fmt: skip


def test_a_hundred_thousand_contigs_take_seconds():
    names = [f"scaffold_{number}" for number in range(100_000)]
    begun = time.process_time()
    found = Contigs.of(names, dict.fromkeys(names, 1000))
    assert len(found.others) == 100_000 and found.notes(sex=True) and not found.twice
    assert not any(chromosome_of(name) for name in names)
    n = len(names)
    table = snv_table(n).with_columns(chromosome=pl.Series(names))
    people = pl.DataFrame({"IID": list("abcd"), "SEX": [1, 2, 1, 2]})
    cohort = Cohort.align(MemoryStore(np.zeros((n, 4), np.uint8), list("abcd"), table), people, sex="SEX")
    cohort = cohort.keep_variants(ga.variants.in_region("scaffold_7", "scaffold_99999"))
    kept = 0
    for start in [*range(0, n, 500), n - 5]:  # blocks of five contigs
        block = cohort.read(start, start + 5)
        cohort.variant_statistics(block, hwe=False)
        kept += int(cohort.select_variants(start, start + 5, block)[0].sum())
    assert kept == 1
    # 3 s under load; where each block looks at all contigs, 200 blocks take 20 s, and a store of so many has 100,000
    assert time.process_time() - begun < 12
