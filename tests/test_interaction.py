"""Interactions with a covariate: against statsmodels and PLINK 2, the gate, the same bits, what is refused."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls
from scipy import optimize, stats
from small_cohort import make_files
from statsmodels.duration.hazard_regression import PHReg

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.errors import PhenotypeError
from genassoc.models.cox.model import Cox
from genassoc.models.linear.model import Linear
from genassoc.models.logistic.model import Logistic

N, V = 600, 24
# statistics.md: from float32 sums, 1e-5 of beta (or SE) and of SE.
LINEAR = 1e-5
# Two Newton fits of float64 that each stop at a step of 1e-6 standard errors.
FITTED = 5e-6


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(1)
    arm, age = rng.permutation(N) < N // 2, rng.normal(50, 10, N)
    codes = calls(rng, N, V, missing=0.02, low=0.15)
    g = np.where(codes[0] == 3, 0, codes[0])
    y = 0.1 * age + arm + 0.3 * g * arm + rng.standard_normal(N) * (1 + arm)
    y2 = np.where(rng.random(N) < 0.1, np.nan, y + rng.standard_normal(N))
    d = (rng.random(N) < 1 / (1 + np.exp(1 - 0.4 * arm - 0.3 * g * arm))).astype(float)
    time, censored = np.ceil(rng.exponential(300 * np.exp(-0.3 * arm))), np.ceil(rng.exponential(400, N))
    made = MemoryCohort(
        arm=np.where(arm, "drug", "control"), dose=1.0 + arm, age=age, y=y, y2=y2, d=d, t=np.minimum(time, censored),
        event=(time <= censored).astype(float), site=rng.choice(["a", "b", "c"], N), level=np.where(arm, 5.0, 5.0),
    )  # fmt: skip
    made.codes, made.arm = codes, arm.astype(float)
    return made


def rows(model, cohort, codes=None):
    block = GenotypeBlock.from_codes(cohort.codes if codes is None else codes)
    result = model.block(model.prepare(cohort), block)
    found = {name: np.array(values) for name, values in result.columns.items()}
    for name in ("method", "code"):
        found[name] = np.array(result.categories[name], dtype=object)[found[name]]
    return found | {"test": list(result.labels["test"]), "trait": list(result.labels["trait"])}


def column(cohort, name):
    return cohort.phenotypes.table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()


def design(cohort, v, y, E, others):
    """Outcome, and columns g, gE, 1, others, of the complete cases of variant v."""
    g = cohort.codes[v].astype(float)
    at = (cohort.codes[v] != 3) & ~np.isnan(y)
    return y[at], np.column_stack([g, g * E, np.ones(N), *others])[at], at


CONTRASTS = {"add": (1, 0), "add:E": (0, 1), "add|E=control": (1, 0), "add|E=drug": (1, 1), "add|E=1": (1, 1), "add|E=2": (1, 2)}  # fmt: skip


def hc3_freedom(X, contrast):
    """Satterthwaite's degrees of a contrast of the first columns' coefficients, less one: the shares of the squares of HC3."""
    B = np.linalg.inv(X.T @ X)
    h = np.einsum("ij,jk,ik->i", X, B, X)
    q = (X @ B[:, : len(contrast)] @ contrast) ** 2 / (1 - h)
    return min(q.sum() ** 2 / (q**2).sum() - 1, X.shape[0] - X.shape[1])


def hc3_joint_freedom(X):
    """Of F's denominator for the first two: Hotelling's eta by traces (Pustejovsky & Tipton 2018), less one for each coefficient."""
    B = np.linalg.inv(X.T @ X)
    h = np.einsum("ij,jk,ik->i", X, B, X)
    E = [np.outer(a, a) / (1 - own) for a, own in zip(X @ B[:, :2], h)]
    S = np.linalg.inv(sum(E))
    traces = [np.trace(S @ own) ** 2 + np.trace(S @ own @ S @ own) for own in E]
    return min(6 / sum(traces) - 2, X.shape[0] - X.shape[1]) - 1


def hc3_tail(X):
    """-log10 p of t and its contrast, with Satterthwaite's degrees."""
    return lambda t, contrast: t_tail(hc3_freedom(X, contrast), t)


def flat_tail(df):
    """The same with one number of degrees."""
    return lambda t, _: t_tail(df, t)


