"""Names of files with brackets, stars and question marks in them, as browsers and copies make: the file of that name is meant, no other."""

from pathlib import Path

import polars as pl
import pytest
from small_cohort import make_files

import genassoc as ga
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import InputError
from genassoc.formats.sumstats.files import read_header, scan_text


def phenotypes(value: float) -> pl.DataFrame:
    return pl.DataFrame({"IID": ["a", "b"], "y": [value, value + 1]})


def test_phenotypes(tmp_path: Path) -> None:
    """As patterns "p[1].parquet" is p1.parquet, whose numbers were read in its place."""
    for suffix, write in ((".parquet", pl.DataFrame.write_parquet), (".csv", pl.DataFrame.write_csv)):
        write(phenotypes(1.0), tmp_path / f"p1{suffix}")
        write(phenotypes(2.0), tmp_path / f"p[1]{suffix}")
        assert Phenotypes.read(tmp_path / f"p[1]{suffix}").table["y"].to_list() == [2.0, 3.0]
        for absent in ("p*", "p?", "q[1]"):
            with pytest.raises(InputError):
                Phenotypes.read(tmp_path / f"{absent}{suffix}")


def test_stores_and_results(tmp_path: Path) -> None:
    files = make_files(tmp_path, 60, 120)
    store = ga.convert(files.vcf, tmp_path / "s[1].zarr")
    assert store.fingerprint == ga.open_store(files.store).fingerprint
    cohort = ga.Cohort.align(store, files.phenotypes)
    for name in ("r[1].parquet", "r[1].tsv", "r[1].tsv.gz"):
        ga.associate(cohort, ga.Linear(["ldl"]), out=tmp_path / name, audit=0)
        ga.associate(cohort, ga.Linear(["ldl"], min_mac=50), out=tmp_path / name.replace("[1]", "1"), audit=0)
        read, other = ga.Results.read(tmp_path / name), ga.Results.read(tmp_path / name.replace("[1]", "1"))
        assert read.table.equals(read.scan().collect()) and not read.table.equals(other.table)
        assert read.provenance["parameters"]["model"]["min_mac"] is None
        assert (read.table["code"].null_count()) > other.table["code"].null_count()


def test_other_programs_results(tmp_path: Path) -> None:
    for name, chromosome in (("g1.tsv", "1"), ("g[1].tsv", "2")):
        (tmp_path / name).write_text(f"#CHROM\tPOS\n{chromosome}\t5\n")
    path = tmp_path / "g[1].tsv"
    assert scan_text(path, read_header(path)).collect().row(0)[0] == "2"
