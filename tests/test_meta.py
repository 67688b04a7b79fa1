"""Meta-analysis of sets: files of score statistics written and read back, cohorts matched, sums equal to joint computations."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from meta_cohorts import DenseCohort, rows_of, simulated, statistics, variants
from scipy.stats import chi2

import genassoc as ga
from genassoc.data.score_statistics import SCORE_SCHEMA, set_of
from genassoc.errors import InputError
from genassoc.formats.score_statistics.raremetal import read_raremetal, write_raremetal
from genassoc.formats.score_statistics.tables import open_scores, with_carriers, write_scores
from genassoc.models.sets import tests as law
from genassoc.stats.meta_analysis import heterogeneity

SAME = 1e-9  # of sums of the same numbers in another order
PLAIN = {"weights": "none", "max_maf": 0.05, "collapse_below": 0, "tests": ("burden", "skat")}


def written(folder: Path, name: str, *frames: pl.DataFrame) -> Path:
    path = folder / f"{name}.parquet"
    write_scores(path, frames)
    return path


def of(result: ga.Results, test: str, mask: str = "all") -> dict:
    return result.table.filter((pl.col("test") == test) & (pl.col("mask") == mask)).row(0, named=True)


def test_own_layout_comes_back(tmp_path):
    cohort = simulated("logistic")
    other = variants(12, 5000)
    path = written(tmp_path, "a", rows_of(cohort, "logistic"), rows_of(cohort, "logistic", set_id="NEXT", table=other))
    table = open_scores(path)
    assert table.sets["set_id"].to_list() == ["GENE", "NEXT"] and table.sets["first"].to_list() == [0, 12]
    found = table.read("y", ["NEXT"])
    U, V = statistics(cohort, "logistic")
    np.testing.assert_array_equal(found["NEXT"].U, U)
    np.testing.assert_allclose(
        found["NEXT"].V, V, rtol=0, atol=1e-12 * np.abs(V).max()
    )  # the two triangles differ by rounding
    assert list(found) == ["NEXT"] and found["NEXT"].variants["base_pair_location"][0] == 5000


def test_raremetals_text_comes_back(tmp_path):
    """Whole numbers of digits are written, so that only the correlations round."""
    cohort = simulated("linear")
    frames = [rows_of(cohort, "linear"), rows_of(cohort, "linear", set_id="NEXT", table=variants(12, 1005))]
    score, cov = write_raremetal(tmp_path / "STUDY.y", [set_of(frame) for frame in frames])
    assert score.with_name(score.name + ".tbi").exists() and cov.with_name(cov.name + ".tbi").exists()
    text = read_raremetal(score)
    assert text.variants.height == 24
    U, V = statistics(cohort, "linear")
    one = text.take("GENE", "y", np.arange(0, 24, 2))
    np.testing.assert_array_equal(one.U, U)
    np.testing.assert_allclose(one.V, V, rtol=1e-12, atol=1e-12 * V.max())
    head = gzip.decompress(score.read_bytes()).decode().splitlines()
    assert head[2] == "##AnalyzedSamples=900" and head[3].startswith("#CHROM\tPOS\tREF\tALT\tN_INFORMATIVE")


RMW_SCORE = """##ProgramName=RareMetalWorker
##Version=4.15.0
##AnalyzedSamples=432
#CHROM\tPOS\tREF\tALT\tN_INFORMATIVE\tFOUNDER_AF\tALL_AF\tINFORMATIVE_ALT_AC\tCALL_RATE\tHWE_PVALUE\tN_REF\tN_HET\tN_ALT\tU_STAT\tSQRT_V_STAT\tALT_EFFSIZE\tPVALUE
9\t100\tT\tC\t432\t0\t0\t0\t1\t1\t432\t0\t0\tNA\tNA\tNA\tNA
9\t110\tG\tA\t432\t0.0069\t0.0069\t6\t1\t1\t426\t6\t0\t-4.39123\t2.43606\t-0.73996\t0.0714526
9\t120\tA\tG\t432\t0.0162\t0.0162\t14\t1\t1\t418\t14\t0\t-3.25409\t3.68604\t-0.239502\t0.377337
"""
RMW_COV = """##ProgramName=RareMetalWorker
#CHROM\tCURRENT_POS\tMARKERS_IN_WINDOW\tCOV_MATRICES
9\t110\t110,120,\t0.0137371,-0.000451452,
9\t120\t120,\t0.0314512,
"""


def test_raremetalworkers_own_lines(tmp_path):
    """Rows of its test files: covariances are over N, the variance the square of SQRT_V_STAT."""
    score = tmp_path / "S.QT1.singlevar.score.txt"
    score.write_text(RMW_SCORE)
    (tmp_path / "S.QT1.singlevar.cov.txt").write_text(RMW_COV)
    text = read_raremetal(score)
    one = text.take("G", "QT1", np.arange(3))
    assert one.V[1, 1] == pytest.approx(432 * 0.0137371, rel=1e-5)  # six digits
    assert one.V[1, 2] == pytest.approx(432 * -0.000451452, rel=1e-5)
    assert one.V[0].tolist() == [0, 0, 0] and one.U[0] == 0  # nobody carries it
    assert one.variants["n_carriers"].to_list() == [0, 6, 14]


RVT_SCORE = """CHROM\tPOS\tREF\tALT\tN_INFORMATIVE\tAF\tINFORMATIVE_ALT_AC\tCALL_RATE\tHWE_PVALUE\tN_REF\tN_HET\tN_ALT\tU_STAT\tSQRT_V_STAT
9\t110\tG\tA\t432\t0.0278:0.05:0.0255\t24\t1\t1:1:1\t408:36:372\t24:4:20\t0:0:0\t1.6\t1.5
9\t120\tA\tG\t432\t0.0324:0.0375:0.0319\t28\t1\t1:1:1\t404:37:367\t28:3:25\t0:0:0\t0.4\t1.6
"""
RVT_COV = """CHROM\tSTART_POS\tEND_POS\tNUM_MARKER\tMARKER_POS\tCOV
9\t110\t120\t2\t110,120\t0.0052,0.0001:0.1,0.1:0.5
9\t120\t120\t1\t120\t0.0059:0.1,0.1:0.5
"""


def test_cases_of_rvtests_text_gate_p(tmp_path):
    """A binary trait says how many cases there are, so that too few of them have a code; where it does not it is refused."""
    score = tmp_path / "S.MetaScore.assoc"
    (tmp_path / "S.MetaCov.assoc").write_text(RVT_COV)
    sets = ga.read_sets(pl.DataFrame({"set_id": ["G", "G"], "variant": ["9_110_G_A", "9_120_A_G"]}))
    score.write_text(RVT_SCORE)
    text = read_raremetal(score)
    assert text.variants.select("n_events", "n_event_carriers").rows() == [(40, 4), (40, 3)]
    rows = ga.meta_sets([score], sets, max_maf=0.05).table
    assert rows["n_events"].unique().to_list() == [40]
    assert rows["code"].unique().to_list() == ["few_events"]  # 52 carriers expect 4.8 cases
    without = (
        RVT_SCORE.replace("408:36:372", "408")
        .replace("24:4:20", "24")
        .replace("404:37:367", "404")
        .replace("28:3:25", "28")
    )
    for faulty in (without.replace("\t0:0:0\t", "\t0\t"), RVT_SCORE.replace("24:4:20", "24")):
        score.write_text(faulty)
        with pytest.raises(InputError, match="do not say how many cases"):
            ga.meta_sets([score], sets)
    score.write_text(RVT_SCORE.replace("24:4:20", "24:40:20"))
    with pytest.raises(InputError, match="more cases than samples"):
        ga.meta_sets([score], sets)


@pytest.mark.parametrize(
    ("score", "cov", "words"),
    [
        (RMW_SCORE, RMW_COV.replace("9\t120\t120,\t0.0314512,\n", ""), "no line of 9:120"),
        (RMW_SCORE, RMW_COV.replace("-0.000451452", "-0.9"), "larger than the two variances allow"),
        (RMW_SCORE, RMW_COV.replace("110,120,\t", "110,\t"), "as many covariances as markers"),
        (RMW_SCORE, RMW_COV.replace("0.0314512", "nan"), "line 4: a number of its list is none"),
        (RMW_SCORE.replace("\t6\t1\t1\t426", "\t9999\t1\t1\t426"), RMW_COV, "copies of ALT among 864 alleles"),
        (RMW_SCORE.replace("U_STAT", "V_STAT"), RMW_COV, "no column U_STAT"),
        (RMW_SCORE.replace("9\t110", "9\t1e400"), RMW_COV, "POS is '1e400'"),
    ],
)
def test_faults_of_text_are_named(tmp_path, score, cov, words):
    (tmp_path / "S.singlevar.score.txt").write_text(score)
    (tmp_path / "S.singlevar.cov.txt").write_text(cov)
    with pytest.raises(InputError, match=words):
        read_raremetal(tmp_path / "S.singlevar.score.txt")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("score", None, "absent or no number"),
        ("score_sd", -1.0, "negative"),
        ("covariance", [1.0], "one has more or fewer"),
        ("factor", 0.0, "not above 0"),
    ],
)
def test_faults_of_own_files_are_named(tmp_path, column, value, words):
    rows = rows_of(simulated("linear"), "linear")
    wrong = pl.Series([value], dtype=SCORE_SCHEMA[column])
    path = written(tmp_path, "a", rows.with_columns(pl.concat([wrong, rows[column][1:]]).alias(column)))
    with pytest.raises(InputError, match=words):
        ga.meta_sets([path])


def test_covariances_cannot_exceed_variances(tmp_path):
    rows = rows_of(simulated("linear"), "linear")
    lists = rows["covariance"].to_list()
    lists[0][1] = 1e9
    path = written(tmp_path, "a", rows.with_columns(pl.Series("covariance", lists, dtype=SCORE_SCHEMA["covariance"])))
    with pytest.raises(InputError, match="larger than the two variances allow"):
        ga.meta_sets([path])


@pytest.mark.parametrize("kind", ["linear", "logistic"])
def test_one_cohort_is_the_test_of_its_scores(tmp_path, kind):
    cohort = simulated(kind)
    result = ga.meta_sets([written(tmp_path, "a", rows_of(cohort, kind))], **PLAIN)
    U, V = statistics(cohort, kind)
    ones = np.ones(U.size)
    for test, function in (("burden", law.score_burden), ("skat", law.skat)):
        expected = function(U[None], V, np.ones(1), ones)
        row = of(result, test)
        assert row["neg_log_10_p_value"] == pytest.approx(float(expected.neg_log_10_p[0]), rel=SAME)
        assert row["n_variants"] == 12 and row["mac"] == cohort.G.sum() and row["code"] is None
    burden = of(result, "burden")
    z2 = (U.sum()) ** 2 / V.sum()
    assert burden["neg_log_10_p_value"] == pytest.approx(
        -np.log10(chi2.sf(z2, 1)), rel=1e-9
    )  # scipy's, against our own tail
    assert burden["heterogeneity_df"] == 0 and burden["direction"] in "+-"


def test_halves_are_the_joint_model_with_study(tmp_path):
    """Logistic: a null with covariates of each study by itself has the likelihood of both, so scores and covariances add up."""
    cohort = simulated("logistic")
    one, two = cohort.halves
    paths = [written(tmp_path, name, rows_of(half, "logistic")) for name, half in (("a", one), ("b", two))]
    study = np.r_[np.ones(len(one.y)), np.zeros(len(two.y))][:, None]
    joint = DenseCohort(cohort.G, np.hstack([cohort.X * study, cohort.X * (1 - study)]), cohort.y)
    result = ga.meta_sets(paths, **PLAIN)
    whole = ga.meta_sets([written(tmp_path, "joint", rows_of(joint, "logistic"))], **PLAIN)
    for test in ("burden", "skat"):
        # the two nulls stop within 1e-12 of their maxima
        assert of(result, test)["statistic"] == pytest.approx(of(whole, test)["statistic"], rel=1e-8)
        assert of(result, test)["neg_log_10_p_value"] == pytest.approx(of(whole, test)["neg_log_10_p_value"], rel=1e-7)
    assert of(result, "burden")["n"] == 900 and of(result, "burden")["n_cohorts"] == 2


def test_halves_of_a_quantitative_trait(tmp_path):
    """With each half's own variance the sums are those of the joint model weighted by them; with one variance they agree to its error."""
    cohort = simulated("linear", n=6000)
    one, two = cohort.halves
    study = np.r_[np.ones(len(one.y)), np.zeros(len(two.y))][:, None]
    joint = DenseCohort(cohort.G, np.hstack([cohort.X * study, cohort.X * (1 - study)]), cohort.y)
    result = ga.meta_sets([written(tmp_path, n, rows_of(h, "linear")) for n, h in (("a", one), ("b", two))], **PLAIN)
    whole = ga.meta_sets([written(tmp_path, "joint", rows_of(joint, "linear"))], **PLAIN)
    for test in ("burden", "skat"):
        # two variances, each with a standard error of sqrt(2 / n) of itself: 3 % for the half of 2,000
        assert of(result, test)["neg_log_10_p_value"] == pytest.approx(of(whole, test)["neg_log_10_p_value"], rel=0.06)


