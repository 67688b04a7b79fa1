"""Few events: their exact laws against every outcome listed, the rule that says which rows have them, and no effect found where none is."""

import itertools

import numpy as np
import polars as pl
import pytest
from glm_cohort import MemoryCohort, run
from oracles import few_events as oracle
from oracles import level_law as level_oracle
from oracles import ordinal as ordinal_oracle

import genassoc as ga
from genassoc.kernels.laws import few_events, level_law
from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.kernels.likelihoods.ordinal_terms import Levels
from genassoc.refit import few_events as dense_few_events
from genassoc.stats.information import effective_size, whole_sizes
from genassoc.stats.risk_sets import risk_sets

ROUNDING = 1e-9  # sums of positive terms, a thousand of them at most


def law(logs):
    """{T: chance} of the logs of a kernel's law."""
    chance = np.exp(logs - logs.max())
    return {T: p for T, p in enumerate(chance / chance.sum()) if p > 0.0}


def rows_of(kernel, G, *arguments):
    found, there = np.empty(len(G)), np.zeros(len(G), np.bool_)
    kernel(G, *arguments, found, there)
    return found, there


@pytest.mark.kernel
def test_symmetric_sums():
    odds = np.random.default_rng(1).exponential(size=9)
    sums = np.empty(5)
    few_events.symmetric_sums(odds, sums)
    np.testing.assert_allclose(sums, oracle.symmetric_sums(odds, 4), rtol=ROUNDING)
    short = np.empty(5)
    few_events.symmetric_sums(odds[:2], short)
    assert (short[3:] == 0.0).all()  # no three of two


@pytest.mark.kernel
def test_law_of_single_events():
    rng = np.random.default_rng(2)
    g, odds = rng.binomial(2, 0.4, 12).astype(float), rng.exponential(size=12)
    for n_events in (1, 4):
        ours, listed = (
            law(few_events.law_of_single_events(g, odds, n_events)),
            oracle.law_of_single_events(g, odds, n_events),
        )
        total = sum(listed.values())
        assert set(ours) == {int(T) for T in listed}
        for T, weight in listed.items():
            assert ours[int(T)] == pytest.approx(weight / total, rel=ROUNDING)


@pytest.mark.kernel
def test_law_of_draws():
    shares = np.random.default_rng(3).dirichlet(np.ones(3), 5)
    sizes = np.array([3.0, 1.0, 1.0, 7.0, 2.0])
    ours, listed = law(few_events.law_of_draws(shares, sizes)), oracle.law_of_draws(shares, sizes)
    assert set(ours) == {int(T) for T in listed}
    for T, chance in listed.items():
        assert ours[int(T)] == pytest.approx(chance, rel=ROUNDING)


@pytest.mark.kernel
@pytest.mark.parametrize("what", ["single", "clumps", "dosages"])
def test_event_rows(what):
    rng = np.random.default_rng(4)
    n = 14
    G = rng.binomial(2, 0.4, (3, n)).astype(float)
    if what == "dosages":
        G = np.clip(G + rng.normal(0, 0.1, G.shape), 0, 2)
    G[1, [2, 5]] = np.nan
    odds, sizes = rng.exponential(size=n), np.zeros(n)
    sizes[:4] = 1.0 if what != "clumps" else [4.0, 1.0, 2.0, 1.0]
    for impute in (False, True):
        found, there = rows_of(few_events.event_rows, G, odds, sizes, impute)
        assert there.all()
        for v in range(len(G)):
            assert found[v] == pytest.approx(oracle.event_rows(G[v], odds, sizes, impute), rel=1e-7, abs=1e-9)
    none = rows_of(few_events.event_rows, G, odds, np.zeros(n), False)
    assert not none[1].any() and np.isnan(none[0]).all()


