"""Disclosure control: no masked cell can be worked out from what is shown, and no more is masked than that takes."""

import itertools
from collections import defaultdict

import numpy as np
import pytest

from genassoc.data.disclosure import POLICIES, Policy, groups_withheld, policy_of, sums_leave


def rows_of(cells):
    """Samples, cases and controls of each group, as (1, G, 3)."""
    cases, controls = np.array(cells).T
    return np.stack([cases + controls, cases, controls], axis=1)[None]


def may_leave(values, least):
    return all(value == 0 or value >= least for value in values)


def tables(n_groups, largest):
    one = list(itertools.product(range(largest + 1), repeat=2))
    return itertools.product(one, repeat=n_groups)


@pytest.mark.parametrize(("least", "largest"), [(3, 5), (4, 5)])
def test_a_masked_cell_cannot_be_worked_out(least, largest):
    """All small tables: of those with the same sums, in which the same groups can be shown and look the same, every small cell differs."""
    policy, alike, masked = Policy("own", least), defaultdict(list), []
    for cells in tables(3, largest):
        rows = rows_of(cells)
        few = {g for g in range(3) if not may_leave(rows[0, g], least)}
        if not few:
            continue
        for size in range(len(few), 4):
            for some in itertools.combinations(range(3), size):
                if few <= set(some):
                    alike[look(cells, some)].append(cells)
        hidden = groups_withheld(rows, policy)
        if not sums_leave(rows, hidden, policy):
            assert hidden.all()  # and nothing is shown
            continue
        masked.append(look(cells, tuple(np.flatnonzero(hidden))))
    assert len(set(masked)) > 100
    for key in set(masked):
        values = np.stack(
            [np.array(alike[key])[:, :, 0], np.array(alike[key])[:, :, 1], np.array(alike[key]).sum(axis=2)], axis=2
        )
        for group in key[0]:
            for column in values[:, group].T:
                small = column[(column > 0) & (column < least)]
                assert small.size == 0 or np.unique(column).size > 1, (key, alike[key][:3])


def look(cells, hidden):
    """What is seen of a table: which groups are hidden, the sums, the others."""
    sums = tuple(np.array(cells).sum(axis=0).tolist())
    return hidden, sums, tuple(cells[g] for g in range(3) if g not in hidden)


def test_no_smaller_choice_of_groups_would_do():
    least = 3
    for cells in itertools.islice(tables(3, 5), 0, None, 7):
        counts = rows_of(cells)
        hidden = set(np.flatnonzero(groups_withheld(counts, Policy("own", least))))
        must = {g for g in range(3) if not may_leave(counts[0, g], least)}
        assert must <= hidden
        fitting = [
            set(some)
            for size in range(len(must), 4)
            for some in itertools.combinations(range(3), size)
            if must <= set(some)
            and sum(counts[0, g, 0] > 0 for g in some) >= 2
            and may_leave(counts[0, list(some)].sum(axis=0), max(least, sum(counts[0, g, 0] > 0 for g in some) + 1))
        ]
        if not must:
            assert not hidden
        elif fitting:
            assert len(hidden) == min(map(len, fitting))
        else:
            assert len(hidden) == 3


def test_a_genotype_is_withheld_in_all_arms_or_in_none():
    counts = np.array([[[500, 50, 450], [200, 30, 170], [40, 20, 20]], [[500, 60, 440], [210, 20, 190], [30, 4, 26]]])
    assert groups_withheld(counts, POLICIES["snds"]).tolist() == [False, True, True]
    assert groups_withheld(counts, Policy("own", 4)).tolist() == [False, False, False]
    many = np.tile(np.array([[[100, 50, 50]]]), (1, 20, 1))
    many[0, 7] = [5, 3, 2]
    assert groups_withheld(many, POLICIES["casd"]).sum() == 2  # 20 groups: chosen in turn


def test_policies_by_name():
    assert {name: (one.least, one.secondary) for name, one in POLICIES.items()} == {
        "snds": (11, False), "casd": (11, True), "ukb": (5, False), "finngen": (5, False),
    }  # fmt: skip
    assert policy_of(None) is None
    assert policy_of("ukb", 0.01) == Policy("ukb", 5, floor=0.01)
    assert [POLICIES["snds"].allows(n) for n in (0, 1, 10, 10.9999999, 11, 300)] == [
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    with pytest.raises(ValueError, match="no policy 'nhs'; there are snds, casd, ukb, finngen"):
        policy_of("nhs")
    for wrong in (0, 2, True, 2.5):
        with pytest.raises(ValueError, match="whole number of at least 3"):
            Policy("own", wrong)
    with pytest.raises(ValueError, match="floor"):
        Policy("own", 5, floor=0.5)
    with pytest.raises(ValueError, match="name one"):
        policy_of(None, 0.1)
