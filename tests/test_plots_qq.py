"""QQ plots: ranks from counts against sorting all p-values, groups, bands."""

import numpy as np
import polars as pl
import pytest
from plot_tables import drawn_points, legend_texts, make_results
from scipy import stats

from genassoc.errors import GenassocError
from genassoc.plots import qq
from genassoc.plots.qq import null_band
from genassoc.plots.ranks import BINS, rank_groups
from genassoc.stats.inflation import genomic_inflation


def sorted_ranks(values):
    """Expected and observed -log10 p of every rank, highest first."""
    n = len(values)
    return -np.log10((np.arange(1, n + 1) - 0.5) / n), np.sort(values)[::-1]


def inflation(values):
    """lambda_GC by scipy's chi-squared."""
    chi2 = stats.chi2.isf(10.0 ** -np.asarray(values), 1)
    return np.median(chi2) / stats.chi2.median(1)


def ranked(groups, together=False):
    """`rank_groups` of arrays of -log10 p."""
    frames = [pl.DataFrame({"group": [k] * len(v), "neg_log_10_p_value": v}) for k, v in enumerate(groups)]
    return rank_groups(pl.concat(frames).lazy(), sum(map(len, groups)), together=together)


# ---------------------------------------------------------------- lambda


def test_inflation_is_the_median_chi_squared_over_its_expectation():
    z = np.random.default_rng(0).normal(size=20_001) * 1.1
    middle = -np.log10(np.median(stats.chi2.sf(z**2, 1)))
    # the same median through two ways of inverting a tail
    want = np.median(z**2) / stats.chi2.median(1)
    assert genomic_inflation(middle, middle) == pytest.approx(want, rel=1e-9)
    # of two middle values, the mean of their chi-squared
    want = np.mean([stats.chi2.isf(10**-0.2, 1), stats.chi2.isf(10**-0.4, 1)]) / stats.chi2.median(1)
    assert genomic_inflation(0.2, 0.4) == pytest.approx(want, rel=1e-9)
    # no underflow: z = 100 has p = 10^-2173
    log10p = -(stats.norm.logsf(100.0) + np.log(2)) / np.log(10)
    assert genomic_inflation(log10p, log10p) == pytest.approx(100**2 / stats.chi2.median(1), rel=1e-9)
    assert np.isnan(genomic_inflation([np.nan], [0.3])).all()


# ---------------------------------------------------------------- ranks


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1001, 60_000])
def test_ranks_from_counts_are_those_of_sorting(n):
    values = np.random.default_rng(n).exponential(1 / np.log(10), n)
    (found,) = ranked([values])
    expected, observed = sorted_ranks(values)
    rank = np.rint(10.0**-found.expected * n + 0.5).astype(int)
    assert found.n == n
    assert np.all(np.diff(rank) > 0)
    # within a bin the curve is interpolated between its true ends
    assert np.max(np.abs(found.observed - observed[rank - 1])) < 1 / BINS
    assert found.observed[0] == observed[0] and found.observed[-1] == observed[-1]
    strongest = n if n <= 20_000 else 20  # few are all drawn, exactly; of many, those alone in their bins
    assert np.array_equal(rank[:strongest], np.arange(1, strongest + 1))
    assert np.array_equal(found.observed[:strongest], observed[:strongest])
    # nothing is left out: each of the sorted points has a drawn one within a pixel of 1/1000 of the axes
    gap = np.diff(found.expected[::-1]).max(initial=0)
    assert gap <= max(np.diff(expected[::-1]).max(initial=0), expected[0] / 1000)
    assert found.inflation == pytest.approx(inflation(values), rel=1e-9)  # two inversions of a tail


def test_ties_keep_their_ranks():
    values = np.array([0.0] * 500 + [0.30103] * 300 + [2.0] * 200)
    (found,) = ranked([values])
    rank = np.rint(10.0**-found.expected * 1000 + 0.5).astype(int)
    assert np.array_equal(found.observed, np.sort(values)[::-1][rank - 1])
    assert {1, 200, 201, 500, 501, 1000} <= set(rank)


