"""Simulated cohorts: the kernels against their slow twins, determinism, and that the truth can be found."""

import numpy as np
import polars as pl
import pytest
from oracles import mosaic as slow
from scipy import stats
from statsmodels.discrete.discrete_model import NegativeBinomial

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import mosaic
from genassoc.shapes import packed_bytes
from genassoc.simulate import simulate_cohort
from genassoc.simulate.genotypes import CHROMOSOME_LENGTHS, share_out


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(600, 3000, 5, seed=3)


def all_codes(cohort):
    return np.concatenate([block.codes() for _, block in cohort.blocks()])


def linear_t(codes, y, covariates):
    """t of each variant's coefficient beside covariates, complete cases of y, missing calls as the mean."""
    ok = ~np.isnan(y)
    X = np.column_stack([np.ones(ok.sum()), covariates[ok]])
    Q, _ = np.linalg.qr(X)
    g = np.where(codes == 3, np.nan, codes)[:, ok].astype(float)
    g = np.where(np.isnan(g), np.nanmean(g, axis=1, keepdims=True), g)
    g -= (g @ Q) @ Q.T
    residual = y[ok] - Q @ (Q.T @ y[ok])
    gg = np.einsum("vn,vn->v", g, g)
    score = np.divide(g @ residual, np.sqrt(gg), out=np.zeros(len(g)), where=gg > 1e-6)
    dof = ok.sum() - X.shape[1] - 1
    return score / np.sqrt((residual @ residual - score**2) / dof), dof


# ---------------------------------------------------------------- kernels


def test_founder_haplotypes_match_the_oracle():
    rng = np.random.default_rng(0)
    V, H, P = 40, 12, 3
    noise = rng.normal(size=(V, H)).astype(np.float32)
    correlation = np.concatenate([[0.0], rng.random(V - 1)]).astype(np.float32)
    direction = rng.choice([-1.0, 1.0], V).astype(np.float32)
    threshold = rng.normal(size=(V, P)).astype(np.float32)
    threshold[3] = -np.inf
    latent, alleles = np.zeros(H, dtype=np.float32), np.empty((V, H), dtype=np.uint8)
    for rows in (slice(0, 17), slice(17, V)):  # the walk is carried from call to call
        mosaic.founder_haplotypes(
            noise[rows], correlation[rows], direction[rows], threshold[rows], latent, alleles[rows]
        )
    # float32 against float64: no latent value lies within 1e-5 of its threshold with this seed
    assert np.array_equal(alleles, slow.founder_haplotypes(noise, correlation, direction, threshold))
    assert not alleles[3].any()


@pytest.mark.parametrize("n_samples", [1, 4, 33])
def test_mosaic_matches_the_oracle(n_samples):
    rng = np.random.default_rng(n_samples)
    V, H, P, M = 50, 12, 3, 5
    positions = np.sort(rng.choice(1000, V, replace=False)) + 1
    founders = rng.integers(0, 2, (V, H)).astype(np.uint8)
    gaps = (rng.standard_exponential((2 * n_samples, M)) * 150).astype(np.float32)
    choices = rng.random((2 * n_samples, M), dtype=np.float32)
    ancestry = np.cumsum(rng.dirichlet([0.3] * P, n_samples), axis=1)
    ancestry[0] = [0.0, 1.0, 1.0]  # one population only
    ancestry[:, -1] = 1.0
    state = (np.full(2 * n_samples, -1, np.int32), np.zeros(2 * n_samples), np.zeros(2 * n_samples, np.int32))
    segments = mosaic.Segments(gaps, choices, *state)
    packed = np.empty((V, packed_bytes(n_samples)), dtype=np.uint8)
    for rows in (slice(0, 20), slice(20, V)):
        mosaic.draw_mosaic(positions[rows], founders[rows], ancestry, segments, packed[rows])
    expected = slow.draw_mosaic(positions, founders, gaps, choices, ancestry)
    assert np.array_equal(packed, GenotypeBlock.from_codes(expected).packed)  # padding included


