"""The same result bytes for any block size, threads, company, interruption and division into parts."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import every_model
import numpy as np
import pytest
from small_cohort import TRAITS, associate, bits, make_files, rewrite_store, trait_rows

import genassoc as ga


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="module")
def reference(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "results.parquet"
    return associate(ga.open_store(files.store), files.phenotypes, out, ga.Serial()), out


@pytest.mark.parametrize(("block_variants", "threads"), [(16, 4), (112, 1), (112, 2), (1008, 2), (1008, 4)])
def test_block_size_and_threads(files, reference, tmp_path, block_variants, threads):
    store = rewrite_store(files.store, tmp_path / "other.zarr", block_variants)
    assert store.block_variants == block_variants
    found = associate(store, files.phenotypes, tmp_path / "out.parquet", ga.Threads(threads))
    assert found == reference[0]


@pytest.mark.parametrize("trait", TRAITS)
def test_a_trait_alone_and_among_others(files, reference, tmp_path, trait):
    out = tmp_path / "alone.parquet"
    associate(ga.open_store(files.store), files.phenotypes, out, ga.Serial(), (trait,))
    assert bits(trait_rows(out, trait)) == bits(trait_rows(reference[1], trait))


@pytest.mark.integration
def test_killed_in_the_middle_and_resumed(files, reference, tmp_path):
    store = rewrite_store(files.store, tmp_path / "small.zarr", 48)
    out = tmp_path / "out.parquet"
    work = Path(f"{out}.work")
    program = Path(__file__).with_name("small_cohort.py")
    project = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, program, store.path, files.phenotypes, out, "2", "0.1", ",".join(TRAITS)]
    seen = 0
    for _ in range(3):
        with subprocess.Popen([str(part) for part in command], env=environment) as process:
            deadline = time.monotonic() + 60
            while len(list(work.glob("part-*.parquet"))) < seen + 5 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
        assert not out.exists()
        now = len(list(work.glob("part-*.parquet")))
        assert now >= seen + 5, "the driver made no progress"
        seen = now
    assert associate(store, files.phenotypes, out, ga.Threads(2)) == reference[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.parquet", "out.parquet.provenance.json", "small.zarr",
    ]  # fmt: skip


def test_job_array_and_formats(files, reference, tmp_path):
    from genassoc.verbs import job_arrays, runs
    from genassoc.verbs.config import Config

    store = rewrite_store(files.store, tmp_path / "small.zarr", 112)
    config = Config.of(
        {
            "input": {"store": str(store.path), "phenotypes": str(files.phenotypes)},
            "model": {"kind": "linear", "traits": list(TRAITS), "covariates": ["age", "sex", "PC1:PC4"]},
            "variants": {"maf": 0.002},
            "output": {"path": str(tmp_path / "run.parquet")},
        },
        "test",
        tmp_path,
    )
    runs.run_config(config)
    assert (tmp_path / "run.parquet").read_bytes() == reference[0]
    work = tmp_path / "work"
    plan = job_arrays.make_plan(config, work, 7)
    for part in [6, 0, 3, 3, 1, 5, 4]:
        job_arrays.do_part(work, part)
    assert job_arrays.status(work).missing_parts == (2,)
    with pytest.raises(ga.PlanError, match="status"):
        job_arrays.merge_parts(work, tmp_path / "merged.parquet")
    job_arrays.do_part(work, 2)
    job_arrays.merge_parts(work, tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == reference[0]
    job_arrays.merge_parts(work, tmp_path / "merged.tsv.gz")
    table = ga.Results.read(tmp_path / "merged.tsv.gz").table
    assert bits(table) == bits(ga.Results.read(tmp_path / "merged.parquet").table)
    assert plan.n_parts == 7
    with pytest.raises(ga.PlanError, match="no part 7"):
        job_arrays.do_part(work, 7)


def test_a_changed_phenotype_is_not_mixed_into_a_plan(files, tmp_path):
    from genassoc.verbs import job_arrays
    from genassoc.verbs.config import Config

    phenotypes = tmp_path / "phenotypes.tsv"
    phenotypes.write_text(files.phenotypes.read_text())
    tables = {
        "input": {"store": str(files.store), "phenotypes": str(phenotypes)},
        "model": {"kind": "linear", "traits": ["ldl"]},
        "output": {"path": str(tmp_path / "run.parquet")},
    }
    job_arrays.make_plan(Config.of(tables, "test", tmp_path), tmp_path / "work", 2)
    lines = phenotypes.read_text().splitlines()
    phenotypes.write_text("\n".join([lines[0], *lines[2:]]) + "\n")
    with pytest.raises(ga.PlanError, match="no longer"):
        job_arrays.do_part(tmp_path / "work", 0)


@pytest.fixture(scope="module")
def sample():
    return every_model.draw()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


def test_cells_that_are_absent_are_refused_in_words():
    for (family, axis), words in every_model.ABSENT.items():
        with pytest.raises((ValueError, TypeError), match=words):
            every_model.model(family, axis)


@pytest.mark.parametrize("soft", [False, True], ids=["calls", "dosages"])
@pytest.mark.parametrize("cell", every_model.CELLS, ids=every_model.name_of)
def test_every_model_in_blocks_of_any_size(sample, cell, soft):
    """A row depends on nothing that is computed beside it: alone, in a part, among all variants."""
    model, cohort = every_model.model(*cell), sample.cohort()
    block = sample.block(soft, known=cell[1] == "genotypic")
    state, V = model.prepare(cohort), block.n_variants
    whole = model.block(state, block)
    assert np.isfinite(whole.columns["neg_log_10_p_value"]).sum() > 5
    for step in (1, 7):
        parts = [
            model.block(state, block.take((np.arange(V) >= start) & (np.arange(V) < start + step)))
            for start in range(0, V, step)
        ]
        assert all(part.labels == whole.labels and part.categories == whole.categories for part in parts)
        for name, values in whole.columns.items():
            assert np.concatenate([part.columns[name] for part in parts]).tobytes() == values.tobytes(), (name, step)


@pytest.mark.parametrize("cell", every_model.CELLS, ids=every_model.name_of)
def test_every_model_in_threads(sample, folder, cell):
    model = every_model.model(*cell)
    one = ga.associate(sample.stored(folder, 16), model, executor=ga.Serial()).table
    other = ga.associate(sample.stored(folder, 5), model, executor=ga.Threads(3)).table
    assert one.columns == other.columns and bits(one) == bits(other)
