"""Heritability: REML against the mixed model's null, moments with random probes against dense traces, liabilities, the command."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import related_cohort
from commands import refused
from scipy.stats import norm

import genassoc as ga
from genassoc.analyses import heritability as analysis


@pytest.fixture(scope="module")
def families():
    return related_cohort.draw(n_families=60, n_variants=300)


@pytest.fixture(scope="module")
def files(families, tmp_path_factory):
    folder = tmp_path_factory.mktemp("heritability")
    store, table = families.written(folder)
    np.savetxt(folder / "k.txt", families.pedigree)
    return folder, store, table


@pytest.fixture
def cohort(files):
    return ga.Cohort.align(files[1], files[2], sample_id="IID")


def test_reml_is_the_maximum_of_the_likelihood(families, cohort):
    table = ga.heritability(cohort, ["q", "part"], ["x"], kinship=families.pedigree)
    assert table.columns == ["trait", "h2", "standard_error", "method", "n"]
    y, X = families.table["q"].to_numpy(), np.column_stack([np.ones(240), families.table["x"].to_numpy()])
    centre = np.eye(240) - 1 / 240
    K = centre @ families.pedigree @ centre
    K *= 240 / np.trace(K)

    def minus_twice(h2):
        V = h2 * K + (1 - h2) * np.eye(240)
        inverse = np.linalg.inv(V)
        A = X.T @ inverse @ X
        P = inverse - inverse @ X @ np.linalg.solve(A, X.T @ inverse)
        return np.linalg.slogdet(V)[1] + np.linalg.slogdet(A)[1] + 238 * np.log(y @ P @ y)

    row = table.row(0, named=True)
    at = row["h2"]
    # a step of 1e-3 either way is higher by its square times the curvature
    up, middle, down = (minus_twice(at + step) for step in (1e-3, 0.0, -1e-3))
    assert up > middle and down > middle
    assert abs(up - down) < 0.05 * (up + down - 2 * middle)
    # the information is the curvature of half of this; differences of 1e-3 have it to a part in a thousand
    assert row["standard_error"] == pytest.approx(1 / np.sqrt((up + down - 2 * middle) / 2 / 1e-6), rel=0.01)
    assert table["method"].to_list() == ["reml", "reml"]
    assert table["n"][1] < table["n"][0] == 240


def test_moments_are_those_of_dense_matrices(families, cohort):
    y, X = families.table["q"].to_numpy(), np.column_stack([np.ones(240), families.table["x"].to_numpy()])
    probes = analysis.Probes.of(np.arange(240), X, y[:, None], 200, 1)
    found = [analysis.moments_of(cohort, probes, pieces, 0.01) for pieces in analysis.groups_of(cohort)]
    groups = [moments for moments, _ in found]
    G = families.codes.astype(float)
    G[G == 3] = np.nan
    mean = np.nanmean(G, axis=1)
    G = np.where(np.isnan(G), mean[:, None], G)
    G = G[np.minimum(mean, 2 - mean) >= 0.02]
    Z = (G - G.mean(axis=1)[:, None]) / G.std(axis=1)[:, None]
    assert sum(group.n for group in groups) == len(Z)
    V = np.eye(240) - X @ np.linalg.solve(X.T @ X, X.T)
    K = V @ Z.T @ Z @ V / len(Z)
    # sums of float32 products
    assert sum(group.trace for group in groups) / len(Z) == pytest.approx(np.trace(K), rel=1e-5)
    r = V @ y
    r *= np.sqrt(238 / (r @ r))
    assert sum(group.quadratic[0] for group in groups) / len(Z) == pytest.approx(r @ K @ r, rel=1e-5)
    A = np.array([[np.trace(K @ K), np.trace(K)], [np.trace(K), 238.0]])
    genetic, error = np.linalg.solve(A, [r @ K @ r, 238.0])
    size = np.trace(K) / 238
    estimates = analysis.shares(groups, probes)
    # 200 probes have tr(KK) less tr(K)^2 / n to about 2 %, of which h2 is a ratio
    assert estimates.h2[0] == pytest.approx(genetic * size / (genetic * size + error), rel=0.1)
    assert 0.02 < estimates.jackknife[0] < 0.5
    second = analysis.deviations(estimates, probes, sum(of_y for _, of_y in found))
    u = K @ r - (r @ K @ r) / 238 * r
    np.testing.assert_allclose(second.y[:, 0], u, atol=1e-4 * np.abs(u).max())  # float32
    quadratic = sum(analysis.moments_of(cohort, second, of, 0.01)[0].quadratic for of in analysis.groups_of(cohort))
    variance = 2 * (estimates.h2[0] / size * u @ K @ u + (1 - estimates.h2[0]) * u @ u)
    by_formula = estimates.slope * np.sqrt(variance) / 238
    whole = analysis.standard_errors(estimates, second, quadratic)[0]
    assert whole == pytest.approx(max(by_formula, estimates.jackknife[0]), rel=1e-4)


def test_standard_errors_of_moments_count_families(families, tmp_path):
    rng = np.random.default_rng(3)
    Z = np.where(families.codes == 3, 1.0, families.codes)
    Z = (Z - Z.mean(axis=1)[:, None]) / np.maximum(Z.std(axis=1), 0.1)[:, None]
    traits = [f"t{k}" for k in range(40)]
    y = np.sqrt(0.5 / len(Z)) * Z.T @ rng.normal(size=(len(Z), 40)) + np.sqrt(0.5) * rng.normal(size=(240, 40))
    store, _ = families.written(tmp_path)
    table = families.table.select("IID").with_columns(**{name: y[:, k] for k, name in enumerate(traits)})
    found = ga.heritability(ga.Cohort.align(store, table), traits, method="randomised")
    # the spread of 40 estimates has an error of 11 %
    assert 0.75 < found["standard_error"].mean() / found["h2"].std() < 1.5


def test_randomised_does_not_depend_on_threads_or_company(cohort):
    choices = {"method": "randomised", "covariates": ["x"]}
    one = ga.heritability(cohort, ["q", "part"], executor=ga.Serial(), **choices)
    assert one.equals(ga.heritability(cohort, ["q", "part"], executor=ga.Threads(2), **choices))
    assert one["method"].to_list() == ["he_randomised", "he_randomised"]
    assert (one["standard_error"] > 0).all()


def test_liability(families, cohort):
    sick = (families.table["q"] > families.table["q"].quantile(0.8)).cast(pl.Int64) + 1
    other = ga.Cohort.align(cohort.store, families.table.with_columns(sick=sick).fill_nan(None), sample_id="IID")
    table = ga.heritability(other, ["sick", "h"], kinship=families.pedigree, prevalence={"sick": 0.05})
    P = float((sick == 2).mean())
    factor = (0.05 * 0.95) ** 2 / (norm.pdf(norm.ppf(0.05)) ** 2 * P * (1 - P))
    assert table["h2_liability"][0] == pytest.approx(factor * table["h2"][0])
    assert table["standard_error_liability"][0] == pytest.approx(factor * table["standard_error"][0])
    assert table["h2_liability"][1] is None
    with pytest.raises(ga.PhenotypeError, match="different values"):
        ga.heritability(other, ["h"], kinship=families.pedigree, prevalence={"h": 0.1})


def test_refusals(families, cohort, tmp_path):
    with pytest.raises(ValueError, match="method"):
        ga.heritability(cohort, "q", method="ml")
    with pytest.raises(ValueError, match="prevalence"):
        ga.heritability(cohort, "q", prevalence={"q": 2.0})
    with pytest.raises(ValueError, match="randomised"):
        ga.heritability(cohort, "q", method="randomised", kinship=families.pedigree)
    store, table = replace(families, codes=0 * families.codes[:40], variants=families.variants[:40]).written(tmp_path)
    alike = ga.Cohort.align(store, table, sample_id="IID")
    for method in ("reml", "randomised"):
        with pytest.raises(ga.GenassocError, match="none of"):
            ga.heritability(alike, "q", method=method, grm_maf=0.0)
        with pytest.raises(ga.PhenotypeError, match="too few"):
            ga.heritability(cohort.keep_samples(["s0", "s7"]), "q", "x", method=method, grm_maf=0.0)


def test_the_command(genassoc, files, tmp_path):
    folder, store, table = files
    out = tmp_path / "h.tsv"
    base = ["heritability", store, table, "--sample-id", "IID", "--trait", "q,h", "--covar", "x"]
    code, printed, errors = genassoc(*base, "--kinship", folder / "k.txt", "--out", out)
    assert code == 0, errors
    assert "q: h2 0." in printed
    assert pl.read_csv(out, separator="\t")["trait"].to_list() == ["q", "h"]
    refused(
        genassoc(*base, "--kinship", folder / "absent.txt", "--out", tmp_path / "x.tsv"),
        tmp_path / "x.tsv",
        "absent.txt",
    )
    refused(genassoc(*base, "--method", "best", "--out", tmp_path / "x.tsv"), tmp_path / "x.tsv", "method")