def compare(found, v, trait, beta, covariance, tolerance, logp=None):
    """Every 1-df test of a row with contrasts of coefficients; ``logp`` of (z or t, contrast)."""
    for k, test in enumerate(found["test"]):
        if found["trait"][k] != trait or test == "joint_2df":
            continue
        contrast = np.array(CONTRASTS[test], dtype=float)
        b, error = contrast @ beta, np.sqrt(contrast @ covariance @ contrast)
        assert abs(found["beta"][v, k] - b) <= tolerance * max(abs(b), error)
        assert abs(found["standard_error"][v, k] / error - 1) <= tolerance
        if logp is not None:
            # |d -log10 p| <= 1e-4 max(1, -log10 p), statistics.md
            wanted = logp(b / error, contrast)
            assert abs(found["neg_log_10_p_value"][v, k] - wanted) <= 1e-4 * max(1, wanted)


# linear ------------------------------------------------------------------------------------------------------


def t_tail(df, t):
    return -np.log10(2 * stats.t.sf(abs(t), df))


@pytest.mark.parametrize("variance", ["model", "robust"])
@pytest.mark.parametrize("E", ["arm", "dose", "age"])
def test_linear_beside_statsmodels(cohort, E, variance):
    found = rows(Linear(["y", "y2"], ["age"], interaction=E, variance=variance), cohort)
    values = {"arm": cohort.arm, "dose": 1 + cohort.arm, "age": column(cohort, "age")}[E]
    others = [column(cohort, "age")] + ([] if E == "age" else [cohort.arm])
    assert set(found["method"].ravel()) == ({"t", "f"} if variance == "model" else {"t_hc3", "f_hc3"})
    for trait in ("y", "y2"):
        joint = next(k for k, test in enumerate(found["test"]) if test == "joint_2df" and found["trait"][k] == trait)
        for v in range(V):
            y, X, _ = design(cohort, v, column(cohort, trait), values, others)
            fit = sm.OLS(y, X).fit()
            if variance == "robust":
                fit = fit.get_robustcov_results("HC3", use_t=True)
            covariance = np.asarray(fit.cov_params())[:2, :2]
            few = variance == "robust"
            tail = hc3_tail(X) if few else flat_tail(fit.df_resid)
            compare(found, v, trait, fit.params[:2], covariance, LINEAR, tail)
            F, df = fit.f_test(np.eye(2, X.shape[1])).fvalue, fit.df_resid
            if few:
                df = hc3_joint_freedom(X)
                F *= df / (df + 1)
                assert found["degrees_of_freedom"][v, joint] == pytest.approx(df, rel=1e-6)
            p = -np.log10(stats.f.sf(F, 2, df))
            assert abs(found["neg_log_10_p_value"][v, joint] - p) <= 1e-4 * max(1, p)
            assert np.isnan(found["beta"][v, joint]) and found["n"][v, joint] == y.size


def test_hc3_without_an_interaction(cohort):
    found = rows(Linear("y", ["age"], variance="robust"), cohort)
    for v in range(V):
        y, X, _ = design(cohort, v, column(cohort, "y"), cohort.arm, [column(cohort, "age")])
        fit = sm.OLS(y, np.delete(X, 1, axis=1)).fit(cov_type="HC3", use_t=True)
        np.testing.assert_allclose(found["beta"][v, 0], fit.params[0], rtol=1e-9)
        np.testing.assert_allclose(found["standard_error"][v, 0], fit.bse[0], rtol=1e-9)
        df = hc3_freedom(np.delete(X, 1, axis=1), np.ones(1))
        np.testing.assert_allclose(found["degrees_of_freedom"][v, 0], df, rtol=1e-7)
        np.testing.assert_allclose(found["neg_log_10_p_value"][v, 0], t_tail(df, fit.tvalues[0]), rtol=1e-7)


def test_mean_imputation_is_a_regression_on_means(cohort):
    found = rows(Linear("y", ["age"], interaction="arm", missing="mean"), cohort)
    for v in range(V):
        g = np.where(cohort.codes[v] == 3, np.nan, cohort.codes[v])
        g = np.where(np.isnan(g), np.nanmean(g), g)
        X = np.column_stack([g, g * cohort.arm, np.ones(N), column(cohort, "age"), cohort.arm])
        fit = sm.OLS(column(cohort, "y"), X).fit()
        compare(found, v, "y", fit.params[:2], fit.cov_params()[:2, :2], LINEAR)


