"""Principal components: against dense algebra and plink2, whatever the alleles, order, blocks and executors; killed and resumed; bad input."""

import numpy as np
import polars as pl
import pytest
from commands import refused
from memory_store import snv_table
from oracles.components import components, sine
from plink_files import plink2, write_fileset
from real_data import real_data
from structured_cohort import cohort_of, places, structured_codes

import genassoc as ga
from genassoc.analyses.components.products import LeadingComponents
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.errors import GenassocError, InputError
from genassoc.verbs.stores import whole_store

N, V, K = 240, 1600, 6
LABELS = np.arange(N) % 3
CODES = structured_codes(V, LABELS, 0.05, seed=4, missing=0.02)
# Products of tiles are of float32, whose sums of N and of 64 terms err by about 1e-6; gaps of these cohorts are of the size of the eigenvalues.
ANGLE = 1e-5


def scores(found):
    return found.scores.drop("sample_id").to_numpy()


@pytest.fixture(scope="module")
def cohort():
    return cohort_of(CODES)


@pytest.fixture(scope="module")
def exact(cohort):
    return ga.pca(cohort, K)


def test_few_samples_are_decomposed_exactly(exact):
    vectors, values, loadings = components(CODES, K)
    assert (exact.method, exact.passes) == ("exact", 1)
    np.testing.assert_allclose(exact.eigenvalues, values[:K], rtol=1e-6)  # float32 products
    np.testing.assert_allclose(exact.total_variance, values.sum(), rtol=1e-12)
    assert sine(vectors[:, :2], scores(exact)[:, :2]) < ANGLE
    sign = np.sign((vectors[:, :2] * scores(exact)[:, :2]).sum(axis=0))
    ours = exact.loadings.select("PC1", "PC2").to_numpy() * sign
    np.testing.assert_allclose(ours, loadings[:, :2], atol=1e-5 * np.abs(loadings).max())
    np.testing.assert_allclose((scores(exact) ** 2).sum(axis=0), 1.0, rtol=1e-12)
    assert (scores(exact) ** 3).sum(axis=0).min() > 0  # the rule of signs


def test_the_randomised_method_finds_the_same(cohort, exact):
    found = ga.pca(cohort, K, method="randomised")
    assert found.method == "randomised"
    assert 3 <= found.passes <= 20
    assert found.above_noise == exact.above_noise == 2
    assert sine(scores(exact)[:, :2], scores(found)[:, :2]) < ANGLE
    assert sine(scores(exact)[:, :2], scores(found)[:, :2]) < found.angles[1] + ANGLE  # the bound that is stated holds
    np.testing.assert_allclose(found.eigenvalues[:2], exact.eigenvalues[:2], rtol=1e-6)
    # within noise residuals are below 0.03 of the eigenvalues, and so are the errors of these
    np.testing.assert_allclose(found.eigenvalues, exact.eigenvalues, rtol=0.03)
    # the trace of the inverse from a quadrature of the random start: of 240 x 16 products of random numbers, whose mean errs by 2 %
    np.testing.assert_allclose(found.shrinkage[:2], exact.shrinkage[:2], rtol=0.02)
    other = ga.pca(cohort, K, method="randomised", seed=2)
    assert not np.array_equal(scores(other), scores(found))
    assert sine(scores(other)[:, :2], scores(found)[:, :2]) < ANGLE


def test_a_bound_on_passes_is_kept_and_said(cohort):
    found = ga.pca(cohort, K, method="randomised", most_passes=2)
    assert found.passes == 2
    assert any("not settled" in note for note in found.notes)


def test_a_start_as_wide_as_the_samples_is_exact():
    codes = structured_codes(400, np.arange(12) % 2, 0.2, seed=1)
    one, other = (ga.pca(cohort_of(codes), 3, method=method) for method in ("exact", "randomised"))
    assert other.passes == 1
    np.testing.assert_allclose(scores(one), scores(other), atol=1e-4)  # no gap is smaller than a hundredth here
    np.testing.assert_allclose(one.shrinkage, other.shrinkage, rtol=1e-4)


