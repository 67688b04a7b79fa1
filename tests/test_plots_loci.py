"""Pictures of one variant or region, and loci: numbers against slow twins, what is drawn and what is said; looks are for eyes."""

import html
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import make
from matplotlib.figure import Figure
from plot_tables import make_results, with_hits
from statsmodels.duration.survfunc import survdiff

import genassoc as ga
from genassoc.data.cohort.ld import r2_with
from genassoc.errors import GenassocError, PlanError
from genassoc.explanation.pictures import located
from genassoc.plots.words import p_value, plain
from genassoc.stats.proportions import poisson_rate
from genassoc.stats.survival import log_rank

PLACE = ("chromosome", "base_pair_location", "other_allele", "effect_allele")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make(tmp_path_factory.mktemp("loci"), n_samples=260, n_variants=90)
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.fixture(scope="module")
def results(cohort):
    return ga.associate(cohort, ga.Linear(["ldl"], ["age"]))


@pytest.fixture(scope="module")
def cox(cohort):
    return ga.associate(cohort, ga.Cox("days", "death", ["age"], entry="entry"))


def common(results):
    rows = results.table.filter(pl.col("neg_log_10_p_value").is_finite() & (pl.col("mac") > 60))
    return rows.sort("neg_log_10_p_value", descending=True).row(0, named=True)


def dense_r2(a, b):
    both = (a < 3) & (b < 3)
    x, y = a[both].astype(float), b[both].astype(float)
    return np.nan if x.std() == 0 or y.std() == 0 else np.corrcoef(x, y)[0, 1] ** 2


# ---------------------------------------------------------------- LD and loci


def test_r2_is_that_of_the_calls(cohort):
    codes = cohort.store.read(0, cohort.store.n_variants).codes()[:, cohort.sample_index]
    others = np.array([5, -1, 80, 17, 17, 0, 44])
    found = r2_with(cohort, 17, others)
    want = [np.nan if k < 0 else dense_r2(codes[17], codes[k]) for k in others]
    assert np.allclose(found, want, rtol=1e-12, atol=1e-14, equal_nan=True)  # whole numbers until the last division
    some = cohort.keep_samples([str(name) for name in cohort.sample_ids[:70]])  # fewer than half: repacked
    want = [np.nan if k < 0 else dense_r2(codes[17, :70], codes[k, :70]) for k in others]
    assert np.allclose(r2_with(some, 17, others), want, rtol=1e-12, atol=1e-14, equal_nan=True)


def slow_clumps(table, line, distance, r2=None):
    """Lead rows and the sizes of their loci, one row after another."""
    left = [row for row in table.iter_rows(named=True) if row["neg_log_10_p_value"] >= line]
    found = []
    while left:
        lead = max(left, key=lambda row: row["neg_log_10_p_value"])
        mine = [
            row
            for row in left
            if row["chromosome"] == lead["chromosome"]
            and abs(row["base_pair_location"] - lead["base_pair_location"]) <= distance
            and (r2 is None or row is lead or r2(lead, row) >= 0.1)
        ]
        left = [row for row in left if row not in mine]
        found.append((lead["variant_id"], len(mine), min(r["base_pair_location"] for r in mine)))
    return found


@pytest.mark.parametrize("by_ld", [False, True])
def test_loci_are_those_of_a_slow_search(cohort, results, by_ld):
    table = results.table.filter(pl.col("neg_log_10_p_value").is_finite())
    codes = cohort.store.read(0, cohort.store.n_variants).codes()[:, cohort.sample_index]
    at = {key: k for k, key in enumerate(cohort.store.variants().select(PLACE).iter_rows())}

    def r2(a, b):
        return dense_r2(*(codes[at[tuple(row[name] for name in PLACE)]] for row in (a, b)))

    found = ga.clump(results, p=0.3, distance=20_000_000, r2=0.1 if by_ld else None)
    want = slow_clumps(table, -np.log10(0.3), 20_000_000, r2 if by_ld else None)
    assert found.select("variant_id", "n_variants", "start").rows() == want
    assert found["locus"].to_list() == list(range(1, len(want) + 1))
    assert 3 < len(want) < table.height