def test_groups_ranked_together_are_parts_of_one_curve():
    values = np.random.default_rng(5).exponential(1 / np.log(10), 30_000)
    likely, unlikely = values[values < 1.3], values[values >= 1.3]
    groups = ranked([likely, unlikely], together=True)
    whole_expected, whole_observed = sorted_ranks(values)
    for group in groups:
        at = np.interp(group.expected[::-1], whole_expected[::-1], whole_observed[::-1])[::-1]
        assert np.max(np.abs(group.observed - at)) < 2 / BINS  # a bin's interpolation, twice
    assert [group.n for group in groups] == [len(likely), len(unlikely)]
    # at the rank of its median, each is what the whole is there
    rank = (len(unlikely) + 1) / 2
    want = stats.chi2.isf(10 ** -np.median(unlikely), 1) / stats.chi2.isf((rank - 0.5) / len(values), 1)
    assert groups[1].inflation == pytest.approx(want, rel=1e-3)  # the median of an even number, two ways
    assert abs(groups[1].inflation - 1) < 0.1
    # alone, the small p-values would look like an enormous inflation
    assert inflation(unlikely) > 5


def test_one_group_together_is_one_group_alone():
    values = np.random.default_rng(6).exponential(1 / np.log(10), 999)
    (alone,), (together,) = ranked([values]), ranked([values], together=True)
    assert np.array_equal(alone.observed, together.observed)
    assert together.inflation == pytest.approx(alone.inflation, rel=1e-12)  # log10(2) and -log10(0.5 n / n)


def test_null_band_holds_95_percent_of_null_ranks():
    middle, lower, upper = null_band(500)
    assert np.all((lower < middle) & (middle < upper))
    rank_one = stats.beta.ppf([0.975, 0.025], 1, 500)
    assert np.allclose([lower[0], upper[0]], -np.log10(rank_one), rtol=1e-9)  # the same function, two libraries
    simulated = -np.log10(np.random.default_rng(0).random((4000, 500)).min(axis=1))
    inside = np.mean((simulated > lower[0]) & (simulated < upper[0]))
    assert abs(inside - 0.95) < 0.015  # 4 standard errors of 4,000 draws


# ---------------------------------------------------------------- what is drawn


def test_one_colour_says_count_and_lambda():
    results = make_results(3000)
    ax = qq(results)
    observed = results["neg_log_10_p_value"].to_numpy()
    assert legend_texts(ax)[1] == rf"3,000 variants, $\lambda_{{GC}}$ = {inflation(observed):.3f}"
    points = drawn_points(ax)
    assert points[:, 1].max() == observed.max()
    assert points[:, 0].max() == pytest.approx(-np.log10(0.5 / 3000))


def test_lambda_is_that_of_the_results():
    from genassoc.results import Results

    results = make_results(4000)
    assert f"= {Results(results).lambda_gc():.3f}" in legend_texts(qq(results))[1]


def test_by_frequency_each_bin_has_its_colour_count_and_lambda():
    frequency = [0.0005, 0.9995, 0.001, 0.005, 0.99, 0.01, 0.03, 0.95, 0.05, 0.5, None, float("nan")]
    results = make_results(1200).with_columns(effect_allele_frequency=pl.Series(frequency * 100))
    ax = qq(results, by="maf")
    values = results["neg_log_10_p_value"].to_numpy().reshape(100, 12)
    # bounds belong to the bin they begin; frequencies above a half are of the minor allele's other side
    members = {"MAF ≥ 5 %": [7, 8, 9], "1–5 %": [4, 5, 6], "0.1–1 %": [2, 3], "< 0.1 %": [0, 1]}
    want = [
        rf"{name}: {100 * len(columns)}, $\lambda_{{GC}}$ = {inflation(values[:, columns].ravel()):.3f}"
        for name, columns in members.items()
    ]
    # 1 - 0.95 and 1 - 0.99 are a rounding above 0.05 and 0.01
    assert [1 - 0.95 >= 0.05, 1 - 0.99 >= 0.01] == [True, True]
    assert legend_texts(ax) == ["95 % band under the null", *want]
    colours = {line.get_color() for line in ax.lines if line.get_marker() == "o"}
    assert len(colours) == 4
    assert [text.get_text() for text in ax.texts] == ["200 without an allele frequency not drawn"]


