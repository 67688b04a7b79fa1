"""Every model on dosages: any steps a copy, probabilities of genotypes, whole rows as calls, haploids, refits by dense code."""

import pickle
from dataclasses import asdict, replace

import every_model
import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from memory_store import MemoryStore, snv_table

import genassoc as ga
from genassoc.data.block import X_OUTSIDE_PAR, DosageBlock, GenotypeBlock, Places
from genassoc.data.schema import DOSAGE_SUMS
from genassoc.data.store.arrays import Contents
from genassoc.data.store.writer import write_store
from genassoc.explanation.audit import tolerance_of
from genassoc.models.registry import kind_of
from genassoc.models.scan.genome import Scan
from genassoc.models.scan.sums import genotype_sums
from genassoc.refit.fits import NotFittedError
from genassoc.refit.refit import can_refit, needs_everybody, refit
from genassoc.refit.row_data import RowSource

STEPS = (255, 1000, 16384, 32767)


@pytest.fixture(scope="module")
def sample():
    return every_model.draw()


@pytest.fixture(scope="module")
def cohort(sample):
    return sample.cohort()


def rows_of(model, cohort, block, scan=True):
    """Columns by test, methods and codes by name, of a run along the genome."""
    around = Scan(model) if scan else model
    result = around.block(around.prepare(cohort), block)
    columns = {name: np.asarray(values) for name, values in result.columns.items()}
    for name, words in result.categories.items():
        columns[name] = np.array(words, dtype=object)[columns[name]]
    return {
        test: {name: values[:, j] for name, values in columns.items()} for j, test in enumerate(result.labels["test"])
    }


def ols(sample, H):
    """Coefficients, standard errors and degrees of freedom of H (n, D) beside the constant and x."""
    keep = ~np.isnan(H).any(axis=1)
    y, x = sample.table["q"].to_numpy()[keep], sample.table["x"].to_numpy()[keep]
    fit = sm.OLS(y, np.column_stack([np.ones(y.size), x, H[keep]])).fit()
    return fit.params[2:], fit.bse[2:], fit


@pytest.mark.parametrize("steps", STEPS)
def test_linear_on_any_steps_is_least_squares(sample, cohort, steps):
    rng = np.random.default_rng(steps)
    values = rng.integers(0, 2 * steps + 1, sample.codes.shape).astype(np.uint16)
    values[3, :7] = 65535
    block = DosageBlock(values, steps=steps)
    rows = rows_of(ga.Linear("q", ["x"]), cohort, block)["add"]
    for v in range(block.n_variants):
        g = block.dosages()[v]
        beta, error, _ = ols(sample, g[:, None])
        # float64 throughout: an unstable sum loses a few digits of sixteen.
        np.testing.assert_allclose([rows["beta"][v], rows["standard_error"][v]], [beta[0], error[0]], rtol=1e-9)
        assert rows["effect_allele_frequency"][v] == pytest.approx(np.nanmean(g) / 2, abs=1e-12)
        assert rows["mac"][v] == pytest.approx(min(np.nansum(g), np.nansum(2 - g)), abs=1e-9)


@pytest.mark.parametrize("family", list(every_model.FAMILIES))
def test_steps_do_not_matter(sample, cohort, family):
    """Fifths of a copy are whole in 255 and in 1000 steps."""
    d = np.round(sample.dosages * 5) / 5
    found = [
        rows_of(every_model.model(family, "plain"), cohort, DosageBlock.from_dosages(d, steps=steps))["add"]
        for steps in (255, 1000)
    ]
    assert found[0]["method"].tolist() == found[1]["method"].tolist()
    assert found[0]["code"].tolist() == found[1]["code"].tolist()
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        # 51 / 255 and 200 / 1000 are rounded to the same double, but sums are of other whole numbers.
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("cell", every_model.CELLS, ids=every_model.name_of)
def test_whole_rows_are_calls_to_the_bit(sample, cohort, cell):
    """Among others that are not; unsure genotypes with a whole dosage are none."""
    model, codes = every_model.model(*cell), sample.codes
    V = len(codes)
    whole = DosageBlock.from_dosages(
        np.where(codes == 3, np.nan, codes.astype(float)), steps=255, homozygous=(codes == 2).astype(float)
    )
    soft = DosageBlock.from_dosages(sample.dosages, steps=255, homozygous=sample.homozygous)
    mixed = replace(whole, values=whole.values.copy(), homozygous=whole.homozygous.copy())
    mixed.values[::3], mixed.homozygous[::3] = soft.values[::3], soft.homozygous[::3]
    unsure = 1
    mixed.homozygous[unsure, np.flatnonzero(codes[unsure] == 1)[0]] = 127  # a dosage of 1: as likely none as two
    assert np.flatnonzero(mixed.whole()).tolist() == [v for v in range(V) if v % 3 and v != unsure]
    scan = Scan(model)
    state = scan.prepare(cohort)
    hard, found, alone = (scan.block(state, b).columns for b in (GenotypeBlock.from_codes(codes), mixed, whole))
    for name, values in hard.items():
        assert alone[name].tobytes() == values.tobytes(), name
        assert found[name][mixed.whole()].tobytes() == values[mixed.whole()].tobytes(), name