@pytest.mark.kernel
def test_hazard_rows():
    rng = np.random.default_rng(5)
    n = 16
    stratum = np.repeat([0, 1], n // 2)
    time, entry = np.round(rng.exponential(3.0, n) + 0.5, 1), np.where(rng.random(n) < 0.3, 0.3, -np.inf)
    event = np.isin(np.arange(n), [1, 4, 6, 9, 12])
    order = np.lexsort((time, stratum))
    time, entry, event, stratum = time[order], entry[order], event[order], stratum[order]
    sets, _ = risk_sets(time, event, entry, stratum, True)
    G = rng.binomial(2, 0.4, (3, n)).astype(float)[:, order]
    G[1, np.flatnonzero(event)[0]] = np.nan
    risk, sizes = rng.exponential(size=n), np.where(event, rng.integers(1, 5, n), 0).astype(float)
    found, there = rows_of(few_events.hazard_rows, G, risk, sizes, sets, False)
    assert there.all()
    for v in range(len(G)):
        listed = oracle.hazard_rows(G[v], risk, sizes, time, event, entry, stratum)
        assert found[v] == pytest.approx(listed, rel=1e-7, abs=1e-9)
    nobody = RiskSets(np.zeros(n, np.bool_), sets.first, sets.last, sets.ends, sets.efron)
    assert not rows_of(few_events.hazard_rows, G, risk, sizes, nobody, False)[1].any()


def ordered(seed, n, K):
    rng = np.random.default_rng(seed)
    x, level = rng.standard_normal(n), np.arange(n) % K
    D = (x - x.mean())[:, None]
    return rng, D, level.astype(np.int64), ordinal_oracle.fit(D, level, K - 1)


@pytest.mark.kernel
def test_level_rows():
    rng, D, level, parameters = ordered(6, 60, 3)
    G = rng.binomial(2, 0.2, (4, 60)).astype(float)
    G[1, :7] = np.nan
    found, imputed, whole = np.empty(4), np.empty(4), np.zeros(4, np.bool_)
    none, levels = np.zeros(4, np.bool_), Levels(level, 2, np.zeros(60))
    level_law.level_rows(G, D, levels, parameters, False, none, found, whole)
    assert not whole.any()
    for v in range(4):
        # Newton's roots to 1e-7 of t
        assert found[v] == pytest.approx(level_oracle.level_rows(D, level, G[v], parameters, 2), rel=1e-6, abs=1e-8)
    level_law.level_rows(G, D, levels, parameters, True, none, imputed, whole)
    mean = np.where(np.isnan(G[1]), np.nanmean(G[1]), G[1])
    rare = np.zeros((1, 60))
    rare[0, [3, 8, 9, 30, 41]] = [1, 2, 1, 1, 1]
    own, law_of_few, whole = np.flatnonzero(rare[0]), np.empty(2), np.zeros(2, np.bool_)
    level_law.level_rows(
        np.vstack([rare, 2 - rare]), D, levels, parameters, False, np.ones(2, np.bool_), law_of_few, whole
    )
    p = ordinal_oracle.chances(parameters[:2], D[own] @ parameters[2:])
    below = np.cumsum(p, axis=1)
    r = below + np.column_stack([np.zeros(5), below[:, :-1]]) - 1.0
    listed = level_oracle.carriers_neg_log_p(rare[0, own], r, p, level[own])
    assert whole.all() and law_of_few == pytest.approx(listed, rel=1e-9)
    assert imputed[1] == pytest.approx(level_oracle.level_rows(D, level, mean, parameters, 2), rel=1e-6, abs=1e-8)
    # eta is known up to the thresholds: half a log odds added to both is nothing
    shifted, at, same = (
        levels._replace(offset=np.full(60, 0.5)),
        parameters + [0.5, 0.5, 0, 0][: parameters.size],
        found.copy(),
    )
    level_law.level_rows(G, D, shifted, at, False, none, same, np.zeros(4, np.bool_))
    np.testing.assert_allclose(same, found, rtol=1e-6)  # the roots'


@pytest.mark.kernel
def test_saddlepoint_of_levels_is_near_their_whole_law():
    _, D, _, _ = ordered(7, 9, 3)
    level = np.array([0, 0, 1, 2, 0, 0, 0, 1, 0])
    parameters = ordinal_oracle.fit(D, level, 2)
    g = np.array([0.0, 0, 1, 2, 0, 0, 1, 0, 0])
    found, no = np.empty(1), np.zeros(1, np.bool_)
    level_law.level_rows(g[None], D, Levels(level, 2, np.zeros(9)), parameters, False, no, found, no.copy())
    exact = level_oracle.exact(D, level, g, parameters, 2)
    # Nine samples: a smooth curve through a law of steps, in which one outcome may be a third of the tail.
    assert abs(found[0] - exact) < 0.5
    c, p = level_oracle.score_parts(D, g, parameters, 2)
    assert level_law.finite_neg_log_p(c[np.arange(9), level].sum(), c, p) == pytest.approx(found[0], rel=1e-9)


def test_dense_twins_are_the_listed_laws():
    rng = np.random.default_rng(8)
    g, odds = rng.binomial(2, 0.4, 12).astype(float), rng.exponential(size=12)
    event = np.arange(12) < 4
    listed = oracle.event_rows(g, odds, event.astype(float)) / np.log(10.0)
    assert dense_few_events.neg_log_10_p_of_sets(g, odds, event) == pytest.approx(listed, rel=1e-7)
    sizes = np.where(event, [3, 1, 1, 2] + [0] * 8, 0).astype(float)
    shares = np.repeat(dense_few_events.shares_of(g, odds), 4, axis=0)
    listed = oracle.event_rows(g, odds, sizes) / np.log(10.0)
    ours = dense_few_events.neg_log_10_p_of_draws(g, shares, sizes[:4], float(g @ sizes))
    assert ours == pytest.approx(listed, rel=1e-7)


def test_effective_number_and_whole_sizes():
    assert effective_size(np.array([1.0, 1.0, 1.0, 0.0])) == 3.0
    assert effective_size(np.array([100.0, 1.0, 1.0, 1.0])) < 1.07
    assert effective_size(np.zeros(4)) == 0.0
    assert whole_sizes(np.array([0.0, 2.5, 2.5])).tolist() == [0.0, 1.0, 1.0]
    assert whole_sizes(np.array([0.0, 2.0, 5.0])).tolist() == [0.0, 2.0, 5.0]
    assert whole_sizes(np.array([0.5, 1.0, 0.0])).tolist() == [50.0, 100.0, 0.0]


# rows --------------------------------------------------------------------------------------------------------


def few(seed, n=300, V=60, n_events=4, frequency=0.25):
    """Genotypes, and a cohort in which who has the event is drawn without them."""
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, frequency, (V, n)).astype(np.uint8)
    y = np.zeros(n)
    y[rng.choice(n, n_events, replace=False)] = 1.0
    columns = {"y": y, "x": rng.standard_normal(n), "t": rng.exponential(size=n) + 0.1, "w": rng.uniform(0.5, 1.5, n)}
    return codes, columns


