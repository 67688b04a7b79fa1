"""Genes from VEP's and SnpEff's consequences, in a VCF and in a store, and from a GTF."""

import gzip

import polars as pl
import pytest
from set_files import as_dict, shown, store_of, write

import genassoc as ga
from genassoc.errors import InputError
from genassoc.verbs.sets import sets_for

PARTS = "Allele|Consequence|SYMBOL|Gene|CANONICAL|MANE_SELECT|LoF|CADD_PHRED"
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=1>\n##contig=<ID=2>\n"
    f'##INFO=<ID=CSQ,Number=.,Type=String,Description="Consequence annotations from Ensembl VEP. Format: {PARTS}">\n'
    "##INFO=<ID=ANN,Number=.,Type=String,Description=\"Functional annotations: 'Allele | Annotation | Annotation_Impact | Gene_Name | Gene_ID "
    "| Feature_Type | Feature_ID'\">\n"
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="x">\n'
)
RECORDS = [
    # an SNV: canonical and another transcript of E1, upstream of E2
    ("1", 10, "A", "C", "CSQ=C|missense_variant|G1|E1|YES|||20,C|stop_gained|G1|E1|||HC|30,C|upstream_gene_variant|G2|E2|YES|||"),
    # two ALTs of other lengths: VEP leaves the first base out
    ("1", 20, "CA", "C,CAT", "CSQ=-|frameshift_variant|G1|E1|YES||HC|33,AT|inframe_insertion&splice_region_variant|G1|E1|YES|||9"),
    # two ALTs of which one begins otherwise: it does not
    ("1", 30, "CA", "C,TA", "CSQ=C|frameshift_variant|G1|E1|YES||LC|,TA|synonymous_variant|G1|E1|YES|||1"),
    # one deletion, in two genes that overlap; MANE goes before canonical
    ("1", 40, "GT", "G", "CSQ=-|frameshift_variant|G1|E1|YES||HC,-|synonymous_variant|G1|E1||NM_1||0.5&2,-|intron_variant|G2|E2|YES|||"),
    ("1", 50, "A", "*,G", "CSQ=G|strange_variant|G2|E2|YES|||"),
    ("2", 5, "A", "T", "CSQ=T|intergenic_variant|||||"),
    ("2", 6, "A", "T", "DB"),
    ("2", 7, "A", "T", "CSQ=T|stop_gained&splice_region_variant|G3|E3|YES||HC|40"),
]  # fmt: skip
EXPECTED = [
    ("E1", "1_10_A_C", "missense", 20.0),
    ("E1", "1_20_CA_C", "pLoF", 33.0),
    ("E1", "1_20_CA_CAT", "inframe", 9.0),
    ("E1", "1_30_CA_C", "LoF_low_confidence", None),
    ("E1", "1_30_CA_TA", "synonymous", 1.0),
    ("E1", "1_40_GT_G", "synonymous", 2.0),
    ("E2", "1_40_GT_G", "other", None),
    ("E2", "1_50_A_G", "other", None),
    ("E3", "2_7_A_T", "pLoF", 40.0),
]


