"""Kinship: PLINK 2's and KING's numbers, the truth of simulated families, the same bytes however it is run."""

import re
import shutil
import subprocess
import warnings

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from oracles import kinship as oracle
from real_data import real_data

import genassoc as ga
from genassoc.analyses.kinship import pairs as kinship_pairs
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.engine.parts import WorkFolder
from genassoc.errors import InputError, KinshipWarning, PlanError
from genassoc.verbs import kinship as verb
from genassoc.verbs.stores import whole_store

plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
FAMILIES = {"duplicates": 3, "twins": 3, "trios": 20, "siblings": 30, "half_siblings": 15, "cousins": 15}


@pytest.fixture(scope="module")
def made():
    """600 samples of one population, three tiles, families of all kinds, 2 % of calls missing."""
    return ga.simulate_families(600, 6000, seed=3, families=FAMILIES, missing_rate=0.02, min_frequency=0.05)


@pytest.fixture(scope="module")
def store(made, tmp_path_factory):
    return made.write_store(tmp_path_factory.mktemp("families") / "s.zarr")


@pytest.fixture(scope="module")
def everything(store):
    with pytest.warns(KinshipWarning, match="by chance"):
        return ga.kinship(whole_store(store), min_kinship=None, executor=ga.Serial())


def codes_of(store):
    return store.read(0, store.n_variants).codes()


def store_of(tmp_path, codes, name="t.zarr", contigs=None):
    table = snv_table(len(codes))
    if contigs is not None:
        table = table.with_columns(chromosome=pl.Series(contigs))
    path = tmp_path / name
    write_store(path, [f"S{i}" for i in range(codes.shape[1])], [GenotypeBlock.from_codes(codes)], table)
    return ga.open_store(path)


# peers ------------------------------------------------------------------------------------------------------