@pytest.mark.integration
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_plink2_gives_the_same(tmp_path, missing):
    codes = structured_codes(1200, np.arange(120) % 3, 0.05, seed=8, missing=missing)
    write_fileset(tmp_path / "a", codes)
    plink2(
        "--bfile",
        tmp_path / "a",
        "--pca",
        "4",
        *(["meanimpute"] if missing else []),
        "--maf",
        "0.01",
        "--out",
        tmp_path / "b",
    )
    theirs = pl.read_csv(tmp_path / "b.eigenvec", separator="\t").select("PC1", "PC2", "PC3", "PC4").to_numpy()
    values = np.loadtxt(tmp_path / "b.eigenval")
    for method in ("exact", "randomised"):
        found = ga.pca(cohort_of(codes, snv_table(len(codes))), 4, method=method)
        assert sine(theirs[:, :2], scores(found)[:, :2]) < 5e-5  # their files have six digits
        np.testing.assert_allclose(np.abs((theirs * scores(found))[:, :2].sum(axis=0)), 1.0, atol=1e-5)
        np.testing.assert_allclose(found.eigenvalues[:2], values[:2], rtol=1e-5)


@pytest.mark.integration
def test_real_genomes_against_plink2(tmp_path):
    vcf = real_data("kg-genome") / "1000G.489.vcf.gz"
    ga.convert(vcf, tmp_path / "kg.zarr")
    plink2("--vcf", vcf, "--maf", "0.01", "--pca", "10", "--threads", "1", "--out", tmp_path / "kg")
    theirs = pl.read_csv(tmp_path / "kg.eigenvec", separator="\t").select(f"PC{i}" for i in range(1, 11)).to_numpy()
    cohort = whole_store(ga.open_store(tmp_path / "kg.zarr"))
    found = ga.pca(cohort, 10, long_range_ld=True)
    # six digits in the file, and float32 products here; gaps are hundredths of the eigenvalues
    assert sine(theirs, scores(found)) < 5e-5
    np.testing.assert_allclose(found.eigenvalues, np.loadtxt(tmp_path / "kg.eigenval"), rtol=1e-5)
    randomised = ga.pca(cohort, 10, long_range_ld=True, method="randomised")
    assert sine(theirs[:, :4], scores(randomised)[:, :4]) < 1e-4  # the angle at which passes stop


# what must not matter ----------------------------------------------------------------------------------------


def test_swapped_alleles_do_not_change_scores(exact):
    swapped = np.random.default_rng(1).random(V) < 0.5
    codes = np.where(swapped[:, None] & (CODES < 3), 2 - CODES, CODES).astype(np.uint8)
    found = ga.pca(cohort_of(codes), K)
    np.testing.assert_allclose(scores(found)[:, :2], scores(exact)[:, :2], atol=ANGLE)
    signs = np.where(swapped, -1.0, 1.0)
    ours, before = (table["PC1"].to_numpy() for table in (found.loadings, exact.loadings))
    np.testing.assert_allclose(ours * signs, before, atol=1e-5 * np.abs(before).max())


@pytest.mark.parametrize("method", ["exact", "randomised"])
def test_the_order_of_samples_does_not_matter(exact, method):
    order = np.random.default_rng(2).permutation(N)
    found = ga.pca(cohort_of(CODES[:, order], ids=[f"S{i}" for i in order]), K, method=method)
    joined = exact.scores.select("sample_id").join(found.scores, on="sample_id", how="left", maintain_order="left")
    np.testing.assert_allclose(joined.drop("sample_id").to_numpy()[:, :2], scores(exact)[:, :2], atol=ANGLE)


@pytest.mark.parametrize("block_variants", [7, 500, 5000])
def test_the_size_of_blocks_does_not_matter(exact, block_variants):
    found = ga.pca(cohort_of(CODES, block_variants=block_variants), K, method="randomised")
    np.testing.assert_allclose(scores(found)[:, :2], scores(exact)[:, :2], atol=ANGLE)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("components") / "store.zarr"
    blocks = [GenotypeBlock.from_codes(CODES)]
    write_store(path, [f"S{i}" for i in range(N)], blocks, places(V), block_variants=64)
    return path