def test_no_locus_is_an_empty_table_and_what_is_wrong_is_said(results):
    empty = ga.clump(results, p=1e-300)
    assert empty.is_empty() and "n_variants" in empty.columns
    assert ga.clump(results.table.clear()).columns == empty.columns
    with pytest.raises(PlanError, match="r2=2"):
        ga.clump(results, r2=2)
    with pytest.raises(GenassocError, match="needs genotypes"):
        ga.clump(results.table, r2=0.1, p=1.0)
    with pytest.raises(GenassocError, match="no trait 'x'"):
        ga.clump(results, trait="x")


# ---------------------------------------------------------------- regional


def test_a_region_names_its_lead_and_has_positions_on_its_axis(cohort, results, tmp_path):
    lead = common(results)
    gtf = tmp_path / "genes.gtf"
    at, contig = lead["base_pair_location"], lead["chromosome"]
    text = '{}\tx\t{}\t{}\t{}\t.\t+\t.\tgene_id "E1"; gene_name "<script>$x$"\n'
    gtf.write_text(
        text.format(f"chr{contig}", "gene", at - 9000, at + 9000) + text.format(f"chr{contig}", "exon", at, at + 100)
    )
    ax = ga.plots.regional(results, lead["variant_id"], flank=30_000_000, genes=gtf)
    said = [text.get_text() for text in ax.texts]
    assert any(p_value(lead["neg_log_10_p_value"]) in text and "p = " in text for text in said)
    assert any("260 samples" in text for text in said)
    assert any(r"<script>\$x\$" in text for text in said)  # as it stands, no formula
    figure = ax.get_figure()
    figure.canvas.draw()
    ticks = [tick.get_text() for tick in ax.get_xticklabels()]
    assert len(set(ticks)) > 2 and "Mb" in ax.get_xlabel()
    assert min(tick for tick in ax.get_yticks()) >= 0  # genes are below the axis, not at negative -log10 p
    region = ga.plots.regional(results.table, f"{contig}:{at - 30_000_000:,}-{at + 30_000_000:,}".replace(":-", ":1"))
    assert any("no LD: a table has no cohort" in text.get_text() for text in region.texts)
    with pytest.raises(GenassocError, match="no row with a p of 'rs0'"):
        ga.plots.regional(results, "rs0")
    with pytest.raises(GenassocError, match="no chromosome Q"):
        ga.plots.regional(results, "Q:1-2")


def test_an_svg_says_what_hits_are_and_is_the_same_each_time(results):
    lead = common(results)
    table = results.table.with_columns(
        rsid=pl.when(pl.col("variant_id") == lead["variant_id"]).then(pl.lit('"<script>é&')).otherwise("rsid")
    )
    texts = [ga.plots.svg(ga.plots.regional(table, lead["variant_id"]), prefix="one-", label="a <b>") for _ in range(2)]
    assert texts[0] == texts[1]
    root = ElementTree.fromstring(texts[0])
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert any(title.startswith('"<script>é&\n') and "p = " in title for title in titles)
    assert "<script" not in texts[0] and html.escape("<script>") in texts[0]
    names = re.findall(r'\bid="([^"]*)"', texts[0])
    assert names and all(name.startswith("one-") for name in names)
    links = re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', texts[0])
    assert {a or b for a, b in links} <= set(names)


# ---------------------------------------------------------------- effects