def test_regenie_takes_hc3_above_a_count_of_1000(cohort):
    codes = np.vstack([cohort.codes, np.repeat(cohort.codes[:1], 1, axis=0)])
    few = np.zeros(N, np.uint8)
    few[::5] = 1
    big = MemoryCohort(arm=np.tile(cohort.arm, 3), y=np.tile(column(cohort, "y"), 3))
    found = rows(Linear("y", interaction="arm", like="regenie"), big, np.tile(np.vstack([codes, few]), 3))
    mac = found["mac"][:, 0]
    assert mac.min() < 1000 < mac.max()
    np.testing.assert_array_equal(found["method"][:, 0] == "t_hc3", mac > 1000)


# logistic ----------------------------------------------------------------------------------------------------


def logit(y, X, variance):
    fit = sm.Logit(y, X).fit(disp=0, tol=1e-12, maxiter=100)
    covariance = fit.cov_params()
    if variance == "robust":  # R's sandwich::vcovHC(type = "HC3") of a glm
        mu = fit.predict()
        w = mu * (1 - mu)
        h = w * np.einsum("ij,jk,ik->i", X, covariance, X)
        half = (X * ((y - mu) / (1 - h))[:, None]) @ covariance
        covariance = half.T @ half
    return fit, covariance[:2, :2]


@pytest.mark.parametrize("variance", ["model", "robust"])
@pytest.mark.parametrize("E", ["arm", "age"])
def test_logistic_beside_statsmodels(cohort, E, variance):
    test = "wald" if variance == "model" else "auto"
    found = rows(Logistic("d", ["age"], interaction=E, variance=variance, test=test, correction=None), cohort)
    values, others = (cohort.arm, [cohort.arm]) if E == "arm" else (column(cohort, "age"), [])
    assert set(found["method"].ravel()) == {"wald" if variance == "model" else "wald_hc3"}
    for v in range(V):
        y, X, _ = design(cohort, v, column(cohort, "d"), values, [column(cohort, "age") / 10, *others])
        fit, covariance = logit(y, X, variance)
        compare(found, v, "d", fit.params[:2], covariance, FITTED, lambda z, _: -np.log10(2 * stats.norm.sf(abs(z))))
        chi2 = fit.params[:2] @ np.linalg.solve(covariance, fit.params[:2])
        np.testing.assert_allclose(found["statistic"][v, 2], chi2, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found["neg_log_10_p_value"][v, 2], -np.log10(stats.chi2.sf(chi2, 2)), rtol=1e-4)


def test_likelihood_ratio_tests(cohort):
    found = rows(Logistic("d", interaction="arm", test="lrt", correction=None), cohort)
    for v in range(0, V, 6):
        y, X, _ = design(cohort, v, column(cohort, "d"), cohort.arm, [cohort.arm])
        whole = logit(y, X, "model")[0].llf
        for k, null in enumerate(([1, 2, 3], [0, 2, 3], [2, 3], [1, 2, 3])):
            gain = 2 * (whole - sm.Logit(y, X[:, null]).fit(disp=0, tol=1e-12).llf)
            statistic = found["statistic"][v, k]
            np.testing.assert_allclose(statistic if k == 2 else statistic**2, gain, rtol=1e-6, atol=1e-9)


def penalised(y, X, free):
    """The largest penalised log likelihood with coefficients ``free``, the penalty that of all columns (Firth 1993)."""

    def objective(part):
        beta = np.zeros(X.shape[1])
        beta[free] = part
        eta = X @ beta
        mu = 1 / (1 + np.exp(-eta))
        information = (X * (mu * (1 - mu))[:, None]).T @ X
        return -(y @ eta - np.logaddexp(0, eta).sum() + 0.5 * np.linalg.slogdet(information)[1])

    found = optimize.minimize(objective, np.zeros(len(free)), method="BFGS", options={"gtol": 1e-7})
    return -found.fun, found.x