def test_swapped_alleles_change_nothing_and_are_told(tmp_path):
    one, two = simulated("logistic").halves
    plain = [written(tmp_path, "a", rows_of(one, "logistic")), written(tmp_path, "b", rows_of(two, "logistic"))]
    swapped = written(tmp_path, "c", rows_of(two, "logistic", swap=(2, 5)))
    expected, found = ga.meta_sets(plain, **PLAIN), ga.meta_sets([plain[0], swapped], **PLAIN)
    for test in ("burden", "skat"):
        assert of(found, test)["statistic"] == pytest.approx(of(expected, test)["statistic"], rel=SAME)
        assert of(found, test)["mac"] == of(expected, test)["mac"]
    told = found.variants.filter(pl.col("cohort") == "c")
    assert told["variant_id"].to_list() == ["1_1020_A_G", "1_1050_A_G"] and set(told["finding"]) == {
        "REF and ALT swapped: turned"
    }
    assert any("c: 2 variants REF and ALT swapped" in line for line in found.notes)


def test_absent_variants_and_other_alleles_are_counted(tmp_path):
    one, two = simulated("logistic").halves
    table = variants(12).with_columns(
        effect_allele=pl.when(pl.int_range(12) == 3).then(pl.lit("T")).otherwise("effect_allele")
    )
    rows = rows_of(two, "logistic", table=table)
    fewer = with_carriers(
        rows.with_columns(n_carriers=pl.when(pl.int_range(12) == 7).then(1).otherwise("n_carriers")), 2
    )
    result = ga.meta_sets(
        {"A": written(tmp_path, "a", rows_of(one, "logistic")), "B": written(tmp_path, "b", fewer)}, **PLAIN
    )
    of_b = dict(result.variants.filter(pl.col("cohort") == "B").group_by("finding").len().iter_rows())
    # three absent: the one left out, and one of each of the two spellings of the fourth
    assert of_b["absent"] == 2 and sum(of_b.values()) == 2
    of_a = result.variants.filter(pl.col("cohort") == "A")
    assert of_a["finding"].to_list() == ["absent"] and of_a["variant_id"][0] == "1_1030_A_T"
    U = statistics(one, "logistic")[0]
    U2 = statistics(two, "logistic")[0]
    U2[7] = 0
    assert of(result, "skat")["statistic"] == pytest.approx(
        (np.delete(U + U2, 3) ** 2).sum() + U[3] ** 2 + U2[3] ** 2, rel=SAME
    )


