"""The speed and scale benchmarks at toy size: what they run is right and agrees with the peers. No time is asserted."""

import dataclasses
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import agreement
import measure
import paired
import paired_worker
import scale
import speed
import speed_cohort
import speed_report
import speed_run
from measure import Usage
from speed_rows import SLICES, Job

import genassoc as ga

plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not on PATH")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("benchmarks")


@pytest.fixture(scope="module")
def files(work):
    return speed_cohort.make_files(speed_cohort.TOY, work)


# Measuring --------------------------------------------------------------------------------------------------------


def test_cost_is_of_the_whole_process_tree():
    grandchild = f"(({sys.executable} -c 'sum(range(10**7))') | cat) ; true"
    found = measure.run(grandchild)
    assert found.cpu > 0.05  # ten million additions take a modern core 0.1 s and more: bash alone takes 0.003
    assert measure.run("sleep 0.2").wall >= 0.2


@pytest.mark.skipif(not Path("/proc").exists(), reason="memory of a tree is read from /proc")
def test_peak_is_of_the_tree_and_not_of_the_harness():
    ballast = np.ones(30_000_000)  # 240 MB of ours: none of the command's
    child = "import time; a = b'x' * 60_000_000; time.sleep(1)"
    parent = f"import subprocess, sys; a = b'x' * 60_000_000; subprocess.run([sys.executable, '-c', {child!r}])"
    assert 120e6 < measure.run(f"{sys.executable} -c {shlex.quote(parent)}").peak < 240e6
    assert measure.run("sleep 0.2").peak < 50e6 < ballast.nbytes


def test_a_command_that_fails_says_so(tmp_path):
    with pytest.raises(measure.CommandError, match="exit code 3: echo why"):
        measure.run("echo why; exit 3", log=tmp_path / "log")
    with pytest.raises(measure.CommandError, match="exit code 1"):
        measure.run("false | cat")


def test_commands_take_turns_and_the_order_is_reversed(tmp_path):
    order = []
    found = measure.alternate({"a": "true", "b": "true"}, {"a": 3, "b": 2}, logs=tmp_path, before=order.append)
    assert order == ["a", "b", "b", "a", "a"]
    assert [len(runs) for runs in found.values()] == [3, 2]
    assert measure.medians([Usage(1, 5, 1), Usage(3, 4, 2), Usage(2, 9, 9)]) == Usage(2, 5, 2)


def test_a_slow_tool_is_carried_on_along_a_straight_line():
    job = Job("slow", SLICES, lambda name, out: "")
    sizes = {"half": 2000, "slice": 4000, "full": 100_000}
    found = speed_run.cost(job, {"half": Usage(3, 5, 70), "slice": Usage(5, 9, 80)}, 1, sizes)
    assert found.whole == Usage(1 + 100, 1 + 200, 80)
    assert found.marginal == Usage(100, 200, 10)
    assert found.extrapolated
    both = dataclasses.replace(job, on=("full", "twice"))
    found = speed_run.cost(both, {"full": Usage(7, 8, 9), "twice": Usage(10, 12, 9)}, 1, sizes | {"twice": 200_000})
    assert (found.whole, found.marginal) == (Usage(7, 8, 9), Usage(3, 4, 0))
    assert speed_report.ratios(Usage(6, 0, 0), Usage(3, -1, 0)) == (2, None)


def test_a_machine_has_one_section_and_leaves_the_others(tmp_path):
    results = tmp_path / "RESULTS.md"
    speed_report.write("## One\n1\n", results)
    speed_report.write("## Two\n2\n", results)
    speed_report.write("## One\nagain\n", results)
    text = results.read_text()
    assert text.startswith(speed_report.TITLE)
    assert (text.count("## One\n\nagain") + text.count("## One\nagain\n"), text.count("## Two\n2\n")) == (1, 1)
    assert "## One\n1\n" not in text
    speed_report.write("## Two\n3\n", results)
    assert text.count("\n") == results.read_text().count("\n")  # nothing grows from run to run


# The cohort -------------------------------------------------------------------------------------------------------


def test_cohort_is_what_the_page_says(files, work):
    size = speed_cohort.TOY
    table = pl.read_csv(files.pheno, separator="\t", null_values="NA")
    assert table.height == size.n_samples
    assert table.columns[1:13] == list(speed_cohort.COVARIATES)
    patterns = {tuple(table[f"s{j}"].is_null()) for j in range(1, 51)}
    assert len(patterns) == 1
    assert len({tuple(table[f"q{j}"].is_null()) for j in range(1, 51)}) > 40
    missing = [table[f"q{j}"].null_count() / size.n_samples for j in range(1, 51)]
    assert missing[0] == 0
    assert 0.05 < np.mean(missing) < 0.15  # 0.10 is meant; 6,000 draws have a standard error of 0.004
    assert (table["b1"] - 1).mean() == pytest.approx(0.2, abs=0.01)
    assert (table["b2"] - 1).mean() == pytest.approx(0.01, abs=0.01)
    before = files.vcf("full").stat().st_mtime_ns
    assert speed_cohort.make_files(size, work) == files
    assert files.vcf("full").stat().st_mtime_ns == before


