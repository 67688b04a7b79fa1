"""Change from a baseline against statsmodels, and the helpers that make endpoints from columns and dates."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from small_cohort import bits, make_files

import genassoc as ga

# Estimates of a block come from float32 sums, whose bar against dense float64 is 1e-5 (docs/models/linear.md).
RELATIVE = 1e-5


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), n_samples=250, n_variants=150)


@pytest.fixture(scope="module")
def table(files):
    """Phenotypes with a second pair of measurements, and the calls of one variant that moves the baseline."""
    store = ga.open_store(files.store)
    frame = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    codes = store.read(0, store.n_variants).codes().astype(float)
    codes[codes == 3] = np.nan
    strong = int(np.argmax(np.nanvar(codes, axis=1)))
    g = np.nan_to_num(codes[strong])
    rng = np.random.default_rng(3)
    before = rng.normal(5, 1, g.size) + 2 * g
    return frame.with_columns(hba1c_before=before, hba1c=before * 0.5 + g + rng.normal(0, 0.5, g.size)), codes, strong


def cohort_of(files, table):
    return ga.Cohort.align(files.store, table)


def fitted(y, columns, g):
    keep = ~np.isnan(np.column_stack([y, *columns, g])).any(axis=1)
    X = sm.add_constant(np.column_stack([*columns, g]))[keep]
    return sm.OLS(y[keep], X).fit(), keep


@pytest.mark.parametrize("adjusted", [True, False])
def test_change_is_what_statsmodels_fits(files, table, adjusted):
    frame, codes, _ = table
    cohort = cohort_of(files, frame)
    model = ga.Linear("ldl", ["age"], baseline="ldl_before", adjust_baseline=adjusted)
    rows = ga.associate(cohort, model).table
    y, before, age = (frame[name].cast(pl.Float64).to_numpy() for name in ("ldl", "ldl_before", "age"))
    covariates = [age, before] if adjusted else [age]
    checked = 0
    for v in np.flatnonzero(rows["beta"].is_not_null().to_numpy())[:25]:
        fit, keep = fitted(y - before, covariates, codes[v])
        row = rows.row(int(v), named=True)
        assert row["n"] == keep.sum()
        assert abs(row["beta"] - fit.params[-1]) <= RELATIVE * max(abs(fit.params[-1]), fit.bse[-1])
        assert abs(row["standard_error"] - fit.bse[-1]) <= RELATIVE * fit.bse[-1]
        checked += 1
    assert checked == 25


def test_adjusted_change_is_the_test_of_the_value_after(files, table):
    cohort = cohort_of(files, table[0])
    change = ga.associate(cohort, ga.Linear("hba1c", ["age"], baseline="hba1c_before")).table
    after = ga.associate(cohort, ga.Linear("hba1c", ["age", "hba1c_before"])).table
    both = change["beta"].is_not_null().to_numpy()
    assert both.sum() > 50
    t, expected = (rows["statistic"].to_numpy()[both] for rows in (change, after))
    assert np.all(np.abs(t - expected) <= RELATIVE * np.maximum(np.abs(expected), 1))


def test_variant_that_moves_the_baseline_is_marked(files, table):
    frame, codes, strong = table
    rows = ga.associate(cohort_of(files, frame), ga.Linear("hba1c", ["age"], baseline="hba1c_before")).table
    row = rows.row(strong, named=True)
    fit, _ = fitted(frame["hba1c_before"].to_numpy(), [frame["age"].to_numpy()], codes[strong])
    assert row["neg_log_10_p_value"] > 4
    # dense float64 on both sides: 1e-8 is far above rounding
    assert row["baseline_neg_log_10_p"] == pytest.approx(-np.log10(fit.pvalues[-1]), rel=1e-8)
    quiet = rows.filter(pl.col("neg_log_10_p_value") < 4)
    assert quiet.height > 50 and quiet["baseline_neg_log_10_p"].null_count() == quiet.height


def test_formula_and_named_baseline_agree(files, table):
    cohort = cohort_of(files, table[0])
    listed = ga.associate(cohort, ga.Linear("hba1c", ["age"], baseline="hba1c_before")).table
    formula = ga.associate(cohort, ga.Linear("hba1c", "age", baseline={"hba1c": "hba1c_before"})).table
    assert bits(listed) == bits(formula)


def test_traits_with_other_baselines_do_not_touch_each_other(files, table):
    cohort = cohort_of(files, table[0])
    both = ga.associate(
        cohort, ga.Linear(["ldl", "hba1c"], ["age"], baseline={"hba1c": "hba1c_before", "ldl": "ldl_before"})
    ).table
    for trait in ("ldl", "hba1c"):
        alone = ga.associate(cohort, ga.Linear(trait, ["age"], baseline=f"{trait}_before")).table
        assert bits(both.filter(pl.col("trait") == trait)) == bits(alone)


def test_unadjusted_change_is_warned_of(files, table):
    cohort = cohort_of(files, table[0])
    results = ga.associate(cohort, ga.Linear("ldl", baseline="ldl_before", adjust_baseline=False))
    assert any("regression to the mean" in note for note in results.provenance["notes"])
    adjusted = ga.associate(cohort, ga.Linear("ldl", baseline="ldl_before"))
    assert not any("regression to the mean" in note for note in adjusted.provenance["notes"])
    assert any("adjusted for ldl_before" in note for note in adjusted.provenance["notes"])


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"baseline": ["a", "b"]}, "2 baselines for 1 traits"),
        ({"baseline": {"hdl": "a"}}, "one side only"),
        ({"baseline": "ldl"}, "its own baseline"),
        ({"baseline": 3}, "one a trait"),
        ({"adjust_baseline": False}, "name the baseline too"),
    ],
)
def test_wrong_baselines(choices, message):
    with pytest.raises(ValueError, match=message):
        ga.Linear("ldl", **choices)


def test_constant_change_is_refused(files, table):
    frame = table[0].with_columns(copy=pl.col("ldl") + 1.0)
    with pytest.raises(ga.PhenotypeError, match="change of 'ldl' from 'copy'"):
        ga.associate(cohort_of(files, frame), ga.Linear("ldl", baseline="copy", adjust_baseline=False))


def test_baseline_survives_a_copy():
    model = ga.Linear("ldl", baseline="ldl_before")
    assert dataclasses.replace(model, covariates=("age",)).baseline == ("ldl_before",)


# endpoints of columns and dates ------------------------------------------------------------------------------------


def people(**columns):
    return pl.DataFrame({"IID": [f"p{i}" for i in range(len(next(iter(columns.values()))))], **columns}, strict=False)


def test_percent_change():
    table = people(after=[2.0, 6.0, None, 4.0], before=[4.0, 4.0, 4.0, None])
    made = ga.endpoints.percent_change(table, "after", baseline="before")
    assert made.to_list() == [-50.0, 50.0, None, None]
    assert made.name == "after_percent_change"


def test_percent_of_nothing_names_the_sample():
    table = people(after=[2.0, 6.0, 1.0], before=[4.0, 4.5, 0.0])
    with pytest.raises(ga.PhenotypeError, match=r"row 3 \(sample p2\)"):
        ga.endpoints.percent_change(table, "after", baseline="before")


def test_undeclared_missing_values_make_no_responders():
    after = [*np.linspace(2.0, 6.0, 40), -9.0, -9.0]
    with pytest.raises(ga.PhenotypeError, match="value -9 in 2 rows, first in row 41"):
        ga.endpoints.responder(people(after=after), "after", threshold=1.8)


@pytest.mark.parametrize(
    "choices, expected",
    [
        ({"threshold": 2.0}, [1, 0, None, 0]),
        ({"threshold": 2.0, "direction": "above"}, [1, 1, None, 1]),
        ({"percent": 50, "baseline": "before"}, [1, 0, None, None]),
        ({"percent": 10, "baseline": "before", "direction": "above"}, [0, 1, None, None]),
        ({"threshold": -1.8, "baseline": "before"}, [1, 0, None, None]),
    ],
)
def test_responder(choices, expected):
    table = people(after=[2.0, 6.0, None, 4.0], before=[4.0, 4.0, 4.0, None])
    assert ga.endpoints.responder(table, "after", **choices).to_list() == expected


def test_a_value_on_the_threshold_responds_in_spite_of_rounding():
    table = people(after=[3.3], before=[5.1])
    assert 3.3 - 5.1 > -1.8  # what a plain comparison would see
    assert ga.endpoints.responder(table, "after", threshold=-1.8, baseline="before").to_list() == [1]


@pytest.mark.parametrize(
    "choices, message",
    [({}, "one of the two"), ({"threshold": 1, "percent": 2}, "one of the two"), ({"percent": 50}, "name it")],
)
def test_responder_says_what_it_needs(choices, message):
    with pytest.raises(ValueError, match=message):
        ga.endpoints.responder(people(after=[1.0]), "after", **choices)


DATES = {
    "randomised": ["2020-01-01", "2020-01-01", "2020-01-01", "2020-01-01"],
    "last_seen": ["2020-12-31", "2021-12-31", "2020-06-30", None],
    "died": [None, "2021-12-31", None, None],
}


def test_time_to_event_from_dates():
    made = ga.endpoints.time_to_event(people(**DATES), "randomised", "last_seen", "died")
    assert made["time"].to_list() == [365.0, 730.0, 181.0, None]
    assert made["event"].to_list() == [0, 1, 0, None]


def test_time_to_event_is_cut_at_the_end_of_the_study():
    made = ga.endpoints.time_to_event(
        people(**DATES), "randomised", "last_seen", "died", censor_at="2020-12-31", unit="years", prefix="death_"
    )
    assert made["death_time"].to_list() == [365 / 365.25, 365 / 365.25, 181 / 365.25, None]
    assert made["death_event"].to_list() == [0, 0, 0, None]


def test_entry_and_an_event_of_zeros_and_ones():
    table = people(**DATES, recruited=["2020-03-01"] * 4, dead=[0, 1, None, 1])
    made = ga.endpoints.time_to_event(table, "randomised", "last_seen", "dead", entry="recruited")
    assert made.columns == ["time", "event", "entry"]
    assert made["event"].to_list() == [0, 1, None, None]
    assert made["entry"].to_list() == [60.0, 60.0, None, None]


@pytest.mark.parametrize(
    "changes, choices, message",
    [
        ({"last_seen": ["2019-12-30", *DATES["last_seen"][1:]]}, {}, r"before 'randomised' in row 1 \(sample p0\).*by 2 days"),
        ({"last_seen": ["2020-01-01", *DATES["last_seen"][1:]]}, {}, "0 days in row 1"),
        ({"died": ["2021-01-01", None, None, None]}, {}, "after the end of follow-up 'last_seen' in row 1"),
        ({"died": ["31/12/2020", None, None, None]}, {}, r"'31/12/2020' for a date in row 1"),
        ({"died": [0, 2, 0, 0]}, {}, "by 0 and 1"),
        ({"recruited": ["2022-01-01"] * 4}, {"entry": "recruited"}, "not before the end of follow-up in row 1"),
        ({}, {"censor_at": "soon"}, "censor_at is a date or a column of dates"),
        ({}, {"entry": "recruited"}, "no column 'recruited'"),
    ],
)  # fmt: skip
def test_impossible_dates_are_named(changes, choices, message):
    with pytest.raises(ga.PhenotypeError, match=message):
        ga.endpoints.time_to_event(people(**{**DATES, **changes}), "randomised", "last_seen", "died", **choices)
