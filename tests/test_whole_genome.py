"""Whole-genome regression: against a dense oracle, without the chromosome that is left out, the same bytes everywhere, one bad trait alone."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from memory_store import snv_table
from oracles import chosen as chosen_oracle
from oracles import whole_genome as oracle
from scipy.stats import norm

import genassoc as ga
from genassoc.analyses.whole_genome.folds import drawn
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.kernels.genotypes import packed
from genassoc.kernels.genotypes.chosen import decode_chosen

N = 120
SIZES = {"1": 90, "2": 60, "3": 45, "X": 20}
V = sum(SIZES.values())
CONTIGS = [name for name, size in SIZES.items() for _ in range(size)]
BLOCK = 40


def draw_codes(seed=3):
    """Calls in runs that are alike, 2 % missing; one variant constant, one not observed, one the sex of the samples."""
    rng = np.random.default_rng(seed)
    founders = rng.binomial(1, rng.uniform(0.1, 0.5, V), (24, V))
    which = rng.integers(0, 24, (2 * N, V // 5))
    haplotypes = founders[np.repeat(which, 5, axis=1), np.arange(V)]
    codes = (haplotypes[:N] + haplotypes[N:]).T.astype(np.uint8)
    codes[rng.random(codes.shape) < 0.02] = 3
    codes[7], codes[100] = 0, 3
    codes[120] = np.arange(N) % 2
    return codes


def draw_table(codes, seed=4):
    rng = np.random.default_rng(seed)
    ids = [f"S{i}" for i in range(N)]
    dosage = np.where(codes == 3, 0, codes).astype(float)
    signal = dosage[::6].T @ rng.standard_normal(len(dosage[::6]))
    y = 3.0 + 2.0 * (signal / signal.std() + rng.standard_normal(N))
    gaps = y.copy()
    gaps[::17] = np.nan
    half = y.copy()
    half[1::2] = np.nan
    return pl.DataFrame(
        {
            "IID": ids, "y": y, "gaps": gaps, "half": half, "sex": np.arange(N) % 2, "age": rng.uniform(30, 70, N),
            "flat": np.ones(N), "disease": (signal + rng.standard_normal(N) * signal.std() > 0).astype(int),
        }
    ).with_columns(pl.col("gaps", "half").fill_nan(None))  # fmt: skip


@pytest.fixture(scope="module")
def codes():
    return draw_codes()


def store_of(folder, codes, block_variants=64):
    variants = snv_table(V).with_columns(chromosome=pl.Series(CONTIGS))
    write_store(
        folder / "store.zarr",
        [f"S{i}" for i in range(N)],
        [GenotypeBlock.from_codes(codes)],
        variants,
        block_variants=block_variants,
    )
    return folder / "store.zarr"


@pytest.fixture(scope="module")
def cohort(codes, tmp_path_factory):
    return ga.Cohort.align(store_of(tmp_path_factory.mktemp("wg"), codes), draw_table(codes))


def model_of(*traits, **choices):
    return ga.WholeGenomeRegression(
        **{"traits": traits or ("y",), "covariates": ["sex", "age"], "block_size": BLOCK, **choices}
    )


@pytest.fixture(scope="module")
def fitted(cohort):
    return ga.fit_whole_genome(cohort, model_of("y", "gaps", "half"))


def blocks_of(codes, samples=slice(None)):
    """The oracle's blocks: 40 variants that vary in the samples of any trait, chromosome by chromosome; of some samples."""
    found, chromosomes = [], []
    for name in ("1", "2", "3"):
        rows = [v for v in range(V) if CONTIGS[v] == name and len(set(codes[v][codes[v] < 3])) > 1]
        for at in range(0, len(rows), BLOCK):
            found.append(codes[rows[at : at + BLOCK]][:, samples])
            chromosomes.append(name)
    return found, chromosomes


