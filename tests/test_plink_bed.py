"""BED: the rows of the VCF of the same calls; regions, samples, places; what does not fit is refused and says so."""

import numpy as np
import polars as pl
import pytest
from oracles import packed as packed_oracle
from plink_files import random_codes, write_fileset
from real_data import real_data

import genassoc as ga
from genassoc.errors import InputError
from genassoc.formats import inputs
from genassoc.formats.convert import convert
from genassoc.formats.plink import fileset, variants
from genassoc.formats.reading import AS_IT_IS, Reading
from genassoc.formats.source import Place
from genassoc.shapes import packed_bytes


def decoded(path, columns=None, region=None, start=None, reading=AS_IT_IS):
    """(codes (V, N), table, source, places) of all pieces."""
    source = inputs.open_source(path, inputs.parse_regions(region), reading=reading)
    columns = np.arange(len(source.sample_ids)) if columns is None else np.asarray(columns)
    batches = [piece.decode() for piece in source.pieces(columns, start)]
    codes = np.concatenate([packed_oracle.unpack(batch.packed, columns.size) for batch in batches])
    return codes, pl.concat([batch.variants for batch in batches]), source, [batch.place for batch in batches]


def test_the_vcf_of_the_same_calls_gives_the_same_store(tmp_path):
    data = real_data("kg-genome")
    convert(data / "1000G.489.vcf.gz", tmp_path / "vcf.zarr", region="22")
    summary = convert(data / "1000G.subset.22.bed", tmp_path / "bed.zarr")
    of_vcf, of_bed = ga.open_store(tmp_path / "vcf.zarr"), ga.open_store(tmp_path / "bed.zarr")
    assert of_bed.n_variants == of_vcf.n_variants == summary.rows == 2608
    same = of_bed.variants().columns  # the VCF has a FILTER beside
    assert of_bed.variants().equals(of_vcf.variants().select(same))
    assert list(of_bed.sample_ids) == list(of_vcf.sample_ids)
    np.testing.assert_array_equal(of_bed.read(0, 2608).packed, of_vcf.read(0, 2608).packed)
    ours, theirs = arrays(tmp_path / "bed.zarr"), arrays(tmp_path / "vcf.zarr")
    assert ours and all(theirs[name] == data for name, data in ours.items())