MODELS = {
    "logistic, weights": lambda: ga.Logistic("y", weights="w"),
    "logistic, hc0": lambda: ga.Logistic("y", variance="hc0"),
    "poisson, weights": lambda: ga.Poisson("y", weights="w"),
    "poisson, lrt": lambda: ga.Poisson("y", test="lrt"),
    "poisson, wald": lambda: ga.Poisson("y", test="wald"),
    "poisson": lambda: ga.Poisson("y"),
    "cox, weights": lambda: ga.Cox(time="t", event="y", weights="w"),
    "cox, robust": lambda: ga.Cox(time="t", event="y", variance="robust"),
    "logistic, robust": lambda: ga.Logistic("y", variance="robust"),
}


def found_by(name, columns, codes):
    return run(MODELS[name](), MemoryCohort(**columns), codes)


@pytest.mark.parametrize("name", MODELS)
def test_three_events_of_300_are_no_hit(name):
    """Sandwich rows of three events had p of 1e-10, Poisson's likelihood ratio of one event 1e-50."""
    for n_events in (1, 3):
        codes, columns = few(n_events, n_events=n_events)
        found = found_by(name, columns, codes)
        logp = found["neg_log_10_p_value"][:, 0]
        # All events in homozygotes, the least likely draw, have a chance of (1/16)^3 at this frequency.
        least = 3 * np.log10(20.0) if n_events == 3 else np.log10(40.0)
        assert not (logp > least).any()
        there = np.isfinite(logp)
        assert there.any() or name in ("logistic, weights", "cox, weights", "poisson, weights")
        if name != "poisson":
            assert set(found["method"][there, 0]) <= {"exact"}


def test_one_event_of_500_has_the_chance_of_its_genotype():
    rng = np.random.default_rng(11)
    codes = rng.binomial(2, 0.2, (40, 500)).astype(np.uint8)
    y = np.zeros(500)
    y[7] = 1.0
    codes[0, 7] = 2
    for test in ("lrt", "score"):
        found = run(ga.Poisson("y", test=test), MemoryCohort(y=y), codes)
        share = (codes[0] == 2).mean()
        assert found["method"][0, 0] == "exact" and found["code"][0, 0] == "separated"
        assert found["neg_log_10_p_value"][0, 0] == pytest.approx(-np.log10(share), rel=1e-9)
        assert np.nanmax(found["neg_log_10_p_value"]) < -np.log10(0.005)


