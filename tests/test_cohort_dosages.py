"""Dosages through a cohort: blocks of one kind, the same bytes however cut, statistics and filters against their definitions."""

import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import polars as pl
import pytest
from dosage_cohort import Made, made
from oracles import imputation

import genassoc as ga
from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.data.cohort.kinds import by_kind, sets_by_kind, together
from genassoc.errors import PlanError


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Made:
    return made(tmp_path_factory.mktemp("dosages") / "a.zarr")


def dosages_of(block) -> np.ndarray:
    if isinstance(block, DosageBlock):
        return block.dosages()
    codes = block.codes()
    return np.where(codes == 3, np.nan, codes)


def test_blocks_are_of_one_kind(rows):
    block = rows.cohort(sex="sex", build="GRCh38").read(0, 90, dosages=True)
    parts = by_kind(block)
    assert sorted(np.concatenate([at for at, _ in parts]).tolist()) == list(range(90))
    kinds = {(part.steps, part.homozygous is not None) for _, part in parts if isinstance(part, DosageBlock)}
    assert kinds == {(steps, known) for steps in (255, 1000, 32767) for known in (False, True)}
    for at, part in parts:
        assert np.array_equal(dosages_of(part), rows.dosages[at], equal_nan=True)
        assert np.array_equal(part.places.numbers, at)
        haploid = (
            np.zeros((at.size, 160), bool)
            if part.haploid is None
            else np.unpackbits(part.haploid, axis=1, bitorder="little")
        )
        assert np.array_equal(haploid.astype(bool), rows.haploid[at])


def test_a_row_is_of_the_same_kind_in_any_company(rows):
    cohort = rows.cohort()
    for number in range(0, 60, 7):
        (alone,) = by_kind(cohort.read(number, number + 1, dosages=True))
        whole = next(part.take(at == number) for at, part in by_kind(cohort.read(0, 60, dosages=True)) if number in at)
        assert type(alone[1]) is type(whole)
        assert np.array_equal(dosages_of(alone[1]), dosages_of(whole), equal_nan=True)


def test_sets_stay_together(rows):
    block = rows.cohort().read(0, 20, dosages=True)
    parts = sets_by_kind(block, 2)
    assert sorted(np.concatenate([at for at, _ in parts]).tolist()) == list(range(10))
    for sets, part in parts:
        at = (2 * sets[:, None] + [0, 1]).reshape(-1)
        # of unequal steps all become 32767, half of which is the rounding
        assert np.nanmax(np.abs(dosages_of(part) - rows.dosages[at])) <= 0.5 / 32767
        known = ~np.isnan(rows.two[at][np.isfinite(rows.dosages[at])]).any()
        assert isinstance(part, GenotypeBlock) or (part.homozygous is not None) == bool(known)
    assert isinstance(together(block.take(np.array([2, 7]))), GenotypeBlock)  # rows of calls


def test_linear_is_the_dense_fit_whatever_the_kind(rows):
    cohort = rows.cohort().keep_variants(ga.variants.in_region("1"))
    table = ga.associate(cohort, ga.Linear("y", covariates=["c"])).table
    y, c = (rows.phenotypes[name].to_numpy() for name in ("y", "c"))
    for v, beta, n, eaf, mac in (
        table.select("beta", "n", "effect_allele_frequency", "mac").with_row_index().iter_rows()
    ):
        d = rows.dosages[v]
        there = ~np.isnan(d)
        X = np.column_stack([np.ones(there.sum()), c[there], d[there]])
        expected = np.linalg.lstsq(X, y[there], rcond=None)[0][-1]
        assert beta == pytest.approx(expected, abs=1e-6)  # a product of float32 calls, of doubles the dosages
        assert n == there.sum() and eaf == pytest.approx(d[there].mean() / 2, rel=1e-12)
        assert mac == pytest.approx(min(d[there].sum(), 2 * n - d[there].sum()), rel=1e-12)


