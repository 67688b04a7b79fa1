"""Which allele is written as ALT is no part of the data: every model, weights, robust variances, genetic models, presets."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore

import genassoc as ga
from genassoc.data.block import GenotypeBlock

# Sums in another order, float32 in the screens (statistics.md: 1e-5 of the larger of beta and its error; 1e-4 of -log10 p).
BETA, LOG_P = 3e-5, 1e-4
N = 220


@pytest.fixture(scope="module")
def data():
    """Codes (V, N): common, rare, of either allele; without one in cases or in controls; with missing calls. Traits of all kinds."""
    rng = np.random.default_rng(31)
    x = rng.normal(size=N)
    y = (rng.random(N) < 1 / (1 + np.exp(1.2 - 0.6 * x))).astype(int)
    frequency = np.array([0.5, 0.3, 0.15, 0.06, 0.03, 0.03, 0.02, 0.95, 0.97, 0.8, 0.04, 0.04, 0.96, 0.1, 0.5, 0.25])
    codes = rng.binomial(2, frequency[:, None], (frequency.size, N)).astype(np.uint8)
    codes[1, y == 1] = rng.binomial(2, 0.55, int(y.sum()))  # a hit
    codes[10, y == 1] = 0  # no case carries ALT
    codes[11, y == 0] = 0  # no control does
    codes[12, y == 1] = 2  # no case carries REF
    codes[13, y == 0], codes[13, y == 1] = 0, 2  # g is the trait
    codes[14:16][rng.random((2, N)) < 0.03] = 3
    time = np.ceil(rng.exponential(30 / np.exp(0.4 * x), N))
    table = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(N)],
            "x": x,
            "q": 0.5 * x + rng.normal(size=N),
            "y": y,
            "T": time,
            "E": (rng.random(N) < 0.5).astype(int),
            "count": rng.poisson(np.exp(0.3 + 0.3 * x)),
            "grade": rng.integers(0, 3, N),
            "w": rng.choice([1.0, 2.5, 4.0], N),
            "set": np.arange(N) // 4,
        }
    )
    swapped = np.where(codes == 3, 3, 2 - codes.astype(int)).astype(np.uint8)
    return (
        [ga.Cohort.align(MemoryStore(part, table["IID"].to_list()), table) for part in (codes, swapped)],
        codes,
        swapped,
    )


def run(model, cohort, codes):
    """Columns by test: {"add": {column: (V,)}}, methods and codes by name."""
    state = model.prepare(cohort)
    result = model.block(state, GenotypeBlock.from_codes(codes))
    columns = {name: np.asarray(values) for name, values in result.columns.items()}
    for name, words in result.categories.items():
        columns[name] = np.array(words, dtype=object)[columns[name]]
    return {
        test: {name: values[:, j] for name, values in columns.items()} for j, test in enumerate(result.labels["test"])
    }


def models(**choices):
    """Every model with some choices that all have."""
    return {
        "linear": ga.Linear("q", ["x"], **choices),
        "logistic": ga.Logistic("y", ["x"], **choices),
        "cox": ga.Cox("T", "E", ["x"], **choices),
        "poisson": ga.Poisson("count", ["x"], **choices),
        "ordinal": ga.Ordinal("grade", ["x"], **choices),
    }


ADDITIVE = {
    **models(),
    **{f"{name} weighted": model for name, model in models(weights="w").items()},
    "linear robust": ga.Linear("q", ["x"], variance="robust"),
    "logistic robust": ga.Logistic("y", ["x"], variance="robust"),
    "cox robust": ga.Cox("T", "E", ["x"], variance="robust"),
    **{f"logistic {test}": ga.Logistic("y", ["x"], test=test) for test in ("wald", "lrt")},
    "logistic uncorrected": ga.Logistic("y", ["x"], correction=None),
    "logistic wald uncorrected": ga.Logistic("y", ["x"], test="wald", correction=None),
    **{
        f"logistic all {c}": ga.Logistic("y", ["x"], correction=c, correct_below=1.0)
        for c in ("firth_approx", "firth", "spa")
    },
    "logistic matched": ga.Logistic("y", ["x"], matched="set"),
    "cox spa": ga.Cox("T", "E", ["x"], correction="spa", correct_below=1.0),
    "cox wald": ga.Cox("T", "E", ["x"], test="wald"),
    "linear plink2": ga.Linear("q", ["x"], like="plink2"),
    "linear regenie": ga.Linear("q", ["x"], like="regenie"),
    "logistic plink2": ga.Logistic("y", ["x"], like="plink2"),
    "logistic plink2 no-firth": ga.Logistic("y", ["x"], like="plink2", correction=None),
    "logistic plink2 firth": ga.Logistic("y", ["x"], like="plink2", correction="firth", correct_below=1.0),
    "logistic regenie": ga.Logistic("y", ["x"], like="regenie"),
    "logistic regenie spa": ga.Logistic("y", ["x"], like="regenie", correction="spa"),
}


def same(ours, other, sign, label):
    """Both rows' methods, codes, p, effects and intervals, beta times ``sign``."""
    assert ours["method"].tolist() == other["method"].tolist(), label
    assert ours["code"].tolist() == other["code"].tolist(), label
    np.testing.assert_allclose(
        other["neg_log_10_p_value"], ours["neg_log_10_p_value"], rtol=LOG_P, atol=LOG_P, err_msg=label
    )
    if "beta" not in ours:
        return
    scale = np.fmax(np.abs(ours["beta"]), ours["standard_error"])
    close = np.abs(other["beta"] - sign * ours["beta"]) <= BETA * scale
    assert (close | np.isnan(ours["beta"])).all(), (label, ours["beta"], other["beta"])
    ends = ("ci_lower", "ci_upper") if sign == 1 else ("ci_upper", "ci_lower")
    for name, end in zip(("ci_lower", "ci_upper"), ends):
        # an interval's end is where a root is found to 1e-5 of a standard error, or infinite on both sides
        np.testing.assert_allclose(sign * other[end], ours[name], rtol=1e-3, atol=1e-4, err_msg=f"{label} {name}")


