"""Simulated families: kernels against their slow twins, kinship, F_ST, linkage, traits and inheritance against theory."""

import numpy as np
import polars as pl
import pytest
from oracles import inheritance as slow
from scipy import stats

import genassoc as ga
from genassoc.kernels.genotypes.inheritance import END, Lines, Meioses, copy_segments, drop_genes
from genassoc.simulate.pedigree import KINDS, numbers_of_families, related_pairs, samples_of

FAMILIES = {
    "duplicates": 10,
    "twins": 10,
    "trios": 20,
    "siblings": 40,
    "half_siblings": 40,
    "cousins": 40,
    "three_generations": 6,
}
TRAITS = {
    "height": ga.SimulatedTrait(h2=0.4),
    "disease": ga.SimulatedTrait(kind="binary", cases=1 / 21, n_causal=30, chromosomes=("1", "3"), missing=0.05),
    "relapse": ga.SimulatedTrait(
        kind="time_to_event", h2=0.3, censored=0.8, stratification=0.1, shared_environment=0.1
    ),
}


@pytest.fixture(scope="module")
def cohort():
    return ga.simulate_families(
        500,
        6000,
        families=FAMILIES,
        fst=(0.02, 0.1),
        traits=TRAITS,
        seed=5,
        x_variants=300,
        y_variants=40,
        min_frequency=0.02,
    )


def codes_of(cohort, *chromosomes):
    chosen = [block.codes() for v, block in cohort.blocks() if v["chromosome"][0] in chromosomes]
    return np.concatenate(chosen)


AUTOSOMES = tuple(map(str, range(1, 23)))


@pytest.fixture(scope="module")
def codes(cohort):
    return codes_of(cohort, *AUTOSOMES)


def places(cohort, relationship):
    where = {name: i for i, name in enumerate(cohort.sample_ids)}
    pairs = cohort.relatives.filter(pl.col("relationship") == relationship)
    return [[where[name] for name in pairs[column]] for column in ("sample_id_1", "sample_id_2")]


def king(codes, one, other):
    """KING-robust kinship between families (Manichaikul et al. 2010, equation 11), by numpy."""
    a, b = codes[:, one], codes[:, other]
    both = (a < 3) & (b < 3)
    hethet = ((a == 1) & (b == 1) & both).sum(axis=0)
    ibs0 = (np.abs(a.astype(int) - b) == 2) & both
    het1, het2 = ((a == 1) & both).sum(axis=0), ((b == 1) & both).sum(axis=0)
    least = np.minimum(het1, het2)
    return (hethet - 2 * ibs0.sum(axis=0)) / (2 * least) + 0.5 - 0.25 * (het1 + het2) / least


# ---------------------------------------------------------------- kernels


def meioses_of(rng):
    """Two founders, two children, a grandchild of these by chance: ten haplotypes."""
    parent = np.array([-1, -1, -1, -1, 0, 1, 0, 1, 2, 3])
    crossovers = [[], [], [], [], [10, 40], [25], [], [7, 8, 90], [40, 41, 60], [1, 99]]
    last = np.cumsum([len(x) for x in crossovers])
    return Meioses(
        parent,
        np.array([0, 1, 2, 3, *([-1] * 6)], dtype=np.int32),
        rng.integers(0, 2, 10).astype(np.uint8),
        last - [len(x) for x in crossovers],
        last,
        np.concatenate(crossovers).astype(np.int32),
    )


@pytest.mark.kernel
def test_genes_are_dropped_as_by_the_oracle():
    positions = np.arange(1, 105)
    for seed in range(3):
        meioses = meioses_of(np.random.default_rng(seed))
        room = np.full(10, 20)
        first = np.cumsum(room) - room
        lines = Lines(first, np.full(200, END, np.int32), np.zeros(200, np.int32))
        drop_genes(meioses, lines)
        expected = slow.drop_genes(meioses, positions)
        sources = np.tile(np.arange(4, dtype=np.uint8), (positions.size, 1))  # each haplotype's allele is its number
        at, out = first.copy(), np.empty((positions.size, 10), dtype=np.uint8)
        for rows in (slice(0, 30), slice(30, None)):  # carried from call to call
            copy_segments(positions[rows], sources[rows], lines.ends, lines.sources, at, out[rows])
        assert np.array_equal(out, expected)
        assert np.array_equal(out, slow.copy_segments(positions, sources, lines.ends, lines.sources, first))


# ---------------------------------------------------------------- pedigrees and genotypes


