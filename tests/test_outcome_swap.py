"""Few carriers or events: which outcome is the case, how missing calls count, dosages and the test asked for lose no exactness."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore

import genassoc as ga
from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws.exact_law import interval, two_sided
from genassoc.models.scan.genome import halved_in_males
from genassoc.models.scan.product import rare_counts

N = 500


@pytest.fixture(scope="module")
def data():
    """Codes (V, N) of rare and frequent alleles, some among the 6 cases; traits, times, sets, a covariate that tells cases."""
    rng = np.random.default_rng(8)
    x = rng.normal(size=N)
    risk = 1.2 * x + rng.logistic(size=N)
    y = (risk >= np.sort(risk)[-6]).astype(int)
    codes = rng.binomial(2, np.repeat([0.008, 0.03, 0.15], 6)[:, None], (18, N)).astype(np.uint8)
    for v in (0, 1, 6, 7, 12):
        codes[v, np.flatnonzero(y)[: 2 + v % 3]] = 1
    codes[2], codes[8] = 2 - codes[2], 2 - codes[8]
    b = np.zeros(N, int)
    b[np.flatnonzero(y)[:2]] = 1
    table = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(N)],
            "x": x,
            "b": b,
            "y": y,
            "not_y": 1 - y,
            "E": np.arange(N) % 2,
            "T": np.ceil(rng.exponential(20, N)),
            "set": rng.permutation(N) // 5,
        }
    )
    return ga.Cohort.align(MemoryStore(codes, table["IID"].to_list()), table), codes


def run(model, cohort, block):
    """Columns (V,) of the first test, methods and codes by name."""
    result = model.block(model.prepare(cohort), block)
    columns = {name: np.asarray(values) for name, values in result.columns.items()}
    for name, words in result.categories.items():
        columns[name] = np.array(words, dtype=object)[columns[name]]
    return {name: values[:, 0] for name, values in columns.items()}


@pytest.mark.parametrize("correction", ["auto", "spa"])
def test_cases_and_controls_exchange(data, correction):
    cohort, codes = data
    block = GenotypeBlock.from_codes(codes)
    ours, other = (run(ga.Logistic(y, ["x"], correction=correction), cohort, block) for y in ("y", "not_y"))
    exact = ours["method"] == "exact"
    assert exact.sum() >= 8
    assert ours["method"].tolist() == other["method"].tolist()
    # the two nulls are fitted to 1e-6 of a standard error
    np.testing.assert_allclose(other["neg_log_10_p_value"], ours["neg_log_10_p_value"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(-other["ci_lower"][exact], ours["ci_upper"][exact], rtol=1e-4)
    np.testing.assert_allclose(-other["ci_upper"][exact], ours["ci_lower"][exact], rtol=1e-4)


MODELS = {
    "logistic": lambda **choices: ga.Logistic("y", ["x"], **choices),
    "cox": lambda **choices: ga.Cox("T", "y", ["x"], **choices),
    "matched": lambda **choices: ga.Logistic("y", matched="set", **choices),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_missing_mean_keeps_the_exact_p(data, name):
    """Calls that are all there: the mean of missing ones plays no part, and few events are as few as before."""
    cohort, codes = data
    block = GenotypeBlock.from_codes(codes)
    ours, other = (run(MODELS[name](missing=missing), cohort, block) for missing in ("complete", "mean"))
    assert (ours["method"] == "exact").any()
    assert ours["method"].tolist() == other["method"].tolist()
    np.testing.assert_allclose(other["neg_log_10_p_value"], ours["neg_log_10_p_value"], rtol=1e-9)


@pytest.mark.parametrize("name", list(MODELS))
def test_few_events_of_dosages_have_an_exact_law(data, name):
    """Dosages next to whole numbers: p next to that of the calls, whose ties the rounded law does not order."""
    cohort, codes = data
    rng = np.random.default_rng(1)
    dosages = np.clip(codes + rng.uniform(-0.01, 0.01, codes.shape), 0.0, 2.0)
    ours = run(MODELS[name](), cohort, GenotypeBlock.from_codes(codes))
    other = run(MODELS[name](), cohort, DosageBlock.from_dosages(dosages))
    # the sum of dosages is not quite a whole number of alleles: away from the least count that is tested, and from a trigger's edge
    rows = (ours["method"] == "exact") & (other["method"] == "dosage_law") & (ours["neg_log_10_p_value"] > 1.0)
    assert rows.any()
    # with replacement and without order among ties p is up to a few times larger, never smaller by more than rounding
    gain = ours["neg_log_10_p_value"][rows] - other["neg_log_10_p_value"][rows]
    assert (gain > -0.05).all() and (gain < 1.0).all()
    assert not (ours["method"] == "exact")[(other["method"] == "firth_approx") | (other["method"] == "firth")].any()


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_fitted_cox_rows_of_few_events_are_exact(data, test):
    cohort, codes = data
    block = GenotypeBlock.from_codes(codes)
    rows, default = run(ga.Cox("T", "y", ["x"], test=test), cohort, block), run(ga.Cox("T", "y", ["x"]), cohort, block)
    both = (rows["method"] == "exact") & (default["method"] == "exact")
    assert both.sum() >= 4
    np.testing.assert_array_equal(rows["neg_log_10_p_value"][both], default["neg_log_10_p_value"][both])
    small = rows["neg_log_10_p_value"] > 2.0
    few = small & (rows["mac"] * 6 / N < 2.0)
    assert few.any() and (rows["method"][few] == "exact").all()


def test_saddlepoint_rows_of_cox_have_firths_estimate_and_interval(data):
    cohort, codes = data
    block = GenotypeBlock.from_codes(codes)
    spa = run(ga.Cox("T", "not_y", ["x"], correction="spa", correct_below=1.0), cohort, block)
    firth = run(ga.Cox("T", "not_y", ["x"], correct_below=1.0), cohort, block)
    both = (spa["method"] == "spa") & (firth["method"] == "firth_approx")
    assert both.sum() >= 4
    for name in ("beta", "ci_lower", "ci_upper"):
        np.testing.assert_array_equal(spa[name][both], firth[name][both])


@pytest.mark.parametrize(
    "choices", [{}, {"genetic_model": "genotypic"}, {"interaction": "E"}], ids=["add", "geno", "add:E"]
)
def test_plink2_takes_firth_where_a_covariate_is_separated(data, choices):
    """PLINK 2 then fits every variant with Firth's penalty; without the covariate those are Wald's where each genotype has cases."""
    cohort, codes = data
    block = GenotypeBlock.from_codes(codes[12:])
    told = run(ga.Logistic("y", ["x", "b"], like="plink2", **choices), cohort, block)
    assert set(told["method"]) <= {"firth", None} and (told["method"] == "firth").any()
    if "genetic_model" not in choices:
        assert "wald" in run(ga.Logistic("y", ["x"], like="plink2", **choices), cohort, block)["method"]


def test_plink2_interaction_falls_back_by_either_allele(data):
    cohort, codes = data
    part = codes[12:14].copy()
    part[0, cohort.phenotypes.table["y"].to_numpy() == 1] = 2  # no case has REF
    rows = run(ga.Logistic("y", ["x"], interaction="E", like="plink2"), cohort, GenotypeBlock.from_codes(part))
    assert rows["method"][0] == "firth" and abs(rows["beta"][0]) < 10


def test_an_interval_holds_0_where_p_is_above_5_percent():
    """p as a function of the odds ratio has gaps that a scan can step over; not that at 0."""
    rng = np.random.default_rng(4)
    ends, above = np.empty(2), 0
    for _ in range(400):
        law = np.log(
            np.convolve(rng.dirichlet(np.ones(3)), np.convolve(rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(5))))
        )
        observed, share = int(rng.integers(law.size)), rng.uniform(0.3, 1.0)
        interval(law, observed, share, ends)
        if p_of(law, observed, share) >= 0.05:
            above += 1
            assert ends[0] <= 0.0 <= ends[1]
    assert above > 100


def p_of(law, observed, share):
    """p of `two_sided`."""
    return np.exp(-two_sided(law, observed, share)[0])


def test_exact_tests_count_one_allele_of_a_male_whichever_is_alt():
    """Males 0 and 1 on X: where REF is rare, a male without ALT carries one REF and not two."""
    rng = np.random.default_rng(2)
    male = np.arange(60) % 2 == 0
    codes = rng.binomial(2, 0.1, (3, 60)).astype(np.uint8)
    codes[:, male] = 2 * (codes[:, male] > 0)
    columns, every, straight = np.arange(60), np.arange(3), np.zeros(3, bool)
    males = mask_words(np.flatnonzero(male), GenotypeBlock.from_codes(codes).n_samples)
    found = [
        rare_counts(halved_in_males(GenotypeBlock.from_codes(part), males), flipped, every, columns, straight)
        for part, flipped in ((codes, straight), (2 - codes, ~straight))
    ]
    np.testing.assert_array_equal(found[0], np.where(male, codes // 2, codes))
    np.testing.assert_array_equal(found[1], found[0])