@pytest.mark.parametrize("model", [ga.Linear("y", covariates=["c"]), ga.Logistic("b", covariates=["c"])])
def test_the_same_rows_however_cut(rows, tmp_path, model):
    """Blocks of other sizes, more threads, a filter that leaves rows of some kinds: no bit changes."""
    cohort = rows.cohort(sex="sex", build="GRCh38")
    whole = ga.associate(cohort, model).table
    other = made(tmp_path / "b.zarr", block_variants=16).cohort(sex="sex", build="GRCh38")
    assert ga.associate(other, model, executor=ga.Threads(3)).table.equals(whole)
    chosen = np.flatnonzero(np.arange(90) % 3 == 1)
    part = ga.associate(cohort.keep_variants(chosen), model).table
    assert part.equals(whole.filter(pl.Series(np.isin(np.arange(90), chosen))))


def test_fewer_than_half_of_the_samples(rows):
    some = [f"s{i}" for i in range(0, 160, 3)]
    cohort = rows.cohort().keep_samples(some).keep_variants(ga.variants.in_region("1"))
    assert cohort.repacks
    for at, part in by_kind(cohort.read(0, 60, dosages=True)):
        assert np.array_equal(dosages_of(part), rows.dosages[at][:, ::3], equal_nan=True)


def of_genotypes(rows: Made, v: int):
    """Copies and probabilities of a row as the oracles take them: of haploid samples 0 to 1, and pairs."""
    copies, probabilities = [], []
    for d, two, haploid in zip(rows.dosages[v], rows.two[v], rows.haploid[v]):
        missing = np.isnan(d)
        copies.append(None if missing else d / 2 if haploid else d)
        pair = (1 - d / 2, d / 2) if haploid else (1 - d + two, d - 2 * two, two)
        probabilities.append(None if missing else pair)
    return copies, probabilities


def test_statistics_are_those_of_the_definitions(rows):
    cohort = rows.cohort(sex="sex", build="GRCh38")
    table = ga.variant_qc(cohort)
    for v, row in enumerate(table.iter_rows(named=True)):
        copies, probabilities = of_genotypes(rows, v)
        there = [d for d in copies if d is not None]
        alleles = sum(2 - h for d, h in zip(copies, rows.haploid[v]) if d is not None)
        assert row["n"] == len(there)
        assert row["missing_rate"] == pytest.approx(1 - len(there) / 160)
        assert row["af"] == pytest.approx(sum(there) / alleles, rel=1e-9)
        assert row["mac"] == pytest.approx(min(sum(there), alleles - sum(there)), rel=1e-9)
        assert row["has_dosages"] == (rows.steps[v] > 0)
        if not rows.steps[v]:
            assert row["r2"] is None and row["info"] is None and row["hwe_p"] is not None
            continue
        assert row["r2"] == pytest.approx(imputation.mach_r2(copies, rows.haploid[v]), rel=1e-9)
        if v % 2:
            assert row["info"] == pytest.approx(imputation.qctool_info(probabilities, rows.haploid[v]), rel=1e-9)
            best = [int(np.argmax(triple)) for triple in probabilities if triple is not None and len(triple) == 3]
            expected = ga_hwe(np.bincount(best, minlength=3))
            assert row["hwe_p"] == pytest.approx(expected, rel=1e-9)
        else:
            assert row["info"] is None and row["hwe_p"] is None


def ga_hwe(counts) -> float:
    from genassoc.stats.hardy_weinberg import hardy_weinberg

    return float(hardy_weinberg(*counts[:, None].astype(np.int64))[0][0])


def test_kept_sums_give_what_the_dosages_do(rows):
    """Of all samples on autosomes statistics come from the sums that the store keeps; of all but none from the dosages."""
    cohort = rows.cohort().keep_variants(ga.variants.in_region("1"))
    kept = ga.variant_qc(cohort)
    counted = cohort.variant_statistics(cohort.read(0, 60))
    assert kept.select(counted.columns).equals(counted)