def test_carriers_and_hidden_calls():
    N = 6
    codes = np.ones((3, N), dtype=np.uint8)
    packed = GenotypeBlock.from_codes(codes).packed
    # row 0: haplotypes 0 and 1 (sample 0, both), 5 (sample 2) named twice; row 1 none; row 2: last
    mosaic.set_carriers(np.array([0, 4, 4, 5]), np.array([0, 1, 5, 5, 11], dtype=np.int32), N, packed)
    mosaic.hide_calls(np.array([0, 2, 2]), np.array([0, 4, 4]), packed)
    expected = np.array([[3, 0, 1, 0, 0, 0], [1] * N, [0, 0, 0, 0, 3, 1]], dtype=np.uint8)
    assert np.array_equal(packed, GenotypeBlock.from_codes(expected).packed)


# ---------------------------------------------------------------- the cohort


def test_same_seed_same_bytes_other_seed_other_bytes(cohort):
    again, other = simulate_cohort(600, 3000, 5, seed=3), simulate_cohort(600, 3000, 5, seed=4)
    assert again.variants.equals(cohort.variants)
    assert again.phenotypes.equals(cohort.phenotypes)
    assert again.truth.equals(cohort.truth)
    first, second = list(cohort.blocks()), list(again.blocks())
    third = list(cohort.blocks())  # drawn twice from one cohort
    for (_, a), (_, b), (_, c) in zip(first, second, third):
        assert np.array_equal(a.packed, b.packed)
        assert np.array_equal(a.packed, c.packed)
    assert not other.phenotypes["ldl"].equals(cohort.phenotypes["ldl"])


def test_blocks_are_whole_and_in_order(cohort):
    start = 0
    for variants, block in cohort.blocks():
        assert block.start == start
        assert block.n_variants == variants.height
        assert block.n_samples == cohort.n_samples
        assert variants["chromosome"].n_unique() == 1
        start += block.n_variants
    assert start == cohort.n_variants == 3000


def test_long_chromosomes_come_in_several_runs_with_the_same_calls(cohort, monkeypatch):
    from genassoc.simulate import genotypes

    whole = cohort.genotypes.complete_codes(np.flatnonzero(cohort.genotypes.frequency() > 0.0))
    monkeypatch.setattr(genotypes, "block_variants", lambda n_samples: 96)
    runs = list(cohort.genotypes.runs(missing_rate=0.0))
    assert max(len(packed) for _, packed in runs) == 96
    codes = np.concatenate([GenotypeBlock(packed, cohort.n_samples).codes() for _, packed in runs])
    assert np.array_equal(codes[cohort.genotypes.frequency() > 0.0], whole)


def test_variants_are_sorted_unique_and_within_their_contigs(cohort):
    v = cohort.variants
    assert v["chromosome"].unique(maintain_order=True).to_list() == ["1", "2", "3", "4", "5"]
    for (name,), rows in v.group_by(["chromosome"]):
        position = rows["base_pair_location"].to_numpy()
        assert np.all(np.diff(position) > 0)
        assert position[0] >= 1
        assert position[-1] <= cohort.contigs[name]
    assert v["variant_id"].n_unique() == v["rsid"].n_unique() == v.height
    assert (v["other_allele"] != v["effect_allele"]).all()
    assert v.select(pl.col("other_allele", "effect_allele").str.contains("^[ACGT]+$").all()).row(0) == (
        True,
        True,
    )


def test_frequencies_are_mostly_low_and_calls_are_missing_at_the_rate_asked():
    cohort = simulate_cohort(1000, 4000, 2, seed=1, missing_rate=0.01)
    codes = all_codes(cohort)
    # 4 million calls; rates differ between variants (gamma 1/2): the mean's SE is 0.01 sqrt(2 / 4000)
    assert abs((codes == 3).mean() - 0.01) < 0.001
    seen = np.where(codes == 3, 0, codes).sum(axis=1) / (2 * (codes < 3).sum(axis=1))
    minor = np.minimum(seen, 1 - seen)
    assert 0.3 < (minor < 0.01).mean() < 0.5  # ln(10) / ln(500) = 0.37 before drift
    assert (minor > 0.05).mean() > 0.25
    assert (minor == 0).mean() < 0.05
    assert 0.02 < (seen > 0.5).mean() < 0.15


