"""Copies of vectors against numpy's."""

import numpy as np
import pytest
from oracles import copies as slow

from genassoc.kernels.lanes import copies


@pytest.mark.kernel
@pytest.mark.parametrize(("size", "at", "n"), [(5, 0, 5), (5, 2, 3), (4, 1, 0), (1, 0, 1)])
def test_put(size, at, n):
    values = np.arange(n) + 0.5
    found, expected = np.full(size, -1.0), np.full(size, -1.0)
    copies.put(found, at, values)
    slow.put(expected, at, values)
    assert found.tolist() == expected.tolist()
