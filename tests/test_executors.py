"""Executors: every item once, bounded, faults and interruptions leave nothing running."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from genassoc.engine import broadcast, executors
from genassoc.engine.executors import Executor, Serial, Threads, single_threaded_blas, usable_cpus
from genassoc.errors import PlanError

EVERY = [Serial(), Threads(1), Threads(3)]


@pytest.mark.parametrize("executor", EVERY, ids=repr)
def test_every_item_is_done_once(executor: Executor) -> None:
    assert isinstance(executor, Executor)
    assert sorted(executor.map(lambda i: i * i, range(50))) == [i * i for i in range(50)]
    assert list(executor.map(lambda i: i, [])) == []


@pytest.mark.parametrize("executor", EVERY, ids=repr)
def test_an_exception_is_raised_and_the_rest_is_not_begun(executor: Executor) -> None:
    begun: list[int] = []

    def work(i: int) -> int:
        begun.append(i)
        if i == 4:
            raise ZeroDivisionError("item four")
        time.sleep(0.001)
        return i

    with pytest.raises(ZeroDivisionError, match="item four"):
        list(executor.map(work, range(1000)))
    assert len(begun) < 50
    assert not _our_threads()


def test_threads_bound_what_is_under_way() -> None:
    taken: list[int] = []

    def items() -> object:
        for i in range(100):
            taken.append(i)
            yield i

    executor = Threads(2)
    for n_done, _ in enumerate(executor.map(lambda i: i, items()), start=1):  # type: ignore[arg-type]
        # Finished ones that were not handed over yet are at most the 2n of one wait.
        assert len(taken) <= n_done + 2 * 2 * executor.n


def test_closing_early_leaves_no_thread() -> None:
    results = Threads(2).map(lambda i: i, range(1000))
    next(results)
    results.close()
    assert not _our_threads()


def test_an_interruption_leaves_no_thread() -> None:
    def interrupted(i: int) -> int:
        if i == 3:
            raise KeyboardInterrupt
        return i

    with pytest.raises(KeyboardInterrupt):
        list(Threads(2).map(interrupted, range(100)))
    assert not _our_threads()


def _our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("genassoc_")]


def test_blas_has_one_thread_inside() -> None:
    from threadpoolctl import threadpool_info

    np.ones((4, 4)) @ np.ones((4, 4))
    before = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    with single_threaded_blas():
        list(Threads(2).map(lambda i: i, range(4)))
        inside = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert inside and set(inside) == {1}
    assert [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"][: len(before)] == before


def test_the_number_of_threads() -> None:
    assert Threads(5).n == 5
    assert Threads().n == usable_cpus() >= 1
    with pytest.raises(PlanError, match="at least 1"):
        Threads(0)


def test_slurm_grants_fewer_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert usable_cpus() == 1
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "not a number")
    assert usable_cpus() >= 1


def test_the_quota_of_a_cgroup(tmp_path: Path) -> None:
    membership = tmp_path / "cgroup"
    membership.write_text("0::/slice/job\n")
    (tmp_path / "slice/job").mkdir(parents=True)
    assert executors._cgroup_cpus(tmp_path, membership) is None
    (tmp_path / "slice/job/cpu.max").write_text("max 100000\n")
    assert executors._cgroup_cpus(tmp_path, membership) is None
    (tmp_path / "slice/cpu.max").write_text("250000 100000\n")
    assert executors._cgroup_cpus(tmp_path, membership) == 3  # two and a half, rounded up
    (tmp_path / "slice/job/cpu.max").write_text("100000 100000\n")
    assert executors._cgroup_cpus(tmp_path, membership) == 1


def test_the_quota_of_a_cgroup_of_version_1(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    (tmp_path / "cgroup").write_text("4:cpu:/\n")
    assert executors._cgroup_cpus(tmp_path, tmp_path / "cgroup") == 2


def test_a_function_is_loaded_after_what_is_imported_ahead() -> None:
    """Two threads that import one library at once may see it half made."""
    imported: list[str] = []

    def imports() -> None:
        time.sleep(0.1)
        imported.append("done")

    thread = threading.Thread(target=imports)
    thread.start()
    broadcast._importing.append(thread)
    content = broadcast.packed(len)
    assert broadcast.apply(broadcast.Held(content, broadcast.digest_of(content)), ["abc"]).results == [3]
    assert imported == ["done"] and not broadcast._importing
