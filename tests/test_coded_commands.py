"""Codings, missing codes and forms of tables on the command line and in gwas.toml: the same run, its record, every problem at once."""

import json
import tomllib

import numpy as np
import polars as pl
import pytest
from commands import refused
from memory_store import MemoryStore

from genassoc.data.store.writer import write_store

N = 90


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A store of 3 variants, and the same 90 people as a hospital writes them and as PLINK does."""
    folder = tmp_path_factory.mktemp("hospital")
    rng = np.random.default_rng(3)
    memory = MemoryStore(rng.choice([0, 1, 2], (3, N), p=[0.4, 0.45, 0.15]), [f"P{i:02d}" for i in range(N)])
    write_store(folder / "g.zarr", list(memory.sample_ids), [memory.read(0, 3)], memory.variants())
    ill, age, smoker = rng.random(N) < 0.4, rng.uniform(30, 70, N).round(1), rng.integers(0, 2, N)
    known = np.arange(N) >= 6
    lines = ["NIP;dx;t2d;âge;fumeur;né le;sexe;"]
    for i in range(N):
        words = ("malade" if ill[i] else "témoin", 1 + ill[i] if known[i] else 0, f"{age[i]}".replace(".", ","))
        lines.append(f"P{i:02d};{';'.join(map(str, words))};{smoker[i]};{1 + i % 28:02d}/12/1970;{'HF'[i % 2]};")
    (folder / "h.csv").write_bytes("\r\n".join(lines).encode("latin-1"))
    plain = pl.DataFrame({"IID": memory.sample_ids.tolist(), "dx": ill.astype(int), "age": age, "fumeur": smoker})
    plain = plain.with_columns(t2d=pl.Series([int(a) if b else None for a, b in zip(ill, known)]))
    plain.write_csv(folder / "p.tsv", separator="\t", null_value="NA")
    return folder


def numbers(path):
    return pl.read_parquet(path).select("variant_id", "beta", "standard_error", "neg_log_10_p_value", "n").rows()


HOSPITAL = ["--model", "logistic", "--sample-id", "NIP", "--encoding", "latin-1", "--decimal", ",", "--audit", 3]


def test_a_table_of_a_hospital_gives_the_numbers_of_the_plain_one(files, tmp_path, genassoc):
    plain = ["assoc", files / "g.zarr", files / "p.tsv", "--model", "logistic", "--covar", "age,fumeur", "--audit", 0]
    hospital = ["assoc", files / "g.zarr", files / "h.csv", *HOSPITAL, "--covar", "âge,fumeur"]
    for trait, more, words in (
        ("dx", ["--sex", "sexe"], ["dx: témoin = control, malade = case, from the meaning of the words", "H = male, F = female"]),
        ("t2d", ["--missing-code", "t2d=0"], ["missing code 0: 6 values of 't2d' were set to missing (6.67 %)", "1 = control, 2 = case, as in PLINK"]),
    ):  # fmt: skip
        code, _, errors = genassoc(*plain, "--trait", trait, "--out", tmp_path / f"{trait}.parquet")
        assert code == 0, errors
        out = tmp_path / f"{trait}.hospital.parquet"
        code, printed, errors = genassoc(*hospital, "--trait", trait, "--out", out, *more)
        assert code == 0, errors
        assert "agree" in printed
        for word in [*words, "decimal commas were read in 'âge'", "1 empty column"]:
            assert word in errors, errors
        assert numbers(out) == numbers(tmp_path / f"{trait}.parquet")
        record = json.loads(out.with_name(f"{out.name}.provenance.json").read_text())
        assert record["codings"][trait]["rule"] == ("words" if trait == "dx" else "1/2")
        (step,) = record["inputs"]["cohort"]["steps"]
        assert step["reading"] == {"decimal": ",", "encoding": "latin-1"}
        code, text, errors = genassoc("explain", out, "rs0")  # the table is read again as it was
        assert code == 0 and f" for {trait} (beta" in text, errors


def test_print_toml_round_trips_every_choice(files, tmp_path, genassoc):
    flags = ["assoc", files / "g.zarr", files / "h.csv", *HOSPITAL, "--trait", "dx,t2d", "--case-value", "dx=témoin",
             "--missing-code", "-9", "--missing-code", "t2d=0", "--missing-code", "fumeur=", "--date-format", "DD/MM/YYYY"]  # fmt: skip
    code, toml, _ = genassoc(*flags, "--out", tmp_path / "a.parquet", "--print-toml")
    assert code == 0
    content = tomllib.loads(toml)
    assert content["input"]["missing_codes"] == {"*": ["-9"], "t2d": ["0"], "fumeur": []}
    assert content["model"]["case_value"] == {"dx": "témoin"} and content["input"]["date_format"] == "DD/MM/YYYY"
    path = tmp_path / "gwas.toml"
    path.write_text(toml.replace("a.parquet", "b.parquet"), encoding="utf-8")
    code, _, errors = genassoc("run", path, "--audit", 0)
    assert code == 0 and "dx: malade = control, témoin = case, from case_value" in errors, errors
    assert genassoc(*flags, "--out", tmp_path / "a.parquet")[0] == 0
    assert numbers(tmp_path / "a.parquet") == numbers(tmp_path / "b.parquet")
    code, printed, _ = genassoc("plan", path, tmp_path / "work", "--parts", 1, "--json")
    fingerprint = json.loads(printed)["fingerprint"]
    for old, new in (('"témoin"', '"malade"'), ('"-9"', '"-8"'), ('decimal = ","', 'decimal = "."')):
        other = path.with_name("other.toml")
        other.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        code, printed, errors = genassoc(
            "plan", other, tmp_path / f"work{ord(new[-2])}{len(old)}", "--parts", 1, "--json"
        )
        assert code == 0, errors
        assert json.loads(printed)["fingerprint"] != fingerprint, new


def test_codes_of_every_column_and_bad_pairs_are_refused(files, tmp_path, genassoc):
    flags = [
        "assoc",
        files / "g.zarr",
        files / "h.csv",
        *HOSPITAL,
        "--out",
        tmp_path / "o.parquet",
        "--covar",
        "fumeur",
    ]
    refused(
        genassoc(*flags, "--trait", "t2d", "--missing-code", 0),
        None,
        "'t2d' (6 values), 'fumeur'",
        "--missing-code COLUMN=0",
    )
    refused(genassoc(*flags, "--trait", "t2d"), None, "--missing-code t2d=0")
    refused(genassoc(*flags, "--trait", "sexe"), None, "codes of sex", "--case-value 'sexe=H'", "--case-value 'sexe=F'")
    refused(genassoc(*flags, "--trait", "dx", "--case-value", "other=x"), None, "case_value names 'other'", "'dx'")
    refused(genassoc(*flags, "--trait", "dx", "--case-value", "dx"), None, "TRAIT=VALUE", code=2)
    refused(genassoc(*flags, "--trait", "dx", "--case-value", "dx=a", "--case-value", "dx=b"), None, "twice", code=2)
    latin = [flag for flag in flags if flag not in ("--encoding", "latin-1")]
    refused(genassoc(*latin, "--trait", "dx"), None, "line 1", "--encoding latin-1")


def test_controls_of_words_are_found_by_qc(files, tmp_path, genassoc):
    flags = ["qc", files / "g.zarr", "--out", tmp_path / "qc.tsv", "--pheno", files / "p.tsv", "--cases"]
    refused(genassoc(*flags, "fumeur", "--case-value", "dx=1"), None, "another trait", code=2)
    assert genassoc(*flags, "dx", "--case-value", "dx=0")[0] == 0
    turned = pl.read_csv(tmp_path / "qc.tsv", separator="\t")
    assert genassoc(*flags, "dx")[0] == 0
    plain = pl.read_csv(tmp_path / "qc.tsv", separator="\t")
    assert turned["hwe_p"].to_list() == plain["hwe_p"].to_list()
    assert turned["hwe_p_controls"].to_list() != plain["hwe_p_controls"].to_list()


CHECKED = """
[input]
store = "{store}"
phenotypes = "{table}"
{ids}
sex = "geschlecht"
encoding = "latin-1"
missing_codes = {{td2 = ["0"]}}
[model]
kind = "logistic"
traits = ["t2d", "dxx", "sexe"]
covariates = ["âge", "fumeuse", "absent"]
interaction = "arm"
[output]
path = "{out}"
"""


@pytest.mark.parametrize("ids", ['sample_id = "NIP"', 'sample_id = "EID"', ""])
def test_check_tells_every_problem_in_one_go(files, tmp_path, genassoc, ids):
    """Whether the id column is right, wrong or not named at all, each bad column is told."""
    path = tmp_path / "gwas.toml"
    text = CHECKED.format(store=files / "g.zarr", table=files / "h.csv", out=tmp_path / "o.parquet", ids=ids)
    path.write_text(text, encoding="utf-8")
    code, _, errors = genassoc("check", path)
    told = [line for line in errors.splitlines() if line.startswith("problem: ")]
    wanted = [
        "'geschlecht'",
        "'td2'",
        "--missing-code t2d=0",
        "'dxx'",
        "codes of sex",
        "--decimal ,",
        "'fumeuse'",
        "'absent'",
        "'arm'",
    ]
    wanted += [] if "NIP" in ids else ["sample_id"]
    assert code == 1 and len(told) == len(wanted), errors
    for words in wanted:
        assert any(words in line for line in told), (words, errors)


def test_check_tells_every_column_of_a_model_of_times(files, tmp_path, genassoc):
    text = CHECKED.format(
        store=files / "g.zarr", table=files / "h.csv", out=tmp_path / "o.parquet", ids='sample_id = "EID"'
    )
    text = text.replace('"logistic"', '"cox"').replace(
        'traits = ["t2d", "dxx", "sexe"]', 'time = "jours"\nevent = "mort"\nstrata = ["centre"]\nentry = "debut"'
    )
    path = tmp_path / "gwas.toml"
    path.write_text(text, encoding="utf-8")
    code, _, errors = genassoc("check", path)
    assert code == 1
    for words in (
        "'EID'",
        "'jours'",
        "'mort'",
        "'centre'",
        "'debut'",
        "'fumeuse'",
        "'absent'",
        "'arm'",
        "'geschlecht'",
    ):
        assert words in errors, errors


def test_check_takes_levels_as_numbers(files, tmp_path, genassoc):
    (tmp_path / "gwas.toml").write_text(
        f'[input]\nstore = "{files / "g.zarr"}"\nphenotypes = "{files / "p.tsv"}"\n'
        '[model]\nkind = "ordinal"\ntraits = ["fumeur"]\nlevels = [0, 1]\n[output]\npath = "o.parquet"\n'
    )
    code, printed, errors = genassoc("check", tmp_path / "gwas.toml")
    assert code == 0 and "0 < 1" in printed + errors, errors


def test_check_looks_into_covariate_files_behind_wrong_ids_and_at_what_times_and_events_hold(files, tmp_path, genassoc):
    """Columns of a covariate file were told to be absent where the ids of the first table were at fault."""
    rows = range(N)
    pl.DataFrame({"IID": [f"P{i:02d}" for i in rows], "t": ["N/A"] + [str(i + 1) for i in rows[1:]]}).write_csv(
        tmp_path / "a.csv"
    )
    ev, centre = ["0", "1", "2"] * 30, ["x", ".", "y"] * 30
    bmi = ["1,5"] * N
    pl.DataFrame({"IID": [f"P{i:02d}" for i in rows], "ev": ev, "centre": centre, "bmi": bmi}).write_csv(
        tmp_path / "b.csv", separator=";"
    )
    for ids, told in (("IID", 4), ("EID", 5)):
        path = tmp_path / "gwas.toml"
        path.write_text(
            f'[input]\nstore = "{files / "g.zarr"}"\nphenotypes = "a.csv"\ncovariate_files = ["b.csv"]\nsample_id = "{ids}"\n'
            '[model]\nkind = "cox"\ntime = "t"\nevent = "ev"\nstrata = ["centre"]\ncovariates = ["bmi"]\n'
            '[output]\npath = "o.parquet"\n'
        )
        code, _, errors = genassoc("check", path)
        problems = [line for line in errors.splitlines() if line.startswith("problem: ")]
        assert code == 1 and len(problems) == told, errors
        for words in ("--missing-code t=N/A", "cause='2'", "--missing-code centre=.", "--decimal ,"):
            assert any(words in line for line in problems), (words, errors)
        assert "no column is named 'ev'" not in errors and "no column is named 'bmi'" not in errors