@pytest.mark.parametrize("trait", ["y", "gaps", "half"])
def test_predictions_are_those_of_the_dense_oracle(cohort, codes, fitted, trait):
    table = draw_table(codes)
    y = table[trait].to_numpy().astype(float)
    samples = np.flatnonzero(~np.isnan(y)) if trait == "half" else np.arange(N)  # half lack it: its own samples alone
    order, folds = drawn(len(samples), 5, 1, [])
    X = np.column_stack([np.ones(N), table["sex"], table["age"]])[samples]
    blocks, chromosomes = blocks_of(codes, samples)
    expected, h2 = oracle.loco(
        blocks, chromosomes, y[samples], X, [order[a:b] for a, b in folds.segments], sum(map(len, blocks))
    )
    assert fitted.summary.filter(pl.col("trait") == trait)["h2"].item() == h2
    for chromosome in ("1", "2", "3"):
        found = fitted.loco(trait, chromosome)
        assert np.array_equal(np.isnan(found), np.isnan(y))
        # genotypes and Gram matrices in float32 (6e-8), times the condition of the ridge systems, some hundreds
        np.testing.assert_allclose(found[samples], expected[chromosome], atol=3e-4)


def test_leave_one_out_is_the_refit_without_each_sample(cohort, codes):
    found = ga.fit_whole_genome(cohort, model_of("gaps", folds="loocv"))
    table = draw_table(codes)
    y = table["gaps"].to_numpy().astype(float)
    samples = np.flatnonzero(~np.isnan(y))
    X = np.column_stack([np.ones(N), table["sex"], table["age"]])[samples]
    blocks, chromosomes = blocks_of(codes, samples)
    expected, h2 = oracle.loco(
        blocks, chromosomes, y[samples], X, [np.array([i]) for i in range(len(samples))], sum(map(len, blocks))
    )
    assert (found.summary["h2"].item(), found.summary["n_folds"].item()) == (h2, 0)
    for chromosome in ("1", "2", "3"):
        np.testing.assert_allclose(found.loco("gaps", chromosome)[samples], expected[chromosome], atol=3e-4)  # as above


def test_binary_predictions_are_those_of_the_dense_oracle(cohort, codes):
    found = ga.fit_whole_genome(cohort, model_of("disease", outcome="binary", folds=4))
    table = draw_table(codes)
    y = table["disease"].to_numpy().astype(float)
    order, folds = drawn(N, 4, 1, [y.astype(int)])
    X = np.column_stack([np.ones(N), table["sex"], table["age"] / 50])
    blocks, chromosomes = blocks_of(codes)
    folds = [order[a:b] for a, b in folds.segments]
    expected, h2, loss = oracle.binary_loco(blocks, chromosomes, y, X, folds, sum(map(len, blocks)))
    assert found.summary["h2"].item() == h2
    assert found.summary["neg_log_likelihood"].item() == pytest.approx(loss, rel=1e-4)  # as the predictions
    for chromosome in ("1", "2", "3"):
        np.testing.assert_allclose(
            found.loco("disease", chromosome), expected[chromosome], atol=1e-3
        )  # as above; log odds of 3
    assert ga.fit_whole_genome(cohort, model_of("disease", outcome="binary")).summary["n_folds"].item() == 5
    rare = pl.DataFrame({"IID": [f"S{i}" for i in range(N)], "rare": [1] * 30 + [0] * 90})
    alone = ga.fit_whole_genome(cohort.with_covariates(rare), model_of("rare", outcome="binary"))
    assert alone.summary["n_folds"].item() == 0  # below 50 cases
    res = ga.associate(cohort, ga.Logistic(["disease"], ["sex", "age"]), offsets=found)
    assert any("on the scale of the linear predictor" in note for note in res.provenance["notes"])