def test_counts_with_few_expected_among_carriers_have_no_wald_test():
    """24,000 tests, some three events expected among the carriers: Wald found 10 times too much at 1e-4, 4 times at 0.001."""
    rng = np.random.default_rng(31)
    y = rng.poisson(0.1, (800, 30)).astype(float)
    cohort = MemoryCohort(**{f"y{k}": column for k, column in enumerate(y.T)})
    codes = rng.binomial(1, 0.04, (800, 800)).astype(np.uint8)
    found = run(ga.Poisson([f"y{k}" for k in range(30)], test="wald"), cohort, codes)
    p = found["neg_log_10_p_value"]
    assert set(found["method"].ravel()) == {"lrt"} and np.isfinite(p).all()
    assert (p >= 3).sum() <= 24 + 3 * 5  # three standard deviations
    # Rows with a code too: no carrier has an event in them.
    apart = found["code"] == "separated"
    assert apart.any() and ((p >= 2) & apart).sum() <= 240


@pytest.mark.parametrize("name", ["poisson, lrt", "logistic, hc0", "logistic, robust"])
def test_rows_are_the_listed_law(name):
    """Three events among 40, with a covariate: every set of three samples listed."""
    codes, columns = few(12, n=40, V=10, n_events=3, frequency=0.4)
    codes[1, 5] = 3
    found = found_by(name, columns, codes)
    y, share = columns["y"], columns["y"].mean()
    odds = np.full(40, share / (1 - share) if name.startswith("logistic") else share)
    for v in range(10):
        if np.isnan(found["beta"][v, 0]):
            continue
        g = np.where(codes[v] == 3, np.nan, codes[v])
        logp = oracle.event_rows(g, odds, y) / np.log(10.0)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-7, abs=1e-9)
        z = found["statistic"][v, 0]
        assert z * found["beta"][v, 0] >= 0
        assert z == 0.0 or abs(found["standard_error"][v, 0] * z - found["beta"][v, 0]) < 1e-6  # p of 1 has z of 0


@pytest.mark.parametrize("name", MODELS)
def test_who_has_a_p_does_not_depend_on_who_has_the_event(name):
    """Outcomes exchanged among samples (covariates, weights and times alike): the same rows have the law of few events."""
    for n_events, expected in ((10, True), (80, False)):
        codes, columns = few(13, V=6, n_events=n_events)
        columns["w"] = np.ones(300)
        rng = np.random.default_rng(14)
        kinds = []
        for _ in range(3):
            order = rng.permutation(300)
            found = found_by(name, {**columns, "y": columns["y"][order], "t": columns["t"][order]}, codes)
            assert (found["code"] == None).all()  # noqa: E711
            kinds.append(found["method"][:, 0] == "exact")
        if name != "poisson":  # the default tests by the score above 0.05
            assert all((kind == expected).all() for kind in kinds)