def vcf_of(path, records=RECORDS, header=HEADER, samples=True):
    names = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO" + ("\tFORMAT\ta\tb\n" if samples else "\n")
    lines = [
        f"{c}\t{p}\t.\t{r}\t{a}\t.\tPASS\t{i}" + ("\tGT\t0/0\t0/1" if samples else "") for c, p, r, a, i in records
    ]
    content = (header + names + "\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def rows_of(sets):
    table = sets.table.with_columns(pl.col("set_id", "annotation").cast(pl.String))
    return sorted(table.rows(), key=lambda row: (row[0], int(row[1].split("_")[1]), row[1]))


def test_a_sites_vcf_and_a_store_give_the_same_genes(tmp_path):
    sites = vcf_of(tmp_path / "sites.vcf.gz", samples=False)
    found = ga.sets_from_vep(sites, weights=["CADD_PHRED"])
    assert rows_of(found) == EXPECTED
    assert list(found.masks) == ["pLoF", "missense", "pLoF_missense", "synonymous"]
    said = shown(found)
    for words in (
        "1 variants have no CSQ", "1 consequences name no gene", "1 consequences are upstream or downstream",
        "1 consequences have terms that are not known here", "1 consequences that would be pLoF have no high confidence",
    ):  # fmt: skip
        assert words in said, said
    store = ga.convert(vcf_of(tmp_path / "a.vcf"), tmp_path / "a.zarr", info=["CSQ"])
    of_store = ga.sets_from_vep(store, weights=["CADD_PHRED"])
    assert rows_of(of_store) == EXPECTED and of_store.digest == found.digest
    matched = ga.match_sets(found, store)
    assert matched.ids == ("E1", "E2", "E3") and not matched.left_out.height
    by_name = ga.sets_from_vep(str(sites), gene="name", transcripts="all", masks={"stop": "pLoF"})
    assert rows_of(by_name)[0] == ("G1", "1_10_A_C", "pLoF") and by_name.masks == {"stop": ("pLoF",)}
    terms = ga.sets_from_vep(sites, transcripts="canonical", classes={"mis": ["missense_variant"]})
    assert {row[2] for row in rows_of(terms)} == {"mis", "other"} and not terms.masks


def test_what_consequences_lack(tmp_path):
    sites = vcf_of(tmp_path / "sites.vcf", samples=False)
    with pytest.raises(InputError, match="transcripts='pick' needs the part PICK"):
        ga.sets_from_vep(sites, transcripts="pick")
    with pytest.raises(InputError, match="no part 'REVEL' for weights"):
        ga.sets_from_vep(sites, weights=["REVEL"])
    with pytest.raises(InputError, match=r"declares no INFO field BCSQ \(it declares CSQ, ANN\)"):
        ga.sets_from_vep(sites, "BCSQ")
    negative = [("1", 10, "A", "C", "CSQ=C|missense_variant|G1|E1|YES|||-2")]
    with pytest.raises(InputError, match="1_10_A_C: CADD_PHRED is '-2'"):
        ga.sets_from_vep(vcf_of(tmp_path / "n.vcf", negative, samples=False), weights=["CADD_PHRED"])
    cut = [("1", 10, "A", "C", "CSQ=C")]
    with pytest.raises(InputError, match="1_10_A_C: the consequence 'C' has 1 parts, the header names 8"):
        ga.sets_from_vep(vcf_of(tmp_path / "c.vcf", cut, samples=False))
    store = ga.convert(vcf_of(tmp_path / "a.vcf"), tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"keeps no INFO/CSQ.*--info CSQ"):
        ga.sets_from_vep(store)
    with pytest.raises(InputError, match="is no VCF"):
        ga.sets_from_vep(write(tmp_path / "x", "a\tb\n"))
    with pytest.raises(InputError, match="is no record of a VCF"):
        ga.sets_from_vep(write(tmp_path / "y", HEADER + "#CHROM\n1\t2\n"))
    undescribed = HEADER.replace(f" Format: {PARTS}", "")
    kept = ga.convert(vcf_of(tmp_path / "u.vcf", header=undescribed), tmp_path / "u.zarr", info=["CSQ"])
    with pytest.raises(InputError, match="nothing says what INFO/CSQ consists of; give subfields="):
        ga.sets_from_vep(kept)
    assert rows_of(ga.sets_from_vep(kept, subfields=PARTS, weights=["CADD_PHRED"])) == EXPECTED


def test_snpeff(tmp_path):
    records = [
        (
            "1",
            10,
            "CA",
            "C",
            "ANN=C|frameshift_variant|HIGH|G1|E1|transcript|t1,C|intron_variant|MODIFIER|G1|E1|transcript|t2",
        ),
        ("1", 20, "C", "T,G", "ANN=G|disruptive_inframe_deletion&missense_variant|MODERATE|G1|E1|transcript|t1"),
    ]
    found = ga.sets_from_vep(vcf_of(tmp_path / "s.vcf", records, samples=False), "ANN", gene="name")
    assert rows_of(found) == [("G1", "1_10_CA_C", "pLoF"), ("G1", "1_20_C_G", "inframe")]
    assert "1 variants have consequences of other alleles only" in shown(found)


def test_alleles_by_number(tmp_path):
    header = HEADER.replace("CADD_PHRED", "ALLELE_NUM")
    records = [("1", 10, "CAA", "C,CA", "CSQ=x|stop_gained|G|E|||HC|2,x|missense_variant|G|E||||1")]
    found = ga.sets_from_vep(vcf_of(tmp_path / "s.vcf", records, header, samples=False))
    assert rows_of(found) == [("E", "1_10_CAA_C", "missense"), ("E", "1_10_CAA_CA", "pLoF")]


def gtf_line(contig, feature, start, end, gene, name=None):
    names = f'gene_id "{gene}"; transcript_id "t";' + (f' gene_name "{name}";' if name else "")
    return f"{contig}\thavana\t{feature}\t{start}\t{end}\t.\t+\t.\t{names}\n"


GTF = (
    "#!genome-build GRCh38\n"
    + gtf_line("chr1", "gene", 150, 300, "E1", "G1")
    + gtf_line("chr1", "exon", 150, 199, "E1", "G1")
    + gtf_line("chr1", "exon", 300, 300, "E1", "G1")
    + gtf_line("chr1", "gene", 250, 420, "E2", "G1")
    + gtf_line("chr2", "gene", 1, 99, "E3")
    + gtf_line("chrX", "gene", 1, 99, "E4", "G4")
    + gtf_line("chr9", "gene", 1, 99, "E5", "G5")
)


def test_genes_of_a_gtf(tmp_path):
    path = tmp_path / "genes.gtf.gz"
    path.write_bytes(gzip.compress(GTF.encode()))
    store = store_of()
    store.path = "memory"

    def members(**choices):
        sets = ga.sets_from_gtf(path, store, **choices)
        return {name: values[0] for name, values in as_dict(ga.match_sets(sets, store)).items()}, shown(sets)

    found, said = members()
    # rows 8 and 9 are one variant, which counts once
    assert found == {"E1": [1, 2, 3], "E2": [3, 4], "E4": [7, 8]}
    assert (
        "1 genes are on contigs that the store does not have: 'chr9'" in said and "2 of 5 genes have no variant" in said
    )
    found, said = members(feature="exon", flank=1)
    assert found == {"E1": [1, 2, 3]} and "1 bases on both sides" in said
    found, said = members(by="gene_name", flank=1)
    assert found == {"G1:E1": [1, 2, 3], "G1:E2": [3, 4], "E3": [5], "G4": [7, 8]}
    assert "names are of several genes" in said and "have no gene_name" in said
    with pytest.raises(InputError, match="has no 'CDS' with a gene_id; its features are gene, exon"):
        members(feature="CDS")
    for content, words in (
        ("chr1\ta\tgene\t5\t3\t.\t+\t.\tgene_id \"a\";\n", ":1: it ends before it starts"),
        ("#x\nchr1\ta\tgene\tx\t3\t.\t+\t.\tgene_id \"a\";\n", ":2: its start or end is no whole number"),
        ("chr1 a gene 1 2\n", ":1: is no line of a GTF"),
        (gtf_line("chr1", "gene", 1, 2, "E1"), "no variant of memory lies in a 'gene'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=words):
            ga.sets_from_gtf(write(tmp_path / "bad.gtf", content), store)
    gff = "##gff-version 3\nchr1\ta\tgene\t150\t300\t.\t+\t.\tID=gene:E1;Name=G1;biotype=x\n"
    sets = ga.sets_from_gtf(write(tmp_path / "a.gff3", gff), store, by="gene_name")
    assert sets.table["set_id"].unique().to_list() == ["G1"]


def test_whatever_a_path_is(files_of_genes, tmp_path):
    sites, store, gtf, table = files_of_genes
    assert sets_for(store, sites).masks == sets_for(store, store.path).masks != {}
    assert rows_of(sets_for(store, sites)) == [row[:3] for row in EXPECTED]
    assert rows_of(sets_for(store, store.path, masks={"a": "pLoF"})) == [row[:3] for row in EXPECTED]
    assert sets_for(store, gtf).table["set_id"].unique().to_list() == ["E"]
    assert sets_for(store, table).n_sets == 1
    snpeff = vcf_of(
        tmp_path / "e.vcf", [("1", 10, "A", "C", "ANN=C|stop_gained|HIGH|G|E|t|t")], HEADER.replace("ID=CSQ", "ID=CSQ2")
    )
    assert rows_of(sets_for(store, snpeff)) == [("E", "1_10_A_C", "pLoF")]
    for path in (sites, store.path, gtf):
        with pytest.raises(InputError, match="leave annotations out"):
            sets_for(store, path, table)


@pytest.fixture
def files_of_genes(tmp_path):
    store = ga.convert(vcf_of(tmp_path / "a.vcf"), tmp_path / "a.zarr", info=["CSQ"])
    gtf = write(tmp_path / "a.gtf", gtf_line("1", "gene", 1, 30, "E"))
    return (
        vcf_of(tmp_path / "s.vcf.gz", samples=False),
        store,
        gtf,
        write(tmp_path / "t", "set_id\tvariant\nA\t1_10_A_C\n"),
    )