def test_firth_tests_with_g_in_the_null(cohort):
    found = rows(Logistic("d", interaction="arm", correct_below=1.0), cohort)
    assert set(found["method"].ravel()) == {"firth"}
    for v in (0, 5, 11):
        y, X, _ = design(cohort, v, column(cohort, "d"), cohort.arm, [cohort.arm])
        whole, beta = penalised(y, X, [0, 1, 2, 3])
        # BFGS stops at gradients of 1e-5 or so.
        np.testing.assert_allclose(found["beta"][v, :2], beta[:2], atol=1e-4)
        split = X.copy()
        split[:, 0] -= X[:, 1]  # g in the control arm and in the drug arm
        tests = [penalised(y, X, free)[0] for free in ([1, 2, 3], [0, 2, 3], [2, 3])]
        tests += [penalised(y, split, free)[0] for free in ([1, 2, 3], [0, 2, 3])]
        for k, null in enumerate(tests):
            statistic = found["statistic"][v, k]
            np.testing.assert_allclose(statistic if k == 2 else statistic**2, 2 * (whole - null), atol=1e-5)
            if k != 2:
                np.testing.assert_allclose(abs(found["beta"][v, k] / found["standard_error"][v, k]), abs(statistic))


# Cox -----------------------------------------------------------------------------------------------------------


def test_cox_beside_statsmodels(cohort):
    model = Cox("t", "event", ["age"], interaction="arm", test="wald", correction=None)
    found = rows(model, cohort)
    assert set(found["method"].ravel()) == {"wald"}
    for v in range(0, V, 3):
        time, X, at = design(cohort, v, column(cohort, "t"), cohort.arm, [column(cohort, "age") / 10, cohort.arm])
        event = column(cohort, "event")[at]
        fit = PHReg(time, np.delete(X, 2, axis=1), event, ties="efron").fit()
        compare(found, v, "event", fit.params[:2], fit.cov_params()[:2, :2], FITTED)
    firth = rows(Cox("t", "event", ["age"], interaction="arm", correct_below=1.0), cohort)
    assert set(firth["method"].ravel()) == {"firth"}
    # With 300 events Firth's penalty moves an estimate by a tenth of its standard error or so.
    assert np.nanmax(np.abs(firth["beta"] - found["beta"]) / found["standard_error"]) < 0.3


