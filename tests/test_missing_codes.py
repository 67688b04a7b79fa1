"""Missing codes belong to a column; what they empty is said; spellings of missing are never categories or numbers silently."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genassoc.data.phenotypes.column_notes import column_notes
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.missing_codes import MissingCodes
from genassoc.data.phenotypes.number_spellings import holds_numbers
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError


def table(**columns):
    n = len(next(iter(columns.values())))
    return pl.DataFrame({"IID": [f"S{i}" for i in range(n)], **columns}, strict=False)


def design(frame, traits, covariates=(), kind="quantitative", **reading):
    phenotypes = Phenotypes.read(frame, **reading)
    return build_design(phenotypes, np.arange(phenotypes.table.height), traits, covariates, kind)


def notes(frame, outcome="quantitative", *, reading=None, **choices):
    phenotypes = Phenotypes.read(frame, **(reading or {}))
    return column_notes(phenotypes, np.arange(phenotypes.table.height), choices, outcome)


N = 200
T2D = [0] * 10 + [1, 2] * 95
SMOKER = [0, 1] * 100


def test_a_code_of_one_column_empties_that_column_only():
    frame = table(t2d=T2D, smoker=SMOKER, age=np.arange(N) % 50 + 20)
    made = design(frame, ["t2d"], ["age", "smoker"], "binary", missing_codes={"t2d": ["0"]})
    assert int((~np.isnan(made.y)).sum()) == 190 and made.complete.all()
    assert made.covariates == ("intercept", "age", "smoker") and not made.dropped_covariates
    said = notes(frame, "binary", traits=["t2d"], covariates=["age", "smoker"], reading={"missing_codes": {"t2d": [0]}})
    assert "missing code 0: 10 values of 't2d' were set to missing (5 %)" in said.lines


def test_a_code_of_every_column_that_is_a_value_of_others_is_refused():
    frame = table(t2d=T2D, smoker=SMOKER)
    reading = {"missing_codes": ["0"]}
    with pytest.raises(PhenotypeError) as error:
        notes(frame, "binary", traits=["t2d"], covariates=["smoker"], reading=reading)
    for words in (
        "'t2d' (10 values)",
        "'smoker' (100 values)",
        "fewer than two values in 'smoker'",
        "--missing-code COLUMN=0",
    ):
        assert words in str(error.value)
    # Alone it is what was asked for; the same of other ordinary values.
    assert notes(frame, "binary", traits=["t2d"], reading=reading).lines[0].startswith("missing code 0: 10 values")
    for code, columns in (
        ("3", {"a": [1, 2, 3] * 20, "b": [1, 2, 3, 4, 5, 3] * 10}),
        ("N", {"a": list("YN" * 30), "b": list("NESW" * 15)}),
        ("9", {"a": list(range(60)), "b": [8, 9, 10] * 20}),
        ("no", {"a": ["yes", "no"] * 30, "b": ["no", "low", "high"] * 20}),
    ):
        with pytest.raises(PhenotypeError, match=f"missing code {code} was declared for every column"):
            notes(
                table(y=list(range(60)), **columns),
                traits=["y"],
                covariates=["a", "b"],
                reading={"missing_codes": [code]},
            )


def test_a_code_of_every_column_that_stands_out_is_kept_and_counted():
    frame = table(y=[*np.linspace(0, 1, 58), -9, -9], a=[-9, *range(59)], site=["A", "B", "-9"] * 20)
    said = notes(frame, traits=["y"], covariates=["a", "site"], reading={"missing_codes": ["-9"]}).lines
    assert [line.split(" (")[0] for line in said] == [
        "missing code -9: 2 values of 'y' were set to missing", "missing code -9: 1 values of 'a' were set to missing",
        "missing code -9: 20 values of 'site' were set to missing",
    ]  # fmt: skip


def test_codes_of_columns_that_are_not_there_are_refused_and_those_that_do_not_occur_are_said():
    frame = table(y=[1.0, 2, 4], t2d=[1, 2, 1])
    with pytest.raises(PhenotypeError, match=r"'td2', but the table has no such column \(did you mean 't2d'"):
        notes(frame, traits=["y"], reading={"missing_codes": {"td2": ["0"]}})
    assert notes(frame, traits=["y"], reading={"missing_codes": {"t2d": ["0"]}}).lines == (
        "missing code 0 does not occur in 't2d'",
    )
    with pytest.raises(PhenotypeError, match="missing_codes must be a list"):
        Phenotypes.read(frame, missing_codes=3)


def test_the_check_for_minus_nine_stays_on_for_columns_without_codes():
    frame = table(y=[1.5, -9, 2, 3.5], a=[0, 1, -9, 1])
    with pytest.raises(
        PhenotypeError, match=r"'y' has the value -9.*missing_codes=\{\"y\": \[\"-9\"\]\} \(--missing-code y=-9"
    ):
        design(frame, ["y"], missing_codes={"a": ["-9"]})
    made = design(frame, ["y"], ["a"], missing_codes={"a": ["-9"], "y": [-9]})
    assert np.isnan(made.y[:, 0]).tolist() == [False, True, False, False] and made.complete.tolist() == [
        True,
        True,
        False,
        True,
    ]
    assert design(frame, ["y"], missing_codes={"y": []}).y[1, 0] == -9
    assert np.isnan(design(frame, ["y"], missing_codes={"*": ["-9"], "a": ["0"]}).y[1, 0])


def test_codes_have_one_plain_form_and_lists_keep_their_fingerprint():
    assert MissingCodes.of({"*": ["-9"], "a": [0, 1.0]}).plain() == {"*": ["-9"], "a": ["0", "1"]}
    assert MissingCodes.of(["-9"]).key() == ("-9",) and MissingCodes.of(None).key() is None
    frame = table(y=[1, 0, 2])
    prints = {
        Phenotypes.read(frame, missing_codes=c).fingerprint for c in (None, [], ["0"], {"y": ["0"]}, {"y": ["2"]})
    }
    assert len(prints) == 5


# Numbers that are mostly missing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["N/A", ".", "NULL", "#N/A", "<LOD", "n.a.", "?", "unknown", "#REF!", "inconnu", "n.g."]
)
@pytest.mark.parametrize("every", [5, 3])
def test_a_number_that_is_mostly_missing_is_no_category(token, every):
    """Whether a fifth or two thirds of the values are the token, it is named, and declared it is missing."""
    lacks = [(i % 5 == 0) if every == 5 else (i % 3 != 0) for i in range(N)]
    packyears = [token if lack else str(10 + i % 11) for i, lack in enumerate(lacks)]
    frame = table(y=np.arange(N) % 7, packyears=packyears)
    with pytest.raises(PhenotypeError, match=r"'packyears' is used as numbers") as error:
        design(frame, ["y"], ["packyears"])
    assert f'{{"packyears": ["{token}"]}}' in str(error.value) and f"packyears={token}" in str(error.value)
    made = design(frame, ["y"], ["packyears"], missing_codes={"packyears": [token]})
    assert made.covariates == ("intercept", "packyears") and int(made.complete.sum()) == N - sum(lacks)


@pytest.mark.parametrize("token", ["N/A", ".", "NULL", "?", "-", "#N/A", "<NA>", "#VALUE!"])
def test_a_level_that_can_only_mean_missing_is_refused_by_name(token):
    frame = table(y=np.arange(60) % 7, site=["A", "B", token] * 20)
    with pytest.raises(PhenotypeError) as error:
        design(frame, ["y"], ["site"])
    assert f"'{token}' (20 samples)" in str(error.value) and "--missing-code" in str(error.value)
    made = design(frame, ["y"], ["site"], missing_codes={"site": [token]})
    assert made.covariates == ("intercept", "site[B]") and int(made.complete.sum()) == 40
    kept = design(frame, ["y"], ["site"], missing_codes={"site": []})
    assert len(kept.covariates) == 3 and kept.complete.all()


@pytest.mark.parametrize("token", ["unknown", "None", "missing", "unbekannt", "Desconocido", "non renseigné"])
def test_a_level_that_is_a_word_for_missing_is_said(token):
    frame = table(y=np.arange(60) % 7, site=["A", "B", token] * 20)
    assert design(frame, ["y"], ["site"]).complete.all()
    (line,) = notes(frame, traits=["y"], covariates=["site"]).lines
    assert f"'{token}' (20 samples) is used as a category of 'site'" in line and f"site={token}" in line


def test_categories_with_numbers_among_them_and_genotypes_are_said():
    frame = table(
        y=np.arange(60) % 7, code=["1A", "2", "3B", "4C", "5D", "6E"] * 10, rs1=["A/A", "A/G", "G/G"] * 20,
        day=["01/02/2020", "02/02/2020", "03/02/2020"] * 20, town=["Évry", "evry", "Paris"] * 20,
        blood=["A+", "A-", "B+"] * 20,
    )  # fmt: skip
    said = "\n".join(notes(frame, traits=["y"], covariates=["code", "rs1", "day", "town", "blood"]).lines)
    assert "'code' is used as categories: 10 of its 60 values are numbers, the others are" in said
    assert "'rs1' is used as 3 categories (A/A, A/G, G/G)" in said and "count_allele(table, 'rs1', 'G')" in said
    assert "'evry' and 'Évry'" in said and "blood" not in said
    assert "'day' is used as 3 categories" in said and "--date-format" in said


def test_genotypes_are_never_proposed_as_missing():
    frame = table(y=["1.5", "A/G", "2", "3", "4"], g=["A/A", "A/G", "G/G", "A/G", "A/A"], n=[1, 2, 3, 4, 5])
    for trait, kind in (("g", "quantitative"), ("g", "binary"), ("y", "quantitative")):
        with pytest.raises(PhenotypeError) as error:
            design(frame, [trait], kind=kind)
        assert "=A/" not in str(error.value) and '"A/' not in str(error.value)
    for kind in ("quantitative", "binary"):
        with pytest.raises(PhenotypeError, match=r"count the copies of an allele, ga\.endpoints\.count_allele"):
            design(frame, ["g"], kind=kind)


def test_an_error_proposes_a_code_beside_which_the_others_are_a_coding():
    with pytest.raises(PhenotypeError, match=r"--missing-code d=9\)"):
        design(table(d=[0, 1, 9, 0, 1]), ["d"], kind="binary")
    with pytest.raises(PhenotypeError, match=r"--missing-code d=N/A\)"):
        design(table(d=["no", "yes", "N/A", "no"]), ["d"], kind="binary")
    with pytest.raises(PhenotypeError, match="--missing-code d=VALUE"):  # which of a, b, c is missing is not guessed
        design(table(d=["a", "b", "c", "c"]), ["d"], kind="binary")


@settings(max_examples=60, deadline=None)
@given(st.integers(6, 40), st.integers(0, 200), st.sampled_from(["N/A", ".", "x", "non fait", "<1"]))
def test_no_share_of_a_token_turns_numbers_into_categories(n_numbers, n_tokens, token):
    values = pl.Series([str(i) for i in range(n_numbers)] + [token] * n_tokens)
    assert holds_numbers(values)


@pytest.mark.parametrize("values", [["Fall", "Kontrolle"] * 20, ["H", "F"] * 20, ["x"] * 40])
def test_no_code_is_proposed_that_would_empty_the_column(values):
    with pytest.raises(PhenotypeError, match="none of its values is a number") as error:
        design(table(y=values), ["y"])
    assert "missing_codes" not in str(error.value)


def test_99_that_recurs_apart_from_all_others_is_asked_about():
    y = np.random.default_rng(1).normal(0, 1, N).round(2)
    with pytest.raises(PhenotypeError, match="--missing-code y=99"):
        design(table(y=[99.0] * 6 + list(y[6:])), ["y"])
    design(table(y=[99.0] * 4 + list(y[4:])), ["y"])  # outliers
    design(table(y=[99.0] * 6 + list(60 + 10 * y[6:])), ["y"])  # a value like others
    design(table(y=[99.0] * 6 + list(y[6:])), ["y"], missing_codes={"y": []})


def test_codes_of_a_table_that_is_joined_are_of_its_columns_or_refused():
    first = table(t2d=T2D)
    second = table(smoke=[0, 9] * 100)
    rows, choices = np.arange(N), {"traits": ["t2d"], "covariates": ["smoke"]}
    typo = Phenotypes.read(first).with_columns(Phenotypes.read(second, missing_codes={"smok": ["9"]}))
    with pytest.raises(PhenotypeError, match="'smok', but the table has no such column"):
        column_notes(typo, rows, choices, "binary")
    with pytest.raises(PhenotypeError, match="read without it"):
        Phenotypes.read(first).with_columns(Phenotypes.read(second, missing_codes={"t2d": ["0"]}))
    same = {"t2d": ["0"], "smoke": ["9"]}
    both = Phenotypes.read(first, missing_codes=same).with_columns(Phenotypes.read(second, missing_codes=same))
    assert both.table["smoke"].null_count() == 100 and both.table["t2d"].null_count() == 10


def test_codes_of_a_table_that_is_read_twice_add_up():
    once = Phenotypes.read(table(t2d=T2D, smoke=[0, 9] * 100), missing_codes={"t2d": ["0"]})
    again = Phenotypes.read(once, missing_codes={"smoke": ["9"], "*": ["-1"]})
    assert again.missing_codes.plain() == {"*": ["-1"], "t2d": ["0"], "smoke": ["9"]}