def test_kinds_of_families_have_the_kinships_of_their_names():
    expected = {
        "duplicates": 0.5, "twins": 0.5, "parent_offspring": 0.25, "full_siblings": 0.25, "half_siblings": 0.125,
        "grandparent": 0.125, "avuncular": 0.125, "first_cousins": 0.0625,
    }  # fmt: skip
    found = {pair.relationship: pair.kinship for kind in KINDS for pair in related_pairs(kind)}
    assert found == expected
    assert len(related_pairs("three_generations")) == 3 * 2 + 2 * 4 + 2 * 4 + 2 * 2 - 1 + 1 + 4 + 4 - 5 + 2
    assert [samples_of(kind) for kind in KINDS] == [2, 2, 3, 2, 2, 2, 10]


def test_relatives_have_the_king_kinship_of_their_pedigree(cohort, codes):
    """Realised kinship of siblings differs by 0.02 (SD), that of cousins by 0.015; 6,000 variants in LD add about 0.03 to each pair."""
    for name, phi in (
        ("parent_offspring", 0.25),
        ("full_siblings", 0.25),
        ("half_siblings", 0.125),
        ("first_cousins", 0.0625),
    ):
        estimate = king(codes, *places(cohort, name))
        assert abs(estimate.mean() - phi) < 4 * 0.04 / np.sqrt(estimate.size) + 0.01, name
    assert (king(codes, *places(cohort, "duplicates")) > 0.49).all()  # calls differ where one is not observed
    rng = np.random.default_rng(0)
    home = cohort.samples["population"].to_numpy()
    one, other = rng.integers(0, 500, (2, 400))
    strangers = (cohort.samples["FID"].to_numpy()[one] != cohort.samples["FID"].to_numpy()[other]) & (
        home[one] == home[other]
    )
    unrelated = king(codes, one[strangers], other[strangers])
    assert abs(unrelated.mean()) < 0.01  # 200 pairs, 0.03 each


def test_realised_kinship_follows_the_genome(cohort, codes):
    table = cohort.realised_kinship()
    assert np.allclose(table.select("ibd0", "ibd1", "ibd2").sum_horizontal(), 1.0, atol=1e-12)  # shares of one count
    children = table.filter(pl.col("relationship") == "parent_offspring")
    assert (children["ibd1"] == 1.0).all()
    siblings = table.filter(pl.col("relationship") == "full_siblings")
    # SD 0.036 of IBD sharing over the human genome (Visscher et al. 2006), so 0.018 of kinship; 68 pairs
    assert 0.012 < siblings["realised_kinship"].std() < 0.026
    where = {name: i for i, name in enumerate(cohort.sample_ids)}
    one, other = ([where[name] for name in siblings[c]] for c in ("sample_id_1", "sample_id_2"))
    assert (
        np.corrcoef(king(codes, one, other), siblings["realised_kinship"])[0, 1] > 0.4
    )  # marker noise 0.03 beside 0.018


def test_children_carry_what_their_parents_have(cohort, codes):
    rows = cohort.samples.with_row_index("child").filter(
        pl.col("father").is_not_null() & pl.col("mother").is_not_null()
    )
    where = {name: i for i, name in enumerate(cohort.sample_ids)}
    assert rows.height >= 20
    for row in rows.iter_rows(named=True):
        father, mother, child = (codes[:, i] for i in (where[row["father"]], where[row["mother"]], row["child"]))
        seen = (father < 3) & (mother < 3) & (child < 3)
        low = (father == 2).astype(int) + (mother == 2)
        high = (father > 0).astype(int) + (mother > 0)
        assert ((child >= low) & (child <= high))[seen].all()
    sex = dict(zip(cohort.samples["IID"], cohort.samples["sex"]))
    assert {sex[name] for name in rows["father"]} == {1} and {sex[name] for name in rows["mother"]} == {2}


def test_sex_chromosomes_are_inherited_as_they_are(cohort):
    x, y = (
        np.concatenate([b.codes() for v, b in cohort.blocks() if v["chromosome"][0] == name]) for name in ("X", "Y")
    )
    sex = cohort.samples["sex"].to_numpy()
    assert not (x[:, sex == 1] == 1).any() and (x[:, sex == 2] == 1).any()
    assert (y[:, sex == 2] == 3).all() and not (y == 1).any()
    marks = next(b for v, b in cohort.blocks() if v["chromosome"][0] == "X").haploid
    assert np.array_equal(np.unpackbits(marks[0], bitorder="little", count=500) > 0, sex == 1)
    where = {name: i for i, name in enumerate(cohort.sample_ids)}
    fathers = 0
    for child, row in enumerate(cohort.samples.iter_rows(named=True)):
        if row["mother"] and row["sex"] == 1:
            mother = x[:, where[row["mother"]]]
            both = (mother < 3) & (x[:, child] < 3)
            assert (np.abs(x[:, child].astype(int) - mother)[both] < 2).all()
        if row["father"]:
            father = where[row["father"]]
            both = (y[:, father] < 3) & (y[:, child] < 3)
            assert np.array_equal(y[both, father], y[both, child]) if row["sex"] == 1 else not both.any()
            both = (x[:, father] < 3) & (x[:, child] < 3)
            if row["sex"] == 2:
                assert (np.abs(x[:, child].astype(int) - x[:, father])[both] < 2).all()
                fathers += 1
    assert fathers > 5