@plink2
@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::genassoc.errors.KinshipWarning")
def test_numbers_are_those_of_plink2(store, tmp_path):
    # Where there are rare variants, 2.00a3.5 counts NSNP one too large in a few pairs; `test_all_pairs_are_the_oracles` has them all.
    common = ga.variants.maf_above(0.1)
    everything = ga.kinship(whole_store(store).keep_variants(common), min_kinship=None)
    ga.export(store, tmp_path / "p.bed", keep=common)
    command = ["plink2", "--bfile", "p", "--make-king-table", "counts", "--out", "k", "--threads", "1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs = pl.read_csv(tmp_path / "k.kin0", separator="\t", infer_schema_length=None)
    theirs = theirs.rename({"IID1": "sample_id_2", "IID2": "sample_id_1"})  # they put the later sample first
    both = everything.join(theirs, on=["sample_id_1", "sample_id_2"])
    assert both.height == everything.height == theirs.height == 600 * 599 // 2
    assert (both["n_variants"] == both["NSNP"]).all()
    for ours, name in (("hethet", "HETHET"), ("ibs0", "IBS0")):
        assert ((both[ours] * both["n_variants"]).round() == both[name]).all()
    assert (both["kinship"] - both["KINSHIP"]).abs().max() < 1e-6  # they print six digits


@plink2
@pytest.mark.integration
def test_relatives_of_real_genomes_are_those_of_plink2(tmp_path):
    prefix = real_data("kg-genome") / "1000G.subset.22"
    command = ["plink2", "--bfile", str(prefix), "--make-king-table", "counts", "--out", "k", "--threads", "1"]
    subprocess.run([*command, "--king-table-filter", "0.0442"], cwd=tmp_path, check=True, capture_output=True)
    theirs = pl.read_csv(tmp_path / "k.kin0", separator="\t", schema_overrides={"IID1": pl.String, "IID2": pl.String})
    store = ga.convert(prefix.with_name(prefix.name + ".bed"), tmp_path / "kg.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KinshipWarning)  # one chromosome
        ours = ga.kinship(whole_store(store))
    both = ours.join(theirs.rename({"IID1": "sample_id_2", "IID2": "sample_id_1"}), on=["sample_id_1", "sample_id_2"])
    # one near the bound may be there and not here by their rounding
    assert both.height >= max(ours.height, theirs.height) - 1 > 0
    assert ((both["ibs0"] * both["n_variants"]).round() == both["IBS0"]).all()
    assert (both["kinship"] - both["KINSHIP"]).abs().max() < 1e-6


# the truth --------------------------------------------------------------------------------------------------


def test_relationships_are_those_of_the_families(made, store, everything):
    truth = made.relatives.select(
        "sample_id_1", "sample_id_2", pl.col("relationship").alias("truth"), pl.col("kinship").alias("true")
    )
    order = {name: i for i, name in enumerate(store.sample_ids)}
    swap = truth["sample_id_1"].replace_strict(order) > truth["sample_id_2"].replace_strict(order)
    truth = truth.with_columns(
        sample_id_1=pl.when(swap).then("sample_id_2").otherwise("sample_id_1"),
        sample_id_2=pl.when(swap).then("sample_id_1").otherwise("sample_id_2"),
    )
    both = everything.join(truth, on=["sample_id_1", "sample_id_2"])
    assert both.height == truth.height
    duplicates = both.filter(pl.col("true") == 0.5)
    assert duplicates.height == 6 and (duplicates["relationship"] == "duplicate").all()
    half = both.filter(pl.col("true") == 0.125)
    # realised sharing has a standard deviation of 0.02 about 0.125, the estimate 0.014; the bounds are 0.088 and 0.177
    assert half.height == 15 and half["relationship"].is_in(["second_degree", "third_degree"]).all()
    assert abs(half["kinship"].mean() - 0.125) < 3 * 0.025 / 15**0.5
    first = both.filter(pl.col("true") == 0.25)
    parents = first.filter(pl.col("truth").str.contains("parent"))
    assert parents.height >= 40 and (parents["relationship"] == "parent_offspring").all()
    siblings = first.filter(~pl.col("truth").str.contains("parent"))
    assert siblings.height >= 30 and (siblings["relationship"] == "full_siblings").mean() > 0.95
    unrelated = everything.join(truth, on=["sample_id_1", "sample_id_2"], how="anti")
    assert (unrelated["relationship"] == "unrelated").mean() > 0.999
    # The smaller of two numbers of heterozygotes is divided by: what is expected is a little below 0, most where LD spreads these.
    assert -0.03 < unrelated["kinship"].mean() < 0


def test_the_standard_error_is_the_spread_of_unrelated_pairs():
    rng = np.random.default_rng(5)
    p = rng.beta(1, 2, 3000)[:, None]
    codes = rng.binomial(2, p, (3000, 300)).astype(np.uint8)
    cohort = whole_store(MemoryStore(codes, [f"S{i}" for i in range(300)], block_variants=512))
    with pytest.warns(KinshipWarning, match="by chance") as warned:
        table = ga.kinship(cohort, min_kinship=None)
    counts = np.stack([(codes == code).sum(axis=1) for code in range(4)], axis=1)
    of = kinship_pairs.Frequencies.of(counts)
    # 45,000 pairs, which share samples
    assert table["kinship"].std() == pytest.approx(of.standard_error, rel=0.05)
    # the smaller of two numbers of heterozygotes shifts the estimate, here by half a standard error
    assert table["kinship"].mean() == pytest.approx(of.unrelated_kinship, rel=0.1)
    said = re.search(r"about ([\d,]+) pairs", str(warned[0].message))
    # a normal's tail at nearly three standard errors; estimates are skewed to the left (-0.1 to -0.2), so that it is said to be the most:
    # over four seeds 35 to 102 pairs are found, and 181 to 191 are said
    found = int((table["kinship"] >= kinship_pairs.THIRD_DEGREE).sum())
    assert found < int(said[1].replace(",", "")) < 8 * found


# how it is run ----------------------------------------------------------------------------------------------


def test_all_pairs_are_the_oracles(store, everything):
    codes = codes_of(store)
    het, ref, alt, missing = (code == codes.T for code in (1, 0, 2, 3))
    n = (~missing).astype(float) @ (~missing).T.astype(float)
    both = het.astype(float) @ het.T
    ibs0 = ref.astype(float) @ alt.T + alt.astype(float) @ ref.T
    i, j = np.triu_indices(600, 1)
    assert everything["sample_id_1"].to_list() == store.sample_ids[i].tolist()
    assert everything["sample_id_2"].to_list() == store.sample_ids[j].tolist()
    np.testing.assert_array_equal(everything["n_variants"], n[i, j])
    np.testing.assert_array_equal(everything["hethet"], both[i, j] / n[i, j])
    np.testing.assert_array_equal(everything["ibs0"], ibs0[i, j] / n[i, j])


def test_the_same_table_whatever_the_blocks_threads_and_memory(made, store, everything, tmp_path, monkeypatch):
    related = everything.filter(pl.col("kinship") >= kinship_pairs.THIRD_DEGREE)
    other = tmp_path / "other.zarr"
    write_store(other, list(store.sample_ids), [store.read(0, store.n_variants)], store.variants(), block_variants=257)
    cohort = whole_store(ga.open_store(other))
    outs = [tmp_path / f"{k}.parquet" for k in range(3)]
    verb.kinship_to_file(cohort, outs[0], executor=ga.Serial())
    monkeypatch.setattr(verb, "_IN_MEMORY", 0)  # calls lie in a file
    verb.kinship_to_file(cohort, outs[1], executor=ga.Threads(3))
    with pytest.warns(KinshipWarning):
        in_memory = ga.kinship(whole_store(store))
    verb.kinship_to_file(whole_store(store), outs[2])
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()
    assert in_memory.equals(related) and pl.read_parquet(outs[0]).equals(related)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.parquet", "1.parquet", "2.parquet", "other.zarr"]


@pytest.mark.integration
def test_the_same_bytes_on_dask(store, tmp_path, monkeypatch, everything):
    from distributed import Client, LocalCluster

    verb.kinship_to_file(whole_store(store), tmp_path / "a.parquet", executor=ga.Serial())
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        verb.kinship_to_file(whole_store(store), tmp_path / "b.parquet", executor=ga.Dask(client))
        monkeypatch.setattr(verb, "_IN_MEMORY", 0)  # workers find the calls in the work folder
        verb.kinship_to_file(whole_store(store), tmp_path / "c.parquet", executor=ga.Dask(client))
        with pytest.raises(InputError, match="more than workers are sent"):
            ga.kinship(whole_store(store), executor=ga.Dask(client))
    outs = [(tmp_path / f"{name}.parquet").read_bytes() for name in "abc"]
    assert outs[0] == outs[1] == outs[2]


def test_a_killed_run_carries_on_from_its_parts(store, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.tsv", tmp_path / "killed.tsv"
    verb.kinship_to_file(whole_store(store), whole)
    done: list[int] = []
    compute = verb.pairs_of_tiles

    def dies(calls, row, *rest):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(row)
        return compute(calls, row, *rest)

    monkeypatch.setattr(verb, "pairs_of_tiles", dies)
    with pytest.raises(KeyboardInterrupt):
        verb.kinship_to_file(whole_store(store), out, executor=ga.Serial())
    assert not out.exists() and len([*WorkFolder.beside(out).path.glob("part-*")]) == 2
    with pytest.raises(PlanError, match="another run"):
        verb.kinship_to_file(whole_store(store), out, min_kinship=0.2)
    done.clear()
    verb.kinship_to_file(whole_store(store), out, executor=ga.Serial())
    assert done == [2]
    assert out.read_bytes() == whole.read_bytes()
    assert not WorkFolder.beside(out).path.exists()


def test_alleles_may_change_places_and_samples_their_order(store, everything):
    codes = codes_of(store)
    rng = np.random.default_rng(1)
    swapped = np.where(rng.random((len(codes), 1)) < 0.5, np.array([2, 1, 0, 3], np.uint8)[codes], codes)
    order = rng.permutation(600)
    other = MemoryStore(swapped[:, order], store.sample_ids[order], snv_table(len(codes)), block_variants=999)
    with pytest.warns(KinshipWarning):
        table = ga.kinship(whole_store(other), min_kinship=None)
    first, second = pl.col("sample_id_1"), pl.col("sample_id_2")
    names = [
        pl.min_horizontal(first, second).alias("sample_id_1"),
        pl.max_horizontal(first, second).alias("sample_id_2"),
    ]
    sides = [frame.with_columns(names).sort("sample_id_1", "sample_id_2") for frame in (table, everything)]
    assert sides[0].equals(sides[1])


def test_a_cohort_of_few_samples_is_that_of_all(store, everything):
    chosen = [str(name) for name in store.sample_ids[100:380:7]]
    cohort = whole_store(store).keep_samples(chosen)
    assert cohort.repacks
    few = ga.kinship(cohort, min_kinship=None)
    expected = everything.filter(pl.col("sample_id_1").is_in(chosen) & pl.col("sample_id_2").is_in(chosen))
    assert few.drop("relationship").equals(
        expected.drop("relationship")
    )  # frequencies differ: parents are told by these


# the quick one ----------------------------------------------------------------------------------------------


def test_related_pairs_of_a_block_are_those_of_the_table(store, everything):
    block = store.read(0, store.n_variants)
    pairs, relationships = kinship_pairs.related_pairs(block, np.arange(600), mapped=ga.Threads(2).map)
    expected = everything.filter(pl.col("kinship") >= kinship_pairs.SECOND_DEGREE)
    assert expected["sample_id_1"].to_list() == store.sample_ids[pairs.left].tolist()
    np.testing.assert_array_equal(pairs.kinship, expected["kinship"])
    assert [kinship_pairs.RELATIONSHIPS[k] for k in relationships] == expected["relationship"].to_list()


# adjusted for components ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def admixed():
    """500 samples between two populations far apart."""
    return ga.simulate_families(
        500, 8000, seed=11, families={"siblings": 40, "trios": 25, "cousins": 20}, fst=(0.15, 0.15), shares=(0.5, 0.5), admixed=1.0,
        min_frequency=0.02, missing_rate=0.01,
    )  # fmt: skip


def test_adjusted_kinship_is_the_oracles_and_near_the_truth_where_the_robust_one_is_not(admixed, tmp_path):
    store = admixed.write_store(tmp_path / "a.zarr")
    cohort = whole_store(store)
    components = admixed.samples.select("IID", "ancestry1")
    table = ga.kinship(cohort, min_kinship=None, components=components)
    i, j = np.triu_indices(500, 1)
    expected = oracle.adjusted(codes_of(store), components["ancestry1"].to_numpy()[:, None])
    # residuals and their products are float32, of which 8,000 are added up
    np.testing.assert_allclose(table["kinship_adjusted"], expected[i, j], rtol=0, atol=2e-5)
    assert table.drop("kinship_adjusted", "relationship").equals(
        ga.kinship(cohort, min_kinship=None).drop("relationship")
    )
    true = np.zeros((500, 500))
    order = {name: k for k, name in enumerate(store.sample_ids)}
    for one, two, kin in admixed.relatives.select("sample_id_1", "sample_id_2", "kinship").iter_rows():
        true[order[one], order[two]] = true[order[two], order[one]] = kin
    frame = table.with_columns(true=true[i, j])
    unrelated, first = frame.filter(pl.col("true") == 0), frame.filter(pl.col("true") == 0.25)
    assert (
        unrelated["kinship"].min() < -0.1
    )  # pairs of different ancestry: what KING-robust takes for less than nothing
    assert unrelated["kinship_adjusted"].abs().max() < 0.0884
    # each sample's own calls are in the regression: a bias of about -(1 + K) / 2N, here 0.002
    assert abs(unrelated["kinship_adjusted"].mean()) < 0.004
    # siblings' realised sharing has a standard deviation of 0.02
    assert (first["kinship_adjusted"] - 0.25).abs().mean() < 0.03
    cousins = frame.filter(pl.col("true") == 0.0625)
    assert abs(cousins["kinship_adjusted"].mean() - 0.0625) < 0.02
    listed = ga.kinship(cohort, min_kinship=0.1, components=components, executor=ga.Serial())
    wanted = table.filter((pl.col("kinship") >= 0.1) | (pl.col("kinship_adjusted") >= 0.1))
    assert listed.equals(wanted)


# bad input --------------------------------------------------------------------------------------------------


def test_what_cannot_be_compared_is_said(tmp_path, store):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (50, 20)).astype(np.uint8)
    one = whole_store(store_of(tmp_path, codes[:, :1], "one.zarr"))
    with pytest.raises(InputError, match="only one"):
        ga.kinship(one)
    on_x = whole_store(store_of(tmp_path, codes, "x.zarr", ["X"] * 50))
    with pytest.raises(InputError, match="on autosomes, and the store has none"):
        ga.kinship(on_x)
    same = whole_store(store_of(tmp_path, np.ones_like(codes), "same.zarr"))
    with pytest.warns(KinshipWarning):  # all are heterozygous: polymorphic, and told apart by nothing
        assert ga.kinship(same)["kinship"].to_list() == [0.5] * 190
    with pytest.raises(InputError, match="none of 50 variants differs"):
        ga.kinship(whole_store(store_of(tmp_path, np.zeros_like(codes), "ref.zarr")))
    with pytest.raises(InputError, match="no variant on an autosome is left"):
        ga.kinship(whole_store(store).keep_variants(pl.col("missing_rate") > 0.9))
    with pytest.raises(InputError, match=r"at most 0\.5"):
        ga.kinship(whole_store(store), min_kinship=0.7)
    with pytest.raises(InputError, match="no components of 599 of 600 samples"):
        ga.kinship(whole_store(store), components=pl.DataFrame({"IID": [store.sample_ids[0]], "PC1": [0.1]}))
    table = pl.DataFrame({"IID": store.sample_ids.tolist(), "PC1": [0.1] * 600})
    with pytest.raises(InputError, match="collinear"):
        ga.kinship(whole_store(store), components=table)
    with pytest.raises(InputError, match=r"PC1 of .* is no finite number"):
        ga.kinship(whole_store(store), components=table.with_columns(PC1=pl.lit(None, pl.Float64)))


def test_samples_without_a_heterozygous_call_are_named(tmp_path):
    codes = np.random.default_rng(2).integers(0, 3, (4000, 30)).astype(np.uint8)
    codes[codes[:, 7] == 1, 7] = 0
    codes[:, 9] = 3
    cohort = whole_store(store_of(tmp_path, codes))
    with pytest.warns(KinshipWarning, match="2 samples have no heterozygous call"):
        table = ga.kinship(cohort, min_kinship=None)
    assert table.height == 29 * 28 // 2  # nothing of S9 is observed
    assert (table["kinship"].is_null() == ((table["sample_id_1"] == "S7") | (table["sample_id_2"] == "S7"))).all()


def test_the_command(store, genassoc, tmp_path, everything):
    out = tmp_path / "kin.tsv"
    ids = tmp_path / "unrelated.txt"
    options = ["--min-kinship", "0.2", "--threads", 1, "--unrelated-out", ids]
    code, printed, _ = genassoc("kinship", store.path, "--out", out, *options)
    assert code == 0
    kept = ids.read_text().split()
    assert kept == whole_store(store).keep_unrelated(everything, 0.2).sample_ids.tolist()
    assert f"{ids}: {len(kept):,} samples of which no two have a kinship above 0.2" in printed and 500 < len(kept) < 560
    expected = everything.filter(pl.col("kinship") >= 0.2)
    assert f"{out}: {expected.height:,} pairs" in printed and "duplicate" in printed and "standard error" in printed
    read = pl.read_csv(out, separator="\t", schema_overrides={"sample_id_1": pl.String, "sample_id_2": pl.String})
    assert read.equals(expected)
    code, _, error = genassoc("kinship", store.path, "--out", tmp_path / "k.xyz")
    assert code == 1 and "Traceback" not in error and not [*tmp_path.glob("k.xyz*")]


def test_no_related_pair_is_a_table_without_rows(tmp_path, genassoc):
    codes = np.random.default_rng(3).integers(0, 3, (6000, 12)).astype(np.uint8)
    store = store_of(tmp_path, codes)
    code, printed, _ = genassoc("kinship", store.path, "--out", tmp_path / "k.parquet")
    assert code == 0 and "0 pairs listed" in printed
    assert pl.read_parquet(tmp_path / "k.parquet").height == 0
    assert whole_store(store).keep_unrelated(tmp_path / "k.parquet").n_samples == 12