# PLINK 2 -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plink(cohort, tmp_path_factory):
    """Tables of ``--glm interaction`` of the PLINK 2 of this machine."""
    program = shutil.which("plink2")
    if program is None:
        pytest.skip("there is no plink2 on this machine")
    folder = tmp_path_factory.mktemp("plink")
    names = [f"s{i}" for i in range(N)]
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">']
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names]))
    text = np.array(["0/0", "0/1", "1/1", "./."])
    for v, row in enumerate(cohort.codes):
        lines.append("\t".join(["1", str(v + 1), f"v{v}", "A", "G", ".", ".", ".", "GT", *text[row]]))
    (folder / "x.vcf").write_text("\n".join(lines) + "\n")
    y, d = column(cohort, "y"), column(cohort, "d").astype(int) + 1
    table = [f"s{i}\t{y[i]:.17g}\t{d[i]}\t{int(cohort.arm[i])}" for i in range(N)]
    (folder / "x.txt").write_text("\n".join(["#IID\ty\td\tarm", *table]) + "\n")
    command = [
        program, "--vcf", folder / "x.vcf", "--pheno", folder / "x.txt", "--pheno-name", "y,d", "--covar", folder / "x.txt",
        "--covar-name", "arm", "--glm", "interaction", "omit-ref", "no-firth", "--threads", "1", "--out", folder / "p",
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return {
        name: pl.read_csv(folder / f"p.{name}", separator="\t", null_values="NA")
        for name in ("y.glm.linear", "d.glm.logistic")
    }


@pytest.mark.integration
def test_linear_beside_plink2(cohort, plink):
    found = rows(Linear("y", interaction="arm", like="plink2"), cohort)
    for k, test in ((0, "ADD"), (1, "ADDxarm")):
        theirs = plink["y.glm.linear"].filter(pl.col("TEST") == test)
        assert theirs.height == V
        size = np.maximum(theirs["BETA"].abs(), theirs["SE"])
        # 1e-5, and half a unit of the sixth digit that is printed.
        assert (np.abs(found["beta"][:, k] - theirs["BETA"]) <= 1.5e-5 * size).all()
        np.testing.assert_allclose(found["standard_error"][:, k], theirs["SE"], rtol=1.5e-5)
        np.testing.assert_allclose(found["neg_log_10_p_value"][:, k], -np.log10(theirs["P"]), rtol=1e-4, atol=1e-5)


@pytest.mark.integration
def test_logistic_beside_plink2(cohort, plink):
    found = rows(Logistic("d", interaction="arm", like="plink2"), cohort)
    for k, test in ((0, "ADD"), (1, "ADDxarm")):
        theirs = plink["d.glm.logistic"].filter(pl.col("TEST") == test)
        error = theirs["LOG(OR)_SE"].to_numpy()
        # Odds ratios of six digits, logistic in single precision: 1e-4 of a standard error.
        assert (np.abs(found["beta"][:, k] - np.log(theirs["OR"])) <= 1e-4 * error).all()
        # Debian's 2.00a3.5 (2022, single precision) is off by up to a tenth in the standard errors of rows with missing calls
        # whose samples are no multiple of four (docs/models/interaction.md); ours are compared with statsmodels above.
        whole = theirs["OBS_CT"].to_numpy() % 4 == 0
        assert whole.sum() > V / 3
        np.testing.assert_allclose(found["standard_error"][whole, k], error[whole], rtol=5e-5)
        ours, logp = found["neg_log_10_p_value"][whole, k], -np.log10(theirs["P"].to_numpy()[whole])
        np.testing.assert_allclose(ours, logp, rtol=1e-3, atol=1e-4)


# the gate --------------------------------------------------------------------------------------------------------


def test_two_carriers_in_an_arm_give_a_code(cohort):
    """regenie#263: with two carriers in an arm the interaction had tiny p."""
    arm = cohort.arm
    codes = np.zeros((3, N), np.uint8)
    codes[0, np.flatnonzero(arm == 0)[:60]] = 1
    codes[0, np.flatnonzero(arm == 1)[:2]] = 1
    codes[1] = codes[0]
    codes[1, np.flatnonzero(arm == 1)[:10]] = 1  # ten: enough
    codes[2] = np.where(codes[0] == 0, 2, 1)  # the rarer allele is REF
    for model in (Linear("y", interaction="arm"), Linear("y", interaction="arm", variance="robust")):
        found = rows(model, cohort, codes)
        assert (found["code"][[0, 2]] == "too_few_carriers").all() and (found["code"][1] == None).all()  # noqa: E711
        assert np.isnan(found["neg_log_10_p_value"][[0, 2]]).all() and np.isnan(found["beta"][[0, 2]]).all()
        assert np.isfinite(found["neg_log_10_p_value"][1]).all()
    like = rows(Linear("y", interaction="arm", like="plink2"), cohort, codes)
    assert np.isfinite(like["neg_log_10_p_value"]).all()  # PLINK 2 has no such gate


def test_few_expected_events_give_a_code(cohort):
    arm = cohort.arm
    codes = np.zeros((2, N), np.uint8)
    for a in (0, 1):
        codes[:, np.flatnonzero(arm == a)[:40]] = 1
    rare = np.zeros(N)
    rare[np.flatnonzero(arm == 0)[:20]] = 1  # of 300: 40 carriers expect 2.7
    rare[np.flatnonzero(arm == 1)[:90]] = 1
    other = MemoryCohort(arm=arm, d=rare, event=rare, t=np.arange(1.0, N + 1), none=1 - rare)
    for model in (
        Logistic("d", interaction="arm"),
        Logistic("none", interaction="arm"),
        Cox("t", "event", interaction="arm"),
    ):
        found = rows(model, other, codes)
        assert (found["code"] == "too_few_carriers").all() and np.isnan(found["neg_log_10_p_value"]).all()
    rare[np.flatnonzero(arm == 0)[:90]] = 1
    more = MemoryCohort(arm=arm, d=rare, event=rare, t=np.arange(1.0, N + 1))
    for model in (Logistic("d", interaction="arm"), Cox("t", "event", interaction="arm")):
        found = rows(model, more, codes)
        assert (found["code"] != "too_few_carriers").all()


def test_a_number_needs_twenty_carriers(cohort):
    codes = np.zeros((2, N), np.uint8)
    codes[0, :19] = 1
    codes[1, :20] = 1
    calm = MemoryCohort(age=column(cohort, "age"), q=np.random.default_rng(2).standard_normal(N))
    found = rows(Linear("q", interaction="age"), calm, codes)
    assert (found["code"][0] == "too_few_carriers").all() and np.isfinite(found["neg_log_10_p_value"][1]).all()


# the same bits, and invariance -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda traits: Linear(traits or ["y", "y2"], ["age"], interaction="arm"),
    lambda traits: Linear(traits or ["y", "y2"], ["age"], interaction="age", variance="robust"),
    lambda traits: Logistic("d", ["age"], interaction="arm"),
    lambda traits: Cox("t", "event", ["age"], interaction="arm"),
])  # fmt: skip
def test_the_same_bits_in_any_company(cohort, make):
    whole = rows(make(None), cohort)
    for v in (0, 7, V - 1):
        part = rows(make(None), cohort, cohort.codes[v : v + 1])
        for name in ("beta", "standard_error", "neg_log_10_p_value", "statistic"):
            np.testing.assert_array_equal(part[name][0], whole[name][v])
    if "y2" in whole["trait"]:
        for trait in ("y", "y2"):
            alone = rows(make([trait]), cohort)
            mine = [k for k, name in enumerate(whole["trait"]) if name == trait]
            for name in ("beta", "standard_error", "neg_log_10_p_value"):
                np.testing.assert_array_equal(alone[name], whole[name][:, mine])