CHOICES = {"method": "randomised", "fit_on": LABELS < 2}


@pytest.fixture(scope="module")
def expected(store):
    return ga.pca(whole_store(ga.open_store(store)), K, executor=ga.Serial(), **CHOICES)


def assert_same_bits(one, other):
    assert one.scores.equals(other.scores)
    assert one.loadings.equals(other.loadings)
    for name in ("eigenvalues", "shrinkage", "angles"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


@pytest.mark.parametrize(
    "choices", [{"executor": ga.Threads(3)}, {"memory": 1}, {"executor": ga.Threads(2), "memory": 5000}]
)
def test_the_same_bits_on_threads_and_with_genotypes_read_again(store, expected, choices):
    assert_same_bits(ga.pca(whole_store(ga.open_store(store)), K, **CHOICES, **choices), expected)


@pytest.mark.integration
def test_the_same_bits_on_dask(store, expected, tmp_path):
    from genassoc.engine.executors_dask import connected

    cohort = whole_store(ga.open_store(store))
    with connected("local:2") as dask:
        assert_same_bits(ga.pca(cohort, K, executor=dask, work=tmp_path / "w", **CHOICES), expected)
        assert_same_bits(ga.pca(cohort, K, executor=dask, **CHOICES), expected)


class Dies:
    """An executor that does some tasks in all, and then is killed."""

    def __init__(self, n):
        self.left = n

    def map(self, function, items):
        for item in items:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield function(item)


class Counts(ga.Serial):
    def __init__(self):
        self.n = 0

    def map(self, function, items):
        for result in super().map(function, items):
            self.n += 1
            yield result


def test_killed_and_resumed_it_has_the_same_bits(store, expected, tmp_path):
    cohort, whole, rest = whole_store(ga.open_store(store)), Counts(), Counts()
    assert_same_bits(ga.pca(cohort, K, executor=whole, work=tmp_path / "a", **CHOICES), expected)
    assert not (tmp_path / "a").exists()
    blocks = 2 * -(-V // 2 // 64)  # of two contigs
    tasks = (whole.n - blocks) // (expected.passes + 1)
    assert tasks >= 6
    killed = blocks + 3 * tasks // 2  # counting alleles is done again; then in the second pass
    with pytest.raises(KeyboardInterrupt):
        ga.pca(cohort, K, executor=Dies(killed), work=tmp_path / "b", **CHOICES)
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["pass-1-products-1", "pass-2-products-2"]
    assert_same_bits(ga.pca(cohort, K, executor=rest, work=tmp_path / "b", **CHOICES), expected)
    assert not (tmp_path / "b").exists()
    assert rest.n == whole.n - (killed - blocks)


def test_another_run_does_not_take_up_the_work(store, tmp_path):
    cohort = whole_store(ga.open_store(store))
    with pytest.raises(KeyboardInterrupt):
        ga.pca(cohort, K, executor=Dies(34), work=tmp_path / "w", **CHOICES)
    with pytest.raises(GenassocError, match="another run"):
        ga.pca(cohort, K, seed=3, work=tmp_path / "w", **CHOICES)


# which variants and samples ----------------------------------------------------------------------------------


def test_what_is_left_out_is_said():
    codes = CODES[:900].copy()
    codes[0], codes[1], codes[2] = 0, 3, 0  # monomorphic, never observed, rare
    codes[2, :4] = 1
    table = places(900, contigs=("1", "2", "X")).with_columns(
        base_pair_location=pl.Series(np.arange(900) * 300_000 + 1)
    )
    cohort = cohort_of(codes, table)
    found = ga.pca(cohort, 3, build="GRCh37")
    inside = cohort.store.table.filter(
        (pl.col("chromosome") == "1") & pl.col("base_pair_location").is_between(48_000_000, 52_300_000)
        | (pl.col("chromosome") == "2")
        & (
            pl.col("base_pair_location").is_between(86_000_000, 101_200_000)
            | pl.col("base_pair_location").is_between(134_500_000, 138_000_000)
            | pl.col("base_pair_location").is_between(183_000_000, 190_300_000)
        )
    ).height
    assert inside > 5
    assert found.record["dropped"] == {
        "not on an autosome": 300, "in regions of long-range LD": inside, "rarer than the least maf": 1,
        "without variation among the samples of the fit": 2,
    }  # fmt: skip
    assert found.loadings.height == 600 - inside - 3
    assert set(found.loadings["chromosome"]) == {"1", "2"}
    text = "\n".join(found.summary_lines())
    assert "300 variants left out: not on an autosome" in text
    assert "GRCh37" in text
    assert "not pruned" in text
    whole = ga.pca(cohort, 3, build="GRCh37", long_range_ld=True)
    assert whole.loadings.height == found.loadings.height + inside
    unknown = ga.pca(cohort, 3)
    assert any("took part: the build of the genome is not known" in note for note in unknown.notes)
    with pytest.raises(InputError, match="build"):
        ga.pca(cohort, 3, long_range_ld=False)


def test_filters_of_the_cohort_hold_among_the_samples_of_the_fit():
    cohort = cohort_of(CODES).keep_variants(ga.variants.missing_below(0.02)).keep_variants(np.arange(1000))
    fitted = np.arange(N) < 100
    found = ga.pca(cohort, 2, fit_on=fitted)
    part = CODES[:1000, :100]
    observed = part != 3
    af = np.where(observed, part, 0).sum(axis=1) / (2 * observed.sum(axis=1))
    keep = ((~observed).mean(axis=1) <= 0.02) & (np.minimum(af, 1 - af) >= 0.01)
    assert found.loadings.height == keep.sum() < 1000
    np.testing.assert_allclose(found.loadings["effect_allele_frequency"], af[keep], rtol=1e-12)
    assert not any("not pruned" in note for note in found.notes)
    vectors, _, _ = components(part[keep], 2)
    assert sine(vectors[:, :1], scores(found)[:100, :1]) < ANGLE


def test_dosages_are_taken_as_calls_and_counted(tmp_path):
    from dosage_cohort import made

    cohort = made(tmp_path / "store.zarr").cohort()
    found = ga.pca(cohort, 2, min_maf=0.0)
    assert any("dosages" in note for note in found.notes)


def test_whole_genome_regression_and_relationships_say_that_they_took_calls(tmp_path):
    from dosage_cohort import made

    cohort = made(tmp_path / "d.zarr", n_variants=120).cohort()
    trait = next(name for name in cohort.phenotypes.columns if cohort.phenotypes.table[name].dtype.is_float())
    fitted = ga.fit_whole_genome(cohort, ga.WholeGenomeRegression(traits=[trait], block_size=40))
    assert any("of the variants have dosages: calls were taken" in note for note in fitted.notes)
    state = ga.LinearMixed([trait]).prepare(cohort)
    assert any("of the variants have dosages: calls were taken" in note for note in state.notes)


@pytest.mark.filterwarnings("ignore:at 1,600 polymorphic variants")
def test_the_fit_is_of_unrelated_samples(tmp_path):
    codes = CODES[:, :60].copy()
    codes[:, 40:45] = codes[:, :5]  # five samples twice
    cohort = cohort_of(codes)
    kin = ga.kinship(cohort)
    assert kin.filter(pl.col("kinship") > 0.4).height == 5
    found = ga.pca(cohort, 3, unrelated=kin)
    left = cohort.keep_unrelated(kin)
    assert found.fitted.sum() == left.n_samples < 60
    np.testing.assert_array_equal(cohort.sample_ids[found.fitted], left.sample_ids)
    assert found.scores["PC1"].null_count() == 0
    kin.write_parquet(tmp_path / "kin.parquet")
    same = ga.pca(cohort, 3, unrelated=tmp_path / "kin.parquet")
    np.testing.assert_array_equal(same.fitted, found.fitted)
    among = ga.pca(cohort, 3, unrelated=kin, fit_on=np.arange(60) < 50)
    assert not among.fitted[50:].any()


def test_scores_are_covariates(cohort, exact):
    joined = cohort.with_covariates(exact.scores)
    design = joined.design(["PC1"], ["PC2", "PC3"])
    np.testing.assert_allclose(design.y[:, 0], scores(exact)[:, 0])


# bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "choices", "words"),
    [
        (lambda codes: codes[:, :10], {"k": 10}, "10 samples have at most 9 principal components"),
        (lambda codes: codes, {"k": 500}, "240 samples have at most 239"),
        (lambda codes: codes[:4], {"k": 5}, "4 variants have at most as many"),
        (lambda codes: np.zeros_like(codes), {"k": 3}, "without variation"),
        (lambda codes: np.repeat(codes[:, :2], 20, axis=1), {"k": 5}, "only 1 principal components have any variance"),
        (lambda codes: codes, {"k": 0}, "k is a whole number"),
        (lambda codes: codes, {"k": 2, "min_maf": 0.7}, "below 0.5"),
        (lambda codes: codes, {"k": 2, "method": "quick"}, "'exact' or 'randomised'"),
        (lambda codes: codes, {"k": 2, "fit_on": ["nobody"]}, "not in the cohort, such as nobody"),
        (lambda codes: codes, {"k": 2, "fit_on": np.ones(3, bool)}, "3 values"),
        (lambda codes: codes, {"k": 2, "fit_on": np.zeros(N, bool)}, "no sample"),
        (lambda codes: codes, {"k": 2, "fit_on": ["S1", "S2"]}, "2 samples have at most 1"),
    ],
)
def test_bad_input_has_a_clear_word(change, choices, words):
    with pytest.raises(GenassocError, match=words):
        ga.pca(cohort_of(change(CODES)), **choices)


@pytest.mark.integration
def test_the_command(genassoc, store, tmp_path):
    out = tmp_path / "scores.tsv"
    (tmp_path / "fit.txt").write_text("".join(f"S{i}\n" for i in range(N) if LABELS[i] < 2))
    options = [
        "--out",
        out,
        "-k",
        "3",
        "--fit-on",
        tmp_path / "fit.txt",
        "--save",
        tmp_path / "saved",
        "--plot",
        tmp_path / "p.png",
    ]
    code, said, _ = genassoc("pca", store, *options)
    assert code == 0
    assert "variance explained" in said
    table = pl.read_csv(out, separator="\t")
    assert table.columns == ["sample_id", "PC1", "PC2", "PC3"]
    assert (tmp_path / "p.png").stat().st_size > 5000
    saved = ga.PrincipalComponents.read(tmp_path / "saved")
    np.testing.assert_allclose(scores(saved), table.drop("sample_id").to_numpy(), rtol=1e-12)
    refused(genassoc("pca", store, *options), None, "there already")
    code, said, _ = genassoc("pca", store, "--out", tmp_path / "again.parquet", "--project", tmp_path / "saved")
    assert code == 0
    assert f"{V:,} of the {V:,} variants" in said
    again = pl.read_parquet(tmp_path / "again.parquet").drop("sample_id").to_numpy()
    projected = LABELS == 2
    np.testing.assert_allclose(again[projected], scores(saved)[projected], atol=1e-6)
    refused(genassoc("pca", store, "--out", tmp_path / "x.tsv", "-k", N), tmp_path / "x.tsv", "at most 239")
    refused(
        genassoc("pca", store, "--out", tmp_path / "x.tsv", "--project", store), tmp_path / "x.tsv", "components.json"
    )
    refused(
        genassoc("pca", store, "--out", tmp_path / "x.tsv", "--project", tmp_path / "saved", "--fit-on", out),
        None,
        "--fit-on",
        code=2,
    )


def test_passes_are_at_most_those_named():
    analysis = LeadingComponents(None, 100, 4, 1.0, most_passes=3)
    assert analysis.passes == ("products 1", "products 2", "products 3")
    assert analysis.columns == 16
