"""Plots: what is drawn, what is left out and said so, sizes of files. Looks are for eyes."""

import subprocess
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from plot_tables import drawn_points, make_results, with_hits

from genassoc.errors import GenassocError, OutputError
from genassoc.plots import manhattan, miami, qq, save_figure
from genassoc.plots.genome import GenomeAxis, chromosome_rank, chromosome_spans, fit_labels
from genassoc.plots.labels import boxes_touch
from genassoc.plots.panel import lead_variants
from genassoc.plots.thinning import one_per_pixel

# ---------------------------------------------------------------- Manhattan


def test_manhattan_draws_every_strong_variant_and_thins_the_rest():
    results = make_results(400_000)
    strong = np.sort(results["neg_log_10_p_value"].filter(results["neg_log_10_p_value"] > 4).to_numpy())
    assert len(strong) > 5
    points = drawn_points(manhattan(results))
    assert len(points) < 150_000
    assert np.array_equal(np.sort(points[points[:, 1] > 4, 1]), strong)


def test_few_points_are_drawn_as_they_are():
    results = make_results(15_000)
    points = drawn_points(manhattan(results))
    assert np.array_equal(np.sort(points[:, 1]), np.sort(results["neg_log_10_p_value"].to_numpy()))


def test_thinning_keeps_every_pixel_that_has_a_point():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(
        {
            "chromosome": rng.choice(["1", "2"], 50_000).tolist(),
            "base_pair_location": rng.integers(0, 1_000_000, 50_000),
            "neg_log_10_p_value": rng.random(50_000) * 8,
        }
    )
    kept = one_per_pixel(table.lazy(), x_end=1e6, y_end=8.0)
    assert kept.height < 50_000
    pixel = (
        "chromosome",
        (pl.col("base_pair_location") * (2400 / 1e6)).cast(pl.Int64).alias("across"),
        (pl.col("neg_log_10_p_value") * (400 / 8.0)).cast(pl.Int64).alias("up"),
    )
    highest = pl.col("neg_log_10_p_value").max()
    want = table.group_by(*pixel).agg(highest).sort("chromosome", "across", "up")
    # one point for each of the pixels, as high as the pixel's highest
    assert kept.group_by(*pixel).agg(highest, pl.len()).sort("chromosome", "across", "up").drop("len").equals(want)
    assert kept.height == want.height


def test_very_many_strong_points_are_thinned_too(monkeypatch):
    from genassoc.plots import thinning

    monkeypatch.setattr(thinning, "MOST_STRONG", 1000)
    results = make_results(50_000).with_columns(pl.col("neg_log_10_p_value") + 4.0)
    strong = results["neg_log_10_p_value"].to_numpy()
    ax = manhattan(results)
    points = drawn_points(ax)
    assert 1000 < len(points) < 50_000
    assert points[:, 1].max() == strong.max()
    assert len(drawn_points(ax, "D")) == lead_variants(results, -np.log10(5e-8)).height  # leads are of all


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
    genome = GenomeAxis.of(chromosome_spans(results.lazy()))
    placed = genome.place(results)
    spans = placed.group_by("chromosome_index").agg(lo=pl.col("x").min(), hi=pl.col("x").max()).sort("chromosome_index")
    assert (spans["lo"][1:].to_numpy() > spans["hi"][:-1].to_numpy()).all()
    assert spans["hi"][-1] == pytest.approx(genome.end, rel=1e-12)  # float sums


def test_spellings_of_a_chromosome_are_one():
    results = make_results(900, ("chr2", "2", "02"))
    genome = GenomeAxis.of(chromosome_spans(results.lazy()))
    assert genome.names == ("2",)
    assert genome.place(results)["chromosome_index"].unique().to_list() == [0]


def test_chromosomes_may_be_numbers():
    results = make_results(300, ("10", "2")).with_columns(pl.col("chromosome").cast(pl.Int64))
    assert [label.get_text() for label in manhattan(results).get_xticklabels()] == ["2", "10"]


def test_tick_labels_do_not_touch():
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
    leads = lead_variants(results, 7.3)
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
    bare = results.select("chromosome", "base_pair_location", "neg_log_10_p_value")
    place = f"{bare['chromosome'][50]}:{bare['base_pair_location'][50]}"
    assert [t.get_text() for t in manhattan(bare).texts] == [place]
    long = results.with_columns(variant_id=pl.lit("1_50_A_" + "ACGT" * 50))
    assert [t.get_text() for t in manhattan(long).texts] == ["1_50_A_ACGTACGTACGTACGT…"]


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


def test_a_wide_caption_is_broken_into_lines_below_the_axis_label():
    results = make_results(1000)
    codes = [f"some_code_{k % 12}" for k in range(100)] + [None] * 900
    p_values = pl.when(pl.Series(codes, dtype=pl.String).is_null()).then("neg_log_10_p_value")
    ax = qq(results.with_columns(neg_log_10_p_value=p_values, code=pl.Series(codes, dtype=pl.String)))
    figure = ax.get_figure()
    figure.draw_without_rendering()
    (caption,) = ax.texts
    box = Text.get_window_extent(caption, figure.canvas.get_renderer())
    assert caption.get_text().count("\n") >= 2
    assert box.x0 >= 0 and box.y0 >= 0
    label = ax.xaxis.label.get_window_extent(figure.canvas.get_renderer())
    line = label.height / (1 + ax.get_xlabel().count("\n"))
    assert box.y1 <= label.y1 - 0.8 * line  # the label's own line is above the caption


@pytest.mark.parametrize("plot", [manhattan, qq])
def test_anything_with_scan_and_lazy_tables(plot):
    results = make_results()

    class Results:
        def scan(self):
            return results.lazy()

    class Text(Results):
        path = "x.tsv.gz"

    one, *others = (drawn_points(plot(source)) for source in (results, results.lazy(), Results(), Text()))
    assert all(np.array_equal(one, other) for other in others)


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


# ---------------------------------------------------------------- size


@pytest.mark.parametrize(
    "draw",
    [manhattan, miami, qq, partial(qq, by="maf"), partial(qq, by="method")],
    ids=["manhattan", "miami", "qq", "qq by maf", "qq by method"],
)
def test_a_table_on_disk_is_never_in_memory_as_a_whole(draw, tmp_path, monkeypatch):
    results = make_results(600_000).with_columns(
        trait=pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.lit("ldl")).otherwise(pl.lit("t2d")),
        method=pl.when(pl.col("neg_log_10_p_value") > 1.3).then(pl.lit("firth")).otherwise(pl.lit("score")),
    )
    results.write_parquet(tmp_path / "x.parquet", row_group_size=50_000)
    heights = []
    collect = pl.LazyFrame.collect

    def counting(frame, **options):
        table = collect(frame, **options)
        heights.append(table.height)
        return table

    monkeypatch.setattr(pl.LazyFrame, "collect", counting)
    draw(pl.scan_parquet(tmp_path / "x.parquet"), **({} if draw is miami else {"trait": "ldl"}))
    # of 300,000 rows a series: pixels that have any in a Manhattan plot, bins of p in a QQ plot
    assert max(heights) < (150_000 if draw in (manhattan, miami) else 10_000)
