"""Which of two values is the case: words of five languages, case_value, arms, events and sex; never the alphabet."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore

import genassoc as ga
from genassoc.data.phenotypes.case_words import PAIRS, control_and_case, meanings
from genassoc.data.phenotypes.codings import binary_coding, sex_coding
from genassoc.data.phenotypes.column_notes import column_notes
from genassoc.data.phenotypes.design import build_design
from genassoc.data.phenotypes.modifier import read_modifier
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.survival import build_survival
from genassoc.data.store.writer import write_store
from genassoc.errors import CodingWarning, PhenotypeError


def phenotypes_of(values, name="d", **choices):
    frame = pl.DataFrame({"IID": [f"S{i}" for i in range(len(values))], name: values}, strict=False)
    return Phenotypes.read(frame, **choices)


def coded(values, **choices):
    phenotypes = phenotypes_of(values, **choices)
    return build_design(phenotypes, np.arange(len(values)), ["d"], (), "binary")


# (control, case): in the order of the alphabet in about half of them
WORDS = [
    ("control", "case"), ("Controls", "Cases"), ("unaffected", "affected"), ("healthy", "sick"), ("no", "yes"), ("N", "Y"),
    ("false", "true"), ("F", "T"), ("negative", "positive"), ("absent", "present"), ("non-responder", "responder"),
    ("never", "ever"), ("alive", "dead"), ("healthy", "T2D"), ("without disease", "disease"), ("no asthma", "asthma"),
    ("témoin", "malade"), ("temoin", "cas"), ("TÉMOINS", "CAS"), ("sain", "atteint"), ("indemne", "atteinte"), ("non", "oui"),
    ("faux", "vrai"), ("négatif", "positif"), ("absent", "présent"), ("Non répondeur", "Répondeur"), ("te\u0301moin", "malade"),
    ("Kontrolle", "Fall"), ("Kontrollen", "Fälle"), ("gesund", "krank"), ("nein", "ja"), ("falsch", "wahr"), ("negativ", "positiv"),
    ("Nicht-Responder", "Responder"), ("nicht betroffen", "betroffen"), ("lebend", "verstorben"), ("unauffällig", "erkrankt"),
    ("control", "caso"), ("sano", "enfermo"), ("no", "sí"), ("NO", "SI\u0301"), ("falso", "verdadero"), ("ausente", "presente"),
    ("no afectado", "afectado"), ("vivo", "muerto"), ("nunca", "alguna vez"),
    ("healthy", "unhealthy"), ("sain", "non sain"), ("gesund", "nicht gesund"), ("sano", "no sano"), ("normal", "not normal"),
    ("survived", "not survived"), ("negative", "non-negative"), ("control", "non-control"), ("not unhealthy", "unhealthy"),
    ("no tumour", "tumour"), ("keine Diabetes", "Diabetes"), ("pas de cas", "cas"), ("censored", "event"),
    ("controllo", "caso"), ("sano", "malato"), ("no", "sì"), ("falso", "vero"), ("assente", "presente"), ("vivo", "deceduto"),
]  # fmt: skip


@pytest.mark.parametrize(("control", "case"), WORDS)
@pytest.mark.parametrize("turned", [False, True])
def test_known_words_of_five_languages_are_coded_whatever_their_order(control, case, turned):
    values = [case, control, None, control] if turned else [control, case, None, case]
    made = coded(values)
    expected = [1, 0, np.nan, 0] if turned else [0, 1, np.nan, 1]
    np.testing.assert_array_equal(made.y[:, 0], expected)
    assert made.coding == (f"{control.strip()} = control, {case.strip()} = case",)
    assert control_and_case(control, case) == control_and_case(case, control) == (control, case)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        ("sick", "affected", "both mean case"),
        ("healthy", "control", "both mean control"),
        ("drugA", "drugB", "neither is a known word"),
        ("no", "T2D", "not a known pair"),
        ("oui", "no", "not a known pair"),
        ("Fall", "Spring", "not a known pair"),
        ("N", "S", "not a known pair"),
        ("M", "F", "codes of sex"),
        ("H", "F", "codes of sex"),
        ("male", "female", "codes of sex"),
        ("Mann", "Frau", "codes of sex"),
        ("maschio", "femmina", "codes of sex"),
        ("10", "20", "0/1 and 1/2"),
        ("malade", "N/A", "looks like a missing value"),
        ("control", "unknown", "looks like a missing value"),
        ("case", ".", "looks like a missing value"),
    ],
)
def test_other_words_are_an_error_that_shows_both_ways(first, second, why):
    for values in ([first, second, second], [second, first, first]):
        with pytest.raises(PhenotypeError, match=why) as error:
            coded(values)
        for value in (first, second):
            assert f"case_value={{'d': '{value}'}} (--case-value 'd={value}')" in str(error.value)
            assert f"{value} ({values.count(value)} samples)" in str(error.value)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("stable", "unstable"), ("controlled", "uncontrolled"), ("sain", "non atteint"), ("healthy", "not examined"),
        ("control", "no data"), ("unaffected", "not diseased"),
    ],
)  # fmt: skip
def test_negations_that_say_nothing_of_health_are_no_cases(first, second):
    """ "unstable" is rather the case, "not examined" neither, and "non atteint" beside "sain" another control."""
    assert control_and_case(first, second) is None is control_and_case(second, first)


def test_the_table_of_words_holds_no_contradiction():
    assert meanings("control") == {"control"} and meanings("case") == {"case"} and not meanings("M")
    for control, case in PAIRS:
        assert (case, control) not in PAIRS and control_and_case(control, case) == (control, case), (control, case)
    for letter in "mhfw":
        others = [other for other in "mhfwd" if other != letter]
        assert not any(control_and_case(letter, other) for other in others)


def turned(phenotypes, **case_values):
    return replace(phenotypes, case_values=case_values)


def test_case_value_wins_over_words_and_numbers():
    for values, case, expected in (
        (["drugA", "drugB", "drugA"], "drugA", [1, 0, 1]),
        (["control", "case", "case"], "control", [1, 0, 0]),
        ([1, 2, 2], "1", [1, 0, 0]),
        ([1.0, 2.0, 2.0], "1.0", [1, 0, 0]),
        ([0, 1, 1], "0", [1, 0, 0]),
        ([True, False, False], "False", [0, 1, 1]),
        ([10, 20, 20], "20", [0, 1, 1]),
    ):
        made = build_design(turned(phenotypes_of(values), d=case), np.arange(3), ["d"], (), "binary")
        np.testing.assert_array_equal(made.y[:, 0], expected)
    with pytest.raises(PhenotypeError, match=r"case_value of 'd' is 'x'.*no such value; it has 'a', 'b'"):
        build_design(turned(phenotypes_of(["a", "b", "a"]), d="x"), np.arange(3), ["d"], (), "binary")
    with pytest.raises(PhenotypeError, match=r"exactly one other value, but there are 2: 'b', 'c'"):
        build_design(turned(phenotypes_of(["a", "b", "c"]), d="a"), np.arange(3), ["d"], (), "binary")


def test_a_model_takes_case_value_in_several_forms_and_refuses_others():
    same = ga.Logistic(["a", "b"], case_value={"a": "x", "b": 2})
    assert same.case_value == (("a", "x"), ("b", "2"))
    assert ga.Logistic(["a", "b"], case_value=[["a", "x"], ["b", "2"]]) == same and hash(same)
    assert ga.Logistic(["a", "b"], case_value="x").case_value == (("a", "x"), ("b", "x"))
    assert ga.Cox("t", "e", case_value="dead").case_value == (("e", "dead"),)
    assert ga.Linear(["y"], ["arm"], interaction="arm", case_value={"arm": "drugB"}).case_value == (("arm", "drugB"),)
    for make, words in (
        (lambda: ga.Logistic(["a"], case_value={"c": "x"}), "names 'c'.*'a'"),
        (lambda: ga.Logistic(["a"], case_value=3.5j), "mapping"),
        (lambda: ga.Logistic(["a"], case_value={"a": ""}), "mapping"),
        (lambda: ga.Linear(["y"], case_value={"y": "x"}), "no binary trait and no interaction"),
    ):
        with pytest.raises(ValueError, match=words):
            make()


def test_events_are_coded_by_words_of_their_own():
    frame = {"IID": [f"S{i}" for i in range(4)], "t": [1.0, 2, 3, 4]}
    for values, coding, event in (
        (["alive", "dead", "dead", "alive"], "alive = censored, dead = event", [0, 1, 1, 0]),
        (["Vivant", "Décédé", "Vivant", "Décédé"], "Vivant = censored, Décédé = event", [0, 1, 0, 1]),
        (["verstorben", "lebend", "lebend", "lebend"], "lebend = censored, verstorben = event", [1, 0, 0, 0]),
        ([1, 2, 2, 1], "1 = censored, 2 = event", [0, 1, 1, 0]),
        ([1, 1, 1, 1], "0 = censored, 1 = event", [1, 1, 1, 1]),
    ):
        phenotypes = Phenotypes.read(pl.DataFrame({**frame, "e": values}))
        made = build_survival(phenotypes, np.arange(4), ("t",), ("e",))
        assert made.endpoints[0].coding == coding
        np.testing.assert_array_equal(made.endpoints[0].event, event)
    unknown = Phenotypes.read(pl.DataFrame({**frame, "e": ["A", "B", "A", "B"]}))
    with pytest.raises(PhenotypeError, match=r"--case-value 'e=A'"):
        build_survival(unknown, np.arange(4), ("t",), ("e",))
    made = build_survival(turned(unknown, e="A"), np.arange(4), ("t",), ("e",))
    np.testing.assert_array_equal(made.endpoints[0].event, [1, 0, 1, 0])
    causes = Phenotypes.read(pl.DataFrame({**frame, "e": ["vivant", "cancer", "infarctus", "cancer"]}))
    made = build_survival(causes, np.arange(4), ("t",), ("e",), cause="cancer")
    assert "vivant = censored" in made.endpoints[0].coding and made.endpoints[0].n_competing == 1


@pytest.mark.parametrize(
    ("values", "arms"),
    [
        (["drug", "placebo"], ("placebo", "drug")),
        (["active", "Sham"], ("Sham", "active")),
        (["traité", "non traité"], ("non traité", "traité")),
        (["Verum", "Kontrolle"], ("Kontrolle", "Verum")),
        (["yes", "no"], ("no", "yes")),
        (["M", "F"], ("M", "F")),
        (["femme", "homme"], ("homme", "femme")),
        (["m", "w"], ("m", "w")),
    ],
)
def test_arms_of_two_words_say_which_is_zero(values, arms):
    for order in (values, values[::-1]):
        phenotypes = phenotypes_of(order * 3, "arm")
        made = read_modifier(phenotypes, np.arange(6), "arm", np.ones(6, dtype=bool))
        assert made.arms == ((arms[0], 0.0), (arms[1], 1.0))
        np.testing.assert_array_equal(made.values, [arms.index(value) for value in order * 3])


def test_a_missing_mark_is_no_arm_and_no_control():
    for values in (["placebo", "N/A"], ["?", "control"]):
        phenotypes = phenotypes_of(values * 3, "arm")
        with pytest.raises(PhenotypeError, match="is not known"):
            read_modifier(phenotypes, np.arange(6), "arm", np.ones(6, dtype=bool))
    with pytest.raises(PhenotypeError, match=r"--missing-code d=N/A"):
        coded(["malade", "N/A", "malade"])
    with pytest.raises(PhenotypeError, match="the same word in two spellings"):
        coded(["yes", "Yes", "no", "NO"])


def test_arms_that_do_not_say_it_are_refused_unless_case_value_does():
    phenotypes = phenotypes_of(["A", "B"] * 3, "arm")
    everybody = np.ones(6, dtype=bool)
    with pytest.raises(PhenotypeError, match=r"--case-value 'arm=B'.*--case-value 'arm=A'"):
        read_modifier(phenotypes, np.arange(6), "arm", everybody)
    made = read_modifier(turned(phenotypes, arm="A"), np.arange(6), "arm", everybody)
    assert made.arms == (("B", 0.0), ("A", 1.0))


@pytest.mark.parametrize(
    ("values", "sexes"),
    [
        (["M", "F", "m", "f"], [1, 2, 1, 2]),
        (["H", "F", "h", None], [1, 2, 1, 0]),
        (["H", "M", "H", "M"], [1, 2, 1, 2]),  # hombre, mujer
        (["m", "w", "W", "0"], [1, 2, 2, 0]),
        (["V", "H", "V", "H"], [1, 2, 1, 2]),  # varón, hembra
        (["homme", "Femme", "inconnu", "femme"], [1, 2, 0, 2]),
        (["Mann", "Frau", "männlich", "weiblich"], [1, 2, 1, 2]),
        (["hombre", "mujer", "varón", "femenino"], [1, 2, 1, 2]),
        (["maschio", "femmina", "uomo", "donna"], [1, 2, 1, 2]),
        (["1", "2", "M", "female"], [1, 2, 1, 2]),
        ([1, 2, 0, None], [1, 2, 0, 0]),
    ],
)
def test_common_codings_of_sex_are_read_and_said(values, sexes):
    codes, said = sex_coding(phenotypes_of(values, "sex"), "sex", np.arange(4))
    assert codes.tolist() == sexes and codes.dtype == np.int8
    assert "= male" in said or 1 not in sexes
    assert said.startswith("sex is read from 'sex'")


@pytest.mark.parametrize("value", ["-1", "-2", "1?", "F?", "1/2"])
def test_numbers_and_doubts_are_no_codes_of_sex(value):
    """-1 is a code for missing, and was male once: its sign is no punctuation."""
    phenotypes = phenotypes_of(["1", "2", value, "1"])
    with pytest.raises(PhenotypeError, match="not recognised"):
        sex_coding(phenotypes, "d", np.arange(4))


def test_case_value_turns_arms_in_numbers_too():
    frame = pl.DataFrame({"IID": list("ABCD"), "arm": [1, 2, 1, None], "three": [1, 2, 3, 1]})
    phenotypes = Phenotypes.read(frame)
    rows, everybody = np.arange(4), np.ones(4, dtype=bool)
    plain = read_modifier(phenotypes, rows, "arm", everybody)
    np.testing.assert_array_equal(plain.values, [1, 2, 1, np.nan])
    made = read_modifier(turned(phenotypes, arm="1"), rows, "arm", everybody)
    np.testing.assert_array_equal(made.values, [1, 0, 1, np.nan])
    assert made.arms == (("2", 0.0), ("1", 1.0))
    choices = {"traits": [], "interaction": "arm"}
    found = column_notes(turned(phenotypes, arm="1"), rows, choices, "quantitative")
    assert found.codings == {"arm": {"0": "2", "1": "1", "rule": "case_value"}}
    with pytest.raises(PhenotypeError, match="3 values"):
        read_modifier(turned(phenotypes, three="1"), rows, "three", everybody)


@pytest.mark.parametrize("mark", ["N/A", ".", "#REF!"])
def test_a_missing_mark_is_no_competing_event(mark):
    values = ["0", "1", "2", mark, "1", "0"]
    frame = pl.DataFrame({"IID": list("ABCDEF"), "time": [1.0, 2, 3, 4, 5, 6], "ev": values})
    rows = np.arange(6)
    with pytest.raises(PhenotypeError, match="missing_codes=") as error:
        build_survival(Phenotypes.read(frame), rows, ["time"], ["ev"], cause="1")
    assert mark in str(error.value)
    declared = Phenotypes.read(frame, missing_codes={"ev": [mark]})
    made = build_survival(declared, rows, ["time"], ["ev"], cause="1")
    assert made.endpoints[0].n_competing == 1
    choices = {"time": ["time"], "event": ["ev"], "cause": "1"}
    said = column_notes(declared, rows, choices, "survival").lines
    assert "ev: 1 = event, 2 = competing, 0 = censored" in said
    two = Phenotypes.read(frame.with_columns(ev=pl.Series(["0", "1", "0", mark, "1", "0"])))
    with pytest.raises(PhenotypeError, match="missing_codes=") as error:
        build_survival(two, rows, ["time"], ["ev"])
    assert "cause=" not in str(error.value)


@pytest.mark.parametrize("values", [["H", "M", "F", "F"], ["M", "X", "F", "F"], [0, 1, 1, 0], [1, 3, 2, 1]])
def test_codings_of_sex_that_are_not_understood_are_refused(values):
    with pytest.raises(PhenotypeError, match="sex column 'sex'"):
        sex_coding(phenotypes_of(values, "sex"), "sex", np.arange(4))


# A run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    rng = np.random.default_rng(8)
    n = 120
    codes = rng.choice([0, 1, 2], (2, n), p=[0.36, 0.48, 0.16])
    ill = rng.random(n) < 0.25 + 0.15 * codes[0]
    frame = pl.DataFrame(
        {
            "IID": [f"S{i}" for i in range(n)],
            "y": ill.astype(int),
            "words": np.where(ill, "malade", "témoin"),
            "plain": np.where(ill, "a", "b"),
            "plink": ill + 1,
            "many": np.where(ill, "no", "yes"),
        }
    )
    memory = MemoryStore(codes, frame["IID"])
    path = tmp_path_factory.mktemp("coded") / "store.zarr"
    write_store(path, list(memory.sample_ids), [memory.read(0, 2)], memory.variants())
    return ga.open_store(path), frame


def run(world, model):
    store, frame = world
    return ga.associate(ga.Cohort.align(store, frame), model, executor=ga.Serial())


def test_a_run_says_what_was_coded_how_in_python_too(world, caplog):
    true = run(world, ga.Logistic(["y"])).table["beta"].to_list()
    caplog.set_level("INFO", logger="genassoc")
    with pytest.warns(CodingWarning, match="words: témoin = control, malade = case, from the meaning of the words"):
        res = run(world, ga.Logistic(["words"]))
    assert "words: témoin = control, malade = case" in caplog.text
    assert res.table["beta"].to_list() == true
    assert res.provenance["codings"]["words"] == {"0": "témoin", "1": "malade", "rule": "words"}
    assert any("témoin = control" in note for note in res.provenance["notes"])
    with pytest.warns(CodingWarning, match=r"plink: 1 = control, 2 = case, as in PLINK.*--case-value 'plink=1'"):
        assert run(world, ga.Logistic(["plink"])).table["beta"].to_list() == true
    with pytest.warns(CodingWarning, match="from case_value"):
        res = run(world, ga.Logistic(["plain"], case_value={"plain": "a"}))
    assert res.table["beta"].to_list() == true and res.provenance["parameters"]["model"]["case_value"]
    json.dumps(res.provenance)
    with pytest.warns(CodingWarning):
        other = run(world, ga.Logistic(["plain"], case_value="b"))
    # The coefficient changes its sign and nothing else; 1e-6 is the tolerance of the fits.
    np.testing.assert_allclose(other.table["beta"], -np.array(true), rtol=1e-6)
    with pytest.warns(CodingWarning, match=r"many: \d+ of 120 samples are cases, more than half: is yes the case"):
        run(world, ga.Logistic(["many"]))


def test_case_value_enters_the_plan_and_the_refits(world):
    from genassoc.explanation.audit import audit_lines
    from genassoc.verbs.association import plan_association

    store, frame = world
    cohort = ga.Cohort.align(store, frame)
    a, b = (plan_association(cohort, ga.Logistic(["plain"], case_value=case)).fingerprint for case in "ab")
    assert a != b
    with pytest.warns(CodingWarning):
        res = ga.associate(cohort, ga.Logistic(["plain"], case_value="a"), executor=ga.Serial(), audit=2)
    assert "agree" in audit_lines(res.provenance)[0]


def test_nothing_is_warned_of_zero_and_one(world, recwarn):
    run(world, ga.Logistic(["y"]))
    assert not [one for one in recwarn if one.category is CodingWarning]


def test_binary_coding_names_its_rule():
    for values, rule in (([0, 1], "0/1"), ([1, 2], "1/2"), (["no", "yes"], "words"), ([False, True], "0/1")):
        phenotypes = phenotypes_of(values)
        assert binary_coding(phenotypes, "d", np.arange(2))[0].rule == rule
