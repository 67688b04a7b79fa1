"""The benchmarks on relatives and ancestry at toy size: intervals, comparisons that must notice, cells that run from cohort to table."""

import dataclasses
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import chi2

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import agreement_structure as agree
import calibration_structure as calibration
import speed
import speed_cohort
import structure_tables as tables
import whole_genome_cost as cost

import genassoc as ga

# Intervals ---------------------------------------------------------------------------------------------------------


def test_limits_of_counts_are_poissons_where_nothing_hangs_together():
    found, tests = np.array([2, 2, 2, 2]), np.full(4, 1000)
    ratio, low, high = tables.size_interval(found, tests, 1e-3)
    # Garwood's exact limits of a Poisson count of 8, of which 4 are expected
    assert ratio == 2.0
    assert (low, high) == pytest.approx((chi2.ppf(0.025, 16) / 8, chi2.isf(0.025, 18) / 8))
    wide = tables.size_interval(np.array([0, 8, 0, 0]), tests, 1e-3)
    assert wide[0] == 2.0 and wide[1] < low and wide[2] > high
    assert tables.size_interval(np.zeros(4), tests, 1e-3)[:2] == (0.0, 0.0)
    several = tables.size_interval(found, tests, 1e-3, 10)
    assert several[1] < low and several[2] > high


def test_the_interval_of_a_mean_covers_it():
    rng = np.random.default_rng(4)
    inside = [(found := tables.mean_interval(rng.normal(1.0, 0.1, 12)))[1] <= 1.0 <= found[2] for _ in range(2000)]
    assert abs(np.mean(inside) - 0.95) < 0.02  # 2,000 draws: four standard errors are 0.0195
    bounds = [tables.replicate_interval(rng.normal(1.0, 0.1, 12)) for _ in range(2000)]
    one = rng.normal(1.0, 0.1, 2000)
    assert abs(np.mean([low <= x <= high for (low, high), x in zip(bounds, one)]) - 0.95) < 0.02


def test_a_table_says_which_methods_are_off(tmp_path):
    def counts(level, loci):
        draws = np.random.default_rng(1).normal(level, 0.01, 20)
        return {
            "lambda": list(draws),
            "tests": [1000] * 20,
            "found": [[10, 1, 0]] * 20,
            "loci": [loci] * 20,
            "seconds": 1.0,
        }

    cohort = {
        "plain": counts(1.3, 1),
        "plain + PCs": counts(1.2, 2),
        "ridge": counts(1.0, 3),
        "permuted": counts(1.0, 0),
    }
    settings = {"samples": 100, "variants": 50, "traits": 20}
    state = {"toy": {"settings": settings, "cohorts": {"0": cohort}}}
    lines = tables.table(state)
    assert len(lines) == 6
    assert "**1.3" in lines[2] and lines[4].startswith("|  | ridge | 1.0") and "60 (+50 %)" in lines[4]
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    tables.put(lines, page)
    text = page.read_text()
    assert "old" not in text and text.startswith("before\n") and text.endswith("after\n") and lines[2] in text
    tables.put(lines, page)
    assert page.read_text() == text


def test_loci_are_counted_by_their_place():
    truth = pl.DataFrame({"chromosome": ["1", "1", "3"], "base_pair_location": [1_000_000, 9_000_000, 1_000_000]})
    hits = pl.DataFrame({"chromosome": ["1", "1", "2"], "base_pair_location": [1_400_000, 1_500_000, 1_000_000]})
    assert calibration._loci(hits, truth) == 1
    assert calibration._loci(hits.head(0), truth) == 0


# Comparisons -------------------------------------------------------------------------------------------------------


def test_components_that_turn_are_the_same_and_others_are_not(tmp_path):
    rng = np.random.default_rng(2)
    a = rng.normal(size=(50, 2))
    names = [f"S{i}" for i in range(50)]

    def written(path, scores, key):
        table = pl.DataFrame({key: names} | {f"PC{k + 1}": scores[:, k] for k in range(2)})
        if path.suffix == ".parquet":
            table.write_parquet(path)
        else:
            table.sample(fraction=1, shuffle=True, seed=1).write_csv(path, separator="\t")
        return path

    ours = written(tmp_path / "a.parquet", a, "sample_id")
    turned = a @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 3.0
    assert agree.compare_components(ours, written(tmp_path / "b.tsv", turned, "IID")).ok
    turned[:, 1] += 0.3 * rng.normal(size=50)
    assert not agree.compare_components(ours, written(tmp_path / "c.tsv", turned, "IID")).ok


def test_pairs_that_differ_or_are_missing_are_noticed(tmp_path):
    ours = pl.DataFrame({"sample_id_1": ["a", "c"], "sample_id_2": ["b", "d"], "kinship": [0.25, 0.1]})
    ours.write_parquet(tmp_path / "ours.parquet")

    def theirs(pairs):
        lines = [f"{a}\t{a}\t{b}\t{b}\t{k}" for a, b, k in pairs]
        path = tmp_path / "theirs.tsv"
        path.write_text("\n".join(["#FID1\tIID1\tFID2\tIID2\tKINSHIP", *lines]) + "\n")
        return path

    compare = lambda pairs: agree.compare_kinship(tmp_path / "ours.parquet", theirs(pairs)).ok  # noqa: E731
    assert compare([("b", "a", 0.25), ("c", "d", 0.1)])
    assert not compare([("b", "a", 0.2501), ("c", "d", 0.1)])
    assert not compare([("b", "a", 0.25)])
    assert not compare([("b", "a", 0.25), ("c", "d", 0.1), ("e", "f", 0.1)])