def test_neighbours_are_in_ld_and_chromosomes_are_not():
    cohort = simulate_cohort(800, 4000, 2, seed=2, missing_rate=0.0)
    codes = all_codes(cohort).astype(float)
    frequency = codes.mean(axis=1) / 2
    common = np.flatnonzero((frequency > 0.15) & (frequency < 0.85))
    near = common[:-1][np.diff(common) <= 2]
    r2 = [np.corrcoef(codes[i], codes[common[common > i][0]])[0, 1] ** 2 for i in near[:300]]
    far = [np.corrcoef(codes[a], codes[b])[0, 1] ** 2 for a, b in zip(common[:300], common[-300:])]
    assert np.mean(r2) > 0.25
    assert np.mean(far) < 0.02  # 1 / N, and a little ancestry


def test_ancestry_shows_in_genotypes_and_components(cohort):
    assert np.allclose(cohort.ancestry.sum(axis=1), 1.0, atol=1e-12)  # rounding of three divisions
    codes = all_codes(cohort).astype(float)
    codes = codes[(codes < 3).all(axis=1)]
    codes -= codes.mean(axis=1, keepdims=True)
    scale = codes.std(axis=1)
    codes = codes[scale > 0.3] / scale[scale > 0.3, None]
    _, vectors = np.linalg.eigh(codes.T @ codes)
    given = cohort.phenotypes.select("PC1", "PC2").to_numpy()
    design = np.column_stack([np.ones(len(given)), vectors[:, -1], vectors[:, -2]])
    for column in given.T:  # the genotypes' two main axes explain the components given
        fitted = design @ np.linalg.lstsq(design, column, rcond=None)[0]
        assert np.corrcoef(fitted, column)[0, 1] > 0.9


def test_phenotypes(cohort):
    p = cohort.phenotypes
    assert p.columns[:3] == ["IID", "age", "sex"]
    assert p["IID"].to_list() == list(cohort.sample_ids)
    assert set(p["sex"]) == {1, 2}
    assert p["statin"].value_counts().sort("statin").rows() == [("placebo", 300), ("statin", 300)]
    # 15 % of all samples are cases; 2 % of the values are then hidden
    assert abs(p["t2d"].mean() - 0.15) < 0.01
    for name, rate in {"ldl": 0.03, "ldl_before": 0.02, "t2d": 0.02, "ldl_change": 0.05}.items():
        assert 0 < p[name].null_count() < 3 * rate * p.height
    both = p.drop_nulls(["ldl", "ldl_before"])
    # rounded to three decimals
    assert np.allclose(both["ldl"] - both["ldl_before"], both["ldl_change"], rtol=0, atol=5e-4)
    assert p.filter(pl.col("ldl").is_null())["ldl_change"].null_count() == p["ldl"].null_count()
    arms = dict(p.group_by("statin").agg(pl.col("ldl_change").mean()).iter_rows())
    assert arms["statin"] < -1.0 < arms["placebo"]


def test_truth_names_variants_of_the_cohort(cohort):
    t = cohort.truth
    assert t.columns == [
        "trait", "variant_id", "rsid", "chromosome", "base_pair_location", "effect", "unit", "term"
    ]  # fmt: skip
    keys = ["variant_id", "rsid", "chromosome", "base_pair_location"]
    assert t.join(cohort.variants, on=keys, how="semi").height == t.height
    assert set(t["trait"]) == {"ldl", "ldl_change", "t2d", "muscle_pain", "cardiac_event"}
    in_the_trial = t.filter(pl.col("trait").is_in(["ldl_change", "muscle_pain", "cardiac_event"]))
    assert set(in_the_trial["term"]) == {"interaction"}
    assert (t["effect"] != 0).all()


def test_the_trial_has_its_effects_on_statin_alone():
    cohort = simulate_cohort(4000, 3000, 2, seed=5)
    codes, people = all_codes(cohort), cohort.phenotypes
    treated = (people["statin"] == "statin").to_numpy()
    where = {row["trait"]: row["variant_id"] for row in cohort.truth.iter_rows(named=True)}
    ids = cohort.variants["variant_id"].to_list()
    for trait, size in (("muscle_pain", np.log(4.0)), ("cardiac_event", np.log(0.5))):
        g, y = codes[ids.index(where[trait])], people[trait].to_numpy()
        log_odds = {}
        for arm in (False, True):
            some = (treated == arm) & (g < 3)
            carriers, others = some & (g > 0), some & (g == 0)
            cases = np.array([[y[who].sum(), (1 - y[who]).sum()] for who in (carriers, others)])
            # Carriers of one ALT, a few of two; four standard errors of a log odds ratio; hazards are near odds here.
            log_odds[arm] = np.log(cases[0, 0] * cases[1, 1] / (cases[0, 1] * cases[1, 0]))
            error = np.sqrt((1 / cases).sum())
            expected = size if arm else 0.0
            assert abs(log_odds[arm] - expected) < 4 * error + 0.35 * abs(expected), (trait, arm, log_odds)