def test_indicators_are_the_probabilities_of_their_genotypes(sample, cohort):
    block = sample.block(True, known=True)
    d, two = sample.dosages, sample.homozygous
    for name, test, indicator in (
        ("dominant", "dom", d - two),
        ("recessive", "rec", two),
        ("hetonly", "hetonly", d - 2 * two),
    ):
        rows = rows_of(ga.Linear("q", ["x"], genetic_model=name, min_mac=0), cohort, block)[test]
        assert not any(code == "approximate_genotypes" for code in rows["code"])
        for v in range(0, block.n_variants, 3):
            beta, error, _ = ols(sample, indicator[v][:, None])
            np.testing.assert_allclose([rows["beta"][v], rows["standard_error"][v]], [beta[0], error[0]], rtol=1e-8)


@pytest.mark.parametrize("family", list(every_model.FAMILIES))
def test_of_dosages_alone_indicators_are_approximate_and_say_so(sample, cohort, family):
    for name in ("dominant", "recessive", "hetonly"):
        (rows,) = rows_of(every_model.model(family, name), cohort, sample.block(True)).values()
        tested = np.isfinite(rows["neg_log_10_p_value"].astype(float))
        assert tested.sum() > 5
        assert all(code is not None for code in rows["code"][tested])
        assert (rows["code"][tested] == "approximate_genotypes").sum() > 5
    (rows,) = rows_of(every_model.model(family, "plain"), cohort, sample.block(True)).values()
    assert "approximate_genotypes" not in rows["code"]


def test_the_genotypic_model_is_of_the_dosage_and_the_probability_of_one_copy(sample, cohort):
    block = sample.block(True, known=True)
    rows = rows_of(ga.Linear("q", ["x"], genetic_model="genotypic", min_mac=0), cohort, block)
    binary = rows_of(
        ga.Logistic("y", ["x"], genetic_model="genotypic", min_mac=0, test="lrt", correction=None), cohort, block
    )
    y, x = (sample.table[name].to_numpy() for name in ("y", "x"))
    for v in range(5):
        H = np.column_stack([sample.dosages[v], sample.dosages[v] - 2 * sample.homozygous[v]])
        beta, error, fit = ols(sample, H)
        for test, k in (("add", 0), ("domdev", 1)):
            np.testing.assert_allclose(
                [rows[test]["beta"][v], rows[test]["standard_error"][v]], [beta[k], error[k]], rtol=1e-7
            )
        F = fit.f_test(np.eye(4)[2:])
        assert rows["geno_2df"]["statistic"][v] == pytest.approx(float(F.fvalue), rel=1e-7)
        X = np.column_stack([np.ones(y.size), x])
        full, null = (sm.Logit(y, D).fit(disp=0, tol=1e-12) for D in (np.column_stack([X, H]), X))
        assert binary["geno_2df"]["statistic"][v] == pytest.approx(2 * (full.llf - null.llf), rel=1e-6)
        assert binary["add"]["beta"][v] == pytest.approx(full.params[2], rel=1e-5)


@pytest.mark.parametrize("family", [family for family, axis in every_model.CELLS if axis == "genotypic"])
def test_genotypic_is_refused_without_probabilities(sample, cohort, family):
    model = every_model.model(family, "genotypic")
    with pytest.raises(ga.DosageError, match="read GP"):
        model.block(model.prepare(cohort), sample.block(True))
    store = MemoryStore(sample.codes, sample.table["IID"].to_list())
    sums = np.zeros((16, len(DOSAGE_SUMS)), np.int64)
    sums[:, DOSAGE_SUMS.index("observed")] = every_model.N
    sums[:3, DOSAGE_SUMS.index("known")] = every_model.N
    store.has_dosages = True
    store.dosage_steps = lambda start, stop: np.repeat(np.uint16([1000, 0]), 8)[start:stop]
    store.dosage_sums = lambda start, stop: sums[start:stop]
    with pytest.raises(ga.DosageError, match="5 variants of the store have dosages alone"):
        Scan(model).prepare(ga.Cohort.align(store, sample.table))
    if family == "linear":
        state = Scan(ga.Linear("q", genetic_model="recessive")).prepare(ga.Cohort.align(store, sample.table))
        assert any("5 variants have dosages without the probabilities" in note for note in state.notes)


