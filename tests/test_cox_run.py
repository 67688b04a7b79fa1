"""Cox regression through the commands: flags, gwas.toml, the check before the queue, another tool's dialect."""

import numpy as np
import polars as pl
import pytest
from commands import refused
from small_cohort import make_files

import genassoc as ga


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = make_files(tmp_path_factory.mktemp("cox"), n_variants=600)
    table = pl.read_csv(made.phenotypes, separator="\t", null_values="NA")
    rng = np.random.default_rng(1)
    days = np.ceil(rng.exponential(300, table.height))
    table = table.with_columns(
        days=pl.Series(days), died=pl.Series((days < 400).astype(int)), started=pl.Series(np.floor(days / 3))
    )
    made.phenotypes.write_text(table.write_csv(separator="\t", null_value="NA"))
    return made


def arguments(files, out, *more):
    flags = ["--model", "cox", "--time", "days", "--event", "died", "--covar", "age,PC1:PC2", "--out", out]
    return ["assoc", files.store, files.phenotypes, *flags, *more]


def test_flags_and_toml_are_one_thing(files, tmp_path, genassoc):
    out = tmp_path / "flags.parquet"
    more = ["--entry", "started", "--strata", "sex", "--ties", "breslow"]
    code, printed, told = genassoc(*arguments(files, out, *more))
    assert code == 0, told
    assert "died: n " in printed and "events among" in told and "in 2 strata" in told
    code, toml, _ = genassoc(*arguments(files, tmp_path / "toml.parquet", *more, "--print-toml"))
    assert code == 0 and 'kind = "cox"' in toml
    (tmp_path / "gwas.toml").write_text(toml)
    assert genassoc("check", tmp_path / "gwas.toml")[0] == 0
    assert genassoc("run", tmp_path / "gwas.toml")[0] == 0
    assert (tmp_path / "toml.parquet").read_bytes() == out.read_bytes()
    rows = pl.read_parquet(out)
    assert {"n_events", "ph_neg_log_10_p_value", "standard_error_model"} <= set(rows.columns)
    assert rows["trait"].unique().to_list() == ["died"] and rows["neg_log_10_p_value"].is_not_null().sum() > 300
    assert set(rows["code"].drop_nulls()) <= {"monomorphic", "too_few_carriers"}


def test_gwas_ssf(files, tmp_path, genassoc):
    """The effect is the hazard ratio, as the standard has it, and is read back as its logarithm."""
    out = tmp_path / "died.tsv"
    code, _, told = genassoc(*arguments(files, out, "--dialect", "gwas-ssf"))
    assert code == 0, told
    names = out.read_text().splitlines()[0].split("\t")
    assert names[4:6] == ["hazard_ratio", "standard_error"] and "beta" not in names
    genassoc(*arguments(files, tmp_path / "died.parquet"))
    ours = pl.read_parquet(tmp_path / "died.parquet").filter(pl.col("beta").is_not_null())
    written = pl.read_csv(out, separator="\t", null_values="#NA", infer_schema_length=None)
    both = ours.join(written, on="variant_id", suffix="_file", validate="1:1")
    assert both.height == written.height > 300
    for ratio, beta in (("hazard_ratio", "beta"), ("ci_lower_file", "ci_lower"), ("ci_upper_file", "ci_upper")):
        # a double written in full: one rounding of exp
        np.testing.assert_allclose(both[ratio], np.exp(both[beta]), rtol=1e-14)
    assert both["standard_error_file"].equals(both["standard_error"])
    again = ga.Results.read(out).table.join(ours, on="variant_id", suffix="_ours")
    for name in ("beta", "ci_lower", "ci_upper"):
        # exp and log: a rounding of a ratio near 1, and of its exponent where it is large
        np.testing.assert_allclose(again[name], again[f"{name}_ours"], rtol=1e-14, atol=1e-15)


def test_gwas_ssf_of_an_interaction(files, tmp_path, genassoc):
    out = tmp_path / "by_sex.tsv"
    code, _, told = genassoc(*arguments(files, out, "--dialect", "gwas-ssf", "--interaction", "sex"))
    assert code == 0, told
    written = sorted(tmp_path.glob("by_sex*.tsv"))
    assert len(written) == 5
    effects = [path for path in written if "joint" not in path.name]
    assert all("hazard_ratio" in path.read_text().splitlines()[0] for path in effects)


def test_problems_are_found_before_the_queue(files, tmp_path, genassoc):
    code, toml, _ = genassoc(*arguments(files, tmp_path / "out.parquet", "--print-toml"))
    assert code == 0
    for old, new, words in (
        ('"days"', '"dayz"', ("dayz", "days")),
        ('event = [\n    "died",\n]\n', "", ("cox needs 'event'",)),
        ('kind = "cox"', 'kind = "cox"\nties = "exact"', ("ties is one of",)),
        ('"died"', '"days"', ("'days' is asked for as a time and as an event",)),
    ):
        assert old in toml
        (tmp_path / "gwas.toml").write_text(toml.replace(old, new))
        refused(genassoc("check", tmp_path / "gwas.toml"), None, *words)
    refused(
        genassoc(*arguments(files, tmp_path / "no.parquet", "--cause", "7")), tmp_path / "no.parquet", "no cause '7'"
    )