def test_admissions_are_a_negative_binomial_count_over_the_years():
    """Its alpha is 1 and its rate 0.4 a year at 58; estimates of 4,000 people, four standard errors of about 0.05."""
    people = simulate_cohort(4000, 500, 2, seed=5).phenotypes
    y, years, age = (people[name].to_numpy().astype(float) for name in ("admissions", "years", "age"))
    fit = NegativeBinomial(y, np.column_stack([np.ones(4000), age - 58.0]), exposure=years).fit(disp=0, maxiter=200)
    rate, slope, alpha = fit.params
    assert abs(rate - np.log(0.4)) < 4 * fit.bse[0] and abs(slope - 0.03) < 4 * fit.bse[1] and abs(alpha - 1.0) < 0.2


def test_planted_effects_are_found():
    """2,000 samples: most planted loci pass 5e-8, estimates surround the truth, the null stays null."""
    cohort = simulate_cohort(2000, 4000, 22, seed=20)
    codes = all_codes(cohort)
    p = cohort.phenotypes
    treated = (p["statin"] == "statin").to_numpy()
    covariates = p.select("age", "sex", "PC1", "PC2", "PC3", "PC4").to_numpy()
    place = {name: k for k, name in enumerate(cohort.variants["variant_id"])}
    found = {}
    for trait, columns in (("ldl", np.column_stack([covariates, treated])), ("t2d", covariates)):
        t, dof = linear_t(codes, p[trait].cast(pl.Float64).to_numpy(), columns)
        planted = cohort.truth.filter((pl.col("trait") == trait) & (pl.col("term") == "main"))
        at = [place[name] for name in planted["variant_id"]]
        p_values = 2 * stats.t.sf(np.abs(t), dof)
        found[trait] = (p_values[at] < 5e-8).sum(), len(at)
        assert np.array_equal(np.sign(t[at]), np.sign(planted["effect"]))
        # a little above 1: the planted loci's neighbours and the polygenic background are not null
        assert 0.9 < np.median(t**2) / 0.4549 < 1.35
    assert found["ldl"][0] >= 5 and found["ldl"][1] == 8
    assert found["t2d"][0] >= 3 and found["t2d"][1] == 5
    response = cohort.truth.filter(pl.col("trait") == "ldl_change")
    at = [place[name] for name in response["variant_id"]]
    change = p["ldl_change"].to_numpy()
    in_arm, dof = linear_t(codes[at], np.where(treated, change, np.nan), covariates)
    outside, _ = linear_t(codes[at], np.where(treated, np.nan, change), covariates)
    assert 2 * stats.t.sf(np.abs(in_arm), dof).min() < 5e-8
    assert np.abs(outside).max() < 4.0  # no effect without the drug; 4 standard errors of two null tests


@pytest.mark.parametrize("shape", [(10, 20, 1), (100, 500, 22), (37, 220, 22)])
def test_toy_sizes(shape):
    cohort = simulate_cohort(*shape)
    assert all_codes(cohort).shape == (shape[1], shape[0])
    assert cohort.phenotypes.height == shape[0]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"n_samples": 3}, "n_samples"),
        ({"n_chromosomes": 23}, "n_chromosomes"),
        ({"n_variants": 100}, "n_variants"),
        ({"missing_rate": 0.7}, "missing_rate"),
        ({"min_frequency": 0.2}, "min_frequency"),
    ],
)
def test_arguments_out_of_range_are_named(changed, word):
    with pytest.raises(ValueError, match=word):
        simulate_cohort(**changed)


def test_variants_are_shared_out_by_length():
    counts = share_out(50_000, CHROMOSOME_LENGTHS)
    assert sum(counts) == 50_000
    assert counts[0] > 4 * counts[20] > 0
    assert share_out(22, CHROMOSOME_LENGTHS) == [1] * 22
