"""The benchmarks run at toy size: what they time is right, and they have not rotted."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


def test_product_kernel():
    import product_kernel

    rows = product_kernel.measure(V=64, N=100, K=16, repeats=1)
    assert len(rows) == 4
    # Every alternative computes the same product, to float32.
    assert all(float(row.split("|")[-2]) < 1e-5 for row in rows)


def test_logistic_cost(monkeypatch, capsys):
    import logistic_cost

    monkeypatch.setattr(sys, "argv", ["logistic_cost.py", "--samples", "200", "--variants", "30"])
    logistic_cost.main()
    printed = capsys.readouterr().out
    assert printed.startswith(logistic_cost.SECTION)
    assert printed.count("\n|") == 7
    with pytest.raises(SystemExit):
        monkeypatch.setattr(sys, "argv", ["logistic_cost.py", "--nonsense"])
        logistic_cost.main()
