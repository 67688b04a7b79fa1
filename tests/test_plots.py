"""Plots: what is drawn, what is left out and said so, sizes of files. Looks are for eyes."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from genassoc.errors import GenassocError, OutputError
from genassoc.plots import manhattan, qq, save_figure
from genassoc.plots.genome import GenomeAxis, chromosome_rank, fit_labels
from genassoc.plots.labels import boxes_touch
from genassoc.plots.manhattan import lead_variants
from genassoc.plots.qq import genomic_inflation, null_band
from genassoc.plots.thinning import thin


def make_results(n=5000, chromosomes=("1", "2", "10", "X"), seed=0, trait="ldl"):
    rng = np.random.default_rng(seed)
    position = np.sort(rng.integers(1, 200_000_000, n))
    return pl.DataFrame(
        {
            "chromosome": np.repeat(chromosomes, -(-n // len(chromosomes)))[:n].tolist(),
            "base_pair_location": position,
            "neg_log_10_p_value": rng.exponential(1 / np.log(10), n),
            "rsid": [f"rs{k}" for k in range(n)],
            "variant_id": [f"v{k}" for k in range(n)],
            "trait": [trait] * n,
            "test": ["add"] * n,
            "code": pl.Series([None] * n, dtype=pl.String),
        }
    )


def with_hits(results, hits):
    """Give rows ``hits`` (row -> -log10 p) their values."""
    values = results["neg_log_10_p_value"].to_numpy().copy()
    values[list(hits)] = list(hits.values())
    return results.with_columns(neg_log_10_p_value=pl.Series(values))


def drawn_points(ax, marker="o"):
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return np.concatenate([np.column_stack(line.get_data()) for line in lines])


# ---------------------------------------------------------------- Manhattan


def test_manhattan_draws_every_strong_variant_and_thins_the_rest():
    results = make_results(400_000)
    strong = np.sort(results["neg_log_10_p_value"].filter(results["neg_log_10_p_value"] > 4).to_numpy())
    assert len(strong) > 5
    points = drawn_points(manhattan(results))
    assert len(points) < 150_000
    assert np.array_equal(np.sort(points[points[:, 1] > 4, 1]), strong)


def test_thinning_keeps_one_point_a_pixel_and_all_above():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.random(50_000), "y": rng.random(50_000) * 8})
    kept = thin(table, "x", "y", x_end=1.0, y_end=8.0)
    assert kept.filter(pl.col("y") > 4).height == table.filter(pl.col("y") > 4).height
    pixel = ((pl.col("x") * 2400).cast(pl.Int64), (pl.col("y") / 8 * 400).cast(pl.Int64))
    low = table.filter(pl.col("y") <= 4).select(px=pixel[0], py=pixel[1]).unique()
    low_kept = kept.filter(pl.col("y") <= 4).select(px=pixel[0], py=pixel[1])
    assert low_kept.sort("px", "py").equals(low.sort("px", "py"))
    small = table.head(100)
    assert thin(small, "x", "y", x_end=1.0, y_end=8.0).equals(small)


def test_chromosomes_in_natural_order():
    names = ["chr10", "chrM", "chrX", "chr2", "GL000192.1", "chr1", "chrY"]
    assert sorted(names, key=chromosome_rank) == [
        "chr1",
        "chr2",
        "chr10",
        "chrX",
        "chrY",
        "chrM",
        "GL000192.1",
    ]
    assert sorted(["MT", "22", "3", "X"], key=chromosome_rank) == ["3", "22", "X", "MT"]
    results = make_results(4000, ("chr10", "chr2", "chrX", "chr1"))
    ax = manhattan(results)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "10", "X"]
    genome = GenomeAxis.of(results)
    placed = genome.place(results)
    spans = placed.group_by("chromosome_index").agg(lo=pl.col("x").min(), hi=pl.col("x").max()).sort("chromosome_index")
    assert (spans["lo"][1:].to_numpy() > spans["hi"][:-1].to_numpy()).all()
    assert spans["hi"][-1] == pytest.approx(genome.end, rel=1e-12)  # float sums


def test_tick_labels_do_notboxes_touch():
    ticks, names = fit_labels([0.0, 1.0, 50.0, 99.0], ["1", "2", "3", "scaffold_77"], 100.0, 200.0)
    assert names == ["1", "3", "scaffold_77"]
    assert ticks == [0.0, 50.0, 99.0]
    many = make_results(3000, tuple(f"contig{k:03d}" for k in range(300)))
    ax = manhattan(many)
    figure = ax.get_figure()
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_one_lead_a_locus():
    results = make_results(10, ("1",)).with_columns(
        base_pair_location=pl.Series([1, 2, 3, 500_003, 500_004, 900_000, 2_000_000, 3, 4, 5]),
        chromosome=pl.Series(["1"] * 7 + ["2"] * 3),
        neg_log_10_p_value=pl.Series([8.0, 9.0, 20.0, 19.0, 18.0, 17.0, 5.0, 30.0, 29.0, 1.0]),
    )
    points = GenomeAxis.of(results).place(results)
    leads = lead_variants(points, 7.3)
    # 500_003 is within 500 kb of the lead at 3; 500_004 is not, and leads 900_000
    assert leads["variant_id"].to_list() == ["v7", "v2", "v4"]
    ax = manhattan(results, annotate=2)
    assert sorted(t.get_text() for t in ax.texts) == ["rs2", "rs7"]
    assert len(drawn_points(ax, "D")) == 3


def test_names_of_neighbouring_peaks_do_not_overlap():
    hits = {100: 20.0, 140: 20.0, 180: 19.5, 220: 20.1, 3998: 25.0, 3: 24.0}
    results = with_hits(make_results(4000), hits)
    ax = manhattan(results, annotate=6)
    figure = ax.get_figure()
    figure.draw_without_rendering()
    # the words' boxes, in pixels; annotations' own boxes would include their lines
    boxes = []
    for text in ax.texts:
        box = Text.get_window_extent(text, figure.canvas.get_renderer())
        boxes.append((box.x0, box.y0, box.x1, box.y1))
    assert len(boxes) == 6
    shrunk = [(a + 3, b + 1, c - 3, d - 1) for a, b, c, d in boxes]  # touching edges are no overlap
    assert not any(boxes_touch(a, b) for k, a in enumerate(shrunk) for b in shrunk[:k])
    width = figure.bbox.width
    assert all(box[0] >= 0 and box[2] <= width for box in boxes)


def test_names_fall_back_to_the_variant_id():
    results = with_hits(make_results(100), {50: 12.0}).with_columns(
        rsid=pl.when(pl.col("variant_id") == "v50").then(None).otherwise(pl.col("rsid"))
    )
    assert [t.get_text() for t in manhattan(results).texts] == ["v50"]


def test_null_rows_are_left_out_and_counted():
    results = make_results(1000)
    p_values = pl.Series([None] * 30 + results["neg_log_10_p_value"].to_list()[30:])
    codes = pl.Series(["monomorphic"] * 20 + ["collinear"] * 10 + [None] * 970)
    results = results.with_columns(neg_log_10_p_value=p_values, code=codes)
    for plot in (manhattan, qq):
        ax = plot(results)
        said = [t.get_text() for t in ax.texts]
        assert said == ["30 without a p-value not drawn (monomorphic: 20, collinear: 10)"]
    assert len(drawn_points(qq(results))) == 970


def test_lines_at_the_levels():
    ax = manhattan(make_results(), significance=1e-6, suggestive=None)
    assert [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "None"] == [pytest.approx(6.0)]


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_given_axes_are_used_and_no_global_figure_is_made(plot):
    from matplotlib import _pylab_helpers

    figure = Figure(figsize=(8, 4))
    left, _right = figure.subplots(1, 2)
    assert plot(make_results(), ax=left, title="mine") is left
    assert left.get_title(loc="left") == "mine"
    plot(make_results())
    assert not _pylab_helpers.Gcf.get_all_fig_managers()


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_anything_with_scan_and_lazy_tables(plot):
    results = make_results()

    class Results:
        def scan(self):
            return results.lazy()

    one, two, three = (drawn_points(plot(source)) for source in (results, results.lazy(), Results()))
    assert np.array_equal(one, two)
    assert np.array_equal(one, three)


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_one_trait_and_test_at_a_time(plot):
    ldl, t2d = make_results(500), make_results(300, trait="t2d", seed=1)
    both = pl.concat([ldl, t2d])
    with pytest.raises(GenassocError, match="pass trait= one of 'ldl', 't2d'"):
        plot(both)
    with pytest.raises(GenassocError, match="no trait 'bmi'; they have 'ldl', 't2d'"):
        plot(both, trait="bmi")
    assert len(drawn_points(plot(both, trait="t2d"))) == 300
    tests = pl.concat([ldl, ldl.with_columns(test=pl.lit("add:arm"))])
    with pytest.raises(GenassocError, match="pass test= one of 'add', 'add:arm'"):
        plot(tests)
    assert plot(tests, test="add:arm").get_title(loc="left") == "ldl, add:arm"
    bare = ldl.drop("trait", "test", "code")
    assert len(drawn_points(plot(bare))) == 500
    with pytest.raises(GenassocError, match="no column 'trait'"):
        plot(bare, trait="ldl")


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_nothing_to_draw_is_an_error(plot):
    results = make_results(50)
    with pytest.raises(GenassocError, match="have no rows"):
        plot(results.head(0))
    with pytest.raises(GenassocError, match="none of the 50 rows of trait 'ldl' has a p-value"):
        plot(results.with_columns(neg_log_10_p_value=pl.lit(None, pl.Float64)))
    with pytest.raises(GenassocError, match="lack neg_log_10_p_value"):
        plot(results.drop("neg_log_10_p_value"))


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_a_single_variant(plot, tmp_path):
    assert save_figure(plot(make_results(1)), tmp_path / "x.png").stat().st_size > 1000


# ---------------------------------------------------------------- QQ


def test_inflation_is_the_median_chi_squared_over_its_expectation():
    rng = np.random.default_rng(0)
    z = rng.normal(size=20_001) * 1.1
    p = stats.chi2.sf(z**2, 1)
    # the same median through two ways of inverting a tail
    assert genomic_inflation(-np.log10(p)) == pytest.approx(np.median(z**2) / stats.chi2.median(1), rel=1e-9)
    # no underflow: z = 100 has p = 10^-2173
    log10p = -(stats.norm.logsf(100.0) + np.log(2)) / np.log(10)
    assert genomic_inflation(np.array([log10p])) == pytest.approx(100**2 / stats.chi2.median(1), rel=1e-9)


def test_null_band_holds_95_percent_of_null_ranks():
    middle, lower, upper = null_band(500)
    assert np.all((lower < middle) & (middle < upper))
    rank_one = stats.beta.ppf([0.975, 0.025], 1, 500)
    assert np.allclose([lower[0], upper[0]], -np.log10(rank_one), rtol=1e-9)  # the same function, two libraries
    simulated = -np.log10(np.random.default_rng(0).random((4000, 500)).min(axis=1))
    inside = np.mean((simulated > lower[0]) & (simulated < upper[0]))
    assert abs(inside - 0.95) < 0.015  # 4 standard errors of 4,000 draws


def test_qq_says_lambda_and_draws_what_is_expected():
    results = make_results(3000)
    ax = qq(results)
    observed = np.sort(results["neg_log_10_p_value"].to_numpy())
    inflation = genomic_inflation(observed)
    assert f"{inflation:.3f}" in " ".join(text.get_text() for text in ax.get_legend().get_texts())
    points = drawn_points(ax)
    # thinning drops points that share a pixel; the extremes stay
    assert points[:, 1].max() == observed[-1]
    assert points[:, 0].max() == pytest.approx(-np.log10(0.5 / 3000))


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
@pytest.mark.parametrize("plot", [manhattan, qq])
def test_files_are_small_and_the_same_each_time(plot, ending, tmp_path):
    results = make_results(300_000)
    path = save_figure(plot(results), tmp_path / f"x.{ending}")
    assert path.stat().st_size < 2_000_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    if ending != "svg":  # matplotlib's SVG ids are random unless told otherwise by a global setting
        assert save_figure(plot(results).get_figure(), tmp_path / f"y.{ending}").read_bytes() == path.read_bytes()


def test_what_cannot_be_saved_is_said(tmp_path):
    ax = qq(make_results(100))
    with pytest.raises(OutputError, match=r"\.png, \.pdf or \.svg"):
        save_figure(ax, tmp_path / "x.docx")
    with pytest.raises(OutputError, match="folder does not exist"):
        save_figure(ax, tmp_path / "absent" / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_imported_only_when_drawing():
    code = "import sys, genassoc.plots; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