def test_bins_can_be_chosen_and_empty_ones_are_not_drawn():
    results = make_results(500).with_columns(effect_allele_frequency=pl.lit(0.2))
    texts = legend_texts(qq(results, by="maf", maf_bins=(0.1, 0.3)))
    assert [text.split(":")[0] for text in texts[1:]] == ["10–30 %"]
    for wrong in ((), (0.1, 0.1), (0.2, 0.1), (0.0, 0.1), (0.1, 0.5)):
        with pytest.raises(GenassocError, match="maf_bins"):
            qq(results, by="maf", maf_bins=wrong)
    with pytest.raises(GenassocError, match="None of the 500 rows with a p-value has an effect_allele_frequency"):
        qq(results.with_columns(effect_allele_frequency=pl.lit(None, pl.Float64)), by="maf")
    with pytest.raises(GenassocError, match="lack effect_allele_frequency"):
        qq(results.drop("effect_allele_frequency"), by="maf")


def test_methods_of_one_run_share_a_ranking():
    results = make_results(20_000)
    firth = pl.col("neg_log_10_p_value") > -np.log10(0.05)
    results = results.with_columns(method=pl.when(firth).then(pl.lit("firth_approx")).otherwise(pl.lit("score")))
    ax = qq(results, by="method")
    n_firth = results.filter(firth).height
    band, score, corrected = legend_texts(ax)
    assert band == "95 % band under the null"
    assert score.startswith(f"score: {20_000 - n_firth:,}, ")
    assert corrected.startswith(f"firth_approx: {n_firth:,}, ")
    shown = [float(text.split("= ")[1]) for text in (score, corrected)]
    assert max(abs(value - 1) for value in shown) < 0.1  # null p-values, however they are divided
    assert "one ranking of all methods" in ax.texts[0].get_text()


def test_methods_of_the_same_variants_are_ranked_by_themselves():
    one, two = make_results(2000), make_results(2000, seed=1)
    both = pl.concat([one, two.with_columns(method=pl.lit("firth"), variant_id=one["variant_id"])])
    ax = qq(both, by="method")
    assert not ax.texts
    want = [
        rf"{name}: 2,000, $\lambda_{{GC}}$ = {inflation(table['neg_log_10_p_value']):.3f}"
        for name, table in (("firth", two), ("score", one))
    ]
    assert legend_texts(ax)[1:] == want
    assert legend_texts(qq(one, by="method"))[1].startswith("score: 2,000")


def test_several_results_by_name():
    one, two = make_results(2000), make_results(1500, seed=1)
    two = two.with_columns(neg_log_10_p_value=pl.when(pl.col("variant_id") != "v3").then("neg_log_10_p_value"))
    ax = qq({"score alone": one, "Firth": two.lazy()})
    texts = legend_texts(ax)[1:]
    assert texts[0] == rf"score alone: 2,000, $\lambda_{{GC}}$ = {inflation(one['neg_log_10_p_value']):.3f}"
    assert texts[1].startswith("Firth: 1,499, ")
    assert ax.texts[0].get_text().startswith("Firth: 1 without a p-value")
    assert ax.get_title(loc="left") == "ldl"
    assert qq({"a": one, "b": make_results(trait="t2d")}).get_title(loc="left") == ""
    with pytest.raises(GenassocError, match="their names are the colours"):
        qq({"a": one}, by="maf")
    with pytest.raises(GenassocError, match="empty"):
        qq({})


def test_other_groupings_are_refused():
    with pytest.raises(GenassocError, match="'maf' or by 'method'"):
        qq(make_results(10), by="chromosome")