@pytest.mark.parametrize("name", list(ADDITIVE))
def test_additive_keeps_p_and_turns_beta(data, name):
    cohorts, codes, swapped = data
    ours, other = (run(ADDITIVE[name], cohort, part)["add"] for cohort, part in zip(cohorts, (codes, swapped)))
    assert np.isfinite(ours["beta"]).sum() > 5
    same(ours, other, -1, name)


@pytest.mark.parametrize("name", list(models()))
def test_dominant_and_recessive_exchange(data, name):
    cohorts, codes, swapped = data
    for one, two in (("dominant", "recessive"), ("recessive", "dominant")):
        ours = run(models(genetic_model=one)[name], cohorts[0], codes)
        other = run(models(genetic_model=two)[name], cohorts[1], swapped)
        same(*ours.values(), *other.values(), -1, f"{name} {one}")


@pytest.mark.parametrize("name", list(models()))
def test_hetonly_stays(data, name):
    cohorts, codes, swapped = data
    ours, other = (run(models(genetic_model="hetonly")[name], c, g) for c, g in zip(cohorts, (codes, swapped)))
    same(*ours.values(), *other.values(), 1, f"{name} hetonly")


@pytest.mark.parametrize(
    "model", [ga.Linear("q", ["x"], genetic_model="genotypic"), ga.Logistic("y", ["x"], genetic_model="genotypic"),
              ga.Cox("T", "E", ["x"], genetic_model="genotypic")], ids=["linear", "logistic", "cox"],
)  # fmt: skip
def test_both_degrees_of_freedom_stay(data, model):
    cohorts, codes, swapped = data
    ours, other = (run(model, c, g) for c, g in zip(cohorts, (codes, swapped)))
    p, q = ours["geno_2df"]["neg_log_10_p_value"], other["geno_2df"]["neg_log_10_p_value"]
    np.testing.assert_allclose(q, p, rtol=LOG_P, atol=LOG_P)


@pytest.mark.parametrize("like", ["plink2", None])
def test_a_separated_wald_row_is_never_printed(data, like):
    """The allele that a group is without may be REF: no Wald test of a maximum at infinity beside code null."""
    cohorts, codes, swapped = data
    for correction in ("auto", None):
        model = ga.Logistic("y", ["x"], test="wald", correction=correction, like=like)
        for cohort, part in zip(cohorts, (codes, swapped)):
            rows = run(model, cohort, part)["add"]
            wald = (rows["method"] == "wald") & (rows["code"] == None)  # noqa: E711
            assert (np.abs(rows["beta"][wald]) < 8).all() and (rows["standard_error"][wald] < 5).all()
            assert not wald[10:14].any()
