"""LD pruning: kernels against loops, the guarantee, the same set however the work is cut, and plink2's sets beside it."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from oracles import pruning as oracle
from small_cohort import make_files, rewrite_store

import genassoc as ga
from genassoc.analyses.pruning import Window, pair_planes
from genassoc.data.block import GenotypeBlock
from genassoc.errors import GenassocError, InputError, PlanError
from genassoc.kernels.genotypes.pruning import Stretch, keep_apart
from genassoc.verbs.stores import whole_store


def linked_codes(n_variants, n_samples, seed, missing=0.0):
    """Codes whose neighbours are correlated: each haplotype copies the one before it, mostly."""
    rng = np.random.default_rng(seed)
    haplotypes = np.zeros((n_variants, 2 * n_samples), np.int8)
    haplotypes[0] = rng.random(2 * n_samples) < 0.4
    for v in range(1, n_variants):
        fresh = rng.random(2 * n_samples) < rng.choice([0.05, 0.3, 1.0])
        haplotypes[v] = np.where(fresh, rng.random(2 * n_samples) < rng.uniform(0.02, 0.5), haplotypes[v - 1])
    codes = (haplotypes[:, ::2] + haplotypes[:, 1::2]).astype(np.uint8)
    codes[rng.random(codes.shape) < missing] = 3
    return codes


def cohort_of(codes, places=None, contig="1", block_variants=16):
    """All samples of a store in memory as a cohort."""
    table = snv_table(len(codes), contig)
    if places is not None:
        table = table.with_columns(base_pair_location=pl.Series(places, dtype=pl.Int64))
    return whole_store(
        MemoryStore(codes, [f"s{i}" for i in range(codes.shape[1])], table, block_variants=block_variants)
    )


@pytest.mark.kernel
@pytest.mark.parametrize(("n_samples", "missing"), [(1, 0.0), (40, 0.0), (70, 0.15)])
def test_kernels_are_the_loops_of_their_definitions(n_samples, missing):
    codes = linked_codes(9, n_samples, 3, missing)
    mask = np.packbits(np.pad(np.ones(n_samples, np.uint8), (0, -n_samples % 64)), bitorder="little").view(np.uint64)
    planes = pair_planes(GenotypeBlock.from_codes(codes), mask)
    np.testing.assert_array_equal(planes.sums, oracle.sums_of_planes(codes))
    places, order, kept = np.arange(9) * 10, np.array([4, 2, 3, 8, 0, 1, 7, 6]), np.full(9, 5)
    n = keep_apart(planes, Stretch(places, 30, 0.2), order, kept, 1)
    assert list(kept[:n]) == oracle.keep_apart(codes, places, 30, 0.2, order, [5])


CASES = [(0.2, "200bp", 0.0), (0.1, "75bp", 0.1), (0.5, "7", 0.1), (0.05, "1kb", 0.3)]


@pytest.mark.parametrize(("threshold", "window", "missing"), CASES)
def test_what_is_kept_is_the_definition_and_holds_what_it_promises(threshold, window, missing):
    codes = linked_codes(80, 60, 11, missing)
    codes[7], codes[20], codes[21] = 3, 2, 1  # observed in nobody; one genotype alone, and heterozygotes alone
    rng = np.random.default_rng(5)
    places = np.sort(rng.integers(1, 900, len(codes)))
    cohort = cohort_of(codes, places)
    kept = ga.ld_prune(cohort, threshold, window)
    asked = Window.parse(window)
    at = np.arange(len(codes)) if asked.of_variants else places
    assert list(kept.numbers) == oracle.prune(codes, at, asked.size, asked.reach, threshold)
    near = np.abs(at[:, None] - at) <= asked.reach
    linked = np.array([[oracle.r2(x, y) > threshold for y in codes] for x in codes])
    np.fill_diagonal(linked, False)
    chosen = kept.mask
    assert not (linked & near)[np.ix_(chosen, chosen)].any()  # no two that are kept
    varies = np.array([len(set(row[row != 3])) > 1 for row in codes])
    assert (linked & near)[np.ix_(varies & ~chosen, chosen)].any(axis=1).all()  # each that is not has one that is
    assert dict(kept.dropped) == {
        "in LD with one that is kept": int((varies & ~chosen).sum()),
        "the same in all samples": 2,
        "observed in no sample": 1,
    }
    assert f"{len(kept)} of 80 variants kept: r2 at most {threshold:g} within" in repr(kept)
    assert cohort.keep_variants(kept).selection.mask.sum() == len(kept)


def test_samples_and_variants_are_those_of_the_cohort():
    codes = linked_codes(60, 64, 2, 0.1)
    cohort = cohort_of(codes, np.arange(60) * 10 + 1)
    for n in (20, 50):  # repacked, and masked
        some = cohort.keep_samples([f"s{i}" for i in range(n)]).keep_variants(ga.variants.maf_above(0.05))
        kept = ga.ld_prune(some, 0.1, "100bp")
        frequent = np.array([float(f) >= 0.05 for f in oracle.minor_allele_frequency(codes[:, :n])])
        numbers = np.flatnonzero(frequent)
        expected = numbers[oracle.prune(codes[frequent, :n], numbers * 10 + 1, 100, 100, 0.1)]
        assert list(kept.numbers) == list(expected)
        assert kept.dropped["maf_above(0.05)"] == int((~frequent).sum())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("pruning"), 120, 900)


def test_the_set_is_the_same_however_the_work_is_cut(files, tmp_path):
    cohort = whole_store(ga.open_store(files.store))
    kept = ga.ld_prune(cohort, 0.2, "300kb", executor=ga.Serial())
    assert 100 < len(kept) < 800
    small = whole_store(rewrite_store(files.store, tmp_path / "small.zarr", 64))
    for other in (
        ga.ld_prune(cohort, 0.2, "300kb", executor=ga.Threads(3)),
        ga.ld_prune(small, 0.2, "300kb", executor=ga.Threads(2)),
        ga.ld_prune(cohort, 0.2, "300kb", work=tmp_path / "work"),
    ):
        np.testing.assert_array_equal(kept.mask, other.mask)
        assert dict(kept.dropped) == dict(other.dropped)
    assert not (tmp_path / "work").exists()


def test_a_killed_pruning_carries_on_from_its_contigs(files, tmp_path, monkeypatch):
    from genassoc.verbs import pruning

    cohort, done = whole_store(ga.open_store(files.store)), []
    work = pruning.prune_contig

    def dying(*arguments):
        done.append(1)
        if len(done) == 2:
            raise MemoryError("killed")
        return work(*arguments)

    monkeypatch.setattr(pruning, "prune_contig", dying)
    with pytest.raises(MemoryError):
        ga.ld_prune(cohort, 0.2, "300kb", work=tmp_path / "work", executor=ga.Serial())
    kept = ga.ld_prune(cohort, 0.2, "300kb", work=tmp_path / "work", executor=ga.Serial())
    assert len(done) == 4  # one contig was there
    np.testing.assert_array_equal(kept.mask, ga.ld_prune(cohort, 0.2, "300kb").mask)


def test_chromosomes_by_sex_are_left_out_unless_asked_for():
    codes = linked_codes(20, 30, 4)
    with pytest.raises(GenassocError, match="all_chromosomes=True"):
        ga.ld_prune(cohort_of(codes, contig="chrX"))
    assert len(ga.ld_prune(cohort_of(codes, contig="chrX"), all_chromosomes=True)) >= 1


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"r2": 0}, "above 0"), ({"r2": 1.5}, "up to 1"), ({"r2": True}, "number"), ({"window": "fast"}, "window='fast'"),
        ({"window": "1"}, "at least 2"), ({"window": "0kb"}, "1000kb"), ({"window": 2.5}, "window=2.5"), ({"window": "1.0001kb"}, "window"),
    ],
)  # fmt: skip
def test_wrong_choices_are_refused(choices, message):
    with pytest.raises(PlanError, match=message):
        ga.ld_prune(cohort_of(linked_codes(5, 10, 1)), **choices)


def test_unsorted_positions_and_nothing_left_are_said():
    codes = linked_codes(6, 20, 1)
    with pytest.raises(InputError, match="variant 3 of 1 at 5 stands behind"):
        ga.ld_prune(cohort_of(codes, [1, 10, 20, 5, 30, 40]))
    assert len(ga.ld_prune(cohort_of(codes, [1, 10, 20, 5, 30, 40]), window="3")) >= 1
    with pytest.raises(GenassocError, match="6 the same in all samples"):
        ga.ld_prune(cohort_of(np.ones((6, 20), np.uint8)))


def test_windows_are_read():
    assert [Window.parse(text) for text in ("1000kb", "1Mb", "0.5 kb", 500)] == [
        Window(1_000_000), Window(1_000_000), Window(500), Window(500, True),
    ]  # fmt: skip
    assert [str(Window.parse(text)) for text in ("1000kb", "75bp", "500")] == ["1,000 kb", "75 bp", "500 variants"]


# Lists ----------------------------------------------------------------------------------------------------------------


def test_a_list_of_what_is_kept_is_read_by_other_commands(files, tmp_path, genassoc):
    store = ga.open_store(files.store)
    kept = ga.ld_prune(whole_store(store), 0.2, "300kb")
    masks = {}
    for name in ("kept.tsv", "kept.parquet", "kept.tsv.gz", "kept.prune.in"):
        code, out, err = genassoc("prune", files.store, "--out", tmp_path / name, "--r2", "0.2", "--window", "300kb")
        assert code == 0, err
        assert f"{len(kept)} of 900 variants kept: r2 at most 0.2 within 300 kb" in out
        found = ga.read_variants(tmp_path / name, store)
        assert not found.notes
        masks[name] = found.mask
    assert all(np.array_equal(mask, kept.mask) for mask in masks.values())
    code, out, err = genassoc(
        "prune", files.store, "--out", tmp_path / "a.tsv", "--variants", tmp_path / "kept.tsv", "--r2", "0.9"
    )
    assert code == 0 and "not_selected" in out
    with pytest.raises(PlanError, match="another store"):
        whole_store(rewrite_store(files.store, tmp_path / "other.zarr", 64)).keep_variants(kept).keep_variants(
            ga.KeptVariants(MemoryStore(np.zeros((900, 3)), "abc"), kept.mask, "x")
        )


def write(path, text):
    path.write_text(text)
    return path


def test_lists_that_others_write(tmp_path):
    store = MemoryStore(np.zeros((6, 3)), "abc", snv_table(6, "chr7"))
    pvar = write(
        tmp_path / "a.pvar", "##x\n#CHROM\tPOS\tID\tREF\tALT\n7\t10\trs0\tA\tG\n7\t30\t.\tA\tG\n7\t20\tx\tG\tA\n"
    )
    found = ga.read_variants(pvar, store)
    assert list(found.numbers) == [0, 2]
    assert (
        "1 of 3 variants are not in the store" in found.notes[0]
        and "1 of them are there with their alleles exchanged" in found.notes[0]
    )
    ids = write(tmp_path / "ids", "rs1\nrs3\nrs1\nRS2\nchr7_50_A_G\n")
    found = ga.read_variants(ids, store)
    assert list(found.numbers) == [1, 3, 4]
    assert "more than once: 'rs1'" in found.notes[0] and "1 would be there if capitals did not matter" in found.notes[1]
    doubled = MemoryStore(np.zeros((3, 2)), "ab", snv_table(3).with_columns(rsid=pl.Series(["rs1", "rs1", "rs2"])))
    found = ga.read_variants(write(tmp_path / "two", "ID\nrs1\n"), doubled)
    assert list(found.numbers) == [0, 1] and "several variants, which are all kept: 'rs1'" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a\tb\nc\td\n", "not the names of the columns"),
        ("rs1\nrs2 x\n", "more than one id"),
        ("nothing\nhere\n", "None is left"),
        ("#CHROM\tPOS\tREF\tALT\n7\tten\tA\tG\n", "row 1 has the position 'ten'"),
        ("#CHROM\tPOS\tREF\tALT\n7\t10\tA\n", "row 1 below the header has 3 fields"),
        ("rs1\0", "is no text"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path, text, message):
    store = MemoryStore(np.zeros((6, 3)), "abc", snv_table(6, "chr7"))
    with pytest.raises(InputError, match=message):
        ga.read_variants(write(tmp_path / "list", text), store)
    for name, content in (("x.gz", b"\x1f\x8bxx"), ("x.parquet", b"PAR1"), ("latin", "é".encode("latin-1"))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError):
            ga.read_variants(tmp_path / name, store)


# Regions of long-range LD ---------------------------------------------------------------------------------------------


def test_regions_of_long_range_ld():
    store = MemoryStore(
        np.zeros((4, 2)),
        "ab",
        snv_table(4, "chr6").with_columns(
            base_pair_location=pl.Series([24_000_000, 30_000_000, 60_000_000, 70_000_000])
        ),
    )
    cohort = whole_store(store)
    with pytest.raises(InputError, match='build="GRCh37"'):
        ga.outside_long_range_ld(cohort)
    with pytest.raises(InputError, match="not of T2T-CHM13"):
        ga.outside_long_range_ld(cohort, "hs1")
    kept = cohort.keep_variants(ga.outside_long_range_ld(cohort, "hg38"))
    assert list(kept.selected_without_genotypes(0, 4)) == [True, False, False, True]
    assert kept.selection.describe() == ["outside_long_range_ld(GRCh38)"]


def test_regions_lie_on_their_chromosomes_and_hold_what_they_are_known_for():
    from genassoc.data.cohort.builds import LENGTHS
    from genassoc.data.cohort.long_range_ld import long_range_ld

    # LCT, HLA-A and the inversion of 8p23 (NCBI Gene), in both builds
    known = {
        "GRCh37": [("2", 136_545_410), ("6", 29_910_247), ("8", 10_000_000)],
        "GRCh38": [("2", 135_787_840), ("6", 29_942_470), ("8", 10_000_000)],
    }
    for build, places in known.items():
        regions = long_range_ld(build)
        assert len(regions) == 24
        assert all(region.start < region.stop <= LENGTHS[build][region.contig] for region in regions)
        for contig, position in places:
            assert any(region.contig == contig and region.start <= position <= region.stop for region in regions)
