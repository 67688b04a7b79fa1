"""The Dask executor: the same bytes as threads, whoever dies; small graphs without arrays; failures in words."""

import io
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask_work
import gene_cohort
import numpy as np
import polars as pl
import pytest
from dask_work import Slow, Square, driver, processes, wait_for_lock, wait_for_parts
from small_cohort import Files, associate, make_files, rewrite_store

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import dask_overhead

import genassoc as ga
from genassoc.engine import broadcast, executors_dask
from genassoc.engine.batches import MOST_ITEMS
from genassoc.engine.executors_dask import connected, describe_cluster
from genassoc.models import registry
from genassoc.verbs import association

N_KILLS = int(os.environ.get("GENASSOC_KILLS", "3"))  # of the driver, at random points; more for a long look
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = make_files(tmp_path_factory.mktemp("cohort"))
    small = rewrite_store(made.store, made.store.with_name("small.zarr"), 48)  # 51 tasks
    return Files(made.vcf, made.phenotypes, small.path)


@pytest.fixture(scope="module")
def reference(files, tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "results.parquet"
    return associate(ga.open_store(files.store), files.phenotypes, out, ga.Serial())


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as local:
        yield local


@pytest.fixture(scope="module")
def client(cluster):
    from distributed import Client

    with Client(cluster, set_as_default=False) as connected_client:
        yield connected_client


def run(files, out, executor):
    return associate(ga.open_store(files.store), files.phenotypes, out, executor)


# The same bytes -------------------------------------------------------------------------------------------------


def test_sets_of_variants(client, tmp_path):
    genes = gene_cohort.make_files(tmp_path)
    serial, dask = tmp_path / "serial.parquet", tmp_path / "dask.parquet"
    gene_cohort.run(genes, serial, ga.Serial(), max_maf=0.05)
    gene_cohort.run(genes, dask, ga.Dask(client), max_maf=0.05)
    assert dask.read_bytes() == serial.read_bytes()


@pytest.mark.integration
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_same_bytes_with_any_workers(files, reference, cluster, client, tmp_path, workers):
    cluster.scale(workers)
    client.wait_for_workers(workers, timeout=120)
    assert run(files, tmp_path / "dask.parquet", ga.Dask(client)) == reference
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["dask.parquet", "dask.parquet.provenance.json"]


def test_threads_give_the_reference_too(files, reference, tmp_path):
    assert run(files, tmp_path / "threads.parquet", ga.Threads(2)) == reference


@pytest.mark.integration
def test_relative_paths_reach_workers_that_stand_elsewhere(files, reference, client, tmp_path, monkeypatch):
    monkeypatch.chdir(files.store.parent)
    store = ga.open_store(files.store.name)
    monkeypatch.chdir(tmp_path)
    store.path = Path(os.path.relpath(files.store))
    assert associate(store, files.phenotypes, Path("here.parquet"), ga.Dask(client)) == reference


@pytest.mark.integration
def test_quality_control_on_workers(files, client):
    cohort = ga.Cohort.align(files.store, files.phenotypes)
    assert ga.variant_qc(cohort, executor=ga.Dask(client)).equals(ga.variant_qc(cohort, executor=ga.Serial()))


# Whoever dies ---------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_a_worker_killed_in_the_middle(files, reference, client, tmp_path):
    out = tmp_path / "killed.parquet"
    found = []
    thread = threading.Thread(target=lambda: found.append(run(files, out, Slow(ga.Dask(client), 0.1))))
    thread.start()
    killed = set()
    for parts in (5, 15):
        wait_for_parts(out, parts)
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        killed.add(victim)
    thread.join(120)
    assert found == [reference]
    assert len(killed) == 2 and not killed & set(client.run(os.getpid).values())


@pytest.mark.integration
def test_a_task_that_kills_its_workers_is_named(client):
    with pytest.raises(ga.ClusterError, match=r"task square chr7:\d-\d+ was given to 4 workers .* memory") as error:
        list(ga.Dask(client).map(Square(fatal=3), range(8)))
    start, stop = re.findall(r"chr7:(\d+)-(\d+)", str(error.value))[0]
    assert int(start) <= 3 and int(stop) >= 102  # a task of several items is named by all of them
    client.wait_for_workers(1, timeout=60)
    assert sorted(ga.Dask(client).map(Square(), range(8))) == [i * i for i in range(8)]


@pytest.mark.integration
@pytest.mark.slow
def test_the_driver_and_the_scheduler_killed(files, reference, tmp_path):
    out = tmp_path / "out.parquet"
    chance = random.Random(6)
    with processes(tmp_path) as (address, started):
        for _ in range(N_KILLS):
            process = driver(address, files.store, files.phenotypes, out, 0.2)
            wait_for_lock(out, process)
            time.sleep(chance.uniform(0, 1))
            process.kill()
            process.wait()
            assert not out.exists()
        seen = wait_for_parts(out, 1)
        process = driver(address, files.store, files.phenotypes, out, 0.4)
        wait_for_lock(out, process)
        with pytest.raises(ga.PlanError, match=rf"another run is using .*process {process.pid} on"):
            run(files, out, ga.Serial())
        seen = wait_for_parts(out, seen + 2, process)
        started[0].kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"ClusterError: the Dask scheduler at {address} is gone" in errors
        assert "the same command carries on from there" in errors and "Traceback" not in errors
    assert not out.exists()
    assert wait_for_parts(out, seen) >= seen
    assert run(files, out, ga.Threads(2)) == reference


@pytest.mark.integration
def test_a_scheduler_that_dies_while_a_result_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(executors_dask, "CONNECT_SECONDS", 1.0)
    with processes(tmp_path, 1) as (address, started), connected(address) as dask:
        [future] = list(dask.client.map(Square(), [3]))
        while not future.done():
            time.sleep(0.01)
        started[1].kill()
        started[0].kill()  # who is asked for the result
        started[0].wait()
        run = executors_dask._Run(dask, Square(), "nowhere", "")
        gone = pytest.raises(ga.ClusterError, match=rf"the Dask scheduler at {address} is gone")
        with gone, executors_dask._cluster_errors(dask):
            run.result(future)
        with pytest.raises(ga.ClusterError, match=rf"the Dask scheduler at {address} is gone"):
            dask.limit()


def _full_disk(item):
    raise OSError(28, "No space left on device")


@pytest.mark.integration
def test_a_task_s_own_error_is_not_the_scheduler_s(client):
    with pytest.raises(OSError, match="No space left on device"):
        list(ga.Dask(client).map(_full_disk, [1]))


# What goes over the wire ----------------------------------------------------------------------------------------


class _Wire:
    """The graphs that a client sends to its scheduler, and their bytes."""

    def __init__(self, client, monkeypatch):
        from distributed.protocol import dumps

        self.sent, self.messages = 0, []
        send = client._send_to_scheduler

        def counted(message):
            if message["op"] == "update-graph":
                self.sent += sum(memoryview(frame).nbytes for frame in dumps(message))
                self.messages.append(message)
            send(message)

        monkeypatch.setattr(client, "_send_to_scheduler", counted)


@pytest.mark.integration
def test_the_graph_holds_no_arrays(files, reference, client, tmp_path, monkeypatch):
    cohort = ga.Cohort.align(files.store, files.phenotypes)
    wire = _Wire(client, monkeypatch)
    assert run(files, tmp_path / "wire.parquet", ga.Dask(client)) == reference
    tasks, n_ranges = wire.messages, len(association.plan_association(cohort, ga.Linear(["ldl"])).tasks)
    assert 2 < len(tasks) < n_ranges and n_ranges > 50  # several ranges in a task
    assert wire.sent / n_ranges < 1000  # bytes: ten thousand ranges are under 10 MB
    # 300 samples in float64 are 2400 bytes: not even one column of a null model fits in.
    assert max(len(pickle.dumps(message)) for message in tasks) < 2400


@pytest.mark.integration
def test_ten_thousand_tasks_are_under_ten_megabytes(client):
    # All ten thousand are run by the benchmark; a message is of `MOST_ITEMS` at most, so that some hundreds tell.
    ran = dask_overhead.many_tasks(client, 400)
    print(f"{ran.graph_bytes / ran.messages:.0f} bytes a task, {1e3 * ran.seconds / 400:.1f} ms")
    assert 400 / MOST_ITEMS < ran.messages < 200  # one by one until it is known that they take no time, and at the end
    assert ran.graph_bytes * 10_000 / 400 < 10e6
    assert not client.futures


def test_a_pickled_job_leaves_the_phenotypes_behind(files):
    cohort = ga.Cohort.align(files.store, files.phenotypes).keep_variants(ga.variants.maf_above(0.002))
    model = ga.Linear(["ldl"], ["age"])
    job = association.association_job(cohort, model, association.plan_association(cohort, model))
    found = pickle.loads(pickle.dumps(job))
    assert found.cohort.phenotypes.table.height == 0 and found.state is None
    assert len(pickle.dumps(job)) < 8 * cohort.n_samples + 20_000  # the samples' columns in the store, and words
    keep, _ = found.cohort.select_variants(0, 96, found.cohort.read(0, 96))
    np.testing.assert_array_equal(keep, cohort.select_variants(0, 96, cohort.read(0, 96))[0])


@pytest.mark.integration
def test_tasks_are_bounded_and_named(client):
    taken, keys = [], []

    def items():
        for i in range(60):
            taken.append(i)
            keys.extend(future for future in client.futures)
            yield i

    executor = ga.Dask(client, in_flight=4)
    for n_done, _ in enumerate(executor.map(Square(), items()), start=1):
        assert len(taken) <= n_done + 4
    from dask.utils import key_split

    squares = {key for key in keys if key[0].startswith("square-")}
    assert any(key[1] == "chr7:17-116" for key in squares)
    assert {key_split(key) for key in squares} == {"square"}  # one bar on the dashboard
    assert not client.futures


@pytest.mark.integration
def test_a_task_of_several_items_is_named_by_all(client):
    keys = set()

    def square(item):
        return item * item

    class Watched(list):
        def __iter__(self):
            for i in range(len(self)):
                keys.update(client.futures)
                yield self[i]

    assert sorted(ga.Dask(client).map(square, Watched(range(200)))) == [i * i for i in range(200)]
    keys.clear()
    assert sorted(ga.Dask(client).map(Square(), Watched(range(200)))) == [i * i for i in range(200)]
    places = [key[1] for key in keys if key[0].startswith("square-")]
    spans = [re.fullmatch(r"chr7:(\d+)-(\d+)", place).groups() for place in places]
    widths = {int(stop) - int(start) for start, stop in spans}
    assert 99 in widths and 99 < max(widths) <= 99 + MOST_ITEMS


@pytest.mark.parametrize(
    ("first", "last", "span"),
    [
        ("chr7:1-2,000", "chr7:8,001-9,000", "chr7:1-9,000"),
        ("chr7:1-2,000", "chr8:1-9,000", "chr7:1-2,000 to chr8:1-9,000"),
        ("HLA:A:1-2", "HLA:A:3-4", "HLA:A:1-4"),
        ("task 3", "task 9", "task 3 to task 9"),
    ],
)
def test_the_span_of_two_places(first, last, span):
    assert executors_dask._span(first, last) == span


def test_a_batch_that_takes_too_long_comes_back_and_one_that_is_stopped_too():
    content = broadcast.packed(Square(seconds=0.05))
    held = broadcast.Held(content, broadcast.digest_of(content))
    assert broadcast.apply(held, range(4)).results == [0, 1, 4, 9]
    assert broadcast.apply(held, range(4), seconds=0.0).results == [0]
    assert broadcast.stopped(held.digest) == 0
    found = []
    thread = threading.Thread(target=lambda: found.append(broadcast.apply(held, range(200))))
    thread.start()
    while not broadcast.stopped(held.digest):
        time.sleep(0.005)
    thread.join(5)
    assert 1 <= len(found[0].results) <= 3 and found[0].seconds < 1
    assert not broadcast.stopped(held.digest)
    assert broadcast.apply(held, range(4)).results == [0, 1, 4, 9]  # who comes later is not stopped


def test_blas_has_one_thread_in_a_task():
    program = """if True:
        import scipy.linalg
        from threadpoolctl import threadpool_info
        from genassoc.engine import broadcast

        def blas(_):
            return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

        content = broadcast.packed(blas)
        print(blas(0), *broadcast.apply(broadcast.Held(content, broadcast.digest_of(content)), [0]).results)
    """
    environment = {**dask_work.ENVIRONMENT, "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[2, 2] [1, 1]"


# Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.integration
def test_an_error_of_a_task_stops_the_run_and_leaves_no_task(client):
    def fail(item):
        time.sleep(0.05)
        if item == 5:
            raise ga.StoreError("chunk 5 is damaged")
        return item

    with pytest.raises(ga.StoreError, match="chunk 5 is damaged"):
        list(ga.Dask(client).map(fail, range(1000)))
    assert not client.futures
    assert not any(client.run(lambda: broadcast._active.total()).values())


@pytest.mark.integration
def test_closing_early_waits_for_what_was_begun(client):
    results = ga.Dask(client).map(Square(seconds=0.3), range(100))
    next(results)
    results.close()
    assert not client.futures
    assert not any(client.run(lambda: broadcast._active.total()).values())


def test_other_code_is_refused(tmp_path, monkeypatch):
    content = broadcast.packed(Square())
    path = broadcast.write_broadcast(tmp_path, content)
    assert broadcast.apply(path, [5]).results == [25]
    other = {**broadcast.code_version(), "numba": "0.1"}
    monkeypatch.setattr(broadcast, "code_version", lambda: other)
    with (
        Path(path).open("rb") as file,
        pytest.raises(ga.ClusterError, match=r"numba \S+ in the driver, 0\.1 here"),
    ):
        broadcast.unpacked(file)


class Touch:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_nobody_else_reads_a_broadcast(tmp_path):
    path = Path(broadcast.write_broadcast(tmp_path, broadcast.packed(Square())))
    assert path.stat().st_mode & 0o777 == 0o600
    assert (
        len(path.stem.removeprefix(broadcast.BROADCAST_NAME)) == 64
    )  # all of a SHA-256: it is what the loading rests on


def test_a_damaged_broadcast_is_refused(tmp_path, monkeypatch):
    path = broadcast.write_broadcast(tmp_path, broadcast.packed(Square(seconds=0.001)))
    content = bytearray(Path(path).read_bytes())
    content[len(content) // 2] ^= 1
    Path(path).write_bytes(content)
    with pytest.raises(ga.ClusterError, match="its digest is another, and it was not loaded"):
        broadcast.apply(path, [5])
    evil = tmp_path / "pwned"
    Path(path).write_bytes(pickle.dumps(Touch(str(evil))))  # a pickle that somebody else put in its place
    with pytest.raises(ga.ClusterError, match="not loaded"):
        broadcast.apply(path, [5])
    assert not evil.exists()
    monkeypatch.setattr(broadcast, "_APPEARS_SECONDS", 0.0)
    with pytest.raises(ga.ClusterError, match="does not see"):
        broadcast.apply(str(tmp_path / "absent"), [5])


def test_only_a_client_will_do():
    with pytest.raises(TypeError, match=r"distributed\.Client, not str; Dask\(Client"):
        ga.Dask("tcp://host:8786")


@pytest.mark.integration
def test_what_a_client_must_be(client):
    with pytest.raises(ga.ClusterError, match="at least 1"):
        ga.Dask(client, in_flight=0)
    assert repr(ga.Dask(client)).startswith("Dask(tcp://127.0.0.1:")
    assert " workers, " in describe_cluster(ga.Dask(client))


@pytest.mark.parametrize("address", ["local:0", "local:many", "absent.json", "no such place", "ftp://host:1"])
def test_an_address_that_is_none(address):
    with pytest.raises(ga.ClusterError), connected(address):
        pass


# The command ----------------------------------------------------------------------------------------------------


def assoc(files, out, *more):
    return [
        "assoc", files.store, files.phenotypes, "--model", "linear", "--trait", "ldl,ldl_before,ldl_change",
        "--covar", "age,sex,PC1:PC4", "--maf", "0.002", "--out", out, *more,
    ]  # fmt: skip


@pytest.mark.integration
def test_the_command_on_a_cluster_of_its_own(files, reference, genassoc, tmp_path):
    code, _, errors = genassoc(*assoc(files, tmp_path / "local.parquet", "--dask", "local:2"))
    assert code == 0, errors
    assert "2 workers, 2 threads" in errors
    assert (tmp_path / "local.parquet").read_bytes() == reference


@pytest.mark.integration
def test_the_command_on_a_scheduler(files, reference, genassoc, cluster, client, tmp_path):
    client.wait_for_workers(1, timeout=60)
    code, _, errors = genassoc(*assoc(files, tmp_path / "dask.parquet", "--dask", cluster.scheduler_address))
    assert code == 0, errors
    assert (tmp_path / "dask.parquet").read_bytes() == reference


def test_the_command_without_a_scheduler(files, genassoc, tmp_path, monkeypatch):
    assert executors_dask.CONNECT_SECONDS <= 8  # all that is waited for, beside imports
    monkeypatch.setattr(executors_dask, "CONNECT_SECONDS", 1.0)
    code, _, errors = genassoc(*assoc(files, tmp_path / "none.parquet", "--dask", "127.0.0.1:9"))
    assert code == 1 and "no Dask scheduler answers at 127.0.0.1:9" in errors and "Traceback" not in errors
    assert genassoc(*assoc(files, tmp_path / "x.parquet", "--dask", "local:2", "--threads", "2"))[0] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_a_cluster_of_our_own_is_quiet_and_another_s_is_left_alone(client, monkeypatch):
    import dask.config

    names = list(executors_dask._LOCAL_SETTINGS)

    def settings():
        import dask.config

        return [dask.config.get(name) for name in names]

    before = settings()
    with dask.config.set({names[1]: "100ms"}), connected("local:1") as own:  # what a user has chosen stays
        assert list(own.client.run(settings).values()) == [[False, "100ms"]]
    assert settings() == before == next(iter(client.run(settings).values())) == [True, "20ms"]


# to_dask --------------------------------------------------------------------------------------------------------


def test_to_dask_is_chunked_by_blocks_and_its_graph_is_small(files):
    store = ga.open_store(files.store)
    cohort = ga.Cohort.align(store, files.phenotypes)
    array = ga.to_dask(cohort)
    assert array.shape == (store.n_variants, cohort.n_samples) and array.dtype == np.int8
    assert set(array.chunks[0][:-1]) == {48} and len(array.chunks[1]) == 1
    codes = store.read(0, store.n_variants).codes()[:, cohort.block_columns].astype(np.int8)
    codes[codes == 3] = -1
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), codes)
    import cloudpickle

    # A block of calls is 48 x 300 bytes; what the graph says of it is a range, and the cohort once.
    # Of a block the graph holds names of modules too; calls would be fourteen times as much.
    assert len(cloudpickle.dumps(dict(array.dask))) < 1100 * array.numblocks[0] + 60_000


def test_nothing_heavy_is_imported_with_the_executors():
    program = "import sys, genassoc.verbs.association, genassoc.verbs.job_arrays; print({'dask', 'distributed'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=dask_work.ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


# Every model ----------------------------------------------------------------------------------------------------

MODELS = {
    "linear": {"traits": ["ldl"]},
    "logistic": {"traits": ["t2d"]},
    "ordinal": {"traits": ["grade"]},
    "mixed": {"traits": ["ldl"]},
    "poisson": {"traits": ["visits"]},
    "negative_binomial": {"traits": ["visits"]},
    "cox": {"event": "event", "time": "years"},
}


def test_the_models_here_are_all_there_are():
    assert set(MODELS) == set(registry.MODELS)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_survives_the_way_to_a_worker(files, kind):
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    chance = np.random.default_rng(5)
    table = table.with_columns(
        grade=pl.Series(chance.integers(0, 4, table.height)),
        visits=pl.Series(chance.poisson(2.0, table.height)),
        event=pl.Series(chance.integers(0, 2, table.height)),
        years=pl.Series(chance.uniform(0.5, 9.0, table.height)),
    )
    cohort = ga.Cohort.align(files.store, table, sample_id="IID", sex="sex")
    model = registry.MODELS[kind](covariates=["age"], **MODELS[kind])
    plan = association.plan_association(cohort, model)
    job = association.association_job(cohort, model, plan)
    far, state = broadcast.unpacked(io.BytesIO(broadcast.packed((job, job.state))))
    here, there = job.do(job.state, plan.tasks[7]), far.do(state, plan.tasks[7])
    assert there.counts == here.counts and there.rows.equals(here.rows)
    assert here.rows["beta"].is_not_null().any()
