"""GWAS-SSF: the real validator, rows that it cannot hold, the metadata beside it."""

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest
from real_data import real_data
from test_sumstats import table, text_of

from genassoc.errors import OutputError
from genassoc.results import Results

MANDATORY = [
    "chromosome", "base_pair_location", "effect_allele", "other_allele", "beta", "standard_error",
    "effect_allele_frequency", "neg_log_10_p_value",
]  # fmt: skip


@pytest.fixture
def validate():
    """The GWAS Catalog's validator: whether it accepts a file, and what it says."""
    program = os.environ.get("GENASSOC_GWAS_SSF") or shutil.which("gwas-ssf")
    if not program:
        pytest.skip("gwas-ssf is not here (pip install gwas-sumstats-tools in its own environment; GENASSOC_GWAS_SSF)")

    def run(path: Path, *more: str) -> tuple[bool, str]:
        done = subprocess.run(
            [program, "validate", "--min-rows", "1", *more, str(path)], capture_output=True, text=True
        )
        return done.returncode == 0 and "Validation status: True" in done.stdout, done.stdout + done.stderr

    return run


def whole_genome() -> pl.DataFrame:
    """A row on each of the 25 chromosomes and the hard ones: p = 1, tiny p, indels, identifiers that are no rs."""
    names = [*map(str, range(1, 23)), "X", "Y", "MT"]
    return table(
        25,
        chromosome=names,
        rsid=[None, "Affx-1", *(f"rs{i}" for i in range(23))],
        neg_log_10_p_value=[0.0, 400.5, 1e-300, 12345.678, *(i / 3 for i in range(21))],
        effect_allele=["ACGT" if i % 3 else "G" for i in range(25)],
    )


@pytest.mark.parametrize("name", ["t2d.tsv", "t2d.tsv.gz"])
def test_the_validator_accepts_it(name: str, tmp_path: Path, validate) -> None:
    (file,) = Results(whole_genome()).write(tmp_path / name, dialect="gwas-ssf", metadata={"genome_assembly": "GRCh38"})
    assert file.n_rows == 25
    accepted, said = validate(file.path)
    assert accepted, said
    accepted, said = validate(file.path, "--infer-from-metadata")
    assert accepted, said


def test_the_validator_accepts_a_real_gwas(tmp_path: Path, validate) -> None:
    source = Results.read(real_data("kg-genome") / "expected-plink2" / "case.glm.logistic.hybrid.gz")
    (file,) = source.write(tmp_path / "case.tsv.gz", dialect="gwas-ssf")
    assert file.n_rows == 72_194 and not file.not_held
    accepted, said = validate(file.path)
    assert accepted, said