@pytest.mark.parametrize("name", ["logistic, weights", "cox, weights", "poisson, lrt"])
def test_company_alleles_and_units(name):
    codes, columns = few(15, V=12, n_events=9)
    codes[3, :4] = 3
    alone = found_by(name, columns, codes)
    part = found_by(name, columns, codes[:5])
    heavy = found_by(name, {**columns, "w": columns["w"] * 1000}, codes)
    swapped = found_by(name, columns, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    for key in ("beta", "neg_log_10_p_value", "standard_error"):
        assert alone[key][:5].tobytes() == part[key].tobytes()
        np.testing.assert_allclose(heavy[key], alone[key], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(swapped[key], (-1 if key == "beta" else 1) * alone[key], rtol=1e-5, atol=1e-6)


def test_rare_levels_have_the_law_of_the_levels():
    rng = np.random.default_rng(16)
    n = 400
    level = np.zeros(n)
    level[:12], level[12:16] = 1.0, 2.0
    codes = rng.binomial(2, 0.2, (80, n)).astype(np.uint8)
    found = run(ga.Ordinal("y", correct_below=1.0), MemoryCohort(y=level), codes)
    assert set(found["method"][:, 0]) == {"spa"}
    D, whole = np.zeros((n, 0)), level.astype(np.int64)
    parameters = ordinal_oracle.fit(D, whole, 2)
    for v in range(5):
        logp = level_oracle.level_rows(D, whole, codes[v].astype(float), parameters, 2) / np.log(10.0)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-5, abs=1e-7)
    weighted = run(ga.Ordinal("y", weights="w"), MemoryCohort(y=level, w=np.ones(n)), codes)
    assert set(weighted["code"][:, 0]) == {"few_events"} and np.isnan(weighted["neg_log_10_p_value"]).all()


@pytest.mark.parametrize("n_events", [6, 25])
@pytest.mark.parametrize("name", ["logistic, weights", "poisson, weights", "cox, weights", "poisson, lrt"])
def test_null_of_few_events_is_not_found(name, n_events):
    rng = np.random.default_rng(17)
    p = []
    for _ in range(4):
        codes, columns = few(int(rng.integers(1e9)), V=500, n_events=n_events, frequency=0.3)
        logp = found_by(name, columns, codes)["neg_log_10_p_value"][:, 0]
        p.append(np.where(np.isnan(logp), 1.0, 10.0**-logp))
    p = np.concatenate(p)
    for alpha in (0.05, 0.01, 0.001):
        # never more than the level by three binomial standard deviations and one; rows without a p stay in the denominator
        assert (p <= alpha).sum() <= alpha * p.size + 3 * np.sqrt(alpha * p.size) + 1


@pytest.mark.slow
def test_null_of_few_events_with_covariates_and_uneven_weights():
    """A covariate that tells genotype and outcome, lognormal weights, one draw of which may be most of the events."""
    rng = np.random.default_rng(18)
    for n_events, name in itertools.product((3, 10, 30), ("logistic, weights", "poisson, weights", "poisson, lrt")):
        hits, rows = 0, 0
        for _ in range(40):
            n, V = 300, 500
            x = rng.standard_normal(n)
            share = 0.3 * np.exp(0.5 * x) / np.exp(0.5 * x).mean()
            codes = rng.binomial(2, np.clip(share, 0, 0.95), (V, n)).astype(np.uint8)
            y = np.zeros(n)
            y[rng.choice(n, n_events, replace=False, p=np.exp(0.5 * x) / np.exp(0.5 * x).sum())] = 1.0
            model = ga.Poisson("y", ["x"], test="lrt") if name == "poisson, lrt" else None
            if model is None:
                model = (ga.Logistic if name.startswith("logistic") else ga.Poisson)("y", ["x"], weights="w")
            logp = run(model, MemoryCohort(y=y, x=x, w=rng.lognormal(size=n)), codes)["neg_log_10_p_value"][:, 0]
            hits, rows = hits + int((logp >= 3).sum()), rows + V
        assert hits <= 1.25 * rows * 1e-3 + 3 * np.sqrt(rows * 1e-3)


def test_rows_are_audited_and_explained(tmp_path):
    """Every row of few events has a dense twin of its own making; threads change no bit."""
    from genassoc.formats.vcf.writer import write_vcf

    made = ga.simulate_cohort(200, 40, 1, seed=4, missing_rate=0.01)
    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    rng = np.random.default_rng(19)
    columns = {
        "w": rng.uniform(1, 3, 200), "few": np.isin(np.arange(200), rng.choice(200, 9, replace=False)) * 1,
        "clumps": rng.poisson(0.05, 200) * rng.integers(1, 4, 200), "t": np.round(rng.exponential(size=200) + 0.1, 1),
    }  # fmt: skip
    table = made.phenotypes.with_columns(pl.Series(name, values) for name, values in columns.items())
    ga.convert(tmp_path / "c.vcf.gz", tmp_path / "c.zarr")
    cohort = ga.Cohort.align(ga.open_store(tmp_path / "c.zarr"), table)
    for model in (
        ga.Logistic("few", ["age"], variance="robust"),
        ga.Logistic("few", ["age"], weights="w"),
        ga.Poisson("clumps", ["age"], test="lrt"),
        ga.Poisson("few", test="wald"),
        ga.Cox(time="t", event="few", covariates=["age"], weights="w"),
        ga.Cox(time="t", event="few", variance="robust"),
    ):
        results = ga.associate(cohort, model, audit=40)
        found = results.provenance["audit"]
        assert found["passed"] and found["by_method"]["exact"]["rows"] >= 5, found
        again = ga.associate(cohort, model, executor=ga.Threads(2))
        assert again.table.equals(results.table)
    assert ga.explain(results, results.top(1)["variant_id"][0]).reproduced
