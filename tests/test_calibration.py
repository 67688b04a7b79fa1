"""Calibration of logistic regression under the null: exact sizes by enumeration, and the benchmark at toy size."""

import importlib.util
import sys
from dataclasses import replace
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from genassoc.data.block import GenotypeBlock
from genassoc.models.logistic.model import Logistic

PATH = Path(__file__).parents[1] / "benchmarks" / "calibration.py"
spec = importlib.util.spec_from_file_location("calibration", PATH)
calibration = importlib.util.module_from_spec(spec)
sys.modules["calibration"] = calibration
spec.loader.exec_module(calibration)

DEFAULT = calibration.MODELS["default"]
TOY = calibration.Settings(
    prevalences=(0.3, 0.08), samples=(200, 260), variants=8, traits=6, traits_saddlepoint=3, wald=2, seed=1
)
ROUNDING = 1 + 1e-9  # p and chances are sums of at most a few hundred rounded terms


def largest_excess(p, chance):
    """Largest P(p <= alpha) / alpha over all alpha; the worst alphas are the values of p themselves."""
    found = np.isfinite(p)
    return max(chance[found & (p <= alpha * ROUNDING)].sum() / alpha for alpha in np.unique(p[found]))


def codes_of(hets, homs, n):
    return np.array([2] * homs + [1] * hets + [0] * (n - hets - homs), np.uint8)


def test_size_over_every_outcome_of_nine_samples():
    n = 9
    codes = np.array([codes_of(*c, n) for c in ((5, 0), (3, 1), (6, 0), (1, 3), (8, 0), (2, 3), (7, 1), (5, 2))])
    assert {5, 6, 7, 8, 9} == set(codes.sum(axis=1))
    for n_cases in range(1, n):
        y = np.zeros((n, comb(n, n_cases)))
        for j, cases in enumerate(combinations(range(n), n_cases)):
            y[list(cases), j] = 1
        state = calibration.null_models(y, np.ones((n, 1)))
        p = 10.0 ** -calibration.neg_log_10_p(DEFAULT, state, codes)
        for row in p:
            assert np.isfinite(row).all()
            assert largest_excess(row, np.full(row.size, 1 / row.size)) <= ROUNDING


@pytest.mark.parametrize(("n", "n_cases"), [(30, 15), (60, 6), (250, 5), (250, 125), (1000, 2), (1000, 990)])
def test_size_of_five_to_nine_alleles_by_enumeration(n, n_cases):
    # Without covariates only how many heterozygous and homozygous carriers are cases matters: a class each.
    state = calibration.null_models((np.arange(n) < n_cases).astype(float)[:, None], np.ones((n, 1)))
    for mac in range(5, 10):
        for homs in (0, 1, 2):
            hets = mac - 2 * homs
            rest = n - hets - homs
            codes, chance = [], []
            for a in range(hets + 1):
                for b in range(homs + 1):
                    others = n_cases - a - b
                    if 0 <= others <= rest:
                        ways = comb(hets, a) * comb(homs, b) * comb(rest, others)
                        chance.append(ways / comb(n, n_cases))
                        cases = codes_of(a, b, n_cases)
                        codes.append(np.concatenate([cases, codes_of(hets - a, homs - b, n - n_cases)]))
            p = 10.0 ** -calibration.neg_log_10_p(DEFAULT, state, np.array(codes))[:, 0]
            assert sum(chance) == pytest.approx(1)
            assert largest_excess(p, np.array(chance)) <= ROUNDING


@pytest.mark.parametrize(("n", "n_cases"), [(600, 300), (600, 90), (3000, 300)])
def test_exact_size_where_at_least_one_allele_is_expected_in_cases(n, n_cases):
    # From ten alleles on the test is an approximation to a lattice: its size at one count goes up and down around
    # alpha; over counts, as in a study, it must not exceed it.
    sizes = calibration.exact_sizes(DEFAULT, n, n_cases, list(range(10, 40)))
    assert (sizes.mean(axis=0) <= 1).all(), sizes.mean(axis=0)
    assert (sizes <= 2.5).all()  # no single count is far off either; the score test's are up to 900


@pytest.mark.parametrize("macs", [range(10, 20), range(20, 50)])
def test_exact_size_where_less_than_one_allele_is_expected_in_cases(macs):
    sizes = calibration.exact_sizes(DEFAULT, 5000, 10, list(macs))
    assert (sizes.mean(axis=0) <= 1).all(), sizes.mean(axis=0)


@pytest.mark.parametrize(("n", "n_cases", "mac"), [(250, 5, 5), (1000, 10, 9), (2000, 20, 20), (5000, 50, 7)])
def test_all_carriers_are_cases(n, n_cases, mac):
    state = calibration.null_models((np.arange(n) < n_cases).astype(float)[:, None], np.ones((n, 1)))
    block = GenotypeBlock.from_codes(codes_of(mac, 0, n)[None])
    beta = Logistic(("y",), correction="firth").block(state, block).columns["beta"][0, 0]
    # Firth's estimate of a two by two table is the log odds ratio with one half added to each cell.
    expected = np.log((mac + 0.5) / 0.5) - np.log((n_cases - mac + 0.5) / (n - n_cases + 0.5))
    assert beta == pytest.approx(expected, rel=1e-6)  # the optimiser stops 1e-6 standard errors away


