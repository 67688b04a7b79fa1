"""The unrelated set: no two related, none that could be added, the rule for whom to leave out; tables of kinship of all kinds."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from oracles import kinship as oracle

import genassoc as ga
from genassoc.data.cohort.relatives import related_of
from genassoc.errors import InputError, PhenotypeError, SampleMismatchError
from genassoc.stats.unrelated import unrelated_set


def chosen(n, pairs, **choices):
    left, right = (np.array([pair[k] for pair in pairs], dtype=np.int64) for k in (0, 1))
    return unrelated_set(n, left, right, np.full(len(pairs), 0.25), **choices)


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 8))
    sample = st.integers(0, n - 1)
    return n, draw(st.lists(st.tuples(sample, sample), max_size=14))


@settings(deadline=None, max_examples=150)
@given(graphs(), st.lists(st.booleans(), min_size=8, max_size=8))
def test_no_two_are_related_and_none_could_be_added(graph, preferred):
    n, pairs = graph
    pairs = [(i, j) for i, j in pairs if i != j]
    for choices in ({}, {"preferred": np.array(preferred[:n])}):
        found = chosen(n, pairs, **choices)
        held = set(np.flatnonzero(found.keep).tolist())
        assert not any(i in held and j in held for i, j in pairs)
        for i in set(range(n)) - held:
            assert int(found.because[i]) in held
            assert (i, found.because[i]) in pairs or (found.because[i], i) in pairs
        if not choices:
            # the rule is no search: of up to 8 samples it misses the largest set by one at most
            assert len(held) >= oracle.largest_unrelated(n, pairs) - 1


def test_families_leave_their_largest_set():
    siblings = [(i, j) for i in range(4) for j in range(i)]
    assert chosen(4, siblings).keep.sum() == 1
    parents_of_three = [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)]
    np.testing.assert_array_equal(chosen(5, parents_of_three).keep, [True, True, False, False, False])
    hub = [(0, j) for j in range(1, 6)]
    np.testing.assert_array_equal(chosen(6, hub).keep, [False, *[True] * 5])


def test_ties_are_broken_by_missing_calls_then_by_the_store():
    assert chosen(2, [(0, 1)]).keep.tolist() == [True, False]
    assert chosen(2, [(0, 1)], missing_rate=np.array([0.1, 0.02])).keep.tolist() == [False, True]
    assert chosen(2, [(0, 1)], missing_rate=np.array([np.nan, 0.02])).keep.tolist() == [False, True]
    assert chosen(2, [(0, 1), (1, 0)], preferred=np.array([False, True])).keep.tolist() == [False, True]
    hub = [(0, j) for j in range(1, 6)]
    kept = chosen(6, hub, preferred=np.array([True, *[False] * 5])).keep
    assert kept.tolist() == [True, *[False] * 5]  # the case costs five controls


# cohorts ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cohort():
    codes = np.random.default_rng(0).integers(0, 3, (4, 6)).astype(np.uint8)
    table = pl.DataFrame(
        {"IID": [f"S{i}" for i in range(6)], "case": [0, 1, 0, 1, 1, 0], "age": [50, 60, 70, 30, 40, None]}
    )
    return ga.Cohort.align(MemoryStore(codes, table["IID"].to_list()), table, sample_id="IID")


KIN = pl.DataFrame(
    {
        "sample_id_1": ["S0", "S0", "S2", "S4"],
        "sample_id_2": ["S1", "S9", "S3", "S5"],
        "n_variants": [100] * 4,
        "hethet": [0.2] * 4,
        "ibs0": [0.0] * 4,
        "kinship": [0.25, 0.3, 0.12, 0.03],
    }
)


def test_the_ledger_says_who_is_left_out_because_of_whom(cohort):
    kept = cohort.keep_unrelated(KIN)
    assert kept.sample_ids.tolist() == ["S0", "S2", "S4", "S5"]
    dropped = kept.sample_ledger.filter(pl.col("status") == "dropped")
    assert dropped.select("id", "reason", "detail").rows() == [
        ("S1", "related", "related to S0 (kinship 0.2500)"),
        ("S3", "related", "related to S2 (kinship 0.1200)"),
    ]
    text = "\n".join(kept.summary_lines())
    assert "2 pairs of the cohort's samples have a kinship above 0.0442" in text
    assert "1 pairs above it have a sample that is not in the cohort" in text
    assert "4 of 6 samples kept by keep_unrelated(0.0442)" in text
    assert cohort.keep_unrelated(KIN, 0.2).n_samples == 5


def test_cases_are_kept_rather_than_their_relatives(cohort):
    assert cohort.keep_unrelated(KIN, prefer="case").sample_ids.tolist() == ["S1", "S3", "S4", "S5"]
    assert cohort.keep_unrelated(KIN, prefer=pl.col("age") < 55).sample_ids.tolist() == ["S0", "S3", "S4", "S5"]
    quality = pl.DataFrame({"sample_id": ["S0", "S1", "S2", "S3"], "missing_rate": [0.1, 0.0, 0.0, 0.1]})
    assert cohort.keep_unrelated(KIN, quality=quality).sample_ids.tolist() == ["S1", "S2", "S4", "S5"]


@pytest.mark.parametrize(
    "text",
    [
        "#FID1\tIID1\tFID2\tIID2\tNSNP\tHETHET\tIBS0\tKINSHIP\n0\tS1\t0\tS0\t9\t.1\t0\t0.25\n0\tS3\t0\tS2\t9\t.1\t0\t0.12\n",
        "#IID1\tIID2\tNSNP\tHETHET\tIBS0\tKINSHIP\nS1\tS0\t9\t.1\t0\t0.25\nS3\tS2\t9\t.1\t0\t0.12\nS4\tS5\t9\t.1\t.2\tnan\n",
        "FID1\tID1\tFID2\tID2\tN_SNP\tHetHet\tIBS0\tKinship\nF\tS1\tG\tS0\t9\t.1\t0\t0.25\nF\tS3\tG\tS2\t9\t.1\t0\t0.12\n",
        "FID\tID1\tID2\tN_SNP\tZ0\tPhi\tHetHet\tIBS0\tKinship\tError\nF\tS1\tS0\t9\t1\t0\t.1\t0\t0.25\t0\nF\tS3\tS2\t9\t1\t0\t.1\t0\t0.12\t0\n",
        "sample_id_1\tsample_id_2\tkinship\tkinship_adjusted\nS0\tS1\t-0.1\t0.25\nS2\tS3\t0.3\t0.12\nS4\tS5\t0.2\t0.01\n",
    ],
    ids=["plink2", "plink2 without families", "KING", "KING within families", "adjusted"],
)
def test_tables_of_other_programs(cohort, tmp_path, text):
    path = tmp_path / "kin.kin0"
    path.write_text(text)
    assert cohort.keep_unrelated(path).sample_ids.tolist() == ["S0", "S2", "S4", "S5"]


def test_ids_that_join_family_and_sample(tmp_path):
    store = MemoryStore(np.ones((4, 2), np.uint8), ["F_S0", "G_S1"])
    cohort = ga.Cohort.align(store, pl.DataFrame({"IID": ["F_S0", "G_S1"]}), sample_id="IID")
    path = tmp_path / "kin.kin0"
    path.write_text("#FID1\tIID1\tFID2\tIID2\tKINSHIP\nG\tS1\tF\tS0\t0.25\n")
    assert cohort.keep_unrelated(path).sample_ids.tolist() == ["F_S0"]


def test_pairs_that_are_there_twice_count_once(cohort):
    again = pl.DataFrame(
        {"sample_id_1": ["S1", "S0", "S4"], "sample_id_2": ["S0", "S1", "S4"], "kinship": [0.2, 0.1, 0.5]}
    )
    pairs, notes = related_of(cohort.sample_ids, pl.concat([KIN.select(again.columns), again]), 0.0442)
    assert pairs.rows() == related_of(cohort.sample_ids, KIN, 0.0442)[0].rows()
    assert any("1 rows above it are of a sample and itself" in note for note in notes)
    assert any("2 rows above it are of a pair that is there already" in note for note in notes)
    assert "S4" in cohort.keep_unrelated(pl.concat([KIN.select(again.columns), again])).sample_ids


def test_bad_tables_are_said(cohort, tmp_path):
    with pytest.raises(InputError, match="no column SAMPLE_ID_1 or IID1 or ID1"):
        cohort.keep_unrelated(KIN.drop("sample_id_1"))
    with pytest.raises(InputError, match="no column KINSHIP"):
        cohort.keep_unrelated(KIN.drop("kinship"))
    with pytest.raises(InputError, match="row 2: 'x' in column kinship is no number"):
        cohort.keep_unrelated(KIN.with_columns(kinship=pl.Series(["0.1", "x", "0.2", "0"])))
    with pytest.raises(InputError, match=r"row 1: '7\.0' in column kinship is no kinship"):
        cohort.keep_unrelated(KIN.with_columns(kinship=pl.lit(7.0)))
    with pytest.raises(SampleMismatchError, match="none of its samples is in the cohort"):
        cohort.keep_unrelated(KIN.with_columns(sample_id_1=pl.lit("A"), sample_id_2=pl.lit("B")))
    with pytest.raises(InputError, match="max_kinship is"):
        cohort.keep_unrelated(KIN, 0.5)
    with pytest.raises(InputError, match="give the table of"):
        cohort.keep_unrelated(KIN, quality=KIN)
    with pytest.raises(PhenotypeError):
        cohort.keep_unrelated(KIN, prefer="absent")
    (tmp_path / "k.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot be read"):
        cohort.keep_unrelated(tmp_path / "k.parquet")