def test_a_cohort_that_is_drawn_has_variants_without_carriers(work, tmp_path):
    files = speed_cohort.make_files(speed_cohort.TOY_BETA, work)
    store = ga.convert(files.vcf("full"), tmp_path / "beta.zarr")
    codes = store.read(0, store.n_variants).codes()
    copies = np.where(codes == 3, 0, codes).sum(axis=1)
    # Beta(0.25, 2.2) at 240 chromosomes: a third of the draws stay below one copy, half below five
    assert 0.15 < (copies == 0).mean() < 0.5
    assert 0.4 < (copies < 5).mean() < 0.75
    assert not files.vcf("rich").exists()
    assert pl.read_csv(files.pheno, separator="\t").columns[1:13] == list(speed_cohort.COVARIATES)


def test_files_of_the_cohort_hold_the_same_calls(files, tmp_path):
    stores = {}
    for name in ("half", "full", "rich"):
        stores[name] = ga.convert(files.vcf(name), tmp_path / f"{name}.zarr")
    size = speed_cohort.TOY
    assert [stores[name].n_variants for name in ("half", "full", "rich")] == [100, size.n_variants, 100]
    codes = {name: store.read(0, store.n_variants).codes() for name, store in stores.items()}
    np.testing.assert_array_equal(codes["half"], codes["full"][::4])
    np.testing.assert_array_equal(codes["half"], codes["rich"])
    assert 0 < (codes["full"] == 3).mean() < 0.02
    assert len(set(stores["full"].contigs)) == speed_cohort.CHROMOSOMES


# Rows -------------------------------------------------------------------------------------------------------------


def check(keys, work, wanted=("plink2",)):
    outcomes, inputs = speed.measure(speed_cohort.TOY, keys, work, 1, 1, warm=False)
    assert [outcome.row.key for outcome in outcomes] == keys
    measured = speed_report.Measured("speed.py", 1, 1, [(speed_cohort.TOY, outcomes)])
    measured.add_versions(outcomes, inputs)
    text = speed_report.section(measured)
    for outcome in outcomes:
        assert outcome.costs["genassoc"].whole.cpu > 0
        for tool in wanted:
            assert tool in outcome.costs, outcome.absent
            assert outcome.agreement[tool].ok, (outcome.row.key, outcome.agreement[tool].text)
        for tool, why in outcome.absent.items():
            assert f"{tool} ({why})" in text
    return outcomes


@plink2
@pytest.mark.integration
def test_rows_run_and_the_tools_agree(files, work):
    convert, _, wald, qc = check(["convert", "export-vcf", "wald-b1", "qc"], work)
    assert ("bgzip" in convert.costs) == (shutil.which("bgzip") is not None)
    assert wald.costs["plink2"].extrapolated
    assert not wald.agreement["plink2"].text.startswith("0 ")
    assert qc.costs["plink2"].marginal is not None
    assert not list((work / "scratch-toy" / "qc").iterdir())
    assert qc.agreement["plink2"].text.startswith("1,200 numbers")
    pytest.importorskip("pgenlib")
    check([*(["convert-bed"] if shutil.which("plink1.9") else []), "convert-pgen"], work)


@plink2
@pytest.mark.slow
@pytest.mark.integration
def test_other_rows_run(files, work):
    linear, *_ = check(["linear1", "linear50-own", "straight"], work)
    assert ("regenie" in linear.absent) == (shutil.which("regenie") is None)