@pytest.mark.parametrize("cell", every_model.CELLS, ids=every_model.name_of)
def test_rows_are_fitted_again_by_dense_code(sample, cohort, cell):
    """Exact tests are of whole alleles: no row of dosages has one."""
    model, block = every_model.model(*cell), sample.block(True, known=True)
    choices = {"kind": kind_of(model), **asdict(model)}
    source, n = RowSource(cohort, choices), 0
    for test, rows in rows_of(model, cohort, block).items():
        assert "exact" not in rows["method"]
        for v in np.flatnonzero(np.isfinite(rows["neg_log_10_p_value"].astype(float))):
            method = rows["method"][v]
            if not can_refit(source.about, test, method, choices) or rows["code"][v] in ("separated", "separation"):
                continue
            everybody = needs_everybody(source.about, method, choices)
            try:
                data = source.row(int(v), model.traits[0], block.take(np.array([v])), observed_only=not everybody)
                fit = refit(data, test, method, choices)
            except NotFittedError:
                continue
            allowed, n = tolerance_of(source.about, method, choices), n + 1
            logp = rows["neg_log_10_p_value"][v]
            assert abs(logp - fit.neg_log_10_p) <= allowed.neg_log_10_p * max(1.0, fit.neg_log_10_p), (test, v, method)
            if np.isfinite(fit.beta):
                scale = max(abs(fit.beta), fit.standard_error)
                assert abs(rows["beta"][v] - fit.beta) <= allowed.effect * scale, (test, v, method)
    assert n > 5


def test_alleles_of_a_record_are_tested_at_once(sample, cohort):
    model = ga.Linear("q", ["x"], alleles="joint", min_mac=0)
    scan, block = Scan(model), sample.block(True)
    columns = scan.sets(scan.prepare(cohort), block.take(np.array([1, 2, 4, 5])), 2).columns
    for row, pair in enumerate(([1, 2], [4, 5])):
        _, _, fit = ols(sample, sample.dosages[pair].T)
        assert columns["statistic"][row, 0] == pytest.approx(float(fit.f_test(np.eye(4)[2:]).fvalue), rel=1e-7)


def test_a_run_of_dosages_is_noted_audited_and_explained(sample, tmp_path):
    ids, variants = sample.table["IID"].to_list(), snv_table(len(sample.codes))
    write_store(tmp_path / "s.zarr", ids, [sample.block(True)], variants, contents=Contents(dosages=True))
    cohort = ga.Cohort.align(ga.open_store(tmp_path / "s.zarr"), sample.table)
    model = ga.Logistic("y", ["x"], genetic_model="dominant")
    results = ga.associate(cohort, model, out=tmp_path / "r.parquet", audit=30)
    assert any("16 variants have dosages without the probabilities" in note for note in results.provenance["notes"])
    assert "approximate_genotypes" in results.codes()["code"].to_list()
    audit = results.provenance["audit"]
    assert audit["passed"] and audit["rows"] > 10
    in_memory = rows_of(model, cohort, sample.block(True))["dom"]
    np.testing.assert_array_equal(results.table["neg_log_10_p_value"].to_numpy(), in_memory["neg_log_10_p_value"])
    told = str(ga.explain(results, "1_20_A_G", trait="y", cohort=cohort))
    assert "approximate_genotypes" in told and "gives the same row" in told
    with pytest.raises(ga.DosageError, match="16 variants of the store have dosages alone"):
        ga.associate(cohort, ga.Linear("q", genetic_model="genotypic"), out=tmp_path / "g.parquet")


def test_what_is_not_read_changes_nothing(sample, tmp_path):
    """An additive scan of all samples reads no probabilities, and has quality from the store; a filter on genotypes makes it read them."""
    ids, variants = sample.table["IID"].to_list(), snv_table(len(sample.codes))
    contents = Contents(dosages=True, probabilities=True)
    write_store(tmp_path / "s.zarr", ids, [sample.block(True, known=True)], variants, contents=contents)
    cohort = ga.Cohort.align(ga.open_store(tmp_path / "s.zarr"), sample.table)
    filtered = cohort.keep_variants(ga.variants.missing_below(1.0))
    one, other = (ga.associate(who, ga.Cox("T", "E", ["x"])).table for who in (cohort, filtered))
    assert one.equals(other) and one["info"].null_count() == 0 and one.height == len(sample.codes)
    some = ga.associate(cohort.keep_variants(ga.variants.in_region("1:25-95")), ga.Cox("T", "E", ["x"])).table
    assert some.equals(one[2:9])


