"""The harness of set tests' calibration: its pieces at toy size, and what its page must have."""

import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def harness(monkeypatch):
    """The benchmark as a module, with few samples and one gene of a kind."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    sys.modules.pop("calibration_sets", None)
    import calibration_sets

    monkeypatch.setattr(calibration_sets, "N", 4000)
    monkeypatch.setattr(calibration_sets, "GENES", 2)
    monkeypatch.setattr(calibration_sets, "KINDS", {"100 alleles": 100, "500, linked": 500})
    yield calibration_sets
    sys.modules.pop("calibration_sets", None)


def test_a_batch_is_the_same_whenever_it_is_done(harness):
    first = harness.batch("1:20", 30, ("100 alleles", "500, linked"))
    assert harness.batch("1:20", 30, ("100 alleles", "500, linked")) == first
    assert set(first) == {"100 alleles", "500, linked"}
    assert first["100 alleles"]["SKAT"][0] == 2
    # One batch in 30 has the comparison.
    assert first["100 alleles"]["ACAT-V"][0] == 2
    assert "ACAT-V" not in harness.batch("1:20", 31, ("100 alleles",))["100 alleles"]


def test_scores_are_the_dense_ones(harness):
    gene = harness.genes()[-1]
    rng = np.random.default_rng(0)
    residual, weight, cross = rng.standard_normal(harness.N), rng.random(harness.N), rng.random((harness.N, 2)) / 100
    G = np.zeros((harness.M, harness.N))
    G[gene.variant, gene.columns.samples] = gene.columns.doses
    U, V = harness.scores(gene, residual, weight, cross)
    np.testing.assert_allclose(U, G @ residual, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(V, (G * weight) @ G.T - (G @ cross) @ (G @ cross).T, rtol=1e-9, atol=1e-12)


def test_few_events_are_coded_and_no_test(harness):
    found = harness.batch("1:500", 31, ("100 alleles",))["100 alleles"]
    assert found["coded"] == 2  # some 8 cases among 4,000
    assert "SKAT" not in found


def test_upper_bounds_are_wider_where_findings_hang_together(harness):
    apart = {"tests": 100_000, "batches": 100, "hits": [100, 0, 0, 0], "squares": [100, 0, 0, 0]}
    together = apart | {"squares": [1000, 0, 0, 0]}
    assert 1.0 < harness.upper_bound(apart, 0, 0.95) < harness.upper_bound(together, 0, 0.95)
