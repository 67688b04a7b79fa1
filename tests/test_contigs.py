"""Names of contigs: one chromosome however it is named, in conversion, sex, Hardy-Weinberg, regions, GWAS-SSF and plots."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from test_plots import make_results
from vcf_texts import header

import genassoc as ga
from genassoc.data.cohort import contigs as names
from genassoc.data.cohort.builds import build_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import Contigs, bare_name, chromosome_of, contigs_of
from genassoc.data.cohort.ploidy import in_par
from genassoc.errors import InputError
from genassoc.plots.genome import GenomeAxis, chromosome_spans
from genassoc.plots.panel import lead_variants

# What people write, and what it means where genotypes come from.
SPELLINGS = {
    "1": ["1", "01", "chr1", "Chr1", "CHR01", "chrom1", "chromosome_1", "NC_000001.11", "CM000663.2", "NC_060925.1"],
    "22": ["22", "chr22", "NC_000022.10", "CM000684.1", "CP068256.2"],
    "X": [
        "X", "x", "chrX", "chrx", "CHRX", "X ", "23", "chr23", "Xnonpar", "X_nonPAR", "chrX_nonpar", "X-nonpar",
        "NC_000023.11", "nc_000023.10", "ref|NC_000023.11|", "gi|568815575|ref|NC_000023.11|", "CM000685.2", "NC_060947.1",
        "GRCh38#0#chrX", "CHM13#X",
    ],
    "Y": ["Y", "y", "chrY", "24", "NC_000024.10", "CM000686.2", "GRCh38#0#chrY"],
    "XY": ["XY", "25", "025", "chr25", "PAR", "PAR1", "PAR2", "chrX_par1", "X_PAR2", "chrXY"],
    "MT": ["MT", "M", "chrM", "chrMT", "m", "26", "NC_012920.1", "J01415.2", "Mito"],
    None: [
        "0", "27", "GL000220.1", "KI270302.1", "chr1_KI270706v1_random", "chrUn_GL000220v1", "HLA-A*01:01", "hs37d5",
        "NC_007605.1", "1.5", "", "Y_PAR1", "Z",
        "GRCh38#0#chrX_KI270880v1_alt",
    ],
}  # fmt: skip
ALL = [(name, meaning) for meaning, spelt in SPELLINGS.items() for name in spelt]


@pytest.mark.parametrize(("name", "meaning"), ALL)
def test_a_name_means_a_chromosome(name, meaning):
    assert chromosome_of(name) == meaning


def test_a_column_of_names_is_read_as_each_name_is():
    table = pl.DataFrame({"chromosome": [name for name, _ in ALL], "base_pair_location": 20_000})
    assert table.select(names._bare_column("chromosome"))["chromosome"].to_list() == [bare_name(n) for n, _ in ALL]
    codes = table.select(code=names.gwas_ssf_code())["code"].to_list()
    in_ssf = {"X": 23, "XY": 23, "Y": 24, "MT": 25, "1": 1, "22": 22, None: None}
    assert codes == [in_ssf[meaning] for _, meaning in ALL]


def test_25_in_gwas_ssf_is_mt_and_before_the_end_of_mt_a_25_of_genotypes_is_neither():
    rows = pl.DataFrame({"chromosome": ["25", "25", "26", "XY"], "base_pair_location": [16_571, 16_572, 5, 5]})
    assert rows.select(code=names.gwas_ssf_code())["code"].to_list() == [None, 23, 25, 23]
    read = pl.DataFrame({"chromosome": ["25", "23", "chr24", "024", "X", "7", "chrUn", None]})
    assert read.select(names.from_gwas_ssf())["chromosome"].to_list() == ["MT", "X", "Y", "Y", "X", "7", "chrUn", None]


# What is decided of several names together ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contigs", "length", "last", "meaning", "words"),
    [
        (["25"], None, 2_000_000, "XY", "pseudo-autosomal part of X, as in PLINK"),
        (["25", "26"], None, 12_000, "XY", "pseudo-autosomal part of X, as in PLINK"),
        (["chr25"], None, 16_000, "XY", "This is ambiguous"),
        (["25"], 16_569, 16_000, "MT", "length in the header is that of MT"),
    ],
)
def test_what_25_means_is_decided_by_what_is_there_and_said(contigs, length, last, meaning, words):
    found = Contigs.of(contigs, {contigs[0]: length} if length else {}, lambda name: last)
    assert found.chromosomes[contigs[0]] == meaning
    assert words in found.notes()[0]
    assert ("ambiguous" in found.notes()[0]) == ("ambiguous" in words)


def test_two_names_of_a_chromosome_are_said():
    notes = Contigs.of(["1", "chr1", "2", "XY", "25", "PAR1"]).notes()
    assert any("'1', 'chr1' are names of one chromosome, 1" in note for note in notes)
    assert any("'XY', '25', 'PAR1' are names of one chromosome, XY" in note for note in notes)
    assert not Contigs.of(["1", "2", "X", "GL000220.1"]).notes()
    assert not any("one chromosome" in note for note in Contigs.of(["PAR1", "PAR2", "X"]).notes())


def test_names_that_are_unknown_are_said_beside_sex():
    found = Contigs.of(["1", "X", "GL000220.1", "scaffold_7", "0"])
    assert not found.notes()
    (note,) = found.notes(sex=True)
    assert "analysed as autosomes" in note and "'GL000220.1', 'scaffold_7'" in note and "'X'" not in note


def test_other_species_keep_their_numbers():
    dog = Contigs.of([*map(str, range(1, 39)), "X"])
    assert dog.chromosomes["23"] is None and dog.chromosomes["X"] == "X"
    assert "another species" in dog.notes()[0]
    assert dog.same("chr23") == ["23"] and dog.same("x") == ["X"]


def test_another_species_is_known_by_contigs_without_variants():
    lengths = {str(number): 5_000_000 for number in range(1, 39)}
    dog = Contigs.of(["25"], lengths)
    assert dog.chromosomes == {"25": None} == dog.decided and "numbered up to 38" in dog.notes()[0]
    assert Contigs.of(["25"], {"25": 16_569}).decided == {"25": "MT"}
    assert Contigs.of(["25", "X", "chr1", "GL000220.1"]).decided == {}


# Sex, ploidy, Hardy-Weinberg -------------------------------------------------------------------------------------------

N = 60
SEX = np.array([1, 2] * (N // 2))


def cohort_on(contig, positions=(50_000_000, 50_000_010, 50_000_020), sex="SEX", **align):
    rng = np.random.default_rng(8)
    codes = rng.integers(0, 3, (len(positions), N), dtype=np.uint8)
    table = snv_table(len(positions), contig).with_columns(base_pair_location=pl.Series(positions, dtype=pl.Int64))
    ids = [f"s{i}" for i in range(N)]
    people = pl.DataFrame({"IID": ids, "SEX": SEX, "y": rng.normal(size=N)})
    return Cohort.align(MemoryStore(codes, ids, table), people, sex=sex, **align)


@pytest.mark.parametrize("contig", ["23", "chrx", "Xnonpar", "NC_000023.11", "CM000685.2"])
def test_x_is_x_by_any_name(contig):
    expected, found = cohort_on("X", build="GRCh38"), cohort_on(contig, build="GRCh38")
    ours, theirs = found.read(0, 3), expected.read(0, 3)
    np.testing.assert_array_equal(ours.codes(), theirs.codes())
    assert ours.places.ploidy.tolist() == [1, 1, 1]
    assert found.variant_statistics(ours).equals(expected.variant_statistics(theirs))
    autosome = cohort_on("2")
    everybody = autosome.variant_statistics(autosome.read(0, 3))
    assert found.variant_statistics(ours)["hwe_p"].to_list() != everybody["hwe_p"].to_list()  # of females alone


@pytest.mark.parametrize(("contig", "kind"), [("NC_012920.1", "MT"), ("26", "MT"), ("CM000686.2", "Y"), ("24", "Y")])
def test_one_copy_by_any_name(contig, kind):
    positions = (100, 200, 300) if kind == "MT" else (20_000_000, 20_000_010, 20_000_020)
    expected, found = cohort_on(kind, positions), cohort_on(contig, positions)
    assert found.read(0, 3).places.ploidy.tolist() == [2, 2, 2]
    np.testing.assert_array_equal(found.read(0, 3).codes(), expected.read(0, 3).codes())
    assert found.variant_statistics(found.read(0, 3))["hwe_p"].null_count() == 3


@pytest.mark.parametrize("contig", ["25", "chr25", "XY", "PAR1", "X_par2"])
def test_everybody_has_two_copies_in_the_pseudo_autosomal_part(contig):
    positions = (1_000_000, 1_000_010, 1_000_020)
    named, on_x = cohort_on(contig, positions), cohort_on("X", positions, build="GRCh38")
    np.testing.assert_array_equal(named.read(0, 3).codes(), on_x.read(0, 3).codes())
    assert named.variant_statistics(named.read(0, 3)).equals(on_x.variant_statistics(on_x.read(0, 3)))
    assert (named.read(0, 3).codes() == named.store.codes).all()  # nothing is refused
    assert any("pseudo-autosomal part of X" in note for note in named.notes)


def test_contigs_taken_for_autosomes_are_among_the_notes_where_sex_is_given():
    assert any("analysed as autosomes" in note for note in cohort_on("GL000220.1").notes)
    assert cohort_on("GL000220.1", sex=None).notes == ()
    assert not any("autosomes" in note for note in cohort_on("chr7").notes)


@pytest.mark.parametrize(
    ("contig", "build"),
    [("NC_000023.10", "GRCh37"), ("CM000685.2", "GRCh38"), ("NC_060947.1", "T2T-CHM13"), ("X", None)],
)
def test_an_accession_tells_the_build(contig, build):
    assert build_of(cohort_on(contig).store) == build


def test_pseudo_autosomal_regions_of_t2t():
    x = np.array([2_394_410, 2_394_411, 153_925_834, 153_925_835])
    np.testing.assert_array_equal(in_par("X", x, "T2T-CHM13"), [True, False, False, True])


# Conversion and regions ------------------------------------------------------------------------------------------------

ROW = "{}\t{}\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"


def write(path, *places):
    path.write_text("##fileformat=VCFv4.2\n" + header(["a", "b"]).split("\n")[-2] + "\n" + "".join(
        ROW.format(contig, position) for contig, position in places
    ))  # fmt: skip
    return path


def test_conversion_says_and_keeps_what_names_mean(tmp_path):
    file = write(tmp_path / "a.vcf", ("1", 5), ("1", 50), ("chr1", 60), ("25", 70))
    store = ga.convert(file, tmp_path / "a.zarr")
    notes = store.attributes["summary"]["contig_notes"]
    assert any("names of one chromosome, 1" in note for note in notes) and any("ambiguous" in note for note in notes)
    assert store.contigs == ("1", "chr1", "25")  # as in the input
    cohort = Cohort.align(store, pl.DataFrame({"IID": ["a", "b"]}))
    assert set(notes) <= set(cohort.notes)


@pytest.mark.parametrize("region", ["1:20-100", "chr1:20-100", "01:20-100", "NC_000001.11:20-100"])
def test_a_region_is_found_under_every_name_of_its_chromosome(tmp_path, region):
    file = write(tmp_path / "a.vcf", ("1", 5), ("1", 50), ("chr1", 60), ("2", 50))
    store = ga.convert(file, tmp_path / "whole.zarr")
    cohort = Cohort.align(store, pl.DataFrame({"IID": ["a", "b"]})).keep_variants(ga.variants.in_region(region))
    assert cohort.selected_without_genotypes(0, 4).tolist() == [False, True, True, False]
    # no contigs in the header and no index
    part = ga.convert(file, tmp_path / "part.zarr", region=region)
    assert part.variants()["base_pair_location"].to_list() == [50, 60]
    with pytest.raises(InputError, match="no contig '3'"):
        cohort.keep_variants(ga.variants.in_region("3"))


def test_a_region_of_x_says_that_it_leaves_out_a_pseudo_autosomal_contig(tmp_path):
    file = write(tmp_path / "a.vcf", ("XY", 20_000), ("X", 50_000_000))
    store = ga.convert(file, tmp_path / "whole.zarr")
    cohort = Cohort.align(store, pl.DataFrame({"IID": ["a", "b"]}))
    kept = cohort.keep_variants(ga.variants.in_region("chrX") & ga.variants.is_snv())
    (note,) = set(kept.notes) - set(cohort.notes)
    assert "a region of X leaves out 'XY'" in note
    for regions in (("X", "PAR1"), ("XY",)):
        assert cohort.keep_variants(ga.variants.in_region(*regions)).notes == cohort.notes
    text = file.read_text().replace("#CHROM", "##contig=<ID=X>\n##contig=<ID=XY>\n#CHROM")
    file.write_text(text)
    part = ga.convert(file, tmp_path / "part.zarr", region="23")
    assert part.n_variants == 1


def test_other_species_of_one_file_for_each_chromosome(tmp_path):
    file = write(tmp_path / "a.vcf", ("25", 20_000), ("25", 50_000))
    lengths = "".join(f"##contig=<ID={number},length=5000000>\n" for number in range(1, 39))
    file.write_text(file.read_text().replace("#CHROM", f"{lengths}#CHROM"))
    store = ga.convert(file, tmp_path / "a.zarr")
    assert contigs_of(store).many and store.attributes["contig_lengths"].keys() >= {"25", "27", "38"}
    assert "another species" in store.attributes["summary"]["contig_notes"][0]


@pytest.mark.parametrize("other", ["chr2", "NC_000002.12", "CM000664.2"])
def test_files_that_name_contigs_in_different_ways_are_refused(tmp_path, other):
    files = [write(tmp_path / "a.vcf", ("1", 5)), write(tmp_path / "b.vcf", (other, 5))]
    with pytest.raises(InputError, match="names its contigs like"):
        ga.convert(files, tmp_path / "a.zarr")


# Plots ---------------------------------------------------------------------------------------------------------------


def test_plots_know_accessions_and_other_species():
    results = make_results(900, ("NC_000010.11", "NC_000002.12", "NC_000023.11", "NC_012920.1", "GL000220.1"))
    genome = GenomeAxis.of(chromosome_spans(results.lazy()))
    assert genome.names == ("2", "10", "X", "MT", "GL000220.1")
    assert genome.place(results)["chromosome_index"].n_unique() == 5
    dog = GenomeAxis.of(chromosome_spans(make_results(900, ("38", "23", "2", "X")).lazy()))
    assert dog.names == ("2", "23", "38", "X")


def test_a_locus_under_two_names_is_one():
    points = pl.DataFrame(
        {
            "chromosome": ["2", "1", "chr1", "1"],
            "base_pair_location": [100, 100, 200, 5_000_000],
            "neg_log_10_p_value": [9.0, 10.0, 11.0, 12.0],
        }
    )
    assert lead_variants(points, 8.0)["neg_log_10_p_value"].to_list() == [12.0, 11.0, 9.0]
