"""Cox regression of whole blocks: against the oracle, statsmodels and lifelines; its screen, codes and invariances."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore
from oracles import cox as oracle
from scipy.stats import chi2

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.errors import PhenotypeError
from genassoc.kernels.likelihoods import cox_sums
from genassoc.kernels.likelihoods.cox_tails import exact_neg_log_p
from genassoc.models.base import CODES, METHODS
from genassoc.models.cox.model import Cox
from genassoc.stats.risk_sets import risk_sets

# float32 sums against float64 (statistics.md); rows done one by one are float64 and agree to Newton's last step.
SCREEN = 1e-5
NEWTON = 5e-6


def drawn(seed=1, n=300, V=24, missing=0.0, prevalence=0.7):
    """Codes (V, n) and a table: T, E (tied times, the first variant acts), entry, arm, x and causes of death."""
    rng = np.random.default_rng(seed)
    codes = rng.binomial(2, rng.uniform(0.05, 0.95, V)[:, None], (V, n)).astype(np.uint8)
    x, arm = rng.normal(size=n), rng.integers(0, 2, n)
    failed = rng.exponential(60 / np.exp(0.5 * x + 0.4 * codes[0]), n)
    censored = rng.exponential(np.quantile(failed, prevalence) * 2, n)
    time, event = np.ceil(np.minimum(failed, censored)), (failed <= censored).astype(int)
    entry = np.floor(time * rng.random(n) * 0.5)
    cause = np.where(event == 1, np.where(rng.random(n) < 0.7, "relapse", "death"), "censored")
    codes[rng.random(codes.shape) < missing * rng.choice([0, 1, 10], V)[:, None]] = 3
    table = pl.DataFrame(
        {"IID": [f"s{i}" for i in range(n)], "T": time, "E": event, "entry": entry, "arm": arm, "x": x, "cause": cause}
    )
    return codes, table


def cohort_of(codes, table):
    return Cohort.align(MemoryStore(codes, table["IID"].to_list()), table, sample_id="IID")


def run(model, codes, table, block=None):
    state = model.prepare(cohort_of(codes, table))
    return {**model.block(state, block or GenotypeBlock.from_codes(codes)).columns, "state": state}


def methods_of(rows, j=0):
    return [METHODS[i] for i in rows["method"][:, j]]


def expected_row(model, codes, table, v, what):
    keep = codes[v] < 3
    part = table.filter(pl.Series(keep))
    time, event = part["T"].to_numpy(), part["E"].to_numpy()
    entry = part["entry"].to_numpy() if model.entry else None
    strata = part["arm"].to_numpy() if model.strata else None
    G = codes[v][keep].astype(float)[None]
    return oracle.analyse_rows(
        part["x"].to_numpy()[:, None], G, time, event, what, entry, strata, model.ties == "efron"
    )[0]


SHAPES = [{}, {"ties": "breslow"}, {"entry": "entry"}, {"entry": "entry", "strata": "arm"}]


@pytest.mark.parametrize("choices", SHAPES, ids=str)
@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_refitted_rows_are_the_oracles(choices, test):
    codes, table = drawn(missing=0.01)
    model = Cox("T", "E", ["x"], test=test, correction=None, **choices)
    rows = run(model, codes, table)
    assert set(methods_of(rows)) == {test}
    for v in range(codes.shape[0]):
        beta, z = expected_row(model, codes, table, v, test)
        assert rows["beta"][v, 0] == pytest.approx(beta, rel=NEWTON, abs=NEWTON)
        assert rows["statistic"][v, 0] == pytest.approx(z, rel=NEWTON, abs=NEWTON)


@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_score_rows_are_exact_below_005_and_never_too_large_above(choices):
    codes, table = drawn(V=120)
    model = Cox("T", "E", ["x"], correction=None, **choices)
    rows = run(model, codes, table)
    n_screened = 0
    for v, method in enumerate(methods_of(rows)):
        beta, z = expected_row(model, codes, table, v, "score")
        if method == "score":
            np.testing.assert_allclose(
                [rows["beta"][v, 0], rows["statistic"][v, 0]], [beta, z], rtol=NEWTON, atol=NEWTON
            )
            continue
        n_screened += 1
        assert method == "score_approx"
        assert z**2 < chi2.isf(0.05, 1), "a row below 0.05 was left at the screen"
        # The information is bounded from above: conservative, but for float32; and near, for these risk sets.
        assert abs(rows["statistic"][v, 0]) <= abs(z) * (1 + SCREEN) + SCREEN
        assert abs(rows["statistic"][v, 0]) >= 0.9 * abs(z)
    assert n_screened > 30


def test_missing_calls_at_the_screen_take_one_newton_step():
    codes, table = drawn(V=60)
    codes[:, 7] = 3  # one sample of 300: less than one percent
    codes[:, 200] = 3
    rows = run(Cox("T", "E", ["x"], correction=None), codes, table)
    model = Cox("T", "E", ["x"])
    screened = [v for v, method in enumerate(methods_of(rows)) if method == "score_approx"]
    assert len(screened) > 20
    for v in screened:
        _, z = expected_row(model, codes, table, v, "score")
        assert rows["statistic"][v, 0] == pytest.approx(z, abs=0.03)  # second order of 2 / 300, in standard errors
        assert z**2 < chi2.isf(0.05, 1)


@pytest.mark.parametrize("correction", ["firth", "firth_approx"])
def test_firth_rows_are_an_optimisers(correction):
    codes, table = drawn(V=4)
    model = Cox("T", "E", ["x"], correction=correction, correct_below=1.0, entry="entry")
    rows = run(model, codes, table)
    for v, method in enumerate(methods_of(rows)):
        assert method == ("firth" if correction == "firth" or rows["neg_log_10_p_value"][v, 0] > 4 else correction)
        beta, z = expected_row(model, codes, table, v, method)
        np.testing.assert_allclose([rows["beta"][v, 0], rows["statistic"][v, 0]], [beta, z], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_wald_is_statsmodels(ties):
    duration = pytest.importorskip("statsmodels.duration.hazard_regression")
    codes, table = drawn(V=6)
    rows = run(Cox("T", "E", ["x"], test="wald", ties=ties, entry="entry", strata="arm"), codes, table)
    x, T = table["x"].to_numpy(), table["T"].to_numpy()
    for v in range(6):
        design = np.column_stack([x, codes[v]])
        # statsmodels: at risk at its very entry time too; half a day later no event lies between
        fit = duration.PHReg(
            T, design, status=table["E"].to_numpy(), entry=table["entry"].to_numpy() + 0.5, strata=table["arm"].to_numpy(),
            ties=ties,
        ).fit(disp=0)  # fmt: skip
        assert rows["beta"][v, 0] == pytest.approx(fit.params[1], rel=1e-5)
        assert rows["standard_error"][v, 0] == pytest.approx(fit.bse[1], rel=1e-5)
    plain = run(Cox("T", "E", ["x"], test="wald", ties=ties), codes, table)
    for v in range(6):
        fit = duration.PHReg(T, np.column_stack([x, codes[v]]), status=table["E"].to_numpy(), ties=ties).fit(disp=0)
        assert plain["beta"][v, 0] == pytest.approx(fit.params[1], rel=1e-5)
        assert plain["standard_error"][v, 0] == pytest.approx(fit.bse[1], rel=1e-5)


def test_wald_is_lifelines():
    lifelines = pytest.importorskip("lifelines")
    codes, table = drawn(V=4)
    table = table.with_columns(entry=pl.when(pl.col("entry") > 0).then(pl.col("entry") - 0.5).otherwise(0.0))
    rows = run(Cox("T", "E", ["x"], test="wald", entry="entry", strata="arm"), codes, table)
    for v in range(4):
        frame = table.select("T", "E", "entry", "arm", "x").to_pandas().assign(g=codes[v].astype(float))
        fit = lifelines.CoxPHFitter().fit(
            frame, "T", "E", entry_col="entry", strata=["arm"], fit_options={"precision": 1e-9}
        )
        # lifelines stops its damped Newton steps at a change of 1e-7 of the log likelihood
        assert rows["beta"][v, 0] == pytest.approx(fit.params_["g"], rel=1e-4, abs=1e-5)
        assert rows["standard_error"][v, 0] == pytest.approx(fit.standard_errors_["g"], rel=1e-4)


def test_an_endpoint_alone_or_in_company_has_the_same_bits():
    codes, table = drawn(missing=0.02)
    table = table.with_columns(
        E2=(pl.col("cause") == "relapse").cast(int), T3=pl.when(pl.col("x") < 1).then(pl.col("T"))
    )
    together = run(Cox(("T", "T", "T3"), ("E", "E2", "E3"), ["x"]), codes, table.with_columns(E3=pl.col("E")))
    alone = run(Cox("T3", "E3", ["x"]), codes, table.with_columns(E3=pl.col("E")))
    for name, values in alone.items():
        if name != "state":
            assert values[:, 0].tobytes() == together[name][:, 2].tobytes(), name
    assert set(together["n"][:, 2]) != set(together["n"][:, 0])


def test_a_failing_endpoint_leaves_the_others():
    codes, table = drawn()
    rare = np.zeros(300, int)
    rare[5] = 1
    rows = run(Cox("T", ("E", "rare"), ["x"]), codes, table.with_columns(rare=pl.Series(rare)))
    assert {CODES[i] for i in rows["code"][:, 1]} == {"too_few_events"} and np.isnan(rows["beta"][:, 1]).all()
    assert {CODES[i] for i in rows["code"][:, 0]} == {None}
    assert any("rare has no null model" in note for note in rows["state"].notes)


@pytest.mark.parametrize("test", ["score", "wald"])
def test_swapped_alleles_and_permuted_samples(test):
    codes, table = drawn(missing=0.02)
    model = Cox("T", "E", ["x"], test=test, strata="arm")
    rows = run(model, codes, table)
    swapped = run(model, np.where(codes < 3, 2 - codes.astype(int), 3).astype(np.uint8), table)
    order = np.random.default_rng(2).permutation(300)
    permuted = run(model, codes[:, order], table[order])
    for name, sign in (("beta", -1), ("statistic", -1), ("neg_log_10_p_value", 1), ("n_events", 1), ("mac", 1)):
        np.testing.assert_allclose(swapped[name], sign * rows[name], rtol=SCREEN, atol=SCREEN)
        np.testing.assert_allclose(permuted[name], rows[name], rtol=SCREEN, atol=SCREEN)


def test_scaled_or_shifted_times_change_nothing():
    codes, table = drawn()
    model = Cox("T", "E", ["x"], test="wald", entry="entry")
    rows = run(model, codes, table)
    moved = run(model, codes, table.with_columns(pl.col("T") * 7 + 3, pl.col("entry") * 7 + 3))
    for name in ("beta", "standard_error", "ph_neg_log_10_p_value"):
        np.testing.assert_array_equal(moved[name], rows[name])


def test_dosages_and_mean_imputation():
    codes, table = drawn(missing=0.02)
    dosages = np.where(codes < 3, codes.astype(float), np.nan)
    model = Cox("T", "E", ["x"], correction=None)
    block = DosageBlock.from_dosages(dosages)
    hard, soft = run(model, codes, table), run(model, codes, table, block)
    np.testing.assert_allclose(soft["statistic"], hard["statistic"], rtol=SCREEN, atol=SCREEN)
    filled = np.where(codes < 3, codes, np.nanmean(dosages, axis=1)[:, None])
    mean = run(replace(model, missing="mean", test="wald"), codes, table)
    x, time, event = (table[name].to_numpy() for name in ("x", "T", "E"))
    expected = oracle.analyse_rows(x[:, None], filled, time, event, "wald")
    np.testing.assert_allclose(mean["statistic"][:, 0], expected[:, 1], rtol=NEWTON, atol=NEWTON)
    screened = run(replace(model, missing="mean"), codes, table)
    expected = oracle.analyse_rows(x[:, None], filled, time, event, "score")
    assert np.all(np.abs(screened["statistic"][:, 0] / expected[:, 1]) <= 1 + 10 * SCREEN)
    np.testing.assert_allclose(screened["statistic"][:, 0], expected[:, 1], rtol=0.01)


def test_causes_are_cause_specific_hazards():
    codes, table = drawn()
    rows = run(Cox("T", "cause", ["x"], cause="relapse", test="wald"), codes, table)
    as_event = table.with_columns(E=(pl.col("cause") == "relapse").cast(int))
    np.testing.assert_array_equal(rows["beta"], run(Cox("T", "E", ["x"], test="wald"), codes, as_event)["beta"])
    n_deaths = int((table["cause"] == "death").sum())
    assert any(f"{n_deaths} events of other causes" in note for note in rows["state"].notes)
    codes_of = table.with_columns(cause=pl.col("cause").replace_strict({"censored": 0, "relapse": 1, "death": 2}))
    np.testing.assert_array_equal(
        rows["beta"], run(Cox("T", "cause", ["x"], cause=1, test="wald"), codes, codes_of)["beta"]
    )


def test_codes():
    codes, table = drawn(V=8)
    event = table["E"].to_numpy() == 1
    codes[1] = 0
    codes[2] = 1
    codes[3] = 0
    codes[3, :4] = 1
    codes[4] = np.where(event, 3, codes[4])
    codes[5] = 3
    codes[6] = np.where(event, 0, np.arange(300) % 3 == 0)  # no carrier has the event
    table = table.with_columns(x=pl.when(pl.Series(codes[7] >= 0)).then(pl.Series(codes[7].astype(float))))
    rows = run(Cox("T", "E", ["x"], test="wald", correction=None), codes, table)
    expected = [None, "monomorphic", "constant_genotype", "too_few_carriers", "no_events", "n_too_small"]
    assert [CODES[i] for i in rows["code"][:, 0]] == [*expected, "no_carrier_events", "collinear"]
    finite = np.isfinite(rows["beta"][:, 0])
    assert finite.tolist() == [True] + [False] * 7
    firth = run(Cox("T", "E", ["x"], test="wald"), codes, table)
    assert methods_of(firth)[6] == "firth" and firth["beta"][6, 0] < -3 and firth["neg_log_10_p_value"][6, 0] > 5


def test_rare_rows_below_005_are_exact():
    codes, table = drawn(3, n=2000, V=4)
    rng = np.random.default_rng(5)
    event = (rng.random(2000) < 0.01).astype(int)
    table = table.with_columns(E=pl.Series(event))
    codes[:] = 0
    cases, others = np.flatnonzero(event), np.flatnonzero(event == 0)
    codes[0, [*cases[:3], *others[:5]]] = 1  # three of eight carriers
    codes[1, others[:8]] = 1
    rows = run(Cox("T", "E", ["x"]), codes[:2], table)
    assert methods_of(rows) == ["exact", "score_approx"]
    x, time = table["x"].to_numpy()[:, None], table["T"].to_numpy()
    A = oracle.terms(time, event)
    p = oracle.partial_likelihood(x, oracle.newton(x, event, A), event, A)[3]
    law = oracle.exact_neg_log_p(codes[0], p)
    below = oracle.two_sided(law, 3)
    assert rows["neg_log_10_p_value"][0, 0] == pytest.approx(-np.log10(below), rel=1e-5)


def test_trend_finds_an_effect_that_fades():
    rng = np.random.default_rng(6)
    n = 3000
    g = rng.binomial(2, 0.3, n)
    # hazard 1, times 3 a copy before time 0.5 only
    left = rng.exponential(size=n)
    early = left / 3.0**g
    time = np.where(early < 0.5, early, 0.5 + left - 0.5 * 3.0**g)
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], "T": time, "E": np.ones(n, int), "x": rng.normal(size=n)})
    steady = rng.exponential(1 / 1.5**g)
    both = table.with_columns(T2=pl.Series(steady), E2=pl.col("E"))
    rows = run(Cox(("T", "T2"), ("E", "E2"), ["x"]), g[None].astype(np.uint8), both)
    assert rows["ph_neg_log_10_p_value"][0, 0] > 10 and rows["ph_neg_log_10_p_value"][0, 1] < 3
    assert np.all(rows["neg_log_10_p_value"] > 10)


# library(survival)  # 3.5
# i <- 0:79
# d <- data.frame(time = 1 + (37 * i) %% 23, event = as.integer((7 * i) %% 5 > 1), g = pmin(2, (i * i) %% 3 + (i %% 7 == 0)),
#                 x = ((13 * i) %% 17) / 17, stratum = i %% 2, entry = (i %% 4) / 4)
# for (e in list(d, d[i %% 20 != 3, ])) for (how in c("km", "rank")) for (f in c(Surv(time, event) ~ x + g,
#     Surv(entry, time, event) ~ x + g + strata(stratum))) print(cox.zph(coxph(f, e), how)$table["g", "chisq"], digits = 12)
COX_ZPH = {
    ("km", False, False): 0.368032491576, ("km", False, True): 0.338032438912,
    ("rank", False, False): 0.266639330486, ("rank", False, True): 0.240901888677,
    ("km", True, False): 0.278493757901, ("km", True, True): 0.186971742994,
    ("rank", True, False): 0.173205967058, ("rank", True, True): 0.103748707554,
}  # fmt: skip


@pytest.mark.parametrize("how, missing, strata", list(COX_ZPH))
def test_proportional_hazards_as_cox_zph_on_the_rows_own_samples(how, missing, strata):
    i = np.arange(80)
    g = np.minimum(2, (i * i) % 3 + (i % 7 == 0)).astype(np.uint8)
    table = pl.DataFrame(
        {"IID": [f"s{k}" for k in i], "T": 1.0 + (37 * i) % 23, "E": ((7 * i) % 5 > 1).astype(int), "x": (13 * i) % 17 / 17,
         "arm": i % 2, "entry": (i % 4) / 4}
    )  # fmt: skip
    codes = np.where(missing & (i % 20 == 3), 3, g).astype(np.uint8)[None]
    more = {"strata": "arm", "entry": "entry"} if strata else {}
    # Wald rows: the test is at the maximum, as R's.
    rows = run(Cox("T", "E", ["x"], test="wald", correct_below=1.0, ph_time=how, **more), codes, table)
    expected = -np.log10(chi2.sf(COX_ZPH[how, missing, strata], 1))
    # twelve digits of R at its own last step of Newton
    assert rows["ph_neg_log_10_p_value"][0, 0] == pytest.approx(expected, rel=1e-5)


def test_no_test_of_proportional_hazards_with_under_ten_carriers_having_the_event():
    codes, table = drawn(n=400, V=2)
    codes[:] = 0
    having = np.flatnonzero(table["E"].to_numpy() == 1)
    codes[0, having[:9]] = codes[1, having[:10]] = 1
    rows = run(Cox("T", "E", ["x"], correct_below=1.0, correction="firth"), codes, table)
    assert np.isnan(rows["ph_neg_log_10_p_value"][0, 0]) and np.isfinite(rows["ph_neg_log_10_p_value"][1, 0])


BAD = [
    ({"T": -1.0}, {}, "is a time, and it is negative in 1 samples: -1 in row 1 \\(sample s0\\)"),
    ({"entry": 500.0}, {"entry": "entry"}, "is not after the entry time 'entry' in 1 samples"),
    ({"entry": -2.0}, {"entry": "entry"}, "'entry' is negative in 1 samples"),
    ({"E": 7}, {}, "more than two values: .*cause='7'"),
    ({}, {"event": "none"}, "none of the 300 samples .* has the event"),
    ({}, {"event": "cause", "cause": "flu"}, "has no cause 'flu'"),
    ({}, {"event": "T"}, "'T' is asked for as a time and as an event"),
    ({}, {"entry": "nowhere"}, "nowhere"),
]


@pytest.mark.parametrize("change, choices, message", BAD, ids=[message for *_, message in BAD])
def test_bad_columns_are_named(change, choices, message):
    codes, table = drawn(V=1)
    table = table.with_columns(none=pl.lit(0), **{
        name: pl.when(pl.int_range(pl.len()) == 0).then(value).otherwise(pl.col(name)) for name, value in change.items()
    })  # fmt: skip
    with pytest.raises(PhenotypeError, match=message):
        run(Cox(**{"time": "T", "event": "E", "covariates": ["x"], **choices}), codes, table)


def test_samples_left_out_are_told():
    codes, table = drawn()
    hidden = pl.int_range(pl.len()) < 5
    table = table.with_columns(
        T=pl.when(~hidden).then(pl.col("T")), arm=pl.when(pl.int_range(pl.len()) != 9).then(pl.col("arm"))
    )
    rows = run(Cox("T", "E", ["x"], strata="arm"), codes, table)
    notes = rows["state"].notes
    assert "E: 5 samples lack T and are left out" in notes and "1 samples lack arm and are left out" in notes
    assert rows["state"].n_by_trait == [294] and any("events among 294 samples in 2 strata" in note for note in notes)


BAD_CHOICES = [
    ({"time": ()}, "needs a time and an event"),
    ({"time": ("a", "b"), "event": ("c", "d", "e")}, "time names 2 columns and event 3"),
    ({"ties": "exact"}, "ties is one of"),
    ({"test": "t"}, "test is one of"),
    ({"correction": "bonferroni"}, "correction is one of"),
    ({"correct_below": 2}, "correct_below is a p-value"),
    ({"min_mac": -1}, "min_mac is a count"),
    ({"entry": 3}, "entry is the name of a column"),
    ({"cause": True}, "cause is a value of the event's column"),
    ({"missing": "drop"}, "missing is one of"),
]


@pytest.mark.parametrize("choices, message", BAD_CHOICES, ids=str)
def test_bad_choices(choices, message):
    with pytest.raises(ValueError, match=message):
        Cox(**{"time": "T", "event": "E", **choices})


def test_many_strata_are_computed_exactly():
    codes, table = drawn(V=6)
    table = table.with_columns(arm=pl.int_range(pl.len()) % 60)
    model = Cox("T", "E", ["x"], strata="arm", correction=None)
    rows = run(model, codes, table)
    assert set(methods_of(rows)) == {"score"}
    for v in range(6):
        assert rows["statistic"][v, 0] == pytest.approx(expected_row(model, codes, table, v, "score")[1], rel=1e-5)
    assert any("every row is computed exactly" in note for note in rows["state"].notes)


@pytest.mark.parametrize("alike", [False, True], ids=["a gap that nobody spans", "strata alike"])
def test_bound_of_the_screen_holds_where_eigenvalues_are_equal(alike):
    n = 240
    rng = np.random.default_rng(8)
    if alike:  # eight copies of the same thirty samples: every eigenvalue eight times
        time, event = np.tile(rng.permutation(30) + 1.0, 8), np.tile(rng.random(30) < 0.8, 8)
        stratum, entry = np.repeat(np.arange(8), 30), np.full(n, -1.0)
    else:
        time, event = rng.uniform(0, 5, n) + 1, rng.random(n) < 0.6
        entry = np.where(np.arange(n) % 2 == 0, time * rng.random(n), 0.0)
        time[::3] += 20
        entry[::3] += 20
        stratum = np.zeros(n, int)
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], "T": time, "E": event.astype(int), "entry": entry + 1e-9})
    table = table.with_columns(entry=pl.col("entry").clip(0.0), arm=pl.Series(stratum), x=pl.Series(rng.normal(size=n)))
    covariates = [] if alike else ["x"]
    null = (
        Cox("T", "E", covariates, entry="entry", strata="arm")
        .prepare(cohort_of(np.zeros((1, n), np.uint8), table))
        .nulls[0]
    )
    A = oracle.terms(time, event.astype(float), table["entry"].to_numpy(), stratum)
    X = rng.normal(size=(n, 0)) if alike else table["x"].to_numpy()[:, None]
    c, M = oracle.operator(X, event.astype(float), A)
    inverse = np.where(c > 0, 1 / np.sqrt(np.where(c > 0, c, 1)), 0)
    values = np.sort(np.linalg.eigvalsh(inverse[:, None] * M * inverse))[::-1]
    assert null.rest >= values[null.share.size] - 1e-6
    np.testing.assert_allclose(np.sort(null.share)[::-1], values[: null.share.size], atol=0.01)


def test_default_keeps_its_size_at_99_percent_censoring():
    rng = np.random.default_rng(9)
    n, V = 5000, 1500
    failed = rng.exponential(size=n)
    end = np.quantile(failed, 0.01)
    table = pl.DataFrame(
        {"IID": [f"s{i}" for i in range(n)], "T": np.minimum(failed, end), "E": (failed <= end).astype(int)}
    )
    codes = rng.binomial(2, np.exp(rng.uniform(np.log(0.003), np.log(0.3), V))[:, None], (V, n)).astype(np.uint8)
    p = 10 ** -run(Cox("T", "E"), codes, table)["neg_log_10_p_value"][:, 0]
    plain = 10 ** -run(Cox("T", "E", correction=None), codes, table)["neg_log_10_p_value"][:, 0]
    # At most what 1,500 tests of that size give with a chance of 0.1 %; the score test by itself gives more.
    assert (p < 0.01).sum() <= 28 < (plain < 0.01).sum()
    assert (p < 0.001).sum() <= 6


@pytest.mark.parametrize("test", ["score", "wald"])
def test_dominant_is_carrying_the_allele(test):
    codes, table = drawn(V=8, missing=0.01)
    rows = run(Cox("T", "E", ["x"], test=test, correction=None, genetic_model="dominant"), codes, table)
    x, time, event = (table[name].to_numpy() for name in ("x", "T", "E"))
    G = np.where(codes == 3, np.nan, (codes > 0).astype(float))
    fine = [v for v in range(8) if CODES[rows["code"][v, 0]] != "too_few_carriers"]
    assert len(fine) >= 4
    for v, (beta, z) in zip(fine, oracle.analyse_rows(x[:, None], G[fine], time, event, test)):
        near = 0.05 if METHODS[rows["method"][v, 0]] == "score_approx" else NEWTON  # the screen, and one Newton step
        assert rows["beta"][v, 0] == pytest.approx(beta, rel=near, abs=near)
        assert rows["statistic"][v, 0] == pytest.approx(z, rel=near, abs=near)


def test_hazards_that_leave_no_digits_of_a_risk_set_cost_a_row():
    """Who enters late is subtracted from the risk sets: of hazards far larger than the others' nothing is left."""
    n = 12
    # At time 1 the first sample is at risk alone; all others enter after it, of hazards e^50 times as large.
    sets = risk_sets(
        np.arange(1.0, n + 1), np.ones(n, bool), np.where(np.arange(n) < 1, 0.0, 1.0), np.zeros(n, np.int64)
    )[0]
    D = np.zeros((n, 1))
    D[0] = -50.0
    gradient, J = np.empty(1), np.empty((1, 1))
    sums = cox_sums.risk_sums(sets, 1)
    assert np.isnan(cox_sums.partial_likelihood(D, np.zeros(n), np.ones(1), sets, sums, gradient, J))
    assert np.isnan(gradient).all() and np.isnan(J).all()
    assert np.isfinite(cox_sums.partial_likelihood(D, np.zeros(n), np.zeros(1), sets, sums, gradient, J))


def test_exact_p_is_never_above_one():
    """Outcomes that are all as likely as what is seen sum to one but for rounding, and have a z of 0."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        n = int(rng.integers(5, 40))
        event, entry = rng.random(n) < 0.6, np.zeros(n)
        sets = risk_sets(rng.exponential(size=n), event, entry, np.zeros(n, np.int64))[0]
        g = np.zeros(n)
        g[rng.integers(n)] = 1.0
        found = exact_neg_log_p(g, sets, np.exp(rng.standard_normal(n)), np.empty(2))
        assert np.isnan(found) or found >= 0.0
