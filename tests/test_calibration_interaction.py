"""Size and coverage of interactions: the benchmark at toy size, seeded."""

import importlib.util
import sys
from pathlib import Path

import pytest
from scipy.stats import binom

PATH = Path(__file__).parents[1] / "benchmarks" / "calibration_interaction.py"
spec = importlib.util.spec_from_file_location("calibration_interaction", PATH)
calibration = importlib.util.module_from_spec(spec)
sys.modules["calibration_interaction"] = calibration
spec.loader.exec_module(calibration)

N = 250


@pytest.mark.parametrize("model", [name for name in calibration.MODELS if name != "logistic, Wald"])
@pytest.mark.parametrize("ratio", [1.0, 4.5])
def test_the_interaction_holds_its_level_whatever_g_does(model, ratio):
    p = calibration.run(model, ratio, 0.0, N, seed=3)["p"]
    # One in 10,000 of such tests would find as much; a null without g has sizes of 0.1 to 0.3.
    low, high = binom.ppf([0.0001, 0.9999], N, 0.05)
    assert p.size == N and low <= (p <= 0.05).sum() <= high


@pytest.mark.parametrize("model", ["linear", "logistic, Wald then Firth (default)", "Cox, Wald then Firth (default)"])
def test_a_planted_interaction_is_covered(model):
    covered = calibration.run(model, 2.7, calibration.PLANTED, N, seed=3)["covered"]
    low, high = binom.ppf([0.0001, 0.9999], N, 0.95)
    assert covered.size == N and low <= covered.sum() <= high