def test_relatives_give_linear_rows_a_factor(cohort, fitted, codes, tmp_path):
    """Predictions are as they were; the factor is ``e' Phi e / e'e`` of dense matrices, and divides chi-squared of t rows alone."""
    pairs = pl.DataFrame(
        {"sample_id_1": ["S0", "S2", "S9"], "sample_id_2": ["S1", "S1", "S8"], "kinship": [0.25, 0.3, 0.01]}
    )
    found = ga.fit_whole_genome(cohort, model_of("y", "gaps", "half"), relatives=pairs)
    assert found.contributions["y"].tobytes() == fitted.contributions["y"].tobytes()
    assert any("2 pairs of the cohort's samples have a kinship above" in note for note in found.notes)
    table = draw_table(codes)
    X = np.column_stack([np.ones(N), table["sex"], table["age"]])
    y = oracle.project(X, table["y"].to_numpy())
    Phi = np.eye(N)
    for i, j, kinship in ((0, 1, 0.25), (1, 2, 0.3)):
        Phi[i, j] = Phi[j, i] = 2 * kinship
    left = [oracle.project(X, y / scale_of(cohort) - found.loco("y", name)) for name in ("1", "2", "3")]
    expected = np.mean([e @ Phi @ e / (e @ e) for e in left])
    factor = found.summary.filter(pl.col("trait") == "y")["factor"].item()
    assert factor == pytest.approx(expected, rel=1e-5)  # the basis of covariates is kept in float32
    res = ga.associate(cohort, ga.Linear(["y"], ["sex", "age"]), offsets=found)
    calibrated = ga.calibrate(res, found).table
    tested = (calibrated["method"] == "t") & calibrated["neg_log_10_p_value"].is_not_null()
    plain = tested & (calibrated["chromosome"].cast(pl.String) != "X")
    assert plain.any() and (tested & ~plain).any()
    rows = calibrated.filter(plain)
    z, of = (norm.isf(10.0 ** -rows[name].to_numpy() / 2) for name in ("neg_log_10_p_value", "neg_log_10_p_calibrated"))
    np.testing.assert_allclose(of * np.sqrt(factor), z, rtol=1e-5, atol=1e-5)  # columns of p are float32
    assert calibrated.filter(~plain)["neg_log_10_p_calibrated"].is_null().all()
    with pytest.raises(ga.PhenotypeError, match="without relatives="):
        ga.calibrate(res, fitted)
    with pytest.raises(ga.OutputError, match="already"):
        ga.calibrate(ga.calibrate(res, found), found)
    with pytest.raises(ga.PhenotypeError, match="no offsets of it"):
        ga.calibrate(ga.associate(cohort, ga.Linear(["y"], ["sex", "age"])), found)
    few = cohort.keep_samples(list(found.sample_ids[:100]))
    with pytest.raises(ga.PhenotypeError, match="other samples than were fitted"):
        ga.calibrate(ga.associate(few, ga.Linear(["y"], ["sex", "age"]), offsets=found), found)
    files = {"y": found.write(tmp_path)[0]}
    again = ga.calibrate(ga.associate(cohort, ga.Linear(["y"], ["sex", "age"]), offsets=files), found)
    assert again.table["neg_log_10_p_calibrated"].equals(calibrated["neg_log_10_p_calibrated"])
    dominant = ga.associate(cohort, ga.Linear(["y"], ["sex", "age"], genetic_model="dominant"), offsets=found)
    assert ga.calibrate(dominant, found).table["neg_log_10_p_calibrated"].is_null().all()


def test_relatives_that_are_no_pairs(cohort):
    pairs = pl.DataFrame({"sample_id_1": ["S0"], "sample_id_2": ["S1"], "kinship": [0.25]})
    with pytest.raises(ga.InputError, match="SAMPLE_ID_1"):
        ga.fit_whole_genome(cohort, model_of(), relatives=pairs.rename({"sample_id_1": "who"}))
    nobody = pairs.with_columns(sample_id_1=pl.lit("x"), sample_id_2=pl.lit("z"))
    with pytest.raises(ga.GenassocError, match="none of its samples"):
        ga.fit_whole_genome(cohort, model_of(), relatives=nobody)


def test_a_factor_does_not_carry_to_other_models(cohort):
    pairs = pl.DataFrame({"sample_id_1": ["S0"], "sample_id_2": ["S1"], "kinship": [0.25]})
    found = ga.fit_whole_genome(cohort, model_of("disease", outcome="binary"), relatives=pairs)
    assert any("no factor is applied to binary traits" in note for note in found.notes)
    assert found.summary["factor"].to_list() == [1.0]
    res = ga.associate(cohort, ga.Logistic(["disease"], ["sex", "age"]), offsets=found)
    with pytest.raises(ga.PhenotypeError, match="of linear rows only"):
        ga.calibrate(res, found)