def test_kaplan_meier_by_genotype(cox):
    lead = common(cox)
    figure = Figure(figsize=(5, 4), layout="constrained")
    ax = figure.add_subplot()
    assert ga.plots.kaplan_meier(cox, lead["variant_id"], ax=ax) is ax
    data = located(cox, lead["variant_id"])
    seen = ~np.isnan(data.data.copies)
    chi2, p = survdiff(data.data.time[seen], data.data.y[seen], data.data.copies[seen], entry=data.data.entry[seen])
    ours = log_rank(data.data.time[seen], data.data.y[seen], data.data.copies[seen], data.data.entry[seen])
    assert np.isclose(ours.chi2, chi2, rtol=1e-9) and np.isclose(10**-ours.neg_log_10_p, p, rtol=1e-9)  # one formula
    assert p_value(-np.log10(p)) in ax.get_legend().get_title().get_text()
    marks = [line for line in ax.lines if line.get_marker() == "|"]
    assert sum(len(line.get_xdata()) for line in marks) > 10
    colours = [line.get_color() for line in marks]
    assert len(set(colours)) == len(colours) == len(data.groups.present)
    figure.canvas.draw()
    title = ax.title if ax.get_title() else ax._left_title
    assert title.get_window_extent().x1 <= figure.bbox.x1  # whole
    assert lead["variant_id"] in title.get_text().replace("\n", "")


def test_curves_are_of_times_and_arms_of_arms(results):
    name = common(results)["variant_id"]
    with pytest.raises(GenassocError, match="no time to event"):
        ga.plots.kaplan_meier(results, name)
    with pytest.raises(GenassocError, match="by="):
        ga.plots.effect_by_arm(results, name)
    ax = ga.plots.effect_by_arm(results, name, by="site")
    found = located(results, name, by="site")
    lines = [container.lines[0] for container in ax.containers]
    assert len(lines) == 3
    here = (found.arms == "a") & (found.groups.which == 1)
    assert np.isclose(lines[0].get_ydata()[1], found.data.y[here].mean(), rtol=1e-12)  # the same sum
    assert ga.plots.effect_by_genotype(results, name).get_ylabel() == "ldl"


def test_of_arms_on_given_axes_one_is_drawn(results):
    ax = Figure().add_subplot()
    with pytest.raises(GenassocError, match="ax= is for one arm"):
        ga.plots.effect_by_genotype(results, common(results)["variant_id"], by="site", ax=ax)


# ---------------------------------------------------------------- numbers and words


def test_log_rank_of_few():
    none = log_rank([1.0, 2.0, 3.0], [0, 0, 0], [0, 1, 1])
    assert none.df == 0 and np.isnan(none.neg_log_10_p)
    apart = log_rank([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1], [0, 0, 1, 1], [0.0, 0.0, 2.5, 2.5])  # never at risk together
    assert apart.df == 0


def test_rates_have_exact_intervals():
    rate, low, high = poisson_rate(10, 2.0)
    # Garwood's table: 10 events, 4.795 to 18.390
    assert (rate, round(2 * low, 3), round(2 * high, 3)) == (5.0, 4.795, 18.390)
    assert poisson_rate(0, 1.0)[:2] == (0.0, 0.0) and np.isnan(poisson_rate(1, 0.0)[0])


@pytest.mark.parametrize(
    ("logp", "text"),
    [
        (None, "not known"),
        (0.0, "1"),
        (1.5, "0.032"),
        (7.301029995663981, "5 × 10⁻⁸"),
        (8.999, "1 × 10⁻⁹"),
        (400.5, "3.2 × 10⁻⁴⁰¹"),
        (3.0, "1 × 10⁻³"),
    ],
)
def test_p_as_people_write_it(logp, text):
    assert p_value(logp) == text


def test_names_are_written_letter_by_letter():
    assert plain("a$b$\n\x1b[0m\u202e") == r"a\$b\$ [0m "


# ---------------------------------------------------------------- forest, pages, names