def test_masks_bins_and_pooled_frequencies(tmp_path):
    cohort = simulated("logistic")
    one, two = cohort.halves
    result = ga.meta_sets(
        [written(tmp_path, n, rows_of(h, "logistic")) for n, h in (("a", one), ("b", two))],
        weights="none", max_maf=(0.01, 0.05), tests=("burden",), collapse_below=0,
    )  # fmt: skip
    maf = cohort.G.mean(axis=0) / 2
    for mask, ours in (
        ("all", np.ones(12, bool)),
        ("LoF", np.arange(12) % 3 == 0),
        ("missense", np.arange(12) % 3 > 0),
    ):
        for bound in (0.01, 0.05):
            rows = result.table.filter((pl.col("mask") == mask) & (pl.col("max_maf") == bound))
            n = int((ours & (maf <= bound)).sum())
            assert rows["n_variants"].to_list() == ([n] if n else [])


def test_text_and_own_files_together(tmp_path):
    one, two = simulated("linear").halves
    own = [written(tmp_path, n, rows_of(h, "linear")) for n, h in (("a", one), ("b", two))]
    score, _ = write_raremetal(tmp_path / "two", [set_of(rows_of(two, "linear"))])
    expected, found = ga.meta_sets(own, **PLAIN), ga.meta_sets([own[0], score], **PLAIN)
    for test in ("burden", "skat"):
        assert of(found, test)["statistic"] == pytest.approx(of(expected, test)["statistic"], rel=SAME)
    assert any("taken for that of a quantitative trait" in line for line in found.notes)