def test_poorly_imputed_rows_with_few_carriers_have_no_exact_test():
    rng = np.random.default_rng(4)
    n = 4000
    table = pl.DataFrame(
        {"IID": [f"s{i}" for i in range(n)], "y": (rng.random(n) < 0.01).astype(int), "set": np.arange(n) // 20}
    )
    dosages = np.where(rng.random((40, n)) < 0.004, rng.beta(1.0, 2.0, (40, n)), rng.uniform(0, 0.004, (40, n)))
    dosages[:, table["y"].to_numpy() == 1] += 0.02 * rng.random((40, int(table["y"].sum())))
    block = DosageBlock.from_dosages(dosages, steps=1000)
    cohort = ga.Cohort.align(MemoryStore(np.zeros((40, n), np.uint8), table["IID"].to_list()), table)
    for matched in (None, "set"):
        model = ga.Logistic("y", matched=matched, correct_below=1.0, min_mac=0)
        (rows,) = rows_of(model, cohort, block).values()
        assert set(rows["method"]) & {"dosage_law", "spa"} and "exact" not in rows["method"]
        assert np.isfinite(rows["neg_log_10_p_value"].astype(float)).all()


def test_carriers_in_effect():
    """Of calls of a rare allele its carriers; of dosages spread thin, however large their sum, few."""
    n = 20_000
    dosages = np.zeros((3, n))
    dosages[0, :30] = 1.0
    dosages[0, 30] = 0.999  # so that it is no call
    dosages[1, :8], dosages[1, 8:] = 0.9, 0.002
    dosages[2] = 2.0 - dosages[1]
    block = DosageBlock.from_dosages(dosages, steps=1000)
    mask = np.full(n // 32, np.uint64(0x5555555555555555))
    sums = genotype_sums(block, np.array([False, False, True]), np.arange(n), mask, carriers=True)
    np.testing.assert_allclose(sums.carriers, [31, 8, 8], rtol=0.02)
    assert sums.mac[1] > 40 and sums.rare_mac[1] < 9 and sums.rare_mac[2] < 9


def test_haploid_dosages_count_one_copy_and_halve_exactly():
    """Odd steps are halved without rounding; frequencies and counts are of copies that are there."""
    rng = np.random.default_rng(3)
    n, V, steps = 400, 6, 255
    male = np.arange(n) < 180
    values = rng.integers(0, 2 * steps + 1, (V, n)).astype(np.uint16)
    haploid = np.packbits(np.broadcast_to(male, (V, n)), axis=1, bitorder="little")
    places = Places(np.arange(V), np.full(V, X_OUTSIDE_PAR, np.uint8), np.zeros((V, 5), np.int64))
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], "q": rng.normal(size=n), "sex": np.where(male, 1, 2)})
    cohort = ga.Cohort.align(
        MemoryStore(np.zeros((V, n), np.uint8), table["IID"].to_list(), snv_table(V, "X")),
        table,
        sex="sex",
        build="GRCh38",
    )
    y, sex = table["q"].to_numpy(), table["sex"].to_numpy()
    for two in (None, np.where(male, values // 2, values // 3).astype(np.uint16)):
        block = DosageBlock(values, places=places, steps=steps, homozygous=two, haploid=haploid, contig="X")
        d = values / steps
        for counted in (2, 1):
            rows = rows_of(ga.Linear("q", male_x_dosage=counted), cohort, block)["add"]
            g = np.where(male, d * counted / 2, d)
            for v in range(V):
                fit = sm.OLS(y, np.column_stack([np.ones(n), sex, g[v]])).fit()
                assert rows["beta"][v] == pytest.approx(fit.params[2], rel=1e-9)
                copies = (np.where(male, d[v] / 2, d[v])).sum()
                assert rows["effect_allele_frequency"][v] == pytest.approx(copies / (2 * n - male.sum()), abs=1e-12)
        if two is None:
            # A carrier with one copy in all: dominant and recessive are the same of a male.
            rows = rows_of(ga.Linear("q", genetic_model="recessive"), cohort, block)["rec"]
            g = np.where(male, d / 2, np.maximum(d - 1, 0))
            assert rows["beta"][0] == pytest.approx(
                sm.OLS(y, np.column_stack([np.ones(n), sex, g[0]])).fit().params[2], rel=1e-9
            )


@pytest.mark.parametrize("family", ["logistic", "cox"])
def test_a_state_that_is_sent_to_a_worker_gives_the_same_bits(sample, cohort, family):
    scan = Scan(every_model.model(family, "plain"))
    block = DosageBlock.from_dosages(sample.dosages, steps=1000)
    state = scan.prepare(cohort)
    here, there = (scan.block(each, block).columns for each in (state, pickle.loads(pickle.dumps(state))))
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values, name)