def test_the_metadata_is_what_the_validators_own_model_asks(tmp_path: Path) -> None:
    """In the validator's Python, where it is: pydantic reads our YAML."""
    program = os.environ.get("GENASSOC_GWAS_SSF") or shutil.which("gwas-ssf")
    python = Path(program).with_name("python") if program else None
    if python is None or not python.exists():
        pytest.skip("gwas-ssf's own Python is not here (GENASSOC_GWAS_SSF)")
    made = table(3, n_cases=[10, 11, 12], n_controls=[480, 480, 480])
    record = {"finished": "2026-01-02T03:04:05", "parameters": {"model": {"covariates": ["age", 'sex: "x"']}}}
    given = {"genome_assembly": "GRCh37", "sample_ancestry": ["European"], "sex": "combined"}
    (file,) = Results(made, record).write(tmp_path / "t.tsv.gz", dialect="gwas-ssf", metadata=given)
    code = (
        "import sys, yaml, json; from gwas_sumstats_tools.schema.metadata import SumStatsMetadata as M;"
        "print(M(**yaml.safe_load(open(sys.argv[1]))).json(exclude_none=True))"
    )
    done = subprocess.run([python, "-c", code, file.metadata], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    import json

    read = json.loads(done.stdout)
    assert read["samples"] == [
        {
            "sample_size": 500,
            "sample_ancestry": ["European"],
            "case_control_study": True,
            "case_count": 12,
            "control_count": 480,
        }
    ]
    assert read["adjusted_covariates"] == ["age", 'sex: "x"'] and read["trait_description"] == ["t2d"]
    assert read["genome_assembly"] == "GRCh37" and read["date_metadata_last_modified"] == "2026-01-02"
    assert read["data_file_md5sum"] == hashlib.md5(file.path.read_bytes()).hexdigest()
    assert read["is_sorted"] is True and read["coordinate_system"] == "1-based"


def test_columns_and_codes(tmp_path: Path) -> None:
    made = whole_genome()
    (file,) = Results(made).write(tmp_path / "t2d.tsv", dialect="gwas-ssf")
    lines = [line.split("\t") for line in text_of(file.path)]
    assert lines[0][:15] == [*MANDATORY, "variant_id", "rsid", "ref_allele", "ci_upper", "ci_lower", "n", "mac"]
    assert [line[0] for line in lines[1:]] == [str(i) for i in range(1, 26)]
    assert float(lines[1][7]) == 0.0 and float(lines[2][7]) == 400.5
    assert lines[2][9] == "#NA" and lines[2][lines[0].index("vcf_id")] == "Affx-1"
    assert {line[10] for line in lines[1:]} == {"OA"}
    again = Results.read(file.path).table
    assert again["chromosome"].to_list() == made["chromosome"].to_list()
    assert again["rsid"].to_list() == made["rsid"].to_list()
    assert again["neg_log_10_p_value"].to_list() == made["neg_log_10_p_value"].to_list()


@pytest.mark.parametrize(
    ("names", "record", "codes"),
    [
        (["23", "25", "26", "38", "X"], {}, ["23"]),  # a dog: its 25 is no X and no MT
        (["23", "25", "7", "7", "7"], {"contigs": {"23": None, "25": None}}, ["7", "7", "7"]),  # the run knew more
        (["25", "1", "1", "1", "26"], {"contigs": {"25": "MT"}}, ["25", "1", "1", "1", "25"]),
    ],
)
def test_contigs_that_mean_other_things_together(tmp_path: Path, names: list, record: dict, codes: list) -> None:
    made = table(5, chromosome=names, base_pair_location=[90_000] * 5)
    (file,) = Results(made, record).write(tmp_path / "t2d.tsv", dialect="gwas-ssf")
    assert [line.split("\t")[0] for line in text_of(file.path)[1:]] == codes
    if file.not_held:
        assert file.not_held == {"unknown_chromosome": 5 - len(codes)}
        rest = pl.read_csv(gzip.decompress(file.sidecar.read_bytes()), separator="\t", infer_schema=False)
        assert set(rest["chromosome"]) == set(names) - {"X", "7"}  # as they were


def test_rows_it_cannot_hold_are_counted_and_kept(tmp_path: Path) -> None:
    made = table(
        10,
        chromosome=["1", "chr2", "chrM", "01", "GL000192.1", "25", "1", "1", "1", "1"],
        effect_allele=["G", "G", "G", "G", "G", "G", "<DEL>", "*", "G", "G"],
        beta=[0.1] * 8 + [None, 0.1],
        effect_allele_frequency=[0.1] * 9 + [None],
    )
    (file,) = Results(made).write(tmp_path / "t2d.tsv.gz", dialect="gwas-ssf")
    assert [line.split("\t")[0] for line in text_of(file.path)] == ["chromosome", "1", "2", "25", "1"]
    assert file.n_rows == 4
    assert file.not_held == {
        "allele_not_acgt": 2,
        "no_effect": 1,
        "no_effect_allele_frequency": 1,
        "unknown_chromosome": 2,
    }
    assert file.sidecar == tmp_path / "t2d.not-in-gwas-ssf.tsv.gz"
    assert "6 that it cannot hold are in" in str(file)
    rest = pl.read_csv(gzip.decompress(file.sidecar.read_bytes()), separator="\t", null_values="NA")
    assert rest["chromosome"].to_list() == ["GL000192.1", "25", "1", "1", "1", "1"]
    assert rest.columns == [*made.columns, "reason"]
    assert rest["reason"].to_list() == [
        "unknown_chromosome", "unknown_chromosome", "allele_not_acgt", "allele_not_acgt", "no_effect",
        "no_effect_allele_frequency",
    ]  # fmt: skip
    record = Results.read(file.path).provenance["written"]
    assert record["not_held"] == dict(file.not_held) and record["sidecar"] == file.sidecar.name
    # Written again without such rows, the old sidecar goes.
    Results(made.head(4)).write(tmp_path / "t2d.tsv.gz", dialect="gwas-ssf")
    assert not file.sidecar.exists()


def test_order_is_told(tmp_path: Path) -> None:
    def is_sorted(made: pl.DataFrame) -> str:
        (file,) = Results(made).write(tmp_path / "s.tsv", dialect="gwas-ssf")
        return next(line for line in file.metadata.read_text().splitlines() if line.startswith("is_sorted"))

    assert is_sorted(table(4)) == "is_sorted: true"
    assert is_sorted(table(4).reverse()) == "is_sorted: false"
    assert is_sorted(table(3, chromosome=["1", "10", "2"])) == "is_sorted: false"


def test_other_peoples_files(tmp_path: Path) -> None:
    """Odds ratios and hazard ratios, p as text, NA and #NA, columns in any order, the trait in the YAML."""
    path = tmp_path / "GCST1.tsv"
    path.write_text(
        "p_value\tchromosome\tbase_pair_location\tother_allele\teffect_allele\todds_ratio\tci_lower\tstandard_error\trsid\n"
        "1e-400\t23\t5\tA\tG\t2\t0.5\t0.1\trs1\n0.5\t4\t6\tA\tG\t#NA\tNA\t\t#NA\n"
    )
    (tmp_path / "GCST1.tsv-meta.yaml").write_text("trait_description:\n  - Type 2 diabetes\ngenome_assembly: GRCh37\n")
    found = Results.read(path)
    assert found.traits == ["Type 2 diabetes"]
    first, second = found.table.rows(named=True)
    assert (first["chromosome"], first["effect_allele"], first["other_allele"]) == ("X", "G", "A")
    assert first["beta"] == pytest.approx(0.6931471805599453) and first["ci_lower"] == -first["beta"]
    assert first["neg_log_10_p_value"] == 400.0 and first["variant_id"] == "X_5_A_G"
    assert second["beta"] is None and second["rsid"] is None and second["code"] is None


def test_metadata_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    for metadata, message in (
        ({"genome": "GRCh38"}, "has no genome; it has gwas_id"),
        ({"is_sorted": True}, "follow from the file"),
    ):
        with pytest.raises(OutputError, match=message):
            Results(table(2)).write(tmp_path / "t.tsv", dialect="gwas-ssf", metadata=metadata)
    assert list(tmp_path.iterdir()) == []
