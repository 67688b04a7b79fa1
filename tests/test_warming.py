"""`genassoc warm`: what a model needs is compiled ahead, and where it is kept is said."""

import os
import stat

import pytest

from genassoc.errors import GenassocError
from genassoc.kernels import cache_files
from genassoc.models.registry import MODELS
from genassoc.verbs import warming


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """What this process found out about its own cache is found out again."""
    shared, folder = cache_files.Cache.shared, os.environ.get("GENASSOC_CACHE_DIR")
    yield
    cache_files.Cache.shared = shared
    if folder is None:
        os.environ.pop("GENASSOC_CACHE_DIR", None)
    else:
        os.environ["GENASSOC_CACHE_DIR"] = folder
    cache_files.base_folder.cache_clear()
    cache_files.cache_folder.cache_clear()


@pytest.mark.integration
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_what_was_warmed_is_there(genassoc):
    code, printed, errors = genassoc("warm", "--model", "linear")
    assert code == 0, errors
    lines = printed.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["conversion", "linear"]
    assert str(cache_files.base_folder()) in lines[-1]
    again = warming.warm(["linear"])[1]
    assert [family.compiled for family in again] == [0, 0]


def test_every_model_has_an_outcome_to_be_run_on():
    assert set(warming._OUTCOMES) == set(MODELS)


def test_relatives_and_ancestry_are_warmed_where_no_model_is_named(monkeypatch):
    done = []
    monkeypatch.setattr(warming, "_cohort", lambda folder: done.append("conversion") or "cohort")
    monkeypatch.setattr(warming, "_run", lambda kind, *_: done.append(kind))
    monkeypatch.setattr(warming, "_run_structure", lambda cohort: done.append(warming.STRUCTURE))
    monkeypatch.setattr(warming, "_run_sets", lambda cohort, folder: done.append(warming.SETS))
    assert (
        [family.family for family in warming.warm()[1]]
        == done
        == ["conversion", *MODELS, warming.STRUCTURE, warming.SETS]
    )


def test_an_unknown_model_and_a_folder_that_cannot_be_are_refused(genassoc, tmp_path):
    with pytest.raises(GenassocError, match="no model 'cubic'"):
        warming.warm(["cubic"])
    (tmp_path / "file").write_text("a file")
    code, _, errors = genassoc("warm", "--into", str(tmp_path / "file" / "cache"))
    assert code == 1 and "file" in errors


def test_a_shared_folder_is_read_by_others_and_written_by_nobody_else(tmp_path):
    cache_files.share(tmp_path / "cache")
    files = cache_files.SealedFiles(tmp_path / "cache", "kernel")
    files.save("key", "code")
    kept = len(cache_files.Cache.kept)
    assert files.load("key") == "code" and cache_files.Cache.used[-1] == cache_files.Cache.kept[kept - 1] == "kernel"
    (file,) = (tmp_path / "cache").iterdir()
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o755
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
