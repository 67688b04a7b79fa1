"""Kaplan-Meier and Aalen-Johansen against lifelines and by hand."""

import numpy as np
import pytest

from genassoc.stats.survival import cumulative_incidence, kaplan_meier


def drawn(seed, n=120):
    rng = np.random.default_rng(seed)
    time = np.ceil(rng.exponential(20, n))
    return time, rng.integers(0, 3, n), np.floor(time * rng.random(n) * 0.9)


def test_by_hand():
    # at risk 4, 3, 1: S = 3/4, 3/4 2/3, 0
    curve = kaplan_meier([1, 2, 2, 5], [1, 1, 0, 1])
    np.testing.assert_allclose(curve.estimate, [0.75, 0.5, 0.0])
    assert curve.at_risk.tolist() == [4, 3, 1] and curve.events.tolist() == [1, 1, 1]
    np.testing.assert_allclose(curve.variance, [0.75**2 / 12, 0.25 * (1 / 12 + 1 / 6), 0.0])
    F = cumulative_incidence([1, 2, 3, 4], ["a", "b", "a", "none"], of="a", censored="none")
    np.testing.assert_allclose(F.estimate, [0.25, 0.25, 0.5])


def test_late_entry_counts_from_then_on():
    curve = kaplan_meier([3, 4, 5], [1, 1, 1], [0, 3, 2])
    assert curve.at_risk.tolist() == [2, 2, 1]  # who enters at 3 is not at risk at 3


@pytest.mark.parametrize("late", [False, True])
def test_kaplan_meier_is_lifelines(late):
    lifelines = pytest.importorskip("lifelines")
    time, cause, entry = drawn(1)
    # No entry at an event time: lifelines takes who enters then for at risk, we (as R) do not.
    entry = np.where(entry > 0, entry - 0.5, 0.0) if late else None
    ours = kaplan_meier(time, cause > 0, entry)
    theirs = lifelines.KaplanMeierFitter().fit(time, cause > 0, entry=entry)
    np.testing.assert_allclose(ours.estimate, theirs.predict(ours.time).to_numpy(), rtol=1e-12, atol=1e-15)
    band = theirs.confidence_interval_survival_function_.loc[ours.time].to_numpy()
    inside = ours.estimate > 0
    np.testing.assert_allclose(np.column_stack([ours.lower, ours.upper])[inside], band[inside], rtol=1e-9)


def test_cumulative_incidence_is_lifelines():
    lifelines = pytest.importorskip("lifelines")
    time, cause, _ = drawn(2)
    time = time + np.arange(time.size) * 1e-6  # lifelines would break ties at random
    ours = cumulative_incidence(time, cause, of=1)
    theirs = lifelines.AalenJohansenFitter(calculate_variance=True).fit(time, cause, event_of_interest=1)
    expected = theirs.cumulative_density_.iloc[:, 0].loc[ours.time].to_numpy()
    np.testing.assert_allclose(ours.estimate, expected, rtol=1e-9)
    variance = theirs.variance_.loc[ours.time].to_numpy().ravel()
    there = np.isfinite(variance)  # theirs ends where one sample is left
    assert there.sum() > 50
    np.testing.assert_allclose(ours.variance[there], variance[there], rtol=1e-9)
    both = (
        ours.estimate[-1]
        + cumulative_incidence(time, cause, of=2).estimate[-1]
        + kaplan_meier(time, cause > 0).estimate[-1]
    )
    assert both == pytest.approx(1.0)


def test_variance_of_incidence_is_that_of_samples_drawn_again():
    time, cause, _ = drawn(3, 300)
    ours = cumulative_incidence(time, cause, of=1)
    k = ours.time.size // 2
    rng = np.random.default_rng(4)
    again = []
    for _ in range(400):
        who = rng.integers(0, time.size, time.size)
        curve = cumulative_incidence(time[who], cause[who], of=1)
        again.append(curve.estimate[np.searchsorted(curve.time, ours.time[k], side="right") - 1])
    # 400 draws give a variance to 7 % (one standard error); four of them
    assert np.var(again) == pytest.approx(ours.variance[k], rel=0.28)


def test_errors():
    with pytest.raises(ValueError, match="after its entry"):
        kaplan_meier([1.0, 2.0], [1, 0], [1.0, 0.0])
    with pytest.raises(ValueError, match="one length"):
        kaplan_meier([1.0, 2.0], [1])
    with pytest.raises(ValueError, match="no event has the cause 3"):
        cumulative_incidence([1.0, 2.0], [1, 0], of=3)
