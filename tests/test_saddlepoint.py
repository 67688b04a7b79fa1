"""The saddlepoint p against forty digits, against every outcome, and against REGENIE's file."""

import gzip
import math

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from oracles import saddlepoint as oracle
from real_data import real_data
from scipy import stats

import genassoc as ga
from genassoc.kernels.laws.saddlepoint import (
    SPA_FOUND,
    SPA_NO_ROOT,
    SPA_NO_VARIANCE,
    SPA_OUT_OF_RANGE,
    centred_bernoulli_cgf,
    spa_neg_log_p,
    spa_neg_log_p_rows,
)

# The root is known to 1e-15 and the sums to a few 1e-16 of their terms; ln(v / w) / w divides that by w.
RELATIVE = 1e-10


def _carriers(rng, n, prevalence):
    g = rng.choice([1.0, 2.0], n, p=[0.8, 0.2]) - rng.normal(0.1, 0.05, n)
    log_odds = math.log(prevalence / (1 - prevalence)) + rng.normal(size=n)
    return g, 1 / (1 + np.exp(-log_odds))


def _variance(g, mu):
    return float(np.sum(mu * (1 - mu) * g * g))


@pytest.mark.kernel
@pytest.mark.parametrize("prevalence", [0.5, 0.05, 0.002])
@pytest.mark.parametrize("rest", [0.0, 0.3])
def test_forty_digits(prevalence, rest):
    g, mu = _carriers(np.random.default_rng(5), 12, prevalence)
    g[0] = -0.4  # a residualised genotype can be negative
    root = math.sqrt(_variance(g, mu) + rest)
    for z in (-4.0, -2.0, -0.3, 1e-3, 0.1, 1.96, 3.0, 6.0):
        bounds = (mu @ -g, (1 - mu) @ g)
        if rest == 0.0 and not bounds[0] < z * root < bounds[1]:
            continue
        ours, status = spa_neg_log_p(z * root, g, mu, rest)
        if rest == 0.0 and not bounds[0] < -z * root < bounds[1]:
            continue  # that tail is 0: its own test is below
        assert status == SPA_FOUND
        assert ours == pytest.approx(oracle.spa_neg_log_p(z * root, g, mu, rest), rel=RELATIVE, abs=RELATIVE)


def test_extreme_scores_are_finite_and_right():
    rng = np.random.default_rng(6)
    for n, rest in [(600, 20.0), (40, 2000.0)]:
        g, mu = _carriers(rng, n, 0.4)
        root = math.sqrt(_variance(g, mu) + rest)  # a normal rest has no bound
        for z in (-40.0, 38.0, 100.0):
            ours, status = spa_neg_log_p(z * root, g, mu, rest)
            assert status == SPA_FOUND
            assert ours / math.log(10) > 300  # p itself is below or near the smallest number
            assert ours == pytest.approx(oracle.spa_neg_log_p(z * root, g, mu, rest), rel=RELATIVE)


@pytest.mark.kernel
def test_the_cgf_of_one_sample_has_no_cancellation_and_no_overflow():
    for mu in (0.001, 0.3, 0.5, 0.999):
        for x in (-900.0, -3.0, -0.0041, -0.0039, -1e-7, 1e-7, 0.0039, 0.0041, 2.0, 900.0):
            with oracle.mp.workdps(40):
                m, big = oracle.mp.mpf(mu), oracle.mp.mpf(x)
                exact = oracle.mp.log(1 - m + m * oracle.mp.exp(big)) - m * big
            # just above the switch ln(1 + mu x ...) - mu x loses x^-1 of 2e-16 in its terms
            assert centred_bernoulli_cgf(x, mu) == pytest.approx(float(exact), rel=2e-12)


@pytest.mark.kernel
def test_a_staircase_between_outcomes_has_a_root():
    # One carrier and a narrow rest: K' is flat but for one step, where Newton alone goes to and fro for ever.
    g, mu = np.array([1.0]), np.array([0.004])
    for cases in (0.2, 0.9, 0.996, 1.1):
        ours, status = spa_neg_log_p(cases, g, mu, 0.01)
        assert status == SPA_FOUND
        assert ours == pytest.approx(oracle.spa_neg_log_p(cases, g, mu, 0.01), rel=RELATIVE)