def arrays(store):
    """The bytes of a store's arrays by file."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name not in ("zarr.json", "pieces.txt")
    }


def test_a_bed_and_a_pgen_of_the_same_calls_give_the_same_rows(tmp_path):
    data = real_data("regenie-example")
    pytest.importorskip("pgenlib")
    rows = [decoded(data / f"example.{suffix}") for suffix in ("bed", "pgen")]
    np.testing.assert_array_equal(rows[0][0], rows[1][0])
    assert rows[0][1].equals(rows[1][1])
    assert rows[0][2].sample_ids == rows[1][2].sample_ids


@pytest.mark.parametrize("n_samples", [1, 4, 37])
def test_any_samples_regions_and_pieces(tmp_path, monkeypatch, n_samples):
    monkeypatch.setattr(fileset, "MOST_LINES", 7)
    codes = random_codes(50, n_samples)
    path = write_fileset(tmp_path / "x", codes)
    found, table, source, places = decoded(path)
    np.testing.assert_array_equal(found, codes)
    assert table["chromosome"].to_list() == ["1"] * 25 + ["2"] * 25
    assert table["effect_allele"].unique().to_list() == ["C"] and table["other_allele"].unique().to_list() == ["A"]
    assert source.first_contig() == "1" and source.contigs == ("1", "2") and len(places) == 8
    columns = np.random.default_rng(1).permutation(n_samples)[: n_samples // 2 + 1]
    np.testing.assert_array_equal(decoded(path, columns)[0], codes[:, columns])
    some, table, _, _ = decoded(path, region=["chr1:1020-1050", "2:1400-"])
    keep = [*range(2, 6), *range(40, 50)]
    np.testing.assert_array_equal(some, codes[keep])
    assert table["rsid"].to_list() == [f"rs{v}" for v in keep]
    for number, place in enumerate(places):
        rest, _, _, _ = decoded(path, start=Place(*place))
        np.testing.assert_array_equal(rest, codes[7 * number :])


def test_the_store_depends_on_neither_threads_nor_pieces(tmp_path, monkeypatch):
    path = write_fileset(tmp_path / "x", random_codes(300, 21))
    convert(path, tmp_path / "a.zarr", threads=1)
    monkeypatch.setattr(fileset, "MOST_LINES", 3)
    convert(tmp_path / "x", tmp_path / "b.zarr", threads=3)  # by PLINK's prefix
    files = [
        {p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()}
        for f in (tmp_path / "a.zarr", tmp_path / "b.zarr")
    ]
    assert files[0] == files[1]


def test_another_bim_beside_the_same_bed_is_converted_anew(tmp_path):
    codes = random_codes(4, 5)
    path = write_fileset(tmp_path / "x", codes)
    convert(path, tmp_path / "a.zarr")
    assert convert(path, tmp_path / "a.zarr").already_complete
    write_fileset(tmp_path / "x", codes, [f"7\trs{v}\t0\t{v}\tC\tA" for v in range(4)])
    assert not convert(path, tmp_path / "a.zarr", overwrite=True).already_complete
    assert ga.open_store(tmp_path / "a.zarr").variants()["chromosome"].unique().to_list() == ["7"]


def test_alleles_that_are_not_known_spaces_and_codes_of_chromosomes(tmp_path):
    lines = ["23 a 0 5 C A\r", "25\tb\t0\t6\t0\tA", "  26   c 0 7 T    0", "0\td\t0\t0\tAT\tG"]
    codes = random_codes(4, 6)
    path = write_fileset(tmp_path / "x", codes, lines)
    found, table, source, _ = decoded(path)
    np.testing.assert_array_equal(found, codes[[0, 2, 3]])
    assert table.select("chromosome", "base_pair_location", "effect_allele", "other_allele", "record").rows() == [
        ("23", 5, "C", "A", 0),
        ("26", 7, "T", "N", 2),
        ("0", 0, "AT", "G", 3),
    ]
    said = " ".join(source.notes)
    assert "1 variants have no REF allele" in said and "23, 26" in said
    assert convert(path, tmp_path / "o.zarr").dropped == {"no_alternate_allele": 1}


def test_a1_as_ref(tmp_path):
    codes = random_codes(3, 9)
    path = write_fileset(tmp_path / "x", codes)
    found, table, source, _ = decoded(path, reading=Reading(reference="first"))
    np.testing.assert_array_equal(found, np.array([2, 1, 0, 3], np.uint8)[codes])
    assert table["effect_allele"].to_list() == ["A"] * 3 and table["other_allele"].to_list() == ["C"] * 3
    assert "A1 is taken for it" in source.notes[0]


def fam(*ids):
    return [f"{family}\t{name}\t0\t0\t0\t-9" for family, name in ids]


def test_names_of_samples(tmp_path):
    codes = random_codes(2, 3)
    path = write_fileset(tmp_path / "a", codes, samples=fam(("1", "A"), ("2", "A"), ("2", "B")))
    source = inputs.open_source(path, [])
    assert source.sample_ids == ("1_A", "2_A", "2_B")
    assert any("FID_IID" in note for note in source.notes)
    path = write_fileset(tmp_path / "b", codes, samples=fam(("1", "A"), ("1", "A"), ("2", "B")))
    with pytest.raises(InputError, match="'A' of one family is there twice"):
        inputs.open_source(path, [])
    path = write_fileset(tmp_path / "c", codes)
    notes = inputs.open_source(path, []).notes
    assert any("2 males and 1 females" in note for note in notes) and any(
        "phenotype is not read" in note for note in notes
    )


def damaged(tmp_path, change):
    path = write_fileset(tmp_path / "x", random_codes(6, 9))
    change(path)
    with pytest.raises(InputError) as raised:
        convert(path, tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()
    return str(raised.value)


def edit(suffix, old, new):
    def change(path):
        file = path.with_suffix(suffix)
        data = file.read_bytes()
        assert old in data
        file.write_bytes(data.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: path.with_suffix(".bim").unlink(), "has no list of variants beside it; put x.bim or x.bim.zst"),
        (lambda path: path.with_suffix(".fam").unlink(), "has no list of samples beside it; put x.fam"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "has 20 bytes where 6 variants .* take 21: it is cut"),
        (lambda path: path.write_bytes(path.read_bytes() + b"x"), "it is of other files"),
        (lambda path: path.write_bytes(b"\x6c\x1b\x00" + path.read_bytes()[3:]), "old order"),
        (edit(".bim", b"rs3\t0\t1030\tC\tA", b"rs3"), r"x.bim:4: has fewer than 6 columns"),
        (edit(".bim", b"1030", b"-30"), r"x.bim:4: position '-30' .*PLINK leaves out"),
        (edit(".bim", b"1030", b"1e6"), r"x.bim:4: position '1e6'"),
        (edit(".bim", b"rs3", b"rs\xff"), r"not UTF-8"),
        (edit(".bim", b"1\trs1", b"\n1\trs1"), r"x.bim:2: is an empty line"),
        (edit(".bim", b"1\trs1", b"#1\trs1"), r"x.bim:2: a header line among the variants"),
        (edit(".bim", b"1\trs1", b"a,b\trs1"), r"x.bim:2: 'a,b' is no name"),
        (lambda path: path.with_suffix(".bim").write_bytes(b""), "names no variants"),
        (lambda path: path.with_suffix(".fam").write_bytes(b""), "names no samples"),
        (edit(".fam", b"F3\tS3\t0\t0\t2\t-9\n", b"F3\tS3\n"), r"x.fam:4: has 2 columns where 6"),
        (edit(".fam", b"S3", b"\xff"), "x.fam: is not UTF-8"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path, change, words):
    import re

    message = damaged(tmp_path, change)
    assert re.search(words, message), message


def test_lines_without_an_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "LINE_BYTES", 100)
    monkeypatch.setattr(variants, "READ_BYTES", 64)
    assert "a line is longer than" in damaged(tmp_path, edit(".bim", b"rs3", b"r" * 300))


def test_a_list_given_in_place_of_its_bed(tmp_path):
    path = write_fileset(tmp_path / "x", random_codes(6, 9))
    with pytest.raises(InputError, match=r"belongs to x\.bed; give that"):
        inputs.open_source(path.with_suffix(".bim"), [])
    assert inputs.expand(str(tmp_path / "x*")) == [path]
    write_fileset(tmp_path / "chr10", random_codes(6, 9))
    write_fileset(tmp_path / "chr2", random_codes(6, 9))
    assert [p.name for p in inputs.expand(str(tmp_path / "chr*"))] == ["chr2.bed", "chr10.bed"]


def test_masks_that_a_bed_has_no_numbers_for_are_refused(tmp_path):
    path = write_fileset(tmp_path / "x", random_codes(6, 9))
    with pytest.raises(InputError, match="--min-gq cannot be applied"):
        inputs.open_source(path, [], reading=Reading(min_gq=20))
    notes = inputs.open_source(path, [], reading=Reading(pass_only=True, dosage="DS", info=("R2",))).notes
    assert any("no FILTER" in note for note in notes) and any("calls only" in note for note in notes)
    assert any("has no INFO" in note for note in notes)


def test_packed_rows_are_whole_words(tmp_path):
    path = write_fileset(tmp_path / "x", random_codes(3, 33))
    source = inputs.open_source(path, [])
    batch = next(iter(source.pieces(np.arange(33), None))).decode()
    assert batch.packed.shape == (3, packed_bytes(33)) and batch.haploid is None and batch.dosages is None