def test_traits_that_do_not_fit_into_memory_at_once(cohort, fitted, tmp_path):
    """A pass for each trait; a folder that was begun with other passes is not taken for one's own."""
    one = 4 * 5 * N * 7  # bytes of a trait
    model = model_of("y", "gaps", "half")
    found = ga.fit_whole_genome(cohort, model, memory=one, work=tmp_path / "work")
    with pytest.raises(ga.GenassocError, match="another run"):
        ga.fit_whole_genome(cohort, model, work=tmp_path / "work")
    assert any("read 3 times for 3 traits" in note for note in found.notes)
    assert not any("times for 3 traits" in note for note in fitted.notes)
    for trait in fitted.traits:
        # sums in float32 of one column or two
        np.testing.assert_allclose(found.loco(trait), fitted.loco(trait), atol=1e-4)


def test_r2_of_nothing_is_named(cohort, fitted):
    """A trait without any signal has the r2 that the note says, within what four traits of 120 samples vary by."""
    rng = np.random.default_rng(5)
    names = [f"noise{k}" for k in range(4)]
    table = pl.DataFrame({"IID": [f"S{i}" for i in range(N)], **{name: rng.standard_normal(N) for name in names}})
    found = ga.fit_whole_genome(cohort.with_covariates(table), model_of(*names))
    said = next(note for note in found.notes if note.startswith("r2 is too good"))
    assert "7 blocks and 120 samples" in said
    assert "about 0.055 " in said  # 7 / 127
    assert 0.5 / 127 < found.summary["r2"].mean() < 3 * 7 / 127


def test_traits_named_twice_by_a_range(cohort):
    with pytest.raises(ga.PhenotypeError, match="named twice: 'PC1'"):
        ga.fit_whole_genome(
            cohort.with_covariates(pl.DataFrame({"IID": ["S0", "S1"], "PC1": [1.0, 2.0], "PC2": [1.0, 2.0]})),
            model_of("PC1:PC2", "PC1"),
        )


def test_a_chromosome_left_out_leaves_no_trace(cohort, codes, tmp_path):
    """Other genotypes on chromosome 2 change every prediction but that without chromosome 2, beyond the choice of weights."""
    choices = {"folds": 5}
    before = ga.fit_whole_genome(cohort, model_of(**choices))
    other = codes.copy()
    rows = [v for v in range(V) if CONTIGS[v] == "2"]
    other[rows] = other[rows][:, np.random.default_rng(1).permutation(N)]
    after = ga.fit_whole_genome(ga.Cohort.align(store_of(tmp_path, other), draw_table(codes)), model_of(**choices))
    assert not np.allclose(before.contributions["y"][1], after.contributions["y"][1], atol=0.05)
    alone = ga.fit_whole_genome(cohort.keep_variants(ga.variants.in_region("2")), model_of(**choices))
    np.testing.assert_array_equal(alone.loco("y", "2"), 0.0)
    assert any("one chromosome" in note for note in alone.notes)


def test_the_same_bytes_on_any_executor_and_after_a_stop(cohort, fitted, tmp_path):
    model = model_of("y", "gaps", "half")
    work = tmp_path / "a.work"
    for executor in (ga.Serial(), ga.Threads(3)):
        found = ga.fit_whole_genome(cohort, model, executor=executor, work=work)
        for trait in fitted.traits:
            np.testing.assert_array_equal(found.contributions[trait], fitted.contributions[trait])
    next(work.rglob("pass-2*/part-00002.parquet")).unlink()
    again = ga.fit_whole_genome(cohort, model, work=work)
    np.testing.assert_array_equal(again.contributions["half"], fitted.contributions["half"])


def test_predictions_are_offsets(cohort, fitted):
    res = ga.associate(cohort, ga.Linear(["y", "gaps"], ["sex", "age"]), offsets=fitted).table
    plain = ga.associate(cohort, ga.Linear(["y", "gaps"], ["sex", "age"])).table
    assert res.height == plain.height
    own = ga.associate(
        cohort.keep_variants(ga.variants.in_region("2")), ga.Linear(["y"], ["sex", "age"]),
        offsets={"2": fitted.table("2").with_columns(y=pl.col("y") * float(scale_of(cohort)))},
    ).table  # fmt: skip
    mine = res.filter((pl.col("chromosome") == "2") & (pl.col("trait") == "y"))
    # the same numbers, whichever unit they were given in: six products in float64
    np.testing.assert_allclose(mine["beta"], own["beta"], rtol=1e-9)


def scale_of(cohort):
    design = cohort.design(["y"], ["sex", "age"])
    left = oracle.project(design.X, design.y[:, 0])
    return np.sqrt(left @ left / (N - 3))