@pytest.mark.kernel
def test_near_zero_the_singularity_is_gone():
    g, mu = _carriers(np.random.default_rng(7), 9, 0.05)
    root = math.sqrt(_variance(g, mu))
    assert spa_neg_log_p(0.0, g, mu, 0.0) == (0.0, SPA_FOUND)
    scores = root * np.array([1e-9, 1e-7, 9e-6, 1.1e-5, 1e-4, 1e-3])
    p = np.array([math.exp(-spa_neg_log_p(score, g, mu, 0.0)[0]) for score in scores])
    # p = 1 - 2 phi(skewness / 6) z + O(z^2): smooth through the switch, where the limit's own error is of order z
    assert (np.abs(1 - p) <= 2 * scores / root).all()
    assert (np.diff(p) <= 1e-5).all()


@pytest.mark.kernel
def test_flipping_the_allele_or_the_trait_changes_nothing():
    g, mu = _carriers(np.random.default_rng(8), 10, 0.2)
    score = 1.7 * math.sqrt(_variance(g, mu) + 0.2)
    ours = spa_neg_log_p(score, g, mu, 0.2)
    assert spa_neg_log_p(-score, -g, mu, 0.2) == ours
    # 1 - mu is rounded
    assert spa_neg_log_p(-score, g, 1 - mu, 0.2)[0] == pytest.approx(ours[0], rel=1e-12)


@pytest.mark.parametrize(("prevalence", "n"), [(0.5, 18), (0.3, 18), (0.15, 18)])
def test_every_outcome_of_a_small_sample(prevalence, n):
    # The score here takes some 2^18 different values, so its law is nearly continuous and the saddlepoint
    # approximates p. Barndorff-Nielsen's relative error is of order 1 / (variance in units of one sample):
    # the variance is 2 to 4, and the error found below 12 % where p > 1e-5; the normal's is shown beside it.
    rng = np.random.default_rng(9)
    g = rng.uniform(0.4, 1.6, n)
    mu = np.clip(rng.beta(6 * prevalence, 6 * (1 - prevalence), n), 0.05, 0.95)
    root = math.sqrt(_variance(g, mu))
    worst, worst_normal = 0.0, 0.0
    for z in (0.5, 1.0, 1.96, 2.5, 3.0, 3.5):
        exact, _ = oracle.two_sided_p(z * root, g, mu)
        if exact < 1e-5:
            continue
        neg_log_p, status = spa_neg_log_p(z * root, g, mu, 0.0)
        assert status == SPA_FOUND
        worst = max(worst, abs(neg_log_p + math.log(exact)))
        worst_normal = max(worst_normal, abs(math.log(2 * stats.norm.sf(z)) - math.log(exact)))
    assert worst < 0.12
    assert worst < worst_normal


def test_a_lattice_follows_mid_p():
    # 300 carriers of one allele with prevalence 2 %: the score is a binomial, 6 cases expected. Without a
    # continuity correction (SAIGE and REGENIE have none) a saddlepoint is half way through a step: mid-p.
    m, mu = 300, 0.02
    g = np.ones(m)
    law = stats.binom(m, mu)
    for cases in (11, 13, 16, 20, 30):
        score = cases - m * mu
        low = m * mu - score
        exact = law.sf(cases) + 0.5 * law.pmf(cases) + (law.cdf(math.ceil(low) - 1) if low > 0 else 0.0)
        if low >= 0 and low == round(low):
            exact += 0.5 * law.pmf(round(low))
        neg_log_p, _ = spa_neg_log_p(score, g, np.full(m, mu), 0.0)
        # Where the chances of neighbouring counts fall by a ratio q, mid-p is (1 + q) / (2 (1 - q)) of the first of
        # them and a smooth tail 1 / ln(1 / q): apart by 20 % at the q of 0.2 of 30 cases, less nearer the centre.
        assert abs(neg_log_p + math.log(exact)) < 0.25
        if cases >= 16:  # nearer the centre the normal's errors in two tails happen to cancel
            normal = -math.log(2 * stats.norm.sf(score / math.sqrt(m * mu * (1 - mu))))
            assert abs(neg_log_p + math.log(exact)) < 0.25 * abs(normal + math.log(exact))


@pytest.mark.kernel
def test_on_the_bound_one_outcome_is_exact_and_beyond_it_nothing():
    g = np.array([1.0, 2.0, -0.5])
    mu = np.array([0.1, 0.2, 0.3])
    bound = 0.9 + 2 * 0.8 + 0.5 * 0.3
    # the other side reaches -(0.1 + 0.4 + 0.35), so -bound is impossible
    neg_log_p, status = spa_neg_log_p(bound, g, mu, 0.0)
    assert status == SPA_FOUND
    assert neg_log_p == pytest.approx(-math.log(0.1 * 0.2 * 0.7), rel=1e-14)
    for score in (1.01 * bound, -bound):
        neg_log_p, status = spa_neg_log_p(score, g, mu, 0.0)
        assert math.isnan(neg_log_p)
        assert status == SPA_OUT_OF_RANGE


