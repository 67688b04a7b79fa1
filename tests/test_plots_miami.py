"""Miami plots: two series mirrored on one genome; and all the plots of one results file."""

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from plot_tables import drawn_points, make_results, with_hits

from genassoc.errors import GenassocError
from genassoc.plots import manhattan, miami, save_figure
from genassoc.results import Results
from genassoc.verbs.describe import draw_all


def test_two_results_share_a_genome_and_the_lower_runs_downward():
    ldl = with_hits(make_results(2000, ("1", "2", "3")), {10: 30.0, 1900: 12.0})
    t2d = with_hits(make_results(1500, ("chr2", "chr10"), seed=1, trait="t2d"), {700: 9.0})
    upper, lower = miami(ldl, t2d)
    assert upper.get_xlim() == lower.get_xlim()
    assert [label.get_text() for label in upper.get_xticklabels()] == ["1", "2", "3", "10"]
    assert not lower.get_xticklabels()
    (bottom, top), (far, near) = upper.get_ylim(), lower.get_ylim()
    assert bottom == 0 < 30 < top and near == 0 < 9 < far < top
    # the same position of the same chromosome, however spelt, has the same place
    alone, _ = miami(t2d.with_columns(pl.col("chromosome").str.slice(3)), ldl)
    assert np.array_equal(drawn_points(alone), drawn_points(lower))
    assert len(drawn_points(upper)) == 2000
    assert [text.get_text() for text in upper.texts] == ["rs10", "rs1900"]
    assert [text.get_text() for text in lower.texts] == ["t2d", "rs700"]
    assert upper.get_title(loc="left") == "ldl"


def test_names_in_the_lower_panel_stand_below_their_points():
    results = with_hits(make_results(1000), {100: 20.0, 500: 25.0})
    upper, lower = miami(results, results)
    upper.get_figure().draw_without_rendering()
    for ax, side in ((upper, 1), (lower, -1)):
        names = [text for text in ax.texts if text.get_text().startswith("rs")]
        assert len(names) == 2
        for text in names:
            box, point = text.get_window_extent(), ax.transData.transform(text.xy)
            assert side * ((box.y0 + box.y1) / 2 - point[1]) > 0


def test_one_scale_where_asked_for():
    strong, weak = with_hits(make_results(500), {3: 80.0}), make_results(500, trait="t2d")
    upper, lower = miami(strong, weak, same_scale=True)
    assert upper.get_ylim() == lower.get_ylim()[::-1]
    assert lower.get_ylim()[0] > 80
    assert miami(strong, weak)[1].get_ylim()[0] < 10


def test_two_traits_or_two_tests_of_one_table():
    ldl, t2d, bmi = (make_results(300 + k, trait=name) for k, name in enumerate(("ldl", "t2d", "bmi")))
    upper, lower = miami(pl.concat([ldl, t2d]))
    assert (len(drawn_points(upper)), len(drawn_points(lower))) == (300, 301)
    upper, lower = miami(pl.concat([ldl, t2d, bmi]), trait=("bmi", "ldl"))
    assert (len(drawn_points(upper)), len(drawn_points(lower))) == (302, 300)
    tests = pl.concat([ldl, ldl.head(200).with_columns(test=pl.lit("add:arm"))])
    upper, lower = miami(tests, test=("add", "add:arm"))
    assert len(drawn_points(lower)) == 200
    assert (upper.get_title(loc="left"), lower.texts[0].get_text()) == ("ldl", "ldl, add:arm")
    with pytest.raises(GenassocError, match="3 traits: pass trait= a pair of 'ldl', 't2d', 'bmi'"):
        miami(pl.concat([ldl, t2d, bmi]))
    with pytest.raises(GenassocError, match="have one trait: pass other="):
        miami(ldl)
    with pytest.raises(GenassocError, match="'ldl' above itself"):
        miami(ldl, trait="ldl")
    with pytest.raises(GenassocError, match="trait has 3"):
        miami(ldl, trait=("a", "b", "c"))


def test_axes_given_are_used_and_what_is_left_out_is_said():
    ldl = make_results(400)
    t2d = make_results(400, trait="t2d").with_columns(
        neg_log_10_p_value=pl.when(pl.col("variant_id") != "v7").then("neg_log_10_p_value"),
        code=pl.when(pl.col("variant_id") == "v7").then(pl.lit("separation")),
    )
    figure = Figure(figsize=(8, 9))
    first, second, third = figure.subplots(3, 1)
    drawn = miami(ldl, t2d, axes=(second, third), titles=("LDL", "diabetes"))
    assert drawn == (second, third)
    assert not first.lines
    assert second.get_title(loc="left") == "LDL"
    assert [text.get_text() for text in third.texts] == [
        "diabetes: 1 without a p-value not drawn (separation: 1)",
        "diabetes",
    ]


def test_the_upper_panel_is_the_manhattan_plot():
    results = with_hits(make_results(40_000), {77: 15.0})
    upper, _ = miami(results, results)
    # thinning depends on the axes' ends alone
    assert np.array_equal(drawn_points(upper), drawn_points(manhattan(results)))


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_files_are_small_and_the_same_each_time(ending, tmp_path):
    both = pl.concat([make_results(200_000), make_results(200_000, trait="t2d")])
    path = save_figure(miami(both), tmp_path / f"x.{ending}")
    assert path.stat().st_size < 2_000_000
    assert save_figure(miami(both)[0].get_figure(), tmp_path / f"y.{ending}").read_bytes() == path.read_bytes()


# ---------------------------------------------------------------- all the plots of a results file


def names_of(paths):
    return sorted(path.name for path in paths)


def test_two_traits_are_drawn_together_too(tmp_path):
    ldl, t2d = make_results(200), make_results(200, trait="t2d")
    drawn = draw_all(Results(pl.concat([ldl, t2d])), tmp_path / "plots", "svg")
    both = ["ldl-t2d.miami.svg"]
    assert names_of(drawn) == sorted([*both, *(f"{t}.{k}.svg" for t in ("ldl", "t2d") for k in ("manhattan", "qq"))])
    assert names_of((tmp_path / "plots").iterdir()) == names_of(drawn)


def test_a_test_of_one_trait_alone_has_no_miami_plot(tmp_path):
    ldl, t2d = make_results(100), make_results(100, trait="t2d")
    table = pl.concat([ldl, t2d, t2d.with_columns(test=pl.lit("add:arm"))])
    names = names_of(draw_all(Results(table), tmp_path, "png"))
    assert [name for name in names if "miami" in name] == ["ldl-t2d.add.miami.png"]
    assert "t2d.add_arm.qq.png" in names


def test_one_trait_without_p_values_does_not_keep_the_others_from_being_drawn(tmp_path):
    failed = make_results(100, trait="t2d").with_columns(neg_log_10_p_value=pl.lit(None, pl.Float64))
    with pytest.raises(GenassocError, match=r"2 plots are in .*; 3 could not be drawn") as error:
        draw_all(Results(pl.concat([failed, make_results(100)])), tmp_path, "png")
    assert "t2d.qq.png: Nothing to draw: none of the 100 rows of trait 't2d'" in str(error.value)
    assert names_of(tmp_path.iterdir()) == ["ldl.manhattan.png", "ldl.qq.png"]


def test_three_traits_are_not_drawn_together_and_names_that_differ_by_a_slash_have_their_own_files(tmp_path):
    table = pl.concat([make_results(100, trait="a/b"), make_results(100, trait="a:b"), make_results(100, trait="c")])
    drawn = draw_all(Results(table), tmp_path, "png")
    assert len(drawn) == len(set(drawn)) == len(list(tmp_path.iterdir())) == 6