def estimates(**columns):
    table = pl.DataFrame(
        {
            "variant_id": ["v"], "rsid": ["rs<1>"], "effect_allele": ["A"], "other_allele": ["G"], "trait": ["t"], "test": ["add"],
            "beta": [0.5], "standard_error": [0.1], "neg_log_10_p_value": [6.0],
        }
    )  # fmt: skip
    return table.with_columns(**{name: pl.lit(value) for name, value in columns.items()})


def said_by(ax):
    beside = ax.child_axes[0]
    return [label.get_text() for label in beside.get_yticklabels()], " ".join(text.get_text() for text in ax.texts)


def test_a_forest_of_cohorts_pools_one_allele():
    other = estimates(beta=-0.3, standard_error=0.2, effect_allele="G", other_allele="A")
    ax = ga.plots.forest({"one": estimates(), "two": other, "three": estimates(variant_id="w", rsid="x")}, "v")
    w = np.array([1 / 0.1**2, 1 / 0.2**2])
    mean = (w * [0.5, 0.3]).sum() / w.sum()
    q = (w * (np.array([0.5, 0.3]) - mean) ** 2).sum()
    beside, words = said_by(ax)
    assert len(beside) == 3 and beside[2].startswith(f"{mean:.3g} (")
    assert f"Q = {q:.3g} on 1 df" in words.replace("\n", " ")
    assert "two: alleles swapped" in words and "not in three" in words.replace("\n", " ")
    with pytest.raises(GenassocError, match="not the same variant"):
        ga.plots.forest({"one": estimates(), "two": estimates(effect_allele="C")}, "v")


def test_a_forest_of_arms_says_the_test_of_a_difference():
    rows = [
        estimates(test="add|E=a"),
        estimates(test="add|E=b", beta=0.1),
        estimates(test="add:E", neg_log_10_p_value=1.0),
    ]
    beside, words = said_by(ga.plots.forest(pl.concat(rows), by="arm", ratio=True))
    assert [text.split(" ")[0] for text in beside] == ["1.65", "1.11"]  # exp(0.5), exp(0.1)
    assert "interaction: p = 0.1" in words
    limits = estimates(ci_lower=0.2, ci_upper=0.9)
    assert said_by(ga.plots.forest(limits))[0] == ["0.5 (0.2 to 0.9)  p = 1 × 10⁻⁶"]  # the model's own
    with pytest.raises(GenassocError, match="no effects in arms"):
        ga.plots.forest(estimates(), by="arm")
    with pytest.raises(GenassocError, match="no estimate"):
        ga.plots.forest(estimates(standard_error=None))


def overlaps(texts, figure):
    """Pairs of texts whose boxes overlap as drawn, in pixels; a box of an annotation without its line."""
    from matplotlib.text import Text

    renderer = figure.canvas.get_renderer()
    boxes = [Text.get_window_extent(text, renderer) for text in texts if text.get_text()]
    return [
        (k, m)
        for k, a in enumerate(boxes)
        for m, b in enumerate(boxes[:k])
        if a.x0 < b.x1 - 0.5 and b.x0 < a.x1 - 0.5 and a.y0 < b.y1 - 0.5 and b.y0 < a.y1 - 0.5  # half a pixel: edges
    ]


def human(n=4400, **columns):
    """Rows on 22 chromosomes as long as people's."""
    lengths = [248, 242, 198, 190, 181, 170, 159, 145, 138, 133, 135, 133, 114, 107, 102, 90, 83, 80, 58, 64, 46, 50]
    table = make_results(n, tuple(str(k) for k in range(1, 23)))
    rng = np.random.default_rng(1)
    position = [int(rng.integers(1, lengths[int(c) - 1] * 1_000_000)) for c in table["chromosome"]]
    return table.with_columns(base_pair_location=pl.Series(position), **columns)