def test_populations_differ_by_the_fst_asked(cohort, codes):
    home = cohort.samples["population"].to_numpy()
    parts = []
    for k in (1, 2):
        some = codes[:, home == k]
        n = 2 * (some < 3).sum(axis=1)
        parts.append((np.where(some == 3, 0, some).sum(axis=1) / n, n))
    (p, n), (q, m) = parts
    numerator = (p - q) ** 2 - p * (1 - p) / (n - 1) - q * (1 - q) / (m - 1)
    fst = numerator.sum() / (p * (1 - q) + q * (1 - p)).sum()  # Hudson, as a ratio of sums (Bhatia et al. 2013)
    # (0.02 + 0.1) / 2; relatives make samples fewer than their number, which adds at most 0.003
    assert abs(fst - 0.06) < 0.008


def test_linkage_falls_with_distance():
    made = ga.simulate_families(
        600, 4000, families=0.0, fst=(0.0,), seed=2, n_chromosomes=1, min_frequency=0.05, ld_length=1e6
    )
    codes = codes_of(made, "1").astype(float)
    position = made.variants["base_pair_location"].to_numpy()
    keep = np.flatnonzero((codes < 3).all(axis=1) & (codes.mean(axis=1) > 0.6) & (codes.mean(axis=1) < 1.4))[:700]
    r2 = np.corrcoef(codes[keep]) ** 2
    apart = np.abs(position[keep][:, None] - position[keep])
    means = [r2[(apart > low) & (apart <= high)].mean() for low, high in ((0, 5e4), (3e5, 6e5), (1e6, 2e6), (2e7, 6e7))]
    assert means == sorted(means, reverse=True)
    # at 25 kb the latent correlation is 0.98 (r of alleles of 1/2: 2/pi asin = 0.86, less where frequencies differ)
    assert means[0] > 0.4 and means[2] < 0.2
    assert means[3] < 3 / 600 + 0.002  # 1/N, and founders of whom some share a haplotype of the pool


# ---------------------------------------------------------------- traits


def test_traits_have_the_shares_asked(cohort):
    people, genetic = cohort.phenotypes, cohort.genetic_values
    assert abs(genetic["height"].var(ddof=0) - 0.4) < 1e-9  # scaled to it
    # the rest is independent of it: correlation of two unrelated columns of 500, and of few duplicates
    assert abs(people["height"].var() - 1.0) < 0.2
    assert abs(np.cov(people["height"], genetic["height"])[0, 1] - 0.4) < 4 * np.sqrt(0.4 * 0.6 / 500)
    disease = people["disease"].drop_nulls()
    assert people["disease"].null_count() > 5 and abs(disease.mean() - 1 / 21) < 0.02
    assert abs(people["relapse"].mean() - 0.2) < 0.005 and (people["relapse_time"] > 0).all()
    causal = cohort.truth.filter(pl.col("trait") == "disease")  # without the few that have drifted away
    assert 25 < causal.height <= 30 and set(causal["chromosome"]) <= {"1", "3"}
    risk = genetic["disease"].to_numpy()
    known = people["disease"].is_not_null().to_numpy()
    case = people["disease"].to_numpy() == 1
    assert stats.ttest_ind(risk[known & case], risk[known & ~case]).statistic > 3
    event = people["relapse"].to_numpy() == 1
    assert stats.ttest_ind(genetic["relapse"].to_numpy()[event], genetic["relapse"].to_numpy()[~event]).statistic > 3


def test_effects_of_variants_add_up_to_the_genetic_values(cohort):
    complete = np.concatenate([c for sites in cohort.genotypes.sites[:22] for _, c in cohort.genotypes.runs_of(sites)])
    place = {name: v for v, name in enumerate(cohort.variants["variant_id"])}
    for trait in ("height", "disease", "relapse"):
        effects = cohort.truth.filter(pl.col("trait") == trait)
        total = effects["effect"].to_numpy() @ complete[[place[name] for name in effects["variant_id"]]].astype(float)
        # sums of up to 5,000 products in single precision
        assert np.allclose(total - total.mean(), cohort.genetic_values[trait], atol=1e-4)


def test_samples_of_one_person_have_one_phenotype_and_twins_two(cohort):
    for name, same in (("duplicates", True), ("twins", False)):
        one, other = places(cohort, name)
        for column in ("height", "relapse_time", "age"):
            values = cohort.phenotypes[column].to_numpy()
            assert (values[one] == values[other]).all() == same, (name, column)