@pytest.mark.kernel
def test_failures_are_codes_without_a_p():
    one = np.ones(1)
    for score, g, mu, rest, expected in [
        (1.0, np.zeros(1), 0.5 * one, 0.0, SPA_NO_VARIANCE),
        (1.0, np.empty(0), np.empty(0), -1e-20, SPA_NO_VARIANCE),
        (math.nan, one, 0.5 * one, 0.1, SPA_NO_ROOT),
        (math.inf, one, 0.5 * one, 0.1, SPA_NO_ROOT),
        (1.0, one, math.nan * one, 0.1, SPA_NO_VARIANCE),
    ]:
        neg_log_p, status = spa_neg_log_p(score, g, mu, rest)
        assert math.isnan(neg_log_p)
        assert status == expected


@pytest.mark.kernel
def test_rows_are_the_same_bits_as_one_at_a_time():
    rng = np.random.default_rng(10)
    sizes = [4, 1, 7]
    starts = np.cumsum([0, *sizes])
    g, mu = _carriers(rng, sum(sizes), 0.1)
    score, rest = np.array([1.5, 0.4, -2.0]), np.array([0.01, 0.0, 0.2])
    neg_log_p, status = np.empty(3), np.empty(3, np.uint8)
    spa_neg_log_p_rows(score, starts, g, mu, rest, neg_log_p, status)
    for v in range(3):
        rows = slice(starts[v], starts[v + 1])
        assert (neg_log_p[v], status[v]) == spa_neg_log_p(score[v], g[rows], mu[rows], rest[v])


def _regenie_rows(folder):
    with gzip.open(folder / "expected-regenie" / "step2_noloco_case_spa.regenie.gz", "rb") as lines:
        return pl.read_csv(
            lines.read(), separator=" ", null_values="NA", schema_overrides={"CHROM": pl.String, "EXTRA": pl.String}
        )


def test_regenie(tmp_path):
    # --minMAC 10 --spa --pThresh 0.05, covariates PC1 to PC4, no step 1. REGENIE counts the minor allele, corrects
    # where |z| > 1.96, and takes the carriers-only form where fewer than half of the samples carry it.
    folder = real_data("kg-genome")
    cohort = ga.Cohort.align(
        ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "store.zarr"), folder / "phenotypes.tsv"
    )
    traits = pl.read_csv(folder / "phenotypes.tsv", separator="\t")
    order = pl.DataFrame({"IID": [str(name) for name in cohort.sample_ids]})
    traits = order.join(traits, on="IID", how="left", maintain_order="left")
    y = traits["case"].to_numpy().astype(float)
    X = sm.add_constant(traits.select("PC1", "PC2", "PC3", "PC4").to_numpy())
    mu = np.asarray(sm.GLM(y, X, family=sm.families.Binomial()).fit(tol=1e-12).mu)
    W = mu * (1 - mu)
    projection = np.linalg.solve(X.T @ (W[:, None] * X), (W[:, None] * X).T)

    theirs = _regenie_rows(folder)
    both = theirs.join(
        cohort.store.variants().with_row_index("row"),
        left_on=["CHROM", "GENPOS", "ID", "ALLELE0", "ALLELE1"],
        right_on=["chromosome", "base_pair_location", "rsid", "effect_allele", "other_allele"],
    )
    assert both.height == theirs.height == 72_194
    codes = cohort.read(0, cohort.n_variants).codes()[both["row"].to_numpy()]
    assert not (codes == 3).any()
    minor = np.where(codes.mean(axis=1, keepdims=True) > 1, 2 - codes.astype(float), codes)
    residual = minor - (minor @ projection.T) @ X.T
    score = minor @ (y - mu)
    z = score / np.sqrt((residual * residual) @ W)
    share_of_bar = []
    printed = both["LOG10P"].to_numpy()
    for i in np.flatnonzero(np.abs(z) > stats.norm.isf(0.025)):
        used = minor[i] > 0
        if used.mean() >= 0.5:
            used = np.ones_like(used)
        rest = float(np.sum((W * residual[i] ** 2)[~used]))
        neg_log_p, status = spa_neg_log_p(score[i], residual[i][used], mu[used], rest)
        assert status == SPA_FOUND
        # REGENIE stops its root at |K' - z| < 1.2e-4, which leaves up to 2e-5 in -log10 p; it prints six digits.
        bar = 5e-5 * max(1.0, printed[i]) + 5e-6 * printed[i]
        share_of_bar.append(abs(neg_log_p / math.log(10) - printed[i]) / bar)
    assert len(share_of_bar) > 2500
    assert max(share_of_bar) <= 1.0
