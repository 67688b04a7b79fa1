"""Association of dosages against PLINK 2 on the same PGEN, whose dosages are 16,384ths of a copy."""

import shutil
import subprocess

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore

import genassoc as ga
from genassoc.data.block import DosageBlock
from genassoc.models.scan.genome import Scan

pytestmark = pytest.mark.skipif(shutil.which("plink2") is None, reason="PLINK 2 is not installed")
N, V, STEPS = 300, 40, 16384


@pytest.fixture(scope="module")
def dummy(tmp_path_factory):
    """PLINK's own random dosages, three in a hundred missing: its folder, our block of them, and a cohort."""
    folder = tmp_path_factory.mktemp("plink2")

    def plink2(*arguments):
        subprocess.run(
            ["plink2", *arguments, "--threads", "1", "--memory", "800"], cwd=folder, check=True, capture_output=True
        )

    plink2("--dummy", str(N), str(V), "0.03", "0", "acgt", "dosage-freq=0.7", "--seed", "2", "--out", "d")
    plink2("--pfile", "d", "--export", "vcf", "vcf-dosage=DS-force", "--out", "d")
    lines = [line.split("\t") for line in (folder / "d.vcf").read_text().splitlines() if not line.startswith("##")]
    ids, fields = lines[0][9:], [[call.split(":")[1] for call in line[9:]] for line in lines[1:]]
    dosages = np.array([[np.nan if ds == "." else float(ds) for ds in row] for row in fields])
    rng = np.random.default_rng(6)
    x = rng.normal(size=(N, 2)).round(4)
    table = pl.DataFrame(
        {
            "IID": ids,
            "x": x[:, 0],
            "z": x[:, 1],
            "q": (x[:, 0] + rng.normal(size=N)).round(4),
            "y": rng.integers(0, 2, N),
        }
    )
    for name, columns in (("covariates", ["x", "z"]), ("q", ["q"]), ("y", ["y"])):
        coded = table.with_columns(pl.col("y") + 1).select(pl.col("IID").alias("#IID"), *columns)
        coded.write_csv(folder / f"{name}.txt", separator="\t")
    cohort = ga.Cohort.align(MemoryStore(np.zeros((V, N), np.uint8), ids), table)
    return folder, plink2, DosageBlock.from_dosages(dosages, steps=STEPS), cohort


def both(dummy, trait, model, *modifiers):
    """Columns of our rows, and PLINK 2's table."""
    folder, plink2, block, cohort = dummy
    out = "_".join((trait, *modifiers))
    plink2("--pfile", "d", "--pheno", f"{trait}.txt", "--covar", "covariates.txt", "--glm", "hide-covar", "omit-ref", *modifiers, "cols=+a1freq,+beta,+err", "--out", out)  # fmt: skip
    (found,) = folder.glob(f"{out}.{trait}.glm*")
    theirs = pl.read_csv(found, separator="\t", null_values="NA", infer_schema_length=None)
    result = Scan(model).block(Scan(model).prepare(cohort), block)
    ours = {name: np.asarray(values)[:, 0] for name, values in result.columns.items()}
    return ours, theirs


@pytest.mark.parametrize("coding", ["additive", "dominant", "recessive", "hetonly"])
def test_linear_is_plink2s(dummy, coding):
    modifiers = () if coding == "additive" else (coding,)
    ours, theirs = both(dummy, "q", ga.Linear("q", ["x", "z"], genetic_model=coding, min_mac=0), *modifiers)
    assert (theirs["ERRCODE"] == ".").all()
    # statistics.md: 1e-5 of the larger of beta and its error, and the six digits that are printed.
    error = theirs["SE"].to_numpy()
    beta = theirs["BETA"].to_numpy()
    assert (np.abs(ours["beta"] - beta) <= 2e-5 * np.maximum(np.abs(beta), error)).all()
    np.testing.assert_allclose(ours["standard_error"], error, rtol=2e-5)
    np.testing.assert_allclose(ours["neg_log_10_p_value"], -np.log10(theirs["P"].to_numpy()), rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(ours["n"], theirs["OBS_CT"].to_numpy())
    np.testing.assert_allclose(ours["effect_allele_frequency"], theirs["A1_FREQ"].to_numpy(), rtol=2e-5)


def test_logistic_is_plink2s(dummy):
    model = ga.Logistic("y", ["x", "z"], like="plink2", correction=None, min_mac=0)
    ours, theirs = both(dummy, "y", model, "no-firth")
    assert (theirs["ERRCODE"] == ".").all()
    beta, error = (theirs[name].to_numpy() for name in ("BETA", "SE"))
    # PLINK 2 fits in single precision: a ten-thousandth of the larger of beta and its error.
    assert (np.abs(ours["beta"] - beta) <= 1e-4 * np.maximum(np.abs(beta), error)).all()
    np.testing.assert_allclose(ours["standard_error"], error, rtol=1e-4)
    np.testing.assert_allclose(ours["neg_log_10_p_value"], -np.log10(theirs["P"].to_numpy()), rtol=1e-3, atol=1e-4)
