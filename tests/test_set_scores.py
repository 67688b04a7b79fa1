"""Scores of sets and their covariance, by carriers, against dense matrices and textbook information of every family."""

import json

import numpy as np
import polars as pl
import pytest
from glm_cohort import MemoryCohort, calls
from memory_store import MemoryStore, snv_table
from oracles import cox_sets
from oracles import set_scores as oracle
from pages import run_page
from real_data import real_data
from small_cohort import make_files
from test_sex_chromosomes import mixed_cohort

import genassoc as ga
from genassoc.data.block import X_OUTSIDE_PAR, DosageBlock, GenotypeBlock, places_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.data.phenotypes.offsets import Offsets
from genassoc.errors import PhenotypeError
from genassoc.kernels.genotypes import set_scores as kernel
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.models.scan.genome import Scan, halved_in_males
from genassoc.models.scan.sums import genotype_sums
from genassoc.models.sets.null import set_nulls
from genassoc.models.sets.scores import Carriers, carriers_of_any, set_scores

N = 300
CLOSE = 1e-9  # of the standard errors: nulls are solved to 1e-12 of them, sums differ in their order alone
TRAITS = ("d", "c", "y", "event", "q", "q2")


def data(seed=3, missing=0.02):
    """Codes (14, N): common and rare, one whose ALT is the major allele, one nobody carries; outcomes of all kinds; an offset."""
    rng = np.random.default_rng(seed)
    codes = calls(rng, N, 14, missing)
    for v in range(4, 13):
        keep = codes[v] == 3
        codes[v] = 0
        codes[v, rng.choice(N, 2 + v, replace=False)] = rng.integers(1, 3, 2 + v)
        codes[v, keep] = 3
    codes[3] = np.where(codes[3] == 3, 3, 2 - rng.binomial(2, 0.05, N))
    codes[13] = 0
    codes[5, :7] = 3
    x, z, offset = rng.normal(size=N), rng.normal(size=N) + 5, 0.5 * rng.normal(size=N)
    eta = 0.3 * x + offset
    entry = np.where(rng.random(N) < 0.3, np.floor(rng.uniform(0, 8, N)), 0.0)
    columns = {
        "x": x, "z": z, "d": (rng.random(N) < 1 / (1 + np.exp(1 - eta))) * 1.0, "years": rng.uniform(0.5, 2, N),
        "y": np.searchsorted([-1.0, 0.5, 2.0], eta + rng.logistic(size=N)).astype(float), "q": eta + rng.normal(size=N),
        "q2": rng.normal(size=N), "event": (rng.random(N) < 0.6) * 1.0, "entry": entry,
        "time": entry + np.ceil(6 * rng.exponential(np.exp(-eta))), "site": rng.choice(["a", "b", "c"], N),
    }  # fmt: skip
    columns["c"] = rng.poisson(columns["years"] * np.exp(eta) * rng.gamma(2, 0.5, N)).astype(float)
    for trait in ("d", "c", "y", "q", "time"):
        columns[trait][rng.choice(N, 9, replace=False)] = np.nan
    return codes, offset, columns


def cohort_of(offset, columns):
    cohort = MemoryCohort(**columns)
    cohort.offsets = Offsets(TRAITS, {"": np.repeat(offset[:, None], len(TRAITS), axis=1)}, {})
    return cohort


def minor(codes):
    """Copies of the allele that is rarer in the cohort (V, N), NaN where missing; where that is REF."""
    flipped = (codes == 2).sum(axis=1) > (codes == 0).sum(axis=1)
    G = np.where(codes == 3, np.nan, codes.astype(float))
    return np.where(flipped[:, None], 2 - G, G), flipped


def scores_of(model, cohort, codes, variants=None):
    state = model.prepare(cohort)
    block = codes if isinstance(codes, DosageBlock) else GenotypeBlock.from_codes(codes)
    carriers = Carriers.of(block, state.cohort_columns, state.cohort_mask)
    return [(null, set_scores(null, carriers, variants)) for null in set_nulls(state)]