@pytest.mark.parametrize("model", [Linear("y", interaction="arm"), Logistic("d", interaction="arm")])
def test_swapped_alleles_flip_signs(cohort, model):
    one = rows(model, cohort)
    other = rows(model, cohort, np.array([2, 1, 0, 3], np.uint8)[cohort.codes])
    # The minor allele is counted either way: only the sign differs.
    np.testing.assert_array_equal(one["neg_log_10_p_value"], other["neg_log_10_p_value"])
    np.testing.assert_allclose(one["beta"], -other["beta"])


def test_the_zero_of_e_moves_the_effect_at_zero_alone(cohort):
    arm, dose = rows(Linear("y", interaction="arm"), cohort), rows(Linear("y", interaction="dose"), cohort)
    assert arm["test"] == ["add", "add:E", "joint_2df", "add|E=control", "add|E=drug"]
    assert dose["test"][3:] == ["add|E=1", "add|E=2"]
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        np.testing.assert_array_equal(arm[name][:, 1:], dose[name][:, 1:])
        np.testing.assert_array_equal(arm[name][:, 0], arm[name][:, 3])
    np.testing.assert_allclose(dose["beta"][:, 0], arm["beta"][:, 0] - arm["beta"][:, 1])


def test_dosages_that_are_whole_are_calls(cohort):
    codes = cohort.codes
    dosages = np.where(codes == 3, 255, codes.astype(int) * 127).astype(np.uint8)
    for model in (Linear("y", interaction="arm"), Logistic("d", interaction="arm")):
        hard = rows(model, cohort)
        soft = model.block(model.prepare(cohort), DosageBlock(dosages)).columns
        np.testing.assert_allclose(soft["beta"], hard["beta"], rtol=1e-5, atol=1e-6)  # float32 sums


def test_a_genetic_model_recodes(cohort):
    found = rows(Linear("y", interaction="arm", genetic_model="dominant"), cohort)
    assert found["test"] == ["dom", "dom:E", "joint_2df", "dom|E=control", "dom|E=drug"]
    for v in range(V):
        at = cohort.codes[v] != 3
        g = (cohort.codes[v] > 0).astype(float)
        X = np.column_stack([g, g * cohort.arm, np.ones(N), cohort.arm])[at]
        fit = sm.OLS(column(cohort, "y")[at], X).fit()
        if found["code"][v, 0] is None:
            np.testing.assert_allclose(found["beta"][v, :2], fit.params[:2], rtol=1e-5, atol=1e-5)


