"""The benchmarks run at toy size: what they time is right, and they have not rotted."""

import sys
from pathlib import Path

import numpy as np
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


def test_cox_cost(monkeypatch, capsys):
    import cox_cost

    argv = ["cox_cost.py", "--samples", "200", "--variants", "30", "--peer-variants", "1"]
    monkeypatch.setattr(sys, "argv", argv)
    cox_cost.main()
    printed = capsys.readouterr().out
    assert printed.startswith(cox_cost.SECTION)
    assert printed.count("| Wald, every variant |") == 2


def test_calibration_of_cox(monkeypatch, capsys):
    import calibration_cox

    argv = ["calibration_cox.py", "--samples", "300", "--variants", "40", "--endpoints", "2"]
    monkeypatch.setattr(sys, "argv", argv)
    calibration_cox.main()
    rows = capsys.readouterr().out.splitlines()[2:]
    assert len(rows) == 3 * len(calibration_cox.BINS) * 2


def test_linear_scale():
    import linear_scale

    for line in linear_scale.scale(200, 30, 3).splitlines():
        assert float(line.split("|")[-2]) > 0
    costs = [line.split("|") for line in linear_scale.curve(200, 20).splitlines()]
    assert [row[2].strip() for row in costs] == ["10", "40", "160"]
    assert float(linear_scale.dosages(200, 30).split("|")[-2]) > 0
    block = linear_scale.calls(4000, [0.3], 0.1)
    codes = block.codes()[0]
    # five standard errors of a frequency of 7,200 alleles, and of a rate of 4,000 calls
    assert abs(codes[codes < 3].mean() / 2 - 0.3) < 0.03
    assert abs((codes == 3).mean() - 0.1) < 0.025


def test_dosage_scan(tmp_path):
    import dosage_scan

    found = dosage_scan.ours(200, 20, 1, tmp_path)
    assert len(found) == len(dosage_scan.models()) and all(min(costs) > 0 for costs in found.values())


def test_imputed_corners():
    import calibration_corners as corners

    x = np.column_stack([np.zeros(600), np.arange(600) % 2])
    block = corners.imputed(np.random.default_rng(1), x, 10, 19, 0.3)
    sums = block.dosages().sum(axis=1)
    assert (sums >= 10).all() and (sums <= 19).all() and not block.whole().any()
    # Four times as frequent where b is 1, in every other variant; a fifth of the sum is four standard deviations or more.
    where = block.dosages()[1::2][:, x[:, 1] == 1].sum() / block.dosages()[1::2].sum()
    assert abs(where - 0.8) < 0.02


def test_scale_store(monkeypatch, capsys, tmp_path):
    import scale_store

    argv = ["scale_store.py", "--samples", "300", "--variants", "640", "--traits", "2", "--memory", "3GiB"]
    monkeypatch.setattr(sys, "argv", [*argv, "--folder", str(tmp_path)])
    scale_store.main()
    printed = capsys.readouterr().out
    assert "1,280 tests" in printed and "| `run --memory 3GiB` |" in printed
    assert list(tmp_path.iterdir()) == []


def test_endpoint_cost(monkeypatch, capsys):
    import endpoint_cost

    monkeypatch.setattr(sys, "argv", ["endpoint_cost.py", "--samples", "200", "--variants", "30"])
    endpoint_cost.main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[1].strip() for row in rows[1:]] == [
        "logistic",
        "Poisson",
        "ordinal, 4 levels",
        "Cox",
        "linear, one trait",
    ]
    assert all(float(row[4]) > 0 for row in rows[1:])


@pytest.mark.integration
def test_dask_overhead(monkeypatch, capsys):
    import dask_overhead

    argv = "dask_overhead.py --samples 200 --variants 800 --traits 1 --repeats 1 --tasks 50 --longer 0"
    monkeypatch.setattr(sys, "argv", argv.split())
    dask_overhead.main()
    printed = capsys.readouterr().out
    assert printed.count("| whole process |") == 2 and printed.count("| run alone, cluster up |") == 4
    assert "the same bytes in all" in printed and "50 tasks without work" in printed


def test_calibration_in_the_corners(monkeypatch, capsys, tmp_path):
    """A toy run that stops and goes on has the counts of one that never stopped, and its bounds are Clopper and Pearson's."""
    import calibration_corners as corners

    monkeypatch.setattr(corners, "V", 8)
    monkeypatch.setattr(corners, "T", 2)
    key = "linear|model|normal|500"
    stopped = corners.run(tmp_path / "a.json", 16, np.inf, key)
    again = corners.run(tmp_path / "a.json", 48, np.inf, key)
    whole = corners.run(tmp_path / "b.json", 48, np.inf, key)
    timeless = [
        {name: {k: v for k, v in cell.items() if k != "seconds"} for name, cell in state[key]["bins"].items()}
        for state in (again, whole)
    ]
    assert stopped != again and timeless[0] == timeless[1]
    cell = whole[key]["bins"]["MAC 20-50"]
    assert cell["rows"] == cell["tests"] == 48 and cell["batches"] == 3
    # No finding among n tests: the upper limit is 1 - 0.05^(1/n).
    assert corners.upper_bound(cell | {"fine": [0, 0, 0]}, "fine", 0, 0.95) == pytest.approx(
        (1 - 0.05 ** (1 / 48)) / 0.01
    )
    assert all("not yet told" in line or "FAILS" in line for line in corners.holm_failures(whole))
    assert len(corners.tables(whole)) == len(corners.BINS) + 5


def test_gene_cost(monkeypatch, capsys, tmp_path):
    import gene_cost

    monkeypatch.setattr(
        sys,
        "argv",
        ["gene_cost", "--samples", "300", "--genes", "6", "--traits", "2", "--repeats", "0", "--work", str(tmp_path)],
    )
    assert gene_cost.main() == 0  # Q of every gene as plain numpy has it
    assert "Q of 12 genes x traits" in capsys.readouterr().out