def test_every_locus_is_named_and_no_name_touches_another():
    table = with_hits(human(), {k: 10.0 + (k % 23) for k in range(5, 4400, 75)})
    ax = ga.plots.manhattan(table, annotate="all")
    figure = ax.get_figure()
    figure.draw_without_rendering()
    names = [text for text in ax.texts if text.get_text().startswith("rs")]
    diamonds = next(line for line in ax.lines if line.get_marker() == "D")
    assert len(names) == len(diamonds.get_xdata()) > 50
    assert not overlaps(names, figure)
    assert len(ax.get_xticklabels()) == 22 and not overlaps(ax.get_xticklabels(), figure)
    edges = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert min(b.x0 - a.x1 for a, b in pairwise(edges)) > 2  # pixels apart: 21 and 22 are two numbers
    with pytest.raises(GenassocError, match="annotate=-1"):
        ga.plots.manhattan(table, annotate=-1)


def test_one_chromosome_has_positions_and_lines_have_their_p():
    table = (
        human().filter(pl.col("chromosome") == "6").with_columns(base_pair_location=pl.col("base_pair_location") // 100)
    )
    ax = ga.plots.manhattan(table)
    ax.get_figure().canvas.draw()
    assert ax.get_xlabel() == "Position on chromosome 6 (Mb)"
    first = table["base_pair_location"].min()
    for tick, label in zip(ax.get_xticks(), ax.get_xticklabels()):
        assert float(label.get_text()) == pytest.approx((tick + first) / 1e6, abs=0.05)  # one digit is shown
    assert [label.get_text() for label in ax.child_axes[0].get_yticklabels()] == ["p = 5 × 10⁻⁸", "p = 1 × 10⁻⁵"]
    lone = ga.plots.manhattan(table.head(1))
    assert [label.get_text() for label in lone.get_xticklabels()] == [f"{table['base_pair_location'][0]:,}"]


def test_steps_of_rare_variants_are_explained():
    table = make_results(6000).with_columns(effect_allele_frequency=pl.Series([0.0005, 0.3] * 3000))
    few = pl.when(pl.col("effect_allele_frequency") < 0.001).then(pl.lit(0.3)).otherwise("neg_log_10_p_value")
    stepped = table.with_columns(neg_log_10_p_value=few)
    said = " ".join(text.get_text() for text in ga.plots.qq(stepped, by="maf").texts).replace("\n", " ")
    assert "at MAF < 0.1 %: few carriers" in said
    assert not ga.plots.qq(table, by="maf").texts


def test_a_page_holds_every_trait(genassoc, tmp_path):
    table = pl.concat([make_results(400, trait=f"<b>$x$ é {k}", seed=k) for k in range(5)])
    table = table.with_columns(effect_allele=pl.lit("A"), other_allele=pl.lit("G"))
    empty = table.head(3).with_columns(trait=pl.lit("none"), neg_log_10_p_value=None)
    path = tmp_path / "r.parquet"
    pl.concat([table, empty]).write_parquet(path)
    figure = ga.plots.page(pl.read_parquet(path))
    titles = [ax.get_title(loc="left").replace("\\", "") for ax in figure.axes[::2]]
    assert titles == [*[f"<b>$x$ é {k}" for k in range(5)], "none"]
    done = genassoc("plot", path, "--out", tmp_path / "p", "--page", "--format", "svg")
    assert done[0] == 0 and (tmp_path / "p" / "page.svg").stat().st_size > 10_000
    one = genassoc(
        "plot", path, "--out", tmp_path / "p", "--trait", "<b>$x$ é 1", "--by", "method", "--title", "mine", "--dpi", 60
    )
    assert one[0] == 0 and len(list((tmp_path / "p").glob("*.png"))) == 2
    region = genassoc("plot", path, "--out", tmp_path / "q", "--trait", "<b>$x$ é 1", "--region", "X:1-200,000,000")
    assert region[0] == 0 and [file.suffix for file in (tmp_path / "q").iterdir()] == [".png"]
    wrong = genassoc("plot", path, "--out", tmp_path / "q", "--trait", "nobody")
    assert wrong[0] == 1 and "no trait 'nobody'" in wrong[2]