def test_predictions_are_compared_by_chromosome(tmp_path):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 30))

    def loco(name, rows, order):
        ids = [f"S{i:02d}_S{i:02d}" for i in range(30)]
        lines = [" ".join(["FID_IID", *(ids[i] for i in order)])]
        lines += [" ".join([str(c + 1), *(f"{row[i]:.6g}" for i in order)]) for c, row in enumerate(rows)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
        return tmp_path / name

    ours = loco("a.loco", values, range(30))
    compare = agree.compare_predictions(0.9, "why")
    assert compare(ours, loco("b.loco", 3 * values + 0.1 * rng.normal(size=(2, 30)), rng.permutation(30))).ok
    assert not compare(ours, loco("c.loco", values[::-1], range(30))).ok


def test_the_largest_r2_is_numpys(tmp_path):
    made = ga.simulate_cohort(60, 100, 1, seed=3, missing_rate=0.05, min_frequency=0.005)
    from genassoc.data.store.writer import write_store

    write_store(
        tmp_path / "s.zarr", made.sample_ids, (block for _, block in made.blocks()), made.variants.drop("variant_id")
    )
    codes = np.concatenate([block.codes() for _, block in made.blocks()]).astype(float)
    codes[codes == 3] = np.nan
    at = made.variants["base_pair_location"].to_numpy()
    window = int(np.median(np.diff(at))) * 20
    largest = 0.0
    for i in range(100):
        for j in range(i):
            both = ~np.isnan(codes[i]) & ~np.isnan(codes[j])
            x, y = codes[i][both], codes[j][both]
            if at[i] - at[j] <= window and x.std() > 0 and y.std() > 0:
                largest = max(largest, np.corrcoef(x, y)[0, 1] ** 2)
    assert agree.largest_r2(tmp_path / "s.zarr", made.variants["rsid"].to_list(), window) == pytest.approx(
        largest, abs=1e-9
    )


# Rows --------------------------------------------------------------------------------------------------------------


def measured(keys, work, wanted):
    outcomes, _ = speed.measure(speed_cohort.TOY_FAMILIES, keys, work, 1, 1, wanted, warm=False)
    for outcome in outcomes:
        assert outcome.costs["genassoc"].whole.cpu > 0
        for tool, why in outcome.absent.items():
            raise AssertionError((outcome.row.key, tool, why))
        for tool, found in outcome.agreement.items():
            assert found.ok, (outcome.row.key, tool, found.text)
    return outcomes


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("structure")


@pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not on PATH")
@pytest.mark.integration
def test_rows_beside_plink2_agree(work):
    measured(["prune", "kinship", "pca"], work, ("plink2",))
    measured(["step1-1"], work, ())
    if shutil.which("gemma") is not None and shutil.which("plink1.9") is not None:
        measured(["mixed"], work, ("gemma",))


# Cost --------------------------------------------------------------------------------------------------------------


def test_pieces_are_timed_and_the_model_adds_them_up():
    model = cost.measure((300, 600), 40, 1)
    assert model.decode > 0 and model.gram >= 0 and model.block == 40
    whole = cost.Model(1e-9, 2.0, 1e-3, 1e-5, 0.1, 1e-12, 1e-13, 1000)
    seconds = whole.seconds(1000, 10_000, 3)
    # ten blocks, one pass: 3 traits x 10 x 50 kB are held
    assert cost.passes_of(1000, 10_000, 3, 1000) == 1
    assert list(seconds.values()) == pytest.approx(
        [
            1e-9 * 1e7,
            1e-3 * 1000 * 10,
            (2.0 + 0.3) * 10,
            1e-5 * 1000 * 10 * 3,
            1e-12 * 1000 * 50**2 * 3,
            1e-13 * 25 * 50**3 * 3,
        ]
    )
    # 4 bytes x 5 penalties x 400,000 samples x 500 blocks are more than what is held: a pass a trait
    assert cost.held(400_000, 500_000, 1000) == 4_000_000_000
    assert cost.passes_of(400_000, 500_000, 50, 1000) == 50
    assert len(cost.table(whole, 1000, 10_000, (1, 50))) == 9 and len(cost.memory(1000, 10_000, 50, 1000)) == 2


def test_a_whole_fit_is_timed_beside_the_model():
    whole = cost.Model(1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 40)
    (line,) = cost.check(whole, 120, 200, 2)
    assert line.startswith("A whole fit of 120 samples x 200 variants x 2 traits: ") and "the model says 0.0" in line


# Cells -------------------------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize(
    "key", ["quantitative, sparse, 3000", "binary 1:20, sparse, 10000", "Cox 90 % censored, sparse, 10000"]
)
def test_a_cell_runs_from_its_cohort_to_the_table(monkeypatch, tmp_path, key):
    toy = dataclasses.replace(calibration.CELLS[key], samples=300, variants=400, chromosomes=3, traits=2)
    if toy.causal is not None:
        toy = dataclasses.replace(toy, causal=4)
    monkeypatch.setattr(calibration, "CELLS", {key: toy})
    path = tmp_path / "counts.json"
    state = calibration.run(path, 1, 10, "*")
    found = state[key]["cohorts"]["0"]
    assert set(found) == {*toy.methods, calibration.CONTROL}
    for name, counts in found.items():
        assert np.isfinite(counts["lambda"]).all() and len(counts["lambda"]) == 2, name
        assert min(counts["tests"]) > 50, name  # of some 130 variants of chromosome 2 most are above 1 %
        assert ("loci" in counts) == (toy.power and name not in (calibration.CONTROL, "LinearMixed"))
    before = path.read_bytes()
    assert calibration.run(path, 1, 10, "*") == json.loads(before) and path.read_bytes() == before
    assert len(tables.table(state)) == 2 + len(found)