def test_filters(rows):
    cohort = rows.cohort(sex="sex", build="GRCh38")
    table = ga.variant_qc(cohort).with_columns(source=rows.variants["info_source"], mark=rows.variants["FILTER"])
    called = ~pl.col("has_dosages")
    quality = pl.coalesce("info", "r2")
    for chosen, expected in (
        (ga.variants.info_above(0.7), called | (quality >= 0.7)),
        (ga.variants.r2_above(0.7), called | (pl.col("r2") >= 0.7)),
        (ga.variants.info_source_above(0.6), called | (pl.col("source") >= 0.6)),
        (ga.variants.passes(), pl.col("mark") == "PASS"),
        (pl.col("info_source") < 0.6, (pl.col("source") < 0.6).fill_null(False)),
    ):
        kept = ga.variant_qc(cohort.keep_variants(chosen))["base_pair_location"]
        wanted = table.filter(expected)["base_pair_location"]
        assert kept.equals(wanted) and 0 < len(kept) < 90
    with pytest.raises(PlanError, match="INFO/CSQ, which the store does not keep"):
        cohort.keep_variants(pl.col("INFO/CSQ").str.contains("stop"))


def test_quality_in_results(rows):
    cohort = rows.cohort(sex="sex", build="GRCh38")
    table = ga.associate(cohort, ga.Linear(["y", "b"], covariates=["c"])).table
    quality = ga.variant_qc(cohort)
    for name in ("r2", "info"):
        assert table.filter(pl.col("trait") == "b")[name].equals(quality[name])
    assert table.filter(pl.col("trait") == "y")["info_source"].equals(rows.variants["info_source"])


