"""One cohort in every format: the same store and the same rows of results; bit for bit where the format is lossless.

A format that this installation cannot read or make is skipped, saying so.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fuzzing import Taken, taken
from plink_files import plink2
from real_data import real_data
from small_cohort import bits
from vcf_texts import write_bcf

import genassoc as ga
from genassoc.formats.inputs import SOURCES
from genassoc.formats.vcf.writer import write_vcf
from genassoc.formats.writing import WRITERS

N, V = 150, 240
READABLE = {known.name for known in SOURCES}
PLACES = ["chromosome", "base_pair_location", "other_allele", "effect_allele"]


def bcf(vcf: Path, out: Path) -> Path:
    return write_bcf(out.with_suffix(".bcf"), vcf)


def gzipped(vcf: Path, out: Path) -> Path:
    import gzip

    path = out.with_suffix(".vcf.gz")
    path.write_bytes(gzip.compress(gzip.decompress(vcf.read_bytes()) if vcf.suffix == ".gz" else vcf.read_bytes()))
    return path


def bed(vcf: Path, out: Path) -> Path:
    plink2("--vcf", vcf, "--make-bed", "--out", out)
    return out.with_suffix(".bed")


def pgen(vcf: Path, out: Path) -> Path:
    pytest.importorskip("pgenlib", reason="pgenlib is not here")
    plink2("--vcf", vcf, "--make-pgen", "--out", out)
    return out.with_suffix(".pgen")


def bgen(kind: str, number: int) -> Callable[[Path, Path], Path]:
    def make(vcf: Path, out: Path) -> Path:
        plink2("--vcf", vcf, "--export", kind, f"bits={number}", "ref-first", "--out", out)
        return out.with_suffix(".bgen")

    return make


def vcf_zarr(vcf: Path, out: Path) -> Path:
    pytest.importorskip("bio2zarr", reason="bio2zarr is not here")
    path = out.with_suffix(".vcz")
    # one process, and no progress bar
    run = [sys.executable, "-m", "bio2zarr", "vcf2zarr", "convert", "-p", "0", "--no-progress", str(vcf), str(path)]
    made = subprocess.run(run, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"bio2zarr does not convert here: {made.stderr[-300:]}")
    return path


# The format of `SOURCES`, how the file is made of a VCF, and whether it keeps marks of haploid calls.
FORMATS = {
    "VCF.gz (gzip)": ("VCF", gzipped, True),
    "BCF": ("BCF", bcf, True),
    "BED": ("BED", bed, False),
    "PGEN": ("PGEN", pgen, False),
    "BGEN, 8 bits": ("BGEN", bgen("bgen-1.2", 8), False),
    "BGEN, 16 bits": ("BGEN", bgen("bgen-1.2", 16), False),
    "VCF Zarr": ("VCF Zarr", vcf_zarr, True),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """A simulated cohort as VCF.gz, its store, its phenotypes and the rows of its results."""
    folder = tmp_path_factory.mktemp("formats")
    made = ga.simulate_cohort(N, V, 3, seed=11, missing_rate=0.03)
    vcf = write_vcf(folder / "cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=True)
    table = folder / "phenotypes.tsv"
    table.write_text(made.phenotypes.write_csv(separator="\t", null_value="NA"))
    store = ga.convert(vcf, folder / "cohort.zarr")
    return folder, vcf, store, table, rows_of(store, table, folder / "results.parquet")


def rows_of(store: ga.GenotypeStore, table: Path, out: Path) -> pl.DataFrame:
    """Rows of a linear run: all numbers, by name."""
    ga.associate(ga.Cohort.align(store, table), ga.Linear(["ldl", "ldl_change"], ["age", "sex"]), out=out)
    return pl.read_parquet(out)


def made_of(name: str, vcf: Path, out: Path) -> Path:
    """The file of a format, or a skip."""
    source, make, _ = FORMATS[name]
    if source not in READABLE:
        pytest.skip(f"{source} is not read yet")
    return make(vcf, out)


def assert_same_store(store: ga.GenotypeStore, expected: ga.GenotypeStore, *, marks: bool, ids: bool = True) -> None:
    """Samples, variants and calls; of what keeps them, marks of haploid calls too."""
    assert list(map(str, store.sample_ids)) == list(map(str, expected.sample_ids))
    columns = [*PLACES, *(["rsid"] if ids else [])]
    assert store.variants().select(columns).equals(expected.variants().select(columns))
    ours, theirs = (each.read(0, each.n_variants) for each in (store, expected))
    np.testing.assert_array_equal(ours.packed, theirs.packed)
    if marks:
        assert (ours.haploid is None) == (theirs.haploid is None)
        assert ours.haploid is None or (ours.haploid == theirs.haploid).all()


@pytest.mark.parametrize("name", FORMATS)
def test_calls_are_the_same_in_every_format(cohort, name, tmp_path):
    _, vcf, expected, table, rows = cohort
    path = made_of(name, vcf, tmp_path / "cohort")
    store = ga.convert(path, tmp_path / "store.zarr")
    assert_same_store(store, expected, marks=FORMATS[name][2])
    ours = rows_of(store, table, tmp_path / "results.parquet")
    # a store with rows of dosages, however whole, has columns of their quality too
    assert bits(ours.select(rows.columns)) == bits(rows)


@pytest.mark.parametrize("writer", [writer.name for writer in WRITERS])
def test_what_is_exported_is_read_back(cohort, writer, tmp_path):
    _, _, expected, table, rows = cohort
    suffix = next(known.suffixes[0] for known in WRITERS if known.name == writer)
    if writer == "pgen":
        pytest.importorskip("pgenlib", reason="pgenlib is not here")
    ga.export(expected, tmp_path / f"cohort{suffix}")
    store = ga.convert(tmp_path / f"cohort{suffix}", tmp_path / "store.zarr")
    assert_same_store(store, expected, marks=writer in ("vcf", "bcf", "vcz"))
    assert bits(rows_of(store, table, tmp_path / "results.parquet")) == bits(rows)


# Dosages ---------------------------------------------------------------------------------------------------------------

# Rounding: plink2 keeps dosages in steps of 1/16384 (error 1/32768), writes DS with four decimals or more, and 8 bits a
# probability have 255 steps: each of two probabilities is off by 1/510, the second counted twice.
WITHIN = {"VCF DS": 1e-4, "BGEN, 8 bits": 3 / 510 + 1e-4, "BGEN, 16 bits": 1e-4, "PGEN": 1 / 32768 + 1e-9}


@pytest.fixture(scope="module")
def dosages(cohort, tmp_path_factory):
    """A VCF of dosages and calls nearest to these, and what was written, (V, N)."""
    _, _, store, _, _ = cohort
    folder = tmp_path_factory.mktemp("dosages")
    rng = np.random.default_rng(3)
    codes = store.read(0, store.n_variants).codes()
    moved = np.where(rng.random(codes.shape) < 0.7, rng.uniform(-0.45, 0.45, codes.shape), 0)
    values = np.clip(np.round(np.where(codes == 3, np.nan, codes + moved), 3), 0, 2)
    head = "##fileformat=VCFv4.2\n" + "".join(f"##contig=<ID={name}>\n" for name in store.contigs)
    head += (
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="">\n##FORMAT=<ID=DS,Number=A,Type=Float,Description="">\n'
    )
    lines = [
        "\t".join(
            ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *map(str, store.sample_ids)]
        )
    ]
    for variant, row in zip(store.variants().iter_rows(named=True), values):
        fixed = [
            row_text(variant[name])
            for name in ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")
        ]
        cells = ["./.:." if np.isnan(d) else f"{('0/0', '0/1', '1/1')[round(float(d))]}:{d:.3f}" for d in row]
        lines.append("\t".join([*fixed, ".", ".", ".", "GT:DS", *cells]))
    vcf = folder / "dosages.vcf"
    vcf.write_text(head + "\n".join(lines) + "\n")
    return vcf, values


def row_text(value: object) -> str:
    return "." if value is None else str(value)


def ds(vcf: Path, out: Path) -> Path:
    plink2("--vcf", vcf, "dosage=DS", "--export", "vcf", "vcf-dosage=DS", "--out", out)
    return out.with_suffix(".vcf")


def with_dosages(make: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
    """The same by way of a PGEN that has the dosages."""

    def made(vcf: Path, out: Path) -> Path:
        middle = out.with_name("middle")
        plink2("--vcf", vcf, "dosage=DS", "--make-pgen", "--out", middle)
        return make(middle, out)

    return made


def bgen_of(number: int) -> Callable[[Path, Path], Path]:
    def make(middle: Path, out: Path) -> Path:
        plink2("--pfile", middle, "--export", "bgen-1.2", f"bits={number}", "ref-first", "--out", out)
        return out.with_suffix(".bgen")

    return make


DOSAGES = {
    "VCF DS": ("VCF", ds),
    "BGEN, 8 bits": ("BGEN", with_dosages(bgen_of(8))),
    "BGEN, 16 bits": ("BGEN", with_dosages(bgen_of(16))),
    "PGEN": ("PGEN", with_dosages(lambda middle, out: middle.with_suffix(".pgen"))),
}


@pytest.mark.parametrize("name", DOSAGES)
def test_dosages_are_the_same_in_every_format(dosages, name, tmp_path):
    vcf, expected = dosages
    source, make = DOSAGES[name]
    if source not in READABLE:
        pytest.skip(f"{source} is not read yet")
    if name == "PGEN":
        pytest.importorskip("pgenlib", reason="pgenlib is not here")
    got = taken(make(vcf, tmp_path / "dosages"))
    if source == "VCF" and np.isnan(got.dosages).all():
        pytest.skip("dosages of VCF are not read yet")
    found = np.where(np.isnan(got.dosages).all(axis=1, keepdims=True), as_dosages(got.codes), got.dosages)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=0, atol=WITHIN[name])


@pytest.mark.parametrize("name", [name for name in DOSAGES if name != "VCF DS"])
def test_results_of_dosages_are_the_same_in_every_format(dosages, cohort, name, tmp_path):
    """Beside those of the VCF: errors of dosages of w move a standardised effect by about w / sd(g), of a sample of many by less."""
    vcf, expected = dosages
    source, make = DOSAGES[name]
    readable(source)
    if name == "PGEN":
        pytest.importorskip("pgenlib", reason="pgenlib is not here")
    table = cohort[3]
    stores = [ga.convert(made, tmp_path / f"{at}.zarr") for at, made in enumerate((vcf, make(vcf, tmp_path / "made")))]
    if stores[0].attributes["summary"]["dosages"]:
        pytest.skip("dosages of VCF are not read yet")
    theirs, ours = (rows_of(store, table, tmp_path / f"{at}.parquet") for at, store in enumerate(stores))
    assert ours.select(PLACES).equals(theirs.select(PLACES)) and ours.height == 2 * len(expected)
    fitted = theirs["beta"].is_not_null() & ours["beta"].is_not_null() & (theirs["mac"] > 20)
    assert fitted.sum() > 100
    beta, se = (theirs.filter(fitted)[column].to_numpy() for column in ("beta", "standard_error"))
    # of standardised effects: w / sd(g), where sd(g) is at least 0.35 with a count of 20 in 300
    moved = np.abs(ours.filter(fitted)["beta"].to_numpy() - beta) / se
    assert moved.max() < 10 * WITHIN[name] / 0.35
    np.testing.assert_allclose(ours.filter(fitted)["standard_error"], se, rtol=2 * WITHIN[name] / 0.35)


def as_dosages(codes: np.ndarray) -> np.ndarray:
    return np.where(codes == 3, np.nan, codes.astype(float))


# Real data -------------------------------------------------------------------------------------------------------------


def assert_same(ours: Taken, theirs: Taken, *, ids: bool = True) -> None:
    """Samples, variants and calls of two files."""
    assert ours.sample_ids == theirs.sample_ids
    last = 5 if ids else 4
    assert [row[:last] for row in ours.variants] == [row[:last] for row in theirs.variants]
    np.testing.assert_array_equal(ours.codes, theirs.codes)


def readable(*formats: str) -> None:
    for name in formats:
        if name not in READABLE:
            pytest.skip(f"{name} is not read yet")


def test_3202_samples_as_vcf_and_bgen():
    readable("BGEN")
    folder = real_data("kg-tiny3202")
    vcf, other = taken(folder / "tiny1000G.vcf.gz"), taken(folder / "tiny1000G.bgen", reference="last")
    assert other.sample_ids == vcf.sample_ids and len(vcf.sample_ids) == 3202
    # The BGEN has ALT first, and other names of contigs and ids than the VCF: places and alleles tell the variants.
    assert [row[1:4] for row in other.variants] == [row[1:4] for row in vcf.variants]
    # The BGEN has no ALT of the last sample on X, where the VCF has 21 calls with one; plink2 and the package bgen read it so too.
    row, column = np.nonzero(other.codes != vcf.codes)
    assert set(column.tolist()) <= {3201} and {vcf.variants[r][0] for r in row} <= {"X"} and len(row) == 21
    assert (other.codes[row, column] == 0).all()


def test_the_example_of_regenie_as_bed_pgen_and_bgen():
    readable("BED", "PGEN", "BGEN")
    pytest.importorskip("pgenlib", reason="pgenlib is not here")
    folder = real_data("regenie-example")
    of_bed, of_pgen = taken(folder / "example.bed"), taken(folder / "example.pgen")
    of_bgen = taken(folder / "example.bgen", reference="last")
    assert_same(of_pgen, of_bed)
    assert [row[:4] for row in of_bgen.variants] == [row[:4] for row in of_bed.variants]
    np.testing.assert_array_equal(of_bgen.codes, of_bed.codes)


def test_chromosome_22_as_bed_and_vcf(tmp_path):
    readable("BED")
    folder = real_data("kg-genome")
    store = ga.convert(folder / "1000G.489.vcf.gz", tmp_path / "vcf.zarr", region="22")
    other = ga.convert(folder / "1000G.subset.22.bed", tmp_path / "bed.zarr")
    in_bed = (
        store.variants().with_row_index("row").join(other.variants().with_row_index("there"), on=PLACES, how="inner")
    )
    assert in_bed.height == other.n_variants
    ours, theirs = store.read(0, store.n_variants).codes(), other.read(0, other.n_variants).codes()
    samples = {str(name): column for column, name in enumerate(store.sample_ids)}
    columns = [samples[str(name)] for name in other.sample_ids]
    np.testing.assert_array_equal(ours[in_bed["row"].to_numpy()][:, columns], theirs[in_bed["there"].to_numpy()])


@pytest.mark.slow
def test_chromosome_20_by_bio2zarr(tmp_path):
    readable("VCF Zarr")
    if shutil.which("bcftools") is None:
        pytest.skip("bcftools is not here")
    vcf = tmp_path / "part.vcf.gz"
    whole = real_data("kg-chr20") / "unphased.vcf.gz"
    lines = subprocess.run(["bcftools", "view", str(whole)], capture_output=True, check=True).stdout.splitlines(True)
    (tmp_path / "part.vcf").write_bytes(b"".join(lines[:3000]))
    subprocess.run(["bcftools", "view", "-Oz", "-o", str(vcf), str(tmp_path / "part.vcf")], check=True)
    subprocess.run(["bcftools", "index", str(vcf)], check=True)
    assert_same(taken(vcf_zarr(vcf, tmp_path / "part")), taken(vcf))