def test_results_that_differ_are_called_so(tmp_path):
    ours = pl.DataFrame(
        {
            "rsid": ["a", "b"], "effect_allele": ["A", "C"], "beta": [0.5, -0.2], "standard_error": [0.1, 0.1],
            "neg_log_10_p_value": [6.2, 1.3], "mac": [50.0, 60.0], "missing_rate": [0.0, 0.1], "method": ["t", "t"],
        }
    )  # fmt: skip
    ours.write_parquet(tmp_path / "ours.parquet")

    def theirs(beta, allele="A"):
        rows = {"ID": ["a", "b"], "A1": [allele, "G"], "BETA": [beta, 0.2], "SE": [0.1, 0.1]}
        table = pl.DataFrame(rows | {"P": [10**-6.2, 10**-1.3]})
        table.write_csv(tmp_path / "theirs.tsv", separator="\t")
        return tmp_path / "theirs.tsv"

    compare = agreement.compare_tests(agreement.LINEAR, agreement.plink2_linear)
    assert compare(tmp_path / "ours.parquet", theirs(0.5)).ok
    assert not compare(tmp_path / "ours.parquet", theirs(0.5, allele="T")).ok  # the other allele: the sign must turn
    assert compare(tmp_path / "ours.parquet", theirs(-0.5, allele="T")).ok
    assert not compare(tmp_path / "ours.parquet", theirs(0.501)).ok
    complete = agreement.compare_tests(agreement.LINEAR, agreement.plink2_linear, complete=True)
    assert complete(tmp_path / "ours.parquet", theirs(0.5)).text.startswith("1 rows")
    nothing = agreement.compare_tests(agreement.LINEAR, agreement.plink2_linear, least_mac=100.0)
    assert not nothing(tmp_path / "ours.parquet", theirs(0.5)).ok


def test_a_row_that_is_not_there_is_named(files, work):
    with pytest.raises(SystemExit, match="no row speedy"):
        speed.measure(speed_cohort.TOY, ["speedy"], work, 1, 1)


# Scale ------------------------------------------------------------------------------------------------------------


def test_blocks_have_the_counts_asked_for():
    rng = np.random.default_rng(0)
    mac = np.array([10, 25, 400])
    codes = scale.draw_block(rng, 1000, mac).codes()
    alleles = np.where(codes == 3, 0, codes).sum(axis=1)
    assert (alleles[:2] <= mac[:2]).all()
    assert (alleles[:2] >= 0.7 * mac[:2]).all()  # 0.5 % of the calls are hidden
    assert 300 < alleles[2] < 500  # binomial with mean 398: standard deviation 18
    assert (codes <= 3).all()


@pytest.mark.parametrize("own", [False, True])
def test_scale_measures_every_curve(own):
    curves = scale.measure(N=800, V=16, T=3, own_patterns=own, points=2)
    assert curves.whole.variants == 16
    assert [point.variants for point in curves.by_variants] == [4, 8, 16]
    assert [point.samples for point in curves.by_samples] == [100, 200, 400, 800]
    assert (min(curves.by_mac), max(curves.by_mac)) == (10, 400)
    first, second = scale.lines(curves, own)
    assert f"**{curves.whole.each:.4f} core-ms a test**" in first
    assert second.count(": ") == 2 + 4 + len(curves.by_mac)
    assert curves.whole.each == pytest.approx(1e3 * curves.whole.seconds / 48)


def test_nothing_is_written_into_the_checkout_by_default():
    checkout = Path(__file__).resolve().parents[1]
    assert checkout not in speed_cohort.default_work().parents
    assert os.environ.get("XDG_CACHE_HOME", str(Path.home())) in str(speed_cohort.default_work())


# Beside another version -------------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize(
    ("whole", "row", "unit"), [(False, "cox-null", "ms"), pytest.param(True, "qc", "s", marks=pytest.mark.slow)]
)
def test_a_checkout_beside_itself(work, whole, row, unit):
    lines = paired.measure(paired.HERE, [row], [240], 64, 2, whole, work)
    name, samples, earlier, this, ratio, peaks = (cell.strip() for cell in lines[-2].strip("|").split("|"))
    assert (name, samples) == (row, "240") and earlier.endswith(f" {unit}") and this.endswith(f" {unit}")
    middle, low, high = (float(number.strip("()")) for number in ratio.replace("to", " ").split())
    assert 0 < low <= middle <= high  # how far apart is the machine's affair, as printed they may be equal
    # MiB, with a comma after the thousands: a process that compiles its kernels first holds 1.6 GB
    assert all(50 < float(peak.replace(",", "")) < 4000 for peak in peaks.split(" / "))


def test_every_paired_row_has_rows_to_time(work):
    files = paired.make_cohort(240, 64, paired.HERE, work)
    cohort = ga.Cohort.align(files.folder / "inputs" / "full.zarr", files.pheno, sample_id="IID")
    for name, row in paired.block_rows().items():
        made = paired_worker.job(cohort, dataclasses.replace(row, share=1.0).asked(64))()
        if not row.null:
            assert np.isfinite(made.columns["neg_log_10_p_value"]).any(), name


def test_an_unknown_paired_row_is_named(work):
    with pytest.raises(SystemExit, match="no row linnear"):
        paired.measure(paired.HERE, ["linnear"], [240], 64, 2, False, work)
