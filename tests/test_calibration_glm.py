"""Sizes of `Poisson` and `Ordinal` under the null: the benchmark at toy size, seeded."""

import importlib.util
import sys
from pathlib import Path

import pytest
from scipy.stats import binom

PATH = Path(__file__).parents[1] / "benchmarks" / "calibration_glm.py"
spec = importlib.util.spec_from_file_location("calibration_glm", PATH)
calibration = importlib.util.module_from_spec(spec)
sys.modules["calibration_glm"] = calibration
spec.loader.exec_module(calibration)


@pytest.mark.parametrize("case", ["Poisson, mean 3", "levels 50, 30, 15, 5 %", "levels 90, 8, 1.5, 0.5 %"])
def test_the_default_holds_its_level(case):
    found = calibration.sizes(case, n_variants=150, n_traits=3, seed=2)
    for name in calibration.BINS:
        at_5, at_1, *_, n = found[f"{name}, lrt"]
        # One in 10,000 of such tests would find more; discreteness lets the rarest find half more at 1 % (docs).
        assert n == 450 and at_5 <= binom.ppf(0.9999, n, 0.05) and at_1 <= binom.ppf(0.9999, n, 0.015), (
            name,
            at_5,
            at_1,
        )
    common = found["MAF 5-50 %, lrt"]
    assert common[0] >= binom.ppf(0.0001, common[-1], 0.05)


def test_a_skewed_score_has_the_saddlepoint_whatever_was_asked_for():
    """Overdispersed counts and few carriers: 85 times too many score tests were below 1e-4, 16 likelihood ratios."""
    found = calibration.sizes("overdispersed, mean 0.3, dispersion 2", n_variants=150, n_traits=2, seed=2)
    for test in ("score", "wald", "lrt"):
        _, at_1, at_01, *_, n = found[f"MAC 5-9, {test}"]
        assert n >= 200 and at_1 <= binom.ppf(0.9999, n, 0.015) and at_01 <= binom.ppf(0.9999, n, 0.002), test
    assert found["MAF 5-50 %, lrt without code"][-1] == 300


@pytest.mark.parametrize("case", ["overdispersed, mean 3, dispersion 4", "overdispersed, mean 0.3, dispersion 2"])
def test_overdispersed_counts_hold_their_level_by_the_saddlepoint(case):
    found = calibration.sizes(case, n_variants=400, n_traits=5, seed=3)
    for name in calibration.BINS:
        at_5, at_1, at_01, *_, n = found[f"{name}, spa"]
        # One in 10,000 of such tests would find more; the null's own scatter lets a trait find half more at 1 % (docs).
        bounds = [binom.ppf(0.9999, n, share) for share in (0.06, 0.015, 0.002)]
        assert n == 2000 and at_5 <= bounds[0] and at_1 <= bounds[1] and at_01 <= bounds[2], (name, at_5, at_1, at_01)
        assert at_5 >= binom.ppf(0.0001, n, 0.035)
