"""What a notebook holds survives copying and pickling, and says where its file went."""

import copy
import gc
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from small_cohort import make_files
from test_results import make_table

import genassoc as ga
from genassoc.errors import InputError
from genassoc.results import Results, SetResults

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make_files(tmp_path_factory.mktemp("cohort"), n_samples=120, n_variants=200)
    return ga.Cohort.align(ga.open_store(files.store), files.phenotypes, sample_id="IID")


@pytest.fixture(scope="module")
def temporary(cohort):
    """Results whose file goes with them."""
    return ga.associate(cohort, ga.Linear(traits=["ldl"], covariates=["age"]), audit=0)


@pytest.mark.parametrize("how", COPIES)
def test_results_in_a_temporary_file(temporary, how):
    again = COPIES[how](temporary)
    assert type(again) is Results and again.provenance == temporary.provenance
    assert again.table.equals(temporary.table)
    assert again.cohort.fingerprint == temporary.cohort.fingerprint
    assert repr(again) == repr(temporary)
    assert "in a temporary file; write() keeps them: 200 rows; traits ldl" in repr(again)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_outlives_the_results_it_was_made_of(temporary, how, tmp_path):
    first = pickle.loads(pickle.dumps(temporary))
    again, folder = COPIES[how](first), Path(first.folder.name)
    again.provenance = {**again.provenance, "more": 1}
    assert "more" not in first.provenance
    del first
    gc.collect()
    assert again.top(3)["neg_log_10_p_value"].to_list() == temporary.top(3)["neg_log_10_p_value"].to_list()
    assert Results.read(again.write(tmp_path / "kept.parquet")).table.equals(temporary.table)
    del again
    gc.collect()
    assert not folder.exists()


def test_a_pickle_in_another_process(temporary, tmp_path):
    """There the session that made them, and its temporary file, are gone."""
    (tmp_path / "results.pickle").write_bytes(pickle.dumps(temporary))
    code = (
        "import pickle; r = pickle.load(open('results.pickle', 'rb')); print(r.table.height, r.top(1)['variant_id'][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.split() == ["200", temporary.top(1)["variant_id"][0]], done.stderr


def test_results_in_a_file_are_pickled_as_its_place(temporary, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    temporary.write("ldl.parquet")
    results = Results.read("ldl.parquet")
    assert results.table.height == 200  # read: the rows are in memory, and not in the pickle
    content = pickle.dumps(results)
    assert len(content) < 0.9 * len(pickle.dumps(Results(results.table, results.provenance)))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = pickle.loads(content)
    assert again.path == tmp_path / "ldl.parquet" and again.table.equals(temporary.table)


def test_a_file_that_was_changed_since_is_told(temporary, tmp_path):
    path = temporary.write(tmp_path / "ldl.parquet")
    content = pickle.dumps(Results.read(path))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"ldl\.parquet"):
        pickle.loads(content).table  # noqa: B018


def test_a_file_that_went_away_is_named(temporary, tmp_path):
    path = temporary.write(tmp_path / "ldl.parquet")
    results, content = Results.read(path), pickle.dumps(Results.read(path))
    path.rename(tmp_path / "moved.parquet")
    for gone in (results, pickle.loads(content)):
        assert repr(gone) == f"Results({path}: the file is not there any more)"
        with pytest.raises(
            InputError, match=f"^{path} is not there any more.*Open it where it is now with Results.read"
        ):
            gone.top()
    read = Results(path, {}, None)
    read._table = temporary.table
    assert pickle.loads(pickle.dumps(read)).table.height == 200  # rows of a file that is gone are kept


def test_results_without_their_store_say_so(temporary, tmp_path):
    store = shutil.copytree(temporary.cohort.store.path, tmp_path / "other.zarr")
    held = Results(temporary.table, {}, copy.copy(temporary.cohort))
    object.__setattr__(held.cohort, "store", ga.open_store(store))
    content = pickle.dumps(held)
    shutil.rmtree(store)
    with pytest.warns(UserWarning, match="without their cohort, whose store cannot be opened: .*other.zarr"):
        again = pickle.loads(content)
    assert again.cohort is None and again.table.height == 200


@pytest.mark.parametrize("how", COPIES)
def test_other_tables_of_results(how, tmp_path):
    table = make_table([1.0, 2.0])
    in_memory = COPIES[how](Results(table, {"notes": ["kept"]}))
    assert in_memory.table.equals(table) and in_memory.provenance == {"notes": ["kept"]}
    genes = pl.DataFrame({"set_id": ["BRCA1"], "trait": ["t2d"], "left_out": [None], "neg_log_10_p_value": [3.0]})
    assert type(COPIES[how](SetResults(genes))) is SetResults
    Results(table).write(tmp_path / "a.regenie", dialect="regenie")
    foreign = COPIES[how](Results.read(tmp_path / "a.regenie", trait="a"))
    assert foreign.table["neg_log_10_p_value"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("how", COPIES)
def test_cohort_store_model_and_components(cohort, how):
    kept = cohort.keep_variants(ga.variants.maf_above(0.05))
    assert COPIES[how](kept).fingerprint == kept.fingerprint
    assert repr(COPIES[how](cohort.store)) == repr(cohort.store)
    for model in (ga.Linear(traits=["ldl"]), ga.Logistic(traits=["t2d"]), ga.Cox(time="years", event="cardiac_event")):
        assert COPIES[how](model) == model


def test_components_survive(cohort):
    found = ga.pca(cohort, k=2)
    for made in COPIES.values():
        again = made(found)
        assert repr(again) == repr(found) and np.array_equal(again.eigenvalues, found.eigenvalues)
        assert again.loadings.equals(found.loadings)