def test_most_extreme_outcome_has_a_row():
    state = calibration.null_models((np.arange(60) < 6).astype(float)[:, None], np.ones((60, 1)))
    assert np.isfinite(calibration.neg_log_10_p(DEFAULT, state, codes_of(3, 2, 60)[None])).all()


def test_naive_score_is_why():
    score = calibration.exact_sizes(calibration.MODELS["score"], 2000, 200, [5, 7, 12, 19])
    default = calibration.exact_sizes(DEFAULT, 2000, 200, [5, 7, 12, 19])
    # At 5e-8 the score test of so rare variants finds hundreds of times too much.
    assert score[:, 3].mean() > 100
    assert default[:, 3].mean() < 1
    balanced = calibration.exact_sizes(calibration.MODELS["wald"], 400, 200, [10, 15])
    assert (balanced < 0.1).all()  # Wald's power is gone where few carriers are all cases


def test_simulated_size_is_never_above_its_monte_carlo_limit():
    settings = calibration.Settings(
        prevalences=(0.5, 0.1), samples=(600, 600), variants=150, traits=60, traits_saddlepoint=10, wald=1, seed=20
    )
    counts = {}
    for part in range(2):
        for name, method, p, seconds in calibration.batch(settings, part, 0):
            calibration.add(counts, f"{settings.prevalences[part]}|{name}|{method}", p, seconds)
    cells = {key: cell for key, cell in counts.items() if key.endswith("|default")}
    assert len(cells) == 10 and all(cell["tests"] >= 9000 for cell in cells.values())
    for key, cell in cells.items():
        for alpha, observed in zip(calibration.ALPHAS, cell["below"], strict=True):
            # 30 comparisons at 1e-4 each: a calibrated method fails by chance less than once in 300 seeds.
            assert observed <= binom.isf(1e-4, cell["tests"], alpha), (key, alpha)
    naive = counts["0.1|MAC 5-9|score"]
    assert calibration.interval(naive["below"][1], naive["tests"], 1e-4)[0] > 1


def test_exact_shortcut_is_what_the_method_gives():
    rng = np.random.default_rng(4)
    X = calibration.covariates(rng, 400)
    state = calibration.null_models(calibration.phenotypes(rng, X, 0.1, 5), X)
    codes = calibration.genotypes(rng, X, 30)[0]
    method = calibration.neg_log_10_p(DEFAULT, state, codes)
    # The same kernel; where Firth's estimate fails the method has no row at all.
    found = np.isfinite(method)
    assert found.mean() > 0.95
    np.testing.assert_allclose(calibration.exact_neg_log_10_p(state, codes)[found], method[found], rtol=1e-12)


def test_genotypes_fill_their_bins():
    rng = np.random.default_rng(6)
    X = calibration.covariates(rng, 5000)
    edges = calibration.bin_edges(5000)
    assert edges == [5, 10, 20, 50, 100, 500, 5001]
    for codes, low, high in zip(calibration.genotypes(rng, X, 20), edges[:-1], edges[1:], strict=True):
        mac = np.minimum(codes.sum(axis=1), 10_000 - codes.sum(axis=1))
        assert codes.shape == (20, 5000) and mac.min() >= low and mac.max() < high


def _without_seconds(state):
    return {key: {k: v for k, v in cell.items() if k != "seconds"} for key, cell in state["counts"].items()}


def test_stopped_and_resumed_is_the_same_counts(tmp_path):
    once = calibration.run(TOY, tmp_path / "once.json", batches=2)
    calibration.run(TOY, tmp_path / "twice.json", batches=1)
    assert calibration.run(TOY, tmp_path / "twice.json", batches=2, minutes=0)["batches"] == [1, 1]
    twice = calibration.run(TOY, tmp_path / "twice.json", batches=2)
    assert _without_seconds(once) == _without_seconds(twice)
    assert once["counts"]["0.3|MAC 10-19|score"]["tests"] == 2 * 8 * 6
    assert once["counts"]["0.3|MAC 10-19|spa"]["tests"] == 2 * 8 * 3
    assert once["counts"]["0.3|MAC 10-19|wald"]["tests"] == 2 * 6
    with pytest.raises(ValueError, match="other settings"):
        calibration.run(replace(TOY, seed=2), tmp_path / "once.json", batches=2)


def test_tables_of_a_toy_run(tmp_path):
    state = calibration.run(TOY, tmp_path / "toy.json", batches=1)
    lines = calibration.simulated_tables(state)
    assert sum(line.startswith("| 30 % | 200 |") for line in lines) == 2 * 4  # two alphas, four bins that exist
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured -->\nold\n<!-- end -->\nafter\n")
    calibration.write_tables(page, lines)
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    calibration.write_tables(page, lines)
    assert page.read_text() == text


@pytest.mark.parametrize(("observed", "tests"), [(0, 100), (3, 1000), (50, 50)])
def test_interval_is_clopper_and_pearsons(observed, tests):
    expected = binomtest(observed, tests).proportion_ci(0.95, "exact")
    assert np.array(calibration.interval(observed, tests, 1e-2)) * 1e-2 == pytest.approx([expected.low, expected.high])


def test_models_are_the_defaults():
    assert Logistic(("y",)) == DEFAULT