# ---------------------------------------------------------------- the whole


def test_same_arguments_same_cohort_also_as_a_store(cohort, tmp_path):
    small = {"families": 0.5, "fst": (0.0, 0.02), "seed": 3, "x_variants": 20, "traits": {"y": ga.SimulatedTrait()}}
    a, b, c = (ga.simulate_families(60, 300, **small | changed) for changed in ({}, {}, {"seed": 4}))
    assert a.phenotypes.equals(b.phenotypes) and not a.phenotypes.equals(c.phenotypes)
    store = a.write_store(tmp_path / "a.zarr")
    drawn = np.concatenate([block.codes() for _, block in b.blocks()])
    assert np.array_equal(store.read(0, store.n_variants).codes(), drawn)
    assert (
        store.variants()
        .select("chromosome", "base_pair_location", "rsid")
        .equals(a.variants.select("chromosome", "base_pair_location", "rsid"))
    )
    joined = ga.Cohort.align(store, a.phenotypes, sex="sex")
    assert joined.n_samples == 60 and not any("sex_conflict" in str(x) for x in joined.ledger["reason"])


def test_runs_do_not_change_the_common_calls(monkeypatch):
    from genassoc.simulate import inheritance

    made = ga.simulate_families(40, 300, n_chromosomes=2, families=0.5, min_frequency=0.05, missing_rate=0.0, seed=1)
    whole = codes_of(made, "1", "2")
    monkeypatch.setattr(inheritance, "_RUN_BYTES", 1)
    assert made.genotypes.run_variants == 16
    assert np.array_equal(codes_of(made, "1", "2"), whole)


@pytest.mark.parametrize("shape", [(2, 1, 1), (10, 22, 22), (33, 500, 3)])
def test_toy_sizes(shape):
    n, v, k = shape
    made = ga.simulate_families(n, v, n_chromosomes=k, families=0.0 if n == 2 else 0.4, fst=(0.05,))
    assert codes_of(made, *AUTOSOMES).shape == (v, n)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"n_samples": 1}, "n_samples"),
        ({"n_chromosomes": 23}, "n_chromosomes"),
        ({"n_variants": 2}, "n_variants"),
        ({"families": 1.5}, "families"),
        ({"families": {"uncles": 3}}, "uncles"),
        ({"families": {"trios": 40}}, "need 120 samples"),
        ({"fst": ()}, "fst"),
        ({"fst": (1.0,)}, "fst"),
        ({"shares": (0.5, 0.4)}, "shares"),
        ({"admixed": 2.0}, "admixed"),
        ({"missing_rate": 0.7}, "missing_rate"),
        ({"min_frequency": 0.7}, "min_frequency"),
        ({"ld_length": 0.0}, "ld_length"),
        ({"x_variants": -1}, "x_variants"),
        ({"traits": {"y": ga.SimulatedTrait(chromosomes=("X",))}}, "chromosomes"),
        ({"traits": {"y": ga.SimulatedTrait(n_causal=10_000)}}, "causal"),
        ({"traits": {"sex": ga.SimulatedTrait()}}, "sex"),
        ({"traits": {"a": ga.SimulatedTrait(kind="time_to_event"), "a_time": ga.SimulatedTrait()}}, "a_time"),
    ],
)
def test_arguments_out_of_range_are_named(changed, word):
    with pytest.raises(ValueError, match=word):
        ga.simulate_families(**{"n_samples": 100, "n_variants": 200, "n_chromosomes": 3} | changed)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"kind": "count"}, "kind"),
        ({"chromosomes": "12"}, "tuple of names"),
        ({"h2": 0.8, "stratification": 0.3}, "h2"),
        ({"censored": 1.0}, "censored"),
        ({"n_causal": 0}, "n_causal"),
    ],
)
def test_traits_out_of_range_are_named(changed, word):
    with pytest.raises(ValueError, match=word):
        ga.SimulatedTrait(**changed)


def test_traits_without_heritability_have_no_effects():
    made = ga.simulate_families(
        60, 300, traits={"y": ga.SimulatedTrait(h2=0.0), "z": ga.SimulatedTrait(kind="binary", h2=0.0)}
    )
    assert made.truth.is_empty() and made.genetic_values.select("y", "z").sum().row(0) == (0.0, 0.0)
    assert made.phenotypes["y"].n_unique() > 50 and made.phenotypes["z"].sum() == 30


def test_a_share_of_the_samples_is_spread_over_all_kinds():
    chosen = numbers_of_families(0.7, 1000)
    sizes = {kind: number * samples_of(kind) for kind, number in chosen.items()}
    assert set(chosen) == set(KINDS) and all(90 < size <= 100 for size in sizes.values())