def test_a_variant_that_is_a_covariate_has_a_code(cohort):
    codes = np.vstack([cohort.codes[:2], np.where(cohort.arm == 1, 2, 0).astype(np.uint8)])
    assert (rows(Linear("y", interaction="arm", like="plink2"), cohort, codes)["code"][2] == "collinear").all()
    # A carrier in each arm is asked for, and the variant has none in one.
    assert (rows(Logistic("d", interaction="arm"), cohort, codes)["code"][2] == "too_few_carriers").all()
    twin = MemoryCohort(arm=cohort.arm, d=column(cohort, "d"), g0=np.where(codes[0] == 3, np.nan, codes[0]))
    found = rows(Logistic("d", ["g0"], interaction="arm"), twin, codes)
    assert (found["code"][0] == "collinear").all()


# what is said and refused --------------------------------------------------------------------------------------------


def test_notes_say_what_e_is(cohort):
    notes = " / ".join(Linear("y", interaction="arm").prepare(cohort).notes)
    assert "arm joined the covariates" in notes and "control = 0, drug = 1" in notes and "(300 samples)" in notes
    assert "joined" not in " ".join(Linear("y", ["arm"], interaction="arm").prepare(cohort).notes)
    assert "joined" not in " ".join(Linear("y", "age + arm", interaction="arm").prepare(cohort).notes)
    assert "read 'add|E=1'" in " ".join(Logistic("d", interaction="dose").prepare(cohort).notes)
    assert "a number from" in " ".join(Cox("t", "event", interaction="age").prepare(cohort).notes)


@pytest.mark.parametrize("E, words", [
    ("site", ("text of 3 values", "'a', 'b', 'c'", "make a column of two of them")),
    ("level", ("one value 5", "nothing can be compared")),
    ("arn", ("arn", "arm")),
])  # fmt: skip
def test_columns_that_are_no_modifier(cohort, E, words):
    for model in (Linear("y", interaction=E), Logistic("d", interaction=E), Cox("t", "event", interaction=E)):
        with pytest.raises(PhenotypeError) as error:
            model.prepare(cohort)
        assert all(word in str(error.value) for word in words)


def test_a_formula_needs_the_main_effect(cohort):
    with pytest.raises(PhenotypeError, match="add dose to the formula"):
        Linear("y", "age:dose", interaction="dose").prepare(cohort)


@pytest.mark.parametrize("make, words", [
    (lambda: Linear("y", interaction=3), "name of a covariate"),
    (lambda: Linear("y", interaction="y"), "is a trait"),
    (lambda: Linear("y", interaction="arm", genetic_model="genotypic"), "one column of genotypes"),
    (lambda: Linear("y", variance="hc3"), "variance is one of"),
    (lambda: Linear("y", variance="robust", genetic_model="genotypic"), "genotypic"),
    (lambda: Logistic("d", interaction="arm", test="score"), "no score test"),
    (lambda: Logistic("d", interaction="arm", correction="spa"), "correction"),
    (lambda: Logistic("d", interaction="arm", like="regenie"), "not reproduced"),
    (lambda: Logistic("d", variance="robust", test="lrt"), "Wald tests"),
    (lambda: Cox("t", "event", interaction="arm", test="score"), "leave test='score'"),
])  # fmt: skip
def test_choices_that_do_not_go_together(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_flags_and_toml_are_one_thing(tmp_path, genassoc):
    files = make_files(tmp_path, n_variants=300)
    out = tmp_path / "flags.parquet"
    arguments = [
        "--model",
        "linear",
        "--trait",
        "ldl",
        "--covar",
        "age",
        "--interaction",
        "sex",
        "--variance",
        "robust",
    ]
    code, printed, told = genassoc("assoc", files.store, files.phenotypes, *arguments, "--out", out)
    assert code == 0 and "best: " in printed and "sex joined the covariates" in told and "E is sex" in told, told
    code, toml, _ = genassoc(
        "assoc", files.store, files.phenotypes, *arguments, "--out", tmp_path / "toml.parquet", "--print-toml"
    )
    (tmp_path / "gwas.toml").write_text(toml)
    assert genassoc("check", tmp_path / "gwas.toml")[0] == 0
    assert genassoc("run", tmp_path / "gwas.toml")[0] == 0
    assert (tmp_path / "toml.parquet").read_bytes() == out.read_bytes()
    table = pl.read_parquet(out)
    assert table.height == 300 * 5 and set(table["method"].drop_nulls()) == {"t_hc3", "f_hc3"}
