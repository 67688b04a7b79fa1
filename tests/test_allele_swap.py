"""Which allele is written as ALT is no part of the data: every model, weights, robust variances, genetic models, presets."""

import every_model
import numpy as np
import pytest

import genassoc as ga

# Sums in another order, float32 in the screens (statistics.md: 1e-5 of the larger of beta and its error; 1e-4 of -log10 p).
BETA, LOG_P = 3e-5, 1e-4
OF_COPIES = [cell for cell in every_model.CELLS if "genetic_model" not in every_model.AXES[cell[1]]]
CHOICES = {
    **{f"logistic {test}": ga.Logistic("y", ["x"], test=test) for test in ("wald", "lrt")},
    "logistic uncorrected": ga.Logistic("y", ["x"], correction=None),
    "logistic wald uncorrected": ga.Logistic("y", ["x"], test="wald", correction=None),
    **{
        f"logistic all {c}": ga.Logistic("y", ["x"], correction=c, correct_below=1.0)
        for c in ("firth_approx", "firth", "spa")
    },
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


@pytest.fixture(scope="module")
def sample():
    return every_model.draw()


KINDS = {"calls": {}, "dosages": {"soft": True}, "probabilities": {"soft": True, "known": True}}


def run(model, sample, swapped, kind="calls"):
    """Columns by test: {"add": {column: (V,)}}, methods and codes by name."""
    columns, tests = every_model.run(model, sample.cohort(), sample.block(swapped=swapped, **KINDS[kind]))
    return {test: {name: values[:, j] for name, values in columns.items()} for j, test in enumerate(tests)}


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


@pytest.mark.parametrize("kind", ["calls", "dosages"])
@pytest.mark.parametrize("cell", OF_COPIES, ids=every_model.name_of)
def test_copies_keep_p_and_turn_beta(sample, cell, kind):
    ours, other = (run(every_model.model(*cell), sample, swapped, kind) for swapped in (False, True))
    assert np.isfinite(ours["add"]["beta"]).sum() > 5
    for test in ours:
        same(ours[test], other[test], -1, f"{cell} {test}")


@pytest.mark.parametrize("kind", ["calls", "dosages"])
@pytest.mark.parametrize("name", list(CHOICES))
def test_choices_keep_p_and_turn_beta(sample, name, kind):
    ours, other = (run(CHOICES[name], sample, swapped, kind)["add"] for swapped in (False, True))
    assert np.isfinite(ours["beta"]).sum() > 5
    same(ours, other, -1, name)


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("family", list(every_model.FAMILIES))
def test_dominant_and_recessive_exchange(sample, family, kind):
    for one, two in (("dominant", "recessive"), ("recessive", "dominant")):
        ours = run(every_model.model(family, one), sample, False, kind)
        other = run(every_model.model(family, two), sample, True, kind)
        same(*ours.values(), *other.values(), -1, f"{family} {one}")


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("family", list(every_model.FAMILIES))
def test_hetonly_stays(sample, family, kind):
    ours, other = (run(every_model.model(family, "hetonly"), sample, swapped, kind) for swapped in (False, True))
    same(*ours.values(), *other.values(), 1, f"{family} hetonly")


@pytest.mark.parametrize("kind", ["calls", "probabilities"])
@pytest.mark.parametrize("family", [family for family, axis in every_model.CELLS if axis == "genotypic"])
def test_both_degrees_of_freedom_stay(sample, family, kind):
    ours, other = (run(every_model.model(family, "genotypic"), sample, swapped, kind) for swapped in (False, True))
    for test, sign in (("add", -1), ("domdev", 1), ("geno_2df", 1)):
        same(ours[test], other[test], sign, f"{family} {test}")


@pytest.mark.parametrize("like", ["plink2", None])
def test_a_separated_wald_row_is_never_printed(sample, like):
    """The allele that a group is without may be REF: no Wald test of a maximum at infinity beside code null."""
    for correction in ("auto", None):
        model = ga.Logistic("y", ["x"], test="wald", correction=correction, like=like)
        for swapped in (False, True):
            rows = run(model, sample, swapped)["add"]
            wald = (rows["method"] == "wald") & (rows["code"] == None)  # noqa: E711
            assert (np.abs(rows["beta"][wald]) < 8).all() and (rows["standard_error"][wald] < 5).all()
            assert not wald[10:14].any()