def assert_same(scores, t, U, V):
    error = np.sqrt(np.diag(V))
    scale = np.where(error > 0, error, 1.0)
    np.testing.assert_allclose(scores.U[t] / scale, U / scale, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(
        scores.scale[t] * scores.V / np.outer(scale, scale), V / np.outer(scale, scale), rtol=0, atol=CLOSE
    )


def samples(columns, trait, codes):
    """Who has the trait, covariates with a constant, and the genotypes of the minor alleles."""
    keep = ~np.isnan(columns[trait])
    X = np.column_stack([np.ones(N), columns["x"], columns["z"]])[keep]
    return keep, X, minor(codes)[0][:, keep]


def test_linear_traits_share_the_covariance_where_they_share_samples():
    codes, offset, columns = data()
    columns["q3"] = columns["q"] * 1e6 + columns["x"]
    cohort = cohort_of(offset, columns)
    cohort.offsets = None
    found = scores_of(ga.Linear(["q", "q2", "q3"], ["x", "z"]), cohort, codes)
    assert [null.traits for null, _ in found] == [(0, 2), (1,)]
    for null, scores in found:
        for t, trait in enumerate(null.traits):
            name = ("q", "q2", "q3")[trait]
            keep, X, G = samples(columns, name, codes)
            assert_same(scores, t, *oracle.linear(G, X, columns[name][keep]))
            assert null.freedom == keep.sum() - 3
            # one trait alone has the same bits
            ((_, alone),) = scores_of(ga.Linear([name], ["x", "z"]), cohort, codes)
            assert alone.U[0].tobytes() == scores.U[t].tobytes() and alone.V.tobytes() == scores.V.tobytes()


def test_linear_with_an_offset():
    codes, offset, columns = data(4)
    ((_, scores),) = scores_of(ga.Linear(["q"], ["x", "z"]), cohort_of(offset, columns), codes)
    keep, X, G = samples(columns, "q", codes)
    assert_same(scores, 0, *oracle.linear(G, X, (columns["q"] - offset)[keep]))


@pytest.mark.parametrize("kind", ["logistic", "poisson", "poisson exact", "negative_binomial"])
def test_one_linear_predictor(kind):
    codes, offset, columns = data(5)
    trait = "d" if kind == "logistic" else "c"
    model = {
        "logistic": ga.Logistic(["d"], ["x", "z"]),
        "poisson": ga.Poisson(["c"], ["x", "z"], exposure="years"),
        "poisson exact": ga.Poisson(["c"], ["x", "z"], exposure="years", dispersion="poisson"),
        "negative_binomial": ga.NegativeBinomial(["c"], ["x", "z"], exposure="years"),
    }[kind]
    cohort = cohort_of(offset, columns)
    ((null, scores),) = scores_of(model, cohort, codes)
    keep, X, G = samples(columns, trait, codes)
    own = offset[keep] + (0.0 if kind == "logistic" else np.log(columns["years"][keep]))
    family = kind.split()[0]
    alpha = model.prepare(cohort).nulls[0].shape if kind == "negative_binomial" else 0.0
    assert kind != "negative_binomial" or alpha > 0.1
    family = {"logistic": "binomial"}.get(family, family)
    assert_same(scores, 0, *oracle.generalised(family, G, X, columns[trait][keep], own, alpha, kind == "poisson"))
    assert null.failure is None and (kind != "poisson" or null.scale[0] < 0.9)


def test_ordered_levels():
    codes, offset, columns = data(6)
    ((_, scores),) = scores_of(ga.Ordinal(["y"], ["x", "z"]), cohort_of(offset, columns), codes)
    keep, X, G = samples(columns, "y", codes)
    assert_same(scores, 0, *oracle.ordered(G, X[:, 1:], columns["y"][keep].astype(int), offset[keep]))


@pytest.mark.parametrize(
    "choices", [{}, {"ties": "breslow"}, {"entry": "entry"}, {"entry": "entry", "strata": "site"}, {"strata": "site"}]
)
def test_hazards(choices):
    codes, offset, columns = data(7)
    model = ga.Cox("time", "event", ["x", "z"], **choices)
    ((_, scores),) = scores_of(model, cohort_of(offset, columns), codes)
    keep, X, G = samples(columns, "time", codes)
    entry = columns["entry"][keep] if "entry" in choices else None
    strata = np.unique(columns["site"], return_inverse=True)[1][keep] if "strata" in choices else None
    time, event = columns["time"][keep], columns["event"][keep]
    assert np.unique(time[event == 1]).size < 0.5 * event.sum()  # many are tied
    assert_same(
        scores,
        0,
        *cox_sets.subtract_means(
            G, X[:, 1:], time, event, entry, strata, choices.get("ties") != "breslow", offset[keep]
        ),
    )
    some = np.array([1, 5, 6, 11])
    ((_, part),) = scores_of(model, cohort_of(offset, columns), codes, some)
    np.testing.assert_allclose(part.V, scores.take(some).V, rtol=0, atol=CLOSE * np.diag(scores.V).max())


def test_counts_and_the_samples_of_a_mask():
    codes, offset, columns = data(8)
    cohort = cohort_of(offset, columns)
    model = ga.Logistic(["d"], ["x"])
    ((null, scores),) = scores_of(model, cohort, codes)
    keep, _, G = samples(columns, "d", codes)
    case = columns["d"][keep] == 1
    observed = np.nan_to_num(G)
    np.testing.assert_array_equal(scores.mac, observed.sum(axis=1))
    np.testing.assert_array_equal(scores.n_carriers, (observed > 0).sum(axis=1))
    np.testing.assert_array_equal(scores.event_mac, observed[:, case].sum(axis=1))
    np.testing.assert_array_equal(scores.event_carriers, (observed[:, case] > 0).sum(axis=1))
    np.testing.assert_array_equal(scores.n_imputed, np.isnan(G).sum(axis=1))
    np.testing.assert_array_equal(scores.flipped, minor(codes)[1])
    assert scores.flipped[3] and scores.n_imputed.max() > 0
    state = model.prepare(cohort)
    carriers = Carriers.of(GenotypeBlock.from_codes(codes), state.cohort_columns, state.cohort_mask)
    for some in (np.array([4, 5, 9]), np.array([13]), np.arange(14)):
        assert carriers_of_any(null, carriers, some) == oracle.count_any(G[some], case)


def test_bits_depend_on_the_variants_alone():
    codes, offset, columns = data(9)
    cohort = cohort_of(offset, columns)
    for model in (ga.Cox("time", "event", ["x"], strata="site"), ga.Logistic(["d"], ["x"])):
        state = model.prepare(cohort)
        (null,) = set_nulls(state)

        def listed(rows, state=state):
            return Carriers.of(GenotypeBlock.from_codes(codes[rows]), state.cohort_columns, state.cohort_mask)

        whole = set_scores(null, listed(np.arange(14)), np.arange(2, 12))
        parts = [listed(np.arange(first, last)) for first, last in ((2, 5), (5, 6), (6, 12))]
        cut = set_scores(null, Carriers.joined(parts))
        assert whole.U.tobytes() == cut.U.tobytes() and whole.V.tobytes() == cut.V.tobytes()
        assert whole.V.tobytes() == whole.V.T.tobytes()


def test_dosages():
    _, offset, columns = data(10)
    rng = np.random.default_rng(10)
    dosages = np.where(rng.random((6, N)) < 0.1, rng.uniform(0, 2, (6, N)), 0.0)
    dosages[1] = 2 - dosages[1]
    dosages[rng.random(dosages.shape) < 0.02] = np.nan
    block = DosageBlock.from_dosages(dosages)
    ((_, scores),) = scores_of(ga.Logistic(["d"], ["x", "z"]), cohort_of(offset, columns), block)
    keep = ~np.isnan(columns["d"])
    G = block.dosages()
    G[1] = 2 - G[1]
    X = np.column_stack([np.ones(N), columns["x"], columns["z"]])[keep]
    assert_same(scores, 0, *oracle.generalised("binomial", G[:, keep], X, columns["d"][keep], offset[keep]))
    np.testing.assert_allclose(scores.mac, np.nansum(G[:, keep], axis=1))
    np.testing.assert_array_equal(scores.n_carriers, (np.nan_to_num(G[:, keep]) >= 0.5).sum(axis=1))


def test_refused_in_words():
    _, _, columns = data(11)
    columns["w"] = np.linspace(0.5, 2, N)
    for model in (
        ga.Linear(["q2"], ["x"], interaction="z"),
        ga.Linear(["q2"], ["x"], variance="robust"),
        ga.Logistic(["d"], ["x"], weights="w"),
    ):
        cohort = MemoryCohort(**columns)
        with pytest.raises(PhenotypeError, match="tests of sets"):
            set_nulls(model.prepare(cohort))


def test_a_trait_without_a_null():
    codes, _, columns = data(12)
    columns["event"] = (np.arange(N) == np.flatnonzero(~np.isnan(columns["time"]))[0]) * 1.0
    columns["perfect"] = 3 * columns["x"] - 2
    cohort = MemoryCohort(**columns)
    ((null, scores),) = scores_of(ga.Cox("time", "event", ["x", "z"]), cohort, codes)
    assert null.failure == "too_few_events" and not scores.V.any()
    ((null, scores),) = scores_of(ga.Linear(["q2", "perfect"], ["x"]), cohort, codes)
    assert np.isfinite(scores.U[0]).all() and np.isnan(scores.U[1]).all() and np.isnan(null.scale[1])


@pytest.mark.kernel
def test_entries_are_those_of_the_twin():
    rng = np.random.default_rng(1)
    for n in (1, 33, 70):
        codes = rng.choice(4, (5, n), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
        flipped = np.array([False, True, False, True, False])
        members = rng.random(n) < 0.8
        haploid, single = rng.random((5, n)) < 0.3, rng.random(n) < 0.3
        words = GenotypeBlock.from_codes(codes).packed.view(np.uint64)
        mask = mask_words(np.flatnonzero(members), n)
        counts = np.zeros(5, np.int64)
        kernel.count_entries(words, flipped, mask, counts)
        np.testing.assert_array_equal(counts, oracle.count_entries(codes, flipped, members))
        pointers = np.concatenate([[0], np.cumsum(counts)])
        entries = kernel.Entries(pointers, np.empty(pointers[-1], np.int32), np.empty(pointers[-1]))
        bits = np.packbits(haploid, axis=1, bitorder="little")
        kernel.list_entries(words, flipped, mask, bits, single, entries)
        assert unlisted(entries) == oracle.list_entries(codes, flipped, members, haploid, single)
        G = rng.choice([0.0, 0.3, 2.0, np.nan], (5, n))
        counts = np.zeros(5, np.int64)
        kernel.count_row_entries(G, counts)
        np.testing.assert_array_equal(counts, oracle.count_row_entries(G))
        pointers = np.concatenate([[0], np.cumsum(counts)])
        entries = kernel.Entries(pointers, np.empty(pointers[-1], np.int32), np.empty(pointers[-1]))
        kernel.list_row_entries(G, np.arange(n), bits, single, entries)
        found = [[(i, g) for i, _, g in row] for row in unlisted(entries)]
        assert found == oracle.list_row_entries(G)


def unlisted(entries):
    rows = []
    for first, last in zip(entries.pointers, entries.pointers[1:]):
        own = zip(entries.samples[first:last], entries.copies[first:last])
        rows.append([(int(s) >> 1, bool(s & 1), None if np.isnan(g) else float(g)) for s, g in own])
    return rows


@pytest.mark.kernel
def test_sums_are_those_of_the_twin():
    rng = np.random.default_rng(2)
    n, m = 40, 4
    G = rng.choice([0.0, 0.0, 0.0, 1.0, 2.0, np.nan], (m, n))
    G[3] = np.nan
    members, events = np.arange(n) % 7 > 0, np.arange(n) % 3 == 0
    status = np.where(members, np.where(events, 2, 1), 0).astype(np.uint8)
    thin = rng.normal(size=(n, 5)) * members[:, None]
    weight = rng.random(n) * members
    counts = np.zeros(m, np.int64)
    kernel.count_row_entries(G, counts)
    pointers = np.concatenate([[0], np.cumsum(counts)])
    entries = kernel.Entries(pointers, np.empty(pointers[-1], np.int32), np.empty(pointers[-1]))
    kernel.list_row_entries(G, np.arange(n), np.zeros((m, 0), np.uint8), np.zeros(0, bool), entries)
    sums = kernel.SetSums(np.empty((m, 5)), np.empty((m, m)), np.empty((m, kernel.N_COUNTS)))
    null, last_of, seen = (
        kernel.SampleColumns(status, int(members.sum()), weight, thin),
        np.zeros(n, np.int64),
        np.zeros(n, bool),
    )
    kernel.sum_set(entries, np.arange(m), null, 3, last_of, sums)
    U, V = oracle.sum_set(G[:, members], thin[members, 3:].T, weight[members], thin[members, :3])
    np.testing.assert_allclose(sums.product[:, 3:].T, U, rtol=0, atol=1e-13)
    np.testing.assert_allclose(sums.V, V, rtol=0, atol=1e-13)
    two = np.zeros(2, np.int64)
    kernel.count_any(entries, np.array([0, 2]), status, seen, two)
    assert tuple(two) == oracle.count_any(G[[0, 2]][:, members], events[members])
    assert not last_of.any() and not seen.any()


@pytest.mark.parametrize("male_x_dosage", [1, 2])
def test_one_copy_of_x_y_and_mt(male_x_dosage):
    haploid = np.random.default_rng(3).random((20, 120)) < 0.5
    cohort, _, _ = mixed_cohort(haploid, build="GRCh38")
    model = ga.Logistic(["d"], ["x"], correction=None, missing="mean", male_x_dosage=male_x_dosage)
    scan = Scan(model)
    state = scan.prepare(cohort)
    whole = cohort.read(0, 20)
    for kind in np.unique(places_of(whole).ploidy):
        at = np.flatnonzero(places_of(whole).ploidy == kind)
        block = whole.take(at)
        on_x = kind == X_OUTSIDE_PAR
        fitted = state.of(block.contig, on_x)
        found = model.block(fitted, halved_in_males(block, state.males) if on_x and male_x_dosage == 1 else block)
        (null,) = set_nulls(fitted)
        if on_x and male_x_dosage == 1:
            block = halved_in_males(block, state.males)
        scores = set_scores(null, Carriers.of(block, fitted.cohort_columns, fitted.cohort_mask))
        own = fitted.nulls[0]
        sums = genotype_sums(block, scores.flipped, own.columns, own.mask)
        copies = np.where(scores.flipped, sums.n_alleles - sums.allele_count, sums.allele_count)
        np.testing.assert_array_equal(scores.mac, copies)
        np.testing.assert_array_equal(scores.n_observed, sums.n)
        # The screen's score test of ALT is the same ratio, of sums in float32.
        variance = np.diag(scores.V)
        tested = np.isfinite(found.columns["statistic"][:, 0])
        assert tested.sum() >= 3
        z = np.where(scores.flipped, -1, 1) * scores.U[0] / np.sqrt(variance)
        np.testing.assert_allclose(found.columns["statistic"][tested, 0], z[tested], rtol=0, atol=1e-5)


def test_offsets_by_chromosome_have_nulls_of_their_own():
    codes, _, columns = data(13)
    n = 60
    rng = np.random.default_rng(13)
    table = pl.concat([snv_table(7, "1"), snv_table(7, "2")])
    ids = [f"s{i}" for i in range(n)]
    store = MemoryStore(codes[:, :n], ids, table)
    phenotypes = pl.DataFrame({"IID": ids, "q": rng.normal(size=n), "x": columns["x"][:n]})
    given = {name: pl.DataFrame({"IID": ids, "q": rng.normal(size=n)}) for name in "12"}
    cohort = with_offsets(Cohort.align(store, phenotypes), given, ["q"], "quantitative")
    state = Scan(ga.Linear(["q"], ["x"])).prepare(cohort)
    for name in "12":
        (null,) = set_nulls(state.of(name, False))
        y = phenotypes["q"].to_numpy() - given[name]["q"].to_numpy()
        X = np.column_stack([np.ones(n), columns["x"][:n]])
        np.testing.assert_allclose(null.residual[0], y - X @ np.linalg.lstsq(X, y, rcond=None)[0], rtol=0, atol=1e-12)


def test_q_of_r_skat():
    folder = real_data("skat")
    cases = json.loads((folder / "EXPECTED_skat.json").read_text())["cases"]
    toy = {case["name"]: case for case in cases if isinstance(case["genotypes"], list)}
    G, y = (
        np.loadtxt(folder / "skat_genotype_matrix.csv.gz", delimiter=",").T,
        np.loadtxt(folder / "skat_phenotypes.csv"),
    )
    for case in cases:
        kind = case["name"].split()[0]
        if "big" in case["name"]:
            codes, columns = G, {"y": y if kind == "linear" else (y > 2) * 1.0}
        else:
            given = np.array(toy[kind]["covariates"], float).T
            codes, columns = np.array(toy[kind]["genotypes"]), {"y": np.array(toy[kind]["phenotype"], float)}
            columns |= {f"x{k}": x for k, x in enumerate(given)}
        family = ga.Linear if kind == "linear" else ga.Logistic
        model = family(["y"], [name for name in columns if name != "y"])
        ((_, scores),) = scores_of(model, MemoryCohort(**columns), codes.astype(np.uint8))
        weights = np.broadcast_to(np.array(case["weights"] if "big" not in case["name"] else 1.0), len(codes))
        # R's Q is half of the weighted sum of squares, of a linear model over sigma^2 once; it prints seven digits.
        Q = np.sum(weights * scores.U[0] ** 2) / (2 * scores.scale[0])
        np.testing.assert_allclose(Q, case["Q"], rtol=1e-6)


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch):
    make_files(tmp_path, n_samples=120, n_variants=60)
    monkeypatch.chdir(tmp_path)
    found = run_page("genes/scores.md", 1)
    assert found["scores"].V.shape == (20, 20) and np.isfinite(found["scores"].U).all()