def test_a_dosage_as_a_covariate(rows):
    cohort = rows.cohort().keep_variants(ga.variants.in_region("1"))
    row = ga.associate(cohort, ga.Linear("y", condition_on=["rs6"])).table[8]
    there = ~np.isnan(rows.dosages[6]) & ~np.isnan(rows.dosages[8])
    X = np.column_stack([np.ones(there.sum()), rows.dosages[6][there], rows.dosages[8][there]])
    expected = np.linalg.lstsq(X, rows.phenotypes["y"].to_numpy()[there], rcond=None)[0][-1]
    assert row["n"][0] == there.sum() and row["beta"][0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(which("plink2") is None, reason="plink2 is not installed")
def test_plink2_agrees_on_frequencies_and_r2(rows, tmp_path: Path):
    """plink2 of the dosages written as VCF: ALT frequency and MACH_R2 of autosomes (of X it gives none), and counts of hard calls."""
    at = [v for v in range(60) if rows.steps[v] == 1000]
    names = [f"s{i}" for i in range(160)]
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", '##FORMAT=<ID=DS,Number=1,Type=Float,Description="dosage">']
    lines += ["\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names])]
    for v in at:
        cells = ["." if np.isnan(d) else f"{d:.3f}" for d in rows.dosages[v]]
        lines.append("\t".join(["1", str(100 + v), f"rs{v}", "T", "A", ".", ".", ".", "DS", *cells]))
    (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    command = ["plink2", "--vcf", "a.vcf", "dosage=DS", "--freq", "cols=+machr2", "--geno-counts", "--out", "a"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    theirs = pl.read_csv(tmp_path / "a.afreq", separator="\t")
    counts = pl.read_csv(tmp_path / "a.gcount", separator="\t")
    ours = ga.variant_qc(rows.cohort())[at]
    # six digits are printed, and dosages have 16384 steps there
    assert np.allclose(theirs["ALT_FREQS"], ours["af"], rtol=1e-5, atol=1e-5)
    assert np.allclose(theirs["MACH_R2"], ours["r2"], rtol=2e-4)
    # a dosage at 0.1 from a copy is on either side of the bound, of thousandths or of sixteen thousandths
    for name, theirs_name in (
        ("n_hom_ref", "HOM_REF_CT"),
        ("n_het", "HET_REF_ALT_CTS"),
        ("n_hom_alt", "TWO_ALT_GENO_CTS"),
    ):
        assert np.abs(ours[name].to_numpy() - counts[theirs_name].to_numpy()).max() <= 1


def test_quality_by_case_status(rows):
    """Of cases and of controls as of a cohort of them alone, on X too."""
    cohort = rows.cohort(sex="sex", build="GRCh38")
    both = ga.variant_qc(cohort, cases="b", case_value="1")
    for status, value in (("cases", 1), ("controls", 0)):
        alone = ga.variant_qc(cohort.keep_samples(pl.col("b") == value))
        for name in ("r2", "info"):
            assert both[f"{name}_{status}"].equals(alone[name], check_names=False)
    assert both["r2_above_1"].equals((both["r2"] > 1), check_names=False)


def test_arrays_of_other_libraries(rows):
    cohort = rows.cohort().keep_variants(np.arange(3, 50))
    found = ga.to_dask(cohort).compute()
    assert np.array_equal(found, rows.dosages[3:50].astype(np.float32), equal_nan=True)


def test_what_a_store_holds_is_said(rows):
    from genassoc.progress import Silent
    from genassoc.verbs.describe import store_lines

    lines = store_lines(rows.path, False, Silent())
    assert (
        "rows of calls: 18; of dosages: 18 in steps of 1/255, 36 in steps of 1/1000, 18 in steps of 1/32767; probabilities of genotypes are kept"
        in lines
    )
    assert "further columns of variants: FILTER, info_source" in lines


def test_quality_in_a_summary_file(rows, tmp_path):
    """GWAS-SSF's info is INFO, or MaCH's r2 where there are no probabilities; of calls it is missing."""
    cohort = rows.cohort().keep_variants(ga.variants.in_region("1"))
    results = ga.associate(cohort, ga.Linear("y"))
    (written_,) = results.write(tmp_path / "y.tsv", dialect="gwas-ssf", metadata={"genome_assembly": "GRCh38"})
    written = pl.read_csv(written_.path, separator="\t", null_values="#NA")
    expected = results.table.select(pl.coalesce("info", "r2")).to_series()
    assert np.allclose(written["info"].cast(pl.Float64).fill_null(-1), expected.fill_null(-1), rtol=1e-5)


def test_filters_on_the_command_line(rows, tmp_path, genassoc):
    rows.phenotypes.write_csv(tmp_path / "p.tsv", separator="\t")
    out = tmp_path / "out.parquet"
    command = ["assoc", rows.path, tmp_path / "p.tsv", "--model", "linear", "--trait", "y", "--out", out]
    code, _, errors = genassoc(*command, "--info", "0.7", "--pass-only", "--region", "1")
    assert code == 0, errors
    cohort = rows.cohort().keep_variants(
        ga.variants.info_above(0.7) & ga.variants.passes() & ga.variants.in_region("1")
    )
    assert pl.read_parquet(out)["rsid"].equals(ga.associate(cohort, ga.Linear("y")).table["rsid"])


def test_permutations(rows):
    """p by permutation of a row is that of a store of this row's kind alone."""
    cohort = rows.cohort().keep_variants(np.arange(20))
    together_ = ga.permute(cohort, ga.Linear("y", covariates=["c"]), n=20, seed=3).table
    at = np.flatnonzero(rows.steps[:20] == 255)
    alone = ga.permute(cohort.keep_variants(at), ga.Linear("y", covariates=["c"]), n=20, seed=3).table
    assert alone["p_permutation"].equals(together_[at]["p_permutation"])


def test_audit_refits_dosages(rows):
    cohort = rows.cohort(sex="sex", build="GRCh38")
    results = ga.associate(cohort, ga.Logistic("b", covariates=["c"]), audit=60)
    found = results.provenance["audit"]
    assert found["passed"] and found["rows"] >= 40, found