def test_one_bad_trait_leaves_the_others(cohort, fitted):
    found = ga.fit_whole_genome(cohort, model_of("y", "flat"))
    assert found.traits == ("y",)
    assert "constant" in found.summary.filter(pl.col("trait") == "flat")["failure"].item()
    assert any(note.startswith("flat is left out") for note in found.notes)
    np.testing.assert_allclose(found.loco("y"), fitted.loco("y"), atol=1e-5)  # rounding of float32


def test_what_takes_no_part_is_recorded(fitted):
    table = dict(fitted.left_out.iter_rows())
    assert table[7] == table[100] == "constant"
    assert table[120] == "explained by the covariates"
    assert any("X 20" in note for note in fitted.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.keep_samples([f"S{i}" for i in range(10)]), "10 samples have the trait 'y'"),
        (lambda c: c.keep_variants([7, 100]), "no variant of an autosome varies"),
        (lambda c: c.keep_variants(ga.variants.in_region("X")), "no variant"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(cohort, change, words):
    with pytest.raises(ga.GenassocError, match=words):
        ga.fit_whole_genome(change(cohort), model_of())


def test_a_trait_that_is_constant_in_a_fold(cohort):
    sorted_trait = pl.DataFrame({"IID": [f"S{i}" for i in range(N)], "late": [0.0] * 50 + list(np.arange(70.0))})
    with pytest.raises(ga.PhenotypeError, match="'late' is constant in fold 1 of 5"):
        ga.fit_whole_genome(replace(cohort.with_covariates(sorted_trait)), model_of("late", fold_order="store"))


def test_predictions_that_do_not_fit_a_model(cohort, fitted):
    with pytest.raises(ga.PhenotypeError, match="no prediction of 'sex'"):
        ga.associate(cohort, ga.Linear(["sex"], ["age"]), offsets=fitted)
    with pytest.raises(ga.PhenotypeError, match="are of quantitative traits"):
        ga.associate(cohort, ga.Logistic(["disease"], ["age"]), offsets=fitted)
    fewer = ga.fit_whole_genome(cohort.keep_samples([f"S{i}" for i in range(100)]), model_of())
    res = ga.associate(cohort, ga.Linear(["y"], ["sex", "age"]), offsets=fewer)
    assert any("20 samples have no prediction of y" in note for note in res.provenance["notes"])


def test_folds_hold_cases_evenly():
    n = 403
    rng = np.random.default_rng(0)
    rare, common = (rng.random(n) < 0.06).astype(int), (rng.random(n) < 0.4).astype(int)
    order, folds = drawn(n, 5, 9, [common, rare])
    assert np.array_equal(np.sort(order), np.arange(n))
    held = [rare[order[a:b]].sum() for a, b in folds.segments]
    assert max(held) - min(held) <= 1
    assert max(np.diff(folds.bounds)) - min(np.diff(folds.bounds)) <= 1
    assert not np.array_equal(order, drawn(n, 5, 10, [common, rare])[0])


@pytest.mark.kernel
def test_chosen_samples_are_decoded():
    rng = np.random.default_rng(2)
    codes = rng.integers(0, 4, (5, 37)).astype(np.uint8)
    rows = np.empty((5, 16), np.uint8)
    packed.pack(codes, rows)
    table = rng.standard_normal((5, 4)).astype(np.float32)
    columns = rng.permutation(37)[:19]
    found, expected = np.empty((2, 5, 19), np.float32)
    decode_chosen(rows, columns, table, found)
    chosen_oracle.decode_chosen(rows, columns, table, expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"traits": ()}, "at least one trait"),
        ({"block_size": 0}, "block_size"),
        ({"block_size": 9}, "from 10 to"),
        ({"traits": ("y", "gaps", "y")}, "'y' twice"),
        ({"folds": 1}, "folds"),
        ({"prior": "lasso"}, "prior is one of"),
        ({"outcome": "sundry"}, "outcome is one of"),
        ({"exact_above": 2}, "exact_above"),
        ({"case_value": "yes"}, "case_value is of binary traits"),
    ],
)
def test_choices_are_checked(choices, words):
    with pytest.raises(ValueError, match=words):
        model_of(**choices)