def test_few_events_have_no_normal_p(tmp_path):
    cohort = simulated("logistic")
    few = DenseCohort(cohort.G, cohort.X, np.r_[np.ones(15), np.zeros(885)])
    assert of(ga.meta_sets([written(tmp_path, "a", rows_of(few, "logistic"))], **PLAIN), "skat")["code"] == "few_events"
    table = ga.meta_sets([written(tmp_path, "b", rows_of(few, "logistic"))], **PLAIN).table
    assert table["neg_log_10_p_value"].null_count() == table.height


def test_variants_of_few_carriers_can_stay_at_home(tmp_path):
    rows = rows_of(simulated("linear"), "linear").with_columns(
        n_carriers=pl.when(pl.int_range(12) % 5 == 0).then(1).otherwise(9)
    )
    path = tmp_path / "a.parquet"
    assert write_scores(path, [rows], {}, min_carriers=3) == {"rows": 9, "left_out": 3}
    kept, whole = open_scores(path).read("y", ["GENE"])["GENE"], set_of(rows)
    at = np.arange(12) % 5 > 0
    np.testing.assert_array_equal(kept.V, whole.V[np.ix_(at, at)])


def test_heterogeneity():
    """Two studies: Q is the square of the difference over its variance; I2 of Higgins and Thompson's definition."""
    found = heterogeneity(np.array([0.5, -0.1, 9.9]), np.array([4.0, 25.0, 0.0]))
    expected = 0.6**2 / (1 / 4 + 1 / 25)
    assert pytest.approx(expected, rel=1e-12) == found.Q and found.df == 1
    assert found.neg_log_10_p == pytest.approx(-np.log10(chi2.sf(expected, 1)), rel=1e-9)
    assert pytest.approx(max(0, 1 - 1 / expected), rel=1e-12) == found.I2
    assert np.isnan(heterogeneity(np.array([1.0]), np.array([1.0])).neg_log_10_p)


def test_what_cannot_be_meant_is_said(tmp_path):
    path = written(tmp_path, "a", rows_of(simulated("linear"), "linear"))
    other = written(tmp_path, "b", rows_of(simulated("linear"), "linear", trait="z"))
    with pytest.raises(InputError, match="no trait in common: a has y; b has z"):
        ga.meta_sets([path, other])
    with pytest.raises(InputError, match="named twice"):
        ga.meta_sets([path, path])
    with pytest.raises(InputError, match="no trait 'w'"):
        ga.meta_sets([path], trait="w")
    joined = ga.meta_sets([path, other], trait={"a": "y", "b": "z"}, **PLAIN)
    assert of(joined, "burden")["n"] == 1800
